"""Pairs of a true motion and its fit, from which scripts measure what fits are like."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from tdmm.io.manifest import find_manifest, read_manifest
from tdmm.io.motion_file import read_motion
from tdmm.motion import FaceMotion

SPLIT = "train"


def add_pairs(parser: argparse.ArgumentParser) -> None:
    """The option that `pairs_in` takes."""
    parser.add_argument(
        "--pairs",
        nargs=2,
        action="append",
        type=Path,
        required=True,
        metavar=("CORPUS", "FITS"),
        help="corpus with true motions, and folder of their fits, ID.npz",
    )


def pairs_in(corpus: Path, fits: Path, fps: float) -> Iterator[tuple[str, FaceMotion, FaceMotion]]:
    """Id, true motion and fit of the clips of `SPLIT` that have a fit as long as they are, at a rate."""
    manifest = find_manifest(corpus)
    if manifest is None:
        raise SystemExit(f"{corpus}: is no corpus")
    for clip in read_manifest(manifest):
        path = fits / f"{clip.id}.npz"
        if clip.line.get("split") == SPLIT and clip.motion is not None and path.exists():
            true, fit = read_motion(manifest.parent / clip.motion).resample(fps), read_motion(path).resample(fps)
            if len(true) == len(fit):
                yield clip.id, true, fit


def check_enough(pairs: int, least: int) -> None:
    """Exits where there are fewer."""
    if pairs < least:
        raise SystemExit(f"{pairs} fits of clips of the split {SPLIT}: too few to learn from")
