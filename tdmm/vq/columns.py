"""Which numbers of a motion a codec codes, and how a motion is put together from them again (numpy)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tdmm.errors import MotionError, TokensError
from tdmm.face.names import spell_side
from tdmm.motion import FaceMotion, quaternion_to_rotvec, rotvec_to_quaternion

if TYPE_CHECKING:
    from tdmm.face.model import FaceModel

HEAD = 6  # rotation and translation
_GAZE = "eyeLook"
_BOUNDED = {"jawOpen", "eyeBlinkLeft"}  # names by which ARKit's expressions are known


@dataclass(frozen=True)
class FaceColumns:
    """The P numbers a frame of the face of a face model: expressions, jaw (3), eyes (6).

    bounded: expressions are in 0..1, as ARKit's are.
    """

    face_model: str
    face_model_sha256: str
    expression_names: tuple[str, ...]
    jaw: bool
    eyes: bool
    bounded: bool

    @property
    def width(self) -> int:
        return len(self.expression_names) + 3 * self.jaw + 6 * self.eyes

    def of(self, motion: FaceMotion) -> np.ndarray:
        """(T, P) float32. Raises `MotionError` for a motion of another face model, or with other expressions."""
        motion.check_face_model(self.face_model, self.face_model_sha256)
        if motion.expression_names == self.expression_names:
            expression = motion.expression
        else:
            missing = [name for name in self.expression_names if name not in motion.expression_names]
            if missing:
                raise MotionError(
                    f"this motion of {motion.face_model} has {len(motion.expression_names)} expressions and lacks "
                    f"{missing[0]}; the codec codes {len(self.expression_names)}"
                )
            expression = motion.expression[:, [motion.expression_names.index(name) for name in self.expression_names]]
        parts = [expression]
        if self.jaw:
            parts.append(motion.jaw_pose)
        if self.eyes:
            parts.append(motion.eyes_pose)
        return np.concatenate(parts, axis=1) if len(parts) > 1 else expression

    def fields(self, values: np.ndarray) -> dict[str, np.ndarray]:
        """Fields of a `FaceMotion` from (T, P)."""
        count = len(self.expression_names)
        found = {"expression": values[:, :count].clip(0, 1) if self.bounded else values[:, :count]}
        if self.jaw:
            found["jaw_pose"] = values[:, count : count + 3]
        if self.eyes:
            found["eyes_pose"] = values[:, count + 3 * self.jaw :]
        return found

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def columns_for(model: FaceModel) -> FaceColumns:
    """What is coded of motions of a face model: all its expressions, and its joints' poses. Gaze is expressions where
    the model has such."""
    names = tuple(model.expression_names)
    gaze = any(name.startswith(_GAZE) for name in names)
    return FaceColumns(
        face_model=model.name,
        face_model_sha256=model.sha256,
        expression_names=names,
        jaw=model.joints.jaw,
        eyes=model.joints.eyes and not gaze,
        bounded=_BOUNDED.issubset(map(spell_side, names)),
    )


def columns_of(values: dict[str, Any]) -> FaceColumns:
    """The columns that `FaceColumns.as_dict` made. Raises `TokensError` for what is none."""
    try:
        return FaceColumns(**{**values, "expression_names": tuple(values["expression_names"])})
    except (KeyError, TypeError) as error:
        raise TokensError(f"codec: columns: {error}") from error


def first_pose(motion: FaceMotion) -> tuple[np.ndarray, np.ndarray]:
    """Rotation (3,) and translation (3,) of the first frame. Also where that is not valid: the first valid one is not
    known yet when a stream begins, and what is bridged is where the face was seen next."""
    return motion.rotation[0], motion.translation[0]


def relative_pose(rotation: np.ndarray, translation: np.ndarray, first: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """(T, 6) float32 of poses relative to the first one: the turn since then about the head's own axes of that moment,
    radians, and the way since then in the camera's axes, metres."""
    start = rotvec_to_quaternion(first[0])
    turned = _product(_inverse(start), rotvec_to_quaternion(rotation))
    return np.concatenate([quaternion_to_rotvec(turned), translation - first[1]], axis=1).astype(np.float32)


def absolute_pose(relative: np.ndarray, first: tuple[np.ndarray, np.ndarray]) -> dict[str, np.ndarray]:
    """rotation (T, 3) and translation (T, 3): the inverse of `relative_pose`."""
    turned = _product(rotvec_to_quaternion(first[0]), rotvec_to_quaternion(relative[:, :3]))
    return {
        "rotation": quaternion_to_rotvec(turned).astype(np.float32),
        "translation": (relative[:, 3:] + first[1]).astype(np.float32),
    }


def _inverse(quaternion: np.ndarray) -> np.ndarray:
    return quaternion * np.array([-1.0, -1.0, -1.0, 1.0])


def _product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Hamilton's, XYZW."""
    u, s, v, t = a[..., :3], a[..., 3:], b[..., :3], b[..., 3:]
    vector = s * v + t * u + np.cross(u, v)
    return np.concatenate([vector, s * t - np.sum(u * v, axis=-1, keepdims=True)], axis=-1)
