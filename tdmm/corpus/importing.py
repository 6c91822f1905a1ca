"""Existing videos with captions become a corpus: copied, or linked, and listed in its manifest."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tdmm.corpus.build import MANIFEST, MOTIONS, VIDEO_FOLDER_MANIFEST, VIDEOS, list_failures
from tdmm.corpus.generators.folder import Foreign, ForeignClip
from tdmm.corpus.splits import SPLITS, split_of_text
from tdmm.errors import CorpusError, OutputError, TdmmError
from tdmm.io.manifest import VIDEO_FIELD, Clip, append_to_manifest, find_manifest, mend_manifest, read_manifest
from tdmm.io.motion_file import read_motion, write_motion
from tdmm.io.video import open_video

# Other names of our splits.
_SPLITS = {"training": "train", "validation": "val", "valid": "val", "dev": "val", "eval": "val", "testing": "test"}


@dataclass
class Imported:
    """What came in, what had come before, and what could not."""

    clips: int = 0
    there_before: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)


def import_videos(
    foreign: Foreign,
    folder: Path,
    *,
    source: str,
    video_folder: bool = False,
    on_failure: Callable[[str, str], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Imported:
    """Bring the clips of `foreign` into the corpus `folder`; those that are there are passed over.

    A video is hard-linked where the file system can, else copied. `source` is told in every line. A clip without a
    split gets one by its text. A video that cannot be read, or whose id another clip has, is told and listed (also in
    failed.jsonl), and the others go on.
    Raises `CorpusError` where the folder holds a corpus in another layout.
    """
    manifest = folder / (VIDEO_FOLDER_MANIFEST if video_folder else MANIFEST)
    known = open_corpus(manifest)
    found = Imported()

    def fail(name: str, reason: str) -> None:
        found.failures.append((name, reason))
        if on_failure is not None:
            on_failure(name, reason)

    for name in foreign.missing:
        fail(name, "is named in the list of videos and is not there")
    for number, clip in enumerate(foreign.clips, start=1):
        if clip.id in known:
            video = known[clip.id].video
            if video is not None and _size(folder / video) in (None, _size(clip.video)):
                found.there_before += 1
            else:
                fail(
                    clip.id, "another clip of the corpus is called this; bring these videos into a corpus of their own"
                )
        else:
            try:
                append_to_manifest(manifest, _line(clip, folder, source, VIDEO_FIELD[manifest.name]))
                found.clips += 1
            except TdmmError as error:
                fail(clip.id, str(error))
        if progress is not None:
            progress(number, len(foreign.clips))
    list_failures(folder, found.failures)
    return found


def open_corpus(manifest: Path) -> dict[str, Clip]:
    """Make the folder if need be; the clips that it holds. Raises `CorpusError` if it is kept in another layout."""
    present = find_manifest(manifest.parent)
    if present is not None and present != manifest:
        raise CorpusError(f"{present}: the corpus is kept in another layout; choose that, or another folder")
    (manifest.parent / VIDEOS).mkdir(parents=True, exist_ok=True)
    if present is None:
        return {}
    mend_manifest(manifest)
    return {clip.id: clip for clip in read_manifest(manifest)}


def _line(clip: ForeignClip, folder: Path, source: str, video_field: str) -> dict[str, Any]:
    with open_video(clip.video) as video:
        info = video.info
    place = Path(VIDEOS) / f"{clip.id}{clip.video.suffix.lower()}"
    _bring(clip.video, folder / place)
    other = dict(clip.other)
    motion = other.pop("motion", None)
    brought = {} if not isinstance(motion, str) else {"motion": _bring_motion(Path(source), motion, folder, clip.id)}
    return {
        "id": clip.id,
        video_field: place.as_posix(),
        **brought,
        "text": clip.text,
        "slots": dict(clip.slots),
        "generator": {"name": "folder", "model": source},
        "split": split_called(other.get("split"), clip.text),
        "duration": info.duration,
        "fps": info.fps,
        **{name: value for name, value in other.items() if name not in ("split", video_field)},
    }


def _bring_motion(source: Path, motion: str, folder: Path, name: str) -> str:
    """The motion that a corpus of ours has of the clip, as a file of its own; where it is. Raises `MotionError`."""
    place = Path(MOTIONS) / f"{name}.npz"
    (folder / place).parent.mkdir(parents=True, exist_ok=True)
    write_motion(read_motion(str(source / motion)), folder / place)
    return place.as_posix()


def split_called(name: Any, text: str) -> str:
    """Our split by the name that others gave it; without one that is known, by the text."""
    ours = _SPLITS.get(str(name).lower(), name)
    return str(ours) if ours in SPLITS else split_of_text(text)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _bring(video: Path, place: Path) -> None:
    if place.exists() and _size(place) == _size(video):
        return
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(video.resolve(), place)
        except OSError:  # another file system, or one without links
            beside = place.with_name(f".{place.name}.part")
            try:
                shutil.copyfile(video, beside)
                os.replace(beside, place)
            finally:
                beside.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{place}: cannot be written: {error.strerror or error}") from error
