"""What `tdmm fit` makes of a motion: a statistical model of its fits, to train on motions that look like fits (numpy).

A fit reads expressions through one another, too weakly and more so what stays all the time than what moves, a little
away from rest, and it strays. The model was measured on rendered clips whose motions are known
(`scripts/measure_fit_noise.py`, which says how). The head's pose strays likewise. Real people's motions are not known;
in their fits most expressions stay further away from rest, which some simulated fits also do.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft

import tdmm
from tdmm.errors import LmError
from tdmm.io.asset_file import read_asset, write_asset
from tdmm.vq.columns import HEAD

SCHEMA = "tdmm.fit_noise/1"
ASSET = Path(tdmm.__file__).parent / "assets" / "fit_noise.safetensors"
# How much of the difference between a fit and the truth is put in, 1 = as measured: drawn for each motion.
STRENGTH = (0.5, 1.3)
# What strays is a sum of autoregressive processes of the second order with these double poles (at FPS), from white
# noise to what takes seconds. Those of the first order are too rough: fits are smoothed.
POLES = np.array([0.0, 0.4, 0.65, 0.8, 0.9, 0.95, 0.98])
FPS = 25.0
# What is added is added where small values are far apart, as the fit keeps to rest what it is not sure of: values are
# there log(exp(v / SOFT) - 1) * SOFT, which is v where v is large; v is FLOOR at least.
SOFT, FLOOR = 0.03, 2e-3
# Most expressions in fits of videos from life are further from rest: of two such clips and one of a video generator,
# half of them were above 0.1 on average, and 0.12 to 0.19 the mean of all. So many motions are fitted somewhat so:
# expressions are lifted, with this spread and mostly both sides alike, and stray up to so many times as much.
PEOPLE = 0.3
LIFT, LIFT_ALIKE, LIFTED_STRAY = 0.13, 0.85, 2.0
# Of another's offset there is at most the sine of this.
OTHERS = np.pi / 5
# Of the factor of each motion's gains.
FACTORS = (-0.3, 2.5)
# A motion that moves less strays as this one does.
STILL = 0.003
# Frames after which even the slowest process has mostly forgotten: what strays is drawn on a circle that is longer by
# this.
_FORGOTTEN = 128


@dataclass(frozen=True, eq=False)
class FitNoise:
    """The model, for E expressions; N = E + 6 with the head's turn (radians) and way (metres) since the first frame.

    expression_names: (E,). tied: (N,) for each column the one whose value it takes: both eyes of a fit look the same
    way. gain: (F, N) from `features` to what the fit reads. offsets: (C, E) what was added to each whole motion.
    twin: (E,) for each column its other side. gain_spread: (2, N) spread of the factor by which what moves is read in
    each motion: of all columns alike, of each by itself.
    stray_mix: (K, N) what strays together. stray_power: (K, P) and own_power: (N, P) variances of each component, and
    of each column by itself, by `POLES`. scale: (3,) the logarithm of how much a motion strays: at an `activity` of 1,
    per unit of the logarithm of that, and its spread.
    made: how it was measured, and with what scores (JSON-able).
    """

    expression_names: tuple[str, ...]
    tied: np.ndarray
    gain: np.ndarray
    offsets: np.ndarray
    twin: np.ndarray
    gain_spread: np.ndarray
    stray_mix: np.ndarray
    stray_power: np.ndarray
    own_power: np.ndarray
    scale: np.ndarray
    made: dict[str, Any]

    @staticmethod
    def load() -> FitNoise:
        """The model that comes with tdmm, of fits with the built-in head. Raises as `read_fit_noise` does."""
        return _shipped()

    def apply(
        self,
        expression: np.ndarray,
        head: np.ndarray,
        random: np.random.Generator,
        *,
        strength: float | None = None,
        people: float | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """A fit of a motion at `FPS`: (T, E) float32 expressions in 0..1 and (T, 6) float32 poses, of the same.

        head: poses relative to one frame, as `tdmm.vq.columns.relative_pose` has them; the first stays as it is.
        strength: 0 the motion itself, 1 as measured; drawn from `STRENGTH` if it is None. people: 0 a rendered person,
        1 as far from rest as real ones; if it is None, drawn from 0 to 1 for `PEOPLE` of the motions, 0 for the others.
        The same random numbers give the same fit. Raises `LmError` for other shapes.
        """
        count = len(self.expression_names)
        if expression.ndim != 2 or expression.shape[1] != count or head.shape != (len(expression), HEAD):
            raise LmError(
                f"noise of fits: expected expressions (T, {count}) and poses (T, {HEAD}), found {expression.shape} and "
                f"{head.shape}"
            )
        drawn = random.uniform(*STRENGTH), (random.random() < PEOPLE) * random.random()
        strength = drawn[0] if strength is None else strength
        people = drawn[1] if people is None else people
        if not len(expression):
            return expression.astype(np.float32), head.astype(np.float32)
        true = np.concatenate([expression, head - head[0]], axis=1).astype(np.float32)
        stray = self._stray(true, random) * np.float32(1 + (LIFTED_STRAY - 1) * people)
        fitted = self._read(true, random) + self._offset(random) + stray
        fitted[:, :count] += people * self._lift(random)
        fitted = fitted[:, self.tied.astype(int)]
        fitted[:, :count] = from_wide(fitted[:, :count]).clip(0, 1)
        fitted[:, count:] -= fitted[0, count:].copy()
        changed = true + np.float32(strength) * (fitted - true)
        return changed[:, :count].clip(0, 1), head[0].astype(np.float32) + changed[:, count:]

    def _read(self, true: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """(T, N) what is read of the truth, with this motion's own gains."""
        read = features(true, len(self.expression_names)) @ self.gain
        alike, own = random.standard_normal(), random.standard_normal(read.shape[1])
        factor = (1 + self.gain_spread[0] * alike + self.gain_spread[1] * own).clip(*FACTORS)
        middle = read.mean(axis=0)
        return np.asarray(middle + (read - middle) * factor, np.float32)

    def _offset(self, random: np.random.Generator) -> np.ndarray:
        """(N,) mostly one of those that were measured, or its mirror image, with something of another: few curves are
        far off, most hardly, which no normal distribution is like."""
        chosen = [
            one if random.random() < 0.5 else one[self.twin.astype(int)] for one in random.choice(self.offsets, 2)
        ]
        angle = OTHERS * random.random()
        found = np.zeros(self.gain.shape[1], np.float32)
        found[: self.offsets.shape[1]] = np.cos(angle) * chosen[0] + np.sin(angle) * chosen[1]
        return found

    def _lift(self, random: np.random.Generator) -> np.ndarray:
        """(E,) how far people's expressions are from rest."""
        far = LIFT * np.abs(random.standard_normal(len(self.twin)))
        leads = np.minimum(np.arange(len(far)), self.twin.astype(int))  # the first of both sides
        return np.asarray(LIFT_ALIKE * far[leads] + (1 - LIFT_ALIKE) * far, np.float32)

    def _stray(self, true: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """(T, N)"""
        usual, per_motion, spread = self.scale
        much = np.log(max(activity(true, len(self.expression_names)), STILL))
        factor = np.exp(usual + per_motion * much + spread * random.standard_normal())
        strays = self._processes(len(true), random)
        return np.asarray(factor * strays, np.float32)

    def _processes(self, frames: int, random: np.random.Generator) -> np.ndarray:
        """(T, N) stationary noise of the variances by pole, from white noise by its spectrum."""
        length = next_fast_len(frames + _FORGOTTEN, real=True)
        power = np.concatenate([self.stray_power, self.own_power]) @ spectra(length)
        white = random.standard_normal((len(power), length), np.float32)
        noise = irfft(rfft(white) * np.sqrt(power), length)[:, :frames].T
        mixed = len(self.stray_mix)
        return np.asarray(noise[:, :mixed] @ self.stray_mix + noise[:, mixed:])


def to_wide(values: np.ndarray) -> np.ndarray:
    """Where the model adds, of values of at least `FLOOR`: small ones are far apart, large ones as they are."""
    values = np.maximum(values, FLOOR)
    return np.asarray(values + SOFT * np.log(-np.expm1(-values / SOFT)))


def from_wide(wide: np.ndarray) -> np.ndarray:
    """The inverse of `to_wide`, never below 0."""
    return np.asarray(SOFT * np.logaddexp(0, wide / SOFT))


def features(true: np.ndarray, count: int) -> np.ndarray:
    """(T, F) what a fit's reading is linear in, of (T, E + 6) true expressions and poses since the first frame: 1,
    expressions less their mean over the motion, that mean, poses less their mean, and how far the head has turned
    about each axis, to either side."""
    expression, head = true[:, :count], true[:, count:]
    mean = expression.mean(axis=0)
    middle = head.mean(axis=0)
    return np.concatenate(
        [
            np.ones((len(true), 1), np.float32),
            expression - mean,
            np.broadcast_to(mean, expression.shape),
            head - middle,
            np.abs(head[:, :3] - middle[:3]),
        ],
        axis=1,
    ).astype(np.float32)


def activity(true: np.ndarray, count: int) -> float:
    """How much a motion (T, E + 6) moves: the root mean square of its expressions' standard deviations over time."""
    return float(np.sqrt(true[:, :count].var(axis=0).mean()))


@cache
def spectra(length: int) -> np.ndarray:
    """(P, length // 2 + 1) float32 power spectra of the processes of `POLES` on a circle of that length, each of
    variance 1, of white noise of variance 1."""
    turn = np.exp(-2j * np.pi * np.arange(length) / length)
    power = 1 / np.abs(1 - POLES[:, None] * turn) ** 4
    power /= power.mean(axis=1, keepdims=True)
    return np.asarray(power[:, : length // 2 + 1], np.float32)


_TENSORS = tuple(item.name for item in fields(FitNoise) if item.name not in ("expression_names", "made"))


def save_fit_noise(noise: FitNoise, path: Path) -> None:
    """Write a model: 16-bit safetensors, everything else in the metadata."""
    meta = {"names": json.dumps(noise.expression_names), "made": json.dumps(noise.made)}
    half = {name: np.ascontiguousarray(getattr(noise, name), np.float16) for name in _TENSORS}
    write_asset(path, SCHEMA, meta, half)


def read_fit_noise(path: Path) -> FitNoise:
    """Read what `save_fit_noise` wrote. Raises `MissingPartError` without the file, `LmError` for another file."""
    meta, tensors = read_asset(path, SCHEMA, "the model of what fits look like", "measure_fit_noise.py", LmError)
    return FitNoise(tuple(json.loads(meta["names"])), **tensors, made=json.loads(meta["made"]))


@cache
def _shipped() -> FitNoise:
    return read_fit_noise(ASSET)
