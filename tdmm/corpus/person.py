"""Who performs: habits of movement that stay the same through a clip."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tdmm.corpus.columns import COLUMNS, INDEX, N_CURVES

# Resting faces are a little away from neutral: how far, and on how many columns.
REST_MOST, REST_PART = 0.07, 0.1
_NEVER_AT_REST = ("tongueOut", "cheekPuff", "jawOpen", "mouthClose", "jawForward", "jawLeft", "jawRight", "eyeWide")


@dataclass(frozen=True)
class Person:
    """expressive: 0..1, where within a stated level this person's strength lies. pace: factor of all times.
    blinks: spontaneous ones a minute. sway: of the head, degrees. steady: 0..1, how far the eyes hold still on a thing
    while the head moves (vestibulo-ocular reflex). balance: (C,) factors by which left and right differ. lag: seconds
    that the right half comes later. rest: (C,) the face at rest. overshoot: part by which movements go too far at
    first.
    """

    expressive: float
    pace: float
    blinks: float
    sway: float
    steady: float
    balance: np.ndarray
    lag: float
    rest: np.ndarray
    overshoot: float


def draw_person(random: np.random.Generator) -> Person:
    """A random person."""
    balance = np.ones(len(COLUMNS), np.float32)
    balance[:N_CURVES] = 1 - np.abs(random.normal(0, 0.05, N_CURVES)).clip(0, 0.14)
    rest = np.zeros(len(COLUMNS), np.float32)
    some = np.flatnonzero(random.random(N_CURVES) < REST_PART)
    rest[some] = random.uniform(0, REST_MOST, len(some))
    rest[[INDEX[name] for name in COLUMNS[:N_CURVES] if name.startswith(_NEVER_AT_REST)]] = 0
    expressive, pace, steady, overshoot = random.random(4)
    return Person(
        expressive=expressive,
        pace=float(np.exp(0.24 * (pace - 0.5))),
        # Adults at rest blink 8 to 21 times a minute (Doughty, 2001).
        blinks=float(np.clip(random.normal(14, 5), 5, 26)),
        sway=float(random.uniform(0.25, 0.9)),
        steady=0.65 + 0.3 * steady,
        balance=balance,
        lag=float(random.normal(0, 0.008)),
        rest=rest,
        overshoot=0.08 * overshoot,
    )
