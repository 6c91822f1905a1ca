"""One picture from one posed mesh, all in compiled code: normals, projection, z-buffer, edges, colours."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from tdmm.render.camera import NEAR, Camera
from tdmm.render.compiled import compiled
from tdmm.render.edges import SAMPLES, TILE, draw_samples, mark_edges, mark_thin, number_marks
from tdmm.render.geometry import accumulate_normals, project_points
from tdmm.render.raster import draw_triangles
from tdmm.render.shading import NORMALS, SHADED, WIRE, shade_pixels
from tdmm.render.styles import OPACITY, TEXTURED, Style, light_table, linear_to_srgb, material_table, srgb_to_linear
from tdmm.render.surface import Surface

# Steps of the table that turns linear light 0..1 into sRGB bytes: below 1 byte even where the curve is steepest.
_ENCODE_STEPS = 4096
_ENCODE = np.round(255 * linear_to_srgb(np.arange(_ENCODE_STEPS + 1) / _ENCODE_STEPS)).astype(np.uint8)
_DECODE = srgb_to_linear(np.arange(256) / 255).astype(np.float32)


class Painter:
    """Draws posed meshes of one surface in one style. Frames are independent, so threads may share a painter."""

    def __init__(self, surface: Surface, style: Style, antialias: bool = True) -> None:
        self.surface, self.style, self.antialias = surface, style, antialias
        self._materials = material_table(style, surface.part_names)
        order, self._n_opaque = surface.drawing_order(self._materials[:, OPACITY])
        if not surface.has_texture:
            self._materials[:, TEXTURED] = 0
        self._lights = light_table(style)
        self._mode = NORMALS if style.normals else WIRE if style.wire else SHADED
        self._faces = np.ascontiguousarray(surface.faces[order])
        self._texels = texel_corners(surface, order)
        self._parts = np.ascontiguousarray(surface.part_of_face[order])

    def paint(
        self, vertices: np.ndarray, camera: Camera, background: np.ndarray | None = None, opacity: float = 1.0
    ) -> np.ndarray:
        """The picture (H, W, 3) uint8 sRGB of one posed mesh.

        vertices: (V, 3) in camera space, of the face model's own mesh. background: (H, W, 3) uint8 picture behind
        the head; None: the style's plain colour. opacity: of the head over the background, 0..1.
        """
        picture = self.blank(camera, background)
        points = self.surface.refine(vertices)
        draw_picture(
            points,
            np.ascontiguousarray(camera.intrinsics, np.float64),
            camera.inverse.astype(np.float32),
            self._faces,
            self._n_opaque,
            self._parts,
            self.surface.occlusion,
            self._texels,
            self.surface.albedo,
            self._materials,
            self._lights,
            self._mode,
            self.antialias,
            np.float32(opacity),
            SAMPLES,
            _ENCODE,
            _DECODE,
            picture,
        )
        return picture

    def blank(self, camera: Camera, background: np.ndarray | None = None) -> np.ndarray:
        """A new picture (H, W, 3) uint8 without a head: a copy of the background, or the style's plain colour."""
        if background is not None:
            return np.array(background, np.uint8, order="C")
        return plain_picture(camera.image_size, self.style.background).copy()


def texel_corners(surface: Surface, order: np.ndarray) -> np.ndarray:
    """The corners' places (F, 3, 2) float32 in the texture of the triangles `order` (F,), in texels from the middle of
    the first one, so that whole numbers are the middles of texels."""
    height, width = surface.albedo.shape[:2]
    u, v = surface.uv[surface.uv_faces[order]].transpose(2, 0, 1)
    return np.ascontiguousarray(np.stack([u * width - 0.5, (1 - v) * height - 0.5], axis=-1), np.float32)


@lru_cache(maxsize=4)
def plain_picture(image_size: tuple[int, int], colour: tuple[int, int, int]) -> np.ndarray:
    """(H, W, 3) uint8 of one colour; kept, since copying it is ten times faster than making it."""
    picture = np.empty((*image_size, 3), np.uint8)
    picture[:] = colour
    return picture


@compiled()
def draw_picture(  # type: ignore[no-untyped-def]
    points,
    intrinsics,
    to_ray,
    faces,
    n_opaque,
    parts,
    occlusion,
    texels,
    texture,
    materials,
    lights,
    mode,
    antialias,
    opacity,
    offsets,
    encode,
    decode,
    picture,
):
    """Draw over picture (H, W, 3) uint8.

    points (V, 3), occlusion (V,) float32; faces (F, 3) int32, opaque ones first; parts (F,) uint8 rows of materials;
    texels: see `texel_corners`; texture (h, w, 3) uint8 sRGB; lights: see `styles.light_table`.
    """
    height, width = picture.shape[0], picture.shape[1]
    n_vertices = points.shape[0]
    normals = np.empty((n_vertices, 3), np.float32)
    accumulate_normals(points, faces, normals)
    xy, depth = np.empty((n_vertices, 2), np.float32), np.empty(n_vertices, np.float32)
    project_points(points, intrinsics, xy, depth)

    box = pixel_box(xy, depth, height, width)
    face_id = np.full((height, width), np.int32(-1))
    inverse_depth = np.zeros((height, width), np.float32)
    drawn = faces[:n_opaque] if antialias else faces
    draw_triangles(xy, depth, drawn, True, 0, height, face_id, inverse_depth)
    tiles = np.zeros(((height + TILE - 1) // TILE, (width + TILE - 1) // TILE), np.uint8)
    numbers = np.empty((height, width), np.int32)
    n_marked = 0
    if antialias:
        marks = np.zeros((height, width), np.uint8)
        mark_edges(face_id, inverse_depth, faces, normals, parts, np.float32(1.0 / intrinsics[0, 0]), box, marks)
        mark_thin(xy, faces, n_opaque, marks)
        n_marked = number_marks(marks, numbers, tiles)
    else:
        numbers[:] = -1
    n_samples = offsets.shape[0]
    sample_face = np.full((n_marked, n_samples), np.int32(-1))
    sample_nearness = np.zeros((n_marked, n_samples), np.float32)
    if n_marked > 0:
        part_opacity = materials[:, OPACITY].copy()
        draw_samples(
            xy, depth, faces, n_opaque, part_opacity, parts, numbers, tiles, offsets, sample_face, sample_nearness
        )

    vertices = np.empty((n_vertices, 8), np.float32)  # 8: two vertices fill a cache line
    for v in range(n_vertices):
        vertices[v, 0], vertices[v, 1], vertices[v, 2] = xy[v, 0], xy[v, 1], depth[v]
        vertices[v, 3], vertices[v, 4], vertices[v, 5] = normals[v, 0], normals[v, 1], normals[v, 2]
        vertices[v, 6] = occlusion[v]
    shade_pixels(
        box, face_id, numbers, sample_face, offsets, vertices, faces, parts, texels, texture,
         materials, lights, to_ray, mode, opacity, encode, decode, picture,
    )  # fmt: skip


@compiled()
def pixel_box(xy, depth, height, width):  # type: ignore[no-untyped-def]
    """First and last row, first and last column that points in front of the camera can touch; empty if none can."""
    left, right, top, bottom = np.inf, -np.inf, np.inf, -np.inf
    for v in range(xy.shape[0]):
        if depth[v] >= NEAR:
            left, right = min(left, xy[v, 0]), max(right, xy[v, 0])
            top, bottom = min(top, xy[v, 1]), max(bottom, xy[v, 1])
    if not (left < width and right >= 0.0 and top < height and bottom >= 0.0):
        return 0, -1, 0, -1
    return (
        int(max(top, 0.0)),
        int(min(bottom, height - 1.0)),
        int(max(left, 0.0)),
        int(min(right, width - 1.0)),
    )
