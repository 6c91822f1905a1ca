"""The rasterisers behind one function signature (`Rasterizer`), chosen by the device of the data.

CPU: compiled by numba. CUDA: Triton. pytorch3d, where the user has it, serves both; it is asked for by passing
`rasterize_pytorch3d` as the rasteriser.
"""

from __future__ import annotations

import torch

from tdmm.errors import MissingPartError
from tdmm.render.fragments import Rasterizer, TensorFragments
from tdmm.render.raster import rasterize

__all__ = ["Rasterizer", "TensorFragments", "choose_rasterizer", "rasterize_numba"]


def choose_rasterizer(device: torch.device | str) -> Rasterizer:
    """The rasteriser of a device. Raises `MissingPartError` for CUDA without Triton and for other devices."""
    kind = torch.device(device).type
    if kind == "cpu":
        return rasterize_numba
    if kind == "cuda":
        if not torch.cuda.is_available():
            raise MissingPartError("no CUDA device is usable here (torch.cuda.is_available() is False); use cpu")
        try:
            from tdmm.render.raster_triton import rasterize_triton
        except ImportError as error:
            raise MissingPartError(f"rendering on CUDA needs Triton ({error}): pip install triton") from error
        return rasterize_triton
    raise MissingPartError(f"no rasteriser for device {kind}; use cpu or cuda")


def rasterize_numba(
    xy: torch.Tensor, depth: torch.Tensor, faces: torch.Tensor, image_size: tuple[int, int], cull: bool = True
) -> TensorFragments:
    """`tdmm.render.raster.rasterize` for batches of tensors on the CPU, see `Rasterizer`."""
    fragments = rasterize(
        xy.detach().float().numpy(), depth.detach().float().numpy(), faces.to(torch.int32).numpy(), image_size, cull
    )
    return TensorFragments(
        torch.from_numpy(fragments.face_id),
        torch.from_numpy(fragments.barycentric),
        torch.from_numpy(fragments.depth),
    )
