"""The numbers of a corpus: how much of what there is, how evenly, and how much of it is said twice."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tdmm.corpus.report import fields
from tdmm.corpus.report.near_duplicates import NearDuplicates, find_near_duplicates
from tdmm.corpus.report.words import emotion_words, most_common, words_of
from tdmm.errors import CorpusError

CELL_SLOTS = ("emotion", "intensity", "action", "head")
# Slots whose combinations with the emotion are counted.
COVERED = ("head", "action")
_BINS = 24
_WORDS_KEPT = 200


@dataclass(frozen=True)
class Durations:
    """Seconds of the clips that say how long they are (`known` of them), and a histogram: n + 1 edges, n counts."""

    known: int
    total: float
    shortest: float
    median: float
    mean: float
    longest: float
    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Cells:
    """Combinations of categories. sizes: the categories of each slot, one more where clips have none.

    filled: how many of the `possible` combinations have a clip; fullest: the most clips that share one.
    """

    sizes: dict[str, int]
    filled: int
    possible: int
    fullest: int


@dataclass(frozen=True)
class Texts:
    """Primary texts: how many clips have one, how many are distinct, and the share of the distinct ones.

    words: distinct ones over all texts; mean_words: of a text. phrasings: other ways of saying, over all clips.
    across_splits: distinct texts that are in more than one split.
    """

    clips: int
    distinct: int
    distinct_share: float
    words: int
    mean_words: float
    phrasings: int
    across_splits: int


@dataclass(frozen=True)
class Summary:
    """What a corpus holds. Counts are of clips, by name, most first, unless said otherwise.

    slots: by slot and category. slots_by_generator: by slot, category and generator. evenness: by slot the
    coefficient of variation of its counts, 0 where all categories have equally many clips. events: of each kind the
    events by behaviour, less the `absent_events`, which are said not to happen. coverage: by slot (head, action),
    emotion and category. prompt_words, emotion_words: the commonest with their numbers of occurrences.
    """

    clips: int
    hours: float
    with_video: int
    with_motion: int
    durations: Durations | None
    splits: dict[str, int]
    generators: dict[str, int]
    licences: dict[str, int]
    slots: dict[str, dict[str, int]]
    slots_by_generator: dict[str, dict[str, dict[str, int]]]
    evenness: dict[str, float]
    events: dict[str, dict[str, int]]
    absent_events: int
    cells: Cells | None
    coverage: dict[str, dict[str, dict[str, int]]]
    texts: Texts
    near_duplicates: NearDuplicates
    prompt_words: dict[str, int]
    emotion_words: dict[str, int]

    def as_dict(self) -> dict[str, Any]:
        """Only dicts, lists, numbers and strings, for JSON."""
        return dataclasses.asdict(self)


def summarise(lines: Iterable[Mapping[str, Any]]) -> Summary:
    """Sum up the lines of a manifest; of foreign ones what they have. Raises `CorpusError` if there are none."""
    tally = _Tally()
    for line in lines:
        tally.add(line)
    return tally.summary()


class _Tally:
    """Counts that grow line by line, so that the lines themselves need not be kept."""

    def __init__(self) -> None:
        self.clips = self.with_video = self.with_motion = self.phrasings = self.absent_events = 0
        self.durations: list[float] = []
        self.splits: Counter[str] = Counter()
        self.licences: Counter[str] = Counter()
        self.generators: Counter[str] = Counter()
        self.slots: dict[str, dict[str, Counter[str]]] = {slot: defaultdict(Counter) for slot in fields.SLOTS}
        self.events: dict[str, Counter[str]] = defaultdict(Counter)
        self.cells: Counter[tuple[str, ...]] = Counter()
        self.coverage: dict[str, dict[str, Counter[str]]] = {slot: defaultdict(Counter) for slot in COVERED}
        self.texts: dict[str, set[str]] = defaultdict(set)
        self.clips_with_text = self.words = 0
        self.text_words: set[str] = set()
        self.prompt_words: Counter[str] = Counter()

    def add(self, line: Mapping[str, Any]) -> None:
        self.clips += 1
        self.with_video += fields.has_video(line)
        self.with_motion += fields.has_motion(line)
        if (duration := fields.duration_of(line)) is not None:
            self.durations.append(duration)
        self.splits[fields.split_of(line)] += 1
        self.licences[fields.licence_of(line)] += 1
        self._add_behaviour(line)
        self._add_text(line)

    def _add_behaviour(self, line: Mapping[str, Any]) -> None:
        generator = fields.generator_of(line)
        self.generators[generator] += 1
        slots = {slot: fields.slot_of(line, slot) for slot in fields.SLOTS}
        for slot, categories in slots.items():
            for category in categories:
                self.slots[slot][category][generator] += 1
        self.cells.update([tuple(" + ".join(slots[slot]) for slot in CELL_SLOTS)])
        for slot in COVERED:
            for emotion, category in itertools.product(slots["emotion"], slots[slot]):
                self.coverage[slot][emotion][category] += 1
        for kind, name, absent in fields.events_of(line):
            if absent:
                self.absent_events += 1
            else:
                self.events[kind][name] += 1

    def _add_text(self, line: Mapping[str, Any]) -> None:
        self.phrasings += fields.n_phrasings(line)
        prompt, text = fields.prompt_of(line), fields.text_of(line)
        prompt_words = words_of(prompt)
        self.prompt_words.update(prompt_words)
        if not text:
            return
        words = prompt_words if text == prompt else words_of(text)
        self.clips_with_text += 1
        self.words += len(words)
        self.text_words.update(words)
        self.texts[text].add(fields.split_of(line))

    def summary(self) -> Summary:
        if not self.clips:
            raise CorpusError("a corpus without clips has nothing to sum up; generate or add some first")
        by_generator = {
            slot: {name: _by_count(categories[name]) for name in _by_count(_totals(categories))}
            for slot, categories in self.slots.items()
            if categories
        }
        slots = {slot: _totals(categories) for slot, categories in by_generator.items()}
        kinds = {kind: names.total() for kind, names in self.events.items()}
        return Summary(
            clips=self.clips,
            hours=math.fsum(self.durations) / 3600,
            with_video=self.with_video,
            with_motion=self.with_motion,
            durations=_durations(self.durations),
            splits=_by_count(self.splits),
            generators=_by_count(self.generators),
            licences=_by_count(self.licences),
            slots=slots,
            slots_by_generator=by_generator,
            evenness={slot: _variation(list(counts.values())) for slot, counts in slots.items()},
            events={kind: _by_count(self.events[kind]) for kind in _by_count(kinds)},
            absent_events=self.absent_events,
            cells=_cells(self.cells) if any(slot in slots for slot in CELL_SLOTS) else None,
            coverage={
                slot: {emotion: _by_count(counts) for emotion, counts in sorted(emotions.items())}
                for slot, emotions in self.coverage.items()
                if emotions
            },
            texts=Texts(
                clips=self.clips_with_text,
                distinct=len(self.texts),
                distinct_share=len(self.texts) / max(self.clips_with_text, 1),
                words=len(self.text_words),
                mean_words=self.words / max(self.clips_with_text, 1),
                phrasings=self.phrasings,
                across_splits=sum(len(splits) > 1 for splits in self.texts.values()),
            ),
            near_duplicates=find_near_duplicates(list(self.texts)),
            prompt_words=most_common(self.prompt_words, _WORDS_KEPT),
            emotion_words=self._emotion_words(slots.get("emotion", {})),
        )

    def _emotion_words(self, emotions: Mapping[str, int]) -> dict[str, int]:
        """Of the prompts; where these name none that the lexicon knows, the names of the slot."""
        known = emotion_words()
        said = Counter({word: n for word, n in self.prompt_words.items() if word in known})
        return most_common(said, _WORDS_KEPT) or dict(emotions)


def _totals(categories: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    return {name: sum(counts.values()) for name, counts in categories.items()}


def _by_count(counts: Mapping[str, int]) -> dict[str, int]:
    """Most first, ties by the alphabet."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _variation(counts: list[int]) -> float:
    """The coefficient of variation: standard deviation over mean."""
    return float(np.std(counts) / np.mean(counts))


def _durations(seconds: list[float]) -> Durations | None:
    if not seconds:
        return None
    values = np.array(seconds)
    # The rare very long clip goes into the last bin, else all others would share the first.
    most = min(float(values.max()), float(np.quantile(values, 0.99)) * 1.5)
    counts, edges = np.histogram(values.clip(max=most), _BINS, (min(float(values.min()), most * 0.99), most))
    return Durations(
        known=len(seconds),
        total=math.fsum(seconds),
        shortest=float(values.min()),
        median=float(np.median(values)),
        mean=float(values.mean()),
        longest=float(values.max()),
        edges=tuple(round(edge, 4) for edge in edges.tolist()),
        counts=tuple(counts.tolist()),
    )


def _cells(cells: Counter[tuple[str, ...]]) -> Cells:
    """Slots that no clip has take no part."""
    sizes = {
        slot: len(values)
        for slot, values in zip(CELL_SLOTS, map(set, zip(*cells, strict=True)), strict=True)
        if any(values)
    }
    return Cells(sizes, filled=len(cells), possible=math.prod(sizes.values()), fullest=max(cells.values()))
