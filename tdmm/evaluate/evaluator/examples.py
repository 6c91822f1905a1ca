"""The clips of a corpus as the evaluator's training sees them: motions end to end, texts as tokens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tdmm.errors import EvaluationError
from tdmm.evaluate.evaluator.features import features_of
from tdmm.io.manifest import find_manifest, read_manifest
from tdmm.io.motion_file import read_motion

# Damages that contradict what a clip's texts say, as bits of `Examples.damages`.
ORDERED, SIDED, SLIGHT, STRONG = 1, 2, 4, 8


@dataclass(frozen=True)
class Examples:
    """N clips.

    features: (F, N_FEATURES) float16 of all frames; starts: (N + 1,) where each motion begins.
    texts: for each clip what may be said of it, the primary prompt first. ids, keys: the clip's name; equal keys ask
    for the same. splits: of each. damages: (N,) which damages its texts exclude.
    """

    ids: tuple[str, ...]
    features: np.ndarray
    starts: np.ndarray
    texts: tuple[tuple[str, ...], ...]
    keys: tuple[str, ...]
    splits: tuple[str, ...]
    damages: np.ndarray

    def of(self, split: str) -> Examples:
        """The clips of one split."""
        mine = [clip for clip, name in enumerate(self.splits) if name == split]
        parts = [self.features[self.starts[clip] : self.starts[clip + 1]] for clip in mine]
        return Examples(
            ids=tuple(self.ids[clip] for clip in mine),
            features=np.concatenate([self.features[:0], *parts]),
            starts=np.concatenate([[0], np.cumsum([len(part) for part in parts], dtype=np.int64)]),
            texts=tuple(self.texts[clip] for clip in mine),
            keys=tuple(self.keys[clip] for clip in mine),
            splits=(split,) * len(mine),
            damages=self.damages[mine],
        )

    def __len__(self) -> int:
        return len(self.ids)

    def motions(self, clips: Sequence[int]) -> list[np.ndarray]:
        """Features (T, N_FEATURES) float32 of some clips."""
        return [self.features[self.starts[clip] : self.starts[clip + 1]].astype(np.float32) for clip in clips]


def read_examples(corpora: Iterable[str | Path], splits: Sequence[str] | None = None) -> Examples:
    """The clips of corpora that have a motion and a text. splits: of which splits; None: of all. Clips that are of no
    split count as train.

    Raises `EvaluationError` if there is none, and for a motion that the evaluator cannot read, `MotionError` for one
    that nobody can.
    """
    ids, features, texts, keys, kinds, damages = [], [], [], [], [], []
    for corpus in corpora:
        manifest = find_manifest(corpus)
        if manifest is None:
            raise EvaluationError(f"{corpus}: is no corpus: a folder with manifest.jsonl or metadata.jsonl")
        for clip in read_manifest(manifest):
            line = clip.line
            split = str(line.get("split") or "train")
            if clip.motion is None or not _said(line) or (splits is not None and split not in splits):
                continue
            try:
                features.append(features_of(read_motion(str(manifest.parent / clip.motion))).astype(np.float16))
            except EvaluationError as error:
                raise EvaluationError(f"{manifest}: {clip.id}: {error}") from error
            ids.append(clip.id)
            texts.append(texts_of(line))
            keys.append(key_of(line))
            kinds.append(split)
            damages.append(excluded_damages(line.get("events") or []))
    if not ids:
        raise EvaluationError(
            f"{', '.join(map(str, corpora))}: no clip"
            + ("" if splits is None else f" of the split {' or '.join(splits)}")
            + " has a motion and a text"
        )
    starts = np.concatenate([[0], np.cumsum([len(part) for part in features])])
    return Examples(
        tuple(ids),
        np.concatenate(features),
        starts,
        tuple(texts),
        tuple(keys),
        tuple(kinds),
        np.array(damages, np.uint8),
    )


def _said(line: Mapping[str, Any]) -> bool:
    return isinstance(line.get("text"), str) and bool(line["text"].strip())


def texts_of(line: Mapping[str, Any]) -> tuple[str, ...]:
    """What may be said of a clip, the primary prompt first."""
    said = [line["text"], *(line.get("texts") or ()), *(line.get("captions") or {}).values()]
    return tuple(dict.fromkeys(text for text in said if isinstance(text, str) and text.strip()))


def key_of(line: Mapping[str, Any]) -> str:
    """Equal for clips that ask for the same behaviours, whatever their strength and pace."""
    events = line.get("events")
    if not events:
        return str(line["text"]).lower()
    return "|".join(
        sorted(
            f"{'!' * bool(event.get('absent'))}{event['id']}.{event.get('side', '')}*{event.get('count', 1)}"
            for event in events
        )
    )


def excluded_damages(events: Sequence[Mapping[str, Any]]) -> int:
    """Which damages contradict the events of a clip: its bits."""
    present = [event for event in events if not event.get("absent")]
    # When a thing happens is not told of corpora from elsewhere.
    moments = [e for e in present if not e.get("throughout") and None not in (e.get("start"), e.get("end"))]
    ids = [event["id"] for event in sorted(moments, key=lambda event: event["start"])]
    apart = any(a["end"] <= b["start"] + 0.3 for a in moments for b in moments if a is not b)
    found = 0
    if len(ids) > 1 and apart and ids != ids[::-1]:
        found |= ORDERED
    if any(event.get("side") for event in present):
        found |= SIDED
    levels = {event.get("level") for event in present if event.get("kind") in ("emotion", "action", "head")}
    if levels == {"slight"}:
        found |= SLIGHT
    if levels == {"strong"}:
        found |= STRONG
    return found
