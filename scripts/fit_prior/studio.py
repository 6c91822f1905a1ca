"""The studio: random people act out takes before random cameras. Pictures with exactly known expressions.

    from fit_prior.studio import Studio
    shots = Studio("cuda").shoot(draw_takes(seed=7, count=64, n_frames=32), seed=7)

Each sequence has one look (`looks`, `lights`, `backdrops`, `occluders`, `camera_faults`), drawn from the seed alone.
Everything runs in torch on one device, many frames at once; triangles are found by the renderer's own rasterisers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from roma import rotvec_to_rotmat

from tdmm.face.builtin import BuiltinHead, load_builtin_head
from tdmm.fit.controls import controls_of
from tdmm.render.backends import choose_rasterizer
from tdmm.render.camera import NEAR
from tdmm.render.fragments import TensorFragments
from tdmm.render.torch_geometry import vertex_normals
from tdmm.render.torch_shading import unit

from . import backdrops, camera_faults, lights, looks, occluders
from .canvas import HAIR, LIPS, REGIONS, SKIN, canvas_of
from .looks import BUMP, COAT, COAT_POWER, GLOSS, GLOSS_POWER, OCCLUSION, WRAP, Look
from .takes import Takes
from .textures import ALBEDO, CHANNELS, FOLD, SHINE, SLOPE, TexturePainter, noise
from .visibility import RegionGauge
from .wardrobe import Wardrobe

__all__ = ["REGIONS", "Shots", "Studio"]

# Pictures are drawn this much larger than they become: the reduction smooths their edges.
OVERSAMPLE = 1.5
# The neck ends here on the resting head, metres; below it the body is drawn.
_NECK = -0.083
_STRANDS, _STRAND_POINTS = 46, 130


@dataclass(frozen=True)
class Shots:
    """N pictures, sequence after sequence, and what can be seen in them.

    images: (N, H, W, 3) uint8 sRGB on the studio's device. visible: (N, 4) float32 0..1 in the order of `REGIONS`: the
    part of the region's area that faces the camera with nothing but lenses and single hairs before it.
    """

    images: torch.Tensor
    visible: torch.Tensor


@dataclass(frozen=True)
class _Cast:
    """The looks of some sequences, ready to be drawn. L looks."""

    look: Look
    pages: torch.Tensor  # (L * 2 * S * S, CHANNELS)
    worn: torch.Tensor  # (L, W, 3) vertices in the head's frame
    behind: torch.Tensor  # (L, 3, h, w) linear
    fabric: torch.Tensor  # (L, h, h)
    strands: torch.Tensor  # (L, P, 3) in the head's frame


class Studio:
    """Holds what all looks share on a device: "cuda", or "cpu".

    side: of the square pictures, pixels. texels: side of the textures. frames: drawn at once, looks: painted at once;
    both bound the memory.
    """

    def __init__(
        self,
        device: torch.device | str,
        side: int = 320,
        *,
        texels: int = 512,
        frames: int | None = None,
        looks: int | None = None,
        head: BuiltinHead | None = None,
    ) -> None:
        self.device = torch.device(device)
        on_cpu = self.device.type == "cpu"
        self.side, self.size = side, round(side * OVERSAMPLE)
        self.frames, self.looks = frames or (4 if on_cpu else 64), looks or (4 if on_cpu else 32)
        self.head = load_builtin_head() if head is None else head
        self.rasterizer = choose_rasterizer(self.device)
        canvas = canvas_of(self.head, texels)
        put = lambda array: torch.from_numpy(np.ascontiguousarray(array)).to(self.device)  # noqa: E731
        self.texels = texels
        self.painter = TexturePainter(canvas, self.device)
        self.wardrobe = Wardrobe(canvas, self.device)
        self.gauge = RegionGauge(canvas, self.device)
        self.to_expression = put(controls_of(self.head).to_expression)
        self.n_skin = len(canvas.rest)
        self.n_solid = canvas.n_solid
        solid = put(canvas.faces[: self.n_solid])
        self.faces = torch.cat([solid, self.wardrobe.faces + self.n_skin])
        lashes = put(canvas.faces[self.n_solid :])
        self.lashes = torch.cat([lashes, lashes.flip(1)])
        self.lenses = self.wardrobe.lens_faces + self.n_skin
        self.kind = torch.cat([put(canvas.kind[: self.n_solid]), self.wardrobe.kind])
        self.corners = torch.cat([put(canvas.corners[: self.n_solid]), self.wardrobe.corners]).reshape(-1, 6)
        self.fold_of = put(canvas.fold_of)
        self.cheek = int(np.square(canvas.rest - np.array([0.045, 0.0, 0.09])).sum(1).argmin())

    @torch.inference_mode()
    def shoot(self, takes: Takes, seed: int) -> Shots:
        """Pictures of all frames of the takes, and what of the face they show. The same for the same arguments."""
        count, n_frames = takes.controls.shape[:2]
        images = torch.empty((count * n_frames, self.side, self.side, 3), dtype=torch.uint8, device=self.device)
        visible = torch.empty((count * n_frames, len(REGIONS)), device=self.device)
        for first in range(0, count, self.looks):
            some = slice(first, min(first + self.looks, count))
            gen = torch.Generator(self.device).manual_seed(
                int(np.random.SeedSequence([seed, first]).generate_state(1)[0])
            )
            cast = self._cast(takes, some, np.random.default_rng([seed, first, 1]), gen)
            total = (some.stop - first) * n_frames
            for start in range(0, total, self.frames):
                frame = np.arange(start, min(start + self.frames, total))
                out = slice(first * n_frames + start, first * n_frames + start + len(frame))
                images[out], visible[out] = self._draw(takes, first, frame, cast, gen)
        return Shots(images, visible)

    def _cast(self, takes: Takes, some: slice, random: np.random.Generator, gen: torch.Generator) -> _Cast:
        count = some.stop - some.start
        drawn = looks.draw_looks(random, count)
        drawn |= lights.draw_lights(random, count, drawn["skin"])
        drawn |= backdrops.draw_backdrops(random, count)
        drawn |= occluders.draw_occluders(random, count, drawn["melanin"])
        drawn |= camera_faults.draw_faults(random, count)
        look = looks.to_device(drawn, self.device)
        shape = torch.from_numpy(takes.shape[some]).to(self.device)
        rest = torch.zeros((count, self.to_expression.shape[1]), device=self.device)
        neutral = self.head.vertices(shape, rest)
        half = self.size // 2
        return _Cast(
            look=look,
            pages=self.painter.paint(look, gen).reshape(-1, CHANNELS),
            worn=self.wardrobe.dress(look, neutral, self.head.eye_centers(shape)),
            behind=backdrops.paint_backgrounds(look, gen, half).permute(0, 3, 1, 2),
            fabric=noise(gen, count, 60, 60, half) + noise(gen, count, 9, 9, half),
            strands=_strands(look, neutral, gen),
        )

    def _draw(
        self, takes: Takes, first: int, frame: np.ndarray, cast: _Cast, gen: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        look, size, device = cast.look, self.size, self.device
        n_frames = takes.controls.shape[1]
        number, moment = np.divmod(frame, n_frames)
        put = lambda array: torch.from_numpy(np.ascontiguousarray(array, np.float32)).to(device)  # noqa: E731
        of = torch.from_numpy(number).to(device)
        take = first + number
        expression = put(takes.controls[take, moment]) @ self.to_expression
        rotation, translation = put(takes.rotation[take, moment]), put(takes.translation[take, moment])
        focal = put(takes.focal[take]) * size
        time = put((moment + 0.5) / n_frames)

        head = self.head.vertices(put(takes.shape[take]), expression, rotation=rotation, translation=translation)
        turn = rotvec_to_rotmat(rotation)
        place = lambda points: points[of] @ turn.mT + translation[:, None]  # noqa: E731
        points = torch.cat([head, place(cast.worn)], dim=1)
        normals = vertex_normals(points, self.faces)
        xy, depth = _project(points, focal, size)
        seen = self.rasterizer(xy, depth, self.faces, (size, size), True)
        scale = focal / -translation[:, 2]

        picture = self._backdrop(cast, of, translation, focal, scale)
        fold = expression @ self.fold_of
        colour, pixel, low = self._shade(cast, of, seen, points, normals, fold, turn, translation, focal)
        flat = picture.reshape(-1, 3)
        flat[pixel] = torch.lerp(colour, flat[pixel], low[:, None])
        picture = flat.reshape(len(frame), size, size, 3)
        picture = self._lashes(cast, of, picture, xy, depth, seen.depth)
        picture = self._lenses(cast, of, picture, xy, depth, seen.depth)
        picture = self._loose_hair(cast, of, picture, place(cast.strands), focal, seen.depth)
        cover = torch.zeros((len(frame), size, size), device=device)
        there = occluders.presence(look, of, time)
        hidden = torch.nonzero(there > 0).squeeze(1)
        if len(hidden):
            targets = torch.cat([self.gauge.middles(xy), xy[:, self.cheek : self.cheek + 1]], dim=1)
            picture[hidden], cover[hidden] = occluders.draw_over(
                picture[hidden],
                look,
                of[hidden],
                there[hidden],
                time[hidden],
                targets[hidden],
                scale[hidden],
                _grain(cast, size),
            )
        visible = self.gauge.visible(points[:, : self.n_skin], xy, depth, seen.depth, cover)
        small = F.interpolate(picture.permute(0, 3, 1, 2), (self.side,) * 2, mode="area").permute(0, 2, 3, 1)
        motion = self._motion(takes, take, moment, focal / OVERSAMPLE)
        return camera_faults.film(small, look, of, motion, gen), visible

    def _motion(self, takes: Takes, take: np.ndarray, moment: np.ndarray, focal: torch.Tensor) -> torch.Tensor:
        """Pixels (N, 2) that the middle of the face moves until the next frame."""
        face = torch.tensor([0.0, 0.02, 0.11], device=self.device)

        def at(when: np.ndarray) -> torch.Tensor:
            put = lambda array: torch.from_numpy(array[take, when]).to(self.device)  # noqa: E731
            place = rotvec_to_rotmat(put(takes.rotation)) @ face + put(takes.translation)
            return torch.stack([place[:, 0], -place[:, 1]], -1) / -place[:, 2:] * focal[:, None]

        return at(np.minimum(moment + 1, takes.controls.shape[1] - 1)) - at(moment)

    def _backdrop(
        self, cast: _Cast, of: torch.Tensor, translation: torch.Tensor, focal: torch.Tensor, scale: torch.Tensor
    ) -> torch.Tensor:
        """Background with neck and shoulders (N, R, R, 3) linear. Drawn at half the size."""
        look, half = cast.look, self.size // 2
        at = (torch.arange(half, device=self.device) + 0.5) * (self.size / half)
        middle = (
            self.size / 2 + focal[:, None] * translation[:, :2] * translation.new_tensor([1, -1]) / -translation[:, 2:]
        )
        x = ((at[None, None] - middle[:, :1, None]) / scale[:, None, None]).expand(-1, half, half)
        y = (-(at[None, :, None] - middle[:, 1:, None]) / scale[:, None, None]).expand(-1, half, half)
        colour, bulge, inside = backdrops.body(look, of, x, y, cast.fabric)
        light = lights.soft_light(look, of, bulge.flatten(1, 2)).unflatten(1, (half, half))
        along = torch.einsum("nhwc,nc->nhw", bulge, look["key_from"][of])
        light = light + ((along + 0.2) / 1.2).clamp(min=0)[..., None] * look["key"][of][:, None, None]
        # The head keeps light from what lies right below it.
        shade = 1 - 0.45 * torch.exp(-((x / 0.07) ** 2) - ((y + 0.09) / 0.05) ** 2)
        behind = cast.behind[of].permute(0, 2, 3, 1)
        picture = torch.lerp(behind, colour * light * shade[..., None], inside[..., None])
        large = F.interpolate(picture.permute(0, 3, 1, 2), (self.size,) * 2, mode="bilinear", align_corners=False)
        return large.permute(0, 2, 3, 1).contiguous()

    def _shade(
        self, cast: _Cast, of: torch.Tensor, seen: TensorFragments, points: torch.Tensor, normals: torch.Tensor,
        fold: torch.Tensor, turn: torch.Tensor, translation: torch.Tensor, focal: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:  # fmt: skip
        """Linear RGB (K, 3) of all pixels (K,) that see a triangle, and which of them (K,) lie low on the neck."""
        look, size = cast.look, self.size
        pixel = torch.nonzero(seen.face_id.reshape(-1) >= 0).squeeze(1)
        face = seen.face_id.reshape(-1)[pixel].long()
        weight = seen.barycentric.reshape(-1, 3)[pixel]
        away = seen.depth.reshape(-1)[pixel]
        item = torch.div(pixel, size * size, rounding_mode="floor")
        place = pixel - item * (size * size)
        row = torch.div(place, size, rounding_mode="floor")
        who = of[item]

        # What the corners hold: normal, soft light and fold of this frame; texture's place, occlusion, resting height.
        soft = lights.soft_light(look, of, normals)
        fold = F.pad(fold, (0, points.shape[1] - fold.shape[1]))[..., None]
        moving = torch.cat([normals, soft, fold], dim=-1).reshape(-1, 7)
        corner = self.faces[face] + (item * points.shape[1])[:, None]
        value = torch.zeros((len(face), 7), device=self.device)
        fixed = torch.zeros((len(face), 6), device=self.device)
        for k in range(3):
            value.addcmul_(moving[corner[:, k]], weight[:, k : k + 1])
            fixed.addcmul_(self.corners[3 * face + k], weight[:, k : k + 1])
        kind = self.kind[face]
        page = 2 * who + (kind >= HAIR)
        texel = self._texel(cast.pages, page, fixed[:, :2])

        material = look["materials"].reshape(-1, look["materials"].shape[-1])[who * look["materials"].shape[1] + kind]
        # Written out: a product of matrices for each pixel takes ten times as long on a GPU.
        slope = (turn[item] * texel[:, None, SLOPE : SLOPE + 3]).sum(-1)
        normal = unit(unit(value[:, :3]) - material[:, BUMP : BUMP + 1] * slope)
        x = (place - row * size + 0.5 - size / 2) / focal[item]
        y = (size / 2 - row - 0.5) / focal[item]
        at = torch.stack([x, y, -torch.ones_like(x)], dim=-1) * away[:, None]
        view = -unit(at)

        # Folds: thin valleys, deeper where the skin is pushed together.
        skin = (kind == SKIN) | (kind == LIPS)
        pushed = (value[:, 6] + 0.35 * look["fold_rest"][who]).clamp(0, 1.4)
        valley = (look["fold"][who] * pushed * texel[:, FOLD]).clamp(0, 0.85) * skin
        albedo = texel[:, ALBEDO : ALBEDO + 3] * torch.exp(-valley[:, None] * texel.new_tensor([0.75, 1.05, 1.10]))
        open_ = (1 - material[:, OCCLUSION] * (1 - fixed[:, 2])).clamp(0, 1)
        # What looks away from the head's front is hardly occluded by it; deep inside the mouth nothing shines.
        key_from = look["key_from"][who]
        lit = torch.ones_like(away)
        casting = look["shadow"][of]
        if bool((casting > 0).any()):
            shadows = lights.ShadowMaps(look, of, points, translation, self.faces, self.rasterizer)
            lit = shadows.lit(at, item, look["shadow_soft"][who])
            lit = 1 - casting[item] * (1 - lit)
        cosine = (normal * key_from).sum(-1, keepdim=True)
        wrap = material[:, WRAP : WRAP + 3]
        diffuse = ((cosine + wrap) / (1 + wrap)).clamp(min=0)
        key = look["key"][who] * (lit * (0.4 + 0.6 * open_))[:, None]
        light = value[:, 3:6] * open_[:, None] + key * diffuse
        facing = (normal * view).sum(-1).clamp(0, 1)
        mirrored = 2 * facing[:, None] * normal - view
        along = (mirrored * key_from).sum(-1).clamp(min=1e-4)
        grazing = 1 + 4 * (1 - facing) ** 3
        lobes = material[:, GLOSS] * grazing * along ** material[:, GLOSS_POWER]
        lobes = (lobes + material[:, COAT] * along ** material[:, COAT_POWER]) * texel[:, SHINE]
        # A sky's worth of soft shine from above.
        above = (0.5 + 0.5 * mirrored[:, 1]) ** 2 * (1 - facing) ** 2 * (material[:, GLOSS] + 0.1 * material[:, COAT])
        colour = albedo * light + (lobes[:, None] * key + above[:, None] * value[:, 3:6]) * open_[:, None]
        low = torch.sigmoid((_NECK - fixed[:, 4]) / 0.004) * (kind <= LIPS)
        return colour, pixel, low

    def _texel(self, pages: torch.Tensor, page: torch.Tensor, uv: torch.Tensor) -> torch.Tensor:
        """Bilinear values (K, CHANNELS) of page (K,) at (K, 2) columns and rows in 0..1; columns go around."""
        at = uv * self.texels - 0.5
        low = at.floor()
        t = at - low
        low = low.long()
        column = low[:, 0].remainder(self.texels)
        right = (low[:, 0] + 1).remainder(self.texels)
        row = low[:, 1].clamp(0, self.texels - 1)
        below = (low[:, 1] + 1).clamp(0, self.texels - 1)
        start = page * self.texels
        upper, lower = (start + row) * self.texels, (start + below) * self.texels
        along, down = t[:, :1], t[:, 1:]
        first = torch.lerp(pages[upper + column], pages[upper + right], along)
        return torch.lerp(first, torch.lerp(pages[lower + column], pages[lower + right], along), down)

    def _lashes(self, cast: _Cast, of, picture, xy, depth, z_buffer) -> torch.Tensor:  # type: ignore[no-untyped-def]
        found = self.rasterizer(xy, depth, self.lashes, (self.size,) * 2, True)
        front = (found.face_id >= 0) & (found.depth < z_buffer + 0.001)
        alpha = 0.8 * cast.look["lashes"][of][:, None, None] * front
        return picture * (1 - alpha[..., None])

    def _lenses(self, cast: _Cast, of, picture, xy, depth, z_buffer) -> torch.Tensor:  # type: ignore[no-untyped-def]
        """Tinted lenses that mirror a window, on the looks that wear glasses."""
        look = cast.look
        wearing = torch.nonzero(look["glasses"][of] > 0).squeeze(1)
        if not len(wearing):
            return picture
        mine = of[wearing]
        found = self.rasterizer(xy[wearing], depth[wearing], self.lenses, (self.size,) * 2, True)
        front = (found.face_id >= 0) & ((found.depth < z_buffer[wearing]) | (z_buffer[wearing] <= 0))
        pick = lambda name: look[name][mine][:, None, None]  # noqa: E731
        at = torch.linspace(-1, 1, self.size, device=self.device)
        angle = pick("back_angle")
        wave = torch.sin(22 * (at[None, None] * angle.cos() + at[None, :, None] * angle.sin()) + 5 * pick("flush_nose"))
        light = (look["flat"] + look["soft"].sum(1) + look["key"])[mine][:, None, None]
        glare = pick("lens_glare") * torch.sigmoid((wave - 0.5) / 0.1)
        some = torch.lerp(picture[wearing], pick("lens_colour") * light, (pick("lens_tint") * front)[..., None])
        picture[wearing] = some + (glare * front)[..., None] * 0.35 * light
        return picture

    def _loose_hair(self, cast: _Cast, of, picture, points, focal, z_buffer) -> torch.Tensor:  # type: ignore[no-untyped-def]
        """Single hairs as soft lines: points along them, spread over the four nearest pixels."""
        if not bool((cast.look["strands"][of] > 0).any()):
            return picture
        size = self.size
        xy, depth = _project(points, focal, size)
        at = xy - 0.5
        low = at.floor()
        t = at - low
        column, row = low.long().unbind(-1)
        inside = (column >= 0) & (column < size - 1) & (row >= 0) & (row < size - 1) & (depth > NEAR)
        column, row = column.clamp(0, size - 2), row.clamp(0, size - 2)
        item = torch.arange(len(of), device=self.device)[:, None]
        flat = (item * size + row) * size + column
        nearest = z_buffer.reshape(-1)[flat]
        shown = inside & ((nearest <= 0) | (depth < nearest + 0.001))
        weight = shown * cast.look["strands"][of][:, None]
        sums = torch.zeros(len(of) * size * size, device=self.device)
        for dx in (0, 1):
            for dy in (0, 1):
                part = (t[..., 0] if dx else 1 - t[..., 0]) * (t[..., 1] if dy else 1 - t[..., 1]) * weight
                sums.index_add_(0, (flat + dy * size + dx).reshape(-1), part.reshape(-1))
        # Points lie closer than pixels; one hair covers a pixel by at most about a half.
        alpha = (0.45 * sums).clamp(0, 0.8).reshape(len(of), size, size, 1)
        look = cast.look
        light = (look["flat"] + look["soft"].sum(1) + 0.6 * look["key"])[of][:, None, None]
        return torch.lerp(picture, (look["hair"][of][:, None, None] * light).expand_as(picture), alpha)


def _grain(cast: _Cast, size: int) -> torch.Tensor:
    """Noise (L, size, size) for the surface of an occluder."""
    return F.interpolate(cast.fabric[:, None], (size, size), mode="bilinear", align_corners=False)[:, 0]


def _strands(look: Look, neutral: torch.Tensor, gen: torch.Generator) -> torch.Tensor:
    """Points (L, _STRANDS * _STRAND_POINTS, 3) along single hairs that hang off the hair, in the head's frame."""
    count = len(neutral)
    draw = torch.rand((6, count, _STRANDS, 1), generator=gen, device=gen.device)
    t = torch.linspace(0, 1, _STRAND_POINTS, device=gen.device)[None, None]
    around = (draw[0] - 0.5) * 3.6  # about the crown, 0 in front
    wide = neutral[..., 0].abs().amax(1)[:, None, None] * 0.92
    high, deep = neutral[..., 1].amax(1)[:, None, None], 0.112
    fall = 0.10 + (0.35 + 0.45 * draw[1] ** 2) * t * (0.6 + 0.4 * (around.abs() / 1.8))
    drift = around + (draw[2] - 0.5) * 0.9 * t + 0.05 * torch.sin(9 * t + 6.3 * draw[3])
    polar = torch.pi * fall
    lift = 1.0 + look["volume"][:, None, None] / 0.1 * (0.35 + 0.8 * draw[4]) * torch.sin(torch.pi * (0.2 + 0.8 * t))
    x = wide * lift * torch.sin(polar) * torch.sin(drift)
    z = deep * lift * torch.sin(polar) * torch.cos(drift)
    y = 0.045 + (high - 0.045) * lift * torch.cos(polar)
    return torch.stack([x, y, z], dim=-1).flatten(1, 2)


def _project(points: torch.Tensor, focal: torch.Tensor, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixels (N, V, 2) and metres of depth (N, V) of places (N, V, 3) before cameras of focal lengths (N,) pixels."""
    depth = -points[..., 2]
    flat = points[..., :2] * points.new_tensor([1.0, -1.0]) * (focal[:, None] / depth.clamp(min=NEAR))[..., None]
    return flat + size / 2, depth
