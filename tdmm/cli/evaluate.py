"""`tdmm evaluate`: scores of predictions against references."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tdmm.cli import face_models, paths
from tdmm.cli.console import Console
from tdmm.cli.options import (
    DebugOption,
    DeviceChoice,
    DeviceOption,
    FaceModelOption,
    ForceOption,
    JsonOption,
    QuietOption,
    choose_device,
)
from tdmm.cli.score_table import score_table
from tdmm.cli.usage import UsageError
from tdmm.errors import EvaluationError

if TYPE_CHECKING:
    from tdmm.engine import Engine
    from tdmm.evaluate.evaluator.store import Evaluator
    from tdmm.evaluate.report import Report

WORKER_BYTES = 700_000_000
_FAILURES_TOLD = 20

group = typer.Typer(
    name="evaluate",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Score predictions against references, by the field's protocols.",
)

Predictions = Annotated[str, typer.Argument(metavar="PREDICTIONS", help="A folder of motions ID.npz, or a corpus.")]
ReferenceOption = Annotated[
    str, typer.Option("--reference", "-r", metavar="CORPUS", help="The corpus that the predictions are about.")
]
SplitOption = Annotated[
    list[str] | None,
    typer.Option("--split", metavar="NAME,...", help="Of which splits of the references.", show_default="all"),
]
EvaluatorOption = Annotated[
    str | None, typer.Option("--evaluator", metavar="DIR", help="Another evaluator.", show_default="that of tdmm")
]
RepeatsOption = Annotated[
    int, typer.Option("--repeats", metavar="N", help="Repetitions of what draws pairs and pools.")
]
SeedOption = Annotated[int, typer.Option("--seed", metavar="N", help="Other pairs and pools are drawn.")]
PlotOption = Annotated[str | None, typer.Option("--plot", metavar="OUT.png", help="Draw the scores.")]


@group.command("animate")
def animate(
    predictions: Predictions,
    reference: ReferenceOption,
    split: SplitOption = None,
    evaluator: EvaluatorOption = None,
    repeats: RepeatsOption = 20,
    seed: SeedOption = 0,
    tokens: Annotated[
        str | None,
        typer.Option("--tokens", metavar="TOKENS.jsonl", help="The predictions' tokens, for token accuracy."),
    ] = None,
    reference_tokens: Annotated[
        str | None, typer.Option("--reference-tokens", metavar="TOKENS.jsonl", help="The tokens that they should be.")
    ] = None,
    workers: Annotated[
        str, typer.Option("--workers", metavar="N|auto", help="Processes that measure events.")
    ] = "auto",
    plot: PlotOption = None,
    device: DeviceOption = DeviceChoice.auto,
    force: ForceOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Score motions that were animated from texts (Language2Motion).

    FID, R-Precision, MM-Dist, Diversity and MultiModality after Guo et al. (2022), the paper's L2 and FD, statistics
    of how motions move, and event accuracy: whether a motion shows what its text asks for. Predictions are motions
    called ID.npz after the clips of the reference; further samples of a text lie in a folder ID/. Beside each score
    stands that of the real motions. Exit code 1 when predictions failed; the scores count them.

    \b
    Examples:
      tdmm evaluate animate predictions/ --reference corpus --split test
      tdmm evaluate animate predictions/ -r corpus --split test,test-free --plot scores.png
      tdmm evaluate animate corpus -r corpus --json | jq '.scores."embedding/FID"'
    """
    from tdmm.cli.engines import EngineChoice, choose_engine, count_of_workers
    from tdmm.evaluate.inputs import motion_predictions, read_references
    from tdmm.evaluate.tasks.animate import evaluate_animate

    console = Console(quiet=quiet)
    _check(plot, force, repeats=repeats, seed=seed)
    references = read_references(reference, _splits(split))
    engine: Engine = choose_engine(EngineChoice.local, None, count_of_workers(workers), WORKER_BYTES)
    report = evaluate_animate(
        references,
        motion_predictions(predictions, references),
        _evaluator(evaluator, device),
        repeats=repeats,
        seed=seed,
        tokens=None if tokens is None or reference_tokens is None else (reference_tokens, tokens),
        engine=engine,
    )
    _tell(report, plot, console, as_json=as_json)


@group.command("describe")
def describe(
    predictions: Annotated[
        str, typer.Argument(metavar="PREDICTIONS.jsonl|-", help='JSON lines {"id", "text"}, and "answers": [...].')
    ],
    reference: ReferenceOption,
    split: SplitOption = None,
    evaluator: EvaluatorOption = None,
    repeats: RepeatsOption = 20,
    seed: SeedOption = 0,
    bert_score: Annotated[
        str | None, typer.Option("--bert-score", metavar="MODEL", help="Also BERTScore, by this encoder (path or hub).")
    ] = None,
    judge: Annotated[
        str | None,
        typer.Option(
            "--judge",
            metavar="URL|PATH",
            help="Also a judge: an OpenAI-compatible endpoint (key in TDMM_JUDGE_KEY), or a model.",
        ),
    ] = None,
    judge_model: Annotated[
        str | None, typer.Option("--judge-model", metavar="NAME", help="The endpoint's model.", show_default="none")
    ] = None,
    plot: PlotOption = None,
    device: DeviceOption = DeviceChoice.auto,
    force: ForceOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Score texts that were made from motions (Motion2Language).

    BLEU, ROUGE-L, CIDEr, R-Precision of the texts, precision and recall of the attributes that they state (emotion,
    intensity, actions, head, gaze, speech, side, count, order, stillness), how much is made up, and answers to the
    questions of the reference. Exit code 1 when predictions failed; the scores count them.

    \b
    Examples:
      tdmm evaluate describe captions.jsonl --reference corpus --split test
      tdmm evaluate describe captions.jsonl -r corpus --bert-score models/roberta-large
      tdmm evaluate describe - -r corpus --judge http://localhost:8000/v1 --judge-model qwen < captions.jsonl
    """
    from tdmm.evaluate.inputs import read_references, text_predictions
    from tdmm.evaluate.tasks.describe import evaluate_describe

    console = Console(quiet=quiet)
    _check(plot, force, repeats=repeats, seed=seed)
    references = read_references(reference, _splits(split))
    report = evaluate_describe(
        references,
        text_predictions(_lines(predictions), predictions),
        _evaluator(evaluator, device),
        repeats=repeats,
        seed=seed,
        bert_model=bert_score,
        ask_judge=_judge(judge, judge_model, device),
        device=choose_device(device) if bert_score is not None else "cpu",
    )
    _tell(report, plot, console, as_json=as_json)


@group.command("reconstruction")
def reconstruction(
    predictions: Predictions,
    reference: ReferenceOption,
    split: SplitOption = None,
    tokens: Annotated[
        str | None, typer.Option("--tokens", metavar="TOKENS.jsonl", help="The tokens, for the use of the codebook.")
    ] = None,
    codebook: Annotated[
        int | None, typer.Option("--codebook", metavar="N", help="How many codes there are.", show_default="not told")
    ] = None,
    face_model: FaceModelOption = "builtin",
    plot: PlotOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Score motions that should be the same as the references.

    Vertex errors of face, lips and eyelids with and without head pose, velocity, lips that close, blinks, and the use
    of the codebook. Exit code 1 when predictions failed.

    \b
    Examples:
      tdmm evaluate reconstruction decoded/ --reference corpus --split val
      tdmm evaluate reconstruction decoded/ -r motions/ --tokens tokens.jsonl --codebook 512
    """
    from tdmm.evaluate.inputs import motion_predictions, read_references
    from tdmm.evaluate.tasks.reconstruct import evaluate_reconstruction

    console = Console(quiet=quiet)
    _check(plot, force)
    if codebook is not None and tokens is None:
        raise UsageError("--codebook says how many codes the tokens may use: it needs --tokens TOKENS.jsonl")
    if codebook is not None and codebook < 1:
        raise UsageError(f"--codebook {codebook}: expected a positive number")
    references = read_references(reference, _splits(split))
    report = evaluate_reconstruction(
        references,
        motion_predictions(predictions, references),
        face_models.load_for_fitting(face_model, console, None),
        tokens=tokens,
        codebook=codebook,
    )
    _tell(report, plot, console, as_json=as_json)


@group.command("fit")
def fit(
    predictions: Predictions,
    reference: Annotated[
        str | None,
        typer.Option(
            "--reference",
            "-r",
            metavar="CORPUS",
            help="The true motions.",
            show_default="none: reprojection and jitter",
        ),
    ] = None,
    split: SplitOption = None,
    face_model: FaceModelOption = "builtin",
    plot: PlotOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Score fitted motions, against the truth where it is known.

    Vertices, correlation of each expression, pose, gaze and blinks against true motions; reprojection and jitter
    without. Exit code 1 when predictions failed.

    \b
    Examples:
      tdmm fit corpus/videos -o fitted/
      tdmm evaluate fit fitted/ --reference corpus
      tdmm evaluate fit motions/
    """
    from tdmm.evaluate.inputs import motion_predictions, read_references
    from tdmm.evaluate.tasks.fitting import evaluate_fit

    console = Console(quiet=quiet)
    _check(plot, force)
    if split and reference is None:
        raise UsageError("--split chooses among references: it needs --reference CORPUS")
    references = None if reference is None else read_references(reference, _splits(split))
    model = face_models.load_for_fitting(face_model, console, None)
    found = motion_predictions(predictions, references or ())
    _tell(evaluate_fit(references, found, model), plot, console, as_json=as_json)


@group.command("evaluator")
def evaluator_(
    corpora: Annotated[list[str], typer.Argument(metavar="CORPUS", help="Corpora that it was not trained on.")],
    evaluator: EvaluatorOption = None,
    split: SplitOption = None,
    seed: SeedOption = 0,
    device: DeviceOption = DeviceChoice.auto,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Ask whether an evaluator can be trusted.

    R-Precision of real pairs in pools of 32, and what it makes of deliberately damaged motions: the more damage, the
    farther from their texts they should be.

    \b
    Examples:
      tdmm generate-corpus -o held-out --hours 70 --motions-only --seed 7
      tdmm evaluate evaluator held-out --split test
    """
    from tdmm.evaluate.evaluator.damage import DAMAGES
    from tdmm.evaluate.evaluator.examples import read_examples
    from tdmm.evaluate.evaluator.sanity import SEVERITIES, damage_curves, real_pairs
    from tdmm.evaluate.report import Report, sign
    from tdmm.evaluate.retrieval import R_PRECISION_POOL

    console = Console(quiet=quiet)
    _check(None, False, seed=seed)
    used = _evaluator(evaluator, device)
    examples = read_examples(list(corpora), _splits(split))
    if missing := [name for name in _splits(split) or () if name not in examples.splits]:
        raise EvaluationError(f"{', '.join(corpora)}: no clip of the split {missing[0]} has a motion and a text")
    signature = sign("evaluator", evaluator=used.fingerprint, clips=len(examples), repeats=20, seed=seed)
    report = Report("evaluator", signature, len(examples))
    for name, score in real_pairs(used, examples, seed=seed).items():
        report.add(name.replace("_", " "), score, group="real pairs")
    for curve in damage_curves(used, examples, seed=seed):
        for severity, distance, nearer in zip(SEVERITIES, curve.mm_dist, curve.nearer, strict=True):
            note = f"the real one is nearer to {nearer:.1%} of the texts" if severity else f"{curve.clips} clips"
            report.add(f"MM-Dist, severity {severity:g}", distance, group=curve.damage, higher=True, note=note)
        report.details.setdefault("monotone", {})[curve.damage] = curve.monotone
    for damage in DAMAGES:
        if damage not in report.details.get("monotone", {}):
            report.add("MM-Dist", None, group=damage, note=f"fewer than {R_PRECISION_POOL} clips contradict it")
    _tell(report, None, console, as_json=as_json)


def _check(plot: str | None, force: bool, *, repeats: int = 1, seed: int = 0) -> None:
    if repeats < 1:
        raise UsageError(f"--repeats {repeats}: expected a positive number")
    if seed < 0:
        raise UsageError(f"--seed {seed}: expected a number from 0 on")
    if plot is not None:
        if Path(plot).suffix.lower() != ".png":
            raise UsageError(f"--plot {plot}: expected a name that ends in .png")
        paths.check_place(plot, force=force)
        from tdmm.evaluate.plots import check_plots

        check_plots()


def _splits(given: Sequence[str] | None) -> list[str] | None:
    names = [part.strip() for value in given or () for part in value.split(",") if part.strip()]
    return names or None


def _evaluator(folder: str | None, device: DeviceChoice) -> Evaluator:
    from tdmm.evaluate.evaluator.store import load_evaluator

    return load_evaluator(folder).to(choose_device(device))


def _lines(source: str) -> list[str]:
    from tdmm.evaluate.inputs import read_lines

    return read_lines(paths.stdin_bytes().read() if source == paths.STANDARD else Path(source).read_bytes(), source)


def _judge(where: str | None, model: str | None, device: DeviceChoice) -> Callable[[str], str] | None:
    if where is None:
        if model is not None:
            raise UsageError("--judge-model needs --judge URL")
        return None
    from tdmm.evaluate.judge import Endpoint, LocalModel

    if "://" in where:
        if model is None:
            raise UsageError("--judge URL needs the name of a model: --judge-model NAME")
        return Endpoint(where, model, key=os.environ.get("TDMM_JUDGE_KEY", ""))
    if model is not None:
        raise UsageError("--judge-model names a model of an endpoint: --judge URL; a path is the model itself")
    return LocalModel(where, device=choose_device(device))


def _tell(report: Report, plot: str | None, console: Console, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(_without_nan(report.as_dict()), allow_nan=False) + "\n")
    else:
        sys.stdout.write(score_table(report))
    sys.stdout.flush()
    if plot is not None:  # the scores are told already, should it fail
        from tdmm.evaluate.plots import write_plot

        write_plot(report, plot)
    if strangers := report.details.get("without_reference"):
        console.say(
            f"{len(strangers)} predictions are of none of the {report.references} references: {strangers[0]} ..."
        )
    for failure in report.failures[:_FAILURES_TOLD]:
        console.error(f"{failure.id}: {failure.reason}")
    if report.failures:
        more = len(report.failures) - _FAILURES_TOLD
        told = f"; {more} more are not shown (--json lists them)" if more > 0 else ""
        console.error(f"{len(report.failures)} of {report.references} predictions failed, and count as such{told}")
        raise typer.Exit(1)


def _without_nan(value: Any) -> Any:
    """JSON has neither NaN nor infinity."""
    if isinstance(value, dict):
        return {name: _without_nan(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
