"""FaceMotion: the one currency of tdmm, a facial motion as arrays over time (numpy only).

Axes are named the same everywhere: T frames, E expression coefficients, S identity coefficients.
Conventions (docs/conventions.md): right-handed, metres, radians; head frame +x to the subject's
left, +y up, +z out of the face; the camera sits at the origin, looks along -z, +y is up.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from tdmm.errors import MotionError

SCHEMA = "tdmm.motion/1"
CANONICAL_FPS = 25.0
# A portrait: 25.4 degrees of view, the head joint 0.75 m away and a little below the centre, so that
# the face fills about half of the height of a square picture.
DEFAULT_IMAGE_SIZE = (512, 512)
DEFAULT_FOCAL_IN_WIDTHS = 2.2
DEFAULT_TRANSLATION = (0.0, -0.03, -0.75)


def default_camera(image_size: tuple[int, int] = DEFAULT_IMAGE_SIZE) -> np.ndarray:
    """Pinhole intrinsics (3, 3) in pixels of a portrait lens for a picture of (H, W) pixels."""
    height, width = image_size
    focal = DEFAULT_FOCAL_IN_WIDTHS * max(height, width)
    return np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]], dtype=np.float64)


@dataclass(frozen=True, eq=False)
class FaceMotion:
    """A facial motion of T frames. Validated when made: see `MotionError` for what is refused.

    Fields (shape, dtype): the arrays are converted to the dtype given here.
        face_model, face_model_sha256: name and fingerprint of the face model's data.
        fps: frames per second. timestamps: (T,) float64 seconds, strictly increasing.
        expression: (T, E) float32. expression_names: E unique names.
        shape: (S,) float32 identity, in standard deviations.
        rotation, translation: (T, 3) float32 root pose, axis-angle radians and metres.
        neck_pose, jaw_pose: (T, 3) float32 radians; zero where the model has no such joint.
        eyes_pose: (T, 6) float32 radians, left then right.
        camera: (3, 3) float64 pinhole intrinsics in pixels. image_size: (H, W) pixels.
        valid: (T,) bool, False where no face was seen (values there are bridged).
        confidence: (T,) float32 in 0..1.
        text: prompt or caption, may be empty. meta: JSON-able dict (source, options, version).
        expression_confidence: (T, E) float32 in 0..1, how well each expression was seen in each frame; None: not told.
    """

    face_model: str
    face_model_sha256: str
    fps: float
    expression: np.ndarray
    expression_names: tuple[str, ...]
    shape: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    neck_pose: np.ndarray
    jaw_pose: np.ndarray
    eyes_pose: np.ndarray
    camera: np.ndarray
    image_size: tuple[int, int]
    valid: np.ndarray
    confidence: np.ndarray
    timestamps: np.ndarray
    text: str = ""
    meta: dict[str, Any] = field(default_factory=dict)
    expression_confidence: np.ndarray | None = None

    def __post_init__(self) -> None:
        put = lambda name, value: object.__setattr__(self, name, value)  # noqa: E731
        for name in ("face_model", "face_model_sha256", "text"):
            put(name, _text(name, getattr(self, name)))
        put("fps", _positive_number("fps", self.fps))
        if isinstance(self.expression_names, str):
            raise MotionError(f"expression_names: expected several names, found the text {self.expression_names!r}")
        put("expression_names", tuple(_text("expression_names", name) for name in self.expression_names))
        if len(set(self.expression_names)) != len(self.expression_names):
            raise MotionError("expression_names: expected unique names, found duplicates")
        expression = _array("expression", self.expression, np.float32, 2)
        n_frames, n_expressions = expression.shape
        if n_frames == 0:
            raise MotionError("expression: expected at least one frame, found none")
        if n_expressions != len(self.expression_names):
            raise MotionError(
                f"expression: expected {len(self.expression_names)} columns, one for each of "
                f"expression_names, found {n_expressions}"
            )
        put("expression", expression)
        put("shape", _array("shape", self.shape, np.float32, 1))
        for name, width in _POSE_WIDTH.items():
            put(name, _array(name, getattr(self, name), np.float32, 2, (n_frames, width)))
        put("camera", _array("camera", self.camera, np.float64, 2, (3, 3)))
        if not (self.camera[0, 0] > 0 and self.camera[1, 1] > 0):
            raise MotionError("camera: expected positive focal lengths on the diagonal")
        if self.camera[2].tolist() != [0, 0, 1]:
            raise MotionError(f"camera: expected the last row 0 0 1, found {self.camera[2].tolist()}")
        put("image_size", _image_size(self.image_size))
        valid = np.asarray(self.valid)
        if valid.dtype != np.bool_ or valid.shape != (n_frames,):
            raise MotionError(f"valid: expected bool ({n_frames},), found {valid.dtype} {valid.shape}")
        put("valid", np.ascontiguousarray(valid))
        put("confidence", _parts("confidence", self.confidence, (n_frames,)))
        if self.expression_confidence is not None:
            put("expression_confidence", _parts("expression_confidence", self.expression_confidence, expression.shape))
        put("timestamps", _array("timestamps", self.timestamps, np.float64, 1, (n_frames,)))
        if n_frames > 1 and np.diff(self.timestamps).min() <= 0:
            raise MotionError("timestamps: expected strictly increasing seconds")
        if not isinstance(self.meta, Mapping):
            raise MotionError(f"meta: expected a JSON object, found {type(self.meta).__name__}")
        try:
            put("meta", json.loads(json.dumps(dict(self.meta), allow_nan=False)))
        except (TypeError, ValueError) as error:
            raise MotionError(f"meta: expected a JSON object, found {error}") from error

    # -- size and comparison ---------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.expression)

    @property
    def duration(self) -> float:
        """Seconds from the first frame to the end of the last one."""
        return float(self.timestamps[-1] - self.timestamps[0]) + 1.0 / self.fps

    def __eq__(self, other: object) -> bool:
        """Equal when every field is, number for number: no tolerance."""
        if not isinstance(other, FaceMotion):
            return NotImplemented
        for item in fields(self):
            mine, theirs = getattr(self, item.name), getattr(other, item.name)
            if isinstance(mine, np.ndarray) or isinstance(theirs, np.ndarray):
                if not np.array_equal(mine, theirs):
                    return False
            elif mine != theirs:
                return False
        return True

    __hash__ = None  # type: ignore[assignment]  # holds arrays

    def check_face_model(self, name: str, sha256: str, whose: str = "this motion") -> None:
        """Raise `MotionError`, naming both, unless the motion belongs to this face model. whose: its file, if known."""
        if self.face_model_sha256 != sha256:
            raise MotionError(
                f"{whose} was made with face model {self.face_model} ({self.face_model_sha256[:12]}), "
                f"not with {name} ({sha256[:12]}); name the right one with --face-model"
            )

    def expression_column(self, name: str) -> np.ndarray:
        """The curve (T,) of one expression by its name. Raises `MotionError` if there is none."""
        try:
            return self.expression[:, self.expression_names.index(name)]
        except ValueError:
            raise MotionError(f"no expression {name!r} in this motion of {self.face_model}") from None

    # -- time ------------------------------------------------------------------------------------

    def __getitem__(self, frames: slice) -> FaceMotion:
        """A contiguous run of frames, `motion[10:20]`; timestamps are kept as they are."""
        if not isinstance(frames, slice):
            raise TypeError("a FaceMotion is sliced by frames: motion[start:stop]")
        start, stop, step = frames.indices(len(self))
        if step != 1:
            raise MotionError("a slice of a motion has step 1; use resample(fps) to change the rate")
        if stop <= start:
            raise MotionError(f"frames {start}:{stop} of a motion of {len(self)} frames hold no frame")
        part: dict[str, Any] = {name: getattr(self, name)[start:stop] for name in _PER_FRAME}
        if self.expression_confidence is not None:
            part["expression_confidence"] = self.expression_confidence[start:stop]
        return replace(self, **part)

    def resample(self, fps: float) -> FaceMotion:
        """The same motion at another constant rate, from the first to the last timestamp.

        Rotations by slerp, the rest linearly. A new frame is valid when every frame that it mixes is.
        A motion that has that rate and evenly spaced timestamps is returned as it is.
        """
        fps = _positive_number("fps", fps)
        start, end = self.timestamps[0], self.timestamps[-1]
        # 1e-6 frames of slack: 7 * (1 / 25) is a hair below 0.28.
        times = start + np.arange(int(np.floor((end - start) * fps + 1e-6)) + 1) / fps
        if len(times) == len(self) and self.fps == fps and np.allclose(times, self.timestamps, rtol=0, atol=1e-6):
            return self
        return self.at(times, fps)

    def at(self, times: np.ndarray, fps: float) -> FaceMotion:
        """The motion at given times (N,) within its own, increasing seconds; fps: the rate that it then has.

        Rotations by slerp, the rest linearly. A new frame is valid when every frame that it mixes is.
        """
        fps, wanted = _positive_number("fps", fps), _array("times", times, np.float64, 1)
        start, end = self.timestamps[0], self.timestamps[-1]
        times = np.clip(wanted, start, end)
        # The slack of resample, and what seconds since 1970 lose in float64.
        slack = 2e-6 / fps + np.spacing(max(abs(start), abs(end)))
        if len(times) and np.abs(wanted - times).max() > slack:
            raise MotionError(f"times: expected seconds within {start:g}..{end:g}, as the motion has them")
        right = np.clip(np.searchsorted(self.timestamps, times, side="right"), 1, max(len(self) - 1, 1))
        right = np.minimum(right, len(self) - 1)
        left = np.maximum(right - 1, 0)
        span = self.timestamps[right] - self.timestamps[left]
        weight = np.where(span > 0, (times - self.timestamps[left]) / np.where(span > 0, span, 1), 0.0)
        weight = np.clip(weight, 0, 1)
        weight[weight < 1e-6] = 0.0
        weight[weight > 1 - 1e-6] = 1.0

        def mix(values: np.ndarray) -> np.ndarray:
            w = weight.reshape(-1, *[1] * (values.ndim - 1))
            return (values[left] * (1 - w) + values[right] * w).astype(values.dtype)

        def mix_rotations(values: np.ndarray) -> np.ndarray:
            joints = values.reshape(len(values), -1, 3)
            mixed = slerp(joints[left], joints[right], weight[:, None])
            return mixed.reshape(len(times), values.shape[1]).astype(values.dtype)

        turned: dict[str, Any] = {name: mix_rotations(getattr(self, name)) for name in _ROTATIONS}
        valid = (self.valid[left] | (weight == 1)) & (self.valid[right] | (weight == 0))
        return replace(
            self,
            fps=fps,
            expression=mix(self.expression),
            translation=mix(self.translation),
            confidence=mix(self.confidence),
            expression_confidence=None if self.expression_confidence is None else mix(self.expression_confidence),
            valid=valid,
            timestamps=wanted,
            **turned,
        )


_POSE_WIDTH = {"rotation": 3, "translation": 3, "neck_pose": 3, "jaw_pose": 3, "eyes_pose": 6}
_ROTATIONS = ("rotation", "neck_pose", "jaw_pose", "eyes_pose")
_PER_FRAME = ("expression", *_POSE_WIDTH, "valid", "confidence", "timestamps")


def make_motion(
    expression: np.ndarray,
    expression_names: Sequence[str],
    *,
    face_model: str,
    face_model_sha256: str,
    fps: float = CANONICAL_FPS,
    **others: Any,
) -> FaceMotion:
    """A motion from expression curves (T, E), everything else at rest unless given by its field name.

    Defaults: mean identity, a face that looks at the default portrait camera, all frames valid.
    """
    n_frames = len(expression)
    fps = _positive_number("fps", fps)
    image_size = _image_size(others.pop("image_size", DEFAULT_IMAGE_SIZE))
    defaults: dict[str, Any] = {
        "shape": np.zeros(0, np.float32),
        "camera": default_camera(image_size),
        "valid": np.ones(n_frames, bool),
        "confidence": np.ones(n_frames, np.float32),
        "timestamps": np.arange(n_frames) / fps,
        **{name: np.zeros((n_frames, width), np.float32) for name, width in _POSE_WIDTH.items()},
    }
    defaults["translation"] = np.tile(np.asarray(DEFAULT_TRANSLATION, np.float32), (n_frames, 1))
    return FaceMotion(
        face_model=face_model,
        face_model_sha256=face_model_sha256,
        fps=fps,
        expression=expression,
        expression_names=tuple(expression_names),
        image_size=image_size,
        **{**defaults, **others},
    )


def concatenate(motions: Sequence[FaceMotion]) -> FaceMotion:
    """Motions of one face model, identity, camera and rate, one after the other.

    Each part starts one frame (1 / fps) after the last frame of the part before it; a part that does so already,
    to half a frame, keeps its timestamps, so that a motion cut in pieces and joined again is the same motion.
    Text and meta are the first part's; expression_confidence is kept where every part tells it. Raises `MotionError`
    naming the field in which two parts differ.
    """
    if not motions:
        raise MotionError("nothing to concatenate: expected at least one motion")
    first = motions[0]
    for number, other in enumerate(motions[1:], start=2):
        for name in ("face_model", "face_model_sha256", "fps", "expression_names", "shape", "camera", "image_size"):
            if not np.array_equal(getattr(first, name), getattr(other, name)):
                raise MotionError(f"cannot concatenate: part {number} has another {name} than the first part")
    joined: dict[str, Any] = {name: np.concatenate([getattr(m, name) for m in motions]) for name in _PER_FRAME}
    times, start = [], first.timestamps[0]
    for motion in motions:
        shift = start - motion.timestamps[0]
        times.append(motion.timestamps + (shift if abs(shift) > 0.5 / first.fps else 0.0))
        start = times[-1][-1] + 1.0 / first.fps
    joined["timestamps"] = np.concatenate(times)
    told = [m.expression_confidence for m in motions if m.expression_confidence is not None]
    joined["expression_confidence"] = np.concatenate(told) if len(told) == len(motions) else None
    return replace(first, **joined)


# -- rotations in numpy: the little that resampling needs ---------------------------------------------


def rotvec_to_quaternion(rotvec: np.ndarray) -> np.ndarray:
    """Axis-angle (..., 3) radians to unit quaternions (..., 4) in the order XYZW."""
    rotvec = np.asarray(rotvec, np.float64)
    angle = np.linalg.norm(rotvec, axis=-1, keepdims=True)
    # sin(a/2)/a through sinc, which is exact at 0.
    return np.concatenate([rotvec * 0.5 * np.sinc(angle / (2 * np.pi)), np.cos(angle / 2)], axis=-1)


def quaternion_to_rotvec(quaternion: np.ndarray) -> np.ndarray:
    """Unit quaternions (..., 4) XYZW to axis-angle (..., 3) radians, of angle at most pi."""
    q = np.asarray(quaternion, np.float64)
    q = np.where(q[..., 3:] < 0, -q, q)
    sine = np.linalg.norm(q[..., :3], axis=-1, keepdims=True)
    angle = 2 * np.arctan2(sine, q[..., 3:])
    return q[..., :3] * np.where(sine > 1e-12, angle / np.where(sine > 1e-12, sine, 1), 2.0)


def slerp(first: np.ndarray, second: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Axis-angle (..., 3) at `weight` (...) of the way from `first` to `second`, the shorter way round.

    Shoemake, Animating Rotation with Quaternion Curves, SIGGRAPH 1985. Weights 0 and 1 return the ends as
    they are, so that resampling leaves the frames alone that it does not mix.
    """
    a, b = rotvec_to_quaternion(first), rotvec_to_quaternion(second)
    cosine = np.sum(a * b, axis=-1, keepdims=True)
    b = np.where(cosine < 0, -b, b)
    angle = np.arctan2(np.linalg.norm(b - a, axis=-1, keepdims=True), np.linalg.norm(b + a, axis=-1, keepdims=True)) * 2
    w = np.asarray(weight, np.float64)[..., None]
    sine = np.sin(angle)
    small = sine < 1e-9
    safe = np.where(small, 1.0, sine)
    left = np.where(small, 1 - w, np.sin((1 - w) * angle) / safe)
    right = np.where(small, w, np.sin(w * angle) / safe)
    mixed = quaternion_to_rotvec(_unit(left * a + right * b))
    return np.where(w == 0, first, np.where(w == 1, second, mixed))


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


# -- validation ---------------------------------------------------------------------------------------


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise MotionError(f"{name}: expected text, found {type(value).__name__}")
    if "\0" in value:  # numpy drops those at the end, and a file would not give back what was put in
        raise MotionError(f"{name}: expected text without NUL characters, found {value!r}")
    return str(value)


def _array(name: str, value: Any, dtype: Any, ndim: int, shape: tuple[int, ...] | None = None) -> np.ndarray:
    try:
        found = np.asarray(value)
    except ValueError as error:  # rows of different lengths
        raise MotionError(f"{name}: expected an array, found {error}") from error
    if found.dtype.kind not in "fiu":
        raise MotionError(f"{name}: expected {np.dtype(dtype)} numbers, found {found.dtype}")
    if found.ndim != ndim or (shape is not None and found.shape != shape):
        expected = str(shape) if shape is not None else f"{ndim} axes"
        raise MotionError(f"{name}: expected {expected}, found {found.shape}")
    with np.errstate(over="ignore"):  # 1e300 in float32 is caught as infinite below
        array = np.ascontiguousarray(found, dtype=dtype)
    finite = np.isfinite(array)
    if not finite.all():
        where = np.argwhere(~finite)[0]
        raise MotionError(
            f"{name}: expected finite numbers, found {array[tuple(where)]} at {[int(i) for i in where]} "
            f"({int((~finite).sum())} in all)"
        )
    return array


def _parts(name: str, value: Any, shape: tuple[int, ...]) -> np.ndarray:
    array = _array(name, value, np.float32, len(shape), shape)
    if array.size and (array.min() < 0 or array.max() > 1):
        raise MotionError(f"{name}: expected values in 0..1")
    return array


def _positive_number(name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise MotionError(f"{name}: expected a positive number, found {value!r}") from None
    if not (np.isfinite(number) and number > 0):
        raise MotionError(f"{name}: expected a positive number, found {number}")
    return number


def _image_size(value: Any) -> tuple[int, int]:
    try:
        found = np.asarray(value)
    except ValueError as error:
        raise MotionError(f"image_size: expected (height, width) in pixels, found {value!r}") from error
    if found.shape != (2,) or found.dtype.kind not in "iu" or found.min() < 1:
        raise MotionError(f"image_size: expected (height, width) in pixels, found {found.tolist()}")
    return int(found[0]), int(found[1])
