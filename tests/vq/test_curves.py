"""The picture of a training."""

from __future__ import annotations

import sys

import numpy as np
from PIL import Image

from tdmm.vq.curves import write_curves


def history(**val: float) -> list[dict[str, object]]:
    return [
        {"step": step, "loss": 9.0 / step, "val": {"total": 0.0, **val}, "use": [0.5, 1.0, 0.25]} for step in (1, 2, 4)
    ]


VAL = {"face": 1.0, "lips": 2.0, "eyelids": 0.5, "curves": 0.1}


def test_a_picture_with_four_panels(tmp_path):
    assert write_curves(history(**VAL), tmp_path / "curves.png")
    picture = np.asarray(Image.open(tmp_path / "curves.png").convert("L"))
    assert picture.shape[1] > 2 * picture.shape[0]
    for quarter in np.array_split(picture, 4, axis=1):
        assert quarter.min() < 100 < 250 < quarter.max()  # ink on paper


def test_without_a_val_split_the_rest_is_drawn(tmp_path):
    assert write_curves(history(), tmp_path / "curves.png")
    pictures = {(tmp_path / "curves.png").read_bytes()}
    for val in (VAL, {**VAL, "curves": 0.5}, {**VAL, "lips": 0.5}):
        write_curves(history(**val), tmp_path / "other.png")
        pictures.add((tmp_path / "other.png").read_bytes())
    assert len(pictures) == 4


def test_without_matplotlib_or_lines_nothing_happens(tmp_path, monkeypatch):
    assert not write_curves([], tmp_path / "curves.png")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert not write_curves(history(), tmp_path / "curves.png")
    assert list(tmp_path.iterdir()) == []
