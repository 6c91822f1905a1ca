"""Make tdmm/assets/fit_prior.safetensors, what `tdmm fit` knows about faces before it sees one: render, detect, learn.

    python scripts/build_fit_prior.py collect train pack          everything, on a machine with a GPU and 16 cores
    python scripts/build_fit_prior.py train pack                  go on from the checkpoint with the shards there are

Over two GPUs, each with its own half of the shards:

    for i in 0 1; do CUDA_VISIBLE_DEVICES=$i python scripts/build_fit_prior.py collect --part $i/2 & done; wait
    torchrun --nproc-per-node 2 scripts/build_fit_prior.py train && python scripts/build_fit_prior.py pack

collect: random people in random pictures, seen by the detector, as shards in a folder (--work).
train: the network, from those shards; goes on from the checkpoint in that folder if there is one.
pack: the landmarks' response to the controls, the network in 16 bits, and the card, into --output.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STAGES = ("collect", "train", "pack")


def main() -> None:
    """Parse the arguments and run the stages that were asked for, in order."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="+", choices=STAGES)
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "fit-prior", help="shards and checkpoint")
    parser.add_argument(
        "--output", type=Path, default=ROOT / "tdmm" / "assets", help="folder for the asset and its card"
    )
    parser.add_argument("--device", help="of drawing and training (default: cuda if there is one)")
    parser.add_argument("--seed", type=int, default=0, help="first seed of the takes (default: %(default)s)")
    parser.add_argument("--shards", type=int, default=400, help="how many to learn from (default: %(default)s)")
    parser.add_argument("--held", type=int, default=12, help="shards held out (default: %(default)s)")
    parser.add_argument("--sequences", type=int, default=24, help="takes of a shard (default: %(default)s)")
    parser.add_argument("--frames", type=int, default=32, help="of a take (default: %(default)s)")
    parser.add_argument(
        "--part",
        default="0/1",
        help="I/N: collect only each N-th shard from the I-th on, beside others that do the rest",
    )
    parser.add_argument("--side", type=int, default=320, help="of the pictures, pixels (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=15, help="detector processes (default: %(default)s)")
    parser.add_argument(
        "--collect-minutes", type=float, default=5.0, help="begin no shard later (default: %(default)s)"
    )
    parser.add_argument("--train-minutes", type=float, default=4.0, help="of training (default: %(default)s)")
    parser.add_argument(
        "--until", type=float, default=1.0, help="part of all training done then (default: %(default)s)"
    )
    parser.add_argument("--since", type=float, help="part of all training to begin at (default: the checkpoint's)")
    parser.add_argument(
        "--most-shards", type=int, default=0, help="that a GPU's memory holds; each run draws its own (default: all)"
    )
    parser.add_argument("--batch", type=int, default=3072, help="frames of a training step (default: %(default)s)")
    parser.add_argument("--learning-rate", type=float, default=2e-3, help="highest (default: %(default)s)")
    arguments = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    arguments.work.mkdir(parents=True, exist_ok=True)
    for stage in STAGES:
        if stage in arguments.stages:
            {"collect": run_collect, "train": run_train, "pack": run_pack}[stage](arguments)


def device_of(arguments: argparse.Namespace) -> str:
    """The device that was asked for, or a GPU if there is one."""
    import torch

    return arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")


def run_collect(arguments: argparse.Namespace) -> None:
    """Shards to learn from, and first of all those held out."""
    from fit_prior.collect import HELD_SEEDS, CollectOptions, collect

    options = CollectOptions(
        folder=arguments.work / "shards",
        device=device_of(arguments),
        sequences=arguments.sequences,
        frames=arguments.frames,
        side=arguments.side,
        workers=arguments.workers,
        minutes=arguments.collect_minutes,
    )
    if arguments.seed + arguments.shards > HELD_SEEDS:
        raise SystemExit(f"--seed, --shards: training seeds end at {HELD_SEEDS}")
    held = range(HELD_SEEDS, HELD_SEEDS + arguments.held)
    learnt = range(arguments.seed, arguments.seed + arguments.shards)
    first, count = (int(number) for number in arguments.part.split("/"))
    made = collect([*held, *learnt][first::count], options)
    print(f"collect: {made} shards of {arguments.sequences} x {arguments.frames} pictures", flush=True)


def run_train(arguments: argparse.Namespace) -> None:
    """Train, or go on training."""
    from fit_prior.train import TrainOptions, train

    train(
        TrainOptions(
            folder=arguments.work / "shards",
            checkpoint=arguments.work / "checkpoint.pt",
            device=device_of(arguments),
            minutes=arguments.train_minutes,
            until=arguments.until,
            since=arguments.since,
            most_shards=arguments.most_shards,
            batch=arguments.batch,
            learning_rate=arguments.learning_rate,
        )
    )


def run_pack(arguments: argparse.Namespace) -> None:
    """The asset and its card, from the checkpoint and the shards."""
    from fit_prior.pack import pack

    shown, skip = ["python", "scripts/build_fit_prior.py"], False
    for word in sys.argv[1:]:  # where the files lay is nobody's business
        if not skip and word not in ("--work", "--output"):
            shown.append(word)
        skip = word in ("--work", "--output")
    command = shlex.join(shown)
    arguments.output.mkdir(parents=True, exist_ok=True)
    made = pack(
        arguments.work / "shards", arguments.work / "checkpoint.pt", arguments.output, command, device_of(arguments)
    )
    print(json.dumps({key: value for key, value in made.items() if key != "scores"}, indent=1), flush=True)


if __name__ == "__main__":
    main()
