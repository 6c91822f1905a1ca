"""Differentiable rendering: pictures forward and backward a second."""

from __future__ import annotations

import time
from importlib.util import find_spec
from statistics import median

import torch

from benchmarks.table import Row
from tdmm.face import load_face_model
from tdmm.motion import DEFAULT_TRANSLATION, default_camera
from tdmm.render.camera import Camera
from tdmm.render.clip import surface_of
from tdmm.render.differentiable import DifferentiableMesh, render_differentiable, style_lights
from tdmm.render.fragments import Rasterizer

SIZE = (256, 256)


def run() -> list[Row]:
    """Rows for this machine's CPU, its GPU where it has one, and pytorch3d's rasteriser where it is built."""
    rows = [
        Row("differentiable 256 x 256, forward + backward", _rate("cpu", 1), "fps", must=35, aim=60),
    ]
    if torch.cuda.is_available():
        name = torch.cuda.get_device_name()
        rows.append(Row("differentiable 256 x 256, batch of 16, GPU", _rate("cuda", 16), "fps", note=name))
    if find_spec("pytorch3d") is None:
        rows.append(
            Row(
                "the same over pytorch3d's rasteriser (CPU)", None, "fps", note="pytorch3d is not built on this machine"
            )
        )
    else:
        from tdmm.render.raster_pytorch3d import rasterize_pytorch3d

        rows.append(
            Row("the same over pytorch3d's rasteriser (CPU)", _rate("cpu", 1, rasterize_pytorch3d, repeats=3), "fps")
        )
    return rows


def _rate(device: str, batch: int, rasterizer: Rasterizer | None = None, repeats: int = 60) -> float:
    """Pictures a second: forward, a squared error, and gradients to vertices, vertex colours and lights."""
    model = load_face_model()
    mesh = DifferentiableMesh.of_surface(surface_of(model, subdivide=False)).to(device)
    expression = torch.zeros(batch, len(model.expression_names))
    translation = torch.tensor(DEFAULT_TRANSLATION).expand(batch, 3)
    vertices = model.vertices(torch.zeros(0), expression, translation=translation).to(device).requires_grad_()
    colours = torch.full((model.n_vertices, 3), 0.5, device=device, requires_grad=True)
    lights = style_lights().to(device).requires_grad_()
    camera = Camera(default_camera(SIZE), SIZE)
    target = torch.rand(batch, *SIZE, 3, generator=torch.Generator().manual_seed(0)).to(device)

    def step() -> float:
        start = time.perf_counter()
        picture = render_differentiable(vertices, mesh, camera, lights, colours=colours, rasterizer=rasterizer)
        (picture.image - target).square().mean().backward()
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    for _ in range(min(repeats, 5)):
        step()
    return batch / median(step() for _ in range(repeats))
