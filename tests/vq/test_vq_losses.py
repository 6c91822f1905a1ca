"""Losses of decoded motions: known displacements give known millimetres and degrees."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from made_codecs import COLUMNS, HEAD, some_faces

from tdmm.face.mesh_points import MeshPoints, mesh_points
from tdmm.vq import losses
from tdmm.vq.columns import columns_for
from tdmm.vq.losses import FaceLoss, LossWeights, head_loss, lost_variance, worst_curves

POINTS = mesh_points(HEAD)
REGIONS = ("face", "lips", "eyelids", "eyes")
SPREAD = torch.linspace(0.1, 0.4, 52)
WEIGHTS = LossWeights(
    face=1.0, lips=0.5, eyelids=0.25, eyes=0.125, velocity=2.0, gaps=0.75, parameters=3.0, rotation=1.5, translation=0.2
)


@pytest.fixture
def whole(monkeypatch):
    """The losses look at all vertices, and not at a sample of them."""
    monkeypatch.setattr(losses, "SAMPLES", 1)
    monkeypatch.setattr(losses, "SAMPLED", dict.fromkeys(REGIONS, 10**6))


def face_loss(kind: str = "geometry", points: MeshPoints = POINTS, spread=SPREAD, weights=WEIGHTS) -> FaceLoss:
    columns = columns_for(points.model)
    return FaceLoss(points, columns, spread, weights, kind, np.random.default_rng(0), "cpu")


def faces(batch: int = 2, frames: int = 8) -> torch.Tensor:
    return torch.from_numpy(some_faces(COLUMNS, batch * frames)).view(batch, frames, -1)


def random() -> np.random.Generator:
    return np.random.default_rng(1)


def place(name: str) -> int:
    return HEAD.expression_names.index(name)


def way(name: str) -> torch.Tensor:
    """(N,) how far an expression that is 1 takes vertices: the sum of the parts along the axes, mm."""
    unit = torch.eye(52)[[place(name)]]
    moved, rest = (POINTS.in_head_of(one, None, None, torch.zeros(0)) for one in (unit, 0 * unit))
    return 1000 * (moved - rest)[0].abs().sum(0)


@pytest.mark.parametrize("kind", losses.LOSSES)
def test_equal_motions_lose_nothing(kind):
    truth = faces()
    total, parts = face_loss(kind)(truth.clone(), truth, random())
    assert total == 0
    assert all(part == 0 for part in parts.values())
    total, parts = head_loss(torch.ones(2, 5, 6), torch.ones(2, 5, 6), WEIGHTS)
    assert total == 0
    assert all(part == 0 for part in parts.values())


@pytest.mark.parametrize("name", ["jawOpen", "eyeBlinkLeft", "mouthSmileRight", "eyeLookUpLeft"])
@pytest.mark.usefixtures("whole")
def test_one_expression_too_much_is_so_many_millimetres(name):
    truth = faces()
    guess = truth.clone()
    guess[..., place(name)] += 0.25
    total, parts = face_loss()(guess, truth, random())
    known = 0.25 * way(name)
    for region in REGIONS:
        assert float(parts[region]) == pytest.approx(float(known[getattr(POINTS, region)].mean()), rel=1e-3, abs=1e-4)
    assert float(parts["parameters"]) == pytest.approx(0.25 / 52 / float(SPREAD[place(name)]), rel=1e-4)
    assert float(parts["velocity"]) == pytest.approx(0, abs=1e-3)
    weighted = sum(getattr(WEIGHTS, part) * float(value) for part, value in parts.items())
    assert float(total) == pytest.approx(weighted, rel=1e-5)


@pytest.mark.usefixtures("whole")
def test_what_trembles_has_a_velocity():
    truth = faces()
    guess = truth.clone()
    guess[:, ::2, place("jawOpen")] += 0.1
    guess[:, 1::2, place("jawOpen")] -= 0.1
    _, parts = face_loss()(guess, truth, random())
    assert float(parts["velocity"]) == pytest.approx(2 * float(parts["face"]), rel=1e-3)
    # Only the errors' own movement counts, not that of the face.
    still = truth[:, :1].expand_as(truth)
    _, others = face_loss()(still + (guess - truth), still, random())
    assert float(others["velocity"]) == pytest.approx(float(parts["velocity"]), rel=1e-3)


def test_gaps_count_for_more_where_lips_meet():
    shut = torch.zeros(1, 4, 52)
    ajar = shut.clone()
    ajar[..., place("jawOpen")] = 0.8
    found = []
    for truth in (shut, ajar):
        guess = truth.clone()
        guess[..., place("jawOpen")] += 0.1
        found.append(face_loss()(guess, truth, random())[1])
    assert found[0]["gaps"] > 1.5 * found[1]["gaps"]
    assert float(found[0]["lips"]) == pytest.approx(float(found[1]["lips"]), rel=1e-3)
    assert found[0]["gaps"] < (1 + losses.CLOSE_WEIGHT) * found[1]["gaps"] + 1e-6


@pytest.mark.usefixtures("whole")
def test_gaps_are_of_lips_and_lids_by_hand():
    """Where nothing is near, the weight is 1 and an error is the sum along the axes of how the gaps change."""
    truth = torch.zeros(1, 1, 52)
    truth[..., place("jawOpen")] = 1.0
    guess = truth.clone()
    guess[..., place("jawOpen")] -= 0.2
    _, parts = face_loss()(guess, truth, random())
    posed = [POINTS.in_head_of(one[0], None, None, torch.zeros(0)) for one in (guess, truth)]
    ends = [(one[:, :, POINTS.corners] * POINTS.weights).sum(-1) for one in posed]  # (1, 3, G, 2)
    apart = [one[..., 0] - one[..., 1] for one in ends]
    known = 1000 * (apart[0] - apart[1]).abs().sum(1).mean()
    assert apart[1].norm(dim=1)[0, 0] > 0.01
    # The lids are open as little as at rest, and do not move.
    assert 0.999 * known < parts["gaps"] < 1.05 * known


def test_parameters_ignore_the_mesh():
    """The same error in what shows much and in what hardly shows."""
    truth, spread = faces(), torch.full((52,), 0.2)
    found = {}
    for name in ("jawOpen", "eyeLookUpLeft"):
        guess = truth.clone()
        guess[..., place(name)] += 0.3
        for kind in losses.LOSSES:
            found[name, kind] = face_loss(kind, spread=spread)(guess, truth, random())
    one, other = (float(found[name, "parameters"][0]) for name in ("jawOpen", "eyeLookUpLeft"))
    assert one == pytest.approx(other, rel=1e-5)
    assert found["jawOpen", "geometry"][0] > 2 * found["eyeLookUpLeft", "geometry"][0]
    total, parts = found["jawOpen", "parameters"]
    assert set(parts) == {"parameters"}
    assert float(total) == pytest.approx(0.3 / 0.2 / 52, rel=1e-4)


def test_parameters_that_tremble_lose_more():
    truth = faces()
    steady, shaky = truth + 0.1, truth + 0.1 * torch.tensor([1.0, -1] * 4)[:, None]
    one, other = (face_loss("parameters")(guess, truth, random())[0] for guess in (steady, shaky))
    assert float(other) == pytest.approx(float(one) * (1 + 2 * WEIGHTS.velocity), rel=1e-4)


def test_gradients_are_finite_and_are_there(flame_head):
    for model in (HEAD, flame_head):
        columns = columns_for(model)
        loss = face_loss(points=mesh_points(model), spread=torch.ones(columns.width))
        truth = torch.from_numpy(some_faces(columns, 8)).view(2, 4, -1)
        for guess in (truth + 0.1, truth.clone(), torch.zeros_like(truth)):
            guess.requires_grad_()
            loss(guess, truth, random())[0].backward()
            assert torch.isfinite(guess.grad).all()
        some = (truth + 0.1).requires_grad_()
        loss(some, truth, random())[0].backward()
        assert (some.grad.abs().amax((0, 1)) > 0).all()


def test_samples_are_about_the_whole(whole, monkeypatch):
    truth = faces()
    guess = truth + 0.1 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
    known = face_loss()(guess, truth, random())[1]
    monkeypatch.undo()
    loss, draws = face_loss(), random()
    found = [loss(guess, truth, draws)[1] for _ in range(12)]
    for name, value in known.items():
        # Of the face, samples hold more of lips and lids than the whole does.
        within = 0.3 if name in ("face", "velocity") else 0.1
        assert np.mean([float(one[name]) for one in found]) == pytest.approx(float(value), rel=within), name
    first, second = ([float(loss(guess, truth, draws)[0]) for _ in range(3)] for draws in (random(), random()))
    assert first == second
    assert len(set(first)) == 3


def test_a_face_model_without_eyeballs():
    loss = face_loss(points=mesh_points(HEAD, eyes=False))
    total, parts = loss(faces() + 0.1, faces(), random())
    assert set(parts) == {"parameters", "curves", "worst", "velocity", "gaps", "face", "lips", "eyelids"}
    assert torch.isfinite(total)


def test_worst_curves_are_those_that_each_frame_misses_most():
    truth = torch.zeros(2, 3, 5)
    guess = truth.clone()
    guess[0, 1, 2], guess[0, 1, 4], guess[0, 1, 0] = 0.8, -0.4, 0.1
    # Two of five curves count: of one frame in six .64 and .16.
    assert float(worst_curves(guess, truth)) == pytest.approx((0.64 + 0.16) / 12, rel=1e-6)
    assert float(worst_curves(guess[..., :1], truth[..., :1])) == pytest.approx(0.01 / 6, rel=1e-6)


def test_every_part_has_its_weight():
    weights = asdict(WEIGHTS)
    guess, truth = faces() + 0.1, faces()
    for name in ("face", "lips", "eyelids", "eyes", "velocity", "gaps", "parameters", "curves", "worst"):
        only = LossWeights(**{**dict.fromkeys(weights, 0.0), name: 2.0})
        total, parts = face_loss(weights=only)(guess, truth, random())
        assert float(total) == pytest.approx(2 * float(parts[name]), rel=1e-6, abs=1e-6)


# -- what is rare, and moves little --------------------------------------------------------------------------


def test_the_variance_that_is_lost():
    """Of a sine by hand: all by its mean, a quarter by half as strong a one; in parts of its own and the spread's."""
    turn = torch.linspace(0, 2 * np.pi, 65)[:-1]
    truth = torch.stack([0.5 + 0.2 * turn.sin(), torch.full_like(turn, 0.3)], dim=1)[None]
    spread = torch.tensor([0.1, 0.1])
    guess = truth.clone()
    assert lost_variance(guess, truth, spread) == 0
    for strength, missed in ((0.0, 1.0), (0.5, 0.25), (2.0, 1.0)):
        guess[..., 0] = 0.5 + strength * 0.2 * turn.sin()
        assert float(lost_variance(guess, truth, spread)) == pytest.approx(missed * 0.02 / (0.01 + 0.02) / 2, rel=1e-4)
    # Of a curve that is still in this window, an error as large as its spread is all of it.
    guess = truth + torch.tensor([0.0, -0.1])
    assert float(lost_variance(guess, truth, spread)) == pytest.approx(1 / 2, rel=1e-4)
    # Neither more windows nor other units change it.
    again = lost_variance(10 * guess.repeat(3, 1, 1), 10 * truth.repeat(3, 1, 1), 10 * spread)
    assert float(again) == pytest.approx(1 / 2, rel=1e-4)


def test_parameters_alone_have_no_curves():
    truth = faces()
    heavy = replace(WEIGHTS, curves=100.0)
    assert face_loss("parameters", weights=heavy)(truth + 0.1, truth, random())[0] == pytest.approx(
        float(face_loss("parameters")(truth + 0.1, truth, random())[0])
    )


def test_the_heads_errors_are_degrees_and_millimetres():
    truth = torch.randn(2, 6, 6, generator=torch.Generator().manual_seed(0))
    miss = torch.tensor([np.deg2rad(1.0), np.deg2rad(-2.0), 0, 0.003, 0, -0.001])
    total, parts = head_loss(truth + miss, truth, WEIGHTS)
    assert float(parts["rotation"]) == pytest.approx(3, rel=1e-3)
    assert float(parts["translation"]) == pytest.approx(4, rel=1e-3)
    assert float(total) == pytest.approx(1.5 * 3 + 0.2 * 4, rel=1e-3)
    signs = torch.tensor([1.0, -1] * 3)[:, None]
    total, _ = head_loss(truth + signs * miss, truth, WEIGHTS)
    assert float(total) == pytest.approx((1 + 2 * WEIGHTS.velocity) * (1.5 * 3 + 0.2 * 4), rel=1e-3)
    still, _ = head_loss(truth + signs * miss, truth, replace(WEIGHTS, velocity=0.0))
    assert float(still) == pytest.approx(1.5 * 3 + 0.2 * 4, rel=1e-3)
