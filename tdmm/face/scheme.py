"""Facts about the sets of landmarks that detectors find: which point is which. Left and right are the subject's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tdmm.errors import TdmmError


@dataclass(frozen=True)
class Eye:
    """Numbers of an eye's landmarks: its corners, pairs of points on upper and lower lid, and the iris, if there is one
    (centre, then four ring points)."""

    outer: int
    inner: int
    lids: tuple[tuple[int, int], ...]
    iris: tuple[int, ...] = ()


@dataclass(frozen=True)
class Scheme:
    """A numbering of landmarks. eyes: right, left."""

    name: str
    n_points: int
    eyes: tuple[Eye, Eye]

    @property
    def outer_eyes(self) -> tuple[int, int]:
        """The outer corners of the right and the left eye: what sizes are measured by."""
        return self.eyes[0].outer, self.eyes[1].outer


MEDIAPIPE478 = Scheme(
    "mediapipe478",
    478,
    (
        Eye(33, 133, ((159, 145), (158, 153), (160, 144)), tuple(range(468, 473))),
        Eye(263, 362, ((386, 374), (385, 380), (387, 373)), tuple(range(473, 478))),
    ),
)
# Sagonas et al., 300 Faces in-the-Wild, 2013: 17 points of the jaw, 10 of the brows, 9 of the nose, 12 of the lids,
# 20 of the lips.
IBUG68 = Scheme("ibug68", 68, (Eye(36, 39, ((37, 41), (38, 40))), Eye(45, 42, ((43, 47), (44, 46)))))
SCHEMES = {scheme.name: scheme for scheme in (MEDIAPIPE478, IBUG68)}

# mediapipe's, by the names that its detector and its embedding use.
RIGHT_OUTER_EYE, LEFT_OUTER_EYE = MEDIAPIPE478.outer_eyes
N_FACE_POINTS = 468  # after them come the centre and four ring points of each iris
IRISES = tuple(np.array(eye.iris) for eye in MEDIAPIPE478.eyes)
# Openings of an eye, in its widths, at which the iris is hidden and at which it is well seen.
_HIDDEN, _SEEN = 0.08, 0.20


def scheme_of(name: str) -> Scheme:
    """The scheme of that name. Raises `TdmmError` for a name that is none."""
    if name not in SCHEMES:
        raise TdmmError(f"expected landmarks of the scheme {' or '.join(SCHEMES)}, found {name!r}")
    return SCHEMES[name]


def eye_opening(points: np.ndarray, scheme: Scheme = MEDIAPIPE478) -> np.ndarray:
    """(T, 2) height over width of the right and the left eye, from landmarks (T, L, 2)."""
    distance = lambda a, b: np.linalg.norm(points[:, a] - points[:, b], axis=-1)  # noqa: E731
    openings = []
    for eye in scheme.eyes:
        height = np.mean([distance(upper, lower) for upper, lower in eye.lids], axis=0)
        openings.append(height / np.maximum(distance(eye.outer, eye.inner), 1e-6))
    return np.stack(openings, axis=1)


def visibility(points: np.ndarray, scheme: Scheme = MEDIAPIPE478) -> np.ndarray:
    """(T, L) 0..1: how far each landmark was seen rather than guessed; an iris behind closed lids is guessed."""
    seen = np.ones(points.shape[:2], np.float32)
    opening = np.clip((eye_opening(points, scheme) - _HIDDEN) / (_SEEN - _HIDDEN), 0, 1)
    for number, eye in enumerate(scheme.eyes):
        seen[:, list(eye.iris)] = opening[:, number, None]
    return seen
