"""Boxes pasted over a face for a while, in all crops of a clip alike; what they hide of the face is told.

A picture that was drawn once can be covered in as many ways as it is learnt from. The landmarks that a box hides are
drawn towards where they are on the mean over the clip: a detector that cannot see a mouth guesses one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from tdmm.face import load_face_model
from tdmm.fit.crops import CUTS, Cut

from .canvas import REGIONS, region_masks

MOUTH = REGIONS.index("mouth")


@dataclass(frozen=True)
class CoverOptions:
    """chance: of a clip to have a box. on_mouth: part of the boxes that lie about the mouth. half: least and largest
    half width and half height, millimetres. whole: part of the boxes that stay through the clip. plain: part that have
    one colour."""

    chance: float = 0.2
    on_mouth: float = 0.5
    half: tuple[float, float] = (8.0, 45.0)
    whole: float = 0.4
    plain: float = 0.6


@dataclass(frozen=True)
class Covers:
    """The boxes of B clips of T frames, in the upright frame, millimetres.

    there: (B, T) bool. middle, half: (B, 2). axes: (B, 2, 2) rows: right and down along the box. colour: (B, 3) 0..1.
    grain: (B, 4) amplitude, frequencies along right and down (radians per millimetre), and phase of its stripes.
    """

    there: torch.Tensor
    middle: torch.Tensor
    half: torch.Tensor
    axes: torch.Tensor
    colour: torch.Tensor
    grain: torch.Tensor

    def hides(self, points: torch.Tensor) -> torch.Tensor:
        """(B, T, L) bool: which of upright points (B, T, L, 2) lie behind the box of their clip."""
        return (self._along(points).abs() < self.half[:, None, None]).all(-1) & self.there[..., None]

    def over(self, crop: torch.Tensor, cut: Cut, centre: torch.Tensor) -> torch.Tensor:
        """Crops (B * T, 3, height, width), 0..1, with the boxes; centre: (B, T, 2) upright, of each crop."""
        shape = self.there.shape
        column = torch.arange(cut.width, device=crop.device) + 0.5 - cut.width / 2
        row = torch.arange(cut.height, device=crop.device) + 0.5 - cut.height / 2
        across = (-cut.pixel if cut.mirrored else cut.pixel) * column
        grid = torch.stack(torch.broadcast_tensors(across[None, :], cut.pixel * row[:, None]), dim=-1).flatten(0, 1)
        along = self._along(centre[:, :, None] + grid)
        inside = (along.abs() < self.half[:, None, None]).all(-1) & self.there[..., None]
        amplitude, right, down, phase = (part[:, None, None] for part in self.grain.unbind(1))
        stripes = amplitude * torch.sin(right * along[..., 0] + down * along[..., 1] + phase)
        colour = (self.colour[:, None, :, None] + stripes[:, :, None]).clamp(0, 1)
        picture = (shape[0] * shape[1], -1, cut.height, cut.width)
        return torch.where(inside.reshape(picture), colour.reshape(picture).to(crop.dtype), crop)

    def _along(self, points: torch.Tensor) -> torch.Tensor:
        return (points - self.middle[:, None, None]) @ self.axes[:, None].mT


def draw_covers(points: torch.Tensor, options: CoverOptions) -> Covers:
    """Boxes for clips with upright landmarks (B, T, 478, 2), by the device's random numbers."""
    n_clips, n_frames, n_points = points.shape[:3]
    device = points.device
    draw = lambda *shape: torch.rand(n_clips, *shape, device=device)  # noqa: E731
    mouth = region_shares(device)[:, MOUTH].nonzero()[:, 0]
    at = torch.where(
        draw() < options.on_mouth,
        mouth[torch.randint(len(mouth), (n_clips,), device=device)],
        torch.randint(n_points, (n_clips,), device=device),
    )
    middle = points.mean(1)[torch.arange(n_clips, device=device), at]
    middle = middle + 8 * torch.randn(n_clips, 2, device=device)
    start = torch.where(draw() < options.whole, -1.0, 1.3 * draw() - 0.3)
    stop = torch.where(start == -1, 2.0, start + 0.2 + 0.7 * draw())
    time = (torch.arange(n_frames, device=device) + 0.5) / n_frames
    there = (time >= start[:, None]) & (time < stop[:, None]) & (draw(1) < options.chance)
    angle = 0.3 * torch.randn(n_clips, device=device)
    axes = torch.stack([angle.cos(), angle.sin(), -angle.sin(), angle.cos()], dim=1).unflatten(1, (2, 2))
    low, high = options.half
    amplitude = torch.where(draw() < options.plain, 0.0, 0.3 * draw())
    grain = torch.cat([amplitude[:, None], 1.2 * draw(2) - 0.6, 6.3 * draw(1)], dim=1)
    return Covers(there, middle, low + (high - low) * draw(2), axes, draw(3), grain)


def crop_centres(points: torch.Tensor) -> list[torch.Tensor]:
    """(B, T, 2) upright centres of the crops, in the order of `CUTS`, of landmarks (B, T, 478, 2)."""
    return [points[:, :, list(cut.centre)].mean(2) + points.new_tensor(cut.shift) for cut in CUTS.values()]


def guessed(points: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
    """Landmarks (B, T, L, 2), those hidden (B, T, L) drawn towards their means, in each clip by another part."""
    part = torch.rand(len(points), 1, 1, 1, device=points.device)
    elsewhere = points.mean(1, keepdim=True) + 1.5 * torch.randn_like(points[:, :1, :1])
    return torch.where(hidden[..., None], torch.lerp(points, elsewhere, part), points)


@lru_cache(maxsize=2)
def region_shares(device: torch.device) -> torch.Tensor:
    """(478, 4) the part of each region that each landmark stands for; columns sum to 1."""
    head = load_face_model()
    with torch.inference_mode():
        rest = head.landmarks(head.vertices(torch.zeros(0), torch.zeros(1, len(head.expression_names))))[0]
    masks = np.stack(region_masks(rest[:, 0].numpy(), rest[:, 1].numpy()), axis=1)
    return torch.as_tensor(masks / masks.sum(0), dtype=torch.float32, device=device)
