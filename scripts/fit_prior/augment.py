"""What a clip's crops and landmarks could just as well have been: in other light, less sharp, reframed, covered."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch.nn import functional

from tdmm.fit.crops import CUTS

from .covers import CoverOptions, Covers, crop_centres, guessed


@dataclass(frozen=True)
class AugmentOptions:
    """Spreads (standard deviations or largest values) of what is drawn for each clip, and chances.

    gain, tint, contrast, gamma: of the light, shared by a clip's crops. blur, noise: chances. turn, stretch, shift: of
    a crop within its frame: radians, parts, widths. point_noise, point_shift: millimetres, of a landmark in a frame and
    in a whole clip. point_stretch: parts of the face. point_warp: millimetres by which a face is bent smoothly, through
    a whole clip: people are made in more ways than the head's identities know. covers: boxes before the face.
    """

    gain: float = 0.15
    tint: float = 0.08
    contrast: float = 0.2
    gamma: float = 0.2
    blur: float = 0.4
    noise: float = 0.5
    most_noise: float = 0.08
    turn: float = 0.03
    stretch: float = 0.05
    shift: float = 0.02
    point_noise: float = 0.2
    point_shift: float = 0.5
    point_stretch: float = 0.04
    point_warp: float = 0.8
    covers: CoverOptions = field(default_factory=CoverOptions)


def augment_crops(
    crops: tuple[torch.Tensor, ...], points: torch.Tensor, covers: Covers, options: AugmentOptions, dtype: torch.dtype
) -> tuple[torch.Tensor, ...]:
    """Crops (B, T, height, width, 3) uint8 as the network's input (B * T, 3, height, width) in -1..1.

    points: (B, T, 478, 2) upright landmarks that they were cut by. covers: boxes in front of them.
    """
    device = points.device
    n_clips, n_frames = points.shape[:2]
    clip = torch.arange(n_clips, device=device).repeat_interleave(n_frames)
    draw = lambda *shape: torch.randn(n_clips, *shape, device=device)  # noqa: E731
    gain = (options.gain * draw(1) + options.tint * draw(3)).exp()[clip][:, :, None, None].to(dtype)
    contrast = (options.contrast * draw(1)).exp()[clip][:, :, None, None].to(dtype)
    gamma = (options.gamma * draw(1)).exp()[clip][:, :, None, None].to(dtype)
    noise = (torch.rand(n_clips, device=device) < options.noise) * torch.rand(n_clips, device=device)
    noise = (options.most_noise * noise**2)[clip][:, None, None, None].to(dtype)
    results = []
    for crop, cut, centre in zip(crops, CUTS.values(), crop_centres(points), strict=True):
        # In 32 bits until it is sampled: 16 hold no place in a picture well enough.
        x = _reframed(crop.flatten(0, 1).permute(0, 3, 1, 2).float() / 255, clip, n_clips, options).to(dtype)
        x = (x * gain).clamp(1e-3, 1) ** gamma
        x = 0.5 + (x - 0.5) * contrast
        x = covers.over(x, cut, centre)
        x = _blurred(x, clip, n_clips, options)
        x = x + noise * torch.randn_like(x)
        results.append((x.clamp(0, 1) * 2 - 1).contiguous(memory_format=torch.channels_last))
    return tuple(results)


def augment_points(points: torch.Tensor, hidden: torch.Tensor, options: AugmentOptions) -> torch.Tensor:
    """Upright landmarks (B, T, L, 2), millimetres, as another detector, or of another face, might have seen them.

    hidden: (B, T, L) bool, landmarks behind a box.
    """
    points = guessed(points, hidden)
    shift = options.point_shift * torch.randn_like(points[:, :1])
    noise = options.point_noise * torch.rand_like(points[:, :1, :1, :1]) * torch.randn_like(points)
    stretch = 1 + options.point_stretch * torch.randn_like(points[:, :1, :1])
    # Second and third powers of the place, 50 mm being 1.
    x, y = (points[:, :1] / 50).unbind(-1)
    powers = torch.stack([x * x - 0.5, x * y, y * y - 0.5, x * y * y, x * x * y, y * y * y - y], dim=-1)
    bend = options.point_warp * torch.randn(len(points), 1, powers.shape[-1], 2, device=points.device) / 2
    return points * stretch + shift + noise + powers @ bend


def _reframed(x: torch.Tensor, clip: torch.Tensor, n_clips: int, options: AugmentOptions) -> torch.Tensor:
    """A little turned, larger or smaller, and shifted, the same way through a clip."""
    device = x.device
    height, width = x.shape[2:]
    angle = options.turn * torch.randn(n_clips, device=device)
    size = (options.stretch * torch.randn(n_clips, 2, device=device)).exp()
    shift = options.shift * torch.randn(n_clips, 2, device=device) * 2
    cosine, sine = angle.cos(), angle.sin()
    # In lengths of -1..1 over each side, a turn needs the sides' ratio.
    row_x = torch.stack([cosine * size[:, 0], -sine * size[:, 1] * height / width, shift[:, 0]], 1)
    row_y = torch.stack([sine * size[:, 0] * width / height, cosine * size[:, 1], shift[:, 1]], 1)
    grid = functional.affine_grid(torch.stack([row_x, row_y], 1), [n_clips, 1, height, width], align_corners=False)
    return functional.grid_sample(x, grid[clip], padding_mode="border", align_corners=False)


def _blurred(x: torch.Tensor, clip: torch.Tensor, n_clips: int, options: AugmentOptions) -> torch.Tensor:
    """Mixed with a blurred copy of itself, by a part drawn for each clip; more than all of it sharpens."""
    device = x.device
    part = (torch.rand(n_clips, device=device) < options.blur) * (1.5 * torch.rand(n_clips, device=device) - 0.5)
    soft = functional.avg_pool2d(functional.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
    return x + part[clip][:, None, None, None].to(x.dtype) * (soft - x)
