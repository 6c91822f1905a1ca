"""Pieces of HTML: text that is escaped, tables, pictures that are part of the page, and the style sheet."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterable, Sequence

STYLE = """
:root { color-scheme: light dark; --page: #f4f6f8; --card: #ffffff; --ink: #1c2530; --faint: #5c6773; --line: #dfe4ea;
  --accent: #0072b2; --warn: #8a4b00; --warn-card: #fff6e5; --warn-line: #f0c36d; }
@media (prefers-color-scheme: dark) { :root { --page: #0f1318; --card: #171c22; --ink: #e8ecf1; --faint: #9aa6b2;
  --line: #2c343d; --accent: #4ba3dc; --warn: #f3c878; --warn-card: #2a2213; --warn-line: #6b5320; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1240px; margin: 0 auto; padding: 28px 20px 60px; }
h1 { font-size: 26px; line-height: 1.25; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 18px; margin: 36px 0 12px; }
h3 { font-size: 15px; margin: 0 0 8px; }
p { margin: 0 0 12px; max-width: 100ch; }
.faint { color: var(--faint); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 16px; overflow-x: auto; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(118px, 1fr)); gap: 12px; margin: 20px 0 0; }
.tile { padding: 14px 16px; }
.tile b { display: block; font-size: 24px; line-height: 1.2; font-weight: 650; font-variant-numeric: tabular-nums; }
.tile span { color: var(--faint); font-size: 13px; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr)); gap: 16px; }
.stack > * + * { margin-top: 16px; }
.pair > *, .stack > * { min-width: 0; }
.warnings { background: var(--warn-card); border-color: var(--warn-line); margin-top: 20px; }
.warnings h2 { margin: 0 0 8px; font-size: 16px; color: var(--warn); }
.warnings ul { margin: 0; padding-left: 20px; }
.warnings li { overflow-wrap: anywhere; }
img { display: block; max-width: 100%; height: auto; }
.wide img { min-width: 760px; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th, td { text-align: left; padding: 5px 14px 5px 0; border-bottom: 1px solid var(--line); vertical-align: top;
  overflow-wrap: break-word; }
tr:last-child td { border-bottom: 0; }
th { color: var(--faint); font-weight: 600; white-space: nowrap; }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
details { margin-top: 12px; }
summary { cursor: pointer; color: var(--accent); }
details > .many { margin-top: 12px; }
.many { columns: 3 260px; column-gap: 32px; }
.many > div { break-inside: auto; margin-bottom: 20px; }
.many tr, .many h3 { break-inside: avoid; break-after: auto; }
footer { margin-top: 36px; font-size: 13px; }
@media print { body { background: none; } .card { break-inside: avoid; } }
"""


def text(value: object) -> str:
    """Anything as text that says itself and nothing else."""
    return html.escape(str(value))


def prose(sentence: str) -> str:
    """Escaped text, in which `backticks` set commands apart."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", text(sentence))


def image(png: bytes, alternative: str, dark: bytes | None = None) -> str:
    """A picture that is part of the page. dark: the same for dark pages."""
    picture = f'<img src="{_data(png)}" alt="{text(alternative)}">'
    if dark is None:
        return picture
    return f'<picture><source media="(prefers-color-scheme: dark)" srcset="{_data(dark)}">{picture}</picture>'


def _data(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Numbers stand on the right: whole ones with commas, others as they are given."""
    numeric = [False] * len(head)
    body = []
    for row in rows:
        cells = []
        for i, value in enumerate(row):
            if isinstance(value, int | float):
                numeric[i] = True
                value = f"{value:,}"
                cells.append(f'<td class="n">{value}</td>')
            else:
                cells.append(f"<td>{text(value)}</td>")
        body.append(f"<tr>{''.join(cells)}</tr>")
    heads = "".join(
        f'<th class="n">{text(name)}</th>' if right else f"<th>{text(name)}</th>"
        for name, right in zip(head, numeric, strict=True)
    )
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(body)}</tbody></table>"


def tile(value: str, name: str) -> str:
    """One number that is worth a large print."""
    return f'<div class="card tile"><b>{text(value)}</b><span>{text(name)}</span></div>'


def document(title: str, body: str) -> str:
    """The whole page."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )
