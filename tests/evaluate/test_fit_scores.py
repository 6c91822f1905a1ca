"""Scores of fits: of motions that are off from the truth by known amounts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tdmm.errors import EvaluationError, MotionError
from tdmm.evaluate.fit_scores import BlinkTiming, clip_fit, fit_quality, mean_known, score_fits
from tdmm.face import load_face_model
from tdmm.fit.recovery import compare, compare_expressions
from tdmm.motion import FaceMotion, make_motion

HEAD = load_face_model()
FRAMES = 80


def truth(**others: np.ndarray) -> FaceMotion:
    """Two blinks, a smile that comes and goes, and a head that turns."""
    times = np.arange(FRAMES) / 25
    curves = {"mouthSmileLeft": 0.5 + 0.5 * np.sin(2 * times), "jawOpen": 0.3 + 0.3 * np.sin(5 * times)}
    for peak in (20, 55):
        for name in ("eyeBlinkLeft", "eyeBlinkRight"):
            curves.setdefault(name, np.zeros(FRAMES))[peak - 2 : peak + 3] = 0.4, 0.8, 1, 0.6, 0.2
    expression = np.zeros((FRAMES, len(HEAD.expression_names)), np.float32)
    for name, curve in curves.items():
        expression[:, HEAD.expression_names.index(name)] = curve
    rotation = 0.2 * np.stack([np.sin(times), np.cos(1.3 * times), np.sin(0.7 * times)], axis=1)
    return make_motion(
        expression,
        HEAD.expression_names,
        face_model=HEAD.name,
        face_model_sha256=HEAD.sha256,
        rotation=rotation,
        **others,
    )


def changed(motion: FaceMotion, **curves: np.ndarray) -> FaceMotion:
    expression = motion.expression.copy()
    for name, curve in curves.items():
        expression[:, HEAD.expression_names.index(name)] = curve
    return replace(motion, expression=expression)


def test_the_truth_has_no_error() -> None:
    scores = score_fits([truth()], [truth()], HEAD)
    zero = ("vertex_mm", "surface_mm", "rotation_degrees", "rotation_after_offset", "translation_mm", "gaze_degrees")
    for name in (*zero, "translation_after_offset", "blink_onset_frames", "blink_peak_frames"):
        assert getattr(scores, name) == pytest.approx(0, abs=1e-3), name
    assert scores.correlation == pytest.approx(1)
    assert set(scores.correlations) == {"mouthSmileLeft", "jawOpen", "eyeBlinkLeft", "eyeBlinkRight"}
    assert scores.blinks == BlinkTiming(2, 2, (0, 0), (0, 0))
    assert scores.frames == (FRAMES, FRAMES)
    assert scores.neutral_mm > 2


def test_the_measures_are_those_of_the_benchmarks() -> None:
    fit = replace(truth(), expression=0.7 * truth().expression, rotation=truth().rotation + np.float32(0.02))
    found = clip_fit(truth(), fit, HEAD)
    recovery = compare_expressions(truth(), fit, HEAD)
    assert found.vertex_mm == recovery.vertex_mm
    assert found.correlations == recovery.correlations
    assert found.rotation_after_offset == recovery.rotation_degrees
    whole = compare(truth(), fit, HEAD)
    assert found.surface_mm == whole.vertex_mm
    assert found.rotation_degrees == pytest.approx(whole.rotation_degrees)
    assert found.correlation == pytest.approx(whole.correlation)


def test_pose_is_off_by_what_it_is_off_by() -> None:
    motion = replace(truth(), rotation=np.zeros((FRAMES, 3), np.float32))
    turned = replace(motion, rotation=np.tile(np.float32([0, np.radians(3), 0]), (FRAMES, 1)))
    moved = replace(turned, translation=turned.translation + np.float32([0.003, 0, 0.004]))
    found = clip_fit(motion, moved, HEAD)
    assert found.rotation_degrees == pytest.approx(3, rel=1e-4)
    assert found.rotation_after_offset == pytest.approx(0, abs=1e-3)
    assert found.translation_mm == pytest.approx(5, rel=1e-3)
    assert found.translation_after_offset == pytest.approx(0, abs=1e-3)


def test_gaze_is_that_of_the_eyeballs_however_they_are_turned() -> None:
    turned = np.zeros((FRAMES, 6), np.float32)
    turned[:, [1, 4]] = np.radians(10)
    by_joint = replace(truth(), eyes_pose=turned)
    assert clip_fit(truth(), by_joint, HEAD).gaze_degrees == pytest.approx(10, abs=0.05)
    by_curves = changed(truth(), eyeLookOutLeft=np.full(FRAMES, 0.4), eyeLookInRight=np.full(FRAMES, 0.4))
    off = clip_fit(truth(), by_curves, HEAD).gaze_degrees
    assert 5 < off < 15
    # The same direction in another way.
    turned[:, [1, 4]] = np.radians(off)
    assert clip_fit(by_curves, replace(truth(), eyes_pose=turned), HEAD).gaze_degrees < 1.5


def test_one_eye_that_is_off_is_half_of_the_error() -> None:
    turned = np.zeros((FRAMES, 6), np.float32)
    turned[:, 0] = np.radians(8)
    assert clip_fit(truth(), replace(truth(), eyes_pose=turned), HEAD).gaze_degrees == pytest.approx(4, abs=0.05)


def test_blinks_are_late_missed_and_false() -> None:
    late = np.zeros(FRAMES)
    for peak in (22, 40):
        late[peak - 2 : peak + 3] = 0.4, 0.8, 1, 0.6, 0.2
    found = score_fits([truth()], [changed(truth(), eyeBlinkLeft=late, eyeBlinkRight=late)], HEAD)
    assert found.blinks == BlinkTiming(2, 2, (2,), (2,))
    assert (found.blinks.missed, found.blinks.false) == (1, 1)
    assert (found.blink_onset_frames, found.blink_peak_frames) == (2, 2)


def test_early_and_late_do_not_cancel() -> None:
    timing = BlinkTiming(1, 1, (-2,), (-1,)) + BlinkTiming(2, 1, (2,), (3,))
    assert timing == BlinkTiming(3, 2, (-2, 2), (-1, 3))
    scores = replace(score_fits([truth()], [truth()], HEAD), blinks=timing)
    assert (scores.blink_onset_frames, scores.blink_peak_frames) == (2, 2)


def test_frames_that_were_not_seen_do_not_count_but_their_blinks_are_missed() -> None:
    valid = np.ones(FRAMES, bool)
    valid[50:60] = False
    spoiled = changed(truth(), eyeBlinkLeft=0, eyeBlinkRight=0).expression.copy()
    spoiled[~valid] = 0.5
    spoiled[valid] = truth().expression[valid]
    found = clip_fit(truth(), replace(truth(), expression=spoiled, valid=valid), HEAD)
    assert found.vertex_mm == pytest.approx(0, abs=1e-4)
    assert found.frames == (70, 80)
    assert found.blinks is not None
    assert found.blinks.missed == 1


def test_clips_are_averaged_alike_and_expressions_where_they_move() -> None:
    still = make_motion(
        np.zeros((10, len(HEAD.expression_names))),
        HEAD.expression_names,
        face_model=HEAD.name,
        face_model_sha256=HEAD.sha256,
    )
    shifted = replace(still, translation=still.translation + np.float32([0.006, 0, 0]))
    scores = score_fits([truth(), still], [truth(), shifted], HEAD, ["a", "b"])
    assert scores.translation_mm == pytest.approx(3, rel=1e-3)
    assert scores.vertex_mm == pytest.approx(0, abs=1e-3)  # nothing moves in the second
    assert scores.correlations["jawOpen"] == (pytest.approx(1), 1)
    assert [clip.id for clip in scores.clips] == ["a", "b"]


def test_without_truth_the_fits_speak_for_themselves() -> None:
    told = replace(truth(), meta={"fit": {"reprojection_percent": 1.5}})
    trembling = changed(truth(), jawOpen=np.tile([0.2, 0.4], FRAMES // 2))
    half = replace(truth(), valid=np.arange(FRAMES) < FRAMES // 2)
    found = fit_quality([told, half], HEAD)
    assert (found.reprojection_percent, found.told, found.motions) == (1.5, 1, 2)
    assert found.valid == 0.75
    assert fit_quality([trembling], HEAD).jitter_mm_s2 > 5 * fit_quality([told], HEAD).jitter_mm_s2
    assert np.isnan(fit_quality([truth()], HEAD).reprojection_percent)


def test_the_mean_of_nothing_is_nan() -> None:
    assert mean_known([1, float("nan"), 3]) == 2
    assert np.isnan(mean_known([float("nan")]))


def test_what_cannot_be_compared_is_refused_in_one_line() -> None:
    with pytest.raises(EvaluationError, match="no motions to compare"):
        score_fits([], [], HEAD)
    with pytest.raises(EvaluationError, match="unlike numbers"):
        score_fits([truth()], [], HEAD)
    with pytest.raises(EvaluationError, match="c1: 80 true frames, 70 fitted ones"):
        score_fits([truth()], [truth()[:70]], HEAD, ["c1"])
    with pytest.raises(EvaluationError, match="saw no face"):
        clip_fit(truth(), replace(truth(), valid=np.zeros(FRAMES, bool)), HEAD)
    with pytest.raises(MotionError, match="c1: the fit was made with"):
        clip_fit(truth(), replace(truth(), face_model_sha256="0" * 64), HEAD, "c1")
    with pytest.raises(EvaluationError, match="no motions to look at"):
        fit_quality([], HEAD)
