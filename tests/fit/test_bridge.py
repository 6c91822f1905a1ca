"""Frames without a face are filled from their neighbours, by time, and the others keep their bits."""

import numpy as np

from tdmm.fit.bridge import bridge, bridge_rotations

SEEN = np.array([False, True, False, False, True, True, False])
SECONDS = np.array([0.0, 0.1, 0.2, 0.5, 0.9, 1.0, 1.3])


def test_bridge_is_linear_in_time_and_held_at_the_ends():
    values = np.array([[1.0, 0.0], [9.0, 4.0], [5.0, 5.0]], np.float32)
    filled = bridge(values, SECONDS, SEEN)
    np.testing.assert_array_equal(filled[SEEN], values)
    np.testing.assert_allclose(filled[2], [2, 0.5], rtol=1e-6)
    np.testing.assert_allclose(filled[3], [5, 2], rtol=1e-6)
    np.testing.assert_array_equal(filled[[0, 6]], values[[0, 2]])


def test_bridged_rotations_turn_evenly():
    rotations = np.array([[0, 0.2, 0], [0, 1.0, 0], [0, 0, 0.3]], np.float32)
    filled = bridge_rotations(rotations, SECONDS, SEEN)
    np.testing.assert_array_equal(filled[SEEN], rotations)
    np.testing.assert_allclose(filled[2:4, 1], [0.3, 0.6], rtol=1e-5)


def test_one_seen_frame_fills_all():
    seen = np.arange(4) == 2
    assert (bridge(np.array([[3.0]]), np.arange(4.0), seen) == 3).all()
