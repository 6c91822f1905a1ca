"""Corrections of the sculpted shapes: lips that meet at rest, a tongue with room, lids that follow the gaze up."""

from __future__ import annotations

import numpy as np

# Metres: how far the lower lip is raised and the upper one lowered, in the middle and more towards the corners.
LIFT_MIDDLE, LIFT_CORNER = 0.0005, 0.0014
UPPER_SHARE = 0.5
HALF_WIDTH = 0.0245  # from the middle to the corner of the mouth
FALL_OFF = 0.006  # the correction fades out over this height
# tongueOut alone would push the tongue through closed lips: it brings a little of these along.
TONGUE_BRINGS = {"jawOpen": 0.22, "mouthLowerDownLeft": 0.2, "mouthLowerDownRight": 0.2}
LOOK_UP_WIDENS = 0.30  # of eyeWide
# Metres that the tip of the tongue goes beyond MakeHuman's jawOpen.
TONGUE_DOWN = (0.0, -0.0135, -0.0045)


def close_lips(template: np.ndarray, jaw_open: np.ndarray, of_mouth: np.ndarray, of_skin: np.ndarray) -> np.ndarray:
    """Displacements (V, 3) in metres that let the lips of the average face touch.

    The average of many faces leaves them 0.2 to 0.4 mm apart. jaw_open: (V, 3) displacement of jawOpen, which tells
    the lower lip from the upper. of_mouth: (V,) lips and mouth inside; of_skin: (V,) all skin.
    """
    x, y, z = template.T
    front = of_mouth & (z > template[of_mouth, 2].max() - 0.012) & (np.abs(x) < 0.012)
    line = y[front & (np.abs(jaw_open[:, 1]) > 0.012)].max()
    # At the corner both lips go down with the jaw by this much; the lower lip by more, the upper by less.
    lower = np.clip((-jaw_open[:, 1] - 0.0123) / 0.0020, -1, 1)
    sideways = np.abs(x) / HALF_WIDTH
    lift = LIFT_MIDDLE + (LIFT_CORNER - LIFT_MIDDLE) * np.clip(sideways, 0, 1) ** 2
    lift *= _smoothstep((1.15 - sideways) / 0.25)
    near = np.exp(-(((y - line) / FALL_OFF) ** 2)) * _smoothstep((z - 0.088) / 0.010) * of_skin
    moved = np.zeros_like(template)
    moved[:, 1] = near * lift * np.where(lower > 0, lower, UPPER_SHARE * lower)
    return moved


def part_lips_for_tongue(actions: np.ndarray, names: list[str], of_tongue: np.ndarray) -> np.ndarray:
    """The expressions (52, V, 3) with a tongueOut that opens the mouth for the tongue, which itself stays as it was."""
    corrected = actions.copy()
    tongue = names.index("tongueOut")
    brought = sum(share * actions[names.index(name)] for name, share in TONGUE_BRINGS.items())
    corrected[tongue] += np.where(of_tongue[:, None], 0.0, brought)
    return corrected


def raise_lids(actions: np.ndarray, names: list[str], of_lashes_and_skin: np.ndarray) -> np.ndarray:
    """The expressions (52, V, 3) with upper lids that follow an eye that looks up further than MakeHuman's does."""
    corrected = actions.copy()
    for side in ("Left", "Right"):
        wide = actions[names.index(f"eyeWide{side}")]
        corrected[names.index(f"eyeLookUp{side}")] += LOOK_UP_WIDENS * np.where(of_lashes_and_skin[:, None], wide, 0)
    return corrected


def lower_tongue(actions: np.ndarray, names: list[str], of_tongue: np.ndarray, template: np.ndarray) -> np.ndarray:
    """The expressions (52, V, 3) with a jawOpen that leaves the tongue on the floor of the mouth.

    MakeHuman's stays behind the upper teeth and hides the mouth.
    """
    corrected = actions.copy()
    z = template[:, 2]
    forward = 0.7 + 0.3 * _smoothstep((z - z[of_tongue].min()) / (z[of_tongue].max() - z[of_tongue].min()) * 2.2)
    corrected[names.index("jawOpen")] += np.where(of_tongue, forward, 0)[:, None] * np.array(TONGUE_DOWN)
    return corrected


def _smoothstep(t: np.ndarray) -> np.ndarray:
    t = np.clip(t, 0, 1)
    return t * t * (3 - 2 * t)
