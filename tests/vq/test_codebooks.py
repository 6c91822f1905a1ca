"""Codebooks in use against those that learn, and by hand."""

from __future__ import annotations

import pytest
import torch

from tdmm.errors import TokensError
from tdmm.vq.codebooks import Codebooks
from tdmm.vq.config import FSQ_LEVELS, StreamConfig
from tdmm.vq.quantisers import LearningQuantiser


def latents(*size: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("kind", "codebooks", "codes"),
    [("rvq", 1, 8), ("rvq", 3, 16), ("fsq", 1, 240), *(("fsq", 2, codes) for codes in FSQ_LEVELS)],
)
def test_they_do_what_those_that_learn_do(kind, codebooks, codes):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        learning = LearningQuantiser(kind, StreamConfig(8, 1, 1, 6, codebooks, codes), 4 * 50)
        for step in range(3):
            learning(latents(4, 50, 6, seed=step) + step)
    learning.eval()
    books = learning.codebooks()
    assert isinstance(books, Codebooks)
    given = 1.5 * latents(3, 40, 6, seed=9)
    with torch.no_grad():
        quantised, chosen, loss = learning(given)
        found = books.encode(given)
        assert torch.equal(found, chosen)
        assert found.unique().numel() > 4
        assert torch.allclose(books.decode(found), quantised, atol=1e-5)
        assert loss.ndim == 0


@pytest.mark.parametrize(("kind", "codes"), [("rvq", 16), ("fsq", 240)])
def test_to_begin_with_codebooks_is_to_have_them(kind, codes):
    stream = StreamConfig(8, 1, 1, 6, 3, codes)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        before, after = LearningQuantiser(kind, stream, 200), LearningQuantiser(kind, stream, 200)
        for step in range(3):
            before(latents(4, 50, 6, seed=step))
        learnt = before.codebooks()
        after.begin_with(learnt)
        begun = after.codebooks().state_dict()
        assert all(torch.equal(begun[name], value) for name, value in learnt.state_dict().items())
        given = latents(4, 50, 6, seed=9)
        after.eval()
        assert torch.equal(after(given)[1], learnt.encode(given))
        if kind == "rvq":
            # They move on from where they are: not to where k-means would put them.
            after.train()
            after(given)
            moved = (after.codebooks().tables - learnt.tables).norm() / learnt.tables.norm()
            assert 0 < moved < 0.2


@pytest.mark.parametrize(
    ("kind", "other"), [("rvq", {"codes": 8}), ("rvq", {"codebooks": 2}), ("rvq", {"latent": 5}), ("fsq", {})]
)
def test_to_begin_with_other_codebooks_is_refused(kind, other):
    own = {"latent": 6, "codebooks": 3, "codes": 16}
    learnt = LearningQuantiser("rvq", StreamConfig(8, 1, 1, **{**own, **other}), 200).codebooks()
    codes = 240 if kind == "fsq" else 16
    with pytest.raises(TokensError, match="to begin with has other codebooks than are asked for"):
        LearningQuantiser(kind, StreamConfig(8, 1, 1, 6, 3, codes), 200).begin_with(learnt)


def test_the_package_keeps_off_the_terminal():
    """It warns where a batch has fewer latents than there are codes, which is no user's concern."""
    loguru = pytest.importorskip("loguru")
    told: list[str] = []
    sink = loguru.logger.add(told.append)
    try:
        books = LearningQuantiser("rvq", StreamConfig(8, 1, 1, 6, 1, 32), 10)
        books(latents(1, 10, 6))
        assert told == []
        loguru.logger.enable("vector_quantize_pytorch")
        books.layers.layers[0]._codebook.initted.fill_(False)
        books(latents(1, 10, 6))
        assert any("32" in line for line in told)
    finally:
        loguru.logger.disable("vector_quantize_pytorch")
        loguru.logger.remove(sink)


def by_hand() -> Codebooks:
    """A coarse grid of two numbers, and a fine one around it."""
    books = Codebooks(2, 4, 2)
    coarse = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]])
    books.tables.copy_(torch.stack([coarse, coarse / 10 - 0.5]))
    return books


def test_sums_of_vectors_are_coded_as_those():
    books = by_hand()
    codes = torch.cartesian_prod(torch.arange(4), torch.arange(4))
    sums = books.tables[0, codes[:, 0]] + books.tables[1, codes[:, 1]]
    assert torch.equal(books.decode(codes), sums)
    assert torch.equal(books.encode(sums), codes)
    assert books.encode(torch.tensor([[9.8, 1.0]])).tolist() == [[1, 2]]
    assert books.decode(torch.tensor([[1, 2]])).tolist() == [[9.5, 0.5]]


def test_each_codebook_takes_what_the_one_before_left():
    """What is left never grows where a codebook has a zero, which each may choose."""
    books = Codebooks(4, 32, 5)
    books.tables.copy_(latents(4, 32, 5) * 0.7 ** torch.arange(4)[:, None, None])
    books.tables[:, 0] = 0
    given = latents(200, 5, seed=1)
    codes = books.encode(given)
    left = [given.norm(dim=1)]
    for depth in range(1, 5):
        part = Codebooks(depth, 32, 5)
        part.tables.copy_(books.tables[:depth])
        assert torch.equal(part.encode(given), codes[:, :depth])
        left.append((given - part.decode(codes[:, :depth])).norm(dim=1))
        assert (left[-1] <= left[-2] + 1e-5).all()
    assert left[-1].mean() < left[1].mean() < left[0].mean()


@pytest.mark.parametrize("dimensions", [None, 3])
def test_nothing_and_any_number_of_axes(dimensions):
    books = Codebooks(2, 4, 6, dimensions)
    books.tables.copy_(latents(*books.tables.shape))
    for size in ((0,), (5, 0), (0, 5)):
        codes = books.encode(torch.zeros(*size, 6))
        assert codes.shape == (*size, 2)
        assert codes.dtype == torch.int64
        assert books.decode(codes).shape == (*size, 6)
    given = latents(2, 3, 4, 6)
    codes = books.encode(given)
    assert codes.shape == (2, 3, 4, 2)
    assert torch.equal(codes[1, 2, 3], books.encode(given[1, 2, 3]))
    assert torch.allclose(books.decode(codes)[1, 2, 3], books.decode(codes[1, 2, 3]), atol=1e-6)


def test_more_than_are_computed_at_once(monkeypatch):
    books, given = by_hand(), 10 * torch.rand(100, 2, generator=torch.Generator().manual_seed(0))
    whole = books.encode(given)
    monkeypatch.setattr("tdmm.vq.codebooks._BLOCK", 7)
    assert torch.equal(books.encode(given), whole)
