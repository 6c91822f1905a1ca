"""Analytic anti-aliasing of silhouettes, with gradients to the vertices that make them.

A picture sampled at pixel centres is constant in the vertices wherever a silhouette passes between two centres, so
it has no gradient there. Here every silhouette edge blends the two pixels whose centres it separates by the exact
place where it crosses the line between them (the idea of Laine et al., Modular Primitives for High-Performance
Differentiable Rendering, 2020, section 3.4), so that the summed colour of a row of pixels is the integral over the row
and its derivative is that of the integral.

Unlike there the edges of the mesh are walked, not the pixels: triangles along a silhouette are seen edge-on, and
many are too thin to cover a pixel centre, so that the triangle which a pixel shows is often not the one that ends the
surface. Each axis handles only its own orientation: rows of pixels meet the edges that are steeper than the
diagonal, columns meet the others; every edge is counted once.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch

from tdmm.render.camera import NEAR
from tdmm.render.fused_crossings import walk_edges

# How far, relative to its depth, the surface in the inner pixel may lie off the edge and still be the same surface:
# 4 mm for a head at 0.75 m, less than the gap between a nose and the cheek behind it.
SAME_SURFACE = 0.005
# How far, relative to their depth, two neighbouring pixels may lie apart for colours to be extrapolated from them: a
# ball of 9 cm drops by 16 mm within the last pixel of a picture of 256 pixels.
SAME_SHEET = 0.02


@dataclass(frozen=True)
class MeshEdges:
    """Edges of a triangle mesh.

    vertices: (E, 2) int64 ends. faces: (E, 2) int64 triangles on either side, -1 for none (a border).
    opposite: (E, 2) int64 the third vertex of either triangle (0 where there is none). seam: (E,) bool, the triangles
    are of different colour; such an edge is blended also where it is no silhouette.
    """

    vertices: torch.Tensor
    faces: torch.Tensor
    opposite: torch.Tensor
    seam: torch.Tensor

    def to(self, device: torch.device | str) -> MeshEdges:
        return MeshEdges(**{item.name: getattr(self, item.name).to(device) for item in fields(self)})


def mesh_edges(faces: np.ndarray, colour_of_face: np.ndarray | None = None) -> MeshEdges:
    """The edges of triangles (F, 3). Where more than two triangles share an edge, each further one makes a border.

    colour_of_face: (F,) integer; edges between different ones are seams.
    """
    faces = np.asarray(faces, np.int64)
    n_faces = len(faces)
    ends = np.sort(np.concatenate([faces[:, [1, 2]], faces[:, [2, 0]], faces[:, [0, 1]]]), axis=1)
    third = np.concatenate([faces[:, 0], faces[:, 1], faces[:, 2]])
    owner = np.tile(np.arange(n_faces), 3)
    order = np.lexsort((owner, ends[:, 1], ends[:, 0]))
    ends, third, owner = ends[order], third[order], owner[order]
    first_of_group = np.ones(len(ends), bool)
    first_of_group[1:] = (ends[1:] != ends[:-1]).any(1)
    start = np.maximum.accumulate(np.where(first_of_group, np.arange(len(ends)), 0))
    rank = np.arange(len(ends)) - start
    is_second = rank == 1
    keep = np.flatnonzero(~is_second)
    has_second = np.zeros(len(ends), bool)
    has_second[:-1] = is_second[1:]
    has_second = has_second[keep]
    partner = np.minimum(keep + 1, len(ends) - 1)
    edge_faces = np.stack([owner[keep], np.where(has_second, owner[partner], -1)], axis=1)
    opposite = np.stack([third[keep], np.where(has_second, third[partner], 0)], axis=1)
    seam = np.zeros(len(keep), bool)
    if colour_of_face is not None:
        colours = np.asarray(colour_of_face)[edge_faces]
        seam = has_second & (colours[:, 0] != colours[:, 1])
    arrays = ends[keep], edge_faces, opposite, seam
    return MeshEdges(*(torch.from_numpy(np.ascontiguousarray(array)) for array in arrays))


@dataclass(frozen=True)
class Crossings:
    """K places where a visible silhouette passes between the centres of two neighbouring pixels.

    start, end: (K,) int64 ends of the edge in the flattened (B, V). inner, outer: (K,) int64 pixels in the flattened
    (B, H, W): the one on the surface, and its neighbour. line: (K,) the fixed coordinate of the pair's centres (y of a
    row, x of a column). centre: (K,) the inner pixel's centre on the other axis. direction: (K,) +1 or -1 towards the
    outer pixel. horizontal: (K,) bool, a pair in a row.
    """

    start: torch.Tensor
    end: torch.Tensor
    inner: torch.Tensor
    outer: torch.Tensor
    line: torch.Tensor
    centre: torch.Tensor
    direction: torch.Tensor
    horizontal: torch.Tensor


@torch.no_grad()
def find_crossings(
    xy: torch.Tensor,
    depth: torch.Tensor,
    faces: torch.Tensor,
    edges: MeshEdges,
    pixel_depth: torch.Tensor,
    *,
    cull: bool = True,
) -> Crossings:
    """The silhouette crossings of a batch of pictures; discrete, without gradient.

    xy: (B, V, 2) pixels. depth: (B, V) metres > 0 in front. faces: (F, 3) int64, counter-clockwise from outside.
    pixel_depth: (B, H, W) metres, 0 where empty. cull: the rasteriser dropped triangles seen from behind.
    """
    if xy.device.type == "cpu" and xy.dtype == torch.float32:
        return _find_crossings_compiled(xy, depth, faces, edges, pixel_depth, cull)
    return find_crossings_torch(xy, depth, faces, edges, pixel_depth, cull=cull)


def _find_crossings_compiled(
    xy: torch.Tensor,
    depth: torch.Tensor,
    faces: torch.Tensor,
    edges: MeshEdges,
    pixel_depth: torch.Tensor,
    cull: bool,
) -> Crossings:
    n_keys = 2 * pixel_depth.numel()
    tensors = xy, depth, faces, edges.vertices, edges.faces, edges.opposite, edges.seam, pixel_depth
    integers, floats = walk_edges(
        *(np.ascontiguousarray(tensor.detach().numpy()) for tensor in tensors),
        cull,
        np.float32(SAME_SURFACE),
        np.full((2, n_keys), -1, np.float32),
        np.full((2, n_keys), -1, np.int64),
    )
    start, end, inner, outer, horizontal = torch.from_numpy(integers).unbind(1)
    line, centre, direction = torch.from_numpy(floats).unbind(1)
    return Crossings(start, end, inner, outer, line, centre, direction, horizontal.bool())


@torch.no_grad()
def find_crossings_torch(
    xy: torch.Tensor,
    depth: torch.Tensor,
    faces: torch.Tensor,
    edges: MeshEdges,
    pixel_depth: torch.Tensor,
    *,
    cull: bool = True,
) -> Crossings:
    """`find_crossings` in torch operations, for any device and float dtype."""
    start, end, third, item, seam = _silhouettes(xy, depth, faces, edges, cull)
    flat_xy, flat_depth = xy.reshape(-1, 2), depth.reshape(-1)
    n_vertices = xy.shape[1]
    offset = item * n_vertices
    start, end, third = start + offset, end + offset, third + offset
    along = (flat_xy[end] - flat_xy[start]).abs()
    parts = [
        _walk(flat_xy, flat_depth, start[pick], end[pick], third[pick], item[pick], seam[pick], pixel_depth, axis)
        for axis, pick in ((0, along[:, 1] >= along[:, 0]), (1, along[:, 1] < along[:, 0]))
    ]
    return Crossings(**{name: torch.cat([getattr(p, name) for p in parts]) for name in Crossings.__dataclass_fields__})


def _silhouettes(
    xy: torch.Tensor, depth: torch.Tensor, faces: torch.Tensor, edges: MeshEdges, cull: bool
) -> tuple[torch.Tensor, ...]:
    """Edges where the visible surface ends or changes colour.

    Returns start, end, a vertex on the surface's side, the picture, and whether the surface goes on behind the edge.
    """
    corners = xy[:, faces]  # (B, F, 3, 2)
    first, second = corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0]
    # Pixels have y down: counter-clockwise from outside is a negative area here.
    area = first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0]
    front = area < 0
    left, right = front[:, edges.faces[:, 0]], front[:, edges.faces[:, 1]]
    border = edges.faces[:, 1] < 0
    right = torch.where(border, torch.zeros_like(right), right)
    silhouette = left != right
    if not cull:
        silhouette = silhouette | border
    seam = edges.seam & left & right
    before_eye = (depth[:, edges.vertices] > 0).all(-1)
    item, edge = torch.nonzero((silhouette | seam) & before_eye, as_tuple=True)
    # The surface lies on the side of the triangle that is seen from the front (both sides agree if neither is culled).
    use_first = left[item, edge] | border[edge]
    third = torch.where(use_first, edges.opposite[edge, 0], edges.opposite[edge, 1])
    return edges.vertices[edge, 0], edges.vertices[edge, 1], third, item, seam[item, edge]


def _walk(
    xy: torch.Tensor,
    depth: torch.Tensor,
    start: torch.Tensor,
    end: torch.Tensor,
    third: torch.Tensor,
    item: torch.Tensor,
    seam: torch.Tensor,
    pixel_depth: torch.Tensor,
    axis: int,
) -> Crossings:
    """Crossings of edges with rows (axis 0, edges steeper than the diagonal) or columns (axis 1) of pixel centres."""
    batch, height, width = pixel_depth.shape
    n_lines, n_along = (height, width) if axis == 0 else (width, height)
    a, b, c = xy[start], xy[end], xy[third]
    if axis == 1:
        a, b, c = a.flip(-1), b.flip(-1), c.flip(-1)
    # From here on an edge is steep, and its crossing x with each line y = j + 0.5 is looked for. Half-open spans
    # [low, high) give a line through a shared vertex to one of the two edges.
    low, high = torch.minimum(a[:, 1], b[:, 1]), torch.maximum(a[:, 1], b[:, 1])
    first = torch.ceil(low - 0.5).clamp(0, n_lines).long()
    stop = torch.ceil(high - 0.5).clamp(0, n_lines).long()
    count = (stop - first).clamp(min=0)
    which = torch.repeat_interleave(torch.arange(len(count), device=count.device), count)
    within = torch.arange(len(which), device=count.device) - (torch.cumsum(count, 0) - count)[which]
    j = first[which] + within
    line = j.to(xy.dtype) + 0.5
    a, b, c = a[which], b[which], c[which]
    at = (line - a[:, 1]) / (b[:, 1] - a[:, 1])
    x = a[:, 0] + at * (b[:, 0] - a[:, 0])
    # Which side the surface is on: the third vertex against the edge's line at its own height.
    side = a[:, 0] + (c[:, 1] - a[:, 1]) * (b[:, 0] - a[:, 0]) / (b[:, 1] - a[:, 1])
    inner_is_left = c[:, 0] < side
    left = torch.floor(x - 0.5)
    i = left.long()
    inside = (i >= 0) & (i < n_along - 1)
    i = i.clamp(0, max(n_along - 2, 0))
    base = item[which] * (height * width)
    step = 1 if axis == 0 else width
    left_pixel = base + (j * width + i if axis == 0 else i * width + j)
    right_pixel = left_pixel + step if n_along > 1 else left_pixel
    inner = torch.where(inner_is_left, left_pixel, right_pixel)
    outer = torch.where(inner_is_left, right_pixel, left_pixel)
    direction = torch.where(inner_is_left, 1.0, -1.0).to(xy.dtype)
    centre = torch.where(inner_is_left, left, left + 1) + 0.5

    # Visible: the outer pixel shows what lies behind the edge, the inner one the surface that ends at it. That
    # surface may come nearer from the edge inwards as fast as its last triangle does, and hardly go further.
    start, end, third = start[which], end[which], third[which]
    inverse_a, inverse_b, inverse_c = 1 / depth[start], 1 / depth[end], 1 / depth[third]
    edge_inverse = inverse_a + at * (inverse_b - inverse_a)
    third_edge = inverse_a + (c[:, 1] - a[:, 1]) / (b[:, 1] - a[:, 1]) * (inverse_b - inverse_a)
    slope = (inverse_c - third_edge) / (c[:, 0] - side).abs().clamp(min=1e-6)
    plane_inverse = edge_inverse + slope * (x - centre).abs()
    flat_depth = pixel_depth.reshape(-1)
    inner_depth, outer_depth = flat_depth[inner], flat_depth[outer]
    inner_inverse = 1 / inner_depth.clamp(min=NEAR)
    slack = SAME_SURFACE * edge_inverse
    outer_ratio = outer_depth * edge_inverse
    ends = (outer_depth == 0) | (outer_ratio > 1)
    visible = (inner_depth > 0) & torch.where(seam[which], (outer_ratio - 1).abs() < 2 * SAME_SURFACE, ends)
    visible &= inner_inverse <= torch.maximum(edge_inverse, plane_inverse) + slack
    visible &= inner_inverse >= torch.minimum(edge_inverse, plane_inverse) - slack
    keep = torch.nonzero(visible & inside).squeeze(1)
    # Of several edges between the same two centres only the outermost bounds what is seen.
    reach = ((x - centre) * direction)[keep]
    keep = keep[_outermost(left_pixel[keep] * 2 + inner_is_left[keep], reach, 2 * batch * height * width)]
    return Crossings(
        start=start[keep],
        end=end[keep],
        inner=inner[keep],
        outer=outer[keep],
        line=line[keep],
        centre=centre[keep],
        direction=direction[keep],
        horizontal=torch.full((len(keep),), axis == 0, device=keep.device),
    )


def _outermost(key: torch.Tensor, reach: torch.Tensor, n_keys: int) -> torch.Tensor:
    """Indices of the entry with the largest reach (the last of equals) for each key."""
    best = reach.new_full((n_keys,), -1.0).scatter_reduce_(0, key, reach, "amax")
    place = torch.arange(len(key), device=key.device)
    candidate = torch.where(reach == best[key], place, -1)
    winner = place.new_full((n_keys,), -1).scatter_reduce_(0, key, candidate, "amax")
    return torch.nonzero(winner[key] == place).squeeze(1)


def antialias(image: torch.Tensor, xy: torch.Tensor, crossings: Crossings, pixel_depth: torch.Tensor) -> torch.Tensor:
    """The picture with its silhouettes blended: (B, H, W, C), differentiable in `image` and `xy`.

    image: (B, H, W, C) sampled at pixel centres. xy: (B, V, 2) projected vertices in pixels. pixel_depth: (B, H, W)
    metres, 0 where empty. The crossing lies t in [0, 1) of the way from the inner to the outer centre. Beyond 0.5 the
    inner colour enters the outer pixel by t - 0.5, short of it the outer colour enters the inner pixel by 0.5 - t.

    The derivative by t is the step in colour at the silhouette, not between the two centres: the colours on
    both sides are extrapolated to the crossing from the two nearest pixels of each. Without this the gradient is that
    of colours half a pixel away on average, which is several per cent off where a rounded surface turns away.
    """
    height, width, channels = image.shape[1:]
    flat_xy = xy.reshape(-1, 2)
    a, b = flat_xy[crossings.start], flat_xy[crossings.end]
    across = crossings.horizontal[:, None]
    a, b = torch.where(across, a, a.flip(-1)), torch.where(across, b, b.flip(-1))
    x = a[:, 0] + (crossings.line - a[:, 1]) / (b[:, 1] - a[:, 1]) * (b[:, 0] - a[:, 0])
    t = (x - crossings.centre) * crossings.direction
    moved = t - t.detach()
    t = t.detach()
    flat = image.reshape(-1, channels)
    with torch.no_grad():
        step = crossings.outer - crossings.inner
        n_along = torch.where(crossings.horizontal, width, height)
        ahead = crossings.centre + 2 * crossings.direction
        behind = crossings.centre - crossings.direction
        has_ahead, has_behind = (ahead > 0) & (ahead < n_along), (behind > 0) & (behind < n_along)
        depth = pixel_depth.reshape(-1)
        inner = _extrapolate(flat, depth, crossings.inner, -step, has_behind, t)
        outer = _extrapolate(flat, depth, crossings.outer, step, has_ahead, 1 - t)
    beyond = t >= 0.5
    target = torch.where(beyond, crossings.outer, crossings.inner)
    source = torch.where(beyond, crossings.inner, crossings.outer)
    blend = (t - 0.5).abs()[:, None] * (flat[source] - flat[target]) + (inner - outer) * moved[:, None]
    return flat.index_add(0, target, blend).reshape(image.shape)


def _extrapolate(
    colours: torch.Tensor,
    depth: torch.Tensor,
    pixel: torch.Tensor,
    step: torch.Tensor,
    exists: torch.Tensor,
    by: torch.Tensor,
) -> torch.Tensor:
    """Colours (K, C) `by` (K,) pixels from `pixel`, away from its neighbour pixel + step on the same surface."""
    neighbour = torch.where(exists, pixel + step, pixel)
    here, there = depth[pixel], depth[neighbour]
    same = ((here - there).abs() <= SAME_SHEET * here) & ((here > 0) == (there > 0))
    slope = torch.where(same[:, None], colours[pixel] - colours[neighbour], 0.0)
    return colours[pixel] + by[:, None] * slope
