"""`tdmm train`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tdmm.cli.app import run
from tdmm.evaluate.evaluator.store import FILES, load_evaluator
from tdmm.io.manifest import read_manifest

STEPS = ("--steps", 2, "--batch", 8, "--device", "cpu")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("train") / "corpus"
    arguments = ["generate-corpus", "-o", str(folder), "--clips", "60", "--motions-only", "--workers", "1", "-q"]
    assert run(arguments) == 0
    lines = [dict(clip.line) for clip in read_manifest(folder / "manifest.jsonl")]
    for number, line in enumerate(lines):
        line["split"] = "val" if number < 32 else "train"
    (folder / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_an_evaluator_in_two_steps(tdmm, corpus, tmp_path):
    place = tmp_path / "evaluator"
    outcome = tdmm("train", "evaluator", corpus, "-o", place, "--json", *STEPS)
    assert outcome.code == 0, outcome.stderr
    found = outcome.json
    assert (found["evaluator"], found["steps"], found["clips"]) == (str(place), 2, 28)
    assert [one["step"] for one in found["history"]] == [2]
    assert found["best_top1"] == found["history"][0]["top1"]
    said = outcome.stderr.splitlines()
    assert said[0].startswith("step 2: loss ")
    assert said[-1].startswith(f"{place}: R-Precision top-1 ")
    assert load_evaluator(place).facts["trained"]["step"] == 2
    assert sorted(path.name for path in place.iterdir()) == sorted(FILES)

    # It is there: nothing is replaced without --force.
    before = (place / "model.safetensors").read_bytes()
    again = tdmm("train", "evaluator", corpus, "-o", place, *STEPS, "--seed", 1)
    assert again.code == 1
    assert "is already there; replace it with --force" in again.error_line
    assert (place / "model.safetensors").read_bytes() == before
    forced = tdmm("train", "evaluator", corpus, "-o", place, *STEPS, "--seed", 1, "--force", "--quiet")
    assert (forced.code, forced.text, forced.stderr) == (0, "", "")
    assert (place / "model.safetensors").read_bytes() != before


def test_force_takes_nothing_with_it_but_an_evaluator(tdmm, corpus):
    before = sorted(corpus.rglob("*"))
    for place in (corpus, corpus.parent):
        outcome = tdmm("train", "evaluator", corpus, "-o", place, *STEPS, "--force")
        assert outcome.code == 2
        assert "which is of no evaluator; name another folder" in outcome.error_line
    assert sorted(corpus.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["{c}"], 2, "Missing option '--output' / '-o' (see tdmm train evaluator --help)"),
        (["-o", "x"], 2, "Missing argument 'CORPUS"),
        (["nowhere", "-o", "x"], 1, "nowhere: is no corpus"),
        (["{c}", "-o", "nowhere/x"], 1, "there is no folder nowhere; make it first"),
        (["{c}", "-o", "-"], 2, "-o -: an evaluator is a folder"),
        (["{c}", "-o", "file"], 2, "-o file is a file; an evaluator is a folder"),
        (["{c}", "-o", "x", "--loss", "hinge"], 2, "loss: expected one of infonce, margin, found 'hinge'"),
        (["{c}", "-o", "x", "--steps", "0"], 2, "expected positive numbers"),
        (["{c}", "-o", "x", "--batch", "1"], 2, "batch: 2 or more"),
        (["{c}", "-o", "x", "--learning-rate", "0"], 2, "learning rate: expected a positive number"),
        (["{c}", "-o", "x", "--seconds", "0"], 2, "seconds: expected a positive number"),
        (["{c}", "-o", "x", "--seed", "-1"], 2, "seed: expected a number from 0 on"),
        (["{c}", "-o", "x", "--quiet", "--verbose"], 2, "--quiet and --verbose exclude each other"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_inputs_are_told_in_one_line(tdmm, corpus, tmp_path, monkeypatch, arguments, code, expected):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    outcome = tdmm("train", "evaluator", *(one.format(c=corpus) for one in arguments))
    assert outcome.code == code, outcome.stderr
    assert expected in outcome.error_line
    assert outcome.text == ""
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
