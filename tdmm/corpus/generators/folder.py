"""Existing videos with captions: read whatever form they are kept in as the clips of a corpus.

In this order: a manifest.jsonl of tdmm; metadata.jsonl or metadata.csv of a Hugging Face VideoFolder, also in folders
below (one for each split); other .jsonl, .json, .csv and .tsv files whose records name videos; videos with a .txt of
the same name beside each, one caption a line; and, where there are no captions at all, the names of the folders as
labels.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from tdmm.corpus.generators import labels
from tdmm.errors import CorpusError
from tdmm.io.manifest import VIDEO_FIELD, read_manifest

VIDEO_ENDINGS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".gif")
SLOTS = ("emotion", "intensity", "action", "head", "gaze", "speech", "appearance")
# What fields can be chosen for: `--field text=caption`.
PLAIN = ("person", "split", "licence")
TARGETS = ("video", "text", "id", *SLOTS, *PLAIN)
# Columns that are taken without being chosen, by what they are taken for; the first that is there counts.
VIDEO_COLUMNS = ("file_name", "video", "video_path", "path", "file", "filename", "clip")
TEXT_COLUMNS = ("text", "caption", "prompt", "texts", "captions", "description", "sentence")
# What of a line of tdmm's own manifest has a place of its own in a clip.
_TOLD = ("id", "video", "file_name", "text", "slots")
_TABLES = (".jsonl", ".json", ".csv", ".tsv")


@dataclass(frozen=True)
class ForeignClip:
    """A video that is there, and what was said of it.

    id: unique in the folder, and a relative path (without an ending): M003/video/front/angry/level_2/012. video: where
    it lies. text: never empty. slots: what of the prompt is known (`SLOTS`). other: further fields as they were, such
    as `texts` (more captions), `person`, `split`, and all fields of a tdmm manifest.
    """

    id: str
    video: Path
    text: str
    slots: Mapping[str, str] = field(default_factory=dict)
    other: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Foreign:
    """What a folder holds.

    source: the files that said it, or how it was found. missing: videos that are named there and do not lie here.
    untold: ids of videos without a caption.
    """

    clips: list[ForeignClip]
    source: str
    missing: list[str]
    untold: list[str]


def parse_fields(chosen: Sequence[str]) -> dict[str, str]:
    """{"text": "caption"} of ["text=caption"]. Raises `CorpusError` for what is none of `TARGETS`."""
    fields: dict[str, str] = {}
    for item in chosen:
        target, sign, column = item.partition("=")
        if not sign or not column:
            raise CorpusError(f"field {item!r}: expected OURS=THEIRS, such as text=caption")
        _check_target(target)
        if target in fields:
            raise CorpusError(f"field {target}: is chosen twice, {fields[target]!r} and {column!r}")
        fields[target] = column
    return fields


def read_foreign(folder: str | Path, *, fields: Mapping[str, str] | None = None) -> Foreign:
    """The clips of a folder of videos, in the order of their list or else of their names.

    fields: where to find what, by our names (`TARGETS`): {"text": "caption", "video": "path", "emotion": "label"};
    what is not chosen is looked for under usual names. Values of emotion and intensity are translated where they are
    known (`labels`). Paths of videos count from the file that has them, from the folder, or from videos/ in it; the
    ending may be left out. Several records of one video are several ways of saying the same.
    Raises `CorpusError` where there are no videos, no captions, or no such field.
    """
    folder, chosen = Path(os.path.normpath(folder)), dict(fields or {})
    for target in chosen:
        _check_target(target)
    if not folder.is_dir():
        raise CorpusError(f"{folder}: " + ("is no folder" if folder.exists() else "there is no such folder"))
    for name in VIDEO_FIELD:
        if not chosen and (manifest := folder / name).is_file() and _is_ours(manifest):
            return _from_manifest(folder, manifest)
    tables = _tables(folder)
    for group in tables:
        lists = [(path, records) for path in group if _names_videos(records := _records(path), chosen)]
        if lists:
            return _from_tables(folder, lists, chosen)
    if chosen:
        raise _no_field(folder, tables[-1], chosen)
    videos, beside = _walk(folder)
    if not videos:
        raise CorpusError(f"{folder}: has no videos ({', '.join(VIDEO_ENDINGS)}) and no list of videos")
    if beside:
        return _from_texts(folder, videos, beside)
    return _from_folders(folder, videos)


def _check_target(target: str) -> None:
    if target not in TARGETS:
        raise CorpusError(f"field {target!r}: unknown; known: {', '.join(TARGETS)}")


# -- what lies in the folder -----------------------------------------------------------------------------


def _walk(folder: Path) -> tuple[list[Path], dict[Path, Path]]:
    """All videos, sorted, and the .txt of the same name of those that have one. Hidden files and folders are left."""
    videos, beside = [], {}
    for at, below, names in os.walk(folder, followlinks=True):
        below[:] = sorted(name for name in below if not name.startswith("."))
        there = set(names)
        for name in names:
            if name.startswith(".") or PurePath(name).suffix.lower() not in VIDEO_ENDINGS:
                continue
            path = Path(at) / name
            videos.append(path)
            if (text := PurePath(name).stem + ".txt") in there:
                beside[path] = Path(at) / text
    return sorted(videos), beside


def _tables(folder: Path) -> list[list[Path]]:
    """What may be lists of videos, the likeliest first: metadata.* here, metadata.* one below, every file here."""
    here = sorted(path for path in folder.iterdir() if path.suffix.lower() in _TABLES and path.is_file())
    below = sorted(path for ending in _TABLES for path in folder.glob(f"*/metadata{ending}") if path.is_file())
    return [[path for path in here if path.stem == "metadata"], below, here]


def _is_ours(manifest: Path) -> bool:
    """Whether tdmm wrote it; metadata.jsonl is also what others name their lists."""
    if manifest.name == "manifest.jsonl":
        return True
    records = _records(manifest)
    return bool(records) and any(name in records[0] for name in ("slots", "generator", "program"))


def _records(path: Path) -> list[Mapping[str, Any]]:
    """The records of a .jsonl, .json, .csv or .tsv; none for a .json that is no list of anything. `CorpusError`."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"{path}: cannot be read: {error}") from error
    ending = path.suffix.lower()
    if ending in (".csv", ".tsv"):
        return _rows(path, text, "\t" if ending == ".tsv" else None)
    if ending == ".json":
        try:
            return _objects(json.loads(text))
        except (ValueError, RecursionError) as error:
            raise CorpusError(f"{path}: is no JSON: {error}") from error
    records: list[Mapping[str, Any]] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise CorpusError(f"{path}, line {number}: expected a JSON object ({error})") from error
            if not isinstance(record, dict):
                raise CorpusError(f"{path}, line {number}: expected a JSON object, found {type(record).__name__}")
            records.append(record)
    return records


def _rows(path: Path, text: str, delimiter: str | None) -> list[Mapping[str, Any]]:
    header = text.partition("\n")[0]
    if delimiter is None:  # spreadsheets write semicolons where the comma is the decimal sign
        delimiter = ";" if ";" in header and "," not in header else ","
    try:
        rows = list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise CorpusError(f"{path}: is no CSV: {error}") from error
    # Cells beyond the header have the key None, cells that are not there the value None.
    return [{key: value for key, value in row.items() if key is not None and value is not None} for row in rows]


def _objects(data: Any) -> list[Mapping[str, Any]]:
    """Of [{...}], {"annotations": [{...}]}, {"a.mp4": {...}} and {"a.mp4": "caption"}."""
    if isinstance(data, list):
        return [item for item in data if isinstance(item, dict)]
    if not isinstance(data, dict):
        return []
    lists = [value for value in data.values() if isinstance(value, list) and value and isinstance(value[0], dict)]
    if lists:
        return [item for item in max(lists, key=len) if isinstance(item, dict)]
    if data and all(isinstance(value, dict) for value in data.values()):
        return [{"file_name": key, **value} for key, value in data.items()]
    if data and all(isinstance(value, str) and _is_video(key) for key, value in data.items()):
        return [{"file_name": key, "text": value} for key, value in data.items()]
    return []


def _is_video(name: str) -> bool:
    return PurePath(name).suffix.lower() in VIDEO_ENDINGS


# -- lists -----------------------------------------------------------------------------------------------


def _columns(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """All fields of the records, in the order of their first use."""
    return list(dict.fromkeys(key for record in records for key in record))


def _names_videos(records: Sequence[Mapping[str, Any]], chosen: Mapping[str, str]) -> bool:
    """Whether it is a list of videos: by the field that was chosen, or a usual one with the name of a video in it."""
    if "video" in chosen:
        return chosen["video"] in _columns(records)
    return _video_column(records) is not None


def _video_column(records: Sequence[Mapping[str, Any]]) -> str | None:
    columns = _columns(records)
    values = {name: [str(r[name]) for r in records if r.get(name)] for name in VIDEO_COLUMNS if name in columns}
    # `path` may be that of something else; a name without an ending counts if nothing better is there.
    return next((name for name, said in values.items() if any(map(_is_video, said))), next(iter(values), None))


def _no_field(folder: Path, tables: Sequence[Path], chosen: Mapping[str, str]) -> CorpusError:
    if not tables:
        return CorpusError(f"{folder}: has no .jsonl, .json, .csv or .tsv file whose fields could be chosen")
    columns = {name: None for path in tables for name in _columns(_records(path))}
    wanted = chosen.get("video")
    what = f"no field {wanted!r} with the videos" if wanted else "no field that names videos; choose one: video=..."
    return CorpusError(f"{folder}: {', '.join(path.name for path in tables)}: {what}; known: {', '.join(columns)}")


def _from_tables(
    folder: Path, tables: Sequence[tuple[Path, Sequence[Mapping[str, Any]]]], chosen: Mapping[str, str]
) -> Foreign:
    gathered = _Gathered(folder)
    named = 0
    for path, records in tables:
        columns = _columns(records)
        if unknown := [column for column in chosen.values() if column not in columns]:
            raise CorpusError(f"{path}: has no field {unknown[0]!r}; known: {', '.join(columns)}")
        at = _Columns(records, chosen, columns)
        for record in records:
            name = str(record.get(at.video) or "").strip()
            if not name:
                continue
            named += 1
            video = _find(name, (path.parent, folder, folder / "videos"))
            if video is None:
                gathered.missing.append(name)
                continue
            slots, other = at.slots(record), at.other(record)
            texts = _captions(record.get(at.text)) if at.text else []
            gathered.add(video, texts or [labels.text_of(slots)], slots, other, at.id(record, path))
    source = ", ".join(str(path.relative_to(folder)) for path, _ in tables)
    if not named:
        raise CorpusError(f"{folder}: {source}: names no videos")
    if not gathered and len(gathered.missing) == named:
        raise CorpusError(f"{folder}: {source}: none of its {named} videos is there, such as {gathered.missing[0]}")
    return gathered.result(source, "choose the field with the captions: text=...")


class _Columns:
    """Where in the records of one list what is."""

    def __init__(self, records: Sequence[Mapping[str, Any]], chosen: Mapping[str, str], columns: list[str]) -> None:
        self.video = chosen.get("video") or _video_column(records) or ""
        usual = (name for name in TEXT_COLUMNS if name in columns and name != self.video)
        self.text = chosen.get("text") or next(usual, None)
        self._id = chosen.get("id") or ("id" if "id" in columns else None)
        # A column of our own name counts without being chosen.
        self._slots = {slot: chosen.get(slot, slot) for slot in SLOTS if chosen.get(slot, slot) in columns}
        self._plain = {name: chosen.get(name, name) for name in PLAIN if chosen.get(name, name) in columns}

    def id(self, record: Mapping[str, Any], path: Path) -> str | None:
        """The record's own id. Raises `CorpusError` where it cannot be the name of a file."""
        value = record.get(self._id) if self._id else None
        if value is None or value == "":
            return None
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            raise CorpusError(f"{path}: expected ids that are text or numbers, found {value!r}")
        pure = PurePosixPath(str(value))
        if pure.is_absolute() or ".." in pure.parts or str(pure) != str(value):
            raise CorpusError(f"{path}: id: expected a name or a path within a folder, found {value!r}")
        return str(value)

    def slots(self, record: Mapping[str, Any]) -> dict[str, str]:
        translate: dict[str, Callable[[str], str]] = {"emotion": labels.emotion, "intensity": labels.intensity}
        given = {
            slot: str(record[theirs]) for slot, theirs in self._slots.items() if record.get(theirs) not in (None, "")
        }
        return {slot: translate.get(slot, str.strip)(value) for slot, value in given.items()}

    def other(self, record: Mapping[str, Any]) -> dict[str, Any]:
        return {ours: record[theirs] for ours, theirs in self._plain.items() if record.get(theirs) not in (None, "")}


def _captions(value: Any) -> list[str]:
    """The captions in a field: a text, a list of texts, or named ones. Runs of white space become one space."""
    items = value if isinstance(value, list) else list(value.values()) if isinstance(value, dict) else [value]
    return [words for item in items if isinstance(item, str) and (words := " ".join(item.split()))]


def _find(name: str, places: Sequence[Path]) -> Path | None:
    """The video of a name that counts from one of the places, perhaps without its ending."""
    for place in dict.fromkeys(places):
        path = place / name
        try:
            if path.is_file():
                return Path(os.path.normpath(path))
            for ending in VIDEO_ENDINGS:
                if (longer := path.with_name(path.name + ending)).is_file():
                    return Path(os.path.normpath(longer))
        except (OSError, ValueError):  # a name that no file can have
            continue
    return None


# -- a manifest, texts beside the videos, folders ----------------------------------------------------------


def _from_manifest(folder: Path, manifest: Path) -> Foreign:
    gathered = _Gathered(folder)
    for clip in read_manifest(manifest):
        if clip.video is None:  # a motion alone
            continue
        if not (video := folder / clip.video).is_file():
            gathered.missing.append(clip.video)
            continue
        own = clip.line.get("slots")
        slots = {slot: str(value) for slot, value in own.items()} if isinstance(own, dict) else {}
        other = {key: value for key, value in clip.line.items() if key not in _TOLD}
        more = other.pop("texts", None)
        gathered.add(video, [*_captions(clip.line.get("text")), *_captions(more)], slots, other, clip.id)
    if not gathered:
        if gathered.missing:
            lacks = f"none of its {len(gathered.missing)} videos is there, such as {gathered.missing[0]}"
            raise CorpusError(f"{manifest}: {lacks}")
        raise CorpusError(f"{manifest}: names no videos")
    return gathered.result(manifest.name, "its lines have no text")


def _from_texts(folder: Path, videos: Sequence[Path], beside: Mapping[Path, Path]) -> Foreign:
    gathered = _Gathered(folder)
    for video in videos:
        texts = []
        if video in beside:
            try:
                lines = beside[video].read_bytes().decode("utf-8-sig").splitlines()
            except (OSError, UnicodeDecodeError) as error:
                raise CorpusError(f"{beside[video]}: cannot be read: {error}") from error
            texts = [words for line in lines if (words := " ".join(line.split()))]
        gathered.add(video, texts, {}, {}, None)
    return gathered.result("a .txt beside each video", "the .txt files beside the videos are empty")


def _from_folders(folder: Path, videos: Sequence[Path]) -> Foreign:
    gathered = _Gathered(folder)
    for video in videos:
        text, slots, other = labels.from_folders(video.relative_to(folder).parts[:-1])
        gathered.add(video, [text], slots, other, None)
    return gathered.result(
        "the names of the folders",
        "expected a list (metadata.jsonl, .csv), a .txt beside each video, or folders named by what is seen",
    )


# -- the clips -------------------------------------------------------------------------------------------


class _Gathered:
    """Clips by their videos, each with an id of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._clips: dict[Path, tuple[str, list[str], dict[str, str], dict[str, Any]]] = {}
        self._ids: set[str] = set()
        self.missing: list[str] = []

    def __len__(self) -> int:
        return len(self._clips)

    def add(
        self, video: Path, texts: Sequence[str], slots: dict[str, str], other: dict[str, Any], name: str | None
    ) -> None:
        """Another record of a video that is there already adds its captions to the first."""
        captions = [text for text in texts if text]
        if video in self._clips:
            _, before, known, fields = self._clips[video]
            before += [text for text in captions if text not in before]
            known.update({key: value for key, value in slots.items() if key not in known})
            fields.update({key: value for key, value in other.items() if key not in fields})
            return
        # An id that is taken (a.mp4 and a.mov) gets the ending, then a number.
        for candidate in self._candidates(video, name):
            if candidate not in self._ids:
                break
        self._ids.add(candidate)
        self._clips[video] = (candidate, list(dict.fromkeys(captions)), slots, other)

    def _candidates(self, video: Path, name: str | None) -> Iterator[str]:
        if name is None:
            inside = video.is_relative_to(self._folder)
            name = video.relative_to(self._folder).with_suffix("").as_posix() if inside else video.stem
        yield name
        yield name + video.suffix
        number = 2
        while True:
            yield f"{name}_{number}"
            number += 1

    def result(self, source: str, advice: str) -> Foreign:
        """Raises `CorpusError`, with the advice, where no video has a caption."""
        clips, untold = [], []
        for video, (name, texts, slots, other) in self._clips.items():
            if not texts:
                untold.append(name)
                continue
            more = {"texts": texts[1:]} if texts[1:] else {}
            clips.append(ForeignClip(name, video, texts[0], slots, {**other, **more}))
        if not clips:
            raise CorpusError(f"{self._folder}: {len(untold)} videos and no captions: {advice}")
        return Foreign(clips, source, self.missing, untold)
