"""Textures of random people, painted by formulas over the resting face: a page of skin and a page of hair."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from tdmm.render.torch_shading import srgb_to_linear

from .canvas import BROW_ARC, EYE, EYE_X, EYE_Y, MOUTH, SKIN, TEETH, Canvas
from .looks import Look

# What a texel holds: linear albedo, factor of the gloss, lines that appear where skin folds, slope in the head's axes.
ALBEDO, SHINE, FOLD, SLOPE, CHANNELS = 0, 3, 4, 5, 8
# Metres of height of the skin's noise at full strength.
_RELIEF = 0.00035
_EYE_DISK, _IRIS_SHARE = (0.135, 0.145, 0.125), 0.54


def noise(gen: torch.Generator, count: int, rows: int, columns: int, size: int) -> torch.Tensor:
    """Smooth random pictures (count, size, size), mean 0 and spread about 1, from lattices of rows x columns."""
    lattice = torch.randn((count, 1, rows, columns), generator=gen, device=gen.device)
    if (rows, columns) == (size, size):
        return lattice[:, 0]
    return 1.35 * F.interpolate(lattice, (size, size), mode="bicubic", align_corners=False)[:, 0]


def _mix(colour: torch.Tensor, other: torch.Tensor, amount: torch.Tensor) -> torch.Tensor:
    """Blend (L, K, 3) towards (L, 1, 3) or (L, K, 3) by (L, K)."""
    return torch.lerp(colour, other.expand_as(colour), amount.clamp(0, 1)[..., None])


class TexturePainter:
    """Paints the pages of looks; holds what the canvas says about each texel on a device."""

    def __init__(self, canvas: Canvas, device: torch.device) -> None:
        self.size = canvas.texel_kind.shape[0]
        put = lambda array: torch.from_numpy(np.ascontiguousarray(array)).to(device)  # noqa: E731
        kind, point = canvas.texel_kind.reshape(-1), canvas.texel_point.reshape(-1, 3)
        self.base = srgb_to_linear(put(canvas.albedo.reshape(-1, 3)))
        self.lips = put(canvas.lips.reshape(-1))
        self.point = put(point)
        skin = kind == SKIN
        self.skin = put(np.flatnonzero(skin))
        self.face = put(np.flatnonzero(skin & (point[:, 2] > 0.02) & (point[:, 1] < 0.115)))
        self.teeth, self.mouth = put(np.flatnonzero(kind == TEETH)), put(np.flatnonzero(kind == MOUTH))
        rows, columns = np.divmod(np.arange(self.size**2), self.size)
        radius = np.hypot((columns + 0.5) / self.size - _EYE_DISK[0], (rows + 0.5) / self.size - _EYE_DISK[1])
        eye = (kind == EYE) | (radius < 1.02 * _EYE_DISK[2])
        self.eye, self.eye_radius = put(np.flatnonzero(eye)), put((radius / _EYE_DISK[2])[eye].astype(np.float32))
        # The rise of a unit of height in each direction of the texture, as a vector of the head's axes.
        grid = canvas.texel_point
        down, right = np.gradient(grid, axis=0), np.gradient(grid, axis=1)
        limit = 0.004  # metres: beyond, the two texels lie on different islands
        right = np.where(np.linalg.norm(right, axis=-1, keepdims=True) < limit, right, 0)
        down = np.where(np.linalg.norm(down, axis=-1, keepdims=True) < limit, down, 0)
        floor = (0.0001) ** 2
        self.right = put((right / np.maximum((right**2).sum(-1, keepdims=True), floor)).astype(np.float32))
        self.down = put((down / np.maximum((down**2).sum(-1, keepdims=True), floor)).astype(np.float32))
        self.arc_x, self.arc_y = put(BROW_ARC[:, 0].astype(np.float32)), put(BROW_ARC[:, 1].astype(np.float32))

    def paint(self, look: Look, gen: torch.Generator) -> torch.Tensor:
        """Pages (L, 2, S, S, CHANNELS) float32: skin, then hair (or cloth)."""
        return torch.stack([self._skin_page(look, gen), self._hair_page(look, gen)], dim=1)

    def _skin_page(self, look: Look, gen: torch.Generator) -> torch.Tensor:
        count, size = len(look["melanin"]), self.size
        pick = lambda name: look[name][:, None]  # noqa: E731
        broad = noise(gen, count, 9, 9, size) + 0.6 * noise(gen, count, 31, 31, size)
        fine = noise(gen, count, size // 4, size // 4, size) + 0.8 * noise(gen, count, size, size, size)
        page = torch.zeros((count, size * size, CHANNELS), device=gen.device)
        page[..., SHINE] = 1
        colour = self.base.expand(count, -1, -1).clone()

        # Skin everywhere: tone, mottles (more or less blood and melanin), pores.
        flat_broad, flat_fine = broad.flatten(1), fine.flatten(1)
        mottle = pick("mottle")[..., None] * flat_broad[..., None] * colour.new_tensor([0.5, 1.0, 1.0])
        grain = pick("pores")[..., None] * flat_fine[..., None]
        skin = look["skin"][:, None] * torch.exp(mottle[:, self.skin] + grain[:, self.skin])
        colour[:, self.skin] = skin
        page[..., SHINE] *= (1 + 0.35 * flat_broad).clamp(0.2, 2)

        # The features of the face.
        p = self.point[self.face]
        x, y, z = p.unbind(-1)
        side = x.abs()
        at = lambda picture: picture.flatten(1)[:, self.face]  # noqa: E731
        fine_here, broad_here = at(fine), at(broad)
        streak = 0.6 * fine_here + 0.4 * at(noise(gen, count, size // 2, size // 2, size))
        face = colour[:, self.face]
        spot = lambda mx, my, r: torch.exp(-(((side - mx) / r) ** 2 + ((y - my) / r) ** 2))  # noqa: E731
        flush = look["skin"][:, None] * colour.new_tensor([0.98, 0.66, 0.66])
        cheeks = pick("flush_cheeks") * spot(0.040, 0.004, 0.020) + pick("flush_nose") * spot(0.0, 0.004, 0.013)
        face = _mix(face, flush, pick("flush") * (cheeks + 0.25 * spot(0.0, -0.06, 0.014)) * (1 + 0.3 * broad_here))
        sockets = spot(EYE_X - 0.004, EYE_Y - 0.008, 0.014)
        face = face * (1 - 0.30 * pick("eye_shade") * sockets)[..., None]
        freckles = (at(noise(gen, count, size // 3, size // 3, size)) - 1.0).clamp(0, 1)
        freckles = pick("freckles") * freckles * (spot(0.030, 0.008, 0.030) + 0.3)
        face = _mix(face, face * colour.new_tensor([0.55, 0.38, 0.30]), freckles)
        face = face * self._moles(look, gen, x, y)[..., None]
        # Dark lids and shadow, liner along the lids.
        dx, dy = (side - EYE_X) / 0.0155, y - EYE_Y
        ring = torch.sqrt(dx**2 + (dy / 0.009) ** 2)
        lids = torch.exp(-(((ring - 0.95) / 0.42) ** 2)) * torch.where(dy > -0.002, 1.0, 0.3)
        face = _mix(face, look["eye_shadow_colour"][:, None], pick("eye_shadow") * lids)
        opening = torch.sqrt(((side - EYE_X) / 0.0150) ** 2 + ((dy - 0.0005) / 0.0062) ** 2)
        liner = torch.exp(-(((opening - 1.0) / 0.17) ** 2))
        face = face * (1 - 0.9 * pick("eyeliner") * liner)[..., None]
        # Lashes, which the mesh has too few of: seen from before they darken the lids' edges, and draw a shut eye as
        # one thick line. Above them the fold of the upper lid.
        upper = 0.35 + 0.65 * torch.sigmoid(dy / 0.0012)
        line = torch.exp(-(((opening - 1.0) / pick("lash_line_wide")) ** 2)) * upper
        face = face * (1 - pick("lash_line") * line)[..., None]
        fold = torch.exp(-(((opening - pick("lid_fold_at")) / 0.13) ** 2)) * torch.sigmoid((dy - 0.002) / 0.001)
        face = face * torch.exp(-pick("lid_fold")[..., None] * fold[..., None] * colour.new_tensor([0.8, 1.1, 1.15]))
        # Lips.
        lips = self.lips[self.face]
        edge = lips.expand(count, -1) ** (1.6 - pick("lip_edge"))
        creases = 1 + 0.04 * at(noise(gen, count, 20, size // 2, size))
        face = _mix(face, look["lips"][:, None] * creases[..., None], edge)
        # Hair on the face, then brows.
        face = self._beard(look, face, side, y, z, lips, streak, fine_here, broad_here)
        brows = self._brows(look, gen, side, x, y, z, at)
        face = _mix(face, look["brow"][:, None] * (1 + 0.25 * streak[..., None]).clamp(0.3, 2), brows)
        # The scalp.
        line = self._hairline(look, p, broad_here)
        scalp = torch.sigmoid(line / 0.0022 + 0.9 * streak) * pick("hair_dense")
        face = _mix(face, look["hair"][:, None] * (1 + 0.4 * streak[..., None]).clamp(0.3, 2), scalp)
        colour[:, self.face] = face
        rest = self.skin[self.point[self.skin, 2] <= 0.02]
        rest = torch.cat([rest, self.skin[(self.point[self.skin, 2] > 0.02) & (self.point[self.skin, 1] >= 0.115)]])
        above = self._hairline(look, self.point[rest], flat_broad[:, rest])
        scalp = torch.sigmoid(above / 0.003) * pick("hair_dense")
        colour[:, rest] = _mix(colour[:, rest], look["hair"][:, None], scalp)

        colour[:, self.teeth] *= look["teeth"][:, None]
        colour[:, self.mouth] *= look["inside"][:, None]
        colour[:, self.eye] = self._eye(look, colour[:, self.eye])
        page[..., ALBEDO : ALBEDO + 3] = colour.clamp(0.002, 0.95)
        folds = self._folds(look, side, x, y, broad_here)
        page[:, self.face, FOLD] = folds
        page[:, self.face, SHINE] *= 1 - 0.7 * brows

        relief = 0.6 * broad * 0.3 + fine
        slope_right = torch.gradient(relief, dim=2)[0][..., None] * self.right
        slope_down = torch.gradient(relief, dim=1)[0][..., None] * self.down
        slope = (_RELIEF * 0.35 * look["bump"][:, None, None, None]) * (slope_right + slope_down)
        page[..., SLOPE : SLOPE + 3] = slope.clamp(-0.6, 0.6).flatten(1, 2)
        keep = torch.zeros(size * size, device=gen.device)
        keep[self.skin] = 1
        page[..., SLOPE : SLOPE + 3] *= keep[None, :, None]
        return page.view(count, size, size, CHANNELS)

    def _moles(self, look: Look, gen: torch.Generator, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        count = len(look["moles"])
        dark = torch.ones((count, len(x)), device=x.device)
        for _ in range(4):
            mx, my, r, depth = (torch.rand((4, count, 1), generator=gen, device=gen.device)).unbind(0)
            r = 0.0008 + 0.0016 * r
            away = ((x - (mx - 0.5) * 0.12) ** 2 + (y - (my * 0.15 - 0.06)) ** 2) / r**2
            dark = dark * (1 - look["moles"][:, None] * (0.3 + 0.5 * depth) * torch.exp(-(away**2)))
        return dark

    def _hairline(self, look: Look, p: torch.Tensor, rough: torch.Tensor) -> torch.Tensor:
        """How far (L, K) metres places (K, 3) lie inside the hair; `rough` (L, K) frays its border."""
        return hairline(look, p[None]) + 0.0016 * rough

    def _brows(self, look, gen, side, x, y, z, at) -> torch.Tensor:  # type: ignore[no-untyped-def]
        """Cover (L, K) of the hairs of both brows."""
        pick = lambda name: look[name][:, None]  # noqa: E731
        along = (side - EYE_X)[None]
        inner, outer = pick("brow_inner"), pick("brow_outer")
        s = (along - inner) / (outer - inner)
        arc = _interpolate(side - EYE_X, self.arc_x, self.arc_y)
        middle = arc + pick("brow_height") + pick("brow_arch") * (1 - (2 * s - 1) ** 2) + pick("brow_tilt") * along
        taper = 1 - pick("brow_taper") * (s - 0.45).clamp(0, 1) / 0.55
        half = pick("brow_thick") * taper * (0.75 + 0.25 * (s / 0.2).clamp(0, 1))
        d = ((y - EYE_Y) - middle) / half.clamp(min=0.0006)
        rough = at(noise(gen, len(s), self.size // 2, self.size // 3, self.size))
        body = torch.sigmoid((1 - d.abs() + 0.22 * rough * pick("brow_coarse")) / 0.28)
        ends = torch.sigmoid((s + 0.03 + 0.03 * rough) / 0.03) * torch.sigmoid((1.02 - s + 0.03 * rough) / 0.03)
        hairs = 1 + 0.3 * pick("brow_coarse") * rough
        return (pick("brow_density") * body * ends * hairs).clamp(0, 1) * (z > 0.05)

    def _beard(self, look, face, side, y, z, lips, streak, fine, broad) -> torch.Tensor:  # type: ignore[no-untyped-def]
        pick = lambda name: look[name][:, None]  # noqa: E731
        # Cheeks below a line that falls towards the mouth, jaw and throat; not the lips and the part below them.
        line = pick("beard_line") - 0.25 * (0.05 - side).clamp(0, 0.05)
        jaw = torch.sigmoid((line - y + 0.002 * broad) / 0.004) * torch.sigmoid((y + 0.100) / 0.004)
        bare = torch.sigmoid((1 - torch.hypot(side / 0.0265, (y + 0.0305) / 0.0135)) / 0.08)
        lip = torch.exp(-(((y + 0.0145 + 0.06 * side) / 0.0062) ** 2)) * torch.sigmoid((0.030 - side) / 0.003)
        under = torch.exp(-((side / 0.008) ** 2) - ((y + 0.053) / 0.006) ** 2)
        jaw = torch.lerp(jaw, under.expand_as(jaw), bare) * (1 - lips)
        lip = lip * (1 - lips) * (y < -0.006)
        dense = torch.maximum(pick("beard") * jaw, pick("moustache") * lip)
        stubble = pick("stubble") * torch.maximum(jaw, lip) * (1 + 0.8 * fine).clamp(0, 2)
        hairs = (dense * (1 + 0.25 * streak)).clamp(0, 1)
        cover = torch.maximum(hairs, 0.6 * stubble)
        return _mix(face, look["beard_colour"][:, None] * (1 + 0.35 * streak[..., None]).clamp(0.3, 2), cover)

    def _eye(self, look: Look, base: torch.Tensor) -> torch.Tensor:
        """The eyeball's disk: the painted one, its iris and pupil resized and its parts tinted."""
        pick = lambda name: look[name][:, None]  # noqa: E731
        radius = self.eye_radius[None]
        limbus = _IRIS_SHARE * pick("iris_size")
        t = radius / limbus
        inner = torch.sigmoid((limbus - radius) / 0.012)
        grain = (base.mean(-1) / 0.12).clamp(0.3, 1.8)
        iris = look["iris"][:, None] * (0.55 + 0.45 * grain)[..., None]
        ring = ((t - 0.78) / 0.22).clamp(0, 1)
        iris = iris * (1 - 0.75 * ring)[..., None]
        sclera = (
            look["sclera"][:, None]
            * (base / base.new_tensor([0.70, 0.64, 0.60])).clamp(0, 1.2) ** pick("veins")[..., None]
        )
        sclera = torch.where(radius[..., None] < 0.62, look["sclera"][:, None].expand_as(sclera), sclera)
        colour = torch.lerp(sclera, iris, inner[..., None])
        pupil = torch.sigmoid((0.175 * pick("pupil_size").clamp(0.6, 1.7) - radius) / 0.010)
        return colour * (1 - 0.96 * pupil)[..., None]

    def _folds(
        self, look: Look, side: torch.Tensor, x: torch.Tensor, y: torch.Tensor, rough: torch.Tensor
    ) -> torch.Tensor:
        """Lines (L, K) 0..1 along which the skin folds, each a thin dark valley."""
        shift = look["fold_shift"]
        pick = lambda k: shift[:, k, None]  # noqa: E731
        width = look["fold_width"][:, None]
        rough = 0.0006 * rough
        valley = lambda d, w: torch.exp(-((d / (w * width)) ** 2))  # noqa: E731
        within = lambda v, low, high, soft: torch.sigmoid((v - low) / soft) * torch.sigmoid((high - v) / soft)  # noqa: E731
        # Beside the nose and mouth.
        t = ((0.010 - y) / 0.050).clamp(-0.2, 1.2)
        line = 0.0185 + 0.0165 * t + 0.006 * t * (1 - t) + 0.0015 * pick(0)
        total = valley(side - line + rough, 0.0016) * within(y, -0.040, 0.008, 0.004)
        # Across the forehead.
        for k, height in enumerate((0.074, 0.0815, 0.089, 0.097)):
            wave = 0.002 * torch.cos(side * (60 + 15 * pick(1))) + 0.0012 * pick(2 + k % 3)
            total = total + 0.75 * valley(y - height - wave + rough, 0.0009) * within(side, -1, 0.040, 0.006)
        # Upright between the brows.
        total = total + 0.8 * valley(side - 0.0075 - 0.001 * pick(3) + rough, 0.0010) * within(y, 0.046, 0.068, 0.003)
        # Rays from the outer corners of the eyes.
        dx, dy = side - 0.0465, y - EYE_Y
        radius, angle = torch.hypot(dx, dy), torch.atan2(dy, dx)
        rays = torch.cos(angle * (9 + pick(4)) + 1.5 * pick(5)).clamp(0, 1) ** 6
        total = total + 0.7 * rays * within(radius, 0.006, 0.020, 0.002) * (dx > 0)
        # Below the eyes.
        ring = torch.sqrt(((side - EYE_X) / 0.019) ** 2 + ((y - EYE_Y) / 0.0125) ** 2)
        for radius_, share in ((0.98, 0.8), (1.35, 0.5)):
            total = total + share * valley((ring - radius_) * 0.012 + rough, 0.0010) * (y < EYE_Y - 0.003)
        # From the corners of the mouth down; across the chin; over the nose.
        corner = 0.0285 + 0.25 * (-0.034 - y)
        total = total + 0.7 * valley(side - corner - 0.001 * pick(6) + rough, 0.0012) * within(y, -0.055, -0.033, 0.003)
        bend = -0.0505 + 6.0 * side**2 + 0.001 * pick(7)
        total = total + 0.6 * valley(y - bend + rough, 0.0016) * within(side, -1, 0.014, 0.004)
        for k in range(3):
            slanted = y - 0.026 - 0.0045 * k + 0.5 * (side - 0.008)
            total = total + 0.5 * valley(slanted + rough, 0.0008) * within(side, 0.003, 0.014, 0.002)
        return total.clamp(0, 1)

    def _hair_page(self, look: Look, gen: torch.Generator) -> torch.Tensor:
        """Strands run along the rows' direction (downwards in the page); one corner holds the frame of the glasses."""
        count, size = len(look["hair"]), self.size
        strand = noise(gen, count, 6, size // 2, size) + 0.6 * noise(gen, count, 16, size, size)
        clump = noise(gen, count, 5, 26, size)
        curl = noise(gen, count, size // 6, size // 4, size)
        curls = look["curls"][:, None, None]
        tone = (1 - curls) * strand + curls * (0.9 * curl + 0.3 * strand) + 0.6 * clump
        hat = look["hat"][:, None, None]
        weave = 0.35 * noise(gen, count, size // 3, size // 3, size) + 0.4 * clump
        tone = torch.where(hat > 0, weave, tone)
        page = torch.zeros((count, size, size, CHANNELS), device=gen.device)
        shade = torch.exp(look["hair_contrast"][:, None, None] * 0.55 * tone)
        page[..., ALBEDO : ALBEDO + 3] = (look["cover"][:, None, None] * shade[..., None]).clamp(0.002, 0.9)
        page[..., SHINE] = (1 + 0.6 * tone).clamp(0, 3)
        slope = torch.gradient(tone, dim=2)[0]
        page[..., SLOPE] = (0.5 * slope).clamp(-1, 1)
        page[:, -8:, :8, ALBEDO : ALBEDO + 3] = look["frame"][:, None, None]
        page[:, -8:, :8, SLOPE] = 0
        return page


def hairline(look: Look, p: torch.Tensor, drop: torch.Tensor | None = None) -> torch.Tensor:
    """How far (L, K) metres places (L or 1, K, 3) of the resting head lie inside the hair.

    drop: (L,) metres by which the border comes down on the forehead (a fringe, the rim of a hat).
    """
    pick = lambda name: look[name][:, None]  # noqa: E731
    x, y, z = p.unbind(-1)
    side = x.abs()
    corner = (side - 0.030).clamp(min=0)
    front = EYE_Y + pick("hairline") + 0.9 * pick("recede") * (corner * (0.058 - side).clamp(min=0) * 60)
    front = front - 1.1 * (side - 0.052).clamp(min=0) - 0.12 * side
    if drop is not None:
        # Locks of different lengths.
        n = look["hair_noise"]
        locks = 0.25 * n[:, :1] * torch.sin(55 * x + n[:, 1:2]) + 0.12 * n[:, 2:3] * torch.sin(160 * x + n[:, 3:4])
        front = front - (drop[:, None] * torch.sigmoid((0.066 - side) / 0.004) + 0.02 * n[:, 4:5] * x) * (1 + locks)
    back = ((0.030 - z) / 0.05).clamp(0, 1)
    line = front * (1 - back) + (EYE_Y - 0.085) * back
    ear = ((side - 0.066) / 0.003).clamp(0, 1) * ((0.066 - y) / 0.004).clamp(0, 1) * ((z + 0.030) / 0.005).clamp(0, 1)
    return y - line - 0.15 * ear * (z < 0.055)


def _interpolate(at: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Piecewise linear y(at), held constant beyond the ends."""
    right = torch.searchsorted(x, at.contiguous()).clamp(1, len(x) - 1)
    t = ((at - x[right - 1]) / (x[right] - x[right - 1])).clamp(0, 1)
    return torch.lerp(y[right - 1], y[right], t)
