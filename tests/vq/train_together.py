"""One of several processes that train a codec together, started by a test: python train_together.py CORPUS FOLDER.

Writes what each process holds at the end, FOLDER/NAME-RANK.safetensors, of a training without a break, of one that was
broken off and went on, and of others.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file

from tdmm.face import load_face_model
from tdmm.vq import quantisers, train
from tdmm.vq.config import CodecConfig, StreamConfig
from tdmm.vq.learning import LearningCodec
from tdmm.vq.train import TrainOptions, train_vq

STREAM = StreamConfig(width=16, encoder_blocks=1, decoder_blocks=2, latent=4, codebooks=2, codes=8)
OPTIONS = TrainOptions(steps=6, batch=6, frames=16, every=2, warmup=2, learning_rate=1e-3)
# Tokens in a batch of all processes.
TOKENS = 6 * 16 // 4


class Kept(LearningCodec):
    """It can be looked at when it has learnt."""

    last: LearningCodec

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        Kept.last = self


def main(corpus: str, folder: Path) -> None:
    rank = int(os.environ["RANK"])
    train.LearningCodec, train.SAMPLE, train.VAL_WINDOWS = Kept, 100, 4  # type: ignore[misc]
    model, config = load_face_model(), CodecConfig(stride=4, face=STREAM, head=STREAM)

    def run(name: str, options: TrainOptions = OPTIONS, resume: bool = False) -> None:
        train_vq([corpus], folder / name, model, config=config, options=options, resume=resume)
        state = {key: value.contiguous() for key, value in Kept.last.state_dict().items()}
        save_file(state, folder / f"{name}-{rank}.safetensors")

    # Codes are replaced all the time, so that draws of all processes matter.
    quantisers.DEAD = 0.9
    run("whole")
    judge, looks = train._Judge.scores, 0

    def stop(*arguments: object) -> dict[str, float]:
        nonlocal looks
        looks += 1
        if looks == 3:  # in all processes, after the checkpoint of step 4
            raise KeyboardInterrupt
        return judge(*arguments)  # type: ignore[arg-type]

    train._Judge.scores = stop  # type: ignore[method-assign]
    try:
        run("broken")
    except KeyboardInterrupt:
        run("broken", resume=True)
    # And none, so that all tokens are counted.
    quantisers.DEAD = 0.0
    run("counted")
    # No two processes have the same clock.
    run("timed", replace(OPTIONS, steps=10_000, every=10_000, seconds=0.3))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
