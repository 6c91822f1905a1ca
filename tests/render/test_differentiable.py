"""The differentiable renderer: gradients against finite differences, compiled loops against their torch twins."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from shapes import sphere

from tdmm.face import load_face_model
from tdmm.motion import DEFAULT_TRANSLATION, default_camera
from tdmm.render.antialias import Crossings, antialias, find_crossings, find_crossings_torch, mesh_edges
from tdmm.render.backends import rasterize_numba
from tdmm.render.camera import Camera
from tdmm.render.clip import surface_of
from tdmm.render.differentiable import DifferentiableMesh, render_differentiable, style_lights
from tdmm.render.interpolation import barycentrics_from_rays, covered_pixels, interpolate, interpolate_torch, pixel_rays
from tdmm.render.styles import STYLES, material_table
from tdmm.render.surface import prepare_surface
from tdmm.render.torch_geometry import project, vertex_normals, vertex_normals_torch
from tdmm.render.torch_shading import sample_texture, shade_pixels, shade_pixels_torch, unit

AWAY = torch.tensor([0.0, 0.0, -0.75])


@pytest.fixture(autouse=True)
def one_torch_thread() -> Iterator[None]:
    """At these sizes torch's threads cost more than they do, most of all on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def square_camera(side: int) -> Camera:
    return Camera(default_camera((side, side)), (side, side))


def ball(rings: int = 40, sectors: int = 60) -> tuple[torch.Tensor, DifferentiableMesh]:
    """A flattened ball in front of the camera: vertices (1, V, 3), mesh."""
    vertices, faces = sphere(0.1, rings, sectors)
    mesh = DifferentiableMesh.of_surface(prepare_surface(faces, len(vertices), subdivide=False))
    return torch.from_numpy(vertices * np.float32((0.8, 1.0, 0.9)))[None] + AWAY, mesh


def head() -> tuple[torch.Tensor, DifferentiableMesh]:
    model = load_face_model()
    rest = torch.zeros(1, len(model.expression_names))
    vertices = model.vertices(torch.zeros(0), rest, translation=torch.tensor([DEFAULT_TRANSLATION]))
    return vertices, DifferentiableMesh.of_surface(surface_of(model, subdivide=False))


def moved(vertices: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
    """Vertices shifted (x, y; decimetres), scaled (log) and turned in the picture (radians) by a vector (4,)."""
    centre = vertices.mean(1, keepdim=True)
    x, y, z = ((vertices - centre) * torch.exp(by[2])).unbind(-1)
    cosine, sine = torch.cos(by[3]), torch.sin(by[3])
    turned = torch.stack([cosine * x - sine * y, sine * x + cosine * y, z], dim=-1)
    return turned + centre + torch.cat([0.1 * by[:2], torch.zeros(1)])


def central_differences(loss: Callable[[torch.Tensor], torch.Tensor], size: int, step: float) -> torch.Tensor:
    with torch.no_grad():
        return torch.stack([(loss(step * axis) - loss(-step * axis)) / (2 * step) for axis in torch.eye(size)])


@pytest.mark.parametrize(("scene", "side"), [(ball, 1024), (head, 2048)])
def test_silhouette_gradient_is_within_one_per_cent_of_finite_differences(scene, side) -> None:
    # A picture so large, and a step that moves silhouettes by several pixels, that the differences measure the area
    # and not the way it is sampled.
    vertices, mesh = scene()
    camera, lights = square_camera(side), style_lights()
    row, column = torch.meshgrid(*[(torch.arange(side) + 0.5) / side] * 2, indexing="ij")
    weight = (torch.sin(5 * column + 1) * torch.cos(4 * row) + 0.5 * column).double() / side**2

    def loss(by: torch.Tensor) -> torch.Tensor:
        picture = render_differentiable(moved(vertices, by), mesh, camera, lights, srgb=False)
        return (picture.alpha[0] * weight).sum()

    at = torch.zeros(4, requires_grad=True)
    loss(at).backward()
    expected = central_differences(loss, 4, 5e-3)
    assert expected.abs().min() > 0.01
    np.testing.assert_allclose(at.grad, expected, rtol=0.01)


def test_interior_gradient_of_interpolation_equals_finite_differences() -> None:
    # Inside the silhouette, where a pixel keeps its triangle, interpolation is smooth: float64, small steps.
    vertices, mesh = ball(8, 10)
    camera = square_camera(48)
    xy, depth = project(vertices, camera)
    fragments = rasterize_numba(xy, depth, mesh.faces, camera.image_size)
    pixels = covered_pixels(fragments.face_id, fragments.barycentric)
    assert len(pixels.index) > 300
    intrinsics = torch.from_numpy(camera.intrinsics)
    generator = torch.Generator().manual_seed(1)
    attributes = torch.rand(1, vertices.shape[1], 4, generator=generator, dtype=torch.float64)
    weight = torch.rand(len(pixels.index), 4, generator=generator, dtype=torch.float64)
    precise = vertices.double()
    rays = pixel_rays(pixels, intrinsics).double()
    corners = mesh.faces[pixels.face]

    def loss(points: torch.Tensor) -> torch.Tensor:
        flipped = points[0][corners] * torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64)
        values = (attributes[0][corners] * barycentrics_from_rays(flipped, rays)[..., None]).sum(1)
        return (values * weight).sum()

    fast = vertices.clone().requires_grad_()
    (interpolate(fast, attributes.float(), mesh.faces, pixels, intrinsics) * weight).sum().backward()
    for _ in range(5):
        direction = torch.randn(vertices.shape, generator=generator, dtype=torch.float64)
        expected = (loss(precise + 1e-7 * direction) - loss(precise - 1e-7 * direction)) / 2e-7
        found = (fast.grad.double() * direction).sum()
        # Relative to what random directions give: the sum of many terms of either sign may itself be small.
        assert abs(float(found - expected)) < 1e-3 * float(fast.grad.norm())


def test_colour_and_light_gradients_equal_finite_differences() -> None:
    vertices, mesh = ball()
    camera = square_camera(64)
    generator = torch.Generator().manual_seed(2)
    colours = 0.2 + 0.6 * torch.rand(vertices.shape[1], 3, generator=generator)  # away from sRGB's steep start
    lights = style_lights()
    target = torch.rand(1, 64, 64, 3, generator=generator)

    def loss(colours: torch.Tensor, lights: torch.Tensor) -> torch.Tensor:
        picture = render_differentiable(vertices, mesh, camera, lights, colours=colours)
        return (picture.image - target).double().square().sum()

    leaves = colours.clone().requires_grad_(), lights.clone().requires_grad_()
    loss(*leaves).backward()
    for number, leaf in enumerate(leaves):
        for _ in range(3):
            direction = torch.randn(leaf.shape, generator=generator)
            if number == 1:
                direction[-2:, :3] = 0  # sky and ground have no direction
            ends = []
            for sign in (1, -1):
                values = [colours, lights]
                values[number] = values[number] + sign * 2e-3 * direction
                ends.append(loss(*values))
            expected = float(ends[0] - ends[1]) / 4e-3
            found = float((leaf.grad * direction).sum())
            # The right side is what a random direction typically gives.
            assert abs(found - expected) < 0.01 * float(leaf.grad.norm() * direction.norm()) / math.sqrt(leaf.numel())


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found.double() - expected.double()).norm() / expected.double().norm())


def test_compiled_interpolation_equals_torch() -> None:
    vertices, mesh = ball(14, 20)
    vertices = torch.cat([vertices, vertices + torch.tensor([0.03, 0.02, 0.05])])
    camera = square_camera(40)
    xy, depth = project(vertices, camera)
    fragments = rasterize_numba(xy, depth, mesh.faces, camera.image_size)
    pixels = covered_pixels(fragments.face_id, fragments.barycentric)
    assert set(pixels.item.tolist()) == {0, 1}
    generator = torch.Generator().manual_seed(3)
    attributes = torch.rand(30, 5, generator=generator)
    attribute_faces = torch.randint(0, 30, mesh.faces.shape, generator=generator)
    weight = torch.rand(len(pixels.index), 5, generator=generator)
    intrinsics = torch.from_numpy(camera.intrinsics)
    results = []
    for function, dtype in ((interpolate, torch.float32), (interpolate_torch, torch.float64)):
        leaves = [tensor.to(dtype, copy=True).requires_grad_() for tensor in (vertices, attributes)]
        values = function(leaves[0], leaves[1], mesh.faces, pixels, intrinsics, attribute_faces)
        (values * weight).sum().backward()
        results.append((values.detach(), leaves[0].grad, leaves[1].grad))
    for found, expected in zip(*results, strict=True):
        assert relative(found, expected) < 2e-3


def test_compiled_normals_equal_torch() -> None:
    vertices, mesh = ball(10, 12)
    weight = torch.rand(vertices.shape, generator=torch.Generator().manual_seed(4))
    results = []
    for function, dtype in ((vertex_normals, torch.float32), (vertex_normals_torch, torch.float64)):
        leaf = vertices.to(dtype, copy=True).requires_grad_()
        normals = function(leaf, mesh.faces)
        (normals * weight).sum().backward()
        results.append((normals.detach(), leaf.grad))
    for found, expected in zip(*results, strict=True):
        assert relative(found, expected) < 1e-4


@pytest.mark.parametrize("srgb", [True, False])
def test_compiled_shading_equals_torch(srgb: bool) -> None:
    generator = torch.Generator().manual_seed(5)
    rand, randn = (lambda *s: torch.rand(*s, generator=generator)), (lambda *s: torch.randn(*s, generator=generator))
    n = 500
    names = tuple(STYLES["skin"].materials)
    materials = torch.from_numpy(material_table(STYLES["skin"], names))
    part = torch.randint(0, len(names), (n,), generator=generator)
    view = unit(0.2 * randn(n, 3) + torch.tensor([0, 0, 1.0]))
    inputs = randn(n, 3) + torch.tensor([0, 0, 1.0]), rand(n, 3), rand(n), style_lights()
    weight = randn(n, 3)
    results = []
    for function, dtype in ((shade_pixels, torch.float32), (shade_pixels_torch, torch.float64)):
        normals, albedo, openness, lights = (tensor.to(dtype, copy=True).requires_grad_() for tensor in inputs)
        out = function(normals, view.to(dtype), albedo, openness, materials.to(dtype), part, lights, srgb=srgb)
        (out * weight).sum().backward()
        results.append((out.detach(), normals.grad, albedo.grad, openness.grad, lights.grad))
    for found, expected in zip(*results, strict=True):
        assert relative(found, expected) < 1e-4


def test_an_edge_blends_by_the_share_that_it_covers() -> None:
    # A rectangle from (2.3, 1.6) to (6.8, 4.9) pixels on black: coverage of edge pixels is known.
    xy = torch.tensor([[[2.3, 1.6], [6.8, 1.6], [6.8, 4.9], [2.3, 4.9]]], requires_grad=True)
    faces = torch.tensor([[0, 2, 1], [0, 3, 2]])
    depth = torch.ones(1, 4)
    fragments = rasterize_numba(xy, depth, faces, (7, 9))
    image = (fragments.face_id >= 0).float()[..., None]
    crossings = find_crossings(xy, depth, faces, mesh_edges(faces.numpy()), fragments.depth)
    smooth = antialias(image, xy, crossings, fragments.depth)[0, :, :, 0]
    np.testing.assert_allclose(smooth[3].detach(), [0, 0, 0.7, 1, 1, 1, 0.8, 0, 0], atol=1e-5)
    np.testing.assert_allclose(smooth[:, 4].detach(), [0, 0.4, 1, 1, 0.9, 0, 0], atol=1e-5)
    # The right side moved by one pixel covers as many pixels more as it has rows of centres.
    smooth.sum().backward()
    np.testing.assert_allclose(xy.grad[0, 1:3, 0].sum(), 3.0, rtol=1e-4)
    np.testing.assert_allclose(xy.grad[0, [0, 3], 0].sum(), -3.0, rtol=1e-4)


def test_hidden_edges_are_not_blended() -> None:
    # A small square behind a large one, and the same in front of it.
    def square(low: float, high: float) -> list[list[float]]:
        return [[low, low], [high, low], [high, high], [low, high]]

    xy = torch.tensor([square(1.2, 14.7) + square(5.3, 10.6)])
    faces = torch.tensor([[0, 2, 1], [0, 3, 2], [4, 6, 5], [4, 7, 6]])
    edges = mesh_edges(faces.numpy())
    for depths, n_sides in (((1.0, 1.5), 1), ((1.5, 1.0), 2)):
        depth = torch.tensor([[depths[0]] * 4 + [depths[1]] * 4])
        fragments = rasterize_numba(xy, depth, faces, (16, 16))
        crossings = find_crossings(xy, depth, faces, edges, fragments.depth)
        small = crossings.start >= 4
        assert bool(small.any()) == (n_sides == 2)
        assert int((~small).sum()) > 40


@pytest.mark.parametrize("cull", [True, False])
def test_compiled_crossings_equal_torch(cull: bool) -> None:
    vertices, mesh = head()
    turned = moved(vertices, torch.tensor([0.2, 0.1, 0.1, 0.7]))
    camera = square_camera(128)
    xy, depth = project(torch.cat([vertices, turned]), camera)
    fragments = rasterize_numba(xy, depth, mesh.faces, camera.image_size, cull)
    arguments = xy, depth, mesh.faces, mesh.edges, fragments.depth
    compiled, torch_ = find_crossings(*arguments, cull=cull), find_crossings_torch(*arguments, cull=cull)

    def as_set(crossings: Crossings) -> set[tuple[float, ...]]:
        columns = [getattr(crossings, name).double() for name in Crossings.__dataclass_fields__]
        return set(map(tuple, torch.stack(columns, dim=1).tolist()))

    found, expected = as_set(compiled), as_set(torch_)
    assert len(expected) > 500
    # Where two crossings or depths are equal but for rounding, either may be taken.
    assert len(found ^ expected) <= 0.005 * len(expected)


def test_mesh_edges_of_a_fan() -> None:
    # Three triangles round vertex 0 share two edges; a fourth on edge (0, 2) makes it an edge of three.
    faces = np.array([[0, 1, 2], [0, 2, 3], [0, 3, 4], [2, 0, 5]])
    edges = mesh_edges(faces, np.array([0, 0, 1, 0]))
    of = {
        tuple(ends): (sorted(pair), seam)
        for ends, pair, seam in zip(edges.vertices.tolist(), edges.faces.tolist(), edges.seam.tolist(), strict=True)
        if -1 not in pair
    }
    assert of == {(0, 2): ([0, 1], False), (0, 3): ([1, 2], True)}
    assert (edges.faces[:, 1] < 0).sum() == 4 * 3 - 2 * 2
    for ends, pair, third in zip(edges.vertices, edges.faces, edges.opposite, strict=True):
        for face, vertex in zip(pair, third, strict=True):
            if face >= 0:
                assert sorted([*ends.tolist(), int(vertex)]) == sorted(faces[int(face)].tolist())


def test_batch_equals_loop_and_empty_pictures_work() -> None:
    vertices, mesh = ball(16, 24)
    batch = torch.cat([vertices, vertices + torch.tensor([0.04, -0.02, 0.1]), vertices + torch.tensor([9.0, 0, 0])])
    camera, lights = square_camera(48), style_lights()
    background = torch.tensor([0.1, 0.2, 0.3])
    together = render_differentiable(batch, mesh, camera, lights, background=background)
    for i in range(3):
        alone = render_differentiable(batch[i : i + 1], mesh, camera, lights, background=background)
        np.testing.assert_allclose(together.image[i], alone.image[0], atol=1e-6)
        np.testing.assert_allclose(together.alpha[i], alone.alpha[0], atol=1e-6)
    assert together.alpha[2].max() == 0
    assert together.alpha[:2].amax() == 1


def test_texture_lookup_and_its_gradient_reach_the_texture() -> None:
    vertices, faces = sphere(0.1, 16, 24)
    uv = np.stack([np.arctan2(vertices[:, 0], vertices[:, 2]) / np.pi + 0.5, vertices[:, 1] * 5 + 0.5], axis=1)
    albedo = np.zeros((8, 8, 3), np.uint8)
    surface = prepare_surface(
        faces, len(vertices), uv=uv.astype(np.float32), uv_faces=faces, albedo=albedo, subdivide=False
    )
    mesh = DifferentiableMesh.of_surface(surface)
    texture = torch.rand(8, 8, 3, generator=torch.Generator().manual_seed(6)).requires_grad_()
    placed = (torch.from_numpy(vertices)[None] + AWAY).requires_grad_()
    picture = render_differentiable(placed, mesh, square_camera(64), style_lights(), texture=texture)
    picture.image.square().sum().backward()
    assert texture.grad.abs().sum() > 0
    assert torch.isfinite(placed.grad).all()
    # Row 0 lies at v = 1, texels are read at their centres.
    centres = torch.tensor([[0.5 / 8, 1 - 2.5 / 8], [7.5 / 8, 1 - 0.5 / 8]])
    np.testing.assert_allclose(sample_texture(texture, centres).detach(), texture[[2, 0], [0, 7]].detach(), atol=1e-6)


def test_a_pose_is_found_again_from_a_picture() -> None:
    vertices, mesh = head()
    camera, lights = square_camera(96), style_lights()
    truth = torch.tensor([0.12, -0.08, 0.05, 0.1])
    with torch.no_grad():
        target = render_differentiable(moved(vertices, truth), mesh, camera, lights).image
    by = torch.zeros(4, requires_grad=True)
    optimizer = torch.optim.Adam([by], lr=0.02)
    for step in range(60):
        optimizer.param_groups[0]["lr"] = 0.02 * (1 - step / 60)
        optimizer.zero_grad()
        (render_differentiable(moved(vertices, by), mesh, camera, lights).image - target).square().mean().backward()
        optimizer.step()
    assert float((by.detach() - truth).abs().max()) < 5e-3
