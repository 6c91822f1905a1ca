"""Tiny networks of several families with random weights, in folders as base models come."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from made_tokenizers import MADE

from tdmm.lm.hub import quiet

_CAUSAL = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 96,
}
_GROUPED = {**_CAUSAL, "num_key_value_heads": 1, "head_dim": 8}
_T5 = {"d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2, "decoder_start_token_id": 0}
# Family: its class, its tokenizer, its configuration, rows beyond its tokenizer's.
FAMILIES: dict[str, tuple[str, str, dict[str, Any], int]] = {
    "qwen3, padded": ("Qwen3ForCausalLM", "byte level", {**_GROUPED, "tie_word_embeddings": True}, 80),
    "llama": ("LlamaForCausalLM", "ours", {**_GROUPED, "tie_word_embeddings": False}, 0),
    "gemma3": ("Gemma3ForCausalLM", "unigram", {**_GROUPED, "sliding_window": 64}, 3),
    "gpt2": ("GPT2LMHeadModel", "byte level", {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 96}, 0),
    "neox": ("GPTNeoXForCausalLM", "byte level", {**_CAUSAL, "tie_word_embeddings": False}, 5),
    "phi": ("PhiForCausalLM", "byte level", {**_CAUSAL, "tie_word_embeddings": False}, 0),
    "t5": ("T5ForConditionalGeneration", "unigram", _T5, 28),
    "t5, untied": ("T5ForConditionalGeneration", "unigram", {**_T5, "tie_word_embeddings": False}, 0),
}


def save_base(family: str, folder: str | Path) -> Any:
    """Save a base model of a family to a folder; its network."""
    kind, words, sizes, padded = FAMILIES[family]
    tokenizer = MADE[words]()
    made = getattr(transformers, kind)
    marks = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    config = made.config_class(vocab_size=len(tokenizer) + padded, **sizes, **marks)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = made(config).eval()
        with torch.no_grad():
            for name, weight in network.named_parameters():
                if name.endswith("bias"):
                    weight.normal_()
            head = network.get_output_embeddings()
            if family == "t5, untied" and head.weight is network.get_input_embeddings().weight:
                # The configuration of transformers 5 knows no such T5, its folders do.
                head.weight = torch.nn.Parameter(torch.randn_like(head.weight))
    with quiet():
        network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return network
