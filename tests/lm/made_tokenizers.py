"""Tokenizers of several families, small enough to be made in a moment, and the motion tokens of a small codec."""

from __future__ import annotations

from functools import cache
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from tdmm.lm.tokenizer import learn_tokenizer
from tdmm.lm.vocabulary import BoundVocabulary, MotionVocabulary

TEXTS = (
    "smiles then nods twice",
    "The person smiles slightly, then nods.",
    "She winks with her left eye and turns her head to the right.",
    "0.4-1.9 s: smiles; 2.1-3.0 s: nods twice",
    "How often does the person nod? Twice.",
) * 3
SMALL = MotionVocabulary(("face", "face", "head"), (16, 8, 5), longest=12)


def ours() -> Any:
    """Learned by tdmm."""
    return learn_tokenizer(TEXTS, 400)


def byte_level() -> Any:
    """As GPT-2 has it: one token begins and ends everything and stands for what is unknown; nothing pads."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    names = dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<|endoftext|>")
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)


def unigram() -> Any:
    """As T5 has it: its control tokens are among the pieces of words, and nothing begins a sequence."""
    letters = sorted({letter for text in TEXTS for letter in text.replace(" ", "▁")} | set("<>/|"))
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((letter, -4.0) for letter in letters)]
    tokenizer = Tokenizer(models.Unigram([*pieces, ("▁nods", -2.0), ("▁smiles", -2.0)], unk_id=2, byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="</s>", pad_token="<pad>", unk_token="<unk>", padding_side="left"
    )


MADE = {"ours": ours, "byte level": byte_level, "unigram": unigram}


@cache
def bound_to(name: str = "ours") -> BoundVocabulary:
    """The small vocabulary in one of the tokenizers."""
    return SMALL.bind(MADE[name]())
