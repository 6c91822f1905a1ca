"""Arrays out of a pickle without running it: those of numpy, scipy.sparse and chumpy, and nothing else.

A pickle is a program that calls what it names. This reader gives it, for every name, a stand-in that only keeps what
it is called with; the arrays are then put together from what was kept, with every size and index checked. So a
hostile file can waste memory but run nothing. Pickles of Python 2, such as FLAME's, are read too.
"""

from __future__ import annotations

import collections
import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from tdmm.errors import FaceModelError

_NUMPY = {"ndarray", "dtype", "_reconstruct", "scalar", "_frombuffer"}
_SPARSE = {f"{form}_{kind}" for form in ("csc", "csr", "coo") for kind in ("matrix", "array")}
_NUMBERS = {
    f"{kind}{size}" for kind, sizes in {"f": "248", "i": "1248", "u": "1248", "b": "1"}.items() for size in sizes
}
# Tensors lie beside arrays in FLAME's landmark file; their values are not read.
_TENSORS = {("torch._utils", "_rebuild_tensor_v2"), ("torch.storage", "_load_from_bytes")}
_BUILTINS: dict[str, Any] = {"object": object, "set": set, "frozenset": frozenset}
_MOST_VALUES = 2**28  # of a matrix in full; FLAME's joint regressor has 25,115


def read_pickled_arrays(path: Path, data: bytes, keys: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Those entries of a pickled dict that are named in `keys` and there, as arrays.

    Sparse matrices become dense, chumpy's arrays become their values. Raises `FaceModelError` that names the file and
    the refused global, or says what is damaged.
    """
    reader = _Reader(io.BytesIO(data), path)
    try:
        content = reader.load()
    except FaceModelError:
        raise
    except Exception as error:  # a damaged pickle can raise anything at all
        raise FaceModelError(
            f"{path}: expected a whole pickle, found a damaged one ({type(error).__name__}: {_one_line(error)})"
        ) from error
    if isinstance(content, _Kept) and content.kind == "numpy._reconstruct":  # of an .npy file: an array of one object
        items = content.state[-1] if isinstance(content.state, tuple) and content.state else None
        content = items[0] if isinstance(items, list) and len(items) == 1 else items
    if not isinstance(content, dict):
        raise FaceModelError(f"{path}: expected a pickled dict of arrays, found {type(content).__name__}")
    found = {}
    for key in keys:
        if key in content:
            try:
                found[key] = _array(content[key])
            except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
                raise FaceModelError(f"{path}: {key}: expected an array, found {_one_line(error)}") from error
    return found


def read_numpy_dict(path: Path, data: bytes, keys: tuple[str, ...]) -> dict[str, np.ndarray]:
    """`read_pickled_arrays` of an `.npy` file that holds one dict, as `numpy.save` writes it. Raises as that does."""
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape, _, dtype = read_header[version](stream)
    except (ValueError, KeyError, EOFError) as error:
        raise FaceModelError(f"{path}: expected an .npy file of numpy, found another ({_one_line(error)})") from error
    if dtype != np.dtype(object) or shape != ():
        raise FaceModelError(f"{path}: expected a dict of arrays, found values of {dtype} {shape}")
    return read_pickled_arrays(path, data[stream.tell() :], keys)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


class _Kept:
    """What a call or an object of the pickle was made of. Each global gets its own subclass."""

    kind = ""
    args: tuple[Any, ...] = ()
    state: Any = None

    def __init__(self, *args: Any) -> None:
        self.args = args

    def __setstate__(self, state: Any) -> None:
        self.state = state


# The interpreter's own unpickler in Python: the compiled one makes room for as many memo entries as a damaged byte
# asks for, gigabytes of them. A face model is a few dozen objects, so that the speed is the same.
class _Reader(pickle._Unpickler):  # type: ignore[name-defined]
    def __init__(self, stream: io.BytesIO, path: Path) -> None:
        super().__init__(stream, encoding="latin1")  # Python 2's bytes, so that text keeps being text
        self._path = path
        self._lent: dict[tuple[str, str], Any] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._lent:
            self._lent[module, name] = self._stand_in(module, name)
        return self._lent[module, name]

    def _stand_in(self, module: str, name: str) -> Any:
        """Made anew for every file: a pickle may set attributes on what it is lent."""
        package = module.split(".")[0]
        if (package == "numpy" and name in _NUMPY) or package == "chumpy" or (module, name) in _TENSORS:
            return type(name, (_Kept,), {"kind": f"{package}.{name}"})
        if module.startswith("scipy.sparse") and name in _SPARSE:  # the modules have been renamed over the years
            return type(name, (_Kept,), {"kind": f"scipy.{name}"})
        if (module, name) == ("_codecs", "encode"):  # how Python 3 writes bytes for Python 2
            return lambda text, *_: str(text).encode("latin1")
        if (module, name) in (("copyreg", "_reconstructor"), ("copy_reg", "_reconstructor")):
            return lambda kind, *_: _Kept.__new__(kind)
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if module in ("builtins", "__builtin__") and name in _BUILTINS:
            return _BUILTINS[name]
        if module in ("builtins", "__builtin__") and name == "bytes":  # Python 3 again: no bytes at all
            return lambda *_: b""
        raise FaceModelError(
            f"{self._path}: refused to load {module}.{name}, which is no part of a face model; do not trust this file"
        )


# -- from what was kept to arrays ---------------------------------------------------------------------


def _array(value: Any) -> np.ndarray:
    """The array that a value of the pickle stands for. Raises ValueError, TypeError, LookupError and the like."""
    if not isinstance(value, _Kept):
        array = np.asarray(value)
        if array.dtype.kind not in "fiub":
            raise ValueError(f"values of {array.dtype}")
        return array
    package, _, name = value.kind.partition(".")
    if package == "scipy":
        return _dense(name[:3], dict(value.state))
    if value.kind == "chumpy.Ch":
        return _array(value.state["x"])
    if value.kind == "chumpy.Select":  # entries of a flattened array, in another shape
        picked = _array(value.state["a"]).ravel()[_array(value.state["idxs"])]
        return picked.reshape(value.state["preferred_shape"])
    if value.kind == "numpy.scalar":
        return _numbers(value.args[0], value.args[1], (), "C")
    if value.kind == "numpy._frombuffer":  # pickle protocol 5
        buffer, dtype, shape, order = value.args
        return _numbers(dtype, buffer, shape, order)
    if value.kind == "numpy._reconstruct":
        *_, shape, dtype, fortran_order, raw = value.state  # numpy.ndarray.__reduce__
        return _numbers(dtype, raw, shape, "F" if fortran_order else "C")
    raise ValueError(f"an expression of {value.kind}, of which the value is not known")


def _numbers(dtype: _Kept, raw: Any, shape: Any, order: str) -> np.ndarray:
    """An array from raw bytes; `dtype` was kept with a code such as f8 and a state that holds the byte order."""
    if not isinstance(dtype, _Kept) or dtype.kind != "numpy.dtype" or dtype.args[0] not in _NUMBERS:
        code = dtype.args[0] if isinstance(dtype, _Kept) and dtype.args else dtype
        raise ValueError(f"values of {code!r}")
    found = np.dtype(dtype.args[0])
    if dtype.state:
        found = found.newbyteorder(dtype.state[1])
    data = raw.encode("latin1") if isinstance(raw, str) else bytes(raw)
    if not data:
        return np.zeros(0, found).reshape(shape)
    return np.frombuffer(data, found).reshape(shape, order="F" if order == "F" else "C")


def _dense(form: str, state: dict[str, Any]) -> np.ndarray:
    """A sparse matrix in full. numpy checks the indices, which scipy's compiled routines do not."""
    n_rows, n_columns = (int(n) for n in (state["_shape"] if "_shape" in state else state["shape"]))
    if min(n_rows, n_columns) < 0 or n_rows * n_columns > _MOST_VALUES:
        raise ValueError(f"a sparse matrix of ({n_rows}, {n_columns})")
    values = _array(state["data"])
    if form == "coo":
        rows, columns = (_array(i) for i in (state["coords"] if "coords" in state else (state["row"], state["col"])))
    else:
        starts, indices = _array(state["indptr"]), _array(state["indices"])
        counts = np.diff(starts)
        n_major = n_columns if form == "csc" else n_rows
        if len(starts) != n_major + 1 or counts.min(initial=0) < 0 or counts.sum() != len(indices):
            raise ValueError(f"a {form} matrix of which the index pointers do not fit")
        major = np.repeat(np.arange(n_major), counts)
        rows, columns = (indices, major) if form == "csc" else (major, indices)
    if min(rows.min(initial=0), columns.min(initial=0)) < 0:
        raise ValueError(f"a {form} matrix with negative indices")
    dense = np.zeros((n_rows, n_columns), values.dtype)
    np.add.at(dense, (rows, columns), values)
    return dense
