"""Examples in rows: all there, in the first row with room, and blind for one another."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import Qwen3Config, Qwen3ForCausalLM

from tdmm.errors import LmError
from tdmm.lm.examples import Example
from tdmm.lm.packing import NO_TARGET, block_causal_mask, pack


def examples_of(sizes, seed=0):
    random = np.random.default_rng(seed)
    return [
        Example(random.integers(1, 50, size).astype(np.int32), int(random.integers(size)), "animate") for size in sizes
    ]


@pytest.fixture(scope="module")
def model():
    config = Qwen3Config(
        vocab_size=50, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=8, max_position_embeddings=64, attn_implementation="sdpa",
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Qwen3ForCausalLM(config).eval()


@given(st.lists(st.integers(1, 12), max_size=30))
@settings(max_examples=50, deadline=None)
def test_everything_is_there_once(sizes):
    examples = examples_of(sizes)
    packed = pack(examples, 12, pad=0)
    assert (packed.documents >= 0).sum() == sum(sizes)
    assert packed.filled == (sum(sizes) / packed.ids.size if sizes else 1.0)
    assert (packed.documents >= 0).any(1).all()
    for number, example in enumerate(examples):
        rows, columns = np.nonzero(packed.documents == number)
        assert len(set(rows.tolist())) == 1
        here = (rows[0], slice(columns[0], columns[-1] + 1))
        assert packed.ids[here].tolist() == example.ids.tolist()
        assert packed.positions[here].tolist() == list(range(len(example.ids)))
        first = max(example.target_from, 1)
        assert (packed.targets[here][:first] == NO_TARGET).all()
        assert packed.targets[here][first:].tolist() == example.ids[first:].tolist()
    padding = packed.documents < 0
    assert (packed.ids[padding] == 0).all()
    assert (packed.targets[padding] == NO_TARGET).all()


def test_each_goes_where_there_is_room_first():
    packed = pack(examples_of([6, 7, 4, 3, 5]), 10, pad=0)
    assert packed.documents.tolist() == [[0] * 6 + [2] * 4, [1] * 7 + [3] * 3, [4] * 5 + [-1] * 5]
    assert packed.positions[2].tolist() == [0, 1, 2, 3, 4] * 2
    again = pack(examples_of([6, 7, 4, 3, 5]), 10, pad=0)
    assert all(np.array_equal(getattr(packed, name), getattr(again, name)) for name in vars(packed))


def test_nothing_packs_to_nothing():
    packed = pack([], 8, pad=0)
    assert (len(packed), packed.ids.shape, packed.filled) == (0, (0, 8), 1.0)


def test_an_example_longer_than_a_row_is_told():
    with pytest.raises(LmError, match="packing: an example has 11 tokens, a row 10; take longer rows"):
        pack(examples_of([3, 11]), 10, pad=0)


def test_the_mask_is_causal_in_each_example():
    mask = block_causal_mask(torch.tensor([[0, 0, 1, 1, -1], [2, 2, 2, 2, 2]]))
    assert (mask.shape, mask.dtype) == ((2, 1, 5, 5), torch.bool)
    assert mask[0, 0].int().tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [0, 0, 1, 0, 0],
        [0, 0, 1, 1, 0],
        [0, 0, 0, 0, 1],
    ]
    assert torch.equal(mask[1, 0], torch.ones(5, 5).tril().bool())


@pytest.mark.parametrize("way", ["mask", "positions"])
def test_a_packed_example_has_the_logits_and_the_loss_that_it_has_alone(model, way):
    examples = examples_of([5, 9, 7, 3, 11, 1])
    packed = pack(examples, 16, pad=0)
    ids, positions, targets = (torch.from_numpy(part).long() for part in (packed.ids, packed.positions, packed.targets))
    mask = block_causal_mask(torch.from_numpy(packed.documents)) if way == "mask" else None
    total, count = 0.0, 0
    with torch.inference_mode():
        # Attention that reads position ids does so where there is no cache.
        together = model(ids, attention_mask=mask, position_ids=positions, labels=targets, use_cache=False)
        for number, example in enumerate(examples):
            alone = model(torch.from_numpy(example.ids).long()[None], use_cache=False).logits[0]
            found = together.logits[torch.from_numpy(packed.documents == number)]
            assert torch.allclose(found, alone, atol=1e-5), number
            first = max(example.target_from, 1)
            wanted = torch.from_numpy(example.ids).long()[first:]
            total += torch.nn.functional.cross_entropy(alone[first - 1 : -1], wanted, reduction="sum").item()
            count += len(wanted)
    assert together.loss.item() == pytest.approx(total / count, abs=1e-5)
