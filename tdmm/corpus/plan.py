"""What clip number n of a corpus shows and says, before anything is made: a pure function of n and the seed."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from tdmm.corpus.language import prompts
from tdmm.corpus.language.bank import FreePrompt, bank
from tdmm.corpus.language.captions import captions, timeline
from tdmm.corpus.language.noise import with_noise
from tdmm.corpus.language.questions import questions
from tdmm.corpus.perform import Performance, perform
from tdmm.corpus.program import Event, Program, check
from tdmm.corpus.splits import ONE_UNSEEN_IN, split_of
from tdmm.corpus.suite import Choice, choose, dressed, suite_program
from tdmm.errors import CorpusError

# One clip in so many is of the bank of free prompts.
ONE_FREE_IN = 5
# Where the head turns, rolls and nods by less than this from end to end, degrees, and goes less far, millimetres.
STILL_DEGREES, STILL_MILLIMETRES = 5.0, 14.0
# How often a prompt of the suite is worded in each style.
_STYLES = {"sentence": 0.44, "paper": 0.16, "request": 0.18, "command": 0.14, "timeline": 0.06, "keywords": 0.02}


@dataclass(frozen=True)
class Settings:
    """What all clips of a corpus share.

    seed: of everything. choice: the values that slots may take. free: whether the bank of free prompts takes part.
    programs: programs with their texts (empty: to be worded) that a user gave instead of the suite and the bank.
    per_program: how many clips each of those gets.
    """

    seed: int = 0
    choice: Choice = field(default_factory=choose)
    free: bool = True
    programs: tuple[tuple[Program, str], ...] = ()
    per_program: int = 1


@dataclass(frozen=True)
class PlannedClip:
    """A clip before it is made. number: its place in the corpus; slots: of the suite; text: given for it, or empty;
    template: of the bank, or None; random: the state from which its performance and wording are drawn."""

    number: int
    id: str
    program: Program
    slots: dict[str, str]
    text: str
    split: str
    template: FreePrompt | None
    random: np.random.Generator
    pure: bool = True


@dataclass(frozen=True)
class WrittenClip:
    """A planned clip performed and worded: `fields` are those of its line in the manifest (without files)."""

    performance: Performance
    fields: dict[str, Any]


def clip_id(number: int) -> str:
    """Sorted as they are numbered."""
    return f"c{number:07d}"


def plan_clip(number: int, settings: Settings) -> PlannedClip:
    """Clip `number`. Raises `CorpusError` for a program that a user gave and that cannot be done."""
    random = np.random.default_rng([settings.seed, 7, number])
    name = clip_id(number)
    if settings.programs:
        program, text = settings.programs[(number // settings.per_program) % len(settings.programs)]
        return PlannedClip(
            number, name, program, _slots_of(program), text, split_of(program, name, settings.seed), None, random
        )
    if settings.free and number % ONE_UNSEEN_IN == ONE_UNSEEN_IN - 1:
        prompt, round_ = _by_turns(number // ONE_UNSEEN_IN, settings.seed, unseen=True)
        return PlannedClip(number, name, prompt.program, {}, prompt.text(round_), "test-free", prompt, random)
    if settings.free and number % ONE_FREE_IN == ONE_FREE_IN - 1:
        return _free_clip(number, settings, random)
    turn = number - number // ONE_FREE_IN - number // ONE_UNSEEN_IN + _both(number) if settings.free else number
    program, slots = suite_program(turn, settings.seed, settings.choice, random)
    return PlannedClip(number, name, program, slots, "", split_of(program, name, settings.seed), None, random)


def _both(number: int) -> int:
    """How many numbers below are of both sorts, so that the suite misses no turn."""
    step = int(np.lcm(ONE_FREE_IN, ONE_UNSEEN_IN))
    return (number + 1) // step


def write_clip(planned: PlannedClip, longest: float) -> WrittenClip:
    """Perform a clip and put it into words."""
    random, program = planned.random, planned.program
    performance = perform(program, random, longest=longest)
    plan = performance.schedule
    still = head_is_still(program, performance)
    held_out = planned.split == "test-phrasing"
    text = planned.text or _worded(program, performance, random, head_still=still, held_out=held_out)
    others = _other_texts(planned, performance, text, head_still=still, held_out=held_out)
    prompt, appearance = prompts.video_prompt(program, random)
    fields: dict[str, Any] = {
        "id": planned.id,
        "text": text if planned.split.startswith("test") else with_noise(text, random),
        "texts": others,
        "prompt": prompt,
        "captions": captions(program, plan, random, head_still=still, held_out=held_out),
        "questions": questions(program, plan, random, head_still=still),
        "events": events_of(program, performance),
        "program": str(program),
        "slots": {**planned.slots, "appearance": appearance["subject"]},
        "split": planned.split,
        "duration": plan.duration,
    }
    if planned.template is not None:
        fields["free"] = {"voice": planned.template.voice, "source": planned.template.source, "pure": planned.pure}
    return WrittenClip(performance, fields)


def head_is_still(program: Program, performance: Performance) -> bool:
    """Whether the head keeps its place through the whole clip, and is not asked to move however little."""
    if any(
        event.behaviour.kind == "head" and event.id != "keep_still" and not event.absent for event in program.events()
    ):
        return False
    reach = np.ptp(performance.head, axis=0)
    return bool(reach[:3].max() < STILL_DEGREES and reach[3:].max() < STILL_MILLIMETRES)


def events_of(program: Program, performance: Performance) -> list[dict[str, Any]]:
    """The structured truth: every event with its moments in seconds; what is said not to happen lasts throughout."""
    plan = performance.schedule
    base = {id(event) for event in program.base}
    found = [
        _as_fields(
            timed.event,
            round(max(timed.start, 0.0), 2),
            round(min(timed.end, plan.duration), 2),
            id(timed.event) in base,
        )
        for timed in sorted(plan.events, key=lambda timed: timed.start)
    ]
    return found + [
        _as_fields(event, round(start, 2), round(end, 2), id(event) in base) for event, start, end in plan.absent
    ]


def _as_fields(event: Event, start: float, end: float, throughout: bool) -> dict[str, Any]:
    return {
        "id": event.id, "kind": event.behaviour.kind, "side": event.side, "count": event.count, "level": event.level,
        "tempo": event.tempo, "start": start, "end": end, "absent": event.absent, "throughout": throughout,
    }  # fmt: skip


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
    prompts_ = bank(unseen)
    round_, place = divmod(turn, len(prompts_))
    return prompts_[_turns(seed, unseen)[place]], round_


def _free_clip(number: int, settings: Settings, random: np.random.Generator) -> PlannedClip:
    """A prompt of the bank: by itself as long as it has texts that were not there yet, else with something added."""
    prompt, round_ = _by_turns(number // ONE_FREE_IN, settings.seed)
    name = clip_id(number)
    # Alone every other time, so that a prompt with few variants lasts long.
    alone, variant = round_ % 2 == 0, round_ // 2
    if alone and variant < prompt.variants:
        # Variants in an order of its own.
        start = int(
            np.random.default_rng([settings.seed, 19, number // ONE_FREE_IN - round_]).integers(prompt.variants)
        )
        text = prompt.text((start + variant) % prompt.variants)
        split = split_of(prompt.program, name, settings.seed)
        return PlannedClip(
            number, name, prompt.program, {}, text, split if split != "test-phrasing" else "test", prompt, random
        )
    program, text = _extended(prompt, random)
    split = split_of(program, name, settings.seed)
    return PlannedClip(
        number, name, program, {}, text, split if split != "test-phrasing" else "test", prompt, random, pure=False
    )


def _extended(prompt: FreePrompt, random: np.random.Generator) -> tuple[Program, str]:
    """A free prompt, and then something else: another free prompt, or events of the lexicon in plain words."""
    text = prompt.text(int(random.integers(prompt.variants)))
    for _ in range(6):
        if random.random() < 0.35:
            prompts_ = bank()
            other = prompts_[int(random.integers(len(prompts_)))]
            if other.program.base or len(other.program.steps) + len(prompt.program.steps) > 5:
                continue
            steps, more = other.program.steps, other.text(int(random.integers(other.variants)))
        else:
            behaviours_ = _extras()
            steps = tuple(
                (dressed(behaviours_[int(random.integers(len(behaviours_)))], random),)
                for _ in range(1 + int(random.random() < 0.3))
            )
            more = prompts.command(Program(steps), random)
        program = Program((*prompt.program.steps, *steps), prompt.program.base)
        try:
            check(program)
        except CorpusError:
            continue
        join = (". Then: ", ", then ", ". After that: ", " -> ", ". Next: ", "; afterwards: ", " ... then ")
        return program, f"{text.rstrip('.')}{join[int(random.integers(len(join)))]}{more}"
    return prompt.program, text


@lru_cache(maxsize=1)
def _extras() -> list[Any]:
    from tdmm.corpus.lexicon import of_kind

    return [*of_kind("action"), *of_kind("head"), *of_kind("gaze")]


# -- texts of the suite --------------------------------------------------------------------------------


def _worded(
    program: Program, performance: Performance, random: np.random.Generator, *, head_still: bool, held_out: bool
) -> str:
    """The prompt, in one of the styles. One event alone has few terse names: it gets a sentence."""
    shares = np.array(list(_STYLES.values()))
    if len(program.events()) == 1:
        shares = shares * [1.6, 1, 1, 0.25, 1, 0]
    style = list(_STYLES)[int(random.choice(len(shares), p=shares / shares.sum()))]
    if held_out and style in ("keywords", "timeline"):
        style = "sentence"
    return _in_style(style, program, performance, random, head_still=head_still, held_out=held_out)


def _in_style(
    style: str,
    program: Program,
    performance: Performance,
    random: np.random.Generator,
    *,
    head_still: bool,
    held_out: bool,
) -> str:
    if style == "timeline":
        return timeline(performance.schedule, random)
    if style == "keywords":
        return prompts.keywords(program, random)
    if style == "paper":
        return prompts.paper(program, random, head_still=head_still, held_out=held_out)
    return getattr(prompts, style)(program, random, held_out)  # type: ignore[no-any-return]


def _other_texts(
    planned: PlannedClip, performance: Performance, text: str, *, head_still: bool, held_out: bool
) -> list[str]:
    """Three more ways to ask for the same."""
    random, program = planned.random, planned.program
    styles = ["command", "sentence", ("paper", "request", "timeline")[int(random.integers(3))]]
    if held_out:
        styles = ["command", "sentence", "request"]
    said = [
        _in_style(style, program, performance, random, head_still=head_still, held_out=held_out) for style in styles
    ]
    if planned.template is not None and planned.pure and planned.template.variants > 1:
        said[2] = planned.template.text(int(random.integers(planned.template.variants)))
    return [one for one in dict.fromkeys(said) if one != text]
