"""Questions about a motion and their answers, from what is known to happen in it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tdmm.corpus.language.clauses import Voice, bare_clause, clause
from tdmm.corpus.language.phrases import THEY, Pronouns
from tdmm.corpus.lexicon import behaviours, of_kind
from tdmm.corpus.program import Event, Program
from tdmm.corpus.schedule import Schedule

KINDS = (
    "emotion",
    "intensity",
    "action",
    "head",
    "gaze",
    "speech",
    "count",
    "side",
    "order",
    "when",
    "stillness",
    "yes-no",
)
_NUMBERS = (
    "no times",
    "once",
    "twice",
    "three times",
    "four times",
    "five times",
    "six times",
    "seven times",
    "eight times",
)
# What would make "does the person ...?" a question of taste: near relatives of a behaviour.
RELATIVES = (
    {"smile", "grin", "smirk", "laugh", "giggle", "joy", "amusement", "excitement", "dimple", "laugh_speaking"},
    {"blink", "double_blink", "wink", "close_eyes", "flutter_lashes", "squeeze_eyes", "droop_lids", "yawn"},
    {"eye_twitch", "squint", "blink", "wink"},
    {"open_mouth", "gape", "part_lips", "yawn", "gasp", "round_lips", "sigh"},
    {"speak", "whisper", "shout", "mumble", "sing", "read_out", "laugh_speaking", "mouth_words", "rant"},
    {"frown", "pout", "scowl", "lower_brows", "shrug_mouth", "push_up_chin"},
    {"raise_brows", "raise_inner_brows", "brow_flash", "wiggle_brows", "cock_brow", "widen_eyes", "surprise", "gasp"},
    {"turn", "snap_turn", "look_over_shoulder", "double_take", "look_around", "nudge_head", "look_aside", "scan"},
    {"nod", "bob", "bow", "lower_head", "slump_head", "up_nod", "raise_head", "look_down", "look_up", "toss_head"},
    {"tilt", "lean_aside", "wobble", "sway", "circle_head", "nudge_head"},
    {"lean_forward", "thrust_head", "lean_back", "pull_head_back", "recoil"},
    {"pucker", "kiss", "blow", "whistle", "round_lips", "press_lips", "roll_lips", "bite_lip", "swallow"},
    {"squint", "raise_cheeks", "squeeze_eyes", "wince", "grimace"},
    {"bare_teeth", "grit_teeth", "stretch_lips", "grimace", "raise_upper_lip", "drop_lower_lip", "chatter_teeth"},
    {"sneer", "wrinkle_nose", "sniff", "raise_upper_lip", "sneeze"},
)  # fmt: skip


def questions(
    program: Program, plan: Schedule, random: np.random.Generator, *, head_still: bool, most: int = 6
) -> list[dict[str, str]]:
    """Up to `most` of them, {"kind", "question", "answer"}, at most one of each sort that a program allows."""
    voice = Voice(random, THEY)
    makers: list[Callable[[], dict[str, str] | None]] = [
        lambda: _about_emotion(program, voice),
        lambda: _about_intensity(program, voice),
        lambda: _about_kind(program, voice, "action", "What does the face do?", "What facial action can be seen?"),
        lambda: _about_kind(program, voice, "head", "How does the head move?", "What does the head do?"),
        lambda: _about_kind(program, voice, "gaze", "Where do the eyes go?", "What does the gaze do?"),
        lambda: _about_kind(
            program, voice, "speech", "How does the person talk?", "What is the person's way of speaking?"
        ),
        lambda: _about_count(program, voice),
        lambda: _about_side(program, voice),
        lambda: _about_order(program, voice),
        lambda: _about_time(plan, voice),
        lambda: _about_stillness(head_still, voice),
        lambda: _yes_or_no(program, voice),
    ]
    found = []
    for number in random.permutation(len(makers)):
        one = makers[int(number)]()
        if one is not None:
            found.append(one)
        if len(found) == most:
            break
    return found


def _pair(kind: str, question: str, answer: str) -> dict[str, str]:
    return {"kind": kind, "question": question, "answer": answer[:1].upper() + answer[1:]}


def _present(program: Program) -> list[Event]:
    return [event for event in program.events() if not event.absent]


def _about_emotion(program: Program, voice: Voice) -> dict[str, str] | None:
    felt = [event for event in _present(program) if event.behaviour.kind == "emotion"]
    if not felt:
        return None
    question = voice.pick(
        (
            "Which emotion does the face show?",
            "What does the person seem to feel?",
            "What emotion is this?",
            "How does the person feel?",
        )
    )
    return _pair("emotion", question, ", then ".join(event.behaviour.name for event in felt) + ".")


def _about_intensity(program: Program, voice: Voice) -> dict[str, str] | None:
    felt = [
        event
        for event in _present(program)
        if event.behaviour.kind in ("emotion", "action", "head")
        and not event.behaviour.full
        and not event.behaviour.fixed
        and event.id != "neutral"
    ]
    if not felt:
        return None
    event = felt[int(voice.random.integers(len(felt)))]
    if sum(other.id == event.id for other in felt) > 1:
        return None
    if event.behaviour.kind == "emotion":
        asked = f"How {voice.pick(('strong', 'intense'))} is the {event.behaviour.name}?"
    else:
        asked = f"How strongly does the person {bare_clause(event, 'base', voice)}?"
    return _pair("intensity", asked, f"{event.level}.")


def _about_kind(program: Program, voice: Voice, kind: str, *asked: str) -> dict[str, str] | None:
    seen = [event for event in _present(program) if event.behaviour.kind == kind]
    if not seen:
        return None
    return _pair(
        kind, voice.pick(asked), ", then ".join(clause(event, "third", _person(voice)) for event in seen) + "."
    )


def _about_count(program: Program, voice: Voice) -> dict[str, str] | None:
    counted = [event for event in _present(program) if event.behaviour.repeats]
    if not counted:
        return None
    event = counted[int(voice.random.integers(len(counted)))]
    if sum(other.id == event.id for other in counted) > 1:
        return None
    return _pair(
        "count", f"How often does the person {bare_clause(event, 'base', voice)}?", f"{_NUMBERS[event.count]}."
    )


def _about_side(program: Program, voice: Voice) -> dict[str, str] | None:
    sided = [event for event in _present(program) if event.side]
    if not sided:
        return None
    event = sided[int(voice.random.integers(len(sided)))]
    if sum(other.id == event.id for other in sided) > 1:
        return None
    return _pair("side", f"{event.behaviour.name.capitalize()}: on which side, left or right?", f"{event.side}.")


def _about_order(program: Program, voice: Voice) -> dict[str, str] | None:
    if len(program.steps) < 2:
        return None
    steps = [[event for event in step if not event.absent] for step in program.steps]
    steps = [step for step in steps if step]
    ids = [event.id for step in steps for event in step]
    if len(steps) < 2 or len(set(ids)) < len(ids):
        return None
    at = int(voice.random.integers(len(steps) - 1))
    first, second = (bare_clause(steps[number][0], "gerund", _person(voice)) for number in (at, at + 1))
    if voice.chance(0.5):
        return _pair("order", f"What comes right after {first}?", f"{second}.")
    one, two = (first, second) if voice.chance(0.5) else (second, first)
    return _pair("order", f"What comes first: {one}, or {two}?", f"{first}.")


def _about_time(plan: Schedule, voice: Voice) -> dict[str, str] | None:
    timed = [one for one in plan.events if one.start > 0.1 and one.end < plan.duration]
    if not timed:
        return None
    one = timed[int(voice.random.integers(len(timed)))]
    if sum(other.event.id == one.event.id for other in plan.events) > 1:
        return None
    doing = bare_clause(one.event, "base", voice)
    if voice.chance(0.5):
        return _pair("when", f"When does the person start to {doing}?", f"at {one.start:.1f} seconds.")
    return _pair("when", f"For how long does the person {doing}?", f"for about {one.end - one.start:.1f} seconds.")


def _about_stillness(head_still: bool, voice: Voice) -> dict[str, str]:
    question = voice.pick(("Is the head still?", "Does the head stay still?", "Does the person keep the head still?"))
    return _pair("stillness", question, "yes." if head_still else "no.")


def _yes_or_no(program: Program, voice: Voice) -> dict[str, str] | None:
    present = _present(program)
    if voice.chance(0.5) and present:
        event = present[int(voice.random.integers(len(present)))]
        return _pair("yes-no", f"Does the person {bare_clause(event, 'base', voice)}?", "yes.")
    # Something else, which is no near relative of what there is and does not share its part of the face.
    shown = {event.id for event in present}
    shown |= {name for family in RELATIVES if family & shown for name in family}
    kind = voice.pick(("action", "head", "gaze", "speech"))
    others = [
        one
        for one in of_kind(kind)
        if one.id not in shown
        and not one.fixed
        and one.id not in ("blink", "double_blink", "look_at_camera")
        and not any(one.occupies & event.behaviour.occupies for event in present)
        and not any(_resembles(one.id, event) for event in present)
    ]
    if not others:
        return None
    other = Event(others[int(voice.random.integers(len(others)))])
    if other.behaviour.sided:
        other = Event(other.behaviour, side=voice.pick(("left", "right")))
    return _pair("yes-no", f"Does the person {bare_clause(other, 'base', voice)}?", "no.")


def _resembles(name: str, event: Event) -> bool:
    """Whether an emotion moves the face much as that behaviour does."""
    if event.behaviour.kind != "emotion" or event.behaviour.pose is None:
        return False
    other = behaviours()[name]
    peak = other.pose if other.keys is None else abs(other.keys[1]).max(0)
    if peak is None or other.kind == "speech":
        return False
    length = float(np.linalg.norm(peak) * np.linalg.norm(event.behaviour.pose))
    return length == 0 or float(np.abs(peak * event.behaviour.pose).sum()) / max(length, 1e-6) > 0.15


def _person(voice: Voice) -> Voice:
    return Voice(voice.random, Pronouns("The person", "they", "them", "their", "themself"))
