"""Many frames that each pull on their neighbours, solved exactly: a block-tridiagonal system.

    | A_0  -K_0             | | x_0 |   | b_0 |
    | -K_0  A_1  -K_1       | | x_1 | = | b_1 |        K_t diagonal
    |       -K_1  A_2  ...  | | x_2 |   | b_2 |

Elimination from the first frame to the last and substitution back (a Kalman smoother in information form) costs
O(T N^3) and is symmetric in time: what comes out leads no more than it lags.
"""

from __future__ import annotations

import torch


def solve_chain(
    blocks: torch.Tensor, coupling: torch.Tensor, right: torch.Tensor, *, with_variance: bool = False
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """x (T, N) and, if asked for, the diagonal (T, N) of the inverse of the whole matrix: marginal variances.

    blocks: (T, N, N) symmetric, positive definite together with the coupling. coupling: (T - 1, N) >= 0, what stands,
    negated, on the diagonal of the blocks beside A. right: (T, N). A frame whose matrix turns out not to be positive
    definite answers zero, and variance infinity.
    """
    n_frames = len(right)
    # A unit diagonal, so that radians may stand beside blendshape weights.
    scale = blocks.diagonal(dim1=1, dim2=2).clamp(min=1e-12).rsqrt().double()
    blocks = blocks.double() * scale[:, :, None] * scale[:, None, :]
    coupling = coupling.double() * scale[:-1] * scale[1:]
    right = right.double() * scale
    inverses = torch.empty_like(blocks)  # of each block after elimination of the frames before
    carried = torch.empty_like(right)
    failed = torch.zeros(n_frames, dtype=torch.bool)
    block, vector = blocks[0], right[0]
    for t in range(n_frames):
        factor, info = torch.linalg.cholesky_ex(block)
        if int(info):
            failed[t] = True
            inverses[t].zero_()
        else:
            torch.cholesky_inverse(factor, out=inverses[t])
        torch.mv(inverses[t], vector, out=carried[t])
        if t + 1 < n_frames:
            link = coupling[t]
            block = blocks[t + 1] - link[:, None] * inverses[t] * link
            vector = right[t + 1] + link * carried[t]
    x = carried
    covariance = inverses[-1]
    variance = torch.empty_like(right) if with_variance else None
    if variance is not None:
        variance[-1] = covariance.diagonal()
    for t in range(n_frames - 2, -1, -1):
        x[t] += torch.mv(inverses[t], coupling[t] * x[t + 1])
        if variance is not None:
            gain = inverses[t] * coupling[t]
            covariance = inverses[t] + gain @ covariance @ gain.T
            variance[t] = covariance.diagonal()
    if variance is not None:
        variance = (variance * scale**2).masked_fill(failed[:, None], torch.inf).float()
    return (x * scale).float(), variance
