"""Scores with their confidence: a measure that draws at random, repeated with other draws.

The protocol of Guo et al., Generating Diverse and Natural 3D Human Motions from Text, CVPR 2022: 20 repetitions, of
which the mean and the 95 % confidence interval 1.96 s / sqrt(20) are told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import floor, isfinite, log10, sqrt

import numpy as np

from tdmm.errors import EvaluationError

REPEATS = 20
NORMAL_95 = 1.96  # standard errors on either side of the mean that hold 95 % of a normal distribution


@dataclass(frozen=True)
class Score:
    """One score. `str(score)` is such as "12.3 ± 0.4 mm", to the first digit of the interval.

    mean: over the repetitions. ci95: half the width of its 95 % confidence interval; None of one repetition.
    higher_is_better: None where neither is: the nearer to the reference's own score, the better (Diversity).
    unit: empty for a plain number.
    """

    mean: float
    ci95: float | None
    repeats: int
    higher_is_better: bool | None
    unit: str = ""

    def __str__(self) -> str:
        decimals = _decimals(self.mean, 3)
        if self.ci95 is not None:
            # An interval of almost nothing is rounding: it asks for no more digits than a mean has anyway.
            most = max(decimals, 3)
            decimals = min(_decimals(self.ci95, 1), most) if self.ci95 > 0 else most
        text = f"{self.mean:.{decimals}f}" + ("" if self.ci95 is None else f" ± {self.ci95:.{decimals}f}")
        return f"{text} {self.unit}" if self.unit else text


def _decimals(value: float, digits: int) -> int:
    """How many decimals show that many significant digits: none of large numbers, 6 at most."""
    return digits if value == 0 else min(max(digits - 1 - floor(log10(abs(value))), 0), 6)


def generators(seed: int, repeats: int = REPEATS) -> list[np.random.Generator]:
    """One independent random generator for each repetition; the first ones are the same however many there are.

    Raises `EvaluationError` for less than one repetition or a negative seed.
    """
    if repeats < 1:
        raise EvaluationError(f"{repeats} repetitions: expected at least one")
    if seed < 0:
        raise EvaluationError(f"seed {seed}: expected a whole number that is not negative")
    return [np.random.default_rng(one) for one in np.random.SeedSequence(seed).spawn(repeats)]


def score_of(values: Sequence[float] | np.ndarray, *, higher_is_better: bool | None, unit: str = "") -> Score:
    """The score that repetitions (R,) of a measure come to: their mean, and 1.96 s / sqrt(R).

    s divides by R, not by R - 1: what is published by this protocol is computed so (`np.std` as it comes, in
    `get_metric_statistics` of final_evaluations.py, github.com/EricGuo5513/text-to-motion), and intervals are to be
    comparable. Of 20 repetitions it makes them 2.5 % narrower. Raises `EvaluationError` for none and for a value that
    is not finite.
    """
    found = np.asarray(values, np.float64)
    if found.ndim != 1 or not len(found):
        raise EvaluationError(f"a score needs the values of its repetitions, found an array {found.shape}")
    if not np.isfinite(found).all():
        where = int(np.flatnonzero(~np.isfinite(found))[0])
        raise EvaluationError(f"repetition {where + 1} of {len(found)} gave {found[where]}, which is no score")
    mean = float(found.mean())
    ci95 = NORMAL_95 * float(found.std(ddof=0)) / sqrt(len(found)) if len(found) > 1 else None
    if not isfinite(mean):
        raise EvaluationError("the values of the repetitions are too large for a mean")
    return Score(mean, ci95, len(found), higher_is_better, unit)


def repeated(
    measure: Callable[[np.random.Generator], float],
    repeats: int = REPEATS,
    seed: int = 0,
    *,
    higher_is_better: bool | None,
    unit: str = "",
) -> Score:
    """The score of a measure that draws from the generator it is given, over `repeats` draws; one seed, one score.

    Raises `EvaluationError` as `generators` and `score_of` do.
    """
    values = [float(measure(random)) for random in generators(seed, repeats)]
    return score_of(values, higher_is_better=higher_is_better, unit=unit)
