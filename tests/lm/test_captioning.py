"""Captions for the clips of a corpus that have none, in its manifest."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tdmm.errors import LmError, MotionError
from tdmm.io.manifest import read_manifest
from tdmm.io.motion_file import read_motion
from tdmm.lm.captioning import caption_corpus
from tdmm.lm.describe import Reader
from tdmm.vq.corpora import in_batches


class Saying(Reader):
    """Says how long a motion is."""

    def __init__(self) -> None:
        self.lm = SimpleNamespace(fingerprint="f" * 16)  # type: ignore[assignment]

    def read_each(self, sources, on_failure, read=read_motion):  # type: ignore[no-untyped-def, override]
        def readable():
            for name, source in sources:
                try:
                    yield name, read(source)
                except MotionError as error:
                    on_failure(name, str(error))

        yield from in_batches(readable(), lambda one: len(one[1]))

    def describe(self, motions, detail="short"):  # type: ignore[no-untyped-def, override]
        return [f"{detail} of {len(motion)}" for motion in motions]


BY = {"name": "tdmm describe", "model": "f" * 16}


@pytest.fixture
def corpus(tiny_corpus, tmp_path) -> Path:
    """A copy in which the first three clips have no captions, and the first two no text."""
    folder = Path(shutil.copytree(tiny_corpus, tmp_path / "corpus"))
    lines = lines_of(folder)
    for line in lines[:3]:
        del line["captions"]
    lines[0]["text"], lines[1]["note"] = "", "kept"
    del lines[1]["text"]
    write(folder, lines)
    return folder


def lines_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]


def write(folder: Path, lines: list[dict[str, Any]]) -> None:
    (folder / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def frames(folder: Path) -> list[int]:
    return [len(read_motion(f"{folder}/{clip.motion}")) for clip in read_manifest(folder / "manifest.jsonl")]


def test_clips_without_captions_get_some_and_the_others_stay(corpus):
    before, counts = lines_of(corpus), frames(corpus)
    done = caption_corpus(corpus, Saying())
    assert (done.clips, done.there_before, done.without_motion, done.failures) == (3, 21, 0, ())
    after = lines_of(corpus)
    assert after[3:] == before[3:]
    for line, count in zip(after[:3], counts, strict=False):
        assert line["captions"] == {"short": f"short of {count}", "long": f"long of {count}"}
        assert line["captioned_by"].items() >= BY.items()
    assert [line["text"] for line in after[:3]] == [f"short of {counts[0]}", f"short of {counts[1]}", before[2]["text"]]
    assert after[1]["note"] == "kept"
    assert (again := caption_corpus(corpus, Saying())).clips == 0
    assert again.there_before == 24
    assert lines_of(corpus) == after


def test_force_makes_captions_anew_and_keeps_prompts(corpus):
    caption_corpus(corpus, Saying(), details=["short"])
    first = lines_of(corpus)
    assert set(first[0]["captions"]) == {"short"}
    lines = [{**line, "captions": {**line["captions"], "short": "old"}} for line in first]
    lines[0]["text"] = "old"
    lines[5]["captions"] = ["in another form"]
    write(corpus, lines)
    counts = frames(corpus)
    assert caption_corpus(corpus, Saying(), force=True).clips == 23
    after = lines_of(corpus)
    assert all(
        line["captions"]["short"] == f"short of {n}"
        for line, n in zip(after, counts, strict=True)
        if line is not after[5]
    )
    assert after[0]["text"] == f"short of {counts[0]}"
    assert [line["text"] for line in after[2:]] == [line["text"] for line in first[2:]]
    assert after[6]["captions"]["medium"] == first[6]["captions"]["medium"]
    assert after[5]["captions"] == ["in another form"]


def test_a_run_that_breaks_off_keeps_what_is_done(corpus):
    write(corpus, [{name: value for name, value in line.items() if name != "captions"} for line in lines_of(corpus)])
    read = []

    def stops(source):
        read.append(source)
        return read_motion(source)

    class Stopping(Saying):
        def describe(self, motions, detail="short"):  # type: ignore[no-untyped-def, override]
            return super().describe(motions, detail)

        def read_each(self, sources, on_failure, read=read_motion):  # type: ignore[no-untyped-def, override]
            for number, one in enumerate(sources):
                if number == 5:
                    raise KeyboardInterrupt
                yield from super().read_each([one], on_failure, read)

    with pytest.raises(KeyboardInterrupt):
        caption_corpus(corpus, Stopping(), read=stops)
    assert ["captions" in line for line in lines_of(corpus)] == [True] * 5 + [False] * 19
    assert len(read) == 5
    assert caption_corpus(corpus, Saying()).clips == 19


def test_splits_failures_and_progress(corpus):
    write(corpus, [{name: value for name, value in line.items() if name != "captions"} for line in lines_of(corpus)])
    lines = lines_of(corpus)
    lines[1]["motion"] = "motions/none.npz"
    lines[2] = {**lines[2], "motion": None, "video": "videos/x.mp4"}
    write(corpus, lines)
    told: list[tuple[int, ...]] = []
    done = caption_corpus(corpus, Saying(), splits=["val"], progress=lambda *numbers: told.append(numbers))
    assert (done.clips, done.without_motion, len(done.failures)) == (2, 1, 1)
    assert done.failures[0][0] == lines[1]["id"]
    assert told == [(3, 3, 1)]
    assert sum("captions" in line for line in lines_of(corpus)) == 2


def test_what_is_no_corpus(tmp_path):
    with pytest.raises(LmError, match="is no corpus"):
        caption_corpus(tmp_path, Saying())
    write(tmp_path, [{"id": "a", "video": "a.mp4"}])
    with pytest.raises(LmError, match="none of the 1 clips has a motion; tdmm fit"):
        caption_corpus(tmp_path, Saying())
