"""Face models for the tests: FLAME and ICT-FaceKit files written here, and the real excerpt where it is."""

import json
from pathlib import Path

import numpy as np
import pytest
from flame_file import flame_2020_bytes, flame_arrays

ICT_SAMPLE = Path(__file__).parents[2].parent / "shared" / "ict-facekit-sample"


@pytest.fixture(scope="session")
def flame_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("flame") / "generic_model.pkl"
    path.write_bytes(flame_2020_bytes(flame_arrays()))
    return path


@pytest.fixture(scope="session")
def ict_path(tmp_path_factory):
    """A pyramid of 30 cm in the layout of ICT-FaceKit: two identities, three expressions."""
    folder = tmp_path_factory.mktemp("ict") / "FaceXModel"
    folder.mkdir()
    random = np.random.default_rng(0)
    neutral = np.array([[-10, -15, -10], [10, -15, -10], [10, -15, 10], [-10, -15, 10], [0, 15, 0.0]])
    names = ["browInnerUp_L", "jawOpen", "mouthSmile_R"]
    for name in ["generic_neutral_mesh", "identity000", "identity001", *names]:
        moved = neutral + (0 if name == "generic_neutral_mesh" else random.normal(size=neutral.shape))
        lines = ["# a comment", "mtllib none.mtl", *(f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in moved)]
        lines += ["vt 0.1 0.2", "vt 1.5 0.2", "vt 1.5 0.9", "vt 0.1 0.9", "usemtl skin"]
        lines += ["f 1/1 2/2 3/3 4/4", *(f"f {a}/1 5/2 {b}/3" for a, b in [(1, 2), (2, 3), (3, 4), (4, 1)])]
        (folder / f"{name}.obj").write_text("\n".join(lines) + "\n")
    (folder / "vertex_indices.json").write_text(json.dumps({"expressions": [*names, "noseSneer_L"]}))
    return folder.parent


@pytest.fixture(scope="session")
def ict_sample():
    if not ICT_SAMPLE.is_dir():
        pytest.skip(f"needs an excerpt of ICT-FaceKit at {ICT_SAMPLE.name} beside the repository, which is not there")
    return ICT_SAMPLE


@pytest.fixture(scope="session", params=["builtin", "flame", "ict", "ict sample"])
def model(request):
    """Every face model there is."""
    from tdmm.face import load_face_model

    places = {"flame": "flame_path", "ict": "ict_path", "ict sample": "ict_sample"}
    if request.param == "builtin":
        return load_face_model()
    return load_face_model(request.getfixturevalue(places[request.param]))
