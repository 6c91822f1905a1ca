"""What the motion encoder sees: 52 curves and the head at 25 frames a second; and what the mirror does to it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tdmm.corpus.columns import COLUMNS
from tdmm.corpus.motions import to_motion
from tdmm.corpus.perform import EXPRESSION_NAMES, perform
from tdmm.corpus.person import draw_person
from tdmm.corpus.program import parse_program
from tdmm.errors import EvaluationError
from tdmm.evaluate.evaluator.features import (
    LONGEST,
    MIRROR_INDEX,
    MIRROR_SIGN,
    N_FEATURES,
    ROTATION_UNIT,
    TRANSLATION_UNIT,
    features_of,
    pack,
)
from tdmm.motion import DEFAULT_TRANSLATION, FaceMotion, make_motion


def motion_of(frames: int = 20, seed: int = 0, fps: float = 25.0, names=EXPRESSION_NAMES) -> FaceMotion:
    random = np.random.default_rng(seed)
    return make_motion(
        random.uniform(0, 1, (frames, len(names))).astype(np.float32),
        names,
        face_model="hand",
        face_model_sha256="0" * 64,
        rotation=random.uniform(-0.4, 0.4, (frames, 3)).astype(np.float32),
        translation=(np.asarray(DEFAULT_TRANSLATION) + random.uniform(-0.02, 0.02, (frames, 3))).astype(np.float32),
        fps=fps,
    )


def mirrored(features: np.ndarray) -> np.ndarray:
    return features[:, MIRROR_INDEX] * MIRROR_SIGN


def test_columns_are_the_curves_then_the_head_in_its_units():
    motion = motion_of()
    found = features_of(motion)
    assert found.shape == (20, N_FEATURES)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[:, :52], motion.expression)
    np.testing.assert_allclose(found[:, 52:55] * ROTATION_UNIT, motion.rotation, rtol=1e-6)
    moved = motion.translation - np.median(motion.translation, axis=0)
    np.testing.assert_allclose(found[:, 55:] * TRANSLATION_UNIT, moved, atol=1e-7)


def test_where_the_head_stands_is_not_seen():
    motion = motion_of()
    elsewhere = replace(motion, translation=motion.translation + np.float32([0.25, -0.5, 1.0]))
    np.testing.assert_allclose(features_of(elsewhere), features_of(motion), atol=1e-5)


def test_who_it_is_is_not_seen():
    motion = motion_of()
    other = replace(motion, shape=np.full(motion.shape.shape, 2, np.float32))
    np.testing.assert_array_equal(features_of(other), features_of(motion))


def test_the_order_of_the_curves_does_not_matter():
    motion = motion_of()
    order = np.random.default_rng(1).permutation(52)
    shuffled = replace(
        motion,
        expression=motion.expression[:, order],
        expression_names=tuple(EXPRESSION_NAMES[one] for one in order),
    )
    np.testing.assert_array_equal(features_of(shuffled), features_of(motion))


def test_further_curves_are_left_out():
    names = ("squint_of_the_nose", *EXPRESSION_NAMES)
    motion = motion_of(names=names)
    np.testing.assert_array_equal(features_of(motion)[:, :52], motion.expression[:, 1:])


def test_curves_of_another_kind_are_refused_by_name():
    with pytest.raises(EvaluationError, match=r"hand lacks the ARKit expression browDownLeft") as caught:
        features_of(motion_of(names=tuple(f"expr_{number:03d}" for number in range(100))))
    assert "\n" not in str(caught.value)


def test_other_rates_are_brought_to_25_frames_a_second():
    slow = motion_of(frames=5, fps=12.5)
    found = features_of(slow)
    assert len(found) == 9
    np.testing.assert_allclose(found[::2, :52], slow.expression, atol=1e-6)
    np.testing.assert_allclose(found[1::2, :52], (slow.expression[:-1] + slow.expression[1:]) / 2, atol=1e-6)


def test_uneven_times_are_made_even():
    motion = motion_of(frames=3)
    uneven = replace(motion, timestamps=np.array([0.0, 0.04, 0.12]))
    found = features_of(uneven)
    assert len(found) == 4
    np.testing.assert_allclose(found[[0, 1, 3], :52], motion.expression, atol=1e-6)


def test_no_more_than_the_longest_is_read():
    motion = motion_of(frames=LONGEST + 40)
    found = features_of(motion)
    assert len(found) == LONGEST
    np.testing.assert_array_equal(found[:, :52], motion.expression[:LONGEST])


def test_one_frame_is_a_motion():
    assert features_of(motion_of(frames=1)).shape == (1, N_FEATURES)


def test_mirroring_twice_changes_nothing():
    found = features_of(motion_of())
    np.testing.assert_array_equal(mirrored(mirrored(found)), found)
    assert not np.array_equal(mirrored(found), found)


def test_the_mirror_swaps_left_and_right():
    for mine, theirs in (
        ("mouthSmileLeft", "mouthSmileRight"),
        ("mouthLeft", "mouthRight"),
        ("jawRight", "jawLeft"),
        ("eyeLookInLeft", "eyeLookInRight"),
        ("jawOpen", "jawOpen"),
    ):
        assert MIRROR_INDEX[EXPRESSION_NAMES.index(mine)] == EXPRESSION_NAMES.index(theirs)
    assert sorted(MIRROR_INDEX) == list(range(N_FEATURES))


def test_the_mirror_is_that_of_space():
    """Reflection at x = 0: R becomes S R S with S = diag(-1, 1, 1)."""
    from scipy.spatial.transform import Rotation

    random = np.random.default_rng(3)
    rotation, translation = random.uniform(-0.5, 0.5, (7, 3)), random.uniform(-0.1, 0.1, (7, 3))
    flip = np.diag([-1.0, 1, 1])
    turned = Rotation.from_matrix(flip @ Rotation.from_rotvec(rotation).as_matrix() @ flip).as_rotvec()
    expression = random.uniform(0, 1, (7, 52))
    found = mirrored(pack(expression, rotation, translation))
    expected = pack(expression[:, MIRROR_INDEX[:52]], turned, translation @ flip)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("name", ["wink", "smirk", "turn", "tilt", "shift_jaw", "look_aside"])
def test_the_mirror_of_a_performance_is_that_of_the_mirrored_program(name):
    mine, theirs = (shown(f"{name}.{side}@strong") for side in ("left", "right"))
    assert mine.shape == theirs.shape
    # What was asked for is mirrored; what a person does by the way (sway, blinks) has no side.
    far = np.ptp(mine, axis=0) > 0.5 * np.ptp(mine, axis=0).max()
    apart = np.abs(mirrored(mine) - theirs)[:, far].mean()
    assert apart < 0.1 * np.abs(mine - theirs)[:, far].mean()


def shown(program: str) -> np.ndarray:
    """A performance by somebody whose halves are alike."""
    person = replace(
        draw_person(np.random.default_rng(0)),
        balance=np.ones(len(COLUMNS), np.float32),
        lag=0.0,
        rest=np.zeros(len(COLUMNS), np.float32),
        sway=0.0,
    )
    performance = perform(parse_program(program), np.random.default_rng(5), person=person)
    return features_of(to_motion(performance))
