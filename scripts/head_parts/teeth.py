"""Teeth and gums, one by one along a dental arch, in the place of the base mesh's two folded strips."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .assembly import Part
from .linear import affine_rows
from .source import Source

# Crowns from the middle outwards, millimetres (width, height): Wheeler's Dental Anatomy, rounded.
UPPER = ((8.5, 10.0), (6.6, 9.0), (7.6, 9.8), (7.1, 8.5), (6.8, 8.2), (10.0, 7.5))
LOWER = ((5.3, 8.6), (5.9, 8.8), (6.9, 9.6), (7.0, 8.6), (7.1, 8.2), (10.6, 7.5))
THICKNESS = (6.5, 6.0, 7.4, 8.6, 8.8, 10.0)
RING = 8
# Share of the height from the gum to the edge, width and thickness there as shares of the full ones.
PROFILE = ((0.0, 0.80, 0.80), (0.35, 0.95, 0.88), (0.75, 1.0, 0.60), (0.95, 0.93, 0.30))
PROFILE_BACK = ((0.0, 0.84, 0.90), (0.35, 0.96, 1.0), (0.75, 1.0, 0.98), (0.97, 0.86, 0.80))
ARCH_DEPTH = 0.042  # of the front of the arch over the second molar
ARCH_HALF_WIDTH = 0.0265


def build_teeth(
    source: Source, neutral: np.ndarray, uv_teeth: tuple[float, float, float, float], uv_gums: tuple[float, float]
) -> list[Part]:
    """Upper and lower teeth and gums. uv_teeth: u0, v0, u1, v1 of the atlas, v from gum to edge."""
    upper_anchors = np.unique(source.quads["helper-upper-teeth"])
    lower_anchors = np.unique(source.quads["helper-lower-teeth"])
    front = neutral[upper_anchors][:, 2].max()
    edge = neutral[upper_anchors][:, 1].min()
    upper_arch = _Arch(0.0, front - 0.0005, ARCH_HALF_WIDTH)
    lower_arch = _Arch(0.0, front - 0.0030, ARCH_HALF_WIDTH - 0.0015)
    parts = []
    for anchors, arch, crowns, level, down in (
        (upper_anchors, upper_arch, UPPER, edge - 0.0008, 1.0),
        (lower_anchors, lower_arch, LOWER, edge + 0.0006, -1.0),
    ):
        points, triangles, uv = _row_of_teeth(arch, crowns, level, down, uv_teeth)
        parts.append(_part(anchors, neutral, points, triangles, uv, "teeth"))
        points, triangles = _gum(arch, crowns, level, down)
        parts.append(_part(anchors, neutral, points, triangles, np.tile(uv_gums, (len(points), 1)), "gums"))
    return parts


class _Arch:
    """A dental arch as a curve in the horizontal plane: half an ellipse that goes on straight to the back."""

    def __init__(self, x: float, front: float, half_width: float) -> None:
        angle = np.linspace(0, np.pi / 2, 400)
        # An exponent above 2 flattens the front where the incisors stand.
        side = half_width * np.sin(angle) ** 0.9
        back = ARCH_DEPTH * (1 - np.cos(angle) ** 0.9)
        self._points = np.stack([x + side, front - back], axis=1)
        self._length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(self._points, axis=0), axis=1))])

    def at(self, length: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Point (x, z), direction along and direction outwards (unit) at a signed length from the middle."""
        sign = 1.0 if length >= 0 else -1.0
        s = min(abs(length), self._length[-1] - 1e-4)
        point = np.array([np.interp(s, self._length, self._points[:, k]) for k in (0, 1)])
        ahead = np.array([np.interp(s + 1e-4, self._length, self._points[:, k]) for k in (0, 1)])
        along = (ahead - point) / np.linalg.norm(ahead - point)
        outwards = np.array([-along[1], along[0]])
        flip = np.array([sign, 1.0])
        return point * flip, along * flip * sign, outwards * flip


def _row_of_teeth(
    arch: _Arch, crowns: Sequence[tuple[float, float]], level: float, down: float, uv_box: tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    points: list[np.ndarray] = []
    triangles: list[list[int]] = []
    uv: list[tuple[float, float]] = []
    for side in (1.0, -1.0):
        reach = 0.0
        for number, (width_mm, height_mm) in enumerate(crowns):
            width, height, depth = width_mm / 1000, height_mm / 1000, THICKNESS[number] / 1000
            if down < 0 and number < 2:
                depth *= 0.9
            middle, along, outwards = arch.at(side * (reach + width / 2))
            reach += width * 0.985  # a hair of overlap: no light between teeth
            start = len(points)
            # Laterals a little shorter, the canine's edge a point; premolars and molars lie level.
            edge_lift = (0.0, 0.0006, 0.0002, 0.0006, 0.0008, 0.001)[number]
            profile = PROFILE if number < 3 else PROFILE_BACK
            for at, wide, thick in profile:
                y = level + down * (height * (1 - at) + edge_lift)
                for k in range(RING):
                    angle = 2 * np.pi * k / RING
                    # A rounded rectangle.
                    c, s = (np.sign(v) * abs(v) ** 0.62 for v in (np.cos(angle), np.sin(angle)))
                    lean = -depth * (0.25 * (1 - at) ** 2 + 0.02) if number < 3 else 0.0
                    xz = (
                        middle
                        + along * (c * wide * width / 2)
                        + outwards * ((s * thick - 1 + 0.2 * (1 - thick)) * depth / 2 + lean)
                    )
                    points.append(np.array([xz[0], y, xz[1]]))
                    uv.append(
                        (
                            uv_box[0] + (uv_box[2] - uv_box[0]) * (0.5 + 0.5 * c),
                            uv_box[1] + (uv_box[3] - uv_box[1]) * at,
                        )
                    )
            last = start + (len(profile) - 1) * RING
            tip_points = np.stack(points[last : last + RING])
            tip = tip_points.mean(0)
            tip[1] = level + down * edge_lift - (down * 0.0008 if number == 2 else down * 0.0001)
            points.append(tip)
            uv.append(((uv_box[0] + uv_box[2]) / 2, uv_box[3]))
            own: list[list[int]] = []
            for ring in range(len(profile) - 1):
                for k in range(RING):
                    a, b = start + ring * RING + k, start + ring * RING + (k + 1) % RING
                    own += [[a, b, b + RING], [a, b + RING, a + RING]]
            own += [[last + k, last + (k + 1) % RING, len(points) - 1] for k in range(RING)]
            triangles += own
    mesh, faces = np.stack(points), np.array(triangles)
    return mesh, _facing_away(mesh, faces, 2 * len(crowns)), np.array(uv)


def _gum(
    arch: _Arch, crowns: Sequence[tuple[float, float]], level: float, down: float
) -> tuple[np.ndarray, np.ndarray]:
    """A rounded ridge behind and above the necks of the teeth, scalloped between them."""
    stops, heights = [], []
    reach = 0.0
    for width_mm, height_mm in crowns:
        width, height = width_mm / 1000, height_mm / 1000
        # Between two teeth the gum reaches further down (a papilla) than at a tooth's middle.
        stops += [reach, reach + width / 2]
        heights += [height * 0.72, height * 0.92]
        reach += width * 0.985
    stops.append(reach + 0.002)
    heights.append(heights[-1] * 0.9)
    lengths = np.concatenate([-np.array(stops)[:0:-1], stops])
    tops = np.concatenate([np.array(heights)[:0:-1], heights])
    # Across the ridge: (outwards mm, above the gum line mm), front to back.
    ridge = ((-2.2, 9.0), (0.2, 6.0), (0.9, 2.5), (0.25, 0.0), (-1.6, -0.4), (-8.5, -0.6), (-10.5, 2.5), (-11.0, 8.0))
    points, triangles = [], []
    for length, height in zip(lengths, tops, strict=True):
        middle, _, outwards = arch.at(float(length))
        depth = 1.0 + 0.25 * min(abs(length) / 0.03, 1)
        for out, above in ridge:
            xz = middle + outwards * (out / 1000 * (depth if out < -2 else 1.0))
            points.append(np.array([xz[0], level + down * (height + above / 1000), xz[1]]))
    n = len(ridge)
    for i in range(len(lengths) - 1):
        for k in range(n - 1):
            a, b = i * n + k, (i + 1) * n + k
            triangles += [[a, b, b + 1], [a, b + 1, a + 1]]
    mesh, faces = np.stack(points), np.array(triangles)
    corner = mesh[faces]
    normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    # In front of the incisors the ridge faces forward.
    front = normal[(corner.mean(1)[:, 2] > arch.at(0.0)[0][1] - 0.001) & (np.abs(corner.mean(1)[:, 0]) < 0.005)]
    return mesh, faces if front[:, 2].sum() > 0 else faces[:, ::-1]


def _facing_away(mesh: np.ndarray, faces: np.ndarray, n_bodies: int) -> np.ndarray:
    """Faces, the windings of each of n equal bodies such that they face away from the body's middle."""
    bodies = faces.reshape(n_bodies, -1, 3)
    out = []
    for body in bodies:
        corner = mesh[body]
        normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
        away = (normal * (corner.mean(1) - mesh[np.unique(body)].mean(0))).sum()
        out.append(body if away > 0 else body[:, ::-1])
    return np.concatenate(out)


def _part(
    anchors: np.ndarray, neutral: np.ndarray, points: np.ndarray, triangles: np.ndarray, uv: np.ndarray, material: str
) -> Part:
    return Part(
        affine_rows(anchors, neutral, points),
        triangles,
        uv,
        triangles,
        np.full(len(triangles), material),
        np.ones(len(points)),
    )
