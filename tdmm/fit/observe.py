"""The landmarks of one face, or of several, in every frame of a video; decoding runs ahead of looking."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from tdmm.errors import NoFaceError
from tdmm.face.scheme import scheme_of, visibility
from tdmm.fit.detect import LONGEST_SIDE, Detector, Landmarks
from tdmm.fit.tracks import Piece, Tracks
from tdmm.io.video import VideoReader, open_video

if TYPE_CHECKING:
    from tdmm.fit.prior import Prediction
    from tdmm.fit.reader import PriorReader

Progress = Callable[[str, int, "int | None"], None]
OpenReader = Callable[[], "PriorReader"]


@dataclass(frozen=True)
class Observations:
    """What was seen in T frames.

    points: (T, L, 2) float32 pixels of the video's own picture, of the frames that show a face; zeros elsewhere.
    score: (T,) float32 in 0..1; 0 where no face was seen. timestamps: (T,) float64 seconds.
    image_size: (H, W) pixels. name: the video. decode_seconds, detect_seconds: waiting for frames, looking at them.
    spread: pixels by which each coordinate strays at random about the model's own landmark, where the source knows
        that (made-up landmarks do); None: a detector, whose spread and bias the model's embedding tells.
    scheme: which landmarks these are (`tdmm.face.scheme`). visible: (T, L) float32 in 0..1, how far each landmark was
        seen, 0 for one that is a filler; None: all of them, in the frames that show a face.
    prediction: what the trained network reads in the N frames that show the face; None: it was not asked.
    """

    points: np.ndarray
    score: np.ndarray
    timestamps: np.ndarray
    fps: float
    image_size: tuple[int, int]
    name: str
    decode_seconds: float
    detect_seconds: float
    spread: float | None = None
    scheme: str = "mediapipe478"
    visible: np.ndarray | None = None
    prediction: Prediction | None = None

    @property
    def seen(self) -> np.ndarray:
        """(T,) bool: the frames that show a face."""
        return self.score > 0

    def visibility(self) -> np.ndarray:
        """(N, L) float32 in 0..1 of the N seen frames: how far each landmark was seen rather than guessed."""
        guessed = visibility(self.points[self.seen], scheme_of(self.scheme))
        return guessed if self.visible is None else guessed * self.visible[self.seen]

    def seen_points(self) -> np.ndarray:
        """`points` with NaN for the landmarks that were not seen."""
        return self.points if self.visible is None else np.where(self.visible[..., None] > 0, self.points, np.nan)


@dataclass(frozen=True)
class Faces:
    """Several people in one video. people: each one's observations in all frames, the largest first.

    dropped: (first second, frames) of each track that was too short, or one too many.
    """

    people: list[Observations]
    dropped: list[tuple[float, int]]


def observe(
    source: str | os.PathLike[str] | BinaryIO | VideoReader,
    detector: Detector,
    progress: Progress | None = None,
    open_reader: OpenReader | None = None,
) -> Observations:
    """Detect in all frames, and follow the detector's first face. open_reader: opens a reader of the trained
    network, which is shown the frames while they are in memory.

    Raises `NoFaceError` if no frame shows a face, `VideoError` for an unreadable video.
    """
    whole = _Seen(open_reader)
    with closing(whole), _Looking(source, detector, progress) as looking:
        for number, image, faces in looking:
            if faces:
                whole.add(number, image, faces[0])
        if not whole.frames:
            raise looking.no_face()
        return looking.observations([whole])


def observe_all(
    source: str | os.PathLike[str] | BinaryIO | VideoReader,
    detector: Detector,
    most: int | None = None,
    progress: Progress | None = None,
    open_reader: OpenReader | None = None,
) -> Faces:
    """Detect in all frames and follow every face that the detector follows (`DetectorOptions.faces`).

    most: keep this many people, those that fill the most of the picture over time. Raises as `observe` does.
    """
    tracks = Tracks()
    seen: dict[Piece, _Seen] = {}
    with ExitStack() as stack, _Looking(source, detector, progress) as looking:
        for number, image, faces in looking:
            for face, piece in zip(faces, tracks.see(faces, looking.timestamps[-1]), strict=True):
                if piece not in seen:
                    seen[piece] = stack.enter_context(closing(_Seen(open_reader)))
                seen[piece].add(number, image, face)
        kept, dropped = tracks.join(most)
        if not kept:
            raise looking.no_face()
        return Faces(
            people=[looking.observations([seen[piece] for piece in track.pieces]) for track in kept],
            dropped=[(track.first_time, len(track)) for track in dropped],
        )


class _Seen:
    """What was seen of one face: points and score of its frames, and what the prior's reader keeps of them."""

    def __init__(self, open_reader: OpenReader | None) -> None:
        self.frames: list[int] = []
        self.points: list[np.ndarray] = []
        self.scores: list[float] = []
        self.reader = None if open_reader is None else open_reader()

    def add(self, number: int, image: np.ndarray, face: Landmarks) -> None:
        self.frames.append(number)
        self.points.append(np.array(face.points[:, :2], np.float32))
        self.scores.append(face.score)
        if self.reader is not None:
            self.reader.see(image, face.points)

    def close(self) -> None:
        if self.reader is not None:
            self.reader.close()


class _Looking:
    """One pass over a video: iterate for (number of the frame, image, faces); knows times and sizes afterwards."""

    def __init__(
        self,
        source: str | os.PathLike[str] | BinaryIO | VideoReader,
        detector: Detector,
        progress: Progress | None,
    ) -> None:
        self._begun = time.perf_counter()
        self._reader = source if isinstance(source, VideoReader) else open_video(source, max_side=LONGEST_SIDE)
        self._detector, self._progress = detector, progress
        self._detecting = self._looked = 0.0
        self.timestamps: list[float] = []

    def __enter__(self) -> _Looking:
        self._reader.__enter__()
        self._detector.reset()
        return self

    def __exit__(self, *error: Any) -> None:
        self._reader.__exit__(*error)

    def __iter__(self) -> Iterator[tuple[int, np.ndarray, list[Landmarks]]]:
        for number, frame in enumerate(self._reader):
            start = time.perf_counter()
            faces = self._detector.detect(frame.image, frame.timestamp)
            self.timestamps.append(frame.timestamp)
            yield number, frame.image, faces
            self._detecting += time.perf_counter() - start
            if self._progress is not None:
                self._progress("detect", number + 1, self._reader.info.n_frames)
        self._looked = time.perf_counter() - self._begun

    def no_face(self) -> NoFaceError:
        """What is raised when no frame shows a face."""
        many = f"any of its {len(self.timestamps)} frames" if len(self.timestamps) > 1 else "it"
        return NoFaceError(
            f"{self._reader.info.name}: no face was found in {many}; is a face in view, upright and not too small?"
        )

    def observations(self, pieces: Sequence[_Seen]) -> Observations:
        """Of the face that was seen in these pieces, which follow one another."""
        info = self._reader.info
        frames = np.concatenate([piece.frames for piece in pieces])
        n_points = len(pieces[0].points[0])
        points = np.zeros((len(self.timestamps), n_points, 2), np.float32)
        points[frames] = np.concatenate([piece.points for piece in pieces]) / info.scale
        score = np.zeros(len(self.timestamps), np.float32)
        score[frames] = np.concatenate([piece.scores for piece in pieces])
        timestamps = np.array(self.timestamps, np.float64)
        prediction = None
        readers = [piece.reader for piece in pieces if piece.reader is not None]
        if readers:
            for later in readers[1:]:
                readers[0].join(later)
            prediction = readers[0].predict(timestamps[frames], keep=score[frames] > 0)
        return Observations(
            points=points,
            score=score,
            timestamps=timestamps,
            fps=info.fps,
            image_size=(round(info.height / info.scale), round(info.width / info.scale)),
            name=info.name,
            decode_seconds=self._looked - self._detecting,
            detect_seconds=self._detecting,
            scheme=self._detector.scheme,
            prediction=prediction,
        )
