"""The program `tdmm`: its commands, its exit codes, and how errors are told.

The modules of the commands import what they need inside their functions, so that `tdmm --help` is quick.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from tdmm import __version__
from tdmm.cli import animate, describe, doctor, evaluate, fit, generate_corpus, info, render, tokenize, train
from tdmm.errors import TdmmError

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT
EXIT_CLOSED_PIPE = 141  # 128 + SIGPIPE, what the shell reports of other programs in a pipe

app = typer.Typer(
    name="tdmm",
    no_args_is_help=True,
    # Plain help is quick to make, and what pipes and pages want.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"tdmm {__version__}\n")
        raise typer.Exit


@app.callback()
def _tdmm(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """3D facial motion as a language.

    Every command reads and writes `-` as standard input and output, so that they join in pipes:

    \b
      tdmm fit clip.mp4 -o motion.npz             follow the face of a video
      tdmm render motion.npz -o motion.mp4        draw the motion as a head
      tdmm fit clip.mp4 | tdmm render - -o head.gif
      tdmm animate "smiles, then nods" -o out.mp4 write the motion of a prompt
      tdmm fit clip.mp4 | tdmm describe -         say what a motion shows
      tdmm COMMAND --help                         options and examples of a command
    """


for command in (fit, describe, animate, render, tokenize, generate_corpus, info, doctor):
    app.command(name=command.__name__.rpartition(".")[2].replace("_", "-"))(command.command)


app.add_typer(train.group)
app.add_typer(evaluate.group)


def main() -> None:
    """The entry point of the program."""
    _open_closed_streams()
    code = run(sys.argv[1:])
    # The interpreter's last garbage collection would walk through all of torch for half a second, for nothing.
    gc.freeze()
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns its exit code. Errors are told on stderr in one line.

    0 done, 1 failed, 2 wrong usage, 130 interrupted, 141 the reader of our output has gone.
    """
    if "_TDMM_COMPLETE" in os.environ:  # a shell asks for completions: typer's own business
        app(prog_name="tdmm")
    debug = "--debug" in arguments
    try:
        root = typer.main.get_command(app)
        with root.make_context("tdmm", list(arguments)) as started:
            root.invoke(started)
        sys.stdout.flush()
    except typer.Exit as exit_:
        return _flushed(exit_.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        return _failed("interrupted", EXIT_INTERRUPTED, debug)
    except BrokenPipeError:
        _forget_stdout()
        return EXIT_CLOSED_PIPE
    except TdmmError as error:
        return _failed(str(error), EXIT_FAILED, debug)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _forget_stdout()
        return _failed(f"{where}{error.strerror or error}", EXIT_FAILED, debug)
    except MemoryError:
        return _failed("out of memory; try a smaller --size or a shorter clip", EXIT_FAILED, debug)
    except Exception as error:
        if isinstance(error, typer.TyperException) and hasattr(error, "show"):  # usage errors of the parser
            context = getattr(error, "ctx", None)
            path = context.command_path if context is not None else "tdmm"
            message = error.format_message().replace("Value error, ", "").strip().rstrip(".")
            return _failed(f"{message} (see {path} --help)", EXIT_USAGE, debug)
        kind = type(error).__name__
        return _failed(f"{kind}: {error} (a fault in tdmm; --debug shows where)", EXIT_FAILED, debug)
    return 0


def _flushed(code: int) -> int:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _forget_stdout()
        return EXIT_CLOSED_PIPE
    return code


def _failed(message: str, code: int, debug: bool) -> int:
    if debug:
        import traceback

        traceback.print_exc(file=sys.stderr)
    sys.stderr.write(f"error: {' '.join(message.split())}\n")
    return code


def _open_closed_streams() -> None:
    """Where the caller closed a standard stream, as in `tdmm fit - <&-`, no file of ours may take its number.

    Then nothing comes from standard input, and writing to standard output fails.
    """
    for name, flags in (("stdin", os.O_RDONLY), ("stdout", os.O_RDONLY), ("stderr", os.O_WRONLY)):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, flags), "r" if name == "stdin" else "w"))


def _forget_stdout() -> None:
    """Keep the interpreter from flushing into a closed pipe as it ends, which would print a traceback."""
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
