"""Windows of motions: as they are, and each change changes what it is about."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from made_codecs import COLUMNS, HEAD, made_motion

from tdmm.face.linear import rotvec_to_rotmat
from tdmm.vq.augment import NONE, Augmentation, Windows, mirror_of
from tdmm.vq.columns import FaceColumns, columns_for
from tdmm.vq.dataset import MotionSet, parts_of

LENGTHS = (40, 7, 100)


def motion_set(*motions: tuple[np.ndarray, np.ndarray]) -> MotionSet:
    face, head = (np.concatenate(parts) for parts in zip(*motions, strict=True))
    return MotionSet(face, head, np.cumsum([0, *(len(one) for one, _ in motions)]))


def numbered(*lengths: int) -> MotionSet:
    """Motions whose every column is the number of the frame / 256, which a float16 holds exactly."""
    numbers = np.arange(sum(lengths), dtype=np.float16)[:, None] / 256
    face, head = np.repeat(numbers, COLUMNS.width, 1), np.repeat(numbers, 6, 1)
    return MotionSet(face, head, np.cumsum([0, *lengths]))


def made(*lengths: int, columns: FaceColumns = COLUMNS, model=HEAD) -> MotionSet:
    return motion_set(*(parts_of(made_motion(length, n, model), columns) for n, length in enumerate(lengths)))


def draw(motions: MotionSet, frames: int, change: Augmentation, seed: int = 0, batch: int = 64, columns=COLUMNS):
    return Windows(motions, columns, "cpu").draw(batch, frames, torch.Generator().manual_seed(seed), change)


# -- as they are -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frames", [1, 5, 16])
def test_unchanged_windows_are_the_motions_own_frames(frames):
    motions = numbered(*LENGTHS)
    face, head = draw(motions, frames, NONE, batch=300)
    assert face.shape == (300, frames, 52)
    assert head.shape == (300, frames, 6)
    assert face.dtype == head.dtype == torch.float32
    assert torch.equal(face[..., :6], head)
    numbers = 256 * face[..., 0]
    assert torch.equal(numbers, numbers.round())
    begins = set()
    for row in numbers.long().tolist():
        clip = int(np.searchsorted(motions.starts, row[0], side="right")) - 1
        last = int(motions.starts[clip + 1]) - 1
        # One after the other, and at the end of the motion its last frame again.
        assert row == [min(row[0] + step, last) for step in range(frames)]
        short = last - motions.starts[clip] + 1 <= frames
        assert row[0] == motions.starts[clip] if short else row[-1] - row[0] == frames - 1
        begins.add(row[0])
    assert len(begins) > 50


def test_all_frames_come():
    numbers = (256 * draw(numbered(3, 9), 2, NONE, batch=400)[0][..., 0]).long()
    assert set(numbers.flatten().tolist()) == set(range(12))


def test_motions_come_as_often_as_they_are_long():
    """Of 4000 draws one in five: 3.2 standard deviations are 2 %."""
    numbers = 256 * draw(numbered(30, 120), 30, NONE, batch=4000)[0][:, 0, 0]
    assert (numbers < 30).float().mean() == pytest.approx(0.2, abs=0.02)


def test_one_seed_one_draw():
    motions = made(*LENGTHS)
    first, second, other = (draw(motions, 16, Augmentation(), seed) for seed in (3, 3, 4))
    assert all(torch.equal(one, again) for one, again in zip(first, second, strict=True))
    assert not any(torch.equal(one, again) for one, again in zip(first, other, strict=True))
    state = torch.get_rng_state()
    draw(motions, 16, Augmentation())
    assert torch.equal(torch.get_rng_state(), state)


# -- the mirror --------------------------------------------------------------------------------------------


def names_of(columns: FaceColumns) -> dict[str, str]:
    index, _ = mirror_of(columns)
    return {name: columns.expression_names[place] for name, place in zip(columns.expression_names, index, strict=False)}


def test_names_change_sides():
    found = names_of(COLUMNS)
    assert found["mouthSmileLeft"] == "mouthSmileRight"
    assert found["mouthSmileRight"] == "mouthSmileLeft"
    assert found["jawLeft"] == "jawRight"
    assert found["eyeLookInLeft"] == "eyeLookInRight"
    assert found["jawOpen"] == "jawOpen"
    assert mirror_of(COLUMNS)[1].tolist() == [1] * 52
    ict = replace(COLUMNS, expression_names=("mouthSmile_L", "jawOpen", "mouthSmile_R", "cheekPuff_L"))
    assert mirror_of(ict)[0].tolist() == [2, 1, 0, 3]  # the last has no other side


def test_of_names_without_sides_the_head_alone_is_mirrored(flame_head):
    columns = columns_for(flame_head)
    index, sign = mirror_of(columns)
    assert index.tolist() == list(range(69))
    assert sign.tolist() == [1] * 69
    motions = made(50, columns=columns, model=flame_head)
    face, head = (draw(motions, 50, replace(NONE, mirror=part), columns=columns, batch=2) for part in (0, 1))
    assert torch.equal(face[0], head[0])
    assert torch.equal(face[1] * torch.tensor([1, -1, -1, -1, 1, 1]), head[1])


@pytest.mark.parametrize(("jaw", "eyes"), [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize(
    "names", [("smileLeft", "open", "smileRight"), ("expr_000", "expr_001")], ids=["sides", "none"]
)
def test_the_mirror_of_the_mirror_is_the_same(names, jaw, eyes):
    columns = replace(COLUMNS, expression_names=names, jaw=jaw, eyes=eyes)
    index, sign = mirror_of(columns)
    assert len(index) == len(sign) == columns.width
    assert torch.equal(index[index], torch.arange(columns.width))
    assert torch.equal(sign * sign[index], torch.ones(columns.width))


def test_eyes_change_sides_too():
    columns = replace(COLUMNS, expression_names=("blinkLeft", "blinkRight"), jaw=True, eyes=True)
    index, sign = mirror_of(columns)
    values = torch.tensor([1.0, 2, *(0.1, 0.2, 0.3), *(11, 12, 13), *(21, 22, 23)])
    mirrored = values[index] * sign
    assert mirrored.tolist() == pytest.approx([2, 1, *(0.1, -0.2, -0.3), *(21, -22, -23), *(11, -12, -13)])


def test_a_mirrored_motion_is_what_a_mirror_shows():
    """The head's matrices between two reflections; and of a face whose sides are alike the other side moves."""
    motions = made(60)
    plain, mirrored = (draw(motions, 60, replace(NONE, mirror=part), batch=1) for part in (0, 1))
    reflect = torch.diag(torch.tensor([-1.0, 1, 1]))
    turns, seen = (rotvec_to_rotmat(head[0, :, :3]) for _, head in (plain, mirrored))
    assert torch.allclose(reflect @ turns @ reflect, seen, atol=1e-6)
    assert torch.allclose(plain[1][0, :, 3:] @ reflect, mirrored[1][0, :, 3:])
    left, right = (HEAD.expression_names.index(f"mouthSmile{side}") for side in ("Left", "Right"))
    assert torch.equal(plain[0][..., left], mirrored[0][..., right])
    back = draw(
        MotionSet(*(one[0].numpy() for one in mirrored), np.array([0, 60])), 60, replace(NONE, mirror=1), batch=1
    )
    assert torch.equal(back[0], plain[0])
    assert torch.equal(back[1], plain[1])


# -- each change -------------------------------------------------------------------------------------------

# What each leaves as it was.
LEAVES = {
    "mixtures": "head",
    "fitted": "head",
    "noise": "head",
    "drift": "face",
}


@pytest.mark.parametrize("name", ["mirror", "tempo", "amplitude", "mixtures", "fitted", "noise", "drift"])
def test_a_change_comes_as_often_as_told_and_changes_what_it_is_about(name):
    motions = made(*LENGTHS)
    plain = draw(motions, 24, NONE, batch=200)
    assert all(torch.equal(one, other) for one, other in zip(plain, draw(motions, 24, NONE, batch=200), strict=True))
    sure, half = (draw(motions, 24, replace(NONE, **{name: part}), batch=200) for part in (1, 0.5))
    moved = {
        kind: (one - other).abs().flatten(1).amax(1) > 0
        for kind, one, other in zip(("face", "head"), sure, plain, strict=True)
    }
    kinds = {"face", "head"} - {LEAVES.get(name)}
    for kind in moved:
        assert moved[kind].float().mean() == (pytest.approx(1, abs=0.05) if kind in kinds else 0)
    some = [(one - other).abs().flatten(1).amax(1) > 0 for one, other in zip(half, plain, strict=True)]
    assert (some[0] | some[1]).float().mean() == pytest.approx(0.5, abs=0.15)
    for one in (*sure, *half):
        assert torch.isfinite(one).all()


def test_tempo_goes_through_the_same_curve_at_another_speed():
    steps = 256 * draw(numbered(250), 16, replace(NONE, tempo=1, tempo_by=0.5), batch=200)[0][..., 0].diff(dim=1)
    rate = steps.mean(1, keepdim=True)
    assert (steps - rate).abs().max() < 0.01
    assert np.exp(-0.5) - 0.01 < rate.min() < 0.7
    assert 1.4 < rate.max() < np.exp(0.5) + 0.01


def test_amplitude_scales_curves():
    motions = made(60)
    plain, louder = (draw(motions, 16, replace(NONE, amplitude=part, amplitude_by=0.3)) for part in (0, 1))
    factor = louder[1] / plain[1]
    known = plain[1].abs() > 0.01
    first = factor.flatten(1).nanmedian(1).values[:, None, None].expand_as(factor)
    assert torch.allclose(factor[known], first[known], atol=1e-3)
    assert ((factor[known] > 0.69) & (factor[known] < 1.31)).all()
    assert (first.amax() - first.amin()) > 0.3
    smaller = louder[0] < 1
    ratio = torch.where(smaller & (plain[0] > 0.05), louder[0] / plain[0], torch.nan)
    spread = ratio.nan_to_num(-9).amax(1) - ratio.nan_to_num(9).amin(1)
    assert spread[spread > -9].max() < 0.01  # one factor a curve


def test_mixtures_only_add():
    motions = made(60)
    plain, mixed = (draw(motions, 16, replace(NONE, mixtures=part, mixtures_share=0.2))[0] for part in (0, 1))
    assert (mixed >= plain).all()
    share = ((mixed - plain).amax(1) > 0).float().mean()
    assert 0.05 < share < 0.2 + 0.02


def test_what_is_bounded_stays_within(flame_head):
    wild = {name: 1.0 for name in ("mirror", "tempo", "amplitude", "mixtures", "fitted", "noise", "drift")}
    loud = Augmentation(**{**asdict(Augmentation()), **wild, "noise_white": 0.5, "amplitude_by": 1.0})
    face, head = draw(made(*LENGTHS), 24, loud)
    assert face.min() == 0
    assert face.max() == 1
    assert torch.isfinite(head).all()
    columns = columns_for(flame_head)
    motions = made(*LENGTHS, columns=columns, model=flame_head)
    count = len(flame_head.expression_names)
    assert draw(motions, 24, loud, columns=columns)[0][..., :count].min() < -0.2


def test_noise_and_drift_are_no_larger_than_told():
    still = MotionSet(np.full((50, 52), 0.5, np.float16), np.zeros((50, 6), np.float16), np.array([0, 50]))
    face, head = draw(still, 50, replace(NONE, noise=1, noise_white=0.01, noise_slow=0.0), batch=100)
    assert (face - 0.5).std(dim=(1, 2)).max() < 0.0105
    assert (face - 0.5).mean().abs() < 0.001
    assert not head.any()
    face, head = draw(still, 50, replace(NONE, drift=1, drift_turn=0.1, drift_way=0.02), batch=100)
    assert (face == 0.5).all()
    assert 0.01 < head[..., :3].std() < 0.1
    assert head[..., 3:].std() == pytest.approx(head[..., :3].std().item() / 5, rel=0.2)
