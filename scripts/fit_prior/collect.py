"""Render, detect, cut out: shards of what the network learns from.

A shard holds the takes of one seed: crops as `fit` cuts them, the detector's points, and the truth. The GPU draws the
next pictures while processes on all cores look at the last ones.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from roma import rotvec_to_rotmat
from safetensors.torch import save_file

from tdmm.face import load_face_model
from tdmm.fit.crops import CUTS, cut_out_batch, place_crops, upright

from .pool import DetectorPool, Sightings
from .studio import Studio
from .takes import Takes, draw_takes, head_controls

# Seeds of what the training is judged by while it runs; the tests' own begin at `takes.TEST_SEEDS`.
HELD_SEEDS = 900_000
CROP_NAMES = tuple(name.replace(" ", "_") for name in CUTS)
# Frames whose crops are cut at once, for memory.
BLOCK = 256
MOST_DEATHS = 50
# Shards that may wait to be written: their pictures are still on the GPU.
BEHIND = 8


@dataclass(frozen=True)
class CollectOptions:
    """folder: where the shards go; those that are there are kept. sequences, frames: of a shard. side: pixels.

    minutes: after which no further shard is begun. workers: detector processes.
    """

    folder: Path
    device: str = "cuda"
    sequences: int = 16
    frames: int = 48
    side: int = 320
    workers: int = 15
    minutes: float = 1e9


def shard_path(folder: Path, seed: int) -> Path:
    """The file of the takes of one seed."""
    return folder / f"takes-{seed:07d}.safetensors"


def collect(seeds: Iterable[int], options: CollectOptions) -> int:
    """Make the shards of these seeds, in order, until the time is up; the number of shards that were made."""
    begun = time.monotonic()
    options.folder.mkdir(parents=True, exist_ok=True)
    wanted = deque(seed for seed in seeds if not shard_path(options.folder, seed).exists())
    if not wanted:
        return 0
    shape = (options.sequences, options.frames, options.side, options.side)
    pool = DetectorPool(options.workers, shape)
    with ThreadPoolExecutor(1) as drawing, ThreadPoolExecutor(1) as handing, ThreadPoolExecutor(3) as writing:
        try:
            return _collect(wanted, options, pool, drawing, handing, writing, begun + 60 * options.minutes)
        finally:
            pool.close()


def _collect(
    wanted: deque[int],
    options: CollectOptions,
    pool: DetectorPool,
    drawing: ThreadPoolExecutor,
    handing: ThreadPoolExecutor,
    writing: ThreadPoolExecutor,
    end: float,
) -> int:
    studio = Studio(options.device, options.side)
    draw = lambda seed: drawing.submit(draw_takes, seed, options.sequences, options.frames)  # noqa: E731
    ahead = deque((seed, draw(seed)) for seed in (wanted.popleft() for _ in range(min(3, len(wanted)))))
    waiting: deque[tuple[int, Takes, Any, Future[Future[Sightings]]]] = deque()
    written: list[Future[None]] = []
    begun = shown = time.monotonic()
    pictures = found = 0
    rendering = waited = 0.0
    while ahead or waiting:
        while ahead and len(waiting) < 3 and time.monotonic() < end:
            seed, takes = ahead.popleft()
            if wanted:
                ahead.append((wanted[0], draw(wanted.popleft())))
            start = time.monotonic()
            shots = studio.shoot(takes.result(), seed)
            job = handing.submit(pool.submit, shots.images.unflatten(0, (options.sequences, options.frames)))
            rendering += time.monotonic() - start
            waiting.append((seed, takes.result(), shots, job))
        if not waiting:
            break
        seed, drawn, shots, job = waiting.popleft()
        start = time.monotonic()
        sightings = job.result().result()
        waited += time.monotonic() - start
        if pool.deaths > MOST_DEATHS:
            raise SystemExit(f"{pool.deaths} detector processes died; does mediapipe load here?")
        path = shard_path(options.folder, seed)
        written.append(writing.submit(_finish, drawn, shots, sightings, options.side, path))
        if len(written) > BEHIND:
            written[-BEHIND].result()
        pictures += sightings.found.size
        found += int(sightings.found.sum())
        now = time.monotonic()
        if now - shown > 10 or not (ahead or waiting):
            shown = now
            print(
                f"collect: {pictures} pictures, {found / pictures:.1%} with a face, {pictures / (now - begun):.0f} a "
                f"second (drawn in {rendering:.0f} s, waited {waited:.0f} s for detectors, {pool.deaths} died)",
                flush=True,
            )
    for future in written:
        future.result()
    return len(written)


def shard_of(takes: Takes, shots: Any, sightings: Sightings, side: int) -> dict[str, torch.Tensor]:
    """Everything that is kept of S takes of T frames, on the CPU, by name; leading axes (S, T)."""
    n_sequences, n_frames = sightings.found.shape
    device = shots.images.device
    points = torch.as_tensor(sightings.points).flatten(0, 1).to(device)
    blocks = []
    for start in range(0, len(points), BLOCK):
        seen = points[start : start + BLOCK]
        places = place_crops(seen, upright(seen))
        blocks.append(cut_out_batch(shots.images[start : start + BLOCK], places).parts())
    tensors = {name: torch.cat(parts) for name, parts in zip(CROP_NAMES, zip(*blocks, strict=True), strict=True)}
    tensors["visible"] = shots.visible
    shard = {name: value.unflatten(0, (n_sequences, n_frames)).cpu() for name, value in tensors.items()}
    for name in ("controls", "shape", "rotation", "translation", "focal", "fps", "kind"):
        shard[name] = torch.as_tensor(np.ascontiguousarray(getattr(takes, name)))
    shard["points"] = torch.as_tensor(sightings.points)
    shard["found"] = torch.as_tensor(sightings.found)
    shard["side"] = torch.tensor(side)
    shard["projected"] = true_landmarks(takes, side)
    return shard


def true_landmarks(takes: Takes, side: int) -> torch.Tensor:
    """(S, T, 478, 2) pixels at which the head's own landmarks appear."""
    head = load_face_model()
    rows = []
    with torch.inference_mode():
        basis = landmark_basis()
        shapes = torch.as_tensor(takes.shape, dtype=torch.float32)
        neutral = head.landmarks(head.vertices(shapes, torch.zeros(len(shapes), len(head.expression_names))))
        for number in range(len(takes)):
            moved = torch.einsum("tc,clx->tlx", torch.as_tensor(takes.controls[number]), basis)
            turn = rotvec_to_rotmat(torch.as_tensor(takes.rotation[number]))
            posed = (neutral[number] + moved) @ turn.mT + torch.as_tensor(takes.translation[number])[:, None]
            focal = float(takes.focal[number]) * side
            flat = posed[..., :2] * torch.tensor([1.0, -1.0]) / -posed[..., 2:]
            rows.append(focal * flat + side / 2)
    return torch.stack(rows)


@lru_cache(maxsize=1)
def landmark_basis() -> torch.Tensor:
    """(C, 478, 3) metres by which each control moves the built-in head's landmarks."""
    head, to_expression = load_face_model(), torch.as_tensor(head_controls().to_expression)
    values = torch.cat([torch.zeros_like(to_expression[:1]), to_expression])
    points = head.landmarks(head.vertices(torch.zeros(0), values))
    return points[1:] - points[:1]


def _finish(takes: Takes, shots: Any, sightings: Sightings, side: int, path: Path) -> None:
    shard = shard_of(takes, shots, sightings, side)
    temporary = path.with_suffix(".new")
    save_file(shard, temporary)
    temporary.replace(path)
