"""`tdmm train`: corpora to models; the evaluator. `tdmm train vq` and `lm` are modules of their own."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from tdmm.cli import paths, train_lm, train_vq
from tdmm.cli.console import Console
from tdmm.cli.options import (
    DebugOption,
    DeviceChoice,
    DeviceOption,
    ForceOption,
    JsonOption,
    QuietOption,
    VerboseOption,
    choose_device,
)
from tdmm.cli.usage import UsageError
from tdmm.errors import EvaluationError

group = typer.Typer(
    name="train",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Train the models of tdmm on a corpus.",
)
group.command("vq")(train_vq.command)
group.command("lm")(train_lm.command)


@group.command("evaluator")
def evaluator(
    corpora: Annotated[
        list[str], typer.Argument(metavar="CORPUS", help="Corpora with motions, texts and the splits train and val.")
    ],
    output: Annotated[str, typer.Option("--output", "-o", metavar="DIR", help="The folder of the evaluator.")],
    steps: Annotated[int, typer.Option("--steps", metavar="N", help="Steps of training.")] = 8000,
    batch: Annotated[int, typer.Option("--batch", metavar="N", help="Pairs a step.")] = 512,
    learning_rate: Annotated[float, typer.Option("--learning-rate", metavar="X", help="The highest one.")] = 1e-3,
    loss: Annotated[
        str, typer.Option("--loss", metavar="infonce|margin", help="InfoNCE as TMR, or the classic pairwise margin.")
    ] = "infonce",
    seconds: Annotated[
        float | None, typer.Option("--seconds", metavar="S", help="Stop after so long.", show_default="no limit")
    ] = None,
    every: Annotated[int, typer.Option("--every", metavar="N", help="Steps between two looks at the val split.")] = 500,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Another seed, another evaluator.")] = 0,
    device: DeviceOption = DeviceChoice.auto,
    force: ForceOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
    debug: DebugOption = False,
) -> None:
    """Train the evaluator by which texts and motions are compared.

    One encoder reads texts, another motions; a text comes to lie near the motion it asks for. Trained on the split
    train; the best on val is kept. docs/evaluation.md tells more.

    \b
    Examples:
      tdmm generate-corpus -o corpus --hours 200 --motions-only
      tdmm train evaluator corpus -o evaluator
      tdmm train evaluator corpus more -o evaluator --loss margin --steps 20000
    """
    console = Console(quiet=quiet, verbose=verbose)
    if output == paths.STANDARD:
        raise UsageError("-o -: an evaluator is a folder, which standard output cannot be; name one")
    if Path(output).is_file():
        raise UsageError(f"-o {output} is a file; an evaluator is a folder")
    paths.check_place(output, force=force)
    from tdmm.evaluate.evaluator.store import FILES
    from tdmm.evaluate.evaluator.train import TrainOptions, train_evaluator

    # The folder is replaced as a whole: --force must not take a corpus, or a home, with it.
    if Path(output).is_dir() and (others := {path.name for path in Path(output).iterdir()} - {*FILES, "README.md"}):
        raise UsageError(f"-o {output} holds {min(others)}, which is of no evaluator; name another folder")
    try:
        options = TrainOptions(
            steps=steps,
            batch=batch,
            learning_rate=learning_rate,
            warmup=min(400, max(1, steps // 10)),
            loss=loss,
            every=every,
            seconds=seconds,
            seed=seed,
        )
    except EvaluationError as error:
        raise UsageError(str(error)) from error
    with console.batch(steps, "steps") as bar:

        def told(step: int, total: int, scores: dict[str, float]) -> None:
            if bar is not None:
                bar.to(step, total, 0)
            console.say(f"step {step}: " + ", ".join(f"{name} {value:.3f}" for name, value in scores.items()))

        found = train_evaluator(list(corpora), output, options=options, device=choose_device(device), progress=told)
    console.say(f"{output}: R-Precision top-1 {found['best_top1']:.3f} on val, {found['clips']} clips to learn from")
    if as_json:
        sys.stdout.write(json.dumps({"evaluator": output, **found}) + "\n")
