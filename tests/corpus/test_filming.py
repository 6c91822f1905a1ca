"""People, rooms and cameras of filmed clips: drawn by chance, the same every time, with the face in the picture."""

from __future__ import annotations

from contextlib import closing
from dataclasses import fields

import numpy as np
import pytest
import torch

from tdmm.corpus import procedural
from tdmm.corpus.looks import Look, LookRandoms, draw_look, framed
from tdmm.corpus.paint import backdrop
from tdmm.corpus.procedural import Studio
from tdmm.face import load_face_model
from tdmm.io.video import open_video
from tdmm.motion import FaceMotion, make_motion
from tdmm.render import RenderOptions, render
from tdmm.render.camera import Camera
from tdmm.render.clip import pose

SIZE = (96, 128)  # height, width


@pytest.fixture(scope="module")
def studio():
    return Studio()


@pytest.fixture(scope="module")
def still() -> FaceMotion:
    """Two frames of a face at rest, by the default camera."""
    model = load_face_model()
    rest = np.zeros((2, len(model.expression_names)), np.float32)
    return make_motion(rest, model.expression_names, face_model=model.name, face_model_sha256=model.sha256)


@pytest.fixture(scope="module")
def lively(still) -> FaceMotion:
    """Six frames: it smiles, turns, nods and leans."""
    weights = np.zeros((6, len(still.expression_names)), np.float32)
    weights[:, still.expression_names.index("mouthSmileLeft")] = np.linspace(0, 0.8, 6)
    rotation = np.linspace([0, -0.3, 0], [0.2, 0.3, 0.1], 6).astype(np.float32)
    translation = np.linspace([0, -0.03, -0.75], [0.02, -0.04, -0.72], 6).astype(np.float32)
    return make_motion(
        weights,
        still.expression_names,
        face_model=still.face_model,
        face_model_sha256=still.face_model_sha256,
        rotation=rotation,
        translation=translation,
        text="leans in",
    )


def randoms(seed: int) -> LookRandoms:
    return LookRandoms(*(np.random.default_rng([seed, part]) for part in range(4)))


def look_of(seed: int) -> Look:
    return draw_look(randoms(seed), load_face_model().n_shape)


def shot(studio: Studio, motion: FaceMotion, seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """(T, H, W, 3) pictures."""
    return np.stack(list(studio.shoot(motion, randoms(seed), size)[1]))


def test_a_look_depends_on_its_random_numbers_alone():
    one, same, other = look_of(3), look_of(3), look_of(4)
    for part in fields(Look):
        assert np.array_equal(getattr(one, part.name), getattr(same, part.name)), part.name
    for name in ("shape", "skin", "iris", "lips", "focal", "place", "back", "cloth", "style"):
        assert not np.array_equal(getattr(one, name), getattr(other, name)), name


def test_colours_are_those_of_people():
    """Skin is redder than green and greener than blue; light and dark, with all hair there is, and some of none."""
    looks = [look_of(seed) for seed in range(200)]
    skin = np.array([look.skin for look in looks])
    assert (skin > 0).all()
    assert (skin < 1).all()
    assert (skin[:, 0] > skin[:, 1]).all()
    assert (skin[:, 1] > skin[:, 2]).all()
    assert skin.mean(axis=1).max() > 5 * skin.mean(axis=1).min()
    # Dark skin with fair hair is rare.
    dark = skin.mean(axis=1) < 0.12
    assert dark.sum() > 5
    assert np.array([look.hair for look in looks])[dark].max() < 0.15
    assert 0.1 < np.mean([look.hair_cover == 0 for look in looks]) < 0.35
    assert 0.1 < np.mean([look.beard > 0 for look in looks]) < 0.4
    for name in ("skin", "hair", "iris", "lips", "cloth"):
        assert len({getattr(look, name).tobytes() for look in looks}) == len(looks), name


@pytest.mark.parametrize("size", [(96, 96), (160, 90), (90, 160)])
def test_the_whole_face_lies_in_the_picture_at_rest(still, size):
    model = load_face_model()
    marks = model.landmark_embedding
    assert marks is not None
    heights = []
    for seed in range(40):
        motion = framed(still, look_of(seed), size)
        vertices = pose(motion, model, torch.from_numpy(motion.shape), np.array([0]))[0]
        pixels, depth = Camera.of_motion(motion, None).project(vertices)
        face = (pixels[model.faces[marks.face]] * marks.barycentric[..., None]).sum(axis=1)
        assert (depth > 0.2).all()
        assert (face > 0).all()
        assert (face < size[::-1]).all()
        heights.append(np.ptp(face[:, 1]) / size[0])
    assert min(heights) > 0.3
    assert np.ptp(heights) > 0.1


def test_the_movement_is_kept(lively):
    look = look_of(1)
    motion = framed(lively, look, SIZE)
    np.testing.assert_array_equal(motion.rotation, lively.rotation)
    np.testing.assert_array_equal(motion.expression, lively.expression)
    np.testing.assert_allclose(np.diff(motion.translation, axis=0), np.diff(lively.translation, axis=0), atol=1e-6)
    np.testing.assert_array_equal(motion.shape, look.shape)
    assert motion.image_size == SIZE
    assert motion.camera[0, 0] == motion.camera[1, 1] == pytest.approx(look.focal * max(SIZE))
    assert motion.text == "leans in"


def test_pictures_are_bytes_of_the_size_that_was_asked_for(studio, lively):
    pictures = shot(studio, lively, 0)
    assert pictures.shape == (6, *SIZE, 3)
    assert pictures.dtype == np.uint8
    np.testing.assert_array_equal(pictures, shot(studio, lively, 0))
    # Something moves in every frame, and the room does not.
    assert (np.abs(np.diff(pictures.astype(int), axis=0)).max(axis=(1, 2, 3)) > 20).all()
    assert np.ptp(pictures[:, :8, :8].astype(int), axis=0).max() <= 2


def test_the_room_is_not_of_one_colour(still):
    spreads = []
    for seed in range(40):
        room = backdrop(look_of(seed), framed(still, look_of(seed), SIZE))
        assert room.shape == (*SIZE, 3)
        assert room.dtype == np.uint8
        spreads.append(room[: SIZE[0] // 2].astype(float).std(axis=(0, 1)).max())
    assert np.mean(np.array(spreads) > 3) > 0.8
    assert min(spreads) > 0


def middle_of(picture: np.ndarray) -> np.ndarray:
    """The mean colour of the middle of the face."""
    return picture[40:64, 52:76].reshape(-1, 3).mean(axis=0)


def test_other_people_are_other_pictures(studio, still):
    pictures = [shot(studio, still, seed)[0].astype(float) for seed in range(6)]
    colours = np.array([middle_of(picture) for picture in pictures])
    for first in range(6):
        for second in range(first):
            assert np.abs(pictures[first] - pictures[second]).mean() > 10
    assert np.ptp(colours.mean(axis=1)) > 40
    brightness = np.array([look_of(seed).skin.mean() for seed in range(6)])
    assert colours[brightness.argmax()].mean() > colours[brightness.argmin()].mean()


def silhouette(motion: FaceMotion) -> np.ndarray:
    """(H, W) where `tdmm render --view camera` draws the head in the first frame: there the background has no say."""
    drawn = []
    for grey in (0, 255):
        options = RenderOptions(view="camera", background=(grey, grey, grey), caption=False)
        with closing(render(motion[:1], options=options)) as pictures:
            drawn.append(next(pictures).astype(int))
    return (np.abs(drawn[1] - drawn[0]) < 128).all(axis=-1)


@pytest.mark.parametrize("seed", [0, 1, 5])
def test_the_motion_drawn_again_covers_the_head_of_the_video(studio, lively, tmp_path, seed, monkeypatch):
    """The room is green, as no head is."""
    green = np.array([0, 255, 0], np.uint8)
    monkeypatch.setattr(procedural, "backdrop", lambda *_: np.broadcast_to(green, (*SIZE, 3)).copy())
    filmed = studio.film(lively, randoms(seed), SIZE, tmp_path / "clip.mp4")
    with open_video(tmp_path / "clip.mp4") as video:
        pictures = [frame.image.astype(int) for frame in video]
    assert len(pictures) == len(filmed)
    for frame in (0, len(filmed) - 1):
        drawn = silhouette(filmed[frame : frame + 1])
        seen = pictures[frame][..., 1] - pictures[frame][..., 0] < 128
        assert 0.1 < drawn.mean() < 0.7
        assert (drawn & seen).sum() / (drawn | seen).sum() > 0.93
