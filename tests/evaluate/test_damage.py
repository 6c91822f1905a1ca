"""Damage to motions: as much as severity says, nothing behind their ends, and of the sort that its name says."""

from __future__ import annotations

import pytest
import torch

from tdmm.evaluate.evaluator.damage import DAMAGES, N_CURVES, NOISE, SEGMENTS, STRONGER, WEAKER, damaged
from tdmm.evaluate.evaluator.features import MIRROR_INDEX, MIRROR_SIGN, N_FEATURES

LENGTHS = torch.tensor([40, 25, 8, 3, 1])


def batch(seed: int = 0) -> torch.Tensor:
    """Frames behind the ends are not zero: a batch may be cut out of a longer row of motions."""
    generator = torch.Generator().manual_seed(seed)
    motions = torch.rand(len(LENGTHS), 45, N_FEATURES, generator=generator)
    motions[..., N_CURVES:] = 4 * motions[..., N_CURVES:] - 2
    return motions


def hurt(motions: torch.Tensor, kind: str, severity: float = 1.0, seed: int = 7) -> torch.Tensor:
    return damaged(motions, LENGTHS, kind, torch.Generator().manual_seed(seed), severity)


@pytest.mark.parametrize("kind", DAMAGES)
def test_no_severity_no_damage(kind):
    # A little outside of 0..1, as noise makes them.
    motions = batch() * 1.1 - 0.05
    assert torch.equal(hurt(motions, kind, 0.0), motions)


@pytest.mark.parametrize("severity", [0.3, 1.0])
@pytest.mark.parametrize("kind", DAMAGES)
def test_what_lies_behind_the_end_stays(kind, severity):
    motions = batch()
    for found, before, length in zip(hurt(motions, kind, severity), motions, LENGTHS, strict=True):
        assert torch.equal(found[length:], before[length:])


@pytest.mark.parametrize("kind", DAMAGES)
def test_what_lies_behind_the_end_is_never_brought_in(kind):
    motions = batch()
    for row, length in zip(motions, LENGTHS, strict=True):
        row[length:] = 1000
    for severity in (0.3, 0.6, 1.0):
        for found, length in zip(hurt(motions, kind, severity), LENGTHS, strict=True):
            assert found[:length].abs().max() < 500


@pytest.mark.parametrize("kind", DAMAGES)
def test_the_motions_that_were_given_are_not_changed(kind):
    motions = batch()
    hurt(motions, kind)
    assert torch.equal(motions, batch())


@pytest.mark.parametrize("kind", DAMAGES)
def test_all_severity_changes_long_motions(kind):
    motions = batch()
    assert not torch.equal(hurt(motions, kind)[:2], motions[:2])


@pytest.mark.parametrize("kind", DAMAGES)
def test_one_seed_one_damage(kind):
    motions = batch()
    assert torch.equal(hurt(motions, kind, 0.7), hurt(motions, kind, 0.7))


@pytest.mark.parametrize("kind", ["mirrored", "frozen", "shuffled", "other"])
def test_the_last_part_is_damaged_and_the_first_is_not(kind):
    motions = batch()
    found = hurt(motions, kind, 0.25)
    assert torch.equal(found[0, :30], motions[0, :30])
    assert not torch.equal(found[0, 30:40], motions[0, 30:40])


@pytest.mark.parametrize("kind", ["noise", "weaker", "stronger"])
def test_curves_stay_within_their_bounds(kind):
    for found, length in zip(hurt(batch(), kind), LENGTHS, strict=True):
        assert found[:length, :N_CURVES].min() >= 0
        assert found[:length, :N_CURVES].max() <= 1


def test_noise_has_the_spread_of_its_severity():
    motions = torch.full((8, 200, N_FEATURES), 0.5)
    lengths = torch.full((8,), 200)
    for severity in (0.5, 1.0):
        noise = damaged(motions, lengths, "noise", torch.Generator().manual_seed(0), severity) - 0.5
        assert noise[..., N_CURVES:].std().item() == pytest.approx(severity * NOISE, rel=0.03)
        assert abs(noise[..., N_CURVES:].mean().item()) < 0.01


def test_weaker_and_stronger_are_factors():
    motions = batch()
    for kind, most in (("weaker", WEAKER), ("stronger", STRONGER)):
        for severity in (0.5, 1.0):
            factor = 1 + severity * (most - 1)
            found = hurt(motions, kind, severity)[0, :40]
            torch.testing.assert_close(found[:, N_CURVES:], motions[0, :40, N_CURVES:] * factor)
            torch.testing.assert_close(found[:, :N_CURVES], (motions[0, :40, :N_CURVES] * factor).clamp(0, 1))


def test_reversed_twice_is_as_before():
    motions = batch()
    assert torch.equal(hurt(hurt(motions, "reversed"), "reversed"), motions)


def test_reversed_is_backwards_in_time():
    motions = batch()
    for found, before, length in zip(hurt(motions, "reversed"), motions, LENGTHS, strict=True):
        assert torch.equal(found[:length], before[:length].flip(0))


@pytest.mark.parametrize("severity", [0.2, 0.4, 0.6, 0.8])
def test_so_many_are_reversed_as_severity_says_and_they_stay_so_as_it_grows(severity):
    motions, lengths = torch.rand(50, 20, N_FEATURES), torch.full((50,), 20)

    def backwards(some: float) -> torch.Tensor:
        found = damaged(motions, lengths, "reversed", torch.Generator().manual_seed(1), some)
        return (found == motions.flip(1)).flatten(1).all(1)

    assert backwards(severity).sum() == round(50 * severity)
    assert (backwards(severity) <= backwards(severity + 0.2)).all()


@pytest.mark.parametrize("severity", [0.3, 1.0])
def test_shuffled_is_another_order_of_the_same_frames(severity):
    motions = batch()
    for seed in range(5):
        for found, before, length in zip(hurt(motions, "shuffled", severity, seed), motions, LENGTHS, strict=True):
            order = [(before[:length] == frame).all(1).nonzero().item() for frame in found[:length]]
            assert sorted(order) == list(range(length))
            if round(severity * length.item()) >= SEGMENTS:
                assert order != sorted(order)


def test_every_quarter_of_a_shuffled_motion_moves_in_one_piece():
    motions = torch.arange(40.0)[None, :, None].expand(1, 40, N_FEATURES)
    for seed in range(8):
        found = damaged(motions, torch.tensor([40]), "shuffled", torch.Generator().manual_seed(seed))[0, :, 0]
        quarters = found.reshape(SEGMENTS, 10)
        assert (quarters.diff() == 1).all()
        assert (quarters[:, 0] != torch.arange(0, 40, 10)).all()


def test_what_is_too_short_for_quarters_is_not_shuffled():
    motions = batch()
    assert torch.equal(hurt(motions, "shuffled")[3:], motions[3:])


def test_mirrored_is_left_for_right():
    motions = batch()
    expected = motions[0, :40][:, torch.as_tensor(MIRROR_INDEX)] * torch.as_tensor(MIRROR_SIGN)
    assert torch.equal(hurt(motions, "mirrored")[0, :40], expected)
    assert torch.equal(hurt(hurt(motions, "mirrored"), "mirrored"), motions)


def test_frozen_stays_at_the_frame_where_it_begins():
    motions = batch()
    found = hurt(motions, "frozen", 0.5)
    assert torch.equal(found[0, 20:40], motions[0, 20].expand(20, -1))
    assert torch.equal(hurt(motions, "frozen")[0, :40], motions[0, 0].expand(40, -1))


def test_other_is_the_neighbours_motion_which_stays_at_its_end():
    motions = batch()
    found = hurt(motions, "other")
    for row, length in enumerate(LENGTHS.tolist()):
        neighbour = (row - 1) % len(LENGTHS)
        theirs = int(LENGTHS[neighbour])
        common = min(length, theirs)
        assert torch.equal(found[row, :common], motions[neighbour, :common])
        assert torch.equal(found[row, common:length], motions[neighbour, theirs - 1].expand(length - common, -1))


def test_unknown_damage_and_absurd_severity_are_refused():
    with pytest.raises(ValueError, match=r"kind: expected one of noise, .*, found 'upside-down'"):
        hurt(batch(), "upside-down")
    with pytest.raises(ValueError, match="found 'upside-down'"):
        hurt(batch(), "upside-down", 0.0)
    for severity in (-0.1, 1.5, float("nan")):
        with pytest.raises(ValueError, match=r"severity: expected a number in 0\.\.1"):
            hurt(batch(), "noise", severity)
