"""Natural facial motion: a person's resting face, expressions that come and go, speech, blinks and glances."""

from __future__ import annotations

import numpy as np

from tdmm.fit.controls import Controls

from .curves import between_keys, bumps, ease, log_uniform, n_keys, waves
from .expressions import CONSONANTS, EXPRESSIONS, VOWELS, table
from .mixtures import groups_of

EXPRESSIONS_A_SECOND = 1.2
BLINKS_A_SECOND = 1.2
# Degrees that the eyes turn at gaze 1: to the side, up, down (`tdmm.fit.controls.EYE_TURN`).
SIDE, UP, DOWN = 25.0, 17.0, 24.0


def natural(random: np.random.Generator, times: np.ndarray, controls: Controls, turn: np.ndarray) -> np.ndarray:
    """(B, T, C) control curves of takes whose heads turn by `turn` (B, T, 3) degrees about x, y, z.

    A tenth of the takes show a resting face that at most blinks and looks; half speak.
    """
    n_takes = len(times)
    names = controls.names
    quiet = random.random(n_takes) < 0.1
    habits = np.exp(random.normal(0, 0.25, (n_takes, 1, len(names)))).astype(np.float32)
    values = _expressions(random, times, names) + _speech(random, times, names)
    values = values * np.where(quiet, 0, 1)[:, None, None] * habits
    values += _tremor(random, times, len(names))
    values += _resting(random, n_takes, names)[:, None]
    _blinks(random, times, names, values)
    _gaze(random, times, names, turn, values)
    return values


def _resting(random: np.random.Generator, n_takes: int, names: tuple[str, ...]) -> np.ndarray:
    """(B, C) a face at rest is not zero: corners of the mouth, brows or lids are a little away from it."""
    group = groups_of(names)
    bias = np.abs(random.normal(0, 0.12, (n_takes, group.max() + 1))) * (
        random.random((n_takes, group.max() + 1)) < 0.15
    )
    bias = bias[:, group] * random.uniform(0.7, 1.0, (n_takes, len(names)))
    heavy = random.uniform(0.1, 0.4, n_takes) * (random.random(n_takes) < 0.15)
    bias[:, _columns(names, "eyeBlink")] += heavy[:, None]
    bias[:, [names.index(name) for name in ("tongueOut", "gazeLeft", "gazeRight", "gazeUp", "gazeDown")]] = 0
    return bias.astype(np.float32)


def _tremor(random: np.random.Generator, times: np.ndarray, count: int) -> np.ndarray:
    """(B, T, C) how a living face is never quite still: up to 1.5 % of each control."""
    shared = waves(random, times, 5, 0.2, 3.0)
    mixing = random.normal(0, 0.45, (len(times), 5, count)).astype(np.float32)
    return (shared @ mixing) * random.uniform(0, 0.015, (len(times), 1, 1)).astype(np.float32)


def _expressions(random: np.random.Generator, times: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """(B, T, C) onset, apex and offset of expressions, each a little unlike its template and uneven."""
    templates = table(EXPRESSIONS, names)
    n_takes, longest = len(times), times.max()
    size = (n_takes, int(np.ceil(EXPRESSIONS_A_SECOND * (longest + 2))) + 1)
    often = log_uniform(random, 0.3, 1.0, (n_takes, 1))
    happens = random.random(size) < often
    start = random.uniform(-2.0, longest, size)
    attack = log_uniform(random, 0.08, 0.8, size)
    hold = log_uniform(random, 0.1, 3.0, size)
    release = log_uniform(random, 0.15, 1.2, size)
    strength = np.clip(random.uniform(0.15, 1.25, size), 0, 1.1) * happens
    which = random.integers(0, len(templates), size)
    varied = np.exp(random.normal(0, 0.25, (*size, len(names))))
    weights = (templates[which] * varied * strength[..., None]).astype(np.float32)
    return bumps(times, start, attack, hold, release) @ weights


def _speech(random: np.random.Generator, times: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """(B, T, C) consonants and vowels by turns, three to six syllables a second, each coloured by its neighbours."""
    vowels, consonants = table(VOWELS, names), table(CONSONANTS, names)
    n_takes = len(times)
    rate = 2 * random.uniform(3.0, 6.0, (n_takes, 1)).astype(np.float32)
    # The tempo wanders, so that sounds are not evenly spaced.
    position = (rate * times + 1.5 + 0.4 * waves(random, times, 1, 0.5, 1.5)[..., 0]).clip(0)
    count = n_keys(position)
    sounds = np.empty((n_takes, count, len(names)), np.float32)
    sounds[:, 0::2] = consonants[random.integers(0, len(consonants), sounds[:, 0::2].shape[:2])]
    sounds[:, 1::2] = vowels[random.integers(0, len(vowels), sounds[:, 1::2].shape[:2])]
    sounds *= random.uniform(0.5, 1.3, (n_takes, count, 1)).astype(np.float32)
    coloured = 0.75 * sounds
    coloured[:, 1:] += 0.15 * sounds[:, :-1]
    coloured[:, :-1] += 0.1 * sounds[:, 1:]
    talking = ease(1.5 * waves(random, times, 1, 0.1, 0.5)[..., 0] + random.uniform(0, 2.5, (n_takes, 1)))
    talking = talking * random.uniform(0.4, 1.3, (n_takes, 1)) * (random.random((n_takes, 1)) < 0.5)
    return between_keys(position[..., None], coloured) * talking[..., None].astype(np.float32)


def _blinks(random: np.random.Generator, times: np.ndarray, names: tuple[str, ...], values: np.ndarray) -> None:
    """Close the lids in `values` (B, T, C): full, half, long and double blinks, winks; some squeeze lids and cheeks."""
    n_takes, longest = len(times), times.max()
    count = int(np.ceil(BLINKS_A_SECOND * (longest + 1))) + 1
    size = (n_takes, count)
    happens = random.random(size) < random.uniform(0.02, 0.55, (n_takes, 1))
    start = random.uniform(-1.0, longest, size)
    attack, hold, release = (random.uniform(low, high, size) for low, high in ((0.05, 0.13), (0.0, 0.09), (0.08, 0.22)))
    sort = random.random(size)
    half, slow, wink, twice = sort < 0.12, (sort > 0.12) & (sort < 0.18), (sort > 0.18) & (sort < 0.25), sort > 0.88
    hold = np.where(slow, random.uniform(0.3, 2.5, size), np.where(wink, random.uniform(0.1, 0.8, size), hold))
    start[:, 1:] = np.where(twice[:, 1:], start[:, :-1] + random.uniform(0.2, 0.45, size)[:, 1:], start[:, 1:])
    depth = np.where(half, random.uniform(0.25, 0.75, size), np.minimum(1, random.uniform(0.85, 1.3, size))) * happens
    other = np.where(wink, random.uniform(0, 0.3, size), 1.0)
    left = random.random(size) < 0.5
    shape = bumps(times, start, attack, hold, release)
    squeeze = random.uniform(0, 0.6, size) * (random.random(size) < 0.3)
    for side, share in (("Left", np.where(left, 1, other)), ("Right", np.where(left, other, 1))):
        closing = shape * (depth * share)[:, None]
        lid = names.index(f"eyeBlink{side}")
        values[..., lid] = np.maximum(values[..., lid], closing.max(2))
        cheek = (closing * (squeeze + 0.4 * wink * share)[:, None]).max(2)
        values[..., names.index(f"eyeSquint{side}")] += cheek
        values[..., names.index(f"cheekSquint{side}")] += 0.7 * cheek


def _gaze(
    random: np.random.Generator, times: np.ndarray, names: tuple[str, ...], turn: np.ndarray, values: np.ndarray
) -> None:
    """Turn the eyes in `values` (B, T, C): fixations and saccades; eyes that stay on a thing while the head turns."""
    n_takes = len(times)
    rate = log_uniform(random, 0.3, 4.0, (n_takes, 1, 1))
    position = rate * times[..., None].astype(np.float32) + random.random((n_takes, 1, 1)).astype(np.float32)
    size = (n_takes, n_keys(position), 2)
    sort = random.random(size[:2])[..., None]
    target = np.where(sort < 0.45, random.normal(0, 2.0, size), random.normal(0, 1, size) * (11.0, 8.0))
    target = np.where(
        sort > 0.88, np.stack([random.normal(0, 5, size[:2]), random.uniform(10, 26, size[:2])], -1), target
    )
    target += random.normal(0, [4, 3], (n_takes, 1, 2))
    saccade = (random.uniform(0.03, 0.09, (n_takes, 1, 1)) * rate).astype(np.float32)
    degrees = between_keys(position, target.astype(np.float32), np.broadcast_to(saccade, (*size[:2], 1)))
    # To the subject's left and down, like the head's turn, against which the eyes hold.
    hold = random.uniform(0, 0.9, (n_takes, 1, 1)) * (random.random((n_takes, 1, 1)) < 0.7)
    degrees = degrees - hold * turn[..., [1, 0]]
    aside, down = degrees[..., 0], degrees[..., 1]
    values[..., names.index("gazeLeft")] += np.clip(aside / SIDE, 0, 1)
    values[..., names.index("gazeRight")] += np.clip(-aside / SIDE, 0, 1)
    values[..., names.index("gazeUp")] += np.clip(-down / UP, 0, 1)
    lowered = np.clip(down / DOWN, 0, 1)
    values[..., names.index("gazeDown")] += lowered
    # The upper lid follows a lowered gaze, in some people further than the head's own expression takes it.
    follow = random.uniform(0, 0.3, (n_takes, 1)) * (random.random((n_takes, 1)) < 0.4)
    values[..., _columns(names, "eyeBlink")] += (follow * lowered)[..., None]


def _columns(names: tuple[str, ...], stem: str) -> list[int]:
    return [names.index(f"{stem}{side}") for side in ("Left", "Right")]
