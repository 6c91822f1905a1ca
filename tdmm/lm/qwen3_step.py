"""One token through Qwen3 on the CPU, compiled by numba: for few rows, where memory is what the time goes to.

Weights stay bfloat16, as they are stored, and are widened where they are multiplied: half of the bytes of float32, and
to the same result. One thread, which waits for no other.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

from tdmm.render.compiled import compiled

# numba mixes Python numbers and float32 to float64; these keep the arithmetic single.
_0, _1 = np.float32(0), np.float32(1)


@intrinsic  # type: ignore[untyped-decorator]
def _widened(_context: Any, _bits: Any) -> Any:
    """The float32 of the bits of a bfloat16, as uint16."""

    def code(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        wide = builder.zext(arguments[0], ir.IntType(32))
        return builder.bitcast(builder.shl(wide, ir.Constant(ir.IntType(32), 16)), ir.FloatType())

    return types.float32(types.uint16), code


@compiled(relaxed=True)
def product(x, matrix, out):  # type: ignore[no-untyped-def]
    """out (B, N) = x (B, M) times matrix (N, M), bits of bfloat16."""
    for number in range(matrix.shape[0]):
        for row in range(x.shape[0]):
            total = _0
            for place in range(x.shape[1]):
                total += x[row, place] * _widened(matrix[number, place])
            out[row, number] = total


@compiled(relaxed=True)
def _normed(x, weight, epsilon, out):  # type: ignore[no-untyped-def]
    """out = x over its root mean square, times weight; (B, M), (M,)."""
    for row in range(x.shape[0]):
        total = _0
        for place in range(x.shape[1]):
            total += x[row, place] * x[row, place]
        scale = _1 / np.sqrt(total / np.float32(x.shape[1]) + epsilon)
        for place in range(x.shape[1]):
            out[row, place] = x[row, place] * scale * weight[place]


@compiled(relaxed=True)
def _turned(x, weight, cosines, sines, epsilon, out):  # type: ignore[no-untyped-def]
    """out (D,) = x (D,), normed, turned to its position."""
    size = x.shape[0]
    half = size // 2
    total = _0
    for place in range(size):
        total += x[place] * x[place]
    scale = _1 / np.sqrt(total / np.float32(size) + epsilon)
    for place in range(half):
        first, second = x[place] * scale * weight[place], x[place + half] * scale * weight[place + half]
        out[place] = first * cosines[place] + second * sines[place]
        out[place + half] = second * cosines[place + half] + first * sines[place + half]


@compiled(relaxed=True)
def _attended(query, keys, values, first, end, chances, out):  # type: ignore[no-untyped-def]
    """out (D,) = the mean of values (T, D) from `first` to `end`, by how well keys (T, D) answer the query (D,)."""
    size = query.shape[0]
    scale = _1 / np.sqrt(np.float32(size))
    top = np.float32(-np.inf)
    for slot in range(first, end):
        total = _0
        for place in range(size):
            total += query[place] * keys[slot, place]
        chances[slot] = total * scale
        top = max(top, chances[slot])
    whole = _0
    for slot in range(first, end):
        chances[slot] = np.exp(chances[slot] - top)
        whole += chances[slot]
    out[:] = _0
    for slot in range(first, end):
        share = chances[slot] / whole
        for place in range(size):
            out[place] += share * values[slot, place]


@compiled(relaxed=True)
def step(x, weights, cache, cosines, sines, pads, slot, epsilon, hidden):  # type: ignore[no-untyped-def]
    """A token of each row through all layers: from x (B, H), which is overwritten, to hidden (B, H).

    weights: as `Qwen3.packed` has them; cache: keys and values, (L, B', K, T, D) each, of which `slot` is written;
    cosines, sines: (T, D) by position; pads: (B,) slots of each row that are empty.
    """
    norms, queries, turns, back, gate_up, down, last = weights
    keys, values = cache
    rows, wide = x.shape
    kv_heads, slots, size = keys.shape[2], keys.shape[3], keys.shape[4]
    both = turns.shape[1]
    heads, inner = both - kv_heads, down.shape[2]
    normed, added = np.empty((rows, wide), np.float32), np.empty((rows, wide), np.float32)
    projected = np.empty((rows, queries.shape[1]), np.float32)
    seen = np.empty((rows, heads * size), np.float32)
    gates, gated = np.empty((rows, 2 * inner), np.float32), np.empty((rows, inner), np.float32)
    query, chances = np.empty(size, np.float32), np.empty(slots, np.float32)
    for layer in range(norms.shape[0]):
        _normed(x, norms[layer, 0], epsilon, normed)
        product(normed, queries[layer], projected)
        for row in range(rows):
            first = pads[row]
            cosine, sine = cosines[slot - first], sines[slot - first]
            for head in range(kv_heads):
                start = (heads + head) * size
                _turned(
                    projected[row, start : start + size], turns[layer, heads + head], cosine, sine, epsilon,
                    keys[layer, row, head, slot],
                )  # fmt: skip
                start = (both + head) * size
                values[layer, row, head, slot] = projected[row, start : start + size]
            for head in range(heads):
                start, group = head * size, head * kv_heads // heads
                _turned(projected[row, start : start + size], turns[layer, head], cosine, sine, epsilon, query)
                _attended(
                    query, keys[layer, row, group], values[layer, row, group], first, slot + 1, chances,
                    seen[row, start : start + size],
                )  # fmt: skip
        product(seen, back[layer], added)
        x += added
        _normed(x, norms[layer, 1], epsilon, normed)
        product(normed, gate_up[layer], gates)
        for row in range(rows):
            for place in range(inner):
                gate = gates[row, place]
                gated[row, place] = gate / (_1 + np.exp(-gate)) * gates[row, inner + place]
        product(gated, down[layer], added)
        x += added
    _normed(x, last, epsilon, hidden)
