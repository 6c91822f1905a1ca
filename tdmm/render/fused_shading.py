"""`torch_shading.shade_pixels` for float32 on the CPU: one compiled loop forward and one backward, with the derivative
of the shading formula written out. The torch version is its twin, which the tests hold it against.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from tdmm.render.compiled import compiled
from tdmm.render.styles import COAT, COAT_DOUBLINGS, GLOSS, GLOSS_DOUBLINGS, SHOULDER, WRAP
from tdmm.render.threads import for_each, spans

_0, _HALF, _1, _2, _4, _12 = (np.float32(x) for x in (0, 0.5, 1, 2, 4, 12))
_SHOULDER, _ROOM = np.float32(SHOULDER), np.float32(1 - SHOULDER)
_TINY = np.float32(1e-6)
# Fewer are not worth another thread.
PIXELS_A_THREAD = 4096
# The power segment of the sRGB curve (IEC 61966-2-1).
_KNEE, _SLOPE, _SCALE, _OFFSET, _POWER = (np.float32(x) for x in (0.0031308, 12.92, 1.055, 0.055, 1 / 2.4))


class FusedShading(torch.autograd.Function):
    """Arguments and result as `torch_shading.shade_pixels`; no gradient to view and materials."""

    @staticmethod
    def forward(
        ctx: Any,
        normals: torch.Tensor,
        view: torch.Tensor,
        albedo: torch.Tensor,
        openness: torch.Tensor,
        materials: torch.Tensor,
        part: torch.Tensor,
        lights: torch.Tensor,
        srgb: bool,
    ) -> torch.Tensor:
        arrays = tuple(
            np.ascontiguousarray(tensor.detach().numpy())
            for tensor in (normals, view, albedo, openness, materials, part, lights)
        )
        out = np.empty((len(normals), 3), np.float32)
        for_each(lambda span: _shade_forward(*arrays, srgb, *span, out), spans(len(out), PIXELS_A_THREAD))
        ctx.arrays, ctx.srgb, ctx.shown = arrays, srgb, out
        return torch.from_numpy(out)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        arrays = ctx.arrays
        incoming = np.ascontiguousarray(gradients[0].detach().numpy())
        normals, albedo, openness = (np.empty_like(arrays[i]) for i in (0, 2, 3))
        parts = spans(len(incoming), PIXELS_A_THREAD)
        lights = np.zeros((len(parts), *arrays[6].shape), np.float32)

        def add(number: int) -> None:
            _shade_backward(
                *arrays, ctx.shown, ctx.srgb, *parts[number], incoming, normals, albedo, openness, lights[number]
            )

        for_each(add, range(len(parts)))
        wanted = (normals, None, albedo, openness, None, None, lights.sum(0), None)
        return tuple(
            torch.from_numpy(value) if value is not None and needed else None
            for value, needed in zip(wanted, ctx.needs_input_grad, strict=True)
        )


@compiled(relaxed=True)
def _power(base, doublings):  # type: ignore[no-untyped-def]
    """base ** (2 ** doublings)."""
    for _ in range(doublings):
        base *= base
    return base


@compiled(relaxed=True)
def _display(light, srgb):  # type: ignore[no-untyped-def]
    """Tone curve and sRGB curve of one number."""
    if light >= _SHOULDER:
        light = _1 - _ROOM * np.exp((_SHOULDER - light) / _ROOM)
    if not srgb:
        return light
    if light <= _KNEE:
        return light * _SLOPE
    return _SCALE * light**_POWER - _OFFSET


@compiled(relaxed=True)
def _display_slope(light, shown, srgb):  # type: ignore[no-untyped-def]
    """Derivative of `_display` at `light`, given its value."""
    slope = _1
    if light >= _SHOULDER:
        slope = np.exp((_SHOULDER - light) / _ROOM)
        light = _1 - _ROOM * slope
    if not srgb:
        return slope
    if light <= _KNEE:
        return slope * _SLOPE
    # d/dx scale x^p = p (scale x^p) / x, without another power.
    return slope * _POWER * (shown + _OFFSET) / light


@compiled(relaxed=True)
def _shade_forward(normals, view, albedo, openness, materials, part, lights, srgb, start, stop, out):  # type: ignore[no-untyped-def]
    n_lights = lights.shape[0] - 2
    for p in range(start, stop):
        m = materials[part[p]]
        nx, ny, nz = normals[p, 0], normals[p, 1], normals[p, 2]
        scale = _1 / np.sqrt(max(nx * nx + ny * ny + nz * nz, np.float32(1e-20)))
        nx, ny, nz = nx * scale, ny * scale, nz * scale
        vx, vy, vz = view[p, 0], view[p, 1], view[p, 2]
        facing = max(nx * vx + ny * vy + nz * vz, _0)
        rx, ry, rz = _2 * facing * nx - vx, _2 * facing * ny - vy, _2 * facing * nz - vz
        gloss = m[GLOSS] * (_1 + _4 * (_1 - facing) * (_1 - facing) * (_1 - facing))
        coat, broad, sharp = m[COAT], int(m[GLOSS_DOUBLINGS]), int(m[COAT_DOUBLINGS])
        open_ = openness[p]
        up, direct = _HALF + _HALF * ny, _HALF + _HALF * open_
        for c in range(3):
            wrap = m[WRAP + c]
            gain = _1 / (_1 + wrap)
            light = open_ * (lights[n_lights + 1, 3 + c] * (_1 - up) + lights[n_lights, 3 + c] * up)
            for i in range(n_lights):
                cosine = nx * lights[i, 0] + ny * lights[i, 1] + nz * lights[i, 2]
                light += direct * lights[i, 3 + c] * max(_0, (cosine + wrap) * gain)
            out[p, c] = albedo[p, c] * light
        for i in range(n_lights):
            along = max(rx * lights[i, 0] + ry * lights[i, 1] + rz * lights[i, 2], _TINY)
            lobe = gloss * _power(along, broad)
            if coat > _0:
                lobe += coat * _power(along, sharp)
            lobe *= open_ * lights[i, 6]
            for c in range(3):
                out[p, c] += lobe * lights[i, 3 + c]
        for c in range(3):
            out[p, c] = _display(out[p, c], srgb)


@compiled(relaxed=True)
def _shade_backward(  # type: ignore[no-untyped-def]
    normals,
    view,
    albedo,
    openness,
    materials,
    part,
    lights,
    shown,
    srgb,
    start,
    stop,
    gradient,
    to_normals,
    to_albedo,
    to_openness,
    to_lights,
):
    n_lights = lights.shape[0] - 2
    sky, ground = lights[n_lights], lights[n_lights + 1]
    incoming, diffuse = np.empty(3, np.float32), np.empty(3, np.float32)
    for p in range(start, stop):
        m = materials[part[p]]
        nx, ny, nz = normals[p, 0], normals[p, 1], normals[p, 2]
        scale = _1 / np.sqrt(max(nx * nx + ny * ny + nz * nz, np.float32(1e-20)))
        nx, ny, nz = nx * scale, ny * scale, nz * scale
        vx, vy, vz = view[p, 0], view[p, 1], view[p, 2]
        cosine = nx * vx + ny * vy + nz * vz
        facing = max(cosine, _0)
        rx, ry, rz = _2 * facing * nx - vx, _2 * facing * ny - vy, _2 * facing * nz - vz
        away = _1 - facing
        swell = _1 + _4 * away * away * away
        gloss, coat, broad, sharp = m[GLOSS], m[COAT], int(m[GLOSS_DOUBLINGS]), int(m[COAT_DOUBLINGS])
        open_ = openness[p]
        up, direct = _HALF + _HALF * ny, _HALF + _HALF * open_
        # The colour before the tone curve, needed for the slope of the curves.
        g_open, g_up, g_nx, g_ny, g_nz = _0, _0, _0, _0, _0
        shine_r = shine_g = shine_b = _0
        for i in range(n_lights):
            along = max(rx * lights[i, 0] + ry * lights[i, 1] + rz * lights[i, 2], _TINY)
            lobe = gloss * swell * _power(along, broad)
            if coat > _0:
                lobe += coat * _power(along, sharp)
            lobe *= lights[i, 6]
            shine_r += lobe * lights[i, 3]
            shine_g += lobe * lights[i, 4]
            shine_b += lobe * lights[i, 5]
        for c in range(3):
            wrap = m[WRAP + c]
            gain = _1 / (_1 + wrap)
            around = ground[3 + c] * (_1 - up) + sky[3 + c] * up
            total = _0
            for i in range(n_lights):
                cosine_i = nx * lights[i, 0] + ny * lights[i, 1] + nz * lights[i, 2]
                total += lights[i, 3 + c] * max(_0, (cosine_i + wrap) * gain)
            shine = shine_r if c == 0 else (shine_g if c == 1 else shine_b)
            light = open_ * around + direct * total
            g = gradient[p, c] * _display_slope(albedo[p, c] * light + open_ * shine, shown[p, c], srgb)
            incoming[c] = g
            to_albedo[p, c] = g * light
            g_light = g * albedo[p, c]
            diffuse[c] = g_light * direct
            g_open += g_light * (around + _HALF * total) + g * shine
            g_up += g_light * open_ * (sky[3 + c] - ground[3 + c])
            to_lights[n_lights, 3 + c] += g_light * open_ * up
            to_lights[n_lights + 1, 3 + c] += g_light * open_ * (_1 - up)
        g_ny += _HALF * g_up
        g_rx, g_ry, g_rz, g_facing = _0, _0, _0, _0
        for i in range(n_lights):
            lx, ly, lz, specular = lights[i, 0], lights[i, 1], lights[i, 2], lights[i, 6]
            cosine_i = nx * lx + ny * ly + nz * lz
            g_cosine = _0
            for c in range(3):
                wrap = m[WRAP + c]
                gain = _1 / (_1 + wrap)
                wrapped = (cosine_i + wrap) * gain
                if wrapped > _0:
                    g_cosine += diffuse[c] * lights[i, 3 + c] * gain
                    to_lights[i, 3 + c] += diffuse[c] * wrapped
            along = rx * lx + ry * ly + rz * lz
            inside = along > _TINY
            along = max(along, _TINY)
            soft = gloss * _power(along, broad)
            hard = coat * _power(along, sharp) if coat > _0 else _0
            lobe = swell * soft + hard
            g_lobe = _0
            for c in range(3):
                g_lobe += incoming[c] * open_ * lights[i, 3 + c]
                to_lights[i, 3 + c] += incoming[c] * open_ * specular * lobe
            to_lights[i, 6] += g_lobe * lobe
            g_lobe *= specular
            g_facing -= g_lobe * soft * _12 * away * away
            g_along = _0
            if inside:
                g_along = g_lobe * (swell * soft * np.float32(1 << broad) + hard * np.float32(1 << sharp)) / along
            g_rx, g_ry, g_rz = g_rx + g_along * lx, g_ry + g_along * ly, g_rz + g_along * lz
            g_nx, g_ny, g_nz = g_nx + g_cosine * lx, g_ny + g_cosine * ly, g_nz + g_cosine * lz
            to_lights[i, 0] += g_cosine * nx + g_along * rx
            to_lights[i, 1] += g_cosine * ny + g_along * ry
            to_lights[i, 2] += g_cosine * nz + g_along * rz
        if cosine > _0:
            g_facing += _2 * (g_rx * nx + g_ry * ny + g_rz * nz)
            g_nx += _2 * facing * g_rx + g_facing * vx
            g_ny += _2 * facing * g_ry + g_facing * vy
            g_nz += _2 * facing * g_rz + g_facing * vz
        inward = g_nx * nx + g_ny * ny + g_nz * nz
        to_normals[p, 0] = (g_nx - inward * nx) * scale
        to_normals[p, 1] = (g_ny - inward * ny) * scale
        to_normals[p, 2] = (g_nz - inward * nz) * scale
        to_openness[p] = g_open
