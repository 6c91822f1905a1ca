"""The built-in head: 52 ARKit expressions, 100 identity components, eyes that turn, a neck on an upright torso.

The data, tdmm/assets/head.npz, is baked by scripts/build_head.py; docs/head.md describes every part of it.
"""

from __future__ import annotations

import io
from functools import cache, cached_property

import numpy as np
import torch

from tdmm.errors import FaceModelError
from tdmm.face.builtin_data import NAME, read_head_data
from tdmm.face.data import Buffers, check_coefficients
from tdmm.face.linear import points_on_triangles, rotvec_to_rotmat
from tdmm.face.model import Appearance, Joints, LandmarkEmbedding


@cache
def load_builtin_head() -> BuiltinHead:
    """The built-in head, read once per process. Raises `FaceModelError` if the installation lacks its data."""
    return BuiltinHead(read_head_data())


class BuiltinHead:
    """The built-in head as a `tdmm.face.model.FaceModel`; axes T, V, F, E, S, L as there.

    Gaze has two inputs that add up. The eight eyeLook* expressions move lids and eyeballs as linear blendshapes
    (right at 0 and at 1, the eyeball at most 0.4 mm too flat between); `eyes_pose` then turns each eyeball
    rigidly about its centre and leaves the lids alone.
    """

    name = NAME
    joints = Joints(neck=False, jaw=False, eyes=True)

    def __init__(self, data: dict[str, np.ndarray]) -> None:
        self._data = data
        self.sha256 = str(data["sha256"])
        self.expression_names = tuple(str(name) for name in data["expression_names"])
        self.faces: np.ndarray = data["faces"].astype(np.int32)
        self.n_shape: int = data["shape_basis"].shape[0]
        self.n_vertices: int = data["template"].shape[1]
        # Vertices are stored in the order: moved by the head alone, left eye, right eye, neck.
        eye = data["eye"]
        self._eyes = tuple(slice(*_run(eye == side)) for side in (1, 2))
        weight = data["head_weight"].astype(np.float32)
        self._neck = slice(*_run(weight < 1))
        # Stored by coordinate, (3, V) and not (V, 3): turning such arrays is one product of matrices a frame, which
        # is ten times faster than V products of tiny ones.
        self._buffers = Buffers(
            {
                "template": data["template"].reshape(-1),  # (3 V,)
                "shape_basis": _flat_float(data["shape_basis"]),  # (S, 3 V)
                "expression_basis": _flat_float(data["expression_basis"]),  # (E, 3 V)
                "neck_weight": weight[self._neck],  # (N,)
                "eye_centers": data["eye_centers"].reshape(-1),  # (6,), left then right
                "eye_centers_basis": data["eye_centers_basis"].reshape(-1, 6),  # (S, 6)
            }
        )
        self.landmark_embedding: LandmarkEmbedding | None = None
        if "landmark_face" in data:
            self.landmark_embedding = LandmarkEmbedding(
                data["landmark_face"].astype(np.int64), data["landmark_barycentric"], data["landmark_sigma"]
            )

    @cached_property
    def appearance(self) -> Appearance:
        """Parts, texture and ambient occlusion; the texture is decoded when first asked for."""
        data = self._data
        albedo = None
        if "albedo" in data:
            from PIL import Image

            albedo = np.asarray(Image.open(io.BytesIO(data["albedo"].tobytes())).convert("RGB"))
        return Appearance(
            part_names=tuple(str(name) for name in data["part_names"]),
            part_of_face=data["part_of_face"],
            uv=data["uv"].astype(np.float32),
            uv_faces=data["uv_faces"].astype(np.int32),
            albedo=albedo,
            ambient_occlusion=data["ambient_occlusion"].astype(np.float32) / 255,
        )

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
        """Posed vertices (T, V, 3); see `FaceModel.vertices`.

        A vertex of head weight w lands at w (R v + t) + (1 - w) (v + t): the torso stays upright. There is no
        jaw or neck joint: `neck_pose` and `jaw_pose` are accepted and do nothing. Raises `FaceModelError` for a
        wrong number of coefficients.
        """
        check_coefficients(shape, expression, self.n_shape, len(self.expression_names))
        parts = self._buffers.like(expression)
        neutral = parts["template"]
        if shape.shape[-1]:
            neutral = neutral + shape.to(expression) @ parts["shape_basis"][: shape.shape[-1]]
        n_frames = expression.shape[0]
        # (T, 3, V) until the end; written over in place, which autograd follows, because the memory of a clip is dear.
        posed = torch.addmm(neutral.expand(n_frames, -1), expression, parts["expression_basis"]).view(n_frames, 3, -1)
        if eyes_pose is not None:
            turns = rotvec_to_rotmat(eyes_pose.to(expression).reshape(n_frames, 2, 3))
            centers = self.eye_centers(shape.to(expression)).expand(n_frames, 2, 3)[..., None]
            for side, run in enumerate(self._eyes):
                around = posed[:, :, run] - centers[:, side]
                posed[:, :, run] = torch.baddbmm(centers[:, side], turns[:, side], around)
        if rotation is not None:
            turned = torch.bmm(rotvec_to_rotmat(rotation.to(expression)), posed)
            neck = torch.lerp(posed[:, :, self._neck], turned[:, :, self._neck], parts["neck_weight"])
            turned[:, :, self._neck] = neck
            posed = turned
        if translation is not None:
            posed = posed.add_(translation.to(expression)[:, :, None])  # head and torso alike
        return posed.transpose(1, 2).contiguous()

    def landmarks(self, vertices: torch.Tensor) -> torch.Tensor:
        """Embedded landmarks (T, L, 3); see `FaceModel.landmarks`."""
        embedding = self.landmark_embedding
        if embedding is None:
            raise FaceModelError(
                "the built-in head holds no landmark embedding; bake it with build_head.py --landmarks"
            )
        to = lambda array: torch.from_numpy(array).to(vertices.device)  # noqa: E731
        return points_on_triangles(
            vertices, to(self.faces), to(embedding.face), to(embedding.barycentric).to(vertices.dtype)
        )

    def eye_centers(self, shape: torch.Tensor) -> torch.Tensor:
        """Centres (..., 2, 3) of the left and the right eyeball in the head frame, metres, for shape (..., S')."""
        parts = self._buffers.like(shape)
        flat = parts["eye_centers"] + shape @ parts["eye_centers_basis"][: shape.shape[-1]]
        return flat.reshape(*shape.shape[:-1], 2, 3)


def _flat_float(basis: np.ndarray) -> np.ndarray:
    """16-bit floats (K, 3, V) as float32 (K, 3 V); torch converts ten times as fast as numpy."""
    return torch.from_numpy(basis).float().reshape(len(basis), -1).numpy()


def _run(mask: np.ndarray) -> tuple[int, int]:
    """Start and end of the one run of True."""
    where = np.flatnonzero(mask)
    return int(where[0]), int(where[-1]) + 1
