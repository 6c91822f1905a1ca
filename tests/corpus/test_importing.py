"""Existing videos become a corpus: once each, linked or copied, and what cannot be is told."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tdmm.corpus import importing
from tdmm.corpus.build import CorpusJob, generate_corpus
from tdmm.corpus.generators.folder import read_foreign
from tdmm.corpus.importing import Imported, import_videos
from tdmm.corpus.splits import split_of_text
from tdmm.errors import CorpusError
from tdmm.io.manifest import append_to_manifest, read_manifest
from tdmm.io.motion_file import read_motion
from tdmm.io.video_writer import write_video

SAID = {"a": "smiles", "below/b": "nods twice", "c": "looks away"}


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """The bytes of a video of seven frames, ten a second."""
    path = tmp_path_factory.mktemp("sample") / "sample.mp4"
    write_video([np.full((24, 32, 3), 9 * number, np.uint8) for number in range(7)], path, 10)
    return path.read_bytes()


@pytest.fixture
def released(tmp_path, sample):
    """Three videos with a .txt beside each."""
    for name, text in SAID.items():
        path = tmp_path / "released" / f"{name}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(sample + name.encode())  # each of its own size or content
        path.with_suffix(".txt").write_text(text + "\n")
    return tmp_path / "released"


def bring(released: Path, corpus: Path, **options: Any) -> Imported:
    return import_videos(read_foreign(released), corpus, source=str(released), **options)


def manifest_of(corpus: Path) -> dict[str, dict[str, Any]]:
    return {clip.id: dict(clip.line) for clip in read_manifest(corpus / "manifest.jsonl")}


def test_every_video_gets_a_line(released, tmp_path):
    steps = []
    done = bring(released, tmp_path / "corpus", progress=lambda *step: steps.append(step))
    assert (done.clips, done.there_before, done.failures) == (3, 0, [])
    assert steps == [(1, 3), (2, 3), (3, 3)]
    found = manifest_of(tmp_path / "corpus")
    assert {name: line["text"] for name, line in found.items()} == SAID
    for name, line in found.items():
        assert line["video"] == f"videos/{name}.mp4"
        assert (tmp_path / "corpus" / line["video"]).read_bytes() == (released / f"{name}.mp4").read_bytes()
        assert line["duration"] == pytest.approx(0.7)
        assert line["fps"] == 10
        assert line["split"] == split_of_text(line["text"])
        assert line["generator"] == {"name": "folder", "model": str(released)}


def test_a_second_time_brings_what_is_new(released, tmp_path, sample):
    bring(released, tmp_path / "corpus")
    before = (tmp_path / "corpus/manifest.jsonl").read_bytes()
    assert bring(released, tmp_path / "corpus").there_before == 3
    assert (tmp_path / "corpus/manifest.jsonl").read_bytes() == before
    (released / "d.mp4").write_bytes(sample)
    (released / "d.txt").write_text("yawns")
    with open(tmp_path / "corpus/manifest.jsonl", "ab") as file:
        file.write(b'{"id": "d", "vid')  # a line that a power cut left
    done = bring(released, tmp_path / "corpus")
    assert (done.clips, done.there_before) == (1, 3)
    assert (tmp_path / "corpus/manifest.jsonl").read_bytes().startswith(before)
    assert list(manifest_of(tmp_path / "corpus")) == [*SAID, "d"]


def test_videos_are_linked_where_that_can_be_and_else_copied(released, tmp_path, monkeypatch):
    bring(released, tmp_path / "linked")
    assert os.path.samefile(released / "a.mp4", tmp_path / "linked/videos/a.mp4")

    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(importing.os, "link", refuse)
    bring(released, tmp_path / "copied")
    assert not os.path.samefile(released / "a.mp4", tmp_path / "copied/videos/a.mp4")
    assert (tmp_path / "copied/videos/a.mp4").read_bytes() == (released / "a.mp4").read_bytes()
    assert not [path for path in (tmp_path / "copied").rglob("*.part")]


def test_another_clip_of_the_same_name_is_told_not_taken_for_it(released, tmp_path, sample):
    bring(released, tmp_path / "corpus")
    other = tmp_path / "other"
    other.mkdir()
    (other / "a.mp4").write_bytes(sample + b"another video")
    (other / "a.txt").write_text("frowns")
    done = bring(other, tmp_path / "corpus")
    assert (done.clips, done.there_before) == (0, 0)
    assert done.failures[0][0] == "a"
    assert "another clip" in done.failures[0][1]
    assert manifest_of(tmp_path / "corpus")["a"]["text"] == "smiles"
    append_to_manifest(tmp_path / "corpus/manifest.jsonl", {"id": "m", "motion": "motions/m.npz"})
    (other / "a.mp4").rename(other / "m.mp4")
    (other / "a.txt").rename(other / "m.txt")
    assert [name for name, _ in bring(other, tmp_path / "corpus").failures] == ["m"]


def test_what_lies_at_its_place_from_a_run_that_was_killed_is_replaced(released, tmp_path):
    (tmp_path / "corpus/videos").mkdir(parents=True)
    (tmp_path / "corpus/videos/a.mp4").write_bytes(b"another")
    bring(released, tmp_path / "corpus")
    assert (tmp_path / "corpus/videos/a.mp4").read_bytes() == (released / "a.mp4").read_bytes()


def test_what_cannot_be_brought_is_told_and_the_others_go_on(released, tmp_path):
    (released / "a.mp4").write_bytes(b"no video")
    names = [*SAID, "gone"]
    (released / "metadata.jsonl").write_text(
        "".join(json.dumps({"file_name": f"{name}.mp4", "text": name}) + "\n" for name in names)
    )
    told = []
    done = bring(released, tmp_path / "corpus", on_failure=lambda *what: told.append(what))
    assert done.clips == 2
    assert done.failures == told
    assert [name for name, _ in told] == ["gone.mp4", "a"]
    failed = (tmp_path / "corpus/failed.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in failed] == ["gone.mp4", "a"]
    (released / "metadata.jsonl").unlink()
    (released / "a.mp4").unlink()
    assert bring(released, tmp_path / "corpus").failures == []
    assert not (tmp_path / "corpus/failed.jsonl").exists()


def test_a_full_disk_is_told_of_every_video(released, tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(importing.os, "link", full)
    monkeypatch.setattr(importing.shutil, "copyfile", full)
    done = bring(released, tmp_path / "corpus")
    assert done.clips == 0
    assert len(done.failures) == 3
    assert all("cannot be written: No space left" in reason for _, reason in done.failures)
    assert not (tmp_path / "corpus/manifest.jsonl").exists()


def test_what_is_known_of_a_clip_comes_along(released, tmp_path):
    records = [
        {"file_name": "a.mp4", "text": "smiles", "emotion": "happy", "split": "validation", "person": "M003"},
        {"file_name": "c.mp4", "text": "nods", "split": "test", "licence": "CC-BY-4.0"},
        {"file_name": "c.mp4", "text": "agrees"},
    ]
    (released / "metadata.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    bring(released, tmp_path / "corpus")
    found = manifest_of(tmp_path / "corpus")
    assert found["a"]["slots"] == {"emotion": "joy"}
    assert found["a"]["person"] == "M003"
    assert found["a"]["split"] == "val"
    assert (found["c"]["split"], found["c"]["licence"]) == ("test", "CC-BY-4.0")
    assert found["c"]["texts"] == ["agrees"]


def test_a_corpus_in_another_layout_is_left_alone(released, tmp_path):
    bring(released, tmp_path / "corpus", video_folder=True)
    (line, *_) = (tmp_path / "corpus/metadata.jsonl").read_text().splitlines()
    assert json.loads(line)["file_name"] == "videos/a.mp4"
    with pytest.raises(CorpusError, match="another layout"):
        bring(released, tmp_path / "corpus")


def test_another_corpus_brings_its_true_motions(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    generate_corpus(CorpusJob(source, size=(64, 64)), clips=1)
    assert import_videos(read_foreign(source), target, source=str(source)).failures == []
    (line,) = (json.loads(line) for line in (target / "manifest.jsonl").read_text().splitlines())
    assert read_motion(target / line["motion"]) == read_motion(next((source / "motions").iterdir()))
    assert line["generator"]["name"] == "procedural"
    assert line["events"]
