"""Work over many items: order, resume, failures, and what must not be swallowed."""

import pytest

from tdmm.engine import Failure, in_sequence, run_over
from tdmm.errors import TdmmError, VideoError


def half(number):
    if number % 2:
        raise VideoError(f"{number} is odd")
    return number // 2


def backwards(work, items):
    """An engine that finishes in another order than it was given."""
    yield from reversed(list(in_sequence(work, items)))


@pytest.mark.parametrize("engine", [in_sequence, backwards])
def test_failures_are_collected_and_the_others_go_on(engine):
    outcome = run_over([4, 3, 8, 1, 6], half, engine=engine)
    assert outcome.results == [2, 4, 3]
    assert [failure.item for failure in outcome.failures] == [3, 1]
    assert isinstance(outcome.failures[0], Failure)
    assert str(outcome.failures[0].error) == "3 is odd"
    assert outcome.skipped == []


def test_what_is_done_is_skipped_and_never_worked_on():
    worked = []
    outcome = run_over([1, 2, 3, 4], worked.append, is_done=lambda item: item < 3)
    assert worked == [3, 4]
    assert outcome.skipped == [1, 2]
    assert outcome.results == [None, None]


def test_a_run_that_was_stopped_does_only_what_is_missing(tmp_path):
    def work(name):
        if name == "c" and not (tmp_path / "resumed").exists():
            raise KeyboardInterrupt
        (tmp_path / name).touch()
        return name

    names = ["a", "b", "c", "d"]
    is_done = lambda name: (tmp_path / name).exists()  # noqa: E731
    with pytest.raises(KeyboardInterrupt):
        run_over(names, work, is_done=is_done)
    assert sorted(item.name for item in tmp_path.iterdir()) == ["a", "b"]
    (tmp_path / "resumed").touch()
    outcome = run_over(names, work, is_done=is_done)
    assert outcome.skipped == ["a", "b"]
    assert outcome.results == ["c", "d"]
    assert run_over(names, work, is_done=is_done).results == []


def test_events_count_every_item_once():
    events = []
    run_over([2, 3, 4, 5], half, is_done=lambda item: item == 4, on_event=events.append)
    assert [(event.item, event.state) for event in events] == [
        (4, "skipped"),
        (2, "done"),
        (3, "failed"),
        (5, "failed"),
    ]
    assert [event.finished for event in events] == [1, 2, 3, 4]
    assert {event.total for event in events} == {4}
    assert events[1].result == 1
    assert str(events[2].error) == "3 is odd"
    assert events[2].result is None


def test_an_event_comes_before_the_next_item_is_begun():
    order = []
    run_over(
        [1, 2], lambda item: order.append(("work", item)), on_event=lambda event: order.append(("told", event.item))
    )
    assert order == [("work", 1), ("told", 1), ("work", 2), ("told", 2)]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, MemoryError])
def test_a_bug_is_not_an_outcome(error):
    done = []

    def work(item):
        if item == 2:
            raise error("boom")
        done.append(item)

    with pytest.raises(error):
        run_over([1, 2, 3], work)
    assert done == [1]


def test_errors_of_the_callback_are_not_taken_for_the_works():
    def tell(event):
        raise TdmmError("the disk with the log is full")

    with pytest.raises(TdmmError, match="log is full"):
        run_over([1], str, on_event=tell)


def test_nothing_to_do():
    outcome = run_over([], half)
    assert (outcome.results, outcome.skipped, outcome.failures) == ([], [], [])
