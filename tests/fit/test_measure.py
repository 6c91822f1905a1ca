"""Long motions are measured block by block, which changes no number."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from made_up_faces import random_motion

from tdmm.face import load_face_model
from tdmm.fit.measure import BLOCK, jitter, outer_eye_distance, project_landmarks, reprojection


@pytest.mark.parametrize("n_frames", [3, BLOCK, BLOCK + 1, 2 * BLOCK + 3])
def test_blocks_change_nothing(n_frames):
    head = load_face_model()
    motion = random_motion(head, n_frames=n_frames, seed=2)
    places = project_landmarks(motion, head)
    points = places + np.random.default_rng(0).normal(0, 1, places.shape)
    seen = np.ones(n_frames, bool)
    seen[BLOCK - 1 : BLOCK + 1] = n_frames <= BLOCK
    miss = np.linalg.norm(places - points, axis=-1)[seen]
    expected = 100 * miss / outer_eye_distance(points[seen], head)[:, None]
    np.testing.assert_allclose(reprojection(motion, head, points, seen), expected)

    with torch.inference_mode():
        joints = {name: torch.from_numpy(getattr(motion, name)) for name in ("jaw_pose", "eyes_pose")}
        vertices = head.vertices(torch.from_numpy(motion.shape), torch.from_numpy(motion.expression), **joints)
        heads = head.landmarks(vertices).numpy().astype(np.float64)
    steps = np.diff(motion.timestamps)[:, None, None]
    acceleration = np.diff(np.diff(heads, axis=0) / steps, axis=0) / (0.5 * (steps[1:] + steps[:-1]))
    runs = seen[:-2] & seen[1:-1] & seen[2:]
    trembling = np.sqrt((acceleration[runs] ** 2).sum(2).mean(1))
    assert jitter(motion, head, seen) == pytest.approx(1000 * np.median(trembling), rel=1e-3)
