"""The colour of a point of the head, in compiled code. The one place of the shading formula.

All light is linear RGB; directions are unit vectors in camera axes (+x right, +y up, +z towards the viewer).
n: interpolated vertex normal; v: towards the camera; r = 2 (n.v) n - v, the mirrored view; a: albedo (texture or
the material's colour); o = 1 - occlusion (1 - baked ambient occlusion). For the lights i with direction l_i, colour
c_i and specular share s_i, and the materials of `tdmm.render.styles`:

    ambient  = o (sky (1 + n_y) / 2 + ground (1 - n_y) / 2)
    diffuse  = (1 + o) / 2 sum_i c_i max(0, (n.l_i + wrap) / (1 + wrap))            wrap for each of RGB
    lobe_i   = gloss max(0, r.l_i)^(2^gloss_doublings) (1 + 4 (1 - n.v)^3) + coat max(0, r.l_i)^(2^coat_doublings)
    colour   = a (ambient + diffuse) + o sum_i s_i c_i lobe_i

then `tdmm.render.styles.tone` and the sRGB curve. Distances do not matter: the lights are far away.
Style `normals` shows (n + 1) / 2 as sRGB; style `wire` darkens the colour on the triangles' edges.
"""

from __future__ import annotations

import numpy as np

from tdmm.render.compiled import compiled
from tdmm.render.raster import barycentrics
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

SHADED, NORMALS, WIRE = 0, 1, 2
# Width of the lines of style `wire` in pixels, and the linear light that remains on them.
WIRE_WIDTH = 0.9
WIRE_LIGHT = 0.04

# numba mixes Python numbers and float32 to float64; these keep the arithmetic single.
_0, _HALF, _1, _2, _4 = (np.float32(x) for x in (0, 0.5, 1, 2, 4))
_SHOULDER, _ROOM = np.float32(SHOULDER), np.float32(1 - SHOULDER)


@compiled(relaxed=True)
def shade_point(  # type: ignore[no-untyped-def]
    f, px, py, mode, xy, depth, normals, faces, occlusion, uv, uv_faces, texture, parts, materials, lights, to_ray
):
    """Tone-mapped linear RGB of triangle f at the point (px, py) of the picture.

    to_ray: inverse intrinsics (3, 3) float32. Other arrays: see `tdmm.render.drawing`.
    """
    c0, c1, c2 = barycentrics(xy, depth, faces, f, np.float64(px), np.float64(py))
    b0, b1, b2 = np.float32(c0), np.float32(c1), np.float32(c2)
    i0, i1, i2 = faces[f, 0], faces[f, 1], faces[f, 2]
    nx = b0 * normals[i0, 0] + b1 * normals[i1, 0] + b2 * normals[i2, 0]
    ny = b0 * normals[i0, 1] + b1 * normals[i1, 1] + b2 * normals[i2, 1]
    nz = b0 * normals[i0, 2] + b1 * normals[i1, 2] + b2 * normals[i2, 2]
    scale = _1 / np.sqrt(max(nx * nx + ny * ny + nz * nz, np.float32(1e-20)))
    nx, ny, nz = nx * scale, ny * scale, nz * scale
    if mode == NORMALS:
        return decode(_HALF + _HALF * nx), decode(_HALF + _HALF * ny), decode(_HALF + _HALF * nz)

    part = parts[f]
    m = materials[part]
    if m[TEXTURED] > _0:
        t0, t1, t2 = uv_faces[f, 0], uv_faces[f, 1], uv_faces[f, 2]
        u = b0 * uv[t0, 0] + b1 * uv[t1, 0] + b2 * uv[t2, 0]
        v = b0 * uv[t0, 1] + b1 * uv[t1, 1] + b2 * uv[t2, 1]
        red, green, blue = sample(texture, u, v)
    else:
        red, green, blue = m[COLOUR], m[COLOUR + 1], m[COLOUR + 2]

    vx = -(to_ray[0, 0] * px + to_ray[0, 1] * py + to_ray[0, 2])
    vy = to_ray[1, 0] * px + to_ray[1, 1] * py + to_ray[1, 2]
    scale = _1 / np.sqrt(vx * vx + vy * vy + _1)
    vx, vy, vz = vx * scale, vy * scale, scale
    facing = max(nx * vx + ny * vy + nz * vz, _0)
    rx, ry, rz = _2 * facing * nx - vx, _2 * facing * ny - vy, _2 * facing * nz - vz
    grazing = (_1 - facing) * (_1 - facing) * (_1 - facing)
    gloss, coat = m[GLOSS] * (_1 + _4 * grazing), m[COAT]
    gloss_doublings, coat_doublings = int(m[GLOSS_DOUBLINGS]), int(m[COAT_DOUBLINGS])

    openness = _1 - m[OCCLUSION] * (_1 - (b0 * occlusion[i0] + b1 * occlusion[i1] + b2 * occlusion[i2]))
    n_lights = lights.shape[0] - 2
    up, down = openness * (_HALF + _HALF * ny), openness * (_HALF - _HALF * ny)
    light_r = lights[n_lights, 3] * up + lights[n_lights + 1, 3] * down
    light_g = lights[n_lights, 4] * up + lights[n_lights + 1, 4] * down
    light_b = lights[n_lights, 5] * up + lights[n_lights + 1, 5] * down
    shine_r = shine_g = shine_b = _0
    wrap_r, wrap_g, wrap_b = m[WRAP], m[WRAP + 1], m[WRAP + 2]
    gain_r, gain_g, gain_b = _1 / (_1 + wrap_r), _1 / (_1 + wrap_g), _1 / (_1 + wrap_b)
    direct = _HALF + _HALF * openness
    for i in range(n_lights):
        light = lights[i]
        cosine = nx * light[0] + ny * light[1] + nz * light[2]
        light_r += direct * light[3] * max(_0, (cosine + wrap_r) * gain_r)
        light_g += direct * light[4] * max(_0, (cosine + wrap_g) * gain_g)
        light_b += direct * light[5] * max(_0, (cosine + wrap_b) * gain_b)
        mirrored = rx * light[0] + ry * light[1] + rz * light[2]
        if mirrored > _0:
            broad, sharp = mirrored, mirrored
            for _ in range(gloss_doublings):
                broad *= broad
            if coat > _0:
                for _ in range(coat_doublings):
                    sharp *= sharp
            lobe = openness * light[6] * (gloss * broad + coat * sharp)
            shine_r += lobe * light[3]
            shine_g += lobe * light[4]
            shine_b += lobe * light[5]
    red, green, blue = red * light_r + shine_r, green * light_g + shine_g, blue * light_b + shine_b
    if mode == WIRE:
        keep = _1 - (_1 - np.float32(WIRE_LIGHT)) * line_coverage(f, px, py, xy, faces)
        red, green, blue = red * keep, green * keep, blue * keep
    return bend(red), bend(green), bend(blue)


@compiled(relaxed=True)
def bend(light):  # type: ignore[no-untyped-def]
    """`tdmm.render.styles.tone` of one number."""
    if light < _SHOULDER:
        return light
    return _1 - _ROOM * np.exp((_SHOULDER - light) / _ROOM)


@compiled(relaxed=True)
def decode(colour):  # type: ignore[no-untyped-def]
    """sRGB 0..1 to linear light."""
    if colour <= np.float32(0.04045):
        return max(colour, _0) / np.float32(12.92)
    return ((colour + np.float32(0.055)) / np.float32(1.055)) ** np.float32(2.4)


@compiled(relaxed=True)
def sample(texture, u, v):  # type: ignore[no-untyped-def]
    """Bilinear value of a texture (H, W, 3) float32, row 0 at v = 1; clamped at the border."""
    height, width = texture.shape[0], texture.shape[1]
    x = min(max(u * np.float32(width) - _HALF, _0), np.float32(width - 1))
    y = min(max((_1 - v) * np.float32(height) - _HALF, _0), np.float32(height - 1))
    column, row = int(x), int(y)
    right, below = min(column + 1, width - 1), min(row + 1, height - 1)
    fx, fy = x - np.float32(column), y - np.float32(row)
    w00, w01, w10, w11 = (_1 - fx) * (_1 - fy), fx * (_1 - fy), (_1 - fx) * fy, fx * fy
    a, b, c, d = texture[row, column], texture[row, right], texture[below, column], texture[below, right]
    return (
        w00 * a[0] + w01 * b[0] + w10 * c[0] + w11 * d[0],
        w00 * a[1] + w01 * b[1] + w10 * c[1] + w11 * d[1],
        w00 * a[2] + w01 * b[2] + w10 * c[2] + w11 * d[2],
    )


@compiled(relaxed=True)
def line_coverage(f, px, py, xy, faces):  # type: ignore[no-untyped-def]
    """How much of a pixel at (px, py) the nearest edge of triangle f covers, 0..1, for lines of `WIRE_WIDTH`."""
    nearest = np.float32(1e9)
    for k in range(3):
        p, q = faces[f, k], faces[f, (k + 1) % 3]
        dx, dy = xy[q, 0] - xy[p, 0], xy[q, 1] - xy[p, 1]
        area = dx * (py - xy[p, 1]) - dy * (px - xy[p, 0])
        nearest = min(nearest, abs(area) / np.sqrt(max(dx * dx + dy * dy, np.float32(1e-12))))
    # Each of the two triangles draws its half of the line; half a pixel of softness on the outside.
    return min(max(np.float32(WIRE_WIDTH / 2 + 0.5) - nearest, _0), _1)
