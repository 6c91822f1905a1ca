"""Frames per second of the CPU renderer, raw and into an mp4 file, against pyrender on OSMesa."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
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


def pyrender_rate(motion: FaceMotion) -> tuple[float | None, str]:
    """pyrender's frames per second on the same refined mesh, standing still; or None and why."""
    stage = prepare(motion, options=OPTIONS)
    placed = stage.view.place(stage.vertices(np.array([0]))[0], 0)
    with tempfile.TemporaryDirectory() as folder:
        mesh = Path(folder) / "mesh.npz"
        np.savez(
            mesh,
            vertices=stage.painter.surface.refine(placed),
            faces=stage.painter.surface.faces,
            intrinsics=stage.view.camera.intrinsics,
            side=SIDE,
        )
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.pyrender_peer", str(mesh)], capture_output=True, text=True, check=False
        )
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"status {done.returncode}"
        return None, f"needs the extra `bench` and apt package libosmesa6: {reason[:80]}"
    return float(done.stdout.split()[-1]), "smooth, textureless, without anti-aliasing, mesh uploaded once"


def run() -> list[Row]:
    motion = talking_head()
    for _ in render(motion[:4], options=OPTIONS):  # compile
        pass
    raw = best_rate(lambda: sum(1 for _ in render(motion, options=OPTIONS)))
    peer, note = pyrender_rate(motion)

    def to_file() -> int:
        with tempfile.TemporaryDirectory() as folder:
            pictures = render(motion, options=OPTIONS)
            write_video(pictures, Path(folder) / "clip.mp4", pictures.fps)
        return N_FRAMES

    mp4 = best_rate(to_file)
    n_faces = len(load_face_model().faces) * 4
    return [
        Row(f"pyrender on OSMesa, {SIDE} x {SIDE}, {n_faces} triangles", peer, "fps", note=note),
        Row(
            f"raw render {SIDE} x {SIDE}, anti-aliased, subdivided, textured",
            raw,
            "fps",
            must=None if peer is None else 4 * peer,
            aim=150,
            note="" if peer is None else f"{raw / peer:.1f} x pyrender",
        ),
        Row(f"mp4 end to end {SIDE} x {SIDE}, libx264 veryfast", mp4, "fps", must=60, aim=90),
    ]


if __name__ == "__main__":
    for row in run():
        print(f"{row.what}: {row.value} {row.unit} {row.verdict} {row.note}")
