"""The manifest of a corpus: what is read, what is refused, and that changes lose nothing."""

from __future__ import annotations

import json
import multiprocessing

import pytest

from tdmm.errors import CorpusError
from tdmm.io.manifest import append_to_manifest, find_manifest, motion_of, read_manifest, update_manifest

LINES = [
    '{"id": "a", "video": "videos/a.mp4", "text": "smiles – langsam", "mine":   [1, 2.50]}',
    '{"video": "videos/b.mp4", "id": "b", "motion": "motions/b.npz"}',
    "",
    '{"id": "deep/c", "video": "videos/c.mp4", "motion": null}',
]


@pytest.fixture
def manifest(tmp_path):
    path = tmp_path / "manifest.jsonl"
    path.write_text("\n".join(LINES))  # the last line has no end
    return path


def test_clips_in_the_order_of_the_lines(manifest):
    clips = read_manifest(manifest)
    assert [clip.id for clip in clips] == ["a", "b", "deep/c"]
    assert [clip.video for clip in clips] == ["videos/a.mp4", "videos/b.mp4", "videos/c.mp4"]
    assert [motion_of(clip) for clip in clips] == ["motions/a.npz", "motions/b.npz", "motions/deep/c.npz"]
    assert clips[0].motion is clips[2].motion is None
    assert clips[0].line["mine"] == [1, 2.5]


def test_a_video_folder_is_read_by_its_file_names(tmp_path):
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "train/a.mp4", "label": 3}\n')
    path = find_manifest(tmp_path)
    (clip,) = read_manifest(path)
    assert (clip.id, clip.video, motion_of(clip)) == ("train/a", "train/a.mp4", "motions/train/a.npz")
    update_manifest(path, {"train/a": {"motion": motion_of(clip)}})
    assert json.loads(path.read_text()) == {"file_name": "train/a.mp4", "label": 3, "motion": "motions/train/a.npz"}


def test_a_folder_without_a_manifest_is_no_corpus(tmp_path, manifest):
    assert find_manifest(tmp_path) == manifest
    assert find_manifest(tmp_path / "nowhere") is None


def test_a_change_keeps_unknown_fields_and_leaves_other_lines_alone(manifest):
    update_manifest(manifest, {"deep/c": {"motion": "motions/deep/c.npz"}, "gone": {"motion": "x"}})
    lines = manifest.read_text().split("\n")
    assert lines[:3] == LINES[:3]
    assert json.loads(lines[3]) == {"id": "deep/c", "video": "videos/c.mp4", "motion": "motions/deep/c.npz"}
    update_manifest(manifest, {"a": {"motion": "motions/a.npz"}})
    first = json.loads(manifest.read_text().splitlines()[0])
    assert first == {**json.loads(LINES[0]), "motion": "motions/a.npz"}
    assert "–" in manifest.read_text()
    before = manifest.read_bytes()
    update_manifest(manifest, {"a": {"motion": "motions/a.npz"}})
    assert manifest.read_bytes() == before


def test_a_failed_write_leaves_the_old_manifest(manifest, monkeypatch):
    before = manifest.read_bytes()
    monkeypatch.setattr("pathlib.Path.write_bytes", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(Exception, match="No space left"):
        update_manifest(manifest, {"a": {"motion": "m"}})
    assert manifest.read_bytes() == before
    assert [path.name for path in manifest.parent.iterdir()] == ["manifest.jsonl"]


def test_a_clip_is_added_after_a_line_without_an_end(manifest):
    append_to_manifest(manifest, {"id": "d", "video": "d.mp4"})
    assert [clip.id for clip in read_manifest(manifest)] == ["a", "b", "deep/c", "d"]


def add_many(path, who):
    for number in range(30):
        append_to_manifest(path, {"id": f"{who}-{number}", "video": "v.mp4"})


def test_what_others_add_meanwhile_is_not_lost(tmp_path):
    path = tmp_path / "manifest.jsonl"
    append_to_manifest(path, {"id": "first", "video": "v.mp4"})
    writers = [multiprocessing.get_context("spawn").Process(target=add_many, args=(path, who)) for who in "xy"]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        update_manifest(path, {"first": {"count": len(read_manifest(path))}})
    for writer in writers:
        writer.join()
    assert len(read_manifest(path)) == 61


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("not json", "line 2: expected a JSON object"),
        ("[1]", "found list"),
        ('{"id": "b"}', "field video"),
        ('{"video": "v.mp4"}', "field id"),
        ('{"id": 7, "video": "v.mp4"}', "found 7"),
        ('{"id": "b", "video": "v.mp4", "motion": 3}', "field motion"),
        ('{"id": "a", "video": "v.mp4"}', "twice"),
        ('{"id": "../b", "video": "v.mp4"}', "within the corpus"),
        ('{"id": "b", "video": "/etc/v.mp4"}', "within the corpus"),
        ('{"id": "b", "vid', "line 2"),
    ],
)
def test_a_line_that_is_not_right_is_named(tmp_path, line, said):
    path = tmp_path / "manifest.jsonl"
    path.write_text(f'{{"id": "a", "video": "a.mp4"}}\n{line}\n')
    with pytest.raises(CorpusError, match=r"manifest\.jsonl") as raised:
        read_manifest(path)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_manifest_that_is_not_there(tmp_path):
    with pytest.raises(CorpusError, match="No such file"):
        read_manifest(tmp_path / "manifest.jsonl")
