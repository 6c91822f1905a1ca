"""A pinhole camera: points in world = camera space (OpenGL axes) to pixels (OpenCV sense)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tdmm.motion import FaceMotion

# Nothing nearer than this is drawn: the projection of a point at the camera, or behind it, means nothing.
NEAR = 1e-3


@dataclass(frozen=True)
class Camera:
    """A pinhole camera at the origin that looks along -z, +x right, +y up.

    intrinsics: (3, 3) float64 matrix K in pixels. image_size: (H, W) pixels.
    Pixel (row i, column j) covers [j, j + 1) x [i, i + 1); its centre lies at (j + 0.5, i + 0.5).
    """

    intrinsics: np.ndarray
    image_size: tuple[int, int]

    @cached_property
    def inverse(self) -> np.ndarray:
        """K^-1 (3, 3) float64. Kept: asked for each frame, it would keep the linear algebra library's threads busy."""
        return np.linalg.inv(self.intrinsics)

    @staticmethod
    def of_motion(motion: FaceMotion, image_size: tuple[int, int] | None = None) -> Camera:
        """The motion's own camera, fitted into pictures of another size (H, W) if one is given."""
        camera = Camera(motion.camera, motion.image_size)
        return camera if image_size is None else camera.fitted(image_size)

    def fitted(self, image_size: tuple[int, int]) -> Camera:
        """The same view in a picture of (H, W) pixels: scaled evenly to fit inside, and centred."""
        (old_height, old_width), (height, width) = self.image_size, image_size
        scale = min(height / old_height, width / old_width)
        shift_x, shift_y = (width - scale * old_width) / 2, (height - scale * old_height) / 2
        resize = np.array([[scale, 0, shift_x], [0, scale, shift_y], [0, 0, 1]])
        return Camera(resize @ self.intrinsics, (int(height), int(width)))

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixels (..., 2) as (x, y) and depths (...) in metres of world points (..., 3); both float32.

        The pixel of p is K . diag(1, -1, -1) . p, divided by its third component, the depth -z. A point nearer
        than `NEAR`, or behind the camera, keeps its depth (so that a rasteriser can drop it) and gets the pixel
        of the point moved to `NEAR`: finite, but meaningless.
        """
        p = np.asarray(points, np.float64) * (1.0, -1.0, -1.0)
        depth = p[..., 2]
        homogeneous = p @ np.asarray(self.intrinsics, np.float64)[:2].T
        xy = homogeneous / np.maximum(depth, NEAR)[..., None]
        return xy.astype(np.float32), depth.astype(np.float32)
