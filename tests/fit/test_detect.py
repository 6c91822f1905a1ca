"""The detector on real pictures: one face, none, two; odd sizes; quiet; and what to do when it cannot be loaded."""

import builtins
import os

import numpy as np
import pytest
from clips import portrait

from tdmm.errors import MissingPartError
from tdmm.fit.detect import DetectorOptions, open_detector
from tdmm.fit.quiet import without_chatter


@pytest.fixture(scope="module")
def detector():
    opened = open_detector()
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def fresh(detector):
    detector.reset()


def canvas(height: int = 300, width: int = 700) -> np.ndarray:
    return np.full((height, width, 3), 100, np.uint8)


def test_a_photograph_gives_478_points_in_the_face(detector):
    (face,) = detector.detect(portrait(), 0.0)
    assert face.points.shape == (478, 3)
    assert face.points.dtype == np.float32
    assert face.score > 0.9
    right_eye, left_eye, chin = face.points[[33, 263, 152], :2]
    assert right_eye[0] < left_eye[0]  # the subject's right is on the picture's left
    assert chin[1] > right_eye[1]


def test_grey_and_transparent_pictures_are_understood(detector):
    colour = portrait()
    (expected,) = detector.detect(colour, 0.0)
    for other in (np.dstack([colour, colour[..., :1]]), colour.mean(-1).astype(np.uint8)):
        detector.reset()
        (found,) = detector.detect(other, 0.0)
        assert np.abs(found.points[:, :2] - expected.points[:, :2]).mean() < 3


def test_a_large_picture_gives_the_same_points_enlarged(detector):
    (expected,) = detector.detect(portrait(), 0.0)
    detector.reset()
    (found,) = detector.detect(np.kron(portrait(), np.ones((12, 12, 1), np.uint8)), 0.0)
    assert np.abs(found.points[:, :2] / 12 - expected.points[:, :2]).mean() < 1.0


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 900, 3), (64, 64), (300, 300, 3)])
def test_no_face_is_an_empty_list(detector, shape):
    assert detector.detect(np.full(shape, 77, np.uint8), 0.0) == []


def test_what_is_not_a_picture_is_refused(detector):
    with pytest.raises(ValueError, match="uint8"):
        detector.detect(np.zeros((32, 32, 3), np.float32), 0.0)


def test_the_larger_of_two_faces_is_followed_and_keeps_being_followed(detector):
    both = canvas()
    both[:256, 400:656] = portrait(256)
    both[60:200, 60:200] = portrait(140)
    for frame in range(5):
        (face,) = detector.detect(both, frame / 25)
        assert face.points[:, 0].min() > 400
    # Then the other comes nearer than the first: the track stays.
    both = canvas()
    both[40:240, 420:620] = portrait(200)
    both[:300, 20:320] = portrait(300)
    for frame in range(5, 10):
        (face,) = detector.detect(both, frame / 25)
        assert face.points[:, 0].min() > 400


def test_a_second_face_is_taken_up_only_after_a_while(detector):
    first, second = canvas(), canvas()
    first[:256, 400:656] = portrait(256)
    second[:256, 20:276] = portrait(256)
    hold = DetectorOptions().hold_seconds
    assert detector.detect(first, 0.0)
    assert detector.detect(second, 0.1) == []
    assert detector.detect(second, 0.1 + 0.5 * hold) == []
    (face,) = detector.detect(second, 0.2 + hold)
    assert face.points[:, 0].max() < 300


def test_a_face_that_comes_back_is_found_at_once(detector):
    face, empty = canvas(), canvas()
    face[:256, 400:656] = portrait(256)
    assert detector.detect(face, 0.0)
    assert detector.detect(empty, 0.04) == []
    assert detector.detect(face, 0.08)


def test_reset_gives_the_same_bits_again(detector):
    frames = [np.roll(portrait(), shift, axis=1) for shift in (0, 3, 6)]
    run = lambda: [detector.detect(frame, i / 25)[0].points for i, frame in enumerate(frames)]  # noqa: E731
    first = run()
    detector.reset()
    np.testing.assert_array_equal(first, run())


def test_opening_and_detecting_is_silent(capfd):
    opened = open_detector()
    opened.detect(portrait(), 0.0)
    opened.close()
    assert capfd.readouterr() == ("", "")


def test_errors_pass_where_chatter_does_not(capfd):
    with without_chatter():
        os.write(2, b"W0000 00:00:1.2 7 some.cc:1] chatter\nINFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n")
        os.write(2, b"E0000 00:00:1.2 7 some.cc:1] trouble\n")
    assert capfd.readouterr().err == "E0000 00:00:1.2 7 some.cc:1] trouble\n"


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (ModuleNotFoundError("No module named 'mediapipe'"), "pip install mediapipe==0.10.21"),
        (ImportError("libGL.so.1: cannot open shared object file"), "apt-get install libgl1 libglib2.0-0"),
    ],
)
def test_a_detector_that_does_not_load_says_how_to_install_it(monkeypatch, error, advice):
    real = builtins.__import__

    def fail(name, *args, **kwargs):
        if name.split(".")[0] == "mediapipe":
            raise error
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", fail)
    with pytest.raises(MissingPartError) as raised:
        open_detector()
    assert advice in str(raised.value)
    assert "\n" not in str(raised.value)
