"""Qwen3 for decoding, read from its weights without transformers: the same numbers in a fraction of the time.

A static cache, keys and values of all tokens so far; one product for queries, keys and values, one for both halves of
the feed-forward layers; and of the head only the rows of the tokens that may come. On the CPU, single tokens can go
through `tdmm.lm.qwen3_step`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from tdmm.errors import LmError
from tdmm.lm.vocabulary import Span

if TYPE_CHECKING:
    from tdmm.lm.model_folder import LanguageModel

# Slots of a cache come in multiples of it.
SLOTS = 256
MATRICES = (
    ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    ("self_attn.o_proj",),
    ("mlp.gate_proj", "mlp.up_proj"),
    ("mlp.down_proj",),
)
# Rows of the compiled step that are worth a thread of their own.
THREAD_ROWS = 4
# Weights up to which it is the faster one: a product of larger ones is worth several threads.
STEP_BYTES = 1 << 27
# Tokens that such a network reads in one thread: several gain little, and lose much where other work takes their turns,
# because each product ends when the last of them does.
ALONE = 512


def fits(config: Mapping[str, Any]) -> bool:
    """Whether a configuration of transformers is one that is computed here: Qwen3 in its plain form."""
    turned = config.get("rope_scaling") or config.get("rope_parameters") or {}
    return (
        config.get("model_type") == "qwen3"
        and not config.get("use_sliding_window")
        and not config.get("attention_bias")
        and set(config.get("layer_types") or ["full_attention"]) == {"full_attention"}
        and turned.get("rope_type", turned.get("type", "default")) == "default"
        and config.get("hidden_act", "silu") == "silu"
        and "quantization_config" not in config
    )


class Qwen3:
    """The weights of a network. float32 on the CPU, bfloat16 elsewhere."""

    def __init__(self, config: Mapping[str, Any], tensors: Mapping[str, torch.Tensor], device: str = "cpu") -> None:
        """tensors: by the names that transformers gives them. Raises `LmError` where one is missing."""
        self.device = torch.device(device)
        self.dtype = torch.float32 if self.device.type == "cpu" else torch.bfloat16
        self.heads = int(config["num_attention_heads"])
        self.kv_heads = int(config.get("num_key_value_heads") or self.heads)
        self.head_size = int(config.get("head_dim") or config["hidden_size"] // self.heads)
        self.epsilon = float(config.get("rms_norm_eps", 1e-6))
        turned = config.get("rope_parameters") or {}
        self.base_position = float(turned.get("rope_theta", config.get("rope_theta", 10_000.0)))

        size = sum(one.nbytes for one in tensors.values())
        plain = self.device.type == "cpu" and all(one.dtype == torch.bfloat16 for one in tensors.values())
        self.small = self.device.type == "cpu" and size <= STEP_BYTES
        self._stored = tensors if plain and self.small else None

        def get(name: str) -> torch.Tensor:
            if name not in tensors:
                raise LmError(f"there is no {name} among the weights")
            return tensors[name].to(self.device, self.dtype)

        self.embeddings = get("model.embed_tokens.weight")
        tied = "lm_head.weight" not in tensors or bool(config.get("tie_word_embeddings"))
        self.head = self.embeddings if tied else get("lm_head.weight")
        self.norm = get("model.norm.weight")
        self._names = [f"model.layers.{number}." for number in range(config["num_hidden_layers"])]
        self.layers = [self._layer(get, name) for name in self._names]

    def _layer(self, get: Callable[[str], torch.Tensor], name: str) -> tuple[torch.Tensor, ...]:
        """Norm; queries, keys, values; their norms; back; norm; gate and up; down. Matrices (inputs, outputs)."""
        turned = (("q", self.heads), ("k", self.kv_heads))
        norms = [get(f"{name}self_attn.{one}_norm.weight")[None].expand(count, -1) for one, count in turned]
        queries, back, gate_up, down = (
            torch.cat([get(f"{name}{one}.weight") for one in names]).T.contiguous() for names in MATRICES
        )
        then_norm = get(f"{name}post_attention_layernorm.weight")
        return get(f"{name}input_layernorm.weight"), queries, torch.cat(norms), back, then_norm, gate_up, down

    @cached_property
    def packed(self) -> tuple[np.ndarray, ...] | None:
        """For `tdmm.lm.qwen3_step`: layers on top of each other: norms (L, 2, H), matrices (L, outputs, inputs) as bits
        of bfloat16, norms of queries and keys (L, heads, D); last norm (H,). None where the weights are not stored as
        bfloat16, or are large."""
        if self._stored is None:
            return None
        queries, back, gate_up, down = (
            np.stack([self._bits(name, *names) for name in self._names]) for names in MATRICES
        )
        norms = torch.stack([torch.stack([norm, then_norm]) for norm, _, _, _, then_norm, _, _ in self.layers])
        turned = torch.stack([layer[2] for layer in self.layers])
        return norms.numpy(), queries, turned.numpy(), back, gate_up, down, self.norm.numpy()

    @cached_property
    def threads(self) -> ThreadPoolExecutor:
        """For rows that are computed beside each other."""
        return ThreadPoolExecutor(torch.get_num_threads())

    @cached_property
    def packed_head(self) -> np.ndarray:
        """(V, H) uint16, bits of bfloat16."""
        return self._bits("", "model.embed_tokens" if self.head is self.embeddings else "lm_head")

    def _bits(self, before: str, *names: str) -> np.ndarray:
        """(outputs, inputs) uint16 of weights on top of each other."""
        assert self._stored is not None
        whole = torch.cat([self._stored[f"{before}{name}.weight"] for name in names])
        return whole.view(torch.int16).numpy().view(np.uint16)

    @property
    def slot_bytes(self) -> int:
        """What a token takes in the cache."""
        return 2 * len(self.layers) * self.kv_heads * self.head_size * self.norm.element_size()


class Qwen3Cache:
    """What a network remembers of a batch, and what it says next.

    The rows end at the same slot; shorter ones have nothing in front, `pad` slots of it. room: slots. drawn: (B, room)
    int64, where: (B, room) float32 and graphs are there for who draws (`tdmm.lm.cycles`): the token at each slot, the
    number that chooses it, and work that is recorded on this cache. by_step: whether single tokens go through
    `tdmm.lm.qwen3_step`, which the network must be `packed` for.
    """

    def __init__(self, network: Qwen3, rows: int, room: int) -> None:
        self.network, self.room = network, self.rounded(room)
        device, dtype = network.device, network.dtype
        shape = (len(network.layers), rows, network.kv_heads, self.room, network.head_size)
        self.keys, self.values = (torch.zeros(shape, device=device, dtype=dtype) for _ in range(2))
        self.index = torch.arange(self.room, device=device)
        self.pad = torch.zeros(rows, dtype=torch.int64, device=device)
        self.slot = torch.zeros(1, dtype=torch.int64, device=device)  # where the next token goes
        self.hidden = torch.zeros((rows, len(network.norm)), device=device, dtype=dtype)
        half = network.head_size // 2
        turns = 1.0 / network.base_position ** (torch.arange(half) / half)
        angles = torch.arange(self.room)[:, None] * turns
        self.cosines = torch.cat([angles.cos()] * 2, 1).to(device, dtype)
        # The first half is turned by the second one the other way.
        self.sines = torch.cat([-angles.sin(), angles.sin()], 1).to(device, dtype)
        self.drawn = torch.zeros((rows, self.room), dtype=torch.int64, device=device)
        self.where = torch.zeros((rows, self.room), device=device)
        self.graphs: dict[Any, Any] = {}
        self.rows, self.used, self.padded = rows, 0, False
        self.by_step = False

    @staticmethod
    def rounded(room: int) -> int:
        """Slots that a cache has for so many tokens."""
        return -(-room // SLOTS) * SLOTS

    def begin(self, given: Sequence[Sequence[int]], written: Sequence[Sequence[int]]) -> None:
        """Read what is given and what is written of it already; forget what was there. At most the cache's rows."""
        rows = [[*row, *more] for row, more in zip(given, written, strict=True)]
        width = max(map(len, rows))
        self.rows, self.used = len(rows), 0
        pads = [width - len(row) for row in rows]
        self.padded = any(pads)
        self.pad[: self.rows] = torch.tensor(pads)
        self.slot.zero_()
        ids = [[0] * pad + row for pad, row in zip(pads, rows, strict=True)]
        self.feed(torch.tensor(ids, device=self.network.device))

    def feed(self, ids: torch.Tensor) -> None:
        """Read the next tokens, (B, n) int64."""
        count = ids.shape[1]
        if self.used + count > self.room:
            raise LmError(f"a cache of {self.room} tokens is full")
        self.used += count
        if count == 1 and self.by_step:
            self._step(ids[:, 0])
            return
        with self._threads(ids.numel()):
            self._forward(ids, self.used, self.padded or count > 1)

    def _threads(self, tokens: int) -> AbstractContextManager[None]:
        """For work on so many tokens."""
        return one_thread() if self.network.small and tokens <= ALONE else nullcontext()

    def _step(self, ids: torch.Tensor) -> None:
        from tdmm.lm.qwen3_step import step

        network, slot, epsilon = self.network, self.used - 1, np.float32(self.network.epsilon)
        x, keys, values, hidden, pads = (
            one.numpy() for one in (network.embeddings[ids], self.keys, self.values, self.hidden, self.pad)
        )
        cosines, sines = self.cosines.numpy(), self.sines.numpy()

        def some(rows: slice) -> None:
            cache = keys[:, rows], values[:, rows]
            step(x[rows], network.packed, cache, cosines, sines, pads[rows], slot, epsilon, hidden[rows])

        parts = max(min(torch.get_num_threads(), self.rows // THREAD_ROWS), 1)
        edges = [self.rows * part // parts for part in range(parts + 1)]
        slices = [slice(*some_edges) for some_edges in pairwise(edges)]
        if parts == 1:
            some(slices[0])
        else:
            list(network.threads.map(some, slices))
        self.slot += 1

    def feed_one(self, ids: torch.Tensor, seen: int) -> None:
        """Read the next token, (B,) int64, of the slots only the first `seen`: the same work at whichever slot."""
        self._forward(ids[:, None], seen, True)

    def _forward(self, ids: torch.Tensor, seen: int, masked: bool) -> None:
        network, count = self.network, ids.shape[1]
        heads, kv_heads, size = network.heads, network.kv_heads, network.head_size
        slots = self.slot if count == 1 else self.slot + self.index[:count]
        pad = self.pad[: self.rows]
        positions = (slots - pad[:, None]).clamp(min=0)
        cosines, sines = self.cosines[positions][:, :, None], self.sines[positions][:, :, None]
        mask = None
        if masked:
            index = self.index[:seen]
            hidden_from = (index > slots[:, None]) | (index < pad[:, None, None])
            # Not -inf: what stands in for nothing sees nothing, and must not become NaN.
            mask = torch.zeros_like(hidden_from, dtype=network.dtype).masked_fill_(hidden_from, -1e30)[:, None]
        x = network.embeddings[ids]
        for layer, keys, values in zip(network.layers, self.keys, self.values, strict=True):
            norm, qkv, turned_norms, back, then_norm, gate_up, down = layer
            projected = self._normed(x, norm) @ qkv
            split = (heads + kv_heads) * size
            turned = projected[..., :split].unflatten(-1, (heads + kv_heads, size))
            turned = functional.rms_norm(turned, (size,), None, network.epsilon) * turned_norms
            turned = turned * cosines + turned.roll(size // 2, -1) * sines
            query, key = turned.transpose(1, 2).split((heads, kv_heads), 1)
            value = projected[..., split:].unflatten(-1, (kv_heads, size)).transpose(1, 2)
            keys, values = keys[: self.rows], values[: self.rows]
            keys.index_copy_(2, slots, key)
            values.index_copy_(2, slots, value)
            with self._attention():
                attended = functional.scaled_dot_product_attention(
                    query, keys[:, :, :seen], values[:, :, :seen], mask, enable_gqa=heads != kv_heads
                )
            x = x + attended.transpose(1, 2).flatten(2) @ back
            gate, up = (self._normed(x, then_norm) @ gate_up).chunk(2, -1)
            x = x + (functional.silu(gate) * up) @ down
        self.hidden[: self.rows] = self._normed(x[:, -1], network.norm)
        self.slot += count

    def _attention(self) -> AbstractContextManager[Any]:
        """On a GPU, kernels that take masks, need no time to be planned, and can be recorded."""
        if self.network.device.type != "cuda":
            return nullcontext()
        return sdpa_kernel([SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH])

    def _normed(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return functional.rms_norm(x, weight.shape, weight, self.network.epsilon)

    def logits(self, spans: Sequence[Span]) -> torch.Tensor:
        """(B, K) float32 of the next token, of the ids of spans, in their order."""
        found = [self._logits(first, end) for first, end in spans]
        return found[0] if len(found) == 1 else torch.cat(found, 1)

    def _logits(self, first: int, end: int) -> torch.Tensor:
        hidden, network = self.hidden[: self.rows], self.network
        if not self.by_step:
            with self._threads(self.rows):
                return functional.linear(hidden.float(), network.head[first:end].float())
        from tdmm.lm.qwen3_step import product

        found = torch.empty((self.rows, end - first))
        product(hidden.numpy(), network.packed_head[first:end], found.numpy())
        return found

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows alone, in this order; one may come several times."""
        chosen = torch.tensor(rows, device=self.network.device)
        self.rows = len(rows)
        for one in (*self.keys, *self.values):  # layer by layer
            one[: self.rows, :, : self.used] = one[chosen, :, : self.used]
        for one in (self.pad, self.hidden):
            one[: self.rows] = one[chosen]


@contextmanager
def one_thread() -> Iterator[None]:
    """torch computes in the thread that calls it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def read_qwen3(lm: LanguageModel) -> Qwen3:
    """The network of a language model. Raises `LmError` for weights that cannot be read."""
    from safetensors import SafetensorError

    try:
        return Qwen3(lm.config, dict(_tensors(lm)), lm.device)
    except LmError as error:
        raise LmError(f"{lm.folder}: {error}; copy it again") from error
    except (OSError, KeyError, ValueError, TypeError, SafetensorError) as error:
        raise LmError(f"{lm.folder}: its weights cannot be read ({error})") from error


def _tensors(lm: LanguageModel) -> Iterator[tuple[str, torch.Tensor]]:
    from safetensors.torch import load_file

    for path in lm.weights:
        yield from load_file(path).items()
