"""What `tdmm fit` tells: JSON lines on standard output, everything else on standard error, and a list of failures."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from tdmm.cli import paths
from tdmm.cli.console import Batch, Console
from tdmm.cli.fit_inputs import FitJob, Plan
from tdmm.engine import Event
from tdmm.errors import TdmmError, WorkerError
from tdmm.io.manifest import update_manifest
from tdmm.io.whole import whole_file

# In the folder of the motions: one line for each input that failed in the last run.
FAILURES = "failed.jsonl"
# The manifest of a corpus is written so often at most (seconds): a write takes time in the length of the manifest.
RECORD_SECONDS = 20.0


class Teller:
    """Is told what came of each video; tells the person, the program that reads the JSON, and the corpus."""

    def __init__(self, plan: Plan, console: Console, stdout: TextIO, *, as_json: bool) -> None:
        self._plan, self._console = plan, console
        self._json: TextIO | None = stdout if as_json else None
        self._started = self._recorded_at = time.monotonic()
        self._to_record: dict[str, dict[str, str]] = {}
        self.done, self.skipped = 0, 0
        self.failures: list[tuple[str, str]] = []
        self.batch: Batch | None = None

    def tell(self, event: Event[FitJob, dict[str, Any]]) -> None:
        """What came of one video."""
        job = event.item
        if event.state == "skipped":
            self.skipped += 1
            self._print({**_named(job), "output": job.target, "skipped": "already there"})
            self._record(job)
            return
        if event.error is not None:
            reason = str(event.error)
            if isinstance(event.error, WorkerError):  # knows of no video
                reason = f"{job.source}: {reason}"
            self.failures.append((job.source, reason))
            if self._plan.several:
                self._console.error(reason)
                self._print({**_named(job), "output": None, "error": reason})
        elif event.result is not None:
            self.done += 1
            self._print(event.result)
            for line in _summaries(event.result):
                self._console.say(line)
            self._record(job)
        if self.batch is not None:
            self.batch.advance(len(self.failures))

    def _record(self, job: FitJob) -> None:
        """The motion of a corpus' clip for its manifest, which is written now and then."""
        plan = self._plan
        if plan.manifest is None or plan.recorded is None or job.clip is None or plan.recorded[job.clip] is not None:
            return
        self._to_record[job.clip] = {"motion": str(Path(job.target).relative_to(plan.manifest.parent).as_posix())}
        if time.monotonic() - self._recorded_at > RECORD_SECONDS:
            self._recorded_at = time.monotonic()
            with suppress(TdmmError):  # somebody else's fault in it: tried again, and told at the end
                self.record()

    def record(self) -> None:
        """Write what is done into the manifest of the corpus."""
        if self._plan.manifest is not None:
            update_manifest(self._plan.manifest, self._to_record)
        self._to_record.clear()

    def close(self) -> None:
        """At the end, and when the run is given up: the list of failures beside the motions, and the manifest."""
        self._list_failures()
        self.record()

    def _list_failures(self) -> None:
        if self._plan.folder is None or not self._plan.folder.is_dir():
            return
        place = self._plan.folder / FAILURES
        if self.failures:
            with whole_file(place) as beside:
                lines = [json.dumps({"input": source, "error": reason}) for source, reason in self.failures]
                beside.write_text("\n".join(lines) + "\n", encoding="utf-8")
        else:
            place.unlink(missing_ok=True)

    def sum_up(self) -> None:
        """The last words on many videos; every failure with its reason."""
        total = self.done + self.skipped + len(self.failures)
        if self.done + len(self.failures) > 1:
            rate = f"{self.done} of {total} videos fitted in {time.monotonic() - self._started:.1f} s"
            self._console.say(rate + (f", {self.skipped} were there already" if self.skipped else ""))
        if self.failures:
            where = "" if self._plan.folder is None else f" (also in {self._plan.folder / FAILURES})"
            self._console.error(f"{len(self.failures)} of {total} videos failed{where}:")
            for _, reason in self.failures:
                self._console.complain(f"  {' '.join(reason.split())}")

    def _print(self, report: dict[str, Any]) -> None:
        if self._json is not None:
            self._json.write(json.dumps(report) + "\n")
            self._json.flush()


def _named(job: FitJob) -> dict[str, Any]:
    return {"input": job.source} if job.clip is None else {"input": job.source, "id": job.clip}


def _summaries(report: dict[str, Any]) -> list[str]:
    name = "standard input" if report["input"] == paths.STANDARD else Path(report["input"]).name
    lines = []
    for motion in report.get("motions", [report]):
        where = "" if motion["output"] == paths.STANDARD else f" -> {motion['output']}"
        speed = f", {motion['fps']:.0f} frames/s" if "fps" in motion else ""
        lines.append(
            f"{name}{where}: {motion['frames']} frames, {motion['valid']} with a face, "
            f"reprojection {motion['reprojection_percent']:.2f} % of the eye distance{speed}"
        )
        dropped = motion.get("faces", {}).get("dropped", [])
    if dropped:
        lines.append(f"{name}: {len(dropped)} more faces were seen too shortly, or are too many")
    return lines
