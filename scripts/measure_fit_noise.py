"""Measure what `tdmm fit` makes of known motions: tdmm/assets/fit_noise.safetensors, which `tdmm.lm.noise` reads.

    tdmm generate-corpus -o pairs --clips 220 --seed 31
    tdmm fit pairs/videos -o pairs/fits
    python scripts/measure_fit_noise.py pairs pairs/fits --output fit_noise.safetensors --picture curves.png

The clips of the split train are pairs of a true motion and its fit; every pair also counts mirrored. Values of fits are
taken where the model adds (`tdmm.lm.noise.to_wide`). In this order:

1. gain: ridge regression of the fit on `tdmm.lm.noise.features` of the truth. Other expressions than a curve's own and
   its other side are held back more, what stays all the time more than what moves. How much, by pairs left out.
2. offsets: what is left on average over each clip.
3. gain_spread: how much the slopes of what is left against what is read differ from clip to clip.
4. scale, stray_mix, stray_power, own_power: of what is left then, the size in each clip against how much that moves,
   principal components, and non-negative least squares of their autocovariance on that of each pole.
5. Rectifying, and that a clip's mean also has slow stray in it, shifts the statistics: the constant, the offsets and
   the stray are scaled until simulated fits of these pairs have the means, spreads and quickness of the real ones.

Scores are of pairs left out (every fifth clip); the model that is written was measured on all.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from fit_pairs import SPLIT, add_pairs, check_enough, pairs_in
from scipy.fft import irfft
from scipy.linalg import toeplitz
from scipy.optimize import nnls
from scipy.special import expit
from scipy.stats import ks_2samp

from tdmm.face import load_face_model
from tdmm.lm.noise import FPS, POLES, SOFT, STILL, FitNoise, activity, features, save_fit_noise, spectra, to_wide
from tdmm.motion import FaceMotion
from tdmm.vq.augment import HEAD_MIRROR, mirror_of
from tdmm.vq.columns import HEAD, FaceColumns, columns_for, first_pose, relative_pose

HELD_OUT = 5  # one pair in so many
# Penalties of the ridge regression that are tried, in frames, for a feature of spread 1.
PENALTIES = (30.0, 100.0, 300.0, 1000.0, 3000.0)
FOLDS = 4
# By what a feature typically changes: expressions, turns, ways.
TYPICAL, TYPICAL_TURN, TYPICAL_WAY = 0.1, 0.05, 0.02
MIXED = 20  # components of what strays
LAGS = 40  # frames
QUICK = 0.85  # poles below are quick
CIRCLE = 4096  # frames, longer than any process remembers
ROUNDS, REPEATS = 8, 3
RATIOS = ("among", "within", "quick")
# Standard deviation over a clip from which a curve's correlation or slope says something: expressions, turns, ways.
MOVES, MOVES_TURN, MOVES_WAY = 0.03, 0.02, 0.004
FEW, USUAL = 6, 0.3  # with fewer clips in which a curve moves, its gains are taken to differ so much
# Curves of the picture.
SHOWN = ("mouthSmileLeft", "jawOpen", "browInnerUp", "eyeBlinkLeft", "eyeLookDownLeft", "mouthPressLeft", "turn y")


@dataclass(frozen=True)
class Pair:
    """true, fitted: (T, E + 6) expressions and poses since the first frame, `FPS` frames a second."""

    name: str
    true: np.ndarray
    fitted: np.ndarray


def main() -> None:
    """Read the pairs, judge a model of most on the rest, measure one on all, write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_pairs(parser)
    parser.add_argument("--output", type=Path, help="where the model goes (default: it is only judged)")
    parser.add_argument("--picture", type=Path, help="draw curves of some pairs that were left out")
    options = parser.parse_args()
    columns = columns_for(load_face_model())
    pairs = [
        Pair(name, values_of(true, columns), values_of(fit, columns))
        for corpus, fits in options.pairs
        for name, true, fit in pairs_in(corpus, fits, FPS)
    ]
    check_enough(len(pairs), 2 * HELD_OUT)
    kept = [pair for number, pair in enumerate(pairs) if number % HELD_OUT]
    left_out = pairs[::HELD_OUT]
    judged = measure(kept, columns)
    scores = judge(judged, left_out)
    print(table(judged, scores))
    if options.picture:
        draw(judged, left_out, options.picture)
    if options.output:
        noise = measure(pairs, columns)
        summary = {name: value for name, value in scores.items() if not isinstance(value, np.ndarray)}
        made = {"clips": len(pairs), "frames": sum(len(pair.true) for pair in pairs), "split": SPLIT, "scores": summary}
        save_fit_noise(replace(noise, made=made), options.output)
        print(f"{options.output}: {options.output.stat().st_size / 1000:.0f} kB")


def values_of(motion: FaceMotion, columns: FaceColumns) -> np.ndarray:
    """(T, E + 6) expressions and poses since the first frame."""
    head = relative_pose(motion.rotation, motion.translation, first_pose(motion))
    return np.concatenate([columns.of(motion), head], axis=1).astype(np.float32)


def measure(pairs: Sequence[Pair], columns: FaceColumns) -> FitNoise:
    """The model of these pairs."""
    count = len(columns.expression_names)
    twin = mirror_of(columns)[0].numpy()
    tied = ties(pairs, count)
    both = [wide(pair, count) for pair in (*pairs, *(mirrored(pair, twin) for pair in pairs))]
    gain = best_gain(both, count, twin, tied)
    read = [features(pair.true, count) @ gain for pair in both]
    left = [pair.fitted - one for pair, one in zip(both, read, strict=True)]
    offsets = np.array([one[:, :count].mean(axis=0) for one in left])
    gain[0, :count] += offsets.mean(axis=0)
    offsets = offsets[: len(pairs)] - offsets.mean(axis=0)
    left = [one - one.mean(axis=0) for one in left]
    spread = gain_spread(read, left)
    # Where a value is near rest, it is far apart there what hardly differs: it counts as much as it differs.
    counts = [weights(pair, count) for pair in both]
    stray = [(one - (one * w).sum(axis=0) / w.sum(axis=0)) * w for one, w in zip(left, counts, strict=True)]
    total = np.sqrt(np.mean([(w**2).mean(axis=0) for w in counts], axis=0))
    size = np.sqrt(np.mean([(one**2).mean(axis=0) for one in stray], axis=0)) / total + 1e-6
    much = [np.log(((one / size) ** 2).sum() / (w**2).sum()) / 2 for one, w in zip(stray, counts, strict=True)]
    moves = np.log([max(activity(pair.true, count), STILL) for pair in both])
    slope, usual = np.polyfit(moves, much, 1)
    # Of mean square 1, as the processes are not scaled: what strays most is what matters.
    usual -= np.log(np.mean(np.exp(2 * np.array(much)))) / 2
    scale = np.array([usual, slope, (much - np.polyval([slope, usual], moves)).std()])
    mix, power, own = processes([one / (size * total) for one in stray])
    model = FitNoise(
        columns.expression_names, tied, gain.astype(np.float32), offsets, twin, spread, mix * size, power,
        own * size[:, None] ** 2, scale, {},
    )  # fmt: skip
    return calibrated(model, pairs)


def ties(pairs: Sequence[Pair], count: int) -> np.ndarray:
    """(N,) the first column that always has the same values in fits."""
    fitted = np.concatenate([pair.fitted for pair in pairs])
    found = np.arange(count + HEAD)
    for column in range(count):
        same = np.abs(fitted[:, : column + 1] - fitted[:, column : column + 1]).max(axis=0) < 1e-6
        found[column] = np.flatnonzero(same)[0]
    return found


def wide(pair: Pair, count: int) -> Pair:
    """With the fitted expressions where the model adds."""
    return replace(pair, fitted=np.concatenate([to_wide(pair.fitted[:, :count]), pair.fitted[:, count:]], axis=1))


def weights(pair: Pair, count: int) -> np.ndarray:
    """(T, N) how much a change where the model adds, as the pair is, changes the value."""
    found = np.ones_like(pair.fitted)
    found[:, :count] = expit(pair.fitted[:, :count] / SOFT)
    return found


def mirrored(pair: Pair, twin: np.ndarray) -> Pair:
    """Left and right change places."""
    flip = lambda one: np.concatenate([one[:, twin], one[:, len(twin) :] * np.array(HEAD_MIRROR, np.float32)], axis=1)  # noqa: E731
    return Pair(pair.name, flip(pair.true), flip(pair.fitted))


def best_gain(pairs: Sequence[Pair], count: int, twin: np.ndarray, tied: np.ndarray) -> np.ndarray:
    """(F, E + 6), with the penalty that does best on clips left out. pairs: the second half mirrors the first."""
    inputs = [features(pair.true, count).astype(float) for pair in pairs]
    outputs = [pair.fitted.astype(float) for pair in pairs]
    squares = np.array([one.T @ one for one in inputs])
    products = np.array([one.T @ other for one, other in zip(inputs, outputs, strict=True)])
    weight = penalties(count, twin, tied[:count])
    fold = np.arange(len(pairs)) % (len(pairs) // 2) % FOLDS
    missed = np.zeros((len(PENALTIES), count + HEAD))
    for out in range(FOLDS):
        rest = fold != out
        for number, penalty in enumerate(PENALTIES):
            gain = ridge(squares[rest].sum(axis=0), products[rest].sum(axis=0), penalty * weight)
            for place in np.flatnonzero(~rest):
                missed[number] += ((outputs[place] - inputs[place] @ gain) ** 2).sum(axis=0)
    penalty = np.array(PENALTIES)[missed.argmin(axis=0)]
    return ridge(squares.sum(axis=0), products.sum(axis=0), penalty * weight)


def penalties(count: int, twin: np.ndarray, tied: np.ndarray) -> np.ndarray:
    """(F, E + 6) of each feature for each curve, in units of the penalty that is tried."""
    near = (tied[:, None] == tied).astype(float)
    near[np.arange(count), twin] = 1
    weight = np.zeros((1 + 2 * count + HEAD + 3, count + HEAD))
    moved, stays = slice(1, 1 + count), slice(1 + count, 1 + 2 * count)
    head = slice(1 + 2 * count, None)
    weight[moved, :count] = np.where(near, 0.03, 1)
    weight[stays, :count] = np.where(near, 0.3, 3)
    weight[moved, count:] = 3
    weight[stays, count:] = 1e6  # poses are relative: they have no mean
    weight[head, :count] = 2
    weight[head, count:] = 0.1
    weight[np.arange(HEAD) + 1 + 2 * count, np.arange(HEAD) + count] = 0.003
    typical = np.concatenate(
        [[1], np.full(2 * count, TYPICAL), np.full(3, TYPICAL_TURN), np.full(3, TYPICAL_WAY), np.full(3, TYPICAL_TURN)]
    )
    return weight * typical[:, None] ** 2


def ridge(square: np.ndarray, product: np.ndarray, penalty: np.ndarray) -> np.ndarray:
    """(F, N) for penalties (F, N)."""
    solved = [np.linalg.solve(square + np.diag(one), aim) for one, aim in zip(penalty.T, product.T, strict=True)]
    return np.stack(solved, axis=1)


def gain_spread(read: Sequence[np.ndarray], left: list[np.ndarray]) -> np.ndarray:
    """(2, N) how much the gain of what moves differs among clips: of all curves alike, and of each by itself. What
    that explains is taken out of `left`, which is without means."""
    moved = [one - one.mean(axis=0) for one in read]
    variance = np.array([one.var(axis=0) for one in moved])
    along = np.array([(one * two).mean(axis=0) for one, two in zip(left, moved, strict=True)])
    noisy = np.mean([one.var(axis=0) for one in left], axis=0) + 1e-12
    common = ((along / noisy).sum(axis=1) / ((variance / noisy).sum(axis=1) + 1)).std()
    slope = along / (variance + 1e-12)
    moves = variance > (least(variance.shape[1]) / 2) ** 2
    own = np.full(variance.shape[1], USUAL)
    for column in range(len(own)):
        here = slope[moves[:, column], column]
        if len(here) >= FEW:  # robustly: where little moves, chance gives large slopes
            own[column] = min(1.48 * np.median(np.abs(here)), 0.8)
    own = np.sqrt(np.maximum(own**2 - common**2, 0))
    for one, two, factors, where in zip(left, moved, slope, moves, strict=True):
        one -= two * np.where(where, factors.clip(-0.8, 2), 0).astype(one.dtype)
    return np.stack([np.full_like(own, common), own])


def least(width: int) -> np.ndarray:
    """(N,) spread over time of what moves."""
    return np.concatenate([np.full(width - HEAD, MOVES), np.full(3, MOVES_TURN), np.full(3, MOVES_WAY)])


def processes(even: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """stray_mix (K, N), stray_power (K, P), own_power (N, P) of what strays, each column of variance about 1."""
    covariance = np.mean([one.T @ one / len(one) for one in even], axis=0)
    _, vectors = np.linalg.eigh(covariance)
    mix = vectors[:, ::-1][:, :MIXED].T
    rest = [one - one @ mix.T @ mix for one in even]
    return mix, powers([one @ mix.T for one in even]), powers(rest)


def powers(signals: Sequence[np.ndarray]) -> np.ndarray:
    """(C, P) variances by pole of (T, C) signals, by their mean autocovariance."""
    lags = [lag for lag in range(LAGS) if lag < min(map(len, signals)) // 2]
    found = np.array(
        [np.mean([(one[: len(one) - lag] * one[lag:]).mean(axis=0) for one in signals], axis=0) for lag in lags]
    )
    # Of signals whose mean was taken out, which slow processes notice: by the same estimate of the same length.
    length = int(np.median([len(one) for one in signals]))
    circle = irfft(spectra(CIRCLE), axis=1)
    expected = np.stack([_expected(one[:length], lags) for one in circle], axis=1)
    return np.stack([nnls(expected, column)[0] for column in found.T])


def _expected(covariance: np.ndarray, lags: Sequence[int]) -> np.ndarray:
    """The mean autocovariance of a process less its mean over so many frames as its autocovariance is given for."""
    length = len(covariance)
    without = np.eye(length) - 1 / length
    square = without @ toeplitz(covariance) @ without
    return np.array([np.diagonal(square, lag).mean() for lag in lags])


def calibrated(model: FitNoise, pairs: Sequence[Pair]) -> FitNoise:
    """Means, spreads among clips and spreads within clips of simulated fits as of real ones."""
    count = len(model.expression_names)
    real = statistics([pair.fitted for pair in pairs])
    twin = np.concatenate([model.twin, np.arange(count, count + HEAD)])
    for number in range(ROUNDS):
        made = [fit for repeat in range(REPEATS) for fit in simulate(model, pairs, seed=100 * number + repeat)]
        now = statistics(made)
        steps = [real["mean"] - now["mean"], *(_ratio(real, now, name) for name in RATIOS)]
        shift, among, within, quick = ((value + value[twin]) / 2 for value in steps)
        gain = model.gain.copy()
        # A change where the model adds changes the mean by less, the nearer to rest.
        gain[0, :count] += (shift[:count] / (now["mean"][:count] + 0.02) * SOFT).clip(-SOFT, SOFT) / 2
        faster = np.where(POLES < QUICK, quick.mean() ** 2, 1)
        own_faster = np.where(POLES < QUICK, quick[:, None] ** 2, 1)
        model = replace(
            model,
            gain=gain,
            offsets=model.offsets * among[:count],
            stray_mix=model.stray_mix * within,
            stray_power=model.stray_power * faster,
            own_power=model.own_power * own_faster * within[:, None] ** 2,
        )
    return model


def _ratio(real: dict[str, np.ndarray], now: dict[str, np.ndarray], name: str) -> np.ndarray:
    return ((real[name] + 1e-4) / (now[name] + 1e-4)).clip(0.7, 1.4)


def statistics(fits: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """(N,) mean, spread of the means among clips, root mean square of the spread within clips, and `quickness`."""
    means = np.array([one.mean(axis=0) for one in fits])
    within = np.sqrt(np.mean([one.var(axis=0) for one in fits], axis=0))
    return {"mean": means.mean(axis=0), "among": means.std(axis=0), "within": within, "quick": quickness(fits)}


def simulate(model: FitNoise, pairs: Sequence[Pair], seed: int) -> Iterator[np.ndarray]:
    """(T, E + 6) simulated fits, of strength 1."""
    count = len(model.expression_names)
    for number, pair in enumerate(pairs):
        random = np.random.default_rng([seed, number])
        yield np.concatenate(
            model.apply(pair.true[:, :count], pair.true[:, count:], random, strength=1, people=0), axis=1
        )


def judge(model: FitNoise, pairs: Sequence[Pair]) -> dict[str, Any]:
    """Real and simulated fits of the same truths, side by side: (N,) arrays by curve, and numbers over them."""
    real = [pair.fitted for pair in pairs]
    made = [list(simulate(model, pairs, seed=7 + repeat)) for repeat in range(REPEATS)]
    flat = [fit for fits in made for fit in fits]
    truths = [pair.true for pair in pairs]
    found: dict[str, Any] = {}
    for name, fits, true in (("real", real, truths), ("made", flat, truths * REPEATS)):
        for key, value in statistics(fits).items():
            found[f"{name} {key}"] = value
        found[f"{name} correlation"] = correlations(true, fits)
        missed = [((a - b) ** 2).mean(axis=0) for a, b in zip(true, fits, strict=True)]
        found[f"{name} error"] = np.sqrt(np.mean(missed, axis=0))
    count = len(model.expression_names)
    for name in ("within", "among", "error", "quick"):
        ratio = np.log(found[f"made {name}"][:count] / found[f"real {name}"][:count])
        found[f"{name}, mean ratio"] = round(float(np.exp(ratio.mean())), 3)
        found[f"{name}, typical factor apart"] = round(float(np.exp(np.abs(ratio).mean())), 3)
    for name in ("real", "made"):
        found[f"correlation with truth, {name}"] = round(float(np.nanmean(found[f"{name} correlation"][:count])), 3)
    apart = np.abs(found["made mean"] - found["real mean"])[:count]
    found["mean, apart"] = round(float(apart.mean()), 4)
    both = np.stack([found["real correlation"], found["made correlation"]])[:, :count]
    both = both[:, np.isfinite(both).all(axis=0)]
    found["curves' correlations, correlated"] = round(float(np.corrcoef(both)[0, 1]), 3)
    for name, fits in (("made", flat), ("true", truths)):  # the truth in place of simulated fits
        found[f"distance of means, {name}"] = round(float(distances(real, fits)[:count].mean()), 3)
        found[f"distance of values, {name}"] = round(float(distances(real, fits, whole=True)[:count].mean()), 3)
    found["held out"] = len(pairs)
    return found


def correlations(true: Sequence[np.ndarray], fits: Sequence[np.ndarray]) -> np.ndarray:
    """(N,) mean correlation over time with the truth, in clips where the truth moves; nan where it does in none."""
    rows = np.full((len(true), true[0].shape[1]), np.nan)
    for row, (a, b) in enumerate(zip(true, fits, strict=True)):
        spread = a.std(axis=0) * b.std(axis=0)
        moves = (a.std(axis=0) > least(a.shape[1])) & (spread > 0)
        product = ((a - a.mean(axis=0)) * (b - b.mean(axis=0))).mean(axis=0)
        rows[row, moves] = product[moves] / spread[moves]
    counts = np.isfinite(rows).sum(axis=0)
    return np.where(counts > 0, np.nansum(rows, axis=0) / np.maximum(counts, 1), np.nan)


def distances(real: Sequence[np.ndarray], made: Sequence[np.ndarray], whole: bool = False) -> np.ndarray:
    """(N,) Kolmogorov-Smirnov distance of the means over the clips, or of all values."""
    two = [np.concatenate(some) if whole else np.array([one.mean(axis=0) for one in some]) for some in (real, made)]
    return np.array([ks_2samp(a, b, method="asymp").statistic for a, b in zip(two[0].T, two[1].T, strict=True)])


def quickness(fits: Sequence[np.ndarray]) -> np.ndarray:
    """(N,) standard deviation of the change from frame to frame, in units of that over time."""
    change = np.mean([np.diff(one, axis=0).var(axis=0) for one in fits], axis=0)
    return np.sqrt(change / (np.mean([one.var(axis=0) for one in fits], axis=0) + 1e-12))


def table(model: FitNoise, scores: dict[str, Any]) -> str:
    """Curves as rows of Markdown: real / simulated; then the numbers."""
    names = [*model.expression_names, *(f"{what} {axis}" for what in ("turn", "way") for axis in "xyz")]
    keys = ("mean", "among", "within", "correlation", "quick", "error")
    lines = ["| curve | " + " | ".join(keys) + " |", "|" + "---|" * (len(keys) + 1)]
    for number, name in enumerate(names):
        cells = [f"{scores[f'real {key}'][number]:.3f} / {scores[f'made {key}'][number]:.3f}" for key in keys]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    numbers = {name: value for name, value in scores.items() if not isinstance(value, np.ndarray)}
    return "\n".join([*lines, "", json.dumps(numbers, indent=1)])


def draw(model: FitNoise, pairs: Sequence[Pair], path: Path) -> None:
    """Curves of four pairs: true, fitted, and two simulated fits."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = [*model.expression_names, *(f"{what} {axis}" for what in ("turn", "way") for axis in "xyz")]
    chosen = sorted(pairs, key=lambda pair: -activity(pair.true, len(model.expression_names)))[:12:3]
    figure, axes = pyplot.subplots(len(SHOWN), len(chosen), figsize=(4 * len(chosen), 1.7 * len(SHOWN)), squeeze=False)
    for column, pair in enumerate(chosen):
        made = [next(simulate(model, [pair], seed)) for seed in (1, 2)]
        for row, name in enumerate(SHOWN):
            axis, place = axes[row][column], names.index(name)
            for fit in made:
                axis.plot(fit[:, place], color="tab:orange", linewidth=1)
            axis.plot(pair.fitted[:, place], color="tab:blue", linewidth=1.5)
            axis.plot(pair.true[:, place], color="black", linewidth=1)
            axis.set_title(name, fontsize=8)
            axis.tick_params(labelsize=6)
    figure.suptitle("black: true, blue: fitted, orange: two simulated fits")
    figure.tight_layout()
    figure.savefig(path, dpi=70)


if __name__ == "__main__":
    main()
