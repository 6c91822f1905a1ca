"""Make a motion, project its landmarks, fit them, compare: the fitter finds what was put in."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from made_up_faces import GAZE, MadeUpFace, StaringFace, random_motion

from tdmm.errors import FaceModelError, NoFaceError
from tdmm.face import load_face_model
from tdmm.fit import FitOptions, fit_landmarks
from tdmm.fit.controls import controls_of
from tdmm.fit.landmark_model import landmark_model_of
from tdmm.fit.normal_equations import BasisProducts, normal_equations
from tdmm.fit.projection import POSE, Pose, linearise, project
from tdmm.fit.recovery import compare, exact_landmarks
from tdmm.fit.solve import Seen, Shared, Solver, SolverOptions

NAMES = ("jawOpen", "mouthClose", "browInnerUp", "mouthSmileLeft", "mouthSmileRight", *GAZE)


@pytest.fixture(scope="module")
def made_up():
    return MadeUpFace(NAMES)


def fit_exact(model, truth, noise=0.0, **options):
    options = FitOptions(focal=truth.camera[0, 0], **options)
    return fit_landmarks(exact_landmarks(truth, model, noise), model, options=options)


@pytest.mark.parametrize("seed", [1, 2])
def test_exact_landmarks_of_a_blendshape_face_are_recovered(made_up, seed):
    truth = random_motion(made_up, seed=seed)
    recovered = compare(truth, fit_exact(made_up, truth), made_up)
    assert recovered.vertex_mm < 0.4
    assert recovered.correlation > 0.97
    assert recovered.rotation_degrees < 0.3


def test_a_jaw_joint_and_statistical_expressions_are_recovered():
    model = MadeUpFace(("expr_000", "expr_001", "expr_002"), jaw=True)
    assert not landmark_model_of(model, 6).linear
    truth = random_motion(model)
    fitted = fit_exact(model, truth)
    assert np.corrcoef(truth.jaw_pose[:, 0], fitted.jaw_pose[:, 0])[0, 1] > 0.97
    assert compare(truth, fitted, model).vertex_mm < 0.6


def test_eye_joints_turn_where_the_expressions_move_only_the_lids():
    model = StaringFace(NAMES)
    controls = controls_of(model)
    look = dict(zip(controls.names, controls.to_eyes, strict=True))
    assert look["gazeLeft"][1] == look["gazeLeft"][4] > 0 > look["gazeRight"][1]  # +y is the subject's left
    assert look["gazeDown"][0] == look["gazeDown"][3] > 0 > look["gazeUp"][0]  # +x looks down
    truth = random_motion(model)
    fitted = fit_exact(model, truth)
    assert np.abs(truth.eyes_pose[:, 1]).max() > 0.05
    assert np.corrcoef(truth.eyes_pose[:, 1], fitted.eyes_pose[:, 1])[0, 1] > 0.97
    assert not controls_of(load_face_model()).to_eyes.any()  # the built-in head's expressions turn its eyes


def test_the_built_in_head_is_recovered_from_noisy_landmarks():
    head = load_face_model()
    truth = random_motion(head, n_frames=60, n_shape=50)
    recovered = compare(truth, fit_exact(head, truth, noise=0.005), head)
    assert recovered.vertex_mm < 0.8
    assert recovered.correlation > 0.93
    assert recovered.rotation_degrees < 0.6


def test_noise_that_is_known_is_used(made_up):
    truth = random_motion(made_up)
    told = exact_landmarks(truth, made_up, noise=0.003)
    options = FitOptions(focal=truth.camera[0, 0])
    error = [
        compare(truth, fit_landmarks(seen, made_up, options=options), made_up).vertex_mm
        for seen in (told, replace(told, spread=20 * told.spread))
    ]
    assert error[0] < 0.8 * error[1]  # told to trust them less, it leans on its priors


def test_the_focal_length_is_estimated_when_it_is_not_given(made_up):
    truth = random_motion(made_up)
    fitted = fit_landmarks(exact_landmarks(truth, made_up), made_up)
    assert 0.5 < fitted.camera[0, 0] / truth.camera[0, 0] < 1.5
    assert compare(truth, fitted, made_up).vertex_mm < 1.0


def test_bounds_and_closed_lips_hold(made_up):
    truth = random_motion(made_up)
    fitted = fit_exact(made_up, truth, noise=0.03)
    assert fitted.expression.min() >= 0
    assert fitted.expression.max() <= 1
    assert (fitted.expression_column("mouthClose") <= fitted.expression_column("jawOpen") + 1e-6).all()
    np.testing.assert_array_equal(fitted.expression_column("eyeLookUpLeft"), fitted.expression_column("eyeLookUpRight"))


def test_the_same_input_gives_the_same_bits(made_up):
    truth = random_motion(made_up, n_frames=12)
    first, second = (fit_exact(made_up, truth, noise=0.005) for _ in range(2))
    first.meta.clear(), second.meta.clear()
    assert first == second


def test_blocks_of_frames_give_what_all_at_once_give(made_up):
    truth = random_motion(made_up, n_frames=30)
    whole = fit_exact(made_up, truth, noise=0.005)
    blocks = fit_exact(made_up, truth, noise=0.005, solver=SolverOptions(block=7))
    np.testing.assert_allclose(whole.expression, blocks.expression, atol=2e-3)
    np.testing.assert_allclose(whole.rotation, blocks.rotation, atol=1e-3)


def test_hidden_landmarks_do_not_pull(made_up):
    truth = random_motion(made_up, n_frames=20)
    seen = exact_landmarks(truth, made_up)
    points = seen.points.copy()
    points[:, 100:140] += 80  # a hand in front of a part of the face
    options = FitOptions(focal=truth.camera[0, 0])
    fitted = fit_landmarks(replace(seen, points=points), made_up, options=options)
    assert compare(truth, fitted, made_up).vertex_mm < 0.6
    assert fitted.confidence.max() < 0.95


def test_a_blink_is_not_smoothed_away(made_up):
    truth = random_motion(made_up, n_frames=30)
    expression = truth.expression.copy()
    column = made_up.expression_names.index("browInnerUp")
    expression[:, column] = 0
    expression[14:16, column] = 1  # two frames, as short as a blink
    truth = replace(truth, expression=expression)
    curve = fit_exact(made_up, truth, noise=0.002).expression_column("browInnerUp")
    assert curve[14:16].min() > 0.75
    assert curve[[11, 12, 17, 18]].max() < 0.25


def test_frames_without_a_face_are_bridged_and_marked(made_up):
    truth = random_motion(made_up, n_frames=24)
    seen = exact_landmarks(truth, made_up)
    score, points = seen.score.copy(), seen.points.copy()
    score[8:14], points[8:14] = 0, 0
    fitted = fit_landmarks(replace(seen, score=score, points=points), made_up)
    assert not fitted.valid[8:14].any()
    assert fitted.valid.sum() == 18
    assert (fitted.confidence[8:14] == 0).all()
    between = (fitted.expression[7] + fitted.expression[14]) / 2
    np.testing.assert_allclose((fitted.expression[10] + fitted.expression[11]) / 2, between, atol=1e-5)
    assert fitted.meta["fit"]["valid"] == 18


def test_no_frame_with_a_face_is_an_error(made_up):
    seen = exact_landmarks(random_motion(made_up, n_frames=3), made_up)
    with pytest.raises(NoFaceError, match="landmarks"):
        fit_landmarks(replace(seen, score=np.zeros(3, np.float32)), made_up)


def test_a_model_without_embedding_is_refused(made_up):
    bare = MadeUpFace(NAMES)
    bare.landmark_embedding = None
    with pytest.raises(FaceModelError, match="made-up has no landmark embedding"):
        landmark_model_of(bare, 3)


def test_one_frame_is_enough(made_up):
    truth = random_motion(made_up, n_frames=1)
    fitted = fit_exact(made_up, truth)
    assert len(fitted) == 1
    assert fitted.meta["fit"]["reprojection_percent"] < 1


def test_the_gradient_of_the_loss_is_downhill(made_up):
    """A frame step's vector is the gradient of the loss that `weights` reports: finite differences agree."""
    truth = random_motion(made_up, n_frames=2)
    model = landmark_model_of(made_up, 6)
    solver = Solver(model, SolverOptions())
    observed = exact_landmarks(truth, made_up)
    xy = torch.as_tensor((observed.points - 256) / 512)
    pose, controls = solver.start(xy, torch.ones(xy.shape[:2]))
    controls = controls + 0.2
    shared = Shared(torch.zeros(6), torch.tensor(0.8), torch.zeros_like(model.base))
    seen = Seen(xy, torch.ones(xy.shape[:2]), pose.log_scale.exp())

    def loss(values, place):
        moved = Pose(pose.rotation, place, pose.log_scale)
        residual = seen.xy - project(solver.points(shared, values, moved), moved, shared.log_focal)
        return solver.weights(residual, seen)[1].sum()

    values, place = controls.clone().requires_grad_(), pose.place.clone().requires_grad_()
    loss(values, place).backward()
    assert torch.isfinite(values.grad).all()
    assert (place.grad != 0).all()
    with torch.no_grad():
        linear = linearise(solver.points(shared, controls, pose), pose, shared.log_focal)
        residual = xy - linear.xy
        weight = solver.weights(residual, seen)[0]
        _, vector = normal_equations(linear, residual, weight, BasisProducts(model.control_basis), with_focal=False)
    torch.testing.assert_close(vector[:, POSE:], -values.grad, rtol=1e-3, atol=1e-2)
    torch.testing.assert_close(vector[:, 3:5], -place.grad, rtol=1e-3, atol=1e-1)


def test_controls_tie_the_gaze_and_know_other_names():
    controls = controls_of(MadeUpFace(tuple(name.replace("Left", "_L").replace("Right", "_R") for name in NAMES)))
    assert "gazeUp" in controls.names
    assert "eyeLookUpLeft" not in controls.names
    both = controls.to_expression[controls.names.index("gazeLeft")]
    assert both.sum() == 2
