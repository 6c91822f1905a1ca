"""Where the work of commands on many items is done."""

from __future__ import annotations

import os
from enum import Enum
from typing import Annotated

import typer

from tdmm.cli.usage import UsageError
from tdmm.engine import Engine, in_processes, in_sequence, on_ray, usable_workers


class EngineChoice(str, Enum):
    """Where workers run."""

    local = "local"
    ray = "ray"


EngineOption = Annotated[
    EngineChoice, typer.Option("--engine", help="Where workers run: on this machine, or on a Ray cluster.")
]
RayAddressOption = Annotated[
    str | None,
    typer.Option(
        "--ray-address",
        metavar="HOST:PORT",
        help="The Ray cluster, which has to find the files at the same paths.",
        show_default="RAY_ADDRESS, else a cluster on this machine",
    ),
]


def count_of_workers(workers: str) -> int | None:
    """The number that --workers says; None: auto. Raises `UsageError`."""
    if workers == "auto":
        return None
    if not workers.isdecimal() or int(workers) < 1:
        raise UsageError(f"--workers {workers}: expected auto, or a number of workers")
    return int(workers)


def choose_engine(
    engine: EngineChoice, address: str | None, workers: int | None, bytes_each: int, most: int | None = None
) -> Engine:
    """The engine that the options ask for. bytes_each: memory that a worker takes; most: more workers have nothing to
    do.

    One worker that was asked for is this process; by itself a crash would take all other items with it.
    """
    if engine is EngineChoice.ray:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a cluster of our own reports to nobody
        return on_ray(address, workers=workers)
    if workers == 1:
        return in_sequence
    count = usable_workers(bytes_each) if workers is None else workers
    return in_processes(count if most is None else min(count, most))
