"""Clips to show as examples, chosen from all over a corpus, and the frames of their videos."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tdmm.corpus.report import fields
from tdmm.errors import VideoError
from tdmm.io.manifest import Clip
from tdmm.io.video import open_video

_SIDE = 200  # pixels, as large as they are shown
_KEPT = 32  # frames of a video at a time
_MOST_FRAMES = 3000  # of a long video the first minutes are enough
_TRIES = 3  # clips looked at for each that is shown: a manifest may be ahead of its files


@dataclass(frozen=True)
class Example:
    """Frames, or one picture, (H, W, 3) uint8, and the text they belong to."""

    text: str
    frames: tuple[np.ndarray, ...]


def examples_of(
    clips: Sequence[Clip],
    folder: Path,
    *,
    most: int = 12,
    picture_of: Callable[[Clip], np.ndarray | None] | None = None,
) -> list[Example]:
    """First, middle and last frames of clips with a video; of others what `picture_of` makes of them, if anything.

    Videos that are not there or cannot be read are passed over.
    """
    found: list[Example] = []
    able = [clip for clip in clips if clip.video or (picture_of is not None and clip.motion)]
    for clip in _spread(able, most * _TRIES):
        frames = _frames(folder / clip.video) if clip.video else ()
        if not frames and picture_of is not None and (picture := picture_of(clip)) is not None:
            frames = (picture,)
        if frames:
            found.append(Example(fields.text_of(clip.line) or clip.id, frames))
        if len(found) == most:
            break
    return found


def _spread(clips: Sequence[Clip], most: int) -> Iterator[Clip]:
    """Clips from all over the corpus; those with an emotion that was not there yet come first."""
    step = max(len(clips) / (most * 4), 1)
    some = [clips[int(i * step)] for i in range(min(len(clips), most * 4))]
    seen: set[tuple[str, ...]] = set()
    first: list[Clip] = []
    later: list[Clip] = []
    for clip in some:
        emotion = fields.slot_of(clip.line, "emotion")
        (later if emotion in seen else first).append(clip)
        seen.add(emotion)
    # Evenly over those of different emotions, when they are more than needed.
    stride = max(len(first) * 3 // most, 1)
    first = [clip for offset in range(stride) for clip in first[offset::stride]]
    yield from [*first, *later][:most]


def _frames(video: Path) -> tuple[np.ndarray, ...]:
    """The first, the middle and the last frame; fewer of a picture, none of a file that cannot be read."""
    kept: list[np.ndarray] = []
    every, last = 1, None
    try:
        with open_video(video, max_side=_SIDE) as frames:
            for number, frame in enumerate(frames):
                last = frame.image
                if number % every == 0:
                    kept.append(frame.image)
                if len(kept) > _KEPT:  # how long it is shows only at the end: keep every other one from here on
                    kept, every = kept[::2], every * 2
                if number == _MOST_FRAMES:
                    break
    except (VideoError, OSError):
        if not kept:
            return ()
    if last is None or len(kept) < 3:
        return tuple(kept[:1])
    return kept[0], kept[len(kept) // 2], last
