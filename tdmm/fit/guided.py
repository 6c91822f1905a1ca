"""The solver with a prediction: its two stages again, where every frame also has a guide, and time is solved exactly.

Identity comes from frames that are seen well and lie near rest, so that what a smile does to the face stays a smile.
Then all frames of a window are one system (`tdmm.fit.chain`): landmarks, guide, and changes from frame to frame.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from roma import rotmat_to_rotvec

from tdmm.fit.chain import solve_chain
from tdmm.fit.eyes import BLINKS, Lids, measure_lids, surely_blinking
from tdmm.fit.guide import Guide, guide_of
from tdmm.fit.landmark_model import LandmarkModel
from tdmm.fit.normal_equations import BasisProducts, normal_equations
from tdmm.fit.prior import REGIONS, Prediction
from tdmm.fit.projection import POSE, Linearised, Pose, linearise, weak_perspective
from tdmm.fit.regions import landmark_regions
from tdmm.fit.scheme import Scheme
from tdmm.fit.solve import (
    DAMPING,
    Progress,
    Seen,
    Shared,
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
TOLD_SHUT, TOLD_OPEN = 0.2, 0.5
# Part of a prediction's weight that is taken off where it leaves a shut eye open.
CONTRADICTED = 0.8
# A lid that is surely shut is believed this much more closely than one on its way.
SHUT_SIGMA_PART = 0.6
# Frames on either side of a window that are solved with it and not kept: the pull of a frame fades sooner.
MARGIN = 24
# Frames before and after a blink in which the lids may move as they like.
BLINK_REACH = 3
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


class FrameSolver(Solver):
    """Stage 2: pose and controls of all frames of a window at once, for a known identity, focal length and offset."""

    def __init__(self, model: LandmarkModel, scheme: Scheme, options: SolverOptions) -> None:
        super().__init__(model, options)
        self.basis = BasisProducts(model.control_basis)
        self.iris = IrisPlace.of(model, scheme)
        names = model.controls.names
        self.blinks = [names.index(name) for name in BLINKS if name in names]

    def fit(self, seen: Seen, seconds: torch.Tensor, pose: Pose, controls: torch.Tensor, shared: Shared) -> Solution:
        parts = []
        for start in range(0, len(seen), self.options.block):
            stop = min(start + self.options.block, len(seen))
            low, high = max(start - MARGIN, 0), min(stop + MARGIN, len(seen))
            window = slice(low, high)
            solved = self._window(seen[window], seconds[window], pose[window], controls[window], shared)
            kept = slice(start - low, stop - low)
            parts.append((solved[0][kept], *(each[kept] for each in solved[1:])))
        poses = [part[0] for part in parts]
        joined = Pose(*(torch.cat([getattr(p, name) for p in poses]) for name in ("rotation", "place", "log_scale")))
        values, inlier, variance = (torch.cat([part[n] for part in parts]) for n in (1, 2, 3))
        return Solution(joined, values, shared, inlier, variance)

    def _window(
        self, seen: Seen, seconds: torch.Tensor, pose: Pose, controls: torch.Tensor, shared: Shared
    ) -> tuple[Pose, torch.Tensor, torch.Tensor, torch.Tensor]:
        steps = self.options.guided_iterations
        inlier, variance = torch.ones(seen.xy.shape[:2]), torch.ones_like(controls)
        for iteration in range(steps):
            linear = linearise(self.points(shared, controls, pose), pose, shared.log_focal)
            residual = seen.xy - linear.xy
            weight, _, inlier = self.weights(residual, seen)
            matrix, vector = normal_equations(linear, residual, weight, self.basis, with_focal=False)
            if self.iris is not None:
                self.iris.add_to(matrix, vector, linear, residual, seen, self.options.gaze_sigma)
            self.add_prior(matrix, vector, seen, controls, pose, shared)
            coupling = self._couple(matrix, vector, seen, seconds, pose, controls)
            last = iteration + 1 == steps
            step, found = self._step(matrix, vector, coupling, controls, with_variance=last)
            if found is not None:
                variance = found[:, POSE:]
            step[:, :3] *= 0.5 / step[:, :3].norm(dim=1, keepdim=True).clamp(min=0.5)
            pose = pose.moved(step[:, :POSE])
            controls = self.bounded(controls + step[:, POSE:])
        return pose, controls, inlier, variance

    def _couple(
        self,
        matrix: torch.Tensor,
        vector: torch.Tensor,
        seen: Seen,
        seconds: torch.Tensor,
        pose: Pose,
        controls: torch.Tensor,
    ) -> torch.Tensor:
        """Add the cost of changes from frame to frame; returns the coupling (T - 1, N) of neighbours.

        The cost of a change is logarithmic (Cauchy), so that noise is smoothed, a quick move not; a blink is free.
        """
        if len(controls) < 2:
            return vector[:0]
        beats = (25 * (seconds[1:] - seconds[:-1])).sqrt().float()[:, None]
        turn = rotmat_to_rotvec(pose.rotation[1:] @ pose.rotation[:-1].mT)
        scale = pose.log_scale.exp()[:, None]
        place = (pose.place[1:] - pose.place[:-1]) / (0.5 * (scale[1:] + scale[:-1]))
        change = torch.cat(
            [turn, place, (pose.log_scale[1:] - pose.log_scale[:-1])[:, None], controls[1:] - controls[:-1]], 1
        )
        options = self.options
        usual = torch.cat(
            [
                torch.full((3,), options.still_turn),
                torch.full((2,), options.still_place),  # metres at the head
                torch.full((1,), options.still_place),
                options.change * self._control_range(),
            ]
        )
        usual = usual * beats
        strength = options.guided_smoothness / usual.square() / (1 + (change / usual).square())
        if self.blinks:
            strength[:, [POSE + at for at in self.blinks]] *= 1 - blinking(seen, controls[:, self.blinks])[:, None]
        # Unknown steps of place are picture units.
        units = torch.ones_like(strength)
        units[:, 3:5] = 2 / (scale[1:] + scale[:-1])
        pull, stiffness = strength * units * change, strength * units.square()
        vector[:-1] += pull
        vector[1:] -= pull
        diagonal = matrix.diagonal(dim1=1, dim2=2)
        diagonal[:-1] += stiffness
        diagonal[1:] += stiffness
        return stiffness

    def _step(
        self,
        matrix: torch.Tensor,
        vector: torch.Tensor,
        coupling: torch.Tensor,
        controls: torch.Tensor,
        *,
        with_variance: bool,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The Gauss-Newton step (T, N); what would cross its bound is held, the pose never."""
        held = torch.zeros(vector.shape, dtype=torch.bool)
        held[:, POSE:] = self.frozen(controls, vector[:, POSE:])
        free = (~held).to(matrix)
        variance = None
        if with_variance:
            _, variance = solve_chain(matrix, coupling, vector, with_variance=True)
        blocks = matrix * free[:, :, None] * free[:, None, :]
        diagonal = blocks.diagonal(dim1=1, dim2=2)
        diagonal *= 1 + DAMPING
        diagonal += held.to(matrix)
        step, _ = solve_chain(blocks, coupling * free[1:] * free[:-1], vector * free)
        return step, variance


def blinking(seen: Seen, blinks: torch.Tensor) -> torch.Tensor:
    """(T - 1,) 0..1: whether a blink goes on between a frame and the next, by the lids or else by the blinks (T, B)."""
    shut = blinks.amax(1)
    if seen.guide is not None and seen.guide.gap.shape[1]:
        shut = torch.maximum(shut, 1 - seen.guide.gap.amin(1))
    shut = (2 * shut).clamp(0, 1)
    near = torch.nn.functional.max_pool1d(shut[None, None], 2 * BLINK_REACH + 1, 1, BLINK_REACH)[0, 0]
    return torch.maximum(near[1:], near[:-1])


class IrisPlace:
    """Where the iris stands between the corners of its eye: what the detector's errors of a whole eye do not touch."""

    def __init__(self, basis: torch.Tensor, at: list[list[int]], parts: list[torch.Tensor]) -> None:
        self.basis, self.at, self.parts = basis, at, parts

    @classmethod
    def of(cls, model: LandmarkModel, scheme: Scheme) -> IrisPlace | None:
        """None where the scheme has no irises, or the model no place for them."""
        place = {int(number): at for at, number in enumerate(model.index)}
        at, parts = [], []
        for eye in scheme.eyes:
            numbers = [*eye.iris, eye.outer, eye.inner]
            if not eye.iris or any(number not in place for number in numbers):
                return None
            at.append([place[number] for number in numbers])
            parts.append(torch.tensor([1 / len(eye.iris)] * len(eye.iris) + [-0.5, -0.5]))
        return cls(model.control_basis, at, parts)

    def add_to(
        self,
        matrix: torch.Tensor,
        vector: torch.Tensor,
        linear: Linearised,
        residual: torch.Tensor,
        seen: Seen,
        sigma: float,
    ) -> None:
        """Add its normal equations. sigma: metres."""
        for at, part in zip(self.at, self.parts, strict=True):
            by_controls = torch.einsum("l,tlij,clj->tic", part, linear.by_point[:, at], self.basis[:, at])
            by_pose = torch.einsum("l,tlij->tij", part, linear.pose[:, at])
            jacobian = torch.cat([by_pose, by_controls], dim=2)
            miss = torch.einsum("l,tli->ti", part, residual[:, at])
            precision = seen.visible[:, at].amin(1) / (sigma * seen.scale) ** 2
            # A miss of many sigmas is no glance but a wrong iris.
            bound = 25.0
            precision = precision * (bound / (bound + precision * miss.square().sum(1))) ** 2
            weighted = jacobian * precision[:, None, None]
            matrix += weighted.mT @ jacobian
            vector += (weighted.mT @ miss[..., None])[..., 0]
