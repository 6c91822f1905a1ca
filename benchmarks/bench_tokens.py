"""The codec of `tdmm tokenize`: what is lost on motions of another seed and on fits of real clips, speed, and size.

The held-out motions are the split test, of programs that no training sees, of a corpus of a seed of its own. The real
clips are those of bench_clips.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bench_clips import CLIPS
from benchmarks.table import Row
from tdmm.corpus.build import CorpusJob, generate_corpus
from tdmm.corpus.plan import Settings
from tdmm.engine import in_processes, usable_cores
from tdmm.evaluate.distribution import fid
from tdmm.evaluate.evaluator.store import load_evaluator
from tdmm.evaluate.events.accuracy import score_events
from tdmm.evaluate.inputs import Reference, load_motions, read_references
from tdmm.evaluate.reconstruction import score_reconstruction
from tdmm.fit import fit_video
from tdmm.fit.detect import open_detector
from tdmm.motion import FaceMotion, concatenate
from tdmm.vq.codec import ASSET, FILES, Codec, load_codec

# A seed that no training used. One clip in thirty is of the split test: some 2 hours, 1,300 clips.
HOURS, SEED, SPLIT = 70.0, 20241, "test"
HALVES = 10
REPEATS = 7
SECONDS = 60.0
MEGABYTES = 4.0

# Must and aim, mm, mm, mm.
MADE = {"face": (0.30, 0.15), "lips": (0.45, 0.25), "eyelids": (0.45, 0.25)}


def run() -> list[Row]:
    if not all((ASSET / name).is_file() for name in FILES):
        return [Row("codec", None, "", note="tdmm/assets/vq is not there")]
    codec = load_codec()
    with tempfile.TemporaryDirectory() as folder:
        job = CorpusJob(Path(folder) / "held-out", Settings(seed=SEED), motions_only=True)
        generate_corpus(job, hours=HOURS, engine=in_processes(usable_cores()))
        references = read_references(job.folder, [SPLIT])
        motions, _ = load_motions({name: one.motion for name, one in references.items()}, "motion")
    decoded = dict(zip(motions, there_and_back(codec, list(motions.values())), strict=True))
    rows = of_made_motions(codec, motions, decoded)
    rows += of_the_evaluator(references, motions, decoded)
    rows += of_fits(codec)
    rows += of_speed(codec, list(motions.values()))
    return rows + of_facts(codec)


def there_and_back(codec: Codec, motions: Sequence[FaceMotion], batch: int = 64) -> list[FaceMotion]:
    found: list[FaceMotion] = []
    for start in range(0, len(motions), batch):
        found += codec.decode_many(codec.encode_many(motions[start : start + batch]))
    return found


def of_made_motions(codec: Codec, motions: Mapping[str, FaceMotion], decoded: Mapping[str, FaceMotion]) -> list[Row]:
    """Vertices, head and blinks of held-out motions."""
    scores = score_reconstruction(motions.values(), decoded.values(), codec.model, ids=list(motions))
    hours = scores.frames / codec.config.fps / 3600
    note = f"{len(motions)} clips of the split {SPLIT}, {hours:.1f} hours, seed {SEED}"
    rows = []
    for region, (must, aim) in MADE.items():
        errors = scores.in_head[region]
        told = f"mean; 95th percentile {errors.p95:.2f}" + (f"; {note}" if region == "face" else "")
        rows.append(Row(f"made motions, {region}", errors.mean, "mm", must, aim, False, told))
    blinks = f"{scores.blinks} blinks; precision {100 * scores.blink_precision:.1f} %, depth {scores.blink_depth:+.3f}"
    least, median = correlations(list(motions.values()), list(decoded.values()))
    rows += [
        Row("made motions, curves, least correlation", least[1], "", note=f"{least[0]}; median of all {median:.4f}"),
        Row("made motions, head rotation", scores.rotation_degrees, "degrees", 0.5, 0.25, False),
        Row("made motions, head translation", scores.translation_mm, "mm", higher_is_better=False),
        Row("made motions, blinks kept", 100 * scores.blinks_kept, "%", 97, 99.5, note=blinks),
        Row("made motions, velocity error", scores.velocity_mm, "mm/frame", higher_is_better=False),
        Row("made motions, lips that should be closed", scores.lip_closure_mm, "mm", higher_is_better=False),
    ]
    return rows


def correlations(truths: Sequence[FaceMotion], guesses: Sequence[FaceMotion]) -> tuple[tuple[str, float], float]:
    """The expression whose curve over all frames comes back worst, its correlation, and the median of all."""
    true, found = (np.concatenate([one.expression for one in many]).astype(np.float64) for many in (truths, guesses))
    true, found = (one - one.mean(0) for one in (true, found))
    sizes = np.linalg.norm(true, axis=0) * np.linalg.norm(found, axis=0)
    alike = (true * found).sum(0) / np.maximum(sizes, 1e-12)
    worst = int(alike.argmin())
    return (truths[0].expression_names[worst], float(alike[worst])), float(np.median(alike))


def of_the_evaluator(
    references: Mapping[str, Reference], motions: Mapping[str, FaceMotion], decoded: Mapping[str, FaceMotion]
) -> list[Row]:
    """How far the set moves in the evaluator's space, and which events are still seen."""
    evaluator = load_evaluator()
    real, coded = (evaluator.embed_motions(list(one.values())) for one in (motions, decoded))
    random = np.random.default_rng(SEED)
    between = []
    for _ in range(HALVES):
        mixed = random.permutation(len(real))
        first, second = np.array_split(mixed, 2)
        between.append(fid(real[first], real[second]))
    lost, usual = fid(real, coded), float(np.mean(between))
    note = f"FID of reconstructions {lost:.3f}, of halves {usual:.3f} (mean of {HALVES}); {len(real)} clips"
    rows = [Row("made motions, FID of reconstructions over FID of two halves", lost / usual, "", 3.0, 1.2, False, note)]
    events = {name: one.line["events"] for name, one in references.items() if one.line.get("events")}
    for what, whose in (("real motions", motions), ("reconstructions", decoded)):
        overall = score_events((whose[name] for name in events), events.values(), list(events)).overall
        told = f"recall {overall.recall:.3f}, precision {overall.precision:.3f}; {len(events)} clips"
        rows.append(Row(f"events seen in {what}, F1", overall.f1, "", note=told))
    return rows


def of_fits(codec: Codec) -> list[Row]:
    """Motions that were not made but fitted, which keep many expressions away from rest."""
    clips = sorted(CLIPS.glob("*.mp4"))
    if not clips:
        return [Row("fits of real clips, face", None, "mm", note=f"no clips in {CLIPS}")]
    detector = open_detector()
    fits = [fit_video(clip, detector=detector).resample(codec.config.fps) for clip in clips]
    scores = score_reconstruction(fits, there_and_back(codec, fits), codec.model, ids=[clip.stem for clip in clips])
    each = ", ".join(f"{clip.id} {clip.in_head['face'].mean:.2f}" for clip in scores.clips)
    rows = []
    for region in MADE:
        errors = scores.in_head[region]
        must, aim = (0.60, 0.35) if region == "face" else (None, None)
        told = f"mean; 95th percentile {errors.p95:.2f}" + (f"; {each}" if region == "face" else "")
        rows.append(Row(f"fits of real clips, {region}", errors.mean, "mm", must, aim, False, told))
    note = f"{scores.blinks} blinks"
    rows.append(Row("fits of real clips, head rotation", scores.rotation_degrees, "degrees", higher_is_better=False))
    rows.append(Row("fits of real clips, blinks kept", 100 * scores.blinks_kept, "%", note=note))
    return rows


def of_speed(codec: Codec, motions: Sequence[FaceMotion]) -> list[Row]:
    """Times real time in a process that runs: one motion of a minute, and many short ones."""
    frames = round(SECONDS * codec.config.fps)
    several, count = [], 0
    while count < frames:
        several.append(motions[len(several)])
        count += len(several[-1])
    one = concatenate(several)[:frames]
    alone = times_real_time(lambda: codec.decode(codec.encode(one)), [one])
    some = motions[:256]
    together = times_real_time(lambda: there_and_back(codec, some), some)
    what = f"{codec.device}, {usable_cores()} cores, median of {REPEATS}"
    return [
        Row("encode and decode, times real time", alone, "x", 300, 2000, note=f"one motion of {SECONDS:g} s; {what}"),
        Row("encode and decode many, times real time", together, "x", note=f"{len(some)} clips in batches; {what}"),
    ]


def times_real_time(work: Callable[[], object], motions: Sequence[FaceMotion]) -> float:
    """Seconds of motion in a second of work, the median of some runs after a first one that does not count."""
    work()
    passed = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        work()
        passed.append(time.perf_counter() - started)
    return sum(motion.duration for motion in motions) / statistics.median(passed)


def of_facts(codec: Codec) -> list[Row]:
    """What the codec tells of its training, its rate and its size."""
    trained = codec.facts["trained"]
    use = ", ".join(f"{100 * share:.1f}" for share in trained["use"])
    perplexity = ", ".join(f"{value:.0f}" for value in trained["perplexity"])
    tokens = codec.config
    bits = float(np.log2(tokens.sizes).sum()) * tokens.fps / tokens.stride
    size = sum((ASSET / name).stat().st_size for name in FILES) / 1e6
    note = f"by column {use}; perplexity {perplexity} of {tokens.sizes[0]}"
    hours = trained["frames"] / tokens.fps / 3600
    phases = list(_phases(trained))
    learnt = f"{trained['motions']:,} motions, {hours:.0f} hours; as the codec tells: " + " before that ".join(
        f"{one['seconds'] / 60:.1f} min on {one.get('device', 'cuda')}" for one in phases
    )
    return [
        Row("codes used in the last epoch, least column", 100 * min(trained["use"]), "%", 90, 99, note=note),
        Row("training", sum(one["seconds"] for one in phases) / 60, "minutes", 20, 8, False, learnt),
        Row("tokens a second", tokens.tokens_per_second, "", note=f"{bits:g} bits a second"),
        Row("size of the codec", size, "MB", MEGABYTES, None, False),
    ]


def _phases(trained: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """A training, and those that it went on from."""
    yield trained
    if "before" in trained:
        yield from _phases(trained["before"])


if __name__ == "__main__":
    for row in run():
        print(row)
