"""The shared linear algebra against slow loops."""

import numpy as np
import pytest
import torch
from roma import rotvec_to_rotmat

from tdmm.errors import FaceModelError
from tdmm.face import linear
from tdmm.face.linear import blendshapes, forward_kinematics, linear_blend_skinning, points_on_triangles

DOUBLE = torch.float64


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def test_blendshapes_are_a_weighted_sum(generator):
    template, basis = torch.rand(7, 3, generator=generator), torch.rand(5, 7, 3, generator=generator)
    weights = torch.rand(2, 4, 5, generator=generator)
    found = blendshapes(template, basis, weights)
    for index in np.ndindex(2, 4):
        expected = template + sum(weights[index][n] * basis[n] for n in range(5))
        torch.testing.assert_close(found[index], expected)
    # Missing coefficients count as zero, also all of them.
    torch.testing.assert_close(
        blendshapes(template, basis, weights[..., :3]),
        blendshapes(template, basis, torch.cat([weights[..., :3], torch.zeros(2, 4, 2)], -1)),
    )
    none = blendshapes(template, basis, weights[..., :0])
    assert none.shape == (2, 4, 7, 3)
    assert (none == template).all()
    with pytest.raises(FaceModelError, match="expected at most 5 coefficients, found 6"):
        blendshapes(template, basis, torch.zeros(6))


def test_blendshapes_on_a_template_for_each_frame(generator):
    templates, basis = torch.rand(6, 7, 3, generator=generator), torch.rand(5, 7, 3, generator=generator)
    weights = torch.rand(6, 5, generator=generator)
    found = blendshapes(templates, basis, weights)
    torch.testing.assert_close(found[4], blendshapes(templates[4], basis, weights[4]))


def test_points_on_triangles_and_the_missing_ones(generator):
    vertices = torch.rand(3, 9, 3, dtype=DOUBLE, generator=generator).requires_grad_()
    faces = torch.tensor([[0, 1, 2], [6, 7, 8]], dtype=torch.int32)
    face = torch.tensor([1, -1, 0])
    barycentric = torch.tensor([[0.2, 0.3, 0.5], [1.0, 0, 0], [0, 0, 1]])
    points = points_on_triangles(vertices, faces, face, barycentric)
    assert points.dtype == DOUBLE
    weights = barycentric.to(DOUBLE)
    expected = weights[0, 0] * vertices[:, 6] + weights[0, 1] * vertices[:, 7] + weights[0, 2] * vertices[:, 8]
    torch.testing.assert_close(points[:, 0], expected)
    torch.testing.assert_close(points[:, 2], vertices[:, 2])
    assert points[:, 1].isnan().all()
    # What is missing sends no NaN back.
    points.nan_to_num().sum().backward()
    assert vertices.grad.isfinite().all()
    assert vertices.grad.sum() == pytest.approx(3 * 2 * 3)


PARENTS = (-1, 0, 1, 1, 0)


def slow_skinning(vertices, weights, rotations, joints):
    """One frame, 4 x 4 matrices down the tree, one vertex after the other."""
    worlds = []
    for joint, parent in enumerate(PARENTS):
        local = np.eye(4)
        local[:3, :3] = rotations[joint]
        local[:3, 3] = joints[joint] - (joints[parent] if parent >= 0 else 0)
        worlds.append(local if parent < 0 else worlds[parent] @ local)
    moved = np.zeros_like(vertices)
    for v, vertex in enumerate(vertices):
        for joint, world in enumerate(worlds):
            moved[v] += weights[v, joint] * (world @ np.append(vertex - joints[joint], 1))[:3]
    return moved, worlds


def test_skinning_against_matrices_down_the_tree(generator):
    vertices = torch.rand(4, 11, 3, dtype=DOUBLE, generator=generator)
    weights = torch.rand(11, 5, dtype=DOUBLE, generator=generator)
    weights /= weights.sum(1, keepdim=True)
    joints = torch.rand(4, 5, 3, dtype=DOUBLE, generator=generator)
    rotations = rotvec_to_rotmat(torch.randn(4, 5, 3, dtype=DOUBLE, generator=generator))
    found = linear_blend_skinning(vertices, weights, rotations, joints, PARENTS)
    turned, positions = forward_kinematics(rotations, joints, PARENTS)
    for t in range(4):
        arrays = [x.numpy() for x in (vertices[t], weights, rotations[t], joints[t])]
        expected, worlds = slow_skinning(*arrays)
        np.testing.assert_allclose(found[t], expected, atol=1e-14)
        np.testing.assert_allclose(turned[t], [world[:3, :3] for world in worlds], atol=1e-14)
        np.testing.assert_allclose(positions[t], [world[:3, 3] for world in worlds], atol=1e-14)
    # Shared joints and vertices broadcast over the frames.
    shared = linear_blend_skinning(vertices[0], weights, rotations, joints[0], PARENTS)
    torch.testing.assert_close(shared[2], linear_blend_skinning(vertices[0], weights, rotations[2], joints[0], PARENTS))


def test_skinning_at_rest_is_the_identity(generator):
    vertices, joints = torch.rand(11, 3, generator=generator), torch.rand(5, 3, generator=generator)
    weights = torch.eye(5)[torch.arange(11) % 5]
    found = linear_blend_skinning(vertices, weights, torch.eye(3).expand(5, 3, 3), joints, PARENTS)
    torch.testing.assert_close(found, vertices, atol=1e-6, rtol=0)


def test_rotations_are_those_of_roma_and_smooth_at_zero() -> None:
    generator = torch.Generator().manual_seed(3)
    for size in (0.0, 1e-7, 1e-4, 1e-2, 1.0, 3.1, 6.0):
        rotvec = size * torch.randn(50, 2, 3, dtype=DOUBLE, generator=generator)
        torch.testing.assert_close(linear.rotvec_to_rotmat(rotvec), rotvec_to_rotmat(rotvec), rtol=0, atol=1e-12)
        turned = linear.rotvec_to_rotmat(rotvec.float())
        torch.testing.assert_close(turned.double(), rotvec_to_rotmat(rotvec), rtol=0, atol=3e-6)
    for size in (0.0, 1e-5, 1.0):
        rotvec = (size * torch.randn(3, 3, dtype=DOUBLE, generator=generator)).requires_grad_()
        assert torch.autograd.gradcheck(linear.rotvec_to_rotmat, (rotvec,))
