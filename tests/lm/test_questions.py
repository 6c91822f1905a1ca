"""What people ask is put in the forms of the corpus; those forms and what is not understood stay as they are."""

from __future__ import annotations

import numpy as np
import pytest

from tdmm.corpus.language.questions import KINDS, questions
from tdmm.corpus.person import draw_person
from tdmm.corpus.program import parse_program
from tdmm.corpus.schedule import schedule
from tdmm.lm.questions import Asked, understand

WINK = "Wink: on which side, left or right?"
WINKS = "Does the person wink their left eye?"
EMOTION, ACTION = "Which emotion does the face show?", "What does the face do?"
HEAD, GAZE, SPEECH, STILL = (
    "How does the head move?", "Where do the eyes go?", "How does the person talk?", "Is the head still?"
)  # fmt: skip
NODS, SMILES = "Does the person nod?", "Does the person smile?"
ORDER = "What comes first: smiling, or nodding?"


def seen(*ids: str) -> dict[str, tuple[float, float]]:
    """All from second 1.0 on, for 2.5 seconds."""
    return dict.fromkeys(ids, (1.0, 2.5))


@pytest.mark.parametrize(
    ("question", "kind", "form"),
    [
        ("Which eye does she wink with?", "side", WINK),
        ("With which eye does he wink?", "side", WINK),
        ("what eye did the man wink with", "side", WINK),
        ("Does she wink with the left or the right eye?", "side", WINK),
        ("Is it the left or the right eye that she winks with?", "side", WINK),
        ("Which eyebrow does he raise?", "side", "Raise brows: on which side, left or right?"),
        ("Which way does she turn her head?", "side", "Turn: on which side, left or right?"),
        ("Where is she turning her head?", "side", "Turn: on which side, left or right?"),
        ("Do they turn left or right?", "side", "Turn: on which side, left or right?"),
        ("To which side does the man tilt his head?", "side", "Tilt: on which side, left or right?"),
        ("In which direction does he lean?", "side", "Lean aside: on which side, left or right?"),
        ("Over which shoulder does she look?", "side", "Look over shoulder: on which side, left or right?"),
        ("Which corner of her mouth does she smirk with?", "side", "Smirk: on which side, left or right?"),
        ("How often does she nod?", "count", "How often does the person nod?"),
        ("how often did he nod", "count", "How often does the person nod?"),
        ("How many nods are there?", "count", "How often does the person nod?"),
        ("What is the number of nods?", "count", "How often does the person nod?"),
        ("How many times did the man blink?", "count", "How often does the person blink?"),
        ("Can you tell me how often she blinks?", "count", "How often does the person blink?"),
        ("How often is he shaking his head?", "count", "How often does the person shake their head?"),
        ("How frequently does she yawn?", "count", "How often does the person yawn?"),
        ("When does she nod?", "when", "When does the person start to nod?"),
        ("When did he start smiling?", "when", "When does the person start to smile?"),
        ("At what time does she wink?", "when", "When does the person start to wink their left eye?"),
        ("At which second does he yawn?", "when", "When does the person start to yawn?"),
        ("When does the smile begin?", "when", "When does the person start to smile?"),
        ("When is she looking up?", "when", "When does the person start to look up?"),
        ("How long does she smile?", "when", "For how long does the person smile?"),
        ("For how long is he smiling?", "when", "For how long does the person smile?"),
        ("How long does the smile last?", "when", "For how long does the person smile?"),
        ("How many seconds are her eyes closed?", "when", "For how long does the person close their eyes?"),
        ("How long does it take until she nods?", "when", "When does the person start to nod?"),
        ("What emotion does she show?", "emotion", EMOTION),
        ("What is she feeling?", "emotion", EMOTION),
        ("how does he feel?", "emotion", EMOTION),
        ("What's her facial expression?", "emotion", EMOTION),
        ("How does she look?", "emotion", EMOTION),
        ("Does he look sad or happy?", "emotion", EMOTION),
        ("How strong is the smile?", "intensity", "How strongly does the person smile?"),
        ("How much does she smile?", "intensity", "How strongly does the person smile?"),
        ("How wide does she open her mouth?", "intensity", "How strongly does the person open their mouth?"),
        ("How happy is she?", "intensity", "How strong is the joy?"),
        ("What is the intensity of the anger?", "intensity", "How strong is the anger?"),
        ("What is he doing?", "action", ACTION),
        ("What happens?", "action", ACTION),
        ("What's going on in the face?", "action", ACTION),
        ("What does she do with her mouth?", "action", ACTION),
        ("How does she move her head?", "head", HEAD),
        ("What is the head doing?", "head", HEAD),
        ("Where does she look?", "gaze", GAZE),
        ("Which way is he looking?", "gaze", GAZE),
        ("What do her eyes do?", "gaze", GAZE),
        ("How is he talking?", "speech", SPEECH),
        ("What kind of speech is it?", "speech", SPEECH),
        ("What happens after she nods?", "order", "What comes right after nodding?"),
        ("What does he do after the smile?", "order", "What comes right after smiling?"),
        ("What comes first, the smile or the nod?", "order", ORDER),
        ("What does she do first, smile or nod?", "order", ORDER),
        ("Is her head still?", "stillness", STILL),
        ("Does he keep his head still?", "stillness", STILL),
    ],
)
def test_what_people_ask(question, kind, form):
    asked = understand(question)
    assert (asked.kind, asked.form) == (kind, form)
    assert asked.forms()[-1] == form


@pytest.mark.parametrize(
    ("question", "kind", "forms"),
    [
        ("Does she smile?", "yes-no", [SMILES]),
        ("Is the woman smiling?", "yes-no", [SMILES]),
        ("Did he smile?", "yes-no", [SMILES]),
        ("Is there a smile?", "yes-no", [SMILES]),
        ("Do you see a smile?", "yes-no", [SMILES]),
        ("Doesn’t she smile?", "yes-no", [SMILES]),
        ("Are they talking?", "yes-no", ["Does the person speak?"]),
        ("Are her eyes closed?", "yes-no", ["Does the person close their eyes?"]),
        ("Does she stick her tongue out?", "yes-no", ["Does the person stick out their tongue?"]),
        ("Does she shake her head?", "yes-no", ["Does the person shake their head?"]),
        ("Does he smile and nod?", "yes-no", [SMILES, NODS]),
        ("Is she happy?", "yes-no", [EMOTION]),
        ("Is she blinking a lot?", "yes-no", ["Does the person blink?"]),
        ("Does she wink with her left eye?", "yes-no", [WINKS, WINK]),
        ("Does she nod twice?", "yes-no", [NODS, "How often does the person nod?"]),
        ("Is she smiling broadly?", "yes-no", [SMILES, "How strongly does the person smile?"]),
        ("Does she smile before she nods?", "order", [SMILES, NODS, ORDER]),
        ("Does the head move?", "stillness", [STILL]),
    ],
)  # fmt: skip
def test_what_is_answered_with_yes_or_no(question, kind, forms):
    asked = understand(question)
    assert (asked.kind, asked.form, list(asked.forms())) == (kind, "", forms)


@pytest.mark.parametrize(
    "question",
    [
        " ", "???", "Why?", "When?", "Who is she?", "What color is her hair?", "What does she say?",
        "When does she stop smiling?", "What does he do before he winks?", "Does she smile or frown?",
        "How fast does she nod?", "Is he crying at 2 seconds?", "What happens at the end?", "Why is she smiling?",
        "Which side does she smile on?", "<|/text|> \U0001f600?", "Is she a doctor?", "how " * 200,
    ],
)  # fmt: skip
def test_what_is_not_understood_stays_as_it_is(question):
    asked = understand(question)
    assert asked == Asked(question)
    assert asked.answer(["So."], seen("smile")) == "So."


def test_what_the_corpus_asks_stays_as_it_is():
    random = np.random.default_rng(7)
    programs = [
        parse_program(text)
        for text in (
            "joy@slight : nod*2 > smile@strong > wink.left*3",
            "fear > turn.right > look_up",
            "speak : raise_brows.left > tilt.left~slow",
            "whisper + anger : close_eyes > shake*3 > glance_aside.right*2",
            "smirk.right > cock_brow.left > look_over_shoulder.left > puff_cheeks",
            "tiredness : yawn > slump_head > roll_eyes*2",
        )
    ]
    found = set()
    for _ in range(12):
        for program in programs:
            plan = schedule(program, draw_person(random), random)
            for one in questions(program, plan, random, head_still=False, most=12):
                asked = understand(one["question"])
                found.add((one["kind"], one["question"]))
                assert asked.kind == one["kind"]
                if one["kind"] == "yes-no":
                    assert asked.forms()[0] == one["question"]
                else:
                    assert (asked.form, asked.forms()[-1]) == (one["question"], one["question"])
                happening = seen(*(event.id for event in program.events()))
                if one["kind"] == "when":
                    assert asked.answer([], happening) in ("At 1.0 seconds.", "For about 2.5 seconds.")
                elif one["kind"] != "yes-no":  # what happens is asked as ever
                    assert asked.forms(happening) == (one["question"],)
                    assert asked.answer(["?"], happening) == "?"
    assert {kind for kind, _ in found} == set(KINDS)
    assert len(found) > 300


def test_what_does_not_happen_is_said_not_to():
    for question, answer in (
        ("How often does she nod?", "Never."),
        ("How often does the person nod?", "Never."),  # one of the corpus, too
        ("Which eye does she wink with?", "Neither."),
        ("When does she nod?", "Never."),
        ("How long does she nod?", "Not at all."),
        ("How strongly does she nod?", "Not at all."),
        ("What happens after she nods?", "Nothing."),
        ("What does she feel?", "None."),
        ("Where does she look?", "Nowhere."),
        ("Does she nod?", "No."),
    ):
        asked = understand(question)
        assert asked.forms(seen("smile")) == ()  # nothing that a model could make up
        assert asked.answer([], seen("smile")) == answer


def test_what_is_like_what_is_seen_is_asked():
    asked = understand("How often does she nod?")
    assert asked.forms() == (NODS, "How often does the person nod?")
    assert asked.answer(["Yes.", "Twice."], seen("bow")) == "Twice."
    assert asked.answer(["No.", "Twice."], seen("bow")) == "Never."
    assert asked.answer(["Twice."], seen("nod")) == "Twice."
    # Nothing is known of what is seen: the model alone tells.
    assert asked.answer(["Yes.", "Twice."]) == "Twice."
    assert asked.answer(["No.", "Twice."]) == "Never."
    assert understand("What does she feel?").answer(["Joy."]) == "Joy."


@pytest.mark.parametrize(
    ("question", "answers", "shown", "answer"),
    [
        ("Does she nod?", [], seen("nod"), "Yes."),
        ("When does she nod?", [], seen("nod"), "At 1.0 seconds."),
        ("How long does she nod?", [], seen("nod"), "For about 2.5 seconds."),
        ("Does she nod twice?", ["Twice."], seen("nod"), "Yes."),
        ("Does she nod twice?", ["Three times."], seen("nod"), "No."),
        ("Does she wink with her right eye?", ["Left."], seen("wink"), "No."),
        ("Does she wink with her left eye?", ["Left."], seen("wink"), "Yes."),
        ("Does the person wink their right eye?", ["Left."], seen("wink"), "No."),  # of the corpus
        ("Does he smile and nod?", [], seen("smile"), "No."),
        ("Does he smile and nod?", [], seen("smile", "nod"), "Yes."),
        ("Is she smiling broadly?", ["Slight."], seen("smile"), "No."),
        ("Does the head move?", ["No."], seen("smile"), "Yes."),
        ("Does the head move?", ["Yes."], seen("smile"), "No."),
        ("Does she smile before she nods?", ["Smiling."], seen("smile", "nod"), "Yes."),
        ("Does she smile after she nods?", ["Smiling."], seen("smile", "nod"), "No."),
        ("Is she happy?", ["Fear, then joy."], seen(), "Yes."),
        ("Is she happy?", ["Fear."], seen(), "No."),
        ("Is she happy?", [], seen("joy", "fear"), "Yes."),
        ("Is she happy?", [], seen("fear"), "No."),
    ],
)
def test_answers_that_are_compared(question, answers, shown, answer):
    asked = understand(question)
    assert len(asked.forms(shown)) == len(answers)
    assert asked.answer(answers, shown) == answer
