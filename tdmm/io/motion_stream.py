"""Frames as lines of JSON, so that a motion of no known end can be piped from one program to the next.

The first line says whose motion it is, each line after it holds one frame:

    {"schema":"tdmm.motion-stream/1","face_model":...,"face_model_sha256":...,"fps":...,"expression_names":[...]}
    {"t":seconds,"expression":[E],"rotation":[3],"translation":[3]}

The first line may also tell shape, camera, image_size, text and meta, a frame neck_pose, jaw_pose, eyes_pose, valid,
confidence and expression_confidence; what it does not tell is at rest, valid, and seen by the default camera.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from tdmm.errors import MotionError
from tdmm.io.json_lines import BYTE_ORDER_MARK, compact, parsed, short
from tdmm.motion import FaceMotion, make_motion

SCHEMA = "tdmm.motion-stream/1"
MOST_FRAMES = 256  # of a piece
_CHUNK = 65536  # bytes: what a pipe holds
_NEEDED = ("face_model", "face_model_sha256", "fps", "expression_names")
_OTHERS = ("shape", "camera", "image_size", "text", "meta")
_OF_FRAME = ("expression", "rotation", "translation")
# What a frame may leave out, and what it then is.
_AT_REST: dict[str, Any] = {
    "neck_pose": [0.0] * 3,
    "jaw_pose": [0.0] * 3,
    "eyes_pose": [0.0] * 6,
    "valid": True,
    "confidence": 1.0,
}


def looks_like_stream(first_bytes: bytes) -> bool:
    """Whether these first bytes begin lines of JSON, and no motion file (npz)."""
    return first_bytes.removeprefix(BYTE_ORDER_MARK).lstrip().startswith(b"{")


def read_motion_stream(stream: BinaryIO, name: str = "<stream>") -> Iterator[FaceMotion]:
    """Pieces of the motion as they arrive: of as many whole frames as are there, at most `MOST_FRAMES`.

    `concatenate` (`tdmm.motion`) joins them again. Raises `MotionError` that names the stream and the line, once the
    frames before that line were given.
    """
    header: dict[str, Any] | None = None
    last = None
    for lines in _batches(stream, name):
        if header is None:
            header = _header(*lines.pop(0))
        frames: list[tuple[str, dict[str, Any]]] = []
        wrong = None
        for where, line in lines:
            try:
                frames.append((where, _frame(where, line)))
            except MotionError as error:
                wrong = error
                break
        for piece in _pieces(header, frames, last):
            last = float(piece.timestamps[-1])
            yield piece
        if wrong is not None:
            raise wrong
    if header is None:
        raise MotionError(f"{name}: expected a stream of frames, found nothing; did the program before it fail?")
    if last is None:
        raise MotionError(f"{name}: ends before its first frame; did the program before it fail?")


class MotionStreamWriter:
    """Writes the pieces of one motion to a binary stream, each at once."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._first: FaceMotion | None = None
        self._last = -np.inf

    def write(self, piece: FaceMotion) -> None:
        """Write the frames of a piece and flush. The first one tells whose motion it is, its text and meta.

        Raises `MotionError` for a piece of another face model, rate, identity or camera, or one that begins before
        the last one ended. What the stream raises, such as `BrokenPipeError`, passes as it is.
        """
        lines = []
        if self._first is None:
            lines.append(_header_line(piece))
        else:
            for name in (*_NEEDED, "shape", "camera", "image_size"):
                if not np.array_equal(getattr(piece, name), getattr(self._first, name)):
                    raise MotionError(f"a piece of a stream has another {name} than the first piece")
            if piece.timestamps[0] <= self._last:
                raise MotionError(
                    f"timestamps: expected a piece that begins after {self._last:g} s, found {piece.timestamps[0]:g} s"
                )
        lines += [_frame_line(piece, number) for number in range(len(piece))]
        left = memoryview("".join(f"{line}\n" for line in lines).encode())
        while left:  # an unbuffered stream may take only a part
            left = left[self._stream.write(left) :]
        self._stream.flush()
        self._first = self._first or piece[:1]
        self._last = float(piece.timestamps[-1])


# -- writing ----------------------------------------------------------------------------------------------


def _header_line(motion: FaceMotion) -> str:
    values: dict[str, Any] = {"schema": SCHEMA}
    values |= {name: getattr(motion, name) for name in (*_NEEDED, *_OTHERS)}
    values |= {"shape": short(motion.shape), "camera": short(motion.camera)}
    if not motion.meta:
        del values["meta"]
    return compact(values)


def _frame_line(motion: FaceMotion, number: int) -> str:
    values: dict[str, Any] = {"t": float(motion.timestamps[number])}
    values |= {name: short(getattr(motion, name)[number]) for name in _OF_FRAME}
    for name in ("neck_pose", "jaw_pose", "eyes_pose"):
        if (pose := getattr(motion, name)[number]).any():
            values[name] = short(pose)
    if not motion.valid[number]:
        values["valid"] = False
    if motion.confidence[number] != 1:
        (values["confidence"],) = short(motion.confidence[number : number + 1])
    if motion.expression_confidence is not None:
        values["expression_confidence"] = short(motion.expression_confidence[number])
    return compact(values)


# -- reading ----------------------------------------------------------------------------------------------


def _batches(stream: BinaryIO, name: str) -> Iterator[list[tuple[str, bytes]]]:
    """The lines that are there, where each stands and its bytes, at most `MOST_FRAMES` at a time; none are blank."""
    # A read of what is there: it waits only where there is nothing. An unbuffered stream's read does so too.
    read = getattr(stream, "read1", stream.read)
    number, rest, begun = 0, b"", False
    while chunk := read(_CHUNK):
        data = rest + chunk
        if not begun and len(data) >= len(BYTE_ORDER_MARK) and data.strip():
            begun = True
            if not looks_like_stream(data):
                raise MotionError(
                    f"{name}: expected a stream of frames, JSON lines, found {data[:12]!r}; "
                    "tdmm tokenize --decode writes one"
                )
            data = data.removeprefix(BYTE_ORDER_MARK)
        *whole, rest = data.split(b"\n")
        found = [(f"{name}, line {number + at}", line) for at, line in enumerate(whole, start=1) if line.strip()]
        number += len(whole)
        for first in range(0, len(found), MOST_FRAMES):
            yield found[first : first + MOST_FRAMES]
    if rest.strip():
        yield [(f"{name}, line {number + 1}", rest)]


def _object(where: str, line: bytes) -> dict[str, Any]:
    try:
        found = parsed(line.decode())
    except ValueError as error:
        raise MotionError(f"{where}: expected a JSON object, found {line.strip()[:40]!r} ({error})") from error
    if not isinstance(found, dict):
        raise MotionError(f"{where}: expected a JSON object, found {type(found).__name__}")
    return found


def _header(where: str, line: bytes) -> dict[str, Any]:
    """The fields of a motion that all frames share."""
    found = _object(where, line)
    if found.get("schema") != SCHEMA:
        raise MotionError(f"{where}: schema: expected {SCHEMA!r}, found {found.get('schema')!r}")
    missing = [name for name in _NEEDED if name not in found]
    if missing:
        raise MotionError(f"{where}: expected the key {', '.join(missing)}, found only {', '.join(sorted(found))}")
    header = {name: found[name] for name in (*_NEEDED, *_OTHERS) if name in found}
    names, fps = header["expression_names"], header["fps"]
    if not isinstance(names, list):
        raise MotionError(f"{where}: expression_names: expected a list of names, found {names!r}")
    if not isinstance(fps, (int, float)) or isinstance(fps, bool):
        raise MotionError(f"{where}: fps: expected a positive number, found {fps!r}")
    try:  # so that what is wrong here is not said of a frame
        make_motion(np.zeros((1, len(names)), np.float32), **header)
    except MotionError as error:
        raise MotionError(f"{where}: {error}") from error
    return header


def _frame(where: str, line: bytes) -> dict[str, Any]:
    found = _object(where, line)
    missing = [name for name in ("t", *_OF_FRAME) if name not in found]
    if missing:
        raise MotionError(f"{where}: expected the key {', '.join(missing)}, found only {', '.join(sorted(found))}")
    for name in ("t", "confidence"):
        if isinstance(found.get(name), bool):
            raise MotionError(f"{where}: {name}: expected a number, found {found[name]!r}")
    return found


def _pieces(
    header: dict[str, Any], frames: list[tuple[str, dict[str, Any]]], last: float | None
) -> Iterator[FaceMotion]:
    """All frames in one piece; if that cannot be, one by one up to the frame that is wrong. last: seconds before."""
    if not frames:
        return
    try:
        piece = _piece(header, [frame for _, frame in frames])
    except MotionError as error:
        if len(frames) == 1:
            raise MotionError(f"{frames[0][0]}: {error}") from error
        for frame in frames:
            for piece in _pieces(header, [frame], last):
                last = float(piece.timestamps[-1])
                yield piece
        raise  # pragma: no cover  # what is wrong with all is wrong with one, or with its time
    if last is not None and piece.timestamps[0] <= last:
        where = frames[0][0]
        raise MotionError(f"{where}: t: expected more than the {last:g} s before, found {piece.timestamps[0]:g} s")
    yield piece


def _piece(header: dict[str, Any], frames: list[dict[str, Any]]) -> FaceMotion:
    values: dict[str, Any] = {name: [frame[name] for frame in frames] for name in _OF_FRAME}
    values |= {name: [frame.get(name, rest) for frame in frames] for name, rest in _AT_REST.items()}
    if all("expression_confidence" in frame for frame in frames):
        values["expression_confidence"] = [frame["expression_confidence"] for frame in frames]
    return make_motion(**header, **values, timestamps=[frame["t"] for frame in frames])
