"""Per-frame geometry in compiled code: smooth normals and projection."""

from __future__ import annotations

import numpy as np

from tdmm.render.camera import NEAR
from tdmm.render.compiled import compiled


def vertex_normals(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unit normals (V, 3) float32 of vertices (V, 3): the mean of the triangles around, weighted by area.

    A vertex without a triangle of any area gets the zero vector.
    """
    out = np.empty(points.shape, np.float32)
    accumulate_normals(np.ascontiguousarray(points, np.float32), np.ascontiguousarray(faces, np.int32), out)
    return out


@compiled(relaxed=True)
def accumulate_normals(points, faces, out):  # type: ignore[no-untyped-def]
    """`vertex_normals` into out (V, 3)."""
    out[:] = np.float32(0.0)
    for f in range(faces.shape[0]):
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        ax, ay, az = points[j, 0] - points[i, 0], points[j, 1] - points[i, 1], points[j, 2] - points[i, 2]
        bx, by, bz = points[k, 0] - points[i, 0], points[k, 1] - points[i, 1], points[k, 2] - points[i, 2]
        nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        out[i, 0] += nx
        out[i, 1] += ny
        out[i, 2] += nz
        out[j, 0] += nx
        out[j, 1] += ny
        out[j, 2] += nz
        out[k, 0] += nx
        out[k, 1] += ny
        out[k, 2] += nz
    for v in range(out.shape[0]):
        length = np.sqrt(out[v, 0] ** 2 + out[v, 1] ** 2 + out[v, 2] ** 2)
        scale = np.float32(1.0) / length if length > np.float32(0.0) else np.float32(0.0)
        out[v, 0] *= scale
        out[v, 1] *= scale
        out[v, 2] *= scale


@compiled(relaxed=True)
def project_points(points, intrinsics, xy, depth):  # type: ignore[no-untyped-def]
    """`Camera.project` of points (V, 3) into xy (V, 2) and depth (V,)."""
    k00, k01, k02 = intrinsics[0, 0], intrinsics[0, 1], intrinsics[0, 2]
    k10, k11, k12 = intrinsics[1, 0], intrinsics[1, 1], intrinsics[1, 2]
    for v in range(points.shape[0]):
        x, y, z = np.float64(points[v, 0]), -np.float64(points[v, 1]), -np.float64(points[v, 2])
        scale = 1.0 / max(z, NEAR)
        xy[v, 0] = np.float32((k00 * x + k01 * y + k02 * z) * scale)
        xy[v, 1] = np.float32((k10 * x + k11 * y + k12 * z) * scale)
        depth[v] = np.float32(z)
