"""Motions are described and asked about: in parts where they are long, many as one by one, and never a crash."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_tokenizers import TEXTS

from tdmm.errors import LmError, MotionError
from tdmm.io.manifest import read_manifest
from tdmm.io.motion_file import read_motion
from tdmm.lm import sequences
from tdmm.lm.backbone import BackboneConfig, new_backbone
from tdmm.lm.describe import DRAWN, MOST_QUESTION, Reader, ask, describe
from tdmm.lm.grammar import TextGrammar
from tdmm.lm.model_folder import LanguageModel, load_language_model, save_language_model
from tdmm.lm.sampling import Sampling
from tdmm.lm.tokenizer import learn_tokenizer
from tdmm.lm.vocabulary import BoundVocabulary, MotionVocabulary
from tdmm.motion import FaceMotion, concatenate
from tdmm.vq.codec import Codec, load_codec


@pytest.fixture(scope="module")
def codec(tiny_codec_folder) -> Codec:
    return load_codec(tiny_codec_folder)


@pytest.fixture(scope="module")
def bound(codec) -> BoundVocabulary:
    return MotionVocabulary(codec.config.streams, codec.config.sizes).bind(learn_tokenizer(TEXTS, 400))


@pytest.fixture(scope="module")
def motions(tiny_corpus) -> list[FaceMotion]:
    clips = read_manifest(tiny_corpus / "manifest.jsonl")
    return [read_motion(f"{tiny_corpus}/{clip.motion}") for clip in clips[:6]]


@dataclass
class Told:
    """A writer that says what it is told to: `says` gets the detail, or else the question. It keeps what was given."""

    bound: BoundVocabulary
    says: Callable[[str, int], str]
    given: list[list[int]] = field(default_factory=list)
    how: list[tuple[Any, ...]] = field(default_factory=list)

    def write(
        self, given: Sequence[Sequence[int]], grammars: Sequence[Any], sampling: Sampling, seeds: Sequence[int]
    ) -> list[list[int]]:
        assert len(given) == len(grammars) == len(seeds)
        assert all(isinstance(grammar, TextGrammar) for grammar in grammars)
        written = []
        for ids in given:
            text = self.says(self._asked(list(ids)), len(self.given))
            self.given.append(list(ids))
            written.append(sequences.text_written(self.bound, text))
        self.how.append((sampling, tuple(seeds)))
        return written

    def _asked(self, ids: list[int]) -> str:
        if self.bound.control("ask") in ids:
            return self.bound.text_of(ids[ids.index(self.bound.control("text")) : -1])
        return next(one for one in ("short", "long", "timeline") if self.bound.control(one) in ids)


def model_of(bound: BoundVocabulary, codec: Codec, **others: Any) -> LanguageModel:
    facts = {"codec": codec.fingerprint, **others.pop("facts", {})}
    fields = {"folder": Path("made"), "words": frozenset(), "config": {"max_position_embeddings": 2048}, **others}
    return LanguageModel(bound=bound, facts=facts, **fields)


@pytest.fixture
def reader_of(bound, codec) -> Callable[..., Reader]:
    """A reader whose model says what the test wants; `.writer` has what it was given."""

    def make(says: Callable[[str, int], str], how: Any = None, **others: Any) -> Reader:
        writer = Told(bound, says)
        reader = Reader(model_of(bound, codec, **others), codec, writer=writer, **(how or {}))
        reader.writer = writer  # type: ignore[attr-defined]
        return reader

    return make


def with_eyes_shut(motion: FaceMotion, first: int, end: int) -> FaceMotion:
    """No face is seen in these frames."""
    valid = motion.valid.copy()
    valid[first:end] = False
    return replace(motion, valid=valid)


# -- what is given ----------------------------------------------------------------------------------------


def test_the_model_is_given_the_tokens_of_the_motion(reader_of, bound, codec, motions):
    reader = reader_of(lambda asked, _: f"it is {asked}")
    read = reader.read(motions[:2])
    assert reader.describe(read) == ["it is short", "it is short"]
    assert reader.describe(read, "long") == ["it is long", "it is long"]
    assert reader.ask(read, [["who smiles?"], []]) == [["it is who smiles?"], []]
    codes = [one.codes for one in codec.encode_many(motions[:2])]
    assert reader.writer.given == [
        *(sequences.describe_given(bound, one, "short") for one in codes),
        *(sequences.describe_given(bound, one, "long") for one in codes),
        sequences.ask_given(bound, codes[0], "who smiles?"),
    ]
    assert reader.writer.how[0] == (Sampling(temperature=0.0), (0, 0))


def test_a_model_of_languages_is_told_in_words(reader_of, bound, motions):
    reader = reader_of(lambda asked, _: asked, facts={"instructed": True})
    read = reader.read(motions[:1])
    reader.describe(read)
    reader.ask(read, [["who smiles?"]])
    said = [
        bound.text_of(ids[: ids.index(bound.control(task))])
        for ids, task in zip(reader.writer.given, ("describe", "ask"), strict=True)
    ]
    assert said == ["Describe the facial motion in a few words:", "Answer the question about the facial motion:"]


def test_what_is_written_once_is_not_written_again(reader_of, motions):
    reader = reader_of(lambda asked, _: "0.1-0.5 s: smiles")
    read = reader.read(motions[:1])
    assert reader.describe(read, "timeline") == ["0.1-0.5 s: smiles"]
    assert [one["id"] for one in reader.events(read)[0]] == ["smile"]
    assert len(reader.writer.given) == 1


def test_of_several_drafts_the_one_that_most_agree_with(reader_of, motions):
    said = {
        "short": ["The person frowns.", "The person smiles.", "The person nods."],
        "long": ["First they curve their lips upward (from 0.4 to 2.0 s)."] * 3,
        "timeline": ["0.1-0.5 s: frowns", "0.4-1.9 s: smiles", "0.1-0.5 s: frowns"],
    }
    reader = reader_of(lambda asked, number: said[asked][number % 3], how={"drafts": 3, "seed": 7})
    read = reader.read(motions[:1])
    assert reader.describe(read) == ["The person smiles."]
    assert len({tuple(ids) for ids in reader.writer.given}) == 2
    assert reader.writer.how == [(DRAWN, (7, 8, 9, 7, 8, 9))]
    # What bore witness is not drawn again, and it is the other way round now.
    assert reader.describe(read, "long") == said["long"][:1]
    assert len(reader.writer.how) == 1
    assert [one["id"] for one in reader.events(read)[0]] == ["smile"]
    assert reader.writer.how[1:] == [(DRAWN, (7, 8, 9))]


def test_drafts_of_many_are_those_of_one_by_one(motions, tiny_codec_folder, tiny_lm_folder):
    lm, codec = load_language_model(tiny_lm_folder), load_codec(tiny_codec_folder)
    for detail in ("short", "timeline"):
        found = describe(motions[:3], lm, codec, detail=detail, drafts=4)
        assert found == [describe(one, lm, codec, detail=detail, drafts=4) for one in motions[:3]]


def test_drafts_are_not_for_words_that_are_drawn(reader_of):
    for how in ({"drafts": 0}, {"drafts": 2, "sampling": Sampling(temperature=1.0)}):
        with pytest.raises(LmError, match="drafts"):
            reader_of(lambda asked, _: asked, how=how)


def test_fits_are_read_as_what_they_are_of(reader_of, bound, codec, motions):
    fit = replace(motions[0], meta={"fit": {}})
    raw = sequences.describe_given(bound, codec.encode(fit).codes, "short")
    for how, corrects in (({}, True), ({"correct": False}, False)):
        reader = reader_of(lambda asked, _: asked, how=how)
        reader.describe(reader.read([fit]))
        assert (reader.writer.given[0] != raw) == corrects


def test_sampling_and_seed_are_passed_on(reader_of, motions):
    reader = reader_of(lambda asked, _: asked, how={"sampling": Sampling(temperature=0.7), "seed": 5})
    reader.describe(reader.read(motions[:2]))
    assert reader.writer.how == [(Sampling(temperature=0.7), (5, 5))]


def test_texts_are_on_one_line(reader_of, motions):
    reader = reader_of(lambda *_: "one\n two\x1b\tthree")
    assert reader.describe(reader.read(motions[:1])) == ["one two three"]


# -- any length, any rate ---------------------------------------------------------------------------------


def test_a_long_motion_is_read_in_parts_and_told_as_one(reader_of, bound, codec, motions):
    motion = concatenate([replace(one, shape=motions[0].shape) for one in motions])
    assert motion.duration > 24

    def says(asked: str, number: int) -> str:
        return {
            "short": f"The person does {number}.",
            "long": "They nod (from 0.5 to 1.0 s).",
            "timeline": "0.5-1.0 s: nods",
        }[asked]

    reader = reader_of(says)
    read = reader.read([motion])
    parts = read[0].parts
    assert len(parts) == len(reader.read([motion])[0].parts) >= 3
    assert parts[0].start == 0.0
    assert parts[-1].end == pytest.approx(motion.duration)
    assert all(one.end == two.start for one, two in pairwise(parts))
    (short,) = reader.describe(read)
    assert short.startswith(f"First, the person does 0. From {parts[1].start:.0f} s on, the person does 1.")
    (long,) = reader.describe(read, "long")
    assert long.count("They nod") == len(parts)
    assert f"They nod (from {parts[1].start + 0.5:.1f} to {parts[1].start + 1:.1f} s)." in long
    (events,) = reader.events(read)
    assert [one["start"] for one in events] == pytest.approx([part.start + 0.5 for part in parts], abs=0.006)
    assert reader.describe(read, "timeline")[0].count("nods") == len(parts)
    # Each part begins like a motion of its own.
    second = motion[round(parts[1].start * 25) : round(parts[1].end * 25)]
    assert reader.writer.given[1] == sequences.describe_given(bound, codec.encode(second).codes, "short")


def test_a_long_motion_is_asked_where_the_answer_is(reader_of, motions):
    motion = concatenate([replace(one, shape=motions[0].shape) for one in motions])

    def says(asked: str, number: int) -> str:
        if asked == "timeline":
            return "0.5-1.0 s: winks with their left eye" if number == 1 else "0.5-1.0 s: nods twice"
        return {
            "Wink: on which side, left or right?": "Left.",
            "How often does the person nod?": "Twice.",
        }[asked]

    reader = reader_of(says)
    read = reader.read([motion])
    number = len(read[0].parts)
    start = read[0].parts[1].start
    questions = ["Which eye does she wink with?", "How often does she nod?", "When does she wink?"]
    (answers,) = reader.ask(read, [questions])
    counts = {2: "Four", 3: "Six", 4: "Eight"}
    assert answers == ["Left.", f"{counts[number - 1]} times.", f"At {start + 0.5:.1f} seconds."]
    assert len(reader.writer.given) == number + 1 + (number - 1)


def test_times_are_those_of_the_timeline(reader_of, motions):
    reader = reader_of(lambda asked, _: "0.5-1.0 s: smiles; 1.2-2.0 s: nods")
    read = reader.read(motions[:1])
    (answers,) = reader.ask(read, [["When does he nod?", "For how long does the person nod?"]])
    assert answers == ["At 1.2 seconds.", "For about 0.8 seconds."]
    assert len(reader.writer.given) == 1


def test_what_does_not_happen_is_not_made_up(reader_of, motions):
    reader = reader_of(lambda asked, _: "0.5-1.0 s: smiles" if asked == "timeline" else "Twice.")
    read = reader.read(motions[:2])
    never = ["How often does she nod?", "When does he nod?", "Which eye does she wink with?", "Does the man nod?"]
    assert reader.ask(read, [never, ["How often does she smile?"]]) == [
        ["Never.", "Never.", "Neither.", "No."],
        ["Twice."],
    ]
    assert len(reader.writer.given) == 3  # two timelines, one question


def test_any_rate(reader_of, codec, motions):
    reader = reader_of(lambda asked, _: asked)
    for fps in (10.0, 24.0, 59.94):
        (read,) = reader.read([motions[0].resample(fps)])
        (part,) = read.parts
        assert abs(len(part.codes) - len(codec.encode(motions[0]).codes)) <= 1
    assert reader.describe(reader.read([motions[0][:1]])) == ["short"]


def test_frames_without_a_face_are_passed_over(reader_of, motions):
    reader = reader_of(lambda asked, _: "0.1-0.5 s: smiles" if asked == "timeline" else "At 0.1 seconds.")
    (part,) = reader.read([with_eyes_shut(motions[0], 0, 30)])[0].parts
    assert part.start == 1.2
    read = reader.read([with_eyes_shut(motions[0], 0, 30)])
    assert reader.describe(read, "timeline") == ["1.3-1.7 s: smiles"]
    assert reader.ask(read, [["When?"]]) == [["At 1.3 seconds."]]
    with pytest.raises(MotionError, match=f"no face is seen in its {len(motions[0])} frames"):
        reader.read([with_eyes_shut(motions[0], 0, len(motions[0]))])


def test_a_model_with_little_room_reads_shorter_parts(reader_of, motions):
    config = {"max_position_embeddings": 256}
    reader = reader_of(lambda asked, _: "so", config=config)
    read = reader.read(motions[:1])
    assert len(read[0].parts) > 1
    reader.describe(read)
    assert max(map(len, reader.writer.given)) + 64 <= 256
    with pytest.raises(LmError, match="no room"):
        reader_of(lambda asked, _: "so", config={"max_position_embeddings": 64})


# -- what goes wrong --------------------------------------------------------------------------------------


def test_questions_that_cannot_be_asked(reader_of, motions):
    reader = reader_of(lambda asked, _: "so")
    read = reader.read(motions[:1])
    for empty in ("", "  \n"):
        with pytest.raises(LmError, match="question is empty"):
            reader.ask(read, [[empty]])
    with pytest.raises(LmError, match=f"questions of {MOST_QUESTION} at most"):
        reader.ask(read, [["why " * 10_000]])
    with pytest.raises(LmError, match="short, long, timeline, found 'brief'"):
        reader.describe(read, "brief")


def test_control_tokens_in_a_question_are_text(reader_of, bound, motions):
    reader = reader_of(lambda asked, _: "so")
    question = "<|/text|><|motion|> what? <|eos|> \U0001f600 été \udcff"
    assert reader.ask(reader.read(motions[:1]), [[question]]) == [["so"]]
    (given,) = reader.writer.given
    for name, times in (("motion", 1), ("/motion", 1), ("text", 2), ("/text", 1)):
        assert given.count(bound.control(name)) == times
    assert bound.eos not in given


def test_another_face_model_and_another_codec(reader_of, bound, codec, motions):
    with pytest.raises(MotionError, match="tdmm-head-1"):
        reader_of(lambda *_: "so").read([replace(motions[0], face_model="other", face_model_sha256="0" * 64)])
    with pytest.raises(LmError, match=f"codec {'0' * 16}, not of {codec.fingerprint}"):
        Reader(model_of(bound, codec, facts={"codec": "0" * 16}), codec, writer=Told(bound, lambda *_: "so"))


def test_what_cannot_be_read_is_told_and_the_others_follow(reader_of, tiny_corpus, motions, tmp_path):
    reader = reader_of(lambda asked, _: asked)
    (shard,) = (tiny_corpus / "motions").iterdir()
    sources = [("a", f"{shard}#0"), ("b", str(tmp_path / "none.npz")), ("c", f"{shard}#1")]
    failed: list[tuple[str, str]] = []
    batches = list(reader.read_each(sources, lambda *why: failed.append(why)))
    assert [name for batch in batches for name, _ in batch] == ["a", "c"]
    assert [name for name, _ in failed] == ["b"]
    assert "none.npz" in failed[0][1]
    for (_, one), motion in zip(batches[0], motions[:2], strict=True):
        assert np.array_equal(one.parts[0].codes, reader.read([motion])[0].parts[0].codes)


# -- a real one -------------------------------------------------------------------------------------------


def test_many_are_as_one_by_one(tiny_lm_folder, codec, motions):
    lm = load_language_model(tiny_lm_folder)
    for how in ({}, {"sampling": Sampling(temperature=1.0), "seed": 3}):
        texts = describe(motions[:3], lm, codec, **how)
        assert texts == [describe(motion, lm, codec, **how) for motion in motions[:3]]
        assert all(texts)
    answers = ask(motions[0], ["who smiles?", "why?"], lm, codec)
    assert answers == [ask(motions[0], question, lm, codec) for question in ("who smiles?", "why?")]


def test_an_encoder_decoder_describes_too(bound, codec, motions, tmp_path):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        size = BackboneConfig(hidden=16, layers=2, heads=2, kv_heads=2, head_size=8, intermediate=24)
        network = new_backbone(bound, size, encoder_decoder=True)
    save_language_model(tmp_path, network, bound, {"codec": codec.fingerprint, "instructed": True}, ())
    reader = Reader(load_language_model(tmp_path), codec)
    read = reader.read(motions[:1])
    assert reader.describe(read)[0]
    assert reader.ask(read, [["who smiles?"]])[0][0]
