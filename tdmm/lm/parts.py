"""What a language model cannot write at once, in parts: long motions, and prompts that tell of many things.

Each part goes on from the last seconds of what is there. A prompt of more than `MOST_CLAUSES` clauses that "then" and
its like join is told in groups; with each group the model is told the one before it again, which it sees done.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from tdmm.motion import FaceMotion

# What training showed in one clip; so many clauses then begin a motion, and go on with one.
MOST_CLAUSES, FIRST_CLAUSES, MORE_CLAUSES = 5, 3, 2
# Seconds over which the difference between the end of one part and what the next one makes of it fades away.
EASED = 0.4
_JOIN = ", then "
_THEN = re.compile(
    r"[\s,;.…]*(?:\band\s+)?(?:\b(?:then|after that|afterwards)\b|\bnext\s*:|->|→|(?<=\s)>(?=\s))[\s,:]*", re.IGNORECASE
)


@dataclass(frozen=True)
class Part:
    """What is written at once. text: the model is told; frames: how many, None: as the model thinks."""

    text: str
    frames: int | None


def parts_of(
    prompt: str, frames: int | None, *, longest: int, context: int, stride: int, before: str | None = None
) -> list[Part]:
    """The parts of a prompt, in their order.

    frames: of all together, None: as the model thinks. longest: frames that the model reads and writes at once, of
    which it reads `context` where it goes on; both are whole steps of `stride` frames. before: the text of a motion
    from which the first part goes on, empty where nothing is known of it; None: the first part begins.
    """
    clauses = clauses_of(prompt)
    groups = _groups(clauses)
    if len(groups) == 1 or (frames is not None and frames < len(clauses) * stride):
        groups, texts = [[prompt]], [prompt]
    else:
        texts = [_JOIN.join(group) for group in groups]
    told = [texts[0] if not before else f"{before.rstrip(' .,;')}{_JOIN}{texts[0]}"]
    told += [f"{last}{_JOIN}{text}" for last, text in pairwise(texts)]
    if frames is None:
        return [Part(text, None) for text in told]
    parts = []
    goes_on = before is not None
    for text, own in zip(told, _shared(frames, [len(group) for group in groups], stride), strict=True):
        for count in _windows(own, longest - context if goes_on else longest, longest - context, stride):
            parts.append(Part(text, count))
            goes_on = True
    return parts


def clauses_of(prompt: str) -> list[str]:
    """What a prompt tells of one after the other, as "then", "after that", "->" and the like part it."""
    return [clause for clause in (one.strip() for one in _THEN.split(prompt)) if clause]


def _groups(clauses: Sequence[str]) -> list[list[str]]:
    if len(clauses) <= MOST_CLAUSES:
        return [list(clauses)]
    rest = clauses[FIRST_CLAUSES:]
    more = [list(rest[start : start + MORE_CLAUSES]) for start in range(0, len(rest), MORE_CLAUSES)]
    return [list(clauses[:FIRST_CLAUSES]), *more]


def _shared(frames: int, weights: Sequence[int], stride: int) -> list[int]:
    """Frames by weights, whole steps each but for the last. There is a step at least for each unit of weight."""
    ends = np.cumsum(weights) * (frames / sum(weights) / stride)
    steps = np.diff(np.floor(ends[:-1] + 0.5).astype(int), prepend=0)
    counts = (steps * stride).tolist()
    return [*counts, frames - sum(counts)]


def _windows(frames: int, first: int, more: int, stride: int) -> list[int]:
    """Frames in windows: `first` at most, then even ones of `more` at most, whole steps each but for the last."""
    if frames <= first:
        return [frames]
    rest = frames - first
    number = math.ceil(rest / more)
    each = math.ceil(rest / number / stride) * stride
    counts = [first]
    while rest > 0:
        counts.append(min(each, rest))
        rest -= counts[-1]
    return counts


def eased(piece: FaceMotion, last: FaceMotion, again: FaceMotion, since: int, *, bounded: bool) -> FaceMotion:
    """Frames of a part, moved so that they follow from the frame before it.

    last: that frame; again: what the part makes of it; since: frames of the part before these. bounded: expressions are
    in 0..1.
    """
    count = max(round(EASED * piece.fps), 1)
    place = since + np.arange(len(piece)) + 1
    if since >= count:
        return piece
    weight = np.where(place <= count, 0.5 + 0.5 * np.cos(np.pi * place / (count + 1)), 0.0).astype(np.float32)
    names = ("expression", "rotation", "translation", "neck_pose", "jaw_pose", "eyes_pose")
    moved = {
        name: getattr(piece, name) + weight[:, None] * (getattr(last, name)[-1] - getattr(again, name)[-1])
        for name in names
    }
    if bounded:
        moved["expression"] = moved["expression"].clip(0, 1)
    return replace(piece, **moved)
