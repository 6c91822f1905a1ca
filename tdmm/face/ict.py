"""ICT-FaceKit (Li et al., Learning Formation of Physically-Based Face Attributes, CVPR 2020; MIT) from a user's folder.

`FaceXModel/` holds one OBJ file for the neutral face, one for each identity component (one standard deviation of it)
and one for each expression at full weight, all in centimetres and in the axes of tdmm.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import torch

from tdmm.errors import FaceModelError
from tdmm.face.cache import keep_arrays, kept_arrays
from tdmm.face.data import Buffers, check_coefficients, fingerprint, read_bytes
from tdmm.face.flame import embedded_landmarks
from tdmm.face.linear import blendshapes, rotvec_to_rotmat
from tdmm.face.model import Appearance, Joints, LandmarkEmbedding
from tdmm.face.names import spell_side
from tdmm.face.obj import read_mesh, read_vertices
from tdmm.face.topology import fit_sphere

NAME = "ict-facekit"
NEUTRAL_FILE = "generic_neutral_mesh.obj"
INDEX_FILE = "vertex_indices.json"
METRES = 0.01
# ARKit has one unit where ICT-FaceKit has two halves; these keep the names of ICT-FaceKit.
HALVES = ("browInnerUp_L", "browInnerUp_R", "cheekPuff_L", "cheekPuff_R")

# The topology of the README of ICT-FaceKit, "Face Model Topology": polygons up to that number belong to the part.
# None is not drawn: the inner eyeball with the iris, which lies behind a shell that a game engine makes transparent at
# the cornea (here the shell is coloured instead); shells of fluid and soft shadow, which would hide the eyes; and
# lashes, strips that are nothing but dark bands without the picture of hairs that belongs on them.
_N_VERTICES, _N_POLYGONS = 26719, 26384
_PARTS = (
    (11144, "skin"),  # face, head and neck
    (13226, "mouth"),
    (14034, "skin"),  # eye sockets
    (17006, "gums"),  # and tongue
    (21496, "teeth"),
    (22296, "sclera"),
    (23094, None),
    (23894, "sclera"),
    (26384, None),
)
_PART_NAMES = ("skin", "mouth", "gums", "teeth", "sclera", "iris", "pupil")
_EYEBALLS = ((21451, 23021), (23021, 24591))  # vertices of the left and the right one
_SHELLS = ((21451, 22221), (23021, 23791))  # their outer surfaces
IRIS_RADIUS, PUPIL_RADIUS = 0.0059, 0.002  # metres; the iris as far as the cornea bulges


def find_ict_folder(path: Path) -> Path | None:
    """The folder with the OBJ files: `path` itself or `FaceXModel` in it; None if neither is."""
    return next((folder for folder in (path, path / "FaceXModel") if (folder / NEUTRAL_FILE).is_file()), None)


def arkit_name(name: str) -> str:
    """ARKit's name of an ICT-FaceKit expression where both are the same unit: mouthSmile_L is mouthSmileLeft."""
    return name if name in HALVES else spell_side(name)


def load_ict(path: str | Path, cache: Path | None = None) -> IctModel:
    """ICT-FaceKit from its folder (`ICT-FaceKit` or `FaceXModel`).

    Identity components and expressions of which there is no file are left out, so that a part of the model can be
    used; its fingerprint then is another one. `cache`: a folder to keep the parsed files in, for reading 154 text
    files takes seconds; None keeps nothing. Raises `FaceModelError`.
    """
    folder = find_ict_folder(Path(path))
    if folder is None:
        raise FaceModelError(f"{path}: expected ICT-FaceKit's {NEUTRAL_FILE} in it or in FaceXModel, found none")
    identities, expressions = _components(folder)
    if cache is None:
        return IctModel(_parse(folder, identities, expressions))
    files = [NEUTRAL_FILE, *identities, *expressions.values()]
    place = cache / f"{NAME}-{_stamp(folder, files)}.npz"
    arrays = kept_arrays(place)
    if arrays is None:
        arrays = _parse(folder, identities, expressions)
        keep_arrays(place, arrays)
    return IctModel(arrays)


class IctModel:
    """ICT-FaceKit as a `tdmm.face.model.FaceModel`; axes T, V, F, E, S, L as there.

    The eyeballs, which no expression of ICT-FaceKit moves, turn about their centres by `eyes_pose`. There is no neck or
    jaw joint. `rotation` turns the whole bust about the origin, the middle of the head.
    """

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        """`arrays`: template (V, 3), shape_basis (S, V, 3), expression_basis (E, V, 3) float32; faces (F, 3) int32;
        expression_names (E,); part_of_face (F,) uint8; if there are any, uv (U, 2) float32 and uv_faces (F, 3) int32.
        """
        self.name = NAME
        self.sha256 = fingerprint({key: arrays[key] for key in sorted(arrays) if not key.startswith("uv")})
        self.faces = arrays["faces"]
        self.n_vertices = len(arrays["template"])
        self.n_shape = len(arrays["shape_basis"])
        self.expression_names = tuple(arrays["expression_names"].tolist())
        self.landmark_embedding: LandmarkEmbedding | None = None
        self.joints = Joints(neck=False, jaw=False, eyes=self.n_vertices == _N_VERTICES)
        self.appearance = Appearance(
            part_names=_PART_NAMES,
            part_of_face=arrays["part_of_face"],
            uv=arrays.get("uv"),
            uv_faces=arrays.get("uv_faces"),
        )
        buffers = {key: arrays[key] for key in ("template", "shape_basis", "expression_basis")}
        if self.joints.eyes:
            template, basis = arrays["template"], arrays["shape_basis"]
            buffers["eye_centers"] = np.stack([fit_sphere(template[slice(*run)])[0] for run in _SHELLS])
            # An identity moves the centre as it moves the eyeball on the whole.
            buffers["eye_basis"] = np.stack([basis[:, slice(*run)].mean(1) for run in _EYEBALLS], 1)
        self._buffers = Buffers(buffers)

    def vertices(
        self,
        shape: torch.Tensor,
        expression: torch.Tensor,
        *,
        rotation: torch.Tensor | None = None,
        translation: torch.Tensor | None = None,
        neck_pose: torch.Tensor | None = None,
        jaw_pose: torch.Tensor | None = None,
        eyes_pose: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Posed vertices (T, V, 3); see `FaceModel.vertices`. `neck_pose` and `jaw_pose` do nothing here."""
        check_coefficients(shape, expression, self.n_shape, len(self.expression_names))
        data = self._buffers.like(expression)
        shape = shape.to(expression)
        posed = blendshapes(
            blendshapes(data["template"], data["shape_basis"], shape), data["expression_basis"], expression
        )
        if eyes_pose is not None and self.joints.eyes:
            centers = blendshapes(data["eye_centers"], data["eye_basis"], shape)
            turns = rotvec_to_rotmat(eyes_pose.to(expression).reshape(-1, 2, 3)).transpose(-1, -2)
            before, parts = 0, []
            for side, (start, stop) in enumerate(_EYEBALLS):
                center = centers[..., side, None, :]
                parts += [posed[:, before:start], (posed[:, start:stop] - center) @ turns[:, side] + center]
                before = stop
            posed = torch.cat([*parts, posed[:, before:]], dim=1)
        if rotation is not None:
            posed = posed @ rotvec_to_rotmat(rotation.to(expression)).transpose(-1, -2)
        if translation is not None:
            posed = posed + translation.to(expression)[:, None]
        return posed

    def landmarks(self, vertices: torch.Tensor) -> torch.Tensor:
        """Embedded landmarks (T, L, 3); see `FaceModel.landmarks`."""
        if self.landmark_embedding is None:
            raise FaceModelError(
                f"{NAME} has no landmark embedding yet; tdmm.fit.embedding.derive_embedding derives it"
            )
        return embedded_landmarks(self.faces, self.landmark_embedding, vertices)


# -- reading ------------------------------------------------------------------------------------------


def _components(folder: Path) -> tuple[list[str], dict[str, str]]:
    """File names of the identities, and of the expressions by their names of ICT-FaceKit, in the model's order."""
    identities = sorted(item.name for item in folder.glob("identity[0-9][0-9][0-9].obj"))
    for number, name in enumerate(identities):
        if name != f"identity{number:03d}.obj":
            raise FaceModelError(f"{folder}: expected identity{number:03d}.obj, found {name}; copy the folder again")
    index = folder / INDEX_FILE
    try:
        names = json.loads(read_bytes(index))["expressions"]
        expressions = {str(name): f"{name}.obj" for name in names if (folder / f"{name}.obj").is_file()}
    except (ValueError, KeyError, TypeError) as error:
        raise FaceModelError(f"{index}: expected JSON with a list of expressions, found {error}") from error
    if not expressions:
        raise FaceModelError(f"{folder}: expected an OBJ file for each expression of {INDEX_FILE}, found none")
    return identities, expressions


def _parse(folder: Path, identities: list[str], expressions: dict[str, str]) -> dict[str, np.ndarray]:
    neutral, uv, triangles = read_mesh(folder / NEUTRAL_FILE)
    height = np.ptp(neutral[:, 1]) * METRES
    if not 0.1 < height < 1:
        raise FaceModelError(
            f"{folder / NEUTRAL_FILE}: expected a head in centimetres, found one of {height:.3g} metres"
        )

    def basis(names: list[str]) -> np.ndarray:
        stacked = np.zeros((len(names), *neutral.shape), np.float32)
        for row, name in enumerate(names):
            moved = read_vertices(folder / name)
            if moved.shape != neutral.shape:
                raise FaceModelError(f"{folder / name}: expected {len(neutral)} vertices, found {len(moved)}")
            stacked[row] = (moved - neutral) * METRES
        return stacked

    part_of_polygon = np.zeros(triangles.n_polygons, np.int64)
    if (len(neutral), triangles.n_polygons) == (_N_VERTICES, _N_POLYGONS):
        start = 0
        for stop, part in _PARTS:
            part_of_polygon[start:stop] = -1 if part is None else _PART_NAMES.index(part)
            start = stop
    part = part_of_polygon[triangles.polygon]
    template = (neutral * METRES).astype(np.float32)
    if (part == _PART_NAMES.index("sclera")).any():
        _colour_eyes(template, triangles.vertex, part)
    drawn = part >= 0
    arrays = {
        "template": template,
        "shape_basis": basis(identities),
        "expression_basis": basis(list(expressions.values())),
        "expression_names": np.array([arkit_name(name) for name in expressions]),
        "faces": triangles.vertex[drawn],
        "part_of_face": part[drawn].astype(np.uint8),
    }
    if triangles.uv is not None:
        # Seven tiles side by side, u in 0..7, as one picture with u in 0..1.
        tiles = max(np.ceil(uv[:, 0].max()), 1)
        arrays["uv"] = (uv / (tiles, 1)).astype(np.float32)
        arrays["uv_faces"] = triangles.uv[drawn]
    return arrays


def _colour_eyes(template: np.ndarray, faces: np.ndarray, part: np.ndarray) -> None:
    """Iris and pupil on the outer shells of the eyeballs, around the axis to the top of the cornea; changes `part`."""
    for start, stop in _SHELLS:
        shell = template[start:stop]
        center = fit_sphere(shell)[0]
        distance = np.linalg.norm(shell - center, axis=1)
        axis = (shell[distance > distance.max() - 1e-4] - center).mean(0)
        axis /= np.linalg.norm(axis)
        own = np.flatnonzero((faces >= start).all(1) & (faces < stop).all(1))
        middle = template[faces[own]].mean(1) - center
        along = middle @ axis
        from_axis = np.linalg.norm(middle - along[:, None] * axis, axis=1)
        for name, radius in (("iris", IRIS_RADIUS), ("pupil", PUPIL_RADIUS)):
            part[own[(along > 0) & (from_axis < radius)]] = _PART_NAMES.index(name)


def _stamp(folder: Path, names: list[str]) -> str:
    """Changes when a file of the folder does, by name, size and time."""
    found = [(name, (folder / name).stat()) for name in names]
    text = repr([str(folder.resolve()), *((name, stat.st_size, stat.st_mtime_ns) for name, stat in found)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]
