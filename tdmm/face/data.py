"""What the loaders of users' face models share: file checks, fingerprints, copies per device, argument checks."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from tdmm.errors import FaceModelError

_LFS_POINTER = b"version https://git-lfs"


def read_bytes(path: Path) -> bytes:
    """The content of a model file. Raises `FaceModelError`: missing, unreadable, empty, a Git LFS pointer."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise FaceModelError(f"{path}: there is no such file") from None
    except OSError as error:
        raise FaceModelError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not data:
        raise FaceModelError(f"{path}: is empty; download it again")
    if data.startswith(_LFS_POINTER):
        raise FaceModelError(f"{path}: is a Git LFS pointer, not the file itself; run: git lfs pull")
    return data


def fingerprint(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over names, dtypes, shapes and little-endian bytes of arrays, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name], arrays[name].dtype.newbyteorder("<"))
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


class Buffers:
    """The arrays of a model as tensors, copied once for every device and float type they are asked for."""

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self._arrays = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
        self._copies: dict[tuple[torch.device, torch.dtype], dict[str, torch.Tensor]] = {}

    def like(self, reference: torch.Tensor) -> dict[str, torch.Tensor]:
        """All tensors on the device of `reference`; those of floats in its dtype."""
        key = (reference.device, reference.dtype)
        if key not in self._copies:
            with torch.inference_mode(False):  # whoever asks first, the copies serve those who differentiate too
                self._copies[key] = {
                    name: tensor.to(*key) if tensor.is_floating_point() else tensor.to(reference.device)
                    for name, tensor in self._arrays.items()
                }
        return self._copies[key]


def check_coefficients(shape: torch.Tensor, expression: torch.Tensor, n_shape: int, n_expressions: int) -> None:
    """Raise `FaceModelError` unless expression is (T, E) and shape (S',) or (T, S') with S' <= S."""
    if expression.ndim != 2 or expression.shape[1] != n_expressions:
        raise FaceModelError(f"expression: expected (T, {n_expressions}), found {tuple(expression.shape)}")
    batched = shape.ndim == 2 and shape.shape[0] == expression.shape[0]
    if not (shape.ndim == 1 or batched) or shape.shape[-1] > n_shape:
        raise FaceModelError(
            f"shape: expected up to {n_shape} coefficients, (S,) or (T, S), found {tuple(shape.shape)}"
        )
