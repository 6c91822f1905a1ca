"""`tdmm tokenize`: motions to lines of tokens."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import typer

from tdmm.cli import paths, tokenize_inputs
from tdmm.cli.console import Batch, Console
from tdmm.cli.tokenize_inputs import Source
from tdmm.cli.tokenize_report import Tally
from tdmm.cli.usage import UsageError
from tdmm.errors import MotionError, TokensError

if TYPE_CHECKING:
    from tdmm.io.tokens_file import MotionTokens
    from tdmm.motion import FaceMotion
    from tdmm.vq.codec import Codec

# An endless motion is written in parts of at least so many steps.
PART = 6
SUFFIX = ".jsonl"

OpenCodec = Callable[[], "Codec"]


def encode(
    inputs: Sequence[str],
    output: str | None,
    open_codec: OpenCodec,
    console: Console,
    *,
    splits: Sequence[str] | None,
    force: bool,
    as_json: bool,
) -> None:
    """What the command does without --decode."""
    corpus = tokenize_inputs.the_corpus(inputs) if output is None else None
    output = paths.STANDARD if output is None else output
    tally = Tally(console)
    if corpus is not None:
        codec = open_codec()
        target = _corpus(corpus, codec, tally, console, splits=splits, force=force)
    else:
        sources = tokenize_inputs.plan(inputs, splits)
        if as_json and output == paths.STANDARD:
            raise UsageError("--json and the tokens would both go to standard output: name a file with -o")
        paths.refuse_same([source.path for source in sources], output)
        folder = output.endswith("/") or Path(output).is_dir()
        if not folder:
            _check_file(output, force=force)
        stdin = tokenize_inputs.open_stdin() if any(one.path == paths.STANDARD for one in sources) else None
        codec, target = open_codec(), output
        if stdin is not None and tokenize_inputs.is_stream(stdin):
            if len(sources) > 1 or folder:
                raise UsageError("a stream of frames on standard input is coded alone, to a pipe or to one file")
            _stream(stdin, codec, output, tally)
        else:
            read = partial(_read, tally, stdin)
            with console.batch(len(sources), "motions") if len(sources) > 1 else _no_bar() as bar:
                if folder:
                    _to_folder(sources, codec, Path(output), tally, read, bar, force=force)
                else:
                    _to_file(sources, codec, output, tally, read, bar)
    tally.tell(codec, "standard output" if target == paths.STANDARD else target, done="coded", as_json=as_json)


def _read(tally: Tally, stdin: BinaryIO | None, path: str) -> FaceMotion:
    motion = tokenize_inputs.read_any(path, stdin)
    tally.look_at(motion, path)
    return motion


@contextmanager
def _no_bar() -> Iterator[None]:
    yield None


def _check_file(output: str, *, force: bool) -> None:
    if output == paths.STANDARD:
        return
    is_device = os.path.exists(output) and not os.path.isfile(output)
    if Path(output).suffix.lower() != SUFFIX and not is_device:
        raise UsageError(f"-o {output}: expected a name that ends in {SUFFIX}, a folder DIR/, or -")
    paths.check_place(output, force=force)


def _corpus(
    folder: str, codec: Codec, tally: Tally, console: Console, *, splits: Sequence[str] | None, force: bool
) -> str:
    from tdmm.vq.corpora import tokenize_corpus

    with console.batch(0, "motions") as bar:
        done = tokenize_corpus(
            folder,
            codec,
            splits=splits,
            force=force,
            read=partial(_read, tally, None),
            on_failure=tally.fail,
            progress=None if bar is None else bar.to,
        )
    tally.motions, tally.frames, tally.tokens, tally.kept = done.motions, done.frames, done.tokens, done.there_before
    if done.without_motion:
        console.say(f"{done.without_motion} clips have no motion yet: tdmm fit {folder}")
    return str(done.path)


def _coded(
    sources: Sequence[Source], codec: Codec, tally: Tally, read: Callable[[str], FaceMotion], bar: Batch | None
) -> Iterator[MotionTokens]:
    from tdmm.vq.corpora import encode_each

    for tokens in encode_each(codec, [(one.id, one.path) for one in sources], tally.fail, read):
        yield tokens
        tally.add(tokens)
        if bar is not None:
            bar.to(tally.motions + len(tally.failures), len(sources), len(tally.failures))


def _to_file(
    sources: Sequence[Source],
    codec: Codec,
    output: str,
    tally: Tally,
    read: Callable[[str], FaceMotion],
    bar: Batch | None,
) -> None:
    with _lines_to(output) as write:
        for tokens in _coded(sources, codec, tally, read, bar):
            write(tokens)
        if not tally.motions:
            raise typer.Exit(1)  # all failed, and were told: no empty file takes a place


def _to_folder(
    sources: Sequence[Source],
    codec: Codec,
    folder: Path,
    tally: Tally,
    read: Callable[[str], FaceMotion],
    bar: Batch | None,
    *,
    force: bool,
) -> None:
    """ID.jsonl each; those that are there are kept."""
    from tdmm.io.tokens_file import read_tokens, write_tokens

    paths.check_folder(folder)
    missing = []
    for source in sources:
        path = folder / f"{source.id}{SUFFIX}"
        if force or not path.is_file():
            missing.append(source)
            continue
        first = next(read_tokens(path), None)
        if first is None or isinstance(first, TokensError) or first.codec != codec.fingerprint:
            tally.fail(source.id, f"{path} is there and not of the codec {codec.fingerprint}; replace it with --force")
        else:
            tally.kept += 1
    for tokens in _coded(missing, codec, tally, read, bar):
        path = folder / f"{tokens.id}{SUFFIX}"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_tokens(path, [tokens])


def _stream(stdin: BinaryIO, codec: Codec, output: str, tally: Tally) -> None:
    """An endless motion, in parts as its frames come. When it breaks off, the parts until then are kept."""
    from tdmm.io.motion_stream import read_motion_stream
    from tdmm.vq.stream import StreamEncoder

    encoder, broken = StreamEncoder(codec, paths.stem(paths.STANDARD), PART), None
    begun = False
    with _lines_to(output) as write:

        def add(tokens: MotionTokens) -> None:
            write(tokens)
            tally.add(tokens)

        try:
            for piece in read_motion_stream(stdin, "standard input"):
                tally.look_at(piece, "standard input")
                part = encoder.push(piece)
                begun = True
                if part is not None:
                    add(part)
        except (MotionError, KeyboardInterrupt) as error:
            if not begun or (output == paths.STANDARD and isinstance(error, KeyboardInterrupt)):
                raise
            broken = error
        add(encoder.finish())
    if broken is not None:
        raise broken


@contextmanager
def _lines_to(output: str) -> Iterator[Callable[[MotionTokens], None]]:
    """What writes a line, each at once, to standard output or to a file that appears when it is whole."""
    from tdmm.io.tokens_file import line_of
    from tdmm.io.whole import whole_file

    def write_to(file: BinaryIO, tokens: MotionTokens) -> None:
        file.write(line_of(tokens).encode() + b"\n")
        file.flush()

    if output == paths.STANDARD:
        sys.stdout.flush()
        yield partial(write_to, sys.stdout.buffer)
        return
    with whole_file(output) as beside, open(beside, "wb") as file:
        yield partial(write_to, file)
