"""ICT-FaceKit: a tiny folder written by the tests, and the real excerpt where it is."""

import json
import shutil

import numpy as np
import pytest
import torch
from roma import rotvec_to_rotmat

from tdmm.errors import FaceModelError
from tdmm.face.ict import HALVES, arkit_name, load_ict
from tdmm.face.obj import read_mesh, read_vertices


def slow_vertices(path):
    """The v lines by the plainest means."""
    return np.array([[float(x) for x in line.split()[1:]] for line in open(path) if line.startswith("v ")])


@pytest.fixture
def folder(ict_path, tmp_path):
    """A copy that a test may break."""
    return shutil.copytree(ict_path, tmp_path / "ict") / "FaceXModel"


# -- the tiny folder ----------------------------------------------------------------------------------


def test_the_tiny_model(ict_path):
    model = load_ict(ict_path)
    assert model.name == "ict-facekit"
    assert model.n_vertices == 5
    assert model.n_shape == 2
    # In the order of vertex_indices.json; noseSneer_L has no file.
    assert model.expression_names == ("browInnerUp_L", "jawOpen", "mouthSmileRight")
    assert not model.joints.eyes
    files = ict_path / "FaceXModel"
    neutral = slow_vertices(files / "generic_neutral_mesh.obj") / 100
    weights = {"identity000": 0.5, "identity001": -1.5, "jawOpen": 0.7, "mouthSmile_R": 0.2}
    expected = neutral + sum(w * (slow_vertices(files / f"{name}.obj") / 100 - neutral) for name, w in weights.items())
    found = model.vertices(torch.tensor([0.5, -1.5]), torch.tensor([[0, 0.7, 0.2]]).double())
    np.testing.assert_allclose(found[0], expected, atol=1e-7)  # float32 of 0.2 metres
    assert load_ict(files).sha256 == model.sha256
    # Base of four corners in two triangles, four sides.
    np.testing.assert_array_equal(model.faces[:2], [[0, 1, 2], [0, 2, 3]])
    assert model.faces.shape == (6, 3)
    # Two tiles of texture side by side.
    np.testing.assert_allclose(model.appearance.uv, [[0.05, 0.2], [0.75, 0.2], [0.75, 0.9], [0.05, 0.9]])
    np.testing.assert_array_equal(model.appearance.uv_faces[:3], [[0, 1, 2], [0, 2, 3], [0, 1, 2]])


def test_names_of_arkit():
    assert arkit_name("mouthSmile_L") == "mouthSmileLeft"
    assert arkit_name("eyeLookIn_R") == "eyeLookInRight"
    assert arkit_name("jawLeft") == "jawLeft"
    assert arkit_name("mouthClose") == "mouthClose"
    assert [arkit_name(name) for name in HALVES] == list(HALVES)


def test_every_unit_but_the_halves_has_the_name_of_the_builtin_head(ict_sample):
    from tdmm.face import load_face_model

    names = json.loads((ict_sample / "FaceXModel" / "vertex_indices.json").read_text())["expressions"]
    ours = {arkit_name(name) for name in names} - set(HALVES)
    builtin = set(load_face_model().expression_names)
    assert len(names) == 53
    assert ours <= builtin
    assert builtin - ours == {"browInnerUp", "cheekPuff", "tongueOut"}


def test_a_cache_gives_the_same_and_notices_changes(folder, tmp_path):
    cache = tmp_path / "cache"
    first = load_ict(folder, cache)
    (kept,) = cache.iterdir()
    second = load_ict(folder, cache)
    assert second.sha256 == first.sha256 == load_ict(folder).sha256
    assert second.expression_names == first.expression_names
    np.testing.assert_array_equal(second.appearance.uv_faces, first.appearance.uv_faces)
    # A damaged copy is parsed anew.
    kept.write_bytes(kept.read_bytes()[:100])
    assert load_ict(folder, cache).sha256 == first.sha256
    # A changed model is another one.
    text = (folder / "jawOpen.obj").read_text().replace("v -", "v -1", 1)
    (folder / "jawOpen.obj").write_text(text)
    assert load_ict(folder, cache).sha256 != first.sha256
    # A cache that cannot be written is none.
    (tmp_path / "file").touch()
    assert load_ict(folder, tmp_path / "file").sha256 == load_ict(folder).sha256


# -- broken folders -----------------------------------------------------------------------------------


def test_broken_folders(folder):
    def refused(message):
        with pytest.raises(FaceModelError, match=message) as caught:
            load_ict(folder)
        assert "\n" not in str(caught.value)

    def change(name, old, new):
        before = (folder / name).read_text()
        (folder / name).write_text(before.replace(old, new, 1))
        return before

    before = change("jawOpen.obj", "v ", "# ")
    refused(r"jawOpen\.obj: expected 5 vertices, found 4")
    (folder / "jawOpen.obj").write_text(before)
    before = change("jawOpen.obj", "v ", "v x")
    refused(r"jawOpen\.obj: expected numbers in its v lines, found could not convert")
    (folder / "jawOpen.obj").write_text(before)
    before = change("jawOpen.obj", "v ", "v nan nan nan\nv ")
    refused(r"jawOpen\.obj: expected 3 finite numbers in each of its v lines")
    (folder / "jawOpen.obj").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    refused(r"jawOpen\.obj: is a Git LFS pointer, not the file itself; run: git lfs pull")
    (folder / "jawOpen.obj").write_text("")
    refused(r"jawOpen\.obj: is empty; download it again")
    (folder / "jawOpen.obj").write_text(before)

    neutral = "generic_neutral_mesh.obj"
    before = change(neutral, "f 1/1 2/2", "f 1/1 9/2")
    refused(f"{neutral}: expected polygons of 5 vertices, found others")
    (folder / neutral).write_text(before.replace("f 1/1 2/2 3/3", "f a b c"))
    refused(f"{neutral}: expected corners of numbers, found 'f a b c")
    (folder / neutral).write_text("\n".join(line for line in before.splitlines() if not line.startswith("f ")))
    refused(rf"{neutral}: expected polygons \(f lines\), found none")
    (folder / neutral).write_text(before.replace("-15.000", "-15000."))
    refused(f"{neutral}: expected a head in centimetres, found one of 150 metres")
    (folder / neutral).write_text(before)

    index = (folder / "vertex_indices.json").read_text()
    (folder / "vertex_indices.json").write_text("{")
    refused(r"vertex_indices\.json: expected JSON with a list of expressions")
    (folder / "vertex_indices.json").write_text('{"expressions": ["smile"]}')
    refused("expected an OBJ file for each expression of vertex_indices.json, found none")
    (folder / "vertex_indices.json").unlink()
    refused(r"vertex_indices\.json: there is no such file")
    (folder / "vertex_indices.json").write_text(index)

    (folder / "identity000.obj").unlink()
    refused(r"expected identity000\.obj, found identity001\.obj")
    (folder / neutral).unlink()
    refused("expected ICT-FaceKit's generic_neutral_mesh.obj in it or in FaceXModel, found none")


def test_obj_corners_with_and_without_texture(tmp_path):
    path = tmp_path / "mesh.obj"
    path.write_text(
        "v 0 0 0 1 0 0\r\nv 1 0 0 1 0 0\r\nv 1 1 0 1 0 0\r\nv 0 1 0 1 0 0\r\nvn 0 0 1\r\nf 1//1 2//1 3 4\r\n"
    )
    vertices, uv, triangles = read_mesh(path)
    np.testing.assert_array_equal(vertices, [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    np.testing.assert_array_equal(read_vertices(path), vertices)
    assert uv.shape == (0, 2)
    assert triangles.uv is None
    np.testing.assert_array_equal(triangles.vertex, [[0, 1, 2], [0, 2, 3]])
    np.testing.assert_array_equal(triangles.polygon, [0, 0])


# -- the real excerpt ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sample(ict_sample):
    return load_ict(ict_sample)


def rest(model):
    return model.vertices(torch.zeros(0), torch.zeros(1, len(model.expression_names)))[0].numpy()


def moved(model, name):
    """Where an expression moves vertices by a tenth of its most: their mean place at rest, and mean displacement."""
    weights = torch.zeros(1, len(model.expression_names))
    weights[0, model.expression_names.index(name)] = 1
    before = rest(model)
    step = model.vertices(torch.zeros(0), weights)[0].numpy() - before
    length = np.linalg.norm(step, axis=1)
    far = length > 0.1 * length.max()
    return before[far].mean(0), step[far].mean(0)


def test_the_real_excerpt_is_a_head_in_metres_in_our_axes(sample):
    assert sample.n_vertices == 26719
    assert sample.n_shape == 2
    assert sample.expression_names == ("eyeBlinkLeft", "jawOpen", "mouthSmileLeft", "mouthSmileRight")
    vertices = rest(sample)
    assert 0.2 < np.ptp(vertices[:, 1]) < 0.4  # a head with its neck
    # Subject's left is +x, up +y, out of the face +z.
    place, step = moved(sample, "eyeBlinkLeft")
    assert place[0] > 0.02
    assert place[2] > 0.08
    place, step = moved(sample, "mouthSmileLeft")
    assert place[0] > 0.01
    assert step[1] > 0
    assert moved(sample, "mouthSmileRight")[0][0] < -0.01
    place, step = moved(sample, "jawOpen")
    assert abs(place[0]) < 0.001
    assert step[1] < -0.005


def test_parts_of_the_real_excerpt(sample):
    names, part = sample.appearance.part_names, sample.appearance.part_of_face
    centers = rest(sample)[sample.faces].mean(1)
    of = lambda name: centers[part == names.index(name)]  # noqa: E731
    assert len(part) == len(sample.faces) == len(sample.appearance.uv_faces)
    for name in names:
        assert len(of(name)) > 50, name
    for name in ("sclera", "iris", "pupil"):  # around both eyes, 3 cm to each side
        assert np.abs(np.abs(of(name)[:, 0]) - 0.031).max() < 0.03, name
        assert abs(of(name)[:, 0].mean()) < 1e-3, name
    # The pupil in the middle of the iris, the iris 11.8 mm across, nothing drawn before them.
    iris, pupil, sclera = (of(name)[of(name)[:, 0] > 0] for name in ("iris", "pupil", "sclera"))
    assert np.linalg.norm((iris.mean(0) - pupil.mean(0))[:2]) < 1e-3
    assert np.ptp(iris[:, 1]) == pytest.approx(0.0118, abs=0.001)
    assert pupil[:, 2].min() > iris[:, 2].mean() > sclera[:, 2].max() - 0.003
    before = np.linalg.norm((centers - pupil.mean(0))[:, :2], axis=1) < 0.002
    assert part[before][centers[before, 2].argmax()] == names.index("pupil")
    for name in ("teeth", "gums", "mouth"):  # below the eyes
        assert of(name)[:, 1].mean() < 0, name
    assert sample.appearance.uv.min() >= 0
    assert sample.appearance.uv.max() <= 1


def test_faces_of_the_real_excerpt_look_outward(sample):
    """Signed volumes are positive for what is seen from outside; the inside of the mouth is seen from within."""
    vertices, part = rest(sample).astype(np.float64), sample.appearance.part_of_face
    for number, name in enumerate(sample.appearance.part_names):
        a, b, c = (vertices[sample.faces[part == number][:, corner]] for corner in range(3))
        middle = (a + b + c).mean(0) / 3
        volume = np.einsum("ij,ij->", a - middle, np.cross(b - middle, c - middle)) / 6
        assert (volume > 0) == (name != "mouth") or name in ("iris", "pupil", "sclera"), name


def test_eyes_of_the_real_excerpt_turn_about_their_centres(sample):
    neutral = torch.zeros(2, 4, dtype=torch.float64)
    shape = torch.tensor([1.0, -1.0], dtype=torch.float64)
    before = sample.vertices(shape, neutral)[0]
    # Two turns about different axes have one fixed point in common.
    pose = torch.tensor([[0.1, 0.3, 0, -0.2, 0.1, 0], [0.3, 0, 0, 0.3, 0, 0]], dtype=torch.float64)
    after = sample.vertices(shape, neutral, eyes_pose=pose)
    still = torch.ones(26719, dtype=torch.bool)
    for side, (start, sclera, stop) in enumerate([(21451, 22221, 23021), (23021, 23791, 24591)]):
        still[start:stop] = False
        turns = rotvec_to_rotmat(pose[:, 3 * side : 3 * side + 3])
        shift = after[:, start:stop] - before[start:stop] @ turns.transpose(1, 2)
        assert (shift - shift[:, :1]).abs().max() < 1e-7  # rigid
        system = (torch.eye(3, dtype=torch.float64) - turns).flatten(0, 1)
        center = torch.linalg.lstsq(system, shift[:, 0].flatten()[:, None]).solution[:, 0]
        # From there the eyeball is round: in the mean face 16.7 mm to the cornea, 14.5 mm where it is flattest.
        distance = (before[start:sclera] - center).norm(dim=1)
        assert distance.max() / distance.min() < 1.2
        assert 0.014 < distance.median() < 0.017
        # Looking to the subject's left moves the pupil to +x.
        front = before[start:stop, 2].argmax() + start
        assert after[0, front, 0] > before[front, 0]
    assert torch.equal(after[0, still], before[still])
