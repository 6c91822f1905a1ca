"""What to render: one frozen dataclass of options, validated here and nowhere else (numpy only)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tdmm.errors import TdmmError

STYLE_NAMES = ("skin", "clay", "wire", "normals")
VIEW_NAMES = ("camera", "front", "three-quarter", "side", "turntable")
IDENTITY_NAMES = ("motion", "mean", "random")
LARGEST_SIDE = 16384


@dataclass(frozen=True)
class RenderOptions:
    """Options of `render`, `render_over`, `render_beside` and `render_grid`.

    size: (H, W) pixels of the picture of one head; None: the motion's own in the view `camera` (over a video: the
        video's), 512 x 512 in the others.
    style: one of STYLE_NAMES.
    view: one of VIEW_NAMES. `camera`: the motion's own camera. The others keep the head whole: `front` from the
        camera's side, `three-quarter` and `side` 35 and 90 degrees round to the subject's left, `turntable` all round.
    identity: `motion` (its own shape), `mean`, `random` (drawn with `seed`), coefficients (S,), or a motion file.
    fps: resample to this rate; None: the motion's own, or the video's.
    caption: draw the motion's text below the picture, if it has any.
    opacity: of the head over a video, 0..1.
    background: sRGB 0..255; None: the style's own.
    antialias, subdivide: smooth edges; one step of subdivision (style `wire` always shows the mesh as it is).
    """

    size: tuple[int, int] | None = None
    style: str = "skin"
    view: str = "front"
    identity: str | Path | np.ndarray = "motion"
    fps: float | None = None
    caption: bool = True
    opacity: float = 0.85
    background: tuple[int, int, int] | None = None
    antialias: bool = True
    subdivide: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        _one_of("style", self.style, STYLE_NAMES)
        _one_of("view", self.view, VIEW_NAMES)
        if self.size is not None and not all(1 <= side <= LARGEST_SIDE for side in self.size):
            raise TdmmError(f"size: expected height and width of 1 to {LARGEST_SIDE} pixels, found {self.size}")
        if self.fps is not None and not (np.isfinite(self.fps) and self.fps > 0):
            raise TdmmError(f"fps: expected a positive number, found {self.fps}")
        if not 0 <= self.opacity <= 1:
            raise TdmmError(f"opacity: expected a number in 0..1, found {self.opacity}")
        if self.background is not None and not all(0 <= part <= 255 for part in self.background):
            raise TdmmError(f"background: expected red, green, blue in 0..255, found {self.background}")


def _one_of(name: str, value: str, names: tuple[str, ...]) -> None:
    if value not in names:
        raise TdmmError(f"{name}: expected one of {', '.join(names)}, found {value!r}")
