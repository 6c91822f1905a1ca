"""What takes long to make from a user's face model, kept in a folder: parsed files, derived landmark embeddings.

A cache is best effort: what cannot be read is made again, what cannot be written is not kept.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tdmm.face.model import FaceModel, LandmarkEmbedding

# Of the way in which landmarks are found on a model (tdmm.fit.embedding): raise it when that finds better places.
EMBEDDING_VERSION = 1


def keep_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays to `path` (.npz) at once, making its folder; nothing happens if that cannot be done."""
    beside = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            np.savez(beside, **arrays)  # type: ignore[arg-type]
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError:
        pass


def kept_arrays(path: Path) -> dict[str, np.ndarray] | None:
    """The arrays of `keep_arrays`, or None if they are not there or damaged."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def keep_embedding(model: FaceModel, folder: Path) -> None:
    """Keep the model's landmark embedding, if it has one, for the next time that this very model is loaded."""
    embedding = model.landmark_embedding
    if embedding is not None:
        arrays = {name: getattr(embedding, name) for name in ("face", "barycentric", "sigma")}
        keep_arrays(_place(model, folder), {**arrays, "scheme": np.array(embedding.scheme)})


def kept_embedding(model: FaceModel, folder: Path) -> LandmarkEmbedding | None:
    """The embedding that was kept for a model of this fingerprint, or None."""
    arrays = kept_arrays(_place(model, folder))
    if arrays is None or set(arrays) != {"face", "barycentric", "sigma", "scheme"}:
        return None
    return LandmarkEmbedding(arrays["face"], arrays["barycentric"], arrays["sigma"], str(arrays["scheme"]))


def _place(model: FaceModel, folder: Path) -> Path:
    return folder / f"landmarks-{EMBEDDING_VERSION}-{model.sha256[:32]}.npz"
