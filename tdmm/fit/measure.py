"""How far a fitted motion is from the landmarks it was fitted to: numbers with one definition each."""

from __future__ import annotations

import numpy as np
import torch

from tdmm.face.model import FaceModel
from tdmm.fit.scheme import scheme_of
from tdmm.motion import FaceMotion


def project_landmarks(motion: FaceMotion, model: FaceModel) -> np.ndarray:
    """(T, L, 2) pixels of the model's embedded landmarks under a motion; NaN for those without a place."""
    tensor = lambda name: torch.from_numpy(getattr(motion, name))  # noqa: E731
    parts = []
    with torch.inference_mode():
        for start in range(0, len(motion), 128):
            at = slice(start, start + 128)
            vertices = model.vertices(
                tensor("shape"),
                tensor("expression")[at],
                **{n: tensor(n)[at] for n in ("rotation", "translation", "neck_pose", "jaw_pose", "eyes_pose")},
            )
            parts.append(model.landmarks(vertices).numpy())
    world = np.concatenate(parts).astype(np.float64) * (1, -1, -1)
    homogeneous = world @ motion.camera.T
    return homogeneous[..., :2] / homogeneous[..., 2:]


def reprojection(motion: FaceMotion, model: FaceModel, points: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """(N, L) miss of each landmark in each seen frame, in percent of the outer-eye distance.

    The picture distance between the model's landmark, posed and projected with nothing but what `motion` holds, and the
    detected one, over the detected distance between the outer eye corners in that frame. Every landmark with a place
    on the mesh counts, the sliding ones of the face's outline and the irises too; landmarks without one are NaN.
    points: (T, L, 2) pixels of the scheme that the model's embedding has, NaN where not seen; in frames without the eye
    corners the usual distance between them counts. seen: (T,) bool with N true.
    """
    miss = np.linalg.norm(project_landmarks(motion, model)[seen] - points[seen], axis=-1)
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
    tensor = lambda name: torch.from_numpy(getattr(motion, name))  # noqa: E731
    runs = seen[:-2] & seen[1:-1] & seen[2:]
    if not runs.any():
        return 0.0
    parts = []
    with torch.inference_mode():
        for start in range(0, len(motion), 128):
            at = slice(start, start + 128)
            joints = {name: tensor(name)[at] for name in ("jaw_pose", "eyes_pose")}
            parts.append(model.landmarks(model.vertices(tensor("shape"), tensor("expression")[at], **joints)).numpy())
    points = np.concatenate(parts).astype(np.float64)
    points = points[:, np.isfinite(points).all((0, 2))]
    step = np.diff(motion.timestamps)
    speed = np.diff(points, axis=0) / step[:, None, None]
    acceleration = np.diff(speed, axis=0) / (0.5 * (step[1:] + step[:-1]))[:, None, None]
    return 1000 * float(np.median(np.sqrt((acceleration[runs] ** 2).sum(2).mean(1))))
