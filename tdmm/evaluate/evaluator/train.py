"""Train an evaluator on the train split of a corpus; the best on its val split is kept."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tdmm.errors import EvaluationError
from tdmm.evaluate.evaluator.damage import damaged
from tdmm.evaluate.evaluator.examples import ORDERED, SIDED, SLIGHT, STRONG, Examples, read_examples
from tdmm.evaluate.evaluator.losses import contrastive, pairwise_margin
from tdmm.evaluate.evaluator.model import EvaluatorConfig, EvaluatorNetwork
from tdmm.evaluate.evaluator.store import Evaluator, save_evaluator, token_ids, train_tokenizer
from tdmm.evaluate.retrieval import R_PRECISION_POOL, score_pools

LOSSES = ("infonce", "margin")
# Feature noise of training, so that fitted motions are not foreign.
NOISE = 0.01
# Damaged negatives: how often all of the motion is damaged, and how much of it else.
WHOLE, SEVERITY = 0.65, (0.3, 1.0)
# Which damage serves as one more negative for clips whose texts exclude it.
_CONTRADICTS = (
    ("reversed", ORDERED),
    ("shuffled", ORDERED),
    ("mirrored", SIDED),
    ("stronger", SLIGHT),
    ("weaker", STRONG),
)
_ALWAYS = ("frozen",)


@dataclass(frozen=True)
class TrainOptions:
    """steps of `batch` pairs; learning_rate: the highest; loss: of LOSSES; seconds: at most so long (None: no limit);
    every: steps between two looks at the val split; seed: of all draws."""

    steps: int = 8000
    batch: int = 512
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    warmup: int = 400
    loss: str = "infonce"
    every: int = 500
    seconds: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise EvaluationError(f"loss: expected one of {', '.join(LOSSES)}, found {self.loss!r}")
        if min(self.steps, self.every, self.warmup) < 1 or self.batch < 2:
            raise EvaluationError("steps, every, warmup: expected positive numbers, batch: 2 or more")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise EvaluationError(f"learning rate: expected a positive number, found {self.learning_rate}")
        if self.seconds is not None and not self.seconds > 0:
            raise EvaluationError(f"seconds: expected a positive number, found {self.seconds}")
        if self.seed < 0:
            raise EvaluationError(f"seed: expected a number from 0 on, found {self.seed}")


Progress = Callable[[int, int, dict[str, float]], None]


def train_evaluator(
    corpora: list[str | Path],
    folder: str | Path,
    *,
    config: EvaluatorConfig | None = None,
    options: TrainOptions | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train on the corpora's train split, choose on val, write the best to `folder`; what came of it.

    Raises `EvaluationError` where a corpus has no clips to learn from.
    """
    options, config = options or TrainOptions(), config or EvaluatorConfig()
    torch.manual_seed(options.seed)
    examples = read_examples(corpora, ("train", "val"))
    train, val = examples.of("train"), examples.of("val")
    if len(train) < 2:
        raise EvaluationError(f"{', '.join(map(str, corpora))}: no clips of the split train to learn from")
    if len(val) < R_PRECISION_POOL:
        raise EvaluationError(
            f"the val split has {len(val)} clips, expected {R_PRECISION_POOL} at least: a larger corpus"
        )
    said = [text for texts in train.texts for text in texts]
    tokenizer = train_tokenizer(said, config.vocabulary)
    network = EvaluatorNetwork(config).to(device)
    batches = _Batches(train, tokenizer, config, options, device)
    decay = [value for value in network.parameters() if value.ndim > 1]
    rest = [value for value in network.parameters() if value.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decay, "weight_decay": options.weight_decay}, {"params": rest, "weight_decay": 0.0}],
        lr=options.learning_rate,
        betas=(0.9, 0.98),
    )
    started, best, history = time.monotonic(), -1.0, []
    step = 0
    for step in range(1, options.steps + 1):
        share = _share(step, options, started)
        for group in optimizer.param_groups:
            group["lr"] = options.learning_rate * min(
                step / options.warmup, 0.5 * (1 + math.cos(math.pi * share)) + 1e-3
            )
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=device != "cpu"):
            loss = batches.loss(network)
        if not torch.isfinite(loss):
            raise EvaluationError(f"the loss of step {step} is {loss.item()}; a smaller learning rate may help")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        out_of_time = options.seconds is not None and time.monotonic() - started > options.seconds
        if step % options.every == 0 or step == options.steps or out_of_time:
            scores = {"loss": float(loss.detach()), **_scores(network, tokenizer, val)}
            history.append({"step": step, **scores})
            if scores["top1"] > best:
                best = scores["top1"]
                facts = {
                    "trained": {
                        "step": step, "clips": len(train), "options": asdict(options),
                        "corpora": [Path(corpus).name for corpus in corpora], "val": scores,
                    }
                }  # fmt: skip
                save_evaluator(folder, network, tokenizer, facts)
            if progress is not None:
                progress(step, options.steps, scores)
            network.train()
        if out_of_time:
            break
    return {"steps": step, "clips": len(train), "best_top1": best, "history": history}


def _share(step: int, options: TrainOptions, started: float) -> float:
    """How far the training is, 0..1: by steps, or by time where that runs out first."""
    share = step / options.steps
    if options.seconds is not None:
        share = max(share, (time.monotonic() - started) / options.seconds)
    return min(share, 1.0)


def _scores(network: EvaluatorNetwork, tokenizer: Any, val: Examples) -> dict[str, float]:
    """R-Precision of the val split's primary texts, mean over five shuffles."""
    evaluator = Evaluator(network, tokenizer, "", {})
    texts = evaluator.embed_texts([texts[0] for texts in val.texts])
    motions = evaluator.embed_features(val.motions(range(len(val))))
    random = np.random.default_rng(0)
    found = np.mean([score_pools(texts, motions, random).precision for _ in range(5)], axis=0)
    return {f"top{rank}": float(value) for rank, value in enumerate(found, start=1)}


class _Batches:
    """All motions in the device's memory; batches without end, each clip once a pass."""

    def __init__(
        self, train: Examples, tokenizer: Any, config: EvaluatorConfig, options: TrainOptions, device: str
    ) -> None:
        self._device, self._options = device, options
        self._features = torch.from_numpy(train.features).to(device)
        self._starts = torch.from_numpy(train.starts).to(device)
        flat = [text for texts in train.texts for text in texts]
        self._ids = torch.from_numpy(token_ids(tokenizer, flat, config.longest_text).astype(np.int16)).to(device)
        self._first_text = np.concatenate([[0], np.cumsum([len(texts) for texts in train.texts])])
        number = {key: value for value, key in enumerate(dict.fromkeys(train.keys))}
        self._key = torch.tensor([number[key] for key in train.keys], device=device)
        self._damages = torch.from_numpy(train.damages).to(device)
        self._random = np.random.default_rng(options.seed)
        self._generator = torch.Generator(device).manual_seed(options.seed)
        self._order = self._passes(len(train))

    def _passes(self, count: int) -> Iterator[np.ndarray]:
        batch = min(self._options.batch, count)
        while True:
            order = self._random.permutation(count)
            for start in range(0, count - batch + 1, batch):
                yield order[start : start + batch]

    def loss(self, network: EvaluatorNetwork) -> torch.Tensor:
        """The loss of the next batch."""
        clips = next(self._order)
        spread = self._first_text[clips + 1] - self._first_text[clips]
        # The primary prompt as often as all other wordings together.
        chosen = np.where(
            self._random.random(len(clips)) < 0.5, 0, (self._random.random(len(clips)) * spread).astype(int)
        )
        ids = self._ids[torch.from_numpy(self._first_text[clips] + chosen).to(self._device)].long()
        ids = ids[:, : max(1, int((ids != 0).sum(1).max()))]
        at = torch.from_numpy(clips).to(self._device)
        motions, lengths = self._motions(at)
        texts = network.text(ids)
        found = network.motion(motions, lengths)
        if self._options.loss == "margin":
            return pairwise_margin(texts.float(), found.float(), self._generator)
        worse, which = self._contradicting(motions, lengths, self._damages[at])
        key = self._key[at]
        return contrastive(
            texts.float(),
            found.float(),
            network.log_scale.exp(),
            key[:, None] == key,
            network.motion(worse, lengths).float(),
            which,
        )

    def _motions(self, clips: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        start = self._starts[clips]
        lengths = self._starts[clips + 1] - start
        frames = torch.arange(int(lengths.max()), device=self._device)
        motions = self._features[(start[:, None] + frames).clamp(max=len(self._features) - 1)].float()
        drawn = torch.randn(motions.shape, generator=self._generator, device=self._device)
        return motions + NOISE * drawn, lengths

    def _contradicting(
        self, motions: torch.Tensor, lengths: torch.Tensor, damages: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Each motion after a damage that its text excludes, and where there is one: one sort of damage a batch."""
        kinds = (*_CONTRADICTS, *((kind, 0) for kind in _ALWAYS))
        kind, bit = kinds[int(self._random.integers(len(kinds)))]
        which = (damages & bit) > 0 if bit else torch.ones_like(damages, dtype=torch.bool)
        whole = kind == "reversed" or self._random.random() < WHOLE
        severity = 1.0 if whole else float(self._random.uniform(*SEVERITY))
        return damaged(motions, lengths, kind, self._generator, severity), which
