"""The one interface of all face models: parameters in, posed vertices and landmarks out (torch)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch


@dataclass(frozen=True)
class LandmarkEmbedding:
    """Where L landmarks lie on a mesh.

    face: (L,) int64 triangle of each landmark, -1 where the landmark has no place on the mesh.
    barycentric: (L, 3) float32 weights of the triangle's corners, sum 1.
    sigma: (L,) float32 spread of the detector about that place, metres; infinite where it has none.
    scheme: which landmarks these are: `mediapipe478`, `ibug68`, ...
    """

    face: np.ndarray
    barycentric: np.ndarray
    sigma: np.ndarray
    scheme: str = "mediapipe478"


@dataclass(frozen=True)
class Appearance:
    """What a renderer may use beside the geometry; every part is optional.

    part_names: names such as skin, lips, sclera, iris, cornea, teeth, gums, tongue, mouth, lashes, brows.
    part_of_face: (F,) uint8 index into part_names.
    uv: (U, 2) float32 in 0..1, v up. uv_faces: (F, 3) int32 into uv.
    albedo: (H, W, 3) uint8 sRGB texture over uv, row 0 at v = 1.
    ambient_occlusion: (V,) float32, 1 open to 0 closed, of the neutral face.
    """

    part_names: tuple[str, ...] = ("skin",)
    part_of_face: np.ndarray | None = None
    uv: np.ndarray | None = None
    uv_faces: np.ndarray | None = None
    albedo: np.ndarray | None = None
    ambient_occlusion: np.ndarray | None = None


@dataclass(frozen=True)
class Joints:
    """Which articulated parts a face model has; poses of the others stay zero."""

    neck: bool = False
    jaw: bool = False
    eyes: bool = True


@runtime_checkable
class FaceModel(Protocol):
    """A parametric head: built-in, FLAME or ICT-FaceKit.

    Axes: T frames, V vertices, F triangles, E expressions, S identity coefficients, L landmarks.
    """

    landmark_embedding: LandmarkEmbedding | None  # None: not known yet, derive it (tdmm.fit) and set it

    @property
    def name(self) -> str: ...  # e.g. tdmm-head-1, flame-2023

    @property
    def sha256(self) -> str: ...  # fingerprint of the data

    @property
    def expression_names(self) -> tuple[str, ...]: ...  # E names

    @property
    def n_shape(self) -> int: ...  # S

    @property
    def faces(self) -> np.ndarray: ...  # (F, 3) int32, counter-clockwise seen from outside

    @property
    def joints(self) -> Joints: ...

    @property
    def appearance(self) -> Appearance: ...

    @property
    def n_vertices(self) -> int: ...

    def vertices(
        self,
        shape: torch.Tensor,
        expression: torch.Tensor,
        *,
        rotation: torch.Tensor | None = None,
        translation: torch.Tensor | None = None,
        neck_pose: torch.Tensor | None = None,
        jaw_pose: torch.Tensor | None = None,
        eyes_pose: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Posed vertices (T, V, 3), metres, in world = camera space; differentiable in every argument.

        shape: (S,) or (T, S), shorter than S allowed: the rest is zero. expression: (T, E).
        rotation, translation, neck_pose, jaw_pose: (T, 3); eyes_pose: (T, 6); None means zero (at rest).
        Works on the device and in the float dtype of `expression`.
        """
        ...

    def landmarks(self, vertices: torch.Tensor) -> torch.Tensor:
        """Positions (T, L, 3) of the embedded landmarks on posed vertices (T, V, 3).

        Landmarks that have no place on the mesh (face -1) are returned as NaN. Raises `FaceModelError` if the
        model has no embedding.
        """
        ...
