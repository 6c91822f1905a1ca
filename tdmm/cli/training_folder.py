"""The folder that a training writes: what may be in it, and whether a training goes on there."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

from tdmm.cli import paths
from tdmm.cli.usage import UsageError
from tdmm.errors import OutputError

CURVES = "curves.png"


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
