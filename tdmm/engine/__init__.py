"""Work over many items: skip what is done, go on after a failure, say which ones failed."""

from tdmm.engine.cores import usable_cores, usable_workers
from tdmm.engine.devices import own_gpu
from tdmm.engine.processes import in_processes
from tdmm.engine.ray_cluster import on_ray
from tdmm.engine.run import Engine, Event, Failure, Outcome, in_sequence, run_over
from tdmm.engine.work import LoadedOnce

__all__ = [
    "Engine",
    "Event",
    "Failure",
    "LoadedOnce",
    "Outcome",
    "in_processes",
    "in_sequence",
    "on_ray",
    "own_gpu",
    "run_over",
    "usable_cores",
    "usable_workers",
]
