"""Draw docs/images/conventions.png, with the built-in head and tdmm's own renderer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tdmm.face import load_face_model
from tdmm.motion import FaceMotion, make_motion
from tdmm.render import RenderOptions, render
from tdmm.render.camera import Camera

TARGET = Path(__file__).parents[1] / "docs" / "images" / "conventions.png"
PAPER, INK, GREY = (255, 255, 255), (30, 34, 42), (110, 116, 128)
AXES = {"x": (208, 50, 50), "y": (38, 140, 60), "z": (40, 90, 210)}
LARGE, SMALL, STRIP = 620, 300, 44
AXIS_LENGTH = 0.17  # metres
# Twice drawn, once shown: smooth lines.
FINE = 2


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size * FINE)


def pose(rotation: tuple[float, float, float], size: int, translation: tuple[float, float, float]) -> FaceMotion:
    model = load_face_model()
    return make_motion(
        np.zeros((1, len(model.expression_names))),
        model.expression_names,
        face_model=model.name,
        face_model_sha256=model.sha256,
        rotation=np.radians([rotation]),
        translation=np.array([translation]),
        image_size=(size * FINE, size * FINE),
    )


def head(motion: FaceMotion) -> Image.Image:
    options = RenderOptions(style="clay", view="camera", background=PAPER, caption=False)
    return Image.fromarray(next(iter(render(motion, options=options))))


def arrow(
    draw: ImageDraw.ImageDraw, start: np.ndarray, end: np.ndarray, colour: tuple[int, int, int], width: int
) -> None:
    start, end = np.asarray(start, float), np.asarray(end, float)
    along = (end - start) / max(np.linalg.norm(end - start), 1e-6)
    across = np.array([-along[1], along[0]])
    tip = 4.2 * width
    neck = end - along * tip
    draw.line([tuple(start), tuple(neck)], fill=colour, width=width)
    draw.polygon([tuple(end), tuple(neck + across * tip / 2), tuple(neck - across * tip / 2)], fill=colour)


def axes_of_the_head(picture: Image.Image, motion: FaceMotion, names: dict[str, str], text_size: int) -> None:
    """Arrows from the head joint, projected as every point of the head is."""
    from scipy.spatial.transform import Rotation

    draw = ImageDraw.Draw(picture)
    camera, turn = Camera.of_motion(motion), Rotation.from_rotvec(motion.rotation[0]).as_matrix()
    origin = camera.project(motion.translation)[0][0]
    for index, (axis, name) in enumerate(names.items()):
        tip = turn @ (np.eye(3)[index] * AXIS_LENGTH) + motion.translation[0]
        end = camera.project(tip)[0]
        arrow(draw, origin, end, AXES[axis], width=5 * FINE)
        label = f"+{axis}\n{name}"
        anchor, shift = {"x": ("ra", (0, 12)), "y": ("ld", (14, 12)), "z": ("ra", (16, 10))}[axis]
        place = end + np.array(shift) * FINE
        draw.multiline_text(tuple(place), label, fill=AXES[axis], font=font(text_size), anchor=anchor, align="center")
    radius = 6 * FINE
    draw.ellipse([*(origin - radius), *(origin + radius)], fill=INK)


def turned(axis: str, degrees: float, label: str) -> Image.Image:
    rotation = tuple(degrees if name == axis else 0.0 for name in "xyz")
    picture = Image.new("RGB", (SMALL * FINE, (SMALL + STRIP) * FINE), PAPER)
    picture.paste(head(pose(rotation, SMALL, (0, -0.03, -0.75))), (0, 0))
    draw = ImageDraw.Draw(picture)
    middle = SMALL * FINE / 2
    draw.text((middle, SMALL * FINE), f"rotation about +{axis} > 0", fill=AXES[axis], font=font(17), anchor="ma")
    draw.text((middle, (SMALL + 22) * FINE), label, fill=INK, font=font(17), anchor="ma")
    return picture


def pixels(size: int) -> Image.Image:
    """A corner of a picture, enlarged: where pixels have their centres."""
    picture = Image.new("RGB", (size * FINE, (SMALL + STRIP) * FINE), PAPER)
    draw = ImageDraw.Draw(picture)
    left, top, side = 56 * FINE, 64 * FINE, 56 * FINE
    for row in range(4):
        draw.line([(left, top + row * side), (left + 3.4 * side, top + row * side)], fill=GREY, width=FINE)
    for column in range(4):
        draw.line([(left + column * side, top), (left + column * side, top + 3.4 * side)], fill=GREY, width=FINE)
    for row in range(3):
        for column in range(3):
            x, y, dot = left + (column + 0.5) * side, top + (row + 0.5) * side, 3 * FINE
            draw.ellipse([x - dot, y - dot, x + dot, y + dot], fill=INK)
    arrow(draw, np.array([left, top]), np.array([left + 3.8 * side, top]), AXES["x"], width=3 * FINE)
    arrow(draw, np.array([left, top]), np.array([left, top + 3.8 * side]), AXES["y"], width=3 * FINE)
    draw.text((left + 3.8 * side, top - 8 * FINE), "x, columns j", fill=AXES["x"], font=font(17), anchor="rb")
    draw.text((left + 8 * FINE, top + 3.85 * side), "y, rows i", fill=AXES["y"], font=font(17), anchor="lb")
    draw.text((left - 4 * FINE, top - 8 * FINE), "(0, 0)", fill=INK, font=font(15), anchor="mb")
    draw.text((left, (SMALL + 22) * FINE), "pixel centres at (j + 0.5, i + 0.5)", fill=INK, font=font(17), anchor="la")
    return picture


def camera_space(size: int) -> Image.Image:
    """The camera's own axes, and where a head stands."""
    picture = Image.new("RGB", (size * FINE, (SMALL + STRIP) * FINE), PAPER)
    draw = ImageDraw.Draw(picture)
    origin = np.array([84, 190]) * FINE
    body = [origin[0] - 62 * FINE, origin[1] - 26 * FINE, origin[0] - 12 * FINE, origin[1] + 26 * FINE]
    draw.rounded_rectangle(body, radius=6 * FINE, outline=INK, width=2 * FINE)
    draw.polygon(
        [tuple(origin), (body[2], body[1] + 10 * FINE), (body[2], body[3] - 10 * FINE)], outline=INK, width=2 * FINE
    )
    far = np.array([260, 0]) * FINE
    for slope in (-0.42, 0.42):
        draw.line([tuple(origin), tuple(origin + far + np.array([0, slope * far[0]]))], fill=GREY, width=FINE)
    draw.line([tuple(origin), tuple(origin + far)], fill=GREY, width=FINE)
    draw.text(
        tuple(origin + far + np.array([0, -8 * FINE])), "it looks along -z", fill=GREY, font=font(17), anchor="rb"
    )
    arrow(draw, origin, origin - np.array([0, 110]) * FINE, AXES["y"], width=4 * FINE)
    draw.text(tuple(origin - np.array([0, 118]) * FINE), "+y up", fill=AXES["y"], font=font(17), anchor="mb")
    arrow(draw, origin, origin - np.array([74, 0]) * FINE, AXES["z"], width=4 * FINE)
    draw.text(tuple(origin + np.array([-78, 32]) * FINE), "+z", fill=AXES["z"], font=font(17), anchor="lt")
    arrow(draw, origin, origin + np.array([44, 62]) * FINE, AXES["x"], width=4 * FINE)
    draw.text(tuple(origin + np.array([50, 66]) * FINE), "+x right", fill=AXES["x"], font=font(17), anchor="lt")
    draw.text((14 * FINE, (SMALL + 22) * FINE), "world = camera, metres", fill=INK, font=font(17), anchor="la")
    return picture


def main() -> None:
    width = LARGE + 3 * SMALL
    sheet = Image.new("RGB", (width * FINE, (2 * SMALL + 2 * STRIP) * FINE), PAPER)
    motion = pose((6, -32, 0), LARGE, (0, -0.04, -0.85))
    portrait = head(motion)
    axes_of_the_head(portrait, motion, {"x": "subject's left", "y": "up", "z": "out of\nthe face"}, 21)
    sheet.paste(portrait, (0, 0))
    draw = ImageDraw.Draw(sheet)
    draw.text(
        (LARGE * FINE / 2, (2 * SMALL + STRIP + 16) * FINE),
        "head frame, from the head joint; right-handed",
        fill=INK,
        font=font(19),
        anchor="ma",
    )
    turns = (
        ("x", 25, "looks down"),
        ("y", 30, "turns to the subject's left"),
        ("z", 22, "tilts to the subject's right"),
    )
    for place, (axis, degrees, label) in enumerate(turns):
        sheet.paste(turned(axis, degrees, label), ((LARGE + place * SMALL) * FINE, 0))
    below = (SMALL + STRIP) * FINE
    sheet.paste(camera_space(SMALL + 120), ((LARGE + 30) * FINE, below))
    sheet.paste(pixels(SMALL), ((LARGE + SMALL + 230) * FINE, below))
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    sheet.resize((width, 2 * SMALL + 2 * STRIP), Image.Resampling.LANCZOS).save(TARGET, optimize=True)
    print(TARGET)


if __name__ == "__main__":
    main()
