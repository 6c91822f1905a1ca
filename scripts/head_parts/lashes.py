"""Eyelashes: thin curved spikes along the lids, in the place of the base mesh's bands."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sparse

from .assembly import Part
from .linear import grid_of_quads
from .source import Source

# count, length of the band's width that a lash takes, half-width of its root in metres, share left free at the corners
UPPER = (34, 1.20, 0.00036, 0.03)
LOWER = (22, 0.75, 0.00020, 0.10)
GROUPS = {
    "helper-l-eyelashes-2": UPPER,
    "helper-l-eyelashes-1": LOWER,
    "helper-r-eyelashes-2": UPPER,
    "helper-r-eyelashes-1": LOWER,
}


def build_lashes(source: Source, neutral: np.ndarray, uv_point: tuple[float, float]) -> list[Part]:
    """One part for each lid; every lash is a curved three-sided spike, coloured by one point of the atlas."""
    return [_lid(source, neutral, group, *shape, uv_point) for group, shape in GROUPS.items()]


def _lid(
    source: Source,
    neutral: np.ndarray,
    group: str,
    count: int,
    length: float,
    half_width: float,
    free: float,
    uv_point: tuple[float, float],
) -> Part:
    grid = grid_of_quads(source.quads[group])  # rows from one long side to the other
    eye_anchors = np.unique(source.quads["helper-l-eye" if "-l-" in group else "helper-r-eye"])
    center = neutral[eye_anchors].mean(0)
    # A unit vector upwards as a map: from the eye to the skin of the brow above it.
    skin = np.unique(source.quads["body"])
    brow = skin[np.linalg.norm(neutral[skin] - center - np.array([0, 0.03, 0.01]), axis=1).argmin()]
    up = sparse.lil_matrix((1, len(neutral)))
    up[0, eye_anchors] = -1 / len(eye_anchors)
    up[0, brow] += 1
    up = up.tocsr() / np.linalg.norm(neutral[brow] - center)
    distance = np.linalg.norm(neutral[grid] - center, axis=-1).mean(1)
    if distance[0] > distance[-1]:
        grid = grid[::-1]
    grid = grid[:, np.argsort(np.abs(neutral[grid[0], 0]), kind="stable")]  # from the nose outwards
    rng = np.random.default_rng(len(group) * 100 + grid.shape[1])
    along = np.linalg.norm(np.diff(neutral[grid[0]], axis=0), axis=1).sum()
    rows, triangles = [], []
    positions = np.linspace(free, 1 - free, count)
    for index, at in enumerate(positions):
        # Longer in the outer two thirds, some jitter, tips bunched by twos or threes.
        own = length * (0.55 + 0.45 * np.sin(np.pi * min(0.12 + at, 1.0)) ** 0.7) * rng.uniform(0.85, 1.05)
        bunch = positions[min(index // 3 * 3 + 1, count - 1)]
        lean = 0.35 * (bunch - at) + rng.normal(0, 0.004)
        ring_sizes = (1.0, 0.62)
        start = len(rows)
        for step, size in zip((0.0, 0.5), ring_sizes, strict=True):
            u = at + lean * step**1.5
            root = half_width * size
            rows.append(_row(grid, u - root / along, own * step, len(neutral)))
            rows.append(_row(grid, u + root / along, own * step, len(neutral)))
            rows.append(_row(grid, u, own * step, len(neutral)) + up * (1.5 * root))
        rows.append(_row(grid, at + lean, own, len(neutral)))
        for c in range(3):
            a, b = start + c, start + (c + 1) % 3
            triangles += [[a, b, b + 3], [a, b + 3, a + 3]]
        top = start + 6
        triangles += [[start + 3 + c, start + 3 + (c + 1) % 3, top] for c in range(3)]
    rows_map = sparse.vstack(rows).tocsr()
    faces = np.array(triangles)
    return Part(
        rows_map,
        _outward(rows_map @ neutral, faces, 7, 9),
        np.array([uv_point]),
        np.zeros_like(faces),
        np.full(len(faces), "lashes"),
        np.ones(rows_map.shape[0]),
    )


def _row(grid: np.ndarray, u: float, t: float, n_base: int) -> sparse.csr_matrix:
    """Bilinear map (1, N) at share u along and t across the band; a little outside is extrapolated."""
    n_rows, n_columns = grid.shape
    x, y = u * (n_columns - 1), t * (n_rows - 1)
    i, j = int(np.clip(np.floor(x), 0, n_columns - 2)), int(np.clip(np.floor(y), 0, n_rows - 2))
    fx, fy = x - i, y - j
    columns = [grid[j, i], grid[j, i + 1], grid[j + 1, i], grid[j + 1, i + 1]]
    weights = [(1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy]
    return sparse.csr_matrix((weights, ([0] * 4, columns)), shape=(1, n_base))


def _outward(points: np.ndarray, faces: np.ndarray, vertices_each: int, faces_each: int) -> np.ndarray:
    """Faces with every spike's winding such that its volume is positive."""
    corner = points[faces]
    volume = np.einsum(
        "fi,fi->f",
        corner[:, 0] - points[faces[:, 0] // vertices_each * vertices_each],
        np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]),
    )
    inverted = np.repeat(volume.reshape(-1, faces_each).sum(1) < 0, faces_each)
    return np.where(inverted[:, None], faces[:, ::-1], faces)
