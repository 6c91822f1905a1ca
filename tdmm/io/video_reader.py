"""Decode a video, a picture or a stream into RGB frames with their true timestamps.

One ffmpeg process a video. Its raw pixels come on stdout, its `showinfo` filter tells on stderr the size and the
timestamp of every frame; a thread each reads them, so that decoding overlaps with what the consumer does.
"""

from __future__ import annotations

import atexit
import collections
import contextlib
import fcntl
import os
import queue
import re
import subprocess
import threading
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, BinaryIO

import numpy as np

from tdmm.errors import VideoError
from tdmm.io import ffmpeg
from tdmm.io.video_header import FRAME, Header, Timed, VideoInfo

_QUEUED_FRAMES = 8
_PIPE_BYTES = 1 << 20  # the most that Linux grants without asking; fewer, larger reads
_KEPT_COMPLAINTS = 50
# Two frames at one time happen in broken files; a motion needs increasing timestamps.
_SMALLEST_STEP = 1e-3

_CUT_SHORT = re.compile(r"partial file|ended prematurely|corrupt input packet", re.IGNORECASE)


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

    Timestamps come from the file (variable frame rates too) and increase strictly. A reader that is forgotten stops
    decoding, and one that is still open when the program ends is closed then.
    """

    info: VideoInfo

    def __init__(self, source: str | os.PathLike[str] | BinaryIO, *, max_side: int | None = None) -> None:
        if max_side is not None and max_side < 1:
            raise ValueError("max_side: expected a positive number of pixels")
        self._first: VideoFrame | None = None
        self._ended = False
        self._decoder = _Decoder(source, max_side)
        self.name = self._decoder.name
        # Collected at any moment, in any thread: no time to wait there.
        weakref.finalize(self, self._decoder.stop).atexit = False
        try:
            self._first = self._next()
        except BaseException:
            self.close()
            raise
        if self._first is None:
            self.close()
            raise VideoError(f"{self.name} holds no video frame")
        self.info = self._decoder.header.info(self.name, self._first.image.shape[:2])

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
        self._decoder.close()

    def _next(self) -> VideoFrame | None:
        if self._ended:
            return None
        item = self._decoder.take()
        if isinstance(item, VideoFrame):
            return item
        self._ended = True
        if item is not None:
            raise item
        return None


class _Decoder:
    """The ffmpeg process of a reader and the threads that empty its pipes.

    The threads hold this object and not the reader, so that a reader nobody knows any more can be collected. They
    must be gone before the interpreter takes itself apart: hence `atexit`, and pipes without Python's buffers, whose
    locks a thread that is stopped in a read would keep.
    """

    def __init__(self, source: str | os.PathLike[str] | BinaryIO, max_side: int | None) -> None:
        self.header = Header()
        self._stopped = False
        self._complaints: collections.deque[str] = collections.deque(maxlen=_KEPT_COMPLAINTS)
        # Queues and no locks: `stop` may be called by the collector while this very thread is in one of them.
        self._timed: queue.SimpleQueue[Timed | None] = queue.SimpleQueue()
        self._frames: queue.SimpleQueue[VideoFrame | Exception | None] = queue.SimpleQueue()
        self._room: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(_QUEUED_FRAMES):
            self._room.put(None)
        self._threads: list[threading.Thread] = []
        self.name, self.process = _start(source, max_side, self._threads)
        atexit.register(self.close)
        for work in (self._read_log, self._read_pixels):
            thread = threading.Thread(target=work, name=f"video {self.name}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def take(self) -> VideoFrame | Exception | None:
        """The next frame as soon as it is there; at the end the error, or None, again and again None after `stop`."""
        if self._stopped:
            return None
        item = self._frames.get()
        self._room.put(None)
        return item

    def stop(self) -> None:
        """End the process; the threads follow by themselves. Does not wait."""
        self._stopped = True
        if self.process.poll() is None:
            self.process.kill()
        self._room.put(None)

    def close(self) -> None:
        """Stop, and wait until process and threads are gone."""
        self.stop()
        self.process.wait()
        for thread in self._threads:
            if thread is not threading.current_thread():
                # A feeding thread may sit in a read of somebody else's stream for as long as that gives nothing.
                thread.join(timeout=0.1 if thread.name.startswith("feed") else None)
        atexit.unregister(self.close)

    # -- the threads' side ------------------------------------------------------------------------

    def _read_log(self) -> None:
        assert self.process.stderr is not None
        try:
            for line in _lines(self.process.stderr):
                found = ffmpeg.LOG_LINE.match(line)
                if found is None:
                    continue
                level, text = found["level"], found["text"]
                if level == "info":
                    if frame := FRAME.match(text):
                        self._timed.put(self.header.timed(frame))
                    else:
                        self.header.read(text)
                elif level in ("error", "fatal", "panic") or _CUT_SHORT.search(text):
                    self._complaints.append(text)
        finally:
            self._timed.put(None)
            self.process.stderr.close()

    def _read_pixels(self) -> None:
        assert self.process.stdout is not None
        try:
            self._frames.put(self._decode(self.process.stdout))
        except Exception as error:
            self._frames.put(error)  # raised where the frames are taken
        finally:
            self.process.stdout.close()
            self.process.wait()
            atexit.unregister(self.close)

    def _decode(self, pixels: IO[bytes]) -> VideoError | None:
        """Hand out all frames; the answer says how the video ended."""
        index, last = 0, -np.inf
        size: tuple[int, int] | None = None
        while (timed := self._timed.get()) is not None:
            if size is not None and size != (timed.height, timed.width):
                return VideoError(
                    f"{self.name} changes its picture size from {size[1]}x{size[0]} to {timed.width}x{timed.height} "
                    f"at frame {index}; make it uniform first with ffmpeg"
                )
            size = (timed.height, timed.width)
            image = np.empty((*size, 3), np.uint8)
            if not _read_into(pixels, image):
                break
            step = 1.0 / self.header.fps if timed.seconds is None else _SMALLEST_STEP
            wanted = -np.inf if timed.seconds is None else timed.seconds
            seconds = max(wanted, last + step) if index else (timed.seconds or 0.0)
            self._room.get()
            if self._stopped:
                return None
            self._frames.put(VideoFrame(index, seconds, image))
            index, last = index + 1, seconds
        return self._verdict(index)

    def _verdict(self, n_frames: int) -> VideoError | None:
        status = self.process.wait()
        if self._stopped:
            return None
        complaints = list(self._complaints)
        cut = [line for line in complaints if _CUT_SHORT.search(line)]
        if n_frames == 0 and not cut:
            if complaints and "matches no streams" in complaints[0]:
                what = "only sound or text" if self.header.has_streams else "it is empty or cut short"
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
        command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0, start_new_session=True
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
            rest = memoryview(block)
            while len(rest):  # a pipe without a buffer may take a part only
                rest = rest[pipe.write(rest) :]


def _lines(pipe: IO[bytes]) -> Iterator[str]:
    """The lines of a pipe without a buffer, as they come."""
    rest = b""
    while block := pipe.read(1 << 16):
        *whole, rest = (rest + block).split(b"\n")
        for line in whole:
            yield line.decode("utf-8", "replace").rstrip("\r")
    if rest:
        yield rest.decode("utf-8", "replace")


def _read_into(pipe: IO[bytes], image: np.ndarray) -> bool:
    """Fill the picture with the next bytes of the pipe; False when they end before it is full."""
    rest = memoryview(image.reshape(-1))  # type: ignore[arg-type]
    while len(rest):
        count = pipe.readinto(rest)  # type: ignore[attr-defined]
        if not count:
            return False
        rest = rest[count:]
    return True
