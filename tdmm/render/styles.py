"""What faces look like: lights, a material for each part of a head, and the four styles. Numbers only.

The formula they enter is written in `tdmm.render.shading`; the differentiable renderer uses the same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Light:
    """A distant light that stays with the camera.

    direction: towards the light, in camera axes (+x right, +y up, +z to the viewer); any length.
    colour: linear RGB. specular: how much of it shows as highlights.
    """

    direction: Colour
    colour: Colour
    specular: float = 1.0


@dataclass(frozen=True)
class Material:
    """How a part of the head answers light.

    colour: sRGB 0..1, used where there is no texture. textured: whether the albedo texture replaces it.
    wrap: how far light creeps past the terminator, for each of RGB; more red than blue looks like skin.
    gloss, gloss_doublings: strength of the broad highlight, and its sharpness: the exponent is 2**doublings.
    coat, coat_doublings: a second, sharper highlight of a wet or clear layer.
    occlusion: how much of the baked ambient occlusion applies; above 1 inside the mouth, where little light comes.
    opacity: below 1 only for thin parts such as lashes.
    """

    colour: Colour
    textured: bool = True
    wrap: Colour = (0.0, 0.0, 0.0)
    gloss: float = 0.0
    gloss_doublings: int = 3
    coat: float = 0.0
    coat_doublings: int = 6
    occlusion: float = 1.0
    opacity: float = 1.0


@dataclass(frozen=True)
class Style:
    """A way to draw heads: lights, materials by part name (`default` for every other), background.

    sky, ground: linear RGB of the ambient light from above and below. background: sRGB 0..255.
    subdivided: drawn on the subdivided mesh. wire: draw the edges of the mesh. normals: colours show directions.
    """

    materials: dict[str, Material]
    lights: tuple[Light, ...]
    sky: Colour
    ground: Colour
    background: tuple[int, int, int]
    subdivided: bool = True
    wire: bool = False
    normals: bool = False


SKIN_WRAP = (0.42, 0.24, 0.18)

# The key stands so near the camera that its mirror image in an eye falls on the iris, not under the upper lid.
KEY = Light(direction=(-0.42, 0.40, 0.82), colour=(0.78, 0.74, 0.69))
FILL = Light(direction=(0.80, 0.10, 0.60), colour=(0.20, 0.22, 0.26), specular=0.5)
RIM = Light(direction=(0.75, 0.35, -0.60), colour=(0.42, 0.44, 0.50), specular=0.3)

_SKIN = Material((0.80, 0.61, 0.52), wrap=SKIN_WRAP, gloss=0.035, gloss_doublings=3)

SKIN_MATERIALS = {
    "default": _SKIN,
    "lips": replace(_SKIN, colour=(0.70, 0.42, 0.40), gloss=0.05, coat=0.14, coat_doublings=5),
    "brows": Material((0.24, 0.17, 0.13), wrap=(0.3, 0.3, 0.3), occlusion=0.6),
    "lashes": Material((0.09, 0.07, 0.06), textured=False, wrap=(0.5, 0.5, 0.5), occlusion=0.3, opacity=0.55),
    "sclera": Material((0.88, 0.86, 0.84), wrap=(0.35, 0.30, 0.30), coat=0.5, coat_doublings=6),
    "iris": Material((0.30, 0.40, 0.42), wrap=(0.30, 0.30, 0.30), coat=1.6, coat_doublings=6, occlusion=0.6),
    "pupil": Material((0.02, 0.02, 0.02), textured=False, coat=1.6, coat_doublings=6, occlusion=0.6),
    "teeth": Material((0.86, 0.82, 0.74), wrap=(0.3, 0.25, 0.2), coat=0.25, coat_doublings=5),
    "gums": Material((0.62, 0.30, 0.30), wrap=SKIN_WRAP, coat=0.20, coat_doublings=5, occlusion=1.2),
    "tongue": Material((0.66, 0.34, 0.34), wrap=SKIN_WRAP, coat=0.12, coat_doublings=4, occlusion=1.3),
    "mouth": Material((0.36, 0.12, 0.11), textured=False, wrap=SKIN_WRAP, occlusion=1.3),
}

_CLAY = Material((0.60, 0.66, 0.74), textured=False, wrap=(0.10, 0.10, 0.10), gloss=0.06, gloss_doublings=4)

CLAY_MATERIALS = {
    "default": _CLAY,
    "lips": replace(_CLAY, colour=(0.55, 0.60, 0.68)),
    "brows": replace(_CLAY, colour=(0.50, 0.55, 0.63)),
    "lashes": replace(_CLAY, colour=(0.30, 0.34, 0.40), gloss=0.0, opacity=0.5),
    "sclera": replace(_CLAY, colour=(0.76, 0.80, 0.85), coat=0.35, coat_doublings=6),
    "iris": replace(_CLAY, colour=(0.34, 0.39, 0.46), coat=0.9, coat_doublings=6),
    "pupil": replace(_CLAY, colour=(0.16, 0.18, 0.22), coat=0.9, coat_doublings=6),
    "teeth": replace(_CLAY, colour=(0.78, 0.81, 0.85)),
    "gums": replace(_CLAY, colour=(0.40, 0.44, 0.51), occlusion=1.2),
    "tongue": replace(_CLAY, colour=(0.40, 0.44, 0.51), occlusion=1.2),
    "mouth": replace(_CLAY, colour=(0.26, 0.29, 0.34), occlusion=1.3),
}

STYLES = {
    "clay": Style(
        CLAY_MATERIALS,
        (
            replace(KEY, colour=(0.66, 0.66, 0.66)),
            replace(FILL, colour=(0.20, 0.20, 0.21)),
            replace(RIM, colour=(0.36, 0.37, 0.40)),
        ),
        sky=(0.34, 0.35, 0.37),
        ground=(0.12, 0.12, 0.13),
        background=(246, 247, 249),
    ),
    "skin": Style(
        SKIN_MATERIALS, (KEY, FILL, RIM), sky=(0.31, 0.33, 0.37), ground=(0.15, 0.115, 0.10), background=(58, 62, 70)
    ),
    "wire": Style(
        {"default": replace(_CLAY, colour=(0.87, 0.89, 0.92), gloss=0.0)},
        (replace(KEY, colour=(0.45, 0.45, 0.45)), FILL),
        sky=(0.45, 0.45, 0.45),
        ground=(0.25, 0.25, 0.25),
        background=(255, 255, 255),
        subdivided=False,
        wire=True,
    ),
    "normals": Style(
        {"default": Material((0.5, 0.5, 0.5), textured=False)}, (), (0, 0, 0), (0, 0, 0), (0, 0, 0), normals=True
    ),
}

# Columns of the table that the compiled code and the torch code read, one row a part.
COLOUR, WRAP, GLOSS, GLOSS_DOUBLINGS, COAT, COAT_DOUBLINGS, OCCLUSION, TEXTURED, OPACITY = 0, 3, 6, 7, 8, 9, 10, 11, 12
N_COLUMNS = 13


def material_table(style: Style, part_names: tuple[str, ...]) -> np.ndarray:
    """(P, N_COLUMNS) float32: the material of each part, colours linear."""
    table = np.zeros((len(part_names), N_COLUMNS), np.float32)
    for row, name in zip(table, part_names, strict=True):
        material = style.materials.get(name, style.materials["default"])
        row[COLOUR : COLOUR + 3] = srgb_to_linear(np.asarray(material.colour))
        row[WRAP : WRAP + 3] = material.wrap
        row[GLOSS], row[GLOSS_DOUBLINGS] = material.gloss, material.gloss_doublings
        row[COAT], row[COAT_DOUBLINGS] = material.coat, material.coat_doublings
        row[OCCLUSION], row[TEXTURED], row[OPACITY] = material.occlusion, material.textured, material.opacity
    return table


def light_table(style: Style) -> np.ndarray:
    """(L + 2, 7) float32: unit direction, linear RGB and specular share of each light; then sky and ground."""
    table = np.zeros((len(style.lights) + 2, 7), np.float32)
    for row, light in zip(table, style.lights, strict=False):
        direction = np.asarray(light.direction, np.float64)
        row[:3] = direction / np.linalg.norm(direction)
        row[3:6], row[6] = light.colour, light.specular
    table[-2, 3:6], table[-1, 3:6] = style.sky, style.ground
    return table


def srgb_to_linear(colour: np.ndarray) -> np.ndarray:
    """sRGB 0..1 to linear light (IEC 61966-2-1)."""
    colour = np.asarray(colour)
    return np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(light: np.ndarray) -> np.ndarray:
    """Linear light 0..1 to sRGB (IEC 61966-2-1)."""
    light = np.asarray(light)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * np.maximum(light, 0.0031308) ** (1 / 2.4) - 0.055)


SHOULDER = 0.6


def tone(light: np.ndarray) -> np.ndarray:
    """Linear light of any strength to 0..1: unchanged up to `SHOULDER`, then bending smoothly towards 1."""
    light = np.asarray(light)
    room = 1 - SHOULDER
    return np.where(light < SHOULDER, light, 1 - room * np.exp(-np.maximum(light - SHOULDER, 0) / room))
