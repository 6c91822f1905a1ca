"""Many detectors at once: each process looks at one sequence of pictures at a time, as `fit` looks at a video."""

from __future__ import annotations

import multiprocessing
import os
import queue
import shutil
import tempfile
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import numpy as np
import torch

N_POINTS = 478
# Seconds after which a process that does not answer is taken for dead; the first answer waits for the imports.
PATIENCE = 240.0
_THREADS = "OMP_NUM_THREADS"


@dataclass
class Sightings:
    """What the detector saw of S sequences of T pictures: points (S, T, 478, 2) pixels, found (S, T) bool."""

    points: np.ndarray
    found: np.ndarray


@dataclass
class _Chunk:
    slot: int
    sightings: Sightings
    left: int
    future: Future[Sightings] = field(default_factory=Future)


@dataclass
class _Worker:
    process: Any
    connection: Connection
    task: tuple[_Chunk, int] | None = None
    since: float = 0.0


class DetectorPool:
    """`submit` chunks of pictures, which lie in memory that all processes share; a dead process is replaced.

    shape: (S, T, H, W) of a chunk. slots: chunks that can be waiting or in work at once.
    """

    def __init__(self, n_workers: int, shape: tuple[int, int, int, int], slots: int = 4) -> None:
        self._shape = shape
        self._context = multiprocessing.get_context("spawn")
        self._folder = Path(tempfile.mkdtemp(prefix="fit-prior-", dir=_roomy_place(slots * int(np.prod(shape)) * 3)))
        self._pictures = [
            np.memmap(self._folder / f"{slot}.raw", np.uint8, "w+", shape=(*shape, 3)) for slot in range(slots)
        ]
        self._free: queue.SimpleQueue[int] = queue.SimpleQueue()
        for slot in range(slots):
            self._free.put(slot)
        self._tasks: queue.SimpleQueue[tuple[_Chunk, int]] = queue.SimpleQueue()
        self._workers = [self._start() for _ in range(n_workers)]
        self.deaths = 0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="detector-pool", daemon=True)
        self._thread.start()

    def submit(self, pictures: torch.Tensor) -> Future[Sightings]:
        """Detect in pictures (S, T, H, W, 3) uint8; waits for a free slot. Sequences are independent of one another."""
        slot = self._free.get()
        torch.from_numpy(self._pictures[slot]).copy_(pictures)
        n_sequences, n_frames = self._shape[:2]
        sightings = Sightings(
            np.zeros((n_sequences, n_frames, N_POINTS, 2), np.float32), np.zeros((n_sequences, n_frames), bool)
        )
        chunk = _Chunk(slot, sightings, n_sequences)
        for number in range(n_sequences):
            self._tasks.put((chunk, number))
        return chunk.future

    def close(self) -> None:
        """End the processes and free the shared memory."""
        self._closing.set()
        self._thread.join()
        for worker in self._workers:
            worker.connection.close()  # ends its loop
        for worker in self._workers:
            worker.process.join(5)
            if worker.process.is_alive():
                worker.process.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    # -- the thread that hands out work ----------------------------------------------------------------

    def _start(self) -> _Worker:
        mine, theirs = self._context.Pipe()
        arguments = (theirs, str(self._folder), self._shape)
        process = self._context.Process(target=_work, args=arguments, daemon=True)
        before = os.environ.get(_THREADS)
        os.environ[_THREADS] = "1"  # the new process inherits it, and reads it when it imports
        try:
            process.start()
        finally:
            if before is None:
                del os.environ[_THREADS]
            else:
                os.environ[_THREADS] = before
        theirs.close()
        return _Worker(process, mine, since=time.monotonic())

    def _serve(self) -> None:
        while not self._closing.is_set():
            idle = [worker for worker in self._workers if worker.task is None]
            while idle and not self._tasks.empty():
                worker = idle.pop()
                worker.task, worker.since = self._tasks.get(), time.monotonic()
                chunk, number = worker.task
                try:
                    worker.connection.send((chunk.slot, number))
                except OSError:
                    self._replace(worker)
            busy = {worker.connection: worker for worker in self._workers if worker.task is not None}
            for connection in wait(list(busy), timeout=0.02) if busy else ():
                self._receive(busy[connection])  # type: ignore[index]
            for worker in self._workers:
                if worker.task is not None and time.monotonic() - worker.since > PATIENCE:
                    self._replace(worker)
            if not busy:
                time.sleep(0.005)

    def _receive(self, worker: _Worker) -> None:
        assert worker.task is not None
        chunk, number = worker.task
        try:
            chunk.sightings.points[number], chunk.sightings.found[number] = worker.connection.recv()
        except (EOFError, OSError):
            self._replace(worker)
            return
        worker.task = None
        self._done(chunk)

    def _replace(self, worker: _Worker) -> None:
        """A new process for one that died; its sequence counts as one in which no face was found."""
        self.deaths += 1
        if worker.process.is_alive():
            worker.process.kill()
        worker.connection.close()
        self._workers[self._workers.index(worker)] = self._start()
        if worker.task is not None:
            self._done(worker.task[0])

    def _done(self, chunk: _Chunk) -> None:
        chunk.left -= 1
        if chunk.left == 0:
            self._free.put(chunk.slot)
            chunk.future.set_result(chunk.sightings)


def _work(connection: Connection, folder: str, shape: tuple[int, int, int, int]) -> None:
    """One process: sequences in, points out, until the other end of the pipe is closed."""
    from tdmm.fit.detect import open_detector

    pictures: dict[int, np.ndarray] = {}
    detector = open_detector()
    while True:
        try:
            slot, number = connection.recv()
        except (EOFError, OSError):
            return
        if slot not in pictures:
            pictures[slot] = np.memmap(Path(folder) / f"{slot}.raw", np.uint8, "r", shape=(*shape, 3))
        points = np.zeros((shape[1], N_POINTS, 2), np.float32)
        found = np.zeros(shape[1], bool)
        detector.reset()
        for frame, picture in enumerate(pictures[slot][number]):
            faces = detector.detect(np.asarray(picture), frame / 25)
            if faces:
                points[frame], found[frame] = faces[0].points[:, :2], True
        connection.send((points, found))


def _roomy_place(n_bytes: int) -> str | None:
    """Memory, if the machine shares enough of it, else the usual place for temporary files."""
    shared = Path("/dev/shm")
    if shared.is_dir() and shutil.disk_usage(shared).free > 1.2 * n_bytes:
        return str(shared)
    return None
