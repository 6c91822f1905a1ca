"""What the language model is scored on: corpora of a seed that no training draws, prompts as people write them, and
fits of rendered clips. They take minutes to make and are kept between runs, in folders named by what made them."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tdmm
from tdmm.corpus.build import CorpusJob, generate_corpus
from tdmm.corpus.language.bank import bank
from tdmm.corpus.lines import perform_clip
from tdmm.corpus.looks import LookRandoms
from tdmm.corpus.motions import to_motion
from tdmm.corpus.plan import GivenPrompt, Settings, plan_clip
from tdmm.corpus.procedural import Studio
from tdmm.engine import Event, LoadedOnce, in_processes, run_over, usable_cores
from tdmm.evaluate.inputs import Reference, read_references
from tdmm.fit import fit_video
from tdmm.fit.detect import Detector, open_detector
from tdmm.io.manifest import append_to_manifest
from tdmm.io.motion_file import write_motion

# A seed that no training used, and hours of it that have 300 clips or more of each split.
SEED, HOURS = 20241, 40.0
TEST, COMPOSITION, PHRASING = "test", "test-composition", "test-phrasing"
# Clips of the split test that are rendered and fitted: none of the first ones, by which it was chosen how fits are
# corrected and how they are described.
FIRST_FIT, FITS, SIDE = 120, 200, 256


def held_out(place: Path | None = None) -> dict[str, dict[str, Reference]]:
    """The clips by split, in the order of their numbers. place: where such a corpus is kept, None: in its own folder.

    What of the corpus is not there is made.
    """
    job = CorpusJob(place or kept("held-out", "corpus"), Settings(seed=SEED), motions_only=True)
    generate_corpus(job, hours=HOURS, engine=in_processes(usable_cores()))
    found = _sorted(read_references(job.folder))
    return {
        split: {name: one for name, one in found.items() if one.line.get("split") == split}
        for split in (TEST, COMPOSITION, PHRASING)
    }


def free(place: Path | None = None) -> dict[str, Reference]:
    """All free prompts that are kept out of every training, with motions that do what they say."""
    texts = [prompt.text(0) for prompt in bank(unseen=True)]
    given = tuple(GivenPrompt(text, prompt.program) for text, prompt in zip(texts, bank(unseen=True), strict=True))
    job = CorpusJob(place or kept("free", "corpus"), Settings(seed=SEED, given=given), motions_only=True)
    generate_corpus(job, clips=len(given), engine=in_processes(usable_cores()))
    found = _sorted(read_references(job.folder))
    # To the letter, without the slips of fingers that a corpus adds.
    return {
        name: replace(one, line={**one.line, "text": text})
        for (name, one), text in zip(found.items(), texts, strict=True)
    }


def fits(test: Mapping[str, Reference], place: Path | None = None) -> dict[str, Reference]:
    """Clips of the split test, filmed with people, light and backgrounds of their own, and fitted."""
    place = place or kept("fits", "corpus", "render", "fit", "assets/fit_prior.safetensors")
    manifest = place / "manifest.jsonl"
    there = read_references(place) if manifest.exists() else {}
    wanted = list(test)[FIRST_FIT : FIRST_FIT + FITS]
    for name in ("videos", "motions"):
        (place / name).mkdir(parents=True, exist_ok=True)

    def done(event: Event[str, dict[str, Any]]) -> None:
        if event.error is not None:
            raise event.error
        if event.result is not None:
            append_to_manifest(manifest, event.result)

    missing = [name for name in wanted if name not in there]
    run_over(missing, LoadedOnce(_open, _Fitting(place)), engine=in_processes(usable_cores()), on_event=done)
    found = read_references(place)
    return {name: found[name] for name in wanted}


def kept(name: str, *made_by: str) -> Path:
    """A folder in that of temporary files, another one whenever what it is made by changes: parts of tdmm."""
    digest = hashlib.sha256(str((SEED, HOURS, SIDE)).encode())
    for part in made_by:
        place = Path(tdmm.__file__).parent / part
        for path in [place] if place.is_file() else sorted(place.rglob("*")):
            if path.suffix in (".py", ".txt", ".safetensors"):
                digest.update(path.read_bytes())
    return Path(tempfile.gettempdir()) / f"tdmm-bench-{name}-{digest.hexdigest()[:12]}"


def _sorted(references: Mapping[str, Reference]) -> dict[str, Reference]:
    return {name: references[name] for name in sorted(references)}


def _open() -> tuple[Studio, Detector]:
    return Studio(), open_detector()


@dataclass(frozen=True)
class _Fitting:
    """Films and fits a clip of the held-out corpus; gives its line."""

    place: Path

    def __call__(self, loaded: tuple[Studio, Detector], name: str) -> dict[str, Any]:
        studio, detector = loaded
        clip = plan_clip(int(name.rpartition("-")[2]), Settings(seed=SEED))
        performance, fields = perform_clip(clip)
        video, motion = f"videos/{name}.mp4", f"motions/{name}.npz"
        true = to_motion(performance, text=fields["text"])
        studio.film(true, LookRandoms(**clip.look), (SIDE, SIDE), self.place / video)
        write_motion(fit_video(self.place / video, detector=detector), self.place / motion)
        return {**fields, "video": video, "motion": motion}
