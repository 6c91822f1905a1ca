"""What a text says against what is true: precision, recall and F1 of attributes by kind, and how much is made up.

Texts are read by `tdmm.corpus.language.parse`; the truth are the `events` of a manifest line. An attribute is a pair of
a behaviour and what is said of it, so that "looks slightly sad" of a slightly happy face is wrong in emotion and in
intensity. `tdmm.corpus.language.attributes` tells their kinds. Of two of them:

absence is wrong only where it does happen; what nobody asked about is not counted. stillness is not scored for clips
of which it is not known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tdmm.corpus.language.attributes import KINDS, Attributes, add_event, attributes_of_text
from tdmm.corpus.language.parse import Parsed, parse_text
from tdmm.corpus.lexicon import Behaviour, behaviours
from tdmm.errors import EvaluationError

OVERLAP = 0.3  # seconds by which one thing may begin before another ends, and still come after it


@dataclass(frozen=True)
class Tally:
    """Counts of attributes. right: stated and true. stated: by the text. true: of the truth."""

    right: int = 0
    stated: int = 0
    true: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.right + other.right, self.stated + other.stated, self.true + other.true)

    @property
    def precision(self) -> float:
        """Of what is stated, the share that is true; nan where nothing is stated."""
        return self.right / self.stated if self.stated else float("nan")

    @property
    def recall(self) -> float:
        """Of what is true, the share that is stated; nan where there is nothing."""
        return self.right / self.true if self.true else float("nan")

    @property
    def f1(self) -> float:
        """Their harmonic mean, 2 right / (stated + true); nan where nothing is stated nor true."""
        both = self.stated + self.true
        return 2 * self.right / both if both else float("nan")


@dataclass(frozen=True)
class AttributeScores:
    """Of one clip, or of many. kinds: by KINDS.

    made_up: attributes that a text states in so many words and that are not true; explicit: all that it states in so
    many words. What goes without saying (a moderate level, a count of one) is in neither.
    """

    kinds: Mapping[str, Tally]
    made_up: int = 0
    explicit: int = 0
    clips: tuple[AttributeScores, ...] = field(default=(), repr=False)

    @property
    def overall(self) -> Tally:
        """All kinds together."""
        return sum(self.kinds.values(), Tally())

    @property
    def hallucination(self) -> float:
        """The share of what is stated in so many words that is not true; nan where nothing is stated."""
        return self.made_up / self.explicit if self.explicit else float("nan")


def score_attributes(
    texts: Sequence[str],
    events: Sequence[Sequence[Mapping[str, Any]]],
    still: Sequence[bool | None] | None = None,
) -> AttributeScores:
    """Scores of N texts against the events of N clips, in the same order; `clips` holds those of each one.

    still: whether the head of each clip keeps still, None: not known (see `head_is_still`). An empty text states
    nothing, which costs recall. Raises `EvaluationError` where the numbers differ or an event is not in the lexicon.
    """
    known = [None] * len(events) if still is None else list(still)
    if not len(texts) == len(events) == len(known):
        raise EvaluationError(
            f"attributes: {len(texts)} texts for the events of {len(events)} clips and {len(known)} heads; "
            "give one of each a clip"
        )
    clips = tuple(
        _one(parse_text(text), attributes_of_events(truth, head), shown=_shown(truth), head=head)
        for text, truth, head in zip(texts, events, known, strict=True)
    )
    return AttributeScores(
        {kind: sum((clip.kinds[kind] for clip in clips), Tally()) for kind in KINDS},
        sum(clip.made_up for clip in clips),
        sum(clip.explicit for clip in clips),
        clips,
    )


def head_is_still(line: Mapping[str, Any]) -> bool | None:
    """Whether the head of a clip keeps still, from what its manifest line says; None: it says nothing of it.

    From the question about it or the long caption; else a movement of the head that is listed means no.
    """
    for question in line.get("questions") or ():
        if question.get("kind") == "stillness":
            return str(question.get("answer", "")).strip().lower().startswith("yes")
    if any(one.kind == "head" and name != "keep_still" for name, one in _present(line.get("events") or ())):
        return False
    long = (line.get("captions") or {}).get("long")
    return bool(parse_text(long).head_still) if long else None


def attributes_of_events(events: Sequence[Mapping[str, Any]], head_still: bool | None = None) -> Attributes:
    """The attributes of the structured truth. Raises `EvaluationError` for an event that is not in the lexicon."""
    found: Attributes = {kind: Counter() for kind in KINDS}
    for event in events:
        behaviour = _behaviour(event)
        if event.get("absent"):
            found["absence"][behaviour.id] += 1
        else:
            add_event(
                found, behaviour, event.get("side", ""), int(event.get("count") or 1), event.get("level", "moderate")
            )
    found["order"].update(dict.fromkeys(_order_of_events(events), 1))
    if head_still:
        found["stillness"]["still"] = 1
    return found


def _one(parsed: Parsed, truth: Attributes, shown: frozenset[str], head: bool | None) -> AttributeScores:
    stated, explicit = attributes_of_text(parsed), attributes_of_text(parsed, explicit_only=True)
    for said in (stated, explicit):
        # A denial of what nobody asked about is true as long as it is not shown.
        for name in [name for name in said["absence"] if name not in truth["absence"] and name not in shown]:
            del said["absence"][name]
        if head is None:
            said["stillness"].clear()
        elif not head:
            said["stillness"].pop("moves", None)
    kinds = {
        kind: Tally(_total(stated[kind] & truth[kind]), _total(stated[kind]), _total(truth[kind])) for kind in KINDS
    }
    made_up = sum(_total(explicit[kind] - truth[kind]) for kind in KINDS)
    return AttributeScores(kinds, made_up, sum(_total(explicit[kind]) for kind in KINDS))


def _total(counts: Counter[Any]) -> int:
    return sum(counts.values())


def _behaviour(event: Mapping[str, Any]) -> Behaviour:
    found = behaviours().get(str(event.get("id")))
    if found is None:
        raise EvaluationError(f"attributes: the event {event.get('id')!r} is not in the lexicon of tdmm.corpus.lexicon")
    return found


def _present(events: Iterable[Mapping[str, Any]]) -> list[tuple[str, Behaviour]]:
    return [(str(event["id"]), _behaviour(event)) for event in events if not event.get("absent")]


def _shown(events: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    return frozenset(name for name, _ in _present(events))


def _order_of_events(events: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Pairs of behaviours of which one ends before the other begins."""
    timed = [
        event
        for event in events
        if not event.get("absent") and not event.get("throughout") and event.get("start") is not None
    ]
    placed = [
        event
        for event in timed
        if _behaviour(event).kind not in ("emotion", "speech")
        or not any(other is not event and _meet(event, other) for other in timed)
    ]
    return [
        (first["id"], second["id"])
        for first in placed
        for second in placed
        if first["id"] != second["id"] and second["start"] > first["end"] - OVERLAP and second["start"] > first["start"]
    ]


def _meet(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    return bool(first["start"] < second["end"] - OVERLAP and second["start"] < first["end"] - OVERLAP)
