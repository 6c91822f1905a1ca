"""A tiny evaluator learns on a tiny corpus."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from small_corpus import lines_of, make_corpus, write_lines

from tdmm.errors import EvaluationError, MotionError
from tdmm.evaluate.evaluator import train
from tdmm.evaluate.evaluator.examples import ORDERED, SIDED, SLIGHT, STRONG, excluded_damages, key_of, read_examples
from tdmm.evaluate.evaluator.model import EvaluatorConfig
from tdmm.evaluate.evaluator.store import FILES, load_evaluator
from tdmm.evaluate.evaluator.train import TrainOptions, train_evaluator

CLIPS, VAL = 110, 34
TINY = EvaluatorConfig(
    vocabulary=300,
    longest_text=40,
    width=32,
    heads=2,
    feedforward=32,
    text_layers=1,
    motion_layers=1,
    embedding=16,
    dropout=0.0,
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """Its first clips are of the split val, the others of train."""
    folder = make_corpus(tmp_path_factory.mktemp("training") / "corpus", CLIPS, seed=5)
    lines = lines_of(folder)
    for number, line in enumerate(lines):
        line["split"] = "val" if number < VAL else "train"
    write_lines(folder / "manifest.jsonl", lines)
    return folder


def options(**change) -> TrainOptions:
    return TrainOptions(**{"steps": 30, "batch": 32, "warmup": 3, "every": 10, "learning_rate": 3e-3, **change})


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def trained(corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "evaluator"
    told: list[tuple[int, int, dict]] = []
    found = train_evaluator(
        [corpus], folder, config=TINY, options=options(steps=60), progress=lambda *what: told.append(what)
    )
    return folder, found, told


def test_a_few_steps_lower_the_loss(trained):
    _, found, told = trained
    losses = [one["loss"] for one in found["history"]]
    assert losses[-1] < 0.9 * losses[0]
    assert [step for step, total, _ in told] == [10, 20, 30, 40, 50, 60]
    assert {total for _, total, _ in told} == {60}
    assert found["steps"] == 60
    assert found["clips"] == CLIPS - VAL


def test_the_best_on_val_is_what_is_there(trained):
    folder, found, _ = trained
    evaluator = load_evaluator(folder)
    facts = evaluator.facts["trained"]
    best = max(found["history"], key=lambda one: one["top1"])
    assert found["best_top1"] == best["top1"]
    assert facts["step"] == best["step"]
    assert facts["val"]["top1"] == best["top1"]
    assert facts["options"]["seed"] == 0
    assert facts["corpora"] == ["corpus"]
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)


def test_it_stays_the_best_when_it_becomes_worse_later(corpus, tmp_path, monkeypatch):
    scores = iter([0.2, 0.6, 0.4, 0.6])
    monkeypatch.setattr(train, "_scores", lambda *_: {"top1": next(scores)})
    found = train_evaluator([corpus], tmp_path / "e", config=TINY, options=options(steps=8, every=2))
    assert found["best_top1"] == 0.6
    assert load_evaluator(tmp_path / "e").facts["trained"]["step"] == 4


def test_one_seed_one_evaluator(corpus, tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        train_evaluator([corpus], tmp_path / name, config=TINY, options=options(steps=4, every=4, seed=seed))
    assert weights(tmp_path / "a") == weights(tmp_path / "b")
    assert load_evaluator(tmp_path / "a").fingerprint == load_evaluator(tmp_path / "b").fingerprint
    assert weights(tmp_path / "a") != weights(tmp_path / "c")


def test_the_margin_loss_is_another_way(corpus, tmp_path):
    found = train_evaluator([corpus], tmp_path / "m", config=TINY, options=options(loss="margin", steps=20))
    losses = [one["loss"] for one in found["history"]]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]
    assert load_evaluator(tmp_path / "m").facts["trained"]["options"]["loss"] == "margin"


def test_time_may_end_it(corpus, tmp_path):
    found = train_evaluator([corpus], tmp_path / "e", config=TINY, options=options(steps=10_000, seconds=0.05))
    assert found["steps"] < 1000
    assert load_evaluator(tmp_path / "e").facts["trained"]["step"] == found["steps"]


def test_too_few_clips_of_val_are_a_clear_error(corpus, tmp_path):
    lines = [line for number, line in enumerate(lines_of(corpus)) if number >= 10]
    place = corpus_of(corpus, tmp_path / "few", lines)
    with pytest.raises(EvaluationError, match="the val split has 24 clips, expected 32 at least"):
        train_evaluator([place], tmp_path / "e", config=TINY, options=options())
    assert not (tmp_path / "e").exists()


def test_no_clips_of_train_are_a_clear_error(corpus, tmp_path):
    place = corpus_of(corpus, tmp_path / "val", lines_of(corpus)[:VAL])
    with pytest.raises(EvaluationError, match="no clips of the split train"):
        train_evaluator([place], tmp_path / "e", config=TINY, options=options())


def test_a_loss_that_is_not_finite_ends_it(corpus, tmp_path, monkeypatch):
    real = train.contrastive
    monkeypatch.setattr(train, "contrastive", lambda *what: real(*what) * float("nan"))
    with pytest.raises(EvaluationError, match="the loss of step 1 is nan"):
        train_evaluator([corpus], tmp_path / "e", config=TINY, options=options())


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"loss": "hinge"}, "loss: expected one of infonce, margin, found 'hinge'"),
        ({"steps": 0}, "steps, every, warmup: expected positive"),
        ({"every": 0}, "steps, every, warmup: expected positive"),
        ({"warmup": 0}, "steps, every, warmup: expected positive"),
        ({"batch": 1}, "batch: 2 or more"),
        ({"learning_rate": 0.0}, "learning rate: expected a positive number"),
        ({"learning_rate": float("nan")}, "learning rate: expected a positive number"),
        ({"seconds": 0.0}, "seconds: expected a positive number"),
        ({"seed": -1}, "seed: expected a number from 0 on"),
    ],
)
def test_senseless_options_are_refused(change, expected):
    with pytest.raises(EvaluationError, match=expected):
        options(**change)


# -- examples ------------------------------------------------------------------------------------------


def corpus_of(corpus: Path, place: Path, lines: list[dict]) -> Path:
    """Other lines of the same motions."""
    place.mkdir()
    (place / "motions").symlink_to(corpus / "motions")
    write_lines(place / "manifest.jsonl", lines)
    return place


def test_examples_are_the_clips_with_a_motion_and_a_text(corpus, tmp_path):
    lines = lines_of(corpus)[:6]
    lines[0]["text"], lines[1]["text"] = "", "  "
    lines[2] = {"id": lines[2]["id"], "video": "videos/x.mp4", "text": "smiles"}
    del lines[3]["split"]
    found = read_examples([corpus_of(corpus, tmp_path / "some", lines)])
    assert found.ids == tuple(line["id"] for line in lines[3:])
    assert found.splits == ("train", "val", "val")
    assert all(said[0] == line["text"] for said, line in zip(found.texts, lines[3:], strict=True))
    assert found.starts[-1] == len(found.features)
    assert len(found.motions([1])[0]) == round(lines[4]["duration"] * 25)
    only = read_examples([tmp_path / "some"], ("train",))
    assert only.ids == found.of("train").ids == (lines[3]["id"],)
    np.testing.assert_array_equal(only.features, found.of("train").features)


def test_events_of_elsewhere_need_no_more_than_their_names():
    event = {"id": "smile"}
    assert excluded_damages([event, {"id": "nod", "kind": "head"}]) == 0
    assert key_of({"text": "x", "events": [event]}) == "smile.*1"


def test_keys_are_alike_where_the_same_is_asked_for():
    nod = {"id": "nod", "side": "", "count": 2, "level": "slight", "absent": False}
    assert key_of({"text": "a", "events": [nod]}) == key_of({"text": "b", "events": [{**nod, "level": "strong"}]})
    assert key_of({"text": "a", "events": [nod]}) != key_of({"text": "a", "events": [{**nod, "count": 3}]})
    assert key_of({"text": "a", "events": [nod]}) != key_of({"text": "a", "events": [{**nod, "absent": True}]})
    assert key_of({"text": "Smiles"}) == key_of({"text": "smiles"})


def test_damages_that_texts_exclude():
    first = {"id": "smile", "kind": "action", "side": "", "level": "slight", "start": 0.5, "end": 1.5}
    then = {**first, "id": "nod", "kind": "head", "start": 2.0, "end": 3.0}
    assert excluded_damages([first, then]) == ORDERED | SLIGHT
    assert excluded_damages([first, {**then, "start": 0.5}]) == SLIGHT
    assert excluded_damages([first, {**then, "throughout": True}]) == SLIGHT
    assert excluded_damages([first, {**then, "absent": True, "level": "strong"}]) == SLIGHT
    assert excluded_damages([{**first, "side": "left", "level": "strong"}]) == SIDED | STRONG
    assert excluded_damages([first, then, {**first, "start": 4.0, "end": 5.0}]) == SLIGHT  # the same backwards


@pytest.mark.parametrize(
    ("change", "error", "expected"),
    [
        ({"motion": "motions/none.npz"}, MotionError, "none.npz"),
        ({"text": None}, EvaluationError, "no clip has a motion and a text"),
    ],
)
def test_unusable_corpora_are_told(corpus, tmp_path, change, error, expected):
    place = corpus_of(corpus, tmp_path / "bad", [{**lines_of(corpus)[0], **change}])
    with pytest.raises(error, match=expected):
        read_examples([place])


def test_what_is_no_corpus_is_told(tmp_path):
    with pytest.raises(EvaluationError, match=r"is no corpus: a folder with manifest\.jsonl"):
        read_examples([tmp_path])


def test_a_split_that_is_not_there_is_told(corpus):
    with pytest.raises(EvaluationError, match="no clip of the split test has a motion and a text"):
        read_examples([corpus], ("test",))


def test_a_motion_of_another_face_model_is_named(corpus, tmp_path):
    from tdmm.io.motion_file import write_motion
    from tdmm.motion import make_motion

    flame = make_motion(
        np.zeros((5, 2), np.float32), ("expr_000", "expr_001"), face_model="flame", face_model_sha256="1" * 64
    )
    write_motion(flame, tmp_path / "one.npz")
    (tmp_path / "manifest.jsonl").write_text(json.dumps({"id": "one", "motion": "one.npz", "text": "smiles"}) + "\n")
    with pytest.raises(EvaluationError, match="one: a motion of flame lacks"):
        read_examples([tmp_path])
