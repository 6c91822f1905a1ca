"""How a training went, as a picture (matplotlib, where it is installed)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tdmm.io.whole import whole_file

REGIONS = ("face", "lips", "eyelids")


def write_curves(history: Sequence[dict[str, Any]], path: str | Path) -> bool:
    """Draw the lines of metrics.jsonl: the loss, on val the errors of vertices by region and what is lost of curves,
    and the use of codebooks.

    Whether there is a picture: False without matplotlib, or with nothing to draw.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    if not history:
        return False
    steps = [line["step"] for line in history]
    figure = Figure(figsize=(16, 3.6), layout="constrained")
    loss, errors, lost, use = figure.subplots(1, 4)
    loss.plot(steps, [line["loss"] for line in history], color="black")
    loss.set(title="Loss, training", yscale="log")
    for name in REGIONS:
        if all(name in line["val"] for line in history):
            errors.plot(steps, [line["val"][name] for line in history], label=name)
    errors.set(title="Vertex error on val, mm")
    if all("curves" in line["val"] for line in history):
        lost.plot(steps, [100 * line["val"]["curves"] for line in history], color="black")
    lost.set(title="Variance of curves lost on val, %")
    for axes in (errors, lost):
        if axes.lines:
            axes.set_ylim(bottom=0)
        else:
            axes.text(0.5, 0.5, "no val split", ha="center", va="center", transform=axes.transAxes)
    if errors.lines:
        errors.legend(frameon=False)
    for number in range(len(history[0]["use"])):
        use.plot(steps, [100 * line["use"][number] for line in history], label=f"column {number}")
    use.set(title="Codes used, %", ylim=(0, 103))
    use.legend(frameon=False, fontsize="small", ncols=2)
    for axes in (loss, errors, lost, use):
        axes.set_xlabel("step")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.2)
    with whole_file(path) as beside:
        figure.savefig(beside, dpi=110)
    return True
