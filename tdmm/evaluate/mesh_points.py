"""Some vertices of a face model, for many frames quickly: the face, its lips and lids, and where those meet.

Models without joints in jaw and neck are linear in the head frame: their vertices are then a product of matrices, of
these few vertices alone, which is tried against the model before it is believed. Other models pose their whole mesh.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from tdmm.errors import EvaluationError
from tdmm.face.linear import rotvec_to_rotmat
from tdmm.face.model import FaceModel
from tdmm.fit.recovery import inside_face
from tdmm.fit.scheme import IBUG68, MEDIAPIPE478, Scheme, scheme_of
from tdmm.fit.topology import pieces
from tdmm.motion import FaceMotion

# Rings of the lips, outer and inner, and of the lids (mediapipe's canonical face; Sagonas et al. 2013).
_LIPS = {
    MEDIAPIPE478.name: [
        *(61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409),
        *(78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 191, 80, 81, 82, 13, 312, 311, 310, 415),
    ],
    IBUG68.name: list(range(48, 68)),
}
_LIDS = {
    MEDIAPIPE478.name: [
        *(33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246),
        *(263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466),
    ],
    IBUG68.name: list(range(36, 48)),
}
# The middle of the inner upper lip and of the inner lower lip.
_LIP_MIDDLES = {MEDIAPIPE478.name: (13, 14), IBUG68.name: (62, 66)}
# A vertex of the skin belongs to lips or lids if one of their landmarks is no further away on the resting face, metres.
NEAR = 0.004
# A linear model may miss the face model by this much, metres.
LINEAR_WITHIN = 2e-5
BLOCK = 256  # frames whose whole mesh is made at once, where it has to be


@dataclass(frozen=True)
class MeshPoints:
    """The N vertices of a face model that scores look at.

    vertices: (N,) their numbers in the mesh. face, lips, eyelids: places in 0..N-1.
    corners, weights: (G, 2, 3) triangles in 0..N-1, and barycentric places in them, of G pairs of landmarks that meet:
    the middles of the lips, then the lids of the right and of the left eye.
    linear: neutral (3 N,), shape basis (S, 3 N), expression basis (E, 3 N) and part of the head (N,), or None.
    """

    model: FaceModel
    vertices: np.ndarray
    face: torch.Tensor
    lips: torch.Tensor
    eyelids: torch.Tensor
    corners: torch.Tensor
    weights: torch.Tensor
    linear: tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor] | None

    def in_head(self, motion: FaceMotion, shape: torch.Tensor) -> torch.Tensor:
        """(T, 3, N) metres in the head frame, head pose taken off, of identity `shape` (S',)."""
        if self.linear is None:
            return self._posed(motion, shape, ("jaw_pose", "eyes_pose"))
        neutral, shapes, expressions, _ = self.linear
        identity = neutral + shape @ shapes[: len(shape)]
        return torch.addmm(identity, torch.from_numpy(motion.expression), expressions).view(len(motion), 3, -1)

    def in_world(self, motion: FaceMotion, shape: torch.Tensor, in_head: torch.Tensor) -> torch.Tensor:
        """(T, 3, N) metres in the world; in_head: of the same motion."""
        if self.linear is None:
            return self._posed(motion, shape, ("jaw_pose", "eyes_pose", "neck_pose", "rotation", "translation"))
        turned = torch.bmm(rotvec_to_rotmat(torch.from_numpy(motion.rotation)), in_head)
        part = self.linear[3]
        loose = torch.nonzero(part < 1)[:, 0]
        if len(loose):
            turned[:, :, loose] = torch.lerp(in_head[:, :, loose], turned[:, :, loose], part[loose])
        return turned.add_(torch.from_numpy(motion.translation)[:, :, None])

    def gaps(self, in_head: torch.Tensor) -> torch.Tensor:
        """(T, G) metres between the landmarks that meet, from (T, 3, N)."""
        points = (in_head[:, :, self.corners] * self.weights).sum(-1)  # (T, 3, G, 2)
        return (points[..., 0] - points[..., 1]).norm(dim=1)

    def _posed(self, motion: FaceMotion, shape: torch.Tensor, pose: tuple[str, ...]) -> torch.Tensor:
        return _of_model(self.model, self.vertices, motion, shape, pose)


def mesh_points(model: FaceModel) -> MeshPoints:
    """The vertices that scores look at. Raises `EvaluationError` for a model without a landmark embedding.

    face: the part of the skin, the mesh's largest piece, within the box of the resting landmarks, as
    `tdmm.fit.recovery` has it. lips, eyelids: vertices of the skin within 4 mm of a landmark of the lips' or lids'
    contours.
    """
    embedding = model.landmark_embedding
    if embedding is None:
        raise EvaluationError(
            f"{model.name} has no landmark embedding, which tells where its lips and lids are; derive it with "
            "tdmm.fit.embedding"
        )
    scheme = scheme_of(embedding.scheme)
    with torch.inference_mode():
        rest = model.vertices(torch.zeros(0), torch.zeros(1, len(model.expression_names)))
        face = inside_face(rest[0], model).numpy()
        landmarks = model.landmarks(rest)[0].numpy()
    piece = pieces(model.faces, model.n_vertices)
    skin = piece == np.bincount(piece).argmax()
    masks = [face, *(skin & _near(rest[0].numpy(), landmarks[ring[scheme.name]]) for ring in (_LIPS, _LIDS))]
    pairs = np.array(_meeting(scheme))
    if (embedding.face[pairs] < 0).any():
        raise EvaluationError(f"{model.name}: its landmark embedding has no place for the lips' or the lids' landmarks")
    mesh_corners = model.faces[embedding.face[pairs]]
    wanted = np.logical_or.reduce(masks)
    wanted[mesh_corners] = True
    vertices = np.flatnonzero(wanted)
    place = np.full(model.n_vertices, -1)
    place[vertices] = np.arange(len(vertices))
    face_places, lips, eyelids = (torch.from_numpy(place[mask]) for mask in masks)
    return MeshPoints(
        model,
        vertices,
        face_places,
        lips,
        eyelids,
        torch.from_numpy(place[mesh_corners]),
        torch.from_numpy(embedding.barycentric[pairs].astype(np.float32)),
        _linear(model, vertices),
    )


def _near(rest: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    from scipy.spatial import cKDTree

    known = landmarks[np.isfinite(landmarks).all(1)]
    return np.asarray(cKDTree(known).query(rest)[0] <= NEAR)


def _meeting(scheme: Scheme) -> list[tuple[int, int]]:
    return [_LIP_MIDDLES[scheme.name], *(pair for eye in scheme.eyes for pair in eye.lids)]


def _linear(
    model: FaceModel, vertices: np.ndarray
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor] | None:
    """The model's own matrices for some vertices, read off its answers; None where it is not linear."""
    if model.joints.jaw or model.joints.neck:
        return None
    n_expressions, some = len(model.expression_names), torch.from_numpy(vertices)

    def at(shape: torch.Tensor, expression: torch.Tensor, **pose: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return model.vertices(shape, expression, **pose)[:, some].transpose(1, 2)  # type: ignore[arg-type]

    def flat(points: torch.Tensor) -> torch.Tensor:
        return points.reshape(len(points), -1)

    none = torch.zeros(0)
    neutral = at(none, torch.zeros(1, n_expressions))
    expressions = torch.cat([flat(at(none, part) - neutral) for part in torch.eye(n_expressions).split(64)])
    units = torch.eye(model.n_shape).split(64) if model.n_shape else ()
    shapes = [flat(at(part, torch.zeros(len(part), n_expressions)) - neutral) for part in units]
    shape_basis = torch.cat(shapes) if shapes else torch.zeros(0, neutral.numel())
    turn = torch.tensor([[0.0, 0.5, 0.0]])
    turned = rotvec_to_rotmat(turn) @ neutral - neutral
    moved = at(none, torch.zeros(1, n_expressions), rotation=turn) - neutral
    part = ((moved * turned).sum(1) / (turned**2).sum(1).clamp_min(1e-12))[0]
    part = torch.where(part > 1 - 1e-4, torch.ones_like(part), part)
    # Tried far from rest, with a generator of its own so that nobody's seed is touched.
    random = torch.Generator().manual_seed(0)
    shape, expression = torch.randn(model.n_shape, generator=random), torch.rand(3, n_expressions, generator=random)
    rotvec = 0.3 * torch.randn(3, 3, generator=random)
    straight = (neutral.reshape(-1) + shape @ shape_basis + expression @ expressions).view(3, 3, -1)
    guess = torch.lerp(straight, rotvec_to_rotmat(rotvec) @ straight, part)
    eyes = {"eyes_pose": 0.2 * torch.randn(3, 6, generator=random)} if model.joints.eyes else {}
    if (guess - at(shape, expression, rotation=rotvec, **eyes)).norm(dim=1).max() > LINEAR_WITHIN:
        return None
    # Out of inference mode, which would follow them around.
    neutral, shape_basis, expressions, part = (
        tensor.clone() for tensor in (neutral.reshape(-1), shape_basis, expressions, part)
    )
    return neutral, shape_basis, expressions, part


def _of_model(
    model: FaceModel, vertices: np.ndarray, motion: FaceMotion, shape: torch.Tensor, pose: tuple[str, ...]
) -> torch.Tensor:
    some, blocks = torch.from_numpy(vertices), []
    for start in range(0, len(motion), BLOCK):
        frames = slice(start, start + BLOCK)
        tensors = {name: torch.from_numpy(getattr(motion, name)[frames]) for name in pose}
        posed = model.vertices(shape, torch.from_numpy(motion.expression[frames]), **tensors)
        blocks.append(posed[:, some].transpose(1, 2))
    return torch.cat(blocks)
