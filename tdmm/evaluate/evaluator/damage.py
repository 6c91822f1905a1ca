"""Deliberate damage to motions: what an evaluator must notice. On features (B, T, F) with lengths (B,) (torch)."""

from __future__ import annotations

import torch

from tdmm.evaluate.evaluator.features import MIRROR_INDEX, MIRROR_SIGN

N_CURVES = 52
DAMAGES = ("noise", "reversed", "shuffled", "mirrored", "weaker", "stronger", "frozen", "other")
SEGMENTS = 4  # that `shuffled` puts in another order
NOISE, WEAKER, STRONGER = 0.25, 0.35, 2.2


def damaged(motions: torch.Tensor, lengths: torch.Tensor, kind: str, generator: torch.Generator) -> torch.Tensor:
    """The motions (B, T, F) with one of `DAMAGES`; frames behind a motion's length stay as they are.

    noise: white, of the spread `NOISE`. reversed: backwards in time. shuffled: quarters in another order. mirrored:
    left for right. weaker, stronger: curves and head times `WEAKER` and `STRONGER`. frozen: all frames are the first
    one. other: the motion of another prompt (the next of the batch).
    """
    frames = torch.arange(motions.shape[1], device=motions.device)
    present = (frames < lengths[:, None])[..., None]
    if kind == "noise":
        drawn = torch.randn(motions.shape, generator=generator, device=generator.device).to(motions)
        noisy = motions + NOISE * drawn
        noisy[..., :N_CURVES] = noisy[..., :N_CURVES].clamp(0, 1)
        return torch.where(present, noisy, motions)
    if kind in ("reversed", "shuffled"):
        order = _reversed(frames, lengths) if kind == "reversed" else _shuffled(frames, lengths, generator)
        return torch.gather(motions, 1, order[..., None].expand_as(motions))
    if kind == "mirrored":
        sign = torch.as_tensor(MIRROR_SIGN).to(motions)
        return motions[..., torch.as_tensor(MIRROR_INDEX, device=motions.device)] * sign
    if kind in ("weaker", "stronger"):
        scaled = motions * (WEAKER if kind == "weaker" else STRONGER)
        scaled[..., :N_CURVES] = scaled[..., :N_CURVES].clamp(0, 1)
        return scaled
    if kind == "frozen":
        return motions[:, :1].expand_as(motions).contiguous()
    if kind == "other":
        return motions.roll(1, 0)
    raise ValueError(f"kind: expected one of {', '.join(DAMAGES)}, found {kind!r}")


def _reversed(frames: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    order = lengths[:, None] - 1 - frames
    return torch.where(order >= 0, order, frames)


def _shuffled(frames: torch.Tensor, lengths: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """(B, T) indices: `SEGMENTS` equal parts in an order in which none stays; what is left over stays at the end."""
    part = torch.div(lengths, SEGMENTS, rounding_mode="floor").clamp(min=1)[:, None]
    # A cyclic shift by one to three parts moves every part.
    shift = torch.randint(1, SEGMENTS, (len(lengths), 1), generator=generator, device=generator.device).to(lengths)
    inside = frames < part * SEGMENTS
    moved = (frames + shift * part) % (part * SEGMENTS).clamp(min=1)
    return torch.where(inside, moved, frames.expand_as(moved))
