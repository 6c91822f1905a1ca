"""How often motions show what is counted as often as the prompt says, written as `tdmm animate` writes them: of some
drafts the one that the model itself reads as the prompt. bench_lm tells it for one draft.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.bench_lm import CLIPS, MOST_COUNT, animated, counted, events_of, first_of
from benchmarks.language_sets import TEST, held_out
from benchmarks.table import Row
from tdmm.cli.animate import DRAFTS
from tdmm.corpus.lexicon import behaviours
from tdmm.evaluate.inputs import Reference
from tdmm.lm.model_folder import ASSET, CONFIG


def run(corpus: Path | None = None) -> list[Row]:
    """corpus: where the held-out set is kept, None: in a folder of its own."""
    if not (ASSET / CONFIG).is_file():
        return [Row("language model", None, "", note="tdmm/assets/lm is not there")]
    test = {name: one for name, one in first_of(held_out(corpus)[TEST]).items() if counts(one)}
    scores = events_of(test, animated(test, DRAFTS))
    share = counted(test, scores)
    note = f"{share.of} events of {len(test)} of the first {CLIPS} clips of {TEST}; {DRAFTS} drafts; "
    note += f"event F1 of these {scores.overall.f1:.3f}"
    name = f"L2M counts (1-{MOST_COUNT}) right, as tdmm animate writes"
    return [Row(name, 100 * share.value, "%", 92, 98, note=note)]


def counts(one: Reference) -> bool:
    """Whether the text says something that can be counted."""
    events = [event for event in one.line.get("events") or () if not event.get("absent")]
    return any(behaviours()[event["id"]].repeats for event in events)
