"""What `tdmm tokenize` says of its work: each failure as it comes, what was done at the end."""

from __future__ import annotations

import json
import math
import sys
from typing import TYPE_CHECKING, Any

import typer

from tdmm.cli.console import Console

if TYPE_CHECKING:
    from tdmm.io.tokens_file import MotionTokens
    from tdmm.motion import FaceMotion
    from tdmm.vq.codec import Codec

_FAILURES_TOLD = 20


class Tally:
    """Counts motions, frames and tokens. kept: what was there already; failures: ids and reasons."""

    def __init__(self, console: Console) -> None:
        self.motions = self.frames = self.tokens = self.kept = 0
        self.failures: list[tuple[str, str]] = []
        self._console, self._neck = console, False

    def add(self, tokens: MotionTokens) -> None:
        """A motion, or a part of one."""
        self.motions += tokens.part in (None, 0)
        self.frames += tokens.frames
        self.tokens += tokens.codes.size

    def fail(self, name: str, reason: str) -> None:
        """Tell it; of many the first ones."""
        self.failures.append((name, reason))
        if len(self.failures) <= _FAILURES_TOLD:
            self._console.error(reason)

    def look_at(self, motion: FaceMotion, name: str) -> None:
        """Say once what tokens cannot hold."""
        if not self._neck and motion.neck_pose.any():
            self._neck = True
            self._console.say(f"{name}: the pose of the neck is not coded and will be zero; the head's own is coded")

    def tell(self, codec: Codec, output: str, *, done: str, as_json: bool) -> None:
        """The last line, and --json. Raises `typer.Exit` where something failed."""
        config = codec.config
        if as_json:
            told: dict[str, Any] = {
                "output": output,
                "motions": self.motions,
                "there_before": self.kept,
                "frames": self.frames,
                "tokens": self.tokens,
                "codec": codec.fingerprint,
                "tokens_per_second": config.tokens_per_second,
                "bits_per_second": round(sum(map(math.log2, config.sizes)) * config.fps / config.stride, 3),
                "failures": [{"id": name, "error": reason} for name, reason in self.failures],
            }
            sys.stdout.write(json.dumps(told) + "\n")
        if len(self.failures) > _FAILURES_TOLD:
            self._console.error(f"{len(self.failures) - _FAILURES_TOLD} more failed (--json lists all)")
        if self.motions or self.kept:
            before = f", {self.kept} were there already" if self.kept else ""
            failed = f", {len(self.failures)} failed" if self.failures else ""
            self._console.say(
                f"{output}: {self.motions} motion{'' if self.motions == 1 else 's'} {done}{before}{failed}; "
                f"{self.frames} frames, {self.tokens} tokens"
            )
        if self.failures:
            raise typer.Exit(1)
