"""Qwen3 as tdmm computes it is Qwen3 as transformers computes it."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from made_tokenizers import bound_to
from safetensors.torch import load_file, save_file

from tdmm.errors import LmError
from tdmm.lm import qwen3
from tdmm.lm.backbone import BackboneConfig, new_backbone
from tdmm.lm.model_folder import load_language_model, save_language_model
from tdmm.lm.qwen3 import Qwen3, Qwen3Cache, fits, read_qwen3

GROUPED = BackboneConfig(hidden=32, layers=3, heads=4, kv_heads=2, head_size=8, intermediate=40, positions=512)
EVEN = BackboneConfig(hidden=24, layers=2, heads=3, kv_heads=3, head_size=16, intermediate=40, positions=512)
SIZES = {"grouped": GROUPED, "even": EVEN}


def saved(folder, size=GROUPED, *, seed=0, spread=4.0, tied=True):
    """A language model of random weights, larger ones than training begins with."""
    bound = bound_to()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = new_backbone(bound, size)
        if not tied:
            network.config.tie_word_embeddings = False
            network.lm_head.weight = torch.nn.Parameter(torch.randn_like(network.lm_head.weight))
        with torch.no_grad():
            for name, weight in network.named_parameters():
                weight.mul_(spread)
                if "norm" in name:
                    weight.copy_(1 + torch.randn(weight.shape) / 4)
    save_language_model(folder, network, bound, {"codec": "0" * 16}, ())
    return load_language_model(folder)


def cache_of(lm, rows, room=300, *, by_step=False):
    network = read_qwen3(lm)
    cache = Qwen3Cache(network, rows, room)
    cache.by_step = by_step and network.packed is not None
    assert cache.by_step == by_step
    return cache


def whole(lm):
    return ((0, lm.bound.size),)


def expected(lm, ids):
    """(L, V) logits of one sequence, all at once, by transformers."""
    with torch.inference_mode():
        return lm.network(torch.tensor([ids])).logits[0, :, : lm.bound.size]


def sequence(lm, length, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(lm.bound.size, (length,), generator=generator).tolist()


@pytest.mark.parametrize("by_step", [False, True])
@pytest.mark.parametrize(("size", "tied"), [("grouped", True), ("grouped", False), ("even", True)])
@torch.inference_mode()
def test_logits_are_those_of_transformers_token_by_token(size, tied, by_step, tmp_path):
    lm = saved(tmp_path, SIZES[size], tied=tied)
    ids = sequence(lm, 290)
    wanted = expected(lm, ids)
    assert wanted.std() > 0.1
    cache = cache_of(lm, 1, by_step=by_step)
    cache.begin([ids[:7]], [ids[7:9]])
    for place in range(9, len(ids) + 1):
        torch.testing.assert_close(cache.logits(whole(lm))[0], wanted[place - 1], rtol=1e-4, atol=1e-4)
        if place < len(ids):
            cache.feed(torch.tensor([ids[place : place + 1]]))


@pytest.fixture
def use_threads():
    """Set how many threads torch computes in. Afterwards they are as many as before: tests are slow in several."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("by_step", [False, True])
@torch.inference_mode()
def test_rows_of_a_batch_are_what_they_are_alone(by_step, tmp_path, monkeypatch, use_threads):
    monkeypatch.setattr(qwen3, "THREAD_ROWS", 1)
    use_threads(2)
    lm = saved(tmp_path)
    rows = [sequence(lm, 20 + 3 * number, number) for number in range(5)]
    cache = cache_of(lm, 6, by_step=by_step)  # one row is not needed
    cache.begin([row[:-6] for row in rows], [[]] * 5)
    cache.feed(torch.tensor([row[-6:-4] for row in rows]))
    for place in range(4, 0, -1):
        cache.feed(torch.tensor([row[len(row) - place : len(row) - place + 1] for row in rows]))
        for found, row in zip(cache.logits(whole(lm)), rows, strict=True):
            torch.testing.assert_close(found, expected(lm, row)[len(row) - place], rtol=1e-4, atol=1e-4)
        if place == 3:
            cache.keep([4, 1, 2])
            rows = [rows[4], rows[1], rows[2]]


@pytest.mark.parametrize("by_step", [False, True])
@torch.inference_mode()
def test_a_row_goes_on_in_several_ways(by_step, tmp_path):
    lm = saved(tmp_path)
    short, long = sequence(lm, 9, 1), sequence(lm, 12, 2)
    cache = cache_of(lm, 6, by_step=by_step)
    cache.begin([short[:-2], long[:-2]], [short[-2:], long[-2:]])
    cache.keep([0, 1, 0, 0, 1])
    news = [5, 6, 7, 5, 8]
    cache.feed(torch.tensor(news)[:, None])
    for found, row, new in zip(cache.logits(whole(lm)), [short, long, short, short, long], news, strict=True):
        torch.testing.assert_close(found, expected(lm, [*row, new])[-1], rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_a_token_may_see_slots_that_are_empty(tmp_path):
    lm = saved(tmp_path)
    rows = [sequence(lm, length, length) for length in (9, 6)]
    caches = [cache_of(lm, 2) for _ in range(2)]
    for cache in caches:
        cache.begin(rows, [[]] * 2)
    caches[0].feed(torch.tensor([[5], [6]]))
    caches[1].feed_one(torch.tensor([5, 6]), caches[1].room)
    torch.testing.assert_close(caches[1].logits(whole(lm)), caches[0].logits(whole(lm)), rtol=1e-5, atol=1e-5)


@torch.inference_mode()
def test_a_cache_forgets_what_was_there(tmp_path):
    lm = saved(tmp_path)
    cache, ids = cache_of(lm, 2), sequence(lm, 12)
    cache.begin([ids], [[]])
    wanted = cache.logits(whole(lm))
    cache.begin([sequence(lm, 30, 1), sequence(lm, 20, 2)], [[]] * 2)
    cache.begin([ids], [[]])
    assert torch.equal(cache.logits(whole(lm)), wanted)


@torch.inference_mode()
def test_spans_are_parts_of_all_logits(tmp_path):
    lm = saved(tmp_path)
    for by_step in (False, True):
        cache = cache_of(lm, 2, by_step=by_step)
        cache.begin([sequence(lm, 5)] * 2, [[]] * 2)
        everything = cache.logits(whole(lm))
        found = cache.logits(((3, 9), (20, 21), (50, 90)))
        torch.testing.assert_close(
            found, torch.cat([everything[:, 3:9], everything[:, 20:21], everything[:, 50:90]], 1), rtol=1e-5, atol=1e-5
        )


@torch.inference_mode()
def test_a_full_cache_is_told(tmp_path):
    lm = saved(tmp_path)
    cache = cache_of(lm, 1, 10)
    assert cache.room == qwen3.SLOTS
    cache.begin([sequence(lm, cache.room)], [[]])
    with pytest.raises(LmError, match="is full"):
        cache.feed(torch.tensor([[3]]))


def test_only_the_plain_form_fits():
    plain = {"model_type": "qwen3", "rope_theta": 1e4, "layer_types": ["full_attention"] * 2}
    assert fits(plain)
    assert fits({**plain, "rope_parameters": {"rope_type": "default", "rope_theta": 1e6}})
    for other in (
        {"model_type": "llama"},
        {"use_sliding_window": True},
        {"layer_types": ["full_attention", "sliding_attention"]},
        {"rope_scaling": {"type": "yarn", "factor": 4.0}},
        {"rope_parameters": {"rope_type": "linear", "factor": 2.0}},
        {"attention_bias": True},
        {"hidden_act": "gelu"},
        {"quantization_config": {}},
    ):
        assert not fits({**plain, **other})


@torch.inference_mode()
def test_weights_that_are_float32_or_large_go_through_torch(tmp_path, monkeypatch):
    lm = saved(tmp_path)
    assert read_qwen3(lm).packed is not None
    monkeypatch.setattr(qwen3, "STEP_BYTES", 1000)
    assert read_qwen3(lm).packed is None
    monkeypatch.undo()
    for path in lm.weights:
        save_file({name: weight.float() for name, weight in load_file(path).items()}, path)
    network = read_qwen3(lm)
    assert network.packed is None
    cache = Qwen3Cache(network, 1, 20)
    cache.begin([[5, 6, 7]], [[]])
    torch.testing.assert_close(cache.logits(whole(lm))[0], expected(lm, [5, 6, 7])[-1], rtol=1e-4, atol=1e-4)


def test_few_tokens_are_read_in_one_thread_and_the_others_as_before(tmp_path, monkeypatch, use_threads):
    lm, seen = saved(tmp_path / "lm"), []
    forward = Qwen3Cache._forward
    monkeypatch.setattr(Qwen3Cache, "_forward", lambda *a: (seen.append(torch.get_num_threads()), forward(*a))[1])
    use_threads(3)
    for rows, length in ((1, 5), (4, qwen3.ALONE // 4), (4, qwen3.ALONE // 4 + 1)):
        cache_of(lm, rows, length + 1).begin([sequence(lm, length, row) for row in range(rows)], [[]] * rows)
    assert seen == [1, 1, 3]
    assert torch.get_num_threads() == 3
    monkeypatch.setattr(qwen3, "STEP_BYTES", 1)  # a large network
    cache_of(lm, 1).begin([sequence(lm, 5)], [[]])
    assert seen[-1] == 3


def test_the_rotation_is_read_where_any_version_has_it(tmp_path):
    lm = saved(tmp_path)
    config = copy.deepcopy(lm.config)
    config.pop("rope_theta", None)
    config["rope_parameters"] = {"rope_type": "default", "rope_theta": 77.0}
    tensors = {name: weight for path in lm.weights for name, weight in load_file(path).items()}
    assert Qwen3(config, tensors).base_position == 77
    del config["rope_parameters"]
    assert Qwen3({**config, "rope_theta": 78.0}, tensors).base_position == 78


def test_weights_that_are_broken_are_told(tmp_path):
    lm = saved(tmp_path)
    (path,) = lm.weights
    tensors = load_file(path)
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, path)
    with pytest.raises(
        LmError, match=r"there is no model.layers.1.mlp.up_proj.weight among the weights; copy it again"
    ):
        read_qwen3(lm)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(LmError, match="its weights cannot be read"):
        read_qwen3(lm)
    assert json.loads((lm.folder / "config.json").read_text())["model_type"] == "qwen3"
