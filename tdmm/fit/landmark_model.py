"""A face model reduced to its landmarks, as a linear function of identity and controls.

Blendshape models are linear in the head frame, so that for them this is exact. Joints (FLAME's jaw and eyes), pose
correctives and a skinned neck are not: their part that is not linear is kept as a correction per frame, which the
solver renews from the model itself (`correction`) until it no longer changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from roma import rotvec_to_rotmat

from tdmm.errors import FaceModelError
from tdmm.face.model import FaceModel
from tdmm.face.topology import pieces
from tdmm.fit.controls import Controls, controls_of
from tdmm.fit.prior import LandmarkResponse

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
    fixed_shape: the identity that is part of `base` already, where it is known (S is 0 then).
    stray: (L, 3) and stray_basis (C, L, 3), the part of base and control_basis that is the detector's, not the mesh's.
    """

    model: FaceModel
    controls: Controls
    index: np.ndarray
    base: torch.Tensor
    shape_basis: torch.Tensor
    control_basis: torch.Tensor
    sigma: torch.Tensor
    linear: bool
    fixed_shape: torch.Tensor | None = None
    stray: torch.Tensor | None = None
    stray_basis: torch.Tensor | None = None

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
        known = shape if self.fixed_shape is None else self.fixed_shape
        truth = _landmarks(self.model, self.controls, self.index, known, controls, rotvec) @ rotation
        if self.stray is not None and self.stray_basis is not None:
            truth = truth + self.stray + torch.einsum("tc,clx->tlx", controls, self.stray_basis)
        return truth - self.points(shape, controls)

    def of_identity(self, shape: torch.Tensor) -> LandmarkModel:
        """The same of one known person: shape (S',) of as many components as are known."""
        rest = torch.zeros(1, len(self.controls))
        base = _landmarks(self.model, self.controls, self.index, shape, rest)[0]
        if self.stray is not None:
            base = base + self.stray
        return replace(self, base=base, shape_basis=self.shape_basis[:0], fixed_shape=shape)

    def straying(self, response: LandmarkResponse, names: Sequence[str]) -> LandmarkModel:
        """The same as a detector sees it whose landmarks stray by `response`, its controls in the order of `names`.

        Landmarks of which the response knows no sigma keep their own.
        """
        offset = torch.as_tensor(response.offset[self.index], dtype=torch.float32)
        basis = torch.zeros_like(self.control_basis)
        for at, name in enumerate(names):
            if name in self.controls.names:
                basis[self.controls.names.index(name)] = torch.as_tensor(response.controls[at][self.index])
        sigma = torch.as_tensor(response.sigma[self.index], dtype=torch.float32)
        return replace(
            self,
            base=self.base + offset,
            control_basis=self.control_basis + basis,
            sigma=torch.where(sigma.isfinite(), sigma, self.sigma),
            stray=offset,
            stray_basis=basis,
        )

    def without_stray(self) -> LandmarkModel:
        """The mesh's own landmarks."""
        if self.stray is None or self.stray_basis is None:
            return self
        base, basis = self.base - self.stray, self.control_basis - self.stray_basis
        return replace(self, base=base, control_basis=basis, stray=None, stray_basis=None)


def landmark_model_of(model: FaceModel, n_shape: int, predicted: Sequence[str] = ()) -> LandmarkModel:
    """Reduce a face model with its first `n_shape` identity components. Raises `FaceModelError` without embedding.

    predicted: names of controls that something else than landmarks tells, so that they may move unseen.
    """
    embedding = model.landmark_embedding
    if embedding is None:
        raise FaceModelError(f"{model.name} has no landmark embedding; derive it with tdmm.fit.embedding")
    index = np.flatnonzero((embedding.face >= 0) & np.isfinite(embedding.sigma))
    controls = _without_unseen(model, controls_of(model), index, predicted)
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


def _without_unseen(model: FaceModel, controls: Controls, index: np.ndarray, predicted: Sequence[str]) -> Controls:
    """Hold at rest what moves pieces of the mesh without landmarks much farther than those with some, unless predicted.

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
    unseen &= ~np.isin(controls.names, list(predicted))
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
