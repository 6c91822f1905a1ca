"""Crops: the two ways of cutting agree, and follow the face wherever it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tdmm.face import load_face_model
from tdmm.fit.crops import CUTS, Crops, cut_out, cut_out_batch, place_crops, samples_of, upright


@pytest.fixture(scope="module")
def resting() -> torch.Tensor:
    """(478, 2) millimetres, y down: the built-in head's landmarks from the front."""
    head = load_face_model()
    points = head.landmarks(head.vertices(torch.zeros(0), torch.zeros(1, len(head.expression_names))))[0]
    return 1000 * points[:, :2] * torch.tensor([1.0, -1.0])


def turned(points: torch.Tensor, scale: float, roll: float, place: tuple[float, float]) -> torch.Tensor:
    """Landmarks in a picture: scaled, rolled clockwise by radians, moved. (1, L, 2)."""
    cosine, sine = np.cos(roll), np.sin(roll)
    matrix = torch.tensor([[cosine, -sine], [sine, cosine]], dtype=torch.float32)
    return (scale * points @ matrix.T + torch.tensor(place))[None]


def smooth_picture(height: int, width: int) -> np.ndarray:
    """Waves of several lengths, uint8 RGB."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 9 + y / 17 + c) + np.cos(x / 23 - y / 11 * (c + 1)) for c in range(3)]
    return np.uint8(np.clip(127 + 60 * np.stack(waves, -1), 0, 255))


@pytest.mark.parametrize(("scale", "roll"), [(0.6, 0.0), (1.3, 0.4), (2.7, -1.0), (12.0, 3.0)])
def test_compiled_and_torch_crops_agree(resting: torch.Tensor, scale: float, roll: float) -> None:
    random = np.random.default_rng(3)
    image = random.integers(0, 256, (300, 360, 3), dtype=np.uint8)
    points = turned(resting, scale, roll, (150.0, 140.0))  # the largest face hangs far out of the picture
    places = place_crops(points, upright(points))
    one = cut_out(image, places[0].numpy())
    many = cut_out_batch(torch.as_tensor(image)[None], places)
    for cut, mine, theirs in zip(CUTS.values(), one, many.parts(), strict=True):
        assert mine.shape == (cut.height, cut.width, 3)
        difference = np.abs(mine.astype(int) - theirs[0].numpy().astype(int))
        # Rounding, and where a sample falls exactly between two pixels.
        assert difference.max() <= 2
        assert difference.mean() < 0.05


def test_batch_equals_one_at_a_time(resting: torch.Tensor) -> None:
    images = torch.as_tensor(np.stack([smooth_picture(200, 240), smooth_picture(200, 240)[::-1].copy()]))
    points = torch.cat([turned(resting, 0.8, 0.1, (110.0, 90.0)), turned(resting, 2.5, -0.2, (120.0, 110.0))])
    places = place_crops(points, upright(points))
    assert samples_of(places[0]).tolist() != samples_of(places[1]).tolist()
    together = cut_out_batch(images, places)
    for number in range(2):
        alone = cut_out_batch(images[number : number + 1], places[number : number + 1])
        for a, b in zip(together.parts(), alone.parts(), strict=True):
            assert torch.equal(a[number], b[0])


@pytest.mark.parametrize(("scale", "roll", "place"), [(0.7, 0.0, (100.0, 80.0)), (2.0, 0.7, (-40.0, 300.0))])
def test_upright_landmarks_do_not_depend_on_place_scale_and_roll(
    resting: torch.Tensor, scale: float, roll: float, place: tuple[float, float]
) -> None:
    plain = upright(resting[None])
    frame = upright(turned(resting, scale, roll, place))
    assert torch.allclose(frame.points, plain.points, atol=1e-2)
    assert float(frame.scale / plain.scale) == pytest.approx(scale, rel=1e-4)
    assert float(frame.roll - plain.roll) == pytest.approx(roll, abs=1e-4)
    # Between the eyes of the resting head, whose template it is: millimetres are millimetres.
    assert float(plain.scale) == pytest.approx(1, abs=0.02)
    assert plain.points[0, 168].tolist() == pytest.approx([0, -4], abs=1.5)


def test_crops_turn_with_the_face(resting: torch.Tensor) -> None:
    """A picture turned by a right angle with its landmarks gives the same crops."""
    image = smooth_picture(260, 260)
    points = turned(resting, 0.9, 0.0, (130.0, 120.0))
    rotated = np.ascontiguousarray(np.rot90(image))  # counter-clockwise: (x, y) comes to (y, width - x)
    moved = torch.stack([points[..., 1], 260 - points[..., 0]], dim=-1)
    for a, b in zip(_cut(image, points), _cut(rotated, moved), strict=True):
        assert np.abs(a.astype(int) - b.astype(int)).max() <= 1


def test_left_eye_is_the_mirror_image_of_a_right_one(resting: torch.Tensor) -> None:
    from_mirror = np.array([33, 133, 362, 263, 168, 6, 197, 2])
    partner = np.array([263, 362, 133, 33, 168, 6, 197, 2])
    points = turned(resting, 1.1, 0.2, (130.0, 120.0))
    reflected = points.clone()
    reflected[:, from_mirror] = points[:, partner] * torch.tensor([-1.0, 1.0]) + torch.tensor([260.0, 0.0])
    image = smooth_picture(240, 260)
    right, left, mouth, face = _cut(image, points)
    right_of_mirror, left_of_mirror, mouth_of_mirror, face_of_mirror = _cut(image[:, ::-1].copy(), reflected)
    pairs = [
        (right, left_of_mirror),
        (left, right_of_mirror),
        (mouth[:, ::-1], mouth_of_mirror),
        (face[:, ::-1], face_of_mirror),
    ]
    for a, b in pairs:
        assert np.abs(a.astype(int) - b.astype(int)).max() <= 1


def test_crops_are_averages_not_samples(resting: torch.Tensor) -> None:
    """A fine chequerboard seen in a large picture is grey."""
    y, x = np.mgrid[:900, :900]
    image = np.repeat(np.uint8(255 * ((x + y) % 2))[..., None], 3, axis=2)
    points = turned(resting, 4.0, 0.3, (450.0, 420.0))
    for crop in _cut(image, points):
        assert np.abs(crop.astype(int) - 127).max() < 127 / 3  # samples are up to two pixels apart


def _cut(image: np.ndarray, points: torch.Tensor) -> tuple[np.ndarray, ...]:
    return cut_out(image, place_crops(points, upright(points))[0].numpy())


def test_parts_are_in_the_order_of_the_cuts() -> None:
    crops = Crops(*(torch.zeros(1, cut.height, cut.width, 3) for cut in CUTS.values()))
    assert [part.shape[1:3] for part in crops.parts()] == [(cut.height, cut.width) for cut in CUTS.values()]
