"""Random mixtures of all actions: every control often, alone and in company, at every strength, slow and sudden."""

from __future__ import annotations

import numpy as np

from tdmm.fit.controls import Controls

from .curves import between_keys, log_uniform, n_keys

# Opposites of which a face shows only the difference.
OPPOSED = (("jawLeft", "jawRight"), ("mouthLeft", "mouthRight"), ("gazeLeft", "gazeRight"), ("gazeUp", "gazeDown"))
FULL_STRENGTH = 0.15  # part of the active keys
SYMMETRIC = 0.6  # part of the keys of a pair of left and right
SUDDEN = 0.15  # part of the changes that take no time


def groups_of(names: tuple[str, ...]) -> np.ndarray:
    """(C,) the number of the group of each control; left and right of a pair are one group, gaze and jaw are not."""
    stems: dict[str, int] = {}
    found = []
    for name in names:
        side = next((end for end in ("Left", "Right") if name.endswith(end)), "")
        opposed = any(name in pair for pair in OPPOSED)
        found.append(stems.setdefault(name if opposed or not side else name[: -len(side)], len(stems)))
    return np.array(found)


def mixtures(random: np.random.Generator, times: np.ndarray, controls: Controls) -> np.ndarray:
    """(B, T, C) control curves. A third of the takes each: crowded, sparse, one action at a time."""
    group = groups_of(controls.names)
    n_takes, n_groups = len(times), group.max() + 1
    crowd = random.integers(0, 3, n_takes)
    part = np.where(crowd == 0, random.uniform(0.12, 0.4, n_takes), random.uniform(0.03, 0.12, n_takes))
    alone, still = crowd == 2, random.random(n_takes) < 0.06

    period = log_uniform(random, 0.2, 2.0, (n_takes, n_groups))
    phase = random.random((n_takes, n_groups)).astype(np.float32)
    period[alone], phase[alone] = period[alone, :1], phase[alone, :1]
    period[still] = 1e6
    position = times.astype(np.float32)[..., None] / period[:, None] + phase[:, None]
    count = n_keys(position)

    active = random.random((n_takes, count, n_groups)) < part[:, None, None]
    chosen = random.integers(0, n_groups, (int(alone.sum()), count, 1))
    active[alone] = np.arange(n_groups) == chosen
    together = random.random((n_takes, count, n_groups)) < SYMMETRIC
    strength = _strength(random, (n_takes, count, n_groups))
    each = _strength(random, (n_takes, count, len(group))) * (random.random((n_takes, count, len(group))) < 0.7)
    keys = np.where(together[..., group], strength[..., group], each) * active[..., group]
    ramp = random.uniform(0.1, 1.0, (n_takes, count, n_groups)).astype(np.float32)
    ramp[random.random(ramp.shape) < SUDDEN] = 0.01
    return between_keys(position[..., group], keys.astype(np.float32), ramp[..., group])


def believable(values: np.ndarray, controls: Controls) -> np.ndarray:
    """Control curves (B, T, C) that a face could make: within bounds, no opposites at once, closed eyes not wide."""
    column = {name: number for number, name in enumerate(controls.names)}
    values = np.clip(values, controls.lower, controls.upper).astype(np.float32)
    for first, second in OPPOSED:
        both = np.minimum(values[..., column[first]], values[..., column[second]])
        values[..., column[first]] -= both
        values[..., column[second]] -= both
    closed = 0.0
    for side in ("Left", "Right"):
        blink = values[..., column[f"eyeBlink{side}"]]
        values[..., column[f"eyeWide{side}"]] *= 1 - blink
        closed = closed + 0.5 * blink
    # Behind closed lids the eyes roll a little, not to their limits.
    gaze = [column[name] for pair in OPPOSED[2:] for name in pair]
    values[..., gaze] *= (1 - 0.5 * closed)[..., None]
    # Air stays in the cheeks behind closed lips only.
    values[..., column["cheekPuff"]] *= 1 - 0.7 * values[..., column["jawOpen"]]
    for first, second in controls.capped:
        values[..., first] = np.minimum(values[..., first], 1 - values[..., second])
    return values


def _strength(random: np.random.Generator, size: tuple[int, ...]) -> np.ndarray:
    strength = random.random(size, np.float32)
    strength[random.random(size, np.float32) < FULL_STRENGTH] = 1
    return strength
