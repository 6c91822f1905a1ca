"""How long the full protocol takes on 2,000 pairs, motions given, and whether the evaluator finds real pairs."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from benchmarks.table import Row
from tdmm.corpus.build import CorpusJob, generate_corpus
from tdmm.corpus.plan import Settings
from tdmm.engine import in_processes, usable_cores
from tdmm.evaluate.evaluator.examples import read_examples
from tdmm.evaluate.evaluator.sanity import SEVERITIES, damage_curves, real_pairs
from tdmm.evaluate.evaluator.store import ASSET, load_evaluator
from tdmm.evaluate.inputs import motion_predictions, read_references
from tdmm.evaluate.tasks.animate import evaluate_animate

PAIRS = 2000
# Hours of another seed than that of training, and of which the splits that training never sees are taken.
HOURS, SEED = 60.0, 7
SPLITS = ("test", "test-composition", "test-phrasing", "test-free")


def run() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        engine = in_processes(usable_cores())
        job = CorpusJob(Path(folder) / "pairs", Settings(seed=SEED + 1), motions_only=True)
        generate_corpus(job, clips=PAIRS, engine=engine)
        references, predictions = read_references(job.folder), motion_predictions(job.folder)
        evaluator = load_evaluator()
        started = time.perf_counter()
        report = evaluate_animate(references, predictions, evaluator, engine=engine)
        passed = time.perf_counter() - started
        rows = [
            Row(
                f"evaluate animate, {PAIRS:,} pairs, {usable_cores()} cores",
                passed,
                "s",
                must=60,
                higher_is_better=False,
                note=f"20 repetitions, {len(report.lines)} scores; the motions are read from shards",
            )
        ]
        held_out = CorpusJob(Path(folder) / "held-out", Settings(seed=SEED), motions_only=True)
        generate_corpus(held_out, hours=HOURS, engine=engine)
        examples = read_examples([held_out.folder], SPLITS)
        for split in SPLITS:
            part = examples.of(split)
            found = real_pairs(evaluator, part)["r_precision_top1"]
            must = 0.75 if split == "test" else None
            rows.append(
                Row(
                    f"evaluator, R-Precision top-1 of real pairs, {split}",
                    found.mean,
                    "",
                    must=must,
                    note=f"{len(part)} clips",
                )
            )
        for curve in damage_curves(evaluator, examples.of("test")):
            levels = ", ".join(f"{value:.2f}" for value in curve.mm_dist)
            rows.append(
                Row(
                    f"evaluator, MM-Dist grows with {curve.damage}",
                    float(curve.monotone),
                    "",
                    must=1,
                    note=f"{levels} at severity {', '.join(f'{one:g}' for one in SEVERITIES)}; {curve.clips} clips",
                )
            )
        size = sum(path.stat().st_size for path in ASSET.iterdir() if path.suffix != ".md") / 1e6
        rows.append(Row("size of the evaluator", size, "MB", must=4.0, higher_is_better=False))
    return rows
