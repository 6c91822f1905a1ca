"""A corpus as WebDataset shards: tar files in which the files of a clip stand together under one name.

ID.mp4 (the video), ID.npz (the motion), ID.json (its line in the manifest) and ID.txt (its text), as
https://github.com/webdataset/webdataset reads them; `unpack` makes the folder again.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tdmm.errors import CorpusError, OutputError
from tdmm.io.manifest import Clip, append_to_manifest, read_manifest
from tdmm.io.motion_file import motion_bytes, read_motion
from tdmm.io.whole import whole_file

SHARDS = "shards"
CLIPS_PER_SHARD = 500


def pack(manifest: Path, folder: Path) -> list[Path]:
    """Write the shards of a corpus into `folder`: 00000.tar, 00001.tar, ...; those that are there are kept.

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
        if not (path.exists() and _holds(path, part)):
            with whole_file(path) as beside, tarfile.open(beside, "w", format=tarfile.PAX_FORMAT) as archive:
                for clip in part:
                    _add(archive, clip, manifest.parent)
        written.append(path)
    return written


def shards_in(folder: Path) -> list[Path]:
    """The tar files of a folder, or of shards/ in it, sorted."""
    return sorted(folder.glob("*.tar")) or sorted((folder / SHARDS).glob("*.tar"))


def unpack(shards: Sequence[Path], folder: Path) -> int:
    """Write the clips of shards as a corpus folder; how many. Those that it has already are passed over.

    Raises `CorpusError` for what is no shard, or holds names that lead out of the folder.
    """
    manifest = folder / "manifest.jsonl"
    folder.mkdir(parents=True, exist_ok=True)
    known = {clip.id for clip in read_manifest(manifest)} if manifest.exists() else set()
    count = 0
    for path in shards:
        for name, files in _samples(path):
            if name in known:
                continue
            line = {"id": name}
            if "json" in files:
                line = json.loads(files.pop("json"))
            elif "txt" in files:
                line["text"] = files["txt"].decode("utf-8", "replace").strip()
            files.pop("txt", None)
            for ending, data in files.items():
                kind, place = ("motion", "motions") if ending == "npz" else ("video", "videos")
                target = folder / place / f"{name}.{ending}"
                target.parent.mkdir(parents=True, exist_ok=True)
                with whole_file(target) as beside:
                    beside.write_bytes(data)
                line[kind] = f"{place}/{name}.{ending}"
            append_to_manifest(manifest, line)
            known.add(name)
            count += 1
    return count


def _holds(path: Path, clips: Sequence[Clip]) -> bool:
    try:
        return {name for name, _ in _samples(path)} == {clip.id for clip in clips}
    except CorpusError:
        return False


def _add(archive: tarfile.TarFile, clip: Clip, folder: Path) -> None:
    if "." in clip.id:
        raise CorpusError(f"{clip.id}: a name with a dot cannot stand in a shard")
    line = {name: value for name, value in clip.line.items() if name not in ("video", "file_name", "motion")}
    line["id"] = clip.id
    members = {"json": json.dumps(line, ensure_ascii=False).encode(), "txt": str(clip.line.get("text", "")).encode()}
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
    """The clips of a shard: name, and content by ending. Files of one clip stand together."""
    try:
        with tarfile.open(path) as archive:
            name, files = "", dict[str, bytes]()
            for entry in archive:
                if not entry.isfile():
                    continue
                stem, _, ending = entry.name.removeprefix("./").partition(".")
                if Path(stem).is_absolute() or ".." in Path(stem).parts or not stem or "/" in ending:
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
