"""What the solver knows of each frame besides its landmarks: the network's prediction and how far the lids are open.

All terms are Gaussian, about values of controls, about the head's rotation, and about a weighted sum of controls (the
gap between the lids), so that they add to the normal equations of the landmarks and never replace them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from roma import rotmat_to_rotvec, rotvec_to_rotmat

from tdmm.fit.controls import Controls
from tdmm.fit.prior import Prediction, line_of_sight
from tdmm.fit.projection import POSE, Pose

# No prediction is believed more closely than this, controls and radians: a network is surest where it has never been.
LEAST_SIGMA, LEAST_TURN_SIGMA = 0.02, 0.005


@dataclass
class Guide:
    """Of N frames.

    mean, precision: (N, C) of each control. cost: (N, C) linear cost of a control, where nothing was predicted.
    turn: (N, 3, 3) the head's rotation relative to the line of sight, turn_precision (N, 3) about that line's axes.
    middle: (N, 2) picture units, the pixel that the line of sight goes through.
    gap: (N, G) measured gaps between lids, 1 open and 0 shut, gap_precision (N, G). gap_rows: (N, G, C) by how much
        each control changes them.
    """

    mean: torch.Tensor
    precision: torch.Tensor
    cost: torch.Tensor
    turn: torch.Tensor
    turn_precision: torch.Tensor
    middle: torch.Tensor
    gap: torch.Tensor
    gap_precision: torch.Tensor
    gap_rows: torch.Tensor

    def __getitem__(self, frames: slice | torch.Tensor) -> Guide:
        return Guide(**{item.name: getattr(self, item.name)[frames] for item in fields(self)})

    def __len__(self) -> int:
        return len(self.mean)

    def loss(self, controls: torch.Tensor, pose: Pose, log_focal: torch.Tensor) -> torch.Tensor:
        """(N,) half of the squares, plus the linear cost."""
        turned, _ = self._turned(pose, log_focal)
        return (
            0.5 * (self.precision * (controls - self.mean).square()).sum(1)
            + (self.cost * controls).sum(1)
            + 0.5 * (self.turn_precision * turned.square()).sum(1)
            + 0.5 * (self.gap_precision * self._gap_miss(controls).square()).sum(1)
        )

    def add_to(
        self,
        matrix: torch.Tensor,
        vector: torch.Tensor,
        controls: torch.Tensor,
        pose: Pose,
        log_focal: torch.Tensor,
    ) -> None:
        """Add second derivatives and descent of `loss` to matrix (N, M, M) and vector (N, M), M pose and controls."""
        matrix.diagonal(dim1=1, dim2=2)[:, POSE:] += self.precision
        vector[:, POSE:] -= self.precision * (controls - self.mean) + self.cost
        # A small turn of the head by d on the left turns the difference by about (line of sight)^T d.
        turned, sight = self._turned(pose, log_focal)
        matrix[:, :3, :3] += (sight * self.turn_precision[:, None, :]) @ sight.mT
        vector[:, :3] -= (sight @ (self.turn_precision * turned)[..., None])[..., 0]
        weighted = self.gap_rows * self.gap_precision[..., None]
        matrix[:, POSE:, POSE:] += weighted.mT @ self.gap_rows
        vector[:, POSE:] += (weighted * self._gap_miss(controls)[..., None]).sum(1)

    def rotation(self, log_focal: torch.Tensor) -> torch.Tensor:
        """(N, 3, 3) the predicted rotation of the head in the camera's frame."""
        return line_of_sight(self.middle, log_focal.exp()) @ self.turn

    def _gap_miss(self, controls: torch.Tensor) -> torch.Tensor:
        return self.gap - 1 - (self.gap_rows @ controls[..., None])[..., 0]

    def _turned(self, pose: Pose, log_focal: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(N, 3) radians from the predicted to the present rotation, about the axes of the line of sight; that line."""
        sight = line_of_sight(self.middle, log_focal.exp())
        return rotmat_to_rotvec(sight.mT @ pose.rotation @ self.turn.mT), sight


def guide_of(
    prediction: Prediction,
    xy: torch.Tensor,
    controls: Controls,
    *,
    widening: float,
    turn_widening: float,
    sparsity: float,
) -> Guide:
    """The guide that a prediction makes, without lids.

    xy: (N, L, 2) landmarks, picture units; their mean is the middle of the face. widening, turn_widening: by how much
    the network's sigmas are multiplied. Controls that it does not name keep the prior of `Controls`, and `sparsity`.
    """
    n_frames, n_controls = len(prediction), len(controls)
    mean, cost = torch.zeros(n_frames, n_controls), torch.zeros(n_frames, n_controls)
    precision = torch.as_tensor(controls.sigma).float().pow(-2).expand(n_frames, -1).clone()
    cost += sparsity * torch.as_tensor(controls.one_sided).float()
    pairs = [(controls.names.index(name), at) for at, name in enumerate(prediction.names) if name in controls.names]
    if pairs:
        here, there = np.array(pairs).T
        sigma = torch.as_tensor(np.maximum(prediction.sigma[:, there], LEAST_SIGMA), dtype=torch.float32)
        mean[:, here] = torch.as_tensor(prediction.mean[:, there], dtype=torch.float32)
        precision[:, here] = (widening * sigma).pow(-2)
        cost[:, here] = 0.0
    turn_sigma = torch.as_tensor(np.maximum(prediction.rotation_sigma, LEAST_TURN_SIGMA), dtype=torch.float32)
    return Guide(
        mean=mean,
        precision=precision,
        cost=cost,
        turn=rotvec_to_rotmat(torch.as_tensor(prediction.rotation, dtype=torch.float32)),
        turn_precision=(turn_widening * turn_sigma).pow(-2),
        middle=xy.mean(1),
        gap=torch.zeros(n_frames, 0),
        gap_precision=torch.zeros(n_frames, 0),
        gap_rows=torch.zeros(n_frames, 0, n_controls),
    )
