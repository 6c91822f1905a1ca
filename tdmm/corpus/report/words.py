"""Words of texts: how often each is there, and which of them speak of emotions."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from typing import Any

from tdmm.corpus.lexicon import of_kind, read_data

_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
# Grammar, not content: left out of the word clouds.
_GRAMMAR = """
    a about after again all also an and any are around as at away back be been before being both but by can could do
    does each else few for from get gets had has have he her here hers herself him himself his how i if in into is it
    its itself just let like makes me more most my no nor not of off on once one only or other our out over own person
    same shall she should so some someone such than that the their theirs them themself themselves then there these
    they this those through to too under until up us very was we were what when where which while who whom why will
    with without would you your
"""
STOP_WORDS = frozenset(_GRAMMAR.split())


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, without numbers and punctuation."""
    return _WORD.findall(text.casefold())


def most_common(counts: Counter[str], limit: int) -> dict[str, int]:
    """The commonest words with content, most first, ties by the alphabet."""
    told = ((word, n) for word, n in counts.items() if word not in STOP_WORDS and len(word) > 1)
    return dict(sorted(told, key=lambda item: (-item[1], item[0]))[:limit])


@cache
def emotion_words() -> frozenset[str]:
    """Single words of the lexicon that name an emotion or say that somebody has it: joy, joyful, joyfully."""
    words = {word for emotion in of_kind("emotion") for word in words_of(emotion.name)}
    for ways in read_data("phrases/emotions.toml").values():
        for key, phrases in ways.items():
            if key.startswith(("adjectives", "adverbs")):
                words.update(_single(phrases))
    return frozenset(words - STOP_WORDS)


def _single(phrases: list[Any]) -> list[str]:
    """Those of the phrases that are one word; a phrase of several is held together by words that name no emotion."""
    return [words[0] for phrase in phrases if isinstance(phrase, str) and len(words := words_of(phrase)) == 1]
