"""The outcome of an evaluation: scores in groups, with the signature that makes them comparable."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tdmm import __version__
from tdmm.errors import EvaluationError
from tdmm.evaluate.inputs import Failed
from tdmm.evaluate.repeats import Score, score_of

# Raised when a change makes scores that are not comparable with earlier ones.
PROTOCOL = 1


@dataclass(frozen=True)
class Line:
    """One score. prediction, reference: None where it cannot be measured; `note` then says why."""

    name: str
    prediction: Score | None
    reference: Score | None = None
    group: str = ""
    note: str = ""


@dataclass
class Report:
    """All scores of a task. signature: protocol, versions, evaluator, references, repeats, seed: scores with equal
    signatures (but for the number of failures) may be compared. details: more, as JSON has it. embeddings: of
    references and predictions, for a plot."""

    task: str
    signature: str
    references: int
    lines: list[Line] = field(default_factory=list)
    failures: list[Failed] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    embeddings: Mapping[str, np.ndarray] = field(default_factory=dict)

    def add(
        self,
        name: str,
        prediction: Callable[[], Score] | Score | float | None,
        reference: Callable[[], Score] | Score | float | None = None,
        *,
        group: str = "",
        higher: bool | None = None,
        unit: str = "",
        note: str = "",
    ) -> None:
        """Add a line; what cannot be measured (an `EvaluationError`, a NaN) becomes a line that says so."""
        found, why = _measured(prediction, higher, unit)
        other, other_why = _measured(reference, higher, unit)
        self.lines.append(Line(name, found, other, group, note or why or other_why))

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        return {
            "task": self.task,
            "signature": self.signature,
            "references": self.references,
            "failures": [{"id": one.id, "reason": one.reason} for one in self.failures],
            "scores": {
                f"{line.group}/{line.name}" if line.group else line.name: {
                    "prediction": _as_dict(line.prediction),
                    "reference": _as_dict(line.reference),
                    **({"note": line.note} if line.note else {}),
                }
                for line in self.lines
            },
            **self.details,
        }

    def score(self, name: str, group: str = "") -> Score | None:
        """The prediction's score of that name."""
        return next(line.prediction for line in self.lines if (line.name, line.group) == (name, group))


def sign(task: str, **facts: object) -> str:
    """`animate|protocol:1|tdmm:0.1.0|...`, in the manner of sacrebleu (Post, 2018)."""
    known = {"protocol": PROTOCOL, "tdmm": __version__, **facts}
    return "|".join([task, *(f"{name}:{value}" for name, value in known.items() if value is not None)])


def _measured(
    what: Callable[[], Score] | Score | float | None, higher: bool | None, unit: str
) -> tuple[Score | None, str]:
    if what is None:
        return None, ""
    try:
        found = what() if callable(what) else what
    except EvaluationError as error:
        return None, str(error)
    if not isinstance(found, Score):
        if not np.isfinite(found):
            return None, "there is nothing of the kind"
        found = score_of([found], higher_is_better=higher, unit=unit)
    return found, ""


def _as_dict(score: Score | None) -> dict[str, Any] | None:
    if score is None:
        return None
    return {"mean": score.mean, "ci95": score.ci95, "repeats": score.repeats, "unit": score.unit}
