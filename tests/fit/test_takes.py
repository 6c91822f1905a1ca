"""The random motions that the fitter's network learns from: in bounds, in the picture, complete, reproducible."""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from tdmm.face import load_face_model
from tdmm.fit.measure import project_landmarks

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from fit_prior.curves import between_keys, bumps
from fit_prior.expressions import CONSONANTS, EXPRESSIONS, VOWELS, table
from fit_prior.takes import MIXTURES, NATURAL, TEST_SEEDS, draw_takes, head_controls

NAMES = head_controls().names


@pytest.fixture(scope="module", params=[MIXTURES, NATURAL], ids=["mixtures", "natural"])
def takes(request):
    return draw_takes(TEST_SEEDS + 1, 150, 60, request.param)


def test_the_same_seed_gives_the_same_takes_and_another_one_others():
    first, again, other = draw_takes(5, 3, 9), draw_takes(5, 3, 9), draw_takes(6, 3, 9)
    for item in fields(first):
        assert np.array_equal(getattr(first, item.name), getattr(again, item.name)), item.name
    assert not np.array_equal(first.shape, other.shape)
    assert not np.array_equal(first.controls, other.controls)


def test_shapes_and_bounds(takes):
    controls = head_controls()
    assert takes.controls.shape == (150, 60, len(controls))
    assert takes.controls.dtype == np.float32
    assert takes.shape.shape == (150, 100)
    assert (takes.controls >= controls.lower).all()
    assert (takes.controls <= controls.upper).all()
    for first, second in controls.capped:
        assert (takes.controls[..., first] + takes.controls[..., second]).max() <= 1 + 1e-6
    assert np.isfinite(takes.translation).all()
    assert takes.focal.min() >= 0.8
    assert takes.focal.max() <= 3.5


def test_opposites_are_never_shown_at_once(takes):
    for pair in (("gazeLeft", "gazeRight"), ("gazeUp", "gazeDown"), ("jawLeft", "jawRight")):
        both = np.minimum(*(takes.controls[..., NAMES.index(name)] for name in pair))
        assert both.max() == 0, pair


def test_every_control_moves_in_many_takes(takes):
    moves = (takes.controls.std(1) > 0.02).mean(0)
    least = NAMES[int(moves.argmin())]
    assert moves.min() > 0.03, f"{least} moves in {moves.min():.3f} of the takes"


def test_mixtures_show_every_control_at_full_strength():
    reached = draw_takes(TEST_SEEDS, 300, 60, MIXTURES).controls.max((0, 1))
    assert (reached > 0.95).all(), [name for name, value in zip(NAMES, reached, strict=True) if value <= 0.95]


def test_lids_close_with_and_without_squint_and_a_lowered_gaze(takes):
    """Else a network could not learn to tell a blink from them."""
    blink, squint, down = (
        takes.controls[..., NAMES.index(name)].ravel() for name in ("eyeBlinkLeft", "eyeSquintLeft", "gazeDown")
    )
    for alone, others in ((blink, (squint, down)), (squint, (blink, down)), (down, (blink, squint))):
        assert ((alone > 0.4) & (others[0] < 0.15) & (others[1] < 0.15)).mean() > 0.002


def test_faces_are_inside_the_picture_and_of_the_size_that_was_asked_for(takes):
    head = load_face_model()
    inside, height = [], []
    for number in range(0, 150, 10):
        points = project_landmarks(takes.motion(number, 100), head)
        points = points[:, ~np.isnan(points[0, :, 0])]
        inside.append(((points > 0) & (points < 100)).all(2).mean())
        height.append(np.ptp(points[..., 1], axis=1).mean())
    assert np.mean(inside) > 0.98
    assert min(inside) > 0.8
    assert min(height) > 30
    assert max(height) < 95


def test_heads_turn_far_but_mostly_face_the_camera(takes):
    forward = np.stack([_forward(rotation) for rotation in takes.rotation.reshape(-1, 3)[::20]])
    to_camera = -takes.translation.reshape(-1, 3)[::20]
    to_camera = to_camera / np.linalg.norm(to_camera, axis=1, keepdims=True)
    away = np.degrees(np.arccos(np.clip((forward * to_camera).sum(1), -1, 1)))
    assert np.median(away) < 30
    assert np.percentile(away, 97) > 45
    assert away.max() < 85


def test_some_heads_and_faces_keep_still():
    takes = draw_takes(TEST_SEEDS + 3, 300, 30)
    assert 0.03 < (takes.rotation.std(1).max(1) < 1e-3).mean() < 0.5
    assert 0.02 < (takes.controls.std(1).max(1) < 0.02).mean() < 0.3


def test_an_event_rises_stays_and_falls():
    one = lambda value: np.array([[value]])  # noqa: E731
    curve = bumps(np.array([[0.0, 1.0, 1.5, 2.0, 2.9, 3.5, 4.0, 9.0]]), one(1.0), one(1.0), one(1.0), one(1.0))
    np.testing.assert_allclose(curve[0, :, 0], [0, 0, 0.5, 1, 1, 0.5, 0, 0])


def test_keys_are_reached_in_their_time_and_rest_before_a_ramp():
    keys = np.array([[[0.0], [2.0], [1.0]]], np.float32)
    position = np.array([0.0, 0.5, 1.0, 1.5, 1.99999])[None, :, None]
    np.testing.assert_allclose(between_keys(position, keys)[0, :, 0], [0, 1, 2, 1.5, 1], atol=1e-4)
    ramp = np.full((1, 3, 1), 0.2, np.float32)
    np.testing.assert_allclose(between_keys(position, keys, ramp)[0, :, 0], [0, 0, 2, 2, 1], atol=1e-4)


def test_templates_name_controls_and_cover_all_but_blinks_and_glances():
    rows = np.concatenate([table(templates, NAMES) for templates in (EXPRESSIONS, VOWELS, CONSONANTS)])
    assert rows.max() <= 1
    unused = {name for name, used in zip(NAMES, rows.any(0), strict=True) if not used}
    assert unused <= {"gazeLeft", "gazeRight", "gazeDown"}
    with pytest.raises(KeyError):
        table(({"mouthGrin": 1.0},), NAMES)


def _forward(rotation: np.ndarray) -> np.ndarray:
    """Where a head's face points."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_rotvec(rotation).as_matrix()[:, 2]
