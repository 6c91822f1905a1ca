"""Compiled code is cached where there is a place for it, and runs where there is none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

MODULE = """
from tdmm.render.compiled import compiled

@compiled()
def add(a, b):
    return a + b

assert add(1, 2) == 3
print(add.stats.cache_path if add.stats.cache_path else "no cache")
"""


def start(folder: Path, home: Path) -> subprocess.Popen[str]:
    """Run MODULE from `folder` with another home; numba must not be told where to cache."""
    environment = {k: v for k, v in os.environ.items() if k not in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")}
    environment |= {"HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache")}
    (folder / "module.py").write_text(MODULE)
    # By -c, because numba keeps no cache beside a script that is __main__ by another rule than for modules.
    return subprocess.Popen(
        [sys.executable, "-B", "-c", "import module"],
        cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def finish(process: subprocess.Popen[str]) -> str:
    output, complaints = process.communicate(timeout=120)
    assert process.returncode == 0, complaints
    return output.strip()


def test_cache_moves_to_the_home_folder_and_does_without(tmp_path: Path) -> None:
    package, home, no_home = tmp_path / "package", tmp_path / "home", tmp_path / "no_home"
    for folder in (package, home, no_home):
        folder.mkdir()
    # A file where a folder has to be made cannot be written into, not even by the superuser.
    (package / "__pycache__").write_text("")
    (no_home / ".cache").write_text("")
    with_home, without = start(package, home), start(package, no_home)
    assert finish(with_home).startswith(str(home))
    assert finish(without) == "no cache"


def test_two_processes_may_fill_the_cache_at_once(tmp_path: Path) -> None:
    processes = [start(tmp_path, tmp_path) for _ in range(2)]
    places = {finish(process) for process in processes}
    assert places == {str(tmp_path / "__pycache__")}
    assert list((tmp_path / "__pycache__").glob("*.nbi"))
