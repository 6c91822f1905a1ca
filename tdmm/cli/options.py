"""Options that several commands share, each defined once."""

from __future__ import annotations

from typing import Annotated

import typer

FaceModelOption = Annotated[
    str,
    typer.Option(
        "--face-model",
        metavar="builtin|PATH",
        help="The head to use: the built-in one, your FLAME file (.pkl, .npz) or your ICT-FaceKit folder.",
    ),
]
ForceOption = Annotated[bool, typer.Option("--force", "-f", help="Replace outputs that are already there.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Say more: stages, settings, times.")]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
