"""Attributes of the surface point behind each covered pixel, with gradients to attributes and vertices.

Which triangle a pixel sees is a discrete choice and carries no gradient; where on that triangle its ray lands is
smooth. With p the pixel's ray (camera frame, z forward) and M = [v0 v1 v2] the triangle's corners as columns,
w = M^-1 p and b = w / sum(w) are the perspective-correct barycentrics. From dM w + M dw = 0 follows, for a loss L
with g_i = dL/db_i,

    dL/dv_k = -b_k h,   h = M^-T (g - (g . b) 1)

so that the backward pass needs one 3 x 3 inverse a pixel. On the CPU both passes are fused numba loops; elsewhere the
same function is written in torch operations (`barycentrics_from_rays`), which also serves as its slow twin.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from tdmm.render.compiled import compiled
from tdmm.render.threads import for_each, spans

# Fewer are not worth another thread and its own copy of the gradients.
PIXELS_A_THREAD = 8192


@dataclass(frozen=True)
class CoveredPixels:
    """The N pixels of a batch of pictures that show a surface, row by row.

    index: (N,) int64 place in the flattened (B, H, W). item: (N,) int64 picture. face: (N,) int64 triangle.
    barycentric: (N, 3) float32, perspective-correct, no gradient. image_size: (H, W). batch: B.
    """

    index: torch.Tensor
    item: torch.Tensor
    face: torch.Tensor
    barycentric: torch.Tensor
    image_size: tuple[int, int]
    batch: int


def covered_pixels(face_id: torch.Tensor, barycentric: torch.Tensor) -> CoveredPixels:
    """Gather the covered pixels of fragments: face_id (B, H, W) int32, -1 = empty; barycentric (B, H, W, 3)."""
    batch, height, width = face_id.shape
    flat = face_id.reshape(-1)
    index = torch.nonzero(flat >= 0).squeeze(1)
    return CoveredPixels(
        index=index,
        item=torch.div(index, height * width, rounding_mode="floor"),
        face=flat[index].long(),
        barycentric=barycentric.reshape(-1, 3)[index],
        image_size=(height, width),
        batch=batch,
    )


def pixel_rays(pixels: CoveredPixels, intrinsics: torch.Tensor) -> torch.Tensor:
    """Rays (N, 3) through the pixel centres, z = 1, in the camera frame of computer vision (x right, y down).

    intrinsics: (3, 3) or (B, 3, 3) in pixels.
    """
    width = pixels.image_size[1]
    place = pixels.index % (pixels.image_size[0] * width)
    column, row = place % width, torch.div(place, width, rounding_mode="floor")
    inverse = torch.linalg.inv(intrinsics.double()).to(pixels.barycentric)
    screen = torch.stack([column + 0.5, row + 0.5, torch.ones_like(row)], dim=-1).to(inverse.dtype)
    if inverse.ndim == 2:
        return screen @ inverse.T
    return (inverse[pixels.item] @ screen[..., None])[..., 0]


def barycentrics_from_rays(corners: torch.Tensor, rays: torch.Tensor) -> torch.Tensor:
    """Perspective-correct barycentrics (N, 3) of rays (N, 3) on triangles with corners (N, 3, 3), one a row.

    Corners and rays in one frame with the eye at the origin. Differentiable in both.
    """
    # A shear along the ray moves it onto the z axis and leaves the triple products alone; what remains are small
    # offsets, so that float32 does not cancel as it does in (b x c) . ray.
    offset = corners[..., :2] - corners[..., 2:] * (rays[:, None, :2] / rays[:, None, 2:])
    a, b, c = offset.unbind(1)
    weights = torch.stack([_cross(b, c), _cross(c, a), _cross(a, b)], dim=-1)
    return weights / weights.sum(-1, keepdim=True)


def _cross(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    return p[..., 0] * q[..., 1] - p[..., 1] * q[..., 0]


def interpolate(
    vertices: torch.Tensor,
    attributes: torch.Tensor,
    faces: torch.Tensor,
    pixels: CoveredPixels,
    intrinsics: torch.Tensor,
    attribute_faces: torch.Tensor | None = None,
) -> torch.Tensor:
    """Attributes (N, C) at the covered pixels; gradients to `vertices` and `attributes`.

    vertices: (B, V, 3) metres in the camera frame (y up, looking along -z).
    attributes: (B, A, C) or (A, C), shared by the batch. faces: (F, 3) int64 into vertices. attribute_faces: (F, 3)
    int64 into attributes, if those are not the vertices' (texture coordinates). intrinsics: (3, 3) or (B, 3, 3) pixels.
    """
    attribute_faces = faces if attribute_faces is None else attribute_faces
    if attributes.ndim == 2:
        attributes = attributes.expand(pixels.batch, -1, -1)
    if vertices.device.type == "cpu" and vertices.dtype == torch.float32:
        return _Interpolate.apply(vertices, attributes, faces, attribute_faces, pixels)
    return interpolate_torch(vertices, attributes, faces, pixels, intrinsics, attribute_faces)


def interpolate_torch(
    vertices: torch.Tensor,
    attributes: torch.Tensor,
    faces: torch.Tensor,
    pixels: CoveredPixels,
    intrinsics: torch.Tensor,
    attribute_faces: torch.Tensor,
) -> torch.Tensor:
    """`interpolate` in torch operations, for any device and float dtype."""
    if attributes.ndim == 2:
        attributes = attributes.expand(pixels.batch, -1, -1)
    item = pixels.item[:, None]
    flip = vertices.new_tensor([1.0, -1.0, -1.0])
    rays = pixel_rays(pixels, intrinsics).to(vertices.dtype)
    if vertices.requires_grad:
        barycentric = barycentrics_from_rays(vertices[item, faces[pixels.face]] * flip, rays)
    else:
        barycentric = pixels.barycentric.to(attributes.dtype)
    return (attributes[item, attribute_faces[pixels.face]] * barycentric[..., None]).sum(1)


class _Interpolate(torch.autograd.Function):
    """`interpolate` on the CPU in float32: both passes are one loop over the pixels."""

    @staticmethod
    def forward(
        ctx: Any,
        vertices: torch.Tensor,
        attributes: torch.Tensor,
        faces: torch.Tensor,
        attribute_faces: torch.Tensor,
        pixels: CoveredPixels,
    ) -> torch.Tensor:
        out = np.empty((len(pixels.index), attributes.shape[-1]), np.float32)
        ctx.pixels, ctx.faces, ctx.attribute_faces = pixels, faces, attribute_faces
        ctx.save_for_backward(vertices, attributes)
        item, face, barycentric = pixels.item.numpy(), pixels.face.numpy(), pixels.barycentric.numpy()
        _interpolate_forward(attributes.detach().numpy(), attribute_faces.numpy(), item, face, barycentric, out)
        return torch.from_numpy(out)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        vertices, attributes = ctx.saved_tensors
        pixels = ctx.pixels
        wants_vertices, wants_attributes = ctx.needs_input_grad[:2]
        arrays = (
            np.ascontiguousarray(gradients[0].detach().numpy()),
            vertices.detach().numpy(),
            attributes.detach().numpy(),
            ctx.faces.numpy(),
            ctx.attribute_faces.numpy(),
            pixels.item.numpy(),
            pixels.face.numpy(),
            pixels.barycentric.numpy(),
        )
        parts = spans(len(pixels.index), PIXELS_A_THREAD)
        vertex_parts = np.zeros((len(parts), *vertices.shape), np.float32)
        attribute_parts = np.zeros((len(parts), *attributes.shape), np.float32)

        def add(part: int) -> None:
            _interpolate_backward(
                *arrays, *parts[part], wants_vertices, wants_attributes, vertex_parts[part], attribute_parts[part]
            )

        for_each(add, range(len(parts)))
        # Always summed in the same order, so that a gradient does not depend on which thread was quicker.
        vertex_gradient, attribute_gradient = vertex_parts.sum(0), attribute_parts.sum(0)
        return (
            torch.from_numpy(vertex_gradient) if wants_vertices else None,
            torch.from_numpy(attribute_gradient) if wants_attributes else None,
            None,
            None,
            None,
        )


@compiled(relaxed=True)
def _interpolate_forward(attributes, faces, item, face, barycentric, out):  # type: ignore[no-untyped-def]
    n_channels = attributes.shape[2]
    for n in range(len(face)):
        b, f = item[n], face[n]
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        u, v, w = barycentric[n, 0], barycentric[n, 1], barycentric[n, 2]
        for c in range(n_channels):
            out[n, c] = u * attributes[b, i, c] + v * attributes[b, j, c] + w * attributes[b, k, c]


@compiled(relaxed=True)
def _interpolate_backward(  # type: ignore[no-untyped-def]
    gradient,
    vertices,
    attributes,
    faces,
    attribute_faces,
    item,
    face,
    barycentric,
    start,
    stop,
    wants_vertices,
    wants_attributes,
    vertex_gradient,
    attribute_gradient,
):
    n_channels = attributes.shape[2]
    for n in range(start, stop):
        b, f = item[n], face[n]
        i, j, k = attribute_faces[f, 0], attribute_faces[f, 1], attribute_faces[f, 2]
        u, v, w = barycentric[n, 0], barycentric[n, 1], barycentric[n, 2]
        gu, gv, gw = np.float32(0), np.float32(0), np.float32(0)
        for c in range(n_channels):
            g = gradient[n, c]
            gu += g * attributes[b, i, c]
            gv += g * attributes[b, j, c]
            gw += g * attributes[b, k, c]
            if wants_attributes:
                attribute_gradient[b, i, c] += u * g
                attribute_gradient[b, j, c] += v * g
                attribute_gradient[b, k, c] += w * g
        if not wants_vertices:
            continue
        mean = gu * u + gv * v + gw * w
        gu, gv, gw = gu - mean, gv - mean, gw - mean
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        # Corners in the frame of computer vision: (x, -y, -z).
        ax, ay, az = vertices[b, i, 0], -vertices[b, i, 1], -vertices[b, i, 2]
        bx, by, bz = vertices[b, j, 0], -vertices[b, j, 1], -vertices[b, j, 2]
        cx, cy, cz = vertices[b, k, 0], -vertices[b, k, 1], -vertices[b, k, 2]
        # Rows of M^-1 times det: the normals of the planes through the eye and an edge. The ray itself is not needed:
        # the barycentrics hold it.
        px, py, pz = by * cz - bz * cy, bz * cx - bx * cz, bx * cy - by * cx
        qx, qy, qz = cy * az - cz * ay, cz * ax - cx * az, cx * ay - cy * ax
        rx, ry, rz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        # det M through the edges, which float32 holds to full precision.
        ex, ey, ez = bx - ax, by - ay, bz - az
        fx, fy, fz = cx - ax, cy - ay, cz - az
        det = ax * (ey * fz - ez * fy) + ay * (ez * fx - ex * fz) + az * (ex * fy - ey * fx)
        scale = 1 / det if det != 0 else np.float32(0)
        # Back to y up, z towards the viewer.
        hx = (px * gu + qx * gv + rx * gw) * scale
        hy = -(py * gu + qy * gv + ry * gw) * scale
        hz = -(pz * gu + qz * gv + rz * gw) * scale
        vertex_gradient[b, i, 0] -= u * hx
        vertex_gradient[b, i, 1] -= u * hy
        vertex_gradient[b, i, 2] -= u * hz
        vertex_gradient[b, j, 0] -= v * hx
        vertex_gradient[b, j, 1] -= v * hy
        vertex_gradient[b, j, 2] -= v * hz
        vertex_gradient[b, k, 0] -= w * hx
        vertex_gradient[b, k, 1] -= w * hy
        vertex_gradient[b, k, 2] -= w * hz
