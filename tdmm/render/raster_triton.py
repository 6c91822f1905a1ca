"""The z-buffer rasteriser as Triton kernels: the same rules, and the same arithmetic to the bit, as `raster`.

Heads are many small triangles, so the work is split by triangles: a program takes `TRIANGLES` of them and walks
their bounding boxes in windows of `SIDE` x `SIDE` pixels, nearly always one. A sample enters the z-buffer by a 64-bit
atomic minimum of (how far, face id): the nearest wins, at equal depth the lower id, whatever the order of work, so
that the result is deterministic. A second pass turns the winners into barycentrics and depth.

Edge functions are float64 from float32 pixels, as on the CPU; the kernels are launched without fused
multiply-add, because a fused product is rounded otherwise and the two triangles at an edge would see different
numbers. With the environment variable TRITON_INTERPRET=1 the kernels run on the CPU, in numpy (for tests).
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from tdmm.render.camera import NEAR
from tdmm.render.fragments import TensorFragments

TRIANGLES = 8
SIDE = 4
PIXELS = 128
FARTHEST = torch.iinfo(torch.int64).max


def rasterize_triton(
    xy: torch.Tensor, depth: torch.Tensor, faces: torch.Tensor, image_size: tuple[int, int], cull: bool = True
) -> TensorFragments:
    """The nearest triangle at every pixel centre, see `tdmm.render.fragments.Rasterizer`. All on one CUDA device."""
    xy = xy.detach().to(torch.float32).contiguous()
    depth = depth.detach().to(torch.float32).contiguous()
    faces = faces.to(torch.int32).contiguous()
    batch, n_vertices = depth.shape
    n_faces = len(faces)
    height, width = image_size
    device = xy.device
    nearest = torch.full((batch, height, width), FARTHEST, dtype=torch.int64, device=device)
    face_id = torch.empty((batch, height, width), dtype=torch.int32, device=device)
    barycentric = torch.empty((batch, height, width, 3), dtype=torch.float32, device=device)
    depth_picture = torch.empty((batch, height, width), dtype=torch.float32, device=device)
    if not batch * height * width:
        return TensorFragments(face_id, barycentric, depth_picture)
    if n_faces:
        _draw[(triton.cdiv(n_faces, TRIANGLES), batch)](
            xy,
            depth,
            faces,
            nearest,
            n_vertices,
            n_faces,
            height,
            width,
            NEAR,
            CULL=cull,
            TRIANGLES=TRIANGLES,
            SIDE=SIDE,
            num_warps=4,
            enable_fp_fusion=False,
        )
    _locate[(triton.cdiv(height * width, PIXELS), batch)](
        xy,
        depth,
        faces,
        nearest,
        face_id,
        barycentric,
        depth_picture,
        n_vertices,
        height,
        width,
        PIXELS=PIXELS,
        num_warps=4,
        enable_fp_fusion=False,
    )
    return TensorFragments(face_id, barycentric, depth_picture)


@triton.jit
def _edge(px, py, qx, qy, orientation):  # type: ignore[no-untyped-def]
    """`raster.edge`: the edge p -> q from its upper (then left) end, and whether it holds its points."""
    swap = (py > qy) | ((py == qy) & (px > qx))
    ax, ay = tl.where(swap, qx, px), tl.where(swap, qy, py)
    dx, dy = tl.where(swap, px, qx) - ax, tl.where(swap, py, qy) - ay
    sign = tl.where(swap, -orientation, orientation)
    closed = ((dy > 0) & (sign < 0)) | ((dy == 0) & (sign > 0))
    return ax, ay, dx, dy, sign, closed


@triton.jit
def _draw(  # type: ignore[no-untyped-def]
    xy,
    depth,
    faces,
    nearest,
    n_vertices,
    n_faces,
    height,
    width,
    near,
    CULL: tl.constexpr,
    TRIANGLES: tl.constexpr,
    SIDE: tl.constexpr,
):
    """Draw TRIANGLES triangles of one picture into the z-buffer `nearest` (B, H, W) int64."""
    picture = tl.program_id(1).to(tl.int64)
    f = tl.program_id(0) * TRIANGLES + tl.arange(0, TRIANGLES)
    exists = f < n_faces
    i0 = tl.load(faces + f * 3, mask=exists, other=0)
    i1 = tl.load(faces + f * 3 + 1, mask=exists, other=0)
    i2 = tl.load(faces + f * 3 + 2, mask=exists, other=0)
    points = xy + picture * n_vertices * 2
    x0, y0 = tl.load(points + i0 * 2).to(tl.float64), tl.load(points + i0 * 2 + 1).to(tl.float64)
    x1, y1 = tl.load(points + i1 * 2).to(tl.float64), tl.load(points + i1 * 2 + 1).to(tl.float64)
    x2, y2 = tl.load(points + i2 * 2).to(tl.float64), tl.load(points + i2 * 2 + 1).to(tl.float64)
    depths = depth + picture * n_vertices
    d0, d1, d2 = tl.load(depths + i0), tl.load(depths + i1), tl.load(depths + i2)
    area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
    if CULL:
        drawn = area < 0
    else:
        drawn = (area < 0) | (area > 0)
    drawn = drawn & exists & (tl.abs(area) < float("inf")) & (d0 >= near) & (d1 >= near) & (d2 >= near)
    # Limits in float64 before they become integers: pixels may lie far outside of what an integer holds.
    top = tl.maximum(tl.ceil(tl.minimum(tl.minimum(y0, y1), y2) - 0.5), 0.0)
    bottom = tl.minimum(tl.floor(tl.maximum(tl.maximum(y0, y1), y2) - 0.5), height - 1.0)
    left = tl.maximum(tl.ceil(tl.minimum(tl.minimum(x0, x1), x2) - 0.5), 0.0)
    right = tl.minimum(tl.floor(tl.maximum(tl.maximum(x0, x1), x2) - 0.5), width - 1.0)
    drawn = drawn & (top <= bottom) & (left <= right)
    top, bottom = tl.where(drawn, top, 0.0).to(tl.int32), tl.where(drawn, bottom, -1.0).to(tl.int32)
    left, right = tl.where(drawn, left, 0.0).to(tl.int32), tl.where(drawn, right, -1.0).to(tl.int32)
    across = (right - left + SIDE) // SIDE
    windows = tl.where(drawn, across * ((bottom - top + SIDE) // SIDE), 0)
    across = tl.maximum(across, 1)

    one = tl.where(area > 0, 1.0, -1.0).to(tl.float64)
    scale = 1.0 / tl.where(drawn, tl.abs(area), 1.0)
    z0 = (scale / tl.where(drawn, d0, 1.0).to(tl.float64))[:, None]
    z1 = (scale / tl.where(drawn, d1, 1.0).to(tl.float64))[:, None]
    z2 = (scale / tl.where(drawn, d2, 1.0).to(tl.float64))[:, None]
    ax0, ay0, dx0, dy0, s0, closed0 = _edge(x1, y1, x2, y2, one)
    ax1, ay1, dx1, dy1, s1, closed1 = _edge(x2, y2, x0, y0, one)
    ax2, ay2, dx2, dy2, s2, closed2 = _edge(x0, y0, x1, y1, one)

    cell = tl.arange(0, SIDE * SIDE)
    zbuffer = nearest + picture * height * width
    # A while loop: the interpreter cannot turn a tensor into a range's limit with NumPy 2.4 and later.
    most = tl.max(windows, 0)
    window = 0
    while window < most:
        row = (top + (window // across) * SIDE)[:, None] + (cell // SIDE)[None, :]
        column = (left + (window % across) * SIDE)[:, None] + (cell % SIDE)[None, :]
        inside = (window < windows)[:, None] & (row <= bottom[:, None]) & (column <= right[:, None])
        py, px = row.to(tl.float64) + 0.5, column.to(tl.float64) + 0.5
        w0 = s0[:, None] * (dx0[:, None] * (py - ay0[:, None]) - dy0[:, None] * (px - ax0[:, None]))
        w1 = s1[:, None] * (dx1[:, None] * (py - ay1[:, None]) - dy1[:, None] * (px - ax1[:, None]))
        w2 = s2[:, None] * (dx2[:, None] * (py - ay2[:, None]) - dy2[:, None] * (px - ax2[:, None]))
        inside = inside & ((w0 > 0) | ((w0 == 0) & closed0[:, None]))
        inside = inside & ((w1 > 0) | ((w1 == 0) & closed1[:, None]))
        inside = inside & ((w2 > 0) | ((w2 == 0) & closed2[:, None]))
        nearness = (w0 * z0 + w1 * z1 + w2 * z2).to(tl.float32)
        inside = inside & (nearness > 0)
        # Positive floats order as their bits do. Nearer is smaller, then the lower face id.
        far = 0x7FFFFFFF - nearness.to(tl.int32, bitcast=True)
        key = (far.to(tl.int64) << 32) | f[:, None].to(tl.int64)
        place = zbuffer + row * width + column
        # A plain look first spares most atomics of hidden samples; a stale value only costs one that does nothing.
        inside = inside & (key < tl.load(place, mask=inside, other=0))
        tl.atomic_min(place, key, mask=inside, sem="relaxed")
        window += 1


@triton.jit
def _locate(  # type: ignore[no-untyped-def]
    xy,
    depth,
    faces,
    nearest,
    face_id,
    barycentric,
    depth_picture,
    n_vertices,
    height,
    width,
    PIXELS: tl.constexpr,
):
    """Face id, perspective-correct barycentrics and depth of PIXELS pixels of one picture."""
    picture = tl.program_id(1).to(tl.int64)
    place = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    exists = place < height * width
    base = picture * height * width
    key = tl.load(nearest + base + place, mask=exists, other=0x7FFFFFFFFFFFFFFF)
    seen = exists & (key != 0x7FFFFFFFFFFFFFFF)
    f = tl.where(seen, key & 0x7FFFFFFF, 0)
    i0 = tl.load(faces + f * 3, mask=seen, other=0)
    i1 = tl.load(faces + f * 3 + 1, mask=seen, other=0)
    i2 = tl.load(faces + f * 3 + 2, mask=seen, other=0)
    px, py = (place % width).to(tl.float64) + 0.5, (place // width).to(tl.float64) + 0.5
    points = xy + picture * n_vertices * 2
    x0, y0 = tl.load(points + i0 * 2, mask=seen, other=0) - px, tl.load(points + i0 * 2 + 1, mask=seen, other=0) - py
    x1, y1 = tl.load(points + i1 * 2, mask=seen, other=0) - px, tl.load(points + i1 * 2 + 1, mask=seen, other=0) - py
    x2, y2 = tl.load(points + i2 * 2, mask=seen, other=0) - px, tl.load(points + i2 * 2 + 1, mask=seen, other=0) - py
    depths = depth + picture * n_vertices
    w0 = (x1 * y2 - x2 * y1) / tl.load(depths + i0, mask=seen, other=1).to(tl.float64)
    w1 = (x2 * y0 - x0 * y2) / tl.load(depths + i1, mask=seen, other=1).to(tl.float64)
    w2 = (x0 * y1 - x1 * y0) / tl.load(depths + i2, mask=seen, other=1).to(tl.float64)
    total = 1.0 / tl.where(seen, w0 + w1 + w2, 1.0)
    nearness = (0x7FFFFFFF - (key >> 32)).to(tl.int32).to(tl.float32, bitcast=True)
    away = (1.0 / tl.where(seen, nearness, 1.0).to(tl.float64)).to(tl.float32)
    tl.store(face_id + base + place, tl.where(seen, f, -1).to(tl.int32), mask=exists)
    tl.store(depth_picture + base + place, tl.where(seen, away, 0.0), mask=exists)
    weights = barycentric + (base + place) * 3
    tl.store(weights, tl.where(seen, w0 * total, 0.0).to(tl.float32), mask=exists)
    tl.store(weights + 1, tl.where(seen, w1 * total, 0.0).to(tl.float32), mask=exists)
    tl.store(weights + 2, tl.where(seen, w2 * total, 0.0).to(tl.float32), mask=exists)
