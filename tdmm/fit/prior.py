"""What the trained network says about a clip before the solver looks at it, and how its detector strays.

A network that has seen many rendered people through the very detector reads expressions, the head's rotation and what
is hidden from landmarks and small pictures of eyes, mouth and face. The solver takes this as a prior with its own
variance. Everything is in the built-in head's controls (`tdmm.fit.controls`), whatever model is fitted.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import tdmm
from tdmm.errors import FaceModelError
from tdmm.face.builtin import load_builtin_head
from tdmm.fit.network import NetworkConfig, PriorNetwork
from tdmm.io.asset_file import read_asset, write_asset

if TYPE_CHECKING:
    from tdmm.fit.reader import PriorReader

SCHEMA = "tdmm.fit_prior/1"
ASSET = Path(tdmm.__file__).parent / "assets" / "fit_prior.safetensors"

# What can be hidden by itself; the columns of `Prediction.visible`.
REGIONS = ("right eye", "left eye", "brows", "mouth")


@dataclass(frozen=True)
class Prediction:
    """What the network reads in N frames that show the face.

    names: the C controls of the built-in head, in the order of the columns.
    mean, sigma: (N, C) float32 value of each control within its range, and its standard deviation, > 0.
    rotation: (N, 3) float32 axis-angle radians, the head's rotation relative to the line of sight to the face's middle,
        R_head = `line_of_sight`(middle, focal) @ R(rotation).
    rotation_sigma: (N, 3) radians, about the axes x, y, z of that line of sight (a small turn to the left of
        R(rotation)).
    visible: (N, 4) in 0..1, the part of each of `REGIONS` that can be seen.
    """

    names: tuple[str, ...]
    mean: np.ndarray
    sigma: np.ndarray
    rotation: np.ndarray
    rotation_sigma: np.ndarray
    visible: np.ndarray

    def __len__(self) -> int:
        return len(self.mean)


@dataclass(frozen=True)
class LandmarkResponse:
    """How L detected landmarks stray from their places on the built-in head: metres in the head frame.

    offset: (L, 3) at rest. controls: (C, L, 3) per unit of each control, in the order of `Prediction.names`.
    sigma: (L,) what is left, about each axis of the picture; infinite for a landmark without a place on the mesh.
    """

    offset: np.ndarray
    controls: np.ndarray
    sigma: np.ndarray

    def at(self, controls: np.ndarray) -> np.ndarray:
        """(T, L, 3) metres by which the landmarks stray at controls (T, C)."""
        return self.offset + np.tensordot(controls, self.controls, axes=1)


def line_of_sight(middle: torch.Tensor, focal: torch.Tensor | float) -> torch.Tensor:
    """(..., 3, 3) the smallest rotation that takes the camera's forward axis (0, 0, -1) to the ray of a pixel.

    middle: (..., 2) the mean of the face's landmarks, from the principal point, y down, in the unit of `focal`.
    """
    ray = torch.stack([middle[..., 0], -middle[..., 1], -torch.ones_like(middle[..., 0]) * focal], dim=-1)
    ray = ray / ray.norm(dim=-1, keepdim=True)
    x, y, cosine = ray[..., 0], ray[..., 1], -ray[..., 2]
    # Rodrigues' formula for the turn from a to b, I + [v] + [v]^2 / (1 + a.b), v = a x b, with a = (0, 0, -1):
    # v = (y, -x, 0).
    inverse = 1 / (1 + cosine)
    rows = (1 - x * x * inverse, -x * y * inverse, -x, -x * y * inverse, 1 - y * y * inverse, -y, x, y, cosine)
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


@dataclass(frozen=True)
class Prior:
    """The trained network, how the detector strays, and what both were made with.

    names: the C controls. network: folded, in evaluation mode. face_model_sha256: of the built-in head that it saw.
    detector: name and version. made: how it was trained: data, seeds, command, scores (JSON-able).
    """

    names: tuple[str, ...]
    network: PriorNetwork
    response: LandmarkResponse
    face_model_sha256: str
    detector: str
    made: dict[str, Any]

    def reader(self, device: str | torch.device = "cpu") -> PriorReader:
        """A new reader, for one face of one video."""
        from tdmm.fit.reader import PriorReader

        return PriorReader(self.network, self.names, device)


def save_prior(prior: Prior, path: Path) -> None:
    """Write a prior: 16-bit safetensors, everything else in the metadata."""
    tensors = {f"network.{name}": value.detach().cpu() for name, value in prior.network.state_dict().items()}
    for item in fields(LandmarkResponse):
        tensors[f"response.{item.name}"] = torch.as_tensor(getattr(prior.response, item.name))
    meta = {
        "config": json.dumps(asdict(prior.network.config)),
        "names": json.dumps(prior.names),
        "face_model_sha256": prior.face_model_sha256,
        "detector": prior.detector,
        "made": json.dumps(prior.made),
    }
    write_asset(path, SCHEMA, meta, {name: value.half().contiguous().numpy() for name, value in tensors.items()})


def read_prior(path: Path) -> Prior:
    """Read what `save_prior` wrote. Raises `MissingPartError` without the file, `FaceModelError` for another file."""
    meta, tensors = read_asset(path, SCHEMA, "the trained prior of `fit`", "build_fit_prior.py", FaceModelError)
    config: dict[str, Any] = json.loads(meta["config"])
    config = {key: tuple(value) if isinstance(value, list) else value for key, value in config.items()}
    network = PriorNetwork(NetworkConfig(**config))
    network.load_state_dict(
        {name[8:]: torch.from_numpy(value) for name, value in tensors.items() if name.startswith("network.")}
    )
    return Prior(
        names=tuple(json.loads(meta["names"])),
        network=network.eval().requires_grad_(False),
        response=LandmarkResponse(**{item.name: tensors[f"response.{item.name}"] for item in fields(LandmarkResponse)}),
        face_model_sha256=meta["face_model_sha256"],
        detector=meta["detector"],
        made=json.loads(meta["made"]),
    )


def has_prior() -> bool:
    """Whether this installation holds the trained prior."""
    return ASSET.exists()


@cache
def load_prior() -> Prior:
    """The prior that comes with tdmm. Raises as `read_prior` does, and `FaceModelError` if it is not of its head."""
    prior = read_prior(ASSET)
    head = load_builtin_head()
    if prior.face_model_sha256 != head.sha256:
        raise FaceModelError(
            f"{ASSET}: was trained on a built-in head of {prior.face_model_sha256[:12]}, this one is "
            f"{head.sha256[:12]}; train it anew with scripts/build_fit_prior.py"
        )
    return prior
