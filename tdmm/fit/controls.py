"""What the solver may change in each frame: controls, from which a face model's own parameters follow.

Most controls are one expression each. `mouthClose` goes with as much `jawOpen`, so that it never exceeds that. The eyes
look the same way, so that the eight `eyeLook` expressions are four controls (and `eyes_pose` stays at rest, where a
model has both: curves are what other programs read; but where those expressions move the lids alone, as ICT-FaceKit's
do, the eye joints turn with them); a model without them turns its eye joints by two angles. A jaw joint has three.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from tdmm.face.model import FaceModel
from tdmm.face.names import spell_side

# Each gaze control moves both eyes; the names are from the subject's own side.
GAZE = {
    "gazeLeft": ("eyeLookOutLeft", "eyeLookInRight"),
    "gazeRight": ("eyeLookInLeft", "eyeLookOutRight"),
    "gazeUp": ("eyeLookUpLeft", "eyeLookUpRight"),
    "gazeDown": ("eyeLookDownLeft", "eyeLookDownRight"),
}
# How far an eyeLook of 1 turns an eye joint, radians about x and y: as far as the built-in head's expressions turn its
# eyes.
EYE_TURN = {
    "gazeLeft": (0.0, np.radians(25)),
    "gazeRight": (0.0, np.radians(-25)),
    "gazeUp": (np.radians(-17), 0.0),
    "gazeDown": (np.radians(24), 0.0),
}
# Statistical expressions (`expr_000`) are in standard deviations.
STATISTICAL_RANGE = 3.0
# Spread and range of eye and jaw joints, radians: x, y, z.
EYE_SIGMA, EYE_RANGE = (0.15, 0.25), (0.6, 0.8)
JAW_SIGMA = (0.15, 0.03, 0.03)
JAW_RANGE = ((-0.05, 0.7), (-0.15, 0.15), (-0.1, 0.1))


@dataclass(frozen=True)
class Controls:
    """C controls z of a frame, bounded by `lower` and `upper`, at rest at 0.

    to_expression (C, E), to_jaw (C, 3), to_eyes (C, 6): z @ to_expression is the model's expression, and so on.
    sigma: (C,) prior spread about rest. one_sided: (C,) bool, weights of blendshapes (0..1), of which few are
    active at a time. capped: pairs (i, j) with z[i] + z[j] <= 1.
    """

    names: tuple[str, ...]
    to_expression: np.ndarray
    to_jaw: np.ndarray
    to_eyes: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    sigma: np.ndarray
    one_sided: np.ndarray
    capped: tuple[tuple[int, int], ...]

    def __len__(self) -> int:
        return len(self.names)


def controls_of(model: FaceModel) -> Controls:
    """The controls of a face model, by the names of its expressions and by its joints."""
    rows: list[dict] = []
    known = {spell_side(name): index for index, name in enumerate(model.expression_names)}
    tied: dict[str, str] = {}
    if all(name in known for pair in GAZE.values() for name in pair):
        tied = {name: control for control, pair in GAZE.items() for name in pair}
    for name, index in known.items():
        if name in tied:
            continue
        if model.expression_names[index].startswith("expr_"):
            limits = dict(lower=-STATISTICAL_RANGE, upper=STATISTICAL_RANGE, sigma=1.0)
        else:
            limits = dict(lower=0.0, upper=1.0, sigma=1.0)
        rows.append(dict(name=name, expression=[index], **limits))
    if tied:
        turns = EYE_TURN if _eyeballs_stay(model, known) else {}
        for control, pair in GAZE.items():
            turn = {"turn": turns[control]} if turns else {}
            rows.append(
                dict(name=control, expression=[known[n] for n in pair], lower=0.0, upper=1.0, sigma=1.0, **turn)
            )
    elif model.joints.eyes:
        for axis, name in enumerate(("gazePitch", "gazeYaw")):
            limit = EYE_RANGE[axis]
            rows.append(dict(name=name, eyes=axis, lower=-limit, upper=limit, sigma=EYE_SIGMA[axis]))
    if model.joints.jaw:
        for axis, name in enumerate(("jawPitch", "jawYaw", "jawRoll")):
            low, high = JAW_RANGE[axis]
            rows.append(dict(name=name, jaw=axis, lower=low, upper=high, sigma=JAW_SIGMA[axis]))
    names = tuple(row["name"] for row in rows)
    to_expression = np.zeros((len(rows), len(model.expression_names)), np.float32)
    to_jaw, to_eyes = np.zeros((len(rows), 3), np.float32), np.zeros((len(rows), 6), np.float32)
    for number, row in enumerate(rows):
        to_expression[number, row.get("expression", [])] = 1
        if "jaw" in row:
            to_jaw[number, row["jaw"]] = 1
        if "eyes" in row:
            to_eyes[number, [row["eyes"], 3 + row["eyes"]]] = 1
        if "turn" in row:
            to_eyes[number, [0, 1, 3, 4]] = [*row["turn"], *row["turn"]]
    capped: tuple[tuple[int, int], ...] = ()
    if "mouthClose" in names and "jawOpen" in names:
        # The lips cannot be drawn together further than the jaw pulls them apart: closing them opens the jaw by as
        # much, and the control of the jaw is what it opens beyond that.
        to_expression[names.index("mouthClose"), known["jawOpen"]] = 1
        capped = ((names.index("jawOpen"), names.index("mouthClose")),)
    column = lambda key: np.array([row[key] for row in rows], np.float32)  # noqa: E731
    return Controls(
        names=names,
        to_expression=to_expression,
        to_jaw=to_jaw,
        to_eyes=to_eyes,
        lower=column("lower"),
        upper=column("upper"),
        sigma=column("sigma"),
        one_sided=column("lower") == 0,
        capped=capped,
    )


def _eyeballs_stay(model: FaceModel, known: dict[str, int]) -> bool:
    """Whether the model has eye joints, and what these turn is hardly moved by the expression that looks aside."""
    if not model.joints.eyes:
        return False
    rest, aside = torch.zeros(1, len(model.expression_names)), torch.zeros(1, len(model.expression_names))
    aside[0, [known[name] for name in GAZE["gazeLeft"]]] = 1
    turn = torch.tensor([[*EYE_TURN["gazeLeft"], 0.0, *EYE_TURN["gazeLeft"], 0.0]], dtype=torch.float32)
    with torch.no_grad():
        neutral = model.vertices(torch.zeros(0), rest)[0]
        by_joint = (model.vertices(torch.zeros(0), rest, eyes_pose=turn)[0] - neutral).norm(dim=1)
        by_expression = (model.vertices(torch.zeros(0), aside)[0] - neutral).norm(dim=1)
    eyeball = by_joint > 0.5 * by_joint.max()
    return bool(by_expression[eyeball].mean() < 0.5 * by_joint[eyeball].mean())
