"""`tdmm fit`: videos to motion files."""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from tdmm.cli import fit_inputs, paths
from tdmm.cli.console import Console
from tdmm.cli.engines import (
    EngineChoice,
    EngineOption,
    RayAddressOption,
    choose_engine,
    count_of_workers,
)
from tdmm.cli.fit_inputs import FitJob, Plan
from tdmm.cli.fit_report import Teller
from tdmm.cli.fit_work import FitWork, added
from tdmm.cli.options import (
    DebugOption,
    DeviceChoice,
    DeviceOption,
    FaceModelOption,
    ForceOption,
    JsonOption,
    QuietOption,
    VerboseOption,
    choose_device,
)
from tdmm.cli.usage import UsageError
from tdmm.engine import LoadedOnce, in_sequence, run_over

# Measured: one process that fits a short clip takes 1.1 GB.
WORKER_BYTES = 1_250_000_000


def command(
    videos: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="VIDEO|FOLDER|CORPUS",
            help="Video files or pictures, globs, folders of videos, a corpus folder, or - for standard input.",
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="OUT.npz|DIR|-", help="Where the motion goes; - is stdout, the default."
        ),
    ] = None,
    preview: Annotated[
        str | None,
        typer.Option(
            "--preview", metavar="OUT.mp4|DIR", help="Also draw the fitted head over the video (a folder for several)."
        ),
    ] = None,
    face_model: FaceModelOption = "builtin",
    faces: Annotated[
        str,
        typer.Option(
            "--faces",
            metavar="largest|all|N",
            help="Whom to fit: the largest face, all, or the N largest. For all and N each gets a motion of its own: "
            "OUT-1.npz (the largest), OUT-2.npz, ...",
        ),
    ] = "largest",
    split: Annotated[
        float | None,
        typer.Option(
            "--split",
            metavar="SECONDS",
            help="Begin another motion where no face was seen for longer: OUT-1.npz, OUT-2.npz, ... With --faces: the "
            "second part of the first face is OUT-1-2.npz.",
            show_default="one motion, gaps bridged",
        ),
    ] = None,
    identity: Annotated[
        str | None,
        typer.Option(
            "--identity",
            metavar="FILE.npz",
            help="A motion of the same person, whose identity is taken over.",
            show_default="estimated",
        ),
    ] = None,
    focal: Annotated[
        float | None,
        typer.Option(
            "--focal", metavar="PIXELS", help="The camera's focal length, if you know it.", show_default="estimated"
        ),
    ] = None,
    no_prior: Annotated[
        bool, typer.Option("--no-prior", help="Fit landmarks alone, without the network that reads the pictures too.")
    ] = False,
    landmarks: Annotated[
        str | None,
        typer.Option(
            "--landmarks",
            metavar="FILE.npz",
            help="Fit landmarks that another detector found (iBUG 68, mediapipe 468 or 478) instead of a video.",
        ),
    ] = None,
    landmarker: Annotated[
        str | None,
        typer.Option(
            "--landmarker",
            metavar="FILE.task",
            help="Find faces by this face landmarker of mediapipe's Tasks API.",
            show_default="mediapipe's own",
        ),
    ] = None,
    workers: Annotated[
        str,
        typer.Option(
            "--workers",
            metavar="N|auto",
            help="Videos to fit at the same time, each in a process of its own; auto: one a core for several videos, "
            "as far as memory allows. "
            "With 1 no process is started.",
        ),
    ] = "auto",
    engine: EngineOption = EngineChoice.local,
    ray_address: RayAddressOption = None,
    device: DeviceOption = DeviceChoice.auto,
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
    and started again. A folder is searched for videos, with the folders in it. Of a corpus (a folder that holds
    manifest.jsonl or metadata.jsonl) every clip without a motion is fitted to motions/ID.npz there, which its manifest
    then names.
    Exit code 1 when any video failed; the failures are listed with their reasons, also in DIR/failed.jsonl.
    With --json one object an input and line.

    \b
    Examples:
      tdmm fit clip.mp4 -o motion.npz
      tdmm fit clip.mp4 -o motion.npz --preview overlay.mp4
      tdmm fit clip.mp4 | tdmm render - -o head.mp4
      cat clip.mp4 | tdmm fit - -o motion.npz --json | jq .reprojection_percent
      tdmm fit clips/*.mp4 -o motions/                        one motion a clip: motions/STEM.npz
      tdmm fit recordings/ -o motions/ --workers 8            all videos of a folder
      tdmm fit corpus/                                        what is missing of a corpus
      tdmm fit corpus/ --engine ray --ray-address 10.0.0.1:6379
      tdmm fit talk.mp4 -o talk.npz --faces 2                 two people: talk-1.npz, talk-2.npz
      tdmm fit long.mp4 -o long.npz --split 2                 parts between gaps of over 2 s: long-1.npz, ...
      tdmm fit more.mp4 -o more.npz --identity talk-1.npz     the first of them in another clip
      tdmm fit --landmarks points.npz -o motion.npz           from landmarks of another detector
      tdmm fit clip.mp4 -o motion.npz --face-model flame2023.pkl
    """
    console = Console(quiet=quiet, verbose=verbose)
    most = _faces(faces)
    if focal is not None and not 0 < focal < float("inf"):
        raise UsageError(f"--focal {focal:g}: expected a positive number of pixels")
    if split is not None and not 0 < split < float("inf"):
        raise UsageError(f"--split {split:g}: expected a positive number of seconds")
    if ray_address is not None and engine is not EngineChoice.ray:
        raise UsageError("--ray-address needs --engine ray")
    count = count_of_workers(workers)
    inputs = _inputs(videos, landmarks, landmarker, faces, preview)
    plan = fit_inputs.plan(inputs, output, preview)
    work = FitWork(
        face_model=face_model,
        faces=most,
        focal=focal,
        identity=identity,
        prior=not no_prior,
        landmarker=landmarker,
        landmarks=landmarks is not None,
        split=split,
        force=force,
        folder=os.getcwd() if engine is EngineChoice.ray else None,
        strict=debug or not plan.several,
        verbose=verbose,
    )
    _check_streams(plan, work, engine, as_json=as_json)
    there = _already_there(plan, work, force=force, console=console)
    stdout = sys.stdout
    teller = Teller(plan, console, stdout, as_json=as_json)
    waiting = len(plan.jobs) - len(there)
    if waiting:
        if plan.folder is not None:
            paths.check_folder(plan.folder)
        work = _chosen_device(work, device)
    run = partial(run_over, plan.jobs, is_done=there.__contains__, on_event=teller.tell)
    try:
        if not plan.several and engine is EngineChoice.local:
            job = plan.jobs[0]
            with console.progress(_name(job.source)) as progress:
                outcome = run(LoadedOnce(work.load, partial(FitWork.fit, work, progress=progress)))
        else:
            chosen = choose_engine(engine, ray_address, count, WORKER_BYTES, most=len(plan.jobs))
            if waiting and chosen is not in_sequence:
                _prepare(work)
            with console.batch(waiting, "fit") as teller.batch, redirect_stdout(sys.stderr):
                outcome = run(LoadedOnce(work.load, work.fit), engine=chosen)
    finally:
        teller.close()
    if outcome.failures and not plan.several:
        raise outcome.failures[0].error
    if plan.several:
        teller.sum_up()
    if outcome.failures:
        raise typer.Exit(1)


def _faces(faces: str) -> int | None:
    if faces in ("largest", "all"):
        return 1 if faces == "largest" else None
    if not faces.isdecimal() or int(faces) < 1:
        raise UsageError(f"--faces {faces}: expected largest, all, or a number of faces")
    return int(faces)


def _inputs(
    videos: list[str] | None, landmarks: str | None, landmarker: str | None, faces: str, preview: str | None
) -> list[str]:
    if landmarks is None:
        if not videos:
            raise UsageError("Missing argument VIDEO: name a video, a folder, or - for standard input")
        return videos
    for given, option in (
        (videos, "VIDEO"),
        (landmarker, "--landmarker"),
        (faces != "largest", "--faces"),
        (preview, "--preview"),
    ):
        if given:
            raise UsageError(f"--landmarks takes the place of a video: leave {option} out")
    if landmarks == paths.STANDARD or os.path.isdir(landmarks):
        raise UsageError(f"--landmarks {landmarks}: expected a file")
    return [landmarks]


def _check_streams(plan: Plan, work: FitWork, engine: EngineChoice, *, as_json: bool) -> None:
    """Raises `UsageError` where standard input and output cannot do what is asked."""
    first = plan.jobs[0]
    if first.target == paths.STANDARD:
        if as_json:
            raise UsageError("--json and the motion would both go to standard output: name a file with -o")
        if work.first:
            raise UsageError("standard output takes one motion, and there may be several: name a file with -o")
        if engine is EngineChoice.ray:
            raise UsageError("--engine ray cannot write to standard output: name a file with -o")
        paths.refuse_terminal()
    if any(job.source == paths.STANDARD for job in plan.jobs) and (plan.several or engine is EngineChoice.ray):
        raise UsageError("standard input (-) is one video: fit it by itself, on this machine")
    if plan.manifest is not None and work.first:
        option = "--faces" if work.faces != 1 else "--split"
        raise UsageError(f"{plan.manifest.parent} is a corpus, which holds one motion a clip: leave {option} out")


def _already_there(plan: Plan, work: FitWork, *, force: bool, console: Console) -> set[FitJob]:
    """The jobs that need not be done. A named file that is there is an error; in a folder it is work already done."""
    addition = work.first  # of several motions the first is written last
    if plan.folder is None:
        for place in (plan.jobs[0].target, plan.jobs[0].preview):
            if place is not None and place != paths.STANDARD:
                paths.check_place(added(place, addition), force=force)
        return set()
    if force:
        kept = {job for job in plan.jobs if job.clip in plan.performed}
        if kept:
            console.say(
                f"{len(kept)} clips have true motions, which are kept; fit their videos elsewhere: tdmm fit "
                f"{plan.folder.parent / 'videos'} -o DIR/"
            )
        return kept
    there = {
        job
        for job in plan.jobs
        if os.path.exists(added(job.target, addition))
        and (job.preview is None or os.path.exists(added(job.preview, addition)))
    }
    if there:
        console.say(f"{len(there)} of {len(plan.jobs)} motions are already there (--force makes them again)")
    return there


def _chosen_device(work: FitWork, device: DeviceChoice) -> FitWork:
    """Only the trained network computes elsewhere than on the CPU: without it torch need not be asked yet."""
    from dataclasses import replace

    if device is DeviceChoice.auto and not (work.prior and _has_prior()):
        return work
    return replace(work, device=choose_device(device))


def _has_prior() -> bool:
    import tdmm

    return (Path(tdmm.__file__).parent / "assets" / "fit_prior.safetensors").exists()


def _prepare(work: FitWork) -> None:
    """What takes long and is kept in the cache is made once, before several workers would each make it."""
    if work.face_model != "builtin":
        loaded = work.load()
        if loaded.detector is not None:
            loaded.detector.close()


def _name(source: str) -> str:
    return "standard input" if source == paths.STANDARD else Path(source).name
