"""Programs and their notation: what is read, what is refused and why."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from made_programs import events, programs

from tdmm.corpus.lexicon import behaviours, find
from tdmm.corpus.program import (
    LONGEST_SECONDS,
    MOST_REPEATS,
    Event,
    Program,
    check,
    checked,
    exclude_each_other,
    parse_program,
)
from tdmm.errors import CorpusError


@settings(max_examples=400, deadline=None)
@given(programs())
def test_notation_is_read_as_it_is_written(program: Program) -> None:
    text = str(program)
    assert parse_program(text) == program
    assert str(parse_program(text)) == text


@settings(max_examples=200, deadline=None)
@given(events(), events())
def test_exclusion_is_symmetric(first: Event, second: Event) -> None:
    assert exclude_each_other(first, second) == exclude_each_other(second, first)


@settings(max_examples=200, deadline=None)
@given(events())
def test_an_event_of_the_notation_passes_its_checks(event: Event) -> None:
    assert checked(event) is event


def test_a_known_program_is_read() -> None:
    program = parse_program("joy@slight + speak : nod*2 > look_aside.left=2.5 + !blink")
    assert [str(event) for event in program.base] == ["joy@slight", "speak"]
    assert [[str(event) for event in step] for step in program.steps] == [["nod*2"], ["look_aside.left=2.5", "!blink"]]
    nod, look, blink = (event for step in program.steps for event in step)
    assert (nod.count, nod.level, nod.tempo, nod.seconds, nod.absent) == (2, "moderate", "normal", None, False)
    assert (look.side, look.seconds) == ("left", 2.5)
    assert blink.absent
    assert program.events() == [*program.base, nod, look, blink]


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("smile", "smile"),
        ("  smile>nod*2 ", "smile > nod*2"),
        ("joy:smile+nod", "joy : smile + nod"),
        ("joy :", "joy :"),
        ("nod*1@moderate~normal=2.0", "nod=2"),
        ("!smile : nod", "!smile : nod"),
    ],
)
def test_other_spacing_and_what_goes_without_saying_is_read(text: str, normal: str) -> None:
    assert str(parse_program(text)) == normal


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'': an empty program; expected something like: smile > nod*2"),
        ("   ", "an empty program"),
        ("smile >", "'smile >': cannot read ''; expected something like smile@strong or nod*2 or turn.left"),
        ("smile + + nod", "cannot read ''"),
        (": smile", "cannot read ''"),
        ("Smile", "cannot read 'Smile'"),
        ("nod*two", "cannot read 'nod*two'"),
        ("nod@strong*2", "cannot read 'nod@strong*2'"),
        ("smile=-1", "cannot read 'smile=-1'"),
        ("smlie", "'smlie': there is no behaviour 'smlie'; did you mean smile"),
        ("joy > xqzzv", "'joy > xqzzv': there is no behaviour 'xqzzv'; tdmm generate-corpus --list shows them all"),
        ("turn.up", "'turn.up': turn: expected the side left or right, found 'up'"),
        ("smile.left", "smile: has no sides, found .left"),
        ("turn", "turn: needs a side: turn.left or turn.right"),
        ("smile*2", "smile: is not counted, found *2"),
        ("smile*0", "smile: is not counted, found *0"),
        ("nod*0", "nod: expected a count of 1 to 8, found 0"),
        ("nod*9", "nod: expected a count of 1 to 8, found 9"),
        ("smile@huge", "smile: expected an intensity of slight, moderate, strong, found 'huge'"),
        ("nod~quick", "nod: expected a tempo of slow, normal, fast, found 'quick'"),
        ("smile=0.1", "smile: expected 0.2 to 30 seconds, found 0.1"),
        ("smile=31", "smile: expected 0.2 to 30 seconds, found 31"),
        ("smile + frown", "smile + frown: smile and frown cannot happen together"),
        ("joy : nod > anger + shake", "joy and anger cannot happen together"),
        ("blink*2 + !blink", "blink*2 and !blink cannot happen together"),
        ("speak + neutral : nod + shout", "speak and shout cannot happen together"),
        ("neutral + rant :", "neutral and rant cannot happen together"),
        ("joy + sadness :", "joy and sadness cannot happen together"),
    ],
)
def test_what_cannot_be_read_or_done_is_named(text: str, message: str) -> None:
    with pytest.raises(CorpusError) as failed:
        parse_program(text)
    assert message in str(failed.value)
    assert "\n" not in str(failed.value)


def test_limits_are_allowed() -> None:
    for text in (f"nod*{MOST_REPEATS}", f"smile={LONGEST_SECONDS:g}", "smile=0.2"):
        assert str(parse_program(text)) == text


def test_base_excludes_in_every_step_and_steps_do_not_exclude_each_other() -> None:
    check(parse_program("smile > frown > smile"))
    with pytest.raises(CorpusError, match="cannot happen together"):
        parse_program("smile : nod > frown")


@pytest.mark.parametrize(
    ("first", "second", "excluded"),
    [
        ("!smile", "grin", True),
        ("!smile", "smirk.left", True),
        ("!smile", "frown", False),
        ("!smile", "joy", True),
        ("!smile", "calm", False),
        ("!blink", "wink.left", True),
        ("!blink", "close_eyes", True),
        ("!blink", "widen_eyes", False),
        ("!nod", "bow", True),
        ("!nod", "lower_head", True),
        ("!nod", "turn.left", False),
        ("!nod", "keep_still", False),
        ("!shake", "turn.left", True),
        ("!speak", "whisper", True),
        ("!speak", "chew", True),
        ("!speak", "smile", False),
        ("!open_mouth", "speak", True),
        ("!open_mouth", "gape", True),
        ("!open_mouth", "press_lips", False),
        ("!smile", "!smile", True),
        ("!smile", "!nod", False),
    ],
)
def test_a_denial_excludes_what_would_show_it(first: str, second: str, excluded: bool) -> None:
    one, other = (parse_program(text).events()[0] for text in (first, second))
    assert exclude_each_other(one, other) == excluded == exclude_each_other(other, one)


def test_everything_denies_itself() -> None:
    for behaviour in behaviours().values():
        side = "left" if behaviour.sided else ""
        assert exclude_each_other(Event(behaviour, side=side), Event(behaviour, side=side, absent=True)), behaviour.id


def test_a_denial_needs_no_side() -> None:
    assert str(parse_program("nod + !wink")) == "nod + !wink"


def test_a_message_of_an_event_alone_begins_with_its_name() -> None:
    with pytest.raises(CorpusError, match=r"^smile: has no sides"):
        checked(Event(find("smile"), side="left"))


def test_all_conflicts_of_a_step_are_found_wherever_they_stand() -> None:
    for order in itertools.permutations(("smile", "nod", "frown")):
        with pytest.raises(CorpusError, match="cannot happen together"):
            parse_program(" + ".join(order))
