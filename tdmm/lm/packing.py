"""Examples side by side in rows of one length, none of which sees another: nothing is computed for padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tdmm.errors import LmError
from tdmm.lm.examples import Example

if TYPE_CHECKING:
    import torch

MOST_TOO_LONG = 20
NO_TARGET = -100  # what the losses of transformers leave out


@dataclass(frozen=True)
class Packed:
    """R rows of L tokens.

    ids: (R, L) int32. targets: (R, L) int32, the ids where there is a loss and NO_TARGET elsewhere; not shifted (the
    models of transformers do that). positions: (R, L) int32, from 0 in every example, and again in the padding, so
    that attention of transformers that reads position ids keeps them apart. documents: (R, L) int32, the number of the
    example among those that were packed, -1 in the padding.
    """

    ids: np.ndarray
    targets: np.ndarray
    positions: np.ndarray
    documents: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def filled(self) -> float:
        """The share of the tokens that are no padding."""
        return float((self.documents >= 0).mean()) if self.documents.size else 1.0


def pack(examples: Sequence[Example], length: int, pad: int) -> Packed:
    """The examples in their order, each in the first row that has room. The same examples give the same rows.

    Raises `LmError` for an example that is longer than a row.
    """
    sizes = [len(example.ids) for example in examples]
    if sizes and max(sizes) > length:
        raise LmError(
            f"packing: an example has {max(sizes)} tokens, a row {length}; take longer rows, or cut the motion"
        )
    free = np.full(len(examples), length)
    places = []
    for size in sizes:
        row = int(np.argmax(free >= size))
        places.append((row, length - int(free[row])))
        free[row] -= size
    rows = int((free < length).sum())
    ids = np.full((rows, length), pad, np.int32)
    targets = np.full((rows, length), NO_TARGET, np.int32)
    positions = np.zeros((rows, length), np.int32)
    documents = np.full((rows, length), -1, np.int32)
    for number, (example, size, (row, start)) in enumerate(zip(examples, sizes, places, strict=True)):
        # The first token of a row has nothing before it that could foretell it.
        first = max(example.target_from, 1)
        ids[row, start : start + size] = example.ids
        targets[row, start + first : start + size] = example.ids[first:]
        positions[row, start : start + size] = np.arange(size)
        documents[row, start : start + size] = number
    for row in range(rows):
        rest = int(free[row])
        positions[row, length - rest :] = np.arange(rest)
    return Packed(ids, targets, positions, documents)


def filled(examples: Iterator[Example], rows: int, length: int) -> list[Example]:
    """As many examples as `pack` brings into so many rows: until one has no room, which is left out.

    Those that are longer than a row are passed over; raises `LmError` where most are.
    """
    free = np.full(rows, length)
    found: list[Example] = []
    too_long = 0
    for example in examples:
        size = len(example.ids)
        if size > length:
            too_long += 1
            if too_long > len(found) + MOST_TOO_LONG:
                raise LmError(f"packing: most examples are longer than a row of {length} tokens; take longer rows")
            continue
        row = int(np.argmax(free >= size))
        if free[row] < size:
            break
        free[row] -= size
        found.append(example)
    return found


def block_causal_mask(documents: torch.Tensor) -> torch.Tensor:
    """(B, 1, T, T) bool: which token (row) may see which (column): those before it in its example, and itself.

    For scaled dot-product attention. documents: (B, T) as in `Packed`; padding sees padding.
    """
    import torch

    length = documents.shape[-1]
    causal = torch.ones(length, length, dtype=torch.bool, device=documents.device).tril()
    return ((documents[:, :, None] == documents[:, None, :]) & causal)[:, None]
