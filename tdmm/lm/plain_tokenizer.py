"""Tokenizers in folders, read and written without transformers, which takes longer to import than to use here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from tdmm.errors import LmError

FILES = ("tokenizer.json", "tokenizer_config.json")
_NAMES = ("bos_token", "eos_token", "pad_token", "unk_token")


class PlainTokenizer:
    """As much of transformers' `PreTrainedTokenizerFast` as `BoundVocabulary` asks for.

    backend_tokenizer: one of the package tokenizers. names: what it calls bos_token, eos_token, pad_token, unk_token.
    """

    def __init__(self, backend: Any, names: dict[str, str | None]) -> None:
        backend.no_padding()
        backend.no_truncation()
        backend.encode_special_tokens = True  # what text spells is text
        self.backend_tokenizer = backend
        self.bos_token, self.eos_token, self.pad_token, self.unk_token = (names.get(name) for name in _NAMES)

    def __len__(self) -> int:
        return int(self.backend_tokenizer.get_vocab_size(with_added_tokens=True))

    def __call__(self, text: str, **_: Any) -> dict[str, list[int]]:
        return {"input_ids": self.backend_tokenizer.encode(text, add_special_tokens=False).ids}

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = False, **_: Any) -> str:
        """The text of ids."""
        return str(self.backend_tokenizer.decode(list(ids), skip_special_tokens=skip_special_tokens))

    def get_vocab(self) -> dict[str, int]:
        """All tokens, with their ids."""
        return dict(self.backend_tokenizer.get_vocab(with_added_tokens=True))

    def convert_ids_to_tokens(self, number: int) -> str | None:
        """The token of an id."""
        found: str | None = self.backend_tokenizer.id_to_token(number)
        return found

    def convert_tokens_to_ids(self, tokens: Sequence[str]) -> list[int | None]:
        """The ids of tokens, that of unk_token where there is none."""
        return [self._id(token) for token in tokens]

    def add_tokens(self, tokens: Sequence[Any], special_tokens: bool = False) -> int:
        """Add tokens at the end; how many were new."""
        add = self.backend_tokenizer.add_special_tokens if special_tokens else self.backend_tokenizer.add_tokens
        return int(add(list(tokens)))

    @property
    def added_tokens_decoder(self) -> dict[int, Any]:
        """The tokens beside those of the text, by their ids."""
        return dict(self.backend_tokenizer.get_added_tokens_decoder())

    @cached_property
    def all_special_ids(self) -> list[int]:
        """The ids of the four that have names."""
        return [number for name in _NAMES if (number := self._named(name)) is not None]

    @cached_property
    def bos_token_id(self) -> int | None:
        """What begins a sequence."""
        return self._named("bos_token")

    @cached_property
    def eos_token_id(self) -> int | None:
        """What ends a sequence."""
        return self._named("eos_token")

    @cached_property
    def pad_token_id(self) -> int | None:
        """What fills up a batch."""
        return self._named("pad_token")

    @cached_property
    def unk_token_id(self) -> int | None:
        """What stands for what is unknown."""
        return self._named("unk_token")

    def _named(self, name: str) -> int | None:
        token = getattr(self, name)
        return None if token is None else self.backend_tokenizer.token_to_id(token)

    def _id(self, token: str) -> int | None:
        found = self.backend_tokenizer.token_to_id(token)
        return self.unk_token_id if found is None else found


def read_tokenizer(folder: str | Path) -> PlainTokenizer:
    """The tokenizer in a folder. Raises `LmError` for none that can be read."""
    from tokenizers import Tokenizer

    place = Path(folder)
    try:
        config = json.loads((place / FILES[1]).read_text(encoding="utf-8"))
        tokens = {name: config.get(name) for name in _NAMES}
        # Older versions of transformers write more of a token than its string.
        names = {name: token["content"] if isinstance(token, dict) else token for name, token in tokens.items()}
        return PlainTokenizer(Tokenizer.from_file(str(place / FILES[0])), names)
    except Exception as error:  # the package has no errors of its own
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise LmError(f"{place}: has no tokenizer that can be read ({reason})") from error


def write_tokenizer(folder: str | Path, tokenizer: Any) -> None:
    """Write a tokenizer of transformers, or a plain one, so that any version of transformers reads it."""
    place = Path(folder)
    tokenizer.backend_tokenizer.save(str(place / FILES[0]), pretty=False)
    names = {name: getattr(tokenizer, name) for name in _NAMES}
    config = {
        # The class that takes tokenizer.json as it is, by the name under which all versions know it.
        "tokenizer_class": "PreTrainedTokenizerFast",
        **{name: str(token) for name, token in names.items() if token is not None},
        "padding_side": "left",
        "model_input_names": ["input_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False,
    }
    (place / FILES[1]).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
