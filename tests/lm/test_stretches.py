"""Long motions are cut where the face is quiet; what nobody saw is left out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tdmm.lm.stretches import GAP, LONGEST_PART, LONGEST_WHOLE, SHORTEST_PART, quiet_cuts, stretches
from tdmm.motion import FaceMotion, make_motion


def motion_of(seconds: float, fps: float = 25.0, **others) -> FaceMotion:
    """Somebody who smiles for half a second, every two seconds."""
    times = np.arange(round(seconds * fps)) / fps
    smile = np.where(times % 2 < 0.5, np.sin(times % 2 * 2 * np.pi), 0.0)
    return make_motion(
        np.stack([smile, 0 * smile], axis=1).astype(np.float32),
        ("a", "b"),
        face_model="x",
        face_model_sha256="0" * 64,
        fps=fps,
        **others,
    )


def hidden(motion: FaceMotion, *spans: tuple[float, float]) -> FaceMotion:
    """No face in these seconds."""
    valid = motion.valid.copy()
    for first, end in spans:
        valid[round(first * motion.fps) : round(end * motion.fps)] = False
    return replace(motion, valid=valid)


@pytest.mark.parametrize("seconds", [0.04, 2.0, LONGEST_WHOLE])
def test_what_training_knew_stays_whole(seconds):
    motion = motion_of(seconds)
    assert stretches(motion) == [(0, len(motion))]


@pytest.mark.parametrize("seconds", [12.04, 20.0, 61.3])
def test_a_long_motion_is_cut_without_a_loss_and_where_it_is_quiet(seconds):
    motion = motion_of(seconds)
    found = stretches(motion)
    assert [first for first, _ in found[1:]] == [end for _, end in found[:-1]]
    assert (found[0][0], found[-1][1]) == (0, len(motion))
    for first, end in found:
        assert SHORTEST_PART <= (end - first) / 25 <= LONGEST_PART
    for first, _ in found[1:]:
        assert 0.6 < first / 25 % 2 < 1.9


def test_a_model_with_less_room_gets_shorter_parts():
    assert all(end - first <= 50 for first, end in stretches(motion_of(9.0), longest=2.0))


def test_seconds_without_a_face_are_left_out_and_moments_are_not():
    motion = hidden(motion_of(10.0), (0.0, 0.4), (3.0, 3.0 + GAP), (6.0, 6.0 + GAP / 2), (9.8, 10.0))
    assert stretches(motion) == [(10, 75), (100, 245)]


def test_glimpses_tell_nothing_unless_there_is_nothing_else():
    motion = hidden(motion_of(10.0), (0.0, 3.0), (3.2, 6.0))
    assert stretches(motion) == [(150, 250)]
    assert stretches(hidden(motion, (6.3, 10.0))) == [(150, 158)]
    assert stretches(hidden(motion, (0.0, 10.0))) == []


def test_nothing_moves():
    still = replace(motion_of(30.0), expression=np.zeros((750, 2), np.float32))
    assert sum(end - first for first, end in stretches(still)) == 750


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 60), st.integers(1, 8), st.integers(0, 12), st.integers(0, 99))
def test_cuts_are_the_cheapest_there_are(count, shortest, more, seed):
    """Against all sets of cuts, counted out."""
    longest = shortest + more
    cost = np.random.default_rng(seed).integers(0, 50, count) / 8
    cuts = quiet_cuts(cost, shortest, longest)
    edges = [0, *cuts, count]
    sizes = np.diff(edges)
    assert sizes.max() <= longest
    cheapest = {0: 0.0}
    for at in range(1, count + 1):
        ways = [cheapest[one] for one in cheapest if shortest <= at - one <= longest]
        if ways:
            cheapest[at] = min(ways) + (cost[at] + 0.25 if at < count else 0.0)
    if count in cheapest:
        assert sizes.min() >= shortest
        assert sum(cost[cut] + 0.25 for cut in cuts) == pytest.approx(cheapest[count])
