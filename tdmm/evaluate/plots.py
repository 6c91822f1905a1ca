"""Plots of a report: scores with their intervals, event accuracy by kind, embeddings in two dimensions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tdmm.errors import MissingPartError
from tdmm.evaluate.report import Line, Report
from tdmm.io.whole import whole_file

_PREDICTION, _REFERENCE = "#d55e00", "#0072b2"  # told apart by colour-blind eyes (Okabe and Ito)
_MOST_BARS = 24


def check_plots() -> None:
    """Before the work: can plots be drawn? Raises `MissingPartError` without matplotlib."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise MissingPartError("plots need matplotlib: run `pip install 'tdmm[report]'`") from error


def write_plot(report: Report, target: str | Path) -> None:
    """Write a PNG: one panel for each group of scores, and one for the embeddings where there are any.

    Raises `MissingPartError` without matplotlib, `OutputError` where the file cannot be written.
    """
    check_plots()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    groups: dict[str, list[Line]] = {}
    for line in report.lines:
        if line.prediction is not None or line.reference is not None:
            groups.setdefault(line.group, []).append(line)
    embedded = sum(map(len, report.embeddings.values())) > 1
    panels = max(1, len(groups) + embedded)
    columns = min(3, panels)
    rows = -(-panels // columns)
    most = max((len(lines[:_MOST_BARS]) for lines in groups.values()), default=6)
    figure = Figure(figsize=(5.6 * columns, rows * max(3.0, 0.32 * most + 1.2)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).ravel()
    for axis, (name, lines) in zip(axes, groups.items(), strict=False):
        shown = "" if len(lines) <= _MOST_BARS else f" (the first {_MOST_BARS} of {len(lines)})"
        _bars(axis, name + shown, lines[:_MOST_BARS])
    used = len(groups)
    if embedded:
        _embeddings(axes[used], report)
        used += 1
    for axis in axes[used:]:
        axis.set_axis_off()
    figure.suptitle(f"{report.task}: {report.references} references, {len(report.failures)} failed", fontsize=12)
    figure.supxlabel(report.signature, fontsize=6, color="#777777")
    with whole_file(target) as beside:
        figure.savefig(beside, dpi=120, format="png")


def _bars(axis: Any, name: str, lines: list[Line]) -> None:
    """Horizontal bars, each score against the larger of its own two: they have different units."""
    axis.set_title(name, fontsize=10, loc="left")
    for row, line in enumerate(lines):
        both = [score for score in (line.prediction, line.reference) if score is not None]
        top = max(max(abs(score.mean) for score in both), 1e-12)
        shares = all(not score.unit and 0 <= score.mean <= 1 for score in both)
        scale = 1.0 if shares else top
        for offset, score, colour in ((-0.2, line.prediction, _PREDICTION), (0.2, line.reference, _REFERENCE)):
            if score is None:
                continue
            axis.barh(row + offset, score.mean / scale, 0.38, color=colour, xerr=(score.ci95 or 0) / scale)
            axis.text(
                max(score.mean / scale, 0) + 0.02, row + offset, str(score), va="center", fontsize=6, color="#333333"
            )
    axis.set_yticks(range(len(lines)), [line.name for line in lines], fontsize=7)
    axis.invert_yaxis()
    axis.set_xlim(min(0, axis.get_xlim()[0]), max(1.25, axis.get_xlim()[1]))
    axis.set_xticks([])
    for side in ("top", "right", "bottom"):
        axis.spines[side].set_visible(False)


def _embeddings(axis: Any, report: Report) -> None:
    """The two directions in which the references' embeddings spread most (PCA), with the predictions in them."""
    there = [values for values in report.embeddings.values() if len(values)]
    real, made = (report.embeddings.get(name, there[0][:0]) for name in ("reference", "prediction"))
    basis = real if len(real) > 2 else np.concatenate(there)
    middle = basis.mean(axis=0)
    _, _, directions = np.linalg.svd(basis - middle, full_matrices=True)
    for values, colour, name in ((real, _REFERENCE, "real"), (made, _PREDICTION, "predicted")):
        if len(values):
            x, y = ((values - middle) @ directions[:2].T).T
            axis.scatter(x, y, s=6, alpha=0.5, color=colour, label=name, linewidths=0)
    which = "the real ones" if basis is real else "all"
    axis.set_title(f"embeddings (PCA of {which})", fontsize=10, loc="left")
    axis.legend(fontsize=7, frameon=False)
    axis.set_xticks([])
    axis.set_yticks([])
