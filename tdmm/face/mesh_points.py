"""Some vertices of a face model, for many frames quickly: the face, its lips and lids, where those meet, the eyeballs.

Models without joints in jaw and neck are mostly linear in the head frame: their vertices are then a product of
matrices, of these few vertices alone (`tdmm.face.linear_points`). Other models pose their whole mesh.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch

from tdmm.errors import FaceModelError
from tdmm.face.linear_points import LinearPoints, read_linear_points
from tdmm.face.model import FaceModel
from tdmm.face.scheme import IBUG68, MEDIAPIPE478, Scheme, scheme_of
from tdmm.face.topology import fit_sphere, pieces
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
# An eye moves a piece of the mesh if it takes its vertices further than this on the average, metres ...
MOVED = 0.0005
# ... by a turn of so many radians, or by an expression that is 1.
TURN = 0.2
BLOCK = 256  # frames whose whole mesh is made at once, where it has to be


@dataclass(frozen=True)
class MeshPoints:
    """The N vertices of a face model that losses and scores look at.

    vertices: (N,) their numbers in the mesh. face, lips, eyelids, eyes: places in 0..N-1; eyes: of the halves of the
    eyeballs that face forward, none where the model has no eyeballs, or was asked for none.
    corners, weights: (G, 2, 3) triangles in 0..N-1, and barycentric places in them, of G pairs of landmarks that meet:
    the middles of the lips, then the lids of the right and of the left eye.
    linear: the short cut for these vertices, or None.
    """

    model: FaceModel
    vertices: np.ndarray
    face: torch.Tensor
    lips: torch.Tensor
    eyelids: torch.Tensor
    eyes: torch.Tensor
    corners: torch.Tensor
    weights: torch.Tensor
    linear: LinearPoints | None

    def to(self, device: torch.device | str) -> MeshPoints:
        """The same with its tensors on a device. `in_head_of` goes where its arguments are all by itself."""
        names = ("face", "lips", "eyelids", "eyes", "corners", "weights")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})

    def some(self, places: np.ndarray) -> MeshPoints:
        """Those at `places` (M,), and the corners that the gaps need (which count to no region by that)."""
        corners = self.corners.cpu().numpy()
        kept = np.union1d(places, corners)
        number = np.full(len(self.vertices), -1)
        number[kept] = np.arange(len(kept))

        def still(one: torch.Tensor) -> torch.Tensor:
            found = number[np.intersect1d(one.cpu().numpy(), places)]
            return torch.from_numpy(found).to(one.device)

        return replace(
            self,
            vertices=self.vertices[kept],
            face=still(self.face),
            lips=still(self.lips),
            eyelids=still(self.eyelids),
            eyes=still(self.eyes),
            corners=torch.from_numpy(number[corners]).to(self.corners.device),
            linear=None if self.linear is None else self.linear.some(kept),
        )

    def in_head(self, motion: FaceMotion, shape: torch.Tensor) -> torch.Tensor:
        """(T, 3, N) metres in the head frame, head pose taken off, of identity `shape` (S',)."""
        expression, jaw, eyes = map(torch.from_numpy, (motion.expression, motion.jaw_pose, motion.eyes_pose))
        return self.in_head_of(expression, jaw, eyes, shape)

    def in_head_of(
        self,
        expression: torch.Tensor,
        jaw_pose: torch.Tensor | None,
        eyes_pose: torch.Tensor | None,
        shape: torch.Tensor,
    ) -> torch.Tensor:
        """(T, 3, N) metres in the head frame; differentiable, on the device and in the dtype of `expression`.

        expression: (T, E). jaw_pose: (T, 3), eyes_pose: (T, 6) radians, None: at rest. shape: (S',), may be short.
        """
        if self.linear is not None:
            return self.linear.in_head(expression, eyes_pose, shape)
        return self._posed(expression, shape, {"jaw_pose": jaw_pose, "eyes_pose": eyes_pose})

    def in_world(self, motion: FaceMotion, shape: torch.Tensor, in_head: torch.Tensor) -> torch.Tensor:
        """(T, 3, N) metres in the world; in_head: of the same motion."""
        if self.linear is None:
            names = ("jaw_pose", "eyes_pose", "neck_pose", "rotation", "translation")
            pose = {name: torch.from_numpy(getattr(motion, name)) for name in names}
            return self._posed(torch.from_numpy(motion.expression), shape, pose)
        turned = self.linear.turned(in_head, torch.from_numpy(motion.rotation))
        return turned.add_(torch.from_numpy(motion.translation).to(in_head)[:, :, None])

    def gaps(self, in_head: torch.Tensor) -> torch.Tensor:
        """(T, G) metres between the landmarks that meet, from (T, 3, N)."""
        points = (in_head[:, :, self.corners] * self.weights).sum(-1)  # (T, 3, G, 2)
        return (points[..., 0] - points[..., 1]).norm(dim=1)

    def _posed(
        self, expression: torch.Tensor, shape: torch.Tensor, pose: Mapping[str, torch.Tensor | None]
    ) -> torch.Tensor:
        some, blocks = torch.from_numpy(self.vertices).to(expression.device), []
        for start in range(0, len(expression), BLOCK):
            frames = slice(start, start + BLOCK)
            given = {name: value[frames] for name, value in pose.items() if value is not None}
            posed = self.model.vertices(shape, expression[frames], **given)  # type: ignore[arg-type]
            blocks.append(posed[:, some].transpose(1, 2))
        return torch.cat(blocks)


def mesh_points(model: FaceModel, *, eyes: bool = True) -> MeshPoints:
    """The vertices to look at. Raises `FaceModelError` for a model without a landmark embedding.

    face: the part of the skin, the mesh's largest piece, within the box of the resting landmarks. lips, eyelids:
    vertices of the skin within 4 mm of a landmark of the lips' or lids' contours. eyes: False leaves eyeballs out.
    """
    embedding = model.landmark_embedding
    if embedding is None:
        raise FaceModelError(
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
    masks.append(_eyeballs(model, piece, rest[0].numpy()) if eyes else np.zeros(model.n_vertices, bool))
    pairs = np.array(_meeting(scheme))
    if (embedding.face[pairs] < 0).any():
        raise FaceModelError(f"{model.name}: its landmark embedding has no place for the lips' or the lids' landmarks")
    mesh_corners = model.faces[embedding.face[pairs]]
    wanted = np.logical_or.reduce(masks)
    wanted[mesh_corners] = True
    vertices = np.flatnonzero(wanted)
    place = np.full(model.n_vertices, -1)
    place[vertices] = np.arange(len(vertices))
    face_places, lips, eyelids, eyeballs = (torch.from_numpy(place[mask]) for mask in masks)
    return MeshPoints(
        model,
        vertices,
        face_places,
        lips,
        eyelids,
        eyeballs,
        torch.from_numpy(place[mesh_corners]),
        torch.from_numpy(embedding.barycentric[pairs].astype(np.float32)),
        read_linear_points(model, vertices, eyeballs.numpy()),
    )


def inside_face(rest: torch.Tensor, model: FaceModel) -> torch.Tensor:
    """(V,) bool: the part of the mesh's largest piece, the skin, within the box of the resting landmarks.

    rest: (V, 3) vertices of the resting head.
    """
    points = model.landmarks(rest[None])[0]
    points = points[~points.isnan().any(1)]
    piece = torch.as_tensor(pieces(model.faces, model.n_vertices))
    inside = ((rest >= points.amin(0)) & (rest <= points.amax(0))).all(1)
    return (piece == piece.bincount().argmax()) & inside


def _eyeballs(model: FaceModel, piece: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """(V,) bool: the front halves of the pieces beside the skin that an eye turns: by its joint, or, where there is
    none, by eyeLook expressions (which lashes follow too, but these follow the lids besides)."""
    sizes = np.bincount(piece)

    def moved(expression: torch.Tensor, **pose: torch.Tensor) -> np.ndarray:
        with torch.inference_mode():
            posed = model.vertices(torch.zeros(0), expression, **pose).numpy()  # type: ignore[arg-type]
        ways = np.linalg.norm(posed - rest, axis=2)
        return np.any([np.bincount(piece, way) > MOVED * sizes for way in ways], axis=0)

    def moved_by(*starts: str) -> np.ndarray:
        rows = torch.eye(len(names))[[name.startswith(starts) for name in names]]
        return moved(rows) if len(rows) else np.zeros(len(sizes), bool)

    names = model.expression_names
    if model.joints.eyes:
        turns = TURN * torch.eye(6)[[1, 4]]  # to the left, of the left and of the right eye
        turning = moved(torch.zeros(2, len(names)), eyes_pose=turns)
    else:
        turning = moved_by("eyeLook") & ~moved_by("eyeBlink", "eyeSquint")
    turning[sizes.argmax()] = False
    turning[sizes < 3] = False  # no triangle holds these vertices
    front = np.zeros(len(rest), bool)
    for number in np.flatnonzero(turning):
        mine = np.flatnonzero(piece == number)
        front[mine[rest[mine, 2] > fit_sphere(rest[mine])[0][2]]] = True
    return front


def _near(rest: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    from scipy.spatial import cKDTree

    known = landmarks[np.isfinite(landmarks).all(1)]
    return np.asarray(cKDTree(known).query(rest)[0] <= NEAR)


def _meeting(scheme: Scheme) -> list[tuple[int, int]]:
    return [_LIP_MIDDLES[scheme.name], *(pair for eye in scheme.eyes for pair in eye.lids)]
