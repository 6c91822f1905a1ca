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
from tdmm.render.raster import edge

# Eight rooks: no two samples share a row or a column of the 8 x 8 grid, so that upright, level and slanted edges all
# get eight steps. (D3D's standard pattern; offsets in sixteenths of a pixel from the pixel's corner.)
SAMPLES = (np.array([[9, 5], [7, 11], [13, 9], [5, 3], [3, 13], [1, 7], [11, 15], [15, 1]]) / 16).astype(np.float64)
N_SAMPLES = len(SAMPLES)

# A step in depth of more than this many pixels' width between neighbours is a silhouette.
DEPTH_STEP = 4.0
# Neighbours of which the normals' cosine is smaller lie on both sides of a fold.
FOLD_COSINE = 0.6


@compiled(relaxed=True)
def mark_edges(face_id, inverse_depth, faces, normals, parts, pixel_angle, marks):  # type: ignore[no-untyped-def]
    """Set marks (H, W) uint8 to 1 at both pixels of each pair of neighbours that differ. pixel_angle: 1 / focal."""
    height, width = face_id.shape
    for row in range(height):
        for column in range(width):
            here = face_id[row, column]
            if column + 1 < width:
                right = face_id[row, column + 1]
                if right != here and differ(
                    here,
                    right,
                    inverse_depth[row, column],
                    inverse_depth[row, column + 1],
                    faces,
                    normals,
                    parts,
                    pixel_angle,
                ):
                    marks[row, column] = 1
                    marks[row, column + 1] = 1
            if row + 1 < height:
                below = face_id[row + 1, column]
                if below != here and differ(
                    here,
                    below,
                    inverse_depth[row, column],
                    inverse_depth[row + 1, column],
                    faces,
                    normals,
                    parts,
                    pixel_angle,
                ):
                    marks[row, column] = 1
                    marks[row + 1, column] = 1


@compiled(relaxed=True)
def differ(f, g, f_nearness, g_nearness, faces, normals, parts, pixel_angle):  # type: ignore[no-untyped-def]
    """Whether two neighbouring pixels that see the triangles f and g (-1: none) need more samples."""
    if f < 0 or g < 0 or parts[f] != parts[g]:
        return True
    # |1/a - 1/b| > step * pixel's width at that depth, with nearness a = 1 / depth.
    if abs(f_nearness - g_nearness) > np.float32(DEPTH_STEP) * pixel_angle * min(f_nearness, g_nearness):
        return True
    i, j = faces[f, 0], faces[g, 0]
    cosine = normals[i, 0] * normals[j, 0] + normals[i, 1] * normals[j, 1] + normals[i, 2] * normals[j, 2]
    return cosine < np.float32(FOLD_COSINE)


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
def number_marks(marks, numbers):  # type: ignore[no-untyped-def]
    """Number the marked pixels in reading order into numbers (H, W) int32, -1 elsewhere; returns how many."""
    count = 0
    for row in range(marks.shape[0]):
        for column in range(marks.shape[1]):
            if marks[row, column]:
                numbers[row, column] = count
                count += 1
            else:
                numbers[row, column] = -1
    return count


@compiled()
def draw_samples(xy, depth, faces, n_opaque, opacity, parts, numbers, offsets, sample_face, sample_nearness):  # type: ignore[no-untyped-def]
    """The z-buffer of `raster.draw_triangles` at the samples (N, S) of the numbered pixels.

    Triangles from n_opaque on are thin: seen from both sides, and drawn at a share of the samples that is their
    part's opacity.
    """
    height, width = numbers.shape
    n_samples = offsets.shape[0]
    for f in range(faces.shape[0]):
        i0, i1, i2 = faces[f, 0], faces[f, 1], faces[f, 2]
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
        if not (depth[i0] >= NEAR and depth[i1] >= NEAR and depth[i2] >= NEAR and np.isfinite(area)):
            continue
        ready = False
        for row in range(int(top), int(bottom) + 1):
            for column in range(int(left), int(right) + 1):
                number = numbers[row, column]
                if number < 0:
                    continue
                if not ready:
                    ready = True
                    orientation = 1.0 if area > 0.0 else -1.0
                    scale = 1.0 / abs(area)
                    z0, z1, z2 = scale / depth[i0], scale / depth[i1], scale / depth[i2]
                    ax0, ay0, dx0, dy0, s0, closed0 = edge(x1, y1, x2, y2, orientation)
                    ax1, ay1, dx1, dy1, s1, closed1 = edge(x2, y2, x0, y0, orientation)
                    ax2, ay2, dx2, dy2, s2, closed2 = edge(x0, y0, x1, y1, orientation)
                    shown = n_samples
                    if f >= n_opaque:
                        shown = int(np.floor(opacity[parts[f]] * n_samples + 0.5))
                for s in range(shown):
                    px, py = column + offsets[s, 0], row + offsets[s, 1]
                    w0 = s0 * (dx0 * (py - ay0) - dy0 * (px - ax0))
                    w1 = s1 * (dx1 * (py - ay1) - dy1 * (px - ax1))
                    w2 = s2 * (dx2 * (py - ay2) - dy2 * (px - ax2))
                    if w0 < 0.0 or w1 < 0.0 or w2 < 0.0:
                        continue
                    if (w0 == 0.0 and not closed0) or (w1 == 0.0 and not closed1) or (w2 == 0.0 and not closed2):
                        continue
                    nearness = np.float32(w0 * z0 + w1 * z1 + w2 * z2)
                    if nearness > sample_nearness[number, s]:
                        sample_nearness[number, s] = nearness
                        sample_face[number, s] = f
