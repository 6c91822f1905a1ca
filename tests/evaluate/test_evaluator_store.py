"""Evaluators in folders, and what embeddings do not depend on."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from tdmm.corpus.perform import EXPRESSION_NAMES
from tdmm.errors import EvaluationError
from tdmm.evaluate.evaluator.features import LONGEST, N_FEATURES, features_of
from tdmm.evaluate.evaluator.model import EvaluatorConfig, EvaluatorNetwork
from tdmm.evaluate.evaluator.store import (
    FILES,
    SCHEMA,
    Evaluator,
    load_evaluator,
    padded,
    save_evaluator,
    token_ids,
    train_tokenizer,
)
from tdmm.motion import make_motion

TEXTS = ["smiles then nods twice", "she blinks", "turns the head to the left, angrily", "smiles", "nods 12 times"]
TINY = EvaluatorConfig(
    vocabulary=80,
    longest_text=24,
    width=16,
    heads=2,
    feedforward=32,
    text_layers=1,
    motion_layers=1,
    embedding=8,
)


def make(seed: int = 0, config: EvaluatorConfig = TINY) -> tuple[EvaluatorNetwork, object]:
    torch.manual_seed(seed)
    return EvaluatorNetwork(config), train_tokenizer(TEXTS * 3, config.vocabulary)


@pytest.fixture
def evaluator() -> Evaluator:
    return Evaluator(*make(), "", {})


@pytest.fixture
def folder(tmp_path):
    save_evaluator(tmp_path / "evaluator", *make(), {"trained": {"step": 3}})
    return tmp_path / "evaluator"


def some(*lengths: int) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.uniform(0, 1, (length, N_FEATURES)).astype(np.float32) for length in lengths]


# -- files ---------------------------------------------------------------------------------------------


def test_what_is_loaded_is_what_was_saved_but_for_bfloat16(folder, evaluator):
    loaded = load_evaluator(folder)
    assert loaded.facts["schema"] == SCHEMA
    assert loaded.facts["trained"] == {"step": 3}
    for name, value in make()[0].state_dict().items():
        torch.testing.assert_close(loaded.network.state_dict()[name], value, rtol=2**-8, atol=0)
    motions = some(9, 30)
    np.testing.assert_allclose(loaded.embed_features(motions), evaluator.embed_features(motions), atol=0.05)
    np.testing.assert_allclose(loaded.embed_texts(TEXTS), evaluator.embed_texts(TEXTS), atol=0.05)


def test_what_was_saved_twice_is_the_same(folder, tmp_path):
    loaded = load_evaluator(folder)
    save_evaluator(tmp_path / "again", loaded.network, loaded.tokenizer, {"trained": {"step": 3}})
    again = load_evaluator(tmp_path / "again")
    assert again.fingerprint == loaded.fingerprint
    np.testing.assert_array_equal(again.embed_texts(TEXTS), loaded.embed_texts(TEXTS))
    for name in FILES:
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


def test_the_fingerprint_changes_with_weights_tokens_and_sizes_and_nothing_else(folder, tmp_path):
    network, tokenizer = make()
    prints = {load_evaluator(folder).fingerprint}
    with torch.no_grad():
        network.text.words.weight[3, 3] += 0.5
    save_evaluator(tmp_path / "weights", network, tokenizer, {})
    save_evaluator(tmp_path / "tokens", make()[0], train_tokenizer(["other words"] * 5, 80), {})
    save_evaluator(tmp_path / "heads", *make(config=replace(TINY, heads=4)), {})
    prints |= {load_evaluator(tmp_path / name).fingerprint for name in ("weights", "tokens", "heads")}
    assert len(prints) == 4
    save_evaluator(tmp_path / "facts", *make(), {"trained": "elsewhere"})
    assert load_evaluator(tmp_path / "facts").fingerprint in prints


def damage(folder, name: str, content: str | bytes | None) -> None:
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)


def config(**change: object) -> str:
    sizes = {**TINY.__dict__, **change}
    return json.dumps({"schema": SCHEMA, "config": {name: value for name, value in sizes.items() if value is not None}})


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("config.json", None, "there is no config.json"),
        ("tokenizer.json", None, "there is no tokenizer.json"),
        ("model.safetensors", None, "there is no model.safetensors"),
        ("config.json", "{", "is no evaluator that can be read"),
        ("config.json", "[]", "schema: expected 'tdmm.evaluator/1', found None"),
        ("config.json", '{"schema": "tdmm.vq/1"}', "found 'tdmm.vq/1'"),
        ("config.json", json.dumps({"schema": SCHEMA}), "config"),
        ("config.json", b"\xff\xfe\x00", "is no evaluator that can be read"),
        ("config.json", config(colour="red"), "colour"),
        ("config.json", config(width="wide"), "is no evaluator that can be read"),
        ("config.json", config(heads=3), "is no evaluator that can be read"),
        ("config.json", config(width=32), "size mismatch"),
        ("config.json", config(vocabulary=40), "vocabulary|size mismatch"),
        ("tokenizer.json", "", "is no tokenizer that can be read"),
        ("tokenizer.json", '{"version": "1.0"}', "is no tokenizer that can be read"),
        ("model.safetensors", b"", "is no evaluator that can be read"),
        ("model.safetensors", b"\x08\x00\x00\x00\x00\x00\x00\x00{}      ", "is no evaluator that can be read"),
    ],
)
def test_a_damaged_folder_is_told_in_one_line(folder, name, content, expected):
    damage(folder, name, content)
    with pytest.raises(EvaluationError, match=expected) as caught:
        load_evaluator(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_tokens_of_another_evaluator_are_refused(folder, tmp_path):
    many = [f"{chr(97 + one)}{chr(97 + two)}" for one in range(26) for two in range(26)]
    train_tokenizer(many * 3, 400).save(str(folder / "tokenizer.json"))
    with pytest.raises(EvaluationError, match=r"tokenizer.json: has .* tokens, the evaluator knows 80"):
        load_evaluator(folder)


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(EvaluationError, match=r"nowhere: is no evaluator.*tdmm train evaluator makes one"):
        load_evaluator(tmp_path / "nowhere")


def test_saving_replaces_as_a_whole(folder):
    (folder / "old").write_text("")
    save_evaluator(folder, *make(1), {})
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    shutil.rmtree(folder)


# -- embeddings ----------------------------------------------------------------------------------------


def test_many_at_once_are_embedded_as_one_by_one(evaluator):
    motions = some(7, 40, 1, 2, 3, 4, 5, 6, 8, LONGEST, 33)
    together = evaluator.embed_features(motions)
    for motion, found in zip(motions, together, strict=True):
        np.testing.assert_allclose(evaluator.embed_features([motion])[0], found, atol=1e-5)
    for text, found in zip(TEXTS, evaluator.embed_texts(TEXTS), strict=True):
        np.testing.assert_allclose(evaluator.embed_texts([text])[0], found, atol=1e-5)


def test_the_order_changes_nothing(evaluator):
    motions = some(7, 40, 12, 40, 9)
    order = [3, 1, 4, 0, 2]
    found = evaluator.embed_features([motions[one] for one in order])
    np.testing.assert_allclose(found, evaluator.embed_features(motions)[order], atol=1e-5)


@pytest.mark.parametrize("more", [1, 2, 3, 4, 5, 60])
@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 6, 7, 8, 21])
def test_what_lies_behind_the_end_is_not_seen(evaluator, length, more):
    batch, lengths = padded(some(length))
    behind = torch.full((1, more, N_FEATURES), 7.0)
    with torch.inference_mode():
        alone = evaluator.network.motion(batch, lengths)
        found = evaluator.network.motion(torch.cat([batch, behind], dim=1), lengths)
    torch.testing.assert_close(found, alone, atol=1e-5, rtol=1e-5)


def test_every_frame_is_seen(evaluator):
    motion = some(23)[0]
    before = evaluator.embed_features([motion])
    for frame in range(23):
        other = motion.copy()
        other[frame] += 1
        assert np.abs(evaluator.embed_features([other]) - before).max() > 1e-6


def test_nothing_in_nothing_out(evaluator):
    assert evaluator.embed_texts([]).shape == (0, 8)
    assert evaluator.embed_features([]).shape == (0, 8)
    assert evaluator.embed_motions([]).shape == (0, 8)


def test_a_motion_is_embedded_by_its_features(evaluator):
    motion = make_motion(
        np.random.default_rng(0).uniform(0, 1, (10, 52)).astype(np.float32),
        EXPRESSION_NAMES,
        face_model="hand",
        face_model_sha256="0" * 64,
    )
    np.testing.assert_array_equal(evaluator.embed_motions([motion]), evaluator.embed_features([features_of(motion)]))


def test_odd_texts_have_finite_embeddings(evaluator):
    texts = ["", " ", "\n", "Ω ☺ 笑", "smiles " * 400]
    assert np.isfinite(evaluator.embed_texts(texts)).all()
    np.testing.assert_array_equal(evaluator.embed_texts(["SMILES"]), evaluator.embed_texts(["smiles"]))


def test_embeddings_need_no_training_mode(evaluator):
    """Dropout is off."""
    motions = some(12, 30)
    np.testing.assert_array_equal(evaluator.embed_features(motions), evaluator.embed_features(motions))


def test_token_ids_are_padded_and_cut(evaluator):
    ids = token_ids(evaluator.tokenizer, ["smiles", "smiles " * 100, ""], 24)
    assert ids.shape == (3, 24)
    assert (ids[1] > 0).all()
    assert (ids[2] == 0).all()
    assert ids.max() < TINY.vocabulary


def test_tokenizers_of_the_same_texts_are_the_same():
    assert train_tokenizer(TEXTS * 3, 80).to_str() == train_tokenizer(TEXTS * 3, 80).to_str()
