"""Tokens files: the same tokens there and back, the same bytes for the same tokens, and a wrong line stops no other."""

import io
import json
import os
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tdmm.errors import OutputError, TokensError
from tdmm.io.json_lines import short
from tdmm.io.tokens_file import (
    MotionTokens,
    code_table,
    invalid_runs,
    line_of,
    read_coded,
    read_codes,
    read_tokens,
    tokens_of,
    told_sizes,
    write_tokens,
)
from tdmm.motion import default_camera

FINITE = st.floats(-(2.0**99), 2.0**99, width=32)  # -0.0 and subnormal numbers included
TEXTS = st.text(st.characters(exclude_characters="\0"), max_size=8)  # lone surrogates included


def some_tokens(**others):
    """Ten frames in three steps of four, by codebooks of 8 and 4 codes."""
    values = {
        "codec": "c" * 8,
        "face_model": "test",
        "face_model_sha256": "0" * 64,
        "fps": 25.0,
        "frames": 10,
        "stride": 4,
        "codes": np.array([[0, 3], [7, 0], [5, 2]]),
        "streams": ("face", "head"),
        "sizes": (8, 4),
        "rotation": np.array([0.1, -0.2, 0.3], np.float32),
        "translation": np.array([0, -0.03, -0.75], np.float32),
        "shape": np.array([1.5, 0, -0.1], np.float32),
        "camera": default_camera(),
        "image_size": (512, 512),
        "id": "clip7",
        "text": "she smiles",
    }
    return MotionTokens(**{**values, **others})


@st.composite
def tokens(draw):
    sizes = draw(st.lists(st.integers(1, 600), min_size=1, max_size=3))
    part = draw(st.none() | st.integers(0, 9))
    stride, frames = draw(st.integers(1, 5)), draw(st.integers(1 if part is None else 0, 20))
    last = True if part is None or frames % stride else draw(st.booleans())
    steps = -(-frames // stride)
    column = lambda size: draw(hnp.arrays(np.int64, steps, elements=st.integers(0, size - 1)))  # noqa: E731
    image_size = draw(st.sampled_from([(512, 512), (480, 640)]))
    return some_tokens(
        codes=np.stack([column(size) for size in sizes], axis=1),
        streams=tuple(draw(st.sampled_from(["face", "head"])) for _ in sizes),
        sizes=tuple(sizes),
        frames=frames,
        stride=stride,
        fps=draw(st.sampled_from([25.0, 30000 / 1001])),
        rotation=draw(hnp.arrays(np.float32, 3, elements=FINITE)),
        shape=draw(hnp.arrays(np.float32, draw(st.integers(0, 4)), elements=FINITE)),
        camera=default_camera(image_size) * [[draw(st.sampled_from([1, 1 / 3]))], [1], [1]],
        image_size=image_size,
        start=draw(st.floats(-1e9, 1e9)),
        invalid=invalid_runs(draw(hnp.arrays(bool, frames))),
        id=draw(TEXTS),
        text=draw(TEXTS),
        meta=draw(st.dictionaries(TEXTS, st.integers(), max_size=2)),
        part=part,
        last=last,
    )


# -- there and back -------------------------------------------------------------------------------------


@given(tokens())
@settings(max_examples=60, deadline=None)
def test_a_line_gives_back_the_tokens_to_the_bit(made):
    line = line_of(made)
    assert "\n" not in line
    back = tokens_of(line, "here")
    assert back == made
    assert line_of(back) == line
    assert back.rotation.tobytes() == made.rotation.tobytes()
    assert (back.codes.dtype, back.rotation.dtype, back.camera.dtype) == (np.int64, np.float32, np.float64)
    line.encode()  # lone surrogates are escaped


def test_a_line_by_hand():
    assert json.loads(line_of(some_tokens())) == {
        "id": "clip7",
        "schema": "tdmm.tokens/1",
        "codec": "cccccccc",
        "face_model": "test",
        "face_model_sha256": "0" * 64,
        "fps": 25,
        "frames": 10,
        "stride": 4,
        "streams": ["face", "head"],
        "sizes": [8, 4],
        "codes": [[0, 3], [7, 0], [5, 2]],
        "rotation": [0.1, -0.2, 0.3],  # not 0.10000000149011612
        "translation": [0, -0.03, -0.75],
        "shape": [1.5, 0, -0.1],
        "start": 0,
        "invalid": [],
        "text": "she smiles",
    }
    assert " " not in line_of(some_tokens(text=""))
    assert "lächelt" in line_of(some_tokens(text="lächelt"))


def test_what_is_usual_is_left_out():
    assert not {"camera", "image_size", "meta", "part", "last"} & set(json.loads(line_of(some_tokens())))
    portrait = json.loads(line_of(some_tokens(camera=default_camera((256, 256)), image_size=(256, 256))))
    assert portrait["image_size"] == [256, 256]
    assert "camera" not in portrait
    part = json.loads(line_of(some_tokens(frames=12, part=0, last=False, meta={"n": 1})))
    assert (part["part"], part["last"], part["meta"]) == (0, False, {"n": 1})
    least = {name: value for name, value in part.items() if name not in ("shape", "start", "invalid", "text", "id")}
    assert tokens_of(json.dumps(least), "here").camera.tolist() == default_camera().tolist()


def test_zeros_at_the_end_of_an_identity_mean_nothing():
    assert some_tokens(shape=np.array([0, 2, 0, 0.0])) == some_tokens(shape=np.array([0, 2.0]))
    assert some_tokens(shape=np.zeros(100)).shape.shape == (0,)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=300, deadline=None)
def test_decimals_tell_every_float32_apart(bits):
    value = np.array([bits], np.uint32).view(np.float32)
    if np.isfinite(value[0]):
        assert np.float32(json.loads(json.dumps(short(value)))[0]).tobytes() == value.tobytes()


def test_numbers_of_tokens():
    made = some_tokens()
    assert (len(made), made.duration, made.tokens_per_second) == (3, 0.4, 12.5)
    assert made.bits_per_second == pytest.approx((3 + 2) * 25 / 4)
    assert some_tokens(invalid=((0, 2), (9, 10))).valid.tolist() == [False] * 2 + [True] * 7 + [False]


@given(hnp.arrays(bool, st.integers(0, 12)))
@settings(max_examples=40, deadline=None)
def test_runs_tell_which_frames_are_valid(valid):
    made = some_tokens(frames=len(valid), stride=1, codes=np.zeros((len(valid), 2), int), part=0)
    np.testing.assert_array_equal(replace(made, invalid=invalid_runs(valid)).valid, valid)


def test_equality_sees_every_field():
    made = some_tokens(part=1)
    changes = {
        "codec": "d",
        "face_model": "flame",
        "face_model_sha256": "1",
        "fps": 24.0,
        "codes": made.codes[::-1],
        "streams": ("head", "head"),
        "sizes": (8, 5),
        "rotation": made.translation,
        "translation": made.rotation,
        "shape": [1.0],
        "camera": default_camera((9, 9)),
        "image_size": (9, 9),
        "start": 1.0,
        "invalid": ((0, 1),),
        "id": "",
        "text": "",
        "meta": {"a": 1},
        "part": 0,
    }
    assert made == replace(made)
    assert made != "tokens"
    for name, value in {**changes, "frames": 9}.items():
        assert replace(made, **{name: value}) != made, name


# -- what is refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"codes": [[0, 3], [8, 0], [5, 2]]}, r"codes: step 1, column 0 \(both from 0\): expected 0..7, found 8"),
        ({"codes": [[0, 3], [2**40, 0], [5, 2]]}, "step 1, column 0"),
        ({"codes": [[0, 3], [-1, 0], [5, 2]]}, "whole numbers >= 0"),
        ({"codes": [[0, 3], [0.5, 0], [5, 2]]}, "whole numbers >= 0"),
        ({"codes": [[0, 3], [0], [5, 2]]}, "all of one length"),
        ({"codes": [[0], [0], [0]]}, "expected 2 a step, one for each stream, found 1"),
        ({"codes": [[0, 3], [7, 0]]}, "expected 3 steps, 4 frames each, for 10 frames, found 2"),
        ({"codes": []}, "expected 3 steps"),
        ({"frames": 8}, "expected 2 steps"),
        ({"frames": 0, "codes": []}, "frames: expected a whole number >= 1, found 0"),
        ({"frames": 10.0}, "frames: expected a whole number"),
        ({"stride": True}, "stride: expected a whole number >= 1, found True"),
        ({"sizes": (8,)}, "sizes: expected 2, one for each stream, found 1"),
        ({"sizes": (8, 0)}, "sizes: expected a whole number >= 1, found 0"),
        ({"sizes": 8}, "sizes: expected several values, found 8"),
        ({"streams": ("face", "hands")}, "streams: expected names of face and head, found .*hands"),
        ({"streams": "face"}, "streams: expected several values"),
        ({"fps": "25"}, "fps: expected a number"),
        ({"fps": 10**400}, "fps: expected a positive number"),
        ({"fps": -1}, "fps: expected a positive number"),
        ({"start": np.nan}, "timestamps: expected finite numbers"),
        ({"rotation": [0, 0, np.inf]}, "rotation: expected finite numbers"),
        ({"rotation": [0, 0]}, "rotation: expected"),
        ({"translation": None}, "translation: expected"),
        ({"camera": np.eye(2)}, "camera: expected"),
        ({"image_size": (0, 1)}, "image_size: expected"),
        ({"invalid": ((3, 3),)}, "invalid: expected runs"),
        ({"invalid": ((0, 2), (2, 3))}, "in order and apart"),
        ({"invalid": ((0, 11),)}, "within 10, found"),
        ({"invalid": (3,)}, "invalid: expected several values"),
        ({"id": 7}, "id: expected text, found 7"),
        ({"text": None}, "text: expected text"),
        ({"last": False}, "of a motion in parts"),
        ({"part": 0, "last": False}, "a part that is not the last ends with a whole step"),
        ({"part": -1}, "part: expected a whole number >= 0"),
    ],
)
def test_broken_tokens_are_refused(change, message):
    with pytest.raises(TokensError, match=message):
        some_tokens(**change)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_any_damage_to_a_line_is_an_error_of_that_line_or_harmless(data):
    found = json.loads(line_of(some_tokens(image_size=(9, 9), part=2, meta={"a": 1})))
    name = data.draw(st.sampled_from(sorted(found)))
    other = data.draw(
        st.sampled_from(
            [None, True, -1, 10**400, 1e300, "x", [], [[]], [[1], [2, 3]], {}, [None], ["x"], [1, 2], [0] * 3]
        )
    )
    line = json.dumps({**found, name: other})
    line = line[: data.draw(st.sampled_from([len(line), len(line) // 2, len(line) - 1]))]
    try:
        tokens_of(line, "f.jsonl, line 3")
    except TokensError as error:
        assert str(error).startswith("f.jsonl, line 3: ")  # noqa: PT017


# -- files and streams ------------------------------------------------------------------------------------


GOOD = line_of(some_tokens())
WRONG = {
    GOOD[:-7]: "expected a JSON object",
    "[" * 100_000: "too many brackets",
    "[1]": "found list",
    '{"codes": [[1]]}': "schema: expected 'tdmm.tokens/1', found None",
    GOOD.replace("tokens/1", "tokens/2"): "found 'tdmm.tokens/2'",
    GOOD.replace('"stride"', '"pace"'): "expected the key stride",
    GOOD.replace("[7,0]", "[8,0]"): "step 1, column 0",
    GOOD.replace("0.1", "NaN", 1): "no number in JSON",
}


def test_a_wrong_line_is_told_and_the_others_go_on(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text("\ufeff" + GOOD + "\n\n" + "".join(f"{line}\n{GOOD}\n" for line in WRONG) + GOOD[:40])
    found = list(read_tokens(path))
    good, bad = found[0:-1:2], found[1:-1:2]
    assert good == [some_tokens()] * (len(WRONG) + 1)
    for number, (error, message) in enumerate(zip(bad, WRONG.values(), strict=True)):
        assert isinstance(error, TokensError)
        assert str(error).startswith(f"{path}, line {3 + 2 * number}: ")
        assert message in str(error)
    assert "expected a JSON object" in str(found[-1])


def test_bytes_that_are_no_text_are_a_wrong_line():
    stream = io.BytesIO(GOOD.encode() + b"\n\xff\xfe\n" + GOOD.encode())
    first, error, last = read_tokens(stream, "standard input")
    assert first == last == some_tokens()
    assert str(error).startswith("standard input, line 2: ")


def test_what_is_no_file_of_lines_is_raised(tmp_path):
    with pytest.raises(TokensError, match=r"none\.jsonl: there is no such file"):
        next(read_tokens(tmp_path / "none.jsonl"))
    with pytest.raises(TokensError, match="cannot be read"):
        next(read_tokens(tmp_path))
    (tmp_path / "film.mp4").write_bytes(b"\0\0\0\x20ftypisom")
    with pytest.raises(TokensError, match=r"film\.mp4: expected JSON lines of tokens"):
        next(read_tokens(tmp_path / "film.mp4"))
    (tmp_path / "empty.jsonl").write_bytes(b"")
    assert list(read_tokens(tmp_path / "empty.jsonl")) == []


def test_text_streams_are_read_too():
    assert list(read_tokens(io.StringIO("\ufeff" + GOOD))) == [some_tokens()]


def test_a_line_is_given_as_soon_as_it_is_complete():
    """The writing end stays open: a reader that waited for more would wait for ever."""
    out, into = os.pipe()
    with open(out, "rb") as stream, open(into, "wb", buffering=0) as pipe:
        lines = read_tokens(stream, "pipe")
        for number in range(3):
            made = some_tokens(id=str(number))
            pipe.write(line_of(made).encode() + b"\n" + b'{"half a'[: 8 * (number == 2)])
            assert next(lines) == made


def test_writing_is_whole_or_not_at_all(tmp_path):
    path, made = tmp_path / "t.jsonl", [some_tokens(), some_tokens(id="b", text="\ud800")]
    write_tokens(path, made)
    before = path.read_bytes()
    assert list(read_tokens(path)) == made
    write_tokens(path, list(read_tokens(path)))
    assert path.read_bytes() == before

    def stops():
        yield made[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_tokens(path, stops())
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(OutputError, match="there is no folder"):
        write_tokens(tmp_path / "none" / "t.jsonl", made)


# -- codes alone ------------------------------------------------------------------------------------------


def test_codes_of_any_system_are_read(tmp_path):
    path = tmp_path / "tokens.jsonl"
    lines = [{"id": f"c{n}", "schema": "tdmm.tokens/1", "codes": [[n, 1], [2, n]]} for n in range(2)]
    path.write_text("\ufeff" + "".join(json.dumps(line) + "\n" for line in lines) + '{"id": "c2", "codes": [4, 5]}')
    assert [(name, codes.tolist()) for name, codes in read_codes(path)] == [
        ("c0", [[0, 1], [2, 0]]),
        ("c1", [[1, 1], [2, 1]]),
        ("c2", [[4], [5]]),
    ]
    assert told_sizes(read_coded(path)) is None


def test_codes_and_sizes_of_our_own_files(tmp_path):
    path = tmp_path / "tokens.jsonl"
    empty = some_tokens(frames=0, codes=[], part=0)
    write_tokens(path, [some_tokens(), empty])
    assert [one.codes.shape for one in read_coded(path)] == [(3, 2), (0, 2)]
    assert told_sizes(read_coded(path)) == (8, 4)
    write_tokens(path, [some_tokens(), some_tokens(sizes=(9, 4))])
    with pytest.raises(TokensError, match="tokens of several codecs"):
        told_sizes(read_coded(path))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 1: expected a JSON object"),
        ("[1]", "line 1: expected an object with codes"),
        ("{}", "line 1: expected an object with codes"),
        ('{"codes": []}', "line 1: codes: expected rows"),
        ('{"codes": [[1, 2], [3]]}', "line 1: codes: expected rows"),
        ('{"codes": [[1.5]]}', "line 1: codes: expected rows"),
        ('{"codes": [[-1]]}', "line 1: codes: expected rows"),
        ('{"codes": [[1]], "sizes": [1.5]}', "line 1: sizes: expected a whole number"),
        ('{"schema": "tdmm.tokens/9", "codes": [[1]]}', "line 1: expected the schema tdmm.tokens/1"),
    ],
)
def test_a_wrong_line_of_codes_is_named(tmp_path, line, message):
    (tmp_path / "t.jsonl").write_text(line)
    with pytest.raises(TokensError, match=message):
        list(read_codes(tmp_path / "t.jsonl"))


def test_one_code_a_step_may_be_written_flat():
    assert code_table([3, 4], "").tolist() == [[3], [4]]
