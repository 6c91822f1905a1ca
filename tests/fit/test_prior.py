"""The prior's network, its file and its streaming reader, with random weights: what holds whatever it learnt."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from roma import rotvec_to_rotmat
from safetensors.numpy import save_file

from tdmm.errors import FaceModelError, MissingPartError
from tdmm.face import load_face_model
from tdmm.fit.crops import CUTS
from tdmm.fit.network import NetworkConfig, PriorNetwork, Reading, folded, pauses, to_input
from tdmm.fit.prior import LandmarkResponse, Prior, line_of_sight, read_prior, save_prior
from tdmm.fit.reader import BATCH, WAITING, prediction_of, read_clip, roll_matrix

N_CONTROLS = 5
SMALL = NetworkConfig(
    n_controls=N_CONTROLS,
    eye=(4, 6, 8),
    mouth=(4, 6, 8),
    face=(4, 6, 8, 8),
    crop_features=8,
    hidden_points=16,
    point_features=8,
    features=24,
    context_heads=2,
    context_features=8,
    dilations=(1, 2),
)


def random_network(seed: int = 0, config: NetworkConfig = SMALL) -> PriorNetwork:
    """Random weights, batch normalisations that have seen something, and heads that say something."""
    state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    network = PriorNetwork(config)
    with torch.no_grad():
        network.head.weight.mul_(20)
        network(*random_inputs(16), torch.arange(16.0) / 25)
    torch.random.set_rng_state(state)
    return network.eval()


def random_inputs(n_frames: int) -> tuple[tuple[torch.Tensor, ...], torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(5)
    crops = tuple(torch.rand(n_frames, 3, cut.height, cut.width, generator=random) for cut in CUTS.values())
    points = 30 * torch.randn(n_frames, 478, 2, generator=random)
    return crops, points, 1 + torch.rand(n_frames, generator=random)


def random_prior() -> Prior:
    random = np.random.default_rng(0)
    response = LandmarkResponse(
        offset=1e-3 * random.standard_normal((478, 3)).astype(np.float32),
        controls=1e-3 * random.standard_normal((N_CONTROLS, 478, 3)).astype(np.float32),
        sigma=np.full(478, 2e-3, np.float32),
    )
    names = tuple(f"control{number}" for number in range(N_CONTROLS))
    return Prior(names, folded(random_network()), response, "0" * 64, "made-up 1", {"seeds": [0, 9]})


@pytest.fixture(scope="module")
def clip() -> tuple[list[np.ndarray], np.ndarray]:
    """Pictures and landmarks (T, 478, 2) of a face that moves about."""
    head = load_face_model()
    rest = head.landmarks(head.vertices(torch.zeros(0), torch.zeros(1, len(head.expression_names))))[0].numpy()
    random = np.random.default_rng(1)
    images = [random.integers(0, 256, (120, 150, 3), dtype=np.uint8) for _ in range(37)]
    place = np.array([75.0, 60.0]) + random.standard_normal((37, 1, 2))
    points = 500 * rest[None, :, :2] * (1, -1) + place + 0.3 * random.standard_normal((37, 478, 2))
    return images, points.astype(np.float32)


def assert_readings_close(a: Reading, b: Reading, atol: float = 1e-4) -> None:
    for name, value in vars(a).items():
        assert torch.allclose(value, getattr(b, name), atol=atol), name


def test_one_frame_is_a_clip() -> None:
    reading = random_network()(*random_inputs(1), torch.zeros(1))
    assert reading.mean.shape == (1, 1, N_CONTROLS)
    assert reading.rotation.shape == (1, 1, 3)
    assert reading.visible.shape == (1, 1, 4)
    assert all(torch.isfinite(value).all() for value in vars(reading).values())


def test_default_size_is_what_may_be_shipped() -> None:
    """At most 3 MB in 16 bits, with the response of 478 landmarks to 48 controls."""
    network = PriorNetwork(NetworkConfig(n_controls=48))
    numbers = sum(value.numel() for value in network.state_dict().values()) + 478 * (3 * 49 + 1)
    assert 2 * numbers < 2.95e6


def test_folding_changes_nothing() -> None:
    network = random_network()
    inputs = random_inputs(6)
    seconds = torch.arange(6.0) / 30
    with torch.inference_mode():
        assert_readings_close(network(*inputs, seconds), folded(network)(*inputs, seconds))
    assert not [name for name in folded(network).state_dict() if "running" in name]


def test_filling_changes_nothing() -> None:
    """A clip filled up with anything reads as the clip alone: convolutions, context and all."""
    network = random_network()
    features = network.frame_features(*random_inputs(9))
    seconds = torch.arange(9.0)[None] / 25
    alone = network.over_time(features[None, :6], seconds[:, :6])
    filled = features.clone()
    filled[6:] = 100 * torch.randn(3, SMALL.features, generator=torch.Generator().manual_seed(0))
    present = torch.arange(9)[None] < 6
    together = network.over_time(filled[None], seconds, present)
    for name, value in vars(alone).items():
        assert torch.allclose(value, getattr(together, name)[:, :6], atol=1e-4), name


def test_windows_read_as_the_whole() -> None:
    network = random_network()
    features = torch.randn(50, SMALL.features, generator=torch.Generator().manual_seed(2))
    seconds = torch.arange(50.0) / 25
    with torch.inference_mode():
        whole = network.over_time(features[None], seconds[None])
        for window in (7, 20, 64):
            assert_readings_close(read_clip(network, features, seconds, window), whole)


def test_context_sees_the_whole_clip_and_convolutions_their_reach() -> None:
    network = random_network()
    features = torch.randn(1, 40, SMALL.features, generator=torch.Generator().manual_seed(3))
    other = features.clone()
    other[0, 30] += 1
    pause = pauses(torch.arange(40.0)[None] / 25)
    with torch.inference_mode():
        near = (network.read(features, pause).mean - network.read(other, pause).mean).abs().amax(-1)[0]
        everywhere = (
            network.over_time(features, pause[..., 0]).mean - network.over_time(other, pause[..., 0]).mean
        ).abs()
    changed = (near > 0).nonzero()[:, 0]
    assert changed.min() == 30 - network.reach
    assert changed.max() == 30 + network.reach
    assert (everywhere.amax(-1) > 0).all()


def test_streaming_equals_the_whole_clip(clip: tuple[list[np.ndarray], np.ndarray]) -> None:
    """37 frames, so that the last batch is a part of one; each picture is overwritten once it was seen."""
    from tdmm.fit.crops import cut_out, place_crops, upright

    images, points = clip
    prior = random_prior()
    seconds = np.arange(len(images)) / 24
    reader = prior.reader()
    for image, seen in zip(images, points, strict=True):
        buffer = image.copy()
        reader.see(buffer, seen)
        buffer[:] = 0
    prediction = reader.predict(seconds)
    frame = upright(torch.as_tensor(points))
    places = place_crops(torch.as_tensor(points), frame).numpy()
    crops = [cut_out(image, place) for image, place in zip(images, places, strict=True)]
    inputs = tuple(to_input(torch.as_tensor(np.stack(same))) for same in zip(*crops, strict=True))
    with torch.inference_mode():
        whole = prior.network(inputs, frame.points, frame.scale, torch.as_tensor(seconds, dtype=torch.float32))
    expected = prediction_of(whole, frame.roll, prior.names)
    assert len(prediction) == len(images)
    for name in ("mean", "sigma", "rotation", "rotation_sigma", "visible"):
        np.testing.assert_allclose(getattr(prediction, name), getattr(expected, name), atol=2e-4)
    assert prediction.mean.min() >= 0
    assert prediction.mean.max() <= 1
    assert prediction.sigma.min() > 0


def test_two_readers_joined_are_one(clip: tuple[list[np.ndarray], np.ndarray]) -> None:
    images, points = clip
    prior = random_prior()
    one, first, second = prior.reader(), prior.reader(), prior.reader()
    for number, (image, seen) in enumerate(zip(images, points, strict=True)):
        one.see(image, seen)
        (first if number < 20 else second).see(image, seen)
    first.join(second)
    seconds = np.arange(len(images)) / 24
    np.testing.assert_allclose(first.predict(seconds).mean, one.predict(seconds).mean, atol=1e-5)
    some = np.arange(0, 37, 2)
    kept = one.predict(seconds, keep=some)
    assert len(kept) == len(some)
    assert len(one.predict(seconds, keep=np.isin(np.arange(37), some))) == len(some)


def test_a_slow_network_holds_its_pictures_back(clip: tuple[list[np.ndarray], np.ndarray]) -> None:
    """Else the crops of a long video would pile up where the detector is the quicker one."""
    images, points = clip
    prior = random_prior()
    reader, quick = prior.reader(), prior.network.frame_features

    def slow(*inputs: torch.Tensor) -> torch.Tensor:
        time.sleep(0.3)
        return quick(*inputs)

    prior.network.frame_features = slow  # type: ignore[method-assign]
    waiting = []
    for number in range(8 * BATCH):
        reader.see(images[number % 37], points[number % 37])
        waiting.append(sum(not part.done() for part in reader._features))
    assert 1 <= max(waiting) <= WAITING
    assert len(reader.predict(np.arange(8 * BATCH) / 24)) == 8 * BATCH


def test_reader_refuses_what_does_not_fit(clip: tuple[list[np.ndarray], np.ndarray]) -> None:
    images, points = clip
    reader = random_prior().reader()
    with pytest.raises(ValueError, match="uint8"):
        reader.see(images[0].astype(np.float32), points[0])
    reader.see(images[0], points[0])
    with pytest.raises(ValueError, match="expected 1"):
        reader.predict(np.arange(2.0))


def test_file_round_trip(tmp_path: Path) -> None:
    prior = random_prior()
    save_prior(prior, tmp_path / "prior.safetensors")
    again = read_prior(tmp_path / "prior.safetensors")
    assert again.names == prior.names
    assert again.network.config == prior.network.config
    assert (again.detector, again.face_model_sha256, again.made) == ("made-up 1", "0" * 64, {"seeds": [0, 9]})
    for name, value in prior.network.state_dict().items():
        torch.testing.assert_close(again.network.state_dict()[name], value.half().float(), rtol=0, atol=0)
    np.testing.assert_allclose(again.response.controls, prior.response.controls, rtol=1e-3, atol=1e-7)
    at = again.response.at(np.eye(N_CONTROLS)[:2])
    np.testing.assert_allclose(at[1], again.response.offset + again.response.controls[1], rtol=1e-6)


def test_file_errors_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(MissingPartError, match="build_fit_prior"):
        read_prior(tmp_path / "none.safetensors")
    (tmp_path / "text.safetensors").write_text("not safetensors")
    with pytest.raises(FaceModelError, match=r"text\.safetensors"):
        read_prior(tmp_path / "text.safetensors")
    save_file({"a": np.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(FaceModelError, match="schema"):
        read_prior(tmp_path / "other.safetensors")


def test_line_of_sight_is_the_smallest_turn_to_the_ray() -> None:
    middle = torch.tensor([[0.0, 0.0], [0.3, -0.2], [-1.0, 2.0]], dtype=torch.float64)
    turn = line_of_sight(middle, 1.4)
    forward = torch.tensor([0.0, 0.0, -1.0], dtype=torch.float64)
    ray = torch.cat([middle * torch.tensor([1.0, -1.0]), torch.full((3, 1), -1.4)], dim=1)
    ray = ray / ray.norm(dim=1, keepdim=True)
    torch.testing.assert_close(turn @ forward, ray, atol=1e-6, rtol=0)
    torch.testing.assert_close(turn @ turn.mT, torch.eye(3, dtype=torch.float64).expand(3, 3, 3))
    # Its axis is at right angles to both directions, so that nothing is turned about the ray.
    cosine = (turn.diagonal(dim1=1, dim2=2).sum(-1) - 1) / 2
    torch.testing.assert_close(cosine, ray @ forward, atol=1e-6, rtol=0)


def test_roll_is_put_back() -> None:
    """A head that is only rolled reads as upright, and its prediction is rolled as it is seen."""
    still = torch.zeros(1, 1, 3)
    spread = torch.tensor([[[0.02, 0.05, 0.01]]]).log()
    none = torch.zeros(1, 1, N_CONTROLS)
    reading = Reading(none, none, still, spread, torch.zeros(1, 1, 4))
    roll = torch.tensor([np.pi / 2])  # clockwise in the picture: the head's top points to the picture's right
    prediction = prediction_of(reading, roll, tuple("abcde"))
    top = rotvec_to_rotmat(torch.as_tensor(prediction.rotation)) @ torch.tensor([0.0, 1.0, 0.0])
    torch.testing.assert_close(top, torch.tensor([[1.0, 0.0, 0.0]]), atol=1e-6, rtol=0)
    torch.testing.assert_close(roll_matrix(roll) @ torch.tensor([0.0, 1.0, 0.0]), top, atol=1e-6, rtol=0)
    np.testing.assert_allclose(prediction.rotation_sigma, [[0.05, 0.02, 0.01]], rtol=1e-5)
