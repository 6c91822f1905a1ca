"""Write constraints.txt from the packages of this environment: what CI installs, version by version.

Usage: python scripts/make_constraints.py > constraints.txt
A package that its authors do not offer for Python 3.10 is pinned only where it exists.
"""

from __future__ import annotations

import re
from importlib import metadata

HEADER = """\
# What CI installs, written by scripts/make_constraints.py. Used by the Makefile:
#   pip install --constraint constraints.txt -e '.[test]'
"""
LEFT_OUT = {"tdmm", "pip", "setuptools", "wheel", "triton"}
# By torch version: torch for CUDA asks for this very triton; the tests take the same beside a torch for the CPU.
TRITON = {"2.13.0": "3.7.1"}


def pins() -> list[str]:
    """One line a package, sorted; the local part of a version (+cpu) depends on the machine and is dropped."""
    lines = []
    for package in metadata.distributions():
        name = re.sub(r"[-_.]+", "-", package.metadata["Name"]).lower()
        if name in LEFT_OUT:
            continue
        oldest = re.search(r">=\s*3\.(\d+)", package.metadata.get("Requires-Python") or "")
        marker = f"; python_version >= '3.{oldest[1]}'" if oldest and int(oldest[1]) > 10 else ""
        lines.append(f"{name}=={package.version.split('+')[0]}{marker}")
    lines.append(f"triton=={TRITON[metadata.version('torch').split('+')[0]]}")
    return sorted(set(lines))


if __name__ == "__main__":
    print(HEADER + "\n".join(pins()))
