"""One step of Loop subdivision with precomputed topology: a sparse matrix that smooths and refines a mesh.

C. Loop, Smooth Subdivision Surfaces Based on Triangles, 1987, with Warren's weights; borders as cubic B-splines.
Positions are linear in the coarse positions, so the matrix is made once and applied to every frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tdmm.render.compiled import compiled


@dataclass(frozen=True)
class SparseRows:
    """A sparse (R, N) matrix: row r is weights[starts[r]:starts[r + 1]] at columns[starts[r]:starts[r + 1]]."""

    starts: np.ndarray  # (R + 1,) int32
    columns: np.ndarray  # (K,) int32
    weights: np.ndarray  # (K,) float32

    def apply(self, values: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """The product (R, C) float32 with values (N, C)."""
        values = np.ascontiguousarray(values, np.float32)
        if out is None:
            out = np.empty((len(self.starts) - 1, values.shape[1]), np.float32)
        multiply(self.starts, self.columns, self.weights, values, out)
        return out

    @staticmethod
    def of_triplets(rows: np.ndarray, columns: np.ndarray, weights: np.ndarray, n_rows: int) -> SparseRows:
        order = np.argsort(rows, kind="stable")
        starts = np.zeros(n_rows + 1, np.int32)
        starts[1:] = np.cumsum(np.bincount(rows, minlength=n_rows))
        return SparseRows(starts, columns[order].astype(np.int32), weights[order].astype(np.float32))

    @staticmethod
    def identity(size: int) -> SparseRows:
        index = np.arange(size)
        return SparseRows.of_triplets(index, index, np.ones(size), size)


def split_faces(faces: np.ndarray, n_vertices: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every triangle into four. New vertex n_vertices + e is on edge e.

    Returns edges (E, 2) with the lower vertex first, edge_of_corner (F, 3): the edge opposite each corner, and the
    new faces (4 F, 3), those of triangle f at 4 f ... 4 f + 3; windings are kept.
    """
    opposite = np.stack([faces[:, [1, 2]], faces[:, [2, 0]], faces[:, [0, 1]]], axis=1).reshape(-1, 2)
    opposite = np.sort(opposite, axis=1).astype(np.int64)
    keys, edge_of_corner = np.unique(opposite[:, 0] * n_vertices + opposite[:, 1], return_inverse=True)
    edges = np.stack([keys // n_vertices, keys % n_vertices], axis=1)
    edge_of_corner = edge_of_corner.reshape(-1, 3)
    (a, b, c), (bc, ca, ab) = faces.T.astype(np.int64), n_vertices + edge_of_corner.T
    new_faces = np.stack([a, ab, ca, b, bc, ab, c, ca, bc, ab, bc, ca], axis=1).reshape(-1, 3)
    return edges, edge_of_corner, new_faces.astype(np.int32)


def loop_matrix(faces: np.ndarray, n_vertices: int) -> tuple[SparseRows, np.ndarray]:
    """Matrix (V + E, V) of one Loop step, and the new faces (4 F, 3).

    Edges of one triangle, or of more than two, are borders: their vertices move along the border only, so open
    edges keep their shape and neighbouring parts that do not share triangles stay apart.
    """
    edges, edge_of_corner, new_faces = split_faces(faces, n_vertices)
    n_edges = len(edges)
    uses = np.bincount(edge_of_corner.ravel(), minlength=n_edges)
    smooth = uses == 2
    new = n_vertices + np.arange(n_edges)
    # New vertices: 3/8 of both ends and 1/8 of both opposite corners; on a border halfway.
    end_weight = np.where(smooth, 3 / 8, 1 / 2)
    across = smooth[edge_of_corner.ravel()]
    parts = [
        (new, edges[:, 0], end_weight),
        (new, edges[:, 1], end_weight),
        (new[edge_of_corner.ravel()[across]], faces.ravel()[across], np.full(across.sum(), 1 / 8)),
    ]
    # Old vertices: the ring with weight beta each; on a border the two neighbours along it.
    both = np.concatenate([edges, edges[:, ::-1]])
    both_smooth = np.concatenate([smooth, smooth])
    valence = np.bincount(both[:, 0], minlength=n_vertices)
    n_borders = np.bincount(both[~both_smooth, 0], minlength=n_vertices)
    beta = np.where(valence == 3, 3 / 16, 3 / (8 * np.maximum(valence, 1)))
    beta = np.where(n_borders == 0, beta, np.where(n_borders == 2, 1 / 8, 0.0))
    used = (beta[both[:, 0]] > 0) & ((n_borders[both[:, 0]] == 0) | ~both_smooth)
    total = np.bincount(both[used, 0], beta[both[used, 0]], minlength=n_vertices)
    old = np.arange(n_vertices)
    parts += [(both[used, 0], both[used, 1], beta[both[used, 0]]), (old, old, 1 - total)]
    rows, columns, weights = (np.concatenate(column) for column in zip(*parts, strict=True))
    return SparseRows.of_triplets(rows, columns, weights, n_vertices + n_edges), new_faces


def midpoint_subdivision(values: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values (U, C) with the middles of all edges appended, and the new faces; for texture coordinates."""
    edges, _, new_faces = split_faces(faces, len(values))
    return np.concatenate([values, values[edges].mean(axis=1)]).astype(values.dtype), new_faces


@compiled(relaxed=True)
def multiply(starts, columns, weights, values, out):  # type: ignore[no-untyped-def]
    """out = matrix @ values, float32."""
    for row in range(out.shape[0]):
        for channel in range(out.shape[1]):
            total = np.float32(0.0)
            for k in range(starts[row], starts[row + 1]):
                total += weights[k] * values[columns[k], channel]
            out[row, channel] = total
