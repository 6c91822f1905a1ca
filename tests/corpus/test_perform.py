"""Performances: what faces can do, as quickly as faces can, and nothing that was not asked for beside a little life."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from made_programs import EVEN, acted, suite_performances, suite_programs
from scipy.spatial.transform import Rotation

from tdmm.corpus import idle
from tdmm.corpus.columns import COLUMNS, INDEX
from tdmm.corpus.keyframes import ease, follow, waves
from tdmm.corpus.lexicon import LEVELS, Behaviour, behaviours, find
from tdmm.corpus.motions import to_motion, turns
from tdmm.corpus.perform import EXPRESSION_NAMES, Performance, perform
from tdmm.corpus.person import REST_MOST, draw_person
from tdmm.corpus.program import Event, Program, parse_program
from tdmm.corpus.schedule import schedule
from tdmm.evaluate.events.measure import activation
from tdmm.evaluate.events.signs import MEASURES
from tdmm.face import load_face_model

AT = {name: number for number, name in enumerate(EXPRESSION_NAMES)}
COUNT = 300
FPS = 25.0
BLINK_SECONDS = (0.1, 0.4)  # of any blink, from opening to opening (Schiffman, 2001)
# People who turn to something as fast as they can reach 300 to 400 degrees a second with the head at 40 degrees
# (Guitton & Volle, 1987); ordinary looks about remain below 200.
FASTEST_HEAD = 400.0
# A curve from 0 to 1 along a path of least jerk in 100 ms, the fastest twitch of a face muscle, goes through 0.65 of
# its way in the middle 40 ms.
FASTEST_CURVE = 0.65
LIDS = ("eyeBlink", "eyeLook")  # blinks and saccades are quicker


def lids(performance: Performance) -> np.ndarray:
    """(T,) how far both eyes are closed."""
    return np.asarray(performance.expression[:, [AT["eyeBlinkLeft"], AT["eyeBlinkRight"]]].min(1))


def closures(values: np.ndarray, level: float, fps: float = FPS) -> list[tuple[float, float]]:
    """Each time that values rise above a level and fall again: seconds between, by interpolation, and the height."""
    above = np.flatnonzero(np.diff((values > level).astype(int)))
    ups = [k for k in above if values[k + 1] > level]
    downs = [k for k in above if values[k + 1] <= level]
    found = []
    for up in ups:
        down = next((k for k in downs if k > up), None)
        if down is not None:
            start = up + (level - values[up]) / (values[up + 1] - values[up])
            end = down + (values[down] - level) / (values[down] - values[down + 1])
            found.append(((end - start) / fps, float(values[up + 1 : down + 1].max())))
    return found


# -- laws of every performance -------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_performance_and_another_one_another() -> None:
    for notation in ("joy@slight + speak : nod*2 > look_aside.left + !blink", "dart_eyes", "calm :"):
        first, again, other = acted(notation, 1), acted(notation, 1), acted(notation, 2)
        assert np.array_equal(first.expression, again.expression)
        assert np.array_equal(first.head, again.head)
        assert first.schedule.duration == again.schedule.duration
        assert not np.array_equal(first.expression[:40], other.expression[:40])


def test_a_performance_has_the_curves_of_the_built_in_head_in_its_order() -> None:
    assert tuple(load_face_model("builtin").expression_names) == EXPRESSION_NAMES


def test_values_are_in_range_and_whole() -> None:
    for one in suite_performances(COUNT):
        assert one.expression.dtype == one.head.dtype == np.float32
        assert np.isfinite(one.expression).all()
        assert np.isfinite(one.head).all()
        assert one.expression.min() >= 0
        assert one.expression.max() <= 1


def test_lips_close_no_further_than_the_jaw_is_open() -> None:
    for one in suite_performances(COUNT):
        assert (one.expression[:, AT["mouthClose"]] <= one.expression[:, AT["jawOpen"]]).all()


def test_opposites_are_never_seen_together() -> None:
    pairs = [("jawLeft", "jawRight"), ("mouthLeft", "mouthRight")]
    pairs += [(f"eyeLookUp{side}", f"eyeLookDown{side}") for side in ("Left", "Right")]
    pairs += [(f"eyeLookIn{side}", f"eyeLookOut{side}") for side in ("Left", "Right")]
    for one in suite_performances(COUNT):
        for first, second in pairs:
            assert np.minimum(one.expression[:, AT[first]], one.expression[:, AT[second]]).max() < 1e-6


def test_clips_last_two_to_ten_seconds_at_25_frames_a_second() -> None:
    for one in suite_performances(COUNT):
        assert 2 <= one.schedule.duration <= 10
        assert len(one.expression) == len(one.head) == round(one.schedule.duration * FPS)


def test_another_rate_shows_the_same_at_more_moments() -> None:
    program = parse_program("smile > nod*2")
    slow, fast = (perform(program, np.random.default_rng(3), person=EVEN, fps=fps) for fps in (25.0, 100.0))
    assert len(fast.expression) == 4 * len(slow.expression)
    smile = [AT["mouthSmileLeft"], AT["mouthSmileRight"]]
    assert np.abs(fast.expression[::4, smile] - slow.expression[:, smile]).max() < 0.15
    assert np.abs(fast.head[::4, 0] - slow.head[:, 0]).max() < 1.5
    assert fast.schedule.duration == slow.schedule.duration


def test_a_clip_lasts_longer_only_if_it_is_told_to() -> None:
    assert acted("smile=15").schedule.duration > 15
    assert acted("smile", longest=3.0).schedule.duration <= 3.2


def test_events_lie_in_the_clip_one_step_after_the_other() -> None:
    for program, one in zip(suite_programs(COUNT), suite_performances(COUNT), strict=True):
        base = {id(event) for event in program.base}
        timed = {id(t.event): t for t in one.schedule.events}
        for t in timed.values():
            assert t.start <= t.peak + 1e-9 or id(t.event) in base
            assert t.end > t.start
            assert 0 < t.gain <= 1
            if id(t.event) not in base:
                assert t.start >= 0
                assert t.end <= one.schedule.duration
        for before, after in itertools.pairwise(program.steps):
            ends = [timed[id(event)].end for event in before if not event.absent]
            starts = [timed[id(event)].start for event in after if not event.absent]
            assert max(ends) - 0.05 <= min(starts)


def test_the_gain_lies_within_the_level() -> None:
    for one in suite_performances(COUNT):
        for timed in one.schedule.events:
            least, most = LEVELS[timed.event.level]
            behaviour = timed.event.behaviour
            if behaviour.full:
                assert timed.gain >= 0.95
            elif behaviour.part == "face":  # a small yawn is a yawn
                assert least <= timed.gain <= 1
            else:
                assert least <= timed.gain <= most


# -- physiology ----------------------------------------------------------------------------------------


def test_spontaneous_blinks_last_100_to_400_ms_and_close_the_eyes() -> None:
    found = []
    for program, one in zip(suite_programs(COUNT), suite_performances(COUNT), strict=True):
        if any(_moves_lids(event.behaviour) for event in program.events()):
            continue
        values = lids(one)
        rest = float(np.median(values))
        found += [blink for blink in closures(values, rest + 0.1 * (1 - rest)) if blink[1] > 0.3]
    seconds, heights = np.array(found).T
    assert len(found) > 100
    assert heights.min() > 0.95
    assert seconds.min() >= BLINK_SECONDS[0]
    assert seconds.max() <= BLINK_SECONDS[1] + 1 / FPS


def _moves_lids(behaviour: Behaviour) -> bool:
    return behaviour.kind != "speech" and bool(behaviour.peak[INDEX["eyeBlinkLeft"]] > 0.02)


def test_spontaneous_blinks_last_100_to_400_ms_at_any_rate() -> None:
    times = np.arange(0, 60, 0.001)
    for seed in range(10):
        random = np.random.default_rng(seed)
        found = closures(idle.blinks(draw_person(random), times, [], 1.0, random), 0.1, 1000)
        assert 3 <= len(found) <= 40
        for seconds, height in found:
            assert BLINK_SECONDS[0] <= seconds <= BLINK_SECONDS[1]
            assert height > 0.99


@pytest.mark.parametrize("notation", ["blink*3", "blink*3~fast", "blink*3~slow", "double_blink", "double_blink~slow"])
def test_voluntary_blinks_last_100_to_400_ms(notation: str) -> None:
    for seed in range(20):
        found = closures(lids(acted(notation, seed)), 0.1 + REST_MOST)
        assert found
        for seconds, height in found:
            assert height > 0.9
            assert BLINK_SECONDS[0] <= seconds <= BLINK_SECONDS[1] + 1 / FPS


def test_a_shift_of_gaze_and_a_spontaneous_blink_do_not_run_into_one_another() -> None:
    busy = replace(EVEN, blinks=26.0)
    for seed in range(150):
        one = acted("turn.left@strong + smile > turn.right@strong > look_around@strong", seed, person=busy)
        for seconds, _ in closures(lids(one), 0.1):
            assert seconds <= BLINK_SECONDS[1] + 1 / FPS


def test_no_blinks_where_none_are_wanted() -> None:
    times = np.arange(0, 30, 0.04)
    random = np.random.default_rng(1)
    assert not idle.blinks(EVEN, times, [(0.0, 30.0)], 1.0, random).any()
    closed = idle.blinks(replace(EVEN, blinks=26.0), times, [(10.0, 20.0)], 1.0, random)
    assert closed.any()
    assert not closed[(times > 10) & (times < 20)].any()


def test_heads_turn_no_faster_than_heads_can() -> None:
    for program, one in zip(suite_programs(COUNT), suite_performances(COUNT), strict=True):
        assert head_speed(one, FPS) < FASTEST_HEAD, str(program)


@pytest.mark.parametrize("notation", ["snap_turn.left@strong", "snap_turn.left@strong~fast", "toss_head*3@strong~fast"])
def test_the_fastest_movements_of_the_head_seen_slowly_are_possible_too(notation: str) -> None:
    for seed in range(15):
        assert head_speed(acted(notation, seed, fps=200.0), 200.0) < FASTEST_HEAD


def head_speed(performance: Performance, fps: float) -> float:
    """The greatest angular velocity of the head, degrees a second."""
    poses = Rotation.from_rotvec(turns(performance.head[:, :3]))
    return float(np.degrees((poses[1:] * poses[:-1].inv()).magnitude()).max() * fps)


def test_curves_do_not_jump_from_frame_to_frame() -> None:
    slow = [name for name in EXPRESSION_NAMES if not name.startswith(LIDS)]
    for program, one in zip(suite_programs(COUNT), suite_performances(COUNT), strict=True):
        steps = np.abs(np.diff(one.expression[:, [AT[name] for name in slow]], axis=0)).max(0)
        assert steps.max() < FASTEST_CURVE, (str(program), slow[int(steps.argmax())])


def test_saccades_last_as_long_as_their_size_says() -> None:
    sizes = np.array([0.5, 1, 5, 10, 20])
    assert np.allclose(idle.saccade_seconds(sizes), 0.021 + 0.0022 * sizes)
    assert np.allclose(idle.saccade_seconds(-sizes), idle.saccade_seconds(sizes))
    assert 0.04 < idle.saccade_seconds(10.0) < 0.05
    assert 0.06 < idle.saccade_seconds(20.0) < 0.08


def test_saccades_follow_the_main_sequence() -> None:
    """Peak velocity grows with the size, and lasts as long as saccades of that size do, seen at 1000 Hz."""
    times = np.arange(0, 60, 0.001)
    sizes, speeds, lengths = [], [], []
    for seed in range(8):
        gaze = idle.fixations(times, 6.0, np.random.default_rng(seed))
        speed = np.hypot(*np.diff(gaze, axis=0).T) * 1000
        edges = np.flatnonzero(np.diff(np.concatenate([[0], speed > 1e-6, [0]]).astype(int)))
        for start, end in edges.reshape(-1, 2):
            size = float(np.hypot(*(gaze[end] - gaze[start])))
            if size > 2 and end - start < 1.3 * 1000 * idle.saccade_seconds(size):  # alone
                sizes.append(size)
                speeds.append(speed[start:end].max())
                lengths.append((end - start) / 1000)
    assert len(sizes) > 100
    assert np.abs(np.array(lengths) - idle.saccade_seconds(np.array(sizes))).max() < 0.012
    slope = np.polyfit(np.log(sizes), np.log(speeds), 1)[0]
    assert 0.4 < slope < 1  # faster, but not in proportion
    assert np.corrcoef(sizes, speeds)[0, 1] > 0.9
    assert max(speeds) < 700


def test_eyes_rest_for_a_while_between_saccades() -> None:
    times = np.arange(0, 60, 0.001)
    gaze = idle.fixations(times, 6.0, np.random.default_rng(0))
    moving = np.hypot(*np.diff(gaze, axis=0).T) * 1000 > 30
    assert 0.005 < moving.mean() < 0.1
    assert 15 <= len(closures(moving.astype(float), 0.5, 1000)) <= 90


def test_eyes_stay_in_their_sockets() -> None:
    for one in suite_performances(COUNT):
        for side in ("Left", "Right"):
            assert one.expression[:, AT[f"eyeLookDown{side}"]].max() <= 22 / 24 + 1e-6


def test_an_idle_head_sways_a_little_and_a_still_one_less() -> None:
    times = np.arange(0, 60, 0.04)
    for seed in range(5):
        person = draw_person(np.random.default_rng(seed))
        free, still = (idle.sway(person, times, part, np.random.default_rng(seed)) for part in (0.0, 1.0))
        assert 0.1 < free[:, :3].std(0).max() < 1.5
        assert np.abs(free[:, :3]).max() < 4
        assert still.std(0).max() < 0.5 * free.std(0).max()


def test_a_face_at_rest_is_nearly_neutral() -> None:
    for seed in range(20):
        one = acted("neutral :", seed)
        shown = np.delete(one.expression, [AT[name] for name in EXPRESSION_NAMES if name.startswith(LIDS)], axis=1)
        assert shown.max() < REST_MOST + 0.03
        assert np.ptp(shown, axis=0).max() < 0.06
        assert np.ptp(shown, axis=0).max() > 0.001


def test_people_differ_within_their_bounds() -> None:
    people = [draw_person(np.random.default_rng(seed)) for seed in range(200)]
    assert 8 < np.mean([one.blinks for one in people]) < 21
    assert len({one.pace for one in people}) == 200
    for one in people:
        assert 0.85 < one.pace < 1.15
        assert 0 <= one.expressive <= 1
        assert one.balance.min() > 0.85
        assert one.rest.min() >= 0
        assert one.rest.max() <= REST_MOST
        assert one.rest.shape == one.balance.shape == (len(COLUMNS),)


# -- sides, counts, strengths --------------------------------------------------------------------------

SIDED = [one.id for one in behaviours().values() if one.sided or one.sides]


@pytest.mark.parametrize("name", SIDED)
def test_left_and_right_are_mirror_images(name: str) -> None:
    """With the same seed, up to what goes on by itself: a tenth of a curve, some degrees of eyes, two of the head."""
    for seed in range(2):
        left, right = (acted(f"{name}.{side}@strong", seed, person=EVEN) for side in ("left", "right"))
        assert left.schedule.duration == right.schedule.duration
        curves, head = image(right)
        off = np.abs(left.expression - curves)
        if not _moves_lids(find(name)):  # but shifts of gaze bring on spontaneous blinks
            off[:, [AT["eyeBlinkLeft"], AT["eyeBlinkRight"]]] = 0
        eyes = np.array([one.startswith("eyeLook") for one in EXPRESSION_NAMES])
        assert off[:, ~eyes].max() < 0.14
        assert off[:, eyes].max() < 0.5
        assert np.abs(left.head[:, :3] - head[:, :3]).max() < 2 + 0.1 * np.abs(head[:, :3]).max()
        assert np.abs(left.head[:, 3:] - head[:, 3:]).max() < 4 + 0.1 * np.abs(head[:, 3:]).max()


@pytest.mark.parametrize("name", SIDED)
def test_a_side_differs_from_its_mirror_image(name: str) -> None:
    left = acted(f"{name}.left@strong", person=EVEN)
    curves, head = image(left)
    moved = np.abs(left.expression - curves).max() > 0.3 or np.abs(left.head - head).max() > 8
    assert moved


def image(performance: Performance) -> tuple[np.ndarray, np.ndarray]:
    """Curves and head in the mirror."""
    swap = {"Left": "Right", "Right": "Left"}
    order = []
    for name in EXPRESSION_NAMES:
        side = next((one for one in swap if name.endswith(one)), "")
        order.append(AT[name.removesuffix(side) + swap.get(side, "")])
    return performance.expression[:, order], performance.head * np.array([1, -1, -1, -1, 1, 1])


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_as_many_closures_as_blinks_were_asked_for(count: int) -> None:
    for seed in range(15):
        assert len(closures(lids(acted(f"blink*{count}", seed)), 0.5)) == count
        assert len(closures(lids(acted(f"smile > blink*{count} > nod", seed)), 0.5)) == count


def test_a_double_blink_has_two_closures_and_a_wink_one_eye() -> None:
    for seed in range(15):
        assert len(closures(lids(acted("double_blink", seed)), 0.5)) == 2
        wink = acted("wink.left", seed)
        assert lids(wink).max() < 0.5
        assert len(closures(wink.expression[:, AT["eyeBlinkLeft"]], 0.5)) == 1


@pytest.mark.parametrize("notation", ["!blink : smile", "smile + !blink > nod", "!blink : turn.left > look_around"])
def test_where_no_blink_is_said_there_is_none(notation: str) -> None:
    for seed in range(30):
        assert lids(acted(notation, seed)).max() < 0.3


def test_eyes_that_are_not_spoken_of_blink() -> None:
    assert sum(lids(acted("smile=6", seed)).max() > 0.9 for seed in range(30)) > 15


@pytest.mark.parametrize(
    "notation", ["keep_still :", "keep_still : smile > blink", "speak + keep_still :", "keep_still"]
)
def test_a_head_that_is_kept_still_is_still(notation: str) -> None:
    for seed in range(20):
        one = acted(notation, seed)
        held = next(timed for timed in one.schedule.events if timed.event.id == "keep_still")
        from_, to = (max(0, round(at * FPS)) for at in (held.peak, min(held.decline, one.schedule.duration)))
        reach = np.ptp(one.head[from_:to], axis=0)
        assert reach[:3].max() < 1.5
        assert reach[3:].max() < 4


@pytest.mark.parametrize("notation", ["nod : smile", "sniff + smile : close_eyes=3", "nod*2 + joy : smile=4"])
def test_what_is_counted_is_done_that_often_also_in_the_base(notation: str) -> None:
    for seed in range(5):
        for timed in acted(notation, seed).schedule.events:
            if timed.event.behaviour.repeats:
                assert timed.beats is not None
                assert len(timed.beats) == timed.event.count


COMPARABLE = [
    one.id
    for one in behaviours().values()
    if not one.full and not one.fixed and one.id != "neutral" and MEASURES[one.id].kind not in ("stare", "neutral")
]


@pytest.mark.parametrize("name", COMPARABLE)
def test_what_is_slight_is_weaker_than_what_is_strong(name: str) -> None:
    behaviour = find(name)
    side = "left" if behaviour.sided else ""
    strengths = []
    for level in LEVELS:
        program = Program(((Event(behaviour, side=side, level=level),),))
        shown = []
        for seed in range(3):
            motion = to_motion(perform(program, np.random.default_rng([9, seed]), person=EVEN))
            shown.append(np.percentile(activation(motion, name, side), 95))
        strengths.append(float(np.median(shown)))
    slight, moderate, strong = strengths
    assert slight < strong
    assert slight <= moderate + 0.02
    assert moderate <= strong + 0.02
    gains = [schedule(program, EVEN, np.random.default_rng(0)).events[0].gain]
    assert gains[0] >= LEVELS["strong"][0]


# -- the paths between ---------------------------------------------------------------------------------


def test_ease_starts_and_ends_at_rest() -> None:
    at = np.linspace(-0.5, 1.5, 2001)
    path = ease(at)
    assert path[0] == 0
    assert path[-1] == 1
    assert ease(np.array(0.5)) == 0.5
    assert (np.diff(path) >= 0).all()
    assert np.allclose(path + path[::-1], 1)
    speed = np.gradient(path, at)
    assert speed.max() == pytest.approx(1.875, abs=1e-3)
    assert abs(speed[500]) < 1e-3
    assert abs(speed[1500]) < 1e-3


def test_follow_passes_its_keys_and_stays_outside() -> None:
    at, values = np.array([1.0, 2.0, 4.0]), np.array([[0.0, 1], [2, 1], [-1, 3]], np.float32)
    assert np.allclose(follow(at, at, values), values)
    assert np.allclose(follow(np.array([0.0, 9.0]), at, values), values[[0, -1]])
    assert np.allclose(follow(np.array([1.5]), at, values), [[1, 1]])


def test_keys_at_the_same_moment_are_no_harm() -> None:
    found = follow(np.linspace(0, 2, 50), np.array([0.0, 1.0, 1.0, 2.0]), np.array([[0.0], [1], [2], [0]]))
    assert np.isfinite(found).all()


def test_waves_have_unit_spread_and_no_trend() -> None:
    found = waves(np.random.default_rng(0), np.arange(0, 200, 0.04), 40, 0.1, 2.0)
    assert found.shape == (5000, 40)
    assert 0.9 < found.std() < 1.1
    assert np.abs(found.mean(0)).max() < 0.2


def test_a_motion_of_a_performance_has_its_curves_and_turns_as_the_conventions_say() -> None:
    one = acted("turn.left@strong", person=EVEN)
    motion = to_motion(one, text="hello")
    assert motion.text == "hello"
    assert np.array_equal(motion.expression, one.expression)
    peak = int(np.abs(one.head[:, 1]).argmax())
    assert motion.rotation[peak, 1] > 0.3  # about +y: to the subject's left
    nod = acted("lower_head@strong", person=EVEN)
    assert to_motion(nod).rotation[:, 0].max() > 0.15  # about +x: down
    tilt = acted("tilt.right@strong", person=EVEN)
    assert to_motion(tilt).rotation[:, 2].max() > 0.15  # about +z: towards the right shoulder
    lean = acted("lean_forward@strong", person=EVEN)
    forward = to_motion(lean).translation[:, 2]
    assert 0.03 < forward.max() - forward[0] < 0.07


def test_small_turns_about_one_axis_are_that_turn() -> None:
    angles = np.diag([10.0, 20.0, -30.0])
    assert np.allclose(np.degrees(turns(angles)), angles, atol=1e-4)
