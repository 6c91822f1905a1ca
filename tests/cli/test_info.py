"""`tdmm info`: motions, tokens, videos, pictures, face models, codecs, as a table and as JSON."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
from PIL import Image

from tdmm.io.motion_file import write_motion
from tdmm.io.motion_stream import MotionStreamWriter
from tdmm.io.tokens_file import write_tokens
from tdmm.vq.codec import load_codec


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


# -- tokens and codecs ------------------------------------------------------------------------------------


def test_tokens(tdmm, motion, motion_file, tmp_path, tiny_codec_folder):
    codec = load_codec(tiny_codec_folder)
    tokens = [codec.encode(motion, "first"), codec.encode(motion[:3], "second")]
    write_tokens(tmp_path / "t.jsonl", tokens)
    facts = tdmm("info", tmp_path / "t.jsonl", "--codec", tiny_codec_folder, "--json").json
    assert (facts["kind"], facts["motions"], facts["frames"], facts["first"]) == ("tokens", 2, 9, "first")
    assert facts["duration"] == 9 / 25
    assert (facts["codec"], facts["codec_matches"]) == (codec.fingerprint, True)
    assert (facts["tokens"], facts["tokens_per_second"], facts["bits_per_second"]) == (12, 25.0, 100.0)
    assert (facts["streams"], facts["codes"]) == (["face", "face", "head", "head"], [16] * 4)
    columns = np.concatenate([one.codes for one in tokens]).T
    assert facts["codes_used"] == [len(set(column)) for column in columns.tolist()]
    assert len(facts["perplexity"]) == 4
    assert facts["wrong_lines"] is None
    table = tdmm("info", tmp_path / "t.jsonl").text
    assert "perplexity" in table
    assert "wrong lines" not in table
    piped = tdmm("info", "-", "--json", stdin=(tmp_path / "t.jsonl").read_bytes()).json
    assert (piped["kind"], piped["motions"]) == ("tokens", 2)


def test_tokens_of_which_lines_are_wrong(tdmm, motion, tmp_path, tiny_codec_folder):
    write_tokens(tmp_path / "t.jsonl", [load_codec(tiny_codec_folder).encode(motion, "one")])
    (tmp_path / "torn.jsonl").write_bytes((tmp_path / "t.jsonl").read_bytes() + b'{"id":"two","sch')
    facts = tdmm("info", tmp_path / "torn.jsonl", "--json").json
    assert (facts["motions"], facts["wrong_lines"]) == (1, 1)
    assert "line 2" in facts["first_wrong"]
    (tmp_path / "none.jsonl").write_bytes(b'{"id":"two","sch')
    outcome = tdmm("info", tmp_path / "none.jsonl")
    assert (outcome.code, "none.jsonl, line 1" in outcome.error_line) == (1, True)


def test_a_codec(tdmm, tmp_path, tiny_codec_folder):
    codec = load_codec(tiny_codec_folder)
    facts = tdmm("info", tiny_codec_folder, "--json").json
    assert (facts["kind"], facts["fingerprint"]) == ("codec", codec.fingerprint)
    assert (facts["face"], facts["head"], facts["quantiser"], facts["stride"]) == ("2 x 16", "2 x 16", "rvq", 4)
    assert facts["parameters"] == sum(value.numel() for value in codec.network.parameters())
    assert facts["trained"]["motions"] == 20
    assert "options" not in facts["trained"]
    shutil.copytree(tiny_codec_folder, tmp_path / "half")
    (tmp_path / "half" / "model.safetensors").unlink()
    outcome = tdmm("info", tmp_path / "half")
    assert (outcome.code, "there is no model.safetensors" in outcome.error_line) == (1, True)


def test_a_stream_of_frames_is_a_motion(tdmm, motion, tmp_path):
    with open(tmp_path / "frames.jsonl", "wb") as file:
        MotionStreamWriter(file).write(motion)
    facts = tdmm("info", tmp_path / "frames.jsonl", "--json").json
    assert (facts["kind"], facts["frames"]) == ("motion", len(motion))
