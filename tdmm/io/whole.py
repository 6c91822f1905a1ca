"""Output that is there whole or not at all: written beside its place, then renamed."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tdmm.errors import OutputError


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """A temporary path in the folder of `path`, with its ending, which takes its place when the block ends well.

    If the block raises, the temporary file is removed and what stood at `path` is left alone. A target that is
    no regular file (`/dev/stdout`, a named pipe) is handed out itself, for there is nothing to rename.
    A symbolic link is followed. Raises `OutputError` if the folder is missing, not writable or full.
    """
    given, path = path, Path(path).resolve()
    if path.is_dir():
        raise OutputError(f"{given}: is a folder; give the name of a file")
    if path.exists() and not path.is_file():
        yield path
        return
    if not path.parent.is_dir():
        raise OutputError(f"{given}: there is no folder {path.parent}; make it first")
    beside = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{path.suffix}")
    try:
        # Made here so that an unwritable folder is found before the work, not after it. 0o666 less the umask.
        os.close(os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        if path.exists():
            shutil.copymode(path, beside)
        yield beside
        os.replace(beside, path)
    except OSError as error:
        # Only trouble with this very output; other files' errors pass as they are.
        if error.filename is None or Path(os.fsdecode(error.filename)) == beside:
            raise OutputError(f"{given}: cannot be written: {error.strerror or error}") from error
        raise
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: str | Path) -> Iterator[Path]:
    """As `whole_file`, for a folder: an empty one beside `path` to fill; a folder that stands at `path` is replaced.

    The caller makes sure that a folder at `path` holds nothing that matters.
    """
    given, path = path, Path(path).resolve()
    if path.exists() and not path.is_dir():
        raise OutputError(f"{given}: is a file; give the name of a folder")
    if not path.parent.is_dir():
        raise OutputError(f"{given}: there is no folder {path.parent}; make it first")
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        beside.mkdir()
        yield beside
        if path.exists():
            shutil.rmtree(path)
        os.replace(beside, path)
    except OSError as error:
        if error.filename is None or Path(os.fsdecode(error.filename)) == beside:
            raise OutputError(f"{given}: cannot be written: {error.strerror or error}") from error
        raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)
