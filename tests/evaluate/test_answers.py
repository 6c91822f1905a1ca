from __future__ import annotations

import math

import pytest

from tdmm.corpus.lines import perform_clip
from tdmm.corpus.plan import Settings, plan_clip
from tdmm.errors import EvaluationError
from tdmm.evaluate.answers import read_answer, score_answers


def right(kind, said, true):
    return score_answers([said], [{"kind": kind, "question": "?", "answer": true}]).each[0]


@pytest.mark.parametrize(
    ("kind", "true", "same", "others"),
    [
        ("yes-no", "Yes.", ["yes", "Yes, she does.", "yep"], ["No.", "", "maybe", "No, yes is wrong"]),
        ("stillness", "No.", ["no", "No, it moves.", "it doesn't"], ["Yes.", "it is"]),
        ("count", "Twice.", ["2", "two times", "twice", "2 times", "It nods 2 times."], ["once", "three", ""]),
        ("count", "Eight times.", ["8", "eight"], ["18"]),
        ("side", "Left.", ["left", "on the left side", "Her LEFT."], ["right", "left or right", "both", ""]),
        ("intensity", "Slight.", ["slight", "slightly", "mild", "It is low."], ["strong", "moderate", ""]),
        ("intensity", "Strong.", ["very", "intense"], ["slight"]),
        ("when", "At 1.5 seconds.", ["1.5", "at 1.9 s", "at two seconds", "1.0"], ["2.1", "0.9", "soon", ""]),
        ("when", "For about 2.0 seconds.", ["two seconds", "2.4"], ["three seconds"]),
        ("emotion", "Joy.", ["joy", "happy", "She feels delighted.", "happiness"], ["sadness", "joy, then fear", ""]),
        ("emotion", "Joy, then fear.", ["happy, then scared"], ["fear, then joy", "joy"]),
        ("action", "Closes their eyes.", ["has both eyes closed", "closed eyes"], ["smiles", "shut eyes and a smile"]),
        ("action", "Winks their left eye.", ["a wink with the left eye"], ["winks", "winks their right eye"]),
        ("head", "Nods twice.", ["a nod", "nodding", "The person nods and smiles."], ["shakes their head"]),
        ("gaze", "Looks up, then looks down.", ["eyes up, then eyes down"], ["looks down, then looks up"]),
        ("speech", "Whispers.", ["speaks in a whisper"], ["shouts"]),
        ("order", "Nodding.", ["a nod", "the nod comes first", "nods"], ["smiling", ""]),
    ],
)  # fmt: skip
def test_answers_are_compared_by_what_they_say(kind, true, same, others):
    assert [right(kind, said, true) for said in same] == [True] * len(same)
    assert [right(kind, said, true) for said in others] == [False] * len(others)


def test_the_answers_of_the_corpus_are_right_and_can_all_be_read():
    lines = [perform_clip(plan_clip(number, Settings(free=False, seed=9)))[1] for number in range(200)]
    questions = [question for line in lines for question in line["questions"]]
    scores = score_answers([question["answer"] for question in questions], questions)
    assert scores.accuracy() == 1
    assert sum(scores.unreadable.values()) == 0
    assert len(scores.asked) == 12
    assert all(scores.accuracy(kind) == 1 for kind in scores.asked)


def test_accuracy_is_by_kind():
    questions = [
        {"kind": "side", "question": "?", "answer": "Left."},
        {"kind": "side", "question": "?", "answer": "Right."},
        {"kind": "count", "question": "?", "answer": "Once."},
    ]
    scores = score_answers(["left", "left", "dunno"], questions)
    assert scores.accuracy("side") == 0.5
    assert scores.accuracy("count") == 0
    assert scores.accuracy() == pytest.approx(1 / 3)
    assert scores.unreadable == {"side": 0, "count": 1}
    assert scores.each == (True, False, False)
    assert math.isnan(scores.accuracy("when"))


def test_the_tolerance_of_seconds_can_be_set():
    question = {"kind": "when", "question": "?", "answer": "At 1.0 seconds."}
    assert score_answers(["1.1"], [question], seconds=0.1).each == (True,)
    assert score_answers(["1.2"], [question], seconds=0.1).each == (False,)


def test_what_cannot_be_scored_is_refused():
    with pytest.raises(EvaluationError, match="colour"):
        read_answer("colour", "red")
    with pytest.raises(EvaluationError, match="1 answers to 0 questions"):
        score_answers(["a"], [])
    with pytest.raises(EvaluationError, match="cannot be read"):
        score_answers(["left"], [{"kind": "side", "question": "?", "answer": "up"}])
