"""Tokens that come again and again in one order, as the codes of a step do, drawn where the network computes.

On a GPU a cycle is recorded once, as a CUDA graph, and played: what takes hundreds of calls becomes one, and nothing
waits for the CPU. Elsewhere the same work is done call by call.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from tdmm.lm.qwen3 import Qwen3Cache
from tdmm.lm.sampling import Sampling, draw, guide
from tdmm.lm.vocabulary import Span


class Cycle:
    """Draws tokens of spans in their order, again and again, for all rows of a cache."""

    def __init__(self, cache: Qwen3Cache, spans: tuple[tuple[Span, ...], ...], sampling: Sampling) -> None:
        self._cache, self._spans, self._sampling = cache, spans, sampling
        self._rows = cache.rows // 2 if sampling.guided else cache.rows
        device = cache.network.device
        self._ids = {
            some: torch.cat([torch.arange(first, end, device=device) for first, end in some]) for some in set(spans)
        }

    def begin(self, uniforms: Sequence[Sequence[float]]) -> None:
        """The numbers that choose the tokens from the next one on, of each row."""
        used, cache = self._cache.used, self._cache
        longest = min(max(map(len, uniforms)), cache.room - used)
        rows = [[*row[:longest], *[0.0] * (longest - len(row))] for row in uniforms]
        cache.where[: self._rows, used:] = 0
        cache.where[: self._rows, used : used + longest] = torch.tensor(rows, device=cache.network.device)

    def run(self, count: int) -> torch.Tensor:
        """The next tokens of `count` cycles, (B, count * tokens of a cycle) int64."""
        cache, before = self._cache, self._cache.used
        for _ in range(count):
            end = cache.used + len(self._spans)
            self._once(cache.rounded(end))
            cache.used = end
        return cache.drawn[: self._rows, before : cache.used]

    def _once(self, seen: int) -> None:
        cache = self._cache
        if cache.network.device.type != "cuda":
            self._tokens(seen)
            return
        key = (self._spans, self._sampling, cache.rows, seen)
        if key in cache.graphs:
            cache.graphs[key][0].replay()
            return
        # Done once call by call, which also prepares what is to be recorded.
        self._tokens(seen)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._tokens(seen)
        cache.graphs[key] = graph, self._ids  # which it reads

    def _tokens(self, seen: int) -> None:
        cache = self._cache
        for some in self._spans:
            where = cache.where[: self._rows].index_select(1, cache.slot)[:, 0]
            ids = self._ids[some][draw(guide(cache.logits(some), self._sampling), where, self._sampling)]
            cache.drawn[: self._rows].index_copy_(1, cache.slot, ids[:, None])
            cache.feed_one(ids.repeat(2) if self._sampling.guided else ids, seen)
