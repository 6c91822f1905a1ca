"""pytorch3d's rasteriser behind our interface, for users who have built it (it is on no package registry).

pytorch3d's picture has +x to the left and +y up, and its shorter side spans -1 to 1; pixel centres lie at half
pixels as ours do. Triangles wind counter-clockwise as seen on the screen in both. Two rules differ: it takes samples
strictly inside of a triangle only, so that a pixel centre exactly on an edge stays empty, and at equal depth the
winner is not defined. Both matter to made-up scenes rather than to heads.
"""

from __future__ import annotations

import torch

from tdmm.errors import MissingPartError
from tdmm.render.camera import NEAR
from tdmm.render.fragments import TensorFragments


def rasterize_pytorch3d(
    xy: torch.Tensor, depth: torch.Tensor, faces: torch.Tensor, image_size: tuple[int, int], cull: bool = True
) -> TensorFragments:
    """The nearest triangle at every pixel centre, see `tdmm.render.fragments.Rasterizer`; on the CPU or CUDA.

    Raises `MissingPartError` where pytorch3d cannot be imported.
    """
    try:
        from pytorch3d.renderer.mesh.rasterize_meshes import rasterize_meshes
        from pytorch3d.structures import Meshes
    except ImportError as error:
        raise MissingPartError(
            f"pytorch3d cannot be imported ({error}); build it from source as its INSTALL.md says, "
            "or leave the rasterizer to the device"
        ) from error
    xy, depth, faces = xy.detach().float(), depth.detach().float(), faces.long()
    height, width = image_size
    scale = 2.0 / min(height, width)
    centre = torch.tensor([width / 2, height / 2], device=xy.device)
    points = torch.cat([(centre - xy) * scale, depth[..., None]], dim=-1)
    # Triangles that reach nearer than NEAR are dropped here; pytorch3d would clip or wrap them.
    drawn = (depth[:, faces] >= NEAR).all(-1) & torch.isfinite(xy[:, faces]).flatten(2).all(-1)
    kept = [torch.nonzero(row).squeeze(1) for row in drawn]
    points = torch.where(torch.isfinite(points), points, 0.0)
    found, away, barycentric, _ = rasterize_meshes(
        Meshes(verts=list(points), faces=[faces[index] for index in kept]),
        image_size=(height, width),
        blur_radius=0.0,
        faces_per_pixel=1,
        perspective_correct=True,
        clip_barycentric_coords=False,
        cull_backfaces=cull,
    )
    # Triangles are numbered through the whole batch there.
    number = torch.cat(kept)
    empty = found[..., 0] < 0
    face_id = torch.full_like(found[..., 0], -1)
    if len(number):
        face_id = torch.where(empty, -1, number[found[..., 0].clamp(min=0)])
    return TensorFragments(
        face_id.to(torch.int32),
        torch.where(empty[..., None], 0.0, barycentric[..., 0, :]),
        torch.where(empty, 0.0, away[..., 0]),
    )
