"""How well the network reads clips that it was not trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from roma import rotmat_to_rotvec, rotvec_to_rotmat

from tdmm.fit.network import PriorNetwork, Reading, to_input

from .clips import Clips
from .losses import angle_between, turn_between
from .takes import head_controls

# A vertex counts in a frame in which it is truly moved by this, millimetres; a control in a clip in which it spreads by
# this (standard deviation).
MOVED, SPREAD = 2.0, 0.02
KINDS = ("mixtures", "natural motion")


@dataclass
class Read:
    """Truth and reading of all clips of one kind, over their frames that are present (one array a clip)."""

    truth: list[np.ndarray]
    mean: list[np.ndarray]
    sigma: list[np.ndarray]


def read_clips(network: PriorNetwork, clips: Clips, batch: int = 32) -> Reading:
    """The network's reading of whole clips, on the CPU."""
    parts: list[list[torch.Tensor]] = []
    device = clips.points.device
    with torch.inference_mode():
        for start in range(0, len(clips), batch):
            index = torch.arange(start, min(start + batch, len(clips)), device=device)
            frames = torch.arange(clips.points.shape[1], device=device).expand(len(index), -1)
            some = clips.pick(index, frames, clips.n_frames[index])
            features = frame_features(network, some, tuple(to_input(crop.flatten(0, 1)) for crop in some.crops))
            parts.append(
                [part.cpu() for part in vars(network.over_time(features, some.seconds, some.present)).values()]
            )
    return Reading(*(torch.cat(part) for part in zip(*parts, strict=True)))


def frame_features(
    network: PriorNetwork, clips: Clips, inputs: tuple[torch.Tensor, ...], points: torch.Tensor | None = None
) -> torch.Tensor:
    """(B, T, F) features of clips (B, T); inputs: their crops as the network's input, frames of all clips in a row."""
    points = clips.points if points is None else points
    features = network.frame_features(inputs, points.flatten(0, 1), clips.scale.flatten())
    return features.unflatten(0, clips.points.shape[:2])


def scores_of(network: PriorNetwork, clips: Clips, basis: torch.Tensor) -> dict[str, Any]:
    """Everything that `table` shows, by kind of take; JSON-able. basis: (C, K, 3) of `losses.face_basis`."""
    reading = read_clips(network, clips)
    present = clips.present.cpu()
    kinds = clips.kind.cpu()
    result: dict[str, Any] = {}
    for number, kind in enumerate(KINDS):
        chosen = (kinds == number).nonzero()[:, 0].tolist()
        if chosen:
            result[kind] = _scores(reading, clips, present, chosen, basis.cpu())
    return result


def _scores(
    reading: Reading, clips: Clips, present: torch.Tensor, chosen: list[int], basis: torch.Tensor
) -> dict[str, Any]:
    names = head_controls().names
    miss_sum = rest_sum = count = 0.0
    correlations: list[list[float]] = [[] for _ in names]
    z_square, turn_square, angles, steady = [], [], [], []
    seen: list[torch.Tensor] = []
    true_seen: list[torch.Tensor] = []
    absolute = []
    for clip in chosen:
        here = present[clip]
        truth = clips.controls[clip].cpu()[here]
        mean = reading.mean[clip][here].clamp(0, 1)
        sigma = reading.log_sigma[clip][here].exp()
        moved = torch.tensordot(truth, basis, dims=1).norm(dim=-1)
        miss = torch.tensordot(mean - truth, basis, dims=1).norm(dim=-1)
        far = moved > MOVED
        miss_sum, rest_sum, count = (
            miss_sum + float(miss[far].sum()),
            rest_sum + float(moved[far].sum()),
            count + float(far.sum()),
        )
        absolute.append((mean - truth).abs().mean(0).numpy())
        z_square.append(((mean - truth) / sigma).square().mean(0).numpy())
        for control in range(len(names)):
            true_curve, curve = truth[:, control].numpy(), mean[:, control].numpy()
            if true_curve.std() > SPREAD:
                moves = curve.std() > 1e-6
                correlations[control].append(float(np.corrcoef(true_curve, curve)[0, 1]) if moves else 0.0)
        rotation, seen_rotation = clips.rotation[clip].cpu()[here], reading.rotation[clip][here]
        turn_sigma = reading.rotation_log_sigma[clip][here].exp()
        turn_square.append(float((turn_between(rotation, seen_rotation) / turn_sigma).square().mean()))
        angles.append(angle_between(rotation, seen_rotation).mean())
        steady.append(_after_constant_offset(rotation, seen_rotation))
        seen.append(reading.visible[clip][here].sigmoid())
        true_seen.append(clips.visible[clip].cpu()[here])
    by_control = [float(np.mean(values)) if values else float("nan") for values in correlations]
    known = [value for value in by_control if np.isfinite(value)]
    return {
        "clips": len(chosen),
        "vertex_mm": round(miss_sum / max(count, 1), 4),
        "vertex_mm_at_rest": round(rest_sum / max(count, 1), 4),
        "correlation_median": round(float(np.median(known)), 4) if known else None,
        "correlation_mean": round(float(np.mean(known)), 4) if known else None,
        "rotation_degrees": round(float(np.degrees(np.mean(angles))), 3),
        "rotation_degrees_steady": round(float(np.degrees(np.mean(steady))), 3),
        "visible_auc": [
            None if np.isnan(value) else round(value, 4) for value in _auc(torch.cat(seen), torch.cat(true_seen))
        ],
        "miss_in_sigmas": round(float(np.sqrt(np.mean(z_square))), 3),
        "rotation_in_sigmas": round(float(np.sqrt(np.mean(turn_square))), 3),
        "controls": {
            name: {
                "correlation": None if np.isnan(by_control[index]) else round(by_control[index], 3),
                "error": round(float(np.mean(absolute, axis=0)[index]), 4),
                "in_sigmas": round(float(np.sqrt(np.mean(z_square, axis=0)[index])), 2),
            }
            for index, name in enumerate(names)
        },
    }


def _after_constant_offset(truth: torch.Tensor, seen: torch.Tensor) -> float:
    """Mean angle, radians, once the mean turn between the two is taken out."""
    between = rotvec_to_rotmat(truth).mT @ rotvec_to_rotmat(seen)
    left, _, right = torch.linalg.svd(between.mean(0))
    mean = left @ torch.diag(torch.tensor([1.0, 1.0, float(torch.linalg.det(left @ right))])) @ right
    return float(rotmat_to_rotvec(between @ mean.mT).norm(dim=-1).mean())


def _auc(seen: torch.Tensor, truth: torch.Tensor) -> list[float]:
    """Of each region, the chance that a frame that shows most of it is rated above one that does not; NaN without."""
    areas = []
    for region in range(seen.shape[1]):
        shown = truth[:, region] > 0.5
        n_shown, n_hidden = int(shown.sum()), int((~shown).sum())
        rank = seen[:, region].argsort().argsort().double() + 1
        if n_shown == 0 or n_hidden == 0:
            areas.append(float("nan"))
        else:
            areas.append((float(rank[shown].sum()) - n_shown * (n_shown + 1) / 2) / (n_shown * n_hidden))
    return areas


def table(scores: dict[str, Any]) -> str:
    """The scores for a person to read."""
    lines = []
    for kind, score in scores.items():
        lines.append(
            f"{kind}, {score['clips']} clips: {score['vertex_mm']:.2f} mm (rest {score['vertex_mm_at_rest']:.2f}), "
            f"correlation median {score['correlation_median']}, mean {score['correlation_mean']}; rotation "
            f"{score['rotation_degrees']:.2f} degrees, after a constant offset {score['rotation_degrees_steady']:.2f}; "
            f"visible AUC {score['visible_auc']}; misses {score['miss_in_sigmas']} sigmas"
        )
    lines.append(f"{'control':22}" + "".join(f"{kind:>30}" for kind in scores))
    lines.append(" " * 22 + "   correlation  error in sigma" * len(scores))
    for name in next(iter(scores.values()))["controls"]:
        row = f"{name:22}"
        for score in scores.values():
            value = score["controls"][name]
            row += f"{value['correlation'] if value['correlation'] is not None else '-':>14}{value['error']:>7.3f}"
            row += f"{value['in_sigmas']:>9.2f}"
        lines.append(row)
    return "\n".join(lines)
