"""How alike two sets of embeddings are as distributions, and how varied one is: FID, Diversity, MultiModality.

Embeddings are taken raw, as the evaluator gives them: neither scaled to unit length nor standardised.
"""

from __future__ import annotations

import warnings

import numpy as np
from scipy.linalg import sqrtm

from tdmm.errors import EvaluationError

DIVERSITY_PAIRS = 300
MULTIMODALITY_TEXTS = 100
MULTIMODALITY_SAMPLES = 30
MULTIMODALITY_PAIRS = 10
OFFSET = 1e-6  # added to the diagonals where the root of a product of covariances is not finite
MOST_IMAGINARY = 1e-3  # what the diagonal of a root may have of rounding
_NO_VARIANCE = 1e-20  # of the largest one


def as_embeddings(values: np.ndarray, whose: str, ndim: int = 2) -> np.ndarray:
    """Embeddings (N, D), or with more axes before D, as float64. whose: says in errors which these are.

    Raises `EvaluationError` for another number of axes, for none, and for numbers that are not finite.
    """
    found = np.asarray(values)
    if found.dtype.kind not in "fiu" or found.ndim != ndim or not found.size:
        raise EvaluationError(f"{whose}: expected embeddings of {ndim} axes, found {found.dtype} {found.shape}")
    found = found.astype(np.float64)
    finite = np.isfinite(found.reshape(len(found), -1)).all(1)
    if not finite.all():
        raise EvaluationError(
            f"{whose}: {int((~finite).sum())} of {len(found)} embeddings are not finite, the first one number "
            f"{int(np.flatnonzero(~finite)[0]) + 1}; leave them out and count them as failures"
        )
    return found


def gaussian(embeddings: np.ndarray, whose: str = "embeddings") -> tuple[np.ndarray, np.ndarray]:
    """Mean (D,) and covariance (D, D) of embeddings (N, D), the covariance over N - 1 (`np.cov`).

    Raises `EvaluationError` for fewer than two.
    """
    found = as_embeddings(embeddings, whose)
    if len(found) < 2:
        raise EvaluationError(f"{whose}: a covariance needs at least two, found {len(found)}")
    return found.mean(0), np.atleast_2d(np.cov(found, rowvar=False))


def frechet_distance(
    mean: np.ndarray, covariance: np.ndarray, other_mean: np.ndarray, other_covariance: np.ndarray
) -> float:
    """Squared Fréchet distance of two Gaussians, |m - m'|^2 + Tr(C + C' - 2 (C C')^(1/2)), of (D,) and (D, D).

    Dowson and Landau, The Fréchet distance between multivariate normal distributions, 1982; as Heusel et al., GANs
    Trained by a Two Time-Scale Update Rule, NeurIPS 2017 compute it: where the root is not finite, 1e-6 is added to
    both diagonals; an imaginary part of the root is rounding up to 1e-3 on its diagonal, and an `EvaluationError`
    above. What rounding takes the result below zero is zero.
    """
    if mean.shape != other_mean.shape or covariance.shape != other_covariance.shape:
        raise EvaluationError(
            f"cannot compare embeddings of {len(mean)} numbers with some of {len(other_mean)}: "
            "use one evaluator for both"
        )
    # What does not vary in one of the two adds nothing to the trace of the root, and makes the product singular.
    varies = np.ones(len(mean), bool)
    for variances in (np.diag(covariance), np.diag(other_covariance)):
        varies &= variances > _NO_VARIANCE * variances.max(initial=0.0)
    first, second = (one[np.ix_(varies, varies)] for one in (covariance, other_covariance))
    root = _root(first @ second)
    if not np.isfinite(root).all():
        offset = OFFSET * np.eye(len(first))
        root = _root((first + offset) @ (second + offset))
    if np.iscomplexobj(root):
        imaginary = float(np.abs(np.diagonal(root).imag).max(initial=0.0))
        if imaginary > MOST_IMAGINARY:
            raise EvaluationError(
                f"the root of the covariances has an imaginary part of {imaginary:.3g}: the sets are too small for "
                f"embeddings of {len(mean)} numbers, or these are too large; give more motions"
            )
        root = root.real
    apart = mean - other_mean
    found = float(apart @ apart + np.trace(covariance) + np.trace(other_covariance) - 2 * np.trace(root))
    if not np.isfinite(found):
        raise EvaluationError("the Fréchet distance is not finite: the embeddings are too large")
    return max(found, 0.0)


def _root(product: np.ndarray) -> np.ndarray:
    if len(product) < 2:  # of which scipy tells no error even if asked
        return np.asarray(np.emath.sqrt(product))
    with warnings.catch_warnings():
        # A singular product shows in the numbers. scipy before 1.16 would print it too, unless disp is False; later
        # ones warn of disp, and from 1.18 on know it no more.
        warnings.simplefilter("ignore")
        try:
            return np.asarray(sqrtm(product, disp=False)[0])
        except TypeError:
            return np.asarray(sqrtm(product))


def fid(reference: np.ndarray, generated: np.ndarray) -> float:
    """Fréchet distance of raw embeddings of real (N, D) and generated (M, D) motions; 0 of a set with itself.

    Heusel et al., NeurIPS 2017, with the embeddings of a motion evaluator (Guo et al., CVPR 2022). It draws nothing:
    one set of predictions has one FID. Raises `EvaluationError` as `gaussian` and `frechet_distance` do.
    """
    return frechet_distance(*gaussian(reference, "reference"), *gaussian(generated, "generated"))


def diversity(embeddings: np.ndarray, random: np.random.Generator, pairs: int = DIVERSITY_PAIRS) -> float:
    """Mean Euclidean distance of raw embeddings (N, D) drawn at random, one draw of `pairs` against another.

    Guo et al., CVPR 2022: each draw of 300 is without replacement, and the two know nothing of each other, so that a
    motion may meet itself. Best as near as can be to that of the real motions. Raises `EvaluationError` for fewer
    than `pairs` embeddings.
    """
    found = as_embeddings(embeddings, "embeddings")
    if pairs < 1:
        raise EvaluationError(f"diversity of {pairs} pairs: expected at least one")
    if len(found) < pairs:
        raise EvaluationError(
            f"diversity draws {pairs} motions without replacement, and there are {len(found)}; give at least {pairs}"
        )
    first, second = (random.choice(len(found), pairs, replace=False) for _ in range(2))
    return float(np.linalg.norm(found[first] - found[second], axis=1).mean())


def multimodality(
    embeddings: np.ndarray,
    random: np.random.Generator,
    *,
    texts: int = MULTIMODALITY_TEXTS,
    samples: int = MULTIMODALITY_SAMPLES,
    pairs: int = MULTIMODALITY_PAIRS,
) -> float:
    """How different motions of one text are: mean Euclidean distance of `pairs` pairs of samples of each of the texts.

    embeddings: (N, R, D), R motions of each of N texts, raw. Of more than `texts` texts, so many are drawn. Guo et
    al., CVPR 2022: 100 texts, 30 samples, and two draws of 10 of the samples, without replacement, that know nothing
    of each other and are the same for all texts. Raises `EvaluationError` for fewer texts or samples than asked for,
    and for more pairs than samples.
    """
    found = as_embeddings(embeddings, "embeddings of several motions a text", ndim=3)
    if min(texts, samples, pairs) < 1 or pairs > samples:
        raise EvaluationError(f"{pairs} pairs of {samples} samples of {texts} texts: expected 1 <= pairs <= samples")
    if len(found) < texts or found.shape[1] < samples:
        raise EvaluationError(
            f"multimodality needs {samples} motions of each of {texts} texts, found {found.shape[1]} of {len(found)}; "
            "give more, or say the sizes"
        )
    chosen = random.choice(len(found), texts, replace=False) if len(found) > texts else np.arange(texts)
    first, second = (random.choice(found.shape[1], pairs, replace=False) for _ in range(2))
    return float(np.linalg.norm(found[chosen][:, first] - found[chosen][:, second], axis=2).mean())
