"""`tdmm tokenize`: motions to tokens and back, in files, corpora and pipes."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tdmm.io.manifest import read_manifest
from tdmm.io.motion_file import motion_bytes, read_motion, write_motion
from tdmm.io.motion_stream import MotionStreamWriter, read_motion_stream
from tdmm.io.tokens_file import line_of, read_tokens
from tdmm.motion import FaceMotion, concatenate
from tdmm.vq.codec import Codec, load_codec
from tdmm.vq.corpora import tokenize_corpus
from tdmm.vq.stream import StreamEncoder


@pytest.fixture(scope="module")
def codec(tiny_codec_folder) -> Codec:
    return load_codec(tiny_codec_folder)


@pytest.fixture
def tokenize(tdmm, tiny_codec_folder):
    def call(*arguments: object, **others: object):
        return tdmm("tokenize", *arguments, "--codec", tiny_codec_folder, "--device", "cpu", **others)

    return call


@pytest.fixture(scope="module")
def motions(tiny_corpus) -> list[FaceMotion]:
    clips = read_manifest(tiny_corpus / "manifest.jsonl")
    return [read_motion(f"{tiny_corpus}/{clip.motion}") for clip in clips]


@pytest.fixture
def corpus(tiny_corpus, tmp_path) -> Path:
    """A copy to write into."""
    return Path(shutil.copytree(tiny_corpus, tmp_path / "corpus"))


def stream_of(motion: FaceMotion) -> bytes:
    buffer = io.BytesIO()
    MotionStreamWriter(buffer).write(motion)
    return buffer.getvalue()


def parts_of(codec: Codec, motion: FaceMotion, id: str = "stdin") -> list[bytes]:
    """Lines of the parts of a motion that came in pieces."""
    encoder = StreamEncoder(codec, id, 6)
    parts = [encoder.push(motion[start : start + 9]) for start in range(0, len(motion), 9)]
    return [line_of(part).encode() + b"\n" for part in [*parts, encoder.finish()] if part is not None]


# -- one motion -------------------------------------------------------------------------------------------


def test_there_and_back_by_files(tokenize, codec, motions, tmp_path):
    write_motion(motions[0], tmp_path / "one.npz")
    outcome = tokenize(tmp_path / "one.npz", "-o", tmp_path / "one.jsonl", "--json")
    assert outcome.code == 0, outcome.stderr
    (tokens,) = read_tokens(tmp_path / "one.jsonl")
    assert tokens == replace(codec.encode(motions[0]), id="one")
    assert outcome.json == {
        "output": str(tmp_path / "one.jsonl"),
        "motions": 1,
        "there_before": 0,
        "frames": len(motions[0]),
        "tokens": tokens.codes.size,
        "codec": codec.fingerprint,
        "tokens_per_second": 25.0,
        "bits_per_second": 100.0,
        "failures": [],
    }
    back = tokenize("--decode", tmp_path / "one.jsonl", "-o", tmp_path / "back.npz", "--json")
    assert (back.code, back.json["motions"], back.json["frames"]) == (0, 1, len(motions[0]))
    assert read_motion(tmp_path / "back.npz") == codec.decode(tokens)


def test_there_and_back_by_pipes(tokenize, codec, motions):
    told = tokenize("-", stdin=motion_bytes(motions[1]))
    assert told.code == 0, told.stderr
    assert told.text.count("\n") == 1
    assert json.loads(told.text)["id"] == "stdin"
    assert tokenize("-", "--quiet", stdin=motion_bytes(motions[1])).stderr == ""
    back = tokenize("--decode", "-", stdin=told.stdout)
    assert read_motion(io.BytesIO(back.stdout)) == codec.decode(codec.encode(motions[1]))


def test_tokens_may_go_to_a_terminal_and_motions_not(tokenize, codec, motions, tmp_path):
    write_motion(motions[0], tmp_path / "one.npz")
    outcome = tokenize(tmp_path / "one.npz", terminal=("stdout",))
    assert outcome.code == 0
    refused = tokenize("--decode", "-", stdin=outcome.stdout, terminal=("stdout",))
    assert (refused.code, refused.text) == (2, "")
    assert "terminal" in refused.error_line
    assert tokenize("--decode", "--stream", "-", stdin=outcome.stdout, terminal=("stdout",)).code == 0


def test_one_frame(tokenize, codec, motions):
    told = tokenize("-", stdin=motion_bytes(motions[0][:1]))
    assert len(json.loads(told.text)["codes"]) == 1
    assert len(read_motion(io.BytesIO(tokenize("--decode", "-", stdin=told.stdout).stdout))) == 1


def test_the_necks_pose_is_not_coded_and_that_is_said_once(tokenize, motions, tmp_path):
    neck = np.full((len(motions[0]), 3), 0.1, np.float32)
    for name in ("one", "two"):
        write_motion(replace(motions[0], neck_pose=neck), tmp_path / f"{name}.npz")
    outcome = tokenize(tmp_path / "one.npz", tmp_path / "two.npz", "-o", tmp_path / "both.jsonl")
    assert outcome.code == 0
    assert outcome.stderr.count("pose of the neck is not coded") == 1


# -- many motions -----------------------------------------------------------------------------------------


def test_shards_folders_and_globs(tokenize, codec, tiny_corpus, motions, tmp_path):
    (shard,) = (tiny_corpus / "motions").iterdir()
    (line,) = tokenize(f"{shard}#5").text.splitlines()
    assert json.loads(line)["id"] == f"{shard.stem}#5"
    assert json.loads(line)["codes"] == codec.encode(motions[5]).codes.tolist()
    ids = [json.loads(line)["id"] for line in tokenize(shard).text.splitlines()]
    assert ids == [f"{shard.stem}#{number}" for number in range(24)]
    (tmp_path / "some" / "deeper").mkdir(parents=True)
    for name in ("a", "b", "deeper/c"):
        write_motion(motions[0], tmp_path / "some" / f"{name}.npz")
    lines = tokenize(tmp_path / "some").text.splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["a", "b", "deeper/c"]
    lines = tokenize(tmp_path / "some" / "?.npz").text.splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["a", "b"]


def test_a_folder_of_tokens_keeps_what_is_there(tokenize, codec, motions, tmp_path):
    for number in range(3):
        write_motion(motions[number], tmp_path / f"m{number}.npz")
    place = tmp_path / "tokens"
    command = (tmp_path / "m?.npz", "-o", f"{place}/", "--json")
    assert tokenize(*command).json["motions"] == 3
    assert sorted(os.listdir(place)) == ["m0.jsonl", "m1.jsonl", "m2.jsonl"]
    (place / "m1.jsonl").unlink()
    again = tokenize(*command).json
    assert (again["motions"], again["there_before"]) == (1, 2)
    decoded = tokenize("--decode", place, "-o", f"{tmp_path / 'decoded'}/", "--json").json
    assert decoded["motions"] == 3
    assert read_motion(tmp_path / "decoded" / "m2.npz") == codec.decode(codec.encode(motions[2]))
    once_more = tokenize("--decode", place, "-o", tmp_path / "decoded", "--json").json
    assert (once_more["motions"], once_more["there_before"]) == (0, 3)


def test_motions_that_cannot_be_coded_are_named_and_the_others_done(tokenize, motions, tmp_path):
    write_motion(motions[0], tmp_path / "good.npz")
    write_motion(replace(motions[0], face_model="other", face_model_sha256="0" * 64), tmp_path / "other.npz")
    (tmp_path / "torn.npz").write_bytes(motion_bytes(motions[0])[:99])
    sources = [tmp_path / f"{name}.npz" for name in ("torn", "other", "good")]
    outcome = tokenize(*sources, "-o", tmp_path / "t.jsonl", "--json")
    assert outcome.code == 1
    errors = [line for line in outcome.stderr.splitlines() if line.startswith("error: ")]
    assert ["torn.npz" in errors[0], "other.npz" in errors[1], len(errors)] == [True, True, 2]
    assert [one["id"] for one in outcome.json["failures"]] == ["torn", "other"]
    assert [one.id for one in read_tokens(tmp_path / "t.jsonl")] == ["good"]
    # Alone it is an error of one line, and no file is made.
    alone = tokenize(tmp_path / "torn.npz", "-o", tmp_path / "no.jsonl")
    assert alone.code == 1
    assert "torn.npz" in alone.error_line
    assert not (tmp_path / "no.jsonl").exists()


# -- corpora ----------------------------------------------------------------------------------------------


def test_a_corpus_gets_its_tokens_beside_the_manifest(tokenize, codec, motions, corpus):
    outcome = tokenize(corpus, "--json")
    assert outcome.code == 0, outcome.stderr
    assert (outcome.json["motions"], outcome.json["output"]) == (24, str(corpus / "tokens.jsonl"))
    clips = read_manifest(corpus / "manifest.jsonl")
    found = list(read_tokens(corpus / "tokens.jsonl"))
    assert [one.id for one in found] == [clip.id for clip in clips]
    for one, motion in zip(found, motions, strict=True):
        assert np.array_equal(one.codes, codec.encode(motion).codes)
    before = (corpus / "tokens.jsonl").read_bytes()
    again = tokenize(corpus, "--json")
    assert (again.code, again.json["motions"], again.json["there_before"]) == (0, 0, 24)
    assert (corpus / "tokens.jsonl").read_bytes() == before


def test_a_stopped_run_goes_on(tokenize, corpus):
    tokenize(corpus, "--quiet")
    path = corpus / "tokens.jsonl"
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    # The order of another run, a clip that was deleted, a line that a power cut tore.
    stranger = lines[0].replace(b'"id":"', b'"id":"gone-', 1)
    path.write_bytes(lines[7] + stranger + b"".join(lines[:5]) + lines[9][:200])
    outcome = tokenize(corpus, "--json")
    assert (outcome.code, outcome.json["there_before"], outcome.json["motions"]) == (0, 6, 18)
    assert path.read_bytes() == whole
    # Torn at the very end of a line that is whole.
    path.write_bytes(whole[:-1])
    assert tokenize(corpus, "--json").json["there_before"] == 24
    assert path.read_bytes() == whole


def test_what_was_coded_stays_when_a_run_is_stopped(codec, corpus):
    def stop(done: int, total: int, failed: int) -> None:
        if done == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tokenize_corpus(corpus, codec, progress=stop)
    assert len(list(read_tokens(corpus / "tokens.jsonl"))) == 10
    assert tokenize_corpus(corpus, codec).there_before == 10


def test_tokens_of_another_codec_are_not_touched_without_force(tokenize, corpus):
    tokenize(corpus, "--quiet")
    path = corpus / "tokens.jsonl"
    whole = path.read_bytes()
    own = json.loads(whole.splitlines()[0])["codec"].encode()
    others = whole.replace(own, b"0123456789abcdef")
    path.write_bytes(others)
    outcome = tokenize(corpus)
    assert outcome.code == 1
    assert "0123456789abcdef" in outcome.error_line
    assert "--force" in outcome.error_line
    assert path.read_bytes() == others
    assert tokenize(corpus, "--force").code == 0
    assert path.read_bytes() == whole


def test_splits_of_a_corpus(tokenize, corpus):
    assert tokenize(corpus, "--split", "val", "--json").json["motions"] == 4
    # The others come to them, and what is there of them is kept.
    both = tokenize(corpus, "--split", "train,val", "--json").json
    assert (both["motions"], both["there_before"]) == (20, 4)
    assert tokenize(corpus, "--split", "val", "-o", corpus / "val.jsonl").code == 0
    assert len(list(read_tokens(corpus / "val.jsonl"))) == 4
    wrong = tokenize(corpus, "--split", "dev")
    assert (wrong.code, "train, val" in wrong.error_line) == (1, True)


def test_a_clip_that_cannot_be_read(tokenize, corpus):
    manifest = corpus / "manifest.jsonl"
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    lines[3]["motion"] = "motions/nowhere.npz"
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    outcome = tokenize(corpus, "--json")
    assert (outcome.code, outcome.json["motions"]) == (1, 23)
    assert [one["id"] for one in outcome.json["failures"]] == [lines[3]["id"]]
    assert "nowhere.npz" in outcome.stderr.splitlines()[0]


# -- streams ----------------------------------------------------------------------------------------------


def test_a_stream_of_frames_becomes_parts_that_join(tokenize, codec, motions, tmp_path):
    motion = concatenate(motions[:3])
    told = tokenize("-", stdin=stream_of(motion))
    assert told.code == 0, told.stderr
    parts = list(read_tokens(io.BytesIO(told.stdout)))
    assert [(one.id, one.part) for one in parts] == [("stdin", number) for number in range(len(parts))]
    back = tokenize("--decode", "-", stdin=told.stdout)
    assert read_motion(io.BytesIO(back.stdout)) == codec.decode(codec.encode(motion))
    # A stream in a file is a motion like others.
    (tmp_path / "frames.jsonl").write_bytes(stream_of(motion))
    (whole,) = tokenize(tmp_path / "frames.jsonl").text.splitlines()
    assert json.loads(whole)["codes"] == codec.encode(motion).codes.tolist()


def test_tokens_become_a_stream_of_frames(tokenize, codec, motions, tmp_path):
    motion = motions[2]
    lines = b"".join(parts_of(codec, motion))
    (tmp_path / "t.jsonl").write_bytes(lines)
    expected = codec.decode(codec.encode(motion))
    assert tokenize("--decode", tmp_path / "t.jsonl", "-o", tmp_path / "frames.jsonl").code == 0
    piped = tokenize("--decode", "--stream", "-", stdin=lines).stdout
    assert piped == (tmp_path / "frames.jsonl").read_bytes()
    found = concatenate(list(read_motion_stream(io.BytesIO(piped))))
    assert np.array_equal(found.timestamps, expected.timestamps)
    assert np.abs(found.expression - expected.expression).max() < 1e-5


def test_a_stream_that_breaks_off_is_kept_so_far(tokenize, codec, motions, tmp_path):
    torn = stream_of(motions[0])[:-300]
    outcome = tokenize("-", "-o", tmp_path / "t.jsonl", stdin=torn)
    assert outcome.code == 1
    assert "standard input, line" in outcome.error_line
    parts = list(read_tokens(tmp_path / "t.jsonl"))
    assert parts[-1].last
    assert sum(part.frames for part in parts) == len(motions[0]) - 1


def test_live_frames_come_out_while_others_go_in(tiny_codec_folder, codec, motions, start):
    """Two programs in a pipe that is not at its end: frames go in, frames come out."""
    common = [sys.executable, "-m", "tdmm", "tokenize", "--codec", str(tiny_codec_folder), "--device", "cpu", "-q"]
    coder = start([*common, "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    decoder = start([*common, "--decode", "--stream", "-"], stdin=coder.stdout, stdout=subprocess.PIPE)
    coder.stdout.close()  # the decoder has it
    coder.stdout = None
    motion = concatenate(motions[:2])
    writer = MotionStreamWriter(coder.stdin)
    stride = codec.config.stride
    # One part of six steps, and what encoder and decoder see ahead of what they give.
    needed = (6 + codec.config.encoder_ahead) * stride
    writer.write(motion[:needed])
    lines = [json.loads(decoder.stdout.readline()) for _ in range(1 + (6 - codec.config.decoder_ahead) * stride)]
    assert lines[0]["schema"] == "tdmm.motion-stream/1"
    assert lines[-1]["t"] == pytest.approx((len(lines) - 2) / 25)
    writer.write(motion[needed:])
    coder.stdin.close()
    coder.stdin = None
    assert len(decoder.stdout.read().splitlines()) == len(motion) - len(lines) + 1
    assert (coder.wait(), decoder.wait()) == (0, 0)


def test_a_live_stream_that_is_stopped_is_kept_so_far(tokenize, codec, motions, tmp_path, monkeypatch):
    def frames(*_: object):
        yield motions[0][:40]
        raise KeyboardInterrupt

    monkeypatch.setattr("tdmm.io.motion_stream.read_motion_stream", frames)
    outcome = tokenize("-", "-o", tmp_path / "t.jsonl", stdin=b"{")
    assert (outcome.code, outcome.error_line) == (130, "error: interrupted")
    parts = list(read_tokens(tmp_path / "t.jsonl"))
    assert (sum(part.frames for part in parts), parts[-1].last) == (40, True)


# -- decoding what is wrong -------------------------------------------------------------------------------


def test_bad_lines_are_told_with_file_and_line_and_the_good_ones_decoded(tokenize, codec, motions, tmp_path):
    good = [line_of(codec.encode(motion, f"m{number}")) for number, motion in enumerate(motions[:3])]
    other = line_of(replace(codec.encode(motions[3], "other"), codec="0" * 16))
    beyond = json.loads(good[2]) | {"id": "beyond"}
    beyond["codes"][1][1] = 16
    lines = [good[0], good[1][:200], "", other, json.dumps(beyond), good[2]]
    (tmp_path / "t.jsonl").write_text("\n".join(lines) + "\n")
    outcome = tokenize("--decode", tmp_path / "t.jsonl", "-o", f"{tmp_path / 'out'}/")
    assert outcome.code == 1
    assert sorted(os.listdir(tmp_path / "out")) == ["m0.npz", "m2.npz"]
    told = [line for line in outcome.stderr.splitlines() if line.startswith("error: ")]
    for line, number, why in zip(told, (2, 4, 5), ("JSON", "codec", "0..15"), strict=True):
        assert f"{tmp_path / 't.jsonl'}, line {number}: " in line
        assert why in line


@pytest.mark.parametrize("name", ["../x", "/tmp/x", "a/../../x", "..", "a\\b"])
def test_ids_that_lead_out_of_the_folder_are_refused(tokenize, codec, motions, tmp_path, name):
    (tmp_path / "t.jsonl").write_text(line_of(codec.encode(motions[0], name)))
    outcome = tokenize("--decode", tmp_path / "t.jsonl", "-o", f"{tmp_path / 'out'}/")
    assert outcome.code == 1
    assert "within the folder" in outcome.error_line
    assert list(tmp_path.rglob("*.npz")) == []


def test_ids_in_folders_and_ids_that_are_there_twice(tokenize, codec, motions, tmp_path):
    lines = [line_of(codec.encode(motions[n], name)) for n, name in enumerate(["a/b", "c", "c"])]
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    outcome = tokenize("--decode", tmp_path / "t.jsonl", "-o", f"{tmp_path / 'out'}/")
    assert (outcome.code, "'c' is there twice" in outcome.stderr) == (1, True)
    assert (tmp_path / "out" / "a" / "b.npz").is_file()
    assert len(read_motion(tmp_path / "out" / "c.npz")) == len(motions[1])


def test_several_motions_need_a_folder(tokenize, codec, motions, tmp_path):
    (tmp_path / "t.jsonl").write_text("".join(line_of(codec.encode(one, "m")) + "\n" for one in motions[:2]))
    for more in (["-o", tmp_path / "m.npz"], [], ["--stream"]):
        outcome = tokenize("--decode", tmp_path / "t.jsonl", *more)
        assert outcome.code == 2
        assert "-o DIR/" in outcome.error_line
    assert not (tmp_path / "m.npz").exists()


def test_a_part_that_is_missing(tokenize, codec, motions, tmp_path):
    first, second, _, *others = parts_of(codec, concatenate(motions[:3]))
    assert len(others) > 1
    outcome = tokenize("--decode", "-", "-o", tmp_path / "m.npz", stdin=b"".join([first, second, *others]))
    assert outcome.code == 1
    assert outcome.stderr.count("error: ") == 1
    assert "part 3 comes without the one before it" in outcome.stderr
    tokens = list(read_tokens(io.BytesIO(first + second)))
    assert len(read_motion(tmp_path / "m.npz")) == sum(one.frames for one in tokens)


def test_parts_that_end_without_the_last_one_are_a_motion(tokenize, codec, motions, tmp_path):
    lines = parts_of(codec, motions[0])[:-1]
    outcome = tokenize("--decode", "-", "-o", tmp_path / "m.npz", stdin=b"".join(lines))
    assert outcome.code == 0
    assert "last part is not there" in outcome.stderr


# -- wrong usage ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["nowhere.npz"], 1, "nowhere.npz: there is no such file"),
        (["one.npz", "-o", "t.txt"], 2, "expected a name that ends in .jsonl"),
        (["one.npz", "-o", "t.jsonl", "--codec", "nowhere"], 1, "nowhere: is no codec"),
        (["one.npz", "-o", "there.jsonl"], 1, "there.jsonl is already there"),
        (["one.npz", "other/one.npz", "-o", "t.jsonl"], 2, "would both have the id one"),
        (["one.npz", "--json"], 2, "both go to standard output"),
        (["one.npz", "--stream"], 2, "--stream belongs to --decode"),
        (["one.npz", "--split", "val"], 2, "--split chooses clips of a corpus"),
        (["empty"], 1, "empty: this folder holds no motions"),
        (["one.npz", "one.npz", "-o", "no/t.jsonl"], 2, "would both have the id one"),
        (["one.npz", "-o", "no/t.jsonl"], 1, "there is no folder no"),
        (["--decode", "nowhere.jsonl", "-o", "t.npz"], 1, "nowhere.jsonl: there is no such file"),
        (["--decode", "one.npz", "-o", "t.npz"], 1, "one.npz: expected JSON lines of tokens"),
        (["--decode", "empty.jsonl", "-o", "t.npz"], 1, "expected lines of tokens, found none"),
        (["--decode", "empty.jsonl", "-o", "t.mp4"], 2, "expected a name that ends in .npz"),
        (["--decode", "empty.jsonl", "--split", "val"], 2, "--split chooses motions"),
        (["--decode", "empty.jsonl", "--json"], 2, "both go to standard output"),
        (["--decode", "--stream", "empty.jsonl", "-o", "empty"], 2, "is a folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_is_told_in_one_line(
    tdmm, tiny_codec_folder, motions, tmp_path, monkeypatch, arguments, code, expected
):
    monkeypatch.chdir(tmp_path)
    for folder in ("other", "empty"):
        Path(folder).mkdir()
    for path in ("one.npz", "other/one.npz"):
        write_motion(motions[0], path)
    Path("there.jsonl").write_text("mine")
    Path("empty.jsonl").write_text("")
    before = sorted(Path().rglob("*"))
    if "--codec" not in arguments:
        arguments = [*arguments, "--codec", str(tiny_codec_folder)]
    outcome = tdmm("tokenize", *arguments)
    assert outcome.code == code, outcome.stderr
    assert expected in outcome.error_line
    assert outcome.text == ""
    assert sorted(Path().rglob("*")) == before
