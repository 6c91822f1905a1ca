"""What a language model reads and writes, as ids. Each task has a part that is given and a part that is written:

    animate   <bos> <|animate|> <|text|> PROMPT <|/text|>                                             MOTION
    describe  <bos> <|describe|> <|short|> <|motion|> codes <|/motion|> <|text|>                      TEXT
    ask       <bos> <|ask|> <|motion|> codes <|/motion|> <|text|> QUESTION <|/text|> <|text|>         TEXT
    continue  <bos> <|continue|> <|text|> PROMPT <|/text|> <|motion|> codes <|/motion|>               MOTION
    predict   <bos> <|predict|> <|motion|> codes <|/motion|>                                          MOTION
    between   <bos> <|between|> <|text|> PROMPT <|/text|> <|motion|> codes <|gap|> codes <|/motion|>  MOTION

    MOTION    <|len:n|> <|motion|> n steps of codes <|/motion|> <eos>
    TEXT      words <|/text|> <eos>

A language model that knows languages may be told in words, too, what to do: `instruction`, right behind <bos>. An empty
prompt is one that was dropped, for guidance without a classifier.
"""

from __future__ import annotations

from typing import Any

from tdmm.errors import LmError
from tdmm.lm.vocabulary import DETAILS, BoundVocabulary


def animate_given(bound: BoundVocabulary, prompt: str, instruction: str = "") -> list[int]:
    """What is given where a motion is asked for by a prompt."""
    return [*_begin(bound, "animate", instruction), *_text(bound, prompt)]


def describe_given(bound: BoundVocabulary, codes: Any, detail: str, instruction: str = "") -> list[int]:
    """What is given where a caption is asked for. codes: (T, Q); detail: of DETAILS."""
    if detail not in DETAILS:
        raise LmError(f"detail: expected one of {', '.join(DETAILS)}, found {detail!r}")
    begin = [*_begin(bound, "describe", instruction), bound.control(detail)]
    return [*begin, *_motion(bound, codes), bound.control("text")]


def ask_given(bound: BoundVocabulary, codes: Any, question: str, instruction: str = "") -> list[int]:
    """What is given where a question about a motion is asked. codes: (T, Q)."""
    begin = _begin(bound, "ask", instruction)
    return [*begin, *_motion(bound, codes), *_text(bound, question), bound.control("text")]


def continue_given(bound: BoundVocabulary, prompt: str, before: Any, instruction: str = "") -> list[int]:
    """What is given where a motion goes on after the codes `before` (T, Q) as a prompt says."""
    return [*_begin(bound, "continue", instruction), *_text(bound, prompt), *_motion(bound, before)]


def predict_given(bound: BoundVocabulary, before: Any, instruction: str = "") -> list[int]:
    """What is given where a motion goes on after the codes `before` (T, Q), nobody says how."""
    return [*_begin(bound, "predict", instruction), *_motion(bound, before)]


def between_given(bound: BoundVocabulary, prompt: str, before: Any, after: Any, instruction: str = "") -> list[int]:
    """What is given where a motion is asked for that lies between the codes `before` and `after`, (T, Q) each."""
    codes = [*bound.encode(before), bound.control("gap"), *bound.encode(after)]
    begin = [*_begin(bound, "between", instruction), *_text(bound, prompt)]
    return [*begin, bound.control("motion"), *codes, bound.control("/motion")]


def motion_written(bound: BoundVocabulary, codes: Any) -> list[int]:
    """What is written of a motion, codes (T, Q). Raises `LmError` for one that is too long for a duration token."""
    return [bound.length(len(codes)), *_motion(bound, codes), bound.eos]


def text_written(bound: BoundVocabulary, text: str) -> list[int]:
    """What is written of a caption or an answer."""
    return [*bound.text_ids(text), bound.control("/text"), bound.eos]


def _begin(bound: BoundVocabulary, task: str, instruction: str) -> list[int]:
    begin = [] if bound.bos is None else [bound.bos]
    return [*begin, *(bound.text_ids(instruction) if instruction else ()), bound.control(task)]


def _text(bound: BoundVocabulary, text: str) -> list[int]:
    return [bound.control("text"), *bound.text_ids(text), bound.control("/text")]


def _motion(bound: BoundVocabulary, codes: Any) -> list[int]:
    return [bound.control("motion"), *bound.encode(codes), bound.control("/motion")]
