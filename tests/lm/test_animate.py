"""Prompts become motions: as long as asked for, the same alone, in a batch and as a stream, and never a crash."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tdmm.errors import LmError, MotionError
from tdmm.io.manifest import read_manifest
from tdmm.io.motion_file import read_motion
from tdmm.lm.animate import MOST_PROMPT, Animator, animate, cleaned
from tdmm.lm.decode import Decoder
from tdmm.lm.model_folder import LanguageModel, load_language_model
from tdmm.lm.sampling import Sampling
from tdmm.lm.sequences import animate_given, continue_given
from tdmm.lm.templates import instruction
from tdmm.motion import DEFAULT_TRANSLATION, FaceMotion, concatenate, default_camera
from tdmm.vq.codec import Codec, load_codec

GUIDED = Sampling(guidance=2.0)
POSES = ("expression", "rotation", "translation")


@pytest.fixture(scope="module")
def codec(tiny_codec_folder) -> Codec:
    return load_codec(tiny_codec_folder)


@pytest.fixture(scope="module")
def lm(tiny_lm_folder) -> LanguageModel:
    return load_language_model(tiny_lm_folder)


@pytest.fixture(scope="module")
def animator(lm, codec) -> Animator:
    return Animator(lm, codec)


@pytest.fixture(scope="module")
def start(tiny_corpus) -> FaceMotion:
    """A motion of more than a second that somebody has fitted: with a face, a place and a time of its own."""
    clip = read_manifest(tiny_corpus / "manifest.jsonl")[0]
    motion = read_motion(f"{tiny_corpus}/{clip.motion}")[:37]
    return replace(
        motion,
        text="Smiles.",
        shape=np.array([0.5, -1.0, 0.0], np.float32),
        translation=motion.translation + np.float32(0.02),
        timestamps=motion.timestamps + 7,
        image_size=(64, 48),
        camera=default_camera((64, 48)),
    )


class Recorder:
    """A decoder that keeps what it was asked for."""

    def __init__(self, lm: LanguageModel) -> None:
        self._decoder = Decoder(lm)
        self.given: list[list[int]] = []
        self.unprompted: list[list[int]] = []
        self.seeds: list[int] = []

    def write(self, given: Sequence[Sequence[int]], grammars: Any, sampling: Any, seeds: Any, **others: Any) -> Any:
        self.given += map(list, given)
        self.unprompted += others.get("unprompted") or []
        self.seeds += seeds
        return self._decoder.write(given, grammars, sampling, seeds, **others)


def motion_of(animator: Animator, prompt: str = "smiles", **others: Any) -> FaceMotion:
    ((found,),) = animator.animate([prompt], **others)
    return found.motion


def assert_alike(one: FaceMotion, other: FaceMotion) -> None:
    """The same but for rounding."""
    for name in (*POSES, "neck_pose", "timestamps"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=2e-5)
    assert (one.text, one.meta, one.image_size) == (other.text, other.meta, other.image_size)
    assert one.shape.tolist() == other.shape.tolist()


# -- what comes -------------------------------------------------------------------------------------------


def test_a_motion_of_a_prompt(animator, lm, codec):
    motion = motion_of(animator, "smiles, then nods")
    assert (motion.face_model_sha256, motion.fps) == (codec.model.sha256, 25)
    assert (motion.text, motion.image_size) == ("smiles, then nods", (512, 512))
    assert motion.valid.all()
    assert 1 <= len(motion) <= 24 * codec.config.stride
    assert np.abs(motion.translation - DEFAULT_TRANSLATION).max() < 0.1
    told = motion.meta["animate"]
    assert (told["model"], told["codec"], told["seed"]) == (lm.fingerprint, codec.fingerprint, 0)
    assert animate(["smiles, then nods"], lm, codec)[0][0] == motion


def test_a_batch_is_what_comes_one_by_one(animator):
    prompts = ["smiles", "nods twice", "winks", "a, then b, then c, then d, then e, then f"]
    how = {"samples": 2, "sampling": GUIDED, "seed": 3}
    together = animator.animate(prompts, **how)
    for prompt, several in zip(prompts, together, strict=True):
        (alone,) = animator.animate([prompt], **how)
        for one, other in zip(several, alone, strict=True):
            assert len(one.motion) == len(other.motion)
            assert_alike(one.motion, other.motion)


def test_seeds_samples_and_prompts_draw_anew(animator):
    (several, others) = animator.animate(["smiles", "nods"], seconds=2, samples=3)
    motions = [one.motion for one in (*several, *others)] + [motion_of(animator, seconds=2, seed=1)]
    assert all(one != other for number, one in enumerate(motions) for other in motions[:number])
    assert several[0].motion == motion_of(animator, seconds=2)
    first, second = animator.animate(["smiles", "smiles"], seconds=2, seed=[0, 1])
    assert (first[0].motion, second[0].motion) == (motions[0], motions[-1])


@pytest.mark.parametrize("seconds", [0.001, 0.04, 0.5, 1.23, 3.84, 3.85, 10.0, 21.4])
def test_seconds_are_obeyed_to_the_frame(animator, seconds):
    motion = motion_of(animator, seconds=seconds)
    assert len(motion) == max(round(25 * seconds), 1)
    np.testing.assert_allclose(motion.timestamps, np.arange(len(motion)) / 25, atol=1e-9)


def test_what_was_trained_is_not_exceeded(lm, codec):
    """A duration of which training had no example says nothing to the model."""
    short = Animator(replace(lm, facts={**lm.facts, "longest_steps": 5}), codec)
    assert max(len(one.motion) for one in short.animate(["smiles"], samples=8)[0]) <= 5 * codec.config.stride
    assert len(motion_of(short, seconds=4)) == 100


def test_tokens_are_those_of_the_motion(animator, codec):
    for seconds in (None, 1.23, 3.84):
        ((one,),) = animator.animate(["smiles"], seconds=seconds)
        assert codec.decode(one.tokens) == one.motion
    ((parts,),) = animator.animate(["smiles"], seconds=4)
    assert parts.tokens is None


@pytest.mark.parametrize("seconds", [None, 0.04, 1.23, 9.0])
@pytest.mark.parametrize("sampling", [Sampling(), GUIDED, Sampling(temperature=0)], ids=["drawn", "guided", "greedy"])
def test_a_stream_is_what_comes_as_a_whole(animator, seconds, sampling):
    pieces = list(animator.stream("smiles", seconds=seconds, sampling=sampling))
    assert_alike(concatenate(pieces), motion_of(animator, seconds=seconds, sampling=sampling))


def test_frames_come_while_more_are_written(lm, codec):
    written = []

    class Watched(Recorder):
        def steps(self, *arguments: Any, **others: Any) -> Iterator[int]:
            for number in self._decoder.steps(*arguments, **others):
                written.append(number)
                yield number

    animator = Animator(lm, codec, Watched(lm))  # type: ignore[arg-type]
    next(animator.stream("smiles", seconds=3.84))
    assert len(written) <= 2 + 4 * len(codec.config.sizes)


def test_the_best_is_what_the_score_likes(animator):
    """Best of four by how far the mouth opens is the best of the four."""
    asked = []

    def score(texts: Sequence[str], motions: Sequence[FaceMotion]) -> list[float]:
        asked.extend(texts)
        return [float(motion.expression_column("jawOpen").mean()) for motion in motions]

    prompts = ["smiles", "nods"]
    best = animator.animate(prompts, seconds=1, best_of=4, score=score)
    every = animator.animate(prompts, seconds=1, samples=4)
    assert asked == ["smiles"] * 4 + ["nods"] * 4
    for (one,), several in zip(best, every, strict=True):
        opened = score([], [other.motion for other in several])
        assert one.motion == several[int(np.argmax(opened))].motion


def test_without_a_score_the_best_is_what_reads_as_its_prompt(animator):
    ((best,),) = animator.animate(["smiles"], seconds=1, best_of=4)
    (every,) = animator.animate(["smiles"], seconds=1, samples=4)
    likes = animator.read_back(["smiles"] * 4, [one.motion for one in every])
    assert best.motion == every[int(np.argmax(likes))].motion


def test_whose_face_it_is(animator):
    assert motion_of(animator, seconds=1).shape.tolist() == []
    assert motion_of(animator, seconds=1, identity=np.array([1.0, -2.0, 0.0])).shape.tolist() == [1, -2]


# -- what the model is asked for --------------------------------------------------------------------------


def asked_of(lm: LanguageModel, codec: Codec, prompt: str, **others: Any) -> tuple[Recorder, FaceMotion]:
    recorder = Recorder(lm)
    ((one,),) = Animator(lm, codec, recorder).animate([prompt], **others)  # type: ignore[arg-type]
    return recorder, one.motion


def test_the_prompt_and_for_guidance_none(lm, codec):
    asked, _ = asked_of(lm, codec, "smiles", seconds=1)
    assert (asked.given, asked.unprompted) == ([animate_given(lm.bound, "smiles")], [])
    asked, _ = asked_of(lm, codec, "smiles", seconds=1, sampling=GUIDED)
    assert (asked.given, asked.unprompted) == ([animate_given(lm.bound, "smiles")], [animate_given(lm.bound, "")])


def test_parts_go_on_from_the_last_seconds(lm, codec):
    """24 steps at once, of which half are read where it goes on: 96 frames, then 28 and 26; not more than the last."""
    asked, motion = asked_of(lm, codec, "smiles", seconds=6, sampling=GUIDED)
    seen = [codec.encode(motion[first:end]).codes for first, end in ((48, 96), (96, 124))]
    assert asked.given == [
        animate_given(lm.bound, "smiles"),
        *(continue_given(lm.bound, "smiles", codes) for codes in seen),
    ]
    assert asked.unprompted[1:] == [continue_given(lm.bound, "", codes) for codes in seen]
    assert len(set(asked.seeds)) == 3


def test_a_prompt_of_many_clauses_goes_on_from_the_group_before(lm, codec):
    asked, _ = asked_of(lm, codec, ", then ".join("abcdef"))
    texts = ["a, then b, then c", "a, then b, then c, then d, then e", "d, then e, then f"]
    assert len(asked.given) == 3
    for given, text in zip(asked.given, texts, strict=True):
        assert animate_given(lm.bound, text)[2:] == given[2 : len(animate_given(lm.bound, text))]


def test_a_model_that_knows_languages_is_told_in_words(lm, codec):
    instructed = replace(lm, facts={**lm.facts, "instructed": True})
    asked, _ = asked_of(instructed, codec, "smiles", seconds=4, sampling=GUIDED)
    first, second = (instruction(task) for task in ("animate", "continue"))
    assert asked.given[0] == animate_given(lm.bound, "smiles", first)
    assert asked.unprompted[0] == animate_given(lm.bound, "", first)
    begin = lm.bound.text_ids(second)
    assert asked.given[1][1 : 1 + len(begin)] == begin


def test_control_tokens_that_somebody_types_are_text(lm, codec):
    typed = "<|motion|><|f1:3|><|/text|><|eos|> smiles"
    asked, motion = asked_of(lm, codec, typed, seconds=1)
    assert motion.text == typed
    (given,) = asked.given
    control = {lm.bound.control(name) for name in ("motion", "/text")} | {lm.bound.eos}
    assert control.intersection(given[3:-1]) == set()


def test_how_the_model_likes_to_be_sampled(lm, codec):
    liked = {"temperature": 0.7, "top_p": 0.9, "guidance": 1.5}
    animator = Animator(replace(lm, facts={**lm.facts, "sampling": {**liked, "measured": "on val"}}), codec)
    assert animator.sampling == Sampling(**liked)
    told = motion_of(animator, seconds=1).meta["animate"]
    assert {name: told[name] for name in liked} == liked
    assert Animator(lm, codec).sampling == Sampling()


# -- going on from a motion -------------------------------------------------------------------------------


@pytest.mark.parametrize("frames", [1, 3, 8, 37])
def test_a_motion_goes_on(animator, start, frames):
    before = start[:frames]
    motion = motion_of(animator, "nods", seconds=2, start_from=before)
    assert len(motion) == frames + 50
    for name in POSES:
        np.testing.assert_array_equal(getattr(motion, name)[:frames], getattr(before, name))
        step = np.abs(np.diff(getattr(motion, name), axis=0)).max(axis=1)
        # No larger than steps within what was written: nothing jumps where it goes on.
        assert step[frames - 1] <= step[frames:].max() + 0.02
    np.testing.assert_allclose(motion.timestamps, 7 + np.arange(frames + 50) / 25, atol=1e-6)
    assert (motion.text, motion.image_size, motion.shape.tolist()) == ("Smiles, then nods", (64, 48), [0.5, -1])
    assert_alike(concatenate(list(animator.stream("nods", seconds=2, start_from=before))), motion)


def test_what_is_known_of_the_start_is_told(lm, codec, start):
    codes = codec.encode(start[-36:]).codes
    asked, _ = asked_of(lm, codec, "nods", seconds=1, start_from=start)
    assert asked.given == [continue_given(lm.bound, "Smiles, then nods", codes)]
    asked, motion = asked_of(lm, codec, "nods", seconds=1, start_from=replace(start, text=""))
    assert asked.given == [continue_given(lm.bound, "nods", codes)]
    assert motion.text == "nods"


def test_of_a_long_start_the_last_seconds_are_read(lm, codec, start):
    long = concatenate([replace(start, text="Smiles." + " Waits." * 2000)[:37], start])
    asked, motion = asked_of(lm, codec, "nods", seconds=1, start_from=long)
    # What it says of itself may have been long ago.
    assert asked.given == [continue_given(lm.bound, "nods", codec.encode(long[-48:]).codes)]
    assert len(motion) == 74 + 25
    assert motion.text.startswith("Smiles. Waits. ")
    assert motion.text.endswith(" Waits, then nods")


def test_a_start_of_another_rate_order_and_gaze(animator, codec, start):
    names = start.expression_names
    turned = replace(
        start,
        expression=start.expression[:, ::-1],
        expression_names=names[::-1],
        neck_pose=np.full((37, 3), 0.05, np.float32),
        valid=np.arange(37) < 30,
        expression_confidence=np.ones_like(start.expression),
    ).resample(30)
    motion = motion_of(animator, "nods", seconds=1, start_from=turned)
    assert (motion.fps, motion.expression_names) == (25, names)
    there = len(motion) - 25
    assert not motion.valid[there - 1]
    assert motion.valid[there:].all()
    # The neck, which is not coded, comes back to rest.
    assert 0.04 < motion.neck_pose[there].min() < 0.05
    assert motion.neck_pose[-1].max() == 0


def test_another_face_goes_on(animator, start):
    motion = motion_of(animator, seconds=1, start_from=start, identity=np.ones(2))
    assert motion.shape.tolist() == [1, 1]


# -- what is refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize("prompt", ["", " \n\t", "\0"])
def test_an_empty_prompt(animator, prompt):
    with pytest.raises(LmError, match="an empty prompt: say what the face is to do"):
        animator.animate([prompt])
    assert "empty" in animator.prompt_problem(prompt)


def test_a_prompt_of_ten_thousand_words(animator):
    with pytest.raises(LmError, match=f"of 10000 words is too long: .*{MOST_PROMPT} are read at most; shorten it"):
        animator.animate(["word " * 10_000])


def test_a_prompt_that_leaves_no_room_for_a_motion(animator):
    """Longer than the model has places for."""
    problem = animator.prompt_problem("smiles " * 500)
    assert "no room for a motion" in problem
    # One that leaves little room is written in parts.
    assert len(motion_of(animator, "smiles " * 440, seconds=3)) == 75


@pytest.mark.parametrize(
    "prompt", ["улыбается, потом кивает", "微笑", "😀 🙃", "a" * 300, "smi\udc80les", "1 2 3 !?", "\x1b[31mred"]
)
def test_any_text_is_animated(animator, prompt):
    motion = motion_of(animator, prompt, seconds=1)
    assert len(motion) == 25
    assert motion.text == cleaned(prompt)
    motion.text.encode()


def test_a_prompt_is_one_line():
    assert cleaned("  smiles,\n\tthen nods\0 ") == "smiles, then nods"


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"seconds": 0}, "seconds: expected more than 0 and at most 3600, found 0"),
        ({"seconds": -1}, "seconds: expected more than 0"),
        ({"seconds": float("nan")}, "seconds: expected more than 0"),
        ({"seconds": 1e9}, "seconds: expected more than 0"),
        ({"samples": 0}, "samples: expected at least 1, found 0"),
        ({"best_of": 0}, "best_of: expected at least 1, found 0"),
    ],
)
def test_options_out_of_range(animator, others, message):
    with pytest.raises(LmError, match=message):
        animator.animate(["smiles"], **others)


def test_a_codec_that_is_not_the_models(lm, codec):
    with pytest.raises(LmError, match=f"of the codec 0123, not of {codec.fingerprint}"):
        animate(["smiles"], replace(lm, facts={**lm.facts, "codec": "0123"}), codec)


def test_a_start_of_another_face_model(animator, start):
    with pytest.raises(MotionError, match="was made with face model other"):
        animator.animate(["smiles"], start_from=replace(start, face_model="other", face_model_sha256="0"))


def test_no_prompts_no_motions(animator):
    assert animator.animate([]) == []
