"""The connected pieces of a face mesh: skin, eyeballs, teeth, tongue."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components


def pieces(faces: np.ndarray, n_vertices: int) -> np.ndarray:
    """(V,) the number of the connected piece that each vertex of triangles (F, 3) belongs to."""
    corners = faces.ravel()
    edges = coo_matrix((np.ones(faces.size), (corners, np.roll(faces, 1, axis=1).ravel())), (n_vertices, n_vertices))
    return connected_components(edges, directed=False)[1]
