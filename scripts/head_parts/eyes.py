"""Eyeballs: smooth spheres with a slight cornea, in the place of the base mesh's coarse ones."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sparse

from .assembly import Part
from .atlas import eye_radius
from .linear import about_axis, affine_rows, sphere_fit
from .source import Source

# Polar angles of the rings from the pupil's middle, degrees: edges at the pupil (7.2) and the limbus (21.8: MakeHuman's
# eyeball has a radius of 16 mm, and an iris one of 6 mm). What lies behind the last ring is never seen and left open.
RINGS = (3.5, 7.2, 11.0, 15.0, 18.5, 21.8, 25.0, 32.0, 42.0, 55.0, 70.0, 88.0, 110.0)
SEGMENTS = 24
PUPIL, LIMBUS = 7.2, 21.8
CORNEA_BULGE = 0.045  # of the radius, at the middle
# A little smaller than MakeHuman's eyeball, which touches the lids: smooth lids must not dip into it.
RADIUS_SCALE = 0.972
# The eyeball's turn at full weight: axis and degrees, of the left eye. MakeHuman's sculpts turn it by 13 degrees
# sideways and 10 up or down, less than half of what an eye does and of what ARKit means by 1.
GAZE = {"Down": ("x", 24.0), "Up": ("x", -17.0), "In": ("y", -25.0), "Out": ("y", 25.0)}
SIDES = {"left": ("helper-l-eye", 1), "right": ("helper-r-eye", 2)}


def build_eye(
    source: Source, neutral: np.ndarray, side: str, uv_disk: tuple[float, float, float]
) -> tuple[Part, sparse.csr_matrix]:
    """The eyeball of one side and the map (1, N) that gives its centre.

    uv_disk: centre and radius in the atlas of the disk that the eyeball unrolls to, the polar angle as radius.
    """
    group, number = SIDES[side]
    anchors = np.unique(source.quads[group])
    center, radius = sphere_fit(neutral[anchors])
    radius *= RADIUS_SCALE
    directions, triangles = _sphere()
    angle = np.degrees(np.arccos(np.clip(directions[:, 2], -1, 1)))
    bulge = 1 + CORNEA_BULGE * np.clip(1 - (angle / LIMBUS) ** 2, 0, None)
    points = center + radius * bulge[:, None] * directions
    around = np.arctan2(directions[:, 1], directions[:, 0])
    u0, v0, size = uv_disk
    reach = size * eye_radius(angle)
    uv = np.stack([u0 + reach * np.cos(around), v0 + reach * np.sin(around)], axis=1)
    outer = angle[triangles].max(1)
    material = np.where(outer <= PUPIL + 0.1, "pupil", np.where(outer <= LIMBUS + 0.1, "iris", "sclera"))
    rows = affine_rows(anchors, neutral, points)
    turns = np.stack([_gaze(str(name), side) for name in source.action_names])
    part = Part(
        rows,
        triangles,
        uv,
        triangles,
        material,
        np.ones(len(points)),
        number,
        turns,
    )
    return part, affine_rows(anchors, neutral, center[None])


def _gaze(name: str, side: str) -> np.ndarray:
    """Rotation (3, 3) of one side's eyeball at the full weight of an action."""
    for direction, (axis, degrees) in GAZE.items():
        if name == f"eyeLook{direction}{side.capitalize()}":
            # In and out are mirror images; the left eye's are given.
            mirrored = -1 if axis == "y" and side == "right" else 1
            return about_axis(np.eye(3)["xyz".index(axis)], np.radians(mirrored * degrees))
    return np.eye(3)


def _sphere() -> tuple[np.ndarray, np.ndarray]:
    """Unit directions (K, 3) about +z and triangles (F, 3), counter-clockwise seen from outside."""
    polar = np.radians(RINGS)[:, None]
    around = np.arange(SEGMENTS) / SEGMENTS * 2 * np.pi
    ring = np.stack(
        [np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar) * np.ones(SEGMENTS)], axis=-1
    )
    directions = np.concatenate([[[0, 0, 1]], ring.reshape(-1, 3)])
    triangles = []
    for s in range(SEGMENTS):
        n = (s + 1) % SEGMENTS
        triangles.append([0, 1 + s, 1 + n])
        for r in range(len(RINGS) - 1):
            a, b = 1 + r * SEGMENTS + s, 1 + r * SEGMENTS + n
            triangles += [[a, a + SEGMENTS, b + SEGMENTS], [a, b + SEGMENTS, b]]
    return directions, np.array(triangles)
