"""How well a frame, and each expression in it, was seen."""

from __future__ import annotations

import numpy as np

from tdmm.face.scheme import Scheme
from tdmm.fit.controls import Controls
from tdmm.fit.landmark_model import LandmarkModel
from tdmm.fit.regions import control_regions, landmark_regions

# The usual spread of a blendshape in parts of its range: not to know better is no confidence.
USUAL_SPREAD = 0.25
# A face turned by this angle (radians) shows one half only.
SIDE = np.radians(75)


def expression_confidence(
    controls: Controls,
    variance: np.ndarray,
    inlier: np.ndarray,
    visible: np.ndarray | None,
    model: LandmarkModel,
    scheme: Scheme,
) -> np.ndarray:
    """(N, E) in 0..1: what is left of a control's usual variance is taken off 1, times how well its regions were seen.

    variance: (N, C) of the controls after the fit. inlier: (N, L) weight that the loss left to each landmark.
    visible: (N, 4) part of each region that can be seen, None: all of it. An expression that several controls drive has
    their mean confidence; one that none drives, 0.
    """
    ranges = np.where(controls.one_sided, controls.upper - controls.lower, controls.sigma / USUAL_SPREAD)
    usual = np.maximum(USUAL_SPREAD * ranges, 1e-6)
    known = np.clip(1 - variance / usual**2, 0, 1) * (ranges > 0)
    parts = control_regions(scheme, model)
    region = landmark_regions(scheme, model)
    fit = np.stack(
        [
            inlier[:, region == n].mean(1) if (region == n).any() else np.ones(len(inlier))
            for n in range(parts.shape[1])
        ],
        axis=1,
    )
    seen = fit if visible is None else fit * visible
    known = known * (seen @ parts.T)
    drives = (controls.to_expression != 0).astype(np.float64)
    return np.clip(known @ drives / np.maximum(drives.sum(0), 1), 0, 1).astype(np.float32)


def frame_confidence(
    score: np.ndarray, inlier: np.ndarray, rotation: np.ndarray, known: np.ndarray | None
) -> np.ndarray:
    """(N,) in 0..1: the detector's score, times the part of the landmarks that fits, less for a face turned aside.

    inlier: (N, L). rotation: (N, 3, 3). known: (N, E) confidence of the expressions, whose mean counts by half.
    """
    frontal = np.arccos(np.clip(rotation[:, 2, 2], -1, 1))
    turned = np.clip(np.cos(np.minimum(frontal / SIDE, 1) * np.pi / 2), 0, 1) ** 0.5
    confidence = score * inlier.mean(1) * turned
    if known is not None:
        confidence = confidence * (0.5 + 0.5 * known.mean(1))
    return np.clip(confidence, 0, 1)
