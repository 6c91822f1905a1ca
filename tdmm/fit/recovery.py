"""How well known motion is recovered from its own landmarks: the numbers that tests and benchmarks report."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from roma import rotmat_to_rotvec, rotvec_to_rotmat

from tdmm.face.model import FaceModel
from tdmm.fit.measure import outer_eye_distance, project_landmarks
from tdmm.fit.observe import Observations
from tdmm.fit.topology import pieces
from tdmm.motion import FaceMotion

# Least spread that is told of landmarks without noise, in outer-eye distances: the arithmetic is float32.
EXACT = 1e-4


@dataclass(frozen=True)
class Recovery:
    """vertex_mm, correlation, rotation_degrees: see `compare`."""

    vertex_mm: float
    correlation: float
    rotation_degrees: float


def exact_landmarks(motion: FaceMotion, model: FaceModel, noise: float = 0.0, seed: int = 0) -> Observations:
    """The projected landmarks of a motion, as if a detector had seen them exactly.

    noise: standard deviation of Gaussian noise on each coordinate, in parts of the clip's mean outer-eye distance.
    """
    assert model.landmark_embedding is not None
    points = project_landmarks(motion, model)
    eyes = outer_eye_distance(points, model).mean()
    points = points + noise * eyes * np.random.default_rng(seed).standard_normal(points.shape)
    return Observations(
        points=points.astype(np.float32),
        score=np.ones(len(motion), np.float32),
        timestamps=motion.timestamps,
        fps=motion.fps,
        image_size=motion.image_size,
        name="landmarks",
        decode_seconds=0.0,
        detect_seconds=0.0,
        spread=float(max(noise, EXACT) * eyes),
        scheme=model.landmark_embedding.scheme,
    )


def compare(truth: FaceMotion, fitted: FaceMotion, model: FaceModel) -> Recovery:
    """A fitted motion against the true one of the same frames and face model.

    vertex_mm: mean distance over frames and face vertices, in the head frame (rotation and translation removed), after
        one scale and shift for the whole clip: one camera cannot tell a small near head from a large far one. The
        face is the part of the skin (the mesh's largest piece) that lies within the box of the resting landmarks.
    correlation: mean over expressions of the correlation over time of true and fitted curves; of all expressions that
        truly move (a standard deviation above 0.02). A fitted curve that does not move counts as 0.
    rotation_degrees: mean angle between true and fitted head rotation.
    """
    true_points, fitted_points = _face_vertices(truth, model), _face_vertices(fitted, model)
    middle, other = true_points.mean((0, 1)), fitted_points.mean((0, 1))
    centred = fitted_points - other
    scale = np.sum((true_points - middle) * centred) / np.sum(centred**2)
    miss = np.linalg.norm(true_points - (scale * centred + middle), axis=-1)
    correlations = []
    for name in truth.expression_names:
        true_curve, curve = truth.expression_column(name), fitted.expression_column(name)
        if true_curve.std() > 0.02:
            correlations.append(np.corrcoef(true_curve, curve)[0, 1] if curve.std() > 1e-6 else 0.0)
    turn = rotvec_to_rotmat(torch.tensor(truth.rotation)).mT @ rotvec_to_rotmat(torch.tensor(fitted.rotation))
    angle = rotmat_to_rotvec(turn).norm(dim=-1).rad2deg().mean()
    return Recovery(1000 * float(miss.mean()), float(np.mean(correlations)), float(angle))


def _face_vertices(motion: FaceMotion, model: FaceModel) -> np.ndarray:
    """(T, n, 3) face vertices in the head frame."""
    tensor = lambda name: torch.from_numpy(getattr(motion, name))  # noqa: E731
    with torch.inference_mode():
        rest = model.vertices(torch.zeros(0), torch.zeros(1, len(model.expression_names)))
        points = model.landmarks(rest)[0]
        points = points[~points.isnan().any(1)]
        piece = torch.as_tensor(pieces(model.faces, model.n_vertices))
        inside = (piece == piece.bincount().argmax()) & ((rest[0] >= points.amin(0)) & (rest[0] <= points.amax(0))).all(
            1
        )
        posed = model.vertices(
            tensor("shape"), tensor("expression"), jaw_pose=tensor("jaw_pose"), eyes_pose=tensor("eyes_pose")
        )
        return posed[:, inside].double().numpy()
