"""The Triton rasteriser: in Triton's interpreter everywhere, on the GPU where there is one."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from tdmm.face import load_face_model
from tdmm.motion import FaceMotion, make_motion
from tdmm.render import RenderOptions, render
from tdmm.render.camera import Camera
from tdmm.render.clip import surface_of
from tdmm.render.differentiable import DifferentiableMesh, render_differentiable, style_lights
from tdmm.render.raster import rasterize

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@pytest.mark.skipif(find_spec("triton") is None, reason="triton is not installed (Linux only)")
def test_kernels_in_the_interpreter_equal_numba() -> None:
    # Its own process: triton reads the variable when the kernels are defined.
    here = Path(__file__).parent
    run = subprocess.run(
        [sys.executable, str(here / "triton_interpreted.py")],
        env={**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.split()[-1] == "same"


def talking_motion(n_frames: int = 12) -> FaceMotion:
    model = load_face_model()
    names = model.expression_names
    expression = np.zeros((n_frames, len(names)), np.float32)
    time = np.arange(n_frames) / n_frames
    expression[:, names.index("jawOpen")] = 0.4 + 0.4 * np.sin(2 * np.pi * time)
    expression[:, names.index("mouthSmileLeft")] = time
    expression[:, names.index("eyeBlinkRight")] = 1 - time
    rotation = np.stack([0.2 * np.sin(6 * time), 0.6 * np.cos(6 * time), 0.1 * time], axis=1).astype(np.float32)
    return make_motion(expression, names, face_model=model.name, face_model_sha256=model.sha256, rotation=rotation)


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize("cull", [True, False])
def test_cuda_fragments_of_the_head_equal_numba(cull: bool) -> None:
    from tdmm.render.raster_triton import rasterize_triton

    motion, model = talking_motion(), load_face_model()
    surface = surface_of(model)
    posed = model.vertices(
        torch.zeros(0),
        torch.from_numpy(motion.expression),
        rotation=torch.from_numpy(motion.rotation),
        translation=torch.from_numpy(motion.translation),
    ).numpy()
    camera = Camera.of_motion(motion, (512, 512))
    xy, depth = camera.project(np.stack([surface.refine(vertices) for vertices in posed]))
    expected = rasterize(xy, depth, surface.faces, camera.image_size, cull)
    assert (expected.face_id >= 0).mean() > 0.15
    tensors = [torch.from_numpy(a).cuda() for a in (xy, depth, surface.faces)]
    for _ in range(3):  # the order of atomics must not matter
        found = rasterize_triton(*tensors, camera.image_size, cull)
        np.testing.assert_array_equal(found.face_id.cpu().numpy(), expected.face_id)
        np.testing.assert_array_equal(found.depth.cpu().numpy(), expected.depth)
        np.testing.assert_allclose(found.barycentric.cpu().numpy(), expected.barycentric, atol=2e-4)


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize("style", ["skin", "clay", "wire", "normals"])
@pytest.mark.parametrize("antialias", [True, False])
def test_rendered_clip_on_cuda_equals_cpu(style: str, antialias: bool) -> None:
    motion = talking_motion()
    options = RenderOptions(size=(256, 256), style=style, antialias=antialias)
    expected = np.stack(list(render(motion, options=options)))
    found = np.stack(list(render(motion, options=options, device="cuda")))
    assert found.shape == expected.shape
    assert (expected != expected[0, 0, 0]).any(-1).mean() > 0.1
    # Both work in float32, in another order: two steps of 255 are rounding, more is another colour.
    off = np.abs(found.astype(int) - expected).max(-1)
    assert (off > 2).mean() < 0.001


@pytest.mark.gpu
@needs_cuda
def test_gradients_on_cuda_equal_cpu() -> None:
    motion, model = talking_motion(), load_face_model()
    mesh = DifferentiableMesh.of_surface(surface_of(model, subdivide=False))
    vertices = model.vertices(
        torch.zeros(0), torch.from_numpy(motion.expression[:2]), translation=torch.from_numpy(motion.translation[:2])
    )
    camera = Camera.of_motion(motion, (128, 128))
    target = torch.linspace(0, 1, 128)[None, :, None, None]
    gradients = []
    for device in ("cpu", "cuda"):
        moved = vertices.detach().clone().to(device).requires_grad_()
        lights = style_lights().to(device).detach().requires_grad_()
        picture = render_differentiable(moved, mesh.to(device), camera, lights)
        ((picture.image - target.to(device)) ** 2).sum().backward()
        gradients.append((moved.grad.cpu(), lights.grad.cpu()))
    for ours, theirs in zip(*gradients, strict=True):
        assert float((ours - theirs).norm() / ours.norm()) < 2e-3
