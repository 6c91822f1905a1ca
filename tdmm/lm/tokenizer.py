"""A text tokenizer learned from a corpus, for language models that are trained from scratch: byte-level BPE."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tdmm.errors import LmError

BOS, EOS, PAD, UNKNOWN = "<|bos|>", "<|eos|>", "<|pad|>", "<|unk|>"
# The 256 bytes and the four above.
SMALLEST = 260
# Words with the blank before them, so that a word is the same token wherever it stands; each digit by itself, so that
# times and counts are read alike.
_PIECES = r"'(?i:s|t|d|m|ll|ve|re)| ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def learn_tokenizer(texts: Iterable[str], size: int) -> Any:
    """A `PreTrainedTokenizerFast` with at most `size` tokens (fewer where the texts hold no more), pads on the left.

    The same texts give the same tokenizer. Any text comes back as it was, but for blanks at its ends. Raises `LmError`
    for a size that is too small, and where there is no text.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    if size < SMALLEST:
        raise LmError(f"tokenizer: expected a size of {SMALLEST} at least, the bytes and four more, found {size}")
    texts = [text for text in texts if text.strip()]
    if not texts:
        raise LmError("tokenizer: there are no texts to learn from; does the corpus have any?")
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Prepend(" ")  # the first word, too, has a blank before it
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=2,
        special_tokens=[PAD, UNKNOWN, BOS, EOS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        unk_token=UNKNOWN,
        padding_side="left",
        model_input_names=["input_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
    )
