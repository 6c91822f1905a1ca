"""Captions for the clips of a corpus that have none, in its manifest: so real faces can be learned from, too."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tdmm
from tdmm.errors import LmError
from tdmm.io.manifest import Clip, find_manifest, read_manifest, update_manifest
from tdmm.io.motion_file import read_motion
from tdmm.lm.describe import Reader
from tdmm.motion import FaceMotion
from tdmm.vq.corpora import OnFailure, of_splits

# What a language model learns from: see `tdmm.lm.examples`.
DETAILS = ("short", "long")
# The manifest is written whole, which takes its time where it is large.
RECORD_SECONDS = 20.0


@dataclass(frozen=True)
class Captioned:
    """What came of a corpus. clips: that were described now; there_before: that had captions; without_motion: that
    have no motion yet; failures: ids and reasons."""

    path: Path
    clips: int = 0
    there_before: int = 0
    without_motion: int = 0
    failures: tuple[tuple[str, str], ...] = ()


def caption_corpus(
    folder: str | Path,
    reader: Reader,
    *,
    details: Sequence[str] = DETAILS,
    splits: Sequence[str] | None = None,
    force: bool = False,
    read: Callable[[str], FaceMotion] = read_motion,
    on_failure: OnFailure | None = None,
    progress: Callable[[int, int, int], None] | None = None,
) -> Captioned:
    """Give the clips of a corpus that have no captions some, by what their motions show.

    A clip gets `captions` by detail, `captioned_by` (which model), and, where it has no `text` either, the short one
    as its text: a pseudo-prompt. Clips with captions are left alone, so that a run that was stopped goes on; with
    `force` they are captioned anew, and a text that is no such pseudo-prompt stays. splits: of these alone. progress:
    told how many of how many are through, and how many of them failed.

    Raises `LmError` where there is no corpus or no clip has a motion, `TokensError` where a split is not there.
    """
    manifest = find_manifest(folder)
    if manifest is None:
        raise LmError(f"{folder}: is no corpus: a folder with manifest.jsonl or metadata.jsonl")
    clips = of_splits(read_manifest(manifest), splits, manifest)
    with_motion = {clip.id: clip for clip in clips if clip.motion is not None}
    if not with_motion:
        raise LmError(f"{manifest}: none of the {len(clips)} clips has a motion; tdmm fit {folder} finds them")
    wanted = {name: clip for name, clip in with_motion.items() if _is_open(clip, force)}
    failures: list[tuple[str, str]] = []

    def fail(name: str, reason: str) -> None:
        failures.append((name, reason))
        if on_failure is not None:
            on_failure(name, reason)

    sources = [(name, str(manifest.parent / str(clip.motion))) for name, clip in wanted.items()]
    changes: dict[str, dict[str, Any]] = {}
    done, recorded_at = 0, time.monotonic()
    try:
        for batch in reader.read_each(sources, fail, read):
            motions = [one for _, one in batch]
            texts = [reader.describe(motions, detail) for detail in details]
            for (name, _), *said in zip(batch, *texts, strict=True):
                changes[name] = _fields(wanted[name], dict(zip(details, said, strict=True)), reader)
            done += len(batch)
            if time.monotonic() - recorded_at > RECORD_SECONDS:
                update_manifest(manifest, changes)
                changes, recorded_at = {}, time.monotonic()
            if progress is not None:
                progress(done + len(failures), len(wanted), len(failures))
    finally:  # also when the run is given up
        update_manifest(manifest, changes)
    return Captioned(manifest, done, len(with_motion) - len(wanted), len(clips) - len(with_motion), tuple(failures))


def _is_open(clip: Clip, force: bool) -> bool:
    """Whether a clip is to be captioned. Captions in a form that is not ours stay, whatever is forced."""
    captions = clip.line.get("captions")
    return not captions or (force and isinstance(captions, dict))


def _fields(clip: Clip, captions: dict[str, str], reader: Reader) -> dict[str, Any]:
    """What changes in the line of a clip."""
    line = clip.line
    before = line.get("captions") or {}
    by = {"name": "tdmm describe", "version": tdmm.__version__, "model": reader.lm.fingerprint}
    found: dict[str, Any] = {"captions": {**before, **captions}, "captioned_by": by}
    text = line.get("text")
    pseudo = "captioned_by" in line and text == before.get("short")
    if "short" in captions and (pseudo or not isinstance(text, str) or not text.strip()):
        found["text"] = captions["short"]
    return found
