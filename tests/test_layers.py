"""Imports point downward only, and only the command line talks to the terminal and the environment."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import tdmm

PACKAGE = Path(tdmm.__file__).parent
# From the top; what stands on one line does not import each other.
LAYERS = [
    {"__main__"},
    {"cli"},
    {"evaluate", "serve"},
    {"fit", "lm"},
    {"vq", "corpus"},
    {"render"},
    {"face", "io", "engine"},
    {"motion"},
    {"errors"},
    {"__init__"},
]
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}
MODULES = sorted(PACKAGE.rglob("*.py"))
ONLY_IN_CLI = {"typer", "rich", "click", "argparse"}


def part_of(path: Path) -> str:
    """The package or top module that a file belongs to: `render` for tdmm/render/raster.py."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of every import, also inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports name their package in full"
            base = node.module or ""
            # `from tdmm import errors` names a module, `from tdmm.errors import X` is in the module named.
            yield from ((node.lineno, f"{base}.{alias.name}" if base == "tdmm" else base) for alias in node.names)


def offences(path: Path, source: str) -> list[str]:
    """The imports of one file that its layer does not allow."""
    mine = part_of(path)
    found = []
    for line, name in imports(ast.parse(source)):
        top, _, rest = name.partition(".")
        if top in ONLY_IN_CLI and mine not in ("cli", "__main__"):
            found.append(f"{path.name}:{line} imports {top}, which belongs to cli")
        if top != "tdmm":
            continue
        theirs = rest.partition(".")[0]
        if theirs not in RANK:  # `from tdmm import __version__`, `import tdmm`
            theirs = "__init__"
        if theirs != mine and RANK[theirs] <= RANK[mine]:
            found.append(f"{path.name}:{line} of {mine} imports {name}, which is not below it")
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_downward(path):
    assert part_of(path) in RANK, f"{path}: which layer is it in?"
    assert offences(path, path.read_text()) == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_command_line_uses_the_streams_and_the_environment(path):
    if part_of(path) in ("cli", "__main__"):
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            used = f"{node.value.id}.{node.attr}"
            assert used not in ("sys.stdout", "sys.stdin", "sys.argv", "sys.exit"), f"{path}:{node.lineno} uses {used}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "print", f"{path}:{node.lineno} prints"


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("face/x.py", "from tdmm.render import render"),
        ("face/x.py", "from tdmm.io.video import open_video"),
        ("motion.py", "import tdmm.face"),
        ("fit/x.py", "import rich.progress"),
        ("errors.py", "def f():\n    from tdmm import motion"),
        ("io/x.py", "from tdmm.cli.paths import stem"),
    ],
)
def test_the_rule_finds_what_it_forbids(file, source):
    assert len(offences(PACKAGE / file, source)) == 1


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("render/x.py", "from tdmm.face import load_face_model\nfrom tdmm.io.video import open_video"),
        ("cli/x.py", "import rich\nfrom tdmm.fit import fit_video\nfrom tdmm.cli.paths import stem"),
        ("io/x.py", "from tdmm import __version__\nfrom tdmm.errors import VideoError"),
    ],
)
def test_the_rule_allows_what_points_downward(file, source):
    assert offences(PACKAGE / file, source) == []
