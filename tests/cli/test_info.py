"""`tdmm info`: motions, videos, pictures, face models, as a table and as JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
from PIL import Image

from tdmm.io.motion_file import write_motion


def test_a_motion(tdmm, motion_file):
    facts = tdmm("info", motion_file, "--json").json
    assert (facts["kind"], facts["frames"], facts["valid"], facts["fps"]) == ("motion", 6, 6, 25.0)
    assert facts["face_model_matches"] is True
    assert set(facts["strongest"]) == {"jawOpen", "mouthSmileLeft", "mouthSmileRight"}
    assert facts["largest_rotation_degrees"][1] == 11.5  # 0.2 radians
    table = tdmm("info", motion_file).text
    assert "frames" in table
    assert "tdmm-head-1" in table


def test_what_was_seen_and_whose_motion_it_is(tdmm, tmp_path, motion, motion_file):
    facts = tdmm("info", motion_file, "--json").json
    assert facts["expression_confidence"] is facts["face"] is facts["part"] is None
    assert "\npart " not in tdmm("info", motion_file).text
    known = np.full(motion.expression.shape, 0.75, np.float32)
    known[:, motion.expression_names.index("tongueOut")] = 0.25
    known[0] = 0  # not valid, not counted
    report = {"faces": {"number": 2, "of": 3, "dropped": []}, "part": {"number": 1, "of": 2, "from_second": 0.0}}
    valid = np.arange(6) > 0
    told = replace(motion, expression_confidence=known, valid=valid, meta={"fit": report})
    write_motion(told, tmp_path / "told.npz")
    facts = tdmm("info", tmp_path / "told.npz", "--json").json
    assert (facts["face"], facts["part"]) == ("2 of 3", "1 of 2")
    assert facts["expression_confidence"]["tongueOut"] == 0.25
    assert facts["expression_confidence"]["mean"] == 0.74
    table = tdmm("info", tmp_path / "told.npz").text
    assert "tongueOut 0.25" in table
    assert "2 of 3" in table
    assert "\npart " in table


def test_a_motion_on_a_pipe(tdmm, motion_file):
    outcome = tdmm("info", "-", "--json", stdin=motion_file.read_bytes())
    assert outcome.json["frames"] == 6


def test_a_video_and_a_picture(tdmm, faceless_clip, tmp_path):
    facts = tdmm("info", faceless_clip, "--json").json
    assert (facts["kind"], facts["width"], facts["height"], facts["frames_about"]) == ("video", 128, 128, 4)
    Image.fromarray(np.zeros((3, 5, 3), np.uint8)).save(tmp_path / "dot.png")
    facts = tdmm("info", tmp_path / "dot.png", "--json").json
    assert (facts["kind"], facts["width"], facts["height"]) == ("picture", 5, 3)
    assert tdmm("info", "-", "--json", stdin=faceless_clip.read_bytes()).json["kind"] == "video"


def test_the_built_in_head(tdmm):
    facts = tdmm("info", "builtin", "--json").json
    assert (facts["kind"], facts["name"], facts["expressions"]) == ("face model", "tdmm-head-1", 52)
    assert "jawOpen" in facts["expression_names"]


def test_several_files_go_on_after_a_failure(tdmm, motion_file, tmp_path):
    (tmp_path / "text.mp4").write_text("not a video")
    outcome = tdmm("info", tmp_path / "text.mp4", motion_file, "--json")
    assert outcome.code == 1
    broken, whole = (json.loads(line) for line in outcome.text.splitlines())
    assert "text.mp4" in broken["error"]
    assert whole["frames"] == 6
    assert "1 of 2" in outcome.stderr.splitlines()[-1]


def test_one_bad_file_is_one_line(tdmm, tmp_path):
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 and nothing more")
    for name in (tmp_path / "broken.npz", "nowhere.npz", tmp_path):
        outcome = tdmm("info", name)
        assert (outcome.code, outcome.stdout) == (1, b"")
        assert str(name) in outcome.error_line
