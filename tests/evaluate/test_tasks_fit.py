"""Scores of fits as a whole."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_corpus import lines_of, make_corpus, write_predictions

from tdmm.errors import EvaluationError
from tdmm.evaluate.inputs import motion_predictions, read_references
from tdmm.evaluate.tasks.fitting import evaluate_fit
from tdmm.face import load_face_model
from tdmm.io.motion_file import read_motion, write_motion

CLIPS = 4


@pytest.fixture(scope="module")
def model():
    return load_face_model()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("fit") / "corpus", CLIPS, seed=80)


@pytest.fixture(scope="module")
def perfect(corpus, tmp_path_factory) -> Path:
    def told(motion):
        return replace(motion, meta={"fit": {"reprojection_percent": 1.5}})

    return write_predictions(corpus, tmp_path_factory.mktemp("fits") / "p", told)


@pytest.fixture
def fits(perfect, tmp_path) -> Path:
    return Path(shutil.copytree(perfect, tmp_path / "p"))


@pytest.fixture(scope="module")
def perfect_report(corpus, perfect, model):
    return evaluate_fit(read_references(corpus), motion_predictions(perfect), model)


def test_the_truth_itself_has_no_errors(perfect_report):
    assert perfect_report.failures == []
    assert perfect_report.score("vertices that move", "against truth").mean < 0.02
    assert perfect_report.score("correlation of moving expressions", "against truth").mean > 0.999
    assert perfect_report.score("rotation", "against truth").mean < 0.01
    assert perfect_report.score("blinks missed", "against truth").mean == 0
    assert perfect_report.score("reprojection", "without truth").mean == 1.5
    assert perfect_report.score("frames with a face", "without truth").mean == 1
    json.dumps(perfect_report.as_dict(), allow_nan=False)


def test_the_order_changes_nothing(corpus, perfect, model, perfect_report):
    references, files = read_references(corpus), motion_predictions(perfect)
    shuffled = evaluate_fit(dict(reversed(references.items())), dict(reversed(files.items())), model)
    assert shuffled.as_dict() == perfect_report.as_dict()


def test_without_truth_fits_are_scored_by_themselves(perfect, model, perfect_report):
    report = evaluate_fit(None, motion_predictions(perfect), model)
    assert {line.group for line in report.lines} == {"without truth"}
    assert report.references == CLIPS
    assert report.score("jitter", "without truth") == perfect_report.score("jitter", "without truth")
    assert "|references:none|failed:0" in report.signature


def test_what_cannot_be_compared_is_listed_once_each(corpus, fits, model):
    names = sorted(line["id"] for line in lines_of(corpus))
    motion = read_motion(fits / f"{names[0]}.npz")
    write_motion(motion.resample(12.5), fits / f"{names[0]}.npz")
    (fits / f"{names[1]}.npz").unlink()
    write_motion(replace(motion, face_model_sha256="1" * 64, face_model="ict"), fits / f"{names[2]}.npz")
    references = read_references(corpus)
    report = evaluate_fit(references, {**motion_predictions(fits), "stranger": ["x"]}, model)
    reasons = {one.id: one.reason for one in report.failures}
    assert list(reasons) == names[:3]
    assert "are they of the same video" in reasons[names[0]]
    assert reasons[names[1]] == "there is no fit"
    assert "ict" in reasons[names[2]]
    assert report.details["without_reference"] == ["stranger"]
    assert report.signature.endswith("|failed:3")


def test_a_clip_without_truth_and_without_fit_fails_once(corpus, fits, model):
    references = read_references(corpus)
    name = sorted(references)[0]
    (fits / f"{name}.npz").unlink()
    references[name] = replace(references[name], motion=None)
    report = evaluate_fit(references, motion_predictions(fits), model)
    assert [one.id for one in report.failures] == [name]


def test_without_truth_what_cannot_be_measured_is_listed(fits, model):
    names = sorted(path.stem for path in fits.glob("*.npz"))
    motion = read_motion(fits / f"{names[0]}.npz")
    write_motion(replace(motion, face_model_sha256="1" * 64, face_model="ict"), fits / f"{names[0]}.npz")
    write_motion(replace(motion, valid=np.zeros(len(motion), bool)), fits / f"{names[1]}.npz")
    (fits / f"{names[2]}.npz").write_bytes(b"junk")
    report = evaluate_fit(None, motion_predictions(fits), model)
    assert [one.id for one in report.failures] == names[:3]
    assert "ict" in report.failures[0].reason
    assert "saw no face" in report.failures[1].reason
    assert report.score("jitter", "without truth") is not None


def test_no_fit_that_can_be_used_is_an_error(corpus, model):
    with pytest.raises(EvaluationError, match="no fit can be used: there is no fit"):
        evaluate_fit(read_references(corpus), {"stranger": ["x.npz"]}, model)
    with pytest.raises(EvaluationError, match=r"no fit can be used: .*x\.npz"):
        evaluate_fit(None, {"a": ["x.npz"]}, model)
