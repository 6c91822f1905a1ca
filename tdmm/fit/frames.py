"""Pose and controls of all frames at once, each with its guide: one system over time (`tdmm.fit.chain`)."""

from __future__ import annotations

from dataclasses import replace

import torch
from roma import rotmat_to_rotvec

from tdmm.face.scheme import Scheme
from tdmm.fit.chain import solve_chain
from tdmm.fit.eyes import BLINKS
from tdmm.fit.landmark_model import LandmarkModel
from tdmm.fit.normal_equations import BasisProducts, normal_equations
from tdmm.fit.projection import POSE, Linearised, Pose, linearise, project
from tdmm.fit.solve import DAMPING, Seen, Shared, Solution, Solver, SolverOptions

# Frames on either side of a window that are solved with it and not kept: the pull of a frame fades sooner.
MARGIN = 24
# Frames of a clip, spread over it, that tell what its landmarks miss all the time.
CONSTANT_FRAMES = 64
# Frames before and after a blink in which the lids may move as they like.
BLINK_REACH = 3


class FrameSolver(Solver):
    """Stage 2: pose and controls of all frames of a window at once, for a known identity, focal length and offset."""

    def __init__(self, model: LandmarkModel, scheme: Scheme, options: SolverOptions) -> None:
        super().__init__(model, options)
        self.scheme = scheme
        self.basis = BasisProducts(model.control_basis)
        self.iris = IrisPlace.of(model, scheme)
        names = model.controls.names
        self.blinks = [names.index(name) for name in BLINKS if name in names]

    def fit_changes(self, seen: Seen, seconds: torch.Tensor, found: Solution) -> Solution:
        """A solution again, now that it is known what the landmarks miss all the time.

        How a person's landmarks stray is mostly constant in a clip, how they change is seen far more closely. So the
        constant part of what is left becomes an offset, down to what `guided_independence` makes of it (a clip of one
        frame answers the same again), and the rest counts by `changes_independence`.
        """
        options = self.options
        closely = FrameSolver(self.model, self.scheme, replace(options, independence=options.changes_independence))
        # As a miss of it counts by `guided_independence`.
        at = slice(None, None, max(1, len(seen) // CONSTANT_FRAMES))
        held = (options.guided_independence * len(seen[at]) / self.sigma**2)[:, None, None]
        offset = closely.offset(seen[at], found.pose[at], found.controls[at], found.shared, held)
        shared = replace(found.shared, offset=offset)
        return closely.fit(seen, seconds, found.pose, found.controls, shared)

    def unsteadiness(self, seen: Seen, found: Solution) -> float:
        """Metres by which landmarks go to and fro about what was found: the mean length of what is left of their
        misses without the constant part of each."""
        missed = []
        for start in range(0, len(seen), self.options.block):
            at = slice(start, start + self.options.block)
            points = self.points(found.shared, found.controls[at], found.pose[at])
            missed.append(seen.xy[at] - project(points, found.pose[at], found.shared.log_focal))
        metres = torch.cat(missed) / seen.scale[:, None, None]
        weight = seen.visible[..., None]
        constant = (weight * metres).sum(0) / weight.sum(0).clamp(min=1e-6)
        length = (metres - constant).norm(dim=-1)
        return float((seen.visible * length).sum() / seen.visible.sum().clamp(min=1e-6))

    def fit(self, seen: Seen, seconds: torch.Tensor, pose: Pose, controls: torch.Tensor, shared: Shared) -> Solution:
        poses: list[Pose] = []
        parts = []
        for start in range(0, len(seen), self.options.block):
            stop = min(start + self.options.block, len(seen))
            low, high = max(start - MARGIN, 0), min(stop + MARGIN, len(seen))
            window = slice(low, high)
            of, values, inlier, variance = self._window(
                seen[window], seconds[window], pose[window], controls[window], shared
            )
            kept = slice(start - low, stop - low)
            poses.append(of[kept])
            parts.append((values[kept], inlier[kept], variance[kept]))
        values, inlier, variance = (torch.cat(same) for same in zip(*parts, strict=True))
        return Solution(Pose.joined(poses), values, shared, inlier, variance)

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
