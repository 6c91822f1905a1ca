"""Small corpora of true motions, made in the tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from tdmm.corpus.build import CorpusJob, Generators, generate_corpus
from tdmm.corpus.lines import perform_clip
from tdmm.corpus.motions import to_motion
from tdmm.corpus.plan import Settings, plan_clip
from tdmm.evaluate.evaluator.examples import Examples, excluded_damages, key_of, texts_of
from tdmm.evaluate.evaluator.features import LONGEST, features_of
from tdmm.io.manifest import read_manifest
from tdmm.io.motion_file import read_motion, write_motion
from tdmm.motion import FaceMotion


def make_corpus(folder: Path, clips: int, seed: int) -> Path:
    """A corpus of motions alone."""
    job = CorpusJob(folder=folder, settings=Settings(seed=seed), generators=Generators(), motions_only=True)
    assert generate_corpus(job, clips=clips).clips == clips
    return folder


def write_predictions(corpus: Path, folder: Path, change: Callable[[FaceMotion], FaceMotion] = lambda one: one) -> Path:
    """The motions of a corpus as ID.npz."""
    folder.mkdir()
    for clip in read_manifest(corpus / "manifest.jsonl"):
        write_motion(change(read_motion(str(corpus / str(clip.motion)))), folder / f"{clip.id}.npz")
    return folder


def lines_of(corpus: Path) -> list[dict]:
    return [dict(clip.line) for clip in read_manifest(corpus / "manifest.jsonl")]


def write_lines(path: Path, lines: list[dict]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return path


def performed(clips: int, seed: int, without: str) -> Examples:
    """So many clips of the generator that are not of the split `without`."""
    features, found, number = [], [], 0
    while len(found) < clips:
        planned = plan_clip(number, Settings(seed=seed))
        number += 1
        if planned.split == without:
            continue
        performance, line = perform_clip(planned)
        features.append(features_of(to_motion(performance))[:LONGEST].astype(np.float16))
        found.append(line)
    return Examples(
        ids=tuple(line["id"] for line in found),
        features=np.concatenate(features),
        starts=np.concatenate([[0], np.cumsum([len(one) for one in features])]),
        texts=tuple(texts_of(line) for line in found),
        keys=tuple(key_of(line) for line in found),
        splits=tuple(line["split"] for line in found),
        damages=np.array([excluded_damages(line["events"]) for line in found], np.uint8),
    )


def frozen(motion: FaceMotion) -> FaceMotion:
    """Its middle frame, all the time."""
    middle = len(motion) // 2
    still = {
        name: np.repeat(getattr(motion, name)[middle : middle + 1], len(motion), axis=0)
        for name in ("expression", "rotation", "translation", "neck_pose", "jaw_pose", "eyes_pose")
    }
    return replace(motion, **still)
