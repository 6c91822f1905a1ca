"""The chain of frames is solved exactly: against one dense matrix, and the same forwards and backwards in time."""

import pytest
import torch

from tdmm.fit.chain import solve_chain


def random_chain(n_frames=9, size=4, seed=0):
    random = torch.Generator().manual_seed(seed)
    factors = torch.randn(n_frames, size, size, generator=random)
    blocks = factors @ factors.mT + 0.1 * torch.eye(size)
    coupling = 3 * torch.rand(n_frames - 1, size, generator=random)
    blocks.diagonal(dim1=1, dim2=2)[:-1] += coupling
    blocks.diagonal(dim1=1, dim2=2)[1:] += coupling
    return blocks, coupling, torch.randn(n_frames, size, generator=random)


def dense(blocks, coupling):
    n_frames, size = len(blocks), blocks.shape[1]
    matrix = torch.block_diag(*blocks).double()
    for t in range(n_frames - 1):
        here, there = slice(t * size, (t + 1) * size), slice((t + 1) * size, (t + 2) * size)
        matrix[here, there] = matrix[there, here] = -torch.diag(coupling[t]).double()
    return matrix


@pytest.mark.parametrize("n_frames", [1, 2, 9])
def test_it_is_the_dense_solution_and_the_diagonal_of_the_inverse(n_frames):
    blocks, coupling, right = random_chain(n_frames)
    found, variance = solve_chain(blocks, coupling, right, with_variance=True)
    matrix = dense(blocks, coupling)
    torch.testing.assert_close(found.double().ravel(), torch.linalg.solve(matrix, right.double().ravel()))
    torch.testing.assert_close(variance.double().ravel(), torch.linalg.inv(matrix).diagonal())


def test_time_has_no_direction():
    blocks, coupling, right = random_chain()
    forwards, _ = solve_chain(blocks, coupling, right)
    backwards, _ = solve_chain(blocks.flip(0), coupling.flip(0), right.flip(0))
    torch.testing.assert_close(forwards, backwards.flip(0))


def test_a_smoothed_step_stays_where_it_is():
    """Observed values, one each frame, with a jump in the middle: no lag, and no overshoot."""
    observed = torch.cat([torch.zeros(20), torch.ones(20)])[:, None]
    stiffness = torch.full((39, 1), 4.0)
    blocks = torch.ones(40, 1, 1)
    blocks[:-1, :, 0] += stiffness
    blocks[1:, :, 0] += stiffness
    smooth = solve_chain(blocks, stiffness, observed)[0][:, 0]
    torch.testing.assert_close(smooth, 1 - smooth.flip(0))
    assert (smooth.diff() > 0).all()
    assert 0 < smooth[19] < 0.5 < smooth[20] < 1


def test_without_coupling_every_frame_is_its_own():
    blocks, coupling, right = random_chain()
    found, variance = solve_chain(blocks, torch.zeros_like(coupling), right, with_variance=True)
    torch.testing.assert_close(found, torch.linalg.solve(blocks, right))
    torch.testing.assert_close(variance, torch.linalg.inv(blocks).diagonal(dim1=1, dim2=2))


def test_a_frame_that_cannot_be_solved_answers_zero_and_knows_nothing():
    blocks, coupling, right = random_chain(3)
    blocks[1] = -torch.eye(4)
    found, variance = solve_chain(blocks, 0 * coupling, right, with_variance=True)
    assert (found[1] == 0).all()
    assert variance[1].isinf().all()
    torch.testing.assert_close(found[[0, 2]], torch.linalg.solve(blocks[[0, 2]], right[[0, 2]]))
