"""The columns in which behaviours are written and motions are composed, and how they become ARKit expressions.

A column is one ARKit blendshape (0..1), or the direction of both eyes, or a degree of freedom of the head:
gazeYaw, gazePitch and headYaw, headPitch, headRoll in degrees, headX, headY, headZ in millimetres. Yaw > 0 and x > 0 go
to the subject's left, pitch > 0 down, roll > 0 towards the subject's right shoulder, z > 0 to the viewer.
"""

from __future__ import annotations

import numpy as np

from tdmm.errors import CorpusError

# ARKit's blendshapes without the eight of the eyes' direction, which follow from gazeYaw and gazePitch.
_PAIRED = (
    "browDown", "browOuterUp", "cheekSquint", "eyeBlink", "eyeSquint", "eyeWide", "mouthDimple", "mouthFrown",
    "mouthLowerDown", "mouthPress", "mouthSmile", "mouthStretch", "mouthUpperUp", "noseSneer",
)  # fmt: skip
_SINGLE = (
    "browInnerUp", "cheekPuff", "jawForward", "jawLeft", "jawOpen", "jawRight", "mouthClose", "mouthFunnel",
    "mouthLeft", "mouthPucker", "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower",
    "mouthShrugUpper", "tongueOut",
)  # fmt: skip
CURVES = tuple(f"{stem}{side}" for stem in _PAIRED for side in ("Left", "Right")) + _SINGLE
# How much both eyes turn to the nose, 0..1.
EYES = ("eyeCross", "gazeYaw", "gazePitch")
HEAD = ("headPitch", "headYaw", "headRoll", "headX", "headY", "headZ")
COLUMNS = CURVES + EYES + HEAD
INDEX = {name: number for number, name in enumerate(COLUMNS)}
N_CURVES = len(CURVES)
IN_CURVES = slice(0, N_CURVES + 1)  # what lies in 0..1

# Degrees that an eyeLook of 1 turns the eyes of the built-in head (`docs/head.md`).
GAZE_SIDE, GAZE_UP, GAZE_DOWN = 25.0, 17.0, 24.0
_SIGN_IN_MIRROR = {"gazeYaw": -1.0, "headYaw": -1.0, "headRoll": -1.0, "headX": -1.0}


def _mirrored_name(name: str) -> str:
    for side, other in (("Left", "Right"), ("Right", "Left")):
        if name.endswith(side):
            return name[: -len(side)] + other
    return name


_MIRROR_INDEX = np.array([INDEX[_mirrored_name(name)] for name in COLUMNS])
_MIRROR_SIGN = np.array([_SIGN_IN_MIRROR.get(name, 1.0) for name in COLUMNS], np.float32)
_OF_LEFT = np.array([not name.endswith("Right") for name in COLUMNS])


def row(weights: dict[str, float], where: str = "") -> np.ndarray:
    """(C,) float32 of named weights; a stem sets its left and right column. Raises `CorpusError` for unknown names."""
    values = np.zeros(len(COLUMNS), np.float32)
    for name, weight in weights.items():
        if name in INDEX:
            values[INDEX[name]] = weight
        elif f"{name}Left" in INDEX:
            values[[INDEX[f"{name}Left"], INDEX[f"{name}Right"]]] = weight
        else:
            raise CorpusError(f"{where}: there is no column {name!r}")
    return values


def mirrored(values: np.ndarray) -> np.ndarray:
    """The mirror image of rows (..., C): left and right change places."""
    return values[..., _MIRROR_INDEX] * _MIRROR_SIGN


def left_half(values: np.ndarray, other: float = 0.0) -> np.ndarray:
    """Rows (..., C) of which the subject's left half acts, and the right only by the part `other`."""
    return np.where(_OF_LEFT, values, values * other).astype(np.float32)
