"""Re-detection: is what a fit shows, seen by the detector again, what the detector saw in the video?

The fitted head is drawn from the motion's own camera on a plain background, the detector looks at the pictures, and a
few signals of the face are compared over time with those of the source's landmarks. It needs no known truth, so that
any system can be measured on any clip whose fit can be drawn.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from tdmm.errors import TdmmError
from tdmm.face import load_face_model
from tdmm.face.model import FaceModel
from tdmm.face.scheme import MEDIAPIPE478, eye_opening
from tdmm.fit.detect import Detector
from tdmm.fit.observe import Observations
from tdmm.motion import FaceMotion
from tdmm.render import RenderOptions, render

# A signal moves on a source if its spread (standard deviation) is more than this many times its noise there ...
MOVES_ABOVE_NOISE = 3.0
# ... and more than this: what detectors make up where nothing moves. Outer-eye distances, widths of an eye, degrees.
LEAST_LENGTH, LEAST_GAZE, LEAST_TURN = 0.007, 0.015, 0.5
# Pictures are cut to the face's surroundings over the whole clip, and are at most this large.
ROOM, LARGEST_CUT = 1.5, 512
# An eye narrower than this, height over width, hides where it looks.
OPEN_EYE = 0.12

_LIPS = ((13, 14), (82, 87), (312, 317))
_MOUTH_CORNERS = (61, 291)
_BROWS = ([70, 63, 105, 66, 107, 46, 53, 52, 65, 55], [300, 293, 334, 296, 336, 276, 283, 282, 295, 285])
# Points that expressions hardly move and that do not slide with the outline: corners of the eyes, the nose but for its
# wings, and points beside the eyes (nose and eye corners alone are hardly deep and wide enough to tell a turn).
_RIGID = [33, 133, 362, 263, 168, 6, 197, 195, 5, 4, 1, 19, 94, 2, 8, 122, 351, 196, 419, 3, 248, 236, 456, 174, 399]
_RIGID += [198, 420, 51, 281, 45, 275, 44, 274, 193, 417, 245, 465, 188, 412]
_RIGID += [143, 372, 156, 383, 116, 345, 34, 264, 139, 368]
LEAST = {
    "lid gap right": LEAST_LENGTH,
    "lid gap left": LEAST_LENGTH,
    "mouth gap": LEAST_LENGTH,
    "mouth width": LEAST_LENGTH,
    "brow height right": LEAST_LENGTH,
    "brow height left": LEAST_LENGTH,
    "gaze aside": LEAST_GAZE,
    "gaze up": LEAST_GAZE,
    "yaw": LEAST_TURN,
    "pitch": LEAST_TURN,
    "roll": LEAST_TURN,
}


@dataclass(frozen=True)
class Redetection:
    """correlation: of each signal, source against re-detected. moves: whether the signal moves in the source.
    mean: of the correlations of the signals that move; NaN if none does. frames: how many frames were compared;
    missed: in how many more the source shows a face and the drawn fit none."""

    correlation: dict[str, float]
    moves: dict[str, bool]
    mean: float
    frames: int
    missed: int


def redetect(motion: FaceMotion, observations: Observations, face_model: FaceModel, detector: Detector) -> Redetection:
    """Draw `motion`, detect, and compare with the landmarks of the same frames that it was fitted to.

    observations: of mediapipe's 478 landmarks. detector: is reset, and used for the drawn pictures. Raises `TdmmError`
    for landmarks of another kind or for another number of frames.
    """
    if observations.scheme != MEDIAPIPE478.name:
        raise TdmmError(f"re-detection compares landmarks of {MEDIAPIPE478.name}, found {observations.scheme}")
    if len(motion) != len(observations.points):
        raise TdmmError(f"re-detection: a motion of {len(motion)} frames, landmarks of {len(observations.points)}")
    points = np.where(observations.seen[:, None, None], observations.points.astype(np.float64), np.nan)
    return compare_signals(signals(points), signals(detect_drawn(motion, points, face_model, detector)))


def detect_drawn(motion: FaceMotion, points: np.ndarray, face_model: FaceModel, detector: Detector) -> np.ndarray:
    """(T, 478, 2) landmarks of the drawn motion, NaN where the detector sees no face; pixels of the motion's camera.

    points: (T, 478, 2) the source's, which say what part of the picture is drawn.
    """
    middle, side = _surroundings(points)
    cut = int(min(LARGEST_CUT, np.ceil(side)))
    scale, corner = cut / side, middle - side / 2
    camera = motion.camera.copy()
    camera[:2, 2] -= corner
    camera[:2] *= scale
    framed = replace(motion, camera=camera, image_size=(cut, cut), text="")
    detector.reset()
    found = np.full((len(motion), MEDIAPIPE478.n_points, 2), np.nan)
    pictures = render(framed, face_model=face_model, options=RenderOptions(view="camera"))
    for number, picture in enumerate(pictures):
        faces = detector.detect(np.asarray(picture), float(motion.timestamps[number]))
        if faces:
            found[number] = faces[0].points[:, :2] / scale + corner
    detector.reset()
    return found


def signals(points: np.ndarray) -> dict[str, np.ndarray]:
    """Each signal (T,) of landmarks (T, 478, 2) in pixels; NaN where the landmarks are.

    lid gap right/left: mean distance between upper and lower lid. mouth gap: between the inner lips. mouth width:
    between its corners. brow height right/left: mean distance of the brow from the line through the eye's corners. All
    in outer-eye distances of that frame. gaze aside, gaze up: the iris's centre, from the middle between the eye's
    corners, along their line (to the subject's left) and across it (up), in widths of the eye, mean of both eyes; NaN
    where an eye is shut. yaw, pitch, roll: degrees of the built-in head's mean face under the affine camera that fits
    points of nose, eye corners and temples best (a scaled orthographic view), by the signs of `rotation`.
    """
    points = np.asarray(points, np.float64)
    distance = lambda a, b: np.linalg.norm(points[:, a] - points[:, b], axis=-1)  # noqa: E731
    unit = distance(*MEDIAPIPE478.outer_eyes)
    found: dict[str, np.ndarray] = {}
    for eye, side in zip(MEDIAPIPE478.eyes, ("right", "left"), strict=True):
        found[f"lid gap {side}"] = np.mean([distance(*pair) for pair in eye.lids], axis=0) / unit
    found["mouth gap"] = np.mean([distance(*pair) for pair in _LIPS], axis=0) / unit
    found["mouth width"] = distance(*_MOUTH_CORNERS) / unit
    gaze = []
    for number, (eye, side) in enumerate(zip(MEDIAPIPE478.eyes, ("right", "left"), strict=True)):
        # From the subject's right to the left, whichever corner that is, so that "up" is across it for both.
        ends = (eye.outer, eye.inner) if number == 0 else (eye.inner, eye.outer)
        start, end = points[:, ends[0]], points[:, ends[1]]
        along = end - start
        width = np.linalg.norm(along, axis=-1)
        along = along / width[:, None]
        up = np.stack([along[:, 1], -along[:, 0]], axis=-1)
        brow = points[:, _BROWS[number]].mean(1) - start
        found[f"brow height {side}"] = (brow * up).sum(-1) / unit
        iris = points[:, eye.iris[0]] - (start + end) / 2
        gaze.append(np.stack([(iris * along).sum(-1), (iris * up).sum(-1)]) / width)
    aside, above = np.mean(gaze, axis=0)
    with np.errstate(invalid="ignore"):
        shut = eye_opening(points).min(1) < OPEN_EYE
    found["gaze aside"], found["gaze up"] = np.where(shut, np.nan, aside), np.where(shut, np.nan, above)
    found["yaw"], found["pitch"], found["roll"] = np.degrees(_turns(points))
    return {name: found[name] for name in LEAST}


def noise_of(signal: np.ndarray) -> float:
    """The spread of a signal's white noise: that of its second differences over sqrt(6), by the median deviation."""
    bends = np.diff(signal, 2)
    bends = bends[np.isfinite(bends)]
    return 1.4826 * float(np.median(np.abs(bends))) / np.sqrt(6) if len(bends) else 0.0


def moving(source: dict[str, np.ndarray]) -> dict[str, bool]:
    """Which signals move in a source: `MOVES_ABOVE_NOISE` times the noise, and the least that is worth comparing."""
    answer = {}
    for name, signal in source.items():
        spread = float(np.nanstd(signal)) if np.isfinite(signal).any() else 0.0
        answer[name] = spread > max(MOVES_ABOVE_NOISE * noise_of(signal), LEAST[name])
    return answer


def compare_signals(source: dict[str, np.ndarray], again: dict[str, np.ndarray]) -> Redetection:
    """Correlations over the frames that both show; 0 for one that is constant, or seen in fewer than 3 frames."""
    moves = moving(source)
    correlation = {}
    for name, signal in source.items():
        both = np.isfinite(signal) & np.isfinite(again[name])
        first, second = signal[both], again[name][both]
        varies = len(first) > 2 and min(first.std(), second.std()) > 1e-9
        correlation[name] = float(np.corrcoef(first, second)[0, 1]) if varies else 0.0
    counted = [correlation[name] for name, does in moves.items() if does]
    seen, drawn = np.isfinite(source["mouth gap"]), np.isfinite(again["mouth gap"])
    return Redetection(
        correlation,
        moves,
        float(np.mean(counted)) if counted else float("nan"),
        int((seen & drawn).sum()),
        int((seen & ~drawn).sum()),
    )


def _surroundings(points: np.ndarray) -> tuple[np.ndarray, float]:
    """Middle (2,) and side of the square around all faces of a clip, with room for the head, pixels."""
    seen = points[np.isfinite(points[:, 0, 0])]
    low, high = seen.min((0, 1)), seen.max((0, 1))
    sides = np.ptp(seen, axis=1).max(1)
    return (low + high) / 2, float((high - low).max() + (ROOM - 1) * sides.max())


def _turns(points: np.ndarray) -> np.ndarray:
    """(3, T) yaw, pitch, roll, radians; R = Rz(roll) Ry(yaw) Rx(pitch): a turned picture changes the roll alone."""
    head = load_face_model()
    with torch.inference_mode():
        rest = head.landmarks(head.vertices(torch.zeros(0), torch.zeros(1, len(head.expression_names))))[0]
    model = rest[_RIGID].double().numpy()
    inverse = np.linalg.pinv(np.column_stack([model, np.ones(len(model))]))  # (4, n)
    seen = points[:, _RIGID] * (1, -1)
    affine = np.swapaxes(inverse @ seen, 1, 2)[:, :, :3]  # (T, 2, 3): rows of scale times rotation
    right, up = affine[:, 0], affine[:, 1]
    size = (np.linalg.norm(right, axis=1) + np.linalg.norm(up, axis=1))[:, None] / 2
    # The nearest pair of orthonormal rows, up to second order: each gives up half of what they share.
    right, up = right / size, up / size
    shared = (right * up).sum(1, keepdims=True) / 2
    right, up = right - shared * up, up - shared * right
    right, up = (row / np.linalg.norm(row, axis=1, keepdims=True) for row in (right, up))
    back = np.cross(right, up)
    yaw = np.arcsin(np.clip(-back[:, 0], -1, 1))
    pitch = np.arctan2(back[:, 1], back[:, 2])
    return np.stack([yaw, pitch, np.arctan2(up[:, 0], right[:, 0])])
