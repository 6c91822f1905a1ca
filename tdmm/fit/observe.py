"""The landmarks of one face in every frame of a video; decoding runs ahead while a frame is looked at."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from tdmm.errors import NoFaceError
from tdmm.fit.detect import LONGEST_SIDE, Detector
from tdmm.fit.scheme import scheme_of, visibility
from tdmm.io.video import VideoReader, open_video

Progress = Callable[[str, int, "int | None"], None]


@dataclass(frozen=True)
class Observations:
    """What was seen in T frames.

    points: (T, L, 2) float32 pixels of the video's own picture, of the frames that show a face; zeros elsewhere.
    score: (T,) float32 in 0..1; 0 where no face was seen. timestamps: (T,) float64 seconds.
    image_size: (H, W) pixels. name: the video. decode_seconds, detect_seconds: waiting for frames, looking at them.
    spread: pixels by which each coordinate strays at random about the model's own landmark, where the source knows
        that (made-up landmarks do); None: a detector, whose spread and bias the model's embedding tells.
    scheme: which landmarks these are (`tdmm.fit.scheme`). visible: (T, L) float32 in 0..1, how far each landmark was
        seen, 0 for one that is a filler; None: all of them, in the frames that show a face.
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


def observe(
    source: str | os.PathLike[str] | BinaryIO | VideoReader, detector: Detector, progress: Progress | None = None
) -> Observations:
    """Detect in all frames. Raises `NoFaceError` if no frame shows a face, `VideoError` for an unreadable video."""
    begun = time.perf_counter()
    reader = source if isinstance(source, VideoReader) else open_video(source, max_side=LONGEST_SIDE)
    detector.reset()
    points: list[np.ndarray | None] = []
    scores, timestamps = [], []
    detecting = 0.0
    with reader:
        info = reader.info
        for frame in reader:
            start = time.perf_counter()
            found = detector.detect(frame.image, frame.timestamp)
            detecting += time.perf_counter() - start
            points.append(found[0].points[:, :2] / info.scale if found else None)
            scores.append(found[0].score if found else 0.0)
            timestamps.append(frame.timestamp)
            if progress is not None:
                progress("detect", len(points), info.n_frames)
    seen = [each for each in points if each is not None]
    if not seen:
        many = f"any of its {len(points)} frames" if len(points) > 1 else "it"
        raise NoFaceError(f"{info.name}: no face was found in {many}; is a face in view, upright and not too small?")
    blank = np.zeros_like(seen[0])
    return Observations(
        points=np.stack([blank if each is None else each for each in points]).astype(np.float32),
        score=np.array(scores, np.float32),
        timestamps=np.array(timestamps, np.float64),
        fps=info.fps,
        image_size=(round(info.height / info.scale), round(info.width / info.scale)),
        name=info.name,
        decode_seconds=time.perf_counter() - begun - detecting,
        detect_seconds=detecting,
    )
