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
    monkeypatch.setattr(tasks_detector, "download_landmarker", lambda folder: downloads.append(folder) or folder / "it")
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
    assert landmarker_file(None, Console()) == str(tmp_path / "it")
    assert new_mediapipe == [tmp_path]
    assert "3.8 MB" in capsys.readouterr().err


def test_without_mediapipe_nothing_is_downloaded(monkeypatch, new_mediapipe):
    monkeypatch.setattr(tasks_detector, "has_mediapipe", lambda: False)
    assert landmarker_file(None, Console()) is None
    assert new_mediapipe == []
