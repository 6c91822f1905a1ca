"""The rasteriser against its slow twin, and the laws of coverage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapes import soup, sphere

from tdmm.motion import default_camera
from tdmm.render.camera import Camera
from tdmm.render.raster import Fragments, rasterize
from tdmm.render.reference import rasterize_slowly


def assert_same(fast: Fragments, slow: Fragments) -> None:
    np.testing.assert_array_equal(fast.face_id, slow.face_id)
    np.testing.assert_allclose(fast.barycentric, slow.barycentric, atol=2e-4)
    np.testing.assert_allclose(fast.depth, slow.depth, rtol=1e-6)


@pytest.mark.parametrize("cull", [True, False])
@pytest.mark.parametrize("image_size", [(1, 1), (7, 5), (33, 47), (64, 64)])
@pytest.mark.parametrize("seed", [0, 1])
def test_soup_equals_slow_twin(image_size: tuple[int, int], cull: bool, seed: int) -> None:
    xy, depth, faces = soup(np.random.default_rng(seed), 60, image_size)
    assert_same(rasterize(xy, depth, faces, image_size, cull), rasterize_slowly(xy, depth, faces, image_size, cull))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(*[st.integers(-8, 24)] * 6), min_size=1, max_size=8), st.booleans())
def test_corners_and_edges_on_pixel_centres_equal_slow_twin(corners: list[tuple[int, ...]], cull: bool) -> None:
    # Halves: corners and edges hit pixel centres exactly, where only the top-left rule decides.
    xy = np.array(corners, np.float32).reshape(-1, 2) / 2
    depth = np.linspace(0.5, 1.0, len(xy), dtype=np.float32)
    faces = np.arange(len(xy), dtype=np.int32).reshape(-1, 3)
    assert_same(rasterize(xy, depth, faces, (9, 9), cull), rasterize_slowly(xy, depth, faces, (9, 9), cull))


def fan(rng: np.random.Generator, on_grid: bool) -> tuple[np.ndarray, np.ndarray]:
    """A jittered grid of triangles that tiles a rectangle larger than the picture: pixels, faces."""
    n = 9
    grid = np.stack(np.meshgrid(np.arange(n), np.arange(n)), axis=-1).reshape(-1, 2) * 6.0 - 4.0
    inner = (grid > -4).all(axis=1) & (grid < 44).all(axis=1)
    jitter = rng.integers(-4, 5, grid.shape) / 2 if on_grid else rng.uniform(-2, 2, grid.shape)
    grid[inner] += jitter[inner]
    faces = []
    for i in range(n - 1):
        for j in range(n - 1):
            a, b, c, d = i * n + j, i * n + j + 1, (i + 1) * n + j, (i + 1) * n + j + 1
            faces += [[a, c, b], [b, c, d]] if rng.random() < 0.5 else [[a, c, d], [a, d, b]]
    return grid.astype(np.float32), np.array(faces, np.int32)


@pytest.mark.parametrize("on_grid", [False, True])
def test_neighbours_share_no_pixel_and_leave_no_gap(on_grid: bool) -> None:
    xy, faces = fan(np.random.default_rng(3), on_grid)
    depth = np.ones(len(xy), np.float32)
    image_size = (40, 40)
    hits = np.zeros(image_size, int)
    for face in faces:  # each alone: no other can hide a double hit
        hits += rasterize(xy, depth, face[None], image_size, cull=False).face_id >= 0
    np.testing.assert_array_equal(hits, 1)


def test_pixel_centres_are_at_half() -> None:
    # A square from (2, 1) to (5, 3) pixels covers exactly columns 2-4 of rows 1-2.
    xy = np.array([[2, 1], [5, 1], [5, 3], [2, 3]], np.float32)
    faces = np.array([[0, 2, 1], [0, 3, 2]], np.int32)
    covered = rasterize(xy, np.ones(4, np.float32), faces, (5, 7)).face_id >= 0
    expected = np.zeros((5, 7), bool)
    expected[1:3, 2:5] = True
    np.testing.assert_array_equal(covered, expected)


def test_culling_drops_the_faces_that_turn_away() -> None:
    xy = np.array([[0, 0], [0, 8], [8, 0]], np.float32)  # counter-clockwise as one sees it: a front face
    depth = np.ones(3, np.float32)
    front, back = np.array([[0, 1, 2]], np.int32), np.array([[0, 2, 1]], np.int32)
    assert (rasterize(xy, depth, front, (8, 8)).face_id >= 0).sum() == 28
    assert (rasterize(xy, depth, back, (8, 8)).face_id >= 0).sum() == 0
    shown = rasterize(xy, depth, back, (8, 8), cull=False)
    assert (shown.face_id >= 0).sum() == 28


def test_nearer_wins_whatever_the_order_and_equal_depth_goes_to_the_lower_index() -> None:
    square = np.array([[0, 0], [0, 20], [20, 0]], np.float32)
    xy = np.concatenate([square, square, square])
    faces = np.arange(9, dtype=np.int32).reshape(3, 3)
    for depths, winner in (((3, 1, 2), 1), ((2, 2, 2), 0), ((5, 4, 4), 1)):
        depth = np.repeat(np.array(depths, np.float32), 3)
        seen = rasterize(xy, depth, faces, (6, 6))
        assert set(np.unique(seen.face_id)) == {winner}
        np.testing.assert_allclose(seen.depth, depths[winner], rtol=1e-6)


def test_barycentrics_are_perspective_correct() -> None:
    # A tilted plane: the world point rebuilt from the barycentrics must lie on the pixel's ray.
    camera = Camera(default_camera((48, 64)), (48, 64))
    points = np.array([[-0.5, -0.4, -0.6], [0.9, -0.5, -2.5], [0.0, 0.8, -1.2]], np.float32)
    xy, depth = camera.project(points)
    seen = rasterize(xy, depth, np.array([[0, 1, 2]]), camera.image_size, cull=False)
    rows, columns = np.nonzero(seen.face_id >= 0)
    assert len(rows) > 200
    rebuilt = seen.barycentric[rows, columns] @ points
    back, distance = camera.project(rebuilt)
    np.testing.assert_allclose(back, np.stack([columns, rows], axis=1) + 0.5, atol=2e-3)
    np.testing.assert_allclose(seen.depth[rows, columns], distance, rtol=1e-5)
    np.testing.assert_allclose(seen.barycentric[rows, columns].sum(axis=1), 1, atol=1e-6)


def test_projected_area_of_a_sphere() -> None:
    camera = Camera(default_camera(), (512, 512))
    radius, distance = 0.1, 0.6
    vertices, faces = sphere(radius, 96, 192)
    xy, depth = camera.project(vertices + np.float32([0, 0, -distance]))
    seen = rasterize(xy, depth, faces, camera.image_size)
    # The silhouette of a centred sphere is a circle of f r / sqrt(d^2 - r^2) pixels.
    circle = np.pi * (camera.intrinsics[0, 0] * radius) ** 2 / (distance**2 - radius**2)
    assert (seen.face_id >= 0).sum() == pytest.approx(circle, rel=2e-3)
    assert seen.depth[256, 256] == pytest.approx(distance - radius, rel=1e-3)


def test_nothing_is_drawn_that_cannot_be() -> None:
    nan, inf = np.nan, np.inf
    bad_pixels = [[nan, 0], [0, 8], [8, 0]], [[0, 0], [inf, 8], [8, 0]], [[1, 1], [4, 4], [7, 7]], [[3, 3]] * 3
    for corners in bad_pixels:
        seen = rasterize(np.array(corners, np.float32), np.ones(3, np.float32), np.array([[0, 1, 2]]), (8, 8), False)
        assert (seen.face_id == -1).all()
        assert (seen.depth == 0).all()
        assert (seen.barycentric == 0).all()
    corners = np.array([[0, 0], [0, 8], [8, 0]], np.float32)
    for behind in (-1.0, 0.0, 1e-4, nan):
        seen = rasterize(corners, np.array([1, behind, 1], np.float32), np.array([[0, 1, 2]]), (8, 8))
        assert (seen.face_id == -1).all()
    assert (rasterize(corners, np.ones(3), np.zeros((0, 3), np.int32), (8, 8)).face_id == -1).all()


def test_huge_and_distant_triangles() -> None:
    xy = np.array([[-3e6, -2e6], [-1e6, 4e6], [5e6, 1e5], [900, 900], [900, 950], [950, 900]], np.float32)
    depth = np.array([1, 2, 3, 1, 1, 1], np.float32)
    faces = np.array([[0, 1, 2], [3, 4, 5]], np.int32)
    assert_same(rasterize(xy, depth, faces, (16, 24)), rasterize_slowly(xy, depth, faces, (16, 24)))
    assert (rasterize(xy, depth, faces, (16, 24)).face_id == 0).all()


def test_batch_equals_loop() -> None:
    rng = np.random.default_rng(5)
    pictures = [soup(rng, 40, (40, 30)) for _ in range(3)]
    faces = pictures[0][2]
    xy, depth = (np.stack([p[k] for p in pictures]) for k in (0, 1))
    batch = rasterize(xy, depth, faces, (40, 30))
    for b in range(3):
        alone = rasterize(xy[b], depth[b], faces, (40, 30))
        for name in ("face_id", "barycentric", "depth"):
            np.testing.assert_array_equal(getattr(batch, name)[b], getattr(alone, name))
