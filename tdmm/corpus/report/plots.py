"""The plots of a report, each as the bytes of a PNG file, 12 inches wide or half of that."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tdmm.corpus.report.frames import Example
from tdmm.corpus.report.style import BOTH, DPI, LIGHT, Theme, axes_at, label, need_parts, new_figure, png, words
from tdmm.corpus.report.summary import Durations

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDE, HALF = 12.0, 5.9
_MOST_BARS = 90  # of one slot
_MOST_CELLS = 90  # of one side of the heat map
_COLUMNS, _GAP = 3, 0.3
_BAR, _HEADING = 0.205, 0.5  # inches
_OTHERS = "others"


def bars_by_category(slots: Mapping[str, Mapping[str, Mapping[str, int]]], theme: Theme = LIGHT) -> bytes:
    """Clips of each control category, a panel for each slot. slots: by slot, category and generator.

    Colours tell generators apart; where there is only one, the slots.
    """
    generators = _generators(slots)
    panels = [(slot, _shortened(categories)) for slot, categories in slots.items()]
    heights = [_HEADING + _BAR * len(rows) + 0.15 for _, rows in panels]
    places, tallest = _columns(heights)
    legend = 0.45 if len(generators) > 1 else 0.1
    figure = new_figure(WIDE, tallest + legend, theme)
    if len(generators) > 1:
        _legend(figure, generators, theme)
    for number, ((slot, rows), (column, top)) in enumerate(zip(panels, places, strict=True)):
        colours = dict(zip(generators, (*theme.series, theme.other), strict=False))
        if len(generators) < 2:
            colours = dict.fromkeys(generators, theme.series[number % len(theme.series)])
        _panel(figure, slot, rows, colours, column, top + legend, theme)
    return png(figure)


def bars_by_name(counts: Mapping[str, int], title: str, theme: Theme = LIGHT) -> bytes:
    """Clips by name (of a generator, a split, a licence), half as wide as a page."""
    rows = _shortened({name: {"": n} for name, n in counts.items()}, most=12)
    figure = new_figure(HALF, _HEADING + 0.3 * len(rows) + 0.15, theme)
    _bars(figure, rows, {"": theme.series[0]}, (2.6, _HEADING - 0.1, HALF - 3.4, 0.3 * len(rows)), 2.5, theme)
    _title(figure, title, theme)
    return png(figure)


def word_cloud(frequencies: Mapping[str, int], theme: Theme = LIGHT) -> bytes:
    """Words in sizes by how often they are there. There must be one at least."""
    need_parts()
    from matplotlib import font_manager
    from wordcloud import WordCloud

    # Sizes by the square root: in sentences a few words outnumber all others by far.
    sizes = {label(word, 24): n**0.5 for word, n in frequencies.items()}
    rank = {word: i for i, word in enumerate(sizes)}
    cloud = WordCloud(
        font_path=font_manager.findfont("DejaVu Sans"),
        width=int(HALF * DPI),
        height=int(3.4 * DPI),
        background_color=theme.surface,
        color_func=lambda word, **_: theme.series[rank[word] % len(theme.series)],
        prefer_horizontal=1.0,
        relative_scaling=0.6,
        max_words=110,
        max_font_size=90,
        min_font_size=11,
        margin=9,
        random_state=0,
    ).generate_from_frequencies(sizes)
    figure = new_figure(HALF, 3.4, theme)
    axes_at(figure, 0, 0, HALF, 3.4, theme).imshow(cloud.to_array())
    figure.axes[0].set_axis_off()
    return png(figure)


def histogram(durations: Durations, theme: Theme = LIGHT) -> bytes:
    """How many clips last how long."""
    need_parts()
    from matplotlib.ticker import MaxNLocator

    figure = new_figure(HALF, 3.0, theme)
    axes = axes_at(figure, 0.75, 0.5, HALF - 1.0, 1.85, theme)
    edges, counts = np.array(durations.edges), np.array(durations.counts)
    axes.bar(edges[:-1], counts, np.diff(edges) * 0.92, align="edge", color=theme.series[0])
    axes.axvline(durations.median, color=theme.ink, linewidth=1, linestyle=(0, (4, 3)))
    right = durations.median < (edges[0] + edges[-1]) / 2
    axes.annotate(
        f"median {durations.median:.1f} s",
        (durations.median, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(5 if right else -5, 4),
        textcoords="offset points",
        ha="left" if right else "right",
        **words(theme),
    )
    axes.grid(axis="y", color=theme.line, linewidth=0.8)
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_formatter(lambda n, _: f"{n:,.0f}")
    past = "; the last bar holds all longer ones" if durations.longest > durations.edges[-1] * 1.001 else ""
    axes.set_xlabel("seconds" + past, **words(theme, faint=True))
    _title(figure, "Clips by duration", theme)
    return png(figure)


def heat_map(counts: Mapping[str, Mapping[str, int]], rows_are: str, columns_are: str, theme: Theme = LIGHT) -> bytes:
    """Clips of each combination. counts: by row and column; combinations without a clip stay empty."""
    need_parts()
    from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize
    from matplotlib.ticker import MaxNLocator

    rows = _most(counts, {row: sum(of.values()) for row, of in counts.items()})
    totals: dict[str, int] = {}
    for of in counts.values():
        for column, n in of.items():
            totals[column] = totals.get(column, 0) + n
    columns = _most(totals, totals)
    grid = np.array([[counts[row].get(column, 0) for column in columns] for row in rows], float)
    cell = min(0.38, (WIDE - 2.4) / len(columns))
    height = max(0.185, min(0.23, cell)) * len(rows)
    figure = new_figure(WIDE, height + 2.15, theme)
    axes = axes_at(figure, 1.6, 1.75, cell * len(columns), height, theme)
    most = max(grid.max(), 2)
    # Where a few combinations have a hundred times more clips than others, a linear scale shows only those.
    filled = grid[grid > 0]
    scale: Normalize = LogNorm(1, most) if len(filled) and most > 30 * np.median(filled) else Normalize(1, most)
    colours = LinearSegmentedColormap.from_list("ramp", theme.ramp)
    shown = np.ma.masked_equal(grid, 0)
    edges = np.arange(len(columns) + 1), np.arange(len(rows) + 1)
    drawn = axes.pcolormesh(*edges, shown, cmap=colours, norm=scale)
    axes.vlines(edges[0], 0, len(rows), color=theme.line, linewidth=0.7)
    axes.hlines(edges[1], 0, len(columns), color=theme.line, linewidth=0.7)
    axes.set_xlim(-0.05, len(columns) + 0.05)
    axes.set_ylim(len(rows) + 0.05, -0.05)
    axes.xaxis.tick_top()
    small = words(theme, 8.5)
    # Slanted names are easier to read, as long as there is room for them.
    slanted: dict[str, Any] = {"rotation": 60, "ha": "left", "rotation_mode": "anchor"}
    turned = slanted if cell > 0.22 else {"rotation": 90, "ha": "center"}
    axes.set_xticks(np.arange(len(columns)) + 0.5, [label(name, 20) for name in columns], **turned, **small)
    axes.set_yticks(np.arange(len(rows)) + 0.5, [label(name, 20) for name in rows], **small)
    axes.tick_params(pad=3)
    bar = figure.colorbar(drawn, cax=axes_at(figure, 1.6, height + 1.9, 2.4, 0.1, theme), orientation="horizontal")
    if not isinstance(scale, LogNorm):
        bar.ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    bar.ax.xaxis.set_major_formatter(lambda n, _: f"{n:,.0f}")
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.ax.tick_params(length=0, labelsize=8, colors=theme.faint)
    empty = 1 - len(filled) / grid.size
    note = f"clips of a combination; {empty:.0%} of the {grid.size:,} combinations have none"
    figure.text(4.15 / WIDE, (2.15 - 1.9 - 0.05) / (height + 2.15), note, va="center", **words(theme, faint=True))
    _title(figure, f"{rows_are.capitalize()} × {columns_are}", theme)
    return png(figure)


def example_sheet(examples: Sequence[Example], theme: Theme = BOTH) -> bytes:
    """Three frames of each example, or the picture there is of it, with its text. There must be one at least."""
    columns = min(3, len(examples))
    cell, text = (WIDE - _GAP * 2) / 3, 0.72
    rows = [examples[i : i + columns] for i in range(0, len(examples), columns)]
    # Upright pictures get less than their width, so that they do not take a page each.
    heights = [min(max(_sheet_height(example, cell) for example in row), cell * 0.6) for row in rows]
    tops = [sum(heights[:i]) + text * i for i in range(len(rows))]
    figure = new_figure(columns * (cell + _GAP) - _GAP, tops[-1] + heights[-1] + text, theme)
    for number, example in enumerate(examples):
        row, column = divmod(number, columns)
        left, top, tall = column * (cell + _GAP), tops[row], heights[row]
        width = cell / max(len(example.frames), 3) if len(example.frames) > 1 else cell
        for i, frame in enumerate(example.frames):
            axes = axes_at(figure, left + i * width, top, width * 0.985, tall, theme)
            axes.imshow(frame, interpolation="antialiased")
            axes.set_anchor("NW" if len(example.frames) > 1 else "N")
            axes.set_axis_off()
        lines = textwrap.wrap(label(example.text, 110), 52, max_lines=2, placeholder=" …")
        x, y = left / figure.get_figwidth(), 1 - (top + tall + 0.06) / figure.get_figheight()
        figure.text(x, y, "\n".join(lines), va="top", linespacing=1.35, **words(theme, 9.5))
    return png(figure, photographs=True)


def _sheet_height(example: Example, width: float) -> float:
    """Inches that the example needs when its frames share the width."""
    n = max(len(example.frames), 3) if len(example.frames) > 1 else 1
    return max(width / n * frame.shape[0] / frame.shape[1] for frame in example.frames)


def _generators(slots: Mapping[str, Mapping[str, Mapping[str, int]]]) -> list[str]:
    """Most clips first."""
    totals: dict[str, int] = {}
    for categories in slots.values():
        for counts in categories.values():
            for generator, n in counts.items():
                totals[generator] = totals.get(generator, 0) + n
    return sorted(totals, key=lambda name: (-totals[name], name))


def _shortened(categories: Mapping[str, Mapping[str, int]], most: int = _MOST_BARS) -> dict[str, Mapping[str, int]]:
    """The categories with most clips; how many more there are is told by the last, which has no bar."""
    if len(categories) <= most:
        return dict(categories)
    kept: dict[str, Mapping[str, int]] = dict(list(categories.items())[: most - 1])
    kept[f"… {len(categories) - len(kept):,} more"] = {}
    return kept


def _most(names: Mapping[str, Any], totals: Mapping[str, int]) -> list[str]:
    """By the alphabet, so that a name is found; only those with most clips where there are too many."""
    return sorted(sorted(names, key=lambda name: (-totals[name], name))[:_MOST_CELLS])


def _columns(heights: Sequence[float]) -> tuple[list[tuple[int, float]], float]:
    """Column and top (inches) of each panel, and the height of the highest column.

    The highest panels are placed first, each in the column that is shortest then.
    """
    filled = [0.0] * _COLUMNS
    places = [(0, 0.0)] * len(heights)
    for i in sorted(range(len(heights)), key=lambda i: -heights[i]):
        column = filled.index(min(filled))
        places[i] = column, filled[column]
        filled[column] += heights[i]
    # The first panel is looked for in the first column.
    left = places[0][0]
    places = [(0 if column == left else left if column == 0 else column, top) for column, top in places]
    return places, max(filled)


def _panel(
    figure: Figure,
    slot: str,
    rows: Mapping[str, Mapping[str, int]],
    colours: Mapping[str, str],
    column: int,
    top: float,
    theme: Theme,
) -> None:
    width = (WIDE - _GAP * (_COLUMNS - 1)) / _COLUMNS
    left = column * (width + _GAP)
    height = _BAR * len(rows)
    figure.text(
        (left + 0.05) / figure.get_figwidth(),
        1 - (top + 0.32) / figure.get_figheight(),
        label(slot).capitalize(),
        **words(theme, 11, strong=True),
    )
    _bars(figure, rows, colours, (left + 1.45, top + 0.42, width - 2.0, height), 1.45, theme)


def _bars(
    figure: Figure,
    rows: Mapping[str, Mapping[str, int]],
    colours: Mapping[str, str],
    place: tuple[float, float, float, float],
    margin: float,
    theme: Theme,
) -> None:
    """Horizontal bars, stacked by colour, with their totals.

    place: left, top, width, height in inches; margin: inches that are free for the names on the left.
    """
    axes = axes_at(figure, *place, theme)
    y = np.arange(len(rows))
    left = np.zeros(len(rows))
    series = list(colours)
    named = set(series[: len(theme.series)])
    for name in [*series[: len(theme.series)], _OTHERS]:
        if name == _OTHERS and name not in named:
            n = np.array([sum(m for one, m in counts.items() if one not in named) for counts in rows.values()])
            colour = theme.other
        else:
            n, colour = np.array([counts.get(name, 0) for counts in rows.values()]), colours[name]
        axes.barh(y, n, 0.72, left, color=colour, edgecolor=theme.surface, linewidth=0.4 if len(series) > 1 else 0)
        left = left + n
    most = max(left.max(), 1)
    for i, total in enumerate(left):
        if total:
            axes.text(total + most * 0.02, i, f"{total:,.0f}", va="center", **words(theme, 8, faint=True))
    axes.set_xlim(0, most)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xticks([])
    axes.set_yticks(y, [label(name, round(margin * 14)) for name in rows], **words(theme, 9))


def _legend(figure: Figure, generators: Sequence[str], theme: Theme) -> None:
    from matplotlib.patches import Patch

    shown = list(generators[: len(theme.series)])
    patches = [Patch(color=colour, label=label(name)) for name, colour in zip(shown, theme.series, strict=False)]
    if len(generators) > len(shown):
        patches.append(Patch(color=theme.other, label=_OTHERS))
    legend = figure.legend(
        handles=patches,
        loc="upper left",
        ncols=4,
        frameon=False,
        fontsize=9,
        labelcolor=theme.ink,
        handlelength=1.0,
        borderaxespad=0.2,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def _title(figure: Figure, title: str, theme: Theme) -> None:
    figure.text(0.05 / figure.get_figwidth(), 1 - 0.25 / figure.get_figheight(), title, **words(theme, 11, strong=True))
