"""Motions to tokens and back, by codecs of random numbers: batches, windows, files, and what is refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_codecs import COLUMNS, HEAD, SMALL, Otherwise, made_codec, made_motion, made_network

from tdmm.errors import MotionError, TokensError
from tdmm.face.linear import rotvec_to_rotmat
from tdmm.motion import FaceMotion
from tdmm.vq import codec as codec_module
from tdmm.vq.codec import Codec, fingerprint_of, in_steps, load_codec, save_codec
from tdmm.vq.columns import relative_pose
from tdmm.vq.config import changed

LENGTHS = (57, 1, 120, 4, 121, 9)
POSES = ("expression", "rotation", "translation")


@pytest.fixture(scope="module")
def codec() -> Codec:
    return made_codec()


@pytest.fixture(scope="module")
def motions() -> list[FaceMotion]:
    return [made_motion(length, seed) for seed, length in enumerate(LENGTHS)]


@pytest.fixture
def folder(tmp_path) -> Path:
    save_codec(tmp_path / "codec", made_network(HEAD), {})
    return tmp_path / "codec"


def alike(one: FaceMotion, other: FaceMotion, within: float = 1e-5) -> bool:
    """The same but for what products of matrices of other sizes round otherwise."""
    close = all(np.abs(getattr(one, name) - getattr(other, name)).max() < within for name in POSES)
    rest = {name: getattr(one, name) for name in POSES}
    return close and one == replace(other, **rest)


def turned(rotation: np.ndarray) -> np.ndarray:
    return rotvec_to_rotmat(torch.from_numpy(np.asarray(rotation, np.float64))).numpy()


# -- there and back ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config",
    [
        SMALL,
        changed(SMALL, stride=1, encoder_ahead=5),
        changed(SMALL, stride=8, encoder_ahead=0),
        changed(SMALL, quantiser="fsq", codes=240, head_codes=240),
        changed(SMALL, input="parameters"),
    ],
    ids=["small", "stride 1", "stride 8", "fsq", "parameters"],
)
def test_in_batches_it_is_as_one_by_one(config, motions):
    codec = made_codec(config=config)
    together = codec.encode_many(motions, [str(length) for length in LENGTHS])
    alone = [codec.encode(motion, str(length)) for motion, length in zip(motions, LENGTHS, strict=True)]
    assert together == alone
    assert [len(one) for one in alone] == [-(-length // config.stride) for length in LENGTHS]
    assert np.unique(alone[2].codes, axis=0).shape[0] > 5
    assert (alone[2].codes.max(0) > 0).all()
    back = codec.decode_many(together)
    assert [len(one) for one in back] == list(LENGTHS)
    for one, tokens in zip(back, alone, strict=True):
        assert alike(one, codec.decode(tokens))


def test_it_is_deterministic(codec, motions):
    first, second = (codec.encode_many(motions) for _ in range(2))
    assert first == second
    assert codec.decode_many(first) == codec.decode_many(second)
    assert made_codec().encode_many(motions) == first


@pytest.mark.parametrize(("window", "batch"), [(5, 8192), (16, 64), (512, 30), (1, 8)])
def test_windows_and_batches_of_any_size_change_nothing(codec, motions, monkeypatch, window, batch):
    whole = codec.encode_many(motions)
    back = codec.decode_many(whole)
    monkeypatch.setattr(codec_module, "WINDOW", window)
    monkeypatch.setattr(codec_module, "BATCH_STEPS", batch)
    assert codec.encode_many(motions) == whole
    assert all(alike(one, other) for one, other in zip(codec.decode_many(whole), back, strict=True))


def test_batches_hold_no_more_than_they_may(codec, motions, monkeypatch):
    sizes = []
    run = codec.network.face.encoder.forward
    monkeypatch.setattr(codec_module, "BATCH_STEPS", 40)
    monkeypatch.setattr(
        codec.network.face.encoder, "forward", lambda x, mask: sizes.append(x.shape[:2]) or run(x, mask)
    )
    codec.encode_many(motions)
    assert sum(rows for rows, _ in sizes) == len(LENGTHS)
    assert all(rows * steps <= 40 for rows, steps in sizes if rows > 1)
    assert max(rows for rows, _ in sizes) > 1


def test_frames_wait_for_no_more_codes_than_are_told(codec, motions):
    """A code that changes changes no frame that was due before it came."""
    tokens = codec.encode(motions[2])
    step = 20
    codes = tokens.codes.copy()
    codes[step] = (codes[step] + 1) % np.array(tokens.sizes)
    one, other = codec.decode(tokens), codec.decode(replace(tokens, codes=codes))
    last = (step + 1) * tokens.stride - 1  # the frame at whose end the code is there
    for name in POSES:
        differs = np.flatnonzero(np.abs(getattr(one, name) - getattr(other, name)).max(1) > 1e-7)
        assert last - codec.config.look_ahead <= differs.min() <= last
    assert len(differs) > tokens.stride


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 5])
def test_a_few_frames_are_a_motion(codec, frames):
    motion = made_motion(frames)
    tokens = codec.encode(motion)
    assert (tokens.frames, len(tokens)) == (frames, -(-frames // 4))
    back = codec.decode(tokens)
    assert len(back) == frames
    assert np.array_equal(back.timestamps, motion.timestamps)
    assert back.fps == motion.fps


def test_the_last_step_is_filled_with_the_last_frame(codec):
    motion = made_motion(6)
    longer = made_motion(8, **{name: np.pad(getattr(motion, name), ((0, 2), (0, 0)), "edge") for name in POSES})
    assert np.array_equal(codec.encode(longer).codes, codec.encode(motion).codes)
    frames = torch.arange(10.0).view(5, 2)
    assert in_steps(frames, 4).tolist() == [[0, 1, 2, 3, 4, 5, 6, 7], [8, 9, 8, 9, 8, 9, 8, 9]]
    assert in_steps(frames[:4], 2).tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_tokens_carry_what_codes_do_not_tell(codec):
    motion = made_motion(
        30,
        shape=np.array([0.5, 0, -1, 0], np.float32),
        image_size=(480, 640),
        camera=np.array([[900.0, 0, 300], [0, 910, 250], [0, 0, 1]]),
        timestamps=7.4 + np.arange(30) / 25,
        text="smiles",
    )
    tokens = codec.encode(motion, "one")
    assert (tokens.id, tokens.text, tokens.frames, tokens.stride) == ("one", "smiles", 30, 4)
    assert (tokens.codec, tokens.sizes, tokens.streams) == (
        codec.fingerprint,
        codec.config.sizes,
        codec.config.streams,
    )
    assert np.array_equal(tokens.rotation, motion.rotation[0])
    assert np.array_equal(tokens.translation, motion.translation[0])
    back = codec.decode(tokens)
    assert np.array_equal(back.shape, motion.shape[:3])  # but for zeros at its end
    for name in ("camera", "image_size", "text", "face_model", "face_model_sha256", "expression_names", "fps"):
        assert np.array_equal(getattr(back, name), getattr(motion, name)), name
    assert np.allclose(back.timestamps, motion.timestamps, rtol=0, atol=1e-9)
    assert back.expression.min() >= 0
    assert back.expression.max() <= 1


def test_frames_without_a_face_stay_marked(codec):
    valid = np.ones(30, bool)
    valid[[0, 1, 9, 29]] = valid[14:20] = False
    tokens = codec.encode(made_motion(30, valid=valid))
    assert tokens.invalid == ((0, 2), (9, 10), (14, 20), (29, 30))
    back = codec.decode(tokens)
    assert np.array_equal(back.valid, valid)
    assert np.array_equal(back.confidence, valid.astype(np.float32))
    # Their values are bridged and are coded as all others are.
    assert np.array_equal(tokens.codes, codec.encode(made_motion(30)).codes)


def test_a_head_that_starts_elsewhere_comes_back_there(codec):
    motion = made_motion(60)
    turn = np.array([0.2, -0.5, 0.1])
    tokens = codec.encode(motion)
    # The same movement of a head that starts turned and elsewhere: the same codes.
    rotation = quaternions(turned(turn) @ turned(motion.rotation))
    moved = replace(motion, rotation=rotation, translation=motion.translation + np.float32(0.25))
    others = codec.encode(moved)
    assert np.array_equal(others.codes, tokens.codes)
    one, other = codec.decode(tokens), codec.decode(others)
    assert np.array_equal(one.expression, other.expression)
    assert np.abs(turned(turn) @ turned(one.rotation) - turned(other.rotation)).max() < 1e-5
    assert np.allclose(other.translation, one.translation + 0.25, atol=1e-6)
    # And tokens that are told of another start begin there.
    told = codec.decode(replace(tokens, rotation=turn, translation=np.ones(3)))
    relative = relative_pose(told.rotation, told.translation, (turn, np.ones(3)))
    true = relative_pose(one.rotation, one.translation, (tokens.rotation, tokens.translation))
    assert np.abs(relative - true).max() < 1e-5


def quaternions(matrices: np.ndarray) -> np.ndarray:
    from scipy.spatial.transform import Rotation

    return Rotation.from_matrix(matrices).as_rotvec()


def test_other_rates_and_uneven_times_come_to_the_codecs_own(codec):
    motion = made_motion(100)
    for fps in (30.0, 59.94, 12.5):
        other = motion.resample(fps)
        tokens = codec.encode(other)
        assert tokens.fps == 25
        assert tokens == codec.encode(other.resample(25))
        assert abs(tokens.frames / 25 - other.duration) < 0.05
    times = motion.timestamps.copy()
    times[40:] += 0.31
    times[7] += 0.013
    uneven = replace(motion, timestamps=times)
    tokens = codec.encode(uneven)
    assert tokens.frames == 107
    assert tokens == codec.encode(uneven.resample(25))
    assert np.allclose(np.diff(codec.decode(tokens).timestamps), 0.04)


def test_motions_with_expressions_in_another_order(codec):
    motion = made_motion(30)
    names = motion.expression_names[::-1]
    other = replace(motion, expression=motion.expression[:, ::-1], expression_names=names)
    assert codec.encode(other) == codec.encode(motion)


def test_a_face_model_with_joints(flame_head):
    codec = made_codec(flame_head)
    motion = made_motion(50, model=flame_head, eyes_pose=0.1 * np.ones((50, 6)))
    back = codec.decode(codec.encode(motion))
    assert np.abs(back.jaw_pose).max() > 0
    assert np.abs(back.eyes_pose).max() > 0
    # What turns a joint is part of the face.
    still = codec.encode(replace(motion, jaw_pose=0 * motion.jaw_pose)).codes
    assert (still[:, :2] != codec.encode(motion).codes[:, :2]).any()
    assert np.array_equal(still[:, 2:], codec.encode(motion).codes[:, 2:])


def test_no_motions(codec):
    assert codec.encode_many([]) == []
    assert codec.decode_many([]) == []


# -- what is refused ---------------------------------------------------------------------------------------


def test_other_face_models_are_refused(codec, flame_head):
    with pytest.raises(MotionError, match=f"made with face model flame-like .* not with {HEAD.name}"):
        codec.encode(made_motion(5, model=flame_head))
    with pytest.raises(TokensError, match=f"codec is of face model {HEAD.name} .* not of flame-like .*--face-model"):
        Codec(made_network(HEAD), flame_head, {})


def test_tokens_of_another_codec_are_refused(codec):
    tokens = made_codec(seed=1).encode(made_motion(9), "clip7")
    with pytest.raises(TokensError, match=f"clip7: .* are of the codec {tokens.codec}, not of {codec.fingerprint}"):
        codec.decode(tokens)
    with pytest.raises(TokensError, match="--codec"):
        codec.decode_many([codec.encode(made_motion(9)), tokens])
    wrong = made_codec(config=changed(SMALL, stride=2)).encode(made_motion(9))
    with pytest.raises(TokensError, match="expected codes of"):
        codec.check(replace(wrong, codec=codec.fingerprint))


# -- files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config",
    [SMALL, changed(SMALL, quantiser="fsq", codes=240, head_codes=1000), changed(SMALL, input="parameters", stride=2)],
    ids=["rvq", "fsq", "parameters"],
)
def test_a_codec_comes_back_from_its_files(tmp_path, config):
    codec, motion = made_codec(config=config), made_motion(50)
    save_codec(tmp_path, codec.network, {"trained": {"step": 7}})
    found = load_codec(tmp_path)
    assert found.facts["trained"] == {"step": 7}
    assert (found.config, found.columns) == (codec.config, codec.columns)
    assert found.fingerprint == codec.fingerprint == found.facts["fingerprint"]
    tokens = found.encode(motion)
    assert tokens == codec.encode(motion)
    assert found.decode(tokens) == codec.decode(tokens)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


def test_one_codec_one_file(tmp_path):
    for name in ("a", "b"):
        save_codec(tmp_path / name, made_network(HEAD), {})
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_other_numbers_other_fingerprint():
    network = made_network(HEAD)
    own = fingerprint_of(network)
    assert len(own) == 16
    assert int(own, 16) >= 0
    assert own == fingerprint_of(made_network(HEAD))
    found = {
        own,
        fingerprint_of(made_network(HEAD, seed=1)),
        fingerprint_of(made_network(HEAD, changed(SMALL, codes=8))),
    }
    for name, value in network.state_dict().items():
        if name.endswith("vertices"):
            continue
        before = value.clone()
        value.view(-1)[0] += 1
        found.add(fingerprint_of(network))
        value.copy_(before)
    assert fingerprint_of(network) == own
    assert len(found) == 2 + len(network.state_dict())
    # Not only its numbers: how they are used.
    other = made_network(HEAD)
    other.config = replace(SMALL, fps=30.0)
    assert fingerprint_of(other) != own


def change_config(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


DAMAGES: dict[str, tuple[Any, str]] = {
    "no config": (lambda folder: (folder / "config.json").unlink(), "there is no config.json; tdmm train vq makes one"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "there is no model.safetensors"),
    "no folder": (lambda folder: shutil.rmtree(folder), "there is no config.json"),
    "half the weights": (lambda folder: cut(folder / "model.safetensors", 5000), "is no codec that can be read"),
    "empty weights": (lambda folder: cut(folder / "model.safetensors", 0), "is no codec that can be read"),
    "half the config": (lambda folder: cut(folder / "config.json", 300), "is no codec that can be read"),
    "bytes": (lambda folder: (folder / "config.json").write_bytes(b"\xff\xfe\x00"), "is no codec that can be read"),
    "a list": (lambda folder: (folder / "config.json").write_text("[]"), "schema: expected 'tdmm.codec/1', found None"),
    "another schema": (lambda folder: change_config(folder, schema="tdmm.codec/9"), "schema: .* found 'tdmm.codec/9'"),
    "no fingerprint": (lambda folder: change_config(folder, fingerprint=None), "of different codecs; copy both"),
    "other sizes": (lambda folder: change_config(folder, view=[3, 2]), "is no codec that can be read"),
    "nothing of it": (lambda folder: (folder / "config.json").write_text('{"schema": "tdmm.codec/1"}'), "can be read"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_are_told(folder, damage):
    change, expected = DAMAGES[damage]
    change(folder)
    with pytest.raises(TokensError, match=expected) as caught:
        load_codec(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [None, [], {}, "x", 7, -1, [1], [-3, 2], [[3], 2], ["a", "b"], [6.5, 2]], ids=str)
@pytest.mark.parametrize("name", ["view", "config", "columns", "fingerprint"])
def test_senseless_configs_are_told(folder, name, value):
    change_config(folder, **{name: value})
    with pytest.raises(TokensError):
        load_codec(folder)


def test_files_of_two_codecs_are_told_apart(folder, tmp_path):
    save_codec(tmp_path / "other", made_network(HEAD, seed=1), {})
    shutil.copy(tmp_path / "other" / "model.safetensors", folder)
    with pytest.raises(
        TokensError, match=r"config.json and model.safetensors are of different codecs; copy both again"
    ):
        load_codec(folder)


def test_a_codec_is_loaded_with_its_face_model(folder, tmp_path, flame_head):
    with pytest.raises(TokensError, match="not of flame-like"):
        load_codec(folder, flame_head)
    save_codec(tmp_path / "flame", made_network(flame_head), {})
    with pytest.raises(TokensError, match="codec is of face model flame-like"):
        load_codec(tmp_path / "flame")
    assert load_codec(tmp_path / "flame", flame_head).columns.width == 69


def test_the_same_face_by_another_name_is_the_same(folder):
    """What counts is the fingerprint of a face model's data."""
    renamed = Otherwise(name="renamed", sha256=HEAD.sha256)
    assert load_codec(folder, renamed).columns == COLUMNS
