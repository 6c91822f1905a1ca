"""How far a fitted motion is from the landmarks it was fitted to: numbers with one definition each."""

from __future__ import annotations

import numpy as np
import torch

from tdmm.face.model import FaceModel
from tdmm.face.scheme import scheme_of
from tdmm.motion import FaceMotion

# Frames whose mesh is made at once.
BLOCK = 128


def project_landmarks(motion: FaceMotion, model: FaceModel) -> np.ndarray:
    """(T, L, 2) pixels of the model's embedded landmarks under a motion; NaN for those without a place."""
    return np.concatenate([_projected(motion, model, start) for start in range(0, len(motion), BLOCK)])


def _projected(motion: FaceMotion, model: FaceModel, start: int) -> np.ndarray:
    """`project_landmarks` of one block of frames."""
    pose = ("expression", "rotation", "translation", "neck_pose", "jaw_pose", "eyes_pose")
    world = _landmarks(motion, model, start, pose).astype(np.float64) * (1, -1, -1)
    homogeneous = world @ motion.camera.T
    return homogeneous[..., :2] / homogeneous[..., 2:]


def _landmarks(motion: FaceMotion, model: FaceModel, start: int, pose: tuple[str, ...]) -> np.ndarray:
    """(B, L, 3) metres of the block that begins at frame `start`, posed by these arrays of the motion."""
    tensors = {name: torch.from_numpy(getattr(motion, name)[start : start + BLOCK]) for name in pose}
    with torch.inference_mode():
        return model.landmarks(model.vertices(torch.from_numpy(motion.shape), **tensors)).numpy()


def reprojection(motion: FaceMotion, model: FaceModel, points: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """(N, L) miss of each landmark in each seen frame, in percent of the outer-eye distance.

    The picture distance between the model's landmark, posed and projected with nothing but what `motion` holds, and the
    detected one, over the detected distance between the outer eye corners in that frame. Every landmark with a place
    on the mesh counts, the sliding ones of the face's outline and the irises too; landmarks without one are NaN.
    points: (T, L, 2) pixels of the scheme that the model's embedding has, NaN where not seen; in frames without the eye
    corners the usual distance between them counts. seen: (T,) bool with N true.
    """
    miss = np.zeros((len(motion), points.shape[1]))  # block by block: the points of a long video take gigabytes
    for start in range(0, len(motion), BLOCK):
        block = slice(start, start + BLOCK)
        miss[block] = np.linalg.norm(_projected(motion, model, start) - points[block], axis=-1)
    miss = miss[seen]
    eyes = outer_eye_distance(points[seen], model)
    measured = eyes > 0  # NaN: not seen; 0: taken for one point
    return 100 * miss / np.where(measured, eyes, np.median(eyes[measured]))[:, None]


def outer_eye_distance(points: np.ndarray, model: FaceModel) -> np.ndarray:
    """(T,) pixels between the outer corners of the eyes, from landmarks (T, L, 2) of the model's embedding's scheme."""
    assert model.landmark_embedding is not None
    right, left = scheme_of(model.landmark_embedding.scheme).outer_eyes
    return np.linalg.norm(points[:, left] - points[:, right], axis=-1)


def jitter(motion: FaceMotion, model: FaceModel, seen: np.ndarray) -> float:
    """mm / s^2: how much the face trembles in its own frame when it is still.

    The root mean square, over landmarks, of the second difference over time of their places in the head frame; of that
    the median over runs of three seen frames, since a face is rather still in half of them. seen: (T,) bool. 0 where
    there is no such run.
    """
    runs = seen[:-2] & seen[1:-1] & seen[2:]
    if not runs.any():
        return 0.0
    step = np.diff(motion.timestamps)
    square = []  # mm^2 / s^4 of each run; a block begins with the last two frames of the one before
    before = np.zeros((0, 0, 3))
    for start in range(0, len(motion), BLOCK):
        points = _landmarks(motion, model, start, ("expression", "jaw_pose", "eyes_pose")).astype(np.float64)
        points = points[:, np.isfinite(points).all((0, 2))]
        points = np.concatenate([before, points]) if start else points
        steps = step[max(start - 2, 0) : start + BLOCK - 1, None, None]
        speed = np.diff(points, axis=0) / steps
        square.append(((np.diff(speed, axis=0) / (0.5 * (steps[1:] + steps[:-1]))) ** 2).sum(2).mean(1))
        before = points[-2:]
    return 1000 * float(np.median(np.sqrt(np.concatenate(square)[runs])))
