"""How people really type: small mistakes, no capitals, no full stop."""

from __future__ import annotations

import numpy as np

TYPO_RATE = 0.03  # of the texts
CASE_RATE = 0.12
_NEAR = {
    "a": "sq", "b": "vn", "c": "xv", "d": "sf", "e": "wr", "f": "dg", "g": "fh", "h": "gj", "i": "uo", "j": "hk",
    "k": "jl", "l": "k", "m": "n", "n": "bm", "o": "ip", "p": "o", "r": "et", "s": "ad", "t": "ry", "u": "yi",
    "v": "cb", "w": "qe", "y": "tu",
}  # fmt: skip


def with_noise(text: str, random: np.random.Generator) -> str:
    """The text, seldom with another casing or punctuation, more seldom with a slip of a finger in a longer word."""
    draw = random.random(3)
    if draw[0] < CASE_RATE:
        kind = random.random()
        if kind < 0.62:
            text = text.lower()
        elif kind < 0.9:
            text = text.rstrip(".")
        elif kind < 0.95:
            text = text.upper()
        else:
            text = f"{text.rstrip('.')}!"
    if draw[1] < TYPO_RATE:
        text = _slip(text, random)
    return text


def _slip(text: str, random: np.random.Generator) -> str:
    words = text.split(" ")
    long = [number for number, word in enumerate(words) if len(word) > 4 and word.isalpha()]
    if not long:
        return text
    which = long[int(random.integers(len(long)))]
    word = words[which]
    at = int(random.integers(1, len(word) - 1))
    kind = random.random()
    if kind < 0.35:
        word = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    elif kind < 0.65:
        word = word[:at] + word[at + 1 :]
    elif kind < 0.8:
        word = word[:at] + word[at] + word[at:]
    else:
        near = _NEAR.get(word[at].lower(), word[at])
        word = word[:at] + near[int(random.integers(len(near)))] + word[at + 1 :]
    words[which] = word
    return " ".join(words)
