"""The texture of a person and the picture behind, from a look (numpy)."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from tdmm.corpus.looks import Look
from tdmm.face.model import Appearance, FaceModel
from tdmm.motion import FaceMotion
from tdmm.render.styles import linear_to_srgb, srgb_to_linear
from tdmm.render.surface import halved

# The texture is painted at this size: videos of a corpus are small.
TEXELS = 512
# Height of the eyes above the head joint, metres.
_EYES = 0.043


class Skin:
    """The texture of the built-in head, ready to become that of other people."""

    def __init__(self, model: FaceModel) -> None:
        import torch

        look: Appearance = model.appearance
        assert look.albedo is not None
        assert look.uv is not None
        assert look.uv_faces is not None
        assert look.part_of_face is not None
        albedo = look.albedo
        while albedo.shape[0] > TEXELS:
            albedo = halved(albedo)
        height, width = albedo.shape[:2]
        corners = look.uv[look.uv_faces] * (width, -height) + (0, height)
        canvas = Image.new("I", (width, height), -1)
        brush = ImageDraw.Draw(canvas)
        for number, triangle in enumerate(corners):
            brush.polygon([tuple(point) for point in triangle.tolist()], fill=number)
        face = np.asarray(canvas)
        part = np.where(face < 0, 255, look.part_of_face[face]).astype(np.uint8)
        with torch.no_grad():
            rest = model.vertices(torch.zeros(0), torch.zeros(1, len(model.expression_names)))[0].numpy()
        is_part = {name: part == number for number, name in enumerate(look.part_names)}
        self._light = srgb_to_linear(np.arange(256) / 255).astype(np.float32)[albedo]
        # The middle of the triangle is near enough for hair: metres at rest (h, w, 3).
        self._place = rest[model.faces].mean(1)[face]
        self._skin, self._lips, self._iris = is_part["skin"] | (part == 255), is_part["lips"], is_part["iris"]
        self._middle = np.median(self._light[is_part["skin"]], axis=0)
        self._brown = np.median(self._light[self._iris], axis=0)
        # What is much darker than skin on it is hair: brows.
        dark = np.clip((0.72 - self._light.mean(-1) / self._middle.mean()) / 0.3, 0, 1)
        self._brows = dark * self._skin * (self._place[..., 1] > _EYES + 0.006)

    def texture(self, look: Look) -> np.ndarray:
        """The albedo (h, w, 3) uint8 sRGB of this person."""
        painted = self._light.copy()
        tone = (look.skin / self._middle).astype(np.float32)
        painted[self._skin] *= tone
        painted[self._lips] *= ((0.35 * tone + 0.65 * tone.mean()) * look.lips).astype(np.float32)
        covers = [0.85 * self._brows, _scalp(look, self._place) * self._skin]
        if look.beard:
            covers.append(look.beard * _beard(self._place) * self._skin)
        for cover in covers:
            painted += (look.hair - painted) * cover[..., None]
        tint = 0.5 * look.iris / self._brown + 0.5 * look.iris.mean() / self._brown.mean()
        painted[self._iris] *= tint.astype(np.float32)
        return np.round(255 * linear_to_srgb(np.clip(painted, 0, 1))).astype(np.uint8)


def _scalp(look: Look, place: np.ndarray) -> np.ndarray:
    """(h, w) how much hair covers each place of the skull: short, and softer towards the face."""
    x, y, z = np.moveaxis(place, -1, 0)
    # The hairline falls from the forehead along the temples to behind the ears.
    line = _EYES + look.hairline - 1.1 * np.clip(0.075 - z, 0, 0.12) - 0.25 * np.clip(np.abs(x) - 0.045, 0, None)
    return look.hair_cover * _step((y - line) / 0.008) * _step((y + 0.055) / 0.02)


def _beard(place: np.ndarray) -> np.ndarray:
    """(h, w) where a beard grows: chin, jaw, upper lip."""
    x, y, z = np.moveaxis(place, -1, 0)
    jaw = _step((-0.012 - y - 0.35 * np.clip(np.abs(x) - 0.03, 0, None)) / 0.01) * _step((y + 0.085) / 0.015)
    return jaw * _step((z - 0.02) / 0.02)


def _step(values: np.ndarray) -> np.ndarray:
    part = np.clip(0.5 + 0.5 * values, 0, 1)
    return part * part * (3 - 2 * part)


def backdrop(look: Look, motion: FaceMotion) -> np.ndarray:
    """The picture (H, W, 3) uint8 sRGB behind the head: a room out of focus, and shoulders below the neck."""
    height, width = motion.image_size
    y, x = (np.mgrid[:height, :width] + 0.5) / max(height, width)
    along = np.clip((x - 0.5) * np.cos(look.back_angle) + (y - 0.5) * np.sin(look.back_angle) + 0.5, 0, 1)
    light = look.back[0] + (look.back[1] - look.back[0]) * along[..., None]
    for left, top, size, *colour in look.blobs.tolist():
        cover = np.exp(-((((x - left) ** 2 + (y - top) ** 2) / (0.5 * size * size)) ** 2))
        light = light + (np.array(colour) - light) * (0.7 * cover)[..., None]
    place = motion.translation.mean(axis=0)
    metres = -place[2] / motion.camera[0, 0]
    across = (np.arange(width) + 0.5 - motion.camera[0, 2])[None] * metres - place[0]
    up = -((np.arange(height) + 0.5 - motion.camera[1, 2])[:, None] * metres) - place[1]
    light = _shoulders(look, light, across, up)
    return np.round(255 * linear_to_srgb(np.clip(light, 0, 1))).astype(np.uint8)


def _shoulders(look: Look, light: np.ndarray, across: np.ndarray, up: np.ndarray) -> np.ndarray:
    """Neck and shoulders over a picture; across (1, W), up (H, 1): metres from the head joint, at its depth."""
    side = np.abs(across)
    slope = -0.092 - 0.4 * np.clip(side - 0.05, 0, None) - 5 * np.clip(side - 0.19, 0, None) ** 1.5
    body = _step((slope - up) / 0.004) * _step((0.26 - side) / 0.01)
    neck = _step((0.056 - side) / 0.003) * _step((-0.06 - up) / 0.01)
    edge = -look.neckline + 0.055 * (side / 0.09) ** 2
    cloth = body * _step((edge - up) / 0.003)
    bulge = np.clip(across / 0.27, -0.95, 0.95)
    key = np.array(look.style.lights[0].direction)
    facing = key[0] * bulge + key[2] * np.sqrt(1 - bulge**2) + 0.25 * key[1]
    level = (
        float(np.mean(look.style.lights[0].colour)) * np.clip(facing, 0, 1)
        + 0.4 * float(np.mean(look.style.sky))
        + 0.12
    )
    for cover, colour in ((np.maximum(body, neck), look.skin * 0.8), (cloth, look.cloth)):
        light = light + (colour * level[..., None] - light) * cover[..., None]
    return light
