"""The measure of re-detection: what its signals are, when one counts, and what it says of right and wrong fits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from tdmm.errors import TdmmError
from tdmm.face import load_face_model
from tdmm.fit.observe import Observations
from tdmm.fit.redetect import LEAST, compare_signals, moving, noise_of, redetect, signals
from tdmm.motion import FaceMotion, make_motion
from tdmm.render import RenderOptions, render

HEAD = load_face_model()


def rest_points() -> np.ndarray:
    """(478, 3) landmarks of the resting head; those without a place on the mesh at its middle."""
    with torch.inference_mode():
        points = HEAD.landmarks(HEAD.vertices(torch.zeros(0), torch.zeros(1, len(HEAD.expression_names))))[0]
    return np.nan_to_num(points.double().numpy())


def from_afar(turns: np.ndarray) -> np.ndarray:
    """(T, 478, 2) pixels of the resting head turned by yaw, pitch, roll (T, 3) degrees, scaled orthographic."""
    turned = np.einsum(
        "tij,nj->tni", Rotation.from_euler("ZYX", turns[:, [2, 0, 1]], degrees=True).as_matrix(), rest_points()
    )
    return turned[..., :2] * (1000, -1000) + (300, 200)


def test_turns_are_those_of_the_head():
    turns = np.array([[0, 0, 0], [25, 0, 0], [0, 15, 0], [0, 0, -20], [-30, 10, 15]], float)
    found = signals(from_afar(turns))
    for number, name in enumerate(("yaw", "pitch", "roll")):
        np.testing.assert_allclose(found[name], turns[:, number], atol=1e-3)


def test_signals_do_not_depend_on_size_place_or_roll():
    points = from_afar(np.array([[5.0, 3.0, 0.0]]))
    angle = np.radians(30)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    first, second = signals(points), signals(2.5 * points @ turn.T + (40, -10))
    assert list(first) == list(LEAST)
    for name in set(first) - {"roll"}:
        np.testing.assert_allclose(first[name], second[name], atol=1e-9)
    # Clockwise in a picture whose y points down: towards the subject's left shoulder.
    np.testing.assert_allclose(second["roll"] - first["roll"], -30, atol=1e-6)


def test_gaps_brows_and_gaze_follow_their_points():
    points = np.repeat(from_afar(np.zeros((1, 3))), 2, axis=0)
    eyes = np.linalg.norm(points[0, 263] - points[0, 33])
    points[1, [14, 87, 317], 1] += 0.2 * eyes  # the lower lip goes down
    points[1, [159, 158, 160], 1] -= 0.05 * eyes  # the right upper lid goes up
    points[1, [300, 293, 334, 296, 336, 276, 283, 282, 295, 285], 1] -= 0.1 * eyes  # the left brow goes up
    points[1, [468, 473], 0] += 0.03 * eyes  # both irises towards the subject's left
    change = {name: float(values[1] - values[0]) for name, values in signals(points).items()}
    width = [np.linalg.norm(points[0, a] - points[0, b]) for a, b in ((33, 133), (362, 263))]
    assert change["mouth gap"] == pytest.approx(0.2, rel=0.1)
    assert change["lid gap right"] == pytest.approx(0.05, rel=0.1)
    assert change["lid gap left"] == pytest.approx(0, abs=1e-12)
    assert change["brow height left"] == pytest.approx(0.1, rel=0.05)
    assert change["brow height right"] == pytest.approx(0, abs=1e-12)
    assert change["gaze aside"] == pytest.approx(0.03 * eyes / np.mean(width), rel=0.1)
    assert abs(change["gaze up"]) < 0.2 * change["gaze aside"]


def test_gaze_is_unknown_behind_shut_lids_and_everything_without_a_face():
    points = np.repeat(from_afar(np.zeros((1, 3))), 3, axis=0)
    points[1, [159, 158, 160]] = points[1, [145, 153, 144]]
    points[2] = np.nan
    found = signals(points)
    assert np.isnan(found["gaze up"]).tolist() == [False, True, True]
    assert np.isnan(found["lid gap left"]).tolist() == [False, False, True]
    assert np.isnan(found["yaw"]).tolist() == [False, False, True]


def made_up(seed: int = 0, n_frames: int = 400) -> dict[str, np.ndarray]:
    """Every signal a slow wave of 10 times the least that counts."""
    times, random = np.arange(n_frames), np.random.default_rng(seed)
    return {name: 10 * least * np.sin(times / 15 + random.uniform(0, 6)) for name, least in LEAST.items()}


def test_noise_is_measured_beside_slow_motion():
    random = np.random.default_rng(0)
    wave = np.sin(np.arange(2000) / 40)
    assert noise_of(wave + 0.05 * random.standard_normal(2000)) == pytest.approx(0.05, rel=0.1)


def test_a_signal_moves_if_it_is_above_its_noise_and_worth_comparing():
    source, random = made_up(), np.random.default_rng(1)
    source["mouth gap"] = 0.02 * random.standard_normal(400)  # nothing but noise
    source["yaw"] = 0.2 * source["yaw"] / np.std(source["yaw"])  # smooth, but a fifth of a degree
    source["gaze up"] = np.full(400, np.nan)
    still = {name for name, does in moving(source).items() if not does}
    assert still == {"mouth gap", "yaw", "gaze up"}


def test_the_mean_is_over_signals_that_move_in_the_source():
    source = made_up()
    source["yaw"] = np.zeros(400)
    again = {name: 3 * values + 1 for name, values in source.items()}
    again["yaw"] = np.random.default_rng(0).standard_normal(400)
    assert compare_signals(source, again).mean == pytest.approx(1)
    again["pitch"] = -source["pitch"]
    again["roll"] = np.zeros(400)
    answer = compare_signals(source, again)
    assert answer.correlation["pitch"] == pytest.approx(-1)
    assert answer.correlation["roll"] == 0
    assert answer.mean == pytest.approx((8 - 1 + 0) / 10)


def test_frames_that_only_one_shows_are_left_out_and_counted():
    source, again = made_up(), made_up()
    for name in source:
        source[name][:50] = np.nan
        again[name][30:70] = np.nan
    answer = compare_signals(source, again)
    assert (answer.frames, answer.missed) == (330, 20)
    assert answer.mean == pytest.approx(1)


@pytest.fixture(scope="module")
def detector():
    pytest.importorskip("mediapipe")
    from tdmm.fit.detect import open_detector

    opened = open_detector()
    yield opened
    opened.close()


def speaking() -> FaceMotion:
    """Two seconds of jaw, smile, blinks and turns."""
    times = np.arange(48) / 24
    curves = {
        "jawOpen": 0.3 + 0.3 * np.sin(9 * times),
        "mouthSmileLeft": 0.4 + 0.4 * np.sin(4 * times),
        "mouthSmileRight": 0.4 + 0.4 * np.sin(4 * times),
    }
    curves |= {f"eyeBlink{side}": np.clip(3 * np.sin(5 * times) - 1.5, 0, 1) for side in ("Left", "Right")}
    curves |= {"browInnerUp": 0.5 + 0.5 * np.sin(3 * times + 1)}
    expression = np.zeros((48, len(HEAD.expression_names)), np.float32)
    for name, curve in curves.items():
        expression[:, HEAD.expression_names.index(name)] = curve
    rotation = np.radians(np.stack([6 * np.sin(2 * times), 12 * np.sin(1.7 * times), 0 * times], axis=1))
    return make_motion(
        expression,
        HEAD.expression_names,
        face_model=HEAD.name,
        face_model_sha256=HEAD.sha256,
        fps=24.0,
        rotation=rotation,
        image_size=(480, 640),
        translation=np.tile([0.05, -0.05, -1.2], (48, 1)),
    )


def watched(motion: FaceMotion, detector) -> Observations:
    """What the detector sees in the whole pictures of a motion."""
    detector.reset()
    pictures = render(motion, options=RenderOptions(view="camera"))
    points = [
        detector.detect(np.asarray(p), t)[0].points[:, :2] for p, t in zip(pictures, motion.timestamps, strict=True)
    ]
    return Observations(
        points=np.stack(points).astype(np.float32),
        score=np.ones(len(motion), np.float32),
        timestamps=motion.timestamps,
        fps=motion.fps,
        image_size=motion.image_size,
        name="drawn",
        decode_seconds=0.0,
        detect_seconds=0.0,
    )


def test_the_true_motion_is_seen_again_and_a_wrong_one_is_not(detector):
    motion = speaking()
    seen = watched(motion, detector)
    right = redetect(motion, seen, HEAD, detector)
    assert (right.frames, right.missed) == (48, 0)
    assert {name for name, does in right.moves.items() if does} >= {"mouth gap", "mouth width", "yaw", "pitch"}
    assert right.mean > 0.97
    still = replace(motion, expression=np.zeros_like(motion.expression))
    wrong = redetect(still, seen, HEAD, detector)
    assert wrong.correlation["yaw"] > 0.9
    assert wrong.correlation["mouth gap"] < 0.5
    assert wrong.mean < right.mean - 0.2


def test_other_landmarks_and_other_lengths_are_refused(detector):
    motion = speaking()
    seen = watched(motion, detector)
    with pytest.raises(TdmmError, match="mediapipe478"):
        redetect(motion, replace(seen, scheme="ibug68"), HEAD, detector)
    with pytest.raises(TdmmError, match="20 frames"):
        redetect(motion[:20], seen, HEAD, detector)
