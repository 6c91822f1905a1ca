"""Make examples/clip.mp4: a head that smiles, blinks, speaks, lifts its brows and turns, rendered by tdmm itself.

python examples/make_clip.py [OUT.mp4]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tdmm.face import load_face_model
from tdmm.io.video import write_video
from tdmm.motion import FaceMotion, make_motion
from tdmm.render import RenderOptions, render

FPS, SECONDS, SIDE = 25.0, 4.0, 360
IDENTITY_SEED = 11


def bump(times: np.ndarray, start: float, stop: float, ramp: float) -> np.ndarray:
    """A curve that rises from 0 to 1 over `ramp` seconds after `start` and falls again before `stop`."""
    rise = np.clip((times - start) / ramp, 0, 1)
    fall = np.clip((stop - times) / ramp, 0, 1)
    smooth = np.minimum(rise, fall)
    return smooth * smooth * (3 - 2 * smooth)


def motion() -> FaceMotion:
    head = load_face_model()
    times = np.arange(int(FPS * SECONDS)) / FPS
    curves = {
        "mouthSmile": 0.75 * bump(times, 0.3, 1.9, 0.4),
        "cheekSquint": 0.4 * bump(times, 0.3, 1.9, 0.4),
        "eyeBlink": np.maximum.reduce([bump(times, at, at + 0.28, 0.1) for at in (0.9, 2.3, 3.5)]),
        "browInnerUp": 0.8 * bump(times, 1.9, 3.0, 0.3),
        "browOuterUp": 0.8 * bump(times, 1.9, 3.0, 0.3),
        "jawOpen": 0.45 * bump(times, 2.0, 2.5, 0.2) + 0.3 * bump(times, 2.55, 2.95, 0.18),
        "mouthFunnel": 0.4 * bump(times, 2.5, 3.0, 0.2),
        "gazeLeft": 0.5 * bump(times, 3.0, 3.9, 0.2),
    }
    sides = {"gazeLeft": ("eyeLookOutLeft", "eyeLookInRight")}
    expression = np.zeros((len(times), len(head.expression_names)), np.float32)
    for name, curve in curves.items():
        for column, known in enumerate(head.expression_names):
            if known in sides.get(name, (name, f"{name}Left", f"{name}Right")):
                expression[:, column] = curve
    rotation = np.zeros((len(times), 3), np.float32)
    rotation[:, 0] = np.radians(5) * np.sin(2 * np.pi * times / 2.0) * bump(times, 0.0, 4.0, 0.5)
    rotation[:, 1] = np.radians(18) * np.sin(2 * np.pi * (times - 0.2) / SECONDS) * bump(times, 0.0, 4.0, 0.5)
    rotation[:, 2] = np.radians(4) * np.sin(2 * np.pi * times / 3.0) * bump(times, 0.0, 4.0, 0.5)
    shape = 0.6 * np.random.default_rng(IDENTITY_SEED).standard_normal(head.n_shape)
    return make_motion(
        expression,
        head.expression_names,
        face_model=head.name,
        face_model_sha256=head.sha256,
        fps=FPS,
        shape=shape.astype(np.float32),
        rotation=rotation,
        image_size=(SIDE, SIDE),
        text="smiles, blinks, raises the brows while speaking, and looks to the left",
    )


def frames() -> Iterator[np.ndarray]:
    options = RenderOptions(size=(SIDE, SIDE), view="camera", caption=False, background=(168, 176, 182))
    yield from render(motion(), options=options)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("clip.mp4")
    write_video(frames(), target, FPS, crf=23)
