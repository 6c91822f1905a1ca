"""`tdmm tokenize`: motions to tokens and back."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from tdmm.cli import codecs
from tdmm.cli.codecs import CodecOption
from tdmm.cli.console import Console
from tdmm.cli.options import (
    DebugOption,
    DeviceChoice,
    DeviceOption,
    FaceModelOption,
    ForceOption,
    JsonOption,
    QuietOption,
    VerboseOption,
)
from tdmm.cli.tokenize_decode import decode as decode_lines
from tdmm.cli.tokenize_encode import encode
from tdmm.cli.usage import UsageError


def command(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT",
            help="Motions (.npz), shards, streams of frames, globs, folders of motions, corpora, or - for standard "
            "input; with --decode files of tokens.",
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT|DIR|-",
            help="OUT.jsonl, or DIR/ for a file a motion; with --decode OUT.npz, DIR/, or OUT.jsonl for frames.",
            show_default="-, of a corpus CORPUS/tokens.jsonl",
        ),
    ] = None,
    decode: Annotated[bool, typer.Option("--decode", help="Tokens to motions.")] = False,
    stream: Annotated[
        bool,
        typer.Option("--stream", help="With --decode: one motion as a stream of frames, each as soon as it is known."),
    ] = False,
    codec: CodecOption = None,
    split: Annotated[
        list[str] | None,
        typer.Option("--split", metavar="NAME,...", help="Clips of these splits of a corpus.", show_default="all"),
    ] = None,
    face_model: FaceModelOption = "builtin",
    device: DeviceOption = DeviceChoice.auto,
    force: ForceOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
    debug: DebugOption = False,
) -> None:
    """Turn motions into tokens, and tokens into motions.

    Tokens are lines of JSON, one motion a line: the codes of the face and the head at 25 frames a second, and what they
    do not tell (identity, camera, first pose). The pose of the neck is not coded. A stream of frames on standard input
    is coded as it comes, in parts.

    Of a corpus alone the tokens go to tokens.jsonl beside its manifest; what is there is kept, so that a long run can
    be stopped and started again. Exit code 1 when some motions or lines failed; the others are done.

    \b
    Examples:
      tdmm tokenize motion.npz -o tokens.jsonl
      tdmm tokenize --decode tokens.jsonl -o motion.npz
      tdmm tokenize motions/*.npz -o tokens.jsonl             a line a motion
      tdmm tokenize corpus                                    to corpus/tokens.jsonl
      tdmm tokenize corpus --split test -o test.jsonl
      tdmm tokenize --decode corpus/tokens.jsonl -o decoded/  decoded/ID.npz
      tdmm fit clip.mp4 | tdmm tokenize - | tdmm tokenize --decode - | tdmm render - -o head.mp4
      my-tracker | tdmm tokenize - | tdmm tokenize --decode --stream - | my-avatar
      tdmm tokenize motion.npz --codec my-codec | jq -c '.codes[0]'
    """
    console = Console(quiet=quiet, verbose=verbose)
    if stream and not decode:
        raise UsageError("--stream belongs to --decode; a stream of frames on standard input is seen by itself")
    if split and decode:
        raise UsageError("--split chooses motions, and --decode makes them")
    splits = [part.strip() for value in split or () for part in value.split(",") if part.strip()] or None
    open_codec = partial(codecs.load, codec, face_model, device, console)
    if decode:
        decode_lines(inputs, output, open_codec, console, stream=stream, force=force, as_json=as_json)
    else:
        encode(inputs, output, open_codec, console, splits=splits, force=force, as_json=as_json)
