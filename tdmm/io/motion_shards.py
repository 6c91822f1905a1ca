"""Many short motions in one compact file: half precision, end to end, found again by their number.

A shard is a safetensors file `SHARD.safetensors`; its motion number n is named `SHARD.safetensors#n`, which
`read_motion` (`tdmm.io.motion_file`) takes like the name of a file. It holds motions of one face model, one rate and
the mean identity, seen by the default camera with all frames valid, as `tdmm generate-corpus --motions-only` makes
them: an hour at 25 frames a second takes 10 MB.

    expression (N, E) float16; rotation (N, 3) float16; translation (N, 3) float16, metres from `origin`;
    origin (M, 3) float32, where each motion begins; starts (M + 1,) int64, the first frame of each, and N.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from tdmm.errors import MotionError
from tdmm.io.whole import whole_file
from tdmm.motion import DEFAULT_IMAGE_SIZE, FaceMotion, default_camera, make_motion

SCHEMA = "tdmm.motions/1"
_KEYS = ("expression", "rotation", "translation", "origin", "starts")


def write_shard(motions: Sequence[FaceMotion], path: str | Path) -> None:
    """Write motions that a shard can hold, whole or not at all.

    Raises `MotionError` for none, or for one that holds what would be lost; `OutputError` if the file cannot be
    written.
    """
    from safetensors.numpy import save

    if not motions:
        raise MotionError(f"{path}: nothing to write: expected at least one motion")
    first = motions[0]
    for number, motion in enumerate(motions):
        _check(motion, first, f"{path}#{number}")
    counts = [len(motion) for motion in motions]
    origin = np.stack([motion.translation[0] for motion in motions]).astype(np.float32)
    moved = np.concatenate([motion.translation - motion.translation[0] for motion in motions])
    tensors = {
        "expression": np.concatenate([motion.expression for motion in motions]).astype(np.float16),
        "rotation": np.concatenate([motion.rotation for motion in motions]).astype(np.float16),
        "translation": moved.astype(np.float16),
        "origin": origin,
        "starts": np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
    }
    facts = {
        "schema": SCHEMA,
        "face_model": first.face_model,
        "face_model_sha256": first.face_model_sha256,
        "fps": repr(first.fps),
        "expression_names": json.dumps(first.expression_names),
    }
    data = _in_order(save(tensors, facts))
    with whole_file(path) as beside:
        beside.write_bytes(data)


def _in_order(data: bytes) -> bytes:
    """A safetensors file with its facts in their order: as written they are in another one each time."""
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + size :]


def _check(motion: FaceMotion, first: FaceMotion, where: str) -> None:
    for name in ("face_model", "face_model_sha256", "fps", "expression_names"):
        if getattr(motion, name) != getattr(first, name):
            raise MotionError(
                f"{where}: a shard has one {name}, found {getattr(motion, name)!r} beside the first one's"
            )
    evenly = np.arange(len(motion)) / motion.fps
    plain = {
        "shape": not motion.shape.any(),
        "neck_pose": not motion.neck_pose.any(),
        "jaw_pose": not motion.jaw_pose.any(),
        "eyes_pose": not motion.eyes_pose.any(),
        "valid": bool(motion.valid.all()),
        "confidence": bool((motion.confidence == 1).all()),
        "image_size": motion.image_size == DEFAULT_IMAGE_SIZE,
        "camera": np.array_equal(motion.camera, default_camera(motion.image_size)),
        "timestamps": np.allclose(motion.timestamps, evenly, rtol=0, atol=1e-6),
    }
    for name, holds in plain.items():
        if not holds:
            raise MotionError(f"{where}: a shard cannot hold the {name} of this motion; write it to a file of its own")


def read_part(source: str | Path) -> FaceMotion:
    """The motion that `SHARD.safetensors#n` names. Raises `MotionError` that says what is wrong with it."""
    path, _, number = str(source).rpartition("#")
    arrays, facts = _opened(path, _stamp(path))
    starts = arrays["starts"]
    if int(number) >= len(starts) - 1:
        raise MotionError(f"{source}: expected a number below {len(starts) - 1}, the motions of this shard")
    return _part(arrays, facts, int(number))


def read_shard(path: str | Path) -> list[FaceMotion]:
    """All motions of a shard in their order. Raises `MotionError` if it is none."""
    arrays, facts = _opened(str(path), _stamp(str(path)))
    return [_part(arrays, facts, number) for number in range(len(arrays["starts"]) - 1)]


def _part(arrays: dict[str, np.ndarray], facts: dict[str, Any], number: int) -> FaceMotion:
    frames = slice(*arrays["starts"][number : number + 2].tolist())
    return make_motion(
        arrays["expression"][frames].astype(np.float32),
        facts["expression_names"],
        face_model=facts["face_model"],
        face_model_sha256=facts["face_model_sha256"],
        fps=facts["fps"],
        rotation=arrays["rotation"][frames].astype(np.float32),
        translation=arrays["translation"][frames].astype(np.float32) + arrays["origin"][number],
    )


def _stamp(path: str) -> tuple[int, int]:
    try:
        found = Path(path).stat()
    except FileNotFoundError:
        raise MotionError(f"{path}: there is no such file") from None
    except OSError as error:
        raise MotionError(f"{path}: cannot be read: {error.strerror or error}") from error
    return found.st_mtime_ns, found.st_size


@lru_cache(maxsize=4)
def _opened(path: str, stamp: tuple[int, int]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and facts of a shard; the last ones are kept, for motions are mostly read one after the other."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            facts = dict(file.metadata() or {})
            if facts.get("schema") != SCHEMA:
                raise MotionError(f"{path}: schema: expected {SCHEMA!r}, found {facts.get('schema')!r}")
            missing = [key for key in _KEYS if key not in file.keys()]  # noqa: SIM118  # no mapping
            if missing:
                raise MotionError(f"{path}: expected the key {', '.join(missing)}")
            arrays = {key: file.get_tensor(key) for key in _KEYS}
        _go_together(path, arrays, len(json.loads(facts["expression_names"])))
        return arrays, {
            "face_model": facts["face_model"],
            "face_model_sha256": facts["face_model_sha256"],
            "fps": float(facts["fps"]),
            "expression_names": tuple(json.loads(facts["expression_names"])),
        }
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        if isinstance(error, MotionError):
            raise
        raise MotionError(f"{path}: expected a shard of motions, found a damaged file ({error})") from error


def _go_together(path: str, arrays: dict[str, np.ndarray], n_names: int) -> None:
    """Raises `MotionError` unless the arrays are those of one shard."""
    starts = arrays["starts"]
    if starts.ndim != 1 or starts.dtype != np.int64 or len(starts) < 2 or starts[0] != 0 or (np.diff(starts) < 1).any():
        raise MotionError(f"{path}: starts: expected the first frame of each motion, growing from 0, found others")
    frames = int(starts[-1])
    shapes = {"expression": (frames, n_names), "rotation": (frames, 3), "translation": (frames, 3)}
    for key, shape in {**shapes, "origin": (len(starts) - 1, 3)}.items():
        if arrays[key].shape != shape:
            raise MotionError(f"{path}: {key}: expected {shape}, found {arrays[key].shape}")
