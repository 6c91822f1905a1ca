"""For all tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

# The tensors of the tests are small. Several threads each gain them nothing, and cost four times as much on a machine
# that does something else too, where the threads wait for one another at full speed. Read when torch is imported.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")


def pytest_configure() -> None:
    """A shell ignores Ctrl-C in what it runs in the background, and programs started from there would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """`subprocess.Popen` in a session of its own, all of which is gone when the test is over, however it ends."""
    started: list[subprocess.Popen[bytes]] = []

    def popen(*arguments: object, **options: object) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen(*arguments, start_new_session=True, **options))  # type: ignore[call-overload]
        return started[-1]

    yield popen
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.fixture(scope="session")
def tiny_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 performed motions of the built-in head, four of which are the split val."""
    from tdmm.cli.app import run

    folder = tmp_path_factory.mktemp("tiny") / "corpus"
    arguments = ["generate-corpus", "-o", str(folder), "--clips", "24", "--motions-only", "--workers", "1", "-q"]
    assert run(arguments) == 0
    manifest = folder / "manifest.jsonl"
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    for number, line in enumerate(lines):
        line["split"] = "val" if number < 4 else "train"
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


@pytest.fixture(scope="session")
def tiny_codec_folder(tmp_path_factory: pytest.TempPathFactory, tiny_corpus: Path) -> Path:
    """The folder of a codec for the built-in head that has learnt for a second: laws hold, it knows little of faces."""
    from tdmm.face import load_face_model
    from tdmm.vq.config import CodecConfig, StreamConfig
    from tdmm.vq.train import TrainOptions, train_vq

    folder = tmp_path_factory.mktemp("tiny") / "codec"
    stream = StreamConfig(width=32, encoder_blocks=2, decoder_blocks=2, latent=8, codebooks=2, codes=16)
    options = TrainOptions(steps=20, batch=16, frames=48, every=20)
    train_vq([tiny_corpus], folder, load_face_model(), config=CodecConfig(face=stream, head=stream), options=options)
    return folder


@pytest.fixture(scope="session")
def tiny_lm_folder(tmp_path_factory: pytest.TempPathFactory, tiny_codec_folder: Path) -> Path:
    """The folder of a language model of random weights that knows 24 steps of tokens of `tiny_codec_folder`."""
    import torch

    from tdmm.lm.backbone import BackboneConfig, new_backbone
    from tdmm.lm.model_folder import save_language_model
    from tdmm.lm.prompt_words import words_of
    from tdmm.lm.tokenizer import learn_tokenizer
    from tdmm.lm.vocabulary import MotionVocabulary
    from tdmm.vq.codec import load_codec

    codec = load_codec(tiny_codec_folder)
    texts = ["She smiles, then nods twice.", "A man winks with the left eye.", "0.4-1.9 s: smiles; 2.1-3.0 s: nods"] * 3
    vocabulary = MotionVocabulary(codec.config.streams, codec.config.sizes, longest=24)
    bound = vocabulary.bind(learn_tokenizer(texts, 400))
    size = BackboneConfig(hidden=16, layers=2, heads=2, kv_heads=1, head_size=8, intermediate=24, positions=512)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = new_backbone(bound, size)
    folder = tmp_path_factory.mktemp("tiny") / "lm"
    save_language_model(folder, network, bound, {"codec": codec.fingerprint}, words_of(texts))
    return folder
