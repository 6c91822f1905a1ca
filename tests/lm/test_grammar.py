"""State machines: whatever a model prefers, what is drawn can be read."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_tokenizers import MADE, SMALL, bound_to
from transformers import LogitsProcessorList, Qwen3Config, Qwen3ForCausalLM, T5Config, T5ForConditionalGeneration

from tdmm.errors import LmError
from tdmm.lm.grammar import MotionGrammar, MotionLogitsProcessor, TextGrammar
from tdmm.lm.sequences import animate_given, describe_given


def model_for(bound, seed=0):
    """A model of random weights, with more rows than the tokenizer has tokens, as many have."""
    config = Qwen3Config(
        vocab_size=bound.size + 7, hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, head_dim=8, max_position_embeddings=256,
        bos_token_id=bound.bos, eos_token_id=bound.eos, pad_token_id=bound.pad,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Qwen3ForCausalLM(config).eval()


def drawn(grammar, random, extra=0):
    """A sequence drawn under a grammar by random logits, until the end and `extra` further."""
    bound, written = grammar.bound, []
    while True:
        spans = grammar.allowed(written)
        ids = np.concatenate([np.arange(*span) for span in spans])
        logits = random.normal(0, 5, bound.size)
        written.append(int(ids[logits[ids].argmax()]))
        if bound.eos in written and len(written) >= written.index(bound.eos) + 1 + extra:
            return written


def processed(grammars, draws, rows, seed=0, ruled_out=0.0):
    """(rows, L) ids that random logits write under the processor, some of them ruled out beforehand."""
    generator = torch.Generator().manual_seed(seed)
    bound = (grammars[0] if isinstance(grammars, list) else grammars).bound
    ids = torch.zeros((rows, 4), dtype=torch.long)
    processor = MotionLogitsProcessor(grammars, 4)
    for _ in range(draws):
        scores = 5 * torch.randn((rows, bound.size + 3), generator=generator)
        scores[torch.rand(scores.shape, generator=generator) < ruled_out] = -torch.inf
        chances = processor(ids, scores).softmax(-1)
        assert not chances.isnan().any()
        ids = torch.cat([ids, torch.multinomial(chances, 1, generator=generator)], 1)
    return ids[:, 4:].tolist()


@given(st.integers(0, 999), st.sampled_from(sorted(MADE)), st.integers(1, 12), st.integers(0, 11))
@settings(max_examples=40, deadline=None)
def test_every_motion_that_is_drawn_parses(seed, name, shortest, more):
    longest = min(shortest + more, SMALL.longest)
    grammar = MotionGrammar(bound_to(name), shortest=shortest, longest=longest)
    written = drawn(grammar, np.random.default_rng(seed), extra=2)
    codes = grammar.bound.parse_written(written)
    assert shortest <= len(codes) <= longest
    assert len(written) - 2 == grammar.tokens_of(written[0]) <= grammar.most_tokens


@given(st.integers(0, 999), st.sampled_from([0.0, 0.5, 1.0]))
@settings(max_examples=20, deadline=None)
def test_every_motion_of_a_batch_parses_even_where_all_was_ruled_out(seed, ruled_out):
    bound = bound_to()
    grammar = MotionGrammar(bound, longest=4)
    for written in processed(grammar, grammar.most_tokens, 5, seed, ruled_out):
        assert len(bound.parse_written(written)) <= 4


def test_steps_that_are_given_are_obeyed():
    bound = bound_to()
    for steps in (1, 5, 12):
        grammar = MotionGrammar(bound, steps)
        assert len(bound.parse_written(drawn(grammar, np.random.default_rng(steps)))) == steps
        assert grammar.most_tokens == 4 + 3 * steps


def test_each_sequence_may_have_its_own_grammar():
    bound = bound_to()
    grammars = [MotionGrammar(bound, steps) for steps in (3, 1, 2)]
    written = processed(grammars, 4 + 9, 6)  # two draws of each, side by side
    assert [len(bound.parse_written(row)) for row in written] == [3, 3, 1, 1, 2, 2]
    both = processed([grammars[0], TextGrammar(bound, most=5)], 4 + 9, 2)
    assert len(bound.parse_written(both[0])) == 3
    assert both[1][both[1].index(bound.control("/text")) + 1] == bound.eos


def test_what_is_allowed_keeps_its_scores():
    bound = bound_to()
    scores = torch.randn(2, bound.size)
    given = torch.zeros((2, 3), dtype=torch.long)
    found = MotionLogitsProcessor(MotionGrammar(bound, shortest=2, longest=3), 3)(given, scores)
    first, end = bound.length(2), bound.length(3) + 1
    assert torch.equal(found[:, first:end], scores[:, first:end])
    found[:, first:end] = -torch.inf
    assert (found == -torch.inf).all()


def test_the_spans_of_a_motion():
    bound = bound_to()
    grammar = MotionGrammar(bound)
    duration = bound.length(2)
    written = [
        duration,
        bound.control("motion"),
        *bound.encode([[1, 2, 3], [4, 5, 4]]),
        bound.control("/motion"),
        bound.eos,
    ]
    expected = [bound.lengths, *((number, number + 1) for number in written[1:2]), *map(bound.column, (0, 1, 2) * 2)]
    expected += [(number, number + 1) for number in (*written[-2:], bound.eos)]
    assert [grammar.allowed(written[:place]) for place in range(len(written) + 1)] == [(span,) for span in expected]


@given(st.integers(0, 999), st.sampled_from(sorted(MADE)), st.integers(1, 9))
@settings(max_examples=25, deadline=None)
def test_every_text_that_is_drawn_is_closed_and_holds_no_control_tokens(seed, name, most):
    grammar = TextGrammar(bound_to(name), most)
    bound = grammar.bound
    written = drawn(grammar, np.random.default_rng(seed))
    assert 3 <= len(written) <= grammar.most_tokens
    assert written[-2:] == [bound.control("/text"), bound.eos]
    assert all(any(first <= number < end for first, end in bound.text_spans) for number in written[:-2])


@pytest.mark.parametrize(
    "options", [{"do_sample": True}, {"num_beams": 3}, {"do_sample": True, "num_return_sequences": 2}]
)
def test_generate_writes_motions_that_parse(options):
    bound = bound_to()
    prompts = [animate_given(bound, text) for text in ("smiles then nods", "winks")]
    width = max(map(len, prompts))
    ids = torch.tensor([[bound.pad] * (width - len(prompt)) + prompt for prompt in prompts])
    grammars = [MotionGrammar(bound, 2), MotionGrammar(bound, longest=4)]
    written = (
        model_for(bound)
        .generate(
            ids,
            attention_mask=(torch.arange(width) >= torch.tensor([[width - len(prompt)] for prompt in prompts])).long(),
            logits_processor=LogitsProcessorList([MotionLogitsProcessor(grammars, width)]),
            max_new_tokens=max(grammar.most_tokens for grammar in grammars),
            **options,
        )[:, width:]
        .tolist()
    )
    each = options.get("num_return_sequences", 1)
    assert len(written) == 2 * each
    lengths = [len(bound.parse_written(row)) for row in written]
    assert lengths[:each] == [2] * each
    assert max(lengths) <= 4


def test_the_decoder_of_an_encoder_decoder_writes_motions_that_parse():
    bound = bound_to("unigram")
    config = T5Config(
        vocab_size=bound.size, d_model=16, d_kv=8, d_ff=24, num_layers=1, num_heads=2, decoder_start_token_id=bound.pad,
        eos_token_id=bound.eos, pad_token_id=bound.pad,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = T5ForConditionalGeneration(config).eval()
    grammar = MotionGrammar(bound, longest=3)
    written = model.generate(
        torch.tensor([animate_given(bound, "smiles then nods")]),
        do_sample=True,
        num_return_sequences=3,
        logits_processor=LogitsProcessorList([MotionLogitsProcessor(grammar, 1)]),
        max_new_tokens=grammar.most_tokens,
    )[:, 1:].tolist()
    assert all(1 <= len(bound.parse_written(row)) <= 3 for row in written)


def test_generate_writes_texts_that_end():
    bound = bound_to()
    given = describe_given(bound, [[1, 2, 3]], "short")
    grammar = TextGrammar(bound, 6)
    ids = torch.tensor([given])
    written = (
        model_for(bound)
        .generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=True,
            logits_processor=LogitsProcessorList([MotionLogitsProcessor(grammar, len(given))]),
            max_new_tokens=grammar.most_tokens,
        )[0, len(given) :]
        .tolist()
    )
    assert written[-2:] == [bound.control("/text"), bound.eos]


def test_what_is_no_grammar_is_told():
    bound = bound_to()
    for options, found in (({"steps": 13}, "13"), ({"steps": 0}, "0"), ({"shortest": 5, "longest": 4}, "5 to 4")):
        with pytest.raises(LmError, match=f"writes motions of 1 to 12, not of {found}"):
            MotionGrammar(bound, **options)
    with pytest.raises(LmError, match=r"expected a duration of the grammar, found <\|motion\|>"):
        MotionGrammar(bound).allowed([bound.control("motion"), 1, 1])
    with pytest.raises(LmError, match="expected at least one token of text"):
        TextGrammar(bound, 0)
    with pytest.raises(LmError, match="2 of them for 3 rows"):
        processed([MotionGrammar(bound)] * 2, 1, 3)
    with pytest.raises(LmError, match="expected at least one"):
        MotionLogitsProcessor([], 0)
    with pytest.raises(LmError, match="the model has 9 tokens, its tokenizer"):
        MotionLogitsProcessor(MotionGrammar(bound), 0)(torch.zeros((1, 0), dtype=torch.long), torch.zeros(1, 9))
