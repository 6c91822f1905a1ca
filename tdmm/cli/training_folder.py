"""The folder that a training writes: what may be in it, whether a training goes on there, and what is told of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from tdmm.cli import paths
from tdmm.cli.console import Console
from tdmm.cli.usage import UsageError
from tdmm.errors import OutputError

CURVES = "curves.png"


def is_main() -> bool:
    """Under accelerate launch (torchrun), one process of several talks and looks after the folder."""
    return os.environ.get("RANK", "0") == "0"


def check_folder(output: str, own: Sequence[str], what: str, *, resume: bool, force: bool) -> None:
    """Raises `UsageError`, `OutputError` where a training must not write. own: patterns of the names that it writes,
    for --force takes nothing else with it; what: it makes, as in "a codec"."""
    if output == paths.STANDARD:
        raise UsageError(f"-o -: {what} is a folder, which standard output cannot be; name one")
    if resume and force:
        raise UsageError("--resume goes on and --force begins anew: choose one")
    place = Path(output)
    if place.is_file():
        raise UsageError(f"-o {output} is a file; {what} is a folder")
    there = {path.name for path in place.iterdir()} if place.is_dir() else set()
    if others := {name for name in there if not any(fnmatch(name, pattern) for pattern in own)}:
        noun = what.partition(" ")[2]
        raise UsageError(f"-o {output} holds {min(others)}, which is of no {noun}; name another folder")
    is_stopped = any(place.glob("checkpoint/*"))
    if is_stopped and not resume and not force:
        raise OutputError(
            f"{output} holds a training that was stopped: go on with --resume, or begin anew with --force"
        )
    if resume and there and not is_stopped:
        raise OutputError(
            f"{output} holds a training that is finished; begin anew with --force, or name another folder"
        )
    paths.check_place(output, force=force or resume)


@contextmanager
def told_when_stopped(output: str, console: Console) -> Iterator[None]:
    """Says after a Ctrl-C how a training goes on, where it left a checkpoint."""
    try:
        yield
    except KeyboardInterrupt:
        if any(Path(output).glob("checkpoint/*")):
            console.say(f"{output}: stopped; go on with --resume")
        raise


def draw_curves(write: Callable[[Any, Path], bool], history: Any, output: str, console: Console) -> None:
    """Draw how a training went, by what `write` makes of its history, where that can be drawn."""
    if is_main() and write(history, Path(output) / CURVES):
        console.detail(f"{output}/{CURVES} drawn")
