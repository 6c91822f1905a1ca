"""Long motions in parts as long as a language model knows motions, cut where the face is quiet."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from tdmm.io.tokens_file import invalid_runs
from tdmm.motion import FaceMotion

# Seconds. The motions of a training are 2 to 12 s long: so long a motion is taken as a whole.
LONGEST_WHOLE = 12.0
# Parts of a longer one.
SHORTEST_PART, LONGEST_PART = 4.0, 10.0
# For so long no face is seen: what lies there is guessed, and is left out.
GAP = 1.0
# Shorter sights of a face between two gaps tell nothing.
GLIMPSE = 0.5
# With these, of the cuts in performed clips one after the other 9 % fall into an event, where of even ones 63 % do.
_NEIGHBOURS = 0.3  # seconds around a cut that are to be quiet
_OF_SPEED = 0.1
_EACH_CUT = 0.25  # what a cut costs beside the movement there, which is about 2 on average


def stretches(motion: FaceMotion, longest: float = LONGEST_WHOLE) -> list[tuple[int, int]]:
    """Runs [first, end) of frames of a motion of even rate, each of at most `longest` seconds; none if no face is seen.

    Seconds without a face are left out. Everything else is in one run, but for glimpses between gaps.
    """
    found = []
    for first, end in seen(motion):
        if end - first <= max(1, int(longest * motion.fps)):
            found.append((first, end))
        else:
            part = min(LONGEST_PART, longest)
            cuts = quiet_cuts(unrest(motion[first:end]), min(SHORTEST_PART, part / 2) * motion.fps, part * motion.fps)
            edges = [first, *(first + cut for cut in cuts), end]
            found += pairwise(edges)
    return found


def seen(motion: FaceMotion) -> list[tuple[int, int]]:
    """Runs [first, end) in which a face is seen but for short moments; the longest alone, if all are glimpses."""
    count = len(motion)
    # What is guessed at the ends is guessed from one side only.
    gaps = [
        (first, end)
        for first, end in invalid_runs(motion.valid)
        if end - first >= GAP * motion.fps or first == 0 or end == count
    ]
    edges = [0, *(edge for gap in gaps for edge in gap), count]
    runs = [(first, end) for first, end in zip(edges[::2], edges[1::2], strict=True) if end > first]
    long_enough = [run for run in runs if run[1] - run[0] >= GLIMPSE * motion.fps]
    return long_enough or ([max(runs, key=lambda run: run[1] - run[0])] if runs else [])


def unrest(motion: FaceMotion) -> np.ndarray:
    """(T,) how far face and head are around each frame from how they mostly are, and a little of how fast they move."""
    face = np.concatenate([motion.expression, motion.jaw_pose, motion.eyes_pose], axis=1)
    head = np.concatenate([motion.rotation, motion.neck_pose], axis=1)
    total = np.zeros(len(motion))
    for values in (face, head):
        for weight, part in ((1.0, np.abs(values - np.median(values, axis=0)).sum(1)), (_OF_SPEED, _speed(values))):
            if part.mean() > 1e-9:
                total += weight * part / part.mean()
    wide = max(1, round(_NEIGHBOURS * motion.fps)) | 1
    padded = np.pad(total, wide // 2, mode="edge")
    return np.convolve(padded, np.full(wide, 1 / wide), mode="valid")


def quiet_cuts(cost: np.ndarray, shortest: float, longest: float) -> list[int]:
    """Where to cut T frames into parts of `shortest` to `longest` frames, so that the cuts cost least together.

    cost: (T,) of a cut before each frame. Of few frames the last part may be shorter.
    """
    count, least, most = len(cost), max(1, int(np.ceil(shortest))), max(1, int(longest))
    least = min(least, most)
    best = np.full(count + 1, np.inf)
    came_from = np.zeros(count + 1, np.int64)
    best[0] = 0.0
    price = np.append(np.asarray(cost, np.float64) + _EACH_CUT, 0.0)
    for at in range(least, count + 1):
        first = max(at - most, 0)
        before = best[first : at - least + 1]
        number = int(before.argmin())
        if before[number] < np.inf:
            best[at], came_from[at] = before[number] + price[at], first + number
    if best[count] == np.inf:  # no sum of such parts
        return list(range(most, count, most))
    cuts = []
    at = int(came_from[count])
    while at > 0:
        cuts.append(at)
        at = int(came_from[at])
    return cuts[::-1]


def _speed(values: np.ndarray) -> np.ndarray:
    """(T,) how much the values (T, C) change from frame to frame, the larger of before and after."""
    steps = np.abs(np.diff(values, axis=0)).sum(1)
    padded = np.concatenate([steps[:1], steps, steps[-1:]]) if len(steps) else np.zeros(2)
    return np.maximum(padded[:-1], padded[1:])
