"""Text to motion: a language model writes the motion tokens of a prompt, a codec makes a motion of them.

What is too long to be written at once is written in parts (`tdmm.lm.parts`), each of which goes on from the last
seconds of the one before it. What comes depends on the prompt and the seed, and on nothing else that is animated.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np

import tdmm
from tdmm.errors import LmError
from tdmm.io.tokens_file import MotionTokens
from tdmm.lm.decode import Decoder
from tdmm.lm.grammar import MotionGrammar
from tdmm.lm.limits import check_codec
from tdmm.lm.model_folder import LanguageModel, load_language_model
from tdmm.lm.parts import Part, eased, parts_of
from tdmm.lm.sampling import Sampling
from tdmm.lm.sequences import animate_given, continue_given, describe_given, text_written
from tdmm.lm.templates import instruction
from tdmm.motion import DEFAULT_IMAGE_SIZE, DEFAULT_TRANSLATION, FaceMotion, concatenate, default_camera
from tdmm.vq.codec import Codec, shipped_codec
from tdmm.vq.columns import first_pose
from tdmm.vq.stream import StreamDecoder

# Seconds of what is there that the model reads where it goes on.
CONTEXT = 8.0
MOST_SECONDS = 3600.0
# Tokens of a prompt; prompts of the training have a tenth of it.
MOST_PROMPT = 1024
_ROOM = 16  # tokens for what is neither prompt nor codes

# Texts and motions to numbers, higher where the motion fits its text better.
Score = Callable[[Sequence[str], Sequence[FaceMotion]], Sequence[float]]


def animate(
    prompts: Sequence[str],
    lm: LanguageModel | None = None,
    codec: Codec | None = None,
    *,
    seconds: float | None = None,
    samples: int = 1,
    sampling: Sampling | None = None,
    seed: int | Sequence[int] = 0,
    start_from: FaceMotion | None = None,
    identity: np.ndarray | None = None,
    best_of: int = 1,
    score: Score | None = None,
) -> list[list[FaceMotion]]:
    """The motions that prompts ask for: `samples` of each.

    lm, codec: None for those of tdmm itself. seconds: how long, None: as the model thinks. sampling: None for the
    model's own. seed: of all draws, one for all prompts or one for each. start_from: a motion that goes on as the
    prompt says; what comes is all of it, at the codec's rate, and `seconds` are those that are added. identity:
    coefficients (S,) of the face, None: the average one, or that of start_from. best_of: so many are written for each
    motion, and the one that `score` likes best is given.

    Prompts of one call are written together and come out as they would one by one. Each motion has its prompt as
    `text`. Raises `LmError` for a prompt without words or one that is too long, for options that are out of range, and
    for a codec that is not the model's.
    """
    animator = Animator(lm, codec)
    found = animator.animate(
        prompts,
        seconds=seconds,
        samples=samples,
        sampling=sampling,
        seed=seed,
        start_from=start_from,
        identity=identity,
        best_of=best_of,
        score=score,
    )
    return [[one.motion for one in some] for some in found]


class Animated(NamedTuple):
    """A motion, and the tokens that were written of it; None where it was written in parts, or goes on from another."""

    motion: FaceMotion
    tokens: MotionTokens | None


class Animator:
    """A language model and its codec, ready to animate many times; see `animate`. decoder: None for the model's."""

    def __init__(
        self, lm: LanguageModel | None = None, codec: Codec | None = None, decoder: Decoder | None = None
    ) -> None:
        self.lm = load_language_model() if lm is None else lm
        self.codec = shipped_codec() if codec is None else codec
        check_codec(self.lm, self.codec)
        self._decoder = Decoder(self.lm) if decoder is None else decoder

    def animate(
        self,
        prompts: Sequence[str],
        *,
        seconds: float | None = None,
        samples: int = 1,
        sampling: Sampling | None = None,
        seed: int | Sequence[int] = 0,
        start_from: FaceMotion | None = None,
        identity: np.ndarray | None = None,
        best_of: int = 1,
        score: Score | None = None,
    ) -> list[list[Animated]]:
        """See the function `animate`; here the motions come with their tokens."""
        for name, value in (("samples", samples), ("best_of", best_of)):
            if value < 1:
                raise LmError(f"{name}: expected at least 1, found {value}")
        sampling = sampling or self.sampling
        seeds = [int(seed)] * len(prompts) if isinstance(seed, (int, np.integer)) else list(seed)
        rows = []
        for prompt, own in zip(prompts, seeds, strict=True):
            first = self._row(prompt, seconds, sampling, own, start_from, identity)
            rows += [first.sample(number) for number in range(samples * best_of)]
        while going := [row for row in rows if row.parts]:
            self._write(going, sampling)
        if best_of > 1:
            values = (score or self.read_back)([row.text for row in rows], [row.motion for row in rows])
            best = np.asarray(values, np.float64).reshape(-1, best_of).argmax(1) + best_of * np.arange(
                len(rows) // best_of
            )
            rows = [rows[one] for one in best.tolist()]
        found = [row.animated() for row in rows]
        return [found[start : start + samples] for start in range(0, len(found), samples)]

    def read_back(self, texts: Sequence[str], motions: Sequence[FaceMotion]) -> list[float]:
        """How likely the language model finds it, log-likelihood, to read each text out of its motion (of a long one
        out of its beginning): what describes motions judges what animates texts."""
        bound = self.lm.bound
        given, written = [], []
        for text, tokens in zip(texts, self.codec.encode_many(motions), strict=True):
            codes = tokens.codes[: self._longest(text)]
            said = instruction("describe", "short") if self.lm.instructed else ""
            given.append(describe_given(bound, codes, "short", said))
            written.append(text_written(bound, text)[:-1])
        return self._decoder.likelihoods(given, written)

    def stream(
        self,
        prompt: str,
        *,
        seconds: float | None = None,
        sampling: Sampling | None = None,
        seed: int = 0,
        start_from: FaceMotion | None = None,
        identity: np.ndarray | None = None,
    ) -> Iterator[FaceMotion]:
        """The motion of one prompt in pieces, each as soon as it is known; joined they are what `animate` gives."""
        sampling = sampling or self.sampling
        row = self._row(prompt, seconds, sampling, seed, start_from, identity)
        if row.done is not None:
            yield row.done
        while row.parts:
            (asked,) = self._asked([row])
            pieces = []
            for piece in self._pieces(asked, sampling):
                yield piece
                pieces.append(piece)
            row.add(concatenate(pieces))

    @property
    def sampling(self) -> Sampling:
        """How the model likes to be sampled."""
        known = asdict(Sampling())
        return Sampling(**{name: value for name, value in self.lm.facts.get("sampling", {}).items() if name in known})

    def prompt_problem(self, prompt: str) -> str | None:
        """Why a prompt cannot be animated; None: it can."""
        try:
            self._longest(cleaned(prompt))
        except LmError as error:
            return str(error)
        return None

    # -- what is asked for -------------------------------------------------------------------------------

    def _row(
        self,
        prompt: str,
        seconds: float | None,
        sampling: Sampling,
        seed: int,
        start_from: FaceMotion | None,
        identity: np.ndarray | None,
    ) -> _Row:
        fps, stride = self.codec.config.fps, self.codec.config.stride
        prompt = cleaned(prompt)
        if seconds is not None and not 0 < seconds <= MOST_SECONDS:
            raise LmError(f"seconds: expected more than 0 and at most {MOST_SECONDS:g}, found {seconds:g}")
        start = None if start_from is None else self._start(start_from, identity)
        text, before = prompt, None if start is None else ""
        if start is not None and start.text.strip():
            text = f"{start.text.rstrip(' .,;')}, then {prompt}"
        longest = self._longest(prompt)
        context = min(round(CONTEXT * fps / stride), longest // 2) * stride
        if start is not None and len(start) <= context:
            # All that its text tells of is seen, and need not be done again.
            before, longest = start.text, self._longest(text)
            context = min(context, longest // 2 * stride)
        frames = None if seconds is None else max(round(seconds * fps), 1)
        parts = parts_of(prompt, frames, longest=longest * stride, context=context, stride=stride, before=before)
        told = {
            "model": self.lm.fingerprint,
            "codec": self.codec.fingerprint,
            "seed": seed,
            "sample": 0,
            **asdict(sampling),
        }
        return _Row(
            text=text,
            seed=seed,
            parts=parts,
            longest=longest,
            context=context,
            stride=stride,
            shape=np.zeros(0, np.float32) if identity is None else np.asarray(identity, np.float32),
            meta={"tdmm": tdmm.__version__, "animate": told},
            done=None if start is None else replace(start, text=text),
        )

    def _start(self, motion: FaceMotion, identity: np.ndarray | None) -> FaceMotion:
        """A motion that goes on: at the codec's rate, with the expressions that it codes."""
        columns = self.codec.columns
        motion = motion.resample(self.codec.config.fps)
        coded = columns.of(motion)[:, : len(columns.expression_names)]
        return replace(
            motion,
            expression=coded,
            expression_names=columns.expression_names,
            expression_confidence=None,
            # As tokens tell it.
            shape=np.trim_zeros(motion.shape if identity is None else np.asarray(identity, np.float32), "b"),
        )

    def _longest(self, prompt: str) -> int:
        """Steps that the model reads and writes at once with a prompt. Raises `LmError` where none are left."""
        bound = self.lm.bound
        tokens = len(bound.text_ids(prompt))
        if tokens > MOST_PROMPT:
            raise LmError(_too_long(prompt, f"it has {tokens} tokens, of which {MOST_PROMPT} are read at most"))
        trained = self.lm.facts.get("longest_steps")
        steps = min(bound.vocabulary.longest, trained or bound.vocabulary.longest)
        room = self.lm.longest
        if room is not None:
            said = len(bound.text_ids(instruction("continue"))) if self.lm.instructed else 0
            steps = min(steps, (room - tokens - said - _ROOM) // bound.vocabulary.width)
        if steps < 2:
            raise LmError(_too_long(prompt, f"beside its {tokens} tokens the language model has no room for a motion"))
        return steps

    def _asked(self, rows: Sequence[_Row]) -> list[_Asked]:
        """The next part of each row."""
        going_on = [row for row in rows if row.done is not None]
        contexts = dict(zip(map(id, going_on), self.codec.encode_many([row.seen for row in going_on]), strict=True))
        return [self._ask(row, contexts.get(id(row))) for row in rows]

    def _ask(self, row: _Row, context: MotionTokens | None) -> _Asked:
        bound, config = self.lm.bound, self.codec.config
        text, frames = row.parts[0].text, row.parts[0].frames
        said = instruction("animate" if context is None else "continue") if self.lm.instructed else ""
        if context is None:
            before = np.zeros((0, len(config.sizes)), np.int64)
            given = partial(animate_given, bound, instruction=said)
        else:
            before = context.codes
            given = partial(continue_given, bound, before=before, instruction=said)
        if frames is None:
            grammar = MotionGrammar(bound, longest=row.longest - len(before))
        else:
            grammar = MotionGrammar(bound, math.ceil(frames / config.stride))
        return _Asked(
            given(prompt=text), given(prompt=""), grammar, row.next_seed, frames, before, self._first(row), row.done
        )

    def _first(self, row: _Row) -> MotionTokens:
        """Tokens of no frames that tell pose, identity, camera and time of the first one that is decoded."""
        columns, config = self.codec.columns, self.codec.config
        if row.done is None:
            rotation, translation = np.zeros(3, np.float32), np.asarray(DEFAULT_TRANSLATION, np.float32)
            camera, image_size, start = default_camera(), DEFAULT_IMAGE_SIZE, 0.0
        else:
            seen = row.seen
            rotation, translation = first_pose(seen)
            camera, image_size = seen.camera, seen.image_size
            # A last step that is not whole is filled up in front of the frames that are new.
            filled = math.ceil(len(seen) / config.stride) * config.stride
            start = float(seen.timestamps[-1]) - (filled - 1) / config.fps
        return MotionTokens(
            codec=self.codec.fingerprint,
            face_model=columns.face_model,
            face_model_sha256=columns.face_model_sha256,
            fps=config.fps,
            frames=0,
            stride=config.stride,
            codes=np.zeros((0, len(config.sizes)), np.int64),
            streams=config.streams,
            sizes=config.sizes,
            rotation=rotation,
            translation=translation,
            shape=row.shape if row.done is None else row.done.shape,
            camera=camera,
            image_size=image_size,
            start=start,
            text=row.text,
            meta=row.meta,
            part=0,
        )

    # -- what comes --------------------------------------------------------------------------------------

    def _write(self, rows: Sequence[_Row], sampling: Sampling) -> None:
        """The next part of each row, all together."""
        asked = self._asked(rows)
        written = self._decoder.write(
            [one.given for one in asked],
            [one.grammar for one in asked],
            sampling,
            [one.seed for one in asked],
            unprompted=[one.unprompted for one in asked] if sampling.guided else None,
        )
        tokens = []
        for one, ids in zip(asked, written, strict=True):
            codes = np.concatenate([one.before, self.lm.bound.parse_written(ids)])
            frames = len(codes) * self.codec.config.stride
            tokens.append(replace(one.first, codes=codes, frames=frames, part=None))
        for row, one, whole, motion in zip(rows, asked, tokens, self.codec.decode_many(tokens), strict=True):
            row.add(concatenate(list(one.new([motion], self.codec))))
            if row.written == 1 and one.done is None:
                frames = len(row.motion)
                row.tokens = replace(whole, frames=frames, codes=whole.codes[: math.ceil(frames / whole.stride)])

    def _pieces(self, asked: _Asked, sampling: Sampling) -> Iterator[FaceMotion]:
        """The frames of a part, while it is written."""
        return asked.new(self._decoded(asked, sampling), self.codec)

    def _decoded(self, asked: _Asked, sampling: Sampling) -> Iterator[FaceMotion]:
        """What is read and what is written of a part, in pieces."""
        bound, decoder = self.lm.bound, StreamDecoder(self.codec, asked.first)
        if len(asked.before) and (piece := decoder.push(asked.before)) is not None:
            yield piece
        unprompted = asked.unprompted if sampling.guided else None
        ids: list[int] = []
        width = bound.vocabulary.width
        for number in self._decoder.steps(asked.given, asked.grammar, sampling, asked.seed, unprompted=unprompted):
            ids.append(number)
            codes = len(ids) - 2
            # Behind the last code there are two more tokens.
            if codes > 0 and codes % width == 0 and len(ids) <= asked.grammar.tokens_of(ids[0]) - 2:
                piece = decoder.push(bound.parse(ids[-width:], len(ids) - width))
                if piece is not None:
                    yield piece
        bound.parse_written(ids)
        if (piece := decoder.finish()) is not None:
            yield piece


@dataclass
class _Row:
    """One motion that is being made.

    parts: those that are still to come. longest: steps that the model reads and writes at once; context: frames of them
    that it reads at most; stride: frames a step. done: what is there; last: frames of the part that came last; number:
    of the sample; written: how many parts; tokens: of the first part, if it begins the motion.
    """

    text: str
    seed: int
    parts: list[Part]
    longest: int
    context: int
    stride: int
    shape: np.ndarray
    meta: dict[str, Any]
    done: FaceMotion | None = None
    last: int | None = None
    number: int = 0
    written: int = 0
    tokens: MotionTokens | None = None

    def __post_init__(self) -> None:
        if self.done is not None:
            self.done = replace(self.done, meta=self.meta)

    def sample(self, number: int) -> _Row:
        """The same asked for, drawn anew."""
        told = {**self.meta["animate"], "sample": number}
        return replace(self, number=number, parts=list(self.parts), meta={**self.meta, "animate": told})

    @property
    def motion(self) -> FaceMotion:
        assert self.done is not None
        return self.done

    def animated(self) -> Animated:
        return Animated(self.motion, self.tokens if self.written == 1 else None)

    @property
    def seen(self) -> FaceMotion:
        """What the model reads where it goes on: whole steps, not more than the part that came last."""
        done, stride = self.motion, self.stride
        count = min(self.context, len(done) if self.last is None else self.last)
        return done[-(count // stride * stride or count) :]

    @property
    def next_seed(self) -> int:
        """Of the next part; other prompts draw other numbers."""
        what = f"{self.seed}/{self.number}/{self.written}/{self.text}"
        return int.from_bytes(sha256(what.encode()).digest()[:8], "little")

    def add(self, part: FaceMotion) -> None:
        """The next part is there."""
        self.done = part if self.done is None else concatenate([self.done, part])
        self.last, self.written, self.parts = len(part), self.written + 1, self.parts[1:]


@dataclass(frozen=True)
class _Asked:
    """One part to write: what is given, with the prompt and without, and what is read back.

    frames: that are kept, None: all. before: (steps, Q) codes that are read. first: see `StreamDecoder`. done: what is
    there already.
    """

    given: list[int]
    unprompted: list[int]
    grammar: MotionGrammar
    seed: int
    frames: int | None
    before: np.ndarray
    first: MotionTokens
    done: FaceMotion | None

    def new(self, decoded: Iterable[FaceMotion], codec: Codec) -> Iterator[FaceMotion]:
        """The new frames of what is decoded, without those that were read, as they follow from what is there."""
        at = -len(self.before) * codec.config.stride
        again = None
        for piece in decoded:
            start, at = at, at + len(piece)
            if start <= -1 < at:
                again = piece[-1 - start : -start]
            first = max(-start, 0)
            last = len(piece) if self.frames is None else min(len(piece), self.frames - start)
            if first >= last:
                continue
            new = piece[first:last]
            if self.done is not None and again is not None:
                new = eased(new, self.done, again, start + first, bounded=codec.columns.bounded)
            yield new


def cleaned(prompt: str) -> str:
    """A prompt in one line, without what is no character of a text. Raises `LmError` where no word is left."""
    text = prompt.encode("utf-8", "replace").decode()
    text = " ".join("".join(" " if unicodedata.category(one) == "Cc" else one for one in text).split())
    if not text:
        raise LmError('an empty prompt: say what the face is to do, such as "smiles, then nods"')
    return text


def _too_long(prompt: str, why: str) -> str:
    words = len(prompt.split())
    several = "1 word" if words == 1 else f"{words} words"
    return f"the prompt {prompt[:30]!r}... of {several} is too long: {why}; shorten it, or make several of it"
