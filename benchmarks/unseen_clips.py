"""Clips of people who do not exist, with their truth: seeds that no training ever draws, pictures kept between runs.

Two sets: `studio`, people with random skin, hair, glasses, light, backgrounds, things before the face and camera
faults, as in the network's training pictures but from other seeds; and `plain`, the renderer's one skin and background.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tdmm.face import load_face_model
from tdmm.io.video import write_video
from tdmm.motion import FaceMotion
from tdmm.render import RenderOptions, render

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"
if str(SCRIPTS) not in sys.path:
    sys.path.insert(0, str(SCRIPTS))

from fit_prior.takes import MIXTURES, NATURAL, TEST_SEEDS, Takes, draw_takes  # noqa: E402

KINDS = {"mixtures": MIXTURES, "natural": NATURAL}
SETS = ("studio", "plain")
N_SEEDS, N_FRAMES, SIDE = 12, 60, 320
# Nearly without loss: the studio's pictures have their compression already.
CRF = 10


@dataclass(frozen=True)
class Clip:
    """A video and the motion that it shows."""

    path: Path
    truth: FaceMotion


def seeds(kind: str) -> range:
    """The seeds of the test set: other people for each kind of motion."""
    first = TEST_SEEDS + 100 * KINDS[kind]
    return range(first, first + N_SEEDS)


def clips(which: str, kind: str) -> Iterator[Clip]:
    """The clips of a set and a kind of motion; those that are not there yet are rendered first."""
    shoot = _studio() if which == "studio" else _plain
    for seed in seeds(kind):
        # Other takes than those of the same seed's other kind.
        takes = draw_takes(seed, 1, N_FRAMES, KINDS[kind])
        truth = takes.motion(0, SIDE)
        path = folder() / f"{which}-{kind}-{seed}.mp4"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_video(shoot(takes, seed), path, truth.fps, crf=CRF)
        yield Clip(path, truth)


def folder() -> Path:
    """Where the rendered clips are kept: named by what they were rendered with, or by TDMM_BENCH_CLIPS."""
    if "TDMM_BENCH_CLIPS" in os.environ:
        return Path(os.environ["TDMM_BENCH_CLIPS"])
    made_with = hashlib.sha256(load_face_model().sha256.encode())
    for path in sorted((SCRIPTS / "fit_prior").glob("*.py")):
        if path.stem in _PICTURES:
            made_with.update(path.read_bytes())
    return Path(tempfile.gettempdir()) / f"tdmm-bench-{made_with.hexdigest()[:12]}"


# The modules of scripts/fit_prior that say what the pictures show.
_PICTURES = {
    *("takes", "curves", "mixtures", "natural", "expressions", "heads"),
    *("studio", "looks", "lights", "backdrops", "occluders", "camera_faults", "canvas", "textures", "wardrobe"),
}


def _studio() -> Callable[[Takes, int], list[np.ndarray]]:
    """Shoots in the studio, which is built when it is first needed."""
    built: list[Any] = []

    def shoot(takes: Takes, seed: int) -> list[np.ndarray]:
        if not built:
            from fit_prior.studio import Studio

            built.append(Studio("cpu", SIDE))
        return list(built[0].shoot(takes, seed).images.numpy())

    return shoot


def _plain(takes: Takes, seed: int) -> list[np.ndarray]:
    options = RenderOptions(view="camera", background=(96, 104, 112))
    return [np.asarray(picture) for picture in render(takes.motion(0, SIDE), options=options)]
