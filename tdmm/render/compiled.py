"""Compiled functions: numba's `njit`, cached on disk wherever a place for the cache can be found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba

# What floating-point shading code may do: reorder, contract and approximate, but still respect NaN and infinity.
RELAXED_FLOATS = frozenset({"reassoc", "contract", "arcp", "nsz", "afn"})


def compiled(*, relaxed: bool = False, inline: bool = False) -> Callable[[Callable[..., Any]], Any]:
    """Decorator: compile on the first call, release the GIL, keep the machine code on disk.

    relaxed: allow `RELAXED_FLOATS` (shading); False keeps IEEE arithmetic to the bit (rasterising).
    inline: put the code into every caller; for small functions of plain numbers in inner loops.
    numba keeps the code beside the source, or in the user's cache folder where that is not writable; where
    neither is (a read-only container), the function is compiled anew in every process instead of failing.
    """
    options: dict[str, Any] = {
        "nogil": True,
        "fastmath": set(RELAXED_FLOATS) if relaxed else False,
        "error_model": "numpy",
        "forceinline": inline,
    }

    def decorate(function: Callable[..., Any]) -> Any:
        try:
            return numba.njit(cache=True, **options)(function)
        except RuntimeError:  # numba: "no locator available"
            return numba.njit(**options)(function)

    return decorate
