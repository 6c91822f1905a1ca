"""The built-in head: milliseconds to load it, and to pose a clip of 200 frames."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import torch

from benchmarks.table import Row
from tdmm.face.builtin import BuiltinHead, read_head_data

N_FRAMES = 200


def run() -> list[Row]:
    """Rows for loading, for expressions alone, and for expressions with head pose and gaze."""
    head = BuiltinHead(read_head_data())
    generator = torch.Generator().manual_seed(0)
    shape = torch.randn(head.n_shape, generator=generator)
    expression = torch.rand(N_FRAMES, len(head.expression_names), generator=generator)
    pose = {
        "rotation": 0.2 * torch.randn(N_FRAMES, 3, generator=generator),
        "translation": 0.1 * torch.randn(N_FRAMES, 3, generator=generator),
    }
    eyes = {"eyes_pose": 0.1 * torch.randn(N_FRAMES, 6, generator=generator)}
    note = f"{head.n_vertices} vertices, {torch.get_num_threads()} threads"
    with torch.no_grad():
        return [
            Row(
                "built-in head, load",
                _milliseconds(lambda: BuiltinHead(read_head_data())),
                "ms",
                must=100,
                aim=30,
                higher_is_better=False,
            ),
            Row(
                "built-in head, 200 frames forward",
                _milliseconds(lambda: head.vertices(shape, expression, **pose)),
                "ms",
                must=25,
                aim=15,
                higher_is_better=False,
                note=note + ", with head pose",
            ),
            Row(
                "the same with gaze",
                _milliseconds(lambda: head.vertices(shape, expression, **pose, **eyes)),
                "ms",
                higher_is_better=False,
            ),
            Row(
                "the same without any pose",
                _milliseconds(lambda: head.vertices(shape, expression)),
                "ms",
                higher_is_better=False,
            ),
        ]


def _milliseconds(call: Callable[[], object], repeats: int = 30) -> float:
    """Median time of a call after a first one that does not count."""
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1000 * median(times)
