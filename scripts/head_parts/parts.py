"""All parts of the head over the base mesh."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sparse

from . import atlas
from .assembly import Part, compact, selection, split_quads
from .eyes import build_eye
from .lashes import build_lashes
from .skin import build_skin
from .source import Source
from .teeth import build_teeth

# The base mesh's tongue is as long as the mouth and would stand in the new lower teeth.
TONGUE_LENGTH = 0.93


def build_parts(source: Source, neutral: np.ndarray) -> tuple[list[Part], list[sparse.csr_matrix], np.ndarray]:
    """The parts, skin first; the maps (1, N) that give the left and the right eye's centre; MakeHuman's uv of the skin.

    neutral: (N, 3) the base mesh on which new shapes are placed.
    """
    skin, source_uv = build_skin(source, neutral)
    left, left_center = build_eye(source, neutral, "left", atlas.EYE_DISK)
    right, right_center = build_eye(source, neutral, "right", atlas.EYE_DISK)
    parts = [
        skin,
        left,
        right,
        *build_teeth(source, neutral, atlas.TEETH_BOX, atlas.GUMS),
        _tongue(source, neutral),
        *build_lashes(source, neutral, atlas.LASHES),
    ]
    return parts, [left_center, right_center], source_uv


def _tongue(source: Source, neutral: np.ndarray) -> Part:
    used, triangles = compact(split_quads(source.quads["helper-tongue"]))
    used_uv, uv_triangles = compact(split_quads(source.quad_uvs["helper-tongue"]))
    rows = selection(used, len(neutral))
    root = sparse.csr_matrix(rows[neutral[used][:, 2] < neutral[used][:, 2].min() + 0.012].mean(0))
    rows = rows * TONGUE_LENGTH + sparse.vstack([root * (1 - TONGUE_LENGTH)] * len(used))
    return Part(
        rows.tocsr(),
        triangles,
        atlas.into_box(source.uv[used_uv], atlas.TONGUE_BOX),
        uv_triangles,
        np.full(len(triangles), "tongue"),
        np.ones(len(used)),
    )
