"""Encoder and decoder over time: steps in, steps out, with a bounded look-ahead (torch).

A step is `stride` frames, laid side by side. Every block mixes three steps: its own, and either the one before and the
one after, or, with growing distance, two before it; `ahead` blocks of a network do the former, so that what comes out
depends on `ahead` steps after it and on `past` before it, and a network runs on an endless stream piece by piece.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

# Distances of the steps that blocks without a look-ahead mix, in turn.
DILATIONS = (1, 2, 4)


class Block(nn.Module):
    """x + MLP(three steps of LayerNorm(x)); taps: which steps, relative to its own."""

    def __init__(self, width: int, taps: tuple[int, int, int]) -> None:
        super().__init__()
        self.taps = taps
        self.norm = nn.LayerNorm(width)
        self.mix = nn.Linear(3 * width, width)
        self.out = nn.Linear(width, width)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """x: (B, N, width); mask: (B, N, 1), 0 behind the end of a sequence, None: nothing to hide."""
        steps = x.shape[1]
        normed = self.norm(x)
        if mask is not None:
            normed = normed * mask
        before, after = max(-min(self.taps), 0), max(*self.taps, 0)
        padded = functional.pad(normed, (0, 0, before, after))
        seen = torch.cat([padded[:, before + tap : before + tap + steps] for tap in self.taps], dim=-1)
        return x + self.out(functional.gelu(self.mix(seen)))


class StepNetwork(nn.Module):
    """(B, N, inputs) to (B, N, outputs). ahead: how many of its blocks see one step ahead."""

    def __init__(self, inputs: int, width: int, outputs: int, blocks: int, ahead: int) -> None:
        super().__init__()
        # One block may have to see several steps ahead: more than one each only where blocks are few.
        reach = [ahead // blocks + (number < ahead % blocks) for number in range(blocks)]
        taps, causal = [], 0
        for forward in reach:
            if forward:
                taps.append((-forward, 0, forward))
            else:
                distance = DILATIONS[causal % len(DILATIONS)]
                taps.append((-2 * distance, -distance, 0))
                causal += 1
        self.inward = nn.Linear(inputs, width)
        self.blocks = nn.ModuleList(Block(width, tap) for tap in taps)
        self.norm = nn.LayerNorm(width)
        self.outward = nn.Linear(width, outputs)
        self.ahead = ahead
        self.past = sum(-min(tap) for tap in taps)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """mask: (B, N, 1), 0 behind the end of a sequence."""
        x = self.inward(x)
        for block in self.blocks:
            x = block(x, mask)
        return self.outward(self.norm(x))
