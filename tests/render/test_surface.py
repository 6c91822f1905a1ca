"""Subdivision, normals and the drawn surface against their slow twins and laws."""

from __future__ import annotations

import numpy as np
import pytest
from shapes import sphere

from tdmm.render.geometry import vertex_normals
from tdmm.render.reference import loop_subdivide_slowly, vertex_normals_slowly
from tdmm.render.styles import srgb_to_linear
from tdmm.render.subdivision import SparseRows, loop_matrix, midpoint_subdivision, split_faces
from tdmm.render.surface import halved, prepare_surface


def cut_sphere() -> tuple[np.ndarray, np.ndarray]:
    """A bumpy sphere with a hole and a loose triangle: borders, corners, and valences of 3 to 8."""
    points, faces = sphere(1.0, 5, 8)
    points = points + np.random.default_rng(0).normal(size=points.shape) * 0.05
    points = np.concatenate([points, [[3, 0, 0], [4, 0, 0], [3, 1, 0]]])
    n = len(points)
    return points.astype(np.float32), np.concatenate([faces[7:], [[n - 3, n - 2, n - 1]]]).astype(np.int32)


def test_subdivision_equals_slow_twin() -> None:
    points, faces = cut_sphere()
    matrix, new_faces = loop_matrix(faces, len(points))
    refined = matrix.apply(points)
    edges, _, _ = split_faces(faces, len(points))
    slow = loop_subdivide_slowly(points.astype(np.float64), faces)
    assert len(slow) == len(refined) == len(points) + len(edges)
    keys = [frozenset([v]) for v in range(len(points))] + [frozenset(edge) for edge in edges.tolist()]
    np.testing.assert_allclose(refined, [slow[key] for key in keys], atol=1e-6)
    assert new_faces.shape == (4 * len(faces), 3)


def test_subdivision_keeps_constants_planes_and_windings() -> None:
    points, faces = cut_sphere()
    matrix, new_faces = loop_matrix(faces, len(points))
    np.testing.assert_allclose(matrix.apply(np.ones((len(points), 3))), 1, atol=1e-6)
    shift = np.array([0.3, -2.0, 5.0], np.float32)
    np.testing.assert_allclose(matrix.apply(points + shift), matrix.apply(points) + shift, atol=1e-5)
    flat = points * [1, 1, 0] + [0, 0, 2]
    np.testing.assert_allclose(matrix.apply(flat)[:, 2], 2, atol=1e-6)
    # Each triangle's four children point the way it does.
    old, new = face_normals(points, faces), face_normals(matrix.apply(points), new_faces)
    assert (np.einsum("fd,fkd->fk", old, new.reshape(-1, 4, 3)) > 0).mean() > 0.98


def face_normals(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    a, b, c = points[faces].transpose(1, 0, 2)
    return np.cross(b - a, c - a)


def test_subdivided_sphere_is_rounder() -> None:
    points, faces = sphere(1.0, 10, 20)
    refined_matrix, new_faces = loop_matrix(faces, len(points))
    refined = refined_matrix.apply(points)

    def volume(p: np.ndarray, f: np.ndarray) -> float:
        return float(np.einsum("fd,fd->", p[f[:, 0]], np.cross(p[f[:, 1]], p[f[:, 2]])) / 6)

    radii = np.linalg.norm(refined, axis=1)
    # Loop's surface shrinks a little; what counts is that all vertices lie on nearly one sphere.
    assert radii.std() / radii.mean() < 0.01
    assert volume(refined, new_faces) / (4 / 3 * np.pi * radii.mean() ** 3) > volume(points, faces) / (4 / 3 * np.pi)


def test_borders_depend_on_borders_only() -> None:
    # Parts that share no triangle stay apart, and an open edge keeps its shape whatever the inside does.
    points, faces = cut_sphere()
    matrix, _ = loop_matrix(faces, len(points))
    edges, edge_of_corner, _ = split_faces(faces, len(points))
    uses = np.bincount(edge_of_corner.ravel())
    border = np.unique(edges[uses == 1])
    moved = points.copy()
    inside = np.setdiff1d(np.arange(len(points)), border)
    moved[inside] += 1.0
    unchanged = np.concatenate([border, len(points) + np.flatnonzero(uses == 1)])
    np.testing.assert_allclose(matrix.apply(moved)[unchanged], matrix.apply(points)[unchanged], atol=1e-6)


def test_texture_coordinates_are_split_at_the_middles() -> None:
    uv = np.array([[0, 0], [1, 0], [0, 1]], np.float32)
    values, faces = midpoint_subdivision(uv, np.array([[0, 1, 2]]))
    middles = {(0.5, 0.0), (0.5, 0.5), (0.0, 0.5)}
    assert {tuple(value) for value in values[3:].tolist()} == middles
    centroids = values[faces].mean(axis=1)
    np.testing.assert_allclose(centroids.mean(axis=0), [1 / 3, 1 / 3], atol=1e-6)
    # Position triangles and texture triangles are split in the same order.
    surface = prepare_surface(np.array([[0, 1, 2]]), 3, uv=uv, uv_faces=np.array([[0, 1, 2]]))
    corners = surface.refine(np.concatenate([uv, np.zeros((3, 1))], axis=1))[:, :2]
    middle = np.abs(corners[surface.faces].mean(axis=1) - surface.uv[surface.uv_faces].mean(axis=1))
    assert middle.max() < 0.15


def test_normals_equal_slow_twin_and_point_outwards() -> None:
    points, faces = sphere(0.3, 12, 24)
    normals = vertex_normals(points, faces)
    np.testing.assert_allclose(normals, vertex_normals_slowly(points.astype(np.float64), faces), atol=1e-5)
    np.testing.assert_allclose(normals, points / 0.3, atol=0.05)
    alone = vertex_normals(np.concatenate([points, [[9, 9, 9]]]), faces)
    np.testing.assert_array_equal(alone[-1], 0)


def test_sparse_product_equals_dense() -> None:
    rng = np.random.default_rng(2)
    dense = rng.normal(size=(7, 5)) * (rng.random((7, 5)) < 0.4)
    rows, columns = np.nonzero(dense)
    matrix = SparseRows.of_triplets(rows, columns, dense[rows, columns], 7)
    values = rng.normal(size=(5, 3))
    np.testing.assert_allclose(matrix.apply(values), dense @ values, atol=1e-6)


@pytest.mark.parametrize("subdivide", [True, False])
def test_thin_parts_are_drawn_last_and_invisible_ones_not_at_all(subdivide: bool) -> None:
    _, faces = sphere(1.0, 4, 6)
    parts = np.arange(len(faces)) % 3
    names = ("skin", "lashes", "cornea")
    surface = prepare_surface(faces, int(faces.max()) + 1, part_names=names, part_of_face=parts, subdivide=subdivide)
    order, n_opaque = surface.drawing_order(np.array([1.0, 0.5, 0.0]))
    assert set(surface.part_of_face[order[:n_opaque]]) == {0}
    assert set(surface.part_of_face[order[n_opaque:]]) == {1}


def test_textures_are_halved_to_the_size_of_pixels() -> None:
    rng = np.random.default_rng(4)
    albedo = rng.integers(0, 256, (64, 96, 3), dtype=np.uint8)
    quad = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    surface = prepare_surface(faces, 4, uv=quad, uv_faces=faces, albedo=albedo, subdivide=False)
    for pixels, expected in ((200, (64, 96)), (90, (64, 96)), (48, (32, 48)), (20, (16, 24)), (0.5, (1, 1))):
        # y down: a front face goes clockwise in pixels.
        xy = quad * [pixels, -pixels * 64 / 96]
        assert surface.seen_from(xy).albedo.shape[:2] == expected
        assert surface.seen_from(xy[:, ::-1]).albedo.shape[:2] == (64, 96)  # seen from behind: nothing to judge by
    light = srgb_to_linear(albedo / 255)
    mean = light.reshape(32, 2, 48, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(srgb_to_linear(halved(albedo) / 255), mean, atol=0.006)
