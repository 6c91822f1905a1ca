"""English inflection of the verbs of the lexicon: `smile` to smiles, smiling."""

from __future__ import annotations

import re
from functools import lru_cache

FORMS = ("base", "third", "gerund")
_THIRD = {"be": "is", "have": "has", "do": "does", "go": "goes"}
_GERUND = {
    "be": "being",
    "die": "dying",
    "lie": "lying",
    "tie": "tying",
    "see": "seeing",
    "flee": "fleeing",
    "panic": "panicking",
}
# Stressed on the last syllable and ending in one vowel and one consonant, which doubles; of one syllable all do.
_DOUBLES = frozenset(
    {
        "begin",
        "regret",
        "forget",
        "admit",
        "permit",
        "commit",
        "submit",
        "transmit",
        "refer",
        "upset",
        "reset",
        "emit",
        "expel",
        "offset",
        "compel",
        "rebel",
    }
)
_BRACKETS = re.compile(r"\[([^\]]+)\]")


@lru_cache(maxsize=4096)
def inflect(verb: str, form: str, plural: bool = False) -> str:
    """A verb in base form in one of `FORMS`; of several words the first is the verb.

    third: of he, she, it; with `plural` as after they. Raises `ValueError` for another form.
    """
    verb, space, rest = verb.partition(" ")
    if form == "base" or (form == "third" and plural):
        found = "are" if verb == "be" and form == "third" else verb
    elif form == "third":
        found = _third(verb)
    elif form == "gerund":
        found = _gerund(verb)
    else:
        raise ValueError(f"form: expected one of {', '.join(FORMS)}, found {form!r}")
    return found + space + rest


def inflect_all(phrase: str, form: str, plural: bool = False) -> str:
    """A phrase with all of its [verbs] in the form."""
    return _BRACKETS.sub(lambda found: inflect(found[1], form, plural), phrase)


def _third(verb: str) -> str:
    if verb in _THIRD:
        return _THIRD[verb]
    if verb.endswith(("s", "x", "z", "ch", "sh")):
        return verb + ("zes" if verb.endswith("z") and not verb.endswith("zz") else "es")
    if verb.endswith("y") and verb[-2:-1] not in "aeiou":
        return verb[:-1] + "ies"
    return verb + "s"


def _gerund(verb: str) -> str:
    if verb in _GERUND:
        return _GERUND[verb]
    if verb.endswith("e") and not verb.endswith(("ee", "oe", "ye")):
        return verb[:-1] + "ing"
    if _doubles(verb):
        return verb + verb[-1] + "ing"
    return verb + "ing"


def _doubles(verb: str) -> bool:
    if not re.search(r"[^aeiou][aeiouy][^aeiouwxy]$|^[aeiou][^aeiouwxy]$|qu[aeiou][^aeiouwxy]$", verb):
        return False
    return verb in _DOUBLES or len(re.findall(r"[aeiouy]+", verb.replace("qu", "q"))) == 1
