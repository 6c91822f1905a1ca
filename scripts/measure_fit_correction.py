"""Measure what undoes a fit: tdmm/assets/fit_correction.safetensors, which `tdmm.lm.fit_correction` reads.

    tdmm generate-corpus -o pairs --clips 3000 --seed 5000
    tdmm fit pairs/videos -o pairs/fits
    python scripts/measure_fit_correction.py --pairs pairs pairs/fits --corrected corrected \\
        --output fit_correction.safetensors

The clips of the split train are pairs of a true motion and its fit; every pair also counts mirrored. Ridge regression
of the truth on `clip_features` and `frame_features` of the fit and on radial basis functions of them, whose centres are
some of the clips and frames and whose width is the median squared distance.

Pairs are dealt into folds. What is measured on the other folds corrects those left out: these are scored, and written
to --corrected, for `scripts/measure_fit_noise.py` to measure how corrected fits stray, and for `tdmm train lm --fits`.
What is written was measured on all.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from fit_pairs import SPLIT, add_pairs, check_enough, pairs_in
from scipy.spatial.distance import cdist

from tdmm.face import load_face_model
from tdmm.io.motion_file import write_motion
from tdmm.lm.fit_correction import (
    FPS,
    FitCorrection,
    clip_features,
    frame_features,
    save_fit_correction,
    seen_in,
    with_bases,
)
from tdmm.motion import FaceMotion
from tdmm.vq.augment import HEAD_MIRROR, mirror_of
from tdmm.vq.columns import FaceColumns, columns_for

FOLDS = 4
CLIP_CENTRES, FRAME_CENTRES = 1000, 400
CLIP_PENALTY, FRAME_PENALTY = 0.3, 3.0  # chosen by pairs left out
MIRROR = np.array(HEAD_MIRROR, np.float32)
SOME = 2000  # places from which the width is known well enough


@dataclass(frozen=True)
class Pair:
    """true: (T, E) expressions; seen: (T, E + 6), see `seen_in`; rotation: (T, 3); fit: the motion, at `FPS`."""

    name: str
    true: np.ndarray
    seen: np.ndarray
    rotation: np.ndarray
    fit: FaceMotion


def main() -> None:
    """Read the pairs, score by folds, measure all, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_pairs(parser)
    parser.add_argument("--output", type=Path, help="where the correction goes (default: it is only scored)")
    parser.add_argument("--corrected", type=Path, help="folder for the fits of each fold, corrected by the others")
    parser.add_argument("--seed", type=int, default=0, help="of the centres")
    options = parser.parse_args()
    model = load_face_model()
    columns = columns_for(model)
    pairs = [
        Pair(name, columns.of(true).astype(np.float32), seen_in(fit), fit.rotation, fit)
        for corpus, fits in options.pairs
        for name, true, fit in pairs_in(corpus, fits, FPS)
    ]
    check_enough(len(pairs), 2 * FOLDS)
    print(f"{len(pairs)} pairs, {sum(len(pair.true) for pair in pairs)} frames", flush=True)
    if options.corrected:
        options.corrected.mkdir(parents=True, exist_ok=True)
    before, after = [], []
    for fold in range(FOLDS):
        rest = [pair for number, pair in enumerate(pairs) if number % FOLDS != fold]
        correction = measure(rest, columns, model.sha256, options.seed)
        for pair in pairs[fold::FOLDS]:
            corrected = correction.apply(pair.fit)
            before.append(errors(pair.fit.expression, pair.true))
            after.append(errors(corrected.expression, pair.true))
            if options.corrected:
                write_motion(marked(corrected), options.corrected / f"{pair.name}.npz")
    scores = table(before, after, columns)
    if options.output:
        made: dict[str, Any] = {"clips": len(pairs), "frames": sum(len(pair.true) for pair in pairs), "split": SPLIT}
        made |= {"seed": options.seed, "scores": scores}
        found = measure(pairs, columns, model.sha256, options.seed)
        save_fit_correction(replace(found, made=made), options.output)
        print(f"{options.output}: {options.output.stat().st_size / 1000:.0f} kB")


def measure(pairs: Sequence[Pair], columns: FaceColumns, face_model_sha256: str, seed: int) -> FitCorrection:
    """The correction that these pairs show."""
    random = np.random.default_rng(seed)
    twin = mirror_of(columns)[0].numpy()
    both = [values for pair in pairs for values in sides(pair, twin)]
    whole = np.array([clip_features(seen, rotation) for _, seen, rotation in both])
    means = np.array([true.mean(axis=0) for true, _, _ in both])
    clip_centres = whole[random.permutation(len(whole))[:CLIP_CENTRES], 1:]
    clip_width = width(whole[:, 1:], clip_centres)
    given = with_bases(whole, whole[:, 1:], clip_centres, clip_width)
    clip_weights = ridge(given.T @ given, given.T @ means, CLIP_PENALTY)
    frames = np.concatenate([pair.seen for pair in pairs[:: max(1, len(pairs) // 400)]])
    frame_centres = frames[random.permutation(len(frames))[:FRAME_CENTRES]]
    frame_width = width(frames, frame_centres)
    square, product = 0.0, 0.0
    for true, seen, rotation in both:
        given = with_bases(frame_features(seen, rotation), seen, frame_centres, frame_width)
        given = given - given.mean(axis=0)
        square = square + given.T @ given
        product = product + given.T @ (true - true.mean(axis=0))
    return FitCorrection(
        columns.expression_names,
        face_model_sha256,
        clip_centres.astype(np.float32),
        clip_weights.astype(np.float32),
        frame_centres,
        ridge(square, product, FRAME_PENALTY).astype(np.float32),
        np.array([clip_width, frame_width], np.float32),
        {},
    )


def sides(pair: Pair, twin: np.ndarray) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """True, seen and rotation of a pair, and of its mirror image."""
    count = len(twin)
    flipped = np.concatenate([pair.seen[:, twin], pair.seen[:, count:] * MIRROR], axis=1)
    return [
        (pair.true, pair.seen, pair.rotation),
        (pair.true[:, twin], flipped, pair.rotation * MIRROR[:3]),
    ]


def width(places: np.ndarray, centres: np.ndarray) -> float:
    """The median squared distance of places from centres."""
    some = places[:: max(1, len(places) // SOME)]
    return float(np.median(cdist(some, centres, "sqeuclidean")))


def ridge(square: Any, product: Any, penalty: float) -> np.ndarray:
    """(F, E) weights that minimise the squared error and so much of the squared weights."""
    return np.asarray(np.linalg.solve(square + penalty * np.eye(len(square)), product))


def marked(corrected: FaceMotion) -> FaceMotion:
    """Told apart from a fit, so that nothing corrects it once more."""
    meta = {name: value for name, value in corrected.meta.items() if name != "fit"}
    return replace(corrected, meta={**meta, "corrected fit": corrected.meta.get("fit")})


def errors(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    """(2, E) squared errors: of the mean of a clip, and of what it is beside that."""
    missed = found - true
    return np.stack([missed.mean(axis=0) ** 2, missed.var(axis=0)])


def table(before: Sequence[np.ndarray], after: Sequence[np.ndarray], columns: FaceColumns) -> dict[str, float]:
    """Prints errors as rows of Markdown; mean squared errors."""
    fit, corrected = np.mean(before, axis=0), np.mean(after, axis=0)
    print("| curve | error of a fit | corrected |\n|---|---|---|")
    for number, name in enumerate(columns.expression_names):
        old, new = (np.sqrt(values.sum(axis=0)[number]) for values in (fit, corrected))
        print(f"| {name} | {old:.3f} | {new:.3f} |")
    scores = {}
    for name, values in (("fit", fit), ("corrected", corrected)):
        for part, row in zip(("of means", "within a clip"), values, strict=True):
            scores[f"{name}, {part}"] = round(float(row.mean()), 5)
    print(scores)
    return scores


if __name__ == "__main__":
    main()
