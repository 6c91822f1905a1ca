"""Which token comes next: temperature, top-p, guidance, and draws that a seed decides alone.

One uniform number a token, its place in the distribution's nucleus: the same on any device, but for rounding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tdmm.errors import LmError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn. temperature: 0 is the likeliest token each time; top_p: the share of the likeliest tokens
    that may be drawn; guidance s: logits are u + s (c - u), c with the prompt and u without it, so 1 is none."""

    temperature: float = 1.0
    top_p: float = 0.95
    guidance: float = 1.0

    def __post_init__(self) -> None:
        for name, good, wanted in (
            ("temperature", 0 <= self.temperature < math.inf, "0 (the likeliest token) or more"),
            ("top_p", 0 < self.top_p <= 1, "more than 0 and at most 1"),
            ("guidance", 0 <= self.guidance < math.inf, "0 or more, where 1 is none"),
        ):
            if not good:
                raise LmError(f"{name}: expected {wanted}, found {getattr(self, name):g}")

    @property
    def guided(self) -> bool:
        """Whether the logits without the prompt are needed."""
        return self.guidance != 1


def uniforms(seed: int, count: int) -> np.ndarray:
    """(count,) float64 in [0, 1), one a token; more of them begin alike. Raises `LmError` for a seed below 0."""
    if seed < 0:
        raise LmError(f"seed: expected 0 or more, found {seed}")
    return np.random.default_rng(seed).random(count)


def guide(logits: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """(B, K) of (2 B, K): those with the prompt, and behind them those without it. Without guidance, as they are."""
    if not sampling.guided:
        return logits
    with_prompt, without = logits.chunk(2)
    return without + sampling.guidance * (with_prompt - without)


def draw(logits: torch.Tensor, where: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """(B,) int64, what is drawn of logits (B, K). where: (B,) in [0, 1)."""
    if sampling.temperature == 0:
        return logits.argmax(-1)
    chances = (logits.float() / sampling.temperature).softmax(-1)
    chances, order = chances.sort(dim=-1, descending=True, stable=True)
    sums = chances.cumsum(-1)
    # A token belongs to the nucleus if those before it do not make it up; the first one always does.
    kept = (sums - chances < sampling.top_p).sum(-1, keepdim=True).clamp(min=1)
    whole = sums.gather(-1, kept - 1)
    # Rounding must not lead beyond the last one.
    place = (sums <= where.float()[:, None] * whole).sum(-1, keepdim=True).minimum(kept - 1)
    return order.gather(-1, place)[:, 0]
