"""Painted pictures: anti-aliasing, styles, opacity, thin parts, odd sizes, nothing that is not a number."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from shapes import sphere

from tdmm.motion import default_camera
from tdmm.render.camera import Camera
from tdmm.render.drawing import Painter
from tdmm.render.options import STYLE_NAMES
from tdmm.render.styles import STYLES, Material, linear_to_srgb, srgb_to_linear, tone
from tdmm.render.surface import prepare_surface

SIZE = (96, 128)
CAMERA = Camera(default_camera(SIZE), SIZE)
AT = np.float32([0, 0, -0.6])


def painter(style: str = "clay", antialias: bool = True, **look: object) -> tuple[Painter, np.ndarray]:
    points, faces = sphere(0.1, 16, 32)
    # Stripes of four parts, so that there are part borders inside the silhouette.
    parts = ((np.arange(len(faces)) // 8) % 4).astype(np.uint8)
    look = {"part_names": ("skin", "lips", "teeth", "mouth"), "part_of_face": parts, **look}
    surface = prepare_surface(faces, len(points), subdivide=STYLES[style].subdivided, **look)  # type: ignore[arg-type]
    return Painter(surface, STYLES[style], antialias), points + AT


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b.astype(float)) ** 2)))


def averaged(picture: np.ndarray, factor: int) -> np.ndarray:
    """A picture `factor` times smaller, averaged in linear light."""
    height, width = picture.shape[0] // factor, picture.shape[1] // factor
    light = srgb_to_linear(picture / 255).reshape(height, factor, width, factor, 3).mean(axis=(1, 3))
    return np.round(255 * linear_to_srgb(light)).astype(np.uint8)


@pytest.mark.parametrize("style", ["clay", "skin"])
def test_edges_are_close_to_supersampling(style: str) -> None:
    smooth, points = painter(style)
    hard, _ = painter(style, antialias=False)
    truth = averaged(hard.paint(points, CAMERA.fitted((8 * SIZE[0], 8 * SIZE[1]))), 8)
    four = averaged(hard.paint(points, CAMERA.fitted((4 * SIZE[0], 4 * SIZE[1]))), 4)
    without, with_edges = psnr(hard.paint(points, CAMERA), truth), psnr(smooth.paint(points, CAMERA), truth)
    assert with_edges > without + 8  # the error's power is at most a sixth of that without
    assert with_edges > psnr(four, truth) - 6  # and near to that of 16 samples in every pixel


def test_antialiasing_changes_edges_only() -> None:
    smooth, points = painter()
    hard, _ = painter(antialias=False)
    changed = (smooth.paint(points, CAMERA) != hard.paint(points, CAMERA)).any(axis=-1)
    assert 0 < changed.mean() < 0.2


def test_styles_differ_and_repeat() -> None:
    pictures = {}
    for style in STYLE_NAMES:
        drawn, points = painter(style)
        pictures[style] = drawn.paint(points, CAMERA)
        np.testing.assert_array_equal(pictures[style], drawn.paint(points, CAMERA))
        np.testing.assert_array_equal(pictures[style][0, 0], STYLES[style].background)
        assert (pictures[style] != np.uint8(STYLES[style].background)).any(axis=-1).mean() > 0.2
    names = list(pictures)
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            assert np.abs(pictures[first].astype(int) - pictures[second]).mean() > 5


def test_normals_style_shows_directions() -> None:
    drawn, points = painter("normals")
    picture = drawn.paint(points, CAMERA).astype(int)
    middle = SIZE[0] // 2, SIZE[1] // 2
    np.testing.assert_allclose(picture[middle], [128, 128, 255], atol=6)
    assert picture[middle[0], middle[1] + 30, 0] > 170  # to the right: +x is red
    assert picture[middle[0] - 30, middle[1], 1] > 170  # upwards: +y is green


def test_wire_shows_lines_of_the_coarse_mesh() -> None:
    drawn, points = painter("wire")
    assert drawn.surface.matrix is None
    picture = drawn.paint(points, CAMERA.fitted((384, 512)))
    inside = picture[152:232, 216:296]
    dark = (inside.max(axis=-1) < 190).mean()
    assert 0.05 < dark < 0.4
    refined = Painter(prepare_surface(sphere(0.1, 32, 64)[1], 1986, subdivide=False), STYLES["wire"])
    finer = refined.paint(sphere(0.1, 32, 64)[0] + AT, CAMERA.fitted((384, 512)))[152:232, 216:296]
    assert (finer.max(axis=-1) < 190).mean() > 1.6 * dark  # twice as many lines


def test_opacity_mixes_in_linear_light() -> None:
    drawn, points = painter()
    background = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    kept = background.copy()
    nothing = drawn.paint(points, CAMERA, background, 0.0)
    np.testing.assert_allclose(nothing.astype(int), background, atol=1)
    full, half = drawn.paint(points, CAMERA, background), drawn.paint(points, CAMERA, background, 0.5)
    np.testing.assert_array_equal(background, kept)
    inside = np.s_[30:60, 45:80]
    np.testing.assert_array_equal(full[inside], drawn.paint(points, CAMERA)[inside])
    mixed = (srgb_to_linear(full[inside] / 255) + srgb_to_linear(background[inside] / 255)) / 2
    np.testing.assert_allclose(half[inside], 255 * linear_to_srgb(mixed), atol=2)
    np.testing.assert_array_equal(half[:, 0], background[:, 0])


def test_silhouette_is_a_mixture() -> None:
    # On a white and on a black background an edge pixel differs by what the head leaves open.
    drawn, points = painter()
    white = drawn.paint(points, CAMERA, np.full((*SIZE, 3), 255, np.uint8))
    black = drawn.paint(points, CAMERA, np.zeros((*SIZE, 3), np.uint8))
    open_share = (srgb_to_linear(white / 255) - srgb_to_linear(black / 255))[..., 0]
    levels = np.round(open_share * 8)
    np.testing.assert_allclose(open_share, levels / 8, atol=0.02)
    assert set(np.unique(levels)) == set(range(9))
    # The covered area is that of the projected sphere (as the subdivided one is: a hair smaller).
    sphere_radius = np.linalg.norm(drawn.surface.refine(points) - AT, axis=1).mean()
    radius = CAMERA.intrinsics[0, 0] * sphere_radius / np.sqrt(0.6**2 - sphere_radius**2)
    assert (1 - open_share).sum() == pytest.approx(np.pi * radius**2, rel=0.005)


def test_thin_parts_cover_their_share() -> None:
    points, faces = sphere(0.1, 16, 32)
    parts = np.zeros(len(faces), np.uint8)
    thin = replace(
        STYLES["clay"], materials={"default": replace(STYLES["clay"].materials["lashes"], opacity=0.5)}, lights=()
    )
    surface = prepare_surface(faces, len(points), part_names=("lashes",), part_of_face=parts)
    light = srgb_to_linear(
        Painter(surface, thin).paint(points + AT, CAMERA, np.full((*SIZE, 3), 255, np.uint8))[40:56, 56:72] / 255
    )
    solid = replace(thin, materials={"default": replace(thin.materials["default"], opacity=1.0)})
    alone = srgb_to_linear(Painter(surface, solid).paint(points + AT, CAMERA)[40:56, 56:72] / 255)
    np.testing.assert_allclose(light, (1 + alone) / 2, atol=0.02)


def test_texture_is_sampled_bilinearly_with_v_up() -> None:
    # A quad that fills the picture, in even light, shows the texture itself.
    corners = np.array([[-1, -1, -2], [1, -1, -2], [1, 1, -2], [-1, 1, -2]], np.float32)
    uv = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    albedo = np.zeros((2, 2, 3), np.uint8)
    albedo[0, :, 0] = (60, 250)
    albedo[1, :, 2] = (60, 250)
    surface = prepare_surface(faces, 4, uv=uv, uv_faces=faces, albedo=albedo, subdivide=False)
    even = replace(
        STYLES["skin"], materials={"default": Material((1, 1, 1))}, lights=(), sky=(0.5,) * 3, ground=(0.5,) * 3
    )
    camera = Camera(np.array([[32.0, 0, 16], [0, 32, 16], [0, 0, 1]]), (32, 32))
    light = srgb_to_linear(Painter(surface, even).paint(corners, camera) / 255)
    dark, bright = srgb_to_linear(np.array([60, 250]) / 255) / 2
    np.testing.assert_allclose(light[:8, :8].reshape(-1, 3), [[dark, 0, 0]] * 64, atol=0.01)
    np.testing.assert_allclose(light[:8, -8:].reshape(-1, 3), [[bright, 0, 0]] * 64, atol=0.01)
    np.testing.assert_allclose(light[-8:, -8:].reshape(-1, 3), [[0, 0, bright]] * 64, atol=0.01)
    # Between the texels' centres the light, not the byte, changes evenly: pixel 8.5 to 24.5 is one texel.
    share = (np.arange(8, 24) + 0.5 - 8) / 16
    np.testing.assert_allclose(light[4, 8:24, 0], dark + share * (bright - dark), atol=0.01)


def test_occlusion_darkens() -> None:
    closed, points = painter(ambient_occlusion=np.full(482, 0.2, np.float32))
    open_, _ = painter()
    assert closed.paint(points, CAMERA).mean() < open_.paint(points, CAMERA).mean() - 5


@pytest.mark.parametrize("style", STYLE_NAMES)
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (37, 51)])
def test_odd_sizes(style: str, size: tuple[int, int]) -> None:
    drawn, points = painter(style)
    picture = drawn.paint(points, CAMERA.fitted(size))
    assert picture.shape == (*size, 3)
    assert picture.dtype == np.uint8


def test_half_out_of_the_picture_through_the_camera_and_behind_it() -> None:
    drawn, points = painter()
    plain = np.uint8(STYLES["clay"].background)
    out = drawn.paint(points + np.float32([0.14, 0, 0]), CAMERA)
    whole = drawn.paint(points, CAMERA)
    covered = [(picture != plain).any(axis=-1).sum() for picture in (out, whole)]
    assert 0.1 * covered[1] < covered[0] < 0.9 * covered[1]
    for z in (0.6, 0.65, 0.7, 1.5):  # the camera on the surface, inside, and with the sphere behind it
        drawn.paint(points + np.float32([0, 0, z]), CAMERA)
    assert (drawn.paint(points + np.float32([0, 0, 1.5]), CAMERA) == plain).all()
    assert (drawn.paint(points * np.float32(np.nan), CAMERA) == plain).all()


def test_tone_is_smooth_and_bounded() -> None:
    light = np.linspace(0, 50, 5001)
    shown = tone(light)
    assert (np.diff(shown) >= 0).all()
    assert shown.max() <= 1
    np.testing.assert_array_equal(shown[light < 0.6], light[light < 0.6])
    assert np.abs(np.diff(shown, 2)).max() < 5e-4
    np.testing.assert_allclose(srgb_to_linear(linear_to_srgb(light / 50)), light / 50, atol=1e-9)
