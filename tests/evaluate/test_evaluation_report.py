"""Reports: scores in groups, what cannot be measured says so, signatures make scores comparable."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tdmm import __version__
from tdmm.errors import EvaluationError
from tdmm.evaluate.inputs import Failed
from tdmm.evaluate.repeats import Score, score_of
from tdmm.evaluate.report import PROTOCOL, Report, sign


def report() -> Report:
    return Report("animate", "animate|x", 3, failures=[Failed("a", "is not there")])


def test_a_signature_has_all_facts_in_order():
    found = sign("animate", evaluator="abc", references="3:def", seed=0)
    assert found == f"animate|protocol:{PROTOCOL}|tdmm:{__version__}|evaluator:abc|references:3:def|seed:0"


def test_facts_that_are_none_are_left_out_and_zero_is_not():
    assert sign("fit", a=None, b=0, c="") == f"fit|protocol:{PROTOCOL}|tdmm:{__version__}|b:0|c:"


def test_signatures_are_the_same_for_the_same_facts_and_differ_with_each():
    facts = {"evaluator": "abc", "references": "3:def", "failed": 0, "repeats": 20, "seed": 0}
    assert sign("animate", **facts) == sign("animate", **facts)
    others = [sign("describe", **facts), *(sign("animate", **{**facts, name: "other"}) for name in facts)]
    assert len({sign("animate", **facts), *others}) == 7


def test_scores_numbers_and_what_gives_them_are_lines():
    one = report()
    score = score_of([1.0, 2.0], higher_is_better=True, unit="mm")
    one.add("a", score, lambda: score, group="g")
    one.add("b", 0.5, lambda: 0.25, group="g", higher=False, unit="s")
    one.add("b", np.float32(2), 3)
    assert one.score("a", "g") == score
    assert one.lines[0].reference == score
    assert one.score("b", "g") == Score(0.5, None, 1, False, "s")
    assert one.score("b").mean == 2.0
    assert one.score("b").higher_is_better is None


def test_a_score_that_is_not_there_is_an_error():
    with pytest.raises(StopIteration):
        report().score("nothing")


def test_what_cannot_be_measured_says_why():
    def fails() -> Score:
        raise EvaluationError("too few")

    one = report()
    one.add("error", fails, 0.5)
    one.add("nan", float("nan"))
    one.add("infinite", 1.0, float("inf"))
    one.add("both", fails, float("nan"), note="said already")
    assert [line.note for line in one.lines] == [
        "too few",
        "there is nothing of the kind",
        "there is nothing of the kind",
        "said already",
    ]
    assert one.score("error") is None
    assert one.lines[0].reference.mean == 0.5
    assert one.score("infinite").mean == 1.0
    assert one.lines[2].reference is None


def test_other_errors_are_faults_and_pass():
    def fails() -> float:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        report().add("x", fails)


def test_as_dict_is_json():
    one = report()
    one.add("a", score_of(np.array([1.0, 2.0]), higher_is_better=True, unit="mm"), group="g", note="of 2")
    one.add("b", float("nan"))
    one.details["frames"] = 3
    found = json.loads(json.dumps(one.as_dict(), allow_nan=False))
    assert found == {
        "task": "animate",
        "signature": "animate|x",
        "references": 3,
        "failures": [{"id": "a", "reason": "is not there"}],
        "scores": {
            "g/a": {
                "prediction": {"mean": 1.5, "ci95": pytest.approx(1.96 * 0.5 / 2**0.5), "repeats": 2, "unit": "mm"},
                "reference": None,
                "note": "of 2",
            },
            "b": {"prediction": None, "reference": None, "note": "there is nothing of the kind"},
        },
        "frames": 3,
    }


def test_embeddings_are_for_plots_and_not_for_json():
    one = report()
    one.embeddings = {"prediction": np.zeros((3, 2))}
    assert "embeddings" not in one.as_dict()
