"""Which landmark belongs to which region of the face that can be hidden by itself, and which region a control moves."""

from __future__ import annotations

import numpy as np

from tdmm.face.scheme import IBUG68, MEDIAPIPE478, Scheme
from tdmm.fit.landmark_model import LandmarkModel
from tdmm.fit.prior import REGIONS

RIGHT_EYE, LEFT_EYE, BROWS, MOUTH = range(len(REGIONS))

# mediapipe's: contour of the lids and the two rings around it.
_RIGHT_EYE = [33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246]
_RIGHT_EYE += [130, 25, 110, 24, 23, 22, 26, 112, 243, 190, 56, 28, 27, 29, 30, 247]
_RIGHT_EYE += [226, 31, 228, 229, 230, 231, 232, 233, 244]
_LEFT_EYE = [263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466]
_LEFT_EYE += [359, 255, 339, 254, 253, 252, 256, 341, 463, 414, 286, 258, 257, 259, 260, 467]
_LEFT_EYE += [446, 261, 448, 449, 450, 451, 452, 453, 464]
_BROWS = [70, 63, 105, 66, 107, 46, 53, 52, 65, 55, 300, 293, 334, 296, 336, 276, 283, 282, 295, 285]
_BROWS += [9, 107, 336, 151, 69, 104, 68, 108, 299, 333, 298, 337]
# Where the nose meets the upper lip: what lies lower, on the resting face, belongs to the mouth.
_UNDER_NOSE = 2
_IBUG = {
    RIGHT_EYE: range(36, 42),
    LEFT_EYE: range(42, 48),
    BROWS: range(17, 27),
    MOUTH: [*range(4, 13), *range(48, 68)],
}
# A control that moves no region's landmarks by this much (metres) is told by the mouth: a tongue.
HARDLY = 5e-4


def landmark_regions(scheme: Scheme, model: LandmarkModel) -> np.ndarray:
    """(L,) number of the region in `REGIONS` of each of the model's landmarks, -1 for none."""
    region = np.full(scheme.n_points, -1)
    if scheme == MEDIAPIPE478:
        if _UNDER_NOSE in model.index:
            height = model.base[:, 1].numpy()
            below = height < height[np.flatnonzero(model.index == _UNDER_NOSE)[0]]
            region[model.index[below]] = MOUTH
        for number, points in ((BROWS, _BROWS), (RIGHT_EYE, _RIGHT_EYE), (LEFT_EYE, _LEFT_EYE)):
            region[points] = number
        for number, eye in zip((RIGHT_EYE, LEFT_EYE), scheme.eyes, strict=True):
            region[list(eye.iris)] = number
    elif scheme == IBUG68:
        for number, some in _IBUG.items():
            region[list(some)] = number
    return region[model.index]


def control_regions(scheme: Scheme, model: LandmarkModel) -> np.ndarray:
    """(C, 4) the part of each control that each region tells, rows of sum 1: by how far it moves their landmarks."""
    region = landmark_regions(scheme, model)
    reach = np.maximum(np.abs(model.controls.lower), np.abs(model.controls.upper))
    moves = np.linalg.norm(model.control_basis.numpy(), axis=2) * reach[:, None]
    energy = np.stack([(moves[:, region == number] ** 2).sum(1) for number in range(len(REGIONS))], axis=1)
    most = np.stack([moves[:, region == number].max(1, initial=0) for number in range(len(REGIONS))], axis=1)
    unseen = most.max(1, initial=0) < HARDLY
    energy[unseen] = 0
    energy[unseen, MOUTH] = 1
    return energy / energy.sum(1, keepdims=True)
