"""Run by test_triton.py with TRITON_INTERPRET=1: the Triton kernels on the CPU. Prints `same` when all agree."""

from __future__ import annotations

import sys

import numpy as np
import torch
from shapes import soup, sphere

from tdmm.motion import default_camera
from tdmm.render import raster_triton
from tdmm.render.camera import Camera
from tdmm.render.drawing import Painter
from tdmm.render.raster import rasterize
from tdmm.render.styles import STYLES
from tdmm.render.surface import prepare_surface
from tdmm.render.torch_drawing import BatchPainter


def fragments_are_equal_to_the_bit() -> None:
    image_size = (23, 37)
    scenes = [soup(np.random.default_rng(seed), 50, image_size) for seed in (5, 6)]
    xy, depth, faces = np.stack([s[0] for s in scenes]), np.stack([s[1] for s in scenes]), scenes[0][2].copy()
    xy[0, :60] = np.round(xy[0, :60] * 2) / 2  # corners and edges on pixel centres
    faces[40:] = faces[:10]  # the same triangles again: the lower index must win
    depth[1, 3], xy[1, 8] = -1.0, np.nan
    xy[1, 12] = 1e30
    for cull in (True, False):
        expected = rasterize(xy, depth, faces, image_size, cull)
        found = raster_triton.rasterize_triton(
            torch.from_numpy(xy), torch.from_numpy(depth), torch.from_numpy(faces), image_size, cull
        )
        assert (expected.face_id >= 0).mean() > 0.1
        np.testing.assert_array_equal(found.face_id.numpy(), expected.face_id)
        # The CPU code may order the products of the barycentrics otherwise.
        np.testing.assert_allclose(found.barycentric.numpy(), expected.barycentric, atol=2e-4)
        np.testing.assert_array_equal(found.depth.numpy(), expected.depth)


def shaded_pictures_are_the_same() -> None:
    vertices, faces = sphere(rings=10, sectors=14)
    parts = (np.arange(len(faces)) % 7 == 0).astype(np.uint8)
    surface = prepare_surface(faces, len(vertices), part_names=("skin", "lashes"), part_of_face=parts, subdivide=False)
    camera = Camera(default_camera((32, 40)), (32, 40))
    placed = np.stack([vertices + np.float32([0.02 * i, 0, -0.8]) for i in range(2)])
    painter = Painter(surface, STYLES["skin"])
    painted = np.stack([painter.paint(v, camera) for v in placed])
    batch = BatchPainter(painter, "cpu", raster_triton.rasterize_triton).paint(torch.from_numpy(placed), camera).numpy()
    assert (painted != painted[0, 0, 0]).any(-1).mean() > 0.2
    off = np.abs(batch.astype(int) - painted).max(-1)
    assert (off > 2).mean() < 0.001, f"{(off > 2).mean():.3%} of the pixels differ"


if __name__ == "__main__":
    # Few large programs: the interpreter pays by the program.
    raster_triton.TRIANGLES, raster_triton.PIXELS = 64, 2048
    fragments_are_equal_to_the_bit()
    shaded_pictures_are_the_same()
    sys.stdout.write("same")
