"""Landmarks that another detector found, from a file: `tdmm fit --landmarks points.npz`."""

from __future__ import annotations

import os
import zipfile
import zlib
from pathlib import Path

import numpy as np

from tdmm.errors import TdmmError
from tdmm.face.scheme import MEDIAPIPE478, SCHEMES, Scheme
from tdmm.fit.observe import Observations

KEYS = ("points", "image_size", "score", "timestamps", "fps", "scheme")
# How the schemes of files are known: by name, or by how many points there are. `mediapipe468` has no irises.
_N_POINTS = {"mediapipe478": 478, "mediapipe468": 468, "ibug68": 68}
# Coordinates that never exceed this are parts of the picture's sides, not pixels.
NORMALISED = 2.0
# So many sides of the picture away from it no landmark is.
FAR = 100
# The part of a frame's landmarks that have to be seen, else the frame counts as one without a face.
ENOUGH = 0.2


class LandmarkFileError(TdmmError):
    """A file of landmarks that cannot be used."""


def read_landmarks(path: str | os.PathLike[str]) -> Observations:
    """The observations of a landmark file, ready for `tdmm.fit.video.fit_landmarks`. No video is needed.

    The file is an `.npz` (nothing in it is pickled) of T frames and L landmarks with the keys

        points: (T, L, 2) or (T, L, 3) numbers: x right and y down in pixels, pixel centres at (i + 0.5); depth is not
            used. NaN: the landmark was not seen; a frame of NaN: no face.
        image_size: (2,) height and width of the picture in pixels.
        fps: frames per second, or timestamps: (T,) increasing seconds, or both.
        score: optional, (T,) 0..1, how sure the detector is; 0: no face in that frame.
        scheme: optional, `mediapipe478`, `mediapipe468` (without irises) or `ibug68`; guessed from L where absent.

    Landmarks are the subject's: in iBUG's 68 the point 36 is the outer corner of the right eye, on the picture's left.
    Landmarks that were not seen are filled in from the frame's others, marked as not visible, and not used by the fit.
    A frame in which fewer than one in five landmarks were seen counts as one without a face. 468 points become 478, of
    which the irises were not seen.
    Raises `LandmarkFileError` in one line: what is wrong, what was found, what is expected.
    """
    name = os.fspath(path)
    arrays = _read(Path(path))
    if unknown := sorted(set(arrays) - set(KEYS)):
        raise LandmarkFileError(f"{name}: unknown keys {', '.join(unknown)}; expected {', '.join(KEYS)}")
    for key in ("points", "image_size"):
        if key not in arrays:
            raise LandmarkFileError(
                f"{name}: has no {key}; expected the keys {', '.join(KEYS)} (the last four optional)"
            )
    scheme, points = _points(name, arrays)
    score = _score(name, arrays, points)
    timestamps, fps = _times(name, arrays, len(points))
    visible = (np.isfinite(points).all(2) & (score > 0)[:, None]).astype(np.float32)
    score = np.where(visible.mean(1) >= ENOUGH, score, 0).astype(np.float32)
    visible[score == 0] = 0
    if not score.any():
        raise LandmarkFileError(f"{name}: no frame holds a face: every point is NaN, or every score is 0")
    corners = visible[:, list(scheme.outer_eyes)].all(1)
    if not corners.any():
        right, left = scheme.outer_eyes
        raise LandmarkFileError(
            f"{name}: no frame holds both outer corners of the eyes (points {right} and {left}), which sizes are "
            "measured by"
        )
    image_size = _image_size(name, arrays["image_size"])
    if (farthest := np.abs(points[visible > 0]).max()) > FAR * max(image_size):
        raise LandmarkFileError(f"{name}: points: found {farthest:.3g} pixels, more than {FAR} pictures away")
    right, left = (points[corners, number] for number in scheme.outer_eyes)
    if not (right != left).any():
        raise LandmarkFileError(
            f"{name}: the outer corners of the eyes (points {scheme.outer_eyes}) lie on one another in all frames"
        )
    points = filled_in(points, visible > 0, scheme)
    points[score == 0] = 0
    return Observations(
        points=points.astype(np.float32),
        score=score,
        timestamps=timestamps,
        fps=fps,
        image_size=image_size,
        name=Path(path).name,
        decode_seconds=0.0,
        detect_seconds=0.0,
        scheme=scheme.name,
        visible=visible,
    )


def filled_in(points: np.ndarray, seen: np.ndarray, scheme: Scheme) -> np.ndarray:
    """Points (T, L, 2) of which those not seen (T, L) stand where the frame's others put them.

    The mean face of all frames is laid over each frame by the affine map that fits best where points were seen; an iris
    that never was lies between its lids. Frames with fewer than four seen landmarks are left alone.
    """
    points = np.where(seen[..., None], points, 0.0)
    if seen.all():
        return points
    mean, known = _mean_face(points, seen)
    for eye in scheme.eyes:
        lids = [number for pair in eye.lids for number in pair]
        if eye.iris and not known[list(eye.iris)].any() and known[lids].all():
            mean[list(eye.iris)] = mean[lids].mean(0)
            known[list(eye.iris)] = True
    mean[~known] = mean[known].mean(0)
    for frame in np.flatnonzero(~seen.all(1)):
        if (seen[frame] & known).sum() >= 4:
            points[frame, ~seen[frame]] = _laid_over(mean, points[frame], seen[frame] & known)[~seen[frame]]
    return points


def _mean_face(points: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean (L, 2) of all frames after each was laid over the one with most landmarks, and which (L,) it knows."""
    best = int(seen.sum(1).argmax())
    total, count = points[best].copy(), seen[best].astype(np.float64)
    for frame in range(len(points)):
        both = seen[frame] & seen[best]
        if frame != best and both.sum() >= 4:
            moved = _laid_over(points[frame], points[best], both)
            total[seen[frame]] += moved[seen[frame]]
            count[seen[frame]] += 1
    return total / np.maximum(count, 1)[:, None], count > 0


def _laid_over(points: np.ndarray, target: np.ndarray, both: np.ndarray) -> np.ndarray:
    """Points (L, 2) after the affine map that brings those of `both` nearest to the target's."""
    homogeneous = np.concatenate([points, np.ones((len(points), 1))], axis=1)
    return homogeneous @ np.linalg.lstsq(homogeneous[both], target[both], rcond=None)[0]


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        archive = np.load(path, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise LandmarkFileError(f"{path}: is one array; expected an .npz with the keys {', '.join(KEYS)}")
        with archive:
            return {key: archive[key] for key in archive.files}
    except FileNotFoundError:
        raise LandmarkFileError(f"{path}: there is no such file") from None
    except OSError as error:
        raise LandmarkFileError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        reason = (
            "holds Python objects" if "Object arrays" in str(error) else "is no .npz of plain arrays, or a damaged one"
        )
        raise LandmarkFileError(f"{path}: {reason}; write it with numpy.savez") from error


def _points(name: str, arrays: dict[str, np.ndarray]) -> tuple[Scheme, np.ndarray]:
    """(T, L, 2) float64 in the numbering of a scheme that the fit knows."""
    points = arrays["points"]
    if points.dtype.kind not in "fiu" or points.ndim != 3 or points.shape[2] not in (2, 3) or len(points) == 0:
        raise LandmarkFileError(f"{name}: points: expected numbers (T, L, 2), found {points.dtype} {points.shape}")
    n_points = points.shape[1]
    said = str(arrays["scheme"]) if "scheme" in arrays else None
    if said is None:
        said = next((known for known, count in _N_POINTS.items() if count == n_points), None)
        if said is None:
            raise LandmarkFileError(
                f"{name}: points: {n_points} landmarks belong to no known scheme; expected "
                + ", ".join(f"{count} ({known})" for known, count in _N_POINTS.items())
            )
    elif said not in _N_POINTS:
        raise LandmarkFileError(f"{name}: scheme: expected {', '.join(_N_POINTS)}, found {said!r}")
    elif _N_POINTS[said] != n_points:
        raise LandmarkFileError(f"{name}: points: expected {_N_POINTS[said]} landmarks of {said}, found {n_points}")
    points = points[..., :2].astype(np.float64)
    if np.isinf(points).any():
        raise LandmarkFileError(f"{name}: points: found an infinite coordinate; a landmark that was not seen is NaN")
    if points.size and np.isfinite(points).any() and np.nanmax(np.abs(points)) <= NORMALISED:
        raise LandmarkFileError(
            f"{name}: points: lie within {np.nanmax(points):.2f} pixels of the corner; multiply parts of the picture's "
            "width and height (0..1) by them"
        )
    if said == "mediapipe468":
        irises = MEDIAPIPE478.n_points - n_points
        points = np.concatenate([points, np.full((len(points), irises, 2), np.nan)], axis=1)
    return SCHEMES.get(said, MEDIAPIPE478), points


def _score(name: str, arrays: dict[str, np.ndarray], points: np.ndarray) -> np.ndarray:
    if "score" not in arrays:
        return np.ones(len(points))
    score = arrays["score"]
    if score.dtype.kind not in "fiub" or score.shape != (len(points),):
        raise LandmarkFileError(f"{name}: score: expected numbers ({len(points)},), found {score.dtype} {score.shape}")
    score = score.astype(np.float64)
    score = np.where(np.isnan(score), 0, score)
    if score.min() < 0 or score.max() > 1:
        raise LandmarkFileError(f"{name}: score: expected 0..1, found {score.min():g}..{score.max():g}")
    return score


def _times(name: str, arrays: dict[str, np.ndarray], n_frames: int) -> tuple[np.ndarray, float]:
    """Timestamps (T,) seconds and frames per second, each made from the other where it is not given."""
    fps = None
    if "fps" in arrays:
        fps = _number(arrays["fps"])
        if fps is None or not (np.isfinite(fps) and fps > 0):
            raise LandmarkFileError(f"{name}: fps: expected a positive number, found {_short(arrays['fps'])}")
    if "timestamps" not in arrays:
        if fps is None:
            raise LandmarkFileError(f"{name}: has neither timestamps nor fps; add one of them")
        return np.arange(n_frames) / fps, fps
    times = arrays["timestamps"]
    if times.dtype.kind not in "fiu" or times.shape != (n_frames,):
        raise LandmarkFileError(
            f"{name}: timestamps: expected seconds ({n_frames},), found {times.dtype} {times.shape}"
        )
    times = times.astype(np.float64)
    if not np.isfinite(times).all() or (np.diff(times) <= 0).any():
        raise LandmarkFileError(f"{name}: timestamps: expected increasing seconds")
    if fps is None:
        if n_frames == 1:
            raise LandmarkFileError(f"{name}: one frame has no frame rate of its own; add fps")
        fps = float(1 / np.median(np.diff(times)))
    return times, fps


def _image_size(name: str, size: np.ndarray) -> tuple[int, int]:
    whole = size.dtype.kind in "iuf" and size.shape == (2,) and np.isfinite(size).all()
    if not whole or (size <= 0).any() or (size != np.round(size)).any():
        raise LandmarkFileError(f"{name}: image_size: expected height and width in pixels, found {_short(size)}")
    return int(size[0]), int(size[1])


def _number(array: np.ndarray) -> float | None:
    return float(array.reshape(())) if array.dtype.kind in "fiu" and array.size == 1 else None


def _short(array: np.ndarray) -> str:
    return str(array.tolist()) if array.size <= 3 else f"{array.dtype} {array.shape}"
