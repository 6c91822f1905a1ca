"""The engine for one machine and several processes: a worker that dies takes only its item with it."""

from __future__ import annotations

import gc
import multiprocessing
import os
import pickle
import signal
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from tdmm.engine.cores import thread_limits, usable_cores
from tdmm.engine.run import Engine
from tdmm.engine.work import Answer, attempt, load
from tdmm.errors import TdmmError, WorkerError

Item = TypeVar("Item")
Result = TypeVar("Result")

# Seconds that workers have to clean up after Ctrl-C before they are killed.
PATIENCE = 1.5
# So many workers in a row that die before they are ready: none will ever be.
FAILED_STARTS = 3
_GONE = (EOFError, ConnectionError)


def in_processes(workers: int | None = None, *, environment: Mapping[str, str] | None = None) -> Engine:
    """An engine of `workers` processes (None: one a usable core) that are started fresh ("spawn").

    Each worker gets the work once, pickled, and loads what that needs (`LoadedOnce`) before its first item; then items
    go to whichever worker is free. A worker that dies fails the item it had, with a `WorkerError` that says how, and is
    replaced. An exception other than `TdmmError` is raised here, with the worker's traceback as its cause. Ctrl-C, or
    giving up the iteration, interrupts the workers; they have a moment to remove unfinished files, then are killed.

    environment: variables set in each worker before it imports anything of the work; by default the worker's share of
        the cores for the libraries that use threads, so that workers do not fight for cores.
    As always with "spawn", a script that uses this needs `if __name__ == "__main__":` around what it runs.
    """
    count = usable_cores() if workers is None else workers
    if count < 1:
        raise TdmmError(f"workers: expected a positive number, found {count}")

    def engine(
        work: Callable[[Item], Result], items: Sequence[Item]
    ) -> Generator[tuple[int, Result | TdmmError], None, None]:
        if not items:
            return
        n = min(count, len(items))
        crew = _Crew(work, n, dict(thread_limits(n) if environment is None else environment))
        try:
            yield from crew.run(items)
        except BaseException:
            crew.interrupt()
            raise
        finally:
            crew.dismiss()

    return engine


class _Worker:
    """A process, our end of the pipe to it, and the index of the item that it has."""

    def __init__(self, work: Callable[[Any], Any], environment: dict[str, str]) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, environment), daemon=True)
        with _interrupts_wait():
            self.process.start()
        theirs.close()  # so that the pipe ends when the worker does
        self.ready = False
        self.item: int | None = None
        with suppress(*_GONE):  # a worker that is gone by now is found by its pipe
            self.pipe.send(work)

    @property
    def busy(self) -> bool:
        """Whether an answer is to come: it loads, or has an item."""
        return not self.ready or self.item is not None

    def how_it_died(self) -> str:
        self.process.join(PATIENCE)
        code = self.process.exitcode
        if code is None:
            self.process.kill()
            return "it closed its pipe"
        if code >= 0:
            return f"exit code {code}"
        name = signal.Signals(-code).name
        if name == "SIGKILL":
            return "SIGKILL: out of memory, perhaps; fewer workers need less"
        return name


class _Crew:
    """The workers of one run."""

    def __init__(self, work: Callable[[Any], Any], count: int, environment: dict[str, str]) -> None:
        self._work, self._environment = work, environment
        self._failed_starts = 0
        self._workers: list[_Worker] = []
        try:
            for _ in range(count):
                self._hire()
        except BaseException:
            self.interrupt()
            self.dismiss()
            raise

    def _hire(self) -> None:
        self._workers.append(_Worker(self._work, self._environment))

    def run(self, items: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """Hand out the items and collect the answers until all are through."""
        waiting = iter(range(len(items)))
        missing = len(items)
        while missing:
            ready = wait([worker.pipe for worker in self._workers if worker.busy])
            for worker in [worker for worker in self._workers if worker.pipe in ready]:
                index = worker.item
                try:
                    answer: Answer = worker.pipe.recv()
                except _GONE:
                    outcome: Any = self._replace(worker)
                else:
                    outcome = answer.outcome()
                    if not worker.ready:
                        self._failed_starts = 0
                        worker.ready = True
                        if answer.state == "failed":
                            raise outcome
                    self._give(worker, next(waiting, None), items)
                if index is not None:
                    missing -= 1
                    yield index, outcome

    def _give(self, worker: _Worker, index: int | None, items: Sequence[Any]) -> None:
        worker.item = index
        if index is None:
            worker.pipe.close()  # it ends by itself
            return
        with suppress(*_GONE):  # found when its answer is read
            worker.pipe.send(items[index])

    def _replace(self, worker: _Worker) -> WorkerError:
        error = WorkerError(f"the worker died ({worker.how_it_died()})")
        self._workers.remove(worker)
        worker.pipe.close()
        if not worker.ready:
            self._failed_starts += 1
            if self._failed_starts >= FAILED_STARTS:
                raise WorkerError(f"workers die while they start: {error}")
        self._hire()
        return error

    def interrupt(self) -> None:
        """Ctrl-C for the workers. One in a terminal has got it already, which does no harm."""
        for worker in self._workers:
            if worker.process.pid is not None and worker.process.is_alive():
                with suppress(ProcessLookupError):
                    os.kill(worker.process.pid, signal.SIGINT)

    def dismiss(self) -> None:
        """Wait for the workers to end, then make them."""
        deadline = time.monotonic() + PATIENCE
        for worker in self._workers:
            worker.pipe.close()
        for worker in self._workers:
            worker.process.join(max(0.0, deadline - time.monotonic()))
        for worker in self._workers:
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
        self._workers.clear()


def _serve(pipe: Connection, environment: dict[str, str]) -> None:
    """The life of a worker: the work, then items until the pipe ends."""
    os.environ.update(environment)
    # What a library prints must not get between the results on standard output.
    with suppress(OSError):
        os.dup2(2, 1)
    try:
        signal.signal(signal.SIGINT, _interrupted_once)
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        opened: list[Callable[[Any], Any]] = []
        answer = attempt(_open, pipe.recv_bytes(), opened)
        pipe.send(answer)
        while answer.state != "fault":
            answer = attempt(_work_on, opened, pipe.recv_bytes())
            pipe.send(answer)
    except (*_GONE, KeyboardInterrupt):
        pass
    gc.freeze()  # else the end takes half a second, for a last walk through all of torch


def _open(data: bytes, opened: list[Callable[[Any], Any]]) -> None:
    opened.append(pickle.loads(data))
    load(opened[0])


def _work_on(opened: list[Callable[[Any], Any]], data: bytes) -> Any:
    result = opened[0](pickle.loads(data))
    pickle.dumps(result)  # what cannot travel is a fault that is told
    return result


def _interrupted_once(*_: object) -> None:
    """Ctrl-C in a terminal comes twice: from the system and from `interrupt`. The first cleans up undisturbed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


@contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Hold back SIGINT, also in a process started meanwhile: Python would print a traceback while it starts there."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # it would be started with the process, and unblock the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
