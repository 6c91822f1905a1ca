"""The data of the built-in head, read without torch."""

from __future__ import annotations

import io
from functools import cache
from importlib.resources import files

import numpy as np

from tdmm.errors import FaceModelError

NAME = "tdmm-head-1"


@cache
def builtin_fingerprint() -> str:
    """The fingerprint that motions of the built-in head carry. Raises `FaceModelError` like `read_head_data`."""
    with _opened() as data:
        return str(data["sha256"])


def read_head_data() -> dict[str, np.ndarray]:
    """The arrays of tdmm/assets/head.npz by name. Raises `FaceModelError` if the installation lacks the file."""
    with _opened() as data:
        return {name: data[name] for name in data.files}


def _opened() -> np.lib.npyio.NpzFile:
    path = files("tdmm") / "assets" / "head.npz"
    try:
        return np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)  # type: ignore[no-any-return]
    except FileNotFoundError:
        raise FaceModelError(f"{path} is missing: install tdmm again, or bake it with scripts/build_head.py") from None
