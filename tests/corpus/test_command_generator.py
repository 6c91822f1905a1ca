"""Videos of a program: the made-up one beside this file."""

from __future__ import annotations

import json
import os
import pickle
import shlex
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tdmm.corpus.generators.command import CommandGenerator, CommandOptions
from tdmm.errors import CorpusError, OutputError
from tdmm.io.video_writer import write_video

PROGRAM = f"{shlex.quote(sys.executable)} {shlex.quote(str(Path(__file__).with_name('made_up_t2v.py')))}"
NASTY = 'she\'s "happy"; rm -rf $HOME `ls` | {seed} {nothing} \\ é\n--how fails'


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """A video of 7 frames of 32 x 24 pixels at 10 a second."""
    path = tmp_path_factory.mktemp("sample") / "sample.mp4"
    write_video(np.random.default_rng(0).integers(0, 255, (7, 24, 32, 3), np.uint8), path, 10)
    return path


@pytest.fixture
def command(sample, tmp_path):
    """A template; more arguments can follow."""
    notes = shlex.quote(str(tmp_path / "notes"))
    return f"{PROGRAM} --sample {shlex.quote(str(sample))} --notes {notes} --prompt={{prompt}} --out {{output}}"


@pytest.fixture
def out(tmp_path):
    """A folder for the videos."""
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def told(tmp_path: Path) -> list[str]:
    return json.loads((tmp_path / "notes").read_text())


def test_the_video_lies_at_its_place_and_is_described(command, out, sample):
    generator = CommandGenerator(command)
    generator.load()
    assert generator.make("she smiles", 3, out / "clip.mp4") == {"fps": 10, "frames": 7, "width": 32, "height": 24}
    assert (out / "clip.mp4").read_bytes() == sample.read_bytes()
    assert os.listdir(out) == ["clip.mp4"]


@pytest.mark.parametrize("prompt", [NASTY, "", "--how=fails", "$(touch x)", "{output}"])
def test_a_prompt_is_one_argument_whatever_it_holds(prompt, command, out, tmp_path):
    CommandGenerator(command).make(prompt, 3, out / "clip.mp4")
    assert f"--prompt={prompt}" in told(tmp_path)


def test_all_fields_are_filled_in(command, out, tmp_path):
    options = CommandOptions(size=(480, 832), frames=81, fps=12.5, negative="two, heads")
    rest = "{seed} '{width}x{height}' {frames}@{fps} {id} {negative} {{braces}}"
    CommandGenerator(f"{command} -- {rest}", options).make("p", 2**63 - 1, out / "clip.mp4", id="clip7")
    rest = told(tmp_path)[-6:]
    assert rest == [str(2**63 - 1), "832x480", "81@12.5", "clip7", "two, heads", "{braces}"]


def test_facts_hold_the_template_and_what_was_said_of_the_video(command):
    facts = CommandGenerator(f"{command} --fps {{fps}}", CommandOptions(licence="CC-BY-4.0")).facts()
    assert facts["model"] == Path(sys.executable).name
    assert facts["settings"] == {"command": f"{command} --fps {{fps}}", "fps": "25"}
    assert (facts["family"], facts["licence"], facts["warning"]) == ("", "CC-BY-4.0", "")


def test_it_travels_to_other_processes(command, out):
    pickle.loads(pickle.dumps(CommandGenerator(command))).make("p", 1, out / "clip.mp4")
    assert (out / "clip.mp4").exists()


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("fails", r"^c7: .* failed \(exit status 3\): model weights not found$"),
        ("dies", r"failed \(ended by SIGKILL\)$"),
        ("nothing", r"wrote no video at \{output\}"),
        ("garbage", "wrote no readable video"),
    ],
)
def test_a_program_that_fails_is_told_and_leaves_the_old_video(how, words, command, out):
    (out / "c7.mp4").write_bytes(b"old")
    with pytest.raises(CorpusError, match=words) as caught:
        CommandGenerator(f"{command} --how {how}").make("p", 1, out / "c7.mp4")
    assert "\n" not in str(caught.value)
    assert str(out) not in str(caught.value)  # the temporary file is nobody's business
    assert os.listdir(out) == ["c7.mp4"]
    assert (out / "c7.mp4").read_bytes() == b"old"


def test_a_single_picture_is_no_video(command, out, sample, tmp_path):
    picture = tmp_path / "still.png"
    Image.new("RGB", (16, 16)).save(picture)
    template = command.replace(str(sample), str(picture))
    with pytest.raises(CorpusError, match="a single picture"):
        CommandGenerator(f"{template} --how picture").make("p", 1, out / "clip.mp4")


def test_a_missing_folder_is_told_before_the_work(command, tmp_path):
    with pytest.raises(OutputError, match="there is no folder"):
        CommandGenerator(command).make("p", 1, tmp_path / "none" / "clip.mp4")
    assert not (tmp_path / "notes").exists()


def test_a_missing_program_is_told(out, tmp_path):
    generator = CommandGenerator("no-such-t2v {prompt} {output}")
    with pytest.raises(CorpusError, match="no-such-t2v: there is no such program"):
        generator.load()
    with pytest.raises(CorpusError, match="clip: no-such-t2v cannot be run: No such file"):
        generator.make("p", 1, out / "clip.mp4")
    (tmp_path / "t2v").write_text("#!/bin/sh\n")
    with pytest.raises(CorpusError, match="t2v: is not executable"):
        CommandGenerator(f"{shlex.quote(str(tmp_path / 't2v'))} {{prompt}} {{output}}").load()


def test_a_nul_in_the_prompt_is_told(command, out):
    with pytest.raises(CorpusError, match="cannot be run: embedded null byte"):
        CommandGenerator(command).make("a\0b", 1, out / "clip.mp4")


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("", "expected a program"),
        ("   ", "expected a program"),
        ("t2v --out {output}", r"has no \{prompt\}$"),
        ("t2v {seed}", r"has no \{prompt\} and no \{output\}"),
        ("t2v {prompt} {output} {size}", r"unknown field \{size\}.*known: \{prompt\}, \{seed\}, .*\{negative\}"),
        ("t2v {prompt.__class__} {output}", "unknown field"),
        ("t2v {prompt} {output} {}", r"unknown field \{\}"),
        ("t2v {prompt} {output} {seed:05d}", "no format can follow"),
        ("t2v {prompt!r} {output}", "no format can follow"),
        ("t2v {prompt} {output} {", r"write \{\{ and \}\}"),
        ("t2v {prompt} {output} }", r"write \{\{ and \}\}"),
        ("t2v {prompt} '{output}", "No closing quotation"),
        ("{prompt} {output}", "own name cannot be filled in"),
    ],
)
def test_a_template_that_cannot_be_used_is_refused(template, words):
    with pytest.raises(CorpusError, match=words):
        CommandGenerator(template)


@pytest.mark.parametrize("options", [{"frames": 0}, {"size": (0, 2)}, {"fps": float("nan")}, {"timeout": -1}])
def test_numbers_that_make_no_sense_are_refused(options):
    with pytest.raises(CorpusError, match="expected a positive number"):
        CommandOptions(**options)


# -- programs that have to be stopped ----------------------------------------------------------------------


def is_gone(pid: int) -> bool:
    """Dead, though perhaps nobody has asked for its exit status yet."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def await_pids(notes: Path) -> list[int]:
    """The program and its child, once both are there."""
    while not notes.exists():
        time.sleep(0.01)
    return [int(pid) for pid in notes.read_text().split()]


def assert_all_gone(pids: list[int]) -> None:
    """Killed processes take a moment; a test that waits for ever fails by the time limit of the run."""
    while not all(map(is_gone, pids)):
        time.sleep(0.01)


def test_ctrl_c_ends_the_program_and_all_that_it_started(command, out, tmp_path):
    pids: list[int] = []

    def interrupt() -> None:
        pids.extend(await_pids(tmp_path / "notes.pids"))
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt, daemon=True)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        CommandGenerator(f"{command} --how hangs").make("p", 1, out / "clip.mp4")
    thread.join()
    assert len(pids) == 2
    assert_all_gone(pids)
    assert os.listdir(out) == []


def test_a_program_that_takes_too_long_is_ended(command, out, tmp_path):
    generator = CommandGenerator(f"{command} --how hangs", CommandOptions(timeout=1.5))
    with pytest.raises(CorpusError, match=r"clip: .* took longer than 1\.5 seconds"):
        generator.make("p", 1, out / "clip.mp4")
    if (tmp_path / "notes.pids").exists():  # unless it had not even begun
        assert_all_gone(await_pids(tmp_path / "notes.pids"))
    assert os.listdir(out) == []
