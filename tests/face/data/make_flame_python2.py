"""How flame_python2_chumpy.pkl was made: FLAME's format by the real chumpy, three vertices and one expression.

python2.7 make_flame_python2.py, with numpy 1.16.6, scipy 1.2.3 and chumpy 0.69. All values follow from `ramp`.
"""

import pickle

import chumpy
import numpy as np
import scipy.sparse


def ramp(*shape):
    """Numbers that any numpy makes alike: multiples of 1/64 between -1 and 1."""
    return ((np.arange(np.prod(shape)) * 37) % 129 - 64).reshape(shape) / 64.0


weights = np.abs(ramp(3, 5)) + 1.0 / 64
regressor = np.abs(ramp(5, 3)) * (np.arange(15).reshape(5, 3) % 3 > 0)
basis = chumpy.array(ramp(3, 3, 302))
model = {
    "v_template": chumpy.array(ramp(3, 3)),
    "shapedirs": basis[:, :, :301],  # chumpy writes this as an expression, a selection
    "posedirs": ramp(3, 3, 36),
    "J_regressor": scipy.sparse.csc_matrix(regressor),
    "weights": weights / weights.sum(1).reshape(3, 1),
    "kintree_table": np.array([[2**32 - 1, 0, 1, 1, 1], [0, 1, 2, 3, 4]], np.int64),
    "f": np.array([[0, 1, 2]], np.uint32),
    "J": chumpy.array(ramp(5, 3)),
    "bs_style": "lbs",
    "bs_type": "lrotmin",
}
with open("flame_python2_chumpy.pkl", "wb") as stream:
    pickle.dump(model, stream, protocol=2)
