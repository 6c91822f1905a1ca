"""The shards in the device's memory: clips of frames in which the face was found, and their mirror images."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from roma import rotmat_to_rotvec, rotvec_to_rotmat
from safetensors import safe_open
from safetensors.torch import load_file
from scipy.optimize import linear_sum_assignment

from tdmm.face import load_face_model
from tdmm.fit.crops import upright
from tdmm.fit.prior import line_of_sight
from tdmm.fit.reader import roll_matrix

from .collect import CROP_NAMES
from .takes import head_controls

# Frames in which the detector's landmarks lie farther than this from the true ones, on the mean, are another thing's.
ANOTHER_FACE = 0.03  # metres at the head


@dataclass(frozen=True)
class Clips:
    """N clips of T frames, of which the first `n_frames` (N,) are real; the rest is filling.

    crops: four (N, T, height, width, 3) uint8. points: (N, T, 478, 2) upright, millimetres. scale: (N, T) pixels per
    millimetre. seconds: (N, T). controls: (N, T, C). rotation: (N, T, 3) upright, relative to the line of sight.
    visible: (N, T, 4). kind: (N,). n_frames: (N,).
    """

    crops: tuple[torch.Tensor, ...]
    points: torch.Tensor
    scale: torch.Tensor
    seconds: torch.Tensor
    controls: torch.Tensor
    rotation: torch.Tensor
    visible: torch.Tensor
    kind: torch.Tensor
    n_frames: torch.Tensor

    def __len__(self) -> int:
        return len(self.kind)

    @property
    def present(self) -> torch.Tensor:
        """(N, T) bool: the frames that are real."""
        return torch.arange(self.points.shape[1], device=self.points.device) < self.n_frames[:, None]

    def pick(self, clips: torch.Tensor, frames: torch.Tensor, n_frames: torch.Tensor) -> Clips:
        """Clips (M,) with their frames (M, T') in that order, of which the first `n_frames` (M,) count."""
        at = (clips[:, None], frames)
        frame_wise = {item.name: getattr(self, item.name) for item in fields(self)}
        for name in ("crops", "kind", "n_frames"):
            del frame_wise[name]
        return Clips(
            crops=tuple(crop[at] for crop in self.crops),
            kind=self.kind[clips],
            n_frames=n_frames,
            **{name: value[at] for name, value in frame_wise.items()},
        )


def load_clips(paths: list[Path], device: str | torch.device) -> Clips:
    """All shards, packed: frames without a face are left out, as `fit` leaves them out. Clips without any go.

    The clips of all shards have as many frames. They are put where they stay at once: two copies have no room.
    """
    count = 0
    everything: list[torch.Tensor] = []
    for path in paths:
        part = _clips_of(load_file(path, device=str(device)))
        tensors = [*part.crops, *(getattr(part, name) for name in _OTHERS)]
        if not everything:
            with safe_open(path, "pt") as file:
                most = len(paths) * file.get_slice("found").get_shape()[0]
            everything = [tensor.new_empty((most, *tensor.shape[1:])) for tensor in tensors]
        for place, tensor in zip(everything, tensors, strict=True):
            place[count : count + len(part)] = tensor
        count += len(part)
    filled = [place[:count] for place in everything]
    crops, others = filled[: len(CROP_NAMES)], filled[len(CROP_NAMES) :]
    return Clips(crops=tuple(crops), **dict(zip(_OTHERS, others, strict=True)))


_OTHERS = tuple(item.name for item in fields(Clips) if item.name != "crops")


def _clips_of(shard: dict[str, torch.Tensor]) -> Clips:
    points, focal, found = shard["points"], shard["focal"].float(), shard["found"]
    n_clips, n_frames = found.shape
    side = shard["side"].float()
    # How many pixels a metre at the head takes up: those in the picture miss by more only if another thing was found.
    per_metre = focal[:, None] * side / -shard["translation"][..., 2]
    miss = (points - shard["projected"]).norm(dim=-1).mean(-1) / per_metre
    found = found & (miss < ANOTHER_FACE)
    frame = upright(points.flatten(0, 1))
    sight = line_of_sight(points.mean(2) - side / 2, (focal * side)[:, None])
    relative = sight.mT @ rotvec_to_rotmat(shard["rotation"])
    aligned = roll_matrix(frame.roll).mT @ relative.flatten(0, 1)
    seconds = torch.arange(n_frames, device=found.device) / shard["fps"][:, None]
    by_frame = lambda values: values.unflatten(0, (n_clips, n_frames))  # noqa: E731
    everything = Clips(
        crops=tuple(shard[name] for name in CROP_NAMES),
        points=by_frame(frame.points),
        scale=by_frame(frame.scale),
        seconds=seconds.float(),
        controls=shard["controls"],
        rotation=by_frame(rotmat_to_rotvec(aligned)),
        visible=shard["visible"],
        kind=shard["kind"],
        n_frames=found.sum(1),
    )
    order = (~found).to(torch.int8).argsort(dim=1, stable=True)
    kept = found.any(1).nonzero()[:, 0]
    return everything.pick(kept, order[kept], everything.n_frames[kept])


# -- mirror images ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mirror:
    """What a mirror image exchanges: landmarks (478,), controls (C,) and regions (4,), as indices."""

    points: torch.Tensor
    controls: torch.Tensor
    regions: torch.Tensor


def mirror_of_head(device: str | torch.device = "cpu") -> Mirror:
    """From the built-in head: landmarks are partners that lie, and move, like each other's mirror image."""
    head, controls = load_face_model(), head_controls()
    names = [other_side(name) for name in controls.names]
    swap = np.array([controls.names.index(name) for name in names])
    values = torch.cat([torch.zeros(1, len(controls)), torch.eye(len(controls))])
    with torch.inference_mode():
        expression = values @ torch.as_tensor(controls.to_expression)
        points = head.landmarks(head.vertices(torch.zeros(0), expression)).numpy()
    mirrored = points[np.concatenate([[0], 1 + swap])] * (-1, 1, 1)
    square = np.square(points[:, :, None] - mirrored[:, None]).sum(-1).mean(0)
    partner = linear_sum_assignment(square)[1]
    index = lambda values: torch.as_tensor(values, device=device)  # noqa: E731
    return Mirror(index(partner), index(swap), index([1, 0, 2, 3]))


def other_side(name: str) -> str:
    """The control that does on the other side what this one does."""
    for side, other in (("Left", "Right"), ("Right", "Left")):
        if name.endswith(side):
            return name.removesuffix(side) + other
    return name


def mirrored(clips: Clips, mirror: Mirror) -> Clips:
    """The same clips seen in a mirror. The left eye's crop is kept mirrored, so that the eyes change places only."""
    right, left, mouth, face = clips.crops
    return replace(
        clips,
        crops=(left, right, mouth.flip(-2), face.flip(-2)),
        points=(clips.points * clips.points.new_tensor([-1.0, 1.0]))[:, :, mirror.points],
        controls=clips.controls[..., mirror.controls],
        rotation=clips.rotation * clips.rotation.new_tensor([1.0, -1.0, -1.0]),
        visible=clips.visible[..., mirror.regions],
    )
