"""What the trained network says about a clip before the solver looks at it, and how its detector strays.

A network that has seen many rendered people through the very detector reads expressions, the head's rotation and what
is hidden from landmarks and small pictures of eyes, mouth and face. The solver takes this as a prior with its own
variance. Everything is in the built-in head's controls (`tdmm.fit.controls`), whatever model is fitted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

# What can be hidden by itself; the columns of `Prediction.visible`.
REGIONS = ("right eye", "left eye", "brows", "mouth")


@dataclass(frozen=True)
class Prediction:
    """What the network reads in N frames that show the face.

    names: the C controls of the built-in head, in the order of the columns.
    mean, sigma: (N, C) float32 value of each control within its range, and its standard deviation, > 0.
    rotation: (N, 3) float32 axis-angle radians, the head's rotation relative to the line of sight to the face's middle,
        R_head = `line_of_sight`(middle, focal) @ R(rotation).
    rotation_sigma: (N, 3) radians, about the axes x, y, z of that line of sight (a small turn to the left of
        R(rotation)).
    visible: (N, 4) in 0..1, the part of each of `REGIONS` that can be seen.
    """

    names: tuple[str, ...]
    mean: np.ndarray
    sigma: np.ndarray
    rotation: np.ndarray
    rotation_sigma: np.ndarray
    visible: np.ndarray

    def __len__(self) -> int:
        return len(self.mean)


@dataclass(frozen=True)
class LandmarkResponse:
    """How L detected landmarks stray from their places on the built-in head: metres in the head frame.

    offset: (L, 3) at rest. controls: (C, L, 3) per unit of each control, in the order of `Prediction.names`.
    sigma: (L,) what is left, about each axis of the picture; infinite for a landmark without a place on the mesh.
    """

    offset: np.ndarray
    controls: np.ndarray
    sigma: np.ndarray

    def at(self, controls: np.ndarray) -> np.ndarray:
        """(T, L, 3) metres by which the landmarks stray at controls (T, C)."""
        return self.offset + np.tensordot(controls, self.controls, axes=1)


def line_of_sight(middle: torch.Tensor, focal: torch.Tensor | float) -> torch.Tensor:
    """(..., 3, 3) the smallest rotation that takes the camera's forward axis (0, 0, -1) to the ray of a pixel.

    middle: (..., 2) the mean of the face's landmarks, from the principal point, y down, in the unit of `focal`.
    """
    ray = torch.stack([middle[..., 0], -middle[..., 1], -torch.ones_like(middle[..., 0]) * focal], dim=-1)
    ray = ray / ray.norm(dim=-1, keepdim=True)
    x, y, cosine = ray[..., 0], ray[..., 1], -ray[..., 2]
    # Rodrigues' formula for the turn from a to b, I + [v] + [v]^2 / (1 + a.b), v = a x b, with a = (0, 0, -1):
    # v = (y, -x, 0).
    inverse = 1 / (1 + cosine)
    rows = (1 - x * x * inverse, -x * y * inverse, -x, -x * y * inverse, 1 - y * y * inverse, -y, x, y, cosine)
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))
