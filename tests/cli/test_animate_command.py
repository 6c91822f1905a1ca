"""`tdmm animate`: prompts from arguments, files, corpora and pipes to motions, tokens, videos and streams."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from tdmm.cli import animate_work
from tdmm.cli.animate import DRAFTS
from tdmm.evaluate.inputs import motion_predictions
from tdmm.io.motion_file import motion_bytes, read_motion, write_motion
from tdmm.io.motion_stream import read_motion_stream
from tdmm.io.tokens_file import read_tokens
from tdmm.io.video import open_video
from tdmm.lm.animate import Animator
from tdmm.lm.model_folder import load_language_model
from tdmm.motion import FaceMotion, concatenate
from tdmm.vq.codec import load_codec


@pytest.fixture
def animate(tdmm, tiny_lm_folder, tiny_codec_folder, tmp_path, monkeypatch):
    """In a folder of its own, with the small model; what it writes first is what it gives."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object, **others: object):
        own = ("--model", tiny_lm_folder, "--codec", tiny_codec_folder, "--device", "cpu", "--drafts", 1)
        return tdmm("animate", *own, *arguments, **others)

    return call


@pytest.fixture(scope="module")
def animator(tiny_lm_folder, tiny_codec_folder) -> Animator:
    return Animator(load_language_model(tiny_lm_folder), load_codec(tiny_codec_folder))


def motion_of(animator: Animator, prompt: str, **others) -> FaceMotion:
    return animator.animate([prompt], **others)[0][0].motion


# -- one prompt -------------------------------------------------------------------------------------------


def test_a_prompt_to_a_file(animate, animator):
    outcome = animate("smiles, then nods", "-o", "out.npz", "--seconds", 2, "--seed", 5)
    assert (outcome.code, outcome.stdout) == (0, b"")
    assert read_motion("out.npz") == motion_of(animator, "smiles, then nods", seconds=2, seed=5)
    assert outcome.stderr.startswith("out.npz: 1 motion of 2.0 s in ")
    assert animate("smiles", "-o", "quiet.npz", "-q").stderr == ""


def test_a_prompt_to_a_pipe(animate, animator):
    outcome = animate("smiles")
    assert read_motion(io.BytesIO(outcome.stdout)) == motion_of(animator, "smiles")
    refused = animate("smiles", terminal=("stdout",))
    assert (refused.code, refused.stdout) == (2, b"")
    assert "terminal" in refused.error_line


def test_how_it_is_drawn_from_the_model(animate, animator):
    told = {"--temperature": 0.5, "--top-p": 0.8, "--guidance": 2}
    animate("smiles", "-o", "out.npz", *(part for pair in told.items() for part in pair))
    meta = read_motion("out.npz").meta["animate"]
    assert [meta[name] for name in ("temperature", "top_p", "guidance")] == list(told.values())


def test_a_video(animate):
    outcome = animate("smiles", "-o", "out.mp4", "--seconds", 0.4, "--size", 64, "--style", "clay", "--json")
    assert (outcome.json["motions"], outcome.json["frames"]) == (1, 10)
    with open_video("out.mp4") as video:
        assert (video.info.n_frames, video.info.width, video.info.fps) == (10, 64, 25)


def test_several_lie_side_by_side(animate):
    animate("smiles", "nods", "-n", 2, "-o", "out.gif", "--seconds", 0.2, "--size", 32, "--fps", 10)
    with open_video("out.gif") as video:
        assert video.info.width == 68
        assert video.info.height >= 68


def test_variants_get_numbers(animate, animator):
    outcome = animate("smiles", "-n", 3, "-o", "out.npz", "--seconds", 1, "--json")
    assert outcome.json["files"] == ["out-1.npz", "out-2.npz", "out-3.npz"]
    (several,) = animator.animate(["smiles"], seconds=1, samples=3)
    assert [read_motion(name) for name in outcome.json["files"]] == [one.motion for one in several]
    # Some of them are there already.
    os.remove("out-1.npz")
    assert "out-2.npz is already there" in animate("smiles", "-n", 3, "-o", "out.npz").error_line


def test_frames_as_they_come(animate, animator):
    outcome = animate("smiles", "--stream", "--seconds", 5)
    found = concatenate(list(read_motion_stream(io.BytesIO(outcome.stdout))))
    whole = motion_of(animator, "smiles", seconds=5)
    assert (len(found), found.text) == (125, "smiles")
    np.testing.assert_allclose(found.expression, whole.expression, atol=1e-4)
    # Lines of text may go to a terminal, and to a file.
    assert animate("smiles", "--stream", "--seconds", 1, terminal=("stdout",)).code == 0
    assert animate("smiles", "--stream", "--seconds", 5, "-o", "frames.jsonl").code == 0
    assert Path("frames.jsonl").read_bytes() == outcome.stdout


def test_a_motion_goes_on(animate, animator, motion):
    write_motion(motion, "start.npz")
    assert animate("nods", "--start-from", "start.npz", "--seconds", 1, "-o", "longer.npz").code == 0
    longer = motion_of(animator, "nods", seconds=1, start_from=motion)
    assert read_motion("longer.npz") == longer
    assert len(longer) == 6 + 25
    piped = animate("nods", "--start-from", "-", "--seconds", 1, stdin=motion_bytes(motion))
    assert read_motion(io.BytesIO(piped.stdout)) == longer


def test_whose_face_it_is(animate, tdmm, motion):
    from dataclasses import replace

    write_motion(replace(motion, shape=np.array([1.0, 2.0], np.float32)), "other.npz")
    animate("smiles", "--identity", "other.npz", "-o", "out.npz", "--seconds", 1)
    assert read_motion("out.npz").shape.tolist() == [1, 2]
    animate("smiles", "--identity", "random", "--seed", 3, "-o", "random.npz", "--seconds", 1)
    drawn = read_motion("random.npz").shape
    assert len(drawn) > 10
    animate("smiles", "--identity", "random", "--seed", 3, "-o", "again.npz", "--seconds", 1)
    assert read_motion("again.npz").shape.tolist() == drawn.tolist()
    animate("smiles", "-o", "mean.npz", "--seconds", 1)
    assert len(read_motion("mean.npz").shape) == 0
    assert "expected motion, mean, random or a motion file" in animate("smiles", "--identity", "nobody").error_line


def test_of_drafts_the_one_is_kept_that_reads_as_its_prompt(animate, tdmm, animator, tiny_lm_folder, tiny_codec_folder):
    assert animate("smiles", "--drafts", 3, "--seconds", 1, "-o", "three.npz").code == 0
    assert read_motion("three.npz") == motion_of(animator, "smiles", seconds=1, best_of=3)
    own = ("--model", tiny_lm_folder, "--codec", tiny_codec_folder, "--device", "cpu")
    assert tdmm("animate", "nods", *own, "--seconds", 1, "-o", "usual.npz").code == 0
    assert read_motion("usual.npz") == motion_of(animator, "nods", seconds=1, best_of=DRAFTS)


def test_the_best_of_some_is_what_the_evaluator_likes(animate, animator):
    assert animate("smiles", "--best-of", 4, "--seconds", 1, "-o", "out.npz").code == 0
    (every,) = animator.animate(["smiles"], samples=4, seconds=1)
    likes = animate_work.evaluator_score()(["smiles"] * 4, [one.motion for one in every])
    assert read_motion("out.npz") == every[int(np.argmax(likes))].motion


# -- words ------------------------------------------------------------------------------------------------


def test_words_that_it_does_not_know_are_named_once(animate):
    outcome = animate("grimbles and smiles", "smiles 😀, grimbles, nods", "-o", "out/")
    assert outcome.code == 0
    told = [line for line in outcome.stderr.splitlines() if "never taught" in line]
    assert told == ["words that the model was never taught, and may pass over: grimbles, 😀"]
    assert "never taught" not in animate("smiles, then nods twice", "-o", "out.npz").stderr
    assert animate("grimbles", "-o", "more.npz", "--json").json["unknown_words"] == ["grimbles"]


def test_many_unknown_words_are_one_line(animate):
    words = " ".join(f"{a}{b}x" for a in "bcdf" for b in "aeiou")
    (line, _) = animate(words, "-o", "out.npz").stderr.splitlines()
    assert line.endswith("and 8 more")


# -- many prompts -----------------------------------------------------------------------------------------

PROMPTS = "# what they do\nsmiles, then nods\n\n  Winks with the left eye!\r\nулыбается\n"
NAMES = ["0001-smiles-then-nods.npz", "0002-winks-with-the-left-eye.npz", "0003.npz"]


def test_a_file_of_prompts_to_a_folder(animate, animator):
    Path("prompts.txt").write_text(PROMPTS)
    outcome = animate("prompts.txt", "-o", "out/", "--json")
    assert (outcome.code, outcome.json["motions"], outcome.json["failures"]) == (0, 3, [])
    assert sorted(os.listdir("out")) == NAMES
    prompts = ["smiles, then nods", "Winks with the left eye!", "улыбается"]
    for name, prompt in zip(NAMES, prompts, strict=True):
        assert read_motion(f"out/{name}") == motion_of(animator, prompt)


def test_prompts_from_standard_input_and_arguments(animate):
    outcome = animate("nods", "-", "-o", "out/", stdin=PROMPTS.encode())
    assert outcome.code == 0
    assert sorted(os.listdir("out")) == [
        "0001-nods.npz",
        "0002-smiles-then-nods.npz",
        "0003-winks-with-the-left-eye.npz",
        "0004.npz",
    ]


def test_what_is_in_the_folder_is_kept(animate, monkeypatch):
    monkeypatch.setattr(animate_work, "ROWS", {"cpu": 1})
    assert animate("smiles", "nods", "-o", "out/").code == 0
    os.remove("out/0002-nods.npz")
    Path("out/0001-smiles.npz").write_bytes(b"mine")
    outcome = animate("smiles", "nods", "-o", "out/", "--json")
    assert (outcome.json["motions"], outcome.json["there_before"]) == (1, 1)
    assert Path("out/0001-smiles.npz").read_bytes() == b"mine"
    assert animate("smiles", "nods", "-o", "out/").stderr == "out/: 2 there before\n"
    assert animate("smiles", "nods", "-o", "out/", "--force", "--json").json["motions"] == 2
    assert read_motion("out/0001-smiles.npz").text == "smiles"


def test_variants_in_a_folder(animate):
    animate("smiles", "nods", "-n", 2, "-o", "out/", "--seconds", 0.5)
    assert sorted(os.listdir("out")) == [
        f"000{n}-{word}-{k}.npz" for n, word in ((1, "smiles"), (2, "nods")) for k in (1, 2)
    ]


def test_tokens(animate, animator):
    assert animate("smiles", "nods", "-n", 2, "-o", "tokens.jsonl", "--seconds", 1).code == 0
    lines = list(read_tokens("tokens.jsonl"))
    assert [one.id for one in lines] == ["0001-smiles-1", "0001-smiles-2", "0002-nods-1", "0002-nods-2"]
    every = animator.animate(["smiles", "nods"], samples=2, seconds=1)
    for line, one in zip(lines, [one for several in every for one in several], strict=True):
        assert animator.codec.decode(line) == one.motion
    # Of what is written in parts too.
    assert animate("smiles", "-o", "long.jsonl", "--seconds", 5).code == 0
    assert [one.frames for one in read_tokens("long.jsonl")] == [125]


def test_a_corpus_is_animated_as_evaluate_reads_it(animate, tiny_corpus):
    corpus = shutil.copytree(tiny_corpus, "corpus")
    outcome = animate(corpus, "--split", "val", "-n", 2, "-o", "made/", "--json", "--seconds", 1)
    assert (outcome.code, outcome.json["motions"]) == (0, 8)
    ids = [f"s0-{number:07d}" for number in range(4)]
    assert sorted(path.relative_to("made").as_posix() for path in Path("made").rglob("*.npz")) == sorted(
        name for one in ids for name in (f"{one}.npz", f"{one}/1.npz")
    )
    predictions = motion_predictions("made", ids)
    assert {name: len(files) for name, files in predictions.items()} == dict.fromkeys(ids, 2)
    wrong = animate(corpus, "--split", "tset", "-o", "made/")
    assert "has no clips of the split tset; there are train, val" in wrong.error_line


def test_clips_with_the_same_text_do_not_move_alike(animate):
    Path("prompts.jsonl").write_text('{"id":"a","text":"smiles"}\n{"id":"sub/b","text":"smiles","more":1}\n')
    assert animate("prompts.jsonl", "-o", "out/", "--seconds", 1).code == 0
    assert read_motion("out/a.npz") != read_motion("out/sub/b.npz")


def test_prompts_that_cannot_be_animated_are_told_and_the_others_done(animate):
    Path("prompts.txt").write_text("smiles\n" + "word " * 10_000 + "\nnods\n")
    outcome = animate("prompts.txt", "-o", "out/", "--json")
    assert outcome.code == 1
    assert [failure["prompt"][:4] for failure in outcome.json["failures"]] == ["0002"]
    assert "error: prompts.txt, line 2: the prompt 'word word" in outcome.stderr
    assert sorted(os.listdir("out")) == ["0001-smiles.npz", "0003-nods.npz"]


# -- what is refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([""], "an empty prompt: say what the face is to do"),
        (["  "], "an empty prompt"),
        (["smiles", "-o", "out.avi"], "expected a name that ends in .npz, .mp4, .gif, .jsonl"),
        (["smiles", "nods", "-o", "out.npz"], "2 prompts need a folder: -o DIR/"),
        (["smiles", "nods"], "2 motions need a folder"),
        (["smiles", "-n", 2], "2 motions need a folder"),
        (["smiles", "-n", 40, "-o", "out.mp4"], "too many for one picture"),
        (["smiles", "nods", "--stream"], "--stream gives the frames of one motion"),
        (["smiles", "--stream", "-o", "out.npz"], "--stream writes lines of JSON"),
        (["smiles", "--stream", "--best-of", 2], "--best-of chooses among whole motions"),
        (["smiles", "--stream", "--drafts", 2], "--drafts chooses among whole motions"),
        (["smiles", "--drafts", 2, "--best-of", 2], "choose one"),
        (["smiles", "-n", 2, "--temperature", 0, "-o", "out/"], "there are no variants"),
        (["smiles", "--json"], "name a file with -o"),
        (["smiles", "--split", "test"], "--split chooses clips of a corpus"),
        (["smiles", "-o", "out.npz", "--size", 64], "--size belongs to a video"),
        (["smiles", "-o", "out.mp4", "--size", "big"], "expected pixels"),
        (["-", "-"], "can be read only once"),
        (["-", "--start-from", "-"], "can be read only once"),
        (["smiles", "-n", 0], "-n"),
        (["smiles", "--temperature", -1], "--temperature"),
    ],
)
def test_wrong_usage(animate, arguments, message):
    outcome = animate(*arguments)
    assert (outcome.code, outcome.stdout) == (2, b"")
    assert message in outcome.error_line
    assert os.listdir() == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["smiles", "-o", "out.npz", "--seconds", 0], "seconds: expected more than 0"),
        (["smiles", "-o", "out.npz", "--top-p", 2], "top_p"),
        (["prompts.txt", "-o", "out/"], "prompts.txt: there is no such file"),
        (["smiles", "--start-from", "none.npz", "-o", "out.npz"], "none.npz"),
        (["smiles", "-o", "no/out.npz"], "there is no folder no; make it first"),
        (["word " * 10_000, "-o", "out.npz"], "of 10000 words is too long"),
        (["<|motion|>", "-o", "out.npz", "--model", "nowhere"], "nowhere"),
    ],
)
def test_what_fails_is_one_line(animate, arguments, message):
    outcome = animate(*arguments)
    assert (outcome.code, outcome.stdout) == (1, b"")
    assert message in outcome.error_line
    assert os.listdir() == []


def test_files_without_prompts(animate, motion_file, tmp_path):
    Path("empty.txt").write_text("\n# nothing\n")
    assert "empty.txt: holds no prompts" in animate("empty.txt", "-o", "out/").error_line
    assert "standard input: holds no prompts" in animate("-", "-o", "out/").error_line
    Path("bytes.txt").write_bytes(b"\xff\xfe\x00smiles")
    assert "bytes.txt: expected text in UTF-8" in animate("bytes.txt", "-o", "out/").error_line
    Path("lines.jsonl").write_text('{"id":"a"}\n')
    assert (
        "lines.jsonl, line 1: expected a JSON object with the fields id and text"
        in animate("lines.jsonl", "-o", "out/").error_line
    )
    Path("up.jsonl").write_text('{"id":"../a","text":"smiles"}\n')
    assert "expected the name of a file within a folder" in animate("up.jsonl", "-o", "out/").error_line
    Path("twice.jsonl").write_text('{"id":"a","text":"smiles"}\n{"id":"a","text":"nods"}\n')
    assert "have the same id a" in animate("twice.jsonl", "-o", "out/").error_line
    assert "--start-from" in animate(motion_file, "-o", "out/").error_line
    os.mkdir("folder")
    assert "folder/: is no corpus" in animate("folder/", "-o", "out/").error_line


def test_a_word_may_be_the_name_of_a_folder(animate):
    os.mkdir("smiles")
    assert animate("smiles", "-o", "out.npz").code == 0


def test_a_codec_that_is_not_the_models(tdmm, tiny_lm_folder, tmp_path):
    outcome = tdmm("animate", "smiles", "--model", tiny_lm_folder, "-o", tmp_path / "out.npz")
    assert outcome.code == 1
    assert f"{tiny_lm_folder}: this language model knows the tokens of the codec" in outcome.error_line
    assert "--codec" in outcome.error_line


def test_a_codec_beside_the_model_is_taken(tdmm, tiny_lm_folder, tiny_codec_folder, tmp_path):
    model = shutil.copytree(tiny_lm_folder, tmp_path / "lm")
    shutil.copytree(tiny_codec_folder, model / "codec")
    assert tdmm("animate", "smiles", "--model", model, "-o", tmp_path / "out.npz").code == 0


def test_an_output_is_not_replaced(animate):
    Path("out.npz").write_bytes(b"mine")
    assert "already there" in animate("smiles", "-o", "out.npz").error_line
    assert Path("out.npz").read_bytes() == b"mine"
    assert animate("smiles", "-o", "out.npz", "--force").code == 0


def test_the_network_of_transformers_is_not_loaded(animate):
    """Its import alone takes seconds, and what is here needs it not."""
    for name in [name for name in sys.modules if name.startswith("transformers.models.qwen3")]:
        del sys.modules[name]
    assert animate("smiles", "-o", "out.npz").code == 0
    assert not any(name.startswith("transformers.models.qwen3") for name in sys.modules)


def test_the_json_of_a_folder(animate):
    outcome = animate("smiles", "nods", "-o", "out/", "--seconds", 2, "--json")
    told = json.loads(outcome.text)
    assert {name: told[name] for name in ("output", "motions", "frames", "seconds", "there_before")} == {
        "output": "out/",
        "motions": 2,
        "frames": 100,
        "seconds": 4.0,
        "there_before": 0,
    }
