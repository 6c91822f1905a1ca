"""What the network is told it did wrong, and how the face's vertices enter into it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from roma import rotmat_to_rotvec, rotvec_to_rotmat
from torch.nn import functional

from tdmm.face import load_face_model
from tdmm.face.topology import pieces
from tdmm.fit.network import Reading

from .clips import Clips
from .takes import head_controls


@dataclass(frozen=True)
class LossOptions:
    """Weights of the parts. beta: Seitzer et al., ICLR 2022: 0 is the likelihood, 1 the squared error.

    steady: of what the rotation misses besides its mean over the clip, radians: motion is what fits are for.
    moved: millimetres from rest beyond which a vertex is looked at most.
    """

    beta: float = 0.5
    controls: float = 1.0
    geometry: float = 0.3
    velocity: float = 0.2
    rotation: float = 1.0
    steady: float = 1.0
    visible: float = 0.3
    moved: float = 2.0


def face_basis(count: int | None = None) -> torch.Tensor:
    """(C, K, 3) millimetres by which the controls move vertices of the face: skin within the landmarks' box.

    count: so many of them, evenly spread over the list; None: all.
    """
    head, controls = load_face_model(), head_controls()
    with torch.inference_mode():
        values = torch.cat([torch.zeros(1, len(controls)), torch.eye(len(controls))])
        vertices = head.vertices(torch.zeros(0), values @ torch.as_tensor(controls.to_expression))
        box = head.landmarks(vertices[:1])[0]
    piece = torch.as_tensor(pieces(head.faces, head.n_vertices))
    rest = vertices[0]
    inside = (piece == piece.bincount().argmax()) & ((rest >= box.amin(0)) & (rest <= box.amax(0))).all(1)
    chosen = inside.nonzero()[:, 0]
    if count is not None and count < len(chosen):
        chosen = chosen[torch.linspace(0, len(chosen) - 1, count).round().long()]
    return 1000 * (vertices[1:, chosen] - rest[chosen]).clone()


def loss_of(
    reading: Reading, clips: Clips, basis: torch.Tensor, options: LossOptions
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The loss of a batch and its parts, means over the frames that are present."""
    present = clips.present.float()
    total = present.sum().clamp(min=1)
    over_frames = lambda values: (values * present).sum() / total  # noqa: E731
    turn = turn_between(clips.rotation, reading.rotation)
    usual = (turn * present[..., None]).sum(1, keepdim=True) / present.sum(1)[:, None, None].clamp(min=1)
    parts = {
        "controls": over_frames(_beta_nll(reading.mean - clips.controls, reading.log_sigma, options.beta).mean(-1)),
        "rotation": over_frames(_beta_nll(turn, reading.rotation_log_sigma, options.beta).mean(-1)),
        "steady": over_frames((turn - usual).square().sum(-1).add(1e-6).sqrt()),
        "visible": over_frames(
            functional.binary_cross_entropy_with_logits(reading.visible, clips.visible, reduction="none").mean(-1)
        ),
    }
    flat = basis.flatten(1)
    miss = (reading.mean - clips.controls) @ flat
    with torch.no_grad():
        true = (clips.controls @ flat).unflatten(-1, (-1, 3)).norm(dim=-1)
        weight = 0.1 + (true / options.moved).clamp(max=1)
    distance = miss.unflatten(-1, (-1, 3)).square().sum(-1).add(1e-4).sqrt()
    parts["geometry"] = over_frames((weight * distance).mean(-1))
    if miss.shape[1] > 1:
        both = present[:, 1:] * present[:, :-1]
        change = miss.diff(dim=1).unflatten(-1, (-1, 3)).square().sum(-1).add(1e-4).sqrt().mean(-1)
        parts["velocity"] = (change * both).sum() / both.sum().clamp(min=1)
    loss = sum((getattr(options, name) * value for name, value in parts.items()), torch.zeros((), device=flat.device))
    return loss, {name: value.detach() for name, value in parts.items()}


def turn_between(truth: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """(..., 3) the small rotation, radians, that is missing to the left of what was seen; both axis-angle (..., 3)."""
    missing = rotvec_to_rotmat(truth) @ rotvec_to_rotmat(seen).mT
    # For a small turn the rotation vector is half the difference across the diagonal, which has a derivative at zero.
    skew = 0.5 * (missing - missing.mT)
    sine = torch.stack([skew[..., 2, 1], skew[..., 0, 2], skew[..., 1, 0]], dim=-1)
    return sine


def angle_between(truth: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """(...) radians between two rotations, axis-angle (..., 3)."""
    return rotmat_to_rotvec(rotvec_to_rotmat(truth) @ rotvec_to_rotmat(seen).mT).norm(dim=-1)


def _beta_nll(miss: torch.Tensor, log_sigma: torch.Tensor, beta: float) -> torch.Tensor:
    nll = 0.5 * (miss * (-log_sigma).exp()).square() + log_sigma
    return nll * (2 * beta * log_sigma).detach().exp()
