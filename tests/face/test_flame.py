"""FLAME against an independent slow implementation, and everything that its files may have wrong."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from flame_file import N_EXPRESSIONS, N_VERTICES, flame_2020_bytes, flame_arrays, pickle_like_python2, with_chumpy
from scipy.spatial.transform import Rotation

from tdmm.errors import FaceModelError
from tdmm.face.flame import EMBEDDING_FILE, load_flame, model_name
from tdmm.face.pickles import read_pickled_arrays


@pytest.fixture(scope="module")
def flame(flame_path):
    return load_flame(flame_path)


def random_parameters(n_frames=4, seed=1):
    random = np.random.default_rng(seed)
    return {
        "shape": random.normal(size=300),
        "expression": random.normal(size=(n_frames, N_EXPRESSIONS)),
        "rotation": random.normal(size=(n_frames, 3)),
        "translation": random.normal(size=(n_frames, 3)),
        "neck_pose": random.normal(0, 0.3, (n_frames, 3)),
        "jaw_pose": random.normal(0, 0.3, (n_frames, 3)),
        "eyes_pose": random.normal(0, 0.3, (n_frames, 6)),
    }


def slow_flame(data, shape, expression, root, neck, jaw, eyes):
    """One frame as the paper writes it: equations 1 to 4 of Li et al. 2017 with 4 x 4 matrices, vertex by vertex.

    `root` turns about the root joint, as in FLAME's own code. Returns vertices (V, 3) and joints at rest (5, 3).
    """
    weights = np.concatenate([shape, expression])
    shaped = data["v_template"].copy()
    for v in range(N_VERTICES):
        for axis in range(3):
            shaped[v, axis] += np.dot(data["shapedirs"][v, axis], weights)
    joints = data["J_regressor"].toarray() @ shaped
    turns = [Rotation.from_rotvec(r).as_matrix() for r in (root, neck, jaw, eyes[:3], eyes[3:])]
    feature = np.concatenate([(turn - np.eye(3)).ravel() for turn in turns[1:]])
    posed = shaped + np.einsum("vak,k->va", data["posedirs"], feature)
    worlds = []
    for joint, parent in enumerate([None, 0, 1, 1, 1]):
        local = np.eye(4)
        local[:3, :3] = turns[joint]
        local[:3, 3] = joints[joint] if parent is None else joints[joint] - joints[parent]
        worlds.append(local if parent is None else worlds[parent] @ local)
    moved = np.zeros_like(posed)
    for v in range(N_VERTICES):
        for joint in range(5):
            from_joint = worlds[joint] @ np.append(posed[v] - joints[joint], 1)
            moved[v] += data["weights"][v, joint] * from_joint[:3]
    return moved, joints


def as_tensors(parameters, dtype=torch.float64):
    return {name: torch.as_tensor(value, dtype=dtype) for name, value in parameters.items()}


# The model keeps float32 of the file's float64: half a unit in the last place of terms of size 1, 400 of them.
FILE_ROUNDING = 1e-6


def test_vertices_agree_with_the_slow_implementation(flame):
    parameters = random_parameters()
    found = flame.vertices(**as_tensors(parameters))
    assert found.dtype == torch.float64
    for t in range(4):
        expected, joints = slow_flame(
            flame_arrays(),
            parameters["shape"],
            parameters["expression"][t],
            np.zeros(3),
            *(parameters[name][t] for name in ("neck_pose", "jaw_pose", "eyes_pose")),
        )
        turn = Rotation.from_rotvec(parameters["rotation"][t]).as_matrix()
        np.testing.assert_allclose(found[t], expected @ turn.T + parameters["translation"][t], atol=FILE_ROUNDING)
        rest = flame.rest_joints(*(as_tensors(parameters)[name] for name in ("shape", "expression")))
        np.testing.assert_allclose(rest[t], joints, atol=FILE_ROUNDING)


def test_turning_about_the_root_joint_is_the_same_with_another_translation(flame):
    """The relation with FLAME's own code and VHAP, as documented: translation = t + j0 - R j0."""
    parameters = random_parameters()
    tensors = as_tensors(parameters)
    root = flame.rest_joints(tensors["shape"], tensors["expression"])[:, 0]
    for t in range(4):
        theirs, _ = slow_flame(
            flame_arrays(),
            parameters["shape"],
            parameters["expression"][t],
            *(parameters[name][t] for name in ("rotation", "neck_pose", "jaw_pose", "eyes_pose")),
        )
        theirs = theirs + parameters["translation"][t]
        turn = torch.as_tensor(Rotation.from_rotvec(parameters["rotation"][t]).as_matrix())
        ours = {**tensors, "translation": tensors["translation"] + root - root @ turn.T}
        np.testing.assert_allclose(flame.vertices(**ours)[t], theirs, atol=FILE_ROUNDING)


def test_each_joint_moves_what_hangs_on_it(flame):
    expression = torch.zeros(1, N_EXPRESSIONS, dtype=torch.float64)
    shape = torch.zeros(0)
    rest = flame.vertices(shape, expression)[0]
    eyes = torch.tensor([[0, 0.4, 0, 0, 0, 0.0]])
    turned = flame.vertices(shape, expression, eyes_pose=eyes)[0]
    data = flame_arrays()
    # Vertices 0 to 5 hang on the left eye alone: they turn about its joint, after the pose correctives.
    turn = Rotation.from_rotvec([0, 0.4, 0]).as_matrix()
    feature = np.zeros(36)
    feature[18:27] = (turn - np.eye(3)).ravel()
    corrected = data["v_template"] + data["posedirs"] @ feature
    center = (data["J_regressor"] @ data["v_template"])[3]
    np.testing.assert_allclose(turned[:6], (corrected[:6] - center) @ turn.T + center, atol=FILE_ROUNDING)
    # Those of the right eye do not turn; only the correctives move them.
    np.testing.assert_allclose(turned[6:12], corrected[6:12], atol=FILE_ROUNDING)
    assert not torch.equal(rest[6:12], turned[6:12])


def test_names_sizes_and_parts(flame):
    assert flame.name == "flame-generic-model"
    assert flame.n_shape == 300
    assert len(flame.expression_names) == N_EXPRESSIONS
    assert flame.expression_names[:2] == ("expr_000", "expr_001")
    assert flame.faces.dtype == np.int32
    np.testing.assert_array_equal(flame.faces, flame_arrays()["f"])
    assert (flame.joints.neck, flame.joints.jaw, flame.joints.eyes) == (True, True, True)
    assert flame.landmark_embedding is None
    with pytest.raises(FaceModelError, match="flame-generic-model has no landmark embedding yet"):
        flame.landmarks(torch.zeros(1, N_VERTICES, 3))


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("flame2023.pkl", "flame-2023"),
        ("flame2023_no_jaw.pkl", "flame-2023-no-jaw"),
        ("flame2023_Open.pkl", "flame-2023-open"),
        ("FLAME_NEUTRAL.npz", "flame-neutral"),
        ("generic_model.pkl", "flame-generic-model"),
        ("flame.pkl", "flame"),
        ("my model (2).pkl", "flame-my-model-2"),
    ],
)
def test_the_name_says_what_the_file_says(tmp_path, file, name):
    assert model_name(tmp_path / file) == name


def test_one_model_in_every_container_has_one_fingerprint(tmp_path, flame):
    """Python 2 and 3, chumpy or not, sparse or dense, pkl or npz: the same data, the same model."""
    arrays = flame_arrays()
    dense = {**arrays, "J_regressor": arrays["J_regressor"].toarray()}
    select = with_chumpy(
        lambda ch, select: pickle_like_python2(
            {**arrays, "shapedirs": select(ch(arrays["shapedirs"]), np.arange(arrays["shapedirs"].size), (48, 3, 400))}
        )
    )
    contents = {
        "python3.pkl": pickle.dumps(arrays),
        "protocol2.pkl": pickle.dumps(arrays, protocol=2),
        "dense.pkl": pickle.dumps(dense),
        "select.pkl": select,
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    np.savez(tmp_path / "model.npz", **dense)
    for name in [*contents, "model.npz"]:
        found = load_flame(tmp_path / name)
        assert found.sha256 == flame.sha256, name
        assert torch.equal(
            found.vertices(torch.ones(3), torch.ones(1, 100)), flame.vertices(torch.ones(3), torch.ones(1, 100))
        )
    # Any change of the data is another model.
    (tmp_path / "other.pkl").write_bytes(flame_2020_bytes(flame_arrays(seed=1)))
    assert load_flame(tmp_path / "other.pkl").sha256 != flame.sha256


def test_iris_and_sclera_are_told_apart(tmp_path):
    """An eyeball around its joint: the faces that look ahead within 29.5 degrees are the iris."""
    arrays = flame_arrays()
    turns = np.linspace(0, np.pi, 13)
    ring = np.stack([np.sin(turns), np.zeros(13), np.cos(turns)], 1) * 0.012
    arrays["v_template"][:12] = 0
    arrays["J_regressor"] = np.zeros((5, N_VERTICES))
    arrays["J_regressor"][:, 40] = 1
    arrays["v_template"][40] = 0
    arrays["v_template"][:12] = ring[:12]
    arrays["weights"][:12] = np.eye(5)[3]
    arrays["f"] = np.array([[0, 1, 1], [1, 2, 2], [3, 4, 4], [8, 9, 9], [20, 21, 22]], np.uint32)
    np.savez(tmp_path / "model.npz", **arrays)
    appearance = load_flame(tmp_path / "model.npz").appearance
    assert [appearance.part_names[part] for part in appearance.part_of_face] == [
        "iris",
        "iris",
        "sclera",
        "sclera",
        "skin",
    ]


# -- landmark embedding -------------------------------------------------------------------------------


def embedding_arrays(n=105):
    random = np.random.default_rng(0)
    return {
        "lmk_face_idx": random.integers(0, 80, n),
        "lmk_b_coords": random.dirichlet(np.ones(3), n),
        "landmark_indices": random.permutation(468)[:n],
    }


def test_the_embedding_file_beside_the_model(tmp_path):
    (tmp_path / "flame2023.pkl").write_bytes(flame_2020_bytes(flame_arrays()))
    arrays = embedding_arrays()
    np.savez(tmp_path / EMBEDDING_FILE, **arrays)
    model = load_flame(tmp_path / "flame2023.pkl")
    embedding = model.landmark_embedding
    assert embedding.face.shape == (478,)
    assert (embedding.face >= 0).sum() == 105
    assert np.isfinite(embedding.sigma).sum() == 105
    vertices = model.vertices(torch.ones(5), torch.ones(2, 100), jaw_pose=torch.ones(2, 3))
    points = model.landmarks(vertices)
    assert points.shape == (2, 478, 3)
    for face, weights, index in zip(*arrays.values(), strict=True):
        expected = weights @ vertices[1][model.faces[face].tolist()].double().numpy()
        np.testing.assert_allclose(points[1, index], expected, atol=1e-6)
    assert points[:, embedding.face < 0].isnan().all()
    # The embedding is no part of the model's fingerprint: the vertices are the same.
    (tmp_path / EMBEDDING_FILE).unlink()
    assert load_flame(tmp_path / "flame2023.pkl").sha256 == model.sha256


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lmk_face_idx": None}, "expected the key lmk_face_idx, found only landmark_indices, lmk_b_coords"),
        ({"lmk_face_idx": np.full(105, 80)}, "expected triangles below 80 and landmarks below 478"),
        ({"landmark_indices": np.full(105, 478)}, "expected triangles below 80 and landmarks below 478"),
        ({"lmk_b_coords": np.zeros((105, 2))}, r"expected N triangles, .* found \(105,\), \(105, 2\)"),
        ({"lmk_b_coords": np.full((105, 3), np.nan)}, "expected N triangles"),
        ({"landmark_indices": np.array([{}])}, "expected an npz file of plain arrays, found Object arrays cannot"),
    ],
)
def test_broken_embedding_files(tmp_path, changes, message):
    (tmp_path / "flame.pkl").write_bytes(flame_2020_bytes(flame_arrays()))
    arrays = {**embedding_arrays(), **changes}
    np.savez(tmp_path / EMBEDDING_FILE, **{key: array for key, array in arrays.items() if array is not None})
    with pytest.raises(FaceModelError, match=message):
        load_flame(tmp_path / "flame.pkl")


# -- broken files -------------------------------------------------------------------------------------


def with_nan(name):
    array = flame_arrays()[name]
    array.flat[3] = np.nan
    return array


BROKEN = {
    "missing": ({"weights": None, "f": None}, "is not FLAME: expected the key weights, f"),
    "template": ({"v_template": np.zeros((48, 2))}, r"v_template: expected \('\*', 3\) numbers, found \(48, 2\)"),
    "integers": ({"v_template": np.zeros((48, 3), int)}, r"v_template: expected .* found \(48, 3\) int64"),
    "other vertices": ({"shapedirs": np.zeros((47, 3, 400))}, r"shapedirs: expected \(48, 3, '\*'\) numbers"),
    "no expressions": ({"shapedirs": np.zeros((48, 3, 300))}, "shapedirs: expected 300 identity .* found 300 in all"),
    "pose": ({"posedirs": np.zeros((48, 3, 27))}, r"posedirs: expected \(48, 3, 36\)"),
    "regressor": ({"J_regressor": np.zeros((4, 48))}, r"J_regressor: expected \(5, 48\)"),
    "tree": ({"kintree_table": np.array([[-1, 0, 0, 1, 1], range(5)])}, "kintree_table: expected the parents"),
    "six joints": ({"kintree_table": np.zeros((2, 6), int)}, r"kintree_table: expected \(2, 5\)"),
    "weights": ({"weights": np.ones((48, 5))}, "weights: expected rows that sum to 1, found 5.000"),
    "faces": ({"f": np.full((9, 3), 48, np.uint32)}, "f: expected triangles of 48 vertices"),
    "negative faces": ({"f": np.full((9, 3), -1)}, "f: expected triangles of 48 vertices"),
    "no faces": ({"f": np.zeros((0, 3), np.uint32)}, "f: expected triangles"),
    "nan": ({"posedirs": with_nan("posedirs")}, "posedirs: expected finite numbers, found 1 others"),
    "objects": ({"weights": np.array([[None]])}, "weights: expected an array, found values of 'O8'"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_model_files(tmp_path, case):
    changes, message = BROKEN[case]
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps({k: v for k, v in {**flame_arrays(), **changes}.items() if v is not None}))
    with pytest.raises(FaceModelError, match=message) as caught:
        load_flame(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_broken_npz_files(tmp_path):
    path = tmp_path / "model.npz"
    path.write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(FaceModelError, match="expected an npz file of plain arrays"):
        load_flame(path)
    np.savez(path, **{**flame_arrays(), "J_regressor": np.array([{}])})
    with pytest.raises(FaceModelError, match="expected an npz file of plain arrays, found Object arrays"):
        load_flame(path)


# -- a file by the real chumpy ------------------------------------------------------------------------


def test_a_file_that_the_real_chumpy_wrote_in_python_2():
    """Made by data/make_flame_python2.py, the values of which are repeated here."""

    def ramp(*shape):
        return ((np.arange(np.prod(shape)) * 37) % 129 - 64).reshape(shape) / 64

    path = Path(__file__).parent / "data" / "flame_python2_chumpy.pkl"
    found = read_pickled_arrays(
        path, path.read_bytes(), ("v_template", "shapedirs", "J_regressor", "J", "kintree_table")
    )
    np.testing.assert_array_equal(found["v_template"], ramp(3, 3))
    np.testing.assert_array_equal(found["shapedirs"], ramp(3, 3, 302)[:, :, :301])
    np.testing.assert_array_equal(found["J_regressor"], np.abs(ramp(5, 3)) * (np.arange(15).reshape(5, 3) % 3 > 0))
    np.testing.assert_array_equal(found["J"], ramp(5, 3))
    np.testing.assert_array_equal(found["kintree_table"], [[2**32 - 1, 0, 1, 1, 1], [0, 1, 2, 3, 4]])
    model = load_flame(path)
    assert model.expression_names == ("expr_000",)
    expected = ramp(3, 3) + 0.5 * ramp(3, 3, 302)[:, :, 0] + 2 * ramp(3, 3, 302)[:, :, 300]
    shown = model.vertices(torch.tensor([0.5]), torch.tensor([[2.0]]))[0]
    np.testing.assert_allclose(shown, expected, atol=1e-6)


# -- the 68 points of iBUG --------------------------------------------------------------------------------


def ibug_file(path, **others):
    """As FLAME's `landmark_embedding.npy`: a pickled dict of arrays, and of torch's tensors, which are not read."""
    random = np.random.default_rng(0)
    content = {
        "full_lmk_faces_idx": random.integers(0, 80, (1, 68)),
        "full_lmk_bary_coords": random.dirichlet((1, 1, 1), (1, 68)),
        "static_lmk_faces_idx": list(range(51)),
        "dynamic_lmk_faces_idx": torch.zeros(79, 17, dtype=torch.int64),
        **others,
    }
    np.save(path, np.array({key: value for key, value in content.items() if value is not None}), allow_pickle=True)
    return content


def flame_with(tmp_path, flame_path):
    (tmp_path / "flame.pkl").write_bytes(flame_path.read_bytes())
    return tmp_path / "flame.pkl", tmp_path / "landmark_embedding.npy"


def test_the_68_points_beside_the_model_are_read(tmp_path, flame_path):
    model_path, points_path = flame_with(tmp_path, flame_path)
    assert load_flame(model_path).ibug68_embedding is None
    content = ibug_file(points_path)
    model = load_flame(model_path)
    embedding = model.ibug68_embedding
    assert embedding.scheme == "ibug68"
    np.testing.assert_array_equal(embedding.face, content["full_lmk_faces_idx"][0])
    np.testing.assert_allclose(embedding.barycentric, content["full_lmk_bary_coords"][0], atol=1e-6)
    assert (embedding.sigma[:17] > embedding.sigma[17:].max()).all()  # the jaw's slide with the silhouette
    assert model.landmark_embedding is None  # mediapipe's are others

    from tdmm.fit.correspondence import with_scheme

    vertices = model.vertices(torch.zeros(0), torch.zeros(1, 100))
    points = with_scheme(model, "ibug68").landmarks(vertices)
    corners = vertices[0, torch.as_tensor(model.faces).long()[torch.as_tensor(embedding.face)]]
    expected = (corners * torch.as_tensor(embedding.barycentric)[..., None]).sum(1)
    torch.testing.assert_close(points[0], expected)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: ibug_file(path, full_lmk_bary_coords=None), "expected the key full_lmk_bary_coords"),
        (lambda path: ibug_file(path, full_lmk_faces_idx=np.full((1, 68), 80)), "expected 68 triangles below 80"),
        (lambda path: ibug_file(path, full_lmk_faces_idx=np.zeros((1, 51), int)), r"found \(1, 51\)"),
        (lambda path: np.save(path, np.zeros(3)), "expected a dict of arrays, found values of float64"),
        (lambda path: path.write_bytes(b"hello"), r"expected an \.npy file"),
        (lambda path: path.write_bytes(b""), "is empty"),
    ],
)
def test_a_file_of_68_points_that_is_none_is_refused_in_one_line(tmp_path, flame_path, make, message):
    model_path, points_path = flame_with(tmp_path, flame_path)
    make(points_path)
    with pytest.raises(FaceModelError, match=message) as caught:
        load_flame(model_path)
    assert "landmark_embedding.npy" in str(caught.value)
    assert "\n" not in str(caught.value)
