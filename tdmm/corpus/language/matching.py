"""Known phrases in a text: words made alike, a tree of all phrases, and the cover of a text with the longest ones.

Words are compared without their inflection: articles, possessives and pronouns are left out, verbs stand in their base
form, plurals in the singular, left and right are one slot whose filling is remembered. Where a word is not the one that
a phrase wants, its synonyms are tried, and for a word that is nowhere known those that a slip of a finger away.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from tdmm.corpus.language.inflect import inflect
from tdmm.corpus.language.phrases import ways
from tdmm.corpus.language.synonyms import synonyms
from tdmm.corpus.lexicon import read_data

SIDE = "<side>"
# What says nothing of who does what: left out on both sides.
_LEFT_OUT = frozenset(
    "a an the both own my your his her their its me you him them i she he they myself yourself himself herself itself "
    "themself themselves".split()
)
_ALIKE = {
    "eyebrow": "brow", "forward": "front", "center": "middle", "centre": "middle", "upwards": "upward",
    "toward": "towards", "isnt": "not", "doesnt": "not", "dont": "not", "arent": "not", "wont": "not", "cannot": "not",
    "n't": "not", "forwards": "front",
}  # fmt: skip
_WORD = re.compile(r"\d+(?:\.\d+)?|[^\W\d_]+(?:['’][^\W\d_]+)*|->|→|[^\s\w-]|(?<!\w)-|-(?!\w)|(?<=\d)-(?=\d)")
_VERB = re.compile(r"\[([^\] ]+)[^\]]*\]")
_SLOTS = re.compile(r"\{(\w+)\}")
# Costs of taking a word for another, in letters of the matched length.
_SYNONYM, _SLIP, _PUT_IN = 0.4, 0.6, 0.5
_MOST = 1.3  # that one phrase may cost


@dataclass(frozen=True)
class Token:
    """A word of a text. word: as it is compared. side: left, right or either, where it is one.

    start, end: places in the text.
    """

    word: str
    side: str
    raw: str
    start: int
    end: int


@dataclass(frozen=True)
class Phrase:
    """What a phrase says: `kind` and `value` are the reader's own. sides: for each side in it None (the slot), or the
    word that must stand there. length: in words that count."""

    kind: str
    value: Any
    sides: tuple[str | None, ...] = ()
    length: int = 1


@dataclass(frozen=True)
class Found:
    """A phrase in a text: tokens start to end. put_in: places of words in between that are not of the phrase."""

    phrase: Phrase
    start: int
    end: int
    side: str
    score: float
    put_in: tuple[int, ...] = ()


@dataclass
class _Node:
    next: dict[str, _Node] = field(default_factory=dict)
    phrases: list[Phrase] = field(default_factory=list)


@cache
def _base_forms() -> Mapping[str, str]:
    """Every inflected form of the lexicon's verbs, with its base form."""
    typing = read_data("simple_forms.toml")["typing"]
    found: dict[str, str] = dict(typing["past"])
    verbs = {"look", "seem", "appear", "be", "feel", "show", "stay", "face", "keep"}
    for one in ways().values():
        for name in one.__dataclass_fields__:
            verbs.update(verb for phrase in getattr(one, name) for verb in _VERB.findall(phrase))
    for verb in sorted(verbs):
        for form in (inflect(verb, "third"), inflect(verb, "gerund"), *_past(verb)):
            found.setdefault(form.replace("'", ""), verb)
    for verb in verbs:
        found[verb] = verb
    return found


def _past(verb: str) -> tuple[str, ...]:
    if verb.endswith("e"):
        return (f"{verb}d",)
    if verb.endswith("y") and verb[-2:-1] not in "aeiou":
        return (f"{verb[:-1]}ied",)
    gerund = inflect(verb, "gerund").removesuffix("ing")
    return (f"{gerund}ed",) if gerund else ()


@cache
def _alike(word: str) -> str:
    """A word in lower case as it is compared."""
    word = _ALIKE.get(word, word)
    base = _base_forms().get(word)
    if base is None and len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        stem = word[:-2] if word.endswith(("ches", "shes", "xes", "sses")) else word[:-1]
        base = _base_forms().get(stem, stem)
    found = base or word
    return _ALIKE.get(found, found)


def tokens_of(text: str) -> list[Token]:
    """The words, numbers and marks of a text that are compared; what is left out is missing."""
    low = text.lower().replace("’", "'")
    if not low.isascii():
        # Accents go, letter by letter, so that the places stay.
        low = "".join(unicodedata.normalize("NFKD", letter)[:1] or letter for letter in low)
    found = []
    for match in _WORD.finditer(low):
        raw = match[0].replace("'", "")
        if not raw or raw in _LEFT_OUT:
            continue
        side = raw.removesuffix("wards").removesuffix("ward")
        if side in ("left", "right", "either"):
            found.append(Token(SIDE, side, raw, match.start(), match.end()))
        elif raw.endswith("nt") and raw in ("doesnt", "dont", "isnt", "arent", "wont", "didnt", "wasnt"):
            found.append(Token("not", "", raw, match.start(), match.end()))
        else:
            found.append(Token(_alike(raw), "", raw, match.start(), match.end()))
    return found


class Phrases:
    """A tree of phrases.

    put_in: words that may stand within a phrase without being of it.
    """

    def __init__(self, put_in: Iterable[str] = ()) -> None:
        self._root = _Node()
        self._put_in = frozenset(_alike(word) for word in put_in)
        self._known: set[str] = set()
        self._right: frozenset[str] | None = None
        self._slips: dict[str, list[str]] | None = None
        self._others: dict[str, tuple[tuple[str, float], ...]] = {}
        self.shared: list[tuple[str, Phrase, Phrase]] = []

    def add(self, phrase: str, kind: str, value: Any) -> None:
        """Add a phrase, in which verbs may stand in [brackets] and {they}, {their}, {side} may stand."""
        plain = phrase.replace("[", "").replace("]", "").replace("{side}ward", "{side}")
        plain = _SLOTS.sub(lambda slot: "leftwards" if slot[1] == "side" else "her", plain)
        self._add_plain(plain, kind, value)
        for word in plain.split():
            for other in synonyms().get(word, ()):
                if "-" in other:  # more words than one: no word for a word
                    self._add_plain(plain.replace(word, other), kind, value)
        for raw in re.findall(r"[^\W\d_]+", plain.lower()):
            self._known.add(raw)

    def _add_plain(self, phrase: str, kind: str, value: Any) -> None:
        tokens = tokens_of(phrase)
        # Only slots are written leftwards.
        sides = tuple(None if token.raw == "leftwards" else token.side for token in tokens if token.side)
        self._insert([token.word for token in tokens], Phrase(kind, value, sides, len(tokens)))

    def _insert(self, words: list[str], phrase: Phrase) -> None:
        node = self._root
        for word in words:
            node = node.next.setdefault(word, _Node())
        for other in node.phrases:
            if (other.kind, other.value, other.sides) == (phrase.kind, phrase.value, phrase.sides):
                return
            if other.kind == phrase.kind and other.sides == phrase.sides:
                self.shared.append((" ".join(words), other, phrase))
        node.phrases.append(phrase)

    def find(self, tokens: list[Token]) -> list[Found]:
        """The phrases that cover the tokens best: each word in one of them at most, long ones first."""
        starts: list[list[Found]] = [self._at(tokens, place) for place in range(len(tokens))]
        best: list[tuple[float, Found | None]] = [(0.0, None)] * (len(tokens) + 1)
        for place in range(len(tokens) - 1, -1, -1):
            best[place] = (best[place + 1][0], None)
            for one in starts[place]:
                score = one.score + best[one.end][0]
                if score > best[place][0]:
                    best[place] = (score, one)
        found, place = [], 0
        while place < len(tokens):
            chosen = best[place][1]
            if chosen is None:
                place += 1
            else:
                found.append(chosen)
                place = chosen.end
        return found

    def _at(self, tokens: list[Token], start: int) -> list[Found]:
        found: dict[int, Found] = {}
        stack: list[tuple[_Node, int, float, tuple[str, ...], tuple[int, ...]]] = [(self._root, start, 0.0, (), ())]
        while stack:
            node, place, cost, sides, put_in = stack.pop()
            if node.phrases and place > start and not (put_in and put_in[-1] == place - 1):
                for phrase in node.phrases:
                    side = _fits(phrase, sides)
                    if side is None:
                        continue
                    score = float(phrase.length**2) - cost * phrase.length
                    if place not in found or score > found[place].score:
                        found[place] = Found(phrase, start, place, side, score, put_in)
            if place == len(tokens):
                continue
            token = tokens[place]
            more = (*sides, token.side) if token.side else sides
            child = node.next.get(token.word)
            if child is not None:
                stack.append((child, place + 1, cost, more, put_in))
            if token.side:
                continue
            for word, extra in self._instead(token):
                if word in _LEFT_OUT and place > start and cost + extra < _MOST:
                    stack.append((node, place + 1, cost + extra, sides, put_in))
                child = node.next.get(word)
                if child is not None and cost + extra < _MOST:
                    stack.append((child, place + 1, cost + extra, sides, put_in))
            if place > start and token.word in self._put_in and cost + _PUT_IN < _MOST:
                stack.append((node, place + 1, cost + _PUT_IN, sides, (*put_in, place)))
        return list(found.values())

    def _instead(self, token: Token) -> tuple[tuple[str, float], ...]:
        """Other words that may be meant, with what they cost."""
        raw = token.raw
        found = self._others.get(raw)
        if found is None:
            if not raw.isalpha():
                found = ()
            elif raw in synonyms():
                found = tuple((_alike(other), _SYNONYM) for other in synonyms()[raw])
            else:
                found = tuple((word, _SLIP) for word in self._near(raw))
            if len(self._others) > 50_000:
                self._others.clear()
            self._others[raw] = found
        return found

    def _near(self, raw: str) -> list[str]:
        """The known words one slip away from an unknown one: a letter missing, too many, swapped or wrong."""
        if len(raw) < 4 or raw in self._all_words():
            return []
        slips = self._all_slips()
        near = {word for cut in _cuts(raw) for word in slips.get(cut, ()) if _one_slip(raw, word)}
        return sorted({_alike(other) for word in near for other in (word, *synonyms().get(word, ()))})

    def _all_words(self) -> frozenset[str]:
        if self._right is None:
            self._right = frozenset(self._known) | _words_of_the_data()
        return self._right

    def _all_slips(self) -> dict[str, list[str]]:
        if self._slips is None:
            words = {word for word in self._known | set(_base_forms()) | set(synonyms()) | _LEFT_OUT if len(word) > 4}
            found: dict[str, list[str]] = {}
            for word in words:
                for cut in _cuts(word):
                    found.setdefault(cut, []).append(word)
            self._slips = found
        return self._slips


def _fits(phrase: Phrase, sides: tuple[str, ...]) -> str | None:
    """The side in the slots of a phrase (empty where it has none), or None where the sides are not those of it."""
    filled = ""
    for wanted, side in zip(phrase.sides, sides, strict=True):
        if wanted is not None:
            if wanted != side:
                return None
        elif filled and side != filled:
            return None
        else:
            filled = side
    return "" if filled == "either" else filled


def _cuts(word: str) -> list[str]:
    return [word, *(word[:at] + word[at + 1 :] for at in range(1, len(word)))]


def _one_slip(first: str, second: str) -> bool:
    if first[0] != second[0]:
        return False
    if len(first) == len(second):
        differ = [at for at in range(len(first)) if first[at] != second[at]]
        if len(differ) == 1:
            return True
        return (
            len(differ) == 2
            and differ[1] == differ[0] + 1
            and first[differ[0]] == second[differ[1]]
            and first[differ[1]] == second[differ[0]]
        )
    long, short = sorted((first, second), key=len, reverse=True)
    return len(long) == len(short) + 1 and any(long[:at] + long[at + 1 :] == short for at in range(len(long)))


@cache
def _words_of_the_data() -> frozenset[str]:
    """Words that are no slips: all that stand in the corpus's own data."""
    found: set[str] = set()
    data = files("tdmm.corpus") / "data"
    for folder in (data, data / "bank", data / "phrases"):
        for entry in folder.iterdir():
            if entry.name.endswith((".toml", ".txt")):
                found.update(re.findall(r"[a-z]+", entry.read_text(encoding="utf-8").lower()))
    return frozenset(found | set(_base_forms()))
