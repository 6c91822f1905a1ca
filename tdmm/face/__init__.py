"""Face models: the built-in head, FLAME and ICT-FaceKit behind one interface (`tdmm.face.model.FaceModel`)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tdmm.errors import FaceModelError

if TYPE_CHECKING:  # importing this package must stay light: the models need torch
    from tdmm.face.model import FaceModel

__all__ = ["BUILTIN", "load_face_model"]

BUILTIN = "builtin"
_BUILTIN_NAMES = (BUILTIN, "tdmm-head-1")


def load_face_model(name_or_path: str | Path = BUILTIN, *, cache: Path | None = None) -> FaceModel:
    """The face model of that name or at that place; docs/face-models.md says where to get them.

    `builtin` (or its full name `tdmm-head-1`): the head that comes with tdmm.
    A file `.pkl` or `.npz`: FLAME. A folder with `generic_neutral_mesh.obj`, or one above it: ICT-FaceKit.
    `cache`: a folder that keeps what takes long to make from a user's model: parsed files of ICT-FaceKit, and the
    landmark embedding that `tdmm.face.cache.keep_embedding` was given for this very model. None: nothing is kept.
    Raises `FaceModelError` that says what was found instead.
    """
    if str(name_or_path) in _BUILTIN_NAMES:
        from tdmm.face.builtin import load_builtin_head

        return load_builtin_head()
    model = _load_from(Path(name_or_path).expanduser(), cache)
    if model.landmark_embedding is None and cache is not None:
        from tdmm.face.cache import kept_embedding

        model.landmark_embedding = kept_embedding(model, cache)
    return model


def _load_from(path: Path, cache: Path | None) -> FaceModel:
    if path.is_dir():
        from tdmm.face.ict import find_ict_folder, load_ict

        folder = find_ict_folder(path)
        if folder is None:
            inside = sorted(item.name for item in path.iterdir() if item.suffix.lower() in (".pkl", ".npz"))
            advice = f"did you mean {path / inside[0]}" if inside else "expected FaceXModel/generic_neutral_mesh.obj"
            raise FaceModelError(f"{path}: is a folder, but not one of ICT-FaceKit; {advice}")
        return load_ict(folder, cache)
    if not path.exists():
        raise FaceModelError(
            f"{path}: there is no such face model; give `{BUILTIN}`, a FLAME file (.pkl, .npz) or an ICT-FaceKit folder"
        )
    if path.suffix.lower() not in (".pkl", ".npz"):
        raise FaceModelError(f"{path}: is no face model; expected FLAME (.pkl or .npz) or a folder of ICT-FaceKit")
    from tdmm.face.flame import load_flame

    return load_flame(path)
