"""Whether an evaluator can be trusted: it finds real pairs, and likes motions the less the worse they are."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from tdmm.evaluate.distribution import fid
from tdmm.evaluate.evaluator.damage import DAMAGES, damaged
from tdmm.evaluate.evaluator.examples import ORDERED, SIDED, SLIGHT, STRONG, Examples
from tdmm.evaluate.evaluator.store import Evaluator, padded
from tdmm.evaluate.repeats import Score
from tdmm.evaluate.retrieval import R_PRECISION_POOL, retrieval

SEVERITIES = (0.0, 0.25, 0.5, 0.75, 1.0)
# A damage is judged on the clips whose texts exclude it: "smiles" is as true in the mirror.
_EXCLUDED_BY = {"reversed": ORDERED, "shuffled": ORDERED, "mirrored": SIDED, "weaker": STRONG, "stronger": SLIGHT}


@dataclass(frozen=True)
class DamageCurve:
    """One damage of more and more severity, done to all of `clips` clips, at each of `SEVERITIES`.

    nearer: share of the texts to which the undamaged motion is nearer than the damaged one (none at severity 0).
    top1: R-Precision. mm_dist, fid: against the undamaged motions.
    """

    damage: str
    clips: int
    nearer: tuple[float, ...]
    top1: tuple[float, ...]
    mm_dist: tuple[float, ...]
    fid: tuple[float, ...]

    @property
    def monotone(self) -> bool:
        """Whether every more of it is farther from the texts. (To a set of motions it need not be: a mirrored set, or
        one dealt out anew, is as good a set as before.)"""
        return all(after > before for before, after in pairwise(self.mm_dist))


def real_pairs(evaluator: Evaluator, examples: Examples, repeats: int = 20, seed: int = 0) -> dict[str, Score]:
    """R-Precision and MM-Dist of the primary texts of real clips."""
    texts = evaluator.embed_texts([said[0] for said in examples.texts])
    motions = evaluator.embed_features(examples.motions(range(len(examples))))
    return retrieval(texts, motions, repeats, seed)


def damage_curves(evaluator: Evaluator, examples: Examples, most: int = 1500, seed: int = 0) -> list[DamageCurve]:
    """One curve for each of `DAMAGES`, on at most `most` clips; none for one that fewer than 32 clips contradict."""
    found = []
    for damage in DAMAGES:
        bit = _EXCLUDED_BY.get(damage, 0)
        clips = [clip for clip in range(len(examples)) if not bit or examples.damages[clip] & bit][:most]
        if len(clips) >= R_PRECISION_POOL:
            found.append(_curve(evaluator, examples, damage, clips, seed))
    return found


def _curve(evaluator: Evaluator, examples: Examples, damage: str, clips: list[int], seed: int) -> DamageCurve:
    texts = evaluator.embed_texts([examples.texts[clip][0] for clip in clips])
    real = examples.motions(clips)
    batch, lengths = padded(real)
    whole = evaluator.embed_features(real)
    to_whole = np.linalg.norm(texts - whole, axis=1)
    nearer, top1, distances, fids = [], [], [], []
    for severity in SEVERITIES:
        generator = torch.Generator().manual_seed(seed)
        worse = damaged(batch, lengths, damage, generator, severity)
        kept = [motion[:length].numpy() for motion, length in zip(worse, lengths.tolist(), strict=True)]
        broken = evaluator.embed_features(kept)
        scores = retrieval(texts, broken, 20, seed)
        nearer.append(float((to_whole < np.linalg.norm(texts - broken, axis=1)).mean()))
        top1.append(scores["r_precision_top1"].mean)
        distances.append(scores["mm_dist"].mean)
        fids.append(fid(whole, broken))
    return DamageCurve(damage, len(clips), tuple(nearer), tuple(top1), tuple(distances), tuple(fids))
