"""Base models of several families take the motion tokens in, and keep what they know; adapters and what is merged."""

from __future__ import annotations

import sys
from copy import deepcopy

import numpy as np
import pytest
import torch
from made_models import FAMILIES, save_base
from made_tokenizers import SMALL, bound_to, ours
from transformers import AutoTokenizer, Qwen3ForCausalLM, T5ForConditionalGeneration

from tdmm.errors import LmError, MissingPartError
from tdmm.lm.backbone import (
    BackboneConfig,
    has_tied_head,
    is_encoder_decoder,
    load_backbone,
    merged,
    new_backbone,
    with_lora,
)
from tdmm.lm.examples import Example
from tdmm.lm.model_folder import save_language_model
from tdmm.lm.seq2seq import encoder_batch, seq2seq_batch
from tdmm.lm.vocabulary import MotionVocabulary

TINY = BackboneConfig(hidden=16, layers=2, heads=2, kv_heads=1, head_size=8, intermediate=24, positions=64)


@pytest.fixture(scope="module", params=list(FAMILIES))
def family(request, tmp_path_factory):
    """Its name, its folder, its network as it was, and what was made of it."""
    folder = tmp_path_factory.mktemp("base")
    return request.param, folder, save_base(request.param, folder), *load_backbone(folder, SMALL)


def logits_of(network, ids):
    given = {"labels": ids} if is_encoder_decoder(network) else {}
    with torch.inference_mode():
        return network.eval()(input_ids=ids, **given).logits


def some_ids(first, end, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(first, end, (2, 9)))


def ends_of(network):
    """Everything with a row for each token: embeddings, and the head's weight and bias if they are others."""
    head = network.get_output_embeddings()
    own = [] if has_tied_head(network) else [head.weight]
    bias = [] if getattr(head, "bias", None) is None else [head.bias]
    return [network.get_input_embeddings().weight, *own, *bias]


def test_there_is_a_row_for_every_token(family):
    _, _, base, network, bound = family
    rows = network.get_input_embeddings().weight.shape[0]
    before = base.get_input_embeddings().weight.shape[0]
    # Rows that the base does not use are taken first.
    assert rows == (before if before >= bound.size else -(-bound.size // 8) * 8)
    assert all(len(tensor) == rows for tensor in ends_of(network))
    assert network.config.vocab_size == rows
    assert {weight.dtype for weight in network.parameters()} == {torch.float32}
    assert (network.config.eos_token_id, network.config.pad_token_id) == (bound.eos, bound.pad)


def test_the_base_writes_what_it_wrote(family):
    _, _, base, network, bound = family
    ids = some_ids(0, bound.base)
    assert torch.equal(logits_of(network, ids)[..., : bound.base], logits_of(base, ids)[..., : bound.base])


def test_new_rows_begin_at_the_mean(family):
    _, _, base, network, bound = family
    assert has_tied_head(network) == has_tied_head(base)
    for tensor, old in zip(ends_of(network), ends_of(base), strict=True):
        assert torch.equal(tensor[: bound.base], old[: bound.base])
        mean = old[: bound.base].mean(0)
        assert torch.allclose(tensor[bound.base :], mean.expand_as(tensor[bound.base :]), atol=1e-6)


def test_a_head_is_tied_and_has_a_bias_where_the_base_has(family):
    name, _, _, network, _ = family
    assert has_tied_head(network) == (name in ("qwen3, padded", "gemma3", "gpt2", "t5"))
    assert len(ends_of(network)) == {"phi": 3}.get(name, 1 if has_tied_head(network) else 2)
    assert is_encoder_decoder(network) == name.startswith("t5")


def test_the_text_is_read_as_the_base_reads_it(family):
    _, folder, _, _, bound = family
    base = AutoTokenizer.from_pretrained(folder)
    assert bound.base == len(base)
    assert bound.text_ids("smiles then nods") == base("smiles then nods", add_special_tokens=False)["input_ids"]


def test_one_that_has_the_tokens_is_left_as_it_is(family, tmp_path):
    _, _, _, network, bound = family
    whole = deepcopy(network)
    with torch.no_grad():
        for tensor in ends_of(whole):
            tensor.normal_()
    save_language_model(tmp_path, whole, bound, {"codec": "0"}, ())
    again, same = load_backbone(tmp_path, SMALL)
    assert (same.base, same.size) == (bound.base, bound.size)
    for tensor, old in zip(ends_of(again), ends_of(whole), strict=True):
        assert torch.equal(tensor, old.bfloat16().float())


# -- adapters --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def adapted(family):
    """The network before, with adapters, and after three steps of training with them."""
    _, _, _, network, bound = family
    before = deepcopy(network)
    adapters = with_lora(deepcopy(network), bound, 4, dropout=0.0)
    begun = logits_of(adapters, some_ids(0, bound.size))
    learnt = [weight for weight in adapters.parameters() if weight.requires_grad]
    ids = some_ids(bound.base, bound.size)
    optimizer = torch.optim.AdamW(learnt, lr=1e-2, weight_decay=0.1)
    adapters.train()
    for _ in range(3):
        optimizer.zero_grad()
        adapters(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
    return before, begun, adapters, bound


def test_adapters_begin_as_the_network_was(adapted):
    before, begun, _, bound = adapted
    assert torch.allclose(begun, logits_of(before, some_ids(0, bound.size)), atol=1e-5)


def test_adapters_and_rows_of_motion_learn_and_nothing_else(adapted):
    before, _, adapters, bound = adapted
    whole = merged(adapters)
    for tensor, old in zip(ends_of(whole), ends_of(before), strict=True):
        if tensor.ndim == 1:
            assert torch.equal(tensor, old)  # the bias
            continue
        assert torch.equal(tensor[: bound.base], old[: bound.base])
        assert torch.equal(tensor[bound.end :], old[bound.end :])
        assert (tensor[bound.base : bound.end] != old[bound.base : bound.end]).any(1).all()
    counts = {name.split(".")[-2] for name, weight in adapters.named_parameters() if weight.requires_grad}
    assert counts == {"default", "0"}  # of lora_A and lora_B; the rows


def test_merged_computes_the_same_and_is_one_of_its_family(adapted):
    before, _, adapters, bound = adapted
    ids = some_ids(0, bound.size)
    trained = logits_of(adapters, ids)
    whole = merged(adapters)
    assert type(whole) is type(before)
    assert has_tied_head(whole) == has_tied_head(before)
    assert dict(whole.named_parameters()).keys() == dict(before.named_parameters()).keys()
    assert torch.allclose(logits_of(whole, ids), trained, atol=1e-5)
    # The one that learns goes on learning.
    assert torch.equal(logits_of(adapters, ids), trained)
    assert not torch.allclose(logits_of(before, ids), trained, atol=1e-3)


def test_what_has_no_adapters_is_merged_already():
    network = new_backbone(bound_to(), TINY)
    assert merged(network) is network


def test_adapters_need_a_rank_and_peft(monkeypatch):
    network = new_backbone(bound_to(), TINY)
    with pytest.raises(LmError, match="lora: expected a rank of 1 at least, found 0"):
        with_lora(network, bound_to(), 0)
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingPartError, match=r"adapters \(LoRA\) need peft: pip install 'tdmm\[train\]'"):
        with_lora(network, bound_to(), 4)


# -- from nothing ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoder_decoder", [False, True])
def test_the_usual_size_is_at_most_14_million(encoder_decoder):
    bound = MotionVocabulary(("face",) * 4 + ("head",) * 2, (1024,) * 6).bind(ours())
    with torch.device("meta"):
        network = new_backbone(bound, encoder_decoder=encoder_decoder)
    rows, width = network.get_input_embeddings().weight.shape
    assert (rows % 8, 0 <= rows - bound.size < 8, width) == (0, True, 384)
    # With a text vocabulary of 2,400 instead of this one.
    assert 12e6 < sum(weight.numel() for weight in network.parameters()) + (2400 - bound.base) * width < 14e6


@pytest.mark.parametrize("encoder_decoder", [False, True])
def test_a_seed_makes_a_network(encoder_decoder):
    made = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        made.append(new_backbone(bound_to(), TINY, encoder_decoder=encoder_decoder))
    ids = some_ids(0, bound_to().size)
    first, again, other = (logits_of(network, ids) for network in made)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert isinstance(made[0], T5ForConditionalGeneration if encoder_decoder else Qwen3ForCausalLM)
    assert is_encoder_decoder(made[0]) == encoder_decoder
    assert has_tied_head(made[0])
    assert {weight.dtype for weight in made[0].parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("sizes", "told"),
    [
        ({"layers": 0}, "backbone: layers: expected a positive whole number, found 0"),
        ({"hidden": 38.4}, "backbone: hidden: expected a positive whole number, found 38.4"),
        ({"heads": 6, "kv_heads": 4}, r"backbone: kv_heads: expected a divisor of heads \(6\), found 4"),
    ],
)
def test_sizes_that_are_none_are_told(sizes, told):
    with pytest.raises(LmError, match=told):
        BackboneConfig(**sizes)


# -- what cannot be a base -------------------------------------------------------------------------------


def test_a_folder_that_is_no_model_is_told(tmp_path):
    with pytest.raises(LmError, match="cannot be read as a causal language model or encoder-decoder"):
        load_backbone(tmp_path, SMALL)


def test_a_base_of_another_codec_is_told(tmp_path):
    bound = bound_to()
    save_language_model(tmp_path, new_backbone(bound, TINY), bound, {"codec": "0"}, ())
    other = MotionVocabulary(("face",), (32,), longest=4)
    with pytest.raises(LmError, match=f"{tmp_path}: the tokenizer has motion tokens of another codec"):
        load_backbone(tmp_path, other)


# -- encoder-decoders ------------------------------------------------------------------------------------


def test_an_encoder_decoder_learns_from_a_batch_what_it_learns_from_each():
    bound = bound_to("unigram")
    random = np.random.default_rng(0)
    examples = [
        Example(random.integers(3, bound.size, given + written).astype(np.int32), given, "animate")
        for given, written in ((5, 12), (11, 3), (1, 1))
    ]
    torch.manual_seed(0)
    network = new_backbone(bound, TINY, encoder_decoder=True).eval()
    batch = seq2seq_batch(examples, bound)
    assert {name: (tuple(one.shape), one.dtype) for name, one in batch.items()} == {
        "input_ids": ((3, 16), torch.int64),
        "attention_mask": ((3, 16), torch.int64),
        "labels": ((3, 16), torch.int64),
    }
    together = network(**batch)
    losses, counts = [], []
    for row, example in enumerate(examples):
        given, written = (torch.from_numpy(part).long()[None] for part in np.split(example.ids, [example.target_from]))
        assert batch["input_ids"][row][batch["attention_mask"][row].bool()].tolist() == given[0].tolist()
        alone = network(input_ids=given, labels=written)
        assert torch.allclose(together.logits[row, : written.shape[1]], alone.logits[0], atol=1e-5)
        losses.append(alone.loss.item())
        counts.append(written.shape[1])
    assert together.loss.item() == pytest.approx(np.average(losses, weights=counts), abs=1e-5)


def test_an_encoder_needs_something_to_read():
    assert encoder_batch([[5, 6]], bound_to())["input_ids"].tolist() == [[5, 6, *[bound_to().pad] * 6]]
    for given in ([], [[4], []]):
        with pytest.raises(LmError, match="expected at least one token for the encoder"):
            encoder_batch(given, bound_to())
