"""What a face and a head do that nobody asks for: spontaneous blinks, fixations and saccades, sway and breath."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tdmm.corpus.columns import COLUMNS
from tdmm.corpus.keyframes import ease, waves
from tdmm.corpus.person import Person

# Closing, closed, opening seconds of a spontaneous blink: together 100 to 400 ms.
BLINK_CLOSING, BLINK_CLOSED, BLINK_OPENING = (0.07, 0.1), (0.02, 0.05), (0.13, 0.2)
REFRACTORY = 0.7
FIXATION = (0.7, 2.8)  # seconds
SPREAD = 1.6  # degrees about where a person looks
MICROSACCADES = 1.4  # a second (Martinez-Conde et al., 2004); at most one degree
MICRO_SPREAD = 0.22


def saccade_seconds(degrees: np.ndarray | float) -> np.ndarray | float:
    """How long a saccade takes: 2.2 ms a degree and 21 ms (main sequence; Carpenter, 1988)."""
    return 0.0022 * np.abs(degrees) + 0.021


def blinks(
    person: Person, times: np.ndarray, quiet: Sequence[tuple[float, float]], faster: float, random: np.random.Generator
) -> np.ndarray:
    """(T,) how far the lids are closed by spontaneous blinks. quiet: intervals (start, end) that hold none."""
    lids = np.zeros(len(times), np.float32)
    rate = person.blinks * faster / 60
    clock = random.exponential(1 / rate) * 0.7
    step = times[1] - times[0] if len(times) > 1 else 0.04
    while clock < times[-1]:
        closing, closed, opening = (random.uniform(*span) for span in (BLINK_CLOSING, BLINK_CLOSED, BLINK_OPENING))
        # A frame shows the lids closed: at 25 a second a blink could fall between two.
        middle = round(clock / step) * step
        if not any(a - 0.35 < middle < b + 0.35 for a, b in quiet):
            since = times - middle
            shape = ease(1 + (since + closed / 2) / closing) * (1 - ease((since - closed / 2) / opening))
            lids = np.maximum(lids, shape.astype(np.float32))
        clock = middle + REFRACTORY + random.exponential(1 / rate)
    return lids


def fixations(times: np.ndarray, spread: float, random: np.random.Generator) -> np.ndarray:
    """(T, 2) degrees yaw and pitch of eyes that rest on one thing after another, with saccades and microsaccades."""
    count = int(times[-1] / FIXATION[0]) + 2
    moments = np.cumsum(random.uniform(*FIXATION, count)) - random.uniform(0, FIXATION[1])
    targets = random.normal(0, spread, (count + 1, 2)) * (1.0, 0.6)
    n_micro = random.poisson(MICROSACCADES * times[-1])
    micro = random.uniform(0, times[-1], n_micro)
    jumps = np.concatenate([np.diff(targets, axis=0), random.normal(0, MICRO_SPREAD * min(1, spread), (n_micro, 2))])
    at = np.concatenate([moments, micro])
    seconds = saccade_seconds(np.hypot(jumps[:, 0], jumps[:, 1]))
    return targets[0] + ease((times[:, None] - at) / seconds) @ jumps


def sway(person: Person, times: np.ndarray, still: float, random: np.random.Generator) -> np.ndarray:
    """(T, 6) degrees and millimetres of headPitch, headYaw, headRoll, headX, headY, headZ. still: 0..1."""
    slow = waves(random, times, 6, 0.08, 0.4)
    size = person.sway * np.array([0.7, 0.9, 0.5, 1.6, 0.6, 1.8]) * 0.5 * (1 - 0.88 * still)
    moved = slow * size.astype(np.float32)
    # Breath: 12 to 18 a minute.
    breath = np.sin(2 * np.pi * (random.uniform(0.2, 0.3) * times + random.random()))
    moved[:, 4] += 0.8 * (1 - 0.6 * still) * breath
    moved[:, 0] += 0.12 * (1 - 0.6 * still) * breath
    return moved


def tremor(times: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """(T, C) how a living face is never quite still: about half a percent of the curves."""
    shared = waves(random, times, 3, 0.2, 2.5)
    return shared @ random.normal(0, 0.002, (3, len(COLUMNS))).astype(np.float32)
