"""A corpus as WebDataset shards: tar files in which the files of a clip stand together under one name.

ID.mp4 (the video), ID.npz (the motion), ID.json (its line in the manifest) and ID.txt (its text), as
https://github.com/webdataset/webdataset reads them; `unpack` makes the folder again.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from tdmm.corpus.build import MANIFEST, MOTIONS, VIDEO_FOLDER_MANIFEST, VIDEOS, list_failures
from tdmm.corpus.generators.folder import TEXT_COLUMNS, VIDEO_ENDINGS
from tdmm.corpus.importing import Imported, open_corpus, split_called
from tdmm.errors import CorpusError, OutputError, TdmmError
from tdmm.io.manifest import VIDEO_FIELD, Clip, append_to_manifest, read_manifest
from tdmm.io.motion_file import motion_bytes, read_motion
from tdmm.io.shard_names import shard_of
from tdmm.io.video import open_video
from tdmm.io.whole import whole_file

SHARDS = "shards"
CLIPS_PER_SHARD = 500
_NAME = re.compile(r"((?:.*/)?[^./]+)\.([^/]+)", re.DOTALL)


def pack(manifest: Path, folder: Path) -> list[Path]:
    """Write the shards of a corpus into `folder`: 00000.tar, 00001.tar, ...; those that hold the same are kept.

    Raises `CorpusError` for a corpus that cannot be read, `OutputError` where a shard cannot be written.
    """
    clips = read_manifest(manifest)
    if not clips:
        raise CorpusError(f"{manifest}: lists no clips")
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for number, start in enumerate(range(0, len(clips), CLIPS_PER_SHARD)):
        part = clips[start : start + CLIPS_PER_SHARD]
        path = folder / f"{number:05d}.tar"
        if not (path.exists() and _is_current(path, part, manifest.parent)):
            with whole_file(path) as beside, tarfile.open(beside, "w", format=tarfile.PAX_FORMAT) as archive:
                for clip in part:
                    _add(archive, clip, manifest.parent)
        written.append(path)
    return written


def shards_in(folder: Path) -> list[Path]:
    """The tar files of a folder, or of shards/ in it, sorted."""
    return sorted(folder.glob("*.tar")) or sorted((folder / SHARDS).glob("*.tar"))


def unpack(
    shards: Sequence[Path],
    folder: Path,
    *,
    video_folder: bool = False,
    on_failure: Callable[[str, str], None] | None = None,
) -> Imported:
    """Write the clips of shards, ours or others', into a corpus folder; those that it has already are passed over.

    Of other people's shards the video, the text (.txt, or a field of .json) and the fields of .json are taken. A clip
    that has no video or motion that can be read is told and listed (also in failed.jsonl), and the others go on.
    Raises `CorpusError` for what is no shard, for names that lead out of the folder, or where the folder holds a corpus
    in another layout.
    """
    manifest = folder / (VIDEO_FOLDER_MANIFEST if video_folder else MANIFEST)
    known = set(open_corpus(manifest))
    found = Imported()
    for path in shards:
        for name, files in _samples(path):
            if name in known:
                found.there_before += 1
                continue
            try:
                line = _line(name, files, path)
                for field, place, data in _contents(name, files):
                    target = folder / place
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with whole_file(target) as beside:
                        beside.write_bytes(data)
                    line[VIDEO_FIELD[manifest.name] if field == "video" else field] = place
                append_to_manifest(manifest, line)
            except TdmmError as error:
                found.failures.append((name, str(error)))
                if on_failure is not None:
                    on_failure(name, str(error))
                continue
            known.add(name)
            found.clips += 1
    list_failures(folder, found.failures)
    return found


def _line(name: str, files: Mapping[str, bytes], shard: Path) -> dict[str, Any]:
    """What is known of a clip, without its files. Raises `CorpusError`, `VideoError`, `MotionError`."""
    line: dict[str, Any] = {}
    if "json" in files:
        try:
            line = json.loads(files["json"])
        except (ValueError, RecursionError) as error:
            raise CorpusError(f"its .json cannot be read ({error})") from error
        if not isinstance(line, dict):
            raise CorpusError(f"its .json: expected an object, found {type(line).__name__}")
    line = {field: value for field, value in line.items() if field not in (*VIDEO_FIELD.values(), "motion")}
    line["id"] = name
    if not isinstance(line.get("text"), str):
        told = (line[field] for field in TEXT_COLUMNS if isinstance(line.get(field), str))
        line["text"] = files["txt"].decode("utf-8", "replace").strip() if "txt" in files else next(told, "")
    line.setdefault("generator", {"name": "folder", "model": str(shard)})
    line["split"] = split_called(line.get("split"), line["text"])
    kinds = {field: data for field, _, data in _contents(name, files)}
    if not kinds:
        raise CorpusError(f"has neither a video nor a motion, only {', '.join(files)}")
    if "duration" not in line and "video" in kinds:
        with open_video(io.BytesIO(kinds["video"])) as video:
            line |= {"duration": video.info.duration, "fps": video.info.fps}
    if "motion" in kinds:
        motion = read_motion(io.BytesIO(kinds["motion"]))
        line = {"duration": motion.duration, "fps": motion.fps, **line}
    return line


def _contents(name: str, files: Mapping[str, bytes]) -> Iterator[tuple[str, str, bytes]]:
    """Of the files of a clip its video and its motion: (field, place in the folder, content)."""
    for ending, data in files.items():
        if f".{ending}" in VIDEO_ENDINGS:
            yield "video", f"{VIDEOS}/{name}.{ending}", data
            break
    if "npz" in files:
        yield "motion", f"{MOTIONS}/{name}.npz", files["npz"]


def _is_current(path: Path, clips: Sequence[Clip], folder: Path) -> bool:
    """Whether a shard holds these clips as they are now."""
    try:
        there = {name: (files.pop("json", b""), set(files)) for name, files in _samples(path)}
        written = path.stat().st_mtime_ns
        sources = [folder / clip.video for clip in clips if clip.video is not None]
        sources += [Path(shard_of(str(folder / clip.motion))) for clip in clips if clip.motion is not None]
        if any(source.stat().st_mtime_ns > written for source in sources):
            return False
    except (CorpusError, OSError):
        return False
    return there == {clip.id: (_described(clip), set(_endings(clip)) | {"txt"}) for clip in clips}


def _endings(clip: Clip) -> list[str]:
    """Of the clip's own files in a shard."""
    video = [] if clip.video is None else [Path(clip.video).suffix[1:].lower()]
    return video + ([] if clip.motion is None else ["npz"])


def _described(clip: Clip) -> bytes:
    """The line of a clip without its files."""
    line = {name: value for name, value in clip.line.items() if name not in (*VIDEO_FIELD.values(), "motion")}
    return json.dumps({**line, "id": clip.id}, ensure_ascii=False).encode()


def _add(archive: tarfile.TarFile, clip: Clip, folder: Path) -> None:
    if "." in PurePosixPath(clip.id).name:
        raise CorpusError(f"{clip.id}: a name with a dot cannot stand in a shard; choose another --layout")
    members = {"json": _described(clip), "txt": str(clip.line.get("text", "")).encode()}
    if clip.video is not None:
        members[Path(clip.video).suffix[1:].lower()] = _bytes(folder / clip.video)
    if clip.motion is not None:
        members["npz"] = motion_bytes(read_motion(str(folder / clip.motion)))
    for ending, data in sorted(members.items()):
        entry = tarfile.TarInfo(f"{clip.id}.{ending}")
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise OutputError(f"{path}: cannot be read: {error.strerror or error}") from error


def _samples(path: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """The clips of a shard: name, and content by ending. Files of one clip stand together.

    As webdataset has it, the ending begins at the first dot of the file's name; hidden files are passed over.
    """
    try:
        with tarfile.open(path) as archive:
            name, files = "", dict[str, bytes]()
            for entry in archive:
                if not entry.isfile():
                    continue
                parts = _NAME.fullmatch(entry.name.removeprefix("./"))
                if parts is None:
                    continue
                stem, ending = parts[1], parts[2].lower()
                if PurePosixPath(stem).is_absolute() or ".." in PurePosixPath(stem).parts:
                    raise CorpusError(f"{path}: {entry.name!r} leads out of the folder")
                if stem != name and files:
                    yield name, files
                    files = {}
                name = stem
                member = archive.extractfile(entry)
                assert member is not None
                files[ending] = member.read()
            if files:
                yield name, files
    except (tarfile.TarError, OSError, EOFError) as error:
        raise CorpusError(f"{path}: is no tar file that can be read ({error})") from error
