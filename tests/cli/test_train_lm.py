"""`tdmm train lm`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tdmm.corpus.build import CorpusJob, Generators, generate_corpus
from tdmm.corpus.plan import Settings
from tdmm.lm import train as train_module
from tdmm.lm.model_folder import load_language_model

SMALL = ("--width", 64, "--layers", 1, "--rows", 2, "--length", 640, "--device", "cpu", "--fitted", 0, "--workers", 1)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("train-lm") / "corpus"
    job = CorpusJob(folder=folder, settings=Settings(seed=1), generators=Generators(), motions_only=True)
    assert generate_corpus(job, clips=20).clips == 20
    return folder


@pytest.fixture
def train(tdmm, corpus):
    def call(*arguments: object):
        return tdmm("train", "lm", corpus, *SMALL, *arguments)

    return call


def test_a_model_that_animates_and_describes_is_trained(train, tdmm, tmp_path):
    found = train("-o", tmp_path / "lm", "--steps", 2, "--json")
    assert found.code == 0, found.stderr
    told = json.loads(found.stdout)
    assert told["steps"] == 2
    assert "history" not in told
    assert "step 2: loss" in found.stderr
    assert load_language_model(tmp_path / "lm").facts["longest_steps"] > 10
    motion = tmp_path / "motion.npz"
    assert tdmm("animate", "smiles", "--model", tmp_path / "lm", "--seconds", 2, "-o", motion).code == 0
    assert tdmm("describe", motion, "--model", tmp_path / "lm").stdout.strip()


def test_the_mix_of_tasks_is_that_which_is_given(train, tmp_path):
    shares = [word for name in ("animate", "ask", "continue", "between", "predict") for word in ("--mix", f"{name}=0")]
    found = train("-o", tmp_path / "lm", *shares, "--mix", "short=0", "--steps", 1)
    assert found.code == 0, found.stderr
    assert set(json.loads((tmp_path / "lm" / "metrics.jsonl").read_text())["val"]) == {"describe", "total"}
    said = json.loads((tmp_path / "lm" / "train.json").read_text())["options"]["mix"]
    assert (said["continue_"], said["short"], said["long"]) == (0, 0, 0.35)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("sing=1", "--mix sing=1: expected NAME=X, NAME one of animate"),
        ("ask=", "a number after ask=, found ''"),
        ("ask=-1", "task mix: ask: expected a weight >= 0, found -1.0"),
        ("continue=-1", "task mix: continue: expected a weight >= 0, found -1.0"),
        ("ask=nan", "task mix: ask: expected a weight >= 0, found nan"),
    ],
)
def test_a_mix_that_is_none(train, tmp_path, given, told):
    found = train("-o", tmp_path / "lm", "--mix", given, "--steps", 1)
    assert found.code == 2
    assert told in found.stderr


def test_fits_that_are_not_there(train, tmp_path):
    found = train("-o", tmp_path / "lm", "--fits", tmp_path / "none", "--steps", 1)
    assert found.code == 1
    assert "none: holds no fits" in found.stderr


def test_what_is_there_is_kept(train, tmp_path):
    place = tmp_path / "lm"
    place.mkdir()
    (place / "config.json").write_text("{}")
    found = train("-o", place, "--steps", 1)
    assert found.code == 1
    assert "--force" in found.stderr
    (place / "thesis.tex").write_text("x")
    found = train("-o", place, "--steps", 1, "--force")
    assert found.code == 2
    assert "thesis.tex, which is of no language model" in found.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--width", 100), "--width 100: expected a multiple of 64"),
        (("--preset", "large"), "expected one of tdmm, paper"),
        (("--base", "x", "--preset", "paper"), "choose one"),
        (("--base", "x", "--layers", 3), "of a model from nothing"),
        (("--steps", 0), "steps: expected a positive whole number"),
        (("--lora", 4), "adapters are for a base"),
        (("--resume", "--force"), "choose one"),
    ],
)
def test_what_does_not_go_together_is_told(tdmm, corpus, tmp_path, arguments, said):
    found = tdmm("train", "lm", corpus, "-o", tmp_path / "lm", *arguments)
    assert found.code == 2
    assert said in found.stderr


def test_a_base_that_is_not_there_is_told_at_once(tdmm, corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(train_module, "read_clips", None)  # no motions are turned into tokens before
    found = tdmm("train", "lm", corpus, "-o", tmp_path / "lm", "--base", tmp_path / "no-such", "--device", "cpu")
    assert found.code == 1
    assert "no-such" in found.stderr
    assert "Traceback" not in found.stderr
