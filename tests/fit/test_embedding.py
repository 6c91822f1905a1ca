"""The embedding finds where landmarks lie: exactly for a detector that is exact, plausibly for the real one."""

import numpy as np
import pytest
import torch

from tdmm.face import load_face_model
from tdmm.face.scheme import eye_opening
from tdmm.face.topology import fit_sphere
from tdmm.fit.controls import controls_of
from tdmm.fit.embedding import (
    EmbeddingOptions,
    Sightings,
    place_on_mesh,
    random_controls,
    render_and_detect,
    skin_and_eyeballs,
)


@pytest.fixture(scope="module")
def head():
    return load_face_model()


def project_flat(points: np.ndarray) -> np.ndarray:
    return points[..., :2] * (1000, -1000)  # a millimetre is a pixel


def test_points_that_move_with_the_mesh_are_found_again(head):
    random = np.random.default_rng(0)
    controls = controls_of(head)
    values = random_controls(controls, 80, 5, random)
    angles = 0.3 * random.standard_normal((80, 3))
    with torch.inference_mode():
        vertices = head.vertices(
            torch.as_tensor(0.7 * random.standard_normal((80, head.n_shape)), dtype=torch.float32),
            torch.as_tensor(values @ controls.to_expression),
            rotation=torch.as_tensor(angles, dtype=torch.float32),
        ).numpy()
    skin, _ = skin_and_eyeballs(head)
    rest = vertices[0, head.faces].mean(1)
    front = np.flatnonzero(np.isin(head.faces, skin).all(1) & (rest[:, 2] > 0.03) & (rest[:, 1] > -0.08))
    chosen = random.choice(front, 25, replace=False)
    true = random.dirichlet((2, 2, 2), 25)
    truth = (vertices[:, head.faces[chosen]] * true[..., None]).sum(2)
    seen = project_flat(truth) + 0.3 * random.standard_normal((80, 25, 2))
    seen[:8] += 60  # pictures in which the detector was somewhere else
    sightings = Sightings(project_flat(vertices), seen, np.full(80, 1e-3), values)
    face, barycentric, sigma = place_on_mesh(sightings, head.faces, skin, EmbeddingOptions().candidates)
    found = (vertices[:, head.faces[face]] * barycentric[..., None]).sum(2)
    # Nine in ten to a millimetre; the rest lie where two folds of skin move alike, and look right in the pictures.
    miss = np.linalg.norm(found - truth, axis=-1).mean(0)
    assert np.quantile(miss, 0.9) < 1e-3
    assert np.linalg.norm((found - truth)[..., :2], axis=-1).mean(0).max() < 1e-3
    np.testing.assert_allclose(barycentric.sum(1), 1)
    assert barycentric.min() >= 0
    assert sigma.min() > 1e-3  # the pictures gone astray are paid for
    good = Sightings(*(part[8:] for part in (project_flat(vertices), seen, np.full(80, 1e-3), values)))
    sigma = place_on_mesh(good, head.faces, skin, EmbeddingOptions().candidates)[2]
    np.testing.assert_allclose(sigma, 3e-4, rtol=0.5)


def test_eyeballs_are_found_by_their_form(head):
    skin, eyeballs = skin_and_eyeballs(head)
    with torch.inference_mode():
        rest = head.vertices(torch.zeros(0), torch.zeros(1, 52))[0].numpy()
    assert len(skin) > 3000
    left, right = (fit_sphere(rest[indices])[0] for indices in eyeballs)
    np.testing.assert_allclose(left * (-1, 1, 1), right, atol=1e-3)
    assert 0.02 < left[0] < 0.045


def test_a_sphere_is_fitted_exactly():
    directions = np.random.default_rng(0).standard_normal((40, 3))
    points = (1, 2, 3) + 0.5 * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    centre, radius, miss = fit_sphere(points)
    np.testing.assert_allclose([*centre, radius, miss], [1, 2, 3, 0.5, 0], atol=1e-9)


def test_the_detector_sees_rendered_faces(head):
    from tdmm.fit.detect import open_detector

    sightings = render_and_detect(head, EmbeddingOptions(pictures=12), open_detector())
    assert len(sightings.seen) >= 11
    inside = (sightings.seen > sightings.vertices.min(1, keepdims=True)) & (
        sightings.seen < sightings.vertices.max(1, keepdims=True)
    )
    assert inside.mean() > 0.98


def test_lids_and_lips_of_the_built_in_head_close(head):
    expression = torch.zeros(4, 52)
    for row, names in enumerate(((), ("eyeBlinkLeft", "eyeBlinkRight"), ("jawOpen",), ("jawOpen", "mouthClose"))):
        for name in names:
            expression[row, head.expression_names.index(name)] = 1
    with torch.inference_mode():
        points = head.landmarks(head.vertices(torch.zeros(0), expression))[..., :2].numpy()
    rest, closed = eye_opening(points)[:2]
    assert (rest > 0.2).all()
    assert (closed < 0.4 * rest).all()
    gap = np.linalg.norm(points[:, 13] - points[:, 14], axis=1)
    assert gap[2] > 0.015
    assert gap[3] < 0.35 * gap[2]
    # Right means the subject's: iris 468 belongs to the eye of corner 33, on the side of -x.
    assert points[0, 468, 0] < 0 < points[0, 473, 0]
    assert points[0, 33, 0] < points[0, 468, 0] < points[0, 133, 0]
