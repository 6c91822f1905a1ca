"""Batches of a training: each is drawn from its number and a seed alone, so that a training that was stopped goes on
with the very batches that it would have seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from tdmm.lm.clips import ClipSet
from tdmm.lm.examples import DEFAULT_MIX, DROPPED, Example, TaskMix, details_of, example_of, sample_example, tasks_of
from tdmm.lm.packing import NO_TARGET, Packed, filled, pack
from tdmm.lm.seq2seq import seq2seq_batch
from tdmm.lm.vocabulary import TASKS, BoundVocabulary

# Of the motions that are described, so many are as a fit would give them back.
FITTED = 0.75
# Where clips have fits of their own, so many of all examples are about those.
FITS = 0.02


@dataclass(frozen=True)
class BatchPlan:
    """How a batch is made. rows of `length` tokens; seq2seq: examples of an encoder-decoder, rows of them, unpacked;
    instructed, dropped, mix: see `sample_example`; seed: of all draws."""

    rows: int
    length: int
    seed: int = 0
    mix: TaskMix = DEFAULT_MIX
    instructed: bool = False
    dropped: float = DROPPED
    seq2seq: bool = False


class Batches(Dataset):  # type: ignore[type-arg]
    """Batch number n, drawn anew. Of several processes each has every so many-th."""

    def __init__(
        self, clips: ClipSet, bound: BoundVocabulary, plan: BatchPlan, *, process: int = 0, processes: int = 1
    ) -> None:
        self.clips, self.bound, self.plan = clips, bound, plan
        self.process, self.processes = process, processes
        self._told = replace(plan.mix, animate=0.0, continue_=0.0, between=0.0, predict=0.0)
        self._real = real_fits(clips, self._told)

    def __getitem__(self, number: int) -> dict[str, torch.Tensor]:
        """See `tensors`, or `seq2seq_batch`."""
        random = np.random.default_rng([self.plan.seed, number * self.processes + self.process])
        drawn = self._drawn(random)
        if self.plan.seq2seq:
            return seq2seq_batch([next(drawn) for _ in range(self.plan.rows)], self.bound)
        examples = filled(drawn, self.plan.rows, self.plan.length)
        return tensors(pack(examples, self.plan.length, self.bound.pad), self.plan.rows, self.bound.pad)

    def _drawn(self, random: np.random.Generator) -> Iterator[Example]:
        clips, plan = self.clips, self.plan
        while True:
            seen, mix = None, plan.mix
            if len(self._real) and random.random() < FITS:
                number = int(random.choice(self._real))
                seen, mix = clips.codes_of(number, 1), self._told
            else:
                number = int(random.integers(len(clips)))
                if clips.variants > 1 and random.random() < FITTED:
                    seen = clips.codes_of(number, 1 + int(random.integers(clips.variants - 1)))
            yield sample_example(
                clips.line(number),
                clips.codes_of(number),
                self.bound,
                random,
                mix,
                seen=seen,
                instructed=plan.instructed,
                dropped=plan.dropped,
            )


def real_fits(clips: ClipSet, mix: TaskMix) -> np.ndarray:
    """(K,) numbers of the clips with a fit of their own, of which the mix has something to tell."""
    weighs = {task for task in TASKS if mix.weight(task)}
    tells = [
        number
        for number in np.flatnonzero(clips.real).tolist()
        if weighs.intersection(tasks_of(clips.line(number), len(clips.codes_of(number)), mix))
    ]
    return np.array(tells, np.int64)


def tensors(packed: Packed, rows: int, pad: int) -> dict[str, torch.Tensor]:
    """ids, targets, positions (R, L) int64 and documents (R, L) int32 of so many rows; those that are missing are
    padding."""
    fillers = {"ids": pad, "targets": NO_TARGET, "positions": 0, "documents": -1}
    found = {}
    for name, filler in fillers.items():
        values = getattr(packed, name)
        whole = np.full((rows, values.shape[1]), filler, np.int32 if name == "documents" else np.int64)
        whole[: len(values)] = values
        found[name] = torch.from_numpy(whole)
    return found


def examples_by_task(clips: ClipSet, bound: BoundVocabulary, plan: BatchPlan, each: int) -> dict[str, list[Example]]:
    """Up to so many examples of each task, the same every time, of motions as they are and with whole prompts."""
    random = np.random.default_rng(plan.seed)
    found: dict[str, list[Example]] = {task: [] for task in TASKS}
    for number in random.permutation(len(clips)).tolist():
        if all(len(examples) >= each for examples in found.values()):
            break
        line, codes = clips.line(number), clips.codes_of(number)
        for task in tasks_of(line, len(codes), plan.mix):
            if len(found[task]) < each:
                details = details_of(line, plan.mix) if task == "describe" else [""]
                detail = details[int(random.integers(len(details)))]
                found[task].append(
                    example_of(task, line, codes, bound, random, detail=detail, instructed=plan.instructed)
                )
    return {task: examples for task, examples in found.items() if examples and plan.mix.weight(task)}


def worker_count(cores: int) -> int:
    """Processes that draw batches, beside the one that learns."""
    return max(0, min(12, cores - 2))


def example_batches(examples: list[Example], bound: BoundVocabulary, plan: BatchPlan) -> Iterator[dict[str, Any]]:
    """Given examples in batches of the plan's shape."""
    if plan.seq2seq:
        for start in range(0, len(examples), plan.rows):
            yield seq2seq_batch(examples[start : start + plan.rows], bound)
        return
    packed = pack(examples, plan.length, bound.pad)
    for start in range(0, len(packed), plan.rows):
        some = Packed(*(getattr(packed, name)[start : start + plan.rows] for name in Packed.__dataclass_fields__))
        yield tensors(some, plan.rows, bound.pad)
