"""Face models for the tests of tokens."""

from __future__ import annotations

import pytest
from flame_like_head import flame_like

from tdmm.face import load_face_model
from tdmm.face.flame import FlameModel


@pytest.fixture(scope="session")
def flame_head() -> FlameModel:
    """A head in FLAME's form, whose jaw and eyes turn."""
    return flame_like(load_face_model())
