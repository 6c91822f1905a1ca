"""Accuracy of answers to questions about a motion, by kind of question.

Answers are compared by what they say, not by their words: "Yes, it does." is yes, "2 times" is twice, "pretty angry" is
anger, "closes both eyes" is "has their eyes closed". An answer of which nothing can be read is wrong, and counted as
unreadable.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tdmm.corpus.language.parse import Parsed, parse_text
from tdmm.corpus.language.questions import KINDS
from tdmm.corpus.lexicon import LEVELS, SIDES
from tdmm.errors import EvaluationError

SECONDS = 0.5  # by which an answer to when, or for how long, may be off
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_TIMES = {"once": 1, "twice": 2, "thrice": 3, "never": 0, "no": 0, "none": 0}
_YES = frozenset("yes yeah yep true correct right indeed".split())
_NO = frozenset("no nope not false never incorrect".split())
_LEVELS = {
    "slight": "slight slightly mild mildly weak weakly faint faintly subtle subtly light lightly low little small bit "
    "tiny barely",
    "moderate": "moderate moderately medium average normal normally fairly clear clearly",
    "strong": "strong strongly intense intensely high very extreme extremely great hard heavy heavily deep deeply full "
    "fully lot",
}
_LEVEL_OF = {word: level for level, said in _LEVELS.items() for word in said.split()}
assert set(_LEVELS) == set(LEVELS)
_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?|\d+(?:\.\d+)?")


@dataclass(frozen=True)
class AnswerScores:
    """right, asked, unreadable: numbers of answers by kind of question. each: whether each one is right, in order."""

    right: Mapping[str, int]
    asked: Mapping[str, int]
    unreadable: Mapping[str, int]
    each: tuple[bool, ...] = field(default=(), repr=False)

    def accuracy(self, kind: str | None = None) -> float:
        """The share of right answers, of one kind or of all; nan where nothing was asked."""
        asked = sum(self.asked.values()) if kind is None else self.asked.get(kind, 0)
        right = sum(self.right.values()) if kind is None else self.right.get(kind, 0)
        return right / asked if asked else float("nan")


def score_answers(
    answers: Sequence[str], questions: Sequence[Mapping[str, Any]], *, seconds: float = SECONDS
) -> AnswerScores:
    """Scores of N answers to N questions {"kind", "question", "answer"} of manifest lines.

    Raises `EvaluationError` where the numbers differ, for an unknown kind, and for a question whose own answer cannot
    be read.
    """
    if len(answers) != len(questions):
        raise EvaluationError(f"answers: {len(answers)} answers to {len(questions)} questions; give one to each")
    right: dict[str, int] = {}
    asked: dict[str, int] = {}
    unreadable: dict[str, int] = {}
    each = []
    for answer, question in zip(answers, questions, strict=True):
        kind = str(question.get("kind"))
        true = read_answer(kind, str(question.get("answer", "")))
        if true is None:
            raise EvaluationError(
                f"answers: the answer {question.get('answer')!r} to {question.get('question')!r} ({kind}) "
                "cannot be read; expected one as tdmm generate-corpus writes them"
            )
        said = read_answer(kind, answer)
        agree = said is not None and _agree(kind, said, true, seconds)
        for counts, add in ((asked, 1), (right, int(agree)), (unreadable, int(said is None))):
            counts[kind] = counts.get(kind, 0) + add
        each.append(agree)
    return AnswerScores(right, asked, unreadable, tuple(each))


def read_answer(kind: str, answer: str) -> Any | None:
    """What an answer to a question of that kind says, or None where nothing can be read.

    yes-no, stillness: bool. count: int. side: left or right. intensity: a level. when: seconds. emotion: ids in order.
    action, head, gaze, speech, order: (id, side) in order; of an order only the first. Raises `EvaluationError` for an
    unknown kind.
    """
    if kind not in KINDS:
        raise EvaluationError(f"answers: there is no kind of question {kind!r}; expected one of {', '.join(KINDS)}")
    words = _WORD.findall(answer.lower().replace("’", "'"))
    if kind in ("yes-no", "stillness"):
        return _yes_or_no(words)
    if kind == "count":
        return next((number for word in words if (number := _number(word)) is not None), None)
    if kind == "side":
        sides = {word for word in words if word in SIDES}
        return sides.pop() if len(sides) == 1 else None
    if kind == "intensity":
        return next((_LEVEL_OF[word] for word in words if word in _LEVEL_OF), None)
    if kind == "when":
        return _seconds(words)
    return _behaviours(kind, parse_text(answer))


def _agree(kind: str, said: Any, true: Any, seconds: float) -> bool:
    if kind == "when":
        return abs(float(said) - float(true)) <= seconds + 1e-9
    if kind in ("action", "head", "gaze", "speech", "order"):
        # A side that the true answer does not give may be given.
        return len(said) == len(true) and all(
            mine[0] == theirs[0] and (not theirs[1] or mine[1] == theirs[1])
            for mine, theirs in zip(said, true, strict=True)
        )
    return bool(said == true)


def _yes_or_no(words: Sequence[str]) -> bool | None:
    for word in words:
        if word in _YES:
            return True
        if word in _NO or word.endswith("n't"):
            return False
    return None


def _number(word: str) -> int | None:
    if word in _TIMES:
        return _TIMES[word]
    if word in NUMBERS:
        return NUMBERS.index(word)
    return int(word) if word.isdigit() else None


def _seconds(words: Sequence[str]) -> float | None:
    for word in words:
        if word[0].isdigit():
            return float(word)
        if word in NUMBERS:
            return float(NUMBERS.index(word))
    return None


def _behaviours(kind: str, parsed: Parsed) -> tuple[Any, ...] | None:
    """In the order in which they happen."""
    statements = [one.event for one in parsed.statements if not one.event.absent]
    if kind == "order":
        return ((statements[0].id, statements[0].side),) if statements else None
    events = [event for event in statements if event.behaviour.kind == kind]
    if not events:
        return None
    if kind == "emotion":
        return tuple(event.id for event in events)
    return tuple((event.id, event.side) for event in events)
