"""What fits make of motions, simulated: the same for the same seed, nothing at strength 0, and as fits are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tdmm.errors import LmError, MissingPartError
from tdmm.face import load_face_model
from tdmm.io.manifest import read_manifest
from tdmm.io.motion_file import read_motion
from tdmm.lm.noise import (
    ASSET,
    POLES,
    STRENGTH,
    FitNoise,
    from_wide,
    read_fit_noise,
    save_fit_noise,
    spectra,
    to_wide,
)
from tdmm.vq.columns import columns_for, first_pose, relative_pose

FRAMES = 120


@pytest.fixture(scope="module")
def noise():
    return FitNoise.load()


@pytest.fixture(scope="module")
def motion(noise):
    """A smile that comes and goes, a blink, the head turned away and back: (T, 52) and (T, 6)."""
    expression = np.zeros((FRAMES, 52), np.float32)
    names = noise.expression_names
    expression[40:90, [names.index("mouthSmileLeft"), names.index("mouthSmileRight")]] = 0.7
    expression[20:26, [names.index("eyeBlinkLeft"), names.index("eyeBlinkRight")]] = 0.9
    head = np.zeros((FRAMES, 6), np.float32)
    head[:, 1] = 0.4 * np.sin(np.arange(FRAMES) / FRAMES * np.pi)
    return expression, head


def fits(noise, motion, count, **options):
    made = [noise.apply(*motion, np.random.default_rng(seed), **options) for seed in range(count)]
    return np.array([expression for expression, _ in made]), np.array([head for _, head in made])


def truths(corpus):
    columns = columns_for(load_face_model())
    for clip in read_manifest(corpus / "manifest.jsonl"):
        motion = read_motion(f"{corpus}/{clip.motion}")
        yield columns.of(motion), relative_pose(motion.rotation, motion.translation, first_pose(motion))


def test_of_the_built_in_head(noise):
    assert noise.expression_names == tuple(load_face_model().expression_names)
    assert ASSET.stat().st_size <= 300_000


def test_the_same_seed_gives_the_same_fit(noise, motion):
    first, again = (noise.apply(*motion, np.random.default_rng(3)) for _ in range(2))
    other = noise.apply(*motion, np.random.default_rng(4))
    for a, b, c in zip(first, again, other, strict=True):
        assert a.dtype == np.float32
        np.testing.assert_array_equal(a, b)
        assert not np.array_equal(a, c)


def test_strength_0_is_the_motion_itself(noise, motion):
    expression, head = noise.apply(*motion, np.random.default_rng(0), strength=0)
    np.testing.assert_array_equal(expression, motion[0])
    np.testing.assert_allclose(head, motion[1], atol=1e-7)


def test_more_strength_is_further_off(noise, motion):
    off = [np.abs(fits(noise, motion, 10, strength=s)[0] - motion[0]).mean() for s in (0.3, 1.0, STRENGTH[1])]
    assert off == sorted(off)


def test_people_are_further_from_rest(noise, motion):
    rest = [np.median(fits(noise, motion, 20, strength=1, people=much)[0][:, :15]) for much in (0, 0.5, 1)]
    assert rest == sorted(rest)
    assert rest[2] > 0.05


def test_inputs_stay_as_they_are(noise, motion):
    before = [values.copy() for values in motion]
    noise.apply(*motion, np.random.default_rng(0))
    for values, old in zip(motion, before, strict=True):
        np.testing.assert_array_equal(values, old)


@pytest.mark.parametrize("frames", [0, 1, 2, 700])
def test_expressions_stay_in_bounds_at_any_length(noise, frames):
    random = np.random.default_rng(1)
    truth = random.random((frames, 52)).astype(np.float32), random.normal(size=(frames, 6)).astype(np.float32)
    expression, head = noise.apply(*truth, random, strength=STRENGTH[1])
    assert expression.shape == (frames, 52)
    assert head.shape == (frames, 6)
    assert np.isfinite(head).all()
    assert ((expression >= 0) & (expression <= 1)).all()


def test_the_first_pose_stays(noise, motion):
    head = motion[1] + np.array([0.1, -0.2, 0.3, 0.01, 0.02, -0.6], np.float32)
    for seed in range(5):
        np.testing.assert_allclose(noise.apply(motion[0], head, np.random.default_rng(seed))[1][0], head[0], atol=1e-6)


@pytest.mark.parametrize(("expression", "head"), [((5, 51), (5, 6)), ((5, 52), (4, 6)), ((52,), (6,))])
def test_other_shapes_are_told(noise, expression, head):
    with pytest.raises(LmError, match="expected expressions"):
        noise.apply(np.zeros(expression), np.zeros(head), np.random.default_rng(0))


def test_both_eyes_look_about_the_same_way(noise, motion):
    names = noise.expression_names
    found = np.concatenate(fits(noise, motion, 10, strength=1, people=0)[0])
    for one, other, another in (
        ("LookInLeft", "LookOutRight", "LookInRight"),
        ("LookUpLeft", "LookUpRight", "LookDownLeft"),
    ):
        left, right, opposite = (found[:, names.index("eye" + name)] for name in (one, other, another))
        assert np.abs(left - right).mean() < np.abs(left - opposite).mean()


def test_what_is_plain_to_see_is_read(noise, motion):
    names = noise.expression_names
    expression, head = fits(noise, motion, 60, strength=1, people=0)
    blink, smile = expression[..., names.index("eyeBlinkLeft")], expression[..., names.index("mouthSmileLeft")]
    assert np.median([np.corrcoef(one, motion[0][:, names.index("eyeBlinkLeft")])[0, 1] for one in blink]) > 0.9
    assert 0.25 < np.median(smile[:, 45:85]) < 0.75  # too weakly
    assert np.median(smile[:, :15]) < 0.1
    assert np.median(np.abs(head[:, FRAMES // 2, 1] - 0.4)) < 0.06


def test_statistics_are_as_measured(noise, tiny_corpus):
    """Of other clips than those that were measured: correlations with the truth, strays at rest, errors."""
    scores = noise.made["scores"]
    found, means = [], []
    for number, (expression, head) in enumerate(truths(tiny_corpus)):
        for seed in range(3):
            fitted, _ = noise.apply(expression, head, np.random.default_rng([number, seed]), strength=1, people=0)
            moves = (expression.std(axis=0) > 0.03) & (fitted.std(axis=0) > 0)
            found += [np.corrcoef(expression[:, k], fitted[:, k])[0, 1] for k in np.flatnonzero(moves)]
            means.append(fitted.mean(axis=0))
    assert np.mean(found) == pytest.approx(scores["correlation with truth, real"], abs=0.12)
    assert 0.02 < np.mean(means) < 0.1
    assert 0.03 < np.std(means, axis=0).mean() < 0.15


def test_wide_values_and_back():
    values = np.array([0.002, 0.01, 0.05, 0.3, 1.0])
    np.testing.assert_allclose(from_wide(to_wide(values)), values, rtol=1e-6)
    assert to_wide(np.array([0.5]))[0] == pytest.approx(0.5, abs=1e-6)
    assert (from_wide(np.array([-9.0, -1.0])) >= 0).all()


def test_processes_have_their_variance(noise):
    """Of variance 1, and the slower the further its pole is from 0."""
    power = spectra(512)
    full = np.concatenate([power, power[:, 1:-1]], axis=1)
    np.testing.assert_allclose(full.mean(axis=1), 1, rtol=1e-4)
    quiet = replace(noise, stray_mix=noise.stray_mix * 0, own_power=np.eye(len(POLES), dtype=np.float32)[[1, 5] * 29])
    strays = quiet._processes(20_000, np.random.default_rng(0))
    np.testing.assert_allclose(strays.var(axis=0), 1, atol=0.3)
    change = np.diff(strays, axis=0).var(axis=0)
    assert change[0] > 10 * change[1]


def test_a_model_comes_back_from_its_file(noise, motion, tmp_path):
    save_fit_noise(noise, tmp_path / "noise.safetensors")
    again = read_fit_noise(tmp_path / "noise.safetensors")
    assert again.made == noise.made
    for a, b in zip(*(one.apply(*motion, np.random.default_rng(0)) for one in (noise, again)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_files_that_are_none(tmp_path):
    with pytest.raises(MissingPartError, match="measure_fit_noise"):
        read_fit_noise(tmp_path / "none")
    (tmp_path / "bad").write_bytes(b"12345678")
    with pytest.raises(LmError, match="no safetensors file"):
        read_fit_noise(tmp_path / "bad")
    other = ASSET.with_name("fit_prior.safetensors")
    with pytest.raises(LmError, match="schema"):
        read_fit_noise(other)
