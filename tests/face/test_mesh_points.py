"""Some vertices of a face model, quickly: the same places as the model's own, with gradients; eyeballs turn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tdmm.errors import FaceModelError
from tdmm.face import load_face_model
from tdmm.face.linear import rotvec_to_rotmat
from tdmm.face.mesh_points import MeshPoints, mesh_points
from tdmm.face.model import Joints
from tdmm.face.topology import pieces
from tdmm.motion import make_motion

HEAD = load_face_model()
POINTS = mesh_points(HEAD)
N_EXPRESSIONS = len(HEAD.expression_names)


class Otherwise:
    """The built-in head with something else about it."""

    def __init__(self, **others: Any) -> None:
        self.__dict__.update(others)

    def __getattr__(self, name: str) -> Any:
        return getattr(HEAD, name)


# Taken to be linear, posed whole, and with eyes that only expressions turn.
JAWED = mesh_points(Otherwise(joints=Joints(jaw=True)))
EYELESS = mesh_points(Otherwise(joints=Joints(eyes=False)))


def drawn(seed: int, frames: int = 5, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, ...]:
    """Expression, gaze and identity, far from rest."""
    random = torch.Generator().manual_seed(seed)
    expression = torch.rand(frames, N_EXPRESSIONS, generator=random)
    gaze, shape = 0.3 * torch.randn(frames, 6, generator=random), torch.randn(30, generator=random)
    return expression.to(dtype), gaze.to(dtype), shape.to(dtype)


def of_model(points: MeshPoints, expression: torch.Tensor, gaze: torch.Tensor | None, shape: torch.Tensor):
    return HEAD.vertices(shape, expression, eyes_pose=gaze)[:, torch.from_numpy(points.vertices)].transpose(1, 2)


@pytest.mark.parametrize("points", [POINTS, JAWED], ids=["short cut", "whole mesh"])
def test_places_are_those_of_the_model(points):
    expression, gaze, shape = drawn(0)
    for pose in (gaze, torch.zeros_like(gaze), None):
        assert torch.allclose(
            points.in_head_of(expression, None, pose, shape), of_model(points, expression, pose, shape), atol=1e-6
        )


def test_the_mean_identity_and_frames_beyond_a_block():
    expression, gaze, _ = drawn(1, 300)
    for points in (POINTS, JAWED):
        found = points.in_head_of(expression, torch.zeros(300, 3), gaze, torch.zeros(0))
        assert torch.allclose(found, of_model(points, expression, gaze, torch.zeros(0)), atol=1e-6)


def test_a_motion_is_the_same_as_its_tensors():
    expression, gaze, shape = drawn(2)
    motion = make_motion(
        expression.numpy(),
        HEAD.expression_names,
        eyes_pose=gaze.numpy(),
        rotation=np.full((5, 3), 0.2),
        translation=np.full((5, 3), 0.1),
        face_model=HEAD.name,
        face_model_sha256=HEAD.sha256,
    )
    in_head = POINTS.in_head(motion, shape)
    assert torch.equal(in_head, POINTS.in_head_of(expression, None, gaze, shape))
    turn, shift = torch.from_numpy(motion.rotation), torch.from_numpy(motion.translation)
    whole = HEAD.vertices(shape, expression, eyes_pose=gaze, rotation=turn, translation=shift)
    true = whole[:, torch.from_numpy(POINTS.vertices)].transpose(1, 2)
    assert torch.allclose(POINTS.in_world(motion, shape, in_head), true, atol=2e-6)
    assert torch.allclose(JAWED.in_world(motion, shape, in_head), true, atol=2e-6)


@pytest.mark.parametrize("points", [POINTS, JAWED], ids=["short cut", "whole mesh"])
def test_gradients_are_those_of_the_model(points):
    expression, gaze, shape = (one.requires_grad_() for one in drawn(3, 3, torch.float64))
    gaze = torch.zeros_like(gaze).requires_grad_()  # a gaze at rest has a gradient too
    weights = torch.randn(3, len(points.vertices), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found, true = (
        torch.autograd.grad((one * weights).sum(), (expression, gaze, shape))
        for one in (points.in_head_of(expression, None, gaze, shape), of_model(points, expression, gaze, shape))
    )
    for one, other in zip(found, true, strict=True):
        assert one.dtype == torch.float64
        assert other.abs().max() > 1e-3
        assert torch.allclose(one, other, atol=1e-4 * float(other.abs().max()))


def test_gradients_flow_after_the_first_call_was_made_without():
    points = mesh_points(HEAD)
    expression, gaze, shape = drawn(4, 2, torch.float64)
    with torch.inference_mode():
        points.in_head_of(expression, None, gaze, shape)
    expression.requires_grad_()
    points.in_head_of(expression, None, gaze, shape).sum().backward()
    assert expression.grad is not None


def test_eyes_are_front_halves_of_balls_that_the_gaze_turns():
    expression, gaze = torch.zeros(1, N_EXPRESSIONS), torch.tensor([[0.0, 0.2, 0, 0, 0, 0]])
    rest = POINTS.in_head_of(expression, None, None, torch.zeros(0))[0]
    moved = (POINTS.in_head_of(expression, None, gaze, torch.zeros(0))[0] - rest).norm(dim=0) > 1e-4
    eyes = torch.zeros(len(POINTS.vertices), dtype=torch.bool)
    eyes[POINTS.eyes] = True
    left = eyes & (rest[0] > 0)
    assert left.sum() == eyes.sum() / 2 > 100
    assert not moved[~left].any()
    assert moved[left].float().mean() > 0.9  # but for those on the axis
    for side, centre in zip((left, eyes & ~left), HEAD.eye_centers(torch.zeros(0)), strict=True):
        around = rest[:, side] - centre[:, None]
        assert around[2].min() > -1e-3
        assert around.norm(dim=0).std() < 1e-3
    piece = pieces(HEAD.faces, HEAD.n_vertices)[POINTS.vertices]
    assert set(piece[eyes]).isdisjoint(piece[~eyes])
    for region in (POINTS.face, POINTS.lips, POINTS.eyelids):
        assert not eyes[region].any()


def test_eyes_that_only_expressions_turn_are_the_same():
    assert np.array_equal(EYELESS.vertices, POINTS.vertices)
    assert torch.equal(EYELESS.eyes, POINTS.eyes)
    expression, gaze, shape = drawn(5)
    assert torch.equal(
        EYELESS.in_head_of(expression, None, gaze, shape), POINTS.in_head_of(expression, None, None, shape)
    )


def test_eyes_can_be_left_out():
    without = mesh_points(HEAD, eyes=False)
    assert len(without.eyes) == 0
    assert len(without.vertices) == len(POINTS.vertices) - len(POINTS.eyes)
    for region in ("face", "lips", "eyelids", "corners"):
        assert np.array_equal(
            without.vertices[getattr(without, region).numpy()], POINTS.vertices[getattr(POINTS, region).numpy()]
        )


def test_the_centre_of_an_eye_follows_the_identity():
    """A vertex keeps its distance from a centre that it turns about."""
    expression, gaze, shape = torch.zeros(1, N_EXPRESSIONS), 0.4 * torch.ones(1, 6), 2 * torch.ones(30)
    before, after = (POINTS.in_head_of(expression, None, pose, shape)[0, :, POINTS.eyes] for pose in (None, gaze))
    centres = HEAD.eye_centers(shape)
    for side, mine in enumerate((before[0] > 0, before[0] < 0)):
        turn = rotvec_to_rotmat(gaze[0, 3 * side : 3 * side + 3])
        around = before[:, mine] - centres[side, :, None]
        assert torch.allclose(turn @ around + centres[side, :, None], after[:, mine], atol=1e-6)


def test_it_moves_to_another_device():
    moved = POINTS.to("meta")
    names = ("face", "lips", "eyelids", "eyes", "corners", "weights")
    assert {getattr(moved, name).device.type for name in names} == {"meta"}
    expression, jaw, gaze = (torch.zeros(2, width, device="meta") for width in (N_EXPRESSIONS, 3, 6))
    places = moved.in_head_of(expression, jaw, gaze, torch.zeros(0))
    assert (places.device.type, places.shape) == ("meta", (2, 3, len(POINTS.vertices)))
    assert moved.gaps(places).shape == (2, len(POINTS.corners))


def test_a_model_without_landmarks_is_refused():
    with pytest.raises(FaceModelError, match="has no landmark embedding"):
        mesh_points(Otherwise(landmark_embedding=None))
