"""What clip number n of a corpus shows, before anything is made: a pure function of n and the settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from tdmm.corpus.language import prompts
from tdmm.corpus.language.bank import FreePrompt, bank
from tdmm.corpus.lexicon import Behaviour, of_kind
from tdmm.corpus.program import Program, check
from tdmm.corpus.splits import ONE_UNSEEN_IN, part_of_one, split_of, split_of_text
from tdmm.corpus.suite import Choice, choose, dressed, suite_program
from tdmm.errors import CorpusError

# One clip in so many is of the bank of free prompts.
ONE_FREE_IN = 5
# What may change from clip to clip of one prompt.
VARIATIONS = ("wording", "appearance", "place", "light", "camera")
_JOINS = (". Then: ", ", then ", ". After that: ", " -> ", ". Next: ", "; afterwards: ", " ... then ")


@dataclass(frozen=True)
class GivenPrompt:
    """A prompt of the user's own: a program, or a text, or both."""

    text: str = ""
    program: Program | None = None


@dataclass(frozen=True)
class Settings:
    """What all clips of a run share.

    seed: of everything. choice: the values that slots may take. free: whether the bank of free prompts takes part.
    given: the user's own prompts instead of the suite and the bank.
    seeds: clips of each prompt, one after the other. vary: which of VARIATIONS change among those.
    """

    seed: int = 0
    choice: Choice = field(default_factory=choose)
    free: bool = True
    given: tuple[GivenPrompt, ...] = ()
    seeds: int = 1
    vary: frozenset[str] = frozenset()


@dataclass(frozen=True)
class PlannedClip:
    """A clip before it is made.

    number: its place in the corpus. program: None where only a text was given. slots: those that the suite filled.
    text: given for it or of the bank, or empty: to be worded. template: of the bank, or None; pure: nothing was added
    to it. scene: see `prompts.draw_scene`. performance, words, look: what its movement, its texts and its picture are
    drawn from.
    """

    number: int
    id: str
    program: Program | None
    slots: dict[str, str]
    text: str
    split: str
    template: FreePrompt | None
    pure: bool
    scene: dict[str, str]
    performance: np.random.Generator
    words: np.random.Generator
    look: dict[str, np.random.Generator]


@dataclass(frozen=True)
class _Asked:
    program: Program | None
    slots: dict[str, str]
    text: str = ""
    template: FreePrompt | None = None
    pure: bool = True
    unseen: bool = False


def clip_id(number: int, seed: int) -> str:
    """Sorted as they are numbered; clips of another seed have other ids."""
    return f"s{seed}-{number:07d}"


def plan_clip(number: int, settings: Settings) -> PlannedClip:
    """Clip `number`: the same for ever for the same settings."""
    seed, name = settings.seed, clip_id(number, settings.seed)
    prompt = number // settings.seeds
    asked = _asked(prompt, settings, np.random.default_rng([seed, 7, prompt]))

    def stream(kind: int, variation: str) -> np.random.Generator:
        return np.random.default_rng([seed, kind, number if variation in settings.vary else prompt])

    randoms = {name: stream(20 + kind, name) for kind, name in enumerate(VARIATIONS)}
    return PlannedClip(
        number=number,
        id=name,
        program=asked.program,
        slots=asked.slots,
        text=asked.text,
        split=_split(asked, clip_id(prompt, seed), seed),
        template=asked.template,
        pure=asked.pure,
        scene=prompts.draw_scene(randoms),
        performance=np.random.default_rng([seed, 8, number]),
        words=randoms["wording"],
        look={name: stream(30 + kind, name) for kind, name in enumerate(VARIATIONS) if name != "wording"},
    )


def _split(asked: _Asked, name: str, seed: int) -> str:
    """All clips of one prompt are of one split."""
    if asked.unseen:
        return "test-free"
    if asked.program is None:
        return split_of_text(asked.text)
    # All clips of a line of the bank are of one split.
    split = split_of(asked.program, name if asked.template is None else asked.template.source, seed)
    # A text that was given has the phrases that it has.
    return "test" if split == "test-phrasing" and asked.text else split


def _asked(number: int, settings: Settings, random: np.random.Generator) -> _Asked:
    """Prompt `number` of the settings."""
    if settings.given:
        given = settings.given[number % len(settings.given)]
        return _Asked(given.program, {} if given.program is None else _slots_of(given.program), given.text)
    if settings.free and number % ONE_UNSEEN_IN == ONE_UNSEEN_IN - 1:
        prompt, round_ = _by_turns(number // ONE_UNSEEN_IN, settings.seed, unseen=True)
        return _Asked(prompt.program, {}, prompt.text(round_), prompt, unseen=True)
    if settings.free and number % ONE_FREE_IN == ONE_FREE_IN - 1:
        return _free(number // ONE_FREE_IN, settings.seed, random)
    turn = number
    if settings.free:
        # Every unseen prompt stands where one of the bank would: the suite misses no turn.
        turn -= number // ONE_FREE_IN
    program, slots = suite_program(turn, settings.seed, settings.choice, random)
    return _Asked(program, slots)


def _slots_of(program: Program) -> dict[str, str]:
    found: dict[str, str] = {}
    for event in program.events():
        if not event.absent:
            found.setdefault(event.behaviour.kind, event.id)
            if event.behaviour.kind == "emotion":
                found.setdefault("intensity", event.level)
    return found


# -- free prompts --------------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def _turns(seed: int, unseen: bool) -> np.ndarray:
    return np.random.default_rng([seed, 17, unseen]).permutation(len(bank(unseen)))


def _by_turns(turn: int, seed: int, unseen: bool = False) -> tuple[FreePrompt, int]:
    """The bank's prompts one after the other in an order of the seed, and how often this one has been there before."""
    everything = bank(unseen)
    round_, place = divmod(turn, len(everything))
    return everything[_turns(seed, unseen)[place]], round_


def _free(turn: int, seed: int, random: np.random.Generator) -> _Asked:
    """A prompt of the bank: by itself as long as it has texts that were not there yet, else with something added."""
    prompt, round_ = _by_turns(turn, seed)
    # Alone every other time, so that a prompt with few variants lasts long.
    alone, variant = round_ % 2 == 0, round_ // 2
    if alone and variant < prompt.variants:
        start = int(part_of_one("variant", seed, prompt.source) * prompt.variants)
        return _Asked(prompt.program, {}, prompt.text((start + variant) % prompt.variants), prompt)
    program, text = _extended(prompt, random)
    return _Asked(program, {}, text, prompt, pure=False)


def _extended(prompt: FreePrompt, random: np.random.Generator) -> tuple[Program, str]:
    """A free prompt, and then something else: another free prompt, or events of the lexicon in plain words."""
    text = prompt.text(int(random.integers(prompt.variants)))
    for _ in range(6):
        if random.random() < 0.35:
            everything = bank()
            other = everything[int(random.integers(len(everything)))]
            if other.program.base or len(other.program.steps) + len(prompt.program.steps) > 5:
                continue
            steps, more = other.program.steps, other.text(int(random.integers(other.variants)))
        else:
            known = _extras()
            steps = tuple(
                (dressed(known[int(random.integers(len(known)))], random),)
                for _ in range(1 + int(random.random() < 0.3))
            )
            more = prompts.command(Program(steps), random)
        program = Program((*prompt.program.steps, *steps), prompt.program.base)
        try:
            check(program)
        except CorpusError:
            continue
        return program, f"{text.rstrip('.')}{_JOINS[int(random.integers(len(_JOINS)))]}{more}"
    return prompt.program, text


@lru_cache(maxsize=1)
def _extras() -> list[Behaviour]:
    return [*of_kind("action"), *of_kind("head"), *of_kind("gaze")]
