"""What the options of `tdmm generate-corpus` mean."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tdmm.cli import paths
from tdmm.cli.console import Console
from tdmm.cli.options import DeviceChoice, choose_device
from tdmm.cli.usage import UsageError
from tdmm.errors import TdmmError

if TYPE_CHECKING:
    from tdmm.corpus.build import Generators
    from tdmm.corpus.plan import GivenPrompt
    from tdmm.corpus.suite import Choice

LAYOUTS = ("folder", "videofolder", "webdataset")
_LARGEST_SIDE = 4096
_NUMBERS = {"frames": int, "steps": int, "fps": float, "guidance": float, "timeout": float}
_OF_MODELS = ("frames", "fps", "steps", "guidance", "dtype", "offload")
_OF_COMMANDS = ("frames", "fps", "timeout", "licence")


def given_prompts(source: str | None) -> tuple[GivenPrompt, ...]:
    """The prompts of a file or of standard input; none where no source is named."""
    if source is None:
        return ()
    from tdmm.corpus.given import read_prompts

    if source == paths.STANDARD:
        name, data = "standard input", paths.stdin_bytes().read()
    else:
        name, data = source, Path(source).read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TdmmError(f"{name}: is no text ({error.reason}); expected one prompt a line") from error
    return read_prompts(io.StringIO(text, newline=None), name)


def check_amount(
    clips: int | None, hours: float | None, given: int, *, usual: int | None = None
) -> tuple[int | None, float | None]:
    """Clips or hours, one of them. Without either each given prompt is done once; without those, `usual` clips."""
    if clips is not None and hours is not None:
        raise UsageError("--clips and --hours exclude each other")
    if clips is not None and clips < 1:
        raise UsageError(f"--clips {clips}: expected a positive number")
    if hours is not None and not 0 < hours < float("inf"):
        raise UsageError(f"--hours {hours:g}: expected a positive number")
    if clips is None and hours is None:
        if not given and usual is None:
            raise UsageError("say how much: --clips N or --hours H")
        return given or usual, None
    return clips, hours


def choice_of(wanted: Mapping[str, Sequence[str] | None]) -> Choice:
    """The slots' values, from options that may be repeated and hold several values each."""
    from tdmm.corpus.suite import choose

    return choose({slot: several(values) for slot, values in wanted.items() if values})


def several(values: Sequence[str]) -> list[str]:
    """["a,b", "c"] to ["a", "b", "c"]."""
    return [part.strip() for value in values for part in value.split(",") if part.strip()]


def variations_of(given: Sequence[str], seeds: int) -> frozenset[str]:
    """What `--vary` names."""
    from tdmm.corpus.plan import VARIATIONS

    names = several(given)
    for name in names:
        if name not in (*VARIATIONS, "all"):
            raise UsageError(f"--vary {name}: expected {', '.join(VARIATIONS)}, or all")
    if names and seeds == 1:
        raise UsageError("--vary is about several clips of one prompt: say how many with --seeds K")
    return frozenset(VARIATIONS if "all" in names else names)


def picture_size(size: str | None) -> tuple[int, int] | None:
    """(H, W) of `256` or `320x240` (width x height)."""
    if size is None:
        return None
    width, cross, height = size.lower().partition("x")
    sides = (height, width) if cross else (width, width)
    if not all(side.isdecimal() and 32 <= int(side) <= _LARGEST_SIDE for side in sides):
        raise UsageError(f"--size {size}: expected pixels of 32 to {_LARGEST_SIDE}, such as 256 or 320x240")
    if any(int(side) % 2 for side in sides):
        raise UsageError(f"--size {size}: expected even numbers, as videos have")
    return int(sides[0]), int(sides[1])


def generators_of(
    specs: Sequence[str], options: Sequence[str], size: str | None, device: DeviceChoice, console: Console
) -> Generators:
    """The generators with their weights. Warns where a licence limits what the videos may be used for."""
    from tdmm.corpus.build import Generators
    from tdmm.corpus.generators.base import parse_generator

    values = _values(options)
    procedural, video, weights = 0.0, [], []
    for spec in specs:
        kind, rest, weight = parse_generator(spec)
        if kind == "procedural":
            procedural += weight
            continue
        generator = _video_generator(kind, rest, values, size, device)
        warning = generator.facts()["warning"]
        if warning:
            console.complain(f"warning: {warning}")
        video.append(generator)
        weights.append(weight)
    if values and not video:
        raise UsageError(f"--option {next(iter(values))}: is for video generators, and there is none")
    return Generators(tuple(video), (procedural, *weights))


def _video_generator(kind: str, rest: str, values: Mapping[str, Any], size: str | None, device: DeviceChoice) -> Any:
    known = _OF_MODELS if kind == "diffusers" else _OF_COMMANDS
    unknown = [name for name in values if name not in known]
    if unknown:
        raise UsageError(f"--option {unknown[0]}: {kind} knows {', '.join(known)}")
    sizes: dict[str, Any] = {} if size is None else {"size": picture_size(size)}
    if kind == "diffusers":
        from tdmm.corpus.generators.diffusers_pipeline import DiffusersGenerator, DiffusersOptions

        return DiffusersGenerator(rest, DiffusersOptions(**sizes, **values), device=choose_device(device))
    from tdmm.corpus.generators.command import CommandGenerator, CommandOptions

    command = CommandGenerator(rest, CommandOptions(**sizes, **values))
    command.load()  # a program that is not there is found before others have worked for hours
    return command


def _values(options: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for option in options:
        name, sign, value = option.partition("=")
        if not sign or not value:
            raise UsageError(f"--option {option}: expected NAME=VALUE, such as steps=30")
        try:
            found[name] = _NUMBERS.get(name, str)(value)
        except ValueError:
            raise UsageError(f"--option {option}: expected a number") from None
    return found
