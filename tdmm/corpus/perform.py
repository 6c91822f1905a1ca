"""Perform a program: from scheduled events to the curves and the head of a person."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from tdmm.corpus import idle
from tdmm.corpus.columns import COLUMNS, CURVES, GAZE_DOWN, GAZE_SIDE, GAZE_UP, IN_CURVES, INDEX, N_CURVES
from tdmm.corpus.keyframes import follow
from tdmm.corpus.lexicon import Behaviour, occupied_by
from tdmm.corpus.person import Person, draw_person
from tdmm.corpus.program import Program
from tdmm.corpus.schedule import LONGEST_CLIP, Schedule, Timed, schedule
from tdmm.corpus.speech import speak
from tdmm.motion import CANONICAL_FPS

# The order of the built-in head's expressions is ARKit's alphabetical one.
EXPRESSION_NAMES = tuple(
    sorted([*CURVES, *(f"eyeLook{way}{side}" for way in ("Down", "In", "Out", "Up") for side in ("Left", "Right"))])
)
_OPPOSED = (("jawLeft", "jawRight"), ("mouthLeft", "mouthRight"))
_YAW, _PITCH, _CROSS = INDEX["gazeYaw"], INDEX["gazePitch"], INDEX["eyeCross"]
_HEAD = slice(INDEX["headPitch"], INDEX["headZ"] + 1)
_RIGHT = np.array([number for name, number in INDEX.items() if name.endswith("Right") and number < N_CURVES])
# How much of an emotion fades where an action needs the same part of the face.
GIVES_WAY = 0.9
SPEECH_TAKES = 0.45  # the same of the lips that talk
# Eyes turn no further than this in their sockets, degrees.
EYE_LIMIT = np.array([25.0, 22.0])


@dataclass(frozen=True)
class Performance:
    """expression: (T, 52) float32 of EXPRESSION_NAMES; head: (T, 6) float32 degrees pitch, yaw, roll and
    millimetres x, y, z; schedule: what happens when."""

    expression: np.ndarray
    head: np.ndarray
    schedule: Schedule


def perform(
    program: Program,
    random: np.random.Generator,
    *,
    person: Person | None = None,
    fps: float = CANONICAL_FPS,
    longest: float = LONGEST_CLIP,
) -> Performance:
    """One performance of a program; another generator state gives another one, by another person unless `person`."""
    person = person or draw_person(random)
    plan = schedule(program, person, random, longest)
    times = np.arange(round(plan.duration * fps)) / fps
    values, emotions, reflex = (np.zeros((len(times), width), np.float32) for width in (len(COLUMNS), len(COLUMNS), 2))
    taken = np.zeros_like(values)
    for timed in plan.events:
        part, presence = _event_curves(timed, times, person, random)
        behaviour = timed.event.behaviour
        if behaviour.kind == "emotion":
            _add(emotions, part)
            continue
        if behaviour.keys is not None and behaviour.kind == "head" and not behaviour.keys[1][:, [_YAW, _PITCH]].any():
            reflex += part[:, [INDEX["headYaw"], INDEX["headPitch"]]]
        if behaviour.kind == "speech" and behaviour.pose is not None:
            # What else the face does while it talks gives way to what it is asked to do, and colours what it feels.
            manner = presence[:, None] * behaviour.facing(behaviour.pose, "") * np.float32(timed.gain)
            # So do eyes that read.
            manner[:, [_YAW, _PITCH]] += part[:, [_YAW, _PITCH]]
            part[:, [_YAW, _PITCH]] = 0
            _add(emotions, manner)
            _add(values, part)
            np.maximum(taken, SPEECH_TAKES * presence[:, None] * _columns_of(behaviour), out=taken)
            continue
        _add(values, part)
        np.maximum(taken, presence[:, None] * _columns_of(behaviour), out=taken)
    emotions *= 1 - GIVES_WAY * taken
    _add(values, emotions)
    _liveliness(values, reflex, taken, plan, times, person, random)
    return Performance(_to_arkit(values, person), values[:, _HEAD].astype(np.float32), plan)


def _event_curves(
    timed: Timed, times: np.ndarray, person: Person, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """(T, C) what an event adds, and (T,) 0..1 how far it is there."""
    behaviour, event = timed.event.behaviour, timed.event
    side = event.side
    if behaviour.random_side and not side:
        side = ("left", "right")[random.integers(2)]
    if behaviour.keys is not None:
        return _beat_curves(timed, side, times, random)
    assert behaviour.pose is not None
    pose = behaviour.facing(behaviour.pose, side) * np.float32(timed.gain)
    # A little unlike the template, each time.
    pose = pose * random.uniform(0.9, 1.0, len(pose)).astype(np.float32)
    start, peak, decline, end = timed.start, timed.peak, timed.decline, timed.end
    over = 1 + person.overshoot * (0 if behaviour.full or behaviour.kind in ("emotion", "gaze") else 1)
    settle = min(peak + 0.25, 0.5 * (peak + decline))
    shape = np.array([0.0, over, 1.0, random.uniform(0.92, 1.0), 0.0], np.float32)
    presence = follow(times, np.array([start, peak, settle, decline, end]), shape[:, None])[:, 0]
    part = presence[:, None] * pose
    if behaviour.kind == "head" and pose[INDEX["headYaw"]] and event.level != "slight":
        part[:, _YAW] += _lead(pose[INDEX["headYaw"]], times, start, peak)
    if behaviour.tremor is not None:
        (slow, fast), amplitude = behaviour.tremor
        angle = 2 * np.pi * random.uniform(slow, fast) * times + random.uniform(0, 6.28)
        swell = np.float32(timed.gain) * presence * (0.75 + 0.25 * np.sin(0.9 * times + random.uniform(0, 6.28)))
        part += (np.sin(angle) * swell).astype(np.float32)[:, None] * amplitude
    if behaviour.kind == "speech":
        part = speak(behaviour, times, start, min(end, times[-1]), timed.gain, random)
    return part, presence.clip(0, 1)


def _beat_curves(
    timed: Timed, side: str, times: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    behaviour = timed.event.behaviour
    assert behaviour.keys is not None
    assert timed.beats is not None
    at, rows = behaviour.keys
    rows = behaviour.facing(rows, side) * np.float32(timed.gain)
    count = len(timed.beats)
    moments = (timed.beats[:, :1] + at * timed.beats[:, 1:]).ravel()
    sizes = np.ones((count, 1, 1), np.float32)
    if not behaviour.full:
        sizes = random.uniform(0.88, 1.0, (count, 1, 1)).astype(np.float32)
    keys = (sizes * rows).reshape(-1, rows.shape[1])
    part = follow(times, np.maximum.accumulate(moments), keys)
    if behaviour.full:
        _show_peaks(part, timed.beats, at, rows, times)
    presence = np.array([0.0, 1.0, 1.0, 0.0], np.float32)
    edge = min(0.15, 0.25 * (timed.end - timed.start))
    marks = np.array([timed.start - edge, timed.start, timed.end, timed.end + edge])
    return part, follow(times, marks, presence[:, None])[:, 0]


def _show_peaks(part: np.ndarray, beats: np.ndarray, at: np.ndarray, rows: np.ndarray, times: np.ndarray) -> None:
    """The frame nearest to the height of a beat shows it in full: 25 frames a second are few for a blink."""
    height = int(np.abs(rows).sum(1).argmax())
    nearest = np.abs(times[:, None] - (beats[:, 0] + at[height] * beats[:, 1])).argmin(0)
    part[nearest] = rows[height]


def _lead(turn: float, times: np.ndarray, start: float, peak: float) -> np.ndarray:
    """(T,) degrees by which the eyes are ahead of a head that turns by `turn`: they jump, the head catches up."""
    ahead = np.sign(turn) * min(abs(turn), 14.0)
    quick = idle.saccade_seconds(ahead)
    marks = np.array([start - 0.08, start - 0.08 + quick, start + 0.3 * (peak - start), peak])
    return follow(times, marks, np.array([[0.0], [ahead], [ahead], [0.0]], np.float32))[:, 0]


def _add(values: np.ndarray, part: np.ndarray) -> None:
    """Curves fill up what room is left to 1; angles add up."""
    curves = values[:, IN_CURVES]
    curves += part[:, IN_CURVES] * (1 - curves)
    values[:, IN_CURVES.stop :] += part[:, IN_CURVES.stop :]


@cache
def _columns_of(behaviour: Behaviour) -> np.ndarray:
    """(C,) 1 where a behaviour needs the column for itself."""
    if behaviour.fixed and behaviour.id != "keep_still":
        return np.array([1.0 if name.startswith("gaze") else 0.0 for name in COLUMNS], np.float32)
    taken = np.zeros(len(COLUMNS), np.float32)
    for name, number in INDEX.items():
        taken[number] = float(any(thing in behaviour.occupies for thing in occupied_by(name)))
    return taken


def _liveliness(
    values: np.ndarray,
    reflex: np.ndarray,
    taken: np.ndarray,
    plan: Schedule,
    times: np.ndarray,
    person: Person,
    random: np.random.Generator,
) -> None:
    """Add what goes on by itself, in place."""
    ids = {timed.event.id for timed in plan.events}
    denied = {event.id for event, _, _ in plan.absent}
    still = np.zeros(len(times), np.float32)
    hold = np.zeros(len(times), np.float32)
    for timed in plan.events:
        if timed.event.id in ("keep_still", "look_at_camera", "stare"):
            marks = np.array([timed.start, timed.peak, timed.decline, timed.end])
            there = follow(times, marks, np.array([[0.0], [1], [1], [0]], np.float32))[:, 0]
            which = still if timed.event.id == "keep_still" else hold
            np.maximum(which, there, out=which)
    values[:, _HEAD] += idle.sway(person, times, 0.0, random)
    if still.any():
        # Held where it is when the stillness begins.
        kept = values[int(np.argmax(still > 0.02)), _HEAD]
        values[:, _HEAD] += (kept - values[:, _HEAD]) * (0.95 * still)[:, None]
    looks = idle.fixations(times, idle.SPREAD, random).astype(np.float32)
    free = 1 - np.maximum(taken[:, [_YAW, _PITCH]] * 0.75, 0.85 * hold[:, None])
    values[:, [_YAW, _PITCH]] += looks * free - person.steady * reflex
    if hold.any():
        # Eyes that stay on the viewer turn against the head.
        turned = -values[:, [INDEX["headYaw"], INDEX["headPitch"]]] + 0.15 * looks
        values[:, [_YAW, _PITCH]] += (turned - values[:, [_YAW, _PITCH]]) * hold[:, None]
    values[:, :N_CURVES] += person.rest[:N_CURVES] + idle.tremor(times, random)[:, :N_CURVES]
    if not (ids & _COUNTS_LIDS or denied & {"blink", "close_eyes", "double_blink"}):
        speaking = any(timed.event.behaviour.kind == "speech" for timed in plan.events)
        quiet = [(t.start, t.end) for t in plan.events if "lids" in t.event.behaviour.occupies]
        lids = idle.blinks(person, times, quiet, 1.4 if speaking else 1.0, random)
        lids = np.maximum(lids, _blinks_with_gaze(values, times, quiet, lids, random))
        for column in (INDEX["eyeBlinkLeft"], INDEX["eyeBlinkRight"]):
            values[:, column] = np.maximum(values[:, column], lids)


_COUNTS_LIDS = {"blink", "double_blink", "wink", "flutter_lashes", "stare"}


def _blinks_with_gaze(
    values: np.ndarray,
    times: np.ndarray,
    quiet: list[tuple[float, float]],
    closed: np.ndarray,
    random: np.random.Generator,
) -> np.ndarray:
    """(T,) lids that close on one in three of the large shifts of head and eyes together (Evinger et al., 1994), unless
    they are `closed` (T,) by then."""
    turn = values[:, INDEX["headYaw"]] + values[:, _YAW]
    lids = np.zeros(len(times), np.float32)
    if len(times) < 8:
        return lids
    change = np.abs(turn[6:] - turn[:-6])
    middle = int(change.argmax()) + 3
    moment = times[middle]
    held = any(a - 0.35 < moment < b + 0.35 for a, b in quiet)
    if change.max() > 18 and random.random() < 0.33 and not held and not closed[np.abs(times - moment) < 0.7].any():
        since = times - moment
        shape = idle.ease(1 + (since + 0.02) / 0.09) * (1 - idle.ease((since - 0.02) / 0.16))
        lids = shape.astype(np.float32)
    return lids


def _to_arkit(values: np.ndarray, person: Person) -> np.ndarray:
    """(T, 52) expressions: what a face can show of the columns. Gaze becomes the eight eyeLook curves."""
    curves = values[:, :N_CURVES] * person.balance[:N_CURVES]
    full = values[:, :N_CURVES] > 0.9
    curves = np.where(full, values[:, :N_CURVES], curves)
    if abs(person.lag) > 0.002 and len(curves) > 1:
        # The right half a little later (or, with another sign, earlier): by a part of a frame.
        part = min(abs(person.lag) * CANONICAL_FPS, 0.8)
        late = curves[:, _RIGHT]
        neighbour = np.roll(late, 1 if person.lag > 0 else -1, axis=0)
        neighbour[0 if person.lag > 0 else -1] = late[0 if person.lag > 0 else -1]
        quick = np.isin(_RIGHT, [INDEX["eyeBlinkRight"], INDEX["eyeSquintRight"]])
        curves[:, _RIGHT] = np.where(quick, late, late + part * (neighbour - late))
    curves = curves.clip(0, 1)
    for first, second in _OPPOSED:
        both = np.minimum(curves[:, INDEX[first]], curves[:, INDEX[second]])
        curves[:, INDEX[first]] -= both
        curves[:, INDEX[second]] -= both
    for side in ("Left", "Right"):
        curves[:, INDEX[f"eyeWide{side}"]] *= 1 - curves[:, INDEX[f"eyeBlink{side}"]]
    jaw = curves[:, INDEX["jawOpen"]]
    curves[:, INDEX["mouthClose"]] = np.minimum(curves[:, INDEX["mouthClose"]], jaw)
    curves[:, INDEX["cheekPuff"]] *= 1 - 0.7 * jaw

    found = np.empty((len(values), len(EXPRESSION_NAMES)), np.float32)
    found[:, _CURVES_AT] = curves
    yaw = values[:, _YAW].clip(-EYE_LIMIT[0], EYE_LIMIT[0]) / GAZE_SIDE
    pitch = values[:, _PITCH].clip(-GAZE_UP, EYE_LIMIT[1])
    cross = values[:, _CROSS].clip(0, 1)
    left, right = (yaw - cross).clip(-1, 1), (yaw + cross).clip(-1, 1)
    found[:, _AT["eyeLookOutLeft"]], found[:, _AT["eyeLookInLeft"]] = left.clip(0), (-left).clip(0)
    found[:, _AT["eyeLookInRight"]], found[:, _AT["eyeLookOutRight"]] = right.clip(0), (-right).clip(0)
    for side in ("Left", "Right"):
        found[:, _AT[f"eyeLookDown{side}"]] = (pitch / GAZE_DOWN).clip(0, 1)
        found[:, _AT[f"eyeLookUp{side}"]] = (-pitch / GAZE_UP).clip(0, 1)
    return found


_AT = {name: number for number, name in enumerate(EXPRESSION_NAMES)}
_CURVES_AT = np.array([_AT[name] for name in CURVES])
