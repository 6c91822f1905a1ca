"""What `tdmm fit` is to do: the videos that files, globs, folders and corpora name, and where each motion goes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tdmm.cli import paths
from tdmm.cli.usage import UsageError
from tdmm.errors import TdmmError
from tdmm.io.manifest import Clip, find_manifest, motion_of, read_manifest
from tdmm.io.shard_names import names_a_part

# What counts as a video in a folder; a file that is named is tried whatever its ending.
VIDEO_ENDINGS = frozenset(
    {".3gp", ".avi", ".flv", ".gif", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".webm", ".wmv"}
)
MOTIONS = "motions"


@dataclass(frozen=True)
class FitJob:
    """One video. target: its motion, to whose stem numbers are added where one video gives several; clip: its id.

    source, target, preview: paths as the person gave them; source and target may be `-`.
    """

    source: str
    target: str
    preview: str | None = None
    clip: str | None = None


@dataclass(frozen=True)
class Plan:
    """All jobs. several: many inputs, or a folder of them; manifest: of the corpus that they are the clips of.

    folder: where motions go that are kept when they are there already; None: a single named file.
    recorded: for each clip of the corpus the motion that its line names.
    """

    jobs: list[FitJob]
    several: bool
    folder: Path | None
    manifest: Path | None = None
    recorded: dict[str, str | None] | None = None
    # Clips whose motions are true, since they were performed: no fit takes their place.
    performed: frozenset[str] = frozenset()


def plan(inputs: Sequence[str], output: str | None, preview: str | None) -> Plan:
    """Raises `UsageError` for what does not go together, `TdmmError` for inputs that are not there."""
    names = paths.expand(inputs)
    folders = [name for name in names if name != paths.STANDARD and os.path.isdir(name)]
    corpora = [name for name in folders if find_manifest(name)]
    if corpora:
        if len(names) > 1:
            raise UsageError(f"{corpora[0]} is a corpus: its clips are fitted by themselves; name it alone")
        return _plan_corpus(corpora[0], output, preview)
    sources, stems = _sources(names, skip=preview)
    several = len(sources) > 1 or bool(folders)
    target = paths.STANDARD if output is None else output
    if folders:
        if target == paths.STANDARD or (Path(target).suffix.lower() == ".npz" and not Path(target).is_dir()):
            raise UsageError(f"{folders[0]} is a folder: its motions need a folder too: -o DIR/")
        target = os.path.join(target, "")
    jobs = paths.plan_jobs(sources, target, ".npz", stems)
    previews = _previews(sources, stems, preview, several=several)
    return Plan(
        [FitJob(job.source, job.target, shown) for job, shown in zip(jobs, previews, strict=True)],
        several=several,
        folder=Path(target) if several or Path(target).is_dir() else None,
    )


def _plan_corpus(folder: str, output: str | None, preview: str | None) -> Plan:
    if output is not None or preview is not None:
        option = "-o" if output is not None else "--preview"
        raise UsageError(f"{folder} is a corpus, whose motions go into {Path(folder) / MOTIONS}: leave {option} out")
    manifest = find_manifest(folder)
    assert manifest is not None
    clips = read_manifest(manifest)
    if not clips:
        raise TdmmError(f"{manifest}: lists no clips")
    # A clip without a video has its motion already, and so have those whose motion lies in a shard.
    filmed = [clip for clip in clips if clip.video is not None and not names_a_part(clip.motion or "")]
    if not filmed:
        raise TdmmError(f"{manifest}: there is nothing to fit: its clips are motions without videos")
    jobs = [
        FitJob(os.path.join(folder, clip.video), os.path.join(folder, motion_of(clip)), clip=clip.id)
        for clip in filmed
        if clip.video is not None
    ]
    recorded = {clip.id: clip.motion for clip in filmed}
    performed = frozenset(clip.id for clip in filmed if clip.motion is not None and _is_performed(clip))
    return Plan(jobs, True, Path(folder) / MOTIONS, manifest=manifest, recorded=recorded, performed=performed)


def _is_performed(clip: Clip) -> bool:
    generator = clip.line.get("generator")
    return isinstance(generator, dict) and generator.get("name") == "procedural"


def _sources(names: Sequence[str], skip: str | None) -> tuple[list[str], list[str]]:
    """The videos, and what the output of each is called without its ending: below a folder, the path from there."""
    sources, stems = [], []
    for name in names:
        if name == paths.STANDARD or not os.path.isdir(name):
            sources.append(name)
            stems.append(paths.stem(name))
            continue
        found = _videos_below(Path(name), skip)
        if not found:
            raise TdmmError(f"{name}: this folder holds no video ({', '.join(sorted(VIDEO_ENDINGS))})")
        sources += map(str, found)
        stems += [str(path.relative_to(name).with_suffix("")) for path in found]
    return sources, stems


def _videos_below(folder: Path, skip: str | None) -> list[Path]:
    """All videos in a folder and the folders in it, sorted; none that are hidden or in the folder `skip`."""
    found = []
    left_out = None if skip is None else os.path.realpath(skip)
    for place, below, files in os.walk(folder):
        below[:] = [
            name for name in below if name[0] != "." and os.path.realpath(os.path.join(place, name)) != left_out
        ]
        found += [Path(place, name) for name in files if name[0] != "." and Path(name).suffix.lower() in VIDEO_ENDINGS]
    return sorted(found)


def _previews(sources: list[str], stems: list[str], preview: str | None, *, several: bool) -> list[str | None]:
    if preview is None:
        return [None] * len(sources)
    if preview == paths.STANDARD:
        raise UsageError("--preview needs a file or a folder; for a video on a pipe use: tdmm render --over VIDEO -o -")
    if paths.STANDARD in sources:
        raise UsageError("--preview reads the video a second time, which standard input does not allow: name a file")
    if several:
        preview = os.path.join(preview, "")
    return [job.target for job in paths.plan_jobs(sources, preview, ".mp4", stems)]
