"""Timelines are read again, and those of parts are joined."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tdmm.lm.moments import Timeline, join_timelines, read_timeline
from tdmm.lm.timeline import timeline_of


def known(events) -> list[tuple]:
    return [(one["id"], one["side"], one["count"], one["level"], one["absent"]) for one in events]


def spans(events) -> list[tuple[float, float]]:
    return [(one["start"], one["end"]) for one in events]


def test_what_a_manifest_line_says_comes_back(tiny_corpus):
    random = np.random.default_rng(0)
    for text in (tiny_corpus / "manifest.jsonl").read_text().splitlines():
        line = json.loads(text)
        said = timeline_of(line, random)
        timeline = read_timeline(said, 0.0, line["duration"])
        found = {key: (one["start"], one["end"]) for one in timeline.events() for key in known([one])}
        assert set(found) == set(known(line["events"]))
        for event in line["events"]:
            if not event["absent"]:
                (key,) = known([event])
                assert np.allclose(found[key], (event["start"], event["end"]), atol=0.051)
        if not timeline.absent:
            assert str(timeline) == said


def test_times_count_from_the_start_of_the_part():
    timeline = read_timeline("whole clip: looks glad; 0.4-1.9 s: smiles; 2.0-2.5 s: nods twice", 10.0, 14.0)
    assert str(timeline) == "whole clip: looks glad; 10.4-11.9 s: smiles; 12.0-12.5 s: nods twice"
    assert spans(timeline.events()) == [(10.0, 14.0), (10.4, 11.9), (12.0, 12.5)]
    assert [one["throughout"] for one in timeline.events()] == [True, False, False]
    assert timeline.events()[2]["count"] == 2


def test_what_a_model_writes_wrongly_is_kept_and_never_goes_wrong():
    for text in (
        "hello there",
        "1.0-9.0 s: does something",
        "3.0-1.0 s: smiles",
        ";;",
        "whole clip:",
        "",
        "9.9-",
        "12",
    ):
        timeline = read_timeline(text, 2.0, 5.0)
        for moment in timeline.moments:
            assert 2.0 <= moment.start <= moment.end <= 5.0
        assert [one["id"] for one in timeline.events()] == (["smile"] if "smiles" in text else [])
    assert str(read_timeline("hello there", 0.0, 5.0)) == "whole clip: hello there"


def joined(*texts: str, each: float = 5.0, apart: float = 0.0) -> Timeline:
    starts = [number * (each + apart) for number in range(len(texts))]
    return join_timelines([read_timeline(text, start, start + each) for text, start in zip(texts, starts, strict=True)])


def test_what_goes_on_over_a_border_is_one_moment():
    timeline = joined("1.0-2.0 s: nods; 3.0-5.0 s: smiles", "0.0-1.5 s: smiles; 2.0-3.0 s: nods")
    assert str(timeline) == "1.0-2.0 s: nods; 3.0-6.5 s: smiles; 7.0-8.0 s: nods"
    three = joined("4.0-5.0 s: smiles", "whole clip: smiles", "0.0-1.0 s: smiles")
    assert spans(three.events()) == [(4.0, 11.0)]


def test_repeats_on_both_sides_of_a_border_are_added_up():
    (event,) = joined("4.0-5.0 s: nods twice", "0.1-0.9 s: nods three times").events()
    assert (event["id"], event["count"], event["start"], event["end"]) == ("nod", 5, 4.0, 5.9)
    # More than can be said stay apart.
    assert len(joined("4.0-5.0 s: nods six times", "0.1-0.9 s: nods six times").events()) == 2


@pytest.mark.parametrize(
    "texts",
    [
        ("3.0-4.0 s: smiles", "0.0-1.0 s: smiles"),  # stopped before the border
        ("3.0-5.0 s: smiles", "0.8-1.4 s: smiles"),  # began behind it
        ("3.0-5.0 s: winks with their left eye", "0.0-1.0 s: winks with their right eye"),
        ("3.0-5.0 s: smiles", "0.0-1.0 s: nods"),
    ],
)
def test_what_does_not_go_on_stays_apart(texts):
    assert len(joined(*texts).events()) == 2


def test_nothing_goes_on_over_seconds_that_nobody_saw():
    assert len(joined("3.0-5.0 s: smiles", "0.0-1.0 s: smiles", apart=2.0).events()) == 2


def test_what_is_there_in_every_part_is_there_all_the_time():
    always = joined("whole clip: looks glad; 1.0-2.0 s: nods", "whole clip: looks glad")
    assert str(always) == "whole clip: looks glad; 1.0-2.0 s: nods"
    assert always.events()[0]["end"] == 10.0
    once = joined("whole clip: looks glad", "whole clip: looks sad")
    assert str(once) == "0.0-5.0 s: looks glad; 5.0-10.0 s: looks sad"


def test_absent_is_what_every_part_denies():
    both = joined("1.0-2.0 s: smiles without blinking", "1.0-2.0 s: nods without blinking")
    assert [event.id for event in both.absent] == ["blink"]
    assert known(both.events())[-1] == ("blink", "", 1, "moderate", True)
    again = read_timeline(str(both), 0.0, 10.0)
    assert known(again.events()) == known(both.events())
    assert joined("1.0-2.0 s: smiles without blinking", "1.0-2.0 s: nods").absent == ()


def test_one_part_is_the_whole():
    part = read_timeline("0.4-1.9 s: smiles", 0.0, 4.0)
    assert join_timelines([part]) is part
