"""The codec that comes with tdmm: small enough, what tokenize takes, and faces come back through it as they were."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tdmm.cli.app import run
from tdmm.corpus.build import CorpusJob, generate_corpus
from tdmm.corpus.plan import Settings
from tdmm.evaluate.reconstruction import ReconstructionScores, score_reconstruction
from tdmm.face.mesh_points import mesh_points
from tdmm.io.manifest import read_manifest
from tdmm.io.motion_file import read_motion, write_motion
from tdmm.io.tokens_file import read_tokens
from tdmm.motion import FaceMotion, make_motion
from tdmm.vq.codec import ASSET, FILES, Codec, fingerprint_of, shipped_codec

# Clips of a seed of which no clip was in the training.
CLIPS, SEED = 120, 31415
FPS = 25


@pytest.fixture(scope="module")
def shipped() -> Codec:
    return shipped_codec()


@pytest.fixture(scope="module")
def held_out(tmp_path_factory) -> list[FaceMotion]:
    job = CorpusJob(tmp_path_factory.mktemp("held-out") / "corpus", Settings(seed=SEED), motions_only=True)
    generate_corpus(job, clips=CLIPS)
    return [read_motion(f"{job.folder}/{clip.motion}") for clip in read_manifest(job.manifest)]


@pytest.fixture(scope="module")
def scores(shipped, held_out) -> ReconstructionScores:
    decoded = shipped.decode_many(shipped.encode_many(held_out))
    return score_reconstruction(held_out, decoded, shipped.model)


def curve(shipped: Codec, name: str, values: np.ndarray) -> FaceMotion:
    """A face that does nothing else."""
    names = shipped.columns.expression_names
    expression = np.zeros((len(values), len(names)), np.float32)
    expression[:, names.index(name)] = values
    model = shipped.model
    return make_motion(expression, names, face_model=model.name, face_model_sha256=model.sha256)


def rise_and_fall(to: float, seconds: float = 1.0) -> np.ndarray:
    """Half a second of rest, up in a third of a second, there for `seconds`, down again, rest."""
    slope = np.linspace(0, 1, FPS // 3 + 2)[1:-1]
    slope = 0.5 - 0.5 * np.cos(np.pi * slope)
    rest = np.zeros(FPS // 2)
    return to * np.concatenate([rest, slope, np.ones(round(FPS * seconds)), slope[::-1], rest])


# -- what it is ------------------------------------------------------------------------------------------------


def test_it_takes_at_most_four_megabytes():
    assert sum((ASSET / name).stat().st_size for name in FILES) <= 4_000_000


def test_it_has_a_card(shipped):
    card = (ASSET / "README.md").read_text("utf-8")
    assert "tdmm train vq" in card
    assert shipped.fingerprint in card


def test_its_fingerprint_is_that_of_its_weights(shipped):
    assert shipped.fingerprint == shipped.facts["fingerprint"] == fingerprint_of(shipped.network)


def test_it_says_what_it_was_trained_on_and_used_its_codes(shipped):
    trained = shipped.facts["trained"]
    # It went on from trainings that went before.
    assert trained["before"]["before"]["motions"] > 30_000
    assert len(trained["use"]) == len(shipped.config.sizes)
    assert min(trained["use"]) >= 0.9


def test_thirty_seven_and_a_half_tokens_and_375_bits_a_second(shipped, held_out):
    tokens = shipped.encode(held_out[0])
    assert (tokens.tokens_per_second, tokens.bits_per_second) == (37.5, 375)
    assert tokens.codes.shape == (math.ceil(len(held_out[0]) / 4), 6)
    assert tokens.streams == ("face",) * 4 + ("head",) * 2
    assert tokens.sizes == (1024,) * 6


def test_it_is_what_tokenize_takes(shipped, held_out, tmp_path):
    write_motion(held_out[0], tmp_path / "one.npz")
    assert run(["tokenize", str(tmp_path / "one.npz"), "-o", str(tmp_path / "one.jsonl"), "-q"]) == 0
    (tokens,) = read_tokens(tmp_path / "one.jsonl")
    assert tokens.codec == shipped.fingerprint
    assert np.array_equal(tokens.codes, shipped.encode(held_out[0]).codes)


# -- what comes back -------------------------------------------------------------------------------------------


def test_held_out_motions_come_back(scores):
    assert scores.in_head["face"].mean < 0.30
    assert scores.in_head["lips"].mean < 0.45
    assert scores.in_head["eyelids"].mean < 0.45
    assert scores.rotation_degrees < 0.5
    assert scores.translation_mm < 2


def test_blinks_are_kept(scores):
    assert scores.blinks > 120
    assert scores.blinks_kept >= 0.97
    assert scores.blink_precision >= 0.97


@pytest.mark.parametrize("name", ["tongueOut", "browInnerUp", "browOuterUpLeft", "cheekPuff", "jawOpen"])
def test_what_is_rare_and_what_moves_little_comes_back(shipped, name):
    """A mean over vertices hardly sees a brow, and sees no tongue."""
    motion = curve(shipped, name, rise_and_fall(0.8))
    back = shipped.decode(shipped.encode(motion)).expression_column(name)
    assert back.max() >= 0.6
    assert back[:6].max() < 0.15
    assert back[-3:].max() < 0.15


def test_a_mouth_that_closes_closes(shipped):
    """As it does between words: at rest, open, closed for a third of a second, open, at rest."""
    motion = curve(shipped, "jawOpen", np.tile(rise_and_fall(0.5, seconds=0.4), 2))
    back = shipped.decode(shipped.encode(motion))
    points = mesh_points(shipped.model)
    true, found = (1000 * points.gaps(points.in_head(one, torch.zeros(0)))[:, 0].numpy() for one in (motion, back))
    closed = true <= true.min() + 0.01
    assert closed.sum() > 20
    assert (found[closed] - true[closed]).max() < 1.0
    assert found.max() > 0.8 * true.max()


def test_a_head_that_turns_comes_back_where_it_was(shipped):
    rise = rise_and_fall(0.5)
    rotation = np.zeros((len(rise), 3), np.float32)
    rotation[:, 1] = rise + 0.3
    still = curve(shipped, "jawOpen", 0 * rise)
    motion = make_motion(
        still.expression,
        still.expression_names,
        face_model=still.face_model,
        face_model_sha256=still.face_model_sha256,
        rotation=rotation,
    )
    back = shipped.decode(shipped.encode(motion))
    assert np.rad2deg(np.abs(back.rotation - rotation)).mean() < 0.5
    assert np.rad2deg(np.abs(back.rotation[-1] - rotation[-1]).max()) < 1.5
