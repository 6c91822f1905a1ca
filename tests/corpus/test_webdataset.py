"""Corpora as WebDataset shards: packed and unpacked without loss, and the shards of others."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest

from tdmm.corpus import webdataset
from tdmm.corpus.build import CorpusJob, generate_corpus
from tdmm.corpus.splits import split_of_text
from tdmm.corpus.webdataset import pack, shards_in, unpack
from tdmm.errors import CorpusError, OutputError
from tdmm.io.manifest import append_to_manifest, read_manifest, update_manifest
from tdmm.io.motion_file import motion_bytes, read_motion
from tdmm.io.video_writer import write_video


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """The bytes of a video of seven frames, ten a second."""
    path = tmp_path_factory.mktemp("sample") / "sample.mp4"
    write_video([np.full((24, 32, 3), 9 * number, np.uint8) for number in range(7)], path, 10)
    return path.read_bytes()


@pytest.fixture(scope="module")
def motions(tmp_path_factory):
    """A corpus of five motions in a shard of their own kind."""
    folder = tmp_path_factory.mktemp("motions")
    generate_corpus(CorpusJob(folder, motions_only=True), clips=5)
    return folder


@pytest.fixture
def corpus(tmp_path, sample, motions):
    """Three clips: a video alone, a motion alone, and both."""
    folder = tmp_path / "corpus"
    for place in ("videos/set", "motions"):
        (folder / place).mkdir(parents=True)
    (folder / "videos/set/a.mp4").write_bytes(sample)
    (folder / "videos/c.mp4").write_bytes(sample)
    motion = motion_bytes(read_motion(f"{next((motions / 'motions').iterdir())}#0"))
    for name in ("b", "c"):
        (folder / f"motions/{name}.npz").write_bytes(motion)
    append_to_manifest(
        folder / "manifest.jsonl",
        {"id": "set/a", "video": "videos/set/a.mp4", "text": "lächelt", "duration": 0.7, "mine": [1, 2.5]},
        {"id": "b", "motion": "motions/b.npz", "text": "nods"},
        {"id": "c", "video": "videos/c.mp4", "motion": "motions/c.npz", "text": "yawns", "split": "val"},
    )
    return folder


def tar(path: Path, **files: bytes) -> Path:
    """A shard with these files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


def manifest_of(folder: Path) -> dict[str, dict]:
    return {clip.id: dict(clip.line) for clip in read_manifest(folder / "manifest.jsonl")}


def test_files_of_a_clip_stand_together_under_one_name(corpus):
    (path,) = pack(corpus / "manifest.jsonl", corpus / "shards")
    assert path.name == "00000.tar"
    with tarfile.open(path) as archive:
        names = archive.getnames()
        assert archive.extractfile("set/a.txt").read().decode() == "lächelt"
    assert names == ["set/a.json", "set/a.mp4", "set/a.txt", *(f"b.{e}" for e in ("json", "npz", "txt"))] + [
        f"c.{ending}" for ending in ("json", "mp4", "npz", "txt")
    ]


def test_nothing_is_lost_on_the_way_there_and_back(corpus, tmp_path):
    shards = pack(corpus / "manifest.jsonl", corpus / "shards")
    done = unpack(shards, tmp_path / "back")
    assert (done.clips, done.there_before, done.failures) == (3, 0, [])
    before, after = manifest_of(corpus), manifest_of(tmp_path / "back")
    assert list(after) == list(before)
    for name, line in before.items():
        assert {**after[name], **line} == after[name]
        for kind in ("video", "motion"):
            assert (kind in after[name]) == (kind in line)
        if "video" in line:
            assert (tmp_path / "back" / after[name]["video"]).read_bytes() == (corpus / line["video"]).read_bytes()
        if "motion" in line:
            assert read_motion(tmp_path / "back" / after[name]["motion"]) == read_motion(corpus / line["motion"])
    assert unpack(shards, tmp_path / "back").there_before == 3
    assert manifest_of(tmp_path / "back") == after


def test_motions_of_a_shard_become_files_of_their_own(motions, tmp_path):
    shards = pack(motions / "manifest.jsonl", tmp_path / "shards")
    assert unpack(shards, tmp_path / "back").clips == 5
    for clip in read_manifest(motions / "manifest.jsonl"):
        back = read_motion(tmp_path / "back" / "motions" / f"{clip.id}.npz")
        assert back == read_motion(f"{motions / clip.motion}")


def test_a_shard_is_written_again_only_if_something_has_changed(corpus, monkeypatch):
    monkeypatch.setattr(webdataset, "CLIPS_PER_SHARD", 2)
    manifest = corpus / "manifest.jsonl"
    first, second = pack(manifest, corpus / "shards")
    times = lambda: [path.stat().st_mtime_ns for path in (first, second)]  # noqa: E731
    before = times()
    assert pack(manifest, corpus / "shards") == [first, second]
    assert times() == before
    # A motion that was fitted meanwhile.
    (corpus / "motions/set").mkdir()
    (corpus / "motions/set/a.npz").write_bytes((corpus / "motions/b.npz").read_bytes())
    update_manifest(manifest, {"set/a": {"motion": "motions/set/a.npz"}})
    pack(manifest, corpus / "shards")
    assert [now == then for now, then in zip(times(), before, strict=True)] == [False, True]
    with tarfile.open(first) as archive:
        assert "set/a.npz" in archive.getnames()
    # One that was fitted again.
    before = times()
    os.utime(corpus / "motions/c.npz", ns=(before[1] + 10**9, before[1] + 10**9))
    pack(manifest, corpus / "shards")
    assert [now == then for now, then in zip(times(), before, strict=True)] == [True, False]


@pytest.mark.parametrize("content", [b"", b"no tar" * 500])
def test_a_shard_that_is_broken_is_written_again(corpus, content):
    (corpus / "shards").mkdir()
    (corpus / "shards/00000.tar").write_bytes(content)
    (path,) = pack(corpus / "manifest.jsonl", corpus / "shards")
    assert unpack([path], corpus / "back").clips == 3


def test_shards_are_found_in_a_folder_or_in_its_shards(corpus, tmp_path):
    pack(corpus / "manifest.jsonl", corpus / "shards")
    assert shards_in(corpus) == shards_in(corpus / "shards") == [corpus / "shards/00000.tar"]
    assert shards_in(tmp_path) == []


def test_what_cannot_be_packed_is_told_and_leaves_no_half_shard(corpus):
    manifest = corpus / "manifest.jsonl"
    append_to_manifest(manifest, {"id": "d.1", "motion": "motions/b.npz"})
    with pytest.raises(CorpusError, match=r"d\.1: a name with a dot"):
        pack(manifest, corpus / "shards")
    (corpus / "videos/c.mp4").unlink()
    with pytest.raises(OutputError, match=r"c\.mp4: cannot be read"):
        pack(manifest, corpus / "shards")
    assert os.listdir(corpus / "shards") == []
    manifest.write_text("")
    with pytest.raises(CorpusError, match="lists no clips"):
        pack(manifest, corpus / "shards")


# -- shards of others ----------------------------------------------------------------------------------


def test_videos_and_captions_are_taken_from_shards_of_others(tmp_path, sample):
    """As webdataset has it, a name ends at the first dot of the file's name; other files are left."""
    shard = tar(
        tmp_path / "0.tar",
        **{
            "./part.1/x.MP4": sample,
            "./part.1/x.txt": b" smiles \n",
            "./part.1/x.wav": b"sound",
            "./part.1/x.cls": b"3",
            "y.mp4": sample,
            "y.json": b'{"caption": "nods", "id": "another", "video": 7, "motion": "../m.npz", "split": "Validation"}',
            "README": b"no clip",
            ".hidden.txt": b"no clip",
            "z.mp4": sample,
        },
    )
    done = unpack([shard], tmp_path / "corpus")
    assert (done.clips, done.failures) == (3, [])
    found = manifest_of(tmp_path / "corpus")
    assert {name: line["text"] for name, line in found.items()} == {"part.1/x": "smiles", "y": "nods", "z": ""}
    for line in found.values():
        assert "motion" not in line
        assert (tmp_path / "corpus" / line["video"]).read_bytes() == sample
        assert line["duration"] == pytest.approx(0.7)
        assert line["split"] == ("val" if line["id"] == "y" else split_of_text(line["text"]))
        assert line["generator"]["name"] == "folder"
    assert sorted(path.name for path in (tmp_path / "corpus/videos").rglob("*.*") if path.is_file()) == [
        "x.mp4",
        "y.mp4",
        "z.mp4",
    ]


def test_a_clip_that_is_broken_is_told_and_the_others_go_on(tmp_path, sample):
    shard = tar(
        tmp_path / "0.tar",
        **{
            "a.json": b"{",
            "a.mp4": sample,
            "b.json": b"[1]",
            "b.mp4": sample,
            "c.mp4": b"no video" * 99,
            "d.txt": b"a text alone",
            "e.npz": b"no motion",
            "f.mp4": sample,
        },
    )
    told = []
    done = unpack([shard], tmp_path / "corpus", on_failure=lambda *what: told.append(what))
    assert done.clips == 1
    assert list(manifest_of(tmp_path / "corpus")) == ["f"]
    assert [name for name, _ in told] == ["a", "b", "c", "d", "e"]
    assert done.failures == told
    assert "neither a video nor a motion" in dict(told)["d"]
    failed = (tmp_path / "corpus/failed.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in failed] == ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize("name", ["../x.mp4", "/etc/x.mp4", "a/../../x.mp4"])
def test_names_that_lead_out_of_the_folder_are_refused(tmp_path, sample, name):
    shard = tar(tmp_path / "in" / "0.tar", **{name: sample})
    with pytest.raises(CorpusError, match="leads out of the folder"):
        unpack([shard], tmp_path / "in" / "corpus")
    assert not list(tmp_path.rglob("*.mp4"))


def test_links_are_no_files(tmp_path):
    with tarfile.open(tmp_path / "0.tar", "w") as archive:
        entry = tarfile.TarInfo("a.mp4")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(entry)
    assert unpack([tmp_path / "0.tar"], tmp_path / "corpus").clips == 0


@pytest.mark.parametrize("content", [b"", b"no tar" * 500])
def test_what_is_no_shard_is_named(tmp_path, content):
    (tmp_path / "0.tar").write_bytes(content)
    with pytest.raises(CorpusError, match=r"0\.tar: is no tar file"):
        unpack([tmp_path / "0.tar"], tmp_path / "corpus")


def test_a_shard_that_is_cut_short_is_named(corpus, tmp_path):
    (path,) = pack(corpus / "manifest.jsonl", corpus / "shards")
    path.write_bytes(path.read_bytes()[:-12000])
    with pytest.raises(CorpusError, match=r"00000\.tar: is no tar file"):
        unpack([path], tmp_path / "back")
    # What stood before is there, and its lines are whole.
    assert set(manifest_of(tmp_path / "back")) <= {"set/a", "b", "c"}


def test_shards_become_a_video_folder_too(tmp_path, sample):
    shard = tar(tmp_path / "0.tar", **{"x.mp4": sample, "x.txt": b"smiles"})
    unpack([shard], tmp_path / "hub", video_folder=True)
    line = json.loads((tmp_path / "hub/metadata.jsonl").read_text())
    assert (line["file_name"], line["text"]) == ("videos/x.mp4", "smiles")
    with pytest.raises(CorpusError, match="another layout"):
        unpack([shard], tmp_path / "hub")
