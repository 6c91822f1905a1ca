"""How the detector's landmarks stray from their places on the head, as a linear function of the controls.

What a landmark misses, in metres at the head, is the picture of offset + sum_c z_c response_c, turned like the head;
ridge regression over all frames in which nothing is hidden finds both. All landmarks share one matrix. Misses far from
what is explained are pulled in (Huber's pseudo-observations), so that hair and hands do not count.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from roma import rotvec_to_rotmat
from safetensors import safe_open

from tdmm.fit.prior import LandmarkResponse

from .clips import ANOTHER_FACE

# Strengths of the ridge that are tried, in frames: a response is shrunk as if so many frames had shown none.
RIDGES = (100.0, 300.0, 1000.0, 3000.0, 10000.0, 30000.0)
# The offset is shrunk by this part of it: it is seen in every frame.
OFFSET_PART = 0.1
ROUNDS, FAR = 4, 2.5
_NEEDED = ("controls", "rotation", "translation", "focal", "points", "projected", "found", "visible", "side")


@dataclass(frozen=True)
class Misses:
    """N frames: design (N, 2, 3 (1 + C)) and metres (N, 2, L), x right and y up, by which each landmark strays."""

    design: torch.Tensor
    metres: torch.Tensor


@dataclass(frozen=True)
class ResponseFit:
    """response, the ridge that was best on held-out frames, and their rms misses in metres without and with it."""

    response: LandmarkResponse
    ridge: float
    before: float
    after: float


def misses_of(paths: list[Path], every: int = 1, device: str = "cpu") -> Misses:
    """From the shards; every: only each so-manieth frame of a clip."""
    parts = []
    for path in paths:
        with safe_open(path, "pt") as file:
            shard = {name: file.get_tensor(name) for name in _NEEDED}
        frame_wise = {name: shard[name][:, ::every] for name in _NEEDED if name not in ("focal", "side")}
        focal = (shard["focal"].float() * shard["side"])[:, None].expand(frame_wise["found"].shape)
        parts.append(_misses({name: value.flatten(0, 1) for name, value in frame_wise.items()}, focal.flatten()))
    return Misses(
        torch.cat([part.design for part in parts]).to(device), torch.cat([part.metres for part in parts]).to(device)
    )


def _misses(frames: dict[str, torch.Tensor], focal: torch.Tensor) -> Misses:
    x, y, z = frames["translation"].unbind(-1)
    metres = (frames["points"] - frames["projected"]) * (-z / focal)[:, None, None] * torch.tensor([1.0, -1.0])
    near = metres.norm(dim=-1).mean(-1) < ANOTHER_FACE
    good = frames["found"] & near & (frames["visible"] > 0.9).all(-1)
    # d (f X / -Z) = f / -Z (dX + X / -Z dZ), and so for y.
    turn = rotvec_to_rotmat(frames["rotation"].float())
    rows = torch.stack(
        [turn[:, 0] + (x / -z)[:, None] * turn[:, 2], turn[:, 1] + (y / -z)[:, None] * turn[:, 2]], dim=1
    )
    controls = torch.cat([torch.ones_like(x)[:, None], frames["controls"].float()], dim=1)
    design = torch.einsum("nc,nix->nicx", controls, rows).flatten(2)
    return Misses(design[good], metres.transpose(1, 2)[good])


def fit_response(learnt: Misses, held: Misses | None = None, ridges: tuple[float, ...] = RIDGES) -> ResponseFit:
    """The response whose ridge serves the held-out frames best (None: the last ridge is taken)."""
    if not len(learnt.metres):
        raise SystemExit("no frame shows a whole face that was found: collect more shards")
    best: ResponseFit | None = None
    for ridge in ridges if held is not None and len(held.metres) else ridges[-1:]:
        response = _fit(learnt, ridge)
        before, after = _rms(held if held is not None and len(held.metres) else learnt, response)
        if best is None or after < best.after:
            best = ResponseFit(response, ridge, before, after)
    assert best is not None
    return best


def _fit(misses: Misses, ridge: float) -> LandmarkResponse:
    design = misses.design.flatten(0, 1).double()
    n_unknowns = design.shape[1]
    metres = misses.metres.flatten(0, 1).double()
    shrink = torch.full((n_unknowns,), ridge, dtype=torch.float64, device=design.device)
    shrink[:3] *= OFFSET_PART
    factor = torch.linalg.cholesky(design.T @ design + torch.diag(shrink))
    solution = metres.new_zeros(n_unknowns, metres.shape[1])
    sigma = 1.4826 * metres.abs().median(0).values
    for _ in range(ROUNDS):
        explained = design @ solution
        left = metres - explained
        limit = FAR * sigma
        pulled = explained + torch.minimum(torch.maximum(left, -limit), limit)
        solution = torch.cholesky_solve(design.T @ pulled, factor)
        sigma = 1.4826 * (metres - design @ solution).abs().median(0).values
    # The clipped spread: what a robust solver sees of a landmark.
    left = metres - design @ solution
    spread = torch.minimum(left.abs(), 3 * sigma).square().mean(0).sqrt()
    by_control = solution.T.unflatten(1, (-1, 3)).float().cpu().numpy()  # (L, 1 + C, 3)
    return LandmarkResponse(
        offset=by_control[:, 0].copy(),
        controls=by_control[:, 1:].transpose(1, 0, 2).copy(),
        sigma=spread.float().cpu().numpy(),
    )


def _rms(misses: Misses, response: LandmarkResponse) -> tuple[float, float]:
    """Root mean square of the misses, at most 1 cm each, without and with the response; metres a coordinate."""
    by_control = np.concatenate([response.offset[None], response.controls])  # (1 + C, L, 3)
    solution = torch.as_tensor(by_control).transpose(1, 2).flatten(0, 1).to(misses.metres)
    left = misses.metres - misses.design.float() @ solution
    rms = lambda values: float(values.clamp(-0.01, 0.01).square().mean().sqrt())  # noqa: E731
    return rms(misses.metres), rms(left)
