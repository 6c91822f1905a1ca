"""Networks that become language models of motion: from nothing, or any causal one or encoder-decoder of Hugging Face.

Built for training, in float32. A base model keeps what it knows: its tokens' rows stay, those of the motion tokens
begin at their mean.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from tdmm.errors import LmError, MissingPartError
from tdmm.lm.hub import LOADING_ERRORS, first_line, folder_of, quiet
from tdmm.lm.vocabulary import BoundVocabulary, MotionVocabulary

ROWS = 8  # embeddings come in multiples of it, which tensor cores like
BASE_POSITION = 10_000.0  # of rotary embeddings


@dataclass(frozen=True)
class BackboneConfig:
    """The size of a network from nothing. heads of `head_size` numbers; kv_heads: of keys and values; intermediate:
    width of the feed-forward layers; positions: longest sequence, in tokens. An encoder-decoder has half of the layers
    in either half, and as many kv_heads as heads."""

    hidden: int = 384
    layers: int = 6
    heads: int = 6
    kv_heads: int = 6
    head_size: int = 64
    intermediate: int = 1024
    positions: int = 2048

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise LmError(f"backbone: {field.name}: expected a positive whole number, found {value!r}")
        if self.heads % self.kv_heads:
            raise LmError(f"backbone: kv_heads: expected a divisor of heads ({self.heads}), found {self.kv_heads}")


DEFAULT_SIZE = BackboneConfig()


def new_backbone(bound: BoundVocabulary, size: BackboneConfig = DEFAULT_SIZE, *, encoder_decoder: bool = False) -> Any:
    """A network of random weights, as torch's seed has them: Qwen3, or T5 as an encoder-decoder. Heads are tied."""
    from transformers import Qwen3Config, Qwen3ForCausalLM, T5Config, T5ForConditionalGeneration

    rows = -(-bound.size // ROWS) * ROWS
    marks = {"bos_token_id": bound.bos, "eos_token_id": bound.eos, "pad_token_id": bound.pad}
    with quiet():
        if encoder_decoder:
            return T5ForConditionalGeneration(
                T5Config(
                    vocab_size=rows,
                    d_model=size.hidden,
                    d_kv=size.head_size,
                    d_ff=size.intermediate,
                    num_layers=-(-size.layers // 2),
                    num_decoder_layers=max(size.layers // 2, 1),
                    num_heads=size.heads,
                    # Six tokens a step: what T5 calls far away is near here.
                    relative_attention_num_buckets=64,
                    relative_attention_max_distance=max(size.positions // 2, 64),
                    dropout_rate=0.0,
                    decoder_start_token_id=bound.pad,
                    tie_word_embeddings=True,
                    **marks,
                )
            )
        return Qwen3ForCausalLM(
            Qwen3Config(
                vocab_size=rows,
                hidden_size=size.hidden,
                intermediate_size=size.intermediate,
                num_hidden_layers=size.layers,
                num_attention_heads=size.heads,
                num_key_value_heads=size.kv_heads,
                head_dim=size.head_size,
                max_position_embeddings=size.positions,
                rope_theta=BASE_POSITION,
                tie_word_embeddings=True,
                **marks,
            )
        )


def load_backbone(base: str | Path, vocabulary: MotionVocabulary) -> tuple[Any, BoundVocabulary]:
    """A base model with the motion tokens added, by its folder or its name in the hub, and its vocabulary with them.

    Rows for the motion tokens are the mean of those of the base's own tokens; rows beyond its tokenizer's, which some
    have, are taken first. One that has these motion tokens already is left as it is. Raises `LmError` for what is no
    causal language model or encoder-decoder, or has no fast tokenizer.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

    folder = folder_of(base)
    try:
        with quiet():
            config = AutoConfig.from_pretrained(folder)
            tokenizer = AutoTokenizer.from_pretrained(folder)
            kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
            network = kind.from_pretrained(folder, use_safetensors=True).float()
    except LOADING_ERRORS as error:
        raise LmError(
            f"{base}: cannot be read as a causal language model or encoder-decoder ({first_line(error)})"
        ) from error
    if not tokenizer.is_fast:
        raise LmError(f"{base}: its tokenizer has no tokenizer.json; use a base model that has a fast tokenizer")
    known = vocabulary.tokens[0] in tokenizer.get_vocab()
    try:
        bound = vocabulary.bind(tokenizer)
    except LmError as error:
        raise LmError(f"{base}: {error}") from error
    with quiet():
        _add_rows(network, bound, None if known else bound.base)
    for told in (network.config, network.generation_config):
        told.bos_token_id, told.eos_token_id, told.pad_token_id = bound.bos, bound.eos, bound.pad
    if network.config.is_encoder_decoder and network.config.decoder_start_token_id is None:
        network.config.decoder_start_token_id = bound.pad
    return network, bound


def is_encoder_decoder(network: Any) -> bool:
    """Whether what is given goes into an encoder of its own."""
    return bool(network.config.is_encoder_decoder)


def has_tied_head(network: Any) -> bool:
    """Whether the rows of tokens that are read are those of tokens that are written."""
    head = network.get_output_embeddings()
    return head is None or head.weight.data_ptr() == network.get_input_embeddings().weight.data_ptr()


def with_lora(
    network: Any, bound: BoundVocabulary, rank: int, *, alpha: int | None = None, dropout: float = 0.05
) -> Any:
    """The network with adapters on all its linear layers, for training: these and the rows of the motion tokens learn,
    all else is frozen. alpha: strength of the adapters; None: 2 x rank. The network itself is changed, too.

    Raises `MissingPartError` without peft.
    """
    if rank < 1:
        raise LmError(f"lora: expected a rank of 1 at least, found {rank}")
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise MissingPartError("adapters (LoRA) need peft: pip install 'tdmm[train]'") from error
    scale = 2 * rank if alpha is None else alpha
    with quiet():
        adapted = get_peft_model(
            network, LoraConfig(r=rank, lora_alpha=scale, lora_dropout=dropout, target_modules="all-linear")
        )
    # Its own trainable tokens forget the bias of a head, and what is tied where the configuration does not say so.
    learned: dict[int, nn.Parameter] = {}
    for module in _token_modules(network):
        weight: Any = module.weight
        rows = learned.setdefault(
            weight.data_ptr(), nn.Parameter(weight.detach()[bound.base : bound.end].clone(), requires_grad=True)
        )
        parametrize.register_parametrization(module, "weight", _TokenRows(rows, bound.base), unsafe=True)
    return adapted


def merged(network: Any) -> Any:
    """A copy of what `with_lora` gave, without adapters, that computes the same. Other networks are given back."""
    if not hasattr(network, "merge_and_unload"):
        return network
    copy = deepcopy(network)
    # Tokens first: peft looks at what is tied.
    for module in list(copy.modules()):
        if parametrize.is_parametrized(module, "weight"):
            _fix_rows(module)
    with quiet():
        return copy.merge_and_unload()


class _TokenRows(nn.Module):
    """A weight (V, H) of which the rows from `first` on are others."""

    def __init__(self, rows: nn.Parameter, first: int) -> None:
        super().__init__()
        self.rows, self.first = rows, first

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return torch.cat([weight[: self.first], self.rows.to(weight.dtype), weight[self.first + len(self.rows) :]])


@torch.no_grad()
def _fix_rows(module: Any) -> None:
    """Write the rows of a module into its weight, which is a plain one again."""
    # Not by remove_parametrizations, which changes the class that copies have in common.
    weight, fixed = module.parametrizations.weight.original, module.weight.clone()
    module.__class__ = module.__class__.__bases__[0]
    del module.parametrizations
    weight.copy_(fixed)
    module.register_parameter("weight", weight)


def _token_modules(network: Any) -> list[nn.Module]:
    """The modules whose weight has a row for each token: as a rule two, of T5 four."""
    ends = [network.get_input_embeddings(), network.get_output_embeddings()]
    places = {end.weight.data_ptr() for end in ends if end is not None}
    return [
        module
        for module in network.modules()
        if isinstance(weight := module._parameters.get("weight"), nn.Parameter) and weight.data_ptr() in places
    ]


@torch.no_grad()
def _add_rows(network: Any, bound: BoundVocabulary, first: int | None) -> None:
    """Make room for all tokens. Rows from `first` on (None: those that are new) become the mean of the others."""
    before = network.get_input_embeddings().weight.shape[0]
    own = None if has_tied_head(network) else network.get_output_embeddings().weight.detach().clone()
    if before < bound.size:
        network.resize_token_embeddings(bound.size, pad_to_multiple_of=ROWS, mean_resizing=False)
    head, embeddings = network.get_output_embeddings(), network.get_input_embeddings().weight
    if own is not None and has_tied_head(network):
        # T5 1.1, whose configuration says that it is tied, though it is not.
        head.weight = nn.Parameter(torch.cat([own, own.new_zeros(len(embeddings) - len(own), own.shape[1])]))
    known = before if first is None else min(first, before)
    tensors = [embeddings, None if head is None or own is None else head.weight, getattr(head, "bias", None)]
    for tensor in tensors:
        if tensor is not None:
            tensor[known:] = tensor[:known].mean(0)
