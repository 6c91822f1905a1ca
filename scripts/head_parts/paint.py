"""The albedo texture, painted by formulas over the places of the neutral face: no photograph is involved."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from tdmm.render.raster import rasterize

from . import atlas
from .assembly import Assembly
from .brows import brow_density
from .skin import sample_mask
from .source import Source

SIZE = 1024
SEED = 7
JPEG_QUALITY = 93

SKIN = (207, 162, 138)
LIPS = (178, 104, 98)
BLUSH = (203, 124, 106)
SHADE = (160, 112, 98)
SCALP = (150, 126, 112)
FRECKLE = (158, 104, 76)
HAIR = (64, 46, 36)
LASH_ROOT = (92, 62, 52)
LID_INSIDE = (205, 142, 130)
CAP = (168, 128, 110)
SCLERA = (216, 208, 201)
SCLERA_EDGE = (196, 156, 146)
IRIS = (118, 92, 62)
IRIS_INNER = (152, 116, 70)
LIMBAL_RING = (44, 36, 32)
TOOTH = (236, 229, 212)
TOOTH_NECK = (205, 186, 150)
GUMS = (196, 116, 112)
TONGUE = (192, 106, 102)
TONGUE_GROOVE = (140, 66, 66)
MOUTH = (150, 70, 66)
MOUTH_DEEP = (58, 20, 22)


@dataclass(frozen=True)
class _Canvas:
    """What every texel shows: K texels inside triangles.

    where: (K,) flat index in the picture. triangle: (K,). point: (K, 3) metres on the neutral face. uv: (K, 2) in the
    atlas; source_uv: (K, 2) in MakeHuman's layout, of skin only.
    """

    where: np.ndarray
    triangle: np.ndarray
    point: np.ndarray
    uv: np.ndarray
    source_uv: np.ndarray


def paint_albedo(source: Source, assembly: Assembly, template: np.ndarray, skin_source_uv: np.ndarray) -> np.ndarray:
    """The texture as the bytes of a JPEG file (K,) uint8."""
    canvas = _canvas(assembly, template, skin_source_uv)
    material = assembly.material[canvas.triangle]
    colour = np.zeros((len(canvas.where), 3))
    noise = _Noise(np.random.default_rng(SEED))
    skin = np.isin(material, ("skin", "lips"))
    colour[skin] = _skin(_part(canvas, skin), source, assembly, template, noise)
    mouth = material == "mouth"
    colour[mouth] = _mouth(_part(canvas, mouth), noise)
    tongue = material == "tongue"
    colour[tongue] = _tongue(_part(canvas, tongue), noise)
    teeth = material == "teeth"
    colour[teeth] = _teeth(_part(canvas, teeth))
    # The eyes' disk, beyond its border too, so that no filter reaches another colour.
    picture = np.zeros((SIZE * SIZE, 3))
    filled = np.zeros(SIZE * SIZE, bool)
    drawn = np.isin(material, ("skin", "lips", "mouth", "tongue", "teeth"))
    picture[canvas.where[drawn]], filled[canvas.where[drawn]] = colour[drawn], True
    grid = (np.indices((SIZE, SIZE))[::-1].reshape(2, -1).T + 0.5) / SIZE
    grid[:, 1] = 1 - grid[:, 1]
    offset = grid - np.array(atlas.EYE_DISK[:2])
    disk = np.linalg.norm(offset, axis=1) < atlas.EYE_DISK[2] * 1.02
    picture[disk], filled[disk] = _eye(offset[disk] / atlas.EYE_DISK[2], noise), True
    for spot, flat in ((atlas.SOCKET, LID_INSIDE), (atlas.GUMS, GUMS), (atlas.LASHES, HAIR), (atlas.CAP, CAP)):
        near = np.abs(grid - np.array(spot)).max(1) < atlas.FLAT_RADIUS
        picture[near], filled[near] = flat, True
    nearest = ndimage.distance_transform_edt(
        ~filled.reshape(SIZE, SIZE), return_distances=False, return_indices=True
    ).reshape(2, -1)
    picture = picture[nearest[0] * SIZE + nearest[1]].reshape(SIZE, SIZE, 3)
    buffer = io.BytesIO()
    image = Image.fromarray(np.clip(np.round(picture), 0, 255).astype(np.uint8))
    image.save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0, optimize=True)
    return np.frombuffer(buffer.getvalue(), np.uint8)


def _canvas(assembly: Assembly, template: np.ndarray, skin_source_uv: np.ndarray) -> _Canvas:
    xy = np.stack([assembly.uv[:, 0], 1 - assembly.uv[:, 1]], axis=1) * SIZE
    flat = rasterize(xy, np.ones(len(xy)), assembly.uv_triangles, (SIZE, SIZE), cull=False)
    where = np.flatnonzero(flat.face_id.reshape(-1) >= 0)
    triangle = flat.face_id.reshape(-1)[where]
    weight = flat.barycentric.reshape(-1, 3)[where].astype(np.float64)
    source_uv = np.zeros((len(assembly.uv), 2))
    source_uv[: len(skin_source_uv)] = skin_source_uv

    def mix(values: np.ndarray, triangles: np.ndarray) -> np.ndarray:
        return (values[triangles[triangle]] * weight[..., None]).sum(1)

    return _Canvas(
        where,
        triangle,
        mix(template, assembly.triangles),
        mix(assembly.uv, assembly.uv_triangles),
        mix(source_uv, assembly.uv_triangles),
    )


def _part(canvas: _Canvas, mask: np.ndarray) -> _Canvas:
    return _Canvas(*(getattr(canvas, name)[mask] for name in ("where", "triangle", "point", "uv", "source_uv")))


class _Noise:
    """Smooth random values in space: octaves of trilinear noise on a lattice that repeats."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._lattice = rng.uniform(-1, 1, (48, 48, 48))

    def __call__(self, points: np.ndarray, size: float, octaves: int = 3) -> np.ndarray:
        """(K,) about -1..1 at points (K, 3); `size` of the largest spots, in units of the points."""
        total, weight = np.zeros(len(points)), 0.0
        for octave in range(octaves):
            at = points.T / size * 2**octave + 11.3 * octave
            total += 0.6**octave * ndimage.map_coordinates(self._lattice, at, order=1, mode="grid-wrap")
            weight += 0.6**octave
        return total / weight * 1.6


def _blend(colour: np.ndarray, other: tuple[int, int, int], amount: np.ndarray) -> np.ndarray:
    return colour + (np.array(other, float) - colour) * np.clip(amount, 0, 1)[:, None]


def _spot(points: np.ndarray, middle: tuple[float, float, float], radius: float) -> np.ndarray:
    """A soft round spot on both sides of the face."""
    mirrored = np.stack([np.abs(points[:, 0]), points[:, 1], points[:, 2]], axis=1)
    return np.exp(-(((mirrored - np.array(middle)) / radius) ** 2).sum(1))


def _skin(canvas: _Canvas, source: Source, assembly: Assembly, template: np.ndarray, noise: _Noise) -> np.ndarray:
    p = canvas.point
    colour = np.tile(np.array(SKIN, float), (len(p), 1))
    nose = template[template[:, 2].argmax()]
    eye = template[assembly.eye == 1].mean(0)
    eye_x, eye_y = abs(eye[0]), eye[1]
    blotch, fine = noise(p, 0.030, 3), noise(p + 5.0, 0.004, 3)
    # Blood: cheeks, tip of the nose, ears, a little on the chin.
    colour = _blend(colour, BLUSH, 0.32 * _spot(p, (eye_x + 0.008, nose[1] + 0.006, nose[2] - 0.040), 0.020))
    colour = _blend(colour, BLUSH, 0.26 * _spot(p, tuple(nose), 0.013))
    colour = _blend(colour, BLUSH, 0.30 * _soft_mask(source, "ears", canvas.source_uv))
    colour = _blend(colour, BLUSH, 0.15 * _spot(p, (0.0, nose[1] - 0.062, nose[2] - 0.022), 0.014))
    # Thin skin about the eyes.
    colour = _blend(colour, SHADE, 0.30 * _spot(p, (eye_x - 0.006, eye_y - 0.013, eye[2] + 0.012), 0.012))
    colour = _blend(colour, SHADE, 0.28 * _soft_mask(source, "eyelids", canvas.source_uv))
    colour = _blend(colour, BLUSH, 0.30 * _spot(p, (eye_x - 0.015, eye_y - 0.002, eye[2] + 0.010), 0.004))
    colour *= (1 + 0.018 * blotch + 0.016 * fine)[:, None]
    colour[:, 0] += 3.0 * noise(p + 9.0, 0.012, 2)
    freckles = np.clip(noise(p + 3.0, 0.0035, 1) - 0.95, 0, 1) * 1.6
    over = _spot(p, (0.022, nose[1] + 0.014, nose[2] - 0.030), 0.026)
    colour = _blend(colour, FRECKLE, 0.5 * freckles * over)
    colour = _blend(colour, SCALP, 0.30 * _scalp(p, eye_y, noise) * (0.85 + 0.25 * fine))
    lips = _soft_mask(source, "lips", canvas.source_uv)
    creases = noise(p * np.array([1.0, 0.12, 0.12]), 0.0016, 2)
    colour = _blend(colour, LIPS, 0.86 * lips)
    colour *= (1 + 0.05 * lips * creases)[:, None]
    roots = template[_lash_roots(assembly)]
    distance = _distance(p, roots, 0.004)
    colour = _blend(colour, LASH_ROOT, 0.75 * np.exp(-((distance / 0.0011) ** 2)))
    return _blend(colour, HAIR, brow_density(p, eye_x, eye_y))


def _scalp(p: np.ndarray, eye_y: float, noise: _Noise) -> np.ndarray:
    """Where closely cropped hair would grow: above a hairline that falls behind the temples to the nape."""
    x, y, z = p.T
    front = eye_y + 0.062 - 0.10 * np.clip(np.abs(x) - 0.035, 0, None)
    # Behind the ears (z about 0) the line drops to the nape.
    back = np.clip((0.035 - z) / 0.05, 0, 1)
    line = front * (1 - back) + (eye_y - 0.075) * back
    sideburn = np.where((z > 0.0) & (np.abs(x) > 0.055), 0.010 * noise(p, 0.01, 2), 0.0)
    return 1 / (1 + np.exp(-(y - line + 0.004 * noise(p + 2.0, 0.010, 2) + sideburn) / 0.0065))


def _soft_mask(source: Source, name: str, uv: np.ndarray) -> np.ndarray:
    """One of MakeHuman's masks, softened by averaging a small neighbourhood."""
    reach = 0.0012
    steps = [(dx, dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1)]
    return sum(sample_mask(source, name, uv + reach * np.array(step)) for step in steps) / len(steps)


def _lash_roots(assembly: Assembly) -> np.ndarray:
    """Indices of the lashes' root vertices: the first three of each spike of seven."""
    used = np.unique(assembly.triangles[assembly.material == "lashes"])
    return used.reshape(-1, 7)[:, :2].reshape(-1)


def _distance(points: np.ndarray, targets: np.ndarray, limit: float) -> np.ndarray:
    from scipy.spatial import cKDTree

    distance, _ = cKDTree(targets).query(points, distance_upper_bound=limit)
    return np.minimum(distance, limit)


def _mouth(canvas: _Canvas, noise: _Noise) -> np.ndarray:
    p = canvas.point
    depth = np.clip((p[:, 2].max() - p[:, 2] - 0.014) / 0.040, 0, 1)
    colour = _blend(np.tile(np.array(MOUTH, float), (len(p), 1)), MOUTH_DEEP, depth**0.8)
    socket = np.abs(canvas.uv - np.array(atlas.SOCKET)).max(1) < atlas.FLAT_RADIUS
    colour[socket] = LID_INSIDE
    return colour * (1 + 0.05 * noise(p, 0.005, 2))[:, None]


def _tongue(canvas: _Canvas, noise: _Noise) -> np.ndarray:
    p = canvas.point
    colour = np.tile(np.array(TONGUE, float), (len(p), 1))
    colour = _blend(colour, TONGUE_GROOVE, 0.5 * np.exp(-((p[:, 0] / 0.0016) ** 2)))
    back = np.clip((p[:, 2].max() - p[:, 2] - 0.008) / 0.045, 0, 1)
    colour = _blend(colour, MOUTH_DEEP, 0.85 * back**1.3)
    return colour * (1 + 0.07 * noise(p, 0.0025, 2))[:, None]


def _teeth(canvas: _Canvas) -> np.ndarray:
    u0, v0, u1, v1 = atlas.TEETH_BOX
    across = (canvas.uv[:, 0] - u0) / (u1 - u0) * 2 - 1
    down = (canvas.uv[:, 1] - v0) / (v1 - v0)
    colour = np.tile(np.array(TOOTH, float), (len(across), 1))
    colour = _blend(colour, TOOTH_NECK, 0.8 * np.clip(1 - down / 0.45, 0, 1) ** 1.3)
    colour = _blend(colour, TOOTH_NECK, 0.7 * np.clip((np.abs(across) - 0.72) / 0.28, 0, 1))
    return _blend(colour, (214, 214, 210), 0.35 * np.clip((down - 0.85) / 0.15, 0, 1))


def _eye(offset: np.ndarray, noise: _Noise) -> np.ndarray:
    """The eyeball's disk; offset (K, 2) from its middle in radii."""
    radius = np.linalg.norm(offset, axis=1)
    angle = np.arctan2(offset[:, 1], offset[:, 0])
    from_degrees = lambda degrees: float(atlas.eye_radius(np.array(degrees)))  # noqa: E731
    pupil, limbus = from_degrees(7.2), from_degrees(21.8)
    t = (radius - pupil) / (limbus - pupil)
    around = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    fibres = noise(np.concatenate([around * 9.0, radius[:, None] * 1.2], axis=1) + 7.0, 1.0, 3)
    iris = np.tile(np.array(IRIS, float), (len(radius), 1))
    iris = _blend(iris, IRIS_INNER, 0.8 * np.exp(-(((t - 0.22) / 0.22) ** 2)))
    iris *= (1 + 0.22 * fibres)[:, None]
    iris = _blend(iris, LIMBAL_RING, np.clip((t - 0.72) / 0.28, 0, 1) ** 1.6 * 0.9)
    iris = _blend(iris, LIMBAL_RING, 0.8 * np.clip(1 - t / 0.10, 0, 1))
    sclera = np.tile(np.array(SCLERA, float), (len(radius), 1))
    sclera = _blend(sclera, SCLERA_EDGE, 0.8 * np.clip((radius - limbus - 0.12) / 0.30, 0, 1))
    veins = np.clip(1 - np.abs(noise(np.concatenate([around * 2.6, radius[:, None] * 5], axis=1), 1.0, 3)) / 0.10, 0, 1)
    sclera = _blend(sclera, (196, 120, 112), 0.22 * veins * np.clip((radius - limbus - 0.05) / 0.15, 0, 1))
    edge = np.clip((radius - limbus) / 0.035 + 0.5, 0, 1)[:, None]
    colour = iris * (1 - edge) + sclera * edge
    inside = np.clip((pupil - radius) / 0.02 + 0.5, 0, 1)
    return _blend(colour, (10, 8, 8), inside)
