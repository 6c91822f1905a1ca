"""How the plots look: a theme for light and one for dark pages, figures of given size, labels that cannot go wrong."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tdmm.errors import MissingPartError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 150
_COLOURS = 128  # of a plot; letters and a few flat colours need no more


@dataclass(frozen=True)
class Theme:
    """Colours as #rrggbb. series: told apart with any colour vision, after Okabe & Ito (2008), in their order of use.

    ramp: from few to many, for the heat map; other: what is left when the series run out.
    """

    name: str
    surface: str
    ink: str
    faint: str
    line: str
    series: tuple[str, ...]
    other: str
    ramp: tuple[str, ...]


LIGHT = Theme(
    name="light",
    surface="#ffffff",
    ink="#1c2530",
    faint="#5c6773",
    line="#dfe4ea",
    series=("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00"),
    other="#9aa3ad",
    ramp=("#a9d3ee", "#62abd9", "#2580bb", "#0d5a92", "#08304f"),
)
DARK = Theme(
    name="dark",
    surface="#171c22",
    ink="#e8ecf1",
    faint="#9aa6b2",
    line="#2c343d",
    series=("#4ba3dc", "#eeb034", "#2bb88d", "#d98fb8", "#8fd0f5", "#ea7a33"),
    other="#6f7a86",
    ramp=("#1f4f74", "#27709f", "#3d97cf", "#85c3ea", "#dff1fc"),
)
# Readable on both, for pictures that are not worth having twice.
BOTH = Theme(
    name="both",
    surface="none",
    ink="#7d8793",
    faint="#7d8793",
    line="#7d8793",
    series=LIGHT.series,
    other="#7d8793",
    ramp=LIGHT.ramp,
)


def need_parts() -> None:
    """Raises `MissingPartError` if matplotlib or wordcloud is not installed."""
    try:
        import matplotlib  # noqa: F401
        import wordcloud  # noqa: F401
    except ImportError as error:
        raise MissingPartError(
            f"reports need {error.name or 'matplotlib'}, which is not installed: run `pip install 'tdmm[report]'`"
        ) from error


def new_figure(width: float, height: float, theme: Theme) -> Figure:
    """An empty figure of so many inches. It belongs to nobody: pyplot, with its list of figures, has no part in it."""
    need_parts()
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DPI, facecolor=theme.surface)


def axes_at(figure: Figure, left: float, top: float, width: float, height: float, theme: Theme) -> Axes:
    """Axes without a frame at a place in inches, from the top left corner of the figure."""
    full_width, full_height = figure.get_size_inches()
    axes = figure.add_axes(
        (left / full_width, 1 - (top + height) / full_height, width / full_width, height / full_height),
        facecolor=theme.surface,
    )
    for side in axes.spines.values():
        side.set_visible(False)
    axes.tick_params(length=0, colors=theme.faint, labelsize=9)
    axes.set_axisbelow(True)
    return axes


def words(theme: Theme, size: float = 9, *, strong: bool = False, faint: bool = False) -> dict[str, Any]:
    """Settings of a piece of text. A dollar sign in a label is a dollar sign, not the start of a formula."""
    return {
        "fontsize": size,
        "color": theme.faint if faint else theme.ink,
        "fontweight": "bold" if strong else "normal",
        "parse_math": False,
    }


def label(text: str, longest: int = 40) -> str:
    """A name as it is shown: one line, underscores as spaces, nothing that a font or an encoder stumbles over."""
    shown = text.replace("_", " ").encode(errors="replace").decode()
    shown = " ".join("".join(letter if letter.isprintable() else " " for letter in shown).split())
    return shown if len(shown) <= longest else shown[: longest - 1].rstrip() + "…"


def png(figure: Figure, *, photographs: bool = False) -> bytes:
    """The figure as the bytes of a PNG file. Plots get a palette, a third of the size; photographs keep all colours."""
    from PIL import Image

    drawn = io.BytesIO()
    with warnings.catch_warnings():
        # Names in scripts that the font lacks are drawn as boxes; the tables beside the plots have them right.
        warnings.filterwarnings("ignore", message=".*[Gg]lyph .* missing from")
        figure.savefig(drawn, format="png")
    if photographs:
        return drawn.getvalue()
    packed = io.BytesIO()
    with Image.open(drawn) as image:
        image.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE).save(packed, "PNG", optimize=True)
    return packed.getvalue()
