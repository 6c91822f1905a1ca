"""Whole clips of the built-in head: views, identities, over and beside a video, grids, captions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tdmm.errors import MotionError, TdmmError
from tdmm.face import load_face_model
from tdmm.io.motion_file import write_motion
from tdmm.io.video import open_video, write_video
from tdmm.motion import FaceMotion, make_motion
from tdmm.render import RenderOptions, render, render_beside, render_grid, render_over
from tdmm.render.clip import prepare
from tdmm.render.compose import at_rate, fit_inside
from tdmm.render.options import VIEW_NAMES
from tdmm.render.styles import STYLES
from tdmm.render.text import caption_strip

SMALL = RenderOptions(size=(96, 96), style="clay")


def motion(n_frames: int = 3, text: str = "", **curves: object) -> FaceMotion:
    """The built-in head with some expressions and fields set."""
    model = load_face_model()
    expression = np.zeros((n_frames, len(model.expression_names)), np.float32)
    for name in list(curves):
        if name in model.expression_names:
            expression[:, model.expression_names.index(name)] = curves.pop(name)
    return make_motion(
        expression, model.expression_names, face_model=model.name, face_model_sha256=model.sha256, text=text, **curves
    )


def turning(n_frames: int = 9) -> FaceMotion:
    """Turns, nods and wanders about."""
    time = np.linspace(0, 2 * np.pi, n_frames)[:, None]
    return motion(
        n_frames,
        rotation=np.concatenate([0.4 * np.sin(time), 0.9 * np.cos(time), 0.3 * np.sin(2 * time)], axis=1),
        translation=np.concatenate([0.1 * np.sin(time), 0.05 * np.cos(time), -0.8 + 0.2 * np.sin(time)], axis=1),
    )


def head(picture: np.ndarray, style: str = "clay") -> np.ndarray:
    return (picture != np.uint8(STYLES[style].background)).any(axis=-1)


@pytest.mark.parametrize("name", ["mouthSmile{}", "eyeBlink{}", "browOuterUp{}", "cheekPuff"])
def test_left_is_the_subjects_left(name: str) -> None:
    options = replace(SMALL, size=(256, 256))
    rest = next(render(motion(1), options=options)).astype(int)

    def moved(expression: str) -> np.ndarray:
        return np.abs(next(render(motion(1, **{expression: 1.0}), options=options)) - rest).sum(axis=-1)

    if "{}" not in name:
        both = moved(name)
        assert both[:, 128:].sum() == pytest.approx(both[:, :128].sum(), rel=0.35)
        return
    left, right = moved(name.format("Left")), moved(name.format("Right"))
    # A face that looks at us has its left in the picture's right half.
    assert left[:, 128:].sum() > 3 * left[:, :128].sum()
    assert right[:, :128].sum() > 3 * right[:, 128:].sum()


def test_rotations_look_the_way_conventions_say() -> None:
    stage = prepare(
        motion(4, rotation=[(0, 0, 0), (0.3, 0, 0), (0, 0.3, 0), (0, 0, 0.3)]), options=RenderOptions(view="camera")
    )
    posed = stage.vertices(np.arange(4))
    nose, crown = posed[0, :, 2].argmax(), posed[0, :, 1].argmax()
    pixels = np.stack([stage.view.camera.project(points[[nose, crown]])[0] for points in posed])
    moved = pixels[1:] - pixels[0]
    assert moved[0, 0, 1] > 20  # about +x: looks down, the nose goes to lower rows
    assert moved[1, 0, 0] > 20  # about +y: to the subject's left, the picture's right
    assert moved[2, 1, 0] < -20  # about +z: towards the subject's right shoulder, the picture's left
    shown = [head(picture, "skin") for picture in stage.pictures()]
    columns = [np.nonzero(mask[np.nonzero(mask.any(axis=1))[0][0]])[0].mean() for mask in shown]
    assert columns[3] < columns[0] - 20  # and so it is painted


@pytest.mark.parametrize("view", [name for name in VIEW_NAMES if name != "camera"])
@pytest.mark.parametrize("size", [(96, 96), (60, 120), (120, 60)])
def test_views_cut_nothing_off_and_stand_still(view: str, size: tuple[int, int]) -> None:
    stage = prepare(turning(), options=RenderOptions(size=size, view=view))
    inside = []
    for frame, vertices in enumerate(stage.vertices(np.arange(len(stage.motion)))):
        xy, depth = stage.view.camera.project(stage.view.place(vertices, frame))
        assert depth.min() > 0
        inside.append((xy.min(axis=0), xy.max(axis=0)))
    lowest, highest = (np.array(side) for side in zip(*inside, strict=True))
    assert (lowest > 0).all()
    assert (highest < (size[1], size[0])).all()
    # The head fills the frame in one direction at some time of the clip (a turntable keeps room to turn).
    fill = ((highest.max(axis=0) - lowest.min(axis=0)) / (size[1], size[0])).max()
    assert fill > (0.6 if view == "turntable" else 0.85)
    if view != "turntable":
        assert len(set(stage.view.yaw.tolist())) == 1


def test_side_shows_the_left_and_three_quarter_lies_between() -> None:
    directions = []
    for view in ("front", "three-quarter", "side"):
        picture = next(render(motion(1), options=RenderOptions(size=(128, 128), view=view)))
        shown = head(picture, "skin")
        columns = np.nonzero(shown.any(axis=0))[0]
        directions.append((columns[-1] - columns[0]) / shown.any(axis=1).sum())
    assert directions[0] < directions[2]  # a head is longer than wide
    stage = prepare(motion(1), options=RenderOptions(view="side"))
    vertices = stage.vertices(np.array([0]))[0]
    nose = vertices[vertices[:, 2].argmax()]
    placed = stage.view.place(np.stack([vertices.mean(axis=0), nose]), 0)
    assert placed[1, 0] < placed[0, 0]  # seen from the subject's left, the face looks to the picture's left


def test_turntable_makes_whole_turns_at_an_even_pace() -> None:
    still = motion(50)
    stage = prepare(still, options=RenderOptions(view="turntable", size=(32, 32)))
    assert stage.view.yaw is not None
    steps = np.diff(stage.view.yaw)
    np.testing.assert_allclose(steps, steps[0])
    np.testing.assert_allclose(50 * steps[0], 2 * np.pi)


def test_camera_view_is_the_motions_own() -> None:
    from tdmm.render.raster import rasterize

    own = turning(2)
    stage = prepare(own, options=RenderOptions(view="camera", style="clay"))
    xy, depth = stage.view.camera.project(stage.vertices(np.array([1]))[0])
    expected = rasterize(xy, depth, load_face_model().faces, own.image_size).face_id >= 0
    shown = head(list(stage.pictures())[1])
    assert shown.shape == own.image_size
    # The subdivided surface has nearly the outline of the mesh.
    assert (shown & expected).sum() / (shown | expected).sum() > 0.97


def test_frames_alone_equal_the_clip_and_clips_repeat() -> None:
    clip = turning(5)
    stage = prepare(clip, options=SMALL)
    pictures = list(stage.pictures())
    for frame in (0, 3, 4):
        vertices = stage.vertices(np.array([frame]))[0]
        alone = stage.painter.paint(stage.view.place(vertices, frame), stage.view.camera)
        # Posing one frame or five at once may round differently.
        assert (np.abs(alone.astype(int) - pictures[frame]) > 2).mean() < 1e-3
    for again, picture in zip(render(clip, options=SMALL), pictures, strict=True):
        np.testing.assert_array_equal(again, picture)


def test_identities(tmp_path: Path) -> None:
    model = load_face_model()
    shape = np.zeros(model.n_shape, np.float32)
    shape[:3] = (2, -2, 1)
    own = motion(1, shape=shape)
    write_motion(own, tmp_path / "somebody.npz")

    def picture(of: FaceMotion, **options: object) -> np.ndarray:
        return next(render(of, options=replace(SMALL, **options)))

    np.testing.assert_array_equal(picture(own), picture(motion(1), identity=shape))
    np.testing.assert_array_equal(picture(own), picture(motion(1), identity=tmp_path / "somebody.npz"))
    np.testing.assert_array_equal(picture(own, identity="mean"), picture(motion(1)))
    np.testing.assert_array_equal(picture(own, identity="random"), picture(own, identity="random"))
    different = picture(own), picture(own, identity="mean"), *(picture(own, identity="random", seed=s) for s in (0, 1))
    for i, first in enumerate(different):
        for second in different[i + 1 :]:
            assert (first != second).any()
    for wrong in ("nobody.npz", np.zeros((2, 3)), np.zeros(model.n_shape + 1)):
        with pytest.raises(TdmmError, match="identity"):
            render(own, options=replace(SMALL, identity=wrong))


def test_fps_and_lengths() -> None:
    clip = turning(11)  # 10 steps at 25 fps: 0.4 s
    for fps, expected in ((None, 11), (50.0, 21), (10.0, 5)):
        pictures = render(clip, options=replace(SMALL, fps=fps))
        assert pictures.fps == (fps or 25)
        assert pictures.n_frames == len(list(pictures)) == expected


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten frames at 25 fps, 64 x 80: frame k is grey 20 k."""
    path = tmp_path_factory.mktemp("video") / "grey.mp4"
    write_video((np.full((64, 80, 3), 20 * k, np.uint8) for k in range(10)), path, 25, crf=5)
    return path


def over_a_head(n_frames: int = 10, **fields: object) -> FaceMotion:
    return motion(n_frames, image_size=(64, 80), **fields)


def test_over_a_video(video: Path) -> None:
    with open_video(video) as reader:
        frames = [frame.image for frame in reader]
    clip = over_a_head()
    plain = list(render(clip, options=RenderOptions(view="camera", style="clay")))
    for opacity in (0.0, 0.6, 1.0):
        pictures = render_over(clip, video, options=RenderOptions(style="clay", opacity=opacity, view="side"))
        shown = list(pictures)
        assert (pictures.fps, pictures.n_frames, len(shown)) == (25, 10, 10)
        inside = np.s_[30:36, 36:44]
        for k, picture in enumerate(shown):
            assert picture.shape == (64, 80, 3)
            np.testing.assert_array_equal(picture[:, :5], frames[k][:, :5])
            if opacity == 0:
                np.testing.assert_allclose(picture.astype(int), frames[k], atol=1)
            elif opacity == 1:
                np.testing.assert_array_equal(picture[inside], plain[k][inside])
            else:
                low = np.minimum(frames[k], plain[k]).astype(int)
                high = np.maximum(frames[k], plain[k])
                assert (picture[inside] >= low[inside] - 1).all()
                assert (picture[inside] <= high[inside] + 1).all()


def test_over_shows_no_head_where_none_was_seen(video: Path) -> None:
    valid = np.ones(6, bool)
    valid[2] = False
    clip = over_a_head(6, valid=valid)
    with open_video(video) as reader:
        frames = [frame.image for frame in reader]
    shown = list(render_over(clip, video, options=RenderOptions(opacity=1.0)))
    bare = [bool((picture == frame).all()) for picture, frame in zip(shown, frames, strict=True)]
    # Invalid at 2; after the motion's end (a frame of grace) there is no head either.
    assert bare == [False, False, True, False, False, False, False, True, True, True]


def test_over_matches_by_timestamps_and_resamples(video: Path) -> None:
    # A motion that starts 0.2 s late, at twice the rate.
    clip = over_a_head(10, timestamps=0.2 + np.arange(10) / 50, fps=50)
    shown = list(render_over(clip, video, options=RenderOptions(opacity=1.0, fps=12.5)))
    assert len(shown) == 5
    with_head = [bool(np.ptp(picture.astype(int), axis=(0, 1)).max() > 20) for picture in shown]
    assert with_head == [False, False, False, True, True]


def test_beside_a_video(video: Path) -> None:
    pictures = list(render_beside(over_a_head(), video, options=RenderOptions(style="clay")))
    assert {picture.shape for picture in pictures} == {(64, 80 + 64, 3)}
    with open_video(video) as reader:
        for picture, frame in zip(pictures, reader, strict=True):
            np.testing.assert_array_equal(picture[:, :80], frame.image)
    assert head(pictures[0][:, 80:]).mean() > 0.2
    large = next(render_beside(over_a_head(), video, options=RenderOptions(size=(128, 100), view="front")))
    assert large.shape == (128, 160 + 100, 3)


def test_grid_of_motions_with_labels() -> None:
    clips = [motion(2, text="smiles", mouthSmileLeft=1.0, mouthSmileRight=1.0), motion(4, jawOpen=0.6), motion(3)]
    options = replace(SMALL, size=(64, 64))
    grid = render_grid(clips, ["a", "b", "c"], options=options)
    pictures = list(grid)
    assert grid.n_frames == len(pictures) == 4
    height = pictures[0].shape[0]
    assert pictures[0].shape[1] == 2 * 64 + 4
    alone = [list(render(clip, options=replace(options, caption=False))) for clip in clips]
    row = (height + 4) // 2
    for k, picture in enumerate(pictures):
        np.testing.assert_array_equal(picture[:64, :64], alone[0][min(k, 1)])  # ends early: stands still
        np.testing.assert_array_equal(picture[:64, 68:], alone[1][k])
        np.testing.assert_array_equal(picture[row : row + 64, :64], alone[2][min(k, 2)])
        assert not head(picture[row:, 68:]).any()
        assert head(picture[64 : row - 4, :64]).any()  # a label
    assert next(render_grid(clips, ["a", "b", "c"], options=options, columns=3)).shape[1] == 3 * 64 + 8
    with pytest.raises(TdmmError, match="label"):
        render_grid(clips, ["a"], options=options)


def test_captions_stand_below_the_picture() -> None:
    worded = motion(2, text="raises the brows, then smiles at the camera for a long while")
    plain = next(render(worded, options=replace(SMALL, caption=False)))
    picture = next(render(worded, options=SMALL))
    np.testing.assert_array_equal(picture[:96], plain)
    strip = picture[96:]
    assert len(strip) > 12
    assert len(strip) % 2 == 0
    assert head(strip).any()
    assert next(render(motion(1, text="  "), options=SMALL)).shape == plain.shape


def test_captions_wrap_and_end() -> None:
    short = caption_strip("nods", 200, 200, (255, 255, 255))
    long = caption_strip("nods and " * 12, 200, 200, (255, 255, 255))
    endless = caption_strip("nods and " * 400, 200, 200, (255, 255, 255))
    one_word = caption_strip("x" * 300, 60, 60, (0, 0, 0))
    assert short.shape[0] < long.shape[0] <= endless.shape[0] < 200
    assert one_word.shape[1] == 60
    for strip in (short, long, endless, one_word):
        assert (strip[:, :2] == strip[0, 0]).all()  # nothing runs over the edge
        assert (strip[:, -2:] == strip[0, 0]).all()
        assert (strip != strip[0, 0]).any()


def test_background() -> None:
    picture = next(render(motion(1), options=replace(SMALL, background=(1, 200, 3))))
    np.testing.assert_array_equal(picture[0, 0], (1, 200, 3))


def test_refusals() -> None:
    other = make_motion(np.zeros((1, 2)), ["a", "b"], face_model="flame-2023", face_model_sha256="123")
    with pytest.raises(MotionError, match="flame-2023"):
        render(other)
    for wrong in (
        {"style": "marble"},
        {"view": "above"},
        {"size": (0, 10)},
        {"fps": 0.0},
        {"opacity": 1.5},
        {"background": (0, 0, 256)},
    ):
        with pytest.raises(TdmmError, match=next(iter(wrong))):
            RenderOptions(**wrong)


def test_other_face_models_without_appearance() -> None:
    """A model of points and triangles only, such as FLAME or ICT-FaceKit, gets the default material."""
    model = load_face_model()

    class Bare:
        def __getattr__(self, name: str) -> object:
            return getattr(model, name)

        from tdmm.face.model import Appearance

        appearance = Appearance()

    for style in ("skin", "clay"):
        picture = next(render(motion(1), face_model=Bare(), options=replace(SMALL, style=style)))  # type: ignore[arg-type]
        assert head(picture, style).mean() > 0.2


def test_frames_at_another_rate() -> None:
    from tdmm.io.video import VideoFrame

    blank = np.zeros((1, 1, 3), np.uint8)

    def shown(times: list[float], rate: float) -> list[int]:
        return [f.index for f in at_rate(iter([VideoFrame(i, t, blank) for i, t in enumerate(times)]), rate)]

    even = [k / 30 for k in range(6)]
    assert shown(even, 30) == [0, 1, 2, 3, 4, 5]
    assert shown([t + 7 for t in even], 30) == [0, 1, 2, 3, 4, 5]
    assert shown(even, 60) == sorted(list(range(6)) * 2) or len(shown(even, 60)) == 12
    assert shown(even, 15) == [0, 2, 4]
    assert shown([0, 0.04, 0.2, 0.24], 25) == [0, 1, 1, 2, 2, 2, 3] or len(shown([0, 0.04, 0.2, 0.24], 25)) == 7
    assert shown([0.0], 25) == [0]


def test_fitting_a_picture_centres_it_on_black() -> None:
    image = np.full((20, 40, 3), 200, np.uint8)
    fitted = fit_inside(image, (80, 80))
    assert (fitted[20:60] == 200).all()
    assert (fitted[:20] == 0).all()
    assert (fitted[60:] == 0).all()
    assert fit_inside(image, (20, 40)) is image
