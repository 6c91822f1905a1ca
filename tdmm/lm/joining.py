"""What was said of the parts of a long motion, as one caption, or one answer."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tdmm.corpus.language.parse import parse_text
from tdmm.lm.moments import Timeline

_NUMBERS = ("no times", "once", "twice", "three times", "four times", "five times", "six times", "seven times")
_COUNT = {"never": 0, "not once": 0, **{said: number for number, said in enumerate(_NUMBERS)}, "eight times": 8}
_SPAN = re.compile(r"\b(from|between) (\d+(?:\.\d+)?) (to|and) (\d+(?:\.\d+)?)(?= s\b| seconds?\b)")
_AT = re.compile(r"(?<=\bat )(\d+(?:\.\d+)?)(?= s\b| seconds?\b)", re.I)
_LASTS = re.compile(r"(\bfor (?:about )?)(\d+(?:\.\d+)?)(?= s\b| seconds?\b)", re.I)
# What asks for a length, and would be read as a longing.
_HOW_LONG = re.compile(r"\b(?:for )?how long\b", re.I)
_FIRST = re.compile(r"\bfirst\b", re.I)


def join_short(captions: Sequence[str], starts: Sequence[float]) -> str:
    """`First, the person nods. From 10 s on, the person smiles.` starts: seconds at which each caption begins to hold.

    What is said twice running is said once.
    """
    kept = [
        (caption, start)
        for number, (caption, start) in enumerate(zip(captions, starts, strict=True))
        if not number or caption != captions[number - 1]
    ]
    if len(kept) == 1:
        return kept[0][0]
    said = [f"First, {_inside(kept[0][0])}"]
    return " ".join([*said, *(f"From {start:.0f} s on, {_inside(caption)}" for caption, start in kept[1:])])


def join_long(captions: Sequence[str], spans: Sequence[tuple[float, float]]) -> str:
    """`From 0.0 to 9.8 s: The person nods (from 1.0 to 2.2 s). From 9.8 to 17.0 s: ...`, all times those of the whole.

    spans: seconds of each part, from the start of the whole; the times in each caption count from the part's start.
    """
    shifted = [shift_times(caption, start) for caption, (start, _) in zip(captions, spans, strict=True)]
    if len(shifted) == 1:
        return shifted[0]
    return " ".join(
        f"From {start:.1f} to {end:.1f} s: {_whole(caption)}"
        for caption, (start, end) in zip(shifted, spans, strict=True)
    )


def shift_times(text: str, by: float) -> str:
    """A caption or an answer whose times begin `by` seconds later."""
    if not by:
        return text
    text = _SPAN.sub(lambda one: f"{one[1]} {float(one[2]) + by:.1f} {one[3]} {float(one[4]) + by:.1f}", text)
    return _AT.sub(lambda one: f"{float(one[1]) + by:.1f}", text)


def where_to_ask(question: str, parts: Sequence[Timeline]) -> list[int]:
    """The parts of a motion of which a question is asked: where what it names is seen, else all of them."""
    asked = _asked(question)
    found = [
        number
        for number, part in enumerate(parts)
        if any(moment.event is not None and moment.event.id in asked for moment in part.moments)
    ]
    return found or list(range(len(parts)))


def join_answers(question: str, answers: Sequence[str], parts: Sequence[Timeline]) -> str:
    """The answer of the whole by the answers to a question of the parts in which it was asked.

    Yes if any part says yes; of a head that keeps still, if all say so. Counts and lengths are added up, of times, and
    of what comes first, the first one holds. Else all that was said, each once, of those parts in which something of
    that kind is seen.
    """
    answers = [shift_times(answer, part.start) for answer, part in zip(answers, parts, strict=True)]
    if len(answers) == 1:
        return answers[0]
    agreed = [_yes_or_no(answer) for answer in answers]
    if None not in agreed:
        still = parse_text(question).head_still is not None
        return answers[agreed.index(not still)] if (not still) in agreed else answers[0]
    counts = [_COUNT.get(_plain(answer)) for answer in answers]
    known = [count for count in counts if count is not None]
    if len(known) == len(answers):
        return _sentence(_times(sum(known)))
    lasting = [_LASTS.search(answer) for answer in answers]
    if all(lasting):
        total = sum(float(one[2]) for one in lasting if one is not None)
        return _LASTS.sub(lambda one: f"{one[1]}{total:.1f}", answers[0], count=1)
    if all(_AT.search(answer) for answer in answers) or _FIRST.search(question):
        return answers[0]
    seen = [answer for answer, part in zip(answers, parts, strict=True) if _is_seen(answer, part)] or answers
    unique = {_plain(answer): answer for answer in reversed(seen)}
    said = list(dict.fromkeys(map(_plain, seen)))
    if len(said) == 1:
        return unique[said[0]]
    return _sentence(", then ".join(said))


def _asked(question: str) -> set[str]:
    """What a question names, by ids."""
    return {one.event.id for one in parse_text(_HOW_LONG.sub("", question)).statements}


def _is_seen(answer: str, part: Timeline) -> bool:
    """Whether a part has anything of the kind that an answer names."""
    said = {one.event.behaviour.kind for one in parse_text(answer).statements}
    return not said or any(one.event is not None and one.event.behaviour.kind in said for one in part.moments)


def _yes_or_no(answer: str) -> bool | None:
    return {"yes": True, "no": False}.get(re.split(r"\W", answer.strip().lower(), maxsplit=1)[0])


def _times(count: int) -> str:
    return _NUMBERS[count] if count < len(_NUMBERS) else "eight times" if count == 8 else f"{count} times"


def _plain(answer: str) -> str:
    """Without the full stop, and with a small letter in front."""
    return _inside(answer.strip().rstrip("."))


def _inside(text: str) -> str:
    """A sentence as it stands inside another one."""
    return text if text[:2].isupper() or text[:2] in ("I ", "I'") else text[:1].lower() + text[1:]


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _whole(text: str) -> str:
    return text if text[-1:] in (".", "!", "?") else f"{text}."
