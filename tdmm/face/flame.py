"""FLAME (2020, 2023, 2023 Open) from the user's own file: Li et al., Learning a model of facial shape and expression
from 4D scans, SIGGRAPH Asia 2017. The code here is our own; the data is not part of tdmm.

Pose. The world point is R(rotation) v + translation, with v in FLAME's own axes and origin, as for every model of
tdmm. FLAME's own code and VHAP turn the head about the root joint j0 instead: R(rotation) (v - j0) + j0 + t. Both are
the same motion with translation = t + j0 - R(rotation) j0; `FlameModel.rest_joints` gives j0.
"""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

import numpy as np
import torch

from tdmm.errors import FaceModelError
from tdmm.face.data import Buffers, check_coefficients, fingerprint, read_bytes
from tdmm.face.linear import blendshapes, linear_blend_skinning, points_on_triangles, rotvec_to_rotmat
from tdmm.face.model import Appearance, Joints, LandmarkEmbedding
from tdmm.face.pickles import read_numpy_dict, read_pickled_arrays

N_SHAPE = 300  # the first components of shapedirs are identity, the others expression
PARENTS = (-1, 0, 1, 1, 1)  # root, neck, jaw, left eye, right eye
EMBEDDING_FILE = "mediapipe_landmark_embedding.npz"
IBUG_FILE = "landmark_embedding.npy"
# Spread of the detector about a landmark of that file, which says nothing of it: lips, lids, brows and nose only.
EMBEDDING_SIGMA = 0.002
# The same for the 68 points of iBUG, and for those along the jaw, which slide with the silhouette.
IBUG_SIGMA, IBUG_JAW_SIGMA, N_IBUG_JAW = 0.002, 0.012, 17
_KEYS = ("v_template", "shapedirs", "posedirs", "J_regressor", "kintree_table", "weights", "f")
# Half the opening angle of the iris seen from the centre of the eyeball: an iris of 11.8 mm on one of 24 mm.
_IRIS_COSINE = np.cos(np.arcsin(5.9 / 12))


def load_flame(path: str | Path) -> FlameModel:
    """FLAME from `.pkl` (read without running it, see `tdmm.face.pickles`) or `.npz` with the same keys.

    `mediapipe_landmark_embedding.npz` and `landmark_embedding.npy` (68 points of iBUG) are read from the same folder
    where they are there. Raises `FaceModelError`.
    """
    path = Path(path)
    data = read_bytes(path)
    arrays = _read_npz(path, data) if data.startswith(b"PK") else read_pickled_arrays(path, data, _KEYS)
    checked = _check(path, arrays)
    embedding_path = path.parent / EMBEDDING_FILE
    embedding = read_mediapipe_embedding(embedding_path, len(checked["faces"])) if embedding_path.exists() else None
    ibug_path = path.parent / IBUG_FILE
    ibug68 = read_ibug_embedding(ibug_path, len(checked["faces"])) if ibug_path.exists() else None
    return FlameModel(model_name(path), checked, embedding, ibug68)


def model_name(path: Path) -> str:
    """`flame-` and what the file's name says of the version; the files themselves hold no version.

    `flame2023_no_jaw.pkl` gives flame-2023-no-jaw, `generic_model.pkl` (FLAME 2020 and older) flame-generic-model.
    """
    said = re.sub(r"^flame", "", path.stem.lower())
    said = re.sub(r"[^a-z0-9]+", "-", said).strip("-")
    return f"flame-{said}" if said else "flame"


class FlameModel:
    """FLAME as a `tdmm.face.model.FaceModel`; axes T, V, F, E, S, L as there."""

    joints = Joints(neck=True, jaw=True, eyes=True)

    def __init__(
        self,
        name: str,
        arrays: dict[str, np.ndarray],
        embedding: LandmarkEmbedding | None = None,
        ibug68_embedding: LandmarkEmbedding | None = None,
    ) -> None:
        """`arrays`: template (V, 3), basis (300 + E, V, 3), pose_basis (36, V, 3), joint_regressor (5, V) and
        skin_weights (V, 5), all float32, and faces (F, 3) int32."""
        self.name = name
        self.sha256 = fingerprint(arrays)
        self.faces = arrays["faces"]
        self.landmark_embedding = embedding
        self.ibug68_embedding = ibug68_embedding  # of other detectors, where the user has it
        self.n_shape = N_SHAPE
        self.n_vertices = len(arrays["template"])
        n_expressions = len(arrays["basis"]) - N_SHAPE
        self.expression_names = tuple(f"expr_{index:03d}" for index in range(n_expressions))
        regressor = arrays["joint_regressor"].astype(np.float64)
        self._buffers = Buffers(
            {
                "template": arrays["template"],
                "shape_basis": arrays["basis"][:N_SHAPE],
                "expression_basis": arrays["basis"][N_SHAPE:],
                "pose_basis": arrays["pose_basis"],
                "skin_weights": arrays["skin_weights"],
                # Joints are linear in the vertices, so that they have blendshapes of their own.
                "joint_template": regressor @ arrays["template"],
                "joint_basis": (regressor @ arrays["basis"]).astype(np.float64),
            }
        )
        self.appearance = _appearance(arrays)

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
        """Posed vertices (T, V, 3); see `FaceModel.vertices`, and the top of this module about `rotation`."""
        check_coefficients(shape, expression, N_SHAPE, len(self.expression_names))
        data = self._buffers.like(expression)
        neutral = blendshapes(data["template"], data["shape_basis"], shape.to(expression))
        posed = blendshapes(neutral, data["expression_basis"], expression)
        shift = None if translation is None else translation.to(expression)
        if neck_pose is None and jaw_pose is None and eyes_pose is None:
            if rotation is not None:
                posed = posed @ rotvec_to_rotmat(rotation.to(expression)).transpose(-1, -2)
        else:
            rest = expression.new_zeros(len(expression), 3)
            root, neck, jaw = (rest if pose is None else pose.to(rest) for pose in (rotation, neck_pose, jaw_pose))
            eyes = torch.cat([rest, rest], -1) if eyes_pose is None else eyes_pose.to(rest)
            turns = rotvec_to_rotmat(torch.cat([root, neck, jaw, eyes], -1).reshape(-1, 5, 3))
            # Pose correctives: one blendshape for each entry of R - I of each joint but the root.
            unlike_rest = turns[:, 1:] - torch.eye(3).to(turns)
            posed = blendshapes(posed, data["pose_basis"], unlike_rest.flatten(1))
            joints = self.rest_joints(shape, expression)
            posed = linear_blend_skinning(posed, data["skin_weights"], turns, joints, PARENTS)
            if rotation is not None:  # it turned about the root joint; the origin is what it shall turn about
                about_origin = (turns[:, 0] @ joints[:, 0, :, None])[..., 0] - joints[:, 0]
                shift = about_origin if shift is None else shift + about_origin
        return posed if shift is None else posed + shift[:, None]

    def rest_joints(self, shape: torch.Tensor, expression: torch.Tensor) -> torch.Tensor:
        """Joints (T, 5, 3) before posing, metres: root, neck, jaw, left eye, right eye."""
        data = self._buffers.like(expression)
        neutral = blendshapes(data["joint_template"], data["joint_basis"][:N_SHAPE], shape.to(expression))
        return blendshapes(neutral, data["joint_basis"][N_SHAPE:], expression)

    def landmarks(self, vertices: torch.Tensor) -> torch.Tensor:
        """Embedded landmarks (T, L, 3); see `FaceModel.landmarks`."""
        if self.landmark_embedding is None:
            raise FaceModelError(
                f"{self.name} has no landmark embedding yet; put {EMBEDDING_FILE} beside the model, or derive one "
                "with tdmm.fit.embedding.derive_embedding"
            )
        return embedded_landmarks(self.faces, self.landmark_embedding, vertices)


def embedded_landmarks(faces: np.ndarray, embedding: LandmarkEmbedding, vertices: torch.Tensor) -> torch.Tensor:
    """Positions (T, L, 3) of embedded landmarks on vertices (T, V, 3), NaN where there is none."""
    corners, face, barycentric = (
        torch.from_numpy(array).to(vertices.device) for array in (faces, embedding.face, embedding.barycentric)
    )
    return points_on_triangles(vertices, corners, face, barycentric)


def read_mediapipe_embedding(path: Path, n_faces: int) -> LandmarkEmbedding:
    """The file that comes with FLAME for 105 of mediapipe's 478 landmarks; the others get face -1.

    Keys: lmk_face_idx (N,), lmk_b_coords (N, 3), landmark_indices (N,). Raises `FaceModelError`.
    """
    arrays = _read_npz(path, read_bytes(path))
    keys = ("lmk_face_idx", "lmk_b_coords", "landmark_indices")
    missing = [key for key in keys if key not in arrays]
    if missing:
        raise FaceModelError(f"{path}: expected the key {', '.join(missing)}, found only {', '.join(sorted(arrays))}")
    face, barycentric, landmark = (arrays[key] for key in keys)
    right = face.ndim == 1 and barycentric.shape == (len(face), 3) and landmark.shape == face.shape
    if not (right and face.dtype.kind in "iu" and landmark.dtype.kind in "iu" and np.isfinite(barycentric).all()):
        raise FaceModelError(
            f"{path}: expected N triangles, (N, 3) weights and N landmarks, found "
            f"{face.shape}, {barycentric.shape} and {landmark.shape}"
        )
    if len(face) == 0 or face.min() < 0 or face.max() >= n_faces or landmark.min() < 0 or landmark.max() >= 478:
        raise FaceModelError(
            f"{path}: expected triangles below {n_faces} and landmarks below 478; is it of this model?"
        )
    everywhere = LandmarkEmbedding(
        face=np.full(478, -1, np.int64),
        barycentric=np.full((478, 3), 1 / 3, np.float32),
        sigma=np.full(478, np.inf, np.float32),
    )
    everywhere.face[landmark] = face
    everywhere.barycentric[landmark] = barycentric / barycentric.sum(-1, keepdims=True)
    everywhere.sigma[landmark] = EMBEDDING_SIGMA
    return everywhere


def read_ibug_embedding(path: Path, n_faces: int) -> LandmarkEmbedding:
    """The file that comes with FLAME for the 68 points of iBUG, those of the jaw as seen from the front.

    Keys: full_lmk_faces_idx (1, 68), full_lmk_bary_coords (1, 68, 3). Raises `FaceModelError`.
    """
    keys = ("full_lmk_faces_idx", "full_lmk_bary_coords")
    arrays = read_numpy_dict(path, read_bytes(path), keys)
    missing = [key for key in keys if key not in arrays]
    if missing:
        raise FaceModelError(f"{path}: expected the key {', '.join(missing)}; is it FLAME's file of 68 landmarks?")
    face, barycentric = (arrays[key] for key in keys)
    right = face.size == 68 and face.dtype.kind in "iu" and barycentric.size == 204 and barycentric.dtype.kind == "f"
    if not right or face.min() < 0 or face.max() >= n_faces or not np.isfinite(barycentric).all():
        raise FaceModelError(
            f"{path}: expected 68 triangles below {n_faces} and their weights, found {face.shape} and "
            f"{barycentric.shape}; is it of this model?"
        )
    weights = barycentric.reshape(68, 3).astype(np.float32)
    return LandmarkEmbedding(
        face=face.reshape(68).astype(np.int64),
        barycentric=weights / weights.sum(-1, keepdims=True),
        sigma=np.where(np.arange(68) < N_IBUG_JAW, IBUG_JAW_SIGMA, IBUG_SIGMA).astype(np.float32),
        scheme="ibug68",
    )


def _read_npz(path: Path, data: bytes) -> dict[str, np.ndarray]:
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise FaceModelError(f"{path}: expected an npz file of plain arrays, found {error}") from error


def _check(path: Path, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """FLAME's arrays in our layout and dtypes, or a `FaceModelError` that names the key."""
    missing = [key for key in _KEYS if key not in arrays]
    if missing:
        raise FaceModelError(f"{path}: is not FLAME: expected the key {', '.join(missing)}; see docs/face-models.md")

    def expect(key: str, shape: tuple[int | None, ...], kinds: str = "f") -> np.ndarray:
        array = arrays[key]
        fits = array.ndim == len(shape) and all(n in (None, found) for n, found in zip(shape, array.shape, strict=True))
        if not fits or array.dtype.kind not in kinds:
            wanted = tuple("*" if n is None else n for n in shape)
            raise FaceModelError(f"{path}: {key}: expected {wanted} numbers, found {array.shape} {array.dtype}")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise FaceModelError(
                f"{path}: {key}: expected finite numbers, found {int((~np.isfinite(array)).sum())} others"
            )
        return array

    template = expect("v_template", (None, 3))
    n_vertices = len(template)
    directions = expect("shapedirs", (n_vertices, 3, None))
    if directions.shape[2] <= N_SHAPE:
        raise FaceModelError(
            f"{path}: shapedirs: expected {N_SHAPE} identity components and expressions after them, "
            f"found {directions.shape[2]} in all"
        )
    parents = expect("kintree_table", (2, len(PARENTS)), "fiu")[0].astype(np.int64)
    if parents[1:].tolist() != list(PARENTS[1:]):  # the root's own parent is -1 or 2**32 - 1
        raise FaceModelError(f"{path}: kintree_table: expected the parents {PARENTS}, found {parents.tolist()}")
    faces = expect("f", (None, 3), "fiu").astype(np.int64)
    if len(faces) == 0 or faces.min() < 0 or faces.max() >= n_vertices:
        raise FaceModelError(f"{path}: f: expected triangles of {n_vertices} vertices, found others")
    weights = expect("weights", (n_vertices, len(PARENTS)))
    if np.abs(weights.sum(1) - 1).max() > 1e-3:
        raise FaceModelError(f"{path}: weights: expected rows that sum to 1, found {weights.sum(1).max():.3f}")
    layout = {
        "template": template,
        "basis": directions.transpose(2, 0, 1),
        "pose_basis": expect("posedirs", (n_vertices, 3, 9 * (len(PARENTS) - 1))).transpose(2, 0, 1),
        "joint_regressor": expect("J_regressor", (len(PARENTS), n_vertices)),
        "skin_weights": weights / weights.sum(1, keepdims=True),
    }
    return {
        **{key: np.ascontiguousarray(array, np.float32) for key, array in layout.items()},
        "faces": np.ascontiguousarray(faces, np.int32),
    }


def _appearance(arrays: dict[str, np.ndarray]) -> Appearance:
    """Skin and eyeballs, told apart by the joints they hang on; FLAME's file has neither parts nor UVs."""
    faces, template = arrays["faces"], arrays["template"]
    centers = arrays["joint_regressor"] @ template
    part_of_face = np.zeros(len(faces), np.uint8)
    for eye in (3, 4):
        on_eye = (arrays["skin_weights"][:, eye] > 0.5)[faces].all(1)
        gaze = template[faces].mean(1) - centers[eye]
        frontal = gaze[:, 2] > _IRIS_COSINE * np.linalg.norm(gaze, axis=1)
        part_of_face[on_eye] = np.where(frontal[on_eye], 2, 1)
    return Appearance(part_names=("skin", "sclera", "iris"), part_of_face=part_of_face)
