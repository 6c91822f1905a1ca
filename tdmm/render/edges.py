"""Edge-only anti-aliasing: several samples a pixel, but only where one sample is not enough.

A pixel is an edge pixel when it or a neighbour lies on a silhouette, on the border of two parts, on a fold, or
under a thin part. Only there the triangles are tested at `SAMPLES` points; coverage is exact as in multisampling
(each visible triangle is shaded once a pixel, at the middle of its samples), and the other 95 % of the picture costs
one sample.
"""

from __future__ import annotations

import numpy as np

from tdmm.render.camera import NEAR
from tdmm.render.compiled import compiled
from tdmm.render.raster import edge, least_inside

# Eight rooks: no two samples share a row or a column of the 8 x 8 grid, so that upright, level and slanted edges all
# get eight steps. (D3D's standard pattern; offsets in sixteenths of a pixel from the pixel's corner.)
SAMPLES = (np.array([[9, 5], [7, 11], [13, 9], [5, 3], [3, 13], [1, 7], [11, 15], [15, 1]]) / 16).astype(np.float64)
N_SAMPLES = len(SAMPLES)

# A step in depth of more than this many pixels' width between neighbours is a silhouette.
DEPTH_STEP = 4.0
# Neighbours of which the normals' cosine is smaller lie on both sides of a fold.
FOLD_COSINE = 0.6
# Side in pixels of the tiles by which triangles far from any edge are passed over.
TILE = 8
# Unsigned, so that numba need not look for negative indices in inner loops.
_TILE, _ONE = np.uintp(TILE), np.uintp(1)


@compiled(relaxed=True)
def mark_edges(face_id, inverse_depth, faces, normals, parts, pixel_angle, box, marks):  # type: ignore[no-untyped-def]
    """Set marks (H, W) uint8 to 1 at both pixels of each pair of neighbours that differ.

    They do where one is empty, where their parts differ, and across a step in depth or a fold, unless their
    triangles touch: that is a smooth surface which is only steep.
    pixel_angle: 1 / focal. box: first and last row, first and last column outside of which nothing was drawn.
    """
    height, width = face_id.shape
    step = np.float32(DEPTH_STEP) * pixel_angle
    for row in range(np.uintp(max(box[0] - 1, 0)), np.uintp(min(box[1] + 1, height))):
        for column in range(np.uintp(max(box[2] - 1, 0)), np.uintp(min(box[3] + 1, width))):
            f = face_id[row, column]
            for direction in range(2):  # the right and the lower neighbour
                row2, column2 = row + np.uintp(direction), column + np.uintp(1 - direction)
                if row2 == height or column2 == width:
                    continue
                g = face_id[row2, column2]
                if f == g:
                    continue
                if (f >= 0) & (g >= 0):
                    # Unsigned: a negative index, which numba would have to look for, cannot be.
                    uf, ug = np.uintp(f), np.uintp(g)
                    i0, j0 = np.uintp(faces[uf, 0]), np.uintp(faces[ug, 0])
                    a, b = inverse_depth[row, column], inverse_depth[row2, column2]
                    cosine = (
                        normals[i0, 0] * normals[j0, 0]
                        + normals[i0, 1] * normals[j0, 1]
                        + normals[i0, 2] * normals[j0, 2]
                    )
                    same = parts[uf] == parts[ug]
                    # |1/a - 1/b| > step * pixel's width at that depth, with a and b inverse depths.
                    if same & (abs(a - b) <= step * min(a, b)) & (cosine > np.float32(FOLD_COSINE)):
                        continue
                    if same and touching(faces, uf, ug):
                        continue
                marks[row, column] = 1
                marks[row2, column2] = 1


@compiled(inline=True)
def touching(faces, f, g):  # type: ignore[no-untyped-def]
    """Whether two triangles share a corner."""
    i0, i1, i2, j0, j1, j2 = faces[f, 0], faces[f, 1], faces[f, 2], faces[g, 0], faces[g, 1], faces[g, 2]
    return (
        (i0 == j0) | (i0 == j1) | (i0 == j2)
        | (i1 == j0) | (i1 == j1) | (i1 == j2)
        | (i2 == j0) | (i2 == j1) | (i2 == j2)
    )  # fmt: skip


@compiled()
def mark_thin(xy, faces, start, marks):  # type: ignore[no-untyped-def]
    """Mark every pixel that the bounding boxes of the triangles from `start` on touch."""
    height, width = marks.shape
    for f in range(start, faces.shape[0]):
        x0, x1, x2 = xy[faces[f, 0], 0], xy[faces[f, 1], 0], xy[faces[f, 2], 0]
        y0, y1, y2 = xy[faces[f, 0], 1], xy[faces[f, 1], 1], xy[faces[f, 2], 1]
        left, right = max(min(x0, x1, x2), 0.0), min(max(x0, x1, x2), width - 1.0)
        top, bottom = max(min(y0, y1, y2), 0.0), min(max(y0, y1, y2), height - 1.0)
        if left <= right and top <= bottom:
            marks[int(top) : int(bottom) + 1, int(left) : int(right) + 1] = 1


@compiled()
def number_marks(marks, numbers, tiles):  # type: ignore[no-untyped-def]
    """Number the marked pixels in reading order into numbers (H, W) int32, -1 elsewhere; returns how many.

    tiles: (ceil(H / TILE), ceil(W / TILE)) uint8, set to 1 where a tile holds a marked pixel.
    """
    count = 0
    for row in range(marks.shape[0]):
        for column in range(marks.shape[1]):
            if marks[row, column]:
                numbers[row, column] = count
                tiles[row // TILE, column // TILE] = 1
                count += 1
            else:
                numbers[row, column] = -1
    return count


@compiled()
def draw_samples(  # type: ignore[no-untyped-def]
    xy, depth, faces, n_opaque, opacity, parts, numbers, tiles, offsets, sample_face, sample_nearness
):
    """The z-buffer of `raster.draw_triangles` at the samples (N, S) of the numbered pixels.

    Triangles from n_opaque on are thin: seen from both sides, and drawn at a share of the samples that is their
    part's opacity.
    """
    height, width = numbers.shape
    n_samples = offsets.shape[0]
    step0, step1, step2 = (
        np.empty(n_samples, np.float32),
        np.empty(n_samples, np.float32),
        np.empty(n_samples, np.float32),
    )
    for f in range(faces.shape[0]):
        i0, i1, i2 = np.uintp(faces[f, 0]), np.uintp(faces[f, 1]), np.uintp(faces[f, 2])
        x0, y0 = np.float64(xy[i0, 0]), np.float64(xy[i0, 1])
        x1, y1 = np.float64(xy[i1, 0]), np.float64(xy[i1, 1])
        x2, y2 = np.float64(xy[i2, 0]), np.float64(xy[i2, 1])
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if not (area < 0.0 or (area > 0.0 and f >= n_opaque)):
            continue
        top, bottom = max(np.floor(min(y0, y1, y2)), 0.0), min(np.floor(max(y0, y1, y2)), height - 1.0)
        left, right = max(np.floor(min(x0, x1, x2)), 0.0), min(np.floor(max(x0, x1, x2)), width - 1.0)
        if not (top <= bottom and left <= right):
            continue
        first_row, last_row = np.uintp(top), np.uintp(bottom)
        first_column, last_column = np.uintp(left), np.uintp(right)
        touched = False
        for i in range(first_row // _TILE, last_row // _TILE + _ONE):
            for j in range(first_column // _TILE, last_column // _TILE + _ONE):
                touched |= tiles[i, j] > 0
        if not touched:
            continue
        touched = False
        for row in range(first_row, last_row + _ONE):
            for column in range(first_column, last_column + _ONE):
                touched |= numbers[row, column] >= 0
        if not touched:
            continue
        if not (depth[i0] >= NEAR and depth[i1] >= NEAR and depth[i2] >= NEAR and np.isfinite(area)):
            continue
        orientation = 1.0 if area > 0.0 else -1.0
        scale = 1.0 / abs(area)
        ax0, ay0, dx0, dy0, s0, closed0 = edge(x1, y1, x2, y2, orientation)
        ax1, ay1, dx1, dy1, s1, closed1 = edge(x2, y2, x0, y0, orientation)
        ax2, ay2, dx2, dy2, s2, closed2 = edge(x0, y0, x1, y1, orientation)
        # How far below zero an edge's function may be at a pixel's centre if any of the pixel is inside.
        reach0, reach1, reach2 = (abs(dx0) + dy0) * -0.5, (abs(dx1) + dy1) * -0.5, (abs(dx2) + dy2) * -0.5
        # Its change from the centre to each sample, and the least value that is inside.
        for s in range(n_samples):
            ox, oy = offsets[s, 0] - 0.5, offsets[s, 1] - 0.5
            step0[s] = s0 * (dx0 * oy - dy0 * ox)
            step1[s] = s1 * (dx1 * oy - dy1 * ox)
            step2[s] = s2 * (dx2 * oy - dy2 * ox)
        least0 = np.float32(least_inside(closed0))
        least1 = np.float32(least_inside(closed1))
        least2 = np.float32(least_inside(closed2))
        near0, near1, near2 = (
            np.float32(scale / depth[i0]),
            np.float32(scale / depth[i1]),
            np.float32(scale / depth[i2]),
        )
        shown = n_samples
        if f >= n_opaque:
            shown = int(np.floor(opacity[parts[f]] * n_samples + 0.5))
        for row in range(first_row, last_row + _ONE):
            for column in range(first_column, last_column + _ONE):
                number = numbers[row, column]
                if number < 0:
                    continue
                n = np.uintp(number)
                cx, cy = column + 0.5, row + 0.5
                c0 = s0 * (dx0 * (cy - ay0) - dy0 * (cx - ax0))
                c1 = s1 * (dx1 * (cy - ay1) - dy1 * (cx - ax1))
                c2 = s2 * (dx2 * (cy - ay2) - dy2 * (cx - ax2))
                if (c0 < reach0) | (c1 < reach1) | (c2 < reach2):
                    continue
                e0, e1, e2 = np.float32(c0), np.float32(c1), np.float32(c2)
                for s in range(shown):  # without branches: the compiler makes vector code of it
                    w0, w1, w2 = e0 + step0[s], e1 + step1[s], e2 + step2[s]
                    nearness = w0 * near0 + w1 * near1 + w2 * near2
                    wins = (w0 >= least0) & (w1 >= least1) & (w2 >= least2) & (nearness > sample_nearness[n, s])
                    sample_nearness[n, s] = nearness if wins else sample_nearness[n, s]
                    sample_face[n, s] = f if wins else sample_face[n, s]
