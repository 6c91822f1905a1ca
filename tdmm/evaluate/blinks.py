"""Blinks: where lids close, and which blinks of two motions are the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tdmm.errors import EvaluationError
from tdmm.motion import FaceMotion

LIDS = ("eyeBlinkLeft", "eyeBlinkRight")
# A blink closes both eyes at least this far, by this much more than around it, and no longer than this at half of
# its height: blinks last 0.1 to 0.4 s (Schiffman, Sensation and Perception, 2001), closed eyes longer.
LEAST_CLOSED, LEAST_RISE, LONGEST_SECONDS = 0.5, 0.3, 0.6
# An onset is the last frame in which the lids have come no further than this part of the way from their widest before.
ONSET = 0.1
# Two blinks may be one if their peaks are no further apart, seconds.
SAME_SECONDS = 0.16


@dataclass(frozen=True)
class Blinks:
    """The B blinks of a motion: frames (B,) of onset and of peak, and how far the lids close there, 0 to 1."""

    onset: np.ndarray
    peak: np.ndarray
    depth: np.ndarray

    def __len__(self) -> int:
        return len(self.peak)


def lid_closure(motion: FaceMotion) -> np.ndarray:
    """(T,) how far both lids are closed, the lesser of the two curves. Raises `EvaluationError` where they are missing:
    other face models' lids are measured on the mesh (`tdmm.evaluate.reconstruction`)."""
    if not set(LIDS) <= set(motion.expression_names):
        raise EvaluationError(f"blinks: a motion of {motion.face_model} has no {LIDS[0]}; compare meshes instead")
    return np.asarray(np.minimum(*(motion.expression_column(name).astype(np.float64) for name in LIDS)))


def find_blinks(closure: np.ndarray, fps: float) -> Blinks:
    """The blinks of a curve (T,) of closed lids, 0 open to 1 shut."""
    from scipy.signal import find_peaks

    padded = np.concatenate([[0.0], closure, [0.0]])  # a clip may begin or end in a blink
    peaks, facts = find_peaks(
        padded, height=LEAST_CLOSED, prominence=LEAST_RISE, width=(0, LONGEST_SECONDS * fps), rel_height=0.5
    )
    onsets = []
    reach = max(round(LONGEST_SECONDS * fps), 1)
    for peak in peaks:
        first = max(peak - reach, 0)
        before = padded[first:peak]
        low = np.flatnonzero(before <= before.min() + ONSET * (padded[peak] - before.min()))
        onsets.append(max(first + int(low[-1]), 1) - 1)
    return Blinks(np.array(onsets, int), peaks - 1, facts["peak_heights"])


def match_blinks(truth: Blinks, found: Blinks, fps: float) -> list[tuple[int, int]]:
    """Pairs (number in truth, number in found) of blinks that are the same: the nearest first, each at most once."""
    apart = np.abs(truth.peak[:, None] - found.peak[None, :]) / fps
    pairs: list[tuple[int, int]] = []
    left, right = set(range(len(truth))), set(range(len(found)))
    for flat in np.argsort(apart, axis=None, kind="stable"):
        one, other = divmod(int(flat), len(found))
        if apart[one, other] > SAME_SECONDS:
            break
        if one in left and other in right:
            pairs.append((one, other))
            left.remove(one)
            right.remove(other)
    return sorted(pairs)
