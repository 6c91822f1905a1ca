"""The codec that `--codec` names, for the face model that `--face-model` names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tdmm.cli import face_models
from tdmm.cli.console import Console
from tdmm.cli.options import DeviceChoice, choose_device

if TYPE_CHECKING:
    from tdmm.vq.codec import Codec

CodecOption = Annotated[
    str | None,
    typer.Option("--codec", metavar="DIR", help="A codec of tdmm train vq.", show_default="that of tdmm"),
]


def load(folder: str | None, face_model: str, device: DeviceChoice, console: Console) -> Codec:
    """Raises `TokensError` where there is no codec, or it is of another face model."""
    from tdmm.vq.codec import load_codec

    codec = load_codec(folder, face_models.load(face_model, console)).to(choose_device(device))
    console.detail(f"codec {codec.fingerprint} for {codec.columns.face_model}, on {codec.device}")
    return codec
