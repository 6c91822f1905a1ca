"""What a codec is made of: plain numbers, saved as the codec's config.json."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

from tdmm.errors import TokensError
from tdmm.motion import CANONICAL_FPS

QUANTISERS = ("rvq", "fsq")
INPUTS = ("geometry", "parameters")
LONGEST_LOOK_AHEAD = 8  # frames that a decoder may wait for
# Grids of finite scalar quantisation for some numbers of codes (Mentzer et al., Finite Scalar Quantization, 2023,
# table 1, by their products).
FSQ_LEVELS = {240: (8, 6, 5), 512: (8, 8, 8), 1000: (8, 5, 5, 5), 1024: (4, 4, 4, 4, 4)}


@dataclass(frozen=True)
class StreamConfig:
    """One stream, the face or the head.

    codebooks of `codes` codes each, of which every step has one of each (residual quantisation); latent: width of what
    is quantised. width, encoder_blocks, decoder_blocks: of the networks.
    """

    width: int
    encoder_blocks: int
    decoder_blocks: int
    latent: int
    codebooks: int
    codes: int

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if not isinstance(value, int) or isinstance(value, bool) or value < (2 if item.name == "codes" else 1):
                raise TokensError(f"codec: {item.name}: expected a positive whole number, found {value!r}")


@dataclass(frozen=True)
class CodecConfig:
    """A codec of two streams.

    stride: frames a step. encoder_ahead: steps that the encoder sees ahead. quantiser: of QUANTISERS. input: what the
    face's encoder sees, of INPUTS: the geometry of the face (the paper's way), or its parameters (for comparison).
    """

    stride: int = 4
    encoder_ahead: int = 2
    quantiser: str = "rvq"
    input: str = "geometry"
    face: StreamConfig = field(default_factory=lambda: StreamConfig(192, 4, 4, 64, 4, 1024))
    head: StreamConfig = field(default_factory=lambda: StreamConfig(96, 3, 3, 32, 2, 1024))
    fps: float = CANONICAL_FPS

    def __post_init__(self) -> None:
        if self.quantiser not in QUANTISERS:
            raise TokensError(f"quantiser: expected one of {', '.join(QUANTISERS)}, found {self.quantiser!r}")
        if self.input not in INPUTS:
            raise TokensError(f"input: expected one of {', '.join(INPUTS)}, found {self.input!r}")
        if self.stride not in (1, 2, 4, 8):
            raise TokensError(f"stride: expected 1, 2, 4 or 8 frames a step, found {self.stride!r}")
        if not 0 <= self.encoder_ahead <= 16:
            raise TokensError(f"encoder_ahead: expected 0 to 16 steps, found {self.encoder_ahead!r}")
        if self.quantiser == "fsq":
            for stream in (self.face, self.head):
                if stream.codes not in FSQ_LEVELS:
                    known = ", ".join(map(str, FSQ_LEVELS))
                    raise TokensError(f"codes: fsq has grids of {known} codes, found {stream.codes}")

    @property
    def decoder_ahead(self) -> int:
        """Steps that the decoder waits for: as many as `LONGEST_LOOK_AHEAD` frames allow."""
        return (LONGEST_LOOK_AHEAD - (self.stride - 1)) // self.stride

    @property
    def look_ahead(self) -> int:
        """Frames of codes that the decoder needs after a frame, at most."""
        return self.decoder_ahead * self.stride + self.stride - 1

    @property
    def streams(self) -> tuple[str, ...]:
        """What each column of codes is about."""
        return ("face",) * self.face.codebooks + ("head",) * self.head.codebooks

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many codes each column has."""
        return (self.face.codes,) * self.face.codebooks + (self.head.codes,) * self.head.codebooks

    @property
    def tokens_per_second(self) -> float:
        return len(self.sizes) * self.fps / self.stride


# The paper's own: one codebook, one token a frame.
PRESETS = {
    "tdmm": CodecConfig(),
    "paper": CodecConfig(
        stride=1,
        encoder_ahead=8,
        face=StreamConfig(192, 4, 4, 64, 1, 1024),
        head=StreamConfig(96, 3, 3, 32, 1, 1024),
    ),
}


def config_of(values: dict[str, Any]) -> CodecConfig:
    """The config that `dataclasses.asdict` made. Raises `TokensError` for what is none."""
    try:
        streams = {name: StreamConfig(**values[name]) for name in ("face", "head")}
        return CodecConfig(**{**values, **streams})
    except (KeyError, TypeError) as error:
        raise TokensError(f"codec: config: {error}") from error


def changed(config: CodecConfig, **values: Any) -> CodecConfig:
    """The config with other values; those of `StreamConfig` apply to the face, with `head_` before them to the head."""
    own = {item.name for item in fields(CodecConfig)}
    of_stream = {item.name for item in fields(StreamConfig)}
    face, head, rest = {}, {}, {}
    for name, value in values.items():
        if name in own:
            rest[name] = value
        elif name in of_stream:
            face[name] = value
        elif name.removeprefix("head_") in of_stream:
            head[name.removeprefix("head_")] = value
        else:
            raise TokensError(f"codec: there is no setting {name}")
    return replace(config, face=replace(config.face, **face), head=replace(config.head, **head), **rest)
