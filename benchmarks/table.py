"""One row of the benchmark table: what was measured, what it must reach, what it aims at."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """A measurement. `value` None: not measured here, `note` says why."""

    what: str
    value: float | None
    unit: str
    must: float | None = None
    aim: float | None = None
    higher_is_better: bool = True
    note: str = ""

    @property
    def verdict(self) -> str:
        """aim, must, below must, not measured, or empty for a row without a bound."""
        if self.value is None:
            return "not measured"
        for name, bound in (("aim", self.aim), ("must", self.must)):
            if bound is not None and (self.value >= bound if self.higher_is_better else self.value <= bound):
                return name
        return "BELOW MUST" if self.must is not None else ""
