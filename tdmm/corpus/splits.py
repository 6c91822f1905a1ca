"""Which split a clip belongs to: decided by hashes of what it shows, the same in every corpus."""

from __future__ import annotations

import hashlib
from itertools import combinations

from tdmm.corpus.program import Program

SPLITS = ("train", "val", "test", "test-composition", "test-phrasing", "test-free")
# Of every so many pairs of behaviours one is never seen together in training.
ONE_PAIR_IN = 150
VAL, TEST, PHRASING = 0.02, 0.03, 0.015
# A clip in so many is of a free prompt that training never sees.
ONE_UNSEEN_IN = 250


def part_of_one(*what: object) -> float:
    """A number in 0..1 that depends on nothing but the arguments."""
    text = "|".join(map(str, what)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=6).digest(), "big") / 2**48


def is_held_out(first: str, second: str) -> bool:
    """Whether two behaviours, by their ids, are never combined in training."""
    return part_of_one("pair", *sorted((first, second))) * ONE_PAIR_IN < 1


def split_of_text(text: str) -> str:
    """The split of a clip of which no more than its text is known: one text is never in two of them."""
    draw = part_of_one("text", " ".join(text.lower().split()))
    return "val" if draw < VAL else "test" if draw < VAL + TEST else "train"


def split_of(program: Program, clip: str, seed: int) -> str:
    """The split of a clip with this id of a corpus with this seed."""
    ids = sorted({event.id for event in program.events()})
    if any(is_held_out(first, second) for first, second in combinations(ids, 2)):
        return "test-composition"
    draw = part_of_one("clip", seed, clip)
    for name, share in (("val", VAL), ("test", TEST), ("test-phrasing", PHRASING)):
        if draw < share:
            return name
        draw -= share
    return "train"
