"""Cut a motion where the face was away for long: what is bridged over a long gap is no motion."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tdmm.errors import TdmmError
from tdmm.motion import FaceMotion


def split_at_gaps(motion: FaceMotion, seconds: float) -> list[FaceMotion]:
    """The parts of a motion between gaps (frames that are not valid) of more than `seconds`, in order.

    Shorter gaps stay, bridged. Each part begins and ends with a valid frame, except that a short gap at the motion's
    own ends stays too. Timestamps are kept. meta["fit"]["part"] tells which of how many it is; frames and valid are
    the part's own. A motion without a long gap comes back alone. Raises `TdmmError` where `seconds` is not positive, or
    no frame is valid.
    """
    if not (np.isfinite(seconds) and seconds > 0):
        raise TdmmError(f"split: expected a positive number of seconds, found {seconds:g}")
    if not motion.valid.any():
        raise TdmmError("split: no frame of this motion is valid")
    # A frame is as long as to the next one's beginning; the last one as the rate says.
    ends = np.append(motion.timestamps[1:], motion.timestamps[-1] + 1 / motion.fps)
    edges = np.flatnonzero(np.diff(np.concatenate([[True], motion.valid, [True]]).astype(int)))
    gaps = [
        (start, stop)
        for start, stop in zip(edges[::2], edges[1::2], strict=True)
        if ends[stop - 1] - motion.timestamps[start] > seconds
    ]
    borders = [0, *(edge for gap in gaps for edge in gap), len(motion)]
    spans = [(int(a), int(b)) for a, b in zip(borders[::2], borders[1::2], strict=True) if b > a]
    return [_part(motion[a:b], number, len(spans)) for number, (a, b) in enumerate(spans, start=1)]


def _part(motion: FaceMotion, number: int, of: int) -> FaceMotion:
    report = {
        **motion.meta.get("fit", {}),
        "frames": len(motion),
        "valid": int(motion.valid.sum()),
        "part": {"number": number, "of": of, "from_second": round(float(motion.timestamps[0]), 3)},
    }
    return replace(motion, meta={**motion.meta, "fit": report})
