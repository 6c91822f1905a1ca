"""Ways of saying each behaviour. The data lie in tdmm/corpus/data/phrases/*.toml.

In a phrase, finite verbs stand in [brackets] in their base form; {they}, {them}, {their}, {themself} are the
subject's pronouns and {side} is left or right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from tdmm.corpus.language.inflect import inflect_all
from tdmm.corpus.lexicon import behaviours, read_data
from tdmm.errors import CorpusError

FILES = ("emotions", "actions_upper", "actions_lower", "head", "gaze", "speech")


@dataclass(frozen=True)
class Pronouns:
    """How a subject is spoken of. plural: verbs agree as with they. subject: the pronoun at the head of a sentence."""

    subject: str
    they: str
    them: str
    their: str
    themself: str
    plural: bool = False


SHE = Pronouns("She", "she", "her", "her", "herself")
HE = Pronouns("He", "he", "him", "his", "himself")
THEY = Pronouns("They", "they", "them", "their", "themself", plural=True)
YOU = Pronouns("You", "you", "you", "your", "yourself", plural=True)
IT = Pronouns("It", "it", "it", "its", "itself")
I = Pronouns("I", "I", "me", "my", "myself", plural=True)  # noqa: E741


@dataclass(frozen=True)
class Ways:
    """The phrases of one behaviour, by their sort. `side` ones are for one side, the others for both or for none."""

    verbs: tuple[str, ...] = ()
    verbs_side: tuple[str, ...] = ()
    verbs_slight: tuple[str, ...] = ()
    verbs_strong: tuple[str, ...] = ()
    nouns: tuple[str, ...] = ()
    nouns_side: tuple[str, ...] = ()
    adjectives: tuple[str, ...] = ()
    adjectives_slight: tuple[str, ...] = ()
    adjectives_strong: tuple[str, ...] = ()
    adverbs: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()
    held_out_side: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """How many there are without those that are kept out of training."""
        return sum(len(getattr(self, name)) for name in self.__dataclass_fields__ if not name.startswith("held_out"))


@cache
def ways() -> Mapping[str, Ways]:
    """The phrases of every behaviour, by its id. Raises `CorpusError` if one has none."""
    found: dict[str, Ways] = {}
    for stem in FILES:
        for name, lists in read_data(f"phrases/{stem}.toml").items():
            found[name] = Ways(**{key: tuple(values) for key, values in lists.items()})
    missing = [name for name in behaviours() if name not in found]
    if missing:
        raise CorpusError(f"there are no phrases for {', '.join(missing)}")
    return found


def fill(phrase: str, form: str, pronouns: Pronouns, side: str = "") -> str:
    """A phrase as it stands in a sentence: verbs inflected, pronouns and side put in."""
    if pronouns is I and form == "third":
        phrase = phrase.replace("[be]", "am")
    said = inflect_all(phrase, form, pronouns.plural)
    return said.format(
        they=pronouns.they, them=pronouns.them, their=pronouns.their, themself=pronouns.themself, side=side
    )
