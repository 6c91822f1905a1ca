"""The z-buffer rasteriser: which triangle each pixel sees, and where on it. Compiled by numba, CPU only.

Rules, the same in every backend:
- pixel (i, j) is sampled at its centre (j + 0.5, i + 0.5);
- a sample on an edge belongs to one of its two triangles by the top-left rule. The edge function is always
  evaluated from the edge's upper (then left) end, so that both triangles see the same rounded number with
  opposite signs: no gaps, no double hits;
- at equal depth the triangle with the lower index is in front, so the result does not depend on the order of work;
- a triangle with a corner nearer than `NEAR`, without area, or with a corner that is not finite is not drawn;
- front faces are counter-clockwise seen from outside, which is clockwise in pixels (y down).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tdmm.render.camera import NEAR
from tdmm.render.compiled import compiled
from tdmm.render.threads import for_each, n_threads

EMPTY = -1


@dataclass(frozen=True)
class Fragments:
    """What each pixel sees; pictures have H rows and W columns, batches a leading axis B.

    face_id: (H, W) int32 index of the visible triangle, -1 where there is none.
    barycentric: (H, W, 3) float32 perspective-correct weights of its corners, sum 1; 0 where there is none.
    depth: (H, W) float32 metres along the viewing axis; 0 where there is none.
    """

    face_id: np.ndarray
    barycentric: np.ndarray
    depth: np.ndarray


def rasterize(
    xy: np.ndarray, depth: np.ndarray, faces: np.ndarray, image_size: tuple[int, int], cull: bool = True
) -> Fragments:
    """The nearest triangle at every pixel centre.

    xy: (V, 2) pixels, or (B, V, 2). depth: (V,) metres, or (B, V). faces: (F, 3). image_size: (H, W).
    cull: leave out back faces (clockwise seen from the camera).
    """
    xy = np.ascontiguousarray(xy, np.float32)
    depth = np.ascontiguousarray(depth, np.float32)
    faces = np.ascontiguousarray(faces, np.int32)
    height, width = image_size
    batch = xy.shape[:-2]
    face_id = np.full((*batch, height, width), EMPTY, np.int32)
    inverse_depth = np.zeros((*batch, height, width), np.float32)
    barycentric = np.zeros((*batch, height, width, 3), np.float32)
    depth_picture = np.zeros((*batch, height, width), np.float32)

    def draw(task: tuple[tuple[int, ...], int, int]) -> None:
        picture, start, stop = task
        buffers = face_id[picture], inverse_depth[picture]
        draw_triangles(xy[picture], depth[picture], faces, cull, start, stop, *buffers)
        locate(xy[picture], depth[picture], faces, start, stop, *buffers, barycentric[picture], depth_picture[picture])

    # One picture is shared out in bands of rows, a batch in whole pictures.
    n_bands = 1 if batch and batch[0] > 1 else min(2 * n_threads(), max(height // 16, 1))
    rows = [height * band // n_bands for band in range(n_bands + 1)]
    for_each(draw, [(picture, rows[band], rows[band + 1]) for picture in np.ndindex(*batch) for band in range(n_bands)])
    return Fragments(face_id, barycentric, depth_picture)


@compiled()
def draw_triangles(xy, depth, faces, cull, row_start, row_stop, face_id, inverse_depth):  # type: ignore[no-untyped-def]
    """Draw into the rows [row_start, row_stop) of face_id and inverse_depth, which hold -1 and 0 where empty."""
    width = face_id.shape[1]
    for f in range(faces.shape[0]):
        i0, i1, i2 = np.uintp(faces[f, 0]), np.uintp(faces[f, 1]), np.uintp(faces[f, 2])
        x0, y0 = np.float64(xy[i0, 0]), np.float64(xy[i0, 1])
        x1, y1 = np.float64(xy[i1, 0]), np.float64(xy[i1, 1])
        x2, y2 = np.float64(xy[i2, 0]), np.float64(xy[i2, 1])
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if not (area < 0.0 or (area > 0.0 and not cull)):
            continue
        top = max(np.ceil(min(y0, y1, y2) - 0.5), np.float64(row_start))
        bottom = min(np.floor(max(y0, y1, y2) - 0.5), np.float64(row_stop - 1))
        left = max(np.ceil(min(x0, x1, x2) - 0.5), 0.0)
        right = min(np.floor(max(x0, x1, x2) - 0.5), np.float64(width - 1))
        if not (top <= bottom and left <= right):
            continue
        if not (depth[i0] >= NEAR and depth[i1] >= NEAR and depth[i2] >= NEAR and np.isfinite(area)):
            continue
        # 1 / depth is linear over the picture: the corners' values, divided by the area that their weights sum to.
        orientation = 1.0 if area > 0.0 else -1.0
        scale = 1.0 / abs(area)
        z0, z1, z2 = scale / depth[i0], scale / depth[i1], scale / depth[i2]
        ax0, ay0, dx0, dy0, s0, closed0 = edge(x1, y1, x2, y2, orientation)
        ax1, ay1, dx1, dy1, s1, closed1 = edge(x2, y2, x0, y0, orientation)
        ax2, ay2, dx2, dy2, s2, closed2 = edge(x0, y0, x1, y1, orientation)
        least0, least1, least2 = least_inside(closed0), least_inside(closed1), least_inside(closed2)
        start, stop = np.uintp(left), np.uintp(right) + np.uintp(1)
        for row in range(np.uintp(top), np.uintp(bottom) + np.uintp(1)):
            py = row + 0.5
            r0, r1, r2 = dx0 * (py - ay0), dx1 * (py - ay1), dx2 * (py - ay2)
            entered = False
            for column in range(start, stop):
                px = column + 0.5
                w0 = s0 * (r0 - dy0 * (px - ax0))
                w1 = s1 * (r1 - dy1 * (px - ax1))
                w2 = s2 * (r2 - dy2 * (px - ax2))
                # Bitwise: one branch, not six.
                if not ((w0 >= least0) & (w1 >= least1) & (w2 >= least2)):
                    if entered:  # a row of a triangle is one run
                        break
                    continue
                entered = True
                nearness = np.float32(w0 * z0 + w1 * z1 + w2 * z2)
                if nearness > inverse_depth[row, column]:
                    inverse_depth[row, column] = nearness
                    face_id[row, column] = f


@compiled(inline=True)
def edge(px, py, qx, qy, orientation):  # type: ignore[no-untyped-def]
    """The edge p -> q from its upper (then left) end: origin x, y, direction x, y, sign, whether it holds its points.

    sign * (dx * (y - ay) - dy * (x - ax)) is positive inside. A point on the line is inside on a left edge (the
    inside lies to its right) and on a top edge (level, the inside lies below).
    """
    sign = orientation
    if py > qy or (py == qy and px > qx):
        px, py, qx, qy, sign = qx, qy, px, py, -sign
    dx, dy = qx - px, qy - py
    return px, py, dx, dy, sign, (dy > 0.0 and sign < 0.0) or (dy == 0.0 and sign > 0.0)


@compiled(inline=True)
def least_inside(closed):  # type: ignore[no-untyped-def]
    """The least value of an edge's function that counts as inside: 0 where the edge holds its points, else above 0."""
    return 0.0 if closed else 1e-37  # more than float32's denormals, less than any area of pixels


@compiled()
def locate(xy, depth, faces, row_start, row_stop, face_id, inverse_depth, barycentric, depth_picture):  # type: ignore[no-untyped-def]
    """Perspective-correct barycentrics and depth of the visible triangles, in the rows [row_start, row_stop)."""
    for row in range(row_start, row_stop):
        for column in range(face_id.shape[1]):
            f = face_id[row, column]
            if f < 0:
                continue
            b0, b1, b2 = barycentrics(xy, depth, faces, f, column + 0.5, row + 0.5)
            barycentric[row, column, 0] = b0
            barycentric[row, column, 1] = b1
            barycentric[row, column, 2] = b2
            depth_picture[row, column] = np.float32(1.0) / inverse_depth[row, column]


@compiled(inline=True)
def barycentrics(xy, depth, faces, f, px, py):  # type: ignore[no-untyped-def]
    """Perspective-correct weights of triangle f's corners at the point (px, py), in the precision of px and py."""
    i0, i1, i2 = faces[f, 0], faces[f, 1], faces[f, 2]
    x0, y0 = xy[i0, 0] - px, xy[i0, 1] - py
    x1, y1 = xy[i1, 0] - px, xy[i1, 1] - py
    x2, y2 = xy[i2, 0] - px, xy[i2, 1] - py
    d0, d1, d2 = depth[i0], depth[i1], depth[i2]
    # Areas divided by depths, times the product of all depths, which saves the divisions.
    w0 = (x1 * y2 - x2 * y1) * (d1 * d2)
    w1 = (x2 * y0 - x0 * y2) * (d2 * d0)
    w2 = (x0 * y1 - x1 * y0) * (d0 * d1)
    total = w0 + w1 + w2
    return w0 / total, w1 / total, w2 / total
