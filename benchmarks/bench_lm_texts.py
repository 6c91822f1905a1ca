"""How well the language model describes motions that it has not learned from, and answers questions about them.

The sets are those of language_sets: the split test of a corpus of a seed of its own, and fits of rendered clips of it.
Texts are written as `tdmm describe` writes them, and scored by what `tdmm evaluate` scores by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.bench_lm import References, first_of, over
from benchmarks.language_sets import TEST, fits, held_out
from benchmarks.table import Row
from tdmm.engine import LoadedOnce
from tdmm.evaluate.answers import AnswerScores, score_answers
from tdmm.evaluate.attributes import AttributeScores, head_is_still, score_attributes
from tdmm.io.motion_file import read_motion
from tdmm.lm.describe import DRAFTS, Reader
from tdmm.lm.model_folder import ASSET, CONFIG

# What `tdmm describe` says unless told otherwise, and everything.
DETAILS = ("short", "long")


@dataclass(frozen=True)
class Told:
    """What is said of so many clips: attributes by detail, and answers."""

    clips: int
    attributes: Mapping[str, AttributeScores]
    answers: AnswerScores


def run(corpus: Path | None = None, fitted: Path | None = None) -> list[Row]:
    """corpus, fitted: where the sets are kept, None: in folders of their own."""
    if not (ASSET / CONFIG).is_file():
        return [Row("language model", None, "", note="tdmm/assets/lm is not there")]
    test = held_out(corpus)[TEST]
    of_fits, of_test = told(fits(test, fitted)), told(first_of(test))
    rows = []
    for name, some, must, aim in ((TEST, of_test, 0.92, 0.97), ("fits of rendered test clips", of_fits, 0.80, 0.92)):
        for detail, scores in some.attributes.items():
            tally = scores.overall
            note = f"precision {tally.precision:.3f}, recall {tally.recall:.3f}; {some.clips} clips"
            rows.append(Row(f"M2L attribute F1, {name}, {detail}", tally.f1, "", must, aim, note=note))
    for detail, scores in of_test.attributes.items():
        note = f"{scores.hallucination:.3f} of what is said in so many words"
        note += f"; of fits {of_fits.attributes[detail].hallucination:.3f}"
        made_up = scores.made_up / of_test.clips
        rows.append(Row(f"M2L hallucinated attributes per caption, {detail}", made_up, "", 0.10, 0.03, False, note))
    answers = of_test.answers
    kinds = ", ".join(f"{kind} {answers.accuracy(kind):.2f}" for kind in sorted(answers.asked))
    note = f"{sum(answers.asked.values())} questions; {kinds}; of fits {of_fits.answers.accuracy():.3f}"
    return [*rows, Row("QA accuracy", answers.accuracy(), "", 0.90, 0.97, note=note)]


def told(references: References) -> Told:
    """Scores of texts and answers about the motions of the references."""
    asked = [[str(one["question"]) for one in some.line.get("questions") or ()] for some in references.values()]
    files = [str(one.motion) for one in references.values()]
    found = over(list(zip(files, asked, strict=True)), LoadedOnce(_reader, _tell))
    lines = [one.line for one in references.values()]
    events, still = [line["events"] for line in lines], [head_is_still(line) for line in lines]
    attributes = {detail: score_attributes([texts[detail] for texts, _ in found], events, still) for detail in DETAILS}
    questions = [question for line in lines for question in line.get("questions") or ()]
    return Told(len(lines), attributes, score_answers([answer for _, some in found for answer in some], questions))


def _reader() -> Reader:
    torch.set_num_threads(1)
    return Reader(drafts=DRAFTS)


def _tell(reader: Reader, items: Sequence[tuple[str, list[str]]]) -> list[tuple[dict[str, str], list[str]]]:
    """Of each motion texts by detail, and answers."""
    motions = reader.read([read_motion(file) for file, _ in items])
    texts = {detail: reader.describe(motions, detail) for detail in DETAILS}
    answers = reader.ask(motions, [asked for _, asked in items])
    return [({detail: texts[detail][number] for detail in texts}, some) for number, some in enumerate(answers)]
