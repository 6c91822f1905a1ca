"""Frames per second of the CPU renderer, raw and into an mp4 file, against pyrender on OSMesa."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.table import Row
from tdmm.face import load_face_model
from tdmm.io.video import write_video
from tdmm.motion import FaceMotion, make_motion
from tdmm.render import RenderOptions, render
from tdmm.render.clip import prepare

SIDE = 512
N_FRAMES = 200
PEER_FRAMES = 8
REPEATS = 4
OPTIONS = RenderOptions(size=(SIDE, SIDE), view="front", style="skin")


def talking_head(n_frames: int = N_FRAMES) -> FaceMotion:
    """All expressions and the head in motion, the same every time."""
    model = load_face_model()
    rng = np.random.default_rng(0)
    time_ = np.arange(n_frames)[:, None] / 25
    n = len(model.expression_names)
    waves = 0.35 * np.sin(time_ * rng.uniform(2, 8, n) + rng.uniform(0, 6, n)).clip(0)
    turn = np.concatenate([0.1 * np.sin(2 * time_), 0.35 * np.sin(1.3 * time_), 0.08 * np.sin(time_)], axis=1)
    return make_motion(
        waves, model.expression_names, face_model=model.name, face_model_sha256=model.sha256, rotation=turn
    )


def best_rate(clip: Callable[[], int]) -> float:
    """Highest frames per second of `REPEATS` runs of a function that returns how many frames it made."""
    rates = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        n_frames = clip()
        rates.append(n_frames / (time.perf_counter() - started))
    return max(rates)


def pyrender_rates(motion: FaceMotion, options: RenderOptions) -> tuple[float, float] | str:
    """pyrender's frames per second on the same mesh, standing still and moving; or why there are none."""
    stage = prepare(motion, options=options)
    posed = [stage.view.place(vertices, 0) for vertices in stage.vertices(np.arange(PEER_FRAMES))]
    with tempfile.TemporaryDirectory() as folder:
        mesh = Path(folder) / "mesh.npz"
        np.savez(
            mesh,
            vertices=np.stack([stage.painter.surface.refine(vertices) for vertices in posed]),
            faces=stage.painter.surface.faces,
            intrinsics=stage.view.camera.intrinsics,
            side=SIDE,
        )
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.pyrender_peer", str(mesh)], capture_output=True, text=True, check=False
        )
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"status {done.returncode}"
        return f"needs the extra `bench` and apt package libosmesa6: {reason[:80]}"
    still, moving = done.stdout.split()[-2:]
    return float(still), float(moving)


def raw_rows(motion: FaceMotion, options: RenderOptions, what: str, *, bounds: bool) -> list[Row]:
    """Ours, and the peer's on the same mesh: the job is a head that moves; standing still is given beside it.

    The peer draws less: one light, no texture, and no anti-aliased edges where OSMesa has no multisampling.
    """
    for _ in render(motion[:4], options=options):  # compile
        pass
    raw = best_rate(lambda: sum(1 for _ in render(motion, options=options)))
    n_faces = len(load_face_model().faces) * (4 if options.subdivide else 1)
    peer = pyrender_rates(motion, options)
    name = f"{SIDE} x {SIDE}, {what}, {n_faces} triangles"
    if isinstance(peer, str):
        return [Row(f"raw render {name}", raw, "fps", aim=150 if bounds else None, note=peer)]
    still, moving = peer
    must = 4 * moving if bounds else None
    note = f"{raw / moving:.1f} x pyrender on the moving mesh, {raw / still:.1f} x on one that stands still"
    return [
        Row(f"pyrender on OSMesa {name}, moving", moving, "fps"),
        Row(f"pyrender on OSMesa {name}, still", still, "fps"),
        Row(f"raw render {name}, anti-aliased, textured", raw, "fps", must, 150 if bounds else None, note=note),
    ]


def run() -> list[Row]:
    motion = talking_head()

    def to_file() -> int:
        with tempfile.TemporaryDirectory() as folder:
            pictures = render(motion, options=OPTIONS)
            write_video(pictures, Path(folder) / "clip.mp4", pictures.fps)
        return N_FRAMES

    return [
        *raw_rows(motion, OPTIONS, "subdivided", bounds=True),
        *raw_rows(motion, replace(OPTIONS, subdivide=False), "not subdivided", bounds=False),
        Row(f"mp4 end to end {SIDE} x {SIDE}, libx264 veryfast", best_rate(to_file), "fps", must=60, aim=90),
    ]


if __name__ == "__main__":
    for row in run():
        print(f"{row.what}: {row.value} {row.unit} {row.verdict} {row.note}")
