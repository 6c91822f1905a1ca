"""Curves over time of which random motions are made, for many takes at once (numpy).

Axes: B takes, T frames, K keys or events, C columns. `times` is (B, T) seconds from the take's first frame.
"""

from __future__ import annotations

import numpy as np


def ease(part: np.ndarray) -> np.ndarray:
    """From 0 to 1 as `part` goes from 0 to 1, at rest at both ends (smoothstep)."""
    part = np.clip(part, 0, 1)
    return part * part * (3 - 2 * part)


def log_uniform(random: np.random.Generator, low: float, high: float, size: tuple[int, ...] | int) -> np.ndarray:
    """Numbers whose logarithms are uniform, float32."""
    return np.exp(random.uniform(np.log(low), np.log(high), size)).astype(np.float32)


def waves(random: np.random.Generator, times: np.ndarray, count: int, low: float, high: float) -> np.ndarray:
    """(B, T, count) smooth random curves of unit spread with frequencies between `low` and `high` Hz."""
    shape = (len(times), 1, count, 4)
    rate = 2 * np.pi * log_uniform(random, low, high, shape)
    phase = random.uniform(0, 2 * np.pi, shape).astype(np.float32)
    return np.sin(rate * times.astype(np.float32)[..., None, None] + phase).sum(-1) / np.sqrt(2, dtype=np.float32)


def n_keys(position: np.ndarray) -> int:
    """How many keys `between_keys` needs for positions that start in the first interval."""
    return int(np.floor(position.max())) + 2


def between_keys(position: np.ndarray, keys: np.ndarray, ramp: np.ndarray | float = 1.0) -> np.ndarray:
    """(B, T, C) from key to key.

    position: (B, T, C) or (B, T, 1) >= 0, key 1 is reached at 1. keys: (B, K, C).
    ramp: one number or (B, K, C) or (B, K, 1), the last part of an interval in which the value goes over to the next
    key; it rests before that.
    """
    index = position.astype(np.int32)
    width = np.take_along_axis(ramp, index, axis=1) if isinstance(ramp, np.ndarray) else ramp
    part = ease(1 - (1 - (position - index)) / width)
    start = np.take_along_axis(keys, index, axis=1)
    return start + (np.take_along_axis(keys, index + 1, axis=1) - start) * part


def bumps(
    times: np.ndarray, start: np.ndarray, attack: np.ndarray, hold: np.ndarray, release: np.ndarray
) -> np.ndarray:
    """(B, T, K) events that rise from 0 to 1, stay, and fall to 0; start, attack, hold, release: (B, K) seconds."""
    since = times.astype(np.float32)[:, :, None] - start.astype(np.float32)[:, None]
    rise = ease(since / attack.astype(np.float32)[:, None])
    fall = ease((since - (attack + hold).astype(np.float32)[:, None]) / release.astype(np.float32)[:, None])
    return rise * (1 - fall)
