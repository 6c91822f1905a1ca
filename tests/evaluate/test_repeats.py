"""Scores and repetitions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tdmm.errors import EvaluationError
from tdmm.evaluate.repeats import NORMAL_95, REPEATS, Score, generators, repeated, score_of


def test_the_protocol_repeats_20_times_with_1_96_standard_errors():
    assert (REPEATS, NORMAL_95) == (20, 1.96)
    assert repeated(lambda random: random.random(), higher_is_better=True).repeats == 20


def test_the_deviation_divides_by_the_number_of_repetitions_as_the_published_code_does():
    values = [1.0, 2.0, 4.0, 9.0]
    mean = sum(values) / 4
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / 4)  # not / 3
    score = score_of(values, higher_is_better=False)
    assert score.mean == 4.0
    assert score.ci95 == pytest.approx(1.96 * deviation / 2)
    assert score_of([1.0, 3.0], higher_is_better=None).ci95 == pytest.approx(1.96 / math.sqrt(2))


def test_one_repetition_has_no_interval():
    assert score_of([3.0], higher_is_better=True) == Score(3.0, None, 1, True)


def test_equal_values_have_an_interval_of_nothing():
    assert score_of([0.5] * 5, higher_is_better=True).ci95 == 0


@pytest.mark.parametrize("seed", [0, 7])
def test_one_seed_gives_one_score_and_another_seed_another(seed):
    score = repeated(lambda random: random.normal(), 5, seed, higher_is_better=True)
    assert repeated(lambda random: random.normal(), 5, seed, higher_is_better=True) == score
    assert repeated(lambda random: random.normal(), 5, seed + 1, higher_is_better=True) != score


def test_repetitions_draw_apart_and_more_of_them_keep_the_first():
    few, many = ([random.random() for random in generators(3, n)] for n in (4, 9))
    assert len(set(many)) == 9
    assert many[:4] == few


def test_the_interval_holds_the_mean_of_19_in_20():
    # The mean of 20 standard normals lies within its interval of 0 in a little less than 95 of 100.
    scores = [repeated(lambda random: random.normal(), seed=seed, higher_is_better=None) for seed in range(400)]
    assert np.mean([abs(score.mean) <= score.ci95 for score in scores]) == pytest.approx(0.93, abs=0.03)


@pytest.mark.parametrize(
    ("score", "text"),
    [
        (Score(12.345, 0.38, 20, True), "12.3 ± 0.4"),
        (Score(0.51123, 0.0029, 20, True), "0.511 ± 0.003"),
        (Score(0.51123, 0.0029, 20, True, "mm"), "0.511 ± 0.003 mm"),
        (Score(1234.5, 27.0, 20, True), "1234 ± 27"),
        (Score(12.345, None, 1, True), "12.3"),
        (Score(0.0, None, 1, False), "0.000"),
        (Score(0.75, 0.0, 20, True), "0.750 ± 0.000"),
        (Score(2.5, 1e-17, 20, True), "2.500 ± 0.000"),
        (Score(0.00123, None, 1, False, "m"), "0.00123 m"),
        (Score(-3.21, 0.05, 20, None), "-3.21 ± 0.05"),
        (Score(1e-17, None, 1, False), "0.000000"),
    ],
)
def test_a_score_shows_the_digits_that_its_interval_leaves(score, text):
    assert str(score) == text


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [math.inf], [[1.0], [2.0]], [1e308, 1e308]])
def test_what_has_no_mean_is_refused(values):
    with np.errstate(over="ignore"), pytest.raises(EvaluationError):
        score_of(values, higher_is_better=True)


def test_the_repetition_that_gave_no_number_is_named():
    with pytest.raises(EvaluationError, match="repetition 2 of 3 gave nan"):
        score_of([1.0, math.nan, 2.0], higher_is_better=True)


@pytest.mark.parametrize(("seed", "repeats"), [(0, 0), (-1, 5)])
def test_no_repetitions_and_negative_seeds_are_refused(seed, repeats):
    with pytest.raises(EvaluationError):
        generators(seed, repeats)
