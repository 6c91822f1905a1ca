"""From a checkpoint and the shards to the asset, its card, and metrics.json beside it."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tdmm.face import load_face_model
from tdmm.fit.network import NetworkConfig, PriorNetwork, folded
from tdmm.fit.prior import ASSET, Prior, save_prior

from .collect import HELD_SEEDS
from .response import fit_response, misses_of
from .takes import TEST_SEEDS, head_controls
from .train import split

# Of a clip's frames every so-manieth tells the response of the landmarks: neighbours say the same.
EVERY = 6
# Held-out takes may say that spreads are wrong by so much: they are few.
SPREADS = (0.7, 4.0)


def pack(shards: Path, checkpoint: Path, output: Path, command: str, device: str = "cpu") -> dict[str, Any]:
    """Write fit_prior.safetensors, fit_prior.md and metrics.json to a folder; what the asset says of its making."""
    controls, head = head_controls(), load_face_model()
    report = json.loads(checkpoint.with_suffix(".json").read_text())
    network = PriorNetwork(NetworkConfig(n_controls=len(controls)))
    network.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True)["average"])
    calibrate(network, report["scores"])
    learnt, held = split(shards)
    fitted = fit_response(misses_of(learnt, EVERY, device), misses_of(held, EVERY, device) if held else None)
    made = {
        "command": command,
        "runs": report["runs"],
        "held_seeds": [HELD_SEEDS, TEST_SEEDS - 1],
        "frames": report["frames"],
        "clips": report["clips"],
        "steps": report["steps"],
        "minutes": report["minutes"],
        "versions": {name: _version(name) for name in ("torch", "numpy", "mediapipe")},
        "response": {
            "ridge": fitted.ridge,
            "rms_mm_before": round(1000 * fitted.before, 3),
            "rms_mm_after": round(1000 * fitted.after, 3),
        },
        "scores": report["scores"],
    }
    prior = Prior(
        names=controls.names,
        network=folded(network.eval()),
        response=fitted.response,
        face_model_sha256=head.sha256,
        detector=f"mediapipe-facemesh {_version('mediapipe')}",
        made={key: value for key, value in made.items() if key != "scores"},
    )
    asset = output / ASSET.name
    save_prior(prior, asset)
    (output / "metrics.json").write_text(json.dumps(report | made, indent=1))
    (output / "fit_prior.md").write_text(card(made, asset.stat().st_size))
    return made


def calibrate(network: PriorNetwork, scores: dict[str, Any]) -> None:
    """Widen (or narrow) the network's spreads to what it misses by on held-out takes of all kinds."""
    if not scores:
        return
    of_all = lambda values: float(np.sqrt(np.mean(np.square(values))))  # noqa: E731
    kinds = list(scores.values())
    by_control = [of_all([kind["controls"][name]["in_sigmas"] for kind in kinds]) for name in kinds[0]["controls"]]
    turn = of_all([kind["rotation_in_sigmas"] for kind in kinds])
    network.log_spread.copy_(torch.tensor(by_control).clamp(*SPREADS).log())
    network.turn_log_spread.copy_(torch.tensor(turn).clamp(*SPREADS).log())


def card(made: dict[str, Any], size: int) -> str:
    """The asset's card."""
    runs = "; ".join(
        f"to step {run['steps']} on {run['frames']} pictures of seeds {run['seeds'][0]} to {run['seeds'][1]}"
        for run in made["runs"]
    )
    versions = ", ".join(f"{name} {number}" for name, number in made["versions"].items())
    rows = []
    for kind, score in made["scores"].items():
        rows.append(
            f"| {kind} | {score['vertex_mm']:.2f} | {score['vertex_mm_at_rest']:.2f} | {score['correlation_median']} | "
            f"{score['correlation_mean']} | {score['rotation_degrees_steady']:.2f} |"
        )
    table = "\n".join(rows)
    controls = []
    if made["scores"]:
        kinds = list(made["scores"])
        controls.append("| control | " + " | ".join(f"{kind}: correlation, error" for kind in kinds) + " |")
        controls.append("|---|" + "---|" * len(kinds))
        for name in made["scores"][kinds[0]]["controls"]:
            cells = [made["scores"][kind]["controls"][name] for kind in kinds]
            shown = " | ".join(
                f"{'-' if cell['correlation'] is None else cell['correlation']}, {cell['error']:.3f}" for cell in cells
            )
            controls.append(f"| {name} | {shown} |")
    by_control = "\n".join(controls)
    return f"""# fit_prior.safetensors

What `tdmm fit` knows before it solves: a network that reads the built-in head's controls, the head's rotation and what
is hidden, each with its spread, from the detector's landmarks and crops of eyes, mouth and face over time
(`tdmm/fit/network.py`), and how each landmark strays from its place on the head with every control
(`LandmarkResponse` in `tdmm/fit/prior.py`). {size / 1e6:.2f} MB, 16-bit.

**Data.** Rendered people only (`scripts/fit_prior/studio.py`, `takes.py`), in which the detector found the face;
identities, skins, hair, glasses, light, backgrounds, cameras, hands and expressions at random. No picture of a real
person was used. Judged on seeds from {made["held_seeds"][0]}; the benchmarks' seeds begin at
{made["held_seeds"][1] + 1}. Licence: as tdmm.

**Command.** `{made["command"]}`; {made["minutes"]} minutes of training in {len(made["runs"])} runs:
{runs}. Versions: {versions}.

**Scores** of the network alone on held-out takes. Vertices: mean distance of those that are truly moved by more than
2 mm, the pose taken out. Correlation: over time, of the controls that move in a take. Rotation after a constant offset.
The spreads of the asset are multiplied by what these takes were missed by in units of them.

| takes | vertices, mm | at rest, mm | correlation, median | mean | rotation, degrees |
|---|---|---|---|---|---|
{table}

The landmarks' misses on held-out takes: {made["response"]["rms_mm_before"]} mm a coordinate, with the response
{made["response"]["rms_mm_after"]} mm.

{by_control}
"""


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"
