"""Where the real clips are, and pictures of faces to make others from."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from skimage.data import astronaut

FOLDER = Path(os.environ.get("TDMM_CLIPS") or Path(__file__).resolve().parents[2].parent / "shared" / "clips")


def clip(name: str) -> Path:
    """A real clip by its name; the test is skipped where it is absent."""
    if not (FOLDER / name).exists():
        pytest.skip(f"needs the real clip {name}: put it into ../shared/clips or name its folder in TDMM_CLIPS")
    return FOLDER / name


def portrait(side: int = 256) -> np.ndarray:
    """A real photograph of one face, (side, side, 3) uint8."""
    from PIL import Image

    return np.asarray(Image.fromarray(astronaut()[:300, 70:370]).resize((side, side)))
