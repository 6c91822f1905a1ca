"""Threads for compiled code that releases the GIL.

Plain threads instead of OpenMP: idle OpenMP threads spin and take the cores away from the video encoder, and
numba's own thread pool must not be entered from two threads at once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
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


@cache
def _pool(pid: int) -> ThreadPoolExecutor:  # a forked child must not use its parent's pool
    return ThreadPoolExecutor(n_threads(), thread_name_prefix="tdmm-render")
