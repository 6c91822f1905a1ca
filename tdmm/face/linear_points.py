"""Vertices of a face model as a product of matrices, read off the model's own answers and tried before it is believed.

Only eyeballs are not linear there: `eyes_pose` turns each about its centre, which depends on the identity linearly.
"""

from __future__ import annotations

import numpy as np
import torch

from tdmm.face.data import Buffers
from tdmm.face.linear import rotvec_to_rotmat
from tdmm.face.model import FaceModel

# The short cut may miss the face model by this much, metres.
LINEAR_WITHIN = 2e-5
# A turn of an eye moves its own vertices by more than this, metres, and others not at all.
TURNED = 1e-5


class LinearPoints:
    """N vertices in the head frame: neutral + shape basis + expression basis, then eyeballs that turn.

    Stored by coordinate, (3, N): turning them is one product of matrices a frame.
    """

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        """`arrays`: neutral (3 N,), shapes (S, 3 N), expressions (E, 3 N), part (N,), of the head, 1 where `rotation`
        turns a vertex wholly; left, right: places in 0..N-1 that an eye turns; centres (6,) and centre_basis (S, 6) of
        the left and the right eye."""
        self._arrays, self._buffers = arrays, Buffers(arrays)
        self._eyes = bool(len(arrays["left"]) or len(arrays["right"]))
        self._loose = bool((arrays["part"] < 1).any())

    def in_head(self, expression: torch.Tensor, eyes_pose: torch.Tensor | None, shape: torch.Tensor) -> torch.Tensor:
        """(T, 3, N) metres; see `tdmm.face.mesh_points.MeshPoints.in_head_of`."""
        parts, identity = self._buffers.like(expression), shape.to(expression)
        count = len(identity)
        neutral = parts["neutral"] + identity @ parts["shapes"][:count]
        points = torch.addmm(neutral, expression, parts["expressions"]).view(len(expression), 3, len(neutral) // 3)
        # Eyes at rest are not turned where that saves time: on a GPU asking costs more, and a gradient needs the turn.
        if (
            self._eyes
            and eyes_pose is not None
            and (eyes_pose.requires_grad or eyes_pose.device.type != "cpu" or bool(eyes_pose.any()))
        ):
            turns = rotvec_to_rotmat(eyes_pose.to(expression).reshape(-1, 2, 3))
            centres = (parts["centres"] + identity @ parts["centre_basis"][:count]).view(2, 3, 1)
            for side, places in enumerate((parts["left"], parts["right"])):
                around = points[:, :, places] - centres[side]
                points.index_copy_(2, places, torch.baddbmm(centres[side], turns[:, side], around))
        return points

    def some(self, places: np.ndarray) -> LinearPoints:
        """Those at `places` (M,), in their order."""
        arrays, count = dict(self._arrays), len(self._arrays["part"])
        for name in ("neutral", "shapes", "expressions"):
            by_coordinate = arrays[name].reshape(-1, 3, count)[:, :, places]
            arrays[name] = by_coordinate.reshape(*arrays[name].shape[:-1], -1)
        arrays["part"] = arrays["part"][places]
        for name in ("left", "right"):
            arrays[name] = np.flatnonzero(np.isin(places, arrays[name]))
        return LinearPoints(arrays)

    def turned(self, in_head: torch.Tensor, rotation: torch.Tensor) -> torch.Tensor:
        """(T, 3, N) after the head's `rotation` (T, 3), from (T, 3, N)."""
        turned = torch.bmm(rotvec_to_rotmat(rotation.to(in_head)), in_head)
        if self._loose:
            part = self._buffers.like(in_head)["part"]
            loose = torch.nonzero(part < 1)[:, 0]
            turned[:, :, loose] = torch.lerp(in_head[:, :, loose], turned[:, :, loose], part[loose])
        return turned


def read_linear_points(model: FaceModel, vertices: np.ndarray, eyes: np.ndarray) -> LinearPoints | None:
    """The model's own matrices for some of its vertices (N,), of which those at `eyes` are of eyeballs; None where the
    model is not linear there."""
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
    arrays = {
        "neutral": neutral.reshape(-1),
        "shapes": shape_basis,
        "expressions": expressions,
        "part": part,
        **_turning_eyes(model, some, torch.from_numpy(eyes)),
    }
    points = LinearPoints({name: tensor.numpy() for name, tensor in arrays.items()})
    # Tried far from rest, with a generator of its own so that nobody's seed is touched.
    random = torch.Generator().manual_seed(0)
    shape, expression = torch.randn(model.n_shape, generator=random), torch.rand(3, n_expressions, generator=random)
    rotvec = 0.3 * torch.randn(3, 3, generator=random)
    gaze = 0.2 * torch.randn(3, 6, generator=random) if model.joints.eyes else None
    guess = points.turned(points.in_head(expression, gaze, shape), rotvec)
    pose = {"rotation": rotvec} if gaze is None else {"rotation": rotvec, "eyes_pose": gaze}
    return points if (guess - at(shape, expression, **pose)).norm(dim=1).max() <= LINEAR_WITHIN else None


def _turning_eyes(model: FaceModel, some: torch.Tensor, eyes: torch.Tensor) -> dict[str, torch.Tensor]:
    """Which of the places `eyes` among the vertices `some` each eye's joint turns, and about which centres."""
    places, centres = [eyes[:0]] * 2, torch.zeros(model.n_shape + 1, 2, 3)
    if model.joints.eyes and len(eyes):
        two = torch.tensor([[0.5, 0.0, 0.0], [0.0, 0.5, 0.0]])  # about one axis alone the centre were free along it
        identities = torch.cat([torch.zeros(1, model.n_shape), torch.eye(model.n_shape)])
        for side in (0, 1):
            gaze = torch.zeros(3, 6)
            gaze[1:, 3 * side : 3 * side + 3] = two
            posed = torch.cat([_gazing(model, chunk, gaze)[:, :, some[eyes]] for chunk in identities.split(16)])
            moves = (posed[0, 1:] - posed[0, 0]).norm(dim=-1).amax(0) > TURNED
            places[side] = eyes[moves]
            if moves.any():
                centres[:, side] = _pivots(posed[:, 0, moves], posed[:, 1:, moves], two)
    centres[1:] -= centres[:1].clone()
    flat = centres.flatten(1)
    return {"left": places[0], "right": places[1], "centres": flat[0], "centre_basis": flat[1:]}


def _gazing(model: FaceModel, identities: torch.Tensor, gaze: torch.Tensor) -> torch.Tensor:
    """(K, G, V, 3) metres: vertices of K identities (K, S) for each of G turns of the eyes (G, 6)."""
    shape, eyes_pose = identities.repeat_interleave(len(gaze), 0), gaze.repeat(len(identities), 1)
    with torch.inference_mode():
        posed = model.vertices(shape, torch.zeros(len(shape), len(model.expression_names)), eyes_pose=eyes_pose)
    return posed.unflatten(0, (len(identities), len(gaze)))


def _pivots(before: torch.Tensor, after: torch.Tensor, turns: torch.Tensor) -> torch.Tensor:
    """(K, 3) the points about which G turns (G, 3) take vertices (K, n, 3) to (K, G, n, 3).

    p' = R (p - c) + c, so that (I - R) c = p' - R p, for the mean of the vertices as for each.
    """
    rotations = rotvec_to_rotmat(turns.double())
    start, end = before.double().mean(1), after.double().mean(2)
    known = end - torch.einsum("gij,kj->kgi", rotations, start)
    system = (torch.eye(3).double() - rotations).reshape(-1, 3)
    return torch.linalg.lstsq(system, known.flatten(1).T).solution.T.to(before)
