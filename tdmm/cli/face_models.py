"""The face model that `--face-model` names, and the folder that keeps what takes long to make from it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from tdmm.cli.console import Console

if TYPE_CHECKING:
    from tdmm.face.model import FaceModel
    from tdmm.fit.detect import Detector


def cache_folder() -> Path:
    """$TDMM_CACHE, else $XDG_CACHE_HOME/tdmm, else ~/.cache/tdmm. It need not be there yet."""
    if own := os.environ.get("TDMM_CACHE"):
        return Path(own).expanduser()
    shared = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # The XDG specification: a relative path is to be ignored.
    return (shared if shared.is_absolute() else Path("~/.cache").expanduser()) / "tdmm"


def is_writable(folder: Path) -> bool:
    """Whether files can be put there, once the folder is made."""
    nearest = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    return nearest.is_dir() and os.access(nearest, os.W_OK)


def load(name: str, console: Console) -> FaceModel:
    """The model of `--face-model`, from the cache where it holds the parsed files. Raises `FaceModelError`."""
    from tdmm.face import BUILTIN, load_face_model

    folder = cache_folder()
    if name != BUILTIN and not is_writable(folder):
        console.detail(f"{folder} is not writable: nothing is kept for the next time; set TDMM_CACHE to another folder")
    return load_face_model(name, cache=folder)


def load_for_fitting(name: str, console: Console, detector: Detector | None) -> FaceModel:
    """The model of `--face-model` with a landmark embedding: its own, the one kept in the cache, or one derived now.

    detector: what finds the landmarks of the model's pictures; None, for landmarks from elsewhere, opens one when it
    has to, but not for a model that brings the places of iBUG's 68 points. The map that carries expressions over to the
    model is kept in the cache too.
    Raises `FaceModelError`, also where the detector sees no face in the model.
    """
    model = load(name, console)
    if detector is None and getattr(model, "ibug68_embedding", None) is not None:
        return model
    if model.landmark_embedding is None:
        from tdmm.face.cache import keep_embedding
        from tdmm.fit.embedding import derive_embedding

        folder = cache_folder()
        again = f"once, kept in {folder}" if is_writable(folder) else "each time, since no cache folder is writable"
        console.say(f"{model.name}: finding where the face landmarks lie on this model, about a minute ({again})")
        model.landmark_embedding = derive_embedding(model, detector=detector)
        keep_embedding(model, folder)
    _prepare_carry_over(model)
    return model


def _prepare_carry_over(model: FaceModel) -> None:
    """Find the map from the prior's expressions to the model's, or take it from the cache, before it is needed."""
    from tdmm.face import BUILTIN, load_face_model
    from tdmm.fit.carry_over import carry_over_to
    from tdmm.fit.prior import has_prior

    if has_prior() and model.sha256 != load_face_model(BUILTIN).sha256:
        carry_over_to(model, cache_folder())
