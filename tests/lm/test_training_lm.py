"""Tiny language models learn on a tiny corpus: alone, with a break, from a base, and several processes together."""

from __future__ import annotations

import json
import runpy
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tdmm.corpus.build import CorpusJob, Generators, generate_corpus
from tdmm.corpus.plan import Settings
from tdmm.errors import LmError
from tdmm.io.manifest import read_manifest
from tdmm.io.motion_file import read_motion, write_motion
from tdmm.lm import batches as batches_module
from tdmm.lm import clips as clips_module
from tdmm.lm import train
from tdmm.lm.backbone import BackboneConfig
from tdmm.lm.batches import Batches, BatchPlan, examples_by_task
from tdmm.lm.clips import ClipSet, keep_clips, kept_clips, key_of, read_clips
from tdmm.lm.fit_correction import FitCorrection
from tdmm.lm.model_folder import load_language_model
from tdmm.lm.packing import NO_TARGET
from tdmm.lm.tokenizer import learn_tokenizer
from tdmm.lm.train import TrainOptions, train_lm
from tdmm.lm.vocabulary import LONGEST, BoundVocabulary, MotionVocabulary
from tdmm.vq.codec import load_codec, shipped_codec

ROOT = Path(__file__).parent.parent.parent
TINY = BackboneConfig(hidden=32, layers=2, heads=2, kv_heads=2, head_size=16, intermediate=64)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("lm") / "corpus"
    job = CorpusJob(folder=folder, settings=Settings(seed=1), generators=Generators(), motions_only=True)
    assert generate_corpus(job, clips=60).clips == 60
    return folder


@pytest.fixture(scope="module")
def clips(corpus) -> dict[str, ClipSet]:
    return read_clips([corpus], None, LONGEST, fitted=1, seed=5)


@pytest.fixture(scope="module")
def bound() -> BoundVocabulary:
    config = shipped_codec().config
    return MotionVocabulary(config.streams, config.sizes).bind(learn_tokenizer(["smiles then nods twice"] * 3, 300))


@pytest.fixture(scope="module")
def run(corpus, tiny_codec_folder) -> Callable[..., dict[str, Any]]:
    """Train to a folder, on tokens of a small codec; what came of it."""

    def call(folder: Path, **change: Any) -> dict[str, Any]:
        others = {name: change.pop(name) for name in ("progress", "resume") if name in change}
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(train, "VAL_EACH", 2)
            return train_lm([corpus], folder, options=options(**change), codec=tiny_codec_folder, **others)

    return call


def options(**change: Any) -> TrainOptions:
    small = {"steps": 6, "rows": 2, "length": 640, "warmup": 2, "every": 3, "text_tokens": 300, "fitted": 0}
    return TrainOptions(**{**small, "backbone": TINY, **change})


def lines_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def untimed(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in line.items() if "second" not in name} for line in lines]


def weights(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.glob("*.safetensors")))


def test_clips_hold_the_codes_of_their_motions(corpus, clips):
    codec = shipped_codec()
    listed = [clip for clip in read_manifest(corpus / "manifest.jsonl") if clip.line["split"] == "train"]
    assert len(clips["train"]) == len(listed)
    assert clips["train"].variants == 2
    for number in (0, 7, len(listed) - 1):
        line = clips["train"].line(number)
        assert line["text"] == listed[number].line["text"]
        assert line["events"] == listed[number].line["events"]
        true = codec.encode(read_motion(str(corpus / str(listed[number].motion)))).codes
        np.testing.assert_array_equal(clips["train"].codes_of(number), true)
        assert clips["train"].codes_of(number, 1).shape == true.shape
        assert (clips["train"].codes_of(number, 1) != true).any()


def test_the_same_clips_are_fitted_alike_in_any_batches(corpus, clips, monkeypatch):
    monkeypatch.setattr(clips_module, "BATCH", 7)
    again = read_clips([corpus], None, LONGEST, fitted=1, seed=5)
    np.testing.assert_array_equal(again["train"].codes, clips["train"].codes)
    other = read_clips([corpus], None, LONGEST, fitted=1, seed=6)
    np.testing.assert_array_equal(other["train"].codes[0], clips["train"].codes[0])
    assert (other["train"].codes[1] != clips["train"].codes[1]).any()


@pytest.fixture(scope="module")
def fits(corpus, tmp_path_factory) -> Path:
    """Fits of three clips of train; the last lacks frames."""
    folder = tmp_path_factory.mktemp("fits")
    listed = [clip for clip in read_manifest(corpus / "manifest.jsonl") if clip.line["split"] == "train"]
    for clip, frames in zip(listed[2:5], (None, None, -8), strict=True):
        motion = read_motion(str(corpus / str(clip.motion)))
        fit = replace(motion, expression=motion.expression * 0.5, meta={"fit": {}})
        write_motion(fit[:frames], folder / f"{clip.id}.npz")
    return folder


@pytest.mark.parametrize("fitted", [0, 1])
def test_fits_of_the_clips_are_described_too(corpus, clips, fits, fitted):
    found = read_clips([corpus], None, LONGEST, fitted=fitted, fits=[fits], seed=5)
    assert np.flatnonzero(found["train"].real).tolist() == [2, 3]
    assert not found["val"].real.any()
    assert not clips["train"].real.any()
    listed = [clip for clip in read_manifest(corpus / "manifest.jsonl") if clip.line["split"] == "train"]
    fit = FitCorrection.load().of(read_motion(str(fits / f"{listed[2].id}.npz")))
    np.testing.assert_array_equal(found["train"].codes_of(2, 1), shipped_codec().encode(fit).codes)
    np.testing.assert_array_equal(found["train"].codes[0], clips["train"].codes[0])
    other = clips["train"] if fitted else found["train"]
    np.testing.assert_array_equal(found["train"].codes_of(9, 1), other.codes_of(9, fitted))


def test_fits_come_as_often_as_is_wanted(corpus, fits, bound, monkeypatch):
    found = read_clips([corpus], None, LONGEST, fits=[fits])["train"]
    monkeypatch.setattr(batches_module, "FITS", 1.0)
    told = []
    monkeypatch.setattr(
        batches_module, "sample_example", lambda *given, seen, **others: told.append((given[0]["id"], given[4], seen))
    )
    drawn = Batches(found, bound, BatchPlan(rows=2, length=640))._drawn(np.random.default_rng(0))
    for _ in range(20):
        next(drawn)
    assert {id for id, _, _ in told} == {found.line(2)["id"], found.line(3)["id"]}
    assert all(seen is not None and mix.describe and not mix.animate for _, mix, seen in told)


def test_fits_of_nothing_are_told(corpus, tmp_path):
    with pytest.raises(LmError, match="holds no fits"):
        read_clips([corpus], None, LONGEST, fits=[tmp_path])
    (tmp_path / "another.npz").write_bytes(b"")
    with pytest.raises(LmError, match="no fit of any clip"):
        read_clips([corpus], None, LONGEST, fits=[tmp_path])


def test_clips_are_kept_for_what_they_are_of(corpus, clips, tmp_path):
    path = tmp_path / "clips.safetensors"
    assert kept_clips(path, "a") is None
    keep_clips(path, clips, "a")
    assert kept_clips(path, "b") is None
    again = kept_clips(path, "a")
    assert again is not None
    for split, found in clips.items():
        for name in ("lines", "line_starts", "codes", "starts", "real"):
            np.testing.assert_array_equal(getattr(again[split], name), getattr(found, name))
    assert again["train"].line(2) == clips["train"].line(2)
    path.write_bytes(b"torn")
    assert kept_clips(path, "a") is None
    assert key_of([corpus], "x") == key_of([corpus], "x") != key_of([corpus], "y")


def test_long_clips_are_left_out(corpus):
    short = read_clips([corpus], None, 20)["train"]
    assert 0 < len(short) < 51
    assert np.diff(short.starts).max() <= 20
    with pytest.raises(LmError, match="short enough"):
        read_clips([corpus], None, 1)


def test_no_corpus_and_no_clips_are_told(tmp_path):
    with pytest.raises(LmError, match="is no corpus"):
        read_clips([tmp_path], None, LONGEST)
    (tmp_path / "manifest.jsonl").write_text('{"id": "a", "video": "a.mp4", "text": "smiles"}\n')
    with pytest.raises(LmError, match="no clips of the split train with motions"):
        read_clips([tmp_path], None, LONGEST)


def test_a_batch_is_drawn_from_its_number_alone(clips, bound):
    batches = Batches(clips["train"], bound, BatchPlan(2, 640, seed=1))
    first, again = batches[4], Batches(clips["train"], bound, BatchPlan(2, 640, seed=1))[4]
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["ids"], batches[5]["ids"])
    assert not torch.equal(first["ids"], Batches(clips["train"], bound, BatchPlan(2, 640, seed=2))[4]["ids"])
    assert first["ids"].shape == (2, 640)
    assert (first["documents"] >= 0).float().mean() > 0.6


def test_processes_draw_what_one_would_draw(clips, bound):
    plan = BatchPlan(2, 640, seed=1)
    alone = Batches(clips["train"], bound, plan)
    both = [Batches(clips["train"], bound, plan, process=number, processes=2) for number in range(2)]
    for number in range(4):
        assert torch.equal(alone[number]["ids"], both[number % 2][number // 2]["ids"])


def test_the_loss_is_on_what_is_written(clips, bound):
    """The targets of a batch are the ids themselves, and whole motions or texts."""
    batch = Batches(clips["train"], bound, BatchPlan(4, 640, seed=3))[0]
    there = batch["targets"] != NO_TARGET
    assert torch.equal(batch["targets"][there], batch["ids"][there])
    ends = (batch["targets"] == bound.eos).sum()
    assert ends == len(batch["documents"].unique()) - int((batch["documents"] == -1).any())


def test_examples_of_each_task_are_the_same_every_time(clips, bound):
    plan = BatchPlan(2, 640)
    first, again = (examples_by_task(clips["train"], bound, plan, 3) for _ in range(2))
    assert set(first) == {"animate", "describe", "ask", "continue", "between", "predict"}
    for task, examples in first.items():
        assert len(examples) == 3
        assert all(np.array_equal(a.ids, b.ids) for a, b in zip(examples, again[task], strict=True))


@pytest.fixture(scope="module")
def trained(run, tmp_path_factory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("trained") / "lm"
    return folder, run(folder, steps=30, every=5, learning_rate=1e-2)


@pytest.fixture(scope="module")
def whole(run, tmp_path_factory) -> Path:
    """A training of six steps without a break."""
    folder = tmp_path_factory.mktemp("whole") / "lm"
    run(folder)
    return folder


def test_it_learns(trained, tiny_codec_folder):
    folder, found = trained
    losses = [line["val"]["total"] for line in lines_of(folder)]
    assert losses[-1] < losses[0] - 0.5
    assert found["steps"] == 30
    assert found["best"]["val"]["total"] == min(losses)
    assert not (folder / "checkpoint").exists()
    resolved = json.loads((folder / "train.json").read_text())
    assert resolved["options"]["steps"] == 30
    assert resolved["codec"] == load_codec(tiny_codec_folder).fingerprint


def test_what_is_written_is_a_model_of_transformers(trained, tiny_codec_folder):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder, found = trained
    network, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    lm = load_language_model(folder)
    assert sum(one.numel() for one in network.parameters()) == found["parameters"]
    assert len(tokenizer) == len(lm.bound.tokenizer)
    assert lm.codec == load_codec(tiny_codec_folder).fingerprint
    assert lm.facts["trained"]["step"] == found["best"]["step"]
    assert "smiles" in lm.words or "nods" in lm.words


def test_a_break_changes_nothing(run, whole, tmp_path):
    class Stop(Exception):
        pass

    def stop(line: dict[str, Any]) -> None:
        if line["step"] == 6:
            raise Stop

    broken = tmp_path / "broken"
    with pytest.raises(Stop):
        run(broken, progress=stop)
    assert (broken / "checkpoint").is_dir()
    with pytest.raises(LmError, match="other options"):
        run(broken, seed=1, resume=True)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(train, "read_clips", None)  # motions are not turned into tokens again
        run(broken, resume=True)
    assert weights(broken) == weights(whole)
    assert untimed(lines_of(broken)) == untimed(lines_of(whole))


def test_the_mean_of_weights_is_what_is_kept(run, whole, tmp_path):
    run(tmp_path / "last", ema=0.0)
    assert weights(tmp_path / "last") != weights(whole)


def test_what_learns_on_keeps_what_it_knew(run, whole, tmp_path):
    begun = tmp_path / "private" / "begun"
    shutil.copytree(whole, begun)
    config = json.loads((begun / "config.json").read_text())
    config["tdmm"]["longest_steps"] = 150
    (begun / "config.json").write_text(json.dumps(config))
    run(tmp_path / "on", base=str(begun), steps=1)
    facts = load_language_model(tmp_path / "on").facts
    assert facts["longest_steps"] == 150
    assert facts["before"]["step"] == load_language_model(whole).facts["trained"]["step"]
    # Where the base lay on somebody's disk is nobody else's business.
    assert facts["trained"]["options"]["base"] == "begun"
    assert "private" not in (tmp_path / "on" / "config.json").read_text()


def test_an_average_knows_what_all_know(run, whole, tmp_path, monkeypatch):
    from safetensors.torch import load_file

    other, mean = tmp_path / "other", tmp_path / "mean"
    run(other, base=str(whole), steps=1, learning_rate=1e-2)
    longest = load_language_model(whole).facts["longest_steps"]
    config = json.loads((other / "config.json").read_text())
    config["tdmm"]["longest_steps"] = longest - 1
    (other / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr(sys, "argv", ["average_models.py", str(whole), str(other), "--output", str(mean)])
    runpy.run_path(str(ROOT / "scripts" / "average_models.py"), run_name="__main__")
    one, two, both = (load_file(folder / "model.safetensors") for folder in (whole, other, mean))
    for name, values in both.items():
        torch.testing.assert_close(values.float(), (one[name].float() + two[name].float()) / 2, rtol=0.01, atol=1e-3)
    lm = load_language_model(mean)
    assert lm.facts["longest_steps"] == longest
    assert lm.words == load_language_model(whole).words | load_language_model(other).words


def test_seconds_end_it(run, tmp_path):
    found = run(tmp_path / "lm", steps=10_000, every=5_000, seconds=0.5)
    assert 1 <= found["steps"] < 10_000


def test_an_encoder_decoder_learns(run, tmp_path):
    from transformers import AutoModelForSeq2SeqLM

    found = run(tmp_path / "lm", encoder_decoder=True, steps=3)
    assert found["steps"] == 3
    AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "lm")
    assert load_language_model(tmp_path / "lm").encoder_decoder


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"steps": 0}, "steps"),
        ({"rows": 1.5}, "rows"),
        ({"learning_rate": float("nan")}, "learning rate"),
        ({"ema": 1.0}, "ema"),
        ({"seconds": 0.0}, "seconds"),
        ({"lora": 4}, "adapters are for a base"),
    ],
)
def test_options_that_are_none_are_told(change, said):
    with pytest.raises(LmError, match=said):
        options(**change)
