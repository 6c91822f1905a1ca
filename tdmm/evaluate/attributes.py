"""What a text says against what is true: precision, recall and F1 of attributes by kind, and how much is made up.

Texts are read by `tdmm.corpus.language.parse`; the truth are the `events` of a manifest line. An attribute is a pair of
a behaviour and what is said of it, so that "looks slightly sad" of a slightly happy face is wrong in emotion and in
intensity. Kinds:

emotion, action, head, gaze, speech: behaviours that are shown, as often as they are.
intensity: (behaviour, level) of emotions, actions and movements of the head that can be done by halves. A text that
gives no level says moderate, as the prompts and captions of the corpus do.
side: (behaviour, left or right). count: (behaviour, times) of what can be counted; once, where nothing is said.
order: (earlier, later) pairs of behaviours of which one ends before the other begins. A feeling or a way of speaking
that goes along with something else has no place in the order.
absence: what is said not to happen. It is wrong only where it does happen; what nobody asked about is not counted.
stillness: that the head keeps still. Not scored for clips of which it is not known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tdmm.corpus.language.parse import Parsed, parse_text
from tdmm.corpus.lexicon import Behaviour, behaviours
from tdmm.errors import EvaluationError

KINDS = (
    "emotion",
    "intensity",
    "action",
    "head",
    "gaze",
    "speech",
    "side",
    "count",
    "order",
    "absence",
    "stillness",
)
OVERLAP = 0.3  # seconds by which one thing may begin before another ends, and still come after it
Attributes = dict[str, "Counter[Any]"]


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
            _add(found, behaviour, event.get("side", ""), int(event.get("count") or 1), event.get("level", "moderate"))
    found["order"].update(dict.fromkeys(_order_of_events(events), 1))
    if head_still:
        found["stillness"]["still"] = 1
    return found


def attributes_of_text(parsed: Parsed, explicit_only: bool = False) -> Attributes:
    """The attributes that a text states; `explicit_only`: without levels and counts that go without saying."""
    found: Attributes = {kind: Counter() for kind in KINDS}
    for one in parsed.statements:
        event = one.event
        if event.absent:
            found["absence"][event.id] += 1
            continue
        level = event.level if not explicit_only or "level" in one.said else ""
        count = event.count if not explicit_only or "count" in one.said else 0
        _add(found, event.behaviour, event.side, count, level)
    steps = [[one.event for one in step if not one.event.absent] for step in parsed.steps]
    steps = [
        [event for event in step if len(step) == 1 or event.behaviour.kind not in ("emotion", "speech")]
        for step in steps
    ]
    for number, step in enumerate(steps):
        for first in step:
            for later in steps[number + 1 :]:
                found["order"].update({(first.id, second.id): 1 for second in later if second.id != first.id})
    found["order"] = Counter(dict.fromkeys(found["order"], 1))
    if parsed.head_still is not None:
        found["stillness"]["still" if parsed.head_still else "moves"] = 1
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


def _add(found: Attributes, behaviour: Behaviour, side: str, count: int, level: str) -> None:
    found[behaviour.kind][behaviour.id] += 1
    if side:
        found["side"][behaviour.id, side] += 1
    if behaviour.repeats and count:
        found["count"][behaviour.id, count] += 1
    by_halves = behaviour.kind in ("emotion", "action", "head") and not behaviour.full and not behaviour.fixed
    if by_halves and behaviour.id != "neutral" and level:
        found["intensity"][behaviour.id, level] += 1


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
