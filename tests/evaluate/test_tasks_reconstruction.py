"""Reconstruction as a whole."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_corpus import frozen, lines_of, make_corpus, write_predictions

from tdmm.errors import EvaluationError, TokensError
from tdmm.evaluate.inputs import motion_predictions, read_references
from tdmm.evaluate.tasks.reconstruct import evaluate_reconstruction
from tdmm.face import load_face_model
from tdmm.io.motion_file import read_motion, write_motion

CLIPS = 6


@pytest.fixture(scope="module")
def model():
    return load_face_model()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("reconstruction") / "corpus", CLIPS, seed=79)


@pytest.fixture(scope="module")
def perfect(corpus, tmp_path_factory) -> Path:
    return write_predictions(corpus, tmp_path_factory.mktemp("decoded") / "p")


@pytest.fixture
def predictions(perfect, tmp_path) -> Path:
    return Path(shutil.copytree(perfect, tmp_path / "p"))


@pytest.fixture(scope="module")
def perfect_report(corpus, perfect, model):
    return score(corpus, perfect, model)


def score(corpus, predictions, model, **more):
    return evaluate_reconstruction(read_references(corpus), motion_predictions(predictions), model, **more)


def test_the_motions_themselves_have_no_errors(perfect_report):
    assert perfect_report.failures == []
    assert perfect_report.references == CLIPS
    for line in perfect_report.lines:
        if line.prediction is not None and line.prediction.unit.startswith("mm"):
            assert line.prediction.mean < 0.02, line.name
    assert perfect_report.score("blink recall", "motion").mean == 1
    assert perfect_report.score("blinks kept", "motion").mean == 1
    assert perfect_report.score("rotation", "head").mean == pytest.approx(0, abs=1e-3)
    assert perfect_report.details["frames_left_out"] == 0
    json.dumps(perfect_report.as_dict(), allow_nan=False)


def test_the_signature_names_the_face_model(perfect_report, model):
    assert f"face_model:{model.name}:{model.sha256[:12]}|references:{CLIPS}:" in perfect_report.signature
    assert perfect_report.signature.endswith("|failed:0")


def test_the_order_changes_nothing(corpus, perfect, model, perfect_report):
    references, files = read_references(corpus), motion_predictions(perfect)
    report = evaluate_reconstruction(dict(reversed(references.items())), dict(reversed(files.items())), model)
    assert report.as_dict() == perfect_report.as_dict()


def test_a_folder_of_motions_is_a_reference(perfect, model):
    report = score(perfect, perfect, model)
    assert report.score("face mean", "vertices").mean == 0


def test_frozen_motions_have_errors(corpus, tmp_path, model):
    report = score(corpus, write_predictions(corpus, tmp_path / "p", frozen), model)
    assert report.score("face mean", "vertices").mean > 1
    assert report.score("face 95th percentile", "vertices").mean > report.score("face mean", "vertices").mean
    assert report.score("velocity error", "motion").mean > 0.05
    assert report.score("blinks kept", "motion").mean == 0
    assert report.score("translation", "head").mean > 0


def test_what_cannot_be_compared_is_listed(corpus, predictions, model):
    names = sorted(line["id"] for line in lines_of(corpus))
    motion = read_motion(predictions / f"{names[2]}.npz")
    (predictions / f"{names[0]}.npz").unlink()
    (predictions / f"{names[1]}.npz").write_bytes(b"junk")
    write_motion(replace(motion, face_model_sha256="1" * 64, face_model="ict"), predictions / f"{names[2]}.npz")
    write_motion(read_motion(predictions / f"{names[3]}.npz").resample(30), predictions / f"{names[3]}.npz")
    write_motion(replace(motion, valid=np.zeros(len(motion), bool)), predictions / f"{names[4]}.npz")
    shutil.copy(predictions / f"{names[5]}.npz", predictions / "stranger.npz")
    report = score(corpus, predictions, model)
    reasons = {one.id: one.reason for one in report.failures}
    # One of another rate is compared at its rate.
    assert list(reasons) == [*names[:3], names[4]]
    assert reasons[names[0]] == "there is no prediction"
    assert "expected a motion file" in reasons[names[1]]
    assert reasons[names[2]] == f"is of the face model ict, not of {model.name}"
    assert "shows no face in any frame" in reasons[names[4]]
    assert report.signature.endswith("|failed:4")
    assert report.details["without_reference"] == ["stranger"]
    assert report.score("face mean", "vertices").mean < 0.02
    for name in (names[3], names[5]):
        (predictions / f"{name}.npz").unlink()
    with pytest.raises(EvaluationError, match="no pair to compare: there is no prediction"):
        score(corpus, predictions, model)


def test_references_without_motions_or_of_another_model_are_listed(perfect, model, tmp_path):
    names = sorted(path.stem for path in perfect.glob("*.npz"))
    place = Path(shutil.copytree(perfect, tmp_path / "r"))
    motion = read_motion(place / f"{names[0]}.npz")
    write_motion(replace(motion, face_model_sha256="1" * 64, face_model="ict"), place / f"{names[0]}.npz")
    lines = [{"id": name, "motion": f"{name}.npz"} for name in names[:-1]]
    lines += [{"id": names[-1], "video": "x.mp4"}]
    (place / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    report = score(place, perfect, model)
    assert [(one.id, one.reason) for one in report.failures] == [
        (names[0], f"the reference is of ict, not of {model.name}"),
        (names[-1], "there is no reference motion"),
    ]


def test_the_use_of_the_codebook(corpus, perfect, model, tmp_path):
    tokens = tmp_path / "tokens.jsonl"
    tokens.write_text('{"id": "a", "codes": [[0], [1], [1]]}\n{"id": "b", "codes": [[3]]}\n')
    report = score(corpus, perfect, model, tokens=tokens, codebook=8)
    line = next(line for line in report.lines if line.name == "codes used, codebook 1")
    assert line.prediction.mean == 3
    assert line.note == "of 8, 4 tokens"
    expected = np.exp(-(0.5 * np.log(0.25) + 0.5 * np.log(0.5)))
    assert report.score("perplexity, codebook 1", "tokens").mean == pytest.approx(expected)
    with pytest.raises(TokensError, match="found the code 3, expected less than 3"):
        score(corpus, perfect, model, tokens=tokens, codebook=3)


def test_sizes_of_codebooks_are_told_by_the_lines(corpus, perfect, model, tmp_path):
    tokens = tmp_path / "tokens.jsonl"
    tokens.write_text('{"id": "a", "codes": [[0, 1], [1, 1]], "sizes": [4, 2]}\n{"id": "b", "codes": [[3, 0]]}\n')
    lines = {line.name: line for line in score(corpus, perfect, model, tokens=tokens).lines if line.group == "tokens"}
    assert lines["codes used, codebook 1"].note == "of 4, 3 tokens"
    assert lines["codes used, codebook 2"].note == "of 2, 3 tokens"
