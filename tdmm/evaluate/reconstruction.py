"""Reconstruction: how far a predicted motion is from its reference, on the mesh.

Both motions are posed with the identity of the reference, and seen from its camera (which distances in metres do not
depend on). Distances are pooled: every vertex of every frame of every motion counts once, so that long motions count
for more; the scores of each motion are kept too. Face, lips and lids are told by the landmark embedding of the face
model (`tdmm.face.mesh_points`).
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from tdmm.engine import usable_cores
from tdmm.errors import EvaluationError
from tdmm.evaluate.blinks import LIDS, find_blinks, lid_closure, match_blinks
from tdmm.face.linear import rotvec_to_rotmat
from tdmm.face.mesh_points import MeshPoints, mesh_points
from tdmm.face.model import FaceModel
from tdmm.motion import FaceMotion, make_motion

REGIONS = ("face", "lips", "eyelids")
# Vertex errors are counted in steps of this many mm up to the last one; percentiles are exact to half a step.
STEP_MM, STEPS = 0.01, 60_000
# A blink is kept if it closes as far but for this part of its depth, and peaks no more frames off than this.
KEPT_DEPTH, KEPT_FRAMES = 0.15, 1
# Lips are closed where the middles of the inner lips are no further apart than on the resting face and this much more.
CLOSED_WITHIN_MM = 1.0


@dataclass(frozen=True)
class Errors:
    """Distances in mm between vertices that should be the same. p95: the 95th percentile over frames and vertices."""

    mean: float
    p95: float


@dataclass(frozen=True)
class Pooled:
    """Distances of which nothing is kept but their sum, number and how often each size comes (STEPS,)."""

    total: float
    number: int
    sizes: np.ndarray

    def __add__(self, other: Pooled) -> Pooled:
        return Pooled(self.total + other.total, self.number + other.number, self.sizes + other.sizes)

    def errors(self) -> Errors:
        if not self.number:
            return Errors(float("nan"), float("nan"))
        step = int(np.searchsorted(np.cumsum(self.sizes), 0.95 * self.number))
        return Errors(self.total / self.number, STEP_MM * (step + 0.5) if step else 0.0)


@dataclass(frozen=True)
class ClipReconstruction:
    """The errors of one motion.

    in_head, in_world: by region of REGIONS; without and with head pose. frames: that were compared; left_out: frames
    of the reference without a partner, or that one of both does not hold to be valid. velocity: sum of errors in
    mm/frame and their number. closure: sum in mm, and the number of frames in which the reference's lips are closed.
    blinks: of the reference, of the prediction, of both, and those that are kept; depth: the sum of how much less far
    the shared ones close. head: sums over the frames of the angles between rotations, degrees, and of the distances of
    translations, mm.
    """

    id: str
    in_head: dict[str, Errors]
    in_world: dict[str, Errors]
    frames: int
    left_out: int
    velocity: tuple[float, int]
    closure: tuple[float, int]
    blinks: tuple[int, int, int, int]
    depth: float
    head: tuple[float, float]


@dataclass(frozen=True)
class ReconstructionScores:
    """The errors of many motions; NaN where nothing was there to be compared.

    in_head, in_world: by region of REGIONS, mm, without and with head pose. velocity_mm: mean error of the way of a
    face vertex from one frame to the next, head pose taken off, mm/frame. lip_closure_mm: mean error of the distance
    between the inner lips where the reference's are closed. blink_recall: part of the reference's blinks that are
    there; blink_precision: part of the predicted ones that should be; blink_depth: mean of predicted less true closure
    of those, 0: as deep, -1: not at all; blinks_kept: part of the reference's blinks that are there, within 15 % as
    deep, their peak within 1 frame. rotation_degrees: mean angle between head rotations; translation_mm: mean distance
    of head translations. frames, left_out: see `ClipReconstruction`.
    """

    in_head: dict[str, Errors]
    in_world: dict[str, Errors]
    velocity_mm: float
    lip_closure_mm: float
    blink_recall: float
    blink_precision: float
    blink_depth: float
    blinks_kept: float
    rotation_degrees: float
    translation_mm: float
    blinks: int
    frames: int
    left_out: int
    clips: tuple[ClipReconstruction, ...]


def score_reconstruction(
    references: Iterable[FaceMotion],
    predictions: Iterable[FaceMotion],
    model: FaceModel,
    ids: Sequence[str] | None = None,
) -> ReconstructionScores:
    """Errors of predictions against references of the same rate and face model, one of each in the same order.

    A pair of different lengths is compared over the shorter one, and what is left out is told. Raises
    `EvaluationError` for no pairs or unlike numbers of them, for another rate, and for a pair without a common
    valid frame; `FaceModelError` for a face model without landmarks, `MotionError` for motions of another face model.
    """
    points = mesh_points(model, eyes=False)  # of whose vertices no score tells
    resting = _resting_gaps(points)
    pools: dict[tuple[bool, str], Pooled] = {}
    clips: list[ClipReconstruction] = []
    pairs = _in_pairs(references, predictions, ids)

    def compare(pair: tuple[FaceMotion, FaceMotion, str]) -> tuple[ClipReconstruction, dict[tuple[bool, str], Pooled]]:
        return _compare(pair[0], pair[1], points, resting, pair[2])

    for clip, found in _on_all_cores(compare, pairs):
        clips.append(clip)
        for key, pool in found.items():
            pools[key] = pools[key] + pool if key in pools else pool
    if not clips:
        raise EvaluationError("reconstruction: no pairs to compare; is a folder empty, or do no ids match?")
    true, shown, both, kept = (sum(clip.blinks[n] for clip in clips) for n in range(4))
    frames = sum(clip.frames for clip in clips)
    degrees, mm = (sum(clip.head[n] for clip in clips) for n in range(2))
    return ReconstructionScores(
        in_head={region: pools[False, region].errors() for region in REGIONS},
        in_world={region: pools[True, region].errors() for region in REGIONS},
        velocity_mm=_ratio(*map(sum, zip(*(clip.velocity for clip in clips), strict=True))),
        lip_closure_mm=_ratio(*map(sum, zip(*(clip.closure for clip in clips), strict=True))),
        blink_recall=_ratio(both, true),
        blink_precision=_ratio(both, shown),
        blink_depth=_ratio(sum(clip.depth for clip in clips), both),
        blinks_kept=_ratio(kept, true),
        rotation_degrees=_ratio(degrees, frames),
        translation_mm=_ratio(mm, frames),
        blinks=true,
        frames=frames,
        left_out=sum(clip.left_out for clip in clips),
        clips=tuple(clips),
    )


def _in_pairs(
    references: Iterable[FaceMotion], predictions: Iterable[FaceMotion], ids: Sequence[str] | None
) -> Iterator[tuple[FaceMotion, FaceMotion, str]]:
    nothing: Any = object()
    for number, (truth, guess) in enumerate(itertools.zip_longest(references, predictions, fillvalue=nothing)):
        if truth is nothing or guess is nothing or (ids is not None and number >= len(ids)):
            raise EvaluationError(
                "reconstruction: expected a prediction and an id for each reference, found unlike numbers"
            )
        yield truth, guess, str(number) if ids is None else ids[number]


def _on_all_cores(work: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
    """`map(work, items)` a little ahead, a clip to a core: its arrays are too small for several threads each."""
    before, workers = torch.get_num_threads(), usable_cores()
    torch.set_num_threads(1)
    waiting: deque[Future[Any]] = deque()
    try:
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            try:
                for item in items:
                    waiting.append(pool.submit(work, item))
                    if len(waiting) >= 2 * workers:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()
    finally:
        torch.set_num_threads(before)


def _ratio(total: float, number: float) -> float:
    return float(total / number) if number else float("nan")


def _resting_gaps(points: MeshPoints) -> np.ndarray:
    """(2, G) mm between what meets on the model's mean face: at rest, and with both eyes shut if it can shut them."""
    names = points.model.expression_names
    expression = np.zeros((2, len(names)), np.float32)
    for name in set(LIDS) & set(names):
        expression[1, names.index(name)] = 1
    faces = make_motion(expression, names, face_model=points.model.name, face_model_sha256=points.model.sha256)
    with torch.inference_mode():
        return 1000 * points.gaps(points.in_head(faces, torch.zeros(0))).double().numpy()


def _compare(
    truth: FaceMotion, guess: FaceMotion, points: MeshPoints, resting: np.ndarray, clip_id: str
) -> tuple[ClipReconstruction, dict[tuple[bool, str], Pooled]]:
    _check(truth, guess, points.model, clip_id)
    frames = min(len(truth), len(guess))
    length = len(truth)
    truth, guess = truth[:frames], guess[:frames]
    valid = truth.valid & guess.valid
    if not valid.any():
        raise EvaluationError(f"{clip_id}: no frame is valid in both the reference and the prediction")
    shape = torch.from_numpy(truth.shape)
    seen = slice(None) if valid.all() else torch.from_numpy(np.flatnonzero(valid))
    with torch.inference_mode():
        true_head, head = (points.in_head(motion, shape) for motion in (truth, guess))
        gaps = [1000 * points.gaps(one).double().numpy() for one in (true_head, head)]
        miss = head - true_head
        step = (miss[1:] - miss[:-1])[:, :, points.face].square_().sum(1).sqrt_().mean(1).double().numpy()
        world = points.in_world(guess, shape, head).sub_(points.in_world(truth, shape, true_head))
        pools: dict[tuple[bool, str], Pooled] = {}
        for posed, apart in ((False, miss), (True, world)):
            distance = apart.square_().sum(1).sqrt_().mul_(1000)[seen]
            for region in REGIONS:
                pools[posed, region] = _pooled(distance[:, getattr(points, region)])
    steps = step[valid[1:] & valid[:-1]]
    closed = valid & (gaps[0][:, 0] <= resting[0, 0] + CLOSED_WITHIN_MM)
    blinks, depth = _blinks(truth, guess, gaps, resting)
    clip = ClipReconstruction(
        id=clip_id,
        in_head={region: pools[False, region].errors() for region in REGIONS},
        in_world={region: pools[True, region].errors() for region in REGIONS},
        frames=int(valid.sum()),
        left_out=length - int(valid.sum()),
        velocity=(1000 * float(steps.sum()), len(steps)),
        closure=(float(np.abs(gaps[1][closed, 0] - gaps[0][closed, 0]).sum()), int(closed.sum())),
        blinks=blinks,
        depth=depth,
        head=_head(truth, guess, valid),
    )
    return clip, pools


def _head(truth: FaceMotion, guess: FaceMotion, valid: np.ndarray) -> tuple[float, float]:
    """Sums over valid frames of the angle between rotations, degrees, and of the distance of translations, mm."""
    turned = [rotvec_to_rotmat(torch.from_numpy(motion.rotation[valid]).double()) for motion in (truth, guess)]
    # Rotations that differ by an angle a are 2 sqrt(2) sin(a / 2) apart (Frobenius), exact for small angles too.
    half = (turned[1] - turned[0]).square().sum((1, 2)).div(8).sqrt().clamp(max=1).asin()
    apart = np.linalg.norm((guess.translation.astype(np.float64) - truth.translation)[valid], axis=1)
    return float(2 * half.rad2deg().sum()), 1000 * float(apart.sum())


def _check(truth: FaceMotion, guess: FaceMotion, model: FaceModel, clip_id: str) -> None:
    for what, motion in (("reference", truth), ("prediction", guess)):
        motion.check_face_model(model.name, model.sha256, f"{clip_id}: the {what}")
    if abs(truth.fps - guess.fps) > 1e-6 * truth.fps:
        raise EvaluationError(
            f"{clip_id}: {truth.fps:g} and {guess.fps:g} frames a second; resample one, so that frames have partners"
        )


def _pooled(distance: torch.Tensor) -> Pooled:
    """distance: (T, N) mm."""
    steps = (distance / STEP_MM).clamp_(max=STEPS - 1).to(torch.int32).reshape(-1)
    sizes = torch.bincount(steps, minlength=STEPS)
    return Pooled(float(distance.sum(dtype=torch.float64)), distance.numel(), sizes.numpy())


def _blinks(
    truth: FaceMotion, guess: FaceMotion, gaps: Sequence[np.ndarray], resting: np.ndarray
) -> tuple[tuple[int, int, int, int], float]:
    """Blinks by their curves where there are curves for them, else by the gap between the lids."""
    if set(LIDS) <= set(truth.expression_names):
        closures = [lid_closure(motion) for motion in (truth, guess)]
    else:
        closures = [_closure_of_gaps(one, resting) for one in gaps]
    true, shown = (find_blinks(closure, truth.fps) for closure in closures)
    pairs = match_blinks(true, shown, truth.fps)
    depth = sum(shown.depth[other] - true.depth[one] for one, other in pairs)
    kept = sum(
        abs(shown.depth[other] - true.depth[one]) <= KEPT_DEPTH * true.depth[one]
        and abs(shown.peak[other] - true.peak[one]) <= KEPT_FRAMES
        for one, other in pairs
    )
    return (len(true), len(shown), len(pairs), int(kept)), float(depth)


def _closure_of_gaps(gaps: np.ndarray, resting: np.ndarray) -> np.ndarray:
    """(T,) how far both eyes are closed, 0 to 1, from gaps (T, G) mm: of the eye that is more open. A face model that
    cannot shut its eyes by itself is taken to shut them to nothing."""
    at_rest, shut = resting[0, 1:], resting[1, 1:]
    shut = np.where(shut < 0.6 * at_rest, shut, 0.0)
    closed = (at_rest - gaps[:, 1:]) / (at_rest - shut)
    eyes = closed.reshape(len(gaps), 2, -1).mean(2)
    return np.asarray(eyes.min(1).clip(0, 1))
