"""Where everything lies in the texture: one square of 0..1, v up."""

from __future__ import annotations

import numpy as np

# MakeHuman's head island, middle of the face and the radius about it that holds the island.
FACE_MIDDLE = np.array([0.872, 0.483])
ISLAND_RADIUS = 0.37
MAGNIFY = 8.0  # the face gets MAGNIFY / log(1 + MAGNIFY) = 3.6 times the texels of an even layout
HEAD_SCALE = 1.33
HEAD_ORIGIN = np.array([0.5, 0.362])

EYE_DISK = (0.135, 0.855, 0.125)  # centre u, v and radius
IRIS_SHARE = 0.62  # of the disk's radius, for the first IRIS_DEGREES of the eyeball
IRIS_DEGREES = 25.0
NECK_BOX = (0.28, 0.75, 0.62, 0.99)
MOUTH_BOX = (0.64, 0.75, 0.82, 0.99)
TONGUE_BOX = (0.84, 0.79, 0.91, 0.99)
TEETH_BOX = (0.925, 0.86, 0.985, 0.99)
SOCKET = (0.875, 0.755)
GUMS = (0.935, 0.83)
LASHES = (0.965, 0.83)
CAP = (0.945, 0.775)
FLAT_RADIUS = 0.013  # of the one-colour spots above


def head_island(uv: np.ndarray) -> np.ndarray:
    """MakeHuman's head island (K, 2) turned upright, with the face magnified as by a lens."""
    offset = uv - FACE_MIDDLE
    radius = np.linalg.norm(offset, axis=1, keepdims=True)
    grown = ISLAND_RADIUS * np.log1p(MAGNIFY * radius / ISLAND_RADIUS) / np.log1p(MAGNIFY)
    warped = offset * np.where(radius > 0, grown / np.maximum(radius, 1e-9), 1)
    # There u runs down the face and v to the subject's right or left; here u to the side and v up.
    return HEAD_ORIGIN + HEAD_SCALE * np.stack([warped[:, 1], -warped[:, 0]], axis=1)


def into_box(uv: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
    """Stretch (K, 2) to fill a box u0, v0, u1, v1."""
    low, high = uv.min(0), uv.max(0)
    return np.array(box[:2]) + (uv - low) / (high - low) * (np.array(box[2:]) - np.array(box[:2]))


def eye_radius(degrees: np.ndarray) -> np.ndarray:
    """Share of the eye disk's radius at a polar angle of the eyeball: most of the texels for the iris."""
    beyond = IRIS_SHARE + (1 - IRIS_SHARE) * (degrees - IRIS_DEGREES) / (180 - IRIS_DEGREES)
    return np.where(degrees < IRIS_DEGREES, IRIS_SHARE * degrees / IRIS_DEGREES, beyond)
