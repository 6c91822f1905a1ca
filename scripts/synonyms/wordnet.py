"""Reading WordNet's database files (wndb(5WN)), and English inflection as far as the proposals need it."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

POS = {"noun": "n", "verb": "v", "adjective": "a", "adverb": "r", "preposition": "r"}
_FILE = {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}
_SENSE_POS = {"1": "n", "2": "v", "3": "a", "4": "r", "5": "a"}
# Endings that WordNet's own morphology takes away: the ending, and what stands in its place.
_ENDINGS = {
    "n": {"plural": (("s", ""), ("ses", "s"), ("xes", "x"), ("ches", "ch"), ("shes", "sh"), ("ies", "y"))},
    "v": {
        "third": (("s", ""), ("es", "e"), ("es", ""), ("ies", "y")),
        "past": (("ed", "e"), ("ed", ""), ("ied", "y")),
        "gerund": (("ing", "e"), ("ing", "")),
    },
    "a": {"comparative": (("er", ""), ("er", "e"), ("ier", "y")), "superlative": (("est", ""), ("est", "e"))},
    "r": {},
}


@dataclass(frozen=True)
class Synset:
    """words: its lemmas in lower case (with _ in those of several words). near: offsets of satellites and heads."""

    words: tuple[str, ...]
    near: tuple[int, ...]


class WordNet:
    """The parts that are needed of a folder of WordNet's files."""

    def __init__(self, folder: Path) -> None:
        self.synsets: dict[str, dict[int, Synset]] = {}
        self.senses: dict[str, dict[str, tuple[int, ...]]] = {}
        self.tags: dict[tuple[str, str], int] = defaultdict(int)
        self.irregular: dict[str, dict[str, list[str]]] = {}
        for pos, stem in _FILE.items():
            self.synsets[pos] = dict(map(_synset, _lines(folder / f"data.{stem}")))
            self.senses[pos] = dict(map(_index, _lines(folder / f"index.{stem}")))
            self.irregular[pos] = defaultdict(list)
            for line in (folder / f"{stem}.exc").read_text(encoding="utf-8").splitlines():
                form, *lemmas = line.split()
                self.irregular[pos][form] += lemmas
        for line in (folder / "cntlist.rev").read_text(encoding="utf-8").splitlines():
            key, _, count = line.split(" ")
            lemma, _, rest = key.partition("%")
            self.tags[lemma, _SENSE_POS[rest[0]]] += int(count)

    def lemmas(self, form: str, pos: str) -> list[tuple[str, str]]:
        """What a surface form may be a form of: lemmas, each with the name of the form."""
        known = self.senses[pos]
        found = [(form, "base")] if form in known else []
        found += [(lemma, "irregular") for lemma in self.irregular[pos].get(form, []) if lemma != form]
        for name, endings in _ENDINGS[pos].items():
            for ending, instead in endings:
                stem = form.removesuffix(ending) + instead
                if form.endswith(ending) and len(stem) > 2:
                    found += [(stem, name)] if stem in known else []
                    if ending in ("ed", "ing", "er", "est") and re.search(r"([^aeiou])\1$", stem):
                        found += [(stem[:-1], name)] if stem[:-1] in known else []
        return list(dict.fromkeys(found))

    def form(self, lemma: str, pos: str, name: str) -> list[str]:
        """A lemma in a form that `lemmas` names; several where it is not known which."""
        if name == "base":
            return [lemma]
        irregular = sorted(form for form, of in self.irregular[pos].items() if lemma in of and form != lemma)
        if name == "irregular":
            return irregular or ([_regular(lemma, "past")] if pos == "v" else [])
        if irregular and name in ("past", "plural", "comparative", "superlative"):
            return irregular
        return [_regular(lemma, name)]

    def related(self, first: str, second: str, pos: str, senses: int = 99) -> str:
        """How two lemmas go together: `same` synset, `similar` ones, or not at all (empty)."""
        ours, theirs = (set(self.senses[pos].get(word, ())[:senses]) for word in (first, second))
        if ours & theirs:
            return "same"
        near = {offset for one in ours for offset in self.synsets[pos][one].near}
        around = {offset for one in near for offset in self.synsets[pos][one].near}
        return "similar" if theirs & (near | around) else ""


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith(" ")]


def _synset(line: str) -> tuple[int, Synset]:
    fields = line.split(" | ")[0].split(" ")
    count = int(fields[3], 16)
    words = tuple(re.sub(r"\(.*\)$", "", word).lower() for word in fields[4 : 4 + 2 * count : 2])
    rest = fields[5 + 2 * count :]
    near = tuple(int(rest[at + 1]) for at in range(0, len(rest) - 3, 4) if rest[at] == "&")
    return int(fields[0]), Synset(words, near)


def _index(line: str) -> tuple[str, tuple[int, ...]]:
    fields = line.split()
    return fields[0], tuple(int(offset) for offset in fields[-int(fields[2]) :])


def _regular(lemma: str, name: str) -> str:
    if name in ("third", "plural"):
        if re.search(r"[^aeiou]y$", lemma):
            return f"{lemma[:-1]}ies"
        return lemma + ("es" if lemma.endswith(("s", "x", "z", "ch", "sh")) else "s")
    ending = {"past": "ed", "gerund": "ing", "comparative": "er", "superlative": "est"}[name]
    if lemma.endswith("e") and not (name == "gerund" and lemma.endswith(("ee", "oe", "ye"))):
        return lemma[:-1] + ending
    if name != "gerund" and re.search(r"[^aeiou]y$", lemma):
        return f"{lemma[:-1]}i{ending}"
    if re.search(r"^[^aeiou]*[aeiou][^aeiouwxy]$", lemma):
        return lemma + lemma[-1] + ending
    return lemma + ending
