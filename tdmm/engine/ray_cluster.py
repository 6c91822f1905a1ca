"""The engine for many machines: actors of a Ray cluster."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Generator, Sequence
from typing import Any, TypeVar

from tdmm.engine.run import Engine
from tdmm.engine.work import Answer, attempt, load
from tdmm.errors import MissingPartError, TdmmError, WorkerError

Item = TypeVar("Item")
Result = TypeVar("Result")

# So many workers in a row that die before they are ready: none will ever be.
FAILED_STARTS = 3
KNOCK_SECONDS = 10


def on_ray(address: str | None = None, *, workers: int | None = None) -> Engine:
    """An engine of Ray actors of one CPU each. `workers`: how many; None: as many as the cluster has CPUs.

    address: `auto`, HOST:PORT or ray://HOST:PORT of a running cluster; None: what RAY_ADDRESS says, else a running
        cluster of this machine, else a cluster on this machine alone for as long as the work takes. A connection that
        is there already (`ray.init` was called) is used and left open.
    The work and the items are pickled; files they name must be found at the same place on every machine. Loading,
    failures, faults and dying workers are treated as by `in_processes`.
    Raises `MissingPartError` without ray, `TdmmError` where no cluster answers.
    """
    ray = _import_ray()
    if workers is not None and workers < 1:
        raise TdmmError(f"workers: expected a positive number, found {workers}")

    def engine(
        work: Callable[[Item], Result], items: Sequence[Item]
    ) -> Generator[tuple[int, Result | TdmmError], None, None]:
        if not items:
            return
        connected = ray.is_initialized()
        if not connected:
            _connect(ray, address)
        crew = None
        try:
            crew = _Crew(ray, work, _count(ray, workers, len(items)))
            yield from crew.run(items)
        finally:
            if crew is not None:
                crew.dismiss()
            if not connected:
                ray.shutdown()

    return engine


def _import_ray() -> Any:
    try:
        import ray
    except ModuleNotFoundError as error:
        raise MissingPartError("work on a Ray cluster needs ray: run `pip install 'tdmm[ray]'`") from error
    return ray


def _connect(ray: Any, address: str | None) -> None:
    try:
        _knock(address)
        ray.init(
            address=address,
            include_dashboard=False if address is None else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise TdmmError(f"no Ray cluster answers at {address or 'this machine'}: {error}") from error


def _knock(address: str | None) -> None:
    """Raises `OSError` where nobody listens at HOST:PORT; Ray itself would go on trying for many minutes."""
    host, found, port = (address or "").removeprefix("ray://").rpartition(":")
    if found and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK_SECONDS).close()


def _count(ray: Any, workers: int | None, n_items: int) -> int:
    return min(n_items, workers or max(1, int(ray.cluster_resources().get("CPU", 1))))


class _Actor:
    """What lives in a worker of the cluster."""

    def __init__(self, work: Callable[[Any], Any]) -> None:
        self._work = work

    def load(self) -> Answer:
        return attempt(load, self._work)

    def do(self, item: Any) -> Answer:
        return attempt(self._work, item)


class _Crew:
    """The actors of one run. Each has one call under way: loading, then items."""

    def __init__(self, ray: Any, work: Callable[[Any], Any], count: int) -> None:
        self._ray, self._failed_starts = ray, 0
        self._actor = ray.remote(num_cpus=1, max_restarts=0)(_Actor)
        self._work = ray.put(work)
        # By the reference to its answer: the actor, and the index of its item (None: it loads).
        self._under_way: dict[Any, tuple[Any, int | None]] = {}
        for _ in range(count):
            self._hire()

    def _hire(self) -> None:
        actor = self._actor.remote(self._work)
        self._under_way[actor.load.remote()] = (actor, None)

    def run(self, items: Sequence[Any]) -> Generator[tuple[int, Any], None, None]:
        """Hand out the items and collect the answers until all are through."""
        waiting = iter(range(len(items)))
        missing = len(items)
        while missing:
            (reference, *_), _ = self._ray.wait(list(self._under_way), num_returns=1)
            actor, index = self._under_way.pop(reference)
            try:
                answer: Answer = self._ray.get(reference)
            except self._ray.exceptions.RayActorError as error:
                outcome: Any = self._replace(error, started=index is not None)
            except self._ray.exceptions.RayError as error:
                # The result could not be brought here: what Ray says is the reason.
                raise TdmmError(f"Ray: {error}") from error
            else:
                outcome = answer.outcome()
                if index is None:
                    self._failed_starts = 0
                    if answer.state == "failed":
                        raise outcome
                following = next(waiting, None)
                if following is None:
                    self._ray.kill(actor)
                else:
                    self._under_way[actor.do.remote(items[following])] = (actor, following)
            if index is not None:
                missing -= 1
                yield index, outcome

    def _replace(self, error: Exception, *, started: bool) -> WorkerError:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        died = WorkerError(f"the worker died ({reason})")
        if not started:
            self._failed_starts += 1
            if self._failed_starts >= FAILED_STARTS:
                raise WorkerError(f"workers die while they start: {died}")
        self._hire()
        return died

    def dismiss(self) -> None:
        """End the actors, whatever they do."""
        for actor, _ in self._under_way.values():
            self._ray.kill(actor)
        self._under_way.clear()
