"""Train a codec on the train split of corpora; the best on their val split is kept."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tdmm.errors import TokensError
from tdmm.face.mesh_points import MeshPoints, mesh_points
from tdmm.face.model import FaceModel
from tdmm.io.training_state import (
    load_state,
    optimizer_tensors,
    remove_state,
    restore_optimizer,
    save_state,
)
from tdmm.vq.augment import NONE, Augmentation, Windows
from tdmm.vq.codebook import perplexity
from tdmm.vq.codec import Codec, CodecNetwork, save_codec
from tdmm.vq.columns import FaceColumns, columns_for
from tdmm.vq.config import PRESETS, CodecConfig
from tdmm.vq.dataset import MotionSet, read_motion_sets
from tdmm.vq.geometry import FaceGeometry, GeometryView, make_view, split_columns
from tdmm.vq.learning import LearningCodec
from tdmm.vq.losses import LOSSES, FaceLoss, LossWeights, head_loss, lost_variance
from tdmm.vq.quantisers import check_packages

# Faces that the principal axes of the geometry are taken from, and the least spread of a parameter.
SAMPLE, LEAST_SPREAD = 12_000, 0.03
VAL_WINDOWS, LAST_SHARE = 256, 0.01
CHECKPOINT = "checkpoint"
# What the best on val is best in: mm, mm, mm, degrees, the part of the curves' variance that is lost.
JUDGED = {"face": 1.0, "lips": 0.5, "eyelids": 0.5, "rotation": 0.3, "curves": 0.5}


@dataclass(frozen=True)
class TrainOptions:
    """steps of `batch` windows (of all processes) of `frames` frames; learning_rate: the highest; loss: of LOSSES;
    every: steps between two looks at the val split, each of which is a checkpoint; seconds: at most so long (None: no
    limit); seed: of all draws."""

    steps: int = 20_000
    batch: int = 256
    frames: int = 96
    learning_rate: float = 2.5e-3
    weight_decay: float = 1e-4
    warmup: int = 500
    loss: str = "geometry"
    every: int = 1000
    seconds: float | None = None
    seed: int = 0
    weights: LossWeights = field(default_factory=LossWeights)
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise TokensError(f"loss: expected one of {', '.join(LOSSES)}, found {self.loss!r}")
        for name in ("steps", "batch", "frames", "warmup", "every"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise TokensError(f"{name}: expected a positive whole number, found {value!r}")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise TokensError(f"learning rate: expected a positive number, found {self.learning_rate}")
        if self.seconds is not None and not self.seconds > 0:
            raise TokensError(f"seconds: expected a positive number, found {self.seconds}")
        if not isinstance(self.seed, int) or self.seed < 0:
            raise TokensError(f"seed: expected a whole number from 0 on, found {self.seed!r}")


Progress = Callable[[dict[str, Any]], None]


def train_vq(
    corpora: Sequence[str | Path],
    folder: str | Path,
    model: FaceModel,
    *,
    config: CodecConfig | None = None,
    options: TrainOptions | None = None,
    device: str = "cpu",
    begin: Codec | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    reading: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Train a codec for a face model, write the best on val to `folder`; what came of it.

    begin: the codec whose networks and codebooks are begun with, of the same config; None: random ones.
    resume: goes on from the checkpoint in `folder`, and comes to what it would have come to without the break (on the
    same machine, unless `seconds` ends it). progress: told of every line of metrics.jsonl; reading: how many motions of
    how many were read. Runs under `accelerate launch` on several GPUs too, each with its part of the batch.

    Raises `TokensError` where a package is missing, a corpus has no motions to learn from, or the loss is not finite.
    """
    check_packages()
    from accelerate import Accelerator

    config, options = config or PRESETS["tdmm"], options or TrainOptions()
    if options.frames % config.stride:
        raise TokensError(f"frames: expected a multiple of the stride {config.stride}, found {options.frames}")
    accelerator = Accelerator(cpu=device == "cpu")
    run = _Run(Path(folder), config, options, model, accelerator, begin)
    state = load_state(run.folder / CHECKPOINT) if resume else None
    if state is not None and state[1]["resolved"] != run.resolved:
        raise TokensError(f"{folder}: the checkpoint is of other options; train without --resume, or with those")
    if state is not None and state[1].get("processes") != accelerator.num_processes:
        before = state[1].get("processes")
        raise TokensError(
            f"{folder}: the checkpoint is of {before} processes, not of {accelerator.num_processes}; go on with as "
            "many, or train without --resume"
        )
    columns = columns_for(model)
    motions = read_motion_sets(corpora, columns, config.fps, progress=reading)
    with _precision():
        return run.train(columns, motions, [Path(corpus).name for corpus in corpora], state, progress)


class _Run:
    """One training in one process."""

    def __init__(
        self,
        folder: Path,
        config: CodecConfig,
        options: TrainOptions,
        model: FaceModel,
        accelerator: Any,
        begin: Codec | None,
    ) -> None:
        if begin is not None and begin.config != config:
            raise TokensError("the codec to begin with is of another config; leave out what makes it another")
        self.folder, self.config, self.options, self.model = folder, config, options, model
        self.accelerator, self.begin = accelerator, begin
        # A process of several names its CPU by a number, which is the same CPU.
        self.device = "cpu" if accelerator.device.type == "cpu" else str(accelerator.device)
        self.resolved = json.loads(json.dumps({"codec": asdict(config), "options": asdict(options)}))
        if begin is not None:
            self.resolved["begin"] = begin.fingerprint

    def train(
        self,
        columns: FaceColumns,
        motions: dict[str, MotionSet],
        names: list[str],
        state: tuple[dict[str, torch.Tensor], dict[str, Any]] | None,
        progress: Progress | None,
    ) -> dict[str, Any]:
        options, config, accelerator = self.options, self.config, self.accelerator
        random = np.random.default_rng(options.seed)
        torch.manual_seed(options.seed)
        points = mesh_points(self.model)
        spread = _spread(motions["train"])
        network, geometry = self._network(columns, motions["train"], points, spread, random)
        learning = LearningCodec(network, options.batch * options.frames // config.stride)
        if self.begin is not None:
            learning.begin()
        optimizer = _optimizer(learning, options)
        loss_of = FaceLoss(points, columns, spread, options.weights, options.loss, random, self.device)
        windows = Windows(motions["train"], columns, self.device)
        judge = _Judge(points, columns, motions["val"], options, self.device)
        learning.to(self.device)
        generator = torch.Generator(self.device).manual_seed(options.seed * 1000 + accelerator.process_index)
        start, elapsed, best, history = 0, 0.0, math.inf, []
        if state is not None:
            tensors, facts = state
            learning.load_state_dict(
                {n.removeprefix("model."): v for n, v in tensors.items() if n.startswith("model.")}
            )
            restore_optimizer(optimizer, tensors)
            mine = accelerator.process_index
            generator.set_state(tensors[f"generator.{mine}"])
            torch.set_rng_state(tensors[f"torch.{mine}"])
            if f"cuda.{mine}" in tensors and self.device != "cpu":
                torch.cuda.set_rng_state(tensors[f"cuda.{mine}"], self.device)
            random.bit_generator.state = facts["random"]
            start, elapsed, best, history = facts["step"], facts["elapsed"], facts["best"], facts["history"]
        if accelerator.is_main_process:
            self.folder.mkdir(exist_ok=True)
            (self.folder / "train.json").write_text(json.dumps(self.resolved, indent=1) + "\n", encoding="utf-8")
            # Without what was told between the checkpoint and the break: it is told again.
            lines = "".join(json.dumps(line) + "\n" for line in history)
            (self.folder / "metrics.jsonl").write_text(lines, encoding="utf-8")
        wrapped, optimizer = accelerator.prepare(learning, optimizer)
        wrapped.train()
        # Each process draws its part of the batch.
        batch = max(1, options.batch // accelerator.num_processes)
        counts = [torch.zeros(size, dtype=torch.long, device=self.device) for size in config.sizes]
        began, at_last = time.monotonic() - elapsed, (time.monotonic(), start)
        for step in range(start + 1, options.steps + 1):
            passed = self._told(time.monotonic() - began) if options.seconds else 0.0
            share = max(step / options.steps, passed / options.seconds if options.seconds else 0.0)
            rate = options.learning_rate * _schedule(step, min(share, 1.0), options)
            for group in optimizer.param_groups:
                group["lr"] = rate
            face, head = windows.draw(batch, options.frames, generator, options.augmentation)
            seen = _seen(face, head, network, geometry)
            guess, turned, codes, commitment = wrapped(*seen)
            face_loss, parts = loss_of(guess, face, random)
            turn_loss, more = head_loss(turned, head, options.weights)
            loss = face_loss + turn_loss + commitment
            optimizer.zero_grad(set_to_none=True)
            accelerator.backward(loss)
            accelerator.clip_grad_norm_(learning.parameters(), 1.0)
            optimizer.step()
            for count, column in zip(counts, codes.flatten(0, 1).T, strict=True):
                count += torch.bincount(column.flatten(), minlength=len(count))
            over = options.seconds is not None and passed > options.seconds
            if step % options.every == 0 or step == options.steps or over:
                if not torch.isfinite(loss):
                    raise TokensError(f"the loss of step {step} is {loss.item()}; a smaller learning rate may help")
                scores = judge.scores(learning, geometry)
                used = [accelerator.reduce(count, "sum") for count in counts]
                now = time.monotonic()
                frames = (step - at_last[1]) * batch * accelerator.num_processes * options.frames
                line = {
                    "step": step,
                    "steps": options.steps,
                    "loss": float(loss.detach()),
                    **{name: float(value.detach()) for name, value in {**parts, **more}.items()},
                    "commitment": float(commitment.detach()),
                    "learning_rate": rate,
                    "use": [_share(count) for count in used],
                    "perplexity": [perplexity(count.cpu().numpy()) for count in used],
                    "val": scores,
                    "seconds": round(now - began, 1),
                    "frames_per_second": round(frames / max(now - at_last[0], 1e-9)),
                }
                counts = [torch.zeros_like(count) for count in counts]
                history.append(line)
                at_last = (time.monotonic(), step)
                if accelerator.is_main_process:
                    with (self.folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
                        file.write(json.dumps(line) + "\n")
                    if scores["total"] <= best:
                        self._keep(learning, line, motions["train"], names)
                best = min(best, scores["total"])
                if progress is not None and accelerator.is_main_process:
                    progress(line)
                self._checkpoint(
                    learning, optimizer, generator, random,
                    {"step": step, "elapsed": now - began, "best": best, "history": history},
                )  # fmt: skip
                wrapped.train()
            if over:
                break
        self._clean()
        # Of equals the last, as it is with what was written.
        kept = min(reversed(history), key=lambda line: line["val"]["total"]) if history else {}
        return {
            "steps": history[-1]["step"] if history else start,
            "frames": motions["train"].frames,
            "parameters": sum(one.numel() for one in network.parameters()),
            "best": kept,
            "history": history,
        }

    def _network(
        self,
        columns: FaceColumns,
        motions: MotionSet,
        points: MeshPoints,
        spread: torch.Tensor,
        random: np.random.Generator,
    ) -> tuple[CodecNetwork, FaceGeometry | None]:
        if self.begin is not None:
            network = copy.deepcopy(self.begin.network).to("cpu").train()
            geometry = None if network.view is None else FaceGeometry(self.model, columns, network.view)
            return network, geometry
        view: GeometryView | None = None
        if self.config.input == "geometry":
            view = make_view(self.model, columns, points, _sample(motions, columns, random))
        network = CodecNetwork(self.config, columns, view)
        network.scale.copy_(spread)
        return network, None if view is None else FaceGeometry(self.model, columns, view)

    def _told(self, mine: float) -> float:
        """The first process's number, so that all learn at one rate and stop at the same step."""
        if self.accelerator.num_processes == 1:
            return mine
        told = torch.tensor([mine if self.accelerator.is_main_process else 0.0], device=self.device)
        return float(self.accelerator.reduce(told, "sum")[0])

    def _keep(self, learning: LearningCodec, line: dict[str, Any], motions: MotionSet, names: list[str]) -> None:
        trained = {
            **{name: line[name] for name in ("step", "val", "seconds", "use", "perplexity")},
            "corpora": names,
            "motions": len(motions),
            "frames": motions.frames,
            "device": self.accelerator.device.type,
            "options": self.resolved["options"],
        }
        if self.begin is not None and "trained" in self.begin.facts:
            trained["before"] = self.begin.facts["trained"]
        save_codec(self.folder, learning.finished(), {"trained": trained})

    def _checkpoint(
        self,
        learning: LearningCodec,
        optimizer: torch.optim.Optimizer,
        generator: torch.Generator,
        random: np.random.Generator,
        facts: dict[str, Any],
    ) -> None:
        # Each process draws of its own: windows, and latents that replace codes.
        states = {"generator": generator.get_state(), "torch": torch.get_rng_state()}
        if self.device != "cpu":
            states["cuda"] = torch.cuda.get_rng_state(self.device)
        gathered = {name: self.accelerator.gather(state[None].to(self.device)) for name, state in states.items()}
        if not self.accelerator.is_main_process:
            return
        tensors = {f"model.{name}": value for name, value in learning.state_dict().items()}
        tensors |= optimizer_tensors(optimizer)
        for name, all_of in gathered.items():
            tensors |= {f"{name}.{number}": state for number, state in enumerate(all_of)}
        told = {
            **facts,
            "random": random.bit_generator.state,
            "resolved": self.resolved,
            "processes": self.accelerator.num_processes,
        }
        save_state(self.folder / CHECKPOINT, tensors, told)

    def _clean(self) -> None:
        """A finished training needs no checkpoint."""
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            remove_state(self.folder / CHECKPOINT)


class _Judge:
    """Errors on the val split: mean distance of vertices in mm, and of the head's rotation in degrees."""

    def __init__(
        self, points: MeshPoints, columns: FaceColumns, motions: MotionSet, options: TrainOptions, device: str
    ) -> None:
        self._columns, self._device = columns, device
        self._points = points.some(np.arange(0, len(points.vertices), 3)).to(device)
        self._windows = None
        if len(motions):
            drawn = torch.Generator(device).manual_seed(0)
            self._windows = Windows(motions, columns, device).draw(VAL_WINDOWS, options.frames, drawn, NONE)

    @torch.no_grad()
    def scores(self, learning: LearningCodec, geometry: FaceGeometry | None) -> dict[str, float]:
        """By region, and their total, by which the best is chosen. Without a val split everything is 0: the last one
        is kept."""
        if self._windows is None:
            return {"total": 0.0}
        learning.eval()
        sums: dict[str, float] = {}
        for face, head in zip(*(one.split(64) for one in self._windows), strict=True):
            guess, turned, _, _ = learning(*_seen(face, head, learning.network, geometry))
            if self._columns.bounded:
                guess = guess.clamp(0, 1)
            posed = []
            for one in (guess, face):
                pose = split_columns(one.flatten(0, 1), self._columns)
                none = torch.zeros(0, device=one.device)
                posed.append(
                    self._points.in_head_of(pose["expression"], pose.get("jaw_pose"), pose.get("eyes_pose"), none)
                )
            miss = 1000 * (posed[0] - posed[1]).norm(dim=1)
            found = {name: miss[:, getattr(self._points, name)].mean() for name in ("face", "lips", "eyelids")}
            found["rotation"] = torch.rad2deg((turned - head)[..., :3].norm(dim=-1)).mean()
            found["translation"] = 1000 * (turned - head)[..., 3:].norm(dim=-1).mean()
            found["curves"] = lost_variance(guess, face, learning.network.scale)
            for name, value in found.items():
                sums[name] = sums.get(name, 0.0) + float(value) * len(face) / VAL_WINDOWS
        sums["total"] = sum(weight * sums[name] for name, weight in JUDGED.items())
        return {name: round(value, 5) for name, value in sums.items()}


def _seen(
    face: torch.Tensor, head: torch.Tensor, network: CodecNetwork, geometry: FaceGeometry | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """What the encoders see of parameters (B, T, P) and relative poses (B, T, 6)."""
    if geometry is None:
        seen = face / network.scale
    else:
        seen = geometry.features(face.flatten(0, 1)).view(*face.shape[:2], -1)
    return seen, head / network.head_scale


def _schedule(step: int, share: float, options: TrainOptions) -> float:
    """The part of the highest learning rate: a linear start, half a cosine down."""
    return min(step / options.warmup, LAST_SHARE + (1 - LAST_SHARE) * 0.5 * (1 + math.cos(math.pi * share)))


def _optimizer(learning: LearningCodec, options: TrainOptions) -> torch.optim.Optimizer:
    learnt = [value for value in learning.parameters() if value.requires_grad]
    decay = [value for value in learnt if value.ndim > 1]
    rest = [value for value in learnt if value.ndim <= 1]
    groups = [{"params": decay, "weight_decay": options.weight_decay}, {"params": rest, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=options.learning_rate, betas=(0.9, 0.99))


def _spread(motions: MotionSet) -> torch.Tensor:
    """(P,) standard deviation of each parameter, no less than `LEAST_SPREAD`."""
    every = max(1, motions.frames // 100_000)
    return torch.from_numpy(motions.face[::every].astype(np.float32).std(0).clip(LEAST_SPREAD))


def _sample(motions: MotionSet, columns: FaceColumns, random: np.random.Generator) -> np.ndarray:
    """(N, P) faces of the motions, and as many in which further expressions join in."""
    chosen = motions.face[random.integers(motions.frames, size=min(SAMPLE // 2, motions.frames))].astype(np.float32)
    joins = random.random(chosen.shape) < 0.1
    joins[:, len(columns.expression_names) :] = False
    more = np.abs(random.standard_normal(chosen.shape)) * joins * (0.4 if columns.bounded else 1.0)
    mixed = chosen + more
    if columns.bounded:
        mixed[:, : len(columns.expression_names)] = mixed[:, : len(columns.expression_names)].clip(0, 1)
    return np.concatenate([chosen, mixed]).astype(np.float32)


def _share(count: torch.Tensor) -> float:
    return float((count > 0).float().mean())


class _precision:
    """TF32 for products of matrices, as long as it lasts."""

    def __enter__(self) -> None:
        self._before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("high")

    def __exit__(self, *error: object) -> None:
        torch.set_float32_matmul_precision(self._before)
