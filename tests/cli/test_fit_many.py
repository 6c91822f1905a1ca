"""`tdmm fit` over many videos: folders, corpora, workers that die, runs that are stopped; several people; parts."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from photograph import astronaut

from tdmm.io.motion_file import read_motion, write_motion
from tdmm.io.video import write_video

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def clips(tmp_path, face_clip, faceless_clip):
    """one.mp4 and below/four.MOV with a face, three.mp4 without, two.mp4 that is none, and others to be ignored."""
    folder = tmp_path / "clips"
    (folder / "below").mkdir(parents=True)
    shutil.copy(face_clip, folder / "one.mp4")
    shutil.copy(face_clip, folder / "below" / "four.MOV")
    shutil.copy(faceless_clip, folder / "three.mp4")
    (folder / "two.mp4").write_text("not a video")
    (folder / "notes.txt").write_text("not a video either")
    (folder / ".hidden.mp4").write_text("half written")
    return folder


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_many_videos_go_on_after_a_failure_and_again_do_only_what_is_missing(tdmm, clips, tmp_path):
    """With two workers, as by default where there are two cores."""
    motions = tmp_path / "motions"
    first = tdmm("fit", f"{clips}/*.mp4", "-o", motions, "--json", "--workers", 2)
    assert first.code == 1
    assert tree(motions) == ["failed.jsonl", "one.npz"]
    reports = {Path(report["input"]).name: report for report in lines(first.text)}
    assert {name: bool(report.get("error")) for name, report in reports.items()} == {
        "one.mp4": False,
        "two.mp4": True,
        "three.mp4": True,
    }
    assert reports["one.mp4"]["output"] == str(motions / "one.npz")
    *_, head, a, b = first.stderr.splitlines()
    assert head.startswith("error: 2 of 3 videos failed")
    assert "three.mp4: no face was found" in a
    assert "cannot read" in b
    assert "two.mp4" in b
    failed = lines((motions / "failed.jsonl").read_text())
    assert {Path(line["input"]).name for line in failed} == {"two.mp4", "three.mp4"}
    assert all(line["error"] in first.stderr for line in failed)
    before = (motions / "one.npz").stat().st_mtime_ns
    second = tdmm("fit", f"{clips}/*.mp4", "-o", motions, "--json", "--workers", 1)
    assert second.code == 1
    assert "1 of 3 motions are already there" in second.stderr
    assert [report.get("skipped") for report in lines(second.text)] == ["already there", None, None]
    assert (motions / "one.npz").stat().st_mtime_ns == before


def test_a_folder_is_searched_and_its_folders_are_kept(tdmm, clips, tmp_path):
    (clips / "two.mp4").unlink()
    (clips / "three.mp4").unlink()
    outcome = tdmm("fit", clips, "-o", tmp_path / "out", "--preview", clips / "previews", "--workers", 1, "--json")
    assert outcome.code == 0, outcome.stderr
    assert tree(tmp_path / "out") == ["below/four.npz", "one.npz"]
    assert tree(clips / "previews") == ["below/four.mp4", "one.mp4"]
    assert [Path(report["input"]).name for report in lines(outcome.text)] == ["four.MOV", "one.mp4"]
    assert "2 of 2 videos fitted" in outcome.stderr
    again = tdmm("fit", clips, "-o", tmp_path / "out", "--preview", clips / "previews", "--workers", 1)
    assert (again.code, again.stderr) == (0, "2 of 2 motions are already there (--force makes them again)\n")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["clips"], 2, "need a folder"),
        (["clips", "-o", "out.npz"], 2, "need a folder"),
        (["empty", "-o", "out/"], 1, "holds no video"),
        (["nowhere/*.mp4", "-o", "out/"], 1, "no file matches"),
        (["corpus", "-o", "out/"], 2, "leave -o out"),
        (["corpus", "--preview", "out/"], 2, "leave --preview out"),
        (["corpus", "clips"], 2, "name it alone"),
        (["corpus", "--faces", "all"], 2, "leave --faces out"),
        (["corpus", "--split", "2"], 2, "leave --split out"),
        (["torn"], 1, "manifest.jsonl, line 1"),
        (["clips/one.mp4", "-", "-o", "out/"], 2, "by itself"),
        (["-o", "out.npz", "--landmarks", "clips"], 2, "expected a file"),
    ],
)
def test_inputs_that_do_not_fit_are_told_in_one_line(tdmm, clips, tmp_path, monkeypatch, arguments, code, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    for name, text in (("corpus", '{"id": "a", "video": "a.mp4"}'), ("torn", '{"id": "a", "vid')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.jsonl").write_text(text)
    outcome = tdmm("fit", *arguments)
    assert outcome.code == code
    assert said in outcome.error_line


@pytest.mark.parametrize("inputs", [["clips", "-o", "out/"], ["corpus"]])
def test_a_folder_without_rights_is_told_before_the_work(tdmm, clips, tmp_path, monkeypatch, inputs):
    """root may write everywhere, so the answer of the system is given here."""
    from tdmm.cli import fit_work, paths

    def work(*_):
        raise AssertionError("work was begun")

    monkeypatch.chdir(tmp_path)
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "manifest.jsonl").write_text('{"id": "a", "video": "a.mp4"}')
    monkeypatch.setattr(paths.os, "access", lambda *_: False)
    monkeypatch.setattr(fit_work.FitWork, "load", work)
    outcome = tdmm("fit", *inputs, "--workers", 1)
    assert outcome.code == 1
    assert "not writable" in outcome.error_line


# -- corpora -------------------------------------------------------------------------------------------


@pytest.fixture
def corpus(tmp_path, face_clip, faceless_clip):
    folder = tmp_path / "corpus"
    (folder / "videos").mkdir(parents=True)
    for name in ("a", "b", "d"):
        shutil.copy(face_clip, folder / "videos" / f"{name}.mp4")
    shutil.copy(faceless_clip, folder / "videos" / "c.mp4")
    written = [
        '{"id": "a", "video": "videos/a.mp4", "text": "lächelt",   "seed": 7}',
        '{"id": "b", "video": "videos/b.mp4", "motion": "motions/b.npz"}',
        '{"id": "c", "video": "videos/c.mp4"}',
        '{"id": "set/d", "video": "videos/d.mp4"}',
    ]
    (folder / "manifest.jsonl").write_text("\n".join(written) + "\n")
    return folder


def test_a_corpus_gets_its_missing_motions(tdmm, corpus, motion):
    (corpus / "motions").mkdir()
    write_motion(motion, corpus / "motions" / "b.npz")
    before = (corpus / "motions" / "b.npz").read_bytes()
    written = (corpus / "manifest.jsonl").read_text().splitlines()
    outcome = tdmm("fit", corpus, "--json", "--workers", 1)
    assert outcome.code == 1
    assert "c.mp4" in outcome.stderr.splitlines()[-1]
    assert tree(corpus / "motions") == ["a.npz", "b.npz", "failed.jsonl", "set/d.npz"]
    assert (corpus / "motions" / "b.npz").read_bytes() == before
    found = (corpus / "manifest.jsonl").read_text().splitlines()
    assert json.loads(found[0]) == {**json.loads(written[0]), "motion": "motions/a.npz"}
    assert found[1:3] == written[1:3]
    assert json.loads(found[3])["motion"] == "motions/set/d.npz"
    assert [report["id"] for report in lines(outcome.text)] == ["b", "a", "c", "set/d"]
    assert len(read_motion(corpus / "motions" / "a.npz")) == 4


def test_a_motion_that_the_manifest_does_not_know_yet_is_recorded_not_fitted_again(tdmm, corpus, motion):
    """A run that was killed may have left motions that it did not record."""
    (corpus / "motions" / "set").mkdir(parents=True)
    for name in ("a", "b", "c", "set/d"):
        write_motion(motion, corpus / "motions" / f"{name}.npz")
    assert tdmm("fit", corpus).code == 0
    recorded = [json.loads(line)["motion"] for line in (corpus / "manifest.jsonl").read_text().splitlines()]
    assert recorded == ["motions/a.npz", "motions/b.npz", "motions/c.npz", "motions/set/d.npz"]
    assert read_motion(corpus / "motions" / "a.npz") == motion


def test_a_manifest_that_breaks_meanwhile_ends_no_run(tdmm, corpus, monkeypatch):
    """Somebody else's torn line: all clips are fitted, the failures are listed, then it is told."""
    from tdmm.cli import fit_report, fit_work

    fit = fit_work.FitWork.fit

    def fit_and_tear(*arguments, **options):
        manifest = corpus / "manifest.jsonl"
        if not manifest.read_text().endswith("{"):
            manifest.write_text(manifest.read_text() + "{")
        return fit(*arguments, **options)

    monkeypatch.setattr(fit_work.FitWork, "fit", fit_and_tear)
    monkeypatch.setattr(fit_report, "RECORD_SECONDS", 0.0)
    outcome = tdmm("fit", corpus, "--workers", 1)
    assert outcome.code == 1
    assert "manifest.jsonl, line 5" in outcome.stderr.splitlines()[-1]
    assert tree(corpus / "motions") == ["a.npz", "b.npz", "failed.jsonl", "set/d.npz"]
    assert "Traceback" not in outcome.stderr
    (corpus / "manifest.jsonl").write_text((corpus / "manifest.jsonl").read_text().removesuffix("{"))
    assert tdmm("fit", corpus, "--workers", 1, "--quiet").code == 1
    assert (corpus / "manifest.jsonl").read_text().count('"motion"') == 3


def test_a_video_folder_is_a_corpus_too(tdmm, tmp_path, face_clip):
    folder = tmp_path / "hub"
    (folder / "train").mkdir(parents=True)
    shutil.copy(face_clip, folder / "train" / "a.mp4")
    (folder / "metadata.jsonl").write_text('{"file_name": "train/a.mp4", "label": 1}')
    assert tdmm("fit", folder, "--workers", 1).code == 0
    line = json.loads((folder / "metadata.jsonl").read_text())
    assert line == {"file_name": "train/a.mp4", "label": 1, "motion": "motions/train/a.npz"}
    assert (folder / line["motion"]).exists()


# -- workers -------------------------------------------------------------------------------------------


def children(parent: int) -> list[int]:
    """Processes that this one has started, and their own, by /proc."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            number = int(path.parent.name)
            found += [number, *children(number)]
    return found


def runs(process: int, word: bytes) -> bool:
    """Whether the word is in the command line of that process."""
    try:
        return word in Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return False


def is_alive(process: int) -> bool:
    """Neither gone nor a zombie that nobody has asked after yet."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition, process, seconds: float = 300):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    return found


@pytest.fixture
def long_clip(tmp_path_factory):
    picture = astronaut()
    path = tmp_path_factory.mktemp("long") / "long.mp4"
    write_video([np.roll(picture, shift % 9, axis=1) for shift in range(3000)], path, 25, preset="ultrafast")
    return path


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
def test_a_worker_is_killed_then_ctrl_c_then_the_rest(tdmm, start, tmp_path, face_clip, long_clip):
    """The video of the killed worker fails, another worker takes its place; what was done before Ctrl-C stays."""
    folder, motions = tmp_path / "clips", tmp_path / "motions"
    folder.mkdir()
    for name in ("a-long", "c-long"):
        os.symlink(long_clip, folder / f"{name}.mp4")
    shutil.copy(face_clip, folder / "b.mp4")
    process = start(
        [sys.executable, "-m", "tdmm", "fit", str(folder), "-o", f"{motions}/", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # One core, one worker: the first video, a long one, is under way when it is killed.
        preexec_fn=lambda: os.sched_setaffinity(0, list(os.sched_getaffinity(0))[:1]),
    )

    def decoding():
        """The worker, once its video is being decoded; while it loads it may have other children."""
        workers = [child for child in children(process.pid) if runs(child, b"spawn_main")]
        return [worker for worker in workers if any(runs(child, b"-long.mp4") for child in children(worker))]

    (worker,) = wait_for(decoding, process)
    os.kill(worker, signal.SIGKILL)
    wait_for((motions / "b.npz").exists, process)
    wait_for(lambda: [other for other in decoding() if other != worker], process)
    everybody = [process.pid, *children(process.pid)]
    process.send_signal(signal.SIGINT)
    out, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert told.splitlines()[-1] == b"error: interrupted"
    assert b"Traceback" not in told
    assert b"a-long.mp4: the worker died (SIGKILL" in told
    assert [json.loads(line)["input"].rpartition("/")[2] for line in out.splitlines()] == ["a-long.mp4", "b.mp4"]
    assert sorted(os.listdir(motions)) == ["b.npz", "failed.jsonl"]
    deadline = time.monotonic() + 10
    while left := [number for number in everybody if is_alive(number)]:
        assert time.monotonic() < deadline, [Path(f"/proc/{number}/cmdline").read_bytes() for number in left]
        time.sleep(0.05)
    for name in ("a-long", "c-long"):
        (folder / f"{name}.mp4").unlink()
        shutil.copy(face_clip, folder / f"{name}.mp4")
    rest = tdmm("fit", folder, "-o", motions, "--workers", 1)
    assert rest.code == 0, rest.stderr
    assert "1 of 3 motions are already there" in rest.stderr
    assert sorted(os.listdir(motions)) == ["a-long.npz", "b.npz", "c-long.npz"]


def test_a_fault_in_one_video_is_told_and_the_others_go_on(tdmm, clips, tmp_path, monkeypatch):
    from tdmm import fit

    def fail(*_, **__):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(fit, "fit_video", fail)
    outcome = tdmm("fit", clips / "one.mp4", clips / "three.mp4", "-o", tmp_path / "out", "--workers", 1)
    assert outcome.code == 1
    assert outcome.stderr.count("one.mp4: ZeroDivisionError: division by zero (a fault in tdmm") == 2
    assert "2 of 2 videos failed" in outcome.stderr
    debugged = tdmm("fit", clips / "one.mp4", clips / "three.mp4", "-o", tmp_path / "out", "--workers", 1, "--debug")
    assert "in fail" in debugged.stderr


def test_what_cannot_be_loaded_is_told_once(tdmm, clips, tmp_path):
    outcome = tdmm("fit", clips, "-o", tmp_path / "out", "--face-model", tmp_path / "nowhere.pkl", "--workers", 2)
    assert outcome.code == 1
    assert "nowhere.pkl" in outcome.error_line


def test_one_bar_for_all_on_a_terminal(tdmm, clips, tmp_path, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    (clips / "below" / "four.MOV").unlink()
    outcome = tdmm("fit", clips, "-o", tmp_path / "out", "--workers", 1, "--json", terminal=("stderr",))
    assert outcome.code == 1
    assert "3/3" in outcome.stderr
    assert "2 failed" in outcome.stderr
    assert "\x1b" not in outcome.text
    assert len(lines(outcome.text)) == 3


# -- several people, parts, identity -------------------------------------------------------------------


@pytest.fixture(scope="module")
def pair_clip(tmp_path_factory):
    """A large face on the left for ten frames, and a smaller one beside it for the first eight."""
    picture = np.full((256, 448, 3), 128, np.uint8)
    picture[:, :256] = astronaut(256)
    both = picture.copy()
    both[48:208, 272:432] = astronaut(160)
    path = tmp_path_factory.mktemp("clips") / "pair.mp4"
    write_video([both] * 8 + [picture] * 2, path, 25, crf=10)
    return path


def test_all_faces_or_some(tdmm, tmp_path, pair_clip):
    out = tmp_path / "out.npz"
    outcome = tdmm("fit", pair_clip, "-o", out, "--faces", "all", "--preview", tmp_path / "look.mp4", "--json")
    assert outcome.code == 0, outcome.stderr
    assert tree(tmp_path) == ["look-1.mp4", "look-2.mp4", "out-1.npz", "out-2.npz"]
    first, second = (read_motion(tmp_path / f"out-{number}.npz") for number in (1, 2))
    assert first.valid.tolist() == [True] * 10
    assert second.valid.tolist() == [True] * 8 + [False] * 2
    column = lambda m: m.camera[0, 0] * m.translation[:8, 0] / -m.translation[:8, 2] + m.camera[0, 2]  # noqa: E731
    assert (column(first) < 256).all()
    assert (column(second) > 272).all()
    written = outcome.json["motions"]
    assert [motion["output"] for motion in written] == [str(tmp_path / f"out-{number}.npz") for number in (1, 2)]
    assert [motion["valid"] for motion in written] == [10, 8]
    assert written[1]["faces"] == {"number": 2, "of": 2, "dropped": []}
    refused = tdmm("fit", pair_clip, "-o", out, "--faces", 2)
    assert refused.code == 1
    assert "out-1.npz is already there" in refused.error_line
    # One less than before: what is left over goes.
    shutil.copy(tmp_path / "out-2.npz", tmp_path / "out-4.npz")
    again = tdmm("fit", pair_clip, "-o", out, "--split", 5, "--force")
    assert again.code == 0, again.stderr
    assert tree(tmp_path) == ["look-1.mp4", "look-2.mp4", "out-1.npz", "out-4.npz"]


def test_videos_of_several_people_are_done_when_their_first_motion_is_there(tdmm, tmp_path, pair_clip, face_clip):
    command = ("fit", pair_clip, face_clip, "-o", tmp_path, "--faces", 2, "--workers", 1)
    assert tdmm(*command).code == 0
    assert tree(tmp_path) == ["face-1.npz", "pair-1.npz", "pair-2.npz"]
    (tmp_path / "face-1.npz").unlink()
    assert "1 of 2 motions are already there" in tdmm(*command).stderr
    assert tree(tmp_path) == ["face-1.npz", "pair-1.npz", "pair-2.npz"]


def test_a_long_gap_parts_the_motion(tdmm, tmp_path):
    face = astronaut()
    nothing = np.full_like(face, 128)
    write_video([face] * 4 + [nothing] * 10 + [face] * 3, tmp_path / "leaves.mp4", 25, crf=10)
    outcome = tdmm("fit", tmp_path / "leaves.mp4", "-o", tmp_path / "out.npz", "--split", 0.2, "--json")
    assert outcome.code == 0, outcome.stderr
    parts = [read_motion(tmp_path / f"out-{number}.npz") for number in (1, 2)]
    assert [len(part) for part in parts] == [4, 3]
    assert all(part.valid.all() for part in parts)
    assert parts[1].timestamps[0] == pytest.approx(14 / 25)
    assert [motion["part"]["number"] for motion in outcome.json["motions"]] == [1, 2]


def test_the_identity_and_the_focal_length_that_are_known(tdmm, tmp_path, face_clip, motion):
    known = replace(motion, shape=np.linspace(-1, 1, 20).astype(np.float32))
    write_motion(known, tmp_path / "known.npz")
    out = tmp_path / "out.npz"
    assert tdmm("fit", face_clip, "-o", out, "--identity", tmp_path / "known.npz", "--focal", 700).code == 0
    fitted = read_motion(out)
    np.testing.assert_allclose(fitted.shape[:20], known.shape, atol=1e-6)
    assert fitted.camera[0, 0] == pytest.approx(700, rel=1e-4)
    write_motion(replace(known, face_model="flame-2023", face_model_sha256="f" * 64), tmp_path / "other.npz")
    outcome = tdmm("fit", face_clip, "-o", out, "--force", "--identity", tmp_path / "other.npz")
    assert outcome.code == 1
    assert "other.npz" in outcome.error_line
    assert "flame-2023" in outcome.error_line
    assert "no such file" in tdmm("fit", face_clip, "-o", out, "--force", "--identity", "nowhere.npz").error_line


def test_landmarks_of_another_detector(tdmm, tmp_path, face_clip):
    from tdmm.fit.detect import open_detector
    from tdmm.fit.observe import observe

    detector = open_detector()
    seen = observe(face_clip, detector)
    detector.close()
    np.savez(tmp_path / "points.npz", points=seen.points, image_size=(256, 256), fps=25.0)
    outcome = tdmm("fit", "--landmarks", tmp_path / "points.npz", "-o", tmp_path / "out.npz", "--json")
    assert outcome.code == 0, outcome.stderr
    assert outcome.json["reprojection_percent"] < 5
    assert len(read_motion(tmp_path / "out.npz")) == 4
    assert len(read_motion(tmp_path / "out.npz").expression_names) == 52


def test_without_the_prior(tdmm, tmp_path, face_clip):
    outcome = tdmm("fit", face_clip, "-o", tmp_path / "out.npz", "--no-prior", "--json")
    assert outcome.code == 0, outcome.stderr
    assert outcome.json["prior"] is False


def test_a_ray_cluster_that_is_not_there(tdmm, tmp_path, face_clip):
    pytest.importorskip("ray", reason="needs the extra ray: pip install 'tdmm[ray]'")
    outcome = tdmm("fit", face_clip, "-o", tmp_path / "out.npz", "--engine", "ray", "--ray-address", "127.0.0.1:1")
    assert outcome.code == 1
    assert "127.0.0.1:1" in outcome.error_line


def test_a_ray_cluster_on_this_machine(clips, tmp_path):
    """Relative paths, which are the same for the workers; Ray says nothing on standard output."""
    pytest.importorskip("ray", reason="needs the extra ray: pip install 'tdmm[ray]'")
    command = [sys.executable, "-m", "tdmm", "fit", "clips", "-o", "out", "--engine", "ray", "--workers", "2", "--json"]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 1, done.stderr
    assert tree(tmp_path / "out") == ["below/four.npz", "failed.jsonl", "one.npz"]
    reports = {report["input"]: report.get("output") for report in lines(done.stdout)}
    assert reports == {
        "clips/one.mp4": "out/one.npz",
        "clips/below/four.MOV": "out/below/four.npz",
        "clips/two.mp4": None,
        "clips/three.mp4": None,
    }
    assert "error: 2 of 4 videos failed" in done.stderr
