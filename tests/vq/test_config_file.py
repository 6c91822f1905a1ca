"""Settings of a training in a file: what is said counts, and what is no setting is an error."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from pathlib import Path

import pytest

from tdmm.errors import TokensError
from tdmm.vq.config import PRESETS
from tdmm.vq.config_file import _KINDS, _NESTED, _TABLES, Settings, read_settings
from tdmm.vq.train import TrainOptions


@pytest.fixture
def written(tmp_path):
    def write(text: str) -> Path:
        (tmp_path / "vq.toml").write_text(text)
        return tmp_path / "vq.toml"

    return write


def test_nothing_said_is_the_preset():
    for name, preset in PRESETS.items():
        assert Settings().codec(name) == preset
        assert Settings().codec(preset) == preset
    assert Settings().options() == TrainOptions()


def test_what_a_file_says(written):
    settings = read_settings(
        written(
            '[codec]\nstride = 2\ninput = "parameters"\n[codec.face]\nwidth = 64\n[codec.head]\ncodes = 32\n'
            "[train]\nsteps = 7\nseconds = 60\n[losses]\nlips = 2\ncurves = 0\n[augmentation]\nmirror = 0\n"
        )
    )
    base = PRESETS["paper"]
    codec = settings.codec("paper")
    assert codec == replace(
        base, stride=2, input="parameters", face=replace(base.face, width=64), head=replace(base.head, codes=32)
    )
    options = settings.options()
    assert (options.steps, options.seconds, options.weights.lips, options.augmentation.mirror) == (7, 60.0, 2.0, 0.0)
    assert isinstance(options.weights.lips, float)
    assert options.weights.curves == 0
    assert options.batch == TrainOptions().batch


def test_what_is_said_later_counts_for_more(written):
    settings = read_settings(written("[train]\nsteps = 7\nbatch = 8\n"))
    later = settings.also("train", steps=9, batch=None)
    assert (later.options().steps, later.options().batch) == (9, 8)
    assert settings.options().steps == 7
    assert later.says("train", "steps")
    assert not later.says("codec", "input")


def test_the_file_that_the_docs_show_says_the_defaults(written):
    page = Path(__file__).parents[2] / "docs" / "tokens.md"
    (shown,) = re.findall(r"```toml\n(.*?)```", page.read_text("utf-8"), re.S)
    settings = read_settings(written(shown))
    assert settings.codec("paper") == replace(PRESETS["tdmm"], head=PRESETS["paper"].head)  # [codec.head] is not told
    assert settings.options() == TrainOptions(seconds=settings.tables["train"]["seconds"])
    of_docs = {f"{table}.{name}" for table, values in settings.tables.items() for name in values}
    for table in ("codec", "codec.face", "train", "losses"):
        own = {item.name for item in fields(_TABLES[table])} - {*_NESTED.get(table, ()), "fps"}
        assert {f"{table}.{name}" for name in own} <= of_docs


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[codec]\nstrides = 4", r"\[codec\]: there is no setting strides; there are stride, "),
        ("[codec.face]\nblocks = 4", r"\[codec.face\]: there is no setting blocks"),
        ("[codec]\nface = 4", "codec.face: expected a table"),
        ("[train]\nweights = 1", r"\[train\]: there is no setting weights"),
        ("[loss]\nlips = 1", r"loss: expected the tables \[codec\], .*\[losses\]"),
        ("steps = 4", "steps: expected the tables"),
        ("[train]\nsteps = 1.5", "steps: expected a whole number, found 1.5"),
        ("[train]\nsteps = true", "steps: expected a whole number, found True"),
        ("[train]\nloss = 4", "loss: expected text, found 4"),
        ("[losses]\nlips = nan", "lips: expected a number from 0 on, found nan"),
        ("[losses]\nlips = -1", "lips: expected a number from 0 on"),
        ('[losses]\nlips = "much"', "lips: expected a number, found 'much'"),
        ("[train\n", "expected TOML"),
    ],
)
def test_what_is_wrong_is_named_with_its_file(written, text, expected):
    path = written(text)
    with pytest.raises(TokensError, match=expected) as caught:
        read_settings(path)
    assert str(path) in str(caught.value)


def test_files_that_are_not_there_and_presets_that_are_none(tmp_path):
    with pytest.raises(TokensError, match="no such file"):
        read_settings(tmp_path / "nowhere.toml")
    with pytest.raises(TokensError, match="expected one of tdmm, paper"):
        Settings().codec("best")


def test_every_setting_has_a_kind_that_a_file_can_hold():
    for name, table in _TABLES.items():
        for item in fields(table):
            if item.name not in _NESTED.get(name, ()):
                assert str(item.type).partition(" ")[0] in _KINDS, f"{name}.{item.name}"
