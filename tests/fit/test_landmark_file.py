"""Landmarks from a file: 478, 468 and 68 points are fitted without a video; malformed files are refused in one line."""

import json

import numpy as np
import pytest
from made_up_faces import random_motion

from tdmm.face import load_face_model
from tdmm.face.scheme import IBUG68, MEDIAPIPE478
from tdmm.fit.correspondence import MEDIAPIPE_OF_IBUG, with_scheme
from tdmm.fit.landmark_file import LandmarkFileError, filled_in, read_landmarks
from tdmm.fit.recovery import compare, exact_landmarks
from tdmm.fit.video import FitOptions, fit_landmarks


@pytest.fixture(scope="module")
def head():
    return load_face_model()


@pytest.fixture(scope="module")
def truth(head):
    return random_motion(head, n_frames=40, seed=3, n_shape=50)


def seen_of(truth, head, scheme="mediapipe478", noise=0.005):
    return exact_landmarks(truth, with_scheme(head, scheme), noise=noise)


def save(path, points, **others):
    keys = {"points": points, "fps": 25.0, "image_size": (512, 512), **others}
    np.savez(path, **{key: value for key, value in keys.items() if value is not None})
    return path


def fit(path, head, truth):
    return fit_landmarks(read_landmarks(path), head, options=FitOptions(focal=truth.camera[0, 0]))


# On these forty frames 478 points give 0.73 mm and 0.5 degrees, 68 points 1.36 mm and 1.4 degrees (no expression:
# 3.3 mm): a file does not tell its noise, so that its points are trusted like a detector's.
@pytest.mark.parametrize(("scheme", "vertex_mm", "degrees"), [("mediapipe478", 1.0, 0.8), ("ibug68", 1.6, 1.7)])
def test_a_file_is_fitted_without_a_video(tmp_path, head, truth, scheme, vertex_mm, degrees):
    seen = seen_of(truth, head, scheme)
    path = save(tmp_path / "points.npz", seen.points, score=seen.score)
    fitted = fit(path, head, truth)
    found = compare(truth, fitted, head)
    assert found.vertex_mm < vertex_mm
    assert found.rotation_degrees < degrees
    assert fitted.fps == 25
    assert fitted.image_size == (512, 512)
    assert fitted.valid.all()
    assert fitted.meta["source"] == "points.npz"
    assert fitted.meta["fit"]["landmarks"] == seen.points.shape[1]
    json.dumps(fitted.meta, allow_nan=False)


def test_468_points_are_478_without_irises(tmp_path, head, truth):
    seen = seen_of(truth, head)
    observations = read_landmarks(save(tmp_path / "points.npz", seen.points[:, :468]))
    assert observations.scheme == "mediapipe478"
    np.testing.assert_array_equal(observations.points[:, :468], seen.points[:, :468])
    assert (observations.visible[:, 468:] == 0).all()
    assert (observations.visibility()[:, 468:] == 0).all()
    assert (observations.visible[:, :468] == 1).all()
    # What stands in for an iris lies in its eye: nothing that looks at all points goes astray.
    eyes = np.linalg.norm(seen.points[:, 263] - seen.points[:, 33], axis=1)
    assert (np.linalg.norm(observations.points[:, 468] - seen.points[:, 468], axis=1) < 0.15 * eyes).all()
    assert compare(truth, fit(tmp_path / "points.npz", head, truth), head).vertex_mm < 1.2


def test_depth_is_left_out_and_whole_numbers_are_numbers(tmp_path, head, truth):
    points = np.round(seen_of(truth, head).points).astype(np.int32)
    deep = np.concatenate([points, points[..., :1]], axis=2)
    observations = read_landmarks(save(tmp_path / "points.npz", deep))
    np.testing.assert_array_equal(observations.points, points)


def test_frames_of_nan_and_of_score_0_show_no_face(tmp_path, head, truth):
    points = seen_of(truth, head).points.copy()
    score = np.full(len(points), 0.9)
    points[5:8] = np.nan
    points[8, 60:] = np.nan  # a few points are not a face
    score[20], score[21] = 0, np.nan
    observations = read_landmarks(save(tmp_path / "points.npz", points, score=score))
    hidden = np.isin(np.arange(len(points)), (5, 6, 7, 8, 20, 21))
    np.testing.assert_array_equal(observations.seen, ~hidden)
    assert np.isfinite(observations.points).all()
    fitted = fit_landmarks(observations, head)
    np.testing.assert_array_equal(fitted.valid, ~hidden)


def test_landmarks_that_were_not_seen_are_not_used(tmp_path, head, truth):
    seen = seen_of(truth, head)
    points = seen.points.copy()
    random = np.random.default_rng(0)
    lost = random.random(points.shape[:2]) < 0.3
    points[lost] = np.nan
    observations = read_landmarks(save(tmp_path / "points.npz", points))
    np.testing.assert_array_equal(observations.visible == 0, lost)
    np.testing.assert_array_equal(observations.visibility()[lost], 0)
    eyes = np.linalg.norm(seen.points[:, 263] - seen.points[:, 33], axis=1).mean()
    miss = np.linalg.norm(observations.points - seen.points, axis=-1)[lost]
    assert miss.mean() < 0.1 * eyes
    fitted = fit(tmp_path / "points.npz", head, truth)
    assert compare(truth, fitted, head).vertex_mm < 1.2
    assert fitted.meta["fit"]["reprojection_percent"] < 1.5  # of those that were seen


def test_fillers_follow_an_affine_map_exactly():
    random = np.random.default_rng(0)
    first = random.standard_normal((478, 2))
    turned = first @ random.standard_normal((2, 2)) + (3, 4)
    seen = np.ones((2, 478), bool)
    seen[0, 50:70], seen[1, 100:200] = False, False
    truth = np.stack([first, turned])
    points = np.where(seen[..., None], truth, np.nan)
    np.testing.assert_allclose(filled_in(points, seen, MEDIAPIPE478), truth, atol=1e-9)


def test_timestamps_and_rate_are_made_from_each_other(tmp_path, head, truth):
    points = seen_of(truth, head).points[:4]
    read = lambda **keys: read_landmarks(save(tmp_path / "points.npz", points, **keys))  # noqa: E731
    np.testing.assert_allclose(read(fps=50).timestamps, [0, 0.02, 0.04, 0.06])
    uneven = np.array([1.0, 1.04, 1.08, 1.2])
    assert read(fps=None, timestamps=uneven).fps == pytest.approx(25)
    both = read(fps=30, timestamps=uneven)
    assert both.fps == 30
    np.testing.assert_array_equal(both.timestamps, uneven)


def good():
    return np.random.default_rng(0).uniform(100, 400, (6, 68, 2))


def with_nan(*where):
    points = good()
    points[where] = np.nan
    return points


MALFORMED = {
    "no points": (dict(points=None), "has no points"),
    "no size": (dict(image_size=None), "has no image_size"),
    "no time": (dict(fps=None), "neither timestamps nor fps"),
    "a key too many": (dict(landmarks=np.zeros(3)), "unknown keys landmarks"),
    "two axes": (dict(points=good()[0]), r"points: expected numbers \(T, L, 2\), found float64 \(68, 2\)"),
    "no frames": (dict(points=good()[:0]), r"found float64 \(0, 68, 2\)"),
    "text": (dict(points=np.full((2, 68, 2), "x")), "points: expected numbers"),
    "objects": (dict(points=np.full((2, 68, 2), None)), "holds Python objects"),
    "an odd number": (dict(points=good()[:, :51]), "51 landmarks belong to no known scheme; expected 478"),
    "another number": (dict(scheme="mediapipe478"), "expected 478 landmarks of mediapipe478, found 68"),
    "unknown scheme": (dict(scheme="wflw98"), "scheme: expected mediapipe478, mediapipe468, ibug68, found 'wflw98'"),
    "infinite": (dict(points=np.where(good() > 390, np.inf, good())), "infinite"),
    "far outside": (dict(points=good() * 1e9), "more than 100 pictures away"),
    "eyes in one place": (dict(points=np.full((6, 68, 2), 50.0)), "outer corners of the eyes .* lie on one another"),
    "parts of the picture": (dict(points=good() / 512), "multiply parts of the picture's width and height"),
    "score per landmark": (dict(score=np.ones((6, 68))), r"score: expected numbers \(6,\)"),
    "score in percent": (dict(score=np.full(6, 99.0)), "score: expected 0..1, found 99..99"),
    "no face": (dict(score=np.zeros(6)), "no frame holds a face"),
    "all NaN": (dict(points=np.full((6, 68, 2), np.nan)), "no frame holds a face"),
    "no eyes": (dict(points=with_nan(slice(None), 45)), "outer corners of the eyes"),
    "no rate": (dict(fps=0.0), "fps: expected a positive number, found 0.0"),
    "too few timestamps": (dict(timestamps=np.arange(3.0)), r"timestamps: expected seconds \(6,\)"),
    "time stands still": (dict(timestamps=np.zeros(6)), "timestamps: expected increasing seconds"),
    "one frame": (dict(points=good()[:1], fps=None, timestamps=np.zeros(1)), "one frame has no frame rate"),
    "three sizes": (dict(image_size=(512, 512, 3)), r"image_size: .* found \[512, 512, 3\]"),
    "half a pixel": (dict(image_size=(512.5, 512)), "image_size"),
}


def test_eyes_in_one_place_in_one_frame_do_no_harm(tmp_path, head, truth):
    """What is measured in eye distances is measured in those of the other frames there."""
    points = seen_of(truth, head, "ibug68").points.copy()
    points[7] = points[7, 30]
    fitted = fit(save(tmp_path / "points.npz", points), head, truth)
    assert np.isfinite(fitted.meta["fit"]["reprojection_percent"])
    json.dumps(fitted.meta, allow_nan=False)


@pytest.mark.parametrize("case", MALFORMED)
def test_what_is_malformed_is_said_in_one_line(tmp_path, case):
    keys, message = MALFORMED[case]
    keys = {"points": good(), **keys}
    path = save(tmp_path / "points.npz", keys.pop("points"), **keys)
    with pytest.raises(LandmarkFileError, match=message) as caught:
        read_landmarks(path)
    assert "\n" not in str(caught.value)
    assert "points.npz" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no .npz|cannot be read|damaged"),
        (b"x,y\n1,2\n", "no .npz"),
        (b"PK\x03\x04 cut off", "damaged"),
        (None, "there is no such file"),
    ],
)
def test_what_is_no_npz_is_said_in_one_line(tmp_path, content, message):
    path = tmp_path / "points.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(LandmarkFileError, match=message) as caught:
        read_landmarks(path)
    assert "\n" not in str(caught.value)


def test_one_array_and_a_damaged_archive_are_refused(tmp_path):
    np.save(tmp_path / "points.npy", good())
    with pytest.raises(LandmarkFileError, match="is one array"):
        read_landmarks(tmp_path / "points.npy")
    path = save(tmp_path / "points.npz", good())
    data = bytearray(path.read_bytes())
    data[400:420] = bytes(20)
    path.write_bytes(data)
    with pytest.raises(LandmarkFileError, match="damaged"):
        read_landmarks(path)


# -- the 68 points on a mesh ----------------------------------------------------------------------------


def test_the_68_points_lie_where_their_names_say(head):
    import torch

    other = with_scheme(head, "ibug68")
    assert head.landmark_embedding.scheme == "mediapipe478"  # the model given is left alone
    assert with_scheme(head, "mediapipe478") is head
    with torch.inference_mode():
        rest = other.landmarks(other.vertices(torch.zeros(0), torch.zeros(1, 52)))[0].numpy()
    mirrored = [
        *range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, *range(35, 30, -1),
        45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
        *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), 67, 66, 65,
    ]  # fmt: skip
    swapped = rest[mirrored] * (-1, 1, 1)
    np.testing.assert_allclose(swapped[:, :2], rest[:, :2], atol=3.5e-3)
    np.testing.assert_allclose(swapped[17:, 2], rest[17:, 2], atol=3.5e-3)  # on the jaw depth is a matter of taste
    x, y = rest[:, 0], rest[:, 1]
    for run in (range(1, 16), range(17, 27), range(31, 36), range(36, 40), range(42, 46), range(48, 55), range(60, 65)):
        assert (np.diff(x[list(run)]) > 0).all()  # from the subject's right to the left
    assert (np.diff(y[:9]) < 0).all()  # down the jaw
    assert (np.diff(y[27:31]) < 0).all()  # down the nose
    assert y[8] < y[57] < y[33] < y[30] < y[36] < y[19]
    for upper, lower in ((37, 41), (38, 40), (43, 47), (44, 46), (50, 58), (51, 57), (62, 66)):
        assert y[upper] > y[lower]
        assert abs(x[upper] - x[lower]) < 6e-3


def test_the_table_names_each_point_once():
    assert len(set(MEDIAPIPE_OF_IBUG)) == IBUG68.n_points
    assert [MEDIAPIPE_OF_IBUG[i] for i in IBUG68.outer_eyes] == list(MEDIAPIPE478.outer_eyes)
