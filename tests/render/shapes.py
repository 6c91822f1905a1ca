"""Small meshes for the tests: closed-form shapes, and triangle soups."""

from __future__ import annotations

import numpy as np


def sphere(radius: float = 0.1, rings: int = 24, sectors: int = 48) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (V, 3) and triangles (F, 3), counter-clockwise from outside, one vertex at each pole."""
    polar = np.pi * np.arange(1, rings) / rings
    azimuth = 2 * np.pi * np.arange(sectors) / sectors
    middle = np.stack(
        [
            np.sin(polar)[:, None] * np.sin(azimuth),
            np.cos(polar)[:, None] * np.ones(sectors),
            np.sin(polar)[:, None] * np.cos(azimuth),
        ],
        axis=-1,
    ).reshape(-1, 3)
    vertices = radius * np.concatenate([middle, [[0, 1, 0], [0, -1, 0]]])
    north, south = len(middle), len(middle) + 1
    faces = []
    for j in range(sectors):
        k = (j + 1) % sectors
        faces += [[north, j, k], [south, (rings - 2) * sectors + k, (rings - 2) * sectors + j]]
        for i in range(rings - 2):
            a, b, c, d = i * sectors + j, i * sectors + k, (i + 1) * sectors + j, (i + 1) * sectors + k
            faces += [[a, c, d], [a, d, b]]
    return vertices.astype(np.float32), np.array(faces, np.int32)


def soup(rng: np.random.Generator, n: int, image_size: tuple[int, int], spread: float = 0.5, size: float = 1.0):
    """n unconnected triangles: pixels (3 n, 2), depths (3 n,), faces (n, 3); some outside the picture."""
    height, width = image_size
    centres = (rng.random((n, 1, 2)) * (1 + 2 * spread) - spread) * (width, height)
    corners = centres + rng.normal(size=(n, 3, 2)) * size * max(image_size) / 4
    depth = rng.uniform(0.3, 2.0, 3 * n)
    return (
        corners.reshape(-1, 2).astype(np.float32),
        depth.astype(np.float32),
        np.arange(3 * n, dtype=np.int32).reshape(n, 3),
    )
