"""Memory of a fit of a long video: ten minutes at 1920 x 1080. Takes minutes: runs only when it is named (--only)."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.table import Row
from tdmm.io.ffmpeg import ffmpeg_path

CLIPS = Path(os.environ.get("TDMM_CLIPS") or Path(__file__).resolve().parents[2] / "shared" / "clips")
SOURCE = CLIPS / "generated_blink.mp4"
MINUTES, FPS = 10, 25
# ru_maxrss is in kilobytes, on macOS in bytes. The decoder is a process of its own: a child.
_FIT = """
import resource, sys
from tdmm.fit import fit_video
motion = fit_video(sys.argv[1])
unit = 1 if sys.platform == "darwin" else 1024
own, child = (resource.getrusage(who).ru_maxrss * unit for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
print(len(motion), own, child, motion.meta["fit"]["fps"])
"""


def run() -> list[Row]:
    what = f"peak memory, {MINUTES} minutes of 1080p"
    if not SOURCE.exists():
        return [Row(what, None, "GB", 2.0, 1.0, higher_is_better=False, note=f"no {SOURCE}")]
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "long.mp4"
        subprocess.run(
            [
                *(
                    ffmpeg_path(),
                    "-loglevel",
                    "error",
                    "-stream_loop",
                    "-1",
                    "-i",
                    str(SOURCE),
                    "-t",
                    str(60 * MINUTES),
                ),
                *("-vf", "scale=1920:1056,pad=1920:1080:0:12", "-r", str(FPS), "-an"),
                *("-c:v", "libx264", "-preset", "ultrafast", "-crf", "28", str(video)),
            ],
            check=True,
        )
        answer = subprocess.run([sys.executable, "-c", _FIT, str(video)], check=True, capture_output=True, text=True)
    frames, own, child, fps = answer.stdout.split()
    note = f"{frames} frames at {fps} fps; the decoder's process {int(child) / 1e9:.2f} GB more"
    return [Row(what, int(own) / 1e9, "GB", 2.0, 1.0, higher_is_better=False, note=note)]


if __name__ == "__main__":
    for row in run():
        print(row)
