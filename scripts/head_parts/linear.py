"""Linear maps of the base mesh that make new shapes follow it."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sparse


def affine_rows(anchors: np.ndarray, neutral: np.ndarray, targets: np.ndarray) -> sparse.csr_matrix:
    """Map (K, N) that carries `targets` (K, 3), placed on the neutral base mesh (N, 3), along with the anchors.

    A target moves with the affine transform that fits the anchors' (A,) movement best (least squares); the rows sum
    to 1 and give the targets back on the neutral mesh exactly.
    """
    points = np.concatenate([neutral[anchors], np.ones((len(anchors), 1))], axis=1)
    weights = np.concatenate([targets, np.ones((len(targets), 1))], axis=1) @ np.linalg.pinv(points)
    columns = np.tile(anchors, len(targets))
    rows = np.repeat(np.arange(len(targets)), len(anchors))
    return sparse.csr_matrix((weights.reshape(-1), (rows, columns)), shape=(len(targets), len(neutral)))


def sphere_fit(points: np.ndarray) -> tuple[np.ndarray, float]:
    """Centre (3,) and radius of the sphere nearest to points (K, 3), in the algebraic sense."""
    system = np.concatenate([2 * points, np.ones((len(points), 1))], axis=1)
    solution = np.linalg.lstsq(system, (points**2).sum(1), rcond=None)[0]
    center = solution[:3]
    return center, float(np.sqrt(solution[3] + center @ center))


def about_axis(axis: np.ndarray, angle: float) -> np.ndarray:
    """Rotation matrix (3, 3) by `angle` radians about a unit axis (Rodrigues)."""
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def grid_of_quads(quads: np.ndarray) -> np.ndarray:
    """Vertices (R, C) of a regular strip of quads, R <= C, starting anywhere."""
    edges = np.sort(quads[:, [0, 1, 1, 2, 2, 3, 3, 0]].reshape(-1, 2), axis=1)
    unique, counts = np.unique(edges, axis=0, return_counts=True)
    border: dict[int, list[int]] = {}
    for a, b in unique[counts == 1]:
        border.setdefault(int(a), []).append(int(b))
        border.setdefault(int(b), []).append(int(a))
    used, valence = np.unique(quads, return_counts=True)
    corners = [int(v) for v in used[valence == 1]]
    sides = []
    for second in border[corners[0]]:
        path = [corners[0], second]
        while path[-1] not in corners:
            path.append(next(v for v in border[path[-1]] if v != path[-2]))
        sides.append(path)
    rows = [max(sides, key=len)]
    left = {frozenset(map(int, quad)): [int(v) for v in quad] for quad in quads}
    while left:
        row: dict[int, int] = {}
        for column, (a, b) in enumerate(zip(rows[-1], rows[-1][1:], strict=False)):
            key = next(k for k in left if a in k and b in k)
            quad = left.pop(key)
            at = quad.index(a)
            nearer = {quad[at - 1], quad[(at + 1) % 4]} - {b}
            row[column] = nearer.pop()
            row[column + 1] = next(v for v in quad if v not in (a, b, row[column]))
        rows.append([row[column] for column in range(len(rows[0]))])
    return np.array(rows)
