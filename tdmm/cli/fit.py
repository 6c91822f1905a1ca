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

from tdmm.cli import paths
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
from tdmm.errors import TdmmError

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
    waiting = _waiting(jobs, previews, into_folder=several or Path(output).is_dir(), force=force, console=console)
    work = _Work(face_model, console)
    failures: list[tuple[str, str]] = []
    for number, job in enumerate(jobs, start=1):
        if job not in waiting:
            if as_json:
                _print_json({"input": job.source, "output": job.target, "skipped": "already there"})
            continue
        label = f"[{number}/{len(jobs)}] {_name(job.source)}" if several else _name(job.source)
        try:
            report = work.fit(job, label, previews.get(job.target))
        except TdmmError as error:
            if not several:
                raise
            failures.append((job.source, str(error)))
            console.error(str(error))
            if as_json:
                _print_json({"input": job.source, "output": None, "error": str(error)})
            continue
        if as_json:
            _print_json(report)
        console.say(_summary(report))
    if failures:
        names = ", ".join(name for name, _ in failures)
        console.error(f"{len(failures)} of {len(jobs)} videos failed: {names}")
        raise typer.Exit(1)


@dataclass
class _Work:
    """What all videos of one run share: face model and detector are loaded once, when first needed."""

    face_model: str
    console: Console
    model: FaceModel | None = None
    detector: Detector | None = None

    def fit(self, job: paths.Job, label: str, preview: str | None) -> dict[str, Any]:
        """Fit one video, write its motion and its preview; the report of what was done."""
        from tdmm.face import load_face_model
        from tdmm.fit import fit_video
        from tdmm.fit.detect import open_detector
        from tdmm.io.motion_file import write_motion

        started = time.perf_counter()
        if self.model is None:
            self.model = load_face_model(self.face_model)
            self.detector = open_detector()
            self.console.detail(f"face model {self.model.name}, detector {self.detector.name}")
        source = paths.stdin_bytes() if job.source == paths.STANDARD else job.source
        with self.console.progress(label) as progress:
            motion = fit_video(source, face_model=self.model, detector=self.detector, progress=progress)
            if job.target == paths.STANDARD:
                write_motion(motion, paths.stdout_bytes())
            else:
                write_motion(motion, Path(job.target))
            if preview is not None:
                self._preview(motion, job.source, preview)
        report = {"input": job.source, "output": job.target, "preview": preview, "duration": motion.duration}
        return {**report, **motion.meta["fit"], "wall_seconds": round(time.perf_counter() - started, 3)}

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


def _waiting(
    jobs: list[paths.Job], previews: dict[str, str], *, into_folder: bool, force: bool, console: Console
) -> list[paths.Job]:
    """The jobs still to do. A named file that is there is an error; in a folder it is work already done."""
    if not into_folder:
        for target in (jobs[0].target, *previews.values()):
            if target != paths.STANDARD:
                paths.check_place(target, force=force)
    if force or not into_folder:
        return jobs

    def done(job: paths.Job) -> bool:
        return os.path.exists(job.target) and os.path.exists(previews.get(job.target, job.target))

    waiting = [job for job in jobs if not done(job)]
    if len(waiting) < len(jobs):
        console.say(f"{len(jobs) - len(waiting)} of {len(jobs)} motions are already there (--force makes them again)")
    return waiting


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
