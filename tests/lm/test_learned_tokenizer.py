"""The text tokenizer that is learned from a corpus."""

from __future__ import annotations

import pytest
from made_tokenizers import SMALL, TEXTS, ours
from transformers import AutoTokenizer

from tdmm.errors import LmError
from tdmm.lm.tokenizer import SMALLEST, learn_tokenizer
from tdmm.lm.vocabulary import vocabulary_in


def pieces(tokenizer, text):
    return tokenizer.convert_ids_to_tokens(tokenizer(text, add_special_tokens=False)["input_ids"])


def test_the_same_texts_give_the_same_tokenizer_in_any_order():
    first = ours().backend_tokenizer.to_str()
    assert ours().backend_tokenizer.to_str() == first
    assert learn_tokenizer(TEXTS[::-1], 400).backend_tokenizer.to_str() == first


def test_it_has_what_begins_ends_and_pads():
    tokenizer = ours()
    named = (tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id)
    assert named == (0, 1, 2, 3)
    assert tokenizer.padding_side == "left"
    assert len(tokenizer) <= 400
    assert tokenizer("nods").keys() == {"input_ids", "attention_mask"}


def test_digits_stand_alone_and_words_are_alike_everywhere():
    tokenizer = ours()
    assert [piece for piece in pieces(tokenizer, "at 12.50 s") if piece.isdigit()] == list("1250")
    assert pieces(tokenizer, "smiles then nods") == ["Ġsmiles", "Ġthen", "Ġnods"]
    assert pieces(tokenizer, "nods then smiles") == ["Ġnods", "Ġthen", "Ġsmiles"]


def test_a_folder_loads_with_auto_tokenizer_alone(tmp_path):
    tokenizer = ours()
    bound = SMALL.bind(tokenizer)
    tokenizer.save_pretrained(tmp_path)
    found = AutoTokenizer.from_pretrained(tmp_path)
    assert vocabulary_in(found) == SMALL
    again = SMALL.bind(found)
    text = "smiles <|motion|> then 😀 nods 3.5 s"
    assert (again.base, again.size, again.bos, again.eos, again.pad) == (bound.base, bound.size, 2, 3, 0)
    assert again.text_ids(text) == bound.text_ids(text)
    assert again.text_of(again.text_ids(text)) == text
    assert found.padding_side == "left"
    # What is in the text of the file is in the ids: tokens that are written out are tokens.
    assert found("<|motion|><|f1:3|>", add_special_tokens=False)["input_ids"] == [
        bound.control("motion"),
        bound.column(0)[0] + 3,
    ]


def test_few_texts_give_few_tokens_and_bytes_are_always_there():
    tokenizer = learn_tokenizer(["nod"], 5000)
    assert len(tokenizer) == SMALLEST
    bound = SMALL.bind(tokenizer)
    assert bound.text_of(bound.text_ids("winks ¿?")) == "winks ¿?"


def test_nothing_to_learn_from_is_told():
    with pytest.raises(LmError, match="there are no texts to learn from"):
        learn_tokenizer(["", "  "], 400)
    with pytest.raises(LmError, match="expected a size of 260 at least, the bytes and four more, found 259"):
        learn_tokenizer(TEXTS, 259)
