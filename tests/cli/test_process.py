"""The program as a process: exit codes, signals, closed and full pipes, terminals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tdmm.io.video import write_video

TDMM = [sys.executable, "-m", "tdmm"]


def run(*arguments: object, **options) -> subprocess.CompletedProcess[bytes]:
    options = {"stdout": subprocess.PIPE, "stdin": subprocess.DEVNULL, **options}
    return subprocess.run([*TDMM, *map(str, arguments)], stderr=subprocess.PIPE, check=False, timeout=120, **options)


def test_the_reader_of_our_output_goes_away(motion_file):
    """As in `tdmm render - | head -c 100`: quiet, and the status that other programs have."""
    receive, send = os.pipe()
    os.close(receive)
    with os.fdopen(send, "wb") as closed:
        done = run("render", motion_file, "--size", 64, stdout=closed)
    assert (done.returncode, done.stderr) == (141, b"")


def test_the_reader_of_a_text_goes_away():
    receive, send = os.pipe()
    os.close(receive)
    with os.fdopen(send, "wb") as closed:
        done = run("--help", stdout=closed)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_behind_standard_output(motion_file):
    with open("/dev/full", "wb") as full:
        done = run("render", motion_file, "--size", 64, stdout=full)
    assert done.returncode == 1
    assert done.stderr.count(b"\n") == 1
    assert b"No space left on device" in done.stderr


def test_ctrl_c_leaves_nothing_behind(tmp_path, motion_file, start):
    """Interrupted while it writes: exit code 130, no output, no ffmpeg that lives on."""
    process = start(
        [*TDMM, "render", str(motion_file), "--fps", "100000", "-o", str(tmp_path / "out.mp4")],
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 60
    while not any(name.startswith(".out.") for name in os.listdir(tmp_path)):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert (process.returncode, told.splitlines()[-1]) == (130, b"error: interrupted")
    assert os.listdir(tmp_path) == [motion_file.name]


def test_binary_is_refused_on_a_terminal(tdmm, motion_file):
    outcome = tdmm("render", motion_file, terminal=("stdout",))
    assert outcome.code == 2
    assert "terminal" in outcome.error_line
    assert outcome.stdout == b""
    outcome = tdmm("fit", "clip.mp4", terminal=("stdout",))
    assert (outcome.code, "terminal" in outcome.error_line) == (2, True)
    outcome = tdmm("render", "-", "-o", "out.mp4", terminal=("stdin",))
    assert (outcome.code, "terminal" in outcome.error_line) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "closed", "said"),
    [
        (["fit", "-", "-o", "out.npz"], 0, b"cannot read standard input"),
        (["info", "smile.npz"], 1, b"Bad file descriptor"),
        (["render", "smile.npz", "--size", "32"], 1, b"Bad file descriptor"),
    ],
)
def test_a_standard_stream_that_is_closed(tmp_path, motion_file, arguments, closed, said):
    """As in `tdmm fit - <&-`: not a fault, and no file of ours takes the stream's number."""
    done = run(*arguments, cwd=tmp_path, preexec_fn=lambda: os.close(closed))
    assert done.returncode == 1
    assert done.stderr.count(b"\n") == 1
    assert said in done.stderr
    assert os.listdir(tmp_path) == [motion_file.name]


def test_a_progress_bar_only_on_a_terminal(tdmm, tmp_path, motion_file, monkeypatch):
    """rich draws with escape sequences; a log file must have none."""
    monkeypatch.setenv("TERM", "xterm")
    command = ["render", motion_file, "--size", 64, "-o", tmp_path / "out.mp4", "--force"]
    assert "\x1b" not in tdmm(*command).stderr
    shown = tdmm(*command, terminal=("stderr",)).stderr
    assert "\x1b" in shown
    assert "drawing" in shown
    assert "\x1b" not in tdmm(*command, "--quiet", terminal=("stderr",)).stderr


def test_the_output_is_one_of_the_inputs(tdmm, tmp_path, motion_file, faceless_clip):
    import shutil

    shutil.copy(faceless_clip, tmp_path / "clip.mp4")
    outcome = tdmm("render", motion_file, "--over", tmp_path / "clip.mp4", "-o", tmp_path / "clip.mp4", "--force")
    assert outcome.code == 2
    assert "both an input and the output" in outcome.error_line


@pytest.mark.parametrize("place", ["absent/out.mp4", "file/out.mp4"])
def test_a_place_that_cannot_be_written(tdmm, tmp_path, motion_file, place):
    (tmp_path / "file").write_text("not a folder")
    outcome = tdmm("render", motion_file, "-o", tmp_path / place)
    assert outcome.code == 1
    assert "no folder" in outcome.error_line
    assert sorted(os.listdir(tmp_path)) == ["file", motion_file.name]


def test_a_folder_without_rights(tdmm, tmp_path, motion_file, monkeypatch):
    """root may write everywhere, so the answer of the system is given here."""
    from tdmm.cli import paths

    monkeypatch.setattr(paths.os, "access", lambda *_: False)
    outcome = tdmm("render", motion_file, "-o", tmp_path / "out.mp4")
    assert outcome.code == 1
    assert "not writable" in outcome.error_line


def test_nothing_is_replaced_without_force(tdmm, tmp_path, motion_file):
    (tmp_path / "out.png").write_bytes(b"mine")
    outcome = tdmm("render", motion_file, "-o", tmp_path / "out.png", "--size", 16)
    assert outcome.code == 1
    assert "--force" in outcome.error_line
    assert (tmp_path / "out.png").read_bytes() == b"mine"
    assert tdmm("render", motion_file, "-o", tmp_path / "out.png", "--size", 16, "--force").code == 0
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")


def test_debug_shows_where(tdmm):
    outcome = tdmm("info", "nowhere.npz", "--debug")
    assert outcome.code == 1
    assert "Traceback" in outcome.stderr
    assert outcome.stderr.splitlines()[-1].startswith("error: nowhere.npz")


def test_a_fault_in_the_program_is_one_line_too(tdmm, motion_file, monkeypatch):
    from tdmm.cli import info

    def fail(*_):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(info, "_facts", fail)
    outcome = tdmm("info", motion_file)
    assert outcome.code == 1
    assert "ZeroDivisionError" in outcome.error_line
    assert "--debug" in outcome.error_line


def test_a_video_error_while_drawing_leaves_nothing(tdmm, tmp_path, motion_file):
    """The video under the head is cut short: found only at its end."""
    rng = np.random.default_rng(0)
    write_video([rng.integers(0, 255, (64, 64, 3), dtype=np.uint8) for _ in range(30)], tmp_path / "clip.mp4", 25)
    (tmp_path / "clip.mp4").write_bytes((tmp_path / "clip.mp4").read_bytes()[:-20000])
    outcome = tdmm("render", motion_file, "--over", tmp_path / "clip.mp4", "-o", tmp_path / "out.mp4")
    assert outcome.code == 1
    assert "clip.mp4" in outcome.error_line
    assert sorted(os.listdir(tmp_path)) == ["clip.mp4", motion_file.name]
