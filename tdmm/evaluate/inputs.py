"""What is compared with what: references and predictions, matched by their ids.

References: a corpus, a folder of motions (the id is the path in it without .npz), or JSON lines with `id`.
Predictions of motions: a folder with ID.npz, or a corpus; further samples of one prompt lie in a folder ID/ beside it.
Predictions of texts: JSON lines {"id", "text"}, with "answers": [...] to the questions of the clip, in their order,
where questions are asked.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from tdmm.errors import EvaluationError, MotionError
from tdmm.io.manifest import VIDEO_FIELD, find_manifest, read_manifest
from tdmm.io.motion_file import read_motion
from tdmm.motion import FaceMotion

# What references say that scores depend on.
_COMPARED = ("text", "texts", "captions", "questions", "events", "duration")


@dataclass(frozen=True)
class Reference:
    """One clip to compare with. motion: where it lies, if it has one; line: what is known of it."""

    id: str
    motion: str | None
    line: Mapping[str, Any]

    @property
    def text(self) -> str:
        """The primary prompt, empty if there is none."""
        return str(self.line.get("text") or "")


@dataclass(frozen=True)
class Failed:
    """A prediction that is not there, or cannot be used, and why."""

    id: str
    reason: str


def read_references(path: str | Path, splits: Sequence[str] | None = None) -> dict[str, Reference]:
    """The references by their ids, in their order. splits: those alone, where lines say theirs.

    Raises `EvaluationError` for what is none of the kinds above, and where nothing is left.
    """
    path = Path(path)
    if path.is_file() and path.name in VIDEO_FIELD:  # the manifest itself was named
        path = path.parent
    manifest = find_manifest(path) if path.is_dir() else None
    if manifest is not None:
        found = {
            clip.id: Reference(clip.id, None if clip.motion is None else str(path / clip.motion), clip.line)
            for clip in read_manifest(manifest)
        }
    elif path.is_dir():
        found = {name: Reference(name, str(file), {}) for name, file in _motions_below(path).items()}
    elif path.is_file():
        found = {
            name: Reference(name, None, line) for name, line in _json_lines(read_lines(path.read_bytes(), path), path)
        }
    else:
        raise EvaluationError(f"{path}: there is no such corpus, folder of motions or file of JSON lines")
    if splits is not None and found:
        there = sorted({str(one.line["split"]) for one in found.values() if one.line.get("split")})
        if unknown := [name for name in splits if name not in there]:
            raise EvaluationError(
                f"{path}: has no references of the split {unknown[0]}; "
                + (f"there are {', '.join(there)}" if there else "none says its split")
            )
        found = {name: one for name, one in found.items() if one.line.get("split") in splits}
    if not found:
        raise EvaluationError(f"{path}: has no references, neither motions (.npz) nor lines")
    return found


def motion_predictions(path: str | Path, ids: Container[str] = ()) -> dict[str, list[str]]:
    """Where the predicted motions of each id lie: the prediction, then further samples. Raises `EvaluationError`.

    ids: of the references; what is called so is a prediction of its own, and no sample of another one.
    """
    path = Path(path)
    manifest = find_manifest(path) if path.is_dir() else None
    if manifest is not None:
        return {clip.id: [str(path / clip.motion)] for clip in read_manifest(manifest) if clip.motion is not None}
    if not path.is_dir():
        raise EvaluationError(f"{path}: expected a folder of motions or a corpus")
    found: dict[str, list[str]] = {}
    for name, file in sorted(_motions_below(path).items(), key=lambda item: (item[0].count("/"), item[0])):
        parent = name.rpartition("/")[0]
        # ID/3.npz is a sample of ID, if there is a prediction ID.npz.
        found.setdefault(parent if parent in found and name not in ids else name, []).append(str(file))
    if not found:
        raise EvaluationError(f"{path}: holds no motions (.npz)")
    return found


def text_predictions(lines: Iterable[str], name: str | Path) -> dict[str, Mapping[str, Any]]:
    """The predicted texts (and answers) by their ids. Raises `EvaluationError` that names the line."""
    found = {}
    for one, fields in _json_lines(lines, name):
        if not isinstance(fields.get("text", ""), str):
            raise EvaluationError(f"{name}: {one}: expected the field text with text, found {fields['text']!r}")
        if not isinstance(fields.get("answers", []), list):
            raise EvaluationError(f"{name}: {one}: expected the field answers with a list, found {fields['answers']!r}")
        found[one] = fields
    if not found:
        raise EvaluationError(f"{name}: holds no predictions; expected JSON lines with id and text")
    return found


def load_motions(wanted: Mapping[str, str | None], what: str) -> tuple[dict[str, FaceMotion], list[Failed]]:
    """The motions that can be read, and those that cannot. wanted: id to file; None: not there."""
    motions, failures = {}, []
    for name, file in wanted.items():
        if file is None:
            failures.append(Failed(name, f"there is no {what}"))
            continue
        try:
            motions[name] = read_motion(file)
        except MotionError as error:
            failures.append(Failed(name, str(error)))
    return motions, failures


def fingerprint(references: Mapping[str, Reference]) -> str:
    """Of ids and of what is said of them: what was compared with, whatever the order and wherever it lies."""
    digest = sha256()
    for name in sorted(references):
        known = [references[name].line.get(field) for field in _COMPARED]
        digest.update(json.dumps([name, *known], sort_keys=True).encode() + b"\n")
    return digest.hexdigest()[:12]


def by_id(references: Mapping[str, Reference]) -> dict[str, Reference]:
    """In the order of their ids, so that the order of lines and files changes no draw and no rounding."""
    return {name: references[name] for name in sorted(references)}


def in_order(failures: Iterable[Failed]) -> list[Failed]:
    """By id, each id once: with the first reason that was found."""
    first: dict[str, Failed] = {}
    for one in failures:
        first.setdefault(one.id, one)
    return [first[name] for name in sorted(first)]


def strangers(references: Mapping[str, Reference], predictions: Iterable[str]) -> dict[str, list[str]]:
    """{"without_reference": ids}: predictions that are compared with nothing, for the details of a report."""
    return {"without_reference": sorted(name for name in predictions if name not in references)}


def read_lines(data: bytes, name: str | Path) -> list[str]:
    """The lines of a text file. Raises `EvaluationError` for bytes that are none."""
    try:
        # Not splitlines(): JSON may hold characters that it takes for ends of lines.
        return data.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError:
        raise EvaluationError(f"{name}: expected JSON lines, found bytes that are no text") from None


def _motions_below(folder: Path) -> dict[str, Path]:
    files = sorted(
        file
        for file in folder.rglob("*.npz")
        if not any(part.startswith(".") for part in file.relative_to(folder).parts)
    )
    return {file.relative_to(folder).with_suffix("").as_posix(): file for file in files}


def _json_lines(lines: Iterable[str], name: str | Path) -> list[tuple[str, Mapping[str, Any]]]:
    found: dict[str, Mapping[str, Any]] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise EvaluationError(
                f"{name}, line {number}: expected a JSON object, found {line[:40]!r} ({error})"
            ) from error
        if not isinstance(fields, dict) or not isinstance(fields.get("id"), str) or not fields["id"]:
            raise EvaluationError(
                f"{name}, line {number}: expected a JSON object with the field id, found {line[:40]!r}"
            )
        if fields["id"] in found:
            raise EvaluationError(f"{name}, line {number}: the id {fields['id']!r} is there twice")
        found[fields["id"]] = fields
    return list(found.items())
