"""Make a corpus: many clips, each whole or not at all, each with a line in the manifest once its files are there."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tdmm import __version__
from tdmm.corpus.generators.base import VideoGenerator
from tdmm.corpus.generators.diffusers_pipeline import DiffusersGenerator
from tdmm.corpus.lexicon import find
from tdmm.corpus.lines import ask_for_clip, perform_clip
from tdmm.corpus.looks import LookRandoms
from tdmm.corpus.motions import to_motion
from tdmm.corpus.plan import PlannedClip, Settings, clip_id, plan_clip
from tdmm.corpus.splits import part_of_one
from tdmm.engine import Engine, Event, LoadedOnce, in_sequence, own_gpu, run_over
from tdmm.errors import CorpusError, OutputError, TdmmError
from tdmm.io.manifest import VIDEO_FIELD, append_to_manifest, find_manifest, mend_manifest, read_manifest
from tdmm.io.motion_file import write_motion
from tdmm.io.motion_shards import write_shard
from tdmm.io.shard_names import SUFFIX
from tdmm.io.whole import whole_file
from tdmm.motion import FaceMotion

MANIFEST, VIDEO_FOLDER_MANIFEST, SETTINGS = "manifest.jsonl", "metadata.jsonl", "corpus.json"
VIDEOS, MOTIONS, FAILED = "videos", "motions", "failed.jsonl"
# Motions of a shard: a run that is killed loses those that were under way.
SHARD_CLIPS = 250
# Seconds of the mean clip of the suite and the bank: a first guess at how many make an hour.
MEAN_SECONDS = 5.6
# As long as fewer clips are known than this, their mean says little: a part of those that should be missing is made.
FEW_CLIPS, SAFE_PART = 100, 0.9
LICENCE = "CC0-1.0"


@dataclass(frozen=True)
class Generators:
    """Who makes the clips: `weights` of the procedural generator (first) and of each of `video`."""

    video: tuple[VideoGenerator, ...] = ()
    weights: tuple[float, ...] = (1.0,)

    def of(self, number: int, seed: int) -> int:
        """Who makes clip `number`: 0 the procedural one, n the n-th of `video`."""
        draw = part_of_one("generator", seed, number) * sum(self.weights)
        for which, weight in enumerate(self.weights):
            if draw < weight:
                return which
            draw -= weight
        return max(which for which, weight in enumerate(self.weights) if weight)


@dataclass(frozen=True)
class CorpusJob:
    """What is to be made where.

    size: (H, W) pixels of rendered clips. motions_only: no pictures, motions in compact shards. video_folder: the
    manifest is the metadata.jsonl of a Hugging Face VideoFolder. strict: a fault in tdmm ends the run, instead of
    failing its clip.
    """

    folder: Path
    settings: Settings = field(default_factory=Settings)
    generators: Generators = field(default_factory=Generators)
    size: tuple[int, int] = (256, 256)
    motions_only: bool = False
    video_folder: bool = False
    strict: bool = False

    @property
    def manifest(self) -> Path:
        return self.folder / (VIDEO_FOLDER_MANIFEST if self.video_folder else MANIFEST)


@dataclass
class Made:
    """What came of a run. hours: of all clips of this seed that the corpus holds now."""

    clips: int = 0
    there_before: int = 0
    hours: float = 0.0
    failures: list[tuple[str, str]] = field(default_factory=list)


Progress = Callable[[int, int], None]  # clips done, clips in all (as far as known)


def generate_corpus(
    job: CorpusJob,
    *,
    clips: int | None = None,
    hours: float | None = None,
    engine: Engine = in_sequence,
    video_engine: Engine = in_sequence,
    progress: Progress | None = None,
    on_failure: Callable[[str, str], None] | None = None,
) -> Made:
    """Make what is missing of the first `clips` clips, or of so many that they last `hours`.

    engine: makes rendered clips and motions; video_engine: those of other generators.
    A clip that fails is told (`on_failure`) and listed, and the others go on. What was made before stays: the same job
    with more clips adds the rest. Raises `CorpusError` if the folder holds a corpus of other settings.
    """
    if (clips is None) == (hours is None):
        raise CorpusError("expected a number of clips or of hours")
    _check(job)
    job.folder.mkdir(parents=True, exist_ok=True)
    known = _seconds_made(job)
    _remember(job, compare=bool(known))
    made = Made(there_before=len(known))
    failed: set[int] = set()
    count = clips if clips is not None else 0
    try:
        while True:
            if hours is not None:
                # As many more as should be missing, by the mean of those that there are.
                missing = hours * 3600 - sum(known.values())
                if missing <= 0 or (failed and len(failed) > 10 + len(known)):
                    break
                count = max(count, len(known) + len(failed)) + _clips_of(missing, known)
            todo = [n for n in range(count) if clip_id(n, job.settings.seed) not in known and n not in failed]
            if not todo:
                break
            _run(job, todo, known, failed, made, engine, video_engine, progress, on_failure)
            if hours is None:
                break
    finally:
        list_failures(job.folder, made.failures)
    made.hours = sum(known.values()) / 3600
    return made


def _clips_of(missing: float, known: dict[str, float]) -> int:
    """How many clips to make next where so many seconds are missing."""
    mean = sum(known.values()) / len(known) if known else 0.0
    count = missing / (mean or MEAN_SECONDS)
    return math.ceil(count * SAFE_PART if len(known) < FEW_CLIPS < count else count)


def _check(job: CorpusJob) -> None:
    if job.generators.weights[0] > 0:
        for number, given in enumerate(job.settings.given, start=1):
            if given.program is None:
                if re.fullmatch("[a-z_]+", given.text):
                    find(given.text)  # a single word is rather a misspelt name: it says what comes near
                raise CorpusError(
                    f"prompt {number}, {given.text[:50]!r}, is free text: the procedural generator plays programs, as "
                    "'smile > nod*2'; write PROGRAM | TEXT, or choose another --generator"
                )
    if job.motions_only and any(job.generators.weights[1:]):
        raise CorpusError("only the procedural generator makes motions without videos")
    if job.video_folder and job.motions_only:
        raise CorpusError("a VideoFolder is made of videos: leave out --motions-only")
    present = find_manifest(job.folder)
    if present is not None and present != job.manifest:
        raise CorpusError(f"{present}: the corpus is kept in another layout; choose that, or another folder")


def _remember(job: CorpusJob, *, compare: bool) -> None:
    """Write down the settings, or compare them: clips of one seed are made by one set of settings.

    compare: there are clips of this seed. The settings of a run that made none bind nobody.
    """
    settings = job.settings
    mine = {
        "slots": {slot: list(values) for slot, values in settings.choice.values.items()},
        "free": settings.free,
        "given": [[given.text, str(given.program) if given.program else None] for given in settings.given],
        "seeds": settings.seeds,
        "vary": sorted(settings.vary),
        "generators": [[generator.name, generator.model] for generator in job.generators.video],
        "weights": list(job.generators.weights),
        "size": list(job.size),
        "motions_only": job.motions_only,
    }
    path = job.folder / SETTINGS
    runs: dict[str, Any] = {}
    if path.exists():
        try:
            runs = dict(json.loads(path.read_text(encoding="utf-8"))["runs"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CorpusError(f"{path}: cannot be read ({error}); remove it to go on") from error
    seed = str(settings.seed)
    if seed in runs and compare:
        other = [name for name in mine if dict(runs[seed]).get(name) != mine[name]]
        if other:
            raise CorpusError(
                f"{job.folder}: the clips of seed {seed} were made with other settings ({', '.join(other)}); choose "
                "another --seed to add to them, or another folder"
            )
        return
    runs[seed] = mine
    with whole_file(path) as beside:
        beside.write_text(json.dumps({"tdmm": __version__, "runs": runs}, indent=1) + "\n", encoding="utf-8")


def _seconds_made(job: CorpusJob) -> dict[str, float]:
    """The clips of this seed that the corpus holds, with their seconds."""
    if not job.manifest.exists():
        return {}
    mend_manifest(job.manifest)
    mine = clip_id(0, job.settings.seed).partition("-")[0] + "-"
    return {
        clip.id: _seconds(clip.line.get("duration")) for clip in read_manifest(job.manifest) if clip.id.startswith(mine)
    }


def _seconds(duration: Any) -> float:
    """Of a line that somebody may have changed."""
    return float(duration) if isinstance(duration, (int, float)) and math.isfinite(duration) else 0.0


def _run(
    job: CorpusJob,
    todo: Sequence[int],
    known: dict[str, float],
    failed: set[int],
    made: Made,
    engine: Engine,
    video_engine: Engine,
    progress: Progress | None,
    on_failure: Callable[[str, str], None] | None,
) -> None:
    """Make the clips `todo`; what is done and what failed is added to `known` and `failed`."""
    total, before = len(todo) + len(known), len(known)
    through = 0
    by_maker: dict[int, list[int]] = {}
    for number in todo:
        by_maker.setdefault(job.generators.of(number, job.settings.seed), []).append(number)

    def fail(number: int, reason: str) -> None:
        failed.add(number)
        name = clip_id(number, job.settings.seed)
        reason = reason.removeprefix(f"{name}: ")
        made.failures.append((name, reason))
        if on_failure is not None:
            on_failure(name, reason)

    def told(event: Event[tuple[int, ...], _Done]) -> None:
        nonlocal through
        through += len(event.item)
        done = event.result or _Done([], [(number, str(event.error)) for number in event.item])
        if done.lines:
            append_to_manifest(job.manifest, *done.lines)
        known.update({line["id"]: _seconds(line.get("duration")) for line in done.lines})
        made.clips += len(done.lines)
        for number, reason in done.failures:
            fail(number, reason)
        if progress is not None:
            progress(before + through, total)

    for maker, numbers in sorted(by_maker.items()):
        worker = _Worker(job, maker)
        for place in (VIDEOS, MOTIONS):
            if place == MOTIONS or not job.motions_only:
                (job.folder / place).mkdir(exist_ok=True)
        items = list(_shards(numbers)) if job.motions_only else [(number,) for number in numbers]
        run_over(
            items,
            LoadedOnce(worker.load, worker.make),
            on_event=told,
            engine=engine if maker == 0 else video_engine,
        )


def _shards(numbers: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Runs of neighbouring numbers, none longer than a shard, none over the edge of one."""
    run: list[int] = []
    for number in numbers:
        if run and (number != run[-1] + 1 or number % SHARD_CLIPS == 0):
            yield tuple(run)
            run = []
        run.append(number)
    if run:
        yield tuple(run)


@dataclass(frozen=True)
class _Done:
    """What came of some clips: the lines of those whose files are there, numbers and reasons of the others."""

    lines: list[dict[str, Any]]
    failures: list[tuple[int, str]] = field(default_factory=list)


@dataclass(frozen=True)
class _Worker:
    """Makes the files of clips, in this process or another. maker: which of the generators it is."""

    job: CorpusJob
    maker: int

    def load(self) -> Any:
        if self.maker:
            generator = self.job.generators.video[self.maker - 1]
            if isinstance(generator, DiffusersGenerator) and generator.device == "cuda":
                generator = generator.on_device(f"cuda:{own_gpu(self.job.folder)}")
            generator.load()
            return generator
        if self.job.motions_only:
            return None
        from tdmm.corpus.procedural import Studio

        return Studio()

    def make(self, loaded: Any, numbers: tuple[int, ...]) -> _Done:
        """The lines of the clips, once their files are there."""
        if self.job.motions_only:
            return self._shard(numbers)
        make = self._ask if self.maker else self._film
        with self._told():
            return _Done([make(loaded, plan_clip(number, self.job.settings)) for number in numbers])

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What goes wrong with a clip as a `TdmmError`: one strange clip in thousands does not end the run."""
        try:
            yield
        except TdmmError:
            raise
        except OSError as error:
            raise OutputError(f"{error.filename or self.job.folder}: {error.strerror or error}") from error
        except MemoryError as error:
            raise CorpusError("out of memory; try fewer --workers or a smaller --size") from error
        except Exception as error:
            if self.job.strict:
                raise
            raise CorpusError(f"{type(error).__name__}: {error} (a fault in tdmm; --debug shows where)") from error

    def _shard(self, numbers: tuple[int, ...]) -> _Done:
        """A clip that fails stays out, and leaves the others of its shard alone."""
        done, motions = _Done([]), list[FaceMotion]()
        path = f"{MOTIONS}/{clip_id(numbers[0], self.job.settings.seed)}-{numbers[-1]:07d}{SUFFIX}"
        for number in numbers:
            try:
                with self._told():
                    clip = plan_clip(number, self.job.settings)
                    performance, fields = perform_clip(clip)
                    motion = to_motion(performance)
            except TdmmError as error:
                done.failures.append((number, str(error)))
                continue
            done.lines.append(self._line(fields, motion.fps) | {"motion": f"{path}#{len(motions)}"})
            motions.append(motion)
        if motions:
            with self._told():
                write_shard(motions, self.job.folder / path)
        return done

    def _film(self, studio: Any, clip: PlannedClip) -> dict[str, Any]:
        performance, fields = perform_clip(clip)
        about: dict[str, Any] = {name: fields[name] for name in ("captions", "events", "program") if name in fields}
        motion = to_motion(
            performance, text=fields["text"], meta={"source": clip.id, "generator": "procedural", **about}
        )
        video, place = f"{VIDEOS}/{clip.id}.mp4", f"{MOTIONS}/{clip.id}.npz"
        filmed = studio.film(motion, LookRandoms(**clip.look), self.job.size, self.job.folder / video)
        write_motion(filmed, self.job.folder / place)
        line = self._line(fields, motion.fps, settings={"size": list(self.job.size)})
        return line | {self._video_field: video, "motion": place}

    def _ask(self, generator: VideoGenerator, clip: PlannedClip) -> dict[str, Any]:
        fields = ask_for_clip(clip)
        video = f"{VIDEOS}/{clip.id}.mp4"
        seed = video_seed(self.job.settings.seed, clip.number)
        made = generator.make(fields["prompt"], seed, self.job.folder / video, id=clip.id)
        facts = generator.facts()
        about = {
            "name": generator.name,
            "model": facts["model"],
            "family": facts["family"],
            "settings": facts["settings"],
        }
        return fields | {
            "generator": {name: value for name, value in about.items() if value},
            "seed": seed,
            "duration": made["frames"] / made["fps"],
            "fps": made["fps"],
            "licence": facts["licence"],
            self._video_field: video,
        }

    def _line(self, fields: dict[str, Any], fps: float, **about: Any) -> dict[str, Any]:
        """The line of a performed clip without its files. about: more of the generator."""
        return fields | {
            "generator": {"name": "procedural", "version": __version__, **about},
            "seed": self.job.settings.seed,
            "fps": fps,
            "licence": LICENCE,
        }

    @property
    def _video_field(self) -> str:
        return VIDEO_FIELD[self.job.manifest.name]


def video_seed(seed: int, number: int) -> int:
    """The seed that a video generator gets: another one for each clip, the same for ever."""
    return int(part_of_one("video", seed, number) * 2**31)


def list_failures(folder: Path, failures: Sequence[tuple[str, str]]) -> None:
    """failed.jsonl in the folder: what failed in this run, with the reasons."""
    place = folder / FAILED
    if not failures:
        with suppress(OSError):
            place.unlink(missing_ok=True)
        return
    with suppress(TdmmError), whole_file(place) as beside:
        lines = [json.dumps({"id": name, "error": reason}) for name, reason in failures]
        beside.write_text("\n".join(lines) + "\n", encoding="utf-8")
