"""Options that several commands share, each defined once."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer


class DeviceChoice(str, Enum):
    """Where to compute."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


FaceModelOption = Annotated[
    str,
    typer.Option(
        "--face-model",
        metavar="builtin|PATH",
        help="The head to use: the built-in one, your FLAME file (.pkl, .npz) or your ICT-FaceKit folder.",
    ),
]
DeviceOption = Annotated[
    DeviceChoice, typer.Option("--device", help="Where to compute; auto takes a GPU if there is one.")
]
ForceOption = Annotated[bool, typer.Option("--force", "-f", help="Replace outputs that are already there.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Say more: stages, settings, times.")]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def choose_device(choice: DeviceChoice) -> str:
    """`cpu` or `cuda`. Raises `MissingPartError` when cuda is asked for and is not there."""
    if choice is DeviceChoice.cpu:
        return "cpu"
    import torch

    from tdmm.errors import MissingPartError

    if torch.cuda.is_available():
        return "cuda"
    if choice is DeviceChoice.cuda:
        raise MissingPartError(
            f"--device cuda: torch {torch.__version__} sees no GPU here; use --device cpu, or see: tdmm doctor"
        )
    return "cpu"
