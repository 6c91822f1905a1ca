"""Codebooks in use: latents to codes and back (torch only).

Training quantises by vector-quantize-pytorch (`tdmm.vq.quantisers`), which takes longer to import than a motion takes
to be coded; what it learnt are tables of vectors, and in these nearest neighbours are looked up here. A test holds the
two against each other.
"""

from __future__ import annotations

import torch
from torch import nn

_BLOCK = 8192  # latents whose distances are computed at once


class Codebooks(nn.Module):
    """Residual quantisation: the codes of a latent are those of the vectors that, one after the other, leave least.

    tables: (Q, K, d). Where `projected`, latents are (B, N, latent) of more than d numbers, squeezed to d by a matrix
    and a soft clamp first: finite scalar quantisation (Mentzer et al., 2023).
    """

    tables: torch.Tensor
    clamp: torch.Tensor

    def __init__(self, codebooks: int, codes: int, latent: int, dimensions: int | None = None) -> None:
        super().__init__()
        self.projected = dimensions is not None
        d = latent if dimensions is None else dimensions
        self.register_buffer("tables", torch.zeros(codebooks, codes, d))
        if self.projected:
            self.inward, self.outward = nn.Linear(latent, d), nn.Linear(d, latent)
            self.register_buffer("clamp", torch.ones(d))

    def encode(self, latents: torch.Tensor) -> torch.Tensor:
        """(..., latent) to codes (..., Q) int64."""
        flat = latents.reshape(-1, latents.shape[-1])
        if self.projected:
            flat = (self.inward(flat) / self.clamp).tanh() * self.clamp
        codes = torch.cat([self._encode(part) for part in flat.split(_BLOCK)])
        return codes.reshape(*latents.shape[:-1], len(self.tables))

    def _encode(self, left: torch.Tensor) -> torch.Tensor:
        found = []
        for table in self.tables:
            # |x - c|^2 less |x|^2, which is the same for all codes.
            distance = torch.addmm((table * table).sum(1), left, table.T, alpha=-2)
            nearest = distance.argmin(1)
            found.append(nearest)
            left = left - table[nearest]
        return torch.stack(found, dim=1)

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """Codes (..., Q) to latents (..., latent)."""
        sizes = codes.shape[:-1]
        flat = codes.reshape(-1, codes.shape[-1])
        latents = sum(table[column] for table, column in zip(self.tables, flat.T, strict=True))
        assert isinstance(latents, torch.Tensor)
        if self.projected:
            latents = self.outward(latents)
        return latents.reshape(*sizes, latents.shape[-1])
