"""What a language model learns from: clips of a corpus, with their codes, as examples of every task.

Which task, which words, and where a motion is cut is drawn: the same generator draws the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np

from tdmm.errors import LmError
from tdmm.lm import sequences
from tdmm.lm.templates import instruction
from tdmm.lm.timeline import tells_when, timeline_of
from tdmm.lm.vocabulary import DETAILS, TASKS, BoundVocabulary

DROPPED = 0.1  # of the prompts
PRIMARY = 0.5  # how often a clip is worded as its first text has it
# The captions for each detail, the first of them as often as PRIMARY says. Timelines are made of the events.
_CAPTIONS = {"short": ("short", "medium"), "long": ("long",)}
# Captions that are also prompts for what they describe.
_ALSO_PROMPTS = ("short", "medium")


class Example(NamedTuple):
    """A sequence. ids: (L,) int32, of which the loss is on those from `target_from` on; the others are given."""

    ids: np.ndarray
    target_from: int
    task: str


@dataclass(frozen=True)
class TaskMix:
    """How often each task is drawn, and each detail of a description. A task for which a clip lacks what is needed
    leaves its share to the others."""

    animate: float = 0.34
    describe: float = 0.42
    ask: float = 0.1
    # "continue" is a word of Python
    continue_: float = 0.07
    between: float = 0.04
    predict: float = 0.03
    short: float = 0.4
    long: float = 0.35
    timeline: float = 0.25

    def __post_init__(self) -> None:
        for item in fields(self):
            if not 0 <= getattr(self, item.name) < float("inf"):
                name = item.name.rstrip("_")
                raise LmError(f"task mix: {name}: expected a weight >= 0, found {getattr(self, item.name)!r}")

    @classmethod
    def of(cls, weights: Mapping[str, float]) -> TaskMix:
        """The mix of weights by task and detail; those that are not named are as usual. Raises `LmError` for a weight
        that is none."""
        return cls(**{_field(name): weight for name, weight in weights.items()})

    def weight(self, name: str) -> float:
        """Of a task or a detail."""
        return getattr(self, _field(name))


def _field(name: str) -> str:
    """That of `TaskMix` for a task or a detail."""
    return "continue_" if name == "continue" else name


DEFAULT_MIX = TaskMix()


def sample_example(
    line: Mapping[str, Any],
    codes: np.ndarray,
    bound: BoundVocabulary,
    random: np.random.Generator,
    mix: TaskMix = DEFAULT_MIX,
    *,
    seen: np.ndarray | None = None,
    instructed: bool = False,
    dropped: float = DROPPED,
) -> Example:
    """An example of a clip: its manifest line and its codes (T, Q).

    seen: the codes that are described and asked about, where these are not the motion's own but those of what a camera
    saw of it. instructed: with an instruction in words, for a base model that knows languages. dropped: share of empty
    prompts. Raises `LmError` where the mix has no task for which the clip has what is needed, and for a motion that is
    too long.
    """
    if len(codes) > bound.vocabulary.longest:
        raise LmError(
            f"{_name(line)}: has {len(codes)} steps of codes, the language model knows {bound.vocabulary.longest} at "
            "most; cut it in parts"
        )
    tasks = {task: mix.weight(task) for task in tasks_of(line, len(codes), mix) if mix.weight(task)}
    if not tasks:
        raise LmError(
            f"{_name(line)}: has neither text nor captions for any task of the mix; {len(codes)} steps of codes"
        )
    task = _draw(tasks, random)
    if task == "describe":
        details = {detail: mix.weight(detail) for detail in details_of(line, mix)}
        detail = _draw(details, random)
        return _made("describe", line, codes, bound, random, detail=detail, seen=seen, instructed=instructed)
    return _made(task, line, codes, bound, random, seen=seen, instructed=instructed, dropped=dropped)


def example_of(
    task: str,
    line: Mapping[str, Any],
    codes: np.ndarray,
    bound: BoundVocabulary,
    random: np.random.Generator,
    *,
    detail: str = "short",
    seen: np.ndarray | None = None,
    instructed: bool = False,
    dropped: float = 0.0,
) -> Example:
    """An example of one task; see `sample_example`. Raises `LmError` where the clip lacks what the task needs."""
    if task not in tasks_of(line, len(codes)) or (task == "describe" and detail not in details_of(line)):
        raise LmError(f"{_name(line)}: lacks what the task {f'{task} {detail}' if task == 'describe' else task} needs")
    return _made(task, line, codes, bound, random, detail=detail, seen=seen, instructed=instructed, dropped=dropped)


def _made(
    task: str,
    line: Mapping[str, Any],
    codes: np.ndarray,
    bound: BoundVocabulary,
    random: np.random.Generator,
    *,
    detail: str = "short",
    seen: np.ndarray | None = None,
    instructed: bool = False,
    dropped: float = 0.0,
) -> Example:
    """An example of a task for which the clip has what is needed."""
    steps = len(codes)
    said = instruction(task, detail if task == "describe" else "", random) if instructed else ""
    if task == "describe":
        given = sequences.describe_given(bound, codes if seen is None else seen, detail, said)
        return _example(given, sequences.text_written(bound, _caption(line, detail, random)), task)
    if task == "ask":
        asked = _questions(line)
        question, answer = asked[int(random.integers(len(asked)))]
        given = sequences.ask_given(bound, codes if seen is None else seen, question, said)
        return _example(given, sequences.text_written(bound, answer), task)
    prompt = ""
    if task != "predict":
        prompt = _worded(prompts_of(line), random)
        prompt = "" if random.random() < dropped else prompt
    if task == "animate":
        return _example(sequences.animate_given(bound, prompt, said), sequences.motion_written(bound, codes), task)
    if task == "between":
        first, end = sorted(1 + int(cut) for cut in random.choice(steps - 1, 2, replace=False))
        given = sequences.between_given(bound, prompt, codes[:first], codes[end:], said)
        return _example(given, sequences.motion_written(bound, codes[first:end]), task)
    cut = 1 + int(random.integers(steps - 1))
    if task == "continue":
        given = sequences.continue_given(bound, prompt, codes[:cut], said)
    else:
        given = sequences.predict_given(bound, codes[:cut], said)
    return _example(given, sequences.motion_written(bound, codes[cut:]), task)


def tasks_of(line: Mapping[str, Any], steps: int, mix: TaskMix = DEFAULT_MIX) -> list[str]:
    """The tasks for which a clip of so many steps has what is needed."""
    text = bool(prompts_of(line))
    possible = {
        "animate": text and steps >= 1,
        "describe": steps >= 1 and bool(details_of(line, mix)),
        "ask": steps >= 1 and bool(_questions(line)),
        "continue": text and steps >= 2,
        "between": text and steps >= 3,
        "predict": steps >= 2,
    }
    return [task for task in TASKS if possible[task]]


def details_of(line: Mapping[str, Any], mix: TaskMix = DEFAULT_MIX) -> list[str]:
    """The details in which a clip can be described, of those that the mix has."""
    possible = {detail: any(map(_is_text, _captions(line, detail))) for detail in _CAPTIONS}
    possible["timeline"] = bool(mix.timeline) and tells_when(line)
    return [detail for detail in DETAILS if possible[detail] and mix.weight(detail)]


def prompts_of(line: Mapping[str, Any]) -> list[str]:
    """All texts that ask for a clip, the primary prompt first."""
    captions = line.get("captions") or {}
    said = [line.get("text"), *(line.get("texts") or ()), *(captions.get(name) for name in _ALSO_PROMPTS)]
    return list(dict.fromkeys(text for text in said if _is_text(text)))


def _caption(line: Mapping[str, Any], detail: str, random: np.random.Generator) -> str:
    if detail == "timeline":
        return timeline_of(line, random)
    return _worded([text for text in _captions(line, detail) if _is_text(text)], random)


def _captions(line: Mapping[str, Any], detail: str) -> list[Any]:
    captions = line.get("captions") or {}
    return [captions.get(name) for name in _CAPTIONS[detail]]


def _questions(line: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Questions and answers."""
    pairs = [(one.get("question"), one.get("answer")) for one in line.get("questions") or ()]
    return [(question, answer) for question, answer in pairs if _is_text(question) and _is_text(answer)]


def _worded(texts: Sequence[str], random: np.random.Generator) -> str:
    """The first of some texts half the time, else any of the others."""
    if len(texts) == 1 or random.random() < PRIMARY:
        return texts[0]
    return texts[1 + int(random.integers(len(texts) - 1))]


def _draw(weights: Mapping[str, float], random: np.random.Generator) -> str:
    shares = np.cumsum(list(weights.values()))
    return list(weights)[
        min(int(np.searchsorted(shares, random.random() * shares[-1], side="right")), len(weights) - 1)
    ]


def _example(given: Sequence[int], written: Sequence[int], task: str) -> Example:
    return Example(np.array([*given, *written], np.int32), len(given), task)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _name(line: Mapping[str, Any]) -> str:
    return str(line.get("id") or line.get("text") or "a clip without a name")
