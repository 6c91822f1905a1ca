"""Draw docs/images/hero.png: a photograph, the fitted head over it, and the head alone, twice.

Usage: python scripts/draw_hero.py. Needs the extra `test`: scikit-image holds the photograph (Eileen Collins, by NASA,
public domain).
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data

from tdmm.face import load_face_model
from tdmm.fit import fit_video
from tdmm.render import RenderOptions, render, render_over

PICTURE = Path(__file__).parent.parent / "docs" / "images" / "hero.png"
SIDE = 320


def main() -> None:
    """Fit the photograph as `tdmm fit` does and put the four pictures in a row."""
    photograph = Image.fromarray(data.astronaut()[0:300, 70:370]).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    model = load_face_model()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "photograph.png"
        photograph.save(path)
        motion = fit_video(path, face_model=model)
        panels = [np.asarray(photograph)]
        panels += render_over(motion, path, face_model=model, options=RenderOptions(opacity=1.0))
    for style, view in (("skin", "front"), ("clay", "three-quarter")):
        panels += render(motion, face_model=model, options=RenderOptions(size=(SIDE, SIDE), style=style, view=view))
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(panels, axis=1)).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main()
