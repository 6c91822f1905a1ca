"""L2, FD, token accuracy, and how a face moves: made-up motions with known answers, and slow twins."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from tdmm.errors import EvaluationError
from tdmm.evaluate import motion_statistics as statistics
from tdmm.evaluate.distribution import fid
from tdmm.evaluate.motion_statistics import (
    STATISTICS,
    blinks,
    compare_statistics,
    expression_jerk,
    features,
    frechet_feature_distance,
    head_jerk,
    head_speed,
    head_velocity,
    l2_distance,
    lip_closures,
    lip_gap,
    motion_statistics,
    token_accuracy,
)
from tdmm.face import load_face_model
from tdmm.motion import FaceMotion, make_motion

NAMES = ("jawOpen", "mouthClose", "eyeBlinkLeft", "eyeBlinkRight")
INNER_LIPS = ((82, 87), (13, 14), (312, 317))  # of MediaPipe's face mesh, upper and lower


def motion(frames: int = 50, names: Sequence[str] = NAMES, fps: float = 25.0, **fields: Any) -> FaceMotion:
    """A motion at rest, except for curves (T,) by the names of expressions, and fields of FaceMotion."""
    expression = np.zeros((frames, len(names)), np.float32)
    for name in names:
        expression[:, names.index(name)] = fields.pop(name, 0.0)
    return make_motion(expression, names, face_model="made up", face_model_sha256="0", fps=fps, **fields)


def lively(frames: int, seed: int, names: Sequence[str] = NAMES) -> FaceMotion:
    random = np.random.default_rng(seed)
    curves = {name: random.uniform(0, 1, frames) for name in names}
    poses = {pose: random.normal(0, 0.2, (frames, 3)) for pose in ("rotation", "neck_pose", "jaw_pose")}
    return motion(frames, names, **curves, **poses)


def without(valid: FaceMotion, *frames: int) -> FaceMotion:
    return replace(valid, valid=~np.isin(np.arange(len(valid)), frames))


def turning(speed: float, frames: int = 50, fps: float = 25.0, axis: Sequence[float] = (0, 1, 0)) -> np.ndarray:
    """Rotations (T, 3) at so many degrees a second."""
    return np.radians(speed) / fps * np.arange(frames)[:, None] * np.asarray(axis)


# -- L2, FD, token accuracy -------------------------------------------------------------------------------


def test_l2_as_frame_by_frame():
    first, second = lively(30, 0), lively(30, 1)
    total = 0.0
    for frame in range(30):
        apart = 0.0
        for part in ("expression", "rotation", "neck_pose", "jaw_pose"):
            for mine, theirs in zip(getattr(first, part)[frame], getattr(second, part)[frame], strict=True):
                apart += (float(mine) - float(theirs)) ** 2
        total += math.sqrt(apart)
    assert l2_distance(first, second) == pytest.approx(total / 30)
    assert l2_distance(second, first) == pytest.approx(total / 30)


def test_l2_of_known_motions():
    assert l2_distance(lively(9, 0), lively(9, 0)) == 0
    assert l2_distance(motion(jawOpen=0.3), motion(mouthClose=0.4)) == pytest.approx(0.5)
    assert l2_distance(motion(), motion(rotation=np.tile([0.3, 0.0, 0.4], (50, 1)))) == pytest.approx(0.5)


def test_l2_leaves_out_eyes_and_place():
    moved = motion(eyes_pose=np.ones((50, 6)), translation=np.ones((50, 3)))
    assert l2_distance(motion(), moved) == 0


def test_l2_compares_the_shorter_length():
    long, short = motion(60, jawOpen=np.repeat([0.2, 0.9], 30)), motion(30)
    assert l2_distance(long, short) == pytest.approx(0.2)
    assert l2_distance(short, long) == pytest.approx(0.2)


def test_l2_is_of_time_not_of_frames():
    slow, fast = (motion(2 * fps, jawOpen=np.arange(2 * fps) / (2 * fps), fps=fps) for fps in (25, 50))
    assert l2_distance(slow, fast) == pytest.approx(0, abs=1e-6)


def test_l2_takes_frames_that_are_valid_in_both():
    reference = without(motion(4, jawOpen=[0.1, 0.9, 0.1, 0.1]), 1)
    prediction = without(motion(4, jawOpen=[0.0, 0.0, 0.9, 0.0]), 2)
    assert l2_distance(reference, prediction) == pytest.approx(0.1)
    with pytest.raises(EvaluationError, match="no frame in which both"):
        l2_distance(without(motion(2), 0), without(motion(2), 1))


def test_expressions_are_matched_by_name():
    mixed = ("mouthClose", "eyeBlinkRight", "jawOpen", "eyeBlinkLeft")
    first = lively(20, 0)
    other = replace(first, expression_names=mixed, expression=first.expression[:, [NAMES.index(n) for n in mixed]])
    assert l2_distance(first, other) == 0
    assert frechet_feature_distance([first], [other]) == pytest.approx(0, abs=1e-6)
    sided = replace(first, expression_names=("jawOpen", "mouthClose", "eyeBlink_L", "eyeBlink_R"))
    assert l2_distance(first, sided) == l2_distance(sided, first) == 0


def test_other_expressions_are_refused_by_name():
    with pytest.raises(EvaluationError, match=r"prediction: 4 expressions of made up against 3 .* eyeBlinkRight"):
        l2_distance(motion(names=NAMES[:3]), motion())
    with pytest.raises(EvaluationError, match=r"predictions: 3 expressions .* eyeBlinkRight"):
        frechet_feature_distance([motion()], [motion(), motion(names=NAMES[:3])])


def test_fd_is_the_frechet_distance_of_all_frames_of_a_set():
    references, predictions = [lively(40, 0), lively(25, 1)], [lively(60, 2)]
    rows = [np.concatenate([features(one) for one in side]) for side in (references, predictions)]
    assert rows[0].shape == (65, len(NAMES) + 9)
    assert frechet_feature_distance(references, predictions) == pytest.approx(fid(*rows))
    assert frechet_feature_distance(references[::-1], predictions) == pytest.approx(fid(*rows))


def test_fd_of_a_set_with_itself_is_0_though_much_of_a_face_rests():
    moved = [motion(jawOpen=np.linspace(0, seed, 50) / 5) for seed in (1, 2, 3)]
    assert frechet_feature_distance(moved, moved) == pytest.approx(0, abs=1e-9)


def test_fd_of_known_curves():
    # Means 0.25 and 0.75 of one curve, variances 1/8 and 0, over n - 1; nothing else moves.
    assert frechet_feature_distance(
        [motion(2, jawOpen=[0.0, 0.5])], [motion(2, jawOpen=[0.75, 0.75])]
    ) == pytest.approx(0.25 + 0.125)


def test_fd_leaves_out_what_is_not_valid():
    seen = lively(40, 0)
    broken = replace(seen, expression=np.where(np.arange(40)[:, None] == 7, 9, seen.expression))
    assert frechet_feature_distance([without(seen, 7)], [without(broken, 7)]) == pytest.approx(0, abs=1e-6)
    with pytest.raises(EvaluationError, match="both sides"):
        frechet_feature_distance([seen], [])
    with pytest.raises(EvaluationError, match="references: a covariance needs at least two"):
        frechet_feature_distance([without(motion(2), 0)], [seen])


@pytest.mark.parametrize(
    ("reference", "prediction", "accuracy"),
    [
        ([1, 2, 3, 4], [1, 2, 3, 4], 1),
        ([1, 2, 3, 4], [1, 9, 3, 9], 0.5),
        ([1, 2, 3, 4], [1, 2], 0.5),  # what is missing is wrong
        ([1, 2], [1, 2, 3, 4], 0.5),  # and what is too much
        ([1, 2, 3], [2, 3, 1], 0),  # the same codes elsewhere
        ([[1, 2], [3, 4]], [[1, 9], [3, 4]], 0.75),
        ([[1, 2], [3, 4]], [[1, 2]], 0.5),
        ([[1], [2]], [1, 2], 1),
        ([], [], 1),
        ([], [1], 0),
        ([1, 2], [], 0),
    ],
)
def test_token_accuracy_counts_equal_codes_at_equal_places(reference, prediction, accuracy):
    assert token_accuracy(reference, prediction) == accuracy
    assert token_accuracy(np.array(reference, int), np.array(prediction, int)) == accuracy


@pytest.mark.parametrize("wrong", [[[1, 2], [3]], [0.5, 1.5], ["a"], [[[1]]], [[1, 2, 3]]])
def test_codes_that_cannot_be_compared_are_refused(wrong):
    with pytest.raises(EvaluationError):
        token_accuracy([[1, 2]], wrong)


# -- jerk and speed ---------------------------------------------------------------------------------------


def test_jerk_of_known_curves():
    times = np.arange(50) / 25
    # The third derivative of t^3 / 8 is 3 / 4; the other three of the four curves rest.
    assert expression_jerk(motion(jawOpen=times**3 / 8)) == pytest.approx(np.full(47, 0.75 / 4), abs=0.02)
    assert expression_jerk(motion(jawOpen=times**2 / 4)) == pytest.approx(0, abs=0.02)


def test_jerk_as_difference_by_difference():
    shown = lively(12, 0)
    slow = [
        np.mean(
            [abs(float(c[t + 3]) - 3 * float(c[t + 2]) + 3 * float(c[t + 1]) - float(c[t])) for c in shown.expression.T]
        )
        for t in range(9)
    ]
    assert expression_jerk(shown) == pytest.approx(np.array(slow) * 25**3)


def test_noise_is_jerk():
    smooth = 0.5 + 0.4 * np.sin(np.arange(50) / 8)
    noisy = smooth + np.random.default_rng(0).normal(0, 0.01, 50)
    assert expression_jerk(motion(jawOpen=noisy)).mean() > 10 * expression_jerk(motion(jawOpen=smooth)).mean()


@pytest.mark.parametrize("axis", [(0, 1, 0), (1, 0, 0), (0.6, 0, 0.8)])
def test_an_even_turn_has_its_speed_and_no_jerk(axis):
    turned = motion(rotation=turning(30, axis=axis))
    assert head_speed(turned) == pytest.approx(np.full(49, 30), abs=1e-3)
    assert head_jerk(turned) == pytest.approx(0, abs=0.5)
    assert head_velocity(turned)[7] == pytest.approx(30 * np.array(axis), abs=1e-3)


def test_the_neck_turns_the_head_too():
    both = motion(rotation=turning(20), neck_pose=turning(15))
    assert head_speed(both) == pytest.approx(np.full(49, 35), abs=1e-3)


def test_a_turn_past_half_a_circle_is_no_jump():
    angles = Rotation.from_rotvec(turning(90, 75)).as_rotvec()  # wraps at 180 degrees
    assert head_speed(motion(75, rotation=angles)) == pytest.approx(np.full(74, 90), abs=1e-2)


def test_speed_does_not_depend_on_where_the_head_looks():
    shaken = np.radians(10) * np.sin(np.arange(50) / 4)[:, None] * [0, 1, 0]
    elsewhere = (Rotation.from_rotvec([0.3, -0.5, 0.2]) * Rotation.from_rotvec(shaken)).as_rotvec()
    straight, aside = (motion(rotation=turns) for turns in (shaken, elsewhere))
    assert head_speed(aside) == pytest.approx(head_speed(straight), abs=1e-2)
    assert head_jerk(aside) == pytest.approx(head_jerk(straight), rel=1e-2, abs=5)


def test_jerk_of_a_head_is_the_third_derivative_of_its_angle():
    times = np.arange(50) / 25
    assert head_jerk(motion(rotation=np.radians(5 * times**3)[:, None] * [0, 0, 1])) == pytest.approx(
        np.full(47, 30), abs=0.5
    )


def test_motions_of_other_rates_move_alike():
    for fps in (25, 50, 100):
        turned = motion(2 * fps, rotation=turning(30, 2 * fps, fps), fps=fps)
        assert head_speed(turned).mean() == pytest.approx(30, abs=1e-3)


def test_derivatives_do_not_reach_over_frames_without_a_face():
    jump = without(motion(20, jawOpen=np.repeat([0.0, 1.0], 10), rotation=turning(10, 20)), 9, 10)
    assert expression_jerk(jump) == pytest.approx(0)
    assert len(expression_jerk(jump)) == len(head_jerk(jump)) == 2 * (9 - 3)
    assert len(head_speed(jump)) == 2 * (9 - 1)


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_short_motions_have_no_derivatives(frames):
    short = motion(frames)
    assert len(expression_jerk(short)) == len(head_jerk(short)) == 0
    assert len(head_speed(short)) == frames - 1


# -- lips and eyes ----------------------------------------------------------------------------------------


def pulses(*spans: tuple[int, int], frames: int = 100, high: float = 1.0, low: float = 0.0) -> np.ndarray:
    """(T,) `high` in the frames from first to before last of each span, else `low`."""
    curve = np.full(frames, low)
    for first, last in spans:
        curve[first:last] = high
    return curve


def test_lips_close_as_often_as_they_were_open_before():
    talk = motion(100, jawOpen=pulses((10, 20), (25, 40), (60, 70), high=0.4))
    found = lip_closures(talk)
    # The first and last rest: closed at the beginning, and not open again at the end.
    assert found.starts == pytest.approx(np.array([19, 39, 69]) / 25 + 0.037, abs=0.001)
    assert np.isfinite(found.ends).tolist() == [True, True, False]
    assert found.seconds == pytest.approx([(24 - 19 - 0.85) / 25, (59 - 39 - 0.85) / 25], abs=0.001)


def test_lips_that_were_never_open_do_not_close():
    assert len(lip_closures(motion()).starts) == 0
    assert len(lip_closures(motion(100, jawOpen=pulses((10, 20), (40, 60), high=0.09))).starts) == 0


def test_lips_close_over_an_open_jaw():
    pressed = motion(100, jawOpen=0.3, mouthClose=pulses((40, 45), high=0.3))
    assert len(lip_closures(pressed).starts) == 1
    assert len(lip_closures(motion(100, jawOpen=0.3)).starts) == 0


def test_noise_about_a_level_makes_no_closures():
    gap = pulses((10, 50), high=0.4) + 0.03 + 0.02 * (-1.0) ** np.arange(100)
    assert len(lip_closures(motion(100, jawOpen=gap)).starts) == 1


@pytest.mark.parametrize(("side", "found"), [("both", 2), ("left", 0)])
def test_blinks_are_of_both_eyes(side, found):
    shut = pulses((20, 25), (60, 66))
    blinked = motion(100, eyeBlinkLeft=shut, eyeBlinkRight=shut if side == "both" else 0.0)
    assert len(blinks(blinked).starts) == found


def test_a_blink_lasts_while_the_eyes_are_more_than_half_shut():
    # 0, .25, .75, 1, .75, .25, 0: half shut 1.5 frames in, and 1.5 frames from the end.
    shut = np.zeros(50)
    shut[20:27] = [0, 0.25, 0.75, 1, 0.75, 0.25, 0]
    found = blinks(motion(50, eyeBlinkLeft=shut, eyeBlinkRight=shut))
    assert found.starts == pytest.approx([21.5 / 25])
    assert found.seconds == pytest.approx([3 / 25])


def test_eyes_that_stay_shut_do_not_blink():
    lids = lambda *spans: motion(100, eyeBlinkLeft=pulses(*spans), eyeBlinkRight=pulses(*spans))  # noqa: E731
    assert len(blinks(lids((20, 32))).starts) == 1  # 0.48 s
    assert len(blinks(lids((20, 33))).starts) == 0  # 0.52 s
    assert len(blinks(lids((0, 5))).starts) == 0  # shut from the start
    assert len(blinks(lids((80, 100))).starts) == 0
    assert blinks(lids((95, 100))).ends == pytest.approx([np.nan], nan_ok=True)


def test_two_blinks_need_an_open_eye_between():
    half = pulses((20, 23), (26, 29))
    for between, count in ((0.4, 1), (0.2, 2)):
        half[23:26] = between
        assert len(blinks(motion(100, eyeBlinkLeft=half, eyeBlinkRight=half)).starts) == count


def test_events_beside_frames_without_a_face_were_not_seen():
    shut = pulses((20, 25), (60, 66))
    blinked = motion(100, eyeBlinkLeft=shut, eyeBlinkRight=shut)
    for hidden, count in ((22, 1), (19, 1), (25, 1), (40, 2)):
        assert len(blinks(without(blinked, hidden)).starts) == count


def test_events_as_by_walking_along_the_curve():
    random, events = np.random.default_rng(0), 0
    for _ in range(50):
        curve = np.clip(np.convolve(random.uniform(-0.5, 1.5, 204), np.full(5, 0.2), "valid"), 0, 1)
        starts, ends, inside, last = [], [], curve[0] >= 0.5, None
        low, began = curve[0] < 0.35, False
        for frame in range(1, len(curve)):
            if not inside and curve[frame] >= 0.5:
                inside, began = True, low
                if began:
                    starts.append(frame - 1 + (0.5 - curve[frame - 1]) / (curve[frame] - curve[frame - 1]))
            if inside and curve[frame - 1] >= 0.5 > curve[frame]:
                last = frame - 1 + (curve[frame - 1] - 0.5) / (curve[frame - 1] - curve[frame])
            low = low or curve[frame] < 0.35
            if inside and curve[frame] < 0.35:
                inside = False
                if began:
                    ends.append(last)
                began = False
        found = statistics._spells(curve, 0.5, 0.35, np.ones(200, bool))
        assert found.starts * 25 == pytest.approx(starts)
        assert found.ends[np.isfinite(found.ends)] * 25 == pytest.approx(ends)
        assert len(starts) - len(ends) in (0, 1)
        events += len(starts)
    assert events > 300


def test_the_lip_gap_is_that_of_the_built_in_head():
    head = load_face_model()
    weights = torch.cat([torch.zeros(1, len(head.expression_names)), torch.eye(len(head.expression_names))])
    points = head.landmarks(head.vertices(torch.zeros(1), weights)).numpy()
    gaps = np.mean([points[:, upper, 1] - points[:, lower, 1] for upper, lower in INNER_LIPS], axis=0)
    parted = dict(zip(head.expression_names, (gaps[1:] - gaps[0]).tolist(), strict=True))
    assert parted["jawOpen"] == pytest.approx(0.031, abs=0.001)
    for name, weight in statistics.LIP_GAP.items():
        assert parted[name] / parted["jawOpen"] == pytest.approx(weight, abs=0.012), name


def test_a_model_without_arkit_curves_tells_neither_lips_nor_blinks():
    numbered = motion(names=("expr_000", "expr_001"))
    assert lip_gap(numbered) is lip_closures(numbered) is blinks(numbered) is None
    found = motion_statistics([numbered])
    assert {name for name, value in found.items() if value is None} == {
        "lip_closures", "lip_closure_time", "blinks", "blink_time"
    }  # fmt: skip


# -- sets -------------------------------------------------------------------------------------------------


def test_statistics_of_a_set_are_over_all_its_frames_and_minutes():
    shut = pulses((20, 25), (60, 66))
    blinked = motion(100, eyeBlinkLeft=shut, eyeBlinkRight=shut, rotation=turning(10, 100))
    still = motion(200, rotation=turning(40, 200))
    found = motion_statistics([blinked, still])
    assert list(found) == list(STATISTICS)
    assert found["blinks"] == pytest.approx(2 / (300 / 25 / 60))
    assert found["blink_time"] == pytest.approx(blinks(blinked).seconds.mean())
    assert found["lip_closures"] == 0
    assert found["lip_closure_time"] is None
    speeds = np.repeat([10.0, 40.0], [99, 199])
    assert found["head_speed"] == pytest.approx(speeds.mean(), abs=1e-3)
    assert found["head_speed_p95"] == pytest.approx(np.percentile(speeds, 95), abs=1e-3)
    assert found["expression_jerk"] == pytest.approx(
        np.concatenate([expression_jerk(blinked), expression_jerk(still)]).mean()
    )
    again = motion_statistics([still, blinked])
    assert all(again[name] == pytest.approx(value) for name, value in found.items() if value is not None)


def test_minutes_count_what_is_valid():
    shut = pulses((20, 25))
    hidden = without(motion(100, eyeBlinkLeft=shut, eyeBlinkRight=shut), *range(50, 100))
    assert motion_statistics([hidden])["blinks"] == pytest.approx(1 / (50 / 25 / 60))


def test_nothing_tells_nothing():
    assert set(motion_statistics([]).values()) == {None}
    assert set(motion_statistics([without(motion(9), *range(9))]).values()) == {None}


def test_predictions_are_compared_with_their_reference():
    references, predictions = [motion(rotation=turning(20))], [motion(rotation=turning(30))]
    found = compare_statistics(references, predictions)
    assert found["head_speed"].reference == pytest.approx(20, abs=1e-3)
    assert found["head_speed"].prediction == pytest.approx(30, abs=1e-3)
    assert found["head_speed"].relative == pytest.approx(0.5, abs=1e-4)
    assert found["head_speed"].unit == "deg/s"
    assert found["blinks"].relative is None  # of nothing, anything is infinitely more
    assert found["blink_time"].reference is None
    lively_ones = [lively(60, seed) for seed in range(3)]
    same = compare_statistics(lively_ones, lively_ones)
    assert {one.relative for one in same.values()} <= {0.0, None}
