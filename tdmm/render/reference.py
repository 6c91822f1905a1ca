"""The slow, obvious twins of the compiled routines, in numpy: what the tests hold the fast ones against.

Every pixel is tested against every triangle, without bounding boxes, bands or precomputed matrices.
"""

from __future__ import annotations

import numpy as np

from tdmm.render.camera import NEAR
from tdmm.render.raster import EMPTY, Fragments


def rasterize_slowly(
    xy: np.ndarray, depth: np.ndarray, faces: np.ndarray, image_size: tuple[int, int], cull: bool = True
) -> Fragments:
    """`tdmm.render.raster.rasterize` of one picture, by its definition."""
    height, width = image_size
    px, py = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    face_id = np.full(image_size, EMPTY, np.int32)
    nearness = np.zeros(image_size, np.float32)
    barycentric = np.zeros((*image_size, 3))
    for f, corners in enumerate(np.asarray(faces)):
        z = np.asarray(depth)[corners].astype(np.float64)
        p = np.asarray(xy)[corners].astype(np.float64)
        if not (np.isfinite(p).all() and (z >= NEAR).all()):
            continue
        area = cross(p[1] - p[0], p[2] - p[0])
        if area == 0 or (area > 0 and cull):
            continue
        if area > 0:  # seen from behind: look at the mirrored order, so that the inside is always to one side
            order = np.array([0, 2, 1])
        else:
            order = np.array([0, 1, 2])
        q = p[order]
        inside = np.ones(image_size, bool)
        weights = np.zeros((*image_size, 3))
        for k in range(3):
            start, end = q[(k + 1) % 3], q[(k + 2) % 3]
            along = end - start
            side = -(along[0] * (py - start[1]) - along[1] * (px - start[0]))
            # Counter-clockwise with y down: left edges run downwards, top edges run to the left.
            closed = along[1] > 0 or (along[1] == 0 and along[0] < 0)
            inside &= (side >= 0) if closed else (side > 0)
            weights[..., order[k]] = side / abs(area)
        inverse = (weights / z).sum(axis=-1)
        nearer = inside & (inverse.astype(np.float32) > nearness)
        face_id[nearer] = f
        nearness[nearer] = inverse[nearer]
        barycentric[nearer] = (weights / z)[nearer] / inverse[nearer][:, None]
    with np.errstate(divide="ignore"):
        distance = np.where(face_id >= 0, 1 / nearness, 0)
    return Fragments(face_id, barycentric.astype(np.float32), distance.astype(np.float32))


def cross(a: np.ndarray, b: np.ndarray) -> float:
    """The third component of the cross product of two plane vectors."""
    return float(a[0] * b[1] - a[1] * b[0])


def vertex_normals_slowly(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """`tdmm.render.geometry.vertex_normals`, one triangle after the other."""
    normals = np.zeros(points.shape)
    for i, j, k in faces:
        normal = np.cross(points[j] - points[i], points[k] - points[i])
        for corner in (i, j, k):
            normals[corner] += normal
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    return normals / np.where(lengths > 0, lengths, 1)


def loop_subdivide_slowly(points: np.ndarray, faces: np.ndarray) -> dict[frozenset[int], np.ndarray]:
    """One Loop step of points (V, 3) by its definition: new positions by vertex {i} and by edge {i, j}."""
    triangles_of: dict[frozenset[int], list[int]] = {}
    for f, (a, b, c) in enumerate(faces.tolist()):
        for ends in ((a, b), (b, c), (c, a)):
            triangles_of.setdefault(frozenset(ends), []).append(f)
    placed: dict[frozenset[int], np.ndarray] = {}
    for edge, triangles in triangles_of.items():
        middle = points[sorted(edge)].mean(axis=0)
        if len(triangles) == 2:
            apexes = [next(v for v in faces[f].tolist() if v not in edge) for f in triangles]
            placed[edge] = 3 / 4 * middle + 1 / 8 * points[apexes].sum(axis=0)
        else:
            placed[edge] = middle
    for v in range(len(points)):
        edges = [edge for edge in triangles_of if v in edge]
        borders = [edge for edge in edges if len(triangles_of[edge]) != 2]
        ring = [next(iter(edge - {v})) for edge in edges]
        if not borders and edges:
            beta = 3 / 16 if len(ring) == 3 else 3 / (8 * len(ring))
            placed[frozenset([v])] = (1 - len(ring) * beta) * points[v] + beta * points[ring].sum(axis=0)
        elif len(borders) == 2:
            along = [next(iter(edge - {v})) for edge in borders]
            placed[frozenset([v])] = 3 / 4 * points[v] + 1 / 8 * points[along].sum(axis=0)
        else:
            placed[frozenset([v])] = points[v]
    return placed
