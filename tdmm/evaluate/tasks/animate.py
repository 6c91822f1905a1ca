"""Language2Motion: motions that were animated from texts, against the corpus that the texts are from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from tdmm.engine import Engine, in_sequence, run_over
from tdmm.errors import EvaluationError
from tdmm.evaluate.distribution import MULTIMODALITY_SAMPLES, diversity, fid, multimodality
from tdmm.evaluate.evaluator.store import Evaluator
from tdmm.evaluate.events.accuracy import ClipEvents, EventResult, EventScores, clip_events, summarise_events
from tdmm.evaluate.inputs import Failed, Reference, fingerprint, load_motions
from tdmm.evaluate.motion_statistics import compare_statistics, frechet_feature_distance, l2_distance
from tdmm.evaluate.repeats import REPEATS, Score, repeated, score_of
from tdmm.evaluate.report import Report, sign
from tdmm.evaluate.retrieval import retrieval
from tdmm.motion import FaceMotion

CLIPS_AT_ONCE = 50  # that a worker measures


def evaluate_animate(
    references: Mapping[str, Reference],
    predictions: Mapping[str, Sequence[str]],
    evaluator: Evaluator,
    *,
    repeats: int = REPEATS,
    seed: int = 0,
    engine: Engine = in_sequence,
) -> Report:
    """Scores of predicted motions; see docs/evaluation.md for the protocol.

    references: with texts, most with motions and events. predictions: files by id, the first of each is the prediction,
    the others are further samples. A prediction that is missing or cannot be read fails: it counts as a miss in
    R-Precision and event accuracy, and is listed. Raises `EvaluationError` where no prediction is of a reference.
    """
    truths, _ = load_motions({name: one.motion for name, one in references.items()}, "motion")
    motions, failures = load_motions(
        {name: next(iter(predictions.get(name, ())), None) for name in references}, "prediction"
    )
    motions, failures = _readable(motions, failures, truths)
    if not motions:
        raise EvaluationError("no prediction can be used: " + (failures[0].reason if failures else "do the ids match?"))
    report = Report(
        "animate",
        sign(
            "animate",
            evaluator=evaluator.fingerprint,
            references=f"{len(references)}:{fingerprint(references)}",
            failed=len(failures),
            repeats=repeats,
            seed=seed,
            pool=32,
        ),
        len(references),
        failures=failures,
    )
    ids = [name for name in references if name in motions and references[name].text]
    texts = evaluator.embed_texts([references[name].text for name in ids])
    made = evaluator.embed_motions([motions[name] for name in ids])
    both = [name for name in ids if name in truths]
    real = evaluator.embed_motions([truths[name] for name in both])
    real_texts = texts[[number for number, name in enumerate(ids) if name in truths]]
    report.embeddings = {"reference": real, "prediction": made}
    shown = len(ids) / max(1, sum(bool(one.text) for one in references.values()))
    _embedding_scores(report, texts, made, real_texts, real, shown, repeats, seed)
    _samples(report, predictions, references, evaluator, seed, repeats)
    _curves(report, motions, truths)
    _events(report, references, motions, truths, engine)
    return report


def _readable(
    motions: dict[str, FaceMotion], failures: list[Failed], truths: Mapping[str, FaceMotion]
) -> tuple[dict[str, FaceMotion], list[Failed]]:
    """Without motions of another face model than the references, or without the curves that are measured."""
    from tdmm.evaluate.evaluator.features import features_of

    model = next(iter(truths.values()), None)
    kept = {}
    for name, motion in motions.items():
        try:
            if model is not None and motion.face_model_sha256 != model.face_model_sha256:
                raise EvaluationError(f"is of the face model {motion.face_model}, the references of {model.face_model}")
            features_of(motion)
            kept[name] = motion
        except EvaluationError as error:
            failures.append(Failed(name, str(error)))
    return kept, failures


def _embedding_scores(
    report: Report,
    texts: np.ndarray,
    made: np.ndarray,
    real_texts: np.ndarray,
    real: np.ndarray,
    shown: float,
    repeats: int,
    seed: int,
) -> None:
    group = "embedding"

    def of(which: str, text: np.ndarray, motion: np.ndarray, share: float) -> Score:
        found = retrieval(text, motion, repeats, seed)[which]
        if which == "mm_dist" or share == 1:
            return found
        # A prediction that failed is a text that does not find its motion.
        return Score(found.mean * share, None if found.ci95 is None else found.ci95 * share, found.repeats, True)

    for which, name in (
        ("r_precision_top1", "R-Precision top-1"),
        ("r_precision_top2", "R-Precision top-2"),
        ("r_precision_top3", "R-Precision top-3"),
        ("mm_dist", "MM-Dist"),
    ):
        report.add(name, partial(of, which, texts, made, shown), partial(of, which, real_texts, real, 1.0), group=group)
    report.add("FID", lambda: score_of([fid(real, made)], higher_is_better=False), group=group)
    draw = partial(repeated, repeats=repeats, seed=seed, higher_is_better=None)
    report.add(
        "Diversity",
        lambda: draw(lambda random: diversity(made, random)),
        lambda: draw(lambda random: diversity(real, random)),
        group=group,
    )


def _samples(
    report: Report,
    predictions: Mapping[str, Sequence[str]],
    references: Mapping[str, Reference],
    evaluator: Evaluator,
    seed: int,
    repeats: int,
) -> None:
    """MultiModality, of the ids of which there are enough samples."""
    several = [list(files)[:MULTIMODALITY_SAMPLES] for name, files in predictions.items() if name in references]
    several = [files for files in several if len(files) >= MULTIMODALITY_SAMPLES]
    if not several:
        report.add(
            "MultiModality",
            None,
            group="embedding",
            note=f"needs {MULTIMODALITY_SAMPLES} samples a text: ID.npz and ID/*.npz",
        )
        return

    def measure() -> Score:
        embedded = []
        for files in several:
            motions, bad = load_motions({str(number): file for number, file in enumerate(files)}, "sample")
            if not bad:
                embedded.append(evaluator.embed_motions(list(motions.values())))
        if not embedded:
            raise EvaluationError("the samples cannot be read")
        return repeated(lambda random: multimodality(np.stack(embedded), random), repeats, seed, higher_is_better=None)

    report.add("MultiModality", measure, group="embedding")


def _curves(report: Report, motions: Mapping[str, FaceMotion], truths: Mapping[str, FaceMotion]) -> None:
    """The paper's L2 and FD, and how motions move altogether."""
    both = [name for name in motions if name in truths]
    pairs = [(truths[name], motions[name]) for name in both]
    report.add(
        "L2",
        lambda: score_of([float(np.mean([l2_distance(*pair) for pair in _some(pairs)]))], higher_is_better=False),
        group="curves",
    )
    report.add(
        "FD",
        lambda: score_of(
            [frechet_feature_distance([truths[name] for name in both], [motions[name] for name in both])],
            higher_is_better=False,
        ),
        group="curves",
    )
    found = compare_statistics(list(truths.values()), list(motions.values())) if truths else {}
    for name, one in found.items():
        relative = "" if one.relative is None else f"{one.relative:+.0%}"
        report.add(
            name.replace("_", " "),
            one.prediction,
            one.reference,
            group="statistics",
            unit=one.unit,
            note=relative,
        )


def _some(pairs: list[tuple[FaceMotion, FaceMotion]]) -> list[tuple[FaceMotion, FaceMotion]]:
    if not pairs:
        raise EvaluationError("no reference has a motion")
    return pairs


def measure_events(items: Sequence[tuple[str, FaceMotion, Sequence[Mapping[str, Any]]]]) -> list[ClipEvents]:
    """What some motions show of what was asked for; work for an engine."""
    return [clip_events(motion, events, name) for name, motion, events in items]


def failed_clip(name: str, events: Sequence[Mapping[str, Any]]) -> ClipEvents:
    """A prediction that is not there shows nothing of what was asked for."""
    asked = tuple(EventResult(str(e["id"]), str(e.get("kind", "")), False) for e in events if not e.get("absent"))
    return ClipEvents(name, asked, (), tuple(False for e in events if e.get("absent")), ())


def _events(
    report: Report,
    references: Mapping[str, Reference],
    motions: Mapping[str, FaceMotion],
    truths: Mapping[str, FaceMotion],
    engine: Engine,
) -> None:
    known = {name: one.line["events"] for name, one in references.items() if one.line.get("events")}
    if not known:
        report.add("event recall", None, group="events", note="the references have no events")
        return
    scores = []
    for whose in (motions, truths):
        items = [(name, whose[name], events) for name, events in known.items() if name in whose]
        parts = [items[start : start + CLIPS_AT_ONCE] for start in range(0, len(items), CLIPS_AT_ONCE)]
        outcome = run_over(parts, measure_events, engine=engine)
        if outcome.failures:
            raise outcome.failures[0].error
        clips = [clip for part in outcome.results for clip in part]
        if whose is motions:
            clips += [failed_clip(name, events) for name, events in known.items() if name not in motions]
        scores.append(summarise_events(clips) if clips else None)
    prediction, reference = scores
    for name, value in (
        ("recall", lambda s: s.overall.recall),
        ("precision", lambda s: s.overall.precision),
        ("F1", lambda s: s.overall.f1),
        ("side", lambda s: s.side.value),
        ("count", lambda s: s.count.value),
        ("level", lambda s: s.level.value),
        ("level within one", lambda s: s.level_within_one.value),
        ("order", lambda s: s.order.value),
        ("denied", lambda s: s.denied.value),
        ("clips all right", lambda s: s.complete.value),
    ):
        report.add(
            name,
            None if prediction is None else value(prediction),
            None if reference is None else value(reference),
            group="events",
            higher=True,
        )
    kinds = sorted({kind for one in scores if one is not None for kind in one.by_kind})
    for kind in kinds:
        report.add(kind, _f1(prediction, kind), _f1(reference, kind), group="event F1 by kind", higher=True)


def _f1(scores: EventScores | None, kind: str) -> float | None:
    return None if scores is None or kind not in scores.by_kind else scores.by_kind[kind].f1
