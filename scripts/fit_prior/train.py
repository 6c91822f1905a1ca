"""Train the network on shards that lie in the device's memory, for so many minutes; go on later from a checkpoint."""

from __future__ import annotations

import json
import math
import random
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tdmm.fit.crops import CUTS
from tdmm.fit.network import NetworkConfig, PriorNetwork

from .augment import AugmentOptions, augment_crops, augment_points
from .clips import Clips, Mirror, load_clips, mirror_of_head, mirrored
from .collect import HELD_SEEDS
from .covers import draw_covers, region_shares
from .losses import LossOptions, face_basis, loss_of
from .scores import frame_features, scores_of, table
from .takes import head_controls
from .team import Team

# After so many steps the devices of a team agree on the time.
AGREE_STEPS = 16


@dataclass(frozen=True)
class TrainOptions:
    """folder: of the shards. checkpoint: read if it is there, written at the end and every `save_seconds`.

    minutes: of this run, reading the shards included. until: the part of the whole training that is done after it,
    which decides the learning rate (0.5 for the first of two equal runs). since: the part to begin at; None: where the
    checkpoint ended. batch: frames of a step. lengths: of the clips of a step, in frames, one of
    them drawn for each step (1: single pictures). strides: frames from one to the next, likewise. vertices: of the
    geometry term. average: of the weights' moving average, over so many steps.
    """

    folder: Path
    checkpoint: Path
    device: str = "cuda"
    minutes: float = 5.0
    until: float = 1.0
    since: float | None = None
    batch: int = 3072
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    warm_up: int = 200
    dropout: float = 0.1
    lengths: tuple[int, ...] = (32, 32, 32, 32, 32, 24, 12, 4, 1)
    strides: tuple[int, ...] = (1, 1, 1, 2)
    vertices: int = 400
    average: float = 1000.0
    most_shards: int = 0
    seed: int = 0
    save_seconds: float = 120.0
    losses: LossOptions = field(default_factory=LossOptions)
    augment: AugmentOptions = field(default_factory=AugmentOptions)


@dataclass
class Trained:
    """network: the average of the weights, in evaluation mode. scores: of `scores_of` on the held-out clips."""

    network: PriorNetwork
    scores: dict[str, Any]
    steps: int
    minutes: float


def train(options: TrainOptions) -> Trained:
    """Train until the minutes are over; prints how it goes."""
    begun = time.monotonic()
    team = Team.of_this_process(options.device)
    device = team.device
    torch.backends.cudnn.benchmark = True  # the shapes are few
    learnt, held = split(options.folder)
    if len(learnt) < team.size:
        raise SystemExit(f"{options.folder}: holds no shards to learn from; collect some first")
    mine = learnt[team.rank :: team.size]
    if 0 < options.most_shards < len(mine):
        mine = random.Random(f"{options.seed} {options.until}").sample(mine, options.most_shards)
    clips = load_clips(mine, device)
    judged = load_clips(held, device) if held and team.rank == 0 else None
    frames, n_clips = int(team.total(clips.n_frames.sum())), int(team.total(torch.tensor(len(clips), device=device)))
    if team.rank == 0:
        print(f"train: {n_clips} clips, {frames} frames, read in {time.monotonic() - begun:.0f} s", flush=True)
    trainer = Trainer(options, clips, team)
    trainer.restore()
    trainer.run(begun + 60 * options.minutes)
    network = trainer.averaged()
    if team.rank > 0:
        return Trained(network, {}, trainer.step, trainer.seconds / 60)
    scores = scores_of(network, judged, face_basis()) if judged is not None else {}
    if scores:
        print(table(scores), flush=True)
    record = options.checkpoint.with_suffix(".json")
    runs = json.loads(record.read_text())["runs"] if trainer.goes_on and record.exists() else []
    seeds = [int(path.stem.split("-")[1]) for path in learnt]
    this = {"steps": trainer.step, "until": options.until, "frames": frames, "seeds": [min(seeds), max(seeds)]}
    report = {
        "scores": scores,
        "runs": [*runs, this],
        "steps": trainer.step,
        "minutes": round(trainer.seconds / 60, 2),
        "frames": frames,
        "clips": n_clips,
        "devices": team.size,
        "options": json.loads(json.dumps(asdict(options), default=str)),
    }
    record.write_text(json.dumps(report, indent=1))
    return Trained(network, scores, trainer.step, trainer.seconds / 60)


def split(folder: Path) -> tuple[list[Path], list[Path]]:
    """The shards to learn from, and those held out."""
    learnt, held = [], []
    for path in sorted(folder.glob("takes-*.safetensors")):
        (held if int(path.stem.split("-")[1]) >= HELD_SEEDS else learnt).append(path)
    return learnt, held


class Trainer:
    """The state of a training: network, average, optimiser, how long it has run."""

    def __init__(self, options: TrainOptions, clips: Clips, team: Team) -> None:
        device = team.device
        self.options, self.clips, self.device, self.team = options, clips, device, team
        torch.manual_seed(options.seed)
        self.network = PriorNetwork(NetworkConfig(n_controls=len(head_controls()))).to(device)
        self.average = PriorNetwork(self.network.config).to(device)
        usual = team.mean(clips.points[clips.present].mean(0))
        for network in (self.network, self.average):
            network.usual_points.copy_(usual)
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average.load_state_dict(self.network.state_dict())
        decayed = [p for p in self.network.parameters() if p.ndim > 1]
        others = [p for p in self.network.parameters() if p.ndim <= 1]
        groups = [dict(params=decayed, weight_decay=options.weight_decay), dict(params=others, weight_decay=0.0)]
        fused = device.type == "cuda"
        self.optimiser = torch.optim.AdamW(groups, lr=options.learning_rate, betas=(0.9, 0.99), fused=fused)
        self.mirror: Mirror = mirror_of_head(device)
        self.basis = face_basis(options.vertices).to(device)
        self.step, self.seconds, self.part = 0, 0.0, options.since or 0.0
        self.goes_on = False
        # On the CPU: what is drawn from it decides shapes, which are the same on all devices of a team. Their clips are
        # others, and so is what is drawn on the device.
        self.random = torch.Generator().manual_seed(options.seed)
        torch.manual_seed(options.seed + 1000 * team.rank)

    def run(self, end: float) -> None:
        """Steps until the time `end` of the monotonic clock."""
        options = self.options
        before, part, begun = self.seconds, self.part, time.monotonic()
        end = begun + self.team.of_first(end - begun)
        shown = saved = begun
        first_step = self.step
        sums: dict[str, torch.Tensor] = {}
        counted = 0
        self.network.train()
        while True:
            if counted % AGREE_STEPS == 0:
                now = begun + self.team.of_first(time.monotonic() - begun)
                if now >= end:
                    break
                self.seconds = before + now - begun
                self.part = part + (options.until - part) * (now - begun) / (end - begun)
            rate = self._rate()
            for name, value in self._step(rate).items():
                sums[name] = sums.get(name, torch.zeros_like(value)) + value
            counted += 1
            if now - shown > 15 and self.team.rank > 0:
                shown, sums, counted = now, {}, 0
            elif now - shown > 15:
                means = ", ".join(f"{name} {float(value) / counted:.4f}" for name, value in sums.items())
                pace = (self.step - first_step) / (time.monotonic() - begun)
                print(
                    f"step {self.step}, {self.seconds:.0f} s, {pace:.1f} a second, rate {rate:.1e}: {means}", flush=True
                )
                shown, sums, counted = now, {}, 0
            if now - saved > options.save_seconds and self.team.rank == 0:
                self.save()
                saved = now
        if self.team.rank == 0:
            self.save()

    def _rate(self) -> float:
        """Cosine over the whole training; linear in the first steps."""
        cosine = 0.5 * (1 + math.cos(math.pi * min(self.part, 1.0)))
        return self.options.learning_rate * (0.01 + 0.99 * cosine) * min((self.step + 1) / self.options.warm_up, 1.0)

    def _step(self, rate: float) -> dict[str, torch.Tensor]:
        options = self.options
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        batch = self.draw()
        if torch.rand((), generator=self.random) < 0.5:
            batch = mirrored(batch, self.mirror)
        half = torch.bfloat16 if self.device.type == "cuda" else torch.float32
        with torch.no_grad():
            covers = draw_covers(batch.points, options.augment.covers)
            hidden = covers.hides(batch.points)
            inputs = augment_crops(batch.crops, batch.points, covers, options.augment, half)
            points = augment_points(batch.points, hidden, options.augment)
            batch = replace(batch, visible=batch.visible * (1 - hidden.float() @ region_shares(self.device)))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=half == torch.bfloat16):
            features = frame_features(self.network, batch, inputs, points)
            features = nn.functional.dropout(features, options.dropout)
            reading = self.network.over_time(features, batch.seconds, batch.present)
        loss, parts = loss_of(reading, batch, self.basis, options.losses)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.team.share_gradients(self.network)
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        self._follow()
        return parts

    def draw(self) -> Clips:
        """A batch of clips of one length and stride, half of them backwards, cut at random out of longer ones."""
        options, random = self.options, self.random
        length = options.lengths[int(torch.randint(len(options.lengths), (), generator=random))]
        stride = options.strides[int(torch.randint(len(options.strides), (), generator=random))]
        length = min(length, -(-self.clips.points.shape[1] // stride))
        count = max(options.batch // length, 1)
        chosen = torch.randint(len(self.clips), (count,), generator=random).to(self.device)
        start = torch.rand(count, generator=random).to(self.device)
        backwards = (torch.rand(count, 1, generator=random) < 0.3).to(self.device)
        available = self.clips.n_frames[chosen]
        n_frames = ((available + stride - 1) // stride).clamp(max=length)
        room = available - 1 - (n_frames - 1) * stride
        order = torch.arange(length, device=self.device)
        order = torch.minimum(order, n_frames[:, None] - 1)  # the filling repeats the last frame
        order = torch.where(backwards, n_frames[:, None] - 1 - order, order)
        frames = (start * (room + 1)).long().clamp(max=room)[:, None] + order * stride
        batch = self.clips.pick(chosen, frames, n_frames)
        batch.seconds.mul_(torch.where(backwards, -1.0, 1.0))
        return batch

    def _follow(self) -> None:
        """Move the average towards the weights, faster at first."""
        keep = min(1 - 1 / self.options.average, (1 + self.step) / (10 + self.step))
        mine, theirs = self.average.state_dict(), self.network.state_dict()
        floats = [name for name, value in mine.items() if value.is_floating_point()]
        with torch.no_grad():
            torch._foreach_lerp_([mine[name] for name in floats], [theirs[name] for name in floats], 1 - keep)

    def averaged(self) -> PriorNetwork:
        """The average of the weights, in evaluation mode."""
        return self.average.eval()

    # -- checkpoints ---------------------------------------------------------------------------------------

    def save(self) -> None:
        """Everything that the next run needs. The optimiser's moments are kept in 16 bits, which they stand well."""
        half = lambda value: value.bfloat16() if value.is_floating_point() and value.ndim else value  # noqa: E731
        moments = self.optimiser.state_dict()
        moments["state"] = {
            number: {name: half(value) for name, value in state.items()} for number, state in moments["state"].items()
        }
        content = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": moments,
            "step": self.step,
            "seconds": self.seconds,
            "part": self.part,
            "random": self.random.get_state(),
        }
        temporary = self.options.checkpoint.with_suffix(".new")
        torch.save(content, temporary)
        temporary.replace(self.options.checkpoint)

    def restore(self) -> None:
        """Go on from the checkpoint, if there is one."""
        if not self.options.checkpoint.exists():
            return
        content = torch.load(self.options.checkpoint, map_location=self.device, weights_only=True)
        self.network.load_state_dict(content["network"])
        self.average.load_state_dict(content["average"])
        self.optimiser.load_state_dict(content["optimiser"])
        self.step, self.seconds = content["step"], content["seconds"]
        self.part = content["part"] if self.options.since is None else self.options.since
        self.random.set_state(content["random"].cpu())
        torch.manual_seed(self.options.seed + 1000 * self.team.rank + self.step)
        self.goes_on = True
        if self.team.rank == 0:
            print(f"train: goes on after {self.step} steps, {self.seconds / 60:.1f} minutes", flush=True)


def example_inputs(n_frames: int) -> tuple[tuple[torch.Tensor, ...], torch.Tensor, torch.Tensor]:
    """Arguments of `PriorNetwork.frame_features` of the right shapes, for counting and timing."""
    crops = tuple(torch.zeros(n_frames, 3, cut.height, cut.width) for cut in CUTS.values())
    return crops, torch.zeros(n_frames, 478, 2), torch.ones(n_frames)
