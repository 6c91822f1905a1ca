"""Timelines as `tdmm.lm.timeline` words them, read again: each moment with its times, and what happens in it.

Those of the parts of a long motion are joined: times are shifted, and what goes on over a border is one moment.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tdmm.corpus.language.clauses import Voice, along, clause
from tdmm.corpus.language.parse import parse_text
from tdmm.corpus.language.phrases import Pronouns
from tdmm.corpus.language.prompts import tidy
from tdmm.corpus.lexicon import LEVELS
from tdmm.corpus.program import MOST_REPEATS, Event, checked, event_fields
from tdmm.errors import CorpusError

# Seconds: what ends so shortly before a border, or begins so shortly after it, may go on over it.
AT_BORDER = 0.35
# Seconds between two parts: more than that were not looked at, and nothing goes on over them.
APART = 0.1
_ITEM = re.compile(r"(?:whole clip|(\d+(?:\.\d+)?) ?- ?(\d+(?:\.\d+)?) ?s(?:econds)?): ?(.+)", re.I | re.S)
_PERSON = Pronouns("The person", "they", "them", "their", "themself")


@dataclass(frozen=True)
class Moment:
    """words: what happens, from the verb on; event: the same, where it is understood. start, end: seconds; throughout:
    it goes on all the time."""

    words: str
    start: float
    end: float
    event: Event | None = None
    throughout: bool = False


@dataclass(frozen=True)
class Timeline:
    """What happens from `start` to `end`, in seconds, and what does not happen (`absent`)."""

    start: float
    end: float
    moments: tuple[Moment, ...] = ()
    absent: tuple[Event, ...] = ()

    def events(self) -> list[dict[str, Any]]:
        """What is understood of it, as the `events` of a manifest line have it; seconds with two decimals."""
        found = [
            event_fields(one.event, one.throughout, (round(one.start, 2), round(one.end, 2)))
            for one in self.moments
            if one.event is not None
        ]
        whole = (round(self.start, 2), round(self.end, 2))
        return found + [event_fields(event, True, whole) for event in self.absent]

    def __str__(self) -> str:
        """In the words of `tdmm.lm.timeline`, what goes on all the time first."""
        said = [
            f"whole clip: {one.words}" if one.throughout else f"{one.start:.1f}-{one.end:.1f} s: {one.words}"
            for one in sorted(self.moments, key=lambda one: (not one.throughout, one.start))
        ]
        return tidy("; ".join(said) + "".join(along(event, _voice()) for event in self.absent))


def read_timeline(text: str, start: float, end: float) -> Timeline:
    """The timeline that a language model wrote of `start` to `end`, whose own times count from `start`.

    Nothing of it is lost: what is not in that form is a moment of all the time, in the words that it has.
    """
    moments: list[Moment] = []
    absent: dict[str, Event] = {}
    for item in filter(None, (part.strip() for part in text.split(";"))):
        form = _ITEM.fullmatch(item)
        words = item if form is None else form[3].strip()
        first, last, throughout = start, end, True
        if form is not None and form[1]:
            first, last = sorted(min(start + float(number), end) for number in form.group(1, 2))
            throughout = False
        shown, denied = _understood(words)
        absent |= {event.id: event for event in denied}
        if len(shown) == 1 and denied:
            words = clause(shown[0], "third", _voice())
        if not shown:
            moments.append(Moment(words, first, last, None, throughout))
        for event in shown:
            own = words if len(shown) == 1 else clause(event, "third", _voice())
            moments.append(Moment(own, first, last, event, throughout))
    return Timeline(start, end, tuple(moments), tuple(absent.values()))


def join_timelines(parts: Sequence[Timeline]) -> Timeline:
    """The timeline of several parts, one after the other.

    What stops at a border and goes on behind it is one moment, and its repeats are added up. What is said to be absent
    is absent if every part says so.
    """
    if len(parts) == 1:
        return parts[0]
    found: list[Moment] = []
    last: Timeline | None = None
    for part in parts:
        near = last is not None and part.start - last.end <= APART
        for moment in part.moments:
            at = _goes_on(found, moment, last, part) if near and last is not None else None
            if at is None:
                found.append(moment)
            else:
                found[at] = _joined(found[at], moment)
        last = part
    start, end = parts[0].start, parts[-1].end
    whole = [
        replace(one, throughout=one.throughout and one.start <= start + APART and one.end >= end - APART)
        for one in found
    ]
    absent = [event for event in parts[0].absent if all(_denies(part, event) for part in parts)]
    return Timeline(start, end, tuple(whole), tuple(absent))


def _goes_on(found: Sequence[Moment], moment: Moment, last: Timeline, part: Timeline) -> int | None:
    """Which of the moments goes on as this one."""
    if moment.start > part.start + AT_BORDER:
        return None
    for at, other in enumerate(found):
        if other.end < last.end - AT_BORDER or other.end > part.start + APART:
            continue
        mine, theirs = moment.event, other.event
        if mine is None or theirs is None:
            if mine is theirs and moment.words == other.words:
                return at
        elif (mine.id, mine.side) == (theirs.id, theirs.side) and (
            not mine.behaviour.repeats or mine.count + theirs.count <= MOST_REPEATS
        ):
            return at
    return None


def _joined(first: Moment, second: Moment) -> Moment:
    """Two moments as one: as strong and as fast as the longer one."""
    longer = first if first.end - first.start >= second.end - second.start else second
    words, event = longer.words, longer.event
    if event is not None and first.event is not None and second.event is not None and event.behaviour.repeats:
        event = replace(event, count=first.event.count + second.event.count)
        words = clause(event, "third", _voice())
    return Moment(words, first.start, second.end, event, first.throughout and second.throughout)


def _understood(words: str) -> tuple[list[Event], list[Event]]:
    """What the words of a moment say that happens, and that does not."""
    shown: list[Event] = []
    absent: list[Event] = []
    for statement in parse_text(words).statements:
        event = replace(statement.event, seconds=None)
        if event.level not in LEVELS:
            event = replace(event, level="moderate")
        try:
            checked(event)
        except CorpusError:  # a side or a count too much
            continue
        (absent if event.absent else shown).append(event)
    return shown, absent


def _denies(part: Timeline, event: Event) -> bool:
    return any(one.id == event.id for one in part.absent)


def _voice() -> Voice:
    return Voice(np.random.default_rng(0), _PERSON)
