"""`tdmm render`: motions to pictures and videos."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tdmm.cli import face_models, paths
from tdmm.cli.console import Console, Progress
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
from tdmm.cli.render_options import FpsOption, SizeOption, StyleOption, View, ViewOption, render_options
from tdmm.cli.usage import UsageError

if TYPE_CHECKING:
    import numpy as np

    from tdmm.face.model import FaceModel
    from tdmm.motion import FaceMotion
    from tdmm.render import RenderOptions
    from tdmm.render.pictures import Pictures


def command(
    motions: Annotated[
        list[str], typer.Argument(metavar="MOTION", help="Motion files (.npz), globs, or - for standard input.")
    ],
    output: Annotated[
        str,
        typer.Option(
            "--output", "-o", metavar="OUT", help="OUT.mp4, OUT.gif, OUT.png, a folder FRAMES/, or - for mp4 on stdout."
        ),
    ] = "-",
    over: Annotated[
        str | None, typer.Option("--over", metavar="VIDEO", help="Draw the head over the video it was fitted to.")
    ] = None,
    beside: Annotated[
        str | None,
        typer.Option("--beside", metavar="VIDEO", help="Put the video on the left and the head on the right."),
    ] = None,
    opacity: Annotated[
        float | None,
        typer.Option("--opacity", metavar="0..1", help="With --over: how solid the head is.", show_default="0.85"),
    ] = None,
    style: StyleOption = None,
    view: ViewOption = None,
    size: SizeOption = None,
    fps: FpsOption = None,
    frame: Annotated[
        int | None, typer.Option("--frame", metavar="N", help="With OUT.png: which frame, from 0; else the middle one.")
    ] = None,
    identity: Annotated[
        str | None,
        typer.Option(
            "--identity",
            metavar="FILE|mean|random",
            help="Whose face: of another motion, the average one, or one drawn with --seed.",
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="With --identity random: which one.")] = None,
    face_model: FaceModelOption = "builtin",
    device: DeviceOption = DeviceChoice.auto,
    force: ForceOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
    debug: DebugOption = False,
) -> None:
    """Draw a motion as a 3D head.

    Makes a video, a gif, one picture, numbered frames, or an overlay on the source video.
    Several motions are drawn side by side in a grid with their names. A caption is drawn where the file has a text.

    \b
    Examples:
      tdmm render motion.npz -o head.mp4
      tdmm render motion.npz --over clip.mp4 --opacity 0.8 -o overlay.mp4
      tdmm render motion.npz --beside clip.mp4 -o both.mp4
      tdmm render motion.npz --style clay --view turntable --size 720 -o turn.gif
      tdmm render motion.npz --frame 40 -o still.png
      tdmm render motions/*.npz -o grid.mp4
      tdmm fit clip.mp4 | tdmm render - -o - | ffplay -
    """
    console = Console(quiet=quiet, verbose=verbose)
    sources = paths.expand(motions)
    _refuse_clashes(sources, output, over, beside, opacity, view, frame, identity, seed, as_json)
    if output == paths.STANDARD:
        paths.refuse_terminal()
    else:
        paths.refuse_same([*sources, *filter(None, (over, beside))], output)
        paths.check_place(output, force=force)

    from tdmm.io.video import format_of, write_video

    options = render_options(style=style, view=view, size=size, opacity=opacity, fps=fps, identity=identity, seed=seed)
    format = "mp4" if output == paths.STANDARD else format_of(output)
    started = time.perf_counter()
    loaded = [_read(source) for source in sources]
    model = face_models.load(face_model, console)
    for source, motion in zip(sources, loaded, strict=True):
        motion.check_face_model(model.name, model.sha256, _label([source]))
    with (
        _draw(loaded, sources, over, beside, model, options, choose_device(device)) as pictures,
        console.progress(_label(sources)) as progress,
    ):
        console.detail(f"face model {model.name}; {options}")
        target = paths.stdout_bytes() if output == paths.STANDARD else output
        total = pictures.n_frames
        drawn = _counted(pictures, progress, total)
        if format == "png":
            number = _chosen_frame(total or max(len(motion) for motion in loaded), frame)
            drawn = islice(drawn, number, number + 1)
        count = write_video(drawn, target, pictures.fps, format=format)
    seconds = time.perf_counter() - started
    if as_json:
        report = {"inputs": sources, "output": output, "format": format, "frames": count, "fps": pictures.fps}
        sys.stdout.write(json.dumps({**report, "wall_seconds": round(seconds, 3)}) + "\n")
    where = "" if output == paths.STANDARD else f" -> {output}"
    console.say(f"{_label(sources)}{where}: {count} frame{'' if count == 1 else 's'} in {seconds:.1f} s")


def _refuse_clashes(
    sources: list[str],
    output: str,
    over: str | None,
    beside: str | None,
    opacity: float | None,
    view: View | None,
    frame: int | None,
    identity: str | None,
    seed: int | None,
    as_json: bool,
) -> None:
    if over and beside:
        raise UsageError("--over and --beside exclude each other: choose one")
    if (over or beside) and len(sources) > 1:
        raise UsageError(f"--{'over' if over else 'beside'} takes one motion, and {len(sources)} are given")
    if opacity is not None and not over:
        raise UsageError("--opacity belongs to --over VIDEO")
    if opacity is not None and not 0 <= opacity <= 1:
        raise UsageError(f"--opacity {opacity:g}: expected a number from 0 (not seen) to 1 (solid)")
    if over and view not in (None, View.camera):
        raise UsageError(f"--over draws the head as the video's camera saw it: leave out --view {view.value}")  # type: ignore[union-attr]
    if seed is not None and identity != "random":
        raise UsageError("--seed belongs to --identity random")
    if frame is not None and not output.lower().endswith(".png"):
        raise UsageError("--frame belongs to a picture: -o OUT.png")
    if [*sources, over, beside].count(paths.STANDARD) > 1:
        raise UsageError("standard input (-) can be read only once")
    if as_json and output == paths.STANDARD:
        raise UsageError("--json and the video would both go to standard output: name a file with -o")


def _read(source: str) -> FaceMotion:
    from tdmm.io.motion_file import read_motion

    return read_motion(paths.stdin_bytes() if source == paths.STANDARD else Path(source))


def _chosen_frame(total: int, frame: int | None) -> int:
    chosen = total // 2 if frame is None else frame
    if not 0 <= chosen < total:
        raise UsageError(f"--frame {chosen}: there are frames 0 to {total - 1}")
    return chosen


@contextmanager
def _draw(
    motions: list[FaceMotion],
    sources: list[str],
    over: str | None,
    beside: str | None,
    model: FaceModel,
    options: RenderOptions,
    device: str,
) -> Iterator[Pictures]:
    """The pictures; what they read from is closed when the block ends, also in the middle."""
    from tdmm.render import render, render_beside, render_grid, render_over

    common: dict[str, Any] = {"face_model": model, "options": options, "device": device}
    if over:
        pictures = render_over(motions[0], _video(over), **common)
    elif beside:
        pictures = render_beside(motions[0], _video(beside), **common)
    elif len(motions) > 1:
        pictures = render_grid(motions, [paths.stem(source) for source in sources], **common)
    else:
        pictures = render(motions[0], **common)
    with closing(pictures):
        yield pictures


def _video(name: str) -> Any:
    from tdmm.io.video import open_video

    return open_video(paths.stdin_bytes()) if name == paths.STANDARD else name


def _counted(frames: Iterable[np.ndarray], progress: Progress, total: int | None) -> Iterator[np.ndarray]:
    for done, frame in enumerate(frames, start=1):
        progress("drawing", done, total)
        yield frame


def _label(sources: list[str]) -> str:
    return ", ".join("standard input" if source == paths.STANDARD else Path(source).name for source in sources)
