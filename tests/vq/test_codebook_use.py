"""Which codes are used: by hand, and over a whole set."""

from __future__ import annotations

import numpy as np
import pytest

from tdmm.errors import TokensError
from tdmm.vq.codebook import codebook_use, perplexity


def test_use_of_codebooks_by_hand() -> None:
    use = codebook_use([np.array([[0, 5], [1, 5]]), np.array([[2, 5], [3, 5]])], 8)
    assert use.tokens == 4
    assert use.used == (4, 1)
    assert use.perplexity == pytest.approx((4, 1))
    assert use.share == (0.5, 0.125)
    assert codebook_use([np.array([3, 3, 7])]).used == (2,)


def test_perplexity_is_of_the_whole_set_and_not_a_mean() -> None:
    parts = [np.full((10, 1), code) for code in range(6)]
    assert codebook_use(parts).perplexity == pytest.approx((6,))
    counts = np.array([5, 0, 3, 2])
    assert perplexity(counts) == pytest.approx(0.5**-0.5 * 0.3**-0.3 * 0.2**-0.2)


def test_codes_that_cannot_be_are_refused() -> None:
    with pytest.raises(TokensError, match="found the code 8, expected less than 8"):
        codebook_use([np.array([[8]])], 8)
    with pytest.raises(TokensError, match="expected 1 a step, found 2"):
        codebook_use([np.array([[1]]), np.array([[1, 2]])])
    with pytest.raises(TokensError, match="no codes"):
        codebook_use([])
    with pytest.raises(TokensError, match="sizes of 2 codebooks"):
        codebook_use([np.array([[1]])], (4, 4))
