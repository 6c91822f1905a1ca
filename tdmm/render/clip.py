"""A motion to pictures: pose the face model, place it in the view, paint every frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from tdmm.errors import TdmmError
from tdmm.face import load_face_model
from tdmm.face.model import FaceModel
from tdmm.io.motion_file import read_motion
from tdmm.motion import FaceMotion
from tdmm.render.drawing import Painter
from tdmm.render.options import IDENTITY_NAMES, RenderOptions
from tdmm.render.styles import STYLES
from tdmm.render.surface import Surface, prepare_surface
from tdmm.render.threads import in_order
from tdmm.render.views import View, choose_view

# Frames posed at once: enough to use the matrix product well, little memory.
POSED_AT_ONCE = 32


@dataclass(frozen=True)
class Stage:
    """A motion ready to be painted, frame by frame, in any order."""

    motion: FaceMotion
    face_model: FaceModel
    shape: torch.Tensor
    painter: Painter
    view: View
    device: str = "cpu"

    def pictures(
        self, moments: Iterable[tuple[int, np.ndarray | None]] | None = None, opacity: float = 1.0
    ) -> Iterator[np.ndarray]:
        """Pictures (H, W, 3) uint8, painted ahead on all cores, or in batches on another device.

        moments: for each picture the frame (-1: without a head) and the background (H, W, 3) uint8 (None: plain);
        by default all frames on a plain background.
        """
        if moments is None:
            moments = ((frame, None) for frame in range(len(self.motion)))
        if torch.device(self.device).type == "cpu":
            return in_order(partial(self._paint, opacity), self._posed(moments))
        from tdmm.render.torch_drawing import paint_in_batches

        tasks = (
            (None if vertices is None else self.view.place(vertices, frame), background)
            for frame, background, vertices in self._posed(moments)
        )
        return paint_in_batches(self.painter, self.device, self.view.camera, tasks, opacity)

    def _paint(self, opacity: float, task: tuple[int, np.ndarray | None, np.ndarray | None]) -> np.ndarray:
        frame, background, vertices = task
        camera = self.view.camera
        if vertices is None:
            return self.painter.blank(camera, background)
        return self.painter.paint(self.view.place(vertices, frame), camera, background, opacity)

    def _posed(
        self, moments: Iterable[tuple[int, np.ndarray | None]]
    ) -> Iterator[tuple[int, np.ndarray | None, np.ndarray | None]]:
        """Frame, background and world vertices (V, 3); frames are posed in groups, in the order of time."""
        first, group = 0, np.empty(0)
        for frame, background in moments:
            if frame < 0:
                yield frame, background, None
                continue
            if not first <= frame < first + len(group):
                first = frame
                group = self.vertices(np.arange(frame, min(frame + POSED_AT_ONCE, len(self.motion))))
            yield frame, background, group[frame - first]

    def vertices(self, frames: np.ndarray) -> np.ndarray:
        """World vertices (n, V, 3) float32 of the frames with these indices (n,)."""
        return pose(self.motion, self.face_model, self.shape, frames)


def prepare(
    motion: FaceMotion,
    face_model: FaceModel | None = None,
    options: RenderOptions | None = None,
    size: tuple[int, int] | None = None,
    device: str = "cpu",
) -> Stage:
    """Everything that is computed once per clip. `size` (H, W) replaces that of the options."""
    options = options or RenderOptions()
    face_model = face_model or load_face_model()
    motion.check_face_model(face_model.name, face_model.sha256)
    if options.fps is not None:
        motion = motion.resample(options.fps)
    style = STYLES[options.style]
    if options.background is not None:
        style = replace(style, background=options.background)
    shape = identity(motion, face_model, options)
    view = choose_view(
        motion, options.view, size or options.size, lambda frames: pose(motion, face_model, shape, frames)
    )
    surface = surface_of(face_model, options.subdivide and style.subdivided)
    first = view.place(pose(motion, face_model, shape, np.array([0]))[0], 0)
    surface = surface.seen_from(view.camera.project(surface.refine(first))[0])
    return Stage(motion, face_model, shape, Painter(surface, style, options.antialias), view, device)


def surface_of(face_model: FaceModel, subdivide: bool = True) -> Surface:
    """The drawn surface of a face model."""
    look = face_model.appearance
    return prepare_surface(
        face_model.faces,
        face_model.n_vertices,
        part_names=look.part_names,
        part_of_face=look.part_of_face,
        uv=look.uv,
        uv_faces=look.uv_faces,
        albedo=look.albedo,
        ambient_occlusion=look.ambient_occlusion,
        subdivide=subdivide,
    )


def identity(motion: FaceMotion, face_model: FaceModel, options: RenderOptions) -> torch.Tensor:
    """Identity coefficients (S,) that the options ask for. Raises `TdmmError` for one that the model cannot show."""
    wanted = options.identity
    if isinstance(wanted, np.ndarray):
        shape = np.asarray(wanted, np.float32)
    elif wanted == "motion":
        shape = motion.shape
    elif wanted == "mean":
        shape = np.zeros(0, np.float32)
    elif wanted == "random":
        shape = np.random.default_rng(options.seed).standard_normal(face_model.n_shape).astype(np.float32)
    else:
        if not Path(wanted).exists():
            raise TdmmError(f"identity: expected {', '.join(IDENTITY_NAMES)} or a motion file, found {str(wanted)!r}")
        other = read_motion(wanted)
        other.check_face_model(face_model.name, face_model.sha256, str(wanted))
        shape = other.shape
    if shape.ndim != 1 or len(shape) > face_model.n_shape:
        raise TdmmError(
            f"identity: {face_model.name} has {face_model.n_shape} coefficients, found an array of shape {shape.shape}"
        )
    return torch.from_numpy(np.ascontiguousarray(shape))


def pose(motion: FaceMotion, face_model: FaceModel, shape: torch.Tensor, frames: np.ndarray) -> np.ndarray:
    """World vertices (n, V, 3) float32 of a motion's frames with the indices (n,)."""
    tensor = lambda name: torch.from_numpy(getattr(motion, name)[frames])  # noqa: E731
    with torch.inference_mode():
        return face_model.vertices(
            shape,
            tensor("expression"),
            **{name: tensor(name) for name in ("rotation", "translation", "neck_pose", "jaw_pose", "eyes_pose")},
        ).numpy()
