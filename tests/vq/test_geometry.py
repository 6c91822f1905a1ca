"""What the face's encoder sees is geometry: whatever gives one face gets one code."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from made_codecs import COLUMNS, HEAD, SMALL, Otherwise, made_codec, made_motion, made_view, some_faces

from tdmm.face.mesh_points import MeshPoints, mesh_points
from tdmm.vq.columns import columns_for
from tdmm.vq.config import changed
from tdmm.vq.geometry import MOST_FEATURES, REGIONS, FaceGeometry, choose_vertices, make_view, split_columns, spread_out

FACE = SMALL.face.codebooks  # columns of codes that are of the face
SMILE, BROW = ("mouthSmileLeft", "mouthSmileRight"), "browInnerUp"


class Redundant(Otherwise):
    """The built-in head with two expressions more that show nothing new: what two others do together, and one again."""

    name, sha256 = "redundant", "4" * 64
    expression_names = (*HEAD.expression_names, "smile", "brow")

    def __init__(self) -> None:
        self._means = torch.eye(52)
        both = sum(self._means[HEAD.expression_names.index(name)] for name in SMILE)
        again = self._means[HEAD.expression_names.index(BROW)]
        self._means = torch.cat([self._means, both[None], again[None]])

    def vertices(self, shape: torch.Tensor, expression: torch.Tensor, **pose: torch.Tensor | None) -> torch.Tensor:
        return HEAD.vertices(shape, expression @ self._means.to(expression), **pose)


class Bent(Otherwise):
    """The built-in head whose expressions do not add up."""

    name, sha256 = "bent", "5" * 64

    def vertices(self, shape: torch.Tensor, expression: torch.Tensor, **pose: torch.Tensor | None) -> torch.Tensor:
        return HEAD.vertices(shape, expression * expression.flip(-1), **pose)


REDUNDANT, BENT = Redundant(), Bent()


def two_of_one_geometry():
    """Motions of the same meshes by different expressions."""
    names = REDUNDANT.expression_names
    one = made_motion(120, model=REDUNDANT)
    expression = one.expression.copy()
    places = {name: names.index(name) for name in (*SMILE, BROW, "smile", "brow")}
    smile, brow = expression[:, places["smile"]].copy(), expression[:, places["brow"]].copy()
    for name in SMILE:
        expression[:, places[name]] += smile
    expression[:, places[BROW]] += brow
    expression[:, [places["smile"], places["brow"]]] = 0
    return one, made_motion(120, model=REDUNDANT, expression=expression)


def meshes(motion, model=REDUNDANT) -> torch.Tensor:
    return model.vertices(torch.zeros(0), torch.from_numpy(motion.expression))


# -- the law ---------------------------------------------------------------------------------------------


def test_one_geometry_one_code():
    one, other = two_of_one_geometry()
    assert np.abs(one.expression - other.expression).max() > 0.5
    assert (meshes(one) - meshes(other)).abs().max() < 1e-6
    codec = made_codec(REDUNDANT)
    codes, others = codec.encode_many([one, other])
    assert np.array_equal(codes.codes, others.codes)
    assert len(np.unique(codes.codes[:, :FACE], axis=0)) > 10
    assert codec.decode(codes) == codec.decode(others)


def test_parameters_as_the_input_tell_them_apart():
    """For comparison, and so that the law above says something."""
    codec = made_codec(REDUNDANT, changed(SMALL, input="parameters"))
    codes, others = codec.encode_many(two_of_one_geometry())
    assert (codes.codes[:, :FACE] != others.codes[:, :FACE]).mean() > 0.2
    assert np.array_equal(codes.codes[:, FACE:], others.codes[:, FACE:])


def test_another_geometry_another_code():
    motion = made_motion(120)
    louder = made_motion(120, expression=motion.expression * 0.5)
    codes, others = made_codec().encode_many([motion, louder])
    assert (codes.codes[:, :FACE] != others.codes[:, :FACE]).mean() > 0.2


def test_identity_and_head_pose_do_not_change_the_codes_of_the_face():
    motion = made_motion(120)
    codec = made_codec()
    codes = codec.encode(motion).codes
    other = made_motion(120, seed=1)
    moved = made_motion(120, rotation=other.rotation, translation=other.translation, shape=np.ones(20, np.float32))
    found = codec.encode(moved).codes
    assert np.array_equal(found[:, :FACE], codes[:, :FACE])
    assert (found[:, FACE:] != codes[:, FACE:]).mean() > 0.2


def test_eyes_that_turn_by_themselves_are_seen():
    motion = made_motion(120)
    gaze = np.zeros((120, 6), np.float32)
    gaze[:, 1] = gaze[:, 4] = 0.4 * np.sin(np.arange(120) / 9)
    codec = made_codec()
    codes, turned, still = (
        codec.encode(made_motion(120, eyes_pose=pose)).codes for pose in (gaze * 0, gaze, -gaze * 0)
    )
    assert np.array_equal(codes, codec.encode(motion).codes)
    assert np.array_equal(codes, still)
    assert (turned[:, :FACE] != codes[:, :FACE]).any()
    assert np.array_equal(turned[:, FACE:], codes[:, FACE:])


def test_what_turns_the_eyes_is_seen_like_the_expression_that_does():
    """To look to the left by the joints is nearer to looking there by expressions than to any other gaze."""
    geometry = FaceGeometry(HEAD, COLUMNS, made_view(HEAD))
    looks = {"left": ("eyeLookOutLeft", "eyeLookInRight"), "right": ("eyeLookInLeft", "eyeLookOutRight")}
    faces = torch.zeros(3, 52)
    for row, names in zip(faces, looks.values(), strict=False):
        row[[HEAD.expression_names.index(name) for name in names]] = 0.6
    gaze = torch.tensor([[0.0, 0.3, 0, 0, 0.3, 0]])
    turned = geometry.features(torch.zeros(1, 52), gaze)
    left, right, rest = (geometry.features(faces) - turned).norm(dim=1)
    assert left < rest < right


# -- features --------------------------------------------------------------------------------------------


def test_a_resting_face_has_no_features(flame_head):
    for model in (HEAD, flame_head, REDUNDANT):
        columns = columns_for(model)
        geometry = FaceGeometry(model, columns, made_view(model))
        rest = torch.zeros(1, columns.width)
        assert geometry.posed_features(rest).abs().max() < 1e-4
        assert geometry.features(rest).abs().max() < 1e-4
        assert geometry.features(torch.from_numpy(some_faces(columns, 50))).abs().max() > 0.1


def test_the_short_cut_is_the_long_way(flame_head):
    for model in (HEAD, flame_head, REDUNDANT, BENT):
        columns = columns_for(model)
        geometry = FaceGeometry(model, columns, made_view(model))
        values = 1.5 * torch.from_numpy(some_faces(columns, 700, seed=3))
        true = geometry.posed_features(values)
        assert true.shape == (700, made_view(model).axes.shape[1])
        assert (geometry.features(values) - true).abs().max() < 1e-4 * true.abs().max(), model.name


def test_features_of_eyes_at_rest_and_of_no_frames(flame_head):
    geometry = FaceGeometry(HEAD, COLUMNS, made_view(HEAD))
    values = torch.from_numpy(some_faces(COLUMNS, 20))
    assert torch.allclose(geometry.features(values, torch.zeros(20, 6)), geometry.features(values), atol=1e-4)
    for model in (HEAD, flame_head):
        columns = columns_for(model)
        none = FaceGeometry(model, columns, made_view(model)).features(torch.zeros(0, columns.width))
        assert none.shape == (0, made_view(model).axes.shape[1])


def test_features_are_of_one_spread_order_and_uncorrelated():
    """On what the view was made of: the first one has the size 1, none is larger, and none tells what others do."""
    faces = torch.from_numpy(some_faces(COLUMNS, 300))
    features = FaceGeometry(HEAD, COLUMNS, made_view(HEAD)).features(faces).double()
    moments = features.T @ features / len(features)
    sizes = moments.diagonal().sqrt()
    assert sizes[0] == pytest.approx(1, abs=1e-3)
    assert (sizes.diff() < 1e-3).all()
    correlation = moments / sizes / sizes[:, None]
    assert (correlation - torch.eye(len(sizes))).abs().max() < 0.02
    assert len(sizes) <= MOST_FEATURES


def test_nobodys_seed_is_touched_and_one_sample_makes_one_view():
    state = torch.get_rng_state()
    first, second = (make_view(HEAD, COLUMNS, mesh_points(HEAD), some_faces(COLUMNS, 60)) for _ in range(2))
    FaceGeometry(HEAD, COLUMNS, first)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first.state_dict()[name], value) for name, value in second.state_dict().items())


def test_columns_are_split_as_they_are_joined(flame_head):
    columns = columns_for(flame_head)
    motion = made_motion(5, model=flame_head, eyes_pose=np.random.default_rng(0).standard_normal((5, 6)))
    found = split_columns(torch.from_numpy(columns.of(motion)), columns)
    assert {name: value.shape[-1] for name, value in found.items()} == {
        "expression": 60,
        "jaw_pose": 3,
        "eyes_pose": 6,
    }
    for name, value in found.items():
        assert np.array_equal(value.numpy(), getattr(motion, name))


# -- which vertices ----------------------------------------------------------------------------------------


def test_points_far_from_each_other_by_hand():
    line = np.array([[0.0], [1], [2], [3], [10]]) * [1.0, 0, 0]
    assert spread_out(line, 5).tolist() == [3, 4, 0, 1, 2]  # the middle is 3.2
    assert spread_out(line, 3).tolist() == [3, 4, 0]
    assert spread_out(line, 9).tolist() == spread_out(line, 5).tolist()


def test_points_are_as_far_apart_as_those_left_out_are_near():
    points = np.random.default_rng(0).standard_normal((300, 3))
    chosen = spread_out(points, 40)
    assert len(set(chosen)) == 40
    between = np.linalg.norm(points[chosen][:, None] - points[chosen], axis=2) + 99 * np.eye(40)
    covered = np.linalg.norm(points[:, None] - points[chosen], axis=2).min(1)
    assert covered.max() <= between.min() + 1e-9


def test_every_region_is_seen_and_the_tongue():
    points = mesh_points(HEAD)
    with torch.no_grad():
        rest = HEAD.vertices(torch.zeros(0), torch.zeros(1, 52))[0].numpy()
        tongue = HEAD.vertices(torch.zeros(0), torch.eye(52)[[HEAD.expression_names.index("tongueOut")]])[0].numpy()
    chosen = choose_vertices(HEAD, points, rest)
    assert len(chosen.vertices) == len(chosen.weights) == sum(count for count, _ in REGIONS.values())
    at = 0
    for region, (count, _) in REGIONS.items():
        some = chosen.vertices[at : at + count]
        at += count
        assert len(set(some)) == count
        if region == "others":
            assert not np.isin(some, points.vertices).any()
            assert np.linalg.norm(tongue[some] - rest[some], axis=1).max() > 0.01
        else:
            assert np.isin(some, points.vertices[getattr(points, region).numpy()]).all()


# -- some of the points --------------------------------------------------------------------------------------


@pytest.fixture(params=["built-in", "flame-like", "eyeless"])
def points(request, flame_head) -> MeshPoints:
    if request.param == "eyeless":
        return mesh_points(HEAD, eyes=False)
    return mesh_points(HEAD if request.param == "built-in" else flame_head)


def test_some_points_are_the_wholes_own(points):
    random = np.random.default_rng(0)
    places = random.choice(len(points.vertices), 200, replace=False)
    some = points.some(places)
    kept = np.flatnonzero(np.isin(points.vertices, some.vertices))
    assert np.isin(places, kept).all()
    assert len(kept) <= 200 + points.corners.numel()
    columns = columns_for(points.model)
    pose = split_columns(torch.from_numpy(some_faces(columns, 6)), columns)
    expression, jaw = pose["expression"], pose.get("jaw_pose")
    gaze = 0.3 * torch.from_numpy(random.standard_normal((6, 6)).astype(np.float32))
    shape = torch.from_numpy(random.standard_normal(10).astype(np.float32))
    whole = points.in_head_of(expression, jaw, gaze, shape)
    part = some.in_head_of(expression, jaw, gaze, shape)
    assert torch.allclose(part, whole[:, :, kept], atol=1e-6)
    assert torch.allclose(some.gaps(part), points.gaps(whole), atol=1e-6)
    if points.linear is not None:
        turn = torch.full((6, 3), 0.3)
        assert some.linear is not None
        turned = some.linear.turned(part.clone(), turn)
        assert torch.allclose(turned, points.linear.turned(whole.clone(), turn)[:, :, kept], atol=1e-6)
    for region in ("face", "lips", "eyelids", "eyes"):
        mine = some.vertices[getattr(some, region).numpy()]
        assert set(mine) == set(points.vertices[np.intersect1d(getattr(points, region).numpy(), places)]), region


def test_some_of_some_and_all_of_them():
    points = mesh_points(HEAD)
    everything = points.some(np.arange(len(points.vertices)))
    assert np.array_equal(everything.vertices, points.vertices)
    assert torch.equal(everything.corners, points.corners)
    for region in ("face", "lips", "eyelids", "eyes"):
        assert torch.equal(getattr(everything, region), getattr(points, region))
    half = points.some(np.arange(0, len(points.vertices), 2))
    fewer = half.some(np.arange(0, len(half.vertices), 2))
    expression = torch.from_numpy(some_faces(COLUMNS, 3))
    found = fewer.in_head_of(expression, None, None, torch.zeros(0))
    true = points.in_head_of(expression, None, None, torch.zeros(0))[:, :, np.isin(points.vertices, fewer.vertices)]
    assert torch.allclose(found, true, atol=1e-6)
    none = points.some(np.zeros(0, int))
    assert len(none.vertices) == len(torch.unique(points.corners))
    assert len(none.face) == 0
