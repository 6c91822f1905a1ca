"""What a text says that a face does: events with side, count, intensity, tempo and order, by the lexicon's phrases.

The way back from `tdmm.corpus.language.captions` and `prompts`, and a reader of captions by anybody or anything else.
The longest phrases win, and words of one phrase are not read again for another.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from tdmm.corpus.language.reading import Item, Reading, read
from tdmm.corpus.program import Event, Program, check, checked, event_fields
from tdmm.errors import CorpusError

_OVERLAP = 0.3  # seconds that something may begin before the last one ends, and still come after it


@dataclass(frozen=True)
class Statement:
    """One event that a text states.

    said: which of side, count, level, tempo, seconds stand in the text; the others are what goes without saying.
    start, end: seconds, where the text gives them. throughout: it goes on all the time. words: as
    they stand in the text.
    """

    event: Event
    said: frozenset[str] = frozenset()
    start: float | None = None
    end: float | None = None
    throughout: bool = False
    words: str = ""


@dataclass(frozen=True)
class Parsed:
    """What a text states: `base` all the time, the steps one after the other, the statements of a step together.

    head_still: whether the head keeps its place; None: nothing is said.
    """

    text: str
    steps: tuple[tuple[Statement, ...], ...] = ()
    base: tuple[Statement, ...] = ()
    head_still: bool | None = None

    @property
    def statements(self) -> list[Statement]:
        """All of them, those of the base first."""
        return [*self.base, *(one for step in self.steps for one in step)]

    def program(self) -> Program | None:
        """The motion program, or None where the text states nothing, or what no face can do (or leaves out a side)."""
        steps = tuple(tuple(one.event for one in step) for step in self.steps)
        program = Program(steps, tuple(one.event for one in self.base))
        try:
            for event in program.events():
                checked(event)
            check(program)
        except CorpusError:
            return None
        return program if program.events() else None

    def events(self) -> list[dict[str, Any]]:
        """The fields of the `events` of a manifest line, in order; start and end only where the text gives them."""
        return [
            event_fields(one.event, one.throughout, None if one.start is None else (one.start, one.end))
            for one in self.statements
        ]


def parse_text(text: str) -> Parsed:
    """What a text states. Words that are not understood are passed over; an empty text states nothing."""
    reading = read(text)
    statements = [_statement(reading, one) for one in reading.events]
    relations = [_relation(reading, number) if number else "then" for number in range(len(reading.events))]
    order: list[list[int]] = []
    at = -1
    for number, relation in enumerate(relations):
        if relation == "together" and number:
            order[at].append(number)
        elif relation == "after":  # the step before that of the last one
            order.insert(at, [number])
        else:
            at = len(order)
            order.append([number])
    steps = _merged([[statements[number] for number in step] for step in order])
    steps, base = _lasting(_by_time(steps))
    still = reading.head_still
    moves = {one.event.id for one in statements if one.event.behaviour.kind == "head" and not one.event.absent}
    if still is None and moves == {"keep_still"}:
        still = True
    return Parsed(text, tuple(map(tuple, steps)), tuple(base), still)


def _statement(reading: Reading, item: Item) -> Statement:
    said = item.said
    first, last = reading.tokens[item.start], reading.tokens[item.end - 1]
    event = Event(
        item.behaviour,
        side=said.get("side", ""),
        count=said.get("count", 1),
        level=said.get("level", "moderate"),
        tempo=said.get("tempo", "normal"),
        seconds=said.get("seconds"),
        absent=said.get("absent", False),
    )
    return Statement(
        event,
        frozenset(said) & {"side", "count", "level", "tempo", "seconds"},
        said.get("start"),
        said.get("end"),
        said.get("throughout", False),
        reading.text[first.start : last.end],
    )


def _relation(reading: Reading, number: int) -> str:
    """How an event stands to the one before it: then, together or after."""
    last, event = reading.events[number - 1], reading.events[number]
    between = [one for one in reading.items if last.end <= one.start and one.end <= event.start]
    joins = [one.kind for one in between if one.kind in ("then", "together", "after")]
    marks = {token.word for token in reading.tokens[last.end : event.start]}
    words_between = any(one.kind in ("then", "together", "after") and one.value != ";" for one in between)
    if number == 1 and "," in marks and not joins:
        lead = next((one for one in reading.items if one.end <= last.start and one.value == "before"), None)
        if lead is not None:
            return "after"
        if any(one.kind == "after" and one.end <= last.start for one in reading.items):
            return "then"
    if (
        number == 1
        and last.is_emotion
        and last.value[2] == "nouns"
        and not event.is_emotion
        and marks & set(",;|/")
        and not words_between
    ):
        return "together"  # tags: the first one is how it all looks
    if joins:
        if "together" not in joins:
            return "after" if "after" in joins else "then"
        return "together" if "then" not in joins or marks.isdisjoint({".", ";"}) else "then"
    if last.is_emotion and event.is_emotion and marks == {"to"}:
        return "then"  # "from surprise to joy"
    if event.said.get("absent"):
        return "together"
    if "." in marks or "|" in marks or "/" in marks or "+" in marks:
        return "together" if "+" in marks else "then"
    if "," not in marks:
        return "together"
    # "Looking sad, she nods"; "nods, looking sad"; "is speaking, smiling, then nodding".
    loose = event.is_emotion or (number == 1 and (last.is_emotion or last.behaviour.kind == "speech"))
    loose = loose and not (event.is_emotion and last.is_emotion)
    return "together" if loose else "then"


def _merged(steps: list[list[Statement]]) -> list[list[Statement]]:
    """An emotion that is named twice for one moment, or for all the time, counts once."""
    found: list[list[Statement]] = []
    seen: dict[tuple[str, bool], tuple[int, int]] = {}
    for step in steps:
        kept: list[Statement] = []
        for one in step:
            key = (one.event.id, one.event.absent)
            if one.event.behaviour.kind == "emotion" and key in seen:
                step_at, at = seen[key]
                home = kept if step_at == len(found) else found[step_at]
                other = home[at]
                if step_at == len(found) or one.throughout or other.throughout:
                    home[at] = _both(other, one)
                    continue
            if one.event.behaviour.kind == "emotion":
                seen[key] = (len(found), len(kept))
            kept.append(one)
        found.append(kept)
    return [step for step in found if step]


def _both(first: Statement, second: Statement) -> Statement:
    level = second.event.level if "level" in second.said and "level" not in first.said else first.event.level
    return replace(
        first,
        event=replace(first.event, level=level),
        said=first.said | second.said,
        throughout=first.throughout or second.throughout,
    )


def _by_time(steps: list[list[Statement]]) -> list[list[Statement]]:
    """The steps by the seconds that the text gives, if it does; what has none beside those goes on all the time."""
    everything = [one for step in steps for one in step]
    timed = [one for one in everything if one.start is not None and not one.event.absent]
    if not timed:
        return steps
    first, last = min(one.start or 0.0 for one in timed), max(one.end or 0.0 for one in timed)
    whole = [
        one
        for one in timed
        if one.event.behaviour.kind in ("emotion", "speech") and one.start == first and (one.end or 0.0) >= last - 0.1
    ]
    if len(whole) < len(timed):  # what spans all the others
        timed = [one for one in timed if not any(one is other for other in whole)]
    else:
        whole = []
    found: list[list[Statement]] = []
    end = 0.0
    for one in sorted(timed, key=lambda one: one.start or 0.0):
        start = one.start or 0.0
        if found and start < end - _OVERLAP:
            found[-1].append(one)
        else:
            found.append([one])
        end = max(end, start if one.end is None else one.end)
    lasting = [*whole, *(one for one in everything if one.start is None or one.event.absent)]
    return [[replace(one, throughout=True) for one in lasting], *found] if lasting else found


def _lasting(steps: list[list[Statement]]) -> tuple[list[list[Statement]], list[Statement]]:
    """What goes on all the time though nobody says so.

    An emotion or a way of speaking that opens or closes a text beside something else, or is all that it tells of; what
    does not happen.
    """
    found = [one for step in steps for one in step if one.throughout]
    kinds = {one.event.behaviour.kind for step in steps for one in step if not one.event.absent}
    alone = len(steps) == 1 and kinds <= {"emotion", "speech"}
    for kind in ("emotion", "speech"):
        present = [[one for one in step if not one.event.absent and one not in found] for step in steps]
        of_kind = [one for step in present for one in step if one.event.behaviour.kind == kind]
        if len(of_kind) != 1:
            continue
        ends = [step for step in (present[0], present[-1]) if any(one is of_kind[0] for one in step)]
        if kind == "speech":  # "talks and nods, then ..."; "nods, then smiles while talking"
            ends = [
                step
                for step in ends
                if (step is present[0] and step[0] is of_kind[0]) or (step is present[-1] and step[-1] is of_kind[0])
            ]
        if alone or any(len(step) > 1 for step in ends):
            found += of_kind
    found += [one for one in (*steps[0], *steps[-1]) if one.event.absent] if steps else []
    picked = {id(one) for one in found}
    kept = [[one for one in step if id(one) not in picked] for step in steps]
    unique = {id(one): replace(one, throughout=True) for one in found}
    return [step for step in kept if step], list(unique.values())
