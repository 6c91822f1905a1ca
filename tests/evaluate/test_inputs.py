"""References and predictions by their ids: nothing is left out in silence, what is wrong is told in one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tdmm.errors import EvaluationError
from tdmm.evaluate.inputs import (
    Failed,
    Reference,
    by_id,
    fingerprint,
    in_order,
    load_motions,
    motion_predictions,
    read_lines,
    read_references,
    strangers,
    text_predictions,
)
from tdmm.io.motion_file import write_motion
from tdmm.motion import make_motion


def motion(value: float = 0.5):
    return make_motion(np.full((4, 1), value, np.float32), ("jawOpen",), face_model="hand", face_model_sha256="0" * 64)


def put(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_motion(motion(), folder / name)
    return folder


def manifest(folder: Path, *lines: dict, name: str = "manifest.jsonl") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


# -- references ----------------------------------------------------------------------------------------


def test_a_corpus_is_its_lines(tmp_path):
    lines = [
        {"id": "b", "motion": "motions/b.npz", "text": "nods", "split": "test"},
        {"id": "a", "video": "videos/a.mp4", "text": "smiles", "split": "val"},
    ]
    found = read_references(manifest(tmp_path / "c", *lines))
    assert list(found) == ["b", "a"]
    assert found["b"].motion == str(tmp_path / "c" / "motions/b.npz")
    assert found["a"].motion is None
    assert found["a"].text == "smiles"
    assert found["b"].line["split"] == "test"


@pytest.mark.parametrize("name", ["manifest.jsonl", "metadata.jsonl"])
def test_the_manifest_of_a_corpus_is_the_corpus(tmp_path, name):
    line = {"file_name": "v/a.mp4", "motion": "a.npz"} if name == "metadata.jsonl" else {"id": "v/a", "motion": "a.npz"}
    folder = manifest(tmp_path / "c", line, name=name)
    assert read_references(folder / name) == read_references(folder)
    assert read_references(folder)["v/a"].motion == str(folder / "a.npz")


def test_a_folder_is_its_motions_by_their_paths(tmp_path):
    put(tmp_path / ".hidden" / "m", "b.npz", "deep/er/a.1.npz", ".half.npz", ".trash/x.npz")
    found = read_references(tmp_path / ".hidden" / "m")
    assert list(found) == ["b", "deep/er/a.1"]
    assert found["b"] == Reference("b", str(tmp_path / ".hidden" / "m" / "b.npz"), {})
    assert found["b"].text == ""


def test_lines_are_references_without_motions(tmp_path):
    path = tmp_path / "r.jsonl"
    path.write_text('{"id": "a", "text": "smiles\\u2028nods \u2028 \x85"}\n\n{"id": "b"}\r\n', "utf-8")
    found = read_references(path)
    assert found["a"].text == "smiles\u2028nods \u2028 \x85"
    assert found["b"].motion is None


def test_splits_choose(tmp_path):
    lines = [{"id": name, "motion": "x.npz", "split": split} for name, split in zip("abcd", "ttvt", strict=True)]
    folder = manifest(tmp_path / "c", *lines, {"id": "e", "motion": "x.npz"})
    assert list(read_references(folder, ["t"])) == ["a", "b", "d"]
    assert list(read_references(folder, ["v", "t"])) == ["a", "b", "c", "d"]
    assert list(read_references(folder)) == ["a", "b", "c", "d", "e"]


def test_a_split_that_is_not_there_is_told_even_beside_one_that_is(tmp_path):
    folder = manifest(tmp_path / "c", {"id": "a", "motion": "x.npz", "split": "test"})
    with pytest.raises(EvaluationError, match="no references of the split tset; there are test"):
        read_references(folder, ["test", "tset"])
    with pytest.raises(EvaluationError, match="no references of the split test; none says its split"):
        read_references(put(tmp_path / "m", "a.npz"), ["test"])


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("smiles\n", r"line 1: expected a JSON object, found 'smiles'"),
        ('{"id": "a"}\n[1]\n', r"line 2: expected a JSON object with the field id"),
        ('{"id": "a"}\n\n{"id": 3}\n', r"line 3: expected a JSON object with the field id"),
        ('{"id": ""}\n', r"line 1: expected a JSON object with the field id"),
        ('{"id": "a"}\n{"id": "a"}\n', r"line 2: the id 'a' is there twice"),
        ("[" * 100_000 + "\n", "line 1: expected a JSON object"),
        ("", "has no references"),
        (b"\xff\xfe{}", "expected JSON lines, found bytes that are no text"),
    ],
)
def test_lines_that_are_none_are_told(tmp_path, content, expected):
    path = tmp_path / "r.jsonl"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(EvaluationError, match=expected) as caught:
        read_references(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 300 + len(str(path))


def test_what_is_no_reference_is_told(tmp_path):
    with pytest.raises(EvaluationError, match="nowhere: there is no such corpus, folder of motions or file"):
        read_references(tmp_path / "nowhere")
    with pytest.raises(EvaluationError, match="has no references"):
        read_references(tmp_path)


# -- predictions ---------------------------------------------------------------------------------------


def test_predicted_motions_are_called_by_their_ids(tmp_path):
    put(tmp_path, "b.npz", "a.npz", "deep/c.npz")
    expected = {name: [str(tmp_path / f"{name}.npz")] for name in ("a", "b", "deep/c")}
    assert motion_predictions(tmp_path) == expected


def test_samples_lie_in_a_folder_beside_the_prediction(tmp_path):
    put(tmp_path, "a.npz", "a/2.npz", "a/10.npz", "b/1.npz", "a/x/1.npz")
    found = motion_predictions(tmp_path)
    assert found["a"] == [str(tmp_path / name) for name in ("a.npz", "a/10.npz", "a/2.npz")]
    assert found["b/1"] == [str(tmp_path / "b/1.npz")]
    assert found["a/x/1"] == [str(tmp_path / "a/x/1.npz")]


def test_what_is_called_as_a_reference_is_no_sample(tmp_path):
    put(tmp_path, "a.npz", "a/1.npz", "a/2.npz")
    found = motion_predictions(tmp_path, {"a", "a/1"})
    assert found["a/1"] == [str(tmp_path / "a/1.npz")]
    assert found["a"] == [str(tmp_path / "a.npz"), str(tmp_path / "a/2.npz")]


def test_a_corpus_predicts_by_its_lines(tmp_path):
    folder = manifest(tmp_path / "c", {"id": "a", "motion": "m/1.npz"}, {"id": "b", "video": "b.mp4"})
    assert motion_predictions(folder) == {"a": [str(folder / "m/1.npz")]}


@pytest.mark.parametrize("name", ["nowhere", "file.npz", "empty"])
def test_what_predicts_no_motions_is_told(tmp_path, name):
    put(tmp_path, "file.npz")
    (tmp_path / "empty").mkdir()
    with pytest.raises(EvaluationError, match=rf"{name}: (expected a folder of motions or a corpus|holds no motions)"):
        motion_predictions(tmp_path / name)


def test_predicted_texts():
    found = text_predictions(['{"id": "a", "text": "smiles"}', "", '{"id": "b", "answers": ["yes", null, 2]}'], "p")
    assert found["a"]["text"] == "smiles"
    assert found["b"]["answers"] == ["yes", None, 2]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"id": "a", "text": 3}', "p: a: expected the field text with text, found 3"),
        ('{"id": "a", "text": null}', "p: a: expected the field text with text, found None"),
        ('{"id": "a", "text": "x", "answers": "yes"}', "p: a: expected the field answers with a list, found 'yes'"),
        ('{"id": "a", "text": "x", "answers": 3}', "p: a: expected the field answers with a list, found 3"),
        ("", "p: holds no predictions"),
        ('{"text": "x"}', "p, line 1: expected a JSON object with the field id"),
    ],
)
def test_predicted_texts_that_are_none_are_told(line, expected):
    with pytest.raises(EvaluationError, match=expected):
        text_predictions([line], "p")


def test_lines_end_where_json_lines_end():
    assert read_lines("a\u2028b\x0bc\nd".encode(), "x") == ["a\u2028b\x0bc", "d"]
    assert read_lines(b"\xef\xbb\xbfa", "x") == ["a"]


# -- motions -------------------------------------------------------------------------------------------


def test_motions_that_cannot_be_read_are_failures_with_their_reason(tmp_path):
    put(tmp_path, "a.npz")
    (tmp_path / "junk.npz").write_bytes(b"junk")
    (tmp_path / "folder.npz").mkdir()
    names = {"a": "a.npz", "junk": "junk.npz", "gone": "gone.npz", "folder": "folder.npz"}
    wanted = {name: str(tmp_path / file) for name, file in names.items()}
    motions, failures = load_motions({**wanted, "none": None}, "prediction")
    assert list(motions) == ["a"]
    assert [one.id for one in failures] == ["junk", "gone", "folder", "none"]
    assert failures[-1] == Failed("none", "there is no prediction")
    assert all(one.reason and "\n" not in one.reason for one in failures)


def test_motions_in_shards_are_read_and_parts_that_are_not_there_fail(tmp_path):
    from small_corpus import lines_of, make_corpus

    corpus = make_corpus(tmp_path / "c", 3, seed=1)
    wanted = {line["id"]: str(corpus / line["motion"]) for line in lines_of(corpus)}
    shard = next(iter(wanted.values())).partition("#")[0]
    motions, failures = load_motions({**wanted, "x": shard + "#99", "y": shard + "x#0"}, "motion")
    assert list(motions) == list(wanted)
    assert [one.id for one in failures] == ["x", "y"]


# -- order and fingerprint -----------------------------------------------------------------------------


def references(*lines: dict) -> dict[str, Reference]:
    return {line["id"]: Reference(line["id"], None, line) for line in lines}


def test_failures_are_listed_once_each_by_id():
    given = [Failed("b", "first"), Failed("a", "x"), Failed("b", "second")]
    assert in_order(given) == [Failed("a", "x"), Failed("b", "first")]


def test_predictions_of_nothing_are_told():
    assert strangers(references({"id": "a"}), ["c", "a", "b"]) == {"without_reference": ["b", "c"]}


def test_the_fingerprint_is_of_what_is_compared():
    one = {"id": "a", "text": "smiles", "duration": 3.0, "motion": "m/a.npz", "events": [{"id": "smile"}]}
    other = {"id": "b", "text": "nods", "duration": 3.0}
    known = fingerprint(references(one, other))
    assert len(known) == 12
    assert fingerprint(references(other, one)) == known
    assert fingerprint(by_id(references(other, one))) == known
    assert fingerprint(references({**one, "motion": "elsewhere.npz", "licence": "CC0"}, other)) == known
    changes = [
        {"id": "c"},
        {"text": "smile"},
        {"duration": 3.1},
        {"captions": {"short": "x"}},
        {"questions": []},
        {"events": [{"id": "grin"}]},
        {"texts": ["x"]},
    ]
    prints = {fingerprint(references({**one, **change}, other)) for change in changes}
    assert len(prints | {known, fingerprint(references(one))}) == len(changes) + 2
