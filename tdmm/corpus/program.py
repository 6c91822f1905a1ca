"""Motion programs: what a face is to do, when, how strongly and with which side; and their notation in one line.

    program := [base ":"] step {">" step}       base: what goes on all the time
    step    := event {"+" event}                at the same time; ">" is one after the other
    event   := ["!"] id ["." side] ["*" count] ["@" intensity] ["~" tempo] ["=" seconds]

`joy@slight + speak : nod*2 > look_aside.left + !blink=2`: speaks with slight joy, nods twice, then looks to the left
for two seconds without blinking. Intensity: slight, moderate (if nothing is said), strong. Tempo: slow, fast. `!`: not
done.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from tdmm.corpus.columns import INDEX, N_CURVES
from tdmm.corpus.lexicon import LEVELS, SIDES, TEMPI, Behaviour, find, in_conflict
from tdmm.errors import CorpusError

_EVENT = re.compile(
    r"(?P<no>!?)(?P<id>[a-z_]+)(?:\.(?P<side>[a-z]+))?(?:\*(?P<count>\d+))?(?:@(?P<level>[a-z]+))?"
    r"(?:~(?P<tempo>[a-z]+))?(?:=(?P<seconds>\d+(?:\.\d+)?))?"
)
MOST_REPEATS = 8
LONGEST_SECONDS = 30.0


@dataclass(frozen=True)
class Event:
    """One behaviour in a program.

    side: left, right, or empty (both, or not a matter of sides). count: repeats, 1 where it is not counted; 0: not
    said. level: of LEVELS. tempo: of TEMPI. seconds: how long, None: as such things last.
    absent: it is said that this does not happen.
    """

    behaviour: Behaviour
    side: str = ""
    count: int = 1
    level: str = "moderate"
    tempo: str = "normal"
    seconds: float | None = None
    absent: bool = False

    @property
    def id(self) -> str:
        return self.behaviour.id

    def __str__(self) -> str:
        parts = [f"{'!' * self.absent}{self.id}"]
        parts += [f".{self.side}"] if self.side else []
        parts += [f"*{self.count}"] if self.count > 1 else []
        parts += [f"@{self.level}"] if self.level != "moderate" else []
        parts += [f"~{self.tempo}"] if self.tempo != "normal" else []
        parts += [f"={self.seconds:g}"] if self.seconds is not None else []
        return "".join(parts)


def event_fields(
    event: Event, throughout: bool, moments: tuple[float | None, float | None] | None = None
) -> dict[str, Any]:
    """An event as the `events` of a manifest line have it. throughout: it goes on all the time; moments: seconds of its
    start and end, where they are known."""
    times = {} if moments is None else {"start": moments[0], "end": moments[1]}
    return {
        "id": event.id,
        "kind": event.behaviour.kind,
        "side": event.side,
        "count": event.count,
        "level": event.level,
        "tempo": event.tempo,
        **times,
        "absent": event.absent,
        "throughout": throughout,
    }


@dataclass(frozen=True)
class Program:
    """What happens: `base` all the time, the steps one after the other, the events of a step together."""

    steps: tuple[tuple[Event, ...], ...] = ()
    base: tuple[Event, ...] = ()

    def __str__(self) -> str:
        steps = " > ".join(" + ".join(map(str, step)) for step in self.steps)
        base = " + ".join(map(str, self.base))
        return " : ".join(part for part in (base, steps) if part) if steps else f"{base} :"

    def events(self) -> list[Event]:
        """All events, those of the base first."""
        return [*self.base, *(event for step in self.steps for event in step)]


def parse_program(text: str) -> Program:
    """The program that the notation says. Raises `CorpusError` that quotes what it cannot read."""
    base, colon, steps = text.rpartition(":")
    program = Program(
        steps=tuple(_step(part, text) for part in steps.split(">")) if steps.strip() else (),
        base=_step(base, text) if colon else (),
    )
    if not program.events():
        raise CorpusError(f"{text!r}: an empty program; expected something like: smile > nod*2")
    check(program)
    return program


def check(program: Program) -> None:
    """Raises `CorpusError` where two events that are to happen together exclude each other."""
    for step in program.steps or ((),):
        together = [*program.base, *step]
        for number, first in enumerate(together):
            for second in together[number + 1 :]:
                if exclude_each_other(first, second):
                    raise CorpusError(f"{program}: {first} and {second} cannot happen together")


def exclude_each_other(first: Event, second: Event) -> bool:
    """Whether two events cannot be seen at one time: they need the same part of the face, or one denies the other."""
    if first.absent and second.absent:
        return first.id == second.id
    if first.absent or second.absent:
        return _denies(*(one.behaviour for one in sorted((first, second), key=lambda one: not one.absent)))
    if "neutral" in (first.id, second.id) and {first.id, second.id} & _NEVER_NEUTRAL:
        return True
    return in_conflict(first.behaviour, second.behaviour)


_NEVER_NEUTRAL = frozenset({"rant", "shout", "laugh_speaking", "sing"})
# What cannot be seen where one of these is said not to happen, beside what shares its main blendshapes.
_DENIED = {
    "smile": frozenset({"smirk", "laugh_speaking"}),
    "nod": frozenset({"nod", "bob", "bow", "up_nod"}),
    "shake": frozenset({"shake", "tremble_head"}),
    "blink": frozenset({"wink"}),
    "open_mouth": frozenset({"part_lips", "sigh", "giggle", "grin", "chatter_teeth", "smack_lips"}),
    # What moves the jaw again and again looks like talk.
    "speak": frozenset(
        {"chew", "smack_lips", "cry", "cough", "laugh", "giggle", "lick_lips", "chatter_teeth", "quiver_lip"}
    ),
}
# A blendshape of a behaviour that is denied may reach this where another behaviour needs it.
_DENIED_MOST = 0.22


def _denies(absent: Behaviour, present: Behaviour) -> bool:
    if absent.id == present.id or present.id in _DENIED.get(absent.id, ()):
        return True
    if absent.id == "speak" and present.kind == "speech":
        return True
    if absent.fixed or absent.part == "face":
        return False
    if absent.kind in ("head", "gaze"):
        return present.id != "keep_still" and bool(absent.occupies & present.occupies)
    if absent.kind == "action":
        peak = absent.peak[:N_CURVES]
        main = peak >= 0.6 * max(float(peak.max()), 1e-6)
        if present.kind == "speech" and main[INDEX["jawOpen"]]:
            return True
        return bool((present.peak[:N_CURVES][main] > _DENIED_MOST).any())
    return False


def _step(text: str, whole: str) -> tuple[Event, ...]:
    return tuple(_event(part.strip(), whole) for part in text.split("+"))


def _event(text: str, whole: str) -> Event:
    found = _EVENT.fullmatch(text)
    if found is None:
        raise CorpusError(
            f"{whole!r}: cannot read {text!r}; expected something like smile@strong or nod*2 or turn.left"
        )
    said = found.groupdict()
    try:
        behaviour = find(said["id"])
    except CorpusError as error:
        raise CorpusError(f"{whole!r}: {error}") from error
    return checked(
        Event(
            behaviour,
            side=said["side"] or "",
            count=int(said["count"] or 1),
            level=said["level"] or "moderate",
            tempo=said["tempo"] or "normal",
            seconds=None if said["seconds"] is None else float(said["seconds"]),
            absent=bool(said["no"]),
        ),
        whole,
    )


def checked(event: Event, whole: str = "") -> Event:
    """The event, if its parts go together; else `CorpusError` that says what does not."""
    where = f"{whole!r}: {event.id}" if whole else event.id
    behaviour = event.behaviour
    if event.side and event.side not in SIDES:
        raise CorpusError(f"{where}: expected the side left or right, found {event.side!r}")
    if event.side and not (behaviour.sided or behaviour.sides):
        raise CorpusError(f"{where}: has no sides, found .{event.side}")
    if behaviour.sided and not event.side and not event.absent:
        raise CorpusError(f"{where}: needs a side: {behaviour.id}.left or {behaviour.id}.right")
    if event.count != 1 and not behaviour.repeats:
        raise CorpusError(f"{where}: is not counted, found *{event.count}")
    if not 1 <= event.count <= MOST_REPEATS:
        raise CorpusError(f"{where}: expected a count of 1 to {MOST_REPEATS}, found {event.count}")
    if event.level not in LEVELS:
        raise CorpusError(f"{where}: expected an intensity of {', '.join(LEVELS)}, found {event.level!r}")
    if event.tempo not in TEMPI:
        raise CorpusError(f"{where}: expected a tempo of {', '.join(TEMPI)}, found {event.tempo!r}")
    if event.seconds is not None and not 0.2 <= event.seconds <= LONGEST_SECONDS:
        raise CorpusError(f"{where}: expected 0.2 to {LONGEST_SECONDS:g} seconds, found {event.seconds:g}")
    return event
