"""The behaviours that faces can be asked for, and the ways of saying them."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest

from tdmm.corpus.columns import COLUMNS, CURVES, INDEX, left_half, mirrored, row
from tdmm.corpus.language.phrases import FILES, SHE, fill, ways
from tdmm.corpus.lexicon import KINDS, LEVELS, TEMPI, behaviours, find, in_conflict, of_kind, read_data
from tdmm.errors import CorpusError
from tdmm.face import load_face_model

EVERY = pytest.mark.parametrize("name", list(behaviours()))
MEAD = "anger contempt disgust fear joy neutral sadness surprise".split()
GO_EMOTIONS = """admiration amusement anger annoyance approval caring confusion curiosity desire disappointment
    disapproval disgust embarrassment excitement fear gratitude grief joy love nervousness neutral optimism pride
    realization relief remorse sadness surprise""".split()


@pytest.mark.parametrize(
    ("kind", "least"), [("emotion", 28), ("action", 60), ("head", 20), ("gaze", 10), ("speech", 6)]
)
def test_there_are_many_of_each_kind(kind: str, least: int) -> None:
    assert len(of_kind(kind)) >= least


def test_every_behaviour_is_of_one_kind_and_keeps_its_order() -> None:
    assert [one for kind in KINDS for one in of_kind(kind)] == list(behaviours().values())
    assert all(one.id == name for name, one in behaviours().items())


@pytest.mark.parametrize("known", [MEAD, GO_EMOTIONS], ids=["MEAD", "GoEmotions"])
def test_the_emotions_of_known_data_sets_are_there(known: list[str]) -> None:
    assert set(known) <= {one.id for one in of_kind("emotion")}


def test_levels_grow_without_overlap() -> None:
    spans = list(LEVELS.values())
    assert [*LEVELS] == ["slight", "moderate", "strong"]
    assert all(least < most for least, most in spans)
    assert all(before[1] < after[0] for before, after in itertools.pairwise(spans))
    assert spans[-1][1] <= 1
    assert TEMPI["fast"] < TEMPI["normal"] == 1 < TEMPI["slow"]


def test_curves_are_those_of_the_built_in_head() -> None:
    names = set(load_face_model("builtin").expression_names)
    assert set(CURVES) <= names
    assert names - set(CURVES) == {name for name in names if name.startswith("eyeLook")}


@EVERY
def test_a_behaviour_moves_known_columns_within_their_range(name: str) -> None:
    one = behaviours()[name]
    assert (one.pose is None) != (one.keys is None)
    rows = one.pose[None] if one.keys is None else one.keys[1]  # type: ignore[index]
    assert rows.shape[1] == len(COLUMNS)
    assert np.isfinite(rows).all()
    curves = rows[:, : len(CURVES) + 1]
    assert curves.min() >= 0
    assert curves.max() <= 1
    assert np.abs(rows).max() <= 60
    assert rows.any() or one.fixed or one.kind == "speech" or name == "neutral"


@EVERY
def test_times_of_a_behaviour_are_in_order(name: str) -> None:
    one = behaviours()[name]
    for least, most in (one.period, one.gap, one.onset, one.offset, one.beats):
        assert 0 <= least <= most
    if one.keys is not None:
        times, rows = one.keys
        assert times[0] == 0
        assert (np.diff(times) > 0).all()
        assert times[-1] <= 1
        assert not rows[0].any()
        assert one.period[0] > 0


def test_a_beat_ends_where_it_began() -> None:
    wrong = [name for name, one in behaviours().items() if one.keys is not None and one.keys[1][-1].any()]
    assert wrong == ["chatter_teeth"]  # whose lips stay apart from beat to beat


@EVERY
def test_only_what_is_made_of_beats_is_counted(name: str) -> None:
    one = behaviours()[name]
    assert one.keys is not None or not one.repeats
    assert not (one.sided and one.random_side)


@EVERY
def test_mirrored_twice_is_the_same(name: str) -> None:
    one = behaviours()[name]
    rows = one.pose if one.keys is None else one.keys[1]
    assert np.array_equal(mirrored(mirrored(rows)), rows)
    assert np.array_equal(one.facing(rows, "right"), mirrored(one.facing(rows, "left")))


@EVERY
def test_what_has_sides_differs_by_its_side(name: str) -> None:
    one = behaviours()[name]
    rows = one.pose if one.keys is None else one.keys[1]
    if one.sided or one.sides:
        assert not np.allclose(one.facing(rows, "left"), one.facing(rows, "right"))
    if not one.sided:
        assert np.array_equal(one.facing(rows, ""), rows)


def test_what_has_no_sides_and_nothing_to_do_with_them_is_its_own_mirror_image() -> None:
    for one in of_kind("action"):
        if not one.sided and one.pose is not None:
            assert np.array_equal(mirrored(one.pose), one.pose), one.id


def test_the_mirror_image_of_left_is_right() -> None:
    values = row({"eyeBlinkLeft": 1, "jawLeft": 0.5, "headYaw": 20, "headPitch": 5, "gazeYaw": -3, "headX": 4})
    image = mirrored(values)
    known = {"eyeBlinkRight": 1, "jawRight": 0.5, "headYaw": -20, "headPitch": 5, "gazeYaw": 3, "headX": -4}
    assert np.array_equal(image, row(known))
    both = row({"mouthSmile": 1, "headYaw": 3})
    assert left_half(both, 0.25)[INDEX["mouthSmileLeft"]] == 1
    assert left_half(both, 0.25)[INDEX["mouthSmileRight"]] == 0.25
    assert left_half(both)[INDEX["headYaw"]] == 3


def test_a_stem_sets_both_sides_and_an_unknown_column_is_refused() -> None:
    assert np.flatnonzero(row({"browDown": 1})).tolist() == [INDEX["browDownLeft"], INDEX["browDownRight"]]
    with pytest.raises(CorpusError, match="smile: there is no column 'mouthGrin'"):
        row({"mouthGrin": 1}, "smile")


def test_conflict_is_symmetric_and_with_oneself() -> None:
    known = list(behaviours().values())
    for first, second in itertools.combinations(known, 2):
        assert in_conflict(first, second) == in_conflict(second, first), (first.id, second.id)
    assert all(in_conflict(one, one) for one in known)


@pytest.mark.parametrize(
    ("first", "second", "conflict"),
    [
        ("joy", "anger", True),
        ("joy", "frown", False),
        ("smile", "frown", True),
        ("smile", "nod", False),
        ("nod", "shake", False),
        ("nod", "lower_head", True),
        ("turn", "shake", True),
        ("keep_still", "nod", True),
        ("keep_still", "smile", False),
        ("blink", "close_eyes", True),
        ("blink", "stare", True),
        ("look_up", "look_down", True),
        ("look_aside", "look_at_camera", True),
        ("speak", "open_mouth", True),
        ("speak", "nod", False),
        ("speak", "shout", True),
        ("tongue_out", "gape", True),
    ],
)
def test_what_can_happen_together_is_known(first: str, second: str, conflict: bool) -> None:
    assert in_conflict(find(first), find(second)) == conflict


@pytest.mark.parametrize(
    ("name", "near"), [("smiles", "smile"), ("noding", "nod"), ("raise_eyebrows", "raise_brows"), ("angry", "anger")]
)
def test_an_unknown_name_says_what_comes_near(name: str, near: str) -> None:
    with pytest.raises(CorpusError, match=rf"there is no behaviour '{name}'; did you mean .*\b{near}\b"):
        find(name)


def test_a_name_that_is_like_nothing_says_where_all_are_shown() -> None:
    with pytest.raises(CorpusError, match="'xqzzv'; tdmm generate-corpus --list shows them all"):
        find("xqzzv")


def test_a_behaviour_of_another_kind_is_not_found() -> None:
    assert find("nod", "head").id == "nod"
    with pytest.raises(CorpusError, match="there is no emotion 'nod'"):
        find("nod", "emotion")


# -- ways of saying ------------------------------------------------------------------------------------


@EVERY
def test_every_behaviour_has_a_dozen_ways_and_some_held_out(name: str) -> None:
    assert ways()[name].count >= 12
    assert len(ways()[name].held_out) >= 2


def test_phrases_are_of_the_lexicon_and_given_once() -> None:
    assert set(ways()) == set(behaviours())
    given = Counter(name for stem in FILES for name in read_data(f"phrases/{stem}.toml"))
    assert max(given.values()) == 1


def test_held_out_phrases_appear_nowhere_else() -> None:
    used = Counter(_as_said(phrase) for phrases in ways().values() for phrase in _phrases(phrases))
    held = Counter(_as_said(phrase) for one in ways().values() for phrase in (*one.held_out, *one.held_out_side))
    assert [phrase for phrase in held if phrase in used] == []
    assert [phrase for phrase, times in held.items() if times > 1] == []


@EVERY
def test_no_way_of_saying_is_given_twice(name: str) -> None:
    given = Counter(_phrases(ways()[name]))
    assert [phrase for phrase, times in given.items() if times > 1] == []


@EVERY
def test_what_has_a_side_can_say_it(name: str) -> None:
    one, said = behaviours()[name], ways()[name]
    if one.sided:
        # Without a side it cannot be asked for, so that all phrases tell one.
        assert all("{side}" in phrase for phrase in (*said.verbs, *said.verbs_side, *said.held_out))
    if one.sides:
        assert said.verbs_side
        assert said.held_out_side
    for sort in ("verbs_side", "nouns_side", "held_out_side"):
        assert all("{side}" in phrase for phrase in getattr(said, sort)), sort
    if not one.sided:
        plain = (*said.verbs, *said.nouns, *said.held_out, *said.adjectives, *said.adverbs)
        assert not any("{side}" in phrase for phrase in plain)


@EVERY
def test_only_emotions_have_adjectives_and_all_of_them(name: str) -> None:
    one, said = behaviours()[name], ways()[name]
    sorts = ("adjectives", "adjectives_slight", "adjectives_strong", "adverbs")
    filled = [bool(getattr(said, sort)) for sort in sorts]
    assert filled == [one.kind == "emotion"] * 4 or name == "neutral"
    assert not (one.kind == "emotion" and not said.adjectives)


def test_every_verb_phrase_has_a_verb_to_inflect() -> None:
    for name, said in ways().items():
        for sort in said.__dataclass_fields__:
            if sort.startswith(("verbs", "held_out")):
                assert all("[" in phrase for phrase in getattr(said, sort)), (name, sort)


def _phrases(said: object) -> list[str]:
    """All that are not held out."""
    sorts = [sort for sort in said.__dataclass_fields__ if not sort.startswith("held_out")]  # type: ignore[attr-defined]
    return [phrase for sort in sorts for phrase in getattr(said, sort)]


def _as_said(phrase: str) -> str:
    return fill(phrase, "third", SHE, "left")
