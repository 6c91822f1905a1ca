"""Every rasteriser behind the one interface, against the slow twin."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from shapes import soup, sphere

from tdmm.errors import MissingPartError
from tdmm.motion import default_camera
from tdmm.render.backends import choose_rasterizer, rasterize_numba
from tdmm.render.camera import Camera
from tdmm.render.fragments import Rasterizer
from tdmm.render.raster_pytorch3d import rasterize_pytorch3d
from tdmm.render.reference import rasterize_slowly


@pytest.fixture(params=["numba", "triton", "pytorch3d"])
def backend(request: pytest.FixtureRequest) -> Iterator[tuple[Rasterizer, str, float]]:
    """A rasteriser, its device, and the share of pixels in which it may differ from the twin."""
    if request.param == "numba":
        yield rasterize_numba, "cpu", 0.0
    elif request.param == "triton":
        if not torch.cuda.is_available():
            pytest.skip("no CUDA device; test_triton.py runs these kernels in Triton's interpreter")
        yield choose_rasterizer("cuda"), "cuda", 0.0
    else:
        pytest.importorskip("pytorch3d", reason="pytorch3d is built from source by those who want it")
        # It computes edges in float32 and has no top-left rule.
        yield rasterize_pytorch3d, "cuda" if torch.cuda.is_available() else "cpu", 0.002


@pytest.mark.parametrize("cull", [True, False])
@pytest.mark.parametrize("image_size", [(33, 47), (48, 31)])
def test_backend_equals_slow_twin(backend: tuple[Rasterizer, str, float], image_size, cull: bool) -> None:
    rasterizer, device, allowed = backend
    scenes = [soup(np.random.default_rng(seed), 40, image_size) for seed in (1, 2)]
    faces = scenes[0][2]
    xy, depth = np.stack([scene[0] for scene in scenes]), np.stack([scene[1] for scene in scenes])
    depth[1, faces[3, 1]] = -0.5  # a triangle that reaches behind the camera
    found = rasterizer(*(torch.from_numpy(a).to(device) for a in (xy, depth, faces)), image_size, cull)
    for i in range(2):
        slow = rasterize_slowly(xy[i], depth[i], faces, image_size, cull)
        face_id = found.face_id[i].cpu().numpy()
        assert face_id.dtype == np.int32
        assert not (face_id == 3).any() or i == 0
        same = face_id == slow.face_id
        assert (~same).mean() <= allowed
        assert (slow.face_id >= 0).mean() > 0.05
        np.testing.assert_allclose(found.barycentric[i].cpu().numpy()[same], slow.barycentric[same], atol=1e-3)
        np.testing.assert_allclose(found.depth[i].cpu().numpy()[same], slow.depth[same], rtol=1e-5)


def test_backend_draws_a_batch_of_balls(backend: tuple[Rasterizer, str, float]) -> None:
    rasterizer, device, allowed = backend
    vertices, faces = sphere(rings=12, sectors=20)
    camera = Camera(default_camera((40, 64)), (40, 64))
    placed = np.stack([vertices + np.float32((x, 0.01, -0.75)) for x in (-0.05, 0.0, 0.12)])
    xy, depth = camera.project(placed)
    found = rasterizer(*(torch.from_numpy(a).to(device) for a in (xy, depth, faces)), camera.image_size)
    for i in range(3):
        slow = rasterize_slowly(xy[i], depth[i], faces, camera.image_size)
        assert (found.face_id[i].cpu().numpy() != slow.face_id).mean() <= allowed


def test_the_device_chooses() -> None:
    assert choose_rasterizer("cpu") is rasterize_numba
    with pytest.raises(MissingPartError, match="no rasteriser for device meta"):
        choose_rasterizer("meta")
    if not torch.cuda.is_available():
        with pytest.raises(MissingPartError, match="no CUDA device"):
            choose_rasterizer("cuda")


def test_missing_pytorch3d_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pytorch3d", None)
    monkeypatch.setitem(sys.modules, "pytorch3d.renderer.mesh.rasterize_meshes", None)
    with pytest.raises(MissingPartError, match="build it from source"):
        rasterize_pytorch3d(torch.zeros(1, 3, 2), torch.ones(1, 3), torch.tensor([[0, 1, 2]]), (4, 4))
