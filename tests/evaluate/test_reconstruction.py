"""Reconstruction errors: against a slow computation on whole meshes, and of motions that are off by known amounts."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from tdmm.errors import EvaluationError, MotionError
from tdmm.evaluate.blinks import find_blinks, match_blinks
from tdmm.evaluate.reconstruction import REGIONS, _closure_of_gaps, _resting_gaps, score_reconstruction
from tdmm.face import load_face_model
from tdmm.face.mesh_points import mesh_points
from tdmm.face.model import FaceModel, Joints
from tdmm.motion import FaceMotion, make_motion

HEAD = load_face_model()
POINTS = mesh_points(HEAD)


class Jawed:
    """The built-in head as if it had a jaw that turns: a model that is not taken to be linear."""

    joints = Joints(jaw=True)

    def __getattr__(self, name: str) -> Any:
        return getattr(HEAD, name)


def moving(seed: int, frames: int = 40, **others: Any) -> FaceMotion:
    random = np.random.default_rng(seed)
    curves = random.uniform(0, 0.6, (frames // 10 + 2, len(HEAD.expression_names)))
    times = np.linspace(0, len(curves) - 1, frames)
    smooth = lambda rows: np.stack([np.interp(times, range(len(rows)), one) for one in rows.T], 1)  # noqa: E731
    fields = {
        "shape": random.normal(0, 1, 20).astype(np.float32),
        "rotation": smooth(random.normal(0, 0.2, (len(curves), 3))),
        "translation": np.array([0, -0.03, -0.75]) + smooth(random.normal(0, 0.02, (len(curves), 3))),
        **others,
    }
    return make_motion(
        smooth(curves), HEAD.expression_names, face_model=HEAD.name, face_model_sha256=HEAD.sha256, **fields
    )


def resting(frames: int = 30, **curves: float | np.ndarray) -> FaceMotion:
    expression = np.zeros((frames, len(HEAD.expression_names)))
    for name, value in curves.items():
        expression[:, HEAD.expression_names.index(name)] = value
    return make_motion(expression, HEAD.expression_names, face_model=HEAD.name, face_model_sha256=HEAD.sha256)


def whole_mesh(motion: FaceMotion, shape: np.ndarray, posed: bool) -> np.ndarray:
    pose = {name: torch.tensor(getattr(motion, name)) for name in ("rotation", "translation")} if posed else {}
    return HEAD.vertices(torch.tensor(shape), torch.tensor(motion.expression), **pose).numpy()


def slow_errors(truth: FaceMotion, guess: FaceMotion, region: str, posed: bool) -> np.ndarray:
    """Every distance (T * N,) in mm, one vertex of one frame after the other."""
    true, found = (whole_mesh(motion, truth.shape, posed) for motion in (truth, guess))
    vertices = POINTS.vertices[getattr(POINTS, region).numpy()]
    return np.array(
        [
            1000 * np.sqrt(((true[frame, vertex] - found[frame, vertex]).astype(float) ** 2).sum())
            for frame in range(len(truth))
            for vertex in vertices
        ]
    )


def pair(seed: int) -> tuple[FaceMotion, FaceMotion]:
    truth, noise = moving(seed), moving(seed + 50)
    mixed = {
        name: 0.9 * getattr(truth, name) + 0.1 * getattr(noise, name)
        for name in ("expression", "rotation", "translation")
    }
    return truth, replace(noise, **mixed)


# -- vertices ------------------------------------------------------------------------------------------------


def test_errors_are_those_of_whole_meshes() -> None:
    pairs = [pair(1), pair(2)]
    scores = score_reconstruction(*zip(*pairs, strict=True), HEAD)
    for region in REGIONS:
        for posed, found in ((False, scores.in_head), (True, scores.in_world)):
            slow = np.concatenate([slow_errors(*one, region, posed) for one in pairs])
            assert found[region].mean == pytest.approx(slow.mean(), rel=1e-3)
            assert found[region].p95 == pytest.approx(np.percentile(slow, 95), abs=0.02)


def test_velocity_error_is_that_of_whole_meshes() -> None:
    truth, guess = pair(3)
    face = POINTS.vertices[POINTS.face.numpy()]
    true, found = (whole_mesh(motion, truth.shape, False)[:, face].astype(float) for motion in (truth, guess))
    slow = 1000 * np.linalg.norm(np.diff(true, axis=0) - np.diff(found, axis=0), axis=2).mean()
    assert score_reconstruction([truth], [guess], HEAD).velocity_mm == pytest.approx(slow, rel=1e-3)


def test_a_model_with_a_jaw_is_posed_whole_and_scores_the_same() -> None:
    jawed: FaceModel = Jawed()  # type: ignore[assignment]
    assert mesh_points(jawed).linear is None
    assert POINTS.linear is not None
    truth, guess = pair(4)
    one, other = (score_reconstruction([truth], [guess], model) for model in (HEAD, jawed))
    for region in REGIONS:
        assert one.in_head[region].mean == pytest.approx(other.in_head[region].mean, rel=1e-4)
        assert one.in_world[region].mean == pytest.approx(other.in_world[region].mean, rel=1e-4)
    assert one.lip_closure_mm == pytest.approx(other.lip_closure_mm, rel=1e-3, nan_ok=True)


def test_a_motion_has_no_error_against_itself() -> None:
    some = [moving(5), moving(6)]
    scores = score_reconstruction(some, some, HEAD)
    assert {error.mean for error in (*scores.in_head.values(), *scores.in_world.values())} == {0.0}
    assert {error.p95 for error in (*scores.in_head.values(), *scores.in_world.values())} == {0.0}
    assert scores.velocity_mm == 0
    assert scores.left_out == 0


def test_identity_of_the_prediction_has_no_part_in_it() -> None:
    truth = moving(7)
    assert score_reconstruction([truth], [replace(truth, shape=truth.shape * 0)], HEAD).in_world["face"].mean == 0


def test_a_shift_is_an_error_of_the_pose_alone() -> None:
    truth = moving(8)
    shifted = replace(truth, translation=truth.translation + np.float32([0, 0, 0.004]))
    scores = score_reconstruction([truth], [shifted], HEAD)
    assert scores.in_head["face"].mean == 0
    for region in REGIONS:
        assert scores.in_world[region].mean == pytest.approx(4, rel=1e-3)
        assert scores.in_world[region].p95 == pytest.approx(4, abs=0.011)


def test_head_pose_is_off_by_the_angle_and_the_way_that_it_was_moved() -> None:
    truth = moving(15)
    turned = Rotation.from_rotvec(truth.rotation) * Rotation.from_rotvec(np.radians(3) * np.array([0.6, 0, 0.8]))
    guess = replace(
        truth,
        rotation=turned.as_rotvec().astype(np.float32),
        translation=truth.translation + np.float32([0.003, 0, -0.004]),
    )
    scores = score_reconstruction([truth], [guess], HEAD)
    assert scores.rotation_degrees == pytest.approx(3, rel=1e-5)
    assert scores.translation_mm == pytest.approx(5, rel=1e-4)
    none = score_reconstruction([truth], [truth], HEAD)
    assert (none.rotation_degrees, none.translation_mm) == (0, 0)
    # Frames that one of both does not hold to be valid do not count, others all alike.
    valid = np.arange(len(truth)) % 2 == 0
    half = np.where(valid[:, None], truth.rotation, guess.rotation)
    assert score_reconstruction([truth], [replace(truth, rotation=half)], HEAD).rotation_degrees == pytest.approx(1.5)
    assert score_reconstruction([truth], [replace(truth, rotation=half, valid=valid)], HEAD).rotation_degrees == 0


def test_half_a_turn_is_180_degrees() -> None:
    turned = replace(resting(), rotation=np.tile(np.float32([0, np.pi, 0]), (30, 1)))
    assert score_reconstruction([resting()], [turned], HEAD).rotation_degrees == pytest.approx(180, abs=0.01)


def test_regions_are_where_they_should_be() -> None:
    smile = score_reconstruction([resting()], [resting(mouthSmileLeft=1.0, mouthSmileRight=1.0)], HEAD).in_head
    blink = score_reconstruction([resting()], [resting(eyeBlinkLeft=1.0, eyeBlinkRight=1.0)], HEAD).in_head
    assert smile["lips"].mean > 2 * smile["face"].mean
    assert smile["lips"].mean > 10 * smile["eyelids"].mean
    assert blink["eyelids"].mean > 2 * blink["face"].mean
    assert blink["lips"].mean < 0.01
    assert len(POINTS.face) > 2000
    assert 100 < len(POINTS.lips) < len(POINTS.face) / 2
    assert 100 < len(POINTS.eyelids) < len(POINTS.face) / 2


def test_long_motions_count_for_more() -> None:
    def off(motion: FaceMotion, mm: float) -> FaceMotion:
        return replace(motion, translation=motion.translation + np.float32([0.001 * mm, 0, 0]))

    long, short = moving(9, 30), moving(10, 10)
    scores = score_reconstruction([long, short], [off(long, 1), off(short, 5)], HEAD)
    assert scores.in_world["face"].mean == pytest.approx(2, rel=1e-3)
    assert [clip.in_world["face"].mean for clip in scores.clips] == pytest.approx([1, 5], rel=1e-3)


# -- lips and lids -------------------------------------------------------------------------------------------


def test_lips_that_should_be_closed_and_are_not() -> None:
    closed, open_jaw = resting(), resting(jawOpen=0.5)

    def gap(motion: FaceMotion) -> float:
        landmarks = HEAD.landmarks(torch.tensor(whole_mesh(motion, motion.shape, False)))[0]
        return 1000 * float((landmarks[13] - landmarks[14]).norm())

    scores = score_reconstruction([closed], [open_jaw], HEAD)
    assert scores.lip_closure_mm == pytest.approx(gap(open_jaw) - gap(closed), rel=1e-3)
    assert scores.lip_closure_mm > 10
    assert np.isnan(score_reconstruction([open_jaw], [closed], HEAD).lip_closure_mm)  # never closed


def blinking(*peaks: int, depth: float = 1.0, frames: int = 100) -> FaceMotion:
    curve = np.zeros(frames)
    for peak in peaks:
        curve[peak - 2 : peak + 3] = depth * np.array([0.4, 0.8, 1, 0.6, 0.2])
    return resting(frames, eyeBlinkLeft=curve, eyeBlinkRight=curve)


def test_blinks_are_kept_lost_or_made_up() -> None:
    scores = score_reconstruction([blinking(20, 50, 80)], [blinking(21, 50, 65, depth=0.8)], HEAD)
    assert scores.blinks == 3
    assert scores.blink_recall == pytest.approx(2 / 3)
    assert scores.blink_precision == pytest.approx(2 / 3)
    assert scores.blink_depth == pytest.approx(-0.2, abs=1e-6)
    assert np.isnan(score_reconstruction([resting()], [resting()], HEAD).blink_recall)


def test_a_blink_is_kept_if_it_is_as_deep_and_in_its_place() -> None:
    truth = blinking(20, 50, 80)

    def kept(guess: FaceMotion) -> float:
        return score_reconstruction([truth], [guess], HEAD).blinks_kept

    assert kept(truth) == kept(blinking(20, 50, 80, depth=0.9)) == 1
    assert kept(blinking(20, 50, 80, depth=0.8)) == 0
    assert kept(blinking(21, 51, 81)) == kept(blinking(19, 49, 79)) == 1
    assert kept(blinking(22, 52, 82)) == 0
    assert kept(blinking(20, 52)) == pytest.approx(1 / 3)
    assert kept(blinking(20, 35, 50, 65, 80)) == 1  # what is made up is told by the precision
    assert np.isnan(score_reconstruction([resting()], [truth[:30]], HEAD).blinks_kept)


def test_a_wink_and_closed_eyes_are_no_blinks() -> None:
    curve = np.zeros(100)
    curve[20:60] = 1
    assert len(find_blinks(curve, 25)) == 0
    assert len(find_blinks(blinking(30).expression_column("eyeBlinkLeft"), 25)) == 1
    winking = resting(100, eyeBlinkLeft=blinking(30).expression_column("eyeBlinkLeft"))
    assert score_reconstruction([winking], [winking], HEAD).blinks == 0


def test_onset_and_peak_are_the_frames_where_they_are() -> None:
    found = find_blinks(blinking(30).expression_column("eyeBlinkLeft"), 25)
    assert (found.onset.tolist(), found.peak.tolist()) == ([27], [30])
    noise = np.abs(np.random.default_rng(0).normal(0, 0.02, 100))
    found = find_blinks(np.clip(blinking(30).expression_column("eyeBlinkLeft") + noise, 0, 1), 25)
    assert (found.onset.tolist(), found.peak.tolist()) == ([27], [30])


def test_blinks_at_the_ends_of_a_clip_count() -> None:
    for curve in ([1, 0.8, 0.2, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0.3, 0.9, 1.0]):
        assert len(find_blinks(np.array(curve), 25)) == 1


def test_each_blink_has_one_partner_the_nearest() -> None:
    true, found = (find_blinks(blinking(*p).expression_column("eyeBlinkLeft"), 25) for p in ((20, 40), (22, 41, 90)))
    assert match_blinks(true, found, 25) == [(0, 0), (1, 1)]
    assert match_blinks(found, true, 25) == [(0, 0), (1, 1)]
    none = find_blinks(np.zeros(20), 25)
    assert match_blinks(none, true, 25) == match_blinks(true, none, 25) == []


def test_lids_without_curves_are_measured_on_the_mesh() -> None:
    motion = blinking(30)
    with torch.inference_mode():
        gaps = 1000 * POINTS.gaps(POINTS.in_head(motion, torch.zeros(0))).double().numpy()
    closure = _closure_of_gaps(gaps, _resting_gaps(POINTS))
    assert closure.max() == pytest.approx(1, abs=0.02)
    assert find_blinks(closure, 25).peak.tolist() == [30]


# -- what is left out, and what cannot be compared -------------------------------------------------------------


def test_frames_without_a_partner_are_counted() -> None:
    truth, guess = moving(11, 40), moving(11, 40)
    valid = np.ones(40, bool)
    valid[10:13] = False
    scores = score_reconstruction([truth], [replace(guess, valid=valid)[:36]], HEAD)
    assert (scores.frames, scores.left_out) == (33, 7)
    spoiled = guess.expression.copy()
    spoiled[10:13] = 1
    assert score_reconstruction([truth], [replace(guess, valid=valid, expression=spoiled)], HEAD).velocity_mm == 0


def test_what_cannot_be_compared_is_refused_in_one_line() -> None:
    motion = moving(12)
    with pytest.raises(EvaluationError, match="no pairs"):
        score_reconstruction([], [], HEAD)
    with pytest.raises(EvaluationError, match="unlike numbers"):
        score_reconstruction([motion], [motion, motion], HEAD)
    with pytest.raises(EvaluationError, match="c7: 25 and 30 frames a second"):
        score_reconstruction([motion], [motion.resample(30)], HEAD, ["c7"])
    with pytest.raises(EvaluationError, match="no frame is valid"):
        score_reconstruction([motion], [replace(motion, valid=np.zeros(len(motion), bool))], HEAD)
    with pytest.raises(MotionError, match="c7: the prediction was made with face model"):
        score_reconstruction([motion], [replace(motion, face_model_sha256="0" * 64)], HEAD, ["c7"])


def test_the_threads_of_torch_are_as_before() -> None:
    before = torch.get_num_threads()
    score_reconstruction([moving(13)], [moving(14)], HEAD)
    with pytest.raises(EvaluationError):
        score_reconstruction([moving(13)], [], HEAD)
    assert torch.get_num_threads() == before


def test_two_thousand_motions_take_less_than_a_minute() -> None:
    some = [moving(seed, 125) for seed in range(20)]
    begun = time.process_time()
    score_reconstruction(some, some[1:] + some[:1], HEAD)
    # Seconds of all cores together, of which two have two minutes.
    assert (time.process_time() - begun) * 100 < 120
