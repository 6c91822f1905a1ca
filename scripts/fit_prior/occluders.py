"""Things that come in front of a face for a while: hands, microphones, boxes, blobs. They hide what they cover."""

from __future__ import annotations

import numpy as np
import torch

from .looks import Look, linear, skin_colour

CHANCE = 0.40
HAND, MICROPHONE, BOX, BLOB = range(4)
_STROKES = 7
_HAND = [
    (0.0, -0.035, 0.0, 0.012, 0.038),
    (-0.029, 0.02, -0.033, 0.078, 0.0095),
    (-0.0095, 0.03, -0.010, 0.090, 0.0100),
    (0.0100, 0.03, 0.011, 0.086, 0.0098),
    (0.0290, 0.02, 0.033, 0.070, 0.0088),
    (-0.030, -0.04, -0.062, 0.008, 0.0115),
    (0.0, -0.05, 0.0, -0.30, 0.030),
]
_MICROPHONE = [(0.0, 0.0, 0.0, 0.012, 0.025), (0.0, -0.02, 0.0, -0.30, 0.013)]


def draw_occluders(random: np.random.Generator, count: int, melanin: np.ndarray) -> dict[str, np.ndarray]:
    """At most one for each sequence. Times are parts of the sequence's length, places metres in the head's plane."""
    uniform = lambda low, high, *more: random.uniform(low, high, (count, *more))  # noqa: E731
    kind = random.choice(4, count, p=(0.40, 0.15, 0.30, 0.15))
    strokes = np.zeros((count, _STROKES, 5))
    strokes[..., 4] = -1.0
    fan = uniform(-0.3, 1.0)
    for i in range(count):
        if kind[i] == HAND:
            hand = np.array(_HAND)
            hand[1:5, 2] *= 1 + fan[i]  # fingers spread
            bent = random.uniform(0.35, 1.0, 4) if random.uniform() < 0.5 else np.ones(4)
            hand[1:5, 3] = hand[1:5, 1] + (hand[1:5, 3] - hand[1:5, 1]) * bent
            strokes[i, : len(hand)] = hand
        elif kind[i] == MICROPHONE:
            strokes[i, :2] = _MICROPHONE
        else:
            for k in range(3 if kind[i] == BLOB else 1):
                strokes[i, k] = (*random.uniform(-0.03, 0.03, 4), random.uniform(0.012, 0.035))
    own = random.uniform(size=count) < 0.75
    flesh = skin_colour(np.where(own, melanin, 3 * random.beta(0.9, 1.6, count)), uniform(0.3, 0.9))
    anything = linear(random.uniform(5, 240, (count, 3)))
    metal = linear(np.repeat(uniform(5, 90)[:, None], 3, axis=1))
    start = uniform(-0.2, 0.8)
    values = {
        "occluder": (random.uniform(size=count) < CHANCE) * 1.0,
        "occluder_kind": kind,
        "occluder_strokes": strokes,
        "occluder_box": uniform(0.015, 0.055, 2),
        "occluder_colour": np.where(
            (kind == HAND)[:, None], flesh, np.where((kind == MICROPHONE)[:, None], metal, anything)
        ),
        # Mouth most often; then eyes, brows, a cheek (which hides nothing that counts).
        "occluder_grain": 0.12 * random.beta(1, 3, count),
        "occluder_target": random.choice(5, count, p=(0.16, 0.16, 0.10, 0.43, 0.15)),
        "occluder_off": 0.012 * random.standard_normal((count, 2)),
        "occluder_angle": np.where(uniform(0, 1) < 0.8, uniform(-0.7, 0.7), uniform(-2.5, 2.5)),
        "occluder_size": uniform(0.75, 1.25),
        "occluder_start": start,
        "occluder_stop": start + uniform(0.1, 0.6),
        "occluder_ramp": uniform(0.02, 0.12),
        "occluder_sway": uniform(0.0, 0.012, 2),
        "occluder_flat": (kind == BOX) * (uniform(0, 1) < 0.5),  # as if pasted into the picture: no light on it
        "occluder_jump": (kind == BOX) * (uniform(0, 1) < 0.6),  # there at once, does not slide in
    }
    return {name: np.asarray(value, np.float32) for name, value in values.items()}


def presence(look: Look, of: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
    """How far (N,) 0..1 the occluder has come in at times (N,) 0..1 of the sequence; exactly 0: it is not there."""
    pick = lambda name: look[name][of]  # noqa: E731
    ramp = pick("occluder_ramp")
    t = torch.minimum(time - pick("occluder_start"), pick("occluder_stop") - time) / ramp
    t = torch.where(pick("occluder_jump") > 0, (t > 0).float(), t.clamp(0, 1))
    return pick("occluder") * t * t * (3 - 2 * t)


def draw_over(
    picture: torch.Tensor, look: Look, of: torch.Tensor, there: torch.Tensor, time: torch.Tensor,
    targets: torch.Tensor, scale: torch.Tensor, grain: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    """Pictures (M, R, R, 3) with their occluders, and the cover (M, R, R) 0..1.

    there: (M,) presence above 0. targets: (M, 5, 2) pixels of the regions and a cheek. scale: (M,) pixels in a metre at
    the head. grain: (L, R, R) noise.
    """
    pick = lambda name: look[name][of]  # noqa: E731
    size = picture.shape[1]
    sway = pick("occluder_sway") * torch.stack([torch.sin(9 * time), torch.cos(7 * time)], -1)
    angle = pick("occluder_angle")
    # It comes from where its arm is.
    away = torch.stack([-angle.sin(), angle.cos()], -1) * (0.28 * (1 - there))[:, None]
    target = targets[torch.arange(len(of), device=of.device), pick("occluder_target").long()]
    middle = target + scale[:, None] * (pick("occluder_off") + sway + away)
    at = torch.arange(size, device=picture.device) + 0.5
    metres = 1 / (scale * pick("occluder_size"))
    dx = ((at[None, None] - middle[:, 0, None, None]) * metres[:, None, None]).expand(-1, size, size)
    dy = (-(at[None, :, None] - middle[:, 1, None, None]) * metres[:, None, None]).expand(-1, size, size)
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    x, y = cos * dx + sin * dy, -sin * dx + cos * dy
    inside = torch.full_like(x, -1.0)
    bulge = torch.zeros_like(x)
    for k in range(_STROKES):
        ax, ay, bx, by, r = pick("occluder_strokes")[:, k].unbind(-1)
        if not bool((r > 0).any()):
            continue
        ux, uy = (bx - ax)[:, None, None], (by - ay)[:, None, None]
        px, py = x - ax[:, None, None], y - ay[:, None, None]
        t = ((px * ux + py * uy) / (ux * ux + uy * uy).clamp(min=1e-8)).clamp(0, 1)
        depth = r[:, None, None] - torch.hypot(px - t * ux, py - t * uy)
        bulge = torch.maximum(bulge, (depth / r.abs()[:, None, None]).clamp(min=0))
        inside = torch.maximum(inside, depth)
    box = pick("occluder_box")
    square = torch.minimum(box[:, 0, None, None] - x.abs(), box[:, 1, None, None] - y.abs())
    is_box = (pick("occluder_kind") == BOX)[:, None, None]
    inside = torch.where(is_box, square, inside)
    bulge = torch.where(is_box, 0.7 + 0 * bulge, bulge)
    cover = (inside / metres[:, None, None] * pick("occluder_size")[:, None, None] + 0.5).clamp(0, 1)
    flat = pick("occluder_flat")[:, None, None]
    # Light: a rounded thing under the face's own light, darker at its rim.
    light = (look["flat"][of] + 0.5 * look["soft"][of].sum(1) + 0.6 * look["key"][of])[:, None, None]
    shade = (0.35 + 0.65 * bulge.clamp(0, 1) ** 0.5) * torch.exp(pick("occluder_grain")[:, None, None] * grain[of])
    light = torch.where(flat[..., None] > 0, torch.ones_like(light), light * shade[..., None])
    colour = pick("occluder_colour")[:, None, None] * light
    return torch.lerp(picture, colour, cover[..., None]), cover
