"""What the motion encoder sees of a motion, and what the mirror does to it (numpy)."""

from __future__ import annotations

import numpy as np

from tdmm.corpus.perform import EXPRESSION_NAMES
from tdmm.errors import EvaluationError
from tdmm.face.names import other_side
from tdmm.motion import CANONICAL_FPS, FaceMotion

# Columns: 52 ARKit expressions as they are; rotation in radians and translation from its median in metres, scaled so
# that a large movement is about 1.
N_FEATURES = len(EXPRESSION_NAMES) + 6
ROTATION_UNIT, TRANSLATION_UNIT = 0.25, 0.03
LONGEST = 300  # frames that are read at most: 12 s

_COLUMN = {name: number for number, name in enumerate(EXPRESSION_NAMES)}


def features_of(motion: FaceMotion) -> np.ndarray:
    """(T, N_FEATURES) float32 of a motion at 25 frames a second, `LONGEST` frames at most.

    Raises `EvaluationError` for a motion without the 52 ARKit expressions.
    """
    motion = motion.resample(CANONICAL_FPS)  # itself, if its times are even and of that rate
    if motion.expression_names == EXPRESSION_NAMES:
        expression = motion.expression
    else:
        missing = [name for name in EXPRESSION_NAMES if name not in motion.expression_names]
        if missing:
            raise EvaluationError(
                f"a motion of {motion.face_model} lacks the ARKit expression {missing[0]}; the evaluator reads those 52"
            )
        expression = motion.expression[:, [motion.expression_names.index(name) for name in EXPRESSION_NAMES]]
    return pack(expression, motion.rotation, motion.translation)[:LONGEST]


def pack(expression: np.ndarray, rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """(T, N_FEATURES) float32 of expressions (T, 52), rotation (T, 3) radians, translation (T, 3) metres."""
    moved = translation - np.median(translation, axis=0)
    return np.concatenate([expression, rotation / ROTATION_UNIT, moved / TRANSLATION_UNIT], axis=1).astype(np.float32)


# In the mirror left and right change places; turns about y and z and shifts along x change their sign.
MIRROR_INDEX = np.array([*(_COLUMN[other_side(name)] for name in EXPRESSION_NAMES), *range(52, 58)])
MIRROR_SIGN = np.array([*[1.0] * 52, 1.0, -1.0, -1.0, -1.0, 1.0, 1.0], np.float32)
