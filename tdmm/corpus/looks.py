"""How a filmed head looks: identity, skin and hair, light, what is behind it, and where the camera stands."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tdmm.motion import FaceMotion
from tdmm.render.styles import STYLES, Light, Style, srgb_to_linear

# Absorption of melanin and of blood in red, green, blue, and skin without either, linear: light passes both pigments
# before it leaves the skin again, so that each absorbs by an exponential (Beer and Lambert).
MELANIN, BLOOD = np.array([0.74, 1.00, 1.14]), np.array([0.12, 0.48, 0.42])
BARE_SKIN = np.array([0.85, 0.75, 0.68])
# sRGB colours and how frequent they are.
_HAIR = (
    (12, 10, 10),
    (28, 22, 20),
    (52, 36, 26),
    (84, 58, 38),
    (120, 88, 56),
    (190, 160, 110),
    (120, 58, 28),
    (160, 156, 150),
)
_HAIR_CHANCE = (0.22, 0.2, 0.18, 0.13, 0.09, 0.06, 0.05, 0.07)
_IRIS = ((74, 46, 26), (100, 66, 36), (122, 94, 62), (92, 106, 76), (98, 124, 134), (130, 152, 170), (44, 30, 22))
_IRIS_CHANCE = (0.28, 0.22, 0.12, 0.10, 0.10, 0.08, 0.10)
# Where the face's middle lies from the head joint, and how high a face is, metres.
FACE_MIDDLE, FACE_HEIGHT = np.array([0.0, 0.01, 0.1]), 0.21


@dataclass(frozen=True)
class Look:
    """All of it, drawn once a clip. Colours are linear light 0..1 unless said otherwise.

    shape: (S,) identity in standard deviations. hair_cover: 0..1 how dense the hair on the skull is; hairline: metres
    above the eyes. focal: lengths of the picture's larger side. part: height of the face in the picture. place: of its
    middle, in parts of the side. back: two colours; back_angle: of the ramp between them; blobs: (K, 6) x, y, size
    and colour of what is out of focus behind. cloth: colour; neckline: metres below the head joint.
    """

    shape: np.ndarray
    skin: np.ndarray
    hair: np.ndarray
    hair_cover: float
    hairline: float
    beard: float
    iris: np.ndarray
    lips: np.ndarray
    style: Style
    focal: float
    part: float
    place: tuple[float, float]
    back: np.ndarray
    back_angle: float
    blobs: np.ndarray
    cloth: np.ndarray
    neckline: float


@dataclass(frozen=True)
class LookRandoms:
    """What each part of a look is drawn from: the person (and clothes), the place behind, the light, the camera."""

    appearance: np.random.Generator
    place: np.random.Generator
    light: np.random.Generator
    camera: np.random.Generator


def draw_look(randoms: LookRandoms, n_shape: int) -> Look:
    """A random look for a head with `n_shape` identity coefficients."""
    random = randoms.appearance
    shape = (0.85 * random.standard_normal(n_shape)).astype(np.float32)
    melanin, blood = 0.1 + 2.4 * random.beta(0.9, 1.8), random.uniform(0.15, 0.75)
    skin = BARE_SKIN * np.exp(-melanin * MELANIN - blood * BLOOD)
    hair = _colour(_HAIR[random.choice(len(_HAIR), p=_HAIR_CHANCE)], random, 0.12)
    dark = float(np.clip((melanin - 0.7) / 0.6, 0, 1)) * 0.9
    hair = hair * (1 - dark) + dark * srgb_to_linear(np.array([20, 17, 16]) / 255)
    kind = random.random()
    place, camera = randoms.place, randoms.camera
    return Look(
        shape=shape,
        skin=skin,
        hair=hair,
        hair_cover=0.0 if kind < 0.2 else float(random.uniform(0.5, 0.95)),
        hairline=float(random.uniform(0.05, 0.085)),
        beard=float(random.uniform(0.15, 0.6)) if random.random() < 0.25 else 0.0,
        iris=_colour(_IRIS[random.choice(len(_IRIS), p=_IRIS_CHANCE)], random, 0.1),
        lips=np.exp(-random.uniform(0.1, 0.55) * np.array([0.25, 1.0, 0.75])),
        cloth=_room(random),
        neckline=float(random.uniform(0.132, 0.17)),
        style=_light(randoms.light, float(skin.mean())),
        focal=float(np.exp(camera.uniform(np.log(1.5), np.log(3.2)))),
        part=float(camera.uniform(0.46, 0.62)),
        place=(float(np.clip(camera.normal(0, 0.03), -0.06, 0.06)), float(camera.uniform(-0.08, 0.0))),
        back=np.stack([_room(place), _room(place)]),
        back_angle=float(place.uniform(0, 2 * np.pi)),
        blobs=_blobs(place),
    )


def framed(motion: FaceMotion, look: Look, size: tuple[int, int]) -> FaceMotion:
    """The motion of this person in front of this camera: identity, intrinsics and place follow the look.

    size: (H, W) pixels. The head's own movement is kept; the whole face stays in the picture at rest.
    """
    height, width = size
    focal = look.focal * max(size)
    distance = focal * FACE_HEIGHT / (look.part * height)
    x, y = look.place[0] * width / focal * distance, -look.place[1] * height / focal * distance
    base = np.array([x, y, -distance], np.float32) - FACE_MIDDLE.astype(np.float32)
    moved = motion.translation - motion.translation.mean(axis=0)
    camera = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    return replace(
        motion, shape=look.shape, camera=camera, image_size=size, translation=(moved + base).astype(np.float32)
    )


def _colour(srgb: tuple[int, int, int], random: np.random.Generator, spread: float) -> np.ndarray:
    """Near a colour: lighter or darker, hardly of another hue, for hair is not green."""
    near = np.exp(random.normal(0, spread) + random.normal(0, 0.025, 3))
    return srgb_to_linear(np.clip(np.array(srgb) / 255 * near, 0, 0.95))


def _room(random: np.random.Generator) -> np.ndarray:
    """Most rooms and clothes are nearly grey."""
    vivid = 0.22 * random.beta(1, 3)
    return srgb_to_linear(np.clip(random.uniform(0.08, 0.85) + vivid * random.standard_normal(3), 0.03, 0.95))


def _blobs(random: np.random.Generator) -> np.ndarray:
    count = int(random.integers(0, 8))
    return np.concatenate(
        [
            random.uniform(0, 1, (count, 2)),
            random.uniform(0.05, 0.3, (count, 1)),
            np.array([_room(random) for _ in range(count)]).reshape(count, 3),
        ],
        axis=1,
    )


def _light(random: np.random.Generator, brightness: float) -> Style:
    """A key, a fill and a rim light from somewhere, warm or cool, with an exposure that half makes up for the skin."""
    skin = STYLES["skin"]
    warm = np.exp(random.normal(0, 0.09) * np.array([1.0, 0.25, -1.0]))
    around, above = random.uniform(-1.1, 1.1), random.uniform(0.05, 0.8)
    key_from = (float(np.sin(around) * np.cos(above)), float(np.sin(above)), float(np.cos(around) * np.cos(above)))
    share = random.uniform(0.45, 1.0)
    level = float(np.clip((0.33 / brightness) ** 0.45, 0.8, 1.7) * random.uniform(0.8, 1.15))
    lights = (
        Light(key_from, _times(skin.lights[0].colour, level * share * warm)),
        Light(
            (-key_from[0], 0.1, 0.6),
            _times(skin.lights[1].colour, level * random.uniform(0.6, 2.2) / warm),
            specular=0.5,
        ),
        Light(
            (0.75 * (1 if around < 0 else -1), 0.35, -0.6),
            _times(skin.lights[2].colour, level * random.uniform(0, 1.6)),
            0.3,
        ),
    )
    ambient = level * random.uniform(0.7, 1.5) * (1.4 - 0.5 * share)
    return replace(skin, lights=lights, sky=_times(skin.sky, ambient * warm), ground=_times(skin.ground, ambient))


def _times(colour: tuple[float, float, float], factor: np.ndarray | float) -> tuple[float, float, float]:
    red, green, blue = (np.asarray(colour) * factor).tolist()
    return red, green, blue
