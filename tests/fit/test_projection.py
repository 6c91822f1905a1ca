"""The solver's projection is that of docs/conventions.md, and its derivatives are those of the function itself."""

import torch
from roma import rotvec_to_rotmat

from tdmm.fit.normal_equations import BasisProducts, Factor, normal_equations
from tdmm.fit.projection import POSE, Pose, linearise, project, weak_perspective


def some_pose(n_frames: int, generator: torch.Generator) -> Pose:
    random = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    return Pose(rotvec_to_rotmat(0.5 * random(n_frames, 3)), 0.1 * random(n_frames, 2), 0.8 + 0.1 * random(n_frames))


def test_projection_is_the_pinhole_of_the_conventions():
    generator = torch.Generator().manual_seed(0)
    pose, log_focal = some_pose(4, generator), torch.tensor(0.4, dtype=torch.float64)
    points = 0.08 * torch.randn(4, 7, 3, generator=generator, dtype=torch.float64)
    world = points @ pose.rotation.mT + pose.translation(log_focal)[:, None]
    assert (world[..., 2] < 0).all()  # in front of the camera
    pinhole = log_focal.exp() * torch.stack([world[..., 0], -world[..., 1]], -1) / -world[..., 2:]
    torch.testing.assert_close(project(points, pose, log_focal), pinhole)


def test_derivatives_equal_those_by_automatic_differentiation():
    generator = torch.Generator().manual_seed(1)
    pose, log_focal = some_pose(2, generator), torch.tensor(0.2, dtype=torch.float64)
    points = 0.08 * torch.randn(2, 5, 3, generator=generator, dtype=torch.float64)
    linear = linearise(points, pose, log_focal)
    torch.testing.assert_close(linear.xy, project(points, pose, log_focal))
    # Not at exactly 0, where the norm inside a rotation vector has no derivative.
    at = (
        torch.full((2, POSE), 1e-12, dtype=torch.float64),
        torch.zeros_like(points),
        torch.zeros((), dtype=torch.float64),
    )
    by_step, by_point, by_focal = torch.autograd.functional.jacobian(
        lambda step, shift, focal: project(points + shift, pose.moved(step), log_focal + focal), at
    )
    for frame in range(2):
        torch.testing.assert_close(by_step[frame, :, :, frame], linear.pose[frame], atol=1e-8, rtol=1e-6)
        for point in range(5):
            torch.testing.assert_close(by_point[frame, point, :, frame, point], linear.by_point[frame, point])
    torch.testing.assert_close(by_focal, linear.focal)


def test_normal_equations_equal_the_plain_product_of_jacobians():
    generator = torch.Generator().manual_seed(2)
    pose, log_focal = some_pose(3, generator), torch.tensor(0.2, dtype=torch.float64)
    basis = torch.randn(4, 6, 3, generator=generator, dtype=torch.float64)
    linear = linearise(0.08 * torch.randn(3, 6, 3, generator=generator, dtype=torch.float64), pose, log_focal)
    residual = torch.randn(3, 6, 2, generator=generator, dtype=torch.float64)
    weight = torch.rand(3, 6, generator=generator, dtype=torch.float64)
    matrix, vector = normal_equations(linear, residual, weight, BasisProducts(basis), with_focal=True)
    slow = torch.cat(
        [linear.pose, linear.focal[..., None], torch.einsum("tlij,dlj->tlid", linear.by_point, basis)], dim=-1
    )
    torch.testing.assert_close(matrix, torch.einsum("tlin,tl,tlim->tnm", slow, weight, slow))
    torch.testing.assert_close(vector, torch.einsum("tlin,tl,tli->tn", slow, weight, residual))


def test_factor_solves_and_holds_what_is_frozen():
    generator = torch.Generator().manual_seed(3)
    root = torch.randn(2, 5, 5, generator=generator, dtype=torch.float64)
    matrix = root @ root.mT + 0.1 * torch.eye(5)
    right = torch.randn(2, 5, 1, generator=generator, dtype=torch.float64)
    frozen = torch.zeros(2, 5, dtype=torch.bool)
    frozen[:, 3] = True
    step = Factor(matrix, frozen, torch.zeros(2)).solve(right)
    free = [0, 1, 2, 4]
    torch.testing.assert_close(step[:, free], torch.linalg.solve(matrix[:, free][:, :, free], right[:, free]))
    assert (step[:, 3] == 0).all()


def test_weak_perspective_is_exact_without_perspective():
    generator = torch.Generator().manual_seed(4)
    pose, points = some_pose(3, generator), 0.08 * torch.randn(9, 3, generator=generator, dtype=torch.float64)
    xy = project(points.expand(3, -1, -1), pose, torch.tensor(30.0, dtype=torch.float64))
    found = weak_perspective(points, xy, torch.ones(9))
    torch.testing.assert_close(found.rotation, pose.rotation)
    torch.testing.assert_close(found.place, pose.place)
    torch.testing.assert_close(found.log_scale, pose.log_scale)
