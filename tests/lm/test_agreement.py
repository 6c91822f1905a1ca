"""Of several drafts the one that says what most of them say, however they put it."""

from __future__ import annotations

import pytest

from tdmm.lm.agreement import most_agreed


def test_what_most_say_wins_over_what_is_said_alike_most_often():
    drafts = [
        "The person frowns.",
        "The person smiles, then nods.",
        "The person curves their lips upward, then nods their head.",
        "The person frowns.",
        "They smile. After that they bob their head up and down.",
        "The person smiles, then nods twice.",
    ]
    assert most_agreed(drafts) in (drafts[1], drafts[2])


def test_side_count_and_order_are_part_of_what_is_said():
    assert most_agreed(["winks with the left eye", *["winks with the right eye"] * 2]) == "winks with the right eye"
    assert most_agreed(["nods once", "nods three times", "nods thrice"]) == "nods three times"
    assert most_agreed(["smiles, then nods", "nods, then smiles", "nods, then smiles"]) == "nods, then smiles"


def test_a_head_that_keeps_still_is_part_of_what_is_said():
    drafts = ["smiles", "smiles, head steady"]
    assert most_agreed(drafts, ["First they smile (from 0.1 to 2.0 s). The head hardly moves."]) == drafts[1]
    assert most_agreed(drafts, ["First they smile (from 0.1 to 2.0 s)."]) == drafts[0]


def test_witnesses_in_another_form_have_a_voice_and_are_not_chosen():
    drafts = ["smiles, then nods", "frowns"]
    assert most_agreed(drafts, ["First they frown (from 0.1 to 2.0 s)."]) == "frowns"
    assert most_agreed(drafts, ["First they grin (from 0.1 to 1.2 s). Then they nod (from 2.1 to 3.0 s)."]) == drafts[0]
    assert most_agreed(["smiles"], ["frowns"] * 3) == "smiles"


@pytest.mark.parametrize("drafts", [["nods"], ["nods", "smiles"], ["xyz", "abc"], ["", ""], ["nods", "nods"]])
def test_of_equals_the_first(drafts):
    assert most_agreed(drafts) == drafts[0]


def test_what_says_nothing_is_not_chosen():
    assert most_agreed(["xyz", "smiles", "grins and nods", "smiles and nods"]) != "xyz"


def test_nothing_to_choose_from():
    with pytest.raises(ValueError, match="empty"):
        most_agreed([])
