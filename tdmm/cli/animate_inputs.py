"""What `tdmm animate` is to animate: prompts as arguments, from files, standard input and corpora."""

from __future__ import annotations

import json
import os
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tdmm.cli import paths
from tdmm.cli.usage import UsageError
from tdmm.errors import TdmmError
from tdmm.io.manifest import find_manifest, read_manifest

LONGEST_SLUG = 40
_FILES = (".txt", ".jsonl")
# Names of files that are not there, which nobody would ask a face to do.
_NAME_OF_A_FILE = re.compile(r"\S+\.(?:txt|jsonl|json|npz|csv|mp4|gif)")


@dataclass(frozen=True)
class Prompt:
    """One prompt. name: of its output in a folder; id: where a corpus or a line gives it one; place: for errors."""

    text: str
    name: str
    id: str | None = None
    place: str = ""

    def of_sample(self, number: int, samples: int) -> str:
        """The name of one of its samples: NAME-1, NAME-2, ...; of those with an id ID, ID/1, ..., as
        `tdmm evaluate animate` reads them."""
        if self.id is not None:
            return f"{self.name}/{number}" if number else self.name
        return self.name if samples == 1 else f"{self.name}-{number + 1}"


def read_prompts(arguments: Sequence[str], splits: Sequence[str] | None) -> list[Prompt]:
    """The prompts, in their order, those without an id with numbers in their names.

    Raises `UsageError` for what does not go together, `TdmmError` for files and corpora without prompts.
    """
    if list(arguments).count(paths.STANDARD) > 1:
        raise UsageError("standard input (-) can be read only once")
    if splits is not None and not any(map(_is_corpus, arguments)):
        raise UsageError("--split chooses clips of a corpus, and none is given")
    found: list[Prompt] = []
    names: dict[str, Prompt] = {}
    count = 0
    for text, id, place in (one for argument in arguments for one in _prompts(argument, splits)):
        count += id is None
        slug = _slug(text)
        name = id or (f"{count:04d}-{slug}" if slug else f"{count:04d}")
        prompt = Prompt(text, name, id, place)
        if (other := names.setdefault(name, prompt)) is not prompt:
            raise UsageError(f"{other.place} and {place} have the same id {name}; do them apart")
        found.append(prompt)
    return found


def _is_corpus(argument: str) -> bool:
    return argument != paths.STANDARD and os.path.isdir(argument) and find_manifest(argument) is not None


def _prompts(argument: str, splits: Sequence[str] | None) -> Iterator[tuple[str, str | None, str]]:
    """Text, id, place."""
    if argument == paths.STANDARD:
        if sys.stdin.isatty():
            raise UsageError("- is standard input, and that is a terminal: give a prompt, or pipe prompts in")
        yield from _lines(sys.stdin.buffer.read(), "standard input")
    elif _is_corpus(argument):
        yield from _clips(argument, splits)
    elif argument.endswith(_FILES) and os.path.isfile(argument):
        try:
            data = Path(argument).read_bytes()
        except OSError as error:
            raise TdmmError(f"{argument}: cannot be read: {error.strerror or error}") from error
        yield from (_json_lines if argument.endswith(".jsonl") else _lines)(data, argument)
    elif os.path.isfile(argument):
        hint = "; a motion goes on with --start-from" if argument.endswith(".npz") else ""
        raise UsageError(f"{argument}: is a file, and prompts are in files that end in {' or '.join(_FILES)}{hint}")
    elif os.path.isdir(argument) and os.sep in argument:
        raise TdmmError(f"{argument}: is no corpus: a folder with manifest.jsonl or metadata.jsonl")
    elif _NAME_OF_A_FILE.fullmatch(argument):
        raise TdmmError(f"{argument}: there is no such file")
    elif not argument.strip():
        raise UsageError('an empty prompt: say what the face is to do, such as "smiles, then nods"')
    else:
        yield argument, None, "the prompt"


def _lines(data: bytes, name: str) -> Iterator[tuple[str, None, str]]:
    """A prompt a line; empty lines and those that begin with # are passed over."""
    number = 0
    for number, line in _texts(data, name):
        yield line, None, f"{name}, line {number}"
    if not number:
        raise TdmmError(f"{name}: holds no prompts; write one a line, such as: smiles, then nods")


def _json_lines(data: bytes, name: str) -> Iterator[tuple[str, str, str]]:
    number = 0
    for number, line in _texts(data, name):
        place = f"{name}, line {number}"
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError):
            fields = None
        if not isinstance(fields, dict) or not all(isinstance(fields.get(one), str) for one in ("id", "text")):
            raise TdmmError(f"{place}: expected a JSON object with the fields id and text, found {line[:40]!r}")
        yield fields["text"], _safe(fields["id"], place), place
    if not number:
        raise TdmmError(f"{name}: holds no prompts; expected JSON lines with id and text")


def _texts(data: bytes, name: str) -> Iterator[tuple[int, str]]:
    """The lines that hold something, and their numbers."""
    try:
        # Not splitlines(): JSON may hold characters that it takes for ends of lines.
        lines = data.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError:
        raise TdmmError(f"{name}: expected text in UTF-8, a prompt a line, found bytes that are none") from None
    for number, line in enumerate(lines, start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, line.strip()


def _clips(folder: str, splits: Sequence[str] | None) -> Iterator[tuple[str, str, str]]:
    manifest = find_manifest(folder)
    assert manifest is not None
    clips = read_manifest(manifest)
    if splits is not None:
        _check_splits(splits, {str(clip.line["split"]) for clip in clips if clip.line.get("split")}, str(manifest))
        clips = [clip for clip in clips if clip.line.get("split") in splits]
    told = [(clip.line.get("text"), clip.id) for clip in clips]
    found = [(text, name) for text, name in told if isinstance(text, str) and text.strip()]
    if not found:
        raise TdmmError(f"{manifest}: none of the {len(clips)} clips has a text")
    yield from ((text, name, f"{manifest}: {name}") for text, name in found)


def _check_splits(wanted: Iterable[str], there: set[str], name: str) -> None:
    for split in wanted:
        if split not in there:
            known = f"there are {', '.join(sorted(there))}" if there else "none says its split"
            raise TdmmError(f"{name}: has no clips of the split {split}; {known}")


def _safe(name: str, place: str) -> str:
    """An id, which becomes the name of a file."""
    path = Path(name)
    if not name or path.is_absolute() or ".." in path.parts or "\0" in name or "\\" in name:
        raise TdmmError(f"{place}: id: expected the name of a file within a folder, found {name!r}")
    return name


def _slug(text: str) -> str:
    """Words of a text as a part of the name of a file."""
    plain = unicodedata.normalize("NFKD", text.encode("utf-8", "replace").decode()).encode("ascii", "ignore").decode()
    words = re.findall("[a-z0-9]+", plain.lower().replace("'", ""))
    slug = ""
    for word in words:
        longer = f"{slug}-{word}" if slug else word[:LONGEST_SLUG]
        if len(longer) > LONGEST_SLUG:
            break
        slug = longer
    return slug
