"""The two encoders (torch): small transformers that end in one vector each, compared by Euclidean distance.

After TMR (Petrovich et al., 2023) without its decoder; embeddings are not normalised, since the protocol of Guo et al.
(2022) measures Euclidean distances and the Frechet distance of raw embeddings.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from tdmm.evaluate.evaluator.features import LONGEST, N_FEATURES


@dataclass(frozen=True)
class EvaluatorConfig:
    """Sizes of the encoders. vocabulary: tokens of the text; longest_text: tokens that are read at most."""

    vocabulary: int = 3500
    longest_text: int = 96
    width: int = 144
    heads: int = 4
    feedforward: int = 288
    text_layers: int = 3
    motion_layers: int = 4
    embedding: int = 128
    dropout: float = 0.1


class _Encoder(nn.Module):
    """Tokens (B, N, width) that may be padding to one vector each (B, embedding)."""

    def __init__(self, config: EvaluatorConfig, layers: int, longest: int) -> None:
        super().__init__()
        self.place = nn.Parameter(0.02 * torch.randn(longest + 1, config.width))
        self.first = nn.Parameter(0.02 * torch.randn(config.width))
        layer = nn.TransformerEncoderLayer(
            config.width,
            config.heads,
            config.feedforward,
            config.dropout,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.body = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(config.width)
        self.head = nn.Linear(2 * config.width, config.embedding)

    def forward(self, tokens: torch.Tensor, padding: torch.Tensor) -> torch.Tensor:
        count = tokens.shape[1]
        tokens = torch.cat([self.first.expand(len(tokens), 1, -1), tokens], dim=1) + self.place[: count + 1]
        padding = torch.cat([padding.new_zeros(len(padding), 1), padding], dim=1)
        found = self.norm(self.body(tokens, src_key_padding_mask=padding))
        kept = (~padding[:, 1:, None]).to(found.dtype)
        mean = (found[:, 1:] * kept).sum(1) / kept.sum(1).clamp(min=1)
        return self.head(torch.cat([found[:, 0], mean], dim=-1))


class MotionEncoder(nn.Module):
    """Motions (B, T, N_FEATURES) with lengths (B,) frames to (B, embedding)."""

    def __init__(self, config: EvaluatorConfig) -> None:
        super().__init__()
        width = config.width
        self.reduce = nn.Sequential(
            nn.Conv1d(N_FEATURES, width, 5, stride=2, padding=2),
            nn.GELU(),
            nn.Conv1d(width, width, 5, stride=2, padding=2),
        )
        self.encoder = _Encoder(config, config.motion_layers, LONGEST // 4 + 1)

    def forward(self, motions: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        # A motion ends where its frames do: what lies behind must not be seen.
        frames = torch.arange(motions.shape[1], device=motions.device)
        motions = motions * (frames < lengths[:, None])[..., None]
        # Behind the last frame the second convolution sees what the first makes of nothing, which is not zero. The
        # longest of a batch gets some of it too, so that no embedding depends on what else is in the batch.
        motions = nn.functional.pad(motions, (0, 0, 0, 4))
        tokens = self.reduce(motions.transpose(1, 2)).transpose(1, 2)[:, : -(-len(frames) // 4)]
        kept = torch.div(lengths + 3, 4, rounding_mode="floor")
        padding = torch.arange(tokens.shape[1], device=motions.device) >= kept[:, None]
        return self.encoder(tokens, padding)  # type: ignore[no-any-return]


class TextEncoder(nn.Module):
    """Token ids (B, N), 0 for padding, to (B, embedding)."""

    def __init__(self, config: EvaluatorConfig) -> None:
        super().__init__()
        self.words = nn.Embedding(config.vocabulary, config.width, padding_idx=0)
        self.encoder = _Encoder(config, config.text_layers, config.longest_text)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.encoder(self.words(ids), ids == 0)  # type: ignore[no-any-return]


class EvaluatorNetwork(nn.Module):
    """Both encoders, and how sharp the softmax over distances is."""

    def __init__(self, config: EvaluatorConfig) -> None:
        super().__init__()
        self.config = config
        self.motion, self.text = MotionEncoder(config), TextEncoder(config)
        self.log_scale = nn.Parameter(torch.tensor(0.0))
