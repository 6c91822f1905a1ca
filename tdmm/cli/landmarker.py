"""Which face landmarker is used: the one that is named, or the one that this Python's mediapipe needs."""

from __future__ import annotations

import os

from tdmm.cli.console import Console
from tdmm.cli.face_models import cache_folder

VARIABLE = "TDMM_LANDMARKER"
FILE_NAME = "face_landmarker.task"


def landmarker_file(named: str | None, console: Console) -> str | None:
    """The `.task` file for `DetectorOptions.landmarker`: --landmarker, else $TDMM_LANDMARKER, else None.

    None stands for the models that mediapipe brings along. Where it brings none (Python 3.13 and later), Google's
    landmarker is downloaded once into the cache folder. Raises `MissingPartError` if that fails.
    """
    if chosen := named or os.environ.get(VARIABLE):
        return chosen
    from tdmm.fit.tasks_detector import download_landmarker, has_mediapipe, wheel_holds_models

    if wheel_holds_models() or not has_mediapipe():
        return None
    place = cache_folder() / FILE_NAME
    if not place.exists():
        console.say(f"downloading the face landmarker (3.8 MB, once, kept in {place.parent})")
    return str(download_landmarker(place))
