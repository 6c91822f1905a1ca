"""Clips as examples: the sequence of each task, what is drawn, and what a clip lacks."""

from __future__ import annotations

from collections import Counter
from functools import cache

import numpy as np
import pytest
from made_tokenizers import MADE, SMALL, bound_to

from tdmm.corpus.language.parse import parse_text
from tdmm.corpus.lines import perform_clip
from tdmm.corpus.plan import Settings, plan_clip
from tdmm.errors import LmError
from tdmm.lm.examples import (
    Example,
    TaskMix,
    details_of,
    example_of,
    prompts_of,
    sample_example,
    tasks_of,
)
from tdmm.lm.templates import INSTRUCTIONS, instruction
from tdmm.lm.timeline import timeline_of
from tdmm.lm.vocabulary import DETAILS, TASKS

CODES = np.random.default_rng(0).integers(0, SMALL.sizes, (7, 3))
LINE = {
    "id": "clip7",
    "text": "smiles then nods",
    "texts": ["nods after smiles"],
    "captions": {
        "short": "She smiles.",
        "medium": "The person smiles, then nods.",
        "long": "The person smiles first, then nods.",
    },
    "questions": [{"kind": "count", "question": "How often?", "answer": "Twice."}],
    "events": [
        {"id": "nod", "kind": "head", "side": "", "count": 2, "start": 2.0, "end": 3.04},
        {"id": "smile", "kind": "action", "side": "", "count": 1, "start": 0.25, "end": 1.9},
    ],
}
ONLY = {task: TaskMix.of({**dict.fromkeys(TASKS, 0.0), task: 1.0}) for task in TASKS}


@cache
def clips(count=40):
    """Manifest lines of a corpus, without files."""
    return [perform_clip(plan_clip(number, Settings(seed=3)))[1] for number in range(count)]


def draws(line=LINE, codes=CODES, count=300, **options):
    random = np.random.default_rng(5)
    return [sample_example(line, codes, bound_to(), random, **options) for _ in range(count)]


def parts(bound, ids):
    """Ids as a readable list: control tokens and runs of text by their words, codes as their number."""
    found, text = [], []
    low, high = bound.column(0)[0], bound.column(SMALL.width - 1)[1]
    for number in [*ids, None]:
        if number is not None and number < bound.base and number not in (bound.bos, bound.eos):
            text.append(number)
            continue
        if text:
            found.append(bound.text_of(text))
            text = []
        if number is None:
            break
        if low <= number < high:
            found[-1:] = [found[-1] + 1] if found and isinstance(found[-1], int) else [found[-1], 1]
        else:
            found.append(bound.name(number).strip("<|>"))
    return found


def read(bound, example):
    """What is given and what is written, as `parts`."""
    ids = example.ids.tolist()
    return parts(bound, ids[: example.target_from]), parts(bound, ids[example.target_from :])


def an_example(task, name="ours", line=LINE, seed=0, **options):
    return example_of(task, line, CODES, bound_to(name), np.random.default_rng(seed), **options)


@pytest.mark.parametrize("name", MADE)
def test_the_sequence_of_each_task(name):
    bound = bound_to(name)
    begin = [] if bound.bos is None else [bound.name(bound.bos).strip("<|>")]
    end = bound.name(bound.eos).strip("<|>")
    texts = ("smiles then nods", "nods after smiles", "She smiles.", "The person smiles, then nods.")
    given, written = read(bound, an_example("animate", name))
    assert given == [*begin, "animate", "text", given[-2], "/text"]
    assert given[-2] in texts
    assert written == ["len:7", "motion", 21, "/motion", end]
    given, written = read(bound, an_example("describe", name, detail="long"))
    assert given == [*begin, "describe", "long", "motion", 21, "/motion", "text"]
    assert written == ["The person smiles first, then nods.", "/text", end]
    given, written = read(bound, an_example("ask", name))
    assert given == [*begin, "ask", "motion", 21, "/motion", "text", "How often?", "/text", "text"]
    assert written == ["Twice.", "/text", end]
    for task, told in (("continue", True), ("predict", False)):
        given, written = read(bound, an_example(task, name))
        before, after = given[-2] // 3, written[2] // 3
        assert before + after == 7
        prompt = ["text", given[-5], "/text"] if told else []
        assert given == [*begin, task, *prompt, "motion", 3 * before, "/motion"]
        assert written == [f"len:{after}", "motion", 3 * after, "/motion", end]
    given, written = read(bound, an_example("between", name))
    before, after, middle = given[-4] // 3, given[-2] // 3, written[2] // 3
    assert before + middle + after == 7
    assert min(before, middle, after) >= 1
    assert given[-5:] == ["motion", 3 * before, "gap", 3 * after, "/motion"]
    assert written == [f"len:{middle}", "motion", 3 * middle, "/motion", end]


def test_the_codes_are_those_of_the_clip():
    bound = bound_to()
    example = an_example("animate")
    assert np.array_equal(bound.parse_written(example.ids[example.target_from :]), CODES)
    for seed in range(20):
        example = an_example("between", seed=seed)
        middle = bound.parse_written(example.ids[example.target_from :])
        given = example.ids[: example.target_from].tolist()
        codes = given[given.index(bound.control("motion")) + 1 : -1]
        gap = codes.index(bound.control("gap"))
        parts = (bound.parse(codes[:gap]), middle, bound.parse(codes[gap + 1 :]))
        assert np.array_equal(np.concatenate(parts), CODES)


def test_every_cut_is_drawn():
    cuts = {read(bound_to(), an_example("predict", seed=seed))[1][0] for seed in range(100)}
    assert cuts == {f"len:{steps}" for steps in range(1, 7)}
    spans = {(read(bound_to(), an_example("between", seed=seed))[0][-4] // 3) for seed in range(100)}
    assert spans == set(range(1, 6))


def test_the_same_generator_draws_the_same():
    first, again = draws(count=40), draws(count=40)
    assert all(np.array_equal(a.ids, b.ids) and a[1:] == b[1:] for a, b in zip(first, again, strict=True))
    assert len({tuple(example.ids) for example in first}) > 10


def test_tasks_are_drawn_by_their_weights():
    counts = Counter(example.task for example in draws(count=2000))
    for task in TASKS:
        assert counts[task] / 2000 == pytest.approx(TaskMix().weight(task), abs=0.03)
    assert set(Counter(example.task for example in draws(mix=ONLY["continue"], count=20))) == {"continue"}


def test_words_are_the_first_half_the_time_and_prompts_are_dropped_at_times():
    said = Counter()
    for example in draws(mix=ONLY["animate"], count=2000):
        given, _ = read(bound_to(), example)
        said[given[3] if len(given) == 5 else ""] += 1
    assert set(said) == {"", *prompts_of(LINE)}
    assert said[""] / 2000 == pytest.approx(0.1, abs=0.03)
    assert said["smiles then nods"] / 2000 == pytest.approx(0.45, abs=0.05)
    kept = draws(mix=ONLY["animate"], count=100, dropped=0.0)
    assert all(len(read(bound_to(), example)[0]) == 5 for example in kept)


def test_an_empty_prompt_is_one_that_was_dropped():
    given, written = read(bound_to(), an_example("animate", dropped=1.0))
    assert given == ["bos", "animate", "text", "/text"]
    assert written[0] == "len:7"


def test_clips_of_a_corpus_have_every_task_and_detail():
    for line in clips():
        tasks = tasks_of(line, 12)
        assert set(tasks) == set(TASKS), line["id"]
        assert details_of(line) == list(DETAILS), line["id"]


def test_a_clip_is_used_for_what_it_has():
    text = {"text": "smiles"}
    assert tasks_of(text, 3) == ["animate", "continue", "between", "predict"]
    assert tasks_of(text, 2) == ["animate", "continue", "predict"]
    assert tasks_of(text, 1) == ["animate"]
    assert tasks_of({}, 9) == ["predict"]
    assert tasks_of({"captions": {"long": "Smiles."}}, 1) == ["describe"]
    assert details_of({"captions": {"medium": "Smiles.", "long": ""}}) == ["short"]
    assert details_of(LINE, TaskMix(timeline=0, short=0)) == ["long"]
    assert {example.task for example in draws({"text": "smiles"}, count=60)} == {
        "animate",
        "continue",
        "between",
        "predict",
    }
    # The timeline is the only caption here, and the mix has none.
    events = {"events": LINE["events"]}
    assert tasks_of(events, 1) == ["describe"]
    assert tasks_of(events, 1, TaskMix(timeline=0)) == []


def test_what_a_clip_lacks_is_told():
    with pytest.raises(LmError, match="clip7: lacks what the task ask needs"):
        an_example("ask", line={**LINE, "questions": []})
    with pytest.raises(LmError, match="clip7: lacks what the task describe timeline needs"):
        an_example("describe", line={**LINE, "events": []}, detail="timeline")
    with pytest.raises(LmError, match="clip7: has neither text nor captions for any task of the mix; 7 steps"):
        sample_example({"id": "clip7"}, CODES, bound_to(), np.random.default_rng(0), ONLY["animate"])
    with pytest.raises(LmError, match="clip7: has 13 steps of codes, the language model knows 12 at most; cut it"):
        draws(codes=np.zeros((13, 3), int))
    with pytest.raises(LmError, match="task mix: ask: expected a weight >= 0, found -1"):
        TaskMix(ask=-1)


# -- timelines --------------------------------------------------------------------------------------------


def test_a_timeline_says_what_happens_when():
    said = timeline_of(LINE, np.random.default_rng(0))
    first, second = said.split("; ")
    assert first.startswith("0.2-1.9 s: ")
    assert second.startswith("2.0-3.0 s: ")


def test_timelines_of_a_corpus_read_back():
    for line in clips():
        stated = parse_text(timeline_of(line, np.random.default_rng(1))).statements
        told = sorted((one.event.id, one.event.side, one.event.count) for one in stated if not one.event.absent)
        true = [event for event in line["events"] if not event["absent"]]
        assert told == sorted((event["id"], event["side"], event["count"]) for event in true), line["id"]
        starts = sorted(one.start for one in stated if one.start is not None)
        assert starts == pytest.approx(sorted(e["start"] for e in true if not e["throughout"]), abs=0.051), line["id"]


@pytest.mark.parametrize(
    "events",
    [
        [],
        [{"id": "smile"}],
        [{"id": "no_such_thing", "start": 0, "end": 1}],
        [{"id": "wink", "start": 0, "end": 1}],
        [{"start": 0, "end": 1}],
        [{"id": "blink", "absent": True}],
    ],
)
def test_without_moments_there_is_no_timeline(events):
    assert timeline_of({"events": events}, np.random.default_rng(0)) == ""


# -- instructions -----------------------------------------------------------------------------------------


def test_every_task_can_be_asked_for_in_many_ways():
    tasks = {*TASKS, *(f"describe {detail}" for detail in DETAILS)} - {"describe"}
    assert set(INSTRUCTIONS) == tasks
    everything = [way for ways in INSTRUCTIONS.values() for way in ways]
    assert len(set(everything)) == len(everything)
    assert min(map(len, INSTRUCTIONS.values())) >= 8


def test_instructions_are_drawn_and_stand_in_front():
    drawn = {instruction("animate", random=np.random.default_rng(seed)) for seed in range(200)}
    assert drawn == set(INSTRUCTIONS["animate"])
    assert instruction("describe", "long") == INSTRUCTIONS["describe long"][0]
    with pytest.raises(LmError, match="instructions: there are none for 'describe'"):
        instruction("describe")
    bound = bound_to()
    for task in TASKS:
        plain, told = an_example(task, seed=2), an_example(task, seed=2, instructed=True)
        assert isinstance(told, Example)
        given, _ = read(bound, told)
        assert given[0] == "bos"
        assert given[1] in INSTRUCTIONS["describe short" if task == "describe" else task]
        assert given[2] == read(bound, plain)[0][1] == task
