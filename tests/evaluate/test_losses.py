"""The losses, against loops and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tdmm.evaluate.evaluator.losses import MARGIN, contrastive, pairwise_margin, squared_distances


def embeddings(seed: int, count: int = 7, size: int = 5) -> torch.Tensor:
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def slow(texts, motions, scale, same, damaged=None, is_damaged=None) -> float:
    """InfoNCE one by one: -log of the own pair's part, over all that may count as negatives."""
    count, losses = len(texts), []

    def likeness(text: torch.Tensor, motion: torch.Tensor) -> float:
        return math.exp(-scale * sum((a - b) ** 2 for a, b in zip(text.tolist(), motion.tolist(), strict=True)))

    for row in range(count):
        own = likeness(texts[row], motions[row])
        allowed = [other for other in range(count) if other != row and not same[row, other]]
        to_motion = own + sum(likeness(texts[row], motions[other]) for other in allowed)
        if damaged is not None and is_damaged[row]:
            to_motion += likeness(texts[row], damaged[row])
        to_text = own + sum(likeness(texts[other], motions[row]) for other in allowed)
        losses += [-math.log(own / to_motion), -math.log(own / to_text)]
    return float(np.mean(losses))


def test_squared_distances_are_those_of_scipy():
    from scipy.spatial.distance import cdist

    first, second = embeddings(0), embeddings(1, count=4)
    expected = cdist(first.numpy(), second.numpy(), "sqeuclidean")
    np.testing.assert_allclose(squared_distances(first, second).numpy(), expected)
    assert squared_distances(first, first).diagonal().min() >= 0


@pytest.mark.parametrize("scale", [0.1, 1.0, 2.5])
def test_contrastive_is_infonce(scale):
    texts, motions = embeddings(0), embeddings(1)
    same = torch.eye(7, dtype=torch.bool)
    found = contrastive(texts, motions, torch.tensor(scale), same)
    assert found.item() == pytest.approx(slow(texts, motions, scale, same))


def test_pairs_that_ask_for_the_same_are_no_negatives():
    texts, motions = embeddings(0), embeddings(1)
    key = torch.tensor([0, 1, 0, 2, 1, 0, 3])
    same = key[:, None] == key
    found = contrastive(texts, motions, torch.tensor(0.5), same).item()
    assert found == pytest.approx(slow(texts, motions, 0.5, same))
    assert found < contrastive(texts, motions, torch.tensor(0.5), torch.eye(7, dtype=torch.bool)).item()


def test_a_damaged_motion_is_a_negative_for_its_text_alone():
    texts, motions, damaged = embeddings(0), embeddings(1), embeddings(2)
    same = torch.eye(7, dtype=torch.bool)
    is_damaged = torch.tensor([True, False, True, False, False, True, False])
    found = contrastive(texts, motions, torch.tensor(0.5), same, damaged, is_damaged).item()
    assert found == pytest.approx(slow(texts, motions, 0.5, same, damaged, is_damaged))
    assert found > contrastive(texts, motions, torch.tensor(0.5), same).item()


def test_all_at_once():
    texts, motions, damaged = embeddings(3), embeddings(4), embeddings(5)
    key = torch.tensor([0, 0, 1, 2, 2, 2, 3])
    same, is_damaged = key[:, None] == key, torch.tensor([True] * 3 + [False] * 4)
    found = contrastive(texts, motions, torch.tensor(0.8), same, damaged, is_damaged).item()
    assert found == pytest.approx(slow(texts, motions, 0.8, same, damaged, is_damaged))


def test_no_damage_is_as_if_there_were_none():
    texts, motions = embeddings(0), embeddings(1)
    same, none = torch.eye(7, dtype=torch.bool), torch.zeros(7, dtype=torch.bool)
    with_none = contrastive(texts, motions, torch.tensor(1.0), same, embeddings(2), none)
    assert with_none.item() == pytest.approx(contrastive(texts, motions, torch.tensor(1.0), same).item())


def test_all_alike_cannot_be_told_apart_and_only_pairs_of_one_prompt_cost_nothing():
    alike = torch.zeros(4, 3)
    own, scale = torch.eye(4, dtype=torch.bool), torch.tensor(1.0)
    assert contrastive(alike, alike, scale, own).item() == pytest.approx(math.log(4))
    assert contrastive(alike, alike, scale, torch.ones(4, 4, dtype=torch.bool)).item() == pytest.approx(0)


def test_contrastive_has_finite_gradients():
    texts, motions = embeddings(0).requires_grad_(), embeddings(1).requires_grad_()
    log_scale = torch.tensor(0.0, requires_grad=True, dtype=torch.float64)
    key = torch.tensor([0, 0, 1, 2, 3, 4, 5])
    contrastive(texts, motions, log_scale.exp(), key[:, None] == key, embeddings(2), key > 2).backward()
    for value in (texts, motions, log_scale):
        assert torch.isfinite(value.grad).all()
        assert value.grad.abs().sum() > 0


def test_pairwise_margin_by_hand():
    # With two pairs the other motion is known: shifted by one.
    texts = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    motions = torch.tensor([[0.0, 1.0], [3.0, 0.0]])
    near = (1 + 16) / 2
    far = [3.0, math.hypot(3, 3)]  # text 0 to motion 1, text 1 to motion 0
    expected = 0.5 * near + 0.5 * np.mean([(MARGIN - one) ** 2 for one in far])
    found = pairwise_margin(texts, motions, torch.Generator().manual_seed(0))
    assert found.item() == pytest.approx(expected, rel=1e-6)


def test_pairwise_margin_is_nothing_for_pairs_that_lie_together_and_far_from_the_others():
    texts = torch.diag(torch.full((6,), 20.0))
    assert pairwise_margin(texts, texts.clone(), torch.Generator().manual_seed(0)).item() == 0


def test_pairwise_margin_never_takes_a_pair_as_its_own_negative():
    texts = torch.diag(torch.full((5,), 20.0))
    generator = torch.Generator().manual_seed(0)
    assert all(pairwise_margin(texts, texts, generator).item() == 0 for _ in range(50))


def test_pairwise_margin_has_finite_gradients_where_all_is_alike():
    texts, motions = torch.zeros(4, 3, requires_grad=True), torch.zeros(4, 3, requires_grad=True)
    pairwise_margin(texts, motions, torch.Generator().manual_seed(0)).backward()
    assert torch.isfinite(texts.grad).all()
    assert torch.isfinite(motions.grad).all()
