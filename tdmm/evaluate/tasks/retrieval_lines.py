"""The lines of a report that tell whether texts and motions find each other."""

from __future__ import annotations

from functools import cache, partial

import numpy as np

from tdmm.evaluate.repeats import Score
from tdmm.evaluate.report import Report
from tdmm.evaluate.retrieval import retrieval

_NAMES = {
    "r_precision_top1": "R-Precision top-1",
    "r_precision_top2": "R-Precision top-2",
    "r_precision_top3": "R-Precision top-3",
    "mm_dist": "MM-Dist",
}
Pairs = tuple[np.ndarray, np.ndarray]  # texts (N, D) and motions (N, D)


def add_retrieval(
    report: Report, prediction: Pairs, reference: Pairs, repeats: int, seed: int, shown: float = 1.0
) -> None:
    """R-Precision and MM-Dist of predicted and of true pairs. shown: the share of the texts that have a prediction."""

    @cache
    def scores(predicted: bool) -> dict[str, Score]:
        return retrieval(*(prediction if predicted else reference), repeats, seed)

    def of(which: str, predicted: bool) -> Score:
        found = scores(predicted)[which]
        if not predicted or which == "mm_dist" or shown == 1:
            return found
        # A prediction that failed is a text that does not find its motion.
        return Score(found.mean * shown, None if found.ci95 is None else found.ci95 * shown, found.repeats, True)

    for which, name in _NAMES.items():
        report.add(name, partial(of, which, True), partial(of, which, False), group="embedding")
