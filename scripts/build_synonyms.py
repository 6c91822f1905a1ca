"""Make tdmm/corpus/data/synonyms.toml, words of the corpus's texts that may stand for each other.

    python scripts/build_synonyms.py propose --wordnet DIR --empath FILE --vader FILE --output FILE
    python scripts/build_synonyms.py check --wordnet DIR
    python scripts/build_synonyms.py write

propose: what WordNet offers for the words of our phrases, bank and words.toml, as a list to read and choose from:
single words of the same synset among the first senses, of the same part of speech and inflection, whose sentiment in
VADER has the same sign, the most frequent first (WordNet's tag counts), with the number of Empath's categories that
have both words. check: which groups of scripts/synonyms/accepted.txt WordNet does not know as synonyms.
write: the data file, from accepted.txt alone. What is in accepted.txt was chosen by hand.

Only propose and check read the data of others, and no file of theirs is part of tdmm: WordNet 3.0, Copyright 2006 by
Princeton University, under the WordNet license (its notice stands in NOTICE; Debian has the files in wordnet-base,
/usr/share/wordnet); Empath, categories.tsv of the package empath, MIT; VADER, vader_lexicon.txt of the package
vaderSentiment, MIT.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter, defaultdict
from itertools import combinations
from pathlib import Path

from synonyms.wordnet import POS, WordNet

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "tdmm" / "corpus" / "data"
ACCEPTED = Path(__file__).resolve().parent / "synonyms" / "accepted.txt"
HEADER = """\
# Words that may stand for each other in nearly all contexts of our texts, in the same inflection.
# Made by scripts/build_synonyms.py from scripts/synonyms/accepted.txt: change that, then run it.
# source: WordNet, where WordNet 3.0 has the words in one synset or in similar ones (its notice: see NOTICE), or tdmm.
# fixed: pairs of words that stay as they are.
"""
_SENSES = 4  # of a word that are looked at
_WORD = re.compile(r"[a-z]+(?:['’-][a-z]+)*")


def main() -> None:
    """Parse the arguments and do what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("propose", "check", "write"))
    parser.add_argument("--wordnet", type=Path, default=Path("/usr/share/wordnet"), help="folder of WordNet's files")
    parser.add_argument("--empath", type=Path, help="Empath's categories.tsv (propose)")
    parser.add_argument("--vader", type=Path, help="VADER's vader_lexicon.txt (propose)")
    parser.add_argument("--output", type=Path, help="where to write (default: synonyms.toml for write, else stdout)")
    options = parser.parse_args()
    if options.action == "write":
        (options.output or DATA / "synonyms.toml").write_text(as_toml(read_accepted()), encoding="utf-8")
        return
    net = WordNet(options.wordnet)
    if options.action == "propose":
        if options.empath is None or options.vader is None:
            parser.error("propose needs --empath and --vader")
        found = propose(net, read_empath(options.empath), read_vader(options.vader))
    else:
        found = check(net)
    text = "".join(f"{line}\n" for line in found)
    if options.output:
        options.output.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)


def read_accepted() -> tuple[list[tuple[str, str, list[str]]], list[str]]:
    """The groups (part of speech, source, words) and the pairs that stay, of accepted.txt."""
    groups: list[tuple[str, str, list[str]]] = []
    fixed: list[str] = []
    pos = source = ""
    for line in ACCEPTED.read_text(encoding="utf-8").splitlines():
        line = line.partition("#")[0].strip()
        if line.startswith("["):
            pos, _, source = line.strip("[]").partition(" ")
        elif line and pos == "fixed":
            fixed.append(" ".join(line.split()))
        elif line:
            groups.append((pos, source, line.split()))
    return groups, fixed


def as_toml(accepted: tuple[list[tuple[str, str, list[str]]], list[str]]) -> str:
    """The text of the data file."""
    groups, fixed = accepted
    parts = [HEADER, "fixed = [\n", *(f'    "{pair}",\n' for pair in fixed), "]\n"]
    for pos, source, words in groups:
        listed = ", ".join(f'"{word}"' for word in words)
        parts.append(f'\n[[group]]\nwords = [{listed}]\npos = "{pos}"\nsource = "{source}"\n')
    return "".join(parts)


def words_of_texts() -> Counter[str]:
    """How often each word stands in the bank, the phrases (verbs in all forms) and words.toml."""
    from tdmm.corpus.language.inflect import FORMS, inflect_all

    found: Counter[str] = Counter()
    for path in sorted(DATA.glob("bank/*.txt")):
        for line in path.read_text(encoding="utf-8").splitlines():
            if not line.startswith("#"):
                found.update(_WORD.findall(line.partition(" | ")[2].lower()))
    for path in (DATA / "words.toml", *sorted(DATA.glob("phrases/*.toml"))):
        for line in path.read_text(encoding="utf-8").splitlines():
            if not line.startswith("#"):
                for text in re.findall(r'"([^"]*)"', line):
                    for form in FORMS if "[" in text else FORMS[:1]:
                        found.update(_WORD.findall(re.sub(r"\{.*?\}", " ", inflect_all(text, form)).lower()))
    return found


def read_empath(path: Path) -> dict[str, set[str]]:
    """Words with the categories that they are in."""
    found: dict[str, set[str]] = defaultdict(set)
    for line in path.read_text(encoding="utf-8").splitlines():
        category, *words = line.split("\t")
        for word in words:
            found[word].add(category)
    return found


def read_vader(path: Path) -> dict[str, float]:
    """Words with their valence."""
    rows = (line.split("\t") for line in path.read_text(encoding="utf-8").splitlines())
    return {row[0].lower(): float(row[1]) for row in rows if len(row) > 1}


def propose(net: WordNet, empath: dict[str, set[str]], vader: dict[str, float]) -> list[str]:
    """A line a word and part of speech: what could stand for it, the most frequent first."""
    found = []
    for form, count in words_of_texts().most_common():
        for name, pos in POS.items():
            offered: dict[str, tuple[int, int]] = {}
            for lemma, how in net.lemmas(form, pos):
                for offset in net.senses[pos].get(lemma, ())[:_SENSES]:
                    for other in net.synsets[pos][offset].words:
                        if other == lemma or not other.isalpha():
                            continue
                        if vader.get(other, 0.0) * vader.get(lemma, 0.0) < 0:
                            continue
                        shared = len(empath.get(other, set()) & empath.get(lemma, set()))
                        for said in net.form(other, pos, how):
                            offered.setdefault(said, (net.tags[other, pos], shared))
            offered.pop(form, None)
            if offered:
                best = sorted(offered, key=lambda word: (-offered[word][0], word))
                said = ", ".join(f"{word} ({offered[word][0]}, {offered[word][1]})" for word in best)
                found.append(f"{form} ({name}, {count} times): {said}")
    return found


def check(net: WordNet) -> list[str]:
    """Accepted groups that say WordNet and of which it does not know some word as a synonym of another, and those that
    say tdmm though it does."""
    found = []
    for name, source, words in read_accepted()[0]:
        pos = POS[name]
        lemmas = {word: [lemma for lemma, _ in net.lemmas(word, pos)] for word in words}
        linked = {words[0]}
        for _ in words:
            for one, other in combinations(words, 2):
                if (one in linked) != (other in linked) and any(
                    net.related(first, second, pos) for first in lemmas[one] for second in lemmas[other]
                ):
                    linked |= {one, other}
        missing = [word for word in words if word not in linked]
        if (source == "WordNet") == bool(missing):
            found.append(f"{name} {source}: {' '.join(words)}" + (f" (not {' '.join(missing)})" if missing else ""))
    return found


if __name__ == "__main__":
    main()
