"""Wrong usage, told in our own words (exit code 2)."""

from __future__ import annotations

import typer


class UsageError(typer.BadParameter):
    """The command line asks for something that does not go together; the message is a whole sentence."""

    def format_message(self) -> str:
        return self.message
