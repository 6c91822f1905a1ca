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


def every_command(group, above: tuple[str, ...] = ()) -> dict[tuple[str, ...], object]:
    """Commands by their names, ("render",) or ("train", "evaluator"), without the groups that hold others."""
    found: dict[tuple[str, ...], object] = {}
    for name, command in group.commands.items():
        inner = getattr(command, "commands", None)
        found |= {(*above, name): command} if inner is None else every_command(command, (*above, name))
    return found


TOP = typer.main.get_command(app)
COMMANDS = dict(sorted(every_command(TOP).items()))
GROUPS = sorted({name for name, *others in COMMANDS if others})
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


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], *([*name, "--help"] for name in (*COMMANDS, ("evaluate",), ("train",)))],
    ids=" ".join,
)
def test_help_imports_nothing_heavy(arguments):
    assert imported_by(*arguments) & HEAVY == set()


def test_only_commands_that_work_are_there():
    assert [" ".join(name) for name in COMMANDS] == [
        "animate",
        "describe",
        "doctor",
        "evaluate animate",
        "evaluate describe",
        "evaluate evaluator",
        "evaluate fit",
        "evaluate reconstruction",
        "fit",
        "generate-corpus",
        "info",
        "render",
        "tokenize",
        "train evaluator",
        "train lm",
        "train vq",
    ]


@pytest.mark.parametrize("name", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_examples(tdmm, name):
    outcome = tdmm(*name, "--help")
    assert outcome.code == 0
    assert outcome.stderr == ""
    _, found, examples = outcome.text.partition("Examples:")
    assert found
    said = " ".join(["tdmm", *name])
    assert f"{said} " in examples.partition("Options:")[0] + " "
    of_tdmm = [line for line in examples.splitlines() if line.strip().startswith("tdmm ")]
    assert len(of_tdmm) >= 2 - (name == ("doctor",))
    for parameter in COMMANDS[name].params:
        assert parameter.help, f"{said} {parameter.name} has no help"


@pytest.mark.parametrize("name", GROUPS)
def test_a_group_lists_its_commands_with_a_line_each(tdmm, name):
    outcome = tdmm(name, "--help")
    assert (outcome.code, outcome.stderr) == (0, "")
    _, found, listed = outcome.text.partition("Commands:")
    assert found
    lines = [line.split(maxsplit=1) for line in listed.splitlines() if line.strip()]
    assert {line[0] for line in lines} >= {second for first, *rest in COMMANDS if first == name for second in rest}
    assert all(len(line) == 2 for line in lines if line[0] in TOP.commands[name].commands)


@pytest.mark.parametrize("name", GROUPS)
def test_a_group_without_a_command_shows_its_help(tdmm, name):
    outcome = tdmm(name)
    assert "Commands:" in outcome.text + outcome.stderr
    assert outcome.code in (0, 2)


@pytest.mark.parametrize("name", GROUPS)
def test_a_command_that_a_group_does_not_have_is_told(tdmm, name):
    outcome = tdmm(name, "everything")
    assert outcome.code == 2
    assert f"No such command 'everything' (see tdmm {name} --help)" in outcome.error_line


@pytest.mark.parametrize("name", COMMANDS, ids=" ".join)
def test_every_command_is_documented(name):
    heading = "#" * (1 + len(name))
    assert f"\n{heading} tdmm {' '.join(name)}\n" in (ROOT / "docs" / "cli.md").read_text()
    assert f"tdmm {name[0]}" in (ROOT / "README.md").read_text()


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

    shown = {p.name: p.show_default for p in TOP.commands["render"].params}
    defaults = RenderOptions()
    for name in ("style", "view", "opacity"):
        assert shown[name] == str(getattr(defaults, name))


def test_the_choices_are_all_there():
    from tdmm.cli.render_options import Style, View
    from tdmm.render import STYLE_NAMES, VIEW_NAMES

    assert {style.value for style in Style} == set(STYLE_NAMES)
    assert {view.value for view in View} == set(VIEW_NAMES)
