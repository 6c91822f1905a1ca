"""A photograph of a face for tests that need a real one."""

from __future__ import annotations

import numpy as np
from PIL import Image
from skimage import data


def astronaut(side: int = 256) -> np.ndarray:
    """A photograph of a face (H, W, 3): Eileen Collins, NASA, public domain."""
    return np.asarray(Image.fromarray(data.astronaut()[:300, 80:380]).resize((side, side)))
