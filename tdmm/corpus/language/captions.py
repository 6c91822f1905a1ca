"""Captions: what a motion shows, in three lengths, and the same as a timeline. Nothing is said that is not there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tdmm.corpus.language.clauses import Voice, adjective_of, along, clause, noun_of, step_clause, words
from tdmm.corpus.language.phrases import THEY, Pronouns
from tdmm.corpus.language.prompts import parts_of_base, sentence_about, tidy, whole_sentence
from tdmm.corpus.program import Program
from tdmm.corpus.schedule import Schedule, Timed

_PERSON = Pronouns("The person", "they", "them", "their", "themself")
_STILL = ("The head stays almost still", "The head hardly moves", "The head keeps its place")
_STILL_TOO = (", head almost still", ", head steady", ", the head hardly moving", ", without moving the head")


def captions(
    program: Program, plan: Schedule, random: np.random.Generator, *, head_still: bool, held_out: bool = False
) -> dict[str, str]:
    """`short` (a few words), `medium` (a sentence or two), `long` (everything, with times).

    head_still: whether the head keeps its place from start to end, which each of them says unless it says so already.
    """
    voice = Voice(random, _PERSON, held_out)
    told = any(event.id == "keep_still" and not event.absent for event in program.events())
    short, medium = _short(program, voice), sentence_about(program, "The person", Voice(random, THEY, held_out))
    if head_still and not told:
        short += voice.pick(_STILL_TOO)
        medium = f"{whole_sentence(medium)} {voice.pick(_STILL)}"
    return {
        "short": whole_sentence(short),
        "medium": whole_sentence(medium),
        "long": _long(program, plan, voice, head_still=head_still),
    }


def timeline(plan: Schedule, random: np.random.Generator) -> str:
    """What happens when: `0.4-1.9 s: smiles; 2.1-3.0 s: nods twice`."""
    voice = Voice(random, _PERSON)
    style = int(random.integers(4))
    parts = []
    for timed in sorted(plan.events, key=lambda one: one.start):
        start, end = _span(timed, plan)
        said = clause(timed.event, "third", voice)
        whole = start <= 0.05 and end >= plan.duration - 0.05
        if style == 0:
            parts.append(f"{'whole clip' if whole else f'{start:.1f}-{end:.1f} s'}: {said}")
        elif style == 1:
            parts.append(f"[{start:.1f}s-{end:.1f}s] {said}")
        elif style == 2:
            parts.append(f"{said} from start to end" if whole else f"at {start:.1f} seconds {said}, until {end:.1f}")
        else:
            parts.append(f"{said} ({start:.1f} s, {end - start:.1f} s long)")
    said = "; ".join(parts)
    for event, _, _ in plan.absent:
        said += along(event, voice)
    return tidy(said)


def _span(timed: Timed, plan: Schedule) -> tuple[float, float]:
    return max(0.0, timed.start), min(timed.end, plan.duration)


def _short(program: Program, voice: Voice) -> str:
    """The steps and what is said meanwhile, plainly; an emotion in front."""
    emotion, speech, _ = parts_of_base(program)
    parts = [step_clause(step, "third", voice) for step in program.steps]
    if not parts:
        parts = [clause(event, "third", voice) for event in speech]
    elif speech:
        # Not in front: "mumbles, then nods" is said of who stops mumbling.
        meanwhile = ", ".join(clause(event, "gerund", voice) for event in speech)
        parts[-1] += f", {meanwhile} {voice.pick(words()['joins']['throughout'])}"
    if emotion is not None and not parts:
        return f"The person {clause(emotion, 'third', voice)}"
    if not parts:
        return (
            f"The person {clause(program.base[0], 'third', voice)}"
            if not program.base[0].absent
            else (f"The person faces the camera{along(program.base[0], voice)}")
        )
    told = ", then ".join(parts)
    if emotion is not None:
        return f"The person looks {adjective_of(emotion, voice)[0]} and {told}"
    return f"The person {told}"


def _long(program: Program, plan: Schedule, voice: Voice, *, head_still: bool) -> str:
    emotion, speech, others = parts_of_base(program)
    said: list[str] = []
    if emotion is not None:
        said.append(
            f"The person looks {adjective_of(emotion, voice)[0]}, with {noun_of(emotion, voice)} from start to end"
        )
    for event in speech:
        said.append(
            f"{voice.pick(('All the while they', 'Throughout, they', 'They'))} {clause(event, 'third', _plural(voice))}"
        )
    for event in others:
        if event.absent:
            said.append(f"They stay in view{along(event, voice)}")
        else:
            said.append(f"They {clause(event, 'third', _plural(voice))} the whole time")
    base = {id(event) for event in program.base}
    moments = [timed for timed in plan.events if id(timed.event) not in base]
    opening = ("First", "After that", "Then", "Next", "Later")
    for number, timed in enumerate(sorted(moments, key=lambda one: one.start)):
        start, end = _span(timed, plan)
        when = f"from {start:.1f} to {end:.1f} s"
        lead = opening[0] if number == 0 and len(moments) > 1 else opening[1 + number % 4]
        if len(moments) == 1:
            lead = voice.pick(("At one point", "Here"))
        elif number and _overlap(timed, moments):
            lead = "Meanwhile"
        said.append(f"{lead} they {clause(timed.event, 'third', _plural(voice))} ({when})")
    for step in program.steps:
        said += [f"They do this{along(event, voice)}" for event in step if event.absent]
    if head_still:
        said.append(voice.pick(_STILL))
    return " ".join(whole_sentence(part) for part in said)


def _overlap(timed: Timed, others: Sequence[Timed]) -> bool:
    return any(one is not timed and one.start <= timed.start < one.end - 0.3 for one in others)


def _plural(voice: Voice) -> Voice:
    return Voice(voice.random, THEY, voice.held_out)
