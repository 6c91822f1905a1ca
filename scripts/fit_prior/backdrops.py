"""What lies behind a head: random backgrounds, and shoulders in random clothes below it."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from .looks import Look, linear
from .textures import noise

SHAPES = 7


def draw_backdrops(random: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    uniform = lambda low, high, *more: random.uniform(low, high, (count, *more))  # noqa: E731
    kind = random.uniform(size=count)
    # Most rooms and clothes are nearly grey.
    vivid = 55 * random.beta(1, 3, count)
    two = random.uniform(5, 250, (count, 2, 1)) + random.standard_normal((count, 2, 3)) * vivid[:, None, None]
    second = np.where(uniform(0, 1)[:, None] < 0.5, two[:, 0] + uniform(-50, 50)[:, None], two[:, 1])
    shapes = np.stack([np.clip(two[:, 0], 0, 255)] * SHAPES, 1) + random.normal(0, 45, (count, SHAPES, 1))
    shapes = shapes + vivid[:, None, None] * random.standard_normal((count, SHAPES, 3))
    clothes = random.uniform(5, 245, (count, 1)) + 75 * random.beta(1, 2.5, (count, 1)) * random.standard_normal(
        (count, 3)
    )
    other = np.where(uniform(0, 1)[:, None] < 0.7, clothes * uniform(0.4, 1.6)[:, None], uniform(0, 255, 3))
    clip = lambda colour: linear(np.clip(colour, 0, 255))  # noqa: E731
    values = {
        "back_first": clip(two[:, 0]),
        "back_second": clip(second),
        "back_gradient": (kind > 0.25) * uniform(0, 1),
        "back_angle": uniform(0, 2 * np.pi),
        "back_noise": (kind > 0.45) * uniform(0.0, 0.6),
        "back_grain": (kind > 0.45) * 0.2 * random.beta(1, 3, count),
        "back_shapes": (kind > 0.60) * 1.0,
        "back_colour": clip(shapes),
        "back_place": random.uniform(0, 1, (count, SHAPES, 2)),
        "back_size": random.uniform(0.03, 0.35, (count, SHAPES, 2)),
        "back_round": (random.uniform(size=(count, SHAPES)) < 0.35) * 1.0,
        "back_edge": np.exp(uniform(np.log(0.004), np.log(0.06))),
        "clothes": clip(clothes) * 0.9,
        "clothes_other": clip(other) * 0.9,
        "clothes_stripes": (random.uniform(size=count) < 0.25) * uniform(0.4, 1),
        "clothes_plaid": (random.uniform(size=count) < 0.4) * 1.0,
        "clothes_pitch": uniform(100, 500),
        "clothes_noise": 0.25 * random.beta(1, 2.5, count),
        "clothes_wide": uniform(0.16, 0.25),
        "clothes_slope": uniform(0.15, 0.55),
        "neckline": np.where(random.uniform(size=count) < 0.15, uniform(-0.088, -0.08), uniform(-0.22, -0.092)),
        "neckline_wide": uniform(0.06, 0.11),
        "neckline_sharp": uniform(1.0, 3.0),
    }
    return {name: np.asarray(value, np.float32) for name, value in values.items()}


def paint_backgrounds(look: Look, gen: torch.Generator, size: int) -> torch.Tensor:
    """Backgrounds (L, size, size, 3) in linear light."""
    count = len(look["back_first"])
    pick = lambda name: look[name][:, None, None]  # noqa: E731
    at = (torch.arange(size, device=gen.device) + 0.5) / size
    y, x = at[None, :, None], at[None, None]
    along = ((x - 0.5) * pick("back_angle").cos() + (y - 0.5) * pick("back_angle").sin() + 0.5).clamp(0, 1)
    mix = pick("back_gradient") * along
    cloud = noise(gen, count, 4, 4, size) + 0.5 * noise(gen, count, 12, 12, size)
    mix = (mix + pick("back_noise") * cloud * 0.5).clamp(0, 1)
    colour = torch.lerp(look["back_first"][:, None, None], look["back_second"][:, None, None], mix[..., None])
    for k in range(SHAPES):
        place, half = look["back_place"][:, k, :, None, None], look["back_size"][:, k, :, None, None]
        dx, dy = (x - place[:, 0]).abs() / half[:, 0], (y - place[:, 1]).abs() / half[:, 1]
        away = torch.where(look["back_round"][:, k, None, None] > 0, torch.hypot(dx, dy), torch.maximum(dx, dy))
        inside = torch.sigmoid((1 - away) * half.amin(1) / pick("back_edge")) * pick("back_shapes")
        colour = torch.lerp(colour, look["back_colour"][:, k, None, None], inside[..., None])
    grain = noise(gen, count, size // 2, size // 2, size) + noise(gen, count, 40, 40, size)
    return (colour * torch.exp(pick("back_grain") * grain)[..., None]).clamp(0, 1.2)


def body(
    look: Look, of: torch.Tensor, x: torch.Tensor, y: torch.Tensor, fabric: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    """Shoulders of N pictures: colour (N, h, w, 3) linear without light, normals (N, h, w, 3), cover (N, h, w).

    x, y: (N, h, w) metres to the right and up from the head's joint, in the plane through it. fabric: (L, s, s) noise.
    """
    pick = lambda name: look[name][of][:, None, None]  # noqa: E731
    side = x.abs()
    soft = 0.0016
    beyond = (side - pick("clothes_wide")).clamp(min=0)
    neck = torch.exp(-((side - 0.045).clamp(min=0) / 0.018))
    line = -0.098 + 0.030 * neck - pick("clothes_slope") * (side - 0.05).clamp(min=0) - 6.0 * beyond**1.5
    inside = torch.sigmoid((line - y) / soft) * torch.sigmoid((pick("clothes_wide") + 0.06 - side) / soft)
    height = (1 - (side / pick("neckline_wide")) ** pick("neckline_sharp")).clamp(min=-0.4)
    edge = -0.086 + (pick("neckline") + 0.086) * height
    cloth = inside * torch.sigmoid((edge - y) / soft)
    grid = torch.stack([x / 0.35, y / 0.35 + 0.6], dim=-1).clamp(-1, 1)
    weave = F.grid_sample(fabric[of][:, None], grid, align_corners=False, padding_mode="reflection")[:, 0]
    stripes = torch.sin(pick("clothes_pitch") * y).clamp(-0.3, 0.3) / 0.6 + 0.5
    stripes = torch.where(
        pick("clothes_plaid") > 0,
        0.5 * stripes + 0.25 + torch.sin(pick("clothes_pitch") * x).clamp(-0.3, 0.3) / 1.2,
        stripes,
    )
    colour = torch.lerp(
        look["clothes"][of][:, None, None],
        look["clothes_other"][of][:, None, None],
        (pick("clothes_stripes") * stripes)[..., None],
    )
    colour = colour * torch.exp(pick("clothes_noise") * weave)[..., None]
    colour = torch.lerp(
        look["skin"][of][:, None, None] * 0.9, colour, (cloth / inside.clamp(min=1e-3)).clamp(0, 1)[..., None]
    )
    bulge = (x / 0.22).clamp(-0.95, 0.95)
    up = 0.25 + 0.2 * weave * cloth
    normal = torch.stack([bulge, up, torch.sqrt((1 - bulge**2).clamp(min=0.05))], dim=-1)
    return colour, normal / normal.norm(dim=-1, keepdim=True), inside
