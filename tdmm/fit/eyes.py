"""How far the lids are open, measured on both lids and compared with how the same eyes look open and shut.

A detector draws a shut eye slightly open, and every person's eyes open to another height; so the gap is told between
two levels of the clip itself, as 1 (the resting face's gap) to 0 (shut).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from tdmm.face.scheme import Scheme, eye_opening
from tdmm.fit.controls import Controls
from tdmm.fit.landmark_model import LandmarkModel
from tdmm.fit.projection import Pose, project

BLINKS = ("eyeBlinkRight", "eyeBlinkLeft")
# Height over width of a shut eye as the detector draws it (measured: 0.07 to 0.08 in blinks of two people), for clips
# in which nobody blinks, and what part of the open height no shut eye exceeds.
SHUT, SHUT_PART = 0.075, 0.45
# How far the detector sees an eye shut, between open and shut, at how much of a blink: measured on renders of three
# people. Lids are slow to leave each other's corners, then fast, and have met before the blink is over.
SEEN_SHUT = (0.0, 0.10, 0.14, 0.21, 0.29, 0.52, 0.80, 0.90, 1.0)
BLINKED = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.75, 1.0)
# Which part of the frames shows open eyes in any clip.
OPEN_QUANTILE, SHUT_QUANTILE = 0.8, 0.01
# A prediction tells an open eye above this gap, and a shut one above that blink.
TELLS_OPEN, TELLS_SHUT = 0.6, 0.85
# Nothing but a blink closes an eye further than this (parts of the way): squinting and looking down together do not.
ONLY_BLINKS, SURELY_BLINKS = 0.5, 0.8


@dataclass(frozen=True)
class Lids:
    """gap: (N, 2) of the right and the left eye, 1 open, 0 shut, NaN where unknown. rows: (2, C) by how much each
    control changes it: a full blink by -1. open_level, shut_level: (2,) heights over widths."""

    gap: np.ndarray
    rows: np.ndarray
    open_level: np.ndarray
    shut_level: np.ndarray


def measure_lids(
    xy: torch.Tensor,
    pose: Pose,
    log_focal: torch.Tensor,
    model: LandmarkModel,
    shape: torch.Tensor,
    scheme: Scheme,
    predicted: np.ndarray | None = None,
) -> Lids | None:
    """The gaps of N frames; None if the model has no place for the landmarks of the lids.

    xy: (N, L, 2) picture units of the model's landmarks. pose: roughly known; it tells how a turned head foreshortens
    an eye. shape: identity. predicted: (N, C) controls, if something predicted them.
    """
    rest = model.points(shape, torch.zeros(1, len(model.controls)))
    needed = sorted({n for eye in scheme.eyes for n in (eye.outer, eye.inner, *np.ravel(eye.lids).tolist())})
    if not np.isin(needed, model.index).all():
        return None

    def opening(points: np.ndarray) -> np.ndarray:
        full = np.full((len(points), scheme.n_points, points.shape[-1]), np.nan)
        full[:, model.index] = points
        return eye_opening(full, scheme)

    seen_from_here = opening(project(rest.expand(len(xy), -1, -1), pose, log_focal).numpy())
    straight = opening(rest[..., :2].numpy())
    measured = opening(xy.numpy()) * straight / np.maximum(seen_from_here, 0.3 * straight)
    rows = gap_rows(model, rest[0].numpy(), scheme)
    if predicted is None:
        levels = np.array([_levels(measured[:, eye], None, None) for eye in range(2)])
    else:
        told, blinks = 1 + predicted @ rows.T, _columns(predicted, model.controls)
        levels = np.array([_levels(measured[:, eye], told[:, eye], blinks[:, eye]) for eye in range(2)])
    open_level, shut_level = levels.T
    return Lids(blink_scale((measured - shut_level) / (open_level - shut_level)), rows, open_level, shut_level)


def blink_scale(gap: np.ndarray) -> np.ndarray:
    """A gap as seen, 1 open and 0 shut, in units in which a blink closes it evenly; wider than open stays as it is."""
    return np.where(gap > 1, np.minimum(gap, 1.6), 1 - np.interp(1 - gap, SEEN_SHUT, BLINKED))


def gap_rows(model: LandmarkModel, rest: np.ndarray, scheme: Scheme) -> np.ndarray:
    """(2, C) change of the gap between the lids by each control, in parts of the resting gap.

    Scaled so that a full blink shuts the eye, if the model has blinks: what is left of the gap at its landmarks then is
    the landmarks' doing. rest: (L, 3).
    """
    place = {int(number): at for at, number in enumerate(model.index)}
    basis = model.control_basis.numpy()
    rows = np.zeros((2, len(model.controls)))
    for side, eye in enumerate(scheme.eyes):
        upper, lower = ([place[pair[i]] for pair in eye.lids] for i in (0, 1))
        across = rest[upper] - rest[lower]
        height = np.linalg.norm(across, axis=1)
        change = ((basis[:, upper] - basis[:, lower]) * (across / height[:, None])).sum(2)
        rows[side] = change.sum(1) / height.sum()
        if BLINKS[side] in model.controls.names:
            rows[side] /= max(-rows[side, model.controls.names.index(BLINKS[side])], 0.1)
    return rows


def surely_blinking(gap: np.ndarray) -> np.ndarray:
    """(N,) 0..1: how surely an eye of that gap (N,), frame after frame, is shut by a blink.

    The median of each frame and its neighbours: lids that seem to meet for one frame are noise.
    """
    sure = np.clip((1 - gap - ONLY_BLINKS) / (SURELY_BLINKS - ONLY_BLINKS), 0, 1)
    around = np.pad(sure, 1, mode="edge")
    return np.median([around[:-2], sure, around[2:]], axis=0)


def _columns(predicted: np.ndarray, controls: Controls) -> np.ndarray:
    return np.stack(
        [
            predicted[:, controls.names.index(name)] if name in controls.names else np.zeros(len(predicted))
            for name in BLINKS
        ],
        axis=1,
    )


def _levels(measured: np.ndarray, told: np.ndarray | None, blink: np.ndarray | None) -> tuple[float, float]:
    """Heights over widths of one eye, open and shut, from (N,) measured and predicted gap and blink."""
    open_level = float(np.quantile(measured, OPEN_QUANTILE))
    least = max(3, len(measured) // 20)
    if told is not None and (told > TELLS_OPEN).sum() >= least:
        # The resting gap that explains the open frames as they were read, squinted or wide as they are.
        at = told > TELLS_OPEN
        open_level = float(np.median(measured[at] / told[at]))
    low = float(np.quantile(measured, SHUT_QUANTILE))
    shut_level = low if low < SHUT_PART * open_level else min(SHUT, SHUT_PART * open_level)
    if blink is not None and (blink > TELLS_SHUT).sum() >= 2:
        shut_level = min(float(np.median(measured[blink > TELLS_SHUT])), SHUT_PART * open_level)
    return max(open_level, 1e-3), shut_level
