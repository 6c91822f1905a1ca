"""Language2Motion as a whole: perfect predictions, failed ones, and what changes nothing."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_corpus import frozen, lines_of, make_corpus, write_lines, write_predictions

from tdmm.errors import EvaluationError
from tdmm.evaluate.evaluator.store import load_evaluator
from tdmm.evaluate.inputs import fingerprint, motion_predictions, read_references
from tdmm.evaluate.report import Report
from tdmm.evaluate.tasks import animate
from tdmm.evaluate.tasks.animate import evaluate_animate, failed_clip, measure_events
from tdmm.io.motion_file import read_motion, write_motion

CLIPS = 52


@pytest.fixture(scope="module")
def evaluator():
    return load_evaluator()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("animate") / "corpus", CLIPS, seed=77)


@pytest.fixture(scope="module")
def perfect(corpus, tmp_path_factory) -> Path:
    return write_predictions(corpus, tmp_path_factory.mktemp("perfect") / "p")


@pytest.fixture(scope="module")
def perfect_report(corpus, perfect, evaluator) -> Report:
    return score(corpus, perfect, evaluator)


@pytest.fixture
def predictions(perfect, tmp_path) -> Path:
    return Path(shutil.copytree(perfect, tmp_path / "p"))


def score(corpus: Path, predictions: Path, evaluator, **more) -> Report:
    references = read_references(corpus)
    return evaluate_animate(
        references, motion_predictions(predictions, references), evaluator, **{"repeats": 3, **more}
    )


def ids(corpus: Path) -> list[str]:
    return [line["id"] for line in lines_of(corpus)]


def numbers(report: Report) -> dict[str, object]:
    return {name: value for name, value in report.as_dict().items() if name != "without_reference"}


# -- perfect predictions -------------------------------------------------------------------------------


def test_the_motions_themselves_score_as_the_real_ones(perfect_report):
    assert perfect_report.failures == []
    assert perfect_report.references == CLIPS
    both = [line for line in perfect_report.lines if line.prediction is not None and line.reference is not None]
    assert len(both) > 20
    for line in both:
        assert line.prediction == line.reference, line.name
    assert perfect_report.score("FID", "embedding").mean < 1e-3
    assert perfect_report.score("L2", "curves").mean < 0.02  # compact shards round
    assert perfect_report.score("FD", "curves").mean < 1e-3
    assert perfect_report.score("R-Precision top-1", "embedding").mean > 0.9
    assert perfect_report.score("recall", "events").mean > 0.97
    assert perfect_report.details["without_reference"] == []


def test_what_needs_more_says_how_much(perfect_report):
    notes = {line.name: line.note for line in perfect_report.lines if line.prediction is None}
    assert "diversity draws 300 motions" in notes["Diversity"]
    assert "needs 30 samples a text" in notes["MultiModality"]


def test_the_signature_says_what_was_compared(perfect_report, corpus, evaluator):
    signature = perfect_report.signature
    assert signature.startswith("animate|protocol:1|tdmm:")
    assert f"evaluator:{evaluator.fingerprint}|references:{CLIPS}:{fingerprint(read_references(corpus))}" in signature
    assert signature.endswith("|failed:0|repeats:3|seed:0|pool:32")


def test_a_corpus_predicts_itself(corpus, evaluator, perfect_report):
    report = score(corpus, corpus, evaluator)
    assert report.failures == []
    assert report.signature == perfect_report.signature
    assert report.score("recall", "events") == perfect_report.score("recall", "events")


def test_two_evaluations_are_identical(corpus, perfect, evaluator, perfect_report):
    assert json.dumps(score(corpus, perfect, evaluator).as_dict()) == json.dumps(perfect_report.as_dict())


def test_another_seed_draws_other_pools(corpus, perfect, evaluator, perfect_report):
    other = score(corpus, perfect, evaluator, seed=1)
    assert other.score("MM-Dist", "embedding") != perfect_report.score("MM-Dist", "embedding")
    assert other.score("recall", "events") == perfect_report.score("recall", "events")
    assert "seed:1" in other.signature


def test_the_order_of_references_and_predictions_changes_nothing(corpus, perfect, evaluator, perfect_report):
    references = read_references(corpus)
    files = motion_predictions(perfect)
    order = np.random.default_rng(0).permutation(CLIPS)
    names = [list(references)[one] for one in order]
    report = evaluate_animate(
        {name: references[name] for name in names},
        {name: files[name] for name in reversed(names)},
        evaluator,
        repeats=3,
    )
    assert report.as_dict() == perfect_report.as_dict()
    np.testing.assert_array_equal(report.embeddings["reference"], perfect_report.embeddings["reference"])


# -- failures ------------------------------------------------------------------------------------------


def test_predictions_that_cannot_be_used_are_listed_and_count(corpus, predictions, evaluator, perfect_report):
    names = ids(corpus)
    gone, junk, other, faceless, flame = names[:5]
    (predictions / f"{gone}.npz").unlink()
    (predictions / f"{junk}.npz").write_bytes(b"PK\x03\x04 junk")
    motion = read_motion(predictions / f"{other}.npz")
    write_motion(replace(motion, face_model="ict", face_model_sha256="1" * 64), predictions / f"{other}.npz")
    write_motion(
        replace(motion, valid=np.zeros(len(motion), bool), confidence=np.zeros(len(motion), np.float32)),
        predictions / f"{faceless}.npz",
    )
    renamed = tuple(f"expr_{number:03d}" for number in range(52))
    write_motion(replace(motion, expression_names=renamed), predictions / f"{flame}.npz")
    report = score(corpus, predictions, evaluator)
    reasons = {one.id: one.reason for one in report.failures}
    assert list(reasons) == sorted(names[:5])
    assert reasons[gone] == "there is no prediction"
    assert f"{junk}.npz: expected a whole npz file" in reasons[junk]
    assert "is of the face model ict, the references of" in reasons[other]
    assert reasons[faceless] == "shows no face in any frame"
    assert "lacks the ARKit expression" in reasons[flame]
    assert "|failed:5|" in report.signature
    for name in ("R-Precision top-1", "R-Precision top-3"):
        found, before = (one.score(name, "embedding") for one in (report, perfect_report))
        assert found.mean <= (CLIPS - 5) / CLIPS
        assert found.mean < before.mean
    assert report.score("recall", "events").mean < perfect_report.score("recall", "events").mean
    assert report.score("clips all right", "events").mean < perfect_report.score("clips all right", "events").mean
    # The real ones are as they were.
    for line, before in zip(report.lines, perfect_report.lines, strict=True):
        assert line.reference == before.reference, line.name


def test_a_failure_is_a_miss_in_each_kind_of_event(corpus, evaluator, perfect):
    line = next(line for line in lines_of(corpus) if any(not event["absent"] for event in line["events"]))
    unnamed = [{key: value for key, value in event.items() if key != "kind"} for event in line["events"]]
    found = failed_clip(line["id"], unnamed)
    true = measure_events([(line["id"], read_motion(perfect / f"{line['id']}.npz"), line["events"])])[0]
    assert [(one.id, one.kind) for one in found.events] == [(one.id, one.kind) for one in true.events]
    assert not any(one.shown for one in found.events)
    assert not found.complete
    assert len(found.denied) == len(true.denied)


def test_only_a_part_scores_as_that_part_of_all(corpus, predictions, evaluator):
    """FID is against all real motions, also those of which no prediction is there."""
    names = ids(corpus)
    for name in names[40:]:
        (predictions / f"{name}.npz").unlink()
    report = score(corpus, predictions, evaluator)
    assert len(report.failures) == CLIPS - 40
    assert report.score("R-Precision top-1", "embedding").mean <= 40 / CLIPS
    assert report.score("FID", "embedding").mean > 0.1
    assert len(report.embeddings["reference"]) == CLIPS
    assert len(report.embeddings["prediction"]) == 40


def test_too_few_for_a_pool_say_so_and_the_rest_is_scored(corpus, predictions, evaluator):
    for name in ids(corpus)[20:]:
        (predictions / f"{name}.npz").unlink()
    report = score(corpus, predictions, evaluator)
    line = next(line for line in report.lines if line.name == "R-Precision top-1")
    assert line.prediction is None
    assert "there are 20" in line.note
    assert line.reference is not None
    assert report.score("recall", "events").mean < 0.4


def test_nothing_that_can_be_used_is_an_error(corpus, tmp_path, evaluator, predictions):
    references = read_references(corpus)
    with pytest.raises(EvaluationError, match="no prediction can be used: there is no prediction"):
        evaluate_animate(references, {"other": ["x.npz"]}, evaluator)


def test_predictions_of_no_reference_are_told(corpus, predictions, evaluator):
    shutil.copy(predictions / f"{ids(corpus)[0]}.npz", predictions / "stranger.npz")
    assert score(corpus, predictions, evaluator, repeats=1).details["without_reference"] == ["stranger"]


def test_a_reference_that_cannot_be_read_is_an_error_that_names_it(corpus, perfect, evaluator, tmp_path):
    lines = lines_of(corpus)
    lines[3]["motion"] = "motions/gone.npz"
    place = tmp_path / "c"
    place.mkdir()
    (place / "motions").symlink_to(corpus / "motions")
    write_lines(place / "manifest.jsonl", lines)
    with pytest.raises(EvaluationError, match=rf"reference {lines[3]['id']}: .*gone.npz"):
        score(place, perfect, evaluator)


# -- other references ----------------------------------------------------------------------------------


def test_texts_alone_are_references_too(corpus, perfect, evaluator, tmp_path, perfect_report):
    lines = [{"id": line["id"], "text": line["text"]} for line in lines_of(corpus)]
    report = score(write_lines(tmp_path / "texts.jsonl", lines), perfect, evaluator)
    assert report.failures == []
    found = report.score("R-Precision top-1", "embedding")
    assert found == perfect_report.score("R-Precision top-1", "embedding")
    notes = {(line.group, line.name): line.note for line in report.lines if line.prediction is None}
    assert notes["events", "event recall"] == "the references have no events"
    assert ("embedding", "FID") in notes
    assert ("curves", "L2") in notes


def test_motions_alone_are_references_too(perfect, evaluator, perfect_report):
    report = score(perfect, perfect, evaluator)
    assert report.failures == []
    assert report.score("FID", "embedding").mean < 1e-3
    assert report.score("R-Precision top-1", "embedding") is None
    assert report.score("L2", "curves").mean == 0


def test_frozen_motions_score_worse(corpus, tmp_path, evaluator, perfect_report):
    report = score(corpus, write_predictions(corpus, tmp_path / "frozen", frozen), evaluator)
    assert report.failures == []
    for name, group, factor in (
        ("R-Precision top-1", "embedding", -1),
        ("MM-Dist", "embedding", 1),
        ("FID", "embedding", 1),
        ("L2", "curves", 1),
        ("FD", "curves", 1),
        ("recall", "events", -1),
    ):
        worse, before = report.score(name, group).mean, perfect_report.score(name, group).mean
        assert factor * (worse - before) > 0.03, name
    assert report.score("expression jerk", "statistics").mean == 0


def test_work_may_be_spread(corpus, perfect, evaluator, perfect_report):
    from tdmm.engine import in_processes

    assert score(corpus, perfect, evaluator, engine=in_processes(2)).as_dict() == perfect_report.as_dict()


def test_an_event_that_nobody_can_measure_is_an_error(perfect, corpus, evaluator, tmp_path):
    lines = lines_of(corpus)
    lines[0]["events"][0]["id"] = "levitate"
    place = tmp_path / "c"
    place.mkdir()
    (place / "motions").symlink_to(corpus / "motions")
    write_lines(place / "manifest.jsonl", lines)
    with pytest.raises(EvaluationError, match="there is no measure for the event 'levitate'"):
        score(place, perfect, evaluator)


# -- several samples -----------------------------------------------------------------------------------


@pytest.fixture
def few(monkeypatch):
    """MultiModality of 5 texts of 4 samples."""
    from functools import partial

    from tdmm.evaluate.distribution import multimodality

    monkeypatch.setattr(animate, "MULTIMODALITY_SAMPLES", 4)
    monkeypatch.setattr(animate, "multimodality", partial(multimodality, texts=5, samples=4, pairs=3))


def give_samples(predictions: Path, names: list[str], of: int = 3, others: bool = True) -> None:
    files = sorted(predictions.glob("*.npz"))
    for number, name in enumerate(names):
        (predictions / name).mkdir()
        for sample in range(of):
            source = files[(7 * number + 3 * sample + 1) % len(files)] if others else predictions / f"{name}.npz"
            shutil.copy(source, predictions / name / f"{sample}.npz")


def multimodality_of(report: Report):
    return next(line for line in report.lines if line.name == "MultiModality")


def test_samples_of_one_text_are_as_various_as_they_are(corpus, predictions, evaluator, few, perfect_report):
    give_samples(predictions, ids(corpus)[:5])
    report = score(corpus, predictions, evaluator)
    line = multimodality_of(report)
    assert line.prediction.mean > 1
    assert line.note == ""
    assert report.failures == []
    assert report.details["without_reference"] == []
    assert report.score("FID", "embedding") == perfect_report.score("FID", "embedding")


def test_equal_samples_are_not_various(corpus, predictions, evaluator, few):
    give_samples(predictions, ids(corpus)[:5], others=False)
    assert multimodality_of(score(corpus, predictions, evaluator)).prediction.mean < 1e-4


def test_texts_whose_samples_cannot_be_used_are_told(corpus, predictions, evaluator, few):
    names = ids(corpus)[:7]
    give_samples(predictions, names[:6])
    give_samples(predictions, names[6:], of=1)
    (predictions / names[5] / "1.npz").write_bytes(b"junk")
    line = multimodality_of(score(corpus, predictions, evaluator))
    assert line.prediction is not None
    assert line.note == "2 texts left out: too few samples, or some that cannot be read"


def test_too_few_texts_with_samples_say_so(corpus, predictions, evaluator, few):
    give_samples(predictions, ids(corpus)[:4])
    line = multimodality_of(score(corpus, predictions, evaluator))
    assert line.prediction is None
    assert "multimodality needs 4 motions of each of 5 texts" in line.note


def test_the_protocol_has_thirty_samples_of_a_hundred_texts(corpus, perfect, monkeypatch):
    """The published sizes, with the same few files again and again."""
    files = [str(path) for path in sorted(perfect.glob("*.npz"))[:3]]
    known = {file: read_motion(file) for file in files}
    monkeypatch.setattr(
        animate, "load_motions", lambda wanted, _: ({name: known[file] for name, file in wanted.items()}, [])
    )
    references = read_references(corpus)
    hundred = {f"{name}/{again}": one for again in range(2) for name, one in list(references.items())[:50]}
    predictions = {name: [files[(number + one) % 3] for one in range(30)] for number, name in enumerate(hundred)}
    report = Report("animate", "", 100)
    animate._samples(report, predictions, hundred, _Lengths(), 0, 3)
    assert multimodality_of(report).prediction.repeats == 3
    predictions.popitem()
    animate._samples(report, predictions, hundred, _Lengths(), 0, 3)
    assert report.lines[-1].prediction is None


class _Lengths:
    """An evaluator that is quick."""

    def embed_motions(self, motions):
        return np.array([[len(motion), motion.expression.sum()] for motion in motions], np.float32)
