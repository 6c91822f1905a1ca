"""Motion files: bit for bit there and back, the same bytes for the same motion, and everything broken is refused."""

import io
import json
import os
import subprocess
import sys
import threading
import zipfile
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tdmm.errors import MotionError, OutputError
from tdmm.io.motion_file import motion_bytes, read_motion, write_motion
from tdmm.motion import FaceMotion, make_motion


def small_motion(**others):
    return make_motion(
        np.linspace(0, 1, 12).reshape(4, 3),
        ["jawOpen", "mouthSmileLeft", "eyeBlinkRight"],
        face_model="test",
        face_model_sha256="0" * 64,
        **{"text": "she smiles", "meta": {"source": "clip.mp4", "n": 3}, **others},
    )


def assert_bit_for_bit(first, second):
    for item in fields(FaceMotion):
        a, b = getattr(first, item.name), getattr(second, item.name)
        if isinstance(a, np.ndarray):
            assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes()), item.name
        else:
            assert (type(a), a) == (type(b), b), item.name


texts = st.text(st.characters(exclude_characters="\0"), max_size=20)  # lone surrogates included
finite = st.floats(-(2.0**99), 2.0**99, width=32)  # -0.0 and subnormal numbers included
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def motions(draw):
    n_frames, n_expressions = draw(st.integers(1, 4)), draw(st.integers(0, 3))
    array = lambda *shape: draw(hnp.arrays(np.float32, shape, elements=finite))  # noqa: E731
    return make_motion(
        array(n_frames, n_expressions),
        draw(st.lists(texts, min_size=n_expressions, max_size=n_expressions, unique=True)),
        face_model=draw(texts),
        face_model_sha256=draw(texts),
        fps=draw(st.floats(0.01, 1000)),
        shape=array(draw(st.integers(0, 3))),
        rotation=array(n_frames, 3),
        translation=array(n_frames, 3),
        eyes_pose=array(n_frames, 6),
        image_size=tuple(draw(st.tuples(st.integers(1, 9999), st.integers(1, 9999)))),
        valid=draw(hnp.arrays(bool, n_frames)),
        confidence=draw(hnp.arrays(np.float32, n_frames, elements=st.floats(0, 1, width=32))),
        text=draw(texts),
        meta=draw(st.dictionaries(st.text(), json_values, max_size=3)),
    )


# -- there and back -----------------------------------------------------------------------------------


@given(motions())
@settings(max_examples=100, deadline=None)
def test_round_trip_is_bit_for_bit(motion):
    data = motion_bytes(motion)
    back = read_motion(io.BytesIO(data))
    assert_bit_for_bit(motion, back)
    assert back == motion
    assert motion_bytes(back) == data


def test_round_trip_through_a_file_and_numpy(tmp_path):
    motion, path = small_motion(), tmp_path / "motion.npz"
    write_motion(motion, path)
    assert_bit_for_bit(motion, read_motion(str(path)))
    assert [item.name for item in tmp_path.iterdir()] == ["motion.npz"]
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()
    # Anyone else can read it with numpy alone.
    with np.load(path, allow_pickle=False) as arrays:
        assert str(arrays["schema"]) == "tdmm.motion/1"
        assert json.loads(str(arrays["meta"])) == motion.meta
        np.testing.assert_array_equal(arrays["expression"], motion.expression)
        assert arrays["expression_names"].tolist() == list(motion.expression_names)
        assert arrays["image_size"].tolist() == [512, 512]
        copied = {key: arrays[key] for key in arrays.files}
    # And what numpy wrote is read, compressed or not.
    for save in (np.savez, np.savez_compressed):
        save(path, **copied)
        assert_bit_for_bit(motion, read_motion(path))


def test_arrays_that_were_read_can_be_written_to():
    back = read_motion(io.BytesIO(motion_bytes(small_motion())))
    back.expression[0, 0] = 0.5  # read-only arrays would make torch.from_numpy warn
    assert back.expression[0, 0] == 0.5


def test_the_bytes_do_not_depend_on_when_and_where(tmp_path):
    write_motion(small_motion(), tmp_path / "a.npz")
    code = "import sys; from tdmm.io.motion_file import *; write_motion(read_motion(sys.argv[1]), sys.stdout.buffer)"
    made = subprocess.run([sys.executable, "-c", code, tmp_path / "a.npz"], capture_output=True, check=True)
    assert made.stdout == (tmp_path / "a.npz").read_bytes()


def test_through_a_pipe():
    """A motion larger than the pipe's buffer, unbuffered on both ends: short reads and writes."""
    motion = replace(small_motion(), text="x" * 300_000)
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb", buffering=0) as source:

        def write():
            with os.fdopen(write_end, "wb", buffering=0) as target:
                write_motion(motion, target)

        writer = threading.Thread(target=write)
        writer.start()
        back = read_motion(source)
        writer.join()
    assert_bit_for_bit(motion, back)


def test_a_closed_pipe_is_left_to_the_caller():
    read_end, write_end = os.pipe()
    os.close(read_end)
    with pytest.raises(BrokenPipeError), os.fdopen(write_end, "wb", buffering=0) as target:
        write_motion(small_motion(), target)


# -- writing ------------------------------------------------------------------------------------------


def test_confidence_of_expressions_may_be_left_out(tmp_path):
    path = tmp_path / "motion.npz"
    told = small_motion(expression_confidence=np.linspace(0, 1, 12).reshape(4, 3))
    for motion in (told, replace(told, expression_confidence=None)):
        write_motion(motion, path)
        assert ("expression_confidence" in np.load(path).files) == (motion.expression_confidence is not None)
        assert_bit_for_bit(motion, read_motion(path))


def test_an_existing_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "motion.npz"
    write_motion(small_motion(text="old"), path)
    path.chmod(0o640)
    write_motion(small_motion(text="new"), path)
    assert read_motion(path).text == "new"
    assert path.stat().st_mode & 0o777 == 0o640

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OutputError, match=r"motion\.npz: cannot be written: No space left on device"):
        write_motion(small_motion(text="newer"), path)
    assert read_motion(path).text == "new"
    assert [item.name for item in tmp_path.iterdir()] == ["motion.npz"]


def test_a_link_is_followed(tmp_path):
    (tmp_path / "real").mkdir()
    link = tmp_path / "link.npz"
    link.symlink_to(tmp_path / "real" / "motion.npz")
    write_motion(small_motion(), link)
    assert link.is_symlink()
    assert read_motion(tmp_path / "real" / "motion.npz") == small_motion()


def test_a_device_is_written_not_replaced(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    found = []
    reader = threading.Thread(target=lambda: found.append(read_motion(fifo)))
    reader.start()
    write_motion(small_motion(), fifo)
    reader.join()
    assert found == [small_motion()]
    assert fifo.is_fifo()


def test_places_where_nothing_can_be_written(tmp_path):
    with pytest.raises(OutputError, match=r"there is no folder .*nowhere; make it first"):
        write_motion(small_motion(), tmp_path / "nowhere" / "motion.npz")
    with pytest.raises(OutputError, match="is a folder"):
        write_motion(small_motion(), tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="there is no folder"):
        write_motion(small_motion(), tmp_path / "file" / "motion.npz")
    if os.path.isdir("/proc/self"):  # a folder in which not even root can make files
        with pytest.raises(OutputError, match=r"/proc/self/motion\.npz: cannot be written"):
            write_motion(small_motion(), "/proc/self/motion.npz")


# -- broken files -------------------------------------------------------------------------------------


def npz_with(tmp_path, **changes):
    """A good motion's file with some keys changed; None removes a key."""
    with np.load(io.BytesIO(motion_bytes(small_motion()))) as good:
        arrays = {key: good[key] for key in good.files}
    arrays.update(changes)
    path = tmp_path / "broken.npz"
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    return path


def npy(header, data=b""):
    """A npy member with a header of our own making."""
    text = repr(header).encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


def zip_with(tmp_path, key, content):
    path = tmp_path / "broken.npz"
    with zipfile.ZipFile(io.BytesIO(motion_bytes(small_motion()))) as good, zipfile.ZipFile(path, "w") as made:
        for name in good.namelist():
            made.writestr(name, content if name == f"{key}.npy" else good.read(name))
    return path


def refused(path, message):
    with pytest.raises(MotionError, match=message) as caught:
        read_motion(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


CHANGED = {
    "no schema": ({"schema": None}, "expected the key schema with 'tdmm.motion/1', found .*expression"),
    "other schema": ({"schema": np.str_("tdmm.motion/2")}, "schema: expected 'tdmm.motion/1', found 'tdmm.motion/2'"),
    "schema number": ({"schema": np.float64(1)}, "schema: expected text with 0 axes, found float64"),
    "missing": ({"jaw_pose": None, "valid": None}, "expected the key jaw_pose, valid, found only .*camera"),
    "wide numbers": ({"expression": np.zeros((4, 3))}, r"expression: expected float32 .*found float64 .*\(4, 3\)"),
    "integers": ({"rotation": np.zeros((4, 3), int)}, "rotation: expected float32 with 2 axes, found int64"),
    "bytes": ({"text": np.bytes_(b"hello")}, r"text: expected text with 0 axes, found \|S5"),
    "axes": ({"shape": np.zeros((2, 2), np.float32)}, r"shape: expected float32 with 1 axes, found .*\(2, 2\)"),
    "frames": ({"jaw_pose": np.zeros((5, 3), np.float32)}, r"jaw_pose: expected \(4, 3\), found \(5, 3\)"),
    "numbers as bool": ({"valid": np.ones(4, np.uint8)}, "valid: expected bool with 1 axes, found uint8"),
    "nan": ({"translation": np.full((4, 3), np.nan, np.float32)}, "translation: expected finite numbers, found nan"),
    "fps": ({"fps": np.float64(-25)}, "fps: expected a positive number, found -25.0"),
    "fps array": ({"fps": np.full(1, 25.0)}, r"fps: expected float64 with 0 axes, found float64 with shape \(1,\)"),
    "names": ({"expression_names": np.array(["a", "b"])}, "expression: expected 2 columns"),
    "names numbers": ({"expression_names": np.arange(3)}, "expression_names: expected text with 1 axes, found int64"),
    "no frame": (
        {key: np.zeros((0, n), np.float32) for key, n in [("expression", 3), ("rotation", 3)]},
        "expression: expected at least one frame, found none",
    ),
    "size": ({"image_size": np.array([0, 1])}, r"image_size: expected \(height, width\)"),
    "meta": ({"meta": np.str_("{'a': 1}")}, r"meta: expected JSON, found \"{'a': 1}\""),
    "meta empty": ({"meta": np.str_("")}, "meta: expected JSON, found ''"),
    "meta list": ({"meta": np.str_("[]")}, "meta: expected a JSON object, found list"),
    "meta nan": ({"meta": np.str_('{"a": NaN}')}, "meta: expected a JSON object, found"),
    "meta deep": ({"meta": np.str_("[" * 100_000)}, "meta: expected JSON"),
    "object": ({"expression": np.array([[None] * 3] * 4)}, "expression: expected numbers or text, found a pickled"),
    "object elsewhere": ({"extra": np.array([{}])}, "extra: expected numbers or text, found a pickled"),
}


@pytest.mark.parametrize("case", CHANGED)
def test_a_file_with_a_wrong_key_is_refused(case, tmp_path):
    changes, message = CHANGED[case]
    refused(npz_with(tmp_path, **changes), message)


def test_pickled_objects_are_never_loaded(tmp_path):
    marker = tmp_path / "run"

    class Hostile:
        def __reduce__(self):
            return (open, (str(marker), "w"))

    refused(npz_with(tmp_path, meta=np.array(Hostile(), dtype=object)), "meta: expected numbers or text, found a pick")
    assert not marker.exists()


MEMBERS = {
    "no npy": (b"hello", "expected an npy array, found none"),
    "empty": (b"", "expected an npy array, found none"),
    "version": (b"\x93NUMPY\x09\x00" + bytes(20), "expected an npy array, found none"),
    "cut": (npy({"descr": "<f4", "fortran_order": False, "shape": (4, 3)}, bytes(47)), "expected 48 bytes .* found 47"),
    "long": (
        npy({"descr": "<f4", "fortran_order": False, "shape": (4, 3)}, bytes(49)),
        "expected 48 bytes .* found 49",
    ),
    "vast": (npy({"descr": "<f4", "fortran_order": False, "shape": (2**40, 2**40)}), "expected .* bytes .* found 0"),
    "negative": (npy({"descr": "<f4", "fortran_order": False, "shape": (-4, -3)}, bytes(48)), "expected 48 bytes"),
    "vast empty": (
        npy({"descr": "<f4", "fortran_order": False, "shape": (0, 2**62, 2**62)}),
        "expected an array, found",
    ),
    "no size": (npy({"descr": "<U0", "fortran_order": False, "shape": (10**15,)}), "expected 0 bytes"),
    "records": (npy({"descr": [("a", "<f4")], "fortran_order": False, "shape": (1,)}, bytes(4)), "expected float32"),
}


@pytest.mark.parametrize("case", MEMBERS)
def test_a_hostile_member_is_refused(case, tmp_path):
    content, message = MEMBERS[case]
    refused(zip_with(tmp_path, "expression", content), f"expression: {message}")


def test_a_number_that_is_no_character_is_refused(tmp_path):
    content = npy({"descr": "<U1", "fortran_order": False, "shape": ()}, b"\xff\xff\xff\x7f")
    refused(zip_with(tmp_path, "text", content), "text: expected text, found the number 2147483647")


def test_other_byte_and_axis_orders_are_read(tmp_path):
    motion = small_motion()
    path = npz_with(tmp_path, expression=np.asfortranarray(motion.expression.astype(">f4")), fps=np.array(25.0, ">f8"))
    assert_bit_for_bit(motion, read_motion(path))


def test_unknown_keys_are_ignored(tmp_path):
    assert read_motion(npz_with(tmp_path, my_notes=np.str_("later"))) == small_motion()


def test_files_that_are_no_motion_at_all(tmp_path):
    refused(tmp_path / "nowhere.npz", "there is no such file")
    refused(tmp_path, "cannot be read: Is a directory")
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"\x00\x00\x00\x20ftypisom" + bytes(1000))
    refused(path, "expected a motion file")
    path.write_bytes(b"")
    refused(path, "found nothing")
    path.write_bytes(b"PK\x03\x04")
    refused(path, "truncated or damaged")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("hello.txt", "hello")
    refused(path, "hello.txt: expected an npy array")
    with zipfile.ZipFile(path, "w"):
        pass  # an archive without members has no local header
    refused(path, "expected a motion file")
    np.savez(path.with_suffix(".npz"), a=np.zeros(3))
    refused(path.with_suffix(".npz"), "expected the key schema .* found a; not a motion file")


def test_every_truncation_and_many_damages_are_refused():
    """Only MotionError ever, wherever the file is cut; a changed byte either is refused or changes nothing we read."""
    good = motion_bytes(small_motion())
    for end in range(0, len(good), 7):
        with pytest.raises(MotionError, match=r"^<stream>: "):
            read_motion(io.BytesIO(good[:end]))
    random = np.random.default_rng(0)
    for place in random.integers(0, len(good), 400):
        damaged = bytearray(good)
        damaged[place] ^= 1 << random.integers(8)
        try:
            back = read_motion(io.BytesIO(damaged))
        except MotionError:
            continue
        assert back == small_motion()


def test_the_name_in_a_message_about_a_stream():
    read_end, write_end = os.pipe()
    os.close(write_end)
    with os.fdopen(read_end, "rb") as source, pytest.raises(MotionError, match=r"^<stream>: .*found nothing"):
        read_motion(source)


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
