"""Scores of fitted motions: against the motion that is known to be true, and without one.

The measures of one clip are those of `tdmm.fit.recovery`, by which the fit is benchmarked too; here they are joined by
pose, gaze and blinks, and put together over many clips. Frames that the fit did not see (valid is False) are left out,
but blinks in them are missed.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from roma import rotmat_to_rotvec, rotvec_to_rotmat, special_procrustes

from tdmm.errors import EvaluationError
from tdmm.evaluate.blinks import LIDS, find_blinks, lid_closure, match_blinks
from tdmm.face.model import FaceModel
from tdmm.fit.embedding import skin_and_eyeballs
from tdmm.fit.measure import BLOCK, jitter
from tdmm.fit.recovery import compare, compare_expressions
from tdmm.motion import FaceMotion

_PER_FRAME = ("expression", "rotation", "translation", "neck_pose", "jaw_pose", "eyes_pose", "valid", "confidence")


@dataclass(frozen=True)
class BlinkTiming:
    """true, found: blinks of the truth and of the fit. onset, peak: errors in frames of each blink that both have,
    fitted less true."""

    true: int
    found: int
    onset: tuple[int, ...]
    peak: tuple[int, ...]

    @property
    def missed(self) -> int:
        return self.true - len(self.peak)

    @property
    def false(self) -> int:
        return self.found - len(self.peak)

    def __add__(self, other: BlinkTiming) -> BlinkTiming:
        onset, peak = self.onset + other.onset, self.peak + other.peak
        return BlinkTiming(self.true + other.true, self.found + other.found, onset, peak)


@dataclass(frozen=True)
class ClipFit:
    """The errors of one fitted motion; NaN where nothing of the kind moves.

    vertex_mm: mean error of the displacement, by expression, of vertices that truly move more than 2 mm; neutral_mm:
        what a resting face scores (`tdmm.fit.recovery.compare_expressions`).
    surface_mm: mean distance of face vertices in the head frame, identity included, after one scale and shift for the
        clip (`tdmm.fit.recovery.compare`).
    correlations: over time, of each expression that truly moves.
    rotation_degrees, translation_mm: mean errors of the head's pose as they are; *_after_offset: without the constant
        part, since what the front of a face is differs by a constant, and one camera hardly tells its distance.
    gaze_degrees: mean angle between the directions of each eyeball in the head; NaN for a model without eyeballs.
    blinks: None for motions without curves of the lids.
    frames: that were compared, of all.
    """

    id: str
    vertex_mm: float
    neutral_mm: float
    surface_mm: float
    correlations: dict[str, float]
    rotation_degrees: float
    rotation_after_offset: float
    translation_mm: float
    translation_after_offset: float
    gaze_degrees: float
    blinks: BlinkTiming | None
    frames: tuple[int, int]

    @property
    def correlation(self) -> float:
        """Mean over the expressions that truly move."""
        return mean_known(self.correlations.values())


@dataclass(frozen=True)
class FitScores:
    """Means over clips of the errors of `ClipFit`, each clip alike; correlations: (mean, number of clips) of each
    expression over the clips in which it moves; correlation: mean of the clips' means. Blinks are pooled:
    blink_onset_frames, blink_peak_frames: mean absolute errors."""

    vertex_mm: float
    neutral_mm: float
    surface_mm: float
    correlation: float
    correlations: dict[str, tuple[float, int]]
    rotation_degrees: float
    rotation_after_offset: float
    translation_mm: float
    translation_after_offset: float
    gaze_degrees: float
    blinks: BlinkTiming | None
    frames: tuple[int, int]
    clips: tuple[ClipFit, ...]

    @property
    def blink_onset_frames(self) -> float:
        return mean_known(map(abs, self.blinks.onset)) if self.blinks else float("nan")

    @property
    def blink_peak_frames(self) -> float:
        return mean_known(map(abs, self.blinks.peak)) if self.blinks else float("nan")


@dataclass(frozen=True)
class FitQuality:
    """What can be said of fits without the truth: means over the motions that tell it, NaN if none does.

    reprojection_percent: of the distance between the outer eye corners, as the fit reported it in meta["fit"]; told:
    how many did. jitter_mm_s2: how much a still face trembles (`tdmm.fit.measure.jitter`). valid: part of the frames in
    which a face was seen.
    """

    reprojection_percent: float
    told: int
    jitter_mm_s2: float
    valid: float
    motions: int


def mean_known(values: Iterable[float]) -> float:
    """The mean without what is NaN, the clips in which nothing moves; NaN if nothing is left."""
    known = [float(value) for value in values if not np.isnan(value)]
    return statistics.fmean(known) if known else float("nan")


def score_fits(
    truths: Iterable[FaceMotion], fits: Iterable[FaceMotion], model: FaceModel, ids: Sequence[str] | None = None
) -> FitScores:
    """Errors of fitted motions against the true ones of the same frames and face model, one of each in the same order.

    Raises `EvaluationError` for none or unlike numbers of them, and as `clip_fit` does.
    """
    nothing: Any = object()
    clips = []
    for number, (truth, fit) in enumerate(itertools.zip_longest(truths, fits, fillvalue=nothing)):
        if truth is nothing or fit is nothing or (ids is not None and number >= len(ids)):
            raise EvaluationError("fit: expected a fitted motion and an id for each true one, found unlike numbers")
        clips.append(clip_fit(truth, fit, model, str(number) if ids is None else ids[number]))
    return summarise_fits(clips)


def summarise_fits(clips: Sequence[ClipFit]) -> FitScores:
    """The scores of some clips together. Raises `EvaluationError` for none."""
    if not clips:
        raise EvaluationError("fit: no motions to compare; is a folder empty, or do no ids match?")
    names = dict.fromkeys(name for clip in clips for name in clip.correlations)
    found = {name: [clip.correlations[name] for clip in clips if name in clip.correlations] for name in names}
    told = [clip.blinks for clip in clips if clip.blinks is not None]
    mean = lambda field: mean_known(getattr(clip, field) for clip in clips)  # noqa: E731
    return FitScores(
        vertex_mm=mean("vertex_mm"),
        neutral_mm=mean("neutral_mm"),
        surface_mm=mean("surface_mm"),
        correlation=mean("correlation"),
        correlations={name: (statistics.fmean(values), len(values)) for name, values in found.items()},
        rotation_degrees=mean("rotation_degrees"),
        rotation_after_offset=mean("rotation_after_offset"),
        translation_mm=mean("translation_mm"),
        translation_after_offset=mean("translation_after_offset"),
        gaze_degrees=mean("gaze_degrees"),
        blinks=sum(told[1:], told[0]) if told else None,
        frames=(sum(clip.frames[0] for clip in clips), sum(clip.frames[1] for clip in clips)),
        clips=tuple(clips),
    )


def clip_fit(truth: FaceMotion, fit: FaceMotion, model: FaceModel, clip_id: str = "") -> ClipFit:
    """The errors of one fitted motion. Raises `EvaluationError` for another length and for a fit that saw no face,
    `MotionError` for another face model."""
    where = f"{clip_id}: " if clip_id else ""
    for what, motion in (("the true motion", truth), ("the fit", fit)):
        motion.check_face_model(model.name, model.sha256, f"{where}{what}")
    if len(truth) != len(fit):
        raise EvaluationError(f"{where}{len(truth)} true frames, {len(fit)} fitted ones; are they of the same video?")
    if not fit.valid.any():
        raise EvaluationError(f"{where}the fit saw no face in any frame; count it as failed")
    true_seen, seen = (_frames_of(motion, fit.valid) for motion in (truth, fit))
    recovery = compare_expressions(true_seen, seen, model)
    turn = rotvec_to_rotmat(torch.tensor(true_seen.rotation)).mT @ rotvec_to_rotmat(torch.tensor(seen.rotation))
    apart = 1000 * (seen.translation.astype(np.float64) - true_seen.translation)
    return ClipFit(
        id=clip_id,
        vertex_mm=recovery.vertex_mm,
        neutral_mm=recovery.neutral_mm,
        surface_mm=compare(true_seen, seen, model).vertex_mm,
        correlations=recovery.correlations,
        rotation_degrees=float(rotmat_to_rotvec(turn).norm(dim=-1).rad2deg().mean()),
        rotation_after_offset=recovery.rotation_degrees,
        translation_mm=float(np.linalg.norm(apart, axis=1).mean()),
        translation_after_offset=float(np.linalg.norm(apart - apart.mean(0), axis=1).mean()),
        gaze_degrees=_gaze_error(true_seen, seen, model),
        blinks=_blink_timing(truth, fit),
        frames=(len(seen), len(fit)),
    )


def fit_quality(motions: Iterable[FaceMotion], model: FaceModel) -> FitQuality:
    """What can be said of fitted motions without the truth. Raises `EvaluationError` for none."""
    reported, trembling, valid = [], [], []
    for motion in motions:
        report = motion.meta.get("fit")
        value = report.get("reprojection_percent") if isinstance(report, dict) else None
        if isinstance(value, (int, float)):
            reported.append(float(value))
        trembling.append(jitter(motion, model, motion.valid) if motion.valid.any() else float("nan"))
        valid.append(float(motion.valid.mean()))
    if not valid:
        raise EvaluationError("fit: no motions to look at; is the folder empty?")
    return FitQuality(mean_known(reported), len(reported), mean_known(trembling), mean_known(valid), len(valid))


def _frames_of(motion: FaceMotion, mask: np.ndarray) -> FaceMotion:
    """Some frames of a motion, not necessarily a run of them."""
    if mask.all():
        return motion
    kept = {name: getattr(motion, name)[mask] for name in (*_PER_FRAME, "timestamps")}
    return replace(motion, **kept, expression_confidence=None)


def _blink_timing(truth: FaceMotion, fit: FaceMotion) -> BlinkTiming | None:
    if not set(LIDS) <= set(truth.expression_names):
        return None
    true = find_blinks(lid_closure(truth), truth.fps)
    found = find_blinks(np.where(fit.valid, lid_closure(fit), 0), truth.fps)
    pairs = match_blinks(true, found, truth.fps)
    onset, peak = (
        tuple(int(getattr(found, what)[other] - getattr(true, what)[one]) for one, other in pairs)
        for what in ("onset", "peak")
    )
    return BlinkTiming(len(true), len(found), onset, peak)


def _gaze_error(truth: FaceMotion, fit: FaceMotion, model: FaceModel) -> float:
    """Mean degrees between true and fitted directions of the eyeballs in the head."""
    eyeballs = skin_and_eyeballs(model)[1]
    if not eyeballs:
        return float("nan")
    true, found = (_gaze(motion, model, eyeballs) for motion in (truth, fit))
    cross = torch.linalg.cross(true, found, dim=-1).norm(dim=-1)
    return float(torch.atan2(cross, (true * found).sum(-1)).rad2deg().mean())


def _gaze(motion: FaceMotion, model: FaceModel, eyeballs: Sequence[np.ndarray]) -> torch.Tensor:
    """(T, 2, 3) unit vectors along which the left and the right eyeball look, in the head frame.

    Each is the rotation that fits its vertices best, from the resting eyeball (Schönemann, Psychometrika 1966): eyes
    that blendshapes turn and eyes that a joint turns are measured alike.
    """
    directions = []
    with torch.inference_mode():
        rest = model.vertices(torch.zeros(0), torch.zeros(1, len(model.expression_names)))[0]
        for start in range(0, len(motion), BLOCK):
            expression, eyes = (
                torch.from_numpy(getattr(motion, name)[start : start + BLOCK]) for name in ("expression", "eyes_pose")
            )
            posed = model.vertices(torch.zeros(0), expression, eyes_pose=eyes)
            directions.append(torch.stack([_turned(rest[some], posed[:, some]) for some in eyeballs], dim=1))
    return torch.cat(directions)


def _turned(rest: torch.Tensor, posed: torch.Tensor) -> torch.Tensor:
    """(T, 3) where the axis +z goes when points (N, 3) turn as (T, N, 3) have."""
    before, after = rest - rest.mean(0), posed - posed.mean(1, keepdim=True)
    return special_procrustes((after.mT @ before).double())[..., 2]
