"""Windows of motions, changed at random so that a codec also fits what its corpus does not show (torch).

Amplitude, tempo, mirror (left and right change places), mixtures of further expressions, and noise like a detector's:
fits of real videos flicker, drift, and use expressions that no prompt asks for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from tdmm.face.names import other_side, spell_side
from tdmm.vq.columns import FaceColumns
from tdmm.vq.dataset import MotionSet


@dataclass(frozen=True)
class Augmentation:
    """How often (0..1) a window is changed in which way, and how much at most.

    tempo: e to the power of +-; amplitude: factor 1 +-, of the whole face, of single expressions, of the head.
    mixtures: part of the expressions that join in. fitted: what fits of real videos are like: so large a part of all
    expressions stray from rest, mostly on both sides alike; by how much they do all the time, and move slowly and
    quickly. noise: standard deviation of white noise and of slow drift. drift: radians and metres of the head's.
    """

    mirror: float = 0.5
    tempo: float = 0.5
    tempo_by: float = 0.35
    amplitude: float = 0.5
    amplitude_by: float = 0.5
    mixtures: float = 0.15
    mixtures_share: float = 0.12
    fitted: float = 0.25
    fitted_share: float = 0.9
    fitted_rest: float = 0.35
    fitted_slow: float = 0.3
    fitted_quick: float = 0.2
    noise: float = 0.4
    noise_white: float = 0.012
    noise_slow: float = 0.04
    drift: float = 0.5
    drift_turn: float = 0.12
    drift_way: float = 0.04


NONE = Augmentation(mirror=0, tempo=0, amplitude=0, mixtures=0, fitted=0, noise=0, drift=0)
# What the mirror does to a head's turn and way: turns about y and z and the way along x change sides.
HEAD_MIRROR = (1, -1, -1, -1, 1, 1)
# Slow curves go through a random value at each of so many frames.
_KNOTS = 8
_SLOW_KNOTS, _QUICK_KNOTS = 14, 4
_HEAD_KNOTS = 25
# So often both sides of a pair stray alike.
_ALIKE = 0.85


class Windows:
    """Random windows of a set of motions, on a device."""

    def __init__(self, motions: MotionSet, columns: FaceColumns, device: str) -> None:
        self._face = torch.from_numpy(motions.face).to(device)
        self._head = torch.from_numpy(motions.head).to(device)
        self._starts = torch.from_numpy(motions.starts).to(device)
        self._columns = columns
        self._mirror_index, self._mirror_sign = (one.to(device) for one in mirror_of(columns))
        self._device = device

    def draw(
        self, batch: int, frames: int, generator: torch.Generator, augmentation: Augmentation
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """face (B, T, P) and head (B, T, 6) float32. A motion that is too short goes on at its last frame."""
        chosen = augmentation
        uniform = lambda *size: torch.rand(size, generator=generator, device=self._device)  # noqa: E731
        often = lambda chance: uniform(batch, 1, 1) < chance  # noqa: E731
        # Motions come as often as they are long.
        at = (uniform(batch) * len(self._face)).long().clamp(max=len(self._face) - 1)
        clip = torch.searchsorted(self._starts, at, right=True) - 1
        first, end = self._starts[clip], self._starts[clip + 1]
        changes = uniform(batch) < chosen.tempo
        rate = torch.exp(torch.where(changes, (2 * uniform(batch) - 1) * chosen.tempo_by, 0.0))
        room = ((end - first - 1) - rate * (frames - 1)).clamp(min=0)
        begin = uniform(batch)
        # As they are: not between frames.
        begin = torch.where(rate == 1, torch.minimum((begin * (room + 1)).floor(), room), begin * room)
        times = begin[:, None] + rate[:, None] * torch.arange(frames, device=self._device)
        times = torch.minimum(times, (end - first - 1)[:, None].float())
        left = times.floor().long()
        weight = (times - left)[..., None]
        right = torch.minimum(left + 1, (end - first - 1)[:, None])
        face, head = (
            torch.lerp(values[first[:, None] + left].float(), values[first[:, None] + right].float(), weight)
            for values in (self._face, self._head)
        )
        mirrored = often(chosen.mirror)
        face = torch.where(mirrored, face[..., self._mirror_index] * self._mirror_sign, face)
        head = torch.where(mirrored, head * head.new_tensor(HEAD_MIRROR), head)

        factor = 1 + chosen.amplitude_by * (2 * uniform(batch, 1, 1) - 1)
        single = 1 + 0.6 * chosen.amplitude_by * (2 * uniform(batch, 1, face.shape[2]) - 1)
        louder = often(chosen.amplitude)
        face = torch.where(louder, face * factor * single, face)
        head = torch.where(louder, head * (1 + chosen.amplitude_by * (2 * uniform(batch, 1, 1) - 1)), head)

        count = len(self._columns.expression_names)
        joins = often(chosen.mixtures) & (uniform(batch, 1, count) < chosen.mixtures_share)
        more = (self._slow(batch, frames, count, _KNOTS, generator) * uniform(batch, 1, count)).clamp(min=0)
        noise = chosen.noise_slow * uniform(batch, 1, 1) * self._slow(batch, frames, count, _KNOTS, generator)
        white = torch.randn(batch, frames, count, generator=generator, device=self._device)
        noise = noise + chosen.noise_white * uniform(batch, 1, 1) * white
        changed = face[..., :count] + torch.where(joins, more, 0.0)
        changed = torch.where(often(chosen.fitted), self._fitted(changed, generator, chosen), changed)
        changed = changed + torch.where(often(chosen.noise), noise, 0.0)
        if self._columns.bounded:
            changed = changed.clamp(0, 1)
        face = torch.cat([changed, face[..., count:]], dim=-1)

        far = head.new_tensor([chosen.drift_turn] * 3 + [chosen.drift_way] * 3)
        drift = far * uniform(batch, 1, 1) * self._slow(batch, frames, 6, _HEAD_KNOTS, generator)
        shaky = 0.02 * far * torch.randn(batch, frames, 6, generator=generator, device=self._device)
        head = torch.where(often(chosen.drift), head + drift + shaky, head)
        return face, head

    def _fitted(self, curves: torch.Tensor, generator: torch.Generator, chosen: Augmentation) -> torch.Tensor:
        """Expressions (B, T, E) with others that stray from rest all the time."""
        batch, frames, count = curves.shape
        uniform = lambda *size: torch.rand(size, generator=generator, device=self._device)  # noqa: E731
        stray = (uniform(batch, 1, count) < chosen.fitted_share * uniform(batch, 1, 1).sqrt()).float()
        normal = torch.randn(batch, 1, count, generator=generator, device=self._device)
        rest = chosen.fitted_rest * uniform(batch, 1, 1) * normal.abs() ** 1.5
        slow = chosen.fitted_slow * uniform(batch, 1, 1) * uniform(batch, 1, count)
        quick = chosen.fitted_quick * uniform(batch, 1, 1) * uniform(batch, 1, count)
        moved = rest + slow * self._slow(batch, frames, count, _SLOW_KNOTS, generator)
        moved = stray * (moved + quick * self._slow(batch, frames, count, _QUICK_KNOTS, generator))
        # The lower numbered side of a pair leads, with a little of the other.
        pair = torch.minimum(self._mirror_index[:count], torch.arange(count, device=self._device))
        alike = 0.85 * moved[..., pair] + 0.15 * moved
        moved = torch.where(uniform(batch, 1, 1) < _ALIKE, alike, moved)
        return (0.3 + 0.9 * uniform(batch, 1, 1)) * curves + moved

    def _slow(self, batch: int, frames: int, count: int, knots: int, generator: torch.Generator) -> torch.Tensor:
        """(B, T, count) smooth random curves of spread about 1."""
        between = _between(frames, knots).to(self._device)
        return between @ torch.randn(batch, between.shape[1], count, generator=generator, device=self._device)


def _between(frames: int, knots: int) -> torch.Tensor:
    """(T, K) matrix that takes values at every so many frames to those of each frame, linearly."""
    at = torch.arange(frames) / knots
    left = at.floor().long()
    found = torch.zeros(frames, int(left[-1]) + 2)
    found[torch.arange(frames), left] = 1 - (at - left)
    found[torch.arange(frames), left + 1] += at - left
    return found


def mirror_of(columns: FaceColumns) -> tuple[torch.Tensor, torch.Tensor]:
    """Which column (P,) each column becomes in the mirror, and its sign (P,). Expressions whose names tell no side
    stay, as those of FLAME do: of such a face model only the head is mirrored."""
    names = [spell_side(name) for name in columns.expression_names]
    place = {name: number for number, name in enumerate(names)}
    index = [place.get(other_side(name), number) for number, name in enumerate(names)]
    sign = [1.0] * len(names)
    sided = any(number != other for number, other in enumerate(index))
    turned = [1.0, -1.0, -1.0] if sided else [1.0] * 3
    if columns.jaw:
        index += [len(index) + axis for axis in range(3)]
        sign += turned
    if columns.eyes:
        start = len(index)
        index += [start + (3 + axis if sided else axis) for axis in range(3)]
        index += [start + (axis if sided else 3 + axis) for axis in range(3)]
        sign += turned * 2
    return torch.tensor(index), torch.from_numpy(np.array(sign, np.float32))
