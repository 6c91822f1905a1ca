"""Random light: soft light from all sides, a key light with cast shadows, a second light, exposure to go with them."""

from __future__ import annotations

import numpy as np
import torch

from tdmm.render.fragments import Rasterizer

from .looks import CHANCE, Look

SOFT_LIGHTS = 4
SHADOW_TEXELS = 192
_SHADOW_METRES = 0.46  # side of the square seen from the light
_FAR = 10.0
_BIAS = 0.0045


def draw_lights(random: np.random.Generator, count: int, skin: np.ndarray) -> dict[str, np.ndarray]:
    """Lights of `count` scenes. skin: (count, 3) linear colours, for which the camera half makes up."""
    uniform = lambda low, high, *more: random.uniform(low, high, (count, *more))  # noqa: E731

    def tint(spread: float) -> np.ndarray:
        warm = spread * random.standard_normal(count)
        green = 0.3 * spread * random.standard_normal(count)
        return np.exp(np.stack([warm, green, -warm], axis=1))

    def direction(azimuth: np.ndarray, height: np.ndarray) -> np.ndarray:
        return np.stack([np.sin(azimuth) * np.cos(height), np.sin(height), np.cos(azimuth) * np.cos(height)], axis=1)

    key_from = direction(
        np.where(random.uniform(size=count) < 0.8, uniform(-1.3, 1.3), uniform(-2.2, 2.2)), uniform(-0.25, 1.1)
    )
    share = random.beta(1.6, 1.25, count)
    soft_from = random.standard_normal((count, SOFT_LIGHTS, 3))
    soft_from /= np.linalg.norm(soft_from, axis=2, keepdims=True)
    soft = random.dirichlet((0.8,) * SOFT_LIGHTS, count)[..., None] * np.exp(
        0.18 * random.standard_normal((count, SOFT_LIGHTS, 3))
    )
    flat = uniform(0.1, 0.9)[:, None]
    key, base = tint(0.07) * share[:, None], tint(0.05) * (1 - share[:, None])
    # Light upon the face as it looks at the camera becomes 1, then what the exposure makes of it.
    frontal = np.array([0.0, 0.25, 0.97])
    level = key.mean(1) * np.clip(key_from @ frontal, 0.3, 1) + base.mean(1) * (
        flat[:, 0] + (1 - flat[:, 0]) * (soft.mean(2) * (0.5 + 0.5 * soft_from @ frontal)).sum(1)
    )
    brightness = skin.mean(1)
    exposure = (0.33 / brightness) ** uniform(0.25, 0.85) * np.exp(0.24 * random.standard_normal(count)) * 0.9
    scale = (exposure / level)[:, None]
    rim = tint(0.2) * (uniform(0.1, 1.0) * (random.uniform(size=count) < 0.3))[:, None]
    lights = {
        "key_from": key_from,
        "key": key * scale,
        "rim_from": direction(random.choice([-1, 1], count) * uniform(1.2, 2.6), uniform(-0.2, 0.9)),
        "rim": rim * exposure[:, None],
        "soft_from": soft_from,
        "soft": soft * (base * (1 - flat) * scale)[:, None],
        "flat": base * flat * scale,
        "shadow": (random.uniform(size=count) < CHANCE["shadow"]) * uniform(0.4, 1.0),
        "shadow_soft": uniform(0.5, 3.0),
    }
    return {name: np.asarray(value, np.float32) for name, value in lights.items()}


def soft_light(look: Look, of: torch.Tensor, normals: torch.Tensor) -> torch.Tensor:
    """Linear RGB (N, V, 3) of the light from all sides on unit normals (N, V, 3); of: (N,) which look."""
    lobe = (0.5 + 0.5 * normals @ look["soft_from"][of].mT) ** 2
    light = look["flat"][of][:, None] + 1.6 * lobe @ look["soft"][of]
    along = (normals @ look["rim_from"][of][..., None]).clamp(min=0)
    return light + along * look["rim"][of][:, None]


class ShadowMaps:
    """What the key light sees of N posed heads: places on them lie in shadow if something is nearer to the light."""

    def __init__(
        self, look: Look, of: torch.Tensor, points: torch.Tensor, middle: torch.Tensor, faces: torch.Tensor,
        rasterizer: Rasterizer,
    ) -> None:  # fmt: skip
        ahead = look["key_from"][of]
        up = torch.tensor([0.0, 1.0, 0.0], device=points.device).expand_as(ahead)
        right = torch.linalg.cross(up, ahead)
        right = right / right.norm(dim=-1, keepdim=True).clamp(min=1e-3)
        up = torch.linalg.cross(ahead, right)
        scale = SHADOW_TEXELS / _SHADOW_METRES
        # To texels right and down, and metres away from the light.
        self._turn = torch.stack([scale * right, -scale * up, -ahead], dim=-1)
        self._middle = middle[:, None]
        seen = self._map(points)
        depth = rasterizer(seen[..., :2].contiguous(), seen[..., 2].contiguous(), faces, (SHADOW_TEXELS,) * 2).depth
        self._depth = torch.where(depth > 0, depth, 2 * _FAR).reshape(-1)
        self._soft = look["shadow_soft"]

    def _map(self, points: torch.Tensor) -> torch.Tensor:
        offset = points.new_tensor([SHADOW_TEXELS / 2, SHADOW_TEXELS / 2, _FAR])
        return (points - self._middle) @ self._turn + offset

    def lit(self, points: torch.Tensor, item: torch.Tensor, softness: torch.Tensor) -> torch.Tensor:
        """Share (K,) of the key light that reaches places (K, 3) of heads `item` (K,); softness: (K,) texels."""
        offset = points.new_tensor([SHADOW_TEXELS / 2, SHADOW_TEXELS / 2, _FAR])
        # Written out: a product of matrices for each place takes ten times as long on a GPU.
        at = ((points - self._middle[item, 0])[:, :, None] * self._turn[item]).sum(1) + offset
        total = torch.zeros_like(softness)
        for dx, dy in ((-0.75, -0.25), (0.25, -0.75), (0.75, 0.25), (-0.25, 0.75)):
            column = (at[:, 0] + dx * softness).long().clamp(0, SHADOW_TEXELS - 1)
            row = (at[:, 1] + dy * softness).long().clamp(0, SHADOW_TEXELS - 1)
            nearest = self._depth[(item * SHADOW_TEXELS + row) * SHADOW_TEXELS + column]
            # A soft step: a hard one would draw the map's texels.
            total = total + ((nearest + _BIAS - at[:, 2]) / 0.004 + 0.5).clamp(0, 1)
        return total / 4
