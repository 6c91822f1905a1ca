"""What every generator of videos offers, and how one is named on a command line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Protocol, TypedDict

from tdmm.errors import CorpusError

KINDS = ("procedural", "diffusers", "command")
# What a video of one talking head should not show; for models that take such a list.
NEGATIVE_PROMPT = (
    "still picture, slideshow, cut, moving camera, several people, face out of frame, covered face, blurred face, "
    "deformed face, extra eyes, cartoon, subtitles, text, watermark, overexposed, low quality, JPEG artefacts"
)

_NUMBER = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)"
_WEIGHT = re.compile(rf"=({_NUMBER})$")
# In a command `--steps=30` is an option: a weight stands after a space, a closing quote or a field.
_COMMAND_WEIGHT = re.compile(rf"(?<=[\s'\"}}])=({_NUMBER})$")


class Facts(TypedDict):
    """What is told of a generator in the manifest, and to the person. Texts that do not apply are empty.

    licence: of the videos it makes, as far as known (an SPDX name or a title). warning: one sentence where the licence
    forbids or limits what a corpus is made for, training other models.
    """

    model: str
    family: str
    settings: dict[str, Any]
    licence: str
    warning: str


class Made(TypedDict):
    """What was made: frames per second, the number of frames, pixels."""

    fps: float
    frames: int
    width: int
    height: int


class VideoGenerator(Protocol):
    """Makes videos from prompts. Picklable before `load`: every process of an engine loads its own."""

    @property
    def name(self) -> str:
        """`diffusers` or `command`."""

    @property
    def model(self) -> str:
        """The model's folder or name on the hub; the program of a command."""

    def load(self) -> None:
        """Get ready. Raises `CorpusError` or `MissingPartError` where it can never make a video."""

    def facts(self) -> Facts:
        """May be asked before `load`. Raises as `load` does."""

    def make(self, prompt: str, seed: int, target: Path, *, id: str = "") -> Made:
        """Write the .mp4 at `target`, whole or not at all. Raises `CorpusError` or `OutputError` for this one video."""


def parse_generator(spec: str) -> tuple[str, str, float]:
    """(kind, rest, weight) of `procedural`, `diffusers:ID_OR_PATH`, `command:TEMPLATE`, each perhaps with `=WEIGHT`.

    The weight says how many of the clips this generator makes in relation to the others; 1 if it is not given. It is a
    number after the last `=`. In a command it must follow a space, a closing quote or a field, so that an option such
    as `--steps=30` at the end stays part of the command: `command:t2v {prompt} -o {output} --steps=30 =0.5` weighs 0.5.
    A folder whose name ends like that is told from a weight by a slash: `diffusers:runs/lr=3/`.
    Quotes around the whole template are taken off. Raises `CorpusError`.
    """
    kind, colon, rest = spec.partition(":")
    if not colon and (bare := _WEIGHT.search(spec)):
        kind, rest = spec[: bare.start()], bare[0]
    weight = 1.0
    if found := (_COMMAND_WEIGHT if kind == "command" else _WEIGHT).search(rest):
        rest, weight = rest[: found.start()], float(found[1])
    rest = rest.strip()
    if kind not in KINDS:
        raise CorpusError(f"generator {spec!r}: expected procedural, diffusers:MODEL or command:TEMPLATE")
    if kind == "procedural" and (colon or rest):
        raise CorpusError(f"generator {spec!r}: procedural takes a weight (procedural=0.5) and nothing else")
    if kind == "command":
        rest = _without_quotes(rest)
    if kind != "procedural" and not rest:
        what = "a folder or a model's name, as in diffusers:Wan-AI/Wan2.1-T2V-1.3B-Diffusers"
        raise CorpusError(
            f"generator {spec!r}: expected {what if kind == 'diffusers' else 'a command'} after the colon"
        )
    if not weight > 0:
        raise CorpusError(f"generator {spec!r}: expected a weight above 0, found {weight:g}")
    return kind, rest, weight


def _without_quotes(text: str) -> str:
    """'my-t2v {prompt}' without the quotes, where they enclose all and nothing else is quoted."""
    quoted = len(text) > 1 and text[0] in "'\"" and text[0] == text[-1] and text[0] not in text[1:-1]
    return text[1:-1].strip() if quoted else text
