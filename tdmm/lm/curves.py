"""How the training of a language model went, as a picture (matplotlib, where it is installed)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tdmm.io.whole import whole_file


def write_curves(history: Sequence[dict[str, Any]], path: str | Path) -> bool:
    """Draw the lines of metrics.jsonl: the loss, on val that of each task, and tokens a second.

    Whether there is a picture: False without matplotlib, or with nothing to draw.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    if not history:
        return False
    steps = [line["step"] for line in history]
    figure = Figure(figsize=(13, 3.8), layout="constrained")
    loss, val, speed = figure.subplots(1, 3)
    loss.plot(steps, [line["loss"] for line in history], color="black")
    loss.set(title="Loss, training")
    for name in history[0]["val"]:
        if name != "total":
            val.plot(steps, [line["val"][name] for line in history], label=name)
    val.set(title="Loss of a token on val, nats")
    if val.lines:
        val.legend(frameon=False, fontsize="small", ncols=2)
    else:
        val.text(0.5, 0.5, "no val split", ha="center", va="center", transform=val.transAxes)
    speed.plot(steps, [line["tokens_per_second"] / 1000 for line in history], color="black")
    speed.set(title="Thousand tokens a second")
    speed.set_ylim(bottom=0)
    for axes in (loss, val, speed):
        axes.set_xlabel("step")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.2)
    with whole_file(path) as beside:
        figure.savefig(beside, dpi=110)
    return True
