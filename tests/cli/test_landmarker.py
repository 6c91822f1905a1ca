"""Which landmarker file is used: the named one, the variable's, none where mediapipe has models, else a download."""

import pytest

from tdmm.cli.console import Console
from tdmm.cli.landmarker import landmarker_file
from tdmm.fit import tasks_detector


@pytest.fixture
def new_mediapipe(monkeypatch, tmp_path):
    """A mediapipe without models, a cache folder of its own, and what was downloaded."""
    downloads = []
    monkeypatch.setattr(tasks_detector, "wheel_holds_models", lambda: False)
    monkeypatch.setattr(tasks_detector, "has_mediapipe", lambda: True)
    monkeypatch.setattr(tasks_detector, "download_landmarker", lambda place: downloads.append(place) or place)
    monkeypatch.setenv("TDMM_CACHE", str(tmp_path))
    monkeypatch.delenv("TDMM_LANDMARKER", raising=False)
    return downloads


def test_the_named_one_comes_before_the_variable(monkeypatch, new_mediapipe):
    monkeypatch.setenv("TDMM_LANDMARKER", "mine.task")
    assert landmarker_file("named.task", Console()) == "named.task"
    assert landmarker_file(None, Console()) == "mine.task"
    assert new_mediapipe == []


def test_none_is_needed_where_mediapipe_has_models(monkeypatch):
    monkeypatch.delenv("TDMM_LANDMARKER", raising=False)
    assert landmarker_file(None, Console()) is None


def test_where_it_has_none_one_is_downloaded_into_the_cache(new_mediapipe, tmp_path, capsys):
    place = tmp_path / "face_landmarker.task"
    assert landmarker_file(None, Console()) == str(place)
    assert new_mediapipe == [place]
    assert "3.8 MB" in capsys.readouterr().err


def test_without_mediapipe_nothing_is_downloaded(monkeypatch, new_mediapipe):
    monkeypatch.setattr(tasks_detector, "has_mediapipe", lambda: False)
    assert landmarker_file(None, Console()) is None
    assert new_mediapipe == []


def test_doctor_tells_which_one_is_used(monkeypatch, new_mediapipe, tmp_path):
    """As with a mediapipe whose wheel holds no models."""
    import subprocess

    from tdmm.cli import doctor

    answer = lambda command, **_: subprocess.CompletedProcess(command, 0, "no models\n", "")  # noqa: E731
    monkeypatch.setattr(doctor.subprocess, "run", answer)
    found = lambda: doctor.check_mediapipe()[0]  # noqa: E731
    assert found().state == "ok"
    assert "downloaded when first needed" in found().found
    (tmp_path / "face_landmarker.task").write_bytes(b"")
    assert str(tmp_path / "face_landmarker.task") in found().found
    monkeypatch.setenv("TDMM_LANDMARKER", "mine.task")
    assert "uses mine.task" in found().found
