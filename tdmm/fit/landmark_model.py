"""A face model reduced to its landmarks, as a linear function of identity and controls.

Blendshape models are linear in the head frame, so that for them this is exact. Joints (FLAME's jaw and eyes), pose
correctives and a skinned neck are not: their part that is not linear is kept as a correction per frame, which the
solver renews from the model itself (`correction`) until it no longer changes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from roma import rotvec_to_rotmat

from tdmm.errors import FaceModelError
from tdmm.face.model import FaceModel
from tdmm.fit.controls import Controls, controls_of
from tdmm.fit.topology import pieces

# How much farther: teeth and lashes move like the skin beside them.
UNSEEN = 2.0
# Steps of the finite differences: blendshapes are linear, angles need a small one.
LINEAR_STEP, ANGLE_STEP = 1.0, 1e-2
# Parts of a landmark's sigma by which the linear model may miss the face model at random parameters.
EXACT_WITHIN = 0.5


@dataclass(frozen=True)
class LandmarkModel:
    """Landmarks p = base + identity . shape_basis + controls . control_basis, head frame, metres.

    index: (L,) which of the scheme's landmarks have a place on the mesh. base: (L, 3). shape_basis: (S, L, 3).
    control_basis: (C, L, 3). sigma: (L,) metres. linear: whether that is true to a fraction of sigma.
    """

    model: FaceModel
    controls: Controls
    index: np.ndarray
    base: torch.Tensor
    shape_basis: torch.Tensor
    control_basis: torch.Tensor
    sigma: torch.Tensor
    linear: bool

    def points(self, shape: torch.Tensor, controls: torch.Tensor) -> torch.Tensor:
        """Linear part: shape (S,), controls (T, C) to (T, L, 3)."""
        neutral = self.base + torch.einsum("s,slx->lx", shape, self.shape_basis)
        moved = controls @ self.control_basis.reshape(len(self.controls), -1)
        return neutral + moved.reshape(len(controls), *neutral.shape)

    def correction(
        self, shape: torch.Tensor, controls: torch.Tensor, rotation: torch.Tensor, rotvec: torch.Tensor
    ) -> torch.Tensor:
        """What the face model has beyond the linear part, (T, L, 3) in the head frame; zero for a linear model.

        rotation: (T, 3, 3), rotvec: (T, 3), the same.
        """
        if self.linear:
            return torch.zeros(1, *self.base.shape)
        truth = _landmarks(self.model, self.controls, self.index, shape, controls, rotvec)
        return truth @ rotation - self.points(shape, controls)


def landmark_model_of(model: FaceModel, n_shape: int) -> LandmarkModel:
    """Reduce a face model with its first `n_shape` identity components. Raises `FaceModelError` without embedding."""
    embedding = model.landmark_embedding
    if embedding is None:
        raise FaceModelError(f"{model.name} has no landmark embedding; derive it with tdmm.fit.embedding")
    index = np.flatnonzero((embedding.face >= 0) & np.isfinite(embedding.sigma))
    controls = _without_unseen(model, controls_of(model), index)
    n_shape = min(n_shape, model.n_shape)
    none = torch.zeros(n_shape)

    def at(shape: torch.Tensor, values: torch.Tensor, rotvec: torch.Tensor | None = None) -> torch.Tensor:
        return _landmarks(model, controls, index, shape, values, rotvec)

    rest = torch.zeros(1, len(controls))
    base = at(none, rest)[0]
    angle = torch.as_tensor((np.abs(controls.to_jaw).sum(1) + np.abs(controls.to_eyes).sum(1)) > 0)
    step = torch.where(angle, ANGLE_STEP, LINEAR_STEP)
    # Central differences for angles; a blendshape may be clamped below 0 by its model, and needs none.
    ahead = at(none, torch.diag(step))
    behind = torch.where(angle[:, None, None], at(none, torch.diag(-step * angle)), base)
    control_basis = (ahead - behind) / (step * (1 + angle.to(step)))[:, None, None]
    shape_basis = (
        at(torch.eye(n_shape), rest.expand(max(n_shape, 1), -1)[:n_shape]) - base if n_shape else none[:, None, None]
    )
    shape_basis = shape_basis.reshape(n_shape, *base.shape)
    reduced = LandmarkModel(
        model=model,
        controls=controls,
        index=index,
        base=base,
        shape_basis=shape_basis,
        control_basis=control_basis,
        sigma=torch.as_tensor(embedding.sigma[index], dtype=torch.float32),
        linear=False,
    )
    # Try it at parameters far from rest: a private generator, so that nobody's seed is touched.
    random = torch.Generator().manual_seed(0)
    shape = torch.randn(n_shape, generator=random)
    lower, upper = torch.as_tensor(controls.lower), torch.as_tensor(controls.upper)
    values = lower + (upper - lower) * torch.rand(4, len(controls), generator=random)
    rotvec = 0.3 * torch.randn(4, 3, generator=random)
    miss = reduced.correction(shape, values, rotvec_to_rotmat(rotvec), rotvec).norm(dim=-1)
    return replace(reduced, linear=bool((miss < EXACT_WITHIN * reduced.sigma).all()))


def _without_unseen(model: FaceModel, controls: Controls, index: np.ndarray) -> Controls:
    """Hold at rest what moves pieces of the mesh without landmarks much farther than those with some.

    Else a tongue, which no landmark sees, is put out to explain the last tenth of a lip.
    """
    embedding = model.landmark_embedding
    assert embedding is not None
    piece = pieces(model.faces, model.n_vertices)
    seen = np.isin(piece, piece[model.faces[embedding.face[index]]])
    with torch.no_grad():
        values = torch.cat([torch.zeros(1, len(controls)), torch.eye(len(controls))])
        vertices = model.vertices(torch.zeros(0), values @ torch.as_tensor(controls.to_expression)).numpy()
    motion = np.linalg.norm(vertices[1:] - vertices[:1], axis=2)
    unseen = motion[:, ~seen].max(1, initial=0) > UNSEEN * motion[:, seen].max(1)
    return replace(controls, lower=np.where(unseen, 0, controls.lower), upper=np.where(unseen, 0, controls.upper))


def _landmarks(
    model: FaceModel,
    controls: Controls,
    index: np.ndarray,
    shape: torch.Tensor,
    values: torch.Tensor,
    rotvec: torch.Tensor | None = None,
) -> torch.Tensor:
    """The model's own landmarks (T, L, 3), untranslated."""
    with torch.no_grad():
        vertices = model.vertices(
            shape,
            values @ torch.as_tensor(controls.to_expression),
            rotation=rotvec,
            jaw_pose=values @ torch.as_tensor(controls.to_jaw) if model.joints.jaw else None,
            eyes_pose=values @ torch.as_tensor(controls.to_eyes) if model.joints.eyes else None,
        )
        return model.landmarks(vertices)[:, torch.as_tensor(index)]
