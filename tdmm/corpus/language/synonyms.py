"""Other words for the same: some words of a text replaced by synonyms, tdmm/corpus/data/synonyms.toml."""

from __future__ import annotations

import re
from functools import cache

import numpy as np

from tdmm.corpus.lexicon import read_data

RATE = 0.15  # of the words that have synonyms
# Words with all that is joined to them, so that nothing is taken from the middle of idle_sleepy_01 or worn-out.
_WORD = re.compile(r"(\w+(?:['’-]\w+)*)")
# What follows a(n) in spite of its first letter.
_NO_VOWEL = re.compile(r"(?:one|once|uni[cfloqstv]|eu|us[aeiou]|ubi|ut[ei])")
_VOWEL = re.compile(r"[aeiou]|hour|honest|honou?r|heir")
_SENTENCE_ENDS = frozenset(".!?:;\"“”‘'(*[|/-–—\n")


@cache
def synonyms() -> dict[str, tuple[str, ...]]:
    """Every word that has synonyms with the others of its group."""
    found: dict[str, tuple[str, ...]] = {}
    for group in read_data("synonyms.toml")["group"]:
        words = group["words"]
        for word in words:
            found[word] = tuple(other for other in words if other != word)
    return found


@cache
def fixed_pairs() -> frozenset[str]:
    """Pairs of words in which both stay as they are: `slow motion`."""
    return frozenset(read_data("synonyms.toml")["fixed"])


def with_synonyms(text: str, random: np.random.Generator, rate: float = RATE) -> str:
    """The text with each word that has synonyms replaced by one of them with probability `rate`.

    Casing, punctuation and everything else stay; a and an are put right. Names stay: capitalised words within a
    sentence, and beside other capitalised ones.
    """
    parts = _WORD.split(text)  # between words, word, between words, ...
    known = synonyms()
    found = [at for at in range(1, len(parts), 2) if parts[at].lower() in known]
    if not found or rate <= 0:
        return text
    draws = random.random((len(found), 2)).tolist()
    changed = False
    for at, (chance, which) in zip(found, draws, strict=True):
        if chance < rate and _is_free(parts, at):
            options = known[parts[at].lower()]
            parts[at] = _cased(options[int(which * len(options))], parts[at])
            changed = True
            if at > 1 and parts[at - 1] == " ":
                parts[at - 2] = _article(parts[at - 2], parts[at])
    return "".join(parts) if changed else text


def _is_free(parts: list[str], at: int) -> bool:
    """Whether a word may be replaced: neither in a fixed pair nor (part of) a name."""
    word = parts[at]
    before = parts[at - 2] if at > 1 else ""
    after = parts[at + 2] if at + 2 < len(parts) else ""
    low = word.lower()
    fixed = fixed_pairs()
    if f"{before.lower()} {low}" in fixed or f"{low} {after.lower()}" in fixed:
        return False
    if low == word or (word.isupper() and len(word) > 1):
        return True
    if not word.istitle():  # some other casing, or a hyphen
        return False
    starts = not before or bool(_SENTENCE_ENDS.intersection(parts[at - 1]))
    return starts and not (parts[at + 1] == " " and after[:1].isupper() and len(after) > 1)


def _cased(word: str, model: str) -> str:
    if model.islower():
        return word
    return word.upper() if model.isupper() else word[0].upper() + word[1:]


def _article(word: str, following: str) -> str:
    """`word`, as it should be before `following` where it is a or an."""
    if word.lower() not in ("a", "an"):
        return word
    low = following.lower()
    vowel = bool(_VOWEL.match(low)) and not _NO_VOWEL.match(low)
    if vowel == (len(word) == 2):
        return word
    if not vowel:
        return word[0]
    # ALL CAPS: "A HUGE YAWN"; a single capital A says nothing of the rest.
    return word + ("N" if word.isupper() and following.isupper() else "n")
