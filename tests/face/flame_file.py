"""A face model file in the format of FLAME, small and random, every key and dtype of the real one."""

import io
import pickle
import sys
import types
from typing import ClassVar

import numpy as np
import scipy.sparse

N_VERTICES, N_EXPRESSIONS = 48, 100


def flame_arrays(seed=0):
    """Plain arrays in the dtypes of generic_model.pkl; J_regressor is sparse there."""
    random = np.random.default_rng(seed)
    regressor = np.where(random.uniform(size=(5, N_VERTICES)) < 0.3, random.uniform(size=(5, N_VERTICES)), 0)
    regressor[:, 0] += 1e-3  # no empty row
    weights = random.uniform(size=(N_VERTICES, 5)) ** 4
    weights[:6] = np.eye(5)[3]  # two rigid eyeballs
    weights[6:12] = np.eye(5)[4]
    return {
        "v_template": random.normal(0, 0.1, (N_VERTICES, 3)),
        "f": random.permuted(np.tile(np.arange(N_VERTICES, dtype=np.uint32), (80, 1)), axis=1)[:, :3].copy(),
        "shapedirs": random.normal(0, 0.003, (N_VERTICES, 3, 300 + N_EXPRESSIONS)),
        "posedirs": random.normal(0, 0.01, (N_VERTICES, 3, 36)),
        "J_regressor": scipy.sparse.csc_matrix(regressor / regressor.sum(1, keepdims=True)),
        "weights": weights / weights.sum(1, keepdims=True),
        "kintree_table": np.array([[2**32 - 1, 0, 1, 1, 1], [0, 1, 2, 3, 4]], np.int64),
        "J": random.normal(0, 0.1, (5, 3)),
        "bs_style": "lbs",
        "bs_type": "lrotmin",
    }


class Python2Pickler(pickle._Pickler):
    """Protocol 2 as Python 2 wrote it: every text and every buffer a byte string, modules by their old names."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def __init__(self, stream):
        super().__init__(stream, protocol=2, fix_imports=True)

    def _save_bytes(self, value):
        raw = value.encode("latin1") if isinstance(value, str) else value
        self.write(pickle.BINSTRING + len(raw).to_bytes(4, "little", signed=True) + raw)
        self.memoize(value)

    dispatch[bytes] = _save_bytes
    dispatch[str] = _save_bytes


def pickle_like_python2(value):
    stream = io.BytesIO()
    Python2Pickler(stream).dump(value)
    renamed = {
        b"cscipy.sparse._csc\n": b"cscipy.sparse.csc\n",
        b"cnumpy._core.multiarray\n": b"cnumpy.core.multiarray\n",
    }
    data = stream.getvalue()
    for new, old in renamed.items():
        data = data.replace(new, old)
    return data


def chumpy_module():
    """Classes that pickle as chumpy's do: state is the object's dict, the array in `x`."""
    package, ch, reordering = (types.ModuleType(name) for name in ("chumpy", "chumpy.ch", "chumpy.reordering"))

    def make(module, name):
        kind = type(name, (), {"__module__": module.__name__, "__qualname__": name})
        setattr(module, name, kind)
        return kind

    make(ch, "Ch")
    make(reordering, "Select")
    make(reordering, "Concatenate")
    package.ch, package.reordering = ch, reordering
    return {"chumpy": package, "chumpy.ch": ch, "chumpy.reordering": reordering}


def with_chumpy(make_bytes):
    """`make_bytes(ch, select)` with stand-in classes of chumpy importable, which pickling needs, for that long."""
    modules = chumpy_module()
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)

    def new(kind, **state):
        value = kind()
        value.__dict__.update(state)
        return value

    def ch(array):
        return new(modules["chumpy.ch"].Ch, x=array, _dirty_vars=set(), _cached_parms={}, _itr=None)

    def select(array, indices, shape):
        return new(modules["chumpy.reordering"].Select, a=array, idxs=indices, preferred_shape=shape)

    try:
        return make_bytes(ch, select)
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def flame_2020_bytes(arrays):
    """As generic_model.pkl of FLAME 2020: Python 2, some arrays in chumpy."""
    return with_chumpy(
        lambda ch, _: pickle_like_python2(
            {
                **arrays,
                "shapedirs": ch(arrays["shapedirs"]),
                "v_template": ch(arrays["v_template"]),
                "J": ch(arrays["J"]),
            }
        )
    )
