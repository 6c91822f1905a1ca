"""The tokens that a language model gets beside its own: codes of motion, durations, and what says which is which.

A `MotionVocabulary` knows their strings and the way from codes to ids and back, counted from its first token on. Bound
to a text tokenizer it becomes a `BoundVocabulary`, whose ids are the tokenizer's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from tdmm.errors import LmError, TokensError
from tdmm.io.tokens_file import STREAMS, code_table

DETAILS = ("short", "long", "timeline")
TASKS = ("animate", "describe", "ask", "continue", "between", "predict")
_CONTROLS = (
    *("motion", "/motion", "text", "/text", "animate", "describe", "short", "long", "timeline"),
    *("ask", "continue", "between", "predict", "gap"),
)
LONGEST = 160  # steps that a duration token can say; 25.6 s of the default codec
_LETTERS = {"face": "f", "head": "h"}
_MOTION_TOKEN = re.compile(r"<\|(?:([fh])(\d+)|len):(\d+)\|>")
# Ids [first, end).
Span = tuple[int, int]


@dataclass(frozen=True)
class MotionVocabulary:
    """The motion tokens of a codec, in their fixed order: codes column by column, durations, control tokens.

    streams: of each column of codes, "face" or "head"; sizes: how many codes each has. longest: steps that a duration
    can say. Ids count from the first of these tokens. Raises `LmError` for streams and sizes that are none.
    """

    streams: tuple[str, ...]
    sizes: tuple[int, ...]
    longest: int = LONGEST

    def __post_init__(self) -> None:
        object.__setattr__(self, "streams", tuple(self.streams))
        object.__setattr__(self, "sizes", tuple(int(size) for size in self.sizes))
        if not self.streams or any(name not in STREAMS for name in self.streams):
            raise LmError(f"streams: expected names of {' and '.join(STREAMS)}, found {list(self.streams)}")
        if len(self.sizes) != len(self.streams) or min(self.sizes) < 1:
            raise LmError(f"sizes: expected {len(self.streams)} numbers >= 1, one a stream, found {list(self.sizes)}")
        if self.longest < 1:
            raise LmError(f"longest: expected at least 1 step, found {self.longest}")

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """What the tokens of each column are called: f1, f2, ..., h1, ..."""
        seen = dict.fromkeys(STREAMS, 0)
        names = []
        for stream in self.streams:
            seen[stream] += 1
            names.append(f"{_LETTERS[stream]}{seen[stream]}")
        return tuple(names)

    @cached_property
    def starts(self) -> np.ndarray:
        """(Q + 1,) int64: where the ids of each column begin; the last is where they all end."""
        return np.concatenate([[0], np.cumsum(self.sizes)]).astype(np.int64)

    @cached_property
    def tokens(self) -> tuple[str, ...]:
        """All strings, by their ids."""
        codes = (
            f"<|{name}:{code}|>" for name, size in zip(self.columns, self.sizes, strict=True) for code in range(size)
        )
        lengths = (f"<|len:{steps}|>" for steps in range(1, self.longest + 1))
        return (*codes, *lengths, *(f"<|{name}|>" for name in _CONTROLS))

    def __len__(self) -> int:
        return int(self.starts[-1]) + self.longest + len(_CONTROLS)

    @property
    def width(self) -> int:
        """Q, codes a step."""
        return len(self.sizes)

    def column(self, number: int) -> Span:
        """The ids of a column's codes."""
        return int(self.starts[number]), int(self.starts[number + 1])

    @property
    def lengths(self) -> Span:
        """The ids of the durations, from one step on."""
        first = int(self.starts[-1])
        return first, first + self.longest

    def length(self, steps: int) -> int:
        """The id of a duration. Raises `LmError` where no token says it."""
        if not 1 <= steps <= self.longest:
            raise LmError(f"a motion of {steps} steps: the language model knows 1 to {self.longest}; cut it in parts")
        return self.lengths[0] + steps - 1

    def control(self, name: str) -> int:
        """The id of a control token by its name: "motion", "/motion", "animate", ..."""
        return self.lengths[1] + _CONTROLS.index(name)

    def encode(self, codes: Any) -> list[int]:
        """The ids of codes (T, Q), step by step. Raises `TokensError` for codes that the codec does not have."""
        table = code_table(codes, "")
        if table.shape[1] != self.width:
            raise TokensError(f"codes: expected {self.width} a step, found {table.shape[1]}; was another codec used?")
        beyond = np.argwhere(table >= np.asarray(self.sizes))
        if len(beyond):
            step, column = beyond[0].tolist()
            raise TokensError(
                f"codes: step {step}, column {column} (both from 0): expected 0..{self.sizes[column] - 1}, "
                f"found {table[step, column]}; was another codec used?"
            )
        return (table + self.starts[:-1]).reshape(-1).tolist()

    def parse(self, ids: Sequence[int] | np.ndarray, at: int = 0) -> np.ndarray:
        """The codes (T, Q) int64 of ids, the inverse of `encode`. at: the place of the first one, for errors.

        Raises `LmError` that says at which place what was expected and what is there.
        """
        found = np.asarray(ids, np.int64).reshape(-1)
        columns = np.arange(len(found)) % self.width
        wrong = np.flatnonzero((found < self.starts[columns]) | (found >= self.starts[columns + 1]))
        if len(wrong):
            place = int(wrong[0])
            raise LmError(
                f"place {at + place}: expected {self._any_of(int(columns[place]))}, "
                f"found {self.name(int(found[place]))}"
            )
        if len(found) % self.width:
            raise LmError(
                f"place {at + len(found)}: expected {self._any_of(len(found) % self.width)}, "
                "found the end of the motion"
            )
        return found.reshape(-1, self.width) - self.starts[:-1]

    def name(self, number: int) -> str:
        """What an id is called in an error."""
        return self.tokens[number] if 0 <= number < len(self) else "a token that is none of motion"

    def _any_of(self, column: int) -> str:
        return f"<|{self.columns[column]}:0|> to <|{self.columns[column]}:{self.sizes[column] - 1}|>"

    def bind(self, tokenizer: Any) -> BoundVocabulary:
        """These tokens in a tokenizer of transformers, to which they are added at the end if it does not have them.

        Raises `LmError` for one that has other motion tokens, or no token that ends a sequence.
        """
        known = tokenizer.get_vocab()
        there = [token for token in self.tokens if token in known]
        others = {token for token in known if _MOTION_TOKEN.fullmatch(token)}.difference(self.tokens)
        if others or len(there) not in (0, len(self)):
            example = sorted(others)[0] if others else there[0]
            raise LmError(f"the tokenizer has motion tokens of another codec, such as {example}; use it with its own")
        if not there:
            from tokenizers import AddedToken

            added = [AddedToken(token, special=True, normalized=False) for token in self.tokens]
            tokenizer.add_tokens(added, special_tokens=True)
        ids = tokenizer.convert_tokens_to_ids(list(self.tokens))
        if ids != list(range(ids[0], ids[0] + len(self))):
            raise LmError("the tokenizer does not keep the motion tokens side by side; use another tokenizer")
        if tokenizer.eos_token_id is None:
            raise LmError("the tokenizer has no token that ends a sequence (eos_token); set one in its configuration")
        return BoundVocabulary(self, tokenizer, ids[0])


def vocabulary_in(tokenizer: Any) -> MotionVocabulary:
    """The motion tokens that a tokenizer has. Raises `LmError` if it has none."""
    known = tokenizer.get_vocab()
    sizes: dict[str, int] = {}
    longest = 0
    for token in sorted((token for token in known if _MOTION_TOKEN.fullmatch(token)), key=known.__getitem__):
        letter, number, _ = _MOTION_TOKEN.fullmatch(token).groups()  # type: ignore[union-attr]
        if letter is None:
            longest += 1
        else:
            sizes[letter + number] = sizes.get(letter + number, 0) + 1
    if not sizes or not longest:
        raise LmError("the tokenizer has no motion tokens; name a model that tdmm train lm made")
    streams = {letter: stream for stream, letter in _LETTERS.items()}
    return MotionVocabulary(tuple(streams[name[0]] for name in sizes), tuple(sizes.values()), longest)


@dataclass(frozen=True, eq=False)
class BoundVocabulary:
    """A motion vocabulary in a tokenizer: as `MotionVocabulary`, with the tokenizer's ids. base: of its first token."""

    vocabulary: MotionVocabulary
    tokenizer: Any
    base: int

    @cached_property
    def bos(self) -> int | None:
        """What begins a sequence, if anything does."""
        return self.tokenizer.bos_token_id

    @cached_property
    def eos(self) -> int:
        """What ends a sequence."""
        return self.tokenizer.eos_token_id

    @cached_property
    def pad(self) -> int:
        """What fills up a batch: the end's, where the tokenizer has none for it."""
        return self.eos if self.tokenizer.pad_token_id is None else self.tokenizer.pad_token_id

    @cached_property
    def size(self) -> int:
        """Rows that a model needs."""
        return max(len(self.tokenizer), self.end)

    @property
    def end(self) -> int:
        """The id behind the last motion token."""
        return self.base + len(self.vocabulary)

    def column(self, number: int) -> Span:
        """The ids of a column's codes."""
        first, end = self.vocabulary.column(number)
        return self.base + first, self.base + end

    @property
    def lengths(self) -> Span:
        """The ids of the durations, from one step on."""
        first, end = self.vocabulary.lengths
        return self.base + first, self.base + end

    def length(self, steps: int) -> int:
        """The id of a duration. Raises `LmError` where no token says it."""
        return self.base + self.vocabulary.length(steps)

    def control(self, name: str) -> int:
        """The id of a control token by its name: "motion", "/motion", "animate", ..."""
        return self.base + self.vocabulary.control(name)

    def encode(self, codes: Any) -> list[int]:
        """The ids of codes (T, Q), step by step. Raises `TokensError` for codes that the codec does not have."""
        return [self.base + number for number in self.vocabulary.encode(codes)]

    def parse(self, ids: Sequence[int] | np.ndarray, at: int = 0) -> np.ndarray:
        """The codes (T, Q) int64 of ids, the inverse of `encode`; see `MotionVocabulary.parse`."""
        return self.vocabulary.parse(np.asarray(ids, np.int64) - self.base, at)

    def parse_written(self, ids: Sequence[int] | np.ndarray) -> np.ndarray:
        """The codes (T, Q) of what a model wrote: duration, motion, the end, and nothing but padding behind it.

        Raises `LmError` that says at which place what was expected and what is there.
        """
        first, end = self.lengths
        found = [int(number) for number in ids]
        if not found or not first <= found[0] < end:
            raise LmError(
                f"place 0: expected a duration, <|len:1|> to <|len:{end - first}|>, found {self._at(found, 0)}"
            )
        last = 2 + (found[0] - first + 1) * self.vocabulary.width
        self._expect(found, 1, self.control("motion"))
        # A motion that closes too early is told as such, and not as a code that is none.
        close = self.control("/motion")
        inside = found[2 : found.index(close) if close in found[:last] else last]
        codes = self.parse(inside, 2)
        if len(inside) < last - 2:
            raise LmError(
                f"place {2 + len(inside)}: expected {self.vocabulary._any_of(0)}, "
                f"found {self._at(found, 2 + len(inside))}"
            )
        self._expect(found, last, close)
        self._expect(found, last + 1, self.eos)
        for place in range(last + 2, len(found)):
            if found[place] != self.eos:
                self._expect(found, place, self.pad)
        return codes

    def _expect(self, found: Sequence[int], place: int, wanted: int) -> None:
        if place >= len(found) or found[place] != wanted:
            raise LmError(f"place {place}: expected {self.name(wanted)}, found {self._at(found, place)}")

    def _at(self, found: Sequence[int], place: int) -> str:
        return self.name(found[place]) if place < len(found) else "the end"

    def name(self, number: int) -> str:
        """What an id is called in an error."""
        if self.base <= number < self.end:
            return self.vocabulary.name(number - self.base)
        return str(self.tokenizer.convert_ids_to_tokens(number)) if 0 <= number < self.size else f"the id {number}"

    # -- text --------------------------------------------------------------------------------------------

    def text_ids(self, text: str) -> list[int]:
        """The ids of a text. Control tokens that it spells are text like any other, never control."""
        # Half a surrogate pair, which arguments of a shell may hold, is no text for a tokenizer.
        text = text.encode("utf-8", "replace").decode()
        ids = self._ids(text)
        if not self._never_text.isdisjoint(ids):
            # Some tokenizers (Unigram) have their control tokens among the pieces of words: these are taken apart.
            ids = [
                number for piece in self._apart(text) for number in self._ids(piece) if number not in self._never_text
            ]
        return ids

    def text_of(self, ids: Iterable[int]) -> str:
        """The text of ids, without blanks at its ends; what is not text is left out."""
        kept = [int(number) for number in ids if int(number) not in self._never_text]
        said = self.tokenizer.decode(kept, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return str(said).strip()

    @cached_property
    def text_spans(self) -> tuple[Span, ...]:
        """The ids that may stand in a text, as few spans as there are."""
        unknown = {self.tokenizer.unk_token_id}
        banned = sorted({*self._never_text, *unknown} - {None})
        edges = [-1, *(number for number in banned if number < self.size), self.size]
        return tuple((a + 1, b) for a, b in pairwise(edges) if b > a + 1)

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False, split_special_tokens=True, verbose=False)["input_ids"]

    @cached_property
    def _never_text(self) -> frozenset[int]:
        """The ids of motion and of control. What a tokenizer writes for what it does not know is text."""
        special = {number for number, token in self.tokenizer.added_tokens_decoder.items() if token.special}
        special.update(self.tokenizer.all_special_ids)
        special.discard(self.tokenizer.unk_token_id)
        special.update(number for number in (self.bos, self.eos, self.pad) if number is not None)
        return frozenset({*special, *range(self.base, self.end)})

    def _apart(self, text: str) -> Iterator[str]:
        """The text in pieces none of which spells a control token."""
        names = {self.tokenizer.convert_ids_to_tokens(number) for number in self._never_text}
        spelled = [name for name in sorted(names, key=len, reverse=True) if name and name in text]
        start = 0
        for found in re.finditer("|".join(map(re.escape, spelled)) or r"(?!)", text):
            yield text[start : found.start() + 1]
            start = found.start() + 1
        yield text[start:]
