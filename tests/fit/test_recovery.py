"""The measures of recovery: what they say of motions that differ from the truth in known ways."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from roma import rotmat_to_rotvec, rotvec_to_rotmat

from tdmm.errors import MotionError
from tdmm.face import load_face_model
from tdmm.fit.recovery import compare_expressions, rotation_after_offset
from tdmm.motion import FaceMotion, make_motion

HEAD = load_face_model()


def truth() -> FaceMotion:
    """Blinks, a jaw, a smile and a glance, each of its own."""
    times = np.arange(80) / 25
    expression = np.zeros((80, len(HEAD.expression_names)), np.float32)
    curves = {
        ("eyeBlinkLeft", "eyeBlinkRight"): np.clip(4 * np.sin(3 * times) - 2, 0, 1),
        ("jawOpen",): 0.4 + 0.4 * np.sin(5 * times),
        ("mouthSmileLeft", "mouthSmileRight"): 0.5 + 0.5 * np.sin(1.5 * times),
        ("eyeLookOutLeft", "eyeLookInRight"): np.clip(np.sin(2 * times), 0, 1),
        ("eyeLookInLeft", "eyeLookOutRight"): np.clip(-np.sin(2 * times), 0, 1),
    }
    for names, curve in curves.items():
        for name in names:
            expression[:, HEAD.expression_names.index(name)] = curve
    rotation = 0.2 * np.stack([np.sin(times), np.cos(1.3 * times), np.sin(0.7 * times)], axis=1)
    return make_motion(
        expression, HEAD.expression_names, face_model=HEAD.name, face_model_sha256=HEAD.sha256, rotation=rotation
    )


def test_the_truth_itself_has_no_error():
    answer = compare_expressions(truth(), truth(), HEAD)
    assert answer.vertex_mm == pytest.approx(0, abs=1e-6)
    assert len(answer.correlations) == 9
    assert answer.median == pytest.approx(1)
    assert answer.mean == pytest.approx(1)
    assert set(answer.curves) == {"blink", "jawOpen", "smile", "gaze aside"}
    assert answer.rotation_degrees == pytest.approx(0, abs=1e-3)


def test_a_neutral_face_scores_the_true_displacement_and_no_correlation():
    still = replace(truth(), expression=np.zeros_like(truth().expression))
    answer = compare_expressions(truth(), still, HEAD)
    assert answer.vertex_mm == pytest.approx(answer.neutral_mm)
    assert answer.neutral_mm > 2
    assert set(answer.correlations.values()) == {0.0}
    assert answer.curves["blink"] == 0


def test_half_of_the_expression_is_half_of_the_error_at_full_correlation():
    half = replace(truth(), expression=0.5 * truth().expression)
    answer = compare_expressions(truth(), half, HEAD)
    assert answer.vertex_mm == pytest.approx(answer.neutral_mm / 2, rel=1e-4)
    assert answer.median == pytest.approx(1)


def test_identity_and_place_have_no_part_in_it():
    other = replace(truth(), shape=np.full(20, 1.5, np.float32), translation=truth().translation + 0.1)
    assert compare_expressions(truth(), other, HEAD).vertex_mm == pytest.approx(0, abs=1e-6)


def test_a_glance_the_other_way_counts_against():
    names, swapped = list(HEAD.expression_names), truth().expression.copy()
    for one, other in (("eyeLookOutLeft", "eyeLookInLeft"), ("eyeLookInRight", "eyeLookOutRight")):
        swapped[:, [names.index(one), names.index(other)]] = swapped[:, [names.index(other), names.index(one)]]
    assert compare_expressions(truth(), replace(truth(), expression=swapped), HEAD).curves["gaze aside"] < -0.99


def test_frames_that_the_fit_did_not_see_do_not_count():
    spoiled, valid = truth().expression.copy(), np.ones(80, bool)
    spoiled[30:40], valid[30:40] = 1, False
    answer = compare_expressions(truth(), replace(truth(), expression=spoiled, valid=valid), HEAD)
    assert answer.frames == 70
    assert answer.vertex_mm == pytest.approx(0, abs=1e-6)
    assert answer.median == pytest.approx(1)


def test_a_constant_turn_of_the_head_frame_is_taken_off_and_nothing_else():
    true = torch.tensor(truth().rotation).double()
    offset = rotvec_to_rotmat(torch.tensor([0.1, -0.3, 0.05], dtype=torch.float64))
    shifted = rotmat_to_rotvec(rotvec_to_rotmat(true) @ offset).numpy()
    assert rotation_after_offset(true.numpy(), shifted) == pytest.approx(0, abs=1e-6)
    wobble = torch.zeros(80, 3, dtype=torch.float64)
    wobble[:, 1] = torch.deg2rad(torch.tensor(2.0)) * torch.tensor([1.0, -1.0]).repeat(40)
    wobbled = rotmat_to_rotvec(rotvec_to_rotmat(true) @ rotvec_to_rotmat(wobble) @ offset).numpy()
    assert rotation_after_offset(true.numpy(), wobbled) == pytest.approx(2, abs=1e-3)


def test_a_named_curve_counts_from_a_spread_that_is_noticed_any_expression_from_less():
    faint = truth().expression.copy()
    faint[:, HEAD.expression_names.index("jawOpen")] *= 0.04 / faint[:, HEAD.expression_names.index("jawOpen")].std()
    answer = compare_expressions(replace(truth(), expression=faint), truth(), HEAD)
    assert "jawOpen" in answer.correlations
    assert "jawOpen" not in answer.curves


def test_other_lengths_are_refused():
    with pytest.raises(MotionError, match="79 fitted"):
        compare_expressions(truth(), truth()[:79], HEAD)
