"""Ambient occlusion per vertex: how much of the sky a point sees, by depth pictures from many directions."""

from __future__ import annotations

import numpy as np

from tdmm.render.raster import rasterize

DIRECTIONS = 256
PICTURE = 640  # pixels
BIAS = 0.0012  # metres: nearer than this to what is in front, a point counts as visible


def ambient_occlusion(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V,) cosine-weighted share 0..1 of the directions about each vertex's normal that leave the mesh (V, 3)."""
    corner = points[faces]
    face_normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    normal = np.zeros_like(points)
    for k in range(3):
        np.add.at(normal, faces[:, k], face_normal)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-20)
    seen, possible = np.zeros(len(points)), np.zeros(len(points))
    middle = (points.max(0) + points.min(0)) / 2
    extent = np.linalg.norm(points.max(0) - points.min(0))
    scale = PICTURE / extent
    for direction in _directions():
        side = np.cross(direction, [0.0, 0.0, 1.0] if abs(direction[2]) < 0.9 else [1.0, 0.0, 0.0])
        side /= np.linalg.norm(side)
        up = np.cross(side, direction)
        # Looking along -direction from far away; depths about 10 make the perspective division harmless.
        local = (points - middle) @ np.stack([-side, up, direction], axis=1)
        xy = np.stack([PICTURE / 2 + scale * local[:, 0], PICTURE / 2 - scale * local[:, 1]], axis=1)
        depth = 10.0 - local[:, 2]
        picture = rasterize(xy, depth, faces, (PICTURE, PICTURE), cull=False)
        column, row = np.clip(xy.astype(int), 0, PICTURE - 1).T
        in_front = picture.depth[row, column]
        cosine = np.clip(normal @ direction, 0, None)
        slope = BIAS + 1.0 / scale / np.maximum(cosine, 0.15)
        seen += cosine * ((depth < in_front + slope) | (in_front == 0))
        possible += cosine
    return seen / np.maximum(possible, 1e-9)


def _directions() -> np.ndarray:
    """Directions (K, 3) evenly over the sphere (Fibonacci lattice)."""
    k = np.arange(DIRECTIONS) + 0.5
    z = 1 - 2 * k / DIRECTIONS
    around = np.pi * (1 + 5**0.5) * k
    radius = np.sqrt(1 - z**2)
    return np.stack([radius * np.cos(around), radius * np.sin(around), z], axis=1)


def smooth_over_mesh(values: np.ndarray, faces: np.ndarray, rounds: int) -> np.ndarray:
    """Values (V,) averaged with their neighbours' a few times."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    count = np.maximum(np.bincount(edges[:, 0], minlength=len(values)), 1)
    for _ in range(rounds):
        around = np.bincount(edges[:, 0], values[edges[:, 1]], minlength=len(values)) / count
        values = 0.5 * values + 0.5 * around
    return values
