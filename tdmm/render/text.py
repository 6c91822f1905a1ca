"""Words under a picture, in the font that comes with Pillow (no font has to be found on the machine)."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

# Size of the letters as a share of the picture's height, and its bounds in pixels.
FONT_SHARE, SMALLEST, LARGEST = 0.042, 11, 48
PADDING = 0.6  # of the font size, round the text
MOST_LINES = 4


def caption_strip(text: str, width: int, height: int, background: tuple[int, int, int]) -> np.ndarray:
    """A strip (h, width, 3) uint8 with the text, wrapped and centred, for a picture of `height` rows.

    h is even. Text that does not fit into `MOST_LINES` lines ends in an ellipsis.
    """
    size = int(np.clip(round(FONT_SHARE * height), SMALLEST, LARGEST))
    font = ImageFont.load_default(size)
    padding = round(PADDING * size)
    lines = wrap(text, font, max(width - 2 * padding, 1))
    ascent, descent = font.getmetrics()  # type: ignore[union-attr]
    step = ascent + descent + max(size // 8, 1)
    strip = Image.new("RGB", (width, (step * len(lines) + 2 * padding + 1) // 2 * 2), background)
    draw = ImageDraw.Draw(strip)
    dark = sum(background) < 3 * 128
    for number, line in enumerate(lines):
        middle = (width - font.getlength(line)) / 2
        draw.text((middle, padding + number * step), line, fill=(236,) * 3 if dark else (32,) * 3, font=font)
    return np.asarray(strip)


def wrap(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float) -> list[str]:
    """Lines no wider than `width` pixels, broken between words (within a word only if it is wider by itself)."""
    lines = [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}".strip()
        if font.getlength(joined) <= width:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        while font.getlength(word) > width and len(word) > 1:
            fits = max(n for n in range(1, len(word) + 1) if n == 1 or font.getlength(word[:n]) <= width)
            lines[-1], word = word[:fits], word[fits:]
            lines.append("")
        lines[-1] = word
    if len(lines) > MOST_LINES:
        lines = lines[:MOST_LINES]
        while lines[-1] and font.getlength(lines[-1] + "...") > width:
            lines[-1] = lines[-1][:-1]
        lines[-1] += "..."
    return lines
