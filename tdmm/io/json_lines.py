"""Numbers and objects as lines of JSON: short, strict, and back to the bit."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

import numpy as np

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def compact(value: Any) -> str:
    """JSON on one line without blanks, as readable as UTF-8 allows. Raises ValueError for NaN and infinity."""
    line = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    try:
        line.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which only an escape can write
        return json.dumps(value, allow_nan=False, separators=(",", ":"))
    return line


def parsed(line: str) -> Any:
    """The value of a line. Raises ValueError, also for NaN and infinity, which JSON does not have."""
    try:
        return json.loads(line, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("too many brackets within each other") from None


def short(values: np.ndarray) -> Any:
    """Numbers of an array as nested lists whose decimals are as few as tell them apart in the array's precision.

    Read as JSON and cast to that precision they are the same numbers to the bit. Whole numbers lose their `.0`.
    """
    if values.ndim > 1:
        return [short(row) for row in values]
    return [_short(value) for value in values]


def _short(value: np.floating) -> float | int:
    number = float(str(value))
    if type(value)(number) != value:  # rounded twice, to float64 and on, and fallen on the wrong side
        number = float(value)
    whole = number.is_integer() and abs(number) < 1e15 and math.copysign(1, number) > 0  # -0.0 keeps its sign
    return int(number) if whole else number


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name}, which is no number in JSON")
