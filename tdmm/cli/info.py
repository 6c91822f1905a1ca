"""`tdmm info`: what is in a file."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from tdmm.cli import face_models, info_tokens, paths
from tdmm.cli.codecs import CodecOption
from tdmm.cli.console import Console
from tdmm.cli.options import DebugOption, FaceModelOption, ForceOption, JsonOption, QuietOption
from tdmm.cli.tokenize_inputs import read_frames
from tdmm.cli.usage import UsageError
from tdmm.errors import MotionError, TdmmError
from tdmm.io.manifest import Clip, find_manifest
from tdmm.io.shard_names import SUFFIX, names_a_part

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from tdmm.motion import FaceMotion

# Left out of the table where they do not apply.
_RARE = ("expression_confidence", "face", "part", "wrong_lines", "first_wrong")
_ZIP = b"PK\x03\x04"


def command(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE",
            help="Motions, tokens, videos, pictures, corpora, codecs, face models (or the word builtin); - is standard "
            "input.",
        ),
    ],
    report: Annotated[
        str | None,
        typer.Option("--report", metavar="OUT.html", help="Of a corpus: a page with plots, tables and example frames."),
    ] = None,
    codec: CodecOption = None,
    face_model: FaceModelOption = "builtin",
    force: ForceOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Say what is in a file.

    Reads motions (also one of a shard: SHARD.safetensors#17), files of tokens, videos, pictures, corpora, codecs and
    face models.
    With --json one object a file and line. Exit code 1 when a file cannot be read; the others are still told.

    \b
    Examples:
      tdmm info motion.npz
      tdmm info clip.mp4
      tdmm info builtin
      tdmm info corpus
      tdmm info corpus/tokens.jsonl
      tdmm info corpus --report report.html
      tdmm info motions/*.npz --json | jq -r 'select(.valid < .frames) | .file'
      tdmm fit clip.mp4 | tdmm info -
    """
    console = Console(quiet=quiet)
    sources = paths.expand(files)
    if report is not None:
        _write_report(sources, report, console, force=force, as_json=as_json)
        return
    failures = 0
    for number, source in enumerate(sources):
        try:
            facts = _facts(source, face_model, codec)
        except TdmmError as error:
            if len(sources) == 1:
                raise
            failures += 1
            console.error(str(error))
            if as_json:
                sys.stdout.write(json.dumps({"file": source, "error": str(error)}) + "\n")
            continue
        if as_json:
            sys.stdout.write(json.dumps(facts) + "\n")
        else:
            sys.stdout.write("\n" * (number > 0) + _table(facts))
    if failures:
        console.error(f"{failures} of {len(sources)} files cannot be read")
        raise typer.Exit(1)


def _facts(source: str, face_model: str, codec: str | None) -> dict[str, Any]:
    if source == "builtin":
        return _face_model_facts(source)
    if source == paths.STANDARD:
        data = paths.stdin_bytes().read()
        if data.startswith(_ZIP):
            return _motion_facts(source, io.BytesIO(data), face_model)
        if _are_lines(data[:64]):
            return _lines_facts("standard input", io.BytesIO(data), face_model, codec)
        return _video_facts(source, io.BytesIO(data))
    if names_a_part(source):
        return _motion_facts(source, source, face_model)
    path = Path(source)
    if not path.exists():
        raise TdmmError(f"{source}: no such file")
    if path.is_dir() and find_manifest(path) is not None:
        return _corpus_facts(path)
    if path.is_dir() and info_tokens.is_codec(path):
        return info_tokens.codec_facts(path)
    if path.suffix == SUFFIX:
        return _shard_facts(path)
    if path.is_dir() or path.suffix.lower() == ".pkl":
        return _face_model_facts(source)
    if _starts_with(path, _ZIP):
        return _motion_or_face_model_facts(path, face_model)
    if _are_lines(_first_bytes(path, 64)):
        with path.open("rb") as file:
            return _lines_facts(source, file, face_model, codec)
    return _video_facts(source, path)


def _are_lines(first: bytes) -> bool:
    from tdmm.io.motion_stream import looks_like_stream

    return looks_like_stream(first)


def _lines_facts(name: str, lines: BinaryIO, face_model: str, codec: str | None) -> dict[str, Any]:
    """Of lines of JSON: tokens, or a motion as a stream of frames."""
    from tdmm.io.motion_stream import SCHEMA as FRAMES

    first = lines.readline()
    lines.seek(0)
    if f'"{FRAMES}"'.encode() in first:
        return _motion_facts(name, read_frames(lines, name), face_model)
    return info_tokens.tokens_facts(name, lines, codec)


def _write_report(sources: list[str], target: str, console: Console, *, force: bool, as_json: bool) -> None:
    """--report: the page, and the same facts as without it."""
    manifest = find_manifest(sources[0]) if len(sources) == 1 else None
    if manifest is None:
        raise UsageError("--report is about one corpus: a folder with manifest.jsonl or metadata.jsonl")
    if Path(target).suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--report {target}: expected a name that ends in .html")
    paths.check_place(target, force=force)
    from tdmm.corpus.report import write_report

    summary = write_report(manifest, Path(target), picture_of=_picture_of(manifest.parent))
    console.say(f"{target}: {summary.clips} clips")
    if as_json:
        sys.stdout.write(
            json.dumps({"file": sources[0], "kind": "corpus", "report": target, **summary.as_dict()}) + "\n"
        )


def _picture_of(folder: Path) -> Callable[[Clip], np.ndarray | None]:
    """The middle frame of a clip without a video, rendered."""

    def picture(clip: Clip) -> np.ndarray | None:
        from contextlib import closing

        from tdmm.io.motion_file import read_motion
        from tdmm.render import RenderOptions, render

        if clip.motion is None:
            return None
        motion = read_motion(str(folder / clip.motion))
        middle = len(motion) // 2
        with closing(
            render(motion[middle : middle + 1], options=RenderOptions(size=(160, 160), caption=False))
        ) as shown:
            return next(shown)

    return picture


def _corpus_facts(folder: Path) -> dict[str, Any]:
    from tdmm.corpus.report import summarise
    from tdmm.corpus.report.cautions import cautions
    from tdmm.io.manifest import read_manifest

    manifest = find_manifest(folder)
    assert manifest is not None
    clips = read_manifest(manifest)
    if not clips:
        raise TdmmError(f"{manifest}: lists no clips")
    summary = summarise([clip.line for clip in clips])
    durations = summary.durations
    told = {
        "file": str(folder),
        "kind": "corpus",
        "clips": summary.clips,
        "hours": summary.hours,
        "with_video": summary.with_video,
        "with_motion": summary.with_motion,
        "splits": summary.splits,
        "generators": summary.generators,
        "licences": summary.licences,
        "mean_seconds": None if durations is None else round(durations.mean, 2),
        "slots": {slot: len(values) for slot, values in summary.slots.items()},
        "evenness": summary.evenness,
        "distinct_texts": round(summary.texts.distinct_share, 4),
        "distinct_words": summary.texts.words,
        "warnings": cautions(summary),
    }
    return told


def _shard_facts(path: Path) -> dict[str, Any]:
    from tdmm.io.motion_shards import read_shard

    motions = read_shard(path)
    return {
        "file": str(path),
        "kind": "shard of motions",
        "motions": len(motions),
        "frames": sum(map(len, motions)),
        "fps": motions[0].fps,
        "duration": sum(motion.duration for motion in motions),
        "face_model": motions[0].face_model,
        "expressions": len(motions[0].expression_names),
        "first": f"{path}#0",
    }


def _starts_with(path: Path, magic: bytes) -> bool:
    return _first_bytes(path, len(magic)) == magic


def _first_bytes(path: Path, count: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(count)
    except OSError as error:
        raise TdmmError(f"{path}: {error.strerror or error}") from error


def _motion_or_face_model_facts(path: Path, face_model: str) -> dict[str, Any]:
    """FLAME comes as .npz too: its keys tell the two apart."""
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            keys = {name.removesuffix(".npy") for name in archive.namelist()}
    except (zipfile.BadZipFile, OSError) as error:
        raise MotionError(f"{path}: a broken npz file ({error}); copy it again") from error
    if "v_template" in keys and "schema" not in keys:
        return _face_model_facts(str(path))
    return _motion_facts(str(path), path, face_model)


def _motion_facts(name: str, source: Any, face_model: str) -> dict[str, Any]:
    import numpy as np

    from tdmm.io.motion_file import read_motion
    from tdmm.motion import FaceMotion

    motion = source if isinstance(source, FaceMotion) else read_motion(source)
    degrees = np.degrees(np.abs(motion.rotation)).max(axis=0)
    strongest = np.argsort(-motion.expression.max(axis=0))[:5]
    known = motion.expression_confidence
    report = motion.meta.get("fit")
    fitted: dict[str, Any] = report if isinstance(report, dict) else {}
    return {
        "file": name,
        "kind": "motion",
        "frames": len(motion),
        "valid": int(motion.valid.sum()),
        "fps": motion.fps,
        "duration": motion.duration,
        "face_model": motion.face_model,
        "face_model_sha256": motion.face_model_sha256,
        "face_model_matches": _matches(motion, face_model),
        "expressions": len(motion.expression_names),
        "strongest": {
            motion.expression_names[i]: round(float(motion.expression[:, i].max()), 3)
            for i in strongest
            if motion.expression[:, i].max() > 0
        },
        "expression_confidence": None if known is None else _confidences(motion, known),
        "face": _number_of(fitted.get("faces")),
        "part": _number_of(fitted.get("part")),
        "identity_components": len(motion.shape),
        "largest_rotation_degrees": [round(float(value), 1) for value in degrees],
        "image_size": list(motion.image_size),
        "focal_length_pixels": round(float(motion.camera[0, 0]), 1),
        "text": motion.text,
        "meta": motion.meta,
    }


def _confidences(motion: FaceMotion, known: np.ndarray) -> dict[str, float]:
    """How well expressions were seen, on average over valid frames: all, and the five that were seen worst."""
    seen = known[motion.valid] if motion.valid.any() else known
    mean = seen.mean(axis=0)
    worst = {motion.expression_names[i]: round(float(mean[i]), 3) for i in mean.argsort()[:5]}
    return {"mean": round(float(mean.mean()), 3), **worst}


def _number_of(counted: Any) -> str | None:
    """`2 of 3`, of several faces of a video or parts of a motion."""
    return f"{counted['number']} of {counted['of']}" if isinstance(counted, dict) else None


def _matches(motion: FaceMotion, face_model: str) -> bool:
    return face_models.load(face_model, Console()).sha256 == motion.face_model_sha256


def _video_facts(name: str, source: Any) -> dict[str, Any]:
    from tdmm.io.video import open_video

    with open_video(source) as video:
        info = video.info
    return {
        "file": name,
        "kind": "picture" if info.n_frames in (None, 1) and not info.duration else "video",
        "width": info.width,
        "height": info.height,
        "fps": info.fps,
        "frames_about": info.n_frames,
        "duration": info.duration,
        "rotation_degrees": info.rotation,
    }


def _face_model_facts(name: str) -> dict[str, Any]:
    model = face_models.load(name, Console())
    joints = [joint for joint in ("neck", "jaw", "eyes") if getattr(model.joints, joint)]
    return {
        "file": name,
        "kind": "face model",
        "name": model.name,
        "sha256": model.sha256,
        "vertices": model.n_vertices,
        "triangles": len(model.faces),
        "identity_components": model.n_shape,
        "expressions": len(model.expression_names),
        "expression_names": list(model.expression_names),
        "joints": joints,
        "parts": list(model.appearance.part_names),
        "landmarks": None if model.landmark_embedding is None else len(model.landmark_embedding.face),
    }


def _table(facts: dict[str, Any]) -> str:
    """Two columns that `grep` and eyes can read."""
    told = {name: value for name, value in facts.items() if name != "meta" and (name not in _RARE or value is not None)}
    rows = [(name.replace("_", " "), _text(value)) for name, value in told.items()]
    rows += [(f"meta.{name}", _text(value)) for name, value in facts.get("meta", {}).items()]
    width = max(len(name) for name, _ in rows)
    return "".join(f"{name:<{width}}  {value}".rstrip() + "\n" for name, value in rows)


def _text(value: Any) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:.1f}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(item)}" for name, item in value.items())
    if isinstance(value, list):
        return ", ".join(_text(item) for item in value)
    return str(value)
