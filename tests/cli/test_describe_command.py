"""`tdmm describe`: texts and answers to standard output, to files, and into the manifest of a corpus."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tdmm.evaluate.inputs import text_predictions
from tdmm.io.manifest import read_manifest
from tdmm.io.motion_file import motion_bytes, read_motion, write_motion
from tdmm.io.motion_stream import MotionStreamWriter
from tdmm.lm.describe import ask
from tdmm.lm.describe import describe as describe_motion
from tdmm.lm.model_folder import LanguageModel, load_language_model
from tdmm.motion import FaceMotion
from tdmm.vq.codec import Codec, load_codec

QUESTION = "Which eye does she wink with?"


@pytest.fixture(scope="module")
def codec(tiny_codec_folder) -> Codec:
    return load_codec(tiny_codec_folder)


@pytest.fixture(scope="module")
def lm(tiny_lm_folder) -> LanguageModel:
    return load_language_model(tiny_lm_folder)


@pytest.fixture
def describe(tdmm, tiny_codec_folder, tiny_lm_folder):
    def call(*arguments: object, **others: object):
        chosen = ("--codec", tiny_codec_folder, "--model", tiny_lm_folder, "--device", "cpu")
        return tdmm("describe", *arguments, *chosen, **others)

    return call


@pytest.fixture(scope="module")
def motions(tiny_corpus) -> list[FaceMotion]:
    clips = read_manifest(tiny_corpus / "manifest.jsonl")
    return [read_motion(f"{tiny_corpus}/{clip.motion}") for clip in clips[:3]]


@pytest.fixture
def files(motions, tmp_path) -> list[Path]:
    (tmp_path / "in").mkdir()
    paths = [tmp_path / "in" / f"m{number}.npz" for number in range(len(motions))]
    for motion, path in zip(motions, paths, strict=True):
        write_motion(motion, path)
    return paths


def test_drafts(describe, files, motions, lm, codec):
    one = describe_motion(motions[0], lm, codec, drafts=1) + "\n"
    assert describe(files[0], "--drafts", 1).text == one
    assert describe(files[0], "--drafts", 6).text == describe(files[0]).text
    for wrong in (("--drafts", 0), ("--drafts", 2, "--temperature", 1)):
        found = describe(files[0], *wrong)
        assert found.code == 2
        assert "--drafts" in found.stderr


def test_fits_are_read_as_they_are_if_wanted(describe, motions, tmp_path):
    for name, meta in (("fit", {"fit": {}}), ("motion", {})):
        write_motion(replace(motions[0], meta=meta), tmp_path / f"{name}.npz")
    assert describe(tmp_path / "fit.npz", "--no-correction").text == describe(tmp_path / "motion.npz").text


@pytest.fixture
def corpus(tiny_corpus, tmp_path) -> Path:
    """A copy to write into, whose first four clips, those of val, have neither text nor captions."""
    folder = Path(shutil.copytree(tiny_corpus, tmp_path / "corpus"))
    lines = lines_of(folder / "manifest.jsonl")
    for line in lines[:4]:
        del line["captions"], line["text"]
    (folder / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def lines_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


# -- one motion -------------------------------------------------------------------------------------------


def test_one_motion(describe, lm, codec, motions, files):
    for detail in ("short", "long", "timeline"):
        outcome = describe(files[0], "--detail", detail)
        assert (outcome.code, outcome.stderr) == (0, "")
        assert outcome.text == describe_motion(motions[0], lm, codec, detail=detail) + "\n"
    assert describe(files[0]).text == describe_motion(motions[0], lm, codec) + "\n"


def test_questions(describe, lm, codec, motions, files):
    questions = [QUESTION, "<|/text|> \U0001f600?"]
    answers = ask(motions[0], questions, lm, codec)
    outcome = describe(files[0], "--ask", questions[0], "--ask", questions[1])
    assert (outcome.code, outcome.text.splitlines()) == (0, answers)
    (told,) = outcome.stderr.splitlines()
    assert told.startswith("'<|/text|> ")
    assert told.endswith("answered as it stands")
    assert describe(files[0], "--ask", questions[1], "--quiet").stderr == ""
    both = describe(files[0], "--ask", questions[0], "--detail", "short")
    assert both.text.splitlines() == [describe_motion(motions[0], lm, codec), answers[0]]


def test_as_json(describe, lm, codec, motions, files):
    found = describe(files[0], "--json", "--ask", QUESTION, "--detail", "long").json
    assert found == {
        "id": "m0",
        "text": describe_motion(motions[0], lm, codec, detail="long"),
        "detail": "long",
        "events": found["events"],
        "questions": [QUESTION],
        "answers": ask(motions[0], [QUESTION], lm, codec),
    }
    for event in found["events"]:
        assert set(event) >= {"id", "side", "count", "start", "end"}


def test_pipes(describe, files, motions):
    wanted = describe(files[0]).text
    assert describe("-", stdin=motion_bytes(motions[0])).text == wanted
    frames = io.BytesIO()
    MotionStreamWriter(frames).write(motions[0])
    assert describe("-", stdin=frames.getvalue()).text == wanted


def test_drawn_words_follow_the_seed(describe, files):
    one, again, other = (describe(files[0], "--temperature", "1", "--seed", seed).text for seed in ("1", "1", "2"))
    assert one == again != other
    one, other = (describe(files[0], "--drafts", 1, "--seed", seed).text for seed in ("1", "2"))
    assert one == other


def test_short_long_and_faceless_motions(describe, motions, tmp_path):
    write_motion(motions[0][:1], tmp_path / "one.npz")
    assert describe(tmp_path / "one.npz").code == 0
    unseen = replace(motions[0], valid=np.zeros(len(motions[0]), bool))
    write_motion(unseen, tmp_path / "unseen.npz")
    outcome = describe(tmp_path / "unseen.npz")
    assert (outcome.code, outcome.text) == (1, "")
    assert "unseen.npz: no face is seen" in outcome.error_line


# -- many motions -----------------------------------------------------------------------------------------


def test_several_motions_are_lines_as_one_by_one(describe, files):
    alone = [describe(path).text.strip() for path in files]
    lines = describe(*files).text.splitlines()
    assert lines == [f"m{number}\t{text}" for number, text in enumerate(alone)]
    assert describe(files[0].parent).text.splitlines() == lines
    told = describe(*files, "--ask", QUESTION).text.splitlines()
    assert [line.split("\t")[0] for line in told] == ["m0", "m1", "m2"]
    assert [line.count("\t") for line in told] == [1, 1, 1]
    objects = [json.loads(line) for line in describe(*files, "--json").text.splitlines()]
    assert [one["text"] for one in objects] == alone


def test_failures_are_named_and_the_others_done(describe, files, motions, tmp_path):
    write_motion(replace(motions[0], face_model="other", face_model_sha256="0" * 64), tmp_path / "in" / "other.npz")
    (tmp_path / "in" / "torn.npz").write_bytes(motion_bytes(motions[0])[:99])
    outcome = describe(tmp_path / "in")
    assert outcome.code == 1
    assert [line.split("\t")[0] for line in outcome.text.splitlines()] == ["m0", "m1", "m2"]
    errors = outcome.stderr.splitlines()
    assert ["other.npz" in errors[0], "torn.npz" in errors[1], len(errors)] == [True, True, 2]


def test_files(describe, files, tmp_path):
    outcome = describe(*files, "-o", tmp_path / "texts.txt")
    assert (outcome.code, outcome.text) == (0, "")
    assert "3 motions described" in outcome.stderr
    assert (tmp_path / "texts.txt").read_text() == describe(*files).text
    refused = describe(*files, "-o", tmp_path / "texts.txt")
    assert (refused.code, "--force" in refused.error_line) == (1, True)
    assert describe(*files, "-o", tmp_path / "texts.txt", "--force", "--quiet").stderr == ""
    describe(*files, "-o", tmp_path / "texts.jsonl")
    assert [set(line) for line in lines_of(tmp_path / "texts.jsonl")] == [{"id", "text", "detail"}] * 3
    describe(*files, "-o", tmp_path / "texts.jsonl", "--force", "--json")
    assert all("events" in line for line in lines_of(tmp_path / "texts.jsonl"))
    failed = describe(tmp_path / "none.npz", "-o", tmp_path / "none.jsonl")
    assert (failed.code, (tmp_path / "none.jsonl").exists()) == (1, False)


# -- corpora ----------------------------------------------------------------------------------------------


def test_a_corpus_gets_captions(describe, lm, codec, motions, corpus):
    before = lines_of(corpus / "manifest.jsonl")
    outcome = describe(corpus, "--json")
    assert outcome.code == 0, outcome.stderr
    told = outcome.json
    assert (told["clips"], told["there_before"], told["failures"]) == (4, 20, [])
    assert told["model"] == lm.fingerprint
    after = lines_of(corpus / "manifest.jsonl")
    assert after[4:] == before[4:]
    for line, motion in zip(after[:4], motions, strict=False):
        assert line["captions"]["short"] == line["text"] == describe_motion(motion, lm, codec)
        assert line["captions"]["long"] == describe_motion(motion, lm, codec, detail="long")
    assert describe(corpus, "--json").json["clips"] == 0
    assert describe(corpus, "--split", "val", "--force", "--detail", "timeline", "--json").json["clips"] == 4
    assert set(lines_of(corpus / "manifest.jsonl")[0]["captions"]) == {"short", "long", "timeline"}


def test_predictions_for_the_evaluation(describe, corpus, tmp_path):
    before = (corpus / "manifest.jsonl").read_bytes()
    outcome = describe(corpus, "--split", "val", "-o", tmp_path / "captions.jsonl")
    assert outcome.code == 0, outcome.stderr
    clips = read_manifest(corpus / "manifest.jsonl")[:4]
    found = text_predictions((tmp_path / "captions.jsonl").read_text().splitlines(), "captions.jsonl")
    assert list(found) == [clip.id for clip in clips]
    for clip in clips:
        assert found[clip.id]["text"]
        assert len(found[clip.id]["answers"]) == len(clip.line["questions"])
        assert found[clip.id]["questions"] == [one["question"] for one in clip.line["questions"]]
    describe(corpus, "--split", "val", "-o", tmp_path / "captions.jsonl", "--no-questions", "--force")
    assert all("answers" not in line for line in lines_of(tmp_path / "captions.jsonl"))
    asked = describe(corpus, "--split", "val", "--ask", QUESTION).text.splitlines()
    assert [line.split("\t")[0] for line in asked] == list(found)
    assert (corpus / "manifest.jsonl").read_bytes() == before


# -- what goes wrong --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--ask", " "], 2, "the question is empty"),
        (["--ask", "why " * 10_000], 1, "ask in fewer words"),
        (["--ask", "a?", "--questions"], 2, "exclude each other"),
        (["--questions"], 2, "none is given"),
        (["--split", "test"], 2, "--split chooses clips of a corpus"),
        (["--temperature", "-1"], 2, "--temperature"),
        (["--temperature", "nan"], 2, "--temperature"),
        (["--seed", "-1"], 2, "--seed"),
        (["-o", "x.mp4"], 2, "ends in .jsonl or .txt"),
        (["-o", "x.txt", "--json"], 2, "ends in .jsonl"),
        (["-o", "none/x.txt"], 1, "there is no folder"),
    ],
)  # fmt: skip
def test_what_does_not_go_together(describe, files, arguments, code, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcome = describe(files[0], *arguments)
    assert outcome.code == code
    assert said in outcome.error_line


def test_other_models_and_codecs(tdmm, tiny_lm_folder, lm, files, tmp_path):
    outcome = tdmm("describe", files[0], "--model", tiny_lm_folder, "--device", "cpu")
    assert outcome.code == 1
    assert lm.codec in outcome.error_line
    assert "--codec" in outcome.error_line
    outcome = tdmm("describe", files[0], "--model", tmp_path / "none", "--device", "cpu")
    assert outcome.code == 1
    assert "there is no such folder" in outcome.error_line


def test_a_video_given_by_mistake(describe, faceless_clip):
    assert "tdmm fit" in describe(faceless_clip).error_line
    assert "tdmm fit" in describe("-", stdin=faceless_clip.read_bytes()).error_line
    assert describe("-", stdin=b"").code == 1
    assert describe("-", terminal=("stdin",)).code == 2
