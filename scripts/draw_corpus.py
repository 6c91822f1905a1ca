"""Draw docs/images/corpus.jpg: frames of clips of the procedural generator. Usage: python scripts/draw_corpus.py"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from tdmm.corpus.given import read_prompt
from tdmm.corpus.lines import perform_clip
from tdmm.corpus.looks import LookRandoms
from tdmm.corpus.motions import to_motion
from tdmm.corpus.plan import Settings, plan_clip
from tdmm.corpus.procedural import Studio

PICTURE = Path(__file__).parent.parent / "docs" / "images" / "corpus.jpg"
PROMPTS = (
    "joy@strong : tilt.left",
    "surprise@strong > laugh@strong",
    "anger@strong + shout :",
    "sadness@strong : look_down",
    "wink.right > smirk.right@strong",
    "yawn@strong > droop_lids",
    "turn.left@strong > cock_brow.right@strong",
    "disgust@strong : pull_head_back",
)
SIZE, FRAMES = 176, 4


def main() -> None:
    studio = Studio()
    rows = []
    for number, program in enumerate(PROMPTS):
        planned = plan_clip(number, Settings(seed=4, given=(read_prompt(program),)))
        performance, _ = perform_clip(planned)
        _, pictures = studio.shoot(to_motion(performance), LookRandoms(**planned.look), (SIZE, SIZE))
        frames = list(pictures)
        at = np.linspace(0.18, 0.8, FRAMES) * len(frames)
        rows.append(np.concatenate([frames[int(frame)] for frame in at], axis=1))
    half = len(rows) // 2
    sheet = np.concatenate([np.concatenate(rows[:half]), np.concatenate(rows[half:])], axis=1)
    Image.fromarray(sheet).save(PICTURE, quality=88, optimize=True)


if __name__ == "__main__":
    main()
