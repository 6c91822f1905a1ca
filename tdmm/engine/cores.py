"""How many cores this process may use, and how many workers fit into memory."""

from __future__ import annotations

import math
import os
from pathlib import Path

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


def usable_cores(quota: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Cores that the system lets this process use: its affinity and, in a container, the quota of its cgroup (v2)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        allowed, period = quota.read_text().split()[:2]
        cores = min(cores, math.ceil(int(allowed) / int(period)))
    except (OSError, ValueError, ZeroDivisionError):  # no such file, or "max": no limit
        pass
    return max(1, cores)


def usable_workers(bytes_each: int, memory: Path = Path("/proc/meminfo")) -> int:
    """One worker a usable core, but no more than fit into the memory that is free now (where the system tells it)."""
    cores = usable_cores()
    try:
        free = next(line.split()[1] for line in memory.read_text().splitlines() if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, IndexError):
        return cores
    return max(1, min(cores, int(free) * 1024 // bytes_each))


def thread_limits(workers: int) -> dict[str, str]:
    """Environment variables by which libraries in each of so many workers use no more than its share of the cores."""
    share = max(1, usable_cores() // workers)
    return dict.fromkeys(_THREAD_VARIABLES, str(share))
