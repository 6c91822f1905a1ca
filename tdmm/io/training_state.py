"""The state of a training in a file: what it needs to go on as if it had never stopped (torch)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from tdmm.errors import TrainingError
from tdmm.io.whole import whole_file

STATE = "state.safetensors"


def save_state(folder: Path, tensors: dict[str, torch.Tensor], facts: dict[str, Any]) -> None:
    """A checkpoint in one file, whole or not at all: tensors, and facts in its header."""
    folder.mkdir(exist_ok=True)
    with whole_file(folder / STATE) as beside:
        save_file(
            {name: value.detach().cpu().contiguous() for name, value in tensors.items()},
            beside,
            {"facts": json.dumps(facts)},
        )


def load_state(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
    """What `save_state` wrote; None where nothing is. Raises `TrainingError` for what cannot be read."""
    path = folder / STATE
    if not path.is_file():
        return None
    try:
        with safe_open(path, "pt") as file:
            facts = json.loads((file.metadata() or {})["facts"])
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118  # no mapping
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise TrainingError(f"{path}: is no checkpoint that can be read ({error}); delete it to begin anew") from error


def remove_state(folder: Path) -> None:
    """A finished training needs no checkpoint, nor what else it kept there."""
    for path in folder.glob("*.safetensors"):
        path.unlink()
    if folder.is_dir():
        folder.rmdir()


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """The optimizer's state as tensors, by the number of the parameter."""
    return {
        f"optimizer.{number}.{name}": value
        for number, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    """The inverse of `optimizer_tensors`."""
    described = optimizer.state_dict()
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, number, field = name.split(".")
            state.setdefault(int(number), {})[field] = value
    optimizer.load_state_dict({**described, "state": state})
