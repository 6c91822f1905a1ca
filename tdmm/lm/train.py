"""Train a language model of motion and text on the train split of corpora; the best on their val split is kept."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from tdmm.engine import Engine, in_sequence, usable_cores
from tdmm.errors import LmError, MissingPartError
from tdmm.face import BUILTIN, load_face_model
from tdmm.io.training_state import load_state, optimizer_tensors, remove_state, restore_optimizer, save_state
from tdmm.lm.backbone import BackboneConfig, is_encoder_decoder, load_backbone, merged, new_backbone, with_lora
from tdmm.lm.batches import Batches, BatchPlan, example_batches, examples_by_task, worker_count
from tdmm.lm.clips import ClipSet, fits_in, keep_clips, kept_clips, key_of, read_clips
from tdmm.lm.examples import DEFAULT_MIX, DROPPED, Example, TaskMix, prompts_of
from tdmm.lm.hub import folder_of
from tdmm.lm.model_folder import LanguageModel, load_language_model, save_language_model
from tdmm.lm.objective import Objective, peak_of, tokens_in, utilisation
from tdmm.lm.prompt_words import words_of
from tdmm.lm.tokenizer import learn_tokenizer
from tdmm.lm.vocabulary import LONGEST, BoundVocabulary, MotionVocabulary
from tdmm.vq.codec import load_codec

CHECKPOINT = "checkpoint"
NONE = "none"  # the base that is no base: from nothing
LAST_SHARE = 0.02
VAL_EACH = 256  # examples of each task
TEXTS = 600_000  # at most so many are looked at for the tokenizer and the words
GUIDANCE = 1.5  # of a model that has seen prompts dropped
LEAST_TEXTS = 2  # that a word has to be in, to be known: a slip of a finger is in one

Progress = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class TrainOptions:
    """How a language model is trained.

    base: a causal language model or an encoder-decoder of Hugging Face, by id or folder; one that `train_lm` made
    learns on; or none: from nothing, as `backbone` says, with a text vocabulary of `text_tokens` that is learnt from
    the corpora. encoder_decoder: from nothing, but so. lora: rank of adapters (0: all weights learn). steps of
    `accumulate` x `rows` rows of `length` tokens for each process; learning_rate: the highest; every: steps between two
    looks at the val split, each of which is a checkpoint; seconds: at most so long; ema: decay of the mean of weights
    that is kept (0: none); text_weight: of a token of text beside one of motion; coarse_weight: of a code that says
    what happens beside those that say how exactly; fitted: variants of each clip as a fit would give it back; seed: of
    all draws.
    """

    base: str = NONE
    encoder_decoder: bool = False
    text_tokens: int = 2400
    lora: int = 0
    steps: int = 20_000
    rows: int = 64
    length: int = 1024
    accumulate: int = 1
    learning_rate: float = 2e-3
    weight_decay: float = 0.1
    warmup: int = 500
    every: int = 1000
    seconds: float | None = None
    ema: float = 0.999
    text_weight: float = 2.0
    coarse_weight: float = 1.0
    dropped: float = DROPPED
    fitted: int = 1
    seed: int = 0
    mix: TaskMix = DEFAULT_MIX
    backbone: BackboneConfig = field(default_factory=BackboneConfig)

    def __post_init__(self) -> None:
        for name in ("text_tokens", "steps", "rows", "length", "accumulate", "warmup", "every"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise LmError(f"{name}: expected a positive whole number, found {value!r}")
        for name in ("lora", "fitted", "seed"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                raise LmError(f"{name}: expected a whole number from 0 on, found {value!r}")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise LmError(f"learning rate: expected a positive number, found {self.learning_rate}")
        if self.seconds is not None and not self.seconds > 0:
            raise LmError(f"seconds: expected a positive number, found {self.seconds}")
        for name in ("text_weight", "coarse_weight"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise LmError(f"{name}: expected a positive number, found {getattr(self, name)}")
        for name in ("ema", "dropped"):
            if not 0 <= getattr(self, name) < 1:
                raise LmError(f"{name}: expected a number from 0 to 1, found {getattr(self, name)}")
        if self.base == NONE and self.lora:
            raise LmError("lora: adapters are for a base that has learnt something; name one with --base")


def train_lm(
    corpora: Sequence[str | Path],
    folder: str | Path,
    *,
    fits: Sequence[str | Path] = (),
    options: TrainOptions | None = None,
    codec: str | Path | None = None,
    face_model: str = BUILTIN,
    device: str = "cpu",
    resume: bool = False,
    engine: Engine = in_sequence,
    progress: Progress | None = None,
    reading: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Train a language model, write the best on val to `folder`; what came of it.

    fits: folders of fits of the clips' videos, ID.npz, which are described too. codec: the folder of the codec whose
    tokens it learns; None: that of tdmm. resume: goes on from the checkpoint in
    `folder`, and comes to what it would have come to without the break (on the same machine, unless `seconds` ends
    it). progress: told of every line of metrics.jsonl; reading: how many clips of how many are coded. engine: codes
    them. Runs under `accelerate launch` on several GPUs too, each with batches of its own.

    Raises `LmError` where a corpus has nothing to learn from or the loss is not finite, `MissingPartError` without the
    packages of the extra train.
    """
    try:
        from accelerate import Accelerator
    except ImportError as error:
        raise MissingPartError("training needs accelerate: pip install 'tdmm[train]'") from error
    options = options or TrainOptions()
    accelerator = Accelerator(cpu=device == "cpu")
    run = _Run(Path(folder), options, accelerator, codec, face_model)
    state = load_state(run.folder / CHECKPOINT) if resume else None
    if state is not None and state[1]["resolved"] != run.resolved:
        raise LmError(f"{folder}: the checkpoint is of other options; train without --resume, or with those")
    if state is not None and state[1]["processes"] != accelerator.num_processes:
        raise LmError(
            f"{folder}: the checkpoint is of {state[1]['processes']} processes, not of {accelerator.num_processes}; go "
            "on with as many, or train without --resume"
        )
    fitted = options.fitted if face_model == BUILTIN else 0
    of_fits = sorted(fits_in(fits).items())
    key = key_of(corpora, run.facts["codec"], run.vocabulary.longest, fitted, options.seed, of_fits)
    kept = run.folder / CHECKPOINT / "clips.safetensors"
    with accelerator.main_process_first():
        if options.base != NONE:
            # A name that is none is told now, not minutes later.
            folder_of(options.base)
        # Turning motions into tokens takes minutes: a training that goes on does not do it again.
        clips = kept_clips(kept, key)
        if clips is None:
            clips = read_clips(
                corpora,
                codec,
                run.vocabulary.longest,
                face_model=face_model,
                fitted=fitted,
                fits=fits,
                seed=options.seed,
                engine=engine,
                progress=reading,
            )
            kept.parent.mkdir(parents=True, exist_ok=True)
            keep_clips(kept, clips, key)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        return run.train(clips, [Path(corpus).name for corpus in corpora], state, progress)
    finally:
        torch.set_float32_matmul_precision(before)


class _Run:
    """One training in one process."""

    def __init__(
        self, folder: Path, options: TrainOptions, accelerator: Any, codec: str | Path | None, face_model: str
    ) -> None:
        self.folder, self.options, self.accelerator = folder, options, accelerator
        self.device = "cpu" if accelerator.device.type == "cpu" else str(accelerator.device)
        used = load_codec(codec, load_face_model(face_model))
        config = used.config
        self.vocabulary = MotionVocabulary(config.streams, config.sizes, LONGEST)
        self.facts = {
            "schema": "tdmm.lm/1",
            "codec": used.fingerprint,
            "face_model": used.columns.face_model,
            "face_model_sha256": used.columns.face_model_sha256,
            "stride": config.stride,
            "fps": config.fps,
            "base": options.base if options.base == NONE else Path(options.base).name,
            "instructed": options.base != NONE,
        }
        self.begun = _made_before(options.base)
        if self.begun is not None:
            if self.begun.codec != used.fingerprint:
                raise LmError(f"{options.base} knows the tokens of codec {self.begun.codec}, not of {used.fingerprint}")
            self.facts |= {name: self.begun.facts[name] for name in ("base", "instructed")}
            self.facts["before"] = self.begun.facts.get("trained")
        self.resolved = json.loads(json.dumps({**self.facts, "options": asdict(options)}))

    def train(
        self,
        clips: dict[str, ClipSet],
        names: list[str],
        state: tuple[dict[str, torch.Tensor], dict[str, Any]] | None,
        progress: Progress | None,
    ) -> dict[str, Any]:
        options, accelerator = self.options, self.accelerator
        torch.manual_seed(options.seed)
        texts = list(_texts(clips["train"]))
        network, bound = self._network(texts)
        # A word that is asked for is known; so is one that captions have.
        self.words = words_of(texts, LEAST_TEXTS) | (self.begun.words if self.begun is not None else frozenset())
        seq2seq = is_encoder_decoder(network)
        self.facts["encoder_decoder"] = seq2seq
        if options.dropped:
            # What the shipped model's were chosen to be.
            self.facts["sampling"] = {"temperature": 1.0, "top_p": 0.95, "guidance": GUIDANCE}
        # Longer ones it was never taught: they are written in parts.
        known = self.begun.facts.get("longest_steps") if self.begun is not None else None
        self.facts["longest_steps"] = max(int(np.diff(clips["train"].starts).max()), known or 0)
        plan = BatchPlan(
            options.rows,
            options.length,
            options.seed,
            options.mix,
            bool(self.facts["instructed"]),
            options.dropped,
            seq2seq,
        )
        parameters = sum(one.numel() for one in network.parameters())
        objective = Objective(
            network,
            bound,
            seq2seq=seq2seq,
            text_weight=options.text_weight,
            coarse_weight=options.coarse_weight,
            half=self.device != "cpu",
        ).to(self.device)
        judge = _Judge(clips["val"], bound, plan, self.device)
        learnt = [one for one in network.parameters() if one.requires_grad]
        optimizer = _optimizer(learnt, options, self.device)
        mean = [one.detach().clone() for one in learnt] if options.ema else []
        start, elapsed, best, history = 0, 0.0, math.inf, []
        if state is not None:
            tensors, facts = state
            with torch.no_grad():
                for number, one in enumerate(learnt):
                    one.copy_(tensors[f"weight.{number}"])
                for number, one in enumerate(mean):
                    one.copy_(tensors[f"mean.{number}"])
            restore_optimizer(optimizer, tensors)
            start, elapsed, best, history = facts["step"], facts["elapsed"], facts["best"], facts["history"]
        if accelerator.is_main_process:
            self.folder.mkdir(exist_ok=True)
            (self.folder / "train.json").write_text(json.dumps(self.resolved, indent=1) + "\n", encoding="utf-8")
            # Without what was told between the checkpoint and the break: it is told again.
            lines = "".join(json.dumps(line) + "\n" for line in history)
            (self.folder / "metrics.jsonl").write_text(lines, encoding="utf-8")
        wrapped, optimizer = accelerator.prepare(objective, optimizer)
        if self.device != "cpu" and not seq2seq:
            # Batches of an encoder-decoder come in many lengths, and each would be compiled anew.
            wrapped = torch.compile(wrapped)
        wrapped.train()
        batches = self._batches(clips["train"], bound, plan, start)
        peak = peak_of(self.device)
        began, at_last, seen = time.monotonic() - elapsed, (time.monotonic(), start), 0
        for step in range(start + 1, options.steps + 1):
            passed = self._told(time.monotonic() - began) if options.seconds else 0.0
            share = max(step / options.steps, passed / options.seconds if options.seconds else 0.0)
            rate = options.learning_rate * _schedule(step, min(share, 1.0), options)
            for group in optimizer.param_groups:
                group["lr"] = rate
            # What a network draws itself (dropout) depends on the step alone, too.
            torch.manual_seed(options.seed + step)
            optimizer.zero_grad(set_to_none=True)
            for _ in range(options.accumulate):
                batch = next(batches)
                seen += tokens_in(batch)
                batch = {name: value.to(self.device, non_blocking=True) for name, value in batch.items()}
                loss, _, _ = wrapped(batch)
                accelerator.backward(loss / options.accumulate)
            accelerator.clip_grad_norm_(learnt, 1.0)
            optimizer.step()
            if mean:
                # A mean over little is little use: it begins short and becomes longer.
                torch._foreach_lerp_(mean, [one.detach() for one in learnt], 1 - min(options.ema, step / (step + 10)))
            over = options.seconds is not None and passed > options.seconds
            if step % options.every == 0 or step == options.steps or over:
                if not torch.isfinite(loss):
                    raise LmError(f"the loss of step {step} is {loss.item()}; a smaller learning rate may help")
                now = time.monotonic()
                speed = self._sum(seen) / max(now - at_last[0], 1e-9)
                line: dict[str, Any] = {
                    "step": step,
                    "steps": options.steps,
                    "loss": float(loss.detach()),
                    "learning_rate": rate,
                    "tokens_per_second": round(speed),
                    "seconds": round(now - began, 1),
                }
                if peak is not None:
                    line["mfu"] = round(utilisation(parameters, speed, peak * accelerator.num_processes), 4)
                with _swapped(learnt, mean):
                    line["val"] = judge.scores(objective)
                    history.append(line)
                    if accelerator.is_main_process:
                        with (self.folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
                            file.write(json.dumps(line) + "\n")
                        if line["val"]["total"] <= best:
                            self._keep(network, bound, line, clips["train"], names, parameters)
                best = min(best, line["val"]["total"])
                if progress is not None and accelerator.is_main_process:
                    progress(line)
                if accelerator.is_main_process:
                    tensors = {f"weight.{number}": one for number, one in enumerate(learnt)}
                    tensors |= {f"mean.{number}": one for number, one in enumerate(mean)}
                    tensors |= optimizer_tensors(optimizer)
                    facts = {
                        "step": step,
                        "elapsed": time.monotonic() - began,
                        "best": best,
                        "history": history,
                        "resolved": self.resolved,
                        "processes": accelerator.num_processes,
                    }
                    save_state(self.folder / CHECKPOINT, tensors, facts)
                wrapped.train()
                at_last, seen = (time.monotonic(), step), 0
            if over:
                break
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            remove_state(self.folder / CHECKPOINT)
        # Of equals the last, as it is with what was written.
        kept = min(reversed(history), key=lambda line: line["val"]["total"]) if history else {}
        return {
            "steps": history[-1]["step"] if history else start,
            "clips": len(clips["train"]),
            "motion_steps": clips["train"].steps,
            "parameters": parameters,
            "best": kept,
            "history": history,
        }

    def _network(self, texts: list[str]) -> tuple[Any, BoundVocabulary]:
        options = self.options
        if options.base == NONE:
            bound = self.vocabulary.bind(learn_tokenizer(texts, options.text_tokens))
            return new_backbone(bound, options.backbone, encoder_decoder=options.encoder_decoder), bound
        network, bound = load_backbone(options.base, self.vocabulary)
        return (with_lora(network, bound, options.lora) if options.lora else network), bound

    def _batches(
        self, clips: ClipSet, bound: BoundVocabulary, plan: BatchPlan, start: int
    ) -> Iterator[dict[str, torch.Tensor]]:
        options, accelerator = self.options, self.accelerator
        drawn = Batches(clips, bound, plan, process=accelerator.process_index, processes=accelerator.num_processes)
        numbers = range(start * options.accumulate, options.steps * options.accumulate)
        workers = 0 if self.device == "cpu" else worker_count(usable_cores() // accelerator.num_processes)
        return iter(
            DataLoader(
                drawn,
                batch_size=None,
                sampler=numbers,
                num_workers=workers,
                prefetch_factor=4 if workers else None,
                pin_memory=self.device != "cpu",
            )
        )

    def _told(self, mine: float) -> float:
        """The first process's number, so that all learn at one rate and stop at the same step."""
        return self._sum(mine if self.accelerator.is_main_process else 0.0)

    def _sum(self, mine: float) -> float:
        if self.accelerator.num_processes == 1:
            return mine
        told = torch.tensor([mine], dtype=torch.float64, device=self.device)
        return float(self.accelerator.reduce(told, "sum")[0])

    def _keep(
        self,
        network: Any,
        bound: BoundVocabulary,
        line: dict[str, Any],
        clips: ClipSet,
        names: list[str],
        parameters: int,
    ) -> None:
        base = self.options.base
        trained = {
            **{name: line[name] for name in ("step", "val", "seconds")},
            "corpora": names,
            "clips": len(clips),
            "motion_steps": clips.steps,
            "parameters": parameters,
            "device": self.accelerator.device.type,
            # Of a folder its name: where it lies on this disk is nobody else's business.
            "options": {**self.resolved["options"], "base": Path(base).name if Path(base).is_dir() else base},
        }
        whole = merged(network) if self.options.lora else network
        save_language_model(self.folder, whole, bound, {**self.facts, "trained": trained}, self.words)


class _Judge:
    """The negative log-likelihood of a token of the val split, by task."""

    def __init__(self, clips: ClipSet, bound: BoundVocabulary, plan: BatchPlan, device: str) -> None:
        self._device, self._mix = device, plan.mix
        examples: dict[str, list[Example]] = examples_by_task(clips, bound, plan, VAL_EACH) if len(clips) else {}
        self._batches = {task: list(example_batches(some, bound, plan)) for task, some in examples.items()}

    @torch.no_grad()
    def scores(self, objective: Objective) -> dict[str, float]:
        """By task, and their mean as tasks are mixed, by which the best is chosen. Without a val split that is 0: the
        last one is kept."""
        if not self._batches:
            return {"total": 0.0}
        objective.eval()
        found = {}
        for task, batches in self._batches.items():
            total, count = 0.0, 0
            for batch in batches:
                moved = {name: value.to(self._device) for name, value in batch.items()}
                _, losses, targets = objective(moved)
                total, count = total + float(losses), count + int(targets)
            found[task] = total / max(count, 1)
        weights = {task: self._mix.weight(task) for task in found}
        found["total"] = sum(weights[task] * found[task] for task in weights) / sum(weights.values())
        return {name: round(value, 5) for name, value in found.items()}


class _swapped:
    """Weights are their mean, as long as it lasts. mean: empty leaves them."""

    def __init__(self, weights: list[torch.Tensor], mean: list[torch.Tensor]) -> None:
        self._pairs = list(zip(weights, mean, strict=True)) if mean else []

    def __enter__(self) -> None:
        self._swap()

    def __exit__(self, *error: object) -> None:
        self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for weight, mean in self._pairs:
            kept = weight.detach().clone()
            weight.copy_(mean)
            mean.copy_(kept)


def _made_before(base: str) -> LanguageModel | None:
    """The base, if it is a model that reads and writes motion already."""
    if base == NONE or not (Path(base) / "config.json").is_file():
        return None
    described = json.loads((Path(base) / "config.json").read_text(encoding="utf-8"))
    return load_language_model(base) if "tdmm" in described else None


def _texts(clips: ClipSet) -> Iterator[str]:
    """What the clips say, in their order; of very many clips some, evenly."""
    per_clip = 8
    every = max(1, len(clips) * per_clip // TEXTS)
    for number in range(0, len(clips), every):
        line = clips.line(number)
        yield from prompts_of(line)
        yield from [text for text in (line.get("captions") or {}).values() if isinstance(text, str)]
        for one in line.get("questions") or ():
            yield from (one[name] for name in ("question", "answer") if isinstance(one.get(name), str))


def _schedule(step: int, share: float, options: TrainOptions) -> float:
    """The part of the highest learning rate: a linear start, half a cosine down."""
    return min(step / options.warmup, LAST_SHARE + (1 - LAST_SHARE) * 0.5 * (1 + math.cos(math.pi * share)))


def _optimizer(learnt: list[torch.Tensor], options: TrainOptions, device: str) -> torch.optim.Optimizer:
    groups = [
        {"params": [one for one in learnt if one.ndim > 1], "weight_decay": options.weight_decay},
        {"params": [one for one in learnt if one.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=options.learning_rate, betas=(0.9, 0.95), fused=device != "cpu")
