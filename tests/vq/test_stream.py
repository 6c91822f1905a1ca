"""Motions without a known end: pieces give what the whole gives, and little is held."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tdmm.errors import MotionError, TokensError
from tdmm.io.manifest import read_manifest
from tdmm.io.motion_file import read_motion
from tdmm.motion import FaceMotion, concatenate
from tdmm.vq.codec import Codec, load_codec
from tdmm.vq.columns import first_pose
from tdmm.vq.stream import StreamDecoder, StreamEncoder, join_parts


@pytest.fixture(scope="module")
def codec(tiny_codec_folder) -> Codec:
    return load_codec(tiny_codec_folder)


@pytest.fixture(scope="module")
def motion(tiny_corpus) -> FaceMotion:
    """Some motions one after the other, 701 frames, some of them without a face; it begins at 3.5 seconds."""
    clips = read_manifest(tiny_corpus / "manifest.jsonl")
    motions = [read_motion(f"{tiny_corpus}/{clip.motion}") for clip in clips[:16]]
    whole = concatenate(motions)[:701]
    valid = np.ones(len(whole), bool)
    valid[[0, 1, 100, 700]] = valid[333:341] = False
    return replace(whole, valid=valid, timestamps=whole.timestamps + 3.5, text="moves")


def pieces(motion: FaceMotion, *sizes: int) -> list[FaceMotion]:
    """The motion cut into pieces of these sizes, over and over."""
    found, start = [], 0
    while start < len(motion):
        size = sizes[len(found) % len(sizes)]
        found.append(motion[start : start + size])
        start += size
    return found


def streamed(codec: Codec, motion: FaceMotion, *sizes: int, least: int = 1):
    encoder = StreamEncoder(codec, "one", least)
    parts = [part for piece in pieces(motion, *sizes) if (part := encoder.push(piece)) is not None]
    return [*parts, encoder.finish()]


def test_the_first_pose_is_that_of_the_first_frame_valid_or_not(motion):
    rotation, translation = first_pose(motion)
    assert np.array_equal(rotation, motion.rotation[0])
    assert np.array_equal(translation, motion.translation[0])


@pytest.mark.parametrize("sizes", [(1,), (7,), (13, 1, 101), (701,)], ids=str)
def test_the_parts_together_are_the_tokens_of_the_whole(codec, motion, sizes):
    parts = streamed(codec, motion, *sizes)
    assert [part.part for part in parts] == list(range(len(parts)))
    assert [part.last for part in parts] == [False] * (len(parts) - 1) + [True]
    assert join_parts(parts) == codec.encode(motion, "one")


@pytest.mark.parametrize(("fps", "sizes"), [(30.0, (1,)), (30.0, (31, 2)), (59.94, (17,)), (12.5, (1,))], ids=str)
def test_other_rates_come_to_the_codecs_rate_on_the_way(codec, motion, fps, sizes):
    other = motion.resample(fps)
    whole = codec.encode(other, "one")
    assert whole.fps == 25
    assert join_parts(streamed(codec, other, *sizes)) == whole


def test_times_with_gaps_are_bridged_as_in_the_whole(codec, motion):
    times = motion.timestamps.copy()
    times[200:] += 0.33
    times[500:] += 1.71
    gaps = replace(motion, timestamps=times)
    assert join_parts(streamed(codec, gaps, 11)) == codec.encode(gaps, "one")


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_a_few_frames_are_a_motion(codec, motion, frames):
    few = motion[:frames]
    (part,) = streamed(codec, few, 1)
    assert part.last
    assert join_parts([part]) == codec.encode(few, "one")


def test_codes_come_as_soon_as_the_encoder_has_seen_far_enough(codec, motion):
    encoder = StreamEncoder(codec)
    stride, ahead = codec.config.stride, codec.config.encoder_ahead
    came = [encoder.push(piece) is not None for piece in pieces(motion[:40], 1)]
    assert came.index(True) + 1 == (1 + ahead) * stride
    assert sum(came) == 40 // stride - ahead


def test_parts_of_a_least_length(codec, motion):
    parts = streamed(codec, motion, 3, least=6)
    assert min(len(part) for part in parts[:-1]) >= 6
    assert join_parts(parts) == codec.encode(motion, "one")


def test_little_is_held_of_an_endless_motion(codec, motion):
    encoder, decoder, most = StreamEncoder(codec), None, 0
    start = motion.timestamps[0]
    for turn in range(3):
        again = replace(motion, timestamps=motion.timestamps + turn * len(motion) / 25)
        for piece in pieces(again, 5):
            part = encoder.push(piece)
            if part is not None:
                decoder = decoder or StreamDecoder(codec, part)
                decoder.push(part.codes, part.valid)
                most = max(most, encoder.held + decoder.held * codec.config.stride)
    assert encoder.finish().start > start + 3 * 27
    assert most < 150


@pytest.mark.parametrize("sizes", [(1,), (2, 5), (97,), (1000,)], ids=str)
def test_decoded_in_pieces_it_is_the_decoded_whole(codec, motion, sizes):
    tokens = codec.encode(motion)
    whole = codec.decode(tokens)
    assert np.array_equal(whole.valid, motion.valid)
    decoder, found, start, turn = StreamDecoder(codec, tokens), [], 0, 0
    stride = tokens.stride
    while start < len(tokens):
        end = start + sizes[turn % len(sizes)]
        found.append(decoder.push(tokens.codes[start:end], tokens.valid[start * stride : end * stride]))
        start, turn = end, turn + 1
    found.append(decoder.finish())
    assert decoder.finish() is None
    joined = concatenate([piece for piece in found if piece is not None])
    assert len(joined) == len(whole) == 701
    assert np.array_equal(joined.timestamps, whole.timestamps)
    assert np.array_equal(joined.valid, whole.valid)
    for name in ("expression", "rotation", "translation"):
        # Products of matrices of other sizes round otherwise.
        assert np.abs(getattr(joined, name) - getattr(whole, name)).max() < 1e-5


def test_frames_come_as_soon_as_the_decoder_has_seen_far_enough(codec, motion):
    tokens = codec.encode(motion[:40])
    decoder = StreamDecoder(codec, tokens)
    ahead = codec.config.decoder_ahead
    came = [decoder.push(step[None]) for step in tokens.codes]
    assert [piece is not None for piece in came] == [False] * ahead + [True] * (10 - ahead)
    assert all(len(piece) == tokens.stride for piece in came[ahead:])


def test_parts_must_follow_each_other(codec, motion):
    parts = streamed(codec, motion, 50)
    with pytest.raises(TokensError, match="expected part 2 of this motion, found part 3"):
        join_parts([*parts[:2], *parts[3:]])
    with pytest.raises(TokensError, match="no parts"):
        join_parts([])
    # One that was broken off is a motion as far as it goes.
    assert join_parts(parts[:3]).frames == sum(part.frames for part in parts[:3])


def test_what_does_not_go_on_is_refused(codec, motion):
    encoder = StreamEncoder(codec)
    with pytest.raises(MotionError, match="no frames"):
        encoder.finish()
    encoder.push(motion[:10])
    with pytest.raises(MotionError, match="begins after"):
        encoder.push(motion[9:12])
    with pytest.raises(MotionError, match="shape"):
        encoder.push(replace(motion[10:12], shape=np.ones(3, np.float32)))
    with pytest.raises(MotionError, match="other-head"):
        encoder.push(replace(motion[10:12], face_model="other-head", face_model_sha256="0" * 64))
    tokens = codec.encode(motion)
    parts = [encoder.push(motion[10:]), encoder.finish()]  # as if nothing had been
    assert np.array_equal(join_parts(parts).codes, tokens.codes)
    with pytest.raises(TokensError, match="are of the codec 0000000000000000"):
        StreamDecoder(codec, replace(tokens, codec="0" * 16))
    decoder = StreamDecoder(codec, tokens)
    with pytest.raises(TokensError, match="step 0, column 1"):
        decoder.push(np.array([[0, 16, 0, 0]]))
    decoder.push(tokens.codes, tokens.valid)
    with pytest.raises(TokensError, match="after the end"):
        decoder.push(tokens.codes[:1])
