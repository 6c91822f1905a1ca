"""A codec: motions to tokens and back; in a folder (config.json, model.safetensors), or the one of tdmm itself."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

import tdmm
from tdmm.errors import TokensError
from tdmm.face.model import FaceModel
from tdmm.io.tokens_file import MotionTokens, invalid_runs
from tdmm.io.whole import whole_file
from tdmm.motion import FaceMotion, make_motion
from tdmm.vq.codebooks import Codebooks
from tdmm.vq.columns import HEAD, FaceColumns, absolute_pose, columns_of, first_pose, relative_pose
from tdmm.vq.config import FSQ_LEVELS, CodecConfig, StreamConfig, config_of
from tdmm.vq.geometry import FaceGeometry, GeometryView
from tdmm.vq.network import StepNetwork

SCHEMA = "tdmm.codec/1"
ASSET = Path(tdmm.__file__).parent / "assets" / "vq"
FILES = ("config.json", "model.safetensors")
# Poses of the head come to the networks in these units, so that a large movement is about 1.
HEAD_UNITS = (0.25, 0.25, 0.25, 0.03, 0.03, 0.03)
# Steps of one sequence that a network runs on at once; longer ones are cut, with what the pieces need of each other.
WINDOW = 512
# Steps of several sequences that a network runs on at once.
BATCH_STEPS = 8192


class StreamCodec(nn.Module):
    """One stream: encoder, codebooks, decoder. inputs, outputs: numbers a frame."""

    def __init__(self, config: StreamConfig, codec: CodecConfig, inputs: int, outputs: int) -> None:
        super().__init__()
        stride = codec.stride
        self.encoder = StepNetwork(
            inputs * stride, config.width, config.latent, config.encoder_blocks, codec.encoder_ahead
        )
        dimensions = len(FSQ_LEVELS[config.codes]) if codec.quantiser == "fsq" else None
        self.codebooks = Codebooks(config.codebooks, config.codes, config.latent, dimensions)
        self.decoder = StepNetwork(
            config.latent, config.width, outputs * stride, config.decoder_blocks, codec.decoder_ahead
        )


class CodecNetwork(nn.Module):
    """Both streams, and how parameters become what the encoders see.

    scale: (P,) by which parameters are divided; view: of the face's geometry, None where the input is parameters.
    """

    scale: torch.Tensor
    head_scale: torch.Tensor

    def __init__(self, config: CodecConfig, columns: FaceColumns, view: GeometryView | None) -> None:
        super().__init__()
        self.config, self.columns, self.view = config, columns, view
        inputs = columns.width if view is None else view.axes.shape[1]
        self.face = StreamCodec(config.face, config, inputs, columns.width)
        self.head = StreamCodec(config.head, config, HEAD, HEAD)
        self.register_buffer("scale", torch.ones(columns.width))
        self.register_buffer("head_scale", torch.tensor(HEAD_UNITS))


class Codec:
    """Motions of one face model to tokens and back. Works on CPU and CUDA (`to`).

    fingerprint: 16 hexadecimal digits of what it computes; tokens carry it, and another codec refuses them.
    facts: what it was trained on and how well it does. Raises `TokensError` for another face model than its own.
    """

    def __init__(self, network: CodecNetwork, model: FaceModel, facts: dict[str, Any]) -> None:
        columns = network.columns
        if columns.face_model_sha256 != model.sha256:
            raise TokensError(
                f"the codec is of face model {columns.face_model} ({columns.face_model_sha256[:12]}), "
                f"not of {model.name} ({model.sha256[:12]}); name the right one with --face-model"
            )
        self.network, self.model, self.facts = network.eval(), model, facts
        self.config, self.columns = network.config, columns
        self.fingerprint = fingerprint_of(network)
        self._geometry = None if network.view is None else FaceGeometry(model, columns, network.view)

    def to(self, device: str) -> Codec:
        """The same, elsewhere."""
        self.network.to(device)
        return self

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.network.scale.device

    # -- motions to tokens -----------------------------------------------------------------------

    def encode(self, motion: FaceMotion, id: str = "") -> MotionTokens:
        """The tokens of a motion. Raises `MotionError` for a motion of another face model."""
        return self.encode_many([motion], [id])[0]

    def encode_many(self, motions: Sequence[FaceMotion], ids: Sequence[str] | None = None) -> list[MotionTokens]:
        """The tokens of several motions, in batches: the same as one by one."""
        motions = [motion.resample(self.config.fps) for motion in motions]
        inputs = [self.inputs(motion, first_pose(motion)) for motion in motions]
        names = [""] * len(motions) if ids is None else list(ids)
        codes = self.codes_of(inputs)
        return [self.tokens(*found) for found in zip(motions, codes, names, strict=True)]

    def inputs(self, motion: FaceMotion, first: tuple[np.ndarray, np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
        """What the encoders of face and head see of a motion at the codec's rate: (T, inputs) and (T, 6)."""
        values = torch.from_numpy(self.columns.of(motion))
        with torch.inference_mode():
            if self._geometry is None:
                face = values / self.network.scale.to(values)
            else:
                # Eyes that turn beside what gaze expressions say are seen, and come back as gaze expressions.
                turned = not self.columns.eyes and self.model.joints.eyes and motion.eyes_pose.any()
                face = self._geometry.features(values, torch.from_numpy(motion.eyes_pose) if turned else None)
            head = torch.from_numpy(relative_pose(motion.rotation, motion.translation, first))
            return face, head / self.network.head_scale.to(head)

    def codes_of(self, inputs: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> list[np.ndarray]:
        """Codes (steps, Q) of what `inputs` gave of several motions."""
        if not inputs:
            return []
        streams = []
        with torch.inference_mode():
            for stream, frames in zip(self._streams, zip(*inputs, strict=True), strict=True):
                latents = self.run(stream.encoder, [in_steps(one, self.config.stride) for one in frames])
                found = stream.codebooks.encode(torch.cat(latents)).cpu()
                streams.append(found.split([len(one) for one in latents]))
        return [torch.cat(parts, dim=1).numpy() for parts in zip(*streams, strict=True)]

    def tokens(self, motion: FaceMotion, codes: np.ndarray, id: str = "") -> MotionTokens:
        """The codes of a motion at the codec's rate, with what else is needed to bring it back."""
        rotation, translation = first_pose(motion)
        return MotionTokens(
            codec=self.fingerprint,
            face_model=self.columns.face_model,
            face_model_sha256=self.columns.face_model_sha256,
            fps=self.config.fps,
            frames=len(motion),
            stride=self.config.stride,
            codes=codes,
            streams=self.config.streams,
            sizes=self.config.sizes,
            rotation=rotation,
            translation=translation,
            shape=motion.shape,
            camera=motion.camera,
            image_size=motion.image_size,
            start=float(motion.timestamps[0]),
            invalid=invalid_runs(motion.valid),
            id=id,
            text=motion.text,
        )

    # -- tokens to motions -----------------------------------------------------------------------

    def decode(self, tokens: MotionTokens) -> FaceMotion:
        """The motion of tokens. Raises `TokensError` for tokens of another codec."""
        return self.decode_many([tokens])[0]

    def decode_many(self, tokens: Sequence[MotionTokens]) -> list[FaceMotion]:
        """The motions of several tokens, in batches: the same as one by one."""
        for one in tokens:
            self.check(one)
        frames = self.frames_of([one.codes for one in tokens])
        return [
            self.motion(one, face[: one.frames], head[: one.frames])
            for one, (face, head) in zip(tokens, frames, strict=True)
        ]

    def check(self, tokens: MotionTokens) -> None:
        """Raises `TokensError` unless the tokens are this codec's."""
        if tokens.codec != self.fingerprint:
            what = f"{tokens.id}: " if tokens.id else ""
            raise TokensError(
                f"{what}these tokens are of the codec {tokens.codec}, not of {self.fingerprint}; "
                "name the right one with --codec"
            )
        if tokens.sizes != self.config.sizes or tokens.stride != self.config.stride:
            raise TokensError(f"{tokens.id}: expected codes of {self.config.sizes}, found {tokens.sizes}")

    def frames_of(self, codes: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Parameters (steps x stride, P) and relative poses (steps x stride, 6) of several codes (steps, Q)."""
        if not codes:
            return []
        split = self.config.face.codebooks
        scales = (self.network.scale, self.network.head_scale)
        streams = []
        with torch.inference_mode():
            for number, (stream, scale) in enumerate(zip(self._streams, scales, strict=True)):
                wanted = [one[:, split:] if number else one[:, :split] for one in codes]
                flat = torch.from_numpy(np.concatenate(wanted)).to(self.device)
                latents = stream.codebooks.decode(flat).split([len(one) for one in wanted])
                found = self.run(stream.decoder, latents)
                streams.append([(one.reshape(-1, len(scale)) * scale).cpu().numpy() for one in found])
        return list(zip(*streams, strict=True))

    def motion(self, tokens: MotionTokens, face: np.ndarray, head: np.ndarray) -> FaceMotion:
        """A motion of decoded frames: parameters (T, P) and relative poses (T, 6)."""
        count = len(face)
        valid = np.ones(count, bool)
        for start, end in tokens.invalid:
            valid[start:end] = False
        fields = {**self.columns.fields(face), **absolute_pose(head, (tokens.rotation, tokens.translation))}
        expression = fields.pop("expression")
        return make_motion(
            expression,
            self.columns.expression_names,
            face_model=tokens.face_model,
            face_model_sha256=tokens.face_model_sha256,
            fps=tokens.fps,
            shape=tokens.shape,
            camera=tokens.camera,
            image_size=tokens.image_size,
            valid=valid,
            confidence=valid.astype(np.float32),
            timestamps=tokens.start + np.arange(count) / tokens.fps,
            text=tokens.text,
            meta=tokens.meta,
            **fields,
        )

    # -- running networks ------------------------------------------------------------------------

    @property
    def _streams(self) -> tuple[StreamCodec, StreamCodec]:
        return self.network.face, self.network.head

    def run(self, network: StepNetwork, sequences: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """A network on sequences (N, inputs) of any lengths: (N, outputs) each.

        Long ones are cut into windows, each with the steps before and after it that what comes out depends on.
        """
        pieces = []
        for number, sequence in enumerate(sequences):
            for start in range(0, len(sequence), WINDOW):
                first = max(start - network.past, 0)
                last = min(start + WINDOW + network.ahead, len(sequence))
                pieces.append((last - first, number, start, first, last))
        # Pieces of like length together: little padding.
        pieces.sort()
        found: dict[tuple[int, int], torch.Tensor] = {}
        for batch in _batches(pieces):
            longest = batch[-1][0]
            padded = torch.zeros(len(batch), longest, sequences[0].shape[1])
            for row, (_, number, _, first, last) in zip(padded, batch, strict=True):
                row[: last - first] = sequences[number][first:last]
            lengths = torch.tensor([piece[0] for piece in batch])
            mask = None
            if batch[0][0] != longest:
                mask = (torch.arange(longest) < lengths[:, None])[..., None].to(padded).to(self.device)
            done = network(padded.to(self.device), mask)
            for row, (_, number, start, first, _) in zip(done, batch, strict=True):
                end = min(start + WINDOW, len(sequences[number]))
                found[number, start] = row[start - first : end - first]
        return [
            torch.cat([found[number, start] for start in range(0, len(sequence), WINDOW)])
            for number, sequence in enumerate(sequences)
        ]


def _batches(pieces: Sequence[tuple[int, int, int, int, int]]) -> Iterator[Sequence[tuple[int, int, int, int, int]]]:
    """Runs of pieces, which come by their length, of `BATCH_STEPS` steps at most with their padding."""
    start = 0
    for end in range(1, len(pieces) + 1):
        if end == len(pieces) or (end + 1 - start) * pieces[end][0] > BATCH_STEPS:
            yield pieces[start:end]
            start = end


def in_steps(frames: torch.Tensor, stride: int) -> torch.Tensor:
    """(T, F) frames as (ceil(T / stride), stride F) steps; the last frame is repeated to fill the last step."""
    missing = -len(frames) % stride
    if missing:
        frames = torch.cat([frames, frames[-1:].expand(missing, -1)])
    return frames.reshape(len(frames) // stride, -1)


# -- files ------------------------------------------------------------------------------------------


def stored(network: CodecNetwork) -> dict[str, torch.Tensor]:
    """The tensors of a codec as its file holds them: networks and codebooks in half precision."""
    found = {}
    for name, value in network.state_dict().items():
        half = value.is_floating_point() and not name.startswith("view.")
        found[name] = value.detach().to("cpu", torch.float16 if half else value.dtype).contiguous()
    return found


def fingerprint_of(network: CodecNetwork) -> str:
    """16 hexadecimal digits of config, columns and tensors as they are stored."""
    digest = sha256(json.dumps(_description(network), sort_keys=True).encode())
    for name, value in sorted(stored(network).items()):
        digest.update(name.encode() + value.numpy().tobytes())
    return digest.hexdigest()[:16]


def _description(network: CodecNetwork) -> dict[str, Any]:
    view = None if network.view is None else list(network.view.axes.shape)
    return {"config": asdict(network.config), "columns": network.columns.as_dict(), "view": view}


def save_codec(folder: str | Path, network: CodecNetwork, facts: dict[str, Any]) -> None:
    """Write a codec into a folder, which may hold other things. facts: what it was trained on and how well it does."""
    place = Path(folder)
    place.mkdir(exist_ok=True)
    described = {"schema": SCHEMA, "fingerprint": fingerprint_of(network), **_description(network), **facts}
    with whole_file(place / "model.safetensors") as beside:
        save_file(stored(network), beside)
    with whole_file(place / "config.json") as beside:
        beside.write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")


def load_codec(folder: str | Path | None = None, model: FaceModel | None = None) -> Codec:
    """The codec in a folder; None: that of tdmm itself. model: its face model; None: the built-in head.

    Raises `TokensError` that names what is wrong.
    """
    if model is None:
        from tdmm.face import load_face_model

        model = load_face_model()
    place = ASSET if folder is None else Path(folder)
    missing = [name for name in FILES if not (place / name).is_file()]
    if missing:
        raise TokensError(f"{place}: is no codec, there is no {missing[0]}; tdmm train vq makes one")
    try:
        facts = json.loads((place / "config.json").read_text(encoding="utf-8"))
        schema = facts.get("schema") if isinstance(facts, dict) else None
        if schema != SCHEMA:
            raise TokensError(f"{place}/config.json: schema: expected {SCHEMA!r}, found {schema!r}")
        view = None if facts["view"] is None else GeometryView(facts["view"][0] // 3, facts["view"][1])
        network = CodecNetwork(config_of(facts["config"]), columns_of(facts["columns"]), view)
        network.load_state_dict(load_file(place / "model.safetensors"))
        if facts.get("fingerprint") != fingerprint_of(network):
            raise TokensError("config.json and model.safetensors are of different codecs; copy both again")
    except TokensError as error:
        raise TokensError(f"{place}: {error}") from error
    except (SafetensorError, OSError, ValueError, LookupError, TypeError, RuntimeError, AssertionError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise TokensError(f"{place}: is no codec that can be read ({reason})") from error
    return Codec(network, model, facts)


@cache
def shipped_codec() -> Codec:
    """The codec of tdmm itself, for the built-in head; read once per process."""
    return load_codec()
