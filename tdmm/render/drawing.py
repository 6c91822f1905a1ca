"""One picture from one posed mesh, all in compiled code: normals, projection, z-buffer, edges, colours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tdmm.render.camera import Camera
from tdmm.render.compiled import compiled
from tdmm.render.edges import SAMPLES, draw_samples, mark_edges, mark_thin, number_marks
from tdmm.render.geometry import accumulate_normals, project_points
from tdmm.render.raster import draw_triangles
from tdmm.render.shading import NORMALS, SHADED, WIRE, shade_point
from tdmm.render.styles import OPACITY, Style, light_table, linear_to_srgb, material_table, srgb_to_linear
from tdmm.render.surface import Surface

# Steps of the table that turns linear light 0..1 into sRGB bytes: below 1 byte even where the curve is steepest.
_ENCODE_STEPS = 4096
_ENCODE = np.round(255 * linear_to_srgb(np.arange(_ENCODE_STEPS + 1) / _ENCODE_STEPS)).astype(np.uint8)
_DECODE = srgb_to_linear(np.arange(256) / 255).astype(np.float32)


@dataclass(frozen=True)
class Painter:
    """Draws posed meshes of one surface in one style. Frames are independent, so threads may share a painter."""

    surface: Surface
    style: Style
    antialias: bool = True

    def __post_init__(self) -> None:
        materials = material_table(self.style, self.surface.part_names)
        mode = NORMALS if self.style.normals else WIRE if self.style.wire else SHADED
        order, n_opaque = self.surface.drawing_order(materials[:, OPACITY])
        if not self.surface.has_texture:
            materials = materials.copy()
            materials[:, 11] = 0
        object.__setattr__(self, "_materials", materials)
        object.__setattr__(self, "_lights", light_table(self.style))
        object.__setattr__(self, "_mode", mode)
        object.__setattr__(self, "_n_opaque", n_opaque)
        object.__setattr__(self, "_faces", np.ascontiguousarray(self.surface.faces[order]))
        object.__setattr__(self, "_uv_faces", np.ascontiguousarray(self.surface.uv_faces[order]))
        object.__setattr__(self, "_parts", np.ascontiguousarray(self.surface.part_of_face[order]))

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
            np.linalg.inv(camera.intrinsics).astype(np.float32),
            self._faces,
            self._n_opaque,
            self._parts,
            self.surface.occlusion,
            self.surface.uv,
            self._uv_faces,
            self.surface.texture,
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
        picture = np.empty((*camera.image_size, 3), np.uint8)
        picture[:] = self.style.background
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
    uv,
    uv_faces,
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

    points (V, 3), occlusion (V,) float32; faces, uv_faces (F, 3) int32, opaque ones first; parts (F,) uint8 rows of
    materials; uv (U, 2), texture (h, w, 3) linear float32; lights: see `styles.light_table`.
    """
    height, width = picture.shape[0], picture.shape[1]
    n_vertices = points.shape[0]
    normals = np.empty((n_vertices, 3), np.float32)
    accumulate_normals(points, faces, normals)
    xy, depth = np.empty((n_vertices, 2), np.float32), np.empty(n_vertices, np.float32)
    project_points(points, intrinsics, xy, depth)

    face_id = np.full((height, width), np.int32(-1))
    inverse_depth = np.zeros((height, width), np.float32)
    drawn = faces[:n_opaque] if antialias else faces
    draw_triangles(xy, depth, drawn, True, 0, height, face_id, inverse_depth)
    numbers = np.empty((height, width), np.int32)
    n_marked = 0
    if antialias:
        marks = np.zeros((height, width), np.uint8)
        mark_edges(face_id, inverse_depth, faces, normals, parts, np.float32(1.0 / intrinsics[0, 0]), marks)
        mark_thin(xy, faces, n_opaque, marks)
        n_marked = number_marks(marks, numbers)
    else:
        numbers[:] = -1
    n_samples = offsets.shape[0]
    sample_face = np.full((n_marked, n_samples), np.int32(-1))
    sample_nearness = np.zeros((n_marked, n_samples), np.float32)
    if n_marked > 0:
        part_opacity = materials[:, OPACITY].copy()
        draw_samples(xy, depth, faces, n_opaque, part_opacity, parts, numbers, offsets, sample_face, sample_nearness)

    steps = np.float32(encode.shape[0] - 1)
    share = np.float32(1.0 / n_samples)
    seen = np.empty(n_samples, np.bool_)
    for row in range(height):
        for column in range(width):
            number = numbers[row, column]
            if number < 0:
                f = face_id[row, column]
                if f < 0:
                    continue
                red, green, blue = shade_point(
                    f, np.float32(column + 0.5), np.float32(row + 0.5),
                    mode, xy, depth, normals, faces, occlusion, uv, uv_faces, texture, parts, materials, lights,
                        to_ray,
                )  # fmt: skip
                covered = np.float32(1.0)
            else:
                red = green = blue = covered = np.float32(0.0)
                seen[:] = False
                for s in range(n_samples):
                    f = sample_face[number, s]
                    if f < 0 or seen[s]:
                        continue
                    count, x, y = 0, 0.0, 0.0
                    for t in range(s, n_samples):
                        if sample_face[number, t] == f:
                            seen[t] = True
                            count += 1
                            x += offsets[t, 0]
                            y += offsets[t, 1]
                    r, g, b = shade_point(
                        f, np.float32(column + x / count), np.float32(row + y / count),
                        mode, xy, depth, normals, faces, occlusion, uv, uv_faces, texture, parts, materials, lights,
                        to_ray,
                    )  # fmt: skip
                    weight = np.float32(count) * share
                    red += weight * r
                    green += weight * g
                    blue += weight * b
                    covered += weight
                if covered == np.float32(0.0):
                    continue
            keep = np.float32(1.0) - opacity * covered
            if keep > np.float32(0.0):
                red = opacity * red + keep * decode[picture[row, column, 0]]
                green = opacity * green + keep * decode[picture[row, column, 1]]
                blue = opacity * blue + keep * decode[picture[row, column, 2]]
            picture[row, column, 0] = encode[
                int(min(max(red, np.float32(0.0)), np.float32(1.0)) * steps + np.float32(0.5))
            ]
            picture[row, column, 1] = encode[
                int(min(max(green, np.float32(0.0)), np.float32(1.0)) * steps + np.float32(0.5))
            ]
            picture[row, column, 2] = encode[
                int(min(max(blue, np.float32(0.0)), np.float32(1.0)) * steps + np.float32(0.5))
            ]
