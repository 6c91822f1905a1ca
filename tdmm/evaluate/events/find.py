"""Where a motion shows a behaviour, when nobody says at what time: the candidates, best first.

What lasts is found where its evidence is high for a while; what is made of beats is found as a train of them, the
tallest beat with its neighbours of a similar size that follow within a pause.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from tdmm.evaluate.events.measure import (
    PULSE_FLOOR,
    PULSE_SHARE,
    STILL,
    evidence,
    peaks,
    rests,
    sides_of,
    signal,
    times_of,
)
from tdmm.evaluate.events.signs import FULL, LEAST, MEASURES, Measure
from tdmm.motion import FaceMotion

MOST = 5  # candidates of one behaviour on one side
LASTS = 0.36  # seconds that held evidence has to last
STILL_SECONDS = 1.0  # and rest, where it is not asked for throughout
# Seconds before and after, in which what goes with it may be seen; longer where that is the other way of a slow swing.
AROUND = 0.4
AROUNDS = {"scan": 2.0, "look_around": 2.5}
EDGE = 0.7  # what is held ends where its evidence falls below this part of its height
_BOTH_WAYS = re.compile(r"\b(pitch|yaw|roll|x|y|z|gazeYaw|gazePitch) ")  # channels that go to either side of rest
RISES = 0.4  # a train of beats is higher than what is around it by this part of its height
# Seconds from one beat to the next within a train; and of what takes longer.
PAUSE = 1.3
PAUSES = {"bow": 3.4, "yawn": 4.5, "sigh": 3.6, "sneeze": 3.4, "gasp": 2.4, "recoil": 2.2, "roll_eyes": 2.4}
PAUSES |= {"lick_lips": 2.3, "shrug_mouth": 2.0, "swallow": 1.8, "kiss": 1.7, "glance_aside": 1.8, "glance_up": 1.8}
PAUSES |= {"glance_down": 1.8, "double_take": 2.5, "chew": 1.6, "wince": 1.8, "blink": 1.5}
# The same from one turning point of a swing to the next.
SWING = 0.9
SWINGS = {"circle_head": 1.9, "sway": 1.8, "dart_eyes": 1.1}
SIMILAR = 0.3  # the smallest swing of a train, against its largest


@dataclass(frozen=True)
class Occurrence:
    """A place where a motion shows a behaviour.

    side: by which it was sought: left, right or empty. start, middle, end: seconds from the first frame.
    strength: the evidence, 1 for full strength. count: beats; 1 for what is held.
    """

    side: str
    start: float
    middle: float
    end: float
    strength: float
    count: int = 1


def least_strength(measure: Measure) -> float:
    """The evidence from which a behaviour counts as shown at all."""
    return FULL if measure.full else LEAST["slight"]


def occurrences(motion: FaceMotion, behaviour_id: str, side: str = "", *, throughout: bool = False) -> list[Occurrence]:
    """The places, at most MOST, where a behaviour is shown on a side (left, right or empty), the strongest first.

    throughout: it goes on, or comes again, all the time: beats far apart count together, and what rests has to rest
    all the time.
    """
    measure = MEASURES[behaviour_id]
    if measure.kind in STILL:
        return _resting(motion, measure, throughout)
    found = []
    for one in sides_of(measure, side):
        values = signal(motion, measure, one)
        if measure.kind == "pulses":
            pause = np.inf if throughout else PAUSES.get(behaviour_id, PAUSE)
            places = _trains(motion, measure, one, values, pause)
        elif measure.kind == "cycles":
            places = _swings(motion, measure, one, values, SWINGS.get(behaviour_id, SWING))
        else:
            places = _lasting(motion, measure, one, values)
        found += [
            place for place in places if _with_the_rest(motion, measure, place, AROUNDS.get(behaviour_id, AROUND))
        ]
    return sorted(found, key=lambda place: -place.strength)[:MOST]


def _with_the_rest(motion: FaceMotion, measure: Measure, place: Occurrence, slack: float) -> bool:
    """Whether all is there that has to be seen at some time of it."""
    if not measure.also:
        return True
    times = times_of(motion)
    around = (times >= place.start - slack) & (times <= place.end + slack)
    return all(
        evidence(motion, expression, place.side, resting=True)[around].max() >= least_strength(measure)
        for expression in measure.also
    )


def _lasting(motion: FaceMotion, measure: Measure, side: str, values: np.ndarray) -> list[Occurrence]:
    times = times_of(motion)
    width = max(round(LASTS * motion.fps), 1)
    kept = _lower(values, width)
    found: list[Occurrence] = []
    left = kept.copy()
    while len(found) < MOST and left.size:
        top = int(left.argmax())
        if left[top] < least_strength(measure):
            break
        start, end = _run_around(kept >= EDGE * kept[top], top)
        within = slice(start, end)
        weights = np.clip(values[within], 0, None)
        middle = float((weights * times[within]).sum() / max(weights.sum(), 1e-9))
        strength = float(np.percentile(values[within], 80))
        found.append(Occurrence(side, float(times[start]), middle, float(times[end - 1]), strength))
        left[within] = -np.inf
    return found


def _lower(values: np.ndarray, width: int) -> np.ndarray:
    """(T,) what each frame's surroundings of `width` frames reach for more than half of the time."""
    half = min(width // 2, max((len(values) - 1) // 2, 0))
    padded = np.pad(values, half, mode="edge")
    return np.median(np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1), axis=1)


def _run_around(mask: np.ndarray, place: int) -> tuple[int, int]:
    """Start and end of the run of True that holds `place`."""
    outside = np.flatnonzero(~mask)
    start = int(outside[outside < place].max(initial=-1)) + 1
    end = int(outside[outside > place].min(initial=len(mask)))
    return start, end


def _trains(motion: FaceMotion, measure: Measure, side: str, values: np.ndarray, pause: float) -> list[Occurrence]:
    times = times_of(motion)
    beats = [
        (k, height, width)
        for k, height, width in peaks(values)
        if width <= measure.widest * motion.fps and (not measure.full or values[k] > FULL)
    ]
    least = 0.35 if measure.full else PULSE_FLOOR
    found: list[Occurrence] = []
    free = set(range(len(beats)))
    while free and len(found) < MOST:
        first = max(free, key=lambda n: beats[n][1])
        floor = max(least, PULSE_SHARE * beats[first][1])
        if beats[first][1] < floor:
            break
        members = [first]
        for way in (1, -1):
            n = first + way
            while n in free and abs(times[beats[n][0]] - times[beats[members[-1 if way > 0 else 0]][0]]) <= pause:
                if beats[n][1] >= floor:
                    members = [*members, n] if way > 0 else [n, *members]
                n += way
        free -= set(range(members[0], members[-1] + 1))
        heights = [beats[n][1] for n in members]
        strength = max(heights) if measure.full else float(np.median(heights))
        count = len(members)
        enough = count == measure.times if measure.times else count >= max(measure.least, 1)
        if _BOTH_WAYS.search(measure.expression) and not measure.least and not _rises(values, beats, members):
            continue
        if enough and (measure.full or strength >= least_strength(measure)):
            start, end = (float(times[beats[members[n]][0]]) for n in (0, -1))
            found.append(Occurrence(side, start, 0.5 * (start + end), end, strength, count))
    return found


def _rises(values: np.ndarray, beats: list[tuple[int, float, int]], members: list[int]) -> bool:
    """Whether a train of beats stands out from what is before it or after it.

    Between two nods the head is up, but it has not nodded upwards: it was there before.
    """
    (first, _, first_width), (last, _, last_width) = beats[members[0]], beats[members[-1]]
    before = values[max(first - 3 * first_width, 0) : max(first - first_width, 0)]
    after = values[last + last_width : last + 3 * last_width]
    levels = [float(part.max()) for part in (before, after) if len(part) >= 3]
    top = float(np.median([values[beats[n][0]] for n in members]))
    height = float(np.median([beats[n][1] for n in members]))
    return not levels or top - min(levels) >= RISES * height


def _swings(motion: FaceMotion, measure: Measure, side: str, values: np.ndarray, pause: float) -> list[Occurrence]:
    times = times_of(motion)
    corners = _corners(values, PULSE_FLOOR)
    sizes = np.abs(np.diff(values[corners]))
    seconds = np.diff(times[corners])
    found: list[Occurrence] = []
    free = np.ones(len(sizes), bool)
    while free.any() and len(found) < MOST:
        top = int(np.where(free, sizes, -1).argmax())
        like = free & (sizes >= SIMILAR * sizes[top])
        start, end = _run_around(like & (seconds <= pause), top) if seconds[top] <= pause else (top, top + 1)
        # A first or last swing may have rested before or after.
        start -= int(start > 0 and bool(like[start - 1]))
        end += int(end < len(sizes) and bool(like[end]))
        free[start:end] = False
        turns = end - start - 1
        low, high = values[corners[start : end + 1]].min(), values[corners[start : end + 1]].max()
        strength = float(high - low) / 2
        if turns >= max(measure.least, 2) and strength >= least_strength(measure):
            first, last = float(times[corners[start]]), float(times[corners[end]])
            middle = float(times[corners[start + 1 : end]].mean())
            found.append(Occurrence(side, first, middle, last, strength, turns // 2))
    return found


def _corners(values: np.ndarray, least: float) -> np.ndarray:
    """Indices of the ends and of the turning points between swings of at least `least`."""
    corners = [0]
    low = high = way = 0
    for k, value in enumerate(values):
        low = k if value < values[low] else low
        high = k if value > values[high] else high
        if way <= 0 and value > values[low] + least:
            corners += [low] if low > corners[-1] else []
            way, high = 1, k
        elif way >= 0 and value < values[high] - least:
            corners += [high] if high > corners[-1] else []
            way, low = -1, k
    if corners[-1] != len(values) - 1:
        corners.append(len(values) - 1)
    return np.array(corners)


def _resting(motion: FaceMotion, measure: Measure, throughout: bool) -> list[Occurrence]:
    whole = float(times_of(motion)[-1])
    window = whole if throughout else min(STILL_SECONDS, whole)
    found: list[Occurrence] = []
    for start in np.arange(0.0, max(whole - window, 0.0) + 1e-6, 0.2):
        event = {"start": start, "end": start + window, "side": "", "level": "slight"}
        if not rests(motion, measure, event):
            continue
        if found and start <= found[-1].end:
            first = found[-1].start
            found[-1] = Occurrence("", first, 0.5 * (first + start + window), start + window, 1.0)
        else:
            found.append(Occurrence("", start, start + 0.5 * window, start + window, 1.0))
    return found
