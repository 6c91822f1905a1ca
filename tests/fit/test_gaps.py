"""Cutting a motion at long gaps."""

from __future__ import annotations

import numpy as np
import pytest

from tdmm.errors import TdmmError
from tdmm.fit.gaps import split_at_gaps
from tdmm.motion import FaceMotion, concatenate, make_motion


def motion(valid: str, fps: float = 10.0) -> FaceMotion:
    """One character a frame, x where the face was seen."""
    seen = np.array([character == "x" for character in valid])
    return make_motion(
        np.linspace(0, 1, len(seen))[:, None].astype(np.float32),
        ["jawOpen"],
        face_model="made-up",
        face_model_sha256="0" * 64,
        fps=fps,
        valid=seen,
        meta={"source": "clip.mp4", "fit": {"frames": len(seen), "reprojection_percent": 1.0}},
    )


@pytest.mark.parametrize(
    ("valid", "expected"),
    [
        ("xxxxxx", ["xxxxxx"]),
        ("xx..xx", ["xx..xx"]),  # 0.2 s is not more than 0.2 s
        ("xx...xx", ["xx", "xx"]),
        ("...xx..x....x...", ["xx..x", "x"]),
        ("..x..", ["..x.."]),
        ("...x", ["x"]),
        ("x....", ["x"]),
    ],
)
def test_parts_lie_between_long_gaps(valid, expected):
    parts = split_at_gaps(motion(valid), 0.2)
    assert ["".join(".x"[int(seen)] for seen in part.valid) for part in parts] == expected
    assert [part.meta["fit"]["part"]["number"] for part in parts] == list(range(1, len(parts) + 1))
    assert {part.meta["fit"]["part"]["of"] for part in parts} == {len(parts)}


def test_parts_keep_their_frames_and_times():
    whole = motion("xxx....xx.x")
    first, second = split_at_gaps(whole, 0.3)
    np.testing.assert_array_equal(first.expression, whole.expression[:3])
    np.testing.assert_array_equal(second.timestamps, whole.timestamps[7:])
    assert second.meta["fit"] == {
        "frames": 4,
        "valid": 3,
        "reprojection_percent": 1.0,
        "part": {"number": 2, "of": 2, "from_second": 0.7},
    }
    assert second.meta["source"] == "clip.mp4"
    assert len(concatenate([first, second])) == 7


def test_what_cannot_be_split_is_refused():
    with pytest.raises(TdmmError, match="positive"):
        split_at_gaps(motion("xx"), 0.0)
    with pytest.raises(TdmmError, match="no frame"):
        split_at_gaps(motion("..."), 1.0)
