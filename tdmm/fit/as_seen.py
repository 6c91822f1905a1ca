"""The last stage of a fit with a prediction: the mesh itself, not how a detector strays from it, on the landmarks.

Where the mesh is drawn over the video it is to lie where the face is seen. A detector that finds every nose a little
too low is believed: identity, place, size and a constant turn of the head take up what it adds to them. Expressions and
the head's motion were found with its straying accounted for, and are held with the spread that they were found with;
lids and gaze, which landmarks tell the worst, stay.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from roma import special_procrustes

from tdmm.fit.frames import FrameSolver
from tdmm.fit.guide import Guide
from tdmm.fit.regions import LEFT_EYE, RIGHT_EYE, control_regions
from tdmm.fit.solve import Seen, Solution, Solver, SolverOptions

# Variance of what stays as it is; no spread is trusted to be smaller.
HELD = 1e-6
# What the network reads best, while a detector draws every wide mouth a little wider: these move by a part of their
# spread only, and smaller controls of the lips take up what is left. (Lips that close a jaw are part of its opening.)
READ_WELL, READ_WELL_PART = ("jawOpen", "mouthClose", "mouthSmileLeft", "mouthSmileRight"), 0.2


def as_seen_options(options: SolverOptions) -> SolverOptions:
    """Weights of this stage's solvers: the landmarks count fully, and no iris on its own."""
    return replace(
        options,
        independence=1.0,
        trust=options.seen_trust,
        shared_iterations=options.seen_iterations,
        offset_rounds=0,
        gaze_sigma=1.0,
    )


def as_seen(
    seen: Seen, seconds: torch.Tensor, found: Solution, frames: FrameSolver, unsteadiness: float = 0.0
) -> Solution:
    """`found`, made with a detector's straying, for the mesh itself.

    frames: of the mesh's landmarks. unsteadiness: metres, see `FrameSolver.unsteadiness`: a detector that is at a loss
    is followed less.
    """
    assert found.variance is not None
    options = frames.options
    wider = max(1.0, unsteadiness / options.seen_unsteadiness) ** 2
    frames.sigma = torch.full_like(frames.sigma, wider * options.seen_sigma)
    identity = Solver(frames.model, options)
    identity.sigma = frames.sigma
    eyes = torch.as_tensor(control_regions(frames.scheme, frames.model)[:, [RIGHT_EYE, LEFT_EYE]].sum(1) > 0.5)
    keys = torch.linspace(0, len(seen) - 1, min(len(seen), options.key_frames)).round().long().unique()
    seen = Seen(seen.xy, seen.visible, found.pose.log_scale.exp())
    variance = (options.seen_widening * _freedom(frames)) ** 2 * found.variance
    variance = variance.clamp(min=HELD).masked_fill(eyes, HELD)
    seen.guide = _held(found, variance)
    shared, pose, _ = identity.fit_shared(seen[keys], found.pose[keys], found.controls[keys], _unheard)
    # The turn between the head as it is and as it is seen is the same all the time.
    constant = special_procrustes((found.pose.rotation[keys].mT @ pose.rotation).mean(0))
    seen.guide.turn = found.pose.rotation @ constant
    seen.guide.turn_precision += options.seen_turn_sigma**-2
    start = replace(found.pose, rotation=seen.guide.turn)
    solution = frames.fit(seen, seconds, start, found.controls.clone(), shared)
    return replace(solution, variance=found.variance)


def _freedom(frames: FrameSolver) -> torch.Tensor:
    """(C,) the part of its spread that each control may move by."""
    return torch.tensor([READ_WELL_PART if name in READ_WELL else 1.0 for name in frames.model.controls.names])


def _held(found: Solution, variance: torch.Tensor) -> Guide:
    """A guide to what was found, as far as it goes without the turn."""
    n_frames, n_controls = variance.shape
    return Guide(
        mean=found.controls,
        precision=1 / variance,
        cost=torch.zeros_like(variance),
        turn=found.pose.rotation,
        turn_precision=torch.zeros(n_frames, 3),
        middle=torch.zeros(n_frames, 2),
        gap=torch.zeros(n_frames, 0),
        gap_precision=torch.zeros(n_frames, 0),
        gap_rows=torch.zeros(n_frames, 0, n_controls),
    )


def _unheard(done: int) -> None:
    """Steps of this stage are few: nobody counts them."""
