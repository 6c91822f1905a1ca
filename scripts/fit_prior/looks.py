"""How a person looks and is filmed: random numbers for each sequence, drawn once and constant over its frames.

Every number is in the unit in which it is used; colours are linear light unless said otherwise. `chance` tells how
often something is there at all: many people are plain, many pictures are clean.
"""

from __future__ import annotations

import numpy as np
import torch

from tdmm.corpus.looks import BARE_SKIN, BLOOD, MELANIN
from tdmm.render.torch_shading import srgb_to_linear

from .canvas import EYE, FRAME, HAIR, LIPS, MOUTH, N_CLASSES, SKIN, TEETH

Look = dict[str, torch.Tensor]

# How often a person has each.
CHANCE = {
    "freckles": 0.15,
    "moles": 0.35,
    "stubble": 0.22,
    "moustache": 0.14,
    "beard": 0.18,
    "lipstick": 0.22,
    "eye_shadow": 0.18,
    "eyeliner": 0.18,
    "lash_line": 0.75,
    "lid_fold": 0.65,
    "glasses": 0.24,
    "sunglasses": 0.02,
    "bald": 0.10,
    "hat": 0.08,
    "fringe": 0.14,
    "long_hair": 0.34,
    "strands": 0.35,
    "shadow": 0.55,
    "fold_lines": 0.85,
}

_HAIR = np.array(
    [
        *[(12, 10, 10), (28, 22, 20), (52, 36, 26), (84, 58, 38), (120, 88, 56), (170, 134, 88), (205, 178, 130)],
        *[(120, 58, 28), (150, 146, 140), (215, 213, 210)],
    ]
)
_HAIR_CHANCE = np.array([0.20, 0.22, 0.16, 0.11, 0.08, 0.06, 0.04, 0.04, 0.05, 0.04])
_IRIS = np.array(
    [(60, 36, 20), (92, 58, 30), (120, 92, 62), (90, 104, 74), (96, 122, 132), (128, 150, 168), (34, 22, 16)]
)
_IRIS_CHANCE = np.array([0.28, 0.22, 0.12, 0.10, 0.10, 0.08, 0.10])


def linear(colour: np.ndarray) -> np.ndarray:
    """sRGB 0..255 to linear light."""
    return srgb_to_linear(torch.as_tensor(np.asarray(colour, np.float64) / 255)).numpy()


def draw_looks(random: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Looks of `count` people: arrays with `count` rows."""
    uniform = lambda low, high, *more: random.uniform(low, high, (count, *more))  # noqa: E731
    has = lambda name: random.uniform(size=count) < CHANCE[name]  # noqa: E731
    normal = lambda spread, *more: spread * random.standard_normal((count, *more))  # noqa: E731
    look: dict[str, np.ndarray] = {}

    # Skin.
    look["melanin"] = 0.05 + 3.0 * random.beta(0.9, 1.6, count)
    look["blood"] = uniform(0.1, 0.9)
    look["skin"] = skin_colour(look["melanin"], look["blood"]) * np.exp(normal(0.035, 3))
    look["mottle"], look["pores"] = 0.01 + 0.10 * random.beta(1, 2, count), 0.05 * random.beta(1, 1.8, count)
    look["flush"] = uniform(0, 0.9) * (random.uniform(size=count) < 0.7)
    look["flush_cheeks"], look["flush_nose"] = uniform(0.2, 1), uniform(0, 1)
    look["eye_shade"] = 1.9 * random.beta(1.2, 1.8, count)
    look["freckles"] = has("freckles") * uniform(0.3, 1.0)
    look["moles"] = has("moles") * 1.0
    look["bump"] = random.beta(1, 2, count)
    look["fold"] = has("fold_lines") * random.beta(1.3, 1.8, count) * 1.1
    look["fold_rest"] = random.beta(0.8, 3.0, count)  # how far the same lines are there at rest
    look["fold_shift"] = normal(1.0, 8)
    look["fold_width"] = uniform(0.7, 1.8)

    # Lips, make-up.
    lips = look["skin"] * np.exp(-uniform(0.05, 0.75)[:, None] * np.array([0.35, 1.0, 0.8]))
    stick = has("lipstick")
    colours = linear(np.stack([uniform(90, 215), uniform(15, 110), uniform(25, 120)], axis=1))
    strength = uniform(0.4, 0.95)[:, None]
    look["lips"] = np.where(stick[:, None], lips * (1 - strength) + colours * strength, lips)
    look["lip_edge"] = uniform(0.25, 1.0)
    look["eye_shadow"] = has("eye_shadow") * uniform(0.2, 0.8)
    look["eye_shadow_colour"] = linear(random.uniform(20, 190, (count, 3)))
    look["eyeliner"] = has("eyeliner") * uniform(0.3, 1.0)
    look["lashes"] = random.beta(1.2, 1.2, count)
    look["lash_line"], look["lash_line_wide"] = has("lash_line") * uniform(0.15, 0.85), uniform(0.09, 0.32)
    look["lid_fold"], look["lid_fold_at"] = has("lid_fold") * uniform(0.1, 0.7), uniform(1.35, 2.1)

    # Hair of the head, brows and beard.
    shade = random.choice(len(_HAIR), count, p=_HAIR_CHANCE)
    hair = linear(_HAIR[shade] * np.exp(normal(0.12, 3)))
    dark = np.clip((look["melanin"] - 1.2) / 1.0, 0, 1)[:, None]
    hair = hair * (1 - dark * 0.85) + dark * 0.85 * linear(np.array([22, 18, 16]))
    dyed = random.uniform(size=count) < 0.03
    look["hair"] = np.where(dyed[:, None], linear(random.uniform(20, 200, (count, 3))), hair)
    look["hair_contrast"], look["hair_gloss"] = uniform(0.15, 0.65), 0.12 * random.beta(1, 2, count)
    look["curls"] = random.beta(0.6, 1.2, count)
    look["brow"] = np.clip(look["hair"] * np.exp(normal(0.35) - 0.2)[:, None], 0.003, 0.8)
    # From hardly visible to black.
    look["brow_density"] = np.where(random.uniform(size=count) < 0.12, uniform(0.0, 0.25), uniform(0.35, 1.0))
    look["brow_height"], look["brow_arch"] = normal(0.0016), normal(0.0022)
    look["brow_tilt"], look["brow_thick"] = normal(0.09), uniform(0.0020, 0.0068)
    look["brow_inner"], look["brow_outer"] = uniform(-0.0250, -0.0155), uniform(0.019, 0.031)
    look["brow_taper"], look["brow_coarse"] = uniform(0.1, 0.95), random.beta(1, 2, count)
    look["beard"] = has("beard") * uniform(0.5, 1.0)
    look["stubble"] = has("stubble") * uniform(0.15, 0.6)
    look["moustache"] = np.where(has("beard"), look["beard"], has("moustache") * uniform(0.5, 1.0))
    look["beard_line"] = uniform(-0.055, 0.015)
    look["beard_colour"] = np.clip(look["hair"] * np.exp(normal(0.3))[:, None], 0.003, 0.8)

    bald = has("bald")
    look["hat"] = (has("hat")) * 1.0
    look["bald"] = bald * 1.0
    look["hairline"] = uniform(0.044, 0.072)  # above the eyes
    look["recede"] = random.beta(1, 2.5, count)
    look["hair_dense"] = np.where(bald, uniform(0.0, 0.35), uniform(0.8, 1.0))
    short = random.uniform(size=count) < 0.35
    look["volume"] = np.where(short, uniform(0.000, 0.006), uniform(0.006, 0.034)) * (1 - bald)
    look["volume_sides"] = uniform(0.2, 0.9)
    fringe = has("fringe") & ~bald
    look["fringe"] = np.where(fringe, uniform(0.010, 0.045), 0.0)  # how far it comes below the hairline
    look["quiff"] = uniform(0.0, 1.0)
    hat_colour = linear(random.uniform(5, 230, (count, 3)))
    on = look["hat"][:, None] > 0
    look["cover"] = np.where(on, hat_colour, look["hair"])
    look["volume"] = np.where(on[:, 0], uniform(0.006, 0.022), look["volume"])
    look["fringe"] = np.where(on[:, 0], uniform(-0.005, 0.030), look["fringe"])
    look["hair_noise"] = normal(1.0, 6)
    long = has("long_hair") & ~bald
    scarf = on[:, 0] & (random.uniform(size=count) < 0.4)
    look["long"] = (long | scarf) * 1.0
    look["long_to"] = np.where(scarf, uniform(-0.22, -0.12), uniform(-0.24, 0.0))
    look["long_open"] = uniform(0.75, 1.5)  # radians from the middle of the face at which it begins
    look["long_out"], look["long_wave"] = uniform(0.004, 0.03), uniform(0.0, 0.012)
    look["strands"] = (has("strands") & ~bald & ~on[:, 0]) * 1.0

    # Eyes and teeth.
    iris = _IRIS[random.choice(len(_IRIS), count, p=_IRIS_CHANCE)]
    look["iris"] = linear(np.clip(iris * np.exp(normal(0.10, 3)), 0, 190)) * uniform(0.45, 1.0)[:, None]
    look["iris_size"], look["pupil_size"] = uniform(0.88, 1.12), uniform(0.6, 1.7)
    look["sclera"] = uniform(0.32, 0.80)[:, None] * np.array([1.0, 0.95, 0.92]) * np.exp(normal(0.03, 3))
    look["veins"] = uniform(0.3, 1.5)
    look["teeth"] = uniform(0.45, 1.0)[:, None] * np.exp(-uniform(0, 0.5)[:, None] * np.array([0.1, 0.3, 0.9]))
    look["inside"] = np.exp(normal(0.10, 3)) * uniform(0.5, 1.3)[:, None]

    # Glasses.
    sun = has("sunglasses")
    look["glasses"] = (has("glasses") | sun) * 1.0
    look["lens_tint"] = np.where(sun, uniform(0.75, 0.96), uniform(0.0, 0.16) * (random.uniform(size=count) < 0.6))
    look["lens_glare"] = uniform(0.0, 0.5) * (random.uniform(size=count) < 0.6)
    look["lens_colour"] = linear(random.uniform(10, 90, (count, 3)))
    look["frame"] = linear(
        np.where(random.uniform(size=(count, 1)) < 0.55, uniform(5, 50)[:, None], random.uniform(20, 220, (count, 3)))
    )
    look["frame_thick"] = np.where(random.uniform(size=count) < 0.5, uniform(0.0004, 0.0011), uniform(0.0011, 0.0028))
    look["lens_half"] = np.stack([uniform(0.019, 0.029), uniform(0.014, 0.025)], axis=1)
    look["lens_square"] = uniform(2.0, 5.0)  # exponent of the outline: 2 is an ellipse
    look["lens_drop"] = uniform(-0.004, 0.008)
    look["lens_slant"] = normal(0.06)

    look["materials"] = _materials(random, count, look)
    return {name: np.asarray(value, np.float32) for name, value in look.items()}


def skin_colour(melanin: np.ndarray, blood: np.ndarray) -> np.ndarray:
    """Linear RGB (..., 3) of skin with so much melanin (0.05 pale to 3 very dark) and blood (0..1).

    Light passes both pigments before it leaves again, so that each absorbs by an exponential (Beer and Lambert).
    """
    return BARE_SKIN * np.exp(-np.multiply.outer(melanin, MELANIN) - np.multiply.outer(blood, BLOOD))


# Columns of `materials`.
WRAP, GLOSS, GLOSS_POWER, COAT, COAT_POWER, OCCLUSION, BUMP = 0, 3, 4, 5, 6, 7, 8


def _materials(random: np.random.Generator, count: int, look: dict[str, np.ndarray]) -> np.ndarray:
    """(count, classes, 9) how each class of material answers light."""
    table = np.zeros((count, N_CLASSES, 9))
    uniform = lambda low, high: random.uniform(low, high, count)  # noqa: E731
    scatter = uniform(0.3, 1.2)[:, None]
    skin_wrap = scatter * np.array([0.42, 0.24, 0.18])
    for kind in (SKIN, LIPS, TEETH, MOUTH, HAIR, FRAME, EYE):
        table[:, kind, WRAP : WRAP + 3] = skin_wrap if kind in (SKIN, LIPS, MOUTH) else 0.3 * scatter
        table[:, kind, OCCLUSION] = 1
        table[:, kind, GLOSS_POWER], table[:, kind, COAT_POWER] = 8, 32
    table[:, SKIN, GLOSS] = 0.10 * random.beta(1, 1.8, count)
    table[:, SKIN, GLOSS_POWER] = np.exp2(uniform(2.0, 4.5))
    table[:, SKIN, COAT] = 0.10 * random.beta(1, 4, count)
    table[:, SKIN, COAT_POWER] = np.exp2(uniform(4, 6.5))
    table[:, SKIN, OCCLUSION] = uniform(0.4, 1.3)
    table[:, SKIN, BUMP] = uniform(0.0, 1.0)
    table[:, LIPS] = table[:, SKIN]
    table[:, EYE, COAT], table[:, EYE, COAT_POWER] = uniform(0.1, 1.4), np.exp2(uniform(5, 7.5))
    table[:, EYE, OCCLUSION] = uniform(0.7, 1.9)
    table[:, TEETH, COAT], table[:, TEETH, COAT_POWER] = uniform(0.0, 0.4), np.exp2(uniform(4, 6))
    table[:, TEETH, OCCLUSION] = uniform(0.7, 1.4)
    table[:, MOUTH, COAT], table[:, MOUTH, COAT_POWER] = uniform(0.0, 0.25), np.exp2(uniform(4, 6))
    table[:, MOUTH, OCCLUSION] = uniform(0.8, 1.4)
    table[:, HAIR, GLOSS] = np.where(look["hat"] > 0, 0.0, look["hair_gloss"])
    table[:, HAIR, GLOSS_POWER], table[:, HAIR, OCCLUSION] = np.exp2(uniform(2.5, 5)), 0.8
    table[:, HAIR, BUMP] = uniform(0.1, 0.6)
    table[:, FRAME, GLOSS], table[:, FRAME, COAT] = 0.15, uniform(0.1, 1.5)
    table[:, FRAME, OCCLUSION] = 0.3
    return table


def to_device(look: dict[str, np.ndarray], device: torch.device) -> Look:
    return {name: torch.from_numpy(value).to(device) for name, value in look.items()}
