"""A language model of motion in a folder: config.json, weights, tokenizer, the words it knows; and that of tdmm itself.

The folder is one of transformers, which `AutoModelForCausalLM` (or `AutoModelForSeq2SeqLM`) and `AutoTokenizer` load.
What tdmm knows of the model stands in config.json under "tdmm".
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import tdmm
from tdmm.errors import LmError, OutputError
from tdmm.lm.hub import LOADING_ERRORS, first_line, folder_of, quiet
from tdmm.lm.plain_tokenizer import FILES as TOKENIZER_FILES
from tdmm.lm.plain_tokenizer import read_tokenizer, write_tokenizer
from tdmm.lm.prompt_words import WORDS, read_words, write_words
from tdmm.lm.vocabulary import BoundVocabulary, vocabulary_in

SCHEMA = "tdmm.lm/1"
ASSET = Path(tdmm.__file__).parent / "assets" / "lm"
CONFIG = "config.json"
SHARD = "15MB"
_MAKES = "tdmm train lm makes one"


@dataclass(frozen=True, eq=False)
class LanguageModel:
    """A language model in a folder, ready to write. Its network is loaded when it is first asked for.

    bound: its tokens; facts: what it was trained on and how well it does; words: of the texts it was trained on, see
    `unknown_words`; config: of transformers; device: where it computes.
    """

    folder: Path
    bound: BoundVocabulary
    facts: dict[str, Any]
    words: frozenset[str]
    config: dict[str, Any]
    device: str = "cpu"

    @cached_property
    def network(self) -> Any:
        """The model of transformers: float32 on the CPU, bfloat16 elsewhere. Raises `LmError` if it cannot be read."""
        import torch
        from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

        kind = AutoModelForSeq2SeqLM if self.encoder_decoder else AutoModelForCausalLM
        try:
            with quiet():
                network = kind.from_pretrained(self.folder, use_safetensors=True)
        except LOADING_ERRORS as error:
            raise LmError(f"{self.folder}: its network cannot be loaded ({first_line(error)})") from error
        return network.to(self.device, torch.float32 if self.device == "cpu" else torch.bfloat16).eval()

    @cached_property
    def weights(self) -> tuple[Path, ...]:
        """The files with the weights (safetensors)."""
        return tuple(sorted(self.folder.glob("model*.safetensors")))

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits of what it computes: weights, tokenizer, and configuration."""
        told = {name: value for name, value in self.config.items() if name not in ("tdmm", "transformers_version")}
        digest = sha256(json.dumps(told, sort_keys=True).encode())
        for path in (*self.weights, self.folder / TOKENIZER_FILES[0]):
            with path.open("rb") as file:
                while block := file.read(1 << 22):
                    digest.update(block)
        return digest.hexdigest()[:16]

    @property
    def codec(self) -> str:
        """The fingerprint of the codec whose tokens it knows."""
        return str(self.facts["codec"])

    @property
    def instructed(self) -> bool:
        """Whether it is told in words, too, what to do."""
        return bool(self.facts.get("instructed", False))

    @property
    def encoder_decoder(self) -> bool:
        """Whether what is given goes into an encoder of its own."""
        return bool(self.config.get("is_encoder_decoder", False))

    @property
    def longest(self) -> int | None:
        """The most tokens of a sequence, given and written together; None where nothing limits it."""
        found = _of_text(self.config, "max_position_embeddings") or _of_text(self.config, "n_positions")
        return None if found is None or self.encoder_decoder else int(found)

    def to(self, device: str) -> LanguageModel:
        """The same, elsewhere."""
        return self if device == self.device else replace(self, device=device)


def load_language_model(where: str | Path | None = None, device: str = "cpu") -> LanguageModel:
    """The language model in a folder, or of a name in the Hugging Face hub; None: that of tdmm itself.

    Raises `LmError` that names what is wrong.
    """
    if where is None and not (ASSET / CONFIG).is_file():
        raise LmError("this tdmm comes without a language model; name one with --model, tdmm train lm makes one")
    folder = ASSET if where is None else folder_of(where)
    # The words may be missing: another program that trains the model on does not know them.
    missing = [name for name in (CONFIG, *TOKENIZER_FILES) if not (folder / name).is_file()]
    if missing:
        raise LmError(f"{folder}: is no language model, there is no {missing[0]}; {_MAKES}")
    if not any(folder.glob("model*.safetensors")):
        raise LmError(f"{folder}: is no language model, there is no model.safetensors; {_MAKES}")
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LmError(f"{folder / CONFIG}: cannot be read ({first_line(error)})") from error
    tokenizer = read_tokenizer(folder)
    try:
        bound = vocabulary_in(tokenizer).bind(tokenizer)
    except LmError as error:
        raise LmError(f"{folder}: {error}") from error
    facts = config.get("tdmm") if isinstance(config, dict) else None
    schema = facts.get("schema") if isinstance(facts, dict) else None
    if not isinstance(facts, dict) or schema != SCHEMA or not isinstance(facts.get("codec"), str):
        raise LmError(
            f'{folder / CONFIG}: "tdmm": expected facts of {SCHEMA!r} with a codec, found {schema!r}; {_MAKES}'
        )
    rows = _of_text(config, "vocab_size")
    if rows is not None and rows < bound.size:
        raise LmError(
            f"{folder}: its tokenizer has {bound.size} tokens, its network {rows}; the two belong to different models"
        )
    words = read_words(folder / WORDS) if (folder / WORDS).is_file() else frozenset()
    return LanguageModel(folder, bound, facts, words, config, device)


def save_language_model(
    folder: str | Path, network: Any, bound: BoundVocabulary, facts: Mapping[str, Any], words: Iterable[str]
) -> None:
    """Write a language model into a folder, which may hold other things: weights in bfloat16, in shards of 15 MB.

    facts: what tdmm has to know of it ("codec": the fingerprint of its codec; "instructed"), and what is good to know;
    words: of its texts. The network is left as it is; adapters are merged. Raises `OutputError` for a folder that
    cannot be written.
    """
    import torch
    from safetensors import SafetensorError

    from tdmm.lm.backbone import has_tied_head, merged

    if not isinstance(facts.get("codec"), str):
        raise LmError("facts: expected the fingerprint of the codec under codec")
    place = Path(folder)
    if place.exists() and not place.is_dir():
        raise OutputError(f"{folder}: is a file; give the name of a folder")
    whole = merged(network)
    stored = (deepcopy(whole) if whole is network else whole).to("cpu", torch.bfloat16)
    stored.generation_config = type(stored.generation_config).from_model_config(stored.config)
    try:
        place.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".saved-", dir=place) as name:
            beside = Path(name)
            with quiet():
                stored.save_pretrained(beside, max_shard_size=SHARD)
            write_tokenizer(beside, bound.tokenizer)
            write_words(beside / WORDS, words)
            config = json.loads((beside / CONFIG).read_text(encoding="utf-8"))
            config = {**_for_all_versions(config, has_tied_head(stored)), "tdmm": {"schema": SCHEMA, **facts}}
            (beside / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
            for path in beside.glob("model*.safetensors"):
                shutil.copymode(beside / CONFIG, path)  # for whom the others are, too
            _move(beside, place)
    except (OSError, SafetensorError) as error:
        raise OutputError(f"{folder}: the language model cannot be written: {first_line(error)}") from error


def _move(beside: Path, place: Path) -> None:
    """The files of one folder into another; weights that were there and are none of them are removed."""
    new = {path.name for path in beside.iterdir()}
    for old in place.glob("model*.safetensors*"):
        if old.name not in new:
            old.unlink()
    # What names the others comes last.
    for name in sorted(new, key=lambda name: (name.endswith(".index.json"), name == CONFIG)):
        os.replace(beside / name, place / name)


def _for_all_versions(config: dict[str, Any], tied: bool) -> dict[str, Any]:
    """What transformers 4 has to read in a config.json that transformers 5 wrote."""
    turned = config.get("rope_parameters") or {}
    if turned.get("rope_type") == "default" and "rope_theta" in turned:
        config.setdefault("rope_theta", turned["rope_theta"])
    # T5 1.1 is not tied, whatever it says; without this, its logits would be scaled as if it were.
    if not tied and not config.get("scale_decoder_outputs", False):
        config["tie_word_embeddings"] = False
    return config


def _of_text(config: Mapping[str, Any], name: str) -> int | None:
    """A number of the configuration, which models of pictures and text have one level down."""
    found = config.get(name, (config.get("text_config") or {}).get(name))
    return int(found) if found is not None else None
