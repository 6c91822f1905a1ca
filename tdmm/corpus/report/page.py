"""The report of a corpus: one HTML file with its numbers, its plots and what to beware of; it needs nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from tdmm import __version__
from tdmm.corpus.report import html, plots
from tdmm.corpus.report.cautions import cautions
from tdmm.corpus.report.fields import NOT_STATED
from tdmm.corpus.report.frames import Example, examples_of
from tdmm.corpus.report.near_duplicates import THRESHOLD
from tdmm.corpus.report.style import DARK, LIGHT, need_parts
from tdmm.corpus.report.summary import Summary, summarise
from tdmm.errors import CorpusError
from tdmm.io.manifest import Clip, read_manifest
from tdmm.io.whole import whole_file

_MOST_ROWS = 200  # of a table
_LONGEST_TEXT = 300
_FEWEST_WORDS = 5  # of a cloud


def write_report(
    manifest_path: str | Path, target: str | Path, *, picture_of: Callable[[Clip], np.ndarray | None] | None = None
) -> Summary:
    """Write the report of a corpus as one HTML file at `target`, and return its numbers.

    picture_of: makes a picture (H, W, 3) uint8 of a clip that has a motion but no video that can be read, or None.
    Raises `CorpusError` for a manifest that cannot be read or holds no clips, `MissingPartError` without the extra
    `report`, `OutputError`.
    """
    need_parts()
    path = Path(manifest_path)
    clips = read_manifest(path)
    if not clips:
        raise CorpusError(f"{path}: holds no clips, there is nothing to report; generate or add some first")
    with whole_file(target) as beside:
        summary = summarise(clip.line for clip in clips)
        examples = examples_of(clips, path.parent, picture_of=picture_of)
        page = page_of(summary, _name(path), examples)
        # Half of a surrogate pair, which JSON can hold, is no text.
        beside.write_bytes(page.encode(errors="replace"))
    return summary


def page_of(summary: Summary, name: str, examples: Sequence[Example] = ()) -> str:
    """The page as text. name: of the corpus."""
    parts = [
        f"<h1>{html.text(name)}</h1>",
        f'<p class="faint">{html.text(_in_a_sentence(summary))}</p>',
        _tiles(summary),
        _warnings(summary),
        _examples(examples),
        _categories(summary),
        _coverage(summary),
        _clips(summary),
        _language(summary),
        _near_duplicates(summary),
        _events(summary),
        f'<footer class="faint">Written by tdmm {html.text(__version__)}.</footer>',
    ]
    return html.document(f"{name}: corpus report", "\n".join(part for part in parts if part))


def _name(path: Path) -> str:
    return path.resolve().parent.name or str(path)


def _in_a_sentence(summary: Summary) -> str:
    made_by = ", ".join(name for name in list(summary.generators)[:4] if name != NOT_STATED)
    return f"{summary.clips:,} clips" + (f", made by {made_by}" if made_by else "")


def _tiles(summary: Summary) -> str:
    texts = summary.texts
    tiles = [(f"{summary.clips:,}", "clips")]
    if summary.durations:
        tiles.append(_length(summary.durations.total))
    tiles += [
        (_percent(summary.with_video, summary.clips), "have a video"),
        (_percent(summary.with_motion, summary.clips), "have a motion"),
        (f"{texts.distinct:,}", "distinct texts"),
        (f"{texts.words:,}", "distinct words"),
    ]
    tiles += [(f"{len(summary.slots[slot]):,}", many) for slot, many in _PLURALS.items() if slot in summary.slots]
    return f'<div class="tiles">{"".join(html.tile(*one) for one in tiles)}</div>'


_PLURALS = {"emotion": "emotions", "action": "actions of the face", "head": "head movements"}


def _length(seconds: float) -> tuple[str, str]:
    return (f"{seconds / 3600:,.1f}", "hours") if seconds >= 3600 else (f"{seconds / 60:,.1f}", "minutes")


def _percent(part: int, whole: int) -> str:
    """All and none only where it is so."""
    share = part / whole
    return "over 99%" if part < whole and share > 0.99 else "under 1%" if part and share < 0.01 else f"{share:.0%}"


def _warnings(summary: Summary) -> str:
    found = "".join(f"<li>{html.prose(one[:1].upper() + one[1:])}.</li>" for one in cautions(summary))
    if not found:
        return ""
    return f'<section class="card warnings"><h2>Before you train on it</h2><ul>{found}</ul></section>'


def _examples(examples: Sequence[Example]) -> str:
    if not examples:
        return ""
    return _section(
        "Examples",
        _card(html.image(plots.example_sheet(examples), "Frames of clips with their texts"), wide=True),
        "The first, the middle and the last frame of clips from all over it; a picture of those without a video.",
    )


def _categories(summary: Summary) -> str:
    if not summary.slots:
        return ""
    drawn = _themed("Clips by category", plots.bars_by_category, summary.slots_by_generator)
    tables = "".join(
        f"<div><h3>{html.text(slot.capitalize())}</h3>{_counts(_names(slot), counts)}</div>"
        for slot, counts in summary.slots.items()
    )
    spread = [
        (
            slot.capitalize(),
            len(counts),
            next(iter(counts.values())),
            list(counts.values())[-1],
            round(summary.evenness[slot], 2),
        )
        for slot, counts in summary.slots.items()
    ]
    plotted = _card(drawn + _folded("All counts", tables, many=True), wide=True)
    evenness = html.table(("Slot", "Categories", "Most clips", "Fewest clips", "Coefficient of variation"), spread)
    return _section(
        "Clips by control category",
        f'<div class="stack">{plotted}{_card(evenness)}</div>',
        "What prompts ask for. The coefficient of variation is 0 where all categories of a slot have as many clips.",
    )


def _coverage(summary: Summary) -> str:
    if not summary.coverage and summary.cells is None:
        return ""
    cards = [
        _card(_themed(f"Clips by emotion and {slot}", plots.heat_map, counts, "emotion", slot), wide=True)
        for slot, counts in summary.coverage.items()
    ]
    told = ""
    if cells := summary.cells:
        axes = " × ".join(f"{n:,} ({slot})" for slot, n in cells.sizes.items())
        told = (
            f"Of {axes} = {cells.possible:,} combinations, {cells.filled:,} ({_percent(cells.filled, cells.possible)}) "
            f"have a clip; the fullest has {cells.fullest:,}."
        )
    return _section("Coverage", f'<div class="stack">{"".join(cards)}</div>', told)


def _clips(summary: Summary) -> str:
    lengths, cards, same = [], [], []
    if durations := summary.durations:
        told = html.table(
            ("Seconds", ""),
            [
                (name, round(value, 2))
                for name, value in (
                    ("Shortest", durations.shortest),
                    ("Median", durations.median),
                    ("Mean", durations.mean),
                    ("Longest", durations.longest),
                )
            ],
        )
        drawn = _themed("Clips by duration", plots.histogram, durations)
        lengths.append(_card(drawn + told))
    for name, counts in (("Generator", summary.generators), ("Split", summary.splits), ("Licence", summary.licences)):
        if len(counts) > 1:
            title = f"Clips by {name.lower()}"
            drawn = _themed(title, plots.bars_by_name, counts, title)
            cards.append(_card(drawn + _folded("Counts", _counts(name, counts))))
        else:
            same.append((name, _cut(next(iter(counts)))))
    if same:
        cards.append(_card(html.table(("The same for all clips", ""), same)))
    stacks = "".join(f'<div class="stack">{"".join(stack)}</div>' for stack in (lengths, cards) if stack)
    return _section("Clips", f'<div class="pair">{stacks}</div>')


def _language(summary: Summary) -> str:
    texts = summary.texts
    clouds = [
        _card(
            f"<h3>{html.text(title)}</h3>{_themed(title, plots.word_cloud, words)}"
            + _folded("Counts", _counts("Word", words, "Occurrences"), many=True)
        )
        for title, words in (("Emotion words", summary.emotion_words), ("Words of the prompts", summary.prompt_words))
        if len(words) >= _FEWEST_WORDS
    ]
    facts = html.table(
        ("Texts", ""),
        [
            ("Clips with a text", f"{texts.clips:,}"),
            ("Distinct texts", f"{texts.distinct:,} ({texts.distinct_share:.1%})"),
            ("Texts in more than one split", f"{texts.across_splits:,}"),
            ("Other ways of saying", f"{texts.phrasings:,}"),
            ("Distinct words", f"{texts.words:,}"),
            ("Words of a text, on average", f"{texts.mean_words:.1f}"),
        ],
    )
    return _section(
        "Language",
        f'<div class="stack"><div class="pair">{"".join(clouds)}</div>{_card(facts)}</div>' if clouds else _card(facts),
    )


def _near_duplicates(summary: Summary) -> str:
    near = summary.near_duplicates
    if not near.texts:
        return ""
    told = (
        f"Of {near.texts:,} distinct texts, {near.near:,} ({near.share:.1%}) share at least {THRESHOLD:.0%} of their "
        f"groups of four letters with another one, case and punctuation aside"
        + (f"; they form {near.groups:,} groups, the largest of {near.largest:,}." if near.groups else ".")
    )
    if not near.examples:
        return _section("Near-duplicates", "", told)
    rows = [(_cut(pair.first), _cut(pair.second), f"{pair.similarity:.0%}") for pair in near.examples]
    shown = html.table(("Text", "Nearly the same", "Shared"), rows)
    return _section("Near-duplicates", _card(shown), told + " A pair each of the largest groups:")


def _events(summary: Summary) -> str:
    if not summary.events:
        return ""
    tables = "".join(
        f"<div><h3>{html.text(kind.replace('_', ' ').capitalize())}</h3>{_counts('Behaviour', counts, 'Events')}</div>"
        for kind, counts in summary.events.items()
    )
    total = sum(sum(counts.values()) for counts in summary.events.values())
    kinds = ", ".join(f"{sum(counts.values()):,} {kind}" for kind, counts in summary.events.items())
    absent = (
        f" In {summary.absent_events:,} more, the text says that something does not happen."
        if summary.absent_events
        else ""
    )
    return _section(
        "Events", _card(_folded("Events by behaviour", tables, many=True)), f"{total:,} events: {kinds}.{absent}"
    )


def _themed(alternative: str, draw: Callable[..., bytes], *what: object) -> str:
    """A plot twice, for light and dark pages."""
    return html.image(draw(*what, LIGHT), alternative, draw(*what, DARK))


def _section(title: str, body: str, told: str = "") -> str:
    return f"<section><h2>{html.text(title)}</h2>" + (f"<p>{html.text(told)}</p>" if told else "") + f"{body}</section>"


def _card(body: str, *, wide: bool = False) -> str:
    return f'<div class="card{" wide" * wide}">{body}</div>'


def _folded(title: str, body: str, *, many: bool = False) -> str:
    body = f'<div class="many">{body}</div>' if many else body
    return f"<details><summary>{html.text(title)}</summary>{body}</details>"


def _counts(name: str, counts: Mapping[str, int], of: str = "Clips") -> str:
    rows: list[tuple[str, int]] = [(_cut(one), n) for one, n in list(counts.items())[:_MOST_ROWS]]
    rest = list(counts.values())[_MOST_ROWS:]
    if rest:
        rows.append((f"… {len(rest):,} more", sum(rest)))
    return html.table((name, of), rows)


def _names(slot: str) -> str:
    return {"head": "Head movement"}.get(slot, slot.capitalize())


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 1] + "…"
