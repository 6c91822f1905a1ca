"""`tdmm train vq`."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import typer

from tdmm.cli import train_vq
from tdmm.cli.app import app
from tdmm.cli.console import Console
from tdmm.vq.codec import load_codec
from tdmm.vq.config import PRESETS
from tdmm.vq.train import TrainOptions

TINY = """
[codec.face]
width = 32
encoder_blocks = 2
decoder_blocks = 2
latent = 8
codebooks = 2
codes = 64
[codec.head]
width = 32
encoder_blocks = 2
decoder_blocks = 2
latent = 8
codebooks = 2
codes = 64
[train]
batch = 8
frames = 24
steps = 4
"""


@pytest.fixture
def tiny(tmp_path) -> Path:
    (tmp_path / "tiny.toml").write_text(TINY)
    return tmp_path / "tiny.toml"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory, tiny_corpus) -> Path:
    """Without a split val, a look at which takes longer than some steps."""
    folder = Path(shutil.copytree(tiny_corpus, tmp_path_factory.mktemp("train") / "corpus"))
    manifest = folder / "manifest.jsonl"
    manifest.write_text(manifest.read_text().replace('"split": "val"', '"split": "test"'))
    return folder


@pytest.fixture
def train(tdmm, corpus, tiny):
    def call(*arguments: object, of: Path = corpus):
        return tdmm("train", "vq", of, "--config", tiny, "--device", "cpu", *arguments)

    return call


def test_a_codec_in_a_few_steps(tdmm, train, tiny_corpus, tmp_path):
    place = tmp_path / "codec"
    outcome = train("-o", place, "--codes", 16, "--json", of=tiny_corpus)
    assert outcome.code == 0, outcome.stderr
    assert sorted(path.name for path in place.iterdir()) == sorted({*train_vq.OWN} - {"checkpoint", "README.md"})
    codec = load_codec(place)
    assert codec.config.sizes == (16,) * 4  # the option counts for more than the file
    told = outcome.json
    assert (told["codec"], told["steps"], told["tokens_per_second"]) == (str(place), 4, 25.0)
    assert "history" not in told
    assert told["best"]["val"]["face"] > 0
    lines = [json.loads(line) for line in (place / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [4]
    assert outcome.stderr.count("codes used") == 1

    # It is there: nothing is replaced without --force, and there is nothing to go on with.
    before = codec.fingerprint
    again = train("-o", place, "--seed", 1)
    assert (again.code, "replace it with --force" in again.error_line) == (1, True)
    finished = train("-o", place, "--resume")
    assert (finished.code, "is finished" in finished.error_line) == (1, True)
    forced = train("-o", place, "--seed", 1, "--force", "--quiet")
    assert (forced.code, forced.text, forced.stderr) == (0, "", "")
    assert load_codec(place).fingerprint != before
    assert tdmm("info", place, "--json").json["kind"] == "codec"


def test_a_training_that_was_stopped_goes_on(train, tmp_path, monkeypatch):
    place = tmp_path / "codec"
    say = Console.say

    def stop(console: Console, message: str) -> None:
        say(console, message)
        if message.startswith("step 2:"):  # told before the checkpoint of this step is written
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Console, "say", stop)
        stopped = train("-o", place, "--every", 1)
    assert stopped.code == 130
    assert (place / "checkpoint" / "state.safetensors").is_file()
    again = train("-o", place, "--every", 1)
    assert (again.code, "go on with --resume, or begin anew with --force" in again.error_line) == (1, True)
    other = train("-o", place, "--every", 1, "--resume", "--steps", 5)
    assert (other.code, "checkpoint is of other options" in other.error_line) == (1, True)
    done = train("-o", place, "--every", 1, "--resume")
    assert done.code == 0, done.stderr
    assert "step 1:" not in done.stderr
    assert "step 2:" in done.stderr
    # What it would have come to without the break; and to resume what has not begun is to begin.
    assert train("-o", tmp_path / "whole", "--every", 1, "--resume").code == 0
    assert load_codec(place).fingerprint == load_codec(tmp_path / "whole").fingerprint


def test_the_loss_of_parameters_is_of_an_encoder_of_parameters(train, tmp_path):
    assert train("-o", tmp_path / "codec", "--loss", "parameters", "--quiet").code == 0
    codec = load_codec(tmp_path / "codec")
    assert codec.config.input == "parameters"
    assert codec.facts["trained"]["options"]["loss"] == "parameters"


def test_a_codec_is_adapted(tdmm, corpus, tmp_path, tiny_codec_folder, monkeypatch):
    def adapt(*arguments: object):
        given = ("--steps", 1, "--batch", 8, "--frames", 24, "--device", "cpu", *arguments)
        return tdmm("train", "vq", corpus, "-o", tmp_path / "adapted", *given)

    before = load_codec(tiny_codec_folder)
    assert adapt("--begin", tiny_codec_folder, "--quiet").code == 0
    adapted = load_codec(tmp_path / "adapted")
    assert adapted.config == before.config
    assert adapted.fingerprint != before.fingerprint
    # One step has hardly changed it.
    one, other = (codec.network.face.encoder.inward.weight for codec in (before, adapted))
    assert (one - other).abs().max() < 0.01

    # What makes it another one is refused, and that of tdmm has a word.
    for wrong in (("--codes", 8), ("--stride", 2), ("--quantiser", "fsq", "--codes", 240)):
        outcome = adapt("--begin", tiny_codec_folder, "--force", *wrong)
        assert (outcome.code, "is of another config; leave out what makes it another" in outcome.error_line) == (
            1,
            True,
        )
    both = adapt("--begin", tiny_codec_folder, "--preset", "paper", "--force")
    assert (both.code, "--begin takes what its codec is made of" in both.error_line) == (2, True)
    none = adapt("--begin", corpus, "--force")
    assert (none.code, "is no codec" in none.error_line) == (1, True)
    monkeypatch.setattr("tdmm.vq.codec.ASSET", tiny_codec_folder)
    assert adapt("--begin", "builtin", "--force", "--quiet").code == 0
    assert load_codec(tmp_path / "adapted").fingerprint == adapted.fingerprint

    # Another loss needs no other codec here.
    assert adapt("--begin", tiny_codec_folder, "--loss", "parameters", "--force", "--quiet").code == 0
    assert load_codec(tmp_path / "adapted").config.input == "geometry"


def test_force_takes_nothing_with_it_but_a_codec(train, corpus):
    before = sorted(corpus.rglob("*"))
    outcome = train("-o", corpus, "--force")
    assert outcome.code == 2
    assert "which is of no codec; name another folder" in outcome.error_line
    assert sorted(corpus.rglob("*")) == before


def test_only_the_first_of_several_processes_talks(train, tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    outcome = train("-o", tmp_path / "codec", "--frames", 3)
    assert outcome.code == 2
    wrong = train("-o", tmp_path / "nowhere" / "codec", "--face-model", tmp_path / "nowhere.pkl")
    assert (wrong.code, wrong.text, wrong.stderr) == (1, "", "")


def test_without_the_package_the_extra_is_named(train, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "vector_quantize_pytorch", None)
    outcome = train("-o", tmp_path / "codec")
    assert outcome.code == 1
    assert "pip install 'tdmm[train]'" in outcome.error_line
    assert not (tmp_path / "codec").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        ([], 2, "Missing option '--output' / '-o' (see tdmm train vq --help)"),
        (["-o", "-"], 2, "-o -: a codec is a folder"),
        (["-o", "tiny.toml"], 2, "-o tiny.toml is a file; a codec is a folder"),
        (["-o", "nowhere/x"], 1, "there is no folder nowhere; make it first"),
        (["-o", "x", "--preset", "best"], 2, "preset: expected one of tdmm, paper, found 'best'"),
        (["-o", "x", "--stride", "3"], 2, "stride: expected 1, 2, 4 or 8"),
        (["-o", "x", "--frames", "30"], 2, "frames: expected a multiple of the stride 4, found 30"),
        (["-o", "x", "--loss", "l2"], 2, "loss: expected one of geometry, parameters, found 'l2'"),
        (["-o", "x", "--quantiser", "vq"], 2, "quantiser: expected one of rvq, fsq, found 'vq'"),
        (["-o", "x", "--quantiser", "fsq", "--codes", "100"], 2, "fsq has grids of"),
        (["-o", "x", "--codebooks", "0"], 2, "codebooks: expected a positive whole number"),
        (["-o", "x", "--steps", "0"], 2, "steps: expected a positive whole number"),
        (["-o", "x", "--learning-rate", "0"], 2, "learning rate: expected a positive number"),
        (["-o", "x", "--seconds", "0"], 2, "seconds: expected a positive number"),
        (["-o", "x", "--seed", "-1"], 2, "seed: expected a whole number from 0 on"),
        (["-o", "x", "--config", "nowhere.toml"], 1, "nowhere.toml: there is no such file"),
        (["-o", "x", "--config", "wrong.toml"], 1, "wrong.toml: [codec]: there is no setting strides"),
        (["-o", "x", "--resume", "--force"], 2, "choose one"),
        (["-o", "x", "--quiet", "--verbose"], 2, "--quiet and --verbose exclude each other"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_inputs_are_told_in_one_line(train, tmp_path, monkeypatch, arguments, code, expected):
    monkeypatch.chdir(tmp_path)
    Path("wrong.toml").write_text("[codec]\nstrides = 4\n")
    outcome = train(*arguments)
    assert outcome.code == code, outcome.stderr
    assert expected in outcome.error_line
    assert outcome.text == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny.toml", "wrong.toml"]


def test_no_corpus(tdmm, tmp_path):
    outcome = tdmm("train", "vq", tmp_path / "nowhere", "-o", tmp_path / "x")
    assert (outcome.code, "nowhere: is no corpus" in outcome.error_line) == (1, True)
    assert not (tmp_path / "x").exists()


def test_the_defaults_that_help_shows_are_the_real_ones():
    options, codec = TrainOptions(), PRESETS["tdmm"]
    real = {
        name: getattr(options, name) for name in ("steps", "batch", "frames", "learning_rate", "every", "seed", "loss")
    }
    real |= {"stride": codec.stride, "quantiser": codec.quantiser}
    real |= {"codebooks": codec.face.codebooks, "codes": codec.face.codes}
    shown = {one.name: one.show_default for one in typer.main.get_command(app).commands["train"].commands["vq"].params}
    assert {name: shown[name] for name in real} == {name: str(value) for name, value in real.items()}
    assert codec.head.codes == codec.face.codes
