"""Render -> detect -> fit: how well expressions are read from pictures of people that no training has seen.

Two sets of pictures, both kinds of motion, twelve people each (`benchmarks.unseen_clips`), through `fit_video` as
`tdmm fit` calls it, with nothing told: no focal length, no identity. Every number is one of
`tdmm.fit.recovery.compare_expressions`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.systems import LEARNT, PLAIN, systems
from benchmarks.table import Row
from benchmarks.unseen_clips import KINDS, SETS, Clip, clips
from tdmm.errors import NoFaceError
from tdmm.evaluate.fit_scores import mean_known as mean
from tdmm.face import load_face_model
from tdmm.fit import FitOptions, fit_video
from tdmm.fit.detect import Detector, open_detector
from tdmm.fit.recovery import ExpressionRecovery, compare_expressions
from tdmm.motion import FaceMotion

# Bounds: vertex error in mm, median correlation, of each kind of motion.
BOUNDS = {"mixtures": ((2.0, 1.3), (0.65, 0.85)), "natural": ((1.6, 1.0), (0.75, 0.90))}
CURVE_BOUNDS = {"blink": (0.95, 0.98), "jawOpen": (0.93, 0.97), "smile": (0.85, 0.93)}
ROTATION_BOUNDS = (1.0, 0.5)


@dataclass(frozen=True)
class Result:
    """What a system made of one clip. seen: the part of the frames that show a face."""

    name: str
    recovery: ExpressionRecovery
    seen: float


def run() -> list[Row]:
    rows = []
    for which in SETS:
        for system, options in systems().items():
            if isinstance(options, str):
                rows.append(Row(f"{which}, {system}", None, "", note=options))
                continue
            results = {kind: measure(clips(which, kind), options) for kind in KINDS}
            rows += rows_of(results, f"{which}, {system}", bounded=system == LEARNT)
            if system == PLAIN:
                rows += [
                    Row(
                        f"{which}, a face that never moves: {kind}, vertices that move > 2 mm",
                        mean(result.recovery.neutral_mm for result in results[kind]),
                        "mm",
                        higher_is_better=False,
                    )
                    for kind in KINDS
                ]
    return rows


def measure(these: Iterable[Clip], options: FitOptions, detector: Detector | None = None) -> list[Result]:
    """Fit each clip and compare. One in which no face is found counts as a face that never moves."""
    head, detector = load_face_model(), detector or open_detector()
    results = []
    for clip in these:
        fitted = fit(clip, options, detector)
        recovery = compare_expressions(clip.truth, fitted, head)
        results.append(Result(clip.path.stem, recovery, float(fitted.valid.mean()) if fitted.confidence.any() else 0.0))
    return results


def fit(clip: Clip, options: FitOptions, detector: Detector) -> FaceMotion:
    """The fitted motion of a clip, a resting face if none is found."""
    try:
        return fit_video(clip.path, options=options, detector=detector)
    except NoFaceError:
        truth = clip.truth
        still = {name: np.zeros_like(getattr(truth, name)) for name in ("expression", "rotation", "confidence")}
        return replace(truth, **still)


def rows_of(results: dict[str, list[Result]], system: str, bounded: bool) -> list[Row]:
    """The rows of one system on one set."""

    def row(what: str, value: float, unit: str, bounds: tuple[float, float] | None, note: str, higher: bool) -> Row:
        must, aim = bounds if bounded and bounds else (None, None)
        return Row(f"{system}: {what}", value, unit, must, aim, higher_is_better=higher, note=note)

    rows = []
    for kind, found in results.items():
        errors = [result.recovery.vertex_mm for result in found]
        medians = [result.recovery.median for result in found]
        lost = 100 * (1 - mean(result.seen for result in found))
        note = f"{len(found)} people, {spread(errors)}; no face in {lost:.1f} % of the frames"
        rows.append(row(f"{kind}, vertices that move > 2 mm", mean(errors), "mm", BOUNDS[kind][0], note, False))
        rows.append(row(f"{kind}, median correlation", mean(medians), "", BOUNDS[kind][1], spread(medians), True))
    both = [result.recovery for found in results.values() for result in found]
    for name in ("blink", "jawOpen", "smile", "gaze aside", "gaze up"):
        values = [each.curves[name] for each in both if name in each.curves]
        note = f"the {len(values)} of {len(both)} people who do it, {spread(values)}"
        rows.append(row(f"{name}, correlation", mean(values), "", CURVE_BOUNDS.get(name), note, True))
    turns = [each.rotation_degrees for each in both]
    rows.append(row("rotation after a constant offset", mean(turns), "degrees", ROTATION_BOUNDS, spread(turns), False))
    return rows


def spread(values: list[float]) -> str:
    """Least and most, for a note."""
    known = [value for value in values if not np.isnan(value)]
    return f"{min(known):.2f} to {max(known):.2f}" if known else "none"


def print_clips() -> None:
    """Every clip of every system in a line: which people are hard."""
    for which in SETS:
        for kind in KINDS:
            for system, options in systems().items():
                if isinstance(options, str):
                    continue
                for result in measure(clips(which, kind), options):
                    found = result.recovery
                    print(
                        f"{system:20} {result.name:28} {found.vertex_mm:5.2f} mm (at rest {found.neutral_mm:5.2f}) "
                        f"median {found.median:5.2f} turn {found.rotation_degrees:5.2f} seen {result.seen:4.2f}"
                    )


if __name__ == "__main__":
    print_clips()
