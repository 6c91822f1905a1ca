"""Which words of a prompt the training never had."""

from __future__ import annotations

import pytest

from tdmm.errors import LmError
from tdmm.lm.prompt_words import read_words, unknown_words, words_of, write_words

KNOWN = words_of(
    [
        "The person smiles slightly, then nods twice.",
        "She's winking with her left eye; he tries to look happy!",
        "kiss 0.4-1.9 s: grins and shrugged 😀",
    ]
)


def test_words_are_lower_case_and_without_what_stands_behind_an_apostrophe():
    assert words_of(["She's  WINKING, at 3.5 s (isn’t she?)"]) == {"she", "winking", "at", "s", "isn"}
    assert words_of(["half-smile", "half a smile"], least=2) == {"half", "smile"}
    assert words_of(["smile smile smile", "nod"], least=2) == set()
    assert words_of(["über 微笑む 😀"]) == {"über", "微笑む", "😀"}
    assert words_of(["u\u0308ber"]) == {"über"}  # however it is typed


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "smiles, then NODS!",
        "nod nodding nodded; wink winked winks; smile smiling smiled",
        "shrug shrugs shrugging; try tried trying; kisses kissed; grin grinning; slight; happily",
        "3 times at 2.5 s -- (twice), four seconds... ?!",
        "The person, while they're doing it: don't, didn't, you'll, and so on",
        "look😀",
        "\0 \ud800 \t\n",
    ],
)
def test_what_is_known_in_any_inflection(prompt):
    assert unknown_words(prompt, KNOWN) == []


def test_unknown_words_come_in_order_once_each():
    prompt = "Levitates, then smiles and does a Backflip; levitates again like a backflip-robot 🚀 lächelt"
    assert unknown_words(prompt, KNOWN) == ["levitates", "backflip", "robot", "🚀", "lächelt"]
    assert unknown_words("smiles", set()) == ["smiles"]
    assert unknown_words("smiles", ["smile"]) == []


def test_short_words_are_no_inflections():
    """Else "sing" would be a form of "s", and "bed" of "b"."""
    assert unknown_words("sing bed ding", frozenset({"s", "b", "d"})) == ["sing", "bed", "ding"]


def test_a_very_long_prompt_is_read():
    assert unknown_words("nods glorps " * 10_000, KNOWN) == ["glorps"]


def test_words_are_kept_in_a_file(tmp_path):
    path = tmp_path / "words.txt"
    write_words(path, KNOWN)
    assert read_words(path) == KNOWN
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines == sorted(KNOWN)
    with pytest.raises(LmError, match=r"none\.txt: the words that the language model knows cannot be read"):
        read_words(tmp_path / "none.txt")
