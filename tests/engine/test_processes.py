"""Workers in processes of their own: order, dying workers, faults, Ctrl-C, and nothing left behind."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import jobs
import pytest

from tdmm.engine import LoadedOnce, in_processes, in_sequence, run_over
from tdmm.engine.cores import thread_limits, usable_cores, usable_workers
from tdmm.errors import FaceModelError, TdmmError, VideoError, WorkerError


@pytest.fixture(autouse=True)
def nobody_is_left():
    yield
    assert multiprocessing.active_children() == []


def test_results_are_those_of_one_process_in_the_order_of_the_items():
    events = []
    items = [0, 1, 2, 3, 4, 6, 8, 10]
    outcome = run_over(items, jobs.half_after_a_while, engine=in_processes(2), on_event=events.append)
    expected = run_over(items, jobs.half, engine=in_sequence)
    assert outcome.results == expected.results == [0, 1, 2, 3, 4, 5]
    assert [failure.item for failure in outcome.failures] == [1, 3]
    assert isinstance(outcome.failures[0].error, VideoError)
    assert str(outcome.failures[0].error) == "1 is odd"
    assert [event.finished for event in events] == list(range(1, 9))
    assert [event.item for event in events] != items  # they really ran beside each other


@pytest.mark.parametrize(
    ("work", "how"),
    [(jobs.die_on_three, "SIGKILL"), (jobs.crash_on_three, "SIGSEGV"), (jobs.exit_on_three, "exit code 7")],
)
def test_a_worker_that_dies_fails_only_its_item_and_is_replaced(work, how):
    outcome = run_over(list(range(8)), work, engine=in_processes(2))
    assert outcome.results == [0, 1, 2, 4, 5, 6, 7]
    (failure,) = outcome.failures
    assert failure.item == 3
    assert isinstance(failure.error, WorkerError)
    assert "worker died" in str(failure.error)
    assert how in str(failure.error)


def test_a_bug_ends_the_run_with_the_workers_traceback():
    with pytest.raises(ZeroDivisionError, match="a bug") as raised:
        run_over(list(range(20)), jobs.fault_on_three, engine=in_processes(2))
    assert "in fault_on_three" in str(raised.value.__cause__)
    assert "jobs.py" in str(raised.value.__cause__)


def test_a_result_that_cannot_travel_is_a_bug():
    with pytest.raises((AttributeError, pickle.PicklingError), match="pickle"):
        run_over([1], jobs.no_result, engine=in_processes(1))


def test_an_error_that_cannot_travel_keeps_its_words():
    (failure,) = run_over([1], jobs.fail_strangely, engine=in_processes(1)).failures
    assert str(failure.error) == "clip.mp4: strange"


def test_each_worker_loads_once(tmp_path):
    outcome = run_over(list(range(6)), LoadedOnce(jobs.Loads(tmp_path), jobs.add), engine=in_processes(2))
    assert outcome.results == [100, 101, 102, 103, 104, 105]
    assert len({path.name.split("-")[0] for path in tmp_path.iterdir()}) == len(list(tmp_path.iterdir())) == 2


def test_in_sequence_loads_once_and_only_when_there_is_work(tmp_path):
    work = LoadedOnce(jobs.Loads(tmp_path), jobs.add)
    assert run_over([], work).results == []
    assert list(tmp_path.iterdir()) == []
    assert run_over([1, 2], work).results == [101, 102]
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("engine", [in_sequence, in_processes(2)])
def test_what_cannot_be_loaded_ends_the_run_and_fails_no_item(engine):
    events = []
    with pytest.raises(FaceModelError, match=r"head\.npz: broken"):
        run_over([1, 2], LoadedOnce(jobs.refuse_to_load, jobs.add), engine=engine, on_event=events.append)
    assert events == []


def test_workers_that_die_while_they_start_end_the_run():
    with pytest.raises(WorkerError, match=r"while they start.*exit code 3"):
        run_over([1, 2, 3], LoadedOnce(jobs.die_while_loading, jobs.add), engine=in_processes(2))


def test_no_items_start_no_worker():
    assert run_over([], jobs.half, engine=in_processes(2)).results == []


@pytest.mark.parametrize("workers", [0, -1])
def test_a_number_of_workers_that_cannot_be(workers):
    with pytest.raises(TdmmError, match="workers"):
        in_processes(workers)


def test_workers_share_the_cores_and_standard_output_stays_clean(capfd):
    limit = thread_limits(2)["OMP_NUM_THREADS"]
    assert int(limit) == max(1, usable_cores() // 2)
    assert run_over([1, 2], jobs.threads, engine=in_processes(2)).results == [limit, limit]
    assert run_over([1], jobs.prints, engine=in_processes(1)).results == [1]
    assert capfd.readouterr() == ("", "a library says something\n")


def test_the_quota_of_a_container_counts(tmp_path):
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    assert usable_cores(tmp_path / "cpu.max") == min(2, usable_cores(tmp_path / "absent"))
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert usable_cores(tmp_path / "cpu.max") == usable_cores(tmp_path / "absent")


def test_no_more_workers_than_fit_into_memory(tmp_path):
    (tmp_path / "meminfo").write_text("MemTotal: 99 kB\nMemAvailable:    3000000 kB\n")
    assert usable_workers(1024 * 3_000_000, tmp_path / "meminfo") == 1
    assert usable_workers(10**12, tmp_path / "meminfo") == 1
    assert usable_workers(1, tmp_path / "meminfo") == usable_cores()
    assert usable_workers(10**12, tmp_path / "absent") == usable_cores()


def test_giving_up_stops_the_workers(tmp_path):
    def tell(event):
        raise TdmmError("the disk with the log is full")

    items = [str(tmp_path / name) for name in ("quick", "slow")]
    started = time.monotonic()
    with pytest.raises(TdmmError, match="log is full"):
        run_over(items, jobs.touch_when_done, engine=in_processes(2), on_event=tell)
    assert time.monotonic() - started < 30
    assert os.listdir(tmp_path) == ["quick"]


SCRIPT = """
import sys
sys.path.insert(0, {folder!r})
import jobs
from tdmm.engine import in_processes, run_over

if __name__ == "__main__":
    try:
        run_over({items!r}, jobs.touch_when_done, engine=in_processes(2))
    except KeyboardInterrupt:
        sys.exit(130)
"""


@pytest.mark.parametrize("whole_group", [True, False])
def test_ctrl_c_ends_all_and_unfinished_files_are_removed(tmp_path, whole_group, start):
    """From a terminal, which tells every process of the group, and from `kill`, which tells only the first."""
    script = tmp_path / "script.py"
    items = [str(tmp_path / name) for name in ("a-slow", "b-slow", "c-slow")]
    script.write_text(SCRIPT.format(folder=str(Path(jobs.__file__).parent), items=items))
    process = start([sys.executable, script], stderr=subprocess.PIPE)
    begun = [Path(f"{item}.begun") for item in items[:2]]
    deadline = time.monotonic() + 60
    while not all(path.exists() and path.read_text() for path in begun):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    workers = [int(path.read_text()) for path in begun]
    if whole_group:
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)
    assert (process.returncode, told) == (130, b"")
    assert os.listdir(tmp_path) == ["script.py"]
    for worker in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)
