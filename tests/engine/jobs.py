"""Work for tests of the engines: importable by name, as workers need it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from tdmm.errors import FaceModelError, VideoError


def half(number):
    if number % 2:
        raise VideoError(f"{number} is odd")
    return number // 2


def half_after_a_while(number):
    """Small numbers take longer, so that they come back in another order."""
    time.sleep(max(0.0, 0.3 - 0.1 * number))
    return half(number)


def die_on_three(number):
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def crash_on_three(number):
    """A segmentation fault: reads the memory at address 0."""
    if number == 3:
        import ctypes

        ctypes.string_at(0)
    return number


def exit_on_three(number):
    if number == 3:
        os._exit(7)
    return number


def fault_on_three(number):
    if number == 3:
        raise ZeroDivisionError("a bug")
    return number


def no_result(number):
    return lambda: number


def touch_when_done(path):
    """Leaves its own process id in PATH.begun and, unless interrupted, PATH; removes the first in any case."""
    begun = Path(f"{path}.begun")
    begun.write_text(str(os.getpid()))
    try:
        time.sleep(60 if path.endswith("slow") else 0)
        Path(path).touch()
    finally:
        begun.unlink()
    return path


def threads(_):
    return os.environ["OMP_NUM_THREADS"]


def prints(number):
    os.write(1, b"a library says something\n")
    return number


class Loads:
    """`load` that leaves a trace of each call."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __call__(self):
        (Path(self.folder) / f"{os.getpid()}-{time.monotonic_ns()}").touch()
        return 100


def add(loaded, number):
    return loaded + number


def refuse_to_load():
    raise FaceModelError("head.npz: broken")


def die_while_loading():
    os._exit(3)


class CannotBePickled(VideoError):
    def __init__(self, path, reason):
        super().__init__(f"{path}: {reason}")


def fail_strangely(number):
    raise CannotBePickled("clip.mp4", "strange")
