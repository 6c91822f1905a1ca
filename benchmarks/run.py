"""Run every benchmarks/bench_*.py (those that take many minutes only by name), print one table, write one JSON file.

Usage: python -m benchmarks.run [--only NAME ...] [--output FILE]
"""

from __future__ import annotations

import argparse
import importlib
import json
import platform
import sys
import traceback
from dataclasses import asdict
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.table import Row

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results"
# Areas that take many minutes: measured when they are named.
SLOW = {"lm", "lm_counts", "lm_texts", "memory"}
PACKAGES = ("tdmm", "numpy", "torch", "numba", "mediapipe", "imageio-ffmpeg", "pyrender", "triton", "pytorch3d")


def areas() -> list[str]:
    """The names behind bench_*.py, sorted."""
    return sorted(path.stem.removeprefix("bench_") for path in FOLDER.glob("bench_*.py"))


def measure(area: str) -> list[Row]:
    """The rows of one area; one that breaks is a row that says so, and the others go on."""
    try:
        return importlib.import_module(f"benchmarks.bench_{area}").run()
    except Exception as error:
        traceback.print_exc()
        return [Row(area, None, "", note=f"failed: {type(error).__name__}: {error}")]


def machine() -> dict[str, object]:
    """What the numbers depend on: processor, cores, GPU, versions. No names of hosts or users."""
    import os

    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "cpu": cpu_model(),
        "cores": cores,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": versions,
    }


def cpu_model() -> str:
    """As /proc/cpuinfo has it, or what platform knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def number(value: float | None) -> str:
    """Three digits that count, no more."""
    return "" if value is None else f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def table(rows: list[Row]) -> Table:
    """what | value | must | aim | verdict | note."""
    shown = Table("what", title="benchmarks", title_justify="left")
    for name in ("value", "must", "aim"):
        shown.add_column(name, justify="right")
    shown.add_column("verdict")
    shown.add_column("note")
    colour = {"aim": "green", "must": "yellow", "BELOW MUST": "bold red"}
    for row in rows:
        sign = "" if row.must is None and row.aim is None else ">= " if row.higher_is_better else "<= "
        bounds = [f"{sign}{number(bound)}" if bound is not None else "" for bound in (row.must, row.aim)]
        value = f"{number(row.value)} {row.unit}" if row.value is not None else ""
        verdict = row.verdict
        style = colour.get(verdict)
        shown.add_row(row.what, value, *bounds, f"[{style}]{verdict}[/]" if style else verdict, row.note)
    return shown


def main(arguments: list[str]) -> int:
    """Exit code 1 when a row is below what it must reach."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", choices=areas(), help=f"one or more of {', '.join(areas())}"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="where the JSON goes")
    chosen = parser.parse_args(arguments)
    console = Console()
    rows: list[Row] = []
    for area in chosen.only or [area for area in areas() if area not in SLOW]:
        console.print(f"measuring {area} ...", style="dim")
        rows += measure(area)
    console.print(table(rows))
    about = machine()
    name = (
        f"{about['cores']}-cores"
        + ("-gpu" if about["gpu"] else "")
        + (f"-{'-'.join(chosen.only)}" if chosen.only else "")
    )
    output = chosen.output or RESULTS / f"{name}.json"
    output.parent.mkdir(parents=True, exist_ok=True)
    when = datetime.now(timezone.utc).strftime("%Y-%m-%d")
    result = {"date": when, "machine": about, "rows": [{**asdict(row), "verdict": row.verdict} for row in rows]}
    output.write_text(json.dumps(result, indent=1) + "\n")
    console.print(f"written to {output}")
    return int(any(row.verdict == "BELOW MUST" for row in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
