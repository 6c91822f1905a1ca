"""Inputs and outputs as the command line names them: `-`, globs, folders, endings, what is already there."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tdmm.cli.usage import UsageError
from tdmm.errors import OutputError, TdmmError

STANDARD = "-"


def expand(names: Sequence[str]) -> list[str]:
    """The inputs, with the globs that the shell left alone (quoted ones) expanded in order.

    Raises `TdmmError` for a pattern that matches nothing, `UsageError` for `-` given twice.
    """
    found: list[str] = []
    for name in names:
        if name != STANDARD and not os.path.lexists(name) and glob.has_magic(name):
            matches = sorted(glob.glob(name, recursive=True))
            if not matches:
                raise TdmmError(f"{name}: no file matches this pattern")
            found += matches
        else:
            found.append(name)
    if found.count(STANDARD) > 1:
        raise UsageError("standard input (-) can be read only once")
    return found


def stem(name: str) -> str:
    """What an output made from this input is called."""
    return "stdin" if name == STANDARD else Path(name).stem


def stdin_bytes() -> BinaryIO:
    """Standard input as a binary stream. Raises `UsageError` when it is a terminal."""
    if sys.stdin.isatty():
        raise UsageError("- is standard input, and that is a terminal: name a file, or pipe something in")
    return sys.stdin.buffer


def stdout_bytes() -> BinaryIO:
    """Standard output as a binary stream. Raises `UsageError` when it is a terminal."""
    refuse_terminal()
    sys.stdout.flush()
    return sys.stdout.buffer


def refuse_terminal() -> None:
    """Binary data would garble a terminal."""
    if sys.stdout.isatty():
        raise UsageError("the result is binary and standard output is a terminal: name a file with -o, or pipe it on")


def check_place(path: str | Path, *, force: bool) -> None:
    """Before the work and not after it: can `path` be written, and is it free?

    Raises `OutputError` when its folder is missing or not writable, or when there is something already (devices and
    pipes may be written).
    """
    path = Path(path)
    folder = path.resolve().parent
    if not folder.is_dir():
        raise OutputError(f"{path}: there is no folder {path.parent}; make it first")
    if not os.access(folder, os.W_OK) and not _is_device(str(path)):
        raise OutputError(f"{path}: the folder {path.parent} is not writable; name another place with -o")
    if path.is_dir():
        occupied = any(path.iterdir())
    else:
        occupied = path.is_file() or (path.is_symlink() and not path.exists())
    if occupied and not force:
        raise OutputError(f"{path} is already there; replace it with --force, or name another place with -o")


def check_folder(path: Path) -> None:
    """Before the work: can files be made in this folder, or the folder itself? Raises `OutputError`."""
    there = path.resolve()
    while not there.exists():
        there = there.parent
    if not os.access(there, os.W_OK):
        raise OutputError(f"{path}: the folder {there} is not writable; name another place with -o")


def refuse_same(inputs: Sequence[str], output: str) -> None:
    """Raises `UsageError` when an input would be replaced by the output."""
    for name in inputs:
        if name != STANDARD and os.path.exists(name) and os.path.exists(output) and os.path.samefile(name, output):
            raise UsageError(f"{name} is both an input and the output")


@dataclass(frozen=True)
class Job:
    """One input and where its result goes; both may be `-`."""

    source: str
    target: str


def plan_jobs(sources: Sequence[str], output: str, suffix: str, stems: Sequence[str] | None = None) -> list[Job]:
    """One job an input: to the named file, or to DIR/stem + suffix where several inputs or a folder are given.

    stems: what each output is called, with folders below DIR if it has any; None: as its input. DIR is made.
    Raises `UsageError` for a name that fits neither, or two inputs of one stem.
    """
    folder = output.endswith("/") or Path(output).is_dir()
    if len(sources) == 1 and not folder:
        if output != STANDARD and Path(output).suffix.lower() != suffix and not _is_device(output):
            raise UsageError(f"-o {output}: expected a name that ends in {suffix}, a folder DIR/, or -")
        return [Job(sources[0], output)]
    if output == STANDARD:
        raise UsageError(f"{len(sources)} inputs need a folder: -o DIR/")
    if Path(output).is_file():  # without the / at its end
        raise UsageError(f"-o {Path(output)} is a file; {len(sources)} inputs need a folder: -o DIR/")
    if not folder and Path(output).suffix.lower() == suffix:
        raise UsageError(f"-o {output} names one file; {len(sources)} inputs need a folder: -o DIR/")
    by_target: dict[str, str] = {}
    for source, name in zip(sources, map(stem, sources) if stems is None else stems, strict=True):
        target = str(Path(output) / (name + suffix))
        if target in by_target:
            raise UsageError(f"{by_target[target]} and {source} would both become {target}; do them apart")
        by_target[target] = source
    try:
        Path(output).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{output}: cannot make this folder: {error.strerror or error}") from error
    return [Job(source, target) for target, source in by_target.items()]


def _is_device(name: str) -> bool:
    return os.path.exists(name) and not os.path.isfile(name) and not os.path.isdir(name)
