"""Overlap of predicted texts with reference texts: BLEU, ROUGE-L, CIDEr, BERTScore.

All take N predictions and for each of them its references, one or more; an empty prediction is a prediction that
scores what it scores. Nothing here is averaged over repetitions: the scores are exact.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tdmm.errors import EvaluationError, MissingPartError

if TYPE_CHECKING:
    import torch

# The weight of recall over precision in ROUGE-L that image captioning uses (coco-caption).
ROUGE_BETA = 1.2
CIDER_N, CIDER_D_SIGMA = 4, 6.0
_WORD = re.compile(r"\d+(?:\.\d+)?|[^\W\d_]+(?:['’][^\W\d_]+)*")
References = Sequence[Sequence[str]]


@dataclass(frozen=True)
class Bleu:
    """Corpus-level BLEU-1 to BLEU-4, 0 to 100, and sacrebleu's signature of the last one."""

    scores: tuple[float, float, float, float]
    signature: str


@dataclass(frozen=True)
class BertScore:
    """Means over the texts, 0 to 1 (or below), and the F1 of each one, (N,)."""

    precision: float
    recall: float
    f1: float
    each: np.ndarray


def bleu(predictions: Sequence[str], references: References, *, lowercase: bool = True) -> Bleu:
    """BLEU (Papineni et al. 2002) as sacrebleu has it (Post 2018): corpus level, tokenizer 13a, exponential smoothing.

    Texts may have different numbers of references. Raises `EvaluationError` where the numbers of texts differ or a text
    has no reference, `MissingPartError` without sacrebleu.
    """
    _check(predictions, references)
    try:
        from sacrebleu.metrics import BLEU
    except ImportError as error:
        raise MissingPartError("BLEU needs sacrebleu; install it with: pip install 'tdmm[evaluate]'") from error
    most = max(map(len, references))
    streams: Any = [[one[place] if place < len(one) else None for one in references] for place in range(most)]
    scores, signature = [], ""
    for order in range(1, 5):
        metric = BLEU(lowercase=lowercase, max_ngram_order=order)
        scores.append(float(metric.corpus_score(list(predictions), streams).score))
        signature = str(metric.get_signature())
    return Bleu((scores[0], scores[1], scores[2], scores[3]), signature)


def rouge_l(predictions: Sequence[str], references: References, *, beta: float = ROUGE_BETA) -> np.ndarray:
    """(N,) ROUGE-L of each text, 0 to 1: F of its longest common subsequence with the best reference.

    Lin, ROUGE: A Package for Automatic Evaluation of Summaries, 2004, equations 2 to 4: R = LCS / words of the
    reference, P = LCS / words of the prediction, F = (1 + beta^2) R P / (R + beta^2 P); of several references the best
    one. Raises `EvaluationError` as `bleu`.
    """
    _check(predictions, references)
    found = np.zeros(len(predictions))
    for number, (predicted, several) in enumerate(zip(predictions, references, strict=True)):
        said = words_of(predicted)
        for reference in several:
            true = words_of(reference)
            common = _common_subsequence(said, true)
            if common:
                precision, recall = common / len(said), common / len(true)
                score = (1 + beta**2) * precision * recall / (recall + beta**2 * precision)
                found[number] = max(found[number], score)
    return found


def cider(predictions: Sequence[str], references: References, *, d: bool = False) -> np.ndarray:
    """(N,) CIDEr of each text; the score of a system is their mean.

    Vedantam et al., CIDEr: Consensus-based Image Description Evaluation, 2015: the mean cosine of the tf-idf vectors of
    n-grams with each reference, averaged over n = 1 to 4 (equations 1 to 3), with document frequencies over the N sets
    of references; 0 to 1. Words are taken as they are, without stemming, as in the authors' code.
    d: CIDEr-D (equation 4), which clips repeated n-grams, punishes another length with sigma = 6 and is ten times as
    large, 0 to 10. Its term frequencies are counts, as in the authors' code: clipping shares would not clip.
    Raises `EvaluationError` as `bleu`.
    """
    _check(predictions, references)
    said = [_ngrams(words_of(text)) for text in predictions]
    true = [[_ngrams(words_of(text)) for text in several] for several in references]
    frequency: Counter[tuple[str, ...]] = Counter()
    for several in true:
        frequency.update({gram for grams in several for order in grams for gram in order})
    log_clips = math.log(len(predictions))
    found = np.zeros(len(predictions))
    for number, (grams, several) in enumerate(zip(said, true, strict=True)):
        mine = [_weighted(order, frequency, log_clips) for order in grams]
        for other in several:
            theirs = [_weighted(order, frequency, log_clips) for order in other]
            similar = sum(_similarity(one, two, clip=d) for one, two in zip(mine, theirs, strict=True)) / CIDER_N
            if d:
                apart = sum(grams[0].values()) - sum(other[0].values())
                similar *= 10 * math.exp(-(apart**2) / (2 * CIDER_D_SIGMA**2))
            found[number] += similar / len(several)
    return found


def words_of(text: str) -> list[str]:
    """The words of a text as ROUGE-L and CIDEr count them: in lower case, without punctuation."""
    return _WORD.findall(text.lower().replace("’", "'"))


def bert_score(
    predictions: Sequence[str],
    references: References,
    model: str | Path,
    *,
    idf: bool = False,
    layer: int = -1,
    batch: int = 64,
    device: str = "cpu",
) -> BertScore:
    """BERTScore (Zhang et al., BERTScore: Evaluating Text Generation with BERT, 2020) with any encoder of transformers.

    Each token is matched with the most similar one of the other text, by the cosine of their embeddings in `layer`
    (-1: the last), special tokens left out; precision is the mean over the prediction, recall over the reference; of
    several references the one with the best F1 counts. idf: tokens are weighted by -log of the share of the references
    that have them, plus one in both. Not rescaled.
    model: a folder with an encoder and its tokenizer. Raises `EvaluationError` as `bleu` and for a model that cannot be
    read, `MissingPartError` without transformers.
    """
    _check(predictions, references)
    encoder = _Encoder(model, layer, batch, device)
    flat = [text for several in references for text in several]
    said, true = encoder.tokens(predictions), encoder.tokens(flat)
    weights = _idf_weights(true) if idf else None
    unseen = math.log(len(flat) + 1)
    embedded_said, embedded_true = encoder.embed(said), encoder.embed(true)
    scores = np.zeros((len(predictions), 3))
    place = 0
    for number, several in enumerate(references):
        best = (-math.inf, 0.0, 0.0)
        for _ in several:
            precision, recall = _matched(
                embedded_said[number],
                embedded_true[place],
                [1.0 if weights is None else weights.get(token, unseen) for token in said[number].kept],
                [1.0 if weights is None else weights.get(token, unseen) for token in true[place].kept],
            )
            both = precision + recall
            best = max(best, (2 * precision * recall / both if both else 0.0, precision, recall))
            place += 1
        scores[number] = best[1], best[2], best[0]
    means = scores.mean(axis=0)
    return BertScore(float(means[0]), float(means[1]), float(means[2]), scores[:, 2])


# -- n-grams -------------------------------------------------------------------------------------------


def _check(predictions: Sequence[str], references: References) -> None:
    if len(predictions) != len(references) or not predictions:
        raise EvaluationError(
            f"text overlap: {len(predictions)} predictions for {len(references)} sets of references; "
            "give one set of references for each prediction"
        )
    for number, several in enumerate(references):
        if isinstance(several, str) or not several or not all(text.strip() for text in several):
            raise EvaluationError(f"text overlap: text {number}: expected a list of references that are not empty")


def _common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """The length of the longest common subsequence, all cells of a row at once (Hyyrö 2004)."""
    places: dict[str, int] = {}
    for number, word in enumerate(first):
        places[word] = places.get(word, 0) | 1 << number
    full = (1 << len(first)) - 1
    row = full
    for word in second:
        both = row & places.get(word, 0)
        row = ((row + both) | (row - both)) & full
    return len(first) - row.bit_count()


def _ngrams(words: Sequence[str]) -> list[Counter[tuple[str, ...]]]:
    return [
        Counter(tuple(words[at : at + order]) for at in range(len(words) - order + 1))
        for order in range(1, CIDER_N + 1)
    ]


def _weighted(
    grams: Mapping[tuple[str, ...], int], frequency: Mapping[tuple[str, ...], int], log_clips: float
) -> dict[tuple[str, ...], float]:
    return {gram: count * (log_clips - math.log(max(1, frequency.get(gram, 0)))) for gram, count in grams.items()}


def _similarity(
    first: Mapping[tuple[str, ...], float], second: Mapping[tuple[str, ...], float], *, clip: bool
) -> float:
    """The cosine of two vectors; clip: the first one (the prediction's) counts no n-gram more often than the second."""
    length = math.sqrt(sum(value**2 for value in first.values()) * sum(value**2 for value in second.values()))
    if not length:
        return 0.0
    total = 0.0
    for gram, value in first.items():
        other = second.get(gram, 0.0)
        total += (min(value, other) if clip else value) * other
    return total / length


# -- BERTScore -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Tokens:
    """The token ids of a text with the special ones, which of them are not special, and those."""

    ids: tuple[int, ...]
    places: tuple[int, ...]

    @property
    def kept(self) -> list[int]:
        return [self.ids[place] for place in self.places]


class _Encoder:
    """A text encoder of transformers."""

    def __init__(self, model: str | Path, layer: int, batch: int, device: str) -> None:
        try:
            from transformers import AutoModel, AutoTokenizer
        except ImportError as error:
            raise MissingPartError("BERTScore needs transformers; install it with: pip install transformers") from error
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(str(model))
            self._model: Any = AutoModel.from_pretrained(str(model)).eval().to(device)
        except (OSError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            raise EvaluationError(f"{model}: cannot be read as a text encoder of transformers: {reason}") from error
        layers = int(self._model.config.num_hidden_layers) + 1
        if not -layers <= layer < layers:
            raise EvaluationError(f"{model}: there is no layer {layer}; expected {-layers} to {layers - 1}")
        self._layer, self._batch, self._device = layer, batch, device

    def tokens(self, texts: Sequence[str]) -> list[_Tokens]:
        most = min(int(self._tokenizer.model_max_length), 512)
        found = []
        for text in texts:
            said = self._tokenizer(text, truncation=True, max_length=most, return_special_tokens_mask=True)
            special = said["special_tokens_mask"]
            found.append(
                _Tokens(tuple(said["input_ids"]), tuple(place for place, one in enumerate(special) if not one))
            )
        return found

    def embed(self, texts: Sequence[_Tokens]) -> list[torch.Tensor]:
        """The embeddings (tokens, D) of each text, of unit length."""
        import torch

        order = sorted(range(len(texts)), key=lambda number: len(texts[number].ids))
        found: list[torch.Tensor] = [torch.empty(0)] * len(texts)
        for start in range(0, len(order), self._batch):
            chosen = order[start : start + self._batch]
            longest = max(len(texts[number].ids) for number in chosen)
            ids = torch.zeros(len(chosen), max(longest, 1), dtype=torch.long)
            mask = torch.zeros_like(ids)
            for row, number in enumerate(chosen):
                length = len(texts[number].ids)
                ids[row, :length] = torch.tensor(texts[number].ids)
                mask[row, :length] = 1
            with torch.inference_mode():
                out = self._model(
                    input_ids=ids.to(self._device), attention_mask=mask.to(self._device), output_hidden_states=True
                )
            hidden = torch.nn.functional.normalize(out.hidden_states[self._layer].float(), dim=-1).cpu()
            for row, number in enumerate(chosen):
                found[number] = hidden[row, list(texts[number].places)]
        return found


def _idf_weights(references: Sequence[_Tokens]) -> dict[int, float]:
    seen: Counter[int] = Counter()
    for one in references:
        seen.update(set(one.kept))
    return {token: math.log((len(references) + 1) / (count + 1)) for token, count in seen.items()}


def _matched(
    said: torch.Tensor, true: torch.Tensor, said_weights: Sequence[float], true_weights: Sequence[float]
) -> tuple[float, float]:
    """Precision and recall by greedy matching; 0 where a text has no tokens or none of any weight."""
    if not len(said) or not len(true):
        return 0.0, 0.0
    similar = (said @ true.T).numpy()
    return _mean(similar.max(axis=1), said_weights), _mean(similar.max(axis=0), true_weights)


def _mean(values: np.ndarray, weights: Sequence[float]) -> float:
    total = float(np.sum(weights))
    return float((values * np.asarray(weights)).sum() / total) if total > 0 else 0.0
