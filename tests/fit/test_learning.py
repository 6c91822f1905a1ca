"""What the prior is trained with: mirror images, batches, the loss, the response of landmarks."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from roma import rotvec_to_rotmat

from tdmm.face import load_face_model
from tdmm.fit.crops import CUTS, upright
from tdmm.fit.network import NetworkConfig, PriorNetwork, Reading

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from fit_prior.augment import AugmentOptions, augment_crops, augment_points
from fit_prior.clips import Clips, Mirror, mirror_of_head, mirrored, other_side
from fit_prior.covers import CoverOptions, Covers, crop_centres, draw_covers, guessed, region_shares
from fit_prior.losses import LossOptions, angle_between, face_basis, loss_of, turn_between
from fit_prior.pack import calibrate
from fit_prior.response import Misses, fit_response
from fit_prior.takes import head_controls
from fit_prior.team import Team


@pytest.fixture(scope="module")
def mirror() -> Mirror:
    return mirror_of_head()


def random_clips(n_clips: int = 3, n_frames: int = 4) -> Clips:
    random = torch.Generator().manual_seed(0)
    uniform = lambda *shape: torch.rand(n_clips, n_frames, *shape, generator=random)  # noqa: E731
    return Clips(
        crops=tuple((255 * uniform(cut.height, cut.width, 3)).to(torch.uint8) for cut in CUTS.values()),
        points=100 * uniform(478, 2) - 50,
        scale=1 + uniform(),
        seconds=torch.arange(n_frames).expand(n_clips, -1) / 25,
        controls=uniform(len(head_controls())),
        rotation=uniform(3) - 0.5,
        visible=uniform(4),
        kind=torch.arange(n_clips) % 2,
        n_frames=torch.tensor([n_frames, n_frames - 1, 1])[:n_clips],
    )


def test_mirror_twice_is_nothing(mirror: Mirror) -> None:
    clips = random_clips()
    twice = mirrored(mirrored(clips, mirror), mirror)
    for name in ("points", "controls", "rotation", "visible"):
        assert torch.equal(getattr(twice, name), getattr(clips, name))
    assert all(torch.equal(a, b) for a, b in zip(twice.crops, clips.crops, strict=True))
    once = mirrored(clips, mirror)
    assert not torch.equal(once.controls, clips.controls)


def test_mirror_exchanges_known_partners(mirror: Mirror) -> None:
    known = {33: 263, 133: 362, 61: 291, 78: 308, 159: 386, 145: 374, 105: 334, 468: 473, 470: 475, 469: 476}
    assert {a: int(mirror.points[a]) for a in known} == known
    assert [int(mirror.points[a]) for a in (0, 1, 6, 10, 13, 14, 17, 152, 168)] == [0, 1, 6, 10, 13, 14, 17, 152, 168]
    names = head_controls().names
    assert names[mirror.controls[names.index("gazeLeft")]] == "gazeRight"
    assert names[mirror.controls[names.index("mouthLeft")]] == "mouthRight"
    assert names[mirror.controls[names.index("jawOpen")]] == "jawOpen"
    assert other_side("eyeBlinkRight") == "eyeBlinkLeft"


def test_a_mirrored_face_is_the_face_in_a_mirror(mirror: Mirror) -> None:
    """The built-in head, posed and seen from the front, against the same head with everything mirrored."""
    head, controls = load_face_model(), head_controls()
    random = torch.Generator().manual_seed(1)
    clips = replace(random_clips(1, 6), controls=0.6 * torch.rand(1, 6, len(controls), generator=random))

    def seen(some: Clips) -> torch.Tensor:
        expression = some.controls[0] @ torch.as_tensor(controls.to_expression)
        turned = head.landmarks(head.vertices(torch.zeros(0), expression, rotation=some.rotation[0]))
        return 1000 * turned[..., :2] * torch.tensor([1.0, -1.0])

    clips = replace(clips, points=upright(seen(clips)).points[None])
    reflected = mirrored(clips, mirror)
    miss = (upright(seen(reflected)).points - reflected.points[0]).norm(dim=-1).median(0).values
    # The embedding of the landmarks was found by the detector, and is itself only about symmetric.
    assert float(miss.median()) < 1.0
    assert float((upright(seen(clips)).points - reflected.points[0]).norm(dim=-1).median()) > 2.0


def test_loss_is_the_same_in_the_mirror(mirror: Mirror) -> None:
    clips = random_clips()
    reading = Reading(
        mean=clips.controls + 0.1,
        log_sigma=torch.full_like(clips.controls, -2.0),
        rotation=0.9 * clips.rotation,
        rotation_log_sigma=torch.full_like(clips.rotation, -3.0),
        visible=clips.visible - 0.5,
    )
    seen = replace(
        reading,
        mean=reading.mean[..., mirror.controls],
        rotation=reading.rotation * torch.tensor([1.0, -1.0, -1.0]),
        visible=reading.visible[..., mirror.regions],
    )
    options, basis = LossOptions(geometry=0, velocity=0), face_basis(50)
    plain, _ = loss_of(reading, clips, basis, options)
    reflected, _ = loss_of(seen, mirrored(clips, mirror), basis, options)
    assert float(plain) == pytest.approx(float(reflected), rel=1e-5)


def test_loss_looks_at_frames_that_are_present_only(mirror: Mirror) -> None:
    clips = random_clips()
    basis, options = face_basis(50), LossOptions()
    mean = (clips.controls + 0.1).requires_grad_()
    still = torch.zeros_like(clips.rotation)
    reading = Reading(mean, torch.full_like(mean, -2.0), still, still - 3, torch.zeros_like(clips.visible))
    loss, parts = loss_of(reading, clips, basis, options)
    loss.backward()
    assert mean.grad is not None
    assert (mean.grad[~clips.present] == 0).all()
    assert (mean.grad[clips.present].abs().sum(-1) > 0).all()
    assert set(parts) == {"controls", "rotation", "steady", "visible", "geometry", "velocity"}


def test_a_constant_turn_is_no_unsteadiness() -> None:
    """The part of the loss that is of motion alone does not see it; frames that are filling do not count."""
    clips = replace(random_clips(1, 4), n_frames=torch.tensor([3]), rotation=torch.zeros(1, 4, 3))
    n_controls = clips.controls.shape[2]
    turn = torch.tensor([[[0.1, 0, 0], [0.1, 0, 0], [0.1, 0, 0], [9, 9, 9]]])

    def steady(rotation: torch.Tensor) -> float:
        reading = Reading(clips.controls, torch.zeros(1, 4, n_controls), rotation, rotation * 0, clips.visible)
        return float(loss_of(reading, clips, face_basis(10), LossOptions())[1]["steady"])

    assert steady(turn) == pytest.approx(0, abs=2e-3)
    turn[0, :3, 0] = torch.tensor([0.0, 0.1, 0.2])
    assert steady(turn) == pytest.approx(0.2 / 3, rel=0.02)


def test_small_turns_are_rotation_vectors() -> None:
    random = torch.Generator().manual_seed(4)
    seen = torch.randn(20, 3, generator=random)
    small = 0.01 * torch.randn(20, 3, generator=random)
    from roma import rotmat_to_rotvec

    truth = rotmat_to_rotvec(rotvec_to_rotmat(small) @ rotvec_to_rotmat(seen))
    torch.testing.assert_close(turn_between(truth, seen), small, atol=2e-6, rtol=1e-3)
    torch.testing.assert_close(angle_between(truth, seen), small.norm(dim=-1), atol=1e-4, rtol=1e-3)


def test_augmented_crops_without_spreads_are_the_crops() -> None:
    none = AugmentOptions(**dict.fromkeys(vars(AugmentOptions()), 0.0) | {"covers": CoverOptions(chance=0)})
    clips = random_clips(2, 3)
    covers = draw_covers(clips.points, none.covers)
    hidden = covers.hides(clips.points)
    assert not hidden.any()
    for crop, plain in zip(
        augment_crops(clips.crops, clips.points, covers, none, torch.float32), clips.crops, strict=True
    ):
        expected = plain.flatten(0, 1).permute(0, 3, 1, 2).float() * (2 / 255) - 1
        torch.testing.assert_close(crop, expected.clamp(min=-1 + 2e-3), atol=2e-4, rtol=0)
    assert torch.equal(augment_points(clips.points, hidden, none), clips.points)


def test_augmentation_is_one_a_clip() -> None:
    """Two frames of a clip that are alike stay alike but for noise; two clips do not."""
    options = replace(AugmentOptions(), noise=0.0, covers=CoverOptions(chance=0))
    crops = tuple(torch.full((2, 2, cut.height, cut.width, 3), 100, dtype=torch.uint8) for cut in CUTS.values())
    points = torch.zeros(2, 2, 478, 2)
    out = augment_crops(crops, points, draw_covers(points, options.covers), options, torch.float32)[0]
    torch.testing.assert_close(out[0], out[1])
    torch.testing.assert_close(out[2], out[3])
    assert (out[0] - out[2]).abs().max() > 1e-3


def covered(there: list[bool]) -> Covers:
    """A red box of 40 x 32 mm about the mouth of one clip, in these of its frames."""
    return Covers(
        there=torch.tensor([there]),
        middle=torch.tensor([[0.0, 70.0]]),
        half=torch.tensor([[20.0, 16.0]]),
        axes=torch.eye(2)[None],
        colour=torch.tensor([[1.0, 0.0, 0.0]]),
        grain=torch.zeros(1, 4),
    )


def resting_points() -> torch.Tensor:
    """(478, 2) upright landmarks of the built-in head at rest, seen from the front."""
    head = load_face_model()
    rest = head.landmarks(head.vertices(torch.zeros(0), torch.zeros(1, len(head.expression_names))))
    return upright(1000 * rest[..., :2] * torch.tensor([1.0, -1.0])).points[0]


def test_a_box_lies_in_the_same_place_in_all_crops_and_in_its_frames_only() -> None:
    points = resting_points().expand(1, 2, -1, -1)
    boxes = covered([False, True])
    for name, cut, centre in zip(CUTS, CUTS.values(), crop_centres(points), strict=True):
        plain = torch.zeros(2, 3, cut.height, cut.width)
        drawn = boxes.over(plain, cut, centre)
        assert torch.equal(drawn[0], plain[0])
        rows, columns = (drawn[1, 0] == 1).nonzero().T
        if "eye" in name:
            assert len(rows) == 0
            continue
        # Its area, and its middle once the crop's place is added, are the box's own.
        assert len(rows) * cut.pixel**2 == pytest.approx(40 * 32, rel=0.12)
        middle = torch.stack([columns + 0.5 - cut.width / 2, rows + 0.5 - cut.height / 2], dim=1).mean(0) * cut.pixel
        torch.testing.assert_close(middle + centre[0, 1], boxes.middle[0], atol=cut.pixel / 2, rtol=0)


def test_what_a_box_hides_is_told_and_guessed() -> None:
    points = resting_points().expand(1, 3, -1, -1).clone()
    points[0, 2] += 5.0
    boxes = covered([True, True, False])
    hidden = boxes.hides(points)
    assert hidden[0, 0].any()
    assert not hidden[0, 2].any()
    shares = region_shares(points.device)
    torch.testing.assert_close(shares.sum(0), torch.ones(4))
    lost = hidden.float() @ shares
    assert lost[0, 0, 3] > 0.2
    assert (lost[0, 0, :3] == 0).all()
    torch.manual_seed(0)
    again = guessed(points, hidden)
    assert torch.equal(again[~hidden], points[~hidden])
    assert (again[hidden] - points[hidden]).norm(dim=-1).min() > 0


def test_boxes_are_as_frequent_as_asked_and_often_before_the_mouth() -> None:
    torch.manual_seed(0)
    points = resting_points().expand(2000, 4, -1, -1)
    boxes = draw_covers(points, CoverOptions())
    assert float(boxes.there.any(1).float().mean()) == pytest.approx(0.19, abs=0.03)
    lost = (boxes.hides(points[:, :1].expand(-1, 4, -1, -1)).float() @ region_shares(points.device)).amax(1)
    often = (lost > 0.5).float().mean(0)
    assert often[3] > 2 * often[:3].max()


def test_response_finds_what_was_planted() -> None:
    random = np.random.default_rng(6)
    n_frames, n_points, n_controls = 4000, 5, 3
    offset = 2e-3 * random.standard_normal((n_points, 3))
    by_control = 4e-3 * random.standard_normal((n_controls, n_points, 3))
    controls = random.uniform(0, 1, (n_frames, n_controls)) * (random.random((n_frames, n_controls)) < 0.5)
    turn = rotvec_to_rotmat(torch.as_tensor(0.4 * random.standard_normal((n_frames, 3)))).numpy()
    moved = offset + np.tensordot(controls, by_control, axes=1)
    metres = np.einsum("nij,nlj->nil", turn[:, :2], moved) + 1e-3 * random.standard_normal((n_frames, 2, n_points))
    metres[random.random(n_frames) < 0.05] += 0.05  # another thing was found
    design = np.einsum("nc,nix->nicx", np.column_stack([np.ones(n_frames), controls]), turn[:, :2])
    misses = Misses(torch.as_tensor(design).flatten(2).float(), torch.as_tensor(metres).float())
    half = n_frames // 2
    fit = fit_response(
        Misses(misses.design[:half], misses.metres[:half]),
        Misses(misses.design[half:], misses.metres[half:]),
        (1, 10, 1e4),
    )
    assert fit.ridge < 1e4
    assert fit.after < 0.8 * fit.before
    np.testing.assert_allclose(fit.response.offset, offset, atol=6e-4)
    np.testing.assert_allclose(fit.response.controls, by_control, atol=1.2e-3)
    np.testing.assert_allclose(fit.response.sigma, 1e-3, rtol=0.25)
    shrunk = fit_response(misses, None, (1e7,)).response
    assert np.abs(shrunk.controls).max() < 0.1 * np.abs(by_control).max()


def test_spreads_become_what_held_out_takes_are_missed_by() -> None:
    torch.manual_seed(0)
    names = head_controls().names
    network = PriorNetwork(NetworkConfig(n_controls=len(names))).eval()
    features, seconds = torch.randn(1, 6, network.config.features), torch.arange(6)[None] / 25
    with torch.inference_mode():
        before = network.over_time(features, seconds)
    misses = {name: {"in_sigmas": 2.0 if name == "jawOpen" else 1.0} for name in names}
    calibrate(network, {"mixtures": {"controls": misses, "rotation_in_sigmas": 1.5}})
    with torch.inference_mode():
        after = network.over_time(features, seconds)
    factor = (after.log_sigma - before.log_sigma).exp()[0, 0]
    assert factor[names.index("jawOpen")].item() == pytest.approx(2.0)
    assert factor[names.index("eyeBlinkLeft")].item() == pytest.approx(1.0)
    assert (after.rotation_log_sigma - before.rotation_log_sigma).exp().mean().item() == pytest.approx(1.5)
    assert torch.equal(after.mean, before.mean)


# Alone, so that it imports no more than it needs.
_MEMBER = """
import json, torch
from fit_prior.team import Team
team = Team.of_this_process("cpu")
layer = torch.nn.Linear(2, 1, bias=False)
torch.nn.init.zeros_(layer.weight)
layer(torch.tensor([[1.0 + team.rank, 3.0]])).sum().backward()
team.share_gradients(layer)
print(json.dumps([layer.weight.grad.tolist(), team.of_first(10.0 + team.rank)]))
"""


def test_a_team_shares_gradients_and_the_time() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    scripts = str(Path(__file__).resolve().parents[2] / "scripts")
    members = []
    for rank in ("0", "1"):
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        environment = os.environ | place | {"PYTHONPATH": scripts}
        members.append(
            subprocess.Popen([sys.executable, "-c", _MEMBER], env=environment, stdout=subprocess.PIPE, text=True)
        )
    for member in members:
        gradient, agreed = json.loads(member.communicate(timeout=120)[0])
        assert gradient == [[1.5, 3.0]]
        assert agreed == 10.0


def test_alone_a_team_changes_nothing() -> None:
    team = Team(0, 1, torch.device("cpu"))
    value = torch.tensor([1.0, 2.0])
    assert torch.equal(team.mean(value), value)
    assert team.of_first(3.5) == 3.5
