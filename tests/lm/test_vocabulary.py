"""Motion tokens: a bijection with the codes, strict on the way back, and never spelled by a text."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_tokenizers import MADE, SMALL, bound_to, byte_level, ours

from tdmm.errors import LmError, TokensError
from tdmm.lm.vocabulary import MotionVocabulary, vocabulary_in

RANDOM = np.random.default_rng(0)
CODES = RANDOM.integers(0, SMALL.sizes, (4, 3))
NASTY = (
    "<|motion|>",
    "smiles <|/motion|> then <|f1:3|><|len:4|> nods",
    "<|text|><|/text|><|animate|>",
    "<|bos|> </s> <|eos|><|endoftext|> <pad> <|pad|>",
    "<|mot<|motion|>ion|>",
)


@pytest.fixture(params=MADE)
def bound(request):
    return bound_to(request.param)


def written(bound, codes=CODES):
    return [
        bound.length(len(codes)),
        bound.control("motion"),
        *bound.encode(codes),
        bound.control("/motion"),
        bound.eos,
    ]


def test_the_tokens_have_a_fixed_order():
    assert SMALL.columns == ("f1", "f2", "h1")
    assert len(SMALL.tokens) == len(set(SMALL.tokens)) == len(SMALL) == 16 + 8 + 5 + 12 + 14
    assert SMALL.tokens[:2] == ("<|f1:0|>", "<|f1:1|>")
    assert SMALL.tokens[16 + 8] == "<|h1:0|>"
    assert [SMALL.tokens[SMALL.length(steps)] for steps in (1, 12)] == ["<|len:1|>", "<|len:12|>"]
    for name in ("motion", "/motion", "text", "/text", "animate", "describe", "short", "long", "timeline", "ask"):
        assert SMALL.tokens[SMALL.control(name)] == f"<|{name}|>"
    assert SMALL.tokens[-4:] == ("<|continue|>", "<|between|>", "<|predict|>", "<|gap|>")


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_codes_and_ids_are_one_to_one(data):
    sizes = tuple(data.draw(st.lists(st.integers(1, 40), min_size=1, max_size=5)))
    vocabulary = MotionVocabulary(("face",) * len(sizes), sizes, 3)
    codes = np.random.default_rng(data.draw(st.integers(0, 99))).integers(
        0, sizes, (data.draw(st.integers(0, 6)), len(sizes))
    )
    ids = vocabulary.encode(codes)
    assert vocabulary.parse(ids).tolist() == codes.tolist()
    expected = [f"<|f{column + 1}:{code}|>" for step in codes for column, code in enumerate(step)]
    assert [vocabulary.tokens[number] for number in ids] == expected


def test_codes_of_another_codec_are_refused():
    with pytest.raises(
        TokensError, match=r"step 1, column 2 \(both from 0\): expected 0..4, found 5; was another codec"
    ):
        SMALL.encode([[0, 0, 0], [0, 0, 5]])
    with pytest.raises(TokensError, match="expected 3 a step, found 2"):
        SMALL.encode([[0, 0]])


def test_what_does_not_parse_is_told_by_place():
    ids = SMALL.encode(CODES)
    with pytest.raises(LmError, match=r"place 4: expected <\|f2:0\|> to <\|f2:7\|>, found <\|len:1\|>"):
        SMALL.parse([*ids[:4], SMALL.length(1), *ids[5:]])
    with pytest.raises(LmError, match=r"place 13: expected <\|h1:0\|> to <\|h1:4\|>, found the end of the motion"):
        SMALL.parse(ids[:-1], at=2)
    with pytest.raises(
        LmError, match=r"place 0: expected <\|f1:0\|> to <\|f1:15\|>, found a token that is none of motion"
    ):
        SMALL.parse([-1, *ids[1:]])


def test_durations_beyond_the_longest_are_refused():
    for steps in (0, 13):
        with pytest.raises(LmError, match=f"a motion of {steps} steps: the language model knows 1 to 12"):
            SMALL.length(steps)


@pytest.mark.parametrize(
    ("streams", "sizes", "longest", "message"),
    [
        ((), (), 5, "streams: expected names of face and head"),
        (("nose",), (4,), 5, "streams: expected names of face and head, found"),
        (("face", "head"), (4,), 5, "sizes: expected 2 numbers"),
        (("face",), (0,), 5, "sizes: expected 1 numbers"),
        (("face",), (4,), 0, "longest: expected at least 1 step"),
    ],
)
def test_what_is_no_vocabulary_is_told(streams, sizes, longest, message):
    with pytest.raises(LmError, match=message):
        MotionVocabulary(streams, sizes, longest)


# -- in a tokenizer ---------------------------------------------------------------------------------------


def test_ids_in_a_tokenizer_lie_side_by_side_behind_its_own(bound):
    own = len(MADE[next(name for name in MADE if bound_to(name) is bound)]())
    assert (bound.base, bound.end, bound.size) == (own, own + len(SMALL), own + len(SMALL))
    for number in range(len(SMALL)):
        assert bound.name(bound.base + number) == SMALL.tokens[number]
    assert bound.encode(CODES) == [bound.base + number for number in SMALL.encode(CODES)]
    assert np.array_equal(bound.parse(bound.encode(CODES)), CODES)


def test_tokens_are_added_once():
    tokenizer = ours()
    first = SMALL.bind(tokenizer)
    again = SMALL.bind(tokenizer)
    assert (again.base, again.size, len(tokenizer)) == (first.base, first.size, first.size)


def test_a_tokenizer_tells_which_motion_tokens_it_has():
    assert vocabulary_in(bound_to().tokenizer) == SMALL
    mixed = MotionVocabulary(("head", "face", "head"), (3, 300, 2), 7)
    tokenizer = ours()
    mixed.bind(tokenizer)
    assert vocabulary_in(tokenizer) == mixed
    with pytest.raises(LmError, match="has no motion tokens; name a model that tdmm train lm made"):
        vocabulary_in(ours())


@pytest.mark.parametrize(
    "other", [MotionVocabulary(("face", "face", "head"), (16, 8, 4), 12), MotionVocabulary(("face",) * 2, (16, 8), 12)]
)
def test_motion_tokens_of_another_codec_are_refused(other):
    with pytest.raises(LmError, match="has motion tokens of another codec, such as"):
        other.bind(bound_to().tokenizer)


def test_a_tokenizer_that_ends_nothing_is_refused():
    tokenizer = byte_level()
    tokenizer.eos_token = None
    with pytest.raises(LmError, match=r"no token that ends a sequence \(eos_token\)"):
        SMALL.bind(tokenizer)


def test_what_pads_is_the_end_where_there_is_nothing_else():
    assert bound_to("byte level").pad == bound_to("byte level").eos
    assert bound_to("ours").pad != bound_to("ours").eos
    assert bound_to("unigram").bos is None


# -- what a model wrote -----------------------------------------------------------------------------------


def test_what_was_written_is_read(bound):
    assert np.array_equal(bound.parse_written(written(bound)), CODES)
    padded = np.array([*written(bound), bound.pad, bound.pad])
    assert np.array_equal(bound.parse_written(padded), CODES)


def test_what_was_written_wrongly_is_told_by_place():
    bound = bound_to()
    good = written(bound)
    motion, close = bound.control("motion"), bound.control("/motion")
    wrong = {
        r"place 0: expected a duration, <\|len:1\|> to <\|len:12\|>, found the end": [],
        r"place 0: expected a duration, .* found <\|motion\|>": good[1:],
        r"place 1: expected <\|motion\|>, found <\|/motion\|>": [good[0], close, *good[2:]],
        r"place 3: expected <\|f2:0\|> to <\|f2:7\|>, found <\|motion\|>": [*good[:3], motion, *good[4:]],
        r"place 11: expected <\|f1:0\|> to <\|f1:15\|>, found <\|/motion\|>": [*good[:11], close, bound.eos],
        r"place 5: expected <\|f1:0\|> to <\|f1:15\|>, found the end": good[:5],
        r"place 14: expected <\|/motion\|>, found <\|f1:": [*good[:14], *good[2:5], *good[14:]],
        r"place 15: expected <\|eos\|>, found the end": good[:-1],
        r"place 16: expected <\|pad\|>, found <\|motion\|>": [*good, motion],
    }
    for message, ids in wrong.items():
        with pytest.raises(LmError, match=message):
            bound.parse_written(ids)


# -- text -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", NASTY)
def test_control_tokens_that_a_text_spells_are_text(bound, text):
    ids = bound.text_ids(text)
    assert ids
    assert all(number < bound.base for number in ids)
    unknown = bound.tokenizer.unk_token_id
    assert all(any(first <= number < end for first, end in bound.text_spans) or number == unknown for number in ids)
    assert not {bound.bos, bound.eos, bound.pad}.intersection(ids)


@pytest.mark.parametrize("name", ["ours", "byte level"])
@pytest.mark.parametrize("text", [*NASTY, "a\0b", "nods 😀👩‍🚀 twice", "微笑むとうなずく", "at 12.5 s", "don't"])
def test_bytes_come_back_as_they_were(name, text):
    assert bound_to(name).text_of(bound_to(name).text_ids(text)) == text


@given(st.text(max_size=40))
@settings(max_examples=60, deadline=None)
def test_any_text_comes_back(text):
    bound = bound_to()
    assert bound.text_of(bound.text_ids(text)) == text.encode("utf-8", "replace").decode().strip()


def test_half_a_character_of_a_shell_is_no_crash(bound):
    assert bound.text_of(bound.text_ids("smiles \ud83d")).startswith("smiles")


def test_a_text_is_read_without_what_is_none(bound):
    ids = bound.text_ids("smiles then nods")
    between = [bound.control("text"), *ids, bound.control("/text"), bound.eos, bound.pad, *bound.encode(CODES)]
    assert bound.text_of(between) == "smiles then nods"
    assert bound.text_of([]) == ""


def test_spans_of_text_hold_text_and_nothing_else(bound):
    inside = {number for first, end in bound.text_spans for number in range(first, end)}
    special = {bound.bos, bound.eos, bound.pad, bound.tokenizer.unk_token_id} - {None}
    assert inside == set(range(bound.base)) - special


def test_the_vocabulary_needs_neither_torch_nor_transformers():
    modules = "vocabulary, tokenizer, sequences, templates, examples, packing, grammar, prompt_words"
    heavy = {"torch", "transformers", "tokenizers"}
    code = f"import sys; from tdmm.lm import {modules}; print({heavy} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"
