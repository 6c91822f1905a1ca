"""What a head wears: a shell of hair or a hat, long hair, glasses; meshes in the head's frame, a set for each look."""

from __future__ import annotations

import numpy as np
import torch

from tdmm.render.torch_geometry import vertex_normals

from .canvas import FRAME, HAIR, Canvas
from .looks import Look
from .textures import hairline

_LONG_AROUND, _LONG_DOWN = 40, 14
_RIM = 28  # points of a lens' outline
_TUBE = 4
_ARM = 5
_CROWN = np.array([0.0, 0.11, -0.02])
_FRAME_UV = (0.004, 0.996)


class Wardrobe:
    """The fixed topology of everything worn, and the places of its vertices for given looks.

    faces: (F, 3) int64 triangles that draw, counting from 0. kind: (F,) class of material. corners: (F, 3, 6) as in
    `Canvas`. lens_faces: (G, 3) triangles of the lenses, of the same vertices.
    """

    def __init__(self, canvas: Canvas, device: torch.device) -> None:
        put = lambda array: torch.from_numpy(np.ascontiguousarray(array)).to(device)  # noqa: E731
        index, faces = np.unique(canvas.scalp, return_inverse=True)
        faces = faces.reshape(-1, 3)
        self._scalp, self._rest = put(index), put(canvas.rest[index])
        self._skin_faces = put(canvas.faces)
        rest = canvas.rest[index]
        uv = _strand_uv(rest)[faces]
        # Around the back the angle jumps by a turn: one side of such a triangle is moved.
        wide = np.ptp(uv[..., 0], axis=1) > 0.5
        uv[wide, :, 0] = np.where(uv[wide, :, 0] < 0.5, uv[wide, :, 0] + 1, uv[wide, :, 0])
        parts = [(faces, uv, HAIR)]
        start = len(index)

        grid = np.arange(_LONG_AROUND * _LONG_DOWN).reshape(_LONG_AROUND, _LONG_DOWN)
        sheet = np.concatenate(
            [
                np.stack([grid[:-1, :-1], grid[:-1, 1:], grid[1:, :-1]], -1).reshape(-1, 3),
                np.stack([grid[1:, :-1], grid[:-1, 1:], grid[1:, 1:]], -1).reshape(-1, 3),
            ]
        )
        place = np.stack(
            np.meshgrid(np.linspace(0.02, 0.98, _LONG_AROUND), np.linspace(0.25, 0.95, _LONG_DOWN), indexing="ij"), -1
        ).reshape(-1, 2)
        n_sheet = grid.size
        for copy, triangles in enumerate((sheet, sheet[:, ::-1])):
            parts.append((triangles + start + copy * n_sheet, place[triangles], HAIR))
        start += 2 * n_sheet

        def tube(points: int, closed: bool) -> np.ndarray:
            ring = np.arange(points * _TUBE).reshape(points, _TUBE)
            after = np.roll(ring, -1, 0) if closed else ring[1:]
            ring = ring if closed else ring[:-1]
            here, there = (ring, np.roll(ring, -1, 1)), (after, np.roll(after, -1, 1))
            return np.concatenate(
                [np.stack([here[0], there[0], here[1]], -1), np.stack([here[1], there[0], there[1]], -1)]
            ).reshape(-1, 3)

        # Two rims, bridge, two arms: both windings, since what matters is that they are seen.
        for count, closed in ((_RIM, True), (_RIM, True), (_ARM, False), (_ARM, False), (_ARM, False)):
            triangles = tube(count, closed) + start
            triangles = np.concatenate([triangles, triangles[:, ::-1]])
            parts.append((triangles, np.broadcast_to(_FRAME_UV, (len(triangles), 3, 2)), FRAME))
            start += count * _TUBE
        fans = []
        for _ in range(2):
            ring = np.arange(_RIM)
            fan = np.stack([np.full(_RIM, _RIM), ring, np.roll(ring, -1)], -1) + start
            fans.append(np.concatenate([fan, fan[:, ::-1]]))
            start += _RIM + 1
        self.n_vertices = start
        self.faces = put(np.concatenate([part[0] for part in parts]).astype(np.int64))
        self.lens_faces = put(np.concatenate(fans).astype(np.int64))
        self.kind = put(np.concatenate([np.full(len(part[0]), part[2]) for part in parts]))
        corner_uv = np.concatenate([part[1] for part in parts]).astype(np.float32)
        fixed = np.broadcast_to(np.array([1, 0, 0.1, 0], np.float32), (*corner_uv.shape[:2], 4))
        self.corners = put(np.concatenate([corner_uv, fixed], -1))

    def dress(self, look: Look, neutral: torch.Tensor, eyes: torch.Tensor) -> torch.Tensor:
        """Vertices (L, n_vertices, 3) in the head's frame; what a look does not wear lies in one point.

        neutral: (L, V, 3) the unposed heads at rest. eyes: (L, 2, 3) middles of the left and the right eyeball.
        """
        return torch.cat([self._shell(look, neutral), self._long(look, neutral), self._glasses(look, eyes)], dim=1)

    def _shell(self, look: Look, neutral: torch.Tensor) -> torch.Tensor:
        pick = lambda name: look[name][:, None]  # noqa: E731
        normals = vertex_normals(neutral, self._skin_faces)[:, self._scalp]
        inside = hairline(look, self._rest[None], look["fringe"])
        y, z = self._rest[:, 1], self._rest[:, 2]
        top = ((y - 0.075) / 0.06).clamp(0, 1)
        grow = pick("volume") * (pick("volume_sides") + (1 - pick("volume_sides")) * top)
        grow = grow * (1 + 0.5 * pick("quiff") * (((z - 0.02) / 0.05).clamp(0, 1) * top))
        angle = torch.atan2(self._rest[:, 0], z)
        shape = look["hair_noise"]
        lumps = sum(
            0.10 * shape[:, k, None] * torch.cos((k + 1) * angle + 40 * (1 + k) * y * (-1) ** k + shape[:, 5 - k, None])
            for k in range(6)
        )
        # The hair rises steeply over the forehead, slowly over the temples and the nape.
        t = (inside / (0.034 - 0.016 * top)).clamp(0, 1)
        smooth = t * t * (3 - 2 * t)
        lift = torch.where(inside > 0, 0.0007 + grow * smooth * (1 + 0.6 * lumps), -0.004 + 0 * inside)
        points = neutral[:, self._scalp] + lift[..., None] * normals
        worn = (look["volume"] > 0.0008)[:, None, None]
        return torch.where(worn, points, points.new_tensor(_CROWN))

    def _long(self, look: Look, neutral: torch.Tensor) -> torch.Tensor:
        pick = lambda name: look[name][:, None, None]  # noqa: E731
        device = neutral.device
        around = torch.linspace(0, 1, _LONG_AROUND, device=device)[None, :, None]
        down = torch.linspace(0, 1, _LONG_DOWN, device=device)[None, None]
        opening = pick("long_open") + 0.25 * (down - 0.3).clamp(min=0)
        angle = opening + (2 * torch.pi - 2 * opening) * around
        above = (self._rest[:, 1] > 0.068) & (self._rest[:, 1] < 0.10)
        wide = neutral[:, self._scalp][:, above, 0].abs().amax(1)[:, None, None]
        deep = -neutral[:, self._scalp][:, above, 2].amin(1)[:, None, None]
        shape = look["hair_noise"]
        wave = pick("long_wave") * (
            torch.sin(18 * down + 3 * angle + shape[:, 0, None, None]) + torch.sin(9 * down - 7 * angle)
        )
        out = pick("long_out") * (0.4 + down) + wave * down + 0.002
        narrow = 1 - 0.18 * ((down - 0.45) / 0.3).clamp(0, 1)
        x = (wide + out) * torch.sin(angle) * narrow
        front = torch.cos(angle)
        z = front * torch.where(front > 0, 0.098 + 0 * out, (deep + out) * narrow)
        top = 0.105
        y = top + (pick("long_to") - top) * down + 0.008 * torch.sin(11 * angle + shape[:, 1, None, None]) * down
        points = torch.stack([x, y.expand_as(x), z], dim=-1).flatten(1, 2)
        points = torch.where((look["long"] > 0)[:, None, None], points, points.new_tensor(_CROWN))
        return torch.cat([points, points], dim=1)

    def _glasses(self, look: Look, eyes: torch.Tensor) -> torch.Tensor:
        device, count = eyes.device, len(eyes)
        angle = torch.linspace(0, 2 * torch.pi, _RIM + 1, device=device)[:-1][None]
        power = 2 / look["lens_square"][:, None]
        cos, sin = angle.cos(), angle.sin()
        across = look["lens_half"][:, :1] * cos.sign() * cos.abs() ** power
        up = look["lens_half"][:, 1:] * sin.sign() * sin.abs() ** power
        radius = look["frame_thick"][:, None]
        x_eye, y_eye, z_eye = eyes[:, :, 0].abs().mean(1), eyes[:, :, 1].mean(1), eyes[:, :, 2].mean(1)
        plane = z_eye + 0.0275
        y_lens = (y_eye - look["lens_drop"])[:, None]
        x_lens = torch.maximum(x_eye * 1.04, look["lens_half"][:, 0] + 0.0075)[:, None]
        z_at = lambda x: plane[:, None] - 0.22 * (x.abs() - 0.028).clamp(min=0)  # noqa: E731

        tubes, lenses = [], []
        for sign in (1, -1):
            x = sign * (x_lens + across)
            y = y_lens + up + look["lens_slant"][:, None] * across
            ring = torch.stack([x, y, z_at(x)], dim=-1)
            outward = torch.stack([sign * cos.expand_as(x), sin.expand_as(x), torch.zeros_like(x)], dim=-1)
            tubes.append(_tube(ring, outward, torch.zeros_like(outward) + outward.new_tensor([0, 0, 1]), radius))
            middle = torch.stack([sign * x_lens, y_lens, z_at(x_lens) + 0.001], dim=-1)
            lenses.append(torch.cat([ring, middle], dim=1))
        t = torch.linspace(0, 1, _ARM, device=device)[None]
        gap = (x_lens - look["lens_half"][:, :1]).clamp(min=0.004)
        x = gap * (2 * t - 1)
        y = y_lens + 0.3 * look["lens_half"][:, 1:] + 0.003 * torch.sin(torch.pi * t)
        bridge = torch.stack([x, y.expand_as(x), plane[:, None] + 0.002 + 0 * x], dim=-1)
        upward = bridge.new_tensor([0, 1, 0]).expand_as(bridge)
        tubes.append(_tube(bridge, upward, bridge.new_tensor([0, 0, 1]).expand_as(bridge), radius))
        for sign in (1, -1):
            outer = x_lens + look["lens_half"][:, :1]
            x = sign * (outer + (0.077 - outer).clamp(min=0.001) * t**0.5)
            z = z_at(outer) + (0.0 - z_at(outer)) * t
            y = y_lens + 0.35 * look["lens_half"][:, 1:] + 0.004 * t
            arm = torch.stack([x, y.expand_as(x), z], dim=-1)
            sideways = arm.new_tensor([1, 0, 0]).expand_as(arm)
            tubes.append(_tube(arm, arm.new_tensor([0, 1, 0]).expand_as(arm), sideways, radius))
        points = torch.cat([*tubes, *lenses], dim=1)
        worn = (look["glasses"] > 0)[:, None, None]
        return torch.where(worn, points, points.new_zeros(count, 1, 3))


def _tube(path: torch.Tensor, first: torch.Tensor, second: torch.Tensor, radius: torch.Tensor) -> torch.Tensor:
    """Vertices (L, P * _TUBE, 3) about a path (L, P, 3), spread in two directions (L, P, 3)."""
    angle = torch.arange(_TUBE, device=path.device) * (2 * torch.pi / _TUBE)
    spread = angle.cos()[:, None] * first[:, :, None] + angle.sin()[:, None] * second[:, :, None]
    return (path[:, :, None] + radius[..., None, None] * spread).flatten(1, 2)


def _strand_uv(p: np.ndarray) -> np.ndarray:
    """(N, 2) in the page of hair: the angle about the crown, and how far down from it."""
    offset = p - _CROWN
    around = np.arctan2(offset[:, 0], offset[:, 2]) / (2 * np.pi) + 0.5
    down = np.arccos(np.clip(offset[:, 1] / np.linalg.norm(offset, axis=1).clip(1e-9), -1, 1)) / np.pi
    return np.stack([around, 0.03 + 0.9 * down], axis=1)
