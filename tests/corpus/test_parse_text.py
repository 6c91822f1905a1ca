from __future__ import annotations

import time
from collections import Counter
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tdmm.corpus.language.inflect import FORMS
from tdmm.corpus.language.parse import parse_text
from tdmm.corpus.language.phrases import HE, SHE, THEY, YOU, fill, ways
from tdmm.corpus.language.reading import known_phrases
from tdmm.corpus.lexicon import behaviours
from tdmm.corpus.lines import perform_clip
from tdmm.corpus.plan import Settings, plan_clip
from tdmm.corpus.program import parse_program


@cache
def lines(count=300, seed=3):
    settings = Settings(free=False, seed=seed)
    return [perform_clip(plan_clip(number, settings))[1] for number in range(count)]


def said(text):
    """What a text states, in the notation of programs, with sets for the steps."""
    parsed = parse_text(text)
    return {str(one.event) for one in parsed.base}, [{str(one.event) for one in step} for step in parsed.steps]


def ids(events):
    return Counter((event["id"], event["absent"]) for event in events)


def rates(field):
    right = stated = true = 0
    for line in lines():
        for text in {"text": [line["text"]], "texts": line["texts"], "medium": [line["captions"]["medium"]]}[field]:
            there, read = ids(line["events"]), ids(parse_text(text).events())
            right += sum((there & read).values())
            stated += sum(read.values())
            true += sum(there.values())
    return right / stated, right / true


@pytest.mark.parametrize("field", ["text", "texts", "medium"])
def test_behaviours_of_generated_texts_are_read(field):
    precision, recall = rates(field)
    assert precision >= 0.995
    assert recall >= 0.995


def test_side_count_level_and_tempo_of_generated_captions_are_read():
    wrong = total = 0
    for line in lines():
        read = {(event["id"], event["absent"]): event for event in parse_text(line["captions"]["medium"]).events()}
        for event in line["events"]:
            other = read.get((event["id"], event["absent"]))
            if other is None or ids(line["events"])[event["id"], event["absent"]] > 1:
                continue
            total += 1
            wrong += any(event[key] != other[key] for key in ("side", "count", "level", "tempo"))
    assert total > 700
    assert wrong / total < 0.005


def test_the_program_of_nearly_every_generated_caption_is_found_again():
    def unordered(program):
        return set(map(str, program.base)), [set(map(str, step)) for step in program.steps]

    found = [(parse_program(line["program"]), parse_text(line["captions"]["medium"]).program()) for line in lines()]
    same = sum(other is not None and unordered(one) == unordered(other) for one, other in found)
    assert same / len(found) > 0.97


def test_times_of_long_captions_are_read_and_order_the_events():
    for line in lines()[:60]:
        read = parse_text(line["captions"]["long"])
        times = {(one.event.id, one.start, one.end) for one in read.statements if one.start is not None}
        # As written: to a tenth of a second.
        true = {
            (event["id"], round(event["start"], 1), round(event["end"], 1))
            for event in line["events"]
            if not event["throughout"] and not event["absent"]
        }
        assert {name for name, *_ in times} == {name for name, *_ in true}
        assert len(times) == len(true)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("pronouns", [SHE, HE, THEY, YOU], ids=lambda one: one.they)
def test_every_phrase_is_read_as_its_behaviour(form, pronouns):
    wrong = []
    for name, found in ways().items():
        for key in found.__dataclass_fields__:
            for phrase in getattr(found, key):
                text = fill(phrase, form, pronouns, "left")
                events = [one.event for one in parse_text(text).statements]
                if [event.id for event in events] != [name]:
                    wrong.append((name, text, [event.id for event in events]))
                elif "{side}" in phrase and events[0].side != "left":
                    wrong.append((name, text, "side"))
    assert wrong == []


def test_no_phrase_is_that_of_two_behaviours():
    assert [
        one for one in known_phrases().shared if one[1].kind == "event" and one[1].value[0] != one[2].value[0]
    ] == []


@pytest.mark.parametrize("name", list(behaviours()))
def test_the_name_of_a_behaviour_is_read(name):
    assert [one.event.id for one in parse_text(behaviours()[name].name).statements] == [name]


@pytest.mark.parametrize(
    ("text", "base", "steps"),
    [
        ("nods", set(), [{"nod"}]),
        ("head nod", set(), [{"nod"}]),
        ("smiling", set(), [{"smile"}]),
        ("smiles broadly", set(), [{"smile@strong"}]),
        ("blinks twice", set(), [{"blink*2"}]),
        ("blink x3", set(), [{"blink*3"}]),
        ("nods 12 times", set(), [{"nod"}]),
        ("looks to the left", set(), [{"look_aside.left"}]),
        ("turns left", set(), [{"turn.left"}]),
        ("raises eyebrows", set(), [{"raise_brows"}]),
        ("angry", {"anger"}, []),
        ("HE NODDED AND SMILED!!!", set(), [{"nod", "smile"}]),
        ("She slowly raises her left brow, then beams.", set(), [{"raise_brows.left~slow"}, {"smile@strong"}]),
        ("The man isn't smiling. He shakes his head no three times.", {"!smile"}, [{"shake*3"}]),
        ("She doesn't blink or nod, looks very angry.", {"!blink", "!nod", "anger@strong"}, []),
        ("nods without blinking", {"!blink"}, [{"nod"}]),
        ("A person winks their right eye after nodding.", set(), [{"nod"}, {"wink.right"}]),
        ("Before smiling, she nods.", set(), [{"nod"}, {"smile"}]),
        ("After nodding twice, he looks away and sighs.", set(), [{"nod*2"}, {"avert_gaze", "sigh"}]),
        ("nods before smiling", set(), [{"nod"}, {"smile"}]),
        ("nods while smiling", set(), [{"nod", "smile"}]),
        ("The face shifts from surprise to joy", set(), [{"surprise"}, {"joy"}]),
        ("He turns his head to the left, then to the right.", set(), [{"turn.left"}, {"turn.right"}]),
        ("winks left, then right, then left", set(), [{"wink.left"}, {"wink.right"}, {"wink.left"}]),
        ("nods two times quickly for 3 seconds", set(), [{"nod*2~fast=3"}]),
        ("nod + smile", set(), [{"nod", "smile"}]),
        ("looks a little sad", {"sadness@slight"}, []),
        ("with a hint of anger on his face, he nods", {"anger@slight"}, [{"nod"}]),
        ("Make the face smile", set(), [{"smile"}]),
        ("makes a face", set(), [{"grimace"}]),
        ("the kind old man laughs", set(), [{"laugh"}]),
        ("looks kind", {"caring"}, []),
        ("A young woman with short black hair in front of a plain grey wall", set(), []),
        ("0.4-1.9 s: smiles; 2.1-3.0 s: nods twice", set(), [{"smile"}, {"nod*2"}]),
        ("nods twice (2.1 s, 0.9 s long); smiles (0.4 s, 1.5 s long)", set(), [{"smile"}, {"nod*2"}]),
        ("blinks two times in a row", set(), [{"double_blink"}]),
        ("", set(), []),
        ("colourless green ideas", set(), []),
    ],
)  # fmt: skip
def test_what_people_write(text, base, steps):
    assert said(text) == (base, steps)


@pytest.mark.parametrize(
    ("text", "still"),
    [
        ("smiles, keeping the head almost still", True),
        ("The head hardly moves.", True),
        ("keeps her head still", True),
        ("The head moves.", False),
        ("smiles", None),
        ("keeps her head still, then nods", None),
    ],
)
def test_stillness_of_the_head(text, still):
    assert parse_text(text).head_still is still


@pytest.mark.parametrize(
    "text", ["she whsipers", "she whispeers", "she whispres", "SHE WHISPERS", "she whispeds", "she  whispers ,"]
)
def test_small_slips_are_read_over(text):
    assert [one.event.id for one in parse_text(text).statements] == ["whisper"]


def test_what_is_said_is_told_from_what_goes_without_saying():
    plain, full = (parse_text(text).statements[0] for text in ("nods", "nods slightly twice slowly for 2 seconds"))
    assert plain.said == frozenset()
    assert full.said == {"level", "count", "tempo", "seconds"}
    assert parse_text("winks her left eye").statements[0].said == {"side"}
    assert full.words == "nods"


def test_a_missing_side_makes_no_program_but_a_statement():
    parsed = parse_text("winks")
    assert parsed.program() is None
    assert [one.event.id for one in parsed.statements] == ["wink"]
    assert parse_text("").program() is None


def test_events_have_the_fields_of_a_manifest():
    line = lines()[0]
    assert set(parse_text("smiles (0.4 s, 1.5 s long)").events()[0]) == set(line["events"][0])


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            "nods smile left right then , . ; not without a little very twice x2 3 seconds looks sad before after and "
            "( ) [ : for 1.5 s until at from to whole clip İ ß 時 ' ’ - -> \ue000 \ue001 times".split(" ")
        )
    ).map(" ".join)
    | st.text(max_size=60)
)
def test_any_text_can_be_read(text):
    parsed = parse_text(text)
    assert parsed.text == text
    assert parse_text(text) == parsed
    for one in parsed.statements:
        assert one.words in text


def test_reading_takes_less_than_two_milliseconds_a_text():
    texts = [line["captions"]["long"] for line in lines()]
    parse_text("nods")
    start = time.process_time()
    for text in texts:
        parse_text(text)
    assert (time.process_time() - start) / len(texts) < 0.002
