"""Draw docs/images/animate.png: what `tdmm animate` makes of three prompts, time from left to right.

Usage: python scripts/draw_animate.py
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image

from tdmm.lm.animate import animate
from tdmm.motion import FaceMotion
from tdmm.render import RenderOptions, render
from tdmm.render.text import caption_strip

PICTURE = Path(__file__).parent.parent / "docs" / "images" / "animate.png"
PROMPTS = (
    "grins broadly, then nods twice",
    "winks with her left eye, then turns her head to the right",
    "is amazed, then yawns",
)
SIDE, FRAMES, SECONDS = 144, 7, 3.5
COLOURS = 128  # of the file, which is a third as large so


def main() -> None:
    """Three rows of frames, each with its prompt below."""
    rows = [_row(motion) for (motion,) in animate(PROMPTS, seconds=SECONDS)]
    sheet = Image.fromarray(np.concatenate(rows))
    sheet.quantize(COLOURS, dither=Image.Dither.NONE).save(PICTURE, optimize=True)


def _row(motion: FaceMotion) -> np.ndarray:
    options = RenderOptions(size=(SIDE, SIDE), caption=False)
    # Of each seventh the frame that is furthest from how the face mostly is: what is quick is seen, too.
    away = ((motion.expression - np.median(motion.expression, axis=0)) ** 2).sum(axis=1)
    edges = np.linspace(0, len(motion), FRAMES + 1).astype(int)
    at = [first + int(away[first:end].argmax()) for first, end in pairwise(edges)]
    frames = [next(iter(render(motion[frame : frame + 1], options=options))) for frame in at]
    strip = caption_strip(motion.text, SIDE * FRAMES, SIDE * 2, (255, 255, 255))
    return np.concatenate([np.concatenate(frames, axis=1), strip])


if __name__ == "__main__":
    main()
