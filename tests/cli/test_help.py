"""Help, version, completion: every command has help with examples, is documented, and help is light."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import typer

import tdmm as package
from tdmm.cli.app import app

ROOT = Path(package.__file__).parent.parent
COMMANDS = sorted(typer.main.get_command(app).commands)
# Each of these costs a tenth of a second to several seconds.
HEAVY = {"numpy", "torch", "numba", "scipy", "mediapipe", "cv2", "PIL", "transformers", "rich", "imageio_ffmpeg"}


def imported_by(*arguments: str) -> set[str]:
    """Top-level modules that a fresh process has imported when the program ends."""
    code = (
        "import sys\n"
        "from tdmm.cli.app import run\n"
        f"code = run({list(arguments)!r})\n"
        "sys.stderr.write(' '.join(sorted({name.partition('.')[0] for name in sys.modules})))\n"
        "sys.exit(code)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stderr.split())


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["fit", "--help"], ["render", "--help"]])
def test_help_imports_nothing_heavy(arguments):
    assert imported_by(*arguments) & HEAVY == set()


def test_only_commands_that_work_are_there():
    assert COMMANDS == ["doctor", "fit", "generate-corpus", "info", "render"]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_examples(tdmm, name):
    outcome = tdmm(name, "--help")
    assert outcome.code == 0
    assert outcome.stderr == ""
    _, found, examples = outcome.text.partition("Examples:")
    assert found
    assert f"tdmm {name} " in examples.partition("Options:")[0] + " "
    assert len([line for line in examples.splitlines() if line.strip().startswith("tdmm ")]) >= 2 - (name == "doctor")
    for parameter in typer.main.get_command(app).commands[name].params:
        assert parameter.help, f"{name} {parameter.name} has no help"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_documented(name):
    assert f"## tdmm {name}" in (ROOT / "docs" / "cli.md").read_text()
    assert f"tdmm {name}" in (ROOT / "README.md").read_text()


def test_the_reference_is_what_help_says():
    done = subprocess.run(
        [sys.executable, "scripts/write_cli_docs.py", "--stdout"], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert (ROOT / "docs" / "cli.md").read_text() == done.stdout, "run: make docs"


def test_version(tdmm):
    outcome = tdmm("--version")
    assert (outcome.code, outcome.text) == (0, f"tdmm {package.__version__}\n")


def test_no_arguments_show_help(tdmm):
    outcome = tdmm()
    assert "Commands:" in outcome.text + outcome.stderr


def test_completion_is_offered():
    environment = {
        "PATH": "/usr/bin:/bin",
        "_TDMM_COMPLETE": "complete_bash",
        "COMP_WORDS": "tdmm re",
        "COMP_CWORD": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "tdmm"], capture_output=True, text=True, env=environment, cwd=ROOT, check=False
    )
    assert done.stdout.split() == ["render"], done.stderr


def test_the_defaults_that_help_shows_are_the_real_ones():
    """The commands load what holds the defaults only when they run, so help repeats them."""
    from tdmm.render import RenderOptions

    shown = {p.name: p.show_default for p in typer.main.get_command(app).commands["render"].params}
    defaults = RenderOptions()
    for name in ("style", "view", "opacity"):
        assert shown[name] == str(getattr(defaults, name))


def test_the_choices_are_all_there():
    from tdmm.cli.render import Style, View
    from tdmm.render import STYLE_NAMES, VIEW_NAMES

    assert {style.value for style in Style} == set(STYLE_NAMES)
    assert {view.value for view in View} == set(VIEW_NAMES)
