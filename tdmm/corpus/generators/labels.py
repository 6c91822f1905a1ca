"""What the labels of known data sets mean: emotions and intensities, in fields or in the names of folders."""

from __future__ import annotations

import re
from collections.abc import Sequence

# The eight names of MEAD, and other forms of them (RAVDESS, CREMA-D, AffectNet); ours are the keys of emotions.toml.
EMOTIONS = {
    "neutral": "neutral",
    "happy": "joy",
    "happiness": "joy",
    "joy": "joy",
    "angry": "anger",
    "anger": "anger",
    "disgusted": "disgust",
    "disgust": "disgust",
    "fear": "fear",
    "fearful": "fear",
    "sad": "sadness",
    "sadness": "sadness",
    "surprised": "surprise",
    "surprise": "surprise",
    "contempt": "contempt",
    "calm": "calm",
}
INTENSITIES = {"1": "slight", "2": "moderate", "3": "strong"}
_LEVEL = re.compile(r"(?:level[ _-]?)?([123])", re.IGNORECASE)
_PERSON = re.compile(r"[MW]\d{3}")
_VIEW = re.compile(r"front|top|down|(?:left|right)_\d+")


def emotion(label: str) -> str:
    """Our name of an emotion; a label that is not known stays as it is."""
    return EMOTIONS.get(label.strip().lower(), label.strip())


def intensity(label: str) -> str:
    """slight, moderate or strong for `1`, `level_2`, `level 3`; a label that is not known stays as it is."""
    found = _LEVEL.fullmatch(label.strip())
    return INTENSITIES[found[1]] if found else label.strip()


def from_folders(folders: Sequence[str]) -> tuple[str, dict[str, str], dict[str, str]]:
    """(text, slots, other fields) of a clip by the folders it lies in, from the top.

    In M003/video/front/angry/level_2, the way of MEAD: emotion and intensity are slots, and person and view are told
    beside them. Elsewhere the innermost folder is the label. No folders: an empty text.
    """
    slots: dict[str, str] = {}
    other: dict[str, str] = {}
    for name in folders:
        if name.lower() in EMOTIONS:
            slots["emotion"] = EMOTIONS[name.lower()]
        elif found := re.fullmatch(r"level[ _-]?([123])", name, re.IGNORECASE):
            slots["intensity"] = INTENSITIES[found[1]]
        elif _PERSON.fullmatch(name):
            other["person"] = name
        elif _VIEW.fullmatch(name):
            other["view"] = name
    return text_of(slots) or (folders[-1].replace("_", " ").replace("-", " ") if folders else ""), slots, other


def text_of(slots: dict[str, str]) -> str:
    """A few words for a clip that nobody described: `moderate anger`, `neutral`. Empty without an emotion."""
    feeling = slots.get("emotion", "")
    # MEAD calls its neutral clips level 1: there is no less or more of nothing.
    level = "" if feeling == "neutral" else slots.get("intensity", "")
    return f"{level} {feeling}".strip() if feeling else ""
