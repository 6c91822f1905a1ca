"""What the face's encoder sees: where chosen vertices of the face are, head pose and identity taken off (torch).

Different parameters can give the same face (squint, lookDown and blink all close a lid). The paper therefore quantises
geometry: vertices of the mean identity are posed, their displacements from rest weighted by region and turned onto
their principal axes. Two motions with one geometry thus look alike to the encoder, whatever their parameters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from tdmm.face.mesh_points import MeshPoints
from tdmm.face.model import FaceModel
from tdmm.vq.columns import FaceColumns

# How many vertices the encoder sees of each region, and what the region weighs, as in the losses: features that lie
# apart as much as faces look apart.
REGIONS = {"face": (160, 1.0), "lips": (64, 0.5), "eyelids": (64, 0.5), "eyes": (24, 0.25), "others": (32, 0.1)}
# Principal axes are kept until this part of the spread is left over.
LEFT_OVER, MOST_FEATURES = 1e-6, 128
# Features of little spread are made larger, but not by more than this: what moves few vertices, such as a raised brow,
# would else be learnt last.
MOST_WHITENED = 200.0
MOVES = 0.002  # metres
_BLOCK = 512
# A linear model's features may be missed by this much, in parts of the largest of one expression.
LINEAR_WITHIN = 1e-3


@dataclass(frozen=True)
class Chosen:
    """vertices: (K,) numbers in the mesh. weights: (K,)."""

    vertices: np.ndarray
    weights: np.ndarray


def choose_vertices(model: FaceModel, points: MeshPoints, rest: np.ndarray) -> Chosen:
    """Vertices far from each other in each region, by farthest point sampling. rest: (V, 3) resting mesh.

    others: what expressions move and no region holds, such as the tongue.
    """
    vertices, weights = [], []
    for region, (count, weight) in REGIONS.items():
        if region == "others":
            places = np.setdiff1d(_moving(model, rest), points.vertices)
        else:
            places = points.vertices[getattr(points, region).cpu().numpy()]
        if not len(places):
            continue
        kept = places[spread_out(rest[places], count)]
        vertices.append(kept)
        weights.append(np.full(len(kept), np.sqrt(weight / len(kept))))
    return Chosen(np.concatenate(vertices), np.concatenate(weights).astype(np.float32))


def _moving(model: FaceModel, rest: np.ndarray) -> np.ndarray:
    """Numbers of the vertices that one of the expressions moves further than `MOVES`."""
    found = np.zeros(len(rest), bool)
    for part in torch.eye(len(model.expression_names)).split(32):
        posed = model.vertices(torch.zeros(0), part).numpy()
        found |= (np.linalg.norm(posed - rest, axis=2) > MOVES).any(0)
    return np.flatnonzero(found)


def spread_out(points: np.ndarray, count: int) -> np.ndarray:
    """Numbers of `count` of points (N, 3), each the farthest from those before it, beginning in the middle."""
    count = min(count, len(points))
    chosen = [int(np.linalg.norm(points - points.mean(0), axis=1).argmin())]
    distance = np.linalg.norm(points - points[chosen[0]], axis=1)
    while len(chosen) < count:
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return np.array(chosen)


class FaceGeometry:
    """Parameters of the face to features of its geometry, by a face model.

    `features` poses the chosen vertices; of a model that is linear in its expressions it is one product of matrices.
    """

    def __init__(self, model: FaceModel, columns: FaceColumns, view: GeometryView) -> None:
        self.columns, self.view = columns, view
        self._model = model
        self._vertices = view.vertices.cpu().long()
        self._linear = None if columns.jaw or columns.eyes else self._folded()

    def _folded(self) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Matrix (P, G) and offset (G,) of features of a linear model, which is tried before it is believed."""
        with torch.no_grad():
            units = torch.cat([torch.zeros(1, self.columns.width), torch.eye(self.columns.width)])
            found = self.posed_features(units)
            matrix, offset = found[1:] - found[0], found[0]
            # With a generator of its own, so that nobody's seed is touched.
            tried = torch.rand(4, self.columns.width, generator=torch.Generator().manual_seed(0))
            miss = (torch.addmm(offset, tried, matrix) - self.posed_features(tried)).abs().max()
            return (matrix, offset) if miss <= LINEAR_WITHIN * matrix.abs().max() else None

    def features(self, values: torch.Tensor, eyes_pose: torch.Tensor | None = None) -> torch.Tensor:
        """(T, G) of parameters (T, P). eyes_pose: (T, 6) of eyes that turn beside what `columns` holds."""
        if self._linear is not None and eyes_pose is None:
            matrix, offset = (tensor.to(values) for tensor in self._linear)
            return torch.addmm(offset, values, matrix)
        return self.posed_features(values, eyes_pose)

    def posed_features(self, values: torch.Tensor, eyes_pose: torch.Tensor | None = None) -> torch.Tensor:
        """The same, by posing the mesh: the slow twin."""
        blocks = []
        for start in range(0, max(len(values), 1), _BLOCK):
            part = slice(start, start + _BLOCK)
            pose = split_columns(values[part], self.columns)
            if eyes_pose is not None:
                pose["eyes_pose"] = eyes_pose[part]
            expression = pose.pop("expression")
            posed = self._model.vertices(torch.zeros(0), expression, **pose)
            blocks.append(self.view(posed[:, self._vertices.to(posed.device)]))
        return torch.cat(blocks)


class GeometryView(nn.Module):
    """Features (..., G) of chosen vertices (..., K, 3) metres in the head frame, of the mean identity.

    vertices: (K,) numbers in the mesh. rest: (K, 3) where displacements are counted from. axes: (3 K, G).
    """

    vertices: torch.Tensor
    rest: torch.Tensor
    axes: torch.Tensor

    def __init__(self, vertices: int, features: int) -> None:
        super().__init__()
        self.register_buffer("vertices", torch.zeros(vertices, dtype=torch.int32))
        self.register_buffer("rest", torch.zeros(vertices, 3))
        self.register_buffer("axes", torch.zeros(3 * vertices, features))

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        return (points - self.rest.to(points)).flatten(-2) @ self.axes.to(points)


def split_columns(values: torch.Tensor, columns: FaceColumns) -> dict[str, torch.Tensor]:
    """expression, and jaw_pose and eyes_pose where the columns hold them, of (..., P)."""
    count = len(columns.expression_names)
    found = {"expression": values[..., :count]}
    if columns.jaw:
        found["jaw_pose"] = values[..., count : count + 3]
    if columns.eyes:
        found["eyes_pose"] = values[..., count + 3 * columns.jaw :]
    return found


def make_view(model: FaceModel, columns: FaceColumns, points: MeshPoints, sample: np.ndarray) -> GeometryView:
    """The view of a face model by which faces like those of `sample` (N, P) are told apart best."""
    with torch.no_grad():
        rest = model.vertices(torch.zeros(0), torch.zeros(1, len(columns.expression_names)))[0]
        chosen = choose_vertices(model, points, rest.numpy())
        some = torch.from_numpy(chosen.vertices)
        moved = []
        for part in torch.from_numpy(sample).split(_BLOCK):
            pose = split_columns(part, columns)
            posed = model.vertices(torch.zeros(0), pose.pop("expression"), **pose)
            moved.append((posed[:, some] - rest[some]).flatten(1))
        weights = torch.from_numpy(chosen.weights).repeat_interleave(3)
        weighted = torch.cat(moved).double() * weights
        # The spread about rest, not about the mean: a resting face has features of zero.
        values, axes = torch.linalg.eigh(weighted.T @ weighted / len(weighted))
        values, axes = values.flip(0).clamp(min=0), axes.flip(1)
        left = 1 - values.cumsum(0) / values.sum().clamp(min=1e-30)
        kept = min(int((left > LEFT_OVER).sum()) + 1, MOST_FEATURES, len(values))
        spread = values[:kept].sqrt().clamp(min=1e-12)
        scale = (spread[0] / spread).clamp(max=MOST_WHITENED) / spread[0]
        # A sign that depends on nothing but the data.
        axes = axes[:, :kept] * torch.sign(axes.gather(0, axes.abs().argmax(0, keepdim=True))[:, :kept])
        view = GeometryView(len(chosen.vertices), kept)
        view.vertices.copy_(some)
        view.rest.copy_(rest[some])
        view.axes.copy_((weights[:, None] * axes * scale).float())
    return view
