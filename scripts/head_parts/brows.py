"""Eyebrows as single hairs, drawn in a flat strip and laid along an arc over each eye."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

# The arc over the left eye, metres from the eye's middle (outwards, upwards), from the nose to the temple.
ARC = ((-0.0205, 0.0160), (-0.012, 0.0182), (-0.001, 0.0202), (0.010, 0.0208), (0.019, 0.0180), (0.0265, 0.0125))
HALF_HEIGHT = 0.0066  # metres, of the strip; the brow itself is narrower
STRIP = (1400, 280)  # pixels
HAIRS = 900
SEED = 11


def brow_density(points: np.ndarray, eye_x: float, eye_y: float) -> np.ndarray:
    """How much of each point (K, 3) of the skin hairs of a brow cover, 0..1. The eyes lie at (+-eye_x, eye_y)."""
    arc = _smooth_arc()
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(arc, axis=0), axis=1))])
    place = np.stack([np.abs(points[:, 0]) - eye_x, points[:, 1] - eye_y], axis=1)
    density = np.zeros(len(points))
    candidates = np.flatnonzero(
        (points[:, 2] > 0.05)
        & (place[:, 0] > arc[:, 0].min() - 0.01)
        & (place[:, 0] < arc[:, 0].max() + 0.01)
        & (np.abs(place[:, 1] - 0.019) < 0.016)
    )
    offset = place[candidates, None] - arc[None]  # (K, A, 2)
    nearest = (offset**2).sum(-1).argmin(1)
    tangent = np.gradient(arc, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)
    here = offset[np.arange(len(candidates)), nearest]
    s = (along[nearest] + (here * tangent[nearest]).sum(1)) / along[-1]
    d = (here * normal[nearest]).sum(1) / HALF_HEIGHT
    for side, strip in enumerate(_strips()):
        mine = (points[candidates, 0] > 0) == (side == 0)
        # A margin of one half-height at both ends of the strip's length.
        x = (0.06 + 0.88 * s[mine]) * STRIP[0] - 0.5
        y = (0.5 - 0.5 * d[mine]) * STRIP[1] - 0.5
        density[candidates[mine]] = ndimage.map_coordinates(strip, [y, x], order=1, mode="constant")
    return density


def _smooth_arc() -> np.ndarray:
    control = np.array(ARC)
    t = np.linspace(0, len(control) - 1, 200)
    return np.stack([ndimage.map_coordinates(control[:, k], [t], order=3, mode="nearest") for k in (0, 1)], axis=1)


def _strips() -> list[np.ndarray]:
    """Density pictures of the left and the right brow, not quite each other's mirror."""
    rng = np.random.default_rng(SEED)
    width, height = STRIP
    strips = []
    for _ in range(2):
        image = Image.new("L", STRIP, 0)
        draw = ImageDraw.Draw(image)
        for _ in range(HAIRS):
            s = rng.uniform(0, 1)
            # Fuller in the first two thirds, a point at the end.
            reach = 0.62 * min(1.0, (s + 0.10) / 0.22) ** 0.5 * (1 - 0.80 * max(0.0, (s - 0.55) / 0.45) ** 1.2)
            if rng.uniform() > 0.35 + 0.65 * min(1.0, s / 0.15):
                continue
            d = np.clip(rng.normal(0, 0.42), -1, 1) * reach
            # Hairs rise at the nose, lean outwards along the arc, come down from above and up from below.
            slope = np.radians(62 * (1 - min(1, s / 0.45)) - 6 - 26 * d / max(reach, 0.1) * min(1, s / 0.3))
            length = rng.uniform(0.11, 0.19) * width * (0.62 if s > 0.85 else 1.0) * 0.62
            x, y = (0.06 + 0.88 * s) * width, (0.5 - 0.5 * d) * height
            bend = rng.normal(-0.25, 0.15)
            path = []
            for step in np.linspace(0, 1, 7):
                turned = slope + bend * step
                path.append((x + step * length * np.cos(turned) * 0.5, y - step * length * np.sin(turned) * 0.32))
            for number, (start, end) in enumerate(pairwise(path)):
                draw.line([start, end], fill=int(rng.uniform(150, 240)), width=max(2, 7 - number))
        strip = ndimage.gaussian_filter(np.asarray(image, float) / 255, 2.0)
        under = ndimage.gaussian_filter(strip, 22)
        strips.append(np.clip(0.68 * strip + 0.44 * under, 0, 0.88))
    return strips
