"""A real Ray cluster of two nodes of one CPU each, on this machine."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import jobs
import pytest

from tdmm.engine import LoadedOnce, on_ray, run_over
from tdmm.errors import FaceModelError, MissingPartError, TdmmError, WorkerError


@pytest.fixture(scope="module")
def cluster():
    """The address of the cluster."""
    pytest.importorskip("ray", reason="needs the extra ray: pip install 'tdmm[ray]'")
    # Its workers import the jobs by name; and nothing is reported to Ray's makers.
    changed = {"PYTHONPATH": str(Path(jobs.__file__).parent), "RAY_USAGE_STATS_ENABLED": "0"}
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    from ray.cluster_utils import Cluster

    small = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
    started = Cluster(initialize_head=True, head_node_args={**small, "include_dashboard": False})
    started.add_node(**small)
    yield started.address
    started.shutdown()
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value


def test_results_failures_and_a_worker_that_dies(cluster, tmp_path):
    def work(loaded, number):
        if number == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.2)  # so that one worker does not do it all before the other has started
        return loaded + jobs.half(number), os.getpid()

    events = []
    outcome = run_over(
        [4, 3, 8, 1, 6, 10, 12],
        LoadedOnce(jobs.Loads(tmp_path), work),
        engine=on_ray(cluster),
        on_event=events.append,
    )
    assert [number for number, _ in outcome.results] == [102, 104, 103, 105, 106]
    assert [failure.item for failure in outcome.failures] == [3, 1]
    assert isinstance(outcome.failures[0].error, WorkerError)
    assert "worker died" in str(outcome.failures[0].error)
    assert str(outcome.failures[1].error) == "1 is odd"
    assert sorted(event.finished for event in events) == [1, 2, 3, 4, 5, 6, 7]
    workers = {worker for _, worker in outcome.results}
    assert os.getpid() not in workers
    assert len(workers) >= 2
    loads = [path.name.split("-")[0] for path in tmp_path.iterdir()]
    assert len(loads) == len(set(loads)) >= 3  # two, and the one in place of the dead


def test_what_is_done_is_skipped(cluster):
    assert run_over([2, 4], jobs.half, is_done=lambda item: item == 2, engine=on_ray(cluster, workers=1)).results == [2]
    assert run_over([], jobs.half, engine=on_ray(cluster)).results == []


def test_a_bug_ends_the_run_with_the_workers_traceback(cluster):
    with pytest.raises(ZeroDivisionError, match="a bug") as raised:
        run_over([3, 4], jobs.fault_on_three, engine=on_ray(cluster))
    assert "in fault_on_three" in str(raised.value.__cause__)


def test_what_cannot_be_loaded_ends_the_run(cluster):
    with pytest.raises(FaceModelError, match=r"head\.npz: broken"):
        run_over([1, 2], LoadedOnce(jobs.refuse_to_load, jobs.add), engine=on_ray(cluster))


def test_a_cluster_that_is_not_there(cluster):
    with pytest.raises(TdmmError, match="no Ray cluster") as raised:
        run_over([1], jobs.half, engine=on_ray("127.0.0.1:1"))
    assert type(raised.value) is TdmmError


def test_without_ray_the_hint_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingPartError, match=r"pip install 'tdmm\[ray\]'") as raised:
        on_ray()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("workers", [0, -1])
def test_a_number_of_workers_that_cannot_be(workers):
    pytest.importorskip("ray", reason="needs the extra ray: pip install 'tdmm[ray]'")
    with pytest.raises(TdmmError, match="workers"):
        on_ray(workers=workers)
