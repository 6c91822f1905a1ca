"""Fits of videos, against the true motions where they are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tdmm.errors import EvaluationError, TdmmError
from tdmm.evaluate.fit_scores import ClipFit, clip_fit, fit_quality, summarise_fits
from tdmm.evaluate.inputs import Failed, Reference, by_id, fingerprint, in_order, load_motions, strangers
from tdmm.evaluate.report import Report, sign
from tdmm.face.model import FaceModel


def evaluate_fit(
    references: Mapping[str, Reference] | None, predictions: Mapping[str, Sequence[str]], model: FaceModel
) -> Report:
    """Scores of fitted motions; see docs/evaluation.md. references: None, where no truth is known.

    Missing, unreadable and incomparable fits fail and are listed. Raises `EvaluationError` where none is left.
    """
    references = None if references is None else by_id(references)
    names = sorted(predictions if references is None else references)
    fits, failures = load_motions({name: next(iter(predictions.get(name, ())), None) for name in names}, "fit")
    clips: list[ClipFit] = []
    if references is not None:
        truths, unreadable = load_motions({name: one.motion for name, one in references.items()}, "reference motion")
        failures += unreadable
        for name in [name for name in truths if name in fits]:
            try:
                clips.append(clip_fit(truths[name], fits[name], model))
            except TdmmError as error:
                failures.append(Failed(name, str(error)))
                del fits[name]
    for name, fit in list(fits.items()):
        try:
            fit.check_face_model(model.name, model.sha256, "the fit")
            if not fit.valid.any():
                raise EvaluationError("the fit saw no face in any frame")
        except TdmmError as error:
            failures.append(Failed(name, str(error)))
            del fits[name]
    failures = in_order(failures)
    if not fits or (references is not None and not clips):
        raise EvaluationError("no fit can be used: " + (failures[0].reason if failures else "do the ids match?"))
    known = "none" if references is None else f"{len(references)}:{fingerprint(references)}"
    report = Report(
        "fit",
        sign("fit", face_model=f"{model.name}:{model.sha256[:12]}", references=known, failed=len(failures)),
        len(names),
        failures=failures,
    )
    if references is not None:
        report.details |= strangers(references, predictions)
    if clips:
        _against_truth(report, clips)
    quality = fit_quality(fits.values(), model)
    told = f"{quality.told} fits tell it"
    report.add("reprojection", quality.reprojection_percent, group="without truth", higher=False, unit="%", note=told)
    report.add("jitter", quality.jitter_mm_s2, group="without truth", higher=False, unit="mm/s^2")
    report.add("frames with a face", quality.valid, group="without truth", higher=True)
    return report


def _against_truth(report: Report, clips: Sequence[ClipFit]) -> None:
    scores = summarise_fits(clips)
    add = lambda name, value, unit="", **more: report.add(name, value, group="against truth", unit=unit, **more)  # noqa: E731
    note = f"a resting face scores {scores.neutral_mm:.2f}"
    add("vertices that move", scores.vertex_mm, "mm", higher=False, note=note)
    add("face surface", scores.surface_mm, "mm", higher=False)
    add("correlation of moving expressions", scores.correlation, higher=True)
    add("rotation", scores.rotation_degrees, "deg", higher=False)
    add("rotation after offset", scores.rotation_after_offset, "deg", higher=False)
    add("translation", scores.translation_mm, "mm", higher=False)
    add("translation after offset", scores.translation_after_offset, "mm", higher=False)
    add("gaze", scores.gaze_degrees, "deg", higher=False)
    if scores.blinks is not None:
        blinks = scores.blinks
        matched = len(blinks.onset)
        add("blinks missed", float(blinks.true - matched), higher=False, note=f"of {blinks.true}")
        add("blinks made up", float(blinks.found - matched), higher=False, note=f"of {blinks.found}")
        add("blink onset", scores.blink_onset_frames, "frames", higher=False)
        add("blink peak", scores.blink_peak_frames, "frames", higher=False)
    for name, (mean, count) in sorted(scores.correlations.items()):
        report.add(name, mean, group="correlation by expression", higher=True, note=f"{count} clips")
