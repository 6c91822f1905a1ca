"""The ffmpeg program that imageio-ffmpeg brings along: where it is, what it can do, what it complains about."""

from __future__ import annotations

import functools
import re
import subprocess

from tdmm.errors import VideoError

# `-loglevel level+info` writes "[h264 @ 0x55] [error] Invalid NAL unit size", the part before the level is optional.
LOG_LINE = re.compile(r"^(?:\[[^\]]* @ 0x[0-9a-f]+\] )*\[(?P<level>\w+)\] (?P<text>.*)$")
_FRAMING = re.compile(
    r"^(Error opening (input|output) files?\b.*|Error opening input: .*|Conversion failed!|At least one output file.*"
    r"|Nothing was written.*|Task finished with error.*|Terminating thread.*|Error (submitting|sending|muxing).*"
    r"|Error writing trailer.*|Error closing file.*|Inner protocol failed.*|Last message repeated.*)$"
)
_OPENING = re.compile(r"^Error opening input: (?P<reason>.*)$")


@functools.cache
def ffmpeg_path() -> str:
    """Path of the ffmpeg program. Raises `VideoError` when this machine has none."""
    try:
        import imageio_ffmpeg  # here: what reads no video (training) runs on machines without it

        return imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError) as error:
        message = "no ffmpeg program found; install it again with: pip install --force-reinstall imageio-ffmpeg"
        raise VideoError(message) from error


@functools.cache
def ffmpeg_version() -> tuple[int, int]:
    """Version (major, minor) of that program; builds from a git snapshot without a number count as the newest."""
    answer = subprocess.run([ffmpeg_path(), "-version"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"ffmpeg version n?(\d+)\.(\d+)", answer)
    return (int(found[1]), int(found[2])) if found else (99, 0)


def keep_timestamps() -> list[str]:
    """The option that makes ffmpeg hand out every frame as it is timed, none doubled and none dropped."""
    return ["-fps_mode", "passthrough"] if ffmpeg_version() >= (5, 1) else ["-vsync", "passthrough"]


def reason(complaints: list[str]) -> str:
    """The line of ffmpeg's complaints that tells a person most.

    ffmpeg frames the cause ("moov atom not found") in general lines ("Error opening input files: ...").
    """
    telling = [line for line in complaints if not _FRAMING.match(line)]
    if telling:
        return telling[0].strip().rstrip(".")
    for line in complaints:
        if opening := _OPENING.match(line):
            return opening["reason"]
    return complaints[-1].strip() if complaints else "no reason given"
