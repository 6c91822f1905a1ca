"""Small upright pictures of eyes, mouth and face, cut out of a frame by its 478 landmarks.

All are cut in one upright frame: a similarity (place, scale, roll) that takes a template of points which expressions
hardly move to their landmarks, so that a lid or a lip is always seen in its place beside the rest. The left eye's crop
is mirrored, so that both eyes look like right ones. The same is done twice: compiled for one frame at a time on the
CPU, in torch for many frames at once; they agree to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from tdmm.render.compiled import compiled

# Landmarks that expressions move little: eye corners, the bridge of the nose, its base. Millimetres on the built-in
# head at rest, from the middle between the eyes, made symmetric: x to the picture's right, y down.
_RIGID = (33, 133, 362, 263, 168, 6, 197, 2)
_TEMPLATE = ((-44, -1), (-17, 1), (17, 1), (44, -1), (0, -4), (0, 5.5), (0, 13), (0, 47.5))
# Above this many samples along each axis of a crop's pixel a picture is not looked at more closely.
MOST_SAMPLES = 8
# A sample covers about this many of the picture's pixels, being interpolated.
PIXELS_OF_A_SAMPLE = 2.0


@dataclass(frozen=True)
class Cut:
    """One crop: width and height in pixels, the size of a pixel in millimetres, and what it is centred on.

    centre: landmarks whose mean it is centred on; shift: millimetres from there (right, down). mirrored: left is right.
    """

    width: int
    height: int
    pixel: float
    centre: tuple[int, ...]
    shift: tuple[float, float] = (0.0, 0.0)
    mirrored: bool = False


# By name, in the order of `Crops`. The eyes reach from the cheek below to above a raised brow, and over the root of the
# nose; the mouth from the nostrils to the chin; the face from the hair to the chin of an open jaw.
CUTS = {
    "right eye": Cut(64, 48, 1.15, (33, 133), (0.0, -9.0)),
    "left eye": Cut(64, 48, 1.15, (362, 263), (0.0, -9.0), mirrored=True),
    "mouth": Cut(72, 64, 1.4, (2,), (0.0, 34.0)),
    "face": Cut(96, 96, 2.2, _RIGID, (0.0, 23.0)),
}


@dataclass(frozen=True)
class Crops:
    """Crops of N frames: (N, height, width, 3) uint8 RGB each, numpy arrays or tensors."""

    right_eye: torch.Tensor
    left_eye: torch.Tensor
    mouth: torch.Tensor
    face: torch.Tensor

    def parts(self) -> tuple[torch.Tensor, ...]:
        """In the order of `CUTS`."""
        return self.right_eye, self.left_eye, self.mouth, self.face


@dataclass(frozen=True)
class Upright:
    """The upright frame of N faces.

    middle: (N, 2) pixels, where the template's origin, between the eyes, lands. scale: (N,) pixels per millimetre.
    roll: (N,) radians, clockwise in the picture. points: (N, L, 2) landmarks in that frame, millimetres, y down.
    """

    middle: torch.Tensor
    scale: torch.Tensor
    roll: torch.Tensor
    points: torch.Tensor


def upright(points: torch.Tensor) -> Upright:
    """The similarity of least squares from the template to landmarks (N, 478, 2), pixels."""
    template = torch.tensor(_TEMPLATE, dtype=points.dtype, device=points.device)
    seen = points[:, list(_RIGID)]
    centre, origin = template.mean(0), seen.mean(1)
    t, p = template - centre, seen - origin[:, None]
    square = t.square().sum()
    # A turn and scale as a complex number: a = sum(conj(t) p) / sum |t|^2.
    real = (t * p).sum((1, 2)) / square
    imaginary = (t[:, 0] * p[..., 1] - t[:, 1] * p[..., 0]).sum(1) / square
    scale = torch.sqrt(real**2 + imaginary**2).clamp(min=1e-6)
    across = torch.stack([real, imaginary], dim=1) / scale[:, None]  # the template's x axis in the picture
    down = torch.stack([-across[:, 1], across[:, 0]], dim=1)
    middle = origin - scale[:, None] * (centre[0] * across + centre[1] * down)
    from_middle = (points - middle[:, None]) / scale[:, None, None]
    aligned = torch.stack([(from_middle * across[:, None]).sum(-1), (from_middle * down[:, None]).sum(-1)], dim=-1)
    return Upright(middle, scale, torch.atan2(imaginary, real), aligned)


def place_crops(points: torch.Tensor, frame: Upright) -> torch.Tensor:
    """Where each crop lies: (N, 4 cuts, 6), its centre (x, y) and one pixel's step to the right and down, in pixels."""
    x = torch.stack([frame.roll.cos(), frame.roll.sin()], dim=1) * frame.scale[:, None]
    y = torch.stack([-x[:, 1], x[:, 0]], dim=1)
    places = []
    for cut in CUTS.values():
        centre = points[:, list(cut.centre)].mean(1) + cut.shift[0] * x + cut.shift[1] * y
        right = -x if cut.mirrored else x
        places.append(torch.cat([centre, cut.pixel * right, cut.pixel * y], dim=1))
    return torch.stack(places, dim=1)


def samples_of(places: torch.Tensor) -> torch.Tensor:
    """(...) samples along each axis of a pixel, for places (..., 6)."""
    step = places[..., 2:4].norm(dim=-1)
    return torch.ceil(step / PIXELS_OF_A_SAMPLE).clamp(1, MOST_SAMPLES).long()


def cut_out(image: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, ...]:
    """The crops (height, width, 3) uint8 of one picture (H, W, 3) uint8, in the order of `CUTS`.

    places: (4, 6) float32 of `place_crops`. Beyond the picture its edge goes on.
    """
    samples = samples_of(torch.as_tensor(places)).numpy()
    crops = []
    for cut, place, n_samples in zip(CUTS.values(), places, samples, strict=True):
        crop = np.zeros((cut.height, cut.width, 3), np.uint8)
        _sample(image, place, n_samples, crop)
        crops.append(crop)
    return tuple(crops)


@compiled()
def _sample(image: np.ndarray, place: np.ndarray, n_samples: int, crop: np.ndarray) -> None:
    """Means of n_samples x n_samples interpolated samples, in whole numbers, which is twice as fast as in floats."""
    height, width = crop.shape[:2]
    # Places in 2^-20 of the picture's pixels, of which 10 bits weigh two neighbours.
    one, fine, unit = 1 << 20, 10, 1 << 10
    most_x, most_y = (image.shape[1] - 1) * one, (image.shape[0] - 1) * one
    right_x, right_y = round(place[2] * one / n_samples), round(place[3] * one / n_samples)
    down_x, down_y = round(place[4] * one / n_samples), round(place[5] * one / n_samples)
    # The first sample: half a sample inside the upper left corner; the middle of a picture's pixel is at + 0.5.
    columns, rows = width * n_samples - 1, height * n_samples - 1
    # Half a unit more, so that the weights are rounded and not cut.
    first_x = round((place[0] - 0.5) * one) - (columns * right_x + rows * down_x) // 2 + unit // 2
    first_y = round((place[1] - 0.5) * one) - (columns * right_y + rows * down_y) // 2 + unit // 2
    divisor = unit * unit * n_samples * n_samples
    for row in range(height):
        for column in range(width):
            red = green = blue = divisor // 2  # rounds to the nearest
            for i in range(n_samples):
                across, along = row * n_samples + i, column * n_samples
                x = first_x + along * right_x + across * down_x
                y = first_y + along * right_y + across * down_y
                for _ in range(n_samples):
                    inside_x, inside_y = min(max(x, 0), most_x), min(max(y, 0), most_y)
                    left, top = inside_x >> 20, inside_y >> 20
                    a, b = (inside_x >> fine) & (unit - 1), (inside_y >> fine) & (unit - 1)
                    # On the last row or column the weight of the next one is zero.
                    right, bottom = left + (a > 0), top + (b > 0)
                    w11 = a * b
                    w10 = b * unit - w11
                    w01 = a * unit - w11
                    w00 = unit * unit - w01 - w10 - w11
                    red += w00 * image[top, left, 0] + w01 * image[top, right, 0]
                    red += w10 * image[bottom, left, 0] + w11 * image[bottom, right, 0]
                    green += w00 * image[top, left, 1] + w01 * image[top, right, 1]
                    green += w10 * image[bottom, left, 1] + w11 * image[bottom, right, 1]
                    blue += w00 * image[top, left, 2] + w01 * image[top, right, 2]
                    blue += w10 * image[bottom, left, 2] + w11 * image[bottom, right, 2]
                    x += right_x
                    y += right_y
            crop[row, column, 0] = red // divisor
            crop[row, column, 1] = green // divisor
            crop[row, column, 2] = blue // divisor


def cut_out_batch(images: torch.Tensor, places: torch.Tensor) -> Crops:
    """`cut_out` for N pictures (N, H, W, 3) uint8 of one size with places (N, 4, 6), on their device."""
    n_frames, height, width = images.shape[:3]
    samples = samples_of(places)
    # A picture's pixel i has its middle at i + 0.5; grid_sample counts -1..1 from edge to edge.
    extent = torch.tensor([width, height], dtype=torch.float32, device=images.device)
    crops = [images.new_zeros((n_frames, cut.height, cut.width, 3)) for cut in CUTS.values()]
    planes = images.permute(0, 3, 1, 2)
    for number, cut in enumerate(CUTS.values()):
        for n_samples in samples[:, number].unique().tolist():
            chosen = (samples[:, number] == n_samples).nonzero()[:, 0]
            place = places[chosen, number, None, None].float()
            u = (torch.arange(cut.width * n_samples, device=images.device) + 0.5) / n_samples - cut.width / 2
            v = (torch.arange(cut.height * n_samples, device=images.device) + 0.5) / n_samples - cut.height / 2
            at = place[..., :2] + u[:, None] * place[..., 2:4] + v[:, None, None] * place[..., 4:]
            sampled = functional.grid_sample(
                planes[chosen].float(), 2 * at / extent - 1, padding_mode="border", align_corners=False
            )
            crop = functional.avg_pool2d(sampled, n_samples) if n_samples > 1 else sampled
            crops[number][chosen] = (crop + 0.5).floor().to(torch.uint8).permute(0, 2, 3, 1)
    return Crops(*crops)
