"""How `tdmm animate` makes motions, some at a time, and what is told of them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from tdmm.cli import paths
from tdmm.cli.animate_inputs import Prompt
from tdmm.cli.animate_outputs import (
    Target,
    files_in,
    names_of,
    stream_to,
    write_all_tokens,
    write_motions,
    write_video,
)
from tdmm.cli.console import Console
from tdmm.errors import TdmmError

if TYPE_CHECKING:
    from tdmm.lm.animate import Animated, Animator, Score
    from tdmm.motion import FaceMotion
    from tdmm.render import RenderOptions

# Motions that are written together; what is done is kept when the program is stopped.
ROWS = {"cpu": 32, "cuda": 512}
MOST_NAMED = 12  # words


@dataclass
class Work:
    """What all motions of a run share, and what came of them."""

    animator: Animator
    console: Console
    samples: int
    how: dict[str, Any]
    seed: int
    drafts: int
    best_of: int
    unknown: list[str] = field(default_factory=list)
    motions: int = 0
    frames: int = 0
    length: float = 0.0
    kept: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)

    def usable(self, prompts: Sequence[Prompt]) -> list[Prompt]:
        """The prompts that can be animated. One that cannot is told; where it is the only one, that is the error."""
        found = []
        for prompt in prompts:
            problem = self.animator.prompt_problem(prompt.text)
            if problem is None:
                found.append(prompt)
            elif len(prompts) == 1:
                raise TdmmError(problem)
            else:
                self.failures.append((prompt.name, problem))
                self.console.error(f"{prompt.place}: {problem}")
        return found

    def name_unknown_words(self, prompts: Sequence[Prompt]) -> None:
        from tdmm.lm.prompt_words import unknown_words

        known = self.animator.lm.words
        if known:
            found = (word for prompt in prompts for word in unknown_words(prompt.text, known))
            self.unknown = list(dict.fromkeys(found))
        if self.unknown:
            more = len(self.unknown) - MOST_NAMED
            some = ", ".join(self.unknown[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
            self.console.say(f"words that the model was never taught, and may pass over: {some}")

    def batches(self, prompts: Sequence[Prompt]) -> Iterator[tuple[list[Prompt], list[list[Animated]]]]:
        """Prompts and their motions, some at a time."""
        device = "cuda" if self.animator.codec.device.type == "cuda" else "cpu"
        written = self.best_of if self.best_of > 1 else self.drafts
        count = max(ROWS[device] // (self.samples * written), 1)
        score = evaluator_score() if self.best_of > 1 else None
        with self.console.batch(len(prompts), "prompts") as bar:
            for start in range(0, len(prompts), count):
                some = list(prompts[start : start + count])
                found = self.animator.animate(
                    [prompt.text for prompt in some],
                    samples=self.samples,
                    seed=[self.seed_of(prompt) for prompt in some],
                    best_of=written,
                    score=score,
                    **self.how,
                )
                yield some, found
                self.count([one.motion for several in found for one in several])
                if bar is not None:
                    bar.to(start + len(some), len(prompts), len(self.failures))

    def seed_of(self, prompt: Prompt) -> int:
        """Clips with the same text are not to move alike."""
        if prompt.id is None:
            return self.seed
        from zlib import crc32

        return self.seed + (crc32(prompt.id.encode("utf-8", "replace")) << 32)

    def count(self, motions: Sequence[FaceMotion]) -> None:
        self.motions += len(motions)
        self.frames += sum(map(len, motions))
        self.length += sum(motion.duration for motion in motions)

    def tell(self, target: Target, seconds: float, *, as_json: bool) -> None:
        where = "standard output" if target.output == paths.STANDARD else target.output
        if as_json:
            report = {
                "output": target.output,
                "files": list(target.files) or None,
                "motions": self.motions,
                "there_before": self.kept,
                "frames": self.frames,
                "seconds": round(self.length, 3),
                "unknown_words": self.unknown,
                "model": self.animator.lm.fingerprint,
                "codec": self.animator.codec.fingerprint,
                "failures": [{"prompt": name, "reason": reason} for name, reason in self.failures],
                "wall_seconds": round(seconds, 3),
            }
            sys.stdout.write(json.dumps({name: value for name, value in report.items() if value is not None}) + "\n")
        several = "1 motion" if self.motions == 1 else f"{self.motions} motions"
        told = [f"{several} of {self.length:.1f} s in {seconds:.1f} s"] if self.motions else []
        told += [f"{self.kept} there before"] if self.kept else []
        told += [f"{len(self.failures)} failed"] if self.failures else []
        self.console.say(f"{where}: {', '.join(told)}")
        if self.failures:
            raise typer.Exit(1)


def make(
    target: Target, prompts: list[Prompt], work: Work, options: RenderOptions | None, device: str, *, force: bool
) -> None:
    if not prompts:
        return
    if target.kind == "stream":
        _stream(prompts[0], target.output, work)
    elif target.kind == "folder":
        missing = [one for one in prompts if force or not _is_there(target.output, one, work.samples)]
        work.kept = work.samples * (len(prompts) - len(missing))
        for some, found in work.batches(missing):
            for prompt, several in zip(some, found, strict=True):
                write_motions(several, files_in(target.output, prompt, work.samples))
    elif target.kind == "tokens":
        write_all_tokens(
            (
                [
                    (name, one)
                    for prompt, several in zip(some, found, strict=True)
                    for name, one in zip(names_of(prompt, work.samples), several, strict=True)
                ]
                for some, found in work.batches(prompts)
            ),
            target.output,
            work.animator.codec,
        )
    else:
        motions = [one for _, found in work.batches(prompts) for several in found for one in several]
        if target.kind == "motions":
            write_motions(motions, target.files)
            return
        assert options is not None
        labels = [str(number) for number in range(1, len(motions) + 1)]
        with work.console.progress(Path(target.output).name) as progress:
            write_video(
                [one.motion for one in motions],
                labels,
                target.output,
                work.animator.codec.model,
                options,
                device,
                progress,
            )


def _is_there(folder: str, prompt: Prompt, samples: int) -> bool:
    return all(file.exists() for file in files_in(folder, prompt, samples))


def _stream(prompt: Prompt, output: str, work: Work) -> None:
    from tdmm.io.motion_stream import MotionStreamWriter

    with stream_to(output) as file:
        writer = MotionStreamWriter(file)
        for piece in work.animator.stream(prompt.text, seed=work.seed_of(prompt), **work.how):
            writer.write(piece)
            work.frames += len(piece)
            work.length += len(piece) / piece.fps
    work.motions = 1


def evaluator_score() -> Score:
    """How near texts and motions are to each other, in the eyes of the evaluator."""
    from tdmm.evaluate.evaluator.store import load_evaluator

    evaluator = load_evaluator()

    def score(texts: Sequence[str], motions: Sequence[FaceMotion]) -> list[float]:
        import numpy as np

        apart = evaluator.embed_texts(texts) - evaluator.embed_motions(motions)
        return (-np.linalg.norm(apart, axis=1)).tolist()

    return score
