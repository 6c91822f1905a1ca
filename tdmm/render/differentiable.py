"""Differentiable pictures of heads: rasterise, shade in torch, blend the silhouettes.

    rasterise     which triangle each pixel sees (numba on the CPU, Triton on CUDA); discrete, no gradient
    interpolate   normals, colours, occlusion, texture coordinates there; gradient to vertices and attributes
    shade         the formula of `tdmm.render.shading`; gradient to normals, albedo and lights
    antialias     blends pixels across silhouettes; gradient to the vertices that make the silhouettes

Distances do not matter to the light, and shadows are not cast. Thin parts (lashes) are left out.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch

from tdmm.render.antialias import MeshEdges, antialias, find_crossings, mesh_edges
from tdmm.render.backends import choose_rasterizer
from tdmm.render.camera import Camera
from tdmm.render.fragments import Rasterizer
from tdmm.render.interpolation import covered_pixels, interpolate
from tdmm.render.styles import COLOUR, OCCLUSION, OPACITY, STYLES, Style, light_table, material_table
from tdmm.render.surface import Surface
from tdmm.render.torch_geometry import project, vertex_normals
from tdmm.render.torch_shading import (
    base_colour,
    linear_to_srgb,
    sample_texture,
    shade_pixels,
    unit,
    view_directions,
)


@dataclass(frozen=True)
class DifferentiableMesh:
    """All of a mesh that does not move, as tensors on one device.

    faces, uv_faces: (F, 3) int64. edges: their silhouette candidates. part_of_face: (F,) int64 rows of materials.
    materials: (P, M) float32, see `styles.material_table`. occlusion: (V,) float32, 1 is open. uv: (U, 2) float32.
    """

    faces: torch.Tensor
    edges: MeshEdges
    part_of_face: torch.Tensor
    materials: torch.Tensor
    occlusion: torch.Tensor
    uv: torch.Tensor
    uv_faces: torch.Tensor

    @staticmethod
    def of_surface(surface: Surface, style: Style = STYLES["skin"]) -> DifferentiableMesh:
        """The opaque triangles of a prepared surface, in the materials of a style; on the CPU, see `to`."""
        materials = material_table(style, surface.part_names)
        order, n_opaque = surface.drawing_order(materials[:, OPACITY])
        order = order[:n_opaque]
        faces = surface.faces[order].astype(np.int64)
        parts = surface.part_of_face[order].astype(np.int64)
        return DifferentiableMesh(
            faces=torch.from_numpy(faces),
            edges=mesh_edges(faces, parts),
            part_of_face=torch.from_numpy(parts),
            materials=torch.from_numpy(materials),
            occlusion=torch.from_numpy(surface.occlusion),
            uv=torch.from_numpy(surface.uv),
            uv_faces=torch.from_numpy(surface.uv_faces[order].astype(np.int64)),
        )

    def to(self, device: torch.device | str) -> DifferentiableMesh:
        """The same mesh on another device."""
        return DifferentiableMesh(**{item.name: getattr(self, item.name).to(device) for item in fields(self)})


@dataclass(frozen=True)
class DifferentiablePicture:
    """Pictures with gradients.

    image: (B, H, W, 3), sRGB 0..1 or linear light, as asked for. alpha: (B, H, W) how much of a pixel the head covers.
    """

    image: torch.Tensor
    alpha: torch.Tensor


def style_lights(style: Style = STYLES["skin"]) -> torch.Tensor:
    """Lights (L + 2, 7) of a style, see `styles.light_table`: unit direction, linear RGB, specular; sky, ground."""
    return torch.from_numpy(light_table(style))


def render_differentiable(
    vertices: torch.Tensor,
    mesh: DifferentiableMesh,
    camera: Camera,
    lights: torch.Tensor,
    *,
    colours: torch.Tensor | None = None,
    texture: torch.Tensor | None = None,
    background: torch.Tensor | None = None,
    cull: bool = True,
    srgb: bool = True,
    rasterizer: Rasterizer | None = None,
) -> DifferentiablePicture:
    """Pictures of B posed meshes, with gradients to vertices, colours, texture, lights and background.

    vertices: (B, V, 3) metres in the camera frame (y up, looking along -z). lights: (L + 2, 7), see `style_lights`;
    light directions are made unit. colours: (V, 3) or (B, V, 3) linear albedo of the vertices; texture: (h, w, 3)
    linear albedo over the mesh's uv, for the materials that take one; neither: the materials' own colours.
    background: (3,) or (B, H, W, 3) linear light behind the head, black by default. srgb: encode the result as sRGB,
    else linear light. rasterizer: the device's own if None.
    """
    height, width = camera.image_size
    batch = len(vertices)
    xy, depth = project(vertices, camera)
    draw = choose_rasterizer(vertices.device) if rasterizer is None else rasterizer
    fragments = draw(xy.detach(), depth.detach(), mesh.faces, camera.image_size, cull)
    pixels = covered_pixels(fragments.face_id, fragments.barycentric)

    intrinsics = torch.from_numpy(np.asarray(camera.intrinsics))
    normals = vertex_normals(vertices, mesh.faces)
    parts = [normals, mesh.occlusion[:, None].to(vertices.dtype).expand(batch, -1, -1)]
    if colours is not None:
        parts.append(colours.expand(batch, -1, -1))
    values = interpolate(vertices, torch.cat(parts, dim=-1), mesh.faces, pixels, intrinsics)
    part = mesh.part_of_face[pixels.face]
    if colours is not None:
        albedo = values[:, 4:7]
    elif texture is not None:
        uv = interpolate(vertices, mesh.uv, mesh.faces, pixels, intrinsics, mesh.uv_faces)
        albedo = base_colour(mesh.materials[part], sample_texture(texture, uv))
    else:
        albedo = mesh.materials[:, COLOUR : COLOUR + 3][part]
    place = pixels.index % (height * width)
    row = torch.div(place, width, rounding_mode="floor")
    centres = torch.stack([place - row * width, row], dim=-1) + 0.5
    share = mesh.materials[:, OCCLUSION][part]
    # Encoded before the silhouettes are blended: the blend is then linear in where a silhouette lies, so that its
    # gradient is that of the integral over the pixels. Blending light and encoding it afterwards would be off by
    # several per cent from one crossing to the next.
    shaded = shade_pixels(
        values[:, :3],
        view_directions(centres.to(vertices.dtype), camera.intrinsics),
        albedo,
        (1 - share * (1 - values[:, 3])).clamp(min=0),
        mesh.materials,
        part,
        torch.cat([unit(lights[:, :3]), lights[:, 3:]], dim=-1),
        srgb=srgb,
    )
    behind = vertices.new_zeros(3) if background is None else background
    behind = linear_to_srgb(behind) if srgb else behind
    opaque = torch.cat([shaded, torch.ones_like(shaded[:, :1])], dim=-1)
    behind = torch.cat([behind.expand(batch, height, width, 3), vertices.new_zeros(batch, height, width, 1)], dim=-1)
    sampled = behind.reshape(-1, 4).index_copy(0, pixels.index, opaque).reshape(batch, height, width, 4)
    crossings = find_crossings(xy, depth, mesh.faces, mesh.edges, fragments.depth, cull=cull)
    smooth = antialias(sampled, xy, crossings, fragments.depth)
    return DifferentiablePicture(smooth[..., :3], smooth[..., 3])
