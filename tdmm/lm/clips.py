"""The clips that a language model learns from: what their manifests say, and their codes, end to end in memory.

What a camera sees of a motion is not the motion: descriptions are also learnt from codes of motions as a fit would
give them back (`tdmm.lm.noise`), and of fits of the clips' videos where there are such.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from tdmm.engine import Engine, LoadedOnce, in_sequence, run_over
from tdmm.errors import LmError, MotionError
from tdmm.face import BUILTIN, load_face_model
from tdmm.io.manifest import find_manifest, read_manifest
from tdmm.io.motion_file import read_motion
from tdmm.io.whole import whole_file
from tdmm.motion import FaceMotion
from tdmm.vq.codec import Codec, load_codec
from tdmm.vq.columns import absolute_pose, first_pose, relative_pose

if TYPE_CHECKING:
    from tdmm.lm.fit_correction import FitCorrection
    from tdmm.lm.noise import FitNoise

# What a training needs of a manifest line.
FIELDS = ("id", "text", "texts", "captions", "questions", "events")
SPLITS = ("train", "val")
BATCH = 128  # clips that a worker codes at once
ROOT_SEED = 0x6C6D


@dataclass(frozen=True)
class ClipSet:
    """M clips of N steps in all.

    lines: (B,) uint8, their manifest lines as JSON, end to end; line_starts (M + 1,). codes: (V, N, Q) uint16, first as
    they are, then as they would be fitted; starts (M + 1,), the first step of each. real: (M,) bool, whether the second
    variant is of a fit of the clip's video.
    """

    lines: np.ndarray
    line_starts: np.ndarray
    codes: np.ndarray
    starts: np.ndarray
    real: np.ndarray

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def steps(self) -> int:
        return int(self.starts[-1])

    def line(self, number: int) -> dict[str, Any]:
        """What the manifest says of a clip, as far as a training needs it."""
        return json.loads(self.lines[self.line_starts[number] : self.line_starts[number + 1]].tobytes())

    def codes_of(self, number: int, variant: int = 0) -> np.ndarray:
        """(T, Q) codes of a clip. variant: 0 as it is, 1.. as it would be fitted."""
        return self.codes[variant, self.starts[number] : self.starts[number + 1]].astype(np.int64)

    @property
    def variants(self) -> int:
        """How many a clip has: the first is as it is."""
        return len(self.codes)


def read_clips(
    corpora: Iterable[str | Path],
    codec: str | Path | None,
    longest: int,
    *,
    face_model: str = BUILTIN,
    fitted: int = 0,
    fits: Iterable[str | Path] = (),
    seed: int = 0,
    engine: Engine = in_sequence,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, ClipSet]:
    """The clips of the splits train and val (clips of no split count as train), coded.

    codec: a folder, None for that of tdmm; face_model: whose motions it codes; longest: steps, clips of more are left
    out; fitted: variants of each clip as a fit would give it back, as is known for the built-in head alone. fits:
    folders of fits of the clips' videos, ID.npz, which take the place of the first of these variants. progress: told
    how many of how many.

    Raises `LmError` where nothing is there to learn from, a motion cannot be read, or no fit is of any clip.
    """
    corpora, fits = list(corpora), list(fits)
    found_fits = fits_in(fits)
    listed = [one for corpus in corpora for one in _listed(corpus, found_fits)]
    if not listed:
        raise LmError(f"{', '.join(map(str, corpora))}: no clips of the split train with motions to learn from")
    batches = [
        [(number, *listed[number][1:]) for number in range(start, min(start + BATCH, len(listed)))]
        for start in range(0, len(listed), BATCH)
    ]
    if fits and not any(fit for *_, fit in listed):
        raise LmError(
            f"{', '.join(map(str, fits))}: no fit of any clip; expected files ID.npz, as tdmm fit writes them"
        )
    variants = 1 + (fitted or bool(fits))
    load = _Load(None if codec is None else str(codec), face_model, fitted, bool(fits))
    work = LoadedOnce(load, _Encode(longest, variants, seed))

    def event(one: Any) -> None:
        if progress is not None:
            progress(min(one.finished * BATCH, len(listed)), len(listed))

    outcome = run_over(batches, work, on_event=event, engine=engine)
    if outcome.failures:
        raise outcome.failures[0].error
    coded = [one for batch in outcome.results for one in batch]
    found = {}
    for split in SPLITS:
        of_split = [
            (line, *one)
            for (name, line, *_), one in zip(listed, coded, strict=True)
            if name == split and one is not None
        ]
        found[split] = _joined(of_split, variants)
    if not len(found["train"]):
        raise LmError(f"{', '.join(map(str, corpora))}: no clips of the split train that are short enough")
    return found


def keep_clips(path: Path, clips: Mapping[str, ClipSet], key: str) -> None:
    """Write clips to a file for `kept_clips`, whole or not at all. key: what they are of."""
    names = [one.name for one in fields(ClipSet)]
    tensors = {f"{split}.{name}": getattr(found, name) for split, found in clips.items() for name in names}
    with whole_file(path) as beside:
        save_file(tensors, beside, {"key": key})


def kept_clips(path: Path, key: str) -> dict[str, ClipSet] | None:
    """The clips that `keep_clips` wrote; None where there are none, or of something else."""
    try:
        with safe_open(path, "np") as file:
            if (file.metadata() or {}).get("key") != key:
                return None
            return {
                split: ClipSet(*(file.get_tensor(f"{split}.{one.name}") for one in fields(ClipSet))) for split in SPLITS
            }
    except (SafetensorError, OSError):
        return None


def key_of(corpora: Iterable[str | Path], *facts: object) -> str:
    """What clips are of: the manifests as they are now, and facts about how they are read."""
    manifests = [find_manifest(corpus) for corpus in corpora]
    stamps = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in manifests if path is not None]
    return json.dumps([stamps, *map(str, facts)])


def fits_in(folders: Iterable[str | Path]) -> dict[str, str]:
    """The files of fits by the ids of their clips. Raises `LmError` for a folder without any."""
    found: dict[str, str] = {}
    for folder in folders:
        here = {path.stem: str(path) for path in sorted(Path(folder).glob("*.npz"))}
        if not here:
            raise LmError(f"{folder}: holds no fits, files ID.npz")
        found = {**here, **found}
    return found


def _listed(corpus: str | Path, fits: Mapping[str, str]) -> Iterator[tuple[str, bytes, str, str | None]]:
    """Split, line, motion and fit of each clip of the splits that a training looks at."""
    manifest = find_manifest(corpus)
    if manifest is None:
        raise LmError(f"{corpus}: is no corpus: a folder with manifest.jsonl or metadata.jsonl")
    for clip in read_manifest(manifest):
        split = str(clip.line.get("split") or "train")
        if clip.motion is not None and split in SPLITS:
            yield split, _kept(clip.line, clip.id), str(manifest.parent / clip.motion), fits.get(clip.id)


def _kept(line: Mapping[str, Any], id: str) -> bytes:
    kept = {name: line[name] for name in FIELDS if name in line}
    return json.dumps({**kept, "id": id}, ensure_ascii=False, separators=(",", ":")).encode()


def _joined(clips: Sequence[tuple[bytes, np.ndarray, bool]], variants: int) -> ClipSet:
    width = clips[0][1].shape[2] if clips else 0
    empty = np.zeros((variants, 0, width), np.uint16)
    return ClipSet(
        np.frombuffer(b"".join(line for line, *_ in clips), np.uint8),
        np.cumsum([0, *(len(line) for line, *_ in clips)], dtype=np.int64),
        np.concatenate([empty, *(codes for _, codes, _ in clips)], axis=1),
        np.cumsum([0, *(codes.shape[1] for _, codes, _ in clips)], dtype=np.int64),
        np.array([real for *_, real in clips], bool),
    )


# -- in a worker: by name, so that it travels --------------------------------------------------------


class _Loaded(NamedTuple):
    codec: Codec
    noise: FitNoise | None
    correction: FitCorrection | None


@dataclass(frozen=True)
class _Load:
    codec: str | None
    face_model: str
    fitted: int
    fits: bool

    def __call__(self) -> _Loaded:
        codec = load_codec(self.codec, load_face_model(self.face_model))
        noise, correction = None, None
        if self.fitted:
            from tdmm.lm.noise import FitNoise

            noise = FitNoise.load()
        if self.fits:
            from tdmm.lm.fit_correction import FitCorrection

            correction = FitCorrection.load()
        return _Loaded(codec, noise, correction)


@dataclass(frozen=True)
class _Encode:
    longest: int
    variants: int
    seed: int

    def __call__(
        self, loaded: _Loaded, items: Sequence[tuple[int, bytes, str, str | None]]
    ) -> list[tuple[np.ndarray, bool] | None]:
        """(V, T, Q) codes of each clip, and whether the second are of its fit; None for one that is too long."""
        codec = loaded.codec
        motions: list[FaceMotion] = []
        whose = []
        for number, _, source, fit in items:
            motion = _read(source, codec)
            if len(motion) > self.longest * codec.config.stride:
                continue
            variants = [motion]
            for variant in range(self.variants - 1):
                random = np.random.default_rng([ROOT_SEED, self.seed, number, variant])
                variants.append(as_fitted(motion, loaded.noise, random))
            real = False
            if fit is not None and loaded.correction is not None:
                seen = loaded.correction.of(_read(fit, codec))
                # Where the video lacks frames the fit is of something else.
                real = len(seen) == len(motion)
                variants[1] = seen if real else variants[1]
            motions += variants
            whose.append((number, real))
        tokens = codec.encode_many(motions)
        found = {}
        for place, (number, real) in enumerate(whose):
            own = tokens[place * self.variants : (place + 1) * self.variants]
            found[number] = np.stack([one.codes for one in own]).astype(np.uint16), real
        return [found.get(number) for number, *_ in items]


def _read(source: str, codec: Codec) -> FaceMotion:
    """At the codec's rate. Raises `LmError` for a motion that cannot be read."""
    try:
        return read_motion(source).resample(codec.config.fps)
    except MotionError as error:
        reason = str(error)
        raise LmError(reason if source in reason else f"{source}: {reason}") from error


def as_fitted(motion: FaceMotion, noise: FitNoise | None, random: np.random.Generator) -> FaceMotion:
    """A motion as `tdmm fit` might give it back from a video. noise: None leaves it as it is."""
    if noise is None:
        return motion
    first = first_pose(motion)
    head = relative_pose(motion.rotation, motion.translation, first)
    expression, head = noise.apply(motion.expression, head, random)
    pose: dict[str, Any] = absolute_pose(head.astype(np.float32), first)
    return replace(motion, expression=expression.astype(np.float32), **pose)
