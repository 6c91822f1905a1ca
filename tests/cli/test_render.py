"""`tdmm render`: outputs by their ending, pipes, options that clash, motions that are not right."""

from __future__ import annotations

import io
import json
import os
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import tdmm.render as tdmm_render
from tdmm.io.motion_file import write_motion
from tdmm.io.video import open_video


def frames_of(source) -> list[np.ndarray]:
    with open_video(source) as video:
        return [frame.image for frame in video]


@pytest.mark.parametrize("ending", ["mp4", "gif"])
def test_a_video(tdmm, motion_file, tmp_path, ending):
    output = tmp_path / f"out.{ending}"
    outcome = tdmm("render", motion_file, "-o", output, "--size", 48)
    assert (outcome.code, outcome.stdout) == (0, b"")
    assert "6 frames" in outcome.stderr
    frames = frames_of(output)
    assert [frame.shape for frame in frames] == [(48, 48, 3)] * 6
    assert np.abs(frames[0].astype(int) - frames[-1]).max() > 20  # it moves


def test_numbered_frames_and_a_still_are_the_same_pictures(tdmm, motion_file, tmp_path):
    assert tdmm("render", motion_file, "-o", f"{tmp_path}/frames/", "--size", 48).code == 0
    assert sorted(os.listdir(tmp_path / "frames")) == [f"frame_{number:05d}.png" for number in range(6)]
    for option, number in (([], 3), (["--frame", "1"], 1)):  # the middle one by default
        assert tdmm("render", motion_file, "-o", tmp_path / "still.png", "--size", 48, "--force", *option).code == 0
        still = np.asarray(Image.open(tmp_path / "still.png"))
        np.testing.assert_array_equal(still, np.asarray(Image.open(tmp_path / "frames" / f"frame_{number:05d}.png")))


def test_from_a_pipe_to_a_pipe(tdmm, motion_file):
    outcome = tdmm("render", "-", "-o", "-", "--size", 48, stdin=motion_file.read_bytes())
    assert outcome.code == 0
    assert len(frames_of(io.BytesIO(outcome.stdout))) == 6


def test_over_and_beside_a_video(tdmm, motion_file, faceless_clip, tmp_path):
    """The motion has six frames and the video four: the video's are drawn."""
    outcome = tdmm("render", motion_file, "--over", faceless_clip, "-o", tmp_path / "over.mp4", "--opacity", 1)
    assert outcome.code == 0, outcome.stderr
    over, plain = frames_of(tmp_path / "over.mp4"), frames_of(faceless_clip)
    assert [frame.shape for frame in over] == [(128, 128, 3)] * 4
    changed = np.abs(over[1].astype(int) - plain[1]).max(axis=-1) > 30
    assert 0.1 < changed.mean() < 0.9  # the head, not the whole picture
    assert tdmm("render", motion_file, "--beside", faceless_clip, "-o", tmp_path / "beside.mp4").code == 0
    assert frames_of(tmp_path / "beside.mp4")[0].shape == (128, 256, 3)
    outcome = tdmm("render", motion_file, "--over", faceless_clip, "-o", tmp_path / "still.png", "--frame", 2)
    assert outcome.code == 0, outcome.stderr
    assert Image.open(tmp_path / "still.png").size == (128, 128)


@pytest.mark.parametrize("function", ["render", "render_over", "render_beside", "render_grid"])
def test_the_device_reaches_the_renderer(tdmm, motion_file, faceless_clip, tmp_path, monkeypatch, function):
    """A machine with a GPU, as far as the program can tell; the pictures are drawn on the CPU all the same."""
    extra = {
        "render_over": ["--over", faceless_clip],
        "render_beside": ["--beside", faceless_clip],
        "render_grid": [motion_file],
    }
    draw, devices = getattr(tdmm_render, function), []

    def drawn_elsewhere(*arguments, device, **others):
        devices.append(device)
        return draw(*arguments, device="cpu", **others)

    monkeypatch.setattr(tdmm_render, function, drawn_elsewhere)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    for choice in ("auto", "cuda", "cpu"):
        command = ["render", motion_file, *extra.get(function, []), "-o", tmp_path / "still.png", "--force"]
        outcome = tdmm(*command, "--device", choice, "--size", 32)
        assert outcome.code == 0, outcome.stderr
    assert devices == ["cuda", "cuda", "cpu"]


def test_a_gpu_that_is_not_there(tdmm, motion_file, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    outcome = tdmm("render", motion_file, "-o", tmp_path / "still.png", "--size", 32, "--device", "cuda")
    assert outcome.code == 1
    assert "--device cuda" in outcome.error_line
    assert "--device cpu" in outcome.error_line
    assert not (tmp_path / "still.png").exists()
    assert tdmm("render", motion_file, "-o", tmp_path / "still.png", "--size", 32, "--device", "auto").code == 0


def test_a_grid_of_several_motions(tdmm, motion, tmp_path):
    for name in "abc":
        write_motion(motion, tmp_path / f"{name}.npz")
    outcome = tdmm("render", f"{tmp_path}/*.npz", "-o", tmp_path / "grid.mp4", "--size", 64)
    assert outcome.code == 0, outcome.stderr
    height, width, _ = frames_of(tmp_path / "grid.mp4")[0].shape
    assert width >= 128
    assert height >= 128


@pytest.mark.parametrize(
    "options",
    [["--style", "clay"], ["--style", "normals"], ["--view", "side"], ["--identity", "random", "--seed", "3"]],
)
def test_options_change_the_picture(tdmm, motion_file, tmp_path, options):
    assert tdmm("render", motion_file, "-o", tmp_path / "a.png", "--size", 64).code == 0
    assert tdmm("render", motion_file, "-o", tmp_path / "b.png", "--size", 64, *options).code == 0
    first, second = (np.asarray(Image.open(tmp_path / name)).astype(int) for name in ("a.png", "b.png"))
    assert np.abs(first - second).max() > 30


def test_a_seed_means_one_face(tdmm, motion_file, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        options = ["--identity", "random", "--seed", seed, "--size", 48]
        assert tdmm("render", motion_file, "-o", tmp_path / f"{name}.png", *options).code == 0
    pictures = [(tmp_path / f"{name}.png").read_bytes() for name in "abc"]
    assert pictures[0] == pictures[1] != pictures[2]


def test_size_is_width_by_height_and_fps_resamples(tdmm, motion_file, tmp_path):
    outcome = tdmm("render", motion_file, "-o", tmp_path / "out.mp4", "--size", "96x48", "--fps", 50, "--json")
    assert outcome.code == 0
    assert frames_of(tmp_path / "out.mp4")[0].shape == (48, 96, 3)
    report = outcome.json
    assert (report["frames"], report["fps"], report["format"]) == (11, 50.0, "mp4")
    assert report["output"] == str(tmp_path / "out.mp4")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--over", "a.mp4", "--beside", "b.mp4"], "exclude each other"),
        (["--over", "a.mp4", "--view", "side"], "--view side"),
        (["--opacity", "0.5"], "belongs to --over"),
        (["--over", "a.mp4", "--opacity", "1.5"], "from 0"),
        (["--seed", "1"], "--identity random"),
        (["--frame", "1"], "OUT.png"),
        (["--size", "big"], "expected pixels"),
        (["--size", "0"], "expected pixels"),
        (["--over", "-"], "only once"),
        (["--quiet", "--verbose"], "exclude each other"),
        (["--style", "oil"], "oil"),
        (["--fps", "fast"], "--fps"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_options_that_clash_are_refused_with_a_sentence(tdmm, tmp_path, options, sentence):
    source = "-" if "-" in options else "motion.npz"
    outcome = tdmm("render", source, "-o", tmp_path / "out.mp4", *options)
    assert outcome.code == 2
    assert sentence in outcome.error_line
    assert os.listdir(tmp_path) == []


def test_frame_out_of_range(tdmm, motion_file, tmp_path):
    outcome = tdmm("render", motion_file, "-o", tmp_path / "out.png", "--frame", 6)
    assert outcome.code == 2
    assert "0 to 5" in outcome.error_line


# -- motions that are not right ------------------------------------------------------------------------


def spoil(kind: str, motion, path) -> None:
    if kind == "other face model":
        write_motion(replace(motion, face_model="flame-2023", face_model_sha256="0" * 64), path)
        return
    if kind == "text":
        path.write_text("not a motion")
        return
    if kind == "empty":
        path.touch()
        return
    write_motion(motion, path)
    with np.load(path) as archive:
        arrays = dict(archive)
    if kind == "nan":
        arrays["expression"][2, 3] = np.nan
    elif kind == "missing key":
        del arrays["rotation"]
    elif kind == "pickled object":
        arrays["expression"] = np.array([{"jawOpen": 1}], dtype=object)
    np.savez(path, **arrays)
    if kind == "cut short":
        path.write_bytes(path.read_bytes()[:1000])


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("other face model", "flame-2023"),
        ("text", "bad.npz"),
        ("empty", "bad.npz"),
        ("nan", "expression"),
        ("missing key", "rotation"),
        ("pickled object", "expression"),
        ("cut short", "bad.npz"),
    ],
)
def test_a_bad_motion_is_told_in_one_line(tdmm, motion, tmp_path, kind, said):
    spoil(kind, motion, tmp_path / "bad.npz")
    outcome = tdmm("render", tmp_path / "bad.npz", "-o", tmp_path / "out.mp4")
    assert outcome.code == 1
    assert said in outcome.error_line
    assert "bad.npz" in outcome.error_line
    assert os.listdir(tmp_path) == ["bad.npz"]


def test_a_missing_motion_and_a_missing_video(tdmm, motion_file, tmp_path):
    outcome = tdmm("render", "nowhere.npz", "-o", tmp_path / "out.mp4")
    assert (outcome.code, "nowhere.npz" in outcome.error_line) == (1, True)
    outcome = tdmm("render", motion_file, "--over", "nowhere.mp4", "-o", tmp_path / "out.mp4")
    assert (outcome.code, "nowhere.mp4: no such file" in outcome.error_line) == (1, True)


def test_json_is_told_even_when_quiet(tdmm, motion_file, tmp_path):
    outcome = tdmm("render", motion_file, "-o", tmp_path / "out.png", "--size", 16, "--json", "--quiet")
    assert outcome.stderr == ""
    assert json.loads(outcome.stdout)["frames"] == 1
