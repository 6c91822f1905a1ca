"""What a codec is trained to keep: where vertices are, how they move, whether lips and lids meet, the head's pose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from tdmm.face.mesh_points import MeshPoints
from tdmm.vq.columns import FaceColumns
from tdmm.vq.geometry import split_columns

LOSSES = ("geometry", "parameters")
# Each step looks at one of so many random samples of the mesh, with so many vertices of each region.
SAMPLES, SAMPLED = 16, {"face": 256, "lips": 96, "eyelids": 96, "eyes": 32}
# Where lips or lids are no further apart than about this, metres, their distance weighs more, up to so much.
CLOSE, CLOSE_WEIGHT = 0.002, 4.0
# Identities: so many components are drawn, with this spread.
IDENTITY_COMPONENTS, IDENTITY_SPREAD = 20, 0.8
# So many curves of a frame are its worst ones.
WORST = 2
# How parameters change counts so much beside how vertices do.
PARAMETERS_VELOCITY = 0.5


@dataclass(frozen=True)
class LossWeights:
    """Weights of the losses.

    face, lips, eyelids, eyes: of the L1 distance of their vertices, mm. velocity: of how that, and parameters, change
    from frame to frame. gaps: of the distance between what meets, mm. parameters: of the L1 distance of parameters in
    their spreads. curves: of the part of each curve's variance that is lost; without it what is rare and moves few
    vertices, such as brows and tongue, is not coded at all. worst: of the square error of a frame's worst curves.
    rotation: degrees; translation: mm.
    """

    face: float = 1.0
    lips: float = 0.5
    eyelids: float = 0.5
    eyes: float = 0.25
    velocity: float = 0.5
    gaps: float = 0.3
    parameters: float = 1.0
    curves: float = 5.0
    worst: float = 40.0
    rotation: float = 1.0
    translation: float = 0.1


class FaceLoss:
    """The loss of decoded parameters (B, T, P). kind: of LOSSES; parameters: only their distances count."""

    def __init__(
        self,
        points: MeshPoints,
        columns: FaceColumns,
        spread: torch.Tensor,
        weights: LossWeights,
        kind: str,
        random: np.random.Generator,
        device: str,
    ) -> None:
        self._columns, self._spread, self._weights, self._kind = columns, spread.to(device), weights, kind
        whole = {name: len(getattr(points, name)) for name in SAMPLED}
        self._samples = [_Sample(points.some(_sample(points, random)).to(device), whole) for _ in range(SAMPLES)]
        self._n_shape = min(points.model.n_shape, IDENTITY_COMPONENTS)

    def __call__(
        self, guess: torch.Tensor, truth: torch.Tensor, random: np.random.Generator
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The loss, and its parts unweighted."""
        parts = {"parameters": ((guess - truth).abs() / self._spread).mean()}
        moved = ((guess - truth).diff(dim=1).abs() / self._spread).mean()
        if self._kind == "parameters":
            return parts["parameters"] + self._weights.velocity * moved, parts
        parts["curves"] = lost_variance(guess, truth, self._spread)
        parts["worst"] = worst_curves(guess, truth)
        sample = self._samples[int(random.integers(SAMPLES))]
        shape = torch.from_numpy(IDENTITY_SPREAD * random.standard_normal(self._n_shape).astype(np.float32)).to(guess)
        places, true = (self._posed(sample.points, one.flatten(0, 1), shape) for one in (guess, truth))
        miss = 1000 * (places - true)
        errors = miss.abs().sum(1).mean(0) @ sample.regions
        parts |= dict(zip(sample.names, errors, strict=True))
        step = miss.view(*guess.shape[:2], 3, -1).diff(dim=1).abs().sum(2).mean((0, 1))
        parts["velocity"] = step @ sample.regions[:, 0]
        apart, true_apart = miss @ sample.gaps, true @ sample.gaps
        weight = 1 + CLOSE_WEIGHT * torch.exp(-true_apart.norm(dim=1) / CLOSE)
        parts["gaps"] = (apart.abs().sum(1) * weight).mean()
        total = torch.stack([getattr(self._weights, name) * value for name, value in parts.items()]).sum()
        return total + PARAMETERS_VELOCITY * self._weights.velocity * moved, parts

    def _posed(self, points: MeshPoints, values: torch.Tensor, shape: torch.Tensor) -> torch.Tensor:
        pose = split_columns(values, self._columns)
        return points.in_head_of(pose["expression"], pose.get("jaw_pose"), pose.get("eyes_pose"), shape)


def lost_variance(guess: torch.Tensor, truth: torch.Tensor, spread: torch.Tensor) -> torch.Tensor:
    """The part of the variance of curves (B, T, P) that a guess misses, mean over curves.

    Of their variance in the corpus and in the window together, so that a window full of movement does not outweigh the
    others.
    """
    variance = spread**2 + truth.var(dim=1, correction=0)
    return ((guess - truth).square().mean(1) / variance).mean()


def worst_curves(guess: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """The square error of the `WORST` curves of each frame that are missed most, of parameters (B, T, P); mean.

    What a person does for a moment with one part of the face, such as the tongue, is lost as a whole before anything
    else; in a mean over curves that is little.
    """
    square = (guess - truth).square()
    return square.topk(min(WORST, square.shape[2]), dim=2).values.mean()


def head_loss(
    guess: torch.Tensor, truth: torch.Tensor, weights: LossWeights
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The loss of relative poses (B, T, 6), radians and metres, and its parts in degrees and mm."""
    miss = guess - truth
    units = miss.new_tensor([180 / np.pi] * 3 + [1000.0] * 3)
    size = (miss * units).abs().mean((0, 1))
    step = (miss * units).diff(dim=1).abs().mean((0, 1))
    weight = miss.new_tensor([weights.rotation] * 3 + [weights.translation] * 3)
    total = (weight * (size + weights.velocity * step)).sum()
    return total, {"rotation": size[:3].sum(), "translation": size[3:].sum()}


class _Sample:
    """M vertices. names: of the regions that it has, the face first; regions: (M, R), whose columns take the means over
    regions; gaps: (M, G), whose columns take the way from one to the other of what meets. Products of matrices: the
    gradient of an index is slow."""

    def __init__(self, points: MeshPoints, whole: dict[str, int]) -> None:
        """whole: how many vertices each region has that was drawn from."""
        self.points = points
        count, device = len(points.vertices), points.corners.device
        self.names = tuple(name for name in SAMPLED if len(getattr(points, name)))
        # Lips and lids are drawn more often than the rest of the face, and count that much less in it.
        chance = torch.ones(count, device=device)
        for name, drawn in SAMPLED.items():
            places = getattr(points, name)
            chance[places] *= 1 - drawn / max(drawn, whole[name])
        self.regions = torch.zeros(count, len(self.names), device=device)
        for number, name in enumerate(self.names):
            places = getattr(points, name)
            rarely = 1 / (1 - chance[places]).clamp(min=1e-6)
            self.regions[places, number] = rarely / rarely.sum()
        corners = points.corners  # (G, 2, 3)
        self.gaps = torch.zeros(count, len(corners), device=device)
        gap = torch.arange(len(corners), device=device)[:, None].expand(-1, 3)
        for end, sign in ((0, 1.0), (1, -1.0)):
            self.gaps.index_put_((corners[:, end], gap), sign * points.weights[:, end], accumulate=True)


def _sample(points: MeshPoints, random: np.random.Generator) -> np.ndarray:
    chosen = []
    for region, count in SAMPLED.items():
        places = getattr(points, region).cpu().numpy()
        chosen.append(random.choice(places, min(count, len(places)), replace=False))
    return np.unique(np.concatenate(chosen))
