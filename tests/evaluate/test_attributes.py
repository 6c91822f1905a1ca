from __future__ import annotations

import math
import random

import pytest

from tdmm.corpus.language.parse import parse_text
from tdmm.corpus.lines import perform_clip
from tdmm.corpus.plan import Settings, plan_clip
from tdmm.errors import EvaluationError
from tdmm.evaluate.attributes import KINDS, Tally, attributes_of_events, head_is_still, score_attributes


def event(name, start=0.0, end=1.0, **fields):
    return {"id": name, "start": start, "end": end, **fields}


SMILE_THEN_NODS = [
    event("anger", 0, 5, level="slight", throughout=True),
    event("smile", 0.5, 2, level="strong"),
    event("nod", 2.2, 4, count=2),
]


@pytest.fixture(scope="module")
def lines():
    return [perform_clip(plan_clip(number, Settings(free=False, seed=5)))[1] for number in range(150)]


def kinds(text, events, still=None):
    found = score_attributes([text], [events], [still])
    return {
        kind: (one.right, one.stated, one.true) for kind, one in found.kinds.items() if one.stated or one.true
    }, found


def test_a_true_text_is_all_right():
    found, scores = kinds("She looks a little angry, smiles strongly, then nods twice.", SMILE_THEN_NODS)
    assert found == {
        "emotion": (1, 1, 1),
        "intensity": (3, 3, 3),
        "action": (1, 1, 1),
        "head": (1, 1, 1),
        "count": (1, 1, 1),
        "order": (1, 1, 1),
    }
    assert scores.overall.f1 == 1
    assert scores.hallucination == 0


def test_each_slip_costs_its_own_kind():
    found, scores = kinds("She looks very angry, nods three times, then smiles strongly.", SMILE_THEN_NODS)
    assert found == {
        "emotion": (1, 1, 1),
        "intensity": (2, 3, 3),
        "action": (1, 1, 1),
        "head": (1, 1, 1),
        "count": (0, 1, 1),
        "order": (0, 1, 1),
    }
    # anger, very, nod, three times, smile, strongly, order: seven things in so many words, three of them wrong.
    assert (scores.made_up, scores.explicit) == (3, 7)


def test_what_goes_without_saying_is_never_made_up():
    _, scores = kinds("smiles", [event("smile", level="strong")])
    assert (scores.made_up, scores.explicit) == (0, 1)
    assert scores.kinds["intensity"] == Tally(0, 1, 1)


def test_sides():
    assert kinds("winks her left eye", [event("wink", side="right")])[0]["side"] == (0, 1, 1)
    assert kinds("winks", [event("wink", side="right")])[0]["side"] == (0, 0, 1)


def test_behaviours_count_as_often_as_they_happen():
    assert kinds("smiles, then nods, then smiles", [event("smile"), event("nod", 2, 3)])[0]["action"] == (1, 2, 1)


def test_a_denial_is_wrong_only_where_it_happens():
    absent = [event("nod"), event("blink", absent=True)]
    assert kinds("nods without blinking", absent)[0]["absence"] == (1, 1, 1)
    assert "absence" not in kinds("nods without blinking", [event("nod")])[0]
    found, scores = kinds("nods without blinking", [event("nod"), event("blink")])
    assert found["absence"] == (0, 1, 0)
    assert scores.made_up == 1


@pytest.mark.parametrize(
    ("text", "still", "counts"),
    [
        ("The head hardly moves.", True, (1, 1, 1)),
        ("The head hardly moves.", False, (0, 1, 0)),
        ("The head moves.", True, (0, 1, 1)),
        ("smiles", True, (0, 0, 1)),
        ("The head moves.", False, None),
        ("The head hardly moves.", None, None),
    ],
)
def test_stillness(text, still, counts):
    assert kinds(text, [], still)[0].get("stillness") == counts


def test_what_happens_together_has_no_order():
    together = [event("smile", 0, 2), event("nod", 0.3, 1.5)]
    assert not attributes_of_events(together)["order"]
    assert "order" not in kinds("smiles while nodding", together)[0]


def test_an_empty_text_states_nothing():
    found, scores = kinds("", SMILE_THEN_NODS)
    assert all(right == stated == 0 for right, stated, _ in found.values())
    assert scores.overall.recall == 0
    assert math.isnan(scores.overall.precision)
    assert math.isnan(scores.hallucination)


def test_captions_of_the_corpus_are_true(lines):
    for field, recall in (("medium", 0.99), ("long", 0.99)):
        scores = score_attributes(
            [line["captions"][field] for line in lines],
            [line["events"] for line in lines],
            [head_is_still(line) for line in lines],
        )
        assert scores.hallucination < 0.005
        assert all(
            one.recall > recall and one.precision > 0.98
            for kind, one in scores.kinds.items()
            if kind != "stillness" and one.true
        )


def test_captions_of_other_clips_are_not(lines):
    texts = [line["captions"]["medium"] for line in lines]
    scores = score_attributes(texts[1:] + texts[:1], [line["events"] for line in lines])
    assert scores.hallucination > 0.8
    assert scores.overall.f1 < 0.2


def test_totals_are_sums_of_clips_in_any_order(lines):
    texts, events = [line["captions"]["short"] for line in lines], [line["events"] for line in lines]
    scores = score_attributes(texts, events)
    mixed = list(range(len(lines)))
    random.Random(0).shuffle(mixed)
    other = score_attributes([texts[at] for at in mixed], [events[at] for at in mixed])
    assert other.kinds == scores.kinds
    assert other.clips == tuple(scores.clips[at] for at in mixed)
    for kind in KINDS:
        assert scores.kinds[kind] == sum((clip.kinds[kind] for clip in scores.clips), Tally())


def test_precision_recall_and_f1():
    tally = Tally(right=2, stated=4, true=5)
    assert (tally.precision, tally.recall) == (0.5, 0.4)
    assert tally.f1 == pytest.approx(2 * 0.5 * 0.4 / 0.9)


def test_the_head_is_still_where_the_line_says_so(lines):
    for line in lines:
        asked = [one["answer"] == "Yes." for one in line["questions"] if one["kind"] == "stillness"]
        if asked:
            assert head_is_still({**line, "questions": []}) is asked[0]
    assert head_is_still({"id": "a"}) is None
    assert head_is_still({"id": "a", "events": [event("nod")]}) is False


def test_wrong_input_is_refused():
    with pytest.raises(EvaluationError, match="2 texts"):
        score_attributes(["a", "b"], [[]])
    with pytest.raises(EvaluationError, match="'juggle'"):
        score_attributes(["a"], [[event("juggle")]])


def test_the_reader_gives_what_the_truth_gives():
    text = "smiles, then nods twice"
    assert score_attributes([text], [SMILE_THEN_NODS[1:]]).kinds["order"] == Tally(1, 1, 1)
    assert [one["id"] for one in parse_text(text).events()] == ["smile", "nod"]
