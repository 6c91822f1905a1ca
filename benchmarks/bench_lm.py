"""How well the language model writes motions of texts that it has not learned from. bench_lm_texts: how it reads them.

The sets are those of language_sets: three splits of a corpus of a seed of its own, and free prompts. Motions are
written as `tdmm animate --drafts 1` writes them, and scored by what `tdmm evaluate` scores by.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from benchmarks.language_sets import COMPOSITION, PHRASING, SEED, TEST, free, held_out
from benchmarks.table import Row
from tdmm.engine import LoadedOnce, in_processes, run_over, usable_cores
from tdmm.errors import LmError
from tdmm.evaluate.distribution import fid
from tdmm.evaluate.evaluator.store import load_evaluator
from tdmm.evaluate.events.accuracy import EventScores, Share, summarise_events
from tdmm.evaluate.inputs import Reference
from tdmm.evaluate.retrieval import retrieval
from tdmm.evaluate.tasks.animate import failed_clip, measure_events
from tdmm.io.motion_file import read_motion
from tdmm.lm.animate import Animator
from tdmm.lm.model_folder import ASSET, CONFIG
from tdmm.motion import FaceMotion

# Clips of a split that are written and read: the first ones.
CLIPS = 300
AT_ONCE = 32
HALVES = 10
FREE = "free prompts"
MOST_COUNT = 4
# F1 of events, must and aim.
EVENTS = {TEST: (0.93, 0.98), COMPOSITION: (0.88, 0.95), PHRASING: (0.80, 0.92), FREE: (0.75, 0.90)}

References = Mapping[str, Reference]
Some = TypeVar("Some")
Found = TypeVar("Found")


def run(corpus: Path | None = None, prompts: Path | None = None) -> list[Row]:
    """corpus, prompts: where the sets are kept, None: in folders of their own."""
    if not (ASSET / CONFIG).is_file():
        return [Row("language model", None, "", note="tdmm/assets/lm is not there")]
    whole = held_out(corpus)
    test, sets = whole[TEST], {**whole, FREE: free(prompts)}
    sets = {name: first_of(some) for name, some in sets.items()}
    written = {name: animated(some) for name, some in sets.items()}
    scores = {name: events_of(sets[name], some) for name, some in written.items()}
    real = events_of(sets[TEST], _motions(sets[TEST]))
    rows = of_the_evaluator(test, sets[TEST], written[TEST])
    rows += of_events(sets, scores, real)
    count = sum(map(len, sets.values()))
    parsed = 100 * sum(map(len, written.values())) / count
    return [
        *rows,
        Row("motions that parse", parsed, "%", 100, None, note=f"{count} that were written"),
    ]


def first_of(references: References) -> References:
    return dict(islice(references.items(), CLIPS))


def _motions(references: References) -> dict[str, FaceMotion]:
    return {name: read_motion(str(one.motion)) for name, one in references.items()}


def over(items: Sequence[Some], work: Callable[[Sequence[Some]], Sequence[Found]]) -> list[Found]:
    """What comes of items that are worked on by some at once, in one process a core."""
    parts = [items[start : start + AT_ONCE] for start in range(0, len(items), AT_ONCE)]
    outcome = run_over(parts, work, engine=in_processes(usable_cores()))
    if outcome.failures:
        raise outcome.failures[0].error
    return [found for part in outcome.results for found in part]


# -- text to motion ----------------------------------------------------------------------------------------


def animated(references: References, drafts: int = 1) -> dict[str, FaceMotion]:
    """The motions of the texts, but those that do not parse. Of several drafts the one that reads as the text."""
    work = LoadedOnce(_animator, partial(_animate, drafts=drafts))
    found = over([one.text for one in references.values()], work)
    return {name: motion for name, motion in zip(references, found, strict=True) if motion is not None}


def _animator() -> Animator:
    torch.set_num_threads(1)
    return Animator()


def _animate(animator: Animator, texts: Sequence[str], drafts: int) -> list[FaceMotion | None]:
    try:
        return [one.motion for (one,) in animator.animate(texts, best_of=drafts)]
    except LmError:
        return [None] if len(texts) == 1 else [one for text in texts for one in _animate(animator, [text], drafts)]


def drawn() -> str:
    """How motions are drawn: as the model likes it."""
    sampling = Animator().sampling
    return f"temperature {sampling.temperature:g}, top-p {sampling.top_p:g}, guidance {sampling.guidance:g}, one draft"


def of_the_evaluator(test: References, asked: References, written: Mapping[str, FaceMotion]) -> list[Row]:
    """Whether the texts find the motions, and how these are spread. asked: the part of the test set that was."""
    evaluator = load_evaluator()
    everything = evaluator.embed_motions(list(_motions(test).values()))
    real = dict(zip(test, everything, strict=True))
    made = evaluator.embed_motions(list(written.values()))
    texts = evaluator.embed_texts([asked[name].text for name in written])
    true = np.stack([real[name] for name in written])
    top, best = (retrieval(texts, one, seed=SEED)["r_precision_top1"].mean for one in (made, true))
    random = np.random.default_rng(SEED)
    # As many as were written: the fewer there are, the farther apart any two sets seem.
    size = min(len(made), len(test) // 2)
    between = [fid(*np.split(everything[random.permutation(len(test))[: 2 * size]], 2)) for _ in range(HALVES)]
    apart, usual = fid(true, made), float(np.mean(between))
    told = f"FID {apart:.2f} of {len(made)} clips; of {size} real ones and {size} others {usual:.2f}, mean of {HALVES}"
    note = f"{top:.3f}, of real motions {best:.3f}; pool 32, {len(made)} clips of {TEST}, seed {SEED}; {drawn()}"
    return [
        Row("L2M R-Precision top-1 over that of real motions", top / best, "", 0.90, 1.0, note=note),
        Row("L2M FID over FID of two halves of the real set", apart / usual, "", 10, 3, False, told),
    ]


def events_of(references: References, motions: Mapping[str, FaceMotion]) -> EventScores:
    """What motions show of what was said; one that is not there shows nothing."""
    events = {name: list(one.line.get("events") or ()) for name, one in references.items()}
    clips = over([(name, motion, events[name]) for name, motion in motions.items()], measure_events)
    clips += [failed_clip(name, events[name]) for name in references if name not in motions]
    return summarise_events(clips)


def of_events(sets: Mapping[str, References], scores: Mapping[str, EventScores], real: EventScores) -> list[Row]:
    """Events, their order, side and count."""
    rows = []
    for name, (must, aim) in EVENTS.items():
        overall = scores[name].overall
        note = f"recall {overall.recall:.3f}, precision {overall.precision:.3f}; {len(scores[name].clips)} clips"
        note += f"; real motions {real.overall.f1:.3f}" if name == TEST else ""
        rows.append(Row(f"L2M event F1, {name}", overall.f1, "", must, aim, note=note))
    for what, share, must, aim in (
        ("order of two or three events right", lambda _, some: in_order(some), 95, 99),
        ("left/right right", lambda _, some: some.side, 97, 99.5),
        (f"counts (1-{MOST_COUNT}) right", lambda name, some: counted(sets[name], some), 92, 98),
    ):
        found = {name: share(name, some) for name, some in scores.items()}
        others = ", ".join(f"{name} {100 * one.value:.1f}" for name, one in found.items() if name != TEST)
        note = f"{found[TEST].of} on {TEST}, where real motions have {100 * share(TEST, real).value:.1f}; {others}"
        rows.append(Row(f"L2M {what}", 100 * found[TEST].value, "%", must, aim, note=note))
    return rows


def in_order(scores: EventScores) -> Share:
    """Of the clips in which two or three events are said, those whose order is right wherever one is said."""
    clips = [clip.order for clip in scores.clips if len(clip.events) in (2, 3) and clip.order]
    return Share(sum(map(all, clips)), len(clips))


def counted(references: References, scores: EventScores) -> Share:
    """Of the events that are shown, and said one to four times, those that are shown as often as is said."""
    found = []
    for clip in scores.clips:
        said = [event for event in references[clip.id].line.get("events") or () if not event.get("absent")]
        for event, result in zip(said, clip.events, strict=True):
            if result.count is not None and event["count"] <= MOST_COUNT:
                found.append(result.count)
    return Share(sum(found), len(found))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench_lm", description=__doc__)
    for option, what in (("--corpus", "held-out corpus"), ("--prompts", "free prompts")):
        parser.add_argument(option, type=Path, metavar="FOLDER", help=f"where the {what} are kept")
    for row in run(**vars(parser.parse_args())):
        print(row)
