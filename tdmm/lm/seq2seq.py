"""What an encoder-decoder reads and writes: the encoder what is given, word by word, the decoder what is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tdmm.errors import LmError
from tdmm.lm.examples import Example
from tdmm.lm.packing import NO_TARGET
from tdmm.lm.vocabulary import BoundVocabulary

if TYPE_CHECKING:
    import torch

LENGTHS = 8  # batches are as long as a multiple of it


def encoder_batch(given: Sequence[Sequence[int] | np.ndarray], bound: BoundVocabulary) -> dict[str, torch.Tensor]:
    """What the encoder gets: input_ids (B, S) int64, padded on the right, attention_mask (B, S) int64.

    Raises `LmError` where nothing is given.
    """
    import torch

    if not given or not all(map(len, given)):
        raise LmError("an encoder-decoder: expected at least one token for the encoder")
    ids = _table(given, bound.pad)
    lengths = np.array([len(row) for row in given])
    mask = np.arange(ids.shape[1]) < lengths[:, None]
    return {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask.astype(np.int64))}


def seq2seq_batch(examples: Sequence[Example], bound: BoundVocabulary) -> dict[str, torch.Tensor]:
    """What a network learns from: as `encoder_batch`, and labels (B, T) int64, NO_TARGET behind the end.

    The model puts what begins its decoder in front of the labels itself.
    """
    import torch

    batch = encoder_batch([example.ids[: example.target_from] for example in examples], bound)
    labels = _table([example.ids[example.target_from :] for example in examples], NO_TARGET)
    return {**batch, "labels": torch.from_numpy(labels)}


def _table(rows: Sequence[Sequence[int] | np.ndarray], filler: int) -> np.ndarray:
    """(B, L) int64 of rows, L the longest, rounded up."""
    length = -(-max(map(len, rows)) // LENGTHS) * LENGTHS
    table = np.full((len(rows), length), filler, np.int64)
    for line, row in zip(table, rows, strict=True):
        line[: len(row)] = row
    return table
