"""`tdmm fit`: videos to motion files."""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tdmm.cli import face_models, paths
from tdmm.cli.console import Console
from tdmm.cli.options import (
    DebugOption,
    FaceModelOption,
    ForceOption,
    JsonOption,
    QuietOption,
    VerboseOption,
)
from tdmm.cli.usage import UsageError
from tdmm.engine import Event, run_over

if TYPE_CHECKING:
    from tdmm.face.model import FaceModel
    from tdmm.fit.detect import Detector
    from tdmm.motion import FaceMotion


def command(
    videos: Annotated[
        list[str], typer.Argument(metavar="VIDEO", help="Video files or pictures, globs, or - for standard input.")
    ],
    output: Annotated[
        str,
        typer.Option("--output", "-o", metavar="OUT.npz|DIR|-", help="Where the motion goes; - is stdout."),
    ] = "-",
    preview: Annotated[
        str | None,
        typer.Option(
            "--preview", metavar="OUT.mp4|DIR", help="Also draw the fitted head over the video (a folder for several)."
        ),
    ] = None,
    face_model: FaceModelOption = "builtin",
    force: ForceOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
    debug: DebugOption = False,
) -> None:
    """Fit a 3D head to the face in a video.

    Writes head pose, expression, gaze and identity of every frame as a motion file, which keeps the video's own
    frame rate and timestamps. Frames without a face are marked as not valid.

    With several videos -o is a folder; motions that are there already are kept, so that a long run can be stopped
    and started again. Exit code 1 when any video failed; the failures are listed.

    \b
    Examples:
      tdmm fit clip.mp4 -o motion.npz
      tdmm fit clip.mp4 -o motion.npz --preview overlay.mp4
      tdmm fit clips/*.mp4 -o motions/                        one motion a clip: motions/STEM.npz
      tdmm fit clip.mp4 | tdmm render - -o head.mp4
      cat clip.mp4 | tdmm fit - -o motion.npz --json | jq .reprojection_percent
      tdmm fit clip.mp4 -o motion.npz --face-model flame2023.pkl
    """
    console = Console(quiet=quiet, verbose=verbose)
    sources = paths.expand(videos)
    jobs = paths.plan_jobs(sources, output, ".npz")
    several = len(jobs) > 1
    to_stdout = jobs[0].target == paths.STANDARD
    if to_stdout:
        if as_json:
            raise UsageError("--json and the motion would both go to standard output: name a file with -o")
        paths.refuse_terminal()
    previews = _plan_previews(jobs, preview)
    there = _already_there(jobs, previews, into_folder=several or Path(output).is_dir(), force=force, console=console)
    work = _Work(face_model, console, jobs, previews)
    if len(there) < len(jobs):
        work.prepare()

    def tell(event: Event[paths.Job, dict[str, Any]]) -> None:
        if event.state == "skipped" and as_json:
            _print_json({"input": event.item.source, "output": event.item.target, "skipped": "already there"})
        elif event.error is not None and several:
            console.error(str(event.error))
            if as_json:
                _print_json({"input": event.item.source, "output": None, "error": str(event.error)})
        elif event.result is not None:
            if as_json:
                _print_json(event.result)
            console.say(_summary(event.result))

    outcome = run_over(jobs, work.fit, is_done=there.__contains__, on_event=tell)
    if outcome.failures:
        if not several:
            raise outcome.failures[0].error
        names = ", ".join(failure.item.source for failure in outcome.failures)
        console.error(f"{len(outcome.failures)} of {len(jobs)} videos failed: {names}")
        raise typer.Exit(1)


@dataclass
class _Work:
    """What is done to each video. Face model and detector are loaded once, before: their faults are no video's."""

    face_model: str
    console: Console
    jobs: list[paths.Job]
    previews: dict[str, str]
    model: FaceModel | None = None
    detector: Detector | None = None

    def prepare(self) -> None:
        """Load face model and detector."""
        from tdmm.fit.detect import open_detector

        self.detector = open_detector()
        self.model = face_models.load_for_fitting(self.face_model, self.console, self.detector)
        self.console.detail(f"face model {self.model.name}, detector {self.detector.name}")

    def fit(self, job: paths.Job) -> dict[str, Any]:
        """Fit one video, write its motion and its preview; the report of what was done."""
        from tdmm.fit import fit_video
        from tdmm.io.motion_file import write_motion

        started = time.perf_counter()
        source = paths.stdin_bytes() if job.source == paths.STANDARD else job.source
        preview = self.previews.get(job.target)
        with self.console.progress(self._label(job)) as progress:
            motion = fit_video(source, face_model=self.model, detector=self.detector, progress=progress)
            if job.target == paths.STANDARD:
                write_motion(motion, paths.stdout_bytes())
            else:
                write_motion(motion, Path(job.target))
            if preview is not None:
                self._preview(motion, job.source, preview)
        report = {"input": job.source, "output": job.target, "preview": preview, "duration": motion.duration}
        return {**report, **motion.meta["fit"], "wall_seconds": round(time.perf_counter() - started, 3)}

    def _label(self, job: paths.Job) -> str:
        name = _name(job.source)
        return f"[{self.jobs.index(job) + 1}/{len(self.jobs)}] {name}" if len(self.jobs) > 1 else name

    def _preview(self, motion: FaceMotion, source: str, target: str) -> None:
        from tdmm.io.video import write_video
        from tdmm.render import render_over

        with closing(render_over(motion, source, face_model=self.model)) as pictures:
            write_video(pictures, target, pictures.fps)


def _plan_previews(jobs: list[paths.Job], preview: str | None) -> dict[str, str]:
    """The preview's path by the motion's path."""
    if preview is None:
        return {}
    if preview == paths.STANDARD:
        raise UsageError("--preview needs a file or a folder; for a video on a pipe use: tdmm render --over VIDEO -o -")
    if any(job.source == paths.STANDARD for job in jobs):
        raise UsageError("--preview reads the video a second time, which standard input does not allow: name a file")
    planned = paths.plan_jobs([job.source for job in jobs], preview, ".mp4")
    return {job.target: plan.target for job, plan in zip(jobs, planned, strict=True)}


def _already_there(
    jobs: list[paths.Job], previews: dict[str, str], *, into_folder: bool, force: bool, console: Console
) -> set[paths.Job]:
    """The jobs that need not be done. A named file that is there is an error; in a folder it is work already done."""
    if not into_folder:
        for target in (jobs[0].target, *previews.values()):
            if target != paths.STANDARD:
                paths.check_place(target, force=force)
    if force or not into_folder:
        return set()

    def done(job: paths.Job) -> bool:
        return os.path.exists(job.target) and os.path.exists(previews.get(job.target, job.target))

    there = {job for job in jobs if done(job)}
    if there:
        console.say(f"{len(there)} of {len(jobs)} motions are already there (--force makes them again)")
    return there


def _name(source: str) -> str:
    return "standard input" if source == paths.STANDARD else Path(source).name


def _summary(report: dict[str, Any]) -> str:
    where = "" if report["output"] == paths.STANDARD else f" -> {report['output']}"
    return (
        f"{_name(report['input'])}{where}: {report['frames']} frames, {report['valid']} with a face, "
        f"reprojection {report['reprojection_percent']:.2f} % of the eye distance, {report['fps']:.0f} frames/s"
    )


def _print_json(report: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(report) + "\n")
    sys.stdout.flush()
