"""The command line: thin shells around the public functions of the other packages."""

from tdmm.cli.app import main

__all__ = ["main"]
