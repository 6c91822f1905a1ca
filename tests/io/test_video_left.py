"""Readers that nobody closes: forgotten, or left half way when the program ends."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from tdmm.io.video import open_video, write_video

LEFT_HALF_WAY = """
import sys
from tdmm.io.video import open_video

def frames_of(video):
    with video:
        yield from video

sources = [sys.argv[1], open(sys.argv[1], "rb", buffering=0), sys.stdin.buffer]
videos = [open_video(source) for source in sources]
alone = open_video(sys.argv[1])
next(alone)
frames = [frames_of(video) for video in videos]
for each in frames:
    next(each), next(each)
"""


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory) -> Path:
    """Many more frames than a reader decodes ahead."""
    random = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("left") / "long.mp4"
    write_video((random.integers(0, 255, (240, 320, 3), np.uint8) for _ in range(60)), path, 25, preset="ultrafast")
    return path


@pytest.mark.parametrize(
    "ending",
    ["", "sys.exit(0)", "alone.itself = alone; frames.append(frames); del alone, videos, frames", "globals().clear()"],
    ids=["still there", "exit", "in a circle", "let go"],
)
def test_a_program_that_leaves_readers_half_way_ends_quietly(start, long_clip, ending):
    command = [sys.executable, "-c", LEFT_HALF_WAY + ending, str(long_clip)]
    programs = []
    for _ in range(3):
        with long_clip.open("rb") as stdin:
            programs.append(start(command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE))
    for program in programs:
        _, told = program.communicate(timeout=60)
        assert (program.returncode, told) == (0, b"")


def test_a_forgotten_reader_ends_its_process_and_threads(long_clip):
    before = threading.active_count()
    video = open_video(long_clip)
    next(video)
    assert threading.active_count() > before
    del video
    gc.collect()
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before
