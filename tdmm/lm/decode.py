"""Writing: tokens of a language model, one after the other, of which each sequence is one of its grammar.

Qwen3 in its plain form is computed by `tdmm.lm.qwen3`, other networks by transformers. On a GPU the former draws whole
steps of motion without asking the CPU (`tdmm.lm.cycles`). The law is the same for all: row i of what is written depends
on what is given in row i, its grammar and its seed, and on no other row.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import torch

from tdmm.errors import LmError
from tdmm.lm.any_network import AnyCache
from tdmm.lm.cycles import Cycle
from tdmm.lm.grammar import Grammar, MotionGrammar, TextGrammar
from tdmm.lm.qwen3 import Qwen3, Qwen3Cache, fits, read_qwen3
from tdmm.lm.sampling import Sampling, draw, guide, uniforms
from tdmm.lm.vocabulary import Span

if TYPE_CHECKING:
    from tdmm.lm.model_folder import LanguageModel

# Rows that are written together, and bytes that what is remembered of them may take.
ROWS = {"cpu": 16, "cuda": 64}
BYTES = {"cpu": 1 << 29, "cuda": 1 << 33}
# Tokens of text that are drawn before it is looked whether all texts have ended.
TEXT_CYCLE = 16
# So many texts are written sooner than compiled code is loaded.
FEW_TEXTS = 4


class Cache(Protocol):
    """What a network remembers of a batch, and what it says next; see `Qwen3Cache`."""

    def begin(self, given: Sequence[Sequence[int]], written: Sequence[Sequence[int]]) -> None: ...

    def feed(self, ids: torch.Tensor) -> None: ...

    def logits(self, spans: Sequence[Span]) -> torch.Tensor: ...

    def keep(self, rows: Sequence[int]) -> None: ...


class Decoder:
    """Writes with a language model, whose weights it reads when they are first needed."""

    def __init__(self, lm: LanguageModel) -> None:
        self.lm = lm
        self._kind = torch.device(lm.device).type
        self._free: dict[tuple[int, int], Qwen3Cache] = {}

    def write(
        self,
        given: Sequence[Sequence[int]],
        grammars: Sequence[Grammar],
        sampling: Sampling,
        seeds: Sequence[int],
        *,
        unprompted: Sequence[Sequence[int]] | None = None,
        batch: int | None = None,
    ) -> list[list[int]]:
        """What is written after each of what is given, to the end token, in their order.

        seeds: of the draws of each. unprompted: the same with the prompt dropped, which guidance needs. batch: rows
        that are written at once, None: what suits the device. Raises `LmError` for what is longer than the network
        reads.
        """
        if batch is not None and batch < 1:
            raise LmError(f"batch: expected at least 1, found {batch}")
        rows = self._rows(given, grammars, sampling, seeds, unprompted)
        groups = _groups(rows)
        if any(len(group) > self._most_rows(group, sampling, batch) for group in groups):
            # How long each will be, first, so that those of one length go together.
            for group in groups:
                for chunk in self._chunks(group, sampling, batch):
                    if any(isinstance(row.grammar, MotionGrammar) and not row.written for row in chunk):
                        next(self._run(chunk, sampling))
            groups = _groups(rows)
        for group in groups:
            for chunk in self._chunks(group, sampling, batch):
                for _ in self._run(chunk, sampling, cycles=None):
                    pass
        return [row.written for row in rows]

    @torch.inference_mode()
    def likelihoods(self, given: Sequence[Sequence[int]], written: Sequence[Sequence[int]]) -> list[float]:
        """The logarithm of how likely the network finds it that this is written after what is given, of each."""
        found = [0.0] * len(given)
        # Those that are written in about as many tokens together.
        order = sorted(range(len(given)), key=lambda row: (len(written[row]), len(given[row])))
        count = ROWS[self._kind if self._kind in ROWS else "cuda"]
        for start in range(0, len(order), count):
            some = order[start : start + count]
            longest = max(len(written[row]) for row in some)
            room = max(len(given[row]) for row in some) + longest
            cache = self._empty(len(some), room)
            cache.begin([given[row] for row in some], [[] for _ in some])
            for place in range(longest):
                ids = [written[row][place] if place < len(written[row]) else self.lm.bound.pad for row in some]
                chances = cache.logits([(0, self.lm.bound.size)]).log_softmax(-1).cpu()
                for number, row in enumerate(some):
                    if place < len(written[row]):
                        found[row] += float(chances[number, ids[number]])
                if place + 1 < longest:
                    cache.feed(torch.tensor(ids, device=self.lm.device)[:, None])
        return found

    def _empty(self, rows: int, room: int) -> Cache:
        if not self._own:
            return AnyCache(self.lm)
        cache = Qwen3Cache(self._network, rows, room)
        cache.by_step = self._network.packed is not None
        return cache

    def steps(
        self,
        given: Sequence[int],
        grammar: Grammar,
        sampling: Sampling,
        seed: int,
        *,
        unprompted: Sequence[int] | None = None,
    ) -> Iterator[int]:
        """What `write` writes of one, token by token, each as soon as it is known."""
        dropped = None if unprompted is None else [unprompted]
        (row,) = self._rows([given], [grammar], sampling, [seed], dropped)
        return self._steps(row, sampling)

    def _steps(self, row: _Row, sampling: Sampling) -> Iterator[int]:
        told = 0
        for _ in self._run([row], sampling):
            yield from row.written[told:]
            told = len(row.written)
        yield from row.written[told:]

    # -- batches -----------------------------------------------------------------------------------------

    def _rows(
        self,
        given: Sequence[Sequence[int]],
        grammars: Sequence[Grammar],
        sampling: Sampling,
        seeds: Sequence[int],
        unprompted: Sequence[Sequence[int]] | None,
    ) -> list[_Row]:
        if sampling.guided and unprompted is None:
            raise LmError(f"guidance {sampling.guidance:g} needs what is given without the prompt, too")
        dropped = given if unprompted is None or not sampling.guided else unprompted
        if not len(given) == len(grammars) == len(seeds) == len(dropped):
            counts = f"{len(given)}, {len(grammars)}, {len(seeds)} and {len(dropped)}"
            raise LmError(
                f"given, grammars, seeds, unprompted: expected as many of one as of the other, found {counts}"
            )
        rows = [_Row(*values) for values in zip(given, dropped, grammars, seeds, strict=True)]
        longest = self.lm.longest
        for number, row in enumerate(rows):
            if not row.given or not row.dropped:
                raise LmError(f"given, row {number}: expected at least one token")
            # The two that end it are not read.
            if longest is not None and row.width + row.left - 2 > longest:
                raise LmError(
                    f"given, row {number}: {row.width - len(row.written)} tokens, and {row.most} that may be written; "
                    f"the language model reads {longest} in all"
                )
        return rows

    def _most_rows(self, rows: Sequence[_Row], sampling: Sampling, batch: int | None) -> int:
        """How many of these rows go at once."""
        if batch is not None:
            return batch
        kind = self._kind if self._kind in ROWS else "cuda"
        if not self._own:
            return ROWS[kind]
        each = self._network.slot_bytes * max(row.width + row.left for row in rows) * (1 + sampling.guided)
        return max(min(ROWS[kind], BYTES[kind] // each), 1)

    def _chunks(self, rows: Sequence[_Row], sampling: Sampling, batch: int | None) -> Iterator[list[_Row]]:
        """Rows of about one length together, the longest first."""
        # Where a length was drawn or given it counts; of a text, which ends when it likes, what is given does.
        known = [row for row in rows if not row.done]
        known.sort(key=lambda row: (-row.left, -row.width))
        while known:
            count = self._most_rows(known, sampling, batch)
            yield known[:count]
            del known[:count]

    # -- one batch ---------------------------------------------------------------------------------------

    @torch.inference_mode()
    def _run(self, rows: Sequence[_Row], sampling: Sampling, cycles: int | None = 1) -> Iterator[None]:
        """Write rows that go in step, to their ends; stops whenever they have more.

        cycles: on a GPU, how many steps of motion until then; None: all.
        """
        alive = [row for row in rows if not row.done]
        if not alive:
            return
        twice = 2 if sampling.guided else 1
        cache = self._take(alive, twice)
        given = [*(row.given for row in alive), *(row.dropped for row in alive if twice == 2)]
        _begin(cache, given, [row.written for row in alive] * twice)
        while True:
            if isinstance(cache, Qwen3Cache) and self._in_cycles and (spans := _cycle(alive)):
                yield from self._cycles(cache, alive, spans, sampling, cycles)
                break
            self._draw(cache, alive, sampling)
            yield
            going = [place for place, row in enumerate(alive) if not row.done]
            if not going:
                break
            if 2 * len(going) <= len(alive):
                cache.keep([place + half * len(alive) for half in range(twice) for place in going])
                alive = [alive[place] for place in going]
            width = len(next(row.news for row in alive if not row.done))
            news = [[row.grammar.bound.pad] * width if row.done else row.news for row in alive]
            cache.feed(torch.tensor(news * twice, device=self.lm.device))
        self._give_back(cache)

    def _draw(self, cache: Cache, rows: Sequence[_Row], sampling: Sampling) -> None:
        """The next token of each row."""
        groups: dict[tuple[Span, ...], list[int]] = defaultdict(list)
        for place, row in enumerate(rows):
            if not row.done:
                groups[row.spans].append(place)
        for spans, members in groups.items():
            logits = guide(cache.logits(spans), sampling)
            if len(members) < len(rows):
                logits = logits[members]
            where = torch.tensor([rows[place].where() for place in members], device=logits.device)
            for place, found in zip(members, draw(logits, where, sampling).tolist(), strict=True):
                rows[place].take(_id(spans, found))

    def _cycles(
        self,
        cache: Qwen3Cache,
        rows: Sequence[_Row],
        spans: tuple[tuple[Span, ...], ...],
        sampling: Sampling,
        count: int | None,
    ) -> Iterator[None]:
        """As `_run` goes on, without looking at what is drawn until several tokens are."""
        cycle = Cycle(cache, spans, sampling)
        places = [len(row.written) for row in rows]
        cycle.begin([row.uniforms[place:] for row, place in zip(rows, places, strict=True)])
        motion = isinstance(rows[0].grammar, MotionGrammar)
        while any(not row.done for row in rows):
            # Of motions it is known when they end.
            rest = -(-max(row.left - 2 for row in rows) // len(spans)) if motion else 1
            found = cycle.run(rest if count is None else min(count, rest)).tolist()
            for number, (row, ids) in enumerate(zip(rows, found, strict=True)):
                row.take_all(ids, places[number])
                places[number] += len(ids)
            yield

    # -- networks ----------------------------------------------------------------------------------------

    @cached_property
    def _own(self) -> bool:
        """Whether the network is computed without transformers."""
        return fits(self.lm.config)

    @cached_property
    def _in_cycles(self) -> bool:
        return self._own and self._kind == "cuda"

    @cached_property
    def _network(self) -> Qwen3:
        return read_qwen3(self.lm)

    def _take(self, rows: Sequence[_Row], twice: int) -> Cache:
        """A cache with room for rows; one that is not in use, if it has the right size."""
        if not self._own:
            return AnyCache(self.lm)
        room = max(row.width for row in rows) + max(row.left for row in rows) + TEXT_CYCLE
        size = len(rows) * twice, Qwen3Cache.rounded(room)
        cache = self._free.pop(size, None) or Qwen3Cache(self._network, *size)
        # To load the compiled step takes as long as a hundred tokens without it.
        pays = "numba" in sys.modules or isinstance(rows[0].grammar, MotionGrammar) or len(rows) > FEW_TEXTS
        cache.by_step = pays and self._network.packed is not None
        return cache

    def _give_back(self, cache: Cache) -> None:
        if isinstance(cache, Qwen3Cache):
            # The last one only: as a rule the next batch has the same size.
            self._free = {(len(cache.pad), cache.room): cache}


def _begin(cache: Cache, given: Sequence[Sequence[int]], written: Sequence[Sequence[int]]) -> None:
    """Read what rows begin with; those that begin alike (drafts, and dropped prompts) are read once."""
    rows = [(tuple(row), tuple(more)) for row, more in zip(given, written, strict=True)]
    places = {row: place for place, row in enumerate(dict.fromkeys(rows))}
    cache.begin([row for row, _ in places], [more for _, more in places])
    if len(places) < len(rows):
        cache.keep([places[row] for row in rows])


class _Row:
    """One sequence: what is given (and what, with the prompt dropped), and what is written so far.

    news: what is written since the network read it last.
    """

    def __init__(self, given: Sequence[int], dropped: Sequence[int], grammar: Grammar, seed: int) -> None:
        self.given, self.dropped, self.grammar = list(given), list(dropped), grammar
        self.written: list[int] = []
        self.news: list[int] = []
        self.spans: tuple[Span, ...] = ()
        self.uniforms = uniforms(seed, grammar.most_tokens).tolist()
        self._follow()

    @property
    def done(self) -> bool:
        return bool(self.written) and self.written[-1] == self.grammar.bound.eos

    @property
    def width(self) -> int:
        """Tokens that are read before the next one is drawn."""
        return max(len(self.given), len(self.dropped)) + len(self.written)

    @property
    def most(self) -> int:
        """Tokens that will be written, at most."""
        if isinstance(self.grammar, MotionGrammar) and self.written:
            return self.grammar.tokens_of(self.written[0])
        return self.grammar.most_tokens

    @property
    def left(self) -> int:
        """Tokens that are yet to be written, at most."""
        return self.most - len(self.written)

    def where(self) -> float:
        """The uniform number of the next token."""
        return float(self.uniforms[len(self.written)])

    def take(self, number: int) -> None:
        """Write a token, and those behind it that are not to be chosen."""
        start = len(self.written)
        self.written.append(number)
        self._follow()
        self.news = self.written[start:]

    def take_all(self, ids: Sequence[int], place: int) -> None:
        """Write the tokens that were drawn from a place on, as far as they are not there and not behind the end."""
        for at, number in enumerate(ids, place):
            if self.done:
                return
            if at == len(self.written):
                self.take(number)

    def _follow(self) -> None:
        while not self.done:
            written = self.written
            self.spans = self.grammar.spans(len(written), written[0] if written else 0, written[-1] if written else 0)
            (first, end), *more = self.spans
            if more or end - first > 1:
                return
            written.append(first)


def _groups(rows: Sequence[_Row]) -> list[list[_Row]]:
    """Rows that go in step: where one has a token to draw, all that are not done have."""
    groups: dict[tuple[object, ...], list[_Row]] = defaultdict(list)
    for number, row in enumerate(rows):
        kind = type(row.grammar)
        # Grammars that are not known here go by themselves.
        alone = -1 if kind in (MotionGrammar, TextGrammar) else number
        groups[kind, len(row.written), alone].append(row)
    return list(groups.values())


def _cycle(rows: Sequence[_Row]) -> tuple[tuple[Span, ...], ...]:
    """The spans of tokens that come again and again, from the next one on; none where that is not so yet."""
    row = max((row for row in rows if not row.done), key=lambda row: row.left)
    grammar, written = row.grammar, row.written
    if isinstance(grammar, MotionGrammar) and len(written) >= 2:
        wide = grammar.bound.vocabulary.width
        return tuple(grammar.spans(2 + (len(written) - 2 + more) % wide, written[0], 0) for more in range(wide))
    if isinstance(grammar, TextGrammar) and written:
        return (row.spans,) * TEXT_CYCLE
    return ()


def _id(spans: Sequence[Span], number: int) -> int:
    """The id at a place of spans that follow each other."""
    for first, end in spans:
        if number < end - first:
            return first + number
        number -= end - first
    raise IndexError(number)
