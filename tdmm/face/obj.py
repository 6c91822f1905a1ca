"""Wavefront OBJ meshes, as far as face models need them: vertices, texture coordinates, polygons."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tdmm.errors import FaceModelError
from tdmm.face.data import read_bytes


@dataclass(frozen=True)
class Triangles:
    """Polygons cut into triangles, as fans around their first corner.

    vertex: (F, 3) int32. uv: (F, 3) int32, or None where a corner has none. polygon: (F,) int32, the polygon that a
    triangle was cut from. n_polygons: how many there were.
    """

    vertex: np.ndarray
    uv: np.ndarray | None
    polygon: np.ndarray
    n_polygons: int


def read_vertices(path: Path) -> np.ndarray:
    """The `v` lines of a file, (V, 3) float64. Raises `FaceModelError`."""
    return _numbers(path, read_bytes(path), b"v ", 3)


def read_mesh(path: Path) -> tuple[np.ndarray, np.ndarray, Triangles]:
    """Vertices (V, 3), texture coordinates (U, 2), both float64, and triangles. Raises `FaceModelError`."""
    data = read_bytes(path)
    vertices, uv = _numbers(path, data, b"v ", 3), _numbers(path, data, b"vt ", 2)
    corners_of, uv_corners_of, polygon = [], [], []
    number = -1
    for number, line in enumerate(line for line in data.splitlines() if line.startswith(b"f ")):
        try:
            corners = [[int(index) for index in corner.split(b"/")[:2] if index] for corner in line.split()[1:]]
        except ValueError:
            raise FaceModelError(f"{path}: expected corners of numbers, found {line[:60].decode('latin1')!r}") from None
        for second in range(1, len(corners) - 1):
            triangle = (corners[0], corners[second], corners[second + 1])
            corners_of.append([corner[0] if corner else 0 for corner in triangle])
            uv_corners_of.append([corner[1] if len(corner) == 2 else 0 for corner in triangle])
            polygon.append(number)
    if not corners_of:
        raise FaceModelError(f"{path}: expected polygons (f lines), found none")
    # OBJ counts from one; counting back from the end by negative numbers is not supported.
    faces, uv_faces = np.array(corners_of, np.int64) - 1, np.array(uv_corners_of, np.int64) - 1
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise FaceModelError(f"{path}: expected polygons of {len(vertices)} vertices, found others")
    whole = len(uv) > 0 and uv_faces.min() >= 0 and uv_faces.max() < len(uv)
    return (
        vertices,
        uv,
        Triangles(
            faces.astype(np.int32),
            uv_faces.astype(np.int32) if whole else None,
            np.array(polygon, np.int32),
            number + 1,
        ),
    )


def _numbers(path: Path, data: bytes, start: bytes, width: int) -> np.ndarray:
    lines = [line[len(start) :] for line in data.splitlines() if line.startswith(start)]
    try:
        numbers = np.array(list(map(float, b" ".join(lines).split())))
    except ValueError as error:
        raise FaceModelError(f"{path}: expected numbers in its {start.decode()}lines, found {error}") from None
    # More numbers a line, colours or a third texture coordinate, are allowed but must be the same for all.
    if lines and (len(numbers) % len(lines) or len(numbers) < width * len(lines) or not np.isfinite(numbers).all()):
        raise FaceModelError(f"{path}: expected {width} finite numbers in each of its {start.decode()}lines")
    return numbers.reshape(len(lines), -1)[:, :width] if lines else np.zeros((0, width))
