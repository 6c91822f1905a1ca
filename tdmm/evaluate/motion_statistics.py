"""Measures on the motions themselves: L2, FD and token accuracy, and how the face moves, against the reference.

All is measured at 25 frames a second, to which motions of another rate or uneven timestamps are resampled first.
Frames in which no face was seen (`valid` False) do not count: what stands there is bridged.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from tdmm.errors import EvaluationError
from tdmm.evaluate.distribution import frechet_distance, gaussian
from tdmm.face.names import spell_side
from tdmm.motion import CANONICAL_FPS, FaceMotion

# Of the pose, what turns the head and the jaw; eyes and the place of the head are left out.
POSES = ("rotation", "neck_pose", "jaw_pose")

# How far each ARKit curve at 1 parts the lips (measured between the inner lips of the built-in head), in units of what
# jawOpen at 1 does (31 mm). Curves that move the lips together, sideways or by less than 0.05 are left out.
LIP_GAP = {
    "jawOpen": 1.0,
    "mouthClose": -1.0,
    "mouthFunnel": 0.34,
    "mouthLowerDownLeft": 0.065,
    "mouthLowerDownRight": 0.065,
    "mouthUpperUpLeft": 0.075,
    "mouthUpperUpRight": 0.075,
    "mouthRollLower": -0.07,
    "mouthRollUpper": -0.1,
    "mouthShrugLower": -0.14,
    "mouthShrugUpper": 0.13,
}
LIPS_CLOSED, LIPS_OPEN = 0.03, 0.1  # 1 and 3 mm
BLINKS = ("eyeBlinkLeft", "eyeBlinkRight")
EYES_SHUT, EYES_OPEN = 0.5, 0.35
LONGEST_BLINK = 0.5  # seconds below half open; eyes that stay shut for longer rest, squeeze or sleep

# What `motion_statistics` measures, and in what.
STATISTICS = {
    "expression_jerk": "1/s^3",
    "head_jerk": "deg/s^3",
    "lip_closures": "1/min",
    "lip_closure_time": "s",
    "blinks": "1/min",
    "blink_time": "s",
    "head_speed": "deg/s",
    "head_speed_p95": "deg/s",
}


# -- the paper's measures ---------------------------------------------------------------------------------


def features(motion: FaceMotion, names: Sequence[str] | None = None, whose: str = "motion") -> np.ndarray:
    """Per-frame feature vectors (T, E + 9) float64 at 25 fps: expression, then rotation, neck and jaw pose (radians).

    names: the expressions in their order, if not the motion's own. Frames that are not valid are left in, see `valid`.
    Raises `EvaluationError`, naming what differs, unless the motion has just the expressions `names`.
    """
    own = [spell_side(name) for name in motion.expression_names]
    wanted = own if names is None else [spell_side(name) for name in names]
    if set(own) != set(wanted):
        other = sorted(set(own) ^ set(wanted))
        raise EvaluationError(
            f"{whose}: {len(own)} expressions of {motion.face_model} against {len(wanted)} of the reference, they "
            f"differ in {', '.join(other[:3])}{' and others' if len(other) > 3 else ''}; "
            "compare motions of one face model"
        )
    motion = motion.resample(CANONICAL_FPS)
    columns = [own.index(name) for name in wanted]
    parts = [motion.expression[:, columns], *(getattr(motion, pose) for pose in POSES)]
    return np.concatenate(parts, axis=1).astype(np.float64)


def l2_distance(reference: FaceMotion, prediction: FaceMotion) -> float:
    """L2 of one pair: mean over frames of the Euclidean distance of their feature vectors (see `features`).

    The L2 of TDMM-LM (arXiv 2603.16936), after Ng et al., Learning to Listen, CVPR 2022: expression coefficients and
    radians stand in one vector, as they are. Motions of different length are compared from their first frames on,
    over the shorter length, after both are resampled to 25 fps; frames count that are valid in both. The score of a
    set is the mean over its pairs. Raises `EvaluationError` for other expressions, and where no frame is valid in both.
    """
    first, second = features(reference), features(prediction, reference.expression_names, "prediction")
    shorter = min(len(first), len(second))
    both = _valid(reference)[:shorter] & _valid(prediction)[:shorter]
    if not both.any():
        raise EvaluationError("no frame in which both motions show a face; count the pair as a failure")
    return float(np.linalg.norm(first[:shorter][both] - second[:shorter][both], axis=1).mean())


def frechet_feature_distance(references: Sequence[FaceMotion], predictions: Sequence[FaceMotion]) -> float:
    """FD: the Fréchet distance of per-frame feature vectors (see `features`), all valid frames of a set together.

    The FD of TDMM-LM (arXiv 2603.16936): the formula is that of FID (`distribution.frechet_distance`), on motions
    instead of embeddings. Averages of the distances of single clips, which some report, are other numbers: those rest
    on covariances of a few dozen frames. Raises `EvaluationError` for other expressions, and for sets of less than
    two valid frames.
    """
    if not references or not predictions:
        raise EvaluationError("a Fréchet distance needs motions on both sides")
    names = references[0].expression_names
    sides = []
    for whose, motions in (("references", references), ("predictions", predictions)):
        frames = [features(motion, names, whose)[_valid(motion)] for motion in motions]
        sides.append(gaussian(np.concatenate(frames), whose))
    return frechet_distance(*sides[0], *sides[1])


def token_accuracy(reference: Sequence[object] | np.ndarray, prediction: Sequence[object] | np.ndarray) -> float:
    """The share (0..1) of codes that are equal at the same place, of sequences (T,), or (T, Q) of Q codebooks.

    Of the longer sequence: a code that is missing at the end, or too much, is wrong. Two empty ones are equal.
    Raises `EvaluationError` for another number of codebooks, and for what is no sequence of codes.
    """
    first, second = (_codes(codes, whose) for codes, whose in ((reference, "reference"), (prediction, "prediction")))
    longer, shorter = max(len(first), len(second)), min(len(first), len(second))
    if not longer:
        return 1.0
    if shorter and first.shape[1] != second.shape[1]:
        raise EvaluationError(f"codes of {first.shape[1]} codebooks against {second.shape[1]}; decode with one codec")
    return float((first[:shorter] == second[:shorter]).mean() * shorter / longer) if shorter else 0.0


def _codes(codes: Sequence[object] | np.ndarray, whose: str) -> np.ndarray:
    try:
        found = np.asarray(codes)
    except ValueError:  # rows of different lengths
        raise EvaluationError(f"{whose}: expected as many codes in every frame") from None
    if not found.size:
        return np.zeros((0, 0), np.int64)
    if found.dtype.kind not in "iu" or found.ndim not in (1, 2):
        raise EvaluationError(f"{whose}: expected whole numbers (T,) or (T, Q), found {found.dtype} {found.shape}")
    return found.reshape(len(found), -1)


# -- how a face moves -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Spells:
    """Times during which a curve is high. starts, ends: (N,) seconds, an end NaN where the curve ends first."""

    starts: np.ndarray
    ends: np.ndarray

    @property
    def seconds(self) -> np.ndarray:
        """Durations (M,) of those whose end is seen."""
        lasted = self.ends - self.starts
        return lasted[np.isfinite(lasted)]


@dataclass(frozen=True)
class Comparison:
    """A statistic of references and predictions; None where a set does not tell it.

    relative: (prediction - reference) / reference, 0 best; None if a side is missing or the reference is 0.
    """

    reference: float | None
    prediction: float | None
    relative: float | None
    unit: str


def expression_jerk(motion: FaceMotion) -> np.ndarray:
    """|third derivative| (T - 3,) of the expression curves, mean over the curves, 1/s^3; valid frames only.

    Jerk as the measure of smoothness: Flash and Hogan, J. Neuroscience 1985; as "jitter": Yi et al., TransPose, 2021.
    """
    motion = motion.resample(CANONICAL_FPS)
    if not motion.expression.shape[1]:
        return np.zeros(0)
    jerk = np.abs(np.diff(motion.expression.astype(np.float64), 3, axis=0)) * CANONICAL_FPS**3
    return np.asarray(jerk.mean(1)[_together(motion.valid, 4)])


def head_velocity(motion: FaceMotion) -> np.ndarray:
    """Angular velocity (T - 1, 3) of the head in its own axes, deg/s, between frames: log(R_t^T R_t+1) fps.

    The head is turned by `rotation` and then, where a face model has it, by the neck joint.
    """
    motion = motion.resample(CANONICAL_FPS)
    head = Rotation.from_rotvec(motion.rotation.astype(np.float64)) * Rotation.from_rotvec(
        motion.neck_pose.astype(np.float64)
    )
    if len(motion) < 2:
        return np.zeros((0, 3))
    return np.asarray(np.degrees((head[:-1].inv() * head[1:]).as_rotvec()) * CANONICAL_FPS)


def head_speed(motion: FaceMotion) -> np.ndarray:
    """Angular speed (up to T - 1,) of the head, deg/s, between frames that are both valid."""
    return np.asarray(np.linalg.norm(head_velocity(motion), axis=1)[_together(_valid(motion), 2)])


def head_jerk(motion: FaceMotion) -> np.ndarray:
    """|second derivative of the angular velocity| (up to T - 3,) of the head, deg/s^3, of valid frames."""
    change = np.diff(head_velocity(motion), 2, axis=0) * CANONICAL_FPS**2
    return np.asarray(np.linalg.norm(change, axis=1)[_together(_valid(motion), 4)])


def lip_gap(motion: FaceMotion) -> np.ndarray | None:
    """How far the lips are apart (T,) at 25 fps, 0 closed, 1 as far as jawOpen at 1 parts them (`LIP_GAP`).

    None for a motion without jawOpen and mouthClose.
    """
    motion = motion.resample(CANONICAL_FPS)
    names = [spell_side(name) for name in motion.expression_names]
    if "jawOpen" not in names or "mouthClose" not in names:
        return None
    weights = np.array([LIP_GAP.get(name, 0.0) for name in names])
    return np.asarray(motion.expression @ weights)


def lip_closures(motion: FaceMotion) -> Spells | None:
    """When lips that were open (3 mm on the built-in head) are closed (1 mm), until they are open again.

    Their duration is the time below 1 mm. A mouth that was closed from the start has not been closed. None for a
    motion without jawOpen and mouthClose.
    """
    gap = lip_gap(motion)
    return None if gap is None else _spells(-gap, -LIPS_CLOSED, -LIPS_OPEN, _valid(motion))


def blinks(motion: FaceMotion) -> Spells | None:
    """The blinks of both eyes at once: more than half shut, for at most half a second (which eyes of winks are not).

    Eyes that were shut from the start have not blinked. None for a motion without eyeBlinkLeft and eyeBlinkRight.
    """
    motion = motion.resample(CANONICAL_FPS)
    names = [spell_side(name) for name in motion.expression_names]
    if not set(BLINKS) <= set(names):
        return None
    shut = motion.expression[:, [names.index(name) for name in BLINKS]].min(1)
    found = _spells(shut, EYES_SHUT, EYES_OPEN, motion.valid)
    seen_until = np.where(np.isfinite(found.ends), found.ends, (len(motion) - 1) / CANONICAL_FPS)
    short = seen_until - found.starts <= LONGEST_BLINK
    return Spells(found.starts[short], found.ends[short])


def motion_statistics(motions: Iterable[FaceMotion]) -> dict[str, float | None]:
    """The `STATISTICS` of a set, over all its frames, events and minutes together; None where no motion tells one.

    expression_jerk, head_jerk: means. lip_closures, blinks: a minute of what is valid; lip_closure_time, blink_time:
    mean seconds. head_speed, head_speed_p95: mean and 95th percentile over frames.
    """
    curves: dict[str, list[np.ndarray]] = {"expression_jerk": [], "head_jerk": [], "head_speed": []}
    seconds: dict[str, list[np.ndarray]] = {"lip_closures": [], "blinks": []}
    counts, minutes = dict.fromkeys(seconds, 0), dict.fromkeys(seconds, 0.0)
    for motion in motions:
        motion = motion.resample(CANONICAL_FPS)
        for name, measure in (
            ("expression_jerk", expression_jerk),
            ("head_jerk", head_jerk),
            ("head_speed", head_speed),
        ):
            curves[name].append(measure(motion))
        for name, find in (("lip_closures", lip_closures), ("blinks", blinks)):
            if (found := find(motion)) is not None:
                counts[name] += len(found.starts)
                seconds[name].append(found.seconds)
                minutes[name] += float(motion.valid.sum()) / CANONICAL_FPS / 60
    all_of = {name: np.concatenate([np.zeros(0), *parts]) for name, parts in (curves | seconds).items()}
    mean = {name: float(values.mean()) if len(values) else None for name, values in all_of.items()}
    rate = {name: counts[name] / minutes[name] if minutes[name] else None for name in seconds}
    speeds = all_of["head_speed"]
    return {
        "expression_jerk": mean["expression_jerk"],
        "head_jerk": mean["head_jerk"],
        "lip_closures": rate["lip_closures"],
        "lip_closure_time": mean["lip_closures"],
        "blinks": rate["blinks"],
        "blink_time": mean["blinks"],
        "head_speed": mean["head_speed"],
        "head_speed_p95": float(np.percentile(speeds, 95)) if len(speeds) else None,
    }


def compare_statistics(references: Iterable[FaceMotion], predictions: Iterable[FaceMotion]) -> dict[str, Comparison]:
    """Each of the `STATISTICS` of references and predictions, and their relative difference."""
    first, second = motion_statistics(references), motion_statistics(predictions)
    return {name: _compared(first[name], second[name], unit) for name, unit in STATISTICS.items()}


def _compared(reference: float | None, prediction: float | None, unit: str) -> Comparison:
    told = reference is not None and prediction is not None and reference != 0
    relative = (prediction - reference) / reference if told else None  # type: ignore[operator]
    return Comparison(reference, prediction, relative, unit)


def _valid(motion: FaceMotion) -> np.ndarray:
    """(T,) at 25 fps."""
    return motion.resample(CANONICAL_FPS).valid


def _together(valid: np.ndarray, frames: int) -> np.ndarray:
    """(T - frames + 1,) whether so many frames from each on are all valid."""
    if len(valid) < frames:
        return np.zeros(0, bool)
    return np.lib.stride_tricks.sliding_window_view(valid, frames).all(1)


def _spells(curve: np.ndarray, enter: float, leave: float, valid: np.ndarray) -> Spells:
    """The times of a curve (T,) from reaching `enter` until it was last there before it fell below `leave`.

    Two levels, so that noise at one of them makes no events. The times are interpolated between frames. A spell begins
    from below `leave`: what goes on in the first frame did not begin. What touches frames that are not valid was not
    seen.
    """
    mark = (curve >= enter).astype(np.int8) - (curve < leave)
    known = np.maximum.accumulate(np.where(mark != 0, np.arange(len(curve)), 0))
    state = mark[known]  # 1 inside, -1 outside, 0 not told yet
    inside = np.concatenate([[False], state > 0, [False]])
    first, stop = np.flatnonzero(~inside[:-1] & inside[1:]), np.flatnonzero(inside[:-1] & ~inside[1:])
    starts, ends = [], []
    for one, after in zip(first.tolist(), stop.tolist(), strict=True):
        if one == 0 or state[one - 1] == 0 or not valid[one - 1 : after + 1].all():
            continue
        last = one + int(np.flatnonzero(curve[one:after] >= enter)[-1])
        starts.append(_crossing(curve, one - 1, enter))
        ends.append(_crossing(curve, last, enter) if after < len(curve) else np.nan)
    return Spells(np.array(starts, np.float64) / CANONICAL_FPS, np.array(ends, np.float64) / CANONICAL_FPS)


def _crossing(curve: np.ndarray, frame: int, level: float) -> float:
    """Where, in frames, a curve crosses a level between a frame and the next."""
    before, after = float(curve[frame]), float(curve[frame + 1])
    return frame + (level - before) / (after - before)
