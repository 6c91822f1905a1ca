"""Networks over time: how far they see, and that what lies behind the end of a sequence counts for nothing."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
import torch
from made_codecs import HEAD, SMALL, made_network

from tdmm.errors import TokensError
from tdmm.vq.config import LONGEST_LOOK_AHEAD, PRESETS, changed, config_of
from tdmm.vq.network import StepNetwork

# Blocks and steps ahead: none, one, all, more than blocks; distances that come again.
SHAPES = [(1, 0), (2, 1), (3, 2), (2, 2), (1, 3), (2, 5), (5, 0), (4, 8)]


def network_of(blocks: int, ahead: int) -> StepNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(blocks)
        return StepNetwork(3, 8, 2, blocks, ahead).double()


def steps(*size: int) -> torch.Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize(("blocks", "ahead"), SHAPES)
def test_it_sees_so_far_and_no_further(blocks, ahead):
    network = network_of(blocks, ahead)
    assert network.ahead == ahead
    x = steps(1, 60, 3).requires_grad_()
    at = 40
    (gradient,) = torch.autograd.grad(network(x)[0, at].sum(), x)
    seen = torch.nonzero(gradient[0].abs().sum(1))[:, 0]
    assert seen.min() == at - network.past
    assert seen.max() == at + ahead


@pytest.mark.parametrize(("blocks", "ahead"), SHAPES)
def test_a_step_that_changes_changes_what_sees_it(blocks, ahead):
    """The same the other way round: from `ahead` steps before it to `past` steps after it."""
    network, x, at = network_of(blocks, ahead), steps(1, 60, 3), 20
    other = x.clone()
    other[0, at] += 1
    changes = torch.nonzero((network(other) - network(x))[0].abs().sum(1))[:, 0]
    assert changes.min() == at - ahead
    assert changes.max() == at + network.past


@pytest.mark.parametrize(("blocks", "ahead"), SHAPES)
def test_behind_the_end_of_a_sequence_is_nothing(blocks, ahead):
    network, lengths = network_of(blocks, ahead), (13, 1, 30)
    alone = [steps(1, length, 3) for length in lengths]
    batch = torch.full((3, 30, 3), 1e3, dtype=torch.float64)
    for row, one in zip(batch, alone, strict=True):
        row[: one.shape[1]] = one[0]
    mask = (torch.arange(30) < torch.tensor(lengths)[:, None])[..., None].double()
    together = network(batch, mask)
    for row, one in zip(together, alone, strict=True):
        assert torch.allclose(row[: one.shape[1]], network(one)[0], rtol=0, atol=1e-12)


def test_a_sequence_of_no_steps():
    assert network_of(2, 1)(steps(1, 0, 3)).shape == (1, 0, 2)


@pytest.mark.parametrize("stride", [1, 2, 4, 8])
@pytest.mark.parametrize("preset", PRESETS)
def test_the_decoder_waits_for_a_few_frames_alone(preset, stride):
    config = changed(PRESETS[preset], stride=stride)
    assert config.stride - 1 <= config.look_ahead <= LONGEST_LOOK_AHEAD <= 8
    network = made_network(HEAD, changed(SMALL, stride=stride, encoder_ahead=config.encoder_ahead))
    for stream in (network.face, network.head):
        assert stream.decoder.ahead * stride + stride - 1 == config.look_ahead
        assert stream.encoder.ahead == config.encoder_ahead


def test_the_preset_of_the_paper_is_one_token_a_frame():
    paper = PRESETS["paper"]
    assert (paper.stride, paper.face.codebooks, paper.input, paper.quantiser) == (1, 1, "geometry", "rvq")
    assert paper.tokens_per_second == 25 * len(paper.streams)


def test_configs_come_back_from_json():
    for config in (*PRESETS.values(), SMALL):
        assert config_of(json.loads(json.dumps(asdict(config)))) == config
    for wrong in ({}, {**asdict(SMALL), "ears": 2}, {**asdict(SMALL), "face": {}}, {**asdict(SMALL), "head": None}):
        with pytest.raises(TokensError, match="codec: config: "):
            config_of(wrong)


def test_settings_of_either_stream():
    config = changed(SMALL, codes=32, head_width=8, stride=2)
    assert (config.face.codes, config.head.codes) == (32, SMALL.head.codes)
    assert (config.face.width, config.head.width, config.stride) == (SMALL.face.width, 8, 2)
    assert config.sizes == (32,) * SMALL.face.codebooks + (SMALL.head.codes,) * SMALL.head.codebooks
    assert config.streams == ("face",) * SMALL.face.codebooks + ("head",) * SMALL.head.codebooks
    with pytest.raises(TokensError, match="there is no setting ears"):
        changed(SMALL, ears=2)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"stride": 3}, "stride: expected 1, 2, 4 or 8"),
        ({"encoder_ahead": -1}, "encoder_ahead: expected 0 to 16"),
        ({"quantiser": "vq"}, "quantiser: expected one of rvq, fsq, found 'vq'"),
        ({"input": "pixels"}, "input: expected one of geometry, parameters"),
        ({"quantiser": "fsq"}, "fsq has grids of .* codes, found 16"),
        ({"width": 0}, "width: expected a positive whole number, found 0"),
        ({"codes": 1}, "codes: expected a positive whole number, found 1"),
        ({"head_latent": 2.5}, "latent: expected a positive whole number, found 2.5"),
        ({"codebooks": True}, "codebooks: expected a positive whole number, found True"),
    ],
)
def test_senseless_settings_are_refused(values, expected):
    with pytest.raises(TokensError, match=expected):
        changed(SMALL, **values)
