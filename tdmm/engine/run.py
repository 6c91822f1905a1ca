"""`run_over`: one function applied to many items.

How the calls are made is a function of its own, an engine, that is handed the work and the items and yields what came
of each, in any order. `in_sequence` is the engine for one machine and one process; see also `tdmm.engine.processes`
and `tdmm.engine.ray_cluster`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Generic, Literal, Protocol, TypeVar

from tdmm.engine.work import load
from tdmm.errors import TdmmError

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Failure(Generic[Item]):
    """An item that could not be done, and the error that says why."""

    item: Item
    error: TdmmError


@dataclass(frozen=True)
class Event(Generic[Item, Result]):
    """What came of one item. `finished` of `total` items are through, this one included.

    `result` is there when `state` is "done", `error` when it is "failed".
    """

    item: Item
    state: Literal["done", "skipped", "failed"]
    finished: int
    total: int
    result: Result | None = None
    error: TdmmError | None = None


@dataclass
class Outcome(Generic[Item, Result]):
    """What came of all items. Each list is in the order of the items, whatever the engine's order was."""

    results: list[Result] = field(default_factory=list)
    skipped: list[Item] = field(default_factory=list)
    failures: list[Failure[Item]] = field(default_factory=list)


class Engine(Protocol):
    """Makes the calls: yields (index of the item, its result or its error), each index once, in any order.

    Only a `TdmmError` is an outcome; any other exception of the work is a bug and must propagate. When the
    iteration is given up (Ctrl-C), no further item is begun, and what runs elsewhere is stopped.
    """

    def __call__(
        self, work: Callable[[Item], Result], items: Sequence[Item]
    ) -> Generator[tuple[int, Result | TdmmError], None, None]: ...


def in_sequence(
    work: Callable[[Item], Result], items: Sequence[Item]
) -> Generator[tuple[int, Result | TdmmError], None, None]:
    """One item after the other, in this process; the next one is begun when the one before was taken."""
    if items:
        load(work)
    for index, item in enumerate(items):
        try:
            outcome: Result | TdmmError = work(item)
        except TdmmError as error:
            outcome = error
        yield index, outcome


def run_over(
    items: Sequence[Item],
    work: Callable[[Item], Result],
    *,
    is_done: Callable[[Item], bool] | None = None,
    on_event: Callable[[Event[Item, Result]], None] | None = None,
    engine: Engine = in_sequence,
) -> Outcome[Item, Result]:
    """`work(item)` for every item that is not done yet.

    is_done: whether the result of an item is there already, asked once for each before any work begins; work that
        writes its output whole or not at all (`tdmm.io.whole`) can thus be stopped and started again.
    on_event: called in this process after each item; the skipped ones come first.
    A `TdmmError` of the work is collected and the others go on; any other exception ends the run.
    """
    outcome: Outcome[Item, Result] = Outcome()
    finished = 0

    def tell(item: Item, state: Literal["done", "skipped", "failed"], **what: object) -> None:
        nonlocal finished
        finished += 1
        if on_event is not None:
            on_event(Event(item, state, finished, len(items), **what))  # type: ignore[arg-type]

    waiting = []
    for item in items:
        if is_done is not None and is_done(item):
            outcome.skipped.append(item)
        else:
            waiting.append(item)
    for item in outcome.skipped:
        tell(item, "skipped")

    results: dict[int, Result] = {}
    errors: dict[int, TdmmError] = {}
    with closing(engine(work, waiting)) as outcomes:
        for index, found in outcomes:
            if isinstance(found, TdmmError):
                errors[index] = found
                tell(waiting[index], "failed", error=found)
            else:
                results[index] = found
                tell(waiting[index], "done", result=found)
    outcome.results = [results[index] for index in sorted(results)]
    outcome.failures = [Failure(waiting[index], errors[index]) for index in sorted(errors)]
    return outcome
