"""The camera against the projection formula of docs/conventions.md."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tdmm.motion import default_camera, make_motion
from tdmm.render.camera import NEAR, Camera
from tdmm.render.geometry import project_points

coordinate = st.floats(-3, 3, width=32)


@given(st.lists(st.tuples(coordinate, coordinate, st.floats(-3, -0.125, width=32)), min_size=1, max_size=20))
def test_projection_formula(points: list[tuple[float, float, float]]) -> None:
    intrinsics = np.array([[900, 0, 300.5], [0, 950, 211], [0, 0, 1]])
    xy, depth = Camera(intrinsics, (480, 640)).project(np.array(points, np.float32))
    for point, pixel, distance in zip(points, xy, depth, strict=True):
        u, v, w = intrinsics @ np.diag([1, -1, -1]) @ np.array(point, np.float64)
        np.testing.assert_allclose(pixel, [u / w, v / w], rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(distance, w, rtol=1e-6)


def test_known_pixels() -> None:
    camera = Camera(np.array([[100.0, 0, 32], [0, 100, 24], [0, 0, 1]]), (48, 64))
    xy, depth = camera.project(np.array([[0, 0, -1], [0.1, 0, -1], [0, 0.1, -1], [0.1, 0.1, -2]]))
    # +x goes to the right, +y up, which is to lower rows; the axis hits the middle between pixels 31 and 32.
    np.testing.assert_allclose(xy, [[32, 24], [42, 24], [32, 14], [37, 19]], atol=1e-5)
    np.testing.assert_allclose(depth, [1, 1, 1, 2])


def test_points_behind_the_camera_stay_finite_and_keep_their_depth() -> None:
    xy, depth = Camera(default_camera(), (512, 512)).project(np.array([[0.1, 0.2, 0.5], [0, 0, 0], [0, 0, -NEAR]]))
    assert np.isfinite(xy).all()
    np.testing.assert_allclose(depth, [-0.5, 0, NEAR], atol=1e-9)


def test_fitting_scales_evenly_and_centres() -> None:
    camera = Camera(default_camera((100, 200)), (100, 200))
    points = np.random.default_rng(0).uniform(-0.2, 0.2, (20, 3)) - [0, 0, 1]
    before, _ = camera.project(points)
    after, _ = camera.fitted((300, 400)).project(points)  # twice as large, 50 rows of border above and below
    np.testing.assert_allclose(after, before * 2 + [0, 50], rtol=1e-5)
    assert camera.fitted((100, 200)).intrinsics.tolist() == camera.intrinsics.tolist()


def test_compiled_projection_is_the_same() -> None:
    camera = Camera(np.array([[800.0, 3, 260], [0, 820, 250], [0, 0, 1]]), (512, 512))
    points = np.random.default_rng(1).normal(size=(200, 3)).astype(np.float32)
    xy, depth = np.empty((200, 2), np.float32), np.empty(200, np.float32)
    project_points(points, camera.intrinsics, xy, depth)
    expected_xy, expected_depth = camera.project(points)
    np.testing.assert_array_equal(depth, expected_depth)
    np.testing.assert_allclose(xy, expected_xy, rtol=1e-6, atol=1e-4)


def test_camera_of_a_motion() -> None:
    motion = make_motion(np.zeros((1, 1)), ["a"], face_model="m", face_model_sha256="0", image_size=(90, 160))
    camera = Camera.of_motion(motion)
    assert camera.image_size == (90, 160)
    np.testing.assert_array_equal(camera.intrinsics, motion.camera)
    assert Camera.of_motion(motion, (180, 320)).intrinsics[0, 0] == 2 * motion.camera[0, 0]
