"""The fitter on real clips: re-detection, reprojection, blinks, a gap, a covered mouth, and speed.

The clips are not part of the project: they lie in ../shared/clips or in the folder that TDMM_CLIPS names.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from benchmarks.systems import LEARNT, systems
from benchmarks.table import Row
from tdmm.face import load_face_model
from tdmm.face.scheme import eye_opening
from tdmm.fit import FitOptions, fit_video
from tdmm.fit.detect import Detector, open_detector
from tdmm.fit.measure import project_landmarks
from tdmm.fit.observe import Observations, observe
from tdmm.fit.redetect import redetect
from tdmm.motion import FaceMotion

CLIPS = Path(os.environ.get("TDMM_CLIPS") or Path(__file__).resolve().parents[2] / "shared" / "clips")
BLINK, MOUTH, GAP = "generated_blink.mp4", "real_open_mouth.mp4", "real_gap.mp4"
REPEATS = 3
# Frames of real_gap.mp4: the face is gone in GONE; nose and mouth are behind a cover in COVERED.
GONE, COVERED = slice(90, 120), slice(33, 57)
# An eye is shut if it is open by less than this part of the way from its narrowest to its usual opening.
SHUT = 0.15


def run() -> list[Row]:
    missing = [name for name in (BLINK, MOUTH, GAP) if not (CLIPS / name).exists()]
    if missing:
        return [Row("fit of real clips", None, "", note=f"no {', '.join(missing)} in {CLIPS}")]
    detector = open_detector()
    seen = {name: observe(CLIPS / name, detector) for name in (BLINK, MOUTH, GAP)}
    rows = []
    for system, options in systems().items():
        if isinstance(options, str):
            rows.append(Row(f"{system}, real clips", None, "", note=options))
            continue
        rows += rows_of(system, options, seen, detector, bounded=system == LEARNT)
    return rows


def rows_of(
    system: str, options: FitOptions, seen: dict[str, Observations], detector: Detector, bounded: bool
) -> list[Row]:
    """The rows of one system; `seen`: what the detector sees in each clip."""

    def row(
        what: str, value: float | None, unit: str, must: float, aim: float | None, higher: bool, note: str = ""
    ) -> Row:
        bounds = (must, aim) if bounded else (None, None)
        return Row(f"{system}: {what}", value, unit, *bounds, higher_is_better=higher, note=note)

    fitted = {name: fit_video(CLIPS / name, options=options, detector=detector) for name in seen}
    rows = []
    again = {name: redetect(fitted[name], seen[name], load_face_model(), detector) for name in (BLINK, MOUTH)}
    each = "; ".join(f"{name} {answer.mean:.3f} of {sum(answer.moves.values())}" for name, answer in again.items())
    both = float(np.mean([answer.mean for answer in again.values()]))
    rows.append(row("re-detection, mean over signals that move", both, "", 0.85, 0.95, True, each))
    for name in (BLINK, MOUTH):
        value = fitted[name].meta["fit"]["reprojection_percent"]
        rows.append(row(f"reprojection, {name}", value, "%", 1.2, 0.8, False, "478 landmarks, % of outer-eye distance"))

    opening, blink = eye_opening(seen[BLINK].points).mean(1), blinks(fitted[BLINK])
    against = float(np.corrcoef(opening, blink)[0, 1])
    rows.append(row("blinks, correlation with the eye aspect ratio", against, "", -0.88, -0.95, False, BLINK))
    shut = opening < opening.min() + SHUT * (np.median(opening) - opening.min())
    wide = blink[opening > np.median(opening)].mean()
    note = f"mean of {shut.sum()} frames, lowest {blink[shut].min():.2f}; {wide:.2f} when open"
    rows.append(row("blinks, value when shut", float(blink[shut].mean()), "", 0.8, 0.9, True, note))

    gap = fitted[GAP]
    note = f"{(~gap.valid).sum() - (~gap.valid[GONE]).sum()} other frames invalid"
    rows.append(
        row("frames 90-119 of real_gap.mp4 valid", float(gap.valid[GONE].sum()), "frames", 0, None, False, note)
    )
    rows.append(row("step at the edges of the gap", edge_step(gap), "of the largest", 1.0, None, False))
    rows.append(
        row("confidence of the mouth while covered", mouth_confidence(gap), "of the rest", 0.5, None, False, GAP)
    )
    speed = max(
        float(fit_video(CLIPS / BLINK, options=options, detector=detector).meta["fit"]["fps"]) for _ in range(REPEATS)
    )
    note = f"best of {REPEATS}, detector and model loaded"
    rows.append(row("decode + detect + fit, 1280 x 704", speed, "fps", 40, 80, True, note))
    return rows


def blinks(motion: FaceMotion) -> np.ndarray:
    """(T,) mean of both lids."""
    return (motion.expression_column("eyeBlinkLeft") + motion.expression_column("eyeBlinkRight")) / 2


def edge_step(motion: FaceMotion) -> float:
    """The largest step from frame to frame at the edges of the gap, in largest steps where the face is seen.

    A step is the mean distance that the projected landmarks go.
    """
    places = project_landmarks(motion, load_face_model())
    step = np.nanmean(np.linalg.norm(np.diff(places, axis=0), axis=-1), axis=1)
    edges = [GONE.start - 1, GONE.start, GONE.stop - 2, GONE.stop - 1, GONE.stop]
    elsewhere = motion.valid[1:] & motion.valid[:-1]
    elsewhere[edges] = False
    return float(step[edges].max() / step[elsewhere].max())


def mouth_confidence(motion: FaceMotion) -> float | None:
    """Mean confidence of the mouth's expressions while covered, over that in the frames well away from it."""
    confidence = motion.expression_confidence
    if confidence is None:
        return None
    mouth = [number for number, name in enumerate(motion.expression_names) if name.startswith(("mouth", "jaw"))]
    away = motion.valid.copy()
    away[COVERED.start - 10 : COVERED.stop + 10] = False
    return float(confidence[COVERED][:, mouth].mean() / confidence[away][:, mouth].mean())


if __name__ == "__main__":
    for row in run():
        print(row)
