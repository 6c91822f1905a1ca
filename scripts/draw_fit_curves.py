"""Draw docs/images/fit-curves.png: true curves of unseen people, the plain landmark fit's, and the fit's.

Usage: python scripts/draw_fit_curves.py [--output FILE]. Takes about two minutes; the people are the first ones of
their seeds who blink, speak, smile and look about, so that nobody chose them by how well they are fitted.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from fit_prior.studio import Studio  # noqa: E402
from fit_prior.takes import NATURAL, TEST_SEEDS, draw_takes  # noqa: E402

from benchmarks.systems import LEARNT, PLAIN, systems  # noqa: E402
from tdmm.fit import fit_video  # noqa: E402
from tdmm.fit.detect import open_detector  # noqa: E402
from tdmm.io.video import write_video  # noqa: E402
from tdmm.motion import FaceMotion  # noqa: E402

TARGET = ROOT / "docs" / "images" / "fit-curves.png"
PAPER, INK, GREY, GRID = (255, 255, 255), (30, 34, 42), (110, 116, 128), (226, 228, 232)
COLOURS = {"truth": (30, 34, 42), PLAIN: (222, 120, 40), LEARNT: (24, 110, 220)}
FIRST_SEED, PEOPLE, N_FRAMES, SIDE = TEST_SEEDS + 500, 2, 140, 320
# Rows of the picture: means of these expressions.
CURVES = {
    "blink": ("eyeBlinkLeft", "eyeBlinkRight"),
    "jawOpen": ("jawOpen",),
    "mouthSmile": ("mouthSmileLeft", "mouthSmileRight"),
    "browInnerUp": ("browInnerUp",),
    "eyeLookDown": ("eyeLookDownLeft", "eyeLookDownRight"),
    "mouthPucker": ("mouthPucker",),
}
SHOWN = ("blink", "jawOpen", "mouthSmile", "eyeLookDown")
# Twice drawn, once shown: smooth lines.
FINE = 2
WIDTH, HEIGHT, GAP, LABEL, STILLS = 420, 84, 14, 100, 4
# Right of each panel: a correlation for each system, where the truth moves.
NUMBERS, MOVES = 38, 0.02


def main() -> None:
    """Shoot, fit with both systems, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=TARGET)
    target = parser.parse_args().output
    columns = [column(seed) for seed, _ in zip(people(), range(PEOPLE), strict=False)]
    Image.fromarray(picture(columns)).save(target, optimize=True)
    print(f"written to {target}")


def people() -> Iterator[int]:
    """Seeds of people who do all that is to be shown, and do not keep still."""
    seed = FIRST_SEED
    while True:
        truth = draw_takes(seed, 1, N_FRAMES, NATURAL).motion(0, SIDE)
        spread = [curve(truth, CURVES[name]).std() for name in SHOWN]
        if min(spread) > 0.1 and 20 <= truth.fps <= 30:
            yield seed
        seed += 1


def column(seed: int) -> tuple[list[np.ndarray], dict[str, FaceMotion]]:
    """Stills of a clip, and its true and fitted motions by name."""
    takes = draw_takes(seed, 1, N_FRAMES, NATURAL)
    truth = takes.motion(0, SIDE)
    images = list(Studio("cpu", SIDE).shoot(takes, seed).images.numpy())
    motions = {"truth": truth}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        write_video(images, path, truth.fps, crf=10)
        detector = open_detector()
        for name, options in systems().items():
            if isinstance(options, str):
                print(f"{name}: {options}", file=sys.stderr)
                continue
            motions[name] = fit_video(path, options=options, detector=detector)
    for name, motion in motions.items():
        found = (f"{label} {correlation(truth, motion, names):.2f}" for label, names in CURVES.items())
        print(f"seed {seed}, {name}: {', '.join(found)}")
    return [images[at] for at in np.linspace(0, N_FRAMES - 1, 2 * STILLS + 1).astype(int)[1::2]], motions


def curve(motion: FaceMotion, names: tuple[str, ...]) -> np.ndarray:
    """(T,) the mean of some expressions."""
    return np.mean([motion.expression_column(name) for name in names], axis=0)


def correlation(truth: FaceMotion, motion: FaceMotion, names: tuple[str, ...]) -> float:
    first, second = curve(truth, names), curve(motion, names)
    return float(np.corrcoef(first, second)[0, 1]) if min(first.std(), second.std()) > 1e-6 else 0.0


def picture(columns: list[tuple[list[np.ndarray], dict[str, FaceMotion]]]) -> np.ndarray:
    """(H, W, 3) uint8: stills above curves, one column a person, one row an expression."""
    still = (WIDTH - (STILLS - 1) * 6) // STILLS
    top, legend = GAP + still + GAP, 34
    size = (
        LABEL + len(columns) * (WIDTH + NUMBERS + GAP),
        top + len(CURVES) * (HEIGHT + GAP) + legend,
    )
    sheet = Image.new("RGB", (size[0] * FINE, size[1] * FINE), PAPER)
    draw = ImageDraw.Draw(sheet)
    for row, (label, names) in enumerate(CURVES.items()):
        y = top + row * (HEIGHT + GAP)
        draw.text((8 * FINE, (y + HEIGHT / 2 - 9) * FINE), label, fill=INK, font=font(13))
        for number, (_, motions) in enumerate(columns):
            panel(draw, LABEL + number * (WIDTH + NUMBERS + GAP), y, names, motions)
    for number, (stills, _) in enumerate(columns):
        for place, image in enumerate(stills):
            at = (LABEL + number * (WIDTH + NUMBERS + GAP) + place * (still + 6), GAP)
            small = Image.fromarray(image).resize((still * FINE, still * FINE), Image.Resampling.LANCZOS)
            sheet.paste(small, (at[0] * FINE, at[1] * FINE))
    x, y = LABEL, size[1] - legend + 4
    for name in columns[0][1]:
        draw.line([(x * FINE, (y + 9) * FINE), ((x + 26) * FINE, (y + 9) * FINE)], fill=COLOURS[name], width=3 * FINE)
        draw.text(((x + 34) * FINE, y * FINE), name, fill=INK, font=font(13))
        x += 60 + int(font(13).getlength(name) / FINE)
    return np.asarray(sheet.resize(size, Image.Resampling.LANCZOS))


def panel(draw: ImageDraw.ImageDraw, x: int, y: int, names: tuple[str, ...], motions: dict[str, FaceMotion]) -> None:
    """One expression of one person over time, 0 to 1, with the correlation of each system if it truly moves."""
    box = [x * FINE, y * FINE, (x + WIDTH) * FINE, (y + HEIGHT) * FINE]
    draw.rectangle(box, outline=GRID, width=FINE)
    middle = (y + HEIGHT / 2) * FINE
    draw.line([(box[0], middle), (box[2], middle)], fill=GRID, width=1)
    truth = motions["truth"]
    said = y + 8
    for name in (LEARNT, PLAIN):
        if name in motions and curve(truth, names).std() > MOVES:
            word = f"{correlation(truth, motions[name], names):.2f}"
            draw.text(((x + WIDTH + 6) * FINE, said * FINE), word, fill=COLOURS[name], font=font(13))
            said += 22
    for name in (PLAIN, LEARNT, "truth"):
        if name in motions:
            values = np.clip(curve(motions[name], names), 0, 1)
            across = (x + 2 + (WIDTH - 4) * np.arange(len(values)) / (len(values) - 1)) * FINE
            down = (y + HEIGHT - 3 - (HEIGHT - 6) * values) * FINE
            draw.line(list(zip(across, down, strict=True)), fill=COLOURS[name], width=3 if name == "truth" else 4)


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size * FINE)


if __name__ == "__main__":
    main()
