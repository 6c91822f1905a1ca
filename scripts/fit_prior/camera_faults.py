"""What a camera, a codec and a web page do to a picture, for sequences of pictures in torch."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from tdmm.render.torch_shading import linear_to_srgb, tone

from .looks import Look

# Sides, as parts of the picture's, at which a clip may have been stored; the picture is made from it again.
SCALES = (1.0, 0.8, 0.6, 0.5, 0.4, 0.3)
_SCALE_CHANCE = (0.52, 0.12, 0.12, 0.11, 0.08, 0.05)
_BLOCK = 8
_LUMA = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    np.float32,
)
_CHROMA = np.full((8, 8), 99, np.float32)
_CHROMA[:4, :4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]


def draw_faults(random: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    uniform = lambda low, high, *more: random.uniform(low, high, (count, *more))  # noqa: E731
    maybe = lambda chance: random.uniform(size=count) < chance  # noqa: E731
    values = {
        "balance": np.exp(np.where(maybe(0.6)[:, None], 0.07 * random.standard_normal((count, 3)), 0.0)),
        "contrast": np.where(maybe(0.5), np.exp(0.06 + 0.2 * random.standard_normal(count)), 1.0),
        "black": np.where(maybe(0.3), uniform(-0.04, 0.09), 0.0),
        "gamma": np.where(maybe(0.4), np.exp(0.18 * random.standard_normal(count)), 1.0),
        "saturation": np.where(
            maybe(0.05),
            0.0,
            np.where(maybe(0.6), np.exp(np.clip(0.25 * random.standard_normal(count), -0.6, 0.3)), 1.0),
        ),
        "vignette": np.where(maybe(0.25), uniform(0.0, 0.5), 0.0),
        "defocus": np.where(maybe(0.40), np.abs(1.1 * random.standard_normal(count)) + 0.2, 0.0),
        "motion": np.where(maybe(0.35), uniform(0.2, 0.9), 0.0),  # part of a frame that the shutter is open
        "scale": random.choice(len(SCALES), count, p=_SCALE_CHANCE),
        "noise": np.where(maybe(0.65), np.abs(0.018 * random.standard_normal(count)), 0.0),
        "noise_colour": uniform(0, 1),
        "noise_coarse": uniform(0, 1),
        "sharpen": np.where(maybe(0.28), uniform(0.2, 1.4), 0.0),
        "jpeg": np.where(maybe(0.65), uniform(14, 92), 100.0),
        "flicker": np.where(maybe(0.15), uniform(0.005, 0.04), 0.0),
    }
    return {name: np.asarray(value, np.float32) for name, value in values.items()}


def film(
    picture: torch.Tensor, look: Look, of: torch.Tensor, motion: torch.Tensor, gen: torch.Generator
) -> torch.Tensor:
    """Pictures (N, S, S, 3) uint8 from linear light (N, S, S, 3); motion: (N, 2) pixels the head moves in a frame."""
    pick = lambda name: look[name][of]  # noqa: E731
    every = lambda name: pick(name)[:, None, None, None]  # noqa: E731
    light = picture.permute(0, 3, 1, 2)
    side = light.shape[-1]
    at = torch.linspace(-1, 1, side, device=light.device)
    corner = (at[:, None] ** 2 + at[None] ** 2) / 2
    flicker = 1 + every("flicker") * torch.randn((len(of), 1, 1, 1), generator=gen, device=light.device)
    light = light * pick("balance")[:, :, None, None] * (1 - every("vignette") * corner) * flicker
    light = _blurred(light, pick("defocus"))
    light = _moved(light, motion * pick("motion")[:, None])
    shown = linear_to_srgb(tone(light.clamp(min=0)))
    shown = shown.clamp(min=1e-4) ** every("gamma")
    shown = (shown - 0.5) * every("contrast") + 0.5 + every("black")
    grey = (shown * shown.new_tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)
    shown = torch.lerp(grey.expand_as(shown), shown, every("saturation")).clamp(0, 1)

    out = torch.empty_like(shown)
    scale = pick("scale").long()
    for number, part in enumerate(SCALES):
        mine = torch.nonzero(scale == number).squeeze(1)
        if not len(mine):
            continue
        small = max(int(side * part) // 16 * 16, 16)
        stored = shown[mine]
        if small != side:
            stored = F.interpolate(stored, (small, small), mode="bilinear", antialias=True, align_corners=False)
        stored = _grainy(stored, look, of[mine], gen)
        stored = _sharpened(stored, pick("sharpen")[mine])
        stored = _compressed(stored, pick("jpeg")[mine])
        if small != side:
            stored = F.interpolate(stored, (side, side), mode="bicubic", align_corners=False)
        out[mine] = stored
    return (out.clamp(0, 1) * 255 + 0.5).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def _blurred(pictures: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """Gaussian blur of each of (N, C, H, W) by its sigma (N,) pixels; 0 leaves it."""
    touched = torch.nonzero(sigma > 0.05).squeeze(1)
    if not len(touched):
        return pictures
    reach = 6
    steps = torch.arange(-reach, reach + 1, device=pictures.device)
    weight = torch.exp(-0.5 * (steps[None] / sigma[touched, None]) ** 2)
    weight = weight / weight.sum(1, keepdim=True)
    some = pictures[touched]
    for axis in (2, 3):
        pad = (reach, reach, 0, 0) if axis == 3 else (0, 0, reach, reach)
        length = some.shape[axis]
        wide = F.pad(some, pad, mode="replicate")
        some = weight[:, 0, None, None, None] * wide.narrow(axis, 0, length)
        for k in range(1, 2 * reach + 1):
            some = some + weight[:, k, None, None, None] * wide.narrow(axis, k, length)
    out = pictures.clone()
    out[touched] = some
    return out


def _moved(pictures: torch.Tensor, motion: torch.Tensor) -> torch.Tensor:
    """Smear each of (N, C, H, W) along its motion (N, 2) pixels."""
    touched = torch.nonzero(motion.norm(dim=1) > 0.7).squeeze(1)
    if not len(touched):
        return pictures
    some, size = pictures[touched], pictures.shape[-1]
    step = motion[touched].clamp(-14, 14) * (2 / size)
    base = torch.eye(2, 3, device=pictures.device).expand(len(touched), 2, 3)
    total = torch.zeros_like(some)
    shares = (-0.5, -0.25, 0.0, 0.25, 0.5)
    for share in shares:
        theta = base.clone()
        theta[:, :, 2] = share * step
        grid = F.affine_grid(theta, list(some.shape), align_corners=False)
        total += F.grid_sample(some, grid, padding_mode="border", align_corners=False)
    out = pictures.clone()
    out[touched] = total / len(shares)
    return out


def _grainy(pictures: torch.Tensor, look: Look, of: torch.Tensor, gen: torch.Generator) -> torch.Tensor:
    """Noise of the sensor, another in each frame: grey and coloured, fine and (after a codec's smoothing) coarse."""
    strength = look["noise"][of][:, None, None, None]
    if not bool((strength > 0).any()):
        return pictures
    count, _, height, width = pictures.shape
    device = pictures.device
    grey = torch.randn((count, 1, height, width), generator=gen, device=device)
    colour = torch.randn((count, 3, height, width), generator=gen, device=device)
    coarse = torch.randn((count, 3, height // 2, width // 2), generator=gen, device=device)
    coarse = F.interpolate(coarse, (height, width), mode="bilinear", align_corners=False) * 1.6
    mix = look["noise_coarse"][of][:, None, None, None]
    colour = torch.lerp(colour, coarse, mix)
    mix = look["noise_colour"][of][:, None, None, None]
    # Photon noise grows with the light, and shows most in the dark after the display's curve.
    return pictures + strength * (1.2 - 0.6 * pictures) * torch.lerp(grey.expand_as(colour), colour, mix)


def _sharpened(pictures: torch.Tensor, amount: torch.Tensor) -> torch.Tensor:
    """Sharpen by what a blur takes away, which leaves halos at edges."""
    if not bool((amount > 0).any()):
        return pictures
    soft = F.avg_pool2d(F.pad(pictures, (1, 1, 1, 1), mode="replicate"), 3, 1)
    return (pictures + amount[:, None, None, None] * (pictures - soft)).clamp(0, 1)


def _compressed(pictures: torch.Tensor, quality: torch.Tensor) -> torch.Tensor:
    """JPEG's losses (ITU-T T.81 annex K tables, 4:2:0 chroma) at the quality (N,) 1..100 of the common encoder."""
    touched = torch.nonzero(quality < 99.5).squeeze(1)
    if not len(touched):
        return pictures
    some, q = pictures[touched] * 255, quality[touched]
    factor = torch.where(q < 50, 50 / q, 2 - q / 50)[:, None, None]
    matrix = some.new_tensor([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
    ycc = F.conv2d(some, matrix[:, :, None, None])
    luma = _quantised(ycc[:, :1] - 128, some.new_tensor(_LUMA) * factor) + 128
    small = F.avg_pool2d(ycc[:, 1:], 2)
    small = _quantised(small, some.new_tensor(_CHROMA) * factor)
    chroma = F.interpolate(small, some.shape[2:], mode="bilinear", align_corners=False)
    back = torch.linalg.inv(matrix)
    decoded = F.conv2d(torch.cat([luma, chroma], dim=1), back[:, :, None, None]) / 255
    out = pictures.clone()
    out[touched] = decoded.clamp(0, 1)
    return out


def _quantised(planes: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Round the 8 x 8 cosine transforms of (N, C, H, W), sides multiples of 8, to steps (N, 8, 8)."""
    count, channels, height, width = planes.shape
    k = torch.arange(_BLOCK, device=planes.device, dtype=torch.float32)
    basis = torch.cos((2 * k[None] + 1) * k[:, None] * (torch.pi / (2 * _BLOCK))) * 0.5
    basis[0] *= 0.5**0.5
    blocks = planes.reshape(count, channels, height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK).transpose(3, 4)
    steps = table.clamp(min=1).reshape(count, 1, 1, 1, _BLOCK * _BLOCK)
    # Both axes at once, as one product of large matrices.
    both = torch.kron(basis, basis)
    rounded = torch.round((blocks.flatten(-2) @ both.T) / steps) * steps
    blocks = (rounded @ both).unflatten(-1, (_BLOCK, _BLOCK))
    return blocks.transpose(3, 4).reshape(count, channels, height, width)
