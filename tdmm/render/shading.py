"""The colour of a point of the head, in compiled code. The one place of the shading formula.

All light is linear RGB; directions are unit vectors in camera axes (+x right, +y up, +z towards the viewer).
n: interpolated vertex normal; v: towards the camera; r = 2 (n.v) n - v, the mirrored view; a: albedo (texture or
the material's colour); o = max(0, 1 - occlusion (1 - baked ambient occlusion)). For the lights i with direction l_i,
colour c_i and specular share s_i, and the materials of `tdmm.render.styles`:

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
_0, _HALF, _1, _2, _4 = np.float32(0), np.float32(0.5), np.float32(1), np.float32(2), np.float32(4)
_SHOULDER, _ROOM = np.float32(SHOULDER), np.float32(1 - SHOULDER)
_TINY = np.float32(1e-20)


@compiled(relaxed=True)
def shade_pixels(  # type: ignore[no-untyped-def]
    box,
    face_id,
    numbers,
    sample_face,
    offsets,
    vertices,
    faces,
    parts,
    uv,
    uv_faces,
    texture,
    materials,
    lights,
    to_ray,
    mode,
    opacity,
    encode,
    decode,
    picture,
):
    """Lay the visible triangles over picture (H, W, 3) uint8.

    A pixel with a number >= 0 shows the mean of its samples sample_face (N, S), each visible triangle shaded once at
    the middle of its samples (they are used up: set to -1); every other pixel shows face_id at its centre.
    box: first and last row, first and last column. vertices (V, 7): pixel x, y, depth, normal, baked occlusion, in one
    place, because memory is what the time goes to. to_ray: inverse intrinsics (3, 3) float32. encode: linear light
    0..1 in even steps to sRGB bytes; decode: the 256 bytes to linear light, in which the texture (h, w, 3) uint8 is
    interpolated. Others: see `tdmm.render.drawing`.

    One long body on purpose: numba counts references of every array handed to an inner function, at every pixel,
    which took two thirds of the time.
    """
    n_samples = offsets.shape[0]
    share = _1 / np.float32(n_samples)
    n_lights = lights.shape[0] - 2
    steps = np.float32(encode.shape[0] - 1)
    texture_height, texture_width = texture.shape[0], texture.shape[1]
    for row in range(box[0], box[1] + 1):
        for column in range(box[2], box[3] + 1):
            number = numbers[row, column]
            if number < 0 and face_id[row, column] < 0:
                continue
            red_sum = green_sum = blue_sum = covered = _0
            s = 0
            while s < n_samples:
                if number < 0:
                    f, weight, s = face_id[row, column], _1, n_samples
                    px, py = np.float32(column) + _HALF, np.float32(row) + _HALF
                else:
                    f = sample_face[number, s]
                    if f < 0:
                        s += 1
                        continue
                    count, x, y = 0, 0.0, 0.0
                    for t in range(s, n_samples):
                        if sample_face[number, t] == f:
                            sample_face[number, t] = -1
                            count += 1
                            x += offsets[t, 0]
                            y += offsets[t, 1]
                    s += 1
                    px, py = np.float32(column + x / count), np.float32(row + y / count)
                    weight = np.float32(count) * share

                # Perspective-correct weights of the corners, as in `raster.barycentrics`.
                # Unsigned: a negative index, which numba would have to look for, cannot be.
                i0, i1, i2 = np.uintp(faces[f, 0]), np.uintp(faces[f, 1]), np.uintp(faces[f, 2])
                x0, y0 = vertices[i0, 0] - px, vertices[i0, 1] - py
                x1, y1 = vertices[i1, 0] - px, vertices[i1, 1] - py
                x2, y2 = vertices[i2, 0] - px, vertices[i2, 1] - py
                d0, d1, d2 = vertices[i0, 2], vertices[i1, 2], vertices[i2, 2]
                b0 = (x1 * y2 - x2 * y1) * (d1 * d2)
                b1 = (x2 * y0 - x0 * y2) * (d2 * d0)
                b2 = (x0 * y1 - x1 * y0) * (d0 * d1)
                total = _1 / (b0 + b1 + b2)
                b0, b1, b2 = b0 * total, b1 * total, b2 * total
                nx = b0 * vertices[i0, 3] + b1 * vertices[i1, 3] + b2 * vertices[i2, 3]
                ny = b0 * vertices[i0, 4] + b1 * vertices[i1, 4] + b2 * vertices[i2, 4]
                nz = b0 * vertices[i0, 5] + b1 * vertices[i1, 5] + b2 * vertices[i2, 5]
                scale = _1 / np.sqrt(max(nx * nx + ny * ny + nz * nz, _TINY))
                nx, ny, nz = nx * scale, ny * scale, nz * scale
                if mode == NORMALS:
                    red_sum += weight * decode[int((nx + _1) * np.float32(127.5) + _HALF)]
                    green_sum += weight * decode[int((ny + _1) * np.float32(127.5) + _HALF)]
                    blue_sum += weight * decode[int((nz + _1) * np.float32(127.5) + _HALF)]
                    covered += weight
                    continue

                m = parts[f]
                if materials[m, TEXTURED] > _0:
                    t0, t1, t2 = np.uintp(uv_faces[f, 0]), np.uintp(uv_faces[f, 1]), np.uintp(uv_faces[f, 2])
                    u = b0 * uv[t0, 0] + b1 * uv[t1, 0] + b2 * uv[t2, 0]
                    v = b0 * uv[t0, 1] + b1 * uv[t1, 1] + b2 * uv[t2, 1]
                    u = min(max(u * np.float32(texture_width) - _HALF, _0), np.float32(texture_width - 1))
                    v = min(max((_1 - v) * np.float32(texture_height) - _HALF, _0), np.float32(texture_height - 1))
                    left, above = int(u), int(v)
                    right, below = min(left + 1, texture_width - 1), min(above + 1, texture_height - 1)
                    u, v = u - np.float32(left), v - np.float32(above)
                    t00, t01, t10, t11 = (_1 - u) * (_1 - v), u * (_1 - v), (_1 - u) * v, u * v
                    red = t00 * decode[texture[above, left, 0]] + t01 * decode[texture[above, right, 0]]
                    red += t10 * decode[texture[below, left, 0]] + t11 * decode[texture[below, right, 0]]
                    green = t00 * decode[texture[above, left, 1]] + t01 * decode[texture[above, right, 1]]
                    green += t10 * decode[texture[below, left, 1]] + t11 * decode[texture[below, right, 1]]
                    blue = t00 * decode[texture[above, left, 2]] + t01 * decode[texture[above, right, 2]]
                    blue += t10 * decode[texture[below, left, 2]] + t11 * decode[texture[below, right, 2]]
                else:
                    red, green, blue = materials[m, COLOUR], materials[m, COLOUR + 1], materials[m, COLOUR + 2]

                vx = -(to_ray[0, 0] * px + to_ray[0, 1] * py + to_ray[0, 2])
                vy = to_ray[1, 0] * px + to_ray[1, 1] * py + to_ray[1, 2]
                vz = _1 / np.sqrt(vx * vx + vy * vy + _1)
                vx, vy = vx * vz, vy * vz
                facing = max(nx * vx + ny * vy + nz * vz, _0)
                rx, ry, rz = _2 * facing * nx - vx, _2 * facing * ny - vy, _2 * facing * nz - vz
                grazing = (_1 - facing) * (_1 - facing) * (_1 - facing)
                gloss, coat = materials[m, GLOSS] * (_1 + _4 * grazing), materials[m, COAT]
                gloss_doublings, coat_doublings = int(materials[m, GLOSS_DOUBLINGS]), int(materials[m, COAT_DOUBLINGS])

                openness = b0 * vertices[i0, 6] + b1 * vertices[i1, 6] + b2 * vertices[i2, 6]
                openness = max(_1 - materials[m, OCCLUSION] * (_1 - openness), _0)
                up, down = openness * (_HALF + _HALF * ny), openness * (_HALF - _HALF * ny)
                light_r = lights[n_lights, 3] * up + lights[n_lights + 1, 3] * down
                light_g = lights[n_lights, 4] * up + lights[n_lights + 1, 4] * down
                light_b = lights[n_lights, 5] * up + lights[n_lights + 1, 5] * down
                shine_r = shine_g = shine_b = _0
                wrap_r, wrap_g, wrap_b = materials[m, WRAP], materials[m, WRAP + 1], materials[m, WRAP + 2]
                direct = _HALF + _HALF * openness
                gain_r, gain_g, gain_b = direct / (_1 + wrap_r), direct / (_1 + wrap_g), direct / (_1 + wrap_b)
                for i in range(n_lights):
                    cosine = nx * lights[i, 0] + ny * lights[i, 1] + nz * lights[i, 2]
                    light_r += lights[i, 3] * max(_0, (cosine + wrap_r) * gain_r)
                    light_g += lights[i, 4] * max(_0, (cosine + wrap_g) * gain_g)
                    light_b += lights[i, 5] * max(_0, (cosine + wrap_b) * gain_b)
                    mirrored = rx * lights[i, 0] + ry * lights[i, 1] + rz * lights[i, 2]
                    if mirrored > _0:
                        broad = mirrored
                        for _ in range(gloss_doublings):
                            broad *= broad
                        lobe = gloss * broad
                        if coat > _0:
                            sharp = mirrored
                            for _ in range(coat_doublings):
                                sharp *= sharp
                            lobe += coat * sharp
                        lobe *= openness * lights[i, 6]
                        shine_r += lobe * lights[i, 3]
                        shine_g += lobe * lights[i, 4]
                        shine_b += lobe * lights[i, 5]
                red, green, blue = red * light_r + shine_r, green * light_g + shine_g, blue * light_b + shine_b

                if mode == WIRE:
                    # Distances to the three edges in pixels; each of two triangles draws its half of the line.
                    e0 = abs(x1 * y2 - x2 * y1) / np.sqrt((x2 - x1) * (x2 - x1) + (y2 - y1) * (y2 - y1) + _TINY)
                    e1 = abs(x2 * y0 - x0 * y2) / np.sqrt((x0 - x2) * (x0 - x2) + (y0 - y2) * (y0 - y2) + _TINY)
                    e2 = abs(x0 * y1 - x1 * y0) / np.sqrt((x1 - x0) * (x1 - x0) + (y1 - y0) * (y1 - y0) + _TINY)
                    line = min(max(np.float32(WIRE_WIDTH / 2 + 0.5) - min(e0, e1, e2), _0), _1)
                    keep = _1 - (_1 - np.float32(WIRE_LIGHT)) * line
                    red, green, blue = red * keep, green * keep, blue * keep
                red_sum += weight * bend(red)
                green_sum += weight * bend(green)
                blue_sum += weight * bend(blue)
                covered += weight

            if covered == _0:
                continue
            keep = _1 - opacity * covered
            if keep > np.float32(1e-4):
                red_sum = opacity * red_sum + keep * decode[picture[row, column, 0]]
                green_sum = opacity * green_sum + keep * decode[picture[row, column, 1]]
                blue_sum = opacity * blue_sum + keep * decode[picture[row, column, 2]]
            picture[row, column, 0] = encode[int(min(red_sum, _1) * steps + _HALF)]
            picture[row, column, 1] = encode[int(min(green_sum, _1) * steps + _HALF)]
            picture[row, column, 2] = encode[int(min(blue_sum, _1) * steps + _HALF)]


@compiled(relaxed=True, inline=True)
def bend(light):  # type: ignore[no-untyped-def]
    """`tdmm.render.styles.tone` of one number."""
    if light < _SHOULDER:
        return light
    return _1 - _ROOM * np.exp((_SHOULDER - light) / _ROOM)
