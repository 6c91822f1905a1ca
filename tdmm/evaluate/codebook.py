"""Which codes a tokenizer uses, over a whole set of motions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tdmm.errors import EvaluationError

SCHEMA = "tdmm.tokens/1"


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
    Raises `EvaluationError` for no codes, other numbers of codebooks, and codes that a codebook does not have.
    """
    counts: list[np.ndarray] = []
    tokens = 0
    for number, one in enumerate(codes):
        table = _table(one, f"motion {number + 1}")
        if not counts:
            counts = [np.zeros(0, np.int64)] * table.shape[1]
        if table.shape[1] != len(counts):
            raise EvaluationError(
                f"codes of motion {number + 1}: expected {len(counts)} a step, found {table.shape[1]}"
            )
        tokens += len(table)
        counts = [_added(old, np.bincount(column)) for old, column in zip(counts, table.T, strict=True)]
    if not tokens:
        raise EvaluationError("codebook use: no codes to count; is the file of tokens empty?")
    sizes = (size,) * len(counts) if isinstance(size, int) else size
    if sizes is not None:
        if len(sizes) != len(counts):
            raise EvaluationError(f"codebook use: sizes of {len(sizes)} codebooks, codes of {len(counts)}")
        for level, (count, most) in enumerate(zip(counts, sizes, strict=True), start=1):
            if len(count) > most:
                raise EvaluationError(f"codebook {level}: found the code {len(count) - 1}, expected less than {most}")
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


def read_codes(path: str | Path) -> Iterator[tuple[str, np.ndarray]]:
    """Id and codes (T, Q) of each line of a tokens file. Raises `EvaluationError` that names the file and the line."""
    try:
        with open(path, encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield _line(line, f"{path}, line {number}")
    except OSError as error:
        raise EvaluationError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError:
        raise EvaluationError(f"{path}: expected JSON lines of tokens, found bytes that are no text") from None


def _line(line: str, where: str) -> tuple[str, np.ndarray]:
    try:
        found = json.loads(line)
    except ValueError as error:
        raise EvaluationError(f"{where}: expected a JSON object, found {error}") from error
    if not isinstance(found, dict) or "codes" not in found:
        raise EvaluationError(f"{where}: expected an object with codes, as tdmm tokenize writes it")
    if found.get("schema", SCHEMA) != SCHEMA:
        raise EvaluationError(f"{where}: expected the schema {SCHEMA}, found {found['schema']!r}")
    return str(found.get("id", "")), _table(found["codes"], where)


def _table(codes: object, where: str) -> np.ndarray:
    try:
        table = np.asarray(codes)
    except ValueError:  # rows of different lengths
        table = np.zeros(0, object)
    table = table[:, None] if table.ndim == 1 and table.size and table.dtype != object else table
    if table.ndim != 2 or table.dtype.kind not in "iu" or (table.size and table.min() < 0):
        raise EvaluationError(f"{where}: codes: expected rows of whole numbers >= 0, all of one length")
    return table


def _added(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    longer, shorter = (one, other) if len(one) >= len(other) else (other, one)
    total = longer.copy()
    total[: len(shorter)] += shorter
    return total
