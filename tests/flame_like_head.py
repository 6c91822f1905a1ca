"""A head in FLAME's form made of the built-in one: another size and frame, statistical expressions, a jaw that turns.

Its expressions are random mixtures of what the built-in head's own do, but for the jaw: that opens by the joint alone.
What is right for it is thus known: a jaw that opens is a jaw that turns.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from roma import rotvec_to_rotmat

from tdmm.face.flame import N_SHAPE, FlameModel

SIZE, TURN = 1.08, (0.2, 0.05, -0.03)
N_EXPRESSIONS = 60


def flame_like(head) -> FlameModel:
    names = head.expression_names
    with torch.inference_mode():
        rest = head.vertices(torch.zeros(0), torch.zeros(1, len(names)))[0].double().numpy()
        moves = (head.vertices(torch.zeros(0), torch.eye(len(names))) - torch.tensor(rest)).double().numpy()
        shapes = (head.vertices(torch.eye(20), torch.zeros(20, len(names))) - torch.tensor(rest)).double().numpy()
        eyes = [head.vertices(torch.zeros(0), torch.zeros(1, len(names)), eyes_pose=torch.tensor([turn]))[0].numpy()
                for turn in ([0.0, 0.2, 0, 0, 0, 0], [0.0, 0, 0, 0, 0.2, 0])]  # fmt: skip
    turn = rotvec_to_rotmat(torch.tensor(TURN, dtype=torch.float64)).numpy()
    frame = lambda points: SIZE * points @ turn.T  # noqa: E731
    on_eye = [np.linalg.norm(moved - rest, axis=1) > 1e-5 for moved in eyes]
    # Gaze is of the joints, the jaw is of the joint: neither is among the expressions. Lids follow the gaze there.
    still = [names.index(name) for name in names if name.startswith("jaw") or name == "tongueOut"]
    moves[:, on_eye[0] | on_eye[1]] = 0
    opening = moves[names.index("jawOpen")].copy()
    # The joint's axis lies before the ears; what opening moves farther hangs on it by more.
    joint = np.array([0.0, rest[on_eye[0], 1].mean() - 0.035, rest[on_eye[0], 2].mean() - 0.075])
    moves[still] = 0
    moves[names.index("mouthClose")] += opening  # without what the built-in control opens beside it
    lever = np.linalg.norm((rest - joint)[:, 1:], axis=1)
    jaw = np.clip(np.linalg.norm(opening, axis=1) / np.maximum(0.35 * lever, 1e-3), 0, 1)
    random = np.random.default_rng(0)
    mixture = random.standard_normal((N_EXPRESSIONS, len(names))) / np.sqrt(10)
    basis = np.zeros((N_SHAPE + N_EXPRESSIONS, len(rest), 3))
    basis[:20] = frame(shapes)
    basis[N_SHAPE:] = frame(np.einsum("ke,evx->kvx", mixture, moves))
    weights = np.zeros((len(rest), 5))
    weights[:, 2] = jaw
    for side in (0, 1):
        weights[on_eye[side]] = np.eye(5)[3 + side]
    weights[:, 1] = 1 - weights.sum(1)
    centres = head.eye_centers(torch.zeros(0)).double().numpy()
    everywhere = np.ones(len(rest), bool)
    regressor = [_weights(rest, everywhere, rest.mean(0))] * 2 + [_weights(rest, everywhere, joint)]
    regressor += [_weights(rest, mask, centre) for mask, centre in zip(on_eye, centres, strict=True)]
    arrays = {
        "template": frame(rest),
        "basis": basis,
        "pose_basis": np.zeros((36, len(rest), 3)),
        "joint_regressor": np.stack(regressor),
        "skin_weights": weights,
    }
    arrays = {key: value.astype(np.float32) for key, value in arrays.items()}
    embedding = replace(head.landmark_embedding)
    return FlameModel("flame-like", {**arrays, "faces": head.faces}, embedding)


def _weights(points: np.ndarray, some: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Weights (V,) of sum 1 over some points, as even as possible, of which the mean is a place."""
    homogeneous = np.concatenate([points[some], np.ones((some.sum(), 1))], axis=1)
    weights = np.zeros(len(points))
    weights[some] = np.linalg.lstsq(homogeneous.T, np.append(place, 1.0), rcond=None)[0]
    return weights
