"""Words replaced by synonyms, and the groups of them."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from tdmm.corpus.language.clauses import words as connecting_words
from tdmm.corpus.language.synonyms import fixed_pairs, synonyms, with_synonyms
from tdmm.corpus.lexicon import read_data

ROOT = Path(__file__).resolve().parents[2]
GROUPS = read_data("synonyms.toml")["group"]
# What must keep its meaning to the letter: sides, numbers, pronouns, negations, parts of the body.
UNTOUCHABLE = set(
    """
    left right both zero one two three four five six seven eight nine ten once twice thrice first second third half
    single double i you he she it we they me him her us them my your his its our their mine yours hers ours theirs
    myself yourself himself herself itself themself themselves no not never none nobody nothing without neither nor
    cannot don't won't can't up down in out open closed shut
    head heads face faces eye eyes eyelid eyelids lid lids lash lashes eyelash eyelashes brow brows eyebrow eyebrows
    forehead nose noses nostril nostrils cheek cheeks mouth mouths lip lips tongue tongues tooth teeth gum gums chin
    chins jaw jaws neck ear ears hair throat shoulder shoulders hand hands gaze pupil pupils skin temple dimple dimples
    """.split()
)


def draw(text, seed=0, rate=1.0):
    return with_synonyms(text, np.random.default_rng(seed), rate)


def draws(text, number=40):
    return {draw(text, seed) for seed in range(number)}


def test_there_are_many_groups_of_words_that_stand_alone():
    assert len(GROUPS) >= 350
    for group in GROUPS:
        assert len(group["words"]) >= 2
        assert group["pos"] in {"adjective", "adverb", "noun", "preposition", "verb"}
        assert group["source"] in {"WordNet", "tdmm"}
        assert all(re.fullmatch(r"[a-z]+(?:['-][a-z]+)*", word) for word in group["words"])


def test_no_word_is_in_two_groups():
    count = Counter(word for group in GROUPS for word in group["words"])
    assert [word for word, times in count.items() if times > 1] == []


def test_no_group_has_words_that_must_not_change():
    assert UNTOUCHABLE.isdisjoint(synonyms())
    # Nor the words of levels in which an emotion or a movement is asked for, where a change is one of level.
    levels = {"slightly", "little", "bit", "somewhat", "very", "slight", "strong", "faint", "mild", "moderate", "hard"}
    assert levels.isdisjoint(synonyms())
    for level in connecting_words()["levels"].values():
        said = {phrase for phrases in level.values() for phrase in phrases}
        for word in said & set(synonyms()):
            others = {other for far in connecting_words()["levels"].values() if far is not level
                      for phrases in far.values() for other in phrases}  # fmt: skip
            assert others.isdisjoint(synonyms()[word]) or word in others


def test_fixed_pairs_are_two_words_of_which_one_has_synonyms():
    for pair in fixed_pairs():
        first, second = pair.split(" ")
        assert {first, second} & set(synonyms()), pair


def test_the_data_are_what_the_accepted_list_makes(tmp_path):
    path = tmp_path / "synonyms.toml"
    command = [sys.executable, ROOT / "scripts" / "build_synonyms.py", "write", "--output", path]
    subprocess.run(command, check=True, cwd=tmp_path)
    stored = files("tdmm.corpus") / "data" / "synonyms.toml"
    assert path.read_text(encoding="utf-8") == stored.read_text(encoding="utf-8")


def test_the_same_seed_makes_the_same_text():
    text = "A happy boy slowly raises his brows, then mumbles something, almost motionless."
    assert draw(text, 3, 0.4) == draw(text, 3, 0.4)
    assert len({draw(text, seed, 0.4) for seed in range(20)}) > 5


def test_rate_zero_changes_nothing_and_draws_nothing():
    random = np.random.default_rng(1)
    text = "A happy boy slowly raises his brows."
    assert with_synonyms(text, random, 0.0) == text
    assert random.random() == np.random.default_rng(1).random()


def test_rate_is_the_share_of_words_replaced():
    text = "happy"
    random = np.random.default_rng(5)
    changed = sum(with_synonyms(text, random, 0.15) != text for _ in range(4000))
    assert 0.12 < changed / 4000 < 0.18


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("slowly, she nods", "unhurriedly, she nods"),
        ("Slowly, she nods", "Unhurriedly, she nods"),
        ("SLOWLY NOW", "UNHURRIEDLY NOW"),
        ("(slowly)...  slowly!", "(unhurriedly)...  unhurriedly!"),
        ("sLowly", "sLowly"),
        ("", ""),
        ("idle_slowly_01 x-slowly slowly's", "idle_slowly_01 x-slowly slowly's"),
    ],
)
def test_casing_and_punctuation_stay(text, expected):
    assert draw(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a slow nod", "an unhurried nod"),
        ("an unhurried nod", "a slow nod"),
        ("A slow nod", "An unhurried nod"),
        ("A SLOW NOD", "AN UNHURRIED NOD"),
        ("An unhurried nod", "A slow nod"),
        ("an exam", "an examination"),
        ("the slow nod", "the unhurried nod"),
        ("plan a: slow", "plan a: unhurried"),
    ],
)
def test_articles_are_put_right(text, expected):
    assert draw(text) == expected


def test_articles_follow_sounds():
    from tdmm.corpus.language.synonyms import _article

    for word in ("unit", "uniform", "unique", "european", "one-eyed", "useful", "huge"):
        assert _article("an", word) == "a", word
    for word in ("hour", "honest", "unimpressed", "uninterested", "umbrella", "eager"):
        assert _article("a", word) == "an", word
    assert _article("the", "eager") == "the"


def test_names_and_fixed_pairs_stay():
    for text in (
        "in slow motion",
        "says Happy",
        "Detective Lund",
        "her Aunt",
        "happy birthday",
        "the ghost of a smile",
    ):
        assert draws(text) == {text}


def test_words_are_replaced_only_by_others_of_their_group():
    for group in GROUPS:
        for word in group["words"]:
            assert draws(word, 30) == set(group["words"]) - {word}
