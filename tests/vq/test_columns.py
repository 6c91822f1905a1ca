"""Which numbers of a motion are coded; poses relative to the first one and back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_codecs import COLUMNS, HEAD, Otherwise, made_motion

from tdmm.errors import MotionError, TokensError
from tdmm.face.linear import rotvec_to_rotmat
from tdmm.face.model import Joints
from tdmm.vq.columns import absolute_pose, columns_for, columns_of, first_pose, relative_pose

ICT_NAMES = ("browDown_L", "browDown_R", "eyeBlink_L", "eyeBlink_R", "eyeLookIn_L", "jawOpen")


def matrices(rotation: np.ndarray) -> np.ndarray:
    return rotvec_to_rotmat(torch.from_numpy(np.asarray(rotation, np.float64))).numpy()


vectors = st.lists(st.floats(-3, 3, width=32), min_size=3, max_size=3)
poses = st.lists(st.tuples(vectors, vectors), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(poses)
def test_relative_poses_come_back(drawn):
    rotation, translation = (np.array(one, np.float32) for one in zip(*drawn, strict=True))
    first = rotation[0], translation[0]
    relative = relative_pose(rotation, translation, first)
    assert relative.dtype == np.float32
    assert relative.shape == (len(drawn), 6)
    assert np.abs(relative[0]).max() < 1e-6
    assert np.linalg.norm(relative[:, :3], axis=1).max() <= np.pi + 1e-5  # the short way
    found = absolute_pose(relative, first)
    # Angles beyond pi come back as the same turn.
    assert np.abs(matrices(found["rotation"]) - matrices(rotation)).max() < 1e-5
    assert np.abs(found["translation"] - translation).max() < 1e-5


@settings(max_examples=60, deadline=None)
@given(poses, vectors)
def test_a_head_that_starts_elsewhere_moves_alike(drawn, start):
    """Turned as a whole about its own place, and put elsewhere, a motion has the same relative poses."""
    rotation, translation = (np.array(one, np.float64) for one in zip(*drawn, strict=True))
    relative = relative_pose(rotation, translation, (rotation[0], translation[0]))
    moved = absolute_pose(relative, (np.array(start), np.array(start)))
    turn = matrices(start) @ matrices(rotation[0]).T
    assert np.abs(matrices(moved["rotation"]) - turn @ matrices(rotation)).max() < 1e-5
    assert np.abs(moved["translation"] - (translation - translation[0] + start)).max() < 1e-5


def test_a_turn_about_the_heads_own_axis_by_hand():
    """A head that faces its left (90 degrees about +y), then nods by 90 degrees: about the x axis of the head, which
    is the -z axis of the camera then."""
    quarter = np.pi / 2
    first = np.array([0, quarter, 0]), np.array([0.1, 0.0, -0.7])
    nodded = matrices(first[0]) @ matrices([quarter, 0, 0])
    found = absolute_pose(np.array([[quarter, 0, 0, 0, 0, 0.2]]), first)
    assert np.abs(matrices(found["rotation"])[0] - nodded).max() < 1e-6
    assert np.allclose(nodded @ [0, 0, 1], [0, -1, 0], atol=1e-12)  # looks down
    assert np.allclose(found["translation"], [[0.1, 0, -0.5]])  # and came nearer: in the camera's axes
    back = relative_pose(found["rotation"], found["translation"], first)
    assert np.allclose(back, [[quarter, 0, 0, 0, 0, 0.2]], atol=1e-6)


def test_the_first_pose_is_of_the_first_frame():
    motion = made_motion(5, valid=np.array([False, True, True, True, True]))
    rotation, translation = first_pose(motion)
    assert np.array_equal(rotation, motion.rotation[0])
    assert np.array_equal(translation, motion.translation[0])


def test_the_built_in_heads_columns_are_its_expressions():
    assert COLUMNS.expression_names == HEAD.expression_names
    assert (COLUMNS.width, COLUMNS.jaw, COLUMNS.eyes, COLUMNS.bounded) == (52, False, False, True)
    motion = made_motion(7)
    assert np.array_equal(COLUMNS.of(motion), motion.expression)


def test_a_head_with_joints_has_them_too(flame_head):
    columns = columns_for(flame_head)
    count = len(flame_head.expression_names)
    assert (columns.width, columns.jaw, columns.eyes, columns.bounded) == (count + 9, True, True, False)
    eyes = np.random.default_rng(0).standard_normal((7, 6))
    motion = made_motion(7, model=flame_head, eyes_pose=eyes)
    values = columns.of(motion)
    fields = columns.fields(values)
    for name in ("expression", "jaw_pose", "eyes_pose"):
        assert np.array_equal(fields[name], getattr(motion, name)), name
    assert np.array_equal(columns.fields(values * 9 - 4)["expression"], values[:, :count] * 9 - 4)  # any size


def test_ict_facekit_is_known_by_its_names():
    columns = columns_for(Otherwise(expression_names=ICT_NAMES))
    assert (columns.width, columns.jaw, columns.eyes, columns.bounded) == (6, False, False, True)
    # Eyes that turn, and no expressions for it: their pose is coded.
    without = columns_for(Otherwise(expression_names=ICT_NAMES[:4]))
    assert (without.width, without.eyes, without.bounded) == (10, True, False)
    still = columns_for(Otherwise(expression_names=ICT_NAMES[:4], joints=Joints(eyes=False)))
    assert (still.width, still.eyes) == (4, False)


def test_what_is_bounded_is_clipped():
    values = np.tile(np.array([-0.5, 0, 0.25, 1, 1.5], np.float32)[:, None], 52)
    assert COLUMNS.fields(values)["expression"][:, 7].tolist() == [0, 0, 0.25, 1, 1]


def test_expressions_in_another_order_and_more_of_them():
    motion = made_motion(4)
    order = np.random.default_rng(0).permutation(52)
    names = tuple(motion.expression_names[place] for place in order)
    other = replace(motion, expression=motion.expression[:, order], expression_names=names)
    assert np.array_equal(COLUMNS.of(other), motion.expression)
    more = np.concatenate([np.ones((4, 1), np.float32), motion.expression], axis=1)
    assert np.array_equal(
        COLUMNS.of(replace(motion, expression=more, expression_names=("else", *motion.expression_names))),
        motion.expression,
    )


def test_motions_that_lack_something_are_refused():
    motion = made_motion(4)
    fewer = replace(motion, expression=motion.expression[:, 1:], expression_names=motion.expression_names[1:])
    with pytest.raises(
        MotionError, match=f"has 51 expressions and lacks {HEAD.expression_names[0]}; the codec codes 52"
    ):
        COLUMNS.of(fewer)
    with pytest.raises(MotionError, match=f"made with face model otherwise .* not with {HEAD.name}"):
        COLUMNS.of(made_motion(4, model=Otherwise()))


def test_columns_come_back_from_json():
    assert columns_of(COLUMNS.as_dict()) == COLUMNS
    assert columns_of({**COLUMNS.as_dict(), "expression_names": list(COLUMNS.expression_names)}) == COLUMNS
    for wrong in ({}, {**COLUMNS.as_dict(), "ears": True}, {**COLUMNS.as_dict(), "expression_names": None}):
        with pytest.raises(TokensError, match="codec: columns: "):
            columns_of(wrong)
