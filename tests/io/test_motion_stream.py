"""Streams of motion: what is written comes back to the bit, as it arrives, and a wrong line is named."""

import io
import json
import os
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tdmm.errors import MotionError
from tdmm.io.motion_file import motion_bytes
from tdmm.io.motion_stream import MOST_FRAMES, MotionStreamWriter, looks_like_stream, read_motion_stream
from tdmm.motion import concatenate, default_camera, make_motion

FINITE = st.floats(-(2.0**99), 2.0**99, width=32)  # -0.0 and subnormal numbers included
TEXTS = st.text(st.characters(exclude_characters="\0"), max_size=5)  # lone surrogates included


def some_motion(n_frames=5, **others):
    return make_motion(
        np.random.default_rng(0).uniform(0, 1, (n_frames, 2)),
        ["jawOpen", "eyeBlinkLeft"],
        face_model="test",
        face_model_sha256="0" * 64,
        **others,
    )


@st.composite
def motions(draw):
    n_frames, n_expressions = draw(st.integers(1, 5)), draw(st.integers(0, 3))
    array = lambda *shape: draw(hnp.arrays(np.float32, shape, elements=FINITE))  # noqa: E731
    part = lambda *shape: draw(hnp.arrays(np.float32, shape, elements=st.floats(0, 1, width=32)))  # noqa: E731
    fps = draw(st.sampled_from([25.0, 30000 / 1001]))
    return make_motion(
        array(n_frames, n_expressions),
        draw(st.lists(TEXTS, min_size=n_expressions, max_size=n_expressions, unique=True)),
        face_model=draw(TEXTS),
        face_model_sha256=draw(TEXTS),
        fps=fps,
        shape=array(draw(st.integers(0, 3))),
        rotation=array(n_frames, 3),
        translation=array(n_frames, 3),
        jaw_pose=array(n_frames, 3) * draw(st.integers(0, 1)),
        eyes_pose=array(n_frames, 6) * draw(st.integers(0, 1)),
        camera=default_camera() * [[draw(st.sampled_from([1, 1 / 3]))], [1], [1]],
        valid=draw(hnp.arrays(bool, n_frames)),
        confidence=part(n_frames),
        timestamps=draw(st.sampled_from([0.0, 1 / 3, 1.7e9])) + np.arange(n_frames) / fps,
        text=draw(TEXTS),
        meta=draw(st.dictionaries(TEXTS, st.integers(), max_size=1)),
        expression_confidence=part(n_frames, n_expressions) if draw(st.booleans()) else None,
    )


def written(*pieces):
    stream = io.BytesIO()
    writer = MotionStreamWriter(stream)
    for piece in pieces:
        writer.write(piece)
    return stream.getvalue()


class Dribble(io.RawIOBase):
    """An unbuffered stream that gives a few bytes at a time."""

    def __init__(self, data, size):
        self.data, self.size = io.BytesIO(data), size

    def readable(self):
        return True

    def readinto(self, into):
        data = self.data.read(min(self.size, len(into)))
        into[: len(data)] = data
        return len(data)


# -- there and back -------------------------------------------------------------------------------------


@given(motions(), st.data())
@settings(max_examples=60, deadline=None)
def test_pieces_written_and_read_and_joined_are_the_motion(motion, data):
    cuts = data.draw(st.sets(st.integers(1, max(len(motion) - 1, 1)), max_size=3))
    edges = [0, *sorted(cut for cut in cuts if cut < len(motion)), len(motion)]
    lines = written(*(motion[a:b] for a, b in pairwise(edges)))
    assert lines == written(motion)
    assert concatenate(list(read_motion_stream(io.BytesIO(lines)))) == motion
    little = Dribble(lines, data.draw(st.sampled_from([1, 7, 1000])))
    assert concatenate(list(read_motion_stream(little))) == motion


def test_lines_by_hand():
    motion = some_motion(2, rotation=np.full((2, 3), 0.1), timestamps=[0.25, 0.5], shape=[1, 0.1])
    motion = replace(
        motion,
        expression=[[0.1, 1], [0, 0]],
        jaw_pose=[[0, 0, 0], [0.5, 0, 0]],
        valid=np.array([True, False]),
        confidence=[1, 0.3],
    )
    header, first, second = [json.loads(line) for line in written(motion).decode().splitlines()]
    assert header == {
        "schema": "tdmm.motion-stream/1",
        "face_model": "test",
        "face_model_sha256": "0" * 64,
        "fps": 25,
        "expression_names": ["jawOpen", "eyeBlinkLeft"],
        "shape": [1, 0.1],
        "camera": default_camera().tolist(),
        "image_size": [512, 512],
        "text": "",
    }
    at = {"rotation": [0.1] * 3, "translation": [0, -0.03, -0.75]}
    assert first == {"t": 0.25, "expression": [0.1, 1], **at}
    more = {"jaw_pose": [0.5, 0, 0], "valid": False, "confidence": 0.3}
    assert second == {"t": 0.5, "expression": [0, 0], **at, **more}


def test_what_is_left_out_is_as_of_a_motion_at_rest():
    header = {"schema": "tdmm.motion-stream/1", "face_model": "m", "face_model_sha256": "s", "fps": 25}
    header["expression_names"] = ["jawOpen"]
    frames = [{"t": n / 25, "expression": [n], "rotation": [0, 0, 0], "translation": [0, -0.03, -0.75]} for n in (0, 1)]
    data = "\ufeff\n" + "\n\n".join(json.dumps(line) for line in [header, *frames])  # blank lines, no end of the last
    motion = concatenate(list(read_motion_stream(io.BytesIO(data.encode()))))
    assert motion == make_motion([[0], [1]], ["jawOpen"], face_model="m", face_model_sha256="s")


def test_confidence_of_expressions_is_told_of_all_frames_of_a_piece_or_of_none():
    motion = some_motion(2, expression_confidence=np.full((2, 2), 0.5))
    told, untold = (written(motion).splitlines(keepends=True) for motion in (motion, some_motion(2)))
    (piece,) = read_motion_stream(io.BytesIO(b"".join([*told[:2], untold[2]])))
    assert piece == some_motion(2)


# -- as it arrives ----------------------------------------------------------------------------------------


def test_frames_are_given_as_soon_as_they_are_there():
    """The writing end stays open: a reader that waited for more would wait for ever."""
    motion = some_motion(6)
    out, into = os.pipe()
    with open(out, "rb") as stream, open(into, "wb", buffering=0) as pipe:
        writer = MotionStreamWriter(pipe)
        pieces = read_motion_stream(stream)
        for begin, end in [(0, 1), (1, 2), (2, 5)]:
            writer.write(motion[begin:end])
            assert next(pieces) == motion[begin:end]
        lines = written(motion).splitlines(keepends=True)
        pipe.write(lines[6] + b'{"half a')
        assert next(pieces) == motion[5:]


def test_many_frames_that_are_there_come_in_few_pieces():
    motion = some_motion(3 * MOST_FRAMES)
    pieces = list(read_motion_stream(io.BytesIO(written(motion))))
    assert concatenate(pieces) == motion
    assert max(map(len, pieces)) <= MOST_FRAMES
    assert len(pieces) < 20


# -- what is refused --------------------------------------------------------------------------------------


HEADER, *FRAMES = written(some_motion(3)).decode().splitlines()


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (FRAMES[1][:-5], "expected a JSON object, found"),
        ("[1]", "expected a JSON object, found list"),
        (FRAMES[1].replace('"rotation"', '"turn"'), "expected the key rotation, found only expression"),
        (FRAMES[1].replace("-0.03", "NaN"), "no number in JSON"),
        (FRAMES[1].replace("-0.03", "1e999"), "translation: expected finite numbers"),
        (FRAMES[1].replace("-0.03", "null"), "translation: expected float32 numbers"),
        (FRAMES[1].replace('"expression":[', '"expression":[0,'), "expression: expected 2 columns"),
        (FRAMES[1].replace('"rotation":[', '"rotation":[0,'), "rotation: expected"),
        (FRAMES[1].replace("0.04", "0.0", 1), "t: expected more than the 0 s before, found 0 s"),
        (FRAMES[1].replace("0.04", "true", 1), "t: expected a number, found True"),
        (FRAMES[1].replace("0.04", '"x"', 1), "timestamps: expected float64 numbers"),
        (FRAMES[1][:-1] + ',"valid":1}', "valid: expected bool"),
        (FRAMES[1][:-1] + ',"confidence":2}', "confidence: expected values in 0..1"),
    ],
)
def test_a_wrong_frame_is_named_after_the_frames_before_it(frame, message):
    for after in ([], [FRAMES[2]]):
        data = "\n".join([HEADER, FRAMES[0], frame, *after]).encode()
        pieces = read_motion_stream(io.BytesIO(data), "standard input")
        assert next(pieces) == some_motion(1)
        with pytest.raises(MotionError, match="standard input, line 3: ") as caught:
            next(pieces)
        assert message in str(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "found nothing"),
        (b" \n\n", "found nothing"),
        (HEADER.encode(), "ends before its first frame"),
        (HEADER.replace("stream/1", "stream/2").encode(), "line 1: schema: expected 'tdmm.motion-stream/1'"),
        (HEADER.replace('"fps"', '"rate"').encode(), "line 1: expected the key fps, found only"),
        (HEADER.replace('"fps":25.0', '"fps":0').encode(), "line 1: fps: expected a positive number"),
        (HEADER.replace('"fps":25.0', '"fps":"25"').encode(), "line 1: fps: expected a positive number"),
        (
            HEADER.replace('["jawOpen","eyeBlinkLeft"]', '"jawOpen"').encode(),
            "line 1: expression_names: expected a list",
        ),
        (HEADER.replace("eyeBlinkLeft", "jawOpen").encode(), "line 1: expression_names: expected unique names"),
        (HEADER.replace("[512,512]", "[0,512]").encode(), "line 1: image_size: expected"),
        (motion_bytes(some_motion()), "expected a stream of frames, JSON lines, found b'PK"),
    ],
)
def test_a_stream_without_a_right_beginning_is_refused(data, message):
    with pytest.raises(MotionError) as caught:
        list(read_motion_stream(io.BytesIO(data), "s"))
    assert str(caught.value).startswith("s")
    assert message in str(caught.value)


def test_a_writer_takes_pieces_of_one_motion_in_order():
    motion = some_motion(4)
    writer = MotionStreamWriter(io.BytesIO())
    writer.write(motion[1:3])
    with pytest.raises(MotionError, match=r"begins after 0\.08 s, found 0 s"):
        writer.write(motion[:1])
    with pytest.raises(MotionError, match="another face_model than the first piece"):
        writer.write(replace(motion[3:], face_model="flame"))
    with pytest.raises(MotionError, match="another camera "):
        writer.write(replace(motion[3:], camera=default_camera((9, 9))))
    writer.write(motion[3:])


def test_streams_are_told_from_files():
    assert looks_like_stream(written(some_motion())[:4])
    assert looks_like_stream(b"\xef\xbb\xbf \n{")
    assert not looks_like_stream(motion_bytes(some_motion())[:4])
    assert not looks_like_stream(b"")
