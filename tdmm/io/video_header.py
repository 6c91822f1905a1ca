"""What ffmpeg tells of a video before and beside its pixels: size, rate, length, rotation, the time of each frame."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

_DURATION = re.compile(r"^  Duration: (\d+):(\d+):(\d+(?:\.\d+)?)")
_VIDEO_STREAM = re.compile(r"^\s+Stream #\d+:\d+.*: Video: ")
_PICTURE_SIZE = re.compile(r", (\d+)x(\d+)[, ]")
_ASPECT = re.compile(r"\[SAR (\d+):(\d+) ")
_AVERAGE_FPS = re.compile(r", (\d+(?:\.\d+)?k?) fps")
_ROTATION = re.compile(r"rotation of (-?\d+(?:\.\d+)?) degrees")
_TIME_BASE = re.compile(r"^config in time_base: (\d+)/(\d+), frame_rate: (\d+)/(\d+)")
FRAME = re.compile(r"^n: *\d+ pts: *(-?\d+|NOPTS) .* s:(\d+)x(\d+) ")


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
class Timed:
    """What showinfo said of one frame."""

    seconds: float | None
    width: int
    height: int


class Header:
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

    def timed(self, frame: re.Match[str]) -> Timed:
        """Timestamps from the exact integers: ffmpeg prints seconds with six digits only."""
        seconds = None if frame[1] == "NOPTS" else float(int(frame[1]) * self._time_base)
        return Timed(seconds, int(frame[2]), int(frame[3]))

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
