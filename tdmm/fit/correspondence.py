"""The 68 points of iBUG on a face model whose mediapipe landmarks have a place on the mesh.

Each of the 68 points lies where one of mediapipe's 478 does, so that its place is known on every model for which theirs
is. People who mark pictures do not agree on such places to better than about two millimetres, and the points along the
jaw lie on the silhouette, wherever that is.
"""

from __future__ import annotations

import copy

import numpy as np

from tdmm.errors import FaceModelError
from tdmm.face.flame import IBUG_JAW_SIGMA, IBUG_SIGMA, N_IBUG_JAW, FlameModel
from tdmm.face.model import FaceModel, LandmarkEmbedding
from tdmm.face.scheme import IBUG68

# mediapipe's landmark of each of iBUG's, in iBUG's order: from the subject's right to the left.
MEDIAPIPE_OF_IBUG = (
    127, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 356,  # jaw
    70, 63, 105, 66, 107, 336, 296, 334, 293, 300,  # brows
    168, 197, 5, 4, 75, 97, 2, 326, 305,  # nose: its ridge, then its underside
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,  # lids
    61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91,  # lips, outer edge
    78, 81, 13, 311, 308, 402, 14, 178,  # lips, inner edge
)  # fmt: skip


def with_scheme(model: FaceModel, scheme: str) -> FaceModel:
    """The model with an embedding of the landmarks of that scheme: itself, or a copy that shares its data.

    iBUG's 68 are the model's own (`landmark_embedding.npy` beside a FLAME file) or come from mediapipe's landmarks. A
    model without any embedding is returned as it is. Raises `FaceModelError` where the scheme's places are not known.
    """
    embedding = model.landmark_embedding
    own = model.ibug68_embedding if isinstance(model, FlameModel) and scheme == IBUG68.name else None
    if own is None and (embedding is None or embedding.scheme == scheme):
        return model
    if own is None:
        assert embedding is not None
        if scheme != IBUG68.name or embedding.scheme != "mediapipe478":
            raise FaceModelError(f"{model.name} has landmarks of {embedding.scheme}, and none of {scheme}")
        own = ibug68_from_mediapipe(embedding)
    other = copy.copy(model)
    other.landmark_embedding = own
    return other


def ibug68_from_mediapipe(embedding: LandmarkEmbedding) -> LandmarkEmbedding:
    """Where iBUG's 68 points lie, from where mediapipe's 478 do; -1 where that one has no place."""
    index = np.array(MEDIAPIPE_OF_IBUG)
    marks = np.where(np.arange(len(index)) < N_IBUG_JAW, IBUG_JAW_SIGMA, IBUG_SIGMA)
    return LandmarkEmbedding(
        face=embedding.face[index],
        barycentric=embedding.barycentric[index],
        sigma=np.hypot(embedding.sigma[index], marks).astype(np.float32),
        scheme=IBUG68.name,
    )
