"""Predictions in the built-in head's controls, carried over to the controls of another face model.

The network that reads pictures (`tdmm.fit.prior`) knows the built-in head alone. What each of its controls does is seen
by how it moves the detector's landmarks on the mesh; the other model's controls that move the same landmarks in the
same way are found once, by bounded least squares, and make a linear map. Where both models have a control of the same
name (ICT-FaceKit's ARKit-like units) the map is that control, but for small corrections; eye joints turn as the
built-in head's expressions turn its eyes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from roma import rotmat_to_rotvec, rotvec_to_rotmat
from scipy.optimize import lsq_linear

from tdmm.errors import FaceModelError
from tdmm.face.builtin import load_builtin_head
from tdmm.face.cache import keep_arrays, kept_arrays
from tdmm.face.model import FaceModel
from tdmm.fit.controls import EYE_TURN, Controls
from tdmm.fit.landmark_model import LandmarkModel, landmark_model_of
from tdmm.fit.prior import Prediction

VERSION = 1  # of the map: raise it when another one would be found for the same models
# Metres by which a landmark of one model strays from the same one of another, beside both sigmas.
MISMATCH = 1e-3
# Spread of a control about the one of the same name, and of the others beside it, in their own spreads.
SAME_NAME, BESIDE_SAME_NAME = 0.05, 0.02
# Spread of an eye joint's turn about the known one, radians.
EYE_TURN_SIGMA = 0.03
# No carried-over sigma is smaller than this part of the control's own spread.
LEAST_SIGMA = 0.01
# ARKit's single units, which ICT-FaceKit has in two halves.
_HALVES = {"browInnerUp": ("browInnerUpLeft", "browInnerUpRight"), "cheekPuff": ("cheekPuffLeft", "cheekPuffRight")}


@dataclass(frozen=True)
class CarryOver:
    """A linear map from C controls of the built-in head to D controls of another face model.

    source, names: names of both. matrix: (D, C) controls = matrix @ built-in controls. spread: (D, C) standard
    deviation of each entry. unexplained: (D,) standard deviation of what the built-in head's controls cannot say of
    each control. lower, upper: (D,) bounds. turn: (3, 3) takes directions of the built-in head's frame to the model's.
    agreement: (C,) correlation of landmark displacements, the control's own and the carried-over one; NaN where a
    control moves no landmark.
    """

    source: np.ndarray
    names: np.ndarray
    matrix: np.ndarray
    spread: np.ndarray
    unexplained: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    turn: np.ndarray
    agreement: np.ndarray

    def __call__(self, prediction: Prediction) -> Prediction:
        """The prediction in the other model's controls and head frame; what is visible stays as it is."""
        if prediction.names != tuple(self.source):
            raise FaceModelError("this prediction is not of the built-in head's controls; was it carried over before?")
        mean = prediction.mean.astype(np.float64)
        variance = np.square(prediction.sigma.astype(np.float64)) @ np.square(self.matrix).T
        variance += np.square(mean) @ np.square(self.spread).T + np.square(self.unexplained)
        rotation = rotvec_to_rotmat(torch.as_tensor(prediction.rotation).double()) @ torch.as_tensor(self.turn).mT
        return replace(
            prediction,
            names=tuple(str(name) for name in self.names),
            mean=np.clip(mean @ self.matrix.T, self.lower, self.upper).astype(np.float32),
            sigma=np.sqrt(variance).astype(np.float32),
            rotation=rotmat_to_rotvec(rotation).numpy().astype(np.float32),
        )


_found: dict[str, CarryOver] = {}


def carry_over(prediction: Prediction, model: FaceModel, folder: Path | None = None) -> Prediction:
    """A prediction of the built-in head's controls as one of another model's (`controls_of(model)`).

    mean' = M mean; sigma'^2 = M^2 sigma^2 + mean^2 var(M) + what the built-in head cannot say. The rotation is that of
    the model's own head frame. For the built-in head it is returned as it is. folder: see `carry_over_to`.
    Raises `FaceModelError` for a model without an embedding of mediapipe's landmarks.
    """
    if model.sha256 == load_builtin_head().sha256:
        return prediction
    return carry_over_to(model, folder)(prediction)


def carry_over_to(model: FaceModel, folder: Path | None = None) -> CarryOver:
    """The map to a model's controls; found once in a process, and kept in `folder` for the next, if that is given."""
    embedding = model.landmark_embedding
    if embedding is None or embedding.scheme != "mediapipe478":
        raise FaceModelError(f"{model.name} has no embedding of mediapipe's landmarks to carry expressions over by")
    source = load_builtin_head()
    digest = hashlib.sha256(f"{VERSION} {source.sha256} {model.sha256}".encode())
    for array in (embedding.face, embedding.barycentric, embedding.sigma):
        digest.update(np.ascontiguousarray(array).tobytes())
    key = digest.hexdigest()[:32]
    if key in _found:
        return _found[key]
    place = None if folder is None else folder / f"carry-over-{key}.npz"
    kept = None if place is None else kept_arrays(place)
    if kept is not None and set(kept) == {item.name for item in fields(CarryOver)}:
        _found[key] = CarryOver(**kept)
    else:
        _found[key] = find_map(landmark_model_of(source, 0), landmark_model_of(model, 0))
        if place is not None:
            keep_arrays(place, {item.name: getattr(_found[key], item.name) for item in fields(CarryOver)})
    return _found[key]


def find_map(source: LandmarkModel, target: LandmarkModel) -> CarryOver:
    """The map between the controls of two models that have some landmarks in common. Raises `FaceModelError`."""
    common, mine, theirs = np.intersect1d(source.index, target.index, return_indices=True)
    if len(common) < 20:
        raise FaceModelError(f"{target.model.name} shares {len(common)} landmarks with the built-in head, too few")
    variance = source.sigma[mine].double() ** 2 + target.sigma[theirs].double() ** 2 + MISMATCH**2
    weight = (1 / variance).numpy()
    scale, turn = similarity(source.base[mine].double().numpy(), target.base[theirs].double().numpy(), weight)
    root = np.repeat(np.sqrt(weight), 3)
    moved = scale * source.control_basis[:, mine].double().numpy() @ turn.T
    wanted = moved.reshape(len(moved), -1) * root  # (C, 3 n), in sigmas
    basis = target.control_basis[:, theirs].double().numpy().reshape(len(target.controls), -1) * root  # (D, 3 n)
    controls = target.controls
    expected, spread = expected_map(source.controls, controls)
    matrix, errors = np.zeros_like(expected), np.zeros_like(expected)
    for column in range(len(wanted)):
        matrix[:, column], errors[:, column] = _solve(
            basis, wanted[column], expected[:, column], spread[:, column], controls
        )
    named = spread.min(1) < controls.sigma
    left = np.where(named, 0.0, _unexplained(basis, wanted) * controls.sigma)
    return CarryOver(
        source=np.array(source.controls.names),
        names=np.array(controls.names),
        matrix=matrix,
        spread=errors,
        unexplained=np.maximum(left, LEAST_SIGMA * controls.sigma),
        lower=controls.lower,
        upper=controls.upper,
        turn=turn,
        agreement=_agreement(wanted, matrix.T @ basis),
    )


def expected_map(source: Controls, target: Controls) -> tuple[np.ndarray, np.ndarray]:
    """What the names alone say of the map (D, C), and the spread about that (D, C)."""
    expected = np.zeros((len(target), len(source)))
    spread = np.tile(target.sigma[:, None].astype(np.float64), (1, len(source)))
    rows = {name: index for index, name in enumerate(target.names)}
    for column, name in enumerate(source.names):
        same = [part for part in _HALVES.get(name, ()) if part in rows] or [name] * (name in rows)
        if same:
            spread[:, column] *= BESIDE_SAME_NAME
            for part in same:
                expected[rows[part], column], spread[rows[part], column] = 1.0, SAME_NAME
        elif name in EYE_TURN and "gazePitch" in rows:
            for part, angle in zip(("gazePitch", "gazeYaw"), EYE_TURN[name], strict=True):
                expected[rows[part], column], spread[rows[part], column] = angle, EYE_TURN_SIGMA
    return expected, spread


def _solve(
    basis: np.ndarray, wanted: np.ndarray, expected: np.ndarray, spread: np.ndarray, controls: Controls
) -> tuple[np.ndarray, np.ndarray]:
    """Bounded controls (D,) nearest to `wanted` (K,) and to what is expected, and their standard deviations (D,).

    The deviations are those of the free solution, wider where even the best controls miss what was wanted.
    """
    # Twice a control's range is allowed: a unit of one model may be more than a unit of the other.
    lower, upper = 2 * controls.lower.astype(np.float64), 2 * controls.upper.astype(np.float64)
    still = upper - lower <= 0  # held at rest: no landmark sees it
    precision = 1 / np.square(spread)
    matrix = basis @ basis.T + np.diag(precision)
    values = np.where(still, expected, 0.0)
    if (~still).any():
        factor = np.linalg.cholesky(matrix[np.ix_(~still, ~still)])
        right = (basis @ (wanted - values @ basis) + precision * expected)[~still]
        limits = (lower[~still], upper[~still])
        values[~still] = lsq_linear(factor.T, np.linalg.solve(factor, right), limits, method="bvls").x
    miss = np.square(wanted - values @ basis).mean()
    deviation = np.sqrt(np.diag(np.linalg.inv(matrix)) * max(1.0, float(miss)))
    return values, np.minimum(deviation, controls.sigma)


def similarity(points: np.ndarray, target: np.ndarray, weight: np.ndarray) -> tuple[float, np.ndarray]:
    """Scale and rotation (3, 3) that bring points (n, 3) nearest to a target (n, 3) up to a shift.

    Umeyama, Least-squares estimation of transformation parameters between two point patterns, PAMI 1991.
    """
    share = (weight / weight.sum())[:, None]
    points, target = points - (share * points).sum(0), target - (share * target).sum(0)
    left, stretch, right = np.linalg.svd((share * target).T @ points)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(left @ right))])
    return float((stretch * sign).sum() / (share * np.square(points)).sum()), (left * sign) @ right


def _unexplained(basis: np.ndarray, known: np.ndarray) -> np.ndarray:
    """(D,) 0..1: the part of each control's motion that no mixture of the known ones (C, K) makes."""
    mixture = np.linalg.lstsq(known.T, basis.T, rcond=1e-6)[0]
    left = np.square(basis.T - known.T @ mixture).sum(0)
    return np.sqrt(left / np.maximum(np.square(basis).sum(1), 1e-12)).clip(0, 1)


def _agreement(wanted: np.ndarray, made: np.ndarray) -> np.ndarray:
    """(C,) cosine between displacements (C, K) wanted and made; NaN where hardly anything is to move."""
    sizes = np.linalg.norm(wanted, axis=1)
    product = (wanted * made).sum(1) / np.maximum(sizes * np.linalg.norm(made, axis=1), 1e-12)
    return np.where(sizes > 0.5, product, np.nan)
