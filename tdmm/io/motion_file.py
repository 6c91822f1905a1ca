"""FaceMotion in a file: an uncompressed npz without pickles, the same bytes for the same motion."""

from __future__ import annotations

import io
import json
import sys
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from tdmm.errors import MotionError
from tdmm.io.motion_shards import read_part
from tdmm.io.shard_names import names_a_part
from tdmm.io.whole import whole_file
from tdmm.motion import SCHEMA, FaceMotion

# Key: (what it holds, number of axes). Shapes against each other are the business of FaceMotion.
_KEYS: dict[str, tuple[str, int]] = {
    "schema": ("text", 0),
    "face_model": ("text", 0),
    "face_model_sha256": ("text", 0),
    "fps": ("<f8", 0),
    "expression": ("<f4", 2),
    "expression_names": ("text", 1),
    "shape": ("<f4", 1),
    "rotation": ("<f4", 2),
    "translation": ("<f4", 2),
    "neck_pose": ("<f4", 2),
    "jaw_pose": ("<f4", 2),
    "eyes_pose": ("<f4", 2),
    "camera": ("<f8", 2),
    "image_size": ("integer", 1),
    "valid": ("|b1", 1),
    "confidence": ("<f4", 1),
    "timestamps": ("<f8", 1),
    "text": ("text", 0),
    "meta": ("text", 0),
}
# Keys that a file may leave out, for None.
_OPTIONAL: dict[str, tuple[str, int]] = {"expression_confidence": ("<f4", 2)}
_LOCAL_HEADER = b"PK\x03\x04"


def read_motion(source: str | Path | BinaryIO) -> FaceMotion:
    """The motion in a file or a binary stream (read to its end; it need not be seekable), or in a shard of many:
    `motions/00003.safetensors#17` (`tdmm.io.motion_shards`).

    Raises `MotionError` that names the file, the key, what was found and what was expected. Keys that are not
    part of the schema are ignored; objects are never unpickled.
    """
    if isinstance(source, (str, Path)) and names_a_part(source):
        return read_part(source)
    name, data = _read_all(source)
    arrays = _read_arrays(name, data)
    if "schema" not in arrays:
        raise MotionError(
            f"{name}: expected the key schema with {SCHEMA!r}, found {_listed(arrays)}; not a motion file"
        )
    schema = _checked(name, "schema", arrays["schema"])
    if schema != SCHEMA:
        raise MotionError(f"{name}: schema: expected {SCHEMA!r}, found {schema!r}; it needs another version of tdmm")
    missing = [key for key in _KEYS if key not in arrays]
    if missing:
        raise MotionError(f"{name}: expected the key {', '.join(missing)}, found only {_listed(arrays)}")
    values = {key: _checked(name, key, arrays[key]) for key in _KEYS if key != "schema"}
    values |= {key: _checked(name, key, arrays[key]) for key in _OPTIONAL if key in arrays}
    try:
        values["meta"] = json.loads(values["meta"])
    except (ValueError, RecursionError) as error:
        raise MotionError(f"{name}: meta: expected JSON, found {values['meta'][:40]!r} ({error})") from error
    try:
        return FaceMotion(**values)
    except MotionError as error:
        raise MotionError(f"{name}: {error}") from error


def write_motion(motion: FaceMotion, target: str | Path | BinaryIO) -> None:
    """Write a motion to a file (beside it, renamed when whole) or a binary stream (which need not be seekable).

    Equal motions give equal bytes. Raises `OutputError` if the file cannot be written; what a stream raises, such
    as `BrokenPipeError`, passes as it is.
    """
    data = motion_bytes(motion)
    if isinstance(target, (str, Path)):
        with whole_file(target) as beside:
            beside.write_bytes(data)
        return
    left = memoryview(data)
    while left:  # an unbuffered stream may take only a part
        left = left[target.write(left) :]
    target.flush()


def motion_bytes(motion: FaceMotion) -> bytes:
    """The file's content."""
    values: dict[str, Any] = {key: getattr(motion, key) for key in _KEYS if key not in ("schema", "meta")}
    values["schema"] = SCHEMA
    values["meta"] = json.dumps(motion.meta)
    values |= {key: getattr(motion, key) for key in _OPTIONAL if getattr(motion, key) is not None}
    buffer = io.BytesIO()
    # Stored, not deflated: the bytes then depend on no version of zlib.
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for key, (kind, _) in (_KEYS | _OPTIONAL).items():
            if key not in values:
                continue
            dtype = np.dtype({"text": "U", "integer": "<i8"}.get(kind, kind))
            member = io.BytesIO()
            np.lib.format.write_array(member, np.asarray(values[key], dtype), version=(1, 0), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{key}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3  # Unix, on every system
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, member.getvalue())
    return buffer.getvalue()


def _read_all(source: str | Path | BinaryIO) -> tuple[str, bytes]:
    if isinstance(source, (str, Path)):
        try:
            with open(source, "rb") as file:
                # The first bytes tell a motion from a film of gigabytes given by mistake.
                head = file.read(len(_LOCAL_HEADER))
                data = head + (file.read() if head == _LOCAL_HEADER else file.read(64))
        except FileNotFoundError:
            raise MotionError(f"{source}: there is no such file") from None
        except OSError as error:
            raise MotionError(f"{source}: cannot be read: {error.strerror or error}") from error
        return str(source), data
    label = getattr(source, "name", None)
    return (label if isinstance(label, str) else "<stream>"), source.read()


def _read_arrays(name: str, data: bytes) -> dict[str, np.ndarray]:
    if not data:
        raise MotionError(f"{name}: expected a motion file (npz), found nothing; the file or stream is empty")
    if not data.startswith(_LOCAL_HEADER):
        raise MotionError(f"{name}: expected a motion file (npz), found {data[:12]!r}; tdmm fit makes motion files")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {item.filename: archive.read(item) for item in archive.infolist()}
    # What zipfile raises for damage, encryption, unknown compression, sizes out of all reason.
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, MemoryError, OSError) as error:
        raise MotionError(f"{name}: expected a whole npz file, found a truncated or damaged one ({error})") from error
    return {file.removesuffix(".npy"): _decode(name, file.removesuffix(".npy"), data) for file, data in members.items()}


def _decode(name: str, key: str, data: bytes) -> np.ndarray:
    """One npy member. The header is read by numpy, the values without ever looking at pickles."""
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in read_header:
            raise ValueError(f"npy version {version}")
        shape, fortran_order, dtype = read_header[version](stream)
    except (ValueError, EOFError) as error:
        raise MotionError(f"{name}: {key}: expected an npy array, found none ({error})") from error
    if dtype.hasobject:
        raise MotionError(f"{name}: {key}: expected numbers or text, found a pickled object, which is never read")
    # Python integers: a hostile shape must not overflow.
    expected, found = dtype.itemsize, len(data) - stream.tell()
    for length in shape:
        expected *= int(length)
    if expected != found or dtype.itemsize == 0 or min(shape, default=0) < 0:
        raise MotionError(f"{name}: {key}: expected {expected} bytes for {dtype} {shape}, found {found}")
    # A copy, for a view of bytes is read-only, which torch does not like.
    array = np.frombuffer(data, dtype, offset=stream.tell()).copy() if expected else np.zeros(0, dtype)
    try:
        array = array.reshape(shape, order="F" if fortran_order else "C")
    except ValueError as error:  # an empty array with absurd axes
        raise MotionError(f"{name}: {key}: expected an array, found {error}") from error
    if dtype.kind == "U" and expected:
        # numpy fails with a SystemError on such characters.
        codes = np.frombuffer(array.tobytes(), np.dtype("u4").newbyteorder(dtype.byteorder))
        if codes.max() > sys.maxunicode:
            raise MotionError(f"{name}: {key}: expected text, found the number {codes.max()}, which is no character")
    return array


def _checked(name: str, key: str, array: np.ndarray) -> Any:
    """The value of one key, once its dtype and number of axes are right."""
    kind, n_axes = (_KEYS | _OPTIONAL)[key]
    if kind == "text":
        right = array.dtype.kind == "U"
    elif kind == "integer":
        right = array.dtype.kind in "iu"
    else:
        right = array.dtype.newbyteorder("<") == np.dtype(kind)
    if not right or array.ndim != n_axes:
        expected = kind if kind in ("text", "integer") else str(np.dtype(kind))
        raise MotionError(
            f"{name}: {key}: expected {expected} with {n_axes} axes, found {array.dtype} with shape {array.shape}"
        )
    if kind == "text":
        return str(array) if n_axes == 0 else tuple(array.tolist())
    return array


def _listed(arrays: dict[str, np.ndarray]) -> str:
    return ", ".join(sorted(arrays)) or "no keys"
