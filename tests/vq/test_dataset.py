"""The motions that a codec learns from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from made_codecs import COLUMNS, made_motion

from tdmm.errors import TokensError
from tdmm.io.motion_file import write_motion
from tdmm.motion import FaceMotion
from tdmm.vq.columns import columns_for, relative_pose
from tdmm.vq.dataset import MotionSet, parts_of, read_motion_sets


def corpus_of(folder: Path, **clips: tuple[FaceMotion | None, str | None]) -> Path:
    """A manifest of motions, each with its split."""
    (folder / "motions").mkdir(parents=True)
    lines = []
    for name, (motion, split) in clips.items():
        line = {"id": name, "text": name, "motion": f"motions/{name}.npz"}
        if motion is None:
            line = {"id": name, "text": name, "video": f"videos/{name}.mp4"}
        else:
            write_motion(motion, folder / f"motions/{name}.npz")
        lines.append({**line, "split": split} if split else line)
    (folder / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def folder_of(folder: Path, *motions: FaceMotion) -> Path:
    folder.mkdir()
    for number, motion in enumerate(motions):
        write_motion(motion, folder / f"{number}.npz")
    return folder


def motions_of(found: MotionSet) -> list[np.ndarray]:
    return np.split(found.face, found.starts[1:-1])


@pytest.fixture
def motions() -> list[FaceMotion]:
    return [made_motion(length, seed) for seed, length in enumerate((10, 25, 4, 30))]


def test_motions_end_to_end_by_split(tmp_path, motions):
    a, b, c, d = motions
    corpus = corpus_of(tmp_path / "corpus", a=(a, "train"), b=(b, "val"), c=(c, None), d=(d, "test"), e=(None, "train"))
    told = []
    found = read_motion_sets([corpus], COLUMNS, 25, progress=lambda *numbers: told.append(numbers))
    train, val = found["train"], found["val"]
    assert set(found) == {"train", "val"}
    assert (len(train), train.frames, train.starts.tolist()) == (2, 14, [0, 10, 14])  # of no split: train
    assert (len(val), val.frames, val.starts.tolist()) == (1, 25, [0, 25])
    assert told == [(3, 3)]
    for one, motion in zip(motions_of(train), (a, c), strict=True):
        assert one.dtype == np.float16
        assert np.array_equal(one, motion.expression.astype(np.float16))
    assert list(read_motion_sets([corpus], COLUMNS, 25, splits=("test",))["test"].starts) == [0, 30]


def test_poses_count_from_each_motions_first(tmp_path, motions):
    found = read_motion_sets([folder_of(tmp_path / "some", *motions)], COLUMNS, 25)["train"]
    assert np.abs(found.head[found.starts[:-1]]).max() < 1e-6
    last = motions[-1]
    relative = relative_pose(last.rotation, last.translation, (last.rotation[0], last.translation[0]))
    assert np.abs(found.head[found.starts[-2] :] - relative).max() < 1e-3


def test_folders_of_motions_and_several_corpora(tmp_path, motions):
    """Folders count as train, by name; corpora come as they are named."""
    a, b, c, d = motions
    folder, corpus = folder_of(tmp_path / "some", c, d), corpus_of(tmp_path / "corpus", b=(b, "val"), a=(a, "train"))
    (folder / "notes.txt").write_text("no motion")
    found = read_motion_sets([folder, corpus], COLUMNS, 25)
    assert [len(one) for one in motions_of(found["train"])] == [4, 30, 10]
    assert [len(one) for one in motions_of(found["val"])] == [25]
    turned = read_motion_sets([str(corpus), str(folder)], COLUMNS, 25)
    assert [len(one) for one in motions_of(turned["train"])] == [10, 4, 30]


def test_without_val_there_is_an_empty_one(tmp_path, motions):
    val = read_motion_sets([folder_of(tmp_path / "some", *motions)], COLUMNS, 25)["val"]
    assert (len(val), val.frames, val.face.shape, val.head.shape) == (0, 0, (0, 52), (0, 6))


def test_other_rates_come_to_the_codecs(tmp_path):
    other = made_motion(100).resample(30)
    found = read_motion_sets([folder_of(tmp_path / "some", other)], COLUMNS, 25)["train"]
    face, head = parts_of(other.resample(25), COLUMNS)
    assert np.array_equal(found.face, face)
    assert np.array_equal(found.head, head)
    assert found.frames == 99  # the last one lies behind the end of what came in at 30


def test_a_tiny_corpus_of_ours(tiny_corpus):
    found = read_motion_sets([tiny_corpus], COLUMNS, 25)
    assert (len(found["train"]), len(found["val"])) == (20, 4)
    assert found["train"].face.shape == (found["train"].frames, 52)


def test_a_face_model_with_joints(tmp_path, flame_head):
    columns = columns_for(flame_head)
    motion = made_motion(10, model=flame_head, eyes_pose=np.full((10, 6), 0.25))
    found = read_motion_sets([folder_of(tmp_path / "some", motion)], columns, 25)["train"]
    assert found.face.shape == (10, 69)
    assert (found.face[:, -6:] == 0.25).all()


def test_what_is_no_corpus_is_told(tmp_path):
    (tmp_path / "empty").mkdir()
    for place in (tmp_path / "nowhere", tmp_path / "empty"):
        with pytest.raises(TokensError, match=rf"{place.name}: is no corpus: a folder with manifest\.jsonl"):
            read_motion_sets([place], COLUMNS, 25)


def test_nothing_to_learn_from_is_told(tmp_path, motions):
    corpus = corpus_of(tmp_path / "corpus", a=(motions[0], "val"))
    with pytest.raises(TokensError, match="corpus: no motions of the split train to learn from"):
        read_motion_sets([corpus], COLUMNS, 25)
    none = corpus_of(tmp_path / "videos", a=(None, "train"))
    with pytest.raises(TokensError, match=r"corpus, .*videos: no motions of the split train"):
        read_motion_sets([corpus, none], COLUMNS, 25)


def test_a_clip_that_cannot_be_used_is_named(tmp_path, motions, flame_head):
    a, b, *_ = motions
    corpus = corpus_of(tmp_path / "corpus", good=(a, "train"), bad=(b, "train"))
    bad = corpus / "motions" / "bad.npz"
    bad.write_bytes(bad.read_bytes()[:200])
    with pytest.raises(TokensError, match=r"motions/bad\.npz"):
        read_motion_sets([corpus], COLUMNS, 25)
    bad.unlink()
    with pytest.raises(TokensError, match=r"motions/bad\.npz"):
        read_motion_sets([corpus], COLUMNS, 25)
    write_motion(made_motion(5, model=flame_head), bad)
    with pytest.raises(
        TokensError, match=r"motions/bad\.npz: this motion was made with face model flame-like"
    ) as caught:
        read_motion_sets([corpus], COLUMNS, 25)
    assert str(caught.value).count("bad.npz") == 1
    shutil.rmtree(corpus / "motions")
    with pytest.raises(TokensError, match=r"motions/good\.npz"):
        read_motion_sets([corpus], COLUMNS, 25)
