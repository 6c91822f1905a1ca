"""What a motion probably was, given its fit: undoes what `tdmm fit` does to expressions, as far as is known (numpy).

A fit reads expressions through one another and too weakly, in ways that differ little from face to face. This is a
regression of the truth on the fit, measured on rendered clips whose motions are known
(`scripts/measure_fit_correction.py`): what stays all the time by what is seen of the whole clip, what moves by what is
seen around each frame; both linear in features and in radial basis functions of them. `tdmm describe` puts fits through
it before they become tokens. A fit itself stays what the camera saw.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.distance import cdist

import tdmm
from tdmm.errors import LmError, MotionError
from tdmm.io.asset_file import read_asset, write_asset
from tdmm.motion import FaceMotion
from tdmm.vq.columns import HEAD, first_pose, relative_pose

SCHEMA = "tdmm.fit_correction/1"
ASSET = Path(tdmm.__file__).parent / "assets" / "fit_correction.safetensors"
FPS = 25.0
# Frames around each that are looked at.
AROUND = (0, -2, 2, -5, 5, -10, 10)
# Expressions up to here also come in by themselves: a fit keeps to rest what it is not sure of.
SLIGHT = 0.1
# What makes features about as large as expressions: turns since the first frame (radians), ways (metres), slight
# expressions, and where the head is turned to.
TURN, WAY, SLIGHTLY, TOWARDS = 5.0, 20.0, 3.0, 3.0


@dataclass(frozen=True, eq=False)
class FitCorrection:
    """The regression, for E expressions.

    expression_names: (E,). face_model_sha256: of the built-in head whose fits it knows. clip_centres: (C, F) and
    frame_centres: (D, E + 6) of the radial basis functions; widths: (2,) of both, a squared distance. clip_weights:
    (1 + F + C, E) to the mean of the truth. frame_weights: (G + D, E) to what the truth is beside its mean. made: how
    it was measured, and with what scores (JSON-able).
    """

    expression_names: tuple[str, ...]
    face_model_sha256: str
    clip_centres: np.ndarray
    clip_weights: np.ndarray
    frame_centres: np.ndarray
    frame_weights: np.ndarray
    widths: np.ndarray
    made: dict[str, Any]

    @staticmethod
    def load() -> FitCorrection:
        """The one that comes with tdmm. Raises as `read_fit_correction` does."""
        return _shipped()

    def is_for(self, motion: FaceMotion) -> bool:
        """Whether a motion is what `tdmm fit` made of a video, with the head that is known here."""
        return (
            "fit" in motion.meta
            and "animate" not in motion.meta
            and motion.face_model_sha256 == self.face_model_sha256
            and motion.expression_names == self.expression_names
        )

    def of(self, motion: FaceMotion) -> FaceMotion:
        """What a fit of some seconds, at any rate, is taken to be of; a motion that is no such fit as it is."""
        if not self.is_for(motion):
            return motion
        if motion.fps == FPS:
            return self.apply(motion)
        found = self.apply(motion.resample(FPS)).expression
        # Back at the frames that it has, of which none is to be lost.
        times, own = np.arange(len(found)) / FPS, np.arange(len(motion)) / motion.fps
        curves = [np.interp(own, times, curve) for curve in found.T]
        return replace(motion, expression=np.stack(curves, axis=1).astype(np.float32))

    def apply(self, motion: FaceMotion) -> FaceMotion:
        """The expected truth of a fit at `FPS`. Raises `MotionError` for another rate or face model."""
        if abs(motion.fps - FPS) > 1e-3 or motion.expression_names != self.expression_names:
            raise MotionError(
                f"correction of fits: expected {FPS:g} frames a second of the built-in head's expressions, found "
                f"{motion.fps:g} of {motion.face_model}; resample it first"
            )
        return replace(motion, expression=self.expected(seen_in(motion), motion.rotation))

    def expected(self, seen: np.ndarray, rotation: np.ndarray) -> np.ndarray:
        """(T, E) float32 expressions in 0..1, of what is seen (T, E + 6), see `seen_in`, and rotations (T, 3)."""
        whole = clip_features(seen, rotation)[None]
        mean = with_bases(whole, whole[:, 1:], self.clip_centres, self.widths[0]) @ self.clip_weights
        moving = with_bases(frame_features(seen, rotation), seen, self.frame_centres, self.widths[1])
        found = mean + (moving - moving.mean(axis=0)) @ self.frame_weights
        return np.asarray(found.clip(0, 1), np.float32)


def seen_in(motion: FaceMotion) -> np.ndarray:
    """(T, E + 6) float32 expressions, and the head's turn and way since the first frame in units of `TURN`, `WAY`."""
    head = relative_pose(motion.rotation, motion.translation, first_pose(motion))
    head = head * np.repeat(np.array([TURN, WAY], np.float32), HEAD // 2)
    return np.concatenate([motion.expression, head], axis=1).astype(np.float32)


def clip_features(seen: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """(1 + F,) of a whole clip: 1, expressions on average, slight ones, squared, where the head is turned to, and how
    much each expression moves."""
    expression = seen[:, :-HEAD]
    return np.concatenate(
        [
            [1.0],
            expression.mean(axis=0),
            SLIGHTLY * np.minimum(expression, SLIGHT).mean(axis=0),
            (expression**2).mean(axis=0),
            TOWARDS * rotation.mean(axis=0),
            expression.std(axis=0),
        ]
    )


def frame_features(seen: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """(T, G) of each frame: what is seen in those `AROUND` it (the ends go on), slight expressions, squared ones, where
    the head is turned to, and how far it has turned to either side."""
    frames, expression = np.arange(len(seen)), seen[:, :-HEAD]
    around = [seen[(frames + shift).clip(0, len(seen) - 1)] for shift in AROUND]
    turn = seen[:, -HEAD : -HEAD // 2]
    return np.concatenate(
        [
            *around,
            SLIGHTLY * np.minimum(expression, SLIGHT),
            expression**2,
            TOWARDS * rotation,
            np.abs(turn - turn.mean(axis=0)),
        ],
        axis=1,
    )


def with_bases(features: np.ndarray, places: np.ndarray, centres: np.ndarray, width: float) -> np.ndarray:
    """Features (N, F), and Gaussian functions of the distance of places (N, P) from centres (C, P): (N, F + C)."""
    return np.concatenate([features, np.exp(-cdist(places, centres, "sqeuclidean") / width)], axis=1)


_TENSORS = ("clip_centres", "clip_weights", "frame_centres", "frame_weights", "widths")


def save_fit_correction(correction: FitCorrection, path: Path) -> None:
    """Write a correction: 32-bit safetensors, everything else in the metadata."""
    meta = {
        "names": json.dumps(correction.expression_names),
        "face_model_sha256": correction.face_model_sha256,
        "made": json.dumps(correction.made),
    }
    tensors = {name: np.ascontiguousarray(getattr(correction, name), np.float32) for name in _TENSORS}
    write_asset(path, SCHEMA, meta, tensors)


def read_fit_correction(path: Path) -> FitCorrection:
    """Read what `save_fit_correction` wrote. Raises `MissingPartError` without the file, `LmError` for another file."""
    meta, tensors = read_asset(path, SCHEMA, "the correction of fits", "measure_fit_correction.py", LmError)
    return FitCorrection(
        tuple(json.loads(meta["names"])), meta["face_model_sha256"], made=json.loads(meta["made"]), **tensors
    )


@cache
def _shipped() -> FitCorrection:
    return read_fit_correction(ASSET)
