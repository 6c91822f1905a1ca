"""Whole clips: a head alone, over or beside a video, and several in a grid, with captions."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace

import numpy as np
from PIL import Image

from tdmm.errors import TdmmError
from tdmm.face.model import FaceModel
from tdmm.io.video import VideoFrame, VideoReader, open_video
from tdmm.motion import FaceMotion
from tdmm.render.clip import prepare
from tdmm.render.options import RenderOptions
from tdmm.render.pictures import Pictures
from tdmm.render.styles import STYLES
from tdmm.render.text import caption_strip

VideoSource = str | os.PathLike[str] | VideoReader
# Pixels between the cells of a grid.
GAP = 4


def render(
    motion: FaceMotion,
    *,
    face_model: FaceModel | None = None,
    options: RenderOptions | None = None,
    device: str = "cpu",
) -> Pictures:
    """A motion as pictures, one for each frame (of the motion resampled to `options.fps`, if given).

    face_model: None for the built-in head. device: `cpu`, or `cuda` to paint in batches on a GPU; the pictures are the
    same but for rounding. Raises `MotionError` if the motion belongs to another face model, `TdmmError` for an
    identity that the model cannot show, and `MissingPartError` for a device that cannot render.
    """
    options = options or RenderOptions()
    stage = prepare(motion, face_model, options, device=device)
    pictures = _with_caption(stage.pictures(), motion.text, options)
    return Pictures(pictures, stage.motion.fps, len(stage.motion))


def render_over(
    motion: FaceMotion,
    video: VideoSource,
    *,
    face_model: FaceModel | None = None,
    options: RenderOptions | None = None,
    device: str = "cpu",
) -> Pictures:
    """The head over the frames of a video, seen by the motion's own camera, with `options.opacity`.

    The pictures have the video's size, or `options.size` with the video fitted inside, and its rate, or
    `options.fps`. Each frame of the video is matched with the motion's nearest timestamp; a frame without a valid
    one shows no head. Raises `VideoError` for a video that cannot be read; otherwise as `render`.
    """
    options = replace(options or RenderOptions(), view="camera")
    reader = _open(video)
    rate = options.fps or reader.info.fps
    size = options.size or (reader.info.height, reader.info.width)
    stage = prepare(motion, face_model, replace(options, fps=None), size, device)

    def pictures() -> Iterator[np.ndarray]:
        with closing(reader):
            moments = ((_frame_at(motion, f.timestamp), fit_inside(f.image, size)) for f in at_rate(reader, rate))
            yield from stage.pictures(moments, options.opacity)

    return Pictures(_with_caption(pictures(), motion.text, options), rate, _length(reader, rate))


def render_beside(
    motion: FaceMotion,
    video: VideoSource,
    *,
    face_model: FaceModel | None = None,
    options: RenderOptions | None = None,
    device: str = "cpu",
) -> Pictures:
    """The video on the left, the head on the right, matched as in `render_over`.

    The head's picture has `options.size`; by default it is as high as the video, and square, or in the view
    `camera` of the video's own size. The video is scaled to the same height.
    """
    options = options or RenderOptions()
    reader = _open(video)
    rate = options.fps or reader.info.fps
    height, width = reader.info.height, reader.info.width
    size = options.size or (height, width if options.view == "camera" else height)
    video_size = (size[0], max(round(width * size[0] / height), 1))
    stage = prepare(motion, face_model, replace(options, fps=None), size, device)

    def pictures() -> Iterator[np.ndarray]:
        kept: list[np.ndarray] = []

        def moments() -> Iterator[tuple[int, None]]:
            for frame in at_rate(reader, rate):
                kept.append(fit_inside(frame.image, video_size))
                yield _frame_at(motion, frame.timestamp), None

        with closing(reader):
            for picture in stage.pictures(moments()):
                yield np.concatenate([kept.pop(0), picture], axis=1)

    return Pictures(_with_caption(pictures(), motion.text, options), rate, _length(reader, rate))


def render_grid(
    motions: Sequence[FaceMotion],
    labels: Sequence[str],
    *,
    face_model: FaceModel | None = None,
    options: RenderOptions | None = None,
    columns: int | None = None,
    device: str = "cpu",
) -> Pictures:
    """Several motions side by side, each with its label (and its text, with `options.caption`) below.

    All start together, at `options.fps` or the highest of their rates; those that end early stand still. `size` is
    that of one cell. columns: by default so many that the grid is about square, wider rather than higher.
    Raises `TdmmError` unless there is one label for each motion.
    """
    options = options or RenderOptions()
    if not motions or len(motions) != len(labels):
        raise TdmmError(f"a grid needs one label for each motion, found {len(motions)} motions, {len(labels)} labels")
    rate = options.fps or max(motion.fps for motion in motions)
    cell_size = options.size or (motions[0].image_size if options.view == "camera" else None)
    stages = [prepare(motion, face_model, replace(options, fps=rate), cell_size, device) for motion in motions]
    columns = columns or math.ceil(math.sqrt(len(motions)))
    n_frames = max(len(stage.motion) for stage in stages)
    texts = [
        f"{label}: {motion.text}" if options.caption and motion.text else label
        for label, motion in zip(labels, motions, strict=True)
    ]
    background = _background(options)
    height, width = stages[0].view.camera.image_size
    strips = [caption_strip(text, width, height, background) for text in texts]
    cell_height = height + max(len(strip) for strip in strips)
    rows = math.ceil(len(motions) / columns)
    empty = np.empty((rows * (cell_height + GAP) - GAP, columns * (width + GAP) - GAP, 3), np.uint8)
    empty[:] = background
    places = [((i // columns) * (cell_height + GAP), (i % columns) * (width + GAP)) for i in range(len(motions))]
    for (top, left), strip in zip(places, strips, strict=True):
        empty[top + height : top + height + len(strip), left : left + width] = strip

    def cells() -> Iterator[np.ndarray]:
        streams = [stage.pictures(_held(len(stage.motion), n_frames)) for stage in stages]
        for pictures in zip(*streams, strict=True):
            grid = empty.copy()
            for (top, left), picture in zip(places, pictures, strict=True):
                grid[top : top + height, left : left + width] = picture
            yield grid

    return Pictures(cells(), rate, n_frames)


# -- time ----------------------------------------------------------------------------------------------


def at_rate(frames: Iterator[VideoFrame], rate: float) -> Iterator[VideoFrame]:
    """The frames nearest to evenly spaced moments, `rate` a second, from the first frame on; some may repeat.

    The last frame lasts as long as the one before it.
    """
    current = next(frames)
    following = next(frames, None)
    start, lasts = current.timestamp, 1 / rate
    for number in range(1 << 62):
        moment = start + number / rate
        while following is not None and following.timestamp - moment <= moment - current.timestamp:
            lasts = following.timestamp - current.timestamp
            current, following = following, next(frames, None)
        if following is None and moment > current.timestamp + lasts - 0.5 / rate + 1e-9 and number > 0:
            return
        yield current


def _frame_at(motion: FaceMotion, moment: float) -> int:
    """The motion's frame nearest to a moment in seconds; -1 if it is not valid or more than a frame away."""
    right = int(np.searchsorted(motion.timestamps, moment))
    near = [i for i in (right - 1, right) if 0 <= i < len(motion)]
    frame = min(near, key=lambda i: abs(motion.timestamps[i] - moment))
    if abs(motion.timestamps[frame] - moment) > 1 / motion.fps or not motion.valid[frame]:
        return -1
    return frame


def _held(n_own: int, n_frames: int) -> Iterator[tuple[int, None]]:
    """The frames of a motion of n_own frames, the last one repeated up to n_frames; plain backgrounds."""
    return ((min(k, n_own - 1), None) for k in range(n_frames))


def _length(reader: VideoReader, rate: float) -> int | None:
    if reader.info.n_frames is None or not reader.info.fps:
        return None
    return max(round(reader.info.n_frames * rate / reader.info.fps), 1)


# -- pictures ------------------------------------------------------------------------------------------


def fit_inside(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A picture scaled evenly to fit into (H, W), centred on black: the twin of `Camera.fitted`."""
    if image.shape[:2] == tuple(size):
        return image
    scale = min(size[0] / image.shape[0], size[1] / image.shape[1])
    height, width = (max(round(side * scale), 1) for side in image.shape[:2])
    scaled = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))
    fitted = np.zeros((*size, 3), np.uint8)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    fitted[top : top + height, left : left + width] = scaled
    return fitted


def _with_caption(pictures: Iterator[np.ndarray], text: str, options: RenderOptions) -> Iterator[np.ndarray]:
    if not (options.caption and text.strip()):
        return pictures
    return _above_strip(pictures, text, _background(options))


def _above_strip(pictures: Iterator[np.ndarray], text: str, background: tuple[int, int, int]) -> Iterator[np.ndarray]:
    strip = None
    for picture in pictures:
        if strip is None:
            strip = caption_strip(text, picture.shape[1], picture.shape[0], background)
        yield np.concatenate([picture, strip])


def _background(options: RenderOptions) -> tuple[int, int, int]:
    return options.background or STYLES[options.style].background


def _open(video: VideoSource) -> VideoReader:
    return video if isinstance(video, VideoReader) else open_video(video)
