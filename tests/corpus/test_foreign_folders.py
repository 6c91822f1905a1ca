"""Existing videos with captions, in every form they are kept in. No video is decoded: empty files stand for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tdmm.corpus.generators import labels
from tdmm.corpus.generators.folder import Foreign, ForeignClip, parse_fields, read_foreign
from tdmm.corpus.lexicon import LEVELS, of_kind
from tdmm.errors import CorpusError

SAID = [("a", "smiles"), ("b", "nods twice")]


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def jsonl(path: Path, *records: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


def texts(foreign: Foreign) -> list[tuple[str, str]]:
    return [(clip.id, clip.text) for clip in foreign.clips]


# -- the same two clips in every form --------------------------------------------------------------------


def as_video_folder(folder: Path, column: str) -> None:
    jsonl(folder / "metadata.jsonl", *({"file_name": f"{name}.mp4", column: text} for name, text in SAID))


def as_video_folder_csv(folder: Path, column: str) -> None:
    rows = [f"file_name,{column}", *(f'{name}.mp4,"{text}"' for name, text in SAID)]
    (folder / "metadata.csv").write_bytes("\r\n".join(rows).encode("utf-8-sig"))


def as_manifest(folder: Path, column: str) -> None:
    jsonl(folder / "manifest.jsonl", *({"id": name, "video": f"{name}.mp4", "text": text} for name, text in SAID))


def as_semicolons(folder: Path, column: str) -> None:
    (folder / "list.csv").write_text("\n".join([f"video;{column}", *(f"{n}.mp4;{t}" for n, t in SAID)]))


def as_tabs(folder: Path, column: str) -> None:
    (folder / "list.tsv").write_text("\n".join([f"path\t{column}", *(f"{n}.mp4\t{t}" for n, t in SAID)]))


def as_json_list(folder: Path, column: str) -> None:
    (folder / "captions.json").write_text(json.dumps([{"video": f"{n}.mp4", column: t} for n, t in SAID]))


def as_json_annotations(folder: Path, column: str) -> None:
    records = [{"video": f"{n}.mp4", column: t} for n, t in SAID]
    (folder / "captions.json").write_text(json.dumps({"info": {"year": 2026}, "annotations": records}))


def as_json_by_video(folder: Path, column: str) -> None:
    (folder / "captions.json").write_text(json.dumps({f"{n}.mp4": {column: t} for n, t in SAID}))


def as_json_of_captions(folder: Path, column: str) -> None:
    (folder / "captions.json").write_text(json.dumps({f"{n}.mp4": t for n, t in SAID}))


def as_texts_beside(folder: Path, column: str) -> None:
    for name, text in SAID:
        (folder / f"{name}.txt").write_text(f"  {text}\n", encoding="utf-8")


FORMS = [
    as_video_folder,
    as_video_folder_csv,
    as_manifest,
    as_semicolons,
    as_tabs,
    as_json_list,
    as_json_annotations,
    as_json_by_video,
    as_json_of_captions,
    as_texts_beside,
]


@pytest.mark.parametrize("column", ["text", "caption", "prompt"])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_says_the_same(form, column, tmp_path):
    put(tmp_path, "a.mp4", "b.mp4", ".hidden.mp4", "notes.md")
    form(tmp_path, column)
    foreign = read_foreign(tmp_path)
    assert foreign.clips == [ForeignClip(name, tmp_path / f"{name}.mp4", text) for name, text in SAID]
    assert foreign.missing == foreign.untold == []


def test_a_video_folder_may_have_a_list_for_each_split(tmp_path):
    put(tmp_path, "train/a.mp4", "test/a.mp4")
    for split in ("train", "test"):
        jsonl(tmp_path / split / "metadata.jsonl", {"file_name": "a.mp4", "text": split})
    foreign = read_foreign(tmp_path)
    assert texts(foreign) == [("test/a", "test"), ("train/a", "train")]
    assert foreign.source == "test/metadata.jsonl, train/metadata.jsonl"


def test_a_manifest_keeps_what_it_knows(tmp_path):
    put(tmp_path, "videos/a.mp4")
    line = {
        "id": "p7",
        "video": "videos/a.mp4",
        "text": "smiles",
        "texts": ["smiles", "she smiles"],
        "slots": {"emotion": "joy"},
        "program": "joy : smile",
        "seed": 3,
    }
    jsonl(tmp_path / "manifest.jsonl", line)
    (clip,) = read_foreign(tmp_path).clips
    other = {"texts": ["she smiles"], "program": "joy : smile", "seed": 3}
    assert clip == ForeignClip("p7", tmp_path / "videos/a.mp4", "smiles", {"emotion": "joy"}, other)
    # The same corpus as a VideoFolder.
    (tmp_path / "manifest.jsonl").unlink()
    jsonl(tmp_path / "metadata.jsonl", {"file_name": line.pop("video"), **line})
    assert read_foreign(tmp_path).clips == [clip]


def test_motions_alone_are_passed_over(tmp_path):
    put(tmp_path, "a.mp4")
    alone = {"id": "m", "motion": "motions/m.npz", "text": "nods"}
    jsonl(tmp_path / "manifest.jsonl", alone, {"id": "a", "video": "a.mp4", "text": "smiles"})
    assert texts(read_foreign(tmp_path)) == [("a", "smiles")]
    jsonl(tmp_path / "manifest.jsonl", alone)
    with pytest.raises(CorpusError, match="names no videos"):
        read_foreign(tmp_path)


def test_fields_can_be_chosen(tmp_path):
    put(tmp_path, "clips/x.mp4", "clips/y.mov")
    rows = ["nr,where,said,label,degree,actor,text"]
    rows += ["1,clips/x,He laughs,Happy,3,W01,no", "2,y,She cries,grief,a bit,,no"]
    (tmp_path / "all.csv").write_text("\n".join(rows))
    (tmp_path / "videos").symlink_to(tmp_path / "clips")
    chosen = ["id=nr", "video=where", "text=said", "emotion=label", "intensity=degree", "person=actor"]
    x, y = read_foreign(tmp_path, fields=parse_fields(chosen)).clips
    assert x == ForeignClip(
        "1", tmp_path / "clips/x.mp4", "He laughs", {"emotion": "joy", "intensity": "strong"}, {"person": "W01"}
    )
    assert (y.id, y.video) == ("2", tmp_path / "videos/y.mov")
    assert y.slots == {"emotion": "grief", "intensity": "a bit"}


def test_columns_of_our_own_names_count_unasked(tmp_path):
    put(tmp_path, "a.mp4")
    (tmp_path / "list.csv").write_text("video,emotion,intensity,split,licence\na.mp4,angry,level_1,test,CC0-1.0")
    (clip,) = read_foreign(tmp_path).clips
    assert clip.slots == {"emotion": "anger", "intensity": "slight"}
    assert clip.other == {"split": "test", "licence": "CC0-1.0"}
    assert clip.text == "slight anger"  # for want of a caption


def test_several_captions_of_a_video_are_several_ways_of_saying(tmp_path):
    put(tmp_path, "a.mp4", "b.mp4")
    records = [{"video": "a.mp4", "caption": "smiles"}, {"video": "a.mp4", "caption": "is glad"}]
    records += [{"video": "a.mp4", "caption": "smiles"}, {"video": "b.mp4", "caption": ["nods", " nods \n once"]}]
    jsonl(tmp_path / "list.jsonl", *records)
    a, b = read_foreign(tmp_path).clips
    assert (a.text, a.other) == ("smiles", {"texts": ["is glad"]})
    assert (b.text, b.other) == ("nods", {"texts": ["nods once"]})


def test_each_line_of_a_text_beside_a_video_is_a_caption(tmp_path):
    put(tmp_path, "deep/a.mp4", "b.mp4")
    (tmp_path / "deep/a.txt").write_text("smiles\n\n is  glad \n")
    foreign = read_foreign(tmp_path)
    assert [(c.id, c.text, c.other) for c in foreign.clips] == [("deep/a", "smiles", {"texts": ["is glad"]})]
    assert foreign.untold == ["b"]


def test_missing_videos_are_named_and_the_others_go_on(tmp_path):
    put(tmp_path, "a.mp4")
    records = [{"file_name": name, "text": "smiles"} for name in ("gone.mp4", "a.mp4", "lost/b.mp4", "x\0.mp4")]
    jsonl(tmp_path / "metadata.jsonl", *records)
    foreign = read_foreign(tmp_path)
    assert [clip.id for clip in foreign.clips] == ["a"]
    assert foreign.missing == ["gone.mp4", "lost/b.mp4", "x\0.mp4"]


def test_ids_are_unique(tmp_path):
    put(tmp_path, "joy/a.mp4", "joy/a.mov", "sad/a.mp4")
    (outside := tmp_path / "elsewhere").mkdir()
    put(outside, "one/a.mp4", "two/a.mp4")
    assert [clip.id for clip in read_foreign(tmp_path / "joy/..").clips][-3:] == ["joy/a", "joy/a.mp4", "sad/a"]
    inside = tmp_path / "list"
    jsonl(inside / "list.jsonl", *({"path": str(outside / n / "a.mp4"), "text": n} for n in ("one", "two")))
    assert texts(read_foreign(inside)) == [("a", "one"), ("a.mp4", "two")]


def test_paths_count_from_the_list_too(tmp_path):
    put(tmp_path, "videos/a.mp4")
    jsonl(tmp_path / "lists" / "l.jsonl", {"path": "../videos/a.mp4", "text": "smiles"})
    (clip,) = read_foreign(tmp_path / "lists").clips
    assert (clip.id, clip.video) == ("a", tmp_path / "videos/a.mp4")


# -- labels ----------------------------------------------------------------------------------------------


def test_mead_is_understood(tmp_path):
    names = ["angry", "contempt", "disgusted", "fear", "happy", "sad", "surprised"]
    put(tmp_path, *(f"M003/video/front/{name}/level_{level}/001.mp4" for name in names for level in (1, 2, 3)))
    put(tmp_path, "W009/video/left_30/neutral/level_1/030.mp4")
    (tmp_path / "M003" / "info.txt").write_text("an actor")
    foreign = read_foreign(tmp_path)
    assert len(foreign.clips) == 22
    found = {clip.slots["emotion"] for clip in foreign.clips}
    assert found == {"anger", "contempt", "disgust", "fear", "joy", "sadness", "surprise", "neutral"}
    assert {clip.slots["intensity"] for clip in foreign.clips} == set(LEVELS)
    second, last = foreign.clips[1], foreign.clips[-1]
    assert second.id == "M003/video/front/angry/level_2/001"
    assert second.slots == {"emotion": "anger", "intensity": "moderate"}
    assert second.text == "moderate anger"
    assert second.other == {"person": "M003", "view": "front"}
    assert (last.text, last.other) == ("neutral", {"person": "W009", "view": "left_30"})


def test_every_emotion_that_is_translated_is_in_the_lexicon():
    assert set(labels.EMOTIONS.values()) <= {behaviour.id for behaviour in of_kind("emotion")}


def test_other_folders_are_labels_as_they_are(tmp_path):
    put(tmp_path, "raises_brow/1.mp4", "set-b/puffs-cheeks/1.webm")
    assert [(c.text, c.slots) for c in read_foreign(tmp_path).clips] == [("raises brow", {}), ("puffs cheeks", {})]


# -- what goes wrong -------------------------------------------------------------------------------------


def test_no_folder_no_videos_no_captions(tmp_path):
    with pytest.raises(CorpusError, match="there is no such folder"):
        read_foreign(tmp_path / "none")
    (tmp_path / "file").touch()
    with pytest.raises(CorpusError, match="is no folder"):
        read_foreign(tmp_path / "file")
    with pytest.raises(CorpusError, match="has no videos"):
        read_foreign(tmp_path)
    put(tmp_path, "a.mp4", "b.mp4")
    with pytest.raises(CorpusError, match="2 videos and no captions: expected a list"):
        read_foreign(tmp_path)
    put(tmp_path, "a.txt")
    with pytest.raises(CorpusError, match=r"2 videos and no captions: the \.txt files"):
        read_foreign(tmp_path)
    jsonl(tmp_path / "list.jsonl", {"video": "a.mp4", "said": "smiles"})
    with pytest.raises(CorpusError, match="choose the field with the captions"):
        read_foreign(tmp_path)


@pytest.mark.parametrize("name", ["manifest.jsonl", "metadata.jsonl"])
def test_a_list_none_of_whose_videos_is_there(name, tmp_path):
    field = {"manifest.jsonl": "video", "metadata.jsonl": "file_name"}[name]
    jsonl(tmp_path / name, *({"id": n, field: f"{n}.mp4", "text": "smiles"} for n in "ab"))
    with pytest.raises(CorpusError, match=rf"{name}: none of its 2 videos is there, such as a\.mp4"):
        read_foreign(tmp_path)
    (tmp_path / name).write_text("")
    with pytest.raises(CorpusError, match=r"names no videos|has no videos"):
        read_foreign(tmp_path)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"text": "said"}, r"list\.csv: has no field 'said'; known: video, caption, label"),
        ({"video": "clip_path"}, r"list\.csv: no field 'clip_path' with the videos; known: video, caption, label"),
        ({"mood": "label"}, "field 'mood': unknown; known: video, text, id, emotion"),
    ],
)
def test_an_unknown_field_is_refused_with_those_that_are_known(fields, words, tmp_path):
    put(tmp_path, "a.mp4")
    (tmp_path / "list.csv").write_text("video,caption,label\na.mp4,smiles,joy\n")
    with pytest.raises(CorpusError, match=words):
        read_foreign(tmp_path, fields=fields)


def test_fields_of_no_list_are_refused(tmp_path):
    put(tmp_path, "a.mp4")
    with pytest.raises(CorpusError, match=r"has no \.jsonl, \.json, \.csv or \.tsv file"):
        read_foreign(tmp_path, fields={"text": "said"})
    (tmp_path / "list.csv").write_text("where,said\na.mp4,smiles\n")
    with pytest.raises(CorpusError, match=r"no field that names videos; choose one: video=\.\.\.; known: where, said"):
        read_foreign(tmp_path, fields={"text": "said"})


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        (["text"], "expected OURS=THEIRS"),
        (["text="], "expected OURS=THEIRS"),
        (["mood=x"], "field 'mood': unknown"),
        (["text=a", "text=b"], "field text: is chosen twice"),
    ],
)
def test_fields_are_chosen_once_and_by_known_names(chosen, words):
    with pytest.raises(CorpusError, match=words):
        parse_fields(chosen)
    assert parse_fields(["text=a=b", "video=v"]) == {"text": "a=b", "video": "v"}


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("list.jsonl", b'{"video": "a.mp4", "text": "x"}\n{"video"', r"list\.jsonl, line 2: expected a JSON object"),
        ("list.jsonl", b"[1]\n", "line 1: expected a JSON object, found list"),
        ("list.json", b"{", r"list\.json: is no JSON"),
        ("list.csv", b'video,text\na.mp4,"smiles', r"list\.csv: is no CSV"),
        ("list.csv", b"video,text\na.mp4,\xff\xfe", r"list\.csv: cannot be read"),
        ("list.jsonl", b'{"video": "a.mp4", "text": "x", "id": "../a"}\n', "id: expected a name"),
        ("list.jsonl", b'{"video": "a.mp4", "text": "x", "id": 1.5}\n', "ids that are text or numbers"),
        ("a.txt", b"\xff\xfe", r"a\.txt: cannot be read"),
    ],
)
def test_a_broken_file_is_named(name, content, words, tmp_path):
    put(tmp_path, "a.mp4")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CorpusError, match=words):
        read_foreign(tmp_path)
