"""A mesh whose every vertex is a fixed linear map of the base mesh, so that all bases follow from the base mesh's."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sparse


@dataclass
class Part:
    """Triangles of one or more materials over vertices that are linear in the base mesh's N vertices.

    rows: (K, N) sparse map. triangles: (F, 3) into the K rows, counter-clockwise seen from outside.
    uv: (U, 2) in the atlas, v up; uv_triangles: (F, 3) into uv. material: (F,) names.
    head_weight: (K,) share of the head's rotation, 0 for the upright torso.
    eye: 0, or 1 for the left and 2 for the right eyeball, which eyes_pose turns.
    turns: (52, 3, 3) rotations about the eye's centre that replace the displacements the map gives; None: the map's.
    """

    rows: sparse.csr_matrix
    triangles: np.ndarray
    uv: np.ndarray
    uv_triangles: np.ndarray
    material: np.ndarray
    head_weight: np.ndarray
    eye: int = 0
    turns: np.ndarray | None = None


@dataclass
class Assembly:
    """All parts as one mesh. Vertices are ordered: moved by the head alone, left eye, right eye, neck."""

    rows: sparse.csr_matrix
    triangles: np.ndarray
    uv: np.ndarray
    uv_triangles: np.ndarray
    material: np.ndarray
    head_weight: np.ndarray
    eye: np.ndarray
    turns: dict[int, np.ndarray] = field(default_factory=dict)  # of the left (1) and the right eye (2)

    def positions(self, base: np.ndarray) -> np.ndarray:
        """(..., N, 3) of the base mesh to (..., V, 3)."""
        flat = base.reshape(-1, *base.shape[-2:])
        return np.stack([self.rows @ one for one in flat]).reshape(*base.shape[:-2], -1, 3)

    def actions(self, base_actions: np.ndarray, template: np.ndarray, eye_centers: np.ndarray) -> np.ndarray:
        """(52, V, 3) displacements of the expressions of a head (V, 3) with its eyes' centres (2, 3)."""
        moved = self.positions(base_actions.astype(np.float64))
        for number, turns in self.turns.items():
            eye = self.eye == number
            moved[:, eye] = (template[eye] - eye_centers[number - 1]) @ np.swapaxes(turns - np.eye(3), 1, 2)
        return moved


def assemble(parts: list[Part]) -> Assembly:
    """Join parts and put the vertices in the order that makes posing cheap."""
    starts = np.cumsum([0, *[part.rows.shape[0] for part in parts]])
    uv_starts = np.cumsum([0, *[len(part.uv) for part in parts]])
    eye = np.concatenate([np.full(part.rows.shape[0], part.eye) for part in parts])
    weight = np.concatenate([part.head_weight for part in parts])
    order = np.argsort(np.where(weight < 1, 3, eye), kind="stable")
    new_index = np.argsort(order)
    rows = sparse.vstack([part.rows for part in parts]).tocsr()[order]
    return Assembly(
        rows=rows,
        triangles=new_index[np.concatenate([p.triangles + s for p, s in zip(parts, starts, strict=False)])],
        uv=np.concatenate([part.uv for part in parts]),
        uv_triangles=np.concatenate([p.uv_triangles + s for p, s in zip(parts, uv_starts, strict=False)]),
        material=np.concatenate([part.material for part in parts]),
        head_weight=weight[order],
        eye=eye[order],
        turns={part.eye: part.turns for part in parts if part.turns is not None},
    )


def selection(indices: np.ndarray, n_base: int) -> sparse.csr_matrix:
    """The map (K, N) that picks base vertices."""
    ones = np.ones(len(indices))
    return sparse.csr_matrix((ones, (np.arange(len(indices)), indices)), shape=(len(indices), n_base))


def split_quads(quads: np.ndarray) -> np.ndarray:
    """Quads (Q, 4) to triangles (2 Q, 3), each quad's two in a row."""
    return quads[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3)


def compact(triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The indices that triangles use, sorted, and the triangles into those."""
    used, packed = np.unique(triangles, return_inverse=True)
    return used, packed.reshape(triangles.shape)
