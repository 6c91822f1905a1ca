"""A codec while it learns: both streams with quantisers that follow (torch, accelerate)."""

from __future__ import annotations

import torch
from torch import nn

from tdmm.vq.codec import CodecNetwork
from tdmm.vq.quantisers import LearningQuantiser


class LearningCodec(nn.Module):
    """Frames of both streams in, the same decoded from their codes out. steps: in a batch, of all processes."""

    def __init__(self, network: CodecNetwork, steps: int) -> None:
        super().__init__()
        config = network.config
        self.network = network
        for stream in (network.face, network.head):
            stream.codebooks.requires_grad_(False)  # what they hold is learnt by these
        self.face_quantiser = LearningQuantiser(config.quantiser, config.face, steps)
        self.head_quantiser = LearningQuantiser(config.quantiser, config.head, steps)

    def forward(
        self, face: torch.Tensor, head: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """face: (B, T, inputs), head: (B, T, 6), as the encoders see them, T whole steps. Returns parameters (B, T, P),
        relative poses (B, T, 6), codes (B, N, Q) and the quantisers' loss."""
        network, found, loss = self.network, [], face.new_zeros(())
        codes = []
        streams = (
            (network.face, self.face_quantiser, face, network.scale),
            (network.head, self.head_quantiser, head, network.head_scale),
        )
        for stream, quantiser, frames, scale in streams:
            steps = frames.reshape(len(frames), -1, frames.shape[2] * network.config.stride)
            quantised, chosen, commitment = quantiser(stream.encoder(steps))
            decoded = stream.decoder(quantised)
            found.append(decoded.reshape(len(frames), frames.shape[1], -1) * scale)
            codes.append(chosen)
            loss = loss + commitment
        return found[0], found[1], torch.cat(codes, dim=-1), loss

    def begin(self) -> None:
        """Learn on from the codebooks that the network holds."""
        self.face_quantiser.begin_with(self.network.face.codebooks)
        self.head_quantiser.begin_with(self.network.head.codebooks)

    def finished(self) -> CodecNetwork:
        """The codec with the codebooks that were learnt."""
        for stream, quantiser in (
            (self.network.face, self.face_quantiser),
            (self.network.head, self.head_quantiser),
        ):
            stream.codebooks.load_state_dict(quantiser.codebooks().state_dict())
        return self.network
