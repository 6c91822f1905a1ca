"""Contact sheets of the baked head for docs/head.md, drawn by tdmm's own renderer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from tdmm.face.builtin import BuiltinHead, load_builtin_head
from tdmm.render.camera import Camera
from tdmm.render.clip import surface_of
from tdmm.render.drawing import Painter
from tdmm.render.styles import STYLES

SEED = 12
TRUNCATE = 2.0  # standard deviations
PICTURE = (0.0, 0.004, 0.05)  # what lies in the middle of an action's picture, metres in the head frame
ACTION_SPAN, IDENTITY_SPAN = 0.215, 0.345  # metres across a picture
DISTANCE = 0.75
# These are corrections of another action and mean nothing without it.
WITH = {"mouthClose": {"jawOpen": 1.0}}


def write_sheets(folder: Path) -> None:
    """Write head-actions.png and head-identities.png."""
    head = load_builtin_head()
    painter = Painter(surface_of(head), STYLES["skin"])
    folder.mkdir(parents=True, exist_ok=True)
    tiles = [_action(head, painter, "neutral", {})]
    for name in head.expression_names:
        tiles.append(_action(head, painter, name, {name: 1.0, **WITH.get(name, {})}))
    _save(tiles, 9, folder / "head-actions.png")
    random = np.random.default_rng(SEED)
    tiles = []
    for number in range(12):
        shape = np.clip(random.normal(size=head.n_shape), -TRUNCATE, TRUNCATE)
        # Every second one half turned away, so that noses and chins can be judged.
        tiles.append(_tile(head, painter, shape, {}, 33.0 * (number % 2), 300, IDENTITY_SPAN, (0.0, 0.012, 0.0)))
    _save(tiles, 6, folder / "head-identities.png")


def _action(head: BuiltinHead, painter: Painter, name: str, weights: dict[str, float]) -> Image.Image:
    tile = _tile(head, painter, np.zeros(0), weights, 0.0, 200, ACTION_SPAN, PICTURE)
    label = name + "".join(f" + {other}" for other in WITH.get(name, {}))
    ImageDraw.Draw(tile).text((4, 2), label, fill=(255, 255, 255), font=ImageFont.load_default(11))
    return tile


def _tile(
    head: BuiltinHead,
    painter: Painter,
    shape: np.ndarray,
    weights: dict[str, float],
    yaw: float,
    size: int,
    span: float,
    middle: tuple[float, float, float],
) -> Image.Image:
    """One face; yaw in degrees, to the picture's right."""
    expression = torch.zeros(1, len(head.expression_names))
    for name, weight in weights.items():
        expression[0, head.expression_names.index(name)] = weight
    points = head.vertices(torch.as_tensor(shape), expression)[0].numpy() - np.array(middle)
    c, s = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
    points = points @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]).T
    points[:, 2] -= DISTANCE
    focal = size * DISTANCE / span
    camera = Camera(np.array([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]]), (size, size))
    return Image.fromarray(painter.paint(points.astype(np.float32), camera))


def _save(tiles: list[Image.Image], columns: int, path: Path) -> None:
    width, height = tiles[0].size
    rows = -(-len(tiles) // columns)
    sheet = Image.new("RGB", (columns * width, rows * height), STYLES["skin"].background)
    for index, tile in enumerate(tiles):
        sheet.paste(tile, (index % columns * width, index // columns * height))
    # 256 colours are enough for a page and make the file a third as large.
    sheet.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.FLOYDSTEINBERG).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")
