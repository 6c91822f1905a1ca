"""A finished clip as an iterator of pictures that knows its frame rate and, mostly, its length."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


class Pictures:
    """An iterator over pictures (H, W, 3) uint8, sRGB, all of one size.

    fps: their constant rate. n_frames: how many there will be, None where that shows only at the end.
    """

    def __init__(self, pictures: Iterator[np.ndarray], fps: float, n_frames: int | None) -> None:
        self._pictures = pictures
        self.fps = float(fps)
        self.n_frames = n_frames

    def __iter__(self) -> Pictures:
        return self

    def __next__(self) -> np.ndarray:
        return next(self._pictures)

    def close(self) -> None:
        """Give up the rest: the video that they need is closed, and nothing more is painted."""
        close = getattr(self._pictures, "close", None)
        if close is not None:
            close()
