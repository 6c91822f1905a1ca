"""Keep the log lines of C++ libraries off the terminal without losing what is an error."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

# Information (I) and warning (W) lines of absl and glog, and what TensorFlow Lite says when it starts.
CHATTER = re.compile(
    rb"^(?:[IW]\d{4}[ \t]|INFO: Created TensorFlow Lite|INFO: Initialized TensorFlow|"
    rb"WARNING: All log messages before absl::InitializeLog|WARNING: Logging before InitGoogle)"
)


@contextmanager
def without_chatter(pattern: re.Pattern[bytes] = CHATTER) -> Iterator[None]:
    """Hold back what is written to file descriptor 2 meanwhile; then pass on all lines but those of `pattern`.

    C++ code writes to the descriptor itself, so that replacing `sys.stderr` would not reach it. The whole
    process shares the descriptor: lines of other threads are passed on too, only later. Where there is no
    descriptor 2, nothing is done.
    """
    if sys.stderr is not None:
        sys.stderr.flush()
    try:
        terminal = os.dup(2)
    except OSError:
        yield
        return
    try:
        with tempfile.TemporaryFile() as held:
            os.dup2(held.fileno(), 2)
            try:
                yield
            finally:
                if sys.stderr is not None:
                    sys.stderr.flush()
                os.dup2(terminal, 2)
                held.seek(0)
                for line in held.read().splitlines(keepends=True):
                    if not pattern.match(line):
                        os.write(2, line)
    finally:
        os.close(terminal)
