"""R-Precision and MM-Dist, against an implementation that follows the protocol pair by pair."""

from __future__ import annotations

import time

import numpy as np
import pytest

from tdmm.errors import EvaluationError
from tdmm.evaluate.repeats import generators
from tdmm.evaluate.retrieval import R_PRECISION_POOL, R_PRECISION_TOP, retrieval, score_pools


def made_up(n: int, d: int = 16, noise: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    texts = random.normal(size=(n, d))
    return texts, texts + noise * random.normal(size=(n, d))


def slowly(texts: np.ndarray, motions: np.ndarray, random: np.random.Generator) -> tuple[list[float], float]:
    """The protocol pair by pair: a batch is 32 of the shuffled pairs, each text ranks the motions of its batch."""
    order = [int(i) for i in random.permutation(len(texts))]
    hits, distances = [0, 0, 0], []
    while len(order) >= 32:
        batch, order = order[:32], order[32:]
        for text in batch:
            apart = {motion: float(np.sqrt(np.sum((texts[text] - motions[motion]) ** 2))) for motion in batch}
            rank = sorted(batch, key=lambda motion: apart[motion]).index(text)
            for top in range(3):
                hits[top] += rank <= top
            distances.append(apart[text])
    return [hit / len(distances) for hit in hits], float(np.mean(distances))


def test_the_protocol_is_pools_of_32_and_three_ranks():
    assert (R_PRECISION_POOL, R_PRECISION_TOP) == (32, 3)


@pytest.mark.parametrize(("n", "seed"), [(32, 0), (100, 1), (64, 2), (95, 3)])
def test_as_pair_by_pair(n, seed):
    texts, motions = made_up(n, noise=1.5, seed=seed)
    found = score_pools(texts, motions, np.random.default_rng(seed))
    precision, distance = slowly(texts, motions, np.random.default_rng(seed))
    assert found.precision == pytest.approx(precision)
    assert found.distance == pytest.approx(distance)
    assert found.pairs == n // 32 * 32


def test_scores_are_means_over_shuffles_of_their_own():
    texts, motions = made_up(80, noise=1.5)
    scores = retrieval(texts, motions, repeats=6, seed=5)
    each = [slowly(texts, motions, random) for random in generators(5, 6)]
    assert list(scores) == ["r_precision_top1", "r_precision_top2", "r_precision_top3", "mm_dist"]
    for top in range(3):
        assert scores[f"r_precision_top{top + 1}"].mean == pytest.approx(np.mean([one[0][top] for one in each]))
    assert scores["mm_dist"].mean == pytest.approx(np.mean([one[1] for one in each]))
    assert scores["mm_dist"].ci95 == pytest.approx(1.96 * np.std([one[1] for one in each]) / np.sqrt(6))
    assert [score.higher_is_better for score in scores.values()] == [True, True, True, False]


def test_motions_where_their_texts_are_are_always_found():
    texts, _ = made_up(70)
    scores = retrieval(texts, texts, repeats=2)
    assert [score.mean for score in scores.values()] == [1, 1, 1, 0]


def test_a_known_distance():
    # Texts on a line, one apart; each motion 0.25 further on, the next text's motion 1.25, the one's before 0.75.
    texts = np.stack([np.arange(32.0), np.zeros(32)], 1)
    found = score_pools(texts, texts + np.array([0.25, 0]), np.random.default_rng(0))
    assert found.precision == (1, 1, 1)
    assert found.distance == pytest.approx(0.25)
    # 0.75 further on: one's own is second to the motion before, save for the first text.
    found = score_pools(texts, texts + np.array([0.75, 0]), np.random.default_rng(0))
    assert found.precision == pytest.approx((1 / 32, 1, 1))


def test_a_system_that_always_does_the_same_scores_chance_in_any_order():
    texts, _ = made_up(64)
    found = score_pools(texts, np.ones_like(texts), np.random.default_rng(0))
    assert found.precision == pytest.approx((1 / 32, 2 / 32, 3 / 32))


def test_two_equal_motions_share_their_places():
    texts, motions = made_up(32, noise=0.0)
    motions[1] = motions[0]
    texts[1] = texts[0]
    assert score_pools(texts, motions, np.random.default_rng(0)).precision == pytest.approx((31 / 32, 1, 1))


def test_chance_is_one_in_32():
    random = np.random.default_rng(0)
    scores = retrieval(random.normal(size=(640, 8)), random.normal(size=(640, 8)))
    assert scores["r_precision_top1"].mean == pytest.approx(1 / 32, abs=0.01)
    assert scores["r_precision_top3"].mean == pytest.approx(3 / 32, abs=0.015)


def test_raw_embeddings_count_not_their_directions():
    texts, motions = made_up(64, noise=0.5)
    longer = motions * np.random.default_rng(1).uniform(0.2, 5, (64, 1))
    assert retrieval(texts, longer)["r_precision_top1"].mean < retrieval(texts, motions)["r_precision_top1"].mean - 0.1
    assert retrieval(3 * texts, 3 * motions)["mm_dist"].mean == pytest.approx(
        3 * retrieval(texts, motions)["mm_dist"].mean
    )


def test_a_permutation_changes_nothing_but_the_pools():
    texts, motions = made_up(32, noise=1.5)
    order = np.random.default_rng(9).permutation(32)
    straight, mixed = (retrieval(texts[i], motions[i], repeats=3) for i in (np.arange(32), order))
    for name, score in straight.items():  # one pool: the very same
        assert mixed[name].mean == pytest.approx(score.mean)
    texts, motions = made_up(320, noise=1.5)
    order = np.random.default_rng(9).permutation(320)
    straight, mixed = (retrieval(texts[i], motions[i]) for i in (np.arange(320), order))
    for name, score in straight.items():
        assert mixed[name].mean == pytest.approx(score.mean, abs=4 * score.ci95 + 1e-9)


def test_one_seed_gives_the_same_scores_to_the_last_bit():
    texts, motions = made_up(100)
    assert retrieval(texts, motions, seed=4) == retrieval(texts, motions, seed=4)
    assert retrieval(texts, motions, seed=4) != retrieval(texts, motions, seed=5)


def test_close_distances_far_from_the_origin_are_told_apart():
    texts, motions = made_up(64, noise=0.1)
    near, far = (score_pools(texts + at, motions + at, np.random.default_rng(0)) for at in (0.0, 1e6))
    assert far.precision == near.precision
    assert far.distance == pytest.approx(near.distance, rel=1e-6)


def test_fewer_pairs_than_a_pool_are_refused():
    with pytest.raises(EvaluationError, match="pools of 32 pairs, and there are 31"):
        retrieval(*made_up(31))


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_embeddings_that_are_not_finite_are_refused(broken):
    texts, motions = made_up(40)
    motions[3, 2] = broken
    with pytest.raises(EvaluationError, match="motions: 1 of 40 embeddings are not finite, the first one number 4"):
        retrieval(texts, motions)


def test_texts_and_motions_that_do_not_belong_together_are_refused():
    texts, motions = made_up(40)
    for wrong in (motions[:39], motions[:, :15]):
        with pytest.raises(EvaluationError, match="one motion for each text"):
            retrieval(texts, wrong)
    with pytest.raises(EvaluationError, match="texts: expected embeddings of 2 axes"):
        retrieval(texts[0], motions[0])


def test_2000_pairs_20_times_take_a_moment():
    texts, motions = made_up(2000, d=512)
    start = time.process_time()
    retrieval(texts, motions)
    assert time.process_time() - start < 3  # 0.4 s on a machine that does nothing else
