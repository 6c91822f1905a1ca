"""Where the camera stands: the motion's own place, or round the head with a framing fixed for the whole clip."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tdmm.motion import FaceMotion, default_camera
from tdmm.render.camera import Camera

DEFAULT_SIZE = (512, 512)
# How far round to the subject's left the camera stands, degrees.
YAW = {"front": 0.0, "three-quarter": 35.0, "side": 90.0}
# A turntable makes whole turns, so that a looped clip has no jump: as many as come nearest to this many seconds each.
TURN_SECONDS = 6.0
# Share of the picture's half that stays free beside the head.
MARGIN = 0.07
# A long clip is framed from this many of its frames, and from those in which the head is farthest out.
FRAMED_FRAMES = 24
CENTRINGS = 6


@dataclass(frozen=True)
class View:
    """A camera and, for each frame t, the yaw at which it stands round `centre`, `distance` metres away.

    yaw: (T,) radians, towards the subject's left; None: the camera stays at the origin, as the motion was made.
    centre: (3,) world point at the middle of the picture.
    """

    camera: Camera
    yaw: np.ndarray | None = None
    centre: np.ndarray | None = None
    distance: float = 0.0

    def place(self, vertices: np.ndarray, frame: int) -> np.ndarray:
        """World vertices (V, 3) of a frame, in the axes of the camera, float32."""
        if self.yaw is None:
            return vertices
        x, y, z = turned_back(vertices - self.centre, self.yaw[frame])
        return np.stack([x, y, z - self.distance], axis=-1).astype(np.float32)


def turn_about_y(angle: float) -> np.ndarray:
    """Rotation matrix (3, 3) about +y; `angle` radians > 0 turns +z towards +x."""
    cosine, sine = math.cos(angle), math.sin(angle)
    return np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]])


def turned_back(points: np.ndarray, angle: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, y and z of points (..., 3) in the axes of a camera that stands `angle` radians (broadcast) about +y.

    Written out: a matrix product would wake the threads of the linear algebra library for each frame, and those then
    wait for more in a busy loop, on cores that others could use.
    """
    x, y, z = np.moveaxis(points, -1, 0)
    cosine, sine = np.cos(angle), np.sin(angle)
    return cosine * x - sine * z, y, sine * x + cosine * z


def choose_view(
    motion: FaceMotion,
    view: str,
    size: tuple[int, int] | None,
    vertices_of: Callable[[np.ndarray], np.ndarray],
) -> View:
    """The view named `view` (see `RenderOptions`) of a motion in pictures of `size` (H, W).

    vertices_of: gives the world vertices (n, V, 3) of the frames with the indices (n,).
    """
    if view == "camera":
        return View(Camera.of_motion(motion, size))
    camera = Camera(default_camera(size or DEFAULT_SIZE), size or DEFAULT_SIZE)
    if view == "turntable":
        turns = max(1, round(motion.duration / TURN_SECONDS))
        yaw = 2 * np.pi * turns * (motion.timestamps - motion.timestamps[0]) / motion.duration
        angles = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    else:
        yaw = np.full(len(motion), math.radians(YAW[view]))
        angles = yaw[:1]
    points = vertices_of(outlying_frames(motion)).reshape(-1, 3).astype(np.float64)
    centre, distance = frame_points(points, angles, camera)
    return View(camera, yaw, centre, distance)


def outlying_frames(motion: FaceMotion) -> np.ndarray:
    """Indices of frames that between them show how far out the head gets."""
    even = np.linspace(0, len(motion) - 1, min(len(motion), FRAMED_FRAMES)).round().astype(int)
    paths = np.concatenate([motion.translation, motion.rotation], axis=1)
    return np.unique(np.concatenate([even, paths.argmin(axis=0), paths.argmax(axis=0)]))


def frame_points(points: np.ndarray, angles: np.ndarray, camera: Camera) -> tuple[np.ndarray, float]:
    """Centre (3,) and the least distance from which points (N, 3) fill the picture but stay inside its margin.

    angles: radians about the vertical at which the camera may stand; the centre is the same for all of them.
    """
    height, width = camera.image_size
    focal = camera.intrinsics[0, 0]
    room = (1 - MARGIN) * np.array([width, height]) / 2 / focal
    angles = np.asarray(angles)[:, None]
    x, y, z = turned_back(np.asfortranarray(points), angles)  # each (A, N)

    def seen(centre: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
        """Points from the centre, and the distance: |x| / (distance - z) <= room, and the same upwards."""
        at_x, at_y, at_z = turned_back(centre, angles)
        dx, dy, dz = x - at_x, y - at_y, z - at_z
        return dx, dy, dz, float((dz + np.maximum(np.abs(dx) / room[0], np.abs(dy) / room[1])).max())

    centre = (points.min(axis=0) + points.max(axis=0)) / 2
    # Perspective: what is nearer counts for more, so the middle of the points is not the middle of their picture.
    for _ in range(CENTRINGS):
        dx, dy, dz, distance = seen(centre)
        nearness = distance / (distance - dz)
        dx, dy = dx * nearness, dy * nearness
        centre[1] += (dy.min() + dy.max()) / 2
        if len(angles) == 1:
            centre += turn_about_y(angles[0, 0]) @ [(dx.min() + dx.max()) / 2, 0.0, 0.0]
    return centre, seen(centre)[3]
