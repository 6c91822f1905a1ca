"""Options of how a head is drawn, which several commands share, and what they mean to the renderer."""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tdmm.cli.usage import UsageError

if TYPE_CHECKING:
    from tdmm.render import RenderOptions


class Style(str, Enum):
    """How the head is drawn."""

    skin = "skin"
    clay = "clay"
    wire = "wire"
    normals = "normals"


class View(str, Enum):
    """Where it is seen from."""

    front = "front"
    three_quarter = "three-quarter"
    side = "side"
    turntable = "turntable"
    camera = "camera"


StyleOption = Annotated[Style | None, typer.Option("--style", help="How the head is drawn.", show_default="skin")]
ViewOption = Annotated[
    View | None,
    typer.Option("--view", help="Where it is seen from; camera is the motion's own camera.", show_default="front"),
]
SizeOption = Annotated[
    str | None, typer.Option("--size", metavar="N|WxH", help="Pixels of the picture, for example 512 or 1280x720.")
]
FpsOption = Annotated[float | None, typer.Option("--fps", help="Frames per second of the result.")]


def render_options(*, style: Style | None, view: View | None, size: str | None, **others: Any) -> RenderOptions:
    """What was given, and the renderer's own choice for what was not. others: fields of `RenderOptions`."""
    from tdmm.render import RenderOptions

    given = {
        "style": style and style.value,
        "view": view and view.value,
        "size": size and size_of(size),
        **others,
    }
    return RenderOptions(**{name: value for name, value in given.items() if value is not None})


def size_of(text: str) -> tuple[int, int]:
    """(H, W) from `512` or `1280x720` (width first, as people write it)."""
    found = re.fullmatch(r"(\d+)(?:x(\d+))?", text)
    if not found or min(int(part) for part in found.groups() if part) < 1:
        raise UsageError(f"--size {text}: expected pixels such as 512, or width x height such as 1280x720")
    width = int(found[1])
    return (int(found[2]) if found[2] else width, width)
