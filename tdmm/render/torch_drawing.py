"""`tdmm.render.drawing` for batches of pictures in torch: the way pictures are painted on a GPU.

The same steps and formulas: z-buffer at pixel centres, edge pixels found by `edges.mark_edges`' rule and sampled eight
times, each visible triangle shaded once a pixel at the middle of its samples, colours blended in linear light.
Runs on any device that has a rasteriser; the tests hold it against `Painter` on the CPU.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch

from tdmm.render.backends import choose_rasterizer
from tdmm.render.camera import Camera
from tdmm.render.drawing import Painter
from tdmm.render.edges import DEPTH_STEP, FOLD_COSINE, N_SAMPLES, SAMPLES
from tdmm.render.fragments import Rasterizer
from tdmm.render.shading import NORMALS, SHADED, WIRE, WIRE_LIGHT, WIRE_WIDTH
from tdmm.render.styles import OPACITY, TEXTURED, light_table, linear_to_srgb, material_table
from tdmm.render.torch_geometry import project, vertex_normals
from tdmm.render.torch_shading import (
    apply_occlusion,
    base_colour,
    sample_texture,
    shade,
    srgb_to_linear,
    tone,
    unit,
    view_directions,
)

_ENCODE_STEPS = 4096
# Pictures painted at once: enough to fill a GPU at 512 x 512, about 4 GB of its memory.
BATCH = 32


@dataclass(frozen=True)
class _Posed:
    """A batch of posed meshes. points, normals: (B, V, 3). xy: (B, V, 2) pixels. depth: (B, V) metres."""

    points: torch.Tensor
    normals: torch.Tensor
    xy: torch.Tensor
    depth: torch.Tensor


class BatchPainter:
    """Draws batches of posed meshes as a `Painter` draws one; holds the painter's arrays on a device."""

    def __init__(self, painter: Painter, device: torch.device | str, rasterizer: Rasterizer | None = None) -> None:
        surface = painter.surface
        self.device = torch.device(device)
        self.rasterizer = choose_rasterizer(self.device) if rasterizer is None else rasterizer
        self.antialias = painter.antialias
        style = painter.style
        self.mode = NORMALS if style.normals else WIRE if style.wire else SHADED
        materials = material_table(style, surface.part_names)
        order, self.n_opaque = surface.drawing_order(materials[:, OPACITY])
        if not surface.has_texture:
            materials[:, TEXTURED] = 0
        put = lambda array: torch.from_numpy(np.ascontiguousarray(array)).to(self.device)  # noqa: E731
        self.faces = put(surface.faces[order].astype(np.int64))
        self.uv_faces = put(surface.uv_faces[order].astype(np.int64))
        self.parts = put(surface.part_of_face[order].astype(np.int64))
        self.materials, self.lights = put(materials), put(light_table(style))
        self.occlusion, self.uv, self.texture = put(surface.occlusion), put(surface.uv), put(surface.texture)
        self.background = put(np.array(style.background, np.uint8))
        self.offsets = put(SAMPLES.astype(np.float32))
        steps = linear_to_srgb(np.arange(_ENCODE_STEPS + 1) / _ENCODE_STEPS)
        self.encode = put(np.round(255 * steps).astype(np.uint8))
        self.matrix: torch.Tensor | None = None
        if surface.matrix is not None:
            rows = surface.matrix
            size = (len(rows.starts) - 1, int(rows.columns.max()) + 1)
            places = np.stack([np.repeat(np.arange(size[0]), np.diff(rows.starts)), rows.columns])
            # The rows are checked where they are made; saying so keeps torch from warning that it does not check.
            with torch.sparse.check_sparse_tensor_invariants(enable=False):
                matrix = torch.sparse_coo_tensor(torch.from_numpy(places), torch.from_numpy(rows.weights), size)
                self.matrix = matrix.coalesce().to(self.device)

    @torch.inference_mode()
    def paint(
        self,
        vertices: torch.Tensor,
        camera: Camera,
        background: torch.Tensor | None = None,
        opacity: float = 1.0,
    ) -> torch.Tensor:
        """Pictures (B, H, W, 3) uint8 sRGB of posed meshes (B, v, 3) float32, see `Painter.paint`.

        background: (B, H, W, 3) uint8 on the device; None: the style's plain colour.
        """
        batch, (height, width) = len(vertices), camera.image_size
        posed = self._pose(vertices.to(self.device), camera)
        drawn = self.faces[: self.n_opaque] if self.antialias else self.faces
        fragments = self.rasterizer(posed.xy, posed.depth, drawn, camera.image_size, True)
        face_id = fragments.face_id.reshape(-1)
        if self.antialias:
            marks = self._mark_edges(fragments.face_id.long(), fragments.depth, posed.normals, camera)
            self._mark_thin(posed.xy, marks)
            marks = marks.reshape(-1)
        else:
            marks = torch.zeros_like(face_id, dtype=torch.bool)
        plain = torch.nonzero((face_id >= 0) & ~marks).squeeze(1)
        place = plain % (height * width)
        column, row = place % width, torch.div(place, width, rounding_mode="floor")
        at = torch.stack([column, row], dim=-1) + 0.5
        pixel, face, weight = plain, face_id[plain].long(), torch.ones_like(at[:, 0])
        del fragments
        if self.antialias:
            extra = self._sample(posed, torch.nonzero(marks).squeeze(1), camera.image_size)
            pixel, face, at, weight = (torch.cat(both) for both in zip((pixel, face, at, weight), extra, strict=True))
        item = torch.div(pixel, height * width, rounding_mode="floor")
        colour = self._colour(posed, item, face, at, camera)
        sums = torch.zeros((batch * height * width, 4), device=self.device)
        sums.index_add_(0, pixel, torch.cat([colour * weight[:, None], weight[:, None]], dim=-1))
        behind = self.background if background is None else background.to(self.device)
        behind = behind.expand(batch, height, width, 3)
        covered = sums[:, 3:].reshape(batch, height, width, 1)
        light = sums[:, :3].reshape(batch, height, width, 3)
        light = opacity * light + (1 - opacity * covered) * srgb_to_linear(behind.float() / 255)
        encoded = self.encode[(light.clamp(0, 1) * _ENCODE_STEPS + 0.5).long()]
        return torch.where(covered > 0, encoded, behind)

    def _pose(self, vertices: torch.Tensor, camera: Camera) -> _Posed:
        points = vertices.float()
        if self.matrix is not None:
            batch, n_vertices = points.shape[:2]
            flat = points.permute(1, 0, 2).reshape(n_vertices, batch * 3)
            if n_vertices > self.matrix.shape[1]:  # the last vertices belong to no triangle
                flat = flat[: self.matrix.shape[1]]
            points = torch.sparse.mm(self.matrix, flat).reshape(-1, batch, 3).permute(1, 0, 2).contiguous()
        xy, depth = project(points, camera)
        return _Posed(points, vertex_normals(points, self.faces), xy, depth)

    def _mark_edges(
        self, face_id: torch.Tensor, depth: torch.Tensor, normals: torch.Tensor, camera: Camera
    ) -> torch.Tensor:
        """`edges.mark_edges` of (B, H, W) pictures: marks (B, H, W) bool."""
        marks = torch.zeros_like(face_id, dtype=torch.bool)
        nearness = torch.where(depth > 0, 1 / depth, 0.0)
        step = DEPTH_STEP / float(camera.intrinsics[0, 0])
        for axis in (1, 2):
            size = face_id.shape[axis] - 1
            here, there = face_id.narrow(axis, 0, size), face_id.narrow(axis, 1, size)
            pair = torch.nonzero(here != there, as_tuple=True)
            f, g = here[pair], there[pair]
            near_f, near_g = nearness.narrow(axis, 0, size)[pair], nearness.narrow(axis, 1, size)[pair]
            differ = (f < 0) | (g < 0) | (self.parts[f] != self.parts[g])
            corners_f, corners_g = self.faces[f], self.faces[g]
            i, j = corners_f[:, 0], corners_g[:, 0]
            cosine = (normals[pair[0], i] * normals[pair[0], j]).sum(-1)
            steep = (near_f - near_g).abs() > step * torch.minimum(near_f, near_g)
            apart = (corners_f[:, :, None] != corners_g[:, None, :]).flatten(1).all(-1)
            differ |= (steep | (cosine <= FOLD_COSINE)) & apart
            first = tuple(index[differ] for index in pair)
            marks.narrow(axis, 0, size)[first] = True
            marks.narrow(axis, 1, size)[first] = True
        return marks

    def _mark_thin(self, xy: torch.Tensor, marks: torch.Tensor) -> None:
        """Mark the bounding boxes of the thin triangles, by a table of corners summed over both axes."""
        thin = self.faces[self.n_opaque :]
        if not len(thin):
            return
        batch, height, width = marks.shape
        corners = xy[:, thin]  # (B, F, 3, 2)
        low, high = corners.amin(2).clamp(min=0), corners.amax(2)
        right, bottom = high[..., 0].clamp(max=width - 1.0), high[..., 1].clamp(max=height - 1.0)
        inside = (low[..., 0] <= right) & (low[..., 1] <= bottom)
        item = torch.nonzero(inside, as_tuple=True)
        left, top = low[item].long().unbind(-1)
        right, bottom = right[item].long() + 1, bottom[item].long() + 1
        counts = torch.zeros((batch, height + 1, width + 1), dtype=torch.int32, device=marks.device)
        one = torch.ones_like(left, dtype=torch.int32)
        for rows, columns, sign in ((top, left, 1), (top, right, -1), (bottom, left, -1), (bottom, right, 1)):
            counts.index_put_((item[0], rows, columns), sign * one, accumulate=True)
        boxes = counts.cumsum(1, dtype=torch.int32).cumsum(2, dtype=torch.int32)
        marks |= boxes[:, :height, :width] > 0

    def _sample(
        self, posed: _Posed, pixel: torch.Tensor, image_size: tuple[int, int]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """What the marked pixels (M,) see at their samples: pixel, face, middle of the samples (., 2), share."""
        height, width = image_size
        opacity = self.materials[self.parts[self.n_opaque :], OPACITY]
        shown = torch.floor(opacity * N_SAMPLES + 0.5).long()
        opaque = torch.arange(self.n_opaque, device=self.device)
        seen = []
        for s in range(N_SAMPLES):
            # Thin triangles are seen from both sides: each is drawn in both windings, one of which is culled.
            thin = self.n_opaque + torch.nonzero(shown > s).squeeze(1)
            triangles = torch.cat([self.faces[: self.n_opaque], self.faces[thin], self.faces[thin].flip(1)])
            number = torch.cat([opaque, thin, thin])
            shifted = posed.xy + (0.5 - self.offsets[s])
            face_id = self.rasterizer(shifted, posed.depth, triangles, image_size, True).face_id
            found = face_id.reshape(-1)[pixel].long()
            seen.append(torch.where(found >= 0, number[found.clamp(min=0)], -1))
        face = torch.stack(seen, dim=1)  # (M, S)
        same = face[:, :, None] == face[:, None, :]
        earlier = torch.ones(N_SAMPLES, N_SAMPLES, dtype=torch.bool, device=self.device).tril(-1)
        m, first = torch.nonzero((face >= 0) & ~(same & earlier).any(-1), as_tuple=True)
        members = same[m, first].float()  # (K, S)
        count = members.sum(-1)
        pixel, face = pixel[m], face[m, first]
        place = pixel % (height * width)
        corner = torch.stack([place % width, torch.div(place, width, rounding_mode="floor")], dim=-1)
        return pixel, face, corner + (members @ self.offsets) / count[:, None], count / N_SAMPLES

    def _colour(
        self, posed: _Posed, item: torch.Tensor, face: torch.Tensor, at: torch.Tensor, camera: Camera
    ) -> torch.Tensor:
        """Tone-mapped linear RGB (K, 3) of the triangles (K,) at points (K, 2) of their pictures: `shade_point`."""
        corners = self.faces[face]
        where = item[:, None], corners
        offset = posed.xy[where] - at[:, None]
        d0, d1, d2 = posed.depth[where].unbind(1)
        (x0, y0), (x1, y1), (x2, y2) = (offset[:, k].unbind(-1) for k in range(3))
        weights = torch.stack(
            [
                (x1 * y2 - x2 * y1) * (d1 * d2),
                (x2 * y0 - x0 * y2) * (d2 * d0),
                (x0 * y1 - x1 * y0) * (d0 * d1),
            ],
            dim=-1,
        )
        weights = weights / weights.sum(-1, keepdim=True)
        normals = unit((posed.normals[where] * weights[..., None]).sum(1))
        if self.mode == NORMALS:
            return srgb_to_linear((0.5 + 0.5 * normals).clamp(min=0))
        materials = self.materials[self.parts[face]]
        textured = None
        if bool((self.materials[:, TEXTURED] > 0).any()):
            uv = (self.uv[self.uv_faces[face]] * weights[..., None]).sum(1)
            textured = sample_texture(self.texture, uv)
        occlusion = (self.occlusion[corners] * weights).sum(1)
        light = shade(
            normals,
            view_directions(at, camera.intrinsics),
            base_colour(materials, textured),
            apply_occlusion(materials, occlusion),
            materials,
            self.lights,
        )
        if self.mode == WIRE:
            light = light * (1 - (1 - WIRE_LIGHT) * _line_coverage(offset))[:, None]
        return tone(light)


def paint_in_batches(
    painter: Painter,
    device: torch.device | str,
    camera: Camera,
    tasks: Iterable[tuple[np.ndarray | None, np.ndarray | None]],
    opacity: float = 1.0,
    batch: int = BATCH,
) -> Iterator[np.ndarray]:
    """Pictures (H, W, 3) uint8 as `Painter.paint` makes them, painted `batch` at a time on a device.

    tasks: for each picture the vertices (V, 3) in camera space (None: no head) and the background (H, W, 3) uint8
    (None: plain).
    """
    on_device = BatchPainter(painter, device)
    waiting = iter(tasks)
    while group := list(islice(waiting, batch)):
        pictures = [painter.blank(camera, background) for _, background in group]
        heads = [i for i, (vertices, _) in enumerate(group) if vertices is not None]
        if heads:
            vertices = torch.from_numpy(np.stack([np.asarray(group[i][0], np.float32) for i in heads]))
            behind = None
            if any(group[i][1] is not None for i in heads):
                behind = torch.from_numpy(np.stack([pictures[i] for i in heads]))
            painted = on_device.paint(vertices, camera, behind, opacity).cpu().numpy()
            for i, picture in zip(heads, painted, strict=True):
                pictures[i] = picture
        yield from pictures


def _line_coverage(offset: torch.Tensor) -> torch.Tensor:
    """`shading.line_coverage` of triangles (K, 3, 2) relative to the point."""
    along = offset.roll(-1, 1) - offset
    area = along[..., 1] * offset[..., 0] - along[..., 0] * offset[..., 1]
    nearest = (area.abs() / along.square().sum(-1).clamp(min=1e-12).sqrt()).amin(1)
    return (WIRE_WIDTH / 2 + 0.5 - nearest).clamp(0, 1)
