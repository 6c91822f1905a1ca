"""Templates of expressions and speech sounds in controls of the built-in head; a stem stands for left and right."""

from __future__ import annotations

import numpy as np

from tdmm.corpus.lexicon import read_data

Template = dict[str, float]

EXPRESSIONS: tuple[Template, ...] = (
    # People smile more than they do anything else.
    *({"mouthSmile": 0.8, "cheekSquint": 0.5, "eyeSquint": 0.15},) * 5,
    {"mouthSmile": 0.5, "mouthDimple": 0.3},
    {"mouthSmile": 0.9, "cheekSquint": 0.7, "mouthUpperUp": 0.4, "mouthLowerDown": 0.25, "jawOpen": 0.12},
    {"mouthSmile": 0.9, "cheekSquint": 0.9, "eyeSquint": 0.5, "jawOpen": 0.4, "noseSneer": 0.2, "eyeBlink": 0.2},
    {"browInnerUp": 0.9, "browOuterUp": 0.9, "eyeWide": 0.7, "jawOpen": 0.35},
    {"browInnerUp": 0.7, "browOuterUp": 0.8},
    {"browDown": 0.9, "eyeSquint": 0.4, "mouthPress": 0.6, "noseSneer": 0.3, "mouthRollUpper": 0.2},
    {"browDown": 0.9, "eyeWide": 0.5, "mouthFunnel": 0.3, "mouthLowerDown": 0.5, "jawOpen": 0.25, "jawForward": 0.3},
    {"noseSneer": 0.9, "mouthUpperUp": 0.6, "browDown": 0.4, "mouthShrugLower": 0.3, "eyeSquint": 0.3},
    {"browInnerUp": 0.9, "mouthFrown": 0.7, "mouthShrugLower": 0.4, "eyeBlink": 0.15},
    {"browInnerUp": 0.8, "browDown": 0.3, "eyeWide": 0.8, "mouthStretch": 0.7, "jawOpen": 0.2},
    {"mouthSmileLeft": 0.5, "mouthDimpleLeft": 0.8, "mouthPressLeft": 0.3},
    {"mouthSmileRight": 0.5, "mouthDimpleRight": 0.8, "mouthPressRight": 0.3},
    {"eyeSquint": 0.9},
    {"eyeSquint": 0.8, "cheekSquint": 0.6, "browDown": 0.3},
    {"eyeSquint": 1.0, "cheekSquint": 1.0, "browDown": 0.7, "noseSneer": 0.4, "mouthUpperUp": 0.2},
    {"cheekSquint": 0.8},
    {"eyeBlink": 0.5},
    {"eyeWide": 0.9},
    {"mouthShrugLower": 0.9, "mouthPucker": 0.3, "mouthFrown": 0.4},
    {"mouthPucker": 0.95, "mouthFunnel": 0.2},
    {"mouthFunnel": 0.9, "jawOpen": 0.2},
    {"mouthRollLower": 0.8, "mouthRollUpper": 0.8, "mouthPress": 0.4},
    {"mouthRollLower": 0.9, "mouthUpperUp": 0.3},
    {"mouthPress": 0.9},
    {"cheekPuff": 0.95, "mouthPucker": 0.2, "mouthPress": 0.2},
    {"jawLeft": 0.8},
    {"jawRight": 0.8},
    {"jawForward": 0.8},
    {"jawForward": 0.5, "mouthShrugLower": 0.5, "browDown": 0.4},
    {"jawLeft": 0.5, "jawOpen": 0.3, "mouthClose": 0.2},
    {"jawRight": 0.5, "jawOpen": 0.3, "mouthClose": 0.2},
    {"mouthLeft": 0.9},
    {"mouthRight": 0.9},
    {"mouthLeft": 0.5, "mouthPucker": 0.5, "browDown": 0.3, "gazeUp": 0.4},
    {"mouthRight": 0.5, "mouthPucker": 0.5, "browInnerUp": 0.3, "gazeUp": 0.4},
    {"jawOpen": 1.0, "eyeSquint": 0.5, "browInnerUp": 0.3, "eyeBlink": 0.5},
    {"jawOpen": 0.8},
    {"mouthClose": 0.5},
    {"mouthStretch": 0.9, "mouthLowerDown": 0.9, "mouthUpperUp": 0.5, "jawOpen": 0.1},
    {"browOuterUpLeft": 0.9, "browInnerUp": 0.3},
    {"browOuterUpRight": 0.9, "browInnerUp": 0.3},
    {"browOuterUpLeft": 0.6, "browDownRight": 0.6},
    {"browOuterUpRight": 0.6, "browDownLeft": 0.6},
    {"browDown": 0.9},
    {"browInnerUp": 0.9},
    {"mouthFrown": 0.9, "mouthShrugLower": 0.3},
    {"mouthShrugUpper": 0.7, "mouthShrugLower": 0.7, "browInnerUp": 0.4, "browOuterUp": 0.3, "mouthFrown": 0.3},
    {"mouthDimple": 0.9, "mouthPress": 0.3},
    {"noseSneer": 0.8},
    {"noseSneerLeft": 0.8, "mouthUpperUpLeft": 0.7, "cheekSquintLeft": 0.3},
    {"noseSneerRight": 0.8, "mouthUpperUpRight": 0.7, "cheekSquintRight": 0.3},
    {"mouthUpperUp": 0.8},
    {"mouthLowerDown": 0.8},
    {"tongueOut": 0.95, "jawOpen": 0.3},
    {"mouthShrugUpper": 0.8},
)
# The speech sounds are those by which tdmm's own performances speak.
_SOUNDS = read_data("visemes.toml")
VOWELS: tuple[Template, ...] = tuple(_SOUNDS["vowels"])
CONSONANTS: tuple[Template, ...] = tuple(_SOUNDS["consonants"])


def table(templates: tuple[Template, ...], names: tuple[str, ...]) -> np.ndarray:
    """(K, C) float32 templates as rows over the controls `names`. Raises `KeyError` for a name that is none."""
    rows = np.zeros((len(templates), len(names)), np.float32)
    column = {name: [number] for number, name in enumerate(names)}
    for name in names:
        if name.endswith("Left") and f"{name[:-4]}Right" in column:
            column.setdefault(name[:-4], column[name] + column[f"{name[:-4]}Right"])
    for row, template in zip(rows, templates, strict=True):
        for name, weight in template.items():
            row[column[name]] = weight
    return rows
