"""What happens when in a clip, in one fixed form: `whole clip: looks glad; 0.4-1.9 s: smiles; 2.1-3.0 s: nods twice`.

The form is always the same, so that what a language model writes can be read again by `tdmm.corpus.language.parse`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tdmm.corpus.language.clauses import Voice, along, clause
from tdmm.corpus.language.phrases import Pronouns
from tdmm.corpus.language.prompts import tidy
from tdmm.corpus.lexicon import find
from tdmm.corpus.program import Event, checked
from tdmm.errors import CorpusError

_PERSON = Pronouns("The person", "they", "them", "their", "themself")


def timeline_of(line: Mapping[str, Any], random: np.random.Generator) -> str:
    """The timeline of a manifest line; empty where it does not tell what happens when, or in words not known here."""
    voice = Voice(random, _PERSON)
    shown, absent = [], ""
    for fields, event in _events(line):
        if event.absent:
            absent += along(event, voice)
        elif fields.get("throughout"):
            shown.append(f"whole clip: {clause(event, 'third', voice)}")
        else:
            shown.append(f"{fields['start']:.1f}-{fields['end']:.1f} s: {clause(event, 'third', voice)}")
    return tidy("; ".join(shown) + absent) if shown else ""


def tells_when(line: Mapping[str, Any]) -> bool:
    """Whether a manifest line has a timeline."""
    return any(not event.absent for _, event in _events(line))


def _events(line: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], Event]]:
    """What the line tells, and the events, in their order; none where one of them is not known or has no times."""
    found = []
    for fields in sorted(
        line.get("events") or (), key=lambda one: (not one.get("throughout"), one.get("start") or 0.0)
    ):
        try:
            event = _event(fields)
        except (CorpusError, KeyError, TypeError, ValueError):
            return []
        is_timed = fields.get("start") is not None and fields.get("end") is not None
        if not (event.absent or fields.get("throughout") or is_timed):
            return []
        found.append((fields, event))
    return found


def _event(fields: Mapping[str, Any]) -> Event:
    return checked(
        Event(
            find(str(fields["id"])),
            side=fields.get("side") or "",
            count=int(fields.get("count", 1)),
            level=fields.get("level", "moderate"),
            tempo=fields.get("tempo", "normal"),
            absent=bool(fields.get("absent")),
        )
    )
