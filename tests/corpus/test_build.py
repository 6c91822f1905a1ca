"""Making corpora: whole or not at all, the same every time, and going on where a run was stopped."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up_generators import GreyVideos

from tdmm.corpus import build
from tdmm.corpus.build import CorpusJob, Generators, generate_corpus, video_seed
from tdmm.corpus.given import read_prompt
from tdmm.corpus.lines import perform_clip
from tdmm.corpus.looks import LookRandoms, draw_look
from tdmm.corpus.motions import to_motion
from tdmm.corpus.plan import Settings, clip_id, plan_clip
from tdmm.engine import in_processes
from tdmm.errors import CorpusError, OutputError
from tdmm.io.manifest import append_to_manifest, mend_manifest, read_manifest
from tdmm.io.motion_file import read_motion
from tdmm.io.motion_shards import read_shard
from tdmm.io.video import open_video

SIZE = (96, 96)
CLIPS = 3


def lines_of(folder: Path) -> list[dict[str, Any]]:
    return [dict(clip.line) for clip in read_manifest(folder / "manifest.jsonl")]


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def filmed_job(folder: Path, **changes: Any) -> CorpusJob:
    return CorpusJob(folder, size=SIZE, **changes)


@pytest.fixture(scope="module")
def filmed_once(tmp_path_factory):
    """Three clips that nobody changes."""
    folder = tmp_path_factory.mktemp("filmed") / "corpus"
    made = generate_corpus(filmed_job(folder), clips=CLIPS)
    assert (made.clips, made.there_before, made.failures) == (CLIPS, 0, [])
    return folder


@pytest.fixture
def filmed(filmed_once, tmp_path):
    shutil.copytree(filmed_once, tmp_path / "filmed")
    return tmp_path / "filmed"


# -- rendered clips ------------------------------------------------------------------------------------


def test_every_line_has_its_files_and_every_file_its_line(filmed_once):
    found = lines_of(filmed_once)
    assert [line["id"] for line in found] == [clip_id(number, 0) for number in range(CLIPS)]
    named = {line[kind] for line in found for kind in ("video", "motion")}
    assert set(tree(filmed_once)) == named | {"manifest.jsonl", "corpus.json"}
    for line in found:
        assert line["generator"]["name"] == "procedural"
        assert line["generator"]["settings"] == {"size": list(SIZE)}
        assert line["licence"] == "CC0-1.0"
        assert all(line[name] for name in ("text", "texts", "prompt", "captions", "questions", "events", "program"))


def test_the_motion_is_what_the_video_shows(filmed_once):
    for line in lines_of(filmed_once):
        motion = read_motion(filmed_once / line["motion"])
        with open_video(filmed_once / line["video"]) as video:
            pictures = [frame.image for frame in video]
            rate = video.info.fps
        assert len(pictures) == len(motion) > 20
        assert pictures[0].shape[:2] == motion.image_size == SIZE
        assert rate == motion.fps == line["fps"] == 25
        assert line["duration"] == pytest.approx(motion.duration, abs=1 / 25)
        assert motion.text == line["text"]
        assert motion.meta["program"] == line["program"]
        assert motion.valid.all()
        assert motion.shape.any()
        assert motion.camera[0, 2] == SIZE[1] / 2


def test_the_same_seed_makes_the_same_corpus(filmed_once, tmp_path):
    """Also if it is made by other processes and in another order."""
    generate_corpus(filmed_job(tmp_path / "again"), clips=2)
    again, first = tree(tmp_path / "again"), tree(filmed_once)
    assert first["manifest.jsonl"].startswith(again.pop("manifest.jsonl"))
    assert {name for name in again if name.endswith((".npz", ".mp4"))} <= set(first)
    assert all(first[name] == content for name, content in again.items())


def test_a_second_run_makes_nothing_and_a_longer_one_the_rest(filmed):
    before = tree(filmed)
    made = generate_corpus(filmed_job(filmed), clips=CLIPS)
    assert (made.clips, made.there_before) == (0, CLIPS)
    assert tree(filmed) == before
    assert made.hours == pytest.approx(sum(line["duration"] for line in lines_of(filmed)) / 3600)
    made = generate_corpus(filmed_job(filmed), clips=CLIPS + 1)
    assert (made.clips, made.there_before) == (1, CLIPS)
    after = tree(filmed)
    assert after["manifest.jsonl"].startswith(before["manifest.jsonl"])
    assert all(after[name] == content for name, content in before.items() if name != "manifest.jsonl")


def test_a_clip_that_is_missing_between_others_is_made(filmed):
    lines = (filmed / "manifest.jsonl").read_text().splitlines(keepends=True)
    (filmed / "manifest.jsonl").write_text(lines[0] + lines[2])
    assert generate_corpus(filmed_job(filmed), clips=CLIPS).clips == 1
    assert (filmed / "manifest.jsonl").read_text() == lines[0] + lines[2] + lines[1]


def test_another_seed_adds_other_clips(filmed):
    made = generate_corpus(filmed_job(filmed, settings=Settings(seed=1)), clips=1)
    assert (made.clips, made.there_before) == (1, 0)
    found = lines_of(filmed)
    assert [line["id"] for line in found][-1] == "s1-0000000"
    assert found[-1]["text"] not in [line["text"] for line in found[:-1]]
    assert list(json.loads((filmed / "corpus.json").read_text())["runs"]) == ["0", "1"]
    assert generate_corpus(filmed_job(filmed), clips=CLIPS).clips == 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"size": (64, 64)}, "size"),
        ({"motions_only": True}, "motions_only"),
        ({"settings": Settings(free=False)}, "free"),
        ({"settings": Settings(seeds=2)}, "seeds"),
        ({"settings": Settings(given=(read_prompt("nod"),))}, "given"),
        ({"generators": Generators((GreyVideos(),), (1.0, 1.0))}, "generators, weights"),
        ({"video_folder": True}, "layout"),
    ],
)
def test_clips_of_one_seed_are_made_by_one_set_of_settings(filmed, changes, said):
    before = tree(filmed)
    with pytest.raises(CorpusError, match=said):
        generate_corpus(replace(filmed_job(filmed), **changes), clips=CLIPS + 1)
    assert tree(filmed) == before


def test_the_settings_of_a_run_that_made_nothing_bind_nobody(tmp_path):
    """As after a model that could not be loaded."""
    failing = Generators((GreyVideos(on=""),), (0.0, 1.0))
    made = generate_corpus(CorpusJob(tmp_path, generators=failing), clips=2)
    assert (made.clips, len(made.failures)) == (0, 2)
    good = Generators((GreyVideos(model="grey-2"),), (0.0, 1.0))
    assert generate_corpus(CorpusJob(tmp_path, generators=good), clips=2).clips == 2
    assert not (tmp_path / "failed.jsonl").exists()
    with pytest.raises(CorpusError, match="generators"):
        generate_corpus(CorpusJob(tmp_path, generators=failing), clips=3)


def test_a_record_of_settings_that_is_broken_is_named(filmed):
    for broken in ("{", '{"runs": [7]}', "[]"):
        (filmed / "corpus.json").write_text(broken)
        with pytest.raises(CorpusError, match=r"corpus\.json"):
            generate_corpus(filmed_job(filmed), clips=CLIPS)


def test_a_video_folder_names_its_files(tmp_path):
    """`load_dataset("videofolder", data_dir=...)` reads file_name, a path from the metadata.jsonl."""
    settings = Settings(given=(read_prompt("blink"),))
    job = filmed_job(tmp_path / "hub", settings=settings, video_folder=True)
    generate_corpus(job, clips=1)
    (line,) = [json.loads(line) for line in (tmp_path / "hub" / "metadata.jsonl").read_text().splitlines()]
    assert (tmp_path / "hub" / line["file_name"]).is_file()
    assert not Path(line["file_name"]).is_absolute()
    assert "video" not in line
    assert generate_corpus(job, clips=1).there_before == 1


# -- several clips of one prompt -----------------------------------------------------------------------


def of_prompts(count: int, seeds: int, *vary: str) -> list[list[Any]]:
    """The planned clips of each prompt."""
    settings = Settings(seeds=seeds, vary=frozenset(vary))
    return [[plan_clip(seeds * prompt + number, settings) for number in range(seeds)] for prompt in range(count)]


def same_look(*looks: Any) -> bool:
    return all(
        np.array_equal(getattr(looks[0], part.name), getattr(other, part.name))
        for other in looks[1:]
        for part in fields(looks[0])
    )


def test_clips_of_one_prompt_share_program_text_and_look_and_differ_in_movement():
    for clips in of_prompts(12, 3):
        assert len({str(clip.program) for clip in clips}) == 1
        assert len({clip.split for clip in clips}) == 1
        assert all(clip.scene == clips[0].scene for clip in clips)
        assert same_look(*(draw_look(LookRandoms(**clip.look), 24) for clip in clips))
        made = [perform_clip(clip) for clip in clips]
        texts = {line["text"] for _, line in made}
        # A text that tells times can be true of one clip only.
        assert len(texts) == 1 or all("0." in text for text in texts)
        movements = {performance.expression.tobytes() for performance, _ in made}
        assert len(movements) == 3


def test_another_appearance_is_another_person_in_the_same_place():
    for clips in of_prompts(12, 3, "appearance"):
        scenes = [dict(clip.scene) for clip in clips]
        assert len({scene["subject"] for scene in scenes}) == 3
        for scene in scenes:
            # How the person is spoken of goes with the person.
            for name in ("subject", "pronoun", "possessive", "object"):
                scene.pop(name, None)
        assert scenes[0] == scenes[1] == scenes[2]
        looks = [draw_look(LookRandoms(**clip.look), 24) for clip in clips]
        assert not same_look(looks[0], looks[1])
        assert not same_look(looks[1], looks[2])
        assert len({str(clip.program) for clip in clips}) == 1


@pytest.mark.parametrize(
    ("what", "changed"),
    [("light", {"style"}), ("camera", {"focal", "part", "place"}), ("place", {"back", "back_angle", "blobs"})],
)
def test_what_varies_is_seen_in_the_picture_and_nothing_else(what, changed):
    for clips in of_prompts(6, 2, what):
        first, second = (vars(draw_look(LookRandoms(**clip.look), 24)) for clip in clips)
        same = {name for name in first if str(first[name]) == str(second[name])}
        assert set(first) - same <= changed
        assert set(first) - same


# -- motions alone -------------------------------------------------------------------------------------

COUNT = 300


def motions_job(folder: Path, **changes: Any) -> CorpusJob:
    return CorpusJob(folder, motions_only=True, **changes)


@pytest.fixture(scope="module")
def shards_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards") / "corpus"
    steps = []
    generate_corpus(motions_job(folder), clips=COUNT, progress=lambda *step: steps.append(step))
    assert steps == [(250, 300), (300, 300)]
    return folder


@pytest.fixture
def shards(shards_once, tmp_path):
    shutil.copytree(shards_once, tmp_path / "shards")
    return tmp_path / "shards"


def check_motions(folder: Path, numbers: range) -> None:
    """Every clip's motion is that of its performance, as far as half precision goes."""
    found = {line["id"]: line for line in lines_of(folder)}
    assert set(found) >= {clip_id(number, 0) for number in numbers}
    for number in numbers:
        performance, fields = perform_clip(plan_clip(number, Settings()))
        expected, line = to_motion(performance), found[clip_id(number, 0)]
        motion = read_motion(folder / line["motion"])
        assert line["text"] == fields["text"]
        assert len(motion) == len(expected)
        assert line["duration"] == pytest.approx(motion.duration, abs=1 / 25)
        np.testing.assert_allclose(motion.expression, expected.expression, atol=5e-4)
        np.testing.assert_allclose(motion.rotation, expected.rotation, atol=1e-3)
        np.testing.assert_allclose(motion.translation, expected.translation, atol=2e-4)


def test_motions_lie_in_shards_and_are_those_of_the_performances(shards_once):
    assert sorted(path.name for path in (shards_once / "motions").iterdir()) == [
        "s0-0000000-0000249.safetensors",
        "s0-0000250-0000299.safetensors",
    ]
    assert not (shards_once / "videos").exists()
    named = [line["motion"] for line in lines_of(shards_once)]
    assert named[0] == "motions/s0-0000000-0000249.safetensors#0"
    assert named[249:251] == [
        "motions/s0-0000000-0000249.safetensors#249",
        "motions/s0-0000250-0000299.safetensors#0",
    ]
    check_motions(shards_once, range(240, 260))
    size = sum(path.stat().st_size for path in (shards_once / "motions").iterdir())
    hours = sum(line["duration"] for line in lines_of(shards_once)) / 3600
    assert size / hours < 11e6


@pytest.mark.parametrize("kept", [0, 1, 249, 250, 251, 270])
def test_what_a_killed_run_did_not_record_is_made_again(shards, kept):
    """The shards were written, and the last lines were not, or only in part."""
    whole = (shards / "manifest.jsonl").read_bytes().splitlines(keepends=True)
    (shards / "manifest.jsonl").write_bytes(b"".join(whole[:kept]) + whole[kept][: len(whole[kept]) // 2])
    made = generate_corpus(motions_job(shards), clips=COUNT)
    assert (made.clips, made.there_before) == (COUNT - kept, kept)
    text = {line["id"]: line["text"] for line in map(json.loads, whole)}
    found = lines_of(shards)
    assert {line["id"]: line["text"] for line in found} == text
    assert (shards / "manifest.jsonl").read_bytes().startswith(b"".join(whole[:kept]))
    check_motions(shards, range(max(0, kept - 2), min(COUNT, kept + 3)))


def test_a_clip_that_fails_leaves_its_shard_to_the_others(tmp_path, monkeypatch):
    def perform(planned):
        if planned.number == 3:
            raise ZeroDivisionError("a bug")
        if planned.number == 5:
            raise CorpusError("cannot be performed")
        return perform_clip(planned)

    told = []
    with monkeypatch.context() as patched:
        patched.setattr(build, "perform_clip", perform)
        made = generate_corpus(motions_job(tmp_path), clips=8, on_failure=lambda *what: told.append(what))
        with pytest.raises(ZeroDivisionError):
            generate_corpus(motions_job(tmp_path / "strict", strict=True), clips=8)
    assert made.clips == 6
    assert made.failures == told
    assert [name for name, _ in told] == ["s0-0000003", "s0-0000005"]
    assert "ZeroDivisionError: a bug (a fault in tdmm" in told[0][1]
    assert told[1][1] == "cannot be performed"
    failed = [json.loads(line) for line in (tmp_path / "failed.jsonl").read_text().splitlines()]
    assert [(line["id"], line["error"]) for line in failed] == told
    assert generate_corpus(motions_job(tmp_path), clips=8).clips == 2
    assert not (tmp_path / "failed.jsonl").exists()
    check_motions(tmp_path, range(8))


def test_one_hour_is_an_hour(tmp_path):
    made = generate_corpus(motions_job(tmp_path), hours=1)
    assert 1 <= made.hours <= 1.03
    assert made.hours * 3600 == pytest.approx(sum(line["duration"] for line in lines_of(tmp_path)))
    frames = sum(len(motion) for path in (tmp_path / "motions").iterdir() for motion in read_shard(path))
    assert frames / 25 / 3600 == pytest.approx(made.hours, rel=0.01)
    assert generate_corpus(motions_job(tmp_path), hours=1).clips == 0
    assert generate_corpus(motions_job(tmp_path), hours=1.01).hours >= 1.01


def test_hours_end_where_everything_fails(tmp_path):
    failing = Generators((GreyVideos(on=""),), (0.0, 1.0))
    made = generate_corpus(CorpusJob(tmp_path, generators=failing), hours=0.02)
    assert made.clips == 0
    assert 10 < len(made.failures) < 40


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"motions_only": True, "video_folder": True}, "--motions-only"),
        ({"motions_only": True, "generators": Generators((GreyVideos(),), (1.0, 1.0))}, "without videos"),
        ({"settings": Settings(given=(read_prompt("nod"), read_prompt("she smiles at us")))}, "'she smiles at us'"),
        ({"settings": Settings(given=(read_prompt("smlie"),))}, "did you mean smile"),
    ],
)
def test_what_does_not_go_together_is_told_before_a_folder_is_made(tmp_path, changes, said):
    with pytest.raises(CorpusError, match=said):
        generate_corpus(CorpusJob(tmp_path / "corpus", **changes), clips=1)
    assert not (tmp_path / "corpus").exists()


@pytest.mark.parametrize("amount", [{}, {"clips": 1, "hours": 1.0}])
def test_an_amount_is_clips_or_hours(tmp_path, amount):
    with pytest.raises(CorpusError, match="clips or of hours"):
        generate_corpus(CorpusJob(tmp_path), **amount)


# -- other generators ----------------------------------------------------------------------------------


def test_generators_are_mixed_by_their_weights():
    mixed = Generators((GreyVideos(), GreyVideos(), GreyVideos()), (3.0, 1.0, 0.0, 4.0))
    shares = Counter(mixed.of(number, 7) for number in range(2000))
    assert shares[2] == 0
    for which, share in ((0, 3 / 8), (1, 1 / 8), (3, 4 / 8)):
        assert shares[which] / 2000 == pytest.approx(share, abs=0.03)
    assert [mixed.of(number, 7) for number in range(50)] != [mixed.of(number, 8) for number in range(50)]
    alone = Generators((GreyVideos(),), (0.0, 2.0))
    assert {alone.of(number, 0) for number in range(100)} == {1}


def test_each_clip_is_of_one_generator_and_its_line_says_which(tmp_path):
    grey = GreyVideos()
    settings = Settings(given=(read_prompt("blink"),))
    job = filmed_job(tmp_path, settings=settings, generators=Generators((grey,), (1.0, 3.0)))
    generate_corpus(job, clips=5)
    found = {line["id"]: line for line in lines_of(tmp_path)}
    makers = {clip_id(number, 0): job.generators.of(number, 0) for number in range(5)}
    assert set(makers.values()) == {0, 1}
    for name, maker in makers.items():
        line = found[name]
        assert (tmp_path / line["video"]).is_file()
        assert line["generator"]["name"] == ("grey" if maker else "procedural")
        assert ("motion" in line) == (maker == 0)
        if maker:
            assert line["generator"] == {"name": "grey", "model": "grey-1", "settings": {"frames": 7}}
            assert (line["duration"], line["fps"], line["licence"]) == (0.7, 10, "CC-BY-4.0")
            assert line["asked"][0]["id"] == "blink"
    assert [name for _, _, name in grey.asked] == [name for name, maker in makers.items() if maker]
    assert all(prompt == found[name]["prompt"] and seed == found[name]["seed"] for prompt, seed, name in grey.asked)


def test_every_clip_has_a_seed_of_its_own_that_any_model_takes():
    seeds = {video_seed(seed, number) for seed in range(3) for number in range(500)}
    assert len(seeds) == 1500
    assert all(0 <= seed < 2**31 for seed in seeds)


PROMPTS = tuple(map(read_prompt, ("smiles for the camera", "juggles three oranges", "looks around")))


@pytest.mark.parametrize("how", ["fails", "faults"])
def test_a_prompt_that_fails_leaves_the_others(tmp_path, how):
    generators = Generators((GreyVideos("oranges", how),), (0.0, 1.0))
    told = []
    job = CorpusJob(tmp_path, Settings(given=PROMPTS), generators)
    made = generate_corpus(job, clips=3, on_failure=lambda *what: told.append(what))
    assert made.clips == 2
    reason = "grey-1 failed: no colour" if how == "fails" else "ZeroDivisionError: a bug (a fault in tdmm"
    assert told[0][0] == "s0-0000001"
    assert told[0][1].startswith(reason)
    assert [line["text"] for line in lines_of(tmp_path)] == [PROMPTS[0].text, PROMPTS[2].text]
    (line,) = (tmp_path / "failed.jsonl").read_text().splitlines()
    assert json.loads(line) == {"id": told[0][0], "error": told[0][1]}


def test_a_generator_that_takes_its_process_along_leaves_the_others(tmp_path):
    generators = Generators((GreyVideos("oranges", "dies"),), (0.0, 1.0))
    job = CorpusJob(tmp_path, Settings(given=PROMPTS), generators)
    made = generate_corpus(job, clips=3, video_engine=in_processes(1))
    assert made.clips == 2
    ((name, reason),) = made.failures
    assert name == "s0-0000001"
    assert "exit code 9" in reason
    assert sorted(path.name for path in (tmp_path / "videos").iterdir()) == ["s0-0000000.mp4", "s0-0000002.mp4"]


# -- no room -------------------------------------------------------------------------------------------


def full(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("writer", ["write_motion", "write_shard"])
def test_a_full_disk_is_told_of_every_clip_and_the_manifest_stays_whole(tmp_path, monkeypatch, writer):
    settings = Settings(given=(read_prompt("blink"),))
    job = CorpusJob(tmp_path, settings, size=(64, 64), motions_only=writer == "write_shard")
    generate_corpus(job, clips=1)
    before = (tmp_path / "manifest.jsonl").read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(build, writer, full)
        made = generate_corpus(job, clips=3)
    assert made.clips == 0
    assert [name for name, _ in made.failures] == ["s0-0000001", "s0-0000002"]
    assert all("No space left on device" in reason and "\n" not in reason for _, reason in made.failures)
    assert all(str(tmp_path) in reason for _, reason in made.failures)
    assert (tmp_path / "manifest.jsonl").read_bytes() == before
    assert generate_corpus(job, clips=3).clips == 2


def test_lines_are_added_all_or_none(tmp_path):
    """The limit for the size of a file is that of a full disk: a part of the lines still fits."""
    resource = pytest.importorskip("resource")
    path = tmp_path / "manifest.jsonl"
    append_to_manifest(path, {"id": "a", "video": "a.mp4"})
    before = path.read_bytes()
    more = [{"id": f"clip {number}", "video": "v.mp4", "text": "smiles " * 20} for number in range(20)]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OutputError, match=r"manifest\.jsonl: cannot be written: File too large"):
            append_to_manifest(path, *more)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    append_to_manifest(path, *more)
    assert len(read_manifest(path)) == 21


@pytest.mark.parametrize(
    ("end", "mended"),
    [("", False), ('{"id": "b", "vid', True), ('{"id": "b", "video": "b.mp4"}', False), ("\0\0\0", True), ("7", True)],
)
def test_a_torn_last_line_is_cut_off_and_a_whole_one_is_not(tmp_path, end, mended):
    path = tmp_path / "manifest.jsonl"
    whole = '{"id": "a", "video":  "a.mp4"}\n'
    path.write_text(whole + end)
    assert mend_manifest(path) is mended
    assert path.read_text() == (whole if mended else whole + end)
