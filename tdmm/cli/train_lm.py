"""`tdmm train lm`: corpora to a language model that reads and writes facial motion."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tdmm.cli.console import Console
from tdmm.cli.engines import EngineChoice, choose_engine, count_of_workers
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
from tdmm.errors import LmError, TdmmError

if TYPE_CHECKING:
    from tdmm.lm.examples import TaskMix
    from tdmm.lm.train import TrainOptions

NOTHING = "none"
HEAD = 64  # numbers of an attention head
WORKER_BYTES = 900_000_000
# Whose settings differ, and in what; an option counts for more.
PRESETS: dict[str, dict[str, Any]] = {"tdmm": {}, "paper": {"encoder_decoder": True}}
# Models that have learnt something are changed in small steps.
RATE_OF_A_BASE, RATE_OF_LORA = 1e-4, 5e-4


def command(
    corpora: Annotated[
        list[str], typer.Argument(metavar="CORPUS", help="Corpora with motions, texts and the splits train and val.")
    ],
    output: Annotated[str, typer.Option("--output", "-o", metavar="DIR", help="The folder of the language model.")],
    base: Annotated[
        str,
        typer.Option(
            "--base",
            metavar="ID|PATH|none",
            help="A causal language model or an encoder-decoder (T5) of Hugging Face to begin with; none: at random.",
        ),
    ] = NOTHING,
    preset: Annotated[
        str,
        typer.Option(
            "--preset",
            metavar="tdmm|paper",
            help="What a model from nothing is: one decoder, or (paper) an encoder that reads the words of the prompt.",
        ),
    ] = "tdmm",
    width: Annotated[
        int | None,
        typer.Option(
            "--width",
            metavar="N",
            help="Of a model from nothing, a multiple of 64.",
            show_default="384: 14 M parameters",
        ),
    ] = None,
    layers: Annotated[
        int | None, typer.Option("--layers", metavar="N", help="Of a model from nothing.", show_default="6")
    ] = None,
    codec: Annotated[
        str | None,
        typer.Option("--codec", metavar="DIR", help="The codec whose tokens it learns.", show_default="that of tdmm"),
    ] = None,
    lora: Annotated[
        int, typer.Option("--lora", metavar="RANK", help="Of a base, learn adapters of this rank; 0: all weights.")
    ] = 0,
    steps: Annotated[
        int | None, typer.Option("--steps", metavar="N", help="Steps of training.", show_default="20000")
    ] = None,
    rows: Annotated[
        int | None, typer.Option("--rows", metavar="N", help="Rows of a batch, of each process.", show_default="64")
    ] = None,
    length: Annotated[
        int | None,
        typer.Option(
            "--length", metavar="N", help="Tokens of a row, which holds several examples.", show_default="1024"
        ),
    ] = None,
    accumulate: Annotated[
        int | None, typer.Option("--accumulate", metavar="N", help="Batches of a step.", show_default="1")
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            "--learning-rate", metavar="X", help="The highest one.", show_default="0.002; of a base 0.0001, LoRA 0.0005"
        ),
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
    fitted: Annotated[
        int | None,
        typer.Option(
            "--fitted",
            metavar="N",
            help="Variants of each motion as tdmm fit would give it back, to be described.",
            show_default="1",
        ),
    ] = None,
    fits: Annotated[
        list[str] | None,
        typer.Option(
            "--fits",
            metavar="DIR",
            help="Fits of the clips' videos, ID.npz, to be described too; may be given several times.",
        ),
    ] = None,
    coarse_weight: Annotated[
        float | None,
        typer.Option(
            "--coarse-weight",
            metavar="X",
            help="How much codes that say what happens count beside those that say how exactly.",
            show_default="1",
        ),
    ] = None,
    mix: Annotated[
        list[str] | None,
        typer.Option(
            "--mix",
            metavar="TASK=X",
            help="How often a task is drawn, or short, long and timeline of descriptions; may be given several times.",
            show_default="that of docs/language.md",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", metavar="N", help="Another seed, another model.", show_default="0")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the checkpoint in DIR, or begin where there is none.")
    ] = False,
    workers: Annotated[
        str, typer.Option("--workers", metavar="N|auto", help="Processes that turn motions into tokens.")
    ] = "auto",
    face_model: FaceModelOption = "builtin",
    device: DeviceOption = DeviceChoice.auto,
    force: ForceOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
    debug: DebugOption = False,
) -> None:
    """Train a language model that reads and writes facial motion.

    It learns to animate texts, to describe motions, to answer questions about them, to continue and to fill in, from
    the split train; the best on val is kept. DIR gets a model that AutoModelForCausalLM and AutoTokenizer of
    transformers load, metrics.jsonl, and curves.png where matplotlib is installed; a training that was stopped goes on
    with --resume. Runs on several GPUs under accelerate launch. Needs the extra train: pip install 'tdmm[train]'.

    \b
    Examples:
      tdmm generate-corpus -o corpus --hours 80 --motions-only
      tdmm train lm corpus -o my-lm
      tdmm train lm corpus -o my-lm --resume                  goes on where it was stopped
      tdmm train lm corpus -o my-lm --fits fits               of tdmm fit corpus/videos -o fits
      tdmm train lm corpus -o paper --preset paper
      tdmm train lm corpus -o qwen --base Qwen/Qwen3-0.6B --lora 16 --rows 8
      tdmm train lm corpus -o flan --base google/flan-t5-base --rows 16
      tdmm animate "smiles, then nods" --model my-lm -o out.mp4
      accelerate launch --num_processes 8 -m tdmm train lm corpus -o my-lm
    """
    main = is_main()
    console = Console(quiet=quiet or not main, verbose=verbose and main)
    if preset not in PRESETS:
        raise UsageError(f"--preset {preset}: expected one of {', '.join(PRESETS)}")
    if base != NOTHING and preset != "tdmm":
        raise UsageError("--base takes the base as it is made, not a preset: choose one")
    if base != NOTHING and (width is not None or layers is not None):
        raise UsageError("--width and --layers are of a model from nothing, not of a --base")
    given = {
        "base": base,
        "lora": lora,
        "steps": steps,
        "rows": rows,
        "length": length,
        "accumulate": accumulate,
        "learning_rate": learning_rate,
        "seconds": seconds,
        "every": every,
        "fitted": fitted,
        "coarse_weight": coarse_weight,
        "seed": seed,
    }
    try:
        if main:
            check_folder(output, OWN, "a language model", resume=resume, force=force)
        options = _options(PRESETS[preset], given, width, layers, mix or [])
        told = _train(corpora, output, fits or [], options, codec, face_model, workers, device, console, resume=resume)
    except TdmmError as error:
        if main:
            raise
        raise typer.Exit(1) from error  # the main process tells
    if as_json and main:
        sys.stdout.write(json.dumps(told) + "\n")


# What a training leaves in its folder; --force takes nothing else with it.
OWN = (
    *("config.json", "generation_config.json", "model.safetensors", "model-*.safetensors"),
    *("model.safetensors.index.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"),
    *("spiece.model", "words.txt", "train.json", "metrics.jsonl", "checkpoint", CURVES, "README.md"),
    *("added_tokens.json", "vocab.json", "merges.txt", "tokenizer.model", "chat_template.jinja"),
)


def _options(
    preset: dict[str, Any], given: dict[str, Any], width: int | None, layers: int | None, mix: list[str]
) -> TrainOptions:
    from tdmm.lm.backbone import BackboneConfig
    from tdmm.lm.train import TrainOptions

    said = {**preset, **{name: value for name, value in given.items() if value is not None}}
    if "learning_rate" not in said and said["base"] != NOTHING:
        said["learning_rate"] = RATE_OF_LORA if said["lora"] else RATE_OF_A_BASE
    # A short training still has its full learning rate for most of its time.
    said.setdefault("warmup", min(TrainOptions.warmup, max(1, said.get("steps", TrainOptions.steps) // 10)))
    if width is not None and (width < HEAD or width % HEAD):
        raise UsageError(f"--width {width}: expected a multiple of {HEAD}")
    size = {} if layers is None else {"layers": layers}
    if width is not None:
        heads = width // HEAD
        size |= {"hidden": width, "heads": heads, "kv_heads": heads, "intermediate": width * 8 // 3}
    try:
        return TrainOptions(**said, mix=_mix(mix), backbone=BackboneConfig(**size))
    except LmError as error:
        raise UsageError(str(error)) from error


def _mix(given: list[str]) -> TaskMix:
    from tdmm.lm.examples import TaskMix
    from tdmm.lm.vocabulary import DETAILS, TASKS

    said = {}
    for one in given:
        name, _, share = one.partition("=")
        if name not in (*TASKS, *DETAILS):
            raise UsageError(f"--mix {one}: expected NAME=X, NAME one of {', '.join((*TASKS, *DETAILS))}")
        try:
            said[name] = float(share)
        except ValueError as error:
            raise UsageError(f"--mix {one}: expected a number after {name}=, found {share!r}") from error
    return TaskMix.of(said)


def _train(
    corpora: list[str],
    output: str,
    fits: list[str],
    options: TrainOptions,
    codec: str | None,
    face_model: str,
    workers: str,
    device: DeviceChoice,
    console: Console,
    *,
    resume: bool,
) -> dict[str, Any]:
    from tdmm.lm.curves import write_curves
    from tdmm.lm.train import train_lm

    console.detail(str(options))
    engine = choose_engine(EngineChoice.local, None, count_of_workers(workers), WORKER_BYTES)
    with told_when_stopped(output, console), console.steps("lm") as bar:

        def reading(done: int, total: int) -> None:
            if bar is not None:
                bar.to(done, total, "motions turned into tokens")

        def told(line: dict[str, Any]) -> None:
            speed = f"{line['tokens_per_second'] / 1000:.0f}k tokens/s"
            if "mfu" in line:
                speed += f", {line['mfu']:.1%} of the peak"
            if bar is not None:
                bar.to(line["step"], line["steps"], f"loss {line['loss']:.3f}, {speed}")
            val = ", ".join(f"{name} {value:.3f}" for name, value in line["val"].items())
            console.say(f"step {line['step']}: loss {line['loss']:.3f}; val {val}; {speed}")

        found = train_lm(
            corpora,
            output,
            fits=fits,
            options=options,
            codec=codec,
            face_model=face_model,
            device=choose_device(device),
            resume=resume,
            engine=engine,
            progress=told,
            reading=reading,
        )
    draw_curves(write_curves, found.pop("history"), output, console)
    console.say(
        f"{output}: {found['steps']} steps, {found['clips']} clips to learn from, {found['parameters']} parameters"
    )
    return {"model": output, **found}
