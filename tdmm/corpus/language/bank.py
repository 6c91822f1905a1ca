"""The bank of free prompts: what people write, each with the program of what the face does.

The data lie in tdmm/corpus/data/bank/*.txt, one prompt a line: PROGRAM | TEXT, with {alternatives|to choose|from}.
Groups of pronouns alone are chosen together. unseen.txt is kept for scoring and never trained on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

from tdmm.corpus.program import Program, parse_program
from tdmm.errors import CorpusError

UNSEEN = "unseen"
FILES = ("chat", "prose", "situations", "stage", "voices", UNSEEN)
_GROUP = re.compile(r"\{([^{}]*)\}")
_PRONOUNS = frozenset(
    (
        "i you he she they it we me him her them us my your his their its our mine yours hers theirs myself yourself "
        "himself herself themself themselves itself he's she's they're it's i'm you're he'll she'll they'll"
    ).split()
)


@dataclass(frozen=True)
class FreePrompt:
    """One line of the bank. voice: the heading under which it stands. source: its file without .txt, and its line."""

    program: Program
    template: str
    voice: str
    source: str

    @property
    def variants(self) -> int:
        """How many texts its alternatives make."""
        free, linked = _groups(self.template)
        count = 1
        for size in (*free, *linked):
            count *= size
        return count

    def text(self, number: int) -> str:
        """Variant `number` (taken modulo `variants`)."""
        free, linked = _groups(self.template)
        choices = []
        for size in free:
            number, choice = divmod(number, size)
            choices.append(choice)
        together = {}
        for size in linked:
            number, together[size] = divmod(number, size)
        chosen = iter(choices)

        def put(group: re.Match[str]) -> str:
            options = group[1].split("|")
            return options[together[len(options)] if _all_pronouns(options) else next(chosen)]

        return re.sub(r"\s+", " ", _GROUP.sub(put, self.template)).strip()


def _groups(template: str) -> tuple[list[int], list[int]]:
    """The sizes of the groups that are chosen freely, and of the sorts of groups that are chosen together."""
    free, linked = [], set()
    for group in _GROUP.finditer(template):
        options = group[1].split("|")
        if _all_pronouns(options):
            linked.add(len(options))
        else:
            free.append(len(options))
    return free, sorted(linked)


def _all_pronouns(options: list[str]) -> bool:
    return all(option.strip().lower() in _PRONOUNS for option in options)


@cache
def bank(unseen: bool = False) -> tuple[FreePrompt, ...]:
    """All free prompts for training, or those that are set aside. Raises `CorpusError` that names a wrong line."""
    return tuple(prompt for stem in FILES if (stem == UNSEEN) == unseen for prompt in _read(stem))


def _read(stem: str) -> list[FreePrompt]:
    found, voice = [], ""
    text = (files("tdmm.corpus") / "data" / "bank" / f"{stem}.txt").read_text(encoding="utf-8")
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("# voice:"):
            voice = line.removeprefix("# voice:").strip()
        if not line.strip() or line.startswith("#"):
            continue
        program, bar, template = line.partition(" | ")
        if not bar:
            raise CorpusError(f"{stem}.txt, line {number}: expected PROGRAM | TEXT")
        try:
            found.append(FreePrompt(parse_program(program), template.strip(), voice, f"{stem}:{number}"))
        except CorpusError as error:
            raise CorpusError(f"{stem}.txt, line {number}: {error}") from error
    return found


def draw_variant(prompt: FreePrompt, random: np.random.Generator) -> str:
    """One of its texts."""
    return prompt.text(int(random.integers(prompt.variants)))
