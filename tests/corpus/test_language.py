"""Programs in words: what is said is there, and what is there is said, in English."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from functools import cache, lru_cache

import numpy as np
import pytest
from made_programs import EVEN, acted, suite_performances, suite_programs

from tdmm.corpus.language import prompts
from tdmm.corpus.language.captions import captions, timeline
from tdmm.corpus.language.clauses import Voice, clause, words
from tdmm.corpus.language.inflect import FORMS, inflect, inflect_all
from tdmm.corpus.language.noise import CASE_RATE, TYPO_RATE, with_noise
from tdmm.corpus.language.parse import parse_text
from tdmm.corpus.language.phrases import HE, IT, SHE, THEY, YOU, I, Pronouns, fill, ways
from tdmm.corpus.language.questions import KINDS, questions
from tdmm.corpus.lexicon import behaviours, find
from tdmm.corpus.lines import head_is_still
from tdmm.corpus.perform import Performance
from tdmm.corpus.program import Event, Program, parse_program

COUNT = 300
SOMEONE = Pronouns("Someone", "they", "them", "their", "themself")
PRONOUNS = (SHE, HE, THEY, YOU, IT, I, SOMEONE)
NUMBERS = {2: "twice|two|2", 3: "three|thrice|3", 4: "four|4", 5: "five|5"}
DENIAL = re.compile(r"\b(without|never|not)\b", re.IGNORECASE)
STILL = re.compile(r"head (stays almost still|hardly moves|keeps its place)")


def in_style(style: str, program: Program, performance: Performance, seed: int, held_out: bool = False) -> str:
    random = np.random.default_rng([3, seed])
    if style == "timeline":
        return timeline(performance.schedule, random)
    if style == "keywords":
        return prompts.keywords(program, random)
    if style == "paper":
        return prompts.paper(program, random, head_still=False, held_out=held_out)
    if style == "scene":
        randoms = {name: random for name in ("appearance", "place", "light", "camera")}
        return prompts.video_prompt(
            prompts.acts_of(program, scene := prompts.draw_scene(randoms), random), scene, random
        )
    if style in ("short", "medium", "long"):
        return captions(program, performance.schedule, random, head_still=False, held_out=held_out)[style]
    return str(getattr(prompts, style)(program, random, held_out))


STYLES = ("command", "sentence", "scene", "paper", "request", "keywords", "timeline", "short", "medium", "long")
EVERY_STYLE = pytest.mark.parametrize("style", STYLES)


@lru_cache(maxsize=len(STYLES))
def texts(style: str) -> list[tuple[Program, str]]:
    pairs = zip(suite_programs(COUNT), suite_performances(COUNT), strict=True)
    return [(program, in_style(style, program, one, number)) for number, (program, one) in enumerate(pairs)]


# -- inflection ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "third", "gerund"),
    [
        ("smile", "smiles", "smiling"),
        ("nod", "nods", "nodding"),
        ("be", "is", "being"),
        ("have", "has", "having"),
        ("do", "does", "doing"),
        ("go", "goes", "going"),
        ("kiss", "kisses", "kissing"),
        ("press", "presses", "pressing"),
        ("purse", "purses", "pursing"),
        ("fix", "fixes", "fixing"),
        ("buzz", "buzzes", "buzzing"),
        ("watch", "watches", "watching"),
        ("flash", "flashes", "flashing"),
        ("cry", "cries", "crying"),
        ("say", "says", "saying"),
        ("sway", "sways", "swaying"),
        ("die", "dies", "dying"),
        ("see", "sees", "seeing"),
        ("agree", "agrees", "agreeing"),
        ("eye", "eyes", "eyeing"),
        ("glue", "glues", "gluing"),
        ("grin", "grins", "grinning"),
        ("shut", "shuts", "shutting"),
        ("squint", "squints", "squinting"),
        ("quiver", "quivers", "quivering"),
        ("quit", "quits", "quitting"),
        ("look", "looks", "looking"),
        ("lean", "leans", "leaning"),
        ("open", "opens", "opening"),
        ("bow", "bows", "bowing"),
        ("mix", "mixes", "mixing"),
        ("panic", "panics", "panicking"),
        ("regret", "regrets", "regretting"),
        ("offer", "offers", "offering"),
        ("begin", "begins", "beginning"),
        ("put", "puts", "putting"),
        ("yawn", "yawns", "yawning"),
        ("tip over", "tips over", "tipping over"),
    ],
)
def test_verbs_are_inflected(verb: str, third: str, gerund: str) -> None:
    assert inflect(verb, "third") == third
    assert inflect(verb, "gerund") == gerund
    assert inflect(verb, "base") == verb
    assert inflect(verb, "third", plural=True) == ("are" if verb == "be" else verb)


def test_all_verbs_of_a_phrase_are_inflected_and_another_form_is_refused() -> None:
    assert inflect_all("[purse] {their} lips and [blow]", "gerund") == "pursing {their} lips and blowing"
    with pytest.raises(ValueError, match="expected one of base, third, gerund, found 'past'"):
        inflect("smile", "past")


def test_every_phrase_fills() -> None:
    for name, said in ways().items():
        for sort in said.__dataclass_fields__:
            for phrase in getattr(said, sort):
                for form, pronouns in itertools.product(FORMS, PRONOUNS):
                    filled = fill(phrase, form, pronouns, "left")
                    assert not re.search(r"[{}\[\]]|  |^\s|\s$", filled), (name, phrase)


@pytest.mark.parametrize(
    ("phrase", "form", "pronouns", "said"),
    [
        ("[raise] {their} {side} brow", "third", SHE, "raises her left brow"),
        ("[raise] {their} {side} brow", "third", THEY, "raise their left brow"),
        ("[raise] {their} {side} brow", "gerund", YOU, "raising your left brow"),
        ("[be] happy with {themself}", "third", HE, "is happy with himself"),
        ("[be] happy with {themself}", "third", I, "am happy with myself"),
        ("[be] happy, [bare] all and [be] gone", "third", I, "am happy, bare all and am gone"),
        ("[stare] as if {they} [be] lost", "third", I, "stare as if I am lost"),
        ("[be] happy", "third", YOU, "are happy"),
        ("[be] happy", "base", YOU, "be happy"),
        ("[lick] {them}", "third", IT, "licks it"),
    ],
)
def test_a_phrase_is_said_of_somebody(phrase: str, form: str, pronouns: object, said: str) -> None:
    assert fill(phrase, form, pronouns, "left") == said  # type: ignore[arg-type]


# -- prompts and captions ------------------------------------------------------------------------------


@EVERY_STYLE
def test_every_text_reads(style: str) -> None:
    for program, text in texts(style):
        where = (str(program), text)
        assert text, where
        assert not re.search(r"[{}]|  |\bNone\b|^\s|\s$|\s[,.;?!]|,,|\.\.$", text), where
        assert style == "timeline" or not re.search(r"[\[\]]", text), where


@pytest.mark.parametrize("style", ["sentence", "scene", "paper", "medium", "long", "short"])
def test_whole_sentences_begin_with_a_capital_and_end_with_a_stop(style: str) -> None:
    for _, text in texts(style):
        assert text[0].isupper(), text
        assert text.endswith("."), text


@EVERY_STYLE
def test_verbs_agree_with_their_subjects(style: str) -> None:
    for program, text in texts(style):
        wrong = re.search(r"\b(they|we|you|I) (is|has|was|[a-z]+[^s\W]s)\b|\b(he|she|it) (are|am)\b|\bI are\b", text)
        assert not wrong or wrong[2] in ("perhaps", "always"), (str(program), text)
        assert not re.search(r"\b(face that|who) (are|have|be|smile|nod|look|express|raise|lift)\b", text), (
            str(program),
            text,
        )


@EVERY_STYLE
def test_sides_are_told(style: str) -> None:
    checked = 0
    for program, text in texts(style):
        for event in program.events():
            if event.side:
                checked += 1
                assert re.search(rf"\b{event.side}(ward|wards|-eyed)?\b", text.lower()), (str(program), text)
        if not any(event.side for event in program.events()):
            assert not re.search(r"\b(on|to) the (left|right)\b", text), (str(program), text)
    assert checked > 80


@EVERY_STYLE
def test_counts_are_told(style: str) -> None:
    checked = 0
    for program, text in texts(style):
        for event in program.events():
            if event.count > 1:
                checked += 1
                assert re.search(NUMBERS[event.count], text.lower()), (str(program), text)
    assert checked > 50


@pytest.mark.parametrize("style", [style for style in STYLES if style != "short"])  # which leaves out what goes along
def test_what_does_not_happen_is_denied(style: str) -> None:
    absent = [(program, text) for program, text in texts(style) if any(event.absent for event in program.events())]
    assert len(absent) >= 8
    for program, text in absent:
        assert ("no " in text) if style == "keywords" else DENIAL.search(text), (str(program), text)


@pytest.mark.parametrize("style", ["short", "long"])
def test_who_talks_all_the_time_is_not_said_to_stop(style: str) -> None:
    checked = 0
    for program, text in texts(style):
        if program.steps and any(event.behaviour.kind == "speech" for event in program.base):
            checked += 1
            stated = [[one.event.behaviour for one in step] for step in parse_text(text).steps]
            assert not any(one.kind == "speech" for step in stated[:-1] for one in step), (str(program), text)
    assert checked > 20


@pytest.mark.parametrize("style", ["short", "medium", "long"])
def test_a_head_that_keeps_its_place_is_told_by_captions(style: str) -> None:
    checked = 0
    for number, (program, one) in enumerate(zip(suite_programs(COUNT), suite_performances(COUNT), strict=True)):
        if any(event.behaviour.kind == "head" and not event.absent for event in program.events()):
            continue
        checked += 1
        for still in (True, False):
            random = np.random.default_rng([3, number])
            text = captions(program, one.schedule, random, head_still=still)[style]
            parsed = parse_text(text)
            assert parsed.head_still is (True if still else None), (str(program), text)
            assert "keep_still" not in [one.event.id for one in parsed.statements], (str(program), text)
    assert checked > 20
    told = parse_program("keep_still")
    text = captions(told, acted("keep_still").schedule, np.random.default_rng(1), head_still=True)["short"]
    assert "," not in text, text


def test_a_step_in_which_nothing_happens_is_told_in_every_form() -> None:
    program = parse_program("smile > !blink > nod*2")
    performance = acted(str(program))
    for style, seed in itertools.product((one for one in STYLES if one not in ("keywords", "timeline")), range(30)):
        text = in_style(style, program, performance, seed)
        assert not re.search(r"\bas (they|you|she|he|I) (be|being|is|are|am)\b", text), text
        assert DENIAL.search(text), text


@pytest.mark.parametrize("style", ["command", "sentence", "paper", "request", "long"])
def test_levels_tempi_and_seconds_are_told(style: str) -> None:
    heads = r"slight|little|bit|touch|degrees|gently|faint|just|partway|fraction"
    program = parse_program("tilt.left@slight")
    told = sum(bool(re.search(heads, in_style(style, program, acted(str(program)), seed))) for seed in range(40))
    assert told >= 36
    slow, long = parse_program("nod*3~slow"), parse_program("smile=2.5")
    for seed in range(20):
        text = in_style(style, slow, acted("nod*3~slow"), seed)
        assert re.search("slow|unhurried|leisure|time", text), text
        assert "2.5 seconds" in in_style(style, long, acted("smile=2.5"), seed)


def test_the_moderate_and_usual_goes_without_saying() -> None:
    tempi = re.compile("|".join(word for way in ("slow", "fast") for word in ("slowly", "quickly", "rapidly", way)))
    for seed in range(40):
        assert not tempi.search(clause(Event(find("nod")), "third", Voice(np.random.default_rng(seed), SHE)))


def test_one_program_is_said_in_many_ways() -> None:
    program = parse_program("joy : nod*2 > look_up")
    performance = acted(str(program))
    for style in ("command", "sentence", "paper", "request", "medium", "long"):
        assert len({in_style(style, program, performance, seed) for seed in range(60)}) > 50, style


def test_the_same_state_gives_the_same_words() -> None:
    program = suite_programs(COUNT)[0]
    for style in STYLES:
        one, again = (in_style(style, program, suite_performances(COUNT)[0], 4) for _ in range(2))
        assert one == again


def test_the_head_is_called_still_only_if_it_is() -> None:
    told = 0
    for number, (program, one) in enumerate(zip(suite_programs(COUNT), suite_performances(COUNT), strict=True)):
        random = np.random.default_rng(number)
        still = head_is_still(program, one)
        long = captions(program, one.schedule, random, head_still=still)["long"]
        assert bool(STILL.search(long)) == still, (str(program), long)
        told += still
        paper = prompts.paper(program, random, head_still=still)
        if not still and not any(event.id == "keep_still" for event in program.events()):
            assert not re.search("head almost still|head hardly moving|head steady|moving the head much", paper)
    assert told > 5


def test_a_moving_head_is_not_still() -> None:
    assert head_is_still(parse_program("smile"), acted("smile", person=EVEN))
    assert head_is_still(parse_program("keep_still : smile"), acted("keep_still : smile", person=EVEN))
    assert not head_is_still(parse_program("nod@slight"), acted("nod@slight", person=EVEN))
    assert not head_is_still(parse_program("sneeze"), acted("sneeze", person=EVEN))


def test_a_long_caption_tells_every_event_once_with_its_time() -> None:
    for number, (program, one) in enumerate(zip(suite_programs(COUNT), suite_performances(COUNT), strict=True)):
        long = captions(program, one.schedule, np.random.default_rng(number), head_still=False)["long"]
        told = [tuple(map(float, pair)) for pair in re.findall(r"\(from (\d+\.\d) to (\d+\.\d) s\)", long)]
        base = {id(event) for event in program.base}
        timed = sorted((t for t in one.schedule.events if id(t.event) not in base), key=lambda t: t.start)
        assert told == [(round(t.start, 1), round(min(t.end, one.schedule.duration), 1)) for t in timed]
        assert len(re.findall(r"[.] |[.]$", long)) == len(program.events()), long


def test_a_timeline_names_the_moments() -> None:
    for number, one in enumerate(suite_performances(COUNT)):
        text = timeline(one.schedule, np.random.default_rng(number))
        assert len(text.split("; ")) == len(one.schedule.events) or "; then" in text, text
        for at in map(float, re.findall(r"\d+\.\d", text)):
            assert 0 <= at <= one.schedule.duration + 0.05


# -- held-out phrases ----------------------------------------------------------------------------------


def held_out_texts(name: str, side: str) -> Iterator[str]:
    """The held-out phrases of a behaviour as they may stand in a text."""
    said = ways()[name]
    phrases = said.held_out_side if side and said.held_out_side else said.held_out
    for phrase, form, pronouns in itertools.product(phrases, FORMS, PRONOUNS):
        yield fill(phrase, form, pronouns, side or "either").lower()


def test_no_held_out_phrase_is_a_part_of_one_of_training() -> None:
    """In any form, said of anybody: "approving" of "an approving look"."""
    known = {
        fill(phrase, form, pronouns, "left").lower()
        for said in ways().values()
        for sort in said.__dataclass_fields__
        if not sort.startswith("held_out")
        for phrase in getattr(said, sort)
        for form, pronouns in itertools.product(FORMS, PRONOUNS)
    }
    runs = set()
    for text in known:
        said = text.split()
        runs |= {tuple(said[i:k]) for i, k in itertools.combinations(range(len(said) + 1), 2)}
    for name, side in itertools.product(behaviours(), ("", "left")):
        for phrase in held_out_texts(name, side):
            assert tuple(phrase.split()) not in runs, (name, phrase)


@cache
def whole(phrase: str) -> re.Pattern[str]:
    """The phrase, in whole words; there are more of them than `re` keeps."""
    return re.compile(rf"\b{phrase}\b")


@EVERY_STYLE
def test_held_out_phrases_are_not_used_where_they_are_not_asked_for(style: str) -> None:
    for program, text in texts(style):
        for event in program.events():
            known = text.lower()
            used = [phrase for phrase in held_out_texts(event.id, event.side) if whole(phrase).search(known)]
            assert not used, (str(program), text, used)


@pytest.mark.parametrize("style", ["command", "sentence", "request", "paper"])
def test_where_they_are_asked_for_all_verbs_are_held_out(style: str) -> None:
    for number, (program, one) in enumerate(zip(suite_programs(COUNT), suite_performances(COUNT), strict=True)):
        text = in_style(style, program, one, number, held_out=True).lower()
        for event in program.events():
            if style == "paper" and event.behaviour.kind == "emotion":
                continue  # a noun: "with joy on her face"
            assert any(phrase in text for phrase in held_out_texts(event.id, event.side)), (event.id, text)
            if event.side:
                assert re.search(rf"\b{event.side}(ward|wards)?\b", text), (str(program), text)


# -- noise ---------------------------------------------------------------------------------------------


def test_noise_is_as_frequent_as_it_says() -> None:
    clean, random = "The woman smiles warmly, then nods.", np.random.default_rng(0)
    noisy = [with_noise(clean, random) for _ in range(8000)]
    letters = [re.sub(r"\W", "", text).lower() for text in noisy]
    slips = sum(text != re.sub(r"\W", "", clean).lower() for text in letters) / 8000
    changed = sum(text != clean for text in noisy) / 8000
    assert 0.7 * TYPO_RATE < slips < 1.1 * TYPO_RATE
    assert 0.85 * (CASE_RATE + TYPO_RATE) < changed < 1.1 * (CASE_RATE + TYPO_RATE)


def test_noise_leaves_short_words_and_numbers_alone() -> None:
    random = np.random.default_rng(1)
    for _ in range(2000):
        assert with_noise("nod 3x, 2.5 s", random).lower().rstrip("!") == "nod 3x, 2.5 s"


def test_a_slip_is_small() -> None:
    random = np.random.default_rng(2)
    for _ in range(3000):
        text = with_noise("smiles slowly", random).lower().rstrip("!")
        assert abs(len(text) - len("smiles slowly")) <= 1
        assert text[0] == "s"
        assert text.count(" ") == 1


# -- questions -----------------------------------------------------------------------------------------


def asked(notation: str, head_still: bool = False, seeds: int = 60) -> dict[str, set[tuple[str, str]]]:
    """All questions and answers about a program, by their kind."""
    program, found = parse_program(notation), {kind: set() for kind in KINDS}
    for seed in range(seeds):
        performance = acted(notation, seed)
        random = np.random.default_rng(seed)
        for one in questions(program, performance.schedule, random, head_still=head_still, most=len(KINDS)):
            found[one["kind"]].add((one["question"], one["answer"]))
    return found


def answers(pairs: set[tuple[str, str]]) -> set[str]:
    return {answer for _, answer in pairs}


def test_questions_about_a_known_program_are_answered_right() -> None:
    found = asked("joy@strong : nod*3 > wink.left@slight", head_still=False)
    assert answers(found["emotion"]) == {"Joy."}
    assert answers(found["count"]) == {"Three times.", "Once."}
    winks = ("wink", "eye")
    assert {answer for question, answer in found["count"] if any(word in question for word in winks)} == {"Once."}
    assert answers(found["side"]) == {"Left."}
    assert answers(found["stillness"]) == {"No."}
    assert answers(found["intensity"]) == {"Strong.", "Moderate."}
    assert {answer for question, answer in found["intensity"] if "joy" in question} == {"Strong."}
    assert not found["speech"]
    assert not found["gaze"]
    assert answers(found["yes-no"]) == {"Yes.", "No."}


def test_a_still_head_is_said_to_be_still() -> None:
    assert answers(asked("smile", head_still=True, seeds=10)["stillness"]) == {"Yes."}


def test_what_comes_first_and_next_is_answered_right() -> None:
    found = asked("close_eyes > tongue_out", seeds=80)["order"]
    for question, answer in found:
        tongue = "tongue" in answer.lower()
        assert tongue == ("right after" in question), (question, answer)
    assert {"right after" in question for question, _ in found} == {True, False}
    assert not asked("smile + nod", seeds=20)["order"]
    assert not asked("nod > smile > nod", seeds=20)["order"]


def test_times_are_those_of_the_schedule() -> None:
    program = parse_program("smile > nod*2")
    for seed in range(30):
        plan = acted("smile > nod*2", seed).schedule
        starts = {f"At {one.start:.1f} seconds." for one in plan.events}
        lengths = {f"For about {one.end - one.start:.1f} seconds." for one in plan.events}
        for one in questions(program, plan, np.random.default_rng(seed), head_still=False, most=len(KINDS)):
            if one["kind"] == "when":
                assert one["answer"] in (starts if one["question"].startswith("When") else lengths)


def test_what_is_denied_is_not_seen() -> None:
    found = asked("!blink : smile")
    assert not found["count"]
    assert all("blink" not in question or answer == "No." for question, answer in found["yes-no"])


def test_no_is_the_answer_only_for_what_is_not_there() -> None:
    for number, (program, one) in enumerate(zip(suite_programs(COUNT), suite_performances(COUNT), strict=True)):
        present = {event.id for event in program.events() if not event.absent}
        random = np.random.default_rng(number)
        for found in questions(program, one.schedule, random, head_still=False, most=len(KINDS)):
            if found["kind"] == "yes-no" and found["answer"] == "No.":
                named = _bare(present, found["question"])
                assert not named, (str(program), found, named)


def _bare(ids: set[str], question: str) -> list[str]:
    """The behaviours whose plain verb phrase a question is."""
    named = []
    for name in ids:
        sides = ("left", "right") if behaviours()[name].sided or behaviours()[name].sides else ("",)
        phrases = (*ways()[name].verbs, *ways()[name].verbs_side)
        if any(
            question == f"Does the person {fill(phrase, 'base', THEY, side)}?" for phrase in phrases for side in sides
        ):
            named.append(name)
    return named


def test_a_clip_has_a_few_questions_of_different_kinds() -> None:
    for number, (program, one) in enumerate(zip(suite_programs(COUNT), suite_performances(COUNT), strict=True)):
        found = questions(program, one.schedule, np.random.default_rng(number), head_still=False)
        kinds = [question["kind"] for question in found]
        assert 1 <= len(found) <= 6
        assert len(set(kinds)) == len(kinds)
        assert set(kinds) <= set(KINDS)
        for question in found:
            assert question["question"].endswith("?")
            assert question["answer"].endswith(".")
            assert question["answer"][0].isupper()
            assert not re.search(r"[{}\[\]]|  ", question["question"] + question["answer"])


def test_words_to_put_together_are_there_for_every_level_tempo_and_count() -> None:
    assert set(words()["levels"]) == {"slight", "moderate", "strong"}
    assert set(words()["tempi"]) == {"slow", "fast"}
    assert [*words()["counts"]] == [str(number) for number in range(1, 9)]
