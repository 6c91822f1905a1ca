"""Facts about mediapipe's 478 landmarks: which are which. Left and right are the subject's."""

from __future__ import annotations

import numpy as np

RIGHT_OUTER_EYE, LEFT_OUTER_EYE = 33, 263
N_FACE_POINTS = 468  # after them come the centre and four ring points of each iris
IRISES = (np.arange(468, 473), np.arange(473, 478))  # right, left
# Of each eye: outer and inner corner, then pairs of points on the upper and the lower lid.
_EYES = ((33, 133, ((159, 145), (158, 153), (160, 144))), (263, 362, ((386, 374), (385, 380), (387, 373))))
# Openings of an eye, in its widths, at which the iris is hidden and at which it is well seen.
_HIDDEN, _SEEN = 0.08, 0.20


def eye_opening(points: np.ndarray) -> np.ndarray:
    """(T, 2) height over width of the right and the left eye, from (T, 478, 2) landmarks."""
    distance = lambda a, b: np.linalg.norm(points[:, a] - points[:, b], axis=-1)  # noqa: E731
    openings = []
    for outer, inner, pairs in _EYES:
        height = np.mean([distance(upper, lower) for upper, lower in pairs], axis=0)
        openings.append(height / np.maximum(distance(outer, inner), 1e-6))
    return np.stack(openings, axis=1)


def visibility(points: np.ndarray) -> np.ndarray:
    """(T, 478) 0..1: how far each landmark was seen rather than guessed; an iris behind closed lids is guessed."""
    seen = np.ones(points.shape[:2], np.float32)
    opening = np.clip((eye_opening(points) - _HIDDEN) / (_SEEN - _HIDDEN), 0, 1)
    for eye, iris in enumerate(IRISES):
        seen[:, iris] = opening[:, eye, None]
    return seen
