"""Pictures of facial motions: `render`, `render_over`, `render_beside`, `render_grid` and their `RenderOptions`.

Compiled code and torch are imported with the first function that is asked for, the options without them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tdmm.render.options import STYLE_NAMES, VIEW_NAMES, RenderOptions

if TYPE_CHECKING:
    from tdmm.render.compose import render, render_beside, render_grid, render_over

__all__ = [
    "STYLE_NAMES",
    "VIEW_NAMES",
    "RenderOptions",
    "render",
    "render_beside",
    "render_grid",
    "render_over",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from tdmm.render import compose

        return getattr(compose, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
