"""Any network of transformers for decoding: causal ones and encoder-decoders, by their own forward pass and cache."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from tdmm.lm.vocabulary import Span

if TYPE_CHECKING:
    from tdmm.lm.model_folder import LanguageModel


class AnyCache:
    """What a network remembers of a batch, and what it says next. As `Qwen3Cache` for who decodes.

    A causal network gets rows padded on the left. Of an encoder-decoder the encoder gets what is given, and the decoder
    what begins it and what is written.
    """

    def __init__(self, lm: LanguageModel) -> None:
        self._lm, self._network = lm, lm.network
        self._device = self._network.device
        self._options = inspect.signature(self._network.forward).parameters
        # What newer versions of transformers call it, and what it was called before.
        self._cache = "cache" if "cache" in self._options else "past_key_values"
        self._past: Any = None
        self._encoded: dict[str, Any] = {}
        self._mask = self._scores = torch.zeros(0)

    def begin(self, given: Sequence[Sequence[int]], written: Sequence[Sequence[int]]) -> None:
        """Read what is given and what is written of it already, of all rows as much; forget what was there."""
        self._past, self._encoded = None, {}
        bound = self._lm.bound
        if self._lm.encoder_decoder:
            from tdmm.lm.seq2seq import encoder_batch

            batch = {name: tensor.to(self._device) for name, tensor in encoder_batch(given, bound).items()}
            encoder = self._network.get_encoder()
            self._encoded = {"encoder_outputs": encoder(**batch), "attention_mask": batch["attention_mask"]}
            start = self._network.config.decoder_start_token_id
            ids = torch.tensor([[start, *row] for row in written])
            self._mask = torch.ones_like(ids)
        else:
            rows = [[*row, *more] for row, more in zip(given, written, strict=True)]
            width = max(map(len, rows))
            ids = torch.tensor([[bound.pad] * (width - len(row)) + row for row in rows])
            self._mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
        self._mask = self._mask.to(self._device)
        self._forward(ids)

    def feed(self, ids: torch.Tensor) -> None:
        """Read the next tokens, (B, n) int64."""
        self._mask = torch.cat([self._mask, torch.ones(ids.shape, dtype=torch.int64, device=self._device)], 1)
        self._forward(ids)

    def _forward(self, ids: torch.Tensor) -> None:
        ids, count = ids.to(self._device), ids.shape[1]
        given: dict[str, Any] = {self._cache: self._past, "use_cache": True, **self._encoded}
        if self._encoded:
            given["decoder_input_ids"] = ids
        else:
            given |= {"input_ids": ids, "attention_mask": self._mask}
            if "position_ids" in self._options:
                given["position_ids"] = (self._mask.cumsum(1) - 1).clamp(min=0)[:, -count:]
        if "logits_to_keep" in self._options:
            given["logits_to_keep"] = 1
        found = self._network(**given)
        self._past, self._scores = found[self._cache], found.logits[:, -1]

    def logits(self, spans: Sequence[Span]) -> torch.Tensor:
        """(B, K) float32 of the next token, of the ids of spans, in their order."""
        found = [self._scores[:, first:end] for first, end in spans]
        return (found[0] if len(found) == 1 else torch.cat(found, 1)).float()

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows alone, in this order; one may come several times."""
        chosen = torch.tensor(rows, device=self._device)
        # What beams use to follow the best ones, which may be fewer or more.
        self._past.reorder_cache(chosen)
        self._mask, self._scores = self._mask[chosen], self._scores[chosen]
        if self._encoded:
            hidden = self._encoded["encoder_outputs"]
            hidden.last_hidden_state = hidden.last_hidden_state[chosen]
            self._encoded["attention_mask"] = self._encoded["attention_mask"][chosen]
