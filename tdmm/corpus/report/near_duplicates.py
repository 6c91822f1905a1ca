"""Texts that are nearly the same: MinHash over shingles of four bytes finds candidates, counting shingles decides.

A corpus whose texts are all alike teaches little, and a test set that repeats the training set measures nothing. Two
texts are near-duplicates where the sets of their shingles, case and punctuation aside, share at least 80 % of their
union (Jaccard): some letters of a short text, a word of a long one. 100,000 texts take seconds.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

THRESHOLD = 0.8
# With 12 bands of 5 hashes, a pair at the threshold meets in one of them with a probability of 99 %, a pair at 0.4
# with 12 %.
_BANDS, _ROWS = 12, 5
# Of 60 hashes, 48 agree at the threshold, give or take 3.1: what is below three times that is not worth counting.
_WORTH_COUNTING = 0.65
_SHINGLE = 4  # bytes, so that a shingle is its own number
_TEXTS_AT_ONCE = 20_000
_PAIRS_AT_ONCE = 20_000
_WORDS = re.compile(r"\w+")


@dataclass(frozen=True)
class Pair:
    """Two texts and the share of their shingles that both have."""

    first: str
    second: str
    similarity: float


@dataclass(frozen=True)
class NearDuplicates:
    """near: how many of `texts` distinct ones have a near-duplicate among them, also as `share`.

    groups: texts that hang together through near-duplicates, `largest` of them in one. examples: a pair each of the
    largest groups.
    """

    texts: int
    near: int
    share: float
    groups: int
    largest: int
    examples: tuple[Pair, ...]


def find_near_duplicates(texts: Sequence[str], *, examples: int = 12) -> NearDuplicates:
    """Near-duplicates among the distinct texts. Equal texts are not counted here: they are one text, said often."""
    distinct = list(dict.fromkeys(texts))
    encoded = [_normalised(text) for text in distinct]
    pairs = _candidates(_signatures(encoded))
    similarity = _similarities(encoded, pairs)
    near = similarity >= THRESHOLD
    return _told(distinct, pairs[near], similarity[near], examples)


def _told(texts: list[str], pairs: np.ndarray, similarity: np.ndarray, examples: int) -> NearDuplicates:
    if not len(pairs):
        return NearDuplicates(len(texts), 0, 0.0, 0, 0, ())
    links = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), (len(texts), len(texts)))
    group = connected_components(links, directed=False)[1]
    sizes = np.bincount(group)
    near = int(sizes[sizes > 1].sum())
    # The first pair of each group, the largest groups first.
    groups, firsts = np.unique(group[pairs[:, 0]], return_index=True)
    shown = firsts[np.lexsort((firsts, -sizes[groups]))][:examples]
    return NearDuplicates(
        texts=len(texts),
        near=near,
        share=near / len(texts),
        groups=len(groups),
        largest=int(sizes.max()),
        examples=tuple(
            Pair(texts[pairs[i, 0]], texts[pairs[i, 1]], round(float(similarity[i]), 3)) for i in shown.tolist()
        ),
    )


def _normalised(text: str) -> bytes:
    """Lower case, no punctuation; spaces around it make the first and last letters count as much as the others."""
    words = " ".join(_WORDS.findall(text.casefold()))
    return f"  {words or text}  ".encode(errors="replace")


def _shingles(encoded: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """All shingles (N,) uint32 of texts, one after the other, and how many (n,) each text has."""
    data = np.frombuffer(b"".join(encoded), np.uint8).astype(np.uint32)
    lengths = np.array([len(text) for text in encoded])
    windows = data[:-3] | data[1:-2] << np.uint32(8) | data[2:-1] << np.uint32(16) | data[3:] << np.uint32(24)
    # Windows that reach into the next text go.
    within = np.ones(len(data), bool)
    ends = np.cumsum(lengths)
    for back in range(1, _SHINGLE):
        within[ends - back] = False
    return windows[within[: len(windows)]], lengths - (_SHINGLE - 1)


def _signatures(encoded: Sequence[bytes]) -> np.ndarray:
    """(n, bands * rows) uint32: of each text the smallest of each hash over its shingles."""
    n_hashes = _BANDS * _ROWS
    rng = np.random.default_rng(0)
    factors = rng.integers(0, 1 << 31, n_hashes, np.uint32) * np.uint32(2) + np.uint32(1)
    offsets = rng.integers(0, 1 << 32, n_hashes, np.uint32)
    signatures = np.empty((len(encoded), n_hashes), np.uint32)
    for start in range(0, len(encoded), _TEXTS_AT_ONCE):
        shingles, counts = _shingles(encoded[start : start + _TEXTS_AT_ONCE])
        mixed = _mixed(shingles)
        starts = np.concatenate(([0], np.cumsum(counts)[:-1]))
        hashed = np.empty_like(mixed)
        for i in range(n_hashes):
            np.multiply(mixed, factors[i], out=hashed)
            hashed += offsets[i]
            signatures[start : start + len(counts), i] = np.minimum.reduceat(hashed, starts)
    return signatures


def _mixed(values: np.ndarray) -> np.ndarray:
    """The last step of MurmurHash3 (uint32): letters are alike in their bits, hashes must not be."""
    values = (values ^ values >> np.uint32(16)) * np.uint32(0x85EBCA6B)
    values = (values ^ values >> np.uint32(13)) * np.uint32(0xC2B2AE35)
    mixed: np.ndarray = values ^ values >> np.uint32(16)
    return mixed


def _candidates(signatures: np.ndarray) -> np.ndarray:
    """(P, 2) pairs i < j that agree in a band.

    Not all pairs of a bucket, which may hold thousands of texts from one template: each text is paired with the first
    of its bucket and with the two that follow when the bucket is sorted by the next band. So the number of candidates
    grows with the number of texts, and what one band misses another finds.
    """
    n = len(signatures)
    keys = np.zeros((_BANDS, n), np.uint64)
    for row in range(_ROWS):
        keys = keys * np.uint64(0x9E3779B97F4A7C15) + signatures[:, row::_ROWS].T
    found = [np.empty(0, np.int64)]
    for band in range(_BANDS):
        order = np.lexsort((keys[(band + 1) % _BANDS], keys[band]))
        key = keys[band][order]
        starts = np.flatnonzero(np.concatenate(([True], key[1:] != key[:-1]))) if n else np.empty(0, int)
        first = np.repeat(order[starts], np.diff(np.append(starts, n)))
        found.append(_numbered(first, order, n))
        for step in (1, 2):
            same = key[step:] == key[:-step]
            found.append(_numbered(order[:-step][same], order[step:][same], n))
        found[:] = [np.unique(np.concatenate(found))]
    pairs = np.stack(np.divmod(found[0], max(n, 1)), axis=1)
    worth = np.empty(len(pairs), bool)
    for start in range(0, len(pairs), _PAIRS_AT_ONCE):
        some = pairs[start : start + _PAIRS_AT_ONCE]
        agree = (signatures[some[:, 0]] == signatures[some[:, 1]]).mean(axis=1)
        worth[start : start + len(some)] = agree >= _WORTH_COUNTING
    return pairs[worth]


def _numbered(some: np.ndarray, others: np.ndarray, n: int) -> np.ndarray:
    """Pairs as single numbers, the lower index first; a text with itself is none."""
    pairs = np.minimum(some, others) * n + np.maximum(some, others)
    return pairs[some != others]


def _similarities(encoded: Sequence[bytes], pairs: np.ndarray) -> np.ndarray:
    """(P,) Jaccard similarities of the sets of shingles, exact."""
    similarity = np.empty(len(pairs))
    for start in range(0, len(pairs), _PAIRS_AT_ONCE):
        some = pairs[start : start + _PAIRS_AT_ONCE]
        members, places = np.unique(some, return_inverse=True)
        shingles, counts = _shingles([encoded[i] for i in members.tolist()])
        owners = np.repeat(np.arange(len(members), dtype=np.uint64), counts)
        sets = np.unique(owners << np.uint64(32) | shingles)
        sizes = np.bincount((sets >> np.uint64(32)).astype(np.int64), minlength=len(members))
        begins = np.cumsum(sizes) - sizes
        # The sets of both texts of every pair, one after the other: what is there twice is shared.
        owner = places.reshape(-1)
        size = sizes[owner]
        within = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size)
        values = sets[np.repeat(begins[owner], size) + within] & np.uint64(0xFFFFFFFF)
        pair = np.repeat(np.arange(len(owner)) // 2, size).astype(np.uint64)
        tagged = np.sort(pair << np.uint64(32) | values)
        twice = (tagged[1:][tagged[1:] == tagged[:-1]] >> np.uint64(32)).astype(np.int64)
        shared = np.bincount(twice, minlength=len(some))
        similarity[start : start + len(some)] = shared / (size.reshape(-1, 2).sum(axis=1) - shared)
    return similarity
