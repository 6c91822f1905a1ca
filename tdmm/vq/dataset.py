"""The motions that a codec learns from, end to end in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tdmm.errors import MotionError, TokensError
from tdmm.io.manifest import find_manifest, read_manifest
from tdmm.io.motion_file import read_motion
from tdmm.motion import FaceMotion
from tdmm.vq.columns import HEAD, FaceColumns, first_pose, relative_pose


@dataclass(frozen=True)
class MotionSet:
    """N motions of F frames in all.

    face: (F, P) float16 parameters; head: (F, 6) float16 poses relative to each motion's first, radians and metres.
    starts: (N + 1,) where each motion begins.
    """

    face: np.ndarray
    head: np.ndarray
    starts: np.ndarray

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def frames(self) -> int:
        return len(self.face)


def read_motion_sets(
    corpora: Iterable[str | Path],
    columns: FaceColumns,
    fps: float,
    splits: Sequence[str] = ("train", "val"),
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, MotionSet]:
    """The motions of each split. Corpora: with a manifest (clips of no split count as train), or folders of motions,
    all of which count as train. progress: told how many of how many were read.

    Raises `TokensError` where there is none to learn from, or one is of another face model; `MotionError` for one that
    nobody can read.
    """
    corpora = list(corpora)
    listed = [clip for corpus in corpora for clip in _clips(corpus) if clip[0] in splits]
    found: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {split: [] for split in splits}
    for number, (split, source) in enumerate(listed):
        try:
            motion = read_motion(source).resample(fps)
            found[split].append(parts_of(motion, columns))
        except MotionError as error:
            reason = str(error)
            raise TokensError(reason if source in reason else f"{source}: {reason}") from error
        if progress is not None and (number % 256 == 255 or number + 1 == len(listed)):
            progress(number + 1, len(listed))
    if not found.get("train", [None]):
        raise TokensError(f"{', '.join(map(str, corpora))}: no motions of the split train to learn from")
    return {split: _joined(parts, columns) for split, parts in found.items()}


def parts_of(motion: FaceMotion, columns: FaceColumns) -> tuple[np.ndarray, np.ndarray]:
    """face (T, P) and head (T, 6) float16 of a motion."""
    head = relative_pose(motion.rotation, motion.translation, first_pose(motion))
    return columns.of(motion).astype(np.float16), head.astype(np.float16)


def _joined(parts: Sequence[tuple[np.ndarray, np.ndarray]], columns: FaceColumns) -> MotionSet:
    starts = np.concatenate([[0], np.cumsum([len(face) for face, _ in parts], dtype=np.int64)])
    face = np.concatenate([np.zeros((0, columns.width), np.float16), *(face for face, _ in parts)])
    head = np.concatenate([np.zeros((0, HEAD), np.float16), *(head for _, head in parts)])
    return MotionSet(face, head, starts)


def _clips(corpus: str | Path) -> Iterator[tuple[str, str]]:
    """Split and motion of each clip."""
    manifest = find_manifest(corpus)
    if manifest is not None:
        for clip in read_manifest(manifest):
            if clip.motion is not None:
                yield str(clip.line.get("split") or "train"), str(manifest.parent / clip.motion)
        return
    motions = sorted(Path(corpus).glob("*.npz")) if Path(corpus).is_dir() else []
    if not motions:
        raise TokensError(f"{corpus}: is no corpus: a folder with manifest.jsonl or metadata.jsonl, or of motions .npz")
    for path in motions:
        yield "train", str(path)
