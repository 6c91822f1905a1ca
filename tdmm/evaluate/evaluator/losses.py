"""What the evaluator is trained by (torch)."""

from __future__ import annotations

import torch
import torch.nn.functional as F

MARGIN = 10.0  # of the classic protocol (Guo et al., 2022, code of text-to-motion)


def squared_distances(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """(N, M) squared Euclidean distances of rows (N, D) and (M, D)."""
    square = first.square().sum(1)[:, None] + second.square().sum(1) - 2 * first @ second.T
    return square.clamp(min=0)


def contrastive(
    texts: torch.Tensor,
    motions: torch.Tensor,
    scale: torch.Tensor,
    same: torch.Tensor,
    damaged: torch.Tensor | None = None,
    is_damaged: torch.Tensor | None = None,
) -> torch.Tensor:
    """InfoNCE in both directions over -scale d^2, with filtered negatives (Petrovich et al., 2023).

    texts, motions: (B, D), row by row a pair. same: (B, B) bool, pairs that ask for the same and are no negatives.
    damaged: (B, D) the pair's motion after a damage that contradicts the text, one more negative for that text alone
    where is_damaged (B,).
    """
    own = torch.arange(len(texts), device=texts.device)
    logits = -scale * squared_distances(texts, motions)
    others = same.clone()
    others[own, own] = False
    logits = logits.masked_fill(others, float("-inf"))
    to_motion = logits
    if damaged is not None and is_damaged is not None:
        extra = -scale * (texts - damaged).square().sum(1)
        extra = extra.masked_fill(~is_damaged, float("-inf"))
        to_motion = torch.cat([logits, extra[:, None]], dim=1)
    return 0.5 * (F.cross_entropy(to_motion, own) + F.cross_entropy(logits.T, own))


def pairwise_margin(texts: torch.Tensor, motions: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """The classic contrastive loss (Hadsell et al., 2006): pairs together, a random other motion `MARGIN` away."""
    shift = int(torch.randint(1, len(texts), (1,), generator=generator, device=generator.device))
    near = (texts - motions).square().sum(1)
    far = (texts - motions.roll(shift, 0)).square().sum(1).clamp(min=1e-9).sqrt()
    return 0.5 * near.mean() + 0.5 * (MARGIN - far).clamp(min=0).square().mean()
