"""Fit a face model to a video: the one call behind `tdmm fit`."""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any, BinaryIO

import numpy as np
import torch
from roma import rotmat_to_rotvec

import tdmm
from tdmm.errors import NoFaceError, TdmmError
from tdmm.face import load_face_model
from tdmm.face.model import FaceModel
from tdmm.face.scheme import scheme_of
from tdmm.fit.bridge import bridge, bridge_rotations
from tdmm.fit.carry_over import carry_over
from tdmm.fit.confidence import expression_confidence, frame_confidence
from tdmm.fit.correspondence import with_scheme
from tdmm.fit.detect import Detector, DetectorOptions, open_detector
from tdmm.fit.focal import told_focal
from tdmm.fit.guided import solve_guided
from tdmm.fit.landmark_model import LandmarkModel, landmark_model_of
from tdmm.fit.measure import jitter, reprojection
from tdmm.fit.observe import Observations, OpenReader, Progress, observe, observe_all
from tdmm.fit.prior import Prediction, has_prior, load_prior
from tdmm.fit.solve import Solution, SolverOptions, solve
from tdmm.io.video import VideoReader
from tdmm.motion import FaceMotion


@dataclass(frozen=True)
class FitOptions:
    """focal: focal length in pixels of the video's own picture; None: as the picture's file tells, or else estimated.

    prior: whether the trained network reads the pictures too (where it is installed), or landmarks alone are fitted.
    device: where that network runs, `cpu` or `cuda`.
    identity: the person, known from another clip: that clip's motion, or (S,) its identity in standard deviations. It
        is not estimated then. (How the detector strays about a person's landmarks is no part of it.)
    detector, solver: how faces are found, and how the model is fitted.
    """

    focal: float | None = None
    prior: bool = True
    device: str = "cpu"
    identity: FaceMotion | np.ndarray | None = None
    detector: DetectorOptions = field(default_factory=DetectorOptions)
    solver: SolverOptions = field(default_factory=SolverOptions)

    def __post_init__(self) -> None:
        if self.focal is not None and not (np.isfinite(self.focal) and self.focal > 0):
            raise TdmmError(f"focal: expected a positive number of pixels, found {self.focal}")


def fit_video(
    path: str | os.PathLike[str] | BinaryIO | VideoReader,
    *,
    face_model: FaceModel | None = None,
    options: FitOptions | None = None,
    detector: Detector | None = None,
    progress: Progress | None = None,
) -> FaceMotion:
    """The motion of the face in a video, a still picture (one frame), or a stream of either.

    The video's own frame rate, timestamps and picture size are kept. Of several faces the largest is followed. Frames
    in which it is not seen have valid False, confidence 0 and values bridged from the frames around them. A report
    stands in meta["fit"]: frames, valid, reprojection_percent (see `tdmm.fit.measure.reprojection`; the mean over
    landmarks and seen frames), prior (whether the trained network was asked), identity and focal ("given" or
    "estimated"), jitter_mm_s2 (see `tdmm.fit.measure.jitter`), seconds for decode, detect, solve and in total, fps,
    detector, options.

    face_model: with a landmark embedding; None: the built-in head. detector: one to use again; None opens one.
    progress: called with a stage ("detect", "solve"), how much of it is done, and how much there is if that is known.
    Raises `VideoError` for what cannot be read, `NoFaceError` naming the file if no frame shows a face,
    `MissingPartError` if no detector can be loaded.
    """
    options = options or FitOptions()
    begun = time.perf_counter()
    face_model = face_model or load_face_model()
    opened = detector is None
    detector = detector or open_detector(options.detector)
    try:
        observations = observe(path, detector, progress, _reader(options, detector))
    finally:
        if opened:
            detector.close()
    options = _with_told_focal(options, path, observations)
    motion = fit_landmarks(observations, face_model, options=options, progress=progress)
    _complete_report(motion, observations, detector, begun)
    return motion


def fit_people(
    path: str | os.PathLike[str] | BinaryIO | VideoReader,
    *,
    most: int | None = None,
    face_model: FaceModel | None = None,
    options: FitOptions | None = None,
    detector: Detector | None = None,
    progress: Progress | None = None,
) -> list[FaceMotion]:
    """As `fit_video`, for several people: one motion each, of all frames of the video, the largest face first.

    most: this many people at most, those that fill the most of the picture over time; None: all. A face that is seen
    only for a moment is dropped. meta["fit"]["faces"] tells which of how many motions it is, and what was dropped.
    detector: has to follow several faces (`DetectorOptions.faces`); None opens one that does.
    """
    options = options or FitOptions()
    begun = time.perf_counter()
    face_model = face_model or load_face_model()
    opened = detector is None
    detector = detector or open_detector(replace(options.detector, faces=most))
    try:
        faces = observe_all(path, detector, most, progress, _reader(options, detector))
    finally:
        if opened:
            detector.close()
    dropped = [{"from_second": round(first, 3), "frames": frames} for first, frames in faces.dropped]
    motions = []
    options = _with_told_focal(options, path, faces.people[0])
    for number, observations in enumerate(faces.people, start=1):
        motion = fit_landmarks(observations, face_model, options=options, progress=progress)
        _complete_report(motion, observations, detector, begun)
        motion.meta["fit"]["faces"] = {"number": number, "of": len(faces.people), "dropped": dropped}
        motions.append(motion)
    return motions


def _with_told_focal(options: FitOptions, source: Any, observations: Observations) -> FitOptions:
    """With the focal length that the picture's file tells, if there is one and no other was given."""
    told = told_focal(source, observations.image_size) if options.focal is None else None
    return options if told is None else replace(options, focal=told)


def _reader(options: FitOptions, detector: Detector) -> OpenReader | None:
    """Opens readers of the trained network, where it is wanted, installed, and made for this detector's landmarks."""
    if not (options.prior and has_prior() and detector.scheme == "mediapipe478"):
        return None
    return partial(load_prior().reader, options.device)


def _complete_report(motion: FaceMotion, observations: Observations, detector: Detector, begun: float) -> None:
    """Add to a motion's report what is known of the video. begun: `time.perf_counter()` when the work began."""
    total = time.perf_counter() - begun
    report = motion.meta["fit"]
    report["detector"] = f"{detector.name} {detector.version}"
    report["seconds"] |= {
        "decode": round(observations.decode_seconds, 3),
        "detect": round(observations.detect_seconds, 3),
        "total": round(total, 3),
    }
    report["fps"] = round(len(motion) / total, 1)


def fit_landmarks(
    observations: Observations,
    face_model: FaceModel,
    *,
    options: FitOptions | None = None,
    progress: Progress | None = None,
) -> FaceMotion:
    """The second half of `fit_video`: from landmarks in pixels to a motion. Raises as that does."""
    options = options or FitOptions()
    begun = time.perf_counter()
    seen = observations.seen
    if not seen.any():
        raise NoFaceError(f"{observations.name}: no frame shows a face")
    height, width = observations.image_size
    longest = max(height, width)
    principal = np.array([width / 2, height / 2])
    face_model = with_scheme(face_model, observations.scheme)
    prediction = observations.prediction if options.prior else None
    if prediction is not None:
        prediction = carry_over(prediction, face_model)
    reduced = landmark_model_of(face_model, options.solver.n_shape, () if prediction is None else prediction.names)
    if prediction is not None and observations.spread is None:
        reduced = _straying(reduced, options.solver)
    identity = _identity(options.identity, face_model)
    if identity is not None:
        reduced = reduced.of_identity(identity)
    xy = (observations.points[seen][:, reduced.index] - principal) / longest
    solver = options.solver
    if options.focal is not None:
        solver = replace(solver, focal=options.focal / longest)
    report_step = None if progress is None else (lambda done, total: progress("solve", done, total))
    points = torch.as_tensor(xy, dtype=torch.float32)
    visible = torch.as_tensor(observations.visibility()[:, reduced.index])
    seconds = torch.as_tensor(observations.timestamps[seen])
    spread = None if observations.spread is None else observations.spread / longest
    with torch.inference_mode():
        if prediction is None:
            solution = solve(points, visible, seconds, reduced, solver, report_step, spread)
        else:
            scheme = scheme_of(observations.scheme)
            middle = torch.as_tensor((observations.points[seen].mean(1) - principal) / longest, dtype=torch.float32)
            solution = solve_guided(
                points, visible, seconds, reduced, scheme, prediction, solver, report_step, spread, middle
            )
        motion = _motion(solution, observations, reduced, longest, prediction)
    miss = reprojection(motion, face_model, observations.seen_points(), seen)
    motion.meta["fit"] = {
        "frames": len(motion),
        "valid": int(seen.sum()),
        "reprojection_percent": round(float(np.nanmean(miss)), 4),
        "landmarks": len(reduced.index),
        "prior": prediction is not None,
        "identity": "estimated" if identity is None else "given",
        "focal": "estimated" if options.focal is None else "given",
        "jitter_mm_s2": round(jitter(motion, face_model, seen), 1),
        "seconds": {"solve": round(time.perf_counter() - begun, 3)},
        "options": {"focal": options.focal, **asdict(options.solver)},
    }
    return motion


def _straying(reduced: LandmarkModel, options: SolverOptions) -> LandmarkModel:
    """With what is known of how the detector strays, on the head that it was measured on."""
    if not has_prior():
        return reduced
    prior = load_prior()
    if prior.face_model_sha256 != reduced.model.sha256:
        return reduced
    response = prior.response
    offset, controls = options.stray_offset * response.offset, options.stray_controls * response.controls
    return reduced.straying(replace(response, offset=offset, controls=controls), prior.names)


def _identity(identity: FaceMotion | np.ndarray | None, face_model: FaceModel) -> torch.Tensor | None:
    if identity is None:
        return None
    if isinstance(identity, FaceMotion):
        identity.check_face_model(face_model.name, face_model.sha256, "the motion that tells the identity")
        identity = identity.shape
    shape = torch.as_tensor(np.asarray(identity), dtype=torch.float32)
    if shape.ndim != 1 or len(shape) > face_model.n_shape or not bool(shape.isfinite().all()):
        raise TdmmError(
            f"identity: expected up to {face_model.n_shape} finite numbers for {face_model.name}, "
            f"found {list(shape.shape)}"
        )
    return shape


def _motion(
    solution: Solution,
    observations: Observations,
    reduced: LandmarkModel,
    longest: int,
    prediction: Prediction | None,
) -> FaceMotion:
    controls, seen, seconds = reduced.controls, observations.seen, observations.timestamps
    height, width = observations.image_size
    spread = lambda values: bridge(np.asarray(values), seconds, seen)  # noqa: E731
    values = solution.controls.numpy()
    focal = float(solution.shared.log_focal.exp()) * longest
    n_frames = len(seconds)
    inlier, known = solution.inlier.numpy(), None
    if solution.variance is not None:
        known = np.zeros((n_frames, controls.to_expression.shape[1]), np.float32)
        parts = None if prediction is None else prediction.visible
        scheme = scheme_of(observations.scheme)
        known[seen] = expression_confidence(controls, solution.variance.numpy(), inlier, parts, reduced, scheme)
    confidence = np.zeros(n_frames, np.float32)
    confidence[seen] = frame_confidence(
        observations.score[seen], inlier, solution.pose.rotation.numpy(), None if known is None else known[seen]
    )
    meta: dict[str, Any] = {"source": observations.name, "tdmm": tdmm.__version__}
    return FaceMotion(
        face_model=reduced.model.name,
        face_model_sha256=reduced.model.sha256,
        fps=observations.fps,
        expression=spread(values @ controls.to_expression),
        expression_names=reduced.model.expression_names,
        shape=(solution.shared.shape if reduced.fixed_shape is None else reduced.fixed_shape).numpy(),
        rotation=bridge_rotations(rotmat_to_rotvec(solution.pose.rotation).numpy(), seconds, seen),
        translation=spread(solution.pose.translation(solution.shared.log_focal).numpy()),
        neck_pose=np.zeros((n_frames, 3), np.float32),
        jaw_pose=spread(values @ controls.to_jaw),
        eyes_pose=spread(values @ controls.to_eyes),
        camera=np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]]),
        image_size=observations.image_size,
        valid=seen,
        confidence=confidence,
        expression_confidence=known,
        timestamps=seconds,
        meta=meta,
    )
