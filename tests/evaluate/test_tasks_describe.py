"""Motion2Language as a whole: the captions themselves, failed predictions, and what changes nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_corpus import lines_of, make_corpus

from tdmm.errors import EvaluationError
from tdmm.evaluate.evaluator.store import load_evaluator
from tdmm.evaluate.inputs import Reference, read_references
from tdmm.evaluate.tasks.describe import captions_of, evaluate_describe
from tdmm.io.motion_file import write_motion
from tdmm.motion import make_motion

CLIPS = 64


@pytest.fixture(scope="module")
def evaluator():
    return load_evaluator()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("describe") / "corpus", CLIPS, seed=78)


@pytest.fixture(scope="module")
def references(corpus):
    return read_references(corpus)


@pytest.fixture(scope="module")
def perfect(corpus) -> dict[str, dict]:
    return {
        line["id"]: {
            "id": line["id"],
            "text": captions_of(line)[0],
            "answers": [question["answer"] for question in line["questions"]],
        }
        for line in lines_of(corpus)
    }


@pytest.fixture(scope="module")
def perfect_report(references, perfect, evaluator):
    return evaluate_describe(references, perfect, evaluator, repeats=3)


def test_the_captions_themselves_are_perfect(perfect_report):
    score = perfect_report.score
    assert perfect_report.failures == []
    assert perfect_report.references == CLIPS
    for order in range(1, 5):
        assert score(f"BLEU-{order}", "overlap").mean == pytest.approx(100)
    assert score("ROUGE-L", "overlap").mean == pytest.approx(1)
    assert score("CIDEr", "overlap").mean > 0.1  # other wordings count too
    assert score("accuracy", "answers").mean == 1
    assert score("F1", "attributes").mean > 0.95
    assert score("hallucination", "attributes").mean < 0.03
    for line in perfect_report.lines:
        if line.group in ("attributes", "attribute F1 by kind", "embedding"):
            assert line.prediction == line.reference, line.name
    assert score("R-Precision top-1", "embedding").mean > 0.8


def test_a_perfect_report_is_json_and_signed(perfect_report, evaluator):
    assert json.loads(json.dumps(perfect_report.as_dict(), allow_nan=False))["references"] == CLIPS
    assert f"|evaluator:{evaluator.fingerprint}|references:{CLIPS}:" in perfect_report.signature
    assert perfect_report.signature.endswith("|failed:0|repeats:3|seed:0")
    assert "version:" in perfect_report.details["bleu_signature"]


def test_two_evaluations_are_identical_whatever_the_order(references, perfect, evaluator, perfect_report):
    again = evaluate_describe(references, perfect, evaluator, repeats=3)
    order = [list(references)[one] for one in np.random.default_rng(0).permutation(CLIPS)]
    shuffled = evaluate_describe(
        {name: references[name] for name in order},
        {name: perfect[name] for name in reversed(order)},
        evaluator,
        repeats=3,
    )
    assert again.as_dict() == perfect_report.as_dict()
    assert shuffled.as_dict() == perfect_report.as_dict()


def test_missing_and_empty_predictions_are_listed_and_count(references, perfect, evaluator, perfect_report):
    names = sorted(references)
    predictions = {name: one for name, one in perfect.items() if name != names[0]}
    predictions[names[1]] = {"id": names[1], "text": "  \n"}
    predictions[names[2]] = {"id": names[2], "answers": []}
    report = evaluate_describe(references, predictions, evaluator, repeats=3)
    assert [(one.id, one.reason) for one in report.failures] == [
        (names[0], "there is no prediction"),
        (names[1], "the text is empty"),
        (names[2], "the text is empty"),
    ]
    assert "|failed:3|" in report.signature
    for name, group in (
        ("BLEU-1", "overlap"),
        ("ROUGE-L", "overlap"),
        ("CIDEr", "overlap"),
        ("Recall", "attributes"),
        ("accuracy", "answers"),
        ("R-Precision top-1", "embedding"),
    ):
        assert report.score(name, group).mean < perfect_report.score(name, group).mean, name
    assert report.score("ROUGE-L", "overlap").mean == pytest.approx((CLIPS - 3) / CLIPS)
    for line, before in zip(report.lines, perfect_report.lines, strict=True):
        assert line.reference == before.reference, line.name


def test_texts_of_other_clips_score_worse(references, perfect, evaluator, perfect_report):
    names = list(perfect)
    predictions = {name: perfect[other] for name, other in zip(names, names[1:] + names[:1], strict=True)}
    report = evaluate_describe(references, predictions, evaluator, repeats=3)
    assert report.failures == []
    assert report.score("BLEU-4", "overlap").mean < 40
    assert report.score("F1", "attributes").mean < 0.5
    assert report.score("hallucination", "attributes").mean > 0.3
    assert report.score("R-Precision top-1", "embedding").mean < 0.3
    assert report.score("MM-Dist", "embedding").mean > perfect_report.score("MM-Dist", "embedding").mean + 1


def test_predictions_of_no_reference_are_told(references, perfect):
    report = evaluate_describe(references, {**perfect, "stranger": {"text": "smiles"}}, None)
    assert report.details["without_reference"] == ["stranger"]


def test_no_prediction_of_a_reference_is_an_error(references):
    with pytest.raises(EvaluationError, match="no prediction is of a reference: do the ids match"):
        evaluate_describe(references, {"other": {"text": "smiles"}}, None)
    with pytest.raises(EvaluationError, match="no texts there"):
        evaluate_describe({"a": Reference("a", None, {})}, {"a": {"text": "smiles"}}, None)


def test_answers_that_are_not_given_are_wrong(references, perfect):
    names = sorted(name for name, one in perfect.items() if one["answers"])
    asked = sum(len(perfect[name]["answers"]) for name in names)
    without = {**perfect, names[0]: {"text": "smiles"}}
    short = {**perfect, names[0]: {**perfect[names[0]], "answers": perfect[names[0]]["answers"][:-1]}}
    none = {**perfect, names[0]: {**perfect[names[0]], "answers": [None] * len(perfect[names[0]]["answers"])}}
    first = len(perfect[names[0]]["answers"])
    for predictions, wrong in ((without, first), (short, 1), (none, first)):
        found = evaluate_describe(references, predictions, None).score("accuracy", "answers")
        assert found.mean == pytest.approx((asked - wrong) / asked)


def test_no_answer_is_not_zero_times():
    question = {"kind": "count", "question": "How often?", "answer": "zero times"}
    references = {"a": Reference("a", None, {"text": "does not blink", "questions": [question]})}
    for answers, right in ((["zero"], 1.0), ([None], 0.0), ([0], 1.0), (["zero", "more"], 1.0)):
        report = evaluate_describe(references, {"a": {"text": "does not blink", "answers": answers}}, None)
        assert report.score("accuracy", "answers").mean == right


def test_where_nothing_was_answered_nothing_is_scored(references, perfect):
    report = evaluate_describe(references, {name: {"text": one["text"]} for name, one in perfect.items()}, None)
    assert not [line for line in report.lines if line.group == "answers"]


def test_answers_to_no_questions_say_so():
    references = {"a": Reference("a", None, {"text": "smiles"})}
    report = evaluate_describe(references, {"a": {"text": "smiles", "answers": ["yes"]}}, None)
    assert report.lines[-1].note == "the references have no questions"


def test_plain_texts_are_references_too(perfect, evaluator):
    references = {name: Reference(name, None, {"id": name, "text": one["text"]}) for name, one in perfect.items()}
    report = evaluate_describe(references, perfect, evaluator)
    assert report.score("BLEU-4", "overlap").mean == pytest.approx(100)
    notes = {line.group: line.note for line in report.lines if line.prediction is None}
    assert notes["attributes"] == "the references have no events"
    assert notes["embedding"] == "the references have no motions"


def test_motions_that_the_evaluator_cannot_read_cost_its_scores_alone(perfect, evaluator, tmp_path):
    flame = make_motion(
        np.zeros((5, 2), np.float32), ("expr_000", "expr_001"), face_model="flame", face_model_sha256="1" * 64
    )
    write_motion(flame, tmp_path / "f.npz")
    one = next(iter(perfect.values()))
    references = {one["id"]: Reference(one["id"], str(tmp_path / "f.npz"), {"text": one["text"]})}
    report = evaluate_describe(references, {one["id"]: one}, evaluator)
    assert report.score("BLEU-1", "overlap").mean == pytest.approx(100)
    assert "a motion of flame lacks" in report.lines[-1].note


def test_a_reference_motion_that_cannot_be_read_is_an_error_that_names_it(references, perfect, evaluator):
    name = sorted(references)[4]
    broken = {**references, name: replace(references[name], motion="gone.npz")}
    with pytest.raises(EvaluationError, match=rf"reference {name}: gone.npz"):
        evaluate_describe(broken, perfect, evaluator)


def test_a_judge_is_asked_about_each_text(references, perfect):
    asked = []

    def ask(prompt: str) -> str:
        asked.append(prompt)
        return "what?" if len(asked) == 1 else '{"CorE": 5, "CorM": 4, "CorI": 3}'

    report = evaluate_describe(references, perfect, None, ask_judge=ask)
    assert len(asked) == CLIPS
    assert [report.score(name, "judge").mean for name in ("CorE", "CorM", "CorI")] == [5, 4, 3]
    assert report.lines[-1].note == "1 answers unreadable"
    assert report.details["judge_prompt"].startswith("tdmm-judge/")
    name = sorted(references)[1]
    assert perfect[name]["text"] in asked[1]


def test_a_judge_that_cannot_be_understood_gives_no_grade(references, perfect):
    report = evaluate_describe(references, perfect, None, ask_judge=lambda _: "fine")
    assert report.score("CorE", "judge") is None
    assert report.lines[-1].note == f"{CLIPS} answers unreadable"


def test_captions_come_before_prompts():
    line = {"text": "t", "texts": ["u", "t"], "captions": {"long": "l", "short": "s", "medium": "m"}}
    assert captions_of(line) == ("m", "s", "l", "t", "u")
    assert captions_of({"text": "t", "captions": None, "texts": None}) == ("t",)
