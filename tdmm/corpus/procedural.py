"""Film performances: a person, a room and a camera of their own for each clip, drawn by tdmm's renderer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from tdmm.corpus.looks import Look, LookRandoms, draw_look, framed
from tdmm.corpus.paint import Skin, backdrop
from tdmm.face import load_face_model
from tdmm.face.model import FaceModel
from tdmm.io.video import write_video
from tdmm.motion import FaceMotion
from tdmm.render.clip import pose, surface_of
from tdmm.render.drawing import Painter
from tdmm.render.surface import Surface
from tdmm.render.threads import in_order
from tdmm.render.views import choose_view

# Smaller pictures are drawn on the head's own mesh: its triangles are then no larger than some pixels.
SUBDIVIDED_FROM = 400
POSED_AT_ONCE = 64


class Studio:
    """What is loaded once a process: the head and its surfaces."""

    def __init__(self) -> None:
        self.model: FaceModel = load_face_model()
        self._skin = Skin(self.model)
        self._surfaces: dict[bool, Surface] = {}

    def shoot(
        self, motion: FaceMotion, randoms: LookRandoms, size: tuple[int, int]
    ) -> tuple[FaceMotion, Iterator[np.ndarray]]:
        """The motion as it is filmed (with identity and camera), and its pictures (H, W, 3) uint8."""
        look = draw_look(randoms, self.model.n_shape)
        motion = framed(motion, look, size)
        return motion, self._pictures(motion, look)

    def film(self, motion: FaceMotion, randoms: LookRandoms, size: tuple[int, int], target: Path) -> FaceMotion:
        """Write the video, and return the motion as it is filmed. Raises `OutputError` if it cannot be written."""
        filmed, pictures = self.shoot(motion, randoms, size)
        write_video(pictures, target, motion.fps, threads=1)
        return filmed

    def _pictures(self, motion: FaceMotion, look: Look) -> Iterator[np.ndarray]:
        import torch

        view = choose_view(motion, "camera", None, lambda frames: np.empty(0))
        shape = torch.from_numpy(motion.shape)
        surface = replace(self._surface(max(motion.image_size) >= SUBDIVIDED_FROM), albedo=self._skin.texture(look))
        first = view.place(pose(motion, self.model, shape, np.array([0]))[0], 0)
        surface = surface.seen_from(view.camera.project(surface.refine(first))[0])
        painter = Painter(surface, look.style)
        behind = backdrop(look, motion)

        def posed() -> Iterator[np.ndarray]:
            for start in range(0, len(motion), POSED_AT_ONCE):
                yield from pose(motion, self.model, shape, np.arange(start, min(start + POSED_AT_ONCE, len(motion))))

        return in_order(lambda vertices: painter.paint(vertices, view.camera, behind), posed())

    def _surface(self, subdivide: bool) -> Surface:
        if subdivide not in self._surfaces:
            self._surfaces[subdivide] = surface_of(self.model, subdivide)
        return self._surfaces[subdivide]
