"""Deliberate damage to motions: what an evaluator must notice. On features (B, T, F) with lengths (B,) (torch)."""

from __future__ import annotations

import torch

from tdmm.evaluate.evaluator.features import MIRROR_INDEX, MIRROR_SIGN

N_CURVES = 52
DAMAGES = ("noise", "reversed", "shuffled", "mirrored", "weaker", "stronger", "frozen", "other")
SEGMENTS = 4  # that `shuffled` puts in another order
NOISE, WEAKER, STRONGER = 0.25, 0.35, 2.2


def damaged(
    motions: torch.Tensor, lengths: torch.Tensor, kind: str, generator: torch.Generator, severity: float = 1.0
) -> torch.Tensor:
    """The motions (B, T, F) with one of `DAMAGES`; frames behind a motion's length stay as they are.

    severity: 0 (nothing) to 1. noise: white, of the spread severity x `NOISE`. weaker, stronger: curves and head times
    a factor that goes from 1 to `WEAKER` and `STRONGER`. reversed: backwards in time, as many of the motions as
    severity says (a part that is reversed begins with a jump, by which alone it could be told). The others are done to
    the last part of each motion, as long as severity says: shuffled: quarters in another order. mirrored: left for
    right. frozen: the frame at which it begins stays. other: the motion of another prompt (its neighbour in the batch).
    """
    if not 0 <= severity <= 1:
        raise ValueError(f"severity: expected a number in 0..1, found {severity}")
    if kind not in DAMAGES:
        raise ValueError(f"kind: expected one of {', '.join(DAMAGES)}, found {kind!r}")
    if severity == 0:
        return motions
    frames = torch.arange(motions.shape[1], device=motions.device)
    lengths = lengths[:, None]
    present = (frames < lengths)[..., None]
    if kind == "noise":
        drawn = torch.randn(motions.shape, generator=generator, device=generator.device).to(motions)
        return torch.where(present, _bounded(motions + severity * NOISE * drawn), motions)
    if kind in ("weaker", "stronger"):
        factor = 1 + severity * ((WEAKER if kind == "weaker" else STRONGER) - 1)
        return torch.where(present, _bounded(motions * factor), motions)
    start = torch.round((1 - severity) * lengths).long()
    inside = ((frames >= start) & (frames < lengths))[..., None]
    if kind == "mirrored":
        sign = torch.as_tensor(MIRROR_SIGN).to(motions)
        worse = motions[..., torch.as_tensor(MIRROR_INDEX, device=motions.device)] * sign
    elif kind == "other":
        # A shorter one stays at its last frame.
        order = torch.minimum(frames, lengths.roll(1, 0) - 1)
        worse = torch.gather(motions.roll(1, 0), 1, order[..., None].expand_as(motions))
    else:
        if kind == "reversed":
            order = lengths - 1 - frames
            rank = torch.randperm(len(motions), generator=generator, device=generator.device).to(motions.device)
            inside = ((frames < lengths) & (rank < round(severity * len(motions)))[:, None])[..., None]
        elif kind == "shuffled":
            order = _shuffled(frames, start, lengths, generator)
        else:  # frozen
            order = start.expand(-1, len(frames))
        order = order.clamp(0, motions.shape[1] - 1)
        worse = torch.gather(motions, 1, order[..., None].expand_as(motions))
    return torch.where(inside, worse, motions)


def _bounded(motions: torch.Tensor) -> torch.Tensor:
    return torch.cat([motions[..., :N_CURVES].clamp(0, 1), motions[..., N_CURVES:]], dim=-1)


def _shuffled(
    frames: torch.Tensor, start: torch.Tensor, lengths: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    """(B, T) indices: `SEGMENTS` equal parts in an order in which none stays; what is left over stays at the end."""
    part = torch.div(lengths - start, SEGMENTS, rounding_mode="floor")
    # A cyclic shift by one to three parts moves every part.
    shift = torch.randint(1, SEGMENTS, (len(lengths), 1), generator=generator, device=generator.device).to(lengths)
    since = frames - start
    moved = start + (since + shift * part) % (part * SEGMENTS).clamp(min=1)  # too short for parts: none is moved
    return torch.where((since >= 0) & (since < part * SEGMENTS), moved, frames.expand_as(moved))
