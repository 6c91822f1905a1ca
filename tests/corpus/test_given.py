"""Prompts of the user's own: what each kind of line is taken for, and what is said of wrong ones."""

from __future__ import annotations

import json

import pytest

from tdmm.corpus.given import read_prompt, read_prompts
from tdmm.corpus.lexicon import behaviours
from tdmm.errors import CorpusError


@pytest.mark.parametrize(
    ("line", "program"),
    [
        ("smile", "smile"),
        ("smile > nod*2", "smile > nod*2"),
        ("turn.left", "turn.left"),
        ("blink=2", "blink=2"),
        ("!smile", "!smile"),
        ("nod~slow", "nod~slow"),
        ("smile : nod", "smile : nod"),
        ("speak :", "speak :"),
        ("turn.left : speak", "turn.left : speak"),
        ("joy@slight + speak : nod*2 > look_aside.left + !blink=2",) * 2,
    ],
)
def test_the_notation_is_a_program_without_a_text(line, program):
    prompt = read_prompt(line)
    assert (prompt.text, str(prompt.program)) == ("", program)


def test_the_name_of_every_behaviour_is_a_program():
    for behaviour in behaviours().values():
        line = f"{behaviour.id}.left" if behaviour.sided else behaviour.id
        assert [event.id for event in read_prompt(line).program.events()] == [behaviour.id]


@pytest.mark.parametrize(
    "line",
    [
        "she smiles warmly",
        "Smile",
        "smile.",
        "smile, then nod",
        "joy: a woman beams",
        "e.g. she nods, i.e. agrees",
        "at 5:30 he yawns",
        "what a smile!",
        "Smiles > nods",
        "smilez",
        "lächelt",
        "she says: no",
    ],
)
def test_anything_else_is_a_text_without_a_program(line):
    prompt = read_prompt(line)
    assert (prompt.text, prompt.program) == (line, None)


@pytest.mark.parametrize(
    ("line", "text", "program"),
    [
        ("shake*2 | nope", "nope", "shake*2"),
        ("smile|", "", "smile"),
        ("nod | yes | of course", "yes | of course", "nod"),
        ('{"program": "smile > nod", "text": " Agree. "}', "Agree.", "smile > nod"),
        ('{"program": "smile"}', "", "smile"),
        ('{"program": "smile", "text": null}', "", "smile"),
        ('{"text": "2 + 2", "program": null, "mine": 7}', "2 + 2", None),
        ('{"text": "smile > nod"}', "smile > nod", None),
    ],
)
def test_program_and_text_together(line, text, program):
    prompt = read_prompt(line)
    assert (prompt.text, None if prompt.program is None else str(prompt.program)) == (text, program)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("smile > nodd", "did you mean nod"),
        ("smlie@strong", "did you mean smile"),
        ("!smlie", "did you mean smile"),
        ("speak : nodd", "did you mean nod"),
        ("nodd | yes", "did you mean nod"),
        ('{"program": "nodd"}', "did you mean nod"),
        ("xyzzy*2", "--list"),
        ("turn.lef", "left or right"),
        ("wink@strong", "wink.left or wink.right"),
        ("smile@huge", "slight, moderate, strong"),
        ("nod~quick", "tempo"),
        ("nod*20", "1 to 8"),
        ("smile*2", "is not counted"),
        ("blink=99", "0.2 to 30 seconds"),
        ("smile + > nod", "cannot read ''"),
        ("smile > ", "cannot read ''"),
        ("smile + !smile", "cannot happen together"),
        ("| nope", "an empty program"),
        ("{smile}", "a JSON object"),
        ('{"text": "  "}', "the fields text and program"),
        ('{"prompt": "smiles"}', "the fields text and program"),
        ('{"text": 7}', "expected text in the fields"),
        ('{"program": ["smile"]}', "expected text in the fields"),
    ],
)
def test_a_wrong_line_is_told_with_what_is_right(line, said):
    with pytest.raises(CorpusError) as raised:
        read_prompt(line)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_remarks_and_empty_lines_are_passed_over():
    prompts = read_prompts(["# mine\n", "\n", "  smile \n", "   \n", "# > nod\n", "she nods\n"], "prompts.txt")
    assert [(prompt.text, str(prompt.program)) for prompt in prompts] == [("", "smile"), ("she nods", "None")]


def test_the_line_of_an_error_is_counted_as_editors_count():
    with pytest.raises(CorpusError, match=r"^prompts\.txt, line 4: .*nodd"):
        read_prompts(["# mine\n", "\n", "smile\n", "smile > nodd\n"], "prompts.txt")


@pytest.mark.parametrize("lines", [[], ["\n", "# nothing\n"]])
def test_no_prompt_at_all_is_an_error_that_shows_one(lines):
    with pytest.raises(CorpusError, match=r"prompts\.txt: holds no prompt.*smile > nod") as raised:
        read_prompts(lines, "prompts.txt")
    example = str(raised.value).rpartition(": ")[2]
    assert read_prompt(example).program is not None


def test_a_prompt_survives_json():
    prompt = read_prompt(json.dumps({"program": "smile > nod*2", "text": 'she says "aha"'}))
    assert prompt.text == 'she says "aha"'
