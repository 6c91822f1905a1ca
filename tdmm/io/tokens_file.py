"""Motion tokens in a file: JSON lines, one motion (or one part of an endless one) a line.

The same tokens give the same bytes. A line holds the codes and what they do not tell: where the head is in the first
frame, whose face it is, and the camera. Files of other systems, of which only the ids and the codes are of interest,
are read by `read_coded`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from operator import index
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TextIO

import numpy as np

from tdmm.errors import MotionError, TokensError
from tdmm.io.json_lines import BYTE_ORDER_MARK, compact, parsed, short
from tdmm.io.whole import whole_file
from tdmm.motion import DEFAULT_IMAGE_SIZE, default_camera, make_motion

SCHEMA = "tdmm.tokens/1"
STREAMS = ("face", "head")
_NEEDED = (
    *("codec", "face_model", "face_model_sha256", "fps", "frames", "stride"),
    *("streams", "sizes", "codes", "rotation", "translation"),
)
_OTHERS = ("id", "shape", "camera", "image_size", "start", "invalid", "text", "meta", "part", "last")


@dataclass(frozen=True, eq=False)
class MotionTokens:
    """The codes of a facial motion. Validated when made: see `TokensError` for what is refused.

    Fields (shape, dtype):
        codec: fingerprint of the codec that made the codes.
        face_model, face_model_sha256, text, meta: as in the motion.
        fps, frames: of the motion. stride: frames a step of codes.
        codes: (steps, Q) int64; steps = ceil(frames / stride).
        streams: Q names of what each column codes, "face" or "head". sizes: Q numbers of codes.
        rotation, translation: (3,) float32 pose of the first frame, axis-angle radians and metres.
        shape: (S,) float32 identity, without the zeros at its end (a face model has any number of them).
        camera: (3, 3) float64. image_size: (H, W) pixels.
        start: seconds, time of the first frame. invalid: runs [first, end) of frames that are not valid, in order.
        id: name of the motion among others.
        part: of an endless motion that is written in parts, the number of this part from 0 on; frames, start and
            invalid are then the part's own. None: the motion is whole. last: whether no part follows. A part that
            is not the last ends with a whole step; a part may be empty.
    """

    codec: str
    face_model: str
    face_model_sha256: str
    fps: float
    frames: int
    stride: int
    codes: np.ndarray
    streams: tuple[str, ...]
    sizes: tuple[int, ...]
    rotation: np.ndarray
    translation: np.ndarray
    shape: np.ndarray
    camera: np.ndarray
    image_size: tuple[int, int]
    start: float = 0.0
    invalid: tuple[tuple[int, int], ...] = ()
    id: str = ""
    text: str = ""
    meta: dict[str, Any] = field(default_factory=dict)
    part: int | None = None
    last: bool = True

    def __post_init__(self) -> None:
        put = lambda name, value: object.__setattr__(self, name, value)  # noqa: E731
        for name in ("codec", "id"):
            if not isinstance(getattr(self, name), str):
                raise TokensError(f"{name}: expected text, found {getattr(self, name)!r}")
        for name in ("fps", "start"):
            value = getattr(self, name)
            if not isinstance(value, (int, float, np.integer, np.floating)) or isinstance(value, bool):
                raise TokensError(f"{name}: expected a number, found {value!r}")
        try:  # The rules of a motion hold for what is told of one.
            frame = make_motion(
                np.zeros((1, 0), np.float32),
                (),
                timestamps=[self.start],
                rotation=[self.rotation],
                translation=[self.translation],
                **{name: getattr(self, name) for name in _OF_MOTION},
            )
        except MotionError as error:
            raise TokensError(str(error)) from error
        for name in _OF_MOTION:
            put(name, getattr(frame, name))
        put("shape", np.trim_zeros(frame.shape, "b"))
        put("rotation", frame.rotation[0])
        put("translation", frame.translation[0])
        put("start", float(frame.timestamps[0]))
        put("stride", _whole("stride", self.stride, 1))
        put("part", None if self.part is None else _whole("part", self.part, 0))
        put("frames", _whole("frames", self.frames, 1 if self.part is None else 0))
        if not isinstance(self.last, (bool, np.bool_)) or not (self.last or self.part is not None):
            raise TokensError(f"last: expected true or, of a motion in parts, false; found {self.last!r}")
        put("last", bool(self.last))
        put("streams", _tuple("streams", self.streams))
        put("sizes", tuple(_whole("sizes", size, 1) for size in _tuple("sizes", self.sizes)))
        if not self.streams or any(name not in STREAMS for name in self.streams):
            raise TokensError(f"streams: expected names of {' and '.join(STREAMS)}, found {list(self.streams)}")
        if len(self.sizes) != len(self.streams):
            raise TokensError(f"sizes: expected {len(self.streams)}, one for each stream, found {len(self.sizes)}")
        put("codes", self._checked_codes())
        put("invalid", self._checked_runs())

    def _checked_codes(self) -> np.ndarray:
        """(steps, Q) int64."""
        width = len(self.streams)
        codes = code_table(np.zeros((0, width), np.int64) if _is_empty(self.codes) else self.codes, "")
        if codes.shape[1] != width:
            raise TokensError(f"codes: expected {width} a step, one for each stream, found {codes.shape[1]}")
        steps = -(-self.frames // self.stride)
        if len(codes) != steps:
            raise TokensError(
                f"codes: expected {steps} steps, {self.stride} frames each, for {self.frames} frames, "
                f"found {len(codes)}; is the line whole?"
            )
        if not self.last and self.frames % self.stride:
            raise TokensError(f"frames: a part that is not the last ends with a whole step, found {self.frames}")
        beyond = np.argwhere(codes >= np.asarray(self.sizes))
        if len(beyond):
            step, column = beyond[0].tolist()
            raise TokensError(
                f"codes: step {step}, column {column} (both from 0): expected 0..{self.sizes[column] - 1}, "
                f"found {codes[step, column]}; was another codec used?"
            )
        return np.ascontiguousarray(codes, np.int64)

    def _checked_runs(self) -> tuple[tuple[int, int], ...]:
        runs = [
            tuple(_whole("invalid", at, 0) for at in _tuple("invalid", run)) for run in _tuple("invalid", self.invalid)
        ]
        end = -1
        for run in runs:
            if len(run) != 2 or not end < run[0] < run[1] <= self.frames:
                raise TokensError(
                    f"invalid: expected runs [first, end) of frames in order and apart, within {self.frames}, "
                    f"found {list(run)}"
                )
            end = run[1]
        return tuple((first, end) for first, end in runs)

    def __len__(self) -> int:
        """Steps of codes."""
        return len(self.codes)

    def __eq__(self, other: object) -> bool:
        """Equal when every field is, number for number: no tolerance."""
        if not isinstance(other, MotionTokens):
            return NotImplemented
        for item in fields(self):
            mine, theirs = getattr(self, item.name), getattr(other, item.name)
            if not (np.array_equal(mine, theirs) if isinstance(mine, np.ndarray) else mine == theirs):
                return False
        return True

    __hash__ = None  # type: ignore[assignment]  # holds arrays

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.frames / self.fps

    @property
    def tokens_per_second(self) -> float:
        return len(self.sizes) * self.fps / self.stride

    @property
    def bits_per_second(self) -> float:
        """As if all codes came equally often."""
        return float(np.log2(self.sizes).sum()) * self.fps / self.stride

    @property
    def valid(self) -> np.ndarray:
        """(frames,) bool."""
        valid = np.ones(self.frames, bool)
        for first, end in self.invalid:
            valid[first:end] = False
        return valid


_OF_MOTION = ("face_model", "face_model_sha256", "fps", "shape", "camera", "image_size", "text", "meta")


def invalid_runs(valid: np.ndarray) -> tuple[tuple[int, int], ...]:
    """The runs [first, end) of frames that are not valid; valid: (T,) bool."""
    edges = np.flatnonzero(np.diff(np.concatenate([[True], np.asarray(valid, bool), [True]]).astype(np.int8)))
    return tuple((int(first), int(end)) for first, end in edges.reshape(-1, 2))


# -- lines ------------------------------------------------------------------------------------------------


def line_of(tokens: MotionTokens) -> str:
    """The JSON of one motion or part, without the end of the line. Camera and picture are left out where they are the
    default portrait's."""
    line: dict[str, Any] = {
        "id": tokens.id,
        "schema": SCHEMA,
        "codec": tokens.codec,
        "face_model": tokens.face_model,
        "face_model_sha256": tokens.face_model_sha256,
        "fps": tokens.fps,
        "frames": tokens.frames,
        "stride": tokens.stride,
        "streams": tokens.streams,
        "sizes": tokens.sizes,
        "codes": tokens.codes.tolist(),
        "rotation": short(tokens.rotation),
        "translation": short(tokens.translation),
        "shape": short(tokens.shape),
        "camera": short(tokens.camera),
        "image_size": tokens.image_size,
        "start": tokens.start,
        "invalid": tokens.invalid,
        "text": tokens.text,
        "meta": tokens.meta,
        "part": tokens.part,
        "last": tokens.last,
    }
    if np.array_equal(tokens.camera, default_camera(tokens.image_size)):
        del line["camera"]
    for name, default in (("image_size", DEFAULT_IMAGE_SIZE), ("meta", {}), ("part", None), ("last", True)):
        if line[name] == default:
            del line[name]
    return compact(line)


def tokens_of(line: str, where: str) -> MotionTokens:
    """The tokens of a line. Raises `TokensError` that begins with `where`, the file and the number of the line."""
    found = _object(line, where)
    schema = found.get("schema")
    if schema != SCHEMA:
        raise TokensError(f"{where}: schema: expected {SCHEMA!r}, found {schema!r}; was it made by another program?")
    missing = [name for name in _NEEDED if name not in found]
    if missing:
        raise TokensError(f"{where}: expected the key {', '.join(missing)}, found only {', '.join(sorted(found))}")
    values = {name: found[name] for name in (*_NEEDED, *_OTHERS) if name in found}
    try:
        values.setdefault("shape", [])
        values.setdefault("image_size", DEFAULT_IMAGE_SIZE)
        if "camera" not in values:
            size = tuple(_whole("image_size", pixels, 1) for pixels in _tuple("image_size", values["image_size"]))
            # Of another length, it is refused with the rest.
            values["camera"] = default_camera(size if len(size) == 2 else DEFAULT_IMAGE_SIZE)
        return MotionTokens(**values)
    except TokensError as error:
        raise TokensError(f"{where}: {error}") from error


def read_tokens(
    source: str | Path | BinaryIO | TextIO,
    name: str | None = None,
    check: Callable[[MotionTokens], None] | None = None,
) -> Iterator[MotionTokens | TokensError]:
    """The tokens of each line of a file or stream, as soon as the line is complete: a pipe may be endless.

    A line that is wrong (torn, of another schema, codes that no codebook has) comes as the `TokensError` that names
    the file and the line, and the lines after it follow. name: of a stream, for errors. check: raises `TokensError`
    for tokens that are no use to the reader, which are then wrong too. Raises `TokensError` for a file that cannot be
    read or holds no text.
    """
    for where, line in _lines(source, name):
        try:
            found = tokens_of(_text(line, where), where)
        except TokensError as error:
            yield error
            continue
        try:
            if check is not None:
                check(found)
        except TokensError as error:
            yield TokensError(f"{where}: {error}")
            continue
        yield found


def write_tokens(path: str | Path, tokens: Iterable[MotionTokens]) -> None:
    """Write a file of tokens, whole or not at all. Raises `OutputError` if it cannot be written."""
    with whole_file(path) as beside, open(beside, "wb") as file:
        for one in tokens:
            file.write(line_of(one).encode() + b"\n")


# -- codes alone ------------------------------------------------------------------------------------------


class Coded(NamedTuple):
    """Id and codes (T, Q) of a line; sizes: Q numbers of codes, None where the line does not tell."""

    id: str
    codes: np.ndarray
    sizes: tuple[int, ...] | None


def read_coded(path: str | Path) -> Iterator[Coded]:
    """Id, codes and sizes of each line of a tokens file of any system: {"id", "codes"} are enough.

    Raises `TokensError` that names the file and the line.
    """
    for where, line in _lines(path, None):
        found = _object(_text(line, where), where)
        if "codes" not in found:
            raise TokensError(f"{where}: expected an object with codes, as tdmm tokenize writes it")
        if found.get("schema", SCHEMA) != SCHEMA:
            raise TokensError(f"{where}: expected the schema {SCHEMA}, found {found['schema']!r}")
        sizes = found.get("sizes")
        try:
            told = None if sizes is None else tuple(_whole("sizes", size, 1) for size in _tuple("sizes", sizes))
        except TokensError as error:
            raise TokensError(f"{where}: {error}") from error
        codes = found["codes"]
        if told and "part" in found and _is_empty(codes):
            codes = np.zeros((0, len(told)), np.int64)
        yield Coded(str(found.get("id", "")), code_table(codes, where), told)


def read_codes(path: str | Path) -> Iterator[tuple[str, np.ndarray]]:
    """Id and codes (T, Q) of each line, see `read_coded`."""
    return ((one.id, one.codes) for one in read_coded(path))


def told_sizes(lines: Iterable[Coded]) -> tuple[int, ...] | None:
    """The numbers of codes that the lines tell; None where none does. Raises `TokensError` for lines that differ."""
    found = {one.sizes for one in lines if one.sizes is not None}
    if len(found) > 1:
        raise TokensError(f"tokens of several codecs: codebooks of {' and of '.join(map(str, sorted(found)))} codes")
    return found.pop() if found else None


def code_table(codes: object, where: str) -> np.ndarray:
    """Codes as an array (T, Q) of whole numbers >= 0; (T,) counts as Q = 1. Raises `TokensError` that begins with
    `where`."""
    try:
        table = np.asarray(codes)
    except ValueError:  # rows of different lengths
        table = np.zeros(0, object)
    table = table[:, None] if table.ndim == 1 and table.size and table.dtype != object else table
    if table.ndim != 2 or table.dtype.kind not in "iu" or (table.size and table.min() < 0):
        message = "codes: expected rows of whole numbers >= 0, all of one length"
        raise TokensError(f"{where}: {message}" if where else message)
    return table


# -- the little that reading needs ------------------------------------------------------------------------


def _lines(source: str | Path | BinaryIO | TextIO, name: str | None) -> Iterator[tuple[str, bytes | str]]:
    """Where it stands, and the line, of each that is not blank."""
    if isinstance(source, (str, Path)):
        try:
            with open(source, "rb") as file:
                yield from _lines(file, name or str(source))
        except FileNotFoundError:
            raise TokensError(f"{source}: there is no such file") from None
        except OSError as error:
            raise TokensError(f"{source}: cannot be read: {error.strerror or error}") from error
        return
    label = getattr(source, "name", None)
    name = name or (label if isinstance(label, str) else "<stream>")
    number = 0
    while True:
        number += 1
        where = f"{name}, line {number}"
        try:
            # Unlike a read of many bytes, it returns as soon as the line is there.
            line: bytes | str = source.readline()
        except UnicodeDecodeError:
            raise TokensError(f"{where}: expected JSON lines of tokens, found bytes that are no text") from None
        if not line:
            return
        if number == 1:
            line = line.removeprefix(BYTE_ORDER_MARK if isinstance(line, bytes) else "\ufeff")  # type: ignore[arg-type]
            # A film given by mistake would be a million wrong lines.
            if (b"\0" if isinstance(line, bytes) else "\0") in line:  # type: ignore[operator]
                raise TokensError(
                    f"{name}: expected JSON lines of tokens, found {line[:12]!r}; tdmm tokenize makes them"
                )
        if line.strip():
            yield where, line


def _text(line: bytes | str, where: str) -> str:
    try:
        return line if isinstance(line, str) else line.decode()
    except UnicodeDecodeError:
        raise TokensError(f"{where}: expected JSON lines of tokens, found bytes that are no text") from None


def _object(line: str, where: str) -> dict[str, Any]:
    try:
        found = parsed(line)
    except ValueError as error:
        raise TokensError(f"{where}: expected a JSON object, found {line.strip()[:40]!r} ({error})") from error
    if not isinstance(found, dict):
        raise TokensError(f"{where}: expected an object with codes, found {type(found).__name__}")
    return found


def _whole(name: str, value: Any, least: int) -> int:
    try:
        number = index(value)
    except TypeError:
        number = least - 1
    if isinstance(value, (bool, np.bool_)) or not least <= number < 2**53:
        raise TokensError(f"{name}: expected a whole number >= {least}, found {value!r}")
    return number


def _tuple(name: str, value: Any) -> tuple[Any, ...]:
    if isinstance(value, (str, Mapping)) or not isinstance(value, (Sequence, np.ndarray)):
        raise TokensError(f"{name}: expected several values, found {value!r}")
    return tuple(value)


def _is_empty(codes: Any) -> bool:
    return isinstance(codes, (list, tuple)) and not codes
