"""GPUs for workers that do not know of each other."""

from __future__ import annotations

import os
import tempfile
import zlib
from contextlib import suppress
from pathlib import Path

_claimed: dict[str, int] = {}
_held: list[int] = []  # descriptors whose locks last as long as the process


def own_gpu(where: Path) -> int:
    """The number of a GPU that no other process has that works in the folder `where`: its own for as long as it lives.

    Where there are more processes than GPUs, or no locks, they share.
    """
    import torch

    key = str(Path(where).resolve())
    if key not in _claimed:
        count = max(1, torch.cuda.device_count())
        _claimed[key] = next((number for number in range(count) if _lock(key, number)), os.getpid() % count)
    return _claimed[key]


def _lock(key: str, number: int) -> bool:
    """Hold the lock of one GPU, if nobody does."""
    try:
        import fcntl
    except ImportError:  # no locks on this system
        return False
    name = f"tdmm-gpu-{zlib.crc32(key.encode()):08x}-{number}.lock"
    try:
        descriptor = os.open(Path(tempfile.gettempdir()) / name, os.O_CREAT | os.O_RDWR, 0o600)
    except OSError:  # that of another user, who works in the same folder
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        with suppress(OSError):
            os.close(descriptor)
        return False
    _held.append(descriptor)
    return True
