"""Fill the frames in which no face was seen from the frames around them."""

from __future__ import annotations

import numpy as np

from tdmm.motion import slerp


def bridge(values: np.ndarray, seconds: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Values (N, ...) of the N seen frames spread over all T: linear in time between them, held at both ends.

    seconds: (T,) increasing. seen: (T,) bool with N true. Returns (T, ...); seen frames keep their bits.
    """
    left, right, weight = _neighbours(seconds, seen)
    weight = weight.reshape(-1, *[1] * (values.ndim - 1))
    mixed = values[left] * (1 - weight) + values[right] * weight
    return np.where(weight == 0, values[left], np.where(weight == 1, values[right], mixed)).astype(values.dtype)


def bridge_rotations(rotvec: np.ndarray, seconds: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """`bridge` for axis-angle (N, 3), the shorter way round."""
    left, right, weight = _neighbours(seconds, seen)
    return slerp(rotvec[left], rotvec[right], weight).astype(rotvec.dtype)


def _neighbours(seconds: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For every frame the seen frames before and after it, numbered among the seen, and the way between, 0..1."""
    at = np.flatnonzero(seen)
    position = np.searchsorted(at, np.arange(len(seen)), side="right")
    left = np.clip(position - 1, 0, len(at) - 1)
    right = np.clip(position, 0, len(at) - 1)
    right = np.where(seen, left, right)
    before, after = seconds[at[left]], seconds[at[right]]
    span = after - before
    weight = np.where(span > 0, (seconds - before) / np.where(span > 0, span, 1.0), 0.0)
    return left, right, np.clip(weight, 0, 1)
