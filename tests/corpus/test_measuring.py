"""The measuring program, on motions made by hand: it tells what is shown, on which side and how often, and when."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tdmm
from tdmm.evaluate.events.measure import activation, count, misses, shows
from tdmm.evaluate.events.signs import MEASURES
from tdmm.motion import FaceMotion, make_motion

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DATA = Path(tdmm.__file__).parent / "corpus" / "data"
FPS = 25.0
SIDED = """browDown browOuterUp cheekSquint eyeBlink eyeLookDown eyeLookIn eyeLookOut eyeLookUp eyeSquint eyeWide jaw
    mouth mouthDimple mouthFrown mouthLowerDown mouthPress mouthSmile mouthStretch mouthUpperUp noseSneer"""
SINGLE = """browInnerUp cheekPuff jawForward jawOpen mouthClose mouthFunnel mouthPucker mouthRollLower mouthRollUpper
    mouthShrugLower mouthShrugUpper tongueOut"""
NAMES = [stem + side for stem in SIDED.split() for side in ("Left", "Right")] + SINGLE.split()
POSE = ("pitch", "yaw", "roll", "x", "y", "z")
Keys = dict[str, list[tuple[float, float]]]


def lexicon() -> dict[str, dict[str, Any]]:
    """Every behaviour of the five files by its id."""
    found: dict[str, dict[str, Any]] = {}
    for name in ("emotions", "actions", "head", "gaze", "speech"):
        found |= tomllib.loads((DATA / f"{name}.toml").read_text(encoding="utf-8"))
    return found


def acted(seconds: float, keys: Keys) -> FaceMotion:
    """A face that follows keyframes (seconds, value), with the small unrest of a living one.

    A key is a blendshape, a stem for both sides, gazeYaw or gazePitch in degrees, or one of POSE in degrees and mm.
    """
    times = np.arange(round(seconds * FPS)) / FPS
    rng = np.random.default_rng(0)
    curves = {name: np.abs(rng.normal(0, 0.005, len(times))) for name in NAMES}
    pose = {name: 0.4 * np.sin(2 * np.pi * (0.31 * times + k / 6)) for k, name in enumerate(POSE)}
    for name, points in keys.items():
        values = np.interp(times, *zip(*points, strict=True))
        if name in POSE:
            pose[name] = pose[name] + values
        elif name == "gazeYaw":
            for curve, part in (("Out", values), ("In", -values)):
                curves[f"eyeLook{curve}Left"] += np.clip(part / 25, 0, 1)
            for curve, part in (("In", values), ("Out", -values)):
                curves[f"eyeLook{curve}Right"] += np.clip(part / 25, 0, 1)
        elif name == "gazePitch":
            for side in ("Left", "Right"):
                curves["eyeLookDown" + side] += np.clip(values / 24, 0, 1)
                curves["eyeLookUp" + side] += np.clip(-values / 17, 0, 1)
        else:
            for curve in (name,) if name in curves else (name + "Left", name + "Right"):
                curves[curve] = curves[curve] + values
    rotation = np.radians(np.stack([pose["pitch"], pose["yaw"], pose["roll"]], axis=1))
    translation = np.array([0.0, -0.03, -0.75]) + np.stack([pose[n] for n in ("x", "y", "z")], axis=1) / 1000
    expression = np.clip(np.stack([curves[name] for name in NAMES], axis=1), 0, 1)
    return make_motion(
        expression, NAMES, face_model="hand", face_model_sha256="0" * 64, rotation=rotation, translation=translation
    )


def hold(value: float, start: float = 1.0, end: float = 2.5) -> list[tuple[float, float]]:
    return [(start, 0), (start + 0.25, value), (end - 0.25, value), (end, 0)]


def beats(value: float, times: int, period: float, start: float = 1.0) -> list[tuple[float, float]]:
    """Up to the value and back, again and again."""
    points = [(start, 0.0)]
    for k in range(times):
        points += [(start + (k + 0.5) * period, value), (start + (k + 1) * period, 0.0)]
    return points


def swings(value: float, times: int, period: float, start: float = 1.0) -> list[tuple[float, float]]:
    """To the value, over to the other side and back, again and again."""
    points = [(start, 0.0)]
    for k in range(times):
        points += [(start + (k + 0.25) * period, value), (start + (k + 0.75) * period, -value)]
    return [*points, (start + times * period, 0.0)]


def event(behaviour: str, side: str = "", start: float = 1.0, end: float = 2.5, **others: Any) -> dict[str, Any]:
    plain = {"kind": "", "count": 1, "level": "moderate", "absent": False}
    return {"id": behaviour, "side": side, "start": start, "end": end, **plain, **others}


BABBLE: Keys = {
    "jawOpen": [(1.0 + 0.1 * k, (0.05, 0.4, 0.1, 0.25)[k % 4]) for k in range(30)],
    "mouthPress": [(1.0 + 0.1 * k, (0.5, 0.0, 0.0, 0.0)[k % 4]) for k in range(30)],
    "mouthFunnel": [(1.0 + 0.1 * k, (0.0, 0.0, 0.1, 0.5)[k % 4]) for k in range(30)],
}
# What is done, by whom it is called: behaviour, side, count, end, keyframes. Each begins after 1 s.
CASES: list[tuple[str, str, int, float, Keys]] = [
    ("smile", "", 1, 2.5, {"mouthSmile": hold(0.6), "cheekSquint": hold(0.3)}),
    ("smirk", "left", 1, 2.5, {"mouthSmileLeft": hold(0.6), "mouthDimpleLeft": hold(0.3)}),
    ("raise_brows", "", 1, 2.5, {"browInnerUp": hold(0.6), "browOuterUp": hold(0.7)}),
    ("raise_brows", "right", 1, 2.5, {"browInnerUp": hold(0.3), "browOuterUpRight": hold(0.7)}),
    ("cock_brow", "right", 1, 2.5, {"browOuterUpRight": hold(0.8), "browDownLeft": hold(0.3)}),
    ("brow_flash", "", 2, 2.0, {"browInnerUp": beats(0.5, 2, 0.5), "browOuterUp": beats(0.7, 2, 0.5)}),
    ("blink", "", 3, 2.5, {"eyeBlink": beats(1, 3, 0.5)}),
    ("double_blink", "", 1, 1.8, {"eyeBlink": beats(1, 2, 0.36)}),
    ("wink", "left", 1, 1.6, {"eyeBlinkLeft": beats(1, 1, 0.6), "eyeBlinkRight": beats(0.2, 1, 0.6)}),
    ("wink", "right", 2, 2.2, {"eyeBlinkRight": beats(1, 2, 0.6)}),
    ("close_eyes", "", 1, 2.5, {"eyeBlink": hold(1)}),
    ("flutter_lashes", "", 1, 2.0, {"eyeBlink": beats(0.8, 4, 0.25)}),
    ("roll_eyes", "", 1, 2.2, {"gazeYaw": swings(12, 1, 1.2), "gazePitch": beats(-15, 1, 1.2)}),
    ("stare", "", 1, 2.5, {"eyeWide": hold(0.4, 0.8, 2.7)}),
    ("cross_eyes", "", 1, 2.5, {"eyeLookIn": hold(0.8)}),
    ("sniff", "", 2, 2.0, {"noseSneer": beats(0.5, 2, 0.5)}),
    ("puff_cheeks", "", 1, 2.5, {"cheekPuff": hold(0.8)}),
    ("kiss", "", 2, 2.6, {"mouthPucker": beats(0.9, 2, 0.8), "z": beats(5, 2, 0.8)}),
    ("twist_mouth", "left", 1, 2.5, {"mouthLeft": hold(0.7)}),
    ("shift_jaw", "right", 1, 2.5, {"jawRight": hold(0.7)}),
    ("tongue_out", "", 1, 2.5, {"tongueOut": hold(0.9), "jawOpen": hold(0.3)}),
    ("chew", "", 1, 3.1, {"jawOpen": beats(0.25, 3, 0.7), "mouthClose": beats(0.2, 3, 0.7)}),
    ("yawn", "", 1, 3.6, {"jawOpen": beats(0.9, 1, 2.6), "eyeSquint": beats(0.6, 1, 2.6)}),
    ("gasp", "", 1, 2.2, {"jawOpen": beats(0.6, 1, 1.2), "eyeWide": beats(0.7, 1, 1.2), "browInnerUp": hold(0.6)}),
    ("cough", "", 2, 2.2, {n: beats(v, 2, 0.6) for n, v in (("jawOpen", 0.3), ("mouthFunnel", 0.4), ("pitch", 6))}),
    ("nod", "", 2, 2.2, {"pitch": beats(8, 2, 0.6)}),
    ("nod", "", 3, 2.8, {"pitch": beats(6, 3, 0.6), **BABBLE}),
    ("shake", "", 1, 1.7, {"yaw": swings(9, 1, 0.7)}),
    ("shake", "", 3, 2.8, {"yaw": swings(9, 3, 0.6)}),
    ("tilt", "left", 1, 2.5, {"roll": hold(-11)}),
    ("turn", "right", 1, 2.5, {"yaw": hold(-20)}),
    ("bow", "", 2, 4.2, {"pitch": beats(22, 2, 1.6)}),
    ("circle_head", "", 1, 3.0, {"roll": swings(-11, 1, 2), "pitch": [(1, 0), (1.2, 7), (1.8, 0), (2.2, -7), (3, 0)]}),
    ("toss_head", "", 1, 1.8, {"pitch": beats(-14, 1, 0.8)}),
    ("lean_forward", "", 1, 2.5, {"z": hold(45)}),
    ("lean_aside", "right", 1, 2.5, {"x": hold(-35)}),
    ("nudge_head", "left", 2, 2.4, {"yaw": beats(10, 2, 0.7), "roll": beats(-9, 2, 0.7)}),
    ("look_aside", "left", 1, 2.5, {"gazeYaw": hold(15)}),
    ("look_up_aside", "right", 1, 2.5, {"gazeYaw": hold(-12), "gazePitch": hold(-10)}),
    ("glance_aside", "right", 2, 2.6, {"gazeYaw": beats(-16, 2, 0.8)}),
    ("glance_down", "", 1, 1.8, {"gazePitch": beats(15, 1, 0.8)}),
    ("dart_eyes", "", 1, 2.8, {"gazeYaw": swings(12, 2, 0.9)}),
    ("anger", "", 1, 2.5, {"browDown": hold(0.8), "mouthPress": hold(0.6), "noseSneer": hold(0.3)}),
    ("surprise", "", 1, 2.5, {"browInnerUp": hold(0.7), "browOuterUp": hold(0.8), "eyeWide": hold(0.6)}),
    ("contempt", "", 1, 2.5, {"mouthDimpleRight": hold(0.7), "mouthSmileRight": hold(0.4)}),
    ("speak", "", 1, 3.9, BABBLE),
]
CASE_NAMES = [f"{case[0]}.{case[1]}*{case[2]}" for case in CASES]
EVERY_CASE = pytest.mark.parametrize(("behaviour", "side", "times", "end", "keys"), CASES, ids=CASE_NAMES)


def test_every_behaviour_of_the_lexicon_has_a_measure_and_no_other() -> None:
    assert set(MEASURES) == set(lexicon())


def test_what_can_be_repeated_is_counted_and_what_has_a_side_knows_it() -> None:
    for name, entry in lexicon().items():
        assert MEASURES[name].counted == bool(entry.get("repeats")), name
        assert MEASURES[name].sided == bool(entry.get("sided")), name
        assert MEASURES[name].full == bool(entry.get("full")), name


def test_every_measure_reads_a_motion() -> None:
    still = acted(3, {})
    for name in MEASURES:
        for side in ("", "left", "right"):
            assert activation(still, name, side).shape == (len(still),), name
            assert count(still, name, side, 0, 3) in (0, 1), name


@EVERY_CASE
def test_what_is_done_is_shown(behaviour: str, side: str, times: int, end: float, keys: Keys) -> None:
    motion = acted(5, keys)
    wanted = event(behaviour, side, end=end, count=times)
    assert shows(motion, wanted)
    assert misses(motion, [wanted]) == []
    if MEASURES[behaviour].counted:
        assert count(motion, behaviour, side, 0.8, end + 0.2) == times


@EVERY_CASE
def test_a_resting_face_shows_nothing(behaviour: str, side: str, times: int, end: float, keys: Keys) -> None:
    resting, wanted = acted(5, {}), event(behaviour, side, end=end, count=times, level="slight")
    assert misses(resting, [wanted]) == [wanted]
    assert shows(resting, {**wanted, "absent": True})
    assert not shows(acted(5, keys), {**wanted, "absent": True})


@EVERY_CASE
def test_another_time_is_not_that_time(behaviour: str, side: str, times: int, end: float, keys: Keys) -> None:
    late = event(behaviour, side, start=6.5, end=8.0, count=times)
    assert not shows(acted(9, keys), late)


@EVERY_CASE
def test_the_other_side_is_not_shown(behaviour: str, side: str, times: int, end: float, keys: Keys) -> None:
    if side:
        other = {"left": "right", "right": "left"}[side]
        assert not shows(acted(5, keys), event(behaviour, other, end=end, count=times, level="slight"))
        if MEASURES[behaviour].sided:
            assert shows(acted(5, keys), event(behaviour, "", end=end, count=times))


@EVERY_CASE
def test_another_count_is_not_shown(behaviour: str, side: str, times: int, end: float, keys: Keys) -> None:
    if MEASURES[behaviour].counted:
        for wrong in (times - 1, times + 1):
            assert not shows(acted(5, keys), event(behaviour, side, end=end, count=wrong))


@pytest.mark.parametrize(("name", "curve", "full"), [("smile", "mouthSmile", 0.85), ("nod", "pitch", 11)])
def test_a_level_must_be_reached(name: str, curve: str, full: float) -> None:
    points = beats(full, 1, 0.6) if name == "nod" else hold(full)
    for share, shown in ((1.0, "slight moderate strong"), (0.4, "slight moderate"), (0.28, "slight"), (0.1, "")):
        motion = acted(4, {curve: [(t, share * value) for t, value in points]})
        found = [level for level in ("slight", "moderate", "strong") if shows(motion, event(name, level=level))]
        assert found == shown.split()


def test_one_after_the_other_must_keep_their_order() -> None:
    first, second = event("smile", start=0.5, end=1.5), event("nod", start=1.5, end=2.5, count=2)
    right = acted(4, {"mouthSmile": hold(0.6, 0.5, 1.5), "pitch": beats(8, 2, 0.5, 1.5)})
    wrong = acted(4, {"mouthSmile": hold(0.6, 1.5, 2.5), "pitch": beats(8, 2, 0.5, 0.5)})
    assert misses(right, [first, second]) == []
    assert misses(wrong, [first, second])


def test_a_wink_is_no_blink_and_a_blink_no_wink() -> None:
    wink, blink = acted(4, {"eyeBlinkLeft": beats(1, 1, 0.6)}), acted(4, {"eyeBlink": beats(1, 1, 0.36)})
    assert not shows(wink, event("blink"))
    assert not shows(blink, event("wink", "left"))
    assert shows(blink, event("blink"))


def test_closed_eyes_are_no_blink_and_a_blink_no_closed_eyes() -> None:
    closed, blink = acted(4, {"eyeBlink": hold(1)}), acted(4, {"eyeBlink": beats(1, 1, 0.36)})
    assert shows(closed, event("blink", absent=True))
    assert not shows(blink, event("blink", absent=True))
    assert not shows(blink, event("close_eyes"))


def test_what_rests_is_still_and_what_moves_is_not() -> None:
    resting, nodding = acted(4, {}), acted(4, {"pitch": beats(8, 2, 0.6)})
    glancing = acted(4, {"gazeYaw": beats(16, 1, 0.8), "eyeWide": hold(0.4)})
    assert shows(resting, event("keep_still"))
    assert shows(resting, event("look_at_camera"))
    assert shows(resting, event("neutral"))
    assert not shows(nodding, event("keep_still"))
    assert not shows(glancing, event("stare"))
    assert not shows(acted(4, {"mouthSmile": hold(0.6)}), event("neutral"))


def test_a_head_that_rests_bowed_is_measured_from_there() -> None:
    bowed: Keys = {"pitch": [(0, 8), (1, 8), (1.3, -3), (2.2, -3), (2.5, 8)]}
    assert shows(acted(4, bowed), event("raise_head"))
    assert not shows(acted(4, {"pitch": [(0, 8)]}), event("raise_head"))


def test_what_goes_on_before_does_not_change_the_count() -> None:
    keys: Keys = {
        "pitch": [*hold(-14, 0.5, 2.0), *beats(8, 2, 0.6, 2.1)],
        "yaw": [*hold(25, 0.5, 2.0), *swings(9, 2, 0.6, 3.6)],
    }
    motion = acted(6, keys)
    raised, nods = event("raise_head", start=0.5, end=2.0), event("nod", start=2.1, end=3.3, count=2)
    shakes = event("shake", start=3.6, end=4.8, count=2)
    assert misses(motion, [raised, nods, shakes]) == []
    assert not shows(motion, event("shake", start=0.5, end=2.0))
    assert not shows(motion, {**nods, "id": "up_nod"})


def test_what_is_held_is_no_glance() -> None:
    assert not shows(acted(5, {"gazeYaw": hold(18, 1, 3.5)}), event("glance_aside", "left", end=3.5))
    assert not shows(acted(5, {"pitch": hold(15, 1, 3.5)}), event("nod", end=3.5))


def test_laughing_is_not_speaking() -> None:
    shaken = [(1 + 0.11 * k, 0.3 + 0.15 * (k % 2)) for k in range(14)]
    laughing = acted(4, {"mouthSmile": hold(0.9), "cheekSquint": hold(0.8), "jawOpen": shaken})
    assert shows(laughing, event("laugh"))
    assert not shows(laughing, event("speak"))
    assert not shows(acted(5, BABBLE), event("laugh", end=3.9))
