"""What is said of the parts of a motion, as one."""

from __future__ import annotations

import pytest

from tdmm.lm.joining import join_answers, join_long, join_short, shift_times, where_to_ask
from tdmm.lm.moments import Timeline, read_timeline

NOD, SMILE = "The person nods.", "The person smiles."


def parts(*texts: str) -> list[Timeline]:
    """Of ten seconds each."""
    return [read_timeline(text, 10.0 * number, 10.0 * number + 10) for number, text in enumerate(texts)]


def test_short_captions_with_the_seconds_at_which_they_begin():
    assert join_short([NOD], [0.0]) == NOD
    assert join_short([NOD, SMILE], [0.0, 9.8]) == "First, the person nods. From 10 s on, the person smiles."
    assert join_short([NOD, NOD, SMILE], [0, 8, 17]) == "First, the person nods. From 17 s on, the person smiles."
    assert join_short([NOD, NOD], [0.0, 9.8]) == NOD


def test_long_captions_tell_the_times_of_the_whole():
    first, second = "The person nods (from 1.0 to 2.2 s).", "The person smiles (from 0.4 to 9.0 s). They nod at 2.0 s"
    assert join_long([first], [(0.0, 4.0)]) == first
    assert join_long([first, second], [(0.0, 9.8), (9.8, 19.0)]) == (
        "From 0.0 to 9.8 s: The person nods (from 1.0 to 2.2 s). "
        "From 9.8 to 19.0 s: The person smiles (from 10.2 to 18.8 s). They nod at 11.8 s."
    )


def test_only_times_are_shifted():
    assert shift_times("At 0.8 seconds.", 10.0) == "At 10.8 seconds."
    assert shift_times("between 1 and 2 seconds", 10.0) == "between 11.0 and 12.0 seconds"
    for text in ("For about 2.0 seconds.", "Nods 3 times.", "Turns from 1 side to 2 others.", "Twice."):
        assert shift_times(text, 10.0) == text


def test_a_question_goes_where_what_it_names_is_seen():
    three = parts("1.0-2.0 s: smiles", "1.0-2.0 s: nods; 3.0-4.0 s: winks with their left eye", "1.0-2.0 s: nods")
    assert where_to_ask("Which eye does she wink with?", three) == [1]
    assert where_to_ask("How often does the person nod?", three) == [1, 2]
    assert where_to_ask("For how long does the person smile?", three) == [0]
    for nothing in ("What does the face do?", "Does the person yawn?", "???"):
        assert where_to_ask(nothing, three) == [0, 1, 2]


@pytest.mark.parametrize(
    ("question", "answers", "whole"),
    [
        ("Does the person nod?", ["No.", "Yes."], "Yes."),
        ("Does the person nod?", ["No.", "No."], "No."),
        ("Is the head still?", ["Yes.", "No."], "No."),
        ("Is the head still?", ["Yes.", "Yes."], "Yes."),
        ("How often does the person nod?", ["Twice.", "Once."], "Three times."),
        ("How often does the person nod?", ["Eight times.", "Twice."], "10 times."),
        ("When does the person start to nod?", ["At 1.0 seconds.", "At 2.0 seconds."], "At 1.0 seconds."),
        ("For how long does she nod?", ["For about 1.0 seconds.", "For about 2.5 seconds."], "For about 3.5 seconds."),
        ("What comes first: nodding, or smiling?", ["Smiling.", "Nodding."], "Smiling."),
        ("What does the head do?", ["Nods.", "Nods."], "Nods."),
        ("What does the head do?", ["Nods.", "Shakes their head."], "Nods, then shakes their head."),
        ("What does the face do?", ["Smiles.", "Winks."], "Smiles."),  # only heads move in the second part
        ("What is this?", ["Something.", "Else."], "Something, then else."),
        ("?", ["", ""], ""),
    ],
)  # fmt: skip
def test_answers_of_two_parts(question, answers, whole):
    two = parts("1.0-2.0 s: nods; 3.0-4.0 s: smiles", "1.0-2.0 s: shakes their head")
    assert join_answers(question, answers, two) == whole


def test_one_answer_is_the_answer_and_tells_the_times_of_the_whole():
    _, second = parts("1.0-2.0 s: smiles", "1.0-2.0 s: nods")
    assert join_answers("When does she nod?", ["At 1.0 seconds."], [second]) == "At 11.0 seconds."
