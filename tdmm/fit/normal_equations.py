"""The normal equations of landmark reprojection, for many frames at once.

A frame's Jacobian with respect to linear coefficients is (2 x 3 by_point) (3 x D basis) for each landmark, so that
J^T W J = sum over landmarks of basis^T (by_point^T W by_point) basis. The middle is a symmetric 3 x 3 matrix with six
numbers, and the products of the basis with itself never change: they are made once, and all frames' matrices are one
product (T, 6 L) x (6 L, D (D + 1) / 2), several times faster than forming J.
"""

from __future__ import annotations

import torch

from tdmm.fit.projection import Linearised

_PAIRS = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))


class BasisProducts:
    """A basis (D, L, 3) of landmark displacements and its products with itself."""

    def __init__(self, basis: torch.Tensor) -> None:
        size, n_points, _ = basis.shape
        self.size = size
        self.flat = basis.permute(1, 2, 0).reshape(3 * n_points, size)  # (3 L, D)
        self.upper = torch.triu_indices(size, size)
        by_axis = basis.permute(2, 1, 0)  # (3, L, D)
        first, second = by_axis[..., self.upper[0]], by_axis[..., self.upper[1]]  # (3, L, D (D + 1) / 2)
        products = [first[i] * second[j] if i == j else first[i] * second[j] + first[j] * second[i] for i, j in _PAIRS]
        self.products = torch.stack(products, dim=1).reshape(6 * n_points, -1)


def normal_equations(
    linear: Linearised, residual: torch.Tensor, weight: torch.Tensor, basis: BasisProducts, *, with_focal: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """J^T W J (T, N, N) and J^T W r (T, N); columns: pose (6), then the focal length if asked for, then the basis.

    residual: (T, L, 2) observed minus predicted. weight: (T, L).
    """
    n_frames, n_points = weight.shape
    dense = torch.cat([linear.pose, linear.focal[..., None]], dim=-1) if with_focal else linear.pose
    n_dense = dense.shape[-1]
    weighted = dense * weight[..., None, None]
    total = n_dense + basis.size
    matrix = residual.new_empty(n_frames, total, total)
    vector = residual.new_empty(n_frames, total)

    rows = weighted.reshape(n_frames, 2 * n_points, n_dense)
    matrix[:, :n_dense, :n_dense] = rows.mT @ dense.reshape(n_frames, 2 * n_points, n_dense)
    vector[:, :n_dense] = (rows.mT @ residual.reshape(n_frames, 2 * n_points, 1))[..., 0]

    by_point = linear.by_point
    weighted_by_point = by_point * weight[..., None, None]
    # Written out: a batch of T L tiny matrix products is slower. (T, L, n_dense, 3) -> (T n_dense, 3 L).
    mixed = dense[:, :, 0, :, None] * weighted_by_point[:, :, 0, None]
    mixed += dense[:, :, 1, :, None] * weighted_by_point[:, :, 1, None]
    mixed = mixed.transpose(1, 2).reshape(n_frames * n_dense, 3 * n_points)
    cross = (mixed @ basis.flat).reshape(n_frames, n_dense, basis.size)
    matrix[:, :n_dense, n_dense:] = cross
    matrix[:, n_dense:, :n_dense] = cross.mT
    pull = (weighted_by_point * residual[..., None]).sum(2).reshape(n_frames, 3 * n_points)
    vector[:, n_dense:] = pull @ basis.flat

    squares = torch.stack(
        [
            weighted_by_point[:, :, 0, i] * by_point[:, :, 0, j] + weighted_by_point[:, :, 1, i] * by_point[:, :, 1, j]
            for i, j in _PAIRS
        ],
        dim=-1,
    )
    packed = squares.reshape(n_frames, 6 * n_points) @ basis.products
    first, second = basis.upper + n_dense
    matrix[:, first, second] = packed
    matrix[:, second, first] = packed
    return matrix, vector


class Factor:
    """The damped matrices A + damping diag(A) of many frames, factorised with some unknowns held at zero.

    matrix: (T, N, N). frozen: (T, N) bool. damping: (T,). Unknowns are scaled to a unit diagonal first, so that float32
    is enough for radians beside blendshape weights. A frame whose matrix is not positive definite answers zero.
    """

    def __init__(self, matrix: torch.Tensor, frozen: torch.Tensor, damping: torch.Tensor) -> None:
        diagonal = matrix.diagonal(dim1=1, dim2=2)
        self.scale = diagonal.clamp(min=1e-12).rsqrt().masked_fill(frozen, 0.0)
        scaled = matrix * self.scale[:, :, None] * self.scale[:, None, :]
        scaled.diagonal(dim1=1, dim2=2).add_(damping[:, None] + frozen.to(matrix))
        self.factor, info = torch.linalg.cholesky_ex(scaled)
        failed = info != 0
        if failed.any():
            self.factor[failed] = torch.eye(matrix.shape[-1]).to(matrix)
            self.scale[failed] = 0.0

    def solve(self, right: torch.Tensor) -> torch.Tensor:
        """(T, N, K) to (T, N, K), zero where frozen."""
        return self.scale[..., None] * torch.cholesky_solve(self.scale[..., None] * right, self.factor)
