"""`tdmm fit`: one video, many, pipes, previews; what is no video, and videos without a face."""

from __future__ import annotations

import io
import os

import numpy as np
import pytest
from photograph import astronaut
from PIL import Image

from tdmm.io.motion_file import read_motion
from tdmm.io.video import open_video, write_video

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def test_one_video(tdmm, face_clip, tmp_path):
    outcome = tdmm("fit", face_clip, "-o", tmp_path / "motion.npz", "--preview", tmp_path / "overlay.mp4", "--json")
    assert outcome.code == 0, outcome.stderr
    report = outcome.json
    assert report["input"] == str(face_clip)
    assert report["output"] == str(tmp_path / "motion.npz")
    assert (report["frames"], report["valid"]) == (4, 4)
    assert 0 < report["reprojection_percent"] < 5
    assert {"decode", "detect", "solve", "total"} <= set(report["seconds"])
    assert report["fps"] > 0
    motion = read_motion(tmp_path / "motion.npz")
    np.testing.assert_allclose(motion.timestamps, np.arange(4) / 25, atol=1e-6)
    assert motion.image_size == (256, 256)
    with open_video(tmp_path / "overlay.mp4") as video:
        assert len([frame for frame in video]) == 4
        assert (video.info.width, video.info.height) == (256, 256)
    assert "4 frames, 4 with a face" in outcome.stderr


def test_from_a_pipe_to_a_pipe(tdmm, face_clip):
    outcome = tdmm("fit", "-", stdin=face_clip.read_bytes())
    assert outcome.code == 0, outcome.stderr
    assert len(read_motion(io.BytesIO(outcome.stdout))) == 4


def test_a_picture_is_a_motion_of_one_frame(tdmm, tmp_path):
    Image.fromarray(astronaut()).save(tmp_path / "face.jpg")
    outcome = tdmm("fit", tmp_path / "face.jpg", "-o", f"{tmp_path}/motions/", "--quiet")
    assert (outcome.code, outcome.stderr) == (0, "")
    assert len(read_motion(tmp_path / "motions" / "face.npz")) == 1


def test_nothing_is_replaced_without_force(tdmm, face_clip, tmp_path):
    (tmp_path / "motion.npz").write_bytes(b"mine")
    outcome = tdmm("fit", face_clip, "-o", tmp_path / "motion.npz")
    assert outcome.code == 1
    assert "--force" in outcome.error_line
    assert (tmp_path / "motion.npz").read_bytes() == b"mine"
    assert tdmm("fit", face_clip, "-o", tmp_path / "motion.npz", "--force").code == 0
    assert len(read_motion(tmp_path / "motion.npz")) == 4


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["a.mp4", "b.mp4", "-o", "out.npz"], "need a folder"),
        (["a.mp4", "b.mp4"], "need a folder"),
        (["x/a.mp4", "y/a.mp4", "-o", "out/"], "both become"),
        (["a.mp4", "-o", "out.mp4"], ".npz"),
        (["-", "-", "-o", "out/"], "only once"),
        (["a.mp4", "--json"], "standard output"),
        (["a.mp4", "--faces", "all"], "standard output"),
        (["a.mp4", "--split", "1"], "standard output"),
        (["a.mp4", "--engine", "ray"], "standard output"),
        (["-", "-o", "out.npz", "--engine", "ray"], "standard input"),
        (["-", "a.mp4", "-o", "out/", "--ray-address", "x:1"], "--engine ray"),
        (["a.mp4", "-o", "out.npz", "--faces", "0"], "--faces 0"),
        (["a.mp4", "-o", "out.npz", "--faces", "many"], "--faces many"),
        (["a.mp4", "-o", "out.npz", "--focal", "-3"], "--focal -3"),
        (["a.mp4", "-o", "out.npz", "--split", "0"], "--split 0"),
        (["a.mp4", "-o", "out.npz", "--workers", "0"], "--workers 0"),
        (["a.mp4", "-o", "out.npz", "--workers", "some"], "--workers some"),
        (["a.mp4", "-o", "out.npz", "--landmarks", "p.npz"], "leave VIDEO out"),
        (["-o", "out.npz", "--landmarks", "p.npz", "--faces", "2"], "leave --faces out"),
        (["-", "-o", "out.npz", "--preview", "p.mp4"], "standard input"),
        (["a.mp4", "-o", "out.npz", "--preview", "-"], "--preview"),
        ([], "VIDEO"),
    ],
)
def test_what_does_not_go_together_is_refused_with_a_sentence(tdmm, tmp_path, monkeypatch, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    outcome = tdmm("fit", *arguments)
    assert outcome.code == 2
    assert sentence in outcome.error_line
    assert os.listdir(tmp_path) == []


# -- videos that are not right -------------------------------------------------------------------------


def spoil(kind: str, clip, path) -> None:
    if kind == "text":
        path.write_text("not a video")
    elif kind == "empty":
        path.touch()
    elif kind == "cut short":
        path.write_bytes(clip.read_bytes()[:-2000])
    elif kind == "one pixel":
        write_video([np.zeros((1, 1, 3), np.uint8)] * 3, path, 25)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("missing", "no such file"),
        ("text", "cannot read"),
        ("empty", "0 bytes"),
        ("cut short", "cut short"),
        ("one pixel", "face"),
    ],
)
def test_a_bad_video_is_told_in_one_line(tdmm, face_clip, tmp_path, kind, said):
    spoil(kind, face_clip, tmp_path / "bad.mp4")
    before = os.listdir(tmp_path)
    outcome = tdmm("fit", tmp_path / "bad.mp4", "-o", tmp_path / "motion.npz", "--preview", tmp_path / "overlay.mp4")
    assert outcome.code == 1
    assert said in outcome.error_line
    assert "bad.mp4" in outcome.error_line
    assert os.listdir(tmp_path) == before


def test_no_face(tdmm, faceless_clip, tmp_path):
    outcome = tdmm("fit", faceless_clip, "-o", tmp_path / "motion.npz")
    assert outcome.code == 1
    assert "faceless.mp4" in outcome.error_line
    assert "face" in outcome.error_line
    assert os.listdir(tmp_path) == []


def test_a_face_that_leaves_is_marked(tdmm, tmp_path):
    face = astronaut()
    nothing = np.full_like(face, 128)
    write_video([face] * 4 + [nothing] * 3 + [face] * 3, tmp_path / "leaves.mp4", 25, crf=10)
    outcome = tdmm("fit", tmp_path / "leaves.mp4", "-o", tmp_path / "motion.npz", "--json")
    assert outcome.code == 0, outcome.stderr
    motion = read_motion(tmp_path / "motion.npz")
    assert motion.valid.tolist() == [True] * 4 + [False] * 3 + [True] * 3
    assert outcome.json["valid"] == 7
    # Bridged, not zeroed: the same face before and after.
    np.testing.assert_allclose(motion.translation[4:7], np.tile(motion.translation[3], (3, 1)), atol=0.02)


def test_a_second_face_does_not_take_over(tdmm, tmp_path):
    """The larger face stays the one that is followed when a smaller one appears."""
    large, small = astronaut(256), astronaut(160)
    alone = np.full((256, 448, 3), 128, np.uint8)
    alone[:, :256] = large
    both = alone.copy()
    both[48:208, 272:432] = small
    write_video([alone] * 3 + [both] * 4, tmp_path / "two.mp4", 25, crf=10)
    assert tdmm("fit", tmp_path / "two.mp4", "-o", tmp_path / "motion.npz").code == 0
    motion = read_motion(tmp_path / "motion.npz")
    assert motion.valid.all()
    # The followed face stays in the left part: its centre projects left of the middle.
    column = motion.camera[0, 0] * motion.translation[:, 0] / -motion.translation[:, 2] + motion.camera[0, 2]
    assert (column < 224).all()


def test_a_portrait_that_was_stored_lying_down(tdmm, face_clip, tmp_path):
    """Rotation metadata: the face is upright only when it is honoured."""
    import subprocess

    from tdmm.io import ffmpeg

    turn = [ffmpeg.ffmpeg_path(), "-loglevel", "error", "-nostdin"]
    lying, tagged = str(tmp_path / "lying.mp4"), str(tmp_path / "tagged.mp4")
    subprocess.run([*turn, "-i", str(face_clip), "-vf", "transpose=clock", "-crf", "10", lying], check=True)
    subprocess.run([*turn, "-display_rotation", "90", "-i", lying, "-c", "copy", tagged], check=True)
    assert tdmm("fit", tagged, "-o", tmp_path / "motion.npz").code == 0
    motion = read_motion(tmp_path / "motion.npz")
    assert motion.valid.all()
    assert np.abs(motion.rotation[:, 2]).max() < 0.4  # upright, not 90 degrees on its side


def test_4k(tdmm, tmp_path):
    picture = np.full((2160, 3840, 3), 128, np.uint8)
    picture[200:1900, 1000:2700] = astronaut(1700)
    write_video([picture] * 2, tmp_path / "4k.mp4", 25, preset="ultrafast")
    assert tdmm("fit", tmp_path / "4k.mp4", "-o", tmp_path / "motion.npz").code == 0
    motion = read_motion(tmp_path / "motion.npz")
    assert motion.image_size == (2160, 3840)
    assert motion.valid.all()
