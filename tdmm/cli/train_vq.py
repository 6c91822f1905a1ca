"""`tdmm train vq`: corpora to a codec of motion tokens."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tdmm.cli import codecs, face_models
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
    choose_device,
)
from tdmm.cli.training_folder import CURVES, check_folder, draw_curves, is_main, told_when_stopped
from tdmm.cli.usage import UsageError
from tdmm.errors import TdmmError, TokensError

if TYPE_CHECKING:
    from tdmm.vq.codec import Codec
    from tdmm.vq.config import CodecConfig
    from tdmm.vq.train import TrainOptions

PRESET = "tdmm"
OF_TDMM = "builtin"  # what --begin calls the codec of tdmm, as --face-model does the head
# What a training leaves in its folder; --force takes nothing else with it.
OWN = ("config.json", "model.safetensors", "train.json", "metrics.jsonl", "checkpoint", CURVES, "README.md")


def command(
    corpora: Annotated[
        list[str], typer.Argument(metavar="CORPUS", help="Corpora with motions, or folders of motions (.npz).")
    ],
    output: Annotated[str, typer.Option("--output", "-o", metavar="DIR", help="The folder of the codec.")],
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset",
            metavar="tdmm|paper",
            help="What the codec is made of; paper: one token a frame.",
            show_default=PRESET,
        ),
    ] = None,
    begin: Annotated[
        str | None,
        typer.Option(
            "--begin",
            metavar="CODEC",
            help="Go on from what this codec has learnt (a folder, or builtin: that of tdmm), and with what it is made "
            "of, instead of at random.",
        ),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(
            "--config",
            metavar="FILE.toml",
            help="Settings: [codec], [codec.face], [codec.head], [train], [losses], [augmentation].",
        ),
    ] = None,
    stride: Annotated[
        int | None, typer.Option("--stride", metavar="1|2|4|8", help="Frames a step of tokens.", show_default="4")
    ] = None,
    codebooks: Annotated[
        int | None, typer.Option("--codebooks", metavar="N", help="Tokens of the face a step.", show_default="4")
    ] = None,
    codes: Annotated[
        int | None, typer.Option("--codes", metavar="N", help="Codes in each codebook.", show_default="1024")
    ] = None,
    quantiser: Annotated[
        str | None, typer.Option("--quantiser", metavar="rvq|fsq", help="How to quantise.", show_default="rvq")
    ] = None,
    loss: Annotated[
        str | None,
        typer.Option(
            "--loss",
            metavar="geometry|parameters",
            help="By where vertices are, or (for comparison) by parameters, which the encoder then sees too.",
            show_default="geometry",
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", metavar="N", help="Steps of training.", show_default="20000")
    ] = None,
    batch: Annotated[
        int | None, typer.Option("--batch", metavar="N", help="Windows a step.", show_default="256")
    ] = None,
    frames: Annotated[
        int | None, typer.Option("--frames", metavar="N", help="Frames a window.", show_default="96")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option("--learning-rate", metavar="X", help="The highest one.", show_default="0.0025")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option("--seconds", metavar="S", help="Stop after so long.", show_default="no limit")
    ] = None,
    every: Annotated[
        int | None,
        typer.Option(
            "--every",
            metavar="N",
            help="Steps between two looks at the split val, and checkpoints.",
            show_default="1000",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", metavar="N", help="Another seed, another codec.", show_default="0")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the checkpoint in DIR, or begin where there is none.")
    ] = False,
    face_model: FaceModelOption = "builtin",
    device: DeviceOption = DeviceChoice.auto,
    force: ForceOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
    debug: DebugOption = False,
) -> None:
    """Train a codec between motions and tokens.

    It learns from the split train; the best on val is kept. Options count for more than --config, and that for more
    than --preset. --begin adapts a codec that is there to other motions. DIR gets config.json and model.safetensors,
    metrics.jsonl, and curves.png where matplotlib is installed; a training that was stopped goes on with --resume.
    Runs on several GPUs under accelerate launch. Needs the extra train: pip install 'tdmm[train]'.

    \b
    Examples:
      tdmm generate-corpus -o corpus --hours 80 --motions-only
      tdmm train vq corpus -o my-codec
      tdmm train vq corpus -o my-codec --resume               goes on where it was stopped
      tdmm train vq corpus more -o coarse --stride 8 --codebooks 4
      tdmm train vq corpus -o paper --preset paper --seconds 3600
      tdmm train vq corpus -o my-codec --config vq.toml
      tdmm train vq fits/ -o adapted --begin builtin --steps 2000 --learning-rate 0.0005
      tdmm tokenize motion.npz --codec my-codec
      accelerate launch --num_processes 8 -m tdmm train vq corpus -o my-codec
    """
    main = is_main()
    console = Console(quiet=quiet or not main, verbose=verbose and main)
    given: dict[str, dict[str, Any]] = {
        "codec": {"stride": stride, "quantiser": quantiser},
        "codec.face": {"codebooks": codebooks, "codes": codes},
        "codec.head": {"codes": codes},
        "train": {
            "steps": steps,
            "batch": batch,
            "frames": frames,
            "learning_rate": learning_rate,
            "seconds": seconds,
            "every": every,
            "seed": seed,
            "loss": loss,
        },
    }
    try:
        if main:
            check_folder(output, OWN, "a codec", resume=resume, force=force)
        if begin is not None and preset is not None:
            raise UsageError("--begin takes what its codec is made of, not a preset: choose one")
        begun = None if begin is None else _begun(begin, face_model, console)
        codec, options = _settings(PRESET if preset is None else preset, begun, config, given)
        told = _train(corpora, output, codec, options, begun, face_model, device, console, resume=resume)
    except TdmmError as error:
        if main:
            raise
        raise typer.Exit(1) from error  # the main process tells
    if as_json and main:
        sys.stdout.write(json.dumps(told) + "\n")


def _begun(begin: str, face_model: str, console: Console) -> Codec:
    """What a codec has learnt. Raises `TokensError` where there is none, or it is of another face model."""
    return codecs.load(None if begin == OF_TDMM else begin, face_model, DeviceChoice.cpu, console)


def _settings(
    preset: str, begun: Codec | None, config: str | None, given: dict[str, dict[str, Any]]
) -> tuple[CodecConfig, TrainOptions]:
    """What is trained and how: the preset or what the codec to begin with is made of, but for what the file says, but
    for the options."""
    from tdmm.vq.config_file import Settings, read_settings
    from tdmm.vq.train import TrainOptions

    settings = Settings() if config is None else read_settings(config)
    for table, values in given.items():
        settings = settings.also(table, **values)
    try:
        options = settings.options()
        if options.loss == "parameters" and begun is None and not settings.says("codec", "input"):
            settings = settings.also("codec", input="parameters")
        if not settings.says("train", "warmup"):
            # A short training still has its full learning rate for most of its time.
            warmup = min(TrainOptions.warmup, max(1, options.steps // 10))
            options = settings.also("train", warmup=warmup).options()
        codec = settings.codec(preset if begun is None else begun.config)
        if options.frames % codec.stride:
            raise TokensError(f"frames: expected a multiple of the stride {codec.stride}, found {options.frames}")
    except TokensError as error:
        raise UsageError(str(error)) from error
    return codec, options


def _train(
    corpora: list[str],
    output: str,
    codec: CodecConfig,
    options: TrainOptions,
    begun: Codec | None,
    face_model: str,
    device: DeviceChoice,
    console: Console,
    *,
    resume: bool,
) -> dict[str, Any]:
    from tdmm.vq.curves import write_curves
    from tdmm.vq.train import train_vq

    # The losses look at lips and lids, which the landmarks tell.
    model = face_models.load_for_fitting(face_model, console, None)
    console.detail(f"{codec}; {options}")
    with told_when_stopped(output, console), console.steps("vq") as bar:

        def reading(done: int, total: int) -> None:
            if bar is not None:
                bar.to(done, total, "motions read")

        def told(line: dict[str, Any]) -> None:
            use = sum(line["use"]) / len(line["use"])
            if bar is not None:
                bar.to(line["step"], line["steps"], f"loss {line['loss']:.3f}, {use:.0%} of codes used")
            val = ", ".join(f"{name} {value:.3f}" for name, value in line["val"].items())
            console.say(f"step {line['step']}: loss {line['loss']:.3f}; val {val}; {use:.0%} of codes used")

        found = train_vq(
            corpora,
            output,
            model,
            config=codec,
            options=options,
            device=choose_device(device),
            begin=begun,
            resume=resume,
            progress=told,
            reading=reading,
        )
    draw_curves(write_curves, found.pop("history"), output, console)
    facts = {"codec": output, "tokens_per_second": codec.tokens_per_second, **found}
    console.say(
        f"{output}: {found['steps']} steps, {found['frames']} frames to learn from, {found['parameters']} parameters, "
        f"{codec.tokens_per_second:g} tokens a second"
    )
    return facts
