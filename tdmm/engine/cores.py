"""How many cores this process may use."""

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


def thread_limits(workers: int) -> dict[str, str]:
    """Environment variables by which libraries in each of so many workers use no more than its share of the cores."""
    share = max(1, usable_cores() // workers)
    return dict.fromkeys(_THREAD_VARIABLES, str(share))
