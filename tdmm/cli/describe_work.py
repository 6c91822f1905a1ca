"""What `tdmm describe` does: lines about motions, or captions into the manifest of a corpus."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import typer

from tdmm.cli import paths, tokenize_inputs
from tdmm.cli.console import Console
from tdmm.cli.usage import UsageError
from tdmm.io.manifest import find_manifest, read_manifest

if TYPE_CHECKING:
    from tdmm.lm.describe import Read, Reader
    from tdmm.motion import FaceMotion

LINES, PLAIN = ".jsonl", ".txt"
_FAILURES_TOLD = 20
_SHOWN = 60  # letters of a question that is told of

OpenReader = Callable[[], "Reader"]


@dataclass(frozen=True)
class Wanted:
    """What is told of each motion. text: a description, in that detail. questions: asked of all motions; of_manifest:
    whether those of the corpus are asked, None: where answers are kept. whole: everything, as JSON."""

    detail: str
    text: bool
    questions: tuple[str, ...] = ()
    of_manifest: bool | None = None
    whole: bool = False


def to_lines(
    inputs: Sequence[str],
    output: str,
    open_reader: OpenReader,
    console: Console,
    wanted: Wanted,
    *,
    splits: Sequence[str] | None,
    force: bool,
) -> None:
    """Texts and answers to standard output or a file. Raises `typer.Exit` where a motion failed."""
    as_json = _check_output(output, wanted, force=force)
    sources = tokenize_inputs.plan(inputs, splits)
    paths.refuse_same([source.path for source in sources], output)
    of_manifest = as_json and output != paths.STANDARD if wanted.of_manifest is None else wanted.of_manifest
    asked = _questions(inputs) if of_manifest and not wanted.questions else None
    if wanted.of_manifest and asked is None:
        raise UsageError("--questions answers those of a corpus, and none is given")
    stdin = tokenize_inputs.open_stdin() if any(one.path == paths.STANDARD for one in sources) else None
    reader = open_reader()
    failures = _Failures(console)
    several = len(sources) > 1
    with console.batch(len(sources), "motions") if several else nullcontext() as bar, _lines_to(output) as write:
        done = 0
        for batch in reader.read_each([(one.id, one.path) for one in sources], failures.add, partial(_read, stdin)):
            for found in _told(reader, batch, wanted, asked, as_json=as_json):
                write(json.dumps(found, ensure_ascii=False) if as_json else _plain(found, several=several))
            done += len(batch)
            if bar is not None:
                bar.to(done + failures.count, len(sources), failures.count)
        if not done:
            raise typer.Exit(1)  # all failed, and were told: no empty file takes a place
    _name_strange(wanted.questions, console)
    if output != paths.STANDARD:
        console.say(f"{output}: {_counted(done, 'motion')} described{failures.told}")
    failures.exit()


def to_manifest(
    corpus: str,
    open_reader: OpenReader,
    console: Console,
    *,
    details: Sequence[str] | None,
    splits: Sequence[str] | None,
    force: bool,
    as_json: bool,
) -> None:
    """Captions for the clips of a corpus that have none. Raises `typer.Exit` where a motion failed."""
    reader = open_reader()
    from tdmm.lm.captioning import DETAILS, caption_corpus

    failures = _Failures(console)
    with console.batch(0, "clips") as bar:
        done = caption_corpus(
            corpus,
            reader,
            details=DETAILS if details is None else details,
            splits=splits,
            force=force,
            read=partial(_read, None),
            on_failure=failures.add,
            progress=None if bar is None else bar.to,
        )
    if as_json:
        told: dict[str, Any] = {
            "output": str(done.path),
            "clips": done.clips,
            "there_before": done.there_before,
            "without_motion": done.without_motion,
            "model": reader.lm.fingerprint,
            "failures": [{"id": name, "error": reason} for name, reason in done.failures],
        }
        sys.stdout.write(json.dumps(told) + "\n")
    if done.without_motion:
        console.say(f"{_counted(done.without_motion, 'clip')} without a motion: tdmm fit {corpus}")
    before = f", {done.there_before} had captions already" if done.there_before else ""
    console.say(f"{done.path}: {_counted(done.clips, 'clip')} described{before}{failures.told}")
    failures.exit()


def _check_output(output: str, wanted: Wanted, *, force: bool) -> bool:
    """Whether lines of JSON are written; before the work, whether they can be."""
    suffix = Path(output).suffix.lower()
    if output == paths.STANDARD:
        return wanted.whole
    is_device = os.path.exists(output) and not os.path.isfile(output) and not os.path.isdir(output)
    if suffix not in (LINES, PLAIN) and not is_device:
        raise UsageError(f"-o {output}: expected a name that ends in {LINES} or {PLAIN}, or -")
    if suffix == PLAIN and wanted.whole:
        raise UsageError(f"-o {output}: --json writes lines of JSON; name a file that ends in {LINES}")
    paths.check_place(output, force=force)
    return wanted.whole or suffix == LINES


def _questions(inputs: Sequence[str]) -> dict[str, list[str]] | None:
    """The questions of the clips of corpora, by id; None where no corpus is given."""
    manifests = [find_manifest(name) for name in paths.expand(inputs) if os.path.isdir(name)]
    clips = [clip for manifest in manifests if manifest is not None for clip in read_manifest(manifest)]
    if not any(manifests):
        return None
    return {clip.id: [str(one.get("question") or "") for one in clip.line.get("questions") or ()] for clip in clips}


def _name_strange(questions: Sequence[str], console: Console) -> None:
    """Tell of questions that are of no kind that is known."""
    from tdmm.corpus.language.questions import KINDS
    from tdmm.lm.questions import understand

    for question in questions:
        if not understand(question).kind:
            said = question if len(question) <= _SHOWN else f"{question[:_SHOWN]}..."
            console.say(f"{said!r} is not understood as a question of {', '.join(KINDS)}: answered as it stands")


def _told(
    reader: Reader,
    batch: Sequence[tuple[str, Read]],
    wanted: Wanted,
    asked: dict[str, list[str]] | None,
    *,
    as_json: bool,
) -> Iterator[dict[str, Any]]:
    """What is told of each motion of a batch."""
    motions = [one for _, one in batch]
    found: list[dict[str, Any]] = [{"id": name} for name, _ in batch]
    if wanted.text or as_json:
        for line, text in zip(found, reader.describe(motions, wanted.detail), strict=True):
            line |= {"text": text, "detail": wanted.detail}
    if wanted.whole or (as_json and wanted.detail == "timeline"):
        for line, events in zip(found, reader.events(motions), strict=True):
            line["events"] = events
    if wanted.questions or asked is not None:
        questions = [list(wanted.questions or (asked or {}).get(name, ())) for name, _ in batch]
        # A question that is none keeps its place.
        answers = reader.ask(motions, [[one for one in some if one.strip()] for some in questions])
        for line, some, own in zip(found, questions, map(iter, answers), strict=True):
            line["questions"] = some
            line["answers"] = [next(own) if one.strip() else "" for one in some]
    yield from found


def _plain(found: dict[str, Any], *, several: bool) -> str:
    """Of one motion a line each for the text and the answers; of several one line."""
    said = [found["text"]] if "text" in found else []
    said += found.get("answers", [])
    return "\t".join([found["id"], *said]) if several else "\n".join(said)


def _read(stdin: BinaryIO | None, path: str) -> FaceMotion:
    if stdin is not None and path == paths.STANDARD and tokenize_inputs.is_stream(stdin):
        return tokenize_inputs.read_frames(stdin, "standard input")
    return tokenize_inputs.read_any(path, stdin)


@contextmanager
def _lines_to(output: str) -> Iterator[Callable[[str], None]]:
    """What writes a line, each at once, to standard output or to a file that appears when it is whole."""
    from tdmm.io.whole import whole_file

    def write_to(file: BinaryIO, line: str) -> None:
        file.write(line.encode("utf-8", "replace") + b"\n")
        file.flush()

    if output == paths.STANDARD:
        sys.stdout.flush()
        yield partial(write_to, sys.stdout.buffer)
        return
    with whole_file(output) as beside, open(beside, "wb") as file:
        yield partial(write_to, file)


class _Failures:
    """Tells failures as they come; of many the first ones."""

    def __init__(self, console: Console) -> None:
        self.count = 0
        self._console = console

    def add(self, name: str, reason: str) -> None:
        self.count += 1
        if self.count <= _FAILURES_TOLD:
            self._console.error(reason)
        elif self.count == _FAILURES_TOLD + 1:
            self._console.error("more failed, which are only counted from here on")

    @property
    def told(self) -> str:
        return f", {self.count} failed" if self.count else ""

    def exit(self) -> None:
        """Raises `typer.Exit` if there were any."""
        if self.count:
            raise typer.Exit(1)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
