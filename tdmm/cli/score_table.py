"""Scores as a table that eyes and `grep` can read."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tdmm.evaluate.repeats import Score
    from tdmm.evaluate.report import Report


def score_table(report: Report) -> str:
    """Name (+ or -: more or less is better), prediction, reference, note in columns by groups; the signature."""
    lines: list[str] = []
    with_reference = any(line.reference is not None for line in report.lines)
    heads = ["", "score", *(["real"] if with_reference else []), ""]
    rows: list[tuple[str, list[str]]] = []
    for line in report.lines:
        cells = [f"{line.name}{_arrow(line.prediction)}", _text(line.prediction)]
        if with_reference:
            cells.append(_text(line.reference))
        rows.append((line.group, [*cells, line.note]))
    widths = [
        max(len(cells[column]) for cells in [heads, *(cells for _, cells in rows)]) for column in range(len(heads))
    ]
    group = None
    for name, cells in rows:
        if name != group:
            lines.append(f"{name}:" if not lines else f"\n{name}:")
            if group is None:
                lines[-1] = _row([f"{name}:", *heads[1:]], widths)
            group = name
        lines.append(_row(cells, widths))
    lines.append(f"\n{report.references} references, {len(report.failures)} failed")
    lines.append(report.signature)
    return "\n".join(lines) + "\n"


def _row(cells: list[str], widths: list[int]) -> str:
    aligned = [
        f"{cells[0]:<{widths[0]}}",
        *(f"{cell:>{width}}" for cell, width in zip(cells[1:-1], widths[1:-1], strict=True)),
    ]
    return "  ".join([*aligned, cells[-1]]).rstrip()


def _text(score: Score | None) -> str:
    return "-" if score is None else str(score)


def _arrow(score: Score | None) -> str:
    """Which way is better, where one is."""
    if score is None or score.higher_is_better is None:
        return ""
    return " +" if score.higher_is_better else " -"
