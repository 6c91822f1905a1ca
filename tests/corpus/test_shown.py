"""What a program says is shown, by the measuring program that knows nothing of how the motions are made."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from tdmm.corpus.lexicon import behaviours
from tdmm.corpus.lines import perform_clip
from tdmm.corpus.motions import to_motion
from tdmm.corpus.plan import Settings, plan_clip
from tdmm.evaluate.events.measure import misses

CLIPS = 1200


@lru_cache(maxsize=1)
def clips() -> list[tuple[dict[str, Any], list[Any]]]:
    """The fields of clips and the events that they miss."""
    found = []
    for number in range(CLIPS):
        performance, fields = perform_clip(plan_clip(number, Settings(seed=17)))
        found.append((fields, misses(to_motion(performance), fields["events"])))
    return found


def test_ninety_nine_of_a_hundred_clips_show_all_that_they_say() -> None:
    missed = [(fields["program"], [event["id"] for event in wrong]) for fields, wrong in clips() if wrong]
    assert len(missed) <= CLIPS * 0.01, missed


def test_the_clips_are_of_all_sorts() -> None:
    shown = [event for fields, _ in clips() for event in fields["events"]]
    assert len({event["id"] for event in shown}) > 0.95 * len(behaviours())
    assert sum(event["absent"] for event in shown) > 10
    assert sum("free" in fields for fields, _ in clips()) == CLIPS // 5


def test_a_motion_does_not_show_what_another_one_says() -> None:
    """The measure is no rubber stamp: clips that change places miss nearly always."""
    events = [fields["events"] for fields, _ in clips()[:100]]
    motions = [to_motion(perform_clip(plan_clip(number, Settings(seed=17)))[0]) for number in range(100)]
    confused = [bool(misses(motion, said)) for motion, said in zip(motions, events[7:] + events[:7], strict=True)]
    assert sum(confused) > 80
