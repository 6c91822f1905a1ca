"""The connected pieces of a face mesh: skin, eyeballs, teeth, tongue; and which sphere an eyeball is."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components


def pieces(faces: np.ndarray, n_vertices: int) -> np.ndarray:
    """(V,) the number of the connected piece that each vertex of triangles (F, 3) belongs to."""
    corners = faces.ravel()
    edges = coo_matrix((np.ones(faces.size), (corners, np.roll(faces, 1, axis=1).ravel())), (n_vertices, n_vertices))
    return connected_components(edges, directed=False)[1]


def fit_sphere(points: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Least-squares sphere of points (N, 3): centre, radius, and the rms distance of the points from it."""
    # |p|^2 = 2 p c + (r^2 - |c|^2), linear in c.
    points = points.astype(np.float64)
    matrix = np.concatenate([2 * points, np.ones((len(points), 1))], axis=1)
    solution = np.linalg.lstsq(matrix, np.square(points).sum(1), rcond=None)[0]
    centre = solution[:3]
    distance = np.linalg.norm(points - centre, axis=1)
    return centre, float(distance.mean()), float(distance.std())
