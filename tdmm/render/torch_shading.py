"""The shading formula of `tdmm.render.shading` in torch: batches of points, any device, differentiable.

The formula is written out in `tdmm.render.shading`; names here follow it. Everything is linear light.
"""

from __future__ import annotations

import numpy as np
import torch

from tdmm.render.fused_shading import FusedShading
from tdmm.render.styles import (
    COAT,
    COAT_DOUBLINGS,
    COLOUR,
    GLOSS,
    GLOSS_DOUBLINGS,
    OCCLUSION,
    SHOULDER,
    TEXTURED,
    WRAP,
)

# Where a clamped base of a power is held: its gradient x^(y - 1) must stay finite.
_TINY = 1e-6


def unit(vectors: torch.Tensor) -> torch.Tensor:
    """Vectors (..., 3) of length 1; those shorter than 1e-10 are only scaled up by 1e10, as in the compiled code."""
    return vectors * torch.rsqrt(vectors.square().sum(-1, keepdim=True).clamp(min=1e-20))


def view_directions(points: torch.Tensor, intrinsics: np.ndarray) -> torch.Tensor:
    """Unit vectors (N, 3) from the surface towards the camera for points (N, 2) of the picture, in camera axes."""
    inverse = torch.as_tensor(np.linalg.inv(intrinsics), dtype=points.dtype, device=points.device)
    x = -(inverse[0, 0] * points[:, 0] + inverse[0, 1] * points[:, 1] + inverse[0, 2])
    y = inverse[1, 0] * points[:, 0] + inverse[1, 1] * points[:, 1] + inverse[1, 2]
    return unit(torch.stack([x, y, torch.ones_like(x)], dim=-1))


def shade(
    normals: torch.Tensor,
    view: torch.Tensor,
    albedo: torch.Tensor,
    openness: torch.Tensor,
    materials: torch.Tensor,
    lights: torch.Tensor,
) -> torch.Tensor:
    """Linear RGB (N, 3) of N points, before the tone curve.

    normals, view: (N, 3) unit. albedo: (N, 3) linear. openness: (N,) 1 - occlusion, the material's share applied.
    materials: (N, M) rows of `styles.material_table`, or (1, M) for all. lights: (L + 2, 7) as `styles.light_table`.
    Differentiable in all but the materials' exponents.
    """
    facing = (normals * view).sum(-1, keepdim=True).clamp(min=0)
    mirrored = 2 * facing * normals - view
    up = 0.5 + 0.5 * normals[:, 1:2]
    open_ = openness[:, None]
    sky, ground = lights[-2, 3:6], lights[-1, 3:6]
    light = open_ * (ground + up * (sky - ground))
    directions, colours, specular = lights[:-2, :3], lights[:-2, 3:6], lights[:-2, 6]
    wrap = materials[:, WRAP : WRAP + 3]
    cosines = normals @ directions.T  # (N, L)
    wrapped = ((cosines[:, :, None] + wrap[:, None]) / (1 + wrap[:, None])).clamp(min=0)  # (N, L, 3)
    light = light + (0.5 + 0.5 * open_) * (wrapped * colours).sum(1)
    colour = albedo * light
    gloss, coat = materials[:, GLOSS, None], materials[:, COAT, None]
    if bool((gloss > 0).any()) or bool((coat > 0).any()):
        along = (mirrored @ directions.T).clamp(min=_TINY)  # (N, L)
        grazing = (1 - facing) ** 3
        lobes = gloss * (1 + 4 * grazing) * along ** torch.exp2(materials[:, GLOSS_DOUBLINGS, None])
        if bool((coat > 0).any()):
            lobes = lobes + coat * along ** torch.exp2(materials[:, COAT_DOUBLINGS, None])
        colour = colour + open_ * ((lobes * specular) @ colours)
    return colour


def shade_pixels(
    normals: torch.Tensor,
    view: torch.Tensor,
    albedo: torch.Tensor,
    openness: torch.Tensor,
    materials: torch.Tensor,
    part: torch.Tensor,
    lights: torch.Tensor,
    *,
    srgb: bool,
) -> torch.Tensor:
    """Displayed colour (N, 3) in 0..1: `shade`, the tone curve, and the sRGB curve if asked for.

    normals: (N, 3), made unit here. materials: (P, M), part: (N,) int64 rows of it. The rest as for `shade`.
    """
    if normals.device.type == "cpu" and normals.dtype == torch.float32:
        return FusedShading.apply(normals, view, albedo, openness, materials, part, lights, srgb)
    return shade_pixels_torch(normals, view, albedo, openness, materials, part, lights, srgb=srgb)


def shade_pixels_torch(
    normals: torch.Tensor,
    view: torch.Tensor,
    albedo: torch.Tensor,
    openness: torch.Tensor,
    materials: torch.Tensor,
    part: torch.Tensor,
    lights: torch.Tensor,
    *,
    srgb: bool,
) -> torch.Tensor:
    """`shade_pixels` in torch operations, for any device and float dtype."""
    light = tone(shade(unit(normals), view, albedo, openness, materials[part], lights))
    return linear_to_srgb(light) if srgb else light


def base_colour(materials: torch.Tensor, textured: torch.Tensor | None) -> torch.Tensor:
    """Albedo (N, 3): the texture's (N, 3) linear value where the material (N, M) takes one, else its own colour."""
    plain = materials[:, COLOUR : COLOUR + 3]
    if textured is None:
        return plain
    return torch.where(materials[:, TEXTURED, None] > 0, textured, plain)


def apply_occlusion(materials: torch.Tensor, occlusion: torch.Tensor) -> torch.Tensor:
    """Openness (N,) from the baked occlusion (N,), of which each material (N, M) takes its share."""
    return (1 - materials[:, OCCLUSION] * (1 - occlusion)).clamp(min=0)


def sample_texture(texture: torch.Tensor, uv: torch.Tensor) -> torch.Tensor:
    """Bilinear values (N, C) of a texture (h, w, C) at uv (N, 2), row 0 at v = 1; clamped at the border."""
    grid = torch.stack([2 * uv[:, 0] - 1, 1 - 2 * uv[:, 1]], dim=-1)[None, :, None]
    values = torch.nn.functional.grid_sample(
        texture.permute(2, 0, 1)[None], grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    return values[0, :, :, 0].T


def tone(light: torch.Tensor) -> torch.Tensor:
    """`styles.tone` for tensors."""
    room = 1 - SHOULDER
    # expm1 is 0 below the shoulder, so one expression serves both sides, and its slope is 1 on both.
    return light.clamp(max=SHOULDER) - room * torch.expm1((SHOULDER - light).clamp(max=0) / room)


def linear_to_srgb(light: torch.Tensor) -> torch.Tensor:
    """Linear light 0..1 to sRGB (IEC 61966-2-1)."""
    return torch.where(light <= 0.0031308, light * 12.92, 1.055 * light.clamp(min=0.0031308) ** (1 / 2.4) - 0.055)


def srgb_to_linear(colour: torch.Tensor) -> torch.Tensor:
    """sRGB 0..1 to linear light (IEC 61966-2-1)."""
    return torch.where(colour <= 0.04045, colour / 12.92, ((colour.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4)
