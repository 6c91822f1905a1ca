"""Geometry of the differentiable renderer: projection and smooth normals of batches of vertices (torch)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from tdmm.render.camera import NEAR, Camera
from tdmm.render.compiled import compiled
from tdmm.render.geometry import accumulate_normals


def project(vertices: torch.Tensor, camera: Camera) -> tuple[torch.Tensor, torch.Tensor]:
    """`Camera.project` for tensors: pixels (B, V, 2) and depths (B, V) in metres of vertices (B, V, 3).

    Differentiable; computed in float64 and returned in the dtype of `vertices`, as on the CPU.
    """
    points = vertices.double() * vertices.new_tensor([1.0, -1.0, -1.0], dtype=torch.float64)
    intrinsics = torch.as_tensor(camera.intrinsics, dtype=torch.float64, device=vertices.device)
    depth = points[..., 2]
    xy = (points @ intrinsics[:2].T) / depth.clamp(min=NEAR)[..., None]
    return xy.to(vertices.dtype), depth.to(vertices.dtype)


def vertex_normals(vertices: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
    """Unit normals (B, V, 3) of vertices (B, V, 3): the mean of the triangles around, weighted by area.

    faces: (F, 3) int64. Differentiable. A vertex without a triangle of any area gets the zero vector.
    """
    if vertices.device.type == "cpu" and vertices.dtype == torch.float32:
        return _VertexNormals.apply(vertices, faces)
    return vertex_normals_torch(vertices, faces)


def vertex_normals_torch(vertices: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
    """`vertex_normals` in torch operations, for any device and float dtype."""
    a, b, c = (vertices[:, faces[:, corner]] for corner in range(3))
    weighted = torch.linalg.cross(b - a, c - a)
    total = torch.zeros_like(vertices)
    for corner in range(3):
        total = total.index_add(1, faces[:, corner], weighted)
    length = total.norm(dim=-1, keepdim=True)
    return torch.where(length > 0, total / length.clamp(min=torch.finfo(vertices.dtype).tiny), 0.0)


class _VertexNormals(torch.autograd.Function):
    """`vertex_normals` on the CPU in float32: one loop over the triangles each way."""

    @staticmethod
    def forward(ctx: Any, vertices: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
        points, triangles = np.ascontiguousarray(vertices.detach().numpy()), faces.to(torch.int32).numpy()
        normals = np.empty_like(points)
        for item in range(len(points)):
            accumulate_normals(points[item], triangles, normals[item])
        ctx.saved = points, triangles, normals
        return torch.from_numpy(normals)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        points, triangles, normals = ctx.saved
        incoming = np.ascontiguousarray(gradients[0].detach().numpy())
        out = np.zeros_like(points)
        scratch = np.empty_like(points[0])
        for item in range(len(points)):
            _normals_backward(points[item], triangles, normals[item], incoming[item], scratch, out[item])
        return torch.from_numpy(out), None


@compiled(relaxed=True)
def _normals_backward(points, faces, normals, gradient, scratch, out):  # type: ignore[no-untyped-def]
    """Gradient of the normals to the points (V, 3), added to `out`.

    With s = sum of the triangles' cross products and n = s / |s|: dL/ds = (g - (g . n) n) / |s|, and for one cross
    product a x b: dL/da = b x dL/ds, dL/db = dL/ds x a.
    """
    scratch[:] = np.float32(0.0)
    for f in range(faces.shape[0]):
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        ax, ay, az = points[j, 0] - points[i, 0], points[j, 1] - points[i, 1], points[j, 2] - points[i, 2]
        bx, by, bz = points[k, 0] - points[i, 0], points[k, 1] - points[i, 1], points[k, 2] - points[i, 2]
        nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        for v in (i, j, k):
            scratch[v, 0] += nx
            scratch[v, 1] += ny
            scratch[v, 2] += nz
    for v in range(points.shape[0]):
        length = np.sqrt(scratch[v, 0] ** 2 + scratch[v, 1] ** 2 + scratch[v, 2] ** 2)
        scale = np.float32(1.0) / length if length > np.float32(0.0) else np.float32(0.0)
        along = gradient[v, 0] * normals[v, 0] + gradient[v, 1] * normals[v, 1] + gradient[v, 2] * normals[v, 2]
        for c in range(3):
            scratch[v, c] = (gradient[v, c] - along * normals[v, c]) * scale
    for f in range(faces.shape[0]):
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        ax, ay, az = points[j, 0] - points[i, 0], points[j, 1] - points[i, 1], points[j, 2] - points[i, 2]
        bx, by, bz = points[k, 0] - points[i, 0], points[k, 1] - points[i, 1], points[k, 2] - points[i, 2]
        gx = scratch[i, 0] + scratch[j, 0] + scratch[k, 0]
        gy = scratch[i, 1] + scratch[j, 1] + scratch[k, 1]
        gz = scratch[i, 2] + scratch[j, 2] + scratch[k, 2]
        px, py, pz = by * gz - bz * gy, bz * gx - bx * gz, bx * gy - by * gx
        qx, qy, qz = gy * az - gz * ay, gz * ax - gx * az, gx * ay - gy * ax
        out[j, 0] += px
        out[j, 1] += py
        out[j, 2] += pz
        out[k, 0] += qx
        out[k, 1] += qy
        out[k, 2] += qz
        out[i, 0] -= px + qx
        out[i, 1] -= py + qy
        out[i, 2] -= pz + qz
