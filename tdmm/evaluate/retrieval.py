"""Whether motions and texts find each other by their embeddings: R-Precision and MM-Dist.

Guo et al., Generating Diverse and Natural 3D Human Motions from Text, CVPR 2022. The pool of a text is its batch: the
pairs are shuffled once a repetition and cut into batches of 32, of which an incomplete last one is dropped.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist

from tdmm.errors import EvaluationError
from tdmm.evaluate.distribution import as_embeddings
from tdmm.evaluate.repeats import REPEATS, Score, generators, score_of

R_PRECISION_POOL = 32
R_PRECISION_TOP = 3


@dataclass(frozen=True)
class PoolScores:
    """Of one shuffle. precision: top-1, top-2, top-3 R-Precision, 0..1. distance: MM-Dist. pairs: how many count."""

    precision: tuple[float, ...]
    distance: float
    pairs: int


def score_pools(texts: np.ndarray, motions: np.ndarray, random: np.random.Generator) -> PoolScores:
    """R-Precision and MM-Dist of one shuffle of pairs: text n (N, D) belongs to motion n (N, D), raw embeddings.

    R-Precision: the share of texts to which their own motion is among the k nearest, by Euclidean distance, of the 32
    of their pool. Motions at exactly one distance share their places: a text gets the part of a hit that it would get
    on average if they were ordered by chance, so that equal motions for all texts score k / 32 whatever their order.
    MM-Dist: the mean distance of a text to its own motion, of the pairs that are in a pool.
    Raises `EvaluationError` for fewer than 32 pairs, and for embeddings of other sizes.
    """
    texts, motions = _pairs(texts, motions)
    return _score(texts, motions, random)


def retrieval(texts: np.ndarray, motions: np.ndarray, repeats: int = REPEATS, seed: int = 0) -> dict[str, Score]:
    """The scores `r_precision_top1`, `r_precision_top2`, `r_precision_top3` and `mm_dist`, one shuffle a repetition.

    Arguments and errors as of `score_pools`.
    """
    texts, motions = _pairs(texts, motions)
    found = [_score(texts, motions, random) for random in generators(seed, repeats)]
    scores = {
        f"r_precision_top{top + 1}": score_of([one.precision[top] for one in found], higher_is_better=True)
        for top in range(R_PRECISION_TOP)
    }
    return scores | {"mm_dist": score_of([one.distance for one in found], higher_is_better=False)}


def _pairs(texts: np.ndarray, motions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    texts, motions = as_embeddings(texts, "texts"), as_embeddings(motions, "motions")
    if texts.shape != motions.shape:
        raise EvaluationError(
            f"expected one motion for each text, of one evaluator; found texts {texts.shape} and motions "
            f"{motions.shape}"
        )
    if len(texts) < R_PRECISION_POOL:
        raise EvaluationError(
            f"R-Precision needs pools of {R_PRECISION_POOL} pairs, and there are {len(texts)}; "
            f"give at least {R_PRECISION_POOL}"
        )
    return texts, motions


def _score(texts: np.ndarray, motions: np.ndarray, random: np.random.Generator) -> PoolScores:
    order = random.permutation(len(texts))
    pools = order[: len(order) // R_PRECISION_POOL * R_PRECISION_POOL].reshape(-1, R_PRECISION_POOL)
    # Differences, not |a|^2 + |b|^2 - 2 a.b: equal embeddings have exactly equal distances, and near ones keep theirs.
    distances = np.stack([cdist(texts[pool], motions[pool]) for pool in pools])
    own = np.diagonal(distances, axis1=1, axis2=2)[..., None]
    nearer, level = (distances < own).sum(2), (distances == own).sum(2)
    hits = [np.clip((top - nearer) / level, 0, 1).mean() for top in range(1, R_PRECISION_TOP + 1)]
    return PoolScores(tuple(float(one) for one in hits), float(own.mean()), pools.size)
