"""What a language model learns by: the loss of a batch, and what the work costs."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from tdmm.lm.packing import NO_TARGET, block_causal_mask
from tdmm.lm.vocabulary import BoundVocabulary

# Operations a second of dense bf16 products, by what the device is called (makers' data sheets).
PEAKS = {"H100": 989e12, "H200": 989e12, "B200": 2250e12, "A100": 312e12, "L40": 181e12, "4090": 165e12, "L4": 121e12}


class Objective(nn.Module):
    """The loss of a network of transformers on a batch of `tdmm.lm.batches`.

    bound: whose motion tokens they are; what is written beside them is text and counts `text_weight` times. Codes of a
    stream's first column, which say what happens, count `coarse_weight` times. half: compute in bfloat16.
    """

    weights: torch.Tensor

    def __init__(
        self,
        network: Any,
        bound: BoundVocabulary,
        *,
        seq2seq: bool = False,
        text_weight: float = 1.0,
        coarse_weight: float = 1.0,
        half: bool,
    ) -> None:
        super().__init__()
        self.network, self.seq2seq, self.in_half = network, seq2seq, half
        weights = torch.full((max(bound.size, bound.end),), text_weight)
        weights[bound.base : bound.end] = 1.0
        streams = bound.vocabulary.streams
        for name in set(streams):
            first, end = bound.column(streams.index(name))
            weights[first:end] = coarse_weight
        self.register_buffer("weights", weights, persistent=False)

    def forward(self, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The loss to learn by; the sum of the targets' negative log-likelihoods, and how many there are."""
        device = next(iter(batch.values())).device.type
        with torch.autocast(device, torch.bfloat16, enabled=self.in_half):
            if self.seq2seq:
                logits, targets = self.network(**batch, use_cache=False).logits, batch["labels"]
            else:
                logits = self.network(
                    input_ids=batch["ids"],
                    position_ids=batch["positions"],
                    attention_mask=block_causal_mask(batch["documents"]),
                    use_cache=False,
                ).logits[:, :-1]
                targets = batch["targets"][:, 1:]
        losses = cross_entropy(
            logits.flatten(0, 1).float(), targets.flatten(), ignore_index=NO_TARGET, reduction="none"
        )
        there = targets.flatten() != NO_TARGET
        weights = self.weights[targets.flatten().clamp(min=0)] * there
        loss = (losses * weights).sum() / weights.sum().clamp(min=1.0)
        return loss, losses.detach().sum(), there.sum()


def tokens_in(batch: dict[str, torch.Tensor]) -> int:
    """Tokens of a batch that are no padding."""
    if "documents" in batch:
        return int((batch["documents"] >= 0).sum())
    return int(batch["attention_mask"].sum() + (batch["labels"] != NO_TARGET).sum())


def peak_of(device: str) -> float | None:
    """The bf16 peak of a CUDA device, operations a second; None where it is not known."""
    if not device.startswith("cuda"):
        return None
    name = torch.cuda.get_device_name(device)
    return next((peak for part, peak in PEAKS.items() if part in name), None)


def utilisation(parameters: int, tokens_per_second: float, peak: float) -> float:
    """MFU: the part of the peak that 6 operations a parameter and token make (Kaplan et al. 2020, attention left
    out)."""
    return 6 * parameters * tokens_per_second / peak
