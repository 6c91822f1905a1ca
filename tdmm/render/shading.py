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

# Points are shaded in blocks of this many: loops of a fixed length over fixed places of one array are what the compiler
# turns into vector code, and a block stays in the innermost cache.
BLOCK = 64
# Where each number of a block's points begins: the point in pixels; the unit normal; albedo; openness; then of the
# material wrap, broad highlight, coat, occlusion; a factor of the colour (lines of style `wire`); the mirrored view;
# what the lights add; the two lobes of one light.
_PX, _PY, _NX, _NY, _NZ, _RED, _GREEN, _BLUE, _OPEN = (BLOCK * k for k in range(9))
_WRAP_R, _WRAP_G, _WRAP_B, _GLOSS, _GLOSS_D, _COAT, _COAT_D, _OCCLUSION, _KEEP = (BLOCK * k for k in range(9, 18))
_RX, _RY, _RZ, _LIGHT_R, _LIGHT_G, _LIGHT_B, _SHINE_R, _SHINE_G, _SHINE_B = (BLOCK * k for k in range(18, 27))
_BROAD, _SHARP = BLOCK * 27, BLOCK * 28
_ROWS = 29

# numba mixes Python numbers and float32 to float64; these keep the arithmetic single.
_0, _HALF, _1, _2, _4 = (np.float32(x) for x in (0, 0.5, 1, 2, 4))
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
    texels,
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
    the middle of its samples; every other pixel shows face_id at its centre.
    box: first and last row, first and last column. vertices (V, 8): pixel x, y, depth, normal, baked occlusion, in one
    place, because memory is what the time goes to. texels (F, 3, 2): the corners' places in the texture (h, w, 3)
    uint8, in texels from the middle of the first. to_ray: inverse intrinsics (3, 3) float32. encode: linear light 0..1
    in even steps to sRGB bytes; decode: the 256 bytes to linear light, in which the texture is interpolated.
    Others: see `tdmm.render.drawing`.

    Points are collected up to a block and finished together. numba counts references of every array handed to an
    inner function, which costs nothing once a block but would take most of the time at every pixel.
    """
    n_samples = offsets.shape[0]
    share = _1 / np.float32(n_samples)
    block = np.zeros(_ROWS * BLOCK, np.float32)
    block_face, block_row, block_column = (
        np.empty(BLOCK, np.int32),
        np.empty(BLOCK, np.int32),
        np.empty(BLOCK, np.int32),
    )
    weight = np.empty(BLOCK, np.float32)
    n_points = 0
    for row in range(box[0], box[1] + 1):
        for column in range(box[2], box[3] + 1):
            number = numbers[row, column]
            if number < 0:
                f = face_id[row, column]
                if f < 0:
                    continue
                block_face[n_points], block_row[n_points], block_column[n_points] = f, row, column
                block[_PX + n_points], block[_PY + n_points] = np.float32(column) + _HALF, np.float32(row) + _HALF
                weight[n_points] = _1
                n_points += 1
            else:
                first = n_points
                for s in range(n_samples):
                    f = sample_face[number, s]
                    if f < 0:
                        continue
                    place = first
                    while place < n_points and block_face[place] != f:
                        place += 1
                    if place == n_points:
                        n_points += 1
                        block_face[place], block_row[place], block_column[place] = f, row, column
                        block[_PX + place], block[_PY + place], weight[place] = _0, _0, _0
                    block[_PX + place] += np.float32(offsets[s, 0])
                    block[_PY + place] += np.float32(offsets[s, 1])
                    weight[place] += _1
                for place in range(first, n_points):
                    each = _1 / weight[place]
                    block[_PX + place] = np.float32(column) + block[_PX + place] * each
                    block[_PY + place] = np.float32(row) + block[_PY + place] * each
                    weight[place] *= share
            if n_points > BLOCK - n_samples:
                look_up(block, block_face, n_points, vertices, faces, parts, texels, texture, materials, decode, mode)
                if mode != NORMALS:
                    light(block, lights, to_ray)
                lay(block, block_row, block_column, weight, n_points, opacity, encode, decode, picture)
                n_points = 0
    look_up(block, block_face, n_points, vertices, faces, parts, texels, texture, materials, decode, mode)
    if mode != NORMALS:
        light(block, lights, to_ray)
    lay(block, block_row, block_column, weight, n_points, opacity, encode, decode, picture)


@compiled(relaxed=True)
def look_up(block, block_face, n_points, vertices, faces, parts, texels, texture, materials, decode, mode):  # type: ignore[no-untyped-def]
    """Fill the block's rows up to the material from the triangles at its points."""
    last_column, last_row = texture.shape[1] - 1, texture.shape[0] - 1
    for i in range(n_points):
        f = np.uintp(block_face[i])
        px, py = block[_PX + i], block[_PY + i]
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
            block[_RED + i] = decode[int((nx + _1) * np.float32(127.5) + _HALF)]
            block[_GREEN + i] = decode[int((ny + _1) * np.float32(127.5) + _HALF)]
            block[_BLUE + i] = decode[int((nz + _1) * np.float32(127.5) + _HALF)]
            continue
        block[_NX + i], block[_NY + i], block[_NZ + i] = nx, ny, nz
        block[_OPEN + i] = b0 * vertices[i0, 6] + b1 * vertices[i1, 6] + b2 * vertices[i2, 6]

        m = np.uintp(parts[f])
        block[_WRAP_R + i], block[_WRAP_G + i] = materials[m, WRAP], materials[m, WRAP + 1]
        block[_WRAP_B + i], block[_OCCLUSION + i] = materials[m, WRAP + 2], materials[m, OCCLUSION]
        block[_GLOSS + i], block[_GLOSS_D + i] = materials[m, GLOSS], materials[m, GLOSS_DOUBLINGS]
        block[_COAT + i], block[_COAT_D + i] = materials[m, COAT], materials[m, COAT_DOUBLINGS]
        if materials[m, TEXTURED] > _0:
            u = b0 * texels[f, 0, 0] + b1 * texels[f, 1, 0] + b2 * texels[f, 2, 0]
            v = b0 * texels[f, 0, 1] + b1 * texels[f, 1, 1] + b2 * texels[f, 2, 1]
            u, v = min(max(u, _0), np.float32(last_column)), min(max(v, _0), np.float32(last_row))
            left, above = int(u), int(v)
            u, v = u - np.float32(left), v - np.float32(above)
            left, above = np.uintp(left), np.uintp(above)
            right, below = np.uintp(min(left + 1, last_column)), np.uintp(min(above + 1, last_row))
            t00, t01, t10, t11 = (_1 - u) * (_1 - v), u * (_1 - v), (_1 - u) * v, u * v
            red = t00 * decode[texture[above, left, 0]] + t01 * decode[texture[above, right, 0]]
            red += t10 * decode[texture[below, left, 0]] + t11 * decode[texture[below, right, 0]]
            green = t00 * decode[texture[above, left, 1]] + t01 * decode[texture[above, right, 1]]
            green += t10 * decode[texture[below, left, 1]] + t11 * decode[texture[below, right, 1]]
            blue = t00 * decode[texture[above, left, 2]] + t01 * decode[texture[above, right, 2]]
            blue += t10 * decode[texture[below, left, 2]] + t11 * decode[texture[below, right, 2]]
            block[_RED + i], block[_GREEN + i], block[_BLUE + i] = red, green, blue
        else:
            block[_RED + i], block[_GREEN + i] = materials[m, COLOUR], materials[m, COLOUR + 1]
            block[_BLUE + i] = materials[m, COLOUR + 2]

        block[_KEEP + i] = _1
        if mode == WIRE:
            # Distances to the three edges in pixels; each of two triangles draws its half of the line.
            e0 = abs(x1 * y2 - x2 * y1) / np.sqrt((x2 - x1) * (x2 - x1) + (y2 - y1) * (y2 - y1) + _TINY)
            e1 = abs(x2 * y0 - x0 * y2) / np.sqrt((x0 - x2) * (x0 - x2) + (y0 - y2) * (y0 - y2) + _TINY)
            e2 = abs(x0 * y1 - x1 * y0) / np.sqrt((x1 - x0) * (x1 - x0) + (y1 - y0) * (y1 - y0) + _TINY)
            line = min(max(np.float32(WIRE_WIDTH / 2 + 0.5) - min(e0, e1, e2), _0), _1)
            block[_KEEP + i] = _1 - (_1 - np.float32(WIRE_LIGHT)) * line


@compiled(relaxed=True)
def light(block, lights, to_ray):  # type: ignore[no-untyped-def]
    """The shading formula for a whole block (places without a point hold what was there before): albedo to colour."""
    n_lights = lights.shape[0] - 2
    sky_r, sky_g, sky_b = lights[n_lights, 3], lights[n_lights, 4], lights[n_lights, 5]
    ground_r, ground_g, ground_b = lights[n_lights + 1, 3], lights[n_lights + 1, 4], lights[n_lights + 1, 5]
    x_x, x_y, x_1, y_x, y_y, y_1 = to_ray[0, 0], to_ray[0, 1], to_ray[0, 2], to_ray[1, 0], to_ray[1, 1], to_ray[1, 2]
    gloss_doublings = coat_doublings = _0  # the most in this block; none without such a layer
    for i in range(BLOCK):
        gloss_doublings = max(gloss_doublings, block[_GLOSS_D + i] if block[_GLOSS + i] > _0 else _0)
        coat_doublings = max(coat_doublings, block[_COAT_D + i] if block[_COAT + i] > _0 else _0)
    for i in range(BLOCK):
        nx, ny, nz = block[_NX + i], block[_NY + i], block[_NZ + i]
        vx = -(x_x * block[_PX + i] + x_y * block[_PY + i] + x_1)
        vy = y_x * block[_PX + i] + y_y * block[_PY + i] + y_1
        vz = _1 / np.sqrt(vx * vx + vy * vy + _1)
        vx, vy = vx * vz, vy * vz
        facing = max(nx * vx + ny * vy + nz * vz, _0)
        block[_RX + i] = _2 * facing * nx - vx
        block[_RY + i] = _2 * facing * ny - vy
        block[_RZ + i] = _2 * facing * nz - vz
        block[_GLOSS + i] *= _1 + _4 * ((_1 - facing) * (_1 - facing) * (_1 - facing))
        openness = max(_1 - block[_OCCLUSION + i] * (_1 - block[_OPEN + i]), _0)
        block[_OPEN + i] = openness
        up, down = openness * (_HALF + _HALF * ny), openness * (_HALF - _HALF * ny)
        block[_LIGHT_R + i] = sky_r * up + ground_r * down
        block[_LIGHT_G + i] = sky_g * up + ground_g * down
        block[_LIGHT_B + i] = sky_b * up + ground_b * down
        block[_SHINE_R + i] = block[_SHINE_G + i] = block[_SHINE_B + i] = _0
    for k in range(n_lights):
        lx, ly, lz, specular = lights[k, 0], lights[k, 1], lights[k, 2], lights[k, 6]
        red, green, blue = lights[k, 3], lights[k, 4], lights[k, 5]
        for i in range(BLOCK):
            cosine = block[_NX + i] * lx + block[_NY + i] * ly + block[_NZ + i] * lz
            direct = _HALF + _HALF * block[_OPEN + i]
            wrap_r, wrap_g, wrap_b = block[_WRAP_R + i], block[_WRAP_G + i], block[_WRAP_B + i]
            block[_LIGHT_R + i] += red * max(cosine + wrap_r, _0) * (direct / (_1 + wrap_r))
            block[_LIGHT_G + i] += green * max(cosine + wrap_g, _0) * (direct / (_1 + wrap_g))
            block[_LIGHT_B + i] += blue * max(cosine + wrap_b, _0) * (direct / (_1 + wrap_b))
            mirrored = max(block[_RX + i] * lx + block[_RY + i] * ly + block[_RZ + i] * lz, _0)
            block[_BROAD + i] = mirrored
            block[_SHARP + i] = mirrored
        for n in range(int(gloss_doublings)):
            for i in range(BLOCK):
                broad = block[_BROAD + i]
                block[_BROAD + i] = broad * broad if np.float32(n) < block[_GLOSS_D + i] else broad
        for n in range(int(coat_doublings)):
            for i in range(BLOCK):
                sharp = block[_SHARP + i]
                block[_SHARP + i] = sharp * sharp if np.float32(n) < block[_COAT_D + i] else sharp
        for i in range(BLOCK):
            lobe = block[_GLOSS + i] * block[_BROAD + i] + block[_COAT + i] * block[_SHARP + i]
            lobe *= block[_OPEN + i] * specular
            block[_SHINE_R + i] += red * lobe
            block[_SHINE_G + i] += green * lobe
            block[_SHINE_B + i] += blue * lobe
    for i in range(BLOCK):
        keep = block[_KEEP + i]
        block[_RED + i] = bend(keep * (block[_RED + i] * block[_LIGHT_R + i] + block[_SHINE_R + i]))
        block[_GREEN + i] = bend(keep * (block[_GREEN + i] * block[_LIGHT_G + i] + block[_SHINE_G + i]))
        block[_BLUE + i] = bend(keep * (block[_BLUE + i] * block[_LIGHT_B + i] + block[_SHINE_B + i]))


@compiled(relaxed=True, inline=True)
def bend(light):  # type: ignore[no-untyped-def]
    """`tdmm.render.styles.tone` of one number, without a branch or a call: e^-x is (e^(-x/16))^16, of which the
    series up to x^5 is within 2e-7."""
    x = min(max(light - _SHOULDER, _0) * np.float32(1 / (1 - SHOULDER)), np.float32(16)) * np.float32(-1 / 16)
    series = _1 + x * np.float32(1 / 5)
    series = _1 + x * np.float32(1 / 4) * series
    series = _1 + x * np.float32(1 / 3) * series
    series = _1 + x * _HALF * series
    series = _1 + x * series
    series *= series
    series *= series
    series *= series
    series *= series
    return min(light, _SHOULDER) + _ROOM * (_1 - series)


@compiled(relaxed=True)
def lay(block, block_row, block_column, weight, n_points, opacity, encode, decode, picture):  # type: ignore[no-untyped-def]
    """Write the pixels of a block: the mean of a pixel's points, which follow one another, over the background."""
    steps = np.float32(encode.shape[0] - 1)
    i = 0
    while i < n_points:
        row, column = np.uintp(block_row[i]), np.uintp(block_column[i])
        covered = weight[i]
        red, green, blue = covered * block[_RED + i], covered * block[_GREEN + i], covered * block[_BLUE + i]
        i += 1
        while i < n_points and block_column[i] == block_column[i - 1] and block_row[i] == block_row[i - 1]:
            red += weight[i] * block[_RED + i]
            green += weight[i] * block[_GREEN + i]
            blue += weight[i] * block[_BLUE + i]
            covered += weight[i]
            i += 1
        keep = _1 - opacity * covered
        if keep > np.float32(1e-4):
            red = opacity * red + keep * decode[picture[row, column, 0]]
            green = opacity * green + keep * decode[picture[row, column, 1]]
            blue = opacity * blue + keep * decode[picture[row, column, 2]]
        picture[row, column, 0] = encode[int(min(red, _1) * steps + _HALF)]
        picture[row, column, 1] = encode[int(min(green, _1) * steps + _HALF)]
        picture[row, column, 2] = encode[int(min(blue, _1) * steps + _HALF)]
