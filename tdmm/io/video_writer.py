"""Write frames as mp4, gif, png or a folder of numbered png files; as fragmented mp4 on a stream.

The encoder is an ffmpeg process that a thread feeds from a short queue, so that encoding overlaps with rendering.
"""

from __future__ import annotations

import collections
import contextlib
import itertools
import os
import queue
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from tdmm.errors import OutputError
from tdmm.io import ffmpeg
from tdmm.io.whole import whole_file, whole_folder

FORMATS = ("mp4", "gif", "png", "frames")
FRAME_NAME = "frame_%05d.png"
_QUEUED_FRAMES = 4
# Viewers play a gif whose frames last under 2 hundredths of a second at 10 frames per second.
_GIF_MOST_FPS = 50
_KEPT_COMPLAINTS = 50


def format_of(target: str | os.PathLike[str]) -> str:
    """The format that a name asks for by its ending: `mp4`, `gif`, `png`, or `frames` for a folder.

    A folder is a name that ends in a slash, has no ending, or is a folder already. Another ending raises `OutputError`.
    """
    name = os.fspath(target)
    suffix = Path(name).suffix.lower()
    if name.endswith(("/", os.sep)) or not suffix or Path(name).is_dir():
        return "frames"
    if suffix in (".mp4", ".gif", ".png"):
        return suffix[1:]
    raise OutputError(f"{name}: cannot write {suffix}; name a .mp4, .gif or .png file, or a folder such as frames/")


def write_video(
    frames: Iterable[np.ndarray],
    target: str | os.PathLike[str] | BinaryIO,
    fps: float,
    *,
    format: str | None = None,
    crf: int = 20,
    preset: str = "veryfast",
    threads: int = 0,
) -> int:
    """Write pictures (H, W, 3) uint8 RGB of one size at a constant rate; returns how many.

    target: a path, replaced when the new file is whole, or a binary stream, which gets a fragmented mp4 (or a gif
    or a png). format: one of `FORMATS`, by default from the path's ending, mp4 on a stream. crf, preset: of x264.
    threads: of the encoder, 0 lets it choose. In mp4 a picture of odd size gains a row or a column: its last one again.
    Raises `OutputError` when the target cannot be written or the encoder fails, `BrokenPipeError` when the reader of
    a stream has gone; nothing half-written is left in the place of a path.
    """
    named = isinstance(target, (str, os.PathLike))
    if format is None:
        format = format_of(target) if named else "mp4"  # type: ignore[arg-type]
    if format not in FORMATS:
        raise ValueError(f"format: expected one of {', '.join(FORMATS)}, found {format!r}")
    if not fps > 0:
        raise ValueError(f"fps: expected a positive number, found {fps}")
    pictures = _checked(iter(frames))
    try:
        first = next(pictures)
    except StopIteration:
        raise OutputError(f"nothing to write to {_name(target)}: there are no frames") from None
    pictures = itertools.chain([first], pictures)
    if format == "frames" and not named:
        raise OutputError("numbered frames need a folder; on a stream choose mp4 or gif")
    if not named:
        return _write_stream(pictures, target, fps, format, crf, preset, threads)  # type: ignore[arg-type]
    path = Path(target)  # type: ignore[arg-type]
    if path.exists() and not path.is_file() and not path.is_dir():  # a device or a named pipe
        with path.open("wb", buffering=0) as stream:
            return _write_stream(pictures, stream, fps, format, crf, preset, threads)
    if format == "frames":
        _check_replaceable(path)
        with whole_folder(path) as partial:
            return _encode(pictures, _FRAMES_OUT, FRAME_NAME, fps, str(path), folder=partial)
    with whole_file(path) as partial:
        if format == "png":
            return _write_still(pictures, partial, path)
        if format == "gif":
            return _write_gif(pictures, partial, fps, str(path))
        options = [*_h264(crf, preset, threads), "-movflags", "+faststart", "-f", "mp4"]
        return _encode(_even(pictures), options, f"file:{partial}", fps, str(path))


# -- formats -------------------------------------------------------------------------------------------

_FRAMES_OUT = ["-f", "image2", "-start_number", "0", "-c:v", "png", "-compression_level", "4"]
# Half a second a fragment: what reads the pipe sees the first frames soon.
_FRAGMENTS = ["-movflags", "frag_keyframe+empty_moov+default_base_moof", "-frag_duration", "500000", "-f", "mp4"]
# One palette for the whole, fitted to what moves; ordered dither keeps still parts still.
_GIF_FILTER = "[0:v]palettegen=stats_mode=diff[p];[1:v][p]paletteuse=dither=bayer:bayer_scale=4:diff_mode=rectangle"


def _h264(crf: int, preset: str, threads: int) -> list[str]:
    # BT.709 said and done: players guess the matrix of an untagged file by its size.
    colour = ["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv"]
    convert = ["-vf", "scale=out_color_matrix=bt709:out_range=tv", "-pix_fmt", "yuv420p"]
    return [*convert, *colour, "-c:v", "libx264", "-preset", preset, "-crf", str(crf), "-threads", str(threads)]


def _write_still(pictures: Iterator[np.ndarray], partial: Path, path: Path) -> int:
    first = next(pictures)
    if next(pictures, None) is not None:
        raise OutputError(f"{path} holds one picture and there are more; name a folder such as {path.with_suffix('')}/")
    Image.fromarray(first).save(partial, "PNG")
    return 1


def _write_gif(pictures: Iterator[np.ndarray], partial: Path, fps: float, name: str) -> int:
    """In two passes over a lossless copy: the palette needs all frames, and memory does not hold them."""
    with tempfile.TemporaryDirectory(prefix="tdmm-gif-") as folder:
        copy = Path(folder) / "lossless.mkv"
        lossless = ["-c:v", "libx264rgb", "-preset", "ultrafast", "-qp", "0", "-f", "matroska"]
        count = _encode(pictures, lossless, f"file:{copy}", fps, str(copy))
        rate = ["-r", f"{min(fps, _GIF_MOST_FPS):.6f}"]
        inputs = ["-i", f"file:{copy}", "-i", f"file:{copy}"]
        _run([*inputs, "-filter_complex", _GIF_FILTER, *rate, "-loop", "0", "-f", "gif", f"file:{partial}"], name)
    return count


def _write_stream(
    pictures: Iterator[np.ndarray], stream: BinaryIO, fps: float, format: str, crf: int, preset: str, threads: int
) -> int:
    name = _name(stream)
    if format == "mp4":
        with _explained(name):
            stream.flush()
        return _encode(_even(pictures), [*_h264(crf, preset, threads), *_FRAGMENTS], "pipe:1", fps, name, stream=stream)
    # gif and png are written at their end: make the file, then send it.
    with tempfile.TemporaryDirectory(prefix="tdmm-") as folder:
        whole = Path(folder) / f"whole.{format}"
        if format == "gif":
            count = _write_gif(pictures, whole, fps, name)
        else:
            count = _write_still(pictures, whole, Path("standard output.png"))
        with whole.open("rb") as source, _explained(name):
            while block := source.read(1 << 20):
                stream.write(block)
            stream.flush()
    return count


# -- the encoder's process -----------------------------------------------------------------------------


def _encode(
    pictures: Iterator[np.ndarray],
    options: list[str],
    address: str,
    fps: float,
    name: str,
    *,
    stream: BinaryIO | None = None,
    folder: Path | None = None,
) -> int:
    """Feed the pictures to an ffmpeg that writes to `address` (in `folder`), or on stdout to `stream`."""
    first = next(pictures)
    height, width = first.shape[:2]
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{fps:.9g}", "-i", "pipe:0"]
    command = [ffmpeg.ffmpeg_path(), "-hide_banner", "-nostats", "-loglevel", "level+warning", "-y"]
    descriptor = _descriptor(stream) if stream is not None else None
    out = subprocess.DEVNULL if stream is None else subprocess.PIPE if descriptor is None else descriptor
    # An interrupt before the block below watches over the process would leave it alive, to write its file once more.
    release = _hold_interrupts()
    try:
        process = subprocess.Popen(
            [*command, *source, *options, address],
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=subprocess.PIPE,
            start_new_session=True,
            cwd=folder,
        )
    except BaseException:
        release()
        raise
    complaints: collections.deque[str] = collections.deque(maxlen=_KEPT_COMPLAINTS)
    waiting: queue.Queue[np.ndarray | None] = queue.Queue(_QUEUED_FRAMES)
    stopped = threading.Event()  # nobody takes frames any more
    failed: list[BaseException] = []
    helpers = [
        threading.Thread(target=_collect, args=(process.stderr, complaints), daemon=True),
        threading.Thread(target=_feed, args=(waiting, process.stdin, stopped), daemon=True),
    ]
    if descriptor is None and stream is not None:
        helpers.append(threading.Thread(target=_drain, args=(process.stdout, stream, failed), daemon=True))
    for helper in helpers:
        helper.start()
    count = 0
    try:
        release()
        for picture in itertools.chain([first], pictures):
            if not _put(waiting, picture, stopped):
                break
            count += 1
        _put(waiting, None, stopped)
        status = process.wait()
    except BaseException:
        process.kill()
        raise
    finally:
        stopped.set()
        process.wait()
        for helper in helpers:
            helper.join()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
    if failed:
        with _explained(name):
            raise failed[0]
    if status != 0:
        _raise_for(list(complaints), status, name)
    return count


def _run(options: list[str], name: str) -> None:
    """One ffmpeg run from files to a file."""
    command = [ffmpeg.ffmpeg_path(), "-hide_banner", "-nostdin", "-nostats", "-loglevel", "level+error", "-y", *options]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )
    if done.returncode != 0:
        _raise_for(_texts(done.stderr.splitlines()), done.returncode, name)


def _raise_for(complaints: list[str], status: int, name: str) -> None:
    if any("Broken pipe" in line for line in complaints):
        raise BrokenPipeError(32, f"the reader of {name} has gone")
    for line in complaints:
        for known in ("No space left on device", "Disk quota exceeded", "File too large", "Permission denied"):
            if known in line:
                raise OutputError(f"{name}: cannot be written: {known}")
    detail = ffmpeg.reason(complaints) if complaints else f"it ended with {status}"
    raise OutputError(f"{name}: cannot be written: the encoder failed: {detail}")


def _put(waiting: queue.Queue[np.ndarray | None], item: np.ndarray | None, stopped: threading.Event) -> bool:
    while not stopped.is_set():
        with contextlib.suppress(queue.Full):
            waiting.put(item, timeout=0.1)
            return True
    return False


def _feed(waiting: queue.Queue[np.ndarray | None], pipe: BinaryIO, stopped: threading.Event) -> None:
    try:
        while not stopped.is_set():
            try:
                item = waiting.get(timeout=0.1)
            except queue.Empty:
                continue
            if item is None:
                break
            pipe.write(np.ascontiguousarray(item).data.cast("B"))
        pipe.close()
    except (BrokenPipeError, ValueError):  # the encoder died: its exit status and its complaints say why
        pass
    finally:
        stopped.set()


def _collect(pipe: BinaryIO, complaints: collections.deque[str]) -> None:
    with contextlib.suppress(ValueError):
        for line in pipe:
            complaints.extend(_texts([line]))


def _drain(pipe: BinaryIO, stream: BinaryIO, failed: list[BaseException]) -> None:
    try:
        while block := pipe.read1(1 << 16):  # type: ignore[attr-defined]
            stream.write(block)
        stream.flush()
    except Exception as error:
        failed.append(error)
        pipe.close()  # the encoder ends at its next write


def _texts(lines: list[bytes]) -> list[str]:
    found = (ffmpeg.LOG_LINE.match(line.decode("utf-8", "replace").rstrip()) for line in lines)
    return [line["text"] for line in found if line is not None]


# -- pictures ------------------------------------------------------------------------------------------


def _checked(frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    shape: tuple[int, ...] | None = None
    for number, frame in enumerate(frames):
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape:
            raise ValueError(f"frame {number}: expected (H, W, 3) uint8, found {frame.shape} {frame.dtype}")
        if shape not in (None, frame.shape):
            raise ValueError(f"frame {number}: expected the first frame's shape {shape}, found {frame.shape}")
        shape = frame.shape
        yield frame


def _even(frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """yuv420p halves the colour in both directions: repeat the last row or column of an odd picture."""
    for frame in frames:
        height, width = frame.shape[:2]
        if height % 2 or width % 2:
            frame = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        yield frame


def _check_replaceable(folder: Path) -> None:
    """A folder is replaced as a whole: only one that holds nothing but such frames may be."""
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file; name a folder for the frames")
    if folder.is_dir():
        other = [entry for entry in folder.iterdir() if not _is_frame(entry.name)]
        if other:
            raise OutputError(f"{folder} holds other files ({other[0].name}); name an empty or a new folder")


def _is_frame(name: str) -> bool:
    start, end = FRAME_NAME.split("%05d")
    return name.startswith(start) and name.endswith(end) and name[len(start) : -len(end)].isdigit()


def _name(target: str | os.PathLike[str] | BinaryIO) -> str:
    if isinstance(target, (str, os.PathLike)):
        return os.fspath(target)
    name = getattr(target, "name", None)
    return "standard output" if name in ("<stdout>", 1) else name if isinstance(name, str) else "the stream"


def _descriptor(stream: BinaryIO) -> int | None:
    try:
        return stream.fileno()
    except (OSError, AttributeError):
        return None


@contextlib.contextmanager
def _explained(name: str) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"{name}: cannot be written: {error.strerror or error}") from error


def _hold_interrupts() -> Callable[[], None]:
    """Keep Ctrl-C back until the function that is returned is called, which then raises `KeyboardInterrupt`.

    Only the main thread receives it; in others nothing is done.
    """
    came: list[int] = []
    try:
        before = signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
    except ValueError:
        return lambda: None

    def release() -> None:
        signal.signal(signal.SIGINT, before)
        if came:
            raise KeyboardInterrupt

    return release
