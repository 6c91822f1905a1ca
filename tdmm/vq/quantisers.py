"""Quantisers that learn, of vector-quantize-pytorch (MIT): residual VQ with EMA codebooks, residual FSQ."""

from __future__ import annotations

from contextlib import suppress
from importlib.util import find_spec

import torch
from torch import nn

from tdmm.errors import TokensError
from tdmm.vq.codebooks import Codebooks
from tdmm.vq.config import FSQ_LEVELS, StreamConfig

# van den Oord et al. (2017), Razavi et al. (2019): EMA codebooks; the package's own defaults are 0.8 and no k-means.
DECAY, KMEANS_STEPS, COMMITMENT = 0.99, 10, 0.1
# A code that gets fewer latents a batch than this, in parts of what it would get if all got as many, is replaced by a
# latent of the batch.
DEAD = 0.15


def check_packages() -> None:
    """Raises `TokensError` that says how to get the packages that training needs, unless they are there."""
    for name in ("accelerate", "vector_quantize_pytorch"):
        if find_spec(name) is None:
            package = name.replace("_", "-")
            raise TokensError(f"training a codec needs {package}, which is not installed: pip install 'tdmm[train]'")


class LearningQuantiser(nn.Module):
    """(B, N, latent) to the same quantised, codes (B, N, Q) and a loss. tokens: latents in a batch of all
    processes."""

    def __init__(self, kind: str, stream: StreamConfig, tokens: int) -> None:
        super().__init__()
        import vector_quantize_pytorch as package

        with suppress(ImportError):  # by which the package, from some version on, talks to a user's terminal
            from loguru import logger

            logger.disable(package.__name__)
        self.kind, self.stream, self._tokens = kind, stream, tokens
        if kind == "fsq":
            self.layers = package.ResidualFSQ(
                dim=stream.latent, levels=list(FSQ_LEVELS[stream.codes]), num_quantizers=stream.codebooks
            )
        else:
            self.layers = package.ResidualVQ(
                dim=stream.latent,
                num_quantizers=stream.codebooks,
                codebook_size=stream.codes,
                decay=DECAY,
                kmeans_init=True,
                kmeans_iters=KMEANS_STEPS,
                threshold_ema_dead_code=DEAD * tokens / stream.codes,
                commitment_weight=COMMITMENT,
                rotation_trick=False,
            )

    def forward(self, latents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        found = self.layers(latents)
        loss = found[2].sum() if self.kind != "fsq" else latents.new_zeros(())
        return found[0], found[1], loss

    def begin_with(self, learnt: Codebooks) -> None:
        """Go on from codebooks that were learnt before. Raises `TokensError` for others than these would become."""
        mine = self.codebooks().state_dict()
        theirs = learnt.state_dict()
        if {name: value.shape for name, value in mine.items()} != {n: v.shape for n, v in theirs.items()}:
            raise TokensError("the codec to begin with has other codebooks than are asked for")
        if self.kind == "fsq":
            for layer, name in ((self.layers.project_in, "inward"), (self.layers.project_out, "outward")):
                layer.load_state_dict(getattr(learnt, name).state_dict())
            return
        for layer, table in zip(self.layers.layers, learnt.tables, strict=True):
            book = layer._codebook
            book.embed.copy_(table[None])
            # As if every code had been met equally often for a while.
            book.cluster_size.fill_(self._tokens / self.stream.codes)
            book.embed_avg.copy_(table[None] * self._tokens / self.stream.codes)
            book.initted.fill_(True)

    def codebooks(self) -> Codebooks:
        """What it has learnt, to be used without the package."""
        stream = self.stream
        if self.kind == "rvq":
            done = Codebooks(stream.codebooks, stream.codes, stream.latent)
            done.tables.copy_(self.layers.codebooks.detach())
            return done
        done = Codebooks(stream.codebooks, stream.codes, stream.latent, len(FSQ_LEVELS[stream.codes]))
        done.tables.copy_(self.layers.codebooks * self.layers.scales[:, None])
        done.clamp.copy_(self.layers.soft_clamp_input_value)
        for mine, theirs in ((done.inward, self.layers.project_in), (done.outward, self.layers.project_out)):
            mine.load_state_dict({name: value.detach().cpu() for name, value in theirs.state_dict().items()})
        return done
