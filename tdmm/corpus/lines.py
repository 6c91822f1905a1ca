"""The line of a clip in the manifest: texts, captions, questions and the structured truth."""

from __future__ import annotations

from typing import Any

import numpy as np

from tdmm.corpus.language import prompts
from tdmm.corpus.language.captions import captions, timeline
from tdmm.corpus.language.noise import with_noise
from tdmm.corpus.language.questions import questions
from tdmm.corpus.language.synonyms import with_synonyms
from tdmm.corpus.perform import Performance, perform
from tdmm.corpus.plan import PlannedClip
from tdmm.corpus.program import Program, event_fields
from tdmm.corpus.schedule import LONGEST_CLIP

# A head that turns, rolls and nods by less than this from end to end, degrees, and goes less far, millimetres, is
# still.
STILL_DEGREES, STILL_MILLIMETRES = 5.0, 14.0
# How often a prompt of the suite is worded in each style.
STYLES = {"sentence": 0.44, "paper": 0.16, "request": 0.18, "command": 0.14, "timeline": 0.06, "keywords": 0.02}


def perform_clip(planned: PlannedClip, longest: float = LONGEST_CLIP) -> tuple[Performance, dict[str, Any]]:
    """A planned clip performed, and the fields of its line that do not depend on files. It must have a program."""
    program, random = planned.program, planned.words
    assert program is not None
    performance = perform(program, planned.performance, longest=longest)
    plan, still = performance.schedule, head_is_still(program, performance)
    held_out = planned.split == "test-phrasing"
    text = planned.text or _worded(program, performance, random, head_still=still, held_out=held_out)
    fields: dict[str, Any] = {
        "id": planned.id,
        "text": text if planned.split.startswith("test") else with_noise(with_synonyms(text, random), random),
        "texts": _other_texts(planned, performance, text, head_still=still, held_out=held_out),
        "prompt": _video_prompt(planned, random),
        "captions": captions(program, plan, random, head_still=still, held_out=held_out),
        "questions": questions(program, plan, random, head_still=still),
        "events": events_of(program, performance),
        **_known(planned),
        "duration": plan.duration,
    }
    return performance, fields


def ask_for_clip(planned: PlannedClip) -> dict[str, Any]:
    """The fields of a clip that somebody else is to make: what is asked for, not what is true."""
    program, random = planned.program, planned.words
    text = planned.text
    fields: dict[str, Any] = {"id": planned.id}
    if program is not None:
        text = text or prompts.sentence(program, random)
        fields["texts"] = [prompts.command(program, random)]
        fields["asked"] = [event_fields(event, event in program.base) for event in program.events()]
    return {**fields, "text": text, "prompt": _video_prompt(planned, random, text), **_known(planned)}


def _known(planned: PlannedClip) -> dict[str, Any]:
    found: dict[str, Any] = {
        "slots": {**planned.slots, "appearance": planned.scene["subject"]},
        "split": planned.split,
    }
    if planned.program is not None:
        found["program"] = str(planned.program)
    if planned.template is not None:
        found["free"] = {"voice": planned.template.voice, "source": planned.template.source, "pure": planned.pure}
    return found


def _video_prompt(planned: PlannedClip, random: np.random.Generator, text: str = "") -> str:
    """For a text-to-video model: a scene in which the program, or else the text, happens."""
    acts = text
    if planned.program is not None:
        acts = prompts.acts_of(planned.program, planned.scene, random)
    return prompts.video_prompt(acts, planned.scene, random)


def head_is_still(program: Program, performance: Performance) -> bool:
    """Whether the head keeps its place through the whole clip, and is not asked to move however little."""
    moves = (
        event.behaviour.kind == "head" and event.id != "keep_still" for event in program.events() if not event.absent
    )
    if any(moves):
        return False
    reach = np.ptp(performance.head, axis=0)
    return bool(reach[:3].max() < STILL_DEGREES and reach[3:].max() < STILL_MILLIMETRES)


def events_of(program: Program, performance: Performance) -> list[dict[str, Any]]:
    """The structured truth: every event with its moments in seconds, also what does not happen."""
    plan = performance.schedule
    base = {id(event) for event in program.base}
    found = [
        event_fields(
            timed.event,
            id(timed.event) in base,
            (round(max(timed.start, 0.0), 2), round(min(timed.end, plan.duration), 2)),
        )
        for timed in sorted(plan.events, key=lambda timed: timed.start)
    ]
    return found + [
        event_fields(event, id(event) in base, (round(start, 2), round(end, 2))) for event, start, end in plan.absent
    ]


def _worded(
    program: Program, performance: Performance, random: np.random.Generator, *, head_still: bool, held_out: bool
) -> str:
    """The prompt, in one of the styles. One event alone has few terse names: it gets a sentence."""
    shares = np.array(list(STYLES.values()))
    if len(program.events()) == 1:
        shares = shares * [1.6, 1, 1, 0.25, 1, 0]
    style = list(STYLES)[int(np.searchsorted(np.cumsum(shares), random.random() * shares.sum(), side="right"))]
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
    plainly = {"sentence": prompts.sentence, "request": prompts.request, "command": prompts.command}
    return plainly[style](program, random, held_out)


def _other_texts(
    planned: PlannedClip, performance: Performance, text: str, *, head_still: bool, held_out: bool
) -> list[str]:
    """Three more ways to ask for the same."""
    random, program = planned.words, planned.program
    assert program is not None
    styles = ["command", "sentence", ("paper", "request", "timeline")[int(random.integers(3))]]
    if held_out:
        styles = ["command", "sentence", "request"]
    said = [
        _in_style(style, program, performance, random, head_still=head_still, held_out=held_out) for style in styles
    ]
    if planned.template is not None and planned.pure and planned.template.variants > 1:
        said[2] = planned.template.text(int(random.integers(planned.template.variants)))
    return [one for one in dict.fromkeys(said) if one != text]
