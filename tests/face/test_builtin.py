"""The built-in head: left is left, lids close, lips seal, eyes turn, the torso stays upright."""

from importlib.resources import files

import numpy as np
import pytest
import torch
from roma import rotvec_to_rotmat

import tdmm.face.builtin_data as builtin_data
from tdmm.errors import FaceModelError
from tdmm.face.builtin import BuiltinHead, load_builtin_head
from tdmm.face.builtin_data import read_head_data
from tdmm.face.data import fingerprint
from tdmm.render.raster import rasterize
from tdmm.render.subdivision import loop_matrix

GEOMETRY = (
    "template",
    "shape_basis",
    "expression_basis",
    "expression_names",
    "faces",
    "head_weight",
    "eye",
    "eye_centers",
    "eye_centers_basis",
)
EYES = ("sclera", "iris", "pupil")
INSIDE = ("teeth", "gums", "tongue", "mouth")


@pytest.fixture(scope="module")
def head():
    return load_builtin_head()


def pose(head, shape=None, eyes_pose=None, **weights):
    """Vertices (V, 3) of one face in the head frame, float64."""
    expression = torch.zeros(1, len(head.expression_names), dtype=torch.float64)
    for name, weight in weights.items():
        expression[0, head.expression_names.index(name)] = weight
    shape = torch.zeros(0) if shape is None else torch.as_tensor(shape)
    eyes = None if eyes_pose is None else torch.tensor([eyes_pose], dtype=torch.float64)
    return head.vertices(shape, expression, eyes_pose=eyes)[0].numpy()


def of_part(head, *names):
    """Mask (V,) of the vertices of some parts."""
    look = head.appearance
    wanted = [look.part_names.index(name) for name in names]
    mask = np.zeros(head.n_vertices, bool)
    mask[head.faces[np.isin(look.part_of_face, wanted)]] = True
    return mask


def pixels(head, refine, vertices, names, size=640):
    """Pixels that show some parts when the face fills a square picture, seen from the front, subdivided as drawn."""
    points, faces = refine[0].apply(vertices.astype(np.float32)), refine[1]
    scale = size / 0.26
    xy = np.stack([size / 2 + scale * points[:, 0], size / 2 - scale * (points[:, 1] - 0.01)], axis=1)
    shown = rasterize(xy, 1.0 - points[:, 2], faces, (size, size)).face_id
    part = np.repeat(head.appearance.part_of_face, 4)[shown[shown >= 0]]
    return int(np.isin(part, [head.appearance.part_names.index(name) for name in names]).sum())


@pytest.fixture(scope="module")
def refine(head):
    return loop_matrix(head.faces, head.n_vertices)


@pytest.fixture(scope="module")
def identities(head):
    random = np.random.default_rng(0)
    return [np.clip(random.normal(size=head.n_shape), -2.5, 2.5) for _ in range(6)]


# -- the asset ----------------------------------------------------------------------------------------


def test_the_asset_is_what_its_fingerprint_says():
    data = read_head_data()
    assert str(data["sha256"]) == fingerprint({name: data[name] for name in GEOMETRY})
    assert (files("tdmm") / "assets" / "head.npz").stat().st_size <= 4_000_000


def test_a_missing_asset_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(builtin_data, "files", lambda package: tmp_path)
    with pytest.raises(FaceModelError, match=r"head\.npz is missing: install tdmm again"):
        read_head_data()


def test_it_is_loaded_once(head):
    assert load_builtin_head() is head


def test_a_head_of_human_size_with_its_joint_inside(head):
    points = pose(head)
    skull = points[read_head_data()["head_weight"] == 1]
    height, width = np.ptp(skull[:, 1]), np.ptp(skull[:, 0])
    assert 0.19 < height < 0.30  # chin to crown is 0.22 m; some of the throat turns with the head
    assert 0.14 < width < 0.20  # over the ears
    pupils = head.eye_centers(torch.zeros(0)).numpy()
    assert 0.058 < pupils[0, 0] - pupils[1, 0] < 0.068
    assert (points.min(0) < 0).all()
    assert (points.max(0) > 0).all()


def test_names_are_arkits(head):
    names = head.expression_names
    assert len(names) == 52
    assert {name.replace("Left", "Right") for name in names} <= set(names)
    assert {"jawOpen", "mouthClose", "tongueOut", "cheekPuff", "browInnerUp"} <= set(names)


# -- left and right, up and down ----------------------------------------------------------------------


def test_left_in_a_name_is_the_subjects_left(head):
    """Actions of one side move that side: +x is the subject's left, which jawLeft and the like move towards."""
    rest = pose(head)
    for name in head.expression_names:
        if not name.endswith(("Left", "Right")):
            continue
        moved = pose(head, **{name: 1.0}) - rest
        sign = 1 if name.endswith("Left") else -1
        if name in ("jawLeft", "jawRight", "mouthLeft", "mouthRight"):
            strongest = np.linalg.norm(moved, axis=1).argmax()
            assert sign * moved[strongest, 0] > 0.003, name
        else:
            strength = (moved**2).sum(1)
            # A mirrored name would leave less than half on its side; lips pull the middle along, lids nothing.
            assert (
                strength[sign * rest[:, 0] > 0].sum() > (0.7 if name.startswith("mouth") else 0.9) * strength.sum()
            ), name
    assert head.eye_centers(torch.zeros(0))[0, 0] > 0  # eyes_pose: the left comes first


def test_mirrored_actions_are_mirror_images(head):
    """Left and right do the same to about a millimetre: the meshes are MakeHuman's, sculpted by hand."""
    rest = pose(head)
    for name in head.expression_names:
        if name.endswith("Left"):
            extent = [
                np.linalg.norm(pose(head, **{side: 1.0}) - rest, axis=1).max()
                for side in (name, name.replace("Left", "Right"))
            ]
            assert extent[0] == pytest.approx(extent[1], abs=0.0015), name


@pytest.mark.parametrize(
    ("name", "axis", "sign"),
    [
        ("eyeLookUpLeft", 1, 1),
        ("eyeLookDownLeft", 1, -1),
        ("eyeLookInLeft", 0, -1),
        ("eyeLookOutLeft", 0, 1),
        ("eyeLookInRight", 0, 1),
        ("eyeLookOutRight", 0, -1),
    ],
)
def test_gaze_actions_turn_the_pupil_and_keep_the_eyeball_round(head, name, axis, sign):
    side = 0 if name.endswith("Left") else 1
    eye = read_head_data()["eye"] == side + 1
    center = head.eye_centers(torch.zeros(0))[side].numpy()
    rest, moved = pose(head)[eye] - center, pose(head, **{name: 1.0})[eye] - center
    pupil = rest[:, 2].argmax()
    assert sign * (moved[pupil] - rest[pupil])[axis] > 0.003
    # At full weight the blendshape is a rotation: no radius changes by more than the rounding of the file.
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), np.linalg.norm(rest, axis=1), atol=2e-5)
    # Half-way it is a chord: flatter by 1 - cos(half the angle) at most.
    angle = np.arccos((moved[pupil] @ rest[pupil]) / (np.linalg.norm(rest[pupil]) * np.linalg.norm(moved[pupil])))
    half = pose(head, **{name: 0.5})[eye] - center
    flatter = 1 - np.linalg.norm(half, axis=1) / np.linalg.norm(rest, axis=1)
    assert flatter.min() > -0.002
    assert flatter.max() < 1 - np.cos(angle / 2) + 0.002


def test_eyes_pose_turns_each_eyeball_about_its_centre_and_nothing_else(head):
    data = read_head_data()
    shape = np.full(5, 0.7)
    eyes_pose = [0.2, 0.0, 0.0, 0.0, -0.3, 0.1]
    before, after = pose(head, shape), pose(head, shape, eyes_pose)
    assert np.array_equal(before[data["eye"] == 0], after[data["eye"] == 0])
    centers = head.eye_centers(torch.as_tensor(shape))
    for side in (0, 1):
        eye = data["eye"] == side + 1
        turn = rotvec_to_rotmat(torch.tensor(eyes_pose, dtype=torch.float64).reshape(2, 3))[side].numpy()
        expected = (before[eye] - centers[side].numpy()) @ turn.T + centers[side].numpy()
        np.testing.assert_allclose(after[eye], expected, atol=1e-12)
    # About +x looks down, about +y to the subject's left: the same as the head's own rotation.
    left, right = (np.flatnonzero(data["eye"] == side) for side in (1, 2))
    assert (after - before)[left[before[left, 2].argmax()], 1] < -0.002
    assert (after - before)[right[before[right, 2].argmax()], 0] < -0.002


# -- the neck -----------------------------------------------------------------------------------------


def test_the_torso_stays_upright(head):
    """w (R v + t) + (1 - w) (v + t), vertex by vertex."""
    weight = read_head_data()["head_weight"].astype(np.float64)[:, None]
    rest = pose(head)
    rotation, translation = np.array([0.5, -0.2, 0.1]), np.array([0.1, 0.2, -0.7])
    turn = rotvec_to_rotmat(torch.tensor(rotation)).numpy()
    posed = head.vertices(
        torch.zeros(0),
        torch.zeros(1, 52, dtype=torch.float64),
        rotation=torch.tensor(rotation)[None],
        translation=torch.tensor(translation)[None],
    )[0].numpy()
    expected = weight * (rest @ turn.T) + (1 - weight) * rest + translation
    np.testing.assert_allclose(posed, expected, atol=1e-9)
    face = (rest[:, 1] > -0.03) & (rest[:, 2] > 0.03)
    assert weight[face].min() > 0.97
    assert weight[rest[:, 1] < rest[:, 1].min() + 0.01].max() == 0
    assert weight[of_part(head, "lips", *EYES, *INSIDE, "lashes")].min() == 1


# -- what is seen -------------------------------------------------------------------------------------


def test_eyes_and_closed_lips_are_what_a_face_at_rest_shows(head, refine, identities):
    """Identities hold no expression: every face has open eyes, and no teeth between its lips."""
    for shape in (None, *identities):
        points = pose(head, shape)
        assert pixels(head, refine, points, EYES) > 300
        assert pixels(head, refine, points, ("teeth", "gums", "tongue")) == 0


def test_lids_close_over_the_eyes(head, refine, identities):
    for shape in (None, *identities):
        points = pose(head, shape, eyeBlinkLeft=1, eyeBlinkRight=1)
        assert pixels(head, refine, points, EYES) <= 2


def test_mouth_close_takes_back_the_lips_that_jaw_open_parts(head, refine, identities):
    for shape in (None, *identities[:3]):
        assert pixels(head, refine, pose(head, shape, jawOpen=1), INSIDE) > 1000
        assert pixels(head, refine, pose(head, shape, jawOpen=1, mouthClose=1), INSIDE) == 0


def test_no_tooth_comes_through_the_skin(head, refine):
    """Actions that keep the lips together show no teeth; nothing from inside pokes out in any of them."""
    sealed = ("cheekPuff", "mouthPucker", "mouthPressLeft", "mouthRollUpper", "mouthShrugLower", "mouthSmileLeft")
    for name in sealed:
        assert pixels(head, refine, pose(head, **{name: 1.0}), ("teeth", "gums")) == 0, name


def test_eyes_and_lashes_stay_in_their_lids_for_every_identity(head, identities):
    """The gap between the eyeball and its lashes' roots changes by a few millimetres at most."""
    eye, lashes = of_part(head, "iris"), of_part(head, "lashes")

    def gap(points):
        return np.linalg.norm(points[lashes][:, None, 2] - points[eye][None, :, 2].max(1), axis=1).min()

    rest = gap(pose(head))
    for shape in identities:
        assert abs(gap(pose(head, shape)) - rest) < 0.004


# -- surfaces and colours -----------------------------------------------------------------------------


def test_faces_look_outwards(head):
    """Closed bodies have positive volume about their middle; the face's front faces the viewer."""
    points = pose(head)
    corner = points[head.faces]
    normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    part = head.appearance.part_of_face
    names = head.appearance.part_names
    for name in ("skin", "tongue"):
        faces = part == names.index(name)
        middle = points[head.faces[faces]].mean((0, 1))
        assert (normal[faces] * (corner[faces].mean(1) - middle)).sum() > 0, name
    for side, center in enumerate(head.eye_centers(torch.zeros(0)).numpy()):
        eye = (read_head_data()["eye"] == side + 1)[head.faces].all(1)
        assert ((normal[eye] * (corner[eye].mean(1) - center)).sum(1) > 0).all()
    nose = head.faces[:, 0] == points[:, 2].argmax()
    assert (normal[nose, 2] > 0).all()


def test_every_part_is_there_and_has_its_colour(head):
    look = head.appearance
    assert look.part_names == (
        "skin", "lips", "sclera", "iris", "pupil", "teeth", "gums", "tongue", "mouth", "lashes",
    )  # fmt: skip
    assert set(look.part_of_face.tolist()) == set(range(len(look.part_names)))
    height, width, _ = look.albedo.shape
    assert look.uv.min() >= 0
    assert look.uv.max() <= 1
    middle = look.uv[look.uv_faces].mean(1)
    colour = look.albedo[
        np.clip(((1 - middle[:, 1]) * height).astype(int), 0, height - 1), (middle[:, 0] * width).astype(int)
    ].astype(float)
    mean = {name: colour[look.part_of_face == i].mean(0) for i, name in enumerate(look.part_names)}
    assert mean["pupil"].max() < 40
    assert mean["sclera"].min() > 120
    assert mean["teeth"].min() > 150
    assert mean["skin"][0] > mean["skin"][1] > mean["skin"][2]
    for name in ("lips", "tongue", "gums"):
        assert mean[name][0] - mean[name][1] > mean["skin"][0] - mean["skin"][1], name
    throat = colour[look.part_of_face == look.part_names.index("mouth")].mean(1)
    assert np.quantile(throat, 0.25) < 60


def test_occlusion_is_dark_where_light_does_not_reach(head):
    look, points = head.appearance, pose(head)
    value = look.ambient_occlusion
    assert value.shape == (head.n_vertices,)
    assert value.min() >= 0
    assert value.max() <= 1
    assert value[points[:, 2].argmax()] > 0.8  # the tip of the nose
    assert value[points[:, 1].argmax()] > 0.9  # the crown
    assert value[of_part(head, "mouth") & ~of_part(head, "lips", "skin")].mean() < 0.6


# -- landmarks ----------------------------------------------------------------------------------------


def test_landmarks_lie_where_a_face_has_them(head):
    embedding = head.landmark_embedding
    assert embedding is not None, "scripts/build_head.py --landmarks has not been run"
    assert embedding.face.shape == (478,)
    known = embedding.face >= 0
    assert known.mean() > 0.9
    np.testing.assert_allclose(embedding.barycentric[known].sum(1), 1, atol=1e-4)
    assert (embedding.sigma[known] > 0).all()
    points = head.landmarks(torch.from_numpy(pose(head))[None])[0].numpy()
    # MediaPipe's numbers: 1 tip of the nose, 152 chin, 33 and 263 outer corners of the right and the left eye, 13 and
    # 14 inner lips, 468 and 473 irises of the right and the left eye.
    assert points[1, 2] > points[[152, 33, 263, 13]][:, 2].max()
    assert points[152, 1] < points[14, 1] <= points[13, 1] + 0.002 < points[1, 1]
    assert points[33, 0] < points[468, 0] < 0 < points[473, 0] < points[263, 0]
    assert 0.06 < points[263, 0] - points[33, 0] < 0.12


def test_a_head_without_landmarks_says_so():
    data = {name: value for name, value in read_head_data().items() if not name.startswith("landmark_")}
    bare = BuiltinHead(data)
    assert bare.landmark_embedding is None
    with pytest.raises(FaceModelError, match=r"no landmark embedding; bake it with build_head\.py --landmarks"):
        bare.landmarks(torch.zeros(1, bare.n_vertices, 3))
