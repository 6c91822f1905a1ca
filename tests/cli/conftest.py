"""Run the program in this process, with its own standard streams."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from photograph import astronaut

from tdmm.cli.app import run
from tdmm.face import load_face_model
from tdmm.io.motion_file import write_motion
from tdmm.io.video import write_video
from tdmm.motion import FaceMotion, make_motion


@dataclass(frozen=True)
class Outcome:
    """What a run of the program left behind."""

    code: int
    stdout: bytes
    stderr: str

    @property
    def text(self) -> str:
        return self.stdout.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)

    @property
    def error_line(self) -> str:
        """The one line of a failure; a test that asks for it says that there is no other."""
        lines = self.stderr.splitlines()
        assert len(lines) == 1, self.stderr
        assert lines[0].startswith("error: "), self.stderr
        return lines[0]


class _Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def tdmm(monkeypatch) -> Callable[..., Outcome]:
    """tdmm("fit", path, ..., stdin=b"", terminal=("stdout",)): streams named in `terminal` say that they are one."""

    def call(*arguments: object, stdin: bytes = b"", terminal: tuple[str, ...] = ()) -> Outcome:
        buffers = {"stdin": io.BytesIO(stdin), "stdout": io.BytesIO(), "stderr": io.BytesIO()}
        for name, buffer in buffers.items():
            kind = _Terminal if name in terminal else io.TextIOWrapper
            monkeypatch.setattr(sys, name, kind(buffer, encoding="utf-8", write_through=True))
        code = run([str(argument) for argument in arguments])
        sys.stdout.flush()
        return Outcome(code, buffers["stdout"].getvalue(), buffers["stderr"].getvalue().decode())

    return call


@pytest.fixture(scope="session")
def motion() -> FaceMotion:
    """Six frames of the built-in head in a small picture: it smiles, opens its mouth and turns."""
    model = load_face_model()
    weights = np.zeros((6, len(model.expression_names)), np.float32)
    for name in ("jawOpen", "mouthSmileLeft", "mouthSmileRight"):
        weights[:, model.expression_names.index(name)] = np.linspace(0, 0.6, 6)
    rotation = np.zeros((6, 3), np.float32)
    rotation[:, 1] = np.linspace(-0.2, 0.2, 6)
    return make_motion(
        weights,
        model.expression_names,
        face_model=model.name,
        face_model_sha256=model.sha256,
        rotation=rotation,
        image_size=(64, 64),
    )


@pytest.fixture
def motion_file(tmp_path, motion) -> Path:
    write_motion(motion, tmp_path / "smile.npz")
    return tmp_path / "smile.npz"


@pytest.fixture(scope="session")
def face_clip(tmp_path_factory) -> Path:
    """Four frames of a photographed face that shifts by a pixel a frame; 25 per second, 256 x 256."""
    picture = astronaut()
    path = tmp_path_factory.mktemp("clips") / "face.mp4"
    write_video([np.roll(picture, shift, axis=1) for shift in range(4)], path, 25)
    return path


@pytest.fixture(scope="session")
def faceless_clip(tmp_path_factory) -> Path:
    """Four frames of a slope of grey."""
    slope = np.tile(np.linspace(0, 255, 128).astype(np.uint8)[:, None, None], (1, 128, 3))
    path = tmp_path_factory.mktemp("clips") / "faceless.mp4"
    write_video([slope] * 4, path, 25)
    return path
