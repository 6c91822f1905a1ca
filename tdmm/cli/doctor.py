"""`tdmm doctor`: what this machine can do, and the one line that mends what it cannot."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

import typer

from tdmm.cli import face_models
from tdmm.cli.console import Console
from tdmm.cli.options import DebugOption, JsonOption, QuietOption

State = Literal["ok", "optional", "broken"]
_GL_LINE = "apt-get install -y libgl1 libglib2.0-0"
_OPTIONAL = {
    "pytorch3d": "another renderer; built from source: https://github.com/facebookresearch/pytorch3d",
    "triton": "the GPU renderer; comes with torch for CUDA",
    "diffusers": "text-to-video models in generate-corpus: pip install 'tdmm[t2v]'",
    "peft": "adapters (LoRA) in tdmm train lm: pip install 'tdmm[train]'",
    "wordcloud": "reports of corpora: pip install 'tdmm[report]'",
    "ray": "clusters: pip install 'tdmm[ray]'",
}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; `mend` is the line that helps when it is broken or not there."""

    what: str
    state: State
    found: str
    mend: str = ""


def command(as_json: JsonOption = False, quiet: QuietOption = False, debug: DebugOption = False) -> None:
    """Check what this machine can do.

    Looks at packages, ffmpeg, face detection, the GPU, the codec, the language model, caches and data.
    Exit code 1 when something that tdmm needs is broken; the line after it mends it.

    \b
    Examples:
      tdmm doctor
      tdmm doctor --json | jq '.findings[] | select(.state == "broken")'
    """
    console = Console(quiet=quiet)
    findings = []
    for check in _CHECKS:
        found = check()
        findings += found
        if not as_json and not quiet:
            for finding in found:
                _tell(finding)
    broken = [finding for finding in findings if finding.state == "broken"]
    if as_json:
        sys.stdout.write(json.dumps({"ok": not broken, "findings": [asdict(f) for f in findings]}) + "\n")
    if broken:
        console.error(f"{', '.join(finding.what for finding in broken)}: tdmm cannot work like this")
        raise typer.Exit(1)


def _tell(finding: Finding) -> None:
    mark = {"ok": "ok      ", "optional": "missing ", "broken": "BROKEN  "}[finding.state]
    sys.stdout.write(f"{mark} {finding.what:<16} {finding.found}\n")
    if finding.mend:
        sys.stdout.write(f"{'':9}{'':16} -> {finding.mend}\n")
    sys.stdout.flush()


# -- the checks ------------------------------------------------------------------------------------------


def check_python() -> list[Finding]:
    """The interpreter and the processor."""
    version = platform.python_version()
    fits = sys.version_info >= (3, 10)
    mend = "" if fits else "use Python 3.10 or later"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = f"{version} on {platform.system()} {platform.machine()}, {cores} cores"
    return [Finding("python", "ok" if fits else "broken", found, mend)]


def check_packages() -> list[Finding]:
    """The packages that every command needs, by their metadata."""
    findings = []
    for name in ("numpy", "torch", "numba", "scipy", "pillow", "transformers", "imageio-ffmpeg"):
        try:
            findings.append(Finding(name, "ok", metadata.version(name)))
        except metadata.PackageNotFoundError:
            findings.append(Finding(name, "broken", "not installed", f"pip install {name}"))
    return findings


def check_gpu() -> list[Finding]:
    """A GPU that torch can use; tdmm runs without."""
    try:
        import torch
    except (ImportError, OSError) as error:
        return [Finding("torch works", "broken", _first_line(error), "pip install --force-reinstall torch")]
    if torch.cuda.is_available():
        return [Finding("gpu", "ok", f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}")]
    return [Finding("gpu", "optional", "none that torch sees; everything runs on the CPU")]


def check_mediapipe() -> list[Finding]:
    """Whether the face detector starts, in a process of its own: a missing library can end it hard."""
    if importlib.util.find_spec("mediapipe") is None:
        mend = "pip install mediapipe==0.10.21  (Python 3.10 to 3.12)"
        return [Finding("mediapipe", "broken", "not installed", mend)]
    version = metadata.version("mediapipe")
    code = (
        "import numpy; import mediapipe\n"
        "if hasattr(mediapipe, 'solutions'):\n"
        "    with mediapipe.solutions.face_mesh.FaceMesh(refine_landmarks=True) as mesh:\n"
        "        mesh.process(numpy.zeros((64, 64, 3), numpy.uint8))\n"
        "else:\n"
        "    from mediapipe.tasks.python import vision\n"
        "    print('no models')\n"
    )
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    seconds = time.perf_counter() - started
    if done.returncode == 0 and "no models" in done.stdout:
        return [Finding("mediapipe", "ok", f"{version}, without models: {_landmarker()}")]
    if done.returncode == 0:
        return [Finding("mediapipe", "ok", f"{version}, face detector starts in {seconds:.1f} s")]
    last = (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1]
    if any(library in done.stderr for library in ("libGL.so", "libgthread", "libglib")):
        return [Finding("mediapipe", "broken", f"{version}: {last}", _GL_LINE)]
    return [Finding("mediapipe", "broken", f"{version}: {last}", "pip install --force-reinstall mediapipe==0.10.21")]


def _landmarker() -> str:
    """Which face landmarker would be used where mediapipe brings none."""
    from tdmm.cli.landmarker import FILE_NAME, VARIABLE

    if named := os.environ.get(VARIABLE):
        return f"uses {named} ({VARIABLE})"
    kept = face_models.cache_folder() / FILE_NAME
    return f"uses {kept}" if kept.exists() else "a face landmarker (3.8 MB) is downloaded when first needed"


def check_ffmpeg() -> list[Finding]:
    """The ffmpeg program that imageio-ffmpeg brings, and its h264 encoder."""
    from tdmm.errors import VideoError
    from tdmm.io import ffmpeg

    mend = "pip install --force-reinstall imageio-ffmpeg"
    try:
        path = ffmpeg.ffmpeg_path()
        encoders = subprocess.run([path, "-hide_banner", "-encoders"], capture_output=True, text=True, check=False)
    except (VideoError, OSError) as error:
        return [Finding("ffmpeg", "broken", _first_line(error), mend)]
    if encoders.returncode != 0 or "libx264" not in encoders.stdout:
        return [Finding("ffmpeg", "broken", f"{path} has no h264 encoder (libx264)", mend)]
    return [Finding("ffmpeg", "ok", f"{'.'.join(map(str, ffmpeg.ffmpeg_version()))} with libx264, {path}")]


def check_head() -> list[Finding]:
    """Whether the built-in head loads, and how large the data of the package are."""
    from tdmm.errors import TdmmError

    mend = "pip install --force-reinstall tdmm"
    started = time.perf_counter()
    try:
        from tdmm.face import load_face_model

        model = load_face_model("builtin")
    except (TdmmError, ImportError, OSError) as error:
        return [Finding("built-in head", "broken", _first_line(error), mend)]
    seconds = time.perf_counter() - started
    assets = Path(__file__).parent.parent / "assets"
    sizes = sorted(
        (path.stat().st_size, path.relative_to(assets).as_posix()) for path in assets.rglob("*") if path.is_file()
    )
    listed = ", ".join(f"{name} {size / 1e6:.1f} MB" for size, name in reversed(sizes) if size > 50_000)
    return [
        Finding("built-in head", "ok", f"{model.name}, {model.n_vertices} vertices, loaded in {seconds:.2f} s"),
        Finding("assets", "ok", listed or "none"),
    ]


def check_prior() -> list[Finding]:
    """Whether the trained network of `tdmm fit` is there; without it landmarks alone are fitted."""
    from tdmm.fit import prior

    if prior.has_prior():
        return [Finding("prior of fit", "ok", "fit reads expressions from the pictures too")]
    return [Finding("prior of fit", "optional", "fit reads expressions from landmarks alone (docs/fitting.md)")]


def check_codec() -> list[Finding]:
    """Whether the codec of `tdmm tokenize` loads, and whether another one can be trained."""
    from tdmm.errors import TdmmError
    from tdmm.vq.codec import ASSET, load_codec

    if ASSET.is_dir():
        try:
            codec = load_codec()
            rate = f"{codec.config.tokens_per_second:g} tokens a second of {codec.columns.face_model}"
            findings = [Finding("codec", "ok", f"{codec.fingerprint}, {rate}")]
        except (TdmmError, OSError) as error:
            findings = [Finding("codec", "broken", _first_line(error), "pip install --force-reinstall tdmm")]
    else:
        findings = [Finding("codec", "optional", "tdmm tokenize needs one: --codec DIR (docs/tokens.md)")]
    packages = ("accelerate", "vector-quantize-pytorch")
    missing = [name for name in packages if importlib.util.find_spec(name.replace("-", "_")) is None]
    if missing:
        wanted = f"tdmm train vq, which needs {', '.join(missing)}: pip install 'tdmm[train]'"
        return [*findings, Finding("train vq", "optional", wanted)]
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in packages)
    return [*findings, Finding("train vq", "ok", versions)]


def check_language_model() -> list[Finding]:
    """Whether the language model of `tdmm animate` and `tdmm describe` loads, and whose tokens it knows."""
    from tdmm.errors import TdmmError
    from tdmm.lm.model_folder import ASSET, load_language_model

    if not ASSET.is_dir():
        return [Finding("language model", "optional", "tdmm animate and tdmm describe need one: --model DIR")]
    try:
        lm = load_language_model()
        return [Finding("language model", "ok", f"{lm.fingerprint}, of codec {lm.codec}")]
    except (TdmmError, OSError) as error:
        return [Finding("language model", "broken", _first_line(error), "pip install --force-reinstall tdmm")]


def check_cache() -> list[Finding]:
    """Where tdmm keeps what takes long to make from a user's face model, and whether it can."""
    folder = face_models.cache_folder()
    if not face_models.is_writable(folder):
        found = f"{folder} is not writable: users' face models start slowly each time"
        return [Finding("cache", "optional", found, "export TDMM_CACHE=FOLDER")]
    files = [path for path in folder.glob("*") if path.is_file()] if folder.exists() else []
    megabytes = sum(path.stat().st_size for path in files) / 1e6
    return [Finding("cache", "ok", f"{len(files)} files, {megabytes:.1f} MB in {folder}")]


def check_numba_cache() -> list[Finding]:
    """Where numba keeps compiled code, and whether it can: without, every start compiles anew."""
    where = os.environ.get("NUMBA_CACHE_DIR")
    folder = Path(where) if where else Path(__file__).parent.parent / "render" / "__pycache__"
    nearest = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if os.access(nearest, os.W_OK):
        compiled = len(list(folder.glob("*.nbc"))) if folder.exists() else 0
        return [Finding("numba cache", "ok", f"{compiled} compiled functions in {folder}")]
    mend = "export NUMBA_CACHE_DIR=~/.cache/tdmm-numba"
    return [Finding("numba cache", "optional", f"{folder} is not writable: each start compiles anew (slow)", mend)]


def check_optional() -> list[Finding]:
    """Packages that tdmm uses where they are."""
    findings = []
    for name, purpose in _OPTIONAL.items():
        if importlib.util.find_spec(name) is None:
            findings.append(Finding(name, "optional", purpose))
        else:
            findings.append(Finding(name, "ok", metadata.version(name)))
    return findings


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


_CHECKS: tuple[Callable[[], list[Finding]], ...] = (
    check_python,
    check_packages,
    check_gpu,
    check_ffmpeg,
    check_head,
    check_mediapipe,
    check_prior,
    check_codec,
    check_language_model,
    check_cache,
    check_numba_cache,
    check_optional,
)
