"""Random facial motions before random cameras: what the studio shoots and the network learns from.

    from fit_prior.takes import draw_takes
    takes = draw_takes(seed=7, count=64, n_frames=48)

Half of the takes are mixtures of all actions (`mixtures`), half are natural motion (`natural`). Everything is numpy,
drawn for all takes at once, and the same for the same arguments.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from tdmm.face import load_face_model
from tdmm.fit.controls import Controls, controls_of
from tdmm.motion import FaceMotion, make_motion

from .heads import place
from .mixtures import believable, mixtures
from .natural import natural

MIXTURES, NATURAL = 0, 1
# Training draws seeds below this one, tests those from it on: no take of a test is ever learnt from.
TEST_SEEDS = 1_000_000
FPS = (12.0, 15.0, 24.0, 25.0, 30000 / 1001, 30.0, 50.0, 60.0)
FPS_PARTS = (0.05, 0.07, 0.2, 0.22, 0.1, 0.2, 0.06, 0.1)
SHAPE_SPREAD = (0.3, 1.1)


@dataclass(frozen=True)
class Takes:
    """B sequences of T frames of square pictures with the principal point in the middle.

    controls: (B, T, C) float32 of the built-in head (`tdmm.fit.controls`). shape: (B, 100) float32 identities.
    rotation: (B, T, 3) float32 axis-angle radians. translation: (B, T, 3) float32 metres.
    focal: (B,) float32 in lengths of the picture's side. fps: (B,) float64. kind: (B,) int, 0 mixtures, 1 natural.
    """

    controls: np.ndarray
    shape: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    focal: np.ndarray
    fps: np.ndarray
    kind: np.ndarray

    def __len__(self) -> int:
        return len(self.controls)

    def motion(self, number: int, side: int) -> FaceMotion:
        """One take as a motion of the built-in head in pictures of `side` x `side` pixels."""
        head, controls = load_face_model(), head_controls()
        focal = float(self.focal[number]) * side
        return make_motion(
            (self.controls[number] @ controls.to_expression).astype(np.float32),
            head.expression_names,
            face_model=head.name,
            face_model_sha256=head.sha256,
            fps=float(self.fps[number]),
            shape=self.shape[number],
            rotation=self.rotation[number],
            translation=self.translation[number],
            camera=np.array([[focal, 0, side / 2], [0, focal, side / 2], [0, 0, 1]]),
            image_size=(side, side),
        )


@lru_cache(maxsize=1)
def head_controls() -> Controls:
    """The controls of the built-in head, the columns of `Takes.controls`."""
    return controls_of(load_face_model())


def draw_takes(seed: int, count: int, n_frames: int, kind: int | None = None) -> Takes:
    """`count` random takes of `n_frames` frames. kind: `MIXTURES`, `NATURAL`, or None for both at random."""
    random = np.random.default_rng(seed)
    controls = head_controls()
    kinds = random.integers(0, 2, count) if kind is None else np.full(count, kind)
    fps = random.choice(FPS, count, p=FPS_PARTS)
    times = np.arange(n_frames) / fps[:, None]
    heads = place(random, times)
    values = np.empty((count, n_frames, len(controls)), np.float32)
    mixed = kinds == MIXTURES
    if mixed.any():
        values[mixed] = mixtures(random, times[mixed], controls)
    if not mixed.all():
        values[~mixed] = natural(random, times[~mixed], controls, heads.turn[~mixed])
    spread = random.uniform(*SHAPE_SPREAD, (count, 1))
    return Takes(
        controls=believable(values, controls),
        shape=(spread * random.standard_normal((count, load_face_model().n_shape))).astype(np.float32),
        rotation=heads.rotation,
        translation=heads.translation,
        focal=heads.focal,
        fps=fps,
        kind=kinds,
    )
