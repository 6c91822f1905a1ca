"""Arrays with what they are of, in one safetensors file: what comes with tdmm and was measured or trained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from tdmm.errors import MissingPartError, TdmmError
from tdmm.io.whole import whole_file


def write_asset(path: Path, schema: str, meta: Mapping[str, str], tensors: Mapping[str, np.ndarray]) -> None:
    """Write a file for `read_asset`, whole or not at all. Raises `OutputError`."""
    with whole_file(path) as beside:
        save_file(dict(tensors), beside, {"schema": schema, **meta})


def read_asset(
    path: Path, schema: str, what: str, script: str, error: type[TdmmError]
) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """What `write_asset` wrote, with float32 tensors. what, script: what is missing where there is no file, and what
    makes it. Raises `MissingPartError` then, `error` for another file."""
    if not path.exists():
        raise MissingPartError(f"{path}: {what} is missing; install tdmm anew, or make it with scripts/{script}")
    try:
        with safe_open(path, "np") as file:
            meta = file.metadata() or {}
            tensors = {name: file.get_tensor(name).astype(np.float32) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as reason:
        raise error(f"{path}: is no safetensors file ({reason})") from reason
    if meta.get("schema") != schema:
        raise error(f"{path}: schema: expected {schema}, found {meta.get('schema')}")
    return meta, tensors
