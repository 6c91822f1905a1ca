"""Many motions in one file: what is read back, what a shard cannot hold, and what is wrong with a bad one."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tdmm.errors import MotionError
from tdmm.io.motion_file import read_motion
from tdmm.io.motion_shards import SCHEMA, read_part, read_shard, write_shard
from tdmm.io.shard_names import names_a_part, shard_of
from tdmm.motion import DEFAULT_TRANSLATION, FaceMotion, make_motion

NAMES = tuple(f"curve{number}" for number in range(5))


def motion(frames: int, seed: int = 0, **others: object) -> FaceMotion:
    random = np.random.default_rng(seed)
    fields: dict[str, object] = {
        "face_model": "hand",
        "face_model_sha256": "0" * 64,
        "rotation": random.normal(0, 0.3, (frames, 3)).astype(np.float32),
        "translation": (DEFAULT_TRANSLATION + random.normal(0, 0.02, (frames, 3))).astype(np.float32),
        **others,
    }
    return make_motion(random.random((frames, len(NAMES)), np.float32), NAMES, **fields)  # type: ignore[arg-type]


@pytest.fixture
def motions() -> list[FaceMotion]:
    return [motion(frames, seed) for seed, frames in enumerate((50, 1, 120, 75))]


@pytest.fixture
def shard(tmp_path, motions):
    path = tmp_path / "00003.safetensors"
    write_shard(motions, path)
    return path


def same(one: FaceMotion, other: FaceMotion) -> bool:
    pairs = ((getattr(one, field.name), getattr(other, field.name)) for field in dataclasses.fields(FaceMotion))
    return all(np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b for a, b in pairs)


def test_what_is_written_is_read_within_half_precision(shard, motions):
    found = read_shard(shard)
    assert len(found) == len(motions)
    for one, other in zip(motions, found, strict=True):
        assert len(one) == len(other)
        assert np.abs(one.expression - other.expression).max() <= 2**-11
        assert np.abs(one.rotation - other.rotation).max() <= 2**-10
        # Half precision of the distance from where the motion begins: some micrometres.
        assert np.abs(one.translation - other.translation).max() <= 1e-4
        assert np.allclose(one.translation[0], other.translation[0], rtol=0, atol=1e-7)
        assert np.array_equal(one.timestamps, other.timestamps)
        assert np.array_equal(one.camera, other.camera)
        for name in ("face_model", "face_model_sha256", "fps", "expression_names", "image_size"):
            assert getattr(one, name) == getattr(other, name)
        assert other.expression.dtype == other.rotation.dtype == other.translation.dtype == np.float32


def test_the_whole_shard_equals_its_parts(shard, motions):
    whole = read_shard(shard)
    for number in range(len(motions)):
        assert same(whole[number], read_part(f"{shard}#{number}"))
        assert same(whole[number], read_motion(f"{shard}#{number}"))


def test_what_was_read_is_written_without_further_loss(shard, tmp_path):
    again = tmp_path / "again.safetensors"
    write_shard(read_shard(shard), again)
    assert all(same(one, other) for one, other in zip(read_shard(shard), read_shard(again), strict=True))


def test_the_same_motions_make_the_same_file(motions, tmp_path):
    for number in range(4):
        write_shard(motions, tmp_path / f"{number}.safetensors")
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_another_rate_is_kept(tmp_path):
    path = tmp_path / "s.safetensors"
    write_shard([motion(9, fps=29.97)], path)
    assert read_part(f"{path}#0").fps == 29.97


def test_what_is_read_can_be_changed_without_changing_the_next_reading(shard):
    first = read_part(f"{shard}#2")
    before = first.expression.copy()
    first.expression[:] = 7
    assert np.array_equal(read_part(f"{shard}#2").expression, before)


def test_a_shard_that_is_replaced_is_read_anew(shard):
    assert len(read_part(f"{shard}#0")) == 50
    write_shard([motion(33)], shard)
    assert len(read_part(f"{shard}#0")) == 33
    assert len(read_shard(shard)) == 1


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ("motions/00003.safetensors#17", True),
        ("a.safetensors#0", True),
        ("a.safetensors", False),
        ("a.safetensors#", False),
        ("a.safetensors#x", False),
        ("a.safetensors#-1", False),
        ("a.npz#3", False),
        ("a#b.safetensors#3", True),
        ("clip#3", False),
    ],
)
def test_parts_are_told_by_their_names(source, part):
    assert names_a_part(source) == part
    assert shard_of(str(source)) == (source.rpartition("#")[0] if part else source)


def test_a_number_too_large_is_named(shard):
    with pytest.raises(
        MotionError, match=r"00003\.safetensors#4: expected a number below 4, the motions of this shard"
    ):
        read_part(f"{shard}#4")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(MotionError, match=r"none\.safetensors: there is no such file"):
        read_part(f"{tmp_path / 'none.safetensors'}#0")
    with pytest.raises(MotionError, match="there is no such file"):
        read_shard(tmp_path / "none.safetensors")


def test_a_path_through_a_file_or_to_a_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.safetensors").mkdir()
    for path in (tmp_path / "file" / "s.safetensors", tmp_path / "folder.safetensors"):
        with pytest.raises(MotionError, match=path.name):
            read_shard(path)


@pytest.mark.parametrize("size", [0, 7, 100, -50])
def test_a_damaged_file_is_named(shard, size):
    shard.write_bytes(shard.read_bytes()[:size])
    with pytest.raises(MotionError, match=r"00003\.safetensors: expected a shard of motions, found a damaged file"):
        read_part(f"{shard}#0")


def test_other_contents_are_named(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file({"w": np.zeros(3, np.float32)}, path)
    with pytest.raises(MotionError, match=r"weights\.safetensors: schema: expected 'tdmm\.motions/1', found None"):
        read_shard(path)
    save_file({"w": np.zeros(3, np.float32)}, path, {"schema": "tdmm.motions/9"})
    with pytest.raises(MotionError, match=r"found 'tdmm\.motions/9'"):
        read_shard(path)


def changed(shard, metadata: dict[str, str | None] | None = None, **arrays: np.ndarray | None) -> None:
    """The shard with other arrays or facts; None takes one away."""
    facts = {
        "schema": SCHEMA,
        "face_model": "hand",
        "face_model_sha256": "0" * 64,
        "fps": "25.0",
        "expression_names": json.dumps(NAMES),
        **(metadata or {}),
    }
    tensors = {**load_file(shard), **arrays}
    save_file(
        {key: value for key, value in tensors.items() if value is not None},
        shard,
        {key: value for key, value in facts.items() if value is not None},
    )


def test_a_missing_array_is_named(shard):
    changed(shard, rotation=None, origin=None)
    with pytest.raises(MotionError, match="expected the key rotation, origin"):
        read_shard(shard)


@pytest.mark.parametrize("key", ["face_model", "face_model_sha256", "fps", "expression_names"])
def test_a_missing_fact_is_named(shard, key):
    changed(shard, {key: None})
    with pytest.raises(MotionError, match=rf"damaged file \('{key}'\)"):
        read_shard(shard)


@pytest.mark.parametrize(("key", "value"), [("fps", "fast"), ("expression_names", "[")])
def test_a_wrong_fact_is_refused(shard, key, value):
    changed(shard, {key: value})
    with pytest.raises(MotionError, match="damaged file"):
        read_shard(shard)


@pytest.mark.parametrize(
    "arrays",
    [
        {"starts": np.array([0, 50, 51, 171, 900])},
        {"starts": np.array([0, 50, 20, 171, 246])},
        {"starts": np.array([0, 50, 51, 171, -1])},
        {"starts": np.zeros((2, 2), np.int64)},
        {"starts": np.array([0.0, 50, 51, 171, 246])},
        {"rotation": np.zeros((9, 3), np.float16)},
        {"rotation": np.zeros((246, 4), np.float16)},
        {"expression": np.zeros((246, 3), np.float16)},
        {"origin": np.zeros((2, 3), np.float32)},
    ],
    ids=lambda arrays: "-".join(f"{key}{value.shape}" for key, value in arrays.items()),
)
def test_arrays_that_do_not_go_together_are_an_error_of_the_file(shard, arrays):
    changed(shard, **arrays)
    with pytest.raises(MotionError, match="00003"):
        read_shard(shard)


def test_no_motions_make_no_shard(tmp_path):
    with pytest.raises(MotionError, match="nothing to write: expected at least one motion"):
        write_shard([], tmp_path / "s.safetensors")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"face_model": "other"}, "a shard has one face_model, found 'other'"),
        ({"face_model_sha256": "1" * 64}, "a shard has one face_model_sha256"),
        ({"fps": 30.0}, r"a shard has one fps, found 30\.0"),
        ({"shape": np.ones(4, np.float32)}, "cannot hold the shape of this motion; write it to a file of its own"),
        ({"neck_pose": np.ones((9, 3), np.float32)}, "cannot hold the neck_pose"),
        ({"jaw_pose": np.ones((9, 3), np.float32)}, "cannot hold the jaw_pose"),
        ({"eyes_pose": np.ones((9, 6), np.float32)}, "cannot hold the eyes_pose"),
        ({"valid": np.arange(9) > 0}, "cannot hold the valid"),
        ({"camera": np.diag([500.0, 500.0, 1.0])}, "cannot hold the camera"),
        ({"timestamps": np.arange(9) ** 1.5}, "cannot hold the timestamps"),
        ({"timestamps": 3 + np.arange(9) / 25}, "cannot hold the timestamps"),
        ({"image_size": (256, 256)}, "cannot hold the image_size"),
        ({"confidence": np.full(9, 0.5, np.float32)}, "cannot hold the confidence"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_would_be_lost_is_refused(others, message, tmp_path):
    path = tmp_path / "s.safetensors"
    with pytest.raises(MotionError, match=rf"s\.safetensors#1: .*{message}"):
        write_shard([motion(9), motion(9, 1, **others)], path)
    assert not path.exists()


def test_other_curves_do_not_go_together(tmp_path):
    other = make_motion(np.zeros((9, 2), np.float32), ("a", "b"), face_model="hand", face_model_sha256="0" * 64)
    with pytest.raises(MotionError, match="a shard has one expression_names"):
        write_shard([motion(9), other], tmp_path / "s.safetensors")


def test_an_hour_takes_some_ten_megabytes(tmp_path):
    path = tmp_path / "s.safetensors"
    names = [f"curve{number}" for number in range(52)]
    long = make_motion(np.zeros((9000, 52), np.float32), names, face_model="hand", face_model_sha256="0" * 64)
    write_shard([long], path)
    assert 9 < 10 * path.stat().st_size / 1e6 < 11
