"""Performances as motions of the built-in head."""

from __future__ import annotations

from typing import Any

import numpy as np

from tdmm.corpus.perform import EXPRESSION_NAMES, Performance
from tdmm.face.builtin_data import NAME, builtin_fingerprint
from tdmm.motion import CANONICAL_FPS, DEFAULT_TRANSLATION, FaceMotion, make_motion


def to_motion(
    performance: Performance, *, fps: float = CANONICAL_FPS, text: str = "", meta: dict[str, Any] | None = None
) -> FaceMotion:
    """The motion of a mean face that stands at the default portrait camera."""
    translation = np.asarray(DEFAULT_TRANSLATION, np.float32) + performance.head[:, 3:] / 1000
    return make_motion(
        performance.expression,
        EXPRESSION_NAMES,
        face_model=NAME,
        face_model_sha256=builtin_fingerprint(),
        fps=fps,
        rotation=turns(performance.head[:, :3]),
        translation=translation.astype(np.float32),
        text=text,
        meta=meta or {},
    )


def turns(degrees: np.ndarray) -> np.ndarray:
    """(T, 3) axis-angle radians of pitch, yaw, roll in degrees: rolled first, then pitched, then turned."""
    from scipy.spatial.transform import Rotation

    angles = np.radians(degrees[:, [1, 0, 2]].astype(np.float64))
    return Rotation.from_euler("YXZ", angles).as_rotvec().astype(np.float32)
