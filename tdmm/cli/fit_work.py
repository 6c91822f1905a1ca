"""What `tdmm fit` does to each video, in this process or in a worker: plain settings in, a small report out."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tdmm.cli import face_models, paths
from tdmm.cli.console import Console, Progress
from tdmm.cli.fit_inputs import FitJob
from tdmm.cli.landmarker import landmarker_file
from tdmm.errors import TdmmError

if TYPE_CHECKING:
    from tdmm.face.model import FaceModel
    from tdmm.fit import FitOptions
    from tdmm.fit.detect import Detector
    from tdmm.motion import FaceMotion


@dataclass(frozen=True)
class Loaded:
    """What is loaded once a process."""

    model: FaceModel
    detector: Detector | None
    options: FitOptions


@dataclass(frozen=True)
class FitWork:
    """The settings of a run, which travel to every worker. Loading and the work on one video are its methods.

    faces: how many people, None for all. split: seconds without a face that part a motion.
    identity: a motion file of the same person.
    landmarks: jobs name files of landmarks, not videos. folder: what paths are relative to, None for the folder that
    the process is in. strict: a fault in tdmm ends the run instead of failing its video.
    """

    face_model: str
    faces: int | None = 1
    focal: float | None = None
    identity: str | None = None
    prior: bool = True
    landmarker: str | None = None
    landmarks: bool = False
    device: str = "cpu"
    split: float | None = None
    force: bool = False
    folder: str | None = None
    strict: bool = True
    verbose: bool = False

    @property
    def first(self) -> str:
        """What is added to the stem of the first motion's file; the others count on from there."""
        return "-1" * ((self.faces != 1) + (self.split is not None))

    def load(self) -> Loaded:
        """Face model and detector: their faults are no video's."""
        from tdmm.fit import FitOptions
        from tdmm.fit.detect import DetectorOptions, open_detector
        from tdmm.io.motion_file import read_motion

        console = Console(verbose=self.verbose)
        options = FitOptions(
            focal=self.focal,
            prior=self.prior,
            device=self.device,
            detector=DetectorOptions(
                faces=self.faces, landmarker=None if self.landmarks else landmarker_file(self.landmarker, console)
            ),
        )
        detector = None if self.landmarks else open_detector(options.detector)
        model = face_models.load_for_fitting(self.face_model, console, detector)
        console.detail(f"face model {model.name}, detector {'none' if detector is None else detector.name}")
        if self.identity is not None:
            known = read_motion(self._place(self.identity))
            known.check_face_model(model.name, model.sha256, self.identity)
            options = replace(options, identity=known.shape)
        return Loaded(model, detector, options)

    def fit(self, loaded: Loaded, job: FitJob, progress: Progress | None = None) -> dict[str, Any]:
        """Fit one video, write its motions and previews; the report of what was done."""
        started = time.perf_counter()
        try:
            motions = self._motions(loaded, job, progress)
            written = self._write(loaded, job, motions)
        except TdmmError:
            raise
        except MemoryError as error:
            raise TdmmError(f"{job.source}: out of memory; try fewer --workers") from error
        except Exception as error:
            if self.strict or isinstance(error, BrokenPipeError):
                raise
            # One strange video in thousands does not end the run.
            raise TdmmError(
                f"{job.source}: {type(error).__name__}: {error} (a fault in tdmm; fit it alone with --debug)"
            ) from error
        report: dict[str, Any] = {"input": job.source}
        if job.clip is not None:
            report["id"] = job.clip
        if self.first:
            report["motions"] = written
        else:
            report |= written[0]
        return {**report, "wall_seconds": round(time.perf_counter() - started, 3)}

    def _motions(self, loaded: Loaded, job: FitJob, progress: Progress | None) -> list[tuple[str, FaceMotion]]:
        """Each motion with what is added to the stem of its file."""
        from tdmm.fit import fit_landmarks, fit_people, fit_video, split_at_gaps

        if self.landmarks:
            from tdmm.fit.landmark_file import read_landmarks

            observations = read_landmarks(self._place(job.source))
            motions = [fit_landmarks(observations, loaded.model, options=loaded.options, progress=progress)]
        else:
            source = paths.stdin_bytes() if job.source == paths.STANDARD else self._place(job.source)
            common: dict[str, Any] = {
                "face_model": loaded.model,
                "options": loaded.options,
                "detector": loaded.detector,
                "progress": progress,
            }
            if self.faces == 1:
                motions = [fit_video(source, **common)]
            else:
                motions = fit_people(source, most=self.faces, **common)
        numbered = [("", motions[0])]
        if self.faces != 1:
            numbered = [(f"-{number}", motion) for number, motion in enumerate(motions, start=1)]
        if self.split is not None:
            numbered = [
                (f"{addition}-{number}", part)
                for addition, motion in numbered
                for number, part in enumerate(split_at_gaps(motion, self.split), start=1)
            ]
        return numbered

    def _write(self, loaded: Loaded, job: FitJob, motions: Sequence[tuple[str, FaceMotion]]) -> list[dict[str, Any]]:
        """Write all files, the first motion last: where it is there, all are."""
        from tdmm.io.motion_file import write_motion

        reports = []
        for addition, motion in reversed(motions):
            target, preview = added(job.target, addition), job.preview and added(job.preview, addition)
            if preview is not None:
                _make_folder(self._place(preview))
                self._preview(loaded, motion, job.source, self._place(preview))
            if target == paths.STANDARD:
                write_motion(motion, paths.stdout_bytes())
            else:
                _make_folder(self._place(target))
                write_motion(motion, Path(self._place(target)))
            about = {"output": target, "preview": preview, "duration": motion.duration}
            reports.append({**about, **motion.meta["fit"]})
        if self.force:
            self._remove_left_over(job, motions[-1])
        return reports[::-1]

    def _remove_left_over(self, job: FitJob, last: tuple[str, FaceMotion]) -> None:
        """Motions of the same video from an earlier run that found more, counting on from the last one."""
        from tdmm.io.motion_file import read_motion

        addition, motion = last
        stem, dash, number = addition.rpartition("-")
        while dash:
            number = str(int(number) + 1)
            place = Path(self._place(added(job.target, f"{stem}-{number}")))
            if not place.is_file() or read_motion(place).meta.get("source") != motion.meta.get("source"):
                return
            place.unlink()

    def _preview(self, loaded: Loaded, motion: FaceMotion, source: str, target: str) -> None:
        from tdmm.io.video import write_video
        from tdmm.render import render_over

        with closing(render_over(motion, self._place(source), face_model=loaded.model)) as pictures:
            write_video(pictures, target, pictures.fps)

    def _place(self, path: str) -> str:
        return path if self.folder is None else os.path.join(self.folder, path)


def added(path: str, addition: str) -> str:
    """`motions/clip.npz` and `-2` to `motions/clip-2.npz`."""
    place = Path(path)
    return str(place.with_name(f"{place.stem}{addition}{place.suffix}")) if addition else path


def _make_folder(path: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
