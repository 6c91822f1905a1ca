"""What may come next: state machines that make every motion, and every text, one that can be read.

`MotionLogitsProcessor` puts them between a language model and the draw of the next token.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from tdmm.errors import LmError
from tdmm.lm.vocabulary import BoundVocabulary, Span

if TYPE_CHECKING:
    import torch


class Grammar(Protocol):
    """A language of sequences, told token by token."""

    bound: BoundVocabulary

    def spans(self, place: int, first: int, last: int) -> tuple[Span, ...]:
        """The ids that may come at `place`, where `place` tokens are written; first, last: of these (0: none)."""
        ...

    @property
    def most_tokens(self) -> int:
        """Tokens to the end, at most."""
        ...


class MotionGrammar:
    """What is written of a motion: duration, <|motion|>, the codes of each step column by column, <|/motion|>, the end.

    steps: how many, where that is not the model's to choose; else shortest to longest (None: as durations go).
    """

    def __init__(
        self, bound: BoundVocabulary, steps: int | None = None, *, shortest: int = 1, longest: int | None = None
    ) -> None:
        longest = bound.vocabulary.longest if longest is None else longest
        if steps is not None:
            shortest = longest = steps
        if not 1 <= shortest <= longest <= bound.vocabulary.longest:
            found = shortest if shortest == longest else f"{shortest} to {longest}"
            raise LmError(
                f"steps: the language model writes motions of 1 to {bound.vocabulary.longest}, not of {found}"
            )
        self.bound, self.steps = bound, steps
        self._lengths = (bound.length(shortest), bound.length(longest) + 1)
        self._columns = tuple((bound.column(number),) for number in range(bound.vocabulary.width))
        self._open, self._close, self._end = (
            ((number, number + 1),) for number in (bound.control("motion"), bound.control("/motion"), bound.eos)
        )

    def spans(self, place: int, first: int, last: int) -> tuple[Span, ...]:
        """See `Grammar`. Behind the end comes the end, for ever."""
        if place == 0:
            return (self._lengths,)
        if place == 1:
            return self._open
        codes = self.tokens_of(first) - 4
        if place - 2 < codes:
            return self._columns[(place - 2) % len(self._columns)]
        return self._close if place - 2 == codes else self._end

    def allowed(self, written: Sequence[int]) -> tuple[Span, ...]:
        """The ids that may follow what is written."""
        return self.spans(len(written), written[0] if written else 0, written[-1] if written else 0)

    def tokens_of(self, first: int) -> int:
        """Tokens from a duration to the end, both counted. first: the id of the duration."""
        shortest, end = self._lengths
        if not shortest <= first < end:
            raise LmError(f"place 0: expected a duration of the grammar, found {self.bound.name(first)}")
        return 4 + (first - self.bound.lengths[0] + 1) * len(self._columns)

    @property
    def most_tokens(self) -> int:
        """Tokens from the duration to the end, of the longest motion."""
        return self.tokens_of(self._lengths[1] - 1)


class TextGrammar:
    """What is written of a caption or an answer: text, <|/text|>, the end. most: tokens of text; then it is closed."""

    def __init__(self, bound: BoundVocabulary, most: int = 256) -> None:
        if most < 1:
            raise LmError(f"most: expected at least one token of text, found {most}")
        self.bound, self.most = bound, most
        close, end = bound.control("/text"), bound.eos
        self._close, self._end = ((close, close + 1),), ((end, end + 1),)
        self._more = (*bound.text_spans, *self._close)

    def spans(self, place: int, first: int, last: int) -> tuple[Span, ...]:
        """See `Grammar`. Nobody answers with nothing: the first token is one of text."""
        if place and last in (self._close[0][0], self._end[0][0]):
            return self._end
        if place >= self.most:
            return self._close
        return self._more if place else self._more[:-1]

    def allowed(self, written: Sequence[int]) -> tuple[Span, ...]:
        """The ids that may follow what is written."""
        return self.spans(len(written), written[0] if written else 0, written[-1] if written else 0)

    @property
    def most_tokens(self) -> int:
        """Tokens to the end, of the longest text."""
        return self.most + 2


class MotionLogitsProcessor:
    """A `LogitsProcessor` of transformers that leaves to each row what its grammar allows.

    grammars: one, or one a sequence of the batch; where each sequence is drawn several times, or held by several beams,
    its rows lie side by side. start: tokens in front of what is written (with padding on the left, the width of what is
    given; 1 for the decoder of an encoder-decoder). Where all that is allowed was ruled out before, all of it is alike.
    """

    def __init__(self, grammars: Grammar | Sequence[Grammar], start: int) -> None:
        self.grammars: tuple[Grammar, ...] = tuple(grammars) if isinstance(grammars, Sequence) else (grammars,)
        if not self.grammars:
            raise LmError("grammars: expected at least one")
        self.start = start

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """input_ids: (B, L); scores: (B, V) of the next token. Returns the scores, -inf where nothing is allowed."""
        import torch

        rows, wide = scores.shape
        bound = self.grammars[0].bound
        if wide < bound.end:
            raise LmError(f"the model has {wide} tokens, its tokenizer {bound.size}; the two do not belong together")
        if rows % len(self.grammars):
            raise LmError(f"grammars: {len(self.grammars)} of them for {rows} rows; give one to each sequence")
        place = input_ids.shape[1] - self.start
        first = last = [0] * rows
        if place > 0:
            # Both in one go: on a GPU this waits for the token that was drawn last.
            first, last = input_ids[:, [self.start, -1]].T.tolist()
        groups: dict[tuple[Span, ...], list[int]] = {}
        for row in range(rows):
            grammar = self.grammars[row * len(self.grammars) // rows]
            groups.setdefault(grammar.spans(place, first[row], last[row]), []).append(row)
        # As a rule all rows stand at the same column, and a slice of the scores is copied, nothing else.
        found = torch.full_like(scores, -torch.inf)
        for spans, members in groups.items():
            which = slice(None) if len(members) == rows else members
            tops = []
            for begin, end in spans:
                found[which, begin:end] = scores[which, begin:end]
                tops.append(scores[which, begin:end].amax(-1))
            ruled_out = (torch.stack(tops).amax(0) == -torch.inf)[:, None]
            for begin, end in spans:
                found[which, begin:end] = found[which, begin:end].masked_fill(ruled_out, 0.0)
        return found
