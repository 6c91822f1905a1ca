"""Tiny codecs learn on a tiny corpus: alone, with a break, and several processes together."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_codecs import HEAD, SMALL, Otherwise, made_motion
from safetensors.torch import load_file
from train_together import TOKENS

from tdmm.errors import TokensError, TrainingError
from tdmm.face.model import FaceModel
from tdmm.io.manifest import read_manifest
from tdmm.io.motion_file import read_motion, write_motion
from tdmm.io.training_state import load_state, save_state
from tdmm.vq import train
from tdmm.vq.codec import load_codec
from tdmm.vq.config import PRESETS, CodecConfig, StreamConfig, changed
from tdmm.vq.train import TrainOptions, train_vq

STREAM = StreamConfig(width=24, encoder_blocks=2, decoder_blocks=2, latent=8, codebooks=2, codes=16)
TINY = replace(SMALL, face=STREAM, head=STREAM)


@pytest.fixture(autouse=True)
def quick():
    """Few faces for the axes of the geometry, few windows of the split val."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(train, "SAMPLE", 200)
        patched.setattr(train, "VAL_WINDOWS", 8)
        yield


def options(**change: Any) -> TrainOptions:
    return TrainOptions(
        **{"steps": 8, "batch": 8, "frames": 16, "warmup": 2, "every": 4, "learning_rate": 2e-3, **change}
    )


def learn(corpus: Path, folder: Path, config: CodecConfig = TINY, model: FaceModel = HEAD, **others: Any):
    """What came of it. Options of the training are told with the others."""
    own = {name: others.pop(name) for name in ("begin", "resume", "progress", "reading") if name in others}
    return train_vq([corpus], folder, model, config=config, options=options(**others), **own)


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def lines_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def untimed(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in line.items() if "second" not in name} for line in lines]


@pytest.fixture(scope="module")
def trained(tiny_corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "codec"
    told: list[dict[str, Any]] = []
    read: list[tuple[int, int]] = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(train, "SAMPLE", 200)
        patched.setattr(train, "VAL_WINDOWS", 8)
        found = learn(
            tiny_corpus,
            folder,
            steps=60,
            every=15,
            learning_rate=5e-3,
            progress=told.append,
            reading=lambda *what: read.append(what),
        )
    return folder, found, told, read


# -- a training ----------------------------------------------------------------------------------------------


def test_errors_fall(trained):
    """On the split val: the loss is of one small batch, which may be a hard one."""
    _, found, told, read = trained
    history = found["history"]
    assert [line["step"] for line in history] == [15, 30, 45, 60]
    assert history[-1]["val"]["total"] < 0.9 * history[0]["val"]["total"]
    assert told == history
    assert read == [(24, 24)]
    assert found["steps"] == 60
    for line in history:
        assert len(line["use"]) == len(line["perplexity"]) == 4
        assert all(0 < share <= 1 for share in line["use"])
        assert all(1 <= share <= 16 for share in line["perplexity"])
        assert {"face", "lips", "eyelids", "rotation", "translation", "curves", "total"} == set(line["val"])


def test_what_is_there_in_the_end(trained):
    folder, found, _, _ = trained
    names = ["config.json", "metrics.jsonl", "model.safetensors", "train.json"]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert lines_of(folder) == found["history"]
    told = json.loads((folder / "train.json").read_text())
    assert told["codec"] == json.loads(json.dumps(asdict(TINY)))
    assert told["options"]["steps"] == 60
    codec = load_codec(folder)
    assert codec.config == TINY
    facts = codec.facts["trained"]
    assert (facts["corpora"], facts["motions"], facts["frames"]) == (["corpus"], 20, found["frames"])
    assert facts["options"] == told["options"]


def test_the_best_on_val_is_kept(trained, tiny_corpus, tmp_path, monkeypatch):
    folder, found, _, _ = trained
    best = min(found["history"], key=lambda line: line["val"]["total"])
    facts = load_codec(folder).facts["trained"]
    assert (facts["step"], facts["val"]) == (best["step"], best["val"]) == (found["best"]["step"], facts["val"])
    totals = iter([3.0, 1.0, 2.0, 1.5])
    monkeypatch.setattr(train._Judge, "scores", lambda *_: {"total": next(totals)})
    again = learn(tiny_corpus, tmp_path / "worse", every=2)
    assert again["best"]["step"] == load_codec(tmp_path / "worse").facts["trained"]["step"] == 4


def test_what_was_learnt_is_what_is_used(trained, tiny_corpus):
    """A codec that has learnt codes its corpus with less error than the one before it did."""
    folder, _, _, _ = trained
    codec = load_codec(folder)
    clip = read_manifest(tiny_corpus / "manifest.jsonl")[0]
    motion = read_motion(f"{tiny_corpus}/{clip.motion}")
    back = codec.decode(codec.encode(motion))
    miss = np.abs(back.expression - motion.expression).mean()
    assert miss < np.abs(motion.expression - 0.5).mean()
    assert len(np.unique(codec.encode(motion).codes, axis=0)) > 1


def test_one_seed_one_codec(tiny_corpus, tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        torch.manual_seed(len(name) + seed)  # what was drawn before does not matter
        torch.rand(ord(name))
        learn(tiny_corpus, tmp_path / name, seed=seed)
    assert weights(tmp_path / "a") == weights(tmp_path / "b")
    assert untimed(lines_of(tmp_path / "a")) == untimed(lines_of(tmp_path / "b"))
    assert weights(tmp_path / "a") != weights(tmp_path / "c")


# -- a training with a break -----------------------------------------------------------------------------------


def test_to_resume_is_to_come_to_the_same(tiny_corpus, tmp_path, monkeypatch):
    """Broken off at any place after a checkpoint. Codes are replaced all the time, so that every draw matters."""
    monkeypatch.setattr("tdmm.vq.quantisers.DEAD", 0.9)
    whole = learn(tiny_corpus, tmp_path / "whole", every=2)

    class Break(Exception):
        pass

    def stop(line: dict[str, Any]) -> None:
        if line["step"] == 6:
            raise Break

    with pytest.raises(Break):
        learn(tiny_corpus, tmp_path / "broken", every=2, progress=stop)
    assert (tmp_path / "broken" / "checkpoint" / "state.safetensors").is_file()
    assert weights(tmp_path / "broken") != weights(tmp_path / "whole")
    torch.rand(7)
    told: list[dict[str, Any]] = []
    found = learn(tiny_corpus, tmp_path / "broken", every=2, resume=True, progress=told.append)
    assert [line["step"] for line in told] == [6, 8]
    assert weights(tmp_path / "broken") == weights(tmp_path / "whole")
    assert untimed(found["history"]) == untimed(whole["history"])
    assert untimed(lines_of(tmp_path / "broken")) == untimed(lines_of(tmp_path / "whole"))
    assert not (tmp_path / "broken" / "checkpoint").exists()
    assert load_codec(tmp_path / "broken").fingerprint == load_codec(tmp_path / "whole").fingerprint


def broken_off(corpus: Path, folder: Path) -> Path:
    """A training after its first checkpoint."""

    def stop(line: dict[str, Any]) -> None:
        if line["step"] == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learn(corpus, folder, every=2, progress=stop)
    return folder


def test_checkpoints_of_other_options_are_refused(tiny_corpus, tmp_path):
    folder = broken_off(tiny_corpus, tmp_path / "codec")
    for change in ({"steps": 9}, {"seed": 1}, {"config": changed(TINY, codes=8)}):
        with pytest.raises(TokensError, match=r"codec: the checkpoint is of other options; train without --resume"):
            learn(tiny_corpus, folder, every=2, resume=True, **change)
    tensors, facts = load_state(folder / "checkpoint")
    save_state(folder / "checkpoint", tensors, {**facts, "processes": 2})
    with pytest.raises(TokensError, match="codec: the checkpoint is of 2 processes, not of 1; go on with as many"):
        learn(tiny_corpus, folder, every=2, resume=True)
    state = folder / "checkpoint" / "state.safetensors"
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(TrainingError, match=r"state\.safetensors: is no checkpoint that can be read .* to begin anew"):
        learn(tiny_corpus, folder, every=2, resume=True)


def test_nothing_to_resume_is_a_beginning(tiny_corpus, tmp_path):
    learn(tiny_corpus, tmp_path / "a", resume=True, steps=2)
    learn(tiny_corpus, tmp_path / "b", steps=2)
    assert weights(tmp_path / "a") == weights(tmp_path / "b")
    # Nor is what a training left that was finished, nor what one broke off that is not to be resumed.
    folder = broken_off(tiny_corpus, tmp_path / "c")
    learn(tiny_corpus, folder, steps=2)
    assert weights(folder) == weights(tmp_path / "a")
    assert untimed(lines_of(folder)) == untimed(lines_of(tmp_path / "a"))


# -- a training that begins with a codec -----------------------------------------------------------------------


def stored_in(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def test_it_begins_where_the_other_one_ended(trained, tiny_corpus, tmp_path):
    """At a learning rate of nearly nothing, networks stay what they were; codebooks follow their latents slowly."""
    folder, found, _, _ = trained
    begun = load_codec(folder)
    before = {name: value.clone() for name, value in begun.network.state_dict().items()}
    again = learn(tiny_corpus, tmp_path / "again", begin=begun, steps=1, every=1, learning_rate=1e-12)
    one, other = stored_in(folder), stored_in(tmp_path / "again")
    tables = {name for name in one if name.endswith("codebooks.tables")}
    assert len(tables) == 2
    assert all(torch.equal(one[name], other[name]) for name in one.keys() - tables)
    for name in tables:
        assert (one[name].float() - other[name].float()).norm() < 0.3 * one[name].float().norm()
    # What is told of val is what was told before, and not what random networks come to.
    fresh = learn(tiny_corpus, tmp_path / "fresh", steps=1, every=1)
    assert again["best"]["val"]["total"] < 1.1 * found["best"]["val"]["total"] < fresh["best"]["val"]["total"]
    # What came before is told with what came of it.
    assert load_codec(tmp_path / "again").facts["trained"]["before"] == begun.facts["trained"]
    assert "before" not in begun.facts["trained"]
    # The codec to begin with is left as it was.
    assert all(torch.equal(value, before[name]) for name, value in begun.network.state_dict().items())


def test_it_is_resumed_with_the_codec_that_it_began_with(trained, tiny_corpus, tmp_path):
    begun = load_codec(trained[0])

    def stop(line: dict[str, Any]) -> None:
        if line["step"] == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learn(tiny_corpus, tmp_path / "broken", begin=begun, every=2, progress=stop)
    with pytest.raises(TokensError, match="the checkpoint is of other options"):
        learn(tiny_corpus, tmp_path / "broken", every=2, resume=True)
    learn(tiny_corpus, tmp_path / "broken", begin=begun, every=2, resume=True)
    learn(tiny_corpus, tmp_path / "whole", begin=begun, every=2)
    assert weights(tmp_path / "broken") == weights(tmp_path / "whole")


def test_a_codec_of_another_config_is_no_beginning(trained, tiny_corpus, tmp_path):
    begun = load_codec(trained[0])
    with pytest.raises(TokensError, match="to begin with is of another config; leave out what makes it another"):
        learn(tiny_corpus, tmp_path / "codec", changed(TINY, codes=8), begin=begun)
    assert not (tmp_path / "codec").exists()


# -- all ways of training --------------------------------------------------------------------------------------


PAPER = changed(PRESETS["paper"], width=16, head_width=16, codes=32, head_codes=32)


@pytest.mark.parametrize(
    ("config", "change"),
    [
        (PAPER, {}),
        (changed(TINY, quantiser="fsq", codes=240, head_codes=512), {}),
        (TINY, {"loss": "parameters"}),
        (changed(TINY, input="parameters"), {"loss": "parameters"}),
        (changed(TINY, stride=8, encoder_ahead=0, codebooks=1), {}),
    ],
    ids=["paper", "fsq", "loss parameters", "parameters", "stride 8"],
)
def test_every_kind_learns(tiny_corpus, tmp_path, config, change):
    found = learn(tiny_corpus, tmp_path / "codec", config, steps=2, every=1, **change)
    assert all(np.isfinite(line["loss"]) for line in found["history"])
    codec = load_codec(tmp_path / "codec")
    assert codec.config == config
    clip = read_manifest(tiny_corpus / "manifest.jsonl")[5]
    motion = read_motion(f"{tiny_corpus}/{clip.motion}")
    assert len(codec.decode(codec.encode(motion))) == len(motion)


def test_a_head_with_joints_learns(flame_head, tmp_path):
    (tmp_path / "motions").mkdir()
    for seed in range(3):
        write_motion(made_motion(40, seed, flame_head), tmp_path / "motions" / f"{seed}.npz")
    found = learn(tmp_path / "motions", tmp_path / "codec", model=flame_head, steps=2, every=1)
    assert load_codec(tmp_path / "codec", flame_head).columns.width == 69
    # Without a split val the last one is kept.
    assert [line["val"] for line in found["history"]] == [{"total": 0.0}] * 2
    assert load_codec(tmp_path / "codec", flame_head).facts["trained"]["step"] == 2


def test_time_may_end_it(tiny_corpus, tmp_path):
    found = learn(tiny_corpus, tmp_path / "codec", steps=100_000, every=100_000, seconds=0.05)
    assert found["steps"] < 1000
    assert [line["step"] for line in found["history"]] == [found["steps"]]
    assert load_codec(tmp_path / "codec").facts["trained"]["step"] == found["steps"]
    assert not (tmp_path / "codec" / "checkpoint").exists()


# -- what is refused -------------------------------------------------------------------------------------------


def test_without_the_package_it_is_named(tiny_corpus, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "vector_quantize_pytorch", None)
    with pytest.raises(TokensError, match=r"needs vector-quantize-pytorch, .* pip install 'tdmm\[train\]'"):
        learn(tiny_corpus, tmp_path / "codec")
    assert not (tmp_path / "codec").exists()


def test_a_loss_that_is_not_finite_ends_it(tiny_corpus, tmp_path, monkeypatch):
    real = train.head_loss
    monkeypatch.setattr(train, "head_loss", lambda *what: (real(*what)[0] * float("nan"), real(*what)[1]))
    with pytest.raises(TokensError, match="the loss of step 4 is nan; a smaller learning rate may help"):
        learn(tiny_corpus, tmp_path / "codec")


def test_nothing_is_written_where_nothing_can_be_learnt(tiny_corpus, tmp_path):
    with pytest.raises(TokensError, match="frames: expected a multiple of the stride 4, found 18"):
        learn(tiny_corpus, tmp_path / "codec", frames=18)
    with pytest.raises(TokensError, match="is no corpus"):
        learn(tmp_path / "nowhere", tmp_path / "codec")
    with pytest.raises(TokensError, match="made with face model tdmm-head-1"):
        learn(tiny_corpus, tmp_path / "codec", model=Otherwise())
    assert not (tmp_path / "codec").exists()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"loss": "l2"}, "loss: expected one of geometry, parameters, found 'l2'"),
        ({"steps": 0}, "steps: expected a positive whole number, found 0"),
        ({"batch": 2.0}, "batch: expected a positive whole number, found 2.0"),
        ({"every": True}, "every: expected a positive whole number, found True"),
        ({"warmup": 0}, "warmup: expected a positive whole number"),
        ({"learning_rate": float("nan")}, "learning rate: expected a positive number, found nan"),
        ({"learning_rate": 0.0}, "learning rate: expected a positive number"),
        ({"seconds": 0.0}, "seconds: expected a positive number"),
        ({"seed": -1}, "seed: expected a whole number from 0 on"),
    ],
)
def test_senseless_options_are_refused(change, expected):
    with pytest.raises(TokensError, match=expected):
        replace(options(), **change)


# -- several processes -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def together(tiny_corpus, tmp_path_factory) -> Path:
    """What two processes on the CPU came to."""
    folder = tmp_path_factory.mktemp("together")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "ACCELERATE_USE_CPU": "true"}
    command = [sys.executable, str(Path(__file__).with_name("train_together.py")), str(tiny_corpus), str(folder)]
    processes = [
        subprocess.Popen(
            command,
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for rank in range(2)
    ]
    try:
        said = [process.communicate(timeout=120)[0].decode() for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], "\n".join(said)
    return folder


def states(folder: Path, name: str) -> list[dict[str, torch.Tensor]]:
    return [load_file(folder / f"{name}-{rank}.safetensors") for rank in range(2)]


@pytest.mark.parametrize("name", ["whole", "broken", "counted", "timed"])
def test_all_processes_learn_the_same(together, name):
    one, other = states(together, name)
    # What is to be saved gets the codebooks that were learnt in the first one alone, which saves it; the next step
    # brings them to the others.
    saved = {f"network.{stream}.codebooks.tables" for stream in ("face", "head")}
    assert sum(key.endswith("_codebook.embed") for key in one) == 4
    assert {key for key in one if not torch.equal(one[key], other[key])} <= saved


def test_codebooks_count_the_tokens_of_all_processes(together):
    """Sizes begin with those of the first batch and move towards those of each: all are of as many tokens."""
    sizes = [value for key, value in states(together, "counted")[0].items() if key.endswith("cluster_size")]
    assert len(sizes) == 4
    for size in sizes:
        assert float(size.sum()) == pytest.approx(TOKENS, rel=1e-4)


def test_together_it_is_resumed_as_alone(together):
    whole, broken = (states(together, name)[0] for name in ("whole", "broken"))
    assert {key for key in whole if not torch.equal(whole[key], broken[key])} == set()
    assert untimed(lines_of(together / "broken")) == untimed(lines_of(together / "whole"))


def test_together_the_first_one_writes(together):
    for name in ("whole", "broken", "counted"):
        codec = load_codec(together / name)
        assert [line["step"] for line in lines_of(together / name)] == [2, 4, 6]
        assert codec.facts["trained"]["motions"] == 20
        assert not (together / name / "checkpoint").exists()
