"""A codec while it learns: both streams with quantisers that follow, and its state in files (torch, accelerate)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from tdmm.errors import TokensError
from tdmm.io.whole import whole_file
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


def save_state(folder: Path, tensors: dict[str, torch.Tensor], facts: dict[str, Any]) -> None:
    """A checkpoint in one file, whole or not at all: tensors, and facts in its header."""
    folder.mkdir(exist_ok=True)
    with whole_file(folder / "state.safetensors") as beside:
        save_file(
            {name: value.detach().cpu().contiguous() for name, value in tensors.items()},
            beside,
            {"facts": json.dumps(facts)},
        )


def load_state(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
    """What `save_state` wrote; None where nothing is. Raises `TokensError` for what cannot be read."""
    path = folder / "state.safetensors"
    if not path.is_file():
        return None
    try:
        with safe_open(path, "pt") as file:
            facts = json.loads((file.metadata() or {})["facts"])
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118  # no mapping
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise TokensError(f"{path}: is no checkpoint that can be read ({error}); delete it to begin anew") from error


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """The optimizer's state as tensors, by the number of the parameter."""
    return {
        f"optimizer.{number}.{name}": value
        for number, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    """The inverse of `optimizer_tensors`."""
    described = optimizer.state_dict()
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, number, field = name.split(".")
            state.setdefault(int(number), {})[field] = value
    optimizer.load_state_dict({**described, "state": state})
