"""The tokens of many motions: in batches, and those of a corpus in a file beside its manifest."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tdmm.errors import MotionError, OutputError, TokensError
from tdmm.io.manifest import Clip, find_manifest, read_manifest
from tdmm.io.motion_file import read_motion
from tdmm.io.tokens_file import MotionTokens, line_of, tokens_of
from tdmm.io.whole import whole_file
from tdmm.motion import FaceMotion
from tdmm.vq.codec import Codec

TOKENS = "tokens.jsonl"
# A batch of motions ends with so many motions, or frames.
BATCH, BATCH_FRAMES = 64, 50_000

OnFailure = Callable[[str, str], None]
_One = TypeVar("_One")


@dataclass(frozen=True)
class Tokenized:
    """What came of a corpus. motions, frames, tokens: of what was coded now; there_before: motions whose tokens were
    there; without_motion: clips that have none yet; failures: ids and reasons."""

    path: Path
    motions: int = 0
    frames: int = 0
    tokens: int = 0
    there_before: int = 0
    without_motion: int = 0
    failures: tuple[tuple[str, str], ...] = ()


def encode_each(
    codec: Codec,
    sources: Iterable[tuple[str, str]],
    on_failure: OnFailure,
    read: Callable[[str], FaceMotion] = read_motion,
) -> Iterator[MotionTokens]:
    """The tokens of motions, given by id and source, in their order; `read` reads a source.

    on_failure: told the id of a motion that cannot be read or coded, and why; the others follow.
    """
    for batch in in_batches(_readable(codec, sources, on_failure, read), lambda one: len(one[1])):
        yield from codec.encode_many([motion for _, motion in batch], [name for name, _ in batch])


def _readable(
    codec: Codec, sources: Iterable[tuple[str, str]], on_failure: OnFailure, read: Callable[[str], FaceMotion]
) -> Iterator[tuple[str, FaceMotion]]:
    for name, source in sources:
        try:
            motion = read(source)
            codec.columns.of(motion)
        except MotionError as error:
            reason = str(error)
            on_failure(name, reason if source in reason else f"{source}: {reason}")
            continue
        yield name, motion


def in_batches(things: Iterable[_One], frames_of: Callable[[_One], int]) -> Iterator[list[_One]]:
    """Lists of at most `BATCH` things that hold at most `BATCH_FRAMES` frames, unless one alone holds more."""
    batch: list[_One] = []
    frames = 0
    for one in things:
        count = frames_of(one)
        if batch and (len(batch) == BATCH or frames + count > BATCH_FRAMES):
            yield batch
            batch, frames = [], 0
        batch.append(one)
        frames += count
    if batch:
        yield batch


def tokenize_corpus(
    folder: str | Path,
    codec: Codec,
    *,
    splits: Sequence[str] | None = None,
    force: bool = False,
    read: Callable[[str], FaceMotion] = read_motion,
    on_failure: OnFailure | None = None,
    progress: Callable[[int, int, int], None] | None = None,
) -> Tokenized:
    """Write the tokens of a corpus to `tokens.jsonl` beside its manifest, a line a clip, in the manifest's order.

    Lines that are there are kept, those of clips that are listed no more are not, and what is missing is added as it
    is coded: a run that was stopped goes on. splits: of these alone; force: all anew. progress: told how many of how
    many are through, and how many of them failed.

    Raises `TokensError` where there are tokens of another codec, no clip has a motion, or a split is not there.
    """
    manifest = find_manifest(folder)
    if manifest is None:
        raise TokensError(f"{folder}: is no corpus: a folder with manifest.jsonl or metadata.jsonl")
    listed = read_manifest(manifest)
    clips = of_splits(listed, splits, manifest)
    wanted = {clip.id: str(manifest.parent / clip.motion) for clip in clips if clip.motion is not None}
    if not wanted:
        raise TokensError(f"{manifest}: none of the {len(clips)} clips has a motion; tdmm fit {folder} finds them")
    place = {clip.id: number for number, clip in enumerate(listed)}
    path = manifest.parent / TOKENS
    lines = _Lines(path)
    lines.keep({} if force else _usable(path, codec, place))
    there = [name for name in wanted if name in lines.spans]
    missing = [(name, source) for name, source in wanted.items() if name not in lines.spans]
    failures: list[tuple[str, str]] = []

    def fail(name: str, reason: str) -> None:
        failures.append((name, reason))
        if on_failure is not None:
            on_failure(name, reason)

    motions = frames = tokens = 0
    if missing:
        with lines.appending() as append:
            for one in encode_each(codec, missing, fail, read):
                append(one)
                motions, frames, tokens = motions + 1, frames + one.frames, tokens + one.codes.size
                if progress is not None:
                    progress(motions + len(failures), len(missing), len(failures))
    lines.in_order(place)
    return Tokenized(path, motions, frames, tokens, len(there), len(clips) - len(wanted), tuple(failures))


def of_splits(clips: Sequence[Clip], splits: Sequence[str] | None, manifest: Path) -> list[Clip]:
    """The clips of these splits, None: all. Raises `TokensError` for a split that is not there."""
    if splits is None:
        return list(clips)
    there = sorted({str(clip.line["split"]) for clip in clips if clip.line.get("split")})
    if unknown := [name for name in splits if name not in there]:
        raise TokensError(
            f"{manifest}: has no clips of the split {unknown[0]}; "
            + (f"there are {', '.join(there)}" if there else "none says its split")
        )
    return [clip for clip in clips if clip.line.get("split") in splits]


def _usable(path: Path, codec: Codec, listed: dict[str, int]) -> dict[str, tuple[int, int]]:
    """Where the good lines of listed clips begin and end. A torn one is not among them and is made again."""
    found: dict[str, tuple[int, int]] = {}
    if not path.exists():
        return found
    start = 0
    try:
        with open(path, "rb") as file:
            for number, line in enumerate(file, start=1):
                span, start = (start, start + len(line)), start + len(line)
                try:
                    tokens = tokens_of(line.decode(), f"{path}, line {number}")
                except (TokensError, UnicodeDecodeError):
                    continue
                if tokens.codec != codec.fingerprint:
                    raise TokensError(
                        f"{path}: holds tokens of the codec {tokens.codec}, this one is {codec.fingerprint}; "
                        "begin anew with --force, or name another place with -o"
                    )
                if tokens.id in listed and tokens.part is None:
                    found.setdefault(tokens.id, span)
    except OSError as error:
        raise TokensError(f"{path}: cannot be read: {error.strerror or error}") from error
    return found


class _Lines:
    """A file of lines that have ids. spans: where each begins and ends, in the file's order."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.spans: dict[str, tuple[int, int]] = {}

    def keep(self, spans: dict[str, tuple[int, int]]) -> None:
        """These lines alone, in this order; the file is written anew if it holds anything else."""
        size = self._path.stat().st_size if self._path.exists() else 0
        ends = [0, *(end for _, end in spans.values())]
        if [start for start, _ in spans.values()] == ends[:-1] and ends[-1] == size and self._ends_well(size):
            self.spans = spans
            return
        moved: dict[str, tuple[int, int]] = {}
        with whole_file(self._path) as beside, open(beside, "wb") as new, open(self._path, "rb") as old:
            for name, (start, end) in spans.items():
                old.seek(start)
                line = old.read(end - start).rstrip(b"\n") + b"\n"
                moved[name] = (new.tell(), new.tell() + len(line))
                new.write(line)
        self.spans = moved

    def _ends_well(self, size: int) -> bool:
        if not size:
            return True
        with open(self._path, "rb") as file:
            file.seek(size - 1)
            return file.read(1) == b"\n"

    @contextmanager
    def appending(self) -> Iterator[Callable[[MotionTokens], None]]:
        """What adds a line at the end, at once, so that what is done stays when the program is stopped."""
        with open(self._path, "ab", buffering=0) as file:
            end = file.seek(0, os.SEEK_END)

            def append(tokens: MotionTokens) -> None:
                nonlocal end
                line = line_of(tokens).encode() + b"\n"
                left = memoryview(line)
                try:
                    while left:
                        left = left[file.write(left) :]
                except OSError as error:  # what was written of the line is dropped by the next run
                    raise OutputError(f"{self._path}: cannot be written: {error.strerror or error}") from error
                self.spans[tokens.id] = (end, end + len(line))
                end += len(line)

            yield append

    def in_order(self, place: dict[str, int]) -> None:
        """The lines in the order of `place`."""
        self.keep({name: self.spans[name] for name in sorted(self.spans, key=place.__getitem__)})
