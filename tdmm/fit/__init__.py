"""From a video to a FaceMotion: detect landmarks in every frame, then fit a face model to all frames at once."""

from tdmm.fit.gaps import split_at_gaps
from tdmm.fit.video import FitOptions, fit_landmarks, fit_people, fit_video

__all__ = ["FitOptions", "fit_landmarks", "fit_people", "fit_video", "split_at_gaps"]
