"""Pinhole projection of a posed head in the solver's unknowns, with its derivatives.

The unknowns of a frame are chosen so that each is well seen in a picture: `place`, where the head's origin lands;
`log_scale`, the logarithm of picture units per metre there; and the rotation. With the focal length f (all in picture
units: lengths of the longer side, from the principal point, y down) the origin lies at depth f / scale, and a point
P = R p beside it lands at

    x = (place_x + scale P_x) / d,   y = (place_y - scale P_y) / d,   d = 1 - (scale / f) P_z

which is the camera's K diag(1, -1, -1) (R p + t). As f grows this becomes weak perspective, smoothly, and a wrong f
hardly disturbs the other unknowns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from roma import rotvec_to_rotmat

POSE = 6  # columns of `Linearised.pose`: rotation (3), place (2), log_scale (1)
# No point comes nearer to the camera than this part of the head's distance.
NEAREST = 0.05


@dataclass
class Pose:
    """rotation: (T, 3, 3). place: (T, 2) picture units. log_scale: (T,)."""

    rotation: torch.Tensor
    place: torch.Tensor
    log_scale: torch.Tensor

    @staticmethod
    def joined(poses: Sequence[Pose]) -> Pose:
        """The frames of all, one after the other."""
        return Pose(
            torch.cat([pose.rotation for pose in poses]),
            torch.cat([pose.place for pose in poses]),
            torch.cat([pose.log_scale for pose in poses]),
        )

    def __getitem__(self, frames: slice | torch.Tensor) -> Pose:
        return Pose(self.rotation[frames], self.place[frames], self.log_scale[frames])

    def moved(self, step: torch.Tensor) -> Pose:
        """The pose after a step (T, 6): rotation vectors applied on the left, then place and log_scale."""
        return Pose(
            rotvec_to_rotmat(step[:, :3]) @ self.rotation, self.place + step[:, 3:5], self.log_scale + step[:, 5]
        )

    def translation(self, log_focal: torch.Tensor) -> torch.Tensor:
        """(T, 3) metres: the head's origin in the camera frame (x right, y up, looking along -z)."""
        scale = self.log_scale.exp()
        depth = log_focal.exp() / scale
        return torch.stack([self.place[:, 0] / scale, -self.place[:, 1] / scale, -depth], dim=1)


@dataclass
class Linearised:
    """xy: (T, L, 2). by_point: (T, L, 2, 3) d xy / d p in the head frame. pose: (T, L, 2, 6). focal: (T, L, 2)."""

    xy: torch.Tensor
    by_point: torch.Tensor
    pose: torch.Tensor
    focal: torch.Tensor


def project(points: torch.Tensor, pose: Pose, log_focal: torch.Tensor) -> torch.Tensor:
    """Head-frame points (T, L, 3) to picture units (T, L, 2)."""
    turned = points @ pose.rotation.mT
    scale = pose.log_scale.exp()[:, None]
    depth = (1 - scale * torch.exp(-log_focal) * turned[..., 2]).clamp(min=NEAREST)
    x = pose.place[:, None, 0] + scale * turned[..., 0]
    y = pose.place[:, None, 1] - scale * turned[..., 1]
    return torch.stack([x, y], dim=-1) / depth[..., None]


def linearise(points: torch.Tensor, pose: Pose, log_focal: torch.Tensor) -> Linearised:
    """`project` with its derivatives to the points, to `Pose.moved`'s step and to log_focal."""
    turned = points @ pose.rotation.mT
    px, py, pz = turned.unbind(-1)
    scale = pose.log_scale.exp()[:, None]
    inverse_focal = torch.exp(-log_focal)
    depth = (1 - scale * inverse_focal * pz).clamp(min=NEAREST)
    x = (pose.place[:, None, 0] + scale * px) / depth
    y = (pose.place[:, None, 1] - scale * py) / depth
    across = scale / depth  # d x / d P_x = -d y / d P_y
    along_x, along_y = x * across * inverse_focal, y * across * inverse_focal  # d x / d P_z, d y / d P_z
    zero = torch.zeros_like(x)
    by_turned = torch.stack([across, zero, along_x, zero, -across, along_y], dim=-1).unflatten(-1, (2, 3))
    pull_x, pull_y = along_x * pz, along_y * pz
    # A small rotation w on the left moves P by w x P.
    columns_x = (along_x * py, across * pz - along_x * px, -across * py, 1 / depth, zero, across * px + pull_x)
    columns_y = (across * pz + along_y * py, -along_y * px, -across * px, zero, 1 / depth, -across * py + pull_y)
    return Linearised(
        xy=torch.stack([x, y], dim=-1),
        by_point=by_turned @ pose.rotation[:, None],
        pose=torch.stack([*columns_x, *columns_y], dim=-1).unflatten(-1, (2, POSE)),
        focal=-torch.stack([pull_x, pull_y], dim=-1),
    )


def weak_perspective(points: torch.Tensor, xy: torch.Tensor, weight: torch.Tensor) -> Pose:
    """The pose that best explains picture points by one rigid face, in closed form.

    points: (L, 3) head frame. xy: (T, L, 2). weight: (L,) or (T, L). Weighted linear least squares for an
    affine camera, then the nearest scaled rotation of its two rows (polar decomposition).
    """
    homogeneous = torch.cat([points, torch.ones_like(points[:, :1])], dim=1).double()
    weighted = homogeneous * weight[..., None].double()
    solution = torch.linalg.solve(weighted.mT @ homogeneous, weighted.mT @ xy.double())
    rows = solution[:, :3].mT * torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
    left, stretch, right = torch.linalg.svd(rows, full_matrices=False)
    two = left @ right
    rotation = torch.cat([two, torch.linalg.cross(two[:, :1], two[:, 1:])], dim=1)
    scale = stretch.mean(1).clamp(min=1e-9)
    return Pose(rotation.to(xy), solution[:, 3].to(xy), scale.log().to(xy))
