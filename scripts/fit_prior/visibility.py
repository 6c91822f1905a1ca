"""How much of each region of the face a picture shows: what turns away, lies behind, or is covered does not count."""

from __future__ import annotations

import numpy as np
import torch

from .canvas import REGIONS, Canvas

# A place counts as in front when no more than this lies before it, metres.
_SLACK = 0.004
# A surface nearer to edge-on than this cosine shows nothing.
_GRAZING = 0.12


class RegionGauge:
    """Measures regions by the middles of their triangles, each weighted by its area on the resting head."""

    def __init__(self, canvas: Canvas, device: torch.device) -> None:
        put = lambda array: torch.from_numpy(np.ascontiguousarray(array)).to(device)  # noqa: E731
        self._corners = put(canvas.faces[canvas.region_face])
        share = np.zeros((len(canvas.region_face), len(REGIONS)), np.float32)
        share[np.arange(len(share)), canvas.region_of] = canvas.region_area
        self._share = put(share / share.sum(0))

    def middles(self, xy: torch.Tensor) -> torch.Tensor:
        """Mean pixels (N, R, 2) of the regions, from those of the vertices (N, V, 2)."""
        return torch.einsum("npc,pr->nrc", xy[:, self._corners].mean(2), self._share)

    def visible(
        self, points: torch.Tensor, xy: torch.Tensor, depth: torch.Tensor, z_buffer: torch.Tensor, cover: torch.Tensor
    ) -> torch.Tensor:
        """(N, R) 0..1. points: (N, V, 3) metres, camera's frame. xy: (N, V, 2) pixels, depth: (N, V) metres.

        z_buffer: (N, H, W) metres, 0 where nothing is. cover: (N, H, W) 0..1 of what lies in front of all.
        """
        corner = points[:, self._corners]  # (N, P, 3, 3)
        normal = torch.linalg.cross(corner[:, :, 1] - corner[:, :, 0], corner[:, :, 2] - corner[:, :, 0])
        middle = corner.mean(2)
        cosine = -(normal * middle).sum(-1) / (normal.norm(dim=-1) * middle.norm(dim=-1)).clamp(min=1e-12)
        place = xy[:, self._corners].mean(2)
        away = depth[:, self._corners].mean(2)
        height, width = z_buffer.shape[1:]
        column, row = place[..., 0].floor().long(), place[..., 1].floor().long()
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        flat = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
        nearest = z_buffer.flatten(1).gather(1, flat)
        in_front = (nearest <= 0) | (away < nearest + _SLACK)
        seen = (inside & in_front & (cosine > _GRAZING)).float() * (1 - cover.flatten(1).gather(1, flat))
        return seen @ self._share
