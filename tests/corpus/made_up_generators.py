"""Video generators that are no models: importable by name, as workers need them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tdmm.corpus.generators.base import Facts, Made
from tdmm.errors import CorpusError
from tdmm.io.video_writer import write_video


@dataclass
class GreyVideos:
    """Seven grey frames of 32 x 24 pixels, whatever the prompt is.

    how: what happens where `on` is in the prompt: fails (it says why), dies (with its process), faults (a bug).
    """

    on: str = "\0"
    how: str = "fails"
    name: str = "grey"
    model: str = "grey-1"
    asked: list[tuple[str, int, str]] = field(default_factory=list)

    def load(self) -> None:
        """There is nothing to load."""

    def facts(self) -> Facts:
        return Facts(model=self.model, family="", settings={"frames": 7}, licence="CC-BY-4.0", warning="")

    def make(self, prompt: str, seed: int, target: Path, *, id: str = "") -> Made:
        self.asked.append((prompt, seed, id))
        if self.on in prompt:
            if self.how == "dies":
                os._exit(9)
            if self.how == "faults":
                raise ZeroDivisionError("a bug")
            raise CorpusError(f"{id}: grey-1 failed: no colour")
        write_video([np.full((24, 32, 3), 9 * number, np.uint8) for number in range(7)], target, 10, format="mp4")
        return Made(fps=10.0, frames=7, width=32, height=24)
