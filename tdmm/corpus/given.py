"""Prompts of the user's own: a file of programs, of texts, or of both."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from tdmm.corpus.lexicon import behaviours
from tdmm.corpus.plan import GivenPrompt
from tdmm.corpus.program import parse_program
from tdmm.errors import CorpusError

# A line of the notation, though perhaps a wrong one: nothing else has its signs between lower-case words.
_LETTERS = "[!a-z_0-9.*@~=>+: ]*"
_NOTATION = re.compile(rf"{_LETTERS}([*@~>+=]|(?<=[a-z])\.(left|right)\b|(?<![a-z])![a-z]){_LETTERS}")
# What stands behind the first id of a program that has none of these signs: a colon, or a side that is misspelt.
_AFTER_ID = re.compile(r" *: *[a-z_]*|\.[a-z]+")


def read_prompts(lines: Iterable[str], name: str) -> tuple[GivenPrompt, ...]:
    """The prompts in the lines of a file called `name`; empty ones and those that start with # are passed over.

    A line is a program (`smile > nod*2`), a program and its text (`shake*2 | nope`), a text, or a JSON object with
    `program`, `text` or both. Raises `CorpusError` that names the line, also where there is no prompt at all.
    """
    found = []
    for number, line in enumerate(lines, start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        try:
            found.append(read_prompt(line))
        except CorpusError as error:
            raise CorpusError(f"{name}, line {number}: {error}") from error
    if not found:
        raise CorpusError(f"{name}: holds no prompt; write one a line, such as: smile > nod*2")
    return tuple(found)


def read_prompt(line: str) -> GivenPrompt:
    """The prompt of one line. Raises `CorpusError`."""
    if line.startswith("{"):
        return _from_json(line)
    program, bar, text = line.partition("|")
    if bar:
        return GivenPrompt(text.strip(), parse_program(program.strip()))
    first = re.match("[a-z_]*", line)
    assert first is not None
    known = first[0] in behaviours() and (line == first[0] or _AFTER_ID.fullmatch(line, first.end()))
    if known or _NOTATION.fullmatch(line):
        return GivenPrompt("", parse_program(line))
    return GivenPrompt(line)


def _from_json(line: str) -> GivenPrompt:
    try:
        fields: Any = json.loads(line)
    except ValueError as error:
        raise CorpusError(f"expected a JSON object, found {line[:40]!r} ({error})") from error
    if not isinstance(fields, Mapping):
        raise CorpusError(f"expected a JSON object, found {line[:40]!r}")
    text, program = fields.get("text") or "", fields.get("program")
    if not isinstance(text, str) or not (program is None or isinstance(program, str)):
        raise CorpusError(f"expected text in the fields text and program, found {line[:60]!r}")
    if not (text.strip() or program):
        raise CorpusError(f"expected the fields text and program, or one of them, found {line[:60]!r}")
    return GivenPrompt(text.strip(), None if program is None else parse_program(program))
