"""The families of text-to-video models that diffusers knows: what each was made for, and what its licence says.

The numbers are those of the models' own cards and of the examples in diffusers. Licences as of November 2026.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tdmm.corpus.generators.base import NEGATIVE_PROMPT

INDEX = "model_index.json"
TRANSFORMER = "transformer/config.json"
VAE = "vae/config.json"

_HUNYUAN = (
    "the Tencent Hunyuan Community License forbids to use the outputs to improve any other AI model (section 5b), and"
    " to use the model or its outputs in the EU, the UK and South Korea"
)
_LTX = (
    "LTX-Video's licences count a model that is trained on its outputs to perform like it as a derivative, under the"
    " same restrictions of use, and newer versions ask large companies to buy one; read what lies beside the weights"
)
_COG = "the CogVideoX License allows research; commercial use needs a registration with the CogVideoX team"


@dataclass(frozen=True)
class Mark:
    """What tells a family from others of the same pipeline class: a field of a JSON file that is set and not false."""

    file: str
    field: str


@dataclass(frozen=True)
class Family:
    """A family of text-to-video models.

    classes: names of its pipelines in diffusers; a family without a mark takes what the others of a class leave.
    size: (H, W) pixels that it was trained for, multiples of `size_step`. frames: step * k + 1. fps: of what it makes.
    guidance: None if the pipeline takes none. more: further arguments of the call; more_if: further ones where the mark
    is there. negative: None if the pipeline ignores it. dtype: on a GPU; the VAE runs in float32 if `precise_vae`.
    offload: what leaves the GPU when it is not needed, unless the person says: none, model or sequential.
    tiling: decode in tiles, for VAEs that need more memory than the model itself.
    licence: SPDX or title; warning: where it hinders training on the outputs, else empty.
    """

    name: str
    classes: tuple[str, ...]
    size: tuple[int, int]
    size_step: int
    frames: int
    frame_step: int
    fps: float
    steps: int
    guidance: float | None
    licence: str
    warning: str = ""
    mark: Mark | None = None
    negative: str | None = NEGATIVE_PROMPT
    dtype: str = "bfloat16"
    offload: str = "model"
    precise_vae: bool = False
    tiling: bool = False
    rate_argument: str = ""
    more: tuple[tuple[str, float], ...] = ()
    more_if: tuple[Mark, tuple[tuple[str, float], ...]] | None = None


# The first that fits counts: those with a mark stand before the one without.
FAMILIES = (
    Family(
        "Wan 2.2 TI2V", ("WanPipeline",), (704, 1280), 32, 121, 4, 24.0, 50, 5.0, "Apache-2.0",
        mark=Mark(INDEX, "expand_timesteps"), precise_vae=True,
    ),
    Family(
        "Wan 2.2 A14B", ("WanPipeline",), (480, 832), 16, 81, 4, 16.0, 40, 4.0, "Apache-2.0",
        mark=Mark(INDEX, "boundary_ratio"), precise_vae=True, more=(("guidance_scale_2", 3.0),),
    ),
    Family("Wan 2.1", ("WanPipeline",), (480, 832), 16, 81, 4, 16.0, 50, 5.0, "Apache-2.0", precise_vae=True),
    Family(
        "HunyuanVideo", ("HunyuanVideoPipeline",), (544, 960), 16, 129, 4, 24.0, 50, 6.0,
        "Tencent Hunyuan Community License", _HUNYUAN, negative=None, tiling=True,
    ),
    Family(
        "HunyuanVideo 1.5", ("HunyuanVideo15Pipeline",), (480, 832), 16, 121, 4, 24.0, 50, None,
        "Tencent Hunyuan Community License", _HUNYUAN, tiling=True,
    ),
    Family(
        "CogVideoX 1.5", ("CogVideoXPipeline",), (768, 1360), 16, 81, 16, 16.0, 50, 6.0, "CogVideoX License", _COG,
        mark=Mark(TRANSFORMER, "patch_size_t"), tiling=True,
    ),
    Family(
        "CogVideoX 5B", ("CogVideoXPipeline",), (480, 720), 16, 49, 8, 8.0, 50, 6.0, "CogVideoX License", _COG,
        mark=Mark(TRANSFORMER, "use_rotary_positional_embeddings"), tiling=True,
    ),
    Family(
        "CogVideoX 2B", ("CogVideoXPipeline",), (480, 720), 16, 49, 8, 8.0, 50, 6.0, "Apache-2.0",
        dtype="float16", tiling=True,
    ),
    Family(
        "LTX-Video", ("LTXPipeline", "LTXConditionPipeline"), (512, 704), 32, 161, 8, 24.0, 50, 3.0,
        "LTX-Video licence", _LTX, rate_argument="frame_rate",
        more_if=(Mark(VAE, "timestep_conditioning"), (("decode_timestep", 0.05), ("decode_noise_scale", 0.025))),
    ),
    Family("Mochi 1", ("MochiPipeline",), (480, 848), 16, 85, 6, 30.0, 64, 4.5, "Apache-2.0", tiling=True),
)  # fmt: skip


def recognise(files: Mapping[str, Mapping[str, Any]]) -> Family | None:
    """The family of a pipeline by its JSON files (`INDEX`, `TRANSFORMER`, `VAE`); a file that is not there is left out.

    None for a pipeline that is none of `FAMILIES`.
    """
    name = files.get(INDEX, {}).get("_class_name")
    return next((f for f in FAMILIES if name in f.classes and (f.mark is None or has(files, f.mark))), None)


def has(files: Mapping[str, Mapping[str, Any]], mark: Mark) -> bool:
    """Whether the mark is there: its field is set, and not to false."""
    return files.get(mark.file, {}).get(mark.field) not in (None, False)


def known() -> str:
    """The names of the families, for messages."""
    return ", ".join(family.name for family in FAMILIES)
