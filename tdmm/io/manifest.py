"""The manifest of a corpus folder: one JSON object a line, read and changed without losing what others wrote there.

A corpus is a folder with `manifest.jsonl`, whose lines have at least `id` and `video` (or, in a corpus of motions
alone, `motion`), or a VideoFolder of Hugging Face with `metadata.jsonl`, whose lines have `file_name` (the id is that
without its ending). Paths are relative to the folder. Fields that are not known here are kept, and lines that are not
changed stay as they are, byte for byte.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from tdmm.errors import CorpusError, OutputError
from tdmm.io.whole import whole_file

# By the file's name, the field that names the video.
VIDEO_FIELD = {"manifest.jsonl": "video", "metadata.jsonl": "file_name"}


@dataclass(frozen=True)
class Clip:
    """One line of a manifest. video, motion: paths in the corpus folder as the line has them; one of them may be None.
    motion: also a part of a shard (`tdmm.io.motion_shards`)."""

    id: str
    video: str | None
    motion: str | None
    line: Mapping[str, Any]


def find_manifest(folder: str | Path) -> Path | None:
    """The manifest of a folder, if it is a corpus."""
    return next((path for name in VIDEO_FIELD if (path := Path(folder) / name).is_file()), None)


def read_manifest(path: Path) -> list[Clip]:
    """The clips in the order of the lines. Raises `CorpusError` that names the file and the line."""
    clips: dict[str, Clip] = {}
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        clip = _clip(path, number, line)
        if clip.id in clips:
            raise CorpusError(f"{path}, line {number}: the id {clip.id!r} is there twice")
        clips[clip.id] = clip
    return list(clips.values())


def update_manifest(path: Path, changes: Mapping[str, Mapping[str, Any]]) -> None:
    """Set fields of clips by their ids: {"clip7": {"motion": "motions/clip7.npz"}}. Other lines stay as they are.

    The manifest is read again for this, so that lines that were added meanwhile are kept; it is replaced whole, under a
    lock that `append_to_manifest` takes too. Ids that are gone are passed over. Raises `CorpusError`, `OutputError`.
    """
    if not changes:
        return
    with _locked(path.parent):
        lines = []
        for number, line in enumerate(_lines(path), start=1):
            if line.strip() and (change := changes.get((clip := _clip(path, number, line)).id)):
                changed = {**clip.line, **change}
                line = line if changed == clip.line else _encoded(changed)
            lines.append(line if line.endswith(b"\n") else line + b"\n")
        with whole_file(path) as beside:
            beside.write_bytes(b"".join(lines))


def append_to_manifest(path: Path, *lines: Mapping[str, Any]) -> None:
    """Add clips at the end, all or none. Makes the file if need be; a last line without an end gets one.

    Raises `OutputError` where there is no room: the manifest is then as it was.
    """
    data = b"".join(map(_encoded, lines))
    with _locked(path.parent):
        try:
            with open(path, "a+b", buffering=0) as file:
                size = file.seek(0, os.SEEK_END)
                if size:
                    file.seek(-1, os.SEEK_END)
                    data = b"\n" * (file.read(1) != b"\n") + data
                try:
                    left = memoryview(data)
                    while left:
                        left = left[file.write(left) :]
                except BaseException:  # also Ctrl-C
                    file.truncate(size)
                    raise
        except OSError as error:
            raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error


def mend_manifest(path: Path) -> bool:
    """Cut off a last line that a power cut left unfinished; whether there was one. Whole lines stay as they are."""
    with _locked(path.parent):
        data = path.read_bytes()
        end = data.rfind(b"\n") + 1
        if end == len(data):
            return False
        with suppress(ValueError, RecursionError):
            if isinstance(json.loads(data[end:]), dict):
                return False
        os.truncate(path, end)
        return True


def motion_of(clip: Clip) -> str:
    """Where the clip's motion is, or goes: what its line says, else motions/ID.npz."""
    return clip.motion or f"motions/{clip.id}.npz"


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with open(path, "rb") as file:
            yield from file
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read: {error.strerror or error}") from error


def _clip(path: Path, number: int, line: bytes) -> Clip:
    where = f"{path}, line {number}"
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise CorpusError(f"{where}: expected a JSON object, found {line[:40]!r} ({error})") from error
    if not isinstance(fields, dict):
        raise CorpusError(f"{where}: expected a JSON object, found {type(fields).__name__}")
    field = VIDEO_FIELD.get(path.name, "video")
    video, motion = fields.get(field), fields.get("motion")
    if motion is not None and (not isinstance(motion, str) or not motion):
        raise CorpusError(f"{where}: expected the field motion with the path of a file, found {motion!r}")
    if (video is None and motion is None) or (video is not None and (not isinstance(video, str) or not video)):
        raise CorpusError(f"{where}: expected the field {field} with the path of a video, found {video!r}")
    name = fields.get("id", str(PurePosixPath(video).with_suffix("")) if video and field == "file_name" else None)
    if not isinstance(name, str) or not name:
        raise CorpusError(f"{where}: expected the field id with text, found {name!r}")
    # An id becomes the name of a file.
    for what, value in (("id", name), (field, video), ("motion", motion)):
        if value is not None and (PurePosixPath(value).is_absolute() or ".." in PurePosixPath(value).parts):
            raise CorpusError(f"{where}: {what}: expected a path within the corpus folder, found {value!r}")
    return Clip(name, video, motion, fields)


def _encoded(line: Mapping[str, Any]) -> bytes:
    return json.dumps(line, ensure_ascii=False).encode() + b"\n"


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One writer at a time, where the system can lock folders."""
    try:
        import fcntl

        descriptor = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):
        yield
        return
    try:
        with suppress(OSError):  # some network file systems cannot
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
