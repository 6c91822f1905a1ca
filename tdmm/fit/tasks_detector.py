"""mediapipe's FaceLandmarker (Tasks API) as a `Detector`: a `.task` file, for any mediapipe that has this API.

mediapipe's wheels after 0.10.21 hold no models: the landmarker is a file of its own. `download_landmarker` gets
Google's, whose content is pinned by its checksum; any other one with 478 points serves as well.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import urllib.error
import urllib.request
import zipfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from tdmm.errors import MissingPartError, TdmmError
from tdmm.fit.detect import (
    SHORTEST_SIDE,
    SYSTEM_LIBRARIES,
    DetectorOptions,
    Landmarks,
    Region,
    overlap,
    region_of,
    rgb_picture,
)
from tdmm.fit.quiet import without_chatter

URL = "https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/face_landmarker.task"
SHA256 = "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"
_PARTS = ("face_detector.tflite", "face_landmarks_detector.tflite")
_MODEL_IN_WHEEL = "modules/face_landmark/face_landmark_with_attention.tflite"
# With one face alone the API smooths its landmarks over time, which makes them lag behind a blink; so it is asked for
# two, and the one to follow is chosen here. As many as this when all faces are to be followed.
_LEAST_FACES, _ALL_FACES = 2, 16
# Overlap with its last region by which a face is taken for the one that was followed.
_SAME_PLACE = 0.1


class LandmarkerError(TdmmError):
    """A `.task` file that is no face landmarker."""


class TasksDetector:
    """478 points with iris by mediapipe's FaceLandmarker, following one face or several.

    The API tells no score for a face: it is 1 wherever one was found. See `DetectorOptions`; `search_seconds` is not
    used, since the API looks for new faces in every frame in which it follows fewer than it may.
    """

    name = "mediapipe-tasks"
    scheme = "mediapipe478"
    _clock: int  # milliseconds of the last picture; -1 before the first
    _last: Region | None  # where the first face was seen last, and when
    _last_seen: float

    def __init__(self, options: DetectorOptions, landmarker: str | os.PathLike[str]) -> None:
        """Raises `LandmarkerError` for a file that is no face landmarker, `MissingPartError` without the API."""
        self._path = Path(landmarker).expanduser()
        _check_bundle(self._path)
        self._options = options
        self._mediapipe, self._vision, self._base = _import_tasks()
        self.version = str(getattr(self._mediapipe, "__version__", "unknown"))
        self._task: Any = self._open()
        self._talks = True
        self._forget()

    def detect(self, image: np.ndarray, timestamp: float) -> list[Landmarks]:
        image = rgb_picture(image)
        if min(image.shape[:2]) < SHORTEST_SIDE:
            return []
        if self._task is None:
            self._task = self._open()
        # The API wants whole milliseconds that never stand still.
        self._clock = max(self._clock + 1, round(1000 * timestamp))
        picture = self._mediapipe.Image(image_format=self._mediapipe.ImageFormat.SRGB, data=image)
        with without_chatter() if self._talks else nullcontext():
            answer = self._task.detect_for_video(picture, self._clock)
        self._talks = self._talks and not answer.face_landmarks
        height, width = image.shape[:2]
        faces = [
            Landmarks(np.array([(p.x * width, p.y * height, p.z * width) for p in points], np.float32), 1.0)
            for points in answer.face_landmarks
        ]
        return self._followed(faces, timestamp)

    def reset(self) -> None:
        if self._clock >= 0:
            self.close()  # what it follows is known to it alone; the next picture opens another
        self._forget()

    def _forget(self) -> None:
        self._clock = -1
        self._last = None
        self._last_seen = -np.inf

    def close(self) -> None:
        if self._task is not None:
            self._task.close()
        self._task = None

    def _open(self) -> Any:
        options, most = self._options, self._options.faces
        try:
            with without_chatter():
                return self._vision.FaceLandmarker.create_from_options(
                    self._vision.FaceLandmarkerOptions(
                        base_options=self._base(model_asset_path=str(self._path)),
                        running_mode=self._vision.RunningMode.VIDEO,
                        num_faces=_ALL_FACES if most is None else max(_LEAST_FACES, most),
                        min_face_detection_confidence=options.min_detection_score,
                        min_face_presence_confidence=options.min_tracking_score,
                        min_tracking_confidence=options.min_tracking_score,
                    )
                )
        except (RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise LandmarkerError(f"{self._path}: mediapipe {self.version} does not load it: {reason}") from error

    def _followed(self, faces: list[Landmarks], timestamp: float) -> list[Landmarks]:
        """The faces to follow, the one followed before first: it is the one that overlaps its last region most.

        As with every detector, a single face shortly after its loss has to come back near its last place.
        """
        faces = sorted(faces, key=lambda face: -region_of(face).side)
        if self._last is not None:
            nearness = [overlap(region_of(face).box, self._last.box) for face in faces]
            held = timestamp - self._last_seen <= self._options.hold_seconds
            best = max(range(len(faces)), key=nearness.__getitem__, default=None)
            if best is not None and nearness[best] > _SAME_PLACE:
                faces.insert(0, faces.pop(best))
            elif held and self._options.faces == 1:
                faces = []
        faces = faces if self._options.faces is None else faces[: self._options.faces]
        if faces:
            self._last, self._last_seen = region_of(faces[0]), timestamp
        return faces


def has_mediapipe() -> bool:
    """Whether mediapipe is installed; nothing is imported."""
    return importlib.util.find_spec("mediapipe") is not None


def wheel_holds_models() -> bool:
    """Whether the installed mediapipe brings its face models along, as 0.10.21 and older do; nothing is imported."""
    spec = importlib.util.find_spec("mediapipe")
    places = spec.submodule_search_locations if spec is not None else None
    return any((Path(place) / _MODEL_IN_WHEEL).exists() for place in places or ())


def download_landmarker(place: Path) -> Path:
    """Google's face landmarker at that path, downloaded (3.8 MB) if it is not there yet. Returns the path.

    Only the very file that this version of tdmm knows is kept. Raises `MissingPartError`, with what to do instead.
    """
    try:
        if place.exists() and hashlib.sha256(place.read_bytes()).hexdigest() == SHA256:
            return place
        place.parent.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(URL, timeout=60) as answer:
            data = answer.read()
        found = hashlib.sha256(data).hexdigest()
        if found != SHA256:
            raise OSError(f"what came has the checksum {found[:12]} instead of {SHA256[:12]}")
        beside = place.with_name(f".{os.getpid()}-{place.name}")
        try:
            beside.write_bytes(data)
            os.replace(beside, place)
        finally:
            beside.unlink(missing_ok=True)
    except (OSError, urllib.error.URLError) as error:
        reason = getattr(error, "reason", None) or error
        raise MissingPartError(
            f"the face landmarker could not be downloaded ({reason}): get {URL} and name it with --landmarker"
        ) from error
    return place


def _check_bundle(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as bundle:
            inside = set(bundle.namelist())
    except FileNotFoundError:
        raise LandmarkerError(f"{path}: there is no such file; get {URL}") from None
    except (OSError, zipfile.BadZipFile) as error:
        raise LandmarkerError(f"{path}: is no .task file ({error}); get {URL}") from error
    if missing := [part for part in _PARTS if part not in inside]:
        raise LandmarkerError(f"{path}: is no face landmarker: it holds no {' and no '.join(missing)}; get {URL}")


def _import_tasks() -> tuple[Any, Any, Any]:
    """mediapipe, its vision tasks and their base options. Raises `MissingPartError` with the one line that mends it."""
    try:
        with without_chatter():
            import mediapipe
            from mediapipe.tasks.python import BaseOptions, vision
    except ModuleNotFoundError as error:
        raise MissingPartError(f"face detection needs mediapipe ({error}): run `pip install mediapipe`") from error
    except (ImportError, OSError) as error:
        if ".so" in str(error):
            raise MissingPartError(
                f"mediapipe cannot load a system library ({error}): run `{SYSTEM_LIBRARIES}`"
            ) from error
        raise MissingPartError(
            f"mediapipe is installed but does not load ({error}): run `pip install --force-reinstall mediapipe`"
        ) from error
    return mediapipe, vision, BaseOptions
