"""What `tdmm tokenize` is to code: the motions that files, shards, folders and corpora name, each with an id."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from tdmm.cli import paths
from tdmm.cli.usage import UsageError
from tdmm.errors import TdmmError
from tdmm.io.manifest import find_manifest, read_manifest
from tdmm.io.shard_names import SUFFIX, names_a_part, shard_of

if TYPE_CHECKING:
    from tdmm.motion import FaceMotion


@dataclass(frozen=True)
class Source:
    """One motion. path: its file, `SHARD.safetensors#17`, or `-`."""

    id: str
    path: str


def plan(inputs: Sequence[str], splits: Sequence[str] | None) -> list[Source]:
    """Raises `UsageError` for what does not go together, `TdmmError` for inputs that are not there."""
    names = paths.expand(inputs)
    if splits is not None and not any(_is_corpus(name) for name in names):
        raise UsageError("--split chooses clips of a corpus, and none is given")
    found: dict[str, Source] = {}
    for name in names:
        for source in _sources(name, splits):
            other = found.setdefault(source.id, source)
            if other is not source:
                raise UsageError(f"{other.path} and {source.path} would both have the id {source.id}; do them apart")
    return list(found.values())


def the_corpus(inputs: Sequence[str]) -> str | None:
    """The input, if it is one corpus and nothing else."""
    return inputs[0] if len(inputs) == 1 and _is_corpus(inputs[0]) else None


def _is_corpus(name: str) -> bool:
    return name != paths.STANDARD and os.path.isdir(name) and find_manifest(name) is not None


def _sources(name: str, splits: Sequence[str] | None) -> Iterator[Source]:
    if name == paths.STANDARD:
        yield Source(paths.stem(name), name)
    elif _is_corpus(name):
        yield from _clips(name, splits)
    elif os.path.isdir(name):
        files = sorted(path for path in Path(name).rglob("*") if path.suffix.lower() in (".npz", SUFFIX))
        files = [path for path in files if not any(part[0] == "." for part in path.relative_to(name).parts)]
        if not files:
            raise TdmmError(f"{name}: this folder holds no motions (.npz, {SUFFIX})")
        for path in files:
            stem = path.relative_to(name).with_suffix("").as_posix()
            if path.suffix == SUFFIX:
                yield from _shard(str(path), stem)
            else:
                yield Source(stem, str(path))
    elif names_a_part(name):
        number = name.rpartition("#")[2]
        yield Source(f"{Path(shard_of(name)).stem}#{number}", name)
    elif name.endswith(SUFFIX):
        yield from _shard(name, Path(name).stem)
    else:
        yield Source(paths.stem(name), name)


def _shard(path: str, stem: str) -> Iterator[Source]:
    from tdmm.io.motion_shards import read_shard

    for number in range(len(read_shard(path))):
        yield Source(f"{stem}#{number}", f"{path}#{number}")


def _clips(folder: str, splits: Sequence[str] | None) -> Iterator[Source]:
    manifest = find_manifest(folder)
    assert manifest is not None
    clips = [clip for clip in read_manifest(manifest) if clip.motion is not None]
    if splits is not None:
        clips = [clip for clip in clips if clip.line.get("split") in splits]
    if not clips:
        of = "" if splits is None else f" of the split {', '.join(splits)}"
        raise TdmmError(f"{manifest}: has no clips with a motion{of}; tdmm fit {folder} finds motions of videos")
    for clip in clips:
        yield Source(clip.id, os.path.join(folder, str(clip.motion)))


def open_stdin() -> BinaryIO:
    """Standard input, which can be looked into. Raises `UsageError` when it is a terminal."""
    stream = paths.stdin_bytes()
    return stream if hasattr(stream, "peek") else io.BufferedReader(stream)  # type: ignore[type-var]


def is_stream(stream: BinaryIO) -> bool:
    """Whether lines of frames come, and no motion file; waits for the first bytes."""
    from tdmm.io.motion_stream import looks_like_stream

    return looks_like_stream(stream.peek(1))  # type: ignore[attr-defined]


def read_any(path: str, stdin: BinaryIO | None = None) -> FaceMotion:
    """The motion in a file, in a shard, of lines of frames, or on standard input. Raises `MotionError`."""
    from tdmm.io.motion_file import read_motion

    if path == paths.STANDARD:
        assert stdin is not None
        return read_motion(stdin)
    if not names_a_part(path) and os.path.isfile(path):
        with open(path, "rb") as file:
            if is_stream(file):
                return read_frames(file, path)
    return read_motion(path)


def read_frames(stream: BinaryIO, name: str) -> FaceMotion:
    """The motion of lines of frames, to their end. Raises `MotionError`."""
    from dataclasses import replace

    import numpy as np

    from tdmm.io.motion_stream import read_motion_stream
    from tdmm.motion import concatenate

    pieces = list(read_motion_stream(stream, name))
    # With their own times: joined, gaps would close.
    times = np.concatenate([piece.timestamps for piece in pieces])
    return replace(concatenate(pieces), timestamps=times)
