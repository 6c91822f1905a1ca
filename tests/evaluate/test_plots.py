"""Plots of reports."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from PIL import Image

from tdmm.errors import MissingPartError, OutputError
from tdmm.evaluate.plots import check_plots, write_plot
from tdmm.evaluate.repeats import Score
from tdmm.evaluate.report import Report


def report(**change) -> Report:
    random = np.random.default_rng(0)
    one = Report("animate", "animate|protocol:1", 40)
    one.add("FID", 3.2, group="embedding", higher=False)
    one.add("R-Precision", Score(0.8, 0.01, 20, True), Score(0.9, 0.02, 20, True), group="embedding")
    one.add("below zero", -0.4, -0.2, group="curves")
    one.add("nothing", float("nan"), group="curves")
    one.embeddings = {"reference": random.normal(size=(30, 8)), "prediction": random.normal(size=(20, 8))}
    for name, value in change.items():
        setattr(one, name, value)
    return one


def drawn(path) -> np.ndarray:
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB"))


def test_a_plot_is_a_picture_in_two_colours(tmp_path):
    write_plot(report(), tmp_path / "scores.png")
    pixels = drawn(tmp_path / "scores.png").reshape(-1, 3).astype(int)
    for colour in ((0xD5, 0x5E, 0x00), (0x00, 0x72, 0xB2)):
        assert (np.abs(pixels - colour).max(1) < 8).sum() > 200
    assert [path.name for path in tmp_path.iterdir()] == ["scores.png"]


EMPTY = np.zeros((0, 8), np.float32)


@pytest.mark.parametrize(
    "change",
    [
        {"embeddings": {}},
        {"lines": []},
        {"lines": [], "embeddings": {}},
        {"embeddings": {"reference": EMPTY, "prediction": EMPTY}},
        {"embeddings": {"reference": EMPTY, "prediction": np.ones((1, 8))}},
        {"embeddings": {"reference": EMPTY, "prediction": np.random.default_rng(1).normal(size=(5, 8))}},
        {"embeddings": {"reference": np.ones((2, 8)), "prediction": np.zeros((1, 8))}},
        {"embeddings": {"reference": np.ones((9, 8)), "prediction": EMPTY}},
        {"embeddings": {"prediction": np.random.default_rng(1).normal(size=(5, 8))}},
    ],
    ids=str,
)
def test_whatever_is_missing_the_rest_is_drawn(tmp_path, change):
    write_plot(report(**change), tmp_path / "x.png")
    assert drawn(tmp_path / "x.png").size > 10_000


def test_more_scores_than_there_is_room_for_are_told(tmp_path, monkeypatch):
    from matplotlib.axes import Axes

    titles = []
    real = Axes.set_title
    monkeypatch.setattr(Axes, "set_title", lambda axis, text, **more: titles.append(text) or real(axis, text, **more))
    one = report(embeddings={})
    for number in range(40):
        one.add(f"smile {number}", 0.5, 0.6, group="by kind")
    write_plot(one, tmp_path / "x.png")
    assert titles == ["embedding", "curves", "by kind (the first 24 of 40)"]


def test_equal_reports_give_equal_bytes(tmp_path):
    for name in ("a.png", "b.png"):
        write_plot(report(), tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_without_matplotlib_the_message_says_what_to_install(monkeypatch, tmp_path):
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for work in (check_plots, lambda: write_plot(report(), tmp_path / "x.png")):
        with pytest.raises(MissingPartError, match=r"pip install 'tdmm\[report\]'"):
            work()
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_is_not_there_is_told(tmp_path):
    with pytest.raises(OutputError, match="there is no folder"):
        write_plot(report(), tmp_path / "no" / "x.png")
