"""`antialias.find_crossings` on the CPU: one compiled walk over the edges instead of many small tensors.

The torch version, which serves GPUs, is its twin: the formulas and the order of edges are the same.
"""

from __future__ import annotations

import numpy as np

from tdmm.render.camera import NEAR
from tdmm.render.compiled import compiled

_NEAR = np.float32(NEAR)
_0, _HALF, _1, _2, _TINY = (np.float32(x) for x in (0, 0.5, 1, 2, 1e-6))
# Columns of the integer and the float table of crossings.
START, END, INNER, OUTER, HORIZONTAL = range(5)
LINE, CENTRE, DIRECTION = range(3)


@compiled()
def walk_edges(  # type: ignore[no-untyped-def]
    xy, depth, faces, ends, sides, opposite, seam, pixel_depth, cull, slack, best, winner
):
    """Integers (K, 5) and floats (K, 3) of the visible crossings, see the column names above.

    xy (B, V, 2), depth (B, V), pixel_depth (B, H, W) float32; faces (F, 3), ends, sides, opposite (E, 2) int64; seam
    (E,) bool; slack: `antialias.SAME_SURFACE`. best, winner: (2, 2 B H W) float32 of -1 and int64 of -1, overwritten.
    """
    capacity, count = 4096, 0
    integers = np.empty((capacity, 5), np.int64)
    floats = np.empty((capacity, 3), np.float32)
    keys = np.empty(capacity, np.int64)
    n_vertices, (height, width) = xy.shape[1], pixel_depth.shape[1:]
    flat_depth = pixel_depth.ravel()
    front = np.empty((xy.shape[0], faces.shape[0]), np.bool_)
    for b in range(xy.shape[0]):
        for f in range(faces.shape[0]):
            i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
            ax, ay = xy[b, j, 0] - xy[b, i, 0], xy[b, j, 1] - xy[b, i, 1]
            bx, by = xy[b, k, 0] - xy[b, i, 0], xy[b, k, 1] - xy[b, i, 1]
            front[b, f] = ax * by - ay * bx < _0
    for axis in range(2):
        along = axis  # the axis on which crossings are looked for: x in rows, y in columns
        across = 1 - axis
        n_lines, n_along = (height, width) if axis == 0 else (width, height)
        for b in range(xy.shape[0]):
            for e in range(ends.shape[0]):
                left = front[b, sides[e, 0]]
                border = sides[e, 1] < 0
                right = False if border else front[b, sides[e, 1]]
                is_seam = seam[e] and left and right
                if not (left != right or is_seam or (border and not cull)):
                    continue
                s, t = ends[e, 0], ends[e, 1]
                if not (depth[b, s] > _0 and depth[b, t] > _0):
                    continue
                steep = abs(xy[b, t, 1] - xy[b, s, 1]) >= abs(xy[b, t, 0] - xy[b, s, 0])
                if steep != (axis == 0):
                    continue
                third = opposite[e, 0] if left or border else opposite[e, 1]
                ax, ay = xy[b, s, along], xy[b, s, across]
                bx, by = xy[b, t, along], xy[b, t, across]
                cx, cy = xy[b, third, along], xy[b, third, across]
                low, high = min(ay, by), max(ay, by)
                # A NaN fails this comparison.
                if not (low < high):
                    continue
                first = int(min(max(np.ceil(low - _HALF), _0), np.float32(n_lines)))
                stop = int(min(max(np.ceil(high - _HALF), _0), np.float32(n_lines)))
                if first >= stop:
                    continue
                span = by - ay
                inverse_a, inverse_b = _1 / depth[b, s], _1 / depth[b, t]
                third_at = (cy - ay) / span
                side = ax + (cy - ay) * (bx - ax) / span
                third_edge = inverse_a + third_at * (inverse_b - inverse_a)
                slope = (_1 / depth[b, third] - third_edge) / max(abs(cx - side), _TINY)
                inner_is_left = cx < side
                for line in range(first, stop):
                    at = (np.float32(line) + _HALF - ay) / span
                    x = ax + at * (bx - ax)
                    floor = np.floor(x - _HALF)
                    if not (floor >= _0 and floor < np.float32(n_along - 1)):
                        continue
                    i = int(floor)
                    if axis == 0:
                        left_pixel = b * height * width + line * width + i
                        right_pixel = left_pixel + 1
                    else:
                        left_pixel = b * height * width + i * width + line
                        right_pixel = left_pixel + width
                    if inner_is_left:
                        inner, outer, direction, centre = left_pixel, right_pixel, _1, floor + _HALF
                    else:
                        inner, outer, direction, centre = right_pixel, left_pixel, -_1, floor + _1 + _HALF
                    inner_depth, outer_depth = flat_depth[inner], flat_depth[outer]
                    if inner_depth <= _0:
                        continue
                    edge_inverse = inverse_a + at * (inverse_b - inverse_a)
                    ratio = outer_depth * edge_inverse
                    if is_seam:
                        if not abs(ratio - _1) < _2 * slack:
                            continue
                    elif not (outer_depth == _0 or ratio > _1):
                        continue
                    plane = edge_inverse + slope * abs(x - centre)
                    inner_inverse = _1 / max(inner_depth, _NEAR)
                    room = slack * edge_inverse
                    if not min(edge_inverse, plane) - room <= inner_inverse <= max(edge_inverse, plane) + room:
                        continue
                    if count == capacity:
                        capacity *= 2
                        more_integers = np.empty((capacity, 5), np.int64)
                        more_floats = np.empty((capacity, 3), np.float32)
                        more_keys = np.empty(capacity, np.int64)
                        more_integers[:count], more_floats[:count], more_keys[:count] = integers, floats, keys
                        integers, floats, keys = more_integers, more_floats, more_keys
                    key = left_pixel * 2 + (1 if inner_is_left else 0)
                    reach = (x - centre) * direction
                    if reach >= best[axis, key]:
                        best[axis, key] = reach
                        winner[axis, key] = count
                    keys[count] = key
                    integers[count, START], integers[count, END] = b * n_vertices + s, b * n_vertices + t
                    integers[count, INNER], integers[count, OUTER] = inner, outer
                    integers[count, HORIZONTAL] = 1 - axis
                    floats[count, LINE], floats[count, CENTRE] = np.float32(line) + _HALF, centre
                    floats[count, DIRECTION] = direction
                    count += 1
    kept = 0
    for n in range(count):
        if winner[1 - integers[n, HORIZONTAL], keys[n]] == n:
            integers[kept], floats[kept] = integers[n], floats[n]
            kept += 1
    return integers[:kept], floats[:kept]
