"""mediapipe's Tasks API as a detector, run with a landmarker made from the wheel's own models; and files that are none.

Google's `face_landmarker.task` itself is not run here: it would have to be downloaded.
"""

import builtins
import hashlib
import io
import urllib.error
import zipfile

import numpy as np
import pytest
from clips import portrait
from made_up_landmarker import write_landmarker

from tdmm.errors import MissingPartError
from tdmm.fit import tasks_detector
from tdmm.fit.detect import DetectorOptions, open_detector
from tdmm.fit.tasks_detector import LandmarkerError, TasksDetector, download_landmarker, wheel_holds_models


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    pytest.importorskip("mediapipe.tasks.metadata.schema_py_generated", reason="needs mediapipe 0.10.21")
    return str(write_landmarker(tmp_path_factory.mktemp("task") / "made.task"))


@pytest.fixture(scope="module")
def detector(task):
    opened = open_detector(DetectorOptions(landmarker=task))
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def fresh(request):
    if "detector" in request.fixturenames:
        request.getfixturevalue("detector").reset()


def canvas(*places: tuple[int, int, int]) -> np.ndarray:
    """Portraits of a side, at x and y."""
    picture = np.full((300, 700, 3), 100, np.uint8)
    for side, x, y in places:
        picture[y : y + side, x : x + side] = portrait(side)
    return picture


def test_it_finds_what_the_other_detector_finds(detector):
    assert isinstance(detector, TasksDetector)
    assert detector.scheme == "mediapipe478"
    (found,) = detector.detect(portrait(), 0.0)
    other = open_detector()
    (expected,) = other.detect(portrait(), 0.0)
    other.close()
    miss = np.linalg.norm((found.points - expected.points)[:, :2], axis=1)
    # The same model, but for lips and lids, which it does not look at twice.
    assert np.median(miss) < 0.2
    assert miss.mean() < 1.0
    assert miss[468:].max() < 0.5
    np.testing.assert_allclose(found.points[1, 2], expected.points[1, 2], atol=1.0)
    assert found.points.dtype == np.float32
    assert found.score == 1.0


def test_grey_and_transparent_pictures_are_understood(detector):
    colour = portrait()
    (expected,) = detector.detect(colour, 0.0)
    for other in (np.dstack([colour, colour[..., :1]]), colour.mean(-1).astype(np.uint8)):
        detector.reset()
        (found,) = detector.detect(other, 0.0)
        assert np.abs(found.points[:, :2] - expected.points[:, :2]).mean() < 3


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 900, 3), (64, 64), (300, 300, 3)])
def test_no_face_is_an_empty_list(detector, shape):
    assert detector.detect(np.full(shape, 77, np.uint8), 0.0) == []


def test_timestamps_may_stand_still_or_go_back(detector):
    for seconds in (0.0, 0.0, 0.0004, 10.0, 3.0):
        assert len(detector.detect(portrait(), seconds)) == 1


def test_the_larger_of_two_faces_is_followed_and_keeps_being_followed(detector):
    for frame in range(3):
        (face,) = detector.detect(canvas((300, 400, 0), (256, 60, 20)), frame / 25)
        assert face.points[:, 0].min() > 400
    for frame in range(3, 6):
        (face,) = detector.detect(canvas((256, 422, 20), (300, 60, 0)), frame / 25)
        assert face.points[:, 0].min() > 400
    detector.reset()  # what is larger now would be taken up
    (face,) = detector.detect(canvas((256, 422, 20), (300, 60, 0)), 0.0)
    assert face.points[:, 0].max() < 400


def test_a_second_face_is_taken_up_only_after_a_while(detector):
    first, second = canvas((256, 400, 0)), canvas((256, 20, 0))
    hold = DetectorOptions().hold_seconds
    assert detector.detect(first, 0.0)
    assert detector.detect(second, 0.1) == []
    assert detector.detect(second, 0.1 + 0.5 * hold) == []
    (face,) = detector.detect(second, 0.2 + hold)
    assert face.points[:, 0].max() < 300


def test_several_faces_are_found_the_first_one_stays_first(task):
    opened = open_detector(DetectorOptions(landmarker=task, faces=None))
    both = opened.detect(canvas((300, 400, 0), (256, 60, 20)), 0.0)
    assert [face.points[:, 0].mean() > 350 for face in both] == [True, False]
    both = opened.detect(canvas((256, 422, 20), (300, 60, 0)), 0.04)
    assert [face.points[:, 0].mean() > 350 for face in both] == [True, False]
    opened.close()


def test_landmarks_do_not_lag(detector):
    """Moved by 4 pixels a frame, the points are where they are in the same picture seen alone."""
    frames = [np.roll(portrait(), shift, axis=1) for shift in (0, 4, 8, 12)]
    followed = [detector.detect(frame, i / 25)[0].points for i, frame in enumerate(frames)][-1]
    detector.reset()
    (alone,) = detector.detect(frames[-1], 0.0)
    assert abs((followed - alone.points)[:, 0].mean()) < 0.5


def test_reset_gives_the_same_bits_again(detector):
    frames = [np.roll(portrait(), shift, axis=1) for shift in (0, 3, 6)]
    run = lambda: [detector.detect(frame, i / 25)[0].points for i, frame in enumerate(frames)]  # noqa: E731
    first = run()
    detector.reset()
    np.testing.assert_array_equal(first, run())


def test_opening_and_detecting_is_silent(task, capfd):
    opened = open_detector(DetectorOptions(landmarker=task))
    opened.detect(portrait(), 0.0)
    opened.close()
    assert capfd.readouterr() == ("", "")


# -- files that are none, and what is not installed ------------------------------------------------------


def bundle(path, **parts):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            archive.writestr(f"{name}.tflite", data)
    return path


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path, "there is no such file; get https://"),
        (lambda path: path.write_bytes(b"hello"), r"is no \.task file"),
        (lambda path: path.write_bytes(b""), r"is no \.task file"),
        (lambda path: path.mkdir(), r"is no \.task file"),
        (lambda path: bundle(path, hand_detector=b""), "holds no face_detector.tflite and no face_landmarks"),
        (lambda path: bundle(path, face_detector=b"x" * 99, face_landmarks_detector=b""), "mediapipe .* does not load"),
    ],
)
def test_a_file_that_is_no_landmarker_is_refused_in_one_line(tmp_path, make, message):
    path = tmp_path / "face.task"
    make(path)
    with pytest.raises(LandmarkerError, match=message) as caught:
        open_detector(DetectorOptions(landmarker=str(path)))
    assert "\n" not in str(caught.value)
    assert "face.task" in str(caught.value)


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (ModuleNotFoundError("No module named 'mediapipe'"), "pip install mediapipe"),
        (ImportError("libGL.so.1: cannot open shared object file"), "apt-get install libgl1 libglib2.0-0"),
        (ImportError("cannot import name 'vision'"), "does not load"),
    ],
)
def test_a_mediapipe_that_does_not_load_says_how_to_install_it(monkeypatch, task, error, advice):
    real = builtins.__import__

    def fail(name, *args, **kwargs):
        if name.split(".")[0] == "mediapipe":
            raise error
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", fail)
    with pytest.raises(MissingPartError) as raised:
        open_detector(DetectorOptions(landmarker=task))
    assert advice in str(raised.value)
    assert "\n" not in str(raised.value)


# -- the download ----------------------------------------------------------------------------------------


def answer_with(monkeypatch, data):
    asked = []

    def urlopen(url, timeout):
        asked.append(url)
        if isinstance(data, Exception):
            raise data
        return io.BytesIO(data)

    monkeypatch.setattr(tasks_detector.urllib.request, "urlopen", urlopen)
    return asked


def test_a_landmarker_is_downloaded_once(tmp_path, monkeypatch):
    asked = answer_with(monkeypatch, b"models")
    monkeypatch.setattr(tasks_detector, "SHA256", hashlib.sha256(b"models").hexdigest())
    path = download_landmarker(tmp_path / "cache" / "face.task")
    assert path.read_bytes() == b"models"
    assert download_landmarker(tmp_path / "cache" / "face.task") == path
    assert asked == [tasks_detector.URL]
    path.write_bytes(b"mod")  # cut off: made again
    assert download_landmarker(tmp_path / "cache" / "face.task").read_bytes() == b"models"
    assert [item.name for item in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"something else", "has the checksum .* instead of 64184e229b26"),
        (urllib.error.URLError("no route to host"), "no route to host"),
        (TimeoutError("timed out"), "timed out"),
    ],
)
def test_a_download_that_fails_says_what_to_do(tmp_path, monkeypatch, data, message):
    answer_with(monkeypatch, data)
    with pytest.raises(MissingPartError, match=message) as caught:
        download_landmarker(tmp_path / "face.task")
    assert "--landmarker" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_the_models_of_the_wheel_are_found_without_importing_it(monkeypatch, tmp_path):
    assert wheel_holds_models()
    empty = tmp_path / "mediapipe"
    empty.mkdir()
    (empty / "__init__.py").write_text("raise AssertionError('imported')")
    spec = tasks_detector.importlib.util.spec_from_file_location(
        "mediapipe", empty / "__init__.py", submodule_search_locations=[str(empty)]
    )
    monkeypatch.setattr(tasks_detector.importlib.util, "find_spec", lambda name: spec)
    assert not wheel_holds_models()
    monkeypatch.setattr(tasks_detector.importlib.util, "find_spec", lambda name: None)
    assert not wheel_holds_models()
