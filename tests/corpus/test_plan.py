"""What clip number n is: the same for ever, in one split, and never of what is kept from training."""

from __future__ import annotations

import json
import re
from collections import Counter
from functools import lru_cache
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from tdmm.corpus.language.bank import bank
from tdmm.corpus.lines import ask_for_clip, perform_clip
from tdmm.corpus.plan import VARIATIONS, GivenPrompt, PlannedClip, Settings, clip_id, plan_clip
from tdmm.corpus.program import parse_program
from tdmm.corpus.splits import ONE_PAIR_IN, ONE_UNSEEN_IN, SPLITS, is_held_out, part_of_one, split_of, split_of_text
from tdmm.corpus.suite import choose, suite_program

COUNT = 5000
SEED = 4


@lru_cache(maxsize=1)
def planned() -> list[PlannedClip]:
    return [plan_clip(number, Settings(seed=SEED)) for number in range(COUNT)]


@lru_cache(maxsize=1)
def lines() -> list[dict[str, Any]]:
    return [perform_clip(clip)[1] for clip in planned()]


def plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


# -- the same for ever ---------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 1, 4, 249, 777, 123_456])
def test_a_clip_is_the_same_whenever_it_is_made(number: int) -> None:
    settings = Settings(seed=SEED)
    first, fields = perform_clip(plan_clip(number, settings))
    perform_clip(plan_clip(number + 1, settings))
    again, same = perform_clip(plan_clip(number, settings))
    assert json.dumps(fields) == json.dumps(same)
    assert np.array_equal(first.expression, again.expression)
    assert np.array_equal(first.head, again.head)


def test_clips_of_another_seed_are_others() -> None:
    other = [plan_clip(number, Settings(seed=SEED + 1)) for number in range(300)]
    assert sum(str(one.program) == str(two.program) for one, two in zip(planned(), other, strict=False)) < 15
    assert not {one.id for one in planned()} & {one.id for one in other}


def test_ids_are_unique_and_in_order() -> None:
    ids = [one.id for one in planned()]
    assert len(set(ids)) == COUNT
    assert sorted(ids) == ids
    assert clip_id(7, 0) == plan_clip(7, Settings()).id
    assert all(re.fullmatch(r"[\w-]+", name) for name in ids)


def test_a_line_is_plain_json_and_says_what_there_is() -> None:
    for number in range(60):
        performance, fields = perform_clip(plan_clip(number, Settings(seed=SEED)))
        assert json.loads(json.dumps(fields)) == fields
        assert fields["duration"] * 25 == pytest.approx(len(performance.expression))
        assert str(parse_program(fields["program"])) == fields["program"]
        assert set(fields["captions"]) == {"short", "medium", "long"}
        events = parse_program(fields["program"]).events()
        assert sorted(event["id"] for event in fields["events"]) == sorted(event.id for event in events)
        for event in fields["events"]:
            assert 0 <= event["start"] < event["end"] <= fields["duration"]
        assert 1 <= len(fields["texts"]) <= 3
        assert fields["text"] not in fields["texts"]
        assert len(set(fields["texts"])) == len(fields["texts"])


# -- what is planned -----------------------------------------------------------------------------------


def test_one_clip_in_five_is_of_the_bank_and_no_program_of_the_suite_is_left_out() -> None:
    ours = [one for one in planned() if one.template is None]
    assert len(ours) == COUNT * 4 // 5
    choice = choose()
    for turn, one in enumerate(ours[:600]):
        random = np.random.default_rng([SEED, 7, one.number])
        assert str(one.program) == str(suite_program(turn, SEED, choice, random)[0])


def test_without_free_prompts_all_are_of_the_suite() -> None:
    assert all(plan_clip(number, Settings(free=False)).template is None for number in range(500))


def test_every_free_prompt_has_its_turn_before_one_comes_again() -> None:
    settings = Settings(seed=SEED)
    numbers = range(4, 5 * len(bank()), 5)
    # The turns of unseen prompts take the place of some of the bank.
    seen = Counter(one.template.source for n in numbers if (one := plan_clip(n, settings)).split != "test-free")  # type: ignore[union-attr]
    assert max(seen.values()) == 1
    assert len(seen) > 0.97 * len(bank())


def test_a_chosen_slot_holds_for_the_suite() -> None:
    settings = Settings(choice=choose({"emotion": ["joy"]}), free=False)
    for number in range(100):
        assert plan_clip(number, settings).slots.get("emotion", "joy") == "joy"


def test_a_free_prompt_keeps_its_words_and_its_program_when_something_is_added() -> None:
    settings = Settings(seed=SEED)
    added = [plan_clip(5 * (len(bank()) + turn) + 4, settings) for turn in range(200)]
    added = [one for one in added if not one.pure]
    assert len(added) > 100
    for one in added:
        assert one.template is not None
        assert one.program is not None
        assert str(one.program).startswith(str(one.template.program).rstrip(" :"))
        assert any(one.text.startswith(one.template.text(n).rstrip(".")) for n in range(one.template.variants))
        assert not re.search(r"[{}|]|  ", one.text), one.text


# -- splits --------------------------------------------------------------------------------------------


def test_every_clip_is_of_a_known_split_and_most_are_for_training() -> None:
    shares = Counter(one.split for one in planned())
    assert set(shares) == set(SPLITS)
    assert shares["train"] > 0.85 * COUNT
    assert shares["test-free"] == COUNT // ONE_UNSEEN_IN
    assert 0.01 * COUNT < shares["val"] < 0.03 * COUNT
    assert 0.02 * COUNT < shares["test"] < 0.04 * COUNT
    assert 0.008 * COUNT < shares["test-phrasing"] < 0.022 * COUNT
    assert 0.005 * COUNT < shares["test-composition"] < 0.06 * COUNT


def test_a_held_out_pair_is_only_in_the_test_of_composition() -> None:
    for one in planned():
        assert one.program is not None
        pairs = combinations(sorted({event.id for event in one.program.events()}), 2)
        held = any(is_held_out(*pair) for pair in pairs)
        if one.split != "test-free":
            assert held == (one.split == "test-composition"), str(one.program)


def test_pairs_are_held_out_in_either_order_and_as_often_as_said() -> None:
    names = [f"name{number}" for number in range(150)]
    held = [is_held_out(*pair) for pair in combinations(names, 2)]
    assert 0.6 < sum(held) * ONE_PAIR_IN / len(held) < 1.4
    for first, second in combinations(names[:40], 2):
        assert is_held_out(first, second) == is_held_out(second, first)


def test_unseen_prompts_are_only_in_their_test_and_all_of_it() -> None:
    unseen = {one.source for one in bank(unseen=True)}
    for one in planned():
        of_unseen = one.template is not None and one.template.source in unseen
        assert of_unseen == (one.split == "test-free")


def test_a_test_of_phrasing_is_worded_by_us() -> None:
    assert all(one.template is None and not one.text for one in planned() if one.split == "test-phrasing")


def test_no_text_of_a_test_occurs_in_training() -> None:
    """Of what a model is asked, or learns from: prompts and their other wordings."""
    known = {plain(text) for one in lines() if one["split"] == "train" for text in (one["text"], *one["texts"])}
    asked = [one for one in lines() if one["split"].startswith("test")]
    shared = [one["text"] for one in asked if plain(one["text"]) in known]
    assert len(shared) <= 0.01 * len(asked), shared
    assert not [one["text"] for one in asked if one["split"] == "test-free" and plain(one["text"]) in known]


def test_numbers_by_hash_are_even_and_depend_on_all_they_are_given() -> None:
    numbers = np.array([part_of_one("x", number) for number in range(2000)])
    assert ((numbers >= 0) & (numbers < 1)).all()
    assert np.abs(np.histogram(numbers, 10, (0, 1))[0] - 200).max() < 60
    assert part_of_one("a", 1) == part_of_one("a", 1) != part_of_one("a", 2)


def test_a_split_depends_on_the_clip_and_the_seed_alone() -> None:
    program = parse_program("smile")
    splits = [split_of(program, clip_id(number, 0), 0) for number in range(400)]
    assert splits == [split_of(program, clip_id(number, 0), 0) for number in range(400)]
    assert splits != [split_of(program, clip_id(number, 1), 1) for number in range(400)]


# -- texts ---------------------------------------------------------------------------------------------


def test_texts_are_nearly_all_different() -> None:
    assert len({one["text"] for one in lines()}) >= 0.99 * COUNT


def test_video_prompts_are_all_different() -> None:
    assert len({one["prompt"] for one in lines()}) >= 0.999 * COUNT


def test_no_text_has_anything_left_over() -> None:
    for one in lines():
        for text in (one["text"], *one["texts"], one["prompt"], *one["captions"].values()):
            assert not re.search(r"[{}]|  |\bNone\b|^\s|\s$", text), text


# -- prompts that are given ----------------------------------------------------------------------------


def test_given_prompts_come_one_after_the_other() -> None:
    given = (GivenPrompt(program=parse_program("smile")), GivenPrompt("nods twice", parse_program("nod*2")))
    settings = Settings(given=given)
    clips = [plan_clip(number, settings) for number in range(4)]
    assert [str(one.program) for one in clips] == ["smile", "nod*2"] * 2
    assert [one.text for one in clips] == ["", "nods twice"] * 2
    assert perform_clip(clips[3])[1]["program"] == "nod*2"


def test_a_prompt_of_text_alone_is_asked_for_and_stays_in_its_split() -> None:
    given = (GivenPrompt("somebody juggles"), GivenPrompt("  Somebody   JUGGLES "))
    first, second = (plan_clip(number, Settings(given=given)) for number in range(2))
    assert first.program is None
    assert first.split == second.split == split_of_text("somebody juggles")
    fields = ask_for_clip(first)
    assert fields["text"] == "somebody juggles"
    assert " Somebody juggles. " in fields["prompt"]
    assert "events" not in fields


def test_what_is_asked_for_has_no_times() -> None:
    fields = ask_for_clip(plan_clip(0, Settings(seed=SEED)))
    assert all("start" not in event for event in fields["asked"])
    assert "events" not in fields
    assert "captions" not in fields
    assert fields["text"]


@pytest.mark.parametrize("vary", [(), ("wording",), ("appearance",), ("place", "light"), VARIATIONS])
def test_clips_of_one_prompt_share_what_does_not_vary(vary: tuple[str, ...]) -> None:
    settings = Settings(seed=SEED, seeds=6, vary=frozenset(vary), free=False)
    for prompt in range(4):
        made = [perform_clip(plan_clip(6 * prompt + number, settings)) for number in range(6)]
        clips = [plan_clip(6 * prompt + number, settings) for number in range(6)]
        assert len({fields["program"] for _, fields in made}) == 1
        assert len({fields["split"] for _, fields in made}) == 1
        assert len({fields["id"] for _, fields in made}) == 6
        for slot, variation in (
            ("subject", "appearance"),
            ("place", "place"),
            ("light", "light"),
            ("camera", "camera"),
        ):
            assert (len({one.scene[slot] for one in clips}) > 1) == (variation in vary), slot
        performances = {performance.expression.tobytes() for performance, _ in made}
        assert len(performances) == 6
