"""Language models in folders: written, read with tdmm and with transformers alone, and what is wrong is told."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from huggingface_hub import constants
from made_models import FAMILIES, save_base
from made_tokenizers import MADE, SMALL, TEXTS, bound_to
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer, PreTrainedTokenizerFast

from tdmm.errors import LmError, OutputError
from tdmm.lm import model_folder
from tdmm.lm.backbone import BackboneConfig, has_tied_head, is_encoder_decoder, load_backbone, new_backbone, with_lora
from tdmm.lm.model_folder import load_language_model, save_language_model
from tdmm.lm.plain_tokenizer import read_tokenizer, write_tokenizer
from tdmm.lm.vocabulary import vocabulary_in

TINY = BackboneConfig(hidden=16, layers=2, heads=2, kv_heads=1, head_size=8, intermediate=24, positions=64)
FACTS = {"codec": "0123456789abcdef", "instructed": True, "trained": {"clips": 3}}
SPELLED = ("", "a <|motion|> b", "smiles\n  twice 👀 ünïcödé", "<|endoftext|></s><pad><|eos|><|f1:3|>", "<unk> 12")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("lm")
    torch.manual_seed(0)
    save_language_model(place, new_backbone(bound_to(), TINY), bound_to(), FACTS, ["nods", "smiles"])
    return place


@pytest.fixture
def broken(folder, tmp_path):
    """A copy of the folder to break."""
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def logits_of(network, ids):
    given = {"labels": ids} if is_encoder_decoder(network) else {}
    with torch.inference_mode():
        return network.eval()(input_ids=ids, **given).logits


@pytest.mark.parametrize("lora", [False, True])
@pytest.mark.parametrize("family", list(FAMILIES))
def test_transformers_alone_loads_what_was_saved(family, lora, tmp_path):
    save_base(family, tmp_path / "base")
    network, bound = load_backbone(tmp_path / "base", SMALL)
    if lora:
        network = with_lora(network, bound, 2)
        with torch.no_grad():
            for weight in network.parameters():
                if weight.requires_grad:
                    weight.normal_(std=0.1)
    save_language_model(tmp_path / "lm", network, bound, FACTS, ())
    kind = AutoModelForSeq2SeqLM if is_encoder_decoder(network) else AutoModelForCausalLM
    found, info = kind.from_pretrained(tmp_path / "lm", output_loading_info=True)
    assert not any(info[name] for name in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert {path.suffix for path in (tmp_path / "lm").iterdir()} == {".json", ".safetensors", ".txt"}
    ids = torch.arange(bound.size // 5 * 5).reshape(5, -1)
    wanted = logits_of(network, ids)
    # Rounded to bfloat16, 8 bits.
    assert (logits_of(found.float(), ids) - wanted).abs().max() < 0.03 * wanted.abs().max()
    ours = load_language_model(tmp_path / "lm")
    assert torch.equal(logits_of(ours.network, ids), logits_of(found, ids))
    assert has_tied_head(found) == has_tied_head(ours.network) == (family in ("qwen3, padded", "gemma3", "gpt2", "t5"))
    assert (ours.encoder_decoder, ours.longest) == ((True, None) if family.startswith("t5") else (False, 96))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "lm")
    for text in TEXTS:
        assert tokenizer(text, add_special_tokens=False)["input_ids"] == bound.text_ids(text)
    assert tokenizer.convert_tokens_to_ids(list(SMALL.tokens)) == list(range(bound.base, bound.end))


def test_what_was_saved_is_there(folder):
    lm = load_language_model(folder)
    assert lm.facts == {"schema": "tdmm.lm/1", **FACTS}
    assert (lm.codec, lm.instructed, lm.words) == (FACTS["codec"], True, {"nods", "smiles"})
    assert lm.config["model_type"] == "qwen3"
    assert (lm.longest, lm.encoder_decoder, lm.device) == (64, False, "cpu")
    bound = bound_to()
    assert lm.bound.vocabulary == SMALL
    assert (lm.bound.base, lm.bound.eos, lm.bound.bos, lm.bound.pad) == (bound.base, bound.eos, bound.bos, bound.pad)
    assert lm.network.dtype == torch.float32
    assert lm.network is lm.network
    assert not lm.network.training
    assert lm.to("cpu") is lm
    assert (lm.to("meta").device, lm.to("meta").bound) == ("meta", lm.bound)


def test_weights_are_bfloat16_in_small_shards(tmp_path, monkeypatch):
    monkeypatch.setattr(model_folder, "SHARD", "20KB")
    network = new_backbone(bound_to(), TINY)
    (tmp_path / "metrics.jsonl").write_text("kept\n")
    save_language_model(tmp_path, network, bound_to(), FACTS, ())
    lm = load_language_model(tmp_path)
    assert len(lm.weights) > 1
    assert all(path.stat().st_size < 22_000 and path.stat().st_mode & 0o444 == 0o444 for path in lm.weights)
    tensors = {name: value for path in lm.weights for name, value in load_file(path).items()}
    assert {value.dtype for value in tensors.values()} == {torch.bfloat16}
    assert sum(value.numel() for value in tensors.values()) == sum(one.numel() for one in network.parameters())
    # Saved again in one shard: the others are gone, and what else is there stays.
    monkeypatch.setattr(model_folder, "SHARD", "15MB")
    save_language_model(tmp_path, network, bound_to(), FACTS, ())
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "config.json",
        "generation_config.json",
        "metrics.jsonl",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "words.txt",
    ]
    again = load_language_model(tmp_path)
    assert len(again.weights) == 1
    ids = torch.arange(9)[None]
    assert torch.equal(logits_of(again.network, ids), logits_of(lm.network, ids))


def test_saving_leaves_the_network_as_it_is(tmp_path):
    network = new_backbone(bound_to(), TINY).train()
    before = {name: weight.detach().clone() for name, weight in network.named_parameters()}
    save_language_model(tmp_path, network, bound_to(), FACTS, ())
    assert network.training
    assert all(torch.equal(weight, before[name]) for name, weight in network.named_parameters())
    assert {weight.dtype for weight in network.parameters()} == {torch.float32}


def test_the_fingerprint_is_of_weights_tokenizer_and_configuration(folder, broken):
    first = load_language_model(folder).fingerprint
    assert len(first) == 16
    assert load_language_model(broken).fingerprint == first
    config = json.loads((broken / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps({**config, "tdmm": {**config["tdmm"], "more": 1}}))
    assert load_language_model(broken).fingerprint == first
    (broken / "config.json").write_text(json.dumps({**config, "rope_theta": 7.0}))
    other = load_language_model(broken).fingerprint
    tensors = load_file(broken / "model.safetensors")
    save_file({**tensors, "model.norm.weight": tensors["model.norm.weight"] + 1}, broken / "model.safetensors")
    assert len({first, other, load_language_model(broken).fingerprint}) == 3


def test_reading_needs_neither_torch_nor_transformers(folder):
    code = (
        "import sys; from tdmm.lm.model_folder import load_language_model; "
        f"lm = load_language_model({str(folder)!r}); lm.fingerprint; lm.bound.text_of(lm.bound.text_ids('smiles')); "
        "print({'torch', 'transformers', 'huggingface_hub'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"


def test_a_configuration_tells_transformers_4_what_it_asks_for(folder):
    config = json.loads((folder / "config.json").read_text())
    assert config["rope_theta"] == 10_000.0
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
    assert tokenizer["tokenizer_class"] == "PreTrainedTokenizerFast"


# -- what is wrong ---------------------------------------------------------------------------------------


def test_no_model_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(model_folder, "ASSET", tmp_path / "none")
    with pytest.raises(LmError, match="this tdmm comes without a language model; name one with --model"):
        load_language_model()


@pytest.mark.parametrize("where", ["./nowhere/at/all", "/nowhere", "a folder", "nowhere/at/all", ""])
def test_no_such_folder_is_told(where, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LmError, match="there is no such folder" if where else "is no language model"):
        load_language_model(where)


def test_a_name_of_the_hub_without_a_network_is_told(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(LmError, match=r"nobody/nothing: there is no such folder, and the Hugging Face hub .*; name a"):
        load_language_model("nobody/nothing")
    with pytest.raises(LmError, match="nobody/nothing: there is no such folder"):
        load_backbone("nobody/nothing", SMALL)


def test_a_file_is_told(folder):
    with pytest.raises(LmError, match=r"model\.safetensors: is a file; name the folder"):
        load_language_model(folder / "model.safetensors")
    with pytest.raises(OutputError, match="is a file; give the name of a folder"):
        save_language_model(folder / "words.txt", new_backbone(bound_to(), TINY), bound_to(), FACTS, ())


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"])
def test_a_folder_without_a_file_is_told(broken, name):
    (broken / name).unlink()
    with pytest.raises(LmError, match=f"is no language model, there is no {name}; tdmm train lm makes one"):
        load_language_model(broken)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json"])
def test_a_file_that_is_none_is_told_in_one_line(broken, name):
    (broken / name).write_text("{nothing")
    with pytest.raises(LmError, match=str(broken)) as told:
        load_language_model(broken)
    assert "\n" not in str(told.value)


def test_weights_that_are_none_are_told_when_they_are_wanted(broken):
    (broken / "model.safetensors").write_bytes(b"nothing")
    lm = load_language_model(broken)
    with pytest.raises(LmError, match="its network cannot be loaded"):
        _ = lm.network


def test_a_model_without_motion_tokens_is_told(tmp_path):
    save_base("llama", tmp_path)
    with pytest.raises(LmError, match=f"{tmp_path}: the tokenizer has no motion tokens; name a model that tdmm train"):
        load_language_model(tmp_path)


def test_a_model_that_tells_no_codec_is_told(broken):
    config = json.loads((broken / "config.json").read_text())
    del config["tdmm"]
    (broken / "config.json").write_text(json.dumps(config))
    with pytest.raises(
        LmError, match=r"config\.json: \"tdmm\": expected facts of 'tdmm.lm/1' with a codec, found None"
    ):
        load_language_model(broken)
    with pytest.raises(LmError, match="facts: expected the fingerprint of the codec under codec"):
        save_language_model(broken, new_backbone(bound_to(), TINY), bound_to(), {}, ())


def test_a_tokenizer_of_another_model_is_told(broken):
    config = json.loads((broken / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps({**config, "vocab_size": 40}))
    with pytest.raises(LmError, match=r"its tokenizer has \d+ tokens, its network 40; the two belong to different"):
        load_language_model(broken)


# -- tokenizers without transformers ---------------------------------------------------------------------


@pytest.mark.parametrize("name", list(MADE))
def test_a_plain_tokenizer_is_that_of_transformers(name, tmp_path):
    bound = bound_to(name)
    write_tokenizer(tmp_path, bound.tokenizer)
    tokenizer = read_tokenizer(tmp_path)
    assert vocabulary_in(tokenizer) == SMALL
    plain = SMALL.bind(tokenizer)
    for fact in ("base", "size", "bos", "eos", "pad", "end", "text_spans", "_never_text"):
        assert getattr(plain, fact) == getattr(bound, fact), fact
    assert tokenizer.get_vocab() == bound.tokenizer.get_vocab()
    for text in (*TEXTS, *SPELLED):
        assert plain.text_ids(text) == bound.text_ids(text)
        assert plain.text_of(plain.text_ids(text)) == bound.text_of(bound.text_ids(text))
    assert plain.text_of(range(plain.size)) == bound.text_of(range(bound.size))
    assert [plain.name(number) for number in range(-1, plain.size + 1)] == [
        bound.name(number) for number in range(-1, bound.size + 1)
    ]
    write_tokenizer(tmp_path, tokenizer)
    assert PreTrainedTokenizerFast.from_pretrained(tmp_path).get_vocab() == tokenizer.get_vocab()


@pytest.mark.parametrize("name", list(MADE))
def test_motion_tokens_are_added_to_a_plain_tokenizer(name, tmp_path):
    write_tokenizer(tmp_path, MADE[name]())
    plain = SMALL.bind(read_tokenizer(tmp_path))
    assert (plain.base, plain.size) == (bound_to(name).base, bound_to(name).size)
    assert plain.text_ids("a <|motion|> b") == bound_to(name).text_ids("a <|motion|> b")
