"""What a facial motion shows, in words: `describe`, and answers to questions about it: `ask`.

Motions may have any frame rate and any length. Longer ones than a language model knows are read in parts
(`tdmm.lm.stretches`), and what is said of the parts is joined: captions by `tdmm.lm.joining`, timelines by
`tdmm.lm.moments`. Seconds in texts count from the first frame of the motion. Frames without a face are passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, overload

import numpy as np

from tdmm.errors import LmError, MotionError
from tdmm.io.motion_file import read_motion
from tdmm.lm import sequences
from tdmm.lm.grammar import Grammar, TextGrammar
from tdmm.lm.limits import check_codec
from tdmm.lm.sampling import Sampling
from tdmm.lm.stretches import LONGEST_WHOLE, stretches
from tdmm.lm.templates import instruction
from tdmm.lm.vocabulary import DETAILS
from tdmm.motion import FaceMotion
from tdmm.vq.corpora import OnFailure, in_batches

if TYPE_CHECKING:
    from tdmm.lm.model_folder import LanguageModel
    from tdmm.lm.moments import Timeline
    from tdmm.lm.questions import Asked, Seen
    from tdmm.vq.codec import Codec

# The likeliest token each time: a description is not to be made up.
GREEDY = Sampling(temperature=0.0)
# Of a description so many drafts, unless told otherwise, in which other form as many are written that bear witness, and
# how all of them are drawn: chosen by the attribute F1 of descriptions of fits.
DRAFTS = 6
WITNESS = {"short": "long", "long": "short", "timeline": "long"}
DRAWN = Sampling(temperature=0.5, top_p=0.95)
# Tokens of a caption, of an answer and of a question, unless the model has less room.
MOST_TEXT, MOST_ANSWER, MOST_QUESTION = 256, 96, 256
_MARKERS = 64  # tokens that are left for control tokens and for an instruction


class Writer(Protocol):
    """What writes; a `tdmm.lm.decode.Decoder` does."""

    def write(
        self, given: Sequence[Sequence[int]], grammars: Sequence[Grammar], sampling: Sampling, seeds: Sequence[int]
    ) -> list[list[int]]: ...


@dataclass(frozen=True)
class Part:
    """A part of a motion as it is read. start, end: seconds from the motion's first frame; codes: (T, Q)."""

    start: float
    end: float
    codes: np.ndarray


@dataclass(frozen=True)
class Read:
    """A motion, read by a `Reader`: its parts, and what was written of each, by detail, from which drafts."""

    parts: tuple[Part, ...]
    written: dict[str, list[str]] = field(default_factory=dict)
    drafts: dict[str, list[list[str]]] = field(default_factory=dict)


class _Cut(NamedTuple):
    """A motion at the codec's rate in parts, and the seconds of each from its first frame."""

    pieces: list[FaceMotion]
    spans: list[tuple[float, float]]

    @property
    def frames(self) -> int:
        return sum(map(len, self.pieces))


class Reader:
    """A language model and the codec whose tokens it knows, which tell of motions; None: those of tdmm itself.

    sampling, seed: of what is written. drafts: of so many drawn texts that one is taken which agrees best with the
    others and with as many in another form (`WITNESS`, `tdmm.lm.agreement`); 1: what sampling says, and 1 for one that
    draws. correct: what `tdmm fit` made of a video is read as what it is a fit of (`tdmm.lm.fit_correction`), not as it
    stands. What is said of a motion depends on nothing but the motion, these and the model: many at once are the same
    as one by one. Raises `LmError` where codec and model do not go together.
    """

    def __init__(
        self,
        lm: LanguageModel | None = None,
        codec: Codec | None = None,
        *,
        sampling: Sampling = GREEDY,
        seed: int = 0,
        drafts: int = 1,
        correct: bool = True,
        writer: Writer | None = None,
    ) -> None:
        self.lm = _shipped() if lm is None else lm
        self.codec = _own_codec() if codec is None else codec
        check_codec(self.lm, self.codec)
        if drafts < 1 or (drafts > 1 and sampling.temperature):
            raise LmError(f"drafts: expected a number from 1 on, and 1 where words are drawn, found {drafts}")
        self.sampling, self.seed, self.drafts, self.correct = sampling, seed, drafts, correct
        self._writer = _decoder(self.lm) if writer is None else writer
        room = self.lm.longest
        most = MOST_TEXT if room is None else min(MOST_TEXT, room // 4)
        self._most, self._most_question = most, min(MOST_QUESTION, most)
        steps = self.lm.bound.vocabulary.longest
        if room is not None:
            steps = min(steps, (room - most - self._most_question - _MARKERS) // self.lm.bound.vocabulary.width)
        if steps < 1:
            raise LmError(f"the language model reads {room} tokens, which leaves no room for a motion; use another")
        self._longest = min(LONGEST_WHOLE, steps * self.codec.config.stride / self.codec.config.fps)

    def read(self, motions: Sequence[FaceMotion]) -> list[Read]:
        """The motions in parts, as tokens. Raises `MotionError` for one of another face model, or without a face."""
        return self._coded([self._cut(motion) for motion in motions])

    def read_each(
        self, sources: Iterable[tuple[str, str]], on_failure: OnFailure, read: Callable[[str], FaceMotion] = read_motion
    ) -> Iterator[list[tuple[str, Read]]]:
        """Batches of motions, given by id and source, in their order, with their ids; `read` reads a source.

        on_failure: told the id of a motion that cannot be read or described, and why; the others follow.
        """
        for batch in in_batches(self._readable(sources, on_failure, read), lambda one: one[1].frames):
            yield list(zip([name for name, _ in batch], self._coded([cut for _, cut in batch]), strict=True))

    def _readable(
        self, sources: Iterable[tuple[str, str]], on_failure: OnFailure, read: Callable[[str], FaceMotion]
    ) -> Iterator[tuple[str, _Cut]]:
        for name, source in sources:
            try:
                cut = self._cut(read(source))
            except MotionError as error:
                reason = str(error)
                on_failure(name, reason if source in reason else f"{source}: {reason}")
                continue
            yield name, cut

    def _cut(self, motion: FaceMotion) -> _Cut:
        self.codec.columns.of(motion)  # or it raises
        even = motion.resample(self.codec.config.fps)
        runs = stretches(even, self._longest)
        if not runs:
            raise MotionError(f"no face is seen in its {len(motion)} frames: there is nothing to describe")
        pieces = [even[first:end] for first, end in runs]
        if self.correct and "fit" in motion.meta:
            from tdmm.lm.fit_correction import FitCorrection

            pieces = [FitCorrection.load().of(piece) for piece in pieces]
        return _Cut(pieces, [(first / even.fps, end / even.fps) for first, end in runs])

    def _coded(self, cuts: Sequence[_Cut]) -> list[Read]:
        codes = iter(self.codec.encode_many([piece for cut in cuts for piece in cut.pieces]))
        return [Read(tuple(Part(start, end, next(codes).codes) for start, end in cut.spans)) for cut in cuts]

    def describe(self, motions: Sequence[Read], detail: str = "short") -> list[str]:
        """A text of each motion. detail: short, long or timeline."""
        self._write(motions, detail)
        return [self._as_one(one, detail) for one in motions]

    def _as_one(self, one: Read, detail: str) -> str:
        said, spans = one.written[detail], [(part.start, part.end) for part in one.parts]
        if len(spans) == 1 and not spans[0][0]:
            return said[0]  # to the letter
        if detail == "timeline":
            return str(self._timelines([one])[0])
        from tdmm.lm.joining import join_long, join_short

        return join_short(said, [start for start, _ in spans]) if detail == "short" else join_long(said, spans)

    def events(self, motions: Sequence[Read]) -> list[list[dict[str, Any]]]:
        """What happens when, by the timelines, as the `events` of a manifest line have it."""
        return [timeline.events() for timeline in self._timelines(motions)]

    def ask(self, motions: Sequence[Read], questions: Sequence[Sequence[str]]) -> list[list[str]]:
        """The answers to the questions about each motion, in their order.

        What people ask is put in forms that the model was taught (`tdmm.lm.questions`). A question about a long motion
        is asked of the parts in which what it names is seen. Raises `LmError` for an empty question, and for one that
        is too long.
        """
        for question in {one: None for some in questions for one in some}:
            self._check(question)
        if not any(questions):
            return [[] for _ in motions]
        from tdmm.lm.questions import understand

        put = [[understand(question) for question in asked] for asked in questions]
        seen = self._seen(motions, put)
        forms = [[question.forms(shown) for question in asked] for asked, shown in zip(put, seen, strict=True)]
        places = [
            (one, form, self._where(one, form))
            for one, asked in zip(motions, forms, strict=True)
            for some in asked
            for form in some
        ]
        said = self.lm.instructed
        given = [
            sequences.ask_given(self.lm.bound, one.parts[part].codes, form, instruction("ask") if said else "")
            for one, form, parts in places
            for part in parts
        ]
        texts = iter(self._texts(given, min(MOST_ANSWER, self._most)))
        answers = iter([self._joined(*place, [next(texts) for _ in place[2]]) for place in places])
        return [
            [question.answer([next(answers) for _ in some], shown) for question, some in zip(asked, own, strict=True)]
            for asked, own, shown in zip(put, forms, seen, strict=True)
        ]

    def _seen(self, motions: Sequence[Read], put: Sequence[Sequence[Asked]]) -> list[Seen]:
        """What is seen, by the timelines, of motions about which something is asked that depends on it."""
        needed = [
            any(question.checks for question in asked) or (bool(asked) and len(one.parts) > 1)
            for one, asked in zip(motions, put, strict=True)
        ]
        timelines = iter(self._timelines([one for one, need in zip(motions, needed, strict=True) if need]))
        return [_times(next(timelines)) if need else {} for need in needed]

    # -- parts -------------------------------------------------------------------------------------------

    def _where(self, one: Read, question: str) -> list[int]:
        if len(one.parts) == 1:
            return [0]
        from tdmm.lm.joining import where_to_ask

        return where_to_ask(question, _timelines(one))

    def _joined(self, one: Read, question: str, parts: Sequence[int], answers: Sequence[str]) -> str:
        from tdmm.lm.joining import join_answers, shift_times

        if len(one.parts) == 1:
            return shift_times(answers[0], one.parts[0].start)
        timelines = _timelines(one)
        return join_answers(question, answers, [timelines[number] for number in parts])

    def _timelines(self, motions: Sequence[Read]) -> list[Timeline]:
        from tdmm.lm.moments import join_timelines

        self._write(motions, "timeline")
        return [join_timelines(_timelines(one)) for one in motions]

    def _check(self, question: str) -> None:
        if not question.strip():
            raise LmError("the question is empty; ask something, such as: Which eye does the person wink with?")
        size = len(self.lm.bound.text_ids(question))
        if size > self._most_question:
            raise LmError(
                f"the question {question[:30]!r}... has {size} tokens, the language model reads questions of "
                f"{self._most_question} at most; ask in fewer words"
            )

    # -- writing -----------------------------------------------------------------------------------------

    def _write(self, motions: Sequence[Read], detail: str) -> None:
        """Write what is not written yet."""
        if detail not in DETAILS:
            raise LmError(f"detail: expected one of {', '.join(DETAILS)}, found {detail!r}")
        missing = [one for one in motions if detail not in one.written]
        if self.drafts == 1:
            texts = iter(self._texts([ids for one in missing for ids in self._given(one, detail)], self._most))
            for one in missing:
                one.written[detail] = [next(texts) for _ in one.parts]
            return
        from tdmm.lm.agreement import most_agreed

        self._draft(missing, (detail, WITNESS[detail]))
        for one in missing:
            both = zip(one.drafts[detail], one.drafts[WITNESS[detail]], strict=True)
            one.written[detail] = [most_agreed(own, others) for own, others in both]

    def _draft(self, motions: Sequence[Read], details: Sequence[str]) -> None:
        """Draw the drafts that are not there yet."""
        missing = [(one, detail) for one in motions for detail in details if detail not in one.drafts]
        given = [ids for one, detail in missing for ids in self._given(one, detail) for _ in range(self.drafts)]
        seeds = [self.seed + number for number in range(self.drafts)] * (len(given) // self.drafts)
        texts = iter(self._texts(given, self._most, DRAWN, seeds))
        for one, detail in missing:
            one.drafts[detail] = [[next(texts) for _ in range(self.drafts)] for _ in one.parts]

    def _given(self, one: Read, detail: str) -> list[list[int]]:
        """What a description of each part follows."""
        said = instruction("describe", detail) if self.lm.instructed else ""
        return [sequences.describe_given(self.lm.bound, part.codes, detail, said) for part in one.parts]

    def _texts(
        self,
        given: Sequence[Sequence[int]],
        most: int,
        sampling: Sampling | None = None,
        seeds: Sequence[int] | None = None,
    ) -> list[str]:
        """What follows what is given, each on one line that any terminal can show. sampling, seeds: None for those of
        the reader."""
        if not given:
            return []
        bound = self.lm.bound
        written = self._writer.write(
            given,
            [TextGrammar(bound, most)] * len(given),
            self.sampling if sampling is None else sampling,
            [self.seed] * len(given) if seeds is None else seeds,
        )
        texts = ["".join(one if one.isprintable() else " " for one in bound.text_of(ids)) for ids in written]
        return [" ".join(text.split()) for text in texts]


@overload
def describe(
    motions: FaceMotion,
    lm: LanguageModel | None = ...,
    codec: Codec | None = ...,
    *,
    detail: str = ...,
    sampling: Sampling = ...,
    seed: int = ...,
    drafts: int | None = ...,
) -> str: ...
@overload
def describe(
    motions: Sequence[FaceMotion],
    lm: LanguageModel | None = ...,
    codec: Codec | None = ...,
    *,
    detail: str = ...,
    sampling: Sampling = ...,
    seed: int = ...,
    drafts: int | None = ...,
) -> list[str]: ...
def describe(
    motions: FaceMotion | Sequence[FaceMotion],
    lm: LanguageModel | None = None,
    codec: Codec | None = None,
    *,
    detail: str = "short",
    sampling: Sampling = GREEDY,
    seed: int = 0,
    drafts: int | None = None,
) -> str | list[str]:
    """What a motion shows, or what each of several shows (in batches, the same as one by one).

    lm, codec: None for those of tdmm itself. detail: `short` (a sentence), `long` (everything, with times), or
    `timeline` (`0.4-1.9 s: smiles; 2.1-3.0 s: nods twice`). sampling: the likeliest words unless told otherwise;
    seed: of its draws. drafts: `DRAFTS` unless words are drawn. See `Reader`, also to get several texts of one motion,
    and events.

    Raises `MotionError` for a motion of another face model than the codec's, and for one without a face; `LmError`
    where codec and language model do not go together.
    """
    reader = Reader(
        lm, codec, sampling=sampling, seed=seed, drafts=usual_drafts(sampling) if drafts is None else drafts
    )
    several = [motions] if isinstance(motions, FaceMotion) else list(motions)
    found = reader.describe(reader.read(several), detail)
    return found[0] if isinstance(motions, FaceMotion) else found


@overload
def ask(  # type: ignore[overload-overlap]  # a str is a sequence, too
    motion: FaceMotion,
    questions: str,
    lm: LanguageModel | None = ...,
    codec: Codec | None = ...,
    *,
    sampling: Sampling = ...,
    seed: int = ...,
) -> str: ...
@overload
def ask(
    motion: FaceMotion,
    questions: Sequence[str],
    lm: LanguageModel | None = ...,
    codec: Codec | None = ...,
    *,
    sampling: Sampling = ...,
    seed: int = ...,
) -> list[str]: ...
def ask(
    motion: FaceMotion,
    questions: str | Sequence[str],
    lm: LanguageModel | None = None,
    codec: Codec | None = None,
    *,
    sampling: Sampling = GREEDY,
    seed: int = 0,
) -> str | list[str]:
    """The answer to a question about a motion, or the answers to several. See `describe`.

    Raises `LmError` for an empty question, and for one that is longer than the language model reads.
    """
    reader = Reader(lm, codec, sampling=sampling, seed=seed)
    asked = [questions] if isinstance(questions, str) else list(questions)
    (found,) = reader.ask(reader.read([motion]), [asked])
    return found[0] if isinstance(questions, str) else found


def usual_drafts(sampling: Sampling) -> int:
    """Of a description, unless told otherwise."""
    return 1 if sampling.temperature else DRAFTS


def _times(timeline: Timeline) -> dict[str, tuple[float, float]]:
    """By id when it begins, and how many seconds it lasts in all."""
    found: dict[str, tuple[float, float]] = {}
    for moment in timeline.moments:
        if moment.event is not None:
            start, seconds = found.get(moment.event.id, (moment.start, 0.0))
            found[moment.event.id] = min(start, moment.start), seconds + moment.end - moment.start
    return found


def _timelines(one: Read) -> list[Timeline]:
    """Of each part, from what was written of it."""
    from tdmm.lm.moments import read_timeline

    return [
        read_timeline(text, part.start, part.end) for text, part in zip(one.written["timeline"], one.parts, strict=True)
    ]


@cache
def _shipped() -> LanguageModel:
    from tdmm.lm.model_folder import load_language_model

    return load_language_model()


def _own_codec() -> Codec:
    from tdmm.vq.codec import shipped_codec

    return shipped_codec()


@lru_cache(maxsize=2)
def _decoder(lm: LanguageModel) -> Writer:
    """Weights are read once."""
    from tdmm.lm.decode import Decoder

    return Decoder(lm)
