"""The focal length that a picture's file tells."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

# EXIF: the block of camera settings, and in it the focal length of the same view on 35 mm film, millimetres.
_CAMERA_SETTINGS, _ON_35_MM_FILM = 0x8769, 0xA405
# Such film's picture, 36 mm x 24 mm; equal views are compared by the diagonal.
FILM_DIAGONAL = float(np.hypot(36, 24))


def told_focal(source: Any, image_size: tuple[int, int]) -> float | None:
    """Pixels, for a picture of (H, W) pixels; None for a video, a stream, or a picture that does not tell."""
    if not isinstance(source, str | os.PathLike):
        return None
    try:
        with Image.open(source) as picture:
            told = picture.getexif().get_ifd(_CAMERA_SETTINGS).get(_ON_35_MM_FILM)
            millimetres = 0.0 if told is None else float(told)
    # What Pillow raises for a video, for damage, and for tags of a wrong kind.
    except (UnidentifiedImageError, OSError, ValueError, TypeError, SyntaxError, ZeroDivisionError):
        return None
    return millimetres / FILM_DIAGONAL * float(np.hypot(*image_size)) if millimetres > 0 else None
