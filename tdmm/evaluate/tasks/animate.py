"""Language2Motion: motions that were animated from texts, against the corpus that the texts are from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from tdmm.engine import Engine, in_sequence, run_over
from tdmm.errors import EvaluationError, TokensError
from tdmm.evaluate.distribution import MULTIMODALITY_SAMPLES, diversity, fid, multimodality
from tdmm.evaluate.evaluator.features import features_of
from tdmm.evaluate.evaluator.store import Evaluator
from tdmm.evaluate.events.accuracy import ClipEvents, EventResult, EventScores, clip_events, summarise_events
from tdmm.evaluate.events.signs import KIND
from tdmm.evaluate.inputs import Failed, Reference, by_id, fingerprint, in_order, load_motions, strangers
from tdmm.evaluate.motion_statistics import (
    compare_statistics,
    frechet_feature_distance,
    l2_distance,
    token_accuracy,
)
from tdmm.evaluate.repeats import REPEATS, Score, repeated, score_of
from tdmm.evaluate.report import Report, sign
from tdmm.evaluate.tasks.retrieval_lines import add_retrieval
from tdmm.io.tokens_file import read_codes
from tdmm.motion import FaceMotion

CLIPS_AT_ONCE = 50  # that a worker measures


def evaluate_animate(
    references: Mapping[str, Reference],
    predictions: Mapping[str, Sequence[str]],
    evaluator: Evaluator,
    *,
    repeats: int = REPEATS,
    seed: int = 0,
    tokens: tuple[str, str] | None = None,
    engine: Engine = in_sequence,
) -> Report:
    """Scores of predicted motions; see docs/evaluation.md for the protocol.

    references: with texts, most with motions and events. predictions: files by id, the first of each is the prediction,
    the others are further samples. tokens: files of the references' and of the predictions' tokens, for token accuracy.
    A prediction that is missing or cannot be read fails: it counts as a miss in
    R-Precision and event accuracy, and is listed. Raises `EvaluationError` where no prediction is of a reference, and
    for a reference whose motion cannot be read.
    """
    references = by_id(references)
    truths = _truths(references)
    motions, failures = load_motions(
        {name: next(iter(predictions.get(name, ())), None) for name in references}, "prediction"
    )
    motions, unusable = _readable(motions, truths)
    failures = in_order([*failures, *unusable])
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
    report.details |= strangers(references, predictions)
    _embedding_scores(report, references, motions, truths, evaluator, repeats, seed)
    _samples(report, predictions, references, evaluator, seed, repeats)
    _curves(report, motions, truths)
    if tokens is not None:
        report.add("token accuracy", partial(_token_accuracy, *tokens), group="curves")
    _events(report, references, motions, truths, engine)
    return report


def _truths(references: Mapping[str, Reference]) -> dict[str, FaceMotion]:
    """The motions of the references that have one."""
    truths, bad = load_motions({name: one.motion for name, one in references.items() if one.motion is not None}, "")
    for name, motion in truths.items():
        try:
            features_of(motion)
        except EvaluationError as error:
            bad.append(Failed(name, str(error)))
    if bad:
        # Without it the scores would be of other references than the signature says.
        more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
        raise EvaluationError(f"reference {bad[0].id}: {bad[0].reason}{more}")
    return truths


def _readable(
    motions: Mapping[str, FaceMotion], truths: Mapping[str, FaceMotion]
) -> tuple[dict[str, FaceMotion], list[Failed]]:
    """Without motions of another face model than the references, of no face, or without what the evaluator reads."""
    kept: dict[str, FaceMotion] = {}
    failures = []
    models = {truth.face_model_sha256: truth.face_model for truth in truths.values()}
    for name, motion in motions.items():
        own = {truths[name].face_model_sha256: truths[name].face_model} if name in truths else models
        try:
            if own and motion.face_model_sha256 not in own:
                known = " or ".join(sorted(own.values()))
                raise EvaluationError(f"is of the face model {motion.face_model}, the references of {known}")
            if not motion.valid.any():
                raise EvaluationError("shows no face in any frame")
            features_of(motion)
            kept[name] = motion
        except EvaluationError as error:
            failures.append(Failed(name, str(error)))
    return kept, failures


def _embedding_scores(
    report: Report,
    references: Mapping[str, Reference],
    motions: Mapping[str, FaceMotion],
    truths: Mapping[str, FaceMotion],
    evaluator: Evaluator,
    repeats: int,
    seed: int,
) -> None:
    """Of all predictions that can be used, against all real motions: also those of which no prediction is there."""
    group = "embedding"
    told = [name for name in references if references[name].text]
    text_of = dict(zip(told, evaluator.embed_texts([references[name].text for name in told]), strict=True))

    def embed(whose: Mapping[str, FaceMotion]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All motions; the texts that have a motion, and theirs."""
        names = list(whose)
        found = evaluator.embed_motions([whose[name] for name in names])
        with_text = [number for number, name in enumerate(names) if name in text_of]
        texts = np.reshape([text_of[names[number]] for number in with_text], (-1, found.shape[1]))
        return found, texts, found[with_text]

    made, texts, made_of_texts = embed(motions)
    real, real_texts, real_of_texts = embed(truths)
    report.embeddings = {"reference": real, "prediction": made}
    shown = len(texts) / max(1, len(told))

    add_retrieval(report, (texts, made_of_texts), (real_texts, real_of_texts), repeats, seed, shown)
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
    sampled = [list(predictions[name]) for name in sorted(predictions) if name in references]
    several = [files[:MULTIMODALITY_SAMPLES] for files in sampled if len(files) >= MULTIMODALITY_SAMPLES]
    if not several:
        report.add(
            "MultiModality",
            None,
            group="embedding",
            note=f"needs {MULTIMODALITY_SAMPLES} samples a text: ID.npz and ID/*.npz",
        )
        return

    embedded, unreadable = [], sum(1 < len(files) < MULTIMODALITY_SAMPLES for files in sampled)
    for files in several:
        motions, bad = load_motions({str(number): file for number, file in enumerate(files)}, "sample")
        try:
            if not bad:
                embedded.append(evaluator.embed_motions(list(motions.values())))
        except EvaluationError:
            bad.append(Failed("", ""))
        unreadable += bool(bad)

    def measure() -> Score:
        if not embedded:
            raise EvaluationError("the samples cannot be read")
        return repeated(lambda random: multimodality(np.stack(embedded), random), repeats, seed, higher_is_better=None)

    left_out = f"{unreadable} texts left out: too few samples, or some that cannot be read" if unreadable else ""
    report.add("MultiModality", measure, group="embedding", note=left_out)


def _curves(report: Report, motions: Mapping[str, FaceMotion], truths: Mapping[str, FaceMotion]) -> None:
    """The paper's L2 and FD, and how motions move altogether."""
    both = [name for name in motions if name in truths]
    pairs = [(truths[name], motions[name]) for name in both]
    distances, apart = [], 0
    for pair in pairs:
        try:
            distances.append(l2_distance(*pair))
        except EvaluationError:  # no frame that shows a face in both
            apart += 1
    report.add(
        "L2",
        lambda: score_of([float(np.mean(_some(distances)))], higher_is_better=False),
        group="curves",
        note=f"{apart} pairs cannot be compared" if apart and distances else "",
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


def _token_accuracy(reference: str, prediction: str) -> Score:
    """Mean over the ids of the reference; one without a prediction has none of them right."""
    try:
        truths, guesses = dict(read_codes(reference)), dict(read_codes(prediction))
    except TokensError as error:
        raise EvaluationError(str(error)) from error
    if not truths:
        raise EvaluationError(f"{reference}: holds no tokens")
    shares = [token_accuracy(codes, guesses[name]) if name in guesses else 0.0 for name, codes in truths.items()]
    return score_of([float(np.mean(shares))], higher_is_better=True)


def _some(distances: list[float]) -> list[float]:
    if not distances:
        raise EvaluationError("no prediction has a reference with a motion that it can be compared with")
    return distances


def measure_events(items: Sequence[tuple[str, FaceMotion, Sequence[Mapping[str, Any]]]]) -> list[ClipEvents]:
    """What some motions show of what was asked for; work for an engine."""
    return [clip_events(motion, events, name) for name, motion, events in items]


def failed_clip(name: str, events: Sequence[Mapping[str, Any]]) -> ClipEvents:
    """A prediction that is not there shows nothing of what was asked for."""
    asked = tuple(EventResult(str(e["id"]), KIND.get(str(e["id"]), ""), False) for e in events if not e.get("absent"))
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
