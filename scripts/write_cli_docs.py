"""Write docs/cli.md from the help of the commands. Usage: python scripts/write_cli_docs.py [--stdout]

A test checks that the page is what this script writes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from tdmm.cli.app import app

PAGE = Path(__file__).parent.parent / "docs" / "cli.md"
HEADER = """\
# The command line

Written by `make docs` from `tdmm COMMAND --help`; do not edit.

- Results go to standard output, everything else to standard error; progress bars only where that is a terminal.
- `-` is standard input or output. Binary results are refused on a terminal.
- `-o` picks the format by its ending. Nothing is replaced without `--force`; an output appears when it is whole.
- With several inputs `-o` is a folder and the outputs take the inputs' names; what is there already is kept.
- Exit codes: 0 done, 1 failed (also when some of many inputs failed), 2 wrong usage, 130 interrupted,
  141 when the reader of the output has gone.
- `tdmm --install-completion` installs completion for your shell.
"""


def page() -> str:
    """The whole page in Markdown."""
    root = typer.main.get_command(app)
    with root.make_context("tdmm", [], resilient_parsing=True, terminal_width=100) as top:
        return "\n".join([HEADER, *_sections(root, top, "##")])


def _sections(group: Any, above: Any, heading: str) -> Iterator[str]:
    """The help of a group's commands, and below that of a group that of its own."""
    for name, command in group.commands.items():
        with command.make_context(name, [], parent=above, resilient_parsing=True) as context:
            text = command.get_help(context).rstrip()
            yield f"{heading} {context.command_path}\n\n```\n{text}\n```\n"
            if hasattr(command, "commands"):
                yield from _sections(command, context, f"{heading}#")


if __name__ == "__main__":
    if sys.argv[1:] == ["--stdout"]:
        sys.stdout.write(page())
    else:
        PAGE.write_text(page())
