from __future__ import annotations

import math
import sys
from collections import Counter
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tdmm.errors import EvaluationError, MissingPartError
from tdmm.evaluate.text_overlap import bert_score, bleu, cider, rouge_l, words_of

WORDS = ("she", "nods", "twice", "smiles", "then", "left")
TEXT = st.lists(st.sampled_from(WORDS), min_size=1, max_size=9).map(" ".join)
PAIRS = st.lists(st.tuples(TEXT, st.lists(TEXT, min_size=1, max_size=3)), min_size=1, max_size=6)


def grams(words, order):
    return [tuple(words[at : at + order]) for at in range(len(words) - order + 1)]


def slow_bleu(predictions, references, most):
    """BLEU as in the paper, without smoothing."""
    logs, length, nearest = 0.0, 0, 0
    for order in range(1, most + 1):
        right = total = 0
        for said, several in zip(predictions, references, strict=True):
            mine = Counter(grams(said.split(), order))
            for gram, count in mine.items():
                right += min(count, max(grams(one.split(), order).count(gram) for one in several))
                total += count
        logs += math.log(right / total) / most
    for said, several in zip(predictions, references, strict=True):
        words = len(said.split())
        length += words
        nearest += min((abs(len(one.split()) - words), len(one.split())) for one in several)[1]
    return 100 * min(1.0, math.exp(1 - nearest / length)) * math.exp(logs)


def slow_common(first, second):
    table = np.zeros((len(first) + 1, len(second) + 1), int)
    for row, column in product(range(len(first)), range(len(second))):
        table[row + 1, column + 1] = (
            table[row, column] + 1
            if first[row] == second[column]
            else max(table[row, column + 1], table[row + 1, column])
        )
    return int(table[-1, -1])


def slow_cider(predictions, references, d):
    """CIDEr over dense vectors of all n-grams."""
    found = np.zeros(len(predictions))
    for order in range(1, 5):
        known = sorted({gram for several in references for one in several for gram in grams(one.split(), order)})
        known += sorted({gram for one in predictions for gram in grams(one.split(), order)} - set(known))
        if not known:
            continue
        frequency = [
            sum(any(gram in grams(one.split(), order) for one in several) for several in references) for gram in known
        ]
        weight = np.log(len(predictions) / np.maximum(1, frequency))

        def vector(text, order=order, known=known, weight=weight):
            return np.array([grams(text.split(), order).count(gram) for gram in known]) * weight

        for number, (said, several) in enumerate(zip(predictions, references, strict=True)):
            for one in several:
                mine, theirs = vector(said), vector(one)
                length = np.linalg.norm(mine) * np.linalg.norm(theirs)
                if length == 0:
                    continue
                score = (np.minimum(mine, theirs) if d else mine) @ theirs / length
                if d:
                    score *= 10 * np.exp(-((len(said.split()) - len(one.split())) ** 2) / 72)
                found[number] += score / len(several) / 4
    return found


def test_bleu_is_that_of_the_paper():
    predictions = ["she nods twice and then smiles at us all", "he looks to the left and blinks once"]
    references = [
        ["she nods twice and then smiles at us", "she nods two times and smiles at us all"],
        ["he looks to the left and then he blinks"],
    ]
    found = bleu(predictions, references)
    assert found.scores == pytest.approx([slow_bleu(predictions, references, order) for order in range(1, 5)])
    assert "version" in found.signature
    assert "tok:13a" in found.signature


def test_bleu_of_the_paper_that_introduced_it():
    # Papineni et al. 2002, section 2.1: the clipped unigram precision of the seven the's is 2/7.
    found = bleu(["the the the the the the the"], [["the cat is on the mat", "there is a cat on the mat"]])
    assert found.scores[0] == pytest.approx(100 * 2 / 7)


def test_rouge_of_the_paper_that_introduced_it():
    # Lin 2004, section 3.1: with beta 1 the two candidates have 3/4 and 2/4.
    true = [["police killed the gunman"]] * 2
    found = rouge_l(["police kill the gunman", "the gunman kill police"], true, beta=1)
    assert found == pytest.approx([0.75, 0.5])


def test_rouge_weighs_recall_as_beta_says():
    # LCS 2, P 2/2, R 2/4.
    assert rouge_l(["a b"], [["a b c d"]])[0] == pytest.approx((1 + 1.44) * 0.5 / (0.5 + 1.44))


@settings(max_examples=60, deadline=None)
@given(PAIRS)
def test_rouge_is_that_of_a_table(pairs):
    predictions, references = [one for one, _ in pairs], [several for _, several in pairs]
    for said, several, found in zip(predictions, references, rouge_l(predictions, references), strict=True):
        scores = []
        for one in several:
            common = slow_common(said.split(), one.split())
            precision, recall = common / len(said.split()), common / len(one.split())
            scores.append((1 + 1.44) * precision * recall / (recall + 1.44 * precision) if common else 0.0)
        assert found == pytest.approx(max(scores))


@settings(max_examples=60, deadline=None)
@given(PAIRS, st.booleans())
def test_cider_is_that_of_dense_vectors(pairs, d):
    predictions, references = [one for one, _ in pairs], [several for _, several in pairs]
    assert cider(predictions, references, d=d) == pytest.approx(slow_cider(predictions, references, d), abs=1e-9)


def test_texts_like_their_references_score_most():
    texts = ["she nods twice and smiles", "he looks left then blinks", "they yawn and close both eyes"]
    same = [[text] for text in texts]
    assert bleu(texts, same).scores == pytest.approx([100] * 4)
    assert rouge_l(texts, same) == pytest.approx([1] * 3)
    assert cider(texts, same) == pytest.approx([1] * 3)
    assert cider(texts, same, d=True) == pytest.approx([10] * 3)


def test_order_of_texts_and_of_references_changes_nothing():
    predictions = ["she nods", "he smiles then nods", "left left"]
    references = [["she nods twice", "nods"], ["he nods", "he smiles"], ["left", "right then left"]]
    turned = predictions[::-1], [several[::-1] for several in references[::-1]]
    assert bleu(*turned).scores == pytest.approx(bleu(predictions, references).scores)
    for score in (rouge_l, cider):
        assert score(*turned)[::-1] == pytest.approx(score(predictions, references))


def test_repeated_words_are_clipped_by_cider_d_alone():
    references = [["she nods and smiles"], ["he yawns now too"]]
    plain, often = (["she nods and smiles", "x"], ["she she she she", "x"])
    assert cider(often, references, d=True)[0] < 0.3 * cider(plain, references, d=True)[0]


def test_an_empty_prediction_scores_nothing():
    references = [["she nods"], ["he smiles"]]
    assert rouge_l(["", "he smiles"], references)[0] == 0
    assert cider(["", "he smiles"], references)[0] == 0
    assert bleu(["", "he smiles"], references).scores[0] < 100


def test_casing_and_marks_are_no_words():
    assert words_of("She's NODDING, 2.5 s!") == ["she's", "nodding", "2.5", "s"]


@pytest.mark.parametrize("references", [[["a"]], [["a"], []], [["a"], "b"], [["a"], [" "]]])
@pytest.mark.parametrize("score", [bleu, rouge_l, cider])
def test_wrong_references_are_refused(score, references):
    with pytest.raises(EvaluationError):
        score(["a", "b"], references)


@pytest.mark.parametrize(
    ("score", "package"), [(bleu, "sacrebleu"), (lambda one, two: bert_score(one, two, "x"), "transformers")]
)
def test_a_missing_package_is_named_with_what_installs_it(score, package, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingPartError, match="pip install"):
        score(["a"], [["a"]])


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """A tiny encoder with drawn weights, and its tokenizer."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    folder = tmp_path_factory.mktemp("encoder")
    (folder / "vocab.txt").write_text("\n".join(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS)))
    tokenizer = BertTokenizer(str(folder / "vocab.txt"))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16
    )
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def slow_bert_score(predictions, references, folder, idf):
    """One text at a time, one token at a time."""
    import torch
    from transformers import BertModel, BertTokenizer

    model, tokenizer = BertModel.from_pretrained(folder).eval(), BertTokenizer.from_pretrained(folder)

    def embedded(text):
        ids = tokenizer(text)["input_ids"]
        with torch.no_grad():
            hidden = model(torch.tensor([ids])).last_hidden_state[0].double().numpy()
        return [(ids[at], hidden[at] / np.linalg.norm(hidden[at])) for at in range(1, len(ids) - 1)]

    everything = [one for several in references for one in several]

    def weight(token):
        if not idf:
            return 1.0
        having = sum(any(token == other for other, _ in embedded(one)) for one in everything)
        return math.log((len(everything) + 1) / (having + 1))

    def mean(these, those):
        total = sum(weight(token) for token, _ in these)
        best = sum(weight(token) * max(vector @ other for _, other in those) for token, vector in these)
        return best / total if total else 0.0

    found = []
    for said, several in zip(predictions, references, strict=True):
        scores = []
        for one in several:
            precision, recall = mean(embedded(said), embedded(one)), mean(embedded(one), embedded(said))
            both = precision + recall
            scores.append(2 * precision * recall / both if both else 0.0)
        found.append(max(scores))
    return found


@pytest.mark.parametrize("idf", [False, True])
def test_bert_score_is_that_of_single_tokens(encoder, idf):
    predictions = ["she nods twice", "smiles then smiles left", "left"]
    references = [["she smiles", "nods then"], ["she smiles left"], ["twice then nods left she", "she"]]
    found = bert_score(predictions, references, encoder, idf=idf, batch=2)
    assert found.each == pytest.approx(slow_bert_score(predictions, references, encoder, idf), abs=1e-5)
    assert found.f1 == pytest.approx(found.each.mean())


def test_bert_score_of_a_text_with_itself_is_one(encoder):
    found = bert_score(["she nods", ""], [["left then", "she nods"], ["she"]], encoder)
    assert found.each == pytest.approx([1, 0], abs=1e-5)


def test_a_folder_without_an_encoder_is_named(tmp_path, encoder):
    with pytest.raises(EvaluationError, match=str(tmp_path)):
        bert_score(["a"], [["a"]], tmp_path)
    with pytest.raises(EvaluationError, match="no layer 7"):
        bert_score(["a"], [["a"]], encoder, layer=7)
