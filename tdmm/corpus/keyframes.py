"""Curves through keyframes: how a value gets from one to the next (numpy)."""

from __future__ import annotations

import numpy as np


def ease(part: np.ndarray) -> np.ndarray:
    """From 0 to 1 as `part` goes from 0 to 1, with no speed and no acceleration at both ends.

    The path of least jerk (Flash & Hogan, 1985), which faces and heads follow closely.
    """
    part = np.clip(part, 0, 1)
    return part * part * part * (part * (6 * part - 15) + 10)


def follow(times: np.ndarray, at: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(T, C) values at `times` (T,) seconds on the path that is at `values` (K, C) at the moments `at` (K,), sorted.

    Before the first and after the last key the value stays.
    """
    right = np.searchsorted(at, times, side="right").clip(1, len(at) - 1)
    left = right - 1
    span = at[right] - at[left]
    part = ease((times - at[left]) / np.maximum(span, 1e-6)).astype(np.float32)[:, None]
    start = values[left]
    return start + (values[right] - start) * part


def waves(random: np.random.Generator, times: np.ndarray, count: int, low: float, high: float) -> np.ndarray:
    """(T, count) smooth random curves of unit spread, each of four sines with frequencies of `low` to `high` Hz."""
    rate = np.exp(random.uniform(np.log(low), np.log(high), (4, 1, count)))
    phase = random.uniform(0, 2 * np.pi, (4, 1, count))
    angle = (2 * np.pi * rate * times[None, :, None] + phase).astype(np.float32)
    return np.sin(angle).sum(0) * np.float32(1 / np.sqrt(2))
