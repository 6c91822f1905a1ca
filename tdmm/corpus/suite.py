"""The prompt suite: programs spread evenly over emotions, intensities, actions, head movements, gazes and ways of
speaking.

Program number n of a seed is always the same one, so that workers and later runs need not agree on anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from tdmm.corpus.lexicon import LEVELS, Behaviour, find, of_kind
from tdmm.corpus.program import Event, Program, check, exclude_each_other
from tdmm.errors import CorpusError

# What twenty programs in a row are, in an order drawn anew for each twenty.
PATTERNS = (
    *("full",) * 7,  # an emotion all the time, an action, a movement of the head
    *("sequence",) * 5,  # two to four things one after the other, some of them at the same time
    *("single",) * 2,
    *("spoken",) * 3,  # speech with an emotion, and a movement of head or eyes
    *("felt",) * 2,  # an emotion alone, or one that gives way to another
    "denied",  # something is said not to happen
)
SLOTS = ("emotion", "intensity", "action", "head", "gaze", "speech")
_ALONE = ("action", "head", "gaze", "speech")
_COUNTS, _COUNT_CHANCE = (1, 2, 3, 4, 5), (0.4, 0.31, 0.19, 0.07, 0.03)
_LONGEST_BEATS = 4.5  # seconds that repeats may take
_DENIABLE = ("blink", "smile", "nod", "speak", "open_mouth", "shake")


@dataclass(frozen=True)
class Choice:
    """Which values each slot may take: all of the lexicon, unless somebody asks for some only."""

    values: Mapping[str, tuple[str, ...]]

    def of(self, slot: str) -> tuple[str, ...]:
        return self.values[slot]


def choose(wanted: Mapping[str, Sequence[str]] | None = None) -> Choice:
    """The slots with the values that are `wanted` (all, where a slot is not named).

    Raises `CorpusError` for an unknown slot or value, with what comes near.
    """
    wanted = dict(wanted or {})
    unknown = [slot for slot in wanted if slot not in SLOTS]
    if unknown:
        raise CorpusError(f"there is no slot {unknown[0]!r}; expected one of {', '.join(SLOTS)}")
    values: dict[str, tuple[str, ...]] = {}
    for slot in SLOTS:
        given = tuple(dict.fromkeys(wanted.get(slot, ())))
        if slot == "intensity":
            for level in given:
                if level not in LEVELS:
                    raise CorpusError(f"there is no intensity {level!r}; expected one of {', '.join(LEVELS)}")
            values[slot] = given or tuple(LEVELS)
        else:
            for name in given:
                find(name, slot)
            values[slot] = given or tuple(one.id for one in of_kind(slot))
    return Choice(values)


def suite_program(
    number: int, seed: int, choice: Choice, random: np.random.Generator
) -> tuple[Program, dict[str, str]]:
    """Program `number` of the suite, and the slots that it fills."""
    block, place = divmod(number, len(PATTERNS))
    order = np.random.default_rng([seed, 11, block]).permutation(len(PATTERNS))
    pattern = PATTERNS[order[place]]
    # The how manieth of its pattern: each pattern has rotations of its own, so that its slots come out even.
    rank = block * PATTERNS.count(pattern) + sum(PATTERNS[one] == pattern for one in order[:place])
    draw = _Draw(rank, seed, PATTERNS.index(pattern), choice, random)
    return _MAKERS[pattern](draw)


@lru_cache(maxsize=512)
def _rotation(values: tuple[str, ...], seed: int, turn: int) -> tuple[str, ...]:
    return tuple(values[one] for one in np.random.default_rng([seed, 13, turn]).permutation(len(values)))


@dataclass
class _Draw:
    """Draws for one program: values by rotation, the rest by chance."""

    rank: int
    seed: int
    stream: int
    choice: Choice
    random: np.random.Generator

    def value(self, slot: str, number: int | None = None) -> str:
        """The value of a slot at a place of its rotation; every value comes once before any comes again."""
        return self.one_of(self.choice.of(slot), self.rank if number is None else number, SLOTS.index(slot))

    def one_of(self, values: tuple[str, ...], number: int | None = None, slot: int = len(SLOTS)) -> str:
        """The same of any values. slot: each has rotations of its own."""
        round_, place = divmod(self.rank if number is None else number, len(values))
        stream = 100_000 * (10 * self.stream + slot) + round_
        return _rotation(values, self.seed, stream)[place]

    def event(self, slot: str, number: int | None = None, level: str | None = None) -> Event:
        return dressed(find(self.value(slot, number)), self.random, level)

    def turn_of(self, share: float, offset: float = 0.0) -> int | None:
        """Which turn of a thing that takes part in `share` of the programs this one has; None: in this one it does not.

        Evenly, not by chance, so that its values come out even.
        """
        place = self.rank * share + offset
        return int(place) if int(place + share) > int(place) else None

    def pick(self, options: Sequence[str]) -> str:
        return options[int(self.random.integers(len(options)))]


def dressed(behaviour: Behaviour, random: np.random.Generator, level: str | None = None) -> Event:
    """An event of the behaviour with side, count, level, tempo and duration as they come."""
    side = ""
    if behaviour.sided or (behaviour.sides and random.random() < 0.45):
        side = ("left", "right")[int(random.integers(2))]
    draw = random.random(3)
    count = 1
    if behaviour.repeats:
        count = int(random.choice(_COUNTS, p=_COUNT_CHANCE))
        count = max(1, min(count, int(_LONGEST_BEATS / (behaviour.period[1] + behaviour.gap[1]))))
    if level is None:
        level = "slight" if draw[0] < 0.24 else "strong" if draw[0] > 0.76 else "moderate"
    if behaviour.full or behaviour.fixed or behaviour.kind in ("speech", "gaze"):
        level = "moderate"
    tempo = "normal"
    if behaviour.kind in ("head", "action") and not behaviour.full and not behaviour.fixed and behaviour.tremor is None:
        tempo = "slow" if draw[1] < 0.1 else "fast" if draw[1] > 0.92 else "normal"
    seconds = None
    held = behaviour.keys is None and behaviour.kind in ("action", "head", "gaze")
    if held and tempo == "normal" and draw[2] < 0.12:
        seconds = (
            float(random.choice((1.5, 2, 2.5, 3, 4))) if behaviour.shortest < 1.4 else float(random.choice((2, 3, 4)))
        )
    return Event(behaviour, side=side, count=count, level=level, tempo=tempo, seconds=seconds)


def _arranged(base: list[Event], parts: list[Event], draw: _Draw, together: float) -> Program:
    """The parts as steps, some at the same time; what excludes something of the base becomes a step of its own."""
    kept: list[Event] = []
    for event in base:
        others = [*parts, *(one for one in base if one is not event)]
        if any(exclude_each_other(event, other) for other in others) and not event.absent:
            parts = [event, *parts] if draw.random.random() < 0.5 else [*parts, event]
        else:
            kept.append(event)
    steps: list[tuple[Event, ...]] = []
    for part in parts:
        free = steps and not any(exclude_each_other(part, other) for other in steps[-1])
        if free and len(steps[-1]) < 2 and draw.random.random() < together:
            steps[-1] = (*steps[-1], part)
        else:
            steps.append((part,))
    program = Program(tuple(steps), tuple(kept))
    check(program)
    return program


def _slots(*events: Event, **others: str) -> dict[str, str]:
    found = {event.behaviour.kind: event.id for event in events}
    felt = next((event for event in events if event.behaviour.kind == "emotion"), None)
    if felt is not None and felt.id != "neutral":
        found["intensity"] = felt.level
    return {**found, **others}


def _full(draw: _Draw) -> tuple[Program, dict[str, str]]:
    emotion = draw.event("emotion", level=draw.value("intensity"))
    action, head = draw.event("action"), draw.event("head")
    parts = [action, head] if draw.random.random() < 0.5 else [head, action]
    if (turn := draw.turn_of(0.3)) is not None:
        parts.insert(int(draw.random.integers(3)), draw.event("gaze", turn))
    program = _arranged([emotion], parts, draw, together=0.4)
    return program, _slots(emotion, *parts)


def _sequence(draw: _Draw) -> tuple[Program, dict[str, str]]:
    action, head = draw.event("action"), draw.event("head")
    parts = [action, head]
    if (turn := draw.turn_of(0.5)) is not None:
        parts.append(draw.event("gaze", turn))
    if draw.random.random() < 0.3:
        # Another turn of the rotation: no action twice in one program.
        other = draw.event("action", draw.rank + len(draw.choice.of("action")) // 2)
        if other.id != action.id:
            parts.append(other)
    parts = [parts[one] for one in draw.random.permutation(len(parts))]
    base = []
    if (turn := draw.turn_of(0.35)) is not None:
        base.append(draw.event("emotion", turn, draw.value("intensity", turn)))
    program = _arranged(base, parts, draw, together=0.3)
    return program, _slots(*base, action, *(part for part in parts if part is not action))


def _single(draw: _Draw) -> tuple[Program, dict[str, str]]:
    event = dressed(find(draw.one_of(tuple(name for slot in _ALONE for name in draw.choice.of(slot)))), draw.random)
    if event.behaviour.kind == "speech" or event.id == "keep_still":
        return Program((), (event,)), _slots(event)
    return Program(((event,),)), _slots(event)


def _spoken(draw: _Draw) -> tuple[Program, dict[str, str]]:
    emotion, speech = draw.event("emotion", level=draw.value("intensity")), draw.event("speech")
    parts = []
    if (turn := draw.turn_of(0.5)) is not None:
        parts.append(draw.event("head", turn))
    elif (turn := draw.turn_of(0.6)) is not None:
        parts.append(draw.event("gaze", turn))
    if (turn := draw.turn_of(0.3, 0.5)) is not None:
        parts.insert(0, draw.event("action", turn))
    program = _arranged([emotion, speech], parts, draw, together=0.3)
    return program, _slots(emotion, speech, *parts)


def _felt(draw: _Draw) -> tuple[Program, dict[str, str]]:
    emotion = draw.event("emotion", level=draw.value("intensity"))
    if draw.random.random() < 0.5:
        return Program((), (emotion,)), _slots(emotion)
    other = draw.event("emotion", draw.rank + len(draw.choice.of("emotion")) // 2)
    if other.id == emotion.id:
        return Program((), (emotion,)), _slots(emotion)
    return Program(((emotion,), (other,))), _slots(emotion)


def _denied(draw: _Draw) -> tuple[Program, dict[str, str]]:
    parts = [draw.event("action"), draw.event("head")]
    if draw.turn_of(0.25) is not None:
        parts = parts[:1]
    names = [_DENIABLE[one] for one in draw.random.permutation(len(_DENIABLE))]
    absent = next(
        (
            event
            for event in (Event(find(name), absent=True) for name in names)
            if not any(exclude_each_other(event, part) for part in parts)
        ),
        None,
    )
    base = [] if absent is None else [absent]
    if draw.random.random() < 0.4:
        emotion = draw.event("emotion", level=draw.value("intensity"))
        if not any(exclude_each_other(emotion, one) for one in base):
            base.insert(0, emotion)
    program = _arranged(base, parts, draw, together=0.4)
    return program, _slots(*(one for one in base if not one.absent), *parts)


_MAKERS = {
    "full": _full,
    "sequence": _sequence,
    "single": _single,
    "spoken": _spoken,
    "felt": _felt,
    "denied": _denied,
}
