"""How long `tdmm --help` takes, and the first frame of `tdmm render` in a fresh process."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.table import Row

HELP_REPEATS = 15
RENDER_REPEATS = 5


def seconds(command: list[str]) -> float:
    """Wall-clock seconds from the start of a process to its end."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def program() -> list[str]:
    """The installed program, as people start it."""
    installed = Path(sys.executable).parent / "tdmm"
    return [str(installed)] if installed.exists() else [sys.executable, "-m", "tdmm"]


def write_motion_file(path: Path) -> None:
    """One frame of the built-in head at rest."""
    import numpy as np

    from tdmm.face import load_face_model
    from tdmm.io.motion_file import write_motion
    from tdmm.motion import make_motion

    model = load_face_model()
    weights = np.zeros((1, len(model.expression_names)), np.float32)
    motion = make_motion(weights, model.expression_names, face_model=model.name, face_model_sha256=model.sha256)
    write_motion(motion, path)


def run() -> list[Row]:
    """Medians; each command is run once before it is measured, so that files are cached and code is compiled."""
    bare = [sys.executable, "-c", "pass"]
    with tempfile.TemporaryDirectory() as folder:
        motion = Path(folder) / "motion.npz"
        write_motion_file(motion)
        render = [*program(), "render", str(motion), "-o", str(Path(folder) / "still.png"), "--force", "--quiet"]
        times = {}
        for name, command, repeats in (
            ("bare", bare, HELP_REPEATS),
            ("help", [*program(), "--help"], HELP_REPEATS),
            ("render", render, RENDER_REPEATS),
        ):
            seconds(command)
            times[name] = statistics.median(seconds(command) for _ in range(repeats))
    return [
        Row(
            "tdmm --help",
            times["help"],
            "s",
            must=0.4,
            aim=0.2,
            higher_is_better=False,
            note=f"an interpreter that does nothing: {times['bare']:.3f} s",
        ),
        Row(
            "first frame of tdmm render, fresh process",
            times["render"],
            "s",
            must=3.0,
            aim=1.5,
            higher_is_better=False,
            note="512 x 512 png, compiled code cached, to the end of the process",
        ),
    ]
