"""How a speaking face moves: phrases and pauses, syllables of consonant and vowel, each coloured by its neighbours."""

from __future__ import annotations

from functools import cache

import numpy as np

from tdmm.corpus.columns import COLUMNS, INDEX, row
from tdmm.corpus.keyframes import follow
from tdmm.corpus.lexicon import Behaviour, read_data

# Seconds that people speak before they pause, and pause.
PHRASE = (0.9, 2.4)
PAUSE = (0.22, 0.6)
_LIPS = np.array([1.0 if name.startswith("mouth") else 0.0 for name in COLUMNS], np.float32)


@cache
def _sounds() -> tuple[np.ndarray, np.ndarray]:
    """Vowels and consonants as rows (K, C)."""
    data = read_data("visemes.toml")
    return (
        np.stack([row(sound, "visemes.toml") for sound in data["vowels"]]),
        np.stack([row(sound, "visemes.toml") for sound in data["consonants"]]),
    )


def speak(
    voice: Behaviour, times: np.ndarray, start: float, end: float, gain: float, random: np.random.Generator
) -> np.ndarray:
    """(T, C) what mouth, jaw, head and reading eyes add while somebody speaks from `start` to `end` seconds.

    gain: how marked the way of speaking is; the articulation itself follows it by half.
    """
    vowels, consonants = _sounds()
    manner = voice.voice
    phrases = _phrases(start, end, manner["pauses"], random)
    at, rows, stressed = [], [], []
    # The consonant of a syllable takes this part of it.
    part = 0.42 * (1 - 0.5 * manner.get("sustain", 0.0))
    for first, last in phrases:
        count = max(1, round((last - first) * random.uniform(*manner["rate"])))
        edges = np.linspace(first, last, count + 1)
        edges[1:-1] += random.uniform(-0.18, 0.18, count - 1) * (last - first) / count
        lengths = np.diff(edges)
        moments = np.stack([edges[:-1] + 0.5 * part * lengths, edges[:-1] + (part + 0.5 * (1 - part)) * lengths], 1)
        sounds = np.empty((count, 2, len(COLUMNS)), np.float32)
        sounds[:, 0] = consonants[random.integers(0, len(consonants), count)]
        sounds[:, 1] = vowels[random.integers(0, len(vowels), count)]
        loud = random.uniform(0.75, 1.25, (count, 1, 1)).astype(np.float32)
        sounds *= loud
        nothing = np.zeros((1, len(COLUMNS)), np.float32)
        at += [[first - 0.06], moments.ravel(), [last + 0.1]]
        rows += [nothing, sounds.reshape(-1, len(COLUMNS)), nothing]
        stressed += [moments[i, 1] for i in np.flatnonzero(random.random(count) < 0.3)]
    keys = np.concatenate(rows)
    coloured = 0.78 * keys
    coloured[1:] += 0.12 * keys[:-1]
    coloured[:-1] += 0.1 * keys[1:]
    coloured[[0, -1]] = 0
    moments = np.concatenate(at)
    spoken = follow(times, np.maximum.accumulate(moments), coloured)
    clear = 0.7 + 0.3 * gain
    spoken *= (manner["lips"] * _LIPS + manner["open"] * (1 - _LIPS)).astype(np.float32) * np.float32(clear)
    if stressed:
        beat = np.exp(-0.5 * ((times[:, None] - np.array(stressed)) / 0.11) ** 2)
        sizes = manner["beat"] * random.uniform(0.4, 1.0, len(stressed))
        spoken[:, INDEX["headPitch"]] += beat @ sizes
    if manner.get("reading"):
        line = (times - start) / random.uniform(1.3, 1.9)
        spoken[:, INDEX["gazeYaw"]] += np.where((times > start) & (times < end), 6 - 12 * (line % 1.0), 0)
        spoken[:, INDEX["gazePitch"]] += 10 * _inside(times, start, end)
    if manner.get("laughing"):
        shake = np.sin(2 * np.pi * random.uniform(4.2, 5.2) * times) * _inside(times, start, end)
        spoken[:, INDEX["jawOpen"]] += 0.05 + 0.06 * shake
        spoken[:, INDEX["headPitch"]] += 1.0 * shake
    return spoken


def _phrases(start: float, end: float, pauses: float, random: np.random.Generator) -> list[tuple[float, float]]:
    found, clock = [], start
    while end - clock > 0.35:
        stop = min(clock + random.uniform(*PHRASE), end)
        if end - stop < 0.5:
            stop = end
        found.append((clock, stop))
        clock = stop + random.uniform(*PAUSE) * pauses / 0.2
    return found or [(start, end)]


def _inside(times: np.ndarray, start: float, end: float) -> np.ndarray:
    return np.clip((times - start) / 0.2, 0, 1) * np.clip((end - times) / 0.2, 0, 1)
