"""Which codes a tokenizer uses, over a whole set of motions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from tdmm.errors import TokensError
from tdmm.io.tokens_file import code_table


@dataclass(frozen=True)
class CodebookUse:
    """The use of each of Q codebooks. tokens: how many were counted, of each. used: (Q,) distinct codes.
    perplexity: (Q,) exp of the entropy in nats of how often each code comes: the number of codes that would be as
    various if all came equally often (van den Oord et al., Neural Discrete Representation Learning, 2017).
    size: (Q,) how many codes there are; None: not told."""

    tokens: int
    used: tuple[int, ...]
    perplexity: tuple[float, ...]
    size: tuple[int, ...] | None = None

    @property
    def share(self) -> tuple[float, ...] | None:
        """(Q,) the part of each codebook that is used; None where its size is not told."""
        if self.size is None:
            return None
        return tuple(used / size for used, size in zip(self.used, self.size, strict=True))


def codebook_use(codes: Iterable[np.ndarray], size: int | tuple[int, ...] | None = None) -> CodebookUse:
    """The use of codebooks over all motions together: the histograms are added before anything is computed.

    codes: (T, Q) whole numbers >= 0 of each motion; (T,) counts as Q = 1. size: codes in each codebook, or in all.
    Raises `TokensError` for no codes, other numbers of codebooks, and codes that a codebook does not have.
    """
    counts: list[np.ndarray] = []
    tokens = 0
    for number, one in enumerate(codes):
        table = code_table(one, f"motion {number + 1}")
        if not counts:
            counts = [np.zeros(0, np.int64)] * table.shape[1]
        if table.shape[1] != len(counts):
            raise TokensError(f"codes of motion {number + 1}: expected {len(counts)} a step, found {table.shape[1]}")
        tokens += len(table)
        counts = [_added(old, np.bincount(column)) for old, column in zip(counts, table.T, strict=True)]
    if not tokens:
        raise TokensError("codebook use: no codes to count; is the file of tokens empty?")
    sizes = (size,) * len(counts) if isinstance(size, int) else size
    if sizes is not None:
        if len(sizes) != len(counts):
            raise TokensError(f"codebook use: sizes of {len(sizes)} codebooks, codes of {len(counts)}")
        for level, (count, most) in enumerate(zip(counts, sizes, strict=True), start=1):
            if len(count) > most:
                raise TokensError(f"codebook {level}: found the code {len(count) - 1}, expected less than {most}")
    return CodebookUse(
        tokens,
        tuple(int((count > 0).sum()) for count in counts),
        tuple(perplexity(count) for count in counts),
        sizes,
    )


def perplexity(counts: np.ndarray) -> float:
    """exp(-sum p log p) of counts (K,); codes that never come have no part in it."""
    share = counts[counts > 0] / counts.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def _added(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    longer, shorter = (one, other) if len(one) >= len(other) else (other, one)
    total = longer.copy()
    total[: len(shorter)] += shorter
    return total
