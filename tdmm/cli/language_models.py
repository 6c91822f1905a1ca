"""The language model that `--model` names, and the codec whose tokens it knows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tdmm.cli import codecs
from tdmm.cli.console import Console
from tdmm.cli.options import DeviceChoice, choose_device

if TYPE_CHECKING:
    from tdmm.lm.model_folder import LanguageModel
    from tdmm.vq.codec import Codec

ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model", metavar="ID_OR_PATH", help="A language model of tdmm train lm.", show_default="that of tdmm"
    ),
]


def load(where: str | None, device: DeviceChoice, console: Console) -> LanguageModel:
    """Raises `LmError` where there is no language model that knows motion tokens."""
    from tdmm.lm.model_folder import load_language_model

    lm = load_language_model(where, choose_device(device))
    if console.verbose:  # the fingerprint takes its time
        console.detail(f"language model {lm.fingerprint} for the codec {lm.codec}, on {lm.device}")
    return lm


def codec_of(lm: LanguageModel, folder: str | None, face_model: str, device: DeviceChoice, console: Console) -> Codec:
    """The codec of `--codec`, else the one in the folder `codec` of the model, if there is one, else that of tdmm.

    Raises `LmError` unless the model knows its tokens.
    """
    from tdmm.lm.limits import check_codec

    beside = Path(lm.folder) / "codec"
    codec = codecs.load(str(beside) if folder is None and beside.is_dir() else folder, face_model, device, console)
    check_codec(lm, codec)
    return codec
