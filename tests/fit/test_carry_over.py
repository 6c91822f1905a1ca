"""Predictions for another face model: the identity for the same one, the same motion for another."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from flame_like_head import TURN, flame_like
from made_up_faces import MadeUpFace, random_motion
from roma import rotmat_to_rotvec, rotvec_to_rotmat

from tdmm.errors import FaceModelError
from tdmm.face import load_face_model
from tdmm.fit import carry_over as module
from tdmm.fit.carry_over import carry_over, carry_over_to, expected_map, find_map, similarity
from tdmm.fit.controls import controls_of
from tdmm.fit.correspondence import with_scheme
from tdmm.fit.landmark_model import landmark_model_of
from tdmm.fit.prior import Prediction, line_of_sight
from tdmm.fit.recovery import exact_landmarks
from tdmm.fit.video import FitOptions, fit_landmarks

ICT_SAMPLE = Path(__file__).parents[2].parent / "shared" / "ict-facekit-sample"


@pytest.fixture(scope="module")
def head():
    return load_face_model()


@pytest.fixture(scope="module")
def flame(head):
    return flame_like(head)


@pytest.fixture(scope="module")
def found(flame):
    return carry_over_to(flame)


def prediction_of(head, sigma=0.1, **values) -> Prediction:
    """Of one frame: some controls by name, everything else at rest."""
    names = controls_of(head).names
    mean = np.zeros((1, len(names)), np.float32)
    for name, value in values.items():
        mean[0, names.index(name)] = value
    turn = np.array([[0.1, -0.2, 0.05]], np.float32)
    even = np.full_like(mean, sigma)
    return Prediction(names, mean, even, turn, np.full((1, 3), 0.02, np.float32), np.ones((1, 4), np.float32))


def shown(model, prediction: Prediction) -> np.ndarray:
    """(478, 3) landmarks of a predicted frame in the model's head frame."""
    controls = controls_of(model)
    assert prediction.names == controls.names
    values = torch.as_tensor(prediction.mean)
    with torch.inference_mode():
        vertices = model.vertices(
            torch.zeros(0),
            values @ torch.as_tensor(controls.to_expression),
            jaw_pose=values @ torch.as_tensor(controls.to_jaw) if model.joints.jaw else None,
            eyes_pose=values @ torch.as_tensor(controls.to_eyes) if model.joints.eyes else None,
        )
        return model.landmarks(vertices)[0].double().numpy()


def gap(points: np.ndarray, upper: int, lower: int) -> float:
    return float(np.linalg.norm(points[upper] - points[lower]))


def test_to_the_built_in_head_it_is_the_identity(head):
    reduced = landmark_model_of(head, 0)
    same = find_map(reduced, reduced)
    np.testing.assert_allclose(same.matrix, np.eye(len(same.names)), atol=1e-9)
    np.testing.assert_allclose(same.turn, np.eye(3), atol=1e-9)
    assert np.nanmin(same.agreement) > 1 - 1e-9
    prediction = prediction_of(head, jawOpen=0.7, gazeLeft=0.5)
    carried = same(prediction)
    np.testing.assert_allclose(carried.mean, prediction.mean, atol=1e-6)
    np.testing.assert_allclose(carried.rotation, prediction.rotation, atol=1e-6)
    assert carry_over(prediction, head) is prediction


def test_every_control_moves_the_landmarks_of_the_other_model_alike(found):
    agreement = dict(zip(found.source, found.agreement, strict=True))
    assert np.nanmedian(found.agreement) > 0.998
    # Measured: jawForward .94 (the joint does not slide), jawLeft .98, gaze .975 (an arc for a straight line).
    assert np.nanmin(found.agreement) > 0.9
    for name in ("eyeBlinkLeft", "eyeBlinkRight", "mouthSmileLeft", "mouthPucker", "browInnerUp", "mouthClose"):
        assert agreement[name] > 0.998
    assert agreement["jawOpen"] > 0.99


def test_the_jaw_opens_by_the_joint(found):
    jaw = list(found.names).index("jawPitch")
    column = dict(zip(found.source, found.matrix[jaw], strict=True))
    assert 0.2 < column["jawOpen"] < 0.4
    assert max(abs(value) for name, value in column.items() if name not in ("jawOpen", "tongueOut")) < 0.05


def test_gaze_turns_the_eye_joints_as_far(found):
    pitch, yaw = (found.matrix[list(found.names).index(name)] for name in ("gazePitch", "gazeYaw"))
    at = list(found.source).index
    for name, row, degrees in (("gazeLeft", yaw, 25), ("gazeRight", yaw, -25), ("gazeUp", pitch, -17)):
        assert np.degrees(row[at(name)]) == pytest.approx(degrees, abs=3)
    assert abs(yaw[at("gazeUp")]) < 0.02
    assert abs(yaw[at("jawOpen")]) < 0.01


def test_an_open_jaw_closed_lids_and_a_smile_look_the_same(head, flame):
    rest = prediction_of(head)
    for values, measure in (
        ({"jawOpen": 0.8}, lambda points: gap(points, 13, 14)),
        ({"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0}, lambda points: gap(points, 386, 374)),
        ({"mouthSmileLeft": 0.9, "mouthSmileRight": 0.9}, lambda points: gap(points, 61, 291)),
        ({"gazeLeft": 0.8}, lambda points: gap(points, 473, 263)),
    ):
        prediction = prediction_of(head, **values)
        mine, at_rest = measure(shown(head, prediction)), measure(shown(head, rest))
        theirs = measure(shown(flame, carry_over(prediction, flame)))
        theirs_at_rest = measure(shown(flame, carry_over(rest, flame)))
        # In parts of the same distance at rest, which makes the models' sizes no matter.
        assert theirs / theirs_at_rest == pytest.approx(mine / at_rest, rel=0.12), values
        assert abs(mine / at_rest - 1) > 0.15, values


def test_heads_look_the_same_way(head, flame):
    """Turned by its own rotation, each head's landmarks lie in the same directions from the middle."""
    prediction = prediction_of(head)
    carried = carry_over(prediction, flame)
    directions = []
    for model, each in ((head, prediction), (flame, carried)):
        points = shown(model, each)
        points = (points - points.mean(0)) @ rotvec_to_rotmat(torch.as_tensor(each.rotation[0]).double()).numpy().T
        directions.append(points / np.linalg.norm(points))
    np.testing.assert_allclose(directions[0], directions[1], atol=1e-4)


def test_the_similarity_is_found_exactly():
    random = np.random.default_rng(0)
    points = random.standard_normal((40, 3))
    turn = rotvec_to_rotmat(torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64)).numpy()
    scale, found = similarity(points, 1.7 * points @ turn.T + (1, 2, 3), random.uniform(1, 5, 40))
    assert scale == pytest.approx(1.7)
    np.testing.assert_allclose(found, turn, atol=1e-12)


def test_the_frame_of_the_other_model_is_found(found):
    turn = torch.as_tensor(found.turn) @ rotvec_to_rotmat(torch.tensor(TURN, dtype=torch.float64)).mT
    assert float(rotmat_to_rotvec(turn).norm()) < 1e-4


def test_uncertainty_grows_with_the_prediction_s_own_and_is_never_zero(head, flame):
    sure = carry_over(prediction_of(head, sigma=1e-6), flame)
    unsure = carry_over(prediction_of(head, sigma=0.3), flame)
    moving = carry_over(prediction_of(head, sigma=1e-6, jawOpen=1.0, mouthSmileLeft=1.0), flame)
    assert (sure.sigma > 0).all()
    assert (unsure.sigma > sure.sigma).mean() > 0.99
    assert (moving.sigma >= sure.sigma).all()
    assert moving.sigma.sum() > 1.02 * sure.sigma.sum()
    # Independent errors add as squares: checked against draws.
    random = np.random.default_rng(0)
    prediction = prediction_of(head, sigma=0.3)
    draws = replace(
        prediction,
        mean=(prediction.mean + 0.3 * random.standard_normal((4000, prediction.mean.shape[1]))).astype(np.float32),
        sigma=np.tile(prediction.sigma, (4000, 1)),
        rotation=np.tile(prediction.rotation, (4000, 1)),
    )
    free = replace(carry_over_to(flame), lower=-np.inf, upper=np.inf)(draws).mean
    expected = np.sqrt(np.square(unsure.sigma[0]) - np.square(sure.sigma[0]))
    np.testing.assert_allclose(free.std(0), expected, rtol=0.08, atol=1e-3)


def test_values_stay_within_the_controls_bounds(head, flame):
    prediction = prediction_of(head, **{name: 1.0 for name in controls_of(head).names})
    carried, controls = carry_over(prediction, flame), controls_of(flame)
    assert (carried.mean >= controls.lower).all()
    assert (carried.mean <= controls.upper).all()
    assert carried.visible is prediction.visible


def test_names_say_what_belongs_together(head):
    """ICT-FaceKit's names: sides spelled out, two units in halves, no tongue, eyes that turn."""
    names = tuple(name for name in head.expression_names if name not in ("browInnerUp", "cheekPuff", "tongueOut"))
    other = MadeUpFace((*names, "browInnerUp_L", "browInnerUp_R", "cheekPuff_L", "cheekPuff_R"))
    source, target = controls_of(head), controls_of(other)
    expected, spread = expected_map(source, target)
    column = lambda name: dict(zip(target.names, expected[:, source.names.index(name)], strict=True))  # noqa: E731
    assert {name for name, value in column("browInnerUp").items() if value} == {"browInnerUpLeft", "browInnerUpRight"}
    assert {name for name, value in column("mouthSmileLeft").items() if value} == {"mouthSmileLeft"}
    assert not any(column("tongueOut").values())
    tongue = spread[:, source.names.index("tongueOut")]
    np.testing.assert_allclose(tongue, target.sigma)
    np.testing.assert_allclose(expected.sum(0)[[name != "tongueOut" for name in source.names]].min(), 1)


def test_the_excerpt_of_ict_facekit_opens_its_jaw_blinks_and_smiles(tmp_path):
    if not ICT_SAMPLE.is_dir():
        pytest.skip(f"needs an excerpt of ICT-FaceKit at {ICT_SAMPLE.name} beside the repository, which is not there")
    from tdmm.fit.embedding import EmbeddingOptions, derive_embedding

    model = load_face_model(ICT_SAMPLE)
    model.landmark_embedding = derive_embedding(model, options=EmbeddingOptions(pictures=60))
    found = carry_over_to(model)
    entry = lambda name: found.matrix[list(found.names).index(name), list(found.source).index(name)]  # noqa: E731
    agreement = dict(zip(found.source, found.agreement, strict=True))
    for name in ("eyeBlinkLeft", "jawOpen", "mouthSmileLeft", "mouthSmileRight"):
        assert 0.75 < entry(name) < 1.15, name
        assert agreement[name] > 0.8, name


# -- in a fit --------------------------------------------------------------------------------------------


def read_as(truth, seen, head, sigma: float, turn: float) -> Prediction:
    """What a network would say of a true motion of the built-in head, with so much noise."""
    random = np.random.default_rng(0)
    controls = controls_of(head)
    values = np.linalg.lstsq(controls.to_expression.T.astype(float), truth.expression.T.astype(float), rcond=None)[0].T
    side = max(truth.image_size)
    middle = torch.as_tensor((seen.points.mean(1) - side / 2) / side)
    sight = line_of_sight(middle, float(truth.camera[0, 0]) / side)
    rotation = rotmat_to_rotvec(sight.mT @ rotvec_to_rotmat(torch.as_tensor(truth.rotation))).numpy()
    return Prediction(
        controls.names,
        (values + sigma * random.standard_normal(values.shape)).astype(np.float32),
        np.full(values.shape, sigma, np.float32),
        (rotation + turn * random.standard_normal(rotation.shape)).astype(np.float32),
        np.full(rotation.shape, turn, np.float32),
        np.ones((len(truth), 4), np.float32),
    )


def test_a_fit_of_another_model_uses_the_prediction(head):
    """From few and noisy landmarks of the lower face, the lips' gap and the head's rotation are as predicted."""
    model = flame_like(head)
    whole = model.landmark_embedding
    with torch.inference_mode():
        rest = head.landmarks(head.vertices(torch.zeros(0), torch.zeros(1, 52)))[0].numpy()
    known = (rest[:, 1] < rest[1, 1] + 0.02) & (np.arange(478) < 468)
    known[[33, 263, 133, 362]] = True
    model.landmark_embedding = replace(whole, face=np.where(known, whole.face, -1))
    truth = random_motion(head, n_frames=30, seed=9, n_shape=20)
    seen = replace(exact_landmarks(truth, head, noise=0.04), spread=None)
    told = replace(seen, prediction=read_as(truth, seen, head, sigma=0.05, turn=0.005))

    def lips(motion) -> np.ndarray:
        """(T,) gap between the lips over the width of the mouth."""
        of = model if motion.face_model == model.name else head
        tensor = lambda name: torch.from_numpy(getattr(motion, name))  # noqa: E731
        with torch.inference_mode():
            vertices = of.vertices(
                tensor("shape"), tensor("expression"), jaw_pose=tensor("jaw_pose"), eyes_pose=tensor("eyes_pose")
            )
            points = of.landmarks(vertices).numpy()
        return np.linalg.norm(points[:, 13] - points[:, 14], axis=1) / np.linalg.norm(points[:, 61] - points[:, 291])

    options = FitOptions(focal=truth.camera[0, 0])
    blind, guided = (fit_landmarks(each, model, options=options) for each in (seen, told))
    assert guided.meta["fit"]["prior"] is True
    told_by, unaided = (np.corrcoef(lips(truth), lips(each))[0, 1] for each in (guided, blind))
    assert told_by > 0.9
    assert told_by > unaided + 0.05
    assert guided.jaw_pose[:, 0].std() > 0.01
    turn = torch.as_tensor(carry_over_to(model).turn)
    turned = rotvec_to_rotmat(torch.as_tensor(guided.rotation).double()) @ turn
    miss = rotmat_to_rotvec(rotvec_to_rotmat(torch.as_tensor(truth.rotation).double()).mT @ turned).rad2deg()
    assert miss.mean(0).norm() < 0.5
    assert miss.norm(dim=1).mean() < 1.0


# -- kept, and refused -----------------------------------------------------------------------------------


def test_a_map_is_found_once_and_kept(flame, found, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(module, "find_map", lambda *models: asked.append(1) or found)
    monkeypatch.setattr(module, "_found", {})
    carry_over_to(flame, tmp_path)
    (kept,) = tmp_path.iterdir()
    carry_over_to(flame, tmp_path)
    module._found.clear()  # another process
    again = carry_over_to(flame, tmp_path)
    assert asked == [1]
    np.testing.assert_array_equal(again.matrix, found.matrix)
    assert tuple(again.names) == controls_of(flame).names
    kept.write_bytes(kept.read_bytes()[:100])
    module._found.clear()
    carry_over_to(flame, tmp_path)
    assert asked == [1, 1]
    other = flame_like_copy(flame)
    carry_over_to(other, tmp_path)  # other landmarks, another map
    assert asked == [1, 1, 1]
    assert len(list(tmp_path.iterdir())) == 2


def flame_like_copy(flame):
    import copy

    other = copy.copy(flame)
    other.landmark_embedding = replace(flame.landmark_embedding, sigma=2 * flame.landmark_embedding.sigma)
    return other


def test_what_cannot_be_carried_over_is_refused(head, flame):
    prediction = prediction_of(head)
    with pytest.raises(FaceModelError, match="carried over before"):
        carry_over_to(flame)(carry_over(prediction, flame))
    with pytest.raises(FaceModelError, match="flame-like has no embedding of mediapipe's landmarks"):
        carry_over(prediction, with_scheme(flame, "ibug68"))
    bare = flame_like_copy(flame)
    few = np.where(np.arange(478) < 10, bare.landmark_embedding.face, -1)
    bare.landmark_embedding = replace(bare.landmark_embedding, face=few)
    with pytest.raises(FaceModelError, match="shares 10 landmarks"):
        carry_over(prediction, bare)
