"""The studio's pictures: reproducible, of the truth they come with, honest about what they hide."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.fft import dctn, idctn

from tdmm.face.scheme import LEFT_OUTER_EYE, RIGHT_OUTER_EYE
from tdmm.fit.detect import open_detector
from tdmm.fit.measure import project_landmarks

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from fit_prior import occluders
from fit_prior.camera_faults import _LUMA, SCALES, _quantised, draw_faults, film
from fit_prior.looks import draw_looks, skin_colour
from fit_prior.studio import Studio
from fit_prior.takes import TEST_SEEDS, Takes, draw_takes

RIGHT_EYE, LEFT_EYE, BROWS, MOUTH = range(4)
SMALL = 112


@pytest.fixture(scope="module")
def studio():
    return Studio("cpu", SMALL, texels=256)


def portraits(count: int, n_frames: int = 1, turn: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Takes:
    """Takes of random people who hold the face in the middle of the picture, turned alike."""
    takes = draw_takes(TEST_SEEDS + 3, count, n_frames)
    return replace(
        takes,
        controls=np.zeros_like(takes.controls),
        shape=0.5 * takes.shape,
        rotation=np.full_like(takes.rotation, turn),
        translation=np.full_like(takes.translation, (0.0, -0.04, -0.75)),
        focal=np.full_like(takes.focal, 2.2),
    )


def always(monkeypatch: pytest.MonkeyPatch, **values: float) -> None:
    """Make every occluder drawn have these values."""
    drawn = occluders.draw_occluders

    def changed(*arguments):
        found = drawn(*arguments)
        return found | {name: np.full_like(found[name], value) for name, value in values.items()}

    monkeypatch.setattr("fit_prior.studio.occluders.draw_occluders", changed)


def test_shapes_and_the_same_pictures_from_the_same_seed(studio):
    takes = draw_takes(TEST_SEEDS, 2, 3)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first, again, other = studio.shoot(takes, 5), studio.shoot(takes, 5), studio.shoot(takes, 6)
    assert first.images.shape == (6, SMALL, SMALL, 3)
    assert first.images.dtype == torch.uint8
    assert first.visible.shape == (6, 4)
    assert first.visible.dtype == torch.float32
    assert first.visible.min() >= 0
    assert first.visible.max() <= 1 + 1e-5
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.visible, again.visible)
    difference = (first.images.float() - other.images.float()).abs().mean((1, 2, 3))
    assert difference.min() > 3
    # Nobody else's random numbers were touched.
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002


def test_a_sequence_keeps_its_look(studio):
    takes = portraits(2, 2)
    images = studio.shoot(takes, 9).images.float().reshape(2, 2, SMALL, SMALL, 3)
    within = (images[:, 0] - images[:, 1]).abs().mean()
    between = (images[0] - images[1]).abs().mean()
    assert within < 0.3 * between


def test_everything_of_a_face_that_looks_at_the_camera_is_seen(studio, monkeypatch):
    always(monkeypatch, occluder=0)
    monkeypatch.setitem(sys.modules["fit_prior.looks"].CHANCE, "fringe", 0.0)
    monkeypatch.setitem(sys.modules["fit_prior.looks"].CHANCE, "hat", 0.0)
    visible = studio.shoot(portraits(4), 3).visible
    assert visible.min() > 0.85


def test_what_turns_away_is_not_seen(studio, monkeypatch):
    always(monkeypatch, occluder=0)
    # To the subject's left: the left eye goes behind the nose and out of sight.
    visible = studio.shoot(portraits(3, turn=(0.0, 1.2, 0.0)), 3).visible
    assert (visible[:, LEFT_EYE] < visible[:, RIGHT_EYE] - 0.3).all()
    away = studio.shoot(portraits(2, turn=(0.0, np.pi, 0.0)), 3).visible
    assert away.max() < 0.05


def test_what_a_thing_covers_is_not_seen_but_lenses_hide_nothing(studio, monkeypatch):
    takes = portraits(3)
    there = {
        "occluder": 1,
        "occluder_start": -1,
        "occluder_stop": 2,
        "occluder_off": 0,
        "occluder_sway": 0,
        "occluder_size": 1,
    }
    always(
        monkeypatch, **there, occluder_kind=occluders.BOX, occluder_box=0.04, occluder_target=MOUTH, occluder_angle=0
    )
    monkeypatch.setitem(sys.modules["fit_prior.looks"].CHANCE, "fringe", 0.0)
    monkeypatch.setitem(sys.modules["fit_prior.looks"].CHANCE, "hat", 0.0)
    monkeypatch.setitem(sys.modules["fit_prior.looks"].CHANCE, "sunglasses", 1.0)
    visible = studio.shoot(takes, 3).visible
    assert visible[:, MOUTH].max() < 0.05
    # Dark lenses cover both eyes; a rim may lie over a brow.
    assert visible[:, [RIGHT_EYE, LEFT_EYE]].min() > 0.85
    assert visible[:, BROWS].min() > 0.6


def test_pictures_show_the_truth_they_come_with(monkeypatch):
    """A detector that knows nothing of the head finds eyes and mouth where the truth projects."""
    always(monkeypatch, occluder=0)
    side = 224
    takes = portraits(8)
    images = Studio("cpu", side, texels=256).shoot(takes, TEST_SEEDS).images.numpy()
    detector = open_detector()
    places = [33, 133, 362, 263, 61, 291, 1, 13]
    misses = []
    for number, image in enumerate(images):
        detector.reset()
        found = detector.detect(image, 0.0)
        if found:
            true = project_landmarks(takes.motion(number, side), studio_head())[0]
            eyes = np.linalg.norm(true[LEFT_OUTER_EYE] - true[RIGHT_OUTER_EYE])
            misses.append(np.linalg.norm(found[0].points[places, :2] - true[places], axis=1).mean() / eyes)
    detector.close()
    assert len(misses) >= 7
    assert np.median(misses) < 0.06


def studio_head():
    from tdmm.face import load_face_model

    return load_face_model()


def test_looks_spread_over_all_skins_and_stay_in_range():
    look = draw_looks(np.random.default_rng(1), 500)
    assert look["skin"].min() > 0
    assert look["skin"].max() < 1
    # Rec. 709 luminance in linear light: from pale to very dark.
    light = look["skin"] @ [0.2126, 0.7152, 0.0722]
    assert np.percentile(light, 95) > 0.45
    assert np.percentile(light, 5) < 0.12
    tones = skin_colour(np.linspace(0.05, 3, 20), np.full(20, 0.4))
    assert (np.diff(tones, axis=0) < 0).all()
    assert (tones[:, 0] > tones[:, 1]).all()  # skin is never bluer or greener than red
    assert 0 < look["glasses"].mean() < 0.5
    assert all(np.isfinite(value).all() for value in look.values())


def test_a_clean_camera_changes_nothing_and_a_poor_one_loses_detail():
    random = np.random.default_rng(2)
    clean = {name: np.zeros_like(value) for name, value in draw_faults(random, 1).items()}
    clean |= {name: np.ones_like(clean[name]) for name in ("balance", "contrast", "gamma", "saturation")}
    clean["jpeg"] = np.full(1, 100, np.float32)
    picture = torch.rand((1, 64, 64, 3), generator=torch.Generator().manual_seed(0)) * 0.5

    def shown(**faults: float) -> torch.Tensor:
        look = {name: torch.from_numpy(value) for name, value in clean.items()}
        look |= {name: torch.full_like(look[name], value) for name, value in faults.items()}
        generator = torch.Generator().manual_seed(0)
        return film(picture, look, torch.zeros(1, dtype=torch.long), torch.zeros(1, 2), generator).float()

    def detail(image: torch.Tensor) -> float:
        return float((image[:, 1:] - image[:, :-1]).abs().mean())

    sharp = shown()
    light = (sharp / 255).double()
    linear = torch.where(light <= 0.04045, light / 12.92, ((light + 0.055) / 1.055) ** 2.4)
    assert (linear - picture).abs().max() < 0.005
    for fault in ({"defocus": 1.5}, {"scale": len(SCALES) - 1}, {"jpeg": 10}):
        assert detail(shown(**fault)) < 0.8 * detail(sharp), fault
    assert shown(saturation=0).std(-1).max() < 1


def test_compression_rounds_the_cosine_transform_of_each_block():
    planes = 60 * torch.randn((1, 2, 16, 24), generator=torch.Generator().manual_seed(0))
    found = _quantised(planes, torch.from_numpy(_LUMA)[None]).numpy()
    for channel, row, column in np.ndindex(2, 2, 3):
        block = np.s_[0, channel, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
        rounded = np.round(dctn(planes.numpy()[block], norm="ortho") / _LUMA) * _LUMA
        np.testing.assert_allclose(found[block], idctn(rounded, norm="ortho"), atol=1e-3)
