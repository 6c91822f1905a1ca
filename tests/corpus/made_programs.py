"""Programs and people for the tests of the corpus."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from hypothesis import strategies as st

from tdmm.corpus.columns import COLUMNS
from tdmm.corpus.lexicon import LEVELS, TEMPI, behaviours
from tdmm.corpus.perform import Performance, perform
from tdmm.corpus.person import Person
from tdmm.corpus.program import Event, Program, exclude_each_other, parse_program
from tdmm.corpus.suite import choose, suite_program

# Nobody in particular: both halves of the face alike, at rest neutral.
EVEN = Person(
    expressive=0.5,
    pace=1.0,
    blinks=12.0,
    sway=0.4,
    steady=0.8,
    balance=np.ones(len(COLUMNS), np.float32),
    lag=0.0,
    rest=np.zeros(len(COLUMNS), np.float32),
    overshoot=0.04,
)


def acted(notation: str, seed: int = 0, **others: object) -> Performance:
    """A performance of a program in notation."""
    return perform(parse_program(notation), np.random.default_rng([41, seed]), **others)  # type: ignore[arg-type]


@lru_cache(maxsize=2)
def suite_programs(count: int) -> tuple[Program, ...]:
    """The first programs of the suite."""
    choice = choose()
    return tuple(suite_program(n, 5, choice, np.random.default_rng([5, n]))[0] for n in range(count))


@lru_cache(maxsize=2)
def suite_performances(count: int) -> tuple[Performance, ...]:
    """A performance of each of those."""
    return tuple(perform(one, np.random.default_rng([5, 1, n])) for n, one in enumerate(suite_programs(count)))


@st.composite
def events(draw: st.DrawFn) -> Event:
    """Any event that the notation can say."""
    behaviour = draw(st.sampled_from(list(behaviours().values())))
    absent = draw(st.integers(0, 9)) == 0
    sides = ["left", "right"] if behaviour.sided or behaviour.sides else []
    if not behaviour.sided or absent:
        sides.append("")
    seconds = st.none() | st.integers(2, 300).map(lambda tenths: tenths / 10) | st.sampled_from((0.25, 1.125, 2.0))
    return Event(
        behaviour,
        side=draw(st.sampled_from(sides)),
        count=draw(st.integers(1, 8)) if behaviour.repeats else 1,
        level=draw(st.sampled_from(list(LEVELS))),
        tempo=draw(st.sampled_from(list(TEMPI))),
        seconds=draw(seconds),
        absent=absent,
    )


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Any program whose events can go together: those that cannot are left out."""
    base: list[Event] = []
    for event in draw(st.lists(events(), max_size=2)):
        if not any(exclude_each_other(event, other) for other in base):
            base.append(event)
    steps = []
    for wanted in draw(st.lists(st.lists(events(), min_size=1, max_size=3), max_size=4)):
        step: list[Event] = []
        for event in wanted:
            if not any(exclude_each_other(event, other) for other in (*base, *step)):
                step.append(event)
        if step:
            steps.append(tuple(step))
    if not base and not steps:
        steps = [(draw(events()),)]
    return Program(tuple(steps), tuple(base))
