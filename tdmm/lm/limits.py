"""What a language model can be used with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tdmm.errors import LmError

if TYPE_CHECKING:
    from tdmm.lm.model_folder import LanguageModel
    from tdmm.vq.codec import Codec


def check_codec(lm: LanguageModel, codec: Codec) -> None:
    """Raises `LmError`, naming both, unless the model knows the tokens of this codec."""
    vocabulary, config = lm.bound.vocabulary, codec.config
    if lm.codec != codec.fingerprint:
        raise LmError(
            f"{lm.folder}: this language model knows the tokens of the codec {lm.codec}, not of {codec.fingerprint}; "
            "name the right one with --codec"
        )
    if (vocabulary.streams, vocabulary.sizes) != (tuple(config.streams), tuple(config.sizes)):
        raise LmError(
            f"{lm.folder}: its tokens are not those of the codec {codec.fingerprint}, as it says; copy it again"
        )
