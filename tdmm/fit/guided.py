"""The solver with a prediction: its two stages again, where every frame also has a guide, and time is solved exactly.

Identity comes from frames that are seen well and lie near rest, so that what a smile does to the face stays a smile.
Then all frames of a window are one system (`tdmm.fit.frames`): landmarks, guide, and changes from frame to frame; once
more when it is known what the landmarks miss all the time; and at last with the mesh itself laid onto the landmarks
(`tdmm.fit.as_seen`).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from roma import rotmat_to_rotvec

from tdmm.face.scheme import Scheme
from tdmm.fit.as_seen import as_seen, as_seen_options
from tdmm.fit.eyes import BLINKS, Lids, measure_lids, surely_blinking
from tdmm.fit.frames import FrameSolver
from tdmm.fit.guide import Guide, guide_of
from tdmm.fit.landmark_model import LandmarkModel
from tdmm.fit.prior import REGIONS, Prediction
from tdmm.fit.projection import Pose, weak_perspective
from tdmm.fit.regions import landmark_regions
from tdmm.fit.solve import (
    Progress,
    Seen,
    Solution,
    Solver,
    SolverOptions,
    key_frames,
    rounds,
)

# In sigmas, where the loss flattens for points whose noise is known.
KNOWN_OUTLIER = 1e3
# Radians by which the head turns away until lids tell little.
LIDS_TURN = 0.5
# Predicted gaps of eyes that are shut, and that are not.
TOLD_SHUT, TOLD_OPEN = 0.2, 0.4
# Part of a prediction's weight that is taken off where it leaves a shut eye open.
CONTRADICTED = 0.8
# A lid that is surely shut is believed this much more closely than one on its way.
SHUT_SIGMA_PART = 0.6
# Part of a landmark's weight that is left where its region cannot be seen: there the detector only guesses.
HIDDEN_WEIGHT = 0.05
# Key frames are chosen among this part of the frames, the best; a turn of the head by this angle (radians) is as bad
# as expressions of this size (root of the sum of squares).
BEST_PART, WORSE_TURN, WORSE_EXPRESSION = 0.4, 0.6, 1.0


def solve_guided(
    xy: torch.Tensor,
    visible: torch.Tensor,
    seconds: torch.Tensor,
    model: LandmarkModel,
    scheme: Scheme,
    prediction: Prediction,
    options: SolverOptions,
    progress: Progress | None = None,
    spread: float | None = None,
    middle: torch.Tensor | None = None,
) -> Solution:
    """Fit all frames: see `tdmm.fit.solve.solve`. prediction: of these T frames, in the model's controls.

    middle: (T, 2) picture units, the mean of all landmarks that the network saw, which its rotation is relative to;
    None: of `xy`, where the model has a place for every landmark.
    """
    options = replace(
        options, shared_iterations=options.guided_shared_iterations, offset_rounds=options.guided_offset_rounds
    )
    total = sum(rounds(options)) + 1
    report = (lambda done: progress(done, total)) if progress is not None else (lambda done: None)
    guide = guide_of(
        prediction,
        xy,
        model.controls,
        widening=options.widening,
        turn_widening=options.turn_widening,
        sparsity=options.sparsity,
    )
    if middle is not None:
        guide = replace(guide, middle=middle)
    seen_parts = torch.as_tensor(prediction.visible, dtype=torch.float32)
    visible = visible * hidden_weights(seen_parts, model, scheme)
    identity = Solver(model, replace(options, independence=options.guided_identity_independence))
    focal = torch.tensor(float(options.focal if options.focal is not None else options.focal_mean)).log()
    controls = identity.bounded(guide.mean.clone())
    pose = started(xy, visible, controls, guide, model, identity.sigma, focal)
    seen = Seen(xy, visible, pose.log_scale.exp(), guide)
    if spread is not None:
        # As in `solve`: independent noise of a known size, no detector, and nothing strays far.
        metres = spread / float(seen.scale.mean())
        model = replace(model, sigma=torch.full_like(model.sigma, metres))
        options = replace(options, noise=0.0, offset_rounds=0, gaze_sigma=metres, outlier=KNOWN_OUTLIER)
        options = replace(options, guided_independence=1.0)
        identity = Solver(model, replace(options, independence=1.0))
    keys = telling_frames(pose, xy, guide, seen_parts, options.key_frames)
    shared, _, _ = identity.fit_shared(seen[keys], pose[keys], controls[keys], report)
    # Shut eyes look to a detector as `eyes` knows; points that are the model's own tell of lids by themselves.
    if spread is None:
        told = guide.mean.numpy() if len(prediction.names) else None
        lids = measure_lids(xy, pose, shared.log_focal, model, shared.shape, scheme, told)
        if lids is not None:
            seen.guide = with_lids(guide, lids, model, seen_parts, options.lid_sigma)
    frames = FrameSolver(model, scheme, replace(options, independence=options.guided_independence))
    solution = frames.fit(seen, seconds, pose, controls, shared)
    if spread is None:
        solution = frames.fit_changes(seen, seconds, solution)
        if model.stray is not None:
            mesh = FrameSolver(model.without_stray(), scheme, as_seen_options(options))
            solution = as_seen(seen, seconds, solution, mesh, frames.unsteadiness(seen, solution))
    report(total)
    return solution


def hidden_weights(seen_parts: torch.Tensor, model: LandmarkModel, scheme: Scheme) -> torch.Tensor:
    """(T, L) factors of the landmarks' weights, from how far the regions (T, 4) that they belong to can be seen."""
    region = torch.as_tensor(landmark_regions(scheme, model))
    padded = torch.cat([seen_parts, torch.ones(len(seen_parts), 1)], dim=1)  # -1: no region
    return HIDDEN_WEIGHT + (1 - HIDDEN_WEIGHT) * padded[:, region]


def started(
    xy: torch.Tensor,
    visible: torch.Tensor,
    controls: torch.Tensor,
    guide: Guide,
    model: LandmarkModel,
    sigma: torch.Tensor,
    log_focal: torch.Tensor,
) -> Pose:
    """Place and size by the landmarks, the rotation as predicted."""
    start = weak_perspective(model.base, xy, visible / sigma**2)
    rotation = guide.rotation(log_focal)
    points = model.points(torch.zeros(len(model.shape_basis)), controls) @ rotation.mT
    # The scale and place that bring the turned points onto the landmarks, weighted least squares.
    weight = (visible / sigma**2)[..., None]
    flat = points[..., :2] * torch.tensor([1.0, -1.0])
    mean = lambda values: (values * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True)  # noqa: E731
    there, here = xy - mean(xy), flat - mean(flat)
    scale = (weight * there * here).sum((1, 2)) / (weight * here.square()).sum((1, 2))
    scale = torch.where(scale > 0, scale, start.log_scale.exp())
    place = (mean(xy) - scale[:, None, None] * mean(flat))[:, 0]
    return Pose(rotation, place, scale.log())


def telling_frames(pose: Pose, xy: torch.Tensor, guide: Guide, seen_parts: torch.Tensor, count: int) -> torch.Tensor:
    """Indices (K,), increasing, of well seen frames near rest that differ most from one another."""
    if len(xy) <= count:
        return torch.arange(len(xy))
    turn = rotmat_to_rotvec(guide.turn).norm(dim=1)
    badness = (
        (turn / WORSE_TURN).square()
        + guide.mean.square().sum(1) / WORSE_EXPRESSION**2
        + 4 * (1 - seen_parts).square().sum(1)
    )
    best = badness.argsort()[: max(count, int(BEST_PART * len(xy)))].sort().values
    return best[key_frames(pose[best], xy[best], count)]


def with_lids(guide: Guide, lids: Lids, model: LandmarkModel, seen_parts: torch.Tensor, sigma: float) -> Guide:
    """The guide with the measured gaps between the lids, and blinks where nothing else shuts an eye so far."""
    eyes = [REGIONS.index("right eye"), REGIONS.index("left eye")]
    known = torch.as_tensor(np.isfinite(lids.gap), dtype=torch.float32) * seen_parts[:, eyes]
    gap = torch.as_tensor(np.nan_to_num(lids.gap, nan=1.0), dtype=torch.float32)
    rows = torch.as_tensor(lids.rows, dtype=torch.float32)
    # Seen from aside, or from above or below, a gap tells little.
    known = known * torch.exp(-(rotmat_to_rotvec(guide.turn).norm(dim=1, keepdim=True) / LIDS_TURN).square())
    # A shut eye that the prediction knows of is left to it: lids meet before a blink is over.
    told = 1 + guide.mean @ rows.T
    rows = rows.repeat(len(gap), 1, 1)
    mean, precision = guide.mean.clone(), guide.precision.clone()
    for side, name in enumerate(BLINKS):
        if name in model.controls.names:
            at = model.controls.names.index(name)
            sure = torch.as_tensor(surely_blinking(gap[:, side].numpy()), dtype=torch.float32)
            unknown = ((told[:, side] - TOLD_SHUT) / (TOLD_OPEN - TOLD_SHUT)).clamp(0, 1)
            known[:, side] *= 1 - sure * (1 - unknown)
            sure = sure * unknown
            # The prediction is wrong there by more than it says.
            precision[:, at] *= 1 - CONTRADICTED * sure
            more = known[:, side] * sure / (SHUT_SIGMA_PART * sigma) ** 2
            shut = (1 - gap[:, side]).clamp(0, 1)
            mean[:, at] = (precision[:, at] * mean[:, at] + more * shut) / (precision[:, at] + more)
            precision[:, at] = precision[:, at] + more
            # Neither a squint nor a look down takes a part of what only a blink can do.
            others = torch.arange(rows.shape[2]) != at
            rows[:, side, others] *= 1 - sure[:, None]
    return replace(
        guide,
        mean=mean,
        precision=precision,
        gap=gap,
        gap_precision=known / sigma**2,
        gap_rows=rows,
    )
