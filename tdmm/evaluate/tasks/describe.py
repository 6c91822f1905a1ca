"""Motion2Language: texts (and answers) that were made from motions, against what is known of those."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tdmm.errors import EvaluationError
from tdmm.evaluate.answers import score_answers
from tdmm.evaluate.attributes import KINDS, head_is_still, score_attributes
from tdmm.evaluate.evaluator.examples import texts_of
from tdmm.evaluate.evaluator.store import Evaluator
from tdmm.evaluate.inputs import Failed, Reference, by_id, fingerprint, load_motions, strangers
from tdmm.evaluate.judge import judge
from tdmm.evaluate.repeats import REPEATS
from tdmm.evaluate.report import Report, sign
from tdmm.evaluate.tasks.retrieval_lines import add_retrieval
from tdmm.evaluate.text_overlap import bert_score, bleu, cider, rouge_l


def evaluate_describe(
    references: Mapping[str, Reference],
    predictions: Mapping[str, Mapping[str, Any]],
    evaluator: Evaluator | None,
    *,
    repeats: int = REPEATS,
    seed: int = 0,
    bert_model: str | None = None,
    ask_judge: Callable[[str], str] | None = None,
    device: str = "cpu",
) -> Report:
    """Scores of predicted texts; see docs/evaluation.md.

    predictions: {"text", "answers"} by id. A prediction that is missing or empty fails: it is an empty text in every
    score, a wrong answer to every question, and is listed. bert_model: an encoder for BERTScore. ask_judge: see
    `judge`. Raises `EvaluationError` where no prediction is of a reference.
    """
    told = {name: one for name, one in by_id(references).items() if one.text}
    failures = [
        Failed(name, "there is no prediction" if name not in predictions else "the text is empty")
        for name in told
        if not str(predictions.get(name, {}).get("text") or "").strip()
    ]
    if len(failures) == len(told):
        raise EvaluationError("no prediction is of a reference: " + ("do the ids match?" if told else "no texts there"))
    report = Report(
        "describe",
        sign(
            "describe",
            evaluator=None if evaluator is None else evaluator.fingerprint,
            references=f"{len(told)}:{fingerprint(told)}",
            failed=len(failures),
            repeats=repeats,
            seed=seed,
        ),
        len(told),
        failures=failures,
    )
    report.details |= strangers(references, predictions)
    said = [str(predictions.get(name, {}).get("text") or "") for name in told]
    known = [list(captions_of(one.line)) for one in told.values()]
    _overlap(report, said, known, bert_model, device)
    _attributes(report, told, said)
    _answers(report, told, predictions)
    if evaluator is not None:
        _retrieval(report, told, said, evaluator, repeats, seed)
    if ask_judge is not None:
        _judged(report, said, [some[0] for some in known], ask_judge)
    return report


def captions_of(line: Mapping[str, Any]) -> tuple[str, ...]:
    """What may be said of a clip, the medium caption first, or else the prompt."""
    captions = line.get("captions") or {}
    first = [captions[name] for name in ("medium", "short", "long") if captions.get(name)]
    return tuple(dict.fromkeys([*first, *texts_of(line)]))


def _overlap(report: Report, said: list[str], known: list[list[str]], bert_model: str | None, device: str) -> None:
    group = "overlap"
    found = bleu(said, known)
    report.details["bleu_signature"] = found.signature
    for order, value in enumerate(found.scores, start=1):
        report.add(f"BLEU-{order}", value, group=group, higher=True)
    report.add("ROUGE-L", float(rouge_l(said, known).mean()), group=group, higher=True)
    report.add("CIDEr", float(cider(said, known).mean()), group=group, higher=True)
    report.add("CIDEr-D", float(cider(said, known, d=True).mean()), group=group, higher=True)
    if bert_model is not None:
        scores = bert_score(said, known, bert_model, device=device)
        report.add("BERTScore F1", float(np.mean(scores.f1)), group=group, higher=True, note=str(bert_model))


def _attributes(report: Report, told: Mapping[str, Reference], said: list[str]) -> None:
    with_events = [number for number, one in enumerate(told.values()) if one.line.get("events")]
    lines = [list(told.values())[number].line for number in with_events]
    if not lines:
        report.add("F1", None, group="attributes", note="the references have no events")
        return
    events, still = [line["events"] for line in lines], [head_is_still(line) for line in lines]
    prediction = score_attributes([said[number] for number in with_events], events, still)
    reference = score_attributes([captions_of(line)[0] for line in lines], events, still)
    for name in ("precision", "recall", "f1"):
        report.add(
            name.capitalize() if name != "f1" else "F1",
            getattr(prediction.overall, name),
            getattr(reference.overall, name),
            group="attributes",
            higher=True,
        )
    report.add("hallucination", prediction.hallucination, reference.hallucination, group="attributes", higher=False)
    for kind in KINDS:
        report.add(kind, prediction.kinds[kind].f1, reference.kinds[kind].f1, group="attribute F1 by kind", higher=True)


def _answers(report: Report, told: Mapping[str, Reference], predictions: Mapping[str, Mapping[str, Any]]) -> None:
    answered = [name for name in told if "answers" in predictions.get(name, {})]
    if not answered:
        return
    questions, answers = [], []
    for name, one in told.items():
        asked = list(one.line.get("questions") or ())
        given = list(predictions.get(name, {}).get("answers") or ())
        questions += asked
        # An answer that is not there is wrong.
        given = [*("" if one is None else str(one) for one in given), *[""] * len(asked)]
        answers += given[: len(asked)]
    if not questions:
        report.add("accuracy", None, group="answers", note="the references have no questions")
        return
    found = score_answers(answers, questions)
    report.add("accuracy", found.accuracy(), group="answers", higher=True)
    for kind in sorted(found.asked):
        report.add(kind, found.accuracy(kind), group="answers", higher=True)


def _retrieval(
    report: Report, told: Mapping[str, Reference], said: list[str], evaluator: Evaluator, repeats: int, seed: int
) -> None:
    motions, bad = load_motions({name: one.motion for name, one in told.items() if one.motion is not None}, "motion")
    if bad:
        # Without it the scores would be of other references than the signature says.
        raise EvaluationError(f"reference {bad[0].id}: {bad[0].reason}")
    at = [number for number, name in enumerate(told) if name in motions]
    names = list(told)
    try:
        if not motions:
            raise EvaluationError("the references have no motions")
        embedded = evaluator.embed_motions([motions[names[number]] for number in at])
    except EvaluationError as error:
        report.add("R-Precision top-1", None, group="embedding", note=str(error))
        return
    own = evaluator.embed_texts([said[number] for number in at])
    true = evaluator.embed_texts([captions_of(told[names[number]].line)[0] for number in at])

    add_retrieval(report, (own, embedded), (true, embedded), repeats, seed)


def _judged(report: Report, said: list[str], known: list[str], ask: Callable[[str], str]) -> None:
    found = judge(said, known, ask)
    for name, mean in zip(("CorE", "CorM", "CorI"), found.means, strict=True):
        report.add(name, float(mean), group="judge", higher=True, note=f"{found.unparsable} answers unreadable")
    report.details["judge_prompt"] = found.version
