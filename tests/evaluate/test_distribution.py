"""FID, Diversity and MultiModality, against closed forms and implementations that go one by one."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tdmm.evaluate.distribution as distribution
from tdmm.errors import EvaluationError
from tdmm.evaluate.distribution import diversity, fid, frechet_distance, gaussian, multimodality


def cloud(n: int, d: int, seed: int = 0, at: float = 0.0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return at + random.normal(size=(n, d)) @ random.normal(size=(d, d)) / math.sqrt(d)


def slow_fid(first: np.ndarray, second: np.ndarray) -> float:
    """By eigenvalues: Tr (C C')^(1/2) is the trace of the root of the symmetric C^(1/2) C' C^(1/2)."""

    def moments(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean = sum(rows) / len(rows)
        covariance = sum(np.outer(row - mean, row - mean) for row in rows) / (len(rows) - 1)
        return mean, covariance

    (mean, covariance), (other_mean, other) = moments(first), moments(second)
    values, vectors = np.linalg.eigh(covariance)
    half = vectors @ np.diag(np.sqrt(np.clip(values, 0, None))) @ vectors.T
    root = np.sqrt(np.clip(np.linalg.eigvalsh(half @ other @ half), 0, None)).sum()
    return float(np.sum((mean - other_mean) ** 2) + np.trace(covariance) + np.trace(other) - 2 * root)


def test_the_constants_of_the_protocol():
    assert distribution.DIVERSITY_PAIRS == 300
    assert distribution.MULTIMODALITY_TEXTS == 100
    assert distribution.MULTIMODALITY_SAMPLES == 30
    assert distribution.MULTIMODALITY_PAIRS == 10


# -- FID --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "d"), [(400, 8), (300, 64), (40, 60)])  # the last one: covariances without full rank
def test_fid_as_by_eigenvalues(n, d):
    first, second = cloud(n, d, 0), cloud(n + 7, d, 1, at=0.3)
    assert fid(first, second) == pytest.approx(slow_fid(first, second), rel=1e-5)


@pytest.mark.parametrize(("n", "d"), [(500, 16), (2, 3), (60, 128)])
def test_fid_of_a_set_with_itself_is_0_and_never_below(n, d):
    rows = cloud(n, d)
    assert 0 <= fid(rows, rows) < 1e-5
    assert 0 <= fid(rows, rows[::-1]) < 1e-5


def test_fid_of_numbers_is_the_difference_of_means_and_deviations():
    # Means 2 and 6, variances (over n - 1) 2 and 8: (2 - 6)^2 + 2 + 8 - 2 sqrt(2 * 8) = 18.
    assert fid(np.array([[1.0], [3.0]]), np.array([[4.0], [8.0]])) == pytest.approx(18)


def test_frechet_distance_of_known_gaussians():
    zero, one = np.zeros(2), np.eye(2)
    assert frechet_distance(zero, one, np.array([3.0, 4.0]), one) == pytest.approx(25)
    assert frechet_distance(zero, np.diag([1.0, 4.0]), zero, np.diag([9.0, 16.0])) == pytest.approx(4 + 4)
    assert frechet_distance(zero, one, zero, np.zeros((2, 2))) == pytest.approx(2)


def test_fid_is_symmetric_and_blind_to_order_place_and_turns():
    first, second = cloud(200, 12, 0), cloud(200, 12, 1, at=0.2)
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(12, 12)))[0]
    expected = fid(first, second)
    order = np.random.default_rng(3).permutation(200)
    assert fid(second, first) == pytest.approx(expected)
    assert fid(first[order], second) == pytest.approx(expected)
    assert fid(first @ turn + 5, second @ turn + 5) == pytest.approx(expected)


def test_fid_takes_embeddings_raw():
    first, second = cloud(200, 12, 0), cloud(200, 12, 1, at=0.2)
    assert fid(3 * first, 3 * second) == pytest.approx(9 * fid(first, second))
    assert fid(first, 2 * first) > 0.5  # unit lengths would hide it


def test_covariances_divide_by_n_minus_1():
    assert gaussian(np.array([[1.0, 0.0], [3.0, 4.0]]))[1] == pytest.approx(np.array([[2.0, 4.0], [4.0, 8.0]]))


def test_columns_that_never_vary_count_by_their_means_alone():
    first, second = cloud(200, 6, 0), cloud(200, 6, 1)
    expected = fid(first, second)
    assert fid(*(np.concatenate([rows, np.full((200, 3), 0.1)], 1) for rows in (first, second))) == pytest.approx(
        expected
    )
    still, moving = np.zeros((200, 1)), cloud(200, 1, 5, at=2.0)
    assert fid(np.hstack([first, still]), np.hstack([second, moving])) == pytest.approx(
        expected + moving.mean() ** 2 + moving.var(ddof=1)
    )
    assert fid(np.zeros((5, 2)), np.ones((5, 2))) == 2


def test_a_root_that_is_not_finite_is_taken_again_beside_the_diagonal(monkeypatch):
    tried = []

    def root(product):
        tried.append(product)
        return np.full((2, 2), np.nan) if len(tried) == 1 else np.diag(np.sqrt(np.diag(product)))

    monkeypatch.setattr(distribution, "_root", root)
    zero, one = np.zeros(2), np.eye(2)
    assert frechet_distance(zero, one, zero, one) == pytest.approx(0, abs=1e-5)
    assert np.diag(tried[1]) == pytest.approx((1 + 1e-6) ** 2, abs=1e-12)


@pytest.mark.parametrize(("imaginary", "refused"), [(1e-4, False), (2e-3, True)])
def test_an_imaginary_part_is_rounding_up_to_a_thousandth(monkeypatch, imaginary, refused):
    monkeypatch.setattr(distribution, "_root", lambda product: np.eye(2) + 1j * imaginary * np.eye(2))
    zero, one = np.zeros(2), np.eye(2)
    if refused:
        with pytest.raises(EvaluationError, match=r"imaginary part of 0\.002"):
            frechet_distance(zero, one, zero, one)
    else:
        assert frechet_distance(zero, one, zero, one) == 0


@pytest.mark.parametrize("known", [True, False], ids=["scipy with disp", "scipy without"])
def test_the_root_is_taken_by_old_and_new_scipy(monkeypatch, known, capfd):
    def with_disp(matrix, disp=True):
        assert disp is False, "it would print"
        return np.sqrt(matrix), 0.0

    monkeypatch.setattr(distribution, "sqrtm", with_disp if known else lambda matrix: np.sqrt(matrix))
    zero = np.zeros(2)
    assert frechet_distance(zero, np.diag([1.0, 4.0]), zero, np.diag([9.0, 16.0])) == pytest.approx(8)
    assert capfd.readouterr() == ("", "")


def test_what_has_no_covariance_is_refused():
    with pytest.raises(EvaluationError, match="generated: a covariance needs at least two, found 1"):
        fid(cloud(5, 3), cloud(1, 3))
    with pytest.raises(EvaluationError, match="embeddings of 3 numbers with some of 4"):
        fid(cloud(5, 3), cloud(5, 4))
    with pytest.raises(EvaluationError, match="reference: 1 of 5 embeddings are not finite"):
        fid(np.where(np.arange(15).reshape(5, 3) == 4, np.nan, 1.0), cloud(5, 3))
    with pytest.raises(EvaluationError, match="reference: expected embeddings of 2 axes"):
        fid(np.zeros((0, 3)), cloud(5, 3))


# -- Diversity --------------------------------------------------------------------------------------------


def test_diversity_as_pair_by_pair():
    rows = cloud(400, 5)
    random = np.random.default_rng(3)
    first, second = random.choice(400, 300, replace=False), random.choice(400, 300, replace=False)
    assert len(set(first)) == len(set(second)) == 300
    expected = sum(math.dist(rows[i], rows[j]) for i, j in zip(first, second, strict=True)) / 300
    assert diversity(rows, np.random.default_rng(3)) == pytest.approx(expected)


def test_diversity_of_known_points():
    assert diversity(np.ones((300, 4)), np.random.default_rng(0)) == 0
    # Half at 0, half at (3, 4): of random pairs about every second one is 5 apart.
    points = np.repeat([[0.0, 0.0], [3.0, 4.0]], 5000, axis=0)
    found = [diversity(points, np.random.default_rng(seed)) for seed in range(40)]
    assert np.mean(found) == pytest.approx(2.5, abs=0.1)


def test_diversity_scales_with_raw_embeddings():
    rows = cloud(320, 5)
    once, twice = (diversity(scale * rows + 7, np.random.default_rng(0)) for scale in (1, 2))
    assert twice == pytest.approx(2 * once)


def test_diversity_of_fewer_than_it_draws_is_refused():
    assert diversity(cloud(300, 2), np.random.default_rng(0)) > 0
    with pytest.raises(EvaluationError, match="draws 300 motions without replacement, and there are 299"):
        diversity(cloud(299, 2), np.random.default_rng(0))
    assert diversity(cloud(5, 2), np.random.default_rng(0), pairs=5) > 0
    with pytest.raises(EvaluationError, match="0 pairs"):
        diversity(cloud(5, 2), np.random.default_rng(0), pairs=0)


# -- MultiModality ----------------------------------------------------------------------------------------


def test_multimodality_as_text_by_text():
    samples = np.random.default_rng(0).normal(size=(100, 30, 6))
    random = np.random.default_rng(8)
    first, second = random.choice(30, 10, replace=False), random.choice(30, 10, replace=False)
    each = [math.dist(text[i], text[j]) for text in samples for i, j in zip(first, second, strict=True)]
    assert len(each) == 1000
    assert multimodality(samples, np.random.default_rng(8)) == pytest.approx(np.mean(each))


def test_multimodality_sees_samples_not_texts():
    # Each text far from the others, its samples all the same.
    samples = np.repeat(100.0 * np.arange(100)[:, None, None], 30, axis=1)
    assert multimodality(samples, np.random.default_rng(0)) == 0
    assert (
        multimodality(samples[..., ::-1] + np.random.default_rng(0).normal(size=(100, 30, 1)), np.random.default_rng(0))
        < 3
    )


def test_of_many_texts_a_hundred_are_drawn():
    samples = np.zeros((1000, 30, 1))
    samples[::2, ::2] = 1.0
    found = [multimodality(samples, np.random.default_rng(seed)) for seed in range(20)]
    assert len(set(found)) > 10
    assert np.mean(found) == pytest.approx(0.25, abs=0.04)


def test_multimodality_of_other_sizes():
    samples = np.random.default_rng(0).normal(size=(4, 5, 3))
    assert multimodality(samples, np.random.default_rng(0), texts=4, samples=5, pairs=2) > 0
    with pytest.raises(EvaluationError, match="30 motions of each of 100 texts, found 5 of 4"):
        multimodality(samples, np.random.default_rng(0))
    with pytest.raises(EvaluationError, match="pairs"):
        multimodality(samples, np.random.default_rng(0), texts=4, samples=5, pairs=6)
    with pytest.raises(EvaluationError, match="3 axes"):
        multimodality(samples[0], np.random.default_rng(0))


@pytest.mark.parametrize("measure", [diversity, lambda rows, random: multimodality(rows.reshape(100, 30, -1), random)])
def test_one_generator_state_gives_one_value(measure):
    rows = cloud(3000, 4)
    values = [measure(rows, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert values[0] == values[1] != values[2]
