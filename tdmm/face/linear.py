"""Linear algebra that every face model shares: blendshapes, landmarks on triangles, skinning (torch).

Axes: T frames, V vertices, N components of a basis, L landmarks, J joints. All routines are batched over any
leading axes, differentiable, and stay on the device and in the float dtype of what they are given.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from tdmm.errors import FaceModelError


def blendshapes(template: torch.Tensor, basis: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Sum of a template and weighted displacements: template + sum_n weights[n] basis[n].

    template: (V, 3) or (..., V, 3), the batch axes of which broadcast with those of `weights`.
    basis: (N, V, 3). weights: (..., n) with n <= N, the missing ones count as zero.
    Returns (..., V, 3). Raises `FaceModelError` if there are more weights than components.
    """
    n_weights, n_components = weights.shape[-1], basis.shape[0]
    if n_weights > n_components:
        raise FaceModelError(f"expected at most {n_components} coefficients, found {n_weights}")
    if n_weights == 0:
        return template.expand(*torch.broadcast_shapes(weights.shape[:-1], template.shape[:-2]), *template.shape[-2:])
    # One matrix product over the flattened mesh: (..., n) x (n, 3 V).
    moved = weights @ basis[:n_weights].reshape(n_weights, -1)
    return template + moved.reshape(*weights.shape[:-1], *basis.shape[1:])


def points_on_triangles(
    vertices: torch.Tensor, faces: torch.Tensor, face: torch.Tensor, barycentric: torch.Tensor
) -> torch.Tensor:
    """Points at barycentric places of triangles, for example embedded landmarks.

    vertices: (..., V, 3). faces: (F, 3) integer. face: (L,) integer triangle of each point, -1 for none.
    barycentric: (L, 3) weights of the triangle's corners.
    Returns (..., L, 3), NaN where `face` is -1; no gradient flows from those.
    """
    missing = face < 0
    corners = faces[face.clamp(min=0).long()].long()  # (L, 3)
    gathered = vertices.index_select(-2, corners.reshape(-1)).reshape(*vertices.shape[:-2], *corners.shape, 3)
    points = (gathered * barycentric.to(vertices)[..., None]).sum(-2)
    return points.masked_fill(missing[:, None], torch.nan)


def forward_kinematics(
    rotations: torch.Tensor, joints: torch.Tensor, parents: Sequence[int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """World rotation and position of every joint of a tree.

    rotations: (..., J, 3, 3) relative to the parent. joints: (..., J, 3) rest positions.
    parents: J indices, each smaller than its own, -1 for a root; a root turns about its own rest position.
    Returns rotations (..., J, 3, 3) and positions (..., J, 3).
    """
    turned: list[torch.Tensor] = []
    placed: list[torch.Tensor] = []
    for joint, parent in enumerate(parents):
        if parent < 0:
            turned.append(rotations[..., joint, :, :])
            placed.append(joints[..., joint, :])
        else:
            bone = joints[..., joint, :] - joints[..., parent, :]
            turned.append(turned[parent] @ rotations[..., joint, :, :])
            placed.append(placed[parent] + (turned[parent] @ bone[..., None])[..., 0])
    positions = torch.stack(torch.broadcast_tensors(*placed), dim=-2)
    return torch.stack(turned, dim=-3), positions


def linear_blend_skinning(
    vertices: torch.Tensor,
    weights: torch.Tensor,
    rotations: torch.Tensor,
    joints: torch.Tensor,
    parents: Sequence[int],
) -> torch.Tensor:
    """Vertices moved by the joints of a small tree: sum_j w_j (R_j (v - rest_j) + position_j).

    vertices: (..., V, 3) at rest. weights: (V, J), rows sum to 1. rotations: (..., J, 3, 3) relative to the parent.
    joints: (..., J, 3) rest positions. parents: as for `forward_kinematics`. Returns (..., V, 3).
    """
    turned, positions = forward_kinematics(rotations, joints, parents)
    offsets = positions - (turned @ joints[..., None])[..., 0]
    # The rows of one affine map per vertex, as planes over the vertices (..., 3, 4, V): half the time of adding up the
    # joints one by one.
    maps = torch.cat([turned, offsets[..., None]], dim=-1).flatten(-2)
    planes = (maps.transpose(-1, -2) @ weights.T).unflatten(-2, (3, 4))
    place = vertices.transpose(-1, -2)[..., None, :, :]
    moved = planes[..., 3, :]
    for axis in range(3):
        moved = torch.addcmul(moved, planes[..., axis, :], place[..., axis, :])
    return moved.transpose(-1, -2).contiguous()


def rotvec_to_rotmat(rotvec: torch.Tensor) -> torch.Tensor:
    """Axis-angle (..., 3) radians to rotation matrices (..., 3, 3); Rodrigues' formula, differentiable at zero too.

    The same as `roma.rotvec_to_rotmat`, without importing roma, which loads torch's compiler: one second more
    before the first picture.
    """
    squared = (rotvec * rotvec).sum(-1)
    small = squared < 1e-8  # below, the series: the neglected terms are under the rounding of float32
    safe = torch.where(small, torch.ones_like(squared), squared)
    angle = safe.sqrt()
    sine = torch.where(small, 1 - squared / 6, angle.sin() / angle)
    versine = torch.where(small, 0.5 - squared / 24, (1 - angle.cos()) / safe)
    x, y, z = rotvec.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*rotvec.shape, 3)
    identity = torch.eye(3, dtype=rotvec.dtype, device=rotvec.device)
    # cross cross = r r' - |r|^2 I
    return identity + sine[..., None, None] * cross + versine[..., None, None] * (cross @ cross)
