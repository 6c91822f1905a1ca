"""What the README and examples/ show is what works: it is run."""

from __future__ import annotations

import glob
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from skimage import data

import tdmm
from tdmm.cli.app import app
from tdmm.cli.app import run as program_run
from tdmm.face import load_face_model
from tdmm.io.motion_file import read_motion, write_motion
from tdmm.io.tokens_file import read_tokens
from tdmm.io.video import open_video, write_video
from tdmm.motion import make_motion

ROOT = Path(tdmm.__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.sh"))


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    """Three frames of a photographed face (Eileen Collins, NASA, public domain)."""
    picture = np.asarray(Image.fromarray(data.astronaut()[:300, 80:380]).resize((192, 192)))
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    write_video([np.roll(picture, shift, axis=1) for shift in range(3)], path, 25)
    return path


def run(*command: object, folder: Path) -> str:
    """Run with this environment's tdmm first on the path; what it printed."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, cwd=folder, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def frame_count(path: Path) -> int:
    with open_video(path) as video:
        return sum(1 for _ in video)


def prepared(name: str, clip: Path, folder: Path) -> list[object]:
    """What an example is given, after what it needs has been put into the folder in which it runs."""
    if name == "many":
        (folder / "clips").mkdir()
        for one in ("one.mp4", "two.mp4"):
            shutil.copy(clip, folder / "clips" / one)
        return ["clips", "out"]
    if name == "styles":
        model = load_face_model()
        weights = np.zeros((2, len(model.expression_names)), np.float32)
        motion = make_motion(weights, model.expression_names, face_model=model.name, face_model_sha256=model.sha256)
        write_motion(motion, folder / "motion.npz")
        return ["motion.npz", "."]
    own: dict[str, list[object]] = {"animate": ["out"], "generate_corpus": ["out", 2], "corpus": [clip.parent, "out"]}
    return own.get(name, [clip, "out"])


@pytest.fixture(scope="module")
def ran(request, clip, tmp_path_factory) -> Iterator[Callable[[str], tuple[str, Path]]]:
    """What an example printed, and the folder that it wrote.

    Those of this run are run two at a time: each is a chain of processes, most of whose time is one core's.
    """
    asked = {item.name.removeprefix("test_example_") for item in request.session.items if item.path == request.path}

    def work(name: str) -> tuple[str, Path]:
        folder = tmp_path_factory.mktemp(name)
        arguments = prepared(name, clip, folder)
        return run(ROOT / "examples" / f"{name}.sh", *arguments, folder=folder), folder / "out"

    with ThreadPoolExecutor(2) as pool:
        works = {path.stem: pool.submit(work, path.stem) for path in EXAMPLES if path.stem in asked}
        yield lambda name: works[name].result()
        pool.shutdown(cancel_futures=True)


def test_every_example_is_run_here():
    tested = {f"{name.removeprefix('test_example_')}.sh" for name in globals() if name.startswith("test_example_")}
    assert {path.name for path in EXAMPLES} == tested


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_stop_at_the_first_error(path):
    assert "set -euo pipefail" in path.read_text()
    assert os.access(path, os.X_OK)


def test_example_animate(ran):
    _, out = ran("animate")
    assert frame_count(out / "nod.mp4") >= 25
    assert frame_count(out / "four.gif") == 50
    first, both = read_motion(out / "first.npz"), read_motion(out / "both.npz")
    assert (len(first), len(both), both.text) == (50, 100, "raises both eyebrows, then shakes the head")
    assert both[:50].expression.tolist() == first.expression.tolist()
    names = ["0001-yawns.npz", "0002-looks-up-and-to-the-left.npz", "0003-laughs-out-loud.npz"]
    assert sorted(os.listdir(out / "motions")) == names


def test_example_corpus(ran, clip):
    told, out = ran("corpus")
    (line,) = map(json.loads, told.splitlines())
    assert line == {"id": "clip", "video": "videos/clip.mp4", "motion": "motions/clip.npz"}
    assert len(read_motion(out / "motions" / "clip.npz")) == 3
    assert run(ROOT / "examples" / "corpus.sh", clip.parent, out, folder=out.parent) == told


def test_example_describe(ran):
    told, out = ran("describe")
    lines = told.splitlines()
    assert len(lines) == 5
    assert all(lines)
    assert lines[3] in ("Yes.", "No.")
    (line,) = map(json.loads, (out / "captions.jsonl").read_text().splitlines())
    assert (line["id"], line["text"], line["detail"]) == ("clip", lines[0], "short")
    assert isinstance(line["events"], list)


def test_example_fit_and_overlay(ran):
    told, out = ran("fit_and_overlay")
    assert "tdmm-head-1" in told
    assert len(read_motion(out / "motion.npz")) == 3
    assert frame_count(out / "overlay.mp4") == 3


def test_example_generate_corpus(ran):
    told, out = ran("generate_corpus")
    assert "clips" in told
    lines = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    assert len(lines) == 8
    lines.sort(key=lambda line: line["id"], reverse=True)  # in the manifest they stand as they were finished
    assert [line["id"] for line in lines[2:4]] == ["s1-0000003", "s1-0000002"]
    assert lines[2]["text"] == lines[3]["text"] == "nope"
    assert frame_count(out / lines[0]["video"]) == len(read_motion(out / lines[0]["motion"]))
    assert "<html" in (out / "report.html").read_text()


def test_example_many(ran):
    _, out = ran("many")
    assert sorted(os.listdir(out / "motions")) == ["one.npz", "two.npz"]
    assert frame_count(out / "grid.mp4") == 3


def test_example_pipe(ran):
    _, out = ran("pipe")
    assert frame_count(out / "head.mp4") == 3


def test_example_styles(ran):
    _, out = ran("styles")
    stills = {name: (out.parent / f"{name}.png").read_bytes() for name in ("skin", "clay", "wire", "normals")}
    assert len(set(stills.values())) == 4


def test_example_tokens(ran):
    told, out = ran("tokens")
    (tokens,) = read_tokens(out / "tokens.jsonl")
    assert (tokens.id, tokens.frames, tokens.tokens_per_second) == ("clip", 3, 37.5)
    fitted, decoded = (read_motion(out / where / "clip.npz") for where in ("fitted", "decoded"))
    assert len(fitted) == len(decoded) == frame_count(out / "both.mp4") == 3
    assert np.abs(fitted.expression - decoded.expression).max() < 0.5
    assert re.search(r"tokens per second +37.5", told)
    assert "face mean" in told


# -- the README ----------------------------------------------------------------------------------------


def shown_commands(text: str) -> list[str]:
    """The lines that start with `tdmm` in the sh blocks of a page, in order."""
    blocks = re.findall(r"```sh\n(.*?)```", text, flags=re.S)
    return [line for block in blocks for line in block.splitlines() if line.startswith("tdmm ")]


def run_pipe(line: str, monkeypatch) -> None:
    """Run `tdmm ... | tdmm ...` in this process, each part fed with what the one before wrote."""
    passed = b""
    for part in line.split(" | "):
        program, *arguments = shlex.split(part)
        assert program == "tdmm", line
        output = io.BytesIO()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(passed)))
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(output, write_through=True))
        globbed = [name for word in arguments for name in (sorted(glob.glob(word)) or [word])]
        assert program_run(globbed) == 0, line
        passed = output.getvalue()


def test_what_the_readme_shows_works(clip, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(clip, "clip.mp4")
    os.mkdir("clips")
    shutil.copy(clip, "clips")
    commands = shown_commands((ROOT / "README.md").read_text())
    assert len(commands) >= 8
    for line in commands:
        run_pipe(line, monkeypatch)
    assert {"motion.npz", "overlay.mp4", "head.gif", "still.png", "motions", "grid.mp4"} <= set(os.listdir())
    assert read_motion("again.npz").timestamps[-1] == read_motion("motion.npz").timestamps[-1]
    assert frame_count(Path("coded.mp4")) == 3
    assert sum(1 for _ in read_tokens("corpus/tokens.jsonl")) == 8


def test_the_readme_does_not_promise_what_is_not_there():
    """Every command in its table either is in --help or is marked."""
    rows = re.findall(r"^\| `tdmm ([a-z-]+)`.*\| (.+?) \|$", (ROOT / "README.md").read_text(), flags=re.M)
    assert len(rows) == 7
    there = set(typer.main.get_command(app).commands)
    assert {name for name, state in rows if state == "works"} == there & {name for name, _ in rows}
    assert {state for _, state in rows} <= {"works", "*not there yet*"}


def test_links_in_the_pages_lead_somewhere():
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"
