"""What the program says beside its result: on stderr, with a progress bar only where that is a terminal."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from tdmm.cli.usage import UsageError

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress


class Progress(Protocol):
    """Told by long work how far it is: `done` of `total` frames (None: unknown) of a stage."""

    def __call__(self, stage: str, done: int, total: int | None) -> None: ...


class Console:
    """Messages for the person at the command line."""

    def __init__(self, *, quiet: bool = False, verbose: bool = False) -> None:
        if quiet and verbose:
            raise UsageError("--quiet and --verbose exclude each other")
        self.quiet, self.verbose = quiet, verbose
        if verbose:
            logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(name)s: %(message)s")

    def say(self, message: str) -> None:
        """A line that --quiet silences."""
        if not self.quiet:
            sys.stderr.write(message + "\n")

    def detail(self, message: str) -> None:
        """A line that only --verbose shows."""
        if self.verbose:
            sys.stderr.write(message + "\n")

    def error(self, message: str) -> None:
        """A failure among several inputs; never silenced."""
        sys.stderr.write(f"error: {' '.join(message.split())}\n")

    def complain(self, message: str) -> None:
        """More about an error; never silenced."""
        sys.stderr.write(message + "\n")

    @contextmanager
    def batch(self, total: int, what: str) -> Iterator[Batch | None]:
        """One bar for `total` items, with failures and time left, for as long as the block runs; None: no bar."""
        if self.quiet or not sys.stderr.isatty():
            yield None
            return
        with Batch(total, what) as batch:
            yield batch

    @contextmanager
    def steps(self, what: str) -> Iterator[Steps | None]:
        """One bar for steps of which each tells something, for as long as the block runs; None: no bar."""
        if self.quiet or not sys.stderr.isatty():
            yield None
            return
        with Steps(what) as steps:
            yield steps

    @contextmanager
    def progress(self, label: str) -> Iterator[Progress]:
        """A bar with frames, frames per second and time left, for as long as the block runs."""
        if self.quiet or not sys.stderr.isatty():
            yield _silent
            return
        with _Bar(label) as bar:
            yield bar


def _silent(stage: str, done: int, total: int | None) -> None:
    return None


class _Bar:
    """rich's progress bar, which starts again with every stage."""

    def __init__(self, label: str) -> None:
        from rich.console import Console as RichConsole
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self._label, self._stage, self._started = label, "", time.perf_counter()
        self._rich = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=RichConsole(stderr=True),
            transient=True,
        )
        self._task: Any = None

    def __enter__(self) -> _Bar:
        self._rich.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._rich.stop()

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        now = time.perf_counter()
        if stage != self._stage:
            if self._task is not None:
                self._rich.remove_task(self._task)
            self._stage, self._started = stage, now
            self._task = self._rich.add_task(f"{self._label}: {stage}", total=total, rate="")
        passed = now - self._started
        rate = f"{done / passed:.0f} frames/s" if passed > 0.5 and done else ""
        self._rich.update(self._task, completed=done, total=total, rate=rate)


def _counted_bar(told: str) -> RichProgress:
    """rich's bar over what is counted: so many of so many, what is `told` besides, time passed and left."""
    from rich.console import Console as RichConsole
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    return RichProgress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn(told),
        TimeElapsedColumn(),
        TextColumn("left"),
        # Items take long: the speed of the last half hour tells more than that of the last seconds.
        TimeRemainingColumn(),
        speed_estimate_period=1800.0,
        console=RichConsole(stderr=True),
        transient=True,
        redirect_stdout=False,  # results go there
    )


class Batch:
    """rich's progress bar over many items; what is said meanwhile is shown above it."""

    def __init__(self, total: int, what: str) -> None:
        self._rich = _counted_bar("{task.fields[failures]} failed")
        self._task = self._rich.add_task(what, total=total, failures=0)

    def __enter__(self) -> Batch:
        self._rich.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._rich.stop()

    def to(self, done: int, total: int, failures: int) -> None:
        """So many of so many are through, and so many of them failed."""
        self._rich.update(self._task, completed=done, total=total, failures=failures)

    def advance(self, failures: int) -> None:
        """One more is through; so many failed until now."""
        self._rich.update(self._task, advance=1, failures=failures, refresh=True)


class Steps:
    """rich's progress bar over the steps of a training; what is said meanwhile is shown above it."""

    def __init__(self, what: str) -> None:
        self._rich = _counted_bar("{task.fields[told]}")
        self._task = self._rich.add_task(what, total=None, told="")

    def __enter__(self) -> Steps:
        self._rich.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._rich.stop()

    def to(self, done: int, total: int, told: str = "") -> None:
        """So many of so many are done, and this is how it goes."""
        self._rich.update(self._task, completed=done, total=total, told=told)
