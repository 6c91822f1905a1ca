"""The reader of pickles: what numpy, scipy and chumpy wrote is read, nothing is ever run."""

import collections
import io
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
from flame_file import Python2Pickler, pickle_like_python2, with_chumpy

from tdmm.errors import FaceModelError
from tdmm.face import pickles
from tdmm.face.pickles import read_pickled_arrays

PATH = Path("model.pkl")


def read(data, *keys):
    return read_pickled_arrays(PATH, data, keys or ("a",))


ARRAYS = {
    "float64": np.linspace(0, 1, 24).reshape(2, 3, 4),
    "fortran": np.asfortranarray(np.linspace(0, 1, 24).reshape(2, 3, 4)),
    "float32": np.float32([[1, 2.5]]),
    "big endian": np.arange(4, dtype=">f8"),
    "uint32": np.arange(6, dtype=np.uint32).reshape(2, 3),
    "int64": np.array([[2**32 - 1, -5]]),
    "bool": np.array([True, False]),
    "float16": np.float16([0.5]),
    "empty": np.zeros((0, 3)),
    "scalar": np.float64(2.5),
    "zero axes": np.array(7),
    "list": [[1, 2], [3, 4.5]],
    "strided": np.arange(20.0)[::3],
}


@pytest.mark.parametrize("protocol", [*range(pickle.HIGHEST_PROTOCOL + 1), "python 2"])
@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_of_every_kind_and_protocol(name, protocol):
    content = {"a": ARRAYS[name], "b": "text", "c": None}
    data = pickle_like_python2(content) if protocol == "python 2" else pickle.dumps(content, protocol=protocol)
    found = read(data, "a", "missing")
    assert list(found) == ["a"]
    np.testing.assert_array_equal(found["a"], ARRAYS[name])
    assert found["a"].dtype.newbyteorder("=") == np.asarray(ARRAYS[name]).dtype.newbyteorder("=")


@pytest.mark.parametrize("protocol", [0, 2, 4, "python 2"])
@pytest.mark.parametrize("form", ["csc_matrix", "csr_matrix", "coo_matrix", "csc_array", "csr_array", "coo_array"])
def test_sparse_matrices_become_dense(form, protocol):
    dense = np.where(np.random.default_rng(0).uniform(size=(5, 9)) < 0.3, 1.5, 0)
    content = {"a": getattr(scipy.sparse, form)(dense)}
    data = pickle_like_python2(content) if protocol == "python 2" else pickle.dumps(content, protocol=protocol)
    if protocol == "python 2" and form == "csc_matrix":
        assert b"cscipy.sparse.csc\ncsc_matrix\n" in data  # the module's name in the files of FLAME
    np.testing.assert_array_equal(read(data)["a"], dense)


def test_chumpy_arrays_are_their_values():
    array = np.arange(12.0).reshape(4, 3)
    data = with_chumpy(
        lambda ch, select: pickle_like_python2(
            {"a": ch(array), "b": select(ch(array), np.array([11, 0, 5, 5]), (2, 2))}
        )
    )
    found = read(data, "a", "b")
    np.testing.assert_array_equal(found["a"], array)
    np.testing.assert_array_equal(found["b"], [[11, 0], [5, 5]])


def test_other_chumpy_expressions_are_refused_only_where_they_are_needed():
    def make(ch, select):
        import chumpy.reordering

        other = chumpy.reordering.Concatenate()
        other.__dict__["parts"] = [ch(np.zeros(3))]
        return pickle.dumps({"a": np.ones(2), "b": other}, protocol=2)

    data = with_chumpy(make)
    np.testing.assert_array_equal(read(data)["a"], [1, 1])
    with pytest.raises(FaceModelError, match=r"model\.pkl: b: .*chumpy\.Concatenate, of which the value is not known"):
        read(data, "b")


def test_reading_needs_neither_chumpy_nor_scipy():
    import subprocess
    import sys

    code = "import tdmm.face.pickles, sys; print([m for m in ('scipy', 'chumpy', 'torch') if m in sys.modules])"
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert made.stdout.strip() == "[]"


# -- hostile and broken -------------------------------------------------------------------------------


class Calls:
    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


def hostile(marker):
    """Ways to run something, with the global that must be named."""
    command = f"touch {marker}"
    stack_global = b"\x80\x04\x8c\x05numpy\x8c\x12ndarray.__reduce__\x93."
    return {
        "os.system": (pickle.dumps({"a": Calls(os.system, command)}), "system"),
        "in an array": (pickle.dumps({"a": np.array([Calls(os.system, command)], object)}), "system"),
        "in a key not read": (pickle.dumps({"a": 1, "z": Calls(os.system, command)}), "system"),
        "eval": (pickle.dumps({"a": Calls(eval, f"open({str(marker)!r}, 'w')")}), r"builtins\.eval"),
        "python 2": (b"c__builtin__\neval\n(S'1'\ntR.", r"__builtin__\.eval"),
        "getattr": (pickle.dumps(Calls(getattr, "", "join")), r"builtins\.getattr"),
        "numpy's own loader": (b"cnumpy\nload\n.", r"numpy\.load"),
        "numpy's tests": (b"cnumpy.testing._private.utils\nrunstring\n.", "runstring"),
        "scipy": (b"cscipy.sparse\nload_npz\n.", r"scipy\.sparse\.load_npz"),
        "dotted": (stack_global, r"numpy\.ndarray\.__reduce__"),
        "torch": (b"ctorch._utils\n_rebuild_tensor\n.", r"torch\._utils\._rebuild_tensor"),
        "inst": (b"(S'" + command.encode() + b"'\nios\nsystem\n.", r"os\.system"),
    }


@pytest.mark.parametrize("case", hostile("x"))
def test_a_hostile_pickle_is_refused_by_name_and_not_run(case, tmp_path):
    marker = tmp_path / "was-run"
    data, name = hostile(marker)[case]
    with pytest.raises(FaceModelError, match=rf"^model\.pkl: refused to load \S*{name}, .*do not trust") as caught:
        read(data)
    assert "\n" not in str(caught.value)
    assert not marker.exists()


def test_lent_stand_ins_keep_nothing_from_one_file_to_the_next():
    """A pickle can set attributes on the functions it was lent; another file must not see them."""
    for lent in (b"c_codecs\nencode\n", b"c__builtin__\nbytes\n", b"cnumpy\ndtype\n"):
        with pytest.raises(FaceModelError, match=r"expected a (pickled dict|whole pickle)"):
            read(b"\x80\x02" + lent + b"N}X\x04\x00\x00\x00kindX\x04\x00\x00\x00evils\x86b.")
        reader = pickles._Reader(io.BytesIO(b""), PATH)
        module, name = lent.decode()[1:-1].split("\n")
        assert getattr(reader.find_class(module, name), "kind", "") != "evil"


def sparse(form="csc_matrix", **changes):
    matrix = getattr(scipy.sparse, form)(np.eye(3))
    for name, value in changes.items():
        matrix.__dict__[name] = value
    return matrix


class Forged(np.ndarray):
    """An array whose pickle claims another shape and dtype than its bytes have."""

    claim = ((2,), np.dtype("f8"), b"\0" * 16)

    def __reduce__(self):
        shape, dtype, raw = self.claim
        return (np.zeros(0).__reduce__()[0], (np.ndarray, (0,), b"b"), (1, shape, dtype, False, raw))


def forged(shape, dtype, raw):
    array = np.zeros(1).view(Forged)
    array.claim = (shape, np.dtype(dtype), raw)
    return array


BROKEN = {
    "objects": (lambda: np.array([None, {}], object), "values of 'O8'"),
    "texts": (lambda: np.array(["a"]), "values of 'U1'"),
    "records": (lambda: np.zeros(1, [("x", "f4")]), "values of 'V4'"),
    "a text": (lambda: "hello", "values of <U5"),
    "nothing": (lambda: None, "values of object"),
    "a dict": (lambda: {}, "values of object"),
    "ragged": (lambda: [[1], [2, 3]], "inhomogeneous"),
    "short of bytes": (lambda: forged((3,), "f8", b"\0" * 16), "cannot reshape"),
    "vast": (lambda: forged((2**40,), "f8", b"\0" * 16), "cannot reshape"),
    "objects in disguise": (lambda: forged((1,), "O", b"\x41" * 8), "values of 'O8'"),
    "sparse vast": (lambda: sparse(_shape=(2**30, 2**30)), "a sparse matrix of"),
    "sparse negative": (lambda: sparse(_shape=(-3, 3)), "a sparse matrix of"),
    "sparse row": (lambda: sparse(indices=np.int32([0, 99, 2])), "out of bounds"),
    "sparse negative row": (lambda: sparse(indices=np.int32([0, -1, 2])), "negative indices"),
    "sparse pointers": (lambda: sparse(indptr=np.int32([0, 2**30, 2, 3])), "pointers do not fit"),
    "sparse too few": (lambda: sparse(indptr=np.int32([0, 1])), "pointers do not fit"),
    "sparse no data": (lambda: sparse(data=None), "values of object"),
    "coo": (lambda: sparse("coo_matrix", coords=(np.int32([0, 1, 9]), np.int32([0, 1, 2]))), "out of bounds"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_no_array_is_refused_with_its_key(case):
    make, message = BROKEN[case]
    with pytest.raises(FaceModelError, match=rf"^model\.pkl: a: expected an array, found .*{message}"):
        read(pickle.dumps({"a": make()}, protocol=4))


@pytest.mark.parametrize(
    "data",
    [b"", b"\x80\x04", b"hello", b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f", pickle.dumps({"a": np.ones(9)})[:-9]],
)
def test_damaged_pickles(data):
    with pytest.raises(FaceModelError, match=r"^model\.pkl: expected a whole pickle, found a damaged one"):
        read(data)


def test_pickles_of_something_else():
    with pytest.raises(FaceModelError, match="expected a pickled dict of arrays, found list"):
        read(pickle.dumps([1, 2]))
    assert read(pickle.dumps(collections.OrderedDict(a=np.ones(1))))["a"] == 1


def test_an_array_that_holds_itself():
    def make(ch, _):
        loop = ch(None)
        loop.__dict__["x"] = loop
        return pickle.dumps({"a": loop}, protocol=2)

    with pytest.raises(FaceModelError, match=r"a: expected an array, found .*recursion"):
        read(with_chumpy(make))


def test_random_damage_raises_nothing_else():
    good = pickle.dumps({"a": np.arange(20.0), "j": sparse()}, protocol=2)
    random, messages = np.random.default_rng(0), []
    for place in random.integers(0, len(good), 500):
        damaged = bytearray(good)
        damaged[place] = random.integers(256)
        try:
            read(bytes(damaged), "a", "j")
        except FaceModelError as error:
            messages.append(str(error))
    assert len(messages) > 50
    assert not any("\n" in message for message in messages)


def test_the_python_2_pickles_of_these_tests_are_what_python_2_wrote():
    assert Python2Pickler.dispatch[str] is Python2Pickler.dispatch[bytes]
    data = pickle_like_python2({"a": np.arange(2.0)})
    assert b"cnumpy.core.multiarray\n_reconstruct\n" in data
    assert b"X" + (1).to_bytes(4, "little") not in data  # no unicode
    loaded = pickle.loads(data, encoding="latin1")
    np.testing.assert_array_equal(loaded["a"], [0, 1])
