"""The solver with a prediction: what is predicted surely wins, what is predicted vaguely yields to the landmarks."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from made_up_faces import random_motion
from PIL import Image
from roma import rotmat_to_rotvec, rotvec_to_rotmat

from tdmm.errors import MotionError, TdmmError
from tdmm.face import load_face_model
from tdmm.face.scheme import MEDIAPIPE478
from tdmm.fit import FitOptions, fit_landmarks
from tdmm.fit.as_seen import READ_WELL, as_seen, as_seen_options
from tdmm.fit.controls import controls_of
from tdmm.fit.detect import open_detector
from tdmm.fit.eyes import gap_rows, measure_lids, surely_blinking
from tdmm.fit.focal import FILM_DIAGONAL, told_focal
from tdmm.fit.frames import FrameSolver
from tdmm.fit.guide import guide_of
from tdmm.fit.landmark_model import landmark_model_of
from tdmm.fit.measure import jitter, reprojection
from tdmm.fit.prior import LandmarkResponse, Prediction, line_of_sight
from tdmm.fit.projection import POSE, Pose, project
from tdmm.fit.recovery import compare_expressions, exact_landmarks
from tdmm.fit.regions import BROWS, LEFT_EYE, MOUTH, RIGHT_EYE, control_regions
from tdmm.fit.solve import Seen, Shared, Solution, Solver, SolverOptions
from tdmm.render import render

# Little identity makes these quick.
QUICK = SolverOptions(n_shape=10, guided_iterations=5)
LOOKS = {"gazeLeft": "eyeLookOutLeft", "gazeRight": "eyeLookOutRight"}
LOOKS |= {"gazeUp": "eyeLookUpLeft", "gazeDown": "eyeLookDownLeft"}


@pytest.fixture(scope="module")
def head():
    return load_face_model()


@pytest.fixture(scope="module")
def truth(head):
    return random_motion(head, n_frames=30, n_shape=5)


def controls_in(motion, head):
    """The controls (T, C) that make a motion's expressions."""
    names = controls_of(head).names
    values = np.stack([motion.expression_column(LOOKS.get(name, name)) for name in names], axis=1)
    values[:, names.index("jawOpen")] -= values[:, names.index("mouthClose")]
    return values


def predict(motion, observations, head, sigma=0.1, turn_sigma=0.03, **others):
    """A prediction that is right."""
    seen = observations.seen
    mean = controls_in(motion, head)[seen]
    middle = observations.points[seen].mean(1) - np.array(motion.image_size[::-1]) / 2
    sight = line_of_sight(torch.as_tensor(middle), float(motion.camera[0, 0]))
    rotation = rotmat_to_rotvec(sight.float().mT @ rotvec_to_rotmat(torch.as_tensor(motion.rotation[seen]))).numpy()
    made = dict(
        names=controls_of(head).names,
        mean=mean.astype(np.float32),
        sigma=np.full(mean.shape, sigma, np.float32),
        rotation=rotation.astype(np.float32),
        rotation_sigma=np.full((len(mean), 3), turn_sigma, np.float32),
        visible=np.ones((len(mean), 4), np.float32),
    )
    return Prediction(**{**made, **others})


def fit(motion, head, observations, prediction, solver=QUICK, **options):
    options = FitOptions(focal=motion.camera[0, 0], solver=solver, **options)
    return fit_landmarks(replace(observations, prediction=prediction), head, options=options)


def test_what_is_predicted_surely_wins_over_landmarks(head, truth):
    observed = exact_landmarks(truth, head, noise=0.01)
    other = replace(truth, expression=truth.expression[::-1].copy())  # another motion than the landmarks show
    sure = predict(other, observed, head, sigma=1e-3)
    fitted = fit(truth, head, observed, sure, replace(QUICK, guided_smoothness=0.0, lid_sigma=1e3, widening=0.01))
    miss = np.abs(fitted.expression - sure.mean @ controls_of(head).to_expression)
    assert np.median(miss) < 0.01
    assert fitted.meta["fit"]["prior"]


def test_what_is_predicted_vaguely_yields_to_landmarks(head, truth):
    observed = exact_landmarks(truth, head)
    vague = predict(truth, observed, head, sigma=10.0, turn_sigma=10.0)
    wrong = replace(vague, mean=1 - vague.mean, rotation=vague.rotation + 0.2)
    fitted = fit(truth, head, observed, wrong)
    recovered = compare_expressions(truth, fitted, head)
    assert recovered.vertex_mm < 0.15 * recovered.neutral_mm
    assert recovered.median > 0.95
    assert np.abs(fitted.rotation - truth.rotation).max() < 0.02


def test_without_a_prediction_or_without_the_wish_for_one_it_is_the_plain_fit(head, truth):
    observed = exact_landmarks(truth, head)
    plain = fit(truth, head, observed, None)
    told = fit(truth, head, observed, predict(truth, observed, head), prior=False)
    np.testing.assert_array_equal(plain.expression, told.expression)
    assert plain.expression_confidence is None
    assert not told.meta["fit"]["prior"]


def test_more_evidence_is_more_confidence(head, truth):
    observed = exact_landmarks(truth, head, noise=0.005)
    less, more, vague = (
        fit(truth, head, replace(observed, spread=spread), predict(truth, observed, head, sigma=sigma))
        for spread, sigma in ((4 * observed.spread, 0.1), (observed.spread, 0.1), (observed.spread, 0.3))
    )
    assert (more.expression_confidence >= less.expression_confidence - 1e-4).all()
    assert more.expression_confidence.mean() > less.expression_confidence.mean() + 0.005
    assert vague.expression_confidence.mean() < more.expression_confidence.mean() - 0.005
    assert vague.expression_confidence.min() >= 0


def test_a_hidden_mouth_lowers_only_what_the_mouth_does(head, truth):
    observed = exact_landmarks(truth, head)
    points = observed.points.copy()
    prediction = predict(truth, observed, head, sigma=0.05)
    hidden = slice(10, 20)
    visible, sigma = prediction.visible.copy(), prediction.sigma.copy()
    visible[hidden, MOUTH] = 0.05
    whole = fit(truth, head, observed, prediction)
    covered = fit(truth, head, replace(observed, points=points), replace(prediction, visible=visible, sigma=sigma))
    names = whole.expression_names
    of_mouth = [at for at, name in enumerate(names) if name.startswith(("mouth", "jaw"))]
    of_eyes = [at for at, name in enumerate(names) if name.startswith(("eyeBlink", "eyeLook", "browInner"))]
    assert covered.expression_confidence[hidden][:, of_mouth].max() < 0.3
    assert whole.expression_confidence[hidden][:, of_mouth].mean() > 0.7
    np.testing.assert_allclose(
        covered.expression_confidence[hidden][:, of_eyes], whole.expression_confidence[hidden][:, of_eyes], atol=0.08
    )
    beyond = np.r_[0:8, 22:30]
    np.testing.assert_allclose(covered.expression_confidence[beyond], whole.expression_confidence[beyond], atol=0.02)


def test_frames_without_a_face_have_no_confidence_and_a_tongue_can_be_seen(head, truth):
    observed = exact_landmarks(truth, head)
    score, points = observed.score.copy(), observed.points.copy()
    score[8:14], points[8:14] = 0, 0
    observed = replace(observed, score=score, points=points, spread=None)
    prediction = predict(truth, observed, head, sigma=0.03)
    tongue = prediction.names.index("tongueOut")
    mean = prediction.mean.copy()
    mean[:, tongue] = 0.8
    fitted = fit(truth, head, observed, replace(prediction, mean=mean))
    assert (fitted.expression_confidence[8:14] == 0).all()
    assert (fitted.confidence[8:14] == 0).all()
    assert fitted.confidence[fitted.valid].min() > 0.5
    assert fitted.expression_column("tongueOut")[fitted.valid].min() > 0.6
    assert fitted.expression_confidence[~fitted.valid].max() == 0
    assert np.abs(np.diff(fitted.expression[6:16], axis=0)).max() < 0.5


def blink_of(head, n_frames=40, fps=30.0, start=15, length=9):
    """A face at rest that shuts its eyes for `length` frames, as fast as people do."""
    still = random_motion(head, n_frames=n_frames, n_shape=5, seed=3)
    curve = np.zeros(n_frames, np.float32)
    curve[start : start + length] = np.hanning(length + 2)[1:-1]
    expression = np.zeros_like(still.expression)
    for name in ("eyeBlinkLeft", "eyeBlinkRight"):
        expression[:, still.expression_names.index(name)] = curve
    return replace(still, expression=expression, fps=fps, timestamps=np.arange(n_frames) / fps), curve


@pytest.fixture(scope="module")
def detector():
    opened = open_detector()
    yield opened
    opened.close()


def as_detected(motion, head, detector):
    """What the detector sees of a motion that is drawn."""
    detector.reset()
    points = []
    for time, picture in zip(motion.timestamps, render(motion, face_model=head), strict=True):
        (face,) = detector.detect(np.asarray(picture), float(time))
        points.append(face.points[:, :2])
    return replace(exact_landmarks(motion, head), points=np.array(points, np.float32), spread=None)


def at_rest_but(prediction, value, names):
    """The same prediction with one value for some controls: nobody looked at these."""
    mean = prediction.mean.copy()
    mean[:, [prediction.names.index(name) for name in names]] = value
    return replace(prediction, mean=mean)


def test_a_blink_of_a_third_of_a_second_keeps_its_peak_and_its_time(head, detector):
    truth, curve = blink_of(head)
    observed = as_detected(truth, head, detector)
    blinks = ("eyeBlinkLeft", "eyeBlinkRight")
    blind = at_rest_but(predict(truth, observed, head, sigma=0.25), 0.1, blinks)
    fitted = fit(truth, head, observed, blind)
    for name in blinks:
        blink = fitted.expression_column(name)
        assert blink[curve > 0.9].min() > 0.8
        assert np.corrcoef(blink, curve)[0, 1] > 0.95
        assert blink[:12].max() < 0.2
        middle = np.flatnonzero(blink > 0.5).mean()
        assert abs(middle - curve.argmax()) < 1
    assert fitted.expression_column("eyeSquintLeft").max() < 0.4
    assert fitted.expression_column("eyeLookDownLeft").max() < 0.4


def test_a_squint_is_no_blink(head, detector):
    truth, curve = blink_of(head)
    squints = ("eyeSquintLeft", "eyeSquintRight")
    expression = np.zeros_like(truth.expression)
    for name in squints:
        expression[:, truth.expression_names.index(name)] = curve
    truth = replace(truth, expression=expression)
    observed = as_detected(truth, head, detector)
    fitted = fit(truth, head, observed, predict(truth, observed, head, sigma=0.15))
    assert fitted.expression_column("eyeBlinkLeft").max() < 0.3
    assert fitted.expression_column("eyeSquintLeft").max() > 0.6


def test_a_still_face_does_not_tremble(head):
    truth, _ = blink_of(head)
    still = replace(truth, expression=np.zeros_like(truth.expression), rotation=0 * truth.rotation + truth.rotation[0])
    observed = replace(exact_landmarks(still, head, noise=0.005), spread=None)
    prediction = predict(still, observed, head, sigma=0.1)
    random = np.random.default_rng(0)
    shaken = replace(
        prediction, mean=(prediction.mean + 0.03 * random.standard_normal(prediction.mean.shape)).astype(np.float32)
    )
    rough, smooth = (
        fit(still, head, observed, shaken, replace(QUICK, guided_smoothness=strength)) for strength in (0.0, 3.0)
    )
    seen = np.ones(len(still), bool)
    assert smooth.meta["fit"]["jitter_mm_s2"] == round(jitter(smooth, head, seen), 1)
    assert jitter(smooth, head, seen) < 0.7 * jitter(rough, head, seen)
    assert jitter(still, head, seen) < 1e-2


def test_windows_of_frames_give_what_all_at_once_give(head):
    truth = random_motion(head, n_frames=70, n_shape=5)
    observed = exact_landmarks(truth, head, noise=0.005)
    prediction = predict(truth, observed, head)
    whole, windows = (fit(truth, head, observed, prediction, replace(QUICK, block=block)) for block in (256, 30))
    np.testing.assert_allclose(whole.expression, windows.expression, atol=2e-3)
    np.testing.assert_allclose(whole.rotation, windows.rotation, atol=1e-3)


def test_one_frame_is_enough_with_a_prediction(head, truth):
    one = truth[:1]
    observed = exact_landmarks(one, head)
    fitted = fit(one, head, observed, predict(one, observed, head))
    assert fitted.meta["fit"]["reprojection_percent"] < 2
    assert fitted.meta["fit"]["jitter_mm_s2"] == 0


@pytest.mark.parametrize("predicted", [True, False])
def test_a_known_identity_is_not_estimated_again(head, truth, predicted):
    observed = exact_landmarks(truth, head)
    prediction = predict(truth, observed, head) if predicted else None
    fitted = fit(truth, head, observed, prediction, identity=truth)
    np.testing.assert_array_equal(fitted.shape, truth.shape)
    assert fitted.meta["fit"]["identity"] == "given"
    assert fitted.meta["fit"]["reprojection_percent"] < 0.8
    again = fit(truth, head, observed, prediction, identity=truth.shape)
    np.testing.assert_array_equal(fitted.expression, again.expression)


def test_an_identity_of_another_model_is_refused(head, truth):
    observed = exact_landmarks(truth, head)
    other = replace(truth, face_model="other-head", face_model_sha256="1" * 64)
    with pytest.raises(MotionError, match=f"other-head .* not with {head.name}"):
        fit(truth, head, observed, None, identity=other)
    with pytest.raises(TdmmError, match="identity: expected up to"):
        fit(truth, head, observed, None, identity=np.zeros(1000))


def test_a_smile_does_not_leak_into_the_identity(head):
    """A person who smiles in most frames: with the smile predicted, the resting face is told by the rest."""
    truth = random_motion(head, n_frames=40, n_shape=5, seed=5)
    expression = np.zeros_like(truth.expression)
    names = truth.expression_names
    expression[8:, [names.index("mouthSmileLeft"), names.index("mouthSmileRight")]] = 0.9
    truth = replace(truth, expression=expression)
    observed = replace(exact_landmarks(truth, head, noise=0.002), spread=None)
    told = fit(truth, head, observed, predict(truth, observed, head, sigma=0.1), replace(QUICK, key_frames=16))
    smile = told.expression_column("mouthSmileLeft")
    assert smile[:8].max() < 0.2
    assert smile[8:].min() > 0.7


def test_regions_of_controls(head):
    parts = control_regions(MEDIAPIPE478, landmark_model_of(head, 0))
    names = controls_of(head).names
    for name, region in {
        "eyeBlinkRight": RIGHT_EYE,
        "eyeSquintLeft": LEFT_EYE,
        "browInnerUp": BROWS,
        "browOuterUpLeft": BROWS,
        "mouthSmileLeft": MOUTH,
        "jawOpen": MOUTH,
        "tongueOut": MOUTH,
    }.items():
        assert parts[names.index(name)].argmax() == region, name
        assert parts[names.index(name), region] > 0.5, name
    gaze = parts[names.index("gazeLeft")]
    np.testing.assert_allclose(gaze[[RIGHT_EYE, LEFT_EYE]], 0.5, atol=0.1)
    np.testing.assert_allclose(parts.sum(1), 1, rtol=1e-5)


def test_a_gap_is_told_between_open_and_shut_eyes_of_the_clip(head, detector):
    truth, curve = blink_of(head)
    model = landmark_model_of(head, 5)
    observed = as_detected(truth, head, detector)
    xy = torch.as_tensor((observed.points[:, model.index] - 256) / 512)
    focal = torch.tensor(truth.camera[0, 0] / 512).float().log()
    scale = focal - torch.as_tensor(-truth.translation[:, 2]).log()
    place = torch.as_tensor(truth.translation[:, :2] * np.float32([1, -1])) * scale.exp()[:, None]
    pose = Pose(rotvec_to_rotmat(torch.as_tensor(truth.rotation)), place, scale)
    seen = (model, torch.as_tensor(truth.shape), MEDIAPIPE478)
    lids = measure_lids(xy, pose, focal, *seen)
    for side in range(2):
        assert np.corrcoef(lids.gap[:, side], curve)[0, 1] < -0.93
        assert lids.gap[curve > 0.9, side].max() < 0.2
        assert lids.gap[curve == 0, side].min() > 0.7  # whichever way the head turns
    assert (lids.open_level > 2 * lids.shut_level).all()
    # The same without the blink: nobody shuts an eye, and none is said to be shut.
    awake = measure_lids(xy[:14], pose[:14], focal, *seen)
    assert awake.gap.min() > 0.7


def test_lids_that_meet_for_one_frame_are_noise():
    gap = np.ones(12)
    gap[3] = 0.0
    gap[7:9] = 0.0
    assert np.flatnonzero(surely_blinking(gap)).tolist() == [7, 8]
    assert surely_blinking(np.array([0.0])) == 1  # a photograph


def test_what_controls_do_to_the_lids(head):
    model = landmark_model_of(head, 5)
    rows = gap_rows(model, model.base.numpy(), MEDIAPIPE478)
    named = dict(zip(model.controls.names, rows.T, strict=True))
    np.testing.assert_allclose(named["eyeBlinkRight"][0], -1, rtol=1e-5)
    assert abs(named["eyeBlinkRight"][1]) < 0.05
    assert -0.8 < named["eyeSquintRight"][0] < -0.02
    assert named["eyeWideLeft"][1] > 0.05
    assert named["gazeDown"][0] < -0.05  # the lids follow the eyes


def test_the_guide_goes_downhill(head, truth):
    """What `add_to` adds is minus the gradient of `loss`."""
    observed = exact_landmarks(truth[:3], head)
    controls = controls_of(head)
    xy = torch.as_tensor((observed.points - 256) / 512)
    prediction = predict(truth[:3], observed, head)
    guide = guide_of(prediction, xy, controls, widening=1.0, turn_widening=1.0, sparsity=0.2)
    random = torch.Generator().manual_seed(1)
    guide = replace(
        guide,
        gap=torch.rand(3, 2, generator=random),
        gap_precision=torch.full((3, 2), 40.0),
        gap_rows=torch.randn(3, 2, len(controls), generator=random),
    )
    values = torch.rand(3, len(controls), generator=random, requires_grad=True)
    step = torch.zeros(3, POSE, requires_grad=True)
    log_focal = torch.tensor(0.8)
    rotation = guide.rotation(log_focal)
    pose = Pose(rotation, torch.zeros(3, 2), torch.zeros(3))
    guide.loss(values, pose.moved(step + 1e-3), log_focal).sum().backward()
    matrix, vector = torch.zeros(3, POSE + len(controls), POSE + len(controls)), torch.zeros(3, POSE + len(controls))
    with torch.no_grad():
        guide.add_to(matrix, vector, values, pose.moved(torch.full((3, POSE), 1e-3)), log_focal)
    torch.testing.assert_close(vector[:, POSE:], -values.grad, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(vector[:, :3], -step.grad[:, :3], rtol=2e-2, atol=1e-3)
    assert (torch.linalg.eigvalsh(matrix) > -1e-3).all()


def test_a_detector_that_strays_is_taken_into_account(head):
    model = landmark_model_of(head, 5)
    names = model.controls.names
    random = np.random.default_rng(0)
    sigma = np.full(478, 1e-3)
    sigma[7] = np.inf
    response = LandmarkResponse(
        1e-3 * random.standard_normal((478, 3)), 1e-3 * random.standard_normal((len(names), 478, 3)), sigma
    )
    straying = model.straying(response, names)
    values = torch.rand(4, len(names))
    expected = torch.as_tensor(response.at(values.numpy())[:, model.index])
    shape = torch.ones(5)
    torch.testing.assert_close(
        straying.points(shape, values) - model.points(shape, values), expected.float(), rtol=1e-4, atol=1e-6
    )
    torch.testing.assert_close(
        straying.of_identity(shape).points(torch.zeros(0), values), straying.points(shape, values)
    )
    at = int(np.flatnonzero(model.index == 7)[0])
    assert straying.sigma[at] == model.sigma[at]


def test_the_mesh_is_laid_where_a_straying_detector_sees_the_face(head, truth, monkeypatch):
    """The detector sees every head bowed by two degrees, and its response says so: the mesh lies on its points all the
    same, and the expressions are those that were predicted."""
    bow = rotvec_to_rotmat(torch.tensor([float(np.radians(2.0)), 0.0, 0.0]))
    rest = head.landmarks(head.vertices(torch.zeros(0), torch.zeros(1, len(head.expression_names))))[0]
    offset = torch.nan_to_num(rest @ bow.mT - rest).numpy()
    names = controls_of(head).names
    response = LandmarkResponse(offset, np.zeros((len(names), *offset.shape), np.float32), np.full(len(offset), 1e-3))
    monkeypatch.setattr("tdmm.fit.video._straying", lambda reduced, options: reduced.straying(response, names))
    bowed = rotmat_to_rotvec(rotvec_to_rotmat(torch.as_tensor(truth.rotation).float()) @ bow).numpy()
    observations = replace(exact_landmarks(replace(truth, rotation=bowed), head), spread=None)
    fitted = fit(truth, head, observations, predict(truth, exact_landmarks(truth, head), head, sigma=0.05))
    assert reprojection(fitted, head, observations.points, observations.seen).mean() < 0.5
    assert np.abs(fitted.expression - truth.expression).mean() < 0.03
    turned = rotvec_to_rotmat(torch.as_tensor(truth.rotation)).mT @ rotvec_to_rotmat(torch.as_tensor(fitted.rotation))
    assert np.degrees(rotmat_to_rotvec(turned)[:, 0].mean()) == pytest.approx(2.0, abs=0.5)


def test_unsteadiness_is_what_landmarks_do_besides_a_constant(head, truth):
    """A shift of each landmark that stays is none; noise of a known spread is told in metres at the head."""
    reduced = landmark_model_of(head, 10)
    solver = FrameSolver(reduced, MEDIAPIPE478, QUICK)
    controls = torch.as_tensor(controls_in(truth, head))
    shared = Shared(torch.zeros(10), torch.tensor(1.6).log(), torch.zeros_like(reduced.base))
    n_frames = len(truth)
    pose = Pose(
        rotvec_to_rotmat(torch.as_tensor(truth.rotation)), torch.zeros(n_frames, 2), torch.full((n_frames,), 0.7)
    )
    found = Solution(pose, controls, shared, torch.ones(n_frames, len(reduced.base)))
    exact = project(solver.points(shared, controls, pose), pose, shared.log_focal)
    random = torch.Generator().manual_seed(0)
    scale = pose.log_scale.exp()
    shift = 3e-3 * scale[0] * torch.randn(exact.shape[1:], generator=random)
    seen = lambda xy: Seen(xy, torch.ones(xy.shape[:2]), scale)  # noqa: E731
    assert solver.unsteadiness(seen(exact + shift), found) < 1e-6
    noise = 1e-3 * scale[0] * torch.randn(exact.shape, generator=random)
    # The mean length of a two-dimensional normal distribution is sqrt(pi / 2) of its spread.
    expected = 1e-3 * (torch.pi / 2) ** 0.5 * (1 - 1 / n_frames) ** 0.5
    assert solver.unsteadiness(seen(exact + shift + noise), found) == pytest.approx(expected, rel=0.02)


def test_an_unsteady_detector_draws_expressions_less(head, truth):
    """In the last stage, which is where the mesh is laid onto landmarks that say other things than the prediction."""
    reduced = landmark_model_of(head, 10)
    observed = exact_landmarks(truth, head)
    other = 0.5 * controls_in(truth, head)
    n_frames = len(truth)
    xy = torch.as_tensor((observed.points - np.array(truth.image_size[::-1]) / 2) / max(truth.image_size)).float()
    started = Solver(reduced, QUICK).start(xy, torch.ones(xy.shape[:2]))[0]
    seen = Seen(xy, torch.ones(xy.shape[:2]), started.log_scale.exp())
    shared = Shared(
        torch.zeros(10), torch.tensor(truth.camera[0, 0] / max(truth.image_size)).log().float(), 0 * reduced.base
    )
    variance = torch.full((n_frames, len(reduced.controls)), 0.01)
    found = Solution(started, torch.as_tensor(other), shared, torch.ones(xy.shape[:2]), variance)
    seconds = torch.as_tensor(observed.timestamps)
    names = reduced.controls.names
    went = []
    for unsteadiness in (0.0, 5e-3):
        frames = FrameSolver(reduced, MEDIAPIPE478, as_seen_options(QUICK))
        moved = (as_seen(seen, seconds, found, frames, unsteadiness).controls - found.controls).abs().mean(0)
        read_well = torch.tensor([name in READ_WELL for name in names])
        lips = torch.tensor([name.startswith("mouth") for name in names]) & ~read_well
        assert moved[read_well].mean() < moved[lips].mean()
        went.append(float(moved.mean()))
    assert went[1] < 0.5 * went[0]


def test_the_focal_length_of_a_photograph(tmp_path):
    picture, plain = Image.new("RGB", (60, 40)), tmp_path / "plain.jpg"
    picture.save(plain)
    assert told_focal(plain, (40, 60)) is None
    settings = picture.getexif()
    settings.get_ifd(0x8769)[0xA405] = 50
    told = tmp_path / "told.jpg"
    picture.save(told, exif=settings)
    assert told_focal(str(told), (40, 60)) == pytest.approx(50 * np.hypot(40, 60) / FILM_DIAGONAL)
    (tmp_path / "clip.mp4").write_bytes(b"no picture")
    assert told_focal(tmp_path / "clip.mp4", (40, 60)) is None
    assert told_focal(tmp_path / "nowhere.jpg", (40, 60)) is None
