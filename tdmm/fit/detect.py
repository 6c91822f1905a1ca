"""Face landmarks in pictures: one small interface, and mediapipe's FaceMesh behind it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from PIL import Image

from tdmm.errors import MissingPartError
from tdmm.face.scheme import LEFT_OUTER_EYE, RIGHT_OUTER_EYE
from tdmm.fit.quiet import without_chatter

# Larger pictures are reduced by a whole factor before faces are looked for (the detectors see 128 or 192 pixels).
LONGEST_SIDE = 1920
# The landmark network sees 192 x 192 pixels of a region; larger regions are reduced to twice that or more.
REGION_SIDE = 384
# No detector finds a face in fewer pixels.
SHORTEST_SIDE = 16
# Two faces whose boxes overlap by more than this (intersection over union) are one.
SAME_FACE = 0.5
# A region's side in lengths of the face's box: mediapipe's own choice.
ROOM_AROUND_FACE = 1.5
SYSTEM_LIBRARIES = "apt-get install libgl1 libglib2.0-0"

# FaceMesh without its own tracking loop: a picture and a region in, landmarks and a score out.
_GRAPH = """
input_stream: "image"
input_stream: "region"
input_side_packet: "with_attention"
output_stream: "landmarks"
node {
  calculator: "FaceLandmarkCpu"
  input_stream: "IMAGE:image"
  input_stream: "ROI:region"
  input_side_packet: "WITH_ATTENTION:with_attention"
  output_stream: "LANDMARKS:landmarks"
}
"""
_SCORE = "facelandmarkcpu__face_presence_score"


@dataclass(frozen=True)
class Landmarks:
    """One face in one picture.

    points: (L, 3) float32: x right and y down in pixels of the picture that was given (pixel centres at
        i + 0.5), z depth relative to the head's centre in about the same unit, smaller is nearer.
    score: the detector's belief, 0..1, that there is a face.
    """

    points: np.ndarray
    score: float

    @property
    def box(self) -> np.ndarray:
        """(4,) left, top, right, bottom of the points, pixels."""
        return np.concatenate([self.points[:, :2].min(0), self.points[:, :2].max(0)])


class Detector(Protocol):
    """Finds the landmarks of faces in the frames of one video, given in order."""

    name: str
    version: str
    scheme: str  # which landmarks: `mediapipe478`, as in LandmarkEmbedding

    def detect(self, image: np.ndarray, timestamp: float) -> list[Landmarks]:
        """Faces in one frame, the one to follow first; none is an empty list.

        image: (H, W, 3) uint8 RGB; (H, W), (H, W, 1) grey and (H, W, 4) are understood. timestamp: seconds.
        """
        ...

    def reset(self) -> None:
        """Forget the track: the next frame belongs to another video."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class DetectorOptions:
    """How faces are found and followed.

    faces: how many are followed at a time; None follows all.
    min_detection_score, min_tracking_score: mediapipe's thresholds, 0..1.
    hold_seconds: after the one followed face was lost, only a face near its last place is taken up again for
        this long; later the largest one is. Where several are followed, this is how long a lost one is looked
        for in every frame.
    search_seconds: how often new faces are looked for while fewer than `faces` are followed.
    landmarker: a `.task` file for mediapipe's Tasks API (`tdmm.fit.tasks_detector`); None: the models that
        mediapipe 0.10.21 brings along.
    """

    faces: int | None = 1
    min_detection_score: float = 0.5
    min_tracking_score: float = 0.5
    hold_seconds: float = 1.0
    search_seconds: float = 0.4
    landmarker: str | None = None


def open_detector(options: DetectorOptions | None = None) -> Detector:
    """The detector that this installation has, or the one of `options.landmarker`.

    Raises `MissingPartError`, which says how to install one, and `LandmarkerError` for a file that is none.
    """
    options = options or DetectorOptions()
    if options.landmarker is None:
        return MediapipeDetector(options)
    from tdmm.fit.tasks_detector import TasksDetector

    return TasksDetector(options, options.landmarker)


@dataclass(frozen=True)
class Region:
    """A square of a picture in which a face is looked for: pixels, turned clockwise by `angle` radians."""

    middle: np.ndarray  # (2,) x, y
    side: float
    angle: float

    @property
    def box(self) -> np.ndarray:
        """(4,) the upright square around it: left, top, right, bottom."""
        half = 0.5 * self.side * (abs(np.cos(self.angle)) + abs(np.sin(self.angle)))
        return np.concatenate([self.middle - half, self.middle + half])


class MediapipeDetector:
    """mediapipe 0.10 FaceMesh: 478 points with iris, following one face or several.

    When no face is followed, mediapipe's face detectors (near range, then far range) look for all faces and the
    largest is taken up. From then on its own landmarks say where the landmark network looks next, as in
    mediapipe's tracking mode, so that no other face can take its place. The face's region alone is cut out and
    handed over: a large frame costs no more than a small one, and a small face in it keeps its pixels.

    Of several faces each has its own region. While there is room for more, new ones are looked for now and then; two
    regions that end up on one face (one passed before the other) become one, and the hidden face is found anew later:
    who it was is not known here (see `tdmm.fit.tracks`).
    """

    name = "mediapipe-facemesh"
    scheme = "mediapipe478"

    def __init__(self, options: DetectorOptions) -> None:
        parts = _import_mediapipe()
        self.version = parts.version
        self._options = options
        self._rectangle = parts.rectangle
        self._talks = True
        with without_chatter():
            self._finders: list[Any] = [
                parts.finder(min_detection_confidence=options.min_detection_score, model_selection=reach)
                for reach in (0, 1)
            ]
            self._mesh: Any = parts.mesh(options.min_tracking_score)
            blank = np.zeros((64, 64, 3), np.uint8)
            self._find(blank)
            self._look(blank, Region(np.array([32.0, 32.0]), 64.0, 0.0))
        self._next: list[Region] = []  # where to look in the next frame
        self._last: Region | None = None  # where the first face was seen last, and when
        self.reset()

    def detect(self, image: np.ndarray, timestamp: float) -> list[Landmarks]:
        image = rgb_picture(image)
        if min(image.shape[:2]) < SHORTEST_SIDE:
            self._next = []
            return []
        followed = len(self._next)
        found = self._look_into(image, self._next)
        if len(found) < followed:
            self._lost_at = timestamp
        # A single face that was lost is looked for from the next frame on.
        if self._searches(timestamp, followed if self._options.faces == 1 else len(found)):
            self._searched_at = timestamp
            found = self._look_into(image, self._choose(self._find(image), found, timestamp), found)
        self._next = [region_of(face) for face in found]
        if found:
            self._last, self._last_seen = self._next[0], timestamp
        return found

    def reset(self) -> None:
        self._next, self._last = [], None
        self._last_seen = self._lost_at = self._searched_at = -np.inf

    def close(self) -> None:
        for graph in (self._mesh, *self._finders):
            graph.close()

    def _searches(self, timestamp: float, followed: int) -> bool:
        """Whether new faces are looked for in this frame."""
        if followed == 0:
            return True
        if self._options.faces is not None and followed >= self._options.faces:
            return False
        return (
            timestamp - self._searched_at >= self._options.search_seconds
            or timestamp - self._lost_at <= self._options.hold_seconds
        )

    def _look_into(
        self, image: np.ndarray, regions: Sequence[Region], faces: Sequence[Landmarks] = ()
    ) -> list[Landmarks]:
        """`faces` and those in the regions, each face once: of two regions with one face the nearer one has it."""
        found = [(face, 1.0) for face in faces]
        for region in regions:
            face = self._look(image, region)
            if face is None:
                continue
            likely = overlap(region_of(face).box, region.box)
            rivals = [other for other in found if overlap(other[0].box, face.box) > SAME_FACE]
            if all(likely > other[1] for other in rivals):
                found = [other for other in found if not any(other is rival for rival in rivals)]
                found.append((face, likely))
        return [face for face, _ in found]

    def _look(self, image: np.ndarray, region: Region) -> Landmarks | None:
        """The landmarks of the face in a region, or None where there is none."""
        height, width = image.shape[:2]
        left, top = np.clip(np.floor(region.box[:2]), 0, [width - 1, height - 1]).astype(int)
        right, bottom = np.clip(np.ceil(region.box[2:]), [left + 1, top + 1], [width, height]).astype(int)
        cut = image[top:bottom, left:right]
        factor = max(1, int(region.side // REGION_SIDE))
        if factor > 1:
            cut = np.asarray(Image.fromarray(cut).reduce(factor))
        # A reduced cut-out covers whole blocks, of which the last may stick out.
        extent = np.array([cut.shape[1], cut.shape[0], cut.shape[1]], np.float64) * factor
        place = (region.middle - [left, top]) / extent[:2]
        rectangle = self._rectangle(
            x_center=place[0],
            y_center=place[1],
            width=region.side / extent[0],
            height=region.side / extent[1],
            rotation=region.angle,
        )
        with without_chatter() if self._talks else nullcontext():
            answer = self._mesh.process({"image": np.ascontiguousarray(cut), "region": rectangle})
        if not answer.landmarks:
            return None
        self._talks = False  # the first face makes the graph talk once more
        points = np.array([(p.x, p.y, p.z) for p in answer.landmarks.landmark]) * extent + [left, top, 0]
        score = getattr(answer, _SCORE)
        return Landmarks(points.astype(np.float32), 1.0 if score is None else float(np.clip(score, 0, 1)))

    def _find(self, image: np.ndarray) -> list[Region]:
        """Where faces are in a whole picture: by the near-range detector, else (or also) by the far-range one."""
        factor = -(-max(image.shape[:2]) // LONGEST_SIDE)
        if factor > 1:
            image = np.asarray(Image.fromarray(image).reduce(factor))
        extent = np.array([image.shape[1], image.shape[0]], np.float64) * factor
        regions: list[Region] = []
        for finder in self._finders:
            faces = finder.process(image).detections or []
            regions += [_region_of_detection(face.location_data, extent) for face in faces]
            if regions and self._options.faces == 1:
                break
        return regions

    def _choose(self, regions: list[Region], known: list[Landmarks], timestamp: float) -> list[Region]:
        """The largest faces that are not known, as many as there is room for.

        A single face, shortly after it was lost, has to overlap the lost face's region.
        """
        held = self._options.faces == 1 and timestamp - self._last_seen <= self._options.hold_seconds
        if held and self._last is not None:
            regions = [region for region in regions if overlap(region.box, self._last.box) > 0.1]
        taken = [region_of(face).box for face in known]
        chosen: list[Region] = []
        for region in sorted(regions, key=lambda region: -region.side):
            if all(overlap(region.box, box) < SAME_FACE for box in taken):
                chosen.append(region)
                taken.append(region.box)
        return chosen if self._options.faces is None else chosen[: self._options.faces - len(known)]


def region_of(face: Landmarks) -> Region:
    """Where to look in the next frame: mediapipe's FaceLandmarkLandmarksToRoi."""
    corners = face.points[[RIGHT_OUTER_EYE, LEFT_OUTER_EYE], :2].astype(np.float64)
    return _square_around(face.box.astype(np.float64), corners[1] - corners[0])


def _region_of_detection(location: Any, extent: np.ndarray) -> Region:
    """Where to look for a face that was just found: mediapipe's FaceDetectionFrontDetectionToRoi."""
    box, eyes = location.relative_bounding_box, location.relative_keypoints[:2]
    low = np.array([box.xmin, box.ymin]) * extent
    high = low + np.array([box.width, box.height]) * extent
    direction = np.array([eyes[1].x - eyes[0].x, eyes[1].y - eyes[0].y]) * extent
    return _square_around(np.concatenate([low, high]), direction)


def _square_around(box: np.ndarray, eye_to_eye: np.ndarray) -> Region:
    low, high = box[:2], box[2:]
    side = ROOM_AROUND_FACE * float((high - low).max())
    return Region(0.5 * (low + high), side, float(np.arctan2(eye_to_eye[1], eye_to_eye[0])))


@dataclass(frozen=True)
class _MediapipeParts:
    finder: Any
    mesh: Any
    rectangle: Any
    version: str


def _import_mediapipe() -> _MediapipeParts:
    """What is used of mediapipe. Raises `MissingPartError` with the one line that mends it."""
    try:
        with without_chatter():
            import mediapipe
            from google.protobuf import text_format
            from mediapipe.framework import calculator_pb2
            from mediapipe.framework.formats import rect_pb2
            from mediapipe.python import solution_base
            from mediapipe.python.solutions import face_detection
    except ModuleNotFoundError as error:
        raise MissingPartError(
            f"face detection needs mediapipe 0.10.21, which is for Python 3.9 to 3.12 ({error}): "
            "run `pip install mediapipe==0.10.21` there, or name a face_landmarker.task with --landmarker"
        ) from error
    except ImportError as error:
        # mediapipe imports OpenCV's build with windows, which wants these two of a bare machine.
        if ".so" in str(error):
            raise MissingPartError(
                f"mediapipe cannot load a system library ({error}): run `{SYSTEM_LIBRARIES}`"
            ) from error
        raise MissingPartError(
            f"mediapipe is installed but does not load ({error}): run `pip install mediapipe==0.10.21`"
        ) from error

    def mesh(min_score: float) -> Any:
        types = solution_base.PacketDataType
        return solution_base.SolutionBase(
            graph_config=text_format.Parse(_GRAPH, calculator_pb2.CalculatorGraphConfig()),
            side_inputs={"with_attention": True},
            calculator_params={"facelandmarkcpu__ThresholdingCalculator.threshold": min_score},
            outputs=["landmarks", _SCORE],
            stream_type_hints={_SCORE: types.FLOAT, "region": types.PROTO, "landmarks": types.PROTO},
        )

    return _MediapipeParts(
        finder=face_detection.FaceDetection,
        mesh=mesh,
        rectangle=rect_pb2.NormalizedRect,
        version=str(getattr(mediapipe, "__version__", "unknown")),
    )


def rgb_picture(image: np.ndarray) -> np.ndarray:
    image = np.asarray(image)
    if image.ndim == 2:
        image = image[..., None]
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (1, 3, 4):
        raise ValueError(f"image: expected (H, W, 3) uint8, found {image.dtype} {image.shape}")
    if image.shape[2] == 1:
        image = np.repeat(image, 3, axis=2)
    return np.ascontiguousarray(image[..., :3])


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes."""
    width, height = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    if width <= 0 or height <= 0:
        return 0.0
    both = float(width * height)
    return both / float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - both)
