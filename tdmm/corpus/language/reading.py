"""Reading a text: the phrases in it, and which manner, side, number and time belongs to which event."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from tdmm.corpus.language.clauses import words
from tdmm.corpus.language.matching import Found, Phrases, Token, tokens_of
from tdmm.corpus.language.phrases import ways
from tdmm.corpus.lexicon import Behaviour, behaviours, read_data
from tdmm.corpus.program import MOST_REPEATS

NUMBERS = {
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
}  # fmt: skip
# Phrases of one sort before those of the next, where two behaviours have the same.
_SORTS = ("verbs", "held_out", "nouns", "adjectives", "adverbs")
_THEN = (
    "then", "and then", "after that", "and after that", "followed by which", "followed by", "next", "afterwards",
    "finally", "and finally", "later", "a moment later", "subsequently", "before", "> ", "->", "→", ";", "in the end",
    "soon after", "right after that", "thereafter", "and next", "lastly", "at last", "eventually", "until",
)  # fmt: skip
_TOGETHER = (
    "while", "and at the same time", "at the same time", "while also", "all the while", "simultaneously", "meanwhile",
    "and meanwhile", "with", "as", "whilst", "at once", "during which", "in the meantime", "together with",
    "accompanied by",
)  # fmt: skip
_NOT = ("without", "without ever", "without once", "never", "not", "no", "nor", "not once", "without any", "never once")
_THROUGHOUT = (
    "from start to end", "whole clip", "constantly", "for the whole clip", "all the time", "continuously",
    "the whole clip",
)  # fmt: skip
_SIDE = (
    "to the {side}", "on the {side}", "{side}", "on the {side} side", "to the {side} side", "towards the {side}",
    "{side} side", "with the {side} side",
)  # fmt: skip
# May stand between a negation and what does not happen.
_AFTER_NOT = frozenset(
    "show do be make give have any even single sign of ever perform to really seem look appear feel".split()
)
# Words in the middle of a clause that only say how.
_PUT_IN = (
    "slowly", "quickly", "slightly", "strongly", "rapidly", "briefly", "gently", "suddenly", "subtly", "clearly",
    "softly", "faintly", "also", "vigorously", "just", "then", "immediately", "really", "again", "gradually", "fast",
    "briskly", "swiftly", "unhurriedly", "leisurely", "carefully", "visibly", "noticeably",
)  # fmt: skip
# Adjectives that mean something else as often: read only where something says that they are of a look.
_COMMON = frozenset(
    "kind lost cross tender touched fond critical cool animated eager withering dashed hurt open".split()
)
_LOOKS = frozenset("look seem appear be feel act sound become get grow turn stay very so and with".split())
_SECONDS = re.compile(
    r"\bfor (?:about |around |roughly |some )?(\d+(?:\.\d+)?|" + "|".join(NUMBERS) + r")\s?(?:seconds?|secs?|s)\b"
    r"|\((\d+(?:\.\d+)?)\s?s\)"
)
_SPAN_AFTER = re.compile(
    r"\((?:from )?(\d+(?:\.\d+)?)(?: s)?(?: to |-| - )(\d+(?:\.\d+)?) s\)|\((\d+(?:\.\d+)?) s, (\d+(?:\.\d+)?) s long\)"
)
_SPAN_BEFORE = re.compile(
    r"(?<![\d.])(\d+(?:\.\d+)?)\s?s?\s?(?:-|–)\s?(\d+(?:\.\d+)?)\s?s(?:econds)?\s?:"
    r"|\[(\d+(?:\.\d+)?)\s?s?\s?-\s?(\d+(?:\.\d+)?)\s?s?\]:?"
)
_START = re.compile(r"\bat (\d+(?:\.\d+)?) (?:seconds|s)\b")
_END = re.compile(r", until (\d+(?:\.\d+)?)(?: seconds| s)?\b")
_TIMES = re.compile(r"(?<![\w.])(?:[x×]\s?(\d+)|(\d+)\s?[x×])(?!\w)|\b(\d+) times\b")
_MARKS = 0xE000  # where Unicode leaves room for one's own: marks of what was read before the words


@dataclass
class Item:
    """A phrase or a mark in the text, tokens start to end; of an event, `said` is what is said of it.

    kind: event, level, count, tempo, seconds, span, start, end, throughout, side, not, still, then, together, after.
    value: of an event its id, level and sort of phrase.
    """

    kind: str
    value: Any
    start: int
    end: int
    side: str = ""
    put_in: tuple[int, ...] = ()
    said: dict[str, Any] = field(default_factory=dict)

    @property
    def behaviour(self) -> Behaviour:
        """Of an event."""
        return behaviours()[self.value[0]]

    @property
    def is_emotion(self) -> bool:
        """Of an event."""
        return self.behaviour.kind == "emotion"


@dataclass
class Reading:
    """A text with what was found in it: `items` in their order, those of them that are events, and whether it is said
    that the head keeps still."""

    text: str
    tokens: Sequence[Token]
    marks: Sequence[tuple[str, Any]]
    found: Sequence[Found]
    head_still: bool | None = None
    items: list[Item] = field(default_factory=list)
    events: list[Item] = field(default_factory=list)

    def read(self) -> None:
        covered = {place for one in self.found for place in range(one.start, one.end)}
        items = [
            Item(one.phrase.kind, one.phrase.value, one.start, one.end, one.side, one.put_in) for one in self.found
        ]
        for place, token in enumerate(self.tokens):
            number = ord(token.word[0]) - _MARKS
            if place not in covered and 0 <= number < len(self.marks):
                items.append(Item(*self.marks[number], place, place + 1))
        self.items = sorted((one for one in items if self._is_meant(one)), key=lambda one: one.start)
        self.events = [one for one in self.items if one.kind == "event"]
        for one in self.events:
            self._say_what_its_phrase_says(one)
        for number, one in enumerate(self.items):
            if one.kind == "still":
                self.head_still = one.value
            elif one.kind not in ("event", "then", "together", "after"):
                self._attach(number, one)

    def _is_meant(self, item: Item) -> bool:
        """Whether an adjective that is common elsewhere is of a look here."""
        if item.kind != "event":
            return True
        if item.value[0] == "grimace" and "the face" in self.text[self.tokens[item.start].start :][:16].lower():
            return False  # "make the face smile"
        if item.value[2] != "adjectives" or item.end - item.start > 1:
            return True
        if self.tokens[item.start].raw not in _COMMON:
            return True
        before = [token.word for token in self.tokens[max(0, item.start - 3) : item.start]]
        after = self.tokens[item.end : item.end + 1]
        return bool(_LOOKS.intersection(before)) or not (after and after[0].word.isalpha())

    def _say_what_its_phrase_says(self, item: Item) -> None:
        if item.value[1]:
            item.said["level"] = item.value[1]
        if item.side and (item.behaviour.sided or item.behaviour.sides):
            item.said["side"] = item.side
        for place in item.put_in:
            for one in known_phrases().find([self.tokens[place]]):
                if one.phrase.kind == "level":
                    item.said.setdefault("level", one.phrase.value[0])
                elif one.phrase.kind == "tempo":
                    item.said.setdefault("tempo", one.phrase.value)

    def _attach(self, number: int, item: Item) -> None:
        """Say of an event what stands beside it."""
        before, after = self._beside(number, -1), self._beside(number, 1)
        kind, value = item.kind, item.value
        if kind == "not":
            event = after or self._following(item, _AFTER_NOT)
            if event is not None:
                event.said["absent"] = True
                self._deny_the_next(event)
        elif kind == "level":
            level, may_follow = value
            feeling = after is not None and after.value[2] in ("adjectives", "nouns") and after.is_emotion
            event = after if after is not None and (feeling or not may_follow) else before or after
            if event is not None and (feeling or "level" not in event.said):
                event.said["level"] = level
        elif kind == "side":
            event = next((one for one in (before, after) if one is not None and "side" not in one.said), None)
            if event is None and item.side:
                self._repeat(number, item)
            elif event is not None and item.side and (event.behaviour.sided or event.behaviour.sides):
                event.said["side"] = item.side
        elif kind == "count":
            event = next((one for one in (before, after) if one is not None and one.behaviour.repeats), None)
            if event is not None and 1 <= value <= MOST_REPEATS:
                event.said.setdefault("count", value)
        elif kind in ("span-before", "start"):
            event = after or self._following(item)
            if event is not None:
                event.said["start"], event.said["end"] = value if kind == "span-before" else (value, None)
        else:
            event = before or after
            if event is None and kind == "throughout":
                event = self._following(item)
            if event is None:
                return
            if kind == "span":
                event.said["start"], event.said["end"] = value
            elif kind == "end":
                event.said["end"] = value
            else:
                event.said.setdefault(kind, True if kind == "throughout" else value)

    def _repeat(self, number: int, item: Item) -> None:
        """`turns left, then right`: a side alone is the last event again, to that side."""
        last = next((one for one in reversed(self.events) if one.end <= item.start), None)
        joined = number > 0 and self.items[number - 1].kind == "then" and self.items[number - 1].end == item.start
        if last is None or not joined or "side" not in last.said:
            return
        between = {token.word for token in self.tokens[last.end : self.items[number - 1].start]}
        if between <= {",", "and"}:
            again = Item("event", last.value, item.start, item.end, said={**last.said, "side": item.side})
            self.events.insert(self.events.index(last) + 1, again)

    def _beside(self, number: int, step: int) -> Item | None:
        """The event before or after an item with nothing but manner in between."""
        here = self.items[number]
        number += step
        while 0 <= number < len(self.items):
            other = self.items[number]
            touching = other.end == here.start if step < 0 else here.end == other.start
            if (
                not touching
                or other.kind in ("then", "together", "after", "still")
                or (other.kind == "not" and step < 0)
            ):
                return None
            if other.kind == "event":
                return other
            here, number = other, number + step
        return None

    def _following(self, item: Item, allowed: frozenset[str] | None = None) -> Item | None:
        """The next event of the sentence, with only `allowed` words in between if they are given."""
        event = next((one for one in self.events if one.start >= item.end), None)
        if event is None:
            return None
        between = [token.word for token in self.tokens[item.end : event.start]]
        if allowed is None:
            return None if {".", ";"} & set(between) else event
        manner = {place for one in self.items if one.kind in ("level", "tempo") for place in range(one.start, one.end)}
        fine = all(self.tokens[place].word in allowed or place in manner for place in range(item.end, event.start))
        return event if fine else None

    def _deny_the_next(self, event: Item) -> None:
        """`without smiling or nodding`: what `or` joins is denied too."""
        at = self.events.index(event)
        while at + 1 < len(self.events):
            one, other = self.events[at], self.events[at + 1]
            between = [token.word for token in self.tokens[one.end : other.start]]
            if not between or between[-1] not in ("or", "nor") or not set(between) <= {",", "or", "nor"}:
                return
            other.said["absent"] = True
            at += 1


def read(text: str) -> Reading:
    """Read a text."""
    marks: list[tuple[str, Any]] = []
    tokens = tokens_of(_marked(text, marks))
    reading = Reading(text, tokens, marks, known_phrases().find(tokens))
    reading.read()
    return reading


# -- phrases -------------------------------------------------------------------------------------------


@cache
def known_phrases() -> Phrases:
    """All that is looked for."""
    simple = read_data("simple_forms.toml")
    found = Phrases(_PUT_IN)
    for sort in _SORTS:
        for name, lists in ways().items():
            for key in lists.__dataclass_fields__:
                if key.startswith(sort):
                    level = key.rpartition("_")[2] if key.endswith(("_slight", "_strong")) else ""
                    for phrase in getattr(lists, key):
                        found.add(phrase, "event", (name, level, sort))
    for name in behaviours():
        kind = behaviours()[name].kind
        found.add(behaviours()[name].name, "event", (name, "", "nouns" if kind == "emotion" else "names"))
    for name, phrases in simple["nouns"].items():
        for phrase in phrases:
            found.add(phrase, "event", (name, "", "nouns"))
    for name, phrases in simple["forms"].items():
        for phrase in phrases:
            found.add(phrase, "event", (name, "", "names"))
    for still, phrases in simple["head_still"].items():
        for phrase in phrases:
            found.add(phrase, "still", still == "yes")
    _add_manner(found, simple)
    return found


def _add_manner(found: Phrases, simple: dict[str, Any]) -> None:
    known = words()
    for level, lists in known["levels"].items():
        for phrase in dict.fromkeys(phrase for phrases in lists.values() for phrase in phrases if phrase):
            after = phrase in (*lists.get("general", ()), *lists.get("head", ()))
            found.add(phrase, "level", (level, after))
    for level, phrases in simple["levels"].items():
        for phrase in phrases:
            found.add(phrase, "level", (level, True))
    for tempo, phrases in [*known["tempi"].items(), *simple["tempi"].items()]:
        for phrase in phrases:
            found.add(phrase, "tempo", tempo)
    for count, phrases in known["counts"].items():
        for phrase in phrases:
            found.add(phrase, "count", int(count))
    for phrase, kind in (
        *((one, "then") for one in _THEN),
        *((one, "together") for one in _TOGETHER),
        *((one, "not") for one in _NOT),
        *((one, "throughout") for one in (*known["joins"]["throughout"], *_THROUGHOUT)),
        *((one, "side") for one in _SIDE),
        ("after", "after"),
    ):
        found.add(phrase, kind, phrase.strip())


def _marked(text: str, marks: list[tuple[str, Any]]) -> str:
    """The text with times and numbers of repeats replaced by marks of the same length."""
    low = text.lower()
    if len(low) != len(text):  # some letters grow
        low = "".join(letter.lower()[:1] for letter in text)

    def mark(match: re.Match[str], kind: str, value: Any) -> str:
        marks.append((kind, value))
        return chr(_MARKS + len(marks) - 1) + " " * (len(match[0]) - 1)

    def numbers(match: re.Match[str]) -> list[float]:
        return [float(NUMBERS.get(one, one)) for one in match.groups() if one]

    if not any(letter.isdigit() for letter in low) and "times" not in low and "second" not in low:
        return low
    low = _SECONDS.sub(lambda match: mark(match, "seconds", numbers(match)[0]), low)
    low = _SPAN_AFTER.sub(
        lambda match: mark(
            match, "span", tuple(numbers(match)) if match[1] else (numbers(match)[0], sum(numbers(match)))
        ),
        low,
    )
    low = _SPAN_BEFORE.sub(lambda match: mark(match, "span-before", tuple(numbers(match))), low)
    if _START.search(low):
        low = _START.sub(lambda match: mark(match, "start", numbers(match)[0]), low)
        low = _END.sub(lambda match: mark(match, "end", numbers(match)[0]), low)
    return _TIMES.sub(lambda match: mark(match, "count", int(numbers(match)[0])), low)
