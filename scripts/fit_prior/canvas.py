"""What never changes about the head that the studio paints: its triangles, texels, regions and folds (numpy)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from scipy import ndimage

from tdmm.face.builtin import BuiltinHead
from tdmm.render.raster import rasterize

REGIONS = ("right eye", "left eye", "brows", "mouth")
# Classes of materials, see `looks.materials`.
SKIN, LIPS, EYE, TEETH, MOUTH, HAIR, FRAME = range(7)
N_CLASSES = 7
_CLASS = {
    "skin": SKIN,
    "lips": LIPS,
    "sclera": EYE,
    "iris": EYE,
    "pupil": EYE,
    "teeth": TEETH,
    "gums": MOUTH,
    "tongue": MOUTH,
    "mouth": MOUTH,
    "lashes": SKIN,
}
EYE_X, EYE_Y, EYE_Z = 0.0309, 0.0425, 0.1
MOUTH_Y, MOUTH_Z = -0.030, 0.108
# The brow's arc over the left eye: metres outwards and upwards from the eye's middle.
BROW_ARC = np.array(
    [(-0.0205, 0.0160), (-0.012, 0.0182), (-0.001, 0.0202), (0.010, 0.0208), (0.019, 0.0180), (0.0265, 0.0125)]
)
# Expressions that fold the skin, and where (a middle on the left side, a radius, metres); L stands for the side.
FOLDS: tuple[tuple[tuple[str, ...], tuple[float, float, float], float], ...] = (
    (("mouthSmileL", "cheekSquintL", "noseSneerL", "mouthUpperUpL", "mouthDimpleL"), (0.033, -0.012, 0.100), 0.022),
    (("browInnerUp", "browOuterUpL"), (0.025, 0.085, 0.105), 0.030),
    (("browDownL", "noseSneerL"), (0.006, 0.058, 0.115), 0.012),
    (("eyeSquintL", "mouthSmileL", "cheekSquintL", "eyeBlinkL"), (0.056, 0.040, 0.083), 0.015),
    (("eyeSquintL", "cheekSquintL"), (0.031, 0.024, 0.098), 0.013),
    (("mouthFrownL", "mouthStretchL", "mouthPressL", "mouthDimpleL"), (0.029, -0.046, 0.099), 0.013),
    (("mouthShrugLower", "mouthPressL", "mouthRollLower"), (0.008, -0.056, 0.110), 0.016),
    (("noseSneerL", "mouthUpperUpL"), (0.010, 0.026, 0.118), 0.012),
)


@dataclass(frozen=True)
class Canvas:
    """The head at rest (V vertices, F triangles of which the lashes come last) and its texture of S x S texels.

    faces: (F, 3) int64. n_solid: triangles that are no lashes. kind: (F,) int64 class of material.
    corners: (F, 3, 6) float32 u, v (texture rows downwards), ambient occlusion, resting x, y, z of each corner.
    rest: (V, 3) float32. texel_point: (S, S, 3) resting place, row 0 at v = 1. texel_kind: (S, S). lips: (S, S) 0..1.
    albedo: (S, S, 3) float32 sRGB 0..1 as the head ships. fold_of: (E, V) float32, by how much an expression folds.
    region_face, region_of, region_area: (P,) triangles of the regions, which region each belongs to, its area in m^2.
    scalp: (F', 3) int64 triangles that hair may cover.
    """

    faces: np.ndarray
    n_solid: int
    kind: np.ndarray
    corners: np.ndarray
    rest: np.ndarray
    texel_point: np.ndarray
    texel_kind: np.ndarray
    lips: np.ndarray
    albedo: np.ndarray
    fold_of: np.ndarray
    region_face: np.ndarray
    region_of: np.ndarray
    region_area: np.ndarray
    scalp: np.ndarray


@lru_cache(maxsize=2)
def canvas_of(model: BuiltinHead, texels: int) -> Canvas:
    """The canvas of the built-in head with a texture of `texels` x `texels`."""
    look = model.appearance
    for part_of_look in (look.part_of_face, look.uv, look.uv_faces, look.albedo, look.ambient_occlusion):
        assert part_of_look is not None
    rest = model.vertices(torch.zeros(0), torch.zeros(1, len(model.expression_names)))[0].numpy()
    lashes = look.part_names.index("lashes")
    order = np.argsort(look.part_of_face == lashes, kind="stable")
    faces, uv_faces, part = model.faces[order], look.uv_faces[order], look.part_of_face[order]
    kind = np.array([_CLASS[name] for name in look.part_names])[part]
    uv = look.uv * [1, -1] + [0, 1]
    corners = np.concatenate([uv[uv_faces], look.ambient_occlusion[faces][..., None], rest[faces]], axis=-1)

    flat = rasterize(uv * texels, np.ones(len(uv)), uv_faces[part != lashes], (texels, texels), cull=False)
    hit = flat.face_id >= 0
    point = (rest[faces][flat.face_id] * flat.barycentric[..., None]).sum(2)
    nearest = ndimage.distance_transform_edt(~hit, return_distances=False, return_indices=True)
    point, texel_kind = point[tuple(nearest)], kind[flat.face_id][tuple(nearest)]
    texel_kind = np.where(texel_kind == LIPS, SKIN, texel_kind)  # lips are painted softly
    step = max(look.albedo.shape[0] // texels, 1)
    albedo = look.albedo.reshape(texels, step, texels, step, 3).mean((1, 3)) / 255
    green = albedo[..., 1] / albedo[..., 0].clip(1e-3)
    near = ((point[..., 0] / 0.034) ** 2 + ((point[..., 1] - MOUTH_Y) / 0.022) ** 2 < 1) & (texel_kind == SKIN)
    lips = np.clip((0.76 - green) / 0.13, 0, 1) * near

    region_face, region_of, region_area = _regions(faces, kind, rest)
    centre = rest[faces].mean(1)
    scalp = faces[(kind == SKIN) & (part != lashes) & _may_be_hair(centre)]
    return Canvas(
        faces=faces.astype(np.int64),
        n_solid=int((part != lashes).sum()),
        kind=kind,
        corners=corners.astype(np.float32),
        rest=rest,
        texel_point=point.astype(np.float32),
        texel_kind=texel_kind,
        lips=lips.astype(np.float32),
        albedo=albedo.astype(np.float32),
        fold_of=_folds(rest, model.expression_names),
        region_face=region_face,
        region_of=region_of,
        region_area=region_area,
        scalp=scalp.astype(np.int64),
    )


def _may_be_hair(p: np.ndarray) -> np.ndarray:
    """Whether hair (or a fringe, or a hat) may lie over places (N, 3) of the skin: above the brows, not on the ears."""
    x, y, z = np.abs(p[:, 0]), p[:, 1], p[:, 2]
    front = y > EYE_Y + 0.012
    side = (y > 0.055 - 0.6 * np.clip(0.0 - z, 0, None)) & (z < 0.06)
    back = (z < -0.03) & (y > -0.075)
    ear = (x > 0.066) & (y < 0.068) & (z > -0.035) & (z < 0.05)
    return (front | side | back) & ~ear


def _regions(faces: np.ndarray, kind: np.ndarray, rest: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Triangles of each region that a camera in front sees at rest: triangle, number of the region, area in m^2."""
    corner = rest[faces]
    centre = corner.mean(1)
    normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    area = 0.5 * np.linalg.norm(normal, axis=1)
    facing = normal[:, 2] > 0.5 * area
    # Seen from far in front.
    scale = 1000.0
    xy = np.stack([500 + scale * 2 * rest[:, 0], 500 - scale * 2 * rest[:, 1]], axis=1)
    seen = np.zeros(len(faces), bool)
    seen[np.unique(rasterize(xy, 10 - rest[:, 2], faces, (1000, 1000)).face_id)] = True
    skin = ((kind == SKIN) | (kind == LIPS)) & facing & seen & (centre[:, 2] > 0.05)
    found = [skin & mask for mask in region_masks(centre[:, 0], centre[:, 1])]
    face = np.concatenate([np.flatnonzero(mask) for mask in found])
    of = np.concatenate([np.full(mask.sum(), number) for number, mask in enumerate(found)])
    return face, of, area[face].astype(np.float32)


def region_masks(x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    """Which of places (N,) on the resting head, metres, belong to each of `REGIONS`: (N,) bool each."""
    eyes = [((x - side * EYE_X) / 0.022) ** 2 + ((y - EYE_Y) / 0.014) ** 2 < 1 for side in (-1, 1)]
    arc = np.interp(np.abs(x) - EYE_X, BROW_ARC[:, 0], BROW_ARC[:, 1]) + EYE_Y
    brows = (np.abs(y - arc) < 0.007) & (np.abs(np.abs(x) - EYE_X) < 0.027)
    mouth = (x / 0.033) ** 2 + ((y - MOUTH_Y) / 0.020) ** 2 < 1
    return [*eyes, brows, mouth]


def _folds(rest: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """(E, V) how far an expression at 1 folds the skin at each vertex."""
    total = np.zeros((len(names), len(rest)), np.float32)
    for expressions, middle, radius in FOLDS:
        for sign, side in ((1, "Left"), (-1, "Right")):
            near = np.exp(-(((rest - np.array(middle) * [sign, 1, 1]) / radius) ** 2).sum(1))
            for name in expressions:
                whole = name[:-1] + side if name.endswith("L") else name
                total[names.index(whole)] += 0.9 * near
    return total
