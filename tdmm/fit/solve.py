"""From landmarks in all frames of a clip to identity, focal length, pose and controls: two Gauss-Newton stages.

1. Identity, focal length, then a small offset per landmark, jointly with pose and controls of some key frames; the
   frames' own unknowns are eliminated (Schur complement).
2. Pose and controls of all frames, each with its bounds, with light smoothness over time.

Residuals are picture distances divided by the head's scale, thus metres at the head, over the landmark's sigma; a
Geman-McClure loss keeps hands and hair in front of the face from pulling. Everything is float32 torch on the CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from roma import rotmat_to_rotvec

from tdmm.fit.guide import Guide
from tdmm.fit.landmark_model import LandmarkModel
from tdmm.fit.normal_equations import BasisProducts, Factor, normal_equations
from tdmm.fit.projection import POSE, Pose, linearise, project, weak_perspective

# Part of the diagonal that is added to a frame's matrix; bounds and priors do the rest.
DAMPING = 1e-3

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class SolverOptions:
    """Weights and lengths of the two stages.

    n_shape: identity components. focal: in lengths of the picture's longer side, None to estimate it.
    focal_mean, focal_sigma: prior of that estimate, sigma of its logarithm.
    key_frames: how many frames tell the identity. shared_iterations, offset_rounds, frame_iterations: steps.
    noise: metres of jitter added to every landmark's sigma. independence: the part of the 2 L residuals of one frame
        that counts as independent (a detector's errors move together).
    outlier: in sigmas, where the loss begins to flatten. offset_sigma: metres, prior of the offset per landmark.
    trust: weight of the identity's prior per key frame (frames of one clip err alike).
    sparsity: cost of a blendshape weight of 1.
    change: by how much a control usually changes in 1/25 s; larger changes cost hardly more (blinks).
    smoothness: weight of the changes. block: frames solved at once, for memory only.

    With a prediction (`tdmm.fit.guided`) these count instead, or beside them:
    stray_offset, stray_controls: the parts of what is known of the detector's straying that are used, at rest and by
        control. An offset of 1 gives the truest expressions and head, less the smallest distance to the landmarks.
    guided_independence, guided_identity_independence: `independence` of the landmarks in all frames, and in those that
        tell the identity. widening, turn_widening: factors of the network's sigmas of controls and of rotation.
    changes_independence: `independence` of how landmarks differ from what is always missed at them.
    seen_sigma, seen_unsteadiness, seen_trust, seen_widening, seen_turn_sigma, seen_iterations: of the last stage, which
        lays the mesh itself onto the landmarks (`tdmm.fit.as_seen`): metres, of every landmark, and by how much
        landmarks go to and fro before that spread grows; `trust`; factor of the spread that the expressions were found
        with (larger ones come nearer to the landmarks, and farther from the truth); radians, of the head's turn; steps.
    lid_sigma: of the gap between the lids, in parts of the open eye's. gaze_sigma: metres, of the iris's place between
        the corners of the eye. guided_smoothness: weight of the changes; still_turn, still_place: by how much the head
        usually turns (radians) and moves (parts of its distance) in 1/25 s.
    guided_shared_iterations, guided_offset_rounds, guided_iterations: steps; fewer, since they begin near the truth.
    """

    n_shape: int = 100
    focal: float | None = None
    focal_mean: float = 1.6
    focal_sigma: float = 0.35
    key_frames: int = 32
    shared_iterations: int = 10
    offset_rounds: int = 2
    frame_iterations: int = 10
    noise: float = 5e-4
    independence: float = 1.0
    outlier: float = 5.0
    offset_sigma: float = 3e-4
    trust: float = 1 / 8
    sparsity: float = 0.2
    change: float = 0.1
    smoothness: float = 1.0
    block: int = 256
    stray_offset: float = 1.0
    stray_controls: float = 1.0
    guided_independence: float = 0.05
    guided_identity_independence: float = 0.3
    changes_independence: float = 0.4
    seen_sigma: float = 2e-3
    seen_unsteadiness: float = 9e-4
    seen_trust: float = 1 / 32
    seen_widening: float = 1.1
    seen_turn_sigma: float = 4e-3
    seen_iterations: int = 6
    widening: float = 0.4
    turn_widening: float = 0.25
    lid_sigma: float = 0.07
    gaze_sigma: float = 6e-4
    guided_smoothness: float = 3.0
    still_turn: float = 0.01
    still_place: float = 0.003
    guided_shared_iterations: int = 5
    guided_offset_rounds: int = 1
    guided_iterations: int = 6


@dataclass
class Seen:
    """Landmarks of T frames: xy (T, L, 2) picture units, visible (T, L) in 0..1, and scale (T,), picture units
    per metre at the head; guide: what else is known of these frames.

    The scale that turns a miss into metres is a first estimate and stays as it is: if it were the fitted one, a head
    held close to the camera would make every miss small.
    """

    xy: torch.Tensor
    visible: torch.Tensor
    scale: torch.Tensor
    guide: Guide | None = None

    def __getitem__(self, frames: slice | torch.Tensor) -> Seen:
        guide = None if self.guide is None else self.guide[frames]
        return Seen(self.xy[frames], self.visible[frames], self.scale[frames], guide)

    def __len__(self) -> int:
        return len(self.xy)


@dataclass
class Shared:
    """What all frames have in common: shape (S,), log_focal (), offset (L, 3) metres in the head frame."""

    shape: torch.Tensor
    log_focal: torch.Tensor
    offset: torch.Tensor


@dataclass
class Solution:
    """pose of T frames, controls (T, C), what is shared, and the weight (T, L) in 0..1 that the loss left.

    variance: (T, C) of the controls, where it was computed.
    """

    pose: Pose
    controls: torch.Tensor
    shared: Shared
    inlier: torch.Tensor
    variance: torch.Tensor | None = None


def solve(
    xy: torch.Tensor,
    visible: torch.Tensor,
    seconds: torch.Tensor,
    model: LandmarkModel,
    options: SolverOptions,
    progress: Progress | None = None,
    spread: float | None = None,
) -> Solution:
    """Fit all frames.

    xy: (T, L, 2) picture units (see projection). visible: (T, L) in 0..1, how far each was seen rather than guessed.
    seconds: (T,) increasing. spread: picture units, of each coordinate about the model's own landmark; None: the points
    are a detector's, which strays from the model's landmarks by their sigma, and for a person always the same way.
    """
    solver = Solver(model, options)
    pose, controls = solver.start(xy, visible)
    seen = Seen(xy, visible, pose.log_scale.exp())
    if spread is not None:
        # The noise is known, and there is no detector whose own idea of a landmark an offset would have to explain.
        options = replace(options, noise=0.0, offset_rounds=0)
        metres = spread / float(seen.scale.mean())
        solver = Solver(replace(model, sigma=torch.full_like(model.sigma, metres)), options)
    total = sum(rounds(options)) + options.frame_iterations
    report = (lambda done: progress(done, total)) if progress is not None else (lambda done: None)
    keys = key_frames(pose, xy, options.key_frames)
    shared, _, key_controls = solver.fit_shared(seen[keys], pose[keys], controls[keys], report)
    # Every frame starts from the nearest key frame's expression and its own pose.
    nearest = (seconds[:, None] - seconds[keys][None]).abs().argmin(1)
    return solver.fit_frames(seen, seconds, pose, key_controls[nearest].clone(), shared, report)


def rounds(options: SolverOptions) -> list[int]:
    """Steps of stage 1 before the first offset, and after each."""
    return [options.shared_iterations] + [max(options.shared_iterations // 2, 1)] * options.offset_rounds


def widening(iteration: int) -> float:
    """By how much the loss is wider at first, when a wide open mouth is still far from the resting face."""
    return max(1.0, 4.0 * 0.6**iteration)


def key_frames(pose: Pose, xy: torch.Tensor, count: int) -> torch.Tensor:
    """Indices (K,), increasing, of frames that differ most from one another: farthest-point sampling.

    Frames are compared by their landmarks relative to the head's place and scale, which holds both view and expression.
    """
    n_frames = len(xy)
    if n_frames <= count:
        return torch.arange(n_frames)
    shape = ((xy - pose.place[:, None]) / pose.log_scale.exp()[:, None, None]).reshape(n_frames, -1)
    # The frame nearest to the median first: outliers are no good beginning.
    chosen = [int((shape - shape.median(0).values).square().sum(1).argmin())]
    distance = (shape - shape[chosen[0]]).square().sum(1)
    while len(chosen) < count:
        chosen.append(int(distance.argmax()))
        distance = torch.minimum(distance, (shape - shape[chosen[-1]]).square().sum(1))
    return torch.tensor(sorted(set(chosen)))


class Solver:
    """The two stages for one landmark model; holds the products of its bases, which are costly to make."""

    def __init__(self, model: LandmarkModel, options: SolverOptions) -> None:
        self.model, self.options = model, options
        limits = model.controls
        self.lower, self.upper = torch.as_tensor(limits.lower), torch.as_tensor(limits.upper)
        self.spread = torch.as_tensor(limits.sigma)
        self.sparsity = options.sparsity * torch.as_tensor(limits.one_sided).float()
        self.sigma = torch.sqrt(model.sigma**2 + options.noise**2)
        self.n_controls, self.n_shape = len(limits), len(model.shape_basis)

    # -- start -------------------------------------------------------------------------------------

    def start(self, xy: torch.Tensor, visible: torch.Tensor) -> tuple[Pose, torch.Tensor]:
        """Pose of the resting mean face by its landmarks that move least, and controls at rest."""
        moves = self.model.control_basis * self._control_range()[:, None, None]
        spread = self.sigma**2 + 0.05 * moves.square().sum((0, 2))
        pose = weak_perspective(self.model.base, xy, visible / spread)
        return pose, torch.zeros(len(xy), self.n_controls)

    # -- pieces ------------------------------------------------------------------------------------

    def points(self, shared: Shared, controls: torch.Tensor, pose: Pose) -> torch.Tensor:
        """(T, L, 3) landmarks in the head frame, the model's own plus the offset."""
        points = self.model.points(shared.shape, controls) + shared.offset
        if not self.model.linear:
            rotvec = rotmat_to_rotvec(pose.rotation)
            points = points + self.model.correction(shared.shape, controls, pose.rotation, rotvec)
        return points

    def weights(
        self, residual: torch.Tensor, seen: Seen, wider: float = 1.0
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Weight (T, L) of each residual (T, L, 2), the loss (T,), and the inlier weight (T, L) in 0..1."""
        precision = seen.visible / (self.sigma * seen.scale[:, None]) ** 2
        square = residual.square().sum(-1) * precision
        bound = (wider * self.options.outlier) ** 2
        inlier = (bound / (bound + square)) ** 2
        loss = 0.5 * (bound * square / (bound + square)).sum(1)
        return self.options.independence * precision * inlier, self.options.independence * loss, inlier

    def prior_loss(self, seen: Seen, controls: torch.Tensor, pose: Pose, shared: Shared) -> torch.Tensor:
        """(T,): half squares over the spread, plus a cost of every one-sided weight; or what the guide says."""
        if seen.guide is not None:
            return seen.guide.loss(controls, pose, shared.log_focal)
        return 0.5 * (controls / self.spread).square().sum(1) + (self.sparsity * controls).sum(1)

    def add_prior(
        self,
        matrix: torch.Tensor,
        vector: torch.Tensor,
        seen: Seen,
        controls: torch.Tensor,
        pose: Pose,
        shared: Shared,
    ) -> None:
        """Add second derivatives and descent of `prior_loss` to matrix (T, N, N) and vector (T, N)."""
        if seen.guide is not None:
            seen.guide.add_to(matrix, vector, controls, pose, shared.log_focal)
            return
        matrix.diagonal(dim1=1, dim2=2)[:, POSE:] += 1 / self.spread**2
        vector[:, POSE:] -= controls / self.spread**2 + self.sparsity

    def frozen(self, controls: torch.Tensor, downhill: torch.Tensor) -> torch.Tensor:
        """(T, C): at a bound, and downhill lies beyond it."""
        return ((controls <= self.lower) & (downhill < 0)) | ((controls >= self.upper) & (downhill > 0))

    def bounded(self, controls: torch.Tensor) -> torch.Tensor:
        controls = torch.minimum(torch.maximum(controls, self.lower), self.upper)
        for first, second in self.model.controls.capped:
            controls[:, first] = torch.minimum(controls[:, first], 1 - controls[:, second])
        return controls

    # -- stage 1 -----------------------------------------------------------------------------------

    def fit_shared(
        self, seen: Seen, pose: Pose, controls: torch.Tensor, report: Callable[[int], None]
    ) -> tuple[Shared, Pose, torch.Tensor]:
        """Identity, focal length and offset from key frames; also their pose and controls."""
        options = self.options
        focal = options.focal if options.focal is not None else options.focal_mean
        shared = Shared(torch.zeros(self.n_shape), torch.tensor(float(focal)).log(), torch.zeros_like(self.model.base))
        basis = BasisProducts(torch.cat([self.model.control_basis, self.model.shape_basis]))
        done, damping = 0, 1e-3
        for number, steps in enumerate(rounds(options)):
            if number > 0:
                held = self._trust(len(seen)) * options.independence / options.offset_sigma**2
                shared = replace(shared, offset=self.offset(seen, pose, controls, shared, held))
            for _ in range(steps):
                pose, controls, shared, damping = self._shared_step(
                    seen, pose, controls, shared, basis, damping, widening(done)
                )
                done += 1
                report(done)
        return shared, pose, controls

    def _shared_cost(
        self,
        seen: Seen,
        residual: torch.Tensor,
        controls: torch.Tensor,
        pose: Pose,
        shared: Shared,
        wider: float,
    ) -> float:
        loss = self.weights(residual, seen, wider)[1] + self.prior_loss(seen, controls, pose, shared)
        return float(loss.sum()) + self._trust(len(seen)) * float(self._shared_prior(shared))

    def _trust(self, n_frames: int) -> float:
        """Frames of one clip err alike: more than a few do not outvote the prior of the identity any further."""
        return max(self.options.trust * 8, self.options.trust * n_frames)

    def _shared_prior(self, shared: Shared) -> torch.Tensor:
        prior = 0.5 * shared.shape.square().sum()
        if self.options.focal is None:
            prior = prior + 0.5 * (self._focal_miss(shared) / self.options.focal_sigma) ** 2
        return prior

    def _focal_miss(self, shared: Shared) -> torch.Tensor:
        return shared.log_focal - float(np.log(self.options.focal_mean))

    def _shared_step(
        self,
        seen: Seen,
        pose: Pose,
        controls: torch.Tensor,
        shared: Shared,
        basis: BasisProducts,
        damping: float,
        wider: float,
    ) -> tuple[Pose, torch.Tensor, Shared, float]:
        """One Levenberg-Marquardt step; a step that would raise the cost is not taken and the damping grows."""
        n_frames, n_local = len(seen), POSE + self.n_controls
        linear = linearise(self.points(shared, controls, pose), pose, shared.log_focal)
        residual = seen.xy - linear.xy
        weight = self.weights(residual, seen, wider)[0]
        matrix, vector = normal_equations(linear, residual, weight, basis, with_focal=True)
        # Columns: pose, focal, controls, shape -> local (pose, controls), common (focal, shape).
        local = torch.cat([torch.arange(POSE), POSE + 1 + torch.arange(self.n_controls)])
        common = torch.cat([torch.tensor([POSE]), POSE + 1 + self.n_controls + torch.arange(self.n_shape)])
        a, b = matrix[:, local][:, :, local], matrix[:, local][:, :, common]
        c = matrix[:, common][:, :, common].sum(0).double()
        u, v = vector[:, local], vector[:, common].sum(0).double()
        self.add_prior(a, u, seen, controls, pose, shared)
        trust = self._trust(n_frames)
        c.diagonal()[1:] += trust
        v[1:] -= trust * shared.shape
        if self.options.focal is None:
            c[0, 0] += trust / self.options.focal_sigma**2
            v[0] -= trust * self._focal_miss(shared) / self.options.focal_sigma**2
        else:
            b[:, :, 0], c[0, :], c[:, 0], v[0] = 0.0, 0.0, 0.0, 0.0
            c[0, 0] = 1.0
        frozen = torch.zeros(n_frames, n_local, dtype=torch.bool)
        frozen[:, POSE:] = self.frozen(controls, u[:, POSE:])
        factor = Factor(a, frozen, torch.full((n_frames,), damping))
        eliminated = factor.solve(torch.cat([b, u[..., None]], dim=2))
        reduced = c - torch.einsum("tnk,tnm->km", b.double(), eliminated[..., :-1].double())
        right = v - torch.einsum("tnk,tn->k", b.double(), eliminated[..., -1].double())
        reduced.diagonal().mul_(1 + damping)
        step = torch.linalg.solve(reduced, right).float()
        local_step = eliminated[..., -1] - eliminated[..., :-1] @ step
        new_pose = pose.moved(local_step[:, :POSE])
        new_controls = self.bounded(controls + local_step[:, POSE:])
        new_shared = replace(
            shared, log_focal=shared.log_focal + step[0].clamp(-0.3, 0.3), shape=shared.shape + step[1:]
        )
        before = self._shared_cost(seen, residual, controls, pose, shared, wider)
        missed = seen.xy - project(self.points(new_shared, new_controls, new_pose), new_pose, new_shared.log_focal)
        if self._shared_cost(seen, missed, new_controls, new_pose, new_shared, wider) <= before:
            return new_pose, new_controls, new_shared, max(damping * 0.3, 1e-5)
        return pose, controls, shared, min(damping * 10, 1e3)

    def offset(
        self, seen: Seen, pose: Pose, controls: torch.Tensor, shared: Shared, held: float | torch.Tensor
    ) -> torch.Tensor:
        """The offset (L, 3) of each landmark that explains what is left in all frames, against its prior.

        A person's lids, lips and brows at rest differ from every identity of the model, and the detector has its own
        idea of where a point lies; without this, expressions would pay for both. held: the prior's precision, 1/m^2, of
        all landmarks or (L, 1, 1) of each.
        """
        linear = linearise(self.points(shared, controls, pose), pose, shared.log_focal)
        residual = seen.xy - linear.xy
        weight = self.weights(residual, seen)[0]
        # Around the present offset: residual + by_point . offset is what the whole offset has to explain.
        wanted = residual + (linear.by_point @ shared.offset[..., None])[..., 0]
        weighted = linear.by_point * weight[..., None, None]
        matrix = torch.einsum("tlij,tlik->ljk", weighted, linear.by_point)
        vector = torch.einsum("tlij,tli->lj", weighted, wanted)
        return torch.linalg.solve(matrix + held * torch.eye(3), vector)

    # -- stage 2 -----------------------------------------------------------------------------------

    def fit_frames(
        self,
        seen: Seen,
        seconds: torch.Tensor,
        pose: Pose,
        controls: torch.Tensor,
        shared: Shared,
        report: Callable[[int], None],
    ) -> Solution:
        """Pose and controls of every frame for a known identity, focal length and offset."""
        options = self.options
        n_frames = len(seen)
        basis = BasisProducts(self.model.control_basis)
        inlier = torch.ones(seen.xy.shape[:2])
        begun = sum(rounds(options))
        for iteration in range(options.frame_iterations):
            pull, stiffness = self._smoothness(controls, seconds)
            updated = [
                self._frame_step(
                    seen[at], pose[at], controls[at], shared, basis, pull[at], stiffness[at], widening(iteration)
                )
                for at in (slice(i, i + options.block) for i in range(0, n_frames, options.block))
            ]
            pose = Pose.joined([u[0] for u in updated])
            controls, inlier = torch.cat([u[1] for u in updated]), torch.cat([u[2] for u in updated])
            report(begun + iteration + 1)
        return Solution(pose, controls, shared, inlier)

    def _smoothness(self, controls: torch.Tensor, seconds: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Gradient towards the neighbours' present values, and its stiffness, (T, C) each.

        The cost of a change is logarithmic (Cauchy): noise is smoothed, a blink is not.
        """
        pull, stiffness = torch.zeros_like(controls), torch.zeros_like(controls)
        if len(controls) > 1:
            change = controls[1:] - controls[:-1]
            usual = self.options.change * self._control_range() * (25 * (seconds[1:] - seconds[:-1])).sqrt()[:, None]
            strength = self.options.smoothness / usual**2 / (1 + (change / usual).square())
            pull[:-1] += strength * change
            pull[1:] -= strength * change
            stiffness[:-1] += strength
            stiffness[1:] += strength
        return pull, stiffness

    def _control_range(self) -> torch.Tensor:
        return torch.maximum(self.upper, -self.lower).clamp(min=1e-3)

    def _frame_step(
        self,
        seen: Seen,
        pose: Pose,
        controls: torch.Tensor,
        shared: Shared,
        basis: BasisProducts,
        pull: torch.Tensor,
        stiffness: torch.Tensor,
        wider: float,
    ) -> tuple[Pose, torch.Tensor, torch.Tensor]:
        """One Gauss-Newton step of all frames of a block; the bounds are kept by holding what would cross them."""
        linear = linearise(self.points(shared, controls, pose), pose, shared.log_focal)
        residual = seen.xy - linear.xy
        weight, _, inlier = self.weights(residual, seen, wider)
        matrix, vector = normal_equations(linear, residual, weight, basis, with_focal=False)
        self.add_prior(matrix, vector, seen, controls, pose, shared)
        matrix.diagonal(dim1=1, dim2=2)[:, POSE:] += stiffness
        vector[:, POSE:] += pull
        frozen = torch.zeros(vector.shape, dtype=torch.bool)
        frozen[:, POSE:] = self.frozen(controls, vector[:, POSE:])
        step = Factor(matrix, frozen, torch.full((len(seen),), DAMPING)).solve(vector[..., None])[..., 0]
        # A turn of more than half a radian at once is a frame gone astray.
        step[:, :3] *= 0.5 / step[:, :3].norm(dim=1, keepdim=True).clamp(min=0.5)
        new_pose = pose.moved(step[:, :POSE])
        new_controls = self.bounded(controls + step[:, POSE:])
        return new_pose, new_controls, inlier
