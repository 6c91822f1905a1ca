"""Long motions and long prompts in parts: nothing is lost, no part is too long, and one follows from the other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tdmm.lm.parts import EASED, MOST_CLAUSES, Part, clauses_of, eased, parts_of
from tdmm.motion import FaceMotion, make_motion

STRIDE = 4
LETTERS = "abcdefghijklmnop"


def parts(prompt: str, frames: int | None = None, **others) -> list[Part]:
    return parts_of(prompt, frames, **{"longest": 96, "context": 48, "stride": STRIDE, **others})


@pytest.mark.parametrize(
    ("prompt", "clauses"),
    [
        ("smiles", ["smiles"]),
        ("smiles, then nods", ["smiles", "nods"]),
        ("Smiles. Then: nods; afterwards frowns", ["Smiles", "nods", "frowns"]),
        ("smiles and then nods -> frowns → yawns", ["smiles", "nods", "frowns", "yawns"]),
        ("smiles ... then nods. After that, frowns. Next: yawns", ["smiles", "nods", "frowns", "yawns"]),
        ("smiles > nods", ["smiles", "nods"]),
        ("smiles, nods and frowns next to a friend", ["smiles, nods and frowns next to a friend"]),
        ("strengthens his gaze", ["strengthens his gaze"]),
        ("then", []),
    ],
)
def test_what_a_prompt_tells_of_one_after_the_other(prompt, clauses):
    assert clauses_of(prompt) == clauses


def test_a_prompt_that_tells_of_little_is_one_part_to_the_letter():
    for prompt in ("smiles", "Smiles; then nods. Then  frowns!", "then", " > ".join(LETTERS[:MOST_CLAUSES])):
        assert parts(prompt) == [Part(prompt, None)]
        assert parts(prompt, 96) == [Part(prompt, 96)]


def test_a_prompt_that_tells_of_much_is_told_in_groups_each_with_the_one_before_it():
    told = parts(", then ".join(LETTERS[:8]))
    assert [part.text for part in told] == [
        "a, then b, then c",
        "a, then b, then c, then d, then e",
        "d, then e, then f, then g",
        "f, then g, then h",
    ]
    assert {part.frames for part in told} == {None}


def test_frames_are_shared_by_what_is_told():
    told = parts(", then ".join(LETTERS[:8]), 160)
    assert [part.frames for part in told] == [60, 40, 40, 20]
    assert parts(", then ".join(LETTERS[:8]), 31) == [Part(", then ".join(LETTERS[:8]), 31)]


def test_a_motion_that_goes_on_begins_with_what_is_known_of_it():
    assert parts("nods", before="Smiles.") == [Part("Smiles, then nods", None)]
    assert parts("nods", before="") == [Part("nods", None)]


def test_long_ones_are_written_in_windows():
    assert [part.frames for part in parts("talks", 97)] == [96, 1]
    assert [part.frames for part in parts("talks", 96 + 50)] == [96, 28, 22]
    assert [part.frames for part in parts("talks", 96, before="")] == [48, 48]
    assert {part.text for part in parts("talks", 1000)} == {"talks"}


@given(
    st.integers(1, 16),
    st.integers(1, 3000),
    st.integers(2, 40),
    st.integers(1, 20),
    st.sampled_from([None, "", "smiles"]),
)
def test_nothing_is_lost_and_no_part_is_too_long(clauses, frames, longest, context, before):
    context = min(context, longest // 2)
    sizes = {"longest": longest * STRIDE, "context": context * STRIDE}
    told = parts(", then ".join(LETTERS[:clauses]), frames, before=before, **sizes)
    counts = [part.frames for part in told]
    assert sum(counts) == frames
    room = [
        sizes["longest"] - (0 if before is None and not number else sizes["context"]) for number in range(len(told))
    ]
    assert all(1 <= count <= most for count, most in zip(counts, room, strict=True))
    assert all(count % STRIDE == 0 for count in counts[:-1])


def motion_at(value: float, frames: int) -> FaceMotion:
    return make_motion(
        np.full((frames, 2), value, np.float32),
        ("a", "b"),
        face_model="m",
        face_model_sha256="0",
        rotation=np.full((frames, 3), value, np.float32),
        neck_pose=np.full((frames, 3), value, np.float32),
    )


def test_a_part_follows_from_the_frame_before_it():
    """What it makes of that frame is .2, the frame is at .8: .6 are added, less and less, for .4 seconds."""
    new = motion_at(0.2, 30)
    moved = eased(new, motion_at(0.8, 3), motion_at(0.2, 1), 0, bounded=True)
    count = round(EASED * new.fps)
    for curve in (moved.expression[:, 0], moved.rotation[:, 1], moved.neck_pose[:, 2]):
        assert (np.diff(curve[: count + 1]) < 0).all()
        assert 0.8 > curve[0] > 0.77
        np.testing.assert_allclose(curve[count:], 0.2, atol=1e-6)
    np.testing.assert_array_equal(moved.translation, new.translation)
    np.testing.assert_array_equal(moved.timestamps, new.timestamps)


def test_eased_in_pieces_is_eased_as_a_whole():
    new, last, again = motion_at(0.2, 30), motion_at(0.8, 1), motion_at(0.25, 1)
    whole = eased(new, last, again, 0, bounded=False)
    for start, end in ((0, 1), (3, 12), (9, 11), (10, 30)):
        assert eased(new[start:end], last, again, start, bounded=False) == whole[start:end]


def test_expressions_stay_in_bounds():
    new, last, again = motion_at(0.9, 5), motion_at(0.9, 1), motion_at(0.5, 1)
    assert eased(new, last, again, 0, bounded=True).expression.max() == 1
    assert eased(new, last, again, 0, bounded=False).expression.max() > 1
