"""Threads for compiled code that releases the GIL.

Plain threads instead of OpenMP: idle OpenMP threads spin and take the cores away from the video encoder, and
numba's own thread pool must not be entered from two threads at once.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import Any


def n_threads() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1


def for_each(function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
    """`[function(item) for item in items]`, spread over the cores."""
    items = list(items)
    if len(items) <= 1 or n_threads() == 1:
        return [function(item) for item in items]
    return list(_pool(os.getpid()).map(function, items))


def spans(size: int, at_least: int = 1) -> list[tuple[int, int]]:
    """range(size) in equal parts (start, stop), one a core, or fewer so that each holds at_least items."""
    parts = max(min(n_threads(), size // at_least), 1)
    return [(size * i // parts, size * (i + 1) // parts) for i in range(parts)]


@cache
def _pool(pid: int) -> ThreadPoolExecutor:  # a forked child must not use its parent's pool
    return ThreadPoolExecutor(n_threads(), thread_name_prefix="tdmm-render")


def in_order(function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
    """`map(function, items)`, computed ahead by the cores while the caller uses what it has got.

    At most two items a core are in work or waiting; `items` is read in the caller's thread.
    """
    if n_threads() == 1:
        yield from map(function, items)
        return
    pool = _pool(os.getpid())
    waiting: deque[Future[Any]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= 2 * n_threads():
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
