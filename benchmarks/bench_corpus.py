"""Corpora: how fast they are made, how various their texts are, how even their cells, what their motions show."""

from __future__ import annotations

import re
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from benchmarks.table import Row
from tdmm.corpus.build import CorpusJob, generate_corpus
from tdmm.corpus.lines import perform_clip
from tdmm.corpus.motions import to_motion
from tdmm.corpus.plan import Settings, plan_clip
from tdmm.corpus.report import summarise
from tdmm.engine import in_processes, run_over, usable_cores
from tdmm.evaluate.events.measure import misses
from tdmm.io.manifest import read_manifest

MOTION_HOURS = 8.0
PAPER_HOURS = 80.0
RENDERED = 40
TEXTS = 100_000
CHUNK = 1000
SHOWN = 10_000
# Slips of fingers are no words: a word has to come back.
LEAST_TIMES = 3


def run() -> list[Row]:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        rows += _speed(Path(folder))
    texts = _over_chunks(_texts_of, TEXTS)
    rows += _variety([text for part in texts for text, _ in part])
    rows.append(_shown())
    return rows


def _speed(folder: Path) -> list[Row]:
    engine = in_processes(usable_cores())
    started = time.perf_counter()
    job = CorpusJob(folder / "motions", motions_only=True)
    made = generate_corpus(job, hours=MOTION_HOURS, engine=engine)
    passed = time.perf_counter() - started
    size = sum(path.stat().st_size for path in job.folder.rglob("*") if path.is_file())
    evenness = summarise([clip.line for clip in read_manifest(job.manifest)]).evenness
    rows = [
        Row(
            f"--motions-only, {usable_cores()} cores, times real time",
            made.hours * 3600 / passed,
            "x",
            must=500,
            aim=2000,
            note=f"{made.clips} clips, {made.hours:.1f} hours in {passed:.1f} s, the start of processes included",
        ),
        Row(
            f"size of {PAPER_HOURS:.0f} hours of motions with their texts",
            size / made.hours * PAPER_HOURS / 1e9,
            "GB",
            must=2.0,
            higher_is_better=False,
            note=f"from {MOTION_HOURS:.0f} hours",
        ),
        Row(
            "evenness: worst coefficient of variation over the categories of a slot",
            max(evenness.values()),
            "",
            must=0.1,
            higher_is_better=False,
            note=", ".join(f"{slot} {value:.3f}" for slot, value in evenness.items()),
        ),
    ]
    started = time.perf_counter()
    made = generate_corpus(CorpusJob(folder / "videos"), clips=RENDERED, engine=engine)
    passed = time.perf_counter() - started
    rows.append(
        Row(
            f"rendered clips 256 x 256, {usable_cores()} cores, times real time",
            made.hours * 3600 / passed,
            "x",
            must=2,
            aim=6,
            note=f"{made.clips} clips, {made.hours * 3600:.0f} s of video in {passed:.1f} s, start included",
        )
    )
    return rows


def _over_chunks(work: object, count: int) -> list[object]:
    chunks = [range(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)]
    outcome = run_over(chunks, work, engine=in_processes(usable_cores()))  # type: ignore[type-var, arg-type]
    return outcome.results


def _texts_of(numbers: Sequence[int]) -> list[tuple[str, str]]:
    """The text and the split of each clip."""
    found = []
    for number in numbers:
        fields = perform_clip(plan_clip(number, Settings()))[1]
        found.append((fields["text"], fields["split"]))
    return found


def _variety(texts: list[str]) -> list[Row]:
    import snowballstemmer

    words = Counter(word for text in texts for word in re.findall(r"[a-z]+(?:'[a-z]+)?", text.lower()))
    frequent = [word for word, times in words.items() if times >= LEAST_TIMES]
    stems = set(snowballstemmer.stemmer("english").stemWords(frequent))
    return [
        Row(
            f"distinct texts in {len(texts):,} clips",
            100 * len(set(texts)) / len(texts),
            "%",
            must=99.0,
            note="the primary text of each; the seed's own order",
        ),
        Row(
            "distinct words (stems, which are fewer than lemmas) in them",
            len(stems),
            "",
            must=1500,
            aim=3000,
            note=f"of {len(frequent)} forms that come at least {LEAST_TIMES} times",
        ),
    ]


def _shown() -> Row:
    shares = _over_chunks(_misses_of, SHOWN)
    missed = Counter(name for part in shares for clip in part for name in clip)  # type: ignore[attr-defined]
    whole = sum(not clip for part in shares for clip in part)  # type: ignore[attr-defined]
    return Row(
        "random programs whose measured motion shows every stated event",
        100 * whole / SHOWN,
        "%",
        must=99.0,
        note=f"{SHOWN:,} clips; missed most: " + ", ".join(f"{name} {times}" for name, times in missed.most_common(4)),
    )


def _misses_of(numbers: Sequence[int]) -> list[list[str]]:
    """For each clip the events that the measuring program does not find."""
    found = []
    for number in numbers:
        performance, fields = perform_clip(plan_clip(number, Settings(seed=1)))
        found.append([event["id"] for event in misses(to_motion(performance), fields["events"])])
    return found
