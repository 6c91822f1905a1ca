"""What of a face model a renderer needs, ready for drawing: refined triangles, texture, parts, occlusion."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tdmm.render.styles import linear_to_srgb, srgb_to_linear
from tdmm.render.subdivision import SparseRows, loop_matrix, midpoint_subdivision


@dataclass(frozen=True)
class Surface:
    """A mesh prepared for drawing; with one subdivision step F, V and U are those of the refined mesh.

    matrix: (V, v) from the face model's v vertices, None if they are drawn as they are.
    faces, uv_faces: (F, 3) int32. part_of_face: (F,) uint8 rows of part_names. occlusion: (V,) float32, 1 is open.
    uv: (U, 2) float32. albedo: (h, w, 3) uint8 sRGB texture, row 0 at v = 1; 1 x 1 without one.
    """

    matrix: SparseRows | None
    faces: np.ndarray
    part_names: tuple[str, ...]
    part_of_face: np.ndarray
    occlusion: np.ndarray
    uv: np.ndarray
    uv_faces: np.ndarray
    albedo: np.ndarray

    @property
    def has_texture(self) -> bool:
        return self.albedo.shape[:2] != (1, 1)

    @property
    def texture(self) -> np.ndarray:
        """The albedo (h, w, 3) as linear light, float32."""
        return srgb_to_linear(np.arange(256) / 255).astype(np.float32)[self.albedo]

    def refine(self, vertices: np.ndarray) -> np.ndarray:
        """Drawn vertices (V, 3) float32 from the face model's (v, 3)."""
        if self.matrix is None:
            return np.ascontiguousarray(vertices, np.float32)
        return self.matrix.apply(vertices)

    def seen_from(self, xy: np.ndarray) -> Surface:
        """The surface with its texture halved so often that a texel is about as large as a pixel.

        xy: (V, 2) pixels of the drawn vertices. A finer texture would flicker, and reading it would take longer.
        """
        if not self.has_texture:
            return self
        pixels = doubled_areas(xy, self.faces)
        seen = pixels < -1e-3  # front faces
        if not seen.any():
            return self
        size = np.array(self.albedo.shape[1::-1])
        texels = np.abs(doubled_areas(self.uv * size, self.uv_faces))
        shown = seen & (texels > 0)
        # The middle triangle, when each counts by its area in the picture.
        order = np.argsort(texels[shown] / -pixels[shown])
        weight = np.cumsum(-pixels[shown][order])
        if not len(weight):
            return self
        density = (texels[shown] / -pixels[shown])[order][np.searchsorted(weight, weight[-1] / 2)]
        albedo = self.albedo
        for _ in range(int(np.clip(round(np.log2(max(density, 1e-6)) / 2), 0, 8))):
            albedo = halved(albedo)
        return replace(self, albedo=albedo)

    def drawing_order(self, opacity: np.ndarray) -> tuple[np.ndarray, int]:
        """Triangles to draw, opaque ones first, and how many those are. opacity: (P,) of each part, 0: not drawn."""
        of_face = opacity[self.part_of_face]
        opaque, thin = np.flatnonzero(of_face >= 1), np.flatnonzero((of_face > 0) & (of_face < 1))
        return np.concatenate([opaque, thin]), len(opaque)


def prepare_surface(
    faces: np.ndarray,
    n_vertices: int,
    *,
    part_names: tuple[str, ...] = ("skin",),
    part_of_face: np.ndarray | None = None,
    uv: np.ndarray | None = None,
    uv_faces: np.ndarray | None = None,
    albedo: np.ndarray | None = None,
    ambient_occlusion: np.ndarray | None = None,
    subdivide: bool = True,
) -> Surface:
    """A surface from triangles (F, 3) and the optional fields of `tdmm.face.model.Appearance`."""
    faces = np.ascontiguousarray(faces, np.int32)
    parts = np.zeros(len(faces), np.uint8) if part_of_face is None else np.asarray(part_of_face, np.uint8)
    occlusion = np.ones(n_vertices, np.float32) if ambient_occlusion is None else np.asarray(ambient_occlusion)
    if uv is None or uv_faces is None:
        uv, uv_faces, albedo = np.zeros((1, 2), np.float32), np.zeros_like(faces), None
    if albedo is None:
        albedo = np.full((1, 1, 3), 255, np.uint8)
    matrix = None
    if subdivide:
        uv, uv_faces = midpoint_subdivision(uv, uv_faces) if len(uv) > 1 else (uv, np.repeat(uv_faces, 4, axis=0))
        matrix, faces = loop_matrix(faces, n_vertices)
        occlusion = np.clip(matrix.apply(occlusion[:, None])[:, 0], 0, 1)
        parts = np.repeat(parts, 4)
    return Surface(
        matrix,
        faces,
        tuple(part_names),
        parts,
        np.ascontiguousarray(occlusion, np.float32),
        np.ascontiguousarray(uv, np.float32),
        np.ascontiguousarray(uv_faces, np.int32),
        np.ascontiguousarray(albedo, np.uint8),
    )


def doubled_areas(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Twice the signed areas (F,) of triangles (F, 3) in the plane (N, 2)."""
    a, b = (points[faces[:, k]] - points[faces[:, 0]] for k in (1, 2))
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]


def halved(albedo: np.ndarray) -> np.ndarray:
    """A texture (h, w, 3) uint8 sRGB of half the size: means of 2 x 2 texels in linear light (an odd last row or column
    is left out; a side of one texel stays)."""
    height, width = max(albedo.shape[0] // 2, 1), max(albedo.shape[1] // 2, 1)
    rows, columns = min(2, albedo.shape[0]), min(2, albedo.shape[1])
    table = srgb_to_linear(np.arange(256) / 255).astype(np.float32)
    light = sum(
        table[albedo[row : rows * height : rows, column : columns * width : columns]]
        for row in range(rows)
        for column in range(columns)
    )
    return np.round(255 * linear_to_srgb(light / (rows * columns))).astype(np.uint8)
