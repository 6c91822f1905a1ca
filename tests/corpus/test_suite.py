"""The prompt suite: even, the same for ever, and of chosen slots only."""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tdmm.corpus.lexicon import LEVELS, behaviours, of_kind
from tdmm.corpus.program import Program, check, checked, parse_program
from tdmm.corpus.suite import PATTERNS, SLOTS, Choice, choose, dressed, suite_program
from tdmm.errors import CorpusError

SEEDS = (0, 1)
COUNT = 4000


def of_suite(number: int, seed: int, choice: Choice) -> tuple[Program, dict[str, str]]:
    return suite_program(number, seed, choice, np.random.default_rng([seed, 7, number]))


@lru_cache(maxsize=2)
def whole(seed: int) -> list[tuple[Program, dict[str, str]]]:
    choice = choose()
    return [of_suite(number, seed, choice) for number in range(COUNT)]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("slot", SLOTS)
def test_every_value_of_a_slot_comes_as_often_as_any_other(slot: str, seed: int) -> None:
    counts = Counter(slots[slot] for _, slots in whole(seed) if slot in slots)
    values = list(LEVELS) if slot == "intensity" else [one.id for one in of_kind(slot)]
    often = np.array([counts[value] for value in values])
    assert set(counts) == set(values)
    assert often.std() / often.mean() <= 0.1


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", ["emotion", "action", "head", "gaze", "speech"])
def test_every_behaviour_is_seen_as_often_as_any_other_of_its_kind(kind: str, seed: int) -> None:
    seen: dict[str, int] = defaultdict(int)
    for program, _ in whole(seed):
        for event in program.events():
            if event.behaviour.kind == kind and not event.absent:
                seen[event.id] += 1
    often = np.array([seen[one.id] for one in of_kind(kind)])
    assert often.std() / often.mean() <= 0.1


def test_twenty_in_a_row_hold_every_pattern() -> None:
    assert len(PATTERNS) == 20
    for start in range(0, 400, 20):
        programs = [program for program, _ in whole(0)[start : start + 20]]
        assert sum(any(event.absent for event in program.events()) for program in programs) <= PATTERNS.count("denied")
        assert sum(any(event.behaviour.kind == "speech" for event in p.events()) for p in programs) >= 3


def test_every_program_can_be_done_and_written() -> None:
    for program, slots in whole(0)[:1000]:
        check(program)
        for event in program.events():
            checked(event)
        assert str(parse_program(str(program))) == str(program)
        present = {event.id for event in program.events() if not event.absent}
        assert {value for slot, value in slots.items() if slot != "intensity"} <= present
        assert len(program.steps) <= 4


def test_the_intensity_is_that_of_the_emotion() -> None:
    for program, slots in whole(0):
        felt = [event for event in program.events() if event.behaviour.kind == "emotion"]
        if "intensity" in slots:
            assert slots["intensity"] == next(event.level for event in felt if event.id == slots["emotion"])


def test_programs_are_of_many_kinds() -> None:
    programs = [str(program) for program, _ in whole(0)]
    assert len(set(programs)) > 0.9 * COUNT
    counts = Counter(event.count for program, _ in whole(0) for event in program.events())
    assert set(counts) == {1, 2, 3, 4, 5}
    sides = Counter(event.side for program, _ in whole(0) for event in program.events())
    assert abs(sides["left"] - sides["right"]) < 0.15 * sides["left"]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**7), st.integers(0, 2**32))
def test_a_program_depends_on_nothing_but_its_number_and_the_seed(number: int, seed: int) -> None:
    first = of_suite(number, seed, choose())
    of_suite(number + 1, seed, choose())
    again = of_suite(number, seed, choose())
    assert str(first[0]) == str(again[0])
    assert first[1] == again[1]


def test_another_seed_gives_other_programs() -> None:
    same = sum(str(one[0]) == str(other[0]) for one, other in zip(whole(0), whole(1), strict=True))
    assert same < 0.01 * COUNT


def test_only_chosen_values_fill_their_slots() -> None:
    wanted = {"emotion": ["joy", "anger"], "intensity": ["slight"], "action": ["smile", "wink"], "head": ["nod"]}
    choice = choose(wanted)
    for number in range(300):
        program, slots = of_suite(number, 3, choice)
        for event in program.events():
            if not event.absent and event.behaviour.kind in wanted:
                assert event.id in wanted[event.behaviour.kind], str(program)
        assert slots.get("intensity", "slight") == "slight"


def test_a_slot_that_is_not_named_takes_all_and_a_value_given_twice_counts_once() -> None:
    assert choose().of("action") == tuple(one.id for one in of_kind("action"))
    assert choose({"head": ["nod", "nod", "shake"]}).of("head") == ("nod", "shake")
    assert choose({"head": []}).of("head") == choose().of("head")
    assert choose({"head": ["nod"]}).of("gaze") == choose().of("gaze")


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"mood": ["joy"]}, "there is no slot 'mood'; expected one of emotion, intensity, action, head, gaze, speech"),
        ({"intensity": ["huge"]}, "there is no intensity 'huge'; expected one of slight, moderate, strong"),
        ({"emotion": ["angry"]}, "there is no emotion 'angry'; did you mean anger"),
        ({"action": ["nod"]}, "there is no action 'nod'"),
        ({"head": ["xqzzv"]}, "there is no head 'xqzzv'; tdmm generate-corpus --list shows them all"),
    ],
)
def test_an_unknown_slot_or_value_is_named(wanted: dict[str, list[str]], message: str) -> None:
    with pytest.raises(CorpusError) as failed:
        choose(wanted)
    assert message in str(failed.value)


def test_events_are_dressed_as_the_behaviour_allows() -> None:
    random = np.random.default_rng(0)
    for behaviour in behaviours().values():
        for _ in range(30):
            event = checked(dressed(behaviour, random))
            assert event.level == "moderate" or not (behaviour.full or behaviour.fixed)
    assert {dressed(behaviours()["smile"], random, "strong").level for _ in range(5)} == {"strong"}
