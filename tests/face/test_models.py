"""Laws that every face model keeps, and the one entry that loads them."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from roma import rotmat_to_rotvec, rotvec_to_rotmat

from tdmm.errors import FaceModelError
from tdmm.face import load_face_model
from tdmm.face.builtin import read_head_data
from tdmm.face.cache import keep_embedding
from tdmm.face.model import FaceModel, LandmarkEmbedding

DOUBLE = torch.float64
POSES = ("rotation", "translation", "neck_pose", "jaw_pose", "eyes_pose")


def random_parameters(model, n_frames=3, dtype=DOUBLE, seed=0):
    generator = torch.Generator().manual_seed(seed)
    normal = lambda *size: torch.randn(*size, dtype=DOUBLE, generator=generator)  # noqa: E731
    return {
        "shape": normal(min(model.n_shape, 12)).to(dtype),
        "expression": torch.rand(n_frames, len(model.expression_names), dtype=DOUBLE, generator=generator).to(dtype),
        "rotation": (0.5 * normal(n_frames, 3)).to(dtype),
        "translation": normal(n_frames, 3).to(dtype),
        "neck_pose": (0.2 * normal(n_frames, 3)).to(dtype),
        "jaw_pose": (0.2 * normal(n_frames, 3)).to(dtype),
        "eyes_pose": (0.2 * normal(n_frames, 6)).to(dtype),
    }


def head_vertices(model):
    """Mask of the vertices that follow `rotation` as a whole: all but the built-in head's neck and torso."""
    if model.name.startswith("tdmm-head"):
        return torch.from_numpy(read_head_data()["head_weight"].astype(np.float64) == 1)
    return torch.ones(model.n_vertices, dtype=torch.bool)


def test_it_is_a_face_model(model):
    assert isinstance(model, FaceModel)
    assert model.name
    assert len(model.sha256) == 64
    assert len(set(model.expression_names)) == len(model.expression_names) > 0
    assert model.faces.dtype == np.int32
    assert model.faces.shape[1] == 3
    assert model.faces.min() >= 0
    assert model.faces.max() < model.n_vertices
    look = model.appearance
    assert look.part_of_face.shape == (len(model.faces),)
    assert look.part_of_face.max() < len(look.part_names)
    if look.uv is not None:
        assert look.uv_faces.shape == model.faces.shape
        assert look.uv_faces.max() < len(look.uv)
        assert 0 <= look.uv.min() <= look.uv.max() <= 1


def test_zero_is_neutral(model):
    """No coefficients, zeros and poses of zero are one and the same face, a head's size."""
    expression = torch.zeros(2, len(model.expression_names))
    plain = model.vertices(torch.zeros(0), expression)
    assert plain.shape == (2, model.n_vertices, 3)
    assert torch.equal(plain[0], plain[1])
    zeros = {name: torch.zeros(2, 6 if name == "eyes_pose" else 3) for name in POSES}
    posed = model.vertices(torch.zeros(model.n_shape), expression, **zeros)
    torch.testing.assert_close(posed, plain, atol=1e-6, rtol=0)  # skinning at rest, a few float32 roundings
    extent = plain[0].max(0).values - plain[0].min(0).values
    assert 0.1 < extent[1] < 0.8


def test_a_batch_is_a_loop(model):
    parameters = random_parameters(model)
    batch = model.vertices(**parameters)
    for t in range(3):
        one = {name: value if name == "shape" else value[t : t + 1] for name, value in parameters.items()}
        torch.testing.assert_close(model.vertices(**one)[0], batch[t], atol=1e-12, rtol=0)
    # A shape for each frame, the same or not.
    shapes = torch.stack([parameters["shape"], 2 * parameters["shape"], 0 * parameters["shape"]])
    several = model.vertices(**{**parameters, "shape": shapes})
    torch.testing.assert_close(several[0], batch[0], atol=1e-12, rtol=0)
    for t in (1, 2):
        expected = model.vertices(**{**parameters, "shape": shapes[t]})[t]
        torch.testing.assert_close(several[t], expected, atol=1e-12, rtol=0)


def test_short_shape_vectors_end_in_zeros(model):
    expression = torch.rand(2, len(model.expression_names), dtype=DOUBLE)
    short = torch.tensor([1.5, -0.5], dtype=DOUBLE)
    whole = torch.zeros(model.n_shape, dtype=DOUBLE)
    whole[:2] = short
    torch.testing.assert_close(model.vertices(short, expression), model.vertices(whole, expression))


def test_float32_and_float64_agree(model):
    """Coordinates of a few metres in float32, after some hundred sums: a few times 1e-6."""
    double = model.vertices(**random_parameters(model))
    single = model.vertices(**random_parameters(model, dtype=torch.float32))
    assert double.dtype == DOUBLE
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), double, atol=1e-5, rtol=0)


def test_the_dtype_is_that_of_the_expression(model):
    parameters = random_parameters(model)
    mixed = {**parameters, "expression": parameters["expression"].float()}
    assert model.vertices(**mixed).dtype == torch.float32


def test_the_world_turns_and_moves_with_the_pose(model):
    parameters = random_parameters(model)
    turn = rotvec_to_rotmat(torch.tensor([0.3, -0.7, 0.2], dtype=DOUBLE))
    shift = torch.tensor([0.1, -0.2, 0.5], dtype=DOUBLE)
    before = model.vertices(**parameters)
    moved = model.vertices(**{**parameters, "translation": parameters["translation"] + shift})
    torch.testing.assert_close(moved, before + shift)
    turned = {
        "rotation": rotmat_to_rotvec(turn @ rotvec_to_rotmat(parameters["rotation"])),
        "translation": parameters["translation"] @ turn.T,
    }
    head = head_vertices(model)
    after = model.vertices(**{**parameters, **turned})
    torch.testing.assert_close(after[:, head], (before @ turn.T)[:, head])


def test_the_world_point_is_turned_then_moved(model):
    """R(rotation) v + translation, as docs/conventions.md says."""
    parameters = random_parameters(model)
    still = {name: value for name, value in parameters.items() if name not in ("rotation", "translation")}
    head = head_vertices(model)
    turns = rotvec_to_rotmat(parameters["rotation"])
    expected = model.vertices(**still) @ turns.transpose(1, 2) + parameters["translation"][:, None]
    torch.testing.assert_close(model.vertices(**parameters)[:, head], expected[:, head])


def test_joints_say_which_poses_have_an_effect(model):
    parameters = random_parameters(model)
    rest = {name: parameters[name] for name in ("shape", "expression")}
    plain = model.vertices(**rest)
    for name, there in {
        "neck_pose": model.joints.neck,
        "jaw_pose": model.joints.jaw,
        "eyes_pose": model.joints.eyes,
    }.items():
        assert torch.equal(model.vertices(**rest, **{name: parameters[name]}), plain) != there, name


@pytest.mark.parametrize("at_rest", [False, True])
def test_gradients_agree_with_finite_differences(model, at_rest):
    """Along a random direction in all arguments at once, also at zero, where angles have no direction of their own.

    Central differences in float64 with step h have an error of h^2 times the third derivative, 1e-10 here, plus
    rounding of 1e-16 / h = 1e-11 of the value: 1e-6 of the derivative is generous and still finds any wrong term.
    """
    names = list(random_parameters(model))
    point = random_parameters(model)
    if at_rest:
        point = {name: torch.zeros_like(value) for name, value in point.items()}
    direction = random_parameters(model, seed=1)
    generator = torch.Generator().manual_seed(2)
    weight = torch.randn(3, model.n_vertices, 3, dtype=DOUBLE, generator=generator)

    def value(step):
        return (model.vertices(**{n: point[n] + step * direction[n] for n in names}) * weight).sum()

    leaves = {name: tensor.clone().requires_grad_() for name, tensor in point.items()}
    (model.vertices(**leaves) * weight).sum().backward()
    slope = 0.0
    for name in names:
        gradient = leaves[name].grad
        if gradient is None:  # a joint that the model lacks
            assert name in ("neck_pose", "jaw_pose", "eyes_pose")
            assert not getattr(model.joints, name.removesuffix("_pose"))
            continue
        assert gradient.isfinite().all(), name
        assert gradient.abs().max() > 0, name
        slope += float((gradient * direction[name]).sum())
    step = 1e-5
    expected = float(value(step) - value(-step)) / (2 * step)
    assert slope == pytest.approx(expected, rel=1e-6)


def test_wrong_numbers_of_coefficients_are_refused(model):
    n = len(model.expression_names)
    with pytest.raises(FaceModelError, match=rf"expression: expected \(T, {n}\), found \(2, {n + 1}\)"):
        model.vertices(torch.zeros(0), torch.zeros(2, n + 1))
    with pytest.raises(FaceModelError, match=f"shape: expected up to {model.n_shape} coefficients"):
        model.vertices(torch.zeros(model.n_shape + 1), torch.zeros(2, n))
    with pytest.raises(FaceModelError, match="shape: expected up to"):
        model.vertices(torch.zeros(3, 1), torch.zeros(2, n))


def test_landmarks_follow_their_triangles(model):
    before = model.landmark_embedding
    embedding = LandmarkEmbedding(
        face=np.array([0, -1, len(model.faces) - 1]),
        barycentric=np.float32([[1, 0, 0], [0, 0, 1], [0.25, 0.25, 0.5]]),
        sigma=np.float32([0.001, np.inf, 0.001]),
        scheme="test",
    )
    try:
        model.landmark_embedding = embedding
        vertices = model.vertices(**random_parameters(model))
        points = model.landmarks(vertices)
    finally:
        model.landmark_embedding = before
    first, last = model.faces[0].tolist(), model.faces[-1].tolist()
    torch.testing.assert_close(points[:, 0], vertices[:, first[0]])
    corners = vertices[:, last]
    torch.testing.assert_close(points[:, 2], 0.25 * corners[:, 0] + 0.25 * corners[:, 1] + 0.5 * corners[:, 2])
    assert points[:, 1].isnan().all()


def test_a_derived_embedding_is_kept_for_this_very_model(tmp_path, flame_path, ict_path):
    embedding = LandmarkEmbedding(
        face=np.array([3, -1]), barycentric=np.float32([[0.2, 0.3, 0.5], [1, 0, 0]]), sigma=np.float32([0.001, np.inf])
    )
    for path, other in ((flame_path, ict_path), (ict_path, flame_path)):
        cache = tmp_path / path.name
        model = load_face_model(path, cache=cache)
        assert model.landmark_embedding is None
        keep_embedding(model, cache)  # nothing to keep yet
        assert load_face_model(path, cache=cache).landmark_embedding is None
        model.landmark_embedding = embedding
        keep_embedding(model, cache)
        found = load_face_model(path, cache=cache).landmark_embedding
        assert found.scheme == "mediapipe478"
        for name in ("face", "barycentric", "sigma"):
            np.testing.assert_array_equal(getattr(found, name), getattr(embedding, name))
            assert getattr(found, name).dtype == getattr(embedding, name).dtype
        assert load_face_model(path).landmark_embedding is None
        assert load_face_model(other, cache=cache).landmark_embedding is None
        # A damaged one is as good as none.
        (kept,) = cache.glob("landmarks-*.npz")
        kept.write_bytes(kept.read_bytes()[:60])
        assert load_face_model(path, cache=cache).landmark_embedding is None


# -- loading ------------------------------------------------------------------------------------------


def test_load_by_name_and_by_path(flame_path, ict_path):
    assert load_face_model().name == "tdmm-head-1"
    assert load_face_model("builtin") is load_face_model("tdmm-head-1")
    assert load_face_model(str(flame_path)).name == "flame-generic-model"
    assert load_face_model(ict_path).name == load_face_model(ict_path / "FaceXModel").name == "ict-facekit"


def test_what_is_no_face_model_is_refused_with_advice(tmp_path, flame_path):
    def refused(path, message):
        with pytest.raises(FaceModelError, match=message) as caught:
            load_face_model(path)
        assert "\n" not in str(caught.value)

    refused("flame", "flame: there is no such face model; give `builtin`, a FLAME file")
    refused(tmp_path / "none.pkl", "there is no such face model")
    refused(tmp_path, r"is a folder, but not one of ICT-FaceKit; expected FaceXModel/generic_neutral_mesh\.obj")
    refused(flame_path.parent, r"is a folder, but not one of ICT-FaceKit; did you mean \S+generic_model\.pkl")
    (tmp_path / "head.obj").write_text("v 0 0 0")
    refused(tmp_path / "head.obj", "is no face model; expected FLAME")
    (tmp_path / "empty.pkl").touch()
    refused(tmp_path / "empty.pkl", "is empty; download it again")
    (tmp_path / "lfs.pkl").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    refused(tmp_path / "lfs.pkl", "is a Git LFS pointer, not the file itself; run: git lfs pull")
    (tmp_path / "junk.pkl").write_text("hello")
    refused(tmp_path / "junk.pkl", "expected a whole pickle, found a damaged one")


def test_importing_the_package_is_light():
    code = (
        "import tdmm.face, sys; print([name for name in ('torch', 'numba', 'scipy', 'numpy') if name in sys.modules])"
    )
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert made.stdout.strip() == "[]"
