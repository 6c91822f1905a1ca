"""`tdmm describe`: what a motion shows, in words."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from tdmm.cli import language_models, tokenize_inputs
from tdmm.cli.codecs import CodecOption
from tdmm.cli.console import Console
from tdmm.cli.describe_work import Wanted, to_lines, to_manifest
from tdmm.cli.language_models import ModelOption
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
from tdmm.cli.usage import UsageError

if TYPE_CHECKING:
    from tdmm.lm.describe import Reader


class Detail(str, Enum):
    """How much is told."""

    short = "short"
    long = "long"
    timeline = "timeline"


def command(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="MOTION",
            help="Motions (.npz), shards, streams of frames, globs, folders of motions, corpora, or - for standard "
            "input.",
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT|-",
            help="OUT.jsonl for tdmm evaluate describe, OUT.txt, or -.",
            show_default="-, of a corpus its manifest",
        ),
    ] = None,
    detail: Annotated[
        Detail | None,
        typer.Option("--detail", help="A sentence, everything with times, or what happens when.", show_default="short"),
    ] = None,
    ask: Annotated[
        list[str] | None,
        typer.Option("--ask", metavar="QUESTION", help="Answer this; may be given several times."),
    ] = None,
    questions: Annotated[
        bool | None,
        typer.Option(
            "--questions/--no-questions",
            help="Answer the questions that the manifest of a corpus has.",
            show_default="with -o OUT.jsonl",
        ),
    ] = None,
    split: Annotated[
        list[str] | None,
        typer.Option("--split", metavar="NAME,...", help="Clips of these splits of a corpus.", show_default="all"),
    ] = None,
    model: ModelOption = None,
    codec: CodecOption = None,
    drafts: Annotated[
        int | None,
        typer.Option(
            "--drafts",
            metavar="N",
            help="Draw so many descriptions of each, and as many in another form, and keep the one that agrees best "
            "with all; 1 is quicker.",
            show_default="6, with --temperature 1",
        ),
    ] = None,
    temperature: Annotated[
        float, typer.Option("--temperature", metavar="T", help="0 takes the likeliest words, 1 draws them.")
    ] = 0.0,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", help="Other drafts, and with --temperature other words, are drawn.")
    ] = 0,
    no_correction: Annotated[
        bool,
        typer.Option("--no-correction", help="Read fits as they are, with what fits are known to get wrong."),
    ] = False,
    face_model: FaceModelOption = "builtin",
    device: DeviceOption = DeviceChoice.auto,
    force: ForceOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
    debug: DebugOption = False,
) -> None:
    """Say what a motion shows, or answer questions about it.

    Of one motion its text is printed, of several a line each, ID and text with a tab between them; with --ask the
    answers, and the text too where --detail is given. With --json each line is an object with text, answers, and events
    with their times. Seconds count from the first frame of a motion.

    A corpus alone gets captions in its manifest, short and long ones, for the clips that have none, and texts for those
    that have no text; what is there is kept, so that a long run can be stopped and started again. Exit code 1 when some
    motions failed; the others are done.

    \b
    Examples:
      tdmm describe motion.npz
      tdmm describe motion.npz --detail timeline
      tdmm describe motion.npz --ask 'Which eye does she wink with?' --ask 'How often does she nod?'
      tdmm fit clip.mp4 | tdmm describe -
      tdmm describe motions/*.npz --json | jq -r '.events[].id'
      tdmm describe corpus                                    captions in corpus/manifest.jsonl
      tdmm describe corpus --split test -o captions.jsonl     and answers to its questions
      tdmm evaluate describe captions.jsonl -r corpus --split test
    """
    console = Console(quiet=quiet, verbose=verbose)
    splits = [part.strip() for value in split or () for part in value.split(",") if part.strip()] or None
    if not 0 <= temperature < float("inf"):
        raise UsageError(f"--temperature: expected 0 or more, found {temperature:g}")
    if seed < 0:
        raise UsageError(f"--seed: expected 0 or more, found {seed}")
    if drafts is not None and drafts < 1:
        raise UsageError(f"--drafts: expected 1 or more, found {drafts}")
    if temperature and (drafts or 1) > 1:
        raise UsageError("--drafts chooses the likeliest, --temperature draws: choose one")
    if any(not question.strip() for question in ask or ()):
        raise UsageError("--ask: the question is empty; ask something, such as: Which eye does she wink with?")
    if ask and questions:
        raise UsageError("--ask and --questions exclude each other: answers are those to one list of questions")

    def open_reader() -> Reader:
        from tdmm.lm.describe import Reader, usual_drafts
        from tdmm.lm.sampling import Sampling

        lm = language_models.load(model, device, console)
        own = language_models.codec_of(lm, codec, face_model, device, console)
        sampling = Sampling(temperature=temperature)
        return Reader(
            lm,
            own,
            sampling=sampling,
            seed=seed,
            drafts=drafts or usual_drafts(sampling),
            correct=not no_correction,
        )

    corpus = None if output is not None or ask or questions else tokenize_inputs.the_corpus(inputs)
    if corpus is not None:
        details = None if detail is None else (detail.value,)
        to_manifest(corpus, open_reader, console, details=details, splits=splits, force=force, as_json=as_json)
        return
    wanted = Wanted(
        detail=(detail or Detail.short).value,
        text=detail is not None or not ask,
        questions=tuple(ask or ()),
        of_manifest=questions,
        whole=as_json,
    )
    to_lines(inputs, output or "-", open_reader, console, wanted, splits=splits, force=force)
