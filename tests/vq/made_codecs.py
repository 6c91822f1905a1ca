"""Codecs of random numbers, which know nothing but obey every law, and motions for them."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch

from tdmm.face import load_face_model
from tdmm.face.mesh_points import mesh_points
from tdmm.face.model import FaceModel
from tdmm.motion import DEFAULT_TRANSLATION, FaceMotion, make_motion
from tdmm.vq.codec import Codec, CodecNetwork, stored
from tdmm.vq.columns import FaceColumns, columns_for
from tdmm.vq.config import CodecConfig, StreamConfig
from tdmm.vq.geometry import GeometryView, make_view
from tdmm.vq.quantisers import LearningQuantiser

HEAD = load_face_model()
COLUMNS = columns_for(HEAD)
SMALL = CodecConfig(
    stride=4,
    encoder_ahead=2,
    quantiser="rvq",
    input="geometry",
    face=StreamConfig(24, 2, 3, 8, 2, 16),
    head=StreamConfig(16, 2, 2, 6, 2, 8),
    fps=25.0,
)


class Otherwise:
    """The built-in head with something else about it."""

    name, sha256 = "otherwise", "3" * 64

    def __init__(self, **others: Any) -> None:
        self.__dict__.update(others)

    def __getattr__(self, name: str) -> Any:
        return getattr(HEAD, name)


def some_faces(columns: FaceColumns, count: int, seed: int = 0) -> np.ndarray:
    """(N, P) float32 parameters, of several expressions each."""
    random = np.random.default_rng(seed)
    faces = random.random((count, columns.width)) * (random.random((count, columns.width)) < 0.3)
    faces[:, len(columns.expression_names) :] = 0.2 * random.standard_normal(
        (count, columns.width - len(columns.expression_names))
    )
    return faces.astype(np.float32)


@cache
def made_view(model: FaceModel) -> GeometryView:
    columns = columns_for(model)
    return make_view(model, columns, mesh_points(model), some_faces(columns, 300))


def made_network(model: FaceModel, config: CodecConfig = SMALL, seed: int = 0) -> CodecNetwork:
    """Random weights, rounded as they are in a file."""
    columns = columns_for(model)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        network = CodecNetwork(config, columns, made_view(model) if config.input == "geometry" else None)
        network.scale.uniform_(0.1, 0.5)
        for stream, of_stream in ((network.face, config.face), (network.head, config.head)):
            if config.quantiser == "fsq":
                books = LearningQuantiser("fsq", of_stream, 64).codebooks()
                stream.codebooks.load_state_dict(books.state_dict())
            else:
                # About as large as latents are, and as what is left of these: all codes are chosen.
                stream.codebooks.tables.normal_(0, 0.4)
                stream.codebooks.tables *= 0.5 ** torch.arange(of_stream.codebooks)[:, None, None]
    network.load_state_dict(stored(network))
    return network


def made_codec(model: FaceModel = HEAD, config: CodecConfig = SMALL, seed: int = 0) -> Codec:
    return Codec(made_network(model, config, seed), model, {})


def made_motion(frames: int, seed: int = 0, model: FaceModel = HEAD, **others: Any) -> FaceMotion:
    """Smooth curves of all expressions and of the head; others: fields that are given."""
    random = np.random.default_rng(seed)
    times = np.arange(frames)[:, None] / 25

    def curves(count: int) -> np.ndarray:
        speed, phase = random.uniform(1, 9, count), random.uniform(0, 2 * np.pi, count)
        return np.sin(times * speed + phase)

    fields: dict[str, Any] = {
        "face_model": model.name,
        "face_model_sha256": model.sha256,
        "rotation": 0.3 * curves(3),
        "translation": np.array(DEFAULT_TRANSLATION) + 0.05 * curves(3),
        "jaw_pose": 0.1 * curves(3) * model.joints.jaw,
    }
    fields["expression"] = 0.5 + 0.5 * curves(len(model.expression_names))
    return make_motion(expression_names=model.expression_names, **{**fields, **others})
