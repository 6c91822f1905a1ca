"""`tdmm generate-corpus` and what other commands make of a corpus."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest

from tdmm.corpus.lexicon import behaviours
from tdmm.io.manifest import read_manifest
from tdmm.io.motion_file import read_motion, write_motion
from tdmm.io.video import open_video, write_video

MADE_UP = Path(__file__).parents[1] / "corpus" / "made_up_t2v.py"
SMALL = ("--size", 64, "--workers", 1)


def lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def lines_of(folder: Path) -> list[dict]:
    return [dict(clip.line) for clip in read_manifest(folder / "manifest.jsonl")]


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def made_once(tmp_path_factory):
    """Two small rendered clips, as another process made them."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "prompts.txt").write_text("blink\nnod | yes\n")
    command = [sys.executable, "-m", "tdmm", "generate-corpus", "prompts.txt", "-o", "corpus", *map(str, SMALL)]
    done = subprocess.run([*command, "--json"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["corpus"], told["made"], told["there_before"], told["failed"]) == ("corpus", 2, 0, [])
    assert done.stderr.startswith("corpus: 2 clips made; 0.00 hours")
    return folder / "corpus"


@pytest.fixture
def corpus(made_once, tmp_path):
    shutil.copytree(made_once, tmp_path / "corpus")
    return tmp_path / "corpus"


@pytest.fixture(scope="module")
def motions(tmp_path_factory):
    """Five motions without videos."""
    from tdmm.corpus.build import CorpusJob, generate_corpus

    folder = tmp_path_factory.mktemp("motions") / "corpus"
    generate_corpus(CorpusJob(folder, motions_only=True), clips=5)
    return folder


@pytest.fixture
def sample(tmp_path):
    """A video of seven frames, ten a second."""
    path = tmp_path / "sample.mp4"
    write_video([np.full((24, 32, 3), 9 * number, np.uint8) for number in range(7)], path, 10)
    return path


# -- clips ---------------------------------------------------------------------------------------------


def test_clips_of_the_suite(tdmm, tmp_path):
    outcome = tdmm("generate-corpus", "-o", tmp_path / "corpus", "--clips", 2, "--size", 96, "--json", "--workers", 1)
    assert outcome.code == 0, outcome.stderr
    assert outcome.json["made"] == 2
    for line in lines_of(tmp_path / "corpus"):
        with open_video(tmp_path / "corpus" / line["video"]) as video:
            assert (video.info.width, video.info.height) == (96, 96)
        assert (tmp_path / "corpus" / line["motion"]).is_file()


def test_prompts_of_a_file_are_made_once_each(corpus):
    first, second = lines_of(corpus)
    assert (first["program"], second["program"], second["text"]) == ("blink", "nod", second["text"])
    assert "yes" in second["text"].lower()


def test_again_makes_nothing_and_more_clips_are_added(tdmm, corpus, tmp_path):
    (tmp_path / "prompts.txt").write_text("blink\nnod | yes\n")
    before = tree(corpus)
    again = tdmm("generate-corpus", tmp_path / "prompts.txt", "-o", corpus, *SMALL)
    assert again.code == 0, again.stderr
    assert "0 clips made, 2 were there already" in again.stderr
    assert tree(corpus) == before
    more = tdmm("generate-corpus", tmp_path / "prompts.txt", "-o", corpus, *SMALL, "--clips", 3, "--json")
    assert (more.code, more.json["made"], more.json["there_before"]) == (0, 1, 2)
    assert [line["program"] for line in lines_of(corpus)] == ["blink", "nod", "blink"]
    other = tdmm("generate-corpus", "-o", corpus, *SMALL, "--clips", 3)
    assert other.code == 1
    assert "another --seed" in other.error_line


def test_prompts_of_standard_input(tdmm, tmp_path):
    given = "# mine\r\nblink\r\n\r\n".encode("utf-8-sig")
    outcome = tdmm("generate-corpus", "-", "-o", tmp_path / "c", "--seeds", 2, *SMALL, "--quiet", stdin=given)
    assert (outcome.code, outcome.stderr) == (0, "")
    first, second = lines_of(tmp_path / "c")
    assert first["program"] == second["program"] == "blink"
    assert first["text"] == second["text"]


def test_a_video_folder(tdmm, tmp_path):
    outcome = tdmm("generate-corpus", "-", "-o", tmp_path / "c", "--layout", "videofolder", *SMALL, stdin=b"blink")
    assert outcome.code == 0, outcome.stderr
    (line,) = lines((tmp_path / "c/metadata.jsonl").read_text())
    assert (tmp_path / "c" / line["file_name"]).is_file()


def test_shards_for_webdataset(tdmm, tmp_path):
    command = ("generate-corpus", "-o", tmp_path / "c", "--layout", "webdataset", "--motions-only", "--clips", 3)
    outcome = tdmm(*command, "--json", "--workers", 1)
    assert outcome.code == 0, outcome.stderr
    (shard,) = outcome.json["shards"]
    with tarfile.open(shard) as archive:
        assert sorted(archive.getnames())[:3] == [f"s0-0000000.{ending}" for ending in ("json", "npz", "txt")]
    before = Path(shard).stat().st_mtime_ns
    assert tdmm(*command, "--workers", 1).code == 0
    assert Path(shard).stat().st_mtime_ns == before


# -- what is said before anything is made ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--clips", "2"], 2, "-o DIR"),
        (["-o", "new"], 2, "--clips N or --hours H"),
        (["-o", "new", "--clips", "0"], 2, "positive number"),
        (["-o", "new", "--clips", "-3"], 2, "positive number"),
        (["-o", "new", "--hours", "0"], 2, "positive number"),
        (["-o", "new", "--hours", "nan"], 2, "positive number"),
        (["-o", "new", "--clips", "many"], 2, "valid integer"),
        (["-o", "new", "--clips", "2", "--hours", "1"], 2, "exclude each other"),
        (["-o", "a-file", "--clips", "2"], 2, "is a file"),
        (["-o", "-", "--clips", "2"], 2, "a corpus is a folder"),
        (["-o", "a-file/below", "--clips", "2"], 1, "a-file"),
        (["-o", "new", "--clips", "2", "--emotion", "joyy"], 1, "did you mean joy"),
        (["-o", "new", "--clips", "2", "--action", "smile,grinn"], 1, "did you mean grin"),
        (["-o", "new", "--clips", "2", "--intensity", "huge"], 1, "huge"),
        (["nowhere.txt", "-o", "new"], 1, "nowhere.txt: No such file"),
        ([".", "-o", "new"], 1, "directory"),
        (["empty.txt", "-o", "new"], 1, "empty.txt: holds no prompt"),
        (
            ["wrong.txt", "-o", "new"],
            1,
            "wrong.txt, line 2: 'smile > nodd': there is no behaviour 'nodd'; did you mean",
        ),
        (["free.txt", "-o", "new"], 1, "'she juggles', is free text"),
        (["bytes.txt", "-o", "new"], 1, "bytes.txt: is no text"),
        (["free.txt", "-o", "new", "--emotion", "joy"], 2, "--emotion"),
        (["-o", "new", "--clips", "2", "--seeds", "0"], 2, "--seeds"),
        (["-o", "new", "--clips", "2", "--seed", "-1"], 2, "--seed"),
        (["-o", "new", "--clips", "2", "--vary", "all"], 2, "--seeds K"),
        (["-o", "new", "--clips", "2", "--seeds", "2", "--vary", "hair"], 2, "appearance"),
        (["-o", "new", "--clips", "2", "--size", "97"], 2, "even numbers"),
        (["-o", "new", "--clips", "2", "--size", "0x64"], 2, "320x240"),
        (["-o", "new", "--clips", "2", "--layout", "zip"], 2, "webdataset"),
        (["-o", "new", "--clips", "2", "--workers", "none"], 2, "--workers"),
        (["-o", "new", "--clips", "2", "--ray-address", "x:1"], 2, "--engine ray"),
        (["-o", "new", "--clips", "2", "--field", "text=caption"], 2, "--from"),
        (["-o", "new", "--clips", "2", "-g", "oracle"], 1, "diffusers:MODEL"),
        (["-o", "new", "--clips", "2", "-g", "diffusers:no-pipeline"], 1, "no-pipeline is no pipeline"),
        (["-o", "new", "--clips", "2", "-g", "diffusers:a-file"], 1, "found a file"),
        (["-o", "new", "--clips", "2", "-g", "command:no-such-t2v {prompt} {output}"], 1, "there is no such program"),
        (["-o", "new", "--clips", "2", "-g", "command:sh {prompt}"], 1, "{output}"),
        (["-o", "new", "--clips", "2", "--option", "steps=3"], 2, "there is none"),
        (["-o", "new", "--clips", "2", "--option", "steps", "-g", "diffusers:x"], 2, "NAME=VALUE"),
        (["-o", "new", "--clips", "2", "--option", "fps=soon", "-g", "diffusers:x"], 2, "expected a number"),
        (["-o", "new", "--clips", "2", "--option", "steps=3", "-g", "command:sh {prompt} {output}"], 2, "timeout"),
        (["-o", "new", "--clips", "2", "--motions-only", "--layout", "videofolder"], 1, "--motions-only"),
        (["-o", "new", "--clips", "2", "--motions-only", "-g", "command:sh {prompt} {output}"], 1, "without videos"),
        (["--from", "nowhere", "-o", "new"], 1, "there is no such folder"),
        (["--from", "no-pipeline", "-o", "new"], 1, "has no videos"),
        (["--from", "no-pipeline"], 2, "-o DIR"),
        (["--from", "no-pipeline", "-o", "./no-pipeline/"], 2, "both where"),
        (["--from", "no-pipeline", "-o", "a-file"], 2, "is a file"),
        (["--from", "no-pipeline", "-o", "new", "--clips", "3"], 2, "leave --clips out"),
        (["--from", "no-pipeline", "-o", "new", "--dry-run"], 2, "leave --dry-run out"),
        (["--from", "no-pipeline", "-o", "new", "--layout", "webdataset"], 2, "videofolder"),
        (["--from", "no-pipeline", "-o", "new", "--field", "colour=red"], 1, "colour"),
    ],
)
def test_what_cannot_be_is_told_in_one_line_and_makes_nothing(tdmm, tmp_path, monkeypatch, arguments, code, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "no-pipeline").mkdir()
    (tmp_path / "a-file").write_text("no folder")
    (tmp_path / "empty.txt").write_text("# nothing\n")
    (tmp_path / "wrong.txt").write_text("smile\nsmile > nodd\n")
    (tmp_path / "free.txt").write_text("smile\nshe juggles\n")
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\x00smile")
    before = tree(tmp_path)
    outcome = tdmm("generate-corpus", *arguments)
    assert outcome.code == code, outcome.stderr
    assert said in outcome.error_line
    assert outcome.stdout == b""
    assert tree(tmp_path) == before
    assert not (tmp_path / "new").exists()


def test_a_folder_without_rights_is_told_before_the_work(tdmm, tmp_path, monkeypatch):
    """root may write everywhere, so the answer of the system is given here."""
    from tdmm.cli import paths

    monkeypatch.setattr(paths.os, "access", lambda *_: False)
    outcome = tdmm("generate-corpus", "-o", tmp_path / "below" / "corpus", "--clips", 2)
    assert outcome.code == 1
    assert "not writable" in outcome.error_line
    assert os.listdir(tmp_path) == []


def test_all_that_can_be_asked_for_is_listed(tdmm):
    plain = tdmm("generate-corpus", "--list").text.splitlines()
    told = lines(tdmm("generate-corpus", "--list", "--json").text)
    assert [one["id"] for one in told] == list(behaviours())
    assert len(plain) == len(told)
    nod, wink = (next(line for line in plain if f" {name}" in line) for name in ("nod", "wink"))
    assert "nod[*N]" in nod
    assert "wink.left|.right" in wink
    assert next(one for one in told if one["id"] == "wink")["sided"] is True
    assert "161" in tdmm("generate-corpus", "--help").text
    assert len(told) == 161


def test_a_dry_run_shows_the_clips_that_a_real_one_makes(tdmm, corpus, tmp_path):
    (tmp_path / "prompts.txt").write_text("blink\nnod | yes\n")
    outcome = tdmm("generate-corpus", tmp_path / "prompts.txt", "--dry-run", "-o", tmp_path / "new")
    assert outcome.code == 0, outcome.stderr
    shown = lines(outcome.text)
    assert not (tmp_path / "new").exists()
    for line, real in zip(shown, lines_of(corpus), strict=True):
        assert line == {name: real[name] for name in line}
        assert {"id", "text", "program", "events", "captions", "questions", "prompt", "duration"} <= set(line)
    suite = lines(tdmm("generate-corpus", "--dry-run").text)
    assert len(suite) == 10
    smiles = lines(tdmm("generate-corpus", "--dry-run", "--clips", 40, "--action", "smile", "--head", "nod").text)
    seen = [event for line in smiles for event in line["events"] if not event["absent"]]
    for kind, name in (("action", "smile"), ("head", "nod")):
        assert {event["id"] for event in seen if event["kind"] == kind} == {name}


def test_a_dry_run_shows_what_a_video_generator_is_asked_for(tdmm):
    given = b"she juggles three oranges\nnod\n"
    asked = lines(tdmm("generate-corpus", "-", "--dry-run", "-g", "command:my-t2v {prompt} {output}", stdin=given).text)
    assert "three oranges" in asked[0]["prompt"]
    assert "program" not in asked[0]
    assert asked[1]["program"] == "nod"
    assert "events" not in asked[1]


# -- programs that make videos -------------------------------------------------------------------------


@pytest.fixture
def made_up(sample):
    """A --generator that runs the made-up program; it fails where the prompt tells it to."""
    program = " ".join(shlex.quote(str(part)) for part in (sys.executable, MADE_UP, "--sample", sample))
    return f"command:{program} --out {{output}} --prompt={{prompt}}"


def test_a_program_makes_the_videos(tdmm, tmp_path, made_up, sample):
    given = b"she juggles three oranges\nnod*2\n"
    command = ("generate-corpus", "-", "-o", tmp_path / "c", "-g", made_up, "--option", "licence=CC-BY-4.0", "--json")
    outcome = tdmm(*command, stdin=given)
    assert outcome.code == 0, outcome.stderr
    first, second = lines_of(tmp_path / "c")
    for line in (first, second):
        assert (tmp_path / "c" / line["video"]).read_bytes() == sample.read_bytes()
        assert line["generator"]["name"] == "command"
        assert (line["fps"], line["duration"], line["licence"]) == (10, pytest.approx(0.7), "CC-BY-4.0")
        assert "motion" not in line
    assert first["text"] == "she juggles three oranges"
    assert "three oranges" in first["prompt"]
    assert second["program"] == "nod*2"
    assert second["asked"][0]["count"] == 2
    assert tdmm(*command, stdin=given).json["made"] == 0


def test_a_prompt_that_fails_is_listed_and_the_others_are_made(tdmm, tmp_path, sample):
    script = tmp_path / "picky.sh"
    script.write_text(
        '#!/bin/sh\ncase "$1" in *oranges*) echo "no oranges here" >&2; exit 3;; esac\n'
        f'cp {shlex.quote(str(sample))} "$2"\n'
    )
    script.chmod(0o755)
    given = b"she smiles\nshe juggles three oranges\nhe waits\n"
    command = ("generate-corpus", "-", "-o", tmp_path / "c", "-g", f"command:{script} {{prompt}} {{output}}", "--json")
    outcome = tdmm(*command, stdin=given)
    assert outcome.code == 1
    first, *_, last = outcome.stderr.splitlines()
    assert first == "error: s0-0000001: picky.sh failed (exit status 3): no oranges here"
    assert last == f"error: 1 clips failed (also in {tmp_path / 'c' / 'failed.jsonl'})"
    told = outcome.json
    assert told["made"] == 2
    assert told["failed"] == lines((tmp_path / "c/failed.jsonl").read_text())
    assert told["failed"][0]["id"] == "s0-0000001"
    assert [line["text"] for line in lines_of(tmp_path / "c")] == ["she smiles", "he waits"]
    script.write_text(f'#!/bin/sh\ncp {shlex.quote(str(sample))} "$2"\n')
    again = tdmm(*command, stdin=given)
    assert (again.code, again.json["made"], again.json["there_before"]) == (0, 1, 2)
    assert not (tmp_path / "c/failed.jsonl").exists()


def test_a_program_that_is_not_there_binds_no_seed(tdmm, tmp_path, made_up):
    missing = tdmm("generate-corpus", "-", "-o", tmp_path, "-g", "command:no-such {prompt} {output}", stdin=b"nod")
    assert "no such program" in missing.error_line
    assert tdmm("generate-corpus", "-", "-o", tmp_path, "-g", made_up, stdin=b"nod").code == 0


# -- existing videos -----------------------------------------------------------------------------------

SAID = {"a": "smiles", "b": "nods twice"}


def as_video_folder(folder: Path) -> None:
    text = "".join(json.dumps({"file_name": f"{name}.mp4", "text": text}) + "\n" for name, text in SAID.items())
    (folder / "metadata.jsonl").write_text(text)


def as_csv(folder: Path) -> None:
    (folder / "list.csv").write_text("\n".join(["path,what", *(f"{name}.mp4,{text}" for name, text in SAID.items())]))


def as_texts(folder: Path) -> None:
    for name, text in SAID.items():
        (folder / f"{name}.txt").write_text(text)


def as_shard(folder: Path) -> None:
    as_texts(folder)
    with tarfile.open(folder / "0.tar", "w") as archive:
        for path in sorted(path for path in folder.iterdir() if path.suffix != ".tar"):
            archive.add(path, path.name)
            path.unlink()


@pytest.mark.parametrize(
    ("write", "options"),
    [(as_video_folder, ()), (as_csv, ("--field", "text=what")), (as_texts, ()), (as_shard, ())],
)
@pytest.mark.parametrize("layout", ["folder", "videofolder"])
def test_videos_that_exist_are_brought_in(tdmm, tmp_path, sample, write, options, layout):
    released = tmp_path / "released"
    released.mkdir()
    for name in SAID:
        shutil.copy(sample, released / f"{name}.mp4")
    write(released)
    command = ("generate-corpus", "--from", released, "-o", tmp_path / "c", "--layout", layout, *options, "--json")
    outcome = tdmm(*command)
    assert outcome.code == 0, outcome.stderr
    assert (outcome.json["made"], outcome.json["failed"]) == (2, [])
    name, field = ("manifest.jsonl", "video") if layout == "folder" else ("metadata.jsonl", "file_name")
    found = lines((tmp_path / "c" / name).read_text())
    assert {line["id"]: line["text"] for line in found} == SAID
    assert all((tmp_path / "c" / line[field]).read_bytes() == sample.read_bytes() for line in found)
    again = tdmm(*command)
    assert (again.code, again.json["made"], again.json["there_before"]) == (0, 0, 2)
    told = tdmm("info", tmp_path / "c", "--json").json
    assert (told["clips"], told["with_video"], told["with_motion"]) == (2, 2, 0)


def test_a_video_that_cannot_be_read_is_told_and_the_others_are_brought_in(tdmm, tmp_path, sample):
    (tmp_path / "released").mkdir()
    shutil.copy(sample, tmp_path / "released/a.mp4")
    (tmp_path / "released/b.mp4").write_text("no video")
    as_texts(tmp_path / "released")
    outcome = tdmm("generate-corpus", "--from", tmp_path / "released", "-o", tmp_path / "c", "--json")
    assert outcome.code == 1
    assert outcome.json["made"] == 1
    assert outcome.json["failed"] == lines((tmp_path / "c/failed.jsonl").read_text())
    assert outcome.stderr.splitlines()[-1].startswith("error: 1 videos failed")


# -- what other commands make of it --------------------------------------------------------------------


def test_info_of_a_corpus(tdmm, corpus, tmp_path):
    table = tdmm("info", corpus)
    assert table.code == 0, table.stderr
    assert "kind            corpus" in table.text
    assert "clips           2" in table.text
    facts = tdmm("info", corpus, "--json").json
    assert (facts["kind"], facts["clips"], facts["with_video"], facts["with_motion"]) == ("corpus", 2, 2, 2)
    outcome = tdmm("info", corpus, "--report", tmp_path / "report.html", "--json")
    assert (outcome.code, outcome.json["clips"]) == (0, 2)
    assert "<html" in (tmp_path / "report.html").read_text()
    assert "already there" in tdmm("info", corpus, "--report", tmp_path / "report.html").error_line
    (corpus / "manifest.jsonl").write_text("")
    assert "manifest.jsonl: lists no clips" in tdmm("info", corpus).error_line


def test_a_report_of_motions_shows_pictures_of_them(tdmm, motions, tmp_path):
    assert tdmm("info", motions, "--report", tmp_path / "report.html").code == 0
    assert "data:image/" in (tmp_path / "report.html").read_text()


def test_motions_without_videos_are_not_fitted(tdmm, motions):
    outcome = tdmm("fit", motions)
    assert outcome.code == 1
    assert "there is nothing to fit" in outcome.error_line


def test_motions_that_are_known_are_not_fitted(tdmm, corpus, monkeypatch):
    from tdmm.cli import fit_work

    monkeypatch.setattr(fit_work.FitWork, "load", lambda *_: (_ for _ in ()).throw(AssertionError("work was begun")))
    before = tree(corpus)
    outcome = tdmm("fit", corpus, "--workers", 1)
    assert (outcome.code, outcome.stderr) == (0, "2 of 2 motions are already there (--force makes them again)\n")
    forced = tdmm("fit", corpus, "--workers", 1, "--force")
    assert forced.code == 0
    assert "2 clips have true motions, which are kept" in forced.stderr
    assert tree(corpus) == before


def test_a_motion_of_a_shard_is_named_by_its_number(tdmm, motions, tmp_path):
    part = f"{motions / lines_of(motions)[3]['motion']}"
    assert part.endswith("s0-0000000-0000004.safetensors#3")
    facts = tdmm("info", part, "--json").json
    motion = read_motion(part)
    assert (facts["kind"], facts["frames"]) == ("motion", len(motion))
    shard = tdmm("info", part.removesuffix("#3"), "--json").json
    assert (shard["kind"], shard["motions"]) == ("shard of motions", 5)
    assert tdmm("info", shard["first"]).code == 0
    outcome = tdmm("render", part, "-o", tmp_path / "out.mp4", "--size", 32, "--fps", 5)
    assert outcome.code == 0, outcome.stderr
    for name, said in (("#5", "below 5"), ("#x", "no such file")):
        assert said in tdmm("info", part.removesuffix("#3") + name).error_line
    assert "nowhere.safetensors" in tdmm("render", "nowhere.safetensors#0", "-o", tmp_path / "o.mp4").error_line


def test_a_motion_of_the_corpus_is_that_of_its_video(tdmm, corpus):
    for line in lines_of(corpus):
        facts = tdmm("info", corpus / line["motion"], "--json").json
        assert facts["image_size"] == [64, 64]
        assert facts["text"] == line["text"]
        assert facts["face_model_matches"] is True


def test_a_motion_on_a_shard_of_weights_is_told(tdmm, tmp_path, motion):
    from safetensors.numpy import save_file

    save_file({"weight": np.zeros(3)}, tmp_path / "model.safetensors")
    assert "schema" in tdmm("info", tmp_path / "model.safetensors").error_line
    write_motion(motion, tmp_path / "motion.npz")
    assert tdmm("info", tmp_path / "motion.npz").code == 0


# -- Ctrl-C, full disks, several workers ---------------------------------------------------------------


@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_leaves_a_whole_corpus_that_a_later_run_completes(start, tmp_path, tdmm, monkeypatch, workers):
    (tmp_path / "prompts.txt").write_text("blink\nnod\n")
    command = ["generate-corpus", "prompts.txt", "-o", "corpus", "--size", "64", "--workers", workers]
    process = start([sys.executable, "-m", "tdmm", *command, "--clips", "4000"], cwd=tmp_path, stderr=subprocess.PIPE)
    manifest = tmp_path / "corpus" / "manifest.jsonl"
    deadline = time.monotonic() + 120
    while not (manifest.exists() and manifest.stat().st_size > 3000):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert told.splitlines()[-1] == b"error: interrupted"
    assert b"Traceback" not in told
    left = lines_of(tmp_path / "corpus")
    assert 0 < len(left) < 4000
    for line in left:
        assert len(read_motion(tmp_path / "corpus" / line["motion"])) > 2
    hidden = [path for path in (tmp_path / "corpus").rglob(".*") if path.is_file()]
    assert hidden == []
    monkeypatch.chdir(tmp_path)
    rest = tdmm(*command, "--workers", 1, "--clips", len(left) + 2, "--json")
    assert (rest.code, rest.json["made"], rest.json["there_before"]) == (0, 2, len(left)), rest.stderr
    assert len({line["id"] for line in lines_of(tmp_path / "corpus")}) == len(left) + 2


def test_a_fault_in_one_clip_is_told_and_with_debug_where_it_is(tdmm, tmp_path, monkeypatch):
    from tdmm.corpus import build

    def fail(*_: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(build, "perform_clip", fail)
    outcome = tdmm("generate-corpus", "-o", tmp_path, "--clips", 2, "--motions-only", "--workers", 1)
    assert outcome.code == 1
    assert outcome.stderr.count("ZeroDivisionError: division by zero (a fault in tdmm") == 2
    debugged = tdmm("generate-corpus", "-o", tmp_path, "--clips", 2, "--motions-only", "--workers", 1, "--debug")
    assert debugged.code == 1
    assert "in fail" in debugged.stderr


def test_one_bar_for_all_on_a_terminal(tdmm, tmp_path, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    command = ("generate-corpus", "--clips", 3, "--motions-only", "--workers", 1, "--json", "-o")
    outcome = tdmm(*command, tmp_path / "a", terminal=("stderr",))
    assert outcome.code == 0, outcome.stderr
    assert "3/3" in outcome.stderr
    assert "\x1b" not in outcome.text
    assert "\x1b" not in tdmm(*command, tmp_path / "b").stderr
