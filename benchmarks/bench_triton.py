"""The Triton rasteriser and whole pictures on a GPU, with pytorch3d's rasteriser beside them where it is built."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from statistics import median

import numpy as np
import torch

from benchmarks.table import Row
from tdmm.face import load_face_model
from tdmm.motion import DEFAULT_TRANSLATION, default_camera
from tdmm.render.camera import Camera
from tdmm.render.clip import surface_of
from tdmm.render.drawing import Painter
from tdmm.render.fragments import Rasterizer
from tdmm.render.styles import STYLES
from tdmm.render.torch_geometry import project

SIZE = (512, 512)
BATCH = 64
WHAT = "Triton rasteriser, 512 x 512, batch of 64"


def run() -> list[Row]:
    """Pictures a second of the rasteriser on the built-in head, and of finished pictures."""
    if not torch.cuda.is_available():
        return [Row(WHAT, None, "fps", must=3000, aim=10000, note="no CUDA device on this machine")]
    from tdmm.render.raster_triton import rasterize_triton
    from tdmm.render.torch_drawing import BatchPainter

    name = torch.cuda.get_device_name()
    vertices = _heads()
    camera = Camera(default_camera(SIZE), SIZE)
    rows = []
    for subdivide, must, aim in ((False, 3000, 10000), (True, None, None)):
        surface = surface_of(load_face_model(), subdivide)
        refined = np.stack([surface.refine(v) for v in vertices])
        faces = torch.from_numpy(surface.faces).cuda()
        xy, depth = project(torch.from_numpy(refined).cuda(), camera)
        note = f"{len(faces)} triangles, {name}"
        what = WHAT + (", subdivided" if subdivide else "")
        rows.append(Row(what, _rasteriser_rate(rasterize_triton, xy, depth, faces), "fps", must, aim, note=note))
        if find_spec("pytorch3d") is not None:
            from tdmm.render.raster_pytorch3d import rasterize_pytorch3d

            rate = _rasteriser_rate(rasterize_pytorch3d, xy, depth, faces)
            rows.append(Row(what.replace("Triton", "pytorch3d"), rate, "fps", note=note))
    painter = BatchPainter(Painter(surface_of(load_face_model()), STYLES["skin"]), "cuda")
    heads = torch.from_numpy(vertices).cuda()
    seconds = _seconds(lambda: painter.paint(heads[: BATCH // 2], camera), repeats=10)
    what = "finished pictures on the GPU, 512 x 512, anti-aliased, subdivided, shaded"
    rows.append(Row(what, BATCH // 2 / seconds, "fps", note=name))
    return rows


def _heads() -> np.ndarray:
    """Vertices (BATCH, V, 3) of talking, turning heads."""
    model = load_face_model()
    time = torch.arange(BATCH) / BATCH
    expression = torch.zeros(BATCH, len(model.expression_names))
    expression[:, model.expression_names.index("jawOpen")] = 0.5 + 0.5 * torch.sin(40 * time)
    rotation = torch.stack([0.2 * torch.sin(9 * time), 0.8 * torch.sin(5 * time), 0.1 * time], dim=1)
    translation = torch.tensor(DEFAULT_TRANSLATION).expand(BATCH, 3)
    return model.vertices(torch.zeros(0), expression, rotation=rotation, translation=translation).numpy()


def _rasteriser_rate(rasterizer: Rasterizer, xy: torch.Tensor, depth: torch.Tensor, faces: torch.Tensor) -> float:
    # Four sets of coordinates in turn, so that one run does not find the last one's data in the cache.
    sets = [(xy + shift, depth.clone()) for shift in (0.0, 0.3, -0.7, 1.1)]
    turn = iter(range(1 << 30))

    def draw() -> None:
        pixels, metres = sets[next(turn) % len(sets)]
        rasterizer(pixels, metres, faces, SIZE, True)

    return len(xy) / _seconds(draw)


def _seconds(work: Callable[[], object], repeats: int = 40) -> float:
    """Median seconds of work on the GPU, by its own clock."""
    for _ in range(5):
        work()
    events = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(repeats)]
    for start, end in events:
        start.record()
        work()
        end.record()
    torch.cuda.synchronize()
    return median(start.elapsed_time(end) for start, end in events) / 1000
