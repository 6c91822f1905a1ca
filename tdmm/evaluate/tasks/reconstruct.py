"""Reconstruction: motions that went through tokens (or anything else) and should be the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tdmm.errors import EvaluationError
from tdmm.evaluate.inputs import Failed, Reference, by_id, fingerprint, in_order, load_motions, strangers
from tdmm.evaluate.reconstruction import score_reconstruction
from tdmm.evaluate.report import Report, sign
from tdmm.face.model import FaceModel
from tdmm.io.tokens_file import read_coded, told_sizes
from tdmm.motion import FaceMotion
from tdmm.vq.codebook import codebook_use


def evaluate_reconstruction(
    references: Mapping[str, Reference],
    predictions: Mapping[str, Sequence[str]],
    model: FaceModel,
    *,
    tokens: str | Path | None = None,
    codebook: int | tuple[int, ...] | None = None,
) -> Report:
    """Scores of reconstructed motions; see docs/evaluation.md.

    tokens: tokens.jsonl, for the use of the codebook over the whole set; codebook: how many codes there are, where
    its lines do not tell.
    Missing and unreadable predictions fail and are listed. References of another rate than their prediction, such as
    fits of videos, are resampled to its rate. Raises `EvaluationError` where no pair is left.
    """
    references = by_id(references)
    truths, unreadable = load_motions({name: one.motion for name, one in references.items()}, "reference motion")
    motions, failures = load_motions(
        {name: next(iter(predictions.get(name, ())), None) for name in truths}, "prediction"
    )
    truths = {name: one.resample(motions[name].fps) if name in motions else one for name, one in truths.items()}
    kept, failures = _comparable(truths, motions, model, [*unreadable, *failures])
    failures = in_order(failures)
    report = Report(
        "reconstruction",
        sign(
            "reconstruction",
            face_model=f"{model.name}:{model.sha256[:12]}",
            references=f"{len(references)}:{fingerprint(references)}",
            failed=len(failures),
        ),
        len(references),
        failures=failures,
    )
    if not kept:
        raise EvaluationError("no pair to compare: " + (failures[0].reason if failures else "do the ids match?"))
    scores = score_reconstruction((truths[name] for name in kept), (motions[name] for name in kept), model, ids=kept)
    for regions, where in ((scores.in_head, "vertices, head pose taken off"), (scores.in_world, "vertices")):
        for region, errors in regions.items():
            report.add(f"{region} mean", errors.mean, group=where, higher=False, unit="mm")
            report.add(f"{region} 95th percentile", errors.p95, group=where, higher=False, unit="mm")
    report.add("velocity error", scores.velocity_mm, group="motion", higher=False, unit="mm/frame")
    report.add("lip closure error", scores.lip_closure_mm, group="motion", higher=False, unit="mm")
    report.add("blink recall", scores.blink_recall, group="motion", higher=True, note=f"{scores.blinks} blinks")
    report.add("blink precision", scores.blink_precision, group="motion", higher=True)
    report.add("blink depth", scores.blink_depth, group="motion", note="predicted less true closure, 0 best")
    note = "depth within 15 %, peak within a frame"
    report.add("blinks kept", scores.blinks_kept, group="motion", higher=True, note=note)
    report.add("rotation", scores.rotation_degrees, group="head", higher=False, unit="deg")
    report.add("translation", scores.translation_mm, group="head", higher=False, unit="mm")
    report.details |= {"frames": scores.frames, "frames_left_out": scores.left_out}
    report.details |= strangers(references, predictions)
    if tokens is not None:
        coded = list(read_coded(tokens))
        use = codebook_use((one.codes for one in coded), codebook or told_sizes(coded))
        for number, (used, perplexity) in enumerate(zip(use.used, use.perplexity, strict=True), start=1):
            of = "" if use.size is None else f"of {use.size[number - 1]}, "
            note = f"{of}{use.tokens} tokens"
            report.add(f"codes used, codebook {number}", float(used), group="tokens", higher=True, note=note)
            report.add(f"perplexity, codebook {number}", perplexity, group="tokens", higher=True)
    return report


def _comparable(
    truths: Mapping[str, FaceMotion], motions: Mapping[str, FaceMotion], model: FaceModel, failures: list[Failed]
) -> tuple[list[str], list[Failed]]:
    kept = []
    for name, motion in motions.items():
        truth = truths[name]
        shorter = min(len(motion), len(truth))
        if truth.face_model_sha256 != model.sha256:
            failures.append(Failed(name, f"the reference is of {truth.face_model}, not of {model.name}"))
        elif motion.face_model_sha256 != model.sha256:
            failures.append(Failed(name, f"is of the face model {motion.face_model}, not of {model.name}"))
        elif not (motion.valid[:shorter] & truth.valid[:shorter]).any():
            failures.append(Failed(name, "shows no face in any frame in which the reference does"))
        else:
            kept.append(name)
    return kept, failures
