"""Several processes that train one network, one device each: `torchrun --nproc-per-node 2 scripts/build_fit_prior.py`.

Each holds its own part of the shards; gradients are averaged at every step.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
from torch import distributed, nn


@dataclass(frozen=True)
class Team:
    """This process is number `rank` of `size`, and trains on `device`."""

    rank: int
    size: int
    device: torch.device

    @staticmethod
    def of_this_process(device: str) -> Team:
        """As torchrun says in the environment; without it, this process alone."""
        size, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
        if size == 1:
            return Team(0, 1, torch.device(device))
        chosen = torch.device(device, int(os.environ["LOCAL_RANK"])) if device == "cuda" else torch.device(device)
        if chosen.type == "cuda":
            torch.cuda.set_device(chosen)
        if not distributed.is_initialized():
            distributed.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
        return Team(rank, size, chosen)

    def total(self, value: torch.Tensor) -> torch.Tensor:
        """The sum over all processes."""
        if self.size > 1:
            value = value.clone()
            distributed.all_reduce(value)
        return value

    def mean(self, value: torch.Tensor) -> torch.Tensor:
        """The mean over all processes."""
        return self.total(value) / self.size

    def of_first(self, number: float) -> float:
        """The first process' number."""
        if self.size == 1:
            return number
        value = torch.tensor(number, dtype=torch.float64, device=self.device)
        distributed.broadcast(value, 0)
        return float(value)

    def share_gradients(self, network: nn.Module) -> None:
        """Every gradient becomes its mean over all processes."""
        if self.size == 1:
            return
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        flat = self.mean(torch.cat([gradient.flatten() for gradient in gradients]))
        for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))
