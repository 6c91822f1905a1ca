"""The skin: the base mesh's head and neck, cut by a plane, with a closed, rounded rim."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import scipy.sparse as sparse

from . import atlas
from .assembly import Part, compact, selection, split_quads
from .source import Source

# Head and neck together above this share; the plane cuts higher everywhere.
HEAD_AND_NECK = 0.10
# The cut: y = CUT_HEIGHT + CUT_SLOPE * z in metres in the head frame, lower in front than behind.
CUT_HEIGHT, CUT_SLOPE = -0.1075, -0.22
BEND_HEIGHT = 0.06  # metres above the cut over which the torso's hold on the neck ends
CALM_HEIGHT = 0.045  # metres above the cut over which identities stop moving the rim as one piece
SOCKET_DEPTH = 0.003  # metres in front of the eyeballs' middle, behind which the sockets are left out
SNAP = 0.003  # vertices nearer to the cut than this are moved onto it
RIM = ((0.02, 0.020), (0.09, 0.042), (0.30, 0.046))  # rings below the cut: towards the middle, downwards


@dataclass
class _Draft:
    """Skin under construction: rows as (K, N), triangle corners as pairs of vertex and uv."""

    rows: sparse.csr_matrix
    triangles: np.ndarray
    uv: np.ndarray
    source_uv: np.ndarray
    uv_triangles: np.ndarray


def head_rotation_weight(source: Source) -> np.ndarray:
    """Share (N,) of the head's rotation: the neck bones hand it down from the skull to the upright torso."""
    return np.clip(source.head_weight + source.neck_weight @ np.array([0.25, 0.5, 0.75]), 0, 1)


def build_skin(source: Source, neutral: np.ndarray) -> tuple[Part, np.ndarray]:
    """The skin with the inside of the mouth and of the lids, and MakeHuman's own uv (U, 2) of each of its uv."""
    quads, quad_uvs = source.quads["body"], source.quad_uvs["body"]
    inside = (source.head_weight + source.neck_weight.sum(1) > HEAD_AND_NECK)[quads].all(1)
    inside &= ~_deep_socket(source, neutral, quads, quad_uvs)
    used, triangles = compact(split_quads(quads[inside]))
    used_uv, uv_triangles = compact(split_quads(quad_uvs[inside]))
    source_uv = source.uv[used_uv]
    draft = _Draft(selection(used, len(neutral)), triangles, _layout(source_uv), source_uv, uv_triangles)
    draft = _cut(draft, neutral)
    material = _material(draft, source)
    n_skin = len(draft.triangles)
    draft = _close(draft, neutral)
    material = np.concatenate([material, np.full(len(draft.triangles) - n_skin, "skin")])
    weight = draft.rows @ head_rotation_weight(source)
    # The rim is the torso: it does not turn at all, and the neck above it bends smoothly.
    height = draft.rows @ neutral @ np.array([0, 1, -CUT_SLOPE]) - CUT_HEIGHT
    bend = np.clip(height / BEND_HEIGHT, 0, 1)
    weight = np.clip(np.round(weight * bend * bend * (3 - 2 * bend), 6), 0, 1)
    weight[np.unique(draft.triangles[material == "mouth"])] = 1.0  # one piece with teeth and tongue
    part = Part(draft.rows, draft.triangles, draft.uv, draft.uv_triangles, material, weight)
    return part, draft.source_uv


def _deep_socket(source: Source, neutral: np.ndarray, quads: np.ndarray, quad_uvs: np.ndarray) -> np.ndarray:
    """The back of the eye sockets, which the eyeballs hide."""
    of_socket = _is_socket(source.uv[quad_uvs].mean(1))
    eyes = np.unique(np.concatenate([source.quads["helper-l-eye"], source.quads["helper-r-eye"]]))
    return of_socket & (neutral[quads][..., 2].max(1) < neutral[eyes][:, 2].mean() + SOCKET_DEPTH)


def _is_socket(uv: np.ndarray) -> np.ndarray:
    return (uv[:, 0] < 0.16) & (uv[:, 1] > 0.5) & (uv[:, 1] < 0.65)


def calm_rim(components: np.ndarray, points: np.ndarray, head_weight: np.ndarray) -> np.ndarray:
    """Displacements (n, V, 3) in which the rim of the neck moves as one piece.

    The shoulders' muscles would make waves of the cut: the rim's displacement is replaced by the affine one that fits
    it best, fading out upwards over `CALM_HEIGHT`. points: (V, 3) of the average head.
    """
    above = points[:, 1] - (CUT_HEIGHT + CUT_SLOPE * points[:, 2])
    rim = (np.abs(above) < 0.004) & (head_weight < 1)
    share = np.clip(1 - above / CALM_HEIGHT, 0, 1) * (head_weight < 1)
    share = (share * share * (3 - 2 * share))[:, None]
    places = np.concatenate([points, np.ones((len(points), 1))], axis=1)
    calmed = np.empty_like(components)
    for index, displacement in enumerate(components):
        affine = np.linalg.lstsq(places[rim], displacement[rim], rcond=None)[0]
        calmed[index] = displacement * (1 - share) + (places @ affine) * share
    return calmed


def _layout(uv: np.ndarray) -> np.ndarray:
    """The atlas places (K, 2) of MakeHuman's islands: head, mouth inside, neck, eye sockets."""
    mouth = (uv[:, 0] > 0.63) & (uv[:, 1] < 0.14)
    neck = (uv[:, 0] < 0.63) & (uv[:, 1] > 0.8)
    laid = atlas.head_island(uv)
    laid[mouth] = atlas.into_box(uv[mouth], atlas.MOUTH_BOX)
    laid[neck] = atlas.into_box(uv[neck], atlas.NECK_BOX)
    laid[_is_socket(uv)] = atlas.SOCKET
    return laid


def _material(draft: _Draft, source: Source) -> np.ndarray:
    """skin, lips or mouth for each triangle, from MakeHuman's masks at its middle."""
    middle = draft.source_uv[draft.uv_triangles].mean(1)
    material = np.full(len(middle), "skin", dtype="<U8")
    material[sample_mask(source, "lips", middle) > 0.5] = "lips"
    material[sample_mask(source, "inside-mouth", middle) > 0.5] = "mouth"
    # The two islands of the eye sockets.
    material[_is_socket(middle)] = "mouth"
    return material


def sample_mask(source: Source, name: str, uv: np.ndarray) -> np.ndarray:
    """Values 0..1 of one of MakeHuman's masks at its own uv (K, 2)."""
    mask = source.masks[name]
    rows = np.clip(((1 - uv[:, 1]) * mask.shape[0]).astype(int), 0, mask.shape[0] - 1)
    columns = np.clip((uv[:, 0] * mask.shape[1]).astype(int), 0, mask.shape[1] - 1)
    return mask[rows, columns] / 255


def _cut(draft: _Draft, neutral: np.ndarray) -> _Draft:
    """Clip along the plane. New vertices lie on edges, so they too are linear in the base mesh."""
    points = draft.rows @ neutral
    height = points[:, 1] - (CUT_HEIGHT + CUT_SLOPE * points[:, 2])
    # Vertices just beside the plane are slid onto it along the edge that crosses it most steeply.
    edges = np.concatenate([draft.triangles[:, [i, (i + 1) % 3]] for i in range(3)])
    edges = np.concatenate([edges, edges[:, ::-1]])
    near = np.flatnonzero(np.abs(height) < SNAP)
    rows = draft.rows.tolil()
    for vertex in near:
        others = edges[edges[:, 0] == vertex, 1]
        slope = np.abs(height[others] - height[vertex])
        other = others[slope.argmax()]
        share = height[vertex] / (height[vertex] - height[other])
        rows[vertex] = draft.rows[vertex] * (1 - share) + draft.rows[other] * share
    draft_rows = rows.tocsr()
    height[near] = 0.0
    new_rows, new_uv, new_source_uv = [], [], []
    edge_vertex: dict[tuple[int, int], int] = {}
    edge_uv: dict[tuple[int, int], int] = {}

    def vertex_between(a: int, b: int) -> int:
        a, b = min(a, b), max(a, b)
        if (a, b) not in edge_vertex:
            share = height[a] / (height[a] - height[b])
            edge_vertex[a, b] = draft_rows.shape[0] + len(new_rows)
            new_rows.append(draft_rows[a] * (1 - share) + draft_rows[b] * share)
        return edge_vertex[a, b]

    def uv_between(a: int, b: int, share: float) -> int:
        if (a, b) not in edge_uv:
            edge_uv[a, b] = edge_uv[b, a] = len(draft.uv) + len(new_uv)
            new_uv.append(draft.uv[a] * (1 - share) + draft.uv[b] * share)
            new_source_uv.append(draft.source_uv[a] * (1 - share) + draft.source_uv[b] * share)
        return edge_uv[a, b]

    triangles, uv_triangles = [], []
    for triangle, uv_triangle in zip(draft.triangles, draft.uv_triangles, strict=True):
        if (height[triangle] < 0).all() or height[triangle].max() <= 0:
            continue
        polygon: list[tuple[int, int]] = []
        for k in range(3):
            a, b = int(triangle[k]), int(triangle[(k + 1) % 3])
            ua, ub = int(uv_triangle[k]), int(uv_triangle[(k + 1) % 3])
            if height[a] >= 0:
                polygon.append((a, ua))
            if height[a] * height[b] < 0:
                share = height[a] / (height[a] - height[b])
                polygon.append((vertex_between(a, b), uv_between(ua, ub, share)))
        for k in range(1, len(polygon) - 1):
            fan = (polygon[0], polygon[k], polygon[k + 1])
            triangles.append([v for v, _ in fan])
            uv_triangles.append([u for _, u in fan])
    rows = sparse.vstack([draft_rows, *new_rows]).tocsr()
    uv = np.concatenate([draft.uv, np.reshape(new_uv, (-1, 2))])
    source_uv = np.concatenate([draft.source_uv, np.reshape(new_source_uv, (-1, 2))])
    used, packed = compact(np.array(triangles))
    used_uv, packed_uv = compact(np.array(uv_triangles))
    return _Draft(rows[used], packed, uv[used_uv], source_uv[used_uv], packed_uv)


def _close(draft: _Draft, neutral: np.ndarray) -> _Draft:
    """Round the cut inwards and close it with a fan."""
    points = draft.rows @ neutral
    on_cut = np.abs(points[:, 1] - (CUT_HEIGHT + CUT_SLOPE * points[:, 2])) < 1e-6
    edges = np.concatenate([draft.triangles[:, [i, (i + 1) % 3]] for i in range(3)])
    known = {(int(a), int(b)) for a, b in edges}
    following = {a: b for a, b in known if on_cut[a] and on_cut[b] and (b, a) not in known}
    loop = [min(following)]
    while following[loop[-1]] != loop[0]:
        loop.append(following[loop[-1]])
    n_loop, n_before = len(loop), len(points)
    border = draft.rows[loop]
    middle = sparse.csr_matrix(border.mean(0))
    # Downwards as a map: from the top of the head to the middle of the cut, about 0.27 m.
    down = middle - draft.rows[int(points[:, 1].argmax())]
    down = down / np.linalg.norm((down @ neutral)[0])
    rings = []
    for inwards, below in RIM:
        ring = border * (1 - inwards) + sparse.vstack([middle * inwards + down * (below / 6)] * n_loop)
        rings.append(ring)
    center = middle + down * (RIM[-1][1] / 6)
    start = [np.array(loop)] + [n_before + k * n_loop + np.arange(n_loop) for k in range(len(RIM))]
    triangles = []
    for upper, lower in pairwise(start):
        for k in range(n_loop):
            a, b, c, d = upper[k], upper[(k + 1) % n_loop], lower[k], lower[(k + 1) % n_loop]
            # The border runs a -> b in the skin above, so it runs b -> a in the faces below.
            triangles += [[b, a, c], [b, c, d]]
    last = n_before + len(RIM) * n_loop
    triangles += [[start[-1][(k + 1) % n_loop], start[-1][k], last] for k in range(n_loop)]
    faces = np.array(triangles)
    # The rim keeps the colour of the skin above it; only the middle of the fan has its own.
    uv_of = np.zeros(n_before, int)
    uv_of[draft.triangles] = draft.uv_triangles
    uv_of_loop = np.tile(uv_of[loop], len(RIM) + 1)
    cap_uv = np.concatenate([uv_of, uv_of_loop[n_loop:], [len(draft.uv)]])
    cap = cap_uv[faces]
    return _Draft(
        sparse.vstack([draft.rows, *rings, center]).tocsr(),
        np.concatenate([draft.triangles, faces]),
        np.concatenate([draft.uv, [atlas.CAP]]),
        np.concatenate([draft.source_uv, [[0.4, 0.9]]]),
        np.concatenate([draft.uv_triangles, cap]),
    )
