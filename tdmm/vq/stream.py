"""Motions that have no known end: coded and decoded piece by piece, to what they would be as a whole.

Encoder and decoder see a bounded way ahead and back, so that only these few steps are held, however long the motion
goes on. Delays: the encoder waits for `encoder_ahead` steps (`CodecConfig`), the decoder for `decoder_ahead` steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from tdmm.errors import MotionError, TokensError
from tdmm.io.tokens_file import MotionTokens, invalid_runs
from tdmm.motion import FaceMotion, concatenate
from tdmm.vq.codec import Codec
from tdmm.vq.columns import first_pose

# As `FaceMotion.resample` has them: seconds by which even timestamps may be off, and frames of slack at the end.
_EVENLY, _SLACK = 1e-6, 1e-6


class StreamEncoder:
    """Pieces of one motion in, parts of its tokens out: their codes together are those of the whole motion.

    id: of all parts. least: a part has so many steps or more, but for the last one. Pieces may have any rate, those of
    one motion the same; timestamps may have gaps.
    """

    def __init__(self, codec: Codec, id: str = "", least: int = 1) -> None:
        encoders = (codec.network.face.encoder, codec.network.head.encoder)
        self._past = max(network.past for network in encoders)
        self._ahead = max(network.ahead for network in encoders)
        self._codec, self._id, self._least = codec, id, max(least, 1)
        self._clock = _Resampler(codec.config.fps)
        self._face, self._head = torch.zeros(0), torch.zeros(0)  # what the encoders see of the frames that are held
        self._valid = np.zeros(0, bool)  # of the frames that no part has yet
        self._first: FaceMotion | None = None
        # Steps from the beginning on: the first one that is held, and the first one that has no code yet.
        self._begin = self._coded = 0
        self._part = 0

    @property
    def held(self) -> int:
        """How many frames are held."""
        return len(self._face) + self._clock.held

    def push(self, piece: FaceMotion) -> MotionTokens | None:
        """The next frames; the next part, as soon as there is one.

        Raises `MotionError` for a piece of another face model, rate, identity or camera than the first one, or one
        that does not begin after the last one ended.
        """
        self._codec.columns.of(piece)  # before anything is changed
        self._add(self._clock.push(piece))
        return self._next(last=False)

    def finish(self) -> MotionTokens:
        """The last part, which may be empty. Raises `MotionError` where no frame has come."""
        if self._first is None:
            raise MotionError("a motion of no frames has no tokens")
        self._add(self._clock.finish())
        part = self._next(last=True)
        assert part is not None
        return part

    def _add(self, motion: FaceMotion | None) -> None:
        """Frames at the codec's rate."""
        if motion is None:
            return
        if self._first is None:
            self._first = motion[:1]
        face, head = self._codec.inputs(motion, first_pose(self._first))
        self._face = torch.cat([self._face, face]) if len(self._face) else face
        self._head = torch.cat([self._head, head]) if len(self._head) else head
        self._valid = np.concatenate([self._valid, motion.valid])

    def _next(self, *, last: bool) -> MotionTokens | None:
        stride = self._codec.config.stride
        whole = len(self._face) // stride
        end = self._begin + (-(-len(self._face) // stride) if last else max(whole - self._ahead, 0))
        if self._first is None or (end - self._coded < self._least and not last):
            return None
        seen = len(self._face) if last else whole * stride
        codes = np.zeros((0, len(self._codec.config.sizes)), np.int64)
        if end > self._coded:
            codes = self._codec.codes_of([(self._face[:seen], self._head[:seen])])[0]
            codes = codes[self._coded - self._begin : end - self._begin]
        frames = len(self._valid) if last else len(codes) * stride
        one = self._codec.tokens(self._first, np.zeros((1, codes.shape[1]), np.int64), self._id)
        part = replace(
            one,
            codes=codes,
            frames=frames,
            start=one.start + self._coded * stride / one.fps,
            invalid=invalid_runs(self._valid[:frames]),
            part=self._part,
            last=last,
        )
        self._valid, self._coded, self._part = self._valid[frames:], end, self._part + 1
        # What later steps depend on is kept; a copy, for a view would hold all that came before.
        over = (max(self._coded - self._past, 0) - self._begin) * stride
        if over > 0:
            self._face, self._head = self._face[over:].clone(), self._head[over:].clone()
            self._begin += over // stride
        return part


class StreamDecoder:
    """Codes of one motion in, its frames out, as if it had been decoded as a whole.

    first: tokens that tell pose, identity, camera and time of the first frame, such as the first part; its own codes
    are to be pushed too. Raises `TokensError` for tokens of another codec.
    """

    def __init__(self, codec: Codec, first: MotionTokens) -> None:
        codec.check(first)
        decoders = (codec.network.face.decoder, codec.network.head.decoder)
        self._past = max(network.past for network in decoders)
        self._ahead = max(network.ahead for network in decoders)
        self._codec = codec
        none = np.zeros((0, len(codec.config.sizes)), np.int64)
        self._first = replace(first, codes=none, frames=0, invalid=(), part=0, last=True)
        self._codes = none  # of the steps that are held
        self._valid = np.zeros(0, bool)  # of the frames that are not decoded yet
        # Steps from the beginning on: the first one that is held, and the first one that is not decoded yet.
        self._begin = self._decoded = 0

    @property
    def held(self) -> int:
        """How many steps are held."""
        return len(self._codes)

    def push(self, codes: np.ndarray, valid: np.ndarray | None = None) -> FaceMotion | None:
        """The next codes (steps, Q); the frames that can be decoded now, if any.

        valid: (frames,) bool of their frames, which are fewer than their steps hold only at the end of the motion;
        None: all are valid. Raises `TokensError` for codes that the codebooks do not have.
        """
        stride = self._codec.config.stride
        given = replace(self._first, codes=codes, frames=len(codes) * stride if valid is None else len(valid)).codes
        if len(self._valid) % stride and len(given):
            raise TokensError("codes after the end of the motion: its last step was not whole")
        self._codes = np.concatenate([self._codes, given])
        more = np.ones(len(given) * stride, bool) if valid is None else np.asarray(valid, bool)
        self._valid = np.concatenate([self._valid, more])
        return self._next(self._begin + len(self._codes) - self._ahead)

    def finish(self) -> FaceMotion | None:
        """The frames that are left, if any."""
        return self._next(self._begin + len(self._codes))

    def _next(self, end: int) -> FaceMotion | None:
        """The frames of all steps before `end`."""
        stride, fps = self._codec.config.stride, self._first.fps
        frames = min((end - self._decoded) * stride, len(self._valid))
        if frames <= 0:
            return None
        face, head = self._codec.frames_of([self._codes])[0]
        start = (self._decoded - self._begin) * stride
        chosen = slice(start, start + frames)
        valid, self._valid = self._valid[:frames], self._valid[frames:]
        motion = replace(
            self._codec.motion(self._first, face[chosen], head[chosen]),
            valid=valid,
            confidence=valid.astype(np.float32),
            timestamps=self._first.start + np.arange(self._decoded * stride, self._decoded * stride + frames) / fps,
        )
        self._decoded = end
        over = max(self._decoded - self._past, 0) - self._begin
        if over > 0:
            self._codes = self._codes[over:].copy()
            self._begin += over
        return motion


def join_parts(parts: Sequence[MotionTokens]) -> MotionTokens:
    """The parts of one motion as one. The last one need not be there. Raises `TokensError` where one is missing."""
    for number, part in enumerate(parts):
        if part.part != number:
            raise TokensError(f"{part.id}: expected part {number} of this motion, found part {part.part}")
        if part.codec != parts[0].codec or part.sizes != parts[0].sizes:
            raise TokensError(f"{part.id}: part {number} is of another codec than the part before it")
    if not parts:
        raise TokensError("no parts to join: expected at least one")
    return replace(
        parts[0],
        codes=np.concatenate([part.codes for part in parts]),
        frames=sum(part.frames for part in parts),
        invalid=invalid_runs(np.concatenate([part.valid for part in parts])),
        part=None,
        last=True,
    )


class _Resampler:
    """Pieces at any rate in, frames at `fps` out: those of `FaceMotion.resample` of the whole."""

    def __init__(self, fps: float) -> None:
        self._fps = fps
        self._held: FaceMotion | None = None
        self._start, self._even = 0.0, True
        self._came = self._went = 0  # frames

    @property
    def held(self) -> int:
        return 0 if self._held is None else len(self._held)

    def push(self, piece: FaceMotion) -> FaceMotion | None:
        if self._held is None:
            self._start, self._even = float(piece.timestamps[0]), piece.fps == self._fps
            held = piece
        else:
            held = _joined(self._held, piece)
        even = self._start + np.arange(self._came, self._came + len(piece)) / self._fps
        self._came += len(piece)
        self._even = self._even and bool(np.abs(piece.timestamps - even).max() <= _EVENLY)
        if self._even:
            self._went = self._came
            self._held = piece[len(piece) - 1 :]
            return piece
        # A time beyond the last frame is known at the end only, or with the next frame.
        times = self._times(held)
        done = self._at(held, times[times <= held.timestamps[-1]])
        kept = np.searchsorted(held.timestamps, self._start + self._went / self._fps, side="right") - 1
        self._held = held[max(int(kept), 0) :]
        return done

    def finish(self) -> FaceMotion | None:
        if self._held is None or self._even:
            return None
        return self._at(self._held, self._times(self._held))

    def _times(self, held: FaceMotion) -> np.ndarray:
        count = int(np.floor((held.timestamps[-1] - self._start) * self._fps + _SLACK)) + 1
        return self._start + np.arange(self._went, count) / self._fps

    def _at(self, held: FaceMotion, times: np.ndarray) -> FaceMotion | None:
        self._went += len(times)
        return held.at(times, self._fps) if len(times) else None


def _joined(first: FaceMotion, then: FaceMotion) -> FaceMotion:
    """One after the other with the times that they have, gaps included."""
    if then.timestamps[0] <= first.timestamps[-1]:
        raise MotionError(
            f"timestamps: expected a piece that begins after {first.timestamps[-1]:g} s, found {then.timestamps[0]:g} s"
        )
    return replace(concatenate([first, then]), timestamps=np.concatenate([first.timestamps, then.timestamps]))
