"""What the pixels of a batch of pictures see, as tensors: the common output of all rasterisers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch


@dataclass(frozen=True)
class TensorFragments:
    """`tdmm.render.raster.Fragments` of B pictures as tensors on one device, without gradient.

    face_id: (B, H, W) int32 index of the visible triangle, -1 where there is none.
    barycentric: (B, H, W, 3) float32 perspective-correct weights of its corners; 0 where there is none.
    depth: (B, H, W) float32 metres along the viewing axis; 0 where there is none.
    """

    face_id: torch.Tensor
    barycentric: torch.Tensor
    depth: torch.Tensor


class Rasterizer(Protocol):
    """The one interface of all backends. The rules of sampling are those of `tdmm.render.raster`."""

    def __call__(
        self,
        xy: torch.Tensor,
        depth: torch.Tensor,
        faces: torch.Tensor,
        image_size: tuple[int, int],
        cull: bool = True,
    ) -> TensorFragments:
        """The nearest triangle at every pixel centre.

        xy: (B, V, 2) pixels. depth: (B, V) metres. faces: (F, 3) integer, counter-clockwise from outside.
        image_size: (H, W). cull: leave out back faces.
        """
        ...
