"""Fields of a manifest line, read so that lines written by others do no harm: what is not as expected is not there."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

SLOTS = ("emotion", "intensity", "action", "head", "gaze", "speech")
NOT_STATED = "not stated"


def text_of(line: Mapping[str, Any]) -> str:
    """The primary text, or an empty one."""
    return _words(line.get("text"))


def prompt_of(line: Mapping[str, Any]) -> str:
    """The full prompt of the generator, else the primary text."""
    return _words(line.get("prompt")) or text_of(line)


def n_phrasings(line: Mapping[str, Any]) -> int:
    """How many other ways of saying the text there are."""
    others = line.get("texts")
    return sum(isinstance(other, str) for other in others) if isinstance(others, list) else 0


def has_video(line: Mapping[str, Any]) -> bool:
    """Whether the line names a video; a VideoFolder of Hugging Face calls it file_name."""
    return bool(_words(line.get("video")) or _words(line.get("file_name")))


def has_motion(line: Mapping[str, Any]) -> bool:
    """Whether the line names a motion."""
    return bool(_words(line.get("motion")))


def duration_of(line: Mapping[str, Any]) -> float | None:
    """Seconds, if the line says a number that can be one."""
    value = line.get("duration")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and value > 0 else None


def split_of(line: Mapping[str, Any]) -> str:
    """The name of the split the clip belongs to."""
    return _words(line.get("split")) or NOT_STATED


def licence_of(line: Mapping[str, Any]) -> str:
    """The licence as the line has it, in either spelling."""
    return _words(line.get("licence")) or _words(line.get("license")) or NOT_STATED


def generator_of(line: Mapping[str, Any]) -> str:
    """What made the clip: `procedural`, `diffusers: MODEL`."""
    generator = line.get("generator")
    if not isinstance(generator, Mapping):
        return _words(generator) or NOT_STATED
    name, model = _words(generator.get("name")), _words(generator.get("model"))
    return ": ".join(part for part in (name, model) if part) or NOT_STATED


def slot_of(line: Mapping[str, Any], slot: str) -> tuple[str, ...]:
    """The categories of one slot, mostly one or none; several where a line has a list of them."""
    slots = line.get("slots")
    value = slots.get(slot) if isinstance(slots, Mapping) else None
    values = value if isinstance(value, list) else [value]
    return tuple(dict.fromkeys(category for one in values if (category := _category(one))))


def events_of(line: Mapping[str, Any]) -> Iterator[tuple[str, str, bool]]:
    """Kind, behaviour and whether it is said to be absent ("without blinking"), for every event."""
    events = line.get("events")
    for event in events if isinstance(events, list) else ():
        if isinstance(event, Mapping) and (name := _words(event.get("id"))):
            yield _words(event.get("kind")) or NOT_STATED, name, event.get("absent") is True


def _words(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _category(value: Any) -> str:
    """Levels may be numbers."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else _words(value)
