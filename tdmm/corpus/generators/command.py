"""Videos of any program that makes one from a prompt: a command line with fields, run once a video."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import string
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tdmm.corpus.generators.base import NEGATIVE_PROMPT, Facts, Made
from tdmm.errors import CorpusError, VideoError
from tdmm.io.video_reader import open_video
from tdmm.io.whole import whole_file

FIELDS = ("prompt", "seed", "output", "width", "height", "frames", "fps", "id", "negative")
REQUIRED = ("prompt", "output")
# Seconds between the request to end and the kill. Workers of an engine have 1.5 themselves after Ctrl-C.
_PATIENCE = 0.7
_TAIL = 4096  # bytes of the complaints that are looked at
_MOST_TOLD = 300  # characters


@dataclass(frozen=True)
class CommandOptions:
    """What the fields say: size (H, W) in pixels, frames, fps, negative prompt. The program may pass them over.

    timeout: seconds for one video, None: as long as it takes. licence: of the videos, empty if it is not known.
    """

    size: tuple[int, int] = (512, 512)
    frames: int = 101
    fps: float = 25.0
    negative: str = NEGATIVE_PROMPT
    timeout: float | None = None
    licence: str = ""

    def __post_init__(self) -> None:
        numbers = {"height": self.size[0], "width": self.size[1], "frames": self.frames, "fps": self.fps}
        for name, value in (*numbers.items(), ("timeout", self.timeout)):
            if value is not None and not value > 0:
                raise CorpusError(f"{name}: expected a positive number, found {value}")


class CommandGenerator:
    """`my-t2v --prompt {prompt} --seed {seed} --out {output}`: run without a shell, for one video after the other.

    The template is split into arguments as a shell would (quotes, backslashes), then the fields (`FIELDS`) are filled
    in, so that a prompt stays within its argument whatever it holds. Braces are doubled to be themselves: {{ and }}.
    The program writes a video, of any kind that can be read, at {output}, a path that ends in .mp4 and where nothing is
    yet. What it prints is not shown; the last line of its standard error is told where it fails. Its input is empty.
    Raises `CorpusError` for a template that cannot be used.
    """

    name = "command"

    def __init__(self, template: str, options: CommandOptions | None = None) -> None:
        self.template = template
        self._options = options or CommandOptions()
        self._arguments = _split(template)
        self.model = Path(self._arguments[0]).name

    def load(self) -> None:
        """Look for the program. Raises `CorpusError` where there is none."""
        program = self._arguments[0]
        if shutil.which(program) is None:
            found = Path(program).is_file()
            raise CorpusError(f"{program}: " + ("is not executable" if found else "there is no such program"))

    def facts(self) -> Facts:
        """The family is empty: of the model behind the program nothing is known."""
        used = {field for argument in self._arguments for field in _fields(argument)}
        settings = {"command": self.template, **{name: said for name, said in self._said().items() if name in used}}
        return Facts(model=self.model, family="", settings=settings, licence=self._options.licence, warning="")

    def make(self, prompt: str, seed: int, target: Path, *, id: str = "") -> Made:
        """Run the program for one video. Raises `CorpusError` with the program's last words, `OutputError`."""
        where = id or target.stem
        with whole_file(target) as beside:
            # Programs ask before they overwrite, or refuse to.
            beside.unlink()
            values = {**self._said(), "prompt": prompt, "seed": seed, "output": beside, "id": where}
            self._run([argument.format_map(values) for argument in self._arguments], where)
            return self._read(beside, where)

    def _said(self) -> dict[str, Any]:
        """The fields that are the same for all videos."""
        height, width = self._options.size
        fps = f"{self._options.fps:.9g}"
        said = {"width": width, "height": height, "frames": self._options.frames, "fps": fps}
        return {**said, "negative": self._options.negative}

    def _run(self, arguments: list[str], where: str) -> None:
        with tempfile.TemporaryFile() as complaints:
            try:
                with _process(arguments, complaints) as process:
                    code = process.wait(self._options.timeout)
            except subprocess.TimeoutExpired as error:
                took = f"took longer than {self._options.timeout:g} seconds"
                raise CorpusError(f"{where}: {self.model} {took}") from error
            except ValueError as error:  # a NUL in the prompt
                raise CorpusError(f"{where}: {self.model} cannot be run: {error}") from error
            except OSError as error:
                raise CorpusError(f"{where}: {arguments[0]} cannot be run: {error.strerror or error}") from error
            if code != 0:
                how = f"exit status {code}" if code > 0 else f"ended by {signal.Signals(-code).name}"
                words = _last_line(complaints)
                raise CorpusError(f"{where}: {self.model} failed ({how}){': ' * bool(words)}{words}")

    def _read(self, path: Path, where: str) -> Made:
        """Decode the whole video: one that was cut short is found here, not when it is fitted."""
        if not path.is_file() or not path.stat().st_size:
            raise CorpusError(f"{where}: {self.model} ended well, but wrote no video at {{output}}")
        try:
            with open_video(path) as video:
                count = sum(1 for _ in video)
                info = video.info
        except VideoError as error:
            words = str(error).replace(str(path), "{output}")
            raise CorpusError(f"{where}: {self.model} wrote no readable video: {words}") from error
        if count < 2:
            raise CorpusError(f"{where}: {self.model} wrote a single picture, not a video")
        return Made(fps=info.fps, frames=count, width=info.width, height=info.height)


# -- the template ----------------------------------------------------------------------------------------


def _split(template: str) -> list[str]:
    """The arguments, checked."""
    try:
        arguments = shlex.split(template)
    except ValueError as error:
        raise CorpusError(f"command {template!r}: cannot be split into arguments: {error}") from error
    if not arguments or not arguments[0]:
        raise CorpusError("command: expected a program and its arguments, found nothing")
    try:
        used = {field for argument in arguments for field in _fields(argument)}
    except ValueError as error:
        raise CorpusError(f"command {template!r}: {error}; write {{{{ and }}}} for braces themselves") from error
    if any(_fields(arguments[0])):
        raise CorpusError(f"command {template!r}: the program's own name cannot be filled in")
    if missing := [f"{{{field}}}" for field in REQUIRED if field not in used]:
        raise CorpusError(f"command {template!r}: has no {' and no '.join(missing)}")
    return [arguments[0].format_map({}), *arguments[1:]]


def _fields(argument: str) -> list[str]:
    """The names of the fields. Raises `CorpusError` for an unknown one, `ValueError` for braces that do not match."""
    names = []
    for _, name, form, conversion in string.Formatter().parse(argument):
        if name is None:
            continue
        if name not in FIELDS:
            known = ", ".join(f"{{{field}}}" for field in FIELDS)
            raise CorpusError(f"command: unknown field {{{name}}} in {argument!r}; known: {known}")
        if form or conversion:
            raise CorpusError(f"command: field {{{name}}} in {argument!r}: no format can follow a name")
        names.append(name)
    return names


# -- the process -----------------------------------------------------------------------------------------


@contextmanager
def _process(arguments: list[str], complaints: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a session of its own; it and all that it started are gone if the block is left before it ended.

    Of its own, for only a group can be ended with all that it started. The price: Ctrl-C in the terminal does not reach
    it, so it is passed on here.
    """
    process: subprocess.Popen[bytes] | None = None
    try:
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=complaints,
            start_new_session=True,
        )
        yield process
    finally:
        if process is not None and process.returncode is None:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask the group to end, then make it."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_PATIENCE)
    # The first of the group may be gone and others not; while one is there, its number is not given to anything else.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _last_line(complaints: IO[bytes]) -> str:
    """The last line that says something; progress bars end their lines with a carriage return."""
    size = complaints.seek(0, os.SEEK_END)
    complaints.seek(max(0, size - _TAIL))
    text = complaints.read().decode("utf-8", "replace").replace("\r", "\n")
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    return lines[-1][:_MOST_TOLD] if lines else ""
