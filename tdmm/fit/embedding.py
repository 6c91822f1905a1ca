"""Where a detector's landmarks lie on a face model's mesh: render many faces, detect, and see what moves along.

For every landmark the place on the mesh is sought that explains best where the detector saw it over all pictures, in
which identity, expression, view and gaze vary. The pictures hold open and closed mouths and eyes, so that an upper
lip's landmark can only be explained by a point of the upper lip. What remains unexplained is the landmark's sigma,
in metres.
The five iris points of each eye are placed by geometry, on the front of the eyeball.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from tdmm.errors import FaceModelError
from tdmm.face.model import FaceModel, LandmarkEmbedding
from tdmm.face.scheme import IRISES, N_FACE_POINTS
from tdmm.face.topology import fit_sphere, pieces
from tdmm.fit.controls import Controls, controls_of
from tdmm.fit.detect import Detector, open_detector
from tdmm.motion import default_camera
from tdmm.render.camera import Camera
from tdmm.render.clip import surface_of
from tdmm.render.drawing import Painter
from tdmm.render.styles import STYLES

# A human iris (Rüfer et al., Cornea 2005: 11.7 mm across), where the model does not draw one of its own.
IRIS_RADIUS = 0.00585
# Metres beyond which a miss of the detector counts hardly more: larger than a lid's way from open to closed.
FORGIVEN = 0.012


@dataclass(frozen=True)
class EmbeddingOptions:
    """pictures: how many faces to render; size: their side in pixels; identity: spread of the coefficients.

    yaw, pitch, roll: spread of the view, degrees (uniform, both ways). active: controls moved at a time.
    candidates: vertices that are looked at closely for each landmark.
    """

    pictures: int = 500
    size: int = 288
    identity: float = 0.7
    yaw: float = 30.0
    pitch: float = 18.0
    roll: float = 8.0
    active: int = 5
    candidates: int = 24
    seed: int = 0


@dataclass(frozen=True)
class Sightings:
    """Rendered faces and what the detector saw of them; N pictures.

    vertices: (N, V, 2) pixels. seen: (N, L, 2) pixels. metres: (N,) metres per pixel at the head.
    controls: (N, C) that were shown. points: (N, V, 3) in the head frame, before the view was applied.
    """

    vertices: np.ndarray
    seen: np.ndarray
    metres: np.ndarray
    controls: np.ndarray


def derive_embedding(
    model: FaceModel, *, options: EmbeddingOptions | None = None, detector: Detector | None = None
) -> LandmarkEmbedding:
    """The embedding of the detector's landmarks in a face model's mesh; about a minute on two cores.

    Raises `FaceModelError` if the detector sees no face in the renders, `MissingPartError` without a detector.
    """
    options = options or EmbeddingOptions()
    detector = detector or open_detector()
    sightings = render_and_detect(model, options, detector)
    skin, eyeballs = skin_and_eyeballs(model)
    face, barycentric, sigma = place_on_mesh(sightings, model.faces, skin, options.candidates)
    if sightings.seen.shape[1] > N_FACE_POINTS and len(eyeballs) == 2:
        for eyeball in eyeballs:
            _place_iris(model, sightings, eyeball, face, barycentric, sigma)
    return LandmarkEmbedding(face, barycentric.astype(np.float32), sigma.astype(np.float32), detector.scheme)


def render_and_detect(model: FaceModel, options: EmbeddingOptions, detector: Detector) -> Sightings:
    """Faces drawn at random from `options.seed`, each rendered and shown to the detector as a picture of its own."""
    controls = controls_of(model)
    random = np.random.default_rng(options.seed)
    values = random_controls(controls, options.pictures, options.active, random)
    shape = options.identity * random.standard_normal((options.pictures, model.n_shape))
    angles = np.radians([options.pitch, options.yaw, options.roll]) * random.uniform(-1, 1, (options.pictures, 3))
    camera = Camera(default_camera((options.size, options.size)), (options.size, options.size))
    painter = Painter(surface_of(model), STYLES["skin"])
    focal = camera.intrinsics[0, 0]
    vertices, seen, metres, kept = [], [], [], []
    for number in range(options.pictures):
        posed = _pose(model, controls, shape[number], values[number], angles[number])
        middle, distance = _framing(posed, focal, options.size)
        placed = posed - middle - np.array([0, 0, distance], np.float32)
        grey = np.full((options.size, options.size, 3), random.integers(40, 216), np.uint8)
        picture = painter.paint(placed, camera, grey)
        detector.reset()
        found = detector.detect(picture, 0.0)
        if not found:
            continue
        vertices.append(camera.project(placed)[0])
        seen.append(found[0].points[:, :2])
        metres.append(distance / focal)
        kept.append(number)
    detector.reset()
    if len(kept) < options.pictures / 4:
        raise FaceModelError(
            f"{model.name}: the face detector found a face in {len(kept)} of {options.pictures} renders; "
            "is the model's front along +z, in metres?"
        )
    return Sightings(np.stack(vertices), np.stack(seen), np.array(metres, np.float32), values[kept])


def random_controls(controls: Controls, count: int, active: int, random: np.random.Generator) -> np.ndarray:
    """(count, C) control values: a few at a time, half of them at the end of their range; one picture in ten at rest.

    A control of one side usually comes with the same of the other side, as faces do and detectors expect.
    """
    values = random.uniform(controls.lower, controls.upper, (count, len(controls)))
    full = random.random(values.shape) < 0.5
    values = np.where(full & controls.one_sided, controls.upper, values)
    n_statistical = int(np.sum(~controls.one_sided & (controls.sigma == 1)))
    order = random.random(values.shape).argsort(1)
    values[order >= active + n_statistical // 4] = 0
    for left, name in enumerate(controls.names):
        if name.endswith("Left") and (partner := name[:-4] + "Right") in controls.names:
            right = controls.names.index(partner)
            both = random.random(count) < 0.7
            values[both, left] = values[both, right] = np.maximum(values[both, left], values[both, right])
    values[::10] = 0
    for first, second in controls.capped:
        values[:, first] = np.minimum(values[:, first], 1 - values[:, second])
    return values.astype(np.float32)


def _pose(
    model: FaceModel, controls: Controls, shape: np.ndarray, values: np.ndarray, angles: np.ndarray
) -> np.ndarray:
    tensor = lambda array: torch.as_tensor(array, dtype=torch.float32)[None]  # noqa: E731
    with torch.inference_mode():
        return model.vertices(
            tensor(shape)[0],
            tensor(values @ controls.to_expression),
            rotation=tensor(angles),
            jaw_pose=tensor(values @ controls.to_jaw) if model.joints.jaw else None,
            eyes_pose=tensor(values @ controls.to_eyes) if model.joints.eyes else None,
        )[0].numpy()


def _framing(vertices: np.ndarray, focal: float, size: int) -> tuple[np.ndarray, float]:
    """What to move to the picture's middle, and the distance at which the head fills nine tenths of its height."""
    low, high = vertices.min(0), vertices.max(0)
    middle = (low + high) / 2
    return middle.astype(np.float32), float(focal * (high - low)[:2].max() / (0.9 * size))


# -- the mesh's parts ---------------------------------------------------------------------------------


def skin_and_eyeballs(model: FaceModel) -> tuple[np.ndarray, list[np.ndarray]]:
    """Vertex indices of the skin, and of the two eyeballs (none if they cannot be told), by connectedness.

    The skin is the piece with most vertices. The eyeballs are the two mirrored pieces of the others that fill a sphere
    best; a shell around them (a cornea, an occluder) is of the same kind, and the one further out is taken.
    """
    piece = pieces(model.faces, model.n_vertices)
    sizes = np.bincount(piece)
    skin = np.flatnonzero(piece == sizes.argmax())
    with torch.inference_mode():
        rest = model.vertices(torch.zeros(0), torch.zeros(1, len(model.expression_names)))[0].numpy()
    eyeballs = []
    for side in (1, -1):
        found = []
        for number in np.flatnonzero((sizes >= 30) & (sizes < sizes.max())):
            indices = np.flatnonzero(piece == number)
            centre, radius, miss = fit_sphere(rest[indices])
            # Human eyeballs are 24 mm across, and round, which a row of lashes is not.
            whole = np.all(np.ptp(rest[indices], axis=0) > 1.2 * radius)
            if whole and 0.008 < radius < 0.020 and miss < 0.15 * radius and side * centre[0] > 0.01:
                found.append((rest[indices, 2].max(), indices))
        if found:
            eyeballs.append(max(found, key=lambda pair: pair[0])[1])
    return skin, eyeballs if len(eyeballs) == 2 else []


# -- the search ---------------------------------------------------------------------------------------


def place_on_mesh(
    sightings: Sightings, faces: np.ndarray, allowed: np.ndarray, n_candidates: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Triangle (L,), barycentrics (L, 3) and sigma (L,) metres of each landmark, on the allowed vertices' triangles."""
    seen = sightings.seen * sightings.metres[:, None, None]  # metres in the picture plane
    shown = sightings.vertices * sightings.metres[:, None, None]
    trust = _picture_trust(shown[:, allowed], seen)
    inside = np.isin(faces, allowed).all(1)
    touching = _faces_of_vertices(np.where(inside[:, None], faces, -1), shown.shape[1])
    nearest = _nearest_vertices(shown, seen, trust, allowed, n_candidates)
    n_points = seen.shape[1]
    face = np.empty(n_points, np.int64)
    barycentric = np.empty((n_points, 3))
    sigma = np.empty(n_points)
    for point in range(n_points):
        near = np.unique(np.concatenate([touching[vertex] for vertex in nearest[point]]))
        corners = shown[:, faces[near]].transpose(1, 0, 2, 3)  # (n, N, 3, 2)
        weights, spread = _fit_in_triangles(corners, seen[:, point], trust)
        best = spread.argmin()
        face[point], barycentric[point], sigma[point] = near[best], weights[best], spread[best]
    return face, barycentric, sigma


def _picture_trust(shown: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """(N,) 1 for pictures in which the detector found the face itself, 0 where its points lie elsewhere."""
    low, high = shown.min(1), shown.max(1)
    middle, size = seen.mean(1), np.linalg.norm(seen.max(1) - seen.min(1), axis=1)
    usual = np.median(size)
    inside = np.all((middle > low) & (middle < high), axis=1)
    return (inside & (size > 0.7 * usual) & (size < 1.4 * usual)).astype(np.float64)


def _nearest_vertices(
    shown: np.ndarray, seen: np.ndarray, trust: np.ndarray, allowed: np.ndarray, count: int
) -> np.ndarray:
    """(L, count) the allowed vertices that keep nearest to each landmark, by a loss that forgives a few misses."""
    n_points = seen.shape[1]
    broad = min(8 * count, len(allowed))
    root = np.sqrt(trust)[:, None, None]
    flat = lambda array: (array * root).transpose(1, 0, 2).reshape(array.shape[1], -1)  # noqa: E731
    mine, theirs = flat(shown[:, allowed]), flat(seen)
    square = np.square(theirs).sum(1)[:, None] - 2 * theirs @ mine.T + np.square(mine).sum(1)[None]
    rough = np.argpartition(square, broad - 1, axis=1)[:, :broad]
    nearest = np.empty((n_points, count), np.int64)
    for point in range(n_points):
        vertices = allowed[rough[point]]
        distance = np.linalg.norm(shown[:, vertices] - seen[:, point, None], axis=-1)  # (N, broad)
        cost = (trust[:, None] * _forgiving(distance)).sum(0)
        nearest[point] = vertices[np.argsort(cost)[:count]]
    return nearest


def _forgiving(distance: np.ndarray, scale: float = FORGIVEN) -> np.ndarray:
    return distance**2 / (distance**2 + scale**2)


def _fit_in_triangles(
    corners: np.ndarray, target: np.ndarray, trust: np.ndarray, rounds: int = 4
) -> tuple[np.ndarray, np.ndarray]:
    """Barycentrics (n, 3), inside each triangle, that follow a target best over N pictures, and the spread (n,) left.

    corners: (n, N, 3, 2). target: (N, 2). Reweighted least squares in the two edges; the spread is the robust root
    mean square of a coordinate's miss.
    """
    origin = corners[:, :, 0]
    edges = corners[:, :, 1:] - origin[:, :, None]  # (n, N, 2 edges, 2)
    miss = target - origin
    weight = np.broadcast_to(trust, corners.shape[:2])
    for _ in range(rounds):
        matrix = np.einsum("nt,ntax,ntbx->nab", weight, edges, edges) + 1e-12 * np.eye(2)
        vector = np.einsum("nt,ntax,ntx->na", weight, edges, miss)
        solution = _into_triangle(np.linalg.solve(matrix, vector[..., None])[..., 0])
        left = miss - np.einsum("na,ntax->ntx", solution, edges)
        distance = np.linalg.norm(left, axis=-1)
        weight = trust / (1 + (distance / FORGIVEN) ** 2) ** 2
    # Scaled median: half of a Rayleigh distribution lies below 1.1774 sigma.
    ordinary = np.median(distance[:, trust > 0], axis=1) / 1.1774
    robust = np.sqrt((trust * np.minimum(distance, FORGIVEN) ** 2).sum(1) / (2 * trust.sum()))
    return np.concatenate([1 - solution.sum(1, keepdims=True), solution], axis=1), np.maximum(ordinary, 0.7 * robust)


def _into_triangle(edge_weights: np.ndarray) -> np.ndarray:
    """Weights (n, 2) of two edges moved to the nearest that are >= 0 with sum <= 1."""
    barycentric = np.concatenate([1 - edge_weights.sum(1, keepdims=True), edge_weights], axis=1)
    barycentric = np.maximum(barycentric, 0)
    return (barycentric / barycentric.sum(1, keepdims=True))[:, 1:]


def _faces_of_vertices(faces: np.ndarray, n_vertices: int) -> list[np.ndarray]:
    """For each vertex the triangles that touch it; triangles marked -1 touch none."""
    corner = faces.ravel()
    order = np.argsort(corner, kind="stable")
    bounds = np.searchsorted(corner[order], np.arange(n_vertices + 1))
    return [order[bounds[v] : bounds[v + 1]] // 3 for v in range(n_vertices)]


# -- irises ---------------------------------------------------------------------------------------------


def _place_iris(
    model: FaceModel,
    sightings: Sightings,
    eyeball: np.ndarray,
    face: np.ndarray,
    barycentric: np.ndarray,
    sigma: np.ndarray,
) -> None:
    """Put centre and ring of the iris that is seen over this eyeball on the eyeball's front, in place."""
    with torch.inference_mode():
        rest = model.vertices(torch.zeros(0), torch.zeros(1, len(model.expression_names)))[0].numpy()
    centre = fit_sphere(rest[eyeball])[0]
    middle, radius = _iris_of(model, rest, eyeball, centre)
    shown = sightings.vertices[:, eyeball].mean(1)
    misses = [np.linalg.norm(sightings.seen[:, iris[0]] - shown, axis=1).mean() for iris in IRISES]
    iris = IRISES[int(np.argmin(misses))]
    # The ring's points in the order of the detector: their mean directions in the picture (y down).
    ring = (sightings.seen[:, iris[1:]] - sightings.seen[:, iris[:1]]).mean(0)
    directions = ring / np.linalg.norm(ring, axis=1, keepdims=True) * [1, -1]
    wanted = np.concatenate([middle[None, :2], middle[:2] + radius * directions])
    triangles = np.flatnonzero(np.isin(model.faces, eyeball).all(1))
    shown_metres = sightings.vertices * sightings.metres[:, None, None]
    seen_metres = sightings.seen * sightings.metres[:, None, None]
    for point, xy in zip(iris, wanted, strict=True):
        chosen, weights = _front_hit(rest, model.faces[triangles], xy)
        face[point], barycentric[point] = triangles[chosen], weights
        path = np.einsum("k,tkx->tx", weights, shown_metres[:, model.faces[face[point]]])
        distance = np.linalg.norm(path - seen_metres[:, point], axis=1)
        sigma[point] = max(np.median(distance) / 1.1774, 1e-4)


def _iris_of(model: FaceModel, rest: np.ndarray, eyeball: np.ndarray, centre: np.ndarray) -> tuple[np.ndarray, float]:
    """Middle (3,) and radius of the iris: the model's own part of that name, else a human one straight ahead."""
    look = model.appearance
    if look.part_of_face is not None:
        for names in (("iris", "pupil"), ("cornea",)):
            parts = [look.part_names.index(name) for name in names if name in look.part_names]
            mine = model.faces[np.isin(look.part_of_face, parts) & np.isin(model.faces, eyeball).all(1)]
            if len(mine):
                points = rest[np.unique(mine)]
                middle = (points.min(0) + points.max(0)) / 2
                return middle, float(np.linalg.norm((points - middle)[:, :2], axis=1).max())
    return centre, IRIS_RADIUS


def _front_hit(vertices: np.ndarray, faces: np.ndarray, xy: np.ndarray) -> tuple[int, np.ndarray]:
    """The frontmost triangle that a line along z through xy meets, and the barycentrics there."""
    corners = vertices[faces]  # (F, 3, 3)
    origin, edges = corners[:, 0, :2], corners[:, 1:, :2] - corners[:, :1, :2]
    determinant = edges[:, 0, 0] * edges[:, 1, 1] - edges[:, 0, 1] * edges[:, 1, 0]
    safe = np.where(np.abs(determinant) > 1e-14, determinant, np.inf)
    to = xy - origin
    first = (to[:, 0] * edges[:, 1, 1] - to[:, 1] * edges[:, 1, 0]) / safe
    second = (edges[:, 0, 0] * to[:, 1] - edges[:, 0, 1] * to[:, 0]) / safe
    weights = np.stack([1 - first - second, first, second], axis=1)
    depth = (weights * corners[..., 2]).sum(1)
    # Nearest to being inside first, then the frontmost: a line beside a coarse eyeball still gets a place.
    outside = np.maximum(-weights.min(1), 0) + np.where(np.isfinite(safe), 0, np.inf)
    inside = outside <= 1e-6
    chosen = int(np.where(inside, depth, -np.inf).argmax()) if inside.any() else int(outside.argmin())
    clipped = np.maximum(weights[chosen], 0)
    return chosen, clipped / clipped.sum()
