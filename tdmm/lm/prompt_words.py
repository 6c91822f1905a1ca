"""Words of a prompt that no text of the training had: the motion will not know them, and the person is told."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from unicodedata import normalize

from tdmm.errors import LmError
from tdmm.io.whole import whole_file

WORDS = "words.txt"  # beside the weights of a model
# Letters of any language, with an apostrophe inside; else one of the signs and pictures that stand for a word.
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*|[\u2600-\u27bf\U0001f000-\U0001faff]")
_ENDINGS = ("s", "es", "ed", "ing", "ly")
# They say nothing of what a face does, or how often and how long. Of those with an apostrophe the part before it.
STOP_WORDS = frozenset(
    (
        "a about after again all also am an and any are as at be because been before being both but by can could "
        "did do does doing down during each few for from further had has have having he her here hers herself him "
        "himself his how i if in into is it its itself just let may me might more most must my myself no nor not "
        "now of off on once only or other our ours ourselves out over own per please s same she should so some such "
        "than that the their theirs them themself themselves then there these they this those through to too under "
        "until up upon us very via was we were what when where which while who whom whose why will with would you "
        "your yours yourself yourselves don doesn didn isn aren wasn weren won wouldn couldn shouldn haven hasn "
        "hadn ain t d ll m re ve like one two three four five six seven eight nine ten twice time times second "
        "seconds"
    ).split()
)


def unknown_words(prompt: str, known: Iterable[str]) -> list[str]:
    """Words of a prompt, in lower case and in their order, each once, that are not known in any inflection.

    Numbers, punctuation and words such as "the" are never among them. known: words in lower case, see `words_of`.
    """
    stems = _all_stems(known if isinstance(known, frozenset) else frozenset(known))
    return [word for word in dict.fromkeys(_words(prompt)) if word not in STOP_WORDS and stems.isdisjoint(_stems(word))]


def words_of(texts: Iterable[str], least: int = 1) -> frozenset[str]:
    """The words that occur in at least `least` texts (slips of fingers occur once), for `unknown_words`."""
    counts = Counter(word for text in texts for word in set(_words(text)))
    return frozenset(word for word, count in counts.items() if count >= least)


def write_words(path: str | Path, words: Iterable[str]) -> None:
    """Write words, one a line, in order. Raises `OutputError` if the file cannot be written."""
    with whole_file(path) as beside:
        beside.write_text("".join(f"{word}\n" for word in sorted(words)), encoding="utf-8")


def read_words(path: str | Path) -> frozenset[str]:
    """The words that `write_words` wrote. Raises `LmError` if the file cannot be read."""
    try:
        return frozenset(Path(path).read_text(encoding="utf-8").split())
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise LmError(f"{path}: the words that the language model knows cannot be read: {reason}") from error


def _words(text: str) -> Iterator[str]:
    for found in _WORD.finditer(normalize("NFC", text.lower())):
        # "she's" is she, "didn't" is didn.
        yield re.split("['’]", found[0])[0]


@lru_cache(maxsize=4)
def _all_stems(known: frozenset[str]) -> frozenset[str]:
    return frozenset(stem for word in known for stem in _stems(word))


def _stems(word: str) -> set[str]:
    """The word, and what it may be an inflection of: grinned, grinn, grin; smiling, smil, smile."""
    found = {word}
    for ending in _ENDINGS:
        stem = word.removesuffix(ending)
        if stem == word or len(stem) < 3:
            continue
        found.add(stem)
        if ending in ("ed", "ing"):
            found.add(f"{stem}e")
            if stem[-1] == stem[-2]:
                found.add(stem[:-1])
        if stem[-1] == "i":
            found.add(f"{stem[:-1]}y")  # tries, happily
    return found
