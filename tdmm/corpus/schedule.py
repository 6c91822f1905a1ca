"""From a program to moments: when each event begins, reaches its height, ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tdmm.corpus.lexicon import LEVELS, TEMPI
from tdmm.corpus.person import Person
from tdmm.corpus.program import Event, Program

SHORTEST_CLIP, LONGEST_CLIP = 2.0, 10.0
# Where a program would last too long everything is done in this part of its usual time, in the last resort in the
# second.
MOST_HASTE, LAST_HASTE = 0.72, 0.6
NOTHING_SECONDS = 1.2  # of a step in which something is only said not to happen
WHOLE_FACE = 0.6  # exponent of the strength of what the whole face does
BLINK_SECONDS = (0.1, 0.4)  # of any blink, closing to open (Schiffman, 2001)


@dataclass(frozen=True)
class Timed:
    """An event with its moments, seconds. peak: where the onset ends; decline: where the offset begins.

    beats: (N, 2) start and length of each beat of a movement that is made of beats, else None.
    gain: part of the behaviour's full strength.
    """

    event: Event
    start: float
    peak: float
    decline: float
    end: float
    gain: float
    beats: np.ndarray | None = None

    def moved(self, shift: float) -> Timed:
        """The same, `shift` seconds later."""
        beats = None if self.beats is None else self.beats + np.array([shift, 0.0])
        return replace(
            self,
            start=self.start + shift,
            peak=self.peak + shift,
            decline=self.decline + shift,
            end=self.end + shift,
            beats=beats,
        )


@dataclass(frozen=True)
class Schedule:
    """All events of a program in time; duration: seconds of the clip.

    absent: events that do not happen, with the seconds from which and until which they do not.
    """

    events: tuple[Timed, ...]
    absent: tuple[tuple[Event, float, float], ...]
    duration: float


def schedule(program: Program, person: Person, random: np.random.Generator, longest: float = LONGEST_CLIP) -> Schedule:
    """Draw the moments. The clip lasts 2 s at least and, unless the program asks for more, `longest` at most."""
    begin, rest = random.uniform(0.12, 0.5), random.uniform(0.25, 0.7)
    if any(event.behaviour.kind == "emotion" and not event.absent for event in program.base):
        # What is felt all the time is seen before and after what is done.
        begin, rest = begin + random.uniform(0.25, 0.5), rest + random.uniform(0.35, 0.7)
    pace = person.pace
    base_least = max((_own_seconds(event) for event in program.base), default=0.0)
    for haste in (1.0, 0.85, MOST_HASTE, LAST_HASTE):
        steps: list[Timed] = []
        absent: list[tuple[Event, float, float]] = []
        clock = begin
        for step in program.steps:
            timed = _timed_step(step, person, random, pace * haste)
            length = max((one.end for one in timed), default=NOTHING_SECONDS)
            steps += [one.moved(clock) for one in timed]
            absent += [(event, clock, clock + length) for event in step if event.absent]
            clock += length + random.uniform(-0.04, 0.22) * haste
        duration = max(clock + rest, SHORTEST_CLIP, base_least)
        if not program.steps:
            duration = max(duration, random.uniform(2.6, 6.0))
        if duration <= longest:
            break
    duration = np.ceil(duration * 25) / 25
    base = [_over_all(event, duration, person, random) for event in program.base if not event.absent]
    absent += [(event, 0.0, float(duration)) for event in program.base if event.absent]
    return Schedule((*base, *steps), tuple(absent), float(duration))


def _own_seconds(event: Event) -> float:
    if event.seconds is not None:
        return event.seconds
    return 3.0 if event.behaviour.kind == "speech" else event.behaviour.shortest


def _over_all(event: Event, duration: float, person: Person, random: np.random.Generator) -> Timed:
    """An event of the base: there from the start (or nearly), and to the end."""
    if event.behaviour.keys is not None:
        timed = _beats(event, person, random, person.pace)
        assert timed.beats is not None
        least = timed.beats[:, 1].mean() * 1.05
        if event.behaviour.repeats:
            room = (duration - 0.4) / event.count
            starts = 0.2 + room * np.arange(event.count) + random.uniform(0, max(room - least, 0.0), event.count)
        else:
            starts = np.arange(0.2, max(duration - least, 0.21), least)
        beats = np.stack([starts, np.full(len(starts), least / 1.05)], 1)
        return replace(timed, start=beats[0, 0], peak=0.0, decline=duration, end=float(beats[-1].sum()), beats=beats)
    onset, offset = random.uniform(*event.behaviour.onset), random.uniform(*event.behaviour.offset)
    emotion = event.behaviour.kind == "emotion"
    start = -onset if emotion or random.random() < 0.5 else random.uniform(0.0, 0.15)
    if emotion or random.random() < 0.7:
        offset_start = duration + 0.1
    else:
        offset_start = max(duration - offset - random.uniform(0.0, 0.2), start + onset + 0.3)
    return Timed(event, start, start + onset, offset_start, offset_start + offset, _gain(event, person, random))


def _timed_step(step: Sequence[Event], person: Person, random: np.random.Generator, pace: float) -> list[Timed]:
    """The events of one step from time 0. What is held lasts as long as the longest of them."""
    present = [event for event in step if not event.absent]
    timed = [(_pose if event.behaviour.keys is None else _beats)(event, person, random, pace) for event in present]
    if len(timed) < 2:
        return timed
    held = [one for one in timed if one.beats is None]
    lead = max((one.peak for one in held), default=0.0)
    # Counted movements begin when what goes with them is there, others a little apart.
    timed = [one.moved(0.6 * lead if one.beats is not None else random.uniform(0, 0.1)) for one in timed]
    felt = next((one.peak for one in timed if one.event.behaviour.kind == "emotion"), None)
    if felt is not None:
        # A feeling shows before what is done with it, and longer.
        timed = [one if one.event.behaviour.kind == "emotion" else one.moved(0.6 * felt + 0.25) for one in timed]
    last = max(one.end for one in timed) + (0.0 if felt is None else random.uniform(0.5, 0.8))
    return [
        replace(
            one,
            decline=one.decline + (longer := max(0.0, last - random.uniform(0, 0.1) - one.end)),
            end=one.end + longer,
        )
        if one.beats is None and one.event.seconds is None
        else one
        for one in timed
    ]


def _gain(event: Event, person: Person, random: np.random.Generator) -> float:
    if event.behaviour.full:
        return float(random.uniform(0.96, 1.0))
    least, most = LEVELS[event.level]
    gain = least + (most - least) * (0.6 * person.expressive + 0.4 * random.random())
    # A yawn or a sneeze is one even when it is a small one.
    return float(gain**WHOLE_FACE if event.behaviour.part == "face" else gain)


def _pose(event: Event, person: Person, random: np.random.Generator, pace: float) -> Timed:
    behaviour = event.behaviour
    time = pace * TEMPI[event.tempo]
    onset, offset = random.uniform(*behaviour.onset) * time, random.uniform(*behaviour.offset) * time
    least = behaviour.shortest
    held = random.uniform(least, least + 1.3) * (time if event.tempo != "normal" else pace)
    if event.seconds is not None:
        held = max(event.seconds - 0.5 * (onset + offset), 0.1)
    return Timed(event, 0.0, onset, onset + held, onset + held + offset, _gain(event, person, random))


def _beats(event: Event, person: Person, random: np.random.Generator, pace: float) -> Timed:
    behaviour = event.behaviour
    time = pace * TEMPI[event.tempo]
    # A person's beats are alike, not equal.
    period = random.uniform(*behaviour.period) * time
    gap = random.uniform(*behaviour.gap) * time
    if behaviour.repeats:
        count = event.count
    elif event.seconds is not None:
        count = max(1, round(event.seconds / (period + gap)))
    else:
        count = int(random.integers(behaviour.beats[0], behaviour.beats[1] + 1))
    if event.seconds is not None and behaviour.repeats:
        gap = min(gap, max(event.seconds / count - period, 0.0))
    lengths = period * random.uniform(0.93, 1.07, count)
    if behaviour.id in ("blink", "double_blink"):
        lengths = lengths.clip(BLINK_SECONDS[0] + 0.1, BLINK_SECONDS[1])
    gaps = gap * random.uniform(0.8, 1.2, count)
    starts = np.concatenate([[0.0], np.cumsum(lengths + gaps)[:-1]])
    beats = np.stack([starts, lengths], 1)
    end = float(beats[-1].sum())
    return Timed(
        event, 0.0, float(0.3 * lengths[0]), end - float(0.3 * lengths[-1]), end, _gain(event, person, random), beats
    )
