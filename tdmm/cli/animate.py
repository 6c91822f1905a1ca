"""`tdmm animate`: text to motion."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from tdmm.cli import language_models, paths
from tdmm.cli.animate_inputs import read_prompts
from tdmm.cli.animate_outputs import Target, plan
from tdmm.cli.animate_work import Work, make
from tdmm.cli.codecs import CodecOption
from tdmm.cli.console import Console
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
    choose_device,
)
from tdmm.cli.render_options import FpsOption, SizeOption, StyleOption, ViewOption, render_options
from tdmm.cli.usage import UsageError

if TYPE_CHECKING:
    import numpy as np

    from tdmm.face.model import FaceModel
    from tdmm.lm.sampling import Sampling
    from tdmm.motion import FaceMotion

# The more, the more often counts are right; four take hardly longer than one.
DRAFTS = 4


def command(
    prompts: Annotated[
        list[str],
        typer.Argument(
            metavar="PROMPT",
            help="What the face is to do; FILE.txt or - with a prompt a line, FILE.jsonl with id and text, a corpus.",
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT|DIR|-",
            help="OUT.npz, OUT.mp4, OUT.gif, OUT.jsonl (tokens; with --stream frames), DIR/ for a file a prompt.",
            show_default="-, an npz",
        ),
    ] = None,
    seconds: Annotated[
        float | None, typer.Option("--seconds", metavar="S", help="How long.", show_default="as the model thinks")
    ] = None,
    samples: Annotated[int, typer.Option("-n", min=1, metavar="N", help="So many variants of each prompt.")] = 1,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of all that is drawn: the same gives the same.")] = 0,
    start_from: Annotated[
        str | None,
        typer.Option("--start-from", metavar="MOTION", help="A motion that goes on as the prompt says; comes with it."),
    ] = None,
    identity: Annotated[
        str | None,
        typer.Option(
            "--identity",
            metavar="FILE|mean|random",
            help="Whose face: of another motion, the average one, or one drawn with --seed.",
            show_default="mean, or that of --start-from",
        ),
    ] = None,
    drafts: Annotated[
        int | None,
        typer.Option(
            "--drafts",
            min=1,
            metavar="N",
            help="Write N for each motion, keep the one that the model itself reads the prompt out of best.",
            show_default=str(DRAFTS),
        ),
    ] = None,
    best_of: Annotated[
        int,
        typer.Option(
            "--best-of", min=1, metavar="N", help="The same, but the evaluator chooses the one that fits its text best."
        ),
    ] = 1,
    temperature: Annotated[
        float | None,
        typer.Option(
            "--temperature", min=0, metavar="T", help="0 takes the likeliest.", show_default="the model's own"
        ),
    ] = None,
    top_p: Annotated[
        float | None,
        typer.Option(
            "--top-p", metavar="0..1", help="Draw from the likeliest of this share.", show_default="the model's own"
        ),
    ] = None,
    guidance: Annotated[
        float | None,
        typer.Option(
            "--guidance",
            metavar="G",
            help="How far to go from what any prompt gives to what this one gives; 1: none.",
            show_default="the model's own",
        ),
    ] = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="Frames as lines of JSON, each as soon as it is known.")
    ] = False,
    split: Annotated[
        list[str] | None,
        typer.Option("--split", metavar="NAME,...", help="Clips of these splits of a corpus.", show_default="all"),
    ] = None,
    style: StyleOption = None,
    view: ViewOption = None,
    size: SizeOption = None,
    fps: FpsOption = None,
    model: ModelOption = None,
    codec: CodecOption = None,
    face_model: FaceModelOption = "builtin",
    device: DeviceOption = DeviceChoice.auto,
    force: ForceOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
    debug: DebugOption = False,
) -> None:
    """Write the facial motion of a prompt.

    A motion as long as the model thinks, or --seconds, goes to an npz, to tokens, or is drawn at once. Words that the
    model was never taught are named on standard error; it does what it knows. The same prompt, model and --seed give
    the same motion, however many others are animated with it.

    Several prompts, or -n variants, need a folder, tokens, or a video in which they lie side by side. Of a corpus the
    texts are animated, to DIR/ID.npz (further variants DIR/ID/1.npz, ...), as tdmm evaluate animate reads them. What is
    in a folder already is kept, so that a long run can be stopped and started again. Exit code 1 when some prompts
    failed; the others are done.

    \b
    Examples:
      tdmm animate "smiles, then nods" -o out.mp4
      tdmm animate "smiles, then nods" --seconds 4 -o motion.npz
      tdmm animate "winks with the left eye" -n 4 --style clay -o four.gif
      tdmm animate "shakes her head" --start-from motion.npz -o longer.npz
      tdmm animate "yawns" | tdmm render - --view side -o yawn.mp4
      tdmm animate "talks, then laughs" --seconds 30 --stream | my-avatar
      tdmm animate prompts.txt -o motions/            motions/0001-smiles-then-nods.npz, ...
      tdmm animate corpus --split test -o made/
      tdmm evaluate animate made -r corpus --split test
    """
    console = Console(quiet=quiet, verbose=verbose)
    splits = [part.strip() for value in split or () for part in value.split(",") if part.strip()] or None
    if start_from == paths.STANDARD and paths.STANDARD in prompts:
        raise UsageError("standard input (-) can be read only once")
    wanted = read_prompts(prompts, splits)
    target = plan(output, wanted, samples, stream=stream, force=force)
    _refuse_clashes(target, start_from, drafts, best_of, stream, samples, temperature, as_json)
    drawn = {"--style": style, "--view": view, "--size": size, "--fps": fps}
    if target.kind != "video" and (given := [name for name, value in drawn.items() if value is not None]):
        raise UsageError(f"{given[0]} belongs to a video: -o OUT.mp4 or OUT.gif; or draw the motion with tdmm render")
    options = render_options(style=style, view=view, size=size, fps=fps) if target.kind == "video" else None

    started = time.perf_counter()
    lm = language_models.load(model, device, console)
    used = language_models.codec_of(lm, codec, face_model, device, console)
    from tdmm.lm.animate import Animator

    animator = Animator(lm, used)
    work = Work(
        animator,
        console,
        samples=samples,
        how={
            "seconds": seconds,
            "sampling": _sampling(animator.sampling, temperature, top_p, guidance),
            "start_from": None if start_from is None else _read(start_from),
            "identity": None if identity is None else _identity(identity, seed, used.model),
        },
        seed=seed,
        drafts=1 if stream or temperature == 0 or best_of > 1 else DRAFTS if drafts is None else drafts,
        best_of=best_of,
    )
    wanted = work.usable(wanted)
    work.name_unknown_words(wanted)
    make(target, wanted, work, options, choose_device(device), force=force)
    work.tell(target, time.perf_counter() - started, as_json=as_json)


def _refuse_clashes(
    target: Target,
    start_from: str | None,
    drafts: int | None,
    best_of: int,
    stream: bool,
    samples: int,
    temperature: float | None,
    as_json: bool,
) -> None:
    if start_from is not None:
        paths.refuse_same([start_from], target.output)
    if (drafts or 1) > 1 and best_of > 1:
        raise UsageError("--drafts are chosen from by the model, --best-of by the evaluator: choose one")
    for option, several in (("--best-of", best_of), ("--drafts", drafts or 1)):
        if stream and several > 1:
            raise UsageError(f"{option} chooses among whole motions, and --stream gives frames before there is one")
    if temperature == 0 and (samples > 1 or best_of > 1 or (drafts or 1) > 1):
        raise UsageError("--temperature 0 takes the likeliest each time: there are no variants")
    if as_json and target.output == paths.STANDARD:
        raise UsageError("--json and the motion would both go to standard output: name a file with -o")


def _sampling(own: Sampling, temperature: float | None, top_p: float | None, guidance: float | None) -> Sampling:
    from dataclasses import replace

    given = {"temperature": temperature, "top_p": top_p, "guidance": guidance}
    return replace(own, **{name: value for name, value in given.items() if value is not None})


def _read(source: str) -> FaceMotion:
    from tdmm.io.motion_file import read_motion

    return read_motion(paths.stdin_bytes() if source == paths.STANDARD else source)


def _identity(wanted: str, seed: int, model: FaceModel) -> np.ndarray:
    """Coefficients (S,) of the face, as `tdmm render --identity` draws it."""
    from tdmm.motion import make_motion
    from tdmm.render.clip import identity
    from tdmm.render.options import RenderOptions

    names = model.expression_names
    anybody = make_motion([[0.0] * len(names)], names, face_model=model.name, face_model_sha256=model.sha256)  # type: ignore[arg-type]
    return identity(anybody, model, RenderOptions(identity=wanted, seed=seed)).numpy()
