"""How well known motion is recovered from its own landmarks: the numbers that tests and benchmarks report."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from roma import rotmat_to_rotvec, rotvec_to_rotmat, special_procrustes

from tdmm.errors import MotionError
from tdmm.face.mesh_points import inside_face
from tdmm.face.model import FaceModel
from tdmm.fit.measure import outer_eye_distance, project_landmarks
from tdmm.fit.observe import Observations
from tdmm.motion import FaceMotion

# Least spread that is told of landmarks without noise, in outer-eye distances: the arithmetic is float32.
EXACT = 1e-4
# A vertex moves if the true expression takes it further than this from the neutral face, metres ...
MOVES = 0.002
# ... and an expression does if its true curve has at least this standard deviation.
MOVES_CURVE = 0.02
# Curves with names of their own, the mean of some expressions, count from a spread that a person would notice.
NOTICED = 0.05
CURVES = {
    "blink": ("eyeBlinkLeft", "eyeBlinkRight"),
    "jawOpen": ("jawOpen",),
    "smile": ("mouthSmileLeft", "mouthSmileRight"),
}
# Where the eyes look, in eyeLook expressions: to the subject's left, and up.
GAZE_CURVES = {
    "gaze aside": (("eyeLookOutLeft", "eyeLookInRight"), ("eyeLookInLeft", "eyeLookOutRight")),
    "gaze up": (("eyeLookUpLeft", "eyeLookUpRight"), ("eyeLookDownLeft", "eyeLookDownRight")),
}


@dataclass(frozen=True)
class Recovery:
    """vertex_mm, correlation, rotation_degrees: see `compare`."""

    vertex_mm: float
    correlation: float
    rotation_degrees: float


@dataclass(frozen=True)
class ExpressionRecovery:
    """How well the expressions of a clip are read: see `compare_expressions`.

    vertex_mm: mean error of the displacement of vertices that truly move; NaN if none does. neutral_mm: what a neutral
    face scores. correlations: of each expression that truly moves, by name. curves: of `CURVES` and `GAZE_CURVES`,
    those that truly move noticeably (a standard deviation above 0.05). rotation_degrees: after a constant offset.
    frames: that were compared.
    """

    vertex_mm: float
    neutral_mm: float
    correlations: dict[str, float]
    curves: dict[str, float]
    rotation_degrees: float
    frames: int

    @property
    def median(self) -> float:
        """Median of `correlations`; NaN if there is none."""
        return float(np.median(list(self.correlations.values()))) if self.correlations else float("nan")

    @property
    def mean(self) -> float:
        """Mean of `correlations`; NaN if there is none."""
        return float(np.mean(list(self.correlations.values()))) if self.correlations else float("nan")


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
        truly move (a standard deviation above 0.02). A fitted curve that does not move counts as 0;
        NaN if nothing truly moves.
    rotation_degrees: mean angle between true and fitted head rotation.
    """
    true_points, fitted_points = _face_vertices(truth, model), _face_vertices(fitted, model)
    middle, other = true_points.mean((0, 1)), fitted_points.mean((0, 1))
    centred = fitted_points - other
    scale = np.sum((true_points - middle) * centred) / np.sum(centred**2)
    miss = np.linalg.norm(true_points - (scale * centred + middle), axis=-1)
    correlations = [
        correlation(truth.expression_column(name), fitted.expression_column(name))
        for name in truth.expression_names
        if truth.expression_column(name).std() > MOVES_CURVE
    ]
    turn = rotvec_to_rotmat(torch.tensor(truth.rotation)).mT @ rotvec_to_rotmat(torch.tensor(fitted.rotation))
    angle = rotmat_to_rotvec(turn).norm(dim=-1).rad2deg().mean()
    mean = float(np.mean(correlations)) if correlations else float("nan")
    return Recovery(1000 * float(miss.mean()), mean, float(angle))


def compare_expressions(truth: FaceMotion, fitted: FaceMotion, model: FaceModel) -> ExpressionRecovery:
    """The expressions of a fitted motion against the true ones, in the frames where the fit is valid.

    vertex_mm: over pairs of a frame and a vertex of the face whose true displacement by expression alone, from the
        neutral face, in the head frame and of the model's mean identity, is more than 2 mm: the mean distance between
        true and fitted displacement. Neither identity nor pose has a part in it.
    correlations: over time, of the expressions whose true curve has a standard deviation above 0.02; 0 for a fitted
        curve that does not move.
    rotation_degrees: mean angle between true and fitted rotation after the mean of these turns is taken off: what the
        front of a face is differs between people and detectors by a constant.
    Raises `MotionError` for motions of different lengths (a mask of frames would not fit).
    """
    if len(truth) != len(fitted):
        raise MotionError(f"compare_expressions: {len(truth)} true frames, {len(fitted)} fitted ones")
    seen = fitted.valid
    true_moves, moves = (_displacement(motion, model)[seen] for motion in (truth, fitted))
    size = np.linalg.norm(true_moves, axis=-1)
    moving = size > MOVES
    miss = np.linalg.norm(moves - true_moves, axis=-1)
    column = lambda motion, names: np.mean([motion.expression_column(n)[seen] for n in names], axis=0)  # noqa: E731
    correlations, curves = {}, {}
    for name in truth.expression_names:
        curve = column(truth, (name,))
        if len(curve) and curve.std() > MOVES_CURVE:
            correlations[name] = correlation(curve, column(fitted, (name,)))
    for name, names in CURVES.items():
        if set(names) <= set(truth.expression_names) and column(truth, names).std() > NOTICED:
            curves[name] = correlation(column(truth, names), column(fitted, names))
    for name, (one, other) in GAZE_CURVES.items():
        if set(one + other) <= set(truth.expression_names):
            first, second = (column(motion, one) - column(motion, other) for motion in (truth, fitted))
            if first.std() > NOTICED:
                curves[name] = correlation(first, second)
    return ExpressionRecovery(
        1000 * float(miss[moving].mean()) if moving.any() else float("nan"),
        1000 * float(size[moving].mean()) if moving.any() else float("nan"),
        correlations,
        curves,
        rotation_after_offset(truth.rotation[seen], fitted.rotation[seen]),
        int(seen.sum()),
    )


def correlation(truth: np.ndarray, curve: np.ndarray) -> float:
    """Pearson's correlation over time of two curves (T,); 0 where one does not move."""
    return float(np.corrcoef(truth, curve)[0, 1]) if min(truth.std(), curve.std()) > 1e-6 else 0.0


def rotation_after_offset(truth: np.ndarray, fitted: np.ndarray) -> float:
    """Mean degrees between rotations (T, 3) after the constant turn of the head frame that they share is taken off.

    That turn is the mean rotation of R_true^T R_fitted: the nearest rotation to the mean of the matrices.
    """
    turn = rotvec_to_rotmat(torch.as_tensor(truth).double()).mT @ rotvec_to_rotmat(torch.as_tensor(fitted).double())
    rest = special_procrustes(turn.mean(0)).mT @ turn
    return float(rotmat_to_rotvec(rest).norm(dim=-1).rad2deg().mean())


def _displacement(motion: FaceMotion, model: FaceModel) -> np.ndarray:
    """(T, n, 3) metres by which expression, jaw and eyes move the face vertices from the neutral face."""
    expression = torch.from_numpy(motion.expression)
    poses = {name: torch.from_numpy(getattr(motion, name)) for name in ("jaw_pose", "eyes_pose")}
    with torch.inference_mode():
        rest = model.vertices(torch.zeros(0), torch.zeros(1, len(model.expression_names)))[0]
        inside = inside_face(rest, model)
        return (model.vertices(torch.zeros(0), expression, **poses)[:, inside] - rest[inside]).numpy()


def _face_vertices(motion: FaceMotion, model: FaceModel) -> np.ndarray:
    """(T, n, 3) face vertices in the head frame."""
    tensor = lambda name: torch.from_numpy(getattr(motion, name))  # noqa: E731
    with torch.inference_mode():
        rest = model.vertices(torch.zeros(0), torch.zeros(1, len(model.expression_names)))[0]
        posed = model.vertices(
            tensor("shape"), tensor("expression"), jaw_pose=tensor("jaw_pose"), eyes_pose=tensor("eyes_pose")
        )
        return posed[:, inside_face(rest, model)].double().numpy()
