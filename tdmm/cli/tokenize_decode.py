"""`tdmm tokenize --decode`: lines of tokens to motions."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO

from tdmm.cli import paths
from tdmm.cli.console import Console
from tdmm.cli.tokenize_report import Tally
from tdmm.cli.usage import UsageError
from tdmm.errors import TokensError
from tdmm.io.manifest import find_manifest

if TYPE_CHECKING:
    from tdmm.io.motion_stream import MotionStreamWriter
    from tdmm.io.tokens_file import MotionTokens
    from tdmm.motion import FaceMotion
    from tdmm.vq.codec import Codec

    Done = Callable[[MotionTokens], None]


def decode(
    inputs: Sequence[str],
    output: str | None,
    open_codec: Callable[[], Codec],
    console: Console,
    *,
    stream: bool,
    force: bool,
    as_json: bool,
) -> None:
    """What the command does with --decode."""
    sources = [file for name in paths.expand(inputs) for file in _files(name)]
    output = paths.STANDARD if output is None else output
    if as_json and output == paths.STANDARD:
        raise UsageError("--json and the motion would both go to standard output: name a file with -o")
    folder = output.endswith("/") or Path(output).is_dir()
    stream = stream or Path(output).suffix.lower() == ".jsonl"
    if folder:
        if stream:
            raise UsageError(f"a stream of frames is one motion, and -o {output} is a folder")
        paths.check_folder(Path(output))
    else:
        _check_file(sources, output, stream=stream, force=force)
    codec = open_codec()
    tally = Tally(console)
    with console.progress("tokens") as progress:

        def done(tokens: MotionTokens) -> None:
            tally.add(tokens)
            progress("decoding", tally.frames, None)

        lines = _motions(sources, codec, tally, console)
        if stream:
            _to_stream(lines, codec, output, done)
        elif folder:
            _to_folder(_whole(lines), codec, Path(output), tally, done, force=force)
        else:
            _to_file(_whole(lines), codec, output, done)
    if not (tally.motions or tally.kept or tally.failures):
        raise TokensError(
            f"{', '.join(sources)}: expected lines of tokens, found none; did the program before it fail?"
        )
    tally.tell(codec, "standard output" if output == paths.STANDARD else output, done="decoded", as_json=as_json)


def _files(name: str) -> list[str]:
    """The files of tokens: of a folder those in it, of a corpus its own."""
    if name == paths.STANDARD or not os.path.isdir(name):
        return [name]
    manifest = find_manifest(name)
    if manifest is not None:
        from tdmm.vq.corpora import TOKENS

        return [str(manifest.parent / TOKENS)]
    found = sorted(path for path in Path(name).rglob("*.jsonl") if path.name[0] != ".")
    if not found:
        raise TokensError(f"{name}: this folder holds no tokens (.jsonl)")
    return list(map(str, found))


def _check_file(sources: Sequence[str], output: str, *, stream: bool, force: bool) -> None:
    if output == paths.STANDARD:
        if not stream:
            paths.refuse_terminal()
        return
    is_device = os.path.exists(output) and not os.path.isfile(output)
    wanted = ".jsonl" if stream else ".npz"
    if Path(output).suffix.lower() != wanted and not is_device:
        others = "" if stream else ", frames to OUT.jsonl, several motions to a folder DIR/"
        raise UsageError(f"-o {output}: expected a name that ends in {wanted}{others}")
    paths.refuse_same(sources, output)
    paths.check_place(output, force=force)


# -- lines to motions -------------------------------------------------------------------------------------


def _motions(
    sources: Sequence[str], codec: Codec, tally: Tally, console: Console
) -> Iterator[tuple[str, MotionTokens, bool]]:
    """Name of the motion, tokens of all of it or of the next part, and whether it begins with them.

    What is wrong is told: a line, or a part without the one before it, with all parts after it.
    """
    from tdmm.io.tokens_file import read_tokens

    for source in sources:
        name = "standard input" if source == paths.STANDARD else source
        stream = paths.stdin_bytes() if source == paths.STANDARD else source
        open_motion: str | None = None  # whose parts come
        expected, left_out = 0, None
        try:
            for tokens in read_tokens(stream, name, codec.check):
                if isinstance(tokens, TokensError):
                    tally.fail(name, str(tokens))
                    continue
                id = tokens.id or paths.stem(source)
                if tokens.part in (None, 0):
                    _say_broken_off(open_motion, console)
                elif (id, tokens.part) != (open_motion, expected):
                    if id != left_out:  # once
                        tally.fail(id, f"{name}: {id}: part {tokens.part} comes without the one before it; left out")
                    left_out = id
                    continue
                yield id, tokens, tokens.part in (None, 0)
                open_motion, left_out = (None if tokens.last else id), None
                expected = (tokens.part or 0) + 1
        except TokensError as error:
            tally.fail(name, str(error))
        _say_broken_off(open_motion, console)


def _say_broken_off(id: str | None, console: Console) -> None:
    if id is not None:
        console.say(f"{id}: its last part is not there; the motion is as long as its parts")


def _whole(lines: Iterator[tuple[str, MotionTokens, bool]]) -> Iterator[tuple[str, MotionTokens]]:
    """Whole motions, parts joined."""
    from tdmm.vq.stream import join_parts

    name = ""
    parts: list[MotionTokens] = []
    for of, tokens, begins in lines:
        if begins and parts:
            yield name, join_parts(parts)
            parts = []
        if tokens.part is None:
            yield of, tokens
            continue
        name, parts = of, [*parts, tokens]
    if parts:
        yield name, join_parts(parts)


# -- motions to outputs -----------------------------------------------------------------------------------


def _to_file(motions: Iterator[tuple[str, MotionTokens]], codec: Codec, output: str, done: Done) -> None:
    from tdmm.io.motion_file import write_motion

    only = None
    for name, tokens in motions:
        if only is not None:
            raise UsageError(f"{only[0]}, {name}: several motions need a folder: -o DIR/")
        only = name, tokens
    if only is not None:
        motion = codec.decode(only[1])
        write_motion(motion, paths.stdout_bytes() if output == paths.STANDARD else output)
        done(only[1])


def _to_folder(
    motions: Iterator[tuple[str, MotionTokens]], codec: Codec, folder: Path, tally: Tally, done: Done, *, force: bool
) -> None:
    """ID.npz each; those that are there are kept."""
    from tdmm.io.motion_file import write_motion
    from tdmm.vq.corpora import in_batches

    for batch in in_batches(_to_do(motions, folder, tally, force=force), lambda one: one[1].frames):
        for (path, tokens), motion in zip(batch, codec.decode_many([one for _, one in batch]), strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_motion(motion, path)
            done(tokens)


def _to_do(
    motions: Iterator[tuple[str, MotionTokens]], folder: Path, tally: Tally, *, force: bool
) -> Iterator[tuple[Path, MotionTokens]]:
    names = set()
    for name, tokens in motions:
        pure = PurePosixPath(name)
        if pure.is_absolute() or ".." in pure.parts or not pure.parts or "\0" in name or "\\" in name:
            tally.fail(name, f"id {name!r}: expected the name of a file within the folder; left out")
            continue
        if name in names:
            tally.fail(name, f"the id {name!r} is there twice; the first motion is kept")
            continue
        names.add(name)
        path = folder / f"{name}.npz"
        if path.exists() and not force:
            tally.kept += 1
            continue
        yield path, tokens


def _to_stream(lines: Iterator[tuple[str, MotionTokens, bool]], codec: Codec, output: str, done: Done) -> None:
    """Frames as they can be decoded."""
    from tdmm.io.motion_stream import MotionStreamWriter
    from tdmm.vq.stream import StreamDecoder

    first = next(lines, None)
    if first is None:
        return  # what is wrong was told: no empty file takes a place
    only, decoder = first[0], StreamDecoder(codec, first[1])
    with _stream_to(output) as file:
        writer = MotionStreamWriter(file)
        for name, tokens, begins in chain([first], lines):
            if begins and tokens is not first[1]:
                raise UsageError(f"{only}, {name}: a stream of frames is one motion; several need a folder: -o DIR/")
            _write(writer, decoder.push(tokens.codes, tokens.valid))
            if tokens.last:
                _write(writer, decoder.finish())
            done(tokens)
        _write(writer, decoder.finish())


def _write(writer: MotionStreamWriter, piece: FaceMotion | None) -> None:
    if piece is not None:
        writer.write(piece)


@contextmanager
def _stream_to(output: str) -> Iterator[BinaryIO]:
    from tdmm.io.whole import whole_file

    if output == paths.STANDARD:
        sys.stdout.flush()
        yield sys.stdout.buffer
        return
    with whole_file(output) as beside, open(beside, "wb") as file:
        yield file
