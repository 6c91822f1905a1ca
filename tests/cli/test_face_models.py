"""`--face-model` with a model that does not know its landmarks: derived once, kept, found again by all commands."""

from __future__ import annotations

import functools
import json
import os

import numpy as np
import pytest
import torch

from tdmm.cli import doctor, face_models
from tdmm.face import load_face_model
from tdmm.fit import embedding
from tdmm.io.motion_file import read_motion

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

EXPRESSIONS = ("jawOpen", "mouthSmile_L", "mouthSmile_R")


@pytest.fixture(scope="module")
def ict_folder(tmp_path_factory):
    """The built-in head's skin in the files of ICT-FaceKit: a face that the detector knows, without landmarks."""
    head = load_face_model()
    names = head.expression_names
    weights = torch.zeros(1 + len(EXPRESSIONS), len(names))
    for row, name in enumerate(EXPRESSIONS, start=1):
        weights[row, names.index(name.replace("_L", "Left").replace("_R", "Right"))] = 1
    points = 100 * head.vertices(torch.zeros(0), weights).numpy()  # centimetres
    wider = points[0] * [1.05, 1, 1]
    lines = [
        "usemtl skin",
        "vt 0.5 0.5",
        *("f " + " ".join(f"{corner + 1}/1" for corner in face) for face in head.faces),
    ]
    folder = tmp_path_factory.mktemp("ict") / "FaceXModel"
    folder.mkdir()
    for name, moved in zip(("generic_neutral_mesh", *EXPRESSIONS, "identity000"), [*points, wider], strict=True):
        text = "\n".join([*(f"v {x:.5f} {y:.5f} {z:.5f}" for x, y, z in moved), *lines])
        (folder / f"{name}.obj").write_text(text + "\n")
    (folder / "vertex_indices.json").write_text(json.dumps({"expressions": list(EXPRESSIONS)}))
    return folder.parent


@pytest.fixture
def derivations(monkeypatch) -> list[str]:
    """The names of the models that were derived, on fewer pictures than usual."""
    made: list[str] = []
    derive = functools.partial(embedding.derive_embedding, options=embedding.EmbeddingOptions(pictures=48, size=192))

    def counted(model, **others):
        made.append(model.name)
        return derive(model, **others)

    monkeypatch.setattr(embedding, "derive_embedding", counted)
    return made


def test_landmarks_are_derived_once_and_kept(tdmm, ict_folder, face_clip, tmp_path, monkeypatch, derivations):
    monkeypatch.setenv("TDMM_CACHE", str(tmp_path / "cache"))
    first = tdmm("fit", face_clip, "-o", tmp_path / "first.npz", "--face-model", ict_folder)
    assert first.code == 0, first.stderr
    said = [line for line in first.stderr.splitlines() if "finding where" in line]
    assert len(said) == 1
    assert said[0].startswith("ict-facekit: ")
    assert str(tmp_path / "cache") in said[0]
    assert derivations == ["ict-facekit"]
    motion = read_motion(tmp_path / "first.npz")
    assert (motion.face_model, motion.valid.all()) == ("ict-facekit", True)
    assert motion.meta["fit"]["reprojection_percent"] < 5

    second = tdmm("fit", face_clip, "-o", tmp_path / "second.npz", "--face-model", ict_folder, "--quiet")
    assert (second.code, second.stderr) == (0, "")
    assert len(derivations) == 1
    again = read_motion(tmp_path / "second.npz")
    np.testing.assert_allclose(again.expression, motion.expression, atol=1e-5)

    # The parsed files are there for the other commands: without the OBJ text they still know the model.
    kept = sorted(path.name.split("-")[0] for path in (tmp_path / "cache").iterdir())
    assert kept == ["carry", "ict", "landmarks"]  # carry: the map of what was predicted for the built-in head
    monkeypatch.setattr("tdmm.face.ict.read_mesh", None)
    assert tdmm("info", ict_folder, "--json").json["landmarks"] == 478
    out = tmp_path / "still.png"
    drawn = tdmm("render", tmp_path / "first.npz", "-o", out, "--face-model", ict_folder, "--size", "64")
    assert (drawn.code, out.exists()) == (0, True), drawn.stderr


def test_without_a_cache_that_can_be_written(tdmm, ict_folder, face_clip, tmp_path, monkeypatch, derivations):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("TDMM_CACHE", str(tmp_path / "file" / "cache"))
    outcome = tdmm("fit", face_clip, "-o", tmp_path / "motion.npz", "--face-model", ict_folder, "--verbose")
    assert outcome.code == 0, outcome.stderr
    assert "is not writable" in outcome.stderr
    assert "TDMM_CACHE" in outcome.stderr
    assert len(derivations) == 1
    assert sorted(os.listdir(tmp_path)) == ["file", "motion.npz"]
    (finding,) = doctor.check_cache()
    assert finding.state == "optional"
    assert "TDMM_CACHE" in finding.mend


def test_a_model_at_fault_is_told_once_and_not_for_each_video(tdmm, face_clip, tmp_path):
    outcome = tdmm(
        "fit", face_clip, face_clip.with_name("other.mp4"), "-o", f"{tmp_path}/out/", "--face-model", "none.pkl"
    )
    assert outcome.code == 1
    assert "none.pkl" in outcome.error_line


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"TDMM_CACHE": "/a", "XDG_CACHE_HOME": "/b"}, "/a"),
        ({"XDG_CACHE_HOME": "/b"}, "/b/tdmm"),
        ({"TDMM_CACHE": "", "XDG_CACHE_HOME": "relative"}, "/home/me/.cache/tdmm"),
        ({}, "/home/me/.cache/tdmm"),
    ],
)
def test_the_cache_folder(monkeypatch, variables, expected):
    for name in ("TDMM_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/me")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert str(face_models.cache_folder()) == expected


def test_doctor_says_what_the_cache_holds(monkeypatch, tmp_path):
    monkeypatch.setenv("TDMM_CACHE", str(tmp_path / "cache"))
    assert doctor.check_cache()[0].found == f"0 files, 0.0 MB in {tmp_path / 'cache'}"
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "landmarks-0.npz").write_bytes(bytes(1_500_000))
    assert doctor.check_cache()[0].found == f"1 files, 1.5 MB in {tmp_path / 'cache'}"
