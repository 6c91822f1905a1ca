"""Says from a facial motion alone whether a behaviour is shown: a second opinion on the corpus, numpy only.

Nothing of tdmm.corpus is used: `signs` says by which channels each behaviour is told.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tdmm.evaluate.events.signs import FULL, LEAST, MEASURES, Measure
from tdmm.motion import DEFAULT_TRANSLATION, FaceMotion

Event = Mapping[str, Any]

PULSE_FLOOR = 0.15  # the least prominence of a pulse, in full strengths
PULSE_SHARE = 0.45  # and against the most prominent one of the same window
SLACK = 0.2  # seconds that an event may be off
ABSENT = {"held": 0.35, "pulses": 0.45, "cycles": 0.45, "talk": 0.5}

GAZE_SIDEWAYS, GAZE_UP, GAZE_DOWN = 25.0, 17.0, 24.0  # degrees of an eye whose eyeLook curve is 1
ANGLES = {"pitch": 0, "yaw": 1, "roll": 2}
SHIFTS = {"x": 0, "y": 1, "z": 2}
MIRRORED = ("yaw", "roll", "x", "gazeYaw", "diff:")
LIPS = ("mouthClose", "mouthPucker", "mouthFunnel", "mouthLowerDown", "mouthUpperUp", "mouthPress", "mouthRollLower")
LINE_OF_SIGHT = (("yaw", "gazeYaw"), ("pitch", "gazePitch"))
NEUTRAL = ("browDown", "browInnerUp", "browOuterUp", "mouthSmile", "mouthFrown", "noseSneer", "eyeWide", "cheekSquint")
STILL = ("stare", "keep_still", "contact", "neutral")


# -- channels ---------------------------------------------------------------------------------------------


def times_of(motion: FaceMotion) -> np.ndarray:
    return np.asarray(motion.timestamps - motion.timestamps[0])


def window(motion: FaceMotion, start: float, end: float) -> np.ndarray:
    """The frames (N,) from start to end seconds; at least the one nearest to the start."""
    times = times_of(motion)
    frames = np.flatnonzero((times >= start - 1e-6) & (times <= end + 1e-6))
    return frames if len(frames) else np.array([np.abs(times - start).argmin()])


def smooth(values: np.ndarray, seconds: float, fps: float) -> np.ndarray:
    """Moving average (T,) over `seconds`; the ends go on."""
    half = max(round(seconds * fps / 2), 1)
    padded = np.pad(values, half, mode="edge")
    return np.convolve(padded, np.full(2 * half + 1, 1 / (2 * half + 1)), mode="valid")


def _amplitude(values: np.ndarray, fps: float, slower: float, over: float) -> np.ndarray:
    """Amplitude (T,) of an oscillation: what is left without the average over `slower` seconds, as a sine."""
    rest = values - smooth(values, slower, fps)
    return np.sqrt(2 * smooth(rest**2, over, fps))


def _curve(motion: FaceMotion, name: str) -> np.ndarray:
    known = name in motion.expression_names
    return motion.expression_column(name).astype(np.float64) if known else np.zeros(len(motion))


def _both_sides(motion: FaceMotion, stem: str) -> tuple[np.ndarray, np.ndarray]:
    """The curves of a stem on the left and on the right; twice the same one where it has no sides."""
    if stem in motion.expression_names:
        return _curve(motion, stem), _curve(motion, stem)
    return _curve(motion, stem + "Left"), _curve(motion, stem + "Right")


def _gaze(motion: FaceMotion, axis: str) -> np.ndarray:
    """Degrees that both eyes look to the subject's left (gazeYaw) or down (gazePitch)."""
    if axis == "gazeYaw":
        towards = _curve(motion, "eyeLookOutLeft") + _curve(motion, "eyeLookInRight")
        return GAZE_SIDEWAYS / 2 * (towards - _curve(motion, "eyeLookInLeft") - _curve(motion, "eyeLookOutRight"))
    down, up = (np.mean(_both_sides(motion, stem), axis=0) for stem in ("eyeLookDown", "eyeLookUp"))
    return np.asarray(GAZE_DOWN * down - GAZE_UP * up)


def _talk(motion: FaceMotion) -> np.ndarray:
    """Jaw and lips that both move at the pace of syllables; about 1 for clear speech."""
    pace = lambda values: _amplitude(smooth(values, 0.08, motion.fps), motion.fps, 0.7, 1.0)  # noqa: E731
    jaw = pace(_curve(motion, "jawOpen")) / 0.15
    lips = np.sqrt(sum(pace(np.mean(_both_sides(motion, stem), axis=0)) ** 2 for stem in LIPS)) / 0.3
    return np.asarray(np.sqrt(jaw * lips))


def _channel(motion: FaceMotion, name: str, side: str) -> np.ndarray:
    """A channel (T,) in its own unit, see the head of this file."""
    sign = -1.0 if side == "right" and name.startswith(MIRRORED) else 1.0
    if name in ANGLES:
        return sign * np.degrees(motion.rotation[:, ANGLES[name]].astype(np.float64))
    if name in SHIFTS:
        values = 1000.0 * (motion.translation[:, SHIFTS[name]] - DEFAULT_TRANSLATION[SHIFTS[name]])
        far = float(np.median(values))  # a clip taken elsewhere has a resting place of its own
        return np.asarray(sign * (values if abs(far) < 100 else values - far), np.float64)
    if name in ("gazeYaw", "gazePitch"):
        return sign * _gaze(motion, name)
    if name == "talk":
        return _talk(motion)
    way, _, stem = name.rpartition(":")
    if way == "abs":
        return np.abs(_channel(motion, stem, ""))
    if way == "fast":
        return _amplitude(_channel(motion, stem, side), motion.fps, 0.36, 0.6)
    if way == "fine":
        values = _channel(motion, stem, side)
        return values - smooth(values, 0.24, motion.fps)
    if way == "rate":
        values = _channel(motion, stem, side)
        return np.gradient(values, times_of(motion)) if len(values) > 1 else 0 * values
    left, right = _both_sides(motion, stem)
    if way == "both":
        return np.minimum(left, right)
    if way == "one":
        return np.abs(left - right)
    if way == "diff":
        return sign * (left - right)
    if not side or stem in motion.expression_names:
        return (left + right) / 2
    mine, other = (left, right) if side == "left" else (right, left)
    return np.minimum(mine, 2 * (mine - other))


# -- evidence ---------------------------------------------------------------------------------------------


def _term(motion: FaceMotion, term: str, side: str, resting: bool) -> np.ndarray:
    """A term's share of its full strength (T,). resting: a head or gaze that rests the other way starts from there."""
    name, full = term.split()
    sign = -1.0 if name.startswith("-") else 1.0
    name = name.lstrip("-")
    values = sign * _channel(motion, name, side)
    if resting and (name in ANGLES or name.startswith("gaze")):
        values = values - np.clip(np.median(values), -8, 0)
    return values / float(full)


def evidence(motion: FaceMotion, expression: str, side: str, resting: bool = False) -> np.ndarray:
    def mean(terms: str) -> np.ndarray:
        return np.mean([_term(motion, term, side, resting) for term in terms.split("+")], axis=0)

    groups = [np.max([mean(terms) for terms in group.split("|")], axis=0) for group in expression.split("&")]
    return np.asarray(np.min(groups, axis=0))


def signal(motion: FaceMotion, measure: Measure, side: str) -> np.ndarray:
    """The evidence (T,) of a behaviour, not yet clipped."""
    if measure.kind == "contact":
        yaw, pitch = (_channel(motion, head, "") + _gaze(motion, eyes) for head, eyes in LINE_OF_SIGHT)
        return 1 - np.hypot(yaw, pitch) / 20
    if measure.kind == "neutral":
        return np.asarray(1 - np.max([_channel(motion, name, "") for name in NEUTRAL], axis=0) / 0.3)
    if measure.kind == "keep_still":
        off = [np.abs(values - smooth(values, 1.2, motion.fps)) for values in _pose(motion)]
        return np.asarray(1 - np.max(off, axis=0) / 3)
    return evidence(motion, measure.expression, side, resting=measure.kind == "held")


def _pose(motion: FaceMotion) -> list[np.ndarray]:
    """The six curves of the head: degrees, and millimetres / 4, about as visible."""
    return [_channel(motion, n, "") for n in ANGLES] + [_channel(motion, n, "") / 4 for n in SHIFTS]


def sides_of(measure: Measure, side: str) -> tuple[str, ...]:
    return ("left", "right") if measure.sided and not side else (side,)


def activation(motion: FaceMotion, behaviour_id: str, side: str = "") -> np.ndarray:
    """Evidence (T,) over time that a behaviour is shown: 0 none, 1 full strength."""
    measure = MEASURES[behaviour_id]
    found = []
    for one in sides_of(measure, side):
        values = signal(motion, measure, one)
        if measure.kind == "pulses":
            values = values - np.percentile(values, 20)
        elif measure.kind == "cycles":
            values = np.abs(values - np.median(values))
        found.append(values)
    return np.clip(np.max(found, axis=0), 0, None)


# -- counting ---------------------------------------------------------------------------------------------


def peaks(values: np.ndarray) -> list[tuple[int, float, int]]:
    """The peaks inside a curve: (index, prominence, width where it is down by 40 % of the prominence)."""
    found = []
    for k in np.flatnonzero((values[1:-1] > values[:-2]) & (values[1:-1] >= values[2:])) + 1:
        higher = np.flatnonzero(values > values[k])
        before = higher[higher < k].max(initial=-1) + 1
        after = higher[higher > k].min(initial=len(values))
        prominence = values[k] - max(values[before : k + 1].min(), values[k:after].min())
        low = np.flatnonzero(values < values[k] - 0.4 * prominence)
        width = low[low > k].min(initial=len(values)) - low[low < k].max(initial=-1) - 1
        found.append((int(k), float(prominence), int(width)))
    return found


def _pulses(motion: FaceMotion, measure: Measure, side: str, start: float, end: float) -> list[float]:
    """The prominences of the pulses in a window, whatever goes on before and after."""
    values = signal(motion, measure, side)[window(motion, start, end)]
    found = [
        (k, height)
        for k, height, width in peaks(values)
        if width <= measure.widest * motion.fps and (not measure.full or values[k] > FULL)
    ]
    floor = max(0.35 if measure.full else PULSE_FLOOR, PULSE_SHARE * max((h for _, h in found), default=0.0))
    return [height for _, height in found if height >= floor]


def turns_of(values: np.ndarray) -> int:
    """Turning points between swings of at least 30 % of the range."""
    least = max(PULSE_FLOOR, 0.3 * float(np.ptp(values)))
    low = high = values[0]
    way = turns = 0
    for value in values:
        low, high = min(low, value), max(high, value)
        if way <= 0 and value > low + least:
            turns += way < 0
            way, high = 1, value
        elif way >= 0 and value < high - least:
            turns += way > 0
            way, low = -1, value
    return turns


def count(motion: FaceMotion, behaviour_id: str, side: str, start: float, end: float) -> int:
    """How many times a behaviour is done between start and end seconds; what is held counts as 0 or 1."""
    measure = MEASURES[behaviour_id]
    if measure.kind == "pulses":
        return max(len(_pulses(motion, measure, one, start, end)) for one in sides_of(measure, side))
    frames = window(motion, start, end)
    if measure.kind == "cycles":
        return turns_of(signal(motion, measure, side)[frames]) // 2
    return int(np.percentile(activation(motion, behaviour_id, side)[frames], 80) >= measure.threshold("slight"))


# -- verdicts ---------------------------------------------------------------------------------------------


def rests(motion: FaceMotion, measure: Measure, event: Event) -> bool:
    """Whether nothing of what should rest moves from start to end."""
    frames = window(motion, event["start"], event["end"])
    spread = lambda values: float(np.ptp(np.percentile(values[frames], [5, 95])))  # noqa: E731
    if measure.kind == "keep_still":
        return max(spread(values) for values in _pose(motion)) < 3
    if measure.kind == "stare":
        # The eyes rest in the head, or on a thing while the head moves.
        eyes = [_gaze(motion, axis) for axis in ("gazeYaw", "gazePitch")]
        head = [_pose(motion)[1], _pose(motion)[0]]
        in_space = [eye + turn for eye, turn in zip(eyes, head, strict=True)]
        steady = min(max(map(spread, eyes)), max(map(spread, in_space))) < 6
        blinks = count(motion, "blink", "", event["start"] + 0.1, event["end"] - 0.1)
        return steady and not blinks and bool(np.median(signal(motion, measure, "")[frames]) >= LEAST["slight"])
    return bool(np.percentile(signal(motion, measure, "")[frames], 60) >= 0.35)


def _one_side_shows(motion: FaceMotion, event: Event, side: str) -> bool:
    measure, threshold = MEASURES[event["id"]], MEASURES[event["id"]].threshold(event["level"])
    start, end = event["start"] - SLACK, event["end"] + SLACK
    frames = window(motion, start, end)
    for expression in measure.also:
        if evidence(motion, expression, side, resting=True)[frames].max() < threshold:
            return False
    if measure.kind == "pulses":
        strengths = _pulses(motion, measure, side, start, end)
        if measure.counted or measure.times:
            right = len(strengths) == (measure.times or event["count"])
        else:
            right = len(strengths) >= measure.least
        return right and bool(strengths) and (measure.full or float(np.median(strengths)) >= threshold)
    values = signal(motion, measure, side)[frames]
    if measure.kind == "cycles":
        turns = turns_of(values)
        right = turns >= measure.least if measure.least else turns // 2 == event["count"]
        return right and float(np.ptp(values)) / 2 >= threshold
    return bool(np.percentile(values, 80) >= threshold)


def not_shown(motion: FaceMotion, event: Event) -> bool:
    """Whether a behaviour is not to be seen in the whole clip; or, where it is said of a part of it
    (`throughout` is False), from `start` to `end`, less the time that what comes before takes to fade."""
    measure = MEASURES[event["id"]]
    start, end = 0.0, motion.duration
    if not event.get("throughout", True):
        start = event["start"] + 0.35
        end = max(event["end"] - 0.2, start + 0.2)
    frames = window(motion, start, end)
    if measure.kind in STILL:
        return not rests(motion, measure, event)
    for side in sides_of(measure, event["side"]):
        if measure.kind == "pulses":
            strengths = _pulses(motion, measure, side, start, end)
            if strengths and (measure.full or max(strengths) >= ABSENT["pulses"]):
                return False
        elif measure.kind == "cycles":
            values = signal(motion, measure, side)[frames]
            if turns_of(values) > 1 and np.ptp(values) / 2 >= ABSENT["cycles"]:
                return False
        else:
            values = smooth(signal(motion, measure, side), 0.3, motion.fps)[frames]
            if values.max() >= (FULL if measure.full else ABSENT[measure.kind]):
                return False
    return True


def shows(motion: FaceMotion, event: Event) -> bool:
    """Whether an event is shown: at its time, on its side, as often as it says and not weaker than its level.

    event: id, kind, side (left, right or empty), count, level, start, end (seconds), absent (it must not be shown).
    """
    measure = MEASURES[event["id"]]
    if event.get("absent"):
        return not_shown(motion, event)
    if measure.kind in STILL:
        return rests(motion, measure, event)
    return any(_one_side_shows(motion, event, side) for side in sides_of(measure, event["side"]))


def _middle(motion: FaceMotion, event: Event) -> float:
    """When an event is at its strongest: the centre of its activation, half a second around its time included."""
    frames = window(motion, event["start"] - 0.5, event["end"] + 0.5)
    values = activation(motion, event["id"], event["side"])[frames]
    weights = np.where(values >= values.max() / 2, values, 0)
    times = times_of(motion)[frames]
    return float((weights * times).sum() / weights.sum()) if weights.sum() > 0 else float(times.mean())


def misses(motion: FaceMotion, events: Sequence[Event]) -> list[Event]:
    """The events that are not shown, or not after the one that ends before they start."""
    missed = [event for event in events if not shows(motion, event)]
    timed = sorted(
        (e for e in events if not e.get("absent") and e not in missed and MEASURES[e["id"]].kind not in STILL),
        key=lambda event: (event["start"], event["end"]),
    )
    for first, second in itertools.pairwise(timed):
        if first["end"] <= second["start"] + 1e-6 and _middle(motion, first) >= _middle(motion, second):
            missed.append(second)
    return missed
