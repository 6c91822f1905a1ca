"""Clauses: one event, or one step of events, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from tdmm.corpus.language.phrases import Pronouns, Ways, fill, ways
from tdmm.corpus.lexicon import read_data
from tdmm.corpus.program import Event

# How often a count of one, which goes without saying, is said.
SAYS_ONCE = 0.2
# How often something that happens along is put as a noun: "with a smile".
AS_NOUN = 0.35
_PLAIN_NOUN = {"joy": ("happiness", "joy"), "caring": ("care", "tenderness"), "neutral": ("calm neutrality",)}
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


@cache
def words() -> dict[str, Any]:
    """The connecting words, tdmm/corpus/data/words.toml."""
    return read_data("words.toml")


@dataclass
class Voice:
    """Who words a text: draws from `random`, speaks of a subject by `pronouns`.

    held_out: only phrases that training never sees are taken, where a behaviour has any.
    """

    random: np.random.Generator
    pronouns: Pronouns
    held_out: bool = False
    used: set[str] = field(default_factory=set)

    def pick(self, options: Sequence[str]) -> str:
        """One of the options."""
        return options[int(self.random.random() * len(options))]

    def chance(self, probability: float) -> bool:
        return bool(self.random.random() < probability)


def clause(event: Event, form: str, voice: Voice) -> str:
    """What happens in one event, from the verb on: `nods twice slowly`. form: see `inflect.FORMS`."""
    phrase, told = _verb_phrase(event, voice)
    said = fill(phrase, form, voice.pronouns, event.side)
    return " ".join([said, *_manner(event, voice, level_told=told)])


def bare_clause(event: Event, form: str, voice: Voice) -> str:
    """The same without level, count, tempo and duration: what a question may say that asks for one of them."""
    return fill(voice.pick(_verbs(ways()[event.id], event.side)), form, voice.pronouns, event.side)


def _verb_phrase(event: Event, voice: Voice) -> tuple[str, bool]:
    """A verb phrase, and whether it tells the level."""
    found = ways()[event.id]
    emotion = event.behaviour.kind == "emotion"
    if voice.held_out and found.held_out:
        return voice.pick(_held_out(found, event.side)), False
    special = getattr(found, f"verbs_{event.level}", ())
    if special and voice.chance(0.45) and ("{side}" in special[0]) == bool(event.side):
        return voice.pick(special), True
    if emotion and voice.chance(0.6):
        adjective, told = adjective_of(event, voice)
        return f"{voice.pick(('[look]', '[look]', '[seem]', '[appear]', '[be]', '[feel]'))} {adjective}", told
    nouns = found.nouns_side if event.side else found.nouns
    if nouns and event.count == 1 and event.level == "moderate" and event.tempo == "normal" and voice.chance(0.08):
        return f"[show] {voice.pick(nouns)}", False
    return voice.pick(_verbs(found, event.side)), False


def _verbs(found: Ways, side: str) -> tuple[str, ...]:
    return found.verbs_side if side and found.verbs_side else found.verbs


def _held_out(found: Ways, side: str) -> tuple[str, ...]:
    return found.held_out_side if side and found.held_out_side else found.held_out


def _manner(event: Event, voice: Voice, *, level_told: bool) -> list[str]:
    """Level, count, tempo, duration: what follows the verb."""
    said = []
    behaviour = event.behaviour
    if event.level != "moderate" and not level_told and not behaviour.full and behaviour.kind not in ("speech", "gaze"):
        which = words()["levels"][event.level]
        said.append(voice.pick(which["head" if behaviour.kind == "head" else "general"]))
    if event.count > 1 or (behaviour.repeats and voice.chance(SAYS_ONCE)):
        said.append(voice.pick(words()["counts"][str(event.count)]))
    if event.tempo != "normal":
        said.append(voice.pick(words()["tempi"][event.tempo]).format(their=voice.pronouns.their))
    if event.seconds is not None:
        said.append(for_seconds(event.seconds, voice))
    return said


def for_seconds(seconds: float, voice: Voice) -> str:
    """`for two seconds`."""
    whole = round(seconds)
    if abs(seconds - whole) < 1e-6 and whole <= 10 and voice.chance(0.6):
        number = _NUMBERS[whole]
    else:
        number = f"{seconds:g}"
    unit = "second" if seconds == 1 else "seconds"
    return f"{voice.pick(('for', 'for', 'for about', 'for around'))} {number} {unit}"


def adjective_of(event: Event, voice: Voice) -> tuple[str, bool]:
    """An adjective of an emotion, and whether it tells the level: `a little cross`, `livid`."""
    found = ways()[event.id]
    if event.level == "moderate":
        said = voice.pick(found.adjectives)
    else:
        special = getattr(found, f"adjectives_{event.level}")
        single = [adjective for adjective in found.adjectives if " " not in adjective]
        if special and (voice.chance(0.5) or not single):
            said = voice.pick(special)
        elif single:
            said = f"{voice.pick(words()['levels'][event.level]['adjective'])} {voice.pick(single)}"
        else:
            return voice.pick(found.adjectives).format(**_forms(voice)), False
    return said.format(**_forms(voice)), True


def noun_of(event: Event, voice: Voice) -> str:
    """An emotion as a noun with its level: `slight happiness`, `a hint of anger`."""
    plain = voice.pick(_PLAIN_NOUN.get(event.id, (event.id,)))
    return f"{voice.pick(words()['levels'][event.level]['noun'])} {plain}".strip()


def adverb_of(event: Event, voice: Voice) -> str | None:
    """An adverb of an emotion, where its level needs no saying."""
    adverbs = ways()[event.id].adverbs
    return voice.pick(adverbs) if adverbs and event.level == "moderate" else None


def _forms(voice: Voice) -> dict[str, str]:
    pronouns = voice.pronouns
    return {"they": pronouns.they, "them": pronouns.them, "their": pronouns.their, "themself": pronouns.themself}


def along(event: Event, voice: Voice) -> str:
    """An event that goes on meanwhile, put after a clause: ` while closing her eyes`, ` with a smile`."""
    if event.absent:
        return f" {_absent(event, voice)}"
    emotion = event.behaviour.kind == "emotion"
    if emotion and not voice.held_out:
        kind = int(voice.random.integers(4))
        if kind == 0 and (adverb := adverb_of(event, voice)):
            return f" {adverb.format(**_forms(voice))}"
        if kind == 1:
            return (
                f" with {noun_of(event, voice)}{voice.pick((f' on {voice.pronouns.their} face', '', ' in the face'))}"
            )
        if kind == 2:
            return f", looking {adjective_of(event, voice)[0]}"
    found = ways()[event.id]
    nouns = found.nouns_side if event.side else found.nouns
    plain = event.count == 1 and event.level == "moderate" and event.tempo == "normal" and event.seconds is None
    if nouns and plain and not voice.held_out and voice.chance(AS_NOUN):
        return f" with {voice.pick(nouns).format(side=event.side, **_forms(voice))}"
    return f"{voice.pick(words()['joins']['together'])}{clause(event, 'gerund', voice)}"


def _absent(event: Event, voice: Voice) -> str:
    found = ways()[event.id]
    held_out = voice.held_out and found.held_out
    phrase = voice.pick(_held_out(found, event.side) if held_out else _verbs(found, event.side))
    side = event.side or "either"
    return f"{voice.pick(words()['joins']['absent'])} {fill(phrase, 'gerund', voice.pronouns, side)}"


def step_clause(step: Sequence[Event], form: str, voice: Voice) -> str:
    """Events that happen together: the first or the counted one as the verb, the others along."""
    present = [event for event in step if not event.absent]
    if not present:
        return fill("[stay] as before", form, voice.pronouns) + "".join(along(event, voice) for event in step)
    # What is counted reads best as the verb; an emotion reads best beside it.
    order = sorted(present, key=lambda event: (event.behaviour.kind == "emotion", event.count == 1))
    if len(order) > 1 and order[0].count == 1 and order[1].behaviour.kind != "emotion" and voice.chance(0.5):
        order[0], order[1] = order[1], order[0]
    rest = [*order[1:], *(event for event in step if event.absent)]
    return clause(order[0], form, voice) + "".join(along(event, voice) for event in rest)
