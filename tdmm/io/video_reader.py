"""Decode a video, a picture or a stream into RGB frames with their true timestamps.

One ffmpeg process a video. Its raw pixels come on stdout, its `showinfo` filter tells on stderr the size and the
timestamp of every frame; a thread each reads them, so that decoding overlaps with what the consumer does.
"""

from __future__ import annotations

import collections
import contextlib
import fcntl
import os
import queue
import re
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import IO, BinaryIO

import numpy as np

from tdmm.errors import VideoError
from tdmm.io import ffmpeg

_QUEUED_FRAMES = 8
_PIPE_BYTES = 1 << 20  # the most that Linux grants without asking; fewer, larger reads
_KEPT_COMPLAINTS = 50
# Two frames at one time happen in broken files; a motion needs increasing timestamps.
_SMALLEST_STEP = 1e-3

_DURATION = re.compile(r"^  Duration: (\d+):(\d+):(\d+(?:\.\d+)?)")
_VIDEO_STREAM = re.compile(r"^\s+Stream #\d+:\d+.*: Video: ")
_PICTURE_SIZE = re.compile(r", (\d+)x(\d+)[, ]")
_ASPECT = re.compile(r"\[SAR (\d+):(\d+) ")
_AVERAGE_FPS = re.compile(r", (\d+(?:\.\d+)?k?) fps")
_ROTATION = re.compile(r"rotation of (-?\d+(?:\.\d+)?) degrees")
_TIME_BASE = re.compile(r"^config in time_base: (\d+)/(\d+), frame_rate: (\d+)/(\d+)")
_FRAME = re.compile(r"^n: *\d+ pts: *(-?\d+|NOPTS) .* s:(\d+)x(\d+) ")
_CUT_SHORT = re.compile(r"partial file|ended prematurely|corrupt input packet", re.IGNORECASE)


@dataclass(frozen=True)
class VideoInfo:
    """What is known of a video once its first frame is decoded.

    width, height: pixels of the frames as they are handed out: upright, with square pixels, scaled.
    fps: average frames per second. n_frames: an estimate, None where the length is unknown (a stream).
    duration: seconds or None. rotation: degrees counter-clockwise by which the stored picture was turned upright.
    scale: frame pixels per pixel of the file's own picture; 1 unless `max_side` made it smaller.
    """

    width: int
    height: int
    fps: float
    n_frames: int | None
    duration: float | None
    rotation: float
    name: str
    scale: float = 1.0


@dataclass(frozen=True)
class VideoFrame:
    """One frame: its number from 0, its time in seconds, its picture (H, W, 3) uint8 RGB."""

    index: int
    timestamp: float
    image: np.ndarray


def open_video(source: str | os.PathLike[str] | BinaryIO, *, max_side: int | None = None) -> VideoReader:
    """Open a video file, a still picture (one frame) or a binary stream, and decode its first frame.

    max_side: make the frames smaller, if need be, so that neither side is longer than this many pixels.
    Raises `VideoError` with one line that names the file and ffmpeg's reason, here or while iterating (a file that
    ends too early).
    """
    return VideoReader(source, max_side=max_side)


class VideoReader:
    """An open video: `.info`, and an iterator over `VideoFrame`. A context manager; closing it early is fine.

    Timestamps come from the file (variable frame rates too) and increase strictly.
    """

    info: VideoInfo

    def __init__(self, source: str | os.PathLike[str] | BinaryIO, *, max_side: int | None = None) -> None:
        if max_side is not None and max_side < 1:
            raise ValueError("max_side: expected a positive number of pixels")
        self._stop = threading.Event()
        self._complaints: collections.deque[str] = collections.deque(maxlen=_KEPT_COMPLAINTS)
        self._header = _Header()
        self._timed: queue.SimpleQueue[_Timed | None] = queue.SimpleQueue()
        self._frames: queue.SimpleQueue[VideoFrame | Exception | None] = queue.SimpleQueue()
        self._room = threading.Semaphore(_QUEUED_FRAMES)
        self._threads: list[threading.Thread] = []
        self._first: VideoFrame | None = None
        self._ended = False
        self.name, self._process = _start(source, max_side, self._threads)
        for work in (self._read_log, self._read_pixels):
            thread = threading.Thread(target=work, name=f"video {self.name}", daemon=True)
            thread.start()
            self._threads.append(thread)
        try:
            self._first = self._next()
        except BaseException:
            self.close()
            raise
        if self._first is None:
            self.close()
            raise VideoError(f"{self.name} holds no video frame")
        self.info = self._header.info(self.name, self._first.image.shape[:2])

    def __iter__(self) -> Iterator[VideoFrame]:
        return self

    def __next__(self) -> VideoFrame:
        frame, self._first = self._first, None
        if frame is None:
            frame = self._next()
        if frame is None:
            self.close()
            raise StopIteration
        return frame

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop decoding and let go of the process and its threads; frames not yet taken are lost."""
        self._ended = True
        self._stop.set()
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._room.release()
        for thread in self._threads:
            # A feeding thread may sit in a read of somebody else's stream for as long as that gives nothing.
            thread.join(timeout=0.1 if thread.name.startswith("feed") else None)
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    # -- the consumer's side ----------------------------------------------------------------------

    def _next(self) -> VideoFrame | None:
        if self._ended:
            return None
        item = self._frames.get()
        if isinstance(item, VideoFrame):
            self._room.release()
            return item
        self._ended = True
        if item is not None:
            raise item
        return None

    # -- the threads' side ------------------------------------------------------------------------

    def _read_log(self) -> None:
        assert self._process.stderr is not None
        try:
            for raw in self._process.stderr:
                line = raw.decode("utf-8", "replace").rstrip("\r\n")
                found = ffmpeg.LOG_LINE.match(line)
                if found is None:
                    continue
                level, text = found["level"], found["text"]
                if level == "info":
                    if frame := _FRAME.match(text):
                        self._timed.put(self._header.timed(frame))
                    else:
                        self._header.read(text)
                elif level in ("error", "fatal", "panic") or _CUT_SHORT.search(text):
                    self._complaints.append(text)
        except ValueError:  # the pipe was closed under us
            pass
        finally:
            self._timed.put(None)

    def _read_pixels(self) -> None:
        try:
            self._frames.put(self._decode())
        except Exception as error:
            self._frames.put(error)  # raised where the frames are taken

    def _decode(self) -> VideoError | None:
        """Hand out all frames; the answer says how the video ended."""
        assert self._process.stdout is not None
        index, last, size = 0, -np.inf, None
        while (timed := self._timed.get()) is not None:
            if size not in (None, (timed.height, timed.width)):
                return VideoError(
                    f"{self.name} changes its picture size from {size[1]}x{size[0]} to {timed.width}x{timed.height} "  # type: ignore[index]
                    f"at frame {index}; make it uniform first with ffmpeg"
                )
            size = (timed.height, timed.width)
            image = np.empty((*size, 3), np.uint8)
            if not _read_into(self._process.stdout, image):
                break
            step = 1.0 / self._header.fps if timed.seconds is None else _SMALLEST_STEP
            wanted = -np.inf if timed.seconds is None else timed.seconds
            seconds = max(wanted, last + step) if index else (timed.seconds or 0.0)
            self._room.acquire()
            if self._stop.is_set():
                return None
            self._frames.put(VideoFrame(index, seconds, image))
            index, last = index + 1, seconds
        return self._verdict(index)

    def _verdict(self, n_frames: int) -> VideoError | None:
        status = self._process.wait()
        if self._stop.is_set():
            return None
        complaints = list(self._complaints)
        cut = [line for line in complaints if _CUT_SHORT.search(line)]
        if n_frames == 0 and not cut:
            if complaints and "matches no streams" in complaints[0]:
                what = "only sound or text" if self._header.has_streams else "it is empty or cut short"
                return VideoError(f"{self.name} holds no video: {what}")
            if complaints:
                return VideoError(f"cannot read {self.name} as a video: {ffmpeg.reason(complaints)}")
            if status != 0:
                return VideoError(f"cannot read {self.name} as a video: ffmpeg ended with {status}")
            return None
        if cut:
            return VideoError(
                f"{self.name} is cut short or damaged after {n_frames} frames: {ffmpeg.reason(cut[-1:])}; "
                f"copy it again, or keep the part that is whole with: ffmpeg -i IN -c copy OUT"
            )
        if status != 0:
            return VideoError(f"cannot read {self.name} to its end: {ffmpeg.reason(complaints)}")
        return None


# -- starting ffmpeg -----------------------------------------------------------------------------------


def _start(
    source: str | os.PathLike[str] | BinaryIO, max_side: int | None, threads: list[threading.Thread]
) -> tuple[str, subprocess.Popen[bytes]]:
    """The name of the source and an ffmpeg process that decodes it; a thread that feeds it is added to `threads`."""
    feed: BinaryIO | None = None
    stdin: int | BinaryIO = subprocess.DEVNULL
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        name = str(path)
        _check_file(path)
        if "%" in name:  # ffmpeg would take it for a numbered series of pictures
            address, stdin = "cache:pipe:0", path.open("rb")
        else:
            address = f"file:{path}"
    else:
        name = _stream_name(source)
        # cache: lets ffmpeg seek in a stream, which an mp4 with its index at the end needs.
        address = "cache:pipe:0"
        if _buffered(source) or _descriptor(source) is None:
            feed, stdin = source, subprocess.PIPE
        else:
            stdin = source
    size = "w='iw*sar':h=ih"
    if max_side is not None:
        size = f"w='min(iw*sar,{max_side})':h='min(ih,{max_side})':force_original_aspect_ratio=decrease"
    command = [ffmpeg.ffmpeg_path(), "-hide_banner", "-nostats", "-loglevel", "level+info"]
    command += [] if address.startswith("cache:") else ["-nostdin"]
    # Capital V leaves out the cover pictures of music files.
    command += ["-i", address, "-map", "0:V:0", "-vf", f"scale={size},format=rgb24,showinfo=checksum=0"]
    command += [*ffmpeg.keep_timestamps(), "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"]
    # A session of its own: Ctrl-C reaches this program, which then ends ffmpeg.
    process = subprocess.Popen(
        command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    if isinstance(stdin, int) is False and stdin is not source:
        stdin.close()  # type: ignore[union-attr]
    with contextlib.suppress(OSError, AttributeError):
        fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)  # type: ignore[arg-type]
    if feed is not None:
        thread = threading.Thread(target=_feed, args=(feed, process.stdin), name=f"feed {name}", daemon=True)
        thread.start()
        threads.append(thread)
    return name, process


def _check_file(path: Path) -> None:
    if not path.exists():
        raise VideoError(f"{path}: no such file")
    if path.is_dir():
        raise VideoError(f"{path} is a folder, not a video; name the files in it, for example {path}/*.mp4")
    if not os.access(path, os.R_OK):
        raise VideoError(f"{path}: not readable with your rights")
    if path.is_file() and path.stat().st_size == 0:
        raise VideoError(f"{path} is empty (0 bytes)")


def _stream_name(stream: BinaryIO) -> str:
    name = getattr(stream, "name", None)
    return "standard input" if name in ("<stdin>", 0) else name if isinstance(name, str) else "the stream"


def _descriptor(stream: BinaryIO) -> int | None:
    try:
        return stream.fileno()
    except (OSError, AttributeError):
        return None


def _buffered(stream: BinaryIO) -> bool:
    """Whether bytes were already taken from the descriptor into the stream's own buffer."""
    descriptor = _descriptor(stream)
    if descriptor is None:
        return True
    with contextlib.suppress(OSError):
        return stream.tell() != os.lseek(descriptor, 0, os.SEEK_CUR)
    return False  # a pipe cannot tell


def _feed(stream: BinaryIO, pipe: BinaryIO) -> None:
    with contextlib.suppress(BrokenPipeError, ValueError), pipe:
        while block := stream.read(1 << 16):
            pipe.write(block)


# -- reading what ffmpeg says ----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Timed:
    """What showinfo said of one frame."""

    seconds: float | None
    width: int
    height: int


class _Header:
    """What ffmpeg tells of the input before the first frame, gathered line by line."""

    def __init__(self) -> None:
        self._time_base = Fraction(1, 1)
        self._stated_fps: float | None = None
        self._link_fps: Fraction | None = None
        self._duration: float | None = None
        self._longer_side: float | None = None
        self._rotation = 0.0
        self._inside_video = self._past_video = self._past_input = False
        self.has_streams = False

    def read(self, text: str) -> None:
        if time := _TIME_BASE.match(text):
            self._time_base = Fraction(int(time[1]), max(int(time[2]), 1))
            if int(time[3]) > 0 and int(time[4]) > 0:
                self._link_fps = Fraction(int(time[3]), int(time[4]))
        elif text.startswith(("Stream mapping", "Output #")):
            self._past_input = True
        elif self._past_input:
            pass
        elif duration := _DURATION.match(text):
            self._duration = int(duration[1]) * 3600 + int(duration[2]) * 60 + float(duration[3])
        elif text.lstrip().startswith("Stream #"):
            self.has_streams = self.has_streams or bool(re.search(r": (Audio|Subtitle|Video): ", text))
            self._past_video = self._past_video or self._inside_video
            self._inside_video = (
                not self._past_video and bool(_VIDEO_STREAM.match(text)) and "(attached pic)" not in text
            )
            if self._inside_video:
                self._read_stream(text)
        elif self._inside_video and (turned := _ROTATION.search(text)):
            self._rotation = float(turned[1])

    def _read_stream(self, text: str) -> None:
        if size := _PICTURE_SIZE.search(text):
            aspect = _ASPECT.search(text)
            stretch = int(aspect[1]) / int(aspect[2]) if aspect and int(aspect[1]) and int(aspect[2]) else 1.0
            self._longer_side = max(int(size[1]) * stretch, int(size[2]))
        if rate := _AVERAGE_FPS.search(text):
            self._stated_fps = float(rate[1].rstrip("k")) * (1000 if rate[1].endswith("k") else 1) or None

    def timed(self, frame: re.Match[str]) -> _Timed:
        """Timestamps from the exact integers: ffmpeg prints seconds with six digits only."""
        seconds = None if frame[1] == "NOPTS" else float(int(frame[1]) * self._time_base)
        return _Timed(seconds, int(frame[2]), int(frame[3]))

    @property
    def fps(self) -> float:
        """The exact rate where it agrees with the stated average (two decimals), else that average."""
        stated, exact = self._stated_fps, self._link_fps
        if exact is not None and (stated is None or abs(float(exact) - stated) <= 0.01 * stated):
            return float(exact)
        return stated or 25.0

    def info(self, name: str, size: tuple[int, ...]) -> VideoInfo:
        height, width = size
        n_frames = None if self._duration is None else max(1, round(self._duration * self.fps))
        scale = 1.0 if self._longer_side is None else max(size) / self._longer_side
        # ffmpeg rounds odd aspect ratios to whole pixels: that is no scaling.
        scale = 1.0 if abs(max(size) - (self._longer_side or 0)) < 1 else scale
        return VideoInfo(width, height, self.fps, n_frames, self._duration, self._rotation, name, scale)


def _read_into(pipe: IO[bytes], image: np.ndarray) -> bool:
    """Fill the picture with the next bytes of the pipe; False when they end before it is full."""
    rest = memoryview(image.reshape(-1))  # type: ignore[arg-type]
    while len(rest):
        count = pipe.readinto(rest)  # type: ignore[attr-defined]
        if not count:
            return False
        rest = rest[count:]
    return True
