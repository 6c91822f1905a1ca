"""The evaluator that comes with tdmm: small enough, finds real pairs of another seed, notices damage."""

from __future__ import annotations

import numpy as np
import pytest
from small_corpus import performed

from tdmm.evaluate.evaluator.damage import DAMAGES
from tdmm.evaluate.evaluator.examples import Examples
from tdmm.evaluate.evaluator.sanity import SEVERITIES, damage_curves, real_pairs
from tdmm.evaluate.evaluator.store import ASSET, FILES, Evaluator, load_evaluator

# The rare sorts of damage need the most clips: few texts say that all is slight.
CLIPS, LEAST = 900, 0.75


@pytest.fixture(scope="module")
def shipped() -> Evaluator:
    return load_evaluator()


@pytest.fixture(scope="module")
def held_out() -> Examples:
    """Clips of a seed of which no clip was in the training, and of no split that it was trained on."""
    return performed(CLIPS, seed=90210, without="train")


def test_it_takes_at_most_four_megabytes():
    assert sum((ASSET / name).stat().st_size for name in FILES) <= 4_000_000


def test_it_has_a_card():
    card = (ASSET / "README.md").read_text("utf-8")
    assert "tdmm train evaluator" in card


def test_it_was_chosen_on_val_and_says_so(shipped):
    trained = shipped.facts["trained"]
    assert trained["clips"] > 10_000
    assert trained["val"]["top1"] >= LEAST


def test_it_finds_real_pairs_of_another_seed(shipped, held_out):
    mine = [clip for clip, split in enumerate(held_out.splits) if split in ("test", "val")]
    assert len(mine) > 200
    found = real_pairs(shipped, chosen(held_out, mine), repeats=5)
    assert found["r_precision_top1"].mean >= 0.95  # required: LEAST
    assert found["r_precision_top1"].mean <= found["r_precision_top2"].mean <= found["r_precision_top3"].mean


@pytest.mark.parametrize("split", ["test-composition", "test-phrasing"])
def test_it_finds_pairs_that_are_put_together_or_worded_as_none_in_the_training(shipped, held_out, split):
    found = real_pairs(shipped, held_out.of(split), repeats=5)
    assert found["r_precision_top1"].mean >= LEAST


@pytest.fixture(scope="module")
def curves(shipped, held_out):
    return {curve.damage: curve for curve in damage_curves(shipped, held_out, most=110)}


@pytest.mark.parametrize("damage", DAMAGES)
def test_motions_are_the_farther_from_their_texts_the_more_they_are_damaged(curves, damage):
    curve = curves[damage]
    assert curve.clips >= 32
    assert curve.monotone, curve.mm_dist
    assert curve.nearer[0] == 0
    assert curve.nearer[-1] > 0.8
    assert curve.fid[0] < 1e-3
    assert len(curve.mm_dist) == len(SEVERITIES)


@pytest.mark.parametrize("damage", ["noise", "frozen"])
def test_heavy_damage_makes_texts_miss_their_motions_and_sets_unlike(curves, damage):
    curve = curves[damage]
    assert curve.top1[-1] < curve.top1[0] - 0.1
    assert curve.fid[-1] > curve.fid[1] > curve.fid[0]


def chosen(examples: Examples, clips: list[int]) -> Examples:
    parts = [examples.features[examples.starts[clip] : examples.starts[clip + 1]] for clip in clips]
    return Examples(
        ids=tuple(examples.ids[clip] for clip in clips),
        features=np.concatenate(parts),
        starts=np.concatenate([[0], np.cumsum([len(part) for part in parts])]),
        texts=tuple(examples.texts[clip] for clip in clips),
        keys=tuple(examples.keys[clip] for clip in clips),
        splits=tuple(examples.splits[clip] for clip in clips),
        damages=examples.damages[clips],
    )
