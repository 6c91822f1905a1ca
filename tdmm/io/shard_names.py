"""How one motion of a shard is named: `motions/00003.safetensors#17`. Imports nothing, for the command line."""

from __future__ import annotations

SUFFIX = ".safetensors"


def names_a_part(source: object) -> bool:
    """Whether a source is the name of one motion in a shard."""
    path, mark, number = str(source).rpartition("#")
    return bool(mark) and path.endswith(SUFFIX) and number.isdecimal()


def shard_of(source: str) -> str:
    """The file of a motion in a shard, or of a motion by itself."""
    return source.rpartition("#")[0] if names_a_part(source) else source
